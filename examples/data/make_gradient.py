#!/usr/bin/env python3
"""Write gradient.mtx and gradient.svdvals, the example matrix of this repository, beside this script.

The matrix takes the values of a function in the inner points of a grid of 6 by 5 cells on the unit
square, zero at the border, to its differences along the edges, divided by their length: a gradient.
It has 49 rows and 20 columns. Its singular values are the square roots of the eigenvalues of the
discrete Laplace operator, which are known in closed form:

    sqrt((12 sin(pi i / 12))^2 + (10 sin(pi j / 10))^2)        i = 1..5, j = 1..4

They are computed here with 50 digits and rounded once.
"""

from decimal import Decimal, getcontext
from pathlib import Path

CELLS_X, CELLS_Y = 6, 5
COLUMNS = (CELLS_X - 1) * (CELLS_Y - 1)

getcontext().prec = 50
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494")


def point(x, y):
    """The column of an inner point, from 1; None on the border."""
    inner = 0 < x < CELLS_X and 0 < y < CELLS_Y
    return (x - 1) + (y - 1) * (CELLS_X - 1) + 1 if inner else None


def edges():
    """Pairs of points with the factor of their difference: along x, then along y."""
    for y in range(1, CELLS_Y):
        for x in range(CELLS_X):
            yield point(x, y), point(x + 1, y), CELLS_X
    for x in range(1, CELLS_X):
        for y in range(CELLS_Y):
            yield point(x, y), point(x, y + 1), CELLS_Y


def matrix_lines():
    entries = []
    rows = 0
    for begin, end, factor in edges():
        rows += 1
        entries += [(rows, begin, -factor)] if begin else []
        entries += [(rows, end, factor)] if end else []
    yield "%%MatrixMarket matrix coordinate real general"
    yield "% Gradient on a grid of 6 by 5 cells with zero border, written by make_gradient.py"
    yield f"{rows} {COLUMNS} {len(entries)}"
    for row, column, value in sorted(entries, key=lambda entry: (entry[1], entry[0])):
        yield f"{row} {column} {value}.0"


def sine(angle):
    """Taylor's series, for angles up to pi/2."""
    total = term = angle
    for n in range(1, 40):
        term *= -angle * angle / ((2 * n) * (2 * n + 1))
        total += term
    return total


def singular_values():
    def part(cells, which):
        return (2 * cells * sine(PI * which / (2 * cells))) ** 2

    values = [(part(CELLS_X, i) + part(CELLS_Y, j)).sqrt()
              for i in range(1, CELLS_X) for j in range(1, CELLS_Y)]
    return sorted(values, reverse=True)


def main():
    folder = Path(__file__).parent
    (folder / "gradient.mtx").write_text("\n".join(matrix_lines()) + "\n")
    (folder / "gradient.svdvals").write_text(
        "\n".join(repr(float(value)) for value in singular_values()) + "\n")


if __name__ == "__main__":
    main()
