#!/usr/bin/env python3
"""Check that README.md tells the truth about its program.

usage: readme.py SOURCE_ROOT

The first C++ block of README.md is, to the letter, the code of examples/readme.cpp (without the
comment at its top), and the block after «prints» is examples/readme.expected: the example's test has
compiled the one and compared the other.
"""

import difflib
import pathlib
import re
import sys


def blocks_of(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def without_top_comment(source):
    return re.sub(r"\A(//[^\n]*\n)+\n*", "", source)


def difference(name, shown, tested):
    return list(difflib.unified_diff(tested.splitlines(), shown.splitlines(),
                                     f"examples/{name}", "README.md", lineterm=""))


def main():
    root = pathlib.Path(sys.argv[1])
    readme = (root / "README.md").read_text(encoding="utf-8")
    program = (root / "examples" / "readme.cpp").read_text(encoding="utf-8")
    output = (root / "examples" / "readme.expected").read_text(encoding="utf-8")

    shown_programs, shown_outputs = blocks_of(readme, "cpp"), blocks_of(readme, "text")
    if not shown_programs or not shown_outputs:
        sys.exit("README.md: a block ```cpp and a block ```text are expected")

    wrong = difference("readme.cpp", shown_programs[0], without_top_comment(program))
    wrong += difference("readme.expected", shown_outputs[0], output)
    print("\n".join(wrong) or "README.md shows what is tested")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
