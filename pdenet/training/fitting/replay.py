"""Replay: predictions and their derivatives by few numbers, as the solver's recorded steps.

A step of a network of few nodes takes torch and Python a hundred times as long as its arithmetic.
Where the network is still that of its equation the solver computes the same, to rounding, and its
steps are recorded: see `backends.recording`. Each unknown is one more member of a batch, moved by
i·10⁻⁴⁰: the imaginary part of a prediction is the derivative, to rounding.

Source:
    W. Squire and G. Trapp, SIAM Review 40 (1998), 110–112, the complex step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from pdenet.backends.recording import Call, RecordedArray, RecordingArrays, recorded
from pdenet.discrete.program import Program
from pdenet.discrete.scheme import Scheme
from pdenet.equation.values import Values
from pdenet.errors import PdenetError
from pdenet.training.fitting.rollout import Rollout

_STEP = 1e-40
"""So small that its square is nothing beside any number, and far from where numbers end."""

_REAL = 1e-20  # an imaginary part from here on is no derivative

_SAME = 1e3
"""Times ε of the largest number in a state: what a step's sums make of their order."""

_MOST_NUMBERS = 1 << 13
"""Of the states of all members: beyond, arithmetic takes longer than to say which, and the memory
of all results of a step, some hundred times as much, leaves the processor's cache."""


class Replay:
    """One roll-out's steps, recorded.

    Args:
        rollout: the roll-out.
        scheme: what the network computes.
        values: the values of its parameters now.
        names: the parameters that will be given, by their names.

    Raises:
        Exception: of any kind: the steps cannot be recorded, or not with complex numbers.
    """

    def __init__(
        self, rollout: Rollout, scheme: Scheme, values: Values, names: Sequence[str]
    ) -> None:
        self._rollout = rollout
        self._dt = rollout.model.dt
        lead = tuple(rollout.initial.shape)  # (piece, component, *space)
        tensors = {name: values.tensors[name] for name in names if name in values.tensors}
        shapes = {name: np.shape(tensors.get(name, 0.0)) for name in names}
        self._sizes = [int(np.prod(shape)) for shape in shapes.values()]
        count = sum(self._sizes)
        tape: list[Call] = []

        def made(*shape: int) -> RecordedArray:
            # Numbers that no special case of the arithmetic notices.
            return recorded(np.full(shape, 0.7 + 0.1j), tape)

        ones = (1,) * (len(lead) - 1)  # pieces and space
        self._parameters = {name: made(*shape, count, *ones) for name, shape in shapes.items()}
        self._time = made()
        self._state = made(lead[1], count, lead[0], *lead[2:])
        arrays = RecordingArrays(np.dtype(np.complex128), self._parameters)
        with np.errstate(all="ignore"):
            program = Program(scheme, values, arrays)
            # The first step computes besides what depends on the parameters alone.
            self._first, self._next = (self._recorded(program, tape) for _ in range(2))

    def _recorded(self, program: Program, tape: list[Call]) -> list[Call]:
        tape.clear()
        time: Any = self._time  # an array where the solver has a number
        self._state[...] = program.step(self._state, time, self._dt)
        return tape.copy()

    def __call__(self, theta: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the observations of all frames, and their derivatives; None after a blow-up.

        Args:
            theta: the parameters, by name.

        Returns:
            Float64, shape (frame, piece, field, sensor), and (unknown, …) of these.
        """
        self._give(theta)
        states = []
        state = np.moveaxis(self._rollout.initial.numpy(), 0, 1)[:, None]
        for _, start, steps in self._rollout.intervals():
            state = self._advanced(state, start, steps)
            # log(−1) is no number for the network, and iπ here.
            if not (np.isfinite(state).all() and (np.abs(state.imag) < _REAL).all()):
                return None
            states.append(state)
        seen = np.stack(states)  # (frame, component, unknown, piece, *space)
        return self._observed(seen.real[:, :, :1])[0], self._observed(seen.imag / _STEP)

    def agrees(self, theta: Mapping[str, np.ndarray]) -> bool:
        """Tell whether the network takes the same steps: one at each of some frames."""
        self._give(theta)
        dtype = self._rollout.initial.dtype
        times = list(self._rollout.intervals())
        state, reached = self._rollout.initial, 0
        for frame in sorted({0, 1, len(times) // 2, len(times) - 1} & set(range(len(times)))):
            for _, start, steps in times[reached:frame]:
                moved = self._advanced(np.moveaxis(state.numpy(), 0, 1)[:, None], start, steps)
                state = torch.from_numpy(moved.real[:, 0].swapaxes(0, 1)).to(dtype)
            reached, t = frame, times[frame][1]
            moved = self._advanced(np.moveaxis(state.numpy(), 0, 1)[:, None], t, 1)
            with torch.no_grad():
                wanted = self._rollout.model.advance(state, t, steps=1).numpy()
            least = _SAME * torch.finfo(dtype).eps * np.abs(wanted).max()
            found = moved.real[:, 0].swapaxes(0, 1)
            if not (least < math.inf and np.abs(found - wanted).max() <= least):
                return False
        return True

    def _give(self, theta: Mapping[str, np.ndarray]) -> None:
        done = 0
        for (name, one), size in zip(self._parameters.items(), self._sizes, strict=True):
            flat = one.view(np.ndarray).reshape(size, -1)  # (entry, unknown)
            flat[...] = np.asarray(theta[name]).reshape(-1, 1)
            flat[range(size), range(done, done + size)] += 1j * _STEP
            done += size
        self._calls = self._first

    def _advanced(self, initial: np.ndarray, start: float, steps: int) -> np.ndarray:
        """Return the states (component, unknown, piece, *space) some steps later."""
        state, time = self._state.view(np.ndarray), self._time.view(np.ndarray)
        state[...] = initial
        with np.errstate(all="ignore"):
            for k in range(steps):
                time[...] = start + k * self._dt
                for function, arguments in self._calls:
                    function(*arguments)
                self._calls = self._next
        return state.copy()

    def _observed(self, states: np.ndarray) -> np.ndarray:
        """Return what sensors see of (frame, component, k, …), shape (k, frame, …)."""
        moved = np.ascontiguousarray(np.moveaxis(states, 2, 0).swapaxes(2, 3))
        lead = moved.shape[:3]  # k, frame, piece
        seen = self._rollout.observe(torch.from_numpy(moved).flatten(0, 2))
        return np.asarray(seen.unflatten(0, lead).numpy())


def make_replays(
    rollouts: Sequence[Rollout], theta: Mapping[str, np.ndarray]
) -> list[Replay] | None:
    """Return recordings of all roll-outs; None where they are not what the network does.

    Args:
        rollouts: the roll-outs.
        theta: the parameters that the network has now.
    """
    model, like = rollouts[0].model, rollouts[0].initial
    ask: Callable[[], tuple[Scheme, Values] | None] | None = getattr(model, "discretisation", None)
    count = sum(one.size for one in theta.values())
    most = max(count * rollout.initial.numel() for rollout in rollouts)
    if like.device.type != "cpu" or most > _MOST_NUMBERS:
        return None
    found = ask() if ask is not None else None
    if found is None:
        return None
    scheme, values = found
    is_known = all(
        n in values.tensors or (n in values.numbers and not v.ndim) for n, v in theta.items()
    )
    if scheme.derived or not is_known:
        return None
    try:
        made = [Replay(rollout, scheme, values, list(theta)) for rollout in rollouts]
    except (TypeError, ValueError, IndexError, PdenetError):
        return None  # a function that complex numbers do not have, or arrays do not show
    return made if all(one.agrees(theta) for one in made) else None
