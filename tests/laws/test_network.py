"""A network takes the simulator's steps, to the rounding of the summands.

The simulator is the NumPy back end, which `test_loops.py` holds against loops over nodes. S
(`scale.py`) is the largest sum of sizes of what a step adds up; two correct orders of summation
differ by a few eps S a step. 32 eps S is allowed, for the reason given in `test_backends.py`; what
is found is near 1 eps S.
"""

from __future__ import annotations

from typing import Any  # conditions, values of parameters

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pdenet as pn
from pdenet.equation.symbols import Coefficient, D, Index, VectorField
from pdenet.network.network import Network
from tests.cover import by_turns, crossed
from tests.laws.direct import integrator, stable_dt
from tests.laws.drawing import (
    ALLOWED,
    EPS,
    KINDS,
    RUNGE_KUTTA,
    SPLITTING,
    as_tensor,
    drawn_state,
    second_order_systems,
    t,
    walls,
    x,
    y,
)
from tests.laws.scale import step_scale
from tests.strategies import (
    QUASI_LINEAR,
    Problem,
    advection_diffusion,
    anisotropic_diffusion,
    boundaries,
    few_each,
    grids,
    hyperbolic_systems,
    parabolic_systems,
    periodic,
    quasi_linear_systems,
)

pytestmark = pytest.mark.filterwarnings("ignore::pdenet.errors.BoundaryWarning")

START = 0.25  # a time at which t, sin(2t) and their derivatives are not 0
FAMILIES = (hyperbolic_systems, parabolic_systems)


def network(pde: pn.PDE, grid: pn.Grid, boundary: pn.Boundary, **how: Any) -> Network:
    how["dtype"] = getattr(torch, how.get("dtype", "float64"))
    return pde.to_network(grid, boundary, **{"stability": "ignore", "space": "central2", **how})


def check_one_step(
    problem: Problem, grid: pn.Grid, boundary: pn.Boundary, state: np.ndarray, **how: Any
) -> None:
    """Network = simulator in both dtypes, after one step from t = 0.25.

    The float32 network is compared with the float32 simulator. Both round the same values, kernels
    and coordinates to float32 and go on in it, so that the same count of roundings is allowed.
    """
    for dtype, eps in EPS.items():
        u = state.astype(dtype)
        solver = integrator(problem.pde, grid, boundary, problem.values, dtype=dtype, **how)
        net = network(problem.pde, grid, boundary, values=problem.values, dtype=dtype, **how)
        expected = solver.step(u, START)
        found = net(as_tensor(u)[None], START)[0].numpy()
        assert found.dtype == expected.dtype == np.dtype(dtype)
        size = step_scale(solver, u, START, how["dt"])
        np.testing.assert_array_less(np.abs(found - expected), ALLOWED * eps * size + 1e-300)


# One step ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "dimension", "kind"), crossed(FAMILIES, (1, 2, 3), KINDS))
@few_each
@given(data=st.data())
def test_a_network_takes_the_simulators_step(
    family: Any, dimension: int, kind: type, data: st.DataObject
) -> None:
    # Each stepper meets every dimension and, in the deep tier, every kind of wall but one or two.
    stepper = RUNGE_KUTTA[(KINDS.index(kind) + dimension + FAMILIES.index(family)) % 4]
    grid = data.draw(grids(dimension, 5, 7 if dimension < 3 else 5))
    boundary = data.draw(walls(grid, kind))
    problem = data.draw(family(dimension))
    dt = stable_dt(problem, grid, boundary, 1 + FAMILIES.index(family))
    state = drawn_state(data, problem, grid)
    check_one_step(problem, grid, boundary, state, stepper=stepper, dt=dt)


@pytest.mark.parametrize("stepper", [*SPLITTING, "rk4"])
@pytest.mark.parametrize("dimension", [1, 2, 3])
@few_each
@given(data=st.data())
def test_a_network_takes_the_simulators_step_of_second_order(
    stepper: str, dimension: int, data: st.DataObject
) -> None:
    grid = data.draw(grids(dimension, 5, 7 if dimension < 3 else 5))
    boundary = data.draw(st.sampled_from(KINDS).flatmap(lambda kind: walls(grid, kind)))
    problem = data.draw(second_order_systems(dimension))
    dt = min(grid.spacing(boundary)) / 8
    state = drawn_state(data, problem, grid)
    check_one_step(problem, grid, boundary, state, stepper=stepper, dt=dt)


