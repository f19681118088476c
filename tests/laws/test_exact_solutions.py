"""Simulations against known solutions: of the scheme to rounding, of the equation to order.

A wave on a periodic grid, or a mode between walls, stays one: what a scheme does to it is a
formula. Against that formula only rounding is allowed. Against the
equation's own solution the error must fall at the scheme's order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

import pdenet as pn
from pdenet.discrete.boundary import Boundary, Dirichlet, Free, Neumann, Periodic
from pdenet.discrete.grid import Grid
from pdenet.equation.catalogue import catalogue
from tests.laws.direct import integrator, stable_dt
from tests.strategies import (
    grids,
    hyperbolic_systems,
    parabolic_systems,
    periodic,
    states,
)

ROUNDING = 1e-12


# Modes of the scheme -----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [1, 2, 7])
@pytest.mark.parametrize("wall", [Dirichlet, Neumann])
def test_heat_modes_decay_by_the_schemes_own_factor(wall: type, mode: int) -> None:
    """sin(kπx) or cos(kπx), times (1 − dt D (4/h²) sin²(kπh/2)) a step."""
    grid, boundary = Grid(x=(0, 1, 17)), Boundary(x=wall(0))
    h, dt, diffusivity = 1 / 16, 1e-3, 0.7
    (at,) = grid.nodes(boundary)
    start = (np.sin if wall is Dirichlet else np.cos)(mode * np.pi * at)
    if wall is Dirichlet:
        start[[0, -1]] = 0  # sin(kπ) is not exactly 0
    pde = catalogue.build("heat", dimension=1)
    state = start[None]
    solver = integrator(pde, grid, boundary, {"D": diffusivity}, dt=dt)
    for _ in range(100):
        state = solver.step(state)
    factor = 1 - dt * diffusivity * 4 / h**2 * np.sin(mode * np.pi * h / 2) ** 2
    np.testing.assert_allclose(state[0], factor**100 * start, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_a_standing_wave_keeps_the_discrete_dispersion_relation(dimension: int) -> None:
    """Leapfrog: sin(ω dt/2) = (c dt) √Σ (sin(k_a h_a/2)/h_a)², exactly, for any number of steps."""
    points = (16, 12, 8)[:dimension]
    grid = Grid(**{a: (0, 1, n) for a, n in zip("xyz", points, strict=False)})
    boundary = periodic(dimension)
    c, dt = 1.3, 0.02
    phase, total = np.zeros(grid.shape), 0.0
    for number, at, h in zip((1, 2, 1), grid.mesh(boundary), grid.spacing(boundary), strict=False):
        k = 2 * np.pi * number
        phase = phase + k * at
        total += (np.sin(k * h / 2) / h) ** 2
    shape = np.cos(phase)
    omega = 2 / dt * np.arcsin(c * dt * np.sqrt(total))
    pde = catalogue.build("wave", dimension=dimension)
    solver = integrator(pde, grid, boundary, {"c": c}, stepper="leapfrog", dt=dt)
    # Half a drift, a kick, half a drift: u_t of the discrete standing wave is sin(ω t) · r, and
    # u = cos(ω t) holds whole steps. With u_t = 0 at the start the pair (u, u_t) is that wave.
    state = np.stack([shape, 0 * shape])
    steps = 200
    for _ in range(steps):
        state = solver.step(state)
    np.testing.assert_allclose(state[0], np.cos(omega * dt * steps) * shape, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("stepper", ["euler", "heun", "ssprk3", "rk4"])
@pytest.mark.parametrize("space", ["central2", "central4", "central6"])
def test_an_advected_wave_is_multiplied_by_the_schemes_factor(space: str, stepper: str) -> None:
    """R(dt λ) with λ = −i c (Σ weights · 2 sin(jkh))/h and R the stepper's Taylor polynomial."""
    grid, c, dt = Grid(x=(0, 1, 20)), 0.8, 0.01
    (at,) = grid.nodes(periodic(1))
    h, k = 1 / 20, 2 * np.pi * 3
    weights = {
        "central2": (1 / 2,),
        "central4": (2 / 3, -1 / 12),
        "central6": (3 / 4, -3 / 20, 1 / 60),
    }
    slope = sum(2 * w * np.sin((j + 1) * k * h) for j, w in enumerate(weights[space])) / h
    z = -1j * c * slope * dt
    order = {"euler": 1, "heun": 2, "ssprk3": 3, "rk4": 4}[stepper]
    factor = sum(z**n / float(sp.factorial(n)) for n in range(order + 1))
    pde = catalogue.build("advection", dimension=1)
    solver = integrator(pde, grid, periodic(1), {"c": c}, stepper=stepper, space=space, dt=dt)
    state = np.cos(k * at)[None]
    for _ in range(50):
        state = solver.step(state)
    expected = (factor**50 * np.exp(1j * k * at)).real
    np.testing.assert_allclose(state[0], expected, rtol=0, atol=ROUNDING)


