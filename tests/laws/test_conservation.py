"""What leaves one cell enters the next: sums over a periodic grid stay what they were.

A step adds to each node differences whose sum over the grid vanishes in exact arithmetic. Each
addition is rounded to eps |u| at most, and the differences themselves to a few eps of |u|, so the
sum may drift by a few eps Σ|u| a step; 8 allows for the ten terms of the longest right sides.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from pdenet.discrete.boundary import Boundary, Neumann
from pdenet.discrete.grid import Grid
from pdenet.equation.catalogue import catalogue
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import coordinates
from tests.laws.direct import integrator, stable_dt
from tests.strategies import (
    Problem,
    advection_diffusion,
    anisotropic_diffusion,
    few_each,
    grids,
    hyperbolic_systems,
    parabolic_systems,
    periodic,
    states,
)

EPS = 2.0**-52
STEPS = 20
t, x, y = coordinates("t x y")


def sums(state: np.ndarray) -> list[float]:
    """Exactly rounded sums over the grid, one a component."""
    return [math.fsum(component.ravel()) for component in state]


def check_conserved(
    problem: Problem, grid: Grid, u: np.ndarray, rows: Any = slice(None), **how: Any
) -> None:
    solver = integrator(problem.pde, grid, periodic(grid.dimension), problem.values, **how)
    before, moved, largest = sums(u), u, 0.0
    for k in range(STEPS):
        moved = solver.step(moved, k * how["dt"])
        largest = max(largest, float(np.abs(moved).sum()))
    drift = np.abs(np.subtract(sums(moved), before))[rows]
    assert np.all(drift <= 8 * EPS * STEPS * largest), drift / (EPS * STEPS * largest)


@pytest.mark.parametrize("space", ["central2", "central4", "upwind"])
@pytest.mark.parametrize("dimension", [1, 2, 3])
@few_each
@given(data=st.data())
def test_linear_hyperbolic_systems_conserve_every_component(
    space: str, dimension: int, data: st.DataObject
) -> None:
    problem = data.draw(hyperbolic_systems(dimension))
    grid = data.draw(grids(dimension, 6, 8))
    u = data.draw(states(dimension, problem.num_components)).on(grid.shape)
    stepper = "euler" if space == "upwind" else "rk4"
    # A sixth: wide stencils and the numerical viscosity of matrices that do not commute.
    dt = stable_dt(problem, grid, periodic(dimension), 1) / 6
    check_conserved(problem, grid, u, stepper=stepper, space=space, dt=dt)


@pytest.mark.parametrize("dimension", [1, 2, 3])
@few_each
@given(data=st.data())
def test_linear_parabolic_systems_conserve_every_component(
    dimension: int, data: st.DataObject
) -> None:
    problem = data.draw(parabolic_systems(dimension))
    grid = data.draw(grids(dimension, 6, 8))
    u = data.draw(states(dimension, problem.num_components)).on(grid.shape)
    dt = stable_dt(problem, grid, periodic(dimension), 2)
    check_conserved(problem, grid, u, stepper="euler", dt=dt)


@pytest.mark.parametrize("dimension", [2, 3])
@few_each
@given(data=st.data())
def test_mixed_derivatives_conserve(dimension: int, data: st.DataObject) -> None:
    problem = data.draw(anisotropic_diffusion(dimension))
    grid = data.draw(grids(dimension, 6, 8))
    u = data.draw(states(dimension, 1)).on(grid.shape)
    # Eigenvalues are at most 4 · dimension · max|M| Σ 1/h², with max|M| ≤ 2.
    dt = 1 / (16 * dimension * sum(1 / h**2 for h in grid.spacing(periodic(dimension))))
    check_conserved(problem, grid, u, stepper="euler", dt=dt)


@pytest.mark.parametrize("space", ["central2", "upwind"])
@pytest.mark.parametrize("dimension", [1, 2, 3])
@few_each
@given(data=st.data())
def test_divergence_form_conserves_with_coefficients_that_vary(
    space: str, dimension: int, data: st.DataObject
) -> None:
    grid = data.draw(grids(dimension, 6, 8))
    problem = data.draw(advection_diffusion(grid, divergence=True))
    u = data.draw(states(dimension, 1)).on(grid.shape)
    h = grid.spacing(periodic(dimension))
    # ν ≤ ½ · 3/2 and |speed| ≤ 3, both by construction.
    dt = 1 / sum(4 * 0.75 / one**2 + 4 * 3 / one for one in h)
    check_conserved(problem, grid, u, stepper="euler", space=space, dt=dt)


@pytest.mark.parametrize("name", ["burgers_1d", "shallow_water", "kdv"])
@few_each
@given(data=st.data())
def test_nonlinear_divergence_form_conserves(name: str, data: st.DataObject) -> None:
    pde = catalogue.build(name, form="divergence")
    dimension = pde.system.dimension
    grid = Grid(**dict.fromkeys("xy"[:dimension], (0, 4, 9)))
    u = data.draw(states(dimension, len(pde.fields), 0.25)).on(grid.shape)
    check_conserved(Problem(pde, len(pde.fields)), grid, u, stepper="rk4", dt=0.01)


@few_each
@given(data=st.data())
def test_vector_systems_in_divergence_form_conserve(data: st.DataObject) -> None:
    """Eq. (6) with constant matrices: A_ij ∂(u_j C_jk u_k)."""
    pde = catalogue.build("eq6", dimension=2)
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    names = [p.name for p in pde.parameters if p.kind == "tensor"]
    values = {name: random.uniform(-1, 1, (2, 2)) for name in names}
    grid = data.draw(grids(2, 6, 8))
    u = data.draw(states(2, 2, 0.1)).on(grid.shape)
    check_conserved(
        Problem(pde, 2, values), grid, u, stepper="rk4", dt=0.01 * min(grid.spacing(periodic(2)))
    )


def test_insulated_diffusion_conserves_the_trapezoidal_sum() -> None:
    """Neumann(0) by mirror images: wall nodes own half a cell, and the weighted sum is kept."""
    u = sp.Function("u")(t, x)
    pde = PDE(sp.Eq(u.diff(t), u.diff(x, 2)))
    grid = Grid(x=(0, 1, 17))
    solver = integrator(pde, grid, Boundary(x=Neumann(0)), dt=0.4 / 16**2)
    state = np.random.default_rng(0).uniform(0, 1, (1, 17))
    weights = np.r_[0.5, np.ones(15), 0.5]
    before = math.fsum((weights * state[0]).tolist())
    for _ in range(STEPS):
        state = solver.step(state)
    after = math.fsum((weights * state[0]).tolist())
    assert abs(after - before) <= 8 * EPS * STEPS * 17


def test_the_advective_form_does_not_conserve() -> None:
    """The law is not empty: u u_x by central differences loses what D(u²/2, x) keeps."""
    grid = Grid(x=(0, 4, 9))
    # Two waves of which neither is the other's mirror image.
    at = 2 * np.pi * np.arange(9) / 9
    u = (0.25 * np.sin(at) + 0.125 * np.cos(2 * at + 1))[None]
    pde = PDE(
        sp.Eq(
            sp.Function("u")(t, x).diff(t),
            sp.Function("u")(t, x) ** 2 * sp.Function("u")(t, x).diff(x),
        )
    )
    solver = integrator(pde, grid, periodic(1), stepper="euler", dt=0.1)
    moved = u
    for _ in range(STEPS):
        moved = solver.step(moved)
    assert abs(sums(moved)[0] - sums(u)[0]) > 1e6 * EPS * np.abs(u).sum()
