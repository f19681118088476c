"""Bounds: the open interval that every iterate of a parameter lies in, and its last numbers."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any  # bounds are whatever a user gives

import numpy as np

from pdenet.errors import FitError, suggest
from pdenet.training.fitting.keys import by_name


@dataclass(frozen=True, eq=False)
class Range:
    """An open interval low < θ < high for each entry of a parameter.

    Attributes:
        low: lower bounds, float64, shape of the parameter; −∞ for none.
        high: upper bounds, likewise; +∞ for none.
        dtype: the parameter's own.
    """

    low: np.ndarray
    high: np.ndarray
    dtype: np.dtype[Any]

    def inside(self, theta: np.ndarray) -> np.ndarray:
        """Return the nearest numbers of the parameter's dtype strictly inside, as float64."""
        with np.errstate(over="ignore"):  # an infinite parameter is a step that the search refuses
            rounded = np.asarray(theta).astype(self.dtype)
        return np.asarray(np.clip(rounded, *self.ends()), dtype=np.float64)

    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the outermost numbers of the dtype that lie strictly inside, ±∞ for none."""
        ends = []
        for bound, inward, outside in (
            (self.low, 1, np.less_equal),
            (self.high, -1, np.greater_equal),
        ):
            end = bound.astype(self.dtype)
            towards = np.array(inward * np.inf, dtype=self.dtype)
            on_or_out = np.isfinite(bound) & outside(end.astype(np.float64), bound)
            ends.append(np.where(on_or_out, np.nextafter(end, towards), end))
        return ends[0], ends[1]


def make_ranges(
    bounds: Mapping[Any, Any] | None, values: Mapping[str, np.ndarray]
) -> dict[str, Range]:
    """Check bounds against the starting values of the parameters that are fitted.

    Args:
        bounds: a pair (low, high) for some names; each a number, an array that broadcasts to the
            parameter, or None for none.
        values: the starting values by name, in the parameters' dtype.

    Raises:
        FitError: an unknown name, bounds that are no pair of numbers or are reversed, or a start
            on a bound or beyond it.
    """
    if bounds is not None and not isinstance(bounds, Mapping):
        raise FitError(
            "bounds are a mapping from names to pairs (low, high); got "
            f'{type(bounds).__name__}; write bounds={{"D": (0, None)}}'
        )
    table = by_name("bounds=", bounds or {})
    for name in table:
        if name not in values:
            raise FitError(
                f"bounds belong to fitted parameters, {', '.join(values)}; got {name!r}."
                f"{suggest(name, values)}"
            )
    return {name: _range(name, table.get(name), value) for name, value in values.items()}


def _range(name: str, pair: Any, value: np.ndarray) -> Range:
    free = np.full(value.shape, np.inf)
    if pair is None:
        return Range(-free, free, value.dtype)
    if isinstance(pair, str) or not isinstance(pair, tuple | list) or len(pair) != 2:
        raise FitError(
            f"bounds of {name} are a pair (low, high), None for none; got {pair!r}; write "
            f'bounds={{"{name}": (0, None)}}'
        )
    low = _bound(name, "lower", pair[0], -math.inf, value.shape)
    high = _bound(name, "upper", pair[1], math.inf, value.shape)
    if (low >= high).any():
        k = np.unravel_index(int(np.argmax(low >= high)), low.shape)
        raise FitError(
            f"the lower bound of {name} is below its upper bound; got ({low[k]:g}, {high[k]:g})"
            f"{_place(k)}; swap them, or leave {name} out of parameters= to keep it fixed"
        )
    start = value.astype(np.float64)
    outside = ~((start > low) & (start < high))
    if outside.any():
        k = np.unravel_index(int(np.argmax(outside)), outside.shape)
        raise FitError(
            f"the starting value of {name} lies strictly inside its bounds ({low[k]:g}, "
            f"{high[k]:g}); got {start[k]:g}{_place(k)}; start with another value, or widen them"
        )
    return Range(low, high, value.dtype)


def _bound(name: str, which: str, given: Any, none: float, shape: tuple[int, ...]) -> np.ndarray:
    if given is None:
        return np.full(shape, none)
    is_number = isinstance(given, numbers.Real) and not isinstance(given, bool)
    try:
        array = np.broadcast_to(np.asarray(given, dtype=np.float64), shape).copy()
    except (TypeError, ValueError) as error:
        raise FitError(
            f"the {which} bound of {name} is a number or an array of shape {shape}; got {given!r} "
            f"({type(given).__name__}); give one, or None for none"
        ) from error
    if isinstance(given, bool | str) or np.isnan(array).any() or (array == -none).any():
        what = repr(given) if is_number or isinstance(given, bool | str) else f"array{array.shape}"
        raise FitError(
            f"the {which} bound of {name} is a number, or None for none; got {what}, which bounds "
            "nothing; give a number"
        )
    return array


def _place(k: tuple[Any, ...]) -> str:
    return f" at index {tuple(int(i) for i in k)}" if k else ""