# The equation's solutions ------------------------------------------------------------------------


def _orders(errors: list[float]) -> np.ndarray:
    return np.log2(np.array(errors[:-1]) / np.array(errors[1:]))


def test_a_heat_mode_between_walls_is_reached_at_second_order() -> None:
    x, y = sp.symbols("x y")
    errors = []
    for points in (9, 17, 33):
        grid = Grid(x=(0, 1, points), y=(0, 2, 2 * points - 1))
        boundary = Boundary(x=Dirichlet(0), y=Neumann(0))
        solver = catalogue["heat"].to_solver(grid, boundary, values={"D": 0.5})
        shape = sp.sin(sp.pi * x) * sp.cos(sp.pi * y)
        result = solver.run(shape, until=0.1, every=0.1)
        across, up = grid.mesh(boundary)
        exact = np.exp(-0.5 * 2 * np.pi**2 * 0.1) * np.sin(np.pi * across) * np.cos(np.pi * up)
        errors.append(float(np.abs(result.final[0] - exact).max()))
    # Three grids: 0.15 leaves room for the next term, h² smaller.
    assert np.all(np.abs(_orders(errors) - 2) < 0.15), errors


def test_a_standing_wave_is_reached_at_second_order() -> None:
    x, y = sp.symbols("x y")
    errors = []
    for points in (9, 17, 33):
        grid = Grid(x=(0, 1, points), y=(0, 1, points))
        boundary = Boundary(x=Dirichlet(0), y=Dirichlet(0))
        solver = catalogue["wave"].to_solver(grid, boundary, values={"c": 2})
        result = solver.run(sp.sin(sp.pi * x) * sp.sin(2 * sp.pi * y), until=0.3, every=0.3)
        across, up = grid.mesh(boundary)
        shape = np.sin(np.pi * across) * np.sin(2 * np.pi * up)
        exact = np.cos(2 * np.pi * np.sqrt(5) * 0.3) * shape
        errors.append(float(np.abs(result.final[0] - exact).max()))
    assert np.all(np.abs(_orders(errors) - 2) < 0.3), errors


def test_a_gaussian_comes_back_after_one_turn() -> None:
    """u_t = x u_y − y u_x turns the picture once in 2π; central4 with RK4 is of order 4."""
    x, y = sp.symbols("x y")
    gaussian = sp.exp(-12 * ((x - sp.Rational(2, 5)) ** 2 + y**2))
    errors = []
    for points in (17, 33, 65):
        grid = Grid(x=(-1.5, 1.5, points), y=(-1.5, 1.5, points))
        # Nothing reaches the walls: at their distance the Gaussian is below 1e-6.
        boundary = Boundary(x=Dirichlet(0), y=Dirichlet(0))
        solver = catalogue["rotation"].to_solver(
            grid, boundary, values={"omega": 1}, stepper="rk4", space="central4"
        )
        result = solver.run(gaussian, until=2 * np.pi, every=2 * np.pi)
        errors.append(float(np.abs(result.final[0] - result.states[0, 0]).max()))
    assert errors[-1] < 0.01, errors
    assert _orders(errors)[-1] > 3, errors


