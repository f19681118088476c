"""What the blow-up check costs: steps with and without it, by turns, in one run.

Run: `python benchmarks/blow_up_check.py`. The promise is below 3 % of a run.
"""

from __future__ import annotations

import platform
import statistics
import time

import numpy as np
import sympy as sp

import pdenet as pn
from pdenet.simulate.integrator import CHECK_EVERY

ROUNDS = 15


def measure(name: str, points: int) -> float:
    """Return the cost of the check as a part of an unguarded step, the median over rounds.

    Runs with equal steps look every `CHECK_EVERY` steps, and go back to find the step; runs whose
    step is found anew each time look at each.
    """
    pde = pn.catalogue[name]
    grid = pn.Grid(x=(-1, 1, points), y=(-1, 1, points))
    boundary = pn.Boundary(x=pn.Periodic(), y=pn.Periodic())
    solver = pde.to_solver(grid, boundary)
    bump = 0.1 * sp.exp(-20 * (sp.Symbol("x") ** 2 + sp.Symbol("y") ** 2))
    written = [f.name for f in pde.system.fields if f.rate_of is None]
    state = solver.initial_state(dict.fromkeys(written, bump))
    integrator = solver.integrator
    dt = solver.bound(state).dt / 2
    steps = max(1, 2**20 // points**2)
    costs = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        for _ in range(steps):
            integrator.program.step(state, 0.0, dt)
        between = time.perf_counter()
        for _ in range(steps):
            np.isfinite(integrator.arrays.total(state))
        end = time.perf_counter()
        every = 1 if integrator.adapts else CHECK_EVERY
        costs.append((end - between) / (between - begin) / every)
    return statistics.median(costs)


def main() -> None:
    """Print the cost for several equations and sizes."""
    print(f"NumPy {np.__version__}, {platform.machine()}, Python {platform.python_version()}")
    for name in ("heat", "wave", "burgers_2d", "shallow_water"):
        for points in (256, 1024):
            print(f"{name:14} {points:5}²  check / step = {100 * measure(name, points):.2f} %")


if __name__ == "__main__":
    main()
