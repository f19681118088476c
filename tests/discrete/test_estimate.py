from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from pdenet.discrete.boundary import Neumann, Robin
from pdenet.discrete.estimate import rounded_up
from pdenet.discrete.stability import Bound
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import Coefficient, D, VectorField, fields, indices
from tests.discrete.stability_cases import bound, evolution, laplacian, scalar, stability, t, x, y

# Norms are rounded up to powers of 2^(1/16), so estimates lie at most 4.4 % below what they round.
ROUNDING = 2 ** (1 / 16)


def close_below(found: Bound, exact: float, powers: int = 1) -> bool:
    return exact / ROUNDING**powers * (1 - 1e-9) <= found.dt <= exact * (1 + 1e-9)


@given(st.floats(1e-8, 1e8))
def test_rounding_is_outwards_idempotent_and_within_one_step(number: float) -> None:
    up = rounded_up(number)
    assert number <= up * (1 + 1e-9)
    assert up / number <= ROUNDING * (1 + 1e-9)
    assert rounded_up(up) == up == -rounded_up(-up)


def test_upwind_burgers_is_bounded_by_the_fastest_value() -> None:
    u, _ = scalar(1)
    state = np.linspace(-0.3, 0.7, 12)[np.newaxis]
    for right in (-u * u.diff(x), -D(u**2 / 2, x)):
        found = stability(evolution(u, right), (0.1,), space="upwind").bound(state)
        assert close_below(found, 0.1 / 0.7)
        assert found.method == "norm estimate √(‖A‖₁‖A‖_∞)"


@pytest.mark.parametrize("viscosity", [1.0, 0.02])
def test_viscous_burgers_under_euler_obeys_both_limits(viscosity: float) -> None:
    u, _ = scalar(1)
    pde = evolution(u, -u * u.diff(x) + viscosity * u.diff(x, 2))
    found = stability(pde, (0.1,)).bound(np.full((1, 12), 0.8))
    # The speed enters squared, and the least viscosity is rounded down by 1/16, a power and a half.
    assert close_below(found, min(0.1**2 / 2 / viscosity, 2 * viscosity / 0.8**2), powers=4)


def test_reaction_and_diffusion_is_bounded_by_diffusion_and_decay() -> None:
    u, _ = scalar(2)
    pde = evolution(u, laplacian(u, (x, y)) - u**3)
    found = stability(pde, (0.1, 0.1)).bound(np.full((1, 12, 12), 10.0))
    # The decay is rounded by 1/16 of itself at most, less than two powers.
    assert close_below(found, 2 / (8 / 0.1**2 + 3 * 10.0**2), powers=2)
    assert found.growth == 0
    assert stability(evolution(u, laplacian(u, (x, y)) + u**2), (0.1, 0.1)).bound(
        np.full((1, 12, 12), 2.0)
    ).growth == pytest.approx(4)  # 2u, a power of 2


def test_diffusion_that_depends_on_the_state_takes_its_largest_value() -> None:
    u, _ = scalar(1)
    pde = evolution(u, D((1 + u**2) * u.diff(x), x))
    state = np.linspace(-1, 2, 12)[np.newaxis]
    assert close_below(stability(pde, (0.1,)).bound(state), 0.1**2 / 2 / 5)


@pytest.mark.parametrize(
    ("stepper", "limit"), [("leapfrog", 2.0), ("rk4", math.sqrt(8)), ("ssprk3", math.sqrt(3))]
)
def test_nonlinear_wave_equation_keeps_the_courant_limit(stepper: str, limit: float) -> None:
    u, axes = scalar(2)
    made = stability(evolution(u, laplacian(u, axes) - sp.sin(u), 2), (0.1, 0.1), stepper=stepper)
    found = made.bound(np.zeros((2, 12, 12)))
    # The force is Δ − cos 0: 8/h² + 1, and its square root counts.
    assert close_below(found, limit / math.sqrt(8 / 0.1**2 + 1))


def shallow_water() -> PDE:
    h, u, v = fields("h u v", (t, x, y))
    return PDE(
        sp.Eq(h.diff(t), -u * h.diff(x) - h * u.diff(x) - v * h.diff(y) - h * v.diff(y)),
        sp.Eq(u.diff(t), -u * u.diff(x) - v * u.diff(y) - 9 * h.diff(x)),
        sp.Eq(v.diff(t), -u * v.diff(x) - v * v.diff(y) - 9 * h.diff(y)),
    )


@given(st.integers(0, 2**32 - 1))
def test_shallow_water_estimate_lies_below_the_bound_of_every_frozen_state(seed: int) -> None:
    state = np.random.default_rng(seed).uniform(0.5, 1.5, (3, 12, 12))
    found = stability(shallow_water(), (0.1, 0.1), stepper="rk4").bound(state)
    # Eigenvalues of A_x s + A_y r: u·(s, r) and u·(s, r) ± √(9 h) |(s, r)|; |s|, |r| ≤ 1/h.
    h, u, v = state
    speed = (np.abs(u) + np.abs(v) + np.sqrt(9 * h) * math.sqrt(2)).max()
    assert 0 < found.dt <= math.sqrt(8) * 0.1 / speed


