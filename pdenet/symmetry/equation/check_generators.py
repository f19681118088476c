"""Proofs on a grid of infinitesimal symmetries; they hold to the order of the scheme.

A generator V changes a solution at the rate Q = φ − τ u_t − Σ ξ^a u_a, its characteristic. For the
solver's run S, a true generator has

    ( S(u₀ + ε Q[u₀]) − S(u₀ − ε Q[u₀]) ) / 2ε = Q[S u₀] + O(h²),

with u_t from the solver's right side and u_a by central differences. The middle half of the box is
compared: Q of a coordinate such as x ∂u does not close up at a periodic seam.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import sympy as sp

from pdenet.errors import SymmetryError
from pdenet.symmetry.equation.check_flows import numbers
from pdenet.symmetry.equation.runs import Check, Run, compare, fixed_run, given_state

if TYPE_CHECKING:
    from pdenet.simulate.solver import Solver

_SMALL = 1e-4
"""ε Q in terms of u: what is quadratic, 1e-8, and rounding, 1e-16/1e-4, are both far below h²."""


def check_generator(
    matrix: sp.Matrix,
    components: Sequence[str],
    solver: Solver,
    state: object | None,
    until: float | None,
) -> Check:
    """Return how far a generator is from holding in the middle half of the box.

    Args:
        matrix: the affine coefficients, rows τ, ξ…, φ…, 0; columns t, x…, u…, 1.
        components: the fields it acts on, without generated rates.
        solver: a solver of the equation.
        state: an initial state, smooth and far from the walls, or None for a sample.
        until: how long to run; fix it to see the error fall by 4 where h is halved.

    Raises:
        SymmetryError: the solver has other components.
    """
    missing = [c for c in components if c not in solver.components]
    if missing:
        raise SymmetryError(
            f"a generator acts on the solver's components {', '.join(solver.components)}; got one "
            f"for {missing[0]!r}; find the symmetries of this solver's equation"
        )
    u = given_state(solver, state).astype(np.float64)
    length = fixed_run(solver, u, until)
    # Not from 0, where a boost t ∂x + ∂u could not be told from ∂u.
    run = length.shifted(length.until)
    field = _Characteristic(numbers(matrix, run), components, solver, run)
    start = field.at(u, run.start)
    size = float(np.abs(start).max())
    if size == 0:
        size = 1.0
    eps = _SMALL * float(np.abs(u).max() or 1.0) / size
    moved = (run.advance(u + eps * start) - run.advance(u - eps * start)) / (2 * eps)
    middle = (slice(None), *(slice(n // 4, n - n // 4) for n in solver.grid.shape))
    end = run.advance(u)
    difference = compare(moved[middle], field.at(end, run.until)[middle]).difference
    return Check(difference, field.size(end, run.until))


class _Characteristic:
    """Q of a generator, on arrays `(component, *space)`."""

    def __init__(
        self, matrix: np.ndarray, components: Sequence[str], solver: Solver, run: Run
    ) -> None:
        self.matrix = matrix
        self.run = run
        self.solver = solver
        self.place = {name: solver.components.index(name) for name in components}
        self.rates: dict[int, int] = {}  # a field of second order -> the component that is its rate
        values = run.values
        for info in values.system.fields:
            if info.rate_of is not None:
                here, there = values.slices[info.rate_of].start, values.slices[info.name].start
                self.rates |= {here + k: there + k for k in range(values.num_components(info))}

    def at(self, u: np.ndarray, t: float) -> np.ndarray:
        """Return Q of a state at a time."""
        grid, boundary = self.solver.grid, self.solver.boundary
        d = grid.dimension
        x = [np.broadcast_to(m, grid.shape) for m in grid.mesh(boundary)]
        fields = [u[k] for k in self.place.values()]
        point = [np.full(grid.shape, t), *x, *fields, np.ones(grid.shape)]
        slope = self.run.rates(u, t)
        # What D_t of (t, x, u, 1) is.
        speed = [np.ones(grid.shape), *(0 * x[0] for _ in range(d))]
        speed += [slope[k] for k in self.place.values()] + [np.zeros(grid.shape)]

        def row(k: int, of: Sequence[np.ndarray]) -> np.ndarray:
            made = np.zeros(grid.shape)
            for weight, part in zip(self.matrix[k], of, strict=True):
                made = made + weight * part if weight else made
            return made

        made = np.zeros_like(u)
        for j, (name, k) in enumerate(self.place.items()):
            del name
            made[k] = row(1 + d + j, point) - row(0, point) * slope[k]
            for a in range(d):
                made[k] -= row(1 + a, point) * self._along(u[k], a)
            if k in self.rates:
                r = self.rates[k]
                # D_t Q, with D_t u = u_t and D_t u_t = F.
                made[r] = row(1 + d + j, speed) - row(0, speed) * u[r] - row(0, point) * slope[r]
                for a in range(d):
                    made[r] -= row(1 + a, speed) * self._along(u[k], a)
                    made[r] -= row(1 + a, point) * self._along(u[r], a)
        return made

    def size(self, u: np.ndarray, t: float) -> float:
        """Return the largest of φ, τ u_t and ξ^a u_a; they may cancel, as on u = f(x − t)."""
        grid, d = self.solver.grid, self.solver.grid.dimension
        x = [np.abs(m).max() for m in grid.nodes(self.solver.boundary)]
        bound = [abs(t), *x, *(np.abs(u[k]).max() for k in self.place.values()), 1.0]
        rows = np.abs(self.matrix) @ np.array(bound, dtype=np.float64)
        slope = np.abs(self.run.rates(u, t)).max()
        steep = max(
            float(np.abs(self._along(u[k], a)).max()) for k in range(len(u)) for a in range(d)
        )
        return float(max(rows[1 + d :].max(), rows[0] * slope, rows[1 : 1 + d].max() * steep))

    def _along(self, u: np.ndarray, axis: int) -> np.ndarray:
        """Return ∂_a u by central differences."""
        grid, boundary = self.solver.grid, self.solver.boundary
        place, h = grid.dimension - 1 - axis, grid.spacing(boundary)[axis]
        if boundary.is_periodic(grid.axes[axis]):
            return (np.roll(u, -1, place) - np.roll(u, 1, place)) / (2 * h)
        return np.gradient(u, h, axis=place, edge_order=2)
