"""The equations of the page as networks, and one of their numbers learned from pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any  # options of solvers and networks, and a time step

import numpy as np
import torch

from pdenet.cli.demo.exact import insulated_heat
from pdenet.cli.demo.photograph import photograph
from pdenet.cli.demo.section import Check, Picture, Progress, Section
from pdenet.discrete.boundary import Boundary, Dirichlet, Neumann, Periodic
from pdenet.discrete.grid import Grid
from pdenet.equation.catalogue import catalogue
from pdenet.network.network import Network
from pdenet.pages.drawings import formula
from pdenet.pages.pictures import still
from pdenet.training.fitting.fit import fit
from pdenet.training.fitting.trajectories import Trajectory

_CODE = """\
net   = heat.to_network(grid, walls, values={"D": 1}, steps=50, dtype=torch.float64)
after = net(torch.as_tensor(photo)[None, None])     # the same numbers as the solver's
print(net.describe())                               # convolution 3×3 of u, 1 → 1 kernel …

net   = heat.to_network(grid, walls, values={"D": 0.3}, dt=0.2, trainable=["D"])
found = pn.fit(net, pn.Trajectory(times, noisy_frames))
print(found)                                        # D = 1.00…, with its interval
print(net.to_equation())                            # u_t = 1.00… (u_xx + u_yy)"""

_WIDTH = 236
_TRUTH = 1.0  # D, in pixels² per unit of time
_START = 0.3
_NOISE = 0.01  # of the range of grey levels
# The photograph is diffused first, so that the grid resolves what is compared: at t = 16 waves of 9
# pixels have fallen to a thousandth, and those of 18 move at a speed that is 1 % off.
_TIMES = (16.0, 20.0, 24.0, 28.0, 32.0)


@dataclass(frozen=True)
class _Case:
    name: str
    title: str
    boundary: Boundary
    interval: tuple[float, float]
    values: Mapping[str, float]
    scheme: Mapping[str, str]


def networks(is_fast: bool, progress: Progress) -> Section:
    """Compare networks with solvers, and learn D from noisy frames."""
    points = 64 if is_fast else 128
    photo = photograph(points)
    length = float(points - 1)
    insulated, around, clamped = (
        Boundary(x=one, y=one) for one in (Neumann(0), Periodic(), Dirichlet(0))
    )
    turning = {"space": "central6", "stepper": "rk4"}
    cases = (
        _Case("heat", "diffused", insulated, (0.0, length), {"D": _TRUTH}, {}),
        _Case("rotation", "turned", around, (-1.0, 1.0), {}, turning),
        _Case("wave", "waving", clamped, (-1.0, 1.0), {}, {}),
    )
    checks, first = [], [Picture(still(photo, 0, 1), "the photograph goes in", _WIDTH)]
    for case in cases:
        progress(f"networks: {case.name}")
        check, after = _compared(case, photo)
        checks.append(check)
        caption = f"{case.title}, by the network"
        first.append(Picture(still(after, 0, 1), caption, _WIDTH, "", check))
    progress("networks: D is learned")
    learned, second, words = _learned(photo)
    heat = catalogue["heat"]
    return Section(
        title="The same equations are networks",
        equation=formula(heat.latex()),
        text=str(heat),
        words=(
            "The equations of this page compiled into PyTorch modules: differences became "
            "convolutions, walls the padding, the time step the skip connection. Network and "
            "solver take fifty steps of one length from one photograph; the numbers are the "
            "largest difference between the two, in units of rounding (2⁻⁵² of the largest value). "
            f"Below, a network that starts with D = {_START:g} looks at four noisy frames of a "
            f"diffusion with D = {_TRUTH:g}. {words}"
        ),
        code=_CODE,
        rows=(tuple(first), second),
        checks=(*checks, learned),
    )


def _compared(case: _Case, photo: np.ndarray) -> tuple[Check, np.ndarray]:
    """Return how far network and solver are apart after fifty steps, and what the network made."""
    steps = 50
    pde = catalogue[case.name]
    grid = Grid(x=(*case.interval, len(photo)), y=(*case.interval, len(photo)))
    options: dict[str, Any] = {"values": case.values, **case.scheme}
    solver = pde.to_solver(grid, case.boundary, **options)
    assert solver.dt is not None  # no speed depends on the state here
    net = Network(
        pde, grid, case.boundary, steps=steps, dt=solver.dt, dtype=torch.float64, **options
    )
    state = np.zeros((len(net.components), *photo.shape))
    state[0] = photo
    # With the values that the walls prescribe; a network prescribes them from its first step on.
    state = solver.initial_state(state)
    with torch.no_grad():
        made = net(torch.as_tensor(state)[None])[0].numpy()
    for k in range(steps):
        state = solver.step(state, k * solver.dt)
    size = np.abs(state).max()
    apart = float(np.abs(made - state).max() / (np.finfo(float).eps * size))
    # Both add up the same few numbers in another order: about one rounding a step and stage.
    check = Check(f"{case.name}, network against solver", apart, 2.0 * steps, "roundings")
    return check, made[0]


def _learned(photo: np.ndarray) -> tuple[Check, tuple[Picture, ...], str]:
    """Learn D from noisy frames of the exact solution."""
    length = len(photo) - 1
    exact = insulated_heat(photo, _TIMES, _TRUTH, (length, length))
    noise = np.random.default_rng(0).normal(0.0, _NOISE, (len(_TIMES), *photo.shape))
    frames = exact + noise
    grid = Grid(x=(0, length, len(photo)), y=(0, length, len(photo)))
    walls = Boundary(x=Neumann(0), y=Neumann(0))
    net = Network(
        catalogue["heat"],
        grid,
        walls,
        values={"D": _START},
        dt=0.2,
        dtype=torch.float64,
        trainable=["D"],
    )
    observed = Trajectory(_TIMES[1:], frames[1:, None], initial=exact[0][None], start=_TIMES[0])
    found = fit(net, observed, progress=False)
    value, (low, high) = float(found.values["D"]), found.interval("D")
    with torch.no_grad():
        steps = round((_TIMES[-1] - _TIMES[0]) / net.dt)
        last = net.advance(torch.as_tensor(exact[0])[None, None], steps=steps)[0, 0].numpy()
    residual = frames[-1] - last
    scale = 3 * _NOISE
    error = 100 * abs(value - _TRUTH) / _TRUTH
    check = Check("D learned from noisy frames, against the truth", error, 1.0, "%")
    pictures = (
        Picture(
            still(frames[1], 0, 1), f"seen: t = {_TIMES[1]:g}", _WIDTH, "noise of 2.6 grey levels"
        ),
        Picture(still(frames[-1], 0, 1), f"seen: t = {_TIMES[-1]:g}", _WIDTH),
        Picture(still(last, 0, 1), f"learned: D = {value:.4f}", _WIDTH, "", check),
        Picture(
            still(residual, -scale, scale, "RdBu_r"),
            "seen minus learned",
            _WIDTH,
            "what is left is the noise",
        ),
    )
    words = (
        f"It finds D = {value:.4f}, with the 95 % interval {float(low):.4f} to {float(high):.4f}, "
        "and what is left of the frames is their noise."
    )
    return check, pictures, words
