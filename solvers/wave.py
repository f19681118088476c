"""The wave equation written in three forms: a drum rings alike in all of them.

A square membrane is held at its rim, bent and let go. Its displacement u obeys the wave equation,
with u = 0 on the rim. The same motion can be written with

    one field      u_tt = c² (u_xx + u_yy)                            second order in time
    two fields     u_t = v,  v_t = c² (u_xx + u_yy)                   v = u_t
    three fields   p_t = c² (q_x + r_y),  q_t = p_x,  r_t = p_y       p = u_t,  q = u_x,  r = u_y

The rim says u = 0, hence p = 0, and along it the slope is 0 too; the slope across it is even about
it. So each of the three fields has conditions of its own. The standing waves sin(mπx) sin(nπy)
cos(ωt), ω = cπ √(m² + n²), solve the problem exactly (Rayleigh 1877, The Theory of Sound, ch. IX).

Leapfrog advances the first form, RK4 the two others, with central differences: O(h²), so halving h
divides the error by 4. The third form takes differences over two spacings twice, where the others
take one second difference; so its waves run late four times as much.

    python solvers/wave.py --points 64
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import sympy as sp
from matplotlib.figure import Figure

import pdenet as pn

SPEED = 1.0
UNTIL = 1.0

t, x, y = pn.coordinates("t x y")
u, v, p, q, r = pn.fields("u v p q r", (t, x, y))
c = sp.Symbol("c", positive=True)

one = pn.PDE(sp.Eq(u.diff(t, 2), c**2 * (u.diff(x, 2) + u.diff(y, 2))))
two = pn.PDE(sp.Eq(u.diff(t), v), sp.Eq(v.diff(t), c**2 * (u.diff(x, 2) + u.diff(y, 2))))
three = pn.PDE(
    sp.Eq(p.diff(t), c**2 * (q.diff(x) + r.diff(y))),
    sp.Eq(q.diff(t), p.diff(x)),
    sp.Eq(r.diff(t), p.diff(y)),
)
fixed, even = pn.Dirichlet(0), pn.Neumann(0)
rim = pn.Boundary(x=fixed, y=fixed)
rim_of_three = pn.Boundary(x={p: fixed, q: even, r: fixed}, y={p: fixed, q: fixed, r: even})

exact = sum(
    a * sp.sin(m * sp.pi * x) * sp.sin(n * sp.pi * y) * sp.cos(sp.pi * sp.sqrt(m**2 + n**2) * c * t)
    for a, m, n in [(1, 1, 2), (1, 2, 1), (sp.Rational(1, 2), 3, 2)]
).subs(c, SPEED)
velocity = exact.diff(t)

# For each form: the equation, its walls, its initial state, and where u_t stands in its state.
FORMS = {
    "u_tt": (one, rim, [exact], 1),
    "(u, v)": (two, rim, [exact, velocity], 1),
    "(p, q, r)": (three, rim_of_three, [velocity, exact.diff(x), exact.diff(y)], 0),
}


def solve(points: int) -> tuple[tuple[np.ndarray, ...], np.ndarray, dict[str, np.ndarray]]:
    """Return the nodes, the exact velocity u_t at the end, and that of each form, `(y, x)` each."""
    grid = pn.Grid(x=(0, 1, points + 1), y=(0, 1, points + 1))
    found = {}
    for form, (pde, walls, initial, place) in FORMS.items():
        solver = pde.to_solver(grid, walls, values={c: SPEED})
        print(f"{form}: {solver.scheme.stepper.name}, dt = {solver.dt:.4g}")
        start = [expression.subs(t, 0) for expression in initial]
        found[form] = solver.run(start, until=UNTIL, every=UNTIL).final[place]
    truth = sp.lambdify((t, x, y), velocity, "numpy")(UNTIL, *grid.mesh(rim))
    return grid.nodes(rim), truth, found


def draw(
    nodes: tuple[np.ndarray, ...], truth: np.ndarray, found: dict[str, np.ndarray], path: str
) -> None:
    """Draw the velocities above, and below how far each form is from the exact one."""
    figure = Figure(figsize=(12.5, 5.8), layout="constrained")
    above, below = figure.subplots(2, 4)
    errors = {form: values - truth for form, values in found.items()}
    below[0].set_axis_off()
    for shown, panels, label in (
        ({"exact": truth, **found}, above, f"velocity u_t at t = {UNTIL:g}"),
        ({f"{form} − exact": error for form, error in errors.items()}, below[1:], "error of u_t"),
    ):
        top = max(float(np.abs(values).max()) for values in shown.values())
        for panel, (title, values) in zip(panels, shown.items(), strict=True):
            panel.pcolormesh(*nodes, values, vmin=-top, vmax=top, cmap="RdBu_r")
            panel.set(title=title, xlabel="x", ylabel="y", aspect="equal")
        figure.colorbar(panels[0].collections[0], ax=list(panels), label=label)
    figure.savefig(path, dpi=120)


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Run, draw, and return each form's largest error of u_t relative to the largest u_t."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=64, help="mesh intervals a side")
    parser.add_argument("--output", default="wave.png", help="where to write the picture")
    options = parser.parse_args(arguments)
    nodes, truth, found = solve(options.points)
    scale = float(np.abs(truth).max())
    errors = {form: float(np.abs(values - truth).max()) / scale for form, values in found.items()}
    draw(nodes, truth, found, options.output)
    for form, error in errors.items():
        print(f"{form}: largest error of u_t at t = {UNTIL:g}: {error:.2e} of the largest u_t")
    print(f"picture: {options.output}")
    return errors


if __name__ == "__main__":
    main()
