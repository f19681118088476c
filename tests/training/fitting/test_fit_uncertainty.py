"""Standard errors, intervals, and what the data do not determine."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from pdenet.errors import FitError, FitWarning
from pdenet.training.fitting.fit import Fit, fit
from pdenet.training.fitting.trajectories import Trajectory
from pdenet.training.fitting.uncertainty import quantile, relation
from tests.tiers import both_tiers
from tests.training.fitting.standin import (
    StandIn,
    diffusion_reaction,
    field,
    frames_of,
    oscillator,
    product,
    sources,
    wave_start,
)


def linear_problem(seed: int, sigma: float = 0.3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, noisy frames and the design matrix of u₀ + t (F + G x), eight nodes, two frames."""
    rng = np.random.default_rng(seed)
    truth = StandIn(sources, {"F": 1.0, "G": -2.0}, num_points=8, dt=0.5)
    times, frames = frames_of(truth, wave_start(8), 3, 1)
    noisy = frames + sigma * rng.normal(size=frames.shape) * (np.arange(3) > 0)[:, None, None]
    x = np.arange(8) / 8
    design = np.concatenate([np.stack([np.full(8, t), t * x], axis=1) for t in times[1:]])
    return times, noisy, design


def fit_linear(times: np.ndarray, frames: np.ndarray, **options: object) -> Fit:
    net = StandIn(sources, {"F": 0.0, "G": 0.0}, num_points=8, dt=0.5)
    return fit(net, frames, times=times, **options)  # type: ignore[arg-type]


def test_the_covariance_of_a_linear_model_is_that_of_least_squares() -> None:
    times, frames, design = linear_problem(0)
    made = fit_linear(times, frames)
    target = (frames[1:] - frames[0]).ravel()
    exact, squares, *_ = np.linalg.lstsq(design, target, rcond=None)
    variance = float(squares[0]) / (16 - 2)
    # Rounding of a 2×2 inverse, but for the residual, which the search's end changes by 1e-9.
    np.testing.assert_allclose(
        np.asarray(made.covariance), variance * np.linalg.inv(design.T @ design), rtol=1e-7
    )
    np.testing.assert_allclose(np.array(list(made.values.values())), exact, rtol=1e-6)
    assert made.noise["u"] == pytest.approx(math.sqrt(variance), rel=1e-7)
    assert made.freedom == pytest.approx(14, rel=1e-9)
    width = stats.t.ppf(0.975, 14) * math.sqrt(np.linalg.inv(design.T @ design)[0, 0] * variance)
    np.testing.assert_allclose(
        np.asarray(made.intervals["F"]),
        [made.values["F"] - width, made.values["F"] + width],
        rtol=1e-7,
    )


def test_given_noise_is_taken_as_it_is() -> None:
    times, frames, design = linear_problem(0)
    made = fit_linear(times, frames, noise=0.7)
    np.testing.assert_allclose(
        np.asarray(made.covariance), 0.49 * np.linalg.inv(design.T @ design), rtol=1e-9
    )
    low, high = made.interval("F", level=0.6826894921370859)  # one standard deviation of a normal
    assert float(high) - float(low) == pytest.approx(2 * float(made.errors["F"]), rel=1e-9)


@both_tiers
def test_the_interval_holds_the_truth_as_often_as_it_says(deep: bool) -> None:
    """Of n intervals each of F and G about 95 % hold the truth. The number is binomial with the
    standard deviation √(n·0.95·0.05); three of them are one chance in 370."""
    count = 200 if deep else 50
    hits = np.zeros(2)
    for seed in range(count):
        times, frames, _ = linear_problem(seed + 1)
        made = fit_linear(times, frames)
        for k, (name, true) in enumerate((("F", 1.0), ("G", -2.0))):
            low, high = made.intervals[name]
            hits[k] += low <= true <= high
    assert (abs(hits - 0.95 * count) <= 3 * math.sqrt(count * 0.95 * 0.05)).all()


