"""Alignment: the times of frames, counted in steps of the network."""

from __future__ import annotations

import math

import numpy as np

from pdenet.errors import FitError

_RELATIVE = 1e-6
"""Of a time: what a time printed with seven digits, or stored as float32, is allowed."""
_LARGEST = 0.01
"""Of a step: beyond it, a long run would accept a frame between two steps."""


def count_steps(times: np.ndarray, start: float, dt: float) -> tuple[int, ...]:
    """Return n with times = start + n·dt, up to 1e-6 of n and a hundredth of a step.

    Args:
        times: float64, shape (frame,), increasing, in the equation's unit of time.
        start: the time of the initial state.
        dt: the network's time step.

    Raises:
        FitError: a time is no whole number of steps; the message says which dt would make it one.
    """
    exact = (times - start) / dt
    whole = np.rint(exact)
    wrong = np.flatnonzero(_is_off(exact))
    repeated = np.flatnonzero(np.diff(whole) == 0)
    if wrong.size or repeated.size:
        frame = int(wrong[0] if wrong.size else repeated[0] + 1)
        raise FitError(
            f"the times of frames are whole multiples of the network's dt = {dt!r}, counted from "
            f"the initial state at t = {start:g}; got frame {frame} at t = {times[frame]:.9g}, "
            f"after {exact[frame]:.6g} steps; {_advice(times, start, dt)}"
        )
    return tuple(int(n) for n in whole)


def _is_off(counts: np.ndarray) -> np.ndarray:
    """Return which numbers of steps are not whole."""
    whole = np.rint(counts)
    off: np.ndarray = np.abs(counts - whole) > np.minimum(
        _RELATIVE * np.maximum(whole, 1.0), _LARGEST
    )
    return off


def _advice(times: np.ndarray, start: float, dt: float) -> str:
    """Say which dt, at most the present one, all times are multiples of."""
    since = times - start
    measure = _common_measure(since[since > 0])
    if measure is None or _is_off(since / measure).any():
        return "they have no common step, so round them to multiples of the one you mean"
    fitting = measure / math.ceil(measure / dt * (1 - 1e-9))
    return f"build the network with dt={float(f'{fitting:.12g}')!r}"


def _common_measure(lengths: np.ndarray) -> float | None:
    """Return the longest time that divides all of these, by Euclid's algorithm with tolerance."""
    tolerance = _RELATIVE * float(lengths[-1])
    common = float(lengths[0])
    for length in lengths[1:]:
        a, b = float(length), common
        while b > tolerance:
            rest = math.fmod(a, b)
            a, b = b, min(rest, b - rest)  # a rest just below b is a rest of zero, rounded
        common = a
        if common <= tolerance:
            return None
    # Euclid gathers the rounding of all its steps; the last time divided by a count does not.
    return float(lengths[-1]) / max(1, round(float(lengths[-1]) / common))
