"""A fit of few unknowns against SciPy, in one run.

`scipy.optimize.curve_fit` starts from the same values and takes the network's own steps. It
differentiates by differences and returns a covariance; `fit` differentiates exactly, and says with
its standard errors what the data do not determine, whether the step was stable, and so on.

In the last case `scipy.optimize.least_squares` has a right side and a Runge-Kutta step that were
written by hand in NumPy for this one equation.

    python -m benchmarks.fit_few_unknowns
"""

from __future__ import annotations

import gc
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy
import sympy as sp
import torch
from scipy.optimize import curve_fit, least_squares

import pdenet as pn

ROUNDS = 7


@dataclass(frozen=True)
class Case:
    """A problem with its truth, its start, its bounds and its noise."""

    name: str
    pde: pn.PDE
    grid: pn.Grid
    truth: dict[str, float]
    start: dict[str, float]
    bounds: dict[str, tuple[float, float]] | None
    dt: float
    steps: int
    num_frames: int
    noise: float
    wave: sp.Expr

    @property
    def boundary(self) -> pn.Boundary:
        """Every axis is periodic."""
        return pn.Boundary(**dict.fromkeys(self.grid.axes, pn.Periodic()))

    def network(self, values: dict[str, float]) -> pn.Network:
        """Return a trainable network with these values."""
        return self.pde.to_network(
            self.grid, self.boundary, values=values, dt=self.dt, trainable=tuple(values),
            dtype="float64", stability="ignore",
        )  # fmt: skip

    def observed(self) -> tuple[np.ndarray, np.ndarray]:
        """Times, and noisy frames (frame, component, *space) after an exact initial state."""
        solver = self.pde.to_solver(self.grid, self.boundary, values=self.truth, dt=self.dt)
        every = self.steps * self.dt
        run = solver.run(self.wave, until=self.num_frames * every, every=every)
        frames = run.states.copy()
        size = self.noise * frames.std()
        frames[1:] += size * np.random.default_rng(0).normal(size=frames[1:].shape)
        return np.asarray(run.times), frames


def cases() -> list[Case]:
    """Return one scalar on a line and on a plane, and three in bounds, with noise and without."""
    t, x = pn.coordinates("t x")
    u = pn.fields("u", (t, x))
    d, c, r = sp.symbols("D c r")
    y = sp.Symbol("y")
    wave = sp.exp(sp.cos(2 * sp.pi * x)) / 2
    heat = pn.catalogue.build("heat", dimension=1)
    three = pn.PDE(sp.Eq(u.diff(t), d * u.diff(x, 2) - c * u.diff(x) + r * u * (1 - u)))
    line, plane = pn.Grid(x=(0, 1, 32)), pn.Grid(x=(0, 1, 16), y=(0, 1, 16))
    bump = wave * sp.exp(sp.sin(2 * sp.pi * y))
    one = {"truth": {"D": 0.05}, "start": {"D": 0.02}, "bounds": None}
    truth, start = {"D": 0.02, "c": 0.3, "r": 2.0}, {"D": 0.01, "c": 0.1, "r": 1.0}
    ends = {"D": (0.0, 0.1), "c": (-2.0, 2.0), "r": (0.0, 10.0)}
    on_line = {"grid": line, "dt": 2e-3, "steps": 5, "num_frames": 10, "wave": wave}
    on_plane = {"grid": plane, "dt": 5e-3, "steps": 5, "num_frames": 5, "wave": bump}
    made = []
    for noise in (0.0, 0.02):
        said, plane_heat = f"{noise:.0%} noise", pn.catalogue["heat"]
        made += [
            Case(f"heat 32, one scalar, {said}", heat, noise=noise, **one, **on_line),
            Case(f"heat 16², one scalar, {said}", plane_heat, noise=noise, **one, **on_plane),
            Case(
                f"three scalars in bounds, 32, {said}", three, noise=noise, truth=truth,
                start=start, bounds=ends, **on_line,
            ),
        ]  # fmt: skip
    return made


def by_curve_fit(case: Case, net: pn.Network, times: np.ndarray, frames: np.ndarray) -> list[float]:
    """What a user writes by hand; without gradients, for they cost and are not used."""
    quantities = net.quantities()
    initial = torch.from_numpy(frames[:1])

    def predict(_: np.ndarray, *theta: float) -> np.ndarray:
        with torch.no_grad():
            for name, value in zip(case.start, theta, strict=True):
                quantities[name].fill_(value)
            state, seen = initial, []
            for time_before in times[:-1]:
                state = net.advance(state, float(time_before), steps=case.steps)
                seen.append(state)
        return torch.cat(seen).numpy().ravel()

    ends = (-np.inf, np.inf)
    if case.bounds is not None:
        ends = tuple(np.array(end) for end in zip(*case.bounds.values(), strict=True))
    found, _ = curve_fit(
        predict, np.zeros(frames[1:].size), frames[1:].ravel(), list(case.start.values()),
        bounds=ends,
    )  # fmt: skip
    return [float(value) for value in found]


