"""A fit of the real network: solver frames in, the equation's own numbers out."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
import torch

import pdenet as pn
from pdenet.errors import FitError, FitWarning
from pdenet.training.fitting.fit import fit
from pdenet.training.fitting.penalties import smoothness
from pdenet.training.fitting.trajectories import Trajectory

t, x, y = pn.coordinates("t x y")
u = pn.fields("u", (t, x, y))
RING = pn.Boundary(x=pn.Periodic(), y=pn.Periodic())
GRID = pn.Grid(x=(0, 1, 16), y=(0, 1, 12))


def bump(num_components: int = 1) -> np.ndarray:
    rows, columns = np.mgrid[0:12, 0:16]
    one = np.sin(2 * np.pi * rows / 12) * np.cos(2 * np.pi * columns / 16) + 0.3 * (rows > 5)
    return np.stack([one] * num_components)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_diffusivity_of_solver_frames_is_found(dtype: torch.dtype) -> None:
    """Rounding of float32 in 20 steps, 1e-6, over a sensitivity of about 1; the promise is 1e-6."""
    heat = pn.catalogue["heat"]
    frames = heat.to_solver(GRID, RING, values={"D": 0.2}, dt=0.002).run(
        bump(), until=0.04, every=0.008
    )
    net = heat.to_network(
        GRID, RING, values={"D": 0.1}, dt=0.002, trainable=("D",), dtype=dtype, stability="ignore"
    )
    made = fit(net, frames, bounds={"D": (0, None)}, checkpoint_every=3)
    tolerance = 1e-6 if dtype == torch.float64 else 1e-5
    assert made.values["D"] == pytest.approx(0.2, rel=tolerance)
    again = net(torch.tensor(frames.states[:1], dtype=dtype))
    assert again.shape == (1, 1, 12, 16)
    assert not net.quantities()["D"].grad_fn


def test_four_numbers_of_gray_scott_are_found_from_noisy_frames() -> None:
    """Each within four of its standard errors: one fixed draw."""
    true = {"Du": 2e-4, "Dv": 1e-4, "F": 0.04, "k": 0.06}
    start = {"Du": 1e-4, "Dv": 2e-4, "F": 0.03, "k": 0.05}
    grid = pn.Grid(x=(0, 1, 16), y=(0, 1, 16))
    gray_scott = pn.catalogue["gray_scott"]
    initial = np.stack([np.ones((16, 16)), np.zeros((16, 16))])
    initial[0, 5:10, 5:10], initial[1, 5:10, 5:10] = 0.5, 0.25
    initial += 0.02 * np.random.default_rng(1).random(initial.shape)
    frames = gray_scott.to_solver(grid, RING, values=true, dt=1.0).run(initial, until=60, every=20)
    noisy = frames.states + 0.005 * np.random.default_rng(0).normal(size=frames.states.shape)
    net = gray_scott.to_network(
        grid, RING, values=start, dt=1.0, trainable=tuple(true), dtype="float64", stability="ignore"
    )
    data = Trajectory(frames.times, noisy, initial=initial)
    made = fit(net, data, bounds=dict.fromkeys(true, (0, None)))
    for name, value in true.items():
        assert abs(float(made.values[name]) - value) < 4 * float(made.errors[name])
        assert float(made.errors[name]) < 0.1 * value  # and they are known
    assert made.noise["u"] == pytest.approx(0.005, rel=0.1)  # 768 values: 2.6 %


def test_a_velocity_that_varies_in_space_is_found() -> None:
    """u_t = c(x, y) Δu + sin t: every node of c, from three initial states."""
    c = sp.Function("c")(x, y)
    pde = pn.PDE(sp.Eq(u.diff(t), c * (u.diff(x, 2) + u.diff(y, 2)) + sp.sin(t)))
    true = 0.1 * (1 + 0.3 * sp.sin(2 * sp.pi * x) * sp.cos(2 * sp.pi * y))
    solver = pde.to_solver(GRID, RING, values={"c": true}, dt=0.002)
    rng = np.random.default_rng(0)
    frames = [solver.run(rng.random((1, 12, 16)), until=0.02, every=0.004) for _ in range(3)]
    net = pde.to_network(
        GRID, RING, values={"c": 0.08}, dt=0.002, trainable=("c",), dtype="float64",
        stability="ignore",
    )  # fmt: skip
    made = fit(net, frames, bounds={"c": (0, 1)})
    xs, ys = GRID.nodes(RING)
    exact = 0.1 * (1 + 0.3 * np.sin(2 * np.pi * xs) * np.cos(2 * np.pi * ys[:, None]))
    # 192 unknowns of different influence: the promise of 1e-6 is that of the loss's tolerance.
    np.testing.assert_allclose(made.values["c"], exact, rtol=1e-4)
    smooth = fit(net, frames, bounds={"c": (0, 1)}, penalty=smoothness("c", 1e-9))
    assert np.isfinite(smooth.errors["c"]).all()


def test_a_stencil_and_its_coefficient_are_known_up_to_a_factor() -> None:
    heat = pn.catalogue["heat"]
    frames = heat.to_solver(GRID, RING, values={"D": 0.2}, dt=0.002).run(
        bump() + np.random.default_rng(0).random((1, 12, 16)), until=0.02, every=0.004
    )
    noisy = frames.states + 1e-3 * np.random.default_rng(1).normal(size=frames.states.shape)
    net = heat.to_network(
        GRID, RING, values={"D": 0.2}, dt=0.002, trainable=True, dtype="float64",
        stability="ignore",
    )  # fmt: skip
    with pytest.warns(FitWarning, match="do not determine D"):
        made = fit(net, Trajectory(frames.times, noisy, initial=frames.states[0]))
    assert {"D", "stencils.xx", "stencils.yy"} <= set(made.undetermined)


def test_a_wave_is_found_from_three_microphones_and_walls() -> None:
    wave = pn.catalogue["wave"]
    walls = pn.Boundary(x=pn.Dirichlet(0), y=pn.Neumann(0))
    grid = pn.Grid(x=(0, 1, 17), y=(0, 1, 13))
    xs, ys = grid.nodes(walls)
    hump = np.sin(np.pi * xs) * np.exp(-20 * (ys[:, None] - 0.4) ** 2)
    solver = wave.to_solver(grid, walls, values={"c": 1.3}, dt=0.01)
    initial = np.stack([hump, 0 * hump])
    frames = solver.run(initial, until=0.5, every=0.05)
    points = np.array([[0.25, 0.5], [0.5, 0.75], [0.75, 0.25]])  # these are nodes
    seen = frames.states[:, :1, [6, 9, 3], [4, 8, 12]]
    net = wave.to_network(
        grid, walls, values={"c": 1.0}, dt=0.01, trainable=("c",), dtype="float64",
        stability="ignore",
    )  # fmt: skip
    name = net.components[0]
    made = fit(net, Trajectory(frames.times, seen, initial, sensors=points, fields=[name]))
    assert made.values["c"] == pytest.approx(1.3, rel=1e-6)


def test_frames_of_another_grid_or_equation_are_refused() -> None:
    heat = pn.catalogue["heat"]
    net = heat.to_network(GRID, RING, dt=0.002, trainable=("D",), dtype="float64")
    other = pn.Grid(x=(0, 2, 16), y=(0, 1, 12))
    frames = heat.to_solver(other, RING, dt=0.002).run(bump(), until=0.01, every=0.002)
    with pytest.raises(FitError, match=r"network's nodes.*on the grid"):
        fit(net, frames)
    wave = pn.catalogue["wave"].to_solver(GRID, RING, dt=0.002)
    with pytest.raises(FitError, match="network's components u"):
        fit(net, wave.run(bump(), until=0.01, every=0.002))
    plain = heat.to_network(GRID, RING, dt=0.002, dtype="float64")
    with pytest.raises(FitError, match="at least one trainable parameter"):
        fit(plain, frames)
