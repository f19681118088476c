"""Features: the fields of a block in all directions, each depthwise convolution done once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import nn

from pdenet.discrete.structure import Structure
from pdenet.network.convnet.directions import Directions, coordinates, pad
from pdenet.network.convnet.relaxation import Relaxation
from pdenet.network.convnet.widening import Direction
from pdenet.network.features import Row, Support, Window

FULL = Window((1, 1), (1, 1))
"""All pixels before a stride, which the kernels of a flux need; else the pixels of the result."""


class DirectionBanks(nn.Module):
    """The depthwise convolutions of a block; rows are asked for while the block is built.

    Args:
        structure: the block's structure.
        directions: what stands behind its kernels.
        stride: of the block.
        relaxation: of the block.

    Attributes:
        convolutions: the convolutions, by field ("u", "u_full") or flux ("flux_0").
    """

    def __init__(
        self,
        structure: Structure,
        directions: Sequence[Direction],
        stride: int,
        relaxation: Relaxation,
    ) -> None:
        super().__init__()
        self.structure = structure
        self.directions = tuple(directions)
        self.stride, self.relaxation = stride, relaxation
        self.rows: dict[Support, list[int]] = {}
        self.convolutions = nn.ModuleDict()

    def ask(self, name: str, window: Window, row: Row) -> tuple[Support, int]:
        """Return the bank and the place in it where a kernel's output is found."""
        (place,) = row.kernels
        kernel = self.structure.kernels[place]
        support = Support(name, window, kernel.first, kernel.shape)
        rows = self.rows.setdefault(support, [])
        if place not in rows:
            rows.append(place)
        return support, rows.index(place)

    def add_flux(self, rows: Sequence[int], channels: int, split: bool) -> str:
        """Make the convolutions of a flux, and return their name."""
        name = f"flux_{sum(n.startswith('flux_') for n in self.convolutions)}"
        self.convolutions[name] = self._made(rows, channels, self.stride, split)
        return name

    def build(self) -> None:
        """Make the convolutions of the fields, once all rows are known."""
        sizes = dict(
            zip((f.name for f in self.structure.fields), self.structure.sizes, strict=True)
        )
        for support, rows in self.rows.items():
            stride = 1 if support.window.axes else self.stride
            made = self._made(rows, sizes[support.field], stride, False)
            self.convolutions[bank_name(support)] = made

    def _made(self, rows: Sequence[int], channels: int, stride: int, split: bool) -> Directions:
        return Directions(
            rows, self.structure.kernels, self.directions, channels, stride, self.relaxation, split
        )

    def of(self, name: str) -> Directions:
        """Return the convolutions of that name."""
        made = self.convolutions[name]
        assert isinstance(made, Directions)
        return made


def bank_name(support: Support) -> str:
    """Return the name of a bank's convolution."""
    return f"{support.field}_full" if support.window.axes else support.field


class DirectionFeatures:
    """The fields of one forward pass.

    Args:
        banks: the convolutions.
        u: shape `(batch, channel, y, x)`, with ghost pixels where there is a margin.
        margin: how many more pixels than the picture's are wanted at all ends.
        radius: how many more than that u has.
        made: banks that are known already.
    """

    def __init__(
        self,
        banks: DirectionBanks,
        u: torch.Tensor,
        margin: int = 0,
        radius: int = 0,
        made: Mapping[Support, torch.Tensor] = MappingProxyType({}),
    ) -> None:
        self._banks = banks
        self._u = u
        self.margin, self._radius = margin, radius
        self.fields = {name: u[:, place] for name, place in banks.structure.slices.items()}
        self._made = dict(made)
        self._beyond: dict[int, DirectionFeatures] = {}
        stride = banks.stride
        self.points = tuple(-(-n // stride) for n in (u.shape[3], u.shape[2]))

    def beyond(self, margin: int) -> DirectionFeatures:
        """Return the fields with ghost pixels, as the padding has them, for fluxes at walls."""
        if not margin:
            return self
        if margin not in self._beyond:
            radius = max(self._banks.structure.width)
            width = margin + radius
            padded, zeros = pad(self._u, self._banks.relaxation.padding, width)
            padded = torch.nn.functional.pad(padded, (zeros,) * 4)
            self._beyond[margin] = DirectionFeatures(self._banks, padded, margin, radius)
        return self._beyond[margin]

    def coordinates(self, window: Window) -> tuple[torch.Tensor, torch.Tensor]:
        """Return x, shape `(x,)`, and y, shape `(y, 1)`, of a window's pixels, without a margin."""
        rows, columns = cropped(self._u, self.margin + self._radius).shape[-2:]
        return coordinates(self._u, (rows, columns), 1 if window.axes else self._banks.stride)

    def value(self, name: str, window: Window) -> torch.Tensor:
        """Return a field itself, shape `(batch, component, y, x)`."""
        stride = self._banks.stride
        field = cropped(self.fields[name], self._radius)
        return field if window.axes or stride == 1 else field[:, :, ::stride, ::stride]

    def convolved(self, support: Support, place: int) -> torch.Tensor:
        """Return a field in one direction, shape `(batch, component, y, x)`."""
        return self.bank(support)[:, :, place]

    def bank(self, support: Support) -> torch.Tensor:
        """Return a field in all directions, shape `(batch, component, direction, y, x)`."""
        if support not in self._made:
            convolution = self._banks.of(bank_name(support))
            field = self.fields[support.field]
            self._made[support] = convolution(field, is_padded=self.margin > 0)
        return self._made[support]


def cropped(values: torch.Tensor, width: int) -> torch.Tensor:
    """Return a picture without so many pixels at all ends."""
    return values[..., width:-width, width:-width] if width else values
