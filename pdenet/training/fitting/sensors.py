"""Observer: what a trajectory's sensors see of a state, at nodes or between them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch

from pdenet.discrete.boundary import Boundary
from pdenet.discrete.grid import Grid
from pdenet.errors import FitError


@dataclass(frozen=True, eq=False)
class Observer:
    """A linear map from states to what was measured: some components, at nodes or between them.

    Sensor s sees Σₖ weights[s, k]·u[nodes[s, k]], with nodes counted in array order.

    Attributes:
        fields: the numbers of the observed components.
        nodes: int64, shape (sensor, corner); None for whole frames.
        weights: float64, shape (sensor, corner), each row summing to one; None for whole frames.
    """

    fields: tuple[int, ...]
    nodes: np.ndarray | None = None
    weights: np.ndarray | None = None

    def key(self) -> tuple[object, ...]:
        """Equal for observers that see the same, so that their trajectories share a batch."""
        if self.nodes is None or self.weights is None:
            return (self.fields,)
        return self.fields, self.nodes.shape, self.nodes.tobytes(), self.weights.tobytes()

    def on(self, like: torch.Tensor, num_components: int) -> ObserverOn:
        """Return the same map for tensors of one dtype and device."""
        every = self.fields == tuple(range(num_components))
        fields = None if every else torch.tensor(self.fields, device=like.device)
        if self.nodes is None or self.weights is None:
            return ObserverOn(fields, None, None)
        weights = torch.from_numpy(self.weights).to(like)
        alone = self.nodes.shape[1] == 1
        return ObserverOn(
            fields, torch.from_numpy(self.nodes).to(like.device), None if alone else weights
        )


@dataclass(frozen=True, eq=False)
class ObserverOn:
    """An `Observer` as tensors; None stands for all components, all nodes, or weights of one."""

    fields: torch.Tensor | None
    nodes: torch.Tensor | None
    weights: torch.Tensor | None

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """Map states (batch, component, *space) to values (batch, field, sensor)."""
        if self.fields is not None:
            states = states.index_select(1, self.fields)
        flat = states.flatten(2)  # (batch, field, node)
        if self.nodes is None:
            return flat
        if self.weights is None:
            return flat.index_select(2, self.nodes[:, 0])
        corners = flat.index_select(2, self.nodes.flatten())
        return (corners.unflatten(2, self.nodes.shape) * self.weights).sum(-1)


def locate(sensors: np.ndarray, grid: Grid, boundary: Boundary) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes and the weights of sensors; see `Trajectory` for the three kinds.

    Returns:
        The nodes, int64, counted in array order, and their weights, float64, both of shape
        (sensor, corner): one corner for a node, 2^dimension for a point.

    Raises:
        FitError: a wrong shape, or a sensor outside the grid.
    """
    if sensors.dtype.kind == "b":
        if sensors.shape != grid.shape:
            raise FitError(
                f"a mask of sensors has the shape of the grid, {grid.shape}; got {sensors.shape}; "
                "mark the nodes in array order, (y, x) in two dimensions"
            )
        if not sensors.any():
            raise FitError(
                f"a mask of sensors marks at least one node; got none in shape {sensors.shape}; "
                "mark the nodes that were measured"
            )
        nodes = np.flatnonzero(sensors)[:, None]
        return nodes, np.ones(nodes.shape)
    if sensors.ndim == 1 and grid.dimension == 1:
        sensors = sensors[:, None]
    if sensors.ndim != 2 or sensors.shape[1] != grid.dimension:
        raise FitError(
            f"sensors that are indices or points have the shape (sensor, {grid.dimension}); got "
            f"{sensors.shape}; give one row a sensor"
        )
    if sensors.dtype.kind in "iu":
        return _at_nodes(sensors, grid)
    return _at_points(sensors.astype(np.float64), grid, boundary)


def _at_nodes(indices: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    outside = np.flatnonzero(((indices < 0) | (indices >= np.array(grid.shape))).any(axis=1))
    if outside.size:
        k = int(outside[0])
        raise FitError(
            f"indices of nodes lie in the grid of shape {grid.shape}, from 0, in array order; got "
            f"{tuple(indices[k].tolist())} for sensor {k}; points in coordinates are given as "
            "floating point numbers"
        )
    nodes = np.ravel_multi_index(tuple(indices.T.astype(np.int64)), grid.shape)[:, None]
    return nodes.astype(np.int64), np.ones(nodes.shape)


def _at_points(points: np.ndarray, grid: Grid, boundary: Boundary) -> tuple[np.ndarray, np.ndarray]:
    """Interpolate linearly along each axis; the corners of a cell are 0 and 1 along each."""
    cells, shares = [], []  # per axis, in coordinate order: the lower node, and the way to the next
    for axis, low, high, spacing, place in zip(
        grid.axes, grid.low, grid.high, grid.spacing(boundary), points.T, strict=True
    ):
        slack = 1e-9 * (high - low)  # a point computed to lie on the wall lies on it
        outside = np.flatnonzero(~((place >= low - slack) & (place <= high + slack)))
        if outside.size:
            k = int(outside[0])
            raise FitError(
                f"sensors lie in the grid, {axis} from {low:g} to {high:g}; got {axis} = "
                f"{place[k]:g} for sensor {k}; points are given in coordinate order, "
                f"({', '.join(grid.axes)})"
            )
        num_cells = round((high - low) / spacing)
        way = np.clip((place - low) / spacing, 0.0, num_cells)
        cell = np.minimum(np.floor(way), num_cells - 1)
        cells.append(cell.astype(np.int64))
        shares.append(way - cell)
    nodes, weights = [], []
    for corner in itertools.product((0, 1), repeat=grid.dimension):
        # A periodic axis closes on itself: the node after its last one is its first.
        index = [
            (cell + step) % count
            for cell, step, count in zip(cells, corner, grid.points, strict=True)
        ]
        nodes.append(np.ravel_multi_index(tuple(index[::-1]), grid.shape))
        parts = [share if step else 1.0 - share for share, step in zip(shares, corner, strict=True)]
        weights.append(np.prod(parts, axis=0))
    return np.stack(nodes, axis=1).astype(np.int64), np.stack(weights, axis=1)
