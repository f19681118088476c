"""Intervals of a real network hold the truth as often as they say, with all that data may lack."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import pytest
import sympy as sp
import torch

import pdenet as pn
from pdenet.network.network import Network
from tests.tiers import both_tiers

t, x = pn.coordinates("t x")
u, v = pn.fields("u v", (t, x))
D, r, k = sp.symbols("D r k")
SYSTEM = pn.PDE(
    [
        sp.Eq(u.diff(t), D * u.diff(x, 2) + r * u * (1 - u) - k * u * v),
        sp.Eq(v.diff(t), D * v.diff(x, 2) + k * u * v - v),
    ]
)
TRUE = {"D": 0.03, "r": 2.0, "k": 1.5}
START = {"D": 0.04, "r": 1.5, "k": 1.2}
WALLS = pn.Boundary(x=pn.Neumann(0))
GRID = pn.Grid(x=(0, 1, 9))
DT, NUM_FRAMES = 0.1, 4  # D dt/h² = 0.19 of Euler, whose steps cost least
SIGMA = np.array([0.01, 0.05])[:, None]


def network(values: dict[str, float]) -> Network:
    return SYSTEM.to_network(
        GRID,
        WALLS,
        values=values,
        dt=DT,
        trainable=tuple(TRUE),
        dtype="float64",
        stepper="euler",
    )


@functools.cache
def exact_runs() -> tuple[np.ndarray, np.ndarray]:
    """Times, and frames of two runs of the network itself, (run, frame, component, x)."""
    (xs,) = GRID.nodes(WALLS)
    one, two = np.cos(np.pi * xs), np.cos(2 * np.pi * xs)
    first = np.stack([0.5 + 0.4 * one, 0.3 + 0.2 * two])
    second = np.stack([0.3 + 0.2 * two, 0.5 - 0.4 * one])
    truth = network(TRUE)
    states = [torch.from_numpy(np.stack([first, second]))]
    with torch.no_grad():
        for _ in range(NUM_FRAMES - 1):
            states.append(truth.advance(states[-1], steps=1))
    return DT * np.arange(NUM_FRAMES), torch.stack(states, dim=1).numpy()


def draws(count: int) -> Iterator[list[pn.Trajectory]]:
    """Both runs with noise, five times as large in v, and a fifth of the values missing."""
    times, runs = exact_runs()
    rng = np.random.default_rng(0)
    for _ in range(count):
        data = []
        for frames in runs:
            seen = frames + SIGMA * rng.normal(size=frames.shape)
            seen[rng.random(seen.shape) < 0.2] = np.nan
            data.append(pn.Trajectory(times, seen, initial=frames[0]))
        yield data


@both_tiers
def test_intervals_hold_the_truth_as_often_as_they_say(deep: bool) -> None:
    """Deviations in standard errors are those of a standard normal, independent between n fits.

    Were the three parameters' deviations copies of one another, their mean square would have the
    standard deviation √(2/n); the number covered is 0.95 n ± √(n·0.95·0.05) for each. Three of
    these are one chance in 370.
    """
    num_fits = 30 if deep else 10
    scores, covered = [], []
    for data in draws(num_fits):
        made = pn.fit(network(START), data)
        scores.append([(float(made.values[n]) - TRUE[n]) / float(made.errors[n]) for n in TRUE])
        ends = {n: made.interval(n) for n in TRUE}
        covered.append([float(ends[n][0]) <= TRUE[n] <= float(ends[n][1]) for n in TRUE])
    assert abs(np.mean(np.square(scores)) - 1) <= 3 * np.sqrt(2 / num_fits)
    spread = np.sqrt(num_fits * 0.95 * 0.05)
    assert (abs(np.sum(covered, axis=0) - 0.95 * num_fits) <= 3 * spread).all()


def test_bounds_far_away_change_neither_values_nor_errors() -> None:
    """Both searches end within 1e-9 of the loss, √(105·1e-9) = 3e-4 standard errors of its minimum,
    and agree to ten of these; standard errors are taken there, and change as little."""
    for data in draws(4):
        free = pn.fit(network(START), data)
        bounds = {"D": (0, 1), "r": (-50, 50), "k": (None, 30)}
        made = pn.fit(network(START), data, bounds=bounds)
        for name in TRUE:
            error = float(free.errors[name])
            assert abs(float(made.values[name]) - float(free.values[name])) < 3e-3 * error
            assert made.errors[name] == pytest.approx(error, rel=3e-3)
