#!/usr/bin/env python3
"""Run bench/report/report.py on stored results and look at what it writes.

usage: report_test.py REPORT_PY

results.json beside this file has a comparison with three repetitions, one for each of five numbers of workers (1 µs and
0.5 µs for each), and a plain benchmark; the others have something wrong with them.
"""

import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml

HERE = pathlib.Path(__file__).resolve().parent
REPORT = sys.argv.pop(1)


def run(*arguments):
    return subprocess.run([sys.executable, "-B", REPORT, *map(str, arguments)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)


class InDirectory(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.html = self.directory / "page.html"

    def page_of(self, *names, status=0):
        done = run(*[HERE / name for name in names], "--html", self.html, "--svg", self.directory / "plots")
        self.assertEqual(done.returncode, status, done.stderr)
        return self.html.read_text(encoding="utf-8")


class Pages(InDirectory):
    def rows(self, page):
        """The cells of every line of every table, by the first."""
        tree = xml.fromstring(page.removeprefix("<!DOCTYPE html>\n"))
        lines = [["".join(cell.itertext()) for cell in line] for line in tree.iter("tr")]
        return [line for line in lines if line[0]]

    def test_page_is_well_formed_and_needs_nothing_else(self):
        page = self.page_of("results.json")
        xml.fromstring(page.removeprefix("<!DOCTYPE html>\n"))
        self.assertNotRegex(page, r"<(script|link|img|iframe)|href=|src=|@import|url\(")
        self.assertEqual(set(re.findall(r"https?://[^\"]*", page)), {"http://www.w3.org/2000/svg"})
        self.assertIn("prefers-color-scheme: dark", page)

    def test_medians_and_quartiles_of_repetitions(self):
        rows = self.rows(self.page_of("results.json"))
        # Medians 2, 2.5 and 3 µs; their own quartiles are 0.9 and 1.1 of each, those between them 2.25 and 2.75.
        self.assertIn(["libdshm", "2.5 µs", "[2.25 µs .. 2.75 µs]", "", "", "≤ 3 µs: reached"], rows)
        self.assertIn(["serial", "5 µs", "[4.9 µs .. 5.1 µs]", "1.25", "[1.12 .. 1.38]", "≥ 1.3: missed"],
                      rows)
        self.assertIn(['<bare> & "forks"', "1.1 µs", "[1 µs .. 1.2 µs]", "0.6", "[0.5 .. 0.7]",
                       "≥ 0.5: reached"], rows)

    def test_plain_benchmark(self):
        rows = self.rows(self.page_of("results.json"))
        self.assertIn(["real time", "35 µs", "[27.5 µs .. 42.5 µs]", "", "", ""], rows)

    def test_family_has_its_line_and_table(self):
        page = self.page_of("results.json")
        self.assertIn("libdshm: 1 µs + 500 ns × workers (dashed)", page)
        self.assertIn(["16", "9 µs", "1 µs"], self.rows(page))

    def test_several_files_stay_apart(self):
        page = self.page_of("results.json", "results.json")
        self.assertEqual(page.count("<h2>results</h2>"), 2)

    def test_failed_benchmark_is_shown_and_told(self):
        page = self.page_of("failed.json", status=1)
        self.assertIn("Failed: serial: wrong result: 1 instead of 2", page)


class Plots(InDirectory):
    def test_each_is_a_file_that_stands_alone(self):
        self.page_of("results.json")
        plots = sorted(path.name for path in (self.directory / "plots").iterdir())
        of_each = [f"results_call_workers_{n}_times.svg" for n in (1, 2, 4, 8, 16)]
        self.assertEqual(plots, sorted(of_each + ["results_call_workers.svg", "results_call_workers_line.svg",
                                                  "results_loop_sum_times.svg", "results_speeds.svg"]))
        for path in (self.directory / "plots").iterdir():
            root = xml.parse(path).getroot()
            self.assertEqual(root.tag, "{http://www.w3.org/2000/svg}svg")
            self.assertIsNotNone(root.find("{http://www.w3.org/2000/svg}style"))

    def test_points_lie_where_their_numbers_say(self):
        self.page_of("results.json")
        root = xml.parse(self.directory / "plots" / "results_call_workers_line.svg").getroot()
        dots = [(float(dot.get("cx")), float(dot.get("cy"))) for dot in root.iter("{http://www.w3.org/2000/svg}circle")]
        self.assertEqual(len(dots), 5)
        slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in zip(dots, dots[1:])]
        for slope in slopes: # the five lie on one line, that rises
            self.assertAlmostEqual(slope, slopes[-1], delta=0.02)
        self.assertLess(slopes[-1], 0)


class BadInput(InDirectory):
    def assert_refused(self, name, sentence):
        done = run(HERE / name, "--html", self.html)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn(sentence, done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        self.assertFalse(self.html.exists())

    def test_files_that_are_not_results(self):
        self.assert_refused("missing.json", "missing.json: No such file or directory")
        self.assert_refused("cut.json", "not JSON")
        self.assert_refused("other.json", "it has no list «benchmarks»")
        self.assert_refused("empty.json", "no benchmark in it")
        self.assert_refused("damaged.json", "a benchmark in it is damaged: could not convert string to float")
        self.assert_refused("zero.json", "a time is not a positive number")

    def test_page_that_cannot_be_written(self):
        done = run(HERE / "results.json", "--html", self.directory / "nowhere" / "page.html")
        self.assertEqual(done.returncode, 2)
        self.assertIn("No such file or directory", done.stderr)

    def test_help_and_wrong_option(self):
        self.assertIn("--benchmark_out_format=json", run("--help").stdout)
        self.assertEqual(run("--colour").returncode, 2)
        self.assertEqual(run().returncode, 2)


if __name__ == "__main__":
    unittest.main()
