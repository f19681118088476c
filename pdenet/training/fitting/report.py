"""Report: what a finished search says of the parameters, their uncertainty and the noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from pdenet.training.fitting.doubts import (
    Doubts,
    judge_bounds,
    judge_determination,
    judge_noise,
    judge_search,
    note_conditions,
    note_rounding,
)
from pdenet.training.fitting.entries import entry_names, split
from pdenet.training.fitting.estimate import Fit, Value
from pdenet.training.fitting.objective import Objective
from pdenet.training.fitting.precision import measure
from pdenet.training.fitting.search import Found
from pdenet.training.fitting.trajectories import Trajectory


def report(
    objective: Objective,
    found: Found,
    given: np.ndarray | None,
    level: float,
    trajectories: Sequence[Trajectory],
    *,
    errors: bool = True,
) -> tuple[Fit, list[str]]:
    """Return the fit at the network's present values, and what to warn of.

    Args:
        objective: the problem, placed at the best point.
        found: what the search found.
        given: the noise of each component that was given.
        level: of the intervals.
        trajectories: the observations.
        errors: whether standard errors are wanted.
    """
    values = objective.values(found.best.x)
    shapes = {name: one.shape for name, one in values.items()}
    entries = entry_names(shapes)
    doubts = Doubts()
    note_conditions(doubts, objective, trajectories)
    note_rounding(doubts, objective)
    converged, stopped = judge_search(doubts, objective, found, values)
    precision = measure(objective, given, errors=errors)
    if precision.why_not:
        doubts.notes.append(f"standard errors were not computed: {precision.why_not}")
    judge_noise(doubts, objective, given, precision.freedom)
    deviations = split(precision.deviations, shapes)
    judge_bounds(doubts, objective, values, deviations)
    undetermined, relations = judge_determination(doubts, objective, values, precision, entries)
    made = Fit(
        values=_as_values(values),
        errors=_as_values(deviations),
        covariance=precision.covariance,
        entries=entries,
        undetermined=undetermined,
        relations=relations,
        noise=_of_observed(objective, precision.noise),
        noise_given=None if given is None else _of_observed(objective, given),
        freedom=precision.freedom,
        loss=np.array(found.losses),
        best=found.best.loss,
        iterations=len(found.losses) - 1,
        converged=converged,
        stopped=stopped,
        level=level,
        bounds={name: (one.low, one.high) for name, one in objective.ranges.items()},
        num_values=objective.num_values,
        residuals=_residuals(objective, len(trajectories)),
        initial=_initial(objective) if objective.estimated else None,
        notes=tuple(doubts.notes),
    )
    return made, doubts.messages


def _of_observed(objective: Objective, numbers: np.ndarray) -> dict[str, float]:
    """Return the numbers of the observed components by their names."""
    components, seen = objective.model.components, objective.sizes.seen
    return {components[k]: float(numbers[k]) for k in np.flatnonzero(seen)}


def _residuals(
    objective: Objective, num_trajectories: int
) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    found: list[dict[float, float]] = [{} for _ in range(num_trajectories)]
    for rollout, inverse, misfit in zip(
        objective.rollouts, objective.inverse_weights, objective.misfits(), strict=True
    ):
        batch = rollout.batch
        weighted = (misfit * inverse[:, 0].double().cpu().numpy() ** 2).sum(-1)
        counts = rollout.measured.sum((2, 3)).cpu().numpy()
        for piece, trajectory in enumerate(batch.trajectories):
            for frame, steps in enumerate(batch.steps):
                if counts[piece, frame]:
                    time = batch.start + steps * objective.model.dt
                    mean = weighted[piece, frame] / counts[piece, frame]
                    found[trajectory][time] = math.sqrt(mean)
    return tuple((np.array(sorted(one)), np.array([one[t] for t in sorted(one)])) for one in found)


def _initial(objective: Objective) -> tuple[np.ndarray, ...]:
    states = {
        trajectory: rollout.initial[piece].detach().cpu().numpy().copy()
        for rollout in objective.rollouts
        for piece, trajectory in enumerate(rollout.batch.trajectories)
    }
    return tuple(states[k] for k in sorted(states))


def _as_values(arrays: Mapping[str, np.ndarray]) -> dict[str, Value]:
    return {n: float(one) if one.ndim == 0 else one for n, one in arrays.items()}
