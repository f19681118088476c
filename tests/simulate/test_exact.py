"""exact_periodic: against formulas, against a dense spectral operator in SciPy, and its laws."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any  # values of an equation

import numpy as np
import pytest
import scipy.integrate
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from pdenet.discrete.grid import Grid
from pdenet.equation.catalogue import catalogue
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import D, coordinates
from pdenet.errors import (
    EquationError,
    GridError,
    IllPosedError,
    InitialStateError,
    PdenetError,
    TimeError,
    ValuesError,
)
from pdenet.simulate.exact import exact_periodic
from tests.strategies import (
    anisotropic_diffusion,
    few_each,
    grids,
    hyperbolic_systems,
    parabolic_systems,
    periodic,
    states,
)

t, x, y, z = coordinates("t x y z")
u1, u2, u3 = (sp.Function("u")(*(t, x, y, z)[: d + 1]) for d in (1, 2, 3))
TURN = 2 * np.pi
# A transform of 500 numbers of size 1 rounds by a few eps times the logarithm of 500.
ROUNDING = 1e-14


def nodes(grid: Grid) -> tuple[np.ndarray, ...]:
    return grid.mesh(periodic(grid.dimension))


# Formulas ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_heat_modes_decay_at_their_own_rates(dimension: int) -> None:
    grid = Grid(**{a: (-1, 1, 9 + k) for k, a in enumerate("xyz"[:dimension])})
    mesh = nodes(grid)
    numbers = np.arange(1, 1 + dimension)
    mode = np.ones(grid.shape)
    for number, place in zip(numbers, mesh, strict=True):
        mode = mode * np.sin(np.pi * number * place)
    times = [0.0, 0.01, 0.3]
    found = exact_periodic(
        catalogue.build("heat", dimension=dimension), grid, mode[np.newaxis], times, {"D": 0.2}
    )
    rate = 0.2 * np.pi**2 * np.sum(numbers**2)
    assert found.shape == (3, 1, *grid.shape)
    for frame, moment in zip(found, times, strict=True):
        np.testing.assert_allclose(frame[0], np.exp(-rate * moment) * mode, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("points", [15, 16])
@pytest.mark.parametrize("name", ["wave", "wave_system"])
def test_wave_is_dalemberts_formula(name: str, points: int) -> None:
    grid, c = Grid(x=(0, 3, points)), 1.7
    (place,) = nodes(grid)

    def profile(s: np.ndarray) -> np.ndarray:
        return np.asarray(np.sin(TURN * s / 3) + 0.5 * np.cos(TURN * 3 * s / 3 + 1))

    def slope(s: np.ndarray) -> np.ndarray:
        return np.asarray(TURN / 3 * (np.cos(TURN * s / 3) - 1.5 * np.sin(TURN * 3 * s / 3 + 1)))

    # A quarter runs to the left: u = F(x − ct) + G(x + ct) with G = F/3.
    def truth(moment: float) -> np.ndarray:
        left, right = place + c * moment, place - c * moment
        return np.stack(
            [profile(right) + profile(left) / 3, -c * slope(right) + c * slope(left) / 3]
        )

    wave = catalogue.build(name, dimension=1)
    found = exact_periodic(wave, grid, truth(0), [0.37, 25.0], {"c": c})
    for frame, moment in zip(found, (0.37, 25.0), strict=True):
        # Phases k c t reach 270 radians; their rounding, 270 eps, multiplies velocities near 10.
        np.testing.assert_allclose(frame, truth(moment), rtol=0, atol=1e-12)


def test_first_order_wave_agrees_with_the_second_order_one() -> None:
    grid = Grid(x=(0, 1, 12), y=(0, 2, 11))
    across, up = nodes(grid)
    bump = np.cos(TURN * across) * np.sin(np.pi * up)
    slopes = [-TURN * np.sin(TURN * across) * np.sin(np.pi * up)]
    slopes.append(np.pi * np.cos(TURN * across) * np.cos(np.pi * up))
    still = np.zeros(grid.shape)
    second = exact_periodic(catalogue["wave"], grid, np.stack([bump, still]), 0.4)
    first = exact_periodic(catalogue["wave_first_order"], grid, np.stack([still, *slopes]), 0.4)
    np.testing.assert_allclose(first[0, 0], second[0, 1], rtol=0, atol=10 * ROUNDING)


@pytest.mark.parametrize("points", [9, 10])
@given(data=st.data())
def test_advection_translates_by_whole_cells_exactly(data: st.DataObject, points: int) -> None:
    grid = Grid(x=(0, 1, points), y=(0, 2, points + 2))
    start = data.draw(states(2, 1, largest=2)).on(grid.shape)
    cells = data.draw(st.tuples(st.integers(-3, 3), st.integers(-3, 3)))
    speeds = {"cx": cells[0] / points, "cy": cells[1] * 2 / (points + 2)}
    found = exact_periodic(catalogue["advection"], grid, start, 1.0, speeds)
    moved = np.roll(start, (cells[1], cells[0]), axis=(1, 2))
    np.testing.assert_allclose(found[0], moved, rtol=0, atol=10 * ROUNDING)


@pytest.mark.parametrize("number", [1, 2, 5])
def test_linear_part_of_kdv_disperses_as_omega_equals_minus_k_cubed(number: int) -> None:
    grid = Grid(x=(0, 1, 16))
    (place,) = nodes(grid)
    airy = PDE(sp.Eq(u1.diff(t), -u1.diff(x, 3)))
    k, moment = TURN * number, 0.01
    found = exact_periodic(airy, grid, np.cos(k * place)[np.newaxis], moment)
    # u_t = −u_xxx moves cos(kx) with phase + k³ t, here up to 310 radians: 310 eps.
    truth = np.cos(k * place + k**3 * moment)
    np.testing.assert_allclose(found[0, 0], truth, rtol=0, atol=3e-13)


def test_fourth_order_and_mixed_derivatives_have_their_symbols() -> None:
    grid = Grid(x=(0, 1, 8), y=(0, 1, 9))
    across, up = nodes(grid)
    pde = PDE(sp.Eq(u2.diff(t), -u2.diff(x, 4) / 1000 + u2.diff(x, y) / 10))
    found = exact_periodic(pde, grid, np.cos(TURN * (across + 2 * up))[np.newaxis], 0.2)
    rate = -(TURN**4) / 1000 - 2 * TURN**2 / 10
    truth = np.exp(rate * 0.2) * np.cos(TURN * (across + 2 * up))
    np.testing.assert_allclose(found[0, 0], truth, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("damping", [0.0, 0.5])
def test_source_is_integrated_exactly(damping: float) -> None:
    # u_t = D u_xx − a u + sin x + 2: each wave relaxes, and the mean grows where a = 0.
    grid = Grid(x=(0, TURN, 12))
    (place,) = nodes(grid)
    heat = PDE(sp.Eq(u1.diff(t), u1.diff(x, 2) / 10 - damping * u1 + sp.sin(x) + 2))
    found = exact_periodic(heat, grid, np.zeros((1, 12)), [0.5, 7.0])
    for frame, moment in zip(found, (0.5, 7.0), strict=True):
        rate = 0.1 + damping
        wave = (1 - np.exp(-rate * moment)) / rate * np.sin(place)
        mean = 2 * (moment if damping == 0 else (1 - np.exp(-damping * moment)) / damping)
        np.testing.assert_allclose(frame[0], wave + mean, rtol=0, atol=20 * ROUNDING)


def test_source_of_a_system_is_integrated_exactly() -> None:
    # u_tt = c² u_xx + cos x from rest: u = (1 − cos ct)/c² cos x, and S(0) is singular.
    grid = Grid(x=(0, TURN, 9))
    (place,) = nodes(grid)
    wave = catalogue.build("wave", dimension=1).with_sources({"u": sp.cos(x) + 1})
    found = exact_periodic(wave, grid, np.zeros((2, 9)), 1.3, {"c": 2})[0]
    truth = (1 - np.cos(2.6)) / 4 * np.cos(place) + 1.3**2 / 2
    np.testing.assert_allclose(found[0], truth, rtol=0, atol=20 * ROUNDING)


def test_flux_of_a_source_is_differentiated() -> None:
    grid = Grid(x=(0, TURN, 9))
    (place,) = nodes(grid)
    pde = PDE(sp.Eq(u1.diff(t), D(sp.sin(x) + u1, x)))
    found = exact_periodic(pde, grid, np.zeros((1, 9)), 0.6)
    np.testing.assert_allclose(
        found[0, 0], np.sin(place + 0.6) - np.sin(place), rtol=0, atol=ROUNDING
    )


# Against another library -----------------------------------------------------------------------


def derivative_matrix(points: int, length: float) -> np.ndarray:
    """The spectral derivative of Trefethen (2000), Spectral Methods in MATLAB, eq. (3.7)."""
    difference = np.subtract.outer(np.arange(points), np.arange(points))
    sign = (-1.0) ** difference
    with np.errstate(divide="ignore"):
        half = np.pi * difference / points
        entries = sign / 2 / (np.tan(half) if points % 2 == 0 else np.sin(half))
    entries[difference == 0] = 0
    return np.asarray(entries * TURN / length)


@pytest.mark.parametrize("shape", [(8, 7), (7, 8), (9, 9), (8, 8)])
def test_random_hyperbolic_system_is_what_scipy_integrates(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    grid = Grid(x=(0, 1, shape[1]), y=(0, 2, shape[0]))
    a, b = (m + m.T for m in rng.normal(size=(2, 3, 3)))
    start = rng.normal(size=(3, *shape))  # rough: the shortest waves are there too
    along_x, along_y = derivative_matrix(shape[1], 1), derivative_matrix(shape[0], 2)

    def rate(_: float, flat: np.ndarray) -> np.ndarray:
        state = flat.reshape(start.shape)
        made = np.einsum("ij,jyx,Xx->iyX", a, state, along_x)
        return np.asarray(made + np.einsum("ij,jyx,Yy->iYx", b, state, along_y)).ravel()

    solved = scipy.integrate.solve_ivp(
        rate, (0, 0.1), start.ravel(), method="DOP853", rtol=1e-12, atol=1e-12
    )
    found = exact_periodic(catalogue["eq9"], grid, start, 0.1, {"A": a, "B": b})
    # DOP853 was asked for 1e-12 a step and takes about a hundred.
    np.testing.assert_allclose(found[0].ravel(), solved.y[:, -1], rtol=0, atol=1e-10)


# Laws ------------------------------------------------------------------------------------------

STRATEGIES: dict[str, Callable[[int], Any]] = {
    "hyperbolic": hyperbolic_systems,
    "parabolic": parabolic_systems,
    "anisotropic": anisotropic_diffusion,
}


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("kind", list(STRATEGIES))
@few_each
@given(data=st.data())
def test_solving_to_s_and_then_to_t_is_solving_to_s_plus_t(
    data: st.DataObject, kind: str, dimension: int
) -> None:
    problem = data.draw(STRATEGIES[kind](dimension))
    grid = data.draw(grids(dimension))
    # Random numbers at the nodes: every wave is there, the shortest of even grids among them.
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    start = rng.uniform(-1, 1, size=(problem.num_components, *grid.shape))
    s, rest = 0.01, 0.02

    def solve(initial: np.ndarray, moment: float) -> np.ndarray:
        return np.asarray(exact_periodic(problem.pde, grid, initial, moment, problem.values)[0])

    # Exponents |S t| reach 50 (k = 70 in each of 3 axes, speeds 2); rounding is that many eps, and
    # squaring in expm repeats it.
    np.testing.assert_allclose(
        solve(solve(start, s), rest), solve(start, s + rest), rtol=0, atol=1e-11
    )


@pytest.mark.parametrize("dimension", [1, 2, 3])
@few_each
@given(data=st.data())
def test_symmetric_hyperbolic_systems_conserve_energy_and_run_backwards(
    data: st.DataObject, dimension: int
) -> None:
    problem = data.draw(hyperbolic_systems(dimension))
    grid = data.draw(grids(dimension))
    start = data.draw(states(dimension, problem.num_components)).on(grid.shape)
    late = exact_periodic(problem.pde, grid, start, [0.5], problem.values)[0]
    back = exact_periodic(problem.pde, grid, late, -0.5, problem.values)[0]
    # At most 4·11³ numbers of size 1; exponents reach 12 radians a unit of length 1/2, 300 eps.
    assert abs(np.sum(late**2) - np.sum(start**2)) <= 1e-11 * max(1, np.sum(start**2))
    np.testing.assert_allclose(back, start, rtol=0, atol=1e-11)


@pytest.mark.parametrize("dimension", [1, 2, 3])
@few_each
@given(data=st.data())
def test_parabolic_systems_keep_the_mean_and_lose_energy(
    data: st.DataObject, dimension: int
) -> None:
    problem = data.draw(parabolic_systems(dimension))
    grid = data.draw(grids(dimension))
    start = data.draw(states(dimension, problem.num_components)).on(grid.shape)
    late = exact_periodic(problem.pde, grid, start, [0.1], problem.values)[0]
    space = tuple(range(1, 1 + dimension))
    np.testing.assert_allclose(late.mean(axis=space), start.mean(axis=space), atol=1e-13)
    assert np.sum(late**2) <= np.sum(start**2) * (1 + 1e-12)


def test_shortest_wave_of_an_even_grid_stays_where_odd_derivatives_vanish() -> None:
    grid = Grid(x=(0, 1, 8))
    sawtooth = np.array([[1.0, -1.0] * 4])
    advection = catalogue.build("advection", dimension=1)
    np.testing.assert_array_equal(exact_periodic(advection, grid, sawtooth, 0.3)[0], sawtooth)
    # … and even derivatives see it: u_xx = −(π/h)² u.
    heat = catalogue.build("heat", dimension=1)
    found = exact_periodic(heat, grid, sawtooth, 0.1, {"D": 0.01})[0]
    np.testing.assert_allclose(found, np.exp(-0.001 * (8 * np.pi) ** 2) * sawtooth, rtol=1e-14)


def test_times_come_in_any_order_and_zero_returns_the_initial_state_bitwise() -> None:
    grid = Grid(x=(0, 1, 9))
    start = np.random.default_rng(0).normal(size=(1, 9))
    heat = catalogue.build("heat", dimension=1)
    found = exact_periodic(heat, grid, start, np.array([0.2, 0.0, 0.1]))
    np.testing.assert_array_equal(found[1], start)
    np.testing.assert_array_equal(found[2], exact_periodic(heat, grid, start, 0.1)[0])
    assert exact_periodic(heat, grid, start, []).shape == (0, 1, 9)


@few_each
@given(data=st.data())
def test_expressions_and_their_values_at_the_nodes_are_one_initial_state(
    data: st.DataObject,
) -> None:
    grid = data.draw(grids(2))
    start = data.draw(states(2, 3))
    names = dict(zip(("p", "u", "v"), start.expressions(grid), strict=True))
    found = [
        exact_periodic(catalogue["acoustics"], grid, s, 0.1) for s in (names, start.on(grid.shape))
    ]
    # Nodes up to 8 away from 0 in units of lengths from 1/2 on: phases of 100 radians, 100 eps.
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-12)


def test_source_given_by_an_array_over_the_grid() -> None:
    grid = Grid(x=(0, TURN, 9))
    (place,) = nodes(grid)
    pde = PDE(sp.Eq(u1.diff(t), u1.diff(x, 2) + sp.Function("f")(x)))
    found = exact_periodic(pde, grid, np.zeros((1, 9)), 0.7, {"f": np.cos(2 * place)})
    truth = (1 - np.exp(-4 * 0.7)) / 4 * np.cos(2 * place)
    np.testing.assert_allclose(found[0, 0], truth, rtol=0, atol=ROUNDING)


def test_batches_of_wave_vectors_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = Grid(x=(0, 1, 9), y=(0, 1, 8))
    start = np.random.default_rng(0).normal(size=(3, 8, 9))
    whole = exact_periodic(catalogue["acoustics"], grid, start, 0.3)
    # 40 wave vectors: the last batch holds one.
    monkeypatch.setattr("pdenet.simulate.exact._BATCH", 13)
    # Not bitwise: matrix products round by the size of the stack.
    parts = exact_periodic(catalogue["acoustics"], grid, start, 0.3)
    np.testing.assert_allclose(parts, whole, rtol=0, atol=10 * ROUNDING)


# Bad input -------------------------------------------------------------------------------------

HEAT = catalogue.build("heat", dimension=1)
V1 = sp.Function("v")(t, x)
BACKWARD = PDE(
    sp.Eq(u1.diff(t), -u1.diff(x, 2) + V1.diff(x)), sp.Eq(V1.diff(t), u1.diff(x) - V1.diff(x, 2))
)
LINE = Grid(x=(0, 1, 8))
STATE = np.ones((1, 8))


@pytest.mark.parametrize(
    ("pde", "grid", "initial", "times", "values", "error", "words"),
    [
        (catalogue["burgers_1d"], LINE, STATE, 1, None, EquationError, "not linear"),
        (
            catalogue["rotation"],
            Grid(x=(0, 1, 8), y=(0, 1, 8)),
            np.ones((1, 8, 8)),
            1,
            None,
            EquationError,
            "depends on the coordinates",
        ),
        (HEAT.with_sources({"u": t}), LINE, STATE, 1, None, EquationError, "not depend on time"),
        (HEAT.with_sources({"u": 1 / x}), LINE, STATE, 1, None, EquationError, "cell (0,)"),
        (HEAT, Grid(x=(0, 1, 8), y=(0, 1, 8)), STATE, 1, None, GridError, "axes x of"),
        (HEAT, LINE, np.ones(9), 1, None, InitialStateError, "(1, 8)"),
        (HEAT, LINE, STATE * 1j, 1, None, InitialStateError, "complex128"),
        (HEAT, LINE, STATE * np.nan, 1, None, InitialStateError, "at cell (0,)"),
        (HEAT, LINE, STATE, np.inf, None, TimeError, "inf"),
        (HEAT, LINE, STATE, "1", None, TimeError, "'1'"),
        (HEAT, LINE, STATE, True, None, TimeError, "True"),
        (HEAT, LINE, STATE, 1, {"d": 1}, ValuesError, "'d'"),
        (HEAT, LINE, STATE + np.eye(1, 8), -1e6, None, IllPosedError, "beyond all numbers"),
        (
            catalogue.build("gray_scott", dimension=1),
            LINE,
            np.ones((2, 8)),
            1,
            None,
            EquationError,
            "not linear",
        ),
        (
            BACKWARD,
            LINE,
            np.eye(2, 8),
            1e6,
            None,
            IllPosedError,
            "beyond all numbers",
        ),
        (
            catalogue.build("eq9", dimension=1),
            LINE,
            STATE,
            1,
            {"A": np.full((1, 1), x, dtype=object)},
            EquationError,
            "A varies",
        ),
    ],
    ids=str,
)
def test_bad_input_is_refused(
    pde: PDE,
    grid: Grid,
    initial: np.ndarray,
    times: Any,
    values: Any,
    error: type[PdenetError],
    words: str,
) -> None:
    with pytest.raises(error, match=re.escape(words)):
        exact_periodic(pde, grid, initial, times, values)
