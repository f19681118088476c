"""LatticeSymmetry: one turn, mirror or reversal with what it does to components or coefficients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sympy as sp

from pdenet.symmetry.equation.axis_maps import AxisMap
from pdenet.symmetry.equation.check_lattice import check_lattice
from pdenet.symmetry.equation.runs import Check

if TYPE_CHECKING:
    from pdenet.simulate.solver import Solver


@dataclass(frozen=True, eq=False)
class LatticeSymmetry:
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
                parts.append(f"{name} → {_combination(row)}")
        return ", ".join(parts)

    def check(
        self, solver: Solver, state: object | None = None, until: float | None = None
    ) -> Check:
        """Return how far it is from holding on a grid; rounding, for a true one.

        A reversal of time is checked on the discrete right side, F(g·u) = −g·F(u).

        Args:
            solver: a solver of the equation.
            state: an initial state, or None for a smooth sample.
            until: how long to run, or None for eight steps.

        Raises:
            SymmetryError: the grid or the boundary is not mapped to itself.
        """
        return check_lattice(self.map, self.matrix, self.coefficients, solver, state, until)

    def __str__(self) -> str:
        action = self.action()
        text = self.name if not action else f"{self.name}: {action}"
        return text if self.is_action else f"{text} (up to the internal symmetries)"


def _combination(row: list[tuple[sp.Expr, str]]) -> str:
    made = ""
    for value, name in row:
        is_negative = value.could_extract_minus_sign()
        size = -value if is_negative else value
        made += (" − " if is_negative else " + ") if made else ("−" if is_negative else "")
        made += name if size == 1 else f"{size} {name}"
    return made
