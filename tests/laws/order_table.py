"""The order table: catalogue equation × scheme × boundary kind, measured or left out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

import numpy as np

import pdenet as pn
from pdenet.backends.numpy_arrays import NumpyArrays
from pdenet.discrete.domain import Domain
from pdenet.discrete.environment import check_prefactors
from pdenet.discrete.program import Program
from pdenet.discrete.scheme import discretise
from pdenet.discrete.setup import bound_values
from pdenet.discrete.spaces import ACCURACY
from pdenet.discrete.stability import Stability
from pdenet.discrete.steppers import STEPPERS, RungeKutta, Splitting
from pdenet.equation.analysis import term_order
from pdenet.simulate.integrator import Integrator
from tests.laws.manufactured import Forced, on_grid, order
from tests.laws.order_problems import (
    DISPERSIVE,
    HYPERBOLIC,
    PARABOLIC,
    PROBLEMS,
    Problem,
    solved,
    walls,
)

SPACES = (*ACCURACY, "nine_point", "upwind", "lax_friedrichs")
KINDS = ("periodic", "dirichlet", "neumann", "robin", "zero_padding", "free")

TOLERANCE = 0.05
"""How far an observed order may lie from p, either way."""

# Cells an axis. The ratio of neighbouring grids enters the order's definition, nothing else.
_SMOOTH = (16, 24, 32, 48)
_ROUGH = (32, 64, 96, 128)  # first order: what is left of h² must fall below 5 %
_FINE = (24, 48, 72, 96)
_FAIR = (24, 32, 48, 64)  # what two dimensions with dt ∝ h² can afford
_FINEST = (48, 64, 96, 128)
_UNIT = 8  # all are multiples of this, so that dt/hᵉ is the same number on all grids


@dataclass(frozen=True)
class Cell:
    """One entry of the table."""

    problem: Problem
    space: str
    stepper: str
    kind: str

    @property
    def id(self) -> str:
        """The entry's name."""
        return f"{self.problem.row}-{self.space}-{self.stepper}-{self.kind}"


def cells() -> Iterator[Cell]:
    """Go through the full product."""
    for problem, space, stepper, kind in itertools.product(PROBLEMS, SPACES, STEPPERS, KINDS):
        yield Cell(problem, space, stepper, kind)


def _has(problem: Problem, order: int) -> bool:
    return any(term_order(t) == order for _, t in problem.system.terms())


def left_out(cell: Cell) -> str | None:
    """Return why a cell is not measured, None where it is; rules, in order."""
    problem, system = cell.problem, cell.problem.system
    method = STEPPERS[cell.stepper]
    is_second_in_time = any(f.rate_of for f in system.fields)
    highest = max(term_order(t) for _, t in system.terms())
    if isinstance(method, Splitting) and not system.is_splittable:
        return "splitting steppers advance u and u_t by turns: only for u_tt = F(t, x, u)"
    if cell.space == "lax_friedrichs":
        if cell.stepper != "euler":
            return "Lax–Friedrichs is a step by itself: only with forward Euler"
        if highest != 1 or is_second_in_time:
            return "Lax–Friedrichs is for equations of first order"
    if cell.space == "nine_point" and (not _has(problem, 2) or system.dimension > 2):
        return "there is no Laplacian to replace: the scheme is that of central2"
    if cell.space == "nine_point" and "dimension" not in problem.options and system.dimension == 1:
        return "the nine-point Laplacian is for two dimensions"
    if cell.space == "upwind":
        if not _has(problem, 1):
            return "there is no first derivative to take upwind: the scheme is that of central2"
        if problem.name in _NOT_UPWIND:
            return (
                "upwind needs scalar or diagonal coefficients of first derivatives, or one "
                "constant matrix: here the matrix varies with u"
            )
    if cell.stepper in ("euler", "heun") and _is_unstable(cell):
        return (
            "unstable at every dt: the eigenvalues of the differences are imaginary, and "
            "|R(iy)| > 1 for forward Euler and Heun"
        )
    if cell.kind != "periodic" and problem.exponent == DISPERSIVE:
        return "KdV is posed on periodic axes here: at walls u_xxx takes one and two conditions"
    if cell.kind == "periodic" and problem.name in ("rotation", "dilation"):
        return "the coefficients x and y are not periodic: they jump where the ends meet"
    if cell.kind == "free":
        if problem.exponent == PARABOLIC or not any(False in a for a in _ends(problem)):
            return "the equation takes a condition on every side"
        return "sides without data are Free in the Dirichlet, Neumann and Robin cells of this row"
    if is_wide(cell) and cell.kind != "periodic" and problem.name == "burgers_2d":
        return (
            "the layer of wide stencils at walls falls below the tolerance on 96² nodes and more, "
            "minutes a cell; closures act on one axis at a time, see burgers_1d"
        )
    return None


