"""Integrator: time stepping. Which dt, which checks at each step, from one output to the next."""

from __future__ import annotations

import math
import os
import warnings
from functools import cached_property
from typing import Any  # a progress bar of any kind, or None

import numpy as np

from pdenet.backends.named import dtype_of
from pdenet.backends.numpy_arrays import NumpyArrays
from pdenet.discrete import choosing
from pdenet.discrete.arrays import Array
from pdenet.discrete.grid import Grid
from pdenet.discrete.program import Program
from pdenet.discrete.stability import Bound, Stability
from pdenet.equation.values import Values, as_numpy, is_tensor
from pdenet.errors import (
    BlowUpError,
    GridError,
    IllPosedError,
    InitialStateError,
    StabilityError,
    StabilityWarning,
)
from pdenet.simulate.initial import read_initial
from pdenet.simulate.times import check_interval, num_steps

CHECK_EVERY = 8
"""How many equal steps pass between two looks at whether the state is finite."""


class Integrator:
    """Steps a scheme through time.

    Args:
        program: what moves a state; it knows the scheme, its values and the back end.
        dt: the time step, or None for the automatic one.
        mode: "refuse", "warn" or "ignore" for unstable combinations.
        stability: the analysis of the scheme, where it has been made.

    Raises:
        StabilityError: the combination or the time step is unstable and the mode is "refuse".
    """

    def __init__(
        self,
        program: Program,
        dt: float | None,
        mode: str,
        stability: Stability | None = None,
    ) -> None:
        if stability is not None:
            self.stability = stability
        self.program = program
        self.scheme = program.scheme
        self.values = program.values
        self.arrays = program.arrays
        self.dtype = dtype_of(program.arrays)
        self.dt_given = dt
        self.mode = mode
        self._warned = False  # a run warns once, not at every step
        self.components = self.values.components
        self.is_torch = not isinstance(self.arrays, NumpyArrays)
        self.dt = dt if self.adapts else self.settled_dt(None, 0.0)

    @cached_property
    def stability(self) -> Stability:
        """The analysis that bounds the time step."""
        return Stability(self.scheme, self.values)

    @cached_property
    def adapts(self) -> bool:
        """Whether the bound depends on the state or on time, so that it is found at each step."""
        if self.mode == "ignore" and self.dt_given is not None:
            return False
        return self.stability.depends_on_state or self.stability.depends_on_time

    def bound(self, state: Array | None = None, t: float = 0.0) -> Bound:
        """Return the largest stable time step; see `pdenet.Solver.bound`."""
        return self._bound(state, t)[0]

    def _bound(self, state: Array | None, t: float) -> tuple[Bound, np.ndarray | None]:
        """Return the smallest bound of all states of a batch, and the state that has it."""
        if not self.stability.depends_on_state:
            return self.stability.bound(None, t), None
        if state is None:
            raise StabilityError(
                "the bound of this equation depends on the state; got none; give bound(state)"
            )
        array = as_numpy(state)
        if array.ndim == self.scheme.domain.dimension + 1:
            return self.stability.bound(array, t), array
        return min(((self.stability.bound(one, t), one) for one in array), key=lambda b: b[0].dt)

    def settled_dt(self, state: Array | None, t: float, step: int = 0) -> float:
        """Return the time step at a moment: the given one, checked, or the automatic one.

        Raises:
            BlowUpError: the state is so large that the coefficients overflow.
            StabilityError: the given one is above the bound, or no step is stable.
        """
        if self.dt_given is not None and self.mode == "ignore":
            return self.dt_given
        try:
            bound, at = self._bound(state, t)
        except IllPosedError as error:
            if self.dt_given is None or self.mode == "refuse":
                raise
            if not self._warned:
                warnings.warn(str(error), StabilityWarning, stacklevel=2)
            self._warned = True
            return self.dt_given
        if bound.is_overflow and at is not None:
            self._raise_overflow(at, t, step)
        if self.dt_given is not None:
            mode = self.mode if not self._warned else "ignore"
            choosing.check(bound, self.dt_given, mode, self.scheme, self.values, at)
            self._warned = self._warned or (mode == "warn" and self.dt_given > bound.dt)
            return self.dt_given
        if bound.dt == 0:
            # There is no automatic step to go on with, whatever the mode.
            choosing.check(bound, math.inf, "refuse", self.scheme, self.values, at)
        return choosing.automatic_dt(bound)

    def step(self, state: Array, t: float = 0.0) -> Array:
        """Return the state one time step later; see `pdenet.Solver.step`."""
        state = self._checked_state(state)
        self.program.prepare()
        dt = self.dt
        if self.adapts or dt is None:
            dt = self.settled_dt(state, t)
        return self._unbatched(self.program.step(self._batched(state), t, _finite(dt)))

    def advance(self, state: Array, until: float, start: float = 0.0) -> Array:
        """Return the state at time `until`; see `pdenet.Solver.advance`."""
        start, until = check_interval(start, until)
        moved = self._batched(self._checked_state(state))
        self.program.prepare()
        moved = self.program.impose(self.arrays.copy(moved), start)
        if until > start:
            moved, _ = self.stretch(moved, start, until, until - start, 0, None)
        return self._unbatched(moved)

    def initial_state(self, initial: Any, start: float = 0.0) -> np.ndarray:
        """Return the state that `initial` describes; see `pdenet.Solver.initial_state`."""
        state = read_initial(self.scheme.domain, self.values, initial, self.dtype, start)
        self.program.prepare()
        made = self.program.impose(self.arrays.copy(self.arrays.asarray(state)), start)
        return np.array(as_numpy(made))

    def stretch(
        self, state: Array, start: float, until: float, interval: float, step: int, bar: Any
    ) -> tuple[Array, int]:
        """Go from one output to the next in equal steps; return the state and the step count.

        Args:
            state: component first, then the batch.
            start: the time of `state`.
            until: the time of the next output.
            interval: until − start without the rounding of the sum: full intervals of a run have
                bitwise the same steps.
            step: how many steps came before.
            bar: a progress bar that is told how far time has come, or None.
        """
        if not self.adapts:
            dt = _finite(self.dt, interval)
            count = num_steps(interval, dt)
            dt = interval / count
            return self._equal_steps(state, start, dt, count, step, bar), step + count
        t = start
        while True:
            remaining = until - t
            dt = _finite(self.settled_dt(self._unbatched(state), t, step), remaining)
            count = num_steps(remaining, dt)
            dt = remaining / count
            step += 1
            state = self._guarded_step(state, t, dt, step)
            if bar is not None:
                bar.update(min(dt, bar.total - bar.n))
            if count == 1:
                return state, step
            t += dt

    def _equal_steps(
        self, state: Array, start: float, dt: float, count: int, step: int, bar: Any
    ) -> Array:
        """Take `count` steps; a state that ceases to be finite is found in its step.

        A node that is not finite stays so, as u + dt ∂u/∂t keeps it, or has spoiled its neighbours
        before a wall sets it right. So it is enough to look now and then, and, where something is
        found, to take the last steps again and look at each.
        """
        good = state
        for k in range(count):
            with _silent():
                state = self.program.step(state, start + k * dt, dt)
            if bar is not None:
                bar.update(min(dt, bar.total - bar.n))
            if (k + 1) % CHECK_EVERY and k + 1 < count:
                continue
            if not math.isfinite(self._total(state)):
                for again in range(k - k % CHECK_EVERY, k + 1):
                    good = self._guarded_step(good, start + again * dt, dt, step + again + 1)
            good = state
        return state

    def _guarded_step(self, state: Array, t: float, dt: float, step: int) -> Array:
        """Take one step and look at it."""
        with _silent():
            made = self.program.step(state, t, dt)
        if not math.isfinite(self._total(made)):
            self._raise_if_not_finite(made, state, t + dt, step)
        return made

    def _total(self, state: Array) -> float:
        """Return a sum that is finite only if all entries are; it may overflow by itself."""
        with _silent():
            return self.arrays.total(state)

    def _raise_overflow(self, at: np.ndarray, t: float, step: int) -> None:
        place = np.unravel_index(int(np.abs(at).argmax()), at.shape)
        field, cell = self.components[int(place[0])], tuple(int(k) for k in place[1:])
        raise BlowUpError(
            f"coefficients stay finite in a stable run; got overflow with {field!r} = "
            f"{at[place]:.3g} at cell {cell} after step {step}, t = {t:g}; the solution itself "
            "may blow up there: stop before, or check the initial state",
            step=step,
            time=t,
            field=field,
            cell=cell,
            last_good=np.array(at),
        )

    def _raise_if_not_finite(self, made: Array, before: Array, time: float, step: int) -> None:
        array = as_numpy(self._unbatched(made))
        batched = array.ndim > self.scheme.domain.dimension + 1
        bad = np.argwhere(~np.isfinite(array))
        if not len(bad):
            return  # the sum overflowed, the state did not
        place = tuple(int(k) for k in bad[0])
        component, cell = (place[1], place[2:]) if batched else (place[0], place[1:])
        where = self.scheme.domain.place(cell)
        field = self.components[component]
        raise BlowUpError(
            f"the state stays finite in a stable run; got {array[place]} for {field!r} at cell "
            f"{cell} ({where}) in step {step}, t = {time:g}; use a smaller dt, another stepper, or "
            "check the coefficients and the initial state",
            step=step,
            time=time,
            field=field,
            cell=cell,
            last_good=np.array(as_numpy(self._unbatched(before))),
        )

    def _checked_state(self, state: Array) -> Array:
        shape = (len(self.components), *self.scheme.domain.shape)
        found = tuple(getattr(state, "shape", ()))
        batch = self.is_torch and len(found) == len(shape) + 1
        if found[batch:] != shape:
            more = ", or (batch, …) of these," if self.is_torch else ""
            raise InitialStateError(
                f"a state of shape {shape}{more} was expected; got "
                f"{found or type(state).__name__}; make one with solver.initial_state(...)"
            )
        if str(state.dtype).removeprefix("torch.") != str(self.dtype):
            raise InitialStateError(
                f"a state of dtype {self.dtype} was expected; got {state.dtype}; nothing is cast "
                "silently: convert it, or build the solver with dtype="
            )
        if self.is_torch:
            return state if is_tensor(state) else self.arrays.asarray(state)
        if is_tensor(state):
            raise InitialStateError(
                'the NumPy back end takes NumPy arrays; got a tensor; use backend="torch"'
            )
        return state

    def _batched(self, state: Array) -> Array:
        """Return a state with its component axis first."""
        return state if state.ndim == self.scheme.domain.dimension + 1 else state.movedim(0, 1)

    def _unbatched(self, state: Array) -> Array:
        return state if state.ndim == self.scheme.domain.dimension + 1 else state.movedim(1, 0)

    def check_memory(self, copies: int, what: str) -> None:
        """Refuse what would not fit into this machine's memory; see `check_memory`."""
        check_memory(self.values, self.scheme.domain.grid, self.dtype, copies, what)


def check_memory(values: Values, grid: Grid, dtype: np.dtype[Any], copies: int, what: str) -> None:
    """Refuse what would not fit into this machine's memory.

    Raises:
        GridError: `copies` states need more bytes than there are.
    """
    size = len(values.components) * math.prod(grid.points) * dtype.itemsize
    needed = copies * size
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > available:
        raise GridError(
            f"{what} must fit into this machine's {available:,} bytes of memory; got {copies} "
            f"states of {size:,} bytes each, {needed:,} bytes; use fewer points, float32, or save= "
            "to keep frames on disk"
        )


def _finite(dt: float | None, interval: float = 1.0) -> float:
    """Return dt, or the interval where nothing bounds the step."""
    return interval if dt is None or math.isinf(dt) else dt


def _silent() -> np.errstate:
    """Keep NumPy's floating-point warnings, which say less than `BlowUpError`, from the user."""
    return np.errstate(over="ignore", invalid="ignore", divide="ignore")
