"""A photograph turned once round by a differential equation."""

from __future__ import annotations

import numpy as np

from pdenet.cli.demo.exact import Polynomial
from pdenet.cli.demo.photograph import largest, photograph, typical
from pdenet.cli.demo.section import Check, Picture, Progress, Section
from pdenet.discrete.boundary import Boundary, Periodic
from pdenet.discrete.grid import Grid
from pdenet.equation.catalogue import catalogue
from pdenet.pages.drawings import formula
from pdenet.pages.pictures import animation, still

_CODE = """\
ink    = …                                          # the photograph in a disc, smoothed
grid   = pn.Grid(x=(-1, 1, 256), y=(-1, 1, 256))
around = pn.Boundary(x=pn.Periodic(), y=pn.Periodic())
solver = pn.catalogue["rotation"].to_solver(grid, around, space="central6", stepper="rk4")
run    = solver.run(ink, until=2 * np.pi, every=np.pi / 24)"""

_FRAMES = 48  # a turn
_COMPARED = 12  # every 30°


def rotation(is_fast: bool, progress: Progress) -> Section:
    """Turn the photograph by u_t = x u_y − y u_x, every 30° compared with the turned picture."""
    points = 128 if is_fast else 256
    progress("rotation: the photograph turns")
    pde = catalogue["rotation"]
    grid = Grid(x=(-1, 1, points), y=(-1, 1, points))
    around = Boundary(x=Periodic(), y=Periodic())
    x, y = np.broadcast_arrays(*grid.mesh(around))
    # Ink on white paper: 0 outside of the disc, so that nothing meets the edge of the square.
    window = np.cos(np.pi / 2 * np.clip((np.hypot(x, y) - 0.7) / 0.2, 0.0, 1.0)) ** 2
    start = Polynomial.smoothed((1 - photograph(points)) * window, 2.5, points // 4)
    solver = pde.to_solver(grid, around, space="central6", stepper="rk4")
    result = solver.run(start(x, y), until=2 * np.pi, every=2 * np.pi / _FRAMES, progress=False)
    frames = result.states[:, 0]

    worst, mean = 0.0, 0.0
    pictures: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for k in range(1, _COMPARED + 1):
        angle = 360 * k // _COMPARED
        progress(f"rotation: the exact picture at {angle}°")
        at = result.times[k * _FRAMES // _COMPARED]
        turned = start(x * np.cos(at) - y * np.sin(at), x * np.sin(at) + y * np.cos(at))
        simulated = frames[k * _FRAMES // _COMPARED]
        worst = max(worst, largest(simulated - turned))
        mean = max(mean, typical(simulated - turned))
        pictures[angle] = (simulated, turned)
    once = frames[-1] - frames[0]
    limit = 5.0
    checks = (
        Check("every 30°, largest difference of any pixel", worst, limit, "grey levels"),
        Check("every 30°, root mean square", mean, limit / 10, "grey levels"),
        Check("once round, against the start", largest(once), limit, "grey levels"),
    )
    width = 236
    scale = worst / 255
    rows = (
        (
            Picture(
                animation(1 - frames[:-1], 0, 1, fps=12),
                "simulated, once round",
                width,
                "",
                checks[0],
            ),
            Picture(still(1 - frames[0], 0, 1), "at the start", width),
            Picture(still(1 - pictures[30][0], 0, 1), "simulated, 30°", width),
            Picture(still(1 - pictures[30][1], 0, 1), "exact, 30°", width),
        ),
        (
            Picture(still(1 - pictures[210][0], 0, 1), "simulated, 210°", width),
            Picture(still(1 - pictures[210][1], 0, 1), "exact, 210°", width),
            Picture(still(1 - pictures[360][0], 0, 1), "simulated, 360°", width, "", checks[2]),
            Picture(
                still(once, -scale, scale, "RdBu_r"),
                "difference after 360°",
                width,
                f"colours end at ±{255 * scale:.2g} of 255 grey levels",
            ),
        ),
    )
    return Section(
        title="A photograph turns",
        equation=formula(pde.latex()),
        text=str(pde),
        words=(
            f"The equation carries each value along a circle, here with ω = 1: once round takes "
            f"2π. On {points} × {points} nodes, with differences “{solver.scheme.space}” and "
            f"stepper “{solver.scheme.stepper.name}”, dt = {solver.dt:.4g}. The photograph is cut "
            "to a disc and smoothed to a trigonometric polynomial, so that the exactly turned "
            "picture is known at every node, without interpolation."
        ),
        code=_CODE,
        rows=rows,
        checks=checks,
    )
