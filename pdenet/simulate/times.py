"""Times of a run: numbers that make sense, how many steps, and when the outputs are."""

from __future__ import annotations

import math

from pdenet.checks import is_number
from pdenet.errors import TimeError


def check_time(name: str, value: object) -> float:
    """Return a time as a float.

    Raises:
        TimeError: it is no finite real number.
    """
    if not is_number(value):
        raise TimeError(f"{name} is a finite number; got {value!r}; give a time")
    return float(value)


def check_interval(start: object, until: object) -> tuple[float, float]:
    """Return the ends of an interval of time as floats.

    Raises:
        TimeError: one is no finite number, or until is before start.
    """
    first, last = check_time("start", start), check_time("until", until)
    if last < first:
        raise TimeError(f"until is not before start = {first:g}; got until = {last:g}; swap them")
    return first, last


def num_steps(interval: float, dt: float) -> int:
    """Return how many equal steps of at most dt fill the interval."""
    # A relative 1e-9 lets a dt that divides the interval up to rounding keep its count.
    return max(1, math.ceil(interval / dt * (1 - 1e-9)))


def outputs(origin: float, first: float, every: float, until: float) -> list[float]:
    """Return `first`, the multiples of `every` (counted from origin) after it, and `until`.

    Raises:
        TimeError: there would be more than ten million.
    """
    begin = math.floor((first - origin) / every * (1 + 1e-9) + 1e-9) + 1
    # An output closer to the end than rounding can tell is the end.
    end = math.ceil((until - origin) / every * (1 - 1e-9) - 1e-9)
    if end - begin > 10_000_000:
        raise TimeError(
            f"at most ten million outputs were expected; got every = {every:g} over "
            f"{until - first:g}; raise every"
        )
    times = [first, *(origin + k * every for k in range(begin, end))]
    if until > first:
        times.append(until)
    return times
