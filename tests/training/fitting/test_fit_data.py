"""Trajectories, sensors and times: what a fit reads, and what it refuses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any  # every kind of wrong value is given to the doors

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import pdenet as pn
from pdenet.errors import FitError
from pdenet.training.fitting.batches import count_steps
from pdenet.training.fitting.fit import fit
from pdenet.training.fitting.penalties import smoothness
from pdenet.training.fitting.sensors import Observer, locate
from pdenet.training.fitting.trajectories import Trajectory
from tests.training.fitting.standin import StandIn, diffusion_reaction, frames_of, wave_start

MIXED = pn.Boundary(x=pn.Periodic(), y=pn.Dirichlet(0))
PLANE = pn.Grid(x=(-1, 1, 8), y=(0, 3, 5))


def started(dtype: torch.dtype = torch.float64) -> StandIn:
    return StandIn(diffusion_reaction, {"D": 0.01, "r": 1.0}, dtype=dtype)


def noisy_frames() -> tuple[np.ndarray, np.ndarray]:
    truth = StandIn(diffusion_reaction, {"D": 0.02, "r": 2.0})
    times, frames = frames_of(truth, wave_start(), 5, 5)
    return times, frames + 0.01 * np.random.default_rng(0).normal(size=frames.shape)


def test_sensors_at_nodes_are_frames_with_the_rest_unmeasured() -> None:
    """A mask, the same nodes as indices, the same as points, and NaN elsewhere: one problem."""
    times, frames = noisy_frames()
    mask = np.zeros(16, dtype=bool)
    mask[[2, 5, 6, 11]] = True
    hidden = np.where(mask, frames, np.nan)
    at = frames[:, :, mask]
    given: list[Trajectory] = [
        Trajectory(times, hidden, initial=frames[0]),
        Trajectory(times, at, initial=frames[0], sensors=mask),
        Trajectory(times, at, initial=frames[0], sensors=[2, 5, 6, 11]),
        Trajectory(times, at, initial=frames[0], sensors=np.array([[2], [5], [6], [11]]) / 16),
    ]
    found = [fit(started(), one) for one in given]
    assert [one.num_values for one in found] == [16, 16, 16, 16]
    for one in found[1:]:
        # The same sums in another order, until the loss falls by less than 1e-9 of itself.
        for name in ("D", "r"):
            assert abs(float(one.values[name]) - float(found[0].values[name])) < 1e-3 * float(
                found[0].errors[name]
            )


def test_sensors_between_nodes_recover_what_they_see() -> None:
    """Observations made by interpolation of the model's own frames, wrap-around included."""
    truth = StandIn(diffusion_reaction, {"D": 0.02, "r": 2.0})
    times, frames = frames_of(truth, wave_start(), 5, 5)
    points = np.array([0.01, 0.3, 0.98])
    closed = np.concatenate([frames, frames[:, :, :1]], axis=2)
    seen = np.stack([[np.interp(points, np.linspace(0, 1, 17), one[0])] for one in closed])
    made = fit(started(), Trajectory(times, seen, initial=frames[0], sensors=points))
    assert made.values["D"] == pytest.approx(0.02, rel=1e-6)
    assert made.values["r"] == pytest.approx(2.0, rel=1e-6)


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 3)), min_size=1, max_size=5),
    st.tuples(*[st.floats(-2, 2)] * 4),
)
def test_interpolation_is_exact_for_bilinear_functions(
    points: list[tuple[float, float]], c: tuple[float, float, float, float]
) -> None:
    """On a box that no axis closes: a + b x + c y + d x y, to rounding of twelve operations."""
    walls = pn.Boundary(x=pn.Neumann(0), y=pn.Dirichlet(0))
    xs, ys = PLANE.nodes(walls)
    state = c[0] + c[1] * xs + c[2] * ys[:, None] + c[3] * xs * ys[:, None]
    nodes, weights = locate(np.array(points), PLANE, walls)
    seen = Observer((0,), nodes, weights).on(torch.zeros(1, dtype=torch.float64), 1)(
        torch.from_numpy(state)[None, None]
    )
    x, y = np.array(points).T
    np.testing.assert_allclose(seen[0, 0], c[0] + c[1] * x + c[2] * y + c[3] * x * y, atol=1e-13)


