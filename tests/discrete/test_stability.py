from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from pdenet.discrete.amplification import largest_step
from pdenet.discrete.boundary import Boundary, Condition, Neumann, Periodic, Robin
from pdenet.discrete.choosing import automatic_dt, check, choose, probe
from pdenet.discrete.grid import Grid
from pdenet.discrete.scheme import discretise
from pdenet.discrete.stability import Stability
from pdenet.discrete.steppers import STEPPERS, RungeKutta
from pdenet.equation.catalogue import catalogue
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import Coefficient, D, VectorField, fields, indices
from pdenet.equation.values import bind
from pdenet.errors import IllPosedError, StabilityError, StabilityWarning
from tests.discrete.stability_cases import (
    bound,
    dimensions,
    evolution,
    laplacian,
    one_step,
    scalar,
    spectral_radius,
    stability,
    t,
    x,
    y,
    z,
)
from tests.strategies import few_each
from tests.tiers import both_tiers

# What is promised. Bounds are found as the least over waves; long waves are taken at θ = 1e-3,
# where bounds of the limit θ → 0 are off by θ²/12.
EXACT = 1e-6


@dimensions
def test_euler_heat_is_bounded_by_the_sum_of_2d_over_h_squared(h: tuple[float, ...]) -> None:
    u, axes = scalar(len(h))
    found = bound(evolution(u, 0.3 * laplacian(u, axes)), h)
    assert found.dt == pytest.approx(1 / sum(2 * 0.3 / k**2 for k in h), rel=EXACT)
    assert (found.growth, found.method) == (0.0, "von Neumann, exact")


@dimensions
def test_divergence_form_has_the_bound_of_its_compact_difference(h: tuple[float, ...]) -> None:
    u, axes = scalar(len(h))
    right = sp.Add(*(D(0.3 * u.diff(a), a) for a in axes))
    assert bound(evolution(u, right), h).dt == pytest.approx(
        1 / sum(2 * 0.3 / k**2 for k in h), rel=EXACT
    )


def test_nine_point_heat_is_bounded_by_three_eighths() -> None:
    # [[1, 4, 1], [4, −20, 4], [1, 4, 1]]/6 by hand; its symbol is least at (π, π), −16/3.
    a, b = np.meshgrid(*[np.linspace(0, np.pi, 721)] * 2)
    least = ((8 * (np.cos(a) + np.cos(b)) + 4 * np.cos(a) * np.cos(b) - 20) / 6).min()
    u, axes = scalar(2)
    found = bound(evolution(u, laplacian(u, axes)), (0.1, 0.1), space="nine_point")
    assert found.dt == pytest.approx(-2 / least * 0.1**2, rel=EXACT)


@dimensions
@pytest.mark.parametrize("stepper", ["leapfrog", "symplectic_euler"])
def test_splitting_takes_the_wave_equation_to_the_courant_limit(
    h: tuple[float, ...], stepper: str
) -> None:
    u, axes = scalar(len(h))
    found = bound(evolution(u, 4 * laplacian(u, axes), 2), h, stepper=stepper)
    assert found.dt == pytest.approx(1 / (2 * math.sqrt(sum(1 / k**2 for k in h))), rel=EXACT)


@dimensions
@pytest.mark.parametrize(
    ("stepper", "limit"), [("rk4", 2 * math.sqrt(2)), ("ssprk3", math.sqrt(3)), ("heun", 0.0)]
)
def test_central_advection_reaches_the_imaginary_limit(
    h: tuple[float, ...], stepper: str, limit: float
) -> None:
    u, axes = scalar(len(h))
    speeds = (1.0, -2.0, 3.0)[: len(h)]
    right = sp.Add(*(c * u.diff(a) for c, a in zip(speeds, axes, strict=True)))
    courant = sum(abs(c) / k for c, k in zip(speeds, h, strict=True))
    found = bound(evolution(u, right), h, stepper=stepper)
    assert found.dt == pytest.approx(limit / courant, rel=EXACT)


