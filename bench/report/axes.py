"""Scales and their ticks: numbers to places on paper, and to words."""

import math


class Axis:
    """Maps [low, high] to [begin, end] on the paper, straight or by logarithms."""

    def __init__(self, low, high, begin, end, logarithmic):
        self.logarithmic = logarithmic
        self.begin, self.end = begin, end
        if logarithmic:
            self.low, self.high = widened(low, high)
        else:
            self.low, self.high = 0.0, high * 1.05

    def place(self, value):
        low, high = self._scaled(self.low), self._scaled(self.high)
        share = (self._scaled(value) - low) / (high - low)
        return self.begin + share * (self.end - self.begin)

    def ticks(self):
        inside = self._decades() if self.logarithmic else self._steps()
        return [value for value in inside if self.low <= value <= self.high]

    def _scaled(self, value):
        return math.log10(max(value, self.low)) if self.logarithmic else value

    def _decades(self):
        """Powers of ten, with 2 and 5 between them where there are few."""
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        steps = (1, 2, 5) if last - first <= 3 else (1,)
        stride = max(1, (last - first) // 8)
        return [step * 10.0**power for power in range(first, last + 1, stride) for step in steps]

    def _steps(self):
        """About six round numbers from zero."""
        rough = self.high / 6
        power = 10.0**math.floor(math.log10(rough))
        step = next(power * digit for digit in (1, 2, 5, 10) if power * digit >= rough)
        return [step * i for i in range(int(self.high / step) + 1)]


def widened(low, high):
    """A margin on both sides of a logarithmic axis, and at least a factor of four."""
    middle = math.sqrt(low * high)
    return min(low * 0.85, middle / 2), max(high * 1.18, middle * 2)


def time_text(seconds):
    """1.23e-05 becomes «12.3 µs»."""
    for unit, size in (("s", 1), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9)):
        if abs(seconds) >= size * 0.9995 or unit == "ns":
            return f"{number_text(seconds / size)} {unit}"
    raise AssertionError("unreachable")


def number_text(value):
    """Three significant digits, and none of them an idle zero."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else f"{value:.0f}"


def count_text(value):
    """40000000 becomes «40 M»."""
    for unit, size in ((" G", 1e9), (" M", 1e6), (" k", 1e4)):
        if value >= size:
            return number_text(value / (1e3 if unit == " k" else size)) + unit
    return number_text(value)
