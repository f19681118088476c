"""The same wave meeting each kind of wall.

A drop falls beside the middle of a square basin, [−1, 1]², and a ring runs outwards with speed 1:
u_tt = u_xx + u_yy. What comes back says what the walls are:

    Periodic      there is no wall: what leaves on one side enters on the other;
    Dirichlet     u = 0: the ring comes back upside down;
    Neumann       ∂u/∂n = 0: it comes back upright;
    Robin         a u + ∂u/∂n = 0, a wall on springs: long waves as Dirichlet, short as Neumann;
    ZeroPadding   the zeros that a ConvNet pads with: Dirichlet, one spacing outside the grid.

All walls but the first, at ±L, have the modes X(x) = cos(k (x + L) − φ), tan φ = a/k, and
2kL = nπ + 2φ, with a = ∞ for Dirichlet and a = 0 for Neumann (Carslaw & Jaeger 1959, Conduction of
Heat in Solids, ch. III). A drop f(x) g(y) is a sum of products of modes, each of which swings with
the frequency √(k² + l²): the exact solution. Without walls the Fourier transform gives it.

Leapfrog with central differences has an error of O(h²), walls included: halving h divides it by 4;
but that of ZeroPadding, measured against Dirichlet walls at ±1, is O(h) and only halved.

    python solvers/boundaries.py --points 128
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import sympy as sp
from matplotlib.figure import Figure

import pdenet as pn

UNTIL = 1.5
CENTRE, WIDTH = (-0.2, 0.15), 0.13  # of the drop

t, x, y = pn.coordinates("t x y")
u = pn.fields("u", (t, x, y))
wave = pn.PDE(sp.Eq(u.diff(t, 2), u.diff(x, 2) + u.diff(y, 2)))
drop = sp.exp(-((x - CENTRE[0]) ** 2 + (y - CENTRE[1]) ** 2) / (2 * WIDTH**2))
# Each kind of wall, with the a of its modes, in 1/length.
WALLS = {
    "Periodic": (pn.Periodic(), None),
    "Dirichlet": (pn.Dirichlet(0), np.inf),
    "Neumann": (pn.Neumann(0), 0.0),
    "Robin": (pn.Robin(3.0, 1, 0), 3.0),
    "ZeroPadding": (pn.ZeroPadding(), np.inf),
}


def exact(a: float, nodes: np.ndarray, length: float) -> np.ndarray:
    """Return the solution at the end, `(y, x)`, for walls at ±length; nodes: those of one axis."""
    order = np.arange(64)[:, None]  # the next mode of the drop is of size exp(−80)
    k = phase = np.ones(order.shape)
    for _ in range(60):  # each turn shrinks the error by a factor above 3
        k = np.maximum(order * np.pi / 2 + phase, 1e-9) / length  # not 0, for the division by it
        phase = np.arctan2(a, k)
    norms = length + (np.sin(4 * k * length - 2 * phase) + np.sin(2 * phase)) / (4 * k)
    fine = np.linspace(-length, length, 2001)  # on a Gaussian the trapezoidal rule is exact
    modes = np.cos(k * (fine + length) - phase)
    along_x, along_y = (
        np.trapezoid(np.exp(-((fine - m) ** 2) / (2 * WIDTH**2)) * modes, fine) / norms[:, 0]
        for m in CENTRE
    )
    swing = np.cos(UNTIL * np.hypot(k, k.T))
    modes = np.cos(k * (nodes + length) - phase)
    return modes.T @ (along_y[:, None] * swing * along_x) @ modes


def solve(points: int) -> tuple[dict[str, pn.Result], dict[str, np.ndarray]]:
    """Return the run for each kind of wall, and the exact solutions at the end, `(y, x)`."""
    found, truth = {}, {}
    for name, (wall, a) in WALLS.items():
        walls = pn.Boundary(x=wall, y=wall)
        count = points if a is None else points + 1  # a periodic grid leaves its last node out
        grid = pn.Grid(x=(-1, 1, count), y=(-1, 1, count))
        found[name] = wave.to_solver(grid, walls).run(drop, until=UNTIL, every=UNTIL / 2)
        if a is None:
            truth[name] = pn.exact_periodic(wave, grid, drop, UNTIL)[0, 0]
        else:
            outside = grid.spacing(walls)[0] if name == "ZeroPadding" else 0.0
            truth[name] = exact(a, grid.nodes(walls)[0], 1 + outside)
    return found, truth


def draw(found: dict[str, pn.Result], errors: dict[str, np.ndarray], path: str) -> None:
    """Draw a column a wall: the ring at the wall, after its return, and the error."""
    figure = Figure(figsize=(13, 7.6), layout="constrained")
    panels = figure.subplots(3, len(found), sharex=True, sharey=True)
    frames = [{name: result.states[k, 0] for name, result in found.items()} for k in (1, 2)]
    labels = [f"u at t = {UNTIL / 2:g}", f"u at t = {UNTIL:g}", f"u − exact at t = {UNTIL:g}"]
    for row, label, shown in zip(panels, labels, [*frames, errors], strict=True):
        top = max(float(np.abs(values).max()) for values in shown.values())
        for panel, (name, values) in zip(row, shown.items(), strict=True):
            panel.pcolormesh(*found[name].nodes, values, vmin=-top, vmax=top, cmap="RdBu_r")
            panel.set(title=name, xlabel="x", ylabel="y", aspect="equal")
            panel.label_outer()  # the axes are labelled at the rim only
        figure.colorbar(row[0].collections[0], ax=list(row), label=label, pad=0.01)
    figure.savefig(path, dpi=120)


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Run, draw, and return for each wall the largest error at the end; the drop's height is 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=128, help="mesh intervals a side")
    parser.add_argument("--output", default="boundaries.png", help="where to write the picture")
    options = parser.parse_args(arguments)
    found, truth = solve(options.points)
    errors = {name: result.final[0] - truth[name] for name, result in found.items()}
    draw(found, errors, options.output)
    errors["ZeroPadding as Dirichlet"] = found["ZeroPadding"].final[0] - truth["Dirichlet"]
    largest = {name: float(np.abs(error).max()) for name, error in errors.items()}
    for name, error in largest.items():
        print(f"{name}: largest error at t = {UNTIL:g}: {error:.2e} of the drop's height")
    print(f"picture: {options.output}")
    return largest


if __name__ == "__main__":
    main()
