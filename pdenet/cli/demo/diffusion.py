"""A photograph diffused by the heat equation between insulated walls."""

from __future__ import annotations

from pdenet.cli.demo.exact import insulated_heat
from pdenet.cli.demo.photograph import largest, photograph, typical
from pdenet.cli.demo.section import Check, Picture, Progress, Section
from pdenet.discrete.boundary import Boundary, Neumann
from pdenet.discrete.grid import Grid
from pdenet.equation.catalogue import catalogue
from pdenet.pages.drawings import formula
from pdenet.pages.pictures import animation, still

# Pixels and seconds: after a time t a point has spread to a Gaussian of width √(2t) pixels.
_TIMES = (2.0, 8.0, 32.0)

_CODE = """\
photo = skimage.data.camera()                       # resized to 256 × 256, y upwards
heat  = pn.catalogue["heat"]
grid  = pn.Grid(x=(0, 255, 256), y=(0, 255, 256))
walls = pn.Boundary(x=pn.Neumann(0), y=pn.Neumann(0))
run   = heat.to_solver(grid, walls, values={"D": 1}).run(photo, until=32, every=1)"""


def diffusion(is_fast: bool, progress: Progress) -> Section:
    """Diffuse the photograph and compare it with its cosine series."""
    points = 128 if is_fast else 256
    progress("heat: the photograph diffuses")
    photo = photograph(points)
    heat = catalogue["heat"]
    length = points - 1
    grid = Grid(x=(0, length, points), y=(0, length, points))
    walls = Boundary(x=Neumann(0), y=Neumann(0))
    solver = heat.to_solver(grid, walls, values={"D": 1})
    result = solver.run(photo, until=_TIMES[-1], every=1.0, progress=False)
    frames = result.states[:, 0]

    progress("heat: the exact solution")
    exact = insulated_heat(photo, _TIMES, 1.0, (length, length))
    simulated = [frames[round(t)] for t in _TIMES]
    differences = [s - e for s, e in zip(simulated, exact, strict=True)]
    scale = max(largest(d) for d in differences[1:]) / 255
    checks = [
        Check(f"t = {t:g}, largest difference of any pixel", largest(d), limit, "grey levels")
        for t, d, limit in zip(_TIMES, differences, (2.0, 0.5, 0.25), strict=True)
    ]
    checks.append(Check("t = 32, root mean square", typical(differences[-1]), 0.05, "grey levels"))
    width = 236
    rows = (
        (
            Picture(animation(frames[::2], 0, 1, fps=10), "simulated, t = 0 … 32", width),
            Picture(still(photo, 0, 1), "the photograph, t = 0", width),
            Picture(still(simulated[1], 0, 1), "simulated, t = 8", width, "", checks[1]),
            Picture(still(exact[1], 0, 1), "exact, t = 8", width),
        ),
        (
            Picture(still(simulated[2], 0, 1), "simulated, t = 32", width, "", checks[2]),
            Picture(still(exact[2], 0, 1), "exact, t = 32", width),
            *(
                Picture(
                    still(d, -scale, scale, "RdBu_r"),
                    f"difference, t = {t:g}",
                    width,
                    f"colours end at ±{255 * scale:.2g} of 255 grey levels",
                )
                for t, d in zip(_TIMES[1:], differences[1:], strict=True)
            ),
        ),
    )
    return Section(
        title="A photograph diffuses",
        equation=formula(heat.latex()),
        text=str(heat),
        words=(
            f"A photograph of {points} × {points} pixels between insulated walls, ∂u/∂n = 0, with "
            f"D = 1 pixel² per unit of time. The stability analysis chose the stepper "
            f"“{solver.scheme.stepper.name}”, the differences “{solver.scheme.space}” and dt = "
            f"{solver.dt:.4g}, below the bound {solver.bound().dt:.4g}. The exact solution is the "
            "cosine series through the pixels, each cosine decaying at its own rate."
        ),
        code=_CODE,
        rows=rows,
        checks=tuple(checks),
    )
