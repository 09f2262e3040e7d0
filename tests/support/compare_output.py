#!/usr/bin/env python3
"""Run a program and compare its standard output with a file.

usage: compare_output.py --expected FILE [--run DSHM_RUN --workers N] [--status N] -- PROGRAM [ARGS...]

The file is the output, line by line, in which

    {number}    stands for any number: 3, -0.25, 1.5e-11
    {word}      stands for anything without a space
    {text}      stands for anything, also for nothing
    ~ LINE      (a tilde and a space in front) may change places with the `~` lines around it,
                for what several workers print at once

Everything else is taken to the letter. A difference is shown with the line number, and the program's
standard error after it. The comparison is by Python's standard library alone.
"""

import argparse
import os
import re
import subprocess
import sys

PLACEHOLDERS = {
    "{number}": r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:inf|nan)",
    "{word}": r"\S+",
    "{text}": r".*",
}


def pattern_of(line):
    """The regular expression of one expected line."""
    parts = re.split("(" + "|".join(map(re.escape, PLACEHOLDERS)) + ")", line)
    return re.compile("".join(f"(?:{PLACEHOLDERS[part]})" if part in PLACEHOLDERS
                              else re.escape(part) for part in parts))


def groups_of(expected):
    """Split the expected lines into groups: (may change places, lines)."""
    groups = []
    for line in expected:
        loose = line.startswith("~ ")
        text = line[2:] if loose else line
        if loose and groups and groups[-1][0]:
            groups[-1][1].append(text)
        else:
            groups.append((loose, [text]))
    return groups


def first_difference(expected, actual):
    """None, or a sentence that says where the output leaves the expected one."""
    position = 0
    for loose, lines in groups_of(expected):
        got = actual[position:position + len(lines)]
        compare = difference_in_any_order if loose else difference_in_order
        difference = compare(lines, got)
        if difference:
            offset, want, has = difference
            return f"line {position + offset + 1}: expected «{want}», got «{has}»"
        position += len(lines)
    if position < len(actual):
        return f"line {position + 1}: expected the end, got «{actual[position]}»"
    return None


def difference_in_order(lines, got):
    for offset, want in enumerate(lines):
        if offset >= len(got):
            return offset, want, "the end"
        if not pattern_of(want).fullmatch(got[offset]):
            return offset, want, got[offset]
    return None


def difference_in_any_order(lines, got):
    left = list(got)
    for want in lines:
        match = next((has for has in left if pattern_of(want).fullmatch(has)), None)
        if match is None:
            return 0, want, " | ".join(left) or "the end"
        left.remove(match)
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--expected", required=True)
    parser.add_argument("--run")
    parser.add_argument("--workers")
    parser.add_argument("--status", type=int, default=0)
    parser.add_argument("program", nargs="+")
    arguments = parser.parse_args()

    command = arguments.program
    if arguments.run:
        command = [arguments.run, "-n", arguments.workers] + command

    # A name of its own for each run: some examples have one that others look for.
    environment = dict(os.environ, DSHM_NAME=f"example.{os.getpid()}")
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment)
    with open(arguments.expected, encoding="utf-8") as file:
        expected = file.read().splitlines()

    problem = first_difference(expected, done.stdout.splitlines())
    if done.returncode != arguments.status:
        problem = f"exit status {done.returncode}, expected {arguments.status}" + (
            f"; {problem}" if problem else "")
    if problem is None:
        return 0

    print(f"{' '.join(command)}: {problem}")
    print("--- standard output\n" + done.stdout)
    print("--- standard error\n" + done.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
