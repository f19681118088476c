"""Report: what a finished search says of the parameters and the noise, and what to warn of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from pdenet.discrete.stability import EXACT, Bound
from pdenet.errors import PdenetError
from pdenet.training.fitting.estimate import Fit, Value
from pdenet.training.fitting.objective import Objective, split
from pdenet.training.fitting.precision import Precision, measure, residual_sizes
from pdenet.training.fitting.search import Found
from pdenet.training.fitting.trajectories import Trajectory
from pdenet.training.fitting.uncertainty import LOOSE, relation


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
    entries = tuple(
        name if not shape else f"{name}[{', '.join(map(str, index))}]"
        for name, shape in objective.shapes.items()
        for index in np.ndindex(shape)
    )
    doubts = Doubts()
    note_conditions(doubts, objective, trajectories)
    note_rounding(doubts, objective)
    converged, stopped = judge_search(doubts, objective, found, values)
    precision = measure(objective, given, errors=errors)
    if precision.why_not:
        doubts.notes.append(f"standard errors were not computed: {precision.why_not}")
    judge_noise(doubts, objective, given, precision.freedom)
    deviations = split(precision.deviations, objective.shapes)
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


_GROWN = 10.0
"""Times the data: a wrong model that stays bounded errs by the size of the data, no more."""

_AT_BOUND = 1e-6
"""Of the range, or of the start's distance from a single bound: the search then went as near to it
as it is worth, for the minimum lies on the bound or beyond."""

_GATHERED = 30.0
"""Times the rounding of one prediction: what a thousand steps gather, their errors independent."""


@dataclass
class Doubts:
    """What is noted and warned of, gathered one check after the other.

    Attributes:
        notes: for the fit's table.
        messages: for warnings; each has the three parts of an error.
    """

    notes: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def add(self, note: str, advice: str) -> None:
        """Note something, and warn of it together with what to do."""
        self.notes.append(note)
        self.messages.append(f"{note}; {advice}")


def note_conditions(
    doubts: Doubts, objective: Objective, trajectories: Sequence[Trajectory]
) -> None:
    """Note under which conditions the result holds."""
    if objective.model.dtype == torch.float32 and any(
        one.states.dtype == np.float64 for one in trajectories
    ):
        doubts.notes.append("float64 observations were rounded to the network's float32")
    if not objective.estimated and any(
        one.start is None or one.start == one.times[0] for one in trajectories
    ):
        doubts.notes.append(
            "frames at the time of an initial state were not used, since initial states count as "
            'exact; give start= where an initial state is earlier, or initial="estimated"'
        )
    if objective.penalty is not None:
        doubts.notes.append(
            "standard errors are those of the posterior, with the penalty as its prior"
        )
    if objective.truncate_every is not None:
        doubts.notes.append(
            "gradients were truncated, so that the loss may not be at its minimum; standard errors "
            "are those of the whole derivative"
        )


def note_rounding(doubts: Doubts, objective: Objective) -> None:
    """Note which components' residuals are rounding, so that standard errors are no more."""
    if objective.penalty is not None:
        return
    seen = objective.sizes.seen
    rounded = objective.rounded(_GATHERED) & seen
    if not rounded.any():
        return
    names = [n for n, one in zip(objective.model.components, rounded, strict=True) if one]
    of = "" if (rounded == seen).all() else f" of {', '.join(names)}"
    doubts.notes.append(
        "the residual is rounding, and standard errors are no more than that"
        if not of
        else f"the residual{of} is rounding, and standard errors that rest on it no more than that"
    )


def judge_search(
    doubts: Doubts, objective: Objective, found: Found, values: Mapping[str, np.ndarray]
) -> tuple[bool, str]:
    """Say whether the search came to an end that means something, and why it stopped."""
    converged, stopped = found.converged, found.stopped
    sizes = objective.sizes
    ratios = residual_sizes(objective) / np.maximum(sizes.largest, sizes.spreads)
    worst = int(ratios.argmax())
    grown = ratios[worst] > _GROWN
    if grown:
        converged, stopped = False, "the predictions have grown far beyond the data"
        doubts.messages.append(
            "predictions of the size of the data were expected; got residuals "
            f"{ratios[worst]:.1g} times as large as what was observed of "
            f"{objective.model.components[worst]!r}: at {_shown(values)} the roll-out with dt = "
            f"{objective.model.dt:g} is unstable, and the search found no way out; start from "
            "other values, keep them stable with bounds=, or build the network with a smaller dt"
        )
    if not found.converged:
        doubts.messages.append(
            f"a converged fit was expected; got {found.stopped}; raise iterations=, start nearer, "
            "or use what was found with care"
        )
    limit = None if grown else _limit(objective)
    if limit is not None and objective.model.dt > limit.dt * (1 + 1e-9):
        note = (
            f"dt = {objective.model.dt:.4g} is above the stable limit {limit.dt:.4g} at the values "
            "found"
        )
        if limit.method.startswith(EXACT):
            doubts.add(
                f"{note}, so that the search may have been held up there",
                "build the network with a smaller dt and fit again",
            )
        else:  # an estimate, or that of one state: it may be too small
            doubts.notes.append(f"{note} ({limit.method}, at the first initial state)")
    return converged, stopped


