"""Solver: what run, step and advance promise, and the modes of stability while a run goes on."""

from __future__ import annotations

import io
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp
import torch

import pdenet as pn
from pdenet.discrete.stability import Bound, Stability
from pdenet.errors import InitialStateError, StabilityError, StabilityWarning
from pdenet.simulate.times import num_steps, outputs

t, x, y = pn.coordinates("t x y")
u = pn.fields("u", (t, x))
HEAT = pn.catalogue.build("heat", dimension=1)
GRID = pn.Grid(x=(0, 1, 11))
WALLS = pn.Boundary(x=pn.Dirichlet(0))
RING = pn.Boundary(x=pn.Periodic())
BUMP = sp.sin(sp.pi * x)


def heat(**options: Any) -> pn.Solver:
    return HEAT.to_solver(GRID, WALLS, **{"values": {"D": 0.1}, **options})


# Times -------------------------------------------------------------------------------------------


def test_frames_stand_at_multiples_of_every_and_at_the_end() -> None:
    result = heat().run(BUMP, until=0.35, every=0.1)
    np.testing.assert_array_equal(result.times, [0, 0.1, 0.2, 0.1 * 3, 0.35])
    assert result.states.shape == (5, 1, 11)


def test_every_that_divides_the_run_up_to_rounding_adds_no_frame() -> None:
    """0.1 · 3 is above 0.3 in floating point."""
    np.testing.assert_array_equal(heat().run(BUMP, until=0.3, every=0.1).times, [0, 0.1, 0.2, 0.3])


@pytest.mark.parametrize(("until", "every"), [(1.0, 1 / 3), (0.7, 0.1), (2.1, 0.7), (1e-3, 1e-4)])
def test_times_are_exact_products_and_the_end_is_the_one_asked_for(
    until: float, every: float
) -> None:
    times = outputs(0.0, 0.0, every, until)
    assert times[-1] == until
    assert len(times) == round(until / every) + 1
    assert times[:-1] == [k * every for k in range(len(times) - 1)]


def test_there_are_fifty_intervals_by_default() -> None:
    result = heat().run(BUMP, until=5)
    assert len(result.times) == 51
    np.testing.assert_allclose(np.diff(result.times), 0.1, rtol=1e-12)


def test_a_short_run_has_a_frame_each_step_by_default() -> None:
    solver = heat(dt=0.01)
    result = solver.run(BUMP, until=0.035)
    np.testing.assert_allclose(np.diff(result.times), 0.035 / 4, rtol=1e-12)


def test_a_run_that_ends_where_it_starts_has_one_frame() -> None:
    result = heat().run(BUMP, until=0.0)
    assert result.states.shape == (1, 1, 11)


def test_a_run_may_start_at_another_time() -> None:
    pde = pn.PDE(sp.Eq(u.diff(t), t))
    solver = pde.to_solver(GRID, RING, stepper="heun", dt=0.1)
    result = solver.run(0, until=3, every=0.5, start=2)
    np.testing.assert_allclose(result.times, [2, 2.5, 3])
    # Heun integrates a source that is linear in t exactly: (9 − 4)/2.
    np.testing.assert_allclose(result.final, 2.5, rtol=1e-14)


def test_steps_are_equal_and_land_on_every_output(monkeypatch: pytest.MonkeyPatch) -> None:
    solver = heat(dt=0.03)
    steps: list[tuple[float, float]] = []
    step = solver.integrator.program.step

    def watched(state: Any, at: float, dt: float) -> Any:
        steps.append((at, dt))
        return step(state, at, dt)

    monkeypatch.setattr(solver.integrator.program, "step", watched)
    solver.run(BUMP, until=0.3, every=0.1)
    # Four steps of 0.025 reach 0.1; all twelve are bitwise the same length.
    assert {dt for _, dt in steps} == {0.1 / 4}
    np.testing.assert_allclose([at for at, _ in steps], 0.025 * np.arange(12), atol=1e-15)


def test_dt_that_divides_the_interval_up_to_rounding_is_not_shortened() -> None:
    assert num_steps(0.3, 0.1) == 3
    assert num_steps(0.3, 0.1 * (1 - 1e-6)) == 4
    assert num_steps(1e-9, 0.1) == 1


