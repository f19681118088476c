"""Information: the Gauss–Newton matrix JᵀJ of all observations, gathered frame by frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from pdenet.training.fitting.objective import Objective, Penalty, evaluate_penalty
from pdenet.training.fitting.rollout import Directions, Rollout

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
    never held whole: memory is one state for each unknown, time one simulation for each.

    Args:
        objective: the problem.
        weights: w of each component.
        noise: σ of each component.
    """
    count = sum(p.numel() for p in objective.fitted.values())
    precision, scatter, given = np.zeros((count, count)), np.zeros((count, count)), np.zeros(count)
    num_initial = 0
    for rollout in objective.rollouts:
        fields = list(rollout.batch.observer.fields)
        grams = _grams(
            rollout,
            objective.fitted,
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
    rollout: Rollout,
    fitted: Mapping[str, nn.Parameter],
    weightings: tuple[np.ndarray, np.ndarray],
    *,
    estimated: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Return Σ Jᵀ J weighted in two ways, of each piece where initial states are unknown.

    Each has the shape (piece, unknown, unknown), or (1, unknown, unknown) for all together.
    """
    directions = _one_by_one(rollout, fitted, estimated=estimated)
    factors = [
        torch.tensor(np.sqrt(w), dtype=torch.float64, device=rollout.initial.device)
        for w in weightings
    ]
    sums: list[torch.Tensor | None] = [None, None]
    for tangent in rollout.tangents(rollout.initial, fitted, directions):
        for k, factor in enumerate(factors):
            rows = (tangent.double() * factor[:, None]).flatten(2)  # (unknown, piece, value)
            rows = rows.movedim(1, 0) if estimated else rows.flatten(1)[None]
            gram = rows @ rows.mT
            before = sums[k]
            sums[k] = gram if before is None else before + gram
    made = [one.cpu().numpy() for one in sums if one is not None]
    return made[0], made[1]


def _one_by_one(
    rollout: Rollout, fitted: Mapping[str, nn.Parameter], *, estimated: bool
) -> Directions:
    """Return one direction for each unknown; pieces do not mix, so all move together."""
    state = rollout.initial[0]
    count = sum(p.numel() for p in fitted.values())
    unknown = count + (state.numel() if estimated else 0)
    made, done = {}, 0
    for name, parameter in fitted.items():
        size = parameter.numel()
        one = torch.zeros(unknown, size, dtype=state.dtype, device=state.device)
        one[done : done + size] = torch.eye(size, dtype=state.dtype, device=state.device)
        made[name] = one.reshape(unknown, *parameter.shape)
        done += size
    if not estimated:
        return made, None
    moves = torch.zeros(unknown, state.numel(), dtype=state.dtype, device=state.device)
    moves[count:] = torch.eye(state.numel(), dtype=state.dtype, device=state.device)
    shape = (unknown, len(rollout.initial), *state.shape)
    return made, moves.reshape(unknown, 1, *state.shape).expand(shape)


def _pseudo_inverse(matrix: np.ndarray) -> tuple[np.ndarray, int]:
    values, vectors = np.linalg.eigh(matrix)
    seen = values > _SINGULAR * values.max(initial=0.0)
    kept = vectors[:, seen]
    inverse: np.ndarray = (kept / values[seen]) @ kept.T
    return inverse, int(seen.sum())


def hessian_of_penalty(objective: Objective, penalty: Penalty) -> np.ndarray:
    """Return the second derivative of a penalty by the fitted parameters, float64, (p, p)."""
    sizes = [p.numel() for p in objective.fitted.values()]
    fixed = {n: p.detach() for n, p in objective.quantities.items()}

    def of_vector(vector: torch.Tensor) -> torch.Tensor:
        parts = vector.split(sizes)
        given = {
            name: part.reshape(parameter.shape)
            for (name, parameter), part in zip(objective.fitted.items(), parts, strict=True)
        }
        return evaluate_penalty(penalty, {**fixed, **given})

    vector = torch.cat([p.detach().flatten() for p in objective.fitted.values()])
    made = torch.autograd.functional.hessian(of_vector, vector)
    assert isinstance(made, torch.Tensor)
    matrix: np.ndarray = made.double().cpu().numpy()
    return 0.5 * (matrix + matrix.T)
