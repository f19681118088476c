"""A velocity that carries itself: Burgers' equation and its front.

    u_t + (u²/2)_x = ν u_xx        ν: viscosity, length²/time,   −1 ≤ x < 1, periodic

Fast fluid catches up with slow fluid ahead of it: the wave m − sin πx steepens into a front, whose
width of the order of ν is what viscosity allows. Hopf (1950) and Cole (1951) put w = −2ν φ_x/φ,
which makes it the heat equation φ_t = ν φ_xx, solved by an integral with a Gaussian: with
f(z) = exp(−cos(πz)/(2πν)) and z = x − mt − η,

    u(t, x) = m − ∫ sin(πz) f(z) exp(−η²/4νt) dη / ∫ f(z) exp(−η²/4νt) dη

(Basdevant et al. 1986, Computers & Fluids 14:23, who have m = 0; the mean only carries w along).

The flux stands under `pn.D`, so what leaves one cell enters the next and the mean of u stays what
it was, to rounding. Two schemes: upwind with forward Euler, of first order (halving h halves the
error), and central differences with RK4, of second (divides it by 4) once h is below the front's
width. The stable time step depends on u; it is found anew at every step.

    python solvers/burgers.py --points 128
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import sympy as sp
from matplotlib import colormaps
from matplotlib.figure import Figure

import pdenet as pn

VISCOSITY = 0.03
MEAN = 0.25
UNTIL = 0.8

t, x = pn.coordinates("t x")
u = pn.fields("u", (t, x))
nu = sp.Symbol("nu", positive=True)

burgers = pn.PDE(sp.Eq(u.diff(t), nu * u.diff(x, 2) - pn.D(u**2 / 2, x)))
ring = pn.Boundary(x=pn.Periodic())
SCHEMES = {"upwind": "euler", "central2": "rk4"}  # space: stepper


def exact(time: float, nodes: np.ndarray) -> np.ndarray:
    """Return u at a time > 0, shape `(x,)`."""
    # The trapezoidal rule: exact to rounding, as the integrands are smooth and vanish at the ends.
    eta = np.linspace(-12, 12, 4001) * np.sqrt(2 * VISCOSITY * time)
    where = nodes[:, None] - MEAN * time - eta
    # The exponent is at most 0 after its largest value is taken out; that cancels in the ratio.
    exponent = -(np.cos(np.pi * where) + 1) / (2 * np.pi * VISCOSITY)
    weight = np.exp(exponent - eta**2 / (4 * VISCOSITY * time))
    return MEAN - (np.sin(np.pi * where) * weight).sum(axis=1) / weight.sum(axis=1)


def solve(points: int) -> dict[str, pn.Result]:
    """Return the run of each scheme."""
    grid = pn.Grid(x=(-1, 1, points))
    found = {}
    for space, stepper in SCHEMES.items():
        solver = burgers.to_solver(grid, ring, values={nu: VISCOSITY}, space=space, stepper=stepper)
        found[space] = solver.run(MEAN - sp.sin(sp.pi * x), until=UNTIL, every=UNTIL / 4)
    return found


def draw(found: dict[str, pn.Result], path: str) -> None:
    """Draw the velocities over the exact curves, and below the errors at the end."""
    figure = Figure(figsize=(10.5, 6), layout="constrained")
    above, below = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=(3, 2))
    fine = np.linspace(-1, 1, 801)
    for panel, error_panel, (space, result) in zip(above, below, found.items(), strict=True):
        colours = colormaps["viridis"](np.linspace(0, 0.85, len(result.times)))
        nodes = result.nodes[0]
        for time, state, colour in zip(result.times, result.states, colours, strict=True):
            truth = exact(time, fine) if time > 0 else MEAN - np.sin(np.pi * fine)
            panel.plot(fine, truth, color=colour, linewidth=1)
            panel.plot(nodes, state[0], ".", color=colour, markersize=4, label=f"t = {time:g}")
        panel.set(title=f"{space}: dots; exact: lines", ylabel="velocity u")
        panel.legend(fontsize="small")
        error_panel.plot(nodes, result.final[0] - exact(UNTIL, nodes), ".-", color=colours[-1])
        error_panel.set(xlabel="x", ylabel=f"u − exact at t = {UNTIL:g}")
        panel.grid(alpha=0.3)
        error_panel.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Run, draw, and return each scheme's largest error at the end; velocities are about 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=128, help="mesh intervals")
    parser.add_argument("--output", default="burgers.png", help="where to write the picture")
    options = parser.parse_args(arguments)
    found = solve(options.points)
    draw(found, options.output)
    errors = {}
    for space, result in found.items():
        errors[space] = float(np.abs(result.final[0] - exact(UNTIL, result.nodes[0])).max())
        drift = abs(float(result.final.mean() - result.states[0].mean()))
        print(f"{space}: largest error at t = {UNTIL:g}: {errors[space]:.2e}")
        print(f"{space}: the mean has changed by {drift:.0e}")
    print(f"picture: {options.output}")
    return errors


if __name__ == "__main__":
    main()
