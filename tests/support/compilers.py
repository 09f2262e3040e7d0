"""Which compilers are here, and with what flags the library is compiled.

The flags come from the build directory's own compile_commands.json, so that a test that calls a
compiler by itself sees the same include directories as the build, wherever Meson found them.
"""

import json
import pathlib
import shlex
import shutil

WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Wnon-virtual-dtor", "-Werror"]


def installed_compilers():
    """g++ and clang++, those of them that are installed."""
    return [name for name in ("g++", "clang++") if shutil.which(name)]


def compiler_flags(build):
    """The standard, the include directories and the macros that the library is compiled with."""
    commands = json.loads((pathlib.Path(build) / "compile_commands.json").read_text())
    command = next((entry for entry in commands if "/libdshm/src/" in entry["file"]), None)
    if command is None:
        raise SystemExit(f"{build}: compile_commands.json has no source of libdshm in it")
    return list(wanted(shlex.split(command["command"]), pathlib.Path(command["directory"])))


def wanted(arguments, directory):
    arguments = iter(arguments)
    for argument in arguments:
        if argument in ("-I", "-isystem"):
            yield from (argument, str(directory / next(arguments)))
        elif argument.startswith("-isystem"):
            yield from ("-isystem", str(directory / argument[len("-isystem"):]))
        elif argument.startswith("-I"):
            yield from ("-I", str(directory / argument[len("-I"):]))
        elif argument.startswith(("-std=", "-D")):
            yield argument
