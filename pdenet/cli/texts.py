"""Texts of a command line or a TOML file: numbers, intervals, boundary conditions, values.

    x=-1:1:128                        low, high, points
    x=dirichlet:0,neumann:sin(t)      low end, high end; one condition serves both
    y.u=robin:1:0.5:0                 a u + b ∂u/∂n = g for the field u
    D=0.2                             a value

No text is evaluated: every expression goes through `pdenet.parse_expression`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any  # values are numbers, expressions or arrays

import numpy as np
import sympy as sp

from pdenet.discrete.boundary import (
    Condition,
    Dirichlet,
    Free,
    Neumann,
    Periodic,
    Robin,
    ZeroPadding,
)
from pdenet.equation.parse import parse_expression
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import SPACE, TIME
from pdenet.errors import CommandError, suggest

Interval = tuple[float, float, int]
Sides = Condition | tuple[Condition, Condition] | dict[str, Any]

_PLAIN: Mapping[str, Callable[[], Condition]] = {
    "periodic": Periodic,
    "free": Free,
    "zero_padding": ZeroPadding,
}
_VALUED: Mapping[str, Callable[..., Condition]] = {"dirichlet": Dirichlet, "neumann": Neumann}
CONDITION_NAMES = (*_PLAIN, *_VALUED, "robin")


def split_assignment(text: str, what: str, example: str) -> tuple[str, str]:
    """Split "name=value".

    Raises:
        CommandError: there is no name or no value.
    """
    name, sign, value = (part.strip() for part in text.partition("="))
    if not (name and sign and value):
        raise CommandError(f"{what} is written {example}; got {text!r}; give a name and a value")
    return name, value


def split_outside(text: str, separator: str = ",") -> list[str]:
    """Split at separators that stand outside of parentheses and brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        if letter == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def number(given: object, what: str) -> float:
    """Return a number: one of TOML, or a text such as "2*pi".

    Raises:
        CommandError: it is no real number.
        ParseError: the text is not of the language.
    """
    if isinstance(given, str):
        found = parse_expression(given, ())
        if found.is_real:
            return float(found)
    elif isinstance(given, int | float) and not isinstance(given, bool):
        return float(given)
    raise CommandError(f"{what} is a number; got {given!r}; write it as 0.5, 1e-3 or 2*pi")


def points(given: object, axis: str) -> int:
    """Return a number of nodes.

    Raises:
        CommandError: it is no positive integer.
    """
    try:
        made = given if isinstance(given, int) else int(str(given))
    except ValueError:
        made = 0
    if isinstance(given, bool | float) or made < 1:
        raise CommandError(
            f"points are a positive integer, or x=64,y=32; got {given!r} for {axis}; write 128"
        )
    return made


def interval(parts: object, axis: str) -> Interval:
    """Return (low, high, points) from "low:high:points" or a list of three.

    Raises:
        CommandError: there are not three parts, or they are no numbers.
    """
    given = parts.split(":") if isinstance(parts, str) else parts
    if not isinstance(given, list | tuple) or len(given) != 3:
        raise CommandError(
            f"the grid along {axis} has a low end, a high end and a number of points; got "
            f"{parts!r}; write {axis}=-1:1:128, or {axis} = [-1, 1, 128] in a file"
        )
    low = number(given[0], f"the low end of {axis}")
    high = number(given[1], f"the high end of {axis}")
    return low, high, points(given[2], axis)


def check_axis(axis: str, axes: tuple[str, ...], what: str) -> None:
    """Check that the equation has an axis.

    Raises:
        CommandError: it has not.
    """
    if axis not in axes:
        hint = "" if axis not in SPACE else "; another dimension is chosen by --option dimension=…"
        raise CommandError(
            f"the axes of this equation are {', '.join(axes)}; got {what} for {axis!r}{hint}"
        )


def _expression(text: str, names: Iterable[str], what: str) -> float | sp.Expr:
    made = parse_expression(text, names)
    if made.is_number:
        return number(text, what)
    return made


