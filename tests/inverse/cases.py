"""Seven inverse problems: what a fit finds from noisy data that another scheme made.

Every case makes its data on a finer grid with another scheme (or without any), restricts them to
the nodes of the network's grid, adds noise, and starts a fit well away from the truth. So the error
of the discretisation is part of the problem, as it is with measurements.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any  # options of networks are of many types

import numpy as np
import sympy as sp
import torch

import pdenet as pn
from pdenet.network.kernels import moments
from pdenet.network.network import Network
from pdenet.training.estimate import Fit
from pdenet.training.fit import fit
from pdenet.training.penalties import smoothness
from pdenet.training.trajectories import Trajectory


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
        seconds: processor time of each.
        numbers: what was sought and is a number.
        maps: what was sought and is a function of place.
        model_error: root mean square of (network at the truth − data without noise)/noise.
        remarks: further results by name.
        texts: equations and notes to be printed, by name.
    """

    fits: Mapping[str, Fit]
    seconds: Mapping[str, float]
    numbers: tuple[Number, ...]
    maps: tuple[Map, ...] = ()
    model_error: float = math.nan
    remarks: Mapping[str, float] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)


x, y = sp.symbols("x y")
TWO_PI = 2 * sp.pi
RING = pn.Boundary(x=pn.Periodic(), y=pn.Periodic())


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
    fine = _square(80)
    frames = pn.exact_periodic(
        pn.catalogue["heat"], fine, HEAT_INITIAL, HEAT_TIMES, values={"D": HEAT_TRUTH}
    )
    return frames[:, :, :: 80 // points, :: 80 // points]


def heat_network(points: int, space: str, value: float, **options: Any) -> Network:
    """Return the network of a fit; RK4, so that the error is that of the differences."""
    return pn.catalogue["heat"].to_network(
        _square(points), RING, values={"D": value}, dt=0.01 if points < 40 else 0.0025,
        space=space, stepper="rk4", dtype="float64", **options,
    )  # fmt: skip


def heat() -> Outcome:
    """Find D; initial values are unknown too, for the first frame is as noisy as the others."""
    clean = heat_data(20)
    data, sizes = _measured([clean], 0.02, seed=1)
    net = heat_network(20, "central4", HEAT_START, trainable=("D",))
    made, seconds = _timed(net, data[0], times=HEAT_TIMES, initial="estimated")
    # From the truth, where the search is short.
    reference = heat_network(20, "central4", HEAT_TRUTH, trainable=("D",))
    model_error = _model_error(reference, HEAT_TIMES, [clean], sizes)
    exact = fit(reference, clean, times=HEAT_TIMES, initial="estimated")
    # Without noise and with exact initial values what is left is the error of the discretisation.
    bias = {}
    for points, space in ((10, "central2"), (20, "central2"), (40, "central2"), (20, "central4")):
        coarse = heat_network(points, space, HEAT_TRUTH, trainable=("D",))
        alone = fit(coarse, heat_data(points), times=HEAT_TIMES)
        bias[f"{space}, {points}×{points}"] = float(alone.values["D"]) / HEAT_TRUTH - 1
    return Outcome(
        {"": made},
        {"": seconds},
        _numbers(made, exact, {"D": HEAT_TRUTH}, {"D": HEAT_START}),
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
    data, sizes = _measured([clean], 0.02, seed=0)

    def network(space: str, value: float, **options: Any) -> Network:
        return pde.to_network(
            grid, dark, values={"omega": value}, dt=0.025, space=space, stepper="rk4",
            dtype="float64", **options,
        )  # fmt: skip

    seen = Trajectory(run.times, data[0], initial=clean[0])
    perfect = Trajectory(run.times, clean)
    fits, seconds, errors = {}, {}, {}
    numbers: list[Number] = []
    for space in ("central4", "central2"):
        net = network(space, OMEGA_START, trainable=("omega",))
        fits[space], seconds[space] = _timed(net, seen)
        reference = network(space, OMEGA_TRUTH, trainable=("omega",))
        errors[space] = _model_error(reference, run.times, [clean], sizes)
        exact = fit(reference, perfect)
        truth, start = {"omega": OMEGA_TRUTH}, {"omega": OMEGA_START}
        numbers += _numbers(fits[space], exact, truth, start, space)
    return Outcome(
        fits,
        seconds,
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
    fine, grid, points = _square(48), _square(16), 16
    solver = pde.to_solver(fine, RING, values=DRIFT_TRUTH, space="central6", stepper="rk4")
    rng = np.random.default_rng(0)
    runs = [solver.run(_random_state(fine, rng, 2)[None], until=0.3, every=0.05) for _ in range(6)]
    clean = [run.states[:, :, ::3, ::3] for run in runs]
    data, sizes = _measured(clean, 0.01, seed=1)
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
    weight = _smoothness_weight(seen, 0.15)
    rough = [smoothness(name, weight) for name in ("cx", "cy")]

    def penalty(quantities: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return rough[0](quantities) + rough[1](quantities)

    made, seconds = _timed(net, seen, penalty=penalty, noise={"u": sizes["u"]}, tolerance=1e-4)
    reference = network(DRIFT_TRUTH, trainable=("D", "cx", "cy"))
    model_error = _model_error(reference, times, clean, sizes)
    perfect = [Trajectory(times, c) for c in clean]
    exact = fit(reference, perfect, penalty=penalty, noise={"u": sizes["u"]}, tolerance=1e-4)
    maps = tuple(_map(made, name, _on(grid, RING, DRIFT_TRUTH[name])) for name in ("cx", "cy"))
    return Outcome(
        {"": made},
        {"": seconds},
        _numbers(made, exact, {"D": DRIFT_TRUTH["D"]}, {"D": DRIFT_START}),
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
    data, sizes = _measured(clean, 0.02, seed=0)

    def network(value: Any, **options: Any) -> Network:
        return pde.to_network(
            grid, walls, values={"c": value}, dt=0.02, space="central4", stepper="leapfrog",
            dtype="float64", **options,
        )  # fmt: skip

    truth = _on(grid, walls, SPEED_TRUTH)
    fits, seconds, maps, determined = {}, {}, [], {}
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
        weight = _smoothness_weight(seen, 0.05)
        net = network(np.ones(grid.shape), trainable=("c",))
        fits[group], seconds[group] = _timed(
            net, seen, penalty=smoothness("c", weight), noise={"u": sizes["u"]}, tolerance=1e-4,
            bounds={"c": (0.5, 1.8)},
        )  # fmt: skip
        maps.append(_map(fits[group], "c", truth, group, background=1.0))
        determined[f"determined: {group}"] = fits[group].num_values - fits[group].freedom
    error = _model_error(network(SPEED_TRUTH), times, full, sizes, everywhere)
    return Outcome(fits, seconds, (), tuple(maps), error, determined)


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
    fits, seconds, errors = {}, {}, {}
    numbers: list[Number] = []
    for space in ("central4", "central2"):
        clean = run.states[:, :, ::4]
        data, sizes = _measured([clean], 0.01, seed=3)

        def network(value: float, space: str = space, **options: Any) -> Network:
            return pde.to_network(
                pn.Grid(x=(0, 1, 96)), line, values={"nu": value}, dt=0.002, space=space,
                stepper="heun", dtype="float64", stability="ignore", **options,
            )  # fmt: skip

        net = network(NU_START, trainable=("nu",))
        fits[space], seconds[space] = _timed(net, data[0], times=run.times, initial="estimated")
        reference = network(NU_TRUTH, trainable=("nu",))
        errors[space] = _model_error(reference, run.times, [clean], sizes)
        exact = fit(reference, clean, times=run.times, initial="estimated")
        truth, start = {"nu": NU_TRUTH}, {"nu": NU_START}
        numbers += _numbers(fits[space], exact, truth, start, space)
    return Outcome(
        fits, seconds, tuple(numbers), model_error=errors["central4"],
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
    data, sizes = _measured([clean], 0.02, seed=0)

    def network(values: Mapping[str, float], **options: Any) -> Network:
        return pde.to_network(
            grid, RING, values=values, dt=1.6, space="central6", stepper="rk4", dtype="float64",
            stability="ignore", **options,
        )  # fmt: skip

    net = network(SPOTS_START, trainable=tuple(SPOTS_TRUTH))
    seen = Trajectory(run.times, data[0], initial=clean[0])
    positive = dict.fromkeys(SPOTS_TRUTH, (0.0, None))
    made, seconds = _timed(net, seen, noise=sizes, bounds=positive)
    reference = network(SPOTS_TRUTH, trainable=tuple(SPOTS_TRUTH))
    model_error = _model_error(reference, run.times, [clean], sizes)
    exact = fit(reference, Trajectory(run.times, clean), noise=sizes, bounds=positive)
    return Outcome(
        {"": made},
        {"": seconds},
        _numbers(made, exact, SPOTS_TRUTH, SPOTS_START),
        model_error=model_error,
    )


# A kernel that turns out to be the Laplacian ------------------------------------------------------

KERNEL_TRUTH = 0.05
CONSTRAINTS = ("free", "moment", "frozen")
ORDERS = {"u": (0, 0), "u_x": (1, 0), "u_y": (0, 1), "u_xx": (2, 0), "u_xy": (1, 1), "u_yy": (0, 2)}
"""The derivatives whose coefficients are moments of the kernel."""
SETTINGS = {"smooth": (0.005, 16), "rough": (0.0025, 25)}
"""dt, and the largest a² + b² of the waves in the data, a and b periods along the axes."""


def kernel() -> Outcome:
    """Find the 3×3 kernel of u_t = K ∗ u, free, with its moments fixed, and frozen."""
    parts = [_kernels(name, *SETTINGS[name]) for name in SETTINGS]
    return Outcome(
        {k: v for part in parts for k, v in part.fits.items()},
        {k: v for part in parts for k, v in part.seconds.items()},
        tuple(number for part in parts for number in part.numbers),
        (),
        parts[0].model_error,
        {k: v for part in parts for k, v in part.remarks.items()},
        {k: v for part in parts for k, v in part.texts.items()},
    )


def _kernels(setting: str, dt: float, square: int) -> Outcome:
    pde, fine, grid, spacing = pn.catalogue["heat"], _square(96), _square(24), 1 / 24
    rng = np.random.default_rng(0)
    times = np.arange(9) * 2 * dt
    later = np.array([0.0, 0.08, 0.16])  # beyond the data, t <= 16 dt
    starts = [_random_state(fine, rng, square)[None] for _ in range(9)]
    given = {"D": KERNEL_TRUTH}
    clean = [
        pn.exact_periodic(pde, fine, u, times, values=given)[:, :, ::4, ::4] for u in starts[:8]
    ]
    unseen = pn.exact_periodic(pde, fine, starts[8], later, values=given)[:, :, ::4, ::4]
    data, sizes = _measured(clean, 0.01, seed=1)
    seen = [Trajectory(times, d, initial=c[0]) for d, c in zip(data, clean, strict=True)]
    perfect = [Trajectory(times, c) for c in clean]

    def network(value: float, **options: Any) -> Network:
        return pde.to_network(
            grid, RING, values={"D": value}, dt=dt, space="nine_point", stepper="euler",
            dtype="float64", **options,
        )  # fmt: skip

    error = _model_error(network(KERNEL_TRUTH), times, clean, sizes)
    fits, seconds, texts = {}, {}, {}
    numbers: list[Number] = []
    remarks = {f"{setting}: model error": error}
    for constraint in CONSTRAINTS:
        group = f"{setting}, {constraint}"
        # D and a free kernel are a product, of which one factor is fixed: D = 1.
        names = {"free": ("stencils",), "moment": ("D", "stencils"), "frozen": ("D",)}[constraint]
        start = 1.0 if constraint == "free" else 0.01
        options: dict[str, Any] = {"trainable": names, "stencils": constraint}
        net = network(start, **options)
        with torch.no_grad():
            for name, tensor in net.quantities().items():
                if name != "D":
                    size = 0.001 if constraint == "free" else 0.3
                    tensor.copy_(torch.from_numpy(rng.normal(0, size, tuple(tensor.shape))))
        noise = {"u": sizes["u"]}
        fits[group], seconds[group] = _timed(net, seen, noise=noise)
        # The free kernel is D times the stencil; there D = 1 stays.
        reference = network(1.0 if constraint == "free" else KERNEL_TRUTH, **options)
        if constraint == "free":
            with torch.no_grad():
                reference.quantities()["stencils.xx"].mul_(KERNEL_TRUTH)
        exact = fit(reference, perfect, noise=noise)
        if constraint == "free":
            numbers += _moments(net, fits[group], exact, spacing, group)
        else:
            truth = {"D": KERNEL_TRUTH}
            numbers += _numbers(fits[group], exact, truth, {"D": start}, group)
        ((_, weights),) = net.block.kernels.items()
        scale = float(net.block.symbols["D"].detach()) / spacing**2
        for (row, column), weight in np.ndenumerate(scale * weights.detach().numpy()):
            remarks[f"{group}: weight {row} {column}"] = float(weight)
        for until, exact in zip(later[1:], unseen[1:], strict=True):
            remarks[f"{group}: error at t = {until:g}"] = _prediction_error(
                net, unseen[0], exact, round(until / dt)
            )
        texts[group] = str(net.to_equation())
    return Outcome(fits, seconds, tuple(numbers), (), error, remarks, texts)


def _moments(net: Network, made: Fit, exact: Fit, spacing: float, group: str) -> list[Number]:
    """Return the coefficients of the derivatives of a free kernel; they are linear in it."""
    (structure,) = net.block.structure.kernels
    orders = list(ORDERS.values())
    units = np.array([spacing ** (sum(order) - 2) for order in orders])
    matrix = units[:, None] * moments(structure, orders)
    centres, perfect = (matrix @ np.ravel(next(iter(one.values.values()))) for one in (made, exact))
    assert made.covariance is not None
    errors = np.sqrt(np.diag(matrix @ made.covariance @ matrix.T))
    truths = [KERNEL_TRUTH if name in ("u_xx", "u_yy") else 0.0 for name in ORDERS]
    return [
        # The noise is given, so that intervals are those of the normal distribution.
        Number(name, truth, math.nan, c, e, c - 1.96 * e, c + 1.96 * e, p - truth, group)
        for name, truth, c, e, p in zip(ORDERS, truths, centres, errors, perfect, strict=True)
    ]


def _prediction_error(net: Network, first: np.ndarray, exact: np.ndarray, steps: int) -> float:
    with torch.no_grad():
        made = net.advance(torch.from_numpy(first.copy())[None], steps=steps)[0].numpy()
    return float(np.linalg.norm(made - exact) / np.linalg.norm(exact))


# What no data determine ---------------------------------------------------------------------------


def product() -> Fit:
    """Seek both factors of a diffusivity a·b, of which the equation knows the product only."""
    t, a, b = sp.symbols("t a b")
    u = sp.Function("u")(t, x, y)
    pde = pn.PDE(sp.Eq(u.diff(t), a * b * (u.diff(x, 2) + u.diff(y, 2))))
    net = pde.to_network(
        _square(20), RING, values={"a": 0.1, "b": 0.2}, dt=0.01, space="central4", stepper="rk4",
        dtype="float64", trainable=("a", "b"),
    )  # fmt: skip
    clean = heat_data(20)
    data, _ = _measured([clean], 0.02, seed=1)
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


# Helpers ------------------------------------------------------------------------------------------


def _square(points: int) -> pn.Grid:
    return pn.Grid(x=(0, 1, points), y=(0, 1, points))


def _measured(
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


def _timed(net: Network, frames: Any, **options: Any) -> tuple[Fit, float]:
    """Return the fit and its processor time in seconds."""
    begin = time.process_time()
    made = fit(net, frames, **options)
    return made, time.process_time() - begin


def _numbers(
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


def _map(made: Fit, name: str, truth: np.ndarray, group: str = "", background: float = 0.0) -> Map:
    low, high = (np.asarray(end) for end in made.interval(name))
    found, error = np.asarray(made.values[name]), np.asarray(made.errors[name])
    return Map(name, truth, found, error, low, high, group, background)


def _on(grid: pn.Grid, boundary: pn.Boundary, expression: sp.Expr) -> np.ndarray:
    """Return an expression of x and y on the grid, shape (y, x)."""
    across, up = grid.mesh(boundary)
    made: np.ndarray = np.broadcast_to(sp.lambdify((x, y), expression)(across, up), grid.shape)
    return made


def _random_state(grid: pn.Grid, rng: np.random.Generator, square: int) -> np.ndarray:
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


def _smoothness_weight(seen: Sequence[Trajectory], difference: float) -> float:
    """Return the weight with which neighbours differ by about `difference` a priori.

    The penalty times N/2 is minus the logarithm of the prior, Σ Δ²/(2 · difference²).
    """
    count = sum((one.states.shape[0] - 1) * one.states[0].size for one in seen)
    return 1 / (count * difference**2)


def _model_error(
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
