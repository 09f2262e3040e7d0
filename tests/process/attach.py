"""Programs that no session started, in C++, C and Python, read and write what one shares.

usage: attach.py DSHM_RUN SUBJECT ATTACH_SESSION ATTACHED_CPP ATTACHED_C LIBRARY PYTHON_MODULE_DIRECTORY

Where a Python with NumPy is found the module is tested with it, and always without.
"""

import os
import signal
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from processes import Program, case, check, finish, python_environment, start  # noqa: E402

SESSION, CPP, C, LIBRARY, MODULE = (os.path.abspath(path) for path in sys.argv[3:8])
start(200)
ENVIRONMENT = python_environment(LIBRARY, MODULE)


class Session(Program):
    """A running session that obeys words."""

    def __init__(self, *arguments):
        super().__init__(SESSION, *arguments, stdin=subprocess.PIPE)
        check(self.process.stdout.readline() == "working\n", "the session works")

    def tell(self, word):
        """Gives what it answered."""
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().removesuffix("done\n").strip()

    def leave(self):
        code, output, errors = self.end()
        check(code == 0, "the session ends well", code, output, errors)


def run(*command, **more):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                          env=ENVIRONMENT, **more)
    return done.returncode, done.stdout, done.stderr


def has_numpy(python):
    return run(python, "-c", "import numpy")[0] == 0


def numpy_python():
    candidates = [sys.executable, "/usr/bin/python3", "python3"]
    return next((python for python in candidates if os.path.exists(python) and has_numpy(python)), None)


def good(python, script, *arguments):
    code, output, errors = run(python, "-c", script, *arguments)
    check(code == 0, "the Python program ends well", code, output, errors)
    return output


