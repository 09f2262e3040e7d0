"""Workers that are fresh processes: as good as forked ones, refused where they cannot be, never left behind.

usage: exec.py DSHM_RUN SUBJECT EXEC_SUBJECT LATE_LIBRARY OTHER_BUILD
"""

import os
import re
import shutil
import signal
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from processes import Program, case, check, finish, start  # noqa: E402

RUN, PLAIN, SUBJECT, LATE, OTHER = (os.path.abspath(path) for path in sys.argv[1:6])
start()


def subject(*arguments, **more):
    return Program(SUBJECT, *arguments, **more).end()


def good(name, *arguments, **more):
    """A run that holds by itself. Gives what it printed."""
    case(name)
    code, output, errors = subject(*arguments, **more)
    check(code == 0, "it ends well", code, output, errors)
    return output, errors


def build_id(library):
    """From the file, without the library under test: the note's owner, GNU, is followed by the id."""
    with open(library, "rb") as file:
        found = re.search(rb"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0(.{20})", file.read(), re.DOTALL)
    return found.group(1).hex()


output, errors = good("fresh and forked workers in one session", "mixed")
check((output, errors) == ("", ""), "and they say nothing", output, errors)
good("what the library gives a worker is the same for both", "attributes")
good("arguments", "arguments", SUBJECT)
good("a segment of another layout", "other-build")
good("deaths", "deaths")
good("another program", "other-program", PLAIN)
with tempfile.TemporaryDirectory(dir=os.path.dirname(os.path.dirname(SUBJECT))) as directory:  # finds libdshm there
    other = os.path.join(directory, os.path.basename(SUBJECT))
    identity = bytes.fromhex(build_id(SUBJECT))
    with open(SUBJECT, "rb") as file, open(other, "wb") as copy:
        copy.write(file.read().replace(identity, identity[::-1]))
    os.chmod(other, 0o755)
    output, errors = good("another build of the program", "other-program", other)
    for part in (SUBJECT, identity.hex(), identity[::-1].hex()):
        check(part in output, f"the error names {part}", output)
with tempfile.TemporaryDirectory() as directory:
    good("directory and environment", "place", directory)

output, errors = good("programs that are no workers", "failures", SUBJECT)
check("From worker" in output and "to out" in output, "what they print is shown", output, errors)

output, errors = good("what is printed before the Session is shown", "startup")
check("      From worker 2:\tmain begins\n" in output, "under the worker's name", output, errors)

case("threads before the Session")
output, errors = good("threads before the Session", "threads")
check(output == "fresh\n", "workers are fresh", output)
check(errors.count("Start::exec") == 1, "and that is said once", errors)
check(errors.count("stay locked") == 1, "so are forked ones that were asked for", errors)
output, errors = good("threads before the Session, and forks all the same", "threads", env={"DSHM_START": "fork"})
check(output == "forked\n", "workers are forked", output)
check(errors.count("dshm: ") == 1 and "stay locked" in errors, "with one warning", errors)
output, errors = good("threads before the Session, and exec asked for", "threads", env={"DSHM_START": "exec"})
check(output == "fresh\n" and "Start::exec" not in errors, "nothing to say", output, errors)

for _ in range(10):
    good("threads that are busy at the Session", "busy")

with tempfile.TemporaryDirectory() as directory:
    late = os.path.join(directory, "liblate.so")
    other = os.path.join(directory, "libother.so")
    shutil.copy(LATE, late)
    good("a library opened after the Session", "late", late)
    good("opened by a relative path", "late", "./liblate.so", cwd=directory)
    shutil.copy(OTHER, other)
    ids = [build_id(late), build_id(other)]
    output, errors = good("a library that was built again meanwhile", "replaced", late, other)
    for part in (late, *ids, "another build", "On worker"):
        check(output.count(part) == 2, f"both workers name {part}", output)

case("dshm-run --start")
for mode in ("exec", "fork"):
    code, output, errors = Program(RUN, "-n", "2", "--start", mode, SUBJECT, "count").end()
    check((code, output, errors) == (0, "2 workers\n", ""), f"--start {mode}", code, output, errors)
code, output, errors = Program(RUN, "-n", "2", "--start", "exec", SUBJECT, "mixed").end()
check(code == 9, "ids go on", code, output, errors)

case("the variable of workers does not make a program a worker")
for value in ("", "nonsense", "1 2 3", "1 2 2 1 2147483647 3 4 5 6 0 0", "1 2 2 1 1 -1 4 5 6 0 0",
              "2 2 2 1 1 3 4 5 6 0 0"):
    code, output, errors = subject("count", env={"DSHM_WORKER_START": value})
    check(code == 1 and output == "" and "DSHM_WORKER_START" in errors, f"'{value}' is refused", code, output, errors)

case("a signal ends everything")
for number in (signal.SIGTERM, signal.SIGKILL):
    program = Program(SUBJECT, "work")
    program.pids()
    program.process.send_signal(number)
    code, output, errors = program.end()
    check(code == -number, f"status after signal {number}", code, errors)

case("any process of the session is killed")
for victim in ("launcher", "worker"):
    program = Program(SUBJECT, "work")
    os.kill(program.pids()[victim][0], signal.SIGKILL)
    if victim == "worker":
        program.process.send_signal(signal.SIGTERM)
    code, output, errors = program.end()
    check(code != 0, f"the {victim} is killed", code, errors)

case("few files may be open")
for limit in (10, 14, 20, 30, 40):
    program = Program("/bin/sh", "-c", f"ulimit -n {limit}; exec {PLAIN} add 10", env={"DSHM_START": "exec"})
    code, output, errors = program.end()
    check((code, output) == (0, "10 added\n") or (code == 9 and output == ""), f"{limit} files", code, output, errors)

finish()
