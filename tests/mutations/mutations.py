#!/usr/bin/env python3
"""Takes each step of the recovery away, and swaps each order that a comment calls needed: a test must fail.

    mutations.py SOURCE --check             every text of mutations.toml is found, and found once
    mutations.py SOURCE --list
    mutations.py SOURCE BUILD               all of them; BUILD is a set-up build directory
    mutations.py SOURCE BUILD --only NAME   those whose name contains NAME; may be given several times
    mutations.py SOURCE BUILD --from NAME   from the first of those on, as after an interrupted run

The source tree is never changed. What is mutated is compiled apart, for the crash build of the library
(tests/meson.build), and linked before that with the tests which shall notice. So one mutation costs the
compilation of one file. A test that fails, ends by a signal, or is not through after many times its usual
time has noticed. First everything runs unmutated, and must pass.

Ends with a table (mutation, who noticed, seconds), also when it is interrupted, and with status 1 if a
mutation went unnoticed, was not run, or its text is not found any more. A mutation that is marked
`equivalent` with a reason is built and run only when it is named; that it is noticed after all is said then.
"""
import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True  # the source tree is never changed

from entries import Mistake, Mutation, check, load, mutated, test_source

TEMPLATE = "task_crash"  # the test whose compile and link commands all others take
SHORTEST_LIMIT, SLOWNESS = 60, 8  # seconds, and times the unmutated run


def plain(name):
    """As the name of a file."""
    return re.sub(r"\W+", "_", name)


# ---- the build -----------------------------------------------------------------------------------


