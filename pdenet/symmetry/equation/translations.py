"""Translations: whether t, x, y or z enters an equation, and in which term."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import sympy as sp

from pdenet.equation.canonical import expand
from pdenet.equation.functions import symbol_names
from pdenet.equation.printing import text
from pdenet.equation.symbols import TIME, canonical_symbol
from pdenet.equation.system import System
from pdenet.errors import SymmetryError
from pdenet.symmetry.equation.algebra import Algebra
from pdenet.symmetry.equation.found import Broken, Found
from pdenet.symmetry.equation.jets import JetSystem
from pdenet.symmetry.equation.runs import Check, Run, Symmetry, check_periodic, compare

if TYPE_CHECKING:
    from pdenet.simulate.solver import Solver


_LATER = 0.37
"""By how much a run is begun later, in units of its length or of 1; no period divides it."""

_NODES = 3
"""By how many nodes a state is moved: an odd number, more than a stencil's width."""


@dataclass(frozen=True)
class Translation(Symmetry):
    """u(t, x) ↦ u(t, x − s) along one axis, or u(t − s, x).

    Attributes:
        axis: "t", "x", "y" or "z".
    """

    axis: str

    @property
    def name(self) -> str:
        """What it is called."""
        return f"translation in {self.axis}"

    def __str__(self) -> str:
        return self.name

    def _check(self, solver: Solver, u: np.ndarray, run: Run) -> Check:
        if self.axis == TIME:
            return compare(run.advance(u), run.shifted(max(1.0, run.until) * _LATER).advance(u))
        if self.axis not in solver.grid.axes:
            raise SymmetryError(
                f"the axes are {', '.join(solver.grid.axes)}; got {self.axis!r}; use one"
            )
        check_periodic(run, self.axis, "a translation")
        place = -1 - solver.grid.axes.index(self.axis)
        moved = np.roll(u, _NODES, axis=place)
        return compare(np.roll(run.advance(u), _NODES, axis=place), run.advance(moved))


def translations(jets: JetSystem) -> Found[Translation]:
    """Return the translations that leave an equation invariant; exact.

    F depends on a coordinate x where ∂F/∂x does not vanish, with sin² + cos² = 1 and the other
    relations of `Algebra`; the reason names a term that holds it.

    Example:
        >>> from pdenet.equation.catalogue import catalogue
        >>> from pdenet.symmetry.equation.writing import jet_system
        >>> print(translations(jet_system(catalogue["rotation"].system)))
        translation in t
        not translation in x: omega x u_y in u_t holds x
        not translation in y: -omega y u_x in u_t holds y
    """
    held: list[Translation] = []
    broken: list[Broken] = []
    for symbol in jets.coordinates:
        reason = next(
            (
                f"{text(term)} in {jets.equation_name(j)} holds {symbol}"
                for j, right in enumerate(jets.right_sides)
                if _depends(jets, right, symbol)
                for term in sorted(sp.Add.make_args(right), key=sp.default_sort_key)
                if term.has(symbol)
            ),
            "",
        )
        _sort(symbol.name, reason, held, broken)
    return Found(tuple(held), tuple(broken))


def _depends(jets: JetSystem, right: sp.Expr, symbol: sp.Symbol) -> bool:
    if not right.has(symbol):
        return False
    if any(p.has(symbol) for p in right.atoms(sp.Piecewise)):
        return True  # SymPy's derivative of a step between cases is 0
    slope = expand(sp.diff(right, symbol))
    algebra = Algebra(jets, [slope])
    return not algebra.is_zero(algebra.read(slope))


def family_translations(system: System) -> Found[Translation]:
    """Return the translations of a family, whose open coefficients are constants."""
    held: list[Translation] = []
    broken: list[Broken] = []
    for axis in (TIME, *system.axes):
        arguments = {p.name for p in system.parameters if axis in p.arguments}
        reason = next(
            (
                f"{text(system.expression(term))} in {info.name}_t holds {axis}"
                for info, term in system.terms()
                for product in term.products
                if symbol_names(product.prefactor) & {axis, *arguments}
                or product.prefactor.has(canonical_symbol(axis))
            ),
            "",
        )
        _sort(axis, reason, held, broken)
    return Found(tuple(held), tuple(broken))


def _sort(axis: str, reason: str, held: list[Translation], broken: list[Broken]) -> None:
    made = Translation(axis)
    if reason:
        broken.append(Broken(made.name, reason))
    else:
        held.append(made)
