"""A fit that should be doubted says so."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import sympy as sp

import pdenet as pn

TRUTH, NOISE = 0.05, 0.02
HEAT = pn.catalogue.build("heat", dimension=1)
RING = pn.Boundary(x=pn.Periodic())
GRID = pn.Grid(x=(0, 1, 32))


def frames() -> pn.Result:
    solver = HEAT.to_solver(GRID, RING, values={"D": TRUTH}, dt=1e-3, stepper="rk4")
    x = sp.Symbol("x")
    return solver.run(sp.exp(sp.cos(2 * sp.pi * x)), until=0.1, every=0.02)


def network(start: float) -> pn.Network:
    return HEAT.to_network(
        GRID,
        RING,
        values={"D": start},
        dt=1e-3,
        stepper="rk4",
        trainable=["D"],
        dtype="float64",
    )


def noisy(run: pn.Result, size: float = NOISE) -> np.ndarray:
    made = run.states + np.random.default_rng(0).normal(0, size, run.states.shape)
    made[0] = run.states[0]
    return np.asarray(made)


# RK4 is stable up to D = 0.68; beyond it, and below 0, the shortest waves explode.
@pytest.mark.parametrize("start", [0.69, -0.03])
def test_an_unstable_start_ends_where_a_stable_one_does(start: float) -> None:
    run = frames()
    reference = pn.fit(network(0.04), noisy(run), times=run.times)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pn.FitWarning)
        found = pn.fit(network(start), noisy(run), times=run.times)
    if not found.converged:  # it may say that it failed, and must not say otherwise
        assert "grown" in found.stopped or "blows up" in found.stopped
        return
    # The same minimum, to a small part of its standard error of 4e-4.
    assert found.values["D"] == pytest.approx(float(reference.values["D"]), abs=2e-6)


def test_residuals_beyond_the_noise_given_are_warned_of() -> None:
    run = frames()
    with pytest.warns(pn.FitWarning, match="times the noise given"):
        found = pn.fit(network(0.04), noisy(run), times=run.times, noise=NOISE / 4)
    assert any("times the noise given" in note for note in found.notes)


def test_residuals_of_the_noise_given_are_not() -> None:
    run = frames()
    with warnings.catch_warnings():
        warnings.simplefilter("error", pn.FitWarning)
        pn.fit(network(0.04), noisy(run), times=run.times, noise=NOISE)


def test_a_first_frame_that_is_not_used_is_noted() -> None:
    run = frames()
    found = pn.fit(network(0.04), noisy(run), times=run.times)
    assert any("initial states count as exact" in note for note in found.notes)
    later = pn.Trajectory(run.times[1:], noisy(run)[1:], initial=run.states[0], start=0.0)
    found = pn.fit(network(0.04), later)
    assert not any("initial states count as exact" in note for note in found.notes)
