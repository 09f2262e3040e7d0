"""What is said of crashes that need a program of their own: fresh workers, handlers, malloc's lock, no memory.

usage: crash_report.py DSHM_RUN SUBJECT CRASH_SUBJECT. What needs a cgroup of its own is left out where none can be made.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from processes import Program, case, check, finish, has_sanitizer, start  # noqa: E402

SUBJECT = sys.argv[3]
MEBIBYTE = 1 << 20
start()


def crash(how, *parts, **environment):
    """Both the one who fetches and the terminal are told all of the parts."""
    code, output, errors = Program(SUBJECT, how, env=environment).end()
    check(code == 0, "the program goes on", code, output, errors)
    for part in parts:
        check(part in output, f"the fetcher is told '{part}'", output)
        check(part in errors, f"standard error has '{part}'", errors)
    return output, errors


case("a fresh worker")
crash("fault", "killed by SIGSEGV", "write_nowhere", DSHM_START="exec")

case("in malloc, with its lock held")
sanitized = has_sanitizer(SUBJECT)
if sanitized:
    print("left out: the sanitizer's malloc finds out by itself, and takes more memory", flush=True)
else:
    crash("malloc", "killed by SIGABRT", "break_malloc")
    crash("malloc", "killed by SIGABRT", "break_malloc", DSHM_START="exec")

case("an assertion")
crash("assert", "killed by SIGABRT", "fail_assertion")

case("a handler that the program had before its Session")
if sanitized:
    print("left out: the sanitizer always has handlers, which workers do not keep", flush=True)
else:
    for how in "fork", "exec":
        output, errors = crash("handler", "exit code 42", DSHM_START=how)
        check("write_nowhere" not in output + errors, "nothing is added", output, errors)

case("no memory")
group = None
for root, limits in (("/sys/fs/cgroup/memory", ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")),
                     ("/sys/fs/cgroup", ("memory.max", "memory.swap.max"))):
    if sanitized:
        break
    path = f"{root}/dshm-crash-{os.getpid()}"
    try:
        os.mkdir(path)
        group = path
        with open(f"{path}/{limits[0]}", "w") as file:
            file.write(str(256 * MEBIBYTE))
    except OSError:
        if group:
            os.rmdir(group)
        group = None
        continue
    try:  # only where swap is counted
        with open(f"{path}/{limits[1]}", "w") as file:
            file.write("0" if "swap.max" in limits[1] else str(256 * MEBIBYTE))
    except OSError:
        pass
    break
if group:
    code, output, errors = Program("/bin/sh", "-c", f"echo $$ > {group}/cgroup.procs && exec env DSHM_CAPACITY=256M "
                                   f"{SUBJECT} memory").end()
    check(code == 0 and "out of memory" in output and "out of memory" in errors and "SIGKILL" in output,
          "the cause is named", code, output, errors)
    os.rmdir(group)

finish()
