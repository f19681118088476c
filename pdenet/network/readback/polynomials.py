"""Polynomials: an array over the grid as a polynomial in the coordinates, where it is one.

With r the residual at the nodes, p = Σ_ab c_ab x^a y^b stands for an array v when

    max|r| ≤ tolerance · max|v|,

which is asked of every node, so that an array with one node moved is no polynomial.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import sympy as sp

from pdenet.equation.symbols import canonical_symbol
from pdenet.network.readback.decimals import SIMPLE_DIGITS, exact, simplest

MAX_DEGREE = 4
"""The largest total degree. sin(x) on [−1, 1] is 5·10⁻⁴ away from every polynomial of degree 4."""

TOLERANCE = {
    # Maps are computed in float64 from coordinates that are a few eps off their decimals.
    "float64": 1e-12,
    # Each value is rounded by eps/2, the fit is off by about as much, and the rest, 2 eps or more,
    # is left to rounding coefficients to decimals.
    "float32": 4 * float(np.finfo(np.float32).eps),
}
"""How far a polynomial may be from the array, as a part of the largest value."""

# Along each axis at most so many nodes are fitted, the two ends among them; all are checked.
_FITTED = 4 * MAX_DEGREE + 1


def fit_polynomial(
    array: np.ndarray, axes: Sequence[str], nodes: Sequence[np.ndarray], dtype: str
) -> sp.Expr | None:
    """Return the polynomial of lowest total degree that an array holds at the nodes.

    Args:
        array: shape `(*space)`, the last axis first; axes of length 1 where it is constant.
        axes: the names of the axes, in coordinate order.
        nodes: the nodes of each axis, in coordinate order.
        dtype: to which the array has been rounded, "float32" or "float64".

    Returns:
        An expression with rational coefficients, decimals of few digits where they fit, or None
        where no polynomial of degree `MAX_DEGREE` fits to `TOLERANCE`. Along an axis of n nodes
        the degree is below n/2, since n nodes lie on some polynomial of degree n − 1.

    Example:
        >>> x = np.linspace(-1, 1, 9)
        >>> fit_polynomial(0.5 - x**2, ("x",), (x,), "float64")
        1/2 - x**2
        >>> fit_polynomial(np.sin(x), ("x",), (x,), "float64") is None
        True
    """
    values = np.asarray(array, dtype=np.float64)
    lengths = values.shape[::-1]
    scale = float(np.abs(values).max())
    if scale == 0:
        return sp.S.Zero
    places = [
        np.asarray(own, dtype=np.float64) if n > 1 else np.zeros(1)
        for own, n in zip(nodes, lengths, strict=True)
    ]
    allowed = TOLERANCE[dtype] * scale
    highest = [min(MAX_DEGREE, (n + 1) // 2 - 1) for n in lengths]
    for degree in range(min(MAX_DEGREE, sum(highest)) + 1):
        powers = [
            p for p in itertools.product(*(range(h + 1) for h in highest)) if sum(p) <= degree
        ]
        found = _fitted(values, places, powers)
        # Coefficients may be rounded by as much as the tolerance allows each of them alone, where
        # that goes well together, else by their share of it.
        shares = (1.0, 0.5 / len(found))
        rounded = [_simple(found, places, allowed * s, scale, dtype) for s in shares]
        for made in (*rounded, found):
            if np.abs(_evaluated(made, places) - values).max() <= allowed:
                return _expression(made, axes)
    return None


Coefficients = dict[tuple[int, ...], sp.Rational]


def _fitted(
    values: np.ndarray, places: Sequence[np.ndarray], powers: Sequence[tuple[int, ...]]
) -> Coefficients:
    """Return the least-squares polynomial through some of the nodes."""
    # Powers of ξ = (x − middle)/half in [−1, 1] are far from dependent; they are turned into powers
    # of x in exact arithmetic.
    picked = [np.unique(np.linspace(0, len(p) - 1, min(len(p), _FITTED)).round()) for p in places]
    rows = [p[k.astype(int)] for p, k in zip(places, picked, strict=True)]
    middle = [Fraction(float(p[0] + p[-1])) / 2 for p in places]
    half = [Fraction(float(p[-1] - p[0])) / 2 or Fraction(1) for p in places]
    scaled = [(r - float(m)) / float(h) for r, m, h in zip(rows, middle, half, strict=True)]
    columns = [_monomial(scaled, power).ravel() for power in powers]
    samples = values[np.ix_(*(k.astype(int) for k in reversed(picked)))].ravel()
    found, *_ = np.linalg.lstsq(np.stack(columns, axis=1), samples, rcond=None)
    made: dict[tuple[int, ...], Fraction] = {}
    for power, coefficient in zip(powers, found, strict=True):
        # Π ((x − m)/h)^p by the binomial theorem.
        for lower in itertools.product(*(range(p + 1) for p in power)):
            amount = Fraction(float(coefficient))
            for p, k, m, h in zip(power, lower, middle, half, strict=True):
                amount *= math.comb(p, k) * (-m) ** (p - k) / h**p
            made[lower] = made.get(lower, Fraction(0)) + amount
    return {p: exact(float(c)) for p, c in made.items()}


def _simple(
    found: Coefficients, places: Sequence[np.ndarray], allowed: float, scale: float, dtype: str
) -> Coefficients:
    """Round each coefficient to a short decimal, by `allowed` at the largest of its monomial.

    Where none is near, a long one is taken that is a few roundings away.
    """
    made: Coefficients = {}
    for power, coefficient in found.items():
        size = math.prod(float(np.abs(p).max()) ** k for p, k in zip(places, power, strict=True))
        value = float(coefficient)
        # Where the monomial is 0 at all nodes nothing is known of its coefficient.
        near = simplest(value, allowed / size, SIMPLE_DIGITS) if size else sp.S.Zero
        if near is None:
            near = simplest(value, 4 * float(np.finfo(dtype).eps) * scale / (len(found) * size))
        made[power] = coefficient if near is None else near
    return made


def _monomial(places: Sequence[np.ndarray], power: Sequence[int]) -> np.ndarray:
    """Return Π x_a^p_a over a grid, shape `(*space)`, the last axis first."""
    made = np.ones((1,) * len(places))
    for axis, (nodes, exponent) in enumerate(zip(places, power, strict=True)):
        shape = [1] * len(places)
        shape[-(axis + 1)] = len(nodes)
        made = made * (nodes**exponent).reshape(shape)
    return made


def _evaluated(found: Coefficients, places: Sequence[np.ndarray]) -> np.ndarray:
    parts = (float(c) * _monomial(places, p) for p, c in found.items() if c)
    return sum(parts, np.zeros((1,) * len(places)))


def _expression(found: Coefficients, axes: Sequence[str]) -> sp.Expr:
    symbols = [canonical_symbol(a) for a in axes]
    return sp.Add(
        *(c * sp.Mul(*(s**k for s, k in zip(symbols, p, strict=True))) for p, c in found.items())
    )