@pytest.mark.parametrize(
    ("space", "dimension"),
    by_turns(["central4", "central6", "upwind", "lax_friedrichs"], [2, 1, 3], per_name=2),
)
@few_each
@given(data=st.data())
def test_a_network_takes_the_simulators_step_in_every_space(
    space: str, dimension: int, data: st.DataObject
) -> None:
    grid = data.draw(grids(dimension, 9, 10))
    boundary = data.draw(boundaries(dimension))
    problem = data.draw(hyperbolic_systems(dimension, size=2, commuting=True))
    dt = min(grid.spacing(boundary)) / 8
    state = drawn_state(data, problem, grid)
    check_one_step(problem, grid, boundary, state, stepper="euler", space=space, dt=dt)


@pytest.mark.parametrize("space", ["nine_point", "central4", "central6"])
@few_each
@given(data=st.data())
def test_a_network_has_the_simulators_laplacian(space: str, data: st.DataObject) -> None:
    length, points = data.draw(st.integers(1, 4)), data.draw(st.integers(9, 11))
    grid = pn.Grid(x=(0, length, points), y=(-1, length - 1, points))
    kind = data.draw(st.sampled_from(KINDS))
    boundary = data.draw(walls(grid, kind))
    problem = Problem(pn.catalogue["heat"], 1, {"D": 0.75})
    state = drawn_state(data, problem, grid)
    dt = min(grid.spacing(boundary)) ** 2 / 8
    check_one_step(problem, grid, boundary, state, stepper="heun", space=space, dt=dt)


@pytest.mark.parametrize(
    ("name", "dimension"), by_turns([*QUASI_LINEAR, "mixed derivatives"], [2, 1, 3])
)
@few_each
@given(data=st.data())
def test_a_network_takes_the_simulators_step_of_quasi_linear_systems(
    name: str, dimension: int, data: st.DataObject
) -> None:
    if name in ("eq2", "eq3"):
        dimension = min(dimension, 2)  # they are written in one and two dimensions
    grid = data.draw(grids(dimension, 5, 7 if dimension < 3 else 5))
    boundary = data.draw(boundaries(dimension))
    if name == "mixed derivatives":
        problem = data.draw(anisotropic_diffusion(dimension))
    else:
        problem = data.draw(quasi_linear_systems(dimension, name))
    dt = min(grid.spacing(boundary)) ** 2 / 8
    state = drawn_state(data, problem, grid)
    check_one_step(problem, grid, boundary, state, stepper="rk4", dt=dt)


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("divergence", [True, False], ids=["divergence", "advective"])
@few_each
@given(data=st.data())
def test_a_network_takes_the_simulators_step_with_coefficients_that_vary(
    divergence: bool, dimension: int, data: st.DataObject
) -> None:
    """Along axes with walls too, where the coefficients need not be periodic."""
    grid = data.draw(grids(dimension, 5, 7 if dimension < 3 else 5))
    boundary = data.draw(boundaries(dimension))
    problem = data.draw(advection_diffusion(grid, divergence))
    dt = min(grid.spacing(boundary)) ** 2 / 8
    state = drawn_state(data, problem, grid)
    check_one_step(problem, grid, boundary, state, stepper="ssprk3", dt=dt)


_u, _v = (sp.Function(name)(t, x, y) for name in "uv")
_k, _ky = sp.Function("k")(x, y), sp.Function("k")(y)
_i, _j = Index("i"), Index("j")
_n = sp.Symbol("n", integer=True, positive=True)
_U = VectorField("u", _n, (t, x, y))
_A, _B = Coefficient("A", (_n, _n)), Coefficient("B", (_n,))
_a, _g = sp.symbols("a g")
_random = np.random.default_rng(0)
GRID = pn.Grid(x=(-1, 1, 6), y=(0, 3, 7))


def _of(right: sp.Expr, field: sp.Expr = _u) -> pn.PDE:
    return pn.PDE(sp.Eq(field.diff(t), right))