@both_tiers
def test_two_components_with_different_noise_have_the_right_errors(deep: bool) -> None:
    """Each has its own σ, a hundred times apart relative to its spread, which the weights learn.
    Against the scatter of n draws: their standard deviation is known to 1/√(2n), 9 % of 60."""
    count = 60 if deep else 20
    truth = StandIn(oscillator, {"k": 30.0, "s": 0.02}, components=("u", "v"), dt=0.04)
    times, frames = frames_of(truth, wave_start(num_components=2), 6, 1)
    sigma = np.array([0.001, 0.2])[None, :, None]
    rng = np.random.default_rng(0)
    found, errors = [], []

    def draw(**options: object) -> Fit:
        noisy = frames + sigma * rng.normal(size=frames.shape)
        net = StandIn(oscillator, {"k": 29.0, "s": 0.015}, components=("u", "v"), dt=0.04)
        data = Trajectory(times, noisy, initial=frames[0])
        return fit(net, data, **options)  # type: ignore[arg-type]

    made = draw()
    for _ in range(count):
        made = draw()
        found.append([float(made.values[n]) for n in ("k", "s")])
        errors.append([float(made.errors[n]) for n in ("k", "s")])
    np.testing.assert_allclose(
        np.mean(errors, axis=0), np.std(found, axis=0), rtol=4 / math.sqrt(2 * count)
    )
    assert made.noise["u"] == pytest.approx(0.001, rel=0.4)  # 80 values: 8 %, five of it
    assert made.noise["v"] == pytest.approx(0.2, rel=0.4)
    best = draw(noise={"u": 0.001, "v": 0.2})
    for name in ("k", "s"):  # as good as with the weights known
        assert float(made.errors[name]) == pytest.approx(float(best.errors[name]), rel=0.4)


def test_errors_with_an_estimated_initial_state_are_those_of_all_unknowns() -> None:
    """u₀ and F, G unknown: linear least squares with 8 + 2 unknowns, whose F, G block it is."""
    times, frames, design = linear_problem(0)
    made = fit_linear(times, frames, initial="estimated", noise=0.3)
    whole = np.zeros((24, 10))
    whole[8:, :2] = design
    for frame in range(3):
        whole[8 * frame : 8 * (frame + 1), 2:] = np.eye(8)
    exact = 0.09 * np.linalg.inv(whole.T @ whole)[:2, :2]
    # A Schur complement loses digits: its condition number is 1e3 here.
    np.testing.assert_allclose(np.asarray(made.covariance), exact, rtol=1e-9)
    assert made.freedom == pytest.approx(24 - 10, rel=1e-9)


