"""Precision: how well the parameters of a finished search are known, and the noise with them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from pdenet.training.fitting.objective import Objective, Penalty, evaluate_penalty
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


MOST_DIRECTIONS = 2_000
"""Unknowns beyond which there are no standard errors: each is one more simulation."""
MOST_BYTES = 2 << 30
"""Memory for the tangents of one batch, one state for each unknown."""

_SINGULAR = 1e-10
"""Of the largest eigenvalue: below it a combination of initial values is not observed. The
pseudo-inverse multiplies the rounding of JᵀJ, 1e−16, by the inverse of this."""


@dataclass(frozen=True, eq=False)
class Information:
    """What observations say of p parameters; all matrices are float64, shape (p, p).

    Attributes:
        precision: H = Σ Jᵀ J/w², the initial states eliminated where they are unknown.
        scatter: M = Σ Jᵀ J σ²/w⁴, likewise: the covariance of the gradient.
        given: the diagonal of H with known initial states, shape (p,).
        num_initial: how many combinations of unknown initial values the observations determine.
    """

    precision: np.ndarray
    scatter: np.ndarray
    given: np.ndarray
    num_initial: int


def why_not(objective: Objective) -> str:
    """Return why standard errors are not computed, or nothing."""
    count = sum(p.numel() for p in objective.fitted.values())
    for rollout in objective.rollouts:
        unknown = count + (rollout.initial[0].numel() if objective.estimated else 0)
        if unknown > MOST_DIRECTIONS:
            initial = " with an initial state" if objective.estimated else ""
            return f"{unknown:,} unknowns{initial} are more than {MOST_DIRECTIONS:,}"
        size = 2 * unknown * rollout.initial.numel() * rollout.initial.element_size()
        if size > MOST_BYTES:
            return (
                f"the tangents of {unknown:,} unknowns would need {size / 2**30:.1f} GiB, more "
                f"than {MOST_BYTES >> 30}"
            )
    return ""


def gather(objective: Objective, weights: np.ndarray, noise: np.ndarray) -> Information:
    """Compute the information at the network's present values.

    J is the derivative of the predictions by the parameters themselves, in their units. It is
    not computed again where least squares have just computed it. Elsewhere it is never held whole:
    memory is one state for each unknown, time one simulation for each.

    Args:
        objective: the problem.
        weights: w of each component.
        noise: σ of each component.
    """
    count = sum(p.numel() for p in objective.fitted.values())
    precision, scatter, given = np.zeros((count, count)), np.zeros((count, count)), np.zeros(count)
    num_initial = 0
    for number, rollout in enumerate(objective.rollouts):
        fields = list(rollout.batch.observer.fields)
        grams = _grams(
            objective.linearised(number),
            (1.0 / weights[fields] ** 2, noise[fields] ** 2 / weights[fields] ** 4),
            estimated=objective.estimated,
        )
        for one, spread in zip(*grams, strict=True):
            given += np.diag(one)[:count]
            if not objective.estimated:
                precision += one
                scatter += spread
                continue
            # The θ rows of the inverse of the whole matrix are S⁻¹ [1, −B C⁺], S its Schur
            # complement; C is singular where sensors do not see the whole initial state.
            inverse, rank = _pseudo_inverse(one[count:, count:])
            eliminate = np.hstack([np.eye(count), -one[:count, count:] @ inverse])
            precision += one[:count, :count] + eliminate[:, count:] @ one[count:, :count]
            scatter += eliminate @ spread @ eliminate.T
            num_initial += rank
    return Information(
        0.5 * (precision + precision.T), 0.5 * (scatter + scatter.T), given, num_initial
    )


def _grams(
    frames: Iterable[tuple[torch.Tensor, torch.Tensor]],
    weightings: tuple[np.ndarray, np.ndarray],
    *,
    estimated: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Return Σ Jᵀ J weighted in two ways, of each piece where initial states are unknown.

    Each has the shape (piece, unknown, unknown), or (1, unknown, unknown) for all together.
    """
    sums: list[torch.Tensor] = []
    for _, tangent in frames:
        grams = []
        for weights in weightings:
            factor = torch.from_numpy(np.sqrt(weights)).to(tangent.device)
            rows = (tangent.double() * factor[:, None]).flatten(2)  # (unknown, piece, value)
            rows = rows.movedim(1, 0) if estimated else rows.flatten(1)[None]
            grams.append(rows @ rows.mT)
        sums = [a + b for a, b in zip(sums, grams, strict=True)] if sums else grams
    first, second = (one.cpu().numpy() for one in sums)
    return first, second


def _pseudo_inverse(matrix: np.ndarray) -> tuple[np.ndarray, int]:
    values, vectors = np.linalg.eigh(matrix)
    seen = values > _SINGULAR * values.max(initial=0.0)
    kept = vectors[:, seen]
    inverse: np.ndarray = (kept / values[seen]) @ kept.T
    return inverse, int(seen.sum())


def hessian_of_penalty(objective: Objective, penalty: Penalty) -> np.ndarray:
    """Return the second derivative of a penalty by the fitted parameters, float64, (p, p)."""
    fixed = {n: p.detach() for n, p in objective.quantities.items()}
    sizes = [p.numel() for p in objective.fitted.values()]

    def of_vector(vector: torch.Tensor) -> torch.Tensor:
        parts = zip(objective.fitted.items(), vector.split(sizes), strict=True)
        given = {name: part.reshape(parameter.shape) for (name, parameter), part in parts}
        return evaluate_penalty(penalty, {**fixed, **given})

    vector = torch.cat([p.detach().flatten() for p in objective.fitted.values()])
    made = torch.autograd.functional.hessian(of_vector, vector)
    assert isinstance(made, torch.Tensor)
    matrix: np.ndarray = made.double().cpu().numpy()
    return 0.5 * (matrix + matrix.T)