def by_fit(case: Case, net: pn.Network, times: np.ndarray, frames: np.ndarray) -> list[float]:
    """What pdenet has for it."""
    with torch.no_grad():
        for name, value in case.start.items():
            net.quantities()[name].fill_(value)
    made = pn.fit(net, frames, times=times, bounds=case.bounds, progress=False)
    return [float(made.values[name]) for name in case.start]


def seconds(work: Callable[[], object]) -> float:
    """Return the processor time that a call takes."""
    gc.collect()
    before = time.process_time()
    work()
    return time.process_time() - before


def by_hand() -> tuple[Callable[[], list[float]], Callable[[], list[float]]]:
    """u_t = D u_xx + r u (1 - u) on 41 nodes, 160 Runge-Kutta steps, 8 sensors: ours, and NumPy's.

    Returns:
        Both as functions that find D and r.
    """
    t, x = pn.coordinates("t x")
    u = pn.fields("u", (t, x))
    d, r = sp.symbols("D r")
    pde = pn.PDE(sp.Eq(u.diff(t), d * u.diff(x, 2) + r * u * (1 - u)))
    grid, walls = pn.Grid(x=(0, 1, 41)), pn.Boundary(x=pn.Neumann(0))
    h, dt, every, num_frames = 1 / 40, 2e-3, 16, 10
    sensors = np.arange(2, 41, 5)
    start = 0.3 + 0.2 * np.cos(2 * np.pi * np.linspace(0, 1, 41))

    def rate(u: np.ndarray, d: float, r: float) -> np.ndarray:
        second = np.empty_like(u)
        second[1:-1] = u[2:] - 2 * u[1:-1] + u[:-2]
        second[0], second[-1] = 2 * (u[1] - u[0]), 2 * (u[-2] - u[-1])
        return d / h**2 * second + r * u * (1 - u)

    def predicted(theta: np.ndarray) -> np.ndarray:
        u, seen = start, []
        for k in range(every * num_frames):
            first = rate(u, *theta)
            second = rate(u + dt / 2 * first, *theta)
            third = rate(u + dt / 2 * second, *theta)
            fourth = rate(u + dt * third, *theta)
            u = u + dt / 6 * (first + 2 * second + 2 * third + fourth)
            if (k + 1) % every == 0:
                seen.append(u[sensors])
        return np.stack(seen)

    truth, guess = np.array([0.05, 3.0]), {"D": 0.01, "r": 1.0}
    values = predicted(truth)
    values = values + 0.005 * np.random.default_rng(0).normal(size=values.shape)
    data = pn.Trajectory(
        every * dt * np.arange(1, num_frames + 1), values[:, None], initial=start[None], start=0.0,
        sensors=sensors,
    )  # fmt: skip
    net = pde.to_network(
        grid, walls, values=guess, dt=dt, stepper="rk4", trainable=tuple(guess), dtype="float64",
        stability="ignore",
    )  # fmt: skip

    def ours() -> list[float]:
        with torch.no_grad():
            for name, value in guess.items():
                net.quantities()[name].fill_(value)
        made = pn.fit(net, data, progress=False)
        return [float(made.values[name]) for name in guess]

    def theirs() -> list[float]:
        found = least_squares(lambda theta: (predicted(theta) - values).ravel(), [*guess.values()])
        return [float(value) for value in found.x]

    return ours, theirs


def compare(
    name: str, other: str, ours: Callable[[], list[float]], theirs: Callable[[], list[float]]
) -> None:
    """Print the medians of both times, in turn, and of their ratio."""
    pairs = [(ours(), theirs())]
    distance = max(abs(a - b) / abs(b) for a, b in zip(*pairs[0], strict=True))
    fits, others = np.array([(seconds(ours), seconds(theirs)) for _ in range(ROUNDS)]).T
    print(
        f"{name:40s} fit {np.median(fits):.3f}  {other} {np.median(others):.3f}  "
        f"ratio {np.median(fits / others):.2f}  values agree to {distance:.0e}"
    )


def main() -> None:
    """Measure every case."""
    torch.set_num_threads(1)
    print(
        f"Python {platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}, "
    )
    print(
        f"torch {torch.__version__}; seconds of one core, medians of {ROUNDS} rounds in turn; the"
    )
    print("network is there before; a ratio below 1 says that pdenet is faster")
    for case in cases():
        times, frames = case.observed()
        net = case.network(case.start)
        given = (case, net, times, frames)
        compare(case.name, "curve_fit", partial(by_fit, *given), partial(by_curve_fit, *given))
    compare("41 nodes, 160 RK4 steps, 8 sensors", "by hand", *by_hand())


if __name__ == "__main__":
    main()
