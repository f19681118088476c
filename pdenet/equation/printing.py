"""Equations as mathematics: `u_t = D (u_xx + u_yy)` as text, and the same in LaTeX."""

from __future__ import annotations

import re
from typing import ClassVar

import sympy as sp
from sympy.core.function import AppliedUndef
from sympy.printing.latex import LatexPrinter
from sympy.printing.str import StrPrinter

from pdenet.equation.symbols import Component, D, Entry, is_field

_SUPERSCRIPTS = {"2": "²", "3": "³", "4": "⁴"}


def _subscript(derivative: sp.Derivative) -> str:
    return "".join(str(symbol) * int(count) for symbol, count in derivative.variable_count)


class _Text(StrPrinter):
    printmethod = "_pdenet_text"  # no class has it: all printing is decided here
    _default_settings: ClassVar = {
        **StrPrinter._default_settings,
        "full_prec": False,
        "digits": None,
    }

    def _print_Float(self, expr: sp.Float) -> str:
        digits = self._settings["digits"]
        return f"{float(expr):.{digits}g}" if digits else str(super()._print_Float(expr))

    def _print_Derivative(self, expr: sp.Derivative) -> str:
        inner = self._print(expr.expr)
        if isinstance(expr.expr, Component):
            return f"∂{_subscript(expr)} {inner}"
        return f"{inner}_{_subscript(expr)}"

    def _print_D(self, expr: D) -> str:
        return f"∂{expr.coordinate}({self._print(expr.argument)})"

    def _print_Component(self, expr: Component) -> str:
        return f"{expr.name}_{expr.index}"

    def _print_Entry(self, expr: Entry) -> str:
        return f"{expr.name}_{''.join(str(i) for i in expr.indices)}"

    def _print_Function(self, expr: sp.Function) -> str:
        return expr.func.__name__ if is_field(expr) else str(super()._print_Function(expr))


class _Latex(LatexPrinter):
    def _print_Symbol(self, expr: sp.Symbol, style: str = "plain") -> str:
        # SymPy knows the Greek letters by their whole names only.
        return r"\varepsilon" if expr.name == "eps" else str(super()._print_Symbol(expr, style))

    def _print_Derivative(self, expr: sp.Derivative) -> str:
        inner = self._print(expr.expr)
        if isinstance(expr.expr, Component):
            return rf"\partial_{{{_subscript(expr)}}} {inner}"
        name, _, suffix = inner.partition("_")  # a field "u_t" has a subscript already
        return f"{name}_{{{suffix.strip('{}')}{_subscript(expr)}}}"

    def _print_Function(self, expr: sp.Function, exp: str | None = None) -> str:
        if isinstance(expr, AppliedUndef) and is_field(expr):
            text = str(self._print(sp.Symbol(expr.func.__name__)))
            return text if exp is None else f"{text}^{{{exp}}}"
        return str(super()._print_Function(expr, exp))


def text(expr: sp.Basic, digits: int | None = None) -> str:
    """Return an expression or an equation as one line of text.

    Args:
        expr: the expression or equation.
        digits: how many significant digits decimal numbers are shown with; by default all.

    Example:
        >>> from pdenet.equation.symbols import coordinates, fields
        >>> t, x = coordinates("t x")
        >>> u = fields("u", (t, x))
        >>> text(sp.Eq(u.diff(t), -u * u.diff(x)))
        'u_t = -u u_x'
    """
    if isinstance(expr, sp.Eq):
        return f"{text(expr.lhs, digits)} = {text(expr.rhs, digits)}"
    plain = str(_Text({"digits": digits}).doprint(expr))
    plain = re.sub(r"\*\*([234])(?![\d.])", lambda m: _SUPERSCRIPTS[m.group(1)], plain)
    return plain.replace("**", "^").replace("*", " ")


def latex(expr: sp.Basic) -> str:
    """Return an expression or an equation in LaTeX, without dollar signs.

    Example:
        >>> from pdenet.equation.symbols import coordinates, fields
        >>> t, x = coordinates("t x")
        >>> u = fields("u", (t, x))
        >>> latex(sp.Eq(u.diff(t), u.diff(x, 2)))
        'u_{t} = u_{xx}'
    """
    if isinstance(expr, sp.Eq):
        return f"{latex(expr.lhs)} = {latex(expr.rhs)}"
    return str(_Latex().doprint(expr))
