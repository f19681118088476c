"""What a fit finds: the truth of its own model, by every road, and nothing worse than its start."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from pdenet.errors import FitError, FitWarning
from pdenet.simulate.result import Result
from pdenet.training.fitting.fit import Fit, fit
from pdenet.training.fitting.penalties import smoothness
from pdenet.training.fitting.trajectories import Trajectory
from tests.training.fitting.standin import (
    RING,
    StandIn,
    diffusion_reaction,
    field,
    frames_of,
    oscillator,
    sources,
    square,
    wave_start,
)

TRUTH: dict[str, float | np.ndarray] = {"D": 0.02, "r": 2.0}
START: dict[str, float | np.ndarray] = {"D": 0.01, "r": 1.0}


def observed(num_frames: int = 6, stride: int = 5) -> tuple[np.ndarray, np.ndarray]:
    return frames_of(StandIn(diffusion_reaction, TRUTH), wave_start(), num_frames, stride)


def started(dtype: torch.dtype = torch.float64) -> StandIn:
    return StandIn(diffusion_reaction, START, dtype=dtype)


def values(made: Fit) -> list[float]:
    return [float(made.values["D"]), float(made.values["r"])]


OPTIMIZERS = ["least_squares", "lbfgs", "adam"]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_frames_of_the_model_itself_give_its_parameters_back(optimizer: str) -> None:
    """The loss is zero at the truth, which rounding alone separates from what is found: 1e-16
    times the inverse sensitivity, below 1e3 here. 1e-6 is what a user is promised."""
    times, frames = observed()
    net = started()
    made = fit(net, frames, times=times, optimizer=optimizer)
    assert values(made) == pytest.approx([0.02, 2.0], rel=1e-6)
    assert made.converged
    assert {n: float(p.detach()) for n, p in net.quantities().items()} == made.values


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_float32_networks_find_the_parameters_to_their_rounding(optimizer: str) -> None:
    """ε = 1.2e-7; predictions of 25 steps carry some ten of it, and D's sensitivity is a tenth."""
    times, frames = observed()
    made = fit(started(torch.float32), frames, times=times, optimizer=optimizer)
    assert values(made) == pytest.approx([0.02, 2.0], rel=1e-4)
    assert any("rounded to the network's float32" in note for note in made.notes)


def test_all_optimizers_find_the_same_minimum_of_noisy_data() -> None:
    """Each stops within 1e-9 of the loss, that is within √(N·1e-9) = 3e-4 standard errors of it."""
    times, frames = observed()
    noisy = frames + np.random.default_rng(0).normal(size=frames.shape) * 0.01
    found = [fit(started(), noisy, times=times, optimizer=o) for o in OPTIMIZERS]
    for name in START:
        ends = [float(one.values[name]) for one in found]
        assert max(ends) - min(ends) <= 0.01 * float(found[0].errors[name])


@pytest.mark.parametrize(("size_d", "size_r"), [(1e-6, 1e6), (1e6, 1e-6), (1.0, 1.0)])
def test_units_of_parameters_do_not_matter(size_d: float, size_r: float) -> None:
    """The same problem with its parameters in other units takes a similar number of steps."""

    def rate(net: StandIn, u: torch.Tensor, t: float) -> torch.Tensor:
        return net["D"] * size_d * net.laplacian(u) + net["r"] * size_r * u * (1 - u)

    times, frames = observed()
    net = StandIn(rate, {"D": 0.01 / size_d, "r": 1.0 / size_r})
    made = fit(net, frames, times=times)
    assert float(made.values["D"]) * size_d == pytest.approx(0.02, rel=1e-6)
    assert float(made.values["r"]) * size_r == pytest.approx(2.0, rel=1e-6)
    assert made.iterations <= 20  # 10 in natural units


def test_parameters_that_start_at_zero_are_found() -> None:
    times, frames = observed()
    made = fit(StandIn(diffusion_reaction, {"D": 0.0, "r": 0.0}), frames, times=times)
    assert values(made) == pytest.approx([0.02, 2.0], rel=1e-6)


def test_a_field_of_coefficients_is_found_node_by_node() -> None:
    c = 1 + 0.5 * np.sin(2 * np.pi * np.arange(16) / 16)
    times, frames = frames_of(StandIn(field, {"c": c}), wave_start(), 5, 5)
    made = fit(StandIn(field, {"c": np.zeros(16)}), frames, times=times)
    np.testing.assert_allclose(made.values["c"], c, rtol=1e-6)


