"""The page docs/accuracy.md, made from the order table.

`python -m tests.laws.order_page > docs/accuracy.md` measures every cell and writes the page.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping

from tqdm import tqdm

from pdenet.discrete.steppers import STEPPERS
from tests.laws.order_problems import PROBLEMS, Problem
from tests.laws.order_table import (
    KINDS,
    SPACES,
    TOLERANCE,
    Cell,
    cells,
    claimed,
    left_out,
    measure,
)

_HEAD = """\
# Accuracy

The order of accuracy of every catalogue equation with every scheme and every kind of boundary:
{total} cells, of which {measured} are measured and the others left out, each with its reason.
[](theory.md) says where the orders come from.

This page is written by `python -m tests.laws.order_page`; the tests measure every cell anew and
compare.

## How an order is measured

A smooth function w is chosen, and SymPy puts it into the equation as it was written. What is left
over becomes a source, so that w solves the equation exactly, on any domain; the boundary values are
those of w, depend on time and are not homogeneous. A run ends at a fixed time on four grids. dt is
proportional to h for hyperbolic equations, to h² for parabolic ones and to h³ for KdV, below the
stable step. The error is the L2 norm over the box, by the trapezoidal rule, over all components,
u_t included. The observed order, log(e₃/e₄)/log(h₃/h₄) on the last pair of grids, lies within
{tolerance} of

$$p = \\min(\\text{{order in space}},\\ \\text{{order of the error of dt}},\\
  \\text{{order at the walls}}).$$

Order in space
: 2, 4, 6 for `central2`, `central4`, `central6`; 2 for `nine_point`; 1 for `upwind` and
  `lax_friedrichs`. Divergence form is a compact difference of fluxes, 2 whichever is chosen.

Order of the error of dt
: the stepper's order (`euler` and `symplectic_euler` 1, `leapfrog` and `heun` 2, `ssprk3` 3,
  `rk4` 4) times 1, 2 or 3, as dt is proportional to h, h² or h³.

Order at the walls
: 2, for Dirichlet, Neumann, Robin and, against the solution on the domain widened by h,
  ZeroPadding; with no limit on periodic axes. Three cases differ, all with `central4` and
  `central6`, whose stencils reach a second ghost node, and all for a reason:

  - Neumann and Robin, equations without second derivatives: **3**. The ghost nodes are off by
    O(h³), a first derivative by O(h²) at a few nodes, and that gains an order.
  - ZeroPadding: **1**. The first ghost node stands on the wall, where the solution is 0; the
    second is 0 too, where the odd continuation of the solution is −h ∂u/∂n.
  - ZeroPadding, Eqs. (1) to (5), not in divergence form: **3/2**. Their speeds are linear in u and
    vanish where u does. The error just described stays where it arises, O(h) at a fixed number of
    nodes, and the square root of the part of the box that they fill is O(√h).

Boundary kinds
: `dirichlet`, `neumann` and `robin` prescribe that condition wherever the equation takes one, and
  `Free()` elsewhere: at outflow sides, and for the fields of wave systems whose values follow from
  the others' (the velocity in acoustics, the magnetic field beside a prescribed electric one).
  `zero_padding` stands on all sides for all fields, as in a ConvNet. KdV and the vector equations
  aside, one table stands for one, two and three dimensions: the closures act on one axis at a time,
  and corners, mixed derivatives and coefficients that vary are measured separately in two
  dimensions. Vector equations are run with n = 2 and given coefficients.

Waves
: The solutions of `wave` and `wave_system` leave a uniform state like t². A wall's error that is
  switched on at t = 0 would run on as a front of height O(h²), of which the state holds the time
  derivative: O(h^(3/2)) in L2, although u itself has order 2.

Two orders are not in the table. For unforced periodic heat with
D dt/h² = 1/6 forward Euler has order 4, with `central2` in one dimension and with `nine_point` in
two: the error of dt cancels that of the differences. Against a wall at the grid's end nodes
ZeroPadding has order 1.

An entry is p, and in brackets the observed order. Letters are reasons:
"""


def page(measured: Mapping[str, float] | None = None) -> str:
    """Return docs/accuracy.md.

    Args:
        measured: the observed order of each measured cell, by its id; without, a dot stands there.
    """
    reasons: dict[str, str] = {}
    tables = [_section(problem, reasons, measured) for problem in PROBLEMS]
    counted = [left_out(c) is None for c in cells()]
    head = _HEAD.format(total=len(counted), measured=sum(counted), tolerance=TOLERANCE)
    notes = "\n".join(f"{mark}\n: {reason}.\n" for reason, mark in reasons.items())
    return "\n".join([head, notes, "## The table\n", *tables]).rstrip() + "\n"


def _section(
    problem: Problem, reasons: dict[str, str], measured: Mapping[str, float] | None
) -> str:
    lines = [f"### {problem.row}\n"]
    rows, absent = [], dict[str, list[str]]()
    for space, stepper in itertools.product(SPACES, STEPPERS):
        texts = [_entry(Cell(problem, space, stepper, kind), reasons, measured) for kind in KINDS]
        if len(set(texts)) == 1 and texts[0] in reasons.values():
            absent.setdefault(texts[0], []).append(f"{space} with {stepper}")
        else:
            rows.append(f"| {space} | {stepper} | " + " | ".join(texts) + " |")
    if rows:
        kinds = " | ".join(KINDS)
        lines += [f"| space | stepper | {kinds} |", "|---" * (2 + len(KINDS)) + "|", *rows, ""]
    lines += [f"Left out, {mark}: {', '.join(names)}.\n" for mark, names in absent.items()]
    return "\n".join(lines)


def _entry(cell: Cell, reasons: dict[str, str], measured: Mapping[str, float] | None) -> str:
    reason = left_out(cell)
    if reason is not None:
        return reasons.setdefault(reason, "abcdefghijklmnopqrstuvwxyz"[len(reasons)])
    shown = "·" if measured is None else f"{measured[cell.id]:.3f}"
    return f"{claimed(cell):g} ({shown})"


def main() -> None:
    """Measure every cell and write the page to standard output."""
    chosen = [c for c in cells() if left_out(c) is None]
    found = {}
    for cell in tqdm(chosen):
        found[cell.id] = measure(cell).order
        if abs(found[cell.id] - claimed(cell)) > TOLERANCE:
            sys.stderr.write(f"{cell.id}: p = {claimed(cell):g}, observed {found[cell.id]:.3f}\n")
    sys.stdout.write(page(found))


if __name__ == "__main__":
    main()
