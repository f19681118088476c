"""Experiment: what an inverse problem comes to, and the tools of which each is made."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import sympy as sp
import torch

import pdenet as pn
from pdenet.network.network import Network
from pdenet.training.fitting.estimate import Fit
from pdenet.training.fitting.trajectories import Trajectory


@dataclass(frozen=True)
class Number:
    """A number that was sought, and what was found.

    Attributes:
        name: of the parameter.
        truth: with which the data were made.
        start: of the search; NaN where there is none.
        found: by the fit.
        error: its standard error.
        low: lower end of the 95 % interval.
        high: upper end.
        bias: found − truth of the same fit to data without noise.
        group: of which of several fits it is.
    """

    name: str
    truth: float
    start: float
    found: float
    error: float
    low: float
    high: float
    bias: float
    group: str = ""

    @property
    def relative(self) -> float:
        """The error as a part of the truth; the error itself where the truth is 0."""
        return (self.found - self.truth) / (self.truth or 1.0)

    @property
    def holds(self) -> bool:
        """Whether the interval holds the truth."""
        return self.low <= self.truth <= self.high


@dataclass(frozen=True, eq=False)
class Map:
    """A coefficient function that was sought; arrays of shape (y, x).

    Attributes:
        name: of the parameter.
        truth: with which the data were made.
        found: by the fit.
        error: standard errors.
        low: lower ends of the 95 % intervals.
        high: upper ends.
        group: of which of several fits it is.
        background: what is known of it beforehand.
    """

    name: str
    truth: np.ndarray
    found: np.ndarray
    error: np.ndarray
    low: np.ndarray
    high: np.ndarray
    group: str = ""
    background: float = 0.0

    @property
    def relative(self) -> float:
        """Return ‖found − truth‖/‖truth − background‖ in L2."""
        size = np.linalg.norm(self.truth - self.background)
        return float(np.linalg.norm(self.found - self.truth) / size)

    @property
    def inside(self) -> float:
        """Return the share of the nodes whose interval holds the truth."""
        return float(np.mean((self.low <= self.truth) & (self.truth <= self.high)))


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a case.

    Attributes:
        fits: by name; a single one is called "".
        numbers: what was sought and is a number.
        maps: what was sought and is a function of place.
        model_error: root mean square of (network at the truth − data without noise)/noise.
        remarks: further results by name.
        texts: equations and notes to be printed, by name.
    """

    fits: Mapping[str, Fit]
    numbers: tuple[Number, ...]
    maps: tuple[Map, ...] = ()
    model_error: float = math.nan
    remarks: Mapping[str, float] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)


x, y = sp.symbols("x y")
TWO_PI = 2 * sp.pi
RING = pn.Boundary(x=pn.Periodic(), y=pn.Periodic())


def unit_square(points: int) -> pn.Grid:
    return pn.Grid(x=(0, 1, points), y=(0, 1, points))


def measured(
    clean: Sequence[np.ndarray], share: float, seed: int
) -> tuple[list[np.ndarray], dict[str, float]]:
    """Add noise of a share of the amplitude, half of max − min, of each component.

    Args:
        clean: frames of each trajectory, shape (frame, component, *rest).
        share: of the amplitude.
        seed: of the generator.

    Returns:
        The frames with noise, and its standard deviation by component, "u" and then "v".
    """
    rng = np.random.default_rng(seed)
    count = clean[0].shape[1]
    ranges = [np.concatenate([c[:, k].ravel() for c in clean]) for k in range(count)]
    sizes = np.array([share * np.ptp(one) / 2 for one in ranges])
    spread = sizes.reshape(1, count, *(1,) * (clean[0].ndim - 2))
    noisy = [c + spread * rng.normal(size=c.shape) for c in clean]
    return noisy, dict(zip("uv", map(float, sizes), strict=False))


def numbers_found(
    made: Fit,
    exact: Fit,
    truth: Mapping[str, float],
    start: Mapping[str, float],
    group: str = "",
) -> tuple[Number, ...]:
    """Read numbers from a fit, and their bias from the same fit to data without noise."""
    rows = []
    for name, true in truth.items():
        low, high = (float(end) for end in made.interval(name))
        found, error = float(made.values[name]), float(made.errors[name])
        bias = float(exact.values[name]) - true
        rows.append(Number(name, true, start[name], found, error, low, high, bias, group))
    return tuple(rows)


def map_found(
    made: Fit, name: str, truth: np.ndarray, group: str = "", background: float = 0.0
) -> Map:
    low, high = (np.asarray(end) for end in made.interval(name))
    found, error = np.asarray(made.values[name]), np.asarray(made.errors[name])
    return Map(name, truth, found, error, low, high, group, background)


def on(grid: pn.Grid, boundary: pn.Boundary, expression: sp.Expr) -> np.ndarray:
    """Return an expression of x and y on the grid, shape (y, x)."""
    across, up = grid.mesh(boundary)
    made: np.ndarray = np.broadcast_to(sp.lambdify((x, y), expression)(across, up), grid.shape)
    return made


def random_state(grid: pn.Grid, rng: np.random.Generator, square: int) -> np.ndarray:
    """Return random waves with a² + b² ≤ `square` periods along the axes, of amplitude 1."""
    across, up = grid.mesh(RING)
    made = np.zeros(grid.shape)
    reach = math.isqrt(square)
    for a in range(-reach, reach + 1):
        for b in range(reach + 1):
            if 0 < a * a + b * b <= square:
                phase = 2 * np.pi * (a * across + b * up) + rng.uniform(0, 2 * np.pi)
                made += rng.normal() / (1 + 0.2 * (a * a + b * b)) * np.cos(phase)
    return made / np.abs(made).max()


def smoothness_weight(seen: Sequence[Trajectory], difference: float) -> float:
    """Return the weight with which neighbours differ by about `difference` a priori.

    The penalty times N/2 is minus the logarithm of the prior, Σ Δ²/(2 · difference²).
    """
    count = sum((one.states.shape[0] - 1) * one.states[0].size for one in seen)
    return 1 / (count * difference**2)


def error_of_model(
    net: Network,
    times: np.ndarray,
    clean: Sequence[np.ndarray],
    sizes: Mapping[str, float],
    sensors: np.ndarray | None = None,
) -> float:
    """Return the root mean square of (network − clean)/noise over all frames but the first.

    Args:
        net: with the true values.
        times: of the frames.
        clean: whole frames of each trajectory, shape (frame, component, *space).
        sizes: the noise of each observed component.
        sensors: a mask of nodes; None for all.
    """
    mask = np.ones(net.grid.shape, dtype=bool) if sensors is None else sensors
    spread = np.array(list(sizes.values()))[:, None]
    squares = []
    with torch.no_grad():
        state = torch.from_numpy(np.stack([c[0] for c in clean]))
        for k in range(1, len(times)):
            state = net.advance(state, steps=round((times[k] - times[k - 1]) / net.dt))
            off = state.numpy() - np.stack([c[k] for c in clean])
            squares.append(np.mean((off[:, : len(sizes)][:, :, mask] / spread) ** 2))
    return float(np.sqrt(np.mean(squares)))