_NOT_UPWIND = ("shallow_water", "eq1", "eq2", "eq3", "eq4", "eq5", "eq6", "eq7")


def _ends(problem: Problem) -> list[tuple[bool, bool]]:
    return [ends for axes in problem.posed.values() for ends in axes.values()]


def _is_unstable(cell: Cell) -> bool:
    damped = cell.space in ("upwind", "lax_friedrichs") and cell.problem.exponent == HYPERBOLIC
    return cell.problem.exponent != PARABOLIC and not damped


def claimed(cell: Cell) -> float:
    """Return p, the order that theory claims; docs/accuracy.md says why."""
    return min(_limits(cell))


def _limits(cell: Cell) -> tuple[float, float, float]:
    """Return the orders in space, of the error of dt and at the walls, of which p is the least."""
    space = {**ACCURACY, "nine_point": 2}.get(cell.space, 1)
    terms = [t for _, t in cell.problem.system.terms()]
    if any(t.inner is not None for t in terms):
        space = min(space, 2)  # divergence form is compact, whatever the scheme
    time = STEPPERS[cell.stepper].order * cell.problem.exponent
    return space, time, math.inf if cell.kind == "periodic" else _at_walls(cell)


def factors(cell: Cell) -> tuple[Hashable, ...]:
    """Return what the order depends on, for a pairwise cover.

    p = min(space, dt, walls), and each of the three depends on two or three of equation, scheme,
    stepper and kind. A fault in one of them is seen where it alone is p. Which of them are p is
    therefore a factor of its own, so that each equation, scheme, stepper and kind meets it.
    """
    limits = _limits(cell)
    binding = tuple(one == min(limits) for one in limits)
    return (cell.problem.row, cell.space, cell.stepper, cell.kind, (min(limits), binding))


def _at_walls(cell: Cell) -> float:
    """Return the order that the closure leaves: the accuracy of its ghost nodes."""
    if not is_wide(cell):
        return 2
    if cell.kind == "zero_padding":
        # Of the ghost nodes only the first lies on the wall; the second is 0 where the odd
        # continuation of the solution is −h ∂u/∂n. Eqs. (1) to (5) have no speed where u = 0, so
        # that this error stays at the wall, O(h) at a number of nodes that does not grow.
        return 1.5 if cell.problem.name in ("eq1", "eq2", "eq3", "eq4", "eq5") else 1
    if cell.kind in ("neumann", "robin") and not _has(cell.problem, 2):
        return 3  # ghost nodes with an error of O(h³), differentiated once at one node
    return 2


def is_wide(cell: Cell) -> bool:
    """Tell whether some stencil reaches beyond the next neighbours."""
    if ACCURACY.get(cell.space, 2) == 2:
        return False
    return any(t.inner is None and term_order(t) for _, t in cell.problem.system.terms())


@dataclass(frozen=True)
class Measured:
    """A measurement.

    Attributes:
        cells: cells an axis of each grid, coarse to fine.
        errors: the root mean square over nodes and components at the final time.
        order: observed on the last pair.
    """

    cells: tuple[int, ...]
    errors: tuple[float, ...]
    order: float


