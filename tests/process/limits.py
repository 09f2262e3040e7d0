"""Limits of the system, each of which is a sentence with its remedy, and huge pages.

usage: limits.py DSHM_RUN SUBJECT. What needs a /dev/shm or a cgroup of its own is left out where none can be made.
"""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from processes import Program, case, check, finish, has_sanitizer, start  # noqa: E402

RUN, SUBJECT = sys.argv[1:3]
MEBIBYTE = 1 << 20
start()


def shell(script, **more):
    return Program("/bin/sh", "-c", script, **more).end()


def mounting(options, command):
    """Shell text that runs a command with a /dev/shm of its own and says what it leaves there."""
    return (f"mount -t tmpfs -o {options} tmpfs /dev/shm && {{ {command}; }}; code=$?; "
            "ls /dev/shm | sed 's/^/left: /'; exit $code")


def in_own_memory(options, command, **more):
    return Program("unshare", "-m", "--propagation", "private", "/bin/sh", "-c", mounting(options, command),
                   **more).end()


can_mount = subprocess.run(["unshare", "-m", "--propagation", "private", "/bin/sh", "-c",
                            mounting("size=1m", "true")], capture_output=True).returncode == 0


def is_exhausted(output, asked, remedy):
    """The sentence of an array that could not be made."""
    found = re.match(r"asked (\d+), (\d+) left: (.*)\n", output)
    return (found and int(found[1]) >= asked and int(found[2]) < asked and remedy in found[3]
            and f"asked for {int(found[1]) // 1024}" in found[3] and f"{int(found[2]) // 1024} KiB left" in found[3])


if can_mount:
    case("a /dev/shm of 1 MiB: anonymous memory instead")
    code, output, errors = in_own_memory("size=1m", f"{RUN} -n 2 {SUBJECT} array 100000000")
    check((code, output, errors) == (0, "made\n", ""), "an array of 100 MB", code, output, errors)

    case("a /dev/shm of 64 MiB")
    code, output, errors = in_own_memory("size=64m", f"{RUN} -n 2 {SUBJECT} array 30000000")
    check((code, output, errors) == (0, "made\n", ""), "an array of 30 MB", code, output, errors)
    code, output, errors = in_own_memory("size=64m", f"{RUN} -n 2 {SUBJECT} array 100000000")
    check(code == 0 and errors == "" and is_exhausted(output, 100_000_000, "enlarge /dev/shm"),
          "an array of 100 MB is too large, and the program goes on", code, output, errors)
    code, output, errors = in_own_memory("size=64m", f"DSHM_CAPACITY=1073741824 {RUN} -n 2 {SUBJECT} fill 5000000")
    check(code == 0 and "exhausted: " in output and "went on after" in output, "full, and free again", code, output,
          errors)

case("more than the machine has")
machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
code, output, errors = shell(f"{RUN} -n 2 --capacity {4 * machine} {SUBJECT} array {2 * machine}")
check(code == 0 and errors == "" and is_exhausted(output, 2 * machine, "free SharedArrays, or "),
      "at once, and without filling it", code, output, errors)
if can_mount:
    for options in ("size=1m", "size=0"):  # anonymous memory; and a tmpfs without a limit
        code, output, errors = in_own_memory(
            options, f"{RUN} -n 2 --capacity {4 * machine} {SUBJECT} array {2 * machine}")
        check(code == 0 and errors == "" and is_exhausted(output, 2 * machine, "memory of the machine"),
              f"{options}: where the file system sets no limit", code, output, errors)

case("more than the cgroup has")
group = None
for root, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
    try:
        path = f"{root}/dshm-limits-{os.getpid()}"
        os.mkdir(path)
        group = path
        with open(f"{path}/{limit}", "w") as file:
            file.write(str(256 * MEBIBYTE))
        break
    except OSError:
        if group:
            os.rmdir(group)
        group = None
