"""NumPy, torch and loops over nodes compute the same step, to the rounding of its summands.

S (`scale.py`) is the largest sum of sizes of what a step adds up. A sum of n terms is off by at
most n eps S, products by a few eps of themselves; the longest sums here, three second derivatives
in a Runge–Kutta step, have about 30 terms. Hence 32 eps S; what is found is near 1 eps S.
"""

from __future__ import annotations

import dataclasses
from typing import Any  # conditions, values and torch's tensors

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pdenet.discrete.boundary import (
    Boundary,
    Dirichlet,
    Free,
    Neumann,
    Periodic,
    Robin,
    ZeroPadding,
)
from pdenet.simulate.integrator import Integrator
from tests.cover import crossed
from tests.laws.direct import integrator, stable_dt
from tests.laws.drawing import (
    ALLOWED,
    EPS,
    KINDS,
    RUNGE_KUTTA,
    SPLITTING,
    as_tensor,
    check_one_step,
    drawn_state,
    second_order_systems,
    walls,
)
from tests.laws.scale import step_scale
from tests.strategies import (
    anisotropic_diffusion,
    boundaries,
    few_each,
    grids,
    hyperbolic_systems,
    parabolic_systems,
    quasi_linear_systems,
)

FAMILIES = (hyperbolic_systems, parabolic_systems)
pytestmark = pytest.mark.filterwarnings("ignore::pdenet.errors.BoundaryWarning")


# NumPy = torch, one step ------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "dimension", "kind"), crossed(FAMILIES, (1, 2, 3), KINDS))
@few_each
@given(data=st.data())
def test_torch_takes_numpys_step(
    family: Any, dimension: int, kind: type, data: st.DataObject
) -> None:
    # Each stepper meets every dimension and, in the deep tier, every kind of wall but one or two.
    stepper = RUNGE_KUTTA[(KINDS.index(kind) + dimension + FAMILIES.index(family)) % 4]
    grid = data.draw(grids(dimension, 5, 7 if dimension < 3 else 5))
    boundary = data.draw(walls(grid, kind))
    problem = data.draw(family(dimension))
    order = 1 if family is hyperbolic_systems else 2
    dt = stable_dt(problem, grid, boundary, order)
    check_one_step(
        problem, grid, boundary, drawn_state(data, problem, grid), stepper=stepper, dt=dt
    )


@pytest.mark.parametrize("stepper", SPLITTING)
@pytest.mark.parametrize("dimension", [1, 2, 3])
@few_each
@given(data=st.data())
def test_torch_takes_numpys_step_of_second_order(
    stepper: str, dimension: int, data: st.DataObject
) -> None:
    grid = data.draw(grids(dimension, 5, 7 if dimension < 3 else 5))
    boundary = data.draw(st.sampled_from(KINDS).flatmap(lambda kind: walls(grid, kind)))
    problem = data.draw(second_order_systems(dimension))
    dt = min(grid.spacing(boundary)) / 8
    check_one_step(
        problem, grid, boundary, drawn_state(data, problem, grid), stepper=stepper, dt=dt
    )


@pytest.mark.parametrize("space", ["central4", "central6", "upwind", "lax_friedrichs"])
@pytest.mark.parametrize("dimension", [1, 2])
@few_each
@given(data=st.data())
def test_torch_takes_numpys_step_in_every_space(
    space: str, dimension: int, data: st.DataObject
) -> None:
    grid = data.draw(grids(dimension, 9, 10))
    boundary = data.draw(boundaries(dimension))
    problem = data.draw(hyperbolic_systems(dimension, size=2, commuting=True))
    dt = min(grid.spacing(boundary)) / 8
    state = drawn_state(data, problem, grid)
    check_one_step(problem, grid, boundary, state, stepper="euler", space=space, dt=dt)


@pytest.mark.parametrize("name", ["eq2", "eq3", "eq4", "eq5", "eq6", "eq7", "mixed"])
@few_each
@given(data=st.data())
def test_torch_takes_numpys_step_of_quasi_linear_systems(name: str, data: st.DataObject) -> None:
    grid = data.draw(grids(2, 5, 7))
    boundary = data.draw(boundaries(2))
    if name == "mixed":
        problem = data.draw(anisotropic_diffusion(2))
    else:
        problem = data.draw(quasi_linear_systems(2, name))
    dt = min(grid.spacing(boundary)) ** 2 / 8
    check_one_step(problem, grid, boundary, drawn_state(data, problem, grid), stepper="rk4", dt=dt)


