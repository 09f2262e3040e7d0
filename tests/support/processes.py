"""Programs under test, and the certainty that nothing of them is left.

The script is the subreaper of what it starts, so that it can wait, for an event and not for a time, until the
last process of a session has ended. An alarm ends a script that hangs, and says where it was. Whatever ends a
script ends its programs too.
"""

import atexit
import ctypes
import os
import re
import signal
import subprocess
import sys

PR_SET_CHILD_SUBREAPER = 36
case_name = "the start"
failures = []


def hung(number, frame):
    print(f"HUNG in: {case_name}", file=sys.stderr, flush=True)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(10)  # for what is at the exit
    sys.exit(1)


def wait_for_all():
    """Until the last process has ended that came from this one."""
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break


def end_programs():
    """At the exit: those that a failure left running. A session ends with its program."""
    for program in Program.all:
        if program.process.poll() is None:
            program.process.kill()
    wait_for_all()


def start(seconds=100):
    """Once, first: the script adopts orphans, and has so many seconds."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    atexit.register(end_programs)
    signal.signal(signal.SIGALRM, hung)
    signal.alarm(seconds)


def case(name):
    global case_name
    case_name = name


def check(condition, what, *seen):
    if condition:
        return
    failures.append(case_name)
    print(f"FAILED: {case_name}: {what}", *(f"\n    {item!r}" for item in seen), file=sys.stderr, flush=True)


class Program:
    """One run of a program with a session of a name of its own."""

    all = []

    def __init__(self, *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more):
        self.name = f"script.{os.getpid()}.{len(Program.all) + 1}"
        environment = dict(os.environ, DSHM_NAME=self.name)
        environment.update(more.pop("env", {}))
        self.process = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, env=environment,
                                        text=True, **more)
        Program.all.append(self)

    def pids(self):
        """What `subject work` says of its session, once it works: {"launcher": [pid], "worker": [pid, ...]}."""
        found = {}
        for line in self.process.stdout:
            if line.startswith("working"):
                break
            kind, pid = line.split()
            found.setdefault(kind, []).append(int(pid))
        return found

    def end(self, stdin=None):
        """Until it has ended, and all that came from it. Gives exit status, output and errors."""
        output, errors = self.process.communicate(stdin)
        wait_for_all()
        left = [file for file in os.listdir("/dev/shm") if self.name in file]
        check(left == [], "left in /dev/shm", left)
        return self.process.returncode, output, errors


def has_sanitizer(binary):
    """Of addresses or threads: it takes terabytes of address space, and ends a process of a fault in its own way."""
    with open(binary, "rb") as file:
        content = file.read()
    return b"__asan_init" in content or b"__tsan_init" in content


def python_environment(library, module):
    """What a Python needs to load the module. A library's address sanitizer has to be loaded before all else, libstdc++ with
    it, because it then looks for the functions to replace; and it would take what Python never frees for leaks."""
    environment = dict(os.environ, DSHM_LIBRARY=library, PYTHONPATH=module, PYTHONDONTWRITEBYTECODE="1")
    linked = subprocess.run(["ldd", library], capture_output=True, text=True, check=True).stdout
    first = re.findall(r"=> (\S*/lib(?:asan|stdc\+\+)\S*)", linked)
    if any("/libasan" in path for path in first):
        environment["LD_PRELOAD"] = " ".join(first)
        environment["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    return environment


def finish():
    sys.exit(1 if failures else 0)
