"""Laws of time steppers: their order, their growth factors, their limits of stability."""

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from numpy.polynomial import Polynomial

from pdenet.discrete.steppers import (
    POSITIONS,
    STEPPERS,
    VELOCITIES,
    RungeKutta,
    Splitting,
    stepper,
)
from pdenet.errors import SchemeError

RUNGE_KUTTA = [method for method in STEPPERS.values() if isinstance(method, RungeKutta)]
SPLITTING = [method for method in STEPPERS.values() if isinstance(method, Splitting)]
EPS = np.finfo(np.float64).eps

runge_kutta = pytest.mark.parametrize("method", RUNGE_KUTTA, ids=lambda m: m.name)
splitting = pytest.mark.parametrize("method", SPLITTING, ids=lambda m: m.name)


def order_conditions(method: RungeKutta) -> dict[str, tuple[int, Fraction, Fraction]]:
    """Butcher's conditions, one for each rooted tree of up to four nodes: (order, is, should be).

    Source: Hairer, Nørsett & Wanner 1993, Solving Ordinary Differential Equations I, Table II.2.1.
    """
    stages = range(method.stages)
    a = [[method.a[i][j] if j < i else Fraction(0) for j in stages] for i in stages]
    b, c = method.b, method.c
    ac = [sum((a[i][j] * c[j] for j in stages), Fraction(0)) for i in stages]
    ac2 = [sum((a[i][j] * c[j] ** 2 for j in stages), Fraction(0)) for i in stages]
    aac = [sum((a[i][j] * ac[j] for j in stages), Fraction(0)) for i in stages]

    def weighted(values: Callable[[int], Fraction]) -> Fraction:
        return sum((b[i] * values(i) for i in stages), Fraction(0))

    return {
        "τ": (1, weighted(lambda i: Fraction(1)), Fraction(1)),
        "[τ]": (2, weighted(lambda i: c[i]), Fraction(1, 2)),
        "[τ,τ]": (3, weighted(lambda i: c[i] ** 2), Fraction(1, 3)),
        "[[τ]]": (3, weighted(lambda i: ac[i]), Fraction(1, 6)),
        "[τ,τ,τ]": (4, weighted(lambda i: c[i] ** 3), Fraction(1, 4)),
        "[τ,[τ]]": (4, weighted(lambda i: c[i] * ac[i]), Fraction(1, 8)),
        "[[τ,τ]]": (4, weighted(lambda i: ac2[i]), Fraction(1, 12)),
        "[[[τ]]]": (4, weighted(lambda i: aac[i]), Fraction(1, 24)),
    }


@runge_kutta
def test_order_conditions_hold_exactly_up_to_the_order_and_not_beyond(method: RungeKutta) -> None:
    conditions = order_conditions(method).values()
    assert all(value == wanted for order, value, wanted in conditions if order <= method.order)
    next_order = [
        value == wanted for order, value, wanted in conditions if order == method.order + 1
    ]
    assert method.order == 4 or not all(next_order)


@runge_kutta
def test_polynomial_is_the_exponential_series_up_to_the_order_and_not_beyond(
    method: RungeKutta,
) -> None:
    series = tuple(Fraction(1, math.factorial(k)) for k in range(method.order + 2))
    padded = (*method.polynomial, Fraction(0))
    assert padded[: method.order + 1] == series[:-1]
    assert padded[method.order + 1] != series[-1]


@runge_kutta
def test_amplification_is_what_one_step_of_the_tableau_does(method: RungeKutta) -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(3, 4)) + 1j * rng.normal(size=(3, 4))
    slopes: list[np.ndarray] = []
    for row in method.a:
        inner = sum((float(a) * k for a, k in zip(row, slopes, strict=True)), np.zeros_like(z))
        slopes.append(z * (1 + inner))
    y = 1 + sum((float(b) * k for b, k in zip(method.b, slopes, strict=True)), np.zeros_like(z))
    growth = method.amplification(z)
    assert growth.shape == z.shape
    # At most ten operations on either side, on terms of at most Σ|z|^k/k! ≤ exp|z|.
    np.testing.assert_array_less(np.abs(growth - np.abs(y)), 20 * EPS * np.exp(np.abs(z)))


def oscillator_step(method: Splitting, z: complex) -> np.ndarray:
    """One step on (u, dt u_t) for u_tt = λ²u, z = λ dt, substep after substep."""
    matrix = np.eye(2, dtype=np.complex128)
    for group, fraction in method.substeps:
        substep = np.eye(2, dtype=np.complex128)
        substep[group, 1 - group] = float(fraction) * (z**2 if group == VELOCITIES else 1)
        matrix = substep @ matrix
    return matrix


