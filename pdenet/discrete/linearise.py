"""What a scheme does to small perturbations: its linearisation, term by term.

A perturbation δ of the state u obeys ∂δ/∂t = Σ (frozen coefficient) · (stencil δ). Fluxes become
stencils too: the mean over both sides of a face and the difference of faces are (E − W)/2, and a
difference at the face becomes one between nodes. Sources drop out, and so do perturbed coefficients
beside a derivative of the state: (∂A/∂u δ) u_x is of lower order than A δ_x.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import sympy as sp

from pdenet.discrete import stencils
from pdenet.discrete.scheme import Scheme
from pdenet.discrete.stencils import Stencil
from pdenet.discrete.terms import DT, FluxTerm, SchemeProduct, SchemeTerm, StencilUse
from pdenet.equation.functions import symbol_names
from pdenet.equation.symbols import TIME, canonical_symbol
from pdenet.equation.system import ARGUMENT, FREE_INDEX, CoefficientUse


@dataclass(frozen=True)
class LinearTerm:
    """amount · Π coefficients · Π frozen factors · (stencil δ_column) in the equation of `row`.

    Attributes:
        row: the field in whose equation the term stands.
        row_index: "i" where that field is a vector, else None.
        column: the perturbed field.
        column_index: the index of its component, None for a scalar field.
        stencil: what acts on the perturbation; the identity for undifferentiated terms.
        amount: an expression in coordinates, parameters, spacings and pointwise scalar fields.
        coefficients: the coefficient tensors.
        frozen: the other factors, evaluated at the state.
        is_numerical: not of the equation but of the scheme: the viscosity of upwind differences,
            the mean of Lax–Friedrichs.
        is_per_step: to be divided by dt (Lax–Friedrichs).
    """

    row: str
    row_index: str | None
    column: str
    column_index: str | None
    stencil: Stencil
    amount: sp.Expr
    coefficients: tuple[CoefficientUse, ...] = ()
    frozen: tuple[StencilUse, ...] = ()
    is_numerical: bool = False
    is_per_step: bool = False

    @property
    def derivatives(self) -> tuple[tuple[int, ...], ...]:
        """The derivatives whose sum the stencil stands for: one, or those of a Laplacian."""
        order = self.stencil.derivative
        if not self.stencil.equal_spacing:
            return (order,)
        axes = range(len(order))
        return tuple(tuple(max(order) if a == b else 0 for b in axes) for a in axes)

    def depends_on_state(self, scheme: Scheme) -> bool:
        """Tell whether the state enters the coefficient."""
        names = symbol_names(self.amount) & set(scheme.system.field_names)
        return bool(names or self.frozen)


def linearise(scheme: Scheme) -> tuple[LinearTerm, ...]:
    """Return the terms of the linearised scheme, about a state that is not yet known."""
    made: list[LinearTerm] = []
    system = scheme.system
    for info, terms, written in zip(system.fields, scheme.equations, system.equations, strict=True):
        for place, term in enumerate(terms):
            # `discretise` appends what it adds; the nine-point Laplacian only joins terms.
            is_numerical = place >= len(written)
            for part in _perturbed(scheme, term):
                is_per_step = DT in part.amount.free_symbols
                if is_per_step:
                    part = replace(part, amount=part.amount * DT)
                made.append(
                    replace(
                        part,
                        row=info.name,
                        row_index=None if info.size is None else FREE_INDEX,
                        is_numerical=is_numerical,
                        is_per_step=is_per_step,
                    )
                )
    return _principal(made)


def _principal(terms: list[LinearTerm]) -> tuple[LinearTerm, ...]:
    """Drop what stands beside a derivative of the state and is of lower order."""
    order: dict[tuple[str, str], int] = {}
    for term in terms:
        pair = term.row, term.column
        order[pair] = max(order.get(pair, 0), sum(term.stencil.derivative))
    return tuple(
        t
        for t in terms
        if 0 < sum(t.stencil.derivative) == order[t.row, t.column]
        or t.is_per_step
        or not any(any(f.stencil.derivative) for f in t.frozen)
    )


def depends_on_time(terms: tuple[LinearTerm, ...]) -> bool:
    """Tell whether time enters a coefficient."""
    return any(TIME in symbol_names(t.amount) for t in terms)


def _perturbed(scheme: Scheme, term: SchemeTerm) -> Iterator[LinearTerm]:
    outer = term.outer
    if not isinstance(term, FluxTerm):
        yield from _of_product(scheme, outer)
        return
    at_face = {f.stencil for f in term.faces}
    for part in _of_product(scheme, term.inner):
        # Beside the perturbation the other factors of the flux are frozen at the node.
        frozen = tuple(term.at_node(f) for f in part.frozen)
        stencil = term.acting(part.stencil, part.stencil in at_face)
        yield LinearTerm(
            "",
            None,
            part.column,
            part.column_index,
            stencil,
            outer.prefactor * part.amount,
            outer.coefficients + part.coefficients,
            outer.factors + frozen,
        )
    # The factors before the flux, perturbed, stand beside ∂_a F = Σ F' ∂_a (what F is made of).
    for part in _of_product(scheme, outer):
        for inner in _of_product(scheme, term.inner):
            stencil = term.acting(inner.stencil, inner.stencil in at_face)
            use = StencilUse(inner.column, inner.column_index, stencil)
            frozen = tuple(term.at_node(f) for f in inner.frozen)
            yield replace(
                part,
                amount=part.amount * inner.amount,
                coefficients=part.coefficients + inner.coefficients,
                frozen=part.frozen + frozen + (use,),
            )


def _of_product(scheme: Scheme, product: SchemeProduct) -> Iterator[LinearTerm]:
    """Perturb each factor, and each scalar field in the prefactor."""
    identity = stencils.identity(scheme.system.dimension)
    for place, factor in enumerate(product.factors):
        others = product.factors[:place] + product.factors[place + 1 :]
        if factor.function is not None:
            slope = sp.diff(factor.function, ARGUMENT)
            others = (*others, replace(factor, function=slope, stencil=identity))
        yield LinearTerm(
            "",
            None,
            factor.field,
            factor.index,
            factor.stencil,
            product.prefactor,
            product.coefficients,
            others,
        )
    for name in sorted(symbol_names(product.prefactor) & set(scheme.system.field_names)):
        slope = sp.diff(product.prefactor, canonical_symbol(name))
        yield LinearTerm(
            "", None, name, None, identity, slope, product.coefficients, product.factors
        )