# Each row: an equation that takes a turn of its own through the compiler, and values.
_CORNERS: dict[str, tuple[pn.PDE, dict[str, Any]]] = {
    "no right side": (_of(sp.S.Zero), {}),
    "constant source": (_of(sp.S(2)), {}),
    "source in space and time": (_of(_a * sp.sin(x) * sp.cos(t * y)), {"a": 1.5}),
    "no derivative": (_of(-_a * _u**3 + sp.exp(-_u)), {"a": 1.5}),
    "coefficient in time": (_of(sp.exp(-t * _a) * _u * _u.diff(x) + t * _u.diff(x, 2)), {"a": 0.5}),
    "quotient": (_of(_u.diff(x) / (1 + _u**2 + x**2)), {}),
    "two fields": (
        pn.PDE(
            sp.Eq(_u.diff(t), sp.sin(_u) * _v.diff(x, y) + _v**2 * _u.diff(x, 2)),
            sp.Eq(_v.diff(t), sp.sqrt(1 + _u**2) * _v.diff(y) * _u.diff(x) - x * _v),
        ),
        {},
    ),
    "derivative of a coefficient": (_of(_k.diff(x) * _u.diff(x)), {"k": sp.cos(x * y)}),
    "number for a function": (_of(_k * _u.diff(x)), {"k": 2.0}),
    "a field called map_0": (
        _of(x * sp.Function("map_0")(t, x, y) ** 2, sp.Function("map_0")(t, x, y)), {},
    ),
    "a parameter called half": (_of(sp.Symbol("half") * _u.diff(x)), {"half": 1.5}),
    "flux of a moving coefficient": (_of(D((2 + sp.sin(t * x)) * _u.diff(x), x)), {}),
    "flux of a coefficient alone": (_of(D(_k, x) + D(x * _a, x)), {"k": x**2, "a": 2.0}),
    "flux of a function": (_of(-D(sp.sin(_u), x) - D(x * sp.cos(_u), y)), {}),
    "flux of a product": (_of(D(_k * _u**2 * _u.diff(x), x)), {"k": _random.random((7, 6))}),
    "flux constant along its axis": (
        _of(D(_ky * _u.diff(x), x) + D(_ky * _u, x)), {"k": _random.random(7)},
    ),
    "mixed flux": (_of(D(_u.diff(x), y)), {}),
    "mixed flux with a coefficient": (
        _of(D(_k * _u.diff(x) + x * _u.diff(y), x) + D(x * _u.diff(x) + _u.diff(y), y)),
        {"k": _random.random((7, 6))},
    ),
    "fluxes times fields": (_of(x * D(y * _u * _u.diff(y), y) - _u * D(_u**2, x)), {}),
    "trace": (_of(_A[_j, _j] * _U[_i].diff(x), _U[_i]), {"A": _random.random((3, 3))}),
    "diagonal": (
        _of(_A[_i, _i] * _U[_i].diff(x) + _A[_i, _j] * _U[_j], _U[_i]),
        {"A": _random.random((3, 3))},
    ),
    "scalar product": (
        _of(_B[_i] * _U[_j] * _U[_j].diff(x) + _B[_j] * _U[_j] * _U[_i].diff(y), _U[_i]),
        {"B": _random.random(3)},
    ),
    "tensor over the grid": (
        _of(_A[_i, _j] * _U[_j].diff(x) + _A[_j, _j] * _U[_i], _U[_i]),
        {"A": _random.random((2, 2, 7, 6))},
    ),
    "flux of a tensor over the grid": (
        _of(D(_A[_i, _j] * _U[_j].diff(x), x) + D(_A[_i, _j] * _U[_j], y), _U[_i]),
        {"A": _random.random((2, 2, 7, 6))},
    ),
    "tensor of expressions": (
        _of(_A[_i, _j] * _U[_j].diff(x) + D(_A[_i, _j] * _U[_j].diff(y), y), _U[_i]),
        {"A": np.array([[1 + x * y, sp.Float(2)], [t, sp.sin(y)]], dtype=object)},
    ),
    "a vector and a scalar": (
        pn.PDE(
            sp.Eq(_v.diff(t), _B[_j] * D(_U[_j] * _v, x)),
            sp.Eq(
                _U[_i].diff(t),
                _B[_i] * D(_v * _v.diff(y), y) - x * _U[_i] + _v * _A[_i, _j] * _U[_j],
            ),
        ),
        {"A": _random.random((2, 2)), "B": _random.random(2)},
    ),
}  # fmt: skip

_WALLS = {
    "periodic": pn.Boundary(x=pn.Periodic(), y=pn.Periodic()),
    "all kinds": pn.Boundary(
        x=(pn.Dirichlet(_g * sp.sin(t) * y), pn.Free()),
        y=(pn.Neumann(t * x), pn.Robin(1, 2, _g * x)),
    ),
    "prescribed": pn.Boundary(x=pn.Dirichlet(t), y=(pn.Dirichlet(x), pn.Dirichlet(_g))),
}


