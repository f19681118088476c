"""What the laws over random problems draw: walls, states, problems; and what they share."""

from __future__ import annotations

from typing import Any  # conditions, values and torch's tensors

import numpy as np
import sympy as sp
import torch
from hypothesis import strategies as st

from pdenet.discrete.boundary import (
    Boundary,
    Dirichlet,
    Free,
    Neumann,
    Periodic,
    Robin,
    ZeroPadding,
)
from pdenet.discrete.grid import Grid
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import (
    coordinates,
)
from tests.laws.direct import integrator
from tests.laws.scale import step_scale
from tests.strategies import (
    Problem,
    numbers,
    positive,
    states,
)

KINDS = (Periodic, Dirichlet, Neumann, Robin, ZeroPadding, Free)
RUNGE_KUTTA = ("euler", "heun", "ssprk3", "rk4")
SPLITTING = ("leapfrog", "symplectic_euler")
ALLOWED = 32  # eps S a step
EPS = {"float64": 2.0**-52, "float32": 2.0**-23}
t, x, y, z = coordinates("t x y z")
AXES = (x, y, z)


# Making ------------------------------------------------------------------------------------------


@st.composite
def values_on_a_side(draw: Any, grid: Grid, axis: int) -> Any:
    """A number, an array over the side, or an expression in its coordinates and t."""
    kind = draw(st.sampled_from(("number", "array", "expression")))
    if kind == "number":
        return draw(numbers())
    others = [a for a in range(grid.dimension) if a != axis]
    if kind == "array" and others:
        shape = tuple(grid.points[a] for a in reversed(others))
        count = int(np.prod(shape))
        return np.reshape(draw(st.lists(numbers(), min_size=count, max_size=count)), shape)
    made = sp.Rational(str(draw(numbers()))) + sp.Rational(str(draw(numbers()))) * sp.sin(2 * t)
    for a in others:
        made += sp.Rational(str(draw(numbers()))) * sp.cos(AXES[a])
    return made


@st.composite
def walls(draw: Any, grid: Grid, kind: type) -> Boundary:
    """Every side of one kind, each with its own value, in all the ways a value is given."""
    sides: dict[str, Any] = {}
    for axis, name in enumerate(grid.axes):
        if kind in (Periodic, Free, ZeroPadding):
            sides[name] = kind()
            continue
        pair = []
        for _ in range(2):
            value = draw(values_on_a_side(grid, axis))
            pair.append(
                Robin(draw(positive()), draw(positive()), value) if kind is Robin else kind(value)
            )
        sides[name] = tuple(pair)
    return Boundary(**sides)


@st.composite
def second_order_systems(draw: Any, dimension: int) -> Problem:
    """u_tt = Σ c_a² ∂²_a u − k u."""
    axes = AXES[:dimension]
    u = sp.Function("u")(t, *axes)
    speeds = [sp.Rational(str(draw(positive()))) for _ in axes]
    right = sum(c**2 * u.diff(a, 2) for c, a in zip(speeds, axes, strict=True))
    return Problem(PDE(sp.Eq(u.diff(t, 2), right - sp.Rational(str(draw(positive()))) * u)), 2)


def drawn_state(data: st.DataObject, problem: Problem, grid: Grid) -> np.ndarray:
    made = data.draw(states(grid.dimension, problem.num_components, problem.amplitude))
    return made.on(grid.shape)


def as_tensor(state: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(state.copy())


def check_one_step(
    problem: Problem, grid: Grid, boundary: Boundary, u: np.ndarray, **how: Any
) -> None:
    """NumPy = torch in both dtypes, after one step from t = 0.25."""
    made, pair = [], []
    for dtype in EPS:
        pair = [
            integrator(problem.pde, grid, boundary, problem.values, backend=b, dtype=dtype, **how)
            for b in ("numpy", "torch")
        ]
        state = u.astype(dtype)
        numpy_ = pair[0].step(state, 0.25)
        torch_ = pair[1].step(as_tensor(state), 0.25).numpy()
        assert numpy_.dtype == torch_.dtype == np.dtype(dtype)
        size = step_scale(pair[0], state, 0.25, how["dt"])
        np.testing.assert_array_less(np.abs(numpy_ - torch_), ALLOWED * EPS[dtype] * size + 1e-300)
        made.append(numpy_)
    # float32 is the same step, in fewer digits.
    single = ALLOWED * EPS["float32"] * step_scale(pair[0], u, 0.25, how["dt"]) + 1e-300
    np.testing.assert_array_less(np.abs(made[0] - made[1]), single)