def condition(text: object, pde: PDE, side: str) -> Condition:
    """Read one boundary condition.

    Args:
        text: "periodic", "free", "zero_padding", "dirichlet:g", "neumann:g" or "robin:a:b:g" with
            g in coordinates, t and parameters; g is 0 where it is left out.
        pde: the equation, for the names.
        side: the side, for messages.

    Raises:
        CommandError: there is no such condition, or it has another number of values.
        ParseError: a value is not of the language.
    """
    if not isinstance(text, str) or not text.strip():
        raise CommandError(
            f"side {side} needs a condition, one of {', '.join(CONDITION_NAMES)}; got {text!r}; "
            f'write for instance "dirichlet:0"'
        )
    name, *values = (part.strip() for part in text.split(":"))
    name = name.lower().replace("-", "_")
    scalars = [p.name for p in pde.parameters if p.kind == "scalar"]
    names = (TIME, *pde.axes, *scalars)
    if name in _PLAIN and not values:
        return _PLAIN[name]()
    if name in _VALUED and len(values) < 2:
        return _VALUED[name](*(_expression(v, names, f"the value at {side}") for v in values))
    if name == "robin" and 2 <= len(values) <= 3:
        a, b = (number(v, f"a coefficient of Robin at {side}") for v in values[:2])
        return Robin(a, b, *(_expression(v, names, f"the value at {side}") for v in values[2:]))
    if name not in CONDITION_NAMES:
        raise CommandError(
            f"the conditions are {', '.join(CONDITION_NAMES)}; got {name!r} on side {side}."
            f"{suggest(name, CONDITION_NAMES)}"
        )
    forms = {"robin": "robin:a:b or robin:a:b:g, for a u + b ∂u/∂n = g"}
    form = forms.get(name, name if name in _PLAIN else f"{name} or {name}:g")
    raise CommandError(f"{name} on side {side} is written {form}; got {text!r}; mend it")


def sides(given: object, pde: PDE, axis: str) -> Sides:
    """Read the conditions of an axis: a text, a list of two texts, or a table of fields.

    Raises:
        CommandError: it is none of these.
    """
    if isinstance(given, Mapping):
        return {name: sides(one, pde, f"{axis} of {name}") for name, one in given.items()}
    texts = split_outside(given) if isinstance(given, str) else given
    if not isinstance(texts, list) or not 1 <= len(texts) <= 2:
        raise CommandError(
            f"axis {axis} has one condition, or one for its low and one for its high end; got "
            f"{given!r}; write {axis}=dirichlet:0,neumann:1"
        )
    if len(texts) == 1:
        return condition(texts[0], pde, axis)
    return condition(texts[0], pde, f"{axis} low"), condition(texts[1], pde, f"{axis} high")


def value(given: object, pde: PDE, name: str) -> Any:
    """Read the value of a parameter: a number, an expression, JSON rows or a .npy file.

    Raises:
        CommandError: the parameter is unknown or its value is of the wrong kind.
        ParseError: an expression is not of the language.
    """
    known = {p.name: p for p in pde.parameters}
    if name not in known:
        raise CommandError(
            f"the parameters are {', '.join(known) or 'none'}; got a value for {name!r}."
            f"{suggest(name, known)}"
        )
    kind = known[name].kind
    if kind == "size":
        return points(given, name)
    if isinstance(given, str) and given.endswith(".npy"):
        return load_array(Path(given))
    if isinstance(given, str) and given.startswith("["):
        given = _rows(given, name)
    if kind == "scalar":
        return number(given, f"parameter {name!r}")
    if isinstance(given, list):
        return _array(given, name)
    if kind == "function" and isinstance(given, str):
        scalars = [p.name for p in pde.parameters if p.kind == "scalar"]
        return _expression(given, (*known[name].arguments, *scalars), f"parameter {name!r}")
    return number(given, f"parameter {name!r}")


def _rows(text: str, name: str) -> object:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise CommandError(
            f"rows of numbers are written [[1, 0], [0, 1]]; got {text[:60]!r} for {name!r} "
            f"({error}); mend it"
        ) from error


def _array(rows: list[Any], name: str) -> np.ndarray:
    try:
        return np.array(rows, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise CommandError(
            f"parameter {name!r} is an array of numbers with rows of one length; got "
            f"{str(rows)[:60]}; mend it"
        ) from error


def load_array(path: Path) -> np.ndarray:
    """Read a .npy file of numbers.

    Raises:
        CommandError: it is missing or holds something else.
    """
    try:
        array = np.load(path)  # refuses pickled objects, NumPy's default
    except (OSError, ValueError) as error:
        raise CommandError(
            f"an array of numbers was expected in {str(path)!r}; got: {error}; write it with "
            "numpy.save"
        ) from error
    if not isinstance(array, np.ndarray):
        raise CommandError(f"one array was expected in {str(path)!r}; got an archive; use .npy")
    return array
