"""Trajectory: one solution as it was observed, whole frames or the values at sensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any  # times, states and sensors are whatever converts to an array

import numpy as np

from pdenet.equation.values import as_numpy
from pdenet.errors import FitError
from pdenet.training.fitting.keys import Key, names_of


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Observations of one solution of a PDE, for `pdenet.fit`.

    Arrays are copied, and the copies are read-only: what happens to the caller's arrays afterwards
    changes nothing here.

    Without sensors, values are whole frames. With sensors, they are the values at those places:
    a node, or a point between nodes, where the prediction is interpolated linearly along each
    axis (an error of second order in the spacing). A NaN is a value that was not measured.

    The initial state is that of time `start`. Where whole frames of every component are given, it
    may be left out: it is then the first frame.

    Args:
        times: increasing, shape (frame,), in the equation's unit of time.
        states: the observed values, float32 or float64, in the units of their fields: shape
            (frame, field, *space), `space` in array order (z, y, x), or with sensors
            (frame, field, sensor).
        initial: the initial state, all components, shape (component, *space).
        start: the time of the initial state, at most `times[0]`; by default `times[0]`.
        sensors: a boolean mask over the grid, shape (*space), whose sensors are counted in array
            order; or whole numbers, the indices of nodes in array order (row, column), shape
            (sensor, dimension); or floating point numbers, points in the coordinates of the grid
            in coordinate order (x, y), shape (sensor, dimension). In one dimension the last two
            may have the shape (sensor,).
        fields: the names of the observed components, in the order of `states`; by default all
            components of the network.

    Raises:
        FitError: times that do not increase, values that are infinite, complex, whole numbers or
            of half precision, no measured value, or shapes that do not fit together. What needs
            the grid is checked by `fit`.

    Example:
        >>> import numpy as np
        >>> x = np.linspace(0, 1, 11)
        >>> measured = np.zeros((3, 1, 2))  # (frame, field, sensor)
        >>> Trajectory([0.0, 0.1, 0.2], measured, initial=x[None], sensors=[0.25, 0.6])
        Trajectory(3 frames, t = 0 to 0.2, 2 sensors, float64)
    """

    times: Any
    states: Any
    initial: Any = None
    start: float | None = None
    sensors: Any = None
    fields: Key | Sequence[Key] | None = None

    def __post_init__(self) -> None:
        times = _check_times(self.times)
        states = _check_values("the observed values", self.states)
        if states.ndim < 3:
            raise FitError(
                "observed values have the shape (frame, field, *space), or with sensors (frame, "
                f"field, sensor); got {states.shape}; a single field needs its axis too, "
                "states[:, None]"
            )
        if len(states) != len(times):
            raise FitError(
                f"one time a frame was expected; got {len(times)} times and {len(states)} frames "
                f"(states of shape {states.shape}); give as many times as frames"
            )
        if np.isnan(states).all():
            raise FitError(
                f"at least one measured value was expected; all {states.size} are NaN, which means "
                "not measured; leave the trajectory out"
            )
        object.__setattr__(self, "times", _frozen(times))
        object.__setattr__(self, "states", _frozen(states))
        if self.initial is not None:
            initial = _check_values("the initial state", self.initial)
            if np.isnan(initial).any():
                raise FitError(
                    f"an initial state is known everywhere; got {int(np.isnan(initial).sum())} NaN "
                    f'of shape {initial.shape}; fill them, and use initial="estimated" if you guess'
                )
            object.__setattr__(self, "initial", _frozen(initial))
        if self.start is not None:
            object.__setattr__(self, "start", self._check_start(times))
        if self.sensors is not None:
            object.__setattr__(self, "sensors", _frozen(_check_sensors(self.sensors)))
        if self.fields is not None:
            object.__setattr__(self, "fields", _check_fields(self.fields, states.shape[1]))

    def __repr__(self) -> str:
        sensors = "" if self.sensors is None else f", {self.states.shape[2]} sensors"
        count = len(self.times)
        return (
            f"Trajectory({count} frame{'s' * (count != 1)}, t = {self.times[0]:g} to "
            f"{self.times[-1]:g}{sensors}, {self.states.dtype})"
        )

    def _check_start(self, times: np.ndarray) -> float:
        start = np.asarray(self.start)
        if start.ndim or start.dtype.kind not in "fiu" or not np.isfinite(start):
            raise FitError(
                f"start is a finite number; got {self.start!r}; give the time of the initial state"
            )
        if start > times[0]:
            raise FitError(
                f"the initial state is not later than the first frame, t = {times[0]:g}; got "
                f"start = {float(start):g}; leave out the frames before it"
            )
        if start < times[0] and self.initial is None:
            raise FitError(
                f"a start before the first frame, t = {times[0]:g}, needs the state of that time; "
                f"got start = {float(start):g} and no initial state; give initial="
            )
        return float(start)


