"""Which terms of a system are advection, and with what speeds: what upwind differences need."""

from __future__ import annotations

from dataclasses import dataclass, field

import sympy as sp
from sympy.core.function import AppliedUndef

from pdenet.equation.analysis import scalar_fields
from pdenet.equation.functions import symbol_names
from pdenet.equation.symbols import TIME, canonical_symbol
from pdenet.equation.system import FREE_INDEX, ONE, CoefficientUse, System, Term
from pdenet.errors import SchemeError

_NO_COEFFICIENT = CoefficientUse("", ())


@dataclass(frozen=True)
class AbsoluteMatrix:
    """|A| = R |Λ| R⁻¹ of a constant matrix of first derivatives, a tensor made from parameters.

    Attributes:
        name: the name of the tensor, which begins with an underscore.
        entries: A's entries as expressions in parameters, or None where A is a coefficient.
        coefficient: the name of the coefficient tensor, or None.
    """

    name: str
    entries: sp.ImmutableMatrix | None = None
    coefficient: str | None = None

    def entry(self, row: int, column: int) -> str:
        """Return the name of one entry of |A|."""
        return f"{self.name}_{row}_{column}"


@dataclass
class Advection:
    """The speeds along one axis.

    Attributes:
        viscosity: for each equation, triples (|speed|, column, coefficient): the field of that
            column is smoothed with |speed|, times the tensor `coefficient` for vector fields.
        flux_speed: for each equation the derivative of its flux, 0 without one.
        derived: the matrices |A| to compute.
    """

    viscosity: list[list[tuple[sp.Expr, int, CoefficientUse]]]
    flux_speed: list[sp.Expr]
    derived: list[AbsoluteMatrix] = field(default_factory=list)


def advection(system: System, axis: int) -> Advection:
    """Return the speeds of all first-order terms along `axis`.

    Raises:
        SchemeError: they are neither scalar or diagonal, nor a constant matrix.
    """
    count = len(system.fields)
    if system.has_vectors:
        return _of_vectors(system, axis)
    entries, fluxes = speed_matrices(system, axis)
    made = Advection([[] for _ in range(count)], [sp.S.Zero] * count)
    if entries.is_diagonal() and fluxes.is_diagonal():
        for row in range(count):
            made.flux_speed[row] = fluxes[row, row]
            if entries[row, row] != 0:
                made.viscosity[row].append((sp.Abs(entries[row, row]), row, _NO_COEFFICIENT))
        return made
    total = entries + fluxes
    varying = {TIME, *system.axes, *system.field_names}
    if any(symbol_names(e) & varying or e.atoms(AppliedUndef) for e in total):
        _refuse(f"the matrix {total.tolist()} along {system.axes[axis]}, which varies")
    name = f"_abs_{system.axes[axis]}"
    absolute = AbsoluteMatrix(name, entries=sp.ImmutableMatrix(total))
    made.derived.append(absolute)
    for row in range(count):
        for column in range(count):
            entry = sp.Symbol(absolute.entry(row, column), real=True)
            made.viscosity[row].append((entry, column, _NO_COEFFICIENT))
    return made


def speed_matrices(system: System, axis: int) -> tuple[sp.Matrix, sp.Matrix]:
    """Return the matrices of ∂u/∂t = (A + B) ∂u/∂x + …, A of plain terms and B of fluxes.

    Args:
        system: a system of scalar fields.
        axis: the axis x, in coordinate order.

    Returns:
        Two SymPy matrices `(field, field)` in coordinates, parameters and pointwise fields.

    Raises:
        SchemeError: a term is a product of derivatives, or a flux has a factor before it.
    """
    count = len(system.fields)
    entries, fluxes = sp.zeros(count, count), sp.zeros(count, count)
    for row, terms in enumerate(system.equations):
        for term in terms:
            if term.inner is None:
                _add_entry(system, term, axis, entries, row)
            elif term.axis == axis and not any(any(f.derivative) for f in term.inner.factors):
                if term.outer != ONE:
                    _refuse(f"the factor before the flux in {system.expression(term)}")
                for column, name in enumerate(system.field_names):
                    speed = sp.diff(term.inner.prefactor, canonical_symbol(name))
                    fluxes[row, column] += speed
    return entries, fluxes


def _add_entry(system: System, term: Term, axis: int, entries: sp.Matrix, row: int) -> None:
    product = term.outer
    differentiated = [f for f in product.factors if any(f.derivative)]
    if not any(f.derivative[axis] == 1 == sum(f.derivative) for f in differentiated):
        return
    if len(differentiated) > 1:
        _refuse(f"the product of derivatives {system.expression(term)}")
    column = system.field_names.index(differentiated[0].field)
    entries[row, column] += product.prefactor


def _of_vectors(system: System, axis: int) -> Advection:
    """∂u_i/∂t = A_ij ∂u_j/∂x with a constant coefficient A: |A| along each axis."""
    count = len(system.fields)
    made = Advection([[] for _ in range(count)], [sp.S.Zero] * count)
    found = False
    for row, (info, terms) in enumerate(zip(system.fields, system.equations, strict=True)):
        for term in terms:
            orders = [f.derivative for f in term.factors()]
            if term.axis is None and not any(o[axis] == 1 == sum(o) for o in orders):
                continue
            if term.axis is not None and term.axis != axis:
                continue
            product = term.outer
            plain = (
                term.inner is None
                and count == 1
                and not found
                and len(product.factors) == len(product.coefficients) == 1
                and product.coefficients[0].indices == (FREE_INDEX, product.factors[0].index)
                and not symbol_names(product.prefactor) & {TIME, *system.axes}
                and not scalar_fields(system, product.prefactor)
                and not product.prefactor.atoms(AppliedUndef)
                and info.size is not None
            )
            if not plain:
                _refuse(f"the term {system.expression(term)}")
            found = True
            coefficient = product.coefficients[0]
            name = f"_abs_{coefficient.name}_{system.axes[axis]}"
            made.derived.append(AbsoluteMatrix(name, coefficient=coefficient.name))
            use = CoefficientUse(name, coefficient.indices)
            made.viscosity[row].append((sp.Abs(product.prefactor), row, use))
    return made


def _refuse(what: str) -> None:
    raise SchemeError(
        "upwind differences need scalar or diagonal coefficients of first derivatives, or a "
        f'constant diagonalisable matrix; got {what}; use space="central2" with stepper="rk4", '
        'or space="lax_friedrichs" with stepper="euler"'
    )
