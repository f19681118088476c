"""What the names in prefactors stand for: coordinates, spacings, parameters, derived matrices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any  # numbers, NumPy arrays, or tensors of the values a user gave

import numpy as np

from pdenet.discrete.arrays import Discretised
from pdenet.discrete.domain import Domain
from pdenet.discrete.scheme import Scheme
from pdenet.discrete.terms import SPACING
from pdenet.equation.functions import evaluate, symbol_names
from pdenet.equation.symbols import TIME
from pdenet.equation.system import System
from pdenet.equation.values import Values, as_numpy
from pdenet.errors import EquationError, SchemeError, ValuesError

# Eigenvectors worse conditioned than this belong to a matrix that is not diagonalisable in
# float64: eps · 1e8 leaves half of the digits of R |Λ| R⁻¹.
_MAX_CONDITION = 1e8


def parameters(domain: Domain, values: Values) -> dict[str, Any]:
    """Return numbers for parameters, and arrays for coefficient functions; tensors become arrays.

    Raises:
        ValuesError: an array does not fit the grid.
    """
    made: dict[str, Any] = {}
    for name, value in values.numbers.items():
        array = as_numpy(value)
        is_number = array.ndim == 0
        made[name] = float(array) if is_number else fit_to_grid(name, array, domain, values.system)
    return made


def constants(scheme: Discretised, values: Values) -> dict[str, Any]:
    """Return `parameters`, spacings and the entries of derived matrices.

    Raises:
        SchemeError: a matrix of first derivatives has no real diagonal form.
        ValuesError: an array does not fit the grid.
    """
    made = parameters(scheme.domain, values)
    for axis, h in zip(scheme.domain.axes, scheme.domain.spacing, strict=True):
        made[SPACING[axis].name] = h
    for one in scheme.derived:
        if one.entries is not None:
            numbers = np.array(
                [[float(evaluate(e, made)) for e in row] for row in one.entries.tolist()]
            )
            absolute = absolute_matrix(numbers, one.name)
            for (row, column), entry in np.ndenumerate(absolute):
                made[one.entry(row, column)] = float(entry)
    return made


def tensors(scheme: Discretised, values: Values) -> dict[str, np.ndarray]:
    """Return the coefficient tensors, derived ones included, as NumPy arrays.

    Raises:
        SchemeError: a matrix of first derivatives has no real diagonal form.
    """
    made = {name: as_numpy(value) for name, value in values.tensors.items()}
    for one in scheme.derived:
        if one.coefficient is not None:
            made[one.name] = absolute_matrix(made[one.coefficient], one.coefficient)
    return made


def fit_to_grid(name: str, array: np.ndarray, domain: Domain, system: System) -> np.ndarray:
    """Return a coefficient's array when it covers the grid in the axes it depends on.

    A function of x alone has the shape (Nx,), one of x and y (Ny, Nx); it comes back with axes of
    length 1 for the others, so that it broadcasts.

    Raises:
        ValuesError: the shape is another.
    """
    axes = domain.axes
    used = system.parameter(name).arguments if _has(system, name) else axes
    expected = tuple(n for a, n in zip(axes, domain.points, strict=True) if a in used)[::-1]
    if array.shape != expected:
        raise ValuesError(
            f"coefficient {name!r} on this grid is an array of shape {expected}, axes "
            f"({', '.join(reversed(used))}); got shape {array.shape}; give one value a node"
        )
    full = [n if a in used else 1 for a, n in zip(axes, domain.points, strict=True)]
    return array.reshape(full[::-1])


def _has(system: System, name: str) -> bool:
    return any(p.name == name for p in system.parameters)


def absolute_matrix(matrix: np.ndarray, name: str) -> np.ndarray:
    """Return |A| = R |Λ| R⁻¹ of a real matrix with real eigenvalues, shape (n, n).

    Raises:
        SchemeError: the matrix is not square, has complex eigenvalues or too few eigenvectors.
    """
    if matrix.dtype == object or matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        got = "entries that vary" if matrix.dtype == object else f"shape {matrix.shape}"
        raise SchemeError(
            f"upwind differences need one constant square matrix for {name!r}; got {got}; "
            'use space="central2"'
        )
    eigenvalues, vectors = np.linalg.eig(matrix)
    scale = max(float(np.abs(matrix).max()), np.finfo(float).tiny)
    if np.abs(eigenvalues.imag).max() > 1e-8 * scale or np.linalg.cond(vectors) > _MAX_CONDITION:
        raise SchemeError(
            "upwind differences need a matrix with real eigenvalues and all eigenvectors; got "
            f"eigenvalues {np.round(eigenvalues, 6).tolist()} for {name!r}; the system is not "
            'hyperbolic, or use space="central2" with stepper="rk4"'
        )
    return np.asarray((vectors * np.abs(eigenvalues)) @ np.linalg.inv(vectors)).real


def coordinates(domain: Domain, t: float) -> dict[str, Any]:
    """Return t and the nodes as arrays that broadcast to the domain's shape."""
    return {TIME: t, **{name: domain.along(axis) for axis, name in enumerate(domain.axes)}}


def check_prefactors(scheme: Scheme, values: Values) -> None:
    """Check that coefficients which the state does not enter are finite on the grid at t = 0.

    Raises:
        EquationError: a coefficient is singular; the message names the cell.
    """
    environment: Mapping[str, Any] = {
        **constants(scheme, values),
        **coordinates(scheme.domain, 0.0),
    }
    for info, terms in zip(scheme.system.fields, scheme.system.equations, strict=True):
        for term in terms:
            for product in term.products:
                if symbol_names(product.prefactor) & set(scheme.system.field_names):
                    continue
                with np.errstate(all="ignore"):
                    value = np.asarray(evaluate(product.prefactor, environment), dtype=float)
                # Before it is spread over the grid, which may not fit into memory.
                if not np.isfinite(value).all():
                    value = np.broadcast_to(value, scheme.domain.shape)
                    cell = tuple(int(k) for k in np.argwhere(~np.isfinite(value))[0])
                    place = scheme.domain.place(cell)
                    raise EquationError(
                        f"coefficients are finite on the grid; got {value[cell]} for "
                        f"{product.prefactor} in the equation of {info.name!r} at cell {cell} "
                        f"({place}); move the grid's nodes off the singularity"
                    )
