"""What kind of equation a System is: order, linearity, coefficients, symbol."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from pdenet.equation.functions import symbol_names
from pdenet.equation.symbols import TIME, canonical_symbol
from pdenet.equation.system import System, Term


@dataclass(frozen=True)
class Analysis:
    """What follows from the canonical form alone, before any value is known.

    Attributes:
        order: the highest order of a space derivative, fluxes carried out.
        time_order: 2 where some equation was written with a second time derivative, else 1.
        kind: "linear" (the terms are linear in the fields, sources apart), "quasi-linear" (linear
            in the derivatives of highest order) or "nonlinear".
        coefficients: "constant", or "variable" where a coefficient depends on x, y, z or t.
        is_conservative: every differentiated term stands in divergence form, or is linear with
            constant coefficients, and there are no sources or other undifferentiated terms.
    """

    order: int
    time_order: int
    kind: str
    coefficients: str
    is_conservative: bool

    def __str__(self) -> str:
        times = {1: "first", 2: "second"}[self.time_order]
        return (
            f"{self.kind}, order {self.order} in space, {times} order in time, "
            f"{self.coefficients} coefficients"
        )


def analyse(system: System) -> Analysis:
    """Classify a system; the work does not depend on grids or on sizes of vector fields."""
    order = max((term_order(t) for _, t in system.terms()), default=0)
    variable = any(_varies(system, t) for _, t in system.terms())
    return Analysis(
        order=order,
        time_order=2 if system.rates else 1,
        kind=_kind(system, order),
        coefficients="variable" if variable else "constant",
        is_conservative=all(_is_conservative(system, t) for _, t in system.terms()),
    )


def term_order(term: Term) -> int:
    """Return the highest total order of a derivative in a term, its flux carried out."""
    flux = 0 if term.axis is None else 1
    within = () if term.inner is None else term.inner.factors
    inner = max((sum(f.derivative) for f in within), default=0)
    outer = max((sum(f.derivative) for f in term.outer.factors), default=0)
    return max(inner + flux, outer)


def scalar_fields(system: System, expr: sp.Expr) -> frozenset[str]:
    """Return the scalar fields that stand undifferentiated in a prefactor."""
    return symbol_names(expr) & frozenset(system.field_names)


def varying_names(system: System) -> frozenset[str]:
    """Return the names that make a coefficient vary: coordinates, t and coefficient functions."""
    functions = {p.name for p in system.parameters if p.kind == "function"}
    return frozenset({TIME, *system.axes} | functions)


def _varies(system: System, term: Term) -> bool:
    """Tell whether a coefficient varies; a source such as sin(x) beside u is none."""
    varying = varying_names(system)
    product, outer = (term.inner or term.outer), sp.S.One
    holds_fields = bool(term.factors())
    if term.inner is not None:
        outer = term.outer.prefactor
        holds_fields = holds_fields or bool(scalar_fields(system, outer))
    # Undifferentiated terms are collected in one prefactor; each stands for itself.
    return any(
        symbol_names(outer * part) & varying and (holds_fields or scalar_fields(system, part))
        for part in sp.Add.make_args(product.prefactor)
    )


def degree(system: System, term: Term) -> int:
    """Return the polynomial degree of a term in the fields and their derivatives; 99 if none."""
    total = 0
    for product in term.products:
        for factor in product.factors:
            total += 1 if factor.function is None else 99
        names = sorted(scalar_fields(system, product.prefactor))
        if names:
            symbols = [canonical_symbol(n) for n in names]
            if not product.prefactor.is_polynomial(*symbols):
                return 99
            total += sp.Poly(product.prefactor, *symbols).total_degree()
    return min(total, 99)


def is_linear(system: System) -> bool:
    """Tell whether every term is linear in the fields, or a source."""
    return all(degree(system, t) <= 1 for _, t in system.terms())


def _kind(system: System, order: int) -> str:
    if is_linear(system):
        return "linear"
    if order == 0 or any(_num_highest(term, order) > 1 for _, term in system.terms()):
        return "nonlinear"
    return "quasi-linear"


def _num_highest(term: Term, order: int) -> int:
    """Count the derivatives of highest order in a term, its flux carried out."""
    count = sum(sum(f.derivative) == order for f in term.outer.factors)
    if term.inner is not None:
        # By the chain rule ∂x F(u, u_x) = F_u u_x + F_{u_x} u_xx holds one of them, whatever F is.
        inner = max((sum(f.derivative) for f in term.inner.factors), default=0)
        count += inner + 1 == order
    return count


def _is_conservative(system: System, term: Term) -> bool:
    space = varying_names(system) - {TIME}
    outer = term.outer
    if symbol_names(outer.prefactor) & space or scalar_fields(system, outer.prefactor):
        return False
    if term.inner is not None:
        return not outer.factors
    return len(outer.factors) == 1 and any(outer.factors[0].derivative)
