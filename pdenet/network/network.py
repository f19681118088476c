"""Network: an equation on a grid as a PyTorch module that takes time steps."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any  # values= takes numbers, arrays, tensors, expressions; t may be a tensor

import numpy as np
import sympy as sp
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from pdenet.discrete import stability as stable
from pdenet.discrete import stepping
from pdenet.discrete.boundary import Boundary
from pdenet.discrete.grid import Grid
from pdenet.discrete.scheme import Scheme
from pdenet.discrete.setup import bound_values, check_dt, check_kinds, settled_scheme
from pdenet.equation.functions import evaluate, symbol_names, to_canonical
from pdenet.equation.names import key_name
from pdenet.equation.pde import PDE
from pdenet.equation.system import System
from pdenet.equation.values import Values
from pdenet.errors import (
    IllPosedError,
    NetworkError,
    StabilityError,
    StabilityWarning,
    suggest,
)
from pdenet.network.block import STENCILS, Block
from pdenet.network.kernels import CONSTRAINTS
from pdenet.network.layers import Tensors
from pdenet.network.lowering import lower

DTYPES = {"float32": torch.float32, "float64": torch.float64}


class Network(nn.Module):
    """`steps` time steps of an equation's explicit finite-difference scheme, as a ConvNet.

    The forward pass computes what `pdenet.Solver` computes, to rounding: stencils are convolutions,
    coefficient matrices 1×1 convolutions, products element-wise products, the boundary condition
    the padding, and u + dt F(u) the skip connection. All steps share their weights.

    Args:
        pde: the equation. It is compiled and not kept.
        grid: the grid, in the equation's unit of length.
        boundary: a condition for every side.
        values: a value for each parameter that has no default; see `pde.parameters`.
        steps: how many time steps the forward pass takes.
        dt: the time step, or "auto" for what a solver takes. Where the stable step depends on the
            state it is that of a smooth state of size 1, where it depends on time that at t = 0:
            a network's step is fixed, and `stability` says what happens then.
        stepper: as for `pdenet.Solver`.
        space: as for `pdenet.Solver`.
        dtype: torch.float32 or torch.float64.
        stability: what happens to an unstable combination, or to an automatic step that is not
            known to be stable for every state: "refuse", "warn" or "ignore". Trainable networks do
            not ask.
        trainable: what is a parameter: False for nothing, True for every stencil, symbol and
            coefficient, or some names among them, "stencils" for all stencils. A trainable
            coefficient function c(x, y) is an array over the grid. Everything starts at the
            equation's own values.
        stencils: what trainable stencils may become: "free" for any kernel, "moment" for those that
            still approximate their derivative (their moments up to its order are fixed), "frozen"
            for none.

    Raises:
        PdenetError: a subclass says what is wrong with the equation on this grid.
        NetworkError: steps, dtype or trainable make no sense.

    Example:
        >>> import pdenet as pn
        >>> grid = pn.Grid(x=(-1, 1, 33), y=(-1, 1, 33))
        >>> walls = pn.Boundary(x=pn.Dirichlet(0), y=pn.Neumann(0))
        >>> net = pn.catalogue["heat"].to_network(grid, walls, values={"D": 0.1}, steps=5)
        >>> net(torch.zeros(2, 1, 33, 33)).shape
        torch.Size([2, 1, 33, 33])
        >>> print(net.to_equation().pde)
        u_t = 0.1 (u_xx + u_yy)
    """

    def __init__(
        self,
        pde: PDE,
        grid: Grid,
        boundary: Boundary,
        *,
        values: Mapping[Any, Any] | None = None,
        steps: int = 1,
        dt: float | str = "auto",
        stepper: str = "auto",
        space: str = "auto",
        dtype: torch.dtype | str = torch.float32,
        stability: str = "warn",
        trainable: bool | str | Collection[str] = False,
        stencils: str = "free",
    ) -> None:
        super().__init__()
        check_kinds(grid, boundary, stability)
        self.steps = _count("steps", steps)
        chosen = _dtype(dtype)
        if stencils not in CONSTRAINTS:
            raise NetworkError(
                f"stencils is one of {', '.join(CONSTRAINTS)}; got {stencils!r}."
                f"{suggest(str(stencils), CONSTRAINTS)}"
            )
        given = check_dt(dt)
        mode = "ignore" if trainable else stability
        names = _trainable_names(pde.system, trainable)
        values = _as_arrays(pde.system, grid, boundary, values, names, trainable is True)
        bound = bound_values(pde.system, grid, boundary, values)
        scheme = settled_scheme(bound, grid, boundary, space, stepper, mode)
        self.dt = _settled_dt(scheme, bound, given, mode)
        scheme = scheme.with_dt(self.dt)
        lowered = lower(scheme, bound, names)
        if trainable is True:
            names |= {*lowered.symbols, *lowered.coefficients, STENCILS}
        _check_names(names, {*lowered.symbols, *lowered.coefficients, STENCILS})
        self.grid = grid
        self.boundary = boundary
        self.stepper = scheme.stepper
        self.space = scheme.space
        self.components = bound.components
        self.block = Block(lowered, scheme, bound, self.dt, chosen, frozenset(names), stencils)
        rates = frozenset(f.name for f in scheme.system.fields if f.rate_of)
        self._groups = (frozenset(scheme.system.field_names) - rates, rates)

    # -- what it computes --------------------------------------------------------------------------

    def forward(self, u: torch.Tensor, t: Any = 0.0) -> torch.Tensor:
        """Return the state `steps` time steps later.

        Args:
            u: shape `(batch, component, *space)`, `(batch, component, y, x)` in two dimensions, in
                the network's dtype and on its device.
            t: the time of u, a number or a tensor without axes.

        Returns:
            The state at t + steps · dt, the same shape.

        Raises:
            NetworkError: the shape, the dtype or the device is another.
        """
        return self.advance(u, t, steps=self.steps)

    def advance(
        self,
        u: torch.Tensor,
        t: Any = 0.0,
        *,
        steps: int,
        checkpoint_every: int | None = None,
        truncate_every: int | None = None,
    ) -> torch.Tensor:
        """Return the state any number of time steps later.

        Args:
            u: as for `forward`.
            t: as for `forward`.
            steps: how many time steps.
            checkpoint_every: keep for the backward pass the states after every so many steps only,
                and compute those between again: memory for steps/k + k states, for one more forward
                pass. Gradients are the same.
            truncate_every: cut the graph after every so many steps: gradients see the last of
                these stretches only (truncated back-propagation through time).

        Returns:
            The state at t + steps · dt.

        Raises:
            NetworkError: u does not fit, or a count is not a positive integer.
        """
        self._check_input(u)
        _check_time(t)
        _count("steps", steps)
        every = None if checkpoint_every is None else _count("checkpoint_every", checkpoint_every)
        cut = None if truncate_every is None else _count("truncate_every", truncate_every)
        tensors = None if self.block.changes else self.block.tensors(t)
        motion = _Motion(self.block, tensors)

        def stretch(state: torch.Tensor, first: int, last: int) -> torch.Tensor:
            for k in range(first, last):
                state = stepping.step(
                    motion, self.stepper, self._groups, state, t + k * self.dt, self.dt
                )
            return state

        if every is None and cut is None:
            return stretch(u, 0, steps)
        done = 0
        while done < steps:
            if cut is not None and done and done % cut == 0:
                u = u.detach()
            stop = min(done - done % n + n for n in (every, cut) if n is not None)
            stop = min(stop, steps)
            if every is not None and torch.is_grad_enabled():
                made = checkpoint(stretch, u, done, stop, use_reentrant=False)
                assert isinstance(made, torch.Tensor)
                u = made
            else:
                u = stretch(u, done, stop)
            done = stop
        return u

    def right_side(self, u: torch.Tensor, t: Any = 0.0) -> torch.Tensor:
        """Return ∂u/∂t, the same shape as u; for arguments and errors see `forward`."""
        self._check_input(u)
        rates = self.block(u, t)
        return torch.cat([rates[name] for name in self.block.structure.slices], dim=1)

    # -- what it holds -----------------------------------------------------------------------------

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of its tensors."""
        return self.block.numbers.dtype

    @property
    def device(self) -> torch.device:
        """The device of its tensors."""
        return self.block.numbers.device

    def quantities(self) -> dict[str, nn.Parameter]:
        """Return the trainable parameters by their names in the equation.

        Symbols and coefficients have their own names, kernels "stencils.xx" and so on; a kernel
        with fixed moments is a vector of what is free in it.
        """
        block = self.block
        named = [*block.symbols.items(), *block.coefficients.items()]
        made = {name: tensor for name, tensor in named if isinstance(tensor, nn.Parameter)}
        kernels = block.kernels.quantities()
        return made | {f"{STENCILS}.{name}": kernel for name, kernel in kernels.items()}

    def get_extra_state(self) -> torch.Tensor:
        """Return what a state dict must agree on besides tensors: dt and the spacings, float64."""
        return torch.tensor([self.dt, *self.block.structure.spacing], dtype=torch.float64)

    def set_extra_state(self, state: Any) -> None:
        """Refuse the tensors of a network of another time step or another grid.

        Raises:
            NetworkError: they come from one.
        """
        own = self.get_extra_state()
        found = torch.as_tensor(state, dtype=torch.float64)
        # The same numbers, but for the rounding of another machine's arithmetic.
        if found.shape != own.shape or not torch.allclose(found.cpu(), own, rtol=1e-12, atol=0.0):
            raise NetworkError(
                f"weights of a network with dt and spacings {own.tolist()} were expected; got "
                f"{found.tolist()}; build the network with the same grid and dt="
            )

    def extra_repr(self) -> str:
        """Return what stands beside the modules when the network is printed."""
        return (
            f"{', '.join(self.components)}; {self.grid!r}; {self.boundary!r}; steps={self.steps}, "
            f"dt={self.dt:.4g}, stepper={self.stepper.name}, space={self.space}, {self.dtype}"
        )

    # -- checks ------------------------------------------------------------------------------------

    def _check_input(self, u: object) -> None:
        shape = (len(self.components), *self.grid.shape)
        text = ", ".join(["batch", *map(str, shape)])
        if not isinstance(u, torch.Tensor):
            raise NetworkError(
                f"a tensor of shape ({text}) was expected; got {type(u).__name__}; "
                "use torch.as_tensor"
            )
        if u.ndim == len(shape) and tuple(u.shape) == shape:
            raise NetworkError(
                f"a batch of shape ({text}) was expected; got one state of shape {shape}; "
                "write u[None]"
            )
        if u.ndim != len(shape) + 1 or tuple(u.shape[1:]) != shape:
            raise NetworkError(
                f"a tensor of shape ({text}), the channels {', '.join(self.components)} and then "
                f"the grid with x last, was expected; got shape {tuple(u.shape)}; reshape it, or "
                "build the network on its grid"
            )
        if u.dtype != self.dtype:
            raise NetworkError(
                f"a tensor of dtype {self.dtype} was expected; got {u.dtype}; nothing is cast "
                f"silently: write u.to({self.dtype}), or build the network with dtype="
            )
        if u.device != self.device:
            raise NetworkError(
                f"a tensor on {self.device} was expected; got one on {u.device}; move one of them "
                "with .to(device)"
            )


