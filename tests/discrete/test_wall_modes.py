from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import sympy as sp

from pdenet.discrete.boundary import (
    Boundary,
    Condition,
    Dirichlet,
    Free,
    Neumann,
    Periodic,
    Robin,
    ZeroPadding,
)
from pdenet.discrete.choosing import check
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import fields
from pdenet.errors import StabilityError
from tests.cover import by_turns, crossed
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
)

# What is promised; half-line modes are roots of polynomials, good to 1e-12.
EXACT = 1e-6


@dimensions
@pytest.mark.parametrize("alpha", [0.01, 0.5, 3.0])
def test_robin_heat_is_bounded_by_its_wall_mode(h: tuple[float, ...], alpha: float) -> None:
    u, axes = scalar(len(h))
    walls = Boundary(**{a.name: Robin(alpha / k, 1.0) for a, k in zip(axes, h, strict=True)})
    found = bound(evolution(u, 0.3 * laplacian(u, axes)), h, boundary=walls)
    expected = 1 / sum(0.3 * (1 + math.hypot(1, alpha)) / k**2 for k in h)
    assert found.dt == pytest.approx(expected, rel=EXACT)
    assert found.method == "von Neumann, exact, with wall modes"
    # The wave equation has the same operator.
    wave = bound(evolution(u, 0.3 * laplacian(u, axes), 2), h, boundary=walls, stepper="leapfrog")
    assert wave.dt == pytest.approx(math.sqrt(2 * expected), rel=EXACT)
    wave = bound(evolution(u, 0.3 * laplacian(u, axes), 2), h, boundary=walls, stepper="rk4")
    assert wave.dt == pytest.approx(2 * math.sqrt(expected), rel=EXACT)  # √8 for 2


def test_one_robin_wall_among_others_counts_on_its_axis_only() -> None:
    u, axes = scalar(2)
    walls = Boundary(x=(Dirichlet(0), Robin(5.0, 1.0)), y=Periodic())
    found = bound(evolution(u, laplacian(u, axes)), (0.1, 0.1), boundary=walls)
    expected = 1 / ((1 + math.hypot(1, 0.5)) + 2) * 0.1**2
    assert found.dt == pytest.approx(expected, rel=EXACT)


def test_robin_that_feeds_the_solution_is_growth_of_the_equation_itself() -> None:
    # e^{(a/b) x} decays away from the wall and grows like e^{D (a/b)² t}; on the grid that rate is
    # 2 (√(1 + α²) − 1) D/h² with α = h a/b, the same to α²/4.
    u, _ = scalar(1)
    walls = Boundary(x=(Robin(-2.0, 1.0), Dirichlet(0)))
    found = bound(evolution(u, u.diff(x, 2)), (0.05,), boundary=walls, points=40)
    assert found.growth == pytest.approx(2 * (math.hypot(1, 0.1) - 1) / 0.05**2, rel=EXACT)
    assert found.dt > 0


@pytest.mark.parametrize("space", ["central2", "central4"])
def test_reflections_leave_the_bound_of_waves(space: str) -> None:
    u, axes = scalar(2)
    pde = evolution(u, laplacian(u, axes))
    periodic = bound(pde, (0.1, 0.1), space=space)
    for low, high in itertools.product((Dirichlet(0), Neumann(0), ZeroPadding()), repeat=2):
        walls = Boundary(x=(low, high), y=(high, low))
        found = bound(pde, (0.1, 0.1), space=space, boundary=walls)
        assert found.dt == pytest.approx(periodic.dt, rel=1e-12)  # spacings differ by rounding
        assert found.method == periodic.method


def advected(low: Condition, high: Condition, space: str, stepper: str) -> tuple[PDE, Boundary]:
    u, _ = scalar(1)
    return evolution(u, -u.diff(x)), Boundary(x=(low, high))


