"""L-BFGS: a quasi-Newton search whose line search also meets losses that are not finite."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

Function = Callable[[np.ndarray], tuple[float, np.ndarray]]
"""Maps a point, shape (unknown,), to the loss and its gradient; to infinity where there is none."""

MEMORY = 20
"""Pairs of steps and gradient changes that are kept: more than the usual 5 to 10, because an
evaluation, a roll-out and its backward pass, costs far more than the memory's inner products."""
_ARMIJO, _WOLFE = 1e-4, 0.9  # Nocedal and Wright (2006), section 3.1, for quasi-Newton directions
_TRIALS = 30  # of one line search; an ordinary one takes one or two


@dataclass(frozen=True, eq=False)
class Point:
    """A point of the search with its loss and gradient."""

    x: np.ndarray
    loss: float
    gradient: np.ndarray


class LineSearchFailed(Exception):
    """No point along the direction has a smaller loss.

    Attributes:
        blew_up: whether all trials were non-finite.
    """

    def __init__(self, *, blew_up: bool) -> None:
        super().__init__()
        self.blew_up = blew_up


def lbfgs(function: Function, start: Point, rounding: float) -> Iterator[Point]:
    """Yield one point after the other, each with a smaller loss than the one before.

    Steps satisfy the strong Wolfe conditions, or near the minimum, where differences of the loss
    are rounding, those conditions on slopes alone (Hager and Zhang).

    Args:
        function: the loss.
        start: where to begin; its loss is finite.
        rounding: the relative rounding error of the loss.

    Raises:
        LineSearchFailed: no smaller loss along the direction, nor along the negative gradient.

    Source:
        J. Nocedal and S. Wright, Numerical Optimization (2006), algorithms 7.4, 3.5 and 3.6.
        W. Hager and H. Zhang, SIAM J. Optim. 16 (2005), section 4, the approximate Wolfe condition.
    """
    pairs: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=MEMORY)
    here = start
    while True:
        direction = _direction(here.gradient, pairs)
        if not here.gradient @ direction < 0:  # rounding spoilt the memory
            pairs.clear()
            direction = -here.gradient
        # The first step is at most one unit of the scaled unknowns long.
        first = 1.0 if pairs else min(1.0, 1.0 / max(float(np.linalg.norm(direction)), 1e-300))
        try:
            there = line_search(function, here, direction, first, rounding)
        except LineSearchFailed:
            if not pairs:
                raise
            pairs.clear()  # once more, along the negative gradient
            continue
        s, y = there.x - here.x, there.gradient - here.gradient
        # Curvature is positive under the Wolfe conditions, but not where a blow-up cut the step.
        if s @ y > 1e-10 * float(np.linalg.norm(s) * np.linalg.norm(y)):
            pairs.append((s, y))
        here = there
        yield here


def _direction(gradient: np.ndarray, pairs: deque[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return −H g with the inverse Hessian H of the memory, by two loops over it."""
    q = -gradient
    shares = []
    for s, y in reversed(pairs):
        share = (s @ q) / (s @ y)
        q = q - share * y
        shares.append(share)
    if pairs:
        s, y = pairs[-1]
        q = q * ((s @ y) / (y @ y))
    for (s, y), share in zip(pairs, reversed(shares), strict=True):
        q = q + (share - (y @ q) / (s @ y)) * s
    return q


def line_search(
    function: Function, here: Point, direction: np.ndarray, first: float, rounding: float
) -> Point:
    """Return a point along a descent direction that satisfies the strong Wolfe conditions.

    A step whose loss is not finite is too long: it is quartered until the loss is finite.

    Args:
        function: the loss.
        here: where the line begins.
        direction: its direction, with a negative slope.
        first: the first trial, in units of the direction.
        rounding: the relative rounding error of the loss.

    Raises:
        LineSearchFailed: no trial has a smaller loss.
    """
    slope = float(here.gradient @ direction)
    slack = rounding * abs(here.loss)
    low, low_loss, low_slope = 0.0, here.loss, slope  # the best end of the bracket
    high: float | None = None  # the other end, where the loss or the slope is too large
    high_loss = high_slope = math.nan
    best: Point | None = None
    step, finite = first, False
    for _ in range(_TRIALS):
        there = _at(function, here, direction, step)
        rate = float(there.gradient @ direction)
        finite = finite or math.isfinite(there.loss)
        if there.loss < here.loss and (best is None or there.loss < best.loss):
            best = there
        armijo = there.loss <= here.loss + _ARMIJO * step * slope
        near = there.loss <= here.loss + slack and (2 * _ARMIJO - 1) * slope >= rate
        if (armijo or near) and abs(rate) <= -_WOLFE * slope and there.loss <= here.loss:
            return there
        if not math.isfinite(there.loss) or not (armijo or near) or there.loss >= low_loss:
            high, high_loss, high_slope = step, there.loss, rate
        else:
            if rate * ((high if high is not None else math.inf) - low) >= 0:
                high, high_loss, high_slope = low, low_loss, low_slope
            low, low_loss, low_slope = step, there.loss, rate
        if high is None:
            step *= 4.0
        else:
            step = _between(low, low_loss, low_slope, high, high_loss, high_slope)
        if high is not None and abs(high - low) <= 1e-14 * max(abs(high), abs(low)):
            break
    if best is None:
        raise LineSearchFailed(blew_up=not finite)
    return best


def _at(function: Function, here: Point, direction: np.ndarray, step: float) -> Point:
    x = here.x + step * direction
    loss, gradient = function(x)
    return Point(x, loss if not math.isnan(loss) else math.inf, gradient)


def _between(a: float, fa: float, da: float, b: float, fb: float, db: float) -> float:
    """Return the minimum of the cubic through both ends, kept a tenth away from them."""
    middle = 0.5 * (a + b)
    if not (math.isfinite(fb) and math.isfinite(db)):
        return a + 0.25 * (b - a)  # a wall of infinity: a step may be 4³⁰ times too long
    d1 = da + db - 3.0 * (fa - fb) / (a - b)
    square = d1 * d1 - da * db
    if square < 0.0:
        return middle
    d2 = math.copysign(math.sqrt(square), b - a)
    denominator = db - da + 2.0 * d2
    if denominator == 0.0:
        return middle
    made = b - (b - a) * (db + d2 - d1) / denominator
    edge = 0.1 * abs(b - a)
    return min(max(made, min(a, b) + edge), max(a, b) - edge)
