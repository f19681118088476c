"""Setup: an equation on a grid, with the checks and choices that simulator and network share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any  # values= takes numbers, arrays, tensors, expressions

from pdenet.checks import check_choice, is_number
from pdenet.discrete import choosing
from pdenet.discrete.boundary import Boundary, boundary_parameters, resolve, values_at
from pdenet.discrete.environment import check_prefactors
from pdenet.discrete.grid import Grid
from pdenet.discrete.scheme import Scheme
from pdenet.discrete.stability import Stability
from pdenet.equation.system import System
from pdenet.equation.values import Values, bind
from pdenet.errors import BoundaryError, GridError, StabilityError, TimeError

MODES = ("refuse", "warn", "ignore")
"""What `stability=` may be."""


def check_kinds(grid: object, boundary: object, stability: object) -> None:
    """Check that a grid, a boundary and a mode of stability were given.

    Raises:
        GridError: the grid is none.
        BoundaryError: the boundary is none.
        StabilityError: the mode does not exist.
    """
    if not isinstance(grid, Grid):
        raise GridError(f"a pn.Grid was expected; got {grid!r}; write pn.Grid(x=(0, 1, 64))")
    if not isinstance(boundary, Boundary):
        raise BoundaryError(
            f"a pn.Boundary was expected; got {boundary!r}; write pn.Boundary(x=pn.Periodic())"
        )
    check_choice("stability", stability, MODES, StabilityError)


def check_dt(dt: object) -> float | None:
    """Return a time step as a float, None for "auto".

    Raises:
        TimeError: it is neither "auto" nor a positive finite number.
    """
    if isinstance(dt, str) and dt == "auto":
        return None
    if not is_number(dt) or dt <= 0:
        raise TimeError(
            f'dt is a positive finite number or "auto"; got {dt!r}; use dt="auto" for a stable one'
        )
    return float(dt)


def bound_values(
    system: System, grid: Grid, boundary: Boundary, values: Mapping[Any, Any] | None
) -> Values:
    """Match `values` with the parameters of a system, and bind the values of its boundary.

    Raises:
        ValuesError: see `pdenet.equation.values.bind`.
        BoundaryError: see `pdenet.discrete.boundary.resolve`.
    """
    conditions = resolve(boundary, system, grid.axes) if grid.axes == system.axes else {}
    made = bind(system, values, boundary_parameters(conditions, grid.axes))
    return replace(made, walls=values_at(conditions))


def settled_scheme(
    values: Values, grid: Grid, boundary: Boundary, space: str, stepper: str, mode: str
) -> tuple[Scheme, Stability | None]:
    """Discretise a system with its values, and check what can be checked before the first step.

    Returns:
        The scheme and its stability, None where the mode is "ignore" and nothing asked for it.

    Raises:
        PdenetError: a subclass says what is wrong with the equation on this grid.
    """
    scheme, stability = choosing.choose(values.system, values, grid, boundary, space, stepper, mode)
    if stability is None and mode == "ignore":
        check_prefactors(scheme, values)
    elif stability is None:
        stability = Stability(scheme, values)
    choosing.check_inflow(scheme, values, mode)
    return scheme, stability
