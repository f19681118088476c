"""Product rule: derivatives of products as the language writes them."""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp
from sympy.core.function import AppliedUndef

from pdenet.discrete.stencils import MAX_ORDER
from pdenet.equation.functions import FUNCTIONS
from pdenet.equation.symbols import D
from pdenet.errors import NetworkError
from pdenet.network.readback.decimals import exact


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
