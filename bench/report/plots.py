"""Plots as SVG, made by hand. Each is a text that stands alone once STYLE is in it, or inside a page that has STYLE.

Colours are variables of the class `plot`, with other values where the reader's screen is dark. A point or bar says
its numbers when the mouse rests on it.
"""

from xml.sax.saxutils import escape, quoteattr

from axes import Axis, count_text, number_text, time_text

STYLE = """
.plot { --ink: #1d2733; --soft: #667280; --grid: #dde3ea; --paper: #ffffff;
        --c0: #0b63b0; --c1: #c2570c; --c2: #0d8560; --c3: #9b3d8f; --c4: #8a6d00; --c5: #57606a;
        font: 13px system-ui, sans-serif; max-width: 100%; height: auto; background: var(--paper); }
@media (prefers-color-scheme: dark) {
  .plot { --ink: #e4e9ef; --soft: #98a4b1; --grid: #303a45; --paper: #141a21;
          --c0: #6cb2f5; --c1: #f59b5c; --c2: #4fd0a4; --c3: #e08fd6; --c4: #e3c24d; --c5: #a9b4bf; } }
.plot text { fill: var(--ink); } .plot .soft { fill: var(--soft); }
.plot .grid { stroke: var(--grid); } .plot .even { stroke: var(--ink); stroke-dasharray: 4 3; }
.plot .fit { stroke-dasharray: 6 4; stroke-width: 1.5; fill: none; }
.plot .series { fill: none; stroke-width: 2; }
"""

WIDTH = 760
ROW = 26


def colour(index):
    return f"var(--c{index % 6})"


class Paper:
    """Collects the elements of one plot."""

    def __init__(self, height, title):
        self._height = height
        self._title = title
        self._parts = []

    def text(self, x, y, words, anchor="start", kind="ink", **attributes):
        extra = "".join(f" {key}={quoteattr(str(value))}" for key, value in attributes.items())
        self._parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}"{extra}>'
                           f"{escape(words)}</text>")

    def line(self, x1, y1, x2, y2, kind="", stroke=None, width=1):
        looks = f' class="{kind}"' if kind else ""
        looks += f' style="stroke: {stroke}; stroke-width: {width}"' if stroke else ""
        self._parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"{looks}/>')

    def path(self, points, kind, stroke):
        steps = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(f'<polyline points="{steps}" class="{kind}" style="stroke: {stroke}"/>')

    def dot(self, x, y, fill, words):
        self._parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" style="fill: {fill}">'
                           f"<title>{escape(words)}</title></circle>")

    def svg(self):
        return (f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" role="img" '
                f'viewBox="0 0 {WIDTH} {self._height}" width="{WIDTH}" height="{self._height}" '
                f"aria-label={quoteattr(self._title)}>" + "\n".join(self._parts) + "</svg>")


def standalone(svg):
    """The same as a file of its own."""
    head, rest = svg.split(">", 1)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}><style>{escape(STYLE)}</style>{rest}\n'


def spread_text(spread, words):
    return f"{words(spread.median)} [{words(spread.low)} .. {words(spread.high)}]"


# ----------------------------------------------------------------------------------------------------------------------
# One row for each contender: median and quartiles on a logarithmic axis
# ----------------------------------------------------------------------------------------------------------------------

def rows_plot(title, rows, words, even=None):
    """`rows` are (label, spread, number of the colour); `even` is marked by a line."""
    paper = Paper(ROW * (len(rows) + 2) + 8, title)
    left, right = 300, WIDTH - 90
    values = [value for _, spread, _ in rows for value in (spread.low, spread.high)]
    axis = Axis(min(values + ([even] if even else [])), max(values + ([even] if even else [])),
                left, right, logarithmic=True)
    bottom = ROW * (len(rows) + 1)
    for tick in spaced(axis, 52):
        paper.line(axis.place(tick), 14, axis.place(tick), bottom, "grid")
        paper.text(axis.place(tick), bottom + 18, words(tick), "middle", "soft")
    if even:
        paper.line(axis.place(even), 14, axis.place(even), bottom, "even")
    for number, (label, spread, tint) in enumerate(rows):
        y = ROW * (number + 1)
        paper.text(left - 12, y + 4, shortened(label, 42), "end")
        paper.line(axis.place(spread.low), y, axis.place(spread.high), y, stroke=colour(tint), width=3)
        paper.dot(axis.place(spread.median), y, colour(tint), f"{label}: {spread_text(spread, words)}")
        paper.text(right + 12, y + 4, words(spread.median))
    return paper.svg()