@pytest.mark.parametrize(("name", "walls_"), by_turns(_CORNERS, list(_WALLS)))
def test_a_network_takes_the_simulators_step_in_the_corners_of_the_language(
    name: str, walls_: str
) -> None:
    """What is trainable starts at the equation's own values, so that it changes nothing."""
    pde, values = _CORNERS[name]
    boundary = _WALLS[walls_]
    values = values if walls_ == "periodic" else {**values, "g": 0.75}
    problem = Problem(pde, 1, values)
    how: dict[str, Any] = {"stepper": "rk4", "dt": 0.01}
    solver = integrator(pde, GRID, boundary, values, **how)
    state = np.random.default_rng(1).standard_normal((len(solver.components), *GRID.shape))
    check_one_step(problem, GRID, boundary, state, **how)
    fixed, free = (
        network(pde, GRID, boundary, values=values, trainable=trainable, **how)
        for trainable in (False, True)
    )
    assert not list(fixed.parameters())
    given = as_tensor(state)[None]
    apart = (fixed(given, START) - free(given, START)).abs().max()
    assert apart <= ALLOWED * EPS["float64"] * step_scale(solver, state, START, 0.01)


# The catalogue -----------------------------------------------------------------------------------


def catalogue_values(pde: pn.PDE) -> dict[str, np.ndarray]:
    """Tensors of size n = 2 where there is no default; matrices symmetric, so that eq9 is sound."""
    random = np.random.default_rng(2)
    made = {}
    for p in pde.parameters:
        if p.kind == "tensor" and p.default is None:
            shape = [int(sp.sympify(s).subs(_n, 2)) for s in p.shape]
            made[p.name] = 0.25 * random.uniform(-1, 1, shape)
            if shape == [2, 2]:
                made[p.name] = np.eye(2) + made[p.name] + made[p.name].T
    return made


@pytest.mark.parametrize("name", pn.catalogue)
def test_a_network_of_the_catalogue_chooses_and_does_what_its_solver_does(name: str) -> None:
    """Stepper, space and, where no state enters it, dt; then three steps, each to 32 eps S."""
    pde = pn.catalogue[name]
    values = catalogue_values(pde)
    grid = pn.Grid(**dict(zip(pde.system.axes, ((-1, 1, 9), (0, 3, 10)), strict=False)))
    boundary = periodic(len(grid.axes))
    chosen: dict[str, Any] = {"values": values, "stability": "ignore", "dt": "auto"}
    if pde.to_solver(grid, boundary, **chosen).dt is None:
        chosen["dt"] = 0.001
    solver = pde.to_solver(grid, boundary, **chosen)
    net = pde.to_network(grid, boundary, dtype=torch.float64, steps=3, **chosen)
    scheme = solver.scheme
    assert (net.stepper, net.space, net.dt) == (scheme.stepper, scheme.space, solver.dt)
    assert net.components == solver.components
    state = np.random.default_rng(3).uniform(0.5, 1, (len(net.components), *grid.shape))
    size, expected = 0.0, state
    for k in range(3):
        size += step_scale(solver.integrator, expected, START + k * net.dt, net.dt)
        expected = solver.step(expected, START + k * net.dt)
    found = net(as_tensor(state)[None], START)[0].numpy()
    np.testing.assert_array_less(np.abs(found - expected), ALLOWED * EPS["float64"] * size)


