"""Sessions whose launcher, master, dshm-run, workers, or all at once are killed, at any moment from their start on.

usage: session_kills.py DSHM_RUN KILL_SUBJECT DSHM_CLEAN [KILLS]

DSHM_KILLS_SEED repeats the decisions of a run. The last line counts what happened; all that is behind the
semicolon must be zero.
"""

import os
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from processes import case, check, failures, finish, start  # noqa: E402

RUN, SUBJECT, CLEAN = sys.argv[1:4]
KILLS = int(sys.argv[4]) if len(sys.argv) > 4 else 100
SEED = int(os.environ.get("DSHM_KILLS_SEED", time.time_ns() % 1_000_000))
PATIENCE = 40  # seconds until what is left counts as hung
SESSION_ENDED = 42
PREFIX = f"/dev/shm/dshm.{os.getuid()}."

VICTIMS = {
    "launcher": ["launcher"],
    "master": ["master"],
    "dshm-run": ["run"],
    "master and launcher": ["master", "launcher"],
    "launcher and workers": ["launcher", "workers"],
    "dshm-run and launcher": ["run", "launcher"],
    "a worker": ["worker"],
    "all": ["run", "master", "launcher", "workers"],
    "all, frozen before": ["run", "master", "launcher", "workers"],
}
SIGNALS = [signal.SIGKILL, signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT]


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def tree(run):
    """Who there is now, by what they are."""
    found = {"run": [run], "master": children(run)}
    found["launcher"] = [child for master in found["master"] for child in children(master)]
    found["workers"] = [child for launcher in found["launcher"] for child in children(launcher)]
    found["worker"] = found["workers"][-1:]
    return found


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def describe(pid):
    try:
        with open(f"/proc/{pid}/status") as file:
            lines = [line.strip() for line in file if line.startswith(("Name", "State", "PPid"))]
        with open(f"/proc/{pid}/wchan") as file:
            return f"{pid}: {' '.join(lines)} {file.read()}"
    except OSError:
        return f"{pid}: gone"


def everybody(name):
    """The processes of a session, whoever is their parent now: all were started with its name."""
    mark = f"DSHM_NAME={name}".encode()
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/environ", "rb") as file:
                    if mark in file.read().split(b"\0"):
                        found.append(int(entry))
            except OSError:
                pass
    return found


class Round:
    """One session and its end."""

    count = 0

    def __init__(self, chance):
        Round.count += 1
        self.name = f"kills.{os.getpid()}.{Round.count}"
        self.who = chance.choice(list(VICTIMS))
        self.early = chance.random() < 0.6
        self.delay = chance.uniform(0, 0.05) if self.early else chance.uniform(0.05, 0.2)
        self.number = chance.choice(SIGNALS)
        self.fresh = chance.random() < 0.2
        self.seed = chance.randrange(1_000_000)
        self.limited = self.who == "a worker"
        case(f"round {self.count}: {self.who}, {self.number.name}, {self.delay * 1000:.1f} ms after the start"
             f"{', fresh workers' if self.fresh else ''}")

    def run(self):
        environment = dict(os.environ, DSHM_NAME=self.name, DSHM_CAPACITY="256M")
        command = [RUN, "-n", "3", *(["--start", "exec"] if self.fresh else []), SUBJECT, str(self.seed),
                   "250" if self.limited else "1000000"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, env=environment, text=True)
        time.sleep(self.delay)
        self.struck = self.strike()
        hung = self.await_all()
        self.errors = self.process.stderr.read()
        self.process.stderr.close()
        return hung

    def strike(self):
        there = tree(self.process.pid)
        kinds = [kind for kind in VICTIMS[self.who] if there[kind]]
        while "launcher" in VICTIMS[self.who] and "launcher" not in kinds and self.process.poll() is None:
            there = tree(self.process.pid)  # it comes soon
            kinds = [kind for kind in VICTIMS[self.who] if there[kind]]
        while not kinds and self.process.poll() is None:
            there = tree(self.process.pid)
            kinds = [kind for kind in VICTIMS[self.who] if there[kind]]
        self.launched = bool(there["launcher"])
        pids = [pid for kind in kinds for pid in there[kind]]
        if "frozen" in self.who:
            for pid in pids:
                send(pid, signal.SIGSTOP)
        for pid in pids:
            send(pid, self.number)
        if "frozen" in self.who:
            for pid in pids:
                send(pid, signal.SIGCONT)
        return len(pids)

    def await_all(self):
        """Until the last process of the session has ended; those that have not in time."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return []
            if pid == self.process.pid:
                self.process.returncode = os.waitstatus_to_exitcode(status)
            if pid != 0:
                continue
            if time.monotonic() > until:
                left = everybody(self.name)
                print(*(describe(pid) for pid in left), sep="\n", file=sys.stderr, flush=True)
                if "DSHM_KILLS_HOLD" in os.environ:
                    print("held:", left, flush=True)
                    signal.alarm(0)
                    time.sleep(1_000_000)
                for pid in left:
                    send(pid, signal.SIGKILL)
                until = time.monotonic() + PATIENCE
                self.hung = True
            time.sleep(0.0005)

    def check_status(self):
        code = self.process.returncode
        check("BREACH" not in self.errors and code != 7, "no promise is broken", self.errors[-2000:])
        if self.who in ("launcher", "launcher and workers") and self.struck:
            check(code == SESSION_ENDED and "dshm: " in self.errors, "the master is told", code, self.errors[-2000:])
        if self.who == "a worker":
            check(code in (0, SESSION_ENDED), "the master goes on, or was told that one did not start", code,
                  self.errors[-2000:])


def left_behind():
    return [file for file in os.listdir("/dev/shm") if f".kills.{os.getpid()}." in file]


start(seconds=0)
print(f"DSHM_KILLS_SEED={SEED}", flush=True)
chance = random.Random(SEED)
kills = {who: 0 for who in VICTIMS}
hangs = stale = 0
while sum(kills.values()) < KILLS and not failures:
    one = Round(chance)
    one.hung = False
    one.run()
    hangs += one.hung
    check(not one.hung, "hung")
    check(everybody(one.name) == [], "no process is left", everybody(one.name))
    one.check_status()
    kills[one.who] += one.struck
    left = left_behind()
    own = [file for file in left if file.endswith("." + one.name)]
    # Where nobody was left to do it, or there was no launcher yet, the next session removes the segment.
    if one.launched and not ("all" in one.who or "launcher" in one.who):
        check(own == [], "nothing is left in /dev/shm", own)
    stale += len(own)
    if one.launched:
        check(left == own, "what was left before is removed", left)
case("the end")
subprocess.run([CLEAN], capture_output=True, timeout=60)
check(left_behind() == [], "dshm-clean removes what is left", left_behind())
print(f"{sum(kills.values())} kills in {Round.count} sessions (" + ", ".join(f"{n} {who}" for who, n in kills.items())
      + f"), {stale} segments left for the next session; {hangs} hangs, {len(failures)} failures")
finish()