def test_parameters_that_are_not_named_keep_their_values_and_their_gradients() -> None:
    times, frames = observed()
    net = started()
    net.named["D"].data.fill_(0.02)
    net.named["D"].grad = torch.tensor(7.0, dtype=torch.float64)
    net.named["r"].requires_grad_(False)
    made = fit(net, frames, times=times, parameters="r")
    assert set(made.values) == {"r"}
    assert made.values["r"] == pytest.approx(2.0, rel=1e-6)
    assert float(net["D"].detach()) == 0.02
    assert float(net.named["D"].grad) == 7.0  # a training loop around the fit keeps its own
    assert net.named["D"].requires_grad
    assert not net.named["r"].requires_grad


def test_several_trajectories_are_the_stacked_problem() -> None:
    """The loss of two is the mean over all values of both: with u₀ + t·F on each the estimate of F
    is the least-squares line through all points, by numpy.linalg.lstsq."""
    rng = np.random.default_rng(0)
    pieces, rows, targets = [], [], []
    for num_frames, start in ((3, 0.0), (3, 0.0), (5, 0.2)):
        u0 = rng.normal(size=(1, 16))
        times = start + 0.05 * np.arange(num_frames)
        states = u0 + rng.normal(size=(num_frames, 1, 16))
        pieces.append(Trajectory(times, states, initial=u0))
        x = np.arange(16) / 16
        for time, state in zip(times[1:] - start, states[1:], strict=True):
            rows.append(np.stack([np.full(16, time), time * x], axis=1))
            targets.append((state - u0)[0])
    exact = np.linalg.lstsq(np.concatenate(rows), np.concatenate(targets), rcond=None)[0]
    made = fit(StandIn(sources, {"F": 0.0, "G": 0.0}), pieces)
    # The loss is flat to its last digit within √ε of the minimum, 1e-8 of a standard error.
    np.testing.assert_allclose(np.array(list(made.values.values())), exact, rtol=1e-6)
    assert made.num_values == 16 * (2 + 2 + 4)
    assert [len(times) for times, _ in made.residuals] == [2, 2, 4]


def test_windows_restart_from_measured_frames() -> None:
    """With window=1 each frame is predicted from the one before: F is the mean difference/time."""
    times, frames = frames_of(StandIn(sources, {"F": 1.0, "G": 0.0}), wave_start(), 5, 5)
    noisy = frames + np.random.default_rng(0).normal(size=frames.shape)
    net = StandIn(sources, {"F": 0.5, "G": 0.0})
    made = fit(net, noisy, times=times, window=1, parameters="F")
    exact = np.mean(np.diff(noisy, axis=0)) / (times[1] - times[0])
    assert made.values["F"] == pytest.approx(exact, rel=1e-6)  # the minimum of a parabola
    whole = fit(net, noisy, times=times, window=4, parameters="F")
    plain = fit(net, noisy, times=times, parameters="F")
    assert whole.values["F"] == pytest.approx(plain.values["F"], rel=1e-9)  # one window is none


def test_windows_keep_the_time_of_an_equation_that_depends_on_it() -> None:
    def rate(net: StandIn, u: torch.Tensor, t: float) -> torch.Tensor:
        return (net["F"] * t).expand(u.shape)

    times, frames = frames_of(StandIn(rate, {"F": 3.0}), wave_start(), 6, 4, start=1.0)
    made = fit(StandIn(rate, {"F": 1.0}), frames, times=times, window=2)
    assert made.values["F"] == pytest.approx(3.0, rel=1e-6)


def test_an_estimated_initial_state_is_better_than_the_measured_one_on_average() -> None:
    """Later frames tell of the initial state too; twenty draws leave no doubt about a factor."""
    times, frames = observed(num_frames=6, stride=2)
    rng = np.random.default_rng(1)
    measured, estimated, of_parameters = [], [], []
    for _ in range(20):
        noisy = frames + 0.02 * rng.normal(size=frames.shape)
        made = fit(started(), noisy, times=times, initial="estimated")
        assert made.initial is not None
        measured.append(np.mean((noisy[0] - frames[0]) ** 2))
        estimated.append(np.mean((made.initial[0] - frames[0]) ** 2))
        of_parameters.append(abs(float(made.values["r"]) - 2.0) / float(made.errors["r"]))
    assert np.mean(estimated) < 0.6 * np.mean(measured)
    # |t| has the median 0.68; of twenty it is below 1.2 but for one case in a thousand.
    assert np.median(of_parameters) < 1.2


