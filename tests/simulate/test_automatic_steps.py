"""`dt="auto"` resolves what the equation itself does, not only what stability asks for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy as sp

import pdenet as pn
from pdenet.discrete.choosing import RESOLUTION

t, x = pn.coordinates("t x")
u = pn.fields("u", (t, x))
GRID = pn.Grid(x=(0, 60, 64))
RING = pn.Boundary(x=pn.Periodic())


def solver(right: sp.Expr, **options: str) -> pn.Solver:
    return pn.PDE(sp.Eq(u.diff(t), right)).to_solver(GRID, RING, **options)


@pytest.mark.parametrize(
    ("right", "start", "until", "exact"),
    [
        (u, 1.0, 1.0, math.e),
        (u * (1 - u), 0.1, 5.0, 1 / (1 + 9 * math.exp(-5))),
        (u - u**3, 0.1, 5.0, 1 / math.sqrt(1 + 99 * math.exp(-10))),
        (3 * u - u.diff(x) / 1000, 1.0, 1.0, math.exp(3)),
        (sp.cos(t), 0.0, math.pi / 2, 1.0),
    ],
)
def test_reactions_and_sources_are_followed(
    right: sp.Expr, start: float, until: float, exact: float
) -> None:
    """Steps of θ e-folds give forward Euler an error of θ/2 an e-fold, relative; fifty or more
    frames a run do the same for a source. Three e-folds, the most here, make 15 %."""
    final = solver(right).run(start, until=until).final
    folds = max(1.0, math.log(abs(exact / start))) if start else 1.0
    np.testing.assert_allclose(final, exact, rtol=RESOLUTION / 2 * folds)


def test_growth_limits_the_automatic_step_and_decay_does_not() -> None:
    assert solver(5 * u).dt == pytest.approx(RESOLUTION / 5)
    # y' = −5y: forward Euler is stable up to 2/5, of which 0.9 is taken.
    assert solver(-5 * u, stepper="euler").dt == pytest.approx(0.9 * 2 / 5)


def test_an_explosion_ends_in_a_blow_up_and_not_in_a_number() -> None:
    """u' = u² from s is infinite at t = 1/s; from 10¹⁴⁰ it is not far to where s² is no number."""
    pde = pn.PDE(sp.Eq(u.diff(t), u**2))
    # A bound is asked for at every step, some hundreds: on few nodes.
    start = 1e140
    with pytest.raises(pn.BlowUpError) as caught:
        pde.to_solver(pn.Grid(x=(0, 1, 4)), RING).run(start, until=2.0 / start)
    assert 1.0 < caught.value.time * start < 1.1  # forward Euler is late by its own error
    assert caught.value.field == "u"


@pytest.mark.parametrize("stepper", ["euler", "rk4"])
def test_kuramoto_sivashinsky_runs(stepper: str) -> None:
    """u_xx of the wrong sign beside u_xxxx of the right one: growth at most 1/4, well posed."""
    right = -u.diff(x, 4) - u.diff(x, 2) - u * u.diff(x)
    made = solver(right, stepper=stepper, space="central2")
    start = made.initial_state(sp.cos(sp.pi * x / 10))
    bound = made.bound(start)
    assert bound.dt > 0
    assert 0.25 <= bound.growth <= 0.3  # k² − k⁴ at k = 1/√2, and what the estimate adds
    assert np.abs(made.run(start, until=30).final).max() < 10


def test_a_wrong_sign_of_the_highest_derivative_stays_refused() -> None:
    with pytest.raises(pn.StabilityError, match=r"without bound|unstable at every dt"):
        solver(-u.diff(x, 2) - u * u.diff(x)).run(sp.cos(sp.pi * x / 10), until=0.1)


@pytest.mark.parametrize("right", [sp.S.Zero, sp.sin(x)])
def test_an_equation_without_a_bound_takes_a_step_a_frame(right: sp.Expr) -> None:
    result = solver(right).run(1, until=1.0)
    assert result.attributes["dt"] == "unbounded"
    assert len(result.times) == 51


def test_damped_waves_take_rk4() -> None:
    damped = pn.PDE(sp.Eq(u.diff(t, 2), u.diff(x, 2) - u.diff(t) / 2))
    made = damped.to_solver(GRID, RING)
    assert made.scheme.stepper.name == "rk4"
    assert made.dt is not None
    assert made.dt > 0.5 * made.scheme.domain.spacing[0]