class _Motion:
    """The block with its weights, as `stepping` wants it."""

    def __init__(self, block: Block, tensors: Tensors | None) -> None:
        self.block = block
        self.tensors = tensors

    def rates(
        self, state: torch.Tensor, t: Any, dt: float, only: frozenset[str] | None = None
    ) -> Mapping[str, torch.Tensor]:
        made = self.block(state, t, self.tensors, only)
        assert isinstance(made, dict)
        return made

    def moved(
        self,
        state: torch.Tensor,
        slopes: Sequence[Mapping[str, torch.Tensor]],
        weights: Sequence[Fraction | float],
        dt: float,
    ) -> torch.Tensor:
        parts = []
        for name, place in self.block.structure.slices.items():
            part = state[:, place]
            change: torch.Tensor | None = None
            for weight, slope in zip(weights, slopes, strict=True):
                if weight and name in slope:
                    one = slope[name] if weight == 1 else float(weight) * slope[name]
                    change = one if change is None else change + one
            parts.append(part if change is None else part + dt * change)
        # A copy in any case: prescribed nodes are written into it.
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]

    def impose(
        self,
        state: torch.Tensor,
        t: Any,
        only: frozenset[str] | None = None,
        start: Any = None,
        slopes: Sequence[tuple[Any, Any]] = (),
    ) -> torch.Tensor:
        padding = self.block.padding
        symbols = dict(self.block.symbols.items())
        for name, place in self.block.structure.slices.items():
            if only is None or name in only:
                padding.impose(name, state[:, place], t, symbols, start, slopes)
        return state


