"""A /dev/shm that is full: an error where the memory is asked for, and a program that goes on.

usage: full_memory.py DSHM_RUN SUBJECT. Exits with 77 where no small /dev/shm of its own can be made.
"""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from processes import Program, case, check, finish, start  # noqa: E402

RUN, SUBJECT = sys.argv[1:3]
start()


def in_small_memory(size, command):
    """A shell command in a mount namespace of its own, with so much in /dev/shm. Says what it leaves there."""
    script = f"mount -t tmpfs -o size={size} tmpfs /dev/shm && {{ {command}; }}; code=$?; ls /dev/shm; exit $code"
    return Program("unshare", "-m", "--propagation", "private", "/bin/sh", "-c", script).end()


if subprocess.run(["unshare", "-m", "/bin/sh", "-c", "mount -t tmpfs -o size=1m tmpfs /dev/shm"],
                  capture_output=True).returncode != 0:
    print("skipped: no mount namespace can be made here")
    sys.exit(77)

case("too small for a segment: anonymous memory instead, or a sentence")
for size in ("4k", "64k", "1m", "8m"):
    code, output, errors = in_small_memory(size, f"{RUN} -n 2 {SUBJECT} workers")
    worked = (code, output) == (0, "2 workers\n")
    check(worked or (code == 9 and "memory" in errors), f"{size}", code, output, errors)

case("full at the start")
code, output, errors = in_small_memory(
    "256m", f"head -c 300m /dev/zero > /dev/shm/ballast 2>/dev/null; {RUN} -n 2 {SUBJECT} workers; code=$?; "
    "rm /dev/shm/ballast; exit $code")
check((code, output) == (0, "2 workers\n") or (code == 9 and "memory" in errors and errors.count("\n") == 1),
      "a sentence", code, output, errors)

case("full while arrays are made")
for each in (1000, 100_000, 3_000_000, 30_000_000):
    code, output, errors = in_small_memory("200m", f"DSHM_CAPACITY=1073741824 {RUN} -n 2 {SUBJECT} fill {each}")
    check(code == 0 and errors == "", f"arrays of {each} bytes: the program goes on", code, output, errors)
    check("exhausted: " in output and "went on after" in output, "both said", output)

case("the segment's own end")
code, output, errors = Program(RUN, "-n", "2", "--capacity", str(256 << 20), SUBJECT, "fill", "1000000").end()
check(code == 0 and "exhausted: " in output, "of its capacity", code, output, errors)

finish()
