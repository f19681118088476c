"""A roll-out that is unstable from the start is never called a converged fit."""

from __future__ import annotations

import numpy as np
import pytest

import pdenet as pn


def test_predictions_far_beyond_the_data_are_no_converged_fit() -> None:
    ring = pn.Boundary(x=pn.Periodic(), y=pn.Periodic())
    grid = pn.Grid(x=(0, 1, 16), y=(0, 1, 16))
    heat = pn.catalogue["heat"]
    start = np.random.default_rng(0).random((1, 16, 16))
    frames = heat.to_solver(grid, ring, values={"D": 0.05}, dt=0.01).run(
        start, until=0.2, every=0.1
    )
    # Euler at D dt/h² = 1.28, five times its bound: the shortest wave grows ninefold a step.
    net = heat.to_network(
        grid,
        ring,
        values={"D": 0.5},
        dt=0.01,
        trainable=["D"],
        dtype="float64",
        stepper="euler",
    )
    with pytest.warns(pn.FitWarning) as caught:
        found = pn.fit(net, frames, iterations=3)
    messages = [str(one.message) for one in caught]
    assert any("unstable, and the search found no way out" in one for one in messages)
    assert not found.converged
    assert "grown far beyond the data" in found.stopped
    # With more iterations it does find the way: frames of the model itself, to rounding.
    assert pn.fit(net, frames).values["D"] == pytest.approx(0.05, rel=1e-9)