@pytest.mark.parametrize("space", ["central4", "central6"])
def test_wider_stencils_are_bounded_by_their_own_largest_wave(space: str) -> None:
    theta = np.linspace(0, np.pi, 200_001)
    first = {
        "central4": (8 * np.sin(theta) - np.sin(2 * theta)) / 6,
        "central6": (45 * np.sin(theta) - 9 * np.sin(2 * theta) + np.sin(3 * theta)) / 30,
    }
    second = {"central4": 16 / 3, "central6": 272 / 45}
    u, _ = scalar(1)
    advected = bound(evolution(u, u.diff(x)), (0.1,), space=space, stepper="rk4")
    assert advected.dt == pytest.approx(math.sqrt(8) * 0.1 / first[space].max(), rel=EXACT)
    heated = bound(evolution(u, u.diff(x, 2)), (0.1,), space=space)
    assert heated.dt == pytest.approx(2 * 0.01 / second[space], rel=EXACT)


@dimensions
def test_upwind_advection_is_bounded_by_the_sum_of_courant_numbers(h: tuple[float, ...]) -> None:
    u, axes = scalar(len(h))
    speeds = (1.0, -2.0, 3.0)[: len(h)]
    right = sp.Add(*(c * u.diff(a) for c, a in zip(speeds, axes, strict=True)))
    courant = sum(abs(c) / k for c, k in zip(speeds, h, strict=True))
    found = bound(evolution(u, right), h, space="upwind")
    assert found.dt == pytest.approx(1 / courant, rel=EXACT)


def test_upwind_rotation_is_bounded_at_the_corner() -> None:
    u, _ = scalar(2)
    made = stability(
        evolution(u, x * u.diff(y) - y * u.diff(x)),
        (0.1, 0.07),
        space="upwind",
        condition=Neumann(0),
    )
    far_x, far_y = (float(made.scheme.domain.nodes(axis).max()) for axis in (0, 1))
    found = made.bound()
    assert found.dt == pytest.approx(1 / (far_x / 0.07 + far_y / 0.1), rel=EXACT)
    assert found.method == "von Neumann, coefficients frozen over the grid"
    assert f"x = {far_x:.4g}, y = {far_y:.4g}" in found.reason


@pytest.mark.parametrize("diffusion", [1.0, 0.02])
def test_advection_diffusion_under_euler_obeys_both_limits(diffusion: float) -> None:
    u, _ = scalar(1)
    found = bound(evolution(u, u.diff(x) + diffusion * u.diff(x, 2)), (0.1,))
    assert found.dt == pytest.approx(min(0.1**2 / 2 / diffusion, 2 * diffusion), rel=EXACT)


@dimensions
def test_lax_friedrichs_is_bounded_by_the_length_of_the_velocity(h: tuple[float, ...]) -> None:
    # c dt/h ≤ 1 in one dimension, (a² + b²) dt²/h² ≤ 1/2 in two, |c|² dt²/h² ≤ 1/3 in three.
    u, axes = scalar(len(h))
    speeds = (1.0, -2.0, 3.0)[: len(h)]
    right = sp.Add(*(c * u.diff(a) for c, a in zip(speeds, axes, strict=True)))
    equal = (0.1,) * len(h)
    found = bound(evolution(u, right), equal, space="lax_friedrichs")
    length = math.sqrt(len(h) * sum(c**2 for c in speeds))
    assert found.dt == pytest.approx(0.1 / length, rel=EXACT)


def test_third_derivative_is_bounded_where_its_symbol_is_largest() -> None:
    # |2 sin θ − sin 2θ| ≤ 3√3/2, at θ = 2π/3.
    u, _ = scalar(1)
    found = bound(evolution(u, -u.diff(x, 3)), (0.1,), stepper="rk4")
    assert found.dt == pytest.approx(math.sqrt(8) * 0.001 / (1.5 * math.sqrt(3)), rel=EXACT)
    assert "3 spacings" in found.reason


@pytest.mark.parametrize("count", [2, 3], ids=["acoustics", "maxwell"])
def test_wave_systems_with_rk4_reach_the_imaginary_limit(count: int) -> None:
    p, u, v = fields("p u v", (t, x, y))
    if count == 2:  # speed 2 along x
        pde = PDE(
            sp.Eq(p.diff(t), -4 * u.diff(x)), sp.Eq(u.diff(t), -p.diff(x)), sp.Eq(v.diff(t), 0 * v)
        )
        expected = math.sqrt(8) / 2 * 0.1
    else:  # TM mode with light at speed 1
        pde = PDE(
            sp.Eq(p.diff(t), v.diff(x) - u.diff(y)),
            sp.Eq(u.diff(t), -p.diff(y)),
            sp.Eq(v.diff(t), p.diff(x)),
        )
        expected = math.sqrt(8) / math.sqrt(1 / 0.1**2 + 1 / 0.07**2)
    assert bound(pde, (0.1, 0.07), stepper="rk4").dt == pytest.approx(expected, rel=EXACT)


