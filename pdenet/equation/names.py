"""Names: what the keys of `values=`, of initial states and of boundaries stand for."""

from __future__ import annotations

import sympy as sp

from pdenet.equation.rates import RATE_SUFFIX
from pdenet.equation.symbols import TIME, Coefficient, Component, VectorField, is_field
from pdenet.errors import ValuesError


def key_name(key: object) -> str:
    """Return the name that a key of a mapping stands for.

    Args:
        key: a string, a SymPy symbol, a field, its time derivative, a vector field, a coefficient
            or a coefficient function.

    Raises:
        ValuesError: the key is none of these.
    """
    if isinstance(key, str):
        return key
    if isinstance(key, sp.Symbol | Coefficient | VectorField | Component):
        return str(key.name)
    if isinstance(key, sp.core.function.AppliedUndef):
        return str(key.func.__name__)
    if isinstance(key, sp.core.function.UndefinedFunction):
        return str(key.__name__)
    if isinstance(key, sp.Derivative) and is_field(key.expr):
        counts = [(s.name, int(c)) for s, c in key.variable_count]
        if counts == [(TIME, 1)]:
            return key_name(key.expr) + RATE_SUFFIX
    raise ValuesError(
        f"names are given as a string, a symbol, a field or a coefficient; got {key!r} "
        f"({type(key).__name__}); use the name"
    )
