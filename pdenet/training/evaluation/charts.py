"""Charts: curves as SVG elements, coloured by the style of the page.

They are part of the page and not pictures in it, so that they take its light or dark colours, and
their text stays text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

NUM_COLOURS = 6
"""Classes c0 to c5 of the page's style."""

_WIDTH, _HEIGHT = 440, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 10, 10, 36

_MOST_POINTS = 400
"""A line of more points is thinned: the page is 440 units wide."""


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        name: for the key.
        points: (x, y), x ascending. Where y is not finite the line has a gap, and a cross at the
            upper edge.
    """

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        title: its heading.
        lines: at most a few; the seventh has the colour of the first.
        horizontal: what x is.
        logarithmic: whether y is on a logarithmic axis.
        marks: values of x with a dotted line.
    """

    title: str
    lines: tuple[Line, ...]
    horizontal: str
    logarithmic: bool = False
    marks: tuple[float, ...] = ()


def curves(chart: Chart) -> str:
    """Return a chart as an SVG element; "" where it has no value to show."""
    lines = [Line(line.name, thinned(line.points)) for line in chart.lines]
    shown = [y for line in lines for _, y in line.points if _has_place(y, chart.logarithmic)]
    every = [x for line in lines for x, _ in line.points]
    if not shown:
        return ""
    x_axis = _Axis.over(min(every), max(every), _LEFT, _WIDTH - _RIGHT, whole=True)
    make = _LogAxis.over if chart.logarithmic else _Axis.over
    y_axis = make(min(shown), max(shown), _HEIGHT - _BOTTOM, _TOP)
    label = escape(chart.title, quote=True)
    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">'
    ]
    for value, text in y_axis.ticks():
        y = _at(y_axis.place(value))
        parts.append(f'<path class="grid" d="M{_LEFT} {y}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y}" dy=".35em" text-anchor="end">{text}</text>')
    for value, text in x_axis.ticks():
        x = _at(x_axis.place(value))
        parts.append(f'<path class="grid" d="M{x} {_HEIGHT - _BOTTOM}v4"/>')
        parts.append(f'<text x="{x}" y="{_HEIGHT - 20}" text-anchor="middle">{text}</text>')
    parts.append(
        f'<text class="axis" x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 4}" text-anchor="end">'
        f"{escape(chart.horizontal)}</text>"
    )
    for value in chart.marks:
        x = _at(x_axis.place(min(max(value, min(every)), max(every))))
        parts.append(f'<path class="trip" d="M{x} {_TOP}V{_HEIGHT - _BOTTOM}"/>')
    for n, line in enumerate(lines):
        parts.append(_drawn(line, n % NUM_COLOURS, x_axis, y_axis, chart.logarithmic))
    return "".join(parts) + "</svg>"


def _drawn(
    line: Line, colour: int, x_axis: _Axis, y_axis: _Axis | _LogAxis, is_logarithmic: bool
) -> str:
    pieces: list[list[str]] = [[]]
    crosses = []
    for x, y in line.points:
        if _has_place(y, is_logarithmic):
            pieces[-1].append(f"{_at(x_axis.place(x))} {_at(y_axis.place(y))}")
            continue
        if pieces[-1]:
            pieces.append([])
        if not math.isfinite(y):
            crosses.append(f"M{_at(x_axis.place(x) - 3)} {_TOP - 3}l6 6m0-6l-6 6")
    # A piece of one point is drawn as a dot: a line of no length with round ends.
    paths = [f"M{'L'.join(piece if len(piece) > 1 else piece * 2)}" for piece in pieces if piece]
    return f'<path class="line c{colour}" d="{"".join(paths + crosses)}"/>'


def thinned(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Return at most some hundred points, among them the smallest and the largest of each part.

    A peak of a single step is what these curves are looked at for; means would hide it.
    """
    if len(points) <= _MOST_POINTS:
        return tuple(points)
    kept: list[tuple[float, float]] = []
    # Four of each part: its first, its least, its largest, and one that is not finite.
    for part in np.array_split(np.arange(len(points)), _MOST_POINTS // 4):
        some = part.tolist()
        finite = [k for k in some if math.isfinite(points[k][1])]
        lost = [k for k in some if not math.isfinite(points[k][1])]
        chosen = {some[0], *lost[:1]}
        if finite:
            chosen |= {min(finite, key=lambda k: points[k][1])}
            chosen |= {max(finite, key=lambda k: points[k][1])}
        kept += [points[k] for k in sorted(chosen)]
    return tuple(kept)


def _has_place(y: float, is_logarithmic: bool) -> bool:
    return math.isfinite(y) and (y > 0 or not is_logarithmic)


def _at(coordinate: float) -> str:
    return f"{coordinate:.1f}".removesuffix(".0")


@dataclass(frozen=True)
class _Axis:
    """A linear axis from `low` to `high`, drawn from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    step: float
    whole: bool

    @classmethod
    def over(
        cls, low: float, high: float, start: float, end: float, *, whole: bool = False
    ) -> _Axis:
        """Return an axis for values; `whole` keeps their ends and has ticks at integers only."""
        if high - low <= 1e-12 * max(abs(low), abs(high)):
            pad = 0.5 * abs(low) or 0.5
            low, high = low - pad, high + pad
        step = _round_step((high - low) / 4)
        if whole:
            step = max(1.0, step)
            return cls(low, high, start, end, step, whole)
        low, high = step * math.floor(low / step + 1e-9), step * math.ceil(high / step - 1e-9)
        return cls(low, high, start, end, step, whole)

    def place(self, value: float) -> float:
        return self.start + (self.end - self.start) * (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        first = math.ceil(self.low / self.step - 1e-9)
        last = math.floor(self.high / self.step + 1e-9)
        values = [self.step * k for k in range(first, last + 1)]
        return [(value, _number(value)) for value in values]


@dataclass(frozen=True)
class _LogAxis:
    """The same with a logarithmic scale: from one of `values` to another, which have the ticks."""

    values: tuple[float, ...]
    start: float
    end: float

    @classmethod
    def over(cls, low: float, high: float, start: float, end: float) -> _LogAxis:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        # 1, 2, 5, 10, … where that is not too many, else powers of ten.
        digits = (1, 2, 5) if high < 50 * low else (1,)
        every = [d * 10.0**k for k in range(first, last + 1) for d in digits]
        below = [v for v in every if v <= low * (1 + 1e-9)][-1]
        above = next((v for v in every if v >= high * (1 - 1e-9)), every[-1])
        if below == above:
            above = next(v for v in [*every, 10.0 * below] if v > below)
        kept = [v for v in [*every, above] if below <= v <= above]
        return cls(tuple(dict.fromkeys(kept)), start, end)

    def place(self, value: float) -> float:
        low, high = math.log10(self.values[0]), math.log10(self.values[-1])
        return self.start + (self.end - self.start) * (math.log10(value) - low) / (high - low)

    def ticks(self) -> list[tuple[float, str]]:
        skip = math.ceil((len(self.values) - 1) / 6)
        return [(value, _number(value)) for value in self.values[::skip]]


def _round_step(step: float) -> float:
    decade = 10.0 ** math.floor(math.log10(step))
    return next(decade * m for m in (1, 2, 2.5, 5, 10) if decade * m >= step * (1 - 1e-9))


def _number(value: float) -> str:
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        return f"{value:.6g}"
    mantissa, exponent = f"{value:.2e}".split("e")
    power = f'10<tspan dy="-.4em" font-size="75%">{int(exponent)}</tspan>'
    mantissa = mantissa.rstrip("0").rstrip(".")
    return power if mantissa == "1" else f"{mantissa}·{power}"
