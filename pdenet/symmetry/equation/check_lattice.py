"""Proofs on a grid of turns, mirrors and reversals of time; exact up to rounding.

A turn is compared before and after a run, S(g·u) with g·S(u). A reversal cannot be run backwards by
every scheme, so its proof is that of the discrete right side, F(g·u) = −g·F(u).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any  # conditions have values of any kind

import numpy as np
import sympy as sp

from pdenet.discrete.boundary import Dirichlet, Neumann, Robin
from pdenet.errors import SymmetryError
from pdenet.symmetry.equation.axis_maps import AxisMap
from pdenet.symmetry.equation.check_flows import numbers
from pdenet.symmetry.equation.runs import Check, Run, compare, depends_on, fixed_run, given_state

if TYPE_CHECKING:
    from pdenet.simulate.solver import Solver


def check_lattice(
    g: AxisMap,
    matrix: sp.Matrix | None,
    coefficients: Mapping[str, tuple[str, int]],
    solver: Solver,
    state: object | None,
    until: float | None,
) -> Check:
    """Return how far (g·u)(t, x) = M u(±t, g⁻¹x) is from holding.

    Args:
        g: the map of space, with or without a reversal of time.
        matrix: M; None for the identity.
        coefficients: for a family, what takes the place of each coefficient, with its sign.
        solver: a solver whose grid and boundary g maps to themselves.
        state: an initial state, or None for a sample.
        until: how long to run, or None for some steps.

    Raises:
        SymmetryError: g does not map the grid or the boundary to itself.
    """
    u = given_state(solver, state)
    run = fixed_run(solver, u, until)
    if g.dimension != solver.grid.dimension:
        raise SymmetryError(
            f"a symmetry of {g.dimension} dimensions acts on as many axes; got a grid of "
            f"{solver.grid.dimension}; use a solver of the same equation"
        )
    mix = np.eye(len(u)) if matrix is None else numbers(matrix, run)
    if matrix is None and g.time < 0:
        mix = _rate_signs(run)
    places = _places(g, run)
    _check_walls(g, mix, run)

    def act(array: np.ndarray) -> np.ndarray:
        moved = np.einsum("jk,k...->j...", mix, array)
        d = g.dimension
        # Array axes are (component, z, y, x); those of g count from x.
        order = [0, *(d - g.permutation[d - 1 - k] for k in range(d))]
        moved = np.transpose(moved, order)
        for axis, place in enumerate(places):
            moved = np.take(moved, place, axis=d - axis)
        return moved

    other = run
    if coefficients:
        tensors = run.values.tensors
        other = run.changed(tensors={a: s * tensors[b] for a, (b, s) in coefficients.items()})
    if g.time < 0:
        return compare(-act(run.rates(u, run.start)), other.rates(act(u), run.start))
    return compare(act(run.advance(u)), other.advance(act(u)))


def _rate_signs(run: Run) -> np.ndarray:
    signs = []
    for info in run.values.system.fields:
        signs += [-1.0 if info.rate_of else 1.0] * run.values.num_components(info)
    return np.diag(signs)


def _places(g: AxisMap, run: Run) -> list[np.ndarray]:
    """Return for each axis which node comes to each place, shape (points,)."""
    grid, boundary = run.scheme.domain.grid, run.boundary
    nodes = grid.nodes(boundary)
    spacing = grid.spacing(boundary)
    made = []
    for b, (p, sign) in enumerate(zip(g.permutation, g.signs, strict=True)):
        axis, old = grid.axes[b], grid.axes[p]
        same = grid.points[b] == grid.points[p] and np.isclose(spacing[b], spacing[p], rtol=1e-9)
        if not same or boundary.is_periodic(axis) != boundary.is_periodic(old):
            raise SymmetryError(
                f"{g.name} maps the axis {old} to {axis}, so both have the same points, spacing "
                f"and ends; got {grid.points[p]} and {grid.points[b]} points, spacings "
                f"{spacing[p]:g} and {spacing[b]:g}; use equal axes"
            )
        if not depends_on(run, axis) and not depends_on(run, old):
            count = grid.points[b]
            made.append(np.arange(count) if sign > 0 else np.arange(count)[::-1])
            continue
        # x = 0 is a place of the equation: the nodes themselves must go to nodes. On a periodic
        # axis −L is L, where a coefficient such as x jumps: there a mirror does not hold.
        if boundary.is_periodic(axis) and sign < 0:
            raise SymmetryError(
                f"{g.name} mirrors {axis}, on which the equation depends, so {axis} ends in walls; "
                f"got {boundary.condition(axis, run.values.system.field_names[0])[0]}; use a wall "
                "such as Free() or Dirichlet(0) at −L and L"
            )
        distance = nodes[b][:, None] - sign * nodes[p][None, :]
        place = np.abs(distance).argmin(axis=1)
        worst = float(np.abs(distance).min(axis=1).max())
        if worst > 1e-9 * spacing[b] or len(set(place.tolist())) < len(place):
            raise SymmetryError(
                f"{g.name} maps the nodes of {old} to those of {axis}, as the equation depends on "
                f"them; got nodes from {grid.low[b]:g} to {grid.high[b]:g}; use intervals "
                "(−L, L) about 0"
            )
        made.append(place)
    return made


def _check_walls(g: AxisMap, mix: np.ndarray, run: Run) -> None:
    """Check that each wall has the conditions of that which comes to its place."""
    names = [f.name for f in run.values.system.fields for _ in range(run.values.num_components(f))]
    boundary, axes = run.boundary, run.scheme.domain.axes
    for b, (p, sign) in enumerate(zip(g.permutation, g.signs, strict=True)):
        if boundary.is_periodic(axes[b]):
            continue
        for j, k in zip(*np.nonzero(mix), strict=True):
            mine = boundary.condition(axes[b], names[j])
            old = boundary.condition(axes[p], names[k])[::sign]
            for new, was in zip(mine, old, strict=True):
                if not _is_same(new, was, float(mix[j, k])):
                    raise SymmetryError(
                        f"{g.name} maps a wall to one with the same condition; got {was} for "
                        f"{names[k]!r} on {axes[p]}, and {new} for {names[j]!r} on {axes[b]}; "
                        "use the same conditions, or a periodic grid"
                    )


def _is_same(new: Any, was: Any, factor: float) -> bool:
    if type(new) is not type(was):
        return False
    if isinstance(new, Robin) and (new.a, new.b) != (was.a, was.b):
        return False
    if isinstance(new, Dirichlet | Neumann | Robin):
        for value in (new.value, was.value):
            if isinstance(value, np.ndarray | sp.Expr) or hasattr(value, "detach"):
                raise SymmetryError(
                    "walls are compared where their values are numbers; got "
                    f"{type(value).__name__}; check the symmetry on a periodic grid"
                )
        return bool(new.value == factor * was.value)
    return True