@pytest.mark.parametrize(
    ("space", "stepper"), [("central2", "rk4"), ("central4", "rk4"), ("upwind", "euler")]
)
def test_advection_from_a_prescribed_inflow_to_a_free_outflow_is_accepted(
    space: str, stepper: str
) -> None:
    pde, walls = advected(Dirichlet(0), Free(), space, stepper)
    options = {"space": space, "stepper": stepper, "points": 20}
    found = bound(pde, (0.1,), boundary=walls, **options)
    assert found.dt == pytest.approx(bound(pde, (0.1,), **options).dt, rel=EXACT)


@pytest.mark.parametrize("space", ["central2", "central4"])
def test_inflow_without_a_condition_against_a_wall_is_refused(space: str) -> None:
    # The sawtooth that the outflow wall reflects comes back multiplied by more, the finer the grid.
    pde, walls = advected(Free(), Dirichlet(0), space, "rk4")
    made = stability(pde, (0.1,), boundary=walls, space=space, stepper="rk4", points=20)
    found = made.bound()
    assert found.dt == 0
    assert "wall" in found.reason
    with pytest.raises(StabilityError, match="unstable at every dt"):
        check(found, 0.01, "refuse", made.scheme, made.values)
    # The truth: the rate of one step of the simulator on three grids keeps rising.
    rates = []
    for points in (11, 21, 41):
        h = 1 / (points - 1)
        fine = stability(pde, (h,), boundary=walls, space=space, stepper="rk4", points=points)
        rates.append(math.log(spectral_radius(one_step(pde, fine, 0.1 * h))) / (0.1 * h))
    assert rates[2] - rates[1] > 0.8 * (rates[1] - rates[0]) > 0


@pytest.mark.parametrize("free", [Free(), Neumann(0)], ids=["free", "mirrored"])
@pytest.mark.parametrize("space", ["central2", "central4"])
def test_acoustics_between_hard_walls_keeps_the_bound_of_waves(free: Condition, space: str) -> None:
    p, u, v = fields("p u v", (t, x, y))
    pde = PDE(
        sp.Eq(p.diff(t), -u.diff(x) - v.diff(y)),
        sp.Eq(u.diff(t), -p.diff(x)),
        sp.Eq(v.diff(t), -p.diff(y)),
    )
    walls = Boundary(
        x={"u": Dirichlet(0), "p": free, "v": free}, y={"u": free, "p": free, "v": Dirichlet(0)}
    )
    options = {"space": space, "stepper": "rk4"}
    found = bound(pde, (0.1, 0.1), boundary=walls, **options)
    assert found.dt == pytest.approx(bound(pde, (0.1, 0.1), **options).dt, rel=EXACT)


CONDITIONS: dict[str, Condition] = {
    "dirichlet": Dirichlet(0),
    "neumann": Neumann(0),
    "robin": Robin(1, 1),
    "zero": ZeroPadding(),
    "free": Free(),
}


def equations() -> list[tuple[str, str, PDE]]:
    u, _ = scalar(1)
    return [
        ("central2", "euler", evolution(u, u.diff(x, 2))),
        ("central4", "rk4", evolution(u, u.diff(x, 2))),
        ("central2", "rk4", evolution(u, -u.diff(x))),
        ("central4", "rk4", evolution(u, -u.diff(x))),
        ("central2", "rk4", evolution(u, u.diff(x, 3))),
        ("central2", "euler", evolution(u, -u.diff(x, 4))),
        ("central2", "leapfrog", evolution(u, u.diff(x, 2) - u, 2)),
        ("central2", "rk4", evolution(u, u.diff(x, 2) - u.diff(t) / 5, 2)),
    ]


