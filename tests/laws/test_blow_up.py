"""A run that stops tells where and when, and goes on from the disk as if it had not stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp

import pdenet as pn
from pdenet.errors import BlowUpError, PdenetError, ResultError, TimeError
from pdenet.simulate.result import Result
from tests.cover import crossed

t, x, y = pn.coordinates("t x y")
u, v = pn.fields("u v", (t, x))
w = pn.fields("w", (t, x, y))
WALL = pn.Boundary(x=pn.Periodic())
BACKENDS = ("numpy", "torch")


# Found in the step where it happens --------------------------------------------------------------


def _poisoned(after: float, place: float) -> Any:
    """A source of 1 that is exp(800), above all numbers, from time `after` on at one node."""
    bump = sp.exp(-((x - place) ** 2) * 100000)
    return sp.exp(800 * sp.Piecewise((0, t < after), (1, True)) * bump)


@pytest.mark.parametrize(
    ("every", "step", "backend"),
    crossed([0.05, 0.5], [2, 7, 40, 50], BACKENDS),  # five steps a frame, or fifty
)
def test_blow_up_names_the_step_the_time_the_field_and_the_cell(
    every: float, step: int, backend: str
) -> None:
    """Euler's step n reads the source at (n − 1) dt: put it halfway before, and step n blows up.

    Within fifty steps the state is looked at several times, and the last stretch taken again.
    """
    dt, place = 0.01, 0.25
    source = _poisoned((step - 1.5) * dt, place)
    pde = pn.PDE(sp.Eq(u.diff(t), 0.1 * u.diff(x, 2)), sp.Eq(v.diff(t), source))
    grid = pn.Grid(x=(0, 1, 8))
    options = {"stepper": "euler", "space": "central2", "dt": dt, "stability": "ignore"}
    solver = pde.to_solver(grid, WALL, backend=backend, **options)
    with pytest.raises(BlowUpError) as caught:
        solver.run([sp.sin(2 * sp.pi * x), 1], until=0.5, every=every)
    error = caught.value
    assert isinstance(error, RuntimeError)
    assert isinstance(error, PdenetError)
    assert (error.step, error.field, error.cell) == (step, "v", (2,))
    assert error.time == pytest.approx(step * dt)
    for part in (f"step {step}", "'v'", "(2,)", "x = 0.25", f"t = {step * dt:g}", "smaller dt"):
        assert part in str(error)
    # The last good state is the run's own, one step before.
    assert isinstance(error.last_good, np.ndarray)
    assert np.all(np.isfinite(error.last_good))
    start = solver.integrator.arrays.asarray(solver.initial_state([sp.sin(2 * sp.pi * x), 1]))
    expected = np.asarray(solver.advance(start, (step - 1) * dt))
    np.testing.assert_allclose(error.last_good, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_first_step_can_be_the_one_that_blows_up(backend: str) -> None:
    pde = pn.PDE(sp.Eq(u.diff(t), sp.exp(u)))
    solver = pde.to_solver(
        pn.Grid(x=(0, 1, 8)), WALL, stepper="euler", dt=0.1, stability="ignore", backend=backend
    )
    start = np.zeros((1, 8))
    start[0, 5] = 1000
    with pytest.raises(BlowUpError) as caught:
        solver.run(start, until=1)
    assert (caught.value.step, caught.value.cell) == (1, (5,))
    np.testing.assert_array_equal(caught.value.last_good, start)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_unstable_step_that_was_asked_for_blows_up_and_says_so(backend: str) -> None:
    """u grows by |1 − 4 D dt/h²| = 63 a step at the shortest wave: e^709 after some 171 steps."""
    heat = pn.catalogue.build("heat", dimension=1)
    grid = pn.Grid(x=(0, 1, 8))
    solver = heat.to_solver(
        grid, WALL, values={"D": 1}, stepper="euler", dt=0.25, stability="ignore", backend=backend
    )
    shortest = (np.arange(8) % 2 * 2.0 - 1)[None]
    factor = abs(1 - 4 * 64 * 0.25)
    expected = int(np.ceil(np.log(np.finfo(float).max) / np.log(factor)))
    with pytest.raises(BlowUpError) as caught:
        solver.run(shortest, until=100, every=10)
    # Inside a step a neighbour sum of 4u/h² overflows before u does: at most one step earlier.
    assert expected - 2 <= caught.value.step <= expected


def test_the_cell_is_in_array_order_and_the_place_in_coordinates() -> None:
    pde = pn.PDE(sp.Eq(w.diff(t), sp.exp(w)))
    grid, boundary = (
        pn.Grid(x=(0, 1, 4), y=(0, 1, 8)),
        pn.Boundary(x=pn.Periodic(), y=pn.Periodic()),
    )
    start = sp.Piecewise((1000, (x > 0.4) & (x < 0.6) & (y > 0.7)), (0, True))
    solver = pde.to_solver(grid, boundary, stepper="euler", dt=0.1, stability="ignore")
    with pytest.raises(BlowUpError) as caught:
        solver.run(start, until=1)
    assert caught.value.cell == (6, 2)
    assert "x = 0.5, y = 0.75" in str(caught.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_advance_names_the_first_bad_entry_of_a_batch(bad: float) -> None:
    import torch

    heat = pn.catalogue.build("heat", dimension=1)
    solver = heat.to_solver(pn.Grid(x=(0, 1, 8)), WALL, dt=1e-3, backend="torch")
    batch = torch.zeros(3, 1, 8, dtype=torch.float64)
    batch[1, 0, 5] = bad
    with pytest.raises(BlowUpError) as caught:
        solver.advance(batch, 0.01)
    assert caught.value.step == 1
    assert caught.value.cell[0] in (4, 5, 6)  # the stencil has spread it
    assert caught.value.last_good.shape == (3, 1, 8)


def test_frames_before_a_blow_up_are_on_the_disk(tmp_path: Path) -> None:
    pde = pn.PDE(sp.Eq(u.diff(t), _poisoned(0.245, 0.5)))
    solver = pde.to_solver(pn.Grid(x=(0, 1, 8)), WALL, stepper="euler", dt=0.01, stability="ignore")
    with pytest.raises(BlowUpError) as caught:
        solver.run(1, until=1, every=0.1, save=tmp_path / "run.zarr")
    assert caught.value.step == 26
    left = Result.open(tmp_path / "run.zarr")
    np.testing.assert_allclose(left.times, [0, 0.1, 0.2], rtol=0, atol=1e-15)
    # Until then the source is 1.
    np.testing.assert_allclose(left.states, 1 + left.times[:, None, None] + np.zeros((3, 1, 8)))


def test_a_sum_that_overflows_alone_is_no_blow_up() -> None:
    """Eight values of 1e308 have an infinite sum, and are all finite."""
    heat = pn.catalogue.build("heat", dimension=1)
    grid = pn.Grid(x=(0, 8, 8))
    solver = heat.to_solver(grid, WALL, values={"D": 1e-3}, stepper="euler", dt=0.1)
    with np.errstate(over="ignore"):
        result = solver.run(np.full((1, 8), 8e307), until=0.5)
    np.testing.assert_allclose(result.final, 8e307)


# Resumed bit for bit -----------------------------------------------------------------------------

_ADAPTIVE = pn.catalogue["burgers_1d"]  # its bound depends on the state
_FIXED = pn.catalogue.build("heat", dimension=1)
_GRID = pn.Grid(x=(0, 1, 24))
_START = sp.sin(2 * sp.pi * x) + sp.cos(6 * sp.pi * x) / 3
_RUN: dict[str, Any] = {"until": 0.2, "every": 0.03}  # the last interval is shorter


def _solver(kind: str, backend: str) -> pn.Solver:
    if kind == "adaptive":
        return _ADAPTIVE.to_solver(_GRID, WALL, values={"nu": 0.02}, backend=backend)
    if kind == "in time":
        pde = pn.PDE(sp.Eq(u.diff(t), u.diff(x, 2) / 50 + sp.sin(9 * t) * x))
        return pde.to_solver(_GRID, pn.Boundary(x=pn.Dirichlet(sp.cos(t))), backend=backend)
    return _FIXED.to_solver(_GRID, WALL, backend=backend)


class _Interrupt(Exception):
    pass


@pytest.mark.parametrize(
    ("frames", "kind", "backend"), crossed([1, 2, 5], ["constant", "in time", "adaptive"], BACKENDS)
)
def test_an_interrupted_run_goes_on_bit_for_bit(
    frames: int, kind: str, backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pdenet.simulate.frames import FrameWriter

    whole = _solver(kind, backend).run(_START, **_RUN, save=tmp_path / "whole.zarr")
    append, written = FrameWriter.append, [0]

    def interrupted(self: FrameWriter, *arguments: Any) -> None:
        if written[0] == frames:
            raise _Interrupt
        written[0] += 1
        append(self, *arguments)

    path = tmp_path / "part.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(FrameWriter, "append", interrupted)
        with pytest.raises(_Interrupt):
            _solver(kind, backend).run(_START, **_RUN, save=path)
    assert len(Result.open(path).times) == frames
    resumed = _solver(kind, backend).resume(path)
    np.testing.assert_array_equal(resumed.times, whole.times)
    np.testing.assert_array_equal(resumed.states, whole.states)


@pytest.mark.parametrize("kind", ["constant", "adaptive"])
def test_a_run_continued_from_its_result_is_the_longer_run(kind: str) -> None:
    solver = _solver(kind, "numpy")
    whole = solver.run(_START, until=0.18, every=0.03)
    first = solver.run(_START, until=0.09, every=0.03)
    second = _solver(kind, "numpy").run(first, until=0.18)
    np.testing.assert_array_equal(second.times, whole.times[3:])
    np.testing.assert_array_equal(second.states, whole.states[3:])


def test_a_finished_run_is_extended_by_a_later_end(tmp_path: Path) -> None:
    solver = _solver("constant", "numpy")
    whole = solver.run(_START, until=0.18, every=0.03)
    solver.run(_START, until=0.09, every=0.03, save=tmp_path / "a.zarr")
    found = solver.resume(tmp_path / "a.zarr", until=0.18)
    np.testing.assert_array_equal(found.times, whole.times)
    np.testing.assert_array_equal(found.states, whole.states)
    with pytest.raises(TimeError, match=r"0\.18.*0\.1"):
        solver.resume(tmp_path / "a.zarr", until=0.1)


@pytest.mark.parametrize(
    "change", ["values", "grid", "stepper", "dt", "boundary", "dtype", "backend"]
)
def test_a_run_is_resumed_only_by_the_solver_it_came_from(change: str, tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    _FIXED.to_solver(_GRID, WALL).run(_START, **_RUN, save=path)
    options: dict[str, Any] = {}
    grid, wall = _GRID, WALL
    if change == "grid":
        grid = pn.Grid(x=(0, 2, 24))
    elif change == "boundary":
        wall = pn.Boundary(x=pn.Neumann(0))
    else:
        changes: dict[str, Any] = {
            "values": {"D": 0.05}, "stepper": "rk4", "dt": 1e-3, "dtype": "float32",
            "backend": "torch",
        }  # fmt: skip
        options = {change: changes[change]}
    with pytest.raises(ResultError, match="come from this solver"):
        _FIXED.to_solver(grid, wall, **options).resume(path)


_CHILD = """
    import sys
    import sympy as sp
    import pdenet as pn
    from pdenet.simulate.frames import FrameWriter

    x = sp.Symbol("x")
    name, backend, path = sys.argv[1:]
    grid, wall = pn.Grid(x=(0, 1, 24)), pn.Boundary(x=pn.Periodic())
    if name == "adaptive":
        burgers = pn.catalogue["burgers_1d"]
        solver = burgers.to_solver(grid, wall, values={"nu": 0.02}, backend=backend)
    else:
        solver = pn.catalogue.build("heat", dimension=1).to_solver(grid, wall, backend=backend)
    append = FrameWriter.append
    def slowly(self, *arguments):
        append(self, *arguments)
        sys.stdout.write("frame\\n")
        sys.stdout.flush()
        import time
        time.sleep(0.02)
    FrameWriter.append = slowly
    solver.run(sp.sin(2 * sp.pi * x) + sp.cos(6 * sp.pi * x) / 3, until=6, every=0.03, save=path)
"""


@pytest.mark.parametrize(("kind", "backend"), [("constant", "numpy"), ("adaptive", "torch")])
def test_a_killed_run_goes_on_bit_for_bit(kind: str, backend: str, tmp_path: Path) -> None:
    """SIGKILL: no handler runs, no buffer is flushed."""
    path = tmp_path / "killed.zarr"
    root = Path(__file__).parents[2]
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_CHILD), kind, backend, os.fspath(path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=root, text=True,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        for _ in range(4):
            line = child.stdout.readline()
            if line != "frame\n":
                assert child.stderr is not None
                pytest.fail(f"the child ended early: {line}{child.stderr.read()}")
        time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
        child.wait(30)
    finally:
        child.kill()
        child.communicate()
    left = Result.open(path)
    assert 4 <= len(left.times) < 201
    resumed = _solver(kind, backend).resume(path, until=0.45)
    whole = _solver(kind, backend).run(_START, until=0.45, every=0.03)
    np.testing.assert_array_equal(resumed.times, whole.times)
    np.testing.assert_array_equal(resumed.states, whole.states)