def test_reaction_that_grows_leaves_the_heat_bound_and_is_reported() -> None:
    u, _ = scalar(1)
    found = bound(evolution(u, u.diff(x, 2) + 5 * u), (0.1,))
    assert found.growth == pytest.approx(5, rel=EXACT)
    assert found.dt == pytest.approx(0.1**2 / 2, rel=EXACT)


def test_growth_of_a_band_of_waves_is_its_maximum() -> None:
    # k² − k⁴ is largest at k² = 1/2.
    u, _ = scalar(1)
    found = bound(evolution(u, -u.diff(x, 2) - u.diff(x, 4)), (0.5,), points=64)
    assert found.growth == pytest.approx(0.25, rel=EXACT)
    assert 0 < found.dt < 2 / (16 / 0.5**4 - 4 / 0.5**2)


def ill_posed() -> list[PDE]:
    u, _ = scalar(1)
    v = fields("v", (t, x))
    w, _ = scalar(2)
    return [
        evolution(u, -u.diff(x, 2)),
        evolution(u, u.diff(x, 4)),
        evolution(u, u.diff(x, 3) - u.diff(x, 2)),
        evolution(u, -u.diff(x, 2), 2),
        evolution(w, w.diff(x, 2) - w.diff(y, 2)),
        evolution(w, w.diff(x, 2) + 3 * w.diff(x, y) + w.diff(y, 2)),
        evolution(u, x * u.diff(x, 2) - u.diff(x, 2)),
        PDE(sp.Eq(u.diff(t), v.diff(x)), sp.Eq(v.diff(t), -u.diff(x))),
        PDE(sp.Eq(u.diff(t), v.diff(x, 2)), sp.Eq(v.diff(t), u.diff(x, 2))),
    ]


@pytest.mark.parametrize("pde", ill_posed(), ids=str)
def test_equations_with_unbounded_growth_are_refused_by_every_stepper(pde: PDE) -> None:
    for stepper in ("euler", "rk4"):
        with pytest.raises(IllPosedError, match="growth rate is bounded"):
            bound(pde, (0.1,) * len(pde.axes), stepper=stepper)


STABLE_BY_THEORY = [
    # (real parts, imaginary parts) of eigenvalues with the largest stable dt, by hand
    ("euler", -1 + 1j, 1.0),  # |1 + z| = 1 on the circle about −1: 2·1/(1 + 1)
    ("euler", 1j, 0.0),
    ("heun", 1j, 0.0),
    ("rk4", 1j, math.sqrt(8)),
    ("ssprk3", 2j, math.sqrt(3) / 2),
    ("leapfrog", 4j, 0.5),
    ("rk4", 1j + 1e-13, math.sqrt(8)),  # rounding across the axis is none
]


@pytest.mark.parametrize(("name", "eigenvalue", "dt"), STABLE_BY_THEORY)
def test_largest_step_along_a_ray(name: str, eigenvalue: complex, dt: float) -> None:
    found = largest_step(np.array([eigenvalue]), 0.0, STEPPERS[name])
    assert found[0] == pytest.approx(dt, abs=1e-14, rel=1e-12)  # roots of polynomials, degree ≤ 7


@pytest.mark.parametrize("name", ["euler", "heun", "ssprk3", "rk4"])
def test_least_step_of_many_eigenvalues_is_that_of_the_worst_alone(name: str) -> None:
    rng = np.random.default_rng(0)
    many = -(rng.uniform(0, 1, 20_000) ** 3) + 1j * rng.uniform(-1, 1, 20_000)
    few = [largest_step(part, 0.3, STEPPERS[name]).min() for part in np.split(many, 10)]
    assert largest_step(many, 0.3, STEPPERS[name]).min() == min(few)


