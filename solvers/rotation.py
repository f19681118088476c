"""A photograph turned by a partial differential equation.

The equation

    u_t = x u_y − y u_x

carries every value along a circle about the origin: u(t, x, y) = u₀(x cos t − y sin t,
x sin t + y cos t), the picture u₀ turned clockwise by the angle t, y upwards (Liu, Shao & Bai 2023,
arXiv 2308.01621, section 3, has it as an example; the formula comes from the method of
characteristics). At t = π/2 the nodes of the grid come to lie on nodes, so the exact solution is
the photograph with its rows and columns exchanged: `np.rot90`, without any interpolation.

No difference scheme carries an edge that is thinner than its mesh, so the photograph is taken
through a lens that blurs over a given width, with a round stop that keeps the corners dark. Two
schemes turn it: upwind differences with forward Euler, of first order, which add a viscosity of the
size of h; and central differences of fourth order with RK4: there, once the mesh is several times
finer than the blur, halving h divides the error by 16.

    python solvers/rotation.py --points 256
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import sympy as sp
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from skimage import color, data, filters, transform

import pdenet as pn

QUARTER = float(np.pi / 2)

t, x, y = pn.coordinates("t x y")
u = pn.fields("u", (t, x, y))

rotation = pn.PDE(sp.Eq(u.diff(t), x * u.diff(y) - y * u.diff(x)))
dark = pn.Boundary(x=pn.Dirichlet(0), y=pn.Dirichlet(0))
SCHEMES = {"upwind": "euler", "central4": "rk4"}  # space: stepper


def photograph(points: int, lens: float) -> np.ndarray:
    """Return scikit-image's astronaut at the nodes, from 0 to 1, y growing with the row."""
    picture = color.rgb2gray(data.astronaut()[:320, 64:384])[::-1]
    count = len(picture)
    pixels = (np.arange(count) + 0.5) * 2 / count - 1
    stopped = np.where(np.hypot(pixels, pixels[:, None]) < 0.82, picture, 0)
    blurred = filters.gaussian(stopped, sigma=lens * count / 2)
    # Nodes lie on the edges of the square, pixels half a pixel inside; all is dark between them.
    where = (np.linspace(0, count, points + 1) - 0.5).clip(0, count - 1)
    return transform.warp(blurred, np.stack(np.meshgrid(where, where, indexing="ij")), order=3)


def solve(points: int, lens: float) -> tuple[np.ndarray, dict[str, pn.Result]]:
    """Return the photograph, shape `(y, x)`, and the run of each scheme through a quarter turn."""
    grid = pn.Grid(x=(-1, 1, points + 1), y=(-1, 1, points + 1))
    picture = photograph(points, lens)
    found = {}
    for space, stepper in SCHEMES.items():
        solver = rotation.to_solver(grid, dark, space=space, stepper=stepper)
        print(f"{space}, {stepper}: dt = {solver.dt:.4g}")
        found[space] = solver.run(picture, until=QUARTER, every=QUARTER / 2)
    return picture, found


def draw(picture: np.ndarray, found: dict[str, pn.Result], path: str) -> None:
    """Draw, for each scheme, the start, an eighth and a quarter of a turn, and the error."""
    figure = Figure(figsize=(11.5, 5.6), layout="constrained")
    rows = figure.subplots(len(found), 4, sharex=True, sharey=True)
    truth = np.rot90(picture)
    errors = {space: result.final[0] - truth for space, result in found.items()}
    limit = max(float(np.abs(error).max()) for error in errors.values())
    grey = ScalarMappable(Normalize(0, 1), "gray")
    signed = ScalarMappable(Normalize(-limit, limit), "RdBu_r")
    for row, (space, result) in zip(rows, found.items(), strict=True):
        shown = {
            "the photograph": (picture, grey),
            f"{space}, t = π/4": (result.states[1, 0], grey),
            f"{space}, t = π/2": (result.final[0], grey),
            f"error, at most {np.abs(errors[space]).max():.2g}": (errors[space], signed),
        }
        for panel, (title, (values, colours)) in zip(row, shown.items(), strict=True):
            panel.pcolormesh(*result.nodes, values, norm=colours.norm, cmap=colours.cmap)
            panel.set(title=title, xlabel="x", ylabel="y", aspect="equal")
            panel.label_outer()  # the axes are labelled at the rim only
        figure.colorbar(grey, ax=row[2], label="brightness")
        figure.colorbar(signed, ax=row[3], label="error")
    figure.savefig(path, dpi=120)


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Run, draw, and return each scheme's root-mean-square error relative to the photograph."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=256, help="mesh intervals a side")
    parser.add_argument("--lens", type=float, default=0.02, help="width of the blur, length")
    parser.add_argument("--output", default="rotation.png", help="where to write the picture")
    options = parser.parse_args(arguments)
    picture, found = solve(options.points, options.lens)
    norm, truth = np.linalg.norm, np.rot90(picture)
    errors = {
        space: float(norm(result.final[0] - truth) / norm(truth)) for space, result in found.items()
    }
    draw(picture, found, options.output)
    for space, error in errors.items():
        print(f"{space}: error after a quarter turn: {error:.2e} of the photograph (both r.m.s.)")
    print(f"picture: {options.output}")
    return errors


if __name__ == "__main__":
    main()
