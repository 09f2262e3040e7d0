#!/usr/bin/env python3
"""Named arrays of a running dshm session, as NumPy arrays.

    import dshm

    with dshm.attach("weather") as session:     # the session's DSHM_NAME
        grid = session.array("grid")            # the same memory, not a copy
        grid[0, :] = 273.15
        print(session.arrays())

An array is column-major, as the session has it, and writable unless its file was opened to be read. Its
memory is held as long as the array or any view of it lives, even after the session has ended or been
closed here. Elements that are no numbers come as bytes of their size (NumPy's void type), which `dtype`
may name better: session.array("particles", dtype=[("x", "f8"), ("charge", "i4")]).

A forked child has no part in the session and not the memory: let multiprocessing "spawn", and attach there.

Without NumPy an array is a memoryview. The file needs libdshm.so and nothing else: looked for by
DSHM_LIBRARY, beside this file and in the lib directories next to it, then where the system looks.

On the command line: `python3 dshm.py --help`.
"""

import argparse
import ctypes
import ctypes.util
import glob
import math
import numbers
import os
import sys

__all__ = ["attach", "Session", "Entry", "Error", "NotFound", "library_path"]

MAX_DIMS = 4
OTHER, SIGNED, UNSIGNED, FLOATING, COMPLEX = range(5)
NOT_FOUND = 2
INVALID = 1
NO_MEMORY = 5


class Error(RuntimeError):
    """What the library says: no such session, it has ended, another build, and so on."""


class NotFound(Error, KeyError):
    """There is nothing of that name."""

    def __str__(self):
        return RuntimeError.__str__(self)


# ---- the library ---------------------------------------------------------------------------------


class _Array(ctypes.Structure):
    """struct dshm_array of dshm/c.h"""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("bytes", ctypes.c_size_t),
        ("size", ctypes.c_size_t),
        ("dims", ctypes.c_size_t * MAX_DIMS),
        ("element_size", ctypes.c_size_t),
        ("dimensions", ctypes.c_int32),
        ("kind", ctypes.c_int32),
        ("read_only", ctypes.c_int32),
        ("reserved", ctypes.c_int32),
        ("hold", ctypes.c_void_p),
    ]


class _Entry(ctypes.Structure):
    """struct dshm_entry of dshm/c.h"""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_char_p),
        ("bytes", ctypes.c_size_t),
        ("dims", ctypes.c_size_t * MAX_DIMS),
        ("element_size", ctypes.c_size_t),
        ("dimensions", ctypes.c_int32),
        ("kind", ctypes.c_int32),
        ("object", ctypes.c_int32),
        ("read_only", ctypes.c_int32),
    ]


_Visit = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Entry), ctypes.c_void_p)

_SIGNATURES = {
    "dshm_attach": [ctypes.c_char_p, ctypes.c_int, ctypes.POINTER(ctypes.c_void_p)],
    "dshm_detach": [ctypes.c_void_p],
    "dshm_check_session": [ctypes.c_void_p],
    "dshm_list": [ctypes.c_void_p, _Visit, ctypes.c_void_p],
    "dshm_open_array": [ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(_Array)],
    "dshm_release_array": [ctypes.POINTER(_Array)],
}
_TEXTS = {
    "dshm_session_name": [ctypes.c_void_p],
    "dshm_type_name": [ctypes.POINTER(_Array)],
    "dshm_error": [],
}


def _candidates():
    here = os.path.dirname(os.path.abspath(__file__))
    folders = [here]
    above = here
    for _ in range(4):  # share/dshm, lib/python3/dist-packages, a source tree: all below a prefix
        above = os.path.dirname(above)
        folders += [os.path.join(above, lib) for lib in ("lib", "lib64")]
        folders += sorted(glob.glob(os.path.join(glob.escape(above), "lib", "*-linux-gnu")))
    for folder in folders:
        for name in ("libdshm.so.0", "libdshm.so"):
            yield os.path.join(folder, name)


def library_path():
    """Where libdshm.so is. Raises Error when it is nowhere."""
    named = os.environ.get("DSHM_LIBRARY")
    if named:
        return named
    for path in _candidates():
        if os.path.exists(path):
            return path
    for name in ("libdshm.so.0", "libdshm.so"):  # LD_LIBRARY_PATH and the linker's own places
        try:
            ctypes.CDLL(name)
            return name
        except OSError:
            pass
    found = ctypes.util.find_library("dshm")
    if found:
        return found
    raise Error("libdshm.so was not found; set DSHM_LIBRARY to its path")


