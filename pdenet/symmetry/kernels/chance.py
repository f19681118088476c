"""Chance: which scores of symmetry kernels reach that have no reason to be symmetric.

Two hypotheses that a score is held against:

- *Gaussian*: the entries of the mean kernel are independent and normal, of one variance. That is
  exactly so for newly drawn normal weights, and nearly so for any weights drawn independently,
  whose mean is a sum of many.
- *arrangement*: the entries are those of the kernel itself, in random order. A kernel of nearly
  equal entries has a score near 1 whatever their order; here it is compared with its like.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pdenet.symmetry.kernels.dihedral import scores

_TIE = 1e-9
"""Scores nearer than that are equal: rounding moves them by some 1e-15, √ of it near S = 1."""


@dataclass(frozen=True, eq=False)
class Chance:
    """The scores of kernels drawn at random.

    Attributes:
        draws: ascending, shape `(draw,)`.
    """

    draws: np.ndarray

    @property
    def mean(self) -> float:
        """The expected score."""
        return float(self.draws.mean())

    @property
    def deviation(self) -> float:
        """The standard deviation of a score."""
        return float(self.draws.std())

    def quantile(self, share: float) -> float:
        """Return the score that a share of the kernels stays below."""
        return float(np.quantile(self.draws, share))

    def p_value(self, score: float) -> float:
        """Return the probability of a score at least as high, (1 + count)/(1 + draws).

        The 1 keeps a test exact with finitely many draws; no p is below 1/(1 + draws).
        """
        if not np.isfinite(score):
            return float("nan")
        count = len(self.draws) - np.searchsorted(self.draws, score - _TIE)
        return float(1 + count) / (1 + len(self.draws))

    def z_score(self, score: float) -> float:
        """Return how many standard deviations a score is above its expectation."""
        return (score - self.mean) / self.deviation if self.deviation > _TIE else float("nan")


@lru_cache(maxsize=64)
def gaussian_chance(
    shape: tuple[int, int], names: tuple[str, ...], draws: int, seed: int
) -> Chance:
    """Return the scores of kernels of independent normal entries.

    Args:
        shape: of the kernels, `(y, x)`.
        names: the symmetries.
        draws: the number of kernels.
        seed: of their generator.
    """
    kernels = np.random.default_rng(seed).normal(size=(draws, *shape))
    return Chance(np.sort(scores(kernels, names)))


def arrangement_chance(kernel: np.ndarray, names: tuple[str, ...], draws: int, seed: int) -> Chance:
    """Return the scores of a kernel's own entries in random order.

    Args:
        kernel: shape `(y, x)`, float64, not 0.
        names: the symmetries.
        draws: the number of orders.
        seed: of their generator.
    """
    rows = np.broadcast_to(kernel.ravel(), (draws, kernel.size))
    mixed = np.random.default_rng(seed).permuted(rows, axis=1)
    return Chance(np.sort(scores(mixed.reshape(draws, *kernel.shape), names)))