# What the constructor was given -------------------------------------------------------------------


def _count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise NetworkError(f"{name} is a positive integer; got {value!r}; give a number of steps")
    return int(value)


def _dtype(dtype: object) -> torch.dtype:
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise NetworkError(
            f"dtype is torch.float32 or torch.float64; got {dtype!r}; choose one of them"
        )
    return DTYPES[name]


def _check_time(t: object) -> None:
    if isinstance(t, torch.Tensor):
        if t.ndim or not t.is_floating_point():
            raise NetworkError(
                f"the time is a number or a real tensor without axes; got shape {tuple(t.shape)}, "
                f"{t.dtype}; give one time for the whole batch"
            )
    elif isinstance(t, bool) or not isinstance(t, numbers.Real):
        raise NetworkError(f"the time is a number; got {t!r}; write net(u, t=0.0)")


def _trainable_names(system: System, trainable: object) -> set[str]:
    """Return the names that were given; with True the coefficient functions, others come later."""
    if isinstance(trainable, bool):
        return {p.name for p in system.parameters if p.kind == "function"} if trainable else set()
    names = [trainable] if isinstance(trainable, str | sp.Basic) else trainable
    if not isinstance(names, Iterable):
        raise NetworkError(
            f"trainable is True, False or names of parameters; got {trainable!r}; "
            "write trainable=('D',)"
        )
    return {key_name(n) for n in names}