def test_the_end_of_a_periodic_axis_is_its_first_node() -> None:
    nodes, weights = locate(np.array([[1.0, 1.5]]), PLANE, MIXED)
    first, own = locate(np.array([[-1.0, 1.5]]), PLANE, MIXED)
    dense = np.zeros((2, 40))
    np.add.at(dense[0], nodes[0], weights[0])
    np.add.at(dense[1], first[0], own[0])
    np.testing.assert_array_equal(dense[0], dense[1])


def test_masks_are_counted_in_array_order_and_indices_row_first() -> None:
    mask = np.zeros((5, 8), dtype=bool)
    mask[1, 6] = mask[3, 2] = True
    nodes, _ = locate(mask, PLANE, MIXED)
    same, _ = locate(np.array([[1, 6], [3, 2]]), PLANE, MIXED)
    np.testing.assert_array_equal(nodes, same)
    assert nodes[:, 0].tolist() == [14, 26]


@given(st.integers(1, 10**6), st.floats(1e-6, 1e3), st.floats(-1e3, 1e3))
def test_multiples_of_dt_are_counted_and_half_steps_are_not(
    steps: int, dt: float, start: float
) -> None:
    times = np.array([start + steps * dt])
    if np.spacing(abs(start) + times[0]) < 1e-7 * dt:  # else the time itself is not known
        assert count_steps(times, start, dt) == (steps,)
        with pytest.raises(FitError, match="whole multiples"):
            count_steps(times + 0.5 * dt, start, dt)


@pytest.mark.parametrize(
    ("times", "dt", "advised"),
    [
        ([0.0, 0.1, 0.2, 0.3], 0.03, 0.025),  # of 0.1: four steps, not three and a third
        ([0.0, 0.1, 0.25], 0.03, 0.025),  # the common step is 0.05
        ([0.0, 1.0, 2.0], 0.9999, 0.5),
        ([0.0, 0.3], 1.0, 0.3),
    ],
)
def test_the_dt_that_is_advised_divides_all_times(
    times: list[float], dt: float, advised: float
) -> None:
    with pytest.raises(FitError, match=r"build the network with dt=") as caught:
        count_steps(np.array(times), 0.0, dt)
    said = float(str(caught.value).rpartition("dt=")[2])
    assert said == pytest.approx(advised, rel=1e-9)
    assert said <= dt * (1 + 1e-9)
    count_steps(np.array(times), 0.0, said)


def test_times_without_a_common_step_say_so() -> None:
    with pytest.raises(FitError, match="no common step"):
        count_steps(np.array([0.0, 1.0, math.pi]), 0.0, 0.01)


TIMES, FRAMES = noisy_frames()
MASK = np.arange(16) % 4 == 0


def trajectory(**changes: Any) -> Any:
    return lambda: Trajectory(**{"times": TIMES, "states": FRAMES, **changes})


