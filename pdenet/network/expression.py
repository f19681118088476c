"""Expressions as functions of tensors: the pointwise parts of a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any  # numbers or tensors

import sympy as sp

from pdenet.backends.torch_functions import TORCH
from pdenet.equation.functions import compile_expression, plain, symbol_names


class Expression:
    """A canonical SymPy expression that is evaluated on tensors.

    Args:
        expr: the expression; every symbol and function of it has been checked before.

    Attributes:
        expr: the expression, coefficient functions as plain symbols.
        names: the names that it needs.
    """

    def __init__(self, expr: sp.Expr) -> None:
        self.expr = plain(expr)
        self.names = tuple(sorted(symbol_names(expr)))
        self._function = compile_expression(self.expr, self.names, TORCH)

    def __call__(self, environment: Mapping[str, Any]) -> Any:
        """Return its value: a number where nothing in it is a tensor."""
        return self._function(*(environment[name] for name in self.names))

    def __reduce__(self) -> tuple[type[Expression], tuple[sp.Expr]]:
        # Generated code cannot be copied to another process; it is generated there again.
        return (Expression, (self.expr,))

    def __repr__(self) -> str:
        return f"Expression({self.expr})"
