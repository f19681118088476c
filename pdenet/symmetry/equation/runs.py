"""Runs: what the numerical proofs of symmetries share — fixed steps, a sample state, the result.

A symmetry is proved on a grid by letting it act before and after a run and comparing. All runs of a
proof take equal steps of one length, so that nothing differs but the state.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any  # states are NumPy's or torch's arrays

import numpy as np
import sympy as sp

from pdenet.discrete.boundary import Boundary, Dirichlet, Neumann, Periodic, Robin
from pdenet.discrete.grid import Grid
from pdenet.discrete.program import Program
from pdenet.discrete.scheme import Scheme, discretise
from pdenet.equation.functions import evaluate, symbol_names
from pdenet.equation.values import Values, as_numpy
from pdenet.errors import SymmetryError
from pdenet.simulate.integrator import Integrator

if TYPE_CHECKING:
    from pdenet.simulate.solver import Solver

NUM_STEPS = 8
"""How many steps a proof runs where no time is given: enough to reach across the stencils."""


@dataclass(frozen=True)
class Check:
    """How far a symmetry is from holding on a grid.

    Attributes:
        difference: the largest difference of the two results, in the unit of the state.
        scale: the largest value they have.
    """

    difference: float
    scale: float

    @property
    def relative(self) -> float:
        """The difference in terms of the scale; NaN where both are 0, which proves nothing."""
        if self.is_empty:
            return math.nan
        return self.difference / self.scale if self.scale else math.inf

    @property
    def is_empty(self) -> bool:
        """Whether zeros were compared with zeros."""
        return self.difference == 0 and self.scale == 0

    def __str__(self) -> str:
        if self.is_empty:
            return "nothing compared: both results are 0"
        return f"{self.relative:.1e} (difference {self.difference:.1e}, scale {self.scale:.1e})"


class Symmetry(ABC):
    """A transformation that takes solutions to solutions, with its proof on a grid."""

    @property
    def name(self) -> str:
        """What it is called: the transformation, written out, where it has no usual name."""
        return str(self)

    def check(
        self, solver: Solver, state: object | None = None, until: float | None = None
    ) -> Check:
        """Return how far it is from holding on a grid: rounding, or O(h²) for a generator.

        Args:
            solver: a solver of the equation.
            state: an initial state, or None for a smooth sample.
            until: how long to run, or None for eight steps. Of a generator halve h at a fixed time
                to see the difference fall by 4.

        Raises:
            SymmetryError: grid or boundary break it, as walls break a translation, or the solver
                is one of another equation.
        """
        u = sample_state(solver) if state is None else solver.initial_state(state)
        return self._check(solver, u, fixed_run(solver, u, until))

    @abstractmethod
    def _check(self, solver: Solver, u: np.ndarray, run: Run) -> Check:
        """Return how far it is from holding on a grid."""


def compare(left: np.ndarray, right: np.ndarray) -> Check:
    """Return the largest difference of two arrays and their largest value."""
    return Check(
        float(np.abs(left - right).max()), float(max(np.abs(left).max(), np.abs(right).max()))
    )


@dataclass(frozen=True, eq=False)
class Run:
    """A solver with its time step fixed.

    Attributes:
        integrator: what takes the steps; it refuses none.
        boundary: the conditions that it was made with.
        start: the time at which runs begin.
        until: the time at which they end.
    """

    integrator: Integrator
    boundary: Boundary
    start: float
    until: float

    @property
    def scheme(self) -> Scheme:
        """The discretisation."""
        return self.integrator.scheme

    @property
    def values(self) -> Values:
        """The values of the parameters."""
        return self.integrator.values

    @property
    def dt(self) -> float:
        """The time step."""
        assert self.integrator.dt is not None
        return self.integrator.dt

    def advance(self, state: np.ndarray) -> np.ndarray:
        """Return the state at the end, shape `(component, *space)`."""
        start = self.integrator.arrays.asarray(np.ascontiguousarray(state))
        return np.array(as_numpy(self.integrator.advance(start, self.until, self.start)))

    def rates(self, state: np.ndarray, t: float) -> np.ndarray:
        """Return the discrete right side ∂u/∂t, shape `(component, *space)`."""
        given = self.integrator.arrays.asarray(np.ascontiguousarray(state))
        rates = self.integrator.program.rates(given, t, self.dt)
        return np.concatenate([as_numpy(rates[f]) for f in self.scheme.system.field_names])

    def shifted(self, time: float) -> Run:
        """Return the same run, begun later."""
        return replace(self, start=self.start + time, until=self.until + time)

    def changed(
        self,
        *,
        grid: Grid | None = None,
        numbers: Mapping[str, Any] | None = None,
        tensors: Mapping[str, Any] | None = None,
        time: float = 1.0,
    ) -> Run:
        """Return the run with another grid, other values or time stretched by a factor."""
        values = replace(
            self.values,
            numbers={**self.values.numbers, **(numbers or {})},
            tensors={**self.values.tensors, **(tensors or {})},
        )
        scheme = discretise(
            values.system,
            grid or self.scheme.domain.grid,
            self.boundary,
            self.scheme.space,
            self.scheme.stepper,
        )
        program = Program(scheme, values, self.integrator.arrays)
        made = Integrator(program, time * self.dt, "ignore")
        return Run(made, self.boundary, time * self.start, time * self.until)


def fixed_run(
    solver: Solver, state: np.ndarray, until: float | None = None, start: float = 0.0
) -> Run:
    """Return a run of a solver in equal steps, `NUM_STEPS` of them where no time is given.

    Raises:
        SymmetryError: `until` is not after the start.
    """
    dt = solver.dt
    if dt is None:
        dt = 0.5 * solver.bound(state, start).dt  # half of it: the state may grow
    until = start + NUM_STEPS * dt if until is None else start + until
    if not until > start:
        raise SymmetryError(
            f"a proof runs for a positive time; got until = {until - start:g}; leave it out, or "
            f"give a few steps of {dt:.3g}"
        )
    made = Integrator(solver.integrator.program, dt, "ignore")
    return Run(made, solver.boundary, start, until)


def sample_state(solver: Solver) -> np.ndarray:
    """Return a smooth state without any symmetry of its own, shape `(component, *space)`.

    Each component is a sum of two bumps exp(−|x − a|²/2s²) of size 0.1 in the inner part of the
    box, s a twelfth of its length: at the walls less than 1e-6 is left, so that a walled or
    periodic box does not matter to what goes on inside.
    """
    rng = np.random.default_rng(2)
    grid = solver.grid
    mesh = grid.mesh(solver.boundary)
    state = np.zeros((len(solver.components), *grid.shape))
    for component in state:
        for _ in range(2):
            exponent: Any = 0.0
            for x, low, high in zip(mesh, grid.low, grid.high, strict=True):
                middle = low + (high - low) * rng.uniform(0.44, 0.56)
                exponent = exponent + ((x - middle) / ((high - low) / 12)) ** 2 / 2
            component += 0.1 * rng.choice([-1, 1]) * rng.uniform(0.4, 1) * np.exp(-exponent)
    return solver.initial_state(state.astype(solver.integrator.dtype))


def numbers(matrix: sp.Matrix, run: Run) -> np.ndarray:
    """Return a matrix with the solver's values of the parameters put in, float64."""
    known = {n: float(v) for n, v in run.values.numbers.items() if np.ndim(as_numpy(v)) == 0}
    rows = [[float(evaluate(sp.S.Zero + e, known)) for e in row] for row in matrix.tolist()]
    return np.array(rows, dtype=np.float64)