def test_initial_values_that_no_sensor_sees_are_no_obstacle() -> None:
    times, frames, _ = linear_problem(0)
    sensors = np.array([1, 4, 6])
    data = Trajectory(times, frames[:, :, sensors], initial=frames[0], sensors=sensors)
    net = StandIn(sources, {"F": 0.0, "G": 0.0}, num_points=8, dt=0.5)
    made = fit(net, data, initial="estimated", noise=0.3)
    whole = np.zeros((9, 5))
    for k, t in enumerate(times):
        whole[3 * k : 3 * k + 3, 0] = t
        whole[3 * k : 3 * k + 3, 1] = t * sensors / 8
        whole[3 * k : 3 * k + 3, 2:] = np.eye(3)
    np.testing.assert_allclose(
        np.asarray(made.covariance), 0.09 * np.linalg.inv(whole.T @ whole)[:2, :2], rtol=1e-9
    )
    assert made.freedom == pytest.approx(9 - 5, rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sigma", [0.0, 0.01])
def test_a_redundant_pair_is_named_and_its_product_is_known(
    sigma: float, dtype: torch.dtype
) -> None:
    truth = StandIn(product, {"a": 0.1, "b": 0.2, "r": 2.0})
    times, frames = frames_of(truth, wave_start(), 6, 5)
    noisy = frames + sigma * np.random.default_rng(0).normal(size=frames.shape)
    net = StandIn(product, {"a": 0.05, "b": 0.3, "r": 1.0}, dtype=dtype)
    with pytest.warns(FitWarning, match=r"do not determine a, b: only the product a·b"):
        made = fit(net, noisy, times=times)
    assert set(made.undetermined) == {"a", "b"}
    assert made.errors["a"] == made.errors["b"] == math.inf
    assert made.interval("a") == (-math.inf, math.inf)
    # The rest is as if the pair were one parameter.
    single = StandIn(diffusion_reaction, {"D": 0.015, "r": 1.0}, dtype=dtype)
    other = fit(single, noisy, times=times)
    # Of float32: rounding of the loss leaves the minimum open by 1e-4 of a standard error or so.
    share = 1e-3 if sigma else 10.0
    assert abs(float(made.values["r"]) - float(other.values["r"])) <= share * float(
        other.errors["r"]
    )
    if sigma:
        assert made.errors["r"] == pytest.approx(other.errors["r"], rel=1e-3)  # float32's J
        assert made.freedom == pytest.approx(other.freedom, rel=1e-9)
    assert "not determined" in str(made)


def test_a_well_posed_pair_is_not_called_undetermined() -> None:
    truth = StandIn(diffusion_reaction, {"D": 0.02, "r": 2.0})
    times, frames = frames_of(truth, wave_start(), 6, 5)
    for sigma in (0.0, 0.02):
        noisy = frames + sigma * np.random.default_rng(0).normal(size=frames.shape)
        made = fit(StandIn(diffusion_reaction, {"D": 0.01, "r": 1.0}), noisy, times=times)
        assert made.undetermined == {}
        assert made.relations == ()


def test_a_pair_that_data_can_hardly_tell_apart_is_determined_all_the_same() -> None:
    """1 and 1 + x/1000: the columns of J are 1e-4 apart, the least eigenvalue is about 1e-8."""

    def rate(net: StandIn, u: torch.Tensor, t: float) -> torch.Tensor:
        return (net["F"] + net["G"] * (1 + 1e-3 * net.x)).expand(u.shape)

    times, frames = frames_of(StandIn(rate, {"F": 1.0, "G": 2.0}), wave_start(), 3, 5)
    net = StandIn(rate, {"F": 1.01, "G": 1.98})
    made = fit(net, frames, times=times)
    assert made.undetermined == {}
    correlation = np.asarray(made.covariance)
    correlation = correlation[0, 1] / math.sqrt(correlation[0, 0] * correlation[1, 1])
    assert -1 < correlation < -1 + 1e-6


def test_a_parameter_without_influence_is_named() -> None:
    """Diffusion of a constant is nothing."""
    truth = StandIn(diffusion_reaction, {"D": 0.02, "r": 2.0})
    times, frames = frames_of(truth, np.full((1, 16), 0.3), 5, 5)
    net = StandIn(diffusion_reaction, {"D": 0.01, "r": 1.0})
    with pytest.warns(FitWarning, match="do not determine D"):
        made = fit(net, frames, times=times)
    assert set(made.undetermined) == {"D"}
    assert made.values["D"] == 0.01
    assert made.values["r"] == pytest.approx(2.0, rel=1e-6)


def test_entries_of_a_field_that_nothing_shows_are_marked() -> None:
    """u_t = c(x) u with u = 0 at two nodes."""
    initial = wave_start()
    initial[:, [3, 9]] = 0.0
    times, frames = frames_of(StandIn(field, {"c": np.ones(16)}), initial, 5, 5)
    with pytest.warns(FitWarning, match="2 of 16 entries of c"):
        made = fit(StandIn(field, {"c": np.zeros(16)}), frames, times=times)
    assert np.flatnonzero(made.undetermined["c"]).tolist() == [3, 9]
    assert made.entries[3] == "c[3]"
    errors = np.asarray(made.errors["c"])
    assert np.isinf(errors[[3, 9]]).all()
    assert np.isfinite(np.delete(errors, [3, 9])).all()


def test_noise_that_drowns_a_parameter_makes_it_undetermined() -> None:
    times, frames = frames_of(StandIn(sources, {"F": 1.0, "G": 0.0}), wave_start(), 3, 5)
    noisy = frames + 1e4 * np.random.default_rng(0).normal(size=frames.shape)
    net = StandIn(sources, {"F": 1.0, "G": 0.0})
    data = Trajectory(times, noisy, initial=frames[0])
    with pytest.warns(FitWarning) as caught:  # it may come to its bound as well
        made = fit(net, data, parameters="F", bounds={"F": (0.5, 2.0)}, tolerance=1e-3)
    assert any("do not determine F" in str(one.message) for one in caught)
    assert "F" in made.undetermined


@pytest.mark.parametrize(
    ("direction", "text"),
    [
        ((1.0, -3.0), "only the product a·b is determined"),  # at a = 1, b = 3
        ((1.0, 3.0), "only the quotient a/b is determined"),
        ((1.0, -1.0), "only the sum a + b is determined"),
        ((1.0, 1.0), "only the difference a − b is determined"),
        ((1.0, 2.0), "only one combination of a and b is determined"),
    ],
)
def test_relations_of_two_parameters_are_recognised(
    direction: tuple[float, float], text: str
) -> None:
    made = relation(np.array([*direction, 0.0]), np.array([1.0, 3.0, 5.0]), ("a", "b", "c"))
    assert made == text
    assert relation(np.array([1.0, 0.5, 1.0]), np.array([1.0, 3.0, 5.0]), ("a", "b", "c")) == ""


@pytest.mark.parametrize("freedom", [1.0, 3.0, 14.0, 1e4])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
def test_quantiles_are_those_of_student(level: float, freedom: float) -> None:
    assert quantile(level, freedom) == pytest.approx(
        stats.t.ppf((1 + level) / 2, freedom), rel=1e-9
    )
    assert quantile(level, math.inf) == pytest.approx(stats.norm.ppf((1 + level) / 2), rel=1e-9)


def test_too_many_unknowns_say_that_errors_were_not_computed() -> None:
    times, frames = frames_of(
        StandIn(field, {"c": np.ones(2001)}, num_points=2001), wave_start(2001), 2, 1
    )
    net = StandIn(field, {"c": np.zeros(2001)}, num_points=2001)
    made = fit(net, frames, times=times)
    np.testing.assert_allclose(made.values["c"], 1.0, rtol=1e-6)
    assert made.covariance is None
    assert np.isnan(made.errors["c"]).all()
    assert "2,001 unknowns are more than 2,000" in str(made)


def test_as_many_parameters_as_values_leave_no_noise_to_estimate() -> None:
    times, frames = frames_of(StandIn(field, {"c": np.ones(16)}), wave_start(), 2, 5)
    made = fit(StandIn(field, {"c": np.zeros(16)}), frames, times=times)
    assert made.covariance is None
    assert "give noise=" in str(made)
    known = fit(StandIn(field, {"c": np.zeros(16)}), frames, times=times, noise=0.01)
    assert np.isfinite(known.errors["c"]).all()


def test_the_table_names_everything_and_digits_follow_the_error() -> None:
    times, frames, _ = linear_problem(0)
    made = fit_linear(times, frames)
    lines = str(made).splitlines()
    assert "converged" in lines[0]
    row = next(line for line in lines if line.startswith("F"))
    value, error = row.split()[1:3]
    assert float(value) == pytest.approx(float(made.values["F"]), abs=float(made.errors["F"]) / 20)
    assert float(error) == pytest.approx(float(made.errors["F"]), rel=0.05)  # two digits
    assert any(line.startswith("noise of u: 0.") for line in lines)


def test_the_picture_shows_loss_and_residuals() -> None:
    from matplotlib import pyplot as plt

    times, frames, _ = linear_problem(0)
    made = fit_linear(times, frames)
    figure = made.plot()
    try:
        left, right = figure.axes
        np.testing.assert_array_equal(left.lines[0].get_ydata(), made.loss)
        np.testing.assert_array_equal(right.lines[0].get_xdata(), times[1:])
        # Mean squares of frames of one size average to the loss.
        assert np.mean(np.asarray(right.lines[0].get_ydata()) ** 2) == pytest.approx(
            made.best, rel=1e-9
        )
    finally:
        plt.close(figure)


def test_an_interval_of_an_unknown_name_or_level_is_refused() -> None:
    times, frames, _ = linear_problem(0)
    made = fit_linear(times, frames)
    with pytest.raises(FitError, match="Did you mean 'F'"):
        made.interval("f")
    with pytest.raises(FitError, match=r"between 0 and 1; got 95"):
        made.interval("F", level=95)
