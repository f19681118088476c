"""Drawing: the data flow of a block as a figure, laid out from its operations alone.

As in Fig. 1 of Liu, Shao & Bai (2023) the state stands at the left, coefficients and derivatives
are branches, ⊙ multiplies them, and the skip connection runs above all. Operations stand in columns
by depth. An edge over several columns has a place of its own in each of them, so that nothing lies
on an edge; within a column the order is that of what an operation is connected with, by barycentres
(Sugiyama, Tagawa & Toda, 1981).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from pdenet.network.convnet.explanation import FlowSource, flow_of
from pdenet.network.operations import Operation

if TYPE_CHECKING:  # loading Matplotlib takes a second; a model does not wait for it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        # Okabe & Ito's colours, light for the faces: they differ for every eye.
        "state": ("#e8e8e8", "state"),
        "convolution": ("#a8d3f0", "1×1 convolution: coefficients"),
        "depthwise": ("#f8cf8e", "depthwise convolution: derivatives"),
        "norm": ("#d5d5d5", "batch norm"),
        "function": ("#f1c3dc", "pointwise function"),
        "product": ("#ffffff", "product"),
        "sum": ("#ffffff", "sum"),
        "skip": ("#a9dcc5", "skip connection: time derivative"),
    }
)
"""Colour and meaning of each kind of operation."""

_SIGNS = {"product": "⊙", "sum": "+", "skip": "+"}
_FONT, _LINE, _PAD = 8.5, 0.17, 0.09  # points; inches
_RADIUS = 0.15  # of the circles
_GAP_X, _GAP_Y, _ARROW = 0.5, 0.22, 0.13  # between columns, in them; an arrow's head
_SWEEPS = 12

_TAIL = re.compile(r" ((?:in|summed over) \d+ (?:directions?|terms))$")
_TOKEN = re.compile(
    r"Σ_(?P<sum>\w+)|∂(?P<derivative>[txy]*)|(?P<name>[^\W\d_]\w*?)(?P<letters>(?:_\w+)+)"
    r"|(?P<function>sinh|cosh|tanh|sin|cos|tan|exp|log)\b|(?P<word>[A-Za-z]{2,})"
    r"|(?P<space> )|(?P<dot>·)|(?P<arrow>→)|(?P<prime>′)|(?P<times>×)|(?P<power>\^\w+)"
)


@dataclass
class _Node:
    """An operation, or the place of an edge in a column."""

    number: int | None
    column: int
    lines: list[str] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.12
    x: float = 0.0
    y: float = 0.0
    is_round: bool = False
    is_skip: bool = False  # the place of an edge past all operations
    is_top: bool = False  # a skip connection's own convolution
    room: float = 0.0  # the column's width
    before: list[_Node] = field(default_factory=list)
    behind: list[_Node] = field(default_factory=list)


def draw_block(block: FlowSource, path: str | Path | None = None) -> Figure:
    """Draw a block's operations from left to right.

    Args:
        block: the block.
        path: where the figure is saved, by its ending; with None it is of pyplot's.

    Returns:
        The figure. The patch of operation k of `flow_of` has the gid "operation k".
    """
    from matplotlib import pyplot as plt
    from matplotlib.figure import Figure

    operations = flow_of(block)
    columns = _arranged(operations)
    nodes = [node for column in columns for node in column]
    title = [mathtext(line)[0] for line in block.form.equation.splitlines()]
    kinds = [k for k in COLOURS if any(o.kind == k for o in operations)]
    left, right = min(n.x - n.width / 2 for n in nodes), max(n.x + n.width / 2 for n in nodes)
    bottom, top = min(n.y - n.height / 2 for n in nodes), max(n.y + n.height / 2 for n in nodes)
    least = max([4.5, *(_width(line) * 1.3 + 0.4 for line in title)])
    margin = max(0.15, (least - (right - left)) / 2)
    per_row = max(1, int((right - left + 2 * margin) / 1.75))
    rows = -(-len(kinds) // per_row)
    limits = (
        left - margin,
        right + margin,
        bottom - 0.2 - 0.24 * rows,
        top + 0.25 * len(title) + 0.2,
    )
    size = (limits[1] - limits[0], limits[3] - limits[2])
    # A figure that only goes to a file stays unknown to pyplot, which would keep it for ever.
    figure = (plt.figure if path is None else Figure)(figsize=size, dpi=150)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=limits[:2], ylim=limits[2:])
    axes.set_axis_off()
    for node in nodes:
        for other in node.behind:
            _draw_edge(axes, node, other)
    for node in nodes:
        if node.number is not None:
            _draw_node(axes, node, operations[node.number])
    middle = (limits[0] + limits[1]) / 2
    for k, line in enumerate(title):
        axes.text(middle, limits[3] - 0.2 - 0.25 * k, line, ha="center", va="center", fontsize=11)
    _draw_legend(axes, kinds, per_row)
    if path is not None:
        figure.savefig(path)
    return figure


# Layout ------------------------------------------------------------------------------------------


def _arranged(operations: Sequence[Operation]) -> list[list[_Node]]:
    """Return the columns of nodes, each from top to bottom, with their places."""
    depth: list[int] = []
    for operation in operations:
        depth.append(1 + max((depth[k] for k in operation.inputs), default=-1))
    last = max(depth)
    made = []
    for number, operation in enumerate(operations):
        column = last if operation.kind == "skip" else depth[number]
        made.append(_node(number, operation, column))
    columns: list[list[_Node]] = [[] for _ in range(last + 1)]
    for node, operation in zip(made, operations, strict=True):
        for k in operation.inputs:
            is_skip = operation.kind == "skip" and k == operation.inputs[0]
            before = made[k]
            for column in range(made[k].column + 1, node.column):
                between = _Node(None, column, is_skip=is_skip)
                columns[column].append(between)
                _join(before, between)
                before = between
            _join(before, node)
        columns[node.column].append(node)
    for sweep in range(_SWEEPS):
        _order(columns, forward=sweep % 2 == 0)
    _place(columns)
    return columns


def _node(number: int, operation: Operation, column: int) -> _Node:
    lines = _lines(operation)
    width = max(map(_width, lines)) + 2 * _PAD
    height = len(lines) * _LINE + 2 * _PAD
    if operation.kind in _SIGNS:
        # As much below the circle as above it, so that edges end at the circle.
        width, height = max(width, 2 * _RADIUS), 2 * (_RADIUS + len(lines) * _LINE + _PAD / 2)
    is_round = operation.kind in _SIGNS
    is_top = operation.name == "skip" or operation.name.startswith("projection")
    return _Node(number, column, lines, width, height, is_round=is_round, is_top=is_top)


def _lines(operation: Operation) -> list[str]:
    """Return what stands in a box: its name, its formula and its channels."""
    formula = mathtext(f"{operation.symbol} = {operation.formula}")
    match operation.kind:
        case "state":
            return [f"${operation.symbol}$", f"{operation.channels} channels"]
        case "norm":
            name = operation.name.removeprefix("banks.convolutions.")
            return [name, f"{operation.channels} channels"]
        case "function":
            return [operation.name, *formula, f"{operation.channels} channels"]
        case "convolution" if operation.name == "skip":
            formula = []
        case "product" | "sum" | "skip":
            return [*formula, f"{operation.channels} channels"]
    size = operation.words.partition(",")[0].partition(" (")[0]
    return [operation.name, *formula, size]


def _join(before: _Node, behind: _Node) -> None:
    before.behind.append(behind)
    behind.before.append(before)


def _order(columns: Sequence[list[_Node]], forward: bool) -> None:
    """Sort each column by the mean place of what its nodes are connected with on one side."""
    for column in columns if forward else reversed(columns):
        places = {id(n): k for other in columns for k, n in enumerate(other)}
        means = {}
        for k, node in enumerate(column):
            near = node.before if forward else node.behind
            sizes = [places[id(n)] / max(len(columns[n.column]) - 1, 1) for n in near]
            means[id(node)] = sum(sizes) / len(sizes) if sizes else k / max(len(column) - 1, 1)
        column.sort(key=lambda n: (not n.is_top, means[id(n)]))


def _place(columns: Sequence[list[_Node]]) -> None:
    x = 0.0
    skips = [node for column in columns for node in column if node.is_skip]
    rest = [[node for node in column if not node.is_skip] for column in columns]
    for column, others in zip(columns, rest, strict=True):
        width = max(node.width for node in column)
        for node in column:
            node.x, node.room = x + width / 2, width
        x += width + _GAP_X
        y = (sum(n.height for n in others) + _GAP_Y * (len(others) - 1)) / 2
        for node in others:
            node.y = y - node.height / 2
            y -= node.height + _GAP_Y
    for sweep in range(_SWEEPS):
        for others in rest if sweep % 2 else reversed(rest):
            wanted = []
            for node in others:
                near = [n for n in (*node.before, *node.behind) if not n.is_skip]
                wanted.append(sum(n.y for n in near) / len(near) if near else node.y)
            _separate(others, wanted)
    # Skip connections run above all.
    top = max(node.y + node.height / 2 for others in rest for node in others)
    ends = list(dict.fromkeys(id(_end(node)) for node in skips))
    for node in skips:
        node.y = top + _GAP_Y * (len(ends) - ends.index(id(_end(node))))


def _end(node: _Node) -> _Node:
    """Return the operation where an edge ends."""
    while node.number is None:
        node = node.behind[0]
    return node


def _separate(column: Sequence[_Node], wanted: Sequence[float]) -> None:
    """Put nodes as near as can be to where they are wanted, in order and apart.

    The mean of the placing from the top and of that from the bottom: both keep the distances.
    """
    down, up = list(wanted), list(wanted)
    gaps = [(a.height + b.height) / 2 + _GAP_Y for a, b in itertools.pairwise(column)]
    for k, gap in enumerate(gaps):
        down[k + 1] = min(down[k + 1], down[k] - gap)
    for k in reversed(range(len(gaps))):
        up[k] = max(up[k], up[k + 1] + gaps[k])
    for node, a, b in zip(column, down, up, strict=True):
        node.y = (a + b) / 2


def _width(line: str) -> float:
    """Return the width of a line of text in inches."""
    from matplotlib.textpath import TextPath

    box = TextPath((0, 0), line, size=_FONT).get_extents()
    return float(box.width) / 72


# Ink ---------------------------------------------------------------------------------------------


def _draw_node(axes: Axes, node: _Node, operation: Operation) -> None:
    from matplotlib.patches import Circle, FancyBboxPatch

    colour = COLOURS[operation.kind][0]
    gid = f"operation {node.number}"
    text = "\n".join(node.lines)
    if operation.kind in _SIGNS:
        axes.add_patch(
            Circle((node.x, node.y), _RADIUS, facecolor=colour, edgecolor="black", lw=0.8, gid=gid)
        )
        sign = _SIGNS[operation.kind]
        axes.text(node.x, node.y, sign, ha="center", va="center_baseline", fontsize=12, zorder=3)
        below = node.y - _RADIUS - _PAD / 2
        axes.text(node.x, below, text, ha="center", va="top", fontsize=_FONT, gid=gid, zorder=3)
        return
    corner = (node.x - node.width / 2, node.y - node.height / 2)
    style = "round,pad=0,rounding_size=0.06"
    box = FancyBboxPatch(
        corner, node.width, node.height, boxstyle=style, facecolor=colour, edgecolor="black",
        lw=0.8, gid=gid, zorder=2,
    )  # fmt: skip
    axes.add_patch(box)
    axes.text(
        node.x, node.y, text, ha="center", va="center", fontsize=_FONT, gid=gid, zorder=3,
        linespacing=1.25,
    )  # fmt: skip


def _draw_edge(axes: Axes, start: _Node, end: _Node) -> None:
    from matplotlib.patches import FancyArrowPatch, PathPatch
    from matplotlib.path import Path as Curve

    # Straight through the columns, and from one height to another between them only.
    left, right = start.x + start.room / 2, end.x - end.room / 2
    first = start.x - start.room / 2 if start.number is None else start.x + _half(start)
    last = right
    if end.number is not None:  # an arrow needs a straight end
        last, right = end.x - _half(end), right - _ARROW
    middle = (left + right) / 2
    points = [
        *((first, start.y), (left, start.y)),
        *((middle, start.y), (middle, end.y), (right, end.y)),
        (last, end.y),
    ]
    codes = [Curve.MOVETO, Curve.LINETO, *[Curve.CURVE4] * 3, Curve.LINETO]
    curve = Curve(points, codes)
    if end.number is None:
        axes.add_patch(PathPatch(curve, facecolor="none", edgecolor="0.25", lw=0.9, zorder=1))
    else:
        axes.add_patch(
            FancyArrowPatch(
                path=curve, arrowstyle="-|>", mutation_scale=8, color="0.25", lw=0.9, zorder=1,
                shrinkA=0, shrinkB=0,
            )
        )  # fmt: skip


def _half(node: _Node) -> float:
    """Return how far the ink of an operation reaches to its left and right."""
    return _RADIUS if node.is_round else node.width / 2


def _draw_legend(axes: Axes, kinds: Sequence[str], per_row: int) -> None:
    from matplotlib.lines import Line2D

    entries = []
    for kind in kinds:
        colour, meaning = COLOURS[kind]
        sign = f"{_SIGNS[kind]}  " if kind in _SIGNS else ""
        marker = "o" if kind in _SIGNS else "s"
        entries.append(
            Line2D(
                [], [], ls="", marker=marker, ms=8, mfc=colour, mec="black", mew=0.7,
                label=sign + meaning,
            )
        )  # fmt: skip
    axes.legend(
        handles=entries, loc="lower center", ncols=per_row, frameon=False, fontsize=8,
        handletextpad=0.3, columnspacing=1.2,
    )  # fmt: skip


# Formulas ----------------------------------------------------------------------------------------


def mathtext(formula: str) -> list[str]:
    r"""Return a formula as lines of Matplotlib's mathtext; "in 4 directions" is a line of its own.

    Example:
        >>> mathtext("Σ_k C_jk u_k in 4 directions")
        ['$\\Sigma_{k}\\,C_{jk}\\,u_{k}$', 'in 4 directions']
    """
    tail = _TAIL.search(formula)
    body = formula[: tail.start()] if tail else formula
    lines = [f"${_TOKEN.sub(_replaced, body)}$"] if body else []
    return [*lines, tail.group(1)] if tail else lines


def _replaced(match: re.Match[str]) -> str:
    given = match.groupdict()
    if given["sum"]:
        return rf"\Sigma_{{{given['sum']}}}"
    if given["derivative"] is not None:
        return r"\partial" + (f"_{{{given['derivative']}}}" if given["derivative"] else " ")
    if given["name"]:
        indices = given["letters"].strip("_").replace("_", ",")
        name = given["name"]
        base = name if len(name) == 1 else rf"\mathit{{{name}}}"
        return f"{base}_{{{indices}}}"
    if given["function"]:
        return "\\" + given["function"]
    if given["word"]:
        return rf"\mathrm{{{given['word']}}}"
    if given["power"]:
        return f"^{{{given['power'][1:]}}}"
    plain = {"space": r"\,", "dot": r"\cdot ", "arrow": r"\to ", "prime": "'", "times": r"\times "}
    return next(made for key, made in plain.items() if given[key])
