"""Terms of a scheme: products of stencils, at the nodes or under a flux difference.

With u the state and h, dt the steps, a term is

    prefactor · Π coefficients · Π (stencil field)                               at the nodes, or
    prefactor · Π coefficients · Π (stencil field) · (F_{i+½} − F_{i−½})/h        in divergence form

with F = (what the face rule makes of the values at nodes) · Π (differences at the face).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import sympy as sp

from pdenet.discrete.fluxes import CENTRAL, FaceRule
from pdenet.discrete.stencils import Stencil
from pdenet.equation.symbols import SPACE
from pdenet.equation.system import CoefficientUse

DT = sp.Symbol("_dt", real=True)
"""The time step, where a prefactor depends on it (Lax–Friedrichs)."""

SPACING = {axis: sp.Symbol(f"_h_{axis}", real=True, positive=True) for axis in SPACE}
"""The spacings, where a prefactor depends on them (upwind)."""


@dataclass(frozen=True)
class StencilUse:
    """A field, or one component of it, under a stencil.

    Attributes:
        field: the field's name.
        index: the component's index, None for a scalar field.
        stencil: the stencil; at a face its offsets count from the node on the face's low side.
        function: f of a factor f(u_j), an expression in `pdenet.equation.system.ARGUMENT`.
        at_face: inside a flux: a difference at the face, not a value at nodes to be averaged.
    """

    field: str
    index: str | None
    stencil: Stencil
    function: sp.Expr | None = None
    at_face: bool = False


@dataclass(frozen=True)
class SchemeProduct:
    """prefactor · Π coefficients · Π factors, as `Product` with stencils for derivatives."""

    prefactor: sp.Expr
    coefficients: tuple[CoefficientUse, ...] = ()
    factors: tuple[StencilUse, ...] = ()

    @property
    def indices(self) -> set[str]:
        """The names of all indices."""
        found = {i for c in self.coefficients for i in c.indices}
        return found | {f.index for f in self.factors if f.index is not None}


@dataclass(frozen=True)
class NodeTerm:
    """A product at the nodes.

    Attributes:
        outer: the product.
        key: what the order of summation follows; see `summation_groups`.
    """

    outer: SchemeProduct
    key: tuple[int, ...] = ()

    @property
    def products(self) -> tuple[SchemeProduct, ...]:
        """All of it."""
        return (self.outer,)


@dataclass(frozen=True)
class FluxTerm:
    """A product times the difference of a flux over the faces around a node.

    Attributes:
        outer: the product at the nodes.
        axis: the axis of the flux difference, in coordinate order.
        inner: the flux.
        rule: how a value at a face is made of values at nodes.
        key: what the order of summation follows; see `summation_groups`.
    """

    outer: SchemeProduct
    axis: int
    inner: SchemeProduct
    rule: FaceRule = CENTRAL
    key: tuple[int, ...] = ()

    @property
    def products(self) -> tuple[SchemeProduct, ...]:
        """The product outside and the one inside."""
        return self.outer, self.inner

    @cached_property
    def nodes(self) -> SchemeProduct:
        """What stands at nodes in the flux, of which the rule makes values at faces."""
        factors = tuple(f for f in self.inner.factors if not f.at_face)
        return replace(self.inner, factors=factors)

    @cached_property
    def faces(self) -> tuple[StencilUse, ...]:
        """The differences at faces in the flux."""
        return tuple(f for f in self.inner.factors if f.at_face)

    def reach(self, factor: StencilUse) -> tuple[int, int]:
        """Return from which to which node along the axis a factor of the flux is read, for node 0.

        At the faces i ± ½ all offsets count from the nodes i − 1 and i.
        """
        steps = [offset[self.axis] for offset in factor.stencil.offsets]
        first, last = (0, 0) if factor.at_face else (self.rule.first, self.rule.last)
        return min(steps) + first - 1, max(steps) + last

    def acting(self, stencil: Stencil, at_face: bool) -> Stencil:
        """Return what the flux difference makes of a stencil inside, the other factors frozen."""
        if at_face:
            return self.rule.difference(self.axis, stencil.dimension).after(stencil)
        return self.rule.derivative(self.axis, stencil.dimension).after(stencil)

    def at_node(self, factor: StencilUse) -> StencilUse:
        """Return a factor of the flux as one at the node; a difference at a face is averaged."""
        if not factor.at_face:
            return factor
        mean = self.rule.back(self.axis, factor.stencil.dimension)
        return replace(factor, stencil=mean.after(factor.stencil), at_face=False)


SchemeTerm: TypeAlias = NodeTerm | FluxTerm
"""A term of a right side."""


def summation_groups(terms: Iterable[SchemeTerm]) -> tuple[tuple[tuple[SchemeTerm, ...], ...], ...]:
    """Return terms in the order in which they are summed.

    A group holds the terms with the same orders of derivatives, whatever the axes; inside, those
    along the same axes stand together. Summing inside out, swapping two axes swaps two summands,
    which changes no bit: the two second derivatives of a Laplacian form one group of two.
    """
    groups: dict[tuple[int, ...], dict[tuple[int, ...], list[SchemeTerm]]] = {}
    for term in terms:
        orders = tuple(sorted(term.key, reverse=True))
        groups.setdefault(orders, {}).setdefault(term.key, []).append(term)
    return tuple(tuple(tuple(t) for t in by_axes.values()) for by_axes in groups.values())