def eq3(n: int) -> tuple[PDE, dict[str, np.ndarray]]:
    i, j, k = indices("i j k")
    size = sp.Symbol("n")
    u = VectorField("u", size, (t, x, y))
    a, b, c, e = (Coefficient(s, (size, size)) for s in "ABCE")
    right = a[i, j] * c[j, k] * u[k] * u[j].diff(x) + b[i, j] * e[j, k] * u[k] * u[j].diff(y)
    rng = np.random.default_rng(n)
    return PDE(sp.Eq(u[i].diff(t), right)), {s: rng.normal(size=(n, n)) for s in "ABCE"}


def test_opaque_vectors_have_the_norms_of_their_matrices_written_out() -> None:
    n = 5
    pde, values = eq3(n)
    state = np.random.default_rng(1).normal(size=(n, 12, 12))
    rho = []
    for left, right in (("A", "C"), ("B", "E")):
        inner = np.einsum("jk,k...->j...", values[right], state)
        matrix = np.abs(np.einsum("ij,j...->ij...", values[left], inner))
        rho.append(np.sqrt(matrix.sum(axis=0).max(axis=0) * matrix.sum(axis=1).max(axis=0)).max())
    found = stability(pde, (0.1, 0.1), stepper="rk4", values=values).bound(state)
    assert close_below(found, math.sqrt(8) * 0.1 / sum(rho))


def test_opaque_vectors_need_no_array_of_components_squared_times_nodes() -> None:
    n = 48
    pde, values = eq3(n)
    made = stability(pde, (0.1, 0.1), stepper="rk4", values=values, points=24)
    state = np.random.default_rng(1).normal(size=(n, 24, 24))
    made.bound(state)
    tracemalloc.start()
    try:
        made.bound(state)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < n * state.nbytes / 4


def test_many_constant_components_have_a_sufficient_estimate() -> None:
    n = 40
    i, j = indices("i j")
    u = VectorField("u", sp.Symbol("n"), (t, x))
    pde = PDE(sp.Eq(u[i].diff(t), Coefficient("A", (sp.Symbol("n"),) * 2)[i, j] * u[j].diff(x)))
    matrix = np.random.default_rng(0).normal(size=(n, n))
    matrix = matrix + matrix.T
    made = stability(pde, (0.1,), stepper="rk4", values={"A": matrix})
    assert not made.depends_on_state
    exact = math.sqrt(8) * 0.1 / np.abs(np.linalg.eigvalsh(matrix)).max()
    norm = np.abs(matrix).sum(axis=0).max()
    assert close_below(made.bound(), math.sqrt(8) * 0.1 / norm)
    assert made.bound().dt <= exact


def test_bound_is_a_function_of_the_state_alone() -> None:
    # Whatever was asked before: a resumed run must take the steps of the run that was not stopped.
    rng = np.random.default_rng(2)
    states = rng.uniform(0.5, 1.5, (20, 3, 12, 12))
    one = stability(shallow_water(), (0.1, 0.1), stepper="rk4")
    forward = [one.bound(s).dt for s in states]
    other = stability(shallow_water(), (0.1, 0.1), stepper="rk4")
    assert [other.bound(s).dt for s in states[::-1]][::-1] == forward


@given(st.integers(0, 2**32 - 1), st.floats(1.0, 3.0))
def test_larger_speeds_never_allow_larger_steps(seed: int, factor: float) -> None:
    u, _ = scalar(1)
    made = stability(evolution(u, -u * u.diff(x)), (0.1,), space="upwind")
    state = np.random.default_rng(seed).normal(size=(1, 12))
    assert made.bound(factor * state).dt <= made.bound(state).dt


def test_robin_walls_lower_the_estimate_as_they_lower_the_exact_bound() -> None:
    u, _ = scalar(2)
    wall = Robin(7.0, 1.0)
    linear = bound(evolution(u, laplacian(u, (x, y))), (0.1, 0.1), condition=wall)
    made = stability(evolution(u, laplacian(u, (x, y)) - u**3), (0.1, 0.1), condition=wall)
    found = made.bound(np.zeros((1, 12, 12)))
    assert found.dt == pytest.approx(linear.dt, rel=1e-9)  # 1 is a power of 2
    assert found.method.endswith("with wall modes")


def test_derivatives_of_a_state_that_meets_walls_are_not_taken_across() -> None:
    # u_t = u_x² has the speed 2 u_x = 2, on a line that rises from wall to wall.
    u, _ = scalar(1)
    made = stability(
        evolution(u, u.diff(x) ** 2), (0.1,), stepper="rk4", condition=Neumann(0), points=12
    )
    found = made.bound((0.1 * np.arange(12))[np.newaxis])
    assert close_below(found, math.sqrt(8) * 0.1 / 2)
