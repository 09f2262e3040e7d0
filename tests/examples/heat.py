#!/usr/bin/env python3
"""22_heat is watched by programs of C++ and Python, and told by one of them to end.

usage: heat.py HEAT HEAT_WATCH HEAT_WATCH_PY LIBRARY PYTHON_MODULE_DIRECTORY
"""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from processes import Program, case, check, finish, python_environment, start  # noqa: E402

HEAT, WATCH, WATCH_PY, LIBRARY, MODULE = (os.path.abspath(path) for path in sys.argv[1:6])
ENVIRONMENT = python_environment(LIBRARY, MODULE)


def run(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                          env=ENVIRONMENT)
    return done.returncode, done.stdout, done.stderr


def watched(*command):
    """The steps that the watcher saw, which become later and later, and what it printed."""
    code, output, errors = run(*command)
    check(code == 0, "the watcher ends well", code, output, errors)
    steps = [int(step) for step in re.findall(r"^step (\d+)", output, re.MULTILINE)]
    check(len(steps) == 3, "three states are seen", output)
    check(all(a < b for a, b in zip(steps, steps[1:])), "each later than the one before", steps)
    return steps, output


start()
case("watched while it runs")
heat = Program(HEAT, "0")
check(heat.process.stdout.readline() == "a plate of 64 by 128 points\n", "it has begun")
first, output = watched(WATCH, "3", heat.name)
pictures = re.findall(r"^\|(.{32})\|$", output, re.MULTILINE)
check(len(pictures) == 3 * 16, "pictures of 16 lines", output)
check(all(line[8:].count("@") == 0 for line in pictures), "the cold side is not hot", output)

second, output = watched(sys.executable, WATCH_PY, "3", heat.name)
check(first[-1] < second[0], "time has gone on", first, second)
for line in output.splitlines():
    along = [float(number) for number in line.split(":")[1].split()]
    check(along[0] == 100 and along == sorted(along, reverse=True), "it becomes colder from the hot edge", line)

case("told to end")
code, output, errors = run(WATCH, "stop", heat.name)
check(code == 0, "it is told", code, output, errors)
code, output, errors = heat.end()
check(code == 0, "it ends well", code, output, errors)
last = re.search(r"after (\d+) steps", output)
check(last and int(last[1]) >= second[-1], "at a later step", output)
check(output.endswith("bit by bit what one process computes\n"), "with the serial result", output)

case("help and wrong arguments")
for command in ([HEAT], [WATCH], [sys.executable, WATCH_PY]):
    code, output, errors = run(*command, "--help")
    check(code == 0 and output.startswith("usage: 22_heat") and errors == "", "--help", code, output, errors)
    for arguments in (["heat"], ["3x"], ["-1"], ["1", "2", "3"]):
        code, output, errors = run(*command, *arguments)
        check(code == 2 and output == "" and "usage: 22_heat" in errors, arguments, code, output, errors)

case("nothing to watch")
for command in ([WATCH, "1", heat.name], [sys.executable, WATCH_PY, "1", heat.name]):
    code, output, errors = run(*command)
    check(code == 1 and "there is no such session" in errors, "a sentence and a status", code, output, errors)
finish()