@splitting
def test_splitting_amplification_is_the_spectral_radius_of_one_step(method: Splitting) -> None:
    rng = np.random.default_rng(1)
    z = rng.normal(size=50) + 1j * rng.normal(size=50)
    radii = [np.abs(np.linalg.eigvals(oscillator_step(method, w))).max() for w in z]
    # Random eigenvalues are apart; conditioning and norms stay below 100.
    np.testing.assert_allclose(method.amplification(z), radii, rtol=100 * EPS)


@splitting
def test_oscillators_inside_the_limit_keep_their_size(method: Splitting) -> None:
    z = 1j * np.linspace(0, method.imaginary_limit, 1001)
    # |g|² = (1 + h)² + |h(h + 2)| is 1 up to the rounding of these few operations.
    np.testing.assert_allclose(method.amplification(z), 1, rtol=8 * EPS)
    assert method.amplification(1.0001j * method.imaginary_limit) > 1.01


@splitting
def test_propagator_is_the_exact_flow_up_to_the_order(method: Splitting) -> None:
    """exp [[0, 1], [z², 0]] = [[cosh z, sinh z/z], [z sinh z, cosh z]], in powers of z².

    An error of O(dt^(p+1)) in u and u_t means one of z^(p+1) on the diagonal, z^p in the corner
    that multiplies dt u_t, and z^(p+2) in the corner that gives dt u_t.
    """

    def agree(polynomial: Polynomial, powers: list[int], below: int) -> bool:
        # Entry k of `polynomial` multiplies z^(2k); the exact coefficient is 1/powers[k]!
        padded = (*polynomial.coef, *[Fraction(0)] * len(powers))
        return all(
            padded[k] == (Fraction(1, math.factorial(n)) if n >= 0 else 0)
            for k, n in enumerate(powers)
            if 2 * k < below
        )

    p = method.order
    (uu, uv), (vu, vv) = method.propagator
    exact = {
        "uu": (uu, [0, 2, 4, 6], p + 1),
        "uv": (uv, [1, 3, 5, 7], p),
        "vu": (vu, [-1, 1, 3, 5], p + 2),
        "vv": (vv, [0, 2, 4, 6], p + 1),
    }
    assert all(agree(*entry) for entry in exact.values())
    beyond = [(polynomial, powers, below + 1) for polynomial, powers, below in exact.values()]
    assert not all(agree(*entry) for entry in beyond)


@splitting
def test_a_pendulum_under_gravity_that_changes_converges_with_the_order(method: Splitting) -> None:
    """u_tt = −(1 + t) sin u: nonlinear, and the force's time matters."""

    def final(num_steps: int) -> np.ndarray:
        dt = 1.0 / num_steps
        state = np.array([1.0, 0.5])
        for n in range(num_steps):
            for (group, fraction), tau in zip(method.substeps, method.stage_times, strict=True):
                time = (n + float(tau)) * dt
                slope = state[1] if group == POSITIONS else -(1 + time) * math.sin(state[0])
                state[group] += float(fraction) * dt * slope
        return state

    errors = [np.abs(final(n) - final(2 * n)).max() for n in (200, 400)]
    # The ratio is 2^p (1 + O(dt)) with dt = 1/200, so the logarithm is off by about 1 %.
    assert abs(math.log2(errors[0] / errors[1]) - method.order) < 0.05


def test_a_splitting_may_leave_stability_through_either_end_of_its_trace() -> None:
    """Drifts d, kicks k by turns give the trace 2 − Y + d₁d₂k₁k₂ Y², Y = |λ dt|²."""
    forth, back = Fraction(3, 2), Fraction(-1, 2)
    method = Splitting("zigzag", 1, ((0, forth), (1, forth), (0, back), (1, back)))
    # Here 2 − Y + 9/16 Y², which never comes down to −2 and passes +2 at Y = 16/9.
    assert method.imaginary_limit == pytest.approx(4 / 3, rel=8 * EPS)
    assert method.amplification(1.34j) > 1.01
    np.testing.assert_allclose(method.amplification(1.33j), 1, rtol=8 * EPS)


def test_symplectic_euler_changes_the_velocities_first() -> None:
    method = STEPPERS["symplectic_euler"]
    assert isinstance(method, Splitting)
    assert [group for group, _ in method.substeps] == [VELOCITIES, POSITIONS]


def test_leapfrog_is_the_three_level_recursion() -> None:
    """u_{n+1} = 2u_n − u_{n−1} + dt² F(u_n), for any force."""
    method = STEPPERS["leapfrog"]
    assert isinstance(method, Splitting)
    dt, state = 0.1, np.array([1.0, 0.3])
    positions = [state[0]]
    for _ in range(20):
        for group, fraction in method.substeps:
            slope = state[1] if group == POSITIONS else -math.sin(state[0])
            state[group] += float(fraction) * dt * slope
        positions.append(state[0])
    u = np.array(positions)
    residual = u[2:] - 2 * u[1:-1] + u[:-2] + dt**2 * np.sin(u[1:-1])
    # Some ten operations on numbers of size 1.
    assert np.abs(residual).max() <= 10 * EPS


