"""Seven inverse problems: what a fit finds from noisy data that another scheme made.

Every case makes its data on a finer grid with another scheme (or without any), restricts them to
the nodes of the network's grid, adds noise, and starts a fit well away from the truth. So the error
of the discretisation is part of the problem, as it is with measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any  # options of networks are of many types

import numpy as np
import sympy as sp
import torch

import pdenet as pn
from pdenet.network.network import Network
from pdenet.training.fitting.estimate import Fit
from pdenet.training.fitting.fit import fit
from pdenet.training.fitting.penalties import smoothness
from pdenet.training.fitting.trajectories import Trajectory
from tests.inverse.experiment import (
    RING,
    TWO_PI,
    Number,
    Outcome,
    error_of_model,
    map_found,
    measured,
    numbers_found,
    on,
    random_state,
    smoothness_weight,
    unit_square,
    x,
    y,
)
from tests.inverse.kernel import kernel

# Heat: one number from noisy frames, the first one included ---------------------------------------

HEAT_TRUTH, HEAT_START = 0.03, 0.006
HEAT_INITIAL = (
    sp.sin(TWO_PI * x) * sp.cos(TWO_PI * y)
    + sp.cos(2 * TWO_PI * x + 1) / 2
    + sp.sin(TWO_PI * (x + 2 * y)) / 2
)
HEAT_TIMES = np.arange(9) * 0.05


def heat_data(points: int) -> np.ndarray:
    """Return the exact frames on a grid of `points` × `points`; 80 is a multiple of it."""
    fine = unit_square(80)
    frames = pn.exact_periodic(
        pn.catalogue["heat"], fine, HEAT_INITIAL, HEAT_TIMES, values={"D": HEAT_TRUTH}
    )
    return frames[:, :, :: 80 // points, :: 80 // points]


def heat_network(points: int, space: str, value: float, **options: Any) -> Network:
    """Return the network of a fit; RK4, so that the error is that of the differences."""
    return pn.catalogue["heat"].to_network(
        unit_square(points), RING, values={"D": value}, dt=0.01 if points < 40 else 0.0025,
        space=space, stepper="rk4", dtype="float64", **options,
    )  # fmt: skip


def heat() -> Outcome:
    """Find D; initial values are unknown too, for the first frame is as noisy as the others."""
    clean = heat_data(20)
    data, sizes = measured([clean], 0.02, seed=1)
    net = heat_network(20, "central4", HEAT_START, trainable=("D",))
    made = fit(net, data[0], times=HEAT_TIMES, initial="estimated")
    # From the truth, where the search is short.
    reference = heat_network(20, "central4", HEAT_TRUTH, trainable=("D",))
    model_error = error_of_model(reference, HEAT_TIMES, [clean], sizes)
    exact = fit(reference, clean, times=HEAT_TIMES, initial="estimated")
    # Without noise and with exact initial values what is left is the error of the discretisation.
    bias = {}
    for points, space in ((10, "central2"), (20, "central2"), (40, "central2"), (20, "central4")):
        coarse = heat_network(points, space, HEAT_TRUTH, trainable=("D",))
        alone = fit(coarse, heat_data(points), times=HEAT_TIMES)
        bias[f"{space}, {points}×{points}"] = float(alone.values["D"]) / HEAT_TRUTH - 1
    return Outcome(
        {"": made},
        numbers_found(made, exact, {"D": HEAT_TRUTH}, {"D": HEAT_START}),
        model_error=model_error,
        remarks=bias,
    )


# Rotation: one number, and what too coarse a scheme does to it ------------------------------------

OMEGA_TRUTH, OMEGA_START = 0.8, 0.2


def rotation() -> Outcome:
    """Find ω with differences of fourth order, and once more with those of second order."""
    pde = pn.catalogue["rotation"]
    dark = pn.Boundary(x=pn.Dirichlet(0), y=pn.Dirichlet(0))
    fine, grid = (pn.Grid(x=(-1, 1, n), y=(-1, 1, n)) for n in (161, 41))
    # At the walls below 3e-3, an eighth of the noise, at all times.
    first = sp.exp(-14 * ((x - 0.35) ** 2 + y**2)) + 0.7 * sp.exp(
        -14 * ((x + 0.2) ** 2 + (y - 0.35) ** 2)
    )
    solver = pde.to_solver(
        fine, dark, values={"omega": OMEGA_TRUTH}, space="central6", stepper="rk4", dt=0.00625
    )
    run = solver.run(first, until=1.5, every=0.25)
    clean = run.states[:, :, ::4, ::4]
    data, sizes = measured([clean], 0.02, seed=0)

    def network(space: str, value: float, **options: Any) -> Network:
        return pde.to_network(
            grid, dark, values={"omega": value}, dt=0.025, space=space, stepper="rk4",
            dtype="float64", **options,
        )  # fmt: skip

    seen = Trajectory(run.times, data[0], initial=clean[0])
    perfect = Trajectory(run.times, clean)
    fits, errors = {}, {}
    numbers: list[Number] = []
    for space in ("central4", "central2"):
        net = network(space, OMEGA_START, trainable=("omega",))
        fits[space] = fit(net, seen)
        reference = network(space, OMEGA_TRUTH, trainable=("omega",))
        errors[space] = error_of_model(reference, run.times, [clean], sizes)
        exact = fit(reference, perfect)
        truth, start = {"omega": OMEGA_TRUTH}, {"omega": OMEGA_START}
        numbers += numbers_found(fits[space], exact, truth, start, space)
    return Outcome(
        fits,
        tuple(numbers),
        model_error=errors["central4"],
        remarks={"model error of central2": errors["central2"]},
    )


# Advection and diffusion: a velocity field --------------------------------------------------------

DRIFT_TRUTH = {
    "D": 0.01,
    "cx": sp.Rational(2, 5) + sp.Rational(2, 5) * sp.sin(TWO_PI * y) * sp.cos(TWO_PI * x),
    "cy": sp.Rational(1, 5) - sp.Rational(2, 5) * sp.cos(TWO_PI * y) * sp.sin(TWO_PI * x),
}
DRIFT_START = 0.003


def advection_diffusion() -> Outcome:
    """Find a velocity at each node, and D, from six experiments."""
    t = sp.Symbol("t")
    u, cx, cy = sp.Function("u")(t, x, y), sp.Function("cx")(x, y), sp.Function("cy")(x, y)
    change = sp.Symbol("D") * (u.diff(x, 2) + u.diff(y, 2)) - cx * u.diff(x) - cy * u.diff(y)
    pde = pn.PDE(sp.Eq(u.diff(t), change))
    fine, grid, points = unit_square(48), unit_square(16), 16
    solver = pde.to_solver(fine, RING, values=DRIFT_TRUTH, space="central6", stepper="rk4")
    rng = np.random.default_rng(0)
    runs = [solver.run(random_state(fine, rng, 2)[None], until=0.3, every=0.05) for _ in range(6)]
    clean = [run.states[:, :, ::3, ::3] for run in runs]
    data, sizes = measured(clean, 0.01, seed=1)
    times = runs[0].times

    def network(values: Mapping[str, Any], **options: Any) -> Network:
        return pde.to_network(
            grid, RING, values=values, dt=0.025, space="central4", stepper="rk4", dtype="float64",
            **options,
        )  # fmt: skip

    start = {"D": DRIFT_START, "cx": np.zeros((points, points)), "cy": np.zeros((points, points))}
    net = network(start, trainable=("D", "cx", "cy"))
    seen = [Trajectory(times, d, initial=c[0]) for d, c in zip(data, clean, strict=True)]
    # Neighbours are expected to differ by 0.15.
    weight = smoothness_weight(seen, 0.15)
    rough = [smoothness(name, weight) for name in ("cx", "cy")]

    def penalty(quantities: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return rough[0](quantities) + rough[1](quantities)

    made = fit(net, seen, penalty=penalty, noise={"u": sizes["u"]}, tolerance=1e-4)
    reference = network(DRIFT_TRUTH, trainable=("D", "cx", "cy"))
    model_error = error_of_model(reference, times, clean, sizes)
    perfect = [Trajectory(times, c) for c in clean]
    exact = fit(reference, perfect, penalty=penalty, noise={"u": sizes["u"]}, tolerance=1e-4)
    maps = tuple(map_found(made, name, on(grid, RING, DRIFT_TRUTH[name])) for name in ("cx", "cy"))
    return Outcome(
        {"": made},
        numbers_found(made, exact, {"D": DRIFT_TRUTH["D"]}, {"D": DRIFT_START}),
        maps,
        model_error,
    )


# Waves: a map of the speed from the walls ---------------------------------------------------------

SPEED_TRUTH = (
    1
    + sp.Rational(3, 10) * sp.exp(-((x - 0.35) ** 2 + (y - 0.6) ** 2) / 0.03)
    - sp.Rational(1, 4) * sp.exp(-((x - 0.65) ** 2 + (y - 0.35) ** 2) / 0.03)
)
SIX_SOURCES = ((1.0, 0.65), (0.7, 1.0), (0.25, 1.0), (0.0, 0.35), (0.3, 0.0), (0.75, 0.0))


def wave_speed() -> Outcome:
    """Find c(x, y) with sensors on all walls, and with one source and sensors on one wall."""
    t = sp.Symbol("t")
    u, c = sp.Function("u")(t, x, y), sp.Function("c")(x, y)
    pde = pn.PDE(sp.Eq(u.diff(t, 2), c**2 * (u.diff(x, 2) + u.diff(y, 2))))
    walls = pn.Boundary(x=pn.Neumann(0), y=pn.Neumann(0))
    fine, grid = (pn.Grid(x=(0, 1, n), y=(0, 1, n)) for n in (49, 17))
    solver = pde.to_solver(fine, walls, values={"c": SPEED_TRUTH}, space="central4", stepper="rk4")
    across, up = fine.mesh(walls)
    runs = []
    for px, py in SIX_SOURCES:
        pulse = np.exp(-((across - px) ** 2 + (up - py) ** 2) / (2 * 0.12**2))
        runs.append(solver.run(np.stack([pulse, 0 * pulse]), until=1.5, every=0.06))
    times = runs[0].times
    full = [run.states[:, :, ::3, ::3] for run in runs]
    everywhere = np.ones(grid.shape, dtype=bool)
    everywhere[1:-1, 1:-1] = False
    left = np.zeros(grid.shape, dtype=bool)
    left[:, 0] = True
    clean = [states[:, :1][:, :, everywhere] for states in full]
    data, sizes = measured(clean, 0.02, seed=0)

    def network(value: Any, **options: Any) -> Network:
        return pde.to_network(
            grid, walls, values={"c": value}, dt=0.02, space="central4", stepper="leapfrog",
            dtype="float64", **options,
        )  # fmt: skip

    truth = on(grid, walls, SPEED_TRUTH)
    fits, maps, determined = {}, [], {}
    for group, sensors, chosen in (
        ("six sources, sensors on all walls", everywhere, range(6)),
        ("one source, sensors on its wall", left, (3,)),
    ):
        kept = left[everywhere] if sensors is left else slice(None)
        seen = [
            Trajectory(
                times, data[k][:, :, kept], initial=full[k][0], sensors=sensors, fields=["u"]
            )
            for k in chosen
        ]
        # Neighbours are expected to differ by 0.05; dt is stable for c < 1.9.
        weight = smoothness_weight(seen, 0.05)
        net = network(np.ones(grid.shape), trainable=("c",))
        fits[group] = fit(
            net, seen, penalty=smoothness("c", weight), noise={"u": sizes["u"]}, tolerance=1e-4,
            bounds={"c": (0.5, 1.8)},
        )  # fmt: skip
        maps.append(map_found(fits[group], "c", truth, group, background=1.0))
        determined[f"determined: {group}"] = fits[group].num_values - fits[group].freedom
    error = error_of_model(network(SPEED_TRUTH), times, full, sizes, everywhere)
    return Outcome(fits, (), tuple(maps), error, determined)


# Burgers: a viscosity from fronts -----------------------------------------------------------------

NU_TRUTH, NU_START = 0.02, 0.006


def burgers() -> Outcome:
    """Find ν from fronts that are 4ν/Δu = 0.04 wide, four spacings; initial values are unknown."""
    pde, line = pn.catalogue["burgers_1d"], pn.Boundary(x=pn.Periodic())
    solver = pde.to_solver(
        pn.Grid(x=(0, 1, 384)), line, values={"nu": NU_TRUTH}, space="central6", stepper="rk4",
        dt=1.25e-4,
    )  # fmt: skip
    first = sp.sin(TWO_PI * x) + sp.cos(2 * TWO_PI * x) / 2
    run = solver.run(first, until=0.4, every=0.02)
    fits, errors = {}, {}
    numbers: list[Number] = []
    for space in ("central4", "central2"):
        clean = run.states[:, :, ::4]
        data, sizes = measured([clean], 0.01, seed=3)

        def network(value: float, space: str = space, **options: Any) -> Network:
            return pde.to_network(
                pn.Grid(x=(0, 1, 96)), line, values={"nu": value}, dt=0.002, space=space,
                stepper="heun", dtype="float64", stability="ignore", **options,
            )  # fmt: skip

        net = network(NU_START, trainable=("nu",))
        fits[space] = fit(net, data[0], times=run.times, initial="estimated")
        reference = network(NU_TRUTH, trainable=("nu",))
        errors[space] = error_of_model(reference, run.times, [clean], sizes)
        exact = fit(reference, clean, times=run.times, initial="estimated")
        truth, start = {"nu": NU_TRUTH}, {"nu": NU_START}
        numbers += numbers_found(fits[space], exact, truth, start, space)
    return Outcome(
        fits, tuple(numbers), model_error=errors["central4"],
        remarks={"model error of central2": errors["central2"]},
    )  # fmt: skip


# Gray–Scott: four numbers -------------------------------------------------------------------------

SPOTS_TRUTH = {"Du": 2e-5, "Dv": 1e-5, "F": 0.04, "k": 0.06}
SPOTS_START = {"Du": 1e-5, "Dv": 1.5e-5, "F": 0.03, "k": 0.05}


def gray_scott() -> Outcome:
    """Find both diffusivities and both rates from two growing spots."""
    pde = pn.catalogue["gray_scott"]
    fine, grid = (pn.Grid(x=(0, 0.3, n), y=(0, 0.3, n)) for n in (96, 24))
    solver = pde.to_solver(fine, RING, values=SPOTS_TRUTH, space="central4", stepper="rk4")
    across, up = fine.mesh(RING)
    v = np.zeros(fine.shape)
    for px, py in ((0.1, 0.12), (0.2, 0.18)):
        v += 0.5 * np.exp(-((across - px) ** 2 + (up - py) ** 2) / 0.003)
    run = solver.run(np.stack([1 - v, 0.5 * v]), until=64.0, every=6.4)
    clean = run.states[:, :, ::4, ::4]
    data, sizes = measured([clean], 0.02, seed=0)

    def network(values: Mapping[str, float], **options: Any) -> Network:
        return pde.to_network(
            grid, RING, values=values, dt=1.6, space="central6", stepper="rk4", dtype="float64",
            stability="ignore", **options,
        )  # fmt: skip

    net = network(SPOTS_START, trainable=tuple(SPOTS_TRUTH))
    seen = Trajectory(run.times, data[0], initial=clean[0])
    positive = dict.fromkeys(SPOTS_TRUTH, (0.0, None))
    made = fit(net, seen, noise=sizes, bounds=positive)
    reference = network(SPOTS_TRUTH, trainable=tuple(SPOTS_TRUTH))
    model_error = error_of_model(reference, run.times, [clean], sizes)
    exact = fit(reference, Trajectory(run.times, clean), noise=sizes, bounds=positive)
    return Outcome(
        {"": made},
        numbers_found(made, exact, SPOTS_TRUTH, SPOTS_START),
        model_error=model_error,
    )


# What no data determine ---------------------------------------------------------------------------


def product() -> Fit:
    """Seek both factors of a diffusivity a·b, of which the equation knows the product only."""
    t, a, b = sp.symbols("t a b")
    u = sp.Function("u")(t, x, y)
    pde = pn.PDE(sp.Eq(u.diff(t), a * b * (u.diff(x, 2) + u.diff(y, 2))))
    net = pde.to_network(
        unit_square(20), RING, values={"a": 0.1, "b": 0.2}, dt=0.01, space="central4",
        stepper="rk4", dtype="float64", trainable=("a", "b"),
    )  # fmt: skip
    clean = heat_data(20)
    data, _ = measured([clean], 0.02, seed=1)
    return fit(net, Trajectory(HEAT_TIMES, data[0], initial=clean[0]))


CASES: Mapping[str, Callable[[], Outcome]] = {
    "heat": heat,
    "rotation": rotation,
    "advection_diffusion": advection_diffusion,
    "wave_speed": wave_speed,
    "burgers": burgers,
    "gray_scott": gray_scott,
    "kernel": kernel,
}
