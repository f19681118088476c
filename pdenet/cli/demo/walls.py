"""The same wave meeting each kind of wall, in the plane and on a line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import sympy as sp

from pdenet.cli.demo.exact import images, standing_waves
from pdenet.cli.demo.section import Check, Picture, Progress, Section
from pdenet.discrete.boundary import Boundary, Condition, Dirichlet, Free, Neumann, Periodic, Robin
from pdenet.discrete.grid import Grid
from pdenet.equation.catalogue import catalogue
from pdenet.equation.parse import parse
from pdenet.pages.drawings import formula
from pdenet.pages.pictures import animation, still
from pdenet.simulate.solver import Solver

_UNTIL = 3.0
_RATIO = 4.0  # of Robin's condition, a/b: between a clamped and a free edge for these pulses


@dataclass(frozen=True)
class _Wall:
    kind: str
    condition: Condition
    caption: str
    note: str


_WALLS = (
    _Wall("dirichlet", Dirichlet(0), "Dirichlet", "u = 0: comes back upside down"),
    _Wall("neumann", Neumann(0), "Neumann", "∂u/∂n = 0: comes back upright"),
    _Wall("robin", Robin(_RATIO, 1), "Robin", "4u + ∂u/∂n = 0: an elastic edge"),
    _Wall("periodic", Periodic(), "Periodic", "leaves here, enters there"),
)

_CODE = """\
wave = pn.catalogue["wave"]
grid = pn.Grid(x=(-1, 1, 201), y=(-1, 1, 201))
for wall in pn.Dirichlet(0), pn.Neumann(0), pn.Robin(4, 1), pn.Periodic():
    solver = wave.to_solver(grid, pn.Boundary(x=wall, y=wall))
    run    = solver.run(sp.exp(-60*((x - 0.3)**2 + (y - 0.2)**2)), until=3)"""


def _pulse(centre: float, sharpness: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.exp(-sharpness * (x - centre) ** 2)


def _relative(simulated: np.ndarray, exact: np.ndarray) -> float:
    """Return the largest error in percent of the largest value at the start."""
    return float(100 * np.abs(simulated - exact).max() / np.abs(exact[0]).max())


def walls(is_fast: bool, progress: Progress) -> Section:
    """Let a wave meet Dirichlet, Neumann, Robin, periodic and open walls."""
    plane, plane_checks = _plane(81 if is_fast else 201, progress)
    line, line_checks = _line(101 if is_fast else 401, progress)
    wave = catalogue["wave"]
    return Section(
        title="A wave meets its walls",
        equation=formula(wave.latex()),
        text=str(wave),
        words=(
            "One pulse in five rooms, with c = 1, by leapfrog and second-order differences. Above, "
            "in the plane; below, on a line, with x across and time upwards from 0 to 3. Exact "
            "solutions: standing waves, which are the eigenfunctions of the Laplacian under each "
            "kind of wall, and on the line image sources. The open wall is the wave equation as "
            "two currents, p to the right and m to the left, each free to leave. Errors are the "
            "largest over all nodes and frames, in percent of the height of the pulse."
        ),
        code=_CODE,
        rows=(plane, line),
        checks=(*plane_checks, *line_checks),
    )


def _plane(points: int, progress: Progress) -> tuple[tuple[Picture, ...], list[Check]]:
    x, y = sp.symbols("x y")
    centre, sharpness = (0.3, 0.2), 60.0
    initial = sp.exp(-sharpness * ((x - centre[0]) ** 2 + (y - centre[1]) ** 2))
    profiles = [_pulse(c, sharpness) for c in centre]
    pictures, checks = [], []
    for wall in _WALLS:
        progress(f"walls: {wall.kind}, in the plane")
        grid = Grid(x=(-1, 1, points), y=(-1, 1, points))
        boundary = Boundary(x=wall.condition, y=wall.condition)
        solver = catalogue["wave"].to_solver(grid, boundary)
        result = solver.run(initial, until=_UNTIL, every=_UNTIL / 60, progress=False)
        frames = result.states[:, 0]
        exact = standing_waves(wall.kind, profiles, result.nodes, result.times, _RATIO)
        error = _relative(frames, exact)
        check = Check(f"{wall.kind}, in the plane", error, 2.0 if points > 100 else 12.0, "%")
        checks.append(check)
        uri = animation(frames, -0.4, 0.4, "RdBu_r")
        pictures.append(Picture(uri, wall.caption, 236, wall.note, check))
    return tuple(pictures), checks


def _line(points: int, progress: Progress) -> tuple[tuple[Picture, ...], list[Check]]:
    x = sp.Symbol("x")
    centre, sharpness = 0.3, 60.0
    profile = _pulse(centre, sharpness)
    initial = sp.exp(-sharpness * (x - centre) ** 2)
    wave = catalogue.build("wave", dimension=1)
    pictures, checks = [], []
    for wall in (*_WALLS, _Wall("open", Free(), "Open", "leaves, and nothing comes back")):
        progress(f"walls: {wall.kind}, on a line")
        grid = Grid(x=(-1, 1, points))
        if wall.kind == "open":
            result = _currents(grid).run([initial / 2] * 2, _UNTIL, _UNTIL / 200, progress=False)
            frames = result.states.sum(axis=1)
        else:
            solver = wave.to_solver(grid, Boundary(x=wall.condition))
            result = solver.run(initial, until=_UNTIL, every=_UNTIL / 200, progress=False)
            frames = result.states[:, 0]
        if wall.kind == "robin":
            exact = standing_waves("robin", [profile], result.nodes, result.times, _RATIO)
        else:
            exact = images(wall.kind, profile, result.nodes[0], result.times)
        error = _relative(frames, exact)
        check = Check(f"{wall.kind}, on a line", error, 1.0 if points > 200 else 12.0, "%")
        checks.append(check)
        uri = still(_thinned(frames), -0.8, 0.8, "RdBu_r")
        pictures.append(Picture(uri, wall.caption, 185, wall.note, check))
    return tuple(pictures), checks


def _currents(grid: Grid) -> Solver:
    """Return u = p + m with p_t = −p_x and m_t = m_x: what flows out is let out."""
    currents = parse("p_t = -p_x; m_t = m_x", name="open walls")
    sides = {"p": (Dirichlet(0), Free()), "m": (Free(), Dirichlet(0))}
    return currents.to_solver(grid, Boundary(x=sides), space="central2", stepper="rk4")


def _thinned(frames: np.ndarray) -> np.ndarray:
    """Return at most 201 of the nodes, as many as there are frames."""
    return frames[:, :: max(1, frames.shape[1] // 200)]
