"""A network knows its stable time step, also after its weights have changed."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
import torch

import pdenet as pn
from pdenet.errors import NetworkError, StabilityError

GRID = pn.Grid(x=(0, 1, 16), y=(0, 1, 16))
RING = pn.Boundary(x=pn.Periodic(), y=pn.Periodic())


@pytest.mark.parametrize("name", ["heat", "wave", "advection", "rotation", "acoustics"])
def test_the_bound_is_that_of_the_solver(name: str) -> None:
    pde = pn.catalogue[name]
    grid = pn.Grid(**dict.fromkeys(pde.axes, (0.1, 1, 16)))
    ring = pn.Boundary(**{axis: pn.Periodic() for axis in pde.axes})
    solver = pde.to_solver(grid, ring)
    net = pde.to_network(grid, ring, dtype="float64")
    # Bounds are found to 1e-6.
    assert net.bound().dt == pytest.approx(solver.bound().dt, rel=2e-6)


def test_the_bound_follows_the_weights() -> None:
    net = pn.catalogue["heat"].to_network(
        GRID, RING, values={"D": 0.1}, trainable=["D"], dtype="float64"
    )
    before = net.bound().dt
    with torch.no_grad():
        net.quantities()["D"].mul_(4)
    # h²/(4 D), found to 1e-6.
    assert net.bound().dt == pytest.approx(before / 4, rel=2e-6)


def test_a_bound_that_depends_on_the_state_needs_it() -> None:
    pde = pn.catalogue["burgers_2d"]
    net = pde.to_network(GRID, RING, dt=1e-3, dtype="float64", stepper="rk4")
    with pytest.raises(StabilityError, match=r"give bound\(state\)"):
        net.bound()
    state = np.random.default_rng(0).random((2, 16, 16))
    solver = pde.to_solver(GRID, RING, stepper="rk4", dt=1e-3, stability="ignore")
    assert net.bound(state).dt == pytest.approx(solver.bound(state).dt, rel=2e-6)


def test_kernels_of_no_scheme_have_no_known_bound() -> None:
    net = pn.catalogue["heat"].to_network(
        GRID, RING, values={"D": 0.1}, trainable=["stencils"], space="central6", dtype="float64"
    )
    with torch.no_grad():
        net.quantities()["stencils.xx"][1, 0] += 0.1
    with pytest.raises(NetworkError, match="kernels that are none"):
        net.bound()


def test_a_fit_that_ends_beyond_the_stable_step_says_so() -> None:
    heat = pn.catalogue["heat"]
    # A long wave: the short ones, which grow, begin as rounding and stay small for a few steps.
    wave = sp.cos(2 * sp.pi * sp.Symbol("x"))
    frames = heat.to_solver(GRID, RING, values={"D": 0.05}, dt=1e-3).run(
        wave, until=0.05, every=0.025
    )
    # Euler is stable up to D = h²/(4 dt) = 0.039, below the truth.
    net = heat.to_network(
        GRID,
        RING,
        values={"D": 0.03},
        dt=0.025,
        trainable=["D"],
        dtype="float64",
        stepper="euler",
    )
    with pytest.warns(pn.FitWarning, match="above the stable limit"):
        found = pn.fit(net, frames)
    assert any("above the stable limit" in note for note in found.notes)


def test_standard_errors_can_be_left_out() -> None:
    heat = pn.catalogue["heat"]
    frames = heat.to_solver(GRID, RING, values={"D": 0.05}, dt=1e-3).run(
        np.random.default_rng(0).random((1, 16, 16)), until=0.02, every=0.01
    )
    net = heat.to_network(GRID, RING, values={"D": 0.03}, dt=1e-3, trainable=["D"], dtype="float64")
    found = pn.fit(net, frames, errors=False)
    assert found.covariance is None
    assert np.isnan(found.errors["D"])
    # The frames come from the same scheme: nothing but the search's tolerance is left.
    assert found.values["D"] == pytest.approx(0.05, rel=1e-5)