@pytest.mark.parametrize("direction", [1, -1])
def test_rotation_turns_as_the_formula_says(direction: int) -> None:
    """A quarter turn in 1 − O(h²): u₀(x cos ωt − y sin ωt, x sin ωt + y cos ωt)."""
    x, y = sp.symbols("x y")
    grid, boundary = Grid(x=(-1.5, 1.5, 49), y=(-1.5, 1.5, 49)), Boundary(x=Free(), y=Free())
    boundary = Boundary(x=Dirichlet(0), y=Dirichlet(0))
    gaussian = sp.exp(-12 * ((x - sp.Rational(2, 5)) ** 2 + y**2))
    solver = catalogue["rotation"].to_solver(
        grid, boundary, values={"omega": direction}, stepper="rk4", space="central4"
    )
    found = solver.run(gaussian, until=np.pi / 2, every=np.pi / 2).final[0]
    across, up = grid.mesh(boundary)
    # u₀(−y, x) for ω = 1: the bump that stood at x = 0.4 stands at y = −0.4.
    exact = np.exp(-12 * ((-direction * up - 0.4) ** 2 + across**2))
    assert np.abs(found - exact).max() < 0.01


@pytest.mark.parametrize(
    "family", [hyperbolic_systems, parabolic_systems], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("dimension", [1, 2])
@given(data=st.data())
def test_linear_systems_approach_the_exact_solution_at_their_order(
    family: Any, dimension: int, data: st.DataObject
) -> None:
    """Central2 and RK4 at a fixed time of a few steps: halving h divides the error by about 4.

    On smooth data of at most one period a box the error is C h² (1 + O(h²)) with kh = 2π/12 and
    2π/24, so the ratio is 4 (1 ± a few (kh)²); between 3 and 5 is asserted.
    """
    problem = data.draw(family(dimension))
    coarse = data.draw(grids(dimension, 12, 14))
    waves = data.draw(states(dimension, problem.num_components, largest=1))
    boundary = periodic(dimension)
    order = 1 if family is hyperbolic_systems else 2
    until = 4 * stable_dt(problem, coarse, boundary, order)
    errors = []
    for factor in (1, 2):
        points = [factor * n for n in coarse.points]
        ends = zip(coarse.low, coarse.high, points, strict=True)
        grid = Grid(**dict(zip("xyz", ends, strict=False)))
        # Time errors of RK4 stay far below those in space: dt falls as h^order.
        dt = until / (16 * factor**order)
        solver = integrator(problem.pde, grid, boundary, problem.values, stepper="rk4", dt=dt)
        start = waves.on(grid.shape)
        exact = pn.exact_periodic(problem.pde, grid, start, until, problem.values)
        found = solver.advance(start, until)
        errors.append(float(np.sqrt(np.mean((found - exact) ** 2))))
    # Waves of no amplitude, or along an axis without a speed, have no error but rounding.
    if errors[0] > 1e-9:
        assert 3 < errors[0] / errors[1] < 5, errors


def test_periodic_axis_and_walls_live_together() -> None:
    """A mode that is periodic in y and sits between walls in x decays by the sum of both rates."""
    grid = Grid(x=(0, 1, 17), y=(0, 1, 16))
    boundary = Boundary(x=Dirichlet(0), y=Periodic())
    across, up = grid.mesh(boundary)
    shape = np.sin(np.pi * across) * np.cos(2 * np.pi * up)
    shape[:, [0, -1]] = 0
    dt, h = 4e-4, 1 / 16
    solver = integrator(catalogue["heat"], grid, boundary, {"D": 1}, dt=dt)
    state = shape[None]
    for _ in range(50):
        state = solver.step(state)
    rate = 4 / h**2 * (np.sin(np.pi * h / 2) ** 2 + np.sin(np.pi * h) ** 2)
    np.testing.assert_allclose(state[0], (1 - dt * rate) ** 50 * shape, rtol=0, atol=ROUNDING)
