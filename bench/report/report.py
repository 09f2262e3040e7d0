#!/usr/bin/env python3
"""Turn results of Google Benchmark into plots and one page.

    build/bench/loop_bench --benchmark_out=loop.json --benchmark_out_format=json
    bench/report/report.py loop.json heads.json --html report.html --svg plots

Reads the JSON of one or several programs, with or without repetitions, and writes a page that needs no network and no
other file (--html, report.html if left out), and each plot as a file of its own where --svg names a directory. Needs
nothing but Python's standard library.

Exit status: 0; 1 when a benchmark in the files has failed (the page says which); 2 for a wrong option, or a file that
is not what it should be.
"""

import argparse
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import page  # noqa: E402 (its place is known only now)
import plots  # noqa: E402
import results  # noqa: E402


def arguments_of(argv):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE.json",
                        help="what --benchmark_out=FILE.json --benchmark_out_format=json wrote")
    parser.add_argument("--html", default="report.html", metavar="FILE", help="the page (report.html)")
    parser.add_argument("--svg", metavar="DIRECTORY", help="also write each plot there")
    parser.add_argument("--title", default="Benchmarks", help="title of the page (Benchmarks)")
    return parser.parse_args(argv)


def file_name(*words):
    return re.sub(r"[^A-Za-z0-9]+", "_", "_".join(words)).strip("_") + ".svg"


def svg_files(run):
    """File name and SVG of each plot of a run."""
    whole = [comparison for comparison in run.comparisons if not comparison.failure]
    files = {file_name(run.name, "speeds"): plots.speeds_plot(whole)}
    for family in run.families():
        names = family.contenders()
        fit = results.fitted(family.points(names[0]))
        files[file_name(run.name, family.name)] = plots.family_plot(family, names, logarithmic=True)
        files[file_name(run.name, family.name, "line")] = plots.family_plot(
            family, names[:1], logarithmic=False, fit=fit)
    for comparison in (comparison for comparison in whole if len(comparison.contenders) > 1):
        files[file_name(run.name, comparison.name, "times")] = plots.times_plot(comparison)
    return {name: svg for name, svg in files.items() if svg}


def write_svgs(runs, directory):
    directory.mkdir(parents=True, exist_ok=True)
    for run in runs:
        for name, svg in svg_files(run).items():
            (directory / name).write_text(plots.standalone(svg), encoding="utf-8")


def main(argv):
    arguments = arguments_of(argv)
    try:
        runs = [results.read(path) for path in arguments.files]
        pathlib.Path(arguments.html).write_text(page.page(runs, arguments.title), encoding="utf-8")
        if arguments.svg:
            write_svgs(runs, pathlib.Path(arguments.svg))
    except results.NotResults as error:
        print(f"report.py: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"report.py: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    failed = [comparison.name for run in runs for comparison in run.comparisons if comparison.failure]
    for name in failed:
        print(f"report.py: {name} has failed; the page says how", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