WRONG_DATA: Mapping[str, tuple[Any, str]] = {
    "other lengths": (trajectory(times=TIMES[:-1]), "4 times and 5 frames"),
    "not increasing": (trajectory(times=TIMES[[0, 1, 1, 3, 4]]), "increase.*sort"),
    "infinite time": (trajectory(times=[0, 0.1, math.inf, 2, 3]), "times are finite"),
    "no steps": (trajectory(times=TIMES * 1.01), "whole multiples.*build the network with dt="),
    "one frame": (trajectory(times=TIMES[:1], states=FRAMES[:1]), "two frames in all"),
    "no axis of fields": (trajectory(states=FRAMES[:, 0]), r"states\[:, None\]"),
    "other grid": (trajectory(states=FRAMES[:, :, :-1]), r"\(frame, 1, 16\)"),
    "all NaN": (trajectory(states=FRAMES * np.nan), "at least one measured value"),
    "NaN after the start": (
        trajectory(states=np.concatenate([FRAMES[:1], FRAMES[1:] * np.nan])),
        "after the initial state",
    ),
    "infinite": (
        trajectory(states=np.where(FRAMES.max() == FRAMES, np.inf, FRAMES)),
        "got inf at index",
    ),
    "complex": (trajectory(states=FRAMES + 0j), "complex128.*real and the imaginary"),
    "half": (trajectory(states=FRAMES.astype(np.float16)), "float16.*astype"),
    "bfloat16": (trajectory(states=torch.zeros(5, 1, 16, dtype=torch.bfloat16)), "array of real"),
    "whole numbers": (trajectory(states=np.ones((5, 1, 16), dtype=int)), "int64.*astype"),
    "ragged": (trajectory(states=[[[1.0, 2.0]], [[1.0]]]), "one array of real numbers"),
    "NaN in the first frame": (
        trajectory(states=np.where(np.arange(5)[:, None, None] == 0, np.nan, FRAMES)),
        "measured everywhere.*initial=",
    ),
    "NaN in the initial state": (trajectory(initial=FRAMES[0] * np.nan), "16 NaN"),
    "initial of another shape": (trajectory(initial=FRAMES[0, 0]), r"\(1, 16\) was expected"),
    "start after the first frame": (trajectory(start=0.01, initial=FRAMES[0]), "not later"),
    "start without a state": (trajectory(start=-0.05), "give initial="),
    "start that is no time": (trajectory(start="now"), "finite number"),
    "sensors outside": (
        trajectory(states=FRAMES[:, :, :1], sensors=[1.2], initial=FRAMES[0]),
        "x from 0 to 1; got x = 1.2",
    ),
    "nodes outside": (
        trajectory(states=FRAMES[:, :, :1], sensors=[16], initial=FRAMES[0]),
        r"got \(16,\) for sensor 0",
    ),
    "negative nodes": (
        trajectory(states=FRAMES[:, :, :1], sensors=[-1], initial=FRAMES[0]),
        "from 0",
    ),
    "sensors of two dimensions": (
        trajectory(states=FRAMES[:, :, :1], sensors=[[0.1, 0.2]], initial=FRAMES[0]),
        r"shape \(sensor, 1\)",
    ),
    "mask of another grid": (
        trajectory(states=FRAMES[:, :, :1], sensors=MASK[:8], initial=FRAMES[0]),
        "mask.*shape of the grid",
    ),
    "empty mask": (
        trajectory(states=FRAMES[:, :, :1], sensors=MASK & False, initial=FRAMES[0]),
        "at least one node",
    ),
    "number of sensors": (
        trajectory(states=FRAMES[:, :, :3], sensors=MASK, initial=FRAMES[0]),
        r"\(frame, 1, 4\)",
    ),
    "sensors without a state": (
        trajectory(states=FRAMES[:, :, MASK], sensors=MASK),
        "give initial=",
    ),
    "unknown field": (trajectory(fields=["U"]), "Did you mean 'u'"),
    "number of fields": (trajectory(fields=["u", "v"]), "one name for each field"),
    "no trajectory": (list, "at least one trajectory"),
    "something else": (lambda: {"u": FRAMES}, "frames are a Result, a Trajectory"),
    "a list of both": (lambda: [Trajectory(TIMES, FRAMES), FRAMES], "at place 1"),
    "one of several": (
        lambda: [Trajectory(TIMES, FRAMES), Trajectory(TIMES * 1.01, FRAMES)],
        "trajectory 1 of 2.*whole multiples",
    ),
}


@pytest.mark.parametrize("case", WRONG_DATA)
def test_data_without_sense_are_refused(case: str) -> None:
    make, message = WRONG_DATA[case]
    net = started()
    with pytest.raises(FitError, match=message):
        fit(net, make())
    assert {n: float(p.detach()) for n, p in net.quantities().items()} == {"D": 0.01, "r": 1.0}


