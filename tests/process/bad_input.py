"""dshm-run and programs under it: statuses, signals, streams, and what bad input is told.

usage: bad_input.py DSHM_RUN SUBJECT
"""

import os
import pty
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from processes import Program, case, check, finish, has_sanitizer, start  # noqa: E402

RUN, SUBJECT = sys.argv[1:3]
start()


def run(*arguments, **more):
    return Program(RUN, *arguments, **more).end()


def refused(name, arguments, status, *parts):
    case(name)
    code, output, errors = run(*arguments)
    check(code == status, f"status {status}", code, errors)
    check(output == "", "nothing on standard output", output)
    check(len(errors.strip().splitlines()) == 1, "one sentence", errors)
    for part in parts:
        check(part in errors, f"mentions {part}", errors)


case("workers are ready")
for option, count in (("1", 1), ("3", 3), ("auto", len(os.sched_getaffinity(0)))):
    code, output, errors = run("-n", option, SUBJECT, "workers")
    check((code, output, errors) == (0, f"{count} workers\n", ""), "so many workers", code, output, errors)
code, output, errors = run(SUBJECT, "workers")
check(code == 0 and errors == "", "without -n", code, output, errors)
code, output, errors = Program(SUBJECT, "workers").end()
check((code, output, errors) == (0, "0 workers\n", ""), "without dshm-run", code, output, errors)

refused("no program", ["-n", "2"], 2, "program")
refused("a wrong option", ["--nonsense", SUBJECT], 2, "--nonsense")
refused("a wrong start mode", ["-n", "1", "--start", "spawn", SUBJECT, "workers"], 2, "spawn", "exec")
refused("a wrong choice for deaths", ["-n", "1", "--on-worker-death", "cry", SUBJECT, "workers"], 2, "cry", "restart")
refused("no workers", ["-n", "0", SUBJECT], 2, "-n 0", "1 to")
refused("a negative number", ["-n", "-3", SUBJECT], 2, "-n")
refused("too many workers", ["-n", "500", SUBJECT], 2, "500")
refused("not a number", ["-n", "many", SUBJECT], 2, "many")
refused("half a number", ["-n", "2x", SUBJECT], 2, "2x")
refused("a number beyond all", ["-n", "99999999999999999999", SUBJECT], 2, "-n")
refused("a program that is not there", ["-n", "1", "./not-there"], 127, "./not-there", "No such file")
refused("a program that is not one", ["-n", "1", "/etc/passwd"], 126, "/etc/passwd")
refused("a directory", ["-n", "1", "/tmp"], 126, "/tmp")
for tolerance in ("x", "-1", "1", "1e-12x"):
    refused(f"a bad tolerance '{tolerance}'", ["-n", "1", f"--verify={tolerance}", SUBJECT, "workers"], 2, "verify")
refused("a bad affinity", ["-n", "1", "--affinity", "sideways", SUBJECT, "workers"], 9, "sideways")
for capacity in ("12q", "M", "256MB", "256 M", "-1", "99999999999G", "99999999999999999999"):
    refused(f"a bad capacity '{capacity}'", ["-n", "1", f"--capacity={capacity}", SUBJECT, "workers"], 9,
            f"'{capacity}'", "bytes, or with K, M or G")
refused("a bad name", ["-n", "1", "--name", "a/b", SUBJECT, "workers"], 9, "a/b")

case("a capacity")
for capacity in (str(256 << 20), "262144K", "256M", "1G"):
    code, output, errors = run("-n", "1", "--verbose", "--capacity", capacity, SUBJECT, "workers")
    size = 1024 if capacity == "1G" else 256
    check(code == 0 and f" {size} MiB of address space" in errors, f"of {capacity}", code, errors)
check("K, M or G" in run("--help")[1], "--help says so")

case("help and version")
for option in ("--help", "--version"):
    code, output, errors = run(option)
    check(code == 0 and errors == "" and "dshm-run" in output, option, code, output, errors)

case("a program without a Session")
code, output, errors = run("-n", "2", SUBJECT, "no-session", "0")
check(code == 0 and output == "" and "Session" in errors, "says so", code, output, errors)
code, output, errors = run("-n", "2", "/bin/echo", "--help", "me")
check(code == 0 and output == "--help me\n" and "Session" in errors, "arguments are its own", code, output, errors)
code, output, errors = run("-n", "2", SUBJECT, "no-session", "5")
check(code == 5, "its status is passed on", code, errors)

case("the exit status is passed on")
unhandled = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":handle_segv=0"}  # else it exits with 1
for status in (0, 1, 3, 255):
    code, output, errors = run("-n", "1", SUBJECT, "exit", str(status))
    check((code, errors) == (status, ""), f"status {status}", code, errors)
for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGINT):
    code, output, errors = run("-n", "1", SUBJECT, "signal", str(int(number)), env=unhandled)
    check(code == 128 + number, f"128 + {number}", code, errors)
code, output, errors = run("-n", "1", SUBJECT, "throw")
check(code == 9 and errors == "subject: the program's own\n", "an exception", code, errors)

case("standard input goes to the master")
code, output, errors = Program(RUN, "-n", "2", SUBJECT, "copy", stdin=subprocess.PIPE).end("one\ntwo\n")
check((code, output) == (0, "one 1\ntwo 1\n"), "read there", code, output, errors)

case("output without a reader")
program = Program("/bin/sh", "-c", f"{RUN} -n 2 {SUBJECT} lines 20000 | head -1")
code, output, errors = program.end()
check(code == 0 and output.endswith("line 0\n") and output.count("\n") == 1, "| head -1", code, output)
check("terminate" not in errors and len(errors.splitlines()) <= 1, "at most one sentence", errors)

case("a signal ends everything")
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGKILL):
    program = Program(RUN, "-n", "2", SUBJECT, "work")
    program.pids()
    program.process.send_signal(number)
    code, output, errors = program.end()
    expected = -number if number == signal.SIGKILL else 128 + number
    check(code == expected, f"status after signal {number}", code, errors)

case("any process of the session is killed")
for victim, expected in (("launcher", 9), ("worker", 9)):
    program = Program(RUN, "-n", "1", SUBJECT, "work")
    os.kill(program.pids()[victim][0], signal.SIGKILL)
    code, output, errors = program.end()
    check(code == expected and "subject:" in errors, f"the master is told when the {victim} is killed", code, errors)

case("Ctrl-C on a terminal")
leader, follower = pty.openpty()


def own_terminal():
    os.setsid()
    import fcntl
    import termios
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


program = Program(RUN, "-n", "2", SUBJECT, "work", stdin=follower, preexec_fn=own_terminal)
os.close(follower)
program.pids()
os.write(leader, b"\x03")
code, output, errors = program.end()
check(code == 128 + signal.SIGINT, "130", code, errors)
os.close(leader)

case("few files may be open")
limits = [10, 12, 14, 16, 20, 24, 30, 40]
if has_sanitizer(SUBJECT):
    print("left out: fewer than 14 files, of which the sanitizer takes two to look at memory", flush=True)
    limits = [limit for limit in limits if limit >= 14]
for limit in limits:
    program = Program("/bin/sh", "-c", f"ulimit -n {limit}; exec {SUBJECT} add 20")
    code, output, errors = program.end()
    check((code, output) == (0, "20 added\n") or (code == 9 and errors.count("\n") == 1 and output == ""),
          f"{limit} files: all or an error", code, output, errors)

finish()