@given(
    st.sampled_from([s for s in STEPPERS.values() if isinstance(s, RungeKutta)]),
    st.floats(-1.0, 0.0),
    st.floats(0.0, 1.0),
)
def test_largest_step_is_where_the_modulus_first_exceeds_one(
    stepper: RungeKutta, real: float, imaginary: float
) -> None:
    lam = complex(real, imaginary)
    dt = float(largest_step(np.array([lam, 1e-3 * lam - 1]), 0.0, stepper)[0])
    if math.isinf(dt):
        assert abs(lam) < 1e-9  # rounding of 0 beside the other eigenvalue
        return
    below = stepper.amplification(np.linspace(0, 1, 200) * dt * lam)
    assert below.max() <= 1 + 1e-10  # rounding of |R|, plus that of the root
    # Just above, the exact polynomial in rationals of float inputs is larger than 1.
    if dt > 0 and abs(real) > 1e-6:
        z = [Fraction(part) * Fraction(dt * (1 + 1e-7)) for part in (real, imaginary)]
        a, b, power = Fraction(0), Fraction(0), (Fraction(1), Fraction(0))
        for coefficient in stepper.polynomial:
            a, b = a + coefficient * power[0], b + coefficient * power[1]
            power = (power[0] * z[0] - power[1] * z[1], power[0] * z[1] + power[1] * z[0])
        assert a * a + b * b > 1


finite = st.floats(-2.0, 2.0).map(lambda v: round(v, 3))


@st.composite
def hyperbolic_parabolic(draw: st.DrawFn, size: int, dimension: int) -> PDE:
    """∂u/∂t = Σ A_a ∂_a u + Σ K_a ∂_a² u with A symmetric and K positive definite."""
    axes = (x, y)[:dimension]
    u = sp.Matrix(fields("u v w", (t, *axes))[:size])
    right = sp.zeros(size, 1)
    viscous = draw(st.booleans())
    for axis in axes:
        entries = draw(st.lists(finite, min_size=size * size, max_size=size * size))
        a = sp.Matrix(size, size, entries)
        k = sp.Matrix(size, size, draw(st.permutations(entries)))
        right += (a + a.T) * u.diff(axis)
        if viscous:
            right += (k * k.T + sp.eye(size) / 4) * u.diff(axis, 2)
    return PDE(*(sp.Eq(f.diff(t), r, evaluate=False) for f, r in zip(u, right, strict=True)))


@pytest.mark.parametrize("stepper", ["euler", "ssprk3", "rk4"])
@pytest.mark.parametrize(("size", "dimension"), [(1, 1), (3, 1), (1, 2), (2, 2)])
@few_each
@given(data=st.data())
def test_one_step_of_the_simulator_has_spectral_radius_one_below_the_bound(
    stepper: str, size: int, dimension: int, data: st.DataObject
) -> None:
    pde = data.draw(hyperbolic_parabolic(size, dimension))
    made = stability(pde, (0.2, 0.3)[:dimension], stepper=stepper, points=5)
    dt = made.bound().dt
    if dt == 0 or math.isinf(dt):  # Euler without viscosity, or nothing moves
        return
    # Eigenvalues of the assembled matrix are good to eps times the condition of eigenvectors,
    # which are the waves: 1e-9 is far above.
    assert spectral_radius(one_step(pde, made, 0.999 * dt)) <= 1 + 1e-9


@pytest.mark.parametrize("stepper", ["euler", "heun", "ssprk3", "rk4"])
@few_each
@given(speed=st.floats(0.0, 3.0), diffusion=st.floats(0.05, 2.0))
def test_no_step_above_the_bound_is_stable(stepper: str, speed: float, diffusion: float) -> None:
    # The symbol by hand, on 4001 waves: their spacing of 1.6e-3 costs 1e-6 of a smooth minimum.
    h = 0.1
    theta = np.linspace(-np.pi, np.pi, 4001)
    lam = 1j * speed * np.sin(theta) / h - diffusion * (2 * np.sin(theta / 2) / h) ** 2
    u, _ = scalar(1)
    right = sp.Float(speed) * u.diff(x) + sp.Float(diffusion) * u.diff(x, 2)
    dt = bound(evolution(u, right), (h,), stepper=stepper).dt
    assert STEPPERS[stepper].amplification(0.9999 * dt * lam).max() <= 1 + 1e-12
    assert STEPPERS[stepper].amplification(1.0001 * dt * lam).max() > 1


