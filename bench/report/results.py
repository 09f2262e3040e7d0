"""Reads the JSON that Google Benchmark writes (--benchmark_out=FILE --benchmark_out_format=json).

A benchmark of this repository is a comparison: one subject and its peers, whose figures stand in counters with the
names that bench/support/comparison.cpp gives them. Any other benchmark is taken as a comparison of one contender, whose
time is the real time of an iteration. Repetitions of one benchmark in one file become one comparison.

Files are never mixed: a ratio means something only between contenders that took turns in one run.
"""

import dataclasses
import json
import math
import pathlib
import re
import statistics

SECONDS_IN = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
TIME, SPEED = " seconds", "speed against "
LOW, HIGH, WANTED = ", first quartile", ", third quartile", ", wanted"


class NotResults(Exception):
    """A file that is not what it should be; the message names it and says what to do."""


@dataclasses.dataclass
class Spread:
    """A median with the quartiles around it."""
    low: float
    median: float
    high: float


@dataclasses.dataclass
class Contender:
    name: str
    seconds: Spread
    speed: Spread | None = None  # how many times as fast the subject is; the subject itself has none
    wanted: float | None = None  # the speed aimed at; for the subject, the seconds


@dataclasses.dataclass
class Comparison:
    name: str
    contenders: list  # the subject is the first
    repetitions: int = 1
    failure: str | None = None

    @property
    def subject(self):
        return self.contenders[0]


@dataclasses.dataclass
class Family:
    """Comparisons of one run that differ in a number alone: what is plotted against that number."""
    name: str
    quantity: str
    members: list  # (number, comparison), ascending

    def contenders(self):
        """The names of all, in the order in which they first appear."""
        return list(dict.fromkeys(c.name for _, member in self.members for c in member.contenders))

    def points(self, contender):
        """(number, seconds) of one contender."""
        return [(number, c.seconds) for number, member in self.members
                for c in member.contenders if c.name == contender]


@dataclasses.dataclass
class Run:
    """What one file holds."""
    name: str
    context: dict
    comparisons: list

    def families(self, least=3):
        """Families with at least so many members."""
        found = {}
        for comparison in self.comparisons:
            match = re.fullmatch(r"(.*?([^/_]+))[_/](\d+)", comparison.name)
            if match and not comparison.failure:
                family = found.setdefault(match[1], Family(match[1], match[2], []))
                family.members.append((int(match[3]), comparison))
        for family in found.values():
            family.members.sort(key=lambda member: member[0])
        return [family for family in found.values() if len(family.members) >= least]


def read(path):
    """The run that lies in a file. Throws NotResults."""
    path = pathlib.Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NotResults(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise NotResults(f"{path}: not JSON ({error}); write it with --benchmark_out={path.name} "
                         "--benchmark_out_format=json") from error
    if not isinstance(content, dict) or not isinstance(content.get("benchmarks"), list):
        raise NotResults(f"{path}: JSON, but not of Google Benchmark: it has no list «benchmarks»")
    context = content.get("context")
    try:
        comparisons = comparisons_of(content["benchmarks"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotResults(f"{path}: a benchmark in it is damaged: {describe(error)}") from error
    if not comparisons:
        raise NotResults(f"{path}: no benchmark in it; did --benchmark_filter leave all out?")
    return Run(path.stem, context if isinstance(context, dict) else {}, comparisons)


def describe(error):
    return f"there is no {error}" if isinstance(error, KeyError) else str(error)


def comparisons_of(entries):
    """One comparison for each name, in the order of the file."""
    runs = {}
    for entry in measured(entries):
        runs.setdefault(name_of(entry), []).append(entry)
    return [combined(name, repetitions) for name, repetitions in runs.items()]


def measured(entries):
    """The single repetitions; of a file with aggregates only, their medians."""
    single = [entry for entry in entries if entry.get("run_type", "iteration") == "iteration"]
    return single or [entry for entry in entries if entry.get("aggregate_name") == "median"]


def name_of(entry):
    """The benchmark's name without what Google Benchmark appends for its own settings."""
    name = entry.get("run_name") or entry["name"]
    return re.sub(r"/(iterations|repeats|min_time|min_warmup_time):[^/]*|/(manual|real|process)_time|"
                  r"/threads:1(?=/|$)", "", name)


def combined(name, repetitions):
    failure = next((entry.get("error_message", "no message") for entry in repetitions
                    if entry.get("error_occurred")), None)
    if failure is not None:
        return Comparison(name, [], len(repetitions), failure)
    names = [key[:-len(TIME)] for key in repetitions[0] if key.endswith(TIME)]
    if not names:
        return Comparison(name, [plain(repetitions)], len(repetitions))
    # The subject is the one that nothing is compared with; JSON has the counters in the order of their names.
    names.sort(key=lambda contender: SPEED + contender in repetitions[0])
    return Comparison(name, [contender_of(c, repetitions) for c in names], len(repetitions))


def plain(repetitions):
    times = [float(entry["real_time"]) * SECONDS_IN[entry.get("time_unit", "ns")]
             for entry in repetitions]
    return Contender("real time", spread_of(require_times(times)))


def contender_of(name, repetitions):
    seconds = spread_of_counter(repetitions, name + TIME)
    require_times([seconds.median])
    peer = SPEED + name in repetitions[0]
    key = SPEED + name if peer else name + TIME
    wanted = repetitions[0].get(key + WANTED)
    return Contender(name, seconds, spread_of_counter(repetitions, key) if peer else None,
                     float(wanted) if wanted else None)


def require_times(times):
    if not all(math.isfinite(time) and time > 0 for time in times):
        raise ValueError("a time is not a positive number")
    return times


def spread_of_counter(repetitions, key):
    """The median of the repetitions' medians; around it the wider of their own quartiles and of those between them."""
    between = spread_of([float(entry[key]) for entry in repetitions])
    low = statistics.median(float(entry.get(key + LOW, entry[key])) for entry in repetitions)
    high = statistics.median(float(entry.get(key + HIGH, entry[key])) for entry in repetitions)
    return Spread(min(low, between.low), between.median, max(high, between.high))


def spread_of(values):
    ordered = sorted(values)
    return Spread(*(quantile(ordered, fraction) for fraction in (0.25, 0.5, 0.75)))


def quantile(ordered, fraction):
    """Linear interpolation between the neighbours in rank, as in bench/support/statistics.hpp."""
    rank = fraction * (len(ordered) - 1)
    below = int(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (rank - below)


@dataclasses.dataclass
class Line:
    """seconds = start + slope * number."""
    start: float
    slope: float
    exponent: float  # of the power law that fits best: 1 for proportional growth, below 1 for less

    def at(self, number):
        return self.start + self.slope * number


def fitted(points):
    """Least squares through the medians, each weighed by its relative error, so that short times count as long ones."""
    numbers = [number for number, _ in points]
    times = [seconds.median for _, seconds in points]
    start, slope = weighted_line(numbers, times, [1 / time**2 for time in times])
    exponent = None
    if min(numbers) > 0:
        _, exponent = weighted_line([math.log(n) for n in numbers], [math.log(t) for t in times],
                                    [1] * len(times))
    return Line(start, slope, exponent)


def weighted_line(xs, ys, weights):
    total = sum(weights)
    mean_x = sum(w * x for w, x in zip(weights, xs)) / total
    mean_y = sum(w * y for w, y in zip(weights, ys)) / total
    slope = (sum(w * (x - mean_x) * (y - mean_y) for w, x, y in zip(weights, xs, ys)) /
             sum(w * (x - mean_x)**2 for w, x in zip(weights, xs)))
    return mean_y - slope * mean_x, slope
