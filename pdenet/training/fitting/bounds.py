"""Bounds: parameters as smooth functions of free variables, so that every iterate keeps them."""

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
    """An open interval lo < θ < hi for each entry of a parameter, and a map onto it from ℝ.

    - no bound: θ = z
    - lo alone: θ = lo + eᶻ, the logarithm of the distance; steps are relative to it
    - hi alone: θ = hi − eᶻ
    - both: θ = lo + (hi − lo)/(1 + e⁻ᶻ)

    Rounding could put θ on a bound: it stays one number of the parameter's dtype away from it.

    Attributes:
        low: lower bounds, float64, shape of the parameter; −∞ for none.
        high: upper bounds, likewise; +∞ for none.
        dtype: the parameter's own.
    """

    low: np.ndarray
    high: np.ndarray
    dtype: np.dtype[Any]

    @property
    def is_free(self) -> bool:
        """Whether no entry has a bound."""
        return bool(np.isneginf(self.low).all() and np.isposinf(self.high).all())

    def to_free(self, theta: np.ndarray) -> np.ndarray:
        """Return z, the inverse of `to_bounded`; the same shape."""
        low, high, both = self._kinds()
        z = np.array(theta, dtype=np.float64)
        z[low] = np.log((theta - self.low)[low])
        z[high] = np.log((self.high - theta)[high])
        z[both] = np.log((theta - self.low)[both]) - np.log((self.high - theta)[both])
        return z

    def to_bounded(self, z: np.ndarray) -> np.ndarray:
        """Return θ, float64 numbers that the parameter's dtype holds exactly; the same shape."""
        low, high, both = self._kinds()
        theta = np.array(z, dtype=np.float64)
        with np.errstate(over="ignore"):  # an infinite parameter is a step that the search refuses
            theta[low] = self.low[low] + np.exp(z[low])
            theta[high] = self.high[high] - np.exp(z[high])
            share = 1.0 / (1.0 + np.exp(-z[both]))
            theta[both] = self.low[both] + (self.high[both] - self.low[both]) * share
            rounded = theta.astype(self.dtype)
        inside_low, inside_high = self._innermost()
        bounded = np.isfinite(inside_low) | np.isfinite(inside_high)
        clipped = np.clip(rounded, inside_low, inside_high)
        return np.where(bounded, clipped, rounded).astype(np.float64)

    def slope(self, z: np.ndarray) -> np.ndarray:
        """Return dθ/dz of each entry; the same shape."""
        low, high, both = self._kinds()
        made = np.ones(z.shape)
        with np.errstate(over="ignore"):
            made[low] = np.exp(z[low])
            made[high] = -np.exp(z[high])
            # σ(z) σ(−z), which does not overflow on either side.
            share = 1.0 / (1.0 + np.exp(-np.abs(z[both])))
            made[both] = (self.high[both] - self.low[both]) * share * (1.0 - share)
        return made

    def _kinds(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        below, above = np.isfinite(self.low), np.isfinite(self.high)
        return below & ~above, above & ~below, below & above

    def _innermost(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the outermost numbers of the dtype that lie strictly inside."""
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
