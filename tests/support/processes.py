"""Programs under test, and the certainty that nothing of them is left.

The script is the subreaper of what it starts, so that it can wait, for an event and not for a time, until the
last process of a session has ended. An alarm ends a script that hangs, and says where it was.
"""

import ctypes
import os
import signal
import subprocess
import sys

PR_SET_CHILD_SUBREAPER = 36
case_name = "the start"
failures = []


def hung(number, frame):
    print(f"HUNG in: {case_name}", file=sys.stderr, flush=True)
    os._exit(1)


def start(seconds=100):
    """Once, first: the script adopts orphans, and has so many seconds."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
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

    count = 0

    def __init__(self, *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more):
        Program.count += 1
        self.name = f"script.{os.getpid()}.{Program.count}"
        environment = dict(os.environ, DSHM_NAME=self.name)
        environment.update(more.pop("env", {}))
        self.process = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, env=environment,
                                        text=True, **more)

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
        while True:
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                break
        left = [file for file in os.listdir("/dev/shm") if self.name in file]
        check(left == [], "left in /dev/shm", left)
        return self.process.returncode, output, errors


def finish():
    sys.exit(1 if failures else 0)