def test_constant_vector_system_has_the_bound_of_its_eigenvalues() -> None:
    n = 6
    i, j = indices("i j")
    u = VectorField("u", sp.Symbol("n"), (t, x))
    a = Coefficient("A", (sp.Symbol("n"),) * 2)
    pde = PDE(sp.Eq(u[i].diff(t), a[i, j] * u[j].diff(x)))
    matrix = np.random.default_rng(0).normal(size=(n, n))
    matrix = matrix + matrix.T
    largest = np.abs(np.linalg.eigvalsh(matrix)).max()
    found = bound(pde, (0.1,), stepper="rk4", values={"A": matrix})
    assert found.dt == pytest.approx(math.sqrt(8) * 0.1 / largest, rel=EXACT)
    rotation = np.kron(np.eye(n // 2), [[0, 1], [-1, 0]])
    with pytest.raises(IllPosedError):
        bound(pde, (0.1,), stepper="rk4", values={"A": rotation})


def test_frozen_coefficients_take_the_worst_node_and_moment() -> None:
    u, _ = scalar(1)
    pde = evolution(u, (1 + x**2) * (2 + sp.sin(t)) * u.diff(x, 2))
    made = stability(pde, (0.1,), points=11, condition=Neumann(0))
    assert made.depends_on_time
    for moment in (0.0, 1.0, 2.5):
        worst = (1 + 1.0**2) * (2 + math.sin(moment))
        assert made.bound(t=moment).dt == pytest.approx(0.1**2 / 2 / worst, rel=EXACT)


def solved(pde: PDE, space: str, stepper: str) -> tuple[str, str]:
    grid = Grid(**dict.fromkeys(pde.axes, (-1, 1, 12)))
    boundary = Boundary(**{a: Periodic() for a in pde.axes})
    values = bind(pde.system, {})
    scheme, _ = choose(values.system, values, grid, boundary, space, stepper)
    return scheme.space, scheme.stepper.name


def choices() -> list[tuple[PDE, str, str, tuple[str, str]]]:
    u, axes = scalar(2)
    v, w = fields("v w", (t, x, y))
    s, _ = scalar(1)
    rotation = evolution(u, x * u.diff(y) - y * u.diff(x))
    system = PDE(sp.Eq(v.diff(t), w), sp.Eq(w.diff(t), laplacian(v, axes)))
    acoustic = PDE(sp.Eq(v.diff(t), w.diff(x)), sp.Eq(w.diff(t), v.diff(x)))
    damped = PDE(sp.Eq(v.diff(t), w), sp.Eq(w.diff(t), laplacian(v, axes) - w))
    slow = evolution(s, s.diff(x) + s.diff(x, 2) / 10**4)
    return [
        (evolution(u, laplacian(u, axes)), "auto", "auto", ("central2", "euler")),
        (evolution(u, laplacian(u, axes), 2), "auto", "auto", ("central2", "leapfrog")),
        (rotation, "auto", "auto", ("upwind", "euler")),
        (rotation, "auto", "rk4", ("central2", "rk4")),
        (rotation, "central4", "auto", ("central4", "rk4")),
        (system, "auto", "auto", ("central2", "rk4")),
        (acoustic, "auto", "auto", ("central2", "rk4")),
        # Euler is stable too, at steps of the size of h² and of the viscosity.
        (damped, "auto", "auto", ("central2", "rk4")),
        (slow, "central2", "auto", ("central2", "rk4")),
        (slow, "auto", "auto", ("upwind", "euler")),
        (acoustic, "lax_friedrichs", "auto", ("lax_friedrichs", "euler")),
        (evolution(s, -s * s.diff(x)), "auto", "auto", ("upwind", "euler")),
        (evolution(s, -6 * s * s.diff(x) - s.diff(x, 3)), "auto", "auto", ("central2", "rk4")),
        (evolution(s, s.diff(x, 2) - s**3), "auto", "auto", ("central2", "euler")),
    ]


@pytest.mark.parametrize(("pde", "space", "stepper", "expected"), choices())
def test_automatic_choice(pde: PDE, space: str, stepper: str, expected: tuple[str, str]) -> None:
    assert solved(pde, space, stepper) == expected


@pytest.mark.parametrize("name", ["heat", "acoustics", "advection_diffusion", "gray_scott"])
@pytest.mark.parametrize("wall", [Periodic(), Neumann(0), Robin(2, 1, 0)], ids=repr)
def test_the_automatic_stepper_goes_farthest_by_an_evaluation(name: str, wall: Condition) -> None:
    """Among forward Euler and RK4, with central differences."""
    pde = catalogue[name]
    grid = Grid(**dict.fromkeys(pde.axes, (-1, 1, 12)))
    boundary = Boundary(**dict.fromkeys(pde.axes, wall))
    values = bind(pde.system, {p.name: p.default or 0.7 for p in pde.parameters})
    chosen, _ = choose(values.system, values, grid, boundary, "central2", "auto")
    per_evaluation = {}
    for stepper in ("euler", "rk4"):
        scheme = discretise(values.system, grid, boundary, "central2", STEPPERS[stepper])
        bound = probe(Stability(scheme, values))
        per_evaluation[stepper] = automatic_dt(bound) / STEPPERS[stepper].stages
    assert chosen.stepper.name == max(per_evaluation, key=lambda s: per_evaluation[s])


def test_backward_heat_is_refused_whatever_the_stepper() -> None:
    u, _ = scalar(1)
    backward = evolution(u, -u.diff(x, 2))
    with pytest.raises(IllPosedError):
        solved(backward, "auto", "auto")
    for stepper in ("euler", "rk4", "heun"):
        with pytest.raises(IllPosedError):
            stability(backward, (0.1,), stepper=stepper).bound()


def heat(dt: float, mode: str) -> None:
    u, _ = scalar(1)
    made = stability(evolution(u, u.diff(x, 2)), (0.1,))
    check(made.bound(), dt, mode, made.scheme, made.values)


def test_step_above_the_limit_is_refused_with_the_limit_and_what_would_work() -> None:
    with pytest.raises(StabilityError) as caught:
        heat(0.0065, "refuse")
    text = str(caught.value)
    assert "dt = 0.0065 is above the stable limit 0.005 of forward Euler for u_t = u_xx" in text
    assert "on spacing 0.1; use dt <= 0.005" in text
    assert 'stepper="rk4"' in text  # takes 2.785/2 as much
    with pytest.warns(StabilityWarning, match="above the stable limit"):
        heat(0.0065, "warn")
    heat(0.0065, "ignore")
    heat(0.005, "refuse")


def test_combination_that_is_never_stable_is_told_apart_and_mended() -> None:
    v, w = fields("v w", (t, x))
    u, _ = scalar(1)
    for pde in (
        evolution(u, u.diff(x)),
        PDE(sp.Eq(v.diff(t), w.diff(x)), sp.Eq(w.diff(t), v.diff(x))),
        evolution(u, u.diff(x, 2), 2),
    ):
        made = stability(pde, (0.1,))
        assert made.bound().dt == 0
        with pytest.raises(StabilityError, match="unstable at every dt") as caught:
            check(made.bound(), 0.01, "refuse", made.scheme, made.values)
        assert 'stepper="' in str(caught.value)


def test_advice_of_a_refusal_is_itself_stable() -> None:
    u, _ = scalar(1)
    made = stability(evolution(u, u.diff(x)), (0.1,))
    with pytest.raises(StabilityError) as caught:
        check(made.bound(), 0.2, "refuse", made.scheme, made.values)
    assert 'use stepper="rk4"' in str(caught.value)
    assert bound(evolution(u, u.diff(x)), (0.1,), stepper="rk4").dt >= 0.2


@both_tiers
def test_printed_limit_may_be_used_as_it_stands(deep: bool) -> None:
    u, _ = scalar(1)
    for k, stepper in itertools.product(range(1, 40, 1 if deep else 4), ("euler", "rk4")):
        made = stability(evolution(u, sp.Rational(k, 7) * u.diff(x, 2)), (0.1,), stepper=stepper)
        with pytest.raises(StabilityError) as caught:
            check(made.bound(), 1.0, "refuse", made.scheme)
        printed = float(str(caught.value).split("use dt <= ")[1].split()[0])
        check(made.bound(), printed, "refuse", made.scheme)


def test_bound_of_a_state_is_asked_for_with_a_state() -> None:
    u, _ = scalar(1)
    made = stability(evolution(u, -u * u.diff(x)), (0.1,), space="upwind")
    assert isinstance(made, Stability)
    assert made.depends_on_state
    with pytest.raises(StabilityError, match="depends on the state"):
        made.bound()


def test_unequal_spacings_in_three_dimensions_weigh_the_smallest_most() -> None:
    u, axes = scalar(3)
    even = bound(evolution(u, laplacian(u, axes)), (0.1, 0.1, 0.1)).dt
    fine = bound(evolution(u, laplacian(u, axes)), (0.1, 0.1, 0.05)).dt
    assert even / fine == pytest.approx((1 + 1 + 4) / 3, rel=EXACT)
    assert z in axes
