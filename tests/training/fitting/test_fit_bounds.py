"""Bounds hold strictly at every iterate, in the network's own dtype."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pdenet.errors import FitError, FitWarning
from pdenet.training.fitting.bounds import make_ranges
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

KINDS = [(None, None), (0.0, None), (None, 3.0), (0.5, 2.0), (-1e-3, 1e6), (0.1, None)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("pair", KINDS)
@given(z=st.floats(-1e4, 1e4))
def test_every_number_has_a_nearest_parameter_strictly_inside(
    pair: tuple[float | None, float | None], dtype: type, z: float
) -> None:
    (one,) = make_ranges({"D": pair}, {"D": np.array(1.0, dtype=dtype)}).values()
    theta = one.inside(np.array(z))
    if pair[0] is not None:
        assert theta > pair[0]
    if pair[1] is not None:
        assert theta < pair[1]
    assert theta == theta.astype(dtype)  # the network's parameter holds it exactly
    if all(end is None or side * z < side * end for side, end in zip((-1, 1), pair, strict=True)):
        assert theta == dtype(z)


PAIRS, DTYPES = [(0.0, 0.015), (0.0, None), (0.005, 0.5)], [torch.float32, torch.float64]


@pytest.mark.parametrize(
    ("pair", "dtype", "optimizer"),
    [
        # Half of the cells meet any two of the three.
        cell if (k + n + o) % 2 == 0 else pytest.param(*cell, marks=pytest.mark.deep)
        for k, pair in enumerate(PAIRS)
        for n, dtype in enumerate(DTYPES)
        for o, optimizer in enumerate(("least_squares", "lbfgs", "adam"))
        for cell in ((pair, dtype, optimizer),)
    ],
)
def test_bounds_hold_at_every_iterate(
    pair: tuple[float, float | None], dtype: torch.dtype, optimizer: str
) -> None:
    """The truth is D = 0.02: beyond the first pair, inside the others."""
    truth = StandIn(diffusion_reaction, {"D": 0.02, "r": 2.0})
    times, frames = frames_of(truth, wave_start(), 6, 5)
    net = StandIn(diffusion_reaction, {"D": 0.01, "r": 1.0}, dtype=dtype)
    bounds = {"D": pair, "r": (0, 100)}
    if pair[1] == 0.015:
        with pytest.warns(FitWarning) as caught:
            made = fit(net, frames, times=times, bounds=bounds, optimizer=optimizer, iterations=200)
        assert any("D came to its bound" in str(one.message) for one in caught)
        assert made.values["D"] == pytest.approx(0.015, rel=1e-3)  # the nearest value allowed
    else:
        made = fit(net, frames, times=times, bounds=bounds, optimizer=optimizer)
        assert made.values["D"] == pytest.approx(0.02, rel=1e-4)  # of float32, as in the other file
    assert len(net.seen) > 5
    for one in net.seen:
        assert pair[0] < float(one["D"]) < (np.inf if pair[1] is None else pair[1])
        assert 0 < float(one["r"]) < 100


def test_bounds_of_an_array_hold_entry_by_entry() -> None:
    c = 1 + 0.5 * np.sin(2 * np.pi * np.arange(16) / 16)
    times, frames = frames_of(StandIn(field, {"c": c}), wave_start(), 5, 5)
    low, high = c - np.linspace(0.01, 2.0, 16), c + 0.3
    net = StandIn(field, {"c": c - np.linspace(0.005, 1.0, 16)})
    made = fit(net, frames, times=times, bounds={"c": (low, high)})
    assert all(((one["c"] > low) & (one["c"] < high)).all() for one in net.seen)
    np.testing.assert_allclose(made.values["c"], c, rtol=1e-6)  # as without bounds


def test_intervals_are_cut_at_the_bounds() -> None:
    times, frames = frames_of(StandIn(sources, {"F": 0.01, "G": 0.0}), wave_start(), 3, 5)
    noisy = frames + np.random.default_rng(0).normal(size=frames.shape)
    net = StandIn(sources, {"F": 1.0, "G": 0.0})
    data = Trajectory(times, noisy, initial=frames[0])
    free = fit(net, data, parameters="F")
    low, high = (float(end) for end in free.intervals["F"])
    middle = float(free.values["F"])
    made = fit(net, data, parameters="F", bounds={"F": (0.5 * (low + middle), high + 1.0)})
    assert made.values["F"] == pytest.approx(middle, rel=1e-4)
    np.testing.assert_allclose(
        np.asarray(made.intervals["F"]), [0.5 * (low + middle), high], rtol=1e-4
    )


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"D": (1.0, 0.0)}, "below its upper bound.*swap"),
        ({"D": (0.5, 0.5)}, "below its upper bound"),
        ({"D": (0.5, 1.0)}, r"strictly inside.*\(0.5, 1\); got 0.01"),
        ({"D": (0.01, 1.0)}, "strictly inside"),  # on the bound
        ({"D": 1.0}, "pair"),
        ({"D": (0, 1, 2)}, "pair"),
        ({"D": "positive"}, "pair"),
        ({"D": (float("nan"), 1)}, "bounds nothing"),
        ({"D": (float("inf"), None)}, "bounds nothing"),
        ({"D": ([0.0, 1.0], None)}, "array of shape"),
        ({"D": ("0", None)}, "number"),
        ({"d": (0, 1)}, "Did you mean 'D'"),
        ({"r": (0, None)}, "fitted parameters, D; got 'r'"),
        ([(0, 1)], "mapping"),
    ],
)
def test_bounds_without_sense_are_refused(bounds: object, message: str) -> None:
    times, frames = frames_of(
        StandIn(diffusion_reaction, {"D": 0.02, "r": 2.0}), wave_start(), 3, 5
    )
    net = StandIn(diffusion_reaction, {"D": 0.01, "r": 1.0})
    with pytest.raises(FitError, match=message):
        fit(net, frames, times=times, parameters="D", bounds=bounds)  # type: ignore[arg-type]