def _check_names(names: Collection[str], known: Collection[str]) -> None:
    for name in sorted(set(names) - set(known)):
        raise NetworkError(
            f"trainable names are among {', '.join(sorted(known))}; got {name!r}."
            f"{suggest(name, known)}"
        )


def _as_arrays(
    system: System,
    grid: Grid,
    boundary: Boundary,
    values: Mapping[Any, Any] | None,
    names: Collection[str],
    leave_others: bool,
) -> Mapping[Any, Any] | None:
    """Turn trainable coefficient functions that are given as expressions into arrays.

    Where the equation differentiates one, its expression has to stay: it is refused, or left as it
    is with `leave_others`.
    """
    if not isinstance(values, Mapping) or grid.axes != system.axes:
        return values
    kinds = {p.name: p for p in system.parameters if p.kind == "function" and p.name in names}
    if not kinds:
        return values
    mesh = dict(zip(grid.axes, grid.mesh(boundary), strict=True))
    made = dict(values)
    for key, value in values.items():
        name = key_name(key)
        if name not in kinds or not isinstance(value, sp.Expr) or value.is_number:
            continue
        if leave_others and _is_differentiated(system, name):
            continue
        axes = kinds[name].arguments
        try:
            expr = to_canonical(value, f"the start of the trainable coefficient {name!r}", axes)
        except ValueError as error:
            raise NetworkError(str(error)) from error
        shape = [n if a in axes else 1 for a, n in zip(grid.axes, grid.points, strict=True)]
        places = {n: mesh[n] for n in symbol_names(expr)}
        full = np.broadcast_to(evaluate(expr, places), shape[::-1])
        made[key] = np.array(full, dtype=np.float64).reshape([n for n in full.shape if n > 1])
    return made


def _is_differentiated(system: System, name: str) -> bool:
    return any(
        derivative.expr.func.__name__ == name
        for _, term in system.terms()
        for product in term.products
        for derivative in product.prefactor.atoms(sp.Derivative)
    )


def _settled_dt(scheme: Scheme, values: Values, dt: float | None, mode: str) -> float:
    """Return the time step: the one given, checked, or the automatic one.

    Raises:
        StabilityError: see `Network`.
    """
    if dt is not None and mode == "ignore":
        return dt
    stability = stable.Stability(scheme, values)
    changes = [
        what
        for what, depends in (
            ("the state", stability.depends_on_state),
            ("time", stability.depends_on_time),
        )
        if depends
    ]
    try:
        bound = stable.probe(stability)
    except IllPosedError as error:
        if dt is None or mode == "refuse":
            raise
        warnings.warn(str(error), StabilityWarning, stacklevel=3)
        return dt
    if dt is not None:
        if not changes:  # else no one bound holds for every state
            stable.check(bound, dt, mode, scheme, values)
        return dt
    made = stable.automatic_dt(bound)
    if not np.isfinite(made):
        raise StabilityError(
            "nothing in this equation bounds the time step, so that there is no automatic one; "
            'got dt="auto"; give dt='
        )
    if bound.dt == 0:
        stable.check(bound, np.inf, "refuse", scheme, values)
    if changes and mode != "ignore":
        text = (
            f"a network's time step is fixed, and the stable one of "
            f"{stable.equation_text(scheme.system)} depends on {' and '.join(changes)}; got "
            f'dt="auto", which is {made:.4g}, stable for a smooth state of size 1 at t = 0; '
            "give dt= for your states, such as 0.9 * solver.bound(state).dt"
        )
        if mode == "refuse":
            raise StabilityError(text)
        warnings.warn(text, StabilityWarning, stacklevel=3)
    return made
