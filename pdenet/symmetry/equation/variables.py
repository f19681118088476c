"""Variables: what the monomials of an equation are made of, besides jets, coordinates, parameters.

A function such as sin(u), a reciprocal 1/q and a root are variables of their own. Absolute values,
maxima and steps are written by signs first, so that |u| is u sign(u).
"""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from pdenet.equation.canonical import expand


class Inverse(sp.Function):
    """1/q, kept whole."""

    @classmethod
    def eval(cls, below: sp.Expr) -> None:
        """Never evaluate."""


class Root(sp.Function):
    """The k-th root of an argument, kept whole."""

    @classmethod
    def eval(cls, argument: sp.Expr, degree: sp.Expr) -> None:
        """Never evaluate."""


def signed(expr: sp.Expr) -> sp.Expr:
    """Write absolute values, maxima and steps by signs."""
    if not expr.has(sp.Abs, sp.Max, sp.Min, sp.Heaviside):
        return expr

    def larger(sign: int) -> Callable[..., sp.Expr]:
        def of(first: sp.Expr, *others: sp.Expr) -> sp.Expr:
            for other in others:
                gap = first - other
                first = expand((first + other + sign * gap * sp.sign(gap)) / 2)
            return first

        return of

    made = expr.replace(sp.Max, larger(1)).replace(sp.Min, larger(-1))
    made = made.replace(sp.Heaviside, lambda a, *_: (1 + sp.sign(a)) / 2)
    return expand(made.replace(sp.Abs, lambda a: a * sp.sign(a)))


def slope_of(atom: sp.Expr, symbol: sp.Symbol) -> sp.Expr:
    """Return the partial derivative of a variable by a symbol."""
    return signed(sp.diff(value_of(atom), symbol))


def value_of(atom: sp.Expr) -> sp.Expr:
    """Return what a variable stands for, in SymPy's own functions."""
    if isinstance(atom, Inverse):
        return 1 / atom.args[0]
    if isinstance(atom, Root):
        return atom.args[0] ** (1 / atom.args[1])
    return atom


def split(expr: sp.Expr) -> tuple[sp.Expr, sp.Expr, int]:
    """Return (c, a, n) with expr = c · aⁿ for a variable a and n ≥ 0."""
    base, exponent = (expr.base, expr.exp) if expr.is_Pow else (expr, sp.S.One)
    if not exponent.is_Rational:
        return sp.S.One, expr, 1
    if exponent.is_Integer and exponent > 0:
        if base.is_Add or base.is_Mul:
            return expand(expr), sp.S.One, 0
        return sp.S.One, base, int(exponent)
    if exponent.is_Integer:
        if base.is_Pow or base.is_Mul:  # 1/√u is √u/u
            parts = [sp.Pow(b, exponent) for b in sp.Mul.make_args(base)]
            if len(parts) > 1:
                return sp.Mul(*parts), sp.S.One, 0
        content, rest = base.as_content_primitive()
        if rest.could_extract_minus_sign():
            content, rest = -content, -rest
        return content**exponent, Inverse(expand(rest)), -int(exponent)
    degree = int(exponent.q)
    whole = exponent.p // degree
    over = exponent.p - whole * degree
    return sp.Pow(base, whole), Root(base, sp.Integer(degree)), int(over)


def variables_of(expr: sp.Expr) -> set[sp.Expr]:
    """Return the variables of an expression."""
    if expr.is_Rational:
        return set()
    if expr.is_Add or expr.is_Mul:
        return set().union(*(variables_of(a) for a in expr.args))
    coefficient, atom, power = split(expr)
    return variables_of(coefficient) | ({atom} if power else set())


def arguments_of(atom: sp.Expr) -> list[sp.Expr]:
    """Return the expressions that the relation of a variable needs."""
    if isinstance(atom, Inverse | Root):
        return [atom.args[0]]
    if isinstance(atom, sp.sin):
        return [sp.cos(atom.args[0])]
    if isinstance(atom, sp.sinh):
        return [sp.cosh(atom.args[0])]
    return []
