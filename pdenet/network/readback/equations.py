"""Equations: sums of terms written down as one would by hand.

Terms with one number are put in one bracket, 0.1 (u_xx + u_yy), and a pair u' = v, v' = F of fields
of which v is the rate of u becomes u_tt = F again. Derivatives of products are divergences, or
multiplied out by the product rule, as the language writes them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import sympy as sp
from sympy.core.function import AppliedUndef

from pdenet.discrete.stencils import MAX_ORDER
from pdenet.equation.functions import FUNCTIONS
from pdenet.equation.rates import field_name, fields_in
from pdenet.equation.symbols import TIME, Component, D, canonical_symbol
from pdenet.errors import NetworkError
from pdenet.network.readback.decimals import exact, with_decimals, written


class Sum:
    """A right side, Σ number · body, like terms collected.

    Args:
        dtype: the dtype whose shortest decimals the numbers are shown as.
    """

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.terms: dict[sp.Expr, sp.Rational] = {}

    def add(self, number: sp.Rational, body: sp.Expr) -> None:
        """Add number · body, where no rational number stands before `body`."""
        self.terms[body] = self.terms.get(body, sp.S.Zero) + number

    def is_only(self, body: sp.Expr) -> bool:
        """Tell whether the sum is exactly `body`."""
        return {b: n for b, n in self.terms.items() if n} == {body: sp.S.One}

    def expression(self, table: Mapping[sp.Basic, sp.Basic]) -> sp.Expr:
        """Return the sum, terms of one number in one bracket, after the exchanges in `table`."""
        groups: dict[tuple[sp.Expr, object], list[tuple[bool, sp.Expr]]] = {}
        for body, number in self.terms.items():
            size = written(abs(number), self.dtype)
            if size != 0:
                shown = with_decimals(body.xreplace(table), self.dtype)
                groups.setdefault((size, _kind(body)), []).append((bool(number < 0), shown))
        parts = []
        for (size, _), bodies in groups.items():
            sign = -1 if all(is_negative for is_negative, _ in bodies) else 1
            signed = [sign * body * (-1 if negative else 1) for negative, body in bodies]
            if len(signed) > 1 and size != 1:
                # Evaluated, SymPy would multiply the bracket out.
                parts.append(sp.Mul(sign * size, sp.Add(*signed), evaluate=False))
            else:
                parts += [sign * size * one for one in signed]
        return sp.Add(*parts)


def equations(
    fields: Mapping[str, sp.Expr],
    rates: Mapping[str, str],
    sums: Mapping[str, Sum],
    taken: Collection[str],
) -> tuple[sp.Eq, ...]:
    """Return one equation a field, of second order in time where fields come in pairs.

    Args:
        fields: each field as a SymPy expression, components with the free index.
        rates: for the fields that are rates, the field whose rate they are.
        sums: each field's right side.
        taken: the names that are in use.

    Returns:
        u_tt = F for each pair u' = u_t, u_t' = F, where all pairs are exactly that. Where one is
        not, all are equations of first order and the rates fields named v, w, …
    """
    time = canonical_symbol(TIME)
    is_exact = all(sums[base].is_only(fields[rate]) for rate, base in rates.items())
    names = set(taken)
    renamed: dict[str, str] = {}
    for rate, base in rates.items():
        candidates = ("v", "w", "p", "q", f"{base}_rate", f"{base}_rate_")
        renamed[rate] = next(n for n in candidates if n not in names)
        names.add(renamed[rate])
    table: dict[sp.Basic, sp.Basic] = {}
    for body in [*fields.values(), *(b for one in sums.values() for b in one.terms)]:
        for one in fields_in(body):
            rate = field_name(one)
            if rate not in rates:
                continue
            table[one] = (
                sp.Derivative(_named(one, rates[rate]), time)
                if is_exact
                else _named(one, renamed[rate])
            )
    made = []
    sides = dict(zip(rates.values(), rates, strict=True))
    for name, field in fields.items():
        if is_exact and name in rates:
            continue
        is_second = is_exact and name in sides
        right = sums[sides[name] if is_second else name].expression(table)
        left = sp.Derivative(field.xreplace(table), (time, 2 if is_second else 1))
        made.append(sp.Eq(left, right, evaluate=False))
    return tuple(made)


def _kind(body: sp.Expr) -> object:
    """Return what terms in one bracket have in common: the orders of their derivatives."""
    orders = [sum(count for _, count in d.variable_count) for d in body.atoms(sp.Derivative)]
    return tuple(sorted(orders)), bool(body.has(D))


def _named(field: sp.Expr, name: str) -> sp.Expr:
    """Return a field, or the same component, under another name."""
    if isinstance(field, Component):
        return Component(canonical_symbol(name), *field.args[1:])
    return sp.Function(name)(*field.args)


def derivative(
    expr: sp.Expr, orders: Sequence[int], coordinates: Sequence[sp.Symbol]
) -> list[tuple[sp.Rational, sp.Expr]]:
    """Return ∂^orders of a product: one derivative as a divergence, more by the product rule.

    Returns:
        Pairs of a number and what it is multiplied by.
    """
    steps = [c for c, order in zip(coordinates, orders, strict=True) for _ in range(order)]
    made = expr.replace(sp.Abs, _Modulus)
    for coordinate in steps[:-1]:
        made = sp.diff(made, coordinate)
    made = sp.expand_mul(made.replace(_Modulus, sp.Abs))
    pairs = [split(one) for one in sp.Add.make_args(made) if one != 0]
    if not steps:
        return pairs
    return [(number, D(one, steps[-1])) for number, one in pairs if one.has(steps[-1])]


class _Modulus(sp.Function):
    """|a| of a real a; SymPy's own derivative is that of a complex one."""

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """Return the sign."""
        return sp.sign(self.args[0])


def is_readable(expr: sp.Expr) -> bool:
    """Tell whether the language has all derivatives and functions of a product's derivative."""
    orders = [sum(count for _, count in d.variable_count) for d in expr.atoms(sp.Derivative)]
    known = (*FUNCTIONS.values(), AppliedUndef)
    functions = expr.atoms(sp.Function)
    return max(orders, default=0) <= MAX_ORDER and all(isinstance(f, known) for f in functions)


def split(expr: sp.Expr) -> tuple[sp.Rational, sp.Expr]:
    """Split an expression into a rational number and the rest; constants such as √2 are rounded."""
    if expr.has(sp.zoo, sp.oo, -sp.oo, sp.nan):
        raise NetworkError(
            f"an equation has finite coefficients; got {expr} from the network's numbers; change "
            "the number that is divided by"
        )
    if any(factor.is_real is False for factor in sp.preorder_traversal(expr)):
        raise NetworkError(
            f"an equation has real coefficients; got {expr} from the network's numbers; change the "
            "negative number under the root or in the logarithm"
        )
    number, rest = expr.as_coeff_Mul()
    factors = []
    for factor in sp.Mul.make_args(rest):
        if factor.is_number:
            number *= factor if factor.is_Rational else exact(float(factor))
        else:
            factors.append(factor)
    return number, sp.Mul(*factors)
