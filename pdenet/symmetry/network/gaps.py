"""Gaps: how many of some non-negative numbers are zero, and by which margin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Without `tol`, numbers above this part of the largest are never taken for zero.
CEILING = 1e-4

# Noise is told from the rest by a gap of at least this factor: eigenvalue spacings and angles of
# random systems of some hundred unknowns differ from their neighbours by less.
FACTOR = 1e3


@dataclass(frozen=True)
class Gap:
    """A decision.

    Attributes:
        num_zeros: how many numbers count as zero.
        zero: the largest of them, relative to the largest number of all; 0 where there is none.
        nonzero: the smallest of the others, likewise; 1 where there is none.
        floor: below it numbers are rounding.
    """

    num_zeros: int
    zero: float
    nonzero: float
    floor: float

    @property
    def margin(self) -> float:
        """By which factor the two are apart, rounding counted as `floor`."""
        return self.nonzero / max(self.zero, self.floor)

    @property
    def cut(self) -> float:
        """A number between the two: their geometric mean."""
        return float((max(self.zero, self.floor) * self.nonzero) ** 0.5)

    def __str__(self) -> str:
        return f"zeros ≤ {self.zero:.1e}, others ≥ {self.nonzero:.1e}, margin {self.margin:.0e}"


def decide(levels: np.ndarray, tol: float | None, size: int) -> Gap:
    """Count zeros.

    Args:
        levels: the numbers in ascending order, relative to the largest possible.
        tol: numbers up to it are zero. None: those below rounding, 10 · eps · `size`, are, and with
            noise those below the widest gap that begins under 1e-4 and is a factor of 1000 at
            least. A zero that rounding lifts, in a badly conditioned basis, is found the same way.
        size: the number of unknowns, by which rounding grows.

    Returns:
        The decision with its margin.
    """
    floor = 10.0 * float(np.finfo(float).eps) * size
    padded = np.append(levels, 1.0)
    if tol is not None:
        count = int(np.sum(levels <= tol))
    else:
        clipped = np.maximum(padded, floor)
        ratios = clipped[1:] / clipped[:-1]
        # Rounding alone needs no gap of that width: a nonzero number may be as small as it likes.
        allowed = (padded[:-1] <= CEILING) & ((ratios >= FACTOR) | (padded[:-1] <= floor))
        places = np.flatnonzero(allowed)
        count = 1 + int(places[np.argmax(ratios[places])]) if len(places) else 0
        count = max(count, int(np.sum(levels <= floor)))
    zero = float(padded[count - 1]) if count else 0.0
    return Gap(count, zero, float(padded[count]), floor)
