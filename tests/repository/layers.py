#!/usr/bin/env python3
"""Check the layer rule on a source tree.

usage: layers.py SOURCE_ROOT

The library is built in layers. A file of a layer includes headers of its own layer and of those below
it, never of one above; the flat public headers lie on top of all. The rule is in libdshm/README.md.
Third parties are fenced: each may be included in the layers listed in FENCES and nowhere else, so that
it can be replaced, and so that a user's program does not pay for what it does not use.
"""

import pathlib
import re
import sys

# Bottom-up. Public headers, include/dshm/*.hpp, come after the last.
LAYERS = ["base", "os", "shm", "sync", "queue", "ship", "runtime", "launch"]
PUBLIC = "public"
INSIDE = "detail"  # the inside of the public headers: belongs to them

# Include prefix -> places that may include it. A place is a layer, or a path below the source root.
FENCES = {
    "boost/interprocess/": ["shm"],
    "boost/context/": ["runtime"],
    "boost/process": ["launch", "tools"],
    "Eigen/": ["libdshm/include/dshm/eigen.hpp"],
    "unsupported/Eigen/": ["libdshm/include/dshm/eigen.hpp"],
    "cereal/": ["ship", "libdshm/include/dshm/eigen.hpp"],
    "CLI/": ["tools"],
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
SUFFIXES = {".hpp", ".cpp", ".h", ".ipp"}


def files_below(directory):
    return sorted(path for path in directory.rglob("*") if path.suffix in SUFFIXES)


def layer_of_file(path, root):
    """The layer of a header or a source of the library."""
    parts = path.relative_to(root).parts
    inner = parts[3:] if parts[:3] == ("libdshm", "include", "dshm") else parts[2:]
    return inner[0] if len(inner) > 1 and inner[0] != INSIDE else PUBLIC


def layer_of_include(name):
    """The layer of "dshm/...", or None where something else is included."""
    parts = pathlib.PurePosixPath(name).parts
    if parts[0] != "dshm":
        return None
    return parts[1] if len(parts) > 2 and parts[1] != INSIDE else PUBLIC


def height(layer):
    return LAYERS.index(layer) if layer in LAYERS else len(LAYERS)


def layer_problem(layer, name):
    target = layer_of_include(name)
    if target is None:
        return None
    if target != PUBLIC and target not in LAYERS:
        return f"includes <{name}>: there is no layer «{target}»"
    if height(target) > height(layer):
        return f"includes <{name}>: {layer} may not know {target}, which lies above it"
    return None


def fence_problem(place, path, name):
    """`place` is the layer, or the top directory of what is not the library."""
    for prefix, allowed in FENCES.items():
        if name.startswith(prefix) and place not in allowed and path not in allowed:
            return f"includes <{name}>: only {', '.join(allowed)} may"
    return None


def include_problems(path, root):
    relative = path.relative_to(root)
    in_library = relative.parts[0] == "libdshm"
    layer = layer_of_file(path, root) if in_library else None
    if in_library and layer != PUBLIC and layer not in LAYERS:
        yield f"lies in «{layer}», which is no layer"
        return
    for bracket, name in INCLUDE.findall(path.read_text(encoding="utf-8")):
        if in_library and bracket == '"' and not name.startswith("dshm/") and "/" in name:
            yield f'includes "{name}": write "dshm/...", so that the layer can be seen'
        if in_library and (problem := layer_problem(layer, name)):
            yield problem
        if problem := fence_problem(layer or relative.parts[0], str(relative), name):
            yield problem


def missing_layer_headers(root):
    """Each layer has a header of its own name that says what it is for."""
    include = root / "libdshm" / "include" / "dshm"
    for layer in LAYERS:
        directory = include / layer
        if files_below(directory) and not (directory / f"{layer}.hpp").is_file():
            yield f"{directory.relative_to(root)}: no {layer}.hpp that says what the layer is for"


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    problems = list(missing_layer_headers(root))
    for top in ("libdshm", "tools"):
        for path in files_below(root / top):
            problems += [f"{path.relative_to(root)} {text}" for text in include_problems(path, root)]
    print("\n".join(problems) or "the layers hold")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
