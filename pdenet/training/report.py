"""Report: what a finished search says of the parameters, their uncertainty and the noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pdenet.errors import PdenetError
from pdenet.training.batches import Piece
from pdenet.training.estimate import Fit, Value
from pdenet.training.information import gather, hessian_of_penalty, why_not
from pdenet.training.model import Model
from pdenet.training.objective import Objective
from pdenet.training.search import Found
from pdenet.training.trajectories import Trajectory
from pdenet.training.uncertainty import LOOSE, Analysis, analyse, relation

_GROWN = 10.0
"""Times the data: a wrong model that stays bounded errs by the size of the data, no more."""

_AT_BOUND = 1e-6
"""Of the range, or of the start's distance from a single bound: the search then went as near to it
as the map onto the range lets it, for the minimum lies on the bound or beyond."""


@dataclass(frozen=True, eq=False)
class Data:
    """Sizes of the observations, one number for each component of the network, in its unit.

    Attributes:
        counts: how many values were measured.
        spreads: their standard deviation, initial states included; 1 where nothing was observed.
        sizes: their largest absolute value; 0 where nothing was observed.
    """

    counts: np.ndarray
    spreads: np.ndarray
    sizes: np.ndarray

    @classmethod
    def of(cls, pieces: Sequence[Piece], model: Model) -> Data:
        """Measure all pieces together."""
        counts, spreads, sizes = (np.zeros(len(model.components)) for _ in range(3))
        for k in range(len(counts)):
            seen = [
                piece.values[:, place].ravel().astype(np.float64)
                for piece in pieces
                for place, field in enumerate(piece.observer.fields)
                if field == k
            ]
            values = np.concatenate([*seen, np.empty(0)])
            values = values[~np.isnan(values)]
            counts[k] = values.size
            if values.size:
                # What has decayed in all frames still had a spread at the start.
                starts = [piece.initial[k].ravel().astype(np.float64) for piece in pieces]
                values = np.concatenate([values, *starts])
            size = float(np.abs(values).max(initial=0.0))
            spread = float(values.std()) if values.size else 0.0
            # A constant has no spread but rounding: its size measures residuals then.
            spreads[k] = spread if spread > 1e-6 * size else size or 1.0
            sizes[k] = size
        return cls(counts, spreads, sizes)

    def observed(self, components: tuple[str, ...]) -> tuple[str, ...]:
        """Return the names of the observed components."""
        return tuple(n for n, count in zip(components, self.counts, strict=True) if count)


def report(
    objective: Objective,
    found: Found,
    data: Data,
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
        data: the sizes of the observations.
        given: the noise of each component that was given.
        level: of the intervals.
        trajectories: the observations.
        errors: whether standard errors are wanted.
    """
    components = objective.model.components
    values = objective.values(found.best.x)
    shapes = {name: one.shape for name, one in values.items()}
    entries = _entries(shapes)
    weights, squares = objective.weights, objective.squares()
    total = objective.num_values

    notes, messages = _notes(objective, trajectories), []
    if found.best.loss <= 1e3 * found.floor:
        notes.append("the residual is rounding, and standard errors are no more than that")
    if not found.converged:
        messages.append(
            f"a converged fit was expected; got {found.stopped}; raise iterations=, start nearer, "
            "or use what was found with care"
        )
    raw = np.sqrt(squares / np.maximum(data.counts, 1))
    converged, stopped = found.converged, found.stopped
    ratios = raw / np.maximum(data.sizes, data.spreads)
    if ratios.max() > _GROWN:
        worst = int(ratios.argmax())
        converged, stopped = False, "the predictions have grown far beyond the data"
        messages.insert(
            0,
            "predictions of the size of the data were expected; got residuals "
            f"{ratios[worst]:.1g} times as large as what was observed of {components[worst]!r}: at "
            f"{_shown(values)} the roll-out with dt = {objective.model.dt:g} is unstable, and the "
            "search found no way out; start from other values, keep them stable with bounds=, or "
            "build the network with a smaller dt",
        )
    else:
        unstable = _unstable(objective)
        if unstable:
            notes.append(unstable)
            messages.append(f"{unstable}; build the network with a smaller dt and fit again")
    reason = why_not(objective) if errors else "they were not asked for"
    analysis: Analysis | None = None
    num_determined = float(len(entries))
    if not reason:
        sigma = raw if given is None else given
        information = gather(objective, weights, sigma)
        prior, scatter = None, information.scatter
        if objective.penalty is not None:
            prior = 0.5 * total * hessian_of_penalty(objective, objective.penalty)
            # The prior is in units of the noise: of the mean one, where components differ.
            seen = data.counts > 0
            ratio = np.average((sigma[seen] / weights[seen]) ** 2, weights=data.counts[seen])
            scatter = scatter + ratio * prior
        analysis = analyse(
            information.precision,
            scatter,
            prior,
            information.given,
            torch.finfo(objective.model.dtype).eps,
        )
        num_determined = analysis.num_determined + information.num_initial
    freedom = max(total - num_determined, 0.0)
    # An exact fit of as many parameters as values leaves nothing to estimate the noise from.
    leftover = freedom > 1e-6 * total
    correction = total / freedom if leftover else math.nan
    covariance: np.ndarray | None = None
    if analysis is not None and (given is not None or leftover):
        covariance = analysis.covariance * (1.0 if given is not None else correction)
        reason = ""
    elif analysis is not None:
        reason = f"{total} values leave nothing over to estimate the noise from; give noise="
    if covariance is None:
        notes.append(f"standard errors were not computed: {reason}")
        deviations = np.full(len(entries), math.nan)
    else:
        deviations = np.sqrt(np.maximum(np.diag(covariance), 0.0))

    for name, error in _split(deviations, shapes).items():
        if _at_bound(objective, name, values[name], error):
            text = f"{name} came to its bound, where standard errors mean little"
            notes.append(text)
            messages.append(f"{text}; widen bounds= if the bound is a guess")

    flat = np.concatenate([one.ravel() for one in values.values()])
    open_entries = np.zeros(len(entries), dtype=bool) if analysis is None else analysis.open
    if covariance is not None:
        open_entries = open_entries | (deviations > LOOSE * _typical(objective, values))
    undetermined = {n: one for n, one in _split(open_entries, shapes).items() if one.any()}
    relations = () if analysis is None else _relations(analysis, flat, entries)
    if undetermined:
        text = f"the data do not determine {_listed(undetermined)}"
        text += f": {'; '.join(relations)}" if relations else ""
        notes.append(text)
        messages.append(
            f"{text}; got standard errors without meaning for these; fix some of them with "
            "parameters=, add a penalty, or observe more"
        )

    observed = [k for k in range(len(components)) if data.counts[k]]
    made = Fit(
        values=_as_values(values),
        errors=_as_values(_split(deviations, shapes)),
        covariance=covariance,
        entries=entries,
        undetermined=undetermined,
        relations=relations,
        noise={components[k]: float(raw[k] * math.sqrt(correction)) for k in observed},
        noise_given=None if given is None else {components[k]: float(given[k]) for k in observed},
        freedom=freedom,
        loss=np.array(found.losses),
        best=found.best.loss,
        iterations=len(found.losses) - 1,
        converged=converged,
        stopped=stopped,
        level=level,
        bounds={name: (one.low, one.high) for name, one in objective.ranges.items()},
        num_values=total,
        residuals=_residuals(objective, len(trajectories)),
        initial=_initial(objective) if objective.estimated else None,
        notes=tuple(notes),
    )
    return made, messages


