"""Generators: the affine Lie point symmetries of an equation, from its determining equations.

A one-parameter group of transformations of (t, x, u) is written by its generator

    V = τ ∂_t + Σ_a ξ^a ∂_a + Σ_j φ^j ∂_{u_j},

here with τ, ξ, φ affine in (t, x, y, z, u). V maps solutions of u_t = F to solutions exactly when
its prolongation annihilates u_t − F on solutions,

    φ^{j,t} = τ F_t + Σ_a ξ^a F_a + Σ_{k,α} φ^{k,α} ∂F_j/∂u^k_α,
    φ^{j,α+i} = D_i φ^{j,α} − (D_i τ) u^j_{α+t} − Σ_b (D_i ξ^b) u^j_{α+b},

with every u_t replaced by F. This is linear in the coefficients of τ, ξ, φ and holds identically
in all other jets: an exact null space. A field with a generated "u_t" is treated as it was written,
of second order: its own φ is unknown, and that of u_t is the prolongation φ^t.

Source: Olver (1993), Applications of Lie Groups to Differential Equations, theorems 2.31 and 2.36.
Ours asks for affine generators only: the Galilean boost 2t ∂x − x u ∂u of the heat equation,
quadratic, is not among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any  # SymPy's polynomials carry no types

import sympy as sp

from pdenet.symmetry.equation.algebra import Algebra
from pdenet.symmetry.equation.jets import JetSystem, Order
from pdenet.symmetry.equation.vector_fields import Generator, integral

Poly = Any


def affine_generators(jets: JetSystem) -> tuple[Generator, ...]:
    """Return a basis of all affine Lie point symmetries, translations first.

    Args:
        jets: the equation; symbols without a value stand for generic values.

    Returns:
        Generators with integer coefficients, or polynomials in the parameters; exact.

    Example:
        >>> from pdenet.equation.catalogue import catalogue
        >>> from pdenet.symmetry.equation.writing import jet_system
        >>> for v in affine_generators(jet_system(catalogue["kdv"].system)):
        ...     print(v)
        ∂t
        ∂x
        3 t ∂t + x ∂x − 2 u ∂u
        6 t ∂x + ∂u
    """
    return _Determining(jets).solve()


class _Determining:
    """The determining equations of one system."""

    def __init__(self, jets: JetSystem) -> None:
        self.jets = jets
        self.written = [j for j, rate in enumerate(jets.rate_of) if rate is None]
        self.rates = {rate: j for j, rate in enumerate(jets.rate_of) if rate is not None}
        p = jets.order()
        highest = max(2 * p - 1, p + 1)
        known = [
            jets.jet(j, order)
            for j in range(jets.num_components)
            for order in _orders(jets.dimension, highest)
        ]
        exprs = [*jets.right_sides, *known, *jets.coordinates]
        self.algebra = Algebra(jets, exprs, depth=p + 1)
        self.right = [self.algebra.read(r) for r in jets.right_sides]
        self._flow: dict[tuple[int, Order], Poly] = {}
        self.uses = [
            {jets.place(s): self.algebra.partial(right, s) for s in jets.jets_in(expr)}
            for expr, right in zip(jets.right_sides, self.right, strict=True)
        ]
        self.slopes = [
            [self.algebra.partial(right, s) for s in jets.coordinates] for right in self.right
        ]

    def solve(self) -> tuple[Generator, ...]:
        """Return the basis."""
        jets = self.jets
        monomials = [sp.S.One, *jets.coordinates, *(jets.jet(j, jets.zero) for j in self.written)]
        # Dependent unknowns are pivots and come first; so every vector is led by a ξ where it has
        # one, as in 2t ∂t + x ∂x − u ∂u, and is an amplitude u ∂u only where nothing else helps.
        count = 1 + jets.dimension
        targets = [*range(count, count + len(self.written)), *range(count)]
        unknowns = [(target, m) for target in targets for m in monomials]
        columns = [self._column(target, m) for target, m in unknowns]
        made = []
        for vector in self.algebra.null_space(columns):
            parts = [sp.S.Zero] * (count + len(self.written))
            for (target, m), value in zip(unknowns, integral(vector), strict=True):
                parts[target] += value * m
            names = tuple(jets.components[j] for j in self.written)
            symbols = tuple(jets.jet(j, jets.zero) for j in self.written)
            made.append(
                Generator(
                    jets.axes, names, symbols, parts[0], tuple(parts[1:count]), tuple(parts[count:])
                )
            )
        return tuple(sorted(made, key=lambda v: v.sort_key))

    def _column(self, target: int, monomial: sp.Expr) -> list[Poly]:
        """Return what is left of each equation's condition for V = monomial · ∂_target."""
        return _Prolonged(self, target, monomial).conditions()

    def flow(self, j: int, order: Order) -> Poly:
        """Return ∂^order of u^j_t, on solutions."""
        key = (j, order)
        if key not in self._flow:
            self._flow[key] = self._step(order, self.right[j], lambda o: self.flow(j, o))
        return self._flow[key]

    def _step(self, order: Order, start: Poly, lower: Any) -> Poly:
        for axis, k in enumerate(order):
            if k:
                return self.algebra.derivative(lower(_less(order, axis)), axis)
        return start


