"""Short ways to schemes and their bounds, for the tests of stability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any  # values of parameters; conditions of any kind

import numpy as np
import pytest
import sympy as sp

from pdenet.discrete.boundary import Boundary, Condition, Periodic
from pdenet.discrete.grid import Grid
from pdenet.discrete.scheme import discretise
from pdenet.discrete.stability import Bound, Stability
from pdenet.discrete.steppers import stepper as stepper_named
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import coordinates, fields
from pdenet.equation.values import bind

t, x, y, z = coordinates("t x y z")
SPACE = (x, y, z)

SPACINGS = [(0.1,), (0.1, 0.07), (0.1, 0.07, 0.15)]
dimensions = pytest.mark.parametrize("h", SPACINGS, ids=["1d", "2d", "3d"])


def scalar(dimension: int) -> tuple[sp.Expr, tuple[sp.Symbol, ...]]:
    """Return a field u and its space coordinates."""
    axes = SPACE[:dimension]
    return fields("u", (t, *axes)), axes


def laplacian(u: sp.Expr, axes: Sequence[sp.Symbol]) -> sp.Expr:
    return sp.Add(*(u.diff(a, 2) for a in axes))


def evolution(u: sp.Expr, right: sp.Expr, order: int = 1) -> PDE:
    return PDE(sp.Eq(u.diff(t, order), right))


def stability(
    pde: PDE,
    spacing: Sequence[float],
    *,
    space: str = "central2",
    stepper: str = "euler",
    points: int = 12,
    boundary: Boundary | None = None,
    condition: Condition | None = None,
    values: Mapping[Any, Any] | None = None,
) -> Stability:
    """Return the analysis on a grid that begins at 0 and has the given spacings."""
    names = pde.axes
    if boundary is None:
        boundary = Boundary(**{a: condition or Periodic() for a in names})
    intervals: dict[str, Any] = {
        a: (0.0, h * (points if boundary.is_periodic(a) else points - 1), points)
        for a, h in zip(names, spacing, strict=True)
    }
    bound = bind(pde.system, values)
    scheme = discretise(bound.system, Grid(**intervals), boundary, space, stepper_named(stepper))
    return Stability(scheme, bound)


def bound(pde: PDE, spacing: Sequence[float], **options: Any) -> Bound:
    return stability(pde, spacing, **options).bound()


def one_step(pde: PDE, stepped: Stability, dt: float) -> np.ndarray:
    """Return the matrix of one step of the simulator, by stepping unit vectors."""
    scheme = stepped.scheme
    conditions = scheme.conditions
    walls = Boundary(
        **{
            axis: {name: pairs[k] for name, pairs in conditions.items()}
            for k, axis in enumerate(scheme.domain.axes)
        }
    )
    solver = pde.to_solver(
        scheme.domain.grid,
        walls,
        space=scheme.space,
        stepper=scheme.stepper.name,
        dt=dt,
        stability="ignore",
    )
    shape = (len(solver.components), *scheme.domain.shape)
    size = int(np.prod(shape))
    columns = [np.asarray(solver.step(row.reshape(shape))).ravel() for row in np.eye(size)]
    return np.stack(columns, axis=1)


def spectral_radius(matrix: np.ndarray) -> float:
    return float(np.abs(np.linalg.eigvals(matrix)).max())
