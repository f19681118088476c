"""The search by itself: functions with known minima, walls of infinity, ends."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pdenet.training.fitting.options import make_plan
from pdenet.training.fitting.search import SCHEDULES, Point, search

EPS = 2e-16


def rosenbrock(x: np.ndarray) -> Point:
    """Minimum 0 at (1, …, 1)."""
    a, b = x[:-1], x[1:]
    gradient = np.zeros_like(x)
    gradient[:-1] = -400 * a * (b - a**2) - 2 * (1 - a)
    gradient[1:] += 200 * (b - a**2)
    return Point(x, float(np.sum(100 * (b - a**2) ** 2 + (1 - a) ** 2)), gradient)


def rosenbrock_by_parts(x: np.ndarray) -> Point:
    """The same with its residuals, 10 (b − a²) and 1 − a."""
    one, a = rosenbrock(x), x[:-1]
    eye = np.eye(x.size)
    slopes = np.vstack([10 * (eye[1:] - 2 * a[:, None] * eye[:-1]), -eye[:-1]])
    return Point(x, one.loss, one.gradient, np.concatenate([10 * (x[1:] - a**2), 1 - a]), slopes)


def well(x: np.ndarray) -> Point:
    """x − log(1 − |x − 2|) in each entry: finite for 1 < x < 3 alone."""
    inside = 1 - np.abs(x - 2)
    if (inside <= 0).any():
        return Point(x, math.inf, np.zeros_like(x))
    return Point(x, float(np.sum(x - np.log(inside))), 1 + np.sign(x - 2) / inside)


@pytest.mark.parametrize("size", [2, 10])
@pytest.mark.parametrize("optimizer", ["least_squares", "lbfgs"])
def test_the_minimum_of_a_curved_valley_is_found_downhill(optimizer: str, size: int) -> None:
    function = rosenbrock_by_parts if optimizer == "least_squares" else rosenbrock
    plan = make_plan(optimizer, 200, None, "cosine", 0.0, 200, EPS)
    found = search(
        function, function(np.full(size, -0.5)), plan, None, lambda point: point.loss < 1e-20
    )
    assert (np.diff(found.losses) < 0).all()
    # The smallest curvature is about 0.5: a loss of 1e-20 is a distance of 2e-10.
    np.testing.assert_allclose(found.best.x, 1.0, atol=1e-9)


@pytest.mark.parametrize("optimizer", ["least_squares", "lbfgs", "adam"])
def test_a_minimum_beyond_the_ends_is_sought_at_them(optimizer: str) -> None:
    """(x₁ − 1)² + (x₂ − 1)² with x₁ ≤ 0.5: its minimum is at (0.5, 1)."""

    def bowl(x: np.ndarray) -> Point:
        assert x[0] <= 0.5
        return Point(x, float((x - 1) @ (x - 1)), 2 * (x - 1), x - 1, np.eye(2))

    plan = make_plan(optimizer, 500, None, "cosine", 1e-9, None, EPS)
    ends = np.full(2, -np.inf), np.array([0.5, np.inf])
    found = search(bowl, bowl(np.zeros(2)), plan, None, ends=ends)
    assert found.converged
    # The loss is within 1e-9 of its minimum 1/4, whose slope there is 1 and curvature 2.
    np.testing.assert_allclose(found.best.x, [0.5, 1.0], atol=1e-4)


def test_walls_of_infinity_are_never_entered() -> None:
    """Below 2 the well is x − log(x − 1), above it rises: its minimum 2 lies at the kink x = 2,
    which no quasi-Newton method finds exactly."""
    plan = make_plan("lbfgs", 50, None, "cosine", 0.0, 50, EPS)
    found = search(well, well(np.array([2.95])), plan, None)
    assert np.isfinite(found.losses).all()
    assert found.best.loss == pytest.approx(2.0, abs=1e-2)


def test_the_best_iterate_is_kept_and_not_the_last() -> None:
    def bowl(x: np.ndarray) -> Point:
        return Point(x, 1.0 + float(x @ x), 2 * x)

    plan = make_plan("adam", 1, 1.0, "constant", 0.0, None, EPS)
    found = search(bowl, bowl(np.array([0.1])), plan, None)
    assert found.losses[1] > found.losses[0]  # a step of 1 from 0.1 to −0.9
    assert found.best.x == 0.1


def test_a_search_that_can_only_blow_up_says_so() -> None:
    calls = 0

    def cliff(x: np.ndarray) -> Point:
        nonlocal calls
        calls += 1
        if x[0] == 0.0:
            return Point(x, 1.0, np.array([1.0]), np.ones(1), np.array([[0.5]]))
        return Point(x, math.inf, np.zeros(1), np.full(1, math.inf), np.zeros((1, 1)))

    start = cliff(np.zeros(1))
    for optimizer in ("least_squares", "lbfgs", "adam"):
        plan = make_plan(optimizer, 100, None, "constant", 0.0, None, EPS)
        found = search(cliff, start, plan, None)
        assert not found.converged
        assert "blows up" in found.stopped
        assert found.best is start
        assert calls < 100  # SciPy's least squares go on for as many evaluations as they may
        calls = 0


def test_schedules_begin_at_one_and_the_cosine_ends_at_a_hundredth() -> None:
    assert SCHEDULES["cosine"](0.0) == SCHEDULES["constant"](0.0) == 1.0
    assert SCHEDULES["cosine"](1.0) == pytest.approx(0.01, abs=1e-15)


def test_a_search_stops_for_each_of_its_reasons() -> None:
    def bowl(x: np.ndarray) -> Point:
        return Point(x, 1.0 + float(x @ x), 2 * x)

    def stopped(rounding: float = 0.0, x: float = 1.0) -> str:
        plan = make_plan("lbfgs", 100, None, "cosine", 1e-9, None, EPS)
        start = bowl(np.array([x, -3.0 * x]))
        return search(bowl, start, plan, None, lambda point: point.loss <= rounding).stopped

    assert "gradient" in stopped()
    assert "gradient" in stopped(x=0.0)  # the start is the minimum
    assert "rounding" in stopped(rounding=1.5)
    plan = make_plan("adam", 50, 0.1, "constant", 1e-2, 5, EPS)
    assert "fell by less" in search(bowl, bowl(np.ones(1)), plan, None).stopped
    plan = make_plan("lbfgs", 3, None, "cosine", 1e-9, None, EPS)
    found = search(rosenbrock, rosenbrock(np.array([-1.2, 1.0])), plan, None)
    assert "limit of 3" in found.stopped
    assert len(found.losses) == 4
