#!/usr/bin/env python3
"""Check that a program is refused by the compilers, in the words that it was promised.

usage: compile_fail.py BUILD_DIRECTORY FILE.cpp

FILE.cpp carries comments `// expect: TEXT`; each TEXT must be found in what the compiler says (spaces
and line breaks count alike). With the macro DSHM_CONTROL defined the same file must compile, so that
it fails for the reason given and no other. Tried with every compiler found: g++, clang++.
"""

import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from compilers import compiler_flags, installed_compilers  # noqa: E402


def compile_with(compiler, flags, source, *more):
    command = [compiler, *flags, "-fsyntax-only", *more, str(source)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)


def squeeze(text):
    return " ".join(text.split())


def problems_with(compiler, flags, source, sentences):
    """What is wrong with this compiler's answer, as a list of lines."""
    control = compile_with(compiler, flags, source, "-DDSHM_CONTROL")
    if control.returncode != 0:
        return ["does not even compile with -DDSHM_CONTROL:", control.stderr]

    refused = compile_with(compiler, flags, source)
    if refused.returncode == 0:
        return ["compiles, and must not"]

    said = squeeze(refused.stderr)
    missing = [sentence for sentence in sentences if squeeze(sentence) not in said]
    if missing:
        return [f"does not say «{sentence}»" for sentence in missing] + [refused.stderr]
    return []


def main():
    build, source = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    sentences = re.findall(r"^\s*// expect: (.+)$", source.read_text(), re.MULTILINE)
    if not sentences:
        sys.exit(f"{source}: no «// expect: TEXT» in it")

    flags = compiler_flags(build)
    failed = False
    for compiler in installed_compilers():
        for line in problems_with(compiler, flags, source, sentences):
            print(f"{source.name} with {compiler}: {line}")
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
