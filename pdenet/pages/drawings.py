"""Drawings: formulas, curves and matrices as SVG elements, by Matplotlib.

They are part of the page and not pictures in it, so that they take its light or dark colours; their
words stay text. The same data give the same bytes.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # loading Matplotlib takes a second
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUM_COLOURS = 6
"""Colours c0 to c5 of the pages' style."""

# Colours that nobody uses, each for one of the style's.
_THEME = {f"#0102{k:02x}": f"var(--c{k})" for k in range(NUM_COLOURS)} | {
    "#010210": "var(--ink)", "#010211": "var(--soft)", "#010212": "var(--line)",
    "#010213": "var(--hit)", "#010214": "var(--miss)", "#010215": "var(--panel)",
    "#010216": "var(--on)",
}  # fmt: skip
_COLOUR = {name: colour for colour, name in _THEME.items()}
_INK, _SOFT, _LINE = (_COLOUR[f"var(--{name})"] for name in ("ink", "soft", "line"))
_HIT, _MISS, _PANEL, _ON = (_COLOUR[f"var(--{name})"] for name in ("hit", "miss", "panel", "on"))

_MOST_LETTERS = 14
"""A longer name of a class is cut beside the matrix."""


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


def formula(latex: str, size: float = 17.0) -> str:
    """Return a formula as outlines in the colour of the text around it.

    Args:
        latex: a formula, or several in `aligned`, as `PDE.latex` writes them.
        size: of the letters, in points.
    """
    lines = latex.removeprefix(r"\begin{aligned}").removesuffix(r"\end{aligned}").split(r"\\")
    with _figure((6.4, 4.8), outlines=True) as figure:
        for k, line in enumerate(lines):
            shown = line.replace("&", "").strip()
            figure.text(0.0, -0.08 * k, f"${shown}$", fontsize=size, color=_INK)
        return _svg(figure)


def curves(chart: Chart) -> str:
    """Return a chart; "" where it has no value to show."""

    def has_place(y: np.ndarray) -> np.ndarray:
        return np.isfinite(y) & ((y > 0) | (not chart.logarithmic))

    lines = [(line.name, *np.array(line.points).reshape(-1, 2).T) for line in chart.lines]
    if not any(has_place(y).any() for _, _, y in lines):
        return ""
    with _figure((5.2, 2.6)) as figure:
        axes = figure.subplots()
        axes.set(yscale="log" if chart.logarithmic else "linear", xlabel=chart.horizontal)
        for k, (name, x, y) in enumerate(lines):
            colour = _COLOUR[f"var(--c{k % NUM_COLOURS})"]
            shown = np.where(has_place(y), y, np.nan)
            axes.plot(x, shown, color=colour, linewidth=1.4, label=name)
            # A value between two gaps has no line.
            gaps = np.isnan(np.concatenate([[np.nan], shown, [np.nan]]))
            is_alone = ~gaps[1:-1] & gaps[:-2] & gaps[2:]
            axes.plot(x[is_alone], shown[is_alone], ".", color=colour, markersize=4)
            lost = x[~np.isfinite(y)]
            axes.plot(
                lost, np.ones(len(lost)), "x", color=colour, markersize=5,
                transform=axes.get_xaxis_transform(), clip_on=False,
            )  # fmt: skip
        for k, x in enumerate(chart.marks):
            axes.axvline(x, color=_MISS, linestyle=":", label=None if k else "rolled back")
        _ticks(axes, np.concatenate([y[has_place(y)] for _, _, y in lines]), chart.logarithmic)
        _quiet(axes)
        figure.legend(
            loc="outside upper left", ncols=4, frameon=False, fontsize=9, labelcolor=_SOFT
        )
        return _svg(figure, chart.title)


def _ticks(axes: Axes, values: np.ndarray, is_logarithmic: bool) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    spread = values.max() / values.min() if is_logarithmic else np.inf
    if spread < 50:  # else Matplotlib's own powers of ten
        near = MaxNLocator(4) if spread < 5 else LogLocator(subs=(1, 2, 5))
        axes.yaxis.set_major_locator(near)
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def matrix(confusion: np.ndarray, names: Sequence[str]) -> str:
    """Return a confusion matrix: a number in each cell that is not 0.

    Args:
        confusion: shape (classes, classes), rows true, columns predicted.
        names: of the classes; long ones are cut.
    """
    from matplotlib.patches import Rectangle

    count = len(names)
    short = [n if len(n) <= _MOST_LETTERS else f"{n[: _MOST_LETTERS - 1]}…" for n in names]
    side = 0.36 * count + 1.6
    with _figure((side, side)) as figure:
        axes = figure.subplots()
        axes.set(xlim=(-0.5, count - 0.5), ylim=(count - 0.5, -0.5), aspect="equal")
        turned = 90 if max(map(len, short)) > 3 else 0
        for axis, label in ((axes.xaxis, "predicted"), (axes.yaxis, "true")):
            axis.set_ticks(range(count), short, parse_math=False)
            axis.set_label_text(label)
        axes.tick_params(axis="x", labelrotation=turned)
        axes.xaxis.tick_top()
        axes.xaxis.set_label_position("top")
        for row, column in np.ndindex(count, count):
            number = int(confusion[row, column])
            share = number / confusion[row].sum() if number else 0.0
            is_hit = row == column
            # Mistakes are rare: by the square root one in a hundred is seen.
            opacity = share if is_hit else 0.15 + 0.85 * math.sqrt(share)
            corner = (column - 0.47, row - 0.47)
            axes.add_patch(Rectangle(corner, 0.94, 0.94, color=_PANEL, linewidth=0))
            if number:
                colour = _HIT if is_hit else _MISS
                axes.add_patch(
                    Rectangle(corner, 0.94, 0.94, color=colour, alpha=opacity, linewidth=0)
                )
                axes.text(
                    column, row, str(number), ha="center", va="center",
                    fontsize=9 if number < 1000 else 7, color=_ON if opacity > 0.55 else _INK,
                )  # fmt: skip
        _quiet(axes, is_framed=False)
        return _svg(figure, "confusion matrix")


def _quiet(axes: Axes, *, is_framed: bool = True) -> None:
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=9, labelcolor=_SOFT if is_framed else _INK)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=_SOFT, fontsize=9)
    if is_framed:
        axes.grid(axis="y", color=_LINE, linewidth=0.8)
        axes.spines["bottom"].set(visible=True, color=_LINE)


@contextmanager
def _figure(size: tuple[float, float], *, outlines: bool = False) -> Iterator[Figure]:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style = rc_context(
        {
            "mathtext.fontset": "cm" if outlines else "dejavusans",
            "svg.fonttype": "path" if outlines else "none",
            "svg.hashsalt": "pdenet",
            "axes.facecolor": "none",
        }
    )
    with style, warnings.catch_warnings():
        # Letters that Matplotlib's own font lacks: the reader's browser has them.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        yield Figure(figsize=size, layout=None if outlines else "constrained")


def _svg(figure: Figure, label: str = "") -> str:
    content = io.StringIO()
    figure.savefig(content, format="svg", transparent=True, bbox_inches="tight", pad_inches=0.02)
    drawn = content.getvalue()
    # Its style is for "*", which in a page is every element; its metadata have the date.
    drawn = re.sub(
        r"<(style|metadata)\b.*?</\1>", "", drawn[drawn.index("<svg") :], flags=re.DOTALL
    )
    for colour, name in _THEME.items():
        drawn = drawn.replace(colour, name)
    named = f'<svg role="img" aria-label="{escape(label)}"' if label else "<svg"
    return drawn.replace("<svg", named, 1).strip()
