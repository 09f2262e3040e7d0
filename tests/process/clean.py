"""dshm-clean removes what is stale, and nothing else.

usage: clean.py DSHM_RUN SUBJECT DSHM_CLEAN
"""

import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from processes import Program, case, check, finish, start  # noqa: E402

RUN, SUBJECT, CLEAN = sys.argv[1:4]
start()
PREFIX = f"dshm.{os.getuid()}."


def clean(*arguments):
    done = subprocess.run([CLEAN, *arguments], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def there(program):
    return os.path.exists("/dev/shm/" + PREFIX + program.name)


def lines(output, program):
    return [line for line in output.splitlines() if line.startswith(PREFIX + program.name + " ")]


case("a session that lives")
living = Program(RUN, "-n", "1", SUBJECT, "work")
pids = living.pids()
code, output, errors = clean("--all", "-n")
check(code == 0 and len(lines(output, living)) == 1 and f"process {pids['launcher'][0]}" in output,
      "is shown with its launcher", code, output, errors)
code, output, errors = clean()
check(code == 0 and lines(output, living) == [] and there(living), "is not touched", code, output, errors)

case("a session whose launcher is stopped")
os.kill(pids["launcher"][0], signal.SIGSTOP)
code, output, errors = clean("--all")
check("lives" in output and there(living), "lives", output)
os.kill(pids["launcher"][0], signal.SIGCONT)

case("a session all of whose processes were killed at once")
dead = Program(RUN, "-n", "2", SUBJECT, "work")
gone = dead.pids()
everybody = gone["launcher"] + gone["worker"] + gone.get("master", [])
for pid in everybody:
    os.kill(pid, signal.SIGSTOP)  # so that none sees another's end
for pid in everybody:
    os.kill(pid, signal.SIGKILL)
dead.process.kill()
dead.process.wait()
while True:  # the master, which dshm-run's death ends, is ours to wait for
    pid, status = os.waitpid(-1, 0)
    everybody = [other for other in everybody if os.path.exists(f"/proc/{other}")]
    if not everybody:
        break
check(there(dead), "stays behind")
code, output, errors = clean("-n")
check(code == 0 and "stale" in "".join(lines(output, dead)) and there(dead), "is shown by -n", code, output, errors)
code, output, errors = clean()
check(code == 0 and "removed" in "".join(lines(output, dead)) and not there(dead), "is removed", code, output, errors)
check(there(living), "and only that")

case("what is not a segment of this user's")
odd = "/dev/shm/" + PREFIX + Program("true").name
for make in (lambda: os.symlink("/etc/hostname", odd), lambda: os.mkfifo(odd), lambda: os.mkdir(odd)):
    make()
    code, output, errors = clean()
    check(code == 0 and os.path.lexists(odd), "is not touched", code, output, errors)
    (os.rmdir if os.path.isdir(odd) else os.unlink)(odd)

case("command line")
code, output, errors = clean("--help")
check(code == 0 and "--dry-run" in output, "help", output)
code, output, errors = clean("--everything")
check(code == 2 and "everything" in errors, "unknown option", code, errors)

case("the end of the living one")
living.process.send_signal(signal.SIGTERM)
living.end()
finish()
