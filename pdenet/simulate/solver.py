"""Solver: an equation on a grid, ready to run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any  # values and states are NumPy's or torch's, numbers, SymPy's

import numpy as np

from pdenet.backends.named import arrays_named, dtype_of
from pdenet.discrete.arrays import Array
from pdenet.discrete.boundary import Boundary
from pdenet.discrete.grid import Grid
from pdenet.discrete.program import Program
from pdenet.discrete.scheme import Scheme
from pdenet.discrete.setup import bound_values, check_dt, check_kinds, settled_scheme
from pdenet.discrete.stability import Bound
from pdenet.equation.pde import PDE
from pdenet.equation.values import Values, is_tensor
from pdenet.errors import BackendError
from pdenet.simulate import running
from pdenet.simulate.integrator import Integrator, check_memory
from pdenet.simulate.running import Origin

if TYPE_CHECKING:
    from pdenet.simulate.result import Result


class Solver:
    """An explicit finite-difference simulator of one equation.

    The state has the shape `(component, *space)`, `(component, y, x)` in two dimensions, with
    exactly the grid's points.

    Args:
        pde: the equation.
        grid: the grid, in the equation's unit of length.
        boundary: a condition for every side.
        values: a value for each parameter that has no default; see `pde.parameters`.
        stepper: "euler", "symplectic_euler", "leapfrog", "heun", "ssprk3", "rk4", or "auto".
        space: "central2", "central4", "central6", "nine_point", "upwind", "lax_friedrichs", or
            "auto".
        dt: the time step, or "auto" for 0.9 of the stable one, and at most a tenth of the time in
            which the equation itself grows e-fold. A run shortens it so that equal steps end on
            every output.
        stability: what happens to an unstable combination: "refuse", "warn" or "ignore".
        backend: "numpy", or "torch", which is differentiable and takes batches.
        dtype: "float64" or "float32".
        device: where torch computes, such as "cpu" or "cuda".

    Raises:
        PdenetError: a subclass says what is wrong with the equation on this grid; in particular
            `StabilityError` for a time step above the bound, before the first step.

    Example:
        >>> import sympy as sp
        >>> import pdenet as pn
        >>> grid = pn.Grid(x=(0, 1, 33))
        >>> solver = pn.catalogue.build("heat", dimension=1).to_solver(
        ...     grid, pn.Boundary(x=pn.Dirichlet(0)), values={"D": 1}
        ... )
        >>> result = solver.run(sp.sin(sp.pi * sp.Symbol("x")), until=0.1)
        >>> round(float(result.final.max() / np.exp(-np.pi**2 * 0.1)), 2)
        1.0
    """

    def __init__(
        self,
        pde: PDE,
        grid: Grid,
        boundary: Boundary,
        *,
        values: Mapping[Any, Any] | None = None,
        stepper: str = "auto",
        space: str = "auto",
        dt: float | str = "auto",
        stability: str = "refuse",
        backend: str = "numpy",
        dtype: str = "float64",
        device: str = "cpu",
    ) -> None:
        check_kinds(grid, boundary, stability)
        self.pde = pde
        self.grid = grid
        self.boundary = boundary
        self.backend = backend
        arrays = arrays_named(backend, dtype, device)
        bound = bound_values(pde.system, grid, boundary, values)
        # Before anything of the grid's size is made: the state, its copy and two stages.
        check_memory(bound, grid, dtype_of(arrays), 4, "a run")
        if backend == "numpy":
            _refuse_gradients(bound)
        scheme, analysis = settled_scheme(bound, grid, boundary, space, stepper, stability)
        program = Program(scheme, bound, arrays)
        self.integrator = Integrator(program, check_dt(dt), stability, analysis)

    @property
    def scheme(self) -> Scheme:
        """The discretisation that is stepped."""
        return self.integrator.scheme

    @property
    def values(self) -> Values:
        """The values of all parameters."""
        return self.integrator.values

    @property
    def components(self) -> tuple[str, ...]:
        """The names of the state's components: "u", "u_t", or "u[0]", "u[1]" and so on."""
        return self.integrator.components

    @property
    def dt(self) -> float | None:
        """The time step; None where it is found anew at each step."""
        return self.integrator.dt

    def bound(self, state: Array | None = None, t: float = 0.0) -> Bound:
        """Return the largest stable time step, by what method it was found and what limits it.

        Args:
            state: the state, where the bound depends on it; a batch gives its smallest bound.
            t: the time, where the coefficients depend on it.

        Raises:
            StabilityError: the bound depends on the state and none was given.
        """
        return self.integrator.bound(state, t)

    def initial_state(self, initial: Any, start: float = 0.0) -> np.ndarray:
        """Return the state `(component, *space)` that `initial` describes, Dirichlet nodes set.

        Raises:
            InitialStateError: see `run`.
        """
        return self.integrator.initial_state(initial, start)

    def step(self, state: Array, t: float = 0.0) -> Array:
        """Return the state one time step later.

        Args:
            state: shape `(component, *space)`, on the torch back end also
                `(batch, component, *space)`; gradients flow through.
            t: the time of the state.

        Returns:
            The state at t + dt, of the same shape. `solver.dt` is the step; where the bound depends
            on the state and dt is "auto", it is found from this state.

        Raises:
            InitialStateError: the state has another shape or dtype.
            StabilityError: the given dt is above the bound at this state.
        """
        return self.integrator.step(state, t)

    def advance(self, state: Array, until: float, start: float = 0.0) -> Array:
        """Return the state at time `until`, as an array of the back end; gradients flow through.

        Args:
            state: as for `step`, batches included.
            until: the time to reach.
            start: the time of `state`.

        Returns:
            The state at `until`, the same shape.

        Raises:
            TimeError: `until` is before `start`.
            BlowUpError: the state ceases to be finite.
        """
        return self.integrator.advance(state, until, start)

    def run(
        self,
        initial: Any,
        until: float,
        every: float | None = None,
        *,
        start: float = 0.0,
        save: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        progress: bool | None = None,
    ) -> Result:
        """Simulate, and return the frames.

        Args:
            initial: an expression; a sequence of them in the order of the fields; a mapping from
                fields to expressions, numbers or arrays; an array `(component, *space)` or, for one
                field, an image; or a `Result`, whose last frame is continued.
            until: the time of the last frame.
            every: the time between frames; by default a fiftieth of the run, or the steps of a
                given dt where there are fewer.
            start: the time of `initial`.
            save: a path that ends in .zarr (frames are written as they finish) or .nc (at the end).
            overwrite: whether a result at `save` may be replaced.
            progress: show a bar; by default on a terminal only.

        Returns:
            The frames at start, start + every, …, until; the initial state is the first.

        Raises:
            TimeError: the times make no sense.
            InitialStateError: the initial state does not fit.
            StabilityError: a fixed dt passes a bound that depends on the state.
            BlowUpError: the state ceases to be finite; the frames before it are in `save`.
            ResultError: `save` cannot be written.
        """
        origin = Origin(str(self.pde), self.pde.name, repr(self.grid), repr(self.boundary))
        return running.run(
            self.integrator, origin, initial, until, every, start, save, overwrite, progress
        )

    def resume(
        self,
        path: str | os.PathLike[str],
        until: float | None = None,
        *,
        progress: bool | None = None,
    ) -> Result:
        """Continue a run that was saved to `path`, bit for bit as if it had not been interrupted.

        Args:
            path: what `run(save=path)` left, finished or killed.
            until: the time of the last frame; by default that of the interrupted run.
            progress: as for `run`.

        Returns:
            All frames, the old ones included.

        Raises:
            ResultError: there is no run at `path`, or one of another equation, grid or scheme.
            TimeError: `until` is before the last frame.
        """
        return running.resume(self.integrator, self.pde.name, path, until, progress)

    def __repr__(self) -> str:
        dt = "adaptive" if self.dt is None else f"{self.dt:.4g}"
        name = self.pde.name or "; ".join(str(self.pde).splitlines())
        return (
            f"Solver({name}, {self.grid!r}, {self.boundary!r}, stepper={self.scheme.stepper.name}, "
            f"space={self.scheme.space}, dt={dt}, {self.backend} {self.integrator.dtype})"
        )


def _refuse_gradients(values: Values) -> None:
    given = [(repr(name), v) for name, v in (*values.numbers.items(), *values.tensors.items())]
    given += [(f"a boundary value of {name!r}", v) for (name, _, _), v in values.walls.items()]
    for what, value in given:
        if is_tensor(value) and value.requires_grad:
            raise BackendError(
                f"the NumPy back end tracks no gradients; got a tensor with requires_grad for "
                f'{what}; use backend="torch", or detach it'
            )
