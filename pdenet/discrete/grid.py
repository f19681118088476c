"""Grid: a box in one, two or three dimensions and how many nodes stand along each of its axes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Protocol, SupportsIndex, TypeAlias

import numpy as np
import numpy.typing as npt
import sympy as sp

from pdenet.checks import is_integer
from pdenet.equation.symbols import SPACE as AXES
from pdenet.errors import GridError

#: (low, high, points); the two ends may be exact SymPy numbers such as ``sp.pi``.
Interval: TypeAlias = tuple[float | sp.Expr, float | sp.Expr, SupportsIndex]
Nodes: TypeAlias = npt.NDArray[np.float64]


class PeriodicAxes(Protocol):
    """What a grid must know of a boundary: whether an axis closes on itself."""

    def is_periodic(self, axis: str, /) -> bool:
        """True when the axis of that name ("x", "y" or "z") is periodic."""


@dataclass(frozen=True, init=False, repr=False)
class Grid:
    """A box with equally spaced nodes, ``Grid(x=(low, high, points), y=…, z=…)``.

    Node k of an axis stands at (low·(N − k) + high·k)/N for k = 0 … points − 1, with N = points
    on a periodic axis (its last node, a copy of the first, is left out) and N = points − 1
    otherwise. Hence an interval symmetric about 0 has bitwise antisymmetric nodes. Which axes
    are periodic is known to the boundary alone, so nodes and spacings are asked for with it.

    Tuples over axes are in coordinate order (x, y, z); arrays over the grid are in array order
    (z, y, x), y growing with the row. Lengths are in the user's unit of length.

    Attributes:
        low: The low end of every axis.
        high: The high end of every axis.
        points: The number of nodes of every axis; a state has exactly these.

    Example:
        >>> grid = Grid(x=(-1, 1, 256), y=(0, 1, 64))
        >>> grid
        Grid(x=(-1, 1, 256), y=(0, 1, 64))
        >>> grid.axes, grid.points, grid.shape
        (('x', 'y'), (256, 64), (64, 256))
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    points: tuple[int, ...]

    def __init__(
        self,
        *unnamed: object,
        x: Interval | None = None,
        y: Interval | None = None,
        z: Interval | None = None,
        **unknown: object,
    ) -> None:
        """Take one (low, high, points) for x, for x and y, or for x, y and z.

        Raises:
            GridError: An axis has another name, is missing before a later one, has a bound that
                is not a finite real number, bounds that are not in order, or a number of points
                that is not an integer of at least 2; or float64 cannot tell its nodes apart.
        """
        if unnamed:
            raise GridError(
                f"axes are named; got {unnamed[0]!r} without a name; "
                "write Grid(x=(low, high, points))"
            )
        if unknown:
            name, interval = next(iter(unknown.items()))
            raise GridError(
                f"a grid has the axes x, y and z; got {name}={interval!r}; "
                "name the axes x, y, z in that order"
            )
        intervals = [interval for interval in (x, y, z) if interval is not None]
        given = [name for name, value in zip(AXES, (x, y, z), strict=True) if value is not None]
        if not intervals:
            raise GridError(
                "expected at least one axis, got none; write Grid(x=(low, high, points))"
            )
        if tuple(given) != AXES[: len(given)]:
            missing = next(name for name in AXES if name not in given)
            raise GridError(
                f"expected the axes x, y, z in that order without gaps, got {', '.join(given)}; "
                f"give {missing} too, or rename the axes"
            )
        checked = [_interval(name, value) for name, value in zip(given, intervals, strict=True)]
        low, high, points = zip(*checked, strict=True)
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)
        object.__setattr__(self, "points", points)

    @property
    def dimension(self) -> int:
        """The number of axes, 1, 2 or 3."""
        return len(self.points)

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the axes in coordinate order, for instance ("x", "y")."""
        return AXES[: self.dimension]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one component on this grid: the points in array order (z, y, x)."""
        return self.points[::-1]

    def nodes(self, boundary: PeriodicAxes) -> tuple[Nodes, ...]:
        """The positions of the nodes, one axis after the other.

        Returns:
            One float64 array of shape (points,) for each axis, in coordinate order.
        """
        return tuple(
            _nodes(low, high, points, num_cells)
            for low, high, points, num_cells in zip(
                self.low, self.high, self.points, self._num_cells(boundary), strict=True
            )
        )

    def spacing(self, boundary: PeriodicAxes) -> tuple[float, ...]:
        """The distance (high − low)/N of neighbouring nodes of each axis, in coordinate order."""
        return tuple(
            (high - low) / num_cells
            for low, high, num_cells in zip(
                self.low, self.high, self._num_cells(boundary), strict=True
            )
        )

    def mesh(self, boundary: PeriodicAxes) -> tuple[Nodes, ...]:
        """The nodes, shaped so that they broadcast to `shape`.

        Returns:
            The coordinates x, y, z in that order; in two dimensions x has the shape (1, Nx) and
            y the shape (Ny, 1).
        """
        d = self.dimension
        return tuple(
            nodes.reshape([-1 if array_axis == d - 1 - axis else 1 for array_axis in range(d)])
            for axis, nodes in enumerate(self.nodes(boundary))
        )

    def place(self, cell: Sequence[int], boundary: PeriodicAxes) -> str:
        """Where a node stands, "x = 0.5, y = 1"; `cell` in array order (z, y, x)."""
        nodes = zip(self.axes, self.nodes(boundary), reversed(cell), strict=True)
        return ", ".join(f"{axis} = {float(n[k]):g}" for axis, n, k in nodes)

    def __repr__(self) -> str:
        """The call that makes this grid."""
        intervals = zip(self.axes, self.low, self.high, self.points, strict=True)
        inside = ", ".join(
            f"{name}=({_short(low)}, {_short(high)}, {points})"
            for name, low, high, points in intervals
        )
        return f"Grid({inside})"

    def _num_cells(self, boundary: PeriodicAxes) -> tuple[int, ...]:
        """N of each axis: how many spacings fill the interval."""
        return tuple(
            points if boundary.is_periodic(name) else points - 1
            for name, points in zip(self.axes, self.points, strict=True)
        )


