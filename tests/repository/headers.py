#!/usr/bin/env python3
"""Compile headers of the library by themselves, with all warnings as errors.

usage: headers.py SOURCE_ROOT BUILD_DIRECTORY COMPILER PATTERN

PATTERN is a glob below libdshm/include. Each header is included twice in an otherwise empty source: it must bring along what it uses, and bear
being included again. Skipped (exit status 77) where the compiler is not installed.
"""

import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from compilers import WARNINGS, compiler_flags  # noqa: E402

SKIPPED = 77

# One such test runs for each of two compilers, at the same time.
JOBS = max(1, (os.cpu_count() or 1) // 2)


def complaint(compiler, flags, include, header):
    """What the compiler says about a header; empty when it is content."""
    name = header.relative_to(include).as_posix()
    source = f"#include <{name}>\n#include <{name}>\n"
    done = subprocess.run([compiler, *flags, *WARNINGS, "-fsyntax-only", "-x", "c++", "-"],
                          input=source, capture_output=True, text=True)
    return "" if done.returncode == 0 else f"--- {name}\n{done.stderr}"


def main():
    source_root, build, compiler, pattern = pathlib.Path(sys.argv[1]), *sys.argv[2:5]
    if not shutil.which(compiler):
        print(f"{compiler} is not installed")
        return SKIPPED

    include = source_root / "libdshm" / "include"
    headers = sorted(include.glob(pattern))
    flags = compiler_flags(build)
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        complaints = list(filter(None, pool.map(
            lambda header: complaint(compiler, flags, include, header), headers)))

    print("\n".join(complaints))
    print(f"{len(headers)} headers, {len(complaints)} with complaints, {compiler}")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
