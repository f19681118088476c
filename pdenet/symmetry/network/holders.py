"""Holders: where the numbers behind a slot are kept, and modules that act channel by channel.

The index rule speaks of slots; a model has parameters in stacks, biases, and batch norms with
statistics. A holder gives one slot's tensor with an axis for each index, and takes it back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from pdenet.network.convnet.directions import Directions
from pdenet.network.convnet.fusing import is_norm
from pdenet.symmetry.acting import Change
from pdenet.symmetry.indices import Use


@dataclass(frozen=True, eq=False)
class Holder:
    """A tensor of a model with an axis for each index of a slot.

    Attributes:
        read: gives it, detached; a view or a copy.
        write: puts numbers of the same shape in its place.
    """

    read: Callable[[], torch.Tensor]
    write: Callable[[torch.Tensor], None]

    def change(self, act: Callable[[np.ndarray], np.ndarray]) -> None:
        """Replace the numbers; computed in float64 and rounded once."""
        old = self.read()
        made = act(old.double().cpu().numpy())
        self.write(torch.from_numpy(np.ascontiguousarray(made)).to(old))


def view_holder(view: Callable[[], torch.Tensor]) -> Holder:
    """Return the holder of what is a view of a parameter."""

    def read() -> torch.Tensor:
        return view().detach()

    def write(values: torch.Tensor) -> None:
        with torch.no_grad():
            view().copy_(values)

    return Holder(read, write)


def grouped_holder(entries: Callable[[], Sequence[torch.Tensor]], place: int, width: int) -> Holder:
    """Return the holder of coefficients whose products with n′ outputs are sums over directions.

    In Eq. (5) C^a_ik u_k ∂_a u_i has n products in each of D directions; with n′ outputs these are
    the sums over n D / n′ that follow one another, in the order (i, a). So a number for each output
    is one for each (i, a).

    Args:
        entries: gives the coefficient of each direction, with axes as its indices are.
        place: the place of i among them.
        width: n′.
    """

    def read() -> torch.Tensor:
        stacked = torch.stack([one.detach().movedim(place, 0) for one in entries()], dim=1)
        return stacked.flatten(0, 1).unflatten(0, (width, -1))

    def write(values: torch.Tensor) -> None:
        views = entries()
        stacked = values.flatten(0, 1).unflatten(0, (-1, len(views)))
        with torch.no_grad():
            for one, made in zip(views, stacked.unbind(1), strict=True):
                one.copy_(made.movedim(0, place))

    return Holder(read, write)


@dataclass(frozen=True, eq=False)
class Channels:
    """Directions whose channels are the components of fields: norms, and kernels of each channel.

    Attributes:
        bank: the directions.
        shape: the channels, as an array with an axis for each index and what else there is.
        axis: the axis of the index.
        uses: the fields that make its input, with their powers; none where it is only moved.
        field: one field that has the index.
    """

    bank: Directions
    shape: tuple[int, ...]
    axis: int
    uses: tuple[Use, ...]
    field: str

    @property
    def divides(self) -> bool:
        """Tell whether it divides by the spread of an input that takes factors."""
        return bool(self.uses) and is_norm(self.bank.norm)

    @torch.no_grad()
    def change(self, changes: dict[str, Change]) -> None:
        """Move the channels, and let them undo the factors that their input now has.

        Of x = s x′ a batch norm becomes one that gives in evaluation mode, for x′, what it gave for
        x; its statistics are those of x′. In training mode it does so up to its ε.
        """
        order, _ = changes[self.field].parts
        places = np.arange(int(np.prod(self.shape))).reshape(self.shape)
        flat = torch.from_numpy(np.take(places, order, axis=self.axis).reshape(-1))
        scale = np.ones(len(order))
        for use in self.uses:
            numbers = changes[use.field].parts[1]
            power = 0 if use.power is None else use.power
            scale = scale * np.abs(numbers) ** power
            scale = scale * (np.sign(numbers) if use.parity == -1 else 1.0)
        wide = np.broadcast_to(scale, (*np.delete(self.shape, self.axis), len(scale)))
        factors = torch.from_numpy(np.moveaxis(wide, -1, self.axis).reshape(-1).copy())
        bank = self.bank
        if bank.constrained is None and bank.weight.shape[0] == len(flat):
            _permute(bank.weight, flat)
            if bank.bias is not None and not is_norm(bank.norm):
                bank.weight.mul_(factors.to(bank.weight)[:, None, None, None])
        if bank.bias is not None:
            _permute(bank.bias, flat)
        if isinstance(bank.norm, nn.modules.batchnorm._BatchNorm):
            _move_norm(bank.norm, flat, factors)


def _move_norm(
    norm: nn.modules.batchnorm._BatchNorm, order: torch.Tensor, factors: torch.Tensor
) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        _permute(tensor, order)
    if bool((factors == 1).all()):
        return
    factors = factors.to(norm.running_var.device)
    variance = norm.running_var.double()
    new = variance / factors.square()
    # γ (x − μ)/√(σ² + ε) with x = s x′, μ = s μ′, σ = s σ′
    gain = factors * ((new + norm.eps) / (variance + norm.eps)).sqrt()
    norm.weight.mul_(gain.to(norm.weight))
    norm.running_mean.div_(factors.to(norm.running_mean))
    norm.running_var.copy_(new)


def _permute(tensor: torch.Tensor, order: torch.Tensor) -> None:
    tensor.copy_(tensor[order.to(tensor.device)].clone())