# Results do not depend on how they are asked for -------------------------------------------------


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_advance_is_a_run_without_frames(backend: str) -> None:
    solver = heat(backend=backend)
    start = solver.initial_state(BUMP)
    state = solver.integrator.arrays.asarray(start)
    final = solver.run(BUMP, until=0.2, every=0.2).final
    np.testing.assert_array_equal(np.asarray(solver.advance(state, 0.2)), final)


def test_advance_is_repeated_steps() -> None:
    solver = heat(dt=0.02)
    state = solver.initial_state(BUMP)
    stepped = state
    for k in range(5):
        stepped = solver.step(stepped, k * 0.02)
    # 0.1/5 and 0.02 differ in the last bit at most.
    np.testing.assert_allclose(solver.advance(state, 0.1), stepped, rtol=1e-14)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_nothing_writes_into_the_state_that_was_given(backend: str) -> None:
    """Dirichlet(1) sets the ends, in a copy."""
    solver = HEAT.to_solver(GRID, pn.Boundary(x=pn.Dirichlet(1)), backend=backend)
    given = np.linspace(0, 5, 11)[None]
    state = torch.from_numpy(given.copy()) if backend == "torch" else given.copy()
    solver.step(state)
    solver.advance(state, 0.1)
    solver.run(np.asarray(state), until=0.1)
    np.testing.assert_array_equal(np.asarray(state), given)


def test_dirichlet_nodes_hold_their_value_from_the_first_frame_on() -> None:
    walls = pn.Boundary(x=(pn.Dirichlet(3), pn.Dirichlet(sp.cos(t))))
    result = HEAT.to_solver(GRID, walls).run(0, until=1, every=0.25)
    np.testing.assert_array_equal(result.states[:, 0, 0], 3)
    np.testing.assert_allclose(result.states[:, 0, -1], np.cos(result.times), rtol=1e-15)


def test_save_streams_the_frames_that_a_run_returns(tmp_path: Path) -> None:
    plain = heat().run(BUMP, until=0.2, every=0.05)
    for name in ("a.zarr", "a.nc"):
        saved = heat().run(BUMP, until=0.2, every=0.05, save=tmp_path / name)
        again = pn.Result.open(tmp_path / name)
        for one in (saved, again):
            np.testing.assert_array_equal(one.times, plain.times)
            np.testing.assert_array_equal(one.states, plain.states)


def test_the_result_says_what_it_is_of() -> None:
    result = heat().run(BUMP, until=0.2, every=0.05)
    attributes = result.attributes
    assert attributes["stepper"] == "euler"
    assert attributes["equation"] == "u_t = D u_xx"
    assert attributes["until"] == 0.2
    assert result.components == ("u",)
    np.testing.assert_array_equal(result.nodes[0], np.arange(11) / 10)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_float32_stays_float32(backend: str) -> None:
    result = heat(dtype="float32", backend=backend).run(BUMP, until=0.2)
    assert result.states.dtype == np.float32
    exact = heat().run(BUMP, until=0.2).final
    # A hundred steps of eps = 6e-8 on values up to 1.
    np.testing.assert_allclose(result.final, exact, rtol=0, atol=1e-5)


# Initial states ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "initial",
    [
        x * 2,
        [x * 2],
        {"u": x * 2},
        {u: x * 2},
        np.linspace(0, 2, 11),
        np.linspace(0, 2, 11)[None],
        np.linspace(0, 2, 11).astype(np.float32),
        {"u": np.linspace(0, 2, 11)},
    ],
    ids=["expression", "sequence", "name", "field", "image", "array", "float32", "mapped array"],
)
def test_initial_states_come_in_many_forms(initial: Any) -> None:
    solver = HEAT.to_solver(GRID, pn.Boundary(x=pn.Neumann(0)))
    state = solver.initial_state(initial)
    assert state.dtype == np.float64
    np.testing.assert_allclose(state, np.linspace(0, 2, 11)[None], atol=1e-7)


