"""Proofs on a grid of translations, scalings and internal symmetries; exact up to rounding.

Each compares S(g·u) with g·S(u), where S is a run of the solver.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg
import sympy as sp

from pdenet.discrete.boundary import Robin
from pdenet.discrete.grid import Grid
from pdenet.equation.functions import evaluate
from pdenet.equation.symbols import TIME
from pdenet.equation.values import as_numpy
from pdenet.errors import SymmetryError
from pdenet.symmetry.equation.runs import (
    Check,
    Run,
    check_homogeneous,
    check_periodic,
    compare,
    conditions,
    fixed_run,
    given_state,
)

if TYPE_CHECKING:
    from pdenet.simulate.solver import Solver

_LATER = 0.37
"""By how much a run is begun later, in units of its length or of 1; no period divides it."""

_NODES = 3
"""By how many nodes a state is moved: an odd number, more than a stencil's width."""

_ANGLE = 0.3
"""ε in exp(εX): far from 0 and, with X of integers, from where cosines are special."""


def check_translation(
    axis: str, solver: Solver, state: object | None, until: float | None
) -> Check:
    """Return how far a translation along an axis, or in time, is from holding.

    Raises:
        SymmetryError: the axis is not periodic.
    """
    u = given_state(solver, state)
    run = fixed_run(solver, u, until)
    if axis == TIME:
        return compare(run.advance(u), run.shifted(max(1.0, run.until) * _LATER).advance(u))
    if axis not in solver.grid.axes:
        raise SymmetryError(f"the axes are {', '.join(solver.grid.axes)}; got {axis!r}; use one")
    check_periodic(run, axis, "a translation")
    place = -1 - solver.grid.axes.index(axis)
    moved = np.roll(u, _NODES, axis=place)
    return compare(np.roll(run.advance(u), _NODES, axis=place), run.advance(moved))


def check_scaling(
    weights: Mapping[str, int], solver: Solver, state: object | None, until: float | None
) -> Check:
    """Return how far (t, x, u) ↦ (2^a t, 2^b x, 2^c u) is from holding.

    A second solver has the scaled grid, time step and parameters; powers of 2 scale floating-point
    numbers exactly.

    Raises:
        SymmetryError: a boundary value is not 0, or a Robin condition ties u to its slope.
    """
    u = given_state(solver, state)
    run = fixed_run(solver, u, until)
    check_homogeneous(run, "a scaling")
    axes = solver.grid.axes
    for condition in conditions(solver.boundary, run.values.system.field_names):
        if (
            isinstance(condition, Robin)
            and condition.a
            and condition.b
            and any(weights.get(a) for a in axes)
        ):
            raise SymmetryError(
                f"a scaling of space keeps walls without a length; got {condition}; check it on a "
                "periodic grid, or with Dirichlet(0) or Neumann(0)"
            )
    intervals = {
        a: (low * 2.0 ** weights.get(a, 0), high * 2.0 ** weights.get(a, 0), points)
        for a, low, high, points in zip(
            axes, solver.grid.low, solver.grid.high, solver.grid.points, strict=True
        )
    }
    numbers = {
        p.name: run.values.numbers[p.name] * 2.0 ** weights[p.name]
        for p in run.values.system.parameters
        if p.name in weights and p.name in run.values.numbers
    }
    other = run.changed(grid=Grid(**intervals), numbers=numbers, time=2.0 ** weights.get(TIME, 0))
    factors = np.array([2.0 ** weights.get(name, 0) for name in solver.components])
    factors = factors.reshape(-1, *(1 for _ in axes))
    return compare(factors * run.advance(u), other.advance(factors * u))


def check_internal(
    matrix: sp.Matrix, solver: Solver, state: object | None, until: float | None
) -> Check:
    """Return how far u ↦ exp(0.3 X) u is from holding.

    Raises:
        SymmetryError: X is not of the state's size, a boundary value is not 0, or fields that X
            mixes have different conditions.
    """
    u = given_state(solver, state)
    run = fixed_run(solver, u, until)
    generator = numbers(matrix, run)
    if len(generator) != len(u):
        raise SymmetryError(
            f"X has one row a component; got {generator.shape} for the components "
            f"{', '.join(solver.components)}; find the symmetries of this solver's equation"
        )
    check_homogeneous(run, "an internal symmetry")
    _check_mixed(generator, run)
    finite = scipy.linalg.expm(_ANGLE * generator)

    def act(array: np.ndarray) -> np.ndarray:
        return np.einsum("jk,k...->j...", finite, array)

    return compare(act(run.advance(u)), run.advance(act(u)))


def numbers(matrix: sp.Matrix, run: Run) -> np.ndarray:
    """Return a matrix with the solver's values of the parameters put in, float64."""
    known = {n: float(v) for n, v in run.values.numbers.items() if np.ndim(as_numpy(v)) == 0}
    rows = [[float(evaluate(sp.S.Zero + e, known)) for e in row] for row in matrix.tolist()]
    return np.array(rows, dtype=np.float64)


def _check_mixed(generator: np.ndarray, run: Run) -> None:
    names = run.values.system.field_names
    of = [name for name in names for _ in range(*_length(run.values.slices[name]))]
    for j, k in zip(*np.nonzero(generator), strict=True):
        mine, other = (conditions(run.boundary, [of[i]]) for i in (j, k))
        if list(map(repr, mine)) != list(map(repr, other)):
            raise SymmetryError(
                f"fields that a symmetry mixes have the same conditions; got {mine} for {of[j]!r} "
                f"and {other} for {of[k]!r}; check it on a periodic grid"
            )


def _length(place: slice) -> tuple[int, int]:
    return int(place.start), int(place.stop)