# (imaginary, real), from closed forms: RK4 on the real axis is the root of
# 24 − 12x + 4x² − x³ = 0 from R(−x) = 1, by Cardano's formula.
RK4_REAL = (4 + (172 + 36 * math.sqrt(29)) ** (1 / 3) - (36 * math.sqrt(29) - 172) ** (1 / 3)) / 3
# SSP-RK3: R(−x) = −1 is 12 − 6x + 3x² − x³ = 0.
SSPRK3_REAL = 1 + (4 + math.sqrt(17)) ** (1 / 3) - (math.sqrt(17) - 4) ** (1 / 3)
LIMITS = {
    "euler": (0.0, 2.0),
    "symplectic_euler": (2.0, 0.0),
    "leapfrog": (2.0, 0.0),
    "heun": (0.0, 2.0),
    "ssprk3": (math.sqrt(3), SSPRK3_REAL),
    "rk4": (math.sqrt(8), RK4_REAL),
}


@pytest.mark.parametrize("name", STEPPERS)
def test_limits_of_stability_are_the_known_ones(name: str) -> None:
    method = STEPPERS[name]
    # Roots of polynomials of degree ≤ 3 with simple roots: conditioning below 100.
    assert method.imaginary_limit == pytest.approx(LIMITS[name][0], rel=100 * EPS, abs=0)
    assert method.real_limit == pytest.approx(LIMITS[name][1], rel=100 * EPS, abs=0)


def test_limits_of_stability_are_the_printed_ones() -> None:
    assert STEPPERS["rk4"].imaginary_limit == pytest.approx(2.8284271, abs=5e-8)
    assert STEPPERS["rk4"].real_limit == pytest.approx(2.7852936, abs=5e-8)
    assert STEPPERS["ssprk3"].imaginary_limit == pytest.approx(1.7320508, abs=5e-8)
    assert STEPPERS["ssprk3"].real_limit == pytest.approx(2.5127453, abs=5e-8)


@runge_kutta
@pytest.mark.parametrize("direction", [-1, 1j], ids=["real", "imaginary"])
def test_growth_passes_one_exactly_at_the_limit(method: RungeKutta, direction: complex) -> None:
    limit = method.real_limit if direction == -1 else method.imaginary_limit
    inside = method.amplification(direction * np.linspace(0, limit, 1001))
    # Horner's rule: two roundings a degree, up to 4, relative to Σ|z|^k/k! ≤ exp|z|.
    assert inside.max() <= 1 + 8 * EPS * math.exp(limit)
    assert method.amplification(direction * (limit + 0.01)) > 1


@pytest.mark.parametrize("name", STEPPERS)
def test_stage_times_start_inside_the_step(name: str) -> None:
    method = stepper(name)
    assert method.name == name
    assert len(method.stage_times) == method.stages
    assert all(0 <= time <= 1 for time in method.stage_times)


def test_stage_times_of_a_splitting_are_those_of_the_values_it_reads() -> None:
    assert list(STEPPERS["symplectic_euler"].stage_times) == [0, 1]
    assert list(STEPPERS["leapfrog"].stage_times) == [0, Fraction(1, 2), 1]


def test_unknown_steppers_are_refused_with_a_suggestion() -> None:
    with pytest.raises(SchemeError, match=r"got 'leap_frog'.*Did you mean 'leapfrog'\?"):
        stepper("leap_frog")
    with pytest.raises(SchemeError, match="euler, symplectic_euler, leapfrog, heun, ssprk3, rk4"):
        stepper(["rk4"])  # type: ignore[arg-type]


def test_tables_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        STEPPERS["euler"] = STEPPERS["rk4"]  # type: ignore[index]


def test_inconsistent_methods_are_refused() -> None:
    one, half = Fraction(1), Fraction(1, 2)
    with pytest.raises(SchemeError, match="row i of a with i entries"):
        RungeKutta("implicit", 1, a=((one,),), b=(one,), c=(one,))
    with pytest.raises(SchemeError, match="row i of a with i entries"):
        RungeKutta("short", 1, a=((), (one,)), b=(one,), c=(Fraction(0), one))
    with pytest.raises(SchemeError, match="sum to 1"):
        RungeKutta("slow", 1, a=((),), b=(half,), c=(Fraction(0),))
    with pytest.raises(SchemeError, match="row sums"):
        RungeKutta("late", 1, a=((),), b=(one,), c=(one,))
    with pytest.raises(SchemeError, match=r"\(1, 1/2\)"):
        Splitting("slow", 1, ((0, one), (1, half)))
    with pytest.raises(SchemeError, match="groups 0 and 1"):
        Splitting("three groups", 1, ((0, one), (1, one), (2, one)))
