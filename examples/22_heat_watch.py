#!/usr/bin/env python3
"""22: watches the plate of 22_heat, in Python: a picture if Matplotlib is there, else numbers.

usage: 22_heat_watch.py [--plot FILE.png] [TIMES [NAME]]

Prints the step and the temperatures along the middle of the plate, each time of a later step, 3 times of the
session "heat" if nothing else is said. With --plot the last state goes to a picture, if Matplotlib is there.
It needs dshm.py (folder python) in PYTHONPATH; no other package.
"""

import argparse
import os
import sys
import time

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
import dshm  # noqa: E402

EVERY = 16  # columns


class Plate:
    def __init__(self, session):
        self.session = session
        shapes = {entry.name: entry.shape for entry in session.arrays()}
        self.rows, self.columns, _ = shapes["grid"]
        self.grid = session.array("grid")  # the same memory, not a copy
        self.steps = session.array("steps")

    def done(self):
        return int(self.steps[0])

    def column(self, step, j):
        """The numbers of a column, whether the grid is a NumPy array or, without NumPy, a memoryview."""
        if hasattr(self.grid, "shape") and len(self.grid.shape) == 3:
            return self.grid[:, j, step % 2]
        first = (step % 2 * self.columns + j) * self.rows
        return self.grid[first:first + self.rows]

    def next_after(self, seen):
        while self.done() <= seen:
            self.session.check()  # raises when the session has ended
            time.sleep(0.001)
        return self.done()


def plot(plate, step, path):
    try:
        import matplotlib
    except ImportError:
        print("no picture: Matplotlib is not installed", file=sys.stderr)
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot
    columns = [list(plate.column(step, j)) for j in range(plate.columns)]
    pyplot.imshow([list(row) for row in zip(*columns)], cmap="inferno", vmin=0, vmax=100)
    pyplot.title(f"after {step} steps")
    pyplot.savefig(path)


def watch(session, times, picture):
    plate, seen = Plate(session), -1
    for _ in range(times):
        seen = plate.next_after(seen)
        middle = [plate.column(seen, j)[plate.rows // 2] for j in range(0, plate.columns, EVERY)]
        print(f"step {seen}:", " ".join(f"{value:.2f}" for value in middle), flush=True)
    if picture:
        plot(plate, seen, picture)


def main():
    parser = argparse.ArgumentParser(description="Watches the plate of a running 22_heat.")
    parser.add_argument("--plot", metavar="FILE.png", help="makes a picture of the last state, by Matplotlib")
    parser.add_argument("times", metavar="TIMES", type=int, nargs="?", default=3, help="how often it looks (3)")
    parser.add_argument("name", metavar="NAME", nargs="?", default="heat", help="the session's name (heat)")
    given = parser.parse_args()
    if given.times < 0:
        parser.error(f"TIMES is {given.times}")
    try:
        with dshm.attach(given.name) as session:
            watch(session, given.times, given.plot)
    except dshm.Error as error:
        sys.exit(f"22_heat_watch.py: {error}")
    except KeyError as error:
        sys.exit(f"22_heat_watch.py: session {given.name} shares no {error}: it is not that of 22_heat")


if __name__ == "__main__":
    main()