_loaded = None


def _library():
    global _loaded
    if _loaded is None:
        path = library_path()
        try:
            library = ctypes.CDLL(path)
            for result, functions in ((ctypes.c_int, _SIGNATURES), (ctypes.c_char_p, _TEXTS)):
                for name, arguments in functions.items():
                    getattr(library, name).argtypes = arguments
                    getattr(library, name).restype = result
        except (OSError, AttributeError) as error:
            raise Error(f"{path} is no libdshm that this file can use: {error}") from None
        _loaded = library
    return _loaded


def _check(code):
    if code == 0:
        return
    text = _library().dshm_error().decode(errors="replace")
    if code == NOT_FOUND:
        raise NotFound(text)
    if code == INVALID:
        raise ValueError(text)
    if code == NO_MEMORY:
        raise MemoryError(text)
    raise Error(text)


def _name_bytes(name):
    if not isinstance(name, str):
        raise TypeError(f"dshm: a name is a string, not {type(name).__name__}")
    if "\0" in name:
        raise ValueError(f"dshm: {name!r} has a zero byte in it")
    return os.fsencode(name)


def _milliseconds(seconds):
    """For dshm_attach, to which a negative time is its own."""
    if seconds is None:
        return -1
    if not isinstance(seconds, numbers.Real):
        raise TypeError(f"dshm: a timeout is a number of seconds, not {type(seconds).__name__}")
    if math.isnan(seconds):
        raise ValueError("dshm: a timeout is a number of seconds, not NaN")
    return int(min(max(0, seconds * 1000), 2**31 - 1))


# ---- arrays --------------------------------------------------------------------------------------


class _Memory:
    """A held array: let go of when nothing refers to this any more."""

    def __init__(self, client, name):
        self.array = _Array()
        _check(_library().dshm_open_array(client, _name_bytes(name), ctypes.byref(self.array)))

    def __del__(self):
        if self.array.hold:
            _loaded.dshm_release_array(ctypes.byref(self.array))

    def element(self):
        """What its elements are: arguments for _type_code and _memory_format."""
        name = _library().dshm_type_name(ctypes.byref(self.array)).decode(errors="replace")
        return self.array.kind, self.array.element_size, name

    def buffer(self):
        """Its bytes; whatever is made over them keeps the memory held."""
        bytes_type = ctypes.c_char * self.array.bytes
        if self.array.bytes == 0:
            buffer = bytes_type()
        else:
            buffer = bytes_type.from_address(self.array.data)
        buffer.dshm_memory = self
        return buffer


def _type_code(kind, size, name):
    """NumPy's name of an element type; void of the size for what is no number."""
    if name == "bool" and size == 1:
        return "?"
    if name == "long double" and size == ctypes.sizeof(ctypes.c_longdouble):
        return "g"
    sizes = {SIGNED: (1, 2, 4, 8), UNSIGNED: (1, 2, 4, 8), FLOATING: (4, 8), COMPLEX: (8, 16)}
    letters = {SIGNED: "i", UNSIGNED: "u", FLOATING: "f", COMPLEX: "c"}
    return f"{letters[kind]}{size}" if size in sizes.get(kind, ()) else f"V{size}"


def _memory_format(kind, size, name):
    """The struct module's letter; None for what it has none for."""
    if name == "bool" and size == 1:
        return "?"
    letters = {(SIGNED, 1): "b", (SIGNED, 2): "h", (SIGNED, 4): "i", (SIGNED, 8): "q",
               (UNSIGNED, 1): "B", (UNSIGNED, 2): "H", (UNSIGNED, 4): "I", (UNSIGNED, 8): "Q",
               (FLOATING, 4): "f", (FLOATING, 8): "d"}
    return letters.get((kind, size))


def _numpy():
    try:
        import numpy
    except ImportError:
        return None
    return numpy


def _as_numpy(numpy, memory, dtype):
    array = memory.array
    element = numpy.dtype(_type_code(*memory.element()) if dtype is None else dtype)
    if element.itemsize != array.element_size:
        raise ValueError(f"dshm: elements have {array.element_size} bytes, and {element} has "
                         f"{element.itemsize}")
    if element.hasobject:
        raise ValueError(f"dshm: {element} refers to objects, which shared memory cannot hold")
    result = numpy.ndarray(tuple(array.dims[:array.dimensions]), element, memory.buffer(), order="F")
    if array.read_only:
        result.flags.writeable = False
    return result


