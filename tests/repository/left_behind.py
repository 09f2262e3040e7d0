#!/usr/bin/env python3
"""Look for what the test suite left behind: processes, segments, files.

usage: left_behind.py BUILD_DIRECTORY

Runs after all other tests. A process counts when its program lies in the build directory, or when it
calls itself `dshm:...` and nobody's program can be told any more (a zombie). A shared-memory object
`dshm.<uid>.*` counts unless a living process of another build has it mapped, since somebody may be
using the library on the same machine meanwhile. A process on its way out gets a few seconds.
"""

import os
import pathlib
import sys
import time

PATIENCE = 10.0
PAUSE = 0.1


def read_or(default, function, *arguments):
    """A process may vanish while it is looked at."""
    try:
        return function(*arguments)
    except OSError:
        return default


def own_processes():
    """The /proc directories of this user's processes, this one and its ancestors left out."""
    family = ancestors()
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) not in family:
            if read_or(None, lambda: entry.stat().st_uid) == os.getuid():
                yield entry


def ancestors():
    family, process = set(), os.getpid()
    while process > 0:
        family.add(process)
        process = parent_of(process)
    return family


def parent_of(process):
    status = read_or("", pathlib.Path(f"/proc/{process}/status").read_text)
    return next((int(line.split()[1]) for line in status.splitlines()
                 if line.startswith("PPid:")), 0)


def program_of(entry):
    return read_or("", os.readlink, entry / "exe")


def name_of(entry):
    return read_or("", (entry / "comm").read_text).strip()


def from_build(entry, build):
    return program_of(entry).startswith(f"{build}/")


def left_processes(build):
    for entry in own_processes():
        zombie = name_of(entry).startswith("dshm:") and not program_of(entry)
        if from_build(entry, build) or zombie:
            yield f"process {entry.name} «{name_of(entry)}» {program_of(entry)}"


def mapped_elsewhere(segment, build):
    return any(str(segment) in read_or("", (entry / "maps").read_text)
               for entry in own_processes() if not from_build(entry, build))


def left_segments(build):
    for segment in pathlib.Path("/dev/shm").glob(f"dshm.{os.getuid()}.*"):
        if not mapped_elsewhere(segment, build):
            yield f"shared memory {segment}"


def left_files():
    for directory in ("/tmp", os.environ.get("TMPDIR", "/tmp"), "/dev/shm"):
        for path in pathlib.Path(directory).glob("dshm.*"):
            if path.parent.name != "shm" or not path.name.startswith(f"dshm.{os.getuid()}."):
                if read_or(None, lambda path=path: path.stat().st_uid) == os.getuid():
                    yield f"file {path}"


def left_behind(build):
    return [*left_processes(build), *left_segments(build), *left_files()]


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    deadline = time.monotonic() + PATIENCE
    found = left_behind(build)
    while found and time.monotonic() < deadline:
        time.sleep(PAUSE)
        found = left_behind(build)
    print("\n".join(found) or "nothing left behind")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