def _unstable(objective: Objective) -> str:
    """Say that the time step is above the stable one at the values found, where that is known."""
    model = objective.model
    bound = getattr(model, "bound", None)
    if bound is None:
        return ""
    state = objective.rollouts[0].initial[0].detach().cpu().numpy()
    try:
        limit = bound(state).dt
    except PdenetError:
        return ""  # kernels that have learned are those of no scheme that is known
    if model.dt <= limit * (1 + 1e-9):
        return ""
    return (
        f"dt = {model.dt:.4g} is above the stable limit {limit:.4g} at the values found, so that "
        "the search may have been held up there"
    )


def _shown(values: Mapping[str, np.ndarray]) -> str:
    """Return the scalars among parameters as text, and the names of the others."""
    return ", ".join(
        f"{name} = {float(value):.4g}" if value.ndim == 0 else name
        for name, value in values.items()
    )


def _notes(objective: Objective, trajectories: Sequence[Trajectory]) -> list[str]:
    notes = []
    if objective.model.dtype == torch.float32 and any(
        one.states.dtype == np.float64 for one in trajectories
    ):
        notes.append("float64 observations were rounded to the network's float32")
    if objective.penalty is not None:
        notes.append("standard errors are those of the posterior, with the penalty as its prior")
    if objective.truncate_every is not None:
        notes.append(
            "gradients were truncated, so that the loss may not be at its minimum; standard errors "
            "are those of the whole derivative"
        )
    return notes


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


def _typical(objective: Objective, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the size of each entry's parameter: the root mean square, found or at the start."""
    sizes = []
    for name, value in values.items():
        size = max(float(np.sqrt(np.mean(v**2))) for v in (value, objective.starts[name]))
        # A parameter that is zero at both has no size to compare with.
        sizes.append(np.full(value.size, size if size > 0 else math.inf))
    return np.concatenate(sizes)


def _relations(analysis: Analysis, values: np.ndarray, entries: tuple[str, ...]) -> tuple[str, ...]:
    if len(analysis.directions) != 1:  # any mixture of several is one as well
        return ()
    text = relation(analysis.directions[0], values, entries)
    return (text,) if text else ()


def _entries(shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, ...]:
    return tuple(
        name if not shape else f"{name}[{', '.join(map(str, index))}]"
        for name, shape in shapes.items()
        for index in np.ndindex(shape)
    )


def _split(flat: np.ndarray, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    done, made = 0, {}
    for name, shape in shapes.items():
        size = math.prod(shape)
        made[name] = flat[done : done + size].reshape(shape)
        done += size
    return made


def _as_values(arrays: Mapping[str, np.ndarray]) -> dict[str, Value]:
    return {n: float(one) if one.ndim == 0 else one for n, one in arrays.items()}


def _listed(undetermined: Mapping[str, np.ndarray]) -> str:
    return ", ".join(
        name if not one.ndim else f"{int(one.sum())} of {one.size} entries of {name}"
        for name, one in undetermined.items()
    )
