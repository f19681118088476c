"""Batches: trajectories, or windows of them, that one roll-out predicts, counted in its steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any  # frames are whatever a user gives

import numpy as np

from pdenet.errors import FitError, suggest
from pdenet.simulate.result import Result
from pdenet.training.fitting.model import Model
from pdenet.training.fitting.sensors import Observer, locate
from pdenet.training.fitting.trajectories import Trajectory


@dataclass(frozen=True, eq=False)
class Piece:
    """One stretch of one trajectory: an initial state, and what was observed after it.

    Attributes:
        trajectory: its number.
        start: the time of the initial state.
        steps: after how many steps of the network each frame was observed, increasing.
        initial: shape (component, *space).
        values: the observed values, shape (frame, field, sensor); NaN where nothing was measured.
        observer: what was observed.
    """

    trajectory: int
    start: float
    steps: tuple[int, ...]
    initial: np.ndarray
    values: np.ndarray
    observer: Observer


@dataclass(frozen=True, eq=False)
class Batch:
    """Pieces with the same start, steps and sensors.

    Attributes:
        trajectories: the number of each piece's trajectory.
        start: the time of the initial states.
        steps: after how many steps each frame was observed.
        initial: shape (piece, component, *space).
        values: shape (piece, frame, field, sensor); NaN where nothing was measured.
        observer: what was observed.
    """

    trajectories: tuple[int, ...]
    start: float
    steps: tuple[int, ...]
    initial: np.ndarray
    values: np.ndarray
    observer: Observer


def as_trajectories(frames: Any, times: Any, model: Model) -> tuple[Trajectory, ...]:
    """Return what a user gives as `frames` as trajectories.

    Raises:
        FitError: it is none of what `fit` takes, or a result of another equation or grid.
    """
    if isinstance(frames, Result | Trajectory):
        _no_times(times, frames)
        return (_as_trajectory(frames, model),)
    if isinstance(frames, Sequence) and frames and isinstance(frames[0], Result | Trajectory):
        _no_times(times, frames[0])
        made = []
        for number, one in enumerate(frames):
            if not isinstance(one, Result | Trajectory):
                raise FitError(
                    "several trajectories are a list of Result or Trajectory; got "
                    f"{type(one).__name__} at place {number}; write Trajectory(times, states)"
                )
            made.append(_as_trajectory(one, model))
        return tuple(made)
    if isinstance(frames, Sequence) and not frames:
        raise FitError("at least one trajectory was expected; got none; give a Result")
    if times is None:
        raise FitError(
            "frames are a Result, a Trajectory, a list of these, or an array together with times=; "
            f"got {type(frames).__name__} and no times; give times= of shape (frame,)"
        )
    return (Trajectory(times, frames),)


def _no_times(times: object, one: object) -> None:
    if times is not None:
        raise FitError(
            f"times= belongs to an array of frames; got it beside a {type(one).__name__}, which "
            "has its own; leave it out"
        )


def _as_trajectory(one: Result | Trajectory, model: Model) -> Trajectory:
    if isinstance(one, Trajectory):
        return one
    if set(one.components) != set(model.components):
        raise FitError(
            f"a result with the network's components {', '.join(model.components)} was expected; "
            f"got {', '.join(one.components)}; use Trajectory(times, states, initial=…, fields=…) "
            "to observe some of them"
        )
    nodes = model.grid.nodes(model.boundary)
    spacing = model.grid.spacing(model.boundary)
    same = one.axes == model.grid.axes and all(
        a.shape == b.shape and np.abs(a - b).max() <= 1e-6 * h  # files may hold float32 nodes
        for a, b, h in zip(one.nodes, nodes, spacing, strict=True)
    )
    if not same:
        raise FitError(
            f"a result on the network's nodes, {model.grid!r}, was expected; got {one!r}; build "
            "the network on the grid and the boundary of the data, or give the values as sensors"
        )
    order = [one.components.index(name) for name in model.components]
    return Trajectory(one.times, one.states[:, order])


def make_pieces(
    trajectories: Sequence[Trajectory], model: Model, window: int | None, *, estimated: bool
) -> list[Piece]:
    """Read trajectories on the network's grid and in its steps, and cut them into windows.

    Raises:
        FitError: shapes, fields, sensors or times that do not fit the network, or no observation
            after the initial state.
    """
    pieces: list[Piece] = []
    for number, trajectory in enumerate(trajectories):
        try:
            whole = _read(trajectory, number, model, estimated=estimated)
            pieces += [whole] if window is None else _cut(whole, trajectory, window, model)
        except FitError as error:
            if len(trajectories) == 1:
                raise
            raise FitError(f"trajectory {number} of {len(trajectories)}: {error}") from error
    return pieces


def make_batches(pieces: Sequence[Piece]) -> list[Batch]:
    """Put together the pieces that one roll-out predicts."""
    groups: dict[tuple[object, ...], list[Piece]] = {}
    for piece in pieces:
        key = (piece.start, piece.steps, piece.observer.key())
        groups.setdefault(key, []).append(piece)
    return [
        Batch(
            tuple(piece.trajectory for piece in group),
            group[0].start,
            group[0].steps,
            np.stack([piece.initial for piece in group]),
            np.stack([piece.values for piece in group]),
            group[0].observer,
        )
        for group in groups.values()
    ]


def _read(one: Trajectory, number: int, model: Model, *, estimated: bool) -> Piece:
    space, count = model.grid.shape, len(model.components)
    fields = _field_numbers(one, model)
    if one.sensors is None:
        expected: tuple[int, ...] = (len(fields), *space)
        meaning = "(frame, field, *space)"
        observer = Observer(fields)
    else:
        nodes, weights = locate(one.sensors, model.grid, model.boundary)
        expected = (len(fields), len(nodes))
        meaning = "(frame, field, sensor)"
        observer = Observer(fields, nodes, weights)
    if one.states.shape[1:] != expected:
        raise FitError(
            f"observed values of shape {meaning} = (frame, {', '.join(map(str, expected))}) were "
            f"expected; got {one.states.shape}; the grid has the shape {space} and the observed "
            f"fields are {', '.join(model.components[k] for k in fields)}"
        )
    initial = _initial(one, fields, model)
    if initial.shape != (count, *space):
        raise FitError(
            "an initial state of shape (component, *space) = "
            f"{(count, *space)} was expected; got {initial.shape}; it holds all components "
            f"({', '.join(model.components)}), also those that are not observed"
        )
    start = float(one.times[0]) if one.start is None else float(one.start)
    steps = count_steps(one.times, start, model.dt)
    values = one.states.reshape(len(steps), len(fields), -1)
    if steps[0] == 0 and not estimated:
        # A given initial state is exact: what was measured at its time says nothing more.
        steps, values = steps[1:], values[1:]
    if not steps or (steps[-1] == 0):
        raise FitError(
            "at least one frame after the initial state was expected, two frames in all; got "
            f"{one!r}, whose only frame is at the start; give a later frame"
        )
    if np.isnan(values).all():
        raise FitError(
            "at least one measured value after the initial state was expected; all are NaN, which "
            "means not measured; leave the trajectory out"
        )
    return Piece(number, start, steps, initial, values, observer)


def _field_numbers(one: Trajectory, model: Model) -> tuple[int, ...]:
    if one.fields is None:
        return tuple(range(len(model.components)))
    for name in one.fields:
        if name not in model.components:
            raise FitError(
                f"observed fields are components of the network, {', '.join(model.components)}; "
                f"got {name!r}.{suggest(name, model.components)}"
            )
    return tuple(model.components.index(name) for name in one.fields)


def _initial(one: Trajectory, fields: tuple[int, ...], model: Model) -> np.ndarray:
    if one.initial is not None:
        made: np.ndarray = one.initial
        return made
    if one.sensors is not None or len(fields) != len(model.components):
        what = "sensors" if one.sensors is not None else f"only {', '.join(one.fields or ())}"
        raise FitError(
            f"an initial state of all components ({', '.join(model.components)}) was expected; got "
            f"a trajectory with {what} and none; give initial= of shape (component, *space)"
        )
    first: np.ndarray = one.states[0]
    if np.isnan(first).any():
        raise FitError(
            "a first frame that was measured everywhere was expected, as the initial state; got "
            f"{int(np.isnan(first).sum())} NaN in it; give initial= of shape (component, *space)"
        )
    return first[np.argsort(fields)]  # in the network's order of components


def _cut(whole: Piece, one: Trajectory, window: int, model: Model) -> list[Piece]:
    """Restart from every window-th frame, which then is an initial state."""
    every = tuple(range(len(model.components)))
    if one.sensors is not None or sorted(whole.observer.fields) != list(every):
        raise FitError(
            "window= restarts from measured frames, so it needs whole frames of all components "
            f"({', '.join(model.components)}); got {one!r}; leave window out"
        )
    order = np.argsort(whole.observer.fields)
    pieces, start, offset, initial = [], whole.start, 0, whole.initial
    for first in range(0, len(whole.steps), window):
        chosen = slice(first, first + window)
        values = whole.values[chosen]
        steps = tuple(n - offset for n in whole.steps[chosen])
        if not np.isnan(values).all():
            pieces.append(Piece(whole.trajectory, start, steps, initial, values, whole.observer))
        if first + window >= len(whole.steps):
            break
        initial = values[-1][order].reshape(whole.initial.shape)
        if np.isnan(initial).any():
            raise FitError(
                f"window={window} restarts from frames that were measured everywhere; got "
                f"{int(np.isnan(initial).sum())} NaN in the frame {whole.steps[chosen][-1]} steps "
                "after the start; leave window out, or choose one that avoids this frame"
            )
        offset = whole.steps[chosen][-1]
        start = whole.start + offset * model.dt
    return pieces


_RELATIVE = 1e-6
"""Of a time: what a time printed with seven digits, or stored as float32, is allowed."""
_LARGEST = 0.01
"""Of a step: beyond it, a long run would accept a frame between two steps."""


def count_steps(times: np.ndarray, start: float, dt: float) -> tuple[int, ...]:
    """Return n with times = start + n·dt, up to 1e-6 of n and a hundredth of a step.

    Args:
        times: float64, shape (frame,), increasing, in the equation's unit of time.
        start: the time of the initial state.
        dt: the network's time step.

    Raises:
        FitError: a time is no whole number of steps; the message says which dt would make it one.
    """
    exact = (times - start) / dt
    whole = np.rint(exact)
    wrong = np.flatnonzero(_is_off(exact))
    repeated = np.flatnonzero(np.diff(whole) == 0)
    if wrong.size or repeated.size:
        frame = int(wrong[0] if wrong.size else repeated[0] + 1)
        raise FitError(
            f"the times of frames are whole multiples of the network's dt = {dt!r}, counted from "
            f"the initial state at t = {start:g}; got frame {frame} at t = {times[frame]:.9g}, "
            f"after {exact[frame]:.6g} steps; {_advice(times, start, dt)}"
        )
    return tuple(int(n) for n in whole)


def _is_off(counts: np.ndarray) -> np.ndarray:
    """Return which numbers of steps are not whole."""
    whole = np.rint(counts)
    off: np.ndarray = np.abs(counts - whole) > np.minimum(
        _RELATIVE * np.maximum(whole, 1.0), _LARGEST
    )
    return off


def _advice(times: np.ndarray, start: float, dt: float) -> str:
    """Say which dt, at most the present one, all times are multiples of."""
    since = times - start
    measure = _common_measure(since[since > 0])
    if measure is None or _is_off(since / measure).any():
        return "they have no common step, so round them to multiples of the one you mean"
    fitting = measure / math.ceil(measure / dt * (1 - 1e-9))
    return f"build the network with dt={float(f'{fitting:.12g}')!r}"


def _common_measure(lengths: np.ndarray) -> float | None:
    """Return the longest time that divides all of these, by Euclid's algorithm with tolerance."""
    tolerance = _RELATIVE * float(lengths[-1])
    common = float(lengths[0])
    for length in lengths[1:]:
        a, b = float(length), common
        while b > tolerance:
            rest = math.fmod(a, b)
            a, b = b, min(rest, b - rest)  # a rest just below b is a rest of zero, rounded
        common = a
        if common <= tolerance:
            return None
    # Euclid gathers the rounding of all its steps; the last time divided by a count does not.
    return float(lengths[-1]) / max(1, round(float(lengths[-1]) / common))
