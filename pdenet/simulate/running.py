"""Running: from output to output, frames to memory or to disk, and going on where a run stopped."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any  # an initial state is whatever a user gives

import numpy as np
import sympy as sp
from tqdm import tqdm

from pdenet.equation.values import as_numpy
from pdenet.errors import InitialStateError, ResultError, TimeError
from pdenet.simulate.frames import FrameWriter
from pdenet.simulate.integrator import Integrator
from pdenet.simulate.result import Result
from pdenet.simulate.times import check_time, num_steps, outputs
from pdenet.version import release

if TYPE_CHECKING:
    from pdenet.discrete.arrays import Array
    from pdenet.simulate.layout import Attribute

FRAMES = 50
"""How many intervals a run has when `every` is left out."""


@dataclass(frozen=True)
class Origin:
    """What a run is of, as texts for its result.

    Attributes:
        equation: the equation.
        name: its short name.
        grid: the grid.
        boundary: the boundary conditions.
    """

    equation: str
    name: str
    grid: str
    boundary: str


def run(
    solver: Integrator,
    origin: Origin,
    initial: Any,
    until: float,
    every: float | None,
    start: float,
    save: str | os.PathLike[str] | None,
    overwrite: bool,
    progress: bool | None,
) -> Result:
    """Simulate; see `pdenet.Solver.run`."""
    if isinstance(initial, Result):
        _check_same(solver, initial.attributes, "the result")
        begin = _number(initial.attributes["start"])
        every = _number(initial.attributes["every"]) if every is None else every
        first = float(initial.times[-1])
        state = initial.final
    else:
        begin = first = check_time("start", start)
        state = solver.initial_state(initial, first)
    until = check_time("until", until)
    if until < first:
        raise TimeError(f"until is not before start = {first:g}; got until = {until:g}; swap them")
    every = _every(solver, state, every, until - first, first)
    times = outputs(begin, first, every, until)
    if save is None:
        solver.check_memory(len(times) + 4, f"{len(times)} frames")
    attributes = _attributes(solver, origin, begin, every, until)
    domain = solver.scheme.domain
    nodes = tuple(domain.nodes(axis) for axis in range(domain.dimension))
    layout = (solver.components, domain.axes, nodes)
    if save is None:
        frames = np.empty((len(times), *state.shape), dtype=solver.dtype)
        for k, (_, frame) in enumerate(_frames(solver, origin.name, state, times, every, progress)):
            frames[k] = frame
        return Result(np.array(times), frames, *layout, attributes)
    with FrameWriter(save, *layout, solver.dtype, attributes, overwrite=overwrite) as writer:
        for time, frame in _frames(solver, origin.name, state, times, every, progress):
            writer.append(time, frame)
    return Result.open(save)


def resume(
    solver: Integrator,
    name: str,
    path: str | os.PathLike[str],
    until: float | None,
    progress: bool | None,
) -> Result:
    """Continue a saved run; see `pdenet.Solver.resume`."""
    with FrameWriter.resume(path) as writer:
        attributes = writer.layout.attributes
        _check_same(solver, attributes, f"the run at {os.fspath(path)!r}")
        origin, every = _number(attributes["start"]), _number(attributes["every"])
        end = _number(attributes["until"]) if until is None else check_time("until", until)
        first = writer.last_time
        if end < first:
            raise TimeError(
                f"until is not before the last frame at t = {first:g}; got {end:g}; raise it"
            )
        writer.update_attributes({"until": end})
        times = outputs(origin, first, every, end)
        frames = _frames(solver, name, writer.last_state, times, every, progress)
        next(frames)  # the first is on the disk already
        for time, frame in frames:
            writer.append(time, frame)
    return Result.open(path)


def _frames(
    solver: Integrator,
    name: str,
    state: np.ndarray,
    times: list[float],
    every: float,
    progress: bool | None,
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield the time and the state of each output, the first included."""
    _check_dtype(solver, state)
    program = solver.program
    program.prepare()
    moved: Array = solver.arrays.asarray(state)
    step = 0
    with _bar(solver, name, times[-1] - times[0], progress) as bar, _without_gradients(solver):
        yield times[0], np.array(as_numpy(moved))
        for before, after in itertools.pairwise(times):
            # Full intervals have one length, whatever the rounding of their ends.
            full = math.isclose(after - before, every, rel_tol=1e-9)
            interval = every if full else after - before
            moved, step = solver.stretch(moved, before, after, interval, step, bar)
            yield after, np.array(as_numpy(moved))