class _Prolonged:
    """V = monomial · ∂_target, prolonged to the derivatives that F holds."""

    def __init__(self, equations: _Determining, target: int, monomial: sp.Expr) -> None:
        self.of = equations
        self.algebra = equations.algebra
        self.jets = equations.jets
        self.target = target
        self.monomial = self.algebra.read(monomial)
        self.inside = monomial
        self._phi: dict[tuple[int, Order], Poly] = {}

    @cached_property
    def over_time(self) -> Poly:
        """D_t of the monomial, on solutions."""
        return self._rate(self.monomial)

    @cached_property
    def along(self) -> list[Poly]:
        """D_a of the monomial, for every axis."""
        return [self.algebra.derivative(self.monomial, a) for a in range(self.jets.dimension)]

    def _rate(self, poly: Poly) -> Poly:
        """Return D_t of a polynomial, every u_t replaced by F."""
        made = self.algebra.partial(poly, self.jets.coordinates[0])
        for (j, order), slope in self._slopes(poly):
            made = made + slope * self.of.flow(j, order)
        return self.algebra.reduced(made)

    def _slopes(self, poly: Poly) -> Iterator[tuple[tuple[int, Order], Poly]]:
        for key, symbol in self.jets.known():
            if symbol in self.algebra.place:
                slope = self.algebra.partial(poly, symbol)
                if slope:
                    yield key, slope

    def _correction(self, derivative: Poly, j: int, order: Order) -> Poly:
        """Return (D τ) u_{α+t} + Σ_b (D ξ^b) u_{α+b} for the one coefficient that is not 0."""
        if self.target == 0:
            return derivative * self.of.flow(j, order)
        if self.target <= self.jets.dimension:
            jet = self.jets.next(self.jets.jet(j, order), self.target - 1)
            return derivative * self.algebra.generators[jet]
        return self.algebra.ring.zero

    def phi(self, j: int, order: Order) -> Poly:
        """Return φ^{j,α}."""
        key = (j, order)
        if key not in self._phi:
            self._phi[key] = self._made(j, order)
        return self._phi[key]

    def _made(self, j: int, order: Order) -> Poly:
        for axis, k in enumerate(order):
            if k:
                lower = _less(order, axis)
                moved = self.algebra.derivative(self.phi(j, lower), axis)
                return moved - self._correction(self.along[axis], j, lower)
        rate = self.jets.rate_of[j]
        if rate is not None:
            return self._over_time(rate)
        is_mine = self.target == 1 + self.jets.dimension + self.of.written.index(j)
        return self.monomial if is_mine else self.algebra.ring.zero

    def _over_time(self, j: int) -> Poly:
        """Return φ^{j,t}, on solutions."""
        start = self.jets.zero
        return self._rate(self.phi(j, start)) - self._correction(self.over_time, j, start)

    def conditions(self) -> list[Poly]:
        """Return φ^{j,t} − V(F_j), for each equation that was written."""
        made = []
        for j in self.of.written:
            e = self.of.rates.get(j, j)
            left = self._over_time(e)
            if self.target <= self.jets.dimension:
                left = left - self.monomial * self.of.slopes[e][self.target]
            for (k, order), slope in self.of.uses[e].items():
                phi = self.phi(k, order)
                if phi:
                    left = left - phi * slope
            made.append(self.algebra.reduced(left))
        return made


def _orders(dimension: int, highest: int) -> Sequence[Order]:
    made: list[Order] = [()]
    for _ in range(dimension):
        made = [(*o, k) for o in made for k in range(highest + 1 - sum(o))]
    return made


def _less(order: Order, axis: int) -> Order:
    return tuple(k - (a == axis) for a, k in enumerate(order))
