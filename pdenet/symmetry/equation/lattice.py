"""Lattice symmetries: which turns and mirrors of the grid leave an equation invariant, and how.

A signed permutation g of the axes acts on states by (g·u)(t, x) = M u(t, g⁻¹x). It takes solutions
of u_t = F[u] to solutions when

    F[M u∘g⁻¹] = ± M F[u]∘g⁻¹,

with − where t becomes −t as well. The matrix M, how the components turn along, is found by solving
this. What is linear in u gives linear equations for M, solved exactly; among their solutions those
that are signed permutations of the components are tried in the whole equation, the identity first.
Where there is none, small combinations of the solutions are tried, scaled so that M has the order
of g; and where that fails too, any invertible solution: then g acts up to the internal symmetries.

The M of all elements are chosen together, so that M(g h) = M(g) M(h) where that can be had.

Source: Olver (1993), Applications of Lie Groups to Differential Equations, § 2.1 for the condition;
discrete symmetries after Hydon (2000), Symmetry Methods for Differential Equations, ch. 11. Ours
solves for linear actions M only.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import sympy as sp
from sympy.core.function import AppliedUndef

from pdenet.equation.canonical import expand
from pdenet.equation.functions import compile_expression
from pdenet.equation.printing import text
from pdenet.symmetry.equation.algebra import Algebra
from pdenet.symmetry.equation.axis_maps import (
    MAX_CHOICES,
    AxisMap,
    generating,
    is_zero,
    lattice_group,
    representation,
)
from pdenet.symmetry.equation.found import Found
from pdenet.symmetry.equation.jets import Jet, JetSystem
from pdenet.symmetry.equation.lattice_action import LatticeSymmetry, by_time

MAX_TRIALS = 2000
"""How many signed permutations are tried for one element; four components have 384."""


def lattice_symmetries(
    jets: JetSystem,
) -> tuple[Found[LatticeSymmetry], Found[LatticeSymmetry]]:
    """Return the lattice symmetries without and with a reversal of time.

    Args:
        jets: the equation; symbols without a value stand for generic values.

    Returns:
        The elements that hold, with their actions, and those that fail, with a term that is not
        matched; for t kept, and for t → −t.

    Example:
        >>> from pdenet.equation.catalogue import catalogue
        >>> from pdenet.symmetry.equation.writing import jet_system
        >>> kept, reversed_ = lattice_symmetries(jet_system(catalogue["rotation"].system))
        >>> print(kept)
        identity
        quarter turn
        half turn
        three-quarter turn
        not mirror x → −x: omega x u_y in u_t becomes -omega x u_y
        not mirror y → −y: omega x u_y in u_t becomes -omega x u_y
        not mirror x ↔ y: omega x u_y in u_t becomes omega y u_x
        not mirror x ↔ −y: omega x u_y in u_t becomes omega y u_x
    """
    search = _Search(jets)
    choices, loose = generating(jets.dimension, search.actions)
    chosen, is_representation = representation(choices, jets.dimension, jets.num_components)
    made = {
        g: LatticeSymmetry(
            g,
            jets.components,
            sp.ImmutableMatrix(m),
            is_action=is_representation or g.is_identity,  # the identity always acts
        )
        for g, m in chosen.items()
    }
    for g, m in loose.items():
        made[g] = LatticeSymmetry(g, jets.components, sp.ImmutableMatrix(m), is_action=False)
    return by_time(jets.dimension, made, search.reason)


class _Search:
    """Finds M for one g after another."""

    def __init__(self, jets: JetSystem) -> None:
        self.jets = jets
        self.is_cut = False
        self.linear = [self._linear(right) for right in jets.right_sides]
        self.has_source = any(part is not None and part[1] != 0 for part in self.linear)
        known = [part[0] + part[1] for part in self.linear if part is not None]
        maps = lattice_group(jets.dimension)
        coords = [
            h.coordinates(jets.coordinates)
            for h in (replace(g, time=s) for g in maps for s in (1, -1))
            if not self._open_functions(h)
        ]
        self.terms = [[jets.place(s) for s in jets.jets_in(right)] for right in jets.right_sides]
        every = [
            jets.jet(k, g.derivative(order)[0])
            for of in self.terms
            for _, order in of
            for g in maps
            for k in range(jets.num_components)
        ]
        used = set().union(*(right.free_symbols for right in jets.right_sides))
        self.symbols = sorted(used, key=sp.default_sort_key)
        rng = np.random.default_rng(3)
        self.point = {s: float(rng.uniform(1, 2)) for s in dict.fromkeys([*every, *self.symbols])}
        self.functions = self._compiled()
        exprs = [expand(e.xreplace(c)) for e in known for c in coords if e.free_symbols & set(c)]
        self.algebra = Algebra(jets, [*known, *exprs, *every, *jets.coordinates])

    def _linear(self, right: sp.Expr) -> tuple[sp.Expr, sp.Expr] | None:
        """Return Taylor's linear and constant part at u = 0; None where F is not smooth there."""
        jets = self.jets.jets_in(right)
        origin = dict.fromkeys(jets, sp.S.Zero)
        if right.has(sp.Abs, sp.sign, sp.Max, sp.Min, sp.Piecewise, sp.Heaviside, sp.atan2):
            return None
        slopes = [sp.diff(right, j).xreplace(origin) * j for j in jets]
        parts = expand(sp.Add(*slopes)), expand(right.xreplace(origin))
        return None if any(p.has(sp.zoo, sp.nan, sp.oo) for p in parts) else parts

    def image(self, g: AxisMap, matrix: sp.Matrix, expr: sp.Expr) -> sp.Expr:
        """Return F_j[M u∘g⁻¹] at g x, in jets of u at x."""
        table = g.coordinates(self.jets.coordinates)
        for jet in self.jets.jets_in(expr):
            j, order = self.jets.place(jet)
            to, sign = g.derivative(order)
            row = [
                sign * matrix[j, k] * self.jets.jet(k, to)
                for k in range(self.jets.num_components)
                if matrix[j, k] != 0
            ]
            table[jet] = sp.Add(*row)
        return expr.xreplace(table)

    # -- the search -------------------------------------------------------------------------------

    def actions(self, g: AxisMap) -> tuple[list[sp.Matrix], sp.Matrix | None]:
        """Return the M of g, best first, or one that is no action but solves the equation."""
        if self._open_functions(g):
            return [], None
        basis = self._solutions(g)
        found = list(
            itertools.islice((m for m in self._signed(basis) if self.holds(g, m)), MAX_CHOICES)
        )
        if found or not basis:
            return found, None
        spread = [m for m in self._combined(basis) if self.holds(g, m)]
        exact = [m for m in (_of_order(s, g.order) for s in spread) if m is not None]
        return exact[:MAX_CHOICES], (spread[0] if spread and not exact else None)

    def _open_functions(self, g: AxisMap) -> list[sp.Expr]:
        """Return coefficient functions c(x, y) that g moves: they stand for any function."""
        moved = g.coordinates(self.jets.coordinates)
        every = {f for right in self.jets.right_sides for f in right.atoms(AppliedUndef)}
        return sorted((f for f in every if f.free_symbols & set(moved)), key=str)

    def _solutions(self, g: AxisMap) -> list[list[sp.Expr]]:
        """Return a basis of the M (row by row, then a 1) that the linear part of F allows."""
        n = self.jets.num_components
        rows = [j for j in range(n) if self.linear[j] is not None]
        columns: list[list[Any]] = []
        for a, b in itertools.product(range(n), repeat=2):
            entry = sp.zeros(n, n)
            entry[a, b] = 1
            column = []
            for j in rows:
                part = self.linear[j]
                other = self.linear[b] if a == j else (sp.S.Zero, sp.S.Zero)
                if part is None or other is None:
                    continue
                left = self.image(g, entry, part[0])
                column.append(self.algebra.read(expand(left - g.time * (other[0] + other[1]))))
            columns.append(column)
        if any(len(c) != len(columns[0]) for c in columns):
            columns = [[] for _ in columns]  # too rough an equation: every M is tried
        if self.has_source:
            moved = g.coordinates(self.jets.coordinates)
            source = [expand((self.linear[j] or (0, sp.S.Zero))[1].xreplace(moved)) for j in rows]
            columns.append([self.algebra.read(s) for s in source] if columns[0] else [])
        return self.algebra.null_space(columns)

    def _signed(self, basis: list[list[sp.Expr]]) -> Iterator[sp.Matrix]:
        """Go through the signed permutation matrices in the solution space, identity first."""
        n = self.jets.num_components
        allowed = [[k for k in range(n) if any(v[j * n + k] != 0 for v in basis)] for j in range(n)]
        # Null vectors end in their own 1: the last place that is not 0, and 0 in all the others.
        free = [max(k for k, e in enumerate(v) if e != 0) for v in basis]

        def is_solution(entries: Sequence[sp.Expr]) -> bool:
            whole = [*entries, sp.S.One] if self.has_source else list(entries)
            weights = [whole[k] for k in free]
            return all(
                sp.expand(whole[k] - sum(w * v[k] for w, v in zip(weights, basis, strict=True)))
                == 0
                for k in range(len(whole))
                if k not in free
            )

        def rows(j: int, used: frozenset[int]) -> Iterator[list[tuple[int, int]]]:
            if j == n:
                yield []
                return
            for k in sorted(allowed[j], key=lambda k: (k != j, k)):
                if k not in used:
                    for sign in (1, -1):
                        for rest in rows(j + 1, used | {k}):
                            yield [(k, sign), *rest]

        for trial, choice in enumerate(rows(0, frozenset())):
            if trial == MAX_TRIALS:
                self.is_cut = True
                return
            matrix = sp.zeros(n, n)
            for j, (k, sign) in enumerate(choice):
                matrix[j, k] = sign
            if is_solution(list(matrix)):
                yield matrix

    def _combined(self, basis: list[list[sp.Expr]]) -> Iterator[sp.Matrix]:
        """Go through invertible combinations of few basis vectors with weights 1, −1."""
        n = self.jets.num_components
        if len(basis) > _MOST_COMBINED:
            return
        weights = sorted(
            itertools.product((0, 1, -1), repeat=len(basis)),
            key=lambda w: (sum(map(abs, w)), [-k for k in w]),
        )
        for chosen in weights[1:]:
            entries = [
                sum((w * v[k] for w, v in zip(chosen, basis, strict=True)), sp.S.Zero)
                for k in range(len(basis[0]))
            ]
            if self.has_source:
                if entries[-1] == 0:
                    continue
                entries = [e / entries[-1] for e in entries[:-1]]
            matrix = sp.Matrix(n, n, entries)
            if matrix.det() != 0:
                yield matrix

    def holds(self, g: AxisMap, matrix: sp.Matrix) -> bool:
        """Tell whether F[M u∘g⁻¹] = ± M F[u]∘g⁻¹ identically."""
        if not self._holds_somewhere(g, matrix):
            return False
        rights = self.jets.right_sides
        for j, right in enumerate(rights):
            mine = [matrix[j, k] * rights[k] for k in range(len(rights)) if matrix[j, k] != 0]
            difference = self.image(g, matrix, right) - g.time * sp.Add(*mine)
            if not self._vanishes(expand(difference)):
                return False
        return True

    def _vanishes(self, difference: sp.Expr) -> bool:
        """Tell whether an expression is 0, by all the relations that `Algebra` uses."""
        if difference == 0:
            return True
        algebra = Algebra(self.jets, [difference])
        return algebra.is_zero(algebra.read(difference))

    def _holds_somewhere(self, g: AxisMap, matrix: sp.Matrix) -> bool:
        """Tell whether it holds at one random point; most matrices that are tried fail there."""
        if self.functions is None or matrix.free_symbols:
            return True
        entries = np.array(matrix.tolist(), dtype=np.float64)
        moved = g.coordinates(self.jets.coordinates)
        count = self.jets.num_components
        there = dict(self.point)
        for symbol in self.symbols:
            if isinstance(symbol, Jet):
                j, order = self.jets.place(symbol)
                to, sign = g.derivative(order)
                jets = [self.point[self.jets.jet(k, to)] for k in range(count)]
                there[symbol] = float(sign * entries[j] @ np.array(jets))
            elif symbol in moved:
                there[symbol] = float(moved[symbol].xreplace(self.point))
        here, image = (
            np.array([f(*(at[s] for s in self.symbols)) for f in self.functions], dtype=np.float64)
            for at in (self.point, there)
        )
        gap = np.abs(image - g.time * entries @ here)
        # Sums of at most 1e4 terms, rounded; a false matrix is off by the size of a term.
        return bool(gap.max() < 1e-6 * (1 + np.abs(here).max()))

    def _compiled(self) -> list[Callable[..., Any]] | None:
        """Return F as functions of `symbols`, for a polynomial F in symbols of distinct names."""
        names = tuple(s.name for s in self.symbols)
        rights = self.jets.right_sides
        is_plain = all(r.is_polynomial(*r.free_symbols) for r in rights if r.free_symbols)
        if not is_plain or len(set(names)) < len(names):
            return None
        return [compile_expression(right, names) for right in rights]

    def reason(self, g: AxisMap) -> str:
        """Name a term that g does not match when the components stay as they are.

        Where more signed permutations were left than are tried, that is the reason.
        """
        if self.is_cut:
            return f"undecided: no action among the first {MAX_TRIALS} signed permutations"
        functions = self._open_functions(g)
        if functions:
            return f"{functions[0]} stands for any function; give it an expression in values="
        jets = self.jets
        for j, right in enumerate(jets.right_sides):
            whole = set(sp.Add.make_args(expand(right)))
            for term in sorted(whole, key=sp.default_sort_key):
                image = expand(g.time * self.image(g, sp.eye(jets.num_components), term))
                if not set(sp.Add.make_args(image)) <= whole:
                    return f"{text(term)} in {jets.equation_name(j)} becomes {text(image)}"
        return "no linear action on the components was found"


_MOST_COMBINED = 4  # 3⁴ combinations


def _of_order(matrix: sp.Matrix, order: int) -> sp.Matrix | None:
    """Return a multiple of M whose power is the identity, where a rational one exists."""
    power = (matrix**order).applyfunc(sp.cancel)
    scale = power[0, 0]
    if scale == 0 or not is_zero(power - scale * sp.eye(matrix.rows)):
        return None
    root = sp.root(scale, order)
    if not root.is_rational:
        return None
    return matrix / root
