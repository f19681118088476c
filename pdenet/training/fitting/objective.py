"""Objective: the loss and its derivatives, as a function of one vector of well-scaled unknowns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from pdenet.errors import FitError
from pdenet.training.fitting.bounds import Range
from pdenet.training.fitting.model import Model
from pdenet.training.fitting.replay import Replay, make_replays
from pdenet.training.fitting.rollout import Rollout, one_by_one
from pdenet.training.fitting.search import Linear, Point
from pdenet.training.fitting.sizes import Sizes

Penalty = Callable[[Mapping[str, torch.Tensor]], torch.Tensor]

_STALE = 10.0
"""The factor by which scales that were found elsewhere may be off: L-BFGS bears that much."""


class Objective:
    """L(ζ) = (1/N) Σ ((prediction − observation)/w)² + penalty, over the N measured values.

    The unknowns ζ are dimensionless and start at 0: a parameter is θ₀ + c ζ, inside its bounds, an
    unknown initial state u₀ + c ζ. The scales c are such that one unit changes predictions by about
    their spread, or a parameter by its own size: by whichever is less for gradients, which know no
    curvature, and by whichever is more for a trust region, which soon knows better.
    Loss and unknowns are float64 whatever the network's dtype.

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
        self.shapes = {name: tuple(p.shape) for name, p in self.fitted.items()}
        self.starts = {n: _numpy(p) for n, p in self.fitted.items()}
        self._replays: list[Replay] | None = None
        self._linear: Linear | None = None  # at the present values, as are the misfits
        self._misfits: list[np.ndarray] | None = None
        self._scales: np.ndarray
        self._centre(None)
        self.weigh(weights)

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
        return np.zeros(self._scales.shape)

    def values(self, zeta: np.ndarray) -> dict[str, np.ndarray]:
        """Return the fitted parameters at ζ, float64, without touching the network."""
        moves = split(self._scales * zeta, self.shapes)
        return {n: one.inside(self._origin[n] + moves[n]) for n, one in self.ranges.items()}

    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and the highest ζ inside the bounds, ±∞ for none, (unknown,) each."""
        found = []
        for k, infinite in enumerate((-np.inf, np.inf)):
            made = np.full(self._scales.shape, infinite)
            ends = [(one.ends()[k] - self._origin[n]).ravel() for n, one in self.ranges.items()]
            flat = np.concatenate(ends)
            made[: flat.size] = flat / self._scales[: flat.size]
            found.append(made)
        return found[0], found[1]

    def place(self, zeta: np.ndarray, linear: Linear | None = None) -> None:
        """Give the network, and unknown initial states, the values of ζ, shape (unknown,).

        Args:
            zeta: the unknowns.
            linear: the linearised problem there, where it is known.
        """
        with torch.no_grad():
            for name, value in self.values(zeta).items():
                self.fitted[name].copy_(torch.from_numpy(value))
            if self.estimated:
                states = {str(k): tuple(g.shape) for k, g in enumerate(self._given)}
                rest = split(self._scales * zeta, {**self.shapes, **states})
                for k, (rollout, given) in enumerate(zip(self.rollouts, self._given, strict=True)):
                    rollout.initial = given + torch.from_numpy(rest[str(k)]).to(given)
        self._linear, self._misfits = linear, None

    # -- loss --------------------------------------------------------------------------------------

    def __call__(self, zeta: np.ndarray) -> Point:
        """Return the loss and its gradient by ζ; infinity and zeros where it is not finite."""
        self.place(zeta)
        nothing = Point(zeta, math.inf, np.zeros(zeta.shape))
        for parameter in self.fitted.values():
            parameter.grad = None
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
        of_parameters = [
            np.zeros(p.numel()) if p.grad is None else _numpy(p.grad).ravel()
            for p in self.fitted.values()
        ]
        gradient = np.concatenate([*of_parameters, *slopes]) * self._scales
        return Point(zeta, total, gradient) if np.isfinite(gradient).all() else nothing

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

    def trial(self, zeta: np.ndarray) -> Point:
        """Return what `linearise` does, without the derivative where that would cost more."""
        if self._replays is not None:
            return self.linearise(zeta)
        self.place(zeta)
        with torch.no_grad():
            frames = [list(r.residuals(r.initial, None, None)) for r in self.rollouts]
        return self._point(zeta, [np.stack([_numpy(one) for one in part]) for part in frames])

    def linearise(self, zeta: np.ndarray) -> Point:
        """Return the loss with its residuals and their derivative by ζ, of known initial states."""
        if self._replays is not None:
            linear = self._replayed(zeta)
        else:
            self.place(zeta)
            directions, linear = one_by_one(self.fitted, None), []
            for rollout in self.rollouts:
                frames = rollout.linearised(self.fitted, directions)
                numbers = [(_numpy(one), _numpy(slopes)) for one, slopes in frames]
                ones, slopes = zip(*numbers, strict=True)
                linear.append((np.stack(ones), np.stack(slopes, axis=1)))
        if linear is None:
            return Point(zeta, math.inf, np.zeros(zeta.shape), self._nowhere)
        point = self._point(zeta, [one for one, _ in linear])
        factors = [_numpy(inverse) / math.sqrt(self.num_values) for inverse in self.inverse_weights]
        pairs = zip(linear, factors, strict=True)
        slopes = [(one * factor).reshape(zeta.size, -1) for (_, one), factor in pairs]
        jacobian = np.hstack(slopes).T * self._scales
        if not (math.isfinite(point.loss) and np.isfinite(jacobian).all()):
            return Point(zeta, math.inf, point.gradient, self._nowhere)
        gradient = 2.0 * (point.residuals @ jacobian)
        return replace(point, gradient=gradient, jacobian=jacobian, linear=linear)

    def _point(self, zeta: np.ndarray, residuals: list[np.ndarray]) -> Point:
        size = 1.0 / math.sqrt(self.num_values)
        pairs = zip(residuals, self.inverse_weights, strict=True)
        residual = size * np.concatenate([(one * _numpy(w)).ravel() for one, w in pairs])
        with np.errstate(over="ignore"):
            loss = float(residual @ residual)
        nothing = np.zeros(zeta.shape)
        if not math.isfinite(loss):
            return Point(zeta, math.inf, nothing, self._nowhere)
        return Point(zeta, loss, nothing, residual)

    @property
    def _nowhere(self) -> np.ndarray:
        """The residuals of predictions that are not finite."""
        return np.full(sum(rollout.values.numel() for rollout in self.rollouts), np.inf)

    def _replayed(self, zeta: np.ndarray) -> Linear | None:
        """Return the linearised problem by the solver's recorded steps; None after a blow-up."""
        assert self._replays is not None
        theta, made = self.values(zeta), []
        for rollout, replay in zip(self.rollouts, self._replays, strict=True):
            found = replay(theta)
            if found is None:
                return None
            values, measured = (
                _numpy(one).swapaxes(0, 1) for one in (rollout.values, rollout.measured)
            )
            made.append(((found[0] - values) * measured, found[1] * measured))
        return made

    def record(self) -> None:
        """Let the solver's recorded steps predict, where they predict what the network does."""
        self._replays = make_replays(self.rollouts, self.values(self.start()))

    def linearised(self, number: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield a roll-out's residual and its derivative by all unknowns, frame by frame.

        Where the search has just computed them they come at once, frames as further pieces.
        """
        if self._linear is not None:
            residual, tangent = self._linear[number]
            shape = (-1, *residual.shape[2:])
            yield (
                torch.from_numpy(residual).reshape(shape),
                torch.from_numpy(tangent).reshape(len(tangent), *shape),
            )
            return
        rollout = self.rollouts[number]
        initial = rollout.initial if self.estimated else None
        yield from rollout.linearised(self.fitted, one_by_one(self.fitted, initial))

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
        self.place(point.x, point.linear)
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
        if self._misfits is None and self._linear is not None:
            self._misfits = [(one**2).sum(-1).swapaxes(0, 1) for one, _ in self._linear]
        elif self._misfits is None:
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

    def scale(self) -> bool:
        """Find scales for gradients at the network's present values, where ζ becomes 0.

        Where the predictions of the start were exploding, a unit of its scales is next to nothing
        elsewhere, and so is the slope along it.

        Returns:
            Whether they have changed by a factor of `_STALE`; otherwise they and ζ stay.
        """
        scales = self._find_scales()
        changes = scales / self._scales
        if max(changes.max(initial=1.0), 1 / changes.min(initial=1.0)) < _STALE:
            return False
        self._centre(scales)
        return True

    def scale_for_a_trust_region(self) -> Point:
        """Find scales for least squares at the network's present values, where ζ becomes 0.

        Returns:
            The problem there.
        """
        self._centre(np.ones(self._scales.shape))
        point = self.linearise(self.start())
        if point.jacobian is None:
            return point
        columns = np.linalg.norm(point.jacobian, axis=0)
        # Where nothing is seen of all parameters, it may be that torch cannot see them.
        if not columns.any():
            self(self.start())
        own = np.concatenate([self._own_size(name) for name in self.fitted])
        units = np.divide(1.0, columns, out=np.zeros(columns.shape), where=columns > 0)
        # One number tells the influence of all entries of an array, as their mean sensitivity.
        scales = np.maximum(own, units)
        self._scales = np.where(scales > 0, scales, 1.0)
        point.jacobian[...] *= self._scales
        return replace(point, gradient=point.gradient * self._scales)

    def _centre(self, scales: np.ndarray | None) -> None:
        """Let ζ = 0 be the network's present values, in new scales."""
        self._origin = {n: _numpy(p) for n, p in self.fitted.items()}
        self._given = [r.initial.clone() for r in self.rollouts]
        size = sum(p.numel() for p in self.fitted.values())
        size += sum(g.numel() for g in self._given) if self.estimated else 0
        self._scales = np.ones(size) if scales is None else scales
        self._linear = self._misfits = None

    def _own_size(self, name: str) -> np.ndarray:
        """Return the size of a parameter, now or at the start, for each of its entries."""
        parameter = self.fitted[name]
        now = np.maximum(np.abs(self.starts[name]), np.abs(_numpy(parameter)))
        return np.full(parameter.numel(), float(now.max(initial=0.0)))

    def _find_scales(self) -> np.ndarray:
        """Return c of each unknown, from one derivative along a random direction for each name.

        For independent random signs v the expectation of |J v|² is the sum of |J's columns|², so
        that one direction tells the mean sensitivity of all entries of an array.
        """
        signs = torch.Generator().manual_seed(0)
        scales = []
        for name, parameter in self.fitted.items():
            v = torch.randint(0, 2, parameter.shape, generator=signs).to(parameter) * 2 - 1
            squares = sum(self._sensitivity(r, {name: v}) for r in self.rollouts)
            unit = self._own_size(name)
            if 0 < squares < math.inf:
                seen = math.sqrt(unit.size * self.num_values / squares)
                unit = np.where(unit > 0, np.minimum(unit, seen), seen)
            scales.append(np.where(unit > 0, unit, 1.0))
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
        for _, tangent in rollout.linearised(self.fitted, directions):
            total += float((tangent * inverse).double().square().sum())
        return total

    def _of_fields(self, rollout: Rollout, of_components: np.ndarray) -> torch.Tensor:
        """Return the observed fields' numbers, shape (field, 1)."""
        chosen = of_components[list(rollout.batch.observer.fields)]
        return torch.tensor(chosen, device=rollout.initial.device, dtype=rollout.initial.dtype)[
            :, None
        ]


def split(flat: np.ndarray, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Return the parameters, each of its shape, whose entries in a row are given."""
    done, made = 0, {}
    for name, shape in shapes.items():
        size = math.prod(shape)
        made[name] = flat[done : done + size].reshape(shape)
        done += size
    return made


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