def _nodes(low: float, high: float, points: int, num_cells: int) -> Nodes:
    """Node k at (low·(N − k) + high·k)/N, shape (points,)."""
    k = np.arange(points, dtype=np.float64)
    nodes: Nodes = (low * (num_cells - k) + high * k) / num_cells
    # (low·N)/N need not round back to low, and a wall belongs exactly where it was put.
    nodes[0] = low
    if points > num_cells:
        nodes[-1] = high
    return nodes


def _interval(axis: str, interval: object) -> tuple[float, float, int]:
    """Check one axis and return (low, high, points) as plain numbers."""
    if not isinstance(interval, (tuple, list)) or len(interval) != 3:
        raise GridError(
            f"expected {axis}=(low, high, points), got {axis}={interval!r}; "
            f"for instance {axis}=(-1, 1, 256)"
        )
    low = _bound(axis, "low", interval[0])
    high = _bound(axis, "high", interval[1])
    points = _points(axis, interval[2])
    if not high > low:
        raise GridError(
            f"expected low < high on axis {axis}, got low = {_short(low)} and "
            f"high = {_short(high)}; swap or correct the bounds"
        )
    largest = max(abs(low), abs(high))
    if not math.isfinite(largest * points * 2):
        raise GridError(
            f"expected bounds of axis {axis} far below 1.8e308, got low = {_short(low)} and "
            f"high = {_short(high)}; use a larger unit of length"
        )
    # Neighbours closer than two units in the last place could round to the same node.
    if (high - low) / points < 2 * math.ulp(largest):
        raise GridError(
            f"expected nodes that float64 can tell apart on axis {axis}, got {points} points "
            f"between {_short(low)} and {_short(high)}; use fewer points or move the origin there"
        )
    return low, high, points


def _bound(axis: str, which: str, value: object) -> float:
    """A finite real number as a float; SymPy's exact numbers are welcome, booleans are not."""
    is_real = isinstance(value, Real) and not isinstance(value, (bool, np.bool_))
    if isinstance(value, sp.Expr):
        is_real = bool(value.is_number and value.is_extended_real)
    try:
        number = float(value) if is_real else math.nan  # type: ignore[arg-type]  # Real or number
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise GridError(
            f"expected a finite real number as the {which} end of axis {axis}, got {value!r} "
            f"of type {type(value).__name__}; write {axis}=(low, high, points) with real numbers"
        )
    return number


def _points(axis: str, value: object) -> int:
    """A number of nodes: an integer of at least 2."""
    if not is_integer(value):
        raise GridError(
            f"expected an integer number of points on axis {axis}, got {value!r} of type "
            f"{type(value).__name__}; write {axis}=(low, high, 256)"
        )
    points = int(value)
    if points < 2:
        raise GridError(
            f"expected at least 2 points on axis {axis}, got {points}; "
            "use more points, or leave the axis out"
        )
    return points


def _short(number: float) -> str:
    """Exact, without the ".0" of whole numbers."""
    return str(int(number)) if number == int(number) and abs(number) < 1e16 else repr(number)