def depends_on(run: Run, axis: str) -> bool:
    """Tell whether coefficients or boundary values vary along an axis."""
    system = run.values.system
    names = {p.name for p in system.parameters if axis in p.arguments} | {axis}
    for _, term in system.terms():
        if any(symbol_names(product.prefactor) & names for product in term.products):
            return True
    for name, tensor in run.values.tensors.items():
        array = np.asarray(as_numpy(tensor))
        if array.ndim > len(system.parameter(name).shape) or (
            array.dtype == object and any(axis in symbol_names(sp.S(0) + e) for e in array.flat)
        ):
            return True
    return any(
        isinstance(value, np.ndarray)
        or (isinstance(value, sp.Expr) and axis in symbol_names(value))
        for value in map(_value, conditions(run.boundary, system.field_names))
    )


def conditions(boundary: Boundary, names: Sequence[str]) -> list[Any]:
    """Return the conditions of the named fields on all sides."""
    made = []
    for axis, given in boundary.sides.items():
        for name in names:
            if not isinstance(given, Mapping) or name in given:
                made += list(boundary.condition(axis, name))
    return made


def _value(condition: Any) -> Any:
    return getattr(condition, "value", 0.0)


def is_homogeneous(condition: Any) -> bool:
    """Tell whether a condition holds for every multiple of a state for which it holds."""
    if not isinstance(condition, Dirichlet | Neumann | Robin):
        return True
    value = condition.value
    return not isinstance(value, np.ndarray) and not hasattr(value, "detach") and value == 0


def check_homogeneous(run: Run, what: str) -> None:
    """Check that all boundary values vanish.

    Raises:
        SymmetryError: one does not, so that the boundary breaks the symmetry.
    """
    for condition in conditions(run.boundary, run.values.system.field_names):
        if not is_homogeneous(condition):
            raise SymmetryError(
                f"{what} keeps walls whose values are 0; got {condition}; check it on a "
                "periodic grid, or with values 0"
            )


def check_periodic(run: Run, axis: str, what: str) -> None:
    """Check that an axis is periodic.

    Raises:
        SymmetryError: it is not, so that the boundary breaks the symmetry.
    """
    boundary = run.boundary
    if not boundary.is_periodic(axis):
        (condition, *_) = conditions(boundary, run.values.system.field_names)
        raise SymmetryError(
            f"{what} moves walls along {axis}; got {condition}; check it with {axis}={Periodic()}"
        )
