"""A fit computes gradients wherever it is called, and says so where torch cannot."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager

import numpy as np
import pytest
import torch

import pdenet as pn
from pdenet.errors import FitError, FitWarning
from pdenet.training.fitting.fit import fit
from pdenet.training.fitting.trajectories import Trajectory
from tests.training.fitting.standin import (
    StandIn,
    diffusion_reaction,
    field,
    frames_of,
    sources,
    wave_start,
)

START: dict[str, float | np.ndarray] = {"D": 0.01, "r": 1.0}


def observed() -> tuple[np.ndarray, np.ndarray]:
    truth = StandIn(diffusion_reaction, {"D": 0.02, "r": 2.0})
    return frames_of(truth, wave_start(), 6, 5)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("initial", ["given", "estimated"])
def test_a_fit_is_the_same_where_gradients_are_switched_off(
    mode: type[AbstractContextManager[None]], initial: str
) -> None:
    times, frames = observed()
    noisy = frames + 0.01 * np.random.default_rng(0).normal(size=frames.shape)
    plain = fit(StandIn(diffusion_reaction, START), noisy, times=times, initial=initial)
    net = StandIn(diffusion_reaction, START)
    with mode():
        made = fit(net, torch.from_numpy(noisy), times=times, initial=initial)
        assert not torch.is_grad_enabled()  # the caller's mode is back
    np.testing.assert_array_equal(made.loss, plain.loss)
    assert made.values == plain.values
    assert made.errors == plain.errors
    assert net.named["D"].requires_grad
    net.laplacian(net["D"] * net.x).sum().backward()  # an ordinary tensor still


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_network_is_fitted_where_gradients_are_switched_off(
    mode: type[AbstractContextManager[None]],
) -> None:
    """The frames are the network's own: to the search's tolerance."""
    heat, ring = pn.catalogue["heat"], pn.Boundary(x=pn.Periodic(), y=pn.Periodic())
    grid = pn.Grid(x=(0, 1, 8), y=(0, 1, 8))
    frames = heat.to_solver(grid, ring, values={"D": 0.2}, dt=0.002).run(
        np.random.default_rng(0).random((1, 8, 8)), until=0.02, every=0.01
    )
    net = heat.to_network(grid, ring, values={"D": 0.1}, dt=0.002, trainable=["D"], dtype="float64")
    with mode():
        made = fit(net, frames)
    assert made.values["D"] == pytest.approx(0.2, rel=1e-6)


def test_tensors_of_inference_mode_are_refused() -> None:
    times, frames = observed()
    with torch.inference_mode():
        net = StandIn(diffusion_reaction, START)
    with pytest.raises(FitError, match=r"inference_mode.*build the network outside"):
        fit(net, frames, times=times)


def without_graph(net: StandIn, u: torch.Tensor, t: float) -> torch.Tensor:
    return net["D"].detach() * net.laplacian(u)


def test_predictions_and_penalties_without_a_graph_are_refused() -> None:
    """Their gradient is no zero."""
    times, frames = observed()
    net = StandIn(without_graph, {"D": 0.01})
    with pytest.raises(FitError, match=r"differentiate by the fitted parameters, D.*detach"):
        fit(net, frames, times=times)
    for penalty in (
        lambda q: q["D"].detach() ** 2,
        lambda q: q["r"] ** 2,  # of what is not fitted
        lambda q: torch.tensor(1.0),
    ):
        net = StandIn(diffusion_reaction, START)
        with pytest.raises(FitError, match="penalty that torch can differentiate"):
            fit(net, frames, times=times, parameters="D", penalty=penalty)
        assert float(net["D"].detach()) == START["D"]


def test_a_warning_that_is_an_error_leaves_what_was_found() -> None:
    times, frames = observed()
    plain, strict = (StandIn(diffusion_reaction, START) for _ in range(2))
    with pytest.warns(FitWarning, match="limit of 3"):
        made = fit(plain, frames, times=times, iterations=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(FitWarning, match="limit of 3"):
            fit(strict, frames, times=times, iterations=3)
    assert made.values != START
    assert {n: float(p.detach()) for n, p in strict.quantities().items()} == made.values


def two_heats(net: StandIn, u: torch.Tensor, t: float) -> torch.Tensor:
    """u_t = D u_xx, v_t = E v_xx; states are (u, v)."""
    return torch.stack([net["D"], net["E"]])[:, None] * net.laplacian(u)


def test_rounding_of_one_component_does_not_hide_another() -> None:
    """ε = 1.2e-7 of u = 1e5 is more than a hundredth, all that D could change; v is near 1, and E
    rests on it: predictions carry a few ε, and E's relative sensitivity is about one."""
    wave = np.cos(2 * np.pi * np.arange(16) / 16)
    initial = np.stack([1e5 + 0.5 * wave, wave])
    truth = StandIn(two_heats, {"D": 0.05, "E": 0.1}, components=("u", "v"), dtype=torch.float32)
    times, frames = frames_of(truth, initial, 10, 1)
    net = StandIn(two_heats, {"D": 0.04, "E": 0.105}, components=("u", "v"), dtype=torch.float32)
    made = fit(net, Trajectory(times, frames, initial=initial.astype(np.float32)))
    assert made.iterations > 0
    assert made.values["E"] == pytest.approx(0.1, rel=1e-5)
    assert any("residual is rounding" in note for note in made.notes)


