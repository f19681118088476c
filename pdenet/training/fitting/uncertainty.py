"""Uncertainty: from the Gauss–Newton matrix to a covariance, and to what the data leave open."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

_SHARE, _SHARE_OF_ROUNDING = 1e-6, 1e3
"""A parameter's squared share of the undetermined directions from which on it is undetermined:
this, or so many ε of the network. In exact arithmetic any share would do, and true ones are small
where a parameter multiplies a difference of large columns, as D does with a trainable stencil.
Those of determined parameters are rounding of J, 10 ε, over the root of the next eigenvalue,
squared: 1e-2·ε at an eigenvalue as small as 1e4·ε."""

_RATIO = 1e-3
"""Agreement of relative changes that makes a relation a product: of two derivatives that are equal
to rounding, far closer than two that merely resemble each other."""

LOOSE = 10.0
"""A standard error of so many times the parameter's size: the interval then holds zero, both signs
and values far beyond where the derivative was taken, so that the data say nothing."""


@dataclass(frozen=True, eq=False)
class Analysis:
    """What the data determine; p entries of all parameters in a row.

    Attributes:
        covariance: shape (p, p), in the parameters' units; infinite variances and NaN covariances
            for entries that are not determined.
        open: entries in directions that the observations do not see, shape (p,), bool.
        directions: these directions, in the parameters' units, shape (direction, p).
        num_determined: the effective number of parameters, tr(H⁺ JᵀJ/w²).
    """

    covariance: np.ndarray
    open: np.ndarray
    directions: np.ndarray
    num_determined: float


def analyse(
    precision: np.ndarray,
    scatter: np.ndarray,
    prior: np.ndarray | None,
    reference: np.ndarray,
    precision_of_numbers: float,
) -> Analysis:
    """Invert the precision where the data determine it; Cov = H⁺ M H⁺ with H = JᵀJ/w² + prior.

    The eigenvalues are those of H scaled to a unit diagonal. A direction is undetermined when its
    eigenvalue is below what rounding alone leaves of an exact zero: 10 p ε of float64, in which
    JᵀJ is summed, or (100 ε)² of the network's dtype ε, since columns of J carry relative errors
    of some ε and their products those squared.

    Args:
        precision: Σ JᵀJ/w², shape (p, p).
        scatter: M, the covariance of the gradient, with that of the prior, shape (p, p).
        prior: the penalty's part of H, shape (p, p), or None.
        reference: the diagonal that rounding in `precision` is measured by, shape (p,).
        precision_of_numbers: ε of the network's dtype.
    """
    count = len(precision)
    whole = precision if prior is None else precision + prior
    diagonal = np.diag(whole).copy()
    least = 10 * count * np.finfo(np.float64).eps
    # An entry without any influence, or with one that its Schur complement lost to rounding.
    alive = diagonal > 1e-12 * (reference + (0 if prior is None else np.abs(np.diag(prior))))
    scale = np.where(alive, np.sqrt(np.where(alive, diagonal, 1.0)), 1.0)
    scaled = np.where(np.outer(alive, alive), whole / np.outer(scale, scale), 0.0)
    values, vectors = np.linalg.eigh(scaled)
    seen = values > max(least, (100 * precision_of_numbers) ** 2)
    unseen = vectors[:, ~seen]
    shares = (unseen**2).sum(axis=1)
    least_share = max(_SHARE, _SHARE_OF_ROUNDING * precision_of_numbers)
    open_entries = (shares > least_share) | ~alive
    # A direction spread over more entries than that leaves its largest ones open all the same.
    for direction in unseen.T:
        open_entries |= np.abs(direction) >= 0.5 * np.abs(direction).max()
    kept = vectors[:, seen]
    inverse = ((kept / values[seen]) @ kept.T) / np.outer(scale, scale)
    covariance = inverse @ scatter @ inverse
    covariance = 0.5 * (covariance + covariance.T)
    covariance[open_entries, :] = np.nan
    covariance[:, open_entries] = np.nan
    covariance[open_entries, open_entries] = np.inf
    determined = float(np.sum(inverse * precision))
    return Analysis(covariance, open_entries, unseen.T / scale, determined)


def relation(direction: np.ndarray, values: np.ndarray, names: tuple[str, ...]) -> str:
    """Return what of two scalar parameters the data determine, "only the product a·b", or nothing.

    Along an undetermined direction a product a·b keeps da/a + db/b = 0, a quotient da/a = db/b, a
    sum da + db = 0, a difference da = db. Where two of these hold, no one can tell.

    Args:
        direction: shape (p,), in the parameters' units.
        values: the parameters, shape (p,).
        names: of the p entries.
    """
    if not direction.any():
        return ""
    # Compare entries by their relative changes, or by themselves where a value is zero.
    relative = np.abs(direction) / np.where(values == 0.0, 1.0, np.abs(values))
    pair = np.flatnonzero(relative > _RATIO * relative.max())
    if len(pair) != 2 or "[" in "".join(names[k] for k in pair):
        return ""
    (da, db), (a, b) = direction[pair], values[pair]
    first, second = (names[k] for k in pair)
    tests = {
        f"the product {first}·{second}": (da * b, -db * a),
        f"the quotient {first}/{second}": (da * b, db * a),
        f"the sum {first} + {second}": (da, -db),
        f"the difference {first} − {second}": (da, db),
    }
    holds = [
        text
        for text, (p, q) in tests.items()
        if abs(p - q) <= _RATIO * max(abs(p), abs(q)) and max(abs(p), abs(q)) > 0
    ]
    if len(holds) == 1:
        return f"only {holds[0]} is determined"
    return f"only one combination of {first} and {second} is determined"


def quantile(level: float, freedom: float) -> float:
    """Return the half width of a two-sided interval in standard errors; Student's t, or normal.

    Args:
        level: the probability inside, between 0 and 1.
        freedom: degrees of freedom; infinite where the noise was given.
    """
    inside = 0.5 * (1.0 + level)
    return float(ndtri(inside) if math.isinf(freedom) else stdtrit(freedom, inside))