def _bar(solver: Integrator, name: str, total: float, progress: bool | None) -> tqdm[Any]:
    scheme = solver.scheme
    return tqdm(
        total=total,
        disable=None if progress is None else not progress,
        desc=f"{name or 'run'} ({scheme.stepper.name}, {scheme.space})",
        bar_format="{desc} {percentage:3.0f}%|{bar}| t = {n:.4g}/{total:.4g} "
        "[{elapsed}<{remaining}]",
    )


@contextlib.contextmanager
def _without_gradients(solver: Integrator) -> Iterator[None]:
    if not solver.is_torch:
        yield
        return
    import torch

    with torch.no_grad():
        yield


def _check_dtype(solver: Integrator, state: np.ndarray) -> None:
    if state.dtype != solver.dtype:
        raise InitialStateError(
            f"a state of dtype {solver.dtype} was expected; got {state.dtype}; build the solver "
            f'with dtype="{state.dtype}" to go on with it'
        )


def _number(value: Attribute) -> float:
    return float(value)


def _every(
    solver: Integrator, state: np.ndarray, every: object, length: float, first: float
) -> float:
    """Return the time between outputs: the one given, or the default."""
    if every is not None:
        made = check_time("every", every)
        if made <= 0:
            raise TimeError(f"every is a positive time; got {every!r}; leave it out for {FRAMES}")
        return made
    if length == 0:
        return 1.0
    if solver.dt_given is None:
        return length / FRAMES
    return length / min(FRAMES, num_steps(length, min(solver.dt_given, length)))


def _attributes(
    solver: Integrator, origin: Origin, start: float, every: float, until: float
) -> dict[str, Attribute]:
    return {
        "equation": origin.equation,
        "name": origin.name,
        "grid": origin.grid,
        "boundary": origin.boundary,
        "stepper": solver.scheme.stepper.name,
        "space": solver.scheme.space,
        "backend": "torch" if solver.is_torch else "numpy",
        "dt": _dt(solver.dt),
        "start": start,
        "every": every,
        "until": until,
        "parameters": _parameters(solver),
        "fingerprint": fingerprint(solver),
        "pdenet_version": release(),
    }


def _dt(dt: float | None) -> str | float:
    if dt is None:
        return "adaptive"
    return "unbounded" if math.isinf(dt) else float(dt)


def _parameters(solver: Integrator) -> str:
    made = {}
    for name, value in {**solver.values.numbers, **solver.values.tensors}.items():
        array = as_numpy(value)
        made[name] = float(array) if array.ndim == 0 else f"array{array.shape}"
    return json.dumps({**made, **solver.values.sizes}, sort_keys=True)


def fingerprint(solver: Integrator) -> str:
    """Return a short hash of all that decides a step, so that a run goes on only as itself."""
    parts: list[object] = [
        solver.values.system.equations,
        repr(solver.scheme.domain.grid),
        solver.scheme.stepper,
        solver.scheme.space,
        solver.dtype,
        "torch" if solver.is_torch else "numpy",  # equal to rounding, not bit for bit
        solver.dt_given,
        sorted(solver.values.sizes.items()),
    ]
    for name, value in sorted({**solver.values.numbers, **solver.values.tensors}.items()):
        parts += [name, _bytes(as_numpy(value))]
    for name, pairs in sorted(solver.scheme.conditions.items()):
        for axis, pair in enumerate(pairs):
            for end, condition in enumerate(pair):
                value = solver.values.walls.get((name, axis, end), 0.0)
                shown = str(value) if isinstance(value, sp.Expr) else _bytes(as_numpy(value))
                a, b = getattr(condition, "a", 0.0), getattr(condition, "b", 0.0)
                parts += [name, type(condition).__name__, a, b, shown]
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:16]


def _bytes(array: np.ndarray) -> str:
    if array.dtype == object:
        return str(array.tolist())
    return hashlib.sha256(np.ascontiguousarray(array, dtype=np.float64).tobytes()).hexdigest()


def _check_same(solver: Integrator, attributes: Mapping[str, Attribute], what: str) -> None:
    found = attributes.get("fingerprint")
    if found != fingerprint(solver):
        raise ResultError(
            f"{what} was expected to come from this solver; got a run of "
            f"{attributes.get('equation', 'an unknown equation')!r} on "
            f"{attributes.get('grid', 'an unknown grid')} with {attributes.get('stepper')}, "
            f"{attributes.get('space')}, parameters {attributes.get('parameters')}; build the "
            "solver with the same equation, grid, boundary, values and scheme, or start a new run "
            "from its last state, run(result.final, …)"
        )
