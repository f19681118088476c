"""Rollout: a batch's predictions frame after frame, and their derivatives along directions."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import cast

import torch
from torch import nn
from torch.autograd import forward_ad

from pdenet.training.fitting.batches import Batch
from pdenet.training.fitting.model import Model

_CHUNK = 1 << 22
"""How many numbers the tangents of one call hold, 32 MiB in float64; a step needs a few times it.
Small enough for any machine, and large enough that the calls' own cost does not matter."""

Directions = tuple[Mapping[str, torch.Tensor], torch.Tensor | None]
"""Directions among the unknowns: of each parameter, shape (direction, *shape), and of the initial
states, shape (direction, piece, component, *space), where these are unknown."""


class Rollout(nn.Module):
    """One batch as tensors beside its network, whose module it is.

    Attributes:
        model: the network.
        batch: the pieces that are predicted.
        initial: their initial states, shape (piece, component, *space).
        values: what was observed, shape (piece, frame, field, sensor), 0 where nothing was.
        measured: whether it was, the same shape, 1 or 0.
    """

    def __init__(self, model: Model, batch: Batch) -> None:
        super().__init__()
        self.model = model
        self.batch = batch
        like = next(iter(model.quantities().values())).detach()
        # Data are measurements: rounding them to the network's dtype is said in `fit`.
        self.initial = torch.tensor(batch.initial, dtype=model.dtype, device=like.device)
        values = torch.tensor(batch.values, dtype=model.dtype, device=like.device)
        self.measured = (~values.isnan()).to(values)
        self.values = values.nan_to_num(nan=0.0)
        self.observe = batch.observer.on(self.initial, len(model.components))

    def forward(self, states: torch.Tensor, t: float, steps: int) -> torch.Tensor:
        """Advance states; a module's own call, so that `functional_call` can replace parameters."""
        return self.model.advance(states, t, steps=steps)

    def intervals(self) -> Iterator[tuple[int, float, int]]:
        """List each frame's number, the time before it, and how many steps lead to it (or none)."""
        done = 0
        for frame, steps in enumerate(self.batch.steps):
            yield frame, self.batch.start + done * self.model.dt, steps - done
            done = steps

    def residuals(
        self, initial: torch.Tensor, checkpoint_every: int | None, truncate_every: int | None
    ) -> Iterator[torch.Tensor]:
        """Yield prediction − observation of each frame, (piece, field, sensor), 0 where unmeasured.

        Args:
            initial: the initial states.
            checkpoint_every: as for the network.
            truncate_every: as for the network; where frames are closer than that, the graph is cut
                at the first frame after so many steps.
        """
        states, since_cut = initial, 0
        for frame, t, steps in self.intervals():
            if steps:
                if truncate_every is not None and since_cut >= truncate_every:
                    states, since_cut = states.detach(), 0
                states = self.model.advance(
                    states,
                    t,
                    steps=steps,
                    checkpoint_every=checkpoint_every,
                    truncate_every=truncate_every,
                )
                cuts = truncate_every is not None and steps > truncate_every
                since_cut = (
                    (steps - 1) % cast(int, truncate_every) + 1 if cuts else since_cut + steps
                )
            difference = self.observe(states) - self.values[:, frame]
            yield difference * self.measured[:, frame]

    def linearised(
        self, quantities: Mapping[str, nn.Parameter], directions: Directions
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield the residual of each frame and its derivative along directions, in forward mode.

        One state for each direction is kept, whatever the number of steps, and none of the graph.

        Args:
            quantities: the network's parameters that the directions name.
            directions: see `Directions`.

        Yields:
            The residual, (piece, field, sensor), and its derivative, shape (direction, piece,
            field, sensor), both 0 where nothing was measured.
        """
        states, moves = self.initial, directions[1]
        count = len(moves) if moves is not None else len(next(iter(directions[0].values())))
        if moves is None:
            moves = states.new_zeros(1).expand(count, *states.shape)
        named = {id(quantities[n]): d for n, d in directions[0].items()}
        # All numbers move, if by zero: torch is slow where it finds that a factor does not.
        numbers = [*self.named_parameters(), *self.named_buffers()]
        values = {name: one.detach() for name, one in numbers if one.is_floating_point()}
        along = {
            name: named.get(id(one), one.new_zeros(1).expand(count, *one.shape))
            for name, one in numbers
            if name in values
        }
        _load_forward_mode()
        chunk = max(1, _CHUNK // states.numel())
        tangents = list(moves.split(chunk))
        parts = [
            {name: one[k : k + chunk] for name, one in along.items()}
            for k in range(0, count, chunk)
        ]
        with torch.no_grad():  # forward mode needs no graph
            for frame, t, steps in self.intervals():
                if steps:
                    after = states
                    for k, part in enumerate(parts):
                        after, tangents[k] = self._push(states, values, tangents[k], part, t, steps)
                    states = after
                seen = [torch.stack([self.observe(one) for one in tangent]) for tangent in tangents]
                difference = self.observe(states) - self.values[:, frame]
                measured = self.measured[:, frame]
                yield difference * measured, torch.cat(seen) * measured

    def _push(
        self,
        states: torch.Tensor,
        values: dict[str, torch.Tensor],
        tangent: torch.Tensor,
        part: dict[str, torch.Tensor],
        t: float,
        steps: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the states after `steps` steps, and their tangents."""

        def advance(given: torch.Tensor, replaced: dict[str, torch.Tensor]) -> torch.Tensor:
            made = torch.func.functional_call(self, replaced, (given, t, steps))
            return cast(torch.Tensor, made)

        def derivative(
            change: torch.Tensor, changes: dict[str, torch.Tensor]
        ) -> tuple[torch.Tensor, torch.Tensor]:
            made = torch.func.jvp(advance, (states, values), (change, changes))
            return cast(tuple[torch.Tensor, torch.Tensor], made)

        dims = cast(tuple[int, ...], (None, 0))  # torch's annotation forgets that None may be one
        return torch.func.vmap(derivative, out_dims=dims)(tangent, part)


def one_by_one(fitted: Mapping[str, nn.Parameter], initial: torch.Tensor | None) -> Directions:
    """Return one direction for each unknown.

    Args:
        fitted: the unknown parameters.
        initial: unknown initial states, shape (piece, component, *space); None where they are
            given. Pieces do not mix, so all move together.
    """
    count = sum(p.numel() for p in fitted.values())
    unknown = count + (initial[0].numel() if initial is not None else 0)
    made, done = {}, 0
    for name, parameter in fitted.items():
        one = parameter.new_zeros(unknown, parameter.numel())
        one[done : done + parameter.numel()].fill_diagonal_(1.0)
        made[name] = one.reshape(unknown, *parameter.shape)
        done += parameter.numel()
    if initial is None:
        return made, None
    moves = initial.new_zeros(unknown, 1, initial[0].numel())
    moves[count:, 0].fill_diagonal_(1.0)
    return made, moves.unflatten(2, initial.shape[1:]).expand(unknown, *initial.shape)


def _load_forward_mode() -> None:
    """Load what the first derivative in forward mode loads, which warns of torch's own code."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit", DeprecationWarning)
        with forward_ad.dual_level():
            forward_ad.make_dual(torch.zeros(1), torch.zeros(1))
