#!/usr/bin/env python3
"""Check that loops over arrays compile to the instructions of the same loops over raw pointers.

usage: instructions.py BUILD_DIRECTORY FILE.cpp COMPILER

FILE.cpp has functions raw_NAME, and others named NAME_... that do the same with handles of the library.
Both are compiled to assembly with -O3. The innermost loop with a packed multiplication is where an array
is worked through; it must be there, and be the same in both, when registers and labels are numbered
in the order in which they come, addresses count from the lowest one, and a comparison for equality has
its operands in one order. On x86-64 only, and if there is the compiler.
"""

import pathlib
import platform
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from compilers import compiler_flags, installed_compilers  # noqa: E402

SKIPPED = 77
PACKED = re.compile(r"v?mulpd\b")
ARCHITECTURES = ["x86-64", "x86-64-v3"]
# Where a compiler adds up the address anew for each vector: what it does with the vectors must be the same.
OTHER_ADDRESSES = {("clang++", "columns_captured_in_a_loop")}

# The names of one register at its several widths are one name.
WIDTHS = {f"{old}": number for number, names in enumerate(
    ("rax eax ax al", "rbx ebx bx bl", "rcx ecx cx cl", "rdx edx dx dl", "rsi esi si sil", "rdi edi di dil",
     "rbp ebp bp bpl", "rsp esp sp spl", *(f"r{n} r{n}d r{n}w r{n}b" for n in range(8, 16))))
    for old in names.split()}


def functions_of(assembly):
    """{name: lines} of the functions of an assembly listing: labels and instructions alone."""
    found, lines = {}, None
    for line in assembly.splitlines():
        line = line.split("#")[0].strip()
        label = re.fullmatch(r"([A-Za-z_][\w.]*):", line)
        if label and not label[1].startswith("."):
            lines = found.setdefault(label[1], [])
        elif lines is not None and line and (line.endswith(":") or not line.startswith(".")):
            lines.append(re.sub(r"\s+", " ", line))
    return found


def loops_of(lines):
    """Every loop without another in it: the instructions from a label to the jump back to it."""
    labels = {line[:-1]: at for at, line in enumerate(lines) if line.endswith(":")}
    loops = []
    for at, line in enumerate(lines):
        target = labels.get(line.split()[-1]) if re.match(r"j\w+ ", line) else None
        if target is not None and target < at:
            loops.append((target, at))
    return [lines[first:last + 1] for first, last in loops
            if not any(first <= a and b <= last and (a, b) != (first, last) for a, b in loops)]


def reached_from(functions, name):
    """The lines of a function and of those that it calls, however many calls away: each once."""
    reached, open_names = {}, [name]
    while open_names:
        at = open_names.pop()
        if at in functions and at not in reached:
            reached[at] = functions[at]
            open_names += [line.split()[-1].split("@")[0] for line in functions[at]
                           if re.match(r"(callq?|jmp) ", line)]
    return reached.values()


def normalised(loop):
    """The instructions, as they would be with other registers, labels and a start elsewhere."""
    names = {}

    def numbered(match):
        word = match[0].lstrip("%")
        kind, key = ("x", word[3:]) if word[1:3] == "mm" else ("r", WIDTHS.get(word, word))
        return f"%{kind}{names.setdefault((kind, key), len(names))}"

    instructions = [re.sub(r"\.L\w+", "LABEL", line) for line in loop if not line.endswith(":")]
    instructions = [re.sub(r"%\w+", numbered, line) for line in instructions]
    if re.match(r"j(ne|e) ", instructions[-1]):
        instructions[-2] = re.sub(r"^(cmp\w* )(%\w+), (%\w+)$", in_order, instructions[-2])
    return from_the_lowest(instructions)


def in_order(comparison):
    first, second = sorted(comparison.groups()[1:])
    return f"{comparison[1]}{first}, {second}"


def from_the_lowest(instructions):
    """Offsets of memory operands, counted from the lowest one: a loop may run on any multiple of its index."""
    memory = re.compile(r"(-?\d*)(?=\()")
    offsets = [int(offset or 0) for line in instructions for offset in memory.findall(line)[:1]
               if not line.startswith("lea")]
    lowest = min(offsets, default=0)
    return [memory.sub(lambda offset: str(int(offset[1] or 0) - lowest), line, count=1)
            if not line.startswith("lea") else line for line in instructions]


def vector_loops(functions, name):
    """Every loop with packed multiplications that the function runs, normalised."""
    return [normalised(loop) for lines in reached_from(functions, name) for loop in loops_of(lines)
            if any(PACKED.match(line) for line in loop)]


def compile_to_assembly(compiler, flags, architecture, source):
    command = [compiler, *flags, "-O3", f"-march={architecture}", "-fno-asynchronous-unwind-tables",
               "-S", "-o", "-", str(source)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


def on_vectors(loop):
    """How often a loop does what to vectors, whatever the registers and the order."""
    return sorted(line.split()[0] for line in loop if "%x" in line)


def shown(loop):
    return "\n".join("        " + line for line in loop)


def difference(functions, name, raw_name, compiler):
    """None, or what sets the one function's loop apart from the other's."""
    raw, loops = vector_loops(functions, raw_name), vector_loops(functions, name)
    if not raw:
        return f"{raw_name} itself is not vectorised"
    if not loops:
        return f"{name} is not vectorised"
    # Compilers keep several forms of a loop, for what is left over, or for another step.
    if raw[0] in loops:
        return None
    if (compiler, name) in OTHER_ADDRESSES and on_vectors(raw[0]) in map(on_vectors, loops):
        return None
    return f"{name} has this loop:\n{shown(loops[0])}\n    and {raw_name} has\n{shown(raw[0])}"


def problems_of(functions, compiler):
    """What is wrong, as a list of sentences, and how many functions were compared."""
    pairs = [(name, raw) for raw in functions if raw.startswith("raw_")
             for name in functions if name.startswith(raw[len("raw_"):] + "_")]
    found = (difference(functions, *pair, compiler) for pair in pairs)
    return [problem for problem in found if problem], len(pairs)


def main():
    build, source, compiler = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
    if platform.machine() != "x86_64" or compiler not in installed_compilers():
        print("skipped: this needs an x86-64 and", compiler)
        return SKIPPED
    flags = compiler_flags(build)
    wanted = len(re.findall(r'^extern "C" void (?!raw_)', source.read_text(), re.MULTILINE))
    failed = False
    for architecture in ARCHITECTURES:
        assembly = compile_to_assembly(compiler, flags, architecture, source)
        problems, compared = problems_of(functions_of(assembly), compiler)
        if compared != wanted:
            problems.append(f"{compared} functions were compared instead of {wanted}")
        for problem in problems:
            print(f"{compiler} -march={architecture}: {problem}")
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