@pytest.mark.parametrize(("number", "low", "high"), crossed(range(8), CONDITIONS, CONDITIONS))
def test_one_step_of_the_simulator_between_walls_is_stable_below_the_bound(
    number: int, low: str, high: str
) -> None:
    (space, stepper, pde), ends = equations()[number], (low, high)
    walls = Boundary(x=tuple(CONDITIONS[e] for e in ends))
    made = stability(pde, (0.05,), boundary=walls, space=space, stepper=stepper, points=21)
    found = made.bound()
    if found.dt > 0:
        radius = spectral_radius(one_step(pde, made, 0.99 * found.dt))
        # Eigenvalues 0 of the polynomials that free ends let through are triple, and of (u, u_t)
        # sixfold: eps^(1/3) of the largest eigenvalue, |dt λ| ≤ 4, and eps^(1/6).
        rounding = 5e-3 if "free" in ends else 1e-6
        assert radius <= math.exp(1.1 * found.growth * 0.99 * found.dt) + rounding
    else:
        # Refused: the simulator's own rate is large against 1/(length 1).
        dt = 1e-4 * 0.05 ** max(
            sum(f.derivative) for _, u in pde.system.terms() for f in u.factors()
        )
        assert math.log(spectral_radius(one_step(pde, made, dt))) / dt > 2


def test_third_derivative_with_a_condition_at_the_wrong_end_is_unstable_and_refused() -> None:
    # u_t = u_xxx sends short waves one way: three conditions are needed in all, and extrapolation
    # where they belong lets modes grow like 1/h³.
    pde = evolution(scalar(1)[0], scalar(1)[0].diff(x, 3))
    wrong = Boundary(x=(Free(), Dirichlet(0)))
    right = Boundary(x=(Dirichlet(0), Dirichlet(0)))
    assert bound(pde, (0.05,), boundary=wrong, stepper="rk4", points=21).dt == 0
    assert bound(pde, (0.05,), boundary=right, stepper="rk4", points=21).dt > 0
    # Twice the same, as a system.
    u, v = fields("u v", (t, x))
    both = PDE(sp.Eq(u.diff(t), u.diff(x, 3)), sp.Eq(v.diff(t), v.diff(x, 3)))
    assert bound(both, (0.05,), boundary=wrong, stepper="rk4", points=21).dt == 0
    assert bound(both, (0.05,), boundary=right, stepper="rk4", points=21).dt > 0


_PAIRS = list(itertools.product((Dirichlet(0), Neumann(0), Robin(2, 1)), repeat=2))


@pytest.mark.parametrize(("case", "pair"), by_turns(range(4), range(len(_PAIRS)), per_name=3))
def test_two_dimensional_steps_between_mixed_walls_are_stable_below_the_bound(
    case: int, pair: int
) -> None:
    u, axes = scalar(2)
    cases = [
        (laplacian(u, axes) + u.diff(x, y), "central2", "euler"),
        (laplacian(u, axes) - u.diff(x) + u.diff(x, y) / 2, "central4", "rk4"),
        (x * u.diff(y) - y * u.diff(x), "upwind", "euler"),
        ((1 + x) * laplacian(u, axes) - 10 * u + 5 * u.diff(y), "central2", "heun"),
    ]
    (right, space, stepper), (one, other) = cases[case], _PAIRS[pair]
    walls = Boundary(x=(one, other), y=other)
    pde = evolution(u, right)
    made = stability(pde, (0.15, 0.2), boundary=walls, space=space, stepper=stepper, points=7)
    found = made.bound()
    assert found.dt > 0
    radius = spectral_radius(one_step(pde, made, 0.99 * found.dt))
    assert radius <= math.exp(1.1 * found.growth * 0.99 * found.dt) + 1e-9


def test_systems_between_walls_are_stable_below_the_bound() -> None:
    p, u = fields("p u", (t, x))
    pde = PDE(sp.Eq(p.diff(t), -u.diff(x)), sp.Eq(u.diff(t), -p.diff(x)))
    kinds: list[Condition] = [Dirichlet(0), Neumann(0), Free()]
    for of_p, of_u in itertools.product(kinds, repeat=2):
        walls = Boundary(x={"p": of_p, "u": of_u})
        made = stability(pde, (0.1,), boundary=walls, stepper="rk4", points=14)
        found = made.bound()
        assert found.dt > 0
        radius = spectral_radius(one_step(pde, made, 0.99 * found.dt))
        assert radius <= math.exp(1.1 * found.growth * 0.99 * found.dt) + 5e-3  # as above
        assert np.isfinite(found.dt)
