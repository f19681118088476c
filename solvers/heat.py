"""Heat in a plate: two sides held cold, two sides insulated.

A plate of unit size has been heated unevenly. Fourier's law says that heat flows down the slope of
the temperature u, so that

    u_t = D (u_xx + u_yy)                           D: diffusivity, length²/time
    u = 0 at x = 0 and x = 1,   u_y = 0 at y = 0 and y = 1.

Each product sin(mπx) cos(nπy) keeps its shape and decays at the rate D π² (m² + n²), the fine ones
first, so a sum of them is an exact solution (Carslaw & Jaeger 1959, Conduction of Heat in Solids,
ch. V). The scheme, forward Euler with central differences, has an error of O(h²): dt is of the
order of h², and halving h divides the error by 4.

    python solvers/heat.py --points 64
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import sympy as sp
from matplotlib.figure import Figure

import pdenet as pn

DIFFUSIVITY = 0.1
UNTIL = 0.15

t, x, y = pn.coordinates("t x y")
u = pn.fields("u", (t, x, y))
D = sp.Symbol("D", positive=True)

heat = pn.PDE(sp.Eq(u.diff(t), D * (u.diff(x, 2) + u.diff(y, 2))))
walls = pn.Boundary(x=pn.Dirichlet(0), y=pn.Neumann(0))

# (amplitude, m, n): waves from the width of the plate down to a fifth of it.
MODES = [(1, 1, 0), (sp.Rational(-1, 2), 2, 1), (sp.Rational(1, 2), 3, 2), (1, 4, 5)]
exact = sum(
    a * sp.sin(m * sp.pi * x) * sp.cos(n * sp.pi * y) * sp.exp(-D * sp.pi**2 * (m**2 + n**2) * t)
    for a, m, n in MODES
)


def solve(points: int) -> tuple[pn.Result, np.ndarray]:
    """Return the run, and the exact solution at its frames, shape `(frame, y, x)`."""
    grid = pn.Grid(x=(0, 1, points + 1), y=(0, 1, points + 1))
    solver = heat.to_solver(grid, walls, values={D: DIFFUSIVITY})
    print(solver)
    result = solver.run(exact.subs(t, 0), until=UNTIL, every=UNTIL / 5)
    truth = sp.lambdify((t, x, y), exact.subs(D, DIFFUSIVITY), "numpy")
    nodes = grid.mesh(walls)
    return result, np.stack([truth(time, *nodes) for time in result.times])


def draw(result: pn.Result, truth: np.ndarray, path: str) -> None:
    """Draw three frames, the exact end, and the error of the end."""
    figure = Figure(figsize=(13.5, 3), layout="constrained")
    axes = figure.subplots(1, 5, sharey=True)
    pictures = {f"t = {result.times[k]:.3g}": result.states[k, 0] for k in (0, 1, -1)}
    pictures[f"exact, t = {UNTIL:g}"] = truth[-1]
    error = result.final[0] - truth[-1]
    for shown, panels, label in (
        (pictures, axes[:4], "temperature u"),
        ({f"error, t = {UNTIL:g}": error}, axes[4:], "u − exact"),
    ):
        top = max(float(np.abs(values).max()) for values in shown.values())
        for panel, (title, values) in zip(panels, shown.items(), strict=True):
            panel.pcolormesh(*result.nodes, values, vmin=-top, vmax=top, cmap="RdBu_r")
            panel.set(title=title, xlabel="x (cold at both ends)", aspect="equal")
        figure.colorbar(panels[0].collections[0], ax=list(panels), label=label, pad=0.01)
    axes[0].set_ylabel("y (insulated at both ends)")
    figure.savefig(path, dpi=120)


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Run, draw, and return the largest error at the end relative to the largest temperature."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=64, help="mesh intervals a side")
    parser.add_argument("--output", default="heat.png", help="where to write the picture")
    options = parser.parse_args(arguments)
    result, truth = solve(options.points)
    error = float(np.abs(result.final[0] - truth[-1]).max() / np.abs(truth[-1]).max())
    draw(result, truth, options.output)
    print(f"largest error at t = {UNTIL:g}: {error:.2e} of the largest temperature")
    print(f"picture: {options.output}")
    return {"heat": error}


if __name__ == "__main__":
    main()