def _check_times(given: object) -> np.ndarray:
    times = _as_array("times", given)
    if times.ndim != 1 or not times.size or times.dtype.kind not in "fiu":
        raise FitError(
            f"times are real numbers, shape (frame,); got shape {times.shape}, {times.dtype}; "
            "give one time a frame"
        )
    times = times.astype(np.float64)
    if not np.isfinite(times).all():
        bad = int(np.flatnonzero(~np.isfinite(times))[0])
        raise FitError(f"times are finite; got {times[bad]} for frame {bad}; leave that frame out")
    stalled = np.flatnonzero(np.diff(times) <= 0)
    if stalled.size:
        k = int(stalled[0])
        raise FitError(
            f"times increase from frame to frame; got t = {times[k]:g} for frame {k} and "
            f"t = {times[k + 1]:g} for frame {k + 1}; sort the frames and leave out copies"
        )
    return times


def _frozen(array: np.ndarray) -> np.ndarray:
    """Return a copy that cannot be written to."""
    made = array.copy()
    made.setflags(write=False)
    return made


def _as_array(what: str, given: object) -> np.ndarray:
    try:
        return as_numpy(given)
    except (TypeError, ValueError) as error:  # rows of different lengths; a tensor of bfloat16
        raise FitError(
            f"{what} are one array of real numbers; got {type(given).__name__}, which is none "
            f"({error}); convert it to a NumPy array first"
        ) from error


def _check_values(what: str, given: object) -> np.ndarray:
    """Return an array of float32 or float64 without infinities."""
    values = _as_array(what, given)
    if values.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise FitError(
            f"{what} are float32 or float64; got {values.dtype} of shape {values.shape}; "
            + (
                "fit the real and the imaginary part as two fields"
                if values.dtype.kind == "c"
                else "if its digits are the measurement, convert it with astype(np.float64)"
            )
        )
    if np.isinf(values).any():
        place = tuple(int(k) for k in np.argwhere(np.isinf(values))[0])
        raise FitError(
            f"{what} are finite, or NaN where nothing was measured; got {values[place]} at index "
            f"{place} of shape {values.shape}; put NaN there, or end before the blow-up"
        )
    return values


def _check_sensors(given: object) -> np.ndarray:
    sensors = _as_array("sensors", given)
    if sensors.dtype.kind not in "biuf" or not sensors.size:
        raise FitError(
            "sensors are a boolean mask, indices of nodes or points; got an array of shape "
            f"{sensors.shape}, {sensors.dtype}; give at least one sensor as one of these"
        )
    return sensors


def _check_fields(given: Key | Sequence[Key], count: int) -> tuple[str, ...]:
    fields = names_of("fields=", given)
    if len(fields) != count or len(set(fields)) != count:
        raise FitError(
            f"one name for each field of the observed values was expected, {count} in all; got "
            f"fields={fields!r}; name each observed component once"
        )
    return fields
