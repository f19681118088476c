"""Scalings: all (t, x, …, u_j) ↦ (λ^a t, λ^b x, …, λ^{c_j} u_j) that leave an equation invariant.

∂u_j/∂t = F_j is invariant when every monomial of F_j has the weight c_j − a, where the weight of
∂^α u_k is c_k − Σ α_i b_i. Functions such as exp ask their argument to have the weight 0; a power
of a sum asks the sum to be homogeneous. These are linear equations for the weights: an exact null
space over the rationals. Where parameters scale too, it is dimensional analysis.

Source: Bluman & Kumei (1989), Symmetries and Differential Equations, § 1.2 for the group and the
Buckingham theorem behind `dimensional`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import sympy as sp
from sympy.core.function import AppliedUndef

from pdenet.discrete.boundary import Robin
from pdenet.discrete.grid import Grid
from pdenet.equation.symbols import TIME
from pdenet.errors import SymmetryError
from pdenet.symmetry.equation.jets import Jet, JetSystem
from pdenet.symmetry.equation.runs import (
    Check,
    Run,
    Symmetry,
    check_homogeneous,
    compare,
    conditions,
)
from pdenet.symmetry.equation.vector_fields import integral

if TYPE_CHECKING:
    from pdenet.simulate.solver import Solver

Row = dict[str, sp.Rational]  # a weight, as a combination of the unknown ones


@dataclass(frozen=True, eq=False)
class Scaling(Symmetry):
    """Every quantity q becomes λ^w q.

    Attributes:
        weights: the integer w of t, each axis, each component and, where they scale, parameters;
            those of weight 0 too.
    """

    weights: Mapping[str, int]

    def __str__(self) -> str:
        moved = {k: w for k, w in self.weights.items() if w}
        to = ", ".join(_power(k, w) for k, w in moved.items())
        return f"({', '.join(moved)}) → ({to})"

    def _check(self, solver: Solver, u: np.ndarray, run: Run) -> Check:
        # A second solver has the scaled grid, time step and parameters; powers of 2 scale
        # floating-point numbers exactly.
        check_homogeneous(run, "a scaling")
        axes = solver.grid.axes
        for condition in conditions(solver.boundary, run.values.system.field_names):
            if (
                isinstance(condition, Robin)
                and condition.a
                and condition.b
                and any(self.weights.get(a) for a in axes)
            ):
                raise SymmetryError(
                    f"a scaling of space keeps walls without a length; got {condition}; check it "
                    "on a periodic grid, or with Dirichlet(0) or Neumann(0)"
                )
        intervals = {
            a: (low * 2.0 ** self.weights.get(a, 0), high * 2.0 ** self.weights.get(a, 0), points)
            for a, low, high, points in zip(
                axes, solver.grid.low, solver.grid.high, solver.grid.points, strict=True
            )
        }
        numbers = {
            p.name: run.values.numbers[p.name] * 2.0 ** self.weights[p.name]
            for p in run.values.system.parameters
            if p.name in self.weights and p.name in run.values.numbers
        }
        other = run.changed(
            grid=Grid(**intervals), numbers=numbers, time=2.0 ** self.weights.get(TIME, 0)
        )
        factors = np.array([2.0 ** self.weights.get(name, 0) for name in solver.components])
        factors = factors.reshape(-1, *(1 for _ in axes))
        return compare(factors * run.advance(u), other.advance(factors * u))


def scalings(jets: JetSystem, *, with_parameters: bool = False) -> tuple[Scaling, ...]:
    """Return a basis of the scalings of an equation, in lowest integers; exact.

    Args:
        jets: the equation; symbols without a value stand for generic values.
        with_parameters: whether the parameters may scale as well.

    Example:
        >>> from pdenet.equation.catalogue import catalogue
        >>> from pdenet.symmetry.equation.writing import jet_system
        >>> for scaling in scalings(jet_system(catalogue["kdv"].system)):
        ...     print(scaling)
        (t, x, u) → (λ³ t, λ x, λ⁻² u)
    """
    parameters = [s.name for s in jets.parameters_in(*jets.right_sides)]
    weigh = _Weights(jets, frozenset(parameters if with_parameters else ()))
    for j, right in enumerate(jets.right_sides):
        # c_j − a; for a second time derivative, the rate's own weight follows from its equation.
        weigh.equal(right, {jets.components[j]: sp.S.One, TIME: sp.S.NegativeOne})
    order = [*jets.components[::-1], *sorted(weigh.free), TIME, *jets.axes]
    entries = [row.get(name, sp.S.Zero) for row in weigh.rows for name in order]
    vectors = sp.Matrix(len(weigh.rows), len(order), entries).nullspace()
    shown = [TIME, *jets.axes, *jets.components, *sorted(weigh.free)]
    made = []
    for vector in vectors:
        integers = dict(zip(order, (int(v) for v in integral(vector)), strict=True))
        made.append(Scaling({k: integers[k] for k in shown}))
    return tuple(sorted(made, key=lambda s: [-(s.weights[k] != 0) for k in shown]))


class _Weights:
    """Collects the linear equations that the weights satisfy."""

    def __init__(self, jets: JetSystem, free: frozenset[str]) -> None:
        self.jets = jets
        self.free = free
        self.rows: list[Row] = []

    def equal(self, expr: sp.Expr, weight: Row) -> None:
        """Ask every term of an expression to have a weight."""
        for term in sp.Add.make_args(expr):
            if term != 0:
                self.rows.append(_sum((sp.S.One, self.of(term)), (sp.S.NegativeOne, weight)))

    def of(self, expr: sp.Expr) -> Row:
        """Return the weight of an expression, asking it to be homogeneous."""
        if expr.is_Number or expr.is_NumberSymbol:
            return {}
        if isinstance(expr, Jet):
            component, order = self.jets.place(expr)
            pairs = zip(self.jets.axes, order, strict=True)
            slopes = {axis: sp.Integer(-k) for axis, k in pairs if k}
            return {self.jets.components[component]: sp.S.One, **slopes}
        if expr.is_Symbol:
            is_free = expr in self.jets.coordinates or expr.name in self.free
            return {expr.name: sp.S.One} if is_free else {}
        if expr.is_Mul:
            return _sum(*((sp.S.One, self.of(a)) for a in expr.args))
        if expr.is_Pow and expr.exp.is_Rational:
            return _sum((expr.exp, self.of(expr.base)))
        if expr.is_Add or isinstance(expr, sp.Max | sp.Min):
            first, *others = (self.of(a) for a in expr.args if a != 0)  # max(u, 0): 0 scales as u
            for other in others:
                self.rows.append(_sum((sp.S.One, other), (sp.S.NegativeOne, first)))
            return first
        if isinstance(expr, sp.Abs):
            return self.of(expr.args[0])
        if isinstance(expr, sp.sign | sp.Heaviside):
            self.of(expr.args[0])  # λ > 0 changes no sign; a sum inside is still homogeneous
            return {}
        if isinstance(expr, AppliedUndef | sp.Derivative):
            # Any function of x: only x fixed leaves it what it is.
            for symbol in expr.free_symbols:
                self.rows.append(self.of(symbol))
            return {}
        if isinstance(expr, sp.Piecewise):
            for symbol in expr.free_symbols:  # conditions: nothing in them may scale
                self.rows.append(self.of(symbol))
            return {}
        for argument in expr.args:  # exp(a), u**a: pure numbers inside
            self.equal(argument, {})
        return {}


def _sum(*parts: tuple[sp.Rational, Row]) -> Row:
    made: Row = {}
    for factor, row in parts:
        for name, value in row.items():
            made[name] = made.get(name, sp.S.Zero) + factor * value
    return {k: v for k, v in made.items() if v != 0}


def _power(name: str, weight: int) -> str:
    if weight == 1:
        return f"λ {name}"
    return f"λ{str(weight).translate(_RAISED)} {name}"


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