def shortened(label, most):
    return label if len(label) <= most else "…" + label[-(most - 1):]


def spaced(axis, least):
    """The ticks that do not print over each other."""
    kept = []
    for tick in axis.ticks():
        if not kept or abs(axis.place(tick) - axis.place(kept[-1])) >= least:
            kept.append(tick)
    return kept


def times_plot(comparison):
    """Seconds of all contenders of a comparison."""
    return rows_plot(f"times of {comparison.name}",
                     [(c.name, c.seconds, i) for i, c in enumerate(comparison.contenders)], time_text)


def speeds_plot(comparisons):
    """How many times as fast as each peer the subject is, of all comparisons; none if nothing is compared."""
    rows = [(f"{comparison.name}: {c.name}", c.speed, 0 if c.speed.median >= (c.wanted or 1) else 1)
            for comparison in comparisons for c in comparison.contenders if c.speed]
    return rows_plot("speed against every peer", rows, number_text, even=1.0) if rows else None


# ----------------------------------------------------------------------------------------------------------------------
# Seconds against a number: one line for each contender
# ----------------------------------------------------------------------------------------------------------------------

def family_plot(family, contenders, logarithmic, fit=None):
    """The named contenders; `fit` is a line through the first."""
    paper = Paper(400, f"{family.name}: seconds against {family.quantity}")
    curves = [(family.points(name), name) for name in contenders]
    across = Axis(*extremes(number for points, _ in curves for number, _ in points),
                  80, WIDTH - 30, logarithmic)
    up = Axis(*extremes(value for points, _ in curves for _, s in points for value in (s.low, s.high)),
              340, 24 + 18 * ((len(curves) + 2) // 3), logarithmic)
    draw_grid(paper, across, up, family.quantity)
    if fit:
        draw_fit(paper, across, up, fit)
    for index, (points, name) in enumerate(curves):
        draw_curve(paper, across, up, points, name, index)
        x, y = 84 + 225 * (index % 3), 18 + 18 * (index // 3)
        paper.line(x, y - 4, x + 18, y - 4, stroke=colour(index), width=3)
        paper.text(x + 24, y, shortened(name, 28))
    return paper.svg()


def extremes(values):
    values = list(values)
    return min(values), max(values)


def draw_grid(paper, across, up, quantity):
    for tick in spaced(across, 40):
        paper.line(across.place(tick), up.begin, across.place(tick), up.end, "grid")
        paper.text(across.place(tick), up.begin + 18, count_text(tick), "middle", "soft")
    for tick in spaced(up, 16):
        paper.line(across.begin, up.place(tick), across.end, up.place(tick), "grid")
        paper.text(across.begin - 8, up.place(tick) + 4, time_text(tick), "end", "soft")
    paper.text((across.begin + across.end) / 2, up.begin + 42, quantity, "middle")


def draw_fit(paper, across, up, fit):
    steps = [across.low + (across.high - across.low) * i / 100 for i in range(101)]
    if across.logarithmic:
        steps = [across.low * (across.high / across.low)**(i / 100) for i in range(101)]
    inside = [(x, fit.at(x)) for x in steps if up.low <= fit.at(x) <= up.high]
    paper.path([(across.place(x), up.place(y)) for x, y in inside], "fit", "var(--ink)")


def draw_curve(paper, across, up, points, name, index):
    paper.path([(across.place(n), up.place(s.median)) for n, s in points], "series", colour(index))
    for number, seconds in points:
        x = across.place(number)
        paper.line(x, up.place(seconds.low), x, up.place(seconds.high), stroke=colour(index), width=2)
        paper.dot(x, up.place(seconds.median), colour(index),
                  f"{name}, {count_text(number)}: {spread_text(seconds, time_text)}")
