#!/usr/bin/env python3
"""Takes each step of the recovery away, and swaps each order that a comment calls needed: a test must fail.

    mutations.py SOURCE --check             every text of mutations.toml is found, and found once
    mutations.py SOURCE --list
    mutations.py SOURCE BUILD               all of them; BUILD is a set-up build directory
    mutations.py SOURCE BUILD --only NAME   those whose name contains NAME; may be given several times

The source tree is never changed. What is mutated is compiled apart, for the crash build of the library
(tests/meson.build), and linked before that with the tests which shall notice. So one mutation costs the
compilation of one file. A test that fails, ends by a signal, or is not through after many times its usual
time has noticed. First everything runs unmutated, and must pass.

Ends with a table, and with status 1 if a mutation went unnoticed or its text is not found any more. A
mutation that is marked `equivalent` with a reason is built and run only when it is named; that it is
noticed after all is said then.
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
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
TEMPLATE = "task_crash"  # the test whose compile and link commands all others take
SHORTEST_LIMIT, SLOWNESS = 60, 8  # seconds, and times the unmutated run


class Mistake(Exception):
    """In the table, or in what it is applied to."""


@dataclasses.dataclass
class Mutation:
    name: str
    file: str
    by: list            # "program" or "program: filter of Catch2", tried in this order
    inside: str = ""    # the first line of the function, where the text occurs elsewhere too
    remove: str = ""    # a text, of a statement all but its semicolon, or
    change: str = ""    # a text and what comes in its place, or
    to: str = ""
    swap: list = dataclasses.field(default_factory=list)  # two texts that change places
    units: list = dataclasses.field(default_factory=list)  # of a header: sources compiled with it
    equivalent: str = ""

    def is_header(self):
        return self.file.endswith(".hpp")


def load():
    mutations = [Mutation(**entry)
                 for entry in tomllib.loads((HERE / "mutations.toml").read_text())["mutation"]]
    names = [mutation.name for mutation in mutations]
    for name in names:
        if names.count(name) > 1:
            raise Mistake(f"{name}: the name of two mutations")
    return mutations


# ---- the text ------------------------------------------------------------------------------------


def find(name, text, wanted, begin=0, end=None):
    """Where the wanted text is, however it is broken into lines."""
    pattern = r"\s*".join(re.escape(word) for word in re.findall(r"\w+|[^\w\s]", wanted))
    found = list(re.compile(pattern).finditer(text, begin, len(text) if end is None else end))
    if len(found) != 1:
        raise Mistake(f"{name}: found {len(found)} times and not once: {wanted.strip()}")
    return found[0].span()


def region(mutation, text):
    """From the first line of the function to the brace that closes it, at the same depth."""
    if not mutation.inside:
        return 0, len(text)
    begin = find(mutation.name, text, mutation.inside)[0]
    begin = text.rfind("\n", 0, begin) + 1
    depth = re.match(r" *", text[begin:])[0]
    end = re.compile(rf"^{depth}}}", re.M).search(text, begin)
    if end is None:
        raise Mistake(f"{mutation.name}: no end of {mutation.inside}")
    return begin, end.end()


def mutated(mutation, text):
    where = region(mutation, text)
    if mutation.swap:
        (a, b), (c, d) = sorted(find(mutation.name, text, part, *where) for part in mutation.swap)
        if b > c:
            raise Mistake(f"{mutation.name}: the two texts overlap")
        return text[:a] + text[c:d] + text[b:c] + text[a:b] + text[d:]
    begin, end = find(mutation.name, text, mutation.remove or mutation.change, *where)
    rest = ";" if mutation.remove.endswith(";") else mutation.to  # it may have been all of an `if`
    return text[:begin] + rest + text[end:]


def check(source, mutations):
    """All mistakes of the table, without building anything."""
    for mutation in mutations:
        kinds = [kind for kind in (mutation.remove, mutation.change, mutation.swap) if kind]
        try:
            if len(kinds) != 1 or not mutation.by:
                raise Mistake(f"{mutation.name}: one of remove, change and swap, and who notices")
            if mutation.is_header() != ("include/" in mutation.file):
                raise Mistake(f"{mutation.name}: only headers of include/ can be mutated")
            text = (source / mutation.file).read_text()
            if mutated(mutation, text) == text:
                raise Mistake(f"{mutation.name}: changes nothing")
            for test in mutation.by:
                test_source(source, test.partition(":")[0])
            for unit in mutation.units:
                if not (source / unit).is_file():
                    raise Mistake(f"{mutation.name}: there is no {unit}")
        except (Mistake, OSError) as mistake:
            yield str(mistake)


def test_source(source, program):
    found = sorted((source / "tests").glob(f"**/{program}_test.cpp"))
    if len(found) != 1:
        raise Mistake(f"{len(found)} files are called {program}_test.cpp")
    return found[0]


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
        self.run(command + ["-w", "-o", target, "-c", file])
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
        parts = [self.source / "libdshm/include", self.source / "tests"]
        newest = max(path.stat().st_mtime for part in parts for path in part.glob("**/*.?pp"))
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


def perform(program, pattern, limit):
    """What became of a test, and how long it took: None for the good end."""
    began = time.monotonic()
    child = subprocess.Popen([program, "--abort"] + ([pattern] if pattern else []), text=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, start_new_session=True,
                             env={**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC"})
    try:
        output = child.communicate(timeout=limit)[0]
        status = child.returncode
        how = None
        if status < 0:
            how = signal.Signals(-status).name
        elif status != 0:
            how = "failed"
        if how is None and "No test cases matched" in output:
            raise Mistake(f"{program.name}: no test is called {pattern}")
    except subprocess.TimeoutExpired:
        how = "hung"
    try:
        os.killpg(child.pid, signal.SIGKILL)  # what it has left, in a session of its own
    except ProcessLookupError:
        pass
    child.communicate()
    return how, time.monotonic() - began


# ---- the runs ------------------------------------------------------------------------------------


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
            how, seconds = perform(target, pattern, 600)
            self.usual[test] = seconds
            print(f"unmutated  {test}: {how or 'passes'}, {seconds:.1f} s", flush=True)
            if how:
                yield f"{test}: {how} although nothing is mutated"

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
            how, _ = perform(linked, pattern, max(SHORTEST_LIMIT, SLOWNESS * self.usual[test]))
            linked.unlink()
            if how:
                return f"{test} ({how})"
        return None

    def outcome(self, mutation):
        try:
            caught = self.try_out(mutation)
        except Mistake as mistake:
            return False, f"not built: {mistake}"
        if mutation.equivalent:
            return True, f"noticed after all by {caught}" if caught else "equivalent, as it says"
        return caught is not None, caught or "SURVIVED"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("build", type=pathlib.Path, nargs="?")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--only", action="append", metavar="NAME", default=[])
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()

    mutations = load()
    mistakes = list(check(options.source, mutations))
    if mistakes or options.check:
        print("\n".join(mistakes) or f"{len(mutations)} mutations fit the sources")
        return 1 if mistakes else 0
    chosen = [mutation for mutation in mutations
              if (any(part in mutation.name for part in options.only) if options.only
                  else not mutation.equivalent)]
    if options.list:
        for mutation in chosen if options.only else mutations:
            print(f"{mutation.name:52} {mutation.equivalent or ', '.join(mutation.by)}")
        return 0
    if options.build is None:
        parser.error("a build directory is needed to run them")

    runs = Runs(Build(options.source.resolve(), options.build.resolve()))
    broken = list(runs.unmutated({test for mutation in chosen for test in mutation.by}))
    if broken:
        print("\n".join(broken))
        return 1
    good = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for mutation, (fine, how) in zip(chosen, pool.map(runs.outcome, chosen)):
            good += fine
            print(f"{mutation.name:52} {how}", flush=True)
    print(f"{good} of {len(chosen)} mutations were noticed; "
          f"{sum(bool(m.equivalent) for m in mutations)} are marked as equivalent")
    return 0 if good == len(chosen) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Mistake as mistake:
        sys.exit(f"mutations.py: {mistake}")
