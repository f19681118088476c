"""Decimals: the short number that a rounded one stands for.

Tensors hold rounded numbers. What is read from them is written as a decimal of few digits where
one lies within the rounding error, and is a rational from then on, so that products of what was
read are exact.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import sympy as sp

# A decimal of so few digits within a rounding error of float64 is not there by chance: one number
# in 10^16 · 10^-8 = 10^8 has one.
SIMPLE_DIGITS = 8
# Integers beyond this are shown with an exponent.
_LARGEST_INTEGER = 10**15


def shortest(value: float, dtype: str) -> sp.Rational:
    """Return the decimal of fewest digits that `dtype` rounds to `value`.

    Args:
        value: a finite number; it is rounded to the dtype first.
        dtype: "float32" or "float64".

    Example:
        >>> shortest(0.10000000149011612, "float32")
        1/10
    """
    return _rational(Fraction(str(np.dtype(dtype).type(value))))


def simplest(value: float, error: float, digits: int = 17) -> sp.Rational | None:
    """Return the decimal of fewest digits within `error` of `value`.

    Args:
        value: a finite number.
        error: how far the decimal may be away.
        digits: how many digits it may have.

    Returns:
        The decimal, or None where all of so few digits are farther away.

    Example:
        >>> simplest(0.4999999999, 1e-9)
        1/2
    """
    if abs(value) <= error:
        return sp.S.Zero
    for count in range(digits):
        near = Fraction(f"{value:.{count}e}")
        if abs(near - Fraction(value)) <= error:
            return _rational(near)
    return None


def exact(value: float) -> sp.Rational:
    """Return a number as the rational that it is."""
    return _rational(Fraction(value))


def written(value: sp.Rational, dtype: str) -> sp.Expr:
    """Return a rational as it is shown: an Integer, or the shortest Float of that dtype.

    Example:
        >>> written(sp.Rational(9, 3), "float32")
        3
        >>> float(written(sp.Rational(1, 3), "float32"))
        0.33333334
    """
    rounded = float(np.dtype(dtype).type(float(value)))
    if not math.isfinite(rounded):
        rounded = float(value)
        dtype = "float64"
    if rounded == int(rounded) and abs(rounded) < _LARGEST_INTEGER:
        return sp.Integer(int(rounded))
    return sp.Float(str(np.dtype(dtype).type(rounded)))


def with_decimals(expr: sp.Expr, dtype: str) -> sp.Expr:
    """Return an expression with its fractions as decimals, exponents left as they are."""
    if isinstance(expr, sp.Rational | sp.Float):
        return expr if expr.is_Integer else written(exact(float(expr)), dtype)
    if all(n.is_Integer for n in expr.atoms(sp.Number)):
        return expr
    if isinstance(expr, sp.Pow) and expr.exp.is_Rational:
        return sp.Pow(with_decimals(expr.base, dtype), expr.exp)
    return expr.func(*(with_decimals(a, dtype) for a in expr.args))


def _rational(value: Fraction) -> sp.Rational:
    return sp.Rational(value.numerator, value.denominator)