# A hundred steps ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [pn.Periodic, pn.Dirichlet, pn.Neumann, pn.ZeroPadding])
@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=max(2, settings().max_examples // 10))  # a hundred steps each
@given(data=st.data())
def test_a_network_and_a_simulator_agree_after_a_hundred_stable_steps(
    family: Any, kind: type, data: st.DataObject
) -> None:
    """100 steps · 32 eps = 7e-13: errors of a stable scheme add up and do not grow.

    The walls are those with which neither the exact problem nor the scheme grows.
    """
    dimension = data.draw(st.integers(1, 2))
    grid = data.draw(grids(dimension, 5, 7))
    problem = data.draw(family(dimension, 2))
    boundary = data.draw(walls(grid, kind))
    dt = stable_dt(problem, grid, boundary, 1 + FAMILIES.index(family))
    how: dict[str, Any] = {"stepper": "rk4", "dt": dt}
    solver = integrator(problem.pde, grid, boundary, problem.values, **how)
    net = network(problem.pde, grid, boundary, values=problem.values, steps=100, **how)
    state = expected = drawn_state(data, problem, grid)
    size = 0.0
    for k in range(100):
        if k % 10 == 0 or k == 99:
            size = max(size, step_scale(solver, expected, k * dt, dt))
        expected = solver.step(expected, k * dt)
    found = net(as_tensor(state)[None])[0].numpy()
    np.testing.assert_array_less(np.abs(found - expected), 1e-12 * size + 1e-300)


def test_steps_of_a_network_follow_one_another() -> None:
    """Bit for bit: five steps are two and three, forward is advance, and u stays as it was."""
    net = network(pn.catalogue["wave"], GRID, _WALLS["all kinds"], values={"g": 1}, steps=5, dt=0.1)
    start = torch.randn(2, 2, *GRID.shape, dtype=torch.float64)
    kept = start.clone()
    two = net.advance(start, START, steps=2)
    five = net.advance(two, START + 2 * net.dt, steps=3)
    torch.testing.assert_close(net(start, START), five, rtol=0, atol=1e-14)
    torch.testing.assert_close(
        net.advance(start, START, steps=5), net(start, START), rtol=0, atol=0
    )
    assert torch.equal(start, kept)


@pytest.mark.parametrize("name", ["heat", "wave", "burgers_2d", "eq7"])
def test_the_right_side_is_what_a_small_step_moves_by(name: str) -> None:
    """(net(u) − u)/dt of Euler without prescribed nodes, but for rounding net(u): eps |u|/dt.

    With the rounding of the slope itself, which is far below |u|/dt here, 4 eps |u|/dt.
    """
    pde = pn.catalogue[name]
    dt = 2.0**-10
    net = network(
        pde, GRID, _WALLS["periodic"], values=catalogue_values(pde), stepper="euler", dt=dt
    )
    u = torch.randn(2, len(net.components), *GRID.shape, dtype=torch.float64)
    slope = (net(u, START) - u) / dt
    allowed = 4 * EPS["float64"] * float(u.abs().max()) / dt
    torch.testing.assert_close(net.right_side(u, START), slope, rtol=0, atol=allowed)


# Batches -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
@few_each
@given(data=st.data())
def test_a_batch_is_each_of_its_states_alone(kind: type, data: st.DataObject) -> None:
    """Convolutions may add up in another order for another batch: 32 eps S."""
    grid = data.draw(grids(2, 5, 7))
    boundary = data.draw(walls(grid, kind))
    problem = data.draw(st.one_of(parabolic_systems(2), quasi_linear_systems(2)))
    how: dict[str, Any] = {"stepper": "rk4", "dt": min(grid.spacing(boundary)) ** 2 / 8}
    solver = integrator(problem.pde, grid, boundary, problem.values, **how)
    net = network(problem.pde, grid, boundary, values=problem.values, **how)
    batch = np.stack([drawn_state(data, problem, grid) for _ in range(3)])
    together = net(as_tensor(batch), START)
    for one, found in zip(batch, together, strict=True):
        alone = net(as_tensor(one)[None], START)[0]
        size = step_scale(solver, one, START, net.dt)
        apart = (alone - found).abs().numpy()
        np.testing.assert_array_less(apart, ALLOWED * EPS["float64"] * size + 1e-300)


@pytest.mark.parametrize("name", ["heat", "wave", "burgers_2d", "eq3", "eq7"])
def test_a_state_that_is_not_a_number_spoils_no_other_of_its_batch(name: str) -> None:
    pde = pn.catalogue[name]
    values = {"g": 1.0, **catalogue_values(pde)}
    net = network(pde, GRID, _WALLS["all kinds"], values=values, steps=4, dt=0.001)
    batch = torch.rand(3, len(net.components), *GRID.shape, dtype=torch.float64)
    spoilt = batch.clone()
    spoilt[1] = torch.nan
    made, expected = net(spoilt), net(batch)
    assert made[1].isnan().any()
    torch.testing.assert_close(made[::2], expected[::2], rtol=0, atol=0)


def test_an_empty_batch_stays_empty() -> None:
    net = network(pn.catalogue["heat"], GRID, _WALLS["periodic"], dt=0.001)
    assert net(torch.empty(0, 1, *GRID.shape, dtype=torch.float64)).shape == (0, 1, *GRID.shape)
