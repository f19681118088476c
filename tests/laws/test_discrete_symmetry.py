"""A turned problem gives the turned result, bit for bit.

No tolerance: stencils add symmetric pairs, terms that differ by an exchange of axes are added in an
order that the exchange does not change, so the computer does the same additions in another place.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any  # states of both back ends

import numpy as np
import pytest
import sympy as sp

from pdenet.discrete.boundary import Boundary, Dirichlet, Neumann, Periodic, Robin
from pdenet.discrete.grid import Grid
from pdenet.equation.catalogue import catalogue
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import D, coordinates
from tests.laws.direct import integrator
from tests.tiers import Each

t, x, y = coordinates("t x y")
Symmetry = tuple[int, bool]
"""The number of quarter turns, then mirror or not."""

# The eight symmetries of the square, but for the one that does nothing.
D4: list[Symmetry] = list(itertools.product(range(4), (False, True)))[1:]
N = 12
Step = Callable[[Any], Any]
Turn = Callable[[np.ndarray, Symmetry], np.ndarray]


def turned(field: np.ndarray, turns: int, mirror: bool) -> np.ndarray:
    """A scalar field on the square, last two axes (y, x), turned and then mirrored in x."""
    made = np.rot90(field, turns, axes=(-1, -2))  # from x towards y, y growing with the row
    return np.flip(made, -1) if mirror else made


def matrix(turns: int, mirror: bool) -> np.ndarray:
    """What the same symmetry does to a vector (x, y)."""
    quarter = np.array([[0, -1], [1, 0]])
    made = np.linalg.matrix_power(quarter, turns)
    return np.array([[-1, 0], [0, 1]]) @ made if mirror else made


def turned_scalars(state: np.ndarray, symmetry: Symmetry) -> np.ndarray:
    return turned(state, *symmetry)


def turned_vector(field: np.ndarray, turns: int, mirror: bool) -> np.ndarray:
    """A vector field, shape (2, y, x): moved to its new place and turned along."""
    moved = turned(field, turns, mirror)
    return np.einsum("ij,jyx->iyx", matrix(turns, mirror), moved)


def nodes(is_periodic: bool) -> tuple[Grid, np.ndarray]:
    # On a periodic grid the square's symmetries map nodes to nodes about the middle of the nodes.
    grid = Grid(x=(-1, 1, N), y=(-1, 1, N))
    return grid, np.random.default_rng(N + is_periodic).standard_normal((N, N))


def advanced(step: Step, state: np.ndarray, steps: int) -> np.ndarray:
    for _ in range(steps):
        state = step(state)
    return state


def check_commutes(
    each: Each, step: Step, start: np.ndarray, steps: int, turn: Turn = turned_scalars
) -> None:
    """Steps of the turned start are the turned steps, for each symmetry of the square."""
    left = advanced(step, start, steps)
    assert np.ptp(left) > 1e-8  # not all of it has decayed
    for symmetry, held in each(D4, key=lambda s: f"{90 * s[0]}{'m' if s[1] else ''}"):
        with held:
            right = advanced(step, turn(start, symmetry).copy(), steps)
            # −0 equals 0 here, as it should: signs of zeros carry no information.
            np.testing.assert_array_equal(turn(left, symmetry), right)


def test_turning_vectors_is_what_geometry_says() -> None:
    """The gradient of a turned function is the turned gradient."""
    grid = Grid(x=(-1, 1, 9), y=(-1, 1, 9))
    across, up = grid.mesh(Boundary(x=Neumann(0), y=Neumann(0)))
    f = across**2 + 3 * up + across * up
    gradient = np.stack([2 * across + up, 3 + across + 0 * up])
    for turns, mirror in D4:
        rows, columns = np.gradient(turned(f, turns, mirror), 0.25, edge_order=2)
        found = turned_vector(gradient, turns, mirror)
        # edge_order 2 is exact for this quadratic, up to rounding.
        np.testing.assert_allclose(found, np.stack([columns, rows]), atol=1e-12)


_WALLS = {
    "Periodic": Periodic(),
    "Dirichlet": Dirichlet(0.3),
    "Neumann": Neumann(-0.7),
    "Robin": Robin(1, 2, 0.4),
}


@pytest.mark.parametrize("space", ["central2", "central4", "central6", "nine_point"])
@pytest.mark.parametrize("wall", _WALLS)
def test_heat_commutes_with_the_square_bitwise_for_500_steps(
    each: Each, wall: str, space: str
) -> None:
    grid, u = nodes(wall == "Periodic")
    boundary = Boundary(x=_WALLS[wall], y=_WALLS[wall])
    h = grid.spacing(boundary)[0]
    steps = 500 if space == "central2" else 50
    solver = integrator(catalogue["heat"], grid, boundary, {"D": 1}, space=space, dt=h**2 / 8)
    check_commutes(each, solver.step, u[None], steps)


@pytest.mark.parametrize("stepper", ["heun", "ssprk3", "rk4"])
def test_the_wave_system_commutes_with_the_square_when_its_vectors_turn_along(
    each: Each, stepper: str
) -> None:
    """(p, q, r) = (u_t, u_x, u_y): p is a scalar, (q, r) a vector."""
    grid, _ = nodes(is_periodic=True)
    solver = integrator(
        catalogue["wave_first_order"], grid, Boundary(x=Periodic(), y=Periodic()),
        {"c": 1.25}, stepper=stepper, dt=0.02,
    )  # fmt: skip
    start = np.random.default_rng(5).standard_normal((3, N, N))

    def moved(state: np.ndarray, symmetry: Symmetry) -> np.ndarray:
        return np.concatenate([turned(state[:1], *symmetry), turned_vector(state[1:], *symmetry)])

    check_commutes(each, solver.step, start, 100, moved)


@pytest.mark.parametrize("wall", _WALLS)
@pytest.mark.parametrize("stepper", ["leapfrog", "symplectic_euler"])
def test_second_order_waves_commute_with_the_square(each: Each, stepper: str, wall: str) -> None:
    grid, u = nodes(wall == "Periodic")
    boundary = Boundary(x=_WALLS[wall], y=_WALLS[wall])
    solver = integrator(catalogue["wave"], grid, boundary, stepper=stepper, dt=0.05)
    check_commutes(each, solver.step, np.stack([u, u.T[::-1] ** 2]), 100)


@pytest.mark.parametrize("wall", ["Periodic", "Neumann"])
def test_divergence_form_commutes_with_the_square(each: Each, wall: str) -> None:
    """D(k u_x, x) + D(k u_y, y) with a coefficient that is symmetric itself, and u² under it."""
    u = sp.Function("u")(t, x, y)
    pde = PDE(sp.Eq(u.diff(t), D((1 + u**2) * u.diff(x), x) + D((1 + u**2) * u.diff(y), y)))
    grid, start = nodes(wall == "Periodic")
    boundary = Boundary(x=_WALLS[wall], y=_WALLS[wall])
    solver = integrator(pde, grid, boundary, dt=0.001)
    check_commutes(each, solver.step, start[None], 50)


_MANY_TERMS = {
    # The order in which terms are added shows only with more than two of them.
    "reaction": lambda f: f.diff(x, 2) + f.diff(y, 2) + f - f**3,
    "fourth order": lambda f: (
        f / 4 - f**3 - 2 * f.diff(x, 2) - 2 * f.diff(y, 2)
        - f.diff(x, 4) - 2 * f.diff(x, 2, y, 2) - f.diff(y, 4)
    ),
    "eikonal": lambda f: f.diff(x) ** 2 + f.diff(y) ** 2 + f.diff(x, 2) + f.diff(y, 2) + f,
}  # fmt: skip


@pytest.mark.parametrize("wall", ["Periodic", "Neumann"])
@pytest.mark.parametrize("name", _MANY_TERMS)
def test_sums_of_many_terms_commute_with_the_square(each: Each, name: str, wall: str) -> None:
    u = sp.Function("u")(t, x, y)
    pde = PDE(sp.Eq(u.diff(t), _MANY_TERMS[name](u)))
    grid, start = nodes(wall == "Periodic")
    boundary = Boundary(x=_WALLS[wall], y=_WALLS[wall])
    solver = integrator(pde, grid, boundary, dt=1e-5, stepper="rk4")
    check_commutes(each, solver.step, start[None], 50)


def _heat_3d() -> Callable[[np.ndarray], np.ndarray]:
    grid = Grid(**dict.fromkeys("xyz", (0, 1, 7)))
    boundary = Boundary(x=Periodic(), y=Periodic(), z=Periodic())
    pde = catalogue.build("heat", dimension=3)
    return integrator(pde, grid, boundary, {"D": 1}, dt=1e-3).step


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_heat_in_a_cube_commutes_with_mirrors(axis: int) -> None:
    """Exchanges of axes are not among them: three terms have no symmetric order of addition."""
    step = _heat_3d()
    start = np.random.default_rng(7).standard_normal((1, 7, 7, 7))
    left, right = advanced(step, start, 100), advanced(step, np.flip(start, axis).copy(), 100)
    np.testing.assert_array_equal(np.flip(left, axis), right)


_TRANSLATED = (
    "heat", "wave", "wave_first_order", "gray_scott", "burgers_2d", "shallow_water", "maxwell_tm",
)  # fmt: skip


@pytest.mark.parametrize("name", _TRANSLATED)
def test_translations_of_periodic_grids_are_exact(each: Each, name: str) -> None:
    """A library may add the parts of a contraction in another order at the ends of a row, so this
    holds for equations in scalar fields, whose arithmetic is element by element.
    """
    pde = catalogue[name]
    grid = Grid(x=(-1, 1, 9), y=(0, 1, 8))
    boundary = Boundary(x=Periodic(), y=Periodic())
    stepper = "leapfrog" if name == "wave" else "rk4"
    solver = integrator(pde, grid, boundary, stepper=stepper, dt=0.005)
    start = 0.1 * np.random.default_rng(8).standard_normal((len(solver.components), 8, 9))
    left = advanced(solver.step, start, 50)
    for shift, held in each([(1, 0), (0, 1), (3, -2)]):
        with held:
            right = advanced(solver.step, np.roll(start, shift, axis=(1, 2)), 50)
            np.testing.assert_array_equal(np.roll(left, shift, axis=(1, 2)), right)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_both_back_ends_commute_with_the_square(each: Each, backend: str) -> None:
    import torch

    grid, u = nodes(is_periodic=False)
    boundary = Boundary(x=Neumann(0.1), y=Neumann(0.1))
    solver = integrator(catalogue["heat"], grid, boundary, backend=backend, dt=0.005)

    def step(state: np.ndarray) -> np.ndarray:
        if backend == "numpy":
            return solver.step(state)
        return solver.step(torch.from_numpy(state)).numpy()

    check_commutes(each, step, u[None], 50)
