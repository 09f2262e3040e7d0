"""What mutations.toml says, and what an entry makes of a source: texts only, nothing is built here."""
import dataclasses
import pathlib
import re
import tomllib

HERE = pathlib.Path(__file__).resolve().parent


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


# ---- a text in a source --------------------------------------------------------------------------


def matches(words, text, begin, end):
    """All places of these words, however they are broken into lines."""
    pattern = r"\s*".join(re.escape(word) for word in words)
    return list(re.compile(pattern).finditer(text, begin, end))


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def nearest(words, text, begin, end):
    """Where most of the first words are, and what comes there instead of the next one."""
    for count in range(len(words) - 1, 0, -1):
        for found in matches(words[:count], text, begin, end)[:1]:
            rest = " ".join(text[found.end():found.end() + 60].split())
            return (f"the nearest is line {line_of(text, found.start())}, where `{words[count]}` is "
                    f"wanted and this comes: {rest}")
    return f"not even `{words[0]}`"


def find(mutation, text, wanted, begin=0, end=None):
    """Where the wanted text is."""
    end = len(text) if end is None else end
    words = re.findall(r"\w+|[^\w\s]", wanted)
    found = matches(words, text, begin, end)
    if len(found) == 1:
        return found[0].span()
    where = f" in {mutation.inside}" if mutation.inside and begin > 0 else ""
    lines = ", ".join(str(line_of(text, match.start())) for match in found)
    why = (f"it is on the lines {lines}; name the function in `inside`, or more of the text"
           if found else f"it is not there, {nearest(words, text, begin, end)}")
    raise Mistake(f"{mutation.name}\n"
                  f"  fits {mutation.file}{where} no more: {wanted.strip()}\n  {why}")


def region(mutation, text):
    """From the first line of the function to the brace that closes it, at the same depth."""
    if not mutation.inside:
        return 0, len(text)
    begin = find(mutation, text, mutation.inside)[0]
    begin = text.rfind("\n", 0, begin) + 1
    depth = re.match(r" *", text[begin:])[0]
    end = re.compile(rf"^{depth}}}", re.M).search(text, begin)
    if end is None:
        raise Mistake(f"{mutation.name}\n  {mutation.file}: no end of {mutation.inside}")
    return begin, end.end()


def mutated(mutation, text):
    where = region(mutation, text)
    if mutation.swap:
        (a, b), (c, d) = sorted(find(mutation, text, part, *where) for part in mutation.swap)
        if b > c:
            raise Mistake(f"{mutation.name}\n  the two texts overlap")
        return text[:a] + text[c:d] + text[b:c] + text[a:b] + text[d:]
    begin, end = find(mutation, text, mutation.remove or mutation.change, *where)
    rest = ";" if mutation.remove.endswith(";") else mutation.to  # it may have been all of an `if`
    return text[:begin] + rest + text[end:]


# ---- all of the table ----------------------------------------------------------------------------


def test_source(source, test):
    """Of "program", "program: filter" or "folder/program"."""
    program = test.partition(":")[0]
    found = sorted((source / "tests").glob(f"**/{program}_test.cpp"))
    if len(found) != 1:
        raise Mistake(f"{len(found)} files are called {program}_test.cpp")
    return found[0]


def examine(source, mutation):
    """Raises a Mistake, or an OSError, where the entry does not fit the sources."""
    kinds = [kind for kind in (mutation.remove, mutation.change, mutation.swap) if kind]
    if len(kinds) != 1 or not mutation.by:
        raise Mistake(f"{mutation.name}\n  one of remove, change and swap, and who notices")
    if mutation.is_header() != ("include/" in mutation.file):
        raise Mistake(f"{mutation.name}\n  only headers of include/ can be mutated")
    text = (source / mutation.file).read_text()
    if mutated(mutation, text) == text:
        raise Mistake(f"{mutation.name}\n  changes nothing")
    for test in mutation.by:
        test_source(source, test)
    for unit in mutation.units:
        if not (source / unit).is_file():
            raise Mistake(f"{mutation.name}\n  there is no {unit}")


def check(source, mutations):
    """All mistakes of the table, without building anything."""
    for mutation in mutations:
        try:
            examine(source, mutation)
        except (Mistake, OSError) as mistake:
            yield str(mistake)