def test_rounding_of_one_component_is_noted_by_its_name() -> None:
    wave = np.cos(2 * np.pi * np.arange(16) / 16)
    initial = np.stack([1e5 + 0.5 * wave, wave])
    truth = StandIn(two_heats, {"D": 0.05, "E": 0.1}, components=("u", "v"), dtype=torch.float32)
    times, frames = frames_of(truth, initial, 10, 1)
    noisy = frames.copy()
    noisy[:, 1] += 0.05 * np.random.default_rng(0).normal(size=frames[:, 1].shape)
    net = StandIn(two_heats, {"D": 0.05, "E": 0.105}, components=("u", "v"), dtype=torch.float32)
    made = fit(net, Trajectory(times, noisy, initial=initial.astype(np.float32)))
    assert any("the residual of u is rounding" in note for note in made.notes)
    # One draw: three standard errors.
    assert abs(float(made.values["E"]) - 0.1) < 3 * float(made.errors["E"])


def test_a_component_that_is_zero_has_no_weight_to_learn() -> None:
    """v stays 0 exactly; the fit is that of u alone."""
    initial = np.stack([wave_start()[0], np.zeros(16)])
    truth = StandIn(two_heats, {"D": 0.05, "E": 0.1}, components=("u", "v"))
    times, frames = frames_of(truth, initial, 5, 2)
    frames[1:, 0] += 0.01 * np.random.default_rng(0).normal(size=frames[1:, 0].shape)
    found = []
    for fields in (("u", "v"), ("u",)):
        net = StandIn(two_heats, {"D": 0.04, "E": 0.1}, components=("u", "v"))
        data = Trajectory(times, frames[:, : len(fields)], initial=initial, fields=fields)
        found.append(fit(net, data, parameters="D"))
    # Both stop within 1e-9 of the loss, √(N·1e-9) = 4e-4 standard errors of its minimum.
    difference = abs(float(found[0].values["D"]) - float(found[1].values["D"]))
    assert difference < 1e-3 * float(found[1].errors["D"])


def test_parameters_that_no_array_shows_are_counted_as_they_are_determined() -> None:
    """Two numbers of a linear model, and sixteen unknown initial values: 18 of 48."""
    times, frames = frames_of(StandIn(sources, {"F": 1.0, "G": 2.0}), wave_start(), 3, 5)
    net = StandIn(sources, {"F": 0.0, "G": 0.0})
    noisy = frames + np.random.default_rng(0).normal(size=frames.shape)
    # Traces of 18×18 inverses, their condition number 1e4 at most.
    assert fit(net, noisy, times=times).num_effective == pytest.approx(2, rel=1e-9)
    made = fit(net, noisy, times=times, initial="estimated")
    assert made.num_effective == pytest.approx(18, rel=1e-9)
    assert made.num_effective + made.freedom == made.num_values == 48
    net = StandIn(field, {"c": np.zeros(16)})
    assert fit(net, noisy, times=times, errors=False).num_effective == 16
