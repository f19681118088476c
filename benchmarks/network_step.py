"""A step of a network against the torch solver's and against convolutions written by hand.

Run: `python benchmarks/network_step.py`. All in one run, by turns, one thread; nanoseconds per
point and step, forward without gradients, and the ratio to the way by hand.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F  # PyTorch's own habit

import pdenet as pn

ROUNDS = 7
STEPS = 20
DT = 1e-6


def heat_by_hand(points: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return u + dt D Δ_h u as one 3×3 convolution with circular padding."""
    h = 2 / points
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None] * (0.1 * DT / h**2)

    def run(u: torch.Tensor) -> torch.Tensor:
        for _ in range(STEPS):
            u = u + F.conv2d(F.pad(u, (1, 1, 1, 1), mode="circular"), kernel)
        return u

    return run


def eq3_by_hand(
    points: int, weights: dict[str, np.ndarray]
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the block of Eq. (3), written as its authors would."""
    h = 1 / points
    first = torch.tensor(np.concatenate([weights["C"], weights["D"]]), dtype=torch.float32)
    last = torch.tensor(np.concatenate([weights["A"], weights["B"]], 1), dtype=torch.float32)
    n = len(weights["A"])
    dx = torch.zeros(3, 3)
    dx[1, 0], dx[1, 2] = -0.5 / h, 0.5 / h
    kernels = torch.stack([dx, dx.T])[:, None]

    def run(u: torch.Tensor) -> torch.Tensor:
        for _ in range(STEPS):
            padded = F.pad(u, (1, 1, 1, 1), mode="circular")
            size = padded.shape
            grads = F.conv2d(padded.reshape(-1, 1, *size[2:]), kernels)
            grads = grads.reshape(len(u), n, 2, points, points).transpose(1, 2)
            mixed = F.conv2d(u, first[:, :, None, None]).reshape(len(u), 2, n, points, points)
            product = (grads * mixed).reshape(len(u), 2 * n, points, points)
            u = u + DT * F.conv2d(product, last[:, :, None, None])
        return u

    return run


def cases() -> list[tuple[str, pn.PDE, int, int, dict[str, object], Callable[..., torch.Tensor]]]:
    """Return name, equation, points, components, values and the way by hand."""
    rng = np.random.default_rng(0)
    n = 32
    weights = {k: rng.standard_normal((n, n)) / n for k in "ABCD"}
    return [
        ("heat 256²", pn.catalogue["heat"], 256, 1, {"D": 0.1}, heat_by_hand(256)),
        ("Eq. (3) 56², 32 components", pn.catalogue["eq3"], 56, n, dict(weights),
         eq3_by_hand(56, weights)),
    ]  # fmt: skip


def main() -> None:
    """Print the medians and the ratios."""
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, float32, one thread")
    for name, pde, points, n, values, by_hand in cases():
        low = -1 if n == 1 else 0
        grid = pn.Grid(x=(low, 1, points), y=(low, 1, points))
        walls = pn.Boundary(x=pn.Periodic(), y=pn.Periodic())
        options = {"values": values, "dt": DT, "stepper": "euler", "space": "central2"}
        net = pde.to_network(grid, walls, steps=STEPS, stability="ignore", **options)
        solver = pde.to_solver(
            grid, walls, backend="torch", dtype="float32", stability="ignore", **options
        )
        u = torch.randn(1, n, points, points, generator=torch.Generator().manual_seed(0))
        ways: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
            "by hand": by_hand,
            "network": net,
            "torch solver": lambda state, s=solver: s.advance(state, STEPS * DT),
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        with torch.no_grad():
            results = {way: run(u) for way, run in ways.items()}
            for _ in range(ROUNDS):
                for way, run in ways.items():
                    begin = time.perf_counter()
                    run(u)
                    times[way].append(time.perf_counter() - begin)
        apart = max(float((r - results["by hand"]).abs().max()) for r in results.values())
        print(f"{name}: results agree to {apart:.1e}")
        least = statistics.median(times["by hand"])
        for way, seconds in times.items():
            found = statistics.median(seconds)
            per_point = found / (STEPS * points**2) * 1e9
            print(f"  {way:<13} {per_point:7.2f} ns  {found / least:5.2f}")


if __name__ == "__main__":
    main()