def measure(cell: Cell, is_brief: bool = False) -> Measured:
    """Run a cell on four grids.

    Args:
        cell: the cell.
        is_brief: on the last pair only, which is where the order is observed; and where dt ∝ h² or
            h³, so that steps are many, to an eighth of the time. The layer that wide stencils have
            at walls needs the whole of it.
    """
    problem = cell.problem.in_plane() if cell.space == "nine_point" else cell.problem
    counts = grids(cell)[-2:] if is_brief else grids(cell)
    until = problem.until
    settles = cell.kind == "periodic" or not is_wide(cell)
    if is_brief and settles and problem.exponent > HYPERBOLIC:
        until /= 8
    solution = solution_of(cell, problem)
    errors = []
    steps = 0
    for count in counts:
        ratio = (count // _UNIT) ** problem.exponent
        grid = box(problem, cell.kind, count)
        if not steps:
            run, first = integrator(cell, problem, grid, 1.0)
            bound = Stability(run.scheme, run.values).bound(first)
            steps = math.ceil(until / (_safety(cell) * bound.dt * ratio))
        dt = until / (steps * ratio)
        run, first = integrator(cell, problem, grid, dt)
        expressions = [e for name in run.scheme.system.field_names for e in solution.exact[name]]
        exact = on_grid(expressions, grid, run.scheme.domain, until)
        final = run.advance(first, until)
        errors.append(norm(final - exact, run.scheme.domain, cell.kind))
    return Measured(counts, tuple(errors), order(errors, counts))


def _safety(cell: Cell) -> float:
    """Return the part of the stable step on the coarsest grid that all grids scale down from."""
    if cell.kind == "dirichlet" and cell.stepper == "rk4":
        return 0.8  # large, to see what walls do at stages
    if cell.kind != "periodic" and cell.problem.starts_smoothly:
        return 0.4  # errors of the walls must not meet those of the stepper half way
    if cell.kind == "dirichlet" and cell.stepper == "euler" and is_wide(cell):
        return 0.3  # the same; the two have opposite signs
    return 0.8


def solution_of(cell: Cell, problem: Problem) -> Forced:
    least = 2 if problem.exponent == HYPERBOLIC else 1
    is_timed = least < claimed(cell) < ACCURACY.get(cell.space, 2) and cell.kind == "periodic"
    return solved(problem, cell.kind, is_timed)


def norm(error: np.ndarray, domain: Domain, kind: str) -> float:
    """Return the L2 norm over the box, by the trapezoidal rule.

    A plain mean over the nodes would itself change like 1/N, and with it the observed order.
    """
    squares = error**2
    for axis, h in enumerate(domain.spacing):
        weights = np.full(domain.points[axis], h)
        if kind not in ("periodic", "zero_padding"):  # with zero padding the walls are outside
            weights[[0, -1]] = h / 2
        squares = np.tensordot(squares, weights, axes=(-1, 0))  # the last axis left is x, then y
    return float(np.sqrt(squares.sum()))


def grids(cell: Cell) -> tuple[int, ...]:
    """Return the cells an axis of the four grids."""
    p = claimed(cell)
    if p == 1 and cell.problem.exponent == HYPERBOLIC:
        return _ROUGH
    if p == 3 or (cell.problem.size and is_wide(cell) and cell.kind == "dirichlet"):
        return _FINEST
    if p == 1 and cell.kind != "periodic" and cell.problem.name == "burgers_2d":
        return _FAIR
    # The error that a wall causes at single nodes has a layer a few nodes wide, and where dt limits
    # the order the smaller error in space is close behind: both leave terms of relative size h.
    if p == 1 or (is_wide(cell) and cell.kind != "periodic"):
        return _FINE
    if cell.kind != "periodic" and cell.problem.starts_smoothly:
        return _FINE
    if cell.kind == "dirichlet" and cell.problem.name == "maxwell_tm":
        return _FINE  # four walls that reflect
    if cell.kind == "periodic" and p < ACCURACY.get(cell.space, 2):
        return _FINE
    return _SMOOTH


def cost(cell: Cell) -> float:
    """Return about how long a cell takes, in evaluations of a right side of one field.

    The grids are so small that an evaluation costs the same on all of them; what is compiled and
    put in at the four grids takes as long as some 500.
    """
    method = STEPPERS[cell.stepper]
    stages = method.stages if isinstance(method, RungeKutta) else 1
    problem = cell.problem
    steps = problem.until * sum(n**problem.exponent for n in grids(cell))
    return 500 + 5 * stages * len(problem.state) * steps


def box(problem: Problem, kind: str, count: int) -> pn.Grid:
    """Return the grid with `count` cells an axis; with zero padding the walls are ghost nodes."""
    axes = {}
    for axis, low in problem.low.items():
        if kind == "periodic":
            axes[axis] = (low, low + 1, count)
        elif kind == "zero_padding":
            axes[axis] = (low + 1 / count, low + 1 - 1 / count, count - 1)
        else:
            axes[axis] = (low, low + 1, count + 1)
    return pn.Grid(**axes)


def integrator(
    cell: Cell, problem: Problem, grid: pn.Grid, dt: float
) -> tuple[Integrator, np.ndarray]:
    """Return the integrator of a cell with a time step, and the initial state."""
    solution = solution_of(cell, problem)
    boundary = walls(problem, cell.kind, solution.exact, grid)
    values = bound_values(solution.pde.system, grid, boundary, solution.values)
    scheme = discretise(values.system, grid, boundary, cell.space, STEPPERS[cell.stepper])
    check_prefactors(scheme, values)
    # The bound is asked for once a cell, on the coarsest grid; asking at every step of every
    # nonlinear run would take longer than the runs.
    program = Program(scheme, values, NumpyArrays(np.dtype(np.float64)))
    made = Integrator(program, dt, "ignore")
    expressions = [e for name in scheme.system.field_names for e in solution.exact[name]]
    return made, on_grid(expressions, grid, boundary, 0.0)
