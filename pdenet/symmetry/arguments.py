"""Arguments: numbers that users give, checked before anything is computed with them."""

from __future__ import annotations

import math

from pdenet.checks import check_count, is_number
from pdenet.errors import SymmetryError


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
    hint = f"write {example}"
    y, x = (check_count(name, one, 1, SymmetryError, hint) for one in given)
    return y, x


def between(name: str, value: object, low: float, high: float, example: str) -> float:
    """Return a number with low ≤ number < high.

    Raises:
        SymmetryError: it is none.
    """
    made = float(value) if is_number(value) else math.nan
    if not low <= made < high:
        above = f" and less than {high:g}" if math.isfinite(high) else ", finite"
        raise SymmetryError(
            f"{name} is a number, {low:g} or more{above}; got {value!r}; write {example}"
        )
    return made