def test_fewer_components_may_be_observed_than_there_are() -> None:
    truth = StandIn(oscillator, {"k": 30.0, "s": 0.1}, components=("u", "v"))
    initial = wave_start(num_components=2)
    times, frames = frames_of(truth, initial, 8, 5)
    net = StandIn(oscillator, {"k": 20.0, "s": 0.2}, components=("u", "v"))
    made = fit(net, Trajectory(times, frames[:, :1], initial=initial, fields="u"))
    assert made.values["k"] == pytest.approx(30.0, rel=1e-6)
    assert made.values["s"] == pytest.approx(0.1, rel=1e-6)
    assert set(made.noise) == {"u"}


def test_fields_and_results_may_name_components_in_another_order() -> None:
    truth = StandIn(oscillator, {"k": 30.0, "s": 0.1}, components=("u", "v"))
    times, frames = frames_of(truth, wave_start(num_components=2), 6, 5)
    turned = frames[:, ::-1].copy()
    result = Result(times, turned, ("v", "u"), ("x",), truth.grid.nodes(RING))
    for data in (result, Trajectory(times, turned, fields=("v", "u"))):
        net = StandIn(oscillator, {"k": 20.0, "s": 0.2}, components=("u", "v"))
        assert fit(net, data).values["k"] == pytest.approx(30.0, rel=1e-6)
        net = StandIn(oscillator, {"k": 20.0, "s": 0.2}, components=("u", "v"))
        assert fit(net, data, window=2).values["k"] == pytest.approx(30.0, rel=1e-6)


def test_checkpoints_change_nothing_and_truncation_changes_gradients_only() -> None:
    times, frames = observed()
    plain = fit(started(), frames, times=times)
    kept = fit(started(), frames, times=times, checkpoint_every=2)
    np.testing.assert_array_equal(kept.loss, plain.loss)
    cut = fit(started(), frames, times=times, truncate_every=8, optimizer="adam", tolerance=1e-3)
    assert cut.loss[0] == pytest.approx(plain.loss[0], rel=1e-12)  # summed in another order
    assert cut.loss[1] != plain.loss[1]
    assert values(cut) == pytest.approx(
        [0.02, 2.0], rel=1e-2
    )  # the residual is zero there, so any gradient is


def test_truncation_cuts_between_frames_too() -> None:
    """One step a frame: with truncate_every=1 every frame's gradient sees one step, which is dt of
    ∂F/∂r at the state before it."""
    truth = StandIn(sources, {"F": 1.0, "G": 0.0})
    times, frames = frames_of(truth, wave_start(), 4, 1)
    net = StandIn(sources, {"F": 0.0, "G": 0.0})
    whole = gradient_of(net, frames, times, None)
    cut = gradient_of(net, frames, times, 1)
    # Residuals grow as 1, 2, 3 steps; each sees as many steps, or one.
    assert cut / whole == pytest.approx((1 + 2 + 3) / (1 + 4 + 9), rel=1e-12)


def gradient_of(
    net: StandIn, frames: np.ndarray, times: np.ndarray, truncate_every: int | None
) -> float:
    from pdenet.training.fitting.batches import make_batches, make_pieces
    from pdenet.training.fitting.rollout import Rollout

    (batch,) = make_batches(make_pieces([Trajectory(times, frames)], net, None, estimated=False))
    rollout = Rollout(net, batch)
    residuals = rollout.residuals(rollout.initial, None, truncate_every)
    loss = torch.stack([r.square().sum() for r in residuals]).sum()
    (gradient,) = torch.autograd.grad(loss, net["F"])
    return float(gradient)


