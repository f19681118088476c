"""Linear equations with constant coefficients: their matrices A_α and their sources.

∂u/∂t = Σ_α A_α ∂^α u + f(x, t), with u all components of the state in one column.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import sympy as sp

from pdenet.equation.analysis import scalar_fields
from pdenet.equation.canonical import expand
from pdenet.equation.functions import evaluate, plain, symbol_names
from pdenet.equation.symbols import TIME, canonical_symbol
from pdenet.equation.system import FREE_INDEX, FieldInfo, Term
from pdenet.equation.values import Values, as_numpy
from pdenet.errors import EquationError

Matrices = dict[tuple[int, ...], np.ndarray]


@dataclass(frozen=True, eq=False)
class LinearForm:
    """The numbers of a linear system with constant coefficients.

    Attributes:
        matrices: for each multi-index α, in coordinate order, the float64 matrix A_α of shape
            `(component, component)`; α = 0 is always there.
        sources: pairs of float64 weights `(component,)` and a canonical expression g in x, y, z, t
            and the names of `values.numbers`; f is the sum of weights · g.
    """

    matrices: Matrices
    sources: tuple[tuple[np.ndarray, sp.Expr], ...]


@dataclass(frozen=True)
class _Part:
    """amount · Π coefficients · ∂^α u_field, or a source where `field` is None."""

    amount: sp.Expr
    field: str | None = None
    index: str | None = None
    alpha: tuple[int, ...] = ()


def linear_form(values: Values) -> LinearForm:
    """Return the matrices and the sources of a linear system with constant coefficients.

    Args:
        values: a system with numbers for its parameters, made by `bind`.

    Returns:
        Matrices and sources; vector fields contribute one row and column a component. The cost is
        one contraction a term.

    Raises:
        EquationError: a term is nonlinear, or its coefficient depends on x, y, z, t or is an array
            over the grid.
    """
    system = values.system
    count = len(values.components)
    matrices: Matrices = {(0,) * system.dimension: np.zeros((count, count))}
    sources: list[tuple[np.ndarray, sp.Expr]] = []
    for info, term in system.terms():
        for part in _parts(values, term):
            block = _block(values, info, term, part)
            rows = values.slices[info.name]
            if part.field is None:
                weights = np.zeros(count)
                weights[rows] = block[:, 0]
                sources.append((weights, part.amount))
            else:
                amount = _constant(values, term, part.amount)
                matrix = matrices.setdefault(part.alpha, np.zeros((count, count)))
                matrix[rows, values.slices[part.field]] += amount * block
    return LinearForm(matrices, tuple(sources))


def _refuse(values: Values, term: Term, why: str) -> EquationError:
    return EquationError(
        "a linear equation with constant coefficients was expected; got the term "
        f"{values.system.expression(term)}, {why}; use a solver, pde.to_solver(...), for this "
        "equation"
    )


def _parts(values: Values, term: Term) -> Iterator[_Part]:
    """Split a term into parts that are linear in one field, and a source."""
    system = values.system
    product = term.inner or term.outer
    flux = [0] * system.dimension
    if term.axis is not None:
        flux[term.axis] = 1
    factors = term.factors()
    inside = scalar_fields(system, product.prefactor)
    outside = term.outer if term.inner is not None else None
    if outside and (outside.factors or scalar_fields(system, outside.prefactor)):
        raise _refuse(values, term, "which multiplies a flux by a field")
    outer = outside.prefactor if outside else sp.S.One
    if factors:
        (factor, *more) = factors
        if more or inside or factor.function is not None:
            raise _refuse(values, term, "which is not linear in the fields")
        alpha = tuple(a + b for a, b in zip(factor.derivative, flux, strict=True))
        yield _Part(outer * product.prefactor, factor.field, factor.index, alpha)
        return
    rest = product.prefactor
    for name in sorted(inside):
        slope = sp.diff(product.prefactor, canonical_symbol(name))
        if scalar_fields(system, slope):
            raise _refuse(values, term, "which is not linear in the fields")
        yield _Part(outer * slope, name, None, tuple(flux))
        rest = rest.xreplace({canonical_symbol(name): sp.S.Zero})
    rest = expand(rest)
    if term.axis is not None:
        rest = sp.diff(rest, canonical_symbol(system.axes[term.axis]))
    if rest != 0:
        yield _Part(outer * rest)


def _constant(values: Values, term: Term, amount: sp.Expr) -> float:
    """Return the number of a coefficient."""
    names = symbol_names(amount)
    if names & {TIME, *values.system.axes}:
        raise _refuse(values, term, "whose coefficient depends on the coordinates")
    numbers = {name: as_numpy(values.numbers[name]) for name in names}
    if any(number.ndim for number in numbers.values()):
        raise _refuse(values, term, "whose coefficient is an array over the grid")
    return float(evaluate(plain(amount), numbers))


def _block(values: Values, info: FieldInfo, term: Term, part: _Part) -> np.ndarray:
    """Contract a term's coefficients to a matrix, shape (components of info, of part.field)."""
    row, column = "yz"  # canonical indices are i, j, k, … and stop before these letters
    subscripts: list[str] = []
    operands: list[np.ndarray] = []

    def add(array: np.ndarray, letters: str) -> None:
        operands.append(array)
        subscripts.append(letters)

    for use in term.coefficients():
        array = as_numpy(values.tensors[use.name])
        if array.dtype == object or array.ndim != len(use.indices):
            raise _refuse(values, term, f"whose coefficient {use.name} varies in space or time")
        add(array, "".join(use.indices))
    # A vector's component is tied to its index by the identity; a scalar has one component.
    if info.size is None:
        add(np.ones(1), row)
    else:
        add(np.eye(values.num_components(info)), FREE_INDEX + row)
    if part.field is None or part.index is None:
        add(np.ones(1), column)
    else:
        size = values.num_components(values.system.field(part.field))
        add(np.eye(size), part.index + column)
    contraction = f"{','.join(subscripts)}->{row}{column}"
    return np.asarray(np.einsum(contraction, *operands, optimize=True), dtype=np.float64)