# NumPy = torch, a hundred steps ------------------------------------------------------------------


# Walls with which the exact problem and the scheme do not grow. Skew-symmetric differences stay so
# with zeros beyond the grid or at its ends, and a mirror makes the rate at the wall 0. Robin walls
# on all fields of a hyperbolic system, or none on a parabolic one, let it grow without bound.
_STABLE = [
    *((hyperbolic_systems, kind) for kind in (Periodic, Dirichlet, Neumann, ZeroPadding)),
    (hyperbolic_systems, Free),
    *((parabolic_systems, kind) for kind in (Periodic, Dirichlet, Neumann, Robin, ZeroPadding)),
]


@pytest.mark.parametrize(
    ("family", "kind"), _STABLE, ids=[f"{f.__name__}-{k.__name__}" for f, k in _STABLE]
)
@few_each
@given(data=st.data())
def test_torch_and_numpy_agree_after_a_hundred_stable_steps(
    family: Any, kind: type, data: st.DataObject
) -> None:
    """100 steps · 32 eps = 7e-13: errors of a stable scheme add up and do not grow."""
    dimension = data.draw(st.integers(1, 2))
    grid = data.draw(grids(dimension, 5, 7))
    problem = data.draw(family(dimension, 1 if kind is Free else 2))
    if kind is Free:
        # u_t = a u_x runs towards low x where a > 0: that end is free, the other one prescribed.
        sides = {
            axis: (Free(), Dirichlet(0.5)) if m[0, 0] > 0 else (Dirichlet(0.5), Free())
            for axis, m in zip(grid.axes, problem.matrices, strict=True)
        }
        boundary = Boundary(**sides)
    else:
        boundary = data.draw(walls(grid, kind))
    dt = stable_dt(problem, grid, boundary, 1 if family is hyperbolic_systems else 2)
    pair = [
        integrator(problem.pde, grid, boundary, problem.values, backend=b, stepper="rk4", dt=dt)
        for b in ("numpy", "torch")
    ]
    numpy_ = drawn_state(data, problem, grid)
    torch_ = as_tensor(numpy_)
    size = 0.0
    for k in range(100):
        if k % 10 == 0 or k == 99:
            size = max(size, step_scale(pair[0], numpy_, k * dt, dt))
        numpy_ = pair[0].step(numpy_, k * dt)
        torch_ = pair[1].step(torch_, k * dt)
    np.testing.assert_array_less(np.abs(numpy_ - torch_.numpy()), 1e-12 * size + 1e-300)


# Batches -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
@few_each
@given(data=st.data())
def test_a_batch_is_each_of_its_states_alone(kind: type, data: st.DataObject) -> None:
    """Bit for bit: a batch is one more axis of element-wise arithmetic; contractions, which a
    library may order by shape, are held to rounding.
    """
    grid = data.draw(grids(2, 5, 7))
    boundary = data.draw(walls(grid, kind))
    problem = data.draw(st.one_of(parabolic_systems(2), quasi_linear_systems(2)))
    dt = min(grid.spacing(boundary)) ** 2 / 8
    solver = integrator(
        problem.pde, grid, boundary, problem.values, backend="torch", stepper="rk4", dt=dt
    )
    batch = np.stack([drawn_state(data, problem, grid) for _ in range(3)])
    together = solver.advance(as_tensor(batch), 3 * dt)
    for one, found in zip(batch, together, strict=True):
        alone = solver.advance(as_tensor(one), 3 * dt)
        if problem.pde.system.has_vectors:
            size = step_scale(_numpy_twin(solver), one, 0.0, dt)
            apart = (alone - found).abs().numpy()
            np.testing.assert_array_less(apart, 3 * ALLOWED * EPS["float64"] * size + 1e-300)
        else:
            torch.testing.assert_close(alone, found, rtol=0, atol=0)


def _numpy_twin(solver: Integrator) -> Any:
    return dataclasses.make_dataclass("Twin", ["scheme", "values"])(solver.scheme, solver.values)
