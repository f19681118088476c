"""Building, analysing and compiling Eq. (3) for 8 and for 512 components, by turns, in one run.

Run: `python benchmarks/symbolic_work.py`. The promise is a ratio near 1 apart from the weights.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
from sympy.core.cache import clear_cache

import pdenet as pn

ROUNDS = 7


def measure(n: int, weights: dict[str, np.ndarray]) -> float:
    """Return the seconds from the written equation to a solver, weights given."""
    clear_cache()
    begin = time.perf_counter()
    pde = pn.catalogue.build("eq3", n=n)
    _ = pde.analysis
    grid = pn.Grid(x=(-1, 1, 8), y=(-1, 1, 8))
    boundary = pn.Boundary(x=pn.ZeroPadding(), y=pn.ZeroPadding())
    pde.to_solver(
        grid, boundary, values=weights, dt=1e-6, stability="ignore", stepper="euler",
        space="central2",
    )  # fmt: skip
    return time.perf_counter() - begin


def main() -> None:
    """Print the medians and their ratio."""
    names = [p.name for p in pn.catalogue["eq3"].parameters if p.kind == "tensor"]
    found = {}
    given = {n: {k: np.full((n, n), 1 / n**2) for k in names} for n in (8, 512)}
    times: dict[int, list[float]] = {8: [], 512: []}
    for _ in range(ROUNDS):
        for n in times:
            times[n].append(measure(n, given[n]))
    for n, measured in times.items():
        found[n] = statistics.median(measured)
        print(f"n = {n:3}: {1e3 * found[n]:.1f} ms")
    print(f"ratio {found[512] / found[8]:.2f}")


if __name__ == "__main__":
    main()
