#!/usr/bin/env python3
"""Compile and run a fuzz target: the decoders, or recovery.

usage: run_fuzz.py BUILD_ROOT LIBDSHM_SO [--target decode|recovery] [--seconds N] [--seeds]
                   [libFuzzer's own options]

The target and the sources that it is about (the ship layer; for recovery, all from the operating system's to
the runtime) are compiled by clang++ with libFuzzer and the address and undefined-behaviour sanitizers; the
other layers come from the library. First it runs every input of
corpus/, then it invents inputs for some seconds, or until it has tried a number of them, from a fixed
seed, so that two runs of one build try the same in the same order. `--seconds 3600 -runs=-1 -seed=0`
looks further. An input that crashes is left in BUILD_ROOT/fuzz with its name printed; once
it is fixed it belongs into corpus/. `--seeds` writes one whole payload of each kind into corpus/.

Ends with 77, which Meson takes for a skip, where clang++ or its libFuzzer is missing.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent / "support"))
import compilers  # noqa: E402

SKIP = 77
SANITIZERS = ["-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=undefined"]
FLAGS = ["-O1", "-g1", "-fno-omit-frame-pointer", "-Wno-unused-command-line-argument"] + SANITIZERS
# Sixteen kilobytes of damage justify no more than this at once.
LIMITS = ["-max_len=16384", "-malloc_limit_mb=64", "-rss_limit_mb=2048", "-timeout=20"]
RUNS = 150_000  # ten seconds or so: a faster machine tries no more than a slower one
# Damage to a segment needs few bytes; the damaged thing is a copy of some megabytes.
RECOVERY_LIMITS = ["-max_len=4096", *LIMITS[1:]]
RECOVERY_RUNS = 30_000
LEAKS = "detect_leaks=0"  # damaged pointers may form cycles, which nobody frees


def can_fuzz(compiler, directory):
    """Whether a target links: Debian has libFuzzer in a package of its own."""
    probe = directory / "probe.cpp"
    probe.write_text("#include <cstddef>\n#include <cstdint>\n"
                     'extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t*, std::size_t)'
                     " { return 0; }\n")
    result = subprocess.run([compiler, *SANITIZERS, str(probe), "-o", str(directory / "probe")],
                            capture_output=True, text=True, check=False)
    return result.returncode == 0


def newest(paths):
    return max(path.stat().st_mtime for path in paths)


def layer(name):
    # The one that stands in for the C++ runtime's throw stays in the library, behind the sanitizer's.
    return [path for path in sorted((ROOT / "libdshm/src" / name).glob("*.cpp"))
            if path.stem != "throw_recorder"]


def sources(target):
    layers = ["ship"] if target == "decode" else ["os", "shm", "sync", "ship", "runtime"]
    return [HERE / f"{target}_fuzz.cpp", *(path for name in layers for path in layer(name))]


def headers():
    return [*(ROOT / "libdshm").rglob("*.hpp")]


def compile_objects(compiler, target_name, flags, directory):
    """The objects of the target, compiled where a source or any header is newer; two at a time."""
    newest_header = newest(headers())
    objects, running = [], []
    for source in sources(target_name):
        target = directory / f"{source.parent.name}_{source.stem}.o"
        objects.append(target)
        if target.exists() and target.stat().st_mtime > max(newest_header, source.stat().st_mtime):
            continue
        if len(running) == 2:
            finish(running.pop(0))
        command = [compiler, *FLAGS, *flags, "-c", str(source), "-o", str(target)]
        running.append((subprocess.Popen(command), target))
    while running:
        finish(running.pop(0))
    return objects


def finish(job):
    process, target = job
    if process.wait() != 0:
        target.unlink(missing_ok=True)
        raise SystemExit(f"{target.name} was not compiled")


def build(compiler, arguments, directory):
    flags = [*compilers.compiler_flags(arguments.build), f"-I{HERE.parent / 'support'}",
             f"-I{ROOT / 'libdshm/src'}"]
    objects = compile_objects(compiler, arguments.target, flags, directory)
    library = pathlib.Path(arguments.linked).resolve()
    program = directory / f"{arguments.target}_fuzz"
    link = [compiler, *SANITIZERS, *map(str, objects), str(library),
            f"-Wl,-rpath,{library.parent}", "-lfmt", "-lboost_context", "-lrt", "-ldl", "-pthread",
            "-Wl,--build-id=sha1", "-o", str(program)]
    subprocess.run(link, check=True)
    return program


def run(program, directory, options, **environment):
    command = [str(program), f"-artifact_prefix={directory}/", *options]
    return subprocess.run(command, cwd=directory, check=False,
                          env=dict(os.environ, ASAN_OPTIONS=LEAKS, **environment)).returncode


def fuzz(program, directory, target, seconds, options):
    """The corpus as it is, then inputs made from it, which are kept apart."""
    corpus = corpus_of(target)
    limits, runs = (LIMITS, RUNS) if target == "decode" else (RECOVERY_LIMITS, RECOVERY_RUNS)
    inputs = sorted(map(str, corpus.iterdir())) if corpus.is_dir() else []
    status = run(program, directory, [*limits, "-verbosity=0", *inputs]) if inputs else 0
    if status == 0 and seconds > 0:
        found = directory / f"found_{target}"
        shutil.rmtree(found, ignore_errors=True)
        found.mkdir()
        status = run(program, directory,
                     [*limits, "-seed=1", f"-runs={runs}", f"-max_total_time={seconds}",
                      "-print_final_stats=1", "-verbosity=1", *options, str(found),
                      *([str(corpus)] if inputs else [])])
    return status


def corpus_of(target):
    return HERE / ("corpus" if target == "decode" else f"corpus_{target}")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("build")
    parser.add_argument("linked", metavar="library")
    parser.add_argument("--target", choices=["decode", "recovery"], default="decode")
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--seeds", action="store_true")
    arguments, options = parser.parse_known_args()

    directory = pathlib.Path(arguments.build).resolve() / "fuzz"
    directory.mkdir(exist_ok=True)
    compiler = shutil.which("clang++")
    if compiler is None or not can_fuzz(compiler, directory):
        print("skipped: there is no clang++ with libFuzzer here")
        return SKIP
    program = build(compiler, arguments, directory)
    if arguments.seeds and arguments.target == "decode":
        return run(program, directory, [], DSHM_FUZZ_SEEDS=str(HERE / "corpus"))
    return fuzz(program, directory, arguments.target, arguments.seconds, options)


if __name__ == "__main__":
    sys.exit(main())