def _as_memoryview(memory):
    """One dimension, element after element, the first index running fastest."""
    array = memory.array
    view = memoryview(memory.buffer()).cast("B")
    code = _memory_format(*memory.element())
    if code and array.size:
        view = view.cast(code)
    return view.toreadonly() if array.read_only else view


# ---- sessions ------------------------------------------------------------------------------------


class Entry:
    """A named object: kind ("array" or "channel"), name, type, shape, dtype, read_only."""

    def __init__(self, entry):
        self.kind = "channel" if entry.object else "array"
        self.name = os.fsdecode(entry.name)
        self.type = entry.type.decode(errors="replace")
        self.shape = tuple(entry.dims[:entry.dimensions])
        self.dtype = (None if entry.object
                      else _type_code(entry.kind, entry.element_size, self.type))
        self.bytes = entry.bytes
        self.read_only = bool(entry.read_only)

    def __repr__(self):
        if self.kind == "channel":
            return f"<channel {self.name!r} of {self.type}>"
        return f"<array {self.name!r} of {self.type}, shape {self.shape}>"


class Session:
    """A place in a running session; made by attach()."""

    def __init__(self, name, timeout=None):
        self._client = None
        client = ctypes.c_void_p()
        _check(_library().dshm_attach(_name_bytes(name), _milliseconds(timeout), ctypes.byref(client)))
        self._client = client
        self.name = os.fsdecode(_library().dshm_session_name(client))

    def _live(self):
        if self._client is None:
            raise Error("dshm: this session has been closed here")
        return self._client

    def array(self, name, dtype=None):
        """The named array, as a NumPy array (or, without NumPy, a memoryview of one dimension)."""
        memory = _Memory(self._live(), name)
        numpy = _numpy()
        if numpy is None:
            if dtype is not None:
                raise Error("dshm: a dtype needs NumPy, which is not installed")
            return _as_memoryview(memory)
        return _as_numpy(numpy, memory, dtype)

    def names(self):
        """All that has a name: a list of Entry, ascending."""
        found = []
        visit = _Visit(lambda entry, _: found.append(Entry(entry.contents)))
        _check(_library().dshm_list(self._live(), visit, None))
        return found

    def arrays(self):
        return [entry for entry in self.names() if entry.kind == "array"]

    def check(self):
        """Raises Error when the session has ended."""
        _check(_library().dshm_check_session(self._live()))

    def close(self):
        """Leaves the session, as soon as no array of it is left here.

        Until then the same session can be attached to again, and no other.
        """
        if self._client is not None:
            client, self._client = self._client, None
            _check(_library().dshm_detach(client))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        if self._client is not None and _loaded is not None:
            _loaded.dshm_detach(self._client)

    def __repr__(self):
        return f"<dshm session {self.name!r}{'' if self._client else ', closed'}>"


def attach(name, timeout=None):
    """Joins the running session of that name (its DSHM_NAME), of this user on this machine.

    Waits `timeout` seconds at most, 10 by default, for a session that does not answer. Raises Error
    with what was found, ValueError for what is no name. One session at a time in a process, and one that
    was closed counts as long as an array of it lives.
    """
    return Session(name, timeout)


# ---- the command line ----------------------------------------------------------------------------


def _print_list(session):
    entries = session.names()
    if not entries:
        print(f"session {session.name} has nothing with a name")
    for entry in entries:
        shape = " × ".join(str(n) for n in entry.shape)
        size = f"{shape} of {entry.type}" if entry.kind == "array" else f"of {entry.type}"
        print(f"{entry.kind:8}{entry.name}  {size}{'  (read only)' if entry.read_only else ''}")


def _print_array(session, name):
    array = session.array(name)
    print(array if hasattr(array, "dtype") else array.tolist())


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="dshm.py", description="Shows what a running dshm session shares under a name.")
    parser.add_argument("session", metavar="NAME", help="the session's name (its DSHM_NAME)")
    parser.add_argument("array", metavar="ARRAY", nargs="?", help="prints this array's values")
    parser.add_argument("--timeout", type=float, default=None, metavar="SECONDS",
                        help="how long a session that does not answer is waited for (10)")
    given = parser.parse_args(arguments)
    try:
        with attach(given.session, given.timeout) as session:
            if given.array is None:
                _print_list(session)
            else:
                _print_array(session, given.array)
    except (Error, ValueError) as error:
        print(f"dshm.py: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
