"""The rows of the order table: every catalogue equation with a solution and well-posed walls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any  # values of parameters are numbers or arrays

import numpy as np
import sympy as sp

import pdenet as pn
from pdenet.equation.symbols import canonical_symbol
from pdenet.equation.system import System
from tests.laws import manufactured
from tests.laws.manufactured import Exact, Forced, T

PARABOLIC, HYPERBOLIC, DISPERSIVE = 2, 1, 3
"""The exponent e of dt ∝ hᵉ."""

BOTH, LOW, HIGH, NONE = (True, True), (True, False), (False, True), (False, False)


@dataclass(frozen=True)
class Problem:
    """One row.

    Attributes:
        name: the catalogue's name.
        options: options of `catalogue.build`.
        exponent: e of dt ∝ hᵉ.
        state: for each field the mean and the amplitude of its solution.
        posed: for each field and axis, at which ends (low, high) it takes the row's condition;
            elsewhere it is `Free`. A field or axis that is not named takes it at both ends.
        values: values that differ from the catalogue's.
        low: the low end of each axis; boxes have sides of length 1.
        until: the final time.
        starts_smoothly: the solution leaves a uniform state like t². The error that a wall switches
            on at t = 0 runs on as a front of height h²; where the state holds the front's time
            derivative, that is h^(3/2) in L2 and would hide the order.
        size: components of a vector field, 0 without one.
        plane: options that build the equation in two dimensions for the nine-point Laplacian,
            None where that is what `options` do.
    """

    name: str
    exponent: int
    state: Mapping[str, tuple[float, float]]
    options: Mapping[str, Any] = field(default_factory=dict)
    posed: Mapping[str, Mapping[str, tuple[bool, bool]]] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    low: Mapping[str, float] = field(default_factory=lambda: {"x": 0.0})
    until: float = 0.25
    starts_smoothly: bool = False
    size: int = 0

    @property
    def row(self) -> str:
        """The row's name in the table."""
        form = self.options.get("form")
        return f"{self.name} ({form} form)" if form else self.name

    @property
    def system(self) -> System:
        """The system, without sources."""
        return equation(self).system

    def in_plane(self) -> Problem:
        """Return the row in two dimensions."""
        if len(self.low) == 2:
            return self
        options = {**self.options, "dimension": 2}
        # The catalogue names a velocity c in one dimension, cx and cy in two.
        values = {k: v for k, v in self.values.items() if k != "c"}
        if "c" in self.values:
            values |= {"cx": self.values["c"], "cy": self.values["c"] / 2}
        return Problem(
            self.name, self.exponent, self.state, options, self.posed, values,
            {"x": 0.0, "y": 0.0}, self.until / 2, self.starts_smoothly, self.size,
        )  # fmt: skip

    def __hash__(self) -> int:
        return hash((self.row, len(self.low)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Problem) and hash(self) == hash(other)


@cache
def equation(problem: Problem) -> pn.PDE:
    """Return the row's equation, without sources."""
    return pn.catalogue.build(problem.name, **problem.options)


@cache
def solved(problem: Problem, kind: str, is_fast: bool = False) -> Forced:
    """Return the row's equation with the sources that make its solution one.

    Args:
        problem: the row.
        kind: the kind of boundary.
        is_fast: the solution moves fast, so that errors of the stepper stand out.
    """
    return manufactured.forced(equation(problem), _exact(problem, kind, is_fast), problem.values)


def _exact(problem: Problem, kind: str, is_fast: bool) -> Exact:
    start, frequency = sp.S.One, sp.Integer(4 if is_fast else 1)
    if problem.exponent == HYPERBOLIC and kind == "periodic":
        # No wave of the equations keeps step with it.
        frequency = sp.Integer(20 if is_fast else 5)
    if problem.starts_smoothly:
        start = T**2
    made = {}
    for seed, (name, (mean, amplitude)) in enumerate(problem.state.items()):
        parts = [
            manufactured.smooth(kind, problem.low, seed + k, mean, amplitude, start, frequency)
            for k in range(problem.size or 1)
        ]
        if problem.size and kind not in ("periodic", "zero_padding"):
            # A condition is one for all components of a vector field, so that they have value and
            # slope in common at the inflow side, x = 1.
            bump = (canonical_symbol("x") - 1) ** 2 * sp.cos(T + 1)
            parts[1:] = [parts[0] + amplitude * bump]
        made[name] = tuple(parts)
    return made


def walls(problem: Problem, kind: str, exact: Exact, grid: pn.Grid) -> pn.Boundary:
    """Return the boundary of a kind that the row's solution meets."""
    sides: dict[str, Any] = {}
    for axis, low, high in zip(grid.axes, grid.low, grid.high, strict=True):
        if kind in ("periodic", "zero_padding"):
            sides[axis] = manufactured.condition(kind, sp.S.Zero, axis, 0, 1)
            continue
        fields = {}
        for name in problem.state:
            at = problem.posed.get(name, {}).get(axis, BOTH)
            fields[name] = tuple(
                manufactured.condition(
                    kind if is_posed else "free", exact[name][0], axis, end, outward
                )
                for is_posed, end, outward in zip(at, (low, high), (-1, 1), strict=True)
            )
        sides[axis] = fields
    return pn.Boundary(**sides)


_LINE = {"dimension": 1}
_PAIR = {"dimension": 1, "n": 2}
# Everything travels towards low x: data on the high side, one-sided differences on the low one.
_FROM_HIGH = {"u": {"x": HIGH}}
_NO_DATA = {"x": NONE, "y": NONE}
_A = np.array([[1.0, 0.2], [0.2, 0.8]])
_C = np.array([[0.6, 0.2], [0.1, 0.5]])
_CUBE = np.stack([_A, 0.3 * _C + 0.3 * _C.T], axis=-1)
_WIDE = np.array([[0.5, 0.1], [0.1, 0.5], [0.3, 0.1], [0.0, 0.4], [0.4, 0.0], [0.1, 0.3]])
_VECTOR: dict[str, Any] = {
    "exponent": HYPERBOLIC,
    "state": {"u": (1.0, 0.3)},
    "options": _PAIR,
    "posed": _FROM_HIGH,
    "until": 0.2,
    "size": 2,
}
_WATER = {"h": (0.2, 0.1), "u": (0.1, 0.1)}

PROBLEMS: tuple[Problem, ...] = (
    Problem("heat", PARABOLIC, {"u": (1.0, 0.5)}, _LINE, until=0.5),
    Problem("wave", HYPERBOLIC, {"u": (1.0, 0.5)}, _LINE, until=0.5, starts_smoothly=True),
    Problem(
        "wave_system",
        HYPERBOLIC,
        {"u": (1.0, 0.5), "v": (0.5, 0.5)},
        _LINE,
        until=0.5,
        starts_smoothly=True,
    ),
    Problem(
        "wave_first_order",
        HYPERBOLIC,
        {"p": (1.0, 0.5), "q": (0.5, 0.5)},
        _LINE,
        {"q": _NO_DATA},
    ),
    # On this box the wind comes from low x and from high y.
    Problem(
        "rotation",
        HYPERBOLIC,
        {"u": (1.0, 0.5)},
        posed={"u": {"x": LOW, "y": HIGH}},
        low={"x": 1.0, "y": 1.0},
        until=0.125,
    ),
    # The wind blows towards the origin, from high x and from high y.
    Problem(
        "dilation",
        HYPERBOLIC,
        {"u": (1.0, 0.5)},
        posed={"u": {"x": HIGH, "y": HIGH}},
        low={"x": 0.5, "y": 0.5},
    ),
    Problem("advection", HYPERBOLIC, {"u": (1.0, 0.5)}, _LINE, {"u": {"x": LOW}}),
    # A grid Péclet number c h/D below 1 on all grids: the parts of order h² and h³ keep apart.
    Problem(
        "advection_diffusion",
        PARABOLIC,
        {"u": (1.0, 0.5)},
        _LINE,
        values={"c": 0.25},
        until=0.5,
    ),
    Problem(
        "gray_scott",
        PARABOLIC,
        {"u": (1.0, 0.5), "v": (0.5, 0.25)},
        _LINE,
        # The box has side 1 here, not 2.5 with 256 points.
        values={"Du": 0.1, "Dv": 0.05},
        until=0.5,
    ),
    Problem("burgers_1d", PARABOLIC, {"u": (0.4, 0.2)}, values={"nu": 0.1}, until=0.5),
    Problem(
        "burgers_1d",
        PARABOLIC,
        {"u": (0.4, 0.2)},
        {"form": "divergence"},
        values={"nu": 0.1},
    ),
    Problem(
        "burgers_2d",
        PARABOLIC,
        {"u": (0.4, 0.2), "v": (0.3, 0.1)},
        values={"nu": 0.1},
        low={"x": 0.0, "y": 0.0},
        until=0.125,
    ),
    Problem("acoustics", HYPERBOLIC, {"p": (1.0, 0.5), "u": (0.5, 0.5)}, _LINE, {"u": _NO_DATA}),
    Problem("shallow_water", HYPERBOLIC, _WATER, _LINE, {"u": _NO_DATA}),
    Problem(
        "shallow_water",
        HYPERBOLIC,
        {"h": (0.2, 0.1), "m": (0.1, 0.1)},
        {"dimension": 1, "form": "divergence"},
        {"m": _NO_DATA},
    ),
    Problem(
        "maxwell_tm",
        HYPERBOLIC,
        {"Ez": (1.0, 0.5), "Hx": (0.5, 0.5), "Hy": (0.2, 0.5)},
        posed={"Hx": _NO_DATA, "Hy": _NO_DATA},
        low={"x": 0.0, "y": 0.0},
        until=0.125,
    ),
    Problem("kdv", DISPERSIVE, {"u": (1.0, 0.5)}, until=0.002),
    Problem("kdv", DISPERSIVE, {"u": (1.0, 0.5)}, {"form": "divergence"}, until=0.002),
    # u ± v and u ∓ v are the speeds, all towards low x and low y.
    Problem(
        "eq1",
        HYPERBOLIC,
        {"u": (1.0, 0.2), "v": (0.2, 0.1)},
        posed={"u": {"x": HIGH, "y": HIGH}, "v": {"x": HIGH, "y": HIGH}},
        low={"x": 0.0, "y": 0.0},
        until=0.125,
    ),
    Problem("eq2", values={"A": _CUBE}, **_VECTOR),
    Problem("eq3", values={"A": _A, "C": _C}, **_VECTOR),
    Problem("eq4", values={"Ax": _A, "C": _C}, **_VECTOR),
    Problem("eq5", values={"Cx": _C}, **_VECTOR),
    Problem("eq6", values={"Ax": _A, "C": _C}, **_VECTOR),
    Problem("eq7", values={"Ax": 0.4 * _WIDE.T, "C": _WIDE, "D": _WIDE[::-1]}, **_VECTOR),
    Problem("eq9", values={"A": _A}, **_VECTOR),
)