def test_waves_start_at_rest_unless_told() -> None:
    solver = pn.catalogue.build("wave", dimension=1).to_solver(GRID, RING)
    assert solver.components == ("u", "u_t")
    np.testing.assert_array_equal(solver.initial_state(x)[1], 0)
    np.testing.assert_array_equal(solver.initial_state([x, 3])[1], 3)
    np.testing.assert_array_equal(solver.initial_state({"u": x, "u_t": 3})[1], 3)


def test_an_initial_expression_may_hold_the_equations_parameters() -> None:
    solver = HEAT.to_solver(GRID, RING, values={"D": 0.25})
    np.testing.assert_allclose(solver.initial_state(sp.Symbol("D") * 4), 1)


def test_integers_and_images_become_the_solvers_dtype() -> None:
    solver = heat()
    assert solver.initial_state(np.arange(11)).dtype == np.float64
    assert solver.initial_state(np.arange(11, dtype=np.uint8)).dtype == np.float64


# Progress ----------------------------------------------------------------------------------------


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pipe_sees_no_progress_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = io.StringIO()
    monkeypatch.setattr(sys, "stderr", silent)
    heat().run(BUMP, until=0.2)
    assert silent.getvalue() == ""


def test_a_terminal_sees_a_progress_bar_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = _Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    heat().run(BUMP, until=0.2)
    assert "100%" in screen.getvalue()
    silent = _Terminal()
    monkeypatch.setattr(sys, "stderr", silent)
    heat().run(BUMP, until=0.2, progress=False)
    assert silent.getvalue() == ""


# Stability while a run goes on -------------------------------------------------------------------

# u grows from 1 by a source, and the advection u u_x with it: the bound falls while time passes.
_GROWING = pn.PDE(sp.Eq(u.diff(t), -u * u.diff(x) + u.diff(x, 2) / 20 + 2))
_ONE = 1 + sp.sin(2 * sp.pi * x) / 100
_FINE = pn.Grid(x=(0, 1, 20))


def _growing(mode: str, dt: float | str = 0.02, **options: Any) -> pn.Solver:
    return _GROWING.to_solver(
        _FINE, RING, stepper="rk4", space="central2", dt=dt, stability=mode, **options
    )


def test_a_fixed_dt_is_refused_in_the_step_where_it_passes_the_bound() -> None:
    solver = _growing("refuse")
    with pytest.raises(StabilityError) as caught:
        solver.run(_ONE, until=8, every=0.5)
    # Find the step with the same bound, one step at a time.
    state, step = solver.initial_state(_ONE), 0
    while solver.bound(state, step * 0.02).dt >= 0.02:
        state, step = solver.step(state, step * 0.02), step + 1
    assert step > 5  # not at the start
    with pytest.raises(StabilityError) as direct:
        solver.step(state, step * 0.02)
    assert str(caught.value) == str(direct.value)
    assert "0.02" in str(caught.value)


def test_the_run_is_refused_before_the_first_step_where_the_first_state_is_too_large() -> None:
    with pytest.raises(StabilityError, match=r"0\.02"):
        _growing("refuse").run(100 * _ONE, until=8)


def test_warn_warns_once_and_goes_on() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = _growing("warn").run(_ONE, until=3.0, every=0.5)
    assert [w.category for w in caught] == [StabilityWarning]
    assert len(result.times) == 7


def test_ignore_says_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = _growing("ignore").run(_ONE, until=3.0, every=0.5)
    assert np.all(np.isfinite(result.states))


def test_automatic_steps_follow_the_bound_and_land_on_the_outputs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    solver = _growing("refuse", "auto")
    assert solver.dt is None
    steps: list[tuple[float, float, float]] = []
    step = solver.integrator.program.step

    def watched(state: Any, at: float, dt: float) -> Any:
        steps.append((at, dt, solver.bound(state, at).dt))
        return step(state, at, dt)

    monkeypatch.setattr(solver.integrator.program, "step", watched)
    result = solver.run(_ONE, until=3.0, every=0.75)
    # 0.9 is the safety factor; a step may be shorter to land on an output.
    assert all(dt <= 0.9 * bound * (1 + 1e-12) for _, dt, bound in steps)
    # Late steps are shorter than early ones: u has grown from 1 to 7.
    assert steps[-1][1] < 0.7 * steps[0][1]
    ends = np.array([at + dt for at, dt, _ in steps])
    for time in result.times[1:]:
        assert np.abs(ends - time).min() < 1e-12


