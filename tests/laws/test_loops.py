"""NumPy computes what loops over nodes and indices compute that know nothing of schemes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any  # conditions, values and torch's tensors

import numpy as np
import pytest
import sympy as sp
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
from pdenet.discrete.grid import Grid
from pdenet.equation.catalogue import catalogue
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import (
    Coefficient,
    D,
    Index,
    VectorField,
)
from tests.cover import by_turns
from tests.laws.direct import integrator
from tests.laws.drawing import (
    ALLOWED,
    AXES,
    EPS,
    KINDS,
    RUNGE_KUTTA,
    SPLITTING,
    drawn_state,
    t,
    walls,
    x,
    y,
)
from tests.laws.oracle import Oracle
from tests.laws.scale import step_scale
from tests.strategies import (
    Problem,
    boundaries,
    few_each,
    grids,
    hyperbolic_systems,
    periodic,
    quasi_linear_systems,
)

pytestmark = pytest.mark.filterwarnings("ignore::pdenet.errors.BoundaryWarning")


# NumPy = loops over nodes ------------------------------------------------------------------------


def check_against_loops(
    pde: PDE,
    grid: Grid,
    boundary: Boundary,
    u: np.ndarray,
    values: Any = None,
    accuracy: int = 2,
    **how: Any,
) -> None:
    start = 0.25
    solver = integrator(pde, grid, boundary, values, **how)
    known = {p.name: p.default for p in pde.parameters if p.default is not None} | (values or {})
    oracle = Oracle(pde, grid, boundary, known, solver.components, accuracy)
    u = oracle.impose(u, start)
    expected = oracle.step(u, start, how["dt"], how["stepper"])
    size = step_scale(solver, u, start, how["dt"])
    found = solver.step(u, start)
    np.testing.assert_array_less(np.abs(found - expected), ALLOWED * EPS["float64"] * size + 1e-300)


_TINY = {
    1: Grid(x=(-1, 1, 7)),
    2: Grid(x=(-1, 1, 6), y=(0, 3, 7)),
    3: Grid(x=(-1, 1, 4), y=(0, 3, 5), z=(0, 1, 6)),
}


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
@few_each
@given(data=st.data())
def test_heat_with_any_wall_is_what_loops_over_nodes_give(
    kind: type, dimension: int, data: st.DataObject
) -> None:
    grid = _TINY[dimension]
    boundary = data.draw(walls(grid, kind))
    u = drawn_state(data, Problem(catalogue["heat"], 1), grid)
    pde = catalogue.build("heat", dimension=dimension)
    # dt D/h² up to 0.5: what the stencils give is as large as u itself.
    check_against_loops(pde, grid, boundary, u, stepper="euler", dt=0.05, values={"D": 1.0})


def _conditions() -> Sequence[Any]:
    return (
        Dirichlet(0.5),
        Dirichlet(sp.sin(3 * t) * x * y),
        Neumann(x * y + t),
        Robin(1, 2, sp.sin(t) + x * y),
        Robin(2, 0, 1.5 - y * x),
        ZeroPadding(),
        Free(),
    )


@pytest.mark.parametrize(("first", "second"), by_turns(range(7), range(7), per_name=2))
def test_every_pair_of_walls_meets_at_its_corners_as_in_loops(first: int, second: int) -> None:
    """A mixed derivative reads the corners; RK4 reads the values at three times."""
    one, other = _conditions()[first], _conditions()[second]
    u = sp.Function("u")(t, x, y)
    pde = PDE(sp.Eq(u.diff(t), u.diff(x, 2) + u.diff(y, 2) + u.diff(x, y) - u.diff(x)))
    state = np.random.default_rng(first + 10 * second).standard_normal((1, 7, 6))
    boundary = Boundary(x=(one, other), y=(other, one))
    check_against_loops(pde, _TINY[2], boundary, state, stepper="rk4", dt=0.05)


_u1, _u2 = sp.Function("u")(t, x), sp.Function("u")(t, x, y)
_k1, _k2 = sp.Function("k")(x), sp.Function("k")(x, y)
_FLUXES: dict[str, tuple[PDE, dict[str, Any]]] = {
    "k(x) u_x": (PDE(sp.Eq(_u1.diff(t), D(_k1 * _u1.diff(x), x))), {"k": 2 + sp.sin(x)}),
    "k array": (PDE(sp.Eq(_u1.diff(t), D(_k1 * _u1.diff(x), x))), {"k": np.arange(7.0) ** 2}),
    "k(x, y) grad": (
        PDE(sp.Eq(_u2.diff(t), D(_k2 * _u2.diff(x), x) + D(_k2 * _u2.diff(y), y))),
        {"k": np.random.default_rng(1).uniform(1, 2, (7, 6))},
    ),
    "tensor diffusion": (
        PDE(
            sp.Eq(
                _u2.diff(t),
                D(_k2 * _u2.diff(x) + x * _u2.diff(y), x) + D(x * _u2.diff(x) + _u2.diff(y), y),
            )
        ),
        {"k": 3 + x * y},
    ),
    "u^2/2": (PDE(sp.Eq(_u1.diff(t), -D(_u1**2 / 2, x))), {}),
    "x sin(u)": (PDE(sp.Eq(_u1.diff(t), -D(x * sp.sin(_u1), x))), {}),
    "k u u_x": (PDE(sp.Eq(_u1.diff(t), D(_k1 * _u1 * _u1.diff(x), x))), {"k": np.arange(7.0)}),
    "y D(u, x)": (PDE(sp.Eq(_u2.diff(t), y * D(_u2, x) - x * _u2 * D(_u2**2, y))), {}),
}


@pytest.mark.parametrize(("name", "kind"), by_turns(_FLUXES, KINDS, per_name=2))
def test_fluxes_are_differences_of_half_node_fluxes(name: str, kind: type) -> None:
    pde, values = _FLUXES[name]
    grid = _TINY[pde.system.dimension]
    side = (
        Robin(1, 2, 0.75)
        if kind is Robin
        else kind(0.5)
        if kind in (Dirichlet, Neumann)
        else kind()
    )
    boundary = Boundary(**dict.fromkeys(grid.axes, side))
    state = np.random.default_rng(3).standard_normal((1, *grid.shape))
    check_against_loops(pde, grid, boundary, state, values, stepper="heun", dt=0.05)


_SYSTEMS = (
    "wave_system",
    "wave_first_order",
    "gray_scott",
    "burgers_2d",
    "acoustics",
    "maxwell_tm",
)


@pytest.mark.parametrize("name", [*_SYSTEMS, "shallow_water", "eq1", "rotation", "dilation"])
def test_systems_are_what_loops_over_nodes_give(name: str) -> None:
    pde = catalogue[name]
    state = np.random.default_rng(4).standard_normal((len(pde.fields), 7, 6))
    boundary = Boundary(x=(Dirichlet(0.5), Free()), y=(Neumann(t * x), Robin(1, 2, x)))
    check_against_loops(pde, _TINY[2], boundary, state, stepper="ssprk3", dt=0.05)


@pytest.mark.parametrize("accuracy", [4, 6])
@pytest.mark.parametrize("kind", [Periodic, Dirichlet, Neumann, Robin, ZeroPadding, Free])
def test_wide_stencils_reach_several_ghost_nodes(accuracy: int, kind: type) -> None:
    u = sp.Function("u")(t, x, y)
    pde = PDE(sp.Eq(u.diff(t), u.diff(x, 2) + u.diff(y) + u.diff(x, y)))
    grid = Grid(x=(-1, 1, 8), y=(0, 3, 9))
    side = (
        Robin(1, 2, x + t) if kind is Robin else kind(y) if kind in (Dirichlet, Neumann) else kind()
    )
    boundary = Boundary(x=side, y=side)
    state = np.random.default_rng(5).standard_normal((1, 9, 8))
    space = f"central{accuracy}"
    check_against_loops(
        pde, grid, boundary, state, accuracy=accuracy, stepper="euler", space=space, dt=0.05
    )


@pytest.mark.parametrize("stepper", [*SPLITTING, *RUNGE_KUTTA])
def test_waves_step_as_in_the_textbooks(stepper: str) -> None:
    """The rate of a moving wall is the time derivative of its value."""
    pde = catalogue["wave"]
    boundary = Boundary(
        x=(Dirichlet(sp.sin(3 * t) * y), Free()), y=(Neumann(t * x), Robin(1, 2, x))
    )
    state = np.random.default_rng(6).standard_normal((2, 7, 6))
    check_against_loops(pde, _TINY[2], boundary, state, stepper=stepper, dt=0.1)


def test_fields_have_walls_of_their_own() -> None:
    """A perfectly conducting wall: E is 0 there, H is free."""
    pde = catalogue["maxwell_tm"]
    sides = {"Ez": Dirichlet(0), "Hx": (Free(), Neumann(y)), "Hy": Robin(1, 1, t)}
    boundary = Boundary(x=sides, y=sides)
    state = np.random.default_rng(7).standard_normal((3, 7, 6))
    check_against_loops(pde, _TINY[2], boundary, state, stepper="rk4", dt=0.1)


@pytest.mark.parametrize("order", [3, 4])
@pytest.mark.parametrize("kind", [Periodic, Dirichlet, Neumann, ZeroPadding, Free])
def test_high_derivatives_are_what_loops_over_nodes_give(order: int, kind: type) -> None:
    pde = PDE(sp.Eq(_u1.diff(t), -_u1.diff(x, order) + _u1 * _u1.diff(x)))
    side = kind(0.5) if kind in (Dirichlet, Neumann) else kind()
    state = np.random.default_rng(8).standard_normal((1, 9))
    check_against_loops(pde, Grid(x=(-1, 1, 9)), Boundary(x=side), state, stepper="heun", dt=0.001)


# Opaque vectors ----------------------------------------------------------------------------------


# Eq. (3) is written in one and two dimensions, the others in three as well.
_INDEXED = [
    pytest.param(name, dimension, marks=[pytest.mark.deep] if dimension == 3 else [])
    for name in ("eq3", "eq4", "eq5", "eq6", "eq7")
    for dimension in (1, 2, 3)
    if (name, dimension) != ("eq3", 3)
]


@pytest.mark.parametrize(("name", "dimension"), _INDEXED)
def test_indexed_sums_are_what_loops_over_indices_give(name: str, dimension: int) -> None:
    pde = catalogue.build(name, dimension=dimension)
    random = np.random.default_rng(9)
    n = sp.Symbol("n", integer=True, positive=True)
    values = {
        p.name: random.standard_normal([int(s.subs(n, 2)) for s in p.shape])
        for p in pde.parameters
        if p.kind == "tensor"
    }
    grid = _TINY[dimension]
    axes = (Neumann(0.5), (Dirichlet(1), Free()), Periodic())
    boundary = Boundary(**dict(zip(grid.axes, axes, strict=False)))
    state = random.standard_normal((2, *grid.shape))
    check_against_loops(pde, grid, boundary, state, values, stepper="euler", dt=0.1)


def test_tensors_that_vary_over_the_grid_are_read_node_by_node() -> None:
    i, j = Index("i"), Index("j")
    u, a = VectorField("u", 2, (t, x, y)), Coefficient("A", (2, 2))
    pde = PDE(sp.Eq(u[i].diff(t), a[i, j] * u[j].diff(x) + D(a[i, j] * u[j].diff(y), y)))
    random = np.random.default_rng(10)
    grid = _TINY[2]
    values = {"A": random.standard_normal((2, 2, *grid.shape))}
    boundary = Boundary(x=Neumann(0.5), y=Robin(1, 1, 0.5))
    state = random.standard_normal((2, *grid.shape))
    check_against_loops(pde, grid, boundary, state, values, stepper="euler", dt=0.1)
    entries = np.array([[1 + x * y, sp.Float(2)], [t, sp.sin(y)]], dtype=object)
    nodes = grid.mesh(boundary)
    given = np.empty((2, 2, *grid.shape))
    for place in np.ndindex(2, 2):
        function = sp.lambdify((t, x, y), entries[place], "numpy")
        given[place] = np.broadcast_to(function(0.25, *nodes), grid.shape)
    one, other = (
        integrator(pde, grid, boundary, {"A": tensor}, dt=0.1).step(state, 0.25)
        for tensor in (entries, given)
    )
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-14)


@pytest.mark.parametrize("space", ["central2", "upwind", "lax_friedrichs"])
@pytest.mark.parametrize("dimension", [1, 2, 3])
@few_each
@given(data=st.data())
def test_an_opaque_system_is_its_expanded_one(
    space: str, dimension: int, data: st.DataObject
) -> None:
    opaque = data.draw(hyperbolic_systems(dimension, opaque=True))
    size = opaque.num_components
    made = [sp.Function(f"u{k}")(t, *AXES[:dimension]) for k in range(size)]
    expanded = PDE(
        *(
            sp.Eq(
                one.diff(t),
                sum(
                    sp.Float(float(m[row, column])) * other.diff(a)
                    for m, a in zip(opaque.matrices, AXES, strict=False)
                    for column, other in enumerate(made)
                ),
                evaluate=False,
            )
            for row, one in enumerate(made)
        )
    )
    grid = data.draw(grids(dimension, 5, 6))
    boundary = data.draw(boundaries(dimension))
    dt = min(grid.spacing(boundary)) / 8
    how: dict[str, Any] = {"space": space, "stepper": "euler", "dt": dt}
    first = integrator(opaque.pde, grid, boundary, opaque.values, **how)
    second = integrator(expanded, grid, boundary, None, **how)
    u = drawn_state(data, opaque, grid)
    size_of_step = step_scale(first, u, 0.0, dt)
    apart = np.abs(first.step(u) - second.step(u))
    np.testing.assert_array_less(apart, ALLOWED * EPS["float64"] * size_of_step + 1e-300)


@few_each
@given(data=st.data())
def test_eq3_is_the_naive_einsum_of_shifted_arrays(data: st.DataObject) -> None:
    problem = data.draw(quasi_linear_systems(2, "eq3"))
    grid = data.draw(grids(2, 5, 7))
    u = drawn_state(data, problem, grid)
    dx, dy = grid.spacing(periodic(2))
    slopes = [
        (np.roll(u, -1, axis) - np.roll(u, 1, axis)) / (2 * h) for axis, h in ((2, dx), (1, dy))
    ]
    names = {p.name for p in problem.pde.parameters}
    assert {"A", "B", "C"} <= names, names
    last = next(n for n in ("D", "E") if n in names)
    values = problem.values
    expected = u + 0.125 * (
        np.einsum("ij,jk,kyx,jyx->iyx", values["A"], values["C"], u, slopes[0])
        + np.einsum("ij,jk,kyx,jyx->iyx", values["B"], values[last], u, slopes[1])
    )
    solver = integrator(problem.pde, grid, periodic(2), values, dt=0.125)
    size = step_scale(solver, u, 0.0, 0.125)
    apart = np.abs(solver.step(u) - expected)
    np.testing.assert_array_less(apart, ALLOWED * EPS["float64"] * size + 1e-300)


# Upwind and Lax–Friedrichs by hand ---------------------------------------------------------------


@pytest.mark.parametrize("speed", [1.5, -1.5])
def test_upwind_takes_the_difference_from_where_the_wind_comes(speed: float) -> None:
    grid = Grid(x=(0, 1, 8))
    u = np.random.default_rng(11).standard_normal(8)
    solver = integrator(
        catalogue.build("advection", dimension=1), grid, periodic(1), {"c": speed},
        space="upwind", dt=0.05,
    )  # fmt: skip
    behind = u - np.roll(u, 1) if speed > 0 else np.roll(u, -1) - u
    expected = u - 0.05 * speed * behind * 8
    np.testing.assert_allclose(solver.step(u[None])[0], expected, rtol=0, atol=1e-14)


def test_upwind_turns_with_a_speed_that_changes_sign() -> None:
    grid, boundary = Grid(x=(-1, 1, 8), y=(-1, 1, 9)), Boundary(x=Free(), y=Free())
    u = np.random.default_rng(12).standard_normal((9, 8))
    dt = 0.05
    solver = integrator(catalogue["rotation"], grid, boundary, {"omega": 1}, space="upwind", dt=dt)
    (dx, dy), (xs, ys) = grid.spacing(boundary), grid.nodes(boundary)
    found = solver.step(u[None])[0]
    for j in range(1, 8):
        for i in range(1, 7):
            a, b = -ys[j], xs[i]  # u_t = a u_x + b u_y
            along_x = (u[j, i + 1] - u[j, i] if a > 0 else u[j, i] - u[j, i - 1]) / dx
            along_y = (u[j + 1, i] - u[j, i] if b > 0 else u[j, i] - u[j - 1, i]) / dy
            expected = u[j, i] + dt * (a * along_x + b * along_y)
            assert abs(found[j, i] - expected) < 1e-14


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_lax_friedrichs_starts_from_the_mean_of_the_neighbours(dimension: int) -> None:
    grid = Grid(**dict.fromkeys("xyz"[:dimension], (0, 1, 6)))
    u = np.random.default_rng(13).standard_normal((6,) * dimension)
    pde = catalogue.build("advection", dimension=dimension)
    solver = integrator(pde, grid, periodic(dimension), space="lax_friedrichs", dt=0.05)
    mean, slope = np.zeros_like(u), np.zeros_like(u)
    for axis, speed in enumerate((1.0, 0.5, 0.25)[:dimension]):
        forward, back = (np.roll(u, s, dimension - 1 - axis) for s in (-1, 1))
        mean += (forward + back) / (2 * dimension)
        slope += speed * (forward - back) * 3
    np.testing.assert_allclose(solver.step(u[None])[0], mean - 0.05 * slope, rtol=0, atol=1e-14)