WRONG_OPTIONS: Mapping[str, tuple[dict[str, Any], str]] = {
    "unknown parameter": ({"parameters": ["d"]}, "Did you mean 'D'"),
    "no parameter": ({"parameters": []}, "at least one parameter"),
    "optimizer": ({"optimizer": "adamw"}, "Did you mean 'adam'"),
    "iterations": ({"iterations": 0}, "iterations is a positive whole number; got 0"),
    "iterations that are no number": ({"iterations": 2.5}, "got 2.5"),
    "least squares": (
        {"optimizer": "least_squares", "truncate_every": 2},
        "from given initial states, with whole derivatives",
    ),
    "lr of lbfgs": ({"lr": 0.1}, 'optimizer="adam"'),
    "lr": ({"lr": 0.0, "optimizer": "adam"}, "lr is a positive number"),
    "schedule": ({"schedule": "cos"}, "Did you mean 'cosine'"),
    "tolerance": ({"tolerance": -1.0}, "not negative"),
    "patience": ({"patience": 0}, "patience"),
    "level": ({"level": 95}, "between 0 and 1"),
    "window": ({"window": 0}, "window"),
    "window and estimated": ({"window": 2, "initial": "estimated"}, "choose one"),
    "initial": ({"initial": "guess"}, "given, estimated"),
    "initial that is a state": ({"initial": FRAMES[0]}, "belongs to a Trajectory"),
    "noise": ({"noise": 0.0}, "noise is a positive number"),
    "noise of another": ({"noise": {"U": 1.0}}, "Did you mean 'u'"),
    "noise of none": ({"noise": {}}, "every observed component"),
    "penalty": ({"penalty": 3.0}, "function of the parameters"),
    "penalty of no number": ({"penalty": lambda q: torch.ones(3)}, r"one number.*shape \(3,\)"),
    "smoothness of a number": ({"penalty": smoothness("D", 1.0)}, "a single number"),
    "smoothness of another": ({"penalty": smoothness("d", 1.0)}, "Did you mean 'D'"),
    "checkpoint_every": ({"checkpoint_every": 0}, "checkpoint_every"),
    "truncate_every": ({"truncate_every": 1.5}, "truncate_every"),
    "times twice": ({"times": TIMES}, "has its own"),
}


@pytest.mark.parametrize("case", WRONG_OPTIONS)
def test_options_without_sense_are_refused(case: str) -> None:
    chosen, message = WRONG_OPTIONS[case]
    net = started()
    with pytest.raises(FitError, match=message):
        fit(net, Trajectory(TIMES, FRAMES), **chosen)
    assert {n: float(p.detach()) for n, p in net.quantities().items()} == {"D": 0.01, "r": 1.0}


def test_windows_refuse_sensors_and_frames_that_were_not_measured() -> None:
    with pytest.raises(FitError, match="whole frames of all components"):
        fit(
            started(),
            Trajectory(TIMES, FRAMES[:, :, MASK], initial=FRAMES[0], sensors=MASK),
            window=1,
        )
    holes = FRAMES.copy()
    holes[2, 0, 3] = np.nan
    with pytest.raises(FitError, match="1 NaN in the frame 10 steps after the start"):
        fit(started(), Trajectory(TIMES, holes), window=2)
    assert fit(started(), Trajectory(TIMES, holes), window=3).num_values == 63


def test_frames_without_times_and_nets_that_are_none_are_refused() -> None:
    with pytest.raises(FitError, match="give times="):
        fit(started(), FRAMES)
    with pytest.raises(FitError, match=r"pde\.to_network"):
        fit(torch.nn.Linear(2, 2), FRAMES, times=TIMES)  # type: ignore[arg-type]
    with pytest.raises(FitError, match="at least one trainable"):
        fit(StandIn(diffusion_reaction, {}), FRAMES, times=TIMES)
    net = StandIn(diffusion_reaction, {"D": float("nan"), "r": 1.0})
    with pytest.raises(FitError, match="finite starting values"):
        fit(net, FRAMES, times=TIMES)


@pytest.mark.parametrize("weight", [0.0, -1.0, math.nan, math.inf, "1", True])
def test_a_penalty_has_a_positive_weight(weight: object) -> None:
    with pytest.raises(FitError, match="positive"):
        smoothness("c", weight)  # type: ignore[arg-type]


def test_observations_may_begin_after_the_initial_state() -> None:
    truth = StandIn(diffusion_reaction, {"D": 0.02, "r": 2.0})
    times, frames = frames_of(truth, wave_start(), 5, 5)
    late = Trajectory(times[3:4], frames[3:4], initial=frames[0], start=0.0)
    made = fit(started(), late)
    assert made.values["D"] == pytest.approx(0.02, rel=1e-6)
