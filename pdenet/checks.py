"""Checks of what users give: whole numbers, finite numbers and words from a list."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from typing import TypeGuard

from pdenet.errors import PdenetError, suggest


def is_integer(value: object) -> TypeGuard[int]:
    """Tell whether a value is an integer of any library, but no boolean."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether a value is a finite real number of any library, but no boolean."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:  # an integer beyond 1.8e308
        return False


def check_count(
    name: str, value: object, least: int, error: type[PdenetError], hint: str = "give one"
) -> int:
    """Return an integer of at least `least`.

    Args:
        name: what it is called.
        value: what was given.
        least: the smallest that makes sense.
        error: what is raised otherwise.
        hint: what to do, for the message.
    """
    if not is_integer(value) or value < least:
        raise error(f"{name} is an integer of at least {least}; got {value!r}; {hint}")
    return int(value)


def check_pair(name: str, value: object, error: type[PdenetError], hint: str) -> tuple[int, int]:
    """Return a size in y and x, given as one positive whole number for both or as two.

    Args:
        name: what it is called.
        value: what was given.
        error: what is raised otherwise.
        hint: what to do, for the message.
    """
    given = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(given) != 2:
        raise error(f"{name} is one number of pixels or (y, x); got {value!r}; {hint}")
    y, x = (check_count(name, one, 1, error, hint) for one in given)
    return y, x


def check_between(
    name: str, value: object, low: float, high: float, error: type[PdenetError], hint: str
) -> float:
    """Return a finite number with low ≤ number < high; else the message says so, with a hint."""
    if not is_number(value) or not low <= value < high:
        above = f" and less than {high:g}" if math.isfinite(high) else ", finite"
        raise error(f"{name} is a number, {low:g} or more{above}; got {value!r}; {hint}")
    return float(value)


DTYPES = ("float64", "float32")
"""The dtypes of states, by name."""


def check_dtype(dtype: object, error: type[PdenetError]) -> str:
    """Return the name of one of `DTYPES`, given by it or as NumPy's or torch's dtype."""
    name = dtype.__name__ if isinstance(dtype, type) else str(dtype).removeprefix("torch.")
    return check_choice("dtype", name, DTYPES, error)


def check_choice(name: str, given: object, known: Iterable[str], error: type[PdenetError]) -> str:
    """Return a word that is one of those known; else the message offers the nearest.

    Args:
        name: the name of the option.
        given: what was given.
        known: the words, or a mapping from them.
        error: what is raised otherwise.
    """
    words = list(known)
    if not isinstance(given, str) or given not in words:
        nearest = suggest(str(given), words)
        raise error(f"{name} is one of {', '.join(words)}; got {given!r}.{nearest}")
    return given
