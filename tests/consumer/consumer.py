#!/usr/bin/env python3
"""Install this build somewhere, build a program against the copy, and run it.

usage: consumer.py pkg-config|cmake BUILD_DIRECTORY COMPILER

The installed tree lies under a temporary directory instead of the configured prefix, as it would after
being moved. Skipped (exit status 77) where pkg-config or CMake is missing.
"""

import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
EXPECTED = "sum 5050, worker 3\n"
SKIPPED = 77


def run(*command, **more):
    """Run a command; its output is shown by Meson when the test fails."""
    print("+", shlex.join(map(str, command)), flush=True)
    return subprocess.run(list(map(str, command)), check=True, stdin=subprocess.DEVNULL, **more)


def installed_copy(build, directory):
    """Install into `directory` and return the prefix there."""
    run("meson", "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", directory)
    package_file = next(directory.rglob("dshm.pc"))
    return next(parent for parent in package_file.parents if (parent / "include").is_dir())


def build_with_pkg_config(prefix, compiler, directory):
    package_file = next(prefix.rglob("dshm.pc"))
    environment = os.environ | {"PKG_CONFIG_PATH": str(package_file.parent)}
    flags = run("pkg-config", "--cflags", "--libs", "dshm", env=environment,
                capture_output=True, text=True).stdout
    print(flags, end="", flush=True)
    program = directory / "consumer"
    run(compiler, "-std=c++20", "-O1", HERE / "consumer.cpp", "-o", program, *shlex.split(flags))
    return [program]


def build_with_cmake(prefix, compiler, directory):
    run("cmake", "-G", "Ninja", "-S", HERE, "-B", directory, f"-DCMAKE_PREFIX_PATH={prefix}",
        f"-DCMAKE_CXX_COMPILER={compiler}", "-DCMAKE_BUILD_TYPE=Release")
    run("cmake", "--build", directory)
    return [directory / "consumer", directory / "consumer_static"]


def check_program(program, prefix):
    library_directory = next(prefix.rglob("libdshm.so")).parent
    environment = os.environ | {"LD_LIBRARY_PATH": str(library_directory)}
    output = run(program, env=environment, capture_output=True, text=True).stdout
    if output != EXPECTED:
        sys.exit(f"{program.name} printed {output!r}, expected {EXPECTED!r}")


def check_dshm_run(prefix):
    """The tool must run from where it was put, without LD_LIBRARY_PATH."""
    run(prefix / "bin" / "dshm-run", "--help", stdout=subprocess.DEVNULL)


def main():
    way, build, compiler = sys.argv[1], sys.argv[2], sys.argv[3]
    if not shutil.which(way):
        print(f"{way} is not installed")
        return SKIPPED

    with tempfile.TemporaryDirectory(prefix="consumer-", dir=build) as temporary:
        directory = pathlib.Path(temporary)
        prefix = installed_copy(build, directory / "installed")
        (directory / "program").mkdir()
        builder = build_with_pkg_config if way == "pkg-config" else build_with_cmake
        for program in builder(prefix, compiler, directory / "program"):
            check_program(program, prefix)
        check_dshm_run(prefix)
    return 0


if __name__ == "__main__":
    sys.exit(main())
