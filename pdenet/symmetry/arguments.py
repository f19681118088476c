"""Arguments: numbers that users give, checked before anything is computed with them."""

from __future__ import annotations

import math
import numbers

from pdenet.errors import SymmetryError


def whole(name: str, value: object, least: int, example: str) -> int:
    """Return a whole number.

    Args:
        name: what it is called.
        value: what was given.
        least: the smallest that makes sense.
        example: what to write instead.

    Raises:
        SymmetryError: it is none, such as 2.0 or True, or less.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise SymmetryError(
            f"{name} is a whole number, {least} or more; got {value!r}; write {example}"
        )
    return int(value)


def pair(name: str, value: object, example: str) -> tuple[int, int]:
    """Return a size in y and x, given as one number for both or as two.

    Raises:
        SymmetryError: it is neither, or no positive whole numbers.
    """
    given = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(given) != 2:
        raise SymmetryError(
            f"{name} is one number of pixels or (y, x); got {value!r}; write {example}"
        )
    return whole(name, given[0], 1, example), whole(name, given[1], 1, example)


def between(name: str, value: object, low: float, high: float, example: str) -> float:
    """Return a number with low ≤ number < high.

    Raises:
        SymmetryError: it is none.
    """
    made = math.nan
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        made = float(value)
    if not low <= made < high:
        above = f" and less than {high:g}" if math.isfinite(high) else ", finite"
        raise SymmetryError(
            f"{name} is a number, {low:g} or more{above}; got {value!r}; write {example}"
        )
    return made
