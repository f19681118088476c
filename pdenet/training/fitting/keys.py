"""Keys: names of parameters and components, given as text, symbols, fields or coefficients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any  # keys and their values are whatever a user gives

import sympy as sp

from pdenet.equation.names import key_name
from pdenet.equation.symbols import Coefficient, Component, VectorField
from pdenet.errors import FitError, ValuesError

Key = (
    str
    | sp.Symbol
    | sp.Derivative
    | sp.core.function.AppliedUndef
    | sp.core.function.UndefinedFunction
    | Coefficient
    | VectorField
    | Component
)
"""What stands for a name: "D", the symbol D, a field, its time derivative, a coefficient."""


def name_of(what: str, key: Any) -> str:
    """Return the name that a key stands for.

    Raises:
        FitError: it stands for none.
    """
    try:
        return key_name(key)
    except ValuesError as error:
        raise FitError(f"{what}: {error}") from error


def names_of(what: str, keys: Any) -> tuple[str, ...]:
    """Return the names that one key, or several, stand for.

    Raises:
        FitError: one stands for none.
    """
    try:
        return (key_name(keys),)
    except ValuesError as error:
        if not isinstance(keys, Iterable):
            raise FitError(f"{what}: {error}") from error
    return tuple(name_of(what, key) for key in keys)


def by_name(what: str, table: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a mapping with names as its keys.

    Raises:
        FitError: a key stands for no name, or two for the same.
    """
    made: dict[str, Any] = {}
    for key, value in table.items():
        name = name_of(what, key)
        if name in made:
            raise FitError(f"{what} has one value a name; got two for {name!r}; remove one")
        made[name] = value
    return made