def test_a_bound_that_falls_in_time_is_found_anew_at_each_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """u_t = (1 + t) u_xx: dt ≤ h²/(2 (1 + t)), with the bound taken where the step begins."""
    pde = pn.PDE(sp.Eq(u.diff(t), (1 + t) * u.diff(x, 2) / 100))
    solver = pde.to_solver(_FINE, RING, stepper="euler")
    steps: list[tuple[float, float]] = []
    step = solver.integrator.program.step

    def watched(state: Any, at: float, dt: float) -> Any:
        steps.append((at, dt))
        return step(state, at, dt)

    monkeypatch.setattr(solver.integrator.program, "step", watched)
    solver.run(_ONE, until=2.0, every=1.0)
    longest = [0.9 * 100 / 20**2 / (2 * (1 + at)) for at, _ in steps]
    assert len(steps) > 20
    assert all(dt <= most * (1 + 1e-6) for (_, dt), most in zip(steps, longest, strict=True))
    # Shortened at most by the equal division of what is left to the next output.
    assert all(dt > 0.75 * most for (_, dt), most in zip(steps[:5], longest, strict=False))
    fixed = pde.to_solver(_FINE, RING, stepper="euler", dt=0.06)
    with pytest.raises(StabilityError, match=r"0\.06 is above"):
        fixed.run(_ONE, until=2.0)  # fine until (1 + t) · 0.06 · 2 > h² · 100
    assert fixed.run(_ONE, until=1.0).times[-1] == 1.0


def test_the_mean_grows_as_its_source_says() -> None:
    """Independent of the steps: u u_x and u_xx have no mean on a ring, so the mean is 1 + 2 t."""
    result = _growing("refuse", "auto").run(_ONE, until=3.0, every=1.0)
    np.testing.assert_allclose(result.states.mean(axis=(1, 2)), 1 + 2 * result.times, rtol=1e-3)


# step --------------------------------------------------------------------------------------------


def test_step_keeps_dt_where_it_is_constant() -> None:
    solver = heat(dt=0.01)
    assert solver.dt == 0.01
    state = solver.initial_state(BUMP)
    h = 0.1
    interior = state[0, 1:-1] + 0.01 * 0.1 * np.diff(state[0], 2) / h**2
    np.testing.assert_allclose(solver.step(state)[0, 1:-1], interior, rtol=1e-14)


def test_the_automatic_dt_is_nine_tenths_of_the_bound() -> None:
    solver = heat()
    assert solver.dt == pytest.approx(0.9 * solver.bound().dt)
    # h²/(2D) times what the two walls take off the shortest wave: below 4 by sin²(9π/20).
    assert solver.bound().dt == pytest.approx(0.1**2 / (2 * 0.1), rel=0.05)


def test_a_state_of_a_batch_is_refused_by_numpy() -> None:
    with pytest.raises(InitialStateError, match="shape"):
        heat().step(np.zeros((2, 1, 11)))


def test_repr_tells_the_choices() -> None:
    text = repr(heat())
    for part in ("heat", "Grid(x=(0, 1, 11))", "Dirichlet", "euler", "central2", "numpy float64"):
        assert part in text


def test_a_solver_is_analysed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Choosing the stepper and settling dt ask the same analysis, which is the costliest part."""
    analysed: list[float] = []
    frozen = Stability._frozen

    def counted(self: Stability, t: float) -> Bound:
        analysed.append(t)
        return frozen(self, t)

    monkeypatch.setattr(Stability, "_frozen", counted)
    grid, walls = pn.Grid(x=(0, 1, 17)), pn.Boundary(x=pn.Dirichlet(0))
    pn.catalogue.build("heat", dimension=1).to_solver(grid, walls, values={"D": 1})
    assert analysed == [0.0]
