"""Bounds on what algebra may cost, found before the algebra is done.

SymPy computes integers, roots and comparisons of constants to any precision, and multiplies out
whatever it is given: `9**9**9` or `(a + b + c + d + e + f)**64` would not come back.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import sympy as sp
from sympy.core.function import AppliedUndef

from pdenet.errors import EquationError

MAX_TERMS = 20_000  # an expansion beyond this is a mistake, not an equation
MAX_POWER = 64  # exponents, powers of powers multiplied
# Far inside float64, so that products of a few constants stay finite as well.
_LARGEST, _SMALLEST = 1e300, 1e-300
_MAX_COMPARED = 16
_MAX_BITS = 8192  # of an exact rational; 64 powers of a number of 30 digits have 6400

_FLOATS: dict[type[sp.Basic], Callable[..., float]] = {
    sp.sin: math.sin,
    sp.cos: math.cos,
    sp.tan: math.tan,
    sp.asin: math.asin,
    sp.acos: math.acos,
    sp.atan: math.atan,
    sp.atan2: math.atan2,
    sp.sinh: math.sinh,
    sp.cosh: math.cosh,
    sp.tanh: math.tanh,
    sp.exp: math.exp,
    sp.log: math.log,
    sp.Abs: abs,
    sp.sign: lambda a: math.copysign(1.0, a) if a else 0.0,
    sp.Max: lambda *a: max(a),
    sp.Min: lambda *a: min(a),
    sp.Heaviside: lambda a, at_zero=0.5: float(a > 0) if a else at_zero,
    sp.Add: lambda *a: math.fsum(a),
    sp.Mul: lambda *a: math.prod(a),
    sp.Pow: math.pow,
}


def is_constant(expr: sp.Expr) -> bool:
    """Tell whether no symbol and no unknown function stands in `expr`."""
    return not expr.free_symbols and not expr.has(AppliedUndef)


def check_constant(expr: sp.Expr, *, computed: bool = True) -> float:
    """Return the value of a constant in float64, computed without SymPy.

    Args:
        expr: the constant.
        computed: SymPy has evaluated it, so that a zero is written 0; else it may be any zero.

    Raises:
        EquationError: it is not real, not finite, or beyond 1e300 or below 1e-300 in size.
    """
    try:
        value = _float(expr)
    except (ArithmeticError, ValueError, TypeError, KeyError) as error:
        raise EquationError(
            "constants that are real and of ordinary size were expected; got one that is not "
            f"({type(error).__name__}: {error}); compute it beforehand"
        ) from error
    zero = value == 0 and (expr == 0 or not computed)
    if not (zero or _SMALLEST < abs(value) < _LARGEST):
        raise EquationError(
            f"constants between {_SMALLEST:g} and {_LARGEST:g} in size were expected; got about "
            f"{value:g}; rescale the equation"
        )
    return value


def _float(expr: sp.Expr) -> float:
    if isinstance(expr, sp.Rational):
        # True division of integers is exact to the last bit and raises where it overflows.
        return int(expr.p) / int(expr.q)
    if isinstance(expr, sp.NumberSymbol | sp.Float | sp.core.numbers.Exp1):
        return float(expr)
    if not expr.args:
        raise ValueError("infinite or undefined")
    return float(_FLOATS[expr.func](*(_float(a) for a in expr.args)))


def check_power(base: sp.Expr, exponent: sp.Expr) -> None:
    """Check, before it is computed, that `base**exponent` stays of moderate size.

    Raises:
        EquationError: the exponent, or the product with exponents inside, is above `MAX_POWER`; or
            the power of a constant is not real or not of ordinary size.
    """
    if not is_constant(exponent):
        return
    power = check_constant(exponent)
    height = max(1.0, abs(power)) * _height(base)
    if height > MAX_POWER:
        raise EquationError(
            f"exponents of at most {MAX_POWER} were expected, powers of powers multiplied; got "
            f"{height:.6g}; write a smaller one"
        )
    numbers = [max(abs(int(r.p)), int(r.q)).bit_length() for r in base.atoms(sp.Rational)]
    if max(numbers, default=0) * abs(power) > _MAX_BITS:
        raise EquationError(
            f"numbers of at most {_MAX_BITS} bits were expected; got one of "
            f"{max(numbers)} bits to the power {power:g}; round it"
        )
    if is_constant(base):
        check_constant(base)
        check_constant(sp.Pow(base, exponent, evaluate=False), computed=False)


def check_compared(expr: sp.Expr) -> None:
    """Check an argument of Abs, sign, Heaviside, Max, Min or of a condition.

    SymPy asks there whether it is real, by multiplying out the real part of every power of a field.

    Raises:
        EquationError: an exponent above 16 stands in it.
    """
    height = _height(expr)
    if height > _MAX_COMPARED:
        raise EquationError(
            f"exponents of at most {_MAX_COMPARED} were expected inside abs, sign, Heaviside, Max, "
            f"Min and conditions; got {height:.6g}; write a smaller one"
        )


def _height(expr: sp.Basic) -> float:
    """Return the largest product of nested constant exponents."""
    inside = max((_height(a) for a in expr.args), default=1.0)
    if isinstance(expr, sp.Pow) and expr.exp.is_Rational:
        return inside * max(1.0, abs(float(expr.exp)))
    return inside


def check_expansion(expr: sp.Basic, limit: int = MAX_TERMS) -> None:
    """Check that multiplying `expr` out gives at most `limit` terms, by an upper bound.

    Raises:
        EquationError: it might give more.
    """
    count = _num_terms(expr, {})
    if count > limit:
        raise EquationError(
            f"an equation of at most {limit} terms was expected; got one that expands to up "
            f"to {count} terms: {str(expr)[:80]}; write it with fewer, or name a field for a part"
        )


def _num_terms(expr: sp.Basic, seen: dict[sp.Basic, int]) -> int:
    """Return an upper bound of the number of terms of `expr` multiplied out."""
    if expr in seen:
        return seen[expr]
    inside = [_num_terms(a, seen) for a in expr.args]
    if isinstance(expr, sp.Add):
        count = sum(inside)
    elif isinstance(expr, sp.Mul):
        count = math.prod(inside)
    elif isinstance(expr, sp.Pow) and expr.exp.is_Rational:
        # Monomials of degree n in m unknowns; SymPy expands the whole part of a fraction as well.
        power = abs(int(expr.exp))
        count = math.comb(inside[0] + power - 1, power) if inside[0] > 1 else 1
    else:
        # An atom, whose arguments are multiplied out on their own.
        count = max((c for c in inside if c > MAX_TERMS), default=1)
    seen[expr] = min(count, 10**9)
    return seen[expr]
