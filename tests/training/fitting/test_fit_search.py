"""The search by itself: functions with known minima, walls of infinity, Wolfe's conditions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pdenet.training.fitting.lbfgs import Point, lbfgs, line_search
from pdenet.training.fitting.options import make_plan
from pdenet.training.fitting.search import SCHEDULES, search

EPS = 2e-16


def rosenbrock(x: np.ndarray) -> tuple[float, np.ndarray]:
    """Minimum 0 at (1, …, 1)."""
    a, b = x[:-1], x[1:]
    gradient = np.zeros_like(x)
    gradient[:-1] = -400 * a * (b - a**2) - 2 * (1 - a)
    gradient[1:] += 200 * (b - a**2)
    return float(np.sum(100 * (b - a**2) ** 2 + (1 - a) ** 2)), gradient


def well(x: np.ndarray) -> tuple[float, np.ndarray]:
    """x − log(1 − |x − 2|) in each entry: finite for 1 < x < 3 alone."""
    inside = 1 - np.abs(x - 2)
    if (inside <= 0).any():
        return math.inf, np.zeros_like(x)
    return float(np.sum(x - np.log(inside))), 1 + np.sign(x - 2) / inside


def at(function: object, x: np.ndarray) -> Point:
    return Point(x, *function(x))  # type: ignore[operator]


@pytest.mark.parametrize("size", [2, 10])
def test_the_minimum_of_a_curved_valley_is_found_downhill(size: int) -> None:
    here = at(rosenbrock, np.full(size, -0.5))
    for _, there in zip(range(200), lbfgs(rosenbrock, here, EPS), strict=False):
        assert there.loss < here.loss * (1 + EPS)
        here = there
        if here.loss < 1e-20:
            break
    # The smallest curvature is about 0.5: a loss of 1e-20 is a distance of 2e-10.
    np.testing.assert_allclose(here.x, 1.0, atol=1e-9)


@pytest.mark.parametrize("first", [1e-6, 0.1, 1.0, 1e3, 1e8])
def test_steps_satisfy_the_strong_wolfe_conditions(first: float) -> None:
    for function, x in ((rosenbrock, np.array([-1.2, 1.0])), (well, np.array([2.9, 1.2]))):
        here = at(function, x)
        there = line_search(function, here, -here.gradient, first, EPS)
        slope = -float(here.gradient @ here.gradient)
        step = float(np.linalg.norm(there.x - here.x) / np.linalg.norm(here.gradient))
        assert there.loss <= here.loss + 1e-4 * step * slope
        assert abs(float(there.gradient @ -here.gradient)) <= -0.9 * slope


def test_walls_of_infinity_are_never_entered() -> None:
    """Below 2 the well is x − log(x − 1), above it rises: its minimum 2 lies at the kink x = 2,
    which no quasi-Newton method finds exactly."""
    plan = make_plan("lbfgs", 50, None, "cosine", 0.0, 50, EPS)
    found = search(well, at(well, np.array([2.95])), plan, None)
    assert np.isfinite(found.losses).all()
    assert found.best.loss == pytest.approx(2.0, abs=1e-2)


def test_the_best_iterate_is_kept_and_not_the_last() -> None:
    def bowl(x: np.ndarray) -> tuple[float, np.ndarray]:
        return 1.0 + float(x @ x), 2 * x

    plan = make_plan("adam", 1, 1.0, "constant", 0.0, None, EPS)
    found = search(bowl, at(bowl, np.array([0.1])), plan, None)
    assert found.losses[1] > found.losses[0]  # a step of 1 from 0.1 to −0.9
    assert found.best.x == 0.1


def test_a_search_that_can_only_blow_up_says_so() -> None:
    def cliff(x: np.ndarray) -> tuple[float, np.ndarray]:
        return (1.0, np.array([1.0])) if x[0] == 0.0 else (math.inf, np.zeros(1))

    start = at(cliff, np.zeros(1))
    for optimizer in ("lbfgs", "adam"):
        plan = make_plan(optimizer, 100, None, "constant", 0.0, None, EPS)
        found = search(cliff, start, plan, None)
        assert not found.converged
        assert "blows up" in found.stopped
        assert found.best is start


def test_schedules_begin_at_one_and_the_cosine_ends_at_a_hundredth() -> None:
    assert SCHEDULES["cosine"](0.0) == SCHEDULES["constant"](0.0) == 1.0
    assert SCHEDULES["cosine"](1.0) == pytest.approx(0.01, abs=1e-15)


def test_a_search_stops_for_each_of_its_reasons() -> None:
    def bowl(x: np.ndarray) -> tuple[float, np.ndarray]:
        return 1.0 + float(x @ x), 2 * x

    def stopped(rounding: float = 0.0, x: float = 1.0) -> str:
        plan = make_plan("lbfgs", 100, None, "cosine", 1e-9, None, EPS)
        start = at(bowl, np.array([x, -3.0 * x]))
        return search(bowl, start, plan, None, lambda point: point.loss <= rounding).stopped

    assert "gradient" in stopped()
    assert "gradient" in stopped(x=0.0)  # the start is the minimum
    assert "rounding" in stopped(rounding=1.5)
    plan = make_plan("adam", 50, 0.1, "constant", 1e-2, 5, EPS)
    assert "fell by less" in search(bowl, at(bowl, np.ones(1)), plan, None).stopped
    plan = make_plan("lbfgs", 3, None, "cosine", 1e-9, None, EPS)
    found = search(rosenbrock, at(rosenbrock, np.array([-1.2, 1.0])), plan, None)
    assert "limit of 3" in found.stopped
    assert len(found.losses) == 4