def judge_noise(
    doubts: Doubts, objective: Objective, given: np.ndarray | None, freedom: float
) -> None:
    """Warn of residuals that the noise given does not explain."""
    if given is None or freedom <= 0 or objective.penalty is not None:
        return
    seen = objective.sizes.seen
    ratios = np.where(seen, residual_sizes(objective) / given, 0.0)
    worst = int(ratios.argmax())
    # A tenth more is a model error worth knowing of, and five standard deviations of √(χ²/N).
    if ratios[worst] <= 1 + max(0.1, 5 / math.sqrt(2 * freedom)):
        return
    doubts.add(
        f"the residual of {objective.model.components[worst]} is {ratios[worst]:.3g} times the "
        "noise given, which standard errors rest on",
        "look for an error of the equation, of dt, of the grid or of an initial state, or give "
        "the noise that there is",
    )


def judge_bounds(
    doubts: Doubts,
    objective: Objective,
    values: Mapping[str, np.ndarray],
    errors: Mapping[str, np.ndarray],
) -> None:
    """Name the parameters that came to a bound."""
    for name, error in errors.items():
        if _at_bound(objective, name, values[name], error):
            doubts.add(
                f"{name} came to its bound, where standard errors mean little",
                "widen bounds= if the bound is a guess",
            )


def judge_determination(
    doubts: Doubts,
    objective: Objective,
    values: Mapping[str, np.ndarray],
    precision: Precision,
    entries: tuple[str, ...],
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Return which entries the data do not determine, and what is determined of these."""
    analysis = precision.analysis
    open_entries = np.zeros(len(entries), dtype=bool) if analysis is None else analysis.open
    if precision.covariance is not None:
        loose = precision.deviations > LOOSE * _typical(objective, values)
        open_entries = open_entries | loose
    undetermined = {n: one for n, one in split(open_entries, objective.shapes).items() if one.any()}
    relations: tuple[str, ...] = ()
    if analysis is not None and len(analysis.directions) == 1:  # of several any mixture is one too
        flat = np.concatenate([one.ravel() for one in values.values()])
        text = relation(analysis.directions[0], flat, entries)
        relations = (text,) if text else ()
    if undetermined:
        text = f"the data do not determine {_listed(undetermined)}"
        text += f": {'; '.join(relations)}" if relations else ""
        doubts.add(
            text,
            "got standard errors without meaning for these; fix some of them with parameters=, "
            "add a penalty, or observe more",
        )
    return undetermined, relations


def _limit(objective: Objective) -> Bound | None:
    """Return the stable time step at the values found, where it is known."""
    bound = getattr(objective.model, "bound", None)
    if bound is None:
        return None
    state = objective.rollouts[0].initial[0].detach().cpu().numpy()
    try:
        limit = bound(state)
    except PdenetError:
        return None  # kernels that have learned are those of no scheme that is known
    assert isinstance(limit, Bound)
    return limit


def _shown(values: Mapping[str, np.ndarray]) -> str:
    """Return the scalars among parameters as text, and the names of the others."""
    return ", ".join(
        f"{name} = {float(value):.4g}" if value.ndim == 0 else name
        for name, value in values.items()
    )


def _at_bound(objective: Objective, name: str, value: np.ndarray, error: np.ndarray) -> bool:
    own, start = objective.ranges[name], objective.starts[name]
    both = np.isfinite(own.low) & np.isfinite(own.high)
    with np.errstate(invalid="ignore"):  # ∞ − ∞ in entries that are not looked at
        below = np.where(both, own.high - own.low, start - own.low)
        above = np.where(both, own.high - own.low, own.high - start)
        # No step is worth while that is a hundredth of the standard error.
        step = np.where(np.isfinite(error), 0.01 * error, 0.0)
        low = np.maximum(_AT_BOUND, np.minimum(step / below, 1e-3)) * below
        high = np.maximum(_AT_BOUND, np.minimum(step / above, 1e-3)) * above
        near_low = np.isfinite(own.low) & (value - own.low < low)
        near_high = np.isfinite(own.high) & (own.high - value < high)
    return bool((near_low | near_high).any())


def _typical(objective: Objective, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the size of each entry's parameter: the root mean square, found or at the start."""
    sizes = []
    for name, value in values.items():
        size = max(float(np.sqrt(np.mean(v**2))) for v in (value, objective.starts[name]))
        # A parameter that is zero at both has no size to compare with.
        sizes.append(np.full(value.size, size if size > 0 else math.inf))
    return np.concatenate(sizes)


def _listed(undetermined: Mapping[str, np.ndarray]) -> str:
    return ", ".join(
        name if not one.ndim else f"{int(one.sum())} of {one.size} entries of {name}"
        for name, one in undetermined.items()
    )
