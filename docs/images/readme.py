"""Draw the picture at the head of the README: `python docs/images/readme.py`."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import sympy as sp
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.color import rgb2gray
from skimage.transform import resize

import pdenet as pn

POINTS = 256


def photograph() -> np.ndarray:
    """Return a face inside a disc, shape (y, x), y growing with the row."""
    image = resize(rgb2gray(data.astronaut())[0:260, 95:355], (POINTS, POINTS), anti_aliasing=True)
    image = gaussian_filter(image, 1.6)[::-1]
    axis = np.linspace(-1, 1, POINTS, endpoint=False)
    radius = np.hypot(axis[:, None], axis[None, :])
    mask = 1 / (1 + np.exp((radius - 0.82) / 0.03))
    return np.asarray(image * mask)


def main() -> None:
    """Simulate and draw."""
    grid = pn.Grid(x=(-1, 1, POINTS), y=(-1, 1, POINTS))
    closed = pn.Boundary(x=pn.Periodic(), y=pn.Periodic())
    face = photograph()
    heat = pn.catalogue["heat"].to_solver(grid, closed, values={"D": 1})
    turn = pn.catalogue["rotation"].to_solver(grid, closed, stepper="rk4", space="central4")
    panels = [
        ("a photograph", face),
        ("$u_t = \\Delta u$", heat.run(face, until=8e-4).final[0]),
        ("$u_t = x\\,u_y - y\\,u_x$", turn.run(face, until=np.pi / 3).final[0]),
    ]
    x, y = sp.symbols("x y")
    drop = sp.exp(-60 * ((x + 0.2) ** 2 + (y - 0.15) ** 2))
    for title, condition in (("Dirichlet", pn.Dirichlet(0)), ("Neumann", pn.Neumann(0))):
        walls = pn.Boundary(x=condition, y=condition)
        wave = pn.catalogue["wave"].to_solver(grid, walls)
        panels.append((f"$u_{{tt}} = \\Delta u$, {title}", wave.run(drop, until=1.5).final[0]))
    figure, axes = plt.subplots(1, len(panels), figsize=(13, 2.9), layout="constrained")
    for place, (ax, (title, picture)) in enumerate(zip(axes, panels, strict=True)):
        is_wave = place > 2
        limit = 0.3 if is_wave else 1.0
        ax.imshow(
            picture, origin="lower", cmap="RdBu_r" if is_wave else "gray",
            vmin=-limit if is_wave else 0, vmax=limit,
        )  # fmt: skip
        ax.set_title(title, fontsize=12)
        ax.set_axis_off()
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=90)


if __name__ == "__main__":
    main()
