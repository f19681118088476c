"""Precision: how well the parameters of a finished search are known, and the noise with them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pdenet.training.fitting.information import gather, hessian_of_penalty, why_not
from pdenet.training.fitting.objective import Objective
from pdenet.training.fitting.uncertainty import Analysis, analyse


@dataclass(frozen=True, eq=False)
class Precision:
    """How well p entries of all parameters in a row are known.

    Attributes:
        covariance: shape (p, p), in the parameters' units; None where it was not computed.
        deviations: their standard errors, shape (p,); NaN where they were not computed.
        analysis: what the data determine; None where derivatives were not computed.
        freedom: degrees of freedom of the residual.
        noise: the standard deviation of each component's noise as the residuals show it, in its
            unit; NaN where nothing is left over to estimate it from.
        why_not: why standard errors were not computed, or nothing.
    """

    covariance: np.ndarray | None
    deviations: np.ndarray
    analysis: Analysis | None
    freedom: float
    noise: np.ndarray
    why_not: str


def measure(objective: Objective, given: np.ndarray | None, *, errors: bool) -> Precision:
    """Measure the precision at the network's present values.

    Noise that was not given is that of the residuals, with N/(N − k) for the k parameters that the
    observations determine; the components share the k in proportion to their values.

    Args:
        objective: the problem, placed at the best point.
        given: the noise of each component that was given.
        errors: whether standard errors are wanted.
    """
    total = objective.num_values
    count = sum(p.numel() for p in objective.fitted.values())
    raw = residual_sizes(objective)
    reason = why_not(objective) if errors else "they were not asked for"
    analysis, num_determined = None, float(count)
    if not reason:
        analysis, num_initial = _analyse(objective, raw if given is None else given)
        num_determined = analysis.num_determined + num_initial
    freedom = max(total - num_determined, 0.0)
    # An exact fit of as many parameters as values leaves nothing to estimate the noise from.
    leftover = freedom > 1e-6 * total
    correction = total / freedom if leftover else math.nan
    covariance: np.ndarray | None = None
    deviations = np.full(count, math.nan)
    if analysis is not None and (given is not None or leftover):
        covariance = analysis.covariance * (1.0 if given is not None else correction)
        deviations = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    elif analysis is not None:
        reason = f"{total} values leave nothing over to estimate the noise from; give noise="
    return Precision(covariance, deviations, analysis, freedom, raw * math.sqrt(correction), reason)


def residual_sizes(objective: Objective) -> np.ndarray:
    """Return the root mean square of each component's residual, in its unit; 0 where unobserved."""
    found: np.ndarray = np.sqrt(objective.squares() / np.maximum(objective.sizes.counts, 1))
    return found


def _analyse(objective: Objective, sigma: np.ndarray) -> tuple[Analysis, int]:
    """Return what the data determine, and how many combinations of initial values they do."""
    weights, sizes = objective.weights, objective.sizes
    information = gather(objective, weights, sigma)
    prior, scatter = None, information.scatter
    if objective.penalty is not None:
        prior = 0.5 * objective.num_values * hessian_of_penalty(objective, objective.penalty)
        # The prior is in units of the noise: of the mean one, where components differ.
        ratios = (sigma[sizes.seen] / weights[sizes.seen]) ** 2
        scatter = scatter + np.average(ratios, weights=sizes.counts[sizes.seen]) * prior
    analysis = analyse(information.precision, scatter, prior, information.given, objective.eps)
    return analysis, information.num_initial
