"""Objective: the loss and its gradient, as a function of one vector of well-scaled unknowns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from pdenet.errors import FitError
from pdenet.training.fitting.bounds import Range
from pdenet.training.fitting.lbfgs import Point
from pdenet.training.fitting.model import Model
from pdenet.training.fitting.rollout import Rollout
from pdenet.training.fitting.sizes import Sizes

Penalty = Callable[[Mapping[str, torch.Tensor]], torch.Tensor]

_STALE = 10.0
"""The factor by which scales that were found elsewhere may be off: L-BFGS bears that much."""


class Objective:
    """L(ζ) = (1/N) Σ ((prediction − observation)/w)² + penalty, over the N measured values.

    The unknowns ζ are dimensionless and start at 0: a parameter is θ = T(z₀ + c ζ) with the map T
    of its bounds, an unknown initial state u₀ + c ζ. The scales c are such that one unit changes
    predictions by about their spread, or a parameter by its own size, whichever is less. Loss and
    unknowns are float64 whatever the network's dtype.

    Args:
        model: the network; its parameters are set by every call.
        rollouts: the batches.
        quantities: all parameters of the network by name.
        ranges: the bounds of those that are fitted.
        weights: w of each component of the network, in its unit.
        sizes: of the observations of each component.
        penalty: of the parameters, by name; None for none.
        estimated: whether initial states are unknown too.
        checkpoint_every: as for the network.
        truncate_every: as for the network.
    """

    def __init__(
        self,
        model: Model,
        rollouts: Sequence[Rollout],
        quantities: Mapping[str, nn.Parameter],
        ranges: Mapping[str, Range],
        weights: np.ndarray,
        sizes: Sizes,
        penalty: Penalty | None,
        *,
        estimated: bool,
        checkpoint_every: int | None = None,
        truncate_every: int | None = None,
    ) -> None:
        self.model = model
        self.rollouts = tuple(rollouts)
        self.quantities = quantities
        self.ranges = ranges
        self.fitted = {name: quantities[name] for name in ranges}
        self.sizes = sizes
        self.penalty = penalty
        self.estimated = estimated
        self.checkpoint_every = checkpoint_every
        self.truncate_every = truncate_every
        self.eps = torch.finfo(model.dtype).eps
        self.num_values = sum(int(r.measured.sum()) for r in self.rollouts)
        self._misfits: list[np.ndarray] | None = None  # at the present values
        self.weigh(weights)
        self.starts = {n: _numpy(p) for n, p in self.fitted.items()}
        self._free = {n: ranges[n].to_free(one) for n, one in self.starts.items()}
        self._given = [r.initial.clone() for r in self.rollouts]
        self._scales = np.ones(self._size())
        self._scales = self._find_scales(self._free)

    def weigh(self, weights: np.ndarray) -> None:
        """Change w, one number for each component, in its unit."""
        self.weights = weights
        rounding = self.sizes.rounding(self.eps) / weights
        # Were each component's residual rounding, and no less: beyond it one of them is more.
        self._most_rounding = float(self.sizes.counts @ rounding**2) / self.num_values
        self.inverse_weights = [self._of_fields(r, 1.0 / weights) for r in self.rollouts]

    # -- unknowns ----------------------------------------------------------------------------------

    def start(self) -> np.ndarray:
        """Return ζ at the starting values: zeros, shape (unknown,)."""
        return np.zeros(self._size())

    def place(self, zeta: np.ndarray) -> None:
        """Give the network, and unknown initial states, the values of ζ, shape (unknown,)."""
        self._misfits = None
        scaled = self._scales * zeta
        done = 0
        with torch.no_grad():
            for name, parameter in self.fitted.items():
                free = self._free[name]
                z = free + scaled[done : done + free.size].reshape(free.shape)
                theta = self.ranges[name].to_bounded(z)
                parameter.copy_(torch.from_numpy(theta).reshape(parameter.shape))
                done += free.size
            if self.estimated:
                for rollout, given in zip(self.rollouts, self._given, strict=True):
                    part = scaled[done : done + given.numel()].reshape(given.shape)
                    rollout.initial = given + torch.from_numpy(part).to(given)
                    done += given.numel()

    def values(self, zeta: np.ndarray) -> dict[str, np.ndarray]:
        """Return the fitted parameters at ζ, float64, without touching the network."""
        done, made = 0, {}
        for name, free in self._free.items():
            z = free + (self._scales * zeta)[done : done + free.size].reshape(free.shape)
            made[name] = self.ranges[name].to_bounded(z)
            done += free.size
        return made

    def _size(self) -> int:
        initial = sum(g.numel() for g in self._given) if self.estimated else 0
        return sum(free.size for free in self._free.values()) + initial

    # -- loss --------------------------------------------------------------------------------------

    def __call__(self, zeta: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the loss and its gradient by ζ; infinity and zeros where it is not finite."""
        self.place(zeta)
        for parameter in self.fitted.values():
            parameter.grad = None
        nothing = math.inf, np.zeros(zeta.shape)
        if not all(bool(torch.isfinite(p).all()) for p in self.fitted.values()):
            return nothing
        total, has_graph = 0.0, self.truncate_every is not None
        slopes = []
        for rollout, inverse in zip(self.rollouts, self.inverse_weights, strict=True):
            initial = rollout.initial.requires_grad_(self.estimated)
            loss = self._squares(rollout, initial, inverse) / self.num_values
            if not torch.isfinite(loss):
                return nothing
            if loss.requires_grad:  # one batch's graph at a time
                loss.backward()
                has_graph = True
            total += float(loss.detach())
            if self.estimated:
                slope = initial.grad
                slopes.append(np.zeros(initial.numel()) if slope is None else _numpy(slope).ravel())
                rollout.initial = initial.detach()
        if not has_graph:
            raise FitError(
                "predictions that torch can differentiate by the fitted parameters, "
                f"{', '.join(self.fitted)}, were expected; got some without a graph; leave out "
                "torch.no_grad() and detach() in the network's advance, or name other parameters="
            )
        if self.penalty is not None:
            extra = evaluate_penalty(self.penalty, self.quantities)
            if not torch.isfinite(extra):
                return nothing
            if not extra.requires_grad:
                raise FitError(
                    "a penalty that torch can differentiate by the fitted parameters, "
                    f"{', '.join(self.fitted)}, was expected; got {float(extra):.4g} without a "
                    "graph; compute it from their tensors with torch, or leave it out"
                )
            extra.backward()
            total += float(extra.detach())
        gradient = np.concatenate([*self._slopes_of_parameters(zeta), *slopes]) * self._scales
        return (total, gradient) if np.isfinite(gradient).all() else nothing

    def _squares(
        self, rollout: Rollout, initial: torch.Tensor, inverse: torch.Tensor
    ) -> torch.Tensor:
        """Return Σ (residual/w)² in float64, infinite as soon as a frame is not finite."""
        total = initial.new_zeros((), dtype=torch.float64)
        for residual in rollout.residuals(initial, self.checkpoint_every, self.truncate_every):
            total = total + (residual * inverse).double().square().sum()
            if not torch.isfinite(total):
                return total.detach() * math.inf  # a blow-up only gets worse
        return total

    def _slopes_of_parameters(self, zeta: np.ndarray) -> list[np.ndarray]:
        """Return dL/dz of each parameter, by the chain rule from dL/dθ."""
        done, made = 0, []
        for name, parameter in self.fitted.items():
            free = self._free[name]
            z = free + (self._scales * zeta)[done : done + free.size].reshape(free.shape)
            slope = np.zeros(free.shape) if parameter.grad is None else _numpy(parameter.grad)
            made.append((slope * self.ranges[name].slope(z)).ravel())
            parameter.grad = None
            done += free.size
        return made

    def squares(self) -> np.ndarray:
        """Return Σ residual² of each component, float64, in its unit squared."""
        made = np.zeros(len(self.weights))
        for rollout, misfit in zip(self.rollouts, self.misfits(), strict=True):
            for place, field in enumerate(rollout.batch.observer.fields):
                made[field] += misfit[:, :, place].sum()
        return made

    def is_rounding(self, point: Point) -> bool:
        """Tell whether the residual of every observed component is nothing but rounding.

        The loss alone does not show it: one component's rounding, relative to its noise, may hide
        all that another one has to say. It moves the network to the point.
        """
        if self.penalty is not None or point.loss > self._most_rounding:
            return False
        self.place(point.x)
        return bool(self.rounded().all())

    def rounded(self, factor: float = 1.0) -> np.ndarray:
        """Return which components have a residual of so many times rounding at most, bool."""
        limit = factor * self.sizes.rounding(self.eps)
        found: np.ndarray = self.squares() <= self.sizes.counts * limit**2
        return found

    def misfits(self) -> list[np.ndarray]:
        """Return Σ residual² over sensors at the network's present values, one array a rollout.

        Returns:
            Shape (piece, frame, field) each, float64, in the fields' units squared.
        """
        if self._misfits is None:
            self._misfits = []
            with torch.no_grad():
                for rollout in self.rollouts:
                    frames = [
                        r.double().square().sum(-1)
                        for r in rollout.residuals(rollout.initial, None, None)
                    ]
                    self._misfits.append(torch.stack(frames, dim=1).cpu().numpy())
        return self._misfits

    # -- scales ------------------------------------------------------------------------------------

    def rescale(self, zeta: np.ndarray) -> np.ndarray | None:
        """Find the scales anew at ζ, and return the same point in them.

        Where the predictions of the start were exploding, a unit of its scales is next to nothing
        elsewhere, and so is the slope along it.

        Returns:
            None where they have changed by less than a factor of `_STALE`, and stay.
        """
        self.place(zeta)
        moved = self._scales * zeta
        done, here = 0, {}
        for name, free in self._free.items():
            here[name] = free + moved[done : done + free.size].reshape(free.shape)
            done += free.size
        scales = self._find_scales(here)
        changes = scales / self._scales
        if max(changes.max(initial=1.0), 1 / changes.min(initial=1.0)) < _STALE:
            return None
        self._scales = scales
        return np.asarray(moved / scales)

    def _find_scales(self, here: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return c of each unknown, from one derivative along a random direction for each name.

        The network holds the parameters of `here`, which are those on the free scale.

        For independent random signs v the expectation of |J v|² is the sum of |J's columns|², so
        that one direction tells the mean sensitivity of all entries of an array.
        """
        signs = torch.Generator().manual_seed(0)
        scales = []
        for name, parameter in self.fitted.items():
            v = torch.randint(0, 2, parameter.shape, generator=signs).to(parameter) * 2 - 1
            squares = sum(self._sensitivity(r, {name: v}) for r in self.rollouts)
            free, own = here[name], self.ranges[name]
            steepest = float(np.abs(own.slope(free)).max(initial=0.0))
            now = np.maximum(np.abs(self.starts[name]), np.abs(_numpy(parameter)))
            largest = float(now.max(initial=0.0)) if own.is_free else 1.0
            unit = math.inf
            if steepest > 0 and 0 < squares < math.inf:
                unit = math.sqrt(free.size * self.num_values / squares) / steepest
            if largest > 0:
                unit = min(unit, largest)
            scales.append(np.full(free.size, unit if math.isfinite(unit) else 1.0))
        if self.estimated:
            spread = torch.from_numpy(self.sizes.spreads)
            for given in self._given:
                one = spread.reshape(-1, *(1,) * (given.ndim - 2)).expand(given.shape)
                scales.append(one.numpy().ravel())
        return np.concatenate(scales)

    def _sensitivity(self, rollout: Rollout, along: Mapping[str, torch.Tensor]) -> float:
        """Return Σ (derivative of the predictions / spread)² along one direction."""
        directions = {n: v[None] for n, v in along.items()}, None
        inverse = self._of_fields(rollout, 1.0 / self.sizes.spreads)
        total = 0.0
        for tangent in rollout.tangents(rollout.initial, self.fitted, directions):
            total += float((tangent * inverse).double().square().sum())
        return total

    def _of_fields(self, rollout: Rollout, of_components: np.ndarray) -> torch.Tensor:
        """Return the observed fields' numbers, shape (field, 1)."""
        chosen = of_components[list(rollout.batch.observer.fields)]
        return torch.tensor(chosen, device=rollout.initial.device, dtype=rollout.initial.dtype)[
            :, None
        ]


def evaluate_penalty(penalty: Penalty, quantities: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return a penalty as a 0-d float64 tensor.

    Raises:
        FitError: it is no number.
    """
    made = penalty(quantities)
    if not isinstance(made, torch.Tensor) or made.numel() != 1 or made.is_complex():
        what = f"shape {tuple(made.shape)}" if isinstance(made, torch.Tensor) else repr(made)
        raise FitError(
            "a penalty maps the parameters {name: tensor} to one number, a tensor without axes; "
            f"got {what}; sum its terms with torch"
        )
    return made.reshape(()).double()


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    # A float32 number stays the number it is.
    made: np.ndarray = tensor.detach().cpu().numpy().astype(np.float64)
    return made
