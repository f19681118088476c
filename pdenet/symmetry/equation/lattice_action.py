"""LatticeSymmetry: one turn, mirror or reversal with what it does to components or coefficients.

Its proof on a grid is exact up to rounding: a turn is compared before and after a run, S(g·u) with
g·S(u). A reversal cannot be run backwards by every scheme, so its proof is that of the discrete
right side, F(g·u) = −g·F(u).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any  # conditions have values of any kind

import numpy as np
import sympy as sp

from pdenet.discrete.boundary import Dirichlet, Neumann, Robin
from pdenet.errors import SymmetryError
from pdenet.symmetry.equation.axis_maps import AxisMap, lattice_group
from pdenet.symmetry.equation.found import Broken, Found
from pdenet.symmetry.equation.runs import Check, Run, Symmetry, compare, depends_on, numbers
from pdenet.symmetry.equation.vector_fields import sign_and_size, signed_sum

if TYPE_CHECKING:
    from pdenet.simulate.solver import Solver


@dataclass(frozen=True, eq=False)
class LatticeSymmetry(Symmetry):
    """(g·u)(t, x) = M u(±t, g⁻¹x) takes solutions to solutions.

    Attributes:
        map: g, with t → −t where its `time` is −1.
        components: the names of the components of the state.
        matrix: M, exact; None for a family of equations, whose components stay as they are.
        coefficients: for a family, the coefficient (with a sign) that takes the place of each.
        is_action: whether the matrices of all elements are a representation, M(g h) = M(g) M(h);
            else g acts up to the internal symmetries only, the identity apart, whose M is 1.
    """

    map: AxisMap
    components: tuple[str, ...]
    matrix: sp.ImmutableMatrix | None = None
    coefficients: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    is_action: bool = True

    @property
    def name(self) -> str:
        """What g is called."""
        return self.map.name

    @property
    def is_signed_permutation(self) -> bool:
        """Whether M only exchanges components and changes signs."""
        return self.matrix is None or all(
            sorted(map(abs, row)) == [0] * (len(row) - 1) + [1] for row in self.matrix.tolist()
        )

    def action(self) -> str:
        """Return what happens besides the move of points: "q → −q, p → r" or "A → B"."""
        if self.matrix is None:
            moved = {k: v for k, v in self.coefficients.items() if v != (k, 1)}
            return ", ".join(f"{k} → {'−' if s < 0 else ''}{v}" for k, (v, s) in moved.items())
        parts = []
        for j, name in enumerate(self.components):
            row = [
                (self.matrix[j, k], other)
                for k, other in enumerate(self.components)
                if self.matrix[j, k] != 0
            ]
            if row != [(1, name)]:
                terms = [(*sign_and_size(value), other) for value, other in row]
                shown = [(m, of if size == 1 else f"{size} {of}") for m, size, of in terms]
                parts.append(f"{name} → {signed_sum(shown)}")
        return ", ".join(parts)

    def _check(self, solver: Solver, u: np.ndarray, run: Run) -> Check:
        g = self.map
        if g.dimension != solver.grid.dimension:
            raise SymmetryError(
                f"a symmetry of {g.dimension} dimensions acts on as many axes; got a grid of "
                f"{solver.grid.dimension}; use a solver of the same equation"
            )
        mix = np.eye(len(u)) if self.matrix is None else numbers(self.matrix, run)
        if self.matrix is None and g.time < 0:
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
        if self.coefficients:
            tensors = run.values.tensors
            other = run.changed(
                tensors={a: s * tensors[b] for a, (b, s) in self.coefficients.items()}
            )
        if g.time < 0:
            return compare(-act(run.rates(u, run.start)), other.rates(act(u), run.start))
        return compare(act(run.advance(u)), other.advance(act(u)))

    def __str__(self) -> str:
        action = self.action()
        text = self.name if not action else f"{self.name}: {action}"
        return text if self.is_action else f"{text} (up to the internal symmetries)"


def by_time(
    dimension: int, held: Mapping[AxisMap, LatticeSymmetry], reason: Callable[[AxisMap], str]
) -> tuple[Found[LatticeSymmetry], Found[LatticeSymmetry]]:
    """Return the symmetries that hold and those that fail, without and with a reversal of time."""
    kept, turned = (
        Found(
            tuple(held[g] for g in group if g in held),
            tuple(Broken(g.name, reason(g)) for g in group if g not in held),
        )
        for group in ([replace(g, time=time) for g in lattice_group(dimension)] for time in (1, -1))
    )
    return kept, turned


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