if group:
    enter = f"echo $$ > {group}/cgroup.procs && exec "
    code, output, errors = shell(enter + f"{RUN} -n 2 --capacity {1 << 30} {SUBJECT} array {400 * MEBIBYTE}")
    check(code == 0 and errors == "" and is_exhausted(output, 400 * MEBIBYTE, "container"), "one array", code, output,
          errors)
    code, output, errors = shell(enter + f"{RUN} -n 2 --capacity {1 << 30} {SUBJECT} fill {10 * MEBIBYTE}")
    check(code == 0 and "container" in output and "went on after" in output, "many arrays", code, output, errors)
    for huge in (0, 1):
        for _ in range(3):
            code, output, errors = shell(
                enter + f"env DSHM_HUGE={huge} {RUN} -n 4 --capacity {1 << 30} {SUBJECT} two-arrays {150 * MEBIBYTE}")
            check(code == 0 and output == "refused\n" and "killed" not in errors,
                  "two processes at once, of whose arrays each has room" + ", as huge pages" * huge, code, output, errors)
    os.rmdir(group)

if has_sanitizer(SUBJECT):
    print("left out: a limit of the address space, of which the sanitizer takes terabytes", flush=True)
else:
    case("address space")
    code, output, errors = shell(f"ulimit -v 400000; {RUN} -n 2 --capacity {1 << 30} {SUBJECT} workers")
    check(code == 9 and "cannot map 1024 MiB of address space; lower DSHM_CAPACITY or raise RLIMIT_AS" in errors
          and errors.count("\n") == 1, "not enough for the segment", code, output, errors)
    code, output, errors = shell(f"ulimit -v 4000000; {RUN} -n 2 --capacity {256 * MEBIBYTE} {SUBJECT} array 100000000")
    check((code, output, errors) == (0, "made\n", ""), "enough for a small one", code, output, errors)

case("size of files")
code, output, errors = shell(f"ulimit -f 200000; {RUN} -n 2 --capacity {1 << 30} {SUBJECT} workers")
check(code == 9 and "cannot size the segment to 1024 MiB; lower DSHM_CAPACITY, or raise the file size limit" in errors
      and errors.count("\n") == 1, "too short for the segment", code, output, errors)
code, output, errors = shell(f"{RUN} -n 2 --capacity {1 << 30} {SUBJECT} short-files {300 * MEBIBYTE}")
check(code == 0 and errors == "" and (output == "made\n" or "raise the file size limit (ulimit -f)" in output),
      "set by the program itself: the segment has its size already", code, output, errors)

case("huge pages")
code, output, errors = shell(f"DSHM_HUGE=sure {RUN} -n 1 {SUBJECT} workers")
check(code == 9 and "DSHM_HUGE='sure': use 1 or 0" in errors, "a bad value", code, output, errors)
line = "DSHM_HUGE=1 has no effect: "
code, output, errors = shell(f"DSHM_HUGE=1 {RUN} -n 2 {SUBJECT} huge 64000000")
used = output != "0 MiB huge\n"
check(code == 0 and errors.count("\n") == errors.count(line) == (0 if used else 1), "here: used, or one line that says why not",
      code, output, errors)
if can_mount:
    code, output, errors = in_own_memory("size=200m,huge=never", f"DSHM_HUGE=1 {RUN} -n 2 {SUBJECT} huge 64000000")
    check((code, output) == (0, "0 MiB huge\n") and errors.count(line) == errors.count("\n") == 1
          and ("mount -o remount,huge=advise /dev/shm" in errors or "no huge pages for shared memory" in errors),
          "not allowed: one line with the remedy", code, output, errors)
    for mode in ("advise", "within_size", "always"):
        code, output, errors = in_own_memory(f"size=200m,huge={mode}",
                                             f"DSHM_HUGE=1 {RUN} -n 2 {SUBJECT} huge 64000000")
        huge = re.match(r"(\d+) MiB huge\n", output)
        used = huge and int(huge[1]) >= 56 and errors == ""
        check(code == 0 and (used or errors.count(line) == 1), f"{mode}: used, or said why not", code, output, errors)
        if not used:
            print(f"huge={mode}: {errors.strip()}")
    code, output, errors = in_own_memory("size=200m,huge=advise", f"{RUN} -n 2 {SUBJECT} huge 64000000")
    check((code, output, errors) == (0, "0 MiB huge\n", ""), "allowed and not asked for", code, output, errors)

finish()