def test_a_penalty_is_the_ridge_of_linear_least_squares() -> None:
    """u₁ = u₀ + dt c u₀: with L = Σ(...)²/N w² + λ Σ(Δc)² the normal equations are explicit."""
    rng = np.random.default_rng(0)
    u0 = 1.0 + rng.random(16)
    target = u0 + 0.01 * np.sin(np.arange(16)) * u0 + 1e-3 * rng.normal(size=16)
    net = StandIn(field, {"c": np.zeros(16)})
    noise, weight = 1e-3, 5.0  # both terms of the precision are of the order of 100
    made = fit(
        net,
        Trajectory([0.0, 0.01], np.stack([u0, target])[:, None]),
        noise=noise,
        penalty=smoothness("c", weight),
    )
    jacobian = np.diag(0.01 * u0)
    difference = np.diff(np.eye(16), axis=0)
    precision = jacobian.T @ jacobian / noise**2 + 16 * weight * difference.T @ difference
    exact = np.linalg.solve(precision, jacobian.T @ (target - u0) / noise**2)
    np.testing.assert_allclose(made.values["c"], exact, rtol=1e-4, atol=1e-4)  # of values near 1
    # Known noise: the posterior covariance is the inverse of the precision, to rounding.
    np.testing.assert_allclose(
        np.asarray(made.covariance), np.linalg.inv(precision), rtol=1e-8, atol=1e-14
    )


def test_an_exception_leaves_the_starting_values() -> None:
    times, frames = observed()
    net = started()
    calls = 0

    def interrupted(quantities: Mapping[str, torch.Tensor]) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt
        return 0.0 * quantities["D"]

    with pytest.raises(KeyboardInterrupt):
        fit(net, frames, times=times, penalty=interrupted)
    assert calls == 5
    assert {n: float(p.detach()) for n, p in net.quantities().items()} == START
    assert all(p.grad is None and p.requires_grad for p in net.quantities().values())


def test_a_blow_up_at_the_start_says_the_values() -> None:
    times, frames = observed()
    net = StandIn(diffusion_reaction, {"D": 0.01, "r": -1e200})
    with pytest.raises(FitError, match=r"finite.*r = -1e\+200.*dt"):
        fit(net, frames, times=times)
    assert float(net["r"].detach()) == -1e200


@pytest.mark.parametrize(
    ("optimizer", "lr", "start"),
    [
        (optimizer, lr, start)
        if optimizer != "adam" or (lr, start) in ((None, 0.7), (30.0, -50.0))
        else pytest.param(optimizer, lr, start, marks=pytest.mark.deep)
        for optimizer, lr in (
            ("least_squares", None),
            ("lbfgs", None),
            ("adam", None),
            ("adam", 30.0),
        )
        for start in (0.7, -1.0, -50.0)
    ],
)
def test_a_blow_up_on_the_way_is_stepped_back_from(
    optimizer: str, lr: float | None, start: float
) -> None:
    """u_t = r u² explodes before the last frame for r > 1.25/max u: the truth lies at 1, and a rate
    of thirty units, or the first step from −50, far beyond."""
    times, frames = frames_of(StandIn(square, {"r": 1.0}), wave_start(), 5, 20)
    net = StandIn(square, {"r": start})
    made = fit(net, frames, times=times, optimizer=optimizer, lr=lr)
    assert made.values["r"] == pytest.approx(1.0, rel=1e-6)
    if lr is not None:
        assert max(float(one["r"]) for one in net.seen) > 5.0  # it was met


def test_a_fit_never_ends_worse_than_it_began() -> None:
    """Adam with a huge rate climbs; the best iterate is its start, or better."""
    times, frames = observed()
    net = started()
    with pytest.warns(FitWarning, match="limit of 5 iterations"):
        made = fit(net, frames, times=times, optimizer="adam", lr=5.0, iterations=5)
    assert made.best == min(made.loss) <= made.loss[0]
    with pytest.warns(FitWarning, match="limit of 1 iterations"):
        again = fit(net, frames, times=times, iterations=1, optimizer="lbfgs")
    assert again.loss[0] == made.best  # the network holds the best one


def test_a_fit_that_runs_out_of_iterations_warns() -> None:
    times, frames = observed()
    with pytest.warns(FitWarning, match="iterations was reached"):
        made = fit(started(), frames, times=times, iterations=2)
    assert not made.converged
    assert made.iterations == 2


def test_the_bar_is_shown_when_asked_and_not_in_a_pipe(
    capsys: pytest.CaptureFixture[str],
) -> None:
    times, frames = observed()
    fit(started(), frames, times=times)
    assert capsys.readouterr().err == ""
    fit(started(), frames, times=times, progress=True)
    assert "fit (least_squares)" in capsys.readouterr().err
