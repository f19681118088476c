"""Integrators made without the stability analysis, and time steps that are stable by construction.

The analysis is tested elsewhere and costs more than a hundred steps on the tiny grids of a law.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any  # values of parameters

import numpy as np

from pdenet.backends.named import arrays_named
from pdenet.discrete.boundary import Boundary, Robin
from pdenet.discrete.grid import Grid
from pdenet.discrete.program import Program
from pdenet.discrete.scheme import discretise
from pdenet.discrete.setup import bound_values
from pdenet.discrete.steppers import stepper as stepper_named
from pdenet.equation.pde import PDE
from pdenet.simulate.integrator import Integrator
from tests.strategies import Problem


def integrator(
    pde: PDE,
    grid: Grid,
    boundary: Boundary,
    values: Mapping[Any, Any] | None = None,
    *,
    stepper: str = "euler",
    space: str = "central2",
    dt: float,
    backend: str = "numpy",
    dtype: str = "float64",
) -> Integrator:
    """What `pde.to_solver(…, stability="ignore")` steps with."""
    bound = bound_values(pde.system, grid, boundary, values)
    scheme = discretise(bound.system, grid, boundary, space, stepper_named(stepper))
    return Integrator(Program(scheme, bound, arrays_named(backend, dtype, "cpu")), dt, "ignore")


def stable_dt(problem: Problem, grid: Grid, boundary: Boundary, order: int) -> float:
    """A time step that every Runge–Kutta stepper takes stably, from the norms of the matrices.

    For order 1 the eigenvalues of Σ A_a ∂_a lie within Σ ‖A_a‖/h_a, for order 2 those of
    Σ K_a ∂²_a within Σ 2 (1 + √(1 + α²)) ‖K_a‖/h_a² with α = h a/b at Robin walls, 0 elsewhere. All
    of them take dt |λ| ≤ 1 where λ is real; where it is imaginary RK4 and SSP-RK3 do.
    """
    largest = 0.0
    for axis, matrix, h in zip(grid.axes, problem.matrices, grid.spacing(boundary), strict=True):
        alpha = max(
            (h * c.a / c.b for c in boundary.sides[axis] if isinstance(c, Robin)), default=0.0
        )
        size = float(np.linalg.norm(matrix, 2))
        largest += size / h if order == 1 else 2 * (1 + math.hypot(1, alpha)) * size / h**2
    return 1 / largest