class Build:
    def __init__(self, source, directory):
        self.source, self.directory = source, directory
        self.work = directory / "mutations"
        self.work.mkdir(exist_ok=True)
        # The objects that all link with, and nothing else.
        self.run(["ninja", "tests/libdshm_crash.a", "tests/libcatch_main.a"])
        self.commands = {}
        for entry in json.loads((directory / "compile_commands.json").read_text()):
            file = os.path.realpath(os.path.join(entry["directory"], entry["file"]))
            if entry["output"].startswith("tests/libdshm_crash.a.p/"):
                self.commands[file] = shlex.split(entry["command"])
            elif entry["output"].startswith(f"tests/test_{TEMPLATE}.p/"):
                self.test_command = shlex.split(entry["command"])
        link = subprocess.run(["ninja", "-t", "commands", f"tests/test_{TEMPLATE}"], text=True,
                              cwd=directory, check=True, capture_output=True).stdout.splitlines()[-1]
        self.link_command = shlex.split(link)

    def run(self, command):
        done = subprocess.run([str(word) for word in command], cwd=self.directory, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            raise Mistake(f"{shlex.join(str(word) for word in command)}\n{done.stdout[-4000:]}")

    def compile(self, file, target, command, first=()):
        """As the build does, but to another place, and with other headers first."""
        command = list(command)
        for option in ("-MQ", "-MF", "-o", "-c"):
            at = command.index(option)
            del command[at:at + 2]
        command.remove("-MD")
        at = next(i for i, word in enumerate(command) if word.startswith("-I"))
        command[at:at] = first
        self.run(command + ["-w", "-g0", "-o", target, "-c", file])
        return target

    def compile_unit(self, unit, text_file, target, first=()):
        """A source of the library; its text may lie elsewhere."""
        original = os.path.realpath(self.source / unit)
        if original not in self.commands:
            raise Mistake(f"{unit} is not compiled for the crash build")
        return self.compile(text_file or original, target, self.commands[original],
                            [*first, "-iquote", os.path.dirname(original)])

    def test_object(self, program):
        """Of the unmutated test; kept from run to run while nothing that it may include changes."""
        file, target = test_source(self.source, program), self.work / f"{plain(program)}_test.o"
        headers = [path for part in ("libdshm/include", "tests", "examples")
                   for path in (self.source / part).glob("**/*.hpp")]
        newest = max(path.stat().st_mtime for path in [file, *headers])
        if not target.exists() or target.stat().st_mtime < newest:
            self.compile(file, target, self.test_command)
        return target

    def link(self, target, test, objects):
        command = list(self.link_command)
        command[command.index("-o") + 1] = str(target)
        at = next(i for i, word in enumerate(command) if word.endswith("_test.cpp.o"))
        command[at:at + 1] = [test, *objects]
        self.run(command)
        return target


def case_that_failed(output):
    """The title under the first rule that Catch2 prints."""
    found = re.search(r"^-{79}\n(.+)\n", output, re.M)
    return f": {found[1].strip()}" if found else ""


def perform(program, pattern, limit):
    """What became of a test: None for the good end, else how it failed and which of its cases."""
    child = subprocess.Popen([program, "--abort"] + ([pattern] if pattern else []), text=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, errors="replace",
                             stderr=subprocess.STDOUT, start_new_session=True,
                             env={**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC"})
    how, output = None, ""
    try:
        output = child.communicate(timeout=limit)[0]
        if child.returncode < 0:
            how = signal.Signals(-child.returncode).name
        elif child.returncode != 0:
            how = "failed"
    except subprocess.TimeoutExpired:
        how = "hung"
    finally:
        try:
            os.killpg(child.pid, signal.SIGKILL)  # what it has left, in a session of its own
        except ProcessLookupError:
            pass
        child.communicate()
    if "No test cases matched" in output:
        raise Mistake(f"{program.name}: no test is called {pattern}")
    return how and how + case_that_failed(output)


# ---- the runs ------------------------------------------------------------------------------------


@dataclasses.dataclass
class Outcome:
    mutation: Mutation
    fine: bool
    by: str  # the test that noticed, or that nobody did
    how: str = ""
    seconds: float = 0


class Runs:
    def __init__(self, build):
        self.build = build
        self.usual = {}  # seconds of the unmutated tests

    def unmutated(self, tests):
        """Each test as it is; the sentences about those that fail."""
        for test in sorted(tests):
            program, pattern = self.split(test)
            target = self.build.work / f"{plain(program)}_unmutated"
            self.build.link(target, self.build.test_object(program), [])
            began = time.monotonic()
            how = perform(target, pattern, 600)
            self.usual[test] = time.monotonic() - began
            target.unlink()
            print(f"unmutated  {test}: {how or 'passes'}, {self.usual[test]:.1f} s", flush=True)
            if how:
                yield f"{test}: {how}, although nothing is mutated"

    @staticmethod
    def split(test):
        program, _, pattern = test.partition(":")
        return program, pattern.strip()

    def objects(self, mutation, directory):
        """The mutated file, compiled, or the sources that include it; and options for the test."""
        text = mutated(mutation, (self.build.source / mutation.file).read_text())
        if not mutation.is_header():
            copy = directory / os.path.basename(mutation.file)
            copy.write_text(text)
            return [self.build.compile_unit(mutation.file, copy, directory / "mutated.o")], []
        copy = directory / mutation.file
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text)
        first = ["-I", directory / mutation.file.partition("include/")[0] / "include"]
        return [self.build.compile_unit(unit, None, directory / f"{index}.o", first)
                for index, unit in enumerate(mutation.units)], first

    def try_out(self, mutation):
        """Who noticed and how; None if nobody did."""
        directory = self.build.work / plain(mutation.name)
        directory.mkdir(exist_ok=True)
        objects, first = self.objects(mutation, directory)
        for test in mutation.by:
            program, pattern = self.split(test)
            compiled = self.build.test_object(program)
            if first:
                compiled = self.build.compile(test_source(self.build.source, program),
                                              directory / f"{plain(program)}_test.o",
                                              self.build.test_command, first)
            linked = self.build.link(directory / plain(program), compiled, objects)
            how = perform(linked, pattern, max(SHORTEST_LIMIT, SLOWNESS * self.usual[test]))
            linked.unlink()
            if how:
                return test, how
        return None

    def outcome(self, mutation):
        began = time.monotonic()
        try:
            caught = self.try_out(mutation)
        except Mistake as mistake:
            return Outcome(mutation, False, "NOT BUILT", str(mistake))
        seconds = time.monotonic() - began
        if caught:
            after_all = "after all, and called equivalent: " if mutation.equivalent else ""
            return Outcome(mutation, True, caught[0], after_all + caught[1], seconds)
        if mutation.equivalent:
            return Outcome(mutation, True, "equivalent, as it says", "", seconds)
        return Outcome(mutation, False, "SURVIVED", "", seconds)

    def all(self, mutations, jobs):
        """Outcomes in the order of the table, as they come."""
        pool = concurrent.futures.ThreadPoolExecutor(jobs)
        try:
            yield from pool.map(self.outcome, mutations)
        finally:
            pool.shutdown(cancel_futures=True)  # waits for what runs


def show(outcomes, chosen):
    """The table at the end; true when all is well."""
    widest = max((len(outcome.mutation.name) for outcome in outcomes), default=0)
    print(f"\n{'mutation':{widest}}  seconds  noticed by")
    for outcome in outcomes:
        rest = f" ({outcome.how})" if outcome.how and outcome.fine else ""
        print(f"{outcome.mutation.name:{widest}}  {outcome.seconds:7.1f}  {outcome.by}{rest}")
    bad = [outcome for outcome in outcomes if not outcome.fine]
    for outcome in bad:
        print(f"\n{outcome.by}: {outcome.mutation.name}, in {outcome.mutation.file}"
              f"{chr(10) + outcome.how if outcome.how else ''}")
    print(f"\n{len(outcomes) - len(bad)} of {len(chosen)} mutations are noticed, "
          f"{len(bad)} are not, {len(chosen) - len(outcomes)} were not run; "
          f"{sum(outcome.seconds for outcome in outcomes):.0f} seconds")
    return not bad and len(outcomes) == len(chosen)


def choose(mutations, options):
    if options.only:
        return [mutation for mutation in mutations
                if any(part in mutation.name for part in options.only)]
    chosen = [mutation for mutation in mutations if not mutation.equivalent]
    if options.first:
        names = [mutation.name for mutation in chosen]
        begin = next((i for i, name in enumerate(names) if options.first in name), len(names))
        chosen = chosen[begin:]
    return chosen


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("build", type=pathlib.Path, nargs="?")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--only", action="append", metavar="NAME", default=[])
    parser.add_argument("--from", dest="first", metavar="NAME", default="")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    if options.build is None and not options.check and not options.list:
        parser.error("a build directory is needed to run them")
    return options


def main():
    options = parse_options()
    mutations = load()
    mistakes = list(check(options.source, mutations))
    if mistakes or options.check:
        print("\n".join(mistakes) or f"{len(mutations)} mutations fit the sources")
        return 1 if mistakes else 0
    chosen = choose(mutations, options)
    if options.list:
        for mutation in chosen if options.only else mutations:
            print(f"{mutation.name:72} {mutation.equivalent or ', '.join(mutation.by)}")
        return 0
    if not chosen:
        raise Mistake("no mutation has such a name")

    def interrupt(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)  # as Meson ends a test whose time is over
    runs = Runs(Build(options.source.resolve(), options.build.resolve()))
    broken = list(runs.unmutated({test for mutation in chosen for test in mutation.by}))
    if broken:
        print("\n".join(broken))
        return 1
    outcomes = []
    try:
        for outcome in runs.all(chosen, options.jobs):
            outcomes.append(outcome)
            print(f"[{len(outcomes)}/{len(chosen)}] {outcome.mutation.name}: {outcome.by}", flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    return 0 if show(outcomes, chosen) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Mistake as mistake:
        sys.exit(f"mutations.py: {mistake}")
