"""Network: an equation on a grid as a PyTorch module that takes time steps."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any  # values= takes numbers, arrays, tensors, expressions; t may be a tensor

import numpy as np
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from pdenet.backends.devices import torch_device
from pdenet.checks import check_choice, check_count, check_dtype
from pdenet.discrete.boundary import Boundary
from pdenet.discrete.grid import Grid
from pdenet.discrete.lowering import lower
from pdenet.discrete.scheme import Scheme, discretise
from pdenet.discrete.setup import bound_values, check_dt, check_kinds, settled_scheme
from pdenet.discrete.stability import Bound, Stability
from pdenet.discrete.steppers import Stepper
from pdenet.equation.pde import PDE
from pdenet.equation.values import Values, as_numpy
from pdenet.errors import NetworkError, StabilityError
from pdenet.network.block import Block
from pdenet.network.description import describe
from pdenet.network.kernels import CONSTRAINTS, STENCILS
from pdenet.network.options import (
    check_names,
    check_time,
    refuse_gradients,
    settled_dt,
    trainable_names,
    with_arrays,
)
from pdenet.network.products import Tensors
from pdenet.network.readback.reading import Reading, read_back

_STEPS = "give a number of steps"


class Network(nn.Module):
    """`steps` time steps of an equation's explicit finite-difference scheme, as a ConvNet.

    The forward pass computes what `pdenet.Solver` computes, to rounding: stencils are convolutions,
    coefficient matrices 1×1 convolutions, products element-wise products, the boundary condition
    the padding, and u + dt F(u) the skip connection. All steps share their weights.

    Args:
        pde: the equation. It is compiled and not kept; its scheme is.
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
            coefficient function c(x, y) is an array over the grid; where it stands in a divergence
            it is continued linearly beyond walls, as an array given to a solver is. Everything
            starts at the equation's own values. With True, functions that the equation
            differentiates keep their expressions, and so do coefficients whose entries are
            expressions in t or in symbols: these symbols train.
        stencils: what trainable stencils may become: "free" for any kernel, "moment" for those that
            still approximate their derivative (their moments up to its order are fixed), "frozen"
            for none.
        device: where the tensors live, such as "cuda".

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
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__()
        check_kinds(grid, boundary, stability)
        self.steps = check_count("steps", steps, 1, NetworkError, _STEPS)
        chosen: torch.dtype = getattr(torch, check_dtype(dtype, NetworkError))
        check_choice("stencils", stencils, CONSTRAINTS, NetworkError)
        given = check_dt(dt)
        mode = "ignore" if trainable else stability
        names = trainable_names(pde.system, trainable)
        values = with_arrays(pde.system, grid, boundary, values, names, trainable is True)
        bound = bound_values(pde.system, grid, boundary, values)
        scheme, stability_of = settled_scheme(bound, grid, boundary, space, stepper, mode)
        dt = settled_dt(scheme, bound, given, mode, stability_of)
        lowered = lower(scheme, bound, names)
        if trainable is True:
            names = {*lowered.symbols, *lowered.coefficients, STENCILS}
        refuse_gradients(bound)
        check_names(names, {*lowered.symbols, *lowered.coefficients, STENCILS})
        self.grid = grid
        self.boundary = boundary
        self.stepper = scheme.stepper
        self.space = scheme.space
        self.components = bound.components
        self.block = Block(lowered, scheme, bound, dt, chosen, frozenset(names), stencils)
        self._origin = (scheme, bound, lowered)
        self.to(torch_device(device, NetworkError))
        rates = frozenset(scheme.system.rates.values())
        self._fingerprint = _fingerprint(self.block, self.grid, self.stepper)
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
        self._check_input(u, t)
        every, cut = checkpoint_every, truncate_every
        counts = {"steps": steps, "checkpoint_every": every, "truncate_every": cut}
        for name, count in counts.items():
            if count is not None or name == "steps":
                check_count(name, count, 1, NetworkError, _STEPS)
        tensors = None if self.block.changes else self.block.tensors(t)
        motion = _Motion(self.block, tensors)

        def stretch(state: torch.Tensor, first: int, last: int) -> torch.Tensor:
            for k in range(first, last):
                state = self.stepper.step(motion, self._groups, state, t + k * self.dt, self.dt)
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
        self._check_input(u, t)
        rates = self.block(u, t)
        return torch.cat([rates[name] for name in self.block.structure.slices], dim=1)

    # -- what it holds -----------------------------------------------------------------------------

    @property
    def dt(self) -> float:
        """The time step, which is fixed."""
        return self.block.dt

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

    def describe(self) -> str:
        """Return in words what a forward pass computes, one operation a line."""
        return "\n".join(describe(self.block, self.boundary, self.stepper, self.steps))

    def to_equation(self) -> Reading:
        """Return the equation that the network is now, read from its tensors and structure alone.

        Kernels are read as the derivatives that they are sums of, so that a weight that has been
        trained, loaded or changed by hand is read back. Nothing of the equation that the network
        was built from is looked at.

        Returns:
            The equation with numbers for its symbols, the values of its coefficients, and what no
            stencil explains; see `Reading`.

        Raises:
            NetworkError: a weight is not finite.
        """
        return read_back(self)

    def bound(self, state: np.ndarray | None = None, t: float = 0.0) -> Bound:
        """Return the largest stable time step of the equation that the network is now.

        Training changes it: compare it with `dt`.

        Args:
            state: shape `(component, *space)`, where the bound depends on it.
            t: the time, where the coefficients depend on it.

        Raises:
            NetworkError: the weights are those of no scheme whose stability is known.
            StabilityError: the bound depends on the state and none was given.
        """
        known = self.discretisation()
        if known is None:
            reading = self.to_equation()
            if reading.space is None:
                raise NetworkError(
                    "the stability of central differences is known; got kernels that are none "
                    f"({'; '.join(str(reading).splitlines())[:200]}); judge it by a run"
                )
            values = bound_values(reading.pde.system, self.grid, self.boundary, reading.values)
            scheme = discretise(
                values.system, self.grid, self.boundary, reading.space, self.stepper
            )
        else:
            scheme, values = known
        stability = Stability(scheme, values)
        if stability.depends_on_state and state is None:
            raise StabilityError(
                "the bound of this equation depends on the state; got none; give bound(state)"
            )
        return stability.bound(state if stability.depends_on_state else None, t)

    def discretisation(self) -> tuple[Scheme, Values] | None:
        """Return the scheme that the network carries out, and the values that it has now.

        None where its kernels or its numbers are no longer those that it was built with. It is
        read off its tensors, not off what was done to them: see `to_equation`.
        """
        scheme, values, lowered = self._origin
        block = self.block
        built = [*lowered.kernels, lowered.numbers, *lowered.maps.values()]
        kernels, maps = ([one for _, one in part.items()] for part in (block.kernels, block.maps))
        held = [as_numpy(one) for one in (*kernels, block.numbers, *maps)]
        for one, first in zip(held, built, strict=True):
            if not np.array_equal(one, np.asarray(first, dtype=one.dtype)):
                return None
        now = {n: as_numpy(one) for n, one in (*block.symbols.items(), *block.coefficients.items())}

        def updated(old: Mapping[str, Any]) -> dict[str, Any]:
            return {n: _like(now[n], one) if n in now else one for n, one in old.items()}

        return scheme, replace(
            values, numbers=updated(values.numbers), tensors=updated(values.tensors)
        )

    def get_extra_state(self) -> torch.Tensor:
        """Return what a state dict must agree on besides tensors, float64: dt, and a fingerprint.

        The fingerprint is that of the structure, the grid, the stepper and the walls.
        """
        return torch.tensor([self.dt, float(self._fingerprint)], dtype=torch.float64)

    def set_extra_state(self, state: Any) -> None:
        """Refuse the tensors of a network of another equation, grid, stepper, wall or time step.

        Raises:
            NetworkError: they come from one.
        """
        own = self.get_extra_state()
        found = torch.as_tensor(state, dtype=torch.float64).cpu()
        if found.shape != own.shape or found[1] != own[1]:
            raise NetworkError(
                "weights of a network of the same terms, grid, stepper and walls were expected; "
                "got those of another; build this one with the same equation, grid, boundary, "
                "stepper= and space="
            )
        # The same number, but for the rounding of another machine's stability analysis.
        if not torch.allclose(found[0], own[0], rtol=1e-9, atol=0.0):
            raise NetworkError(
                f"weights of a network with dt = {self.dt:.10g} were expected; got dt = "
                f"{float(found[0]):.10g}; build the network with dt={float(found[0]):.10g}"
            )

    def extra_repr(self) -> str:
        """Return what stands beside the modules when the network is printed."""
        return (
            f"{', '.join(self.components)}; {self.grid!r}; {self.boundary!r}; steps={self.steps}, "
            f"dt={self.dt:.4g}, stepper={self.stepper.name}, space={self.space}, {self.dtype}"
        )

    # -- checks ------------------------------------------------------------------------------------

    def _check_input(self, u: object, t: object) -> None:
        check_time(t)
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


def _like(new: np.ndarray, old: Any) -> Any:
    """Return a tensor's numbers in the form of those it was made from."""
    if not new.ndim:
        return float(new)
    return new.reshape(np.shape(old)) if new.size == np.size(old) else new


def _fingerprint(block: Block, grid: Grid, stepper: Stepper) -> int:
    """Return a number of 48 bits, exact in float64, that other structures do not have."""
    text = repr((block.structure, grid, stepper.name, block.padding.rules))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


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
            parts.append(part if change is None else torch.add(part, change, alpha=dt))
        # A new tensor in any case, since prescribed nodes are written into it: a single field is
        # always moved.
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
