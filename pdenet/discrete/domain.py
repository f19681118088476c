"""Domain: where a scheme lives. The nodes of a grid, or of a box of them, and which axes wrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pdenet.discrete.grid import Grid, PeriodicAxes
from pdenet.errors import GridError

LOW, HIGH = 0, 1


@dataclass(frozen=True)
class Domain:
    """The nodes of a grid, or of a box of them, with the axes that close on themselves.

    A node of a box stands where the same node of the whole grid stands, to the bit.

    Attributes:
        grid: the whole grid.
        periodic: the names of its periodic axes, in coordinate order.
        first: the index of the box's first node along each axis, in coordinate order.
        points: how many nodes the box has along each axis.

    Example:
        >>> from pdenet.discrete.boundary import Boundary, Free
        >>> whole = Domain.of(Grid(x=(0, 1, 5)), Boundary(x=Free()))
        >>> whole.box([1], [4]).nodes(0).tolist(), whole.box([1], [4]).nodes(0, 2).tolist()
        ([0.25, 0.5, 0.75], [-0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25])
    """

    grid: Grid
    periodic: tuple[str, ...]
    first: tuple[int, ...]
    points: tuple[int, ...]

    @classmethod
    def of(cls, grid: Grid, boundary: PeriodicAxes) -> Domain:
        """Return the whole of a grid whose ends `boundary` speaks of."""
        periodic = tuple(axis for axis in grid.axes if boundary.is_periodic(axis))
        return cls(grid, periodic, (0,) * grid.dimension, grid.points)

    def box(self, start: Sequence[int], stop: Sequence[int]) -> Domain:
        """Return the box of the nodes start ≤ index < stop, counted from this domain's first.

        Raises:
            GridError: it is empty, or reaches beyond this domain.
        """
        spans = tuple(zip(start, stop, self.points, strict=True))
        if not all(0 <= a < b <= n for a, b, n in spans):
            raise GridError(
                f"a box of at least one node an axis inside {self.points} points was expected; got "
                f"the nodes from {tuple(start)} to {tuple(stop)}; stay within the domain"
            )
        first = tuple(own + a for own, (a, _, _) in zip(self.first, spans, strict=True))
        return Domain(self.grid, self.periodic, first, tuple(b - a for a, b, _ in spans))

    def is_periodic(self, axis: str, /) -> bool:
        """Tell whether an axis of the whole grid closes on itself."""
        return axis in self.periodic

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the axes, in coordinate order."""
        return self.grid.axes

    @property
    def dimension(self) -> int:
        """The number of axes."""
        return self.grid.dimension

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one component: the points in array order (z, y, x)."""
        return self.points[::-1]

    @property
    def spacing(self) -> tuple[float, ...]:
        """The distance of neighbouring nodes, in coordinate order."""
        return self.grid.spacing(self)

    @property
    def wraps(self) -> tuple[bool, ...]:
        """Whether the first and the last node are neighbours, for each axis in coordinate order."""
        whole = zip(self.axes, self.points, self.grid.points, strict=True)
        return tuple(self.is_periodic(axis) and own == all_of for axis, own, all_of in whole)

    def nodes(self, axis: int, width: int = 0) -> np.ndarray:
        """Return the positions along an axis, with those of `width` more nodes at both ends.

        Beyond the end of a periodic axis they are those of the nodes met there, beyond a wall they
        go on with the same spacing.

        Returns:
            float64, shape (points + 2 width,).
        """
        whole = self.grid.nodes(self)[axis]
        first, last = self.first[axis], self.first[axis] + self.points[axis]
        index = np.arange(first - width, last + width)
        if self.is_periodic(self.axes[axis]):
            return np.take(whole, index, mode="wrap")
        made = np.take(whole, index, mode="clip")
        below, above = index < 0, index >= len(whole)
        step = self.spacing[axis]
        made[below] = whole[0] - step * -index[below]
        made[above] = whole[-1] + step * (index[above] - (len(whole) - 1))
        return made

    def along(self, axis: int, width: int = 0) -> np.ndarray:
        """Return `nodes`, of length 1 along the other axes, so that they broadcast to `shape`."""
        return self.nodes(axis, width).reshape(
            [-1 if place == self.dimension - 1 - axis else 1 for place in range(self.dimension)]
        )

    def side(self, axis: int, end: int, width: Sequence[int]) -> dict[str, float | np.ndarray]:
        """Return what each coordinate's name stands for on a side.

        Args:
            axis: the axis across the side, in coordinate order.
            end: LOW or HIGH.
            width: how many more nodes there are along the axes before this one.

        Returns:
            Along `axis` the number that is fixed there; along every other axis its nodes, shaped to
            broadcast over the side.
        """
        made: dict[str, float | np.ndarray] = {}
        for own, name in enumerate(self.axes):
            if own == axis:
                made[name] = float(self.nodes(own)[0 if end == LOW else -1])
            else:
                made[name] = self.along(own, width[own] if own < len(width) else 0)
        return made

    def place(self, cell: Sequence[int]) -> str:
        """Say where a node stands, "x = 0.5, y = 1"; `cell` in array order (z, y, x)."""
        index = [k + first for k, first in zip(cell, reversed(self.first), strict=True)]
        return self.grid.place(index, self)