def program_in_cpp():
    case("a program in C++")
    session = Session()
    program = subprocess.Popen([CPP, session.name], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    check(session.tell("echo") == "the answer is 42", "messages go both ways")
    output, errors = program.communicate(timeout=60)
    check(program.returncode == 0, "it ends well", program.returncode, errors)
    check(output.startswith(f"{session.name} 3x4 5.5\n"), "it reads the grid", output)
    for name in ("cube", "grid", "numbers", "particles", "texts", "waves"):
        check(f"{name} " in output, f"it lists {name}", output)
    session.leave()


def killed_program():
    case("a program that is killed while it holds an array")
    session = Session()
    before = None
    for _ in range(3):
        program = subprocess.Popen([CPP, session.name, "wait"], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        check(session.tell("echo") == "the answer is 42", "it works")
        program.kill()
        program.communicate(timeout=60)
        run(CPP, session.name + "x")  # refused; the launcher has buried the other by the next answer
        while before is not None and int(session.tell("blocks")) > before:
            pass
        before = int(session.tell("blocks"))
    session.leave()


def session_is_killed():
    case("a session that is killed while a program waits")
    session = Session()
    program = subprocess.Popen([CPP, session.name, "wait"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    check(session.tell("echo") == "the answer is 42", "it works")
    session.process.send_signal(signal.SIGKILL)
    output, errors = program.communicate(timeout=60)
    check(program.returncode == 1 and "has ended" in errors, "it gets an error", program.returncode, errors)
    session.end()
    code, output, errors = run(CPP, session.name)
    check(code == 1 and "no such session" in errors, "and cannot come back", code, errors)


def program_in_c():
    case("a program in C")
    if C.endswith(".c"):
        print("no C compiler: the C program is not tested")
        return
    session = Session()
    code, output, errors = run(C, session.name)
    check((code, output) == (0, "all is well\n"), "it finds what it should", code, output, errors)
    session.leave()


BOTH = """
import dshm, gc, sys
name, file = sys.argv[1:3]
try:
    dshm.attach("no-such-session")
    raise SystemExit("nothing raised")
except dshm.Error as error:
    assert "no such session" in str(error) and name in str(error), error
for bad, kind in (("grid", TypeError), (b"1", TypeError), (float("nan"), ValueError)):
    try:
        dshm.attach(name, bad)
        raise SystemExit("nothing raised")
    except kind as error:
        assert "timeout is a number of seconds" in str(error)
for bad, kind in (("a/b", ValueError), ("a\\0b", ValueError), (3, TypeError)):
    try:
        dshm.attach(bad)
        raise SystemExit("nothing raised")
    except kind:
        pass
session = dshm.attach(name, timeout=20)
assert session.name == name
kinds = {entry.name: entry for entry in session.names()}
assert kinds["numbers"].kind == "channel" and kinds["cube"].shape == (2, 3, 4), kinds
assert [entry.name for entry in session.arrays()] == [
    "cube", "file", "flags", "grid", "none", "particles", "precise", "waves"]
assert kinds["flags"].dtype == "?" and kinds["precise"].dtype == "g"
assert kinds["file"].read_only and not kinds["grid"].read_only
assert kinds["cube"].dtype == "i4" and kinds["particles"].dtype == "V16" and kinds["waves"].dtype == "c16"
try:
    session.array("missing")
    raise SystemExit("nothing raised")
except dshm.NotFound as error:
    assert "missing" in str(error)
    assert isinstance(error, KeyError)
try:
    session.array("numbers")
    raise SystemExit("nothing raised")
except ValueError as error:
    assert "'numbers' is a channel, not an array" in str(error)
"""

WITH_NUMPY = BOTH + """
import numpy
grid = session.array("grid")
assert grid.dtype == numpy.float64 and grid.shape == (3, 4) and grid.flags.f_contiguous and grid.flags.writeable
assert grid[1, 2] == -7           # written without NumPy, before
grid[1, 2] = 3.5
assert (grid == numpy.arange(12).reshape(3, 4, order="F") / 2).all()
grid[1, 2] = -8
assert session.array("grid")[1, 2] == -8
grid[1, 2] = -7
assert session.array("grid")[1, 2] == -7
assert session.array("waves").dtype == numpy.complex128 and session.array("waves")[2] == 1.5 - 2.5j
assert session.array("cube").shape == (2, 3, 4) and session.array("cube").dtype == numpy.int32
assert session.array("none").size == 0
flags = session.array("flags")
assert flags.dtype == numpy.bool_ and flags.tolist() == [False, True, False] and grid[:3, 0][flags].size == 1
precise = session.array("precise")
assert precise.dtype == numpy.longdouble and precise[1] == 0.25
raw = session.array("particles")
assert raw.dtype.itemsize == 16 and raw.shape == (6,)
named = session.array("particles", dtype=[("x", "f8"), ("charge", "i4"), ("id", "i4")])
assert named["x"][1] == 2.5 and named["charge"][1] == -1 and named[1]["id"] == 7
for dtype in ("f4", "O"):
    try:
        session.array("grid", dtype=dtype)
        raise SystemExit("nothing raised")
    except ValueError:
        pass
file = session.array("file")
assert (file == numpy.arange(8, dtype="f4")).all() and not file.flags.writeable
try:
    file[0] = 1
    raise SystemExit("nothing raised")
except ValueError:
    pass
row = grid[1]
del grid
session.close()
gc.collect()
assert row[2] == -7           # a view holds the memory, and the place in the session
try:
    session.arrays()
    raise SystemExit("nothing raised")
except dshm.Error as error:
    assert "closed" in str(error)
again = dshm.attach(name)     # that place
assert again.name == name and again.array("grid")[1, 2] == -7
again.close()
try:
    dshm.attach(name + "-other")
    raise SystemExit("nothing raised")
except dshm.Error as error:
    assert "arrays of session '" + name + "' are still held; drop them first" in str(error), error
del row, raw, named, file, flags, precise
gc.collect()
with dshm.attach(name) as again:
    assert again.array("grid")[1, 2] == -7
    again.check()
print("good")
"""

WITHOUT_NUMPY = """
import sys
sys.modules["numpy"] = None   # as if it were not installed
""" + BOTH + """
grid = session.array("grid")
assert isinstance(grid, memoryview) and grid.format == "d" and grid.shape == (12,) and not grid.readonly
assert grid[5] == 2.5
grid[7] = -7.0
assert session.array("grid")[7] == -7.0
assert session.array("file").readonly and list(session.array("file")) == [float(i) for i in range(8)]
assert len(session.array("none")) == 0 and len(session.array("particles")) == 96
session.close()
assert grid[7] == -7.0
with dshm.attach(name) as again:     # grid lives
    flags = again.array("flags")
    assert flags.format == "?" and flags.tolist() == [False, True, False]
    try:
        dshm.attach(name)
        raise SystemExit("nothing raised")
    except dshm.Error as error:
        assert "already" in str(error)
assert grid[7] == -7.0 and flags[1]
del flags
try:
    dshm.attach(name + "-other")
    raise SystemExit("nothing raised")
except dshm.Error as error:
    assert "1 array of session '" + name + "' is still held; drop it first" in str(error), error
del grid
try:
    dshm.attach(name + "-other")
    raise SystemExit("nothing raised")
except dshm.Error as error:
    assert "no such session" in str(error)
dshm.attach(name).close()
print("good")
"""


def python_module():
    case("the Python module without NumPy")
    with tempfile.NamedTemporaryFile() as file:
        file.write(struct.pack("8f", *range(8)))
        file.flush()
        session = Session(file.name)
        check(good(sys.executable, WITHOUT_NUMPY, session.name, file.name) == "good\n", "all of it runs")
        case("the Python module with NumPy")
        numpy = numpy_python()
        if numpy is None:
            print("no Python with NumPy: the module is tested without it alone (python3-numpy)")
        else:
            check(good(numpy, WITH_NUMPY, session.name, file.name) == "good\n", "all of it runs")
            workers_write(numpy, session)
        session.leave()


def workers_write(python, session):
    case("what workers write is seen in Python")
    script = """
import dshm, sys
with dshm.attach(sys.argv[1]) as session:
    grid = session.array("grid")
    before = grid[0, 0]
    print("ready", flush=True)
    sys.stdin.readline()
    assert grid[0, 0] == before + 1, grid
    print("dropped?", flush=True)
    sys.stdin.readline()
    assert grid[0, 0] == before + 1   # the session has let go of it
"""
    program = subprocess.Popen([python, "-c", script, session.name], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    check(program.stdout.readline() == "ready\n", "it is there")
    for word in ("write", "drop"):
        session.tell(word)
        program.stdin.write("\n")
        program.stdin.flush()
        program.stdout.readline()
    program.communicate(timeout=60)
    check(program.returncode == 0, "it sees them", program.returncode)


def command_line():
    case("the Python command line")
    script = os.path.join(MODULE, "dshm.py")
    session = Session()
    code, output, errors = run(sys.executable, script, session.name)
    check(code == 0 and "grid  3 × 4 of double" in output and "channel numbers" in output, "it lists", output, errors)
    code, output, errors = run(numpy_python() or sys.executable, script, session.name, "grid")
    check(code == 0 and "5.5" in output, "it prints values", output, errors)
    code, output, errors = run(sys.executable, script, session.name, "missing")
    check(code == 1 and "missing" in errors and "Traceback" not in errors, "it says what is missing", errors)
    code, output, errors = run(sys.executable, script, "no-such-session")
    check(code == 1 and session.name in errors and "Traceback" not in errors, "it says what there is", errors)
    code, output, errors = run(sys.executable, script, "--help")
    check(code == 0 and "ARRAY" in output, "it has help", output, errors)
    code, output, errors = run(sys.executable, "-c", "import dshm; dshm.attach('x')")
    session.leave()
    case("a library that is none")
    done = subprocess.run([sys.executable, script, "x"], env=dict(ENVIRONMENT, DSHM_LIBRARY="/etc/hostname"),
                          capture_output=True, text=True)
    check(done.returncode == 1 and "/etc/hostname" in done.stderr and "Traceback" not in done.stderr,
          "it is named", done.stderr)


program_in_cpp()
killed_program()
session_is_killed()
program_in_c()
python_module()
command_line()
finish()
