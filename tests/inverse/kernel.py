"""PDE-Net's experiment: a 3×3 kernel that turns out to be the Laplacian.

Source: Long, Lu, Ma & Dong (2018), arXiv 1710.09668.
"""

from __future__ import annotations

import math
from typing import Any  # options of networks are of many types

import numpy as np
import torch

import pdenet as pn
from pdenet.network.kernels import moments
from pdenet.network.network import Network
from pdenet.training.fitting.estimate import Fit
from pdenet.training.fitting.fit import fit
from pdenet.training.fitting.trajectories import Trajectory
from tests.inverse.experiment import (
    RING,
    Number,
    Outcome,
    error_of_model,
    measured,
    numbers_found,
    random_state,
    unit_square,
)

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
        tuple(number for part in parts for number in part.numbers),
        (),
        parts[0].model_error,
        {k: v for part in parts for k, v in part.remarks.items()},
        {k: v for part in parts for k, v in part.texts.items()},
    )


def _kernels(setting: str, dt: float, square: int) -> Outcome:
    pde, fine, grid, spacing = pn.catalogue["heat"], unit_square(96), unit_square(24), 1 / 24
    rng = np.random.default_rng(0)
    times = np.arange(9) * 2 * dt
    later = np.array([0.0, 0.08, 0.16])  # beyond the data, t <= 16 dt
    starts = [random_state(fine, rng, square)[None] for _ in range(9)]
    given = {"D": KERNEL_TRUTH}
    clean = [
        pn.exact_periodic(pde, fine, u, times, values=given)[:, :, ::4, ::4] for u in starts[:8]
    ]
    unseen = pn.exact_periodic(pde, fine, starts[8], later, values=given)[:, :, ::4, ::4]
    data, sizes = measured(clean, 0.01, seed=1)
    seen = [Trajectory(times, d, initial=c[0]) for d, c in zip(data, clean, strict=True)]
    perfect = [Trajectory(times, c) for c in clean]

    def network(value: float, **options: Any) -> Network:
        return pde.to_network(
            grid, RING, values={"D": value}, dt=dt, space="nine_point", stepper="euler",
            dtype="float64", **options,
        )  # fmt: skip

    error = error_of_model(network(KERNEL_TRUTH), times, clean, sizes)
    fits, texts = {}, {}
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
        fits[group] = fit(net, seen, noise=noise)
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
            numbers += numbers_found(fits[group], exact, truth, {"D": start}, group)
        ((_, weights),) = net.block.kernels.items()
        scale = float(net.block.symbols["D"].detach()) / spacing**2
        for (row, column), weight in np.ndenumerate(scale * weights.detach().numpy()):
            remarks[f"{group}: weight {row} {column}"] = float(weight)
        for until, exact in zip(later[1:], unseen[1:], strict=True):
            remarks[f"{group}: error at t = {until:g}"] = _prediction_error(
                net, unseen[0], exact, round(until / dt)
            )
        texts[group] = str(net.to_equation())
    return Outcome(fits, tuple(numbers), (), error, remarks, texts)


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
