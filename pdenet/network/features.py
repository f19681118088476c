"""Features: the fields at one stage under all kernels, by as few convolutions as there can be.

Kernels of one support that act on one field are one convolution, shared by the field's components:
`(batch·component, 1, *space)` → `(batch·component, kernels, *space)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from pdenet.discrete.arrays import cut
from pdenet.discrete.structure import Kernel, Structure
from pdenet.network.contraction import CONVOLUTIONS


@dataclass(frozen=True)
class Window:
    """Where values are wanted: at the nodes, and at so many more along each axis.

    Attributes:
        before: how many more at the low end, in coordinate order.
        after: how many more at the high end. The faces across an axis, outer ones included, are
            counted by the nodes below them: one more at the low end.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]

    @classmethod
    def nodes(cls, dimension: int) -> Window:
        """Return the window of the nodes themselves."""
        return cls((0,) * dimension, (0,) * dimension)

    @classmethod
    def around(cls, axis: int, dimension: int) -> Window:
        """Return the nodes with one more at both ends of an axis."""
        one = tuple(int(a == axis) for a in range(dimension))
        return cls(one, one)

    @classmethod
    def faces(cls, axis: int, dimension: int) -> Window:
        """Return the faces across an axis."""
        return cls(tuple(int(a == axis) for a in range(dimension)), (0,) * dimension)

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes along which there are more."""
        pairs = zip(self.before, self.after, strict=True)
        return tuple(axis for axis, pair in enumerate(pairs) if any(pair))


@dataclass(frozen=True)
class Row:
    """One output of a bank: a kernel, or a sum of kernels times the scales of a layer.

    Attributes:
        kernels: the places of the kernels in the block's list.
        layer: the key of the layer whose scales they are multiplied by, or None.
    """

    kernels: tuple[int, ...]
    layer: int | None = None


@dataclass(frozen=True)
class Support:
    """What the rows of one bank have in common."""

    field: str
    window: Window
    first: tuple[int, ...]
    shape: tuple[int, ...]


@dataclass
class Banks:
    """All convolutions of a block; rows are asked for when the block is built.

    Attributes:
        kernels: the block's kernels.
        rows: for each support its rows, in the order of the outputs.
    """

    kernels: Sequence[Kernel]
    rows: dict[Support, list[Row]] = field(default_factory=dict)

    def ask(self, name: str, window: Window, row: Row) -> tuple[Support, int]:
        """Return the bank and the place in it where a row is found."""
        kernel = self.kernels[row.kernels[0]]
        support = Support(name, window, kernel.first, kernel.shape)
        rows = self.rows.setdefault(support, [])
        if row not in rows:
            rows.append(row)
        return support, rows.index(row)

    def weights(
        self, kernels: Sequence[torch.Tensor], scales: Mapping[int, torch.Tensor]
    ) -> dict[Support, torch.Tensor]:
        """Return the weights of each convolution, shape `(kernels, 1, *space)`.

        Args:
            kernels: the kernels with their powers of the spacing.
            scales: for each layer that is folded into its kernels, its scales, shape `(terms,)`.
        """
        made = {}
        for support, rows in self.rows.items():
            weights = []
            for row in rows:
                if row.layer is None:
                    weights.append(kernels[row.kernels[0]])
                else:
                    stacked = torch.stack([kernels[k] for k in row.kernels])
                    scale = scales[row.layer].reshape(-1, *(1,) * (stacked.ndim - 1))
                    weights.append((scale * stacked).sum(0))
            made[support] = torch.stack(weights)[:, None]
        return made


class Features:
    """The fields at one stage: padded once, each bank applied once.

    Args:
        structure: the block's structure.
        state: shape `(batch, channel, *space)`.
        weights: the weights of each bank.
        pad: returns a field with its ghost nodes.
    """

    def __init__(
        self,
        structure: Structure,
        state: torch.Tensor,
        weights: Mapping[Support, torch.Tensor],
        pad: Callable[[str, torch.Tensor], torch.Tensor],
    ) -> None:
        self.structure = structure
        self.fields = {name: state[:, place] for name, place in structure.slices.items()}
        self.points = state.shape[2:][::-1]  # in coordinate order
        self._weights = weights
        self._pad = pad
        self._padded: dict[str, torch.Tensor] = {}
        self._made: dict[Support, torch.Tensor] = {}

    def value(self, name: str, window: Window) -> torch.Tensor:
        """Return a field itself, shape `(batch, component, *space)`."""
        if not window.axes:
            return self.fields[name]
        zero = (0,) * self.structure.dimension
        return self._window(name, window, zero, zero)

    def convolved(self, support: Support, place: int) -> torch.Tensor:
        """Return one output of a bank, shape `(batch, component, *space)`."""
        return self.bank(support)[:, :, place]

    def bank(self, support: Support) -> torch.Tensor:
        """Return all outputs of a bank, shape `(batch, component, kernel, *space)`."""
        if support not in self._made:
            last = tuple(f + n - 1 for f, n in zip(support.first, support.shape, strict=True))
            field = self._window(support.field, support.window, support.first, last)
            self._made[support] = convolve(field, self._weights[support])
        return self._made[support]

    def _window(
        self, name: str, window: Window, first: Sequence[int], last: Sequence[int]
    ) -> torch.Tensor:
        """Return the nodes that a kernel of these offsets needs for all values of a window."""
        if name not in self._padded:
            self._padded[name] = self._pad(name, self.fields[name])
        made = self._padded[name]
        for axis, points in enumerate(self.points):
            start = self.structure.width[axis] + first[axis]
            stop = self.structure.width[axis] + points + last[axis]
            start, stop = start - window.before[axis], stop + window.after[axis]
            made = cut(made, -(axis + 1), start, stop)
        return made


def convolve(values: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """Return values under several kernels, which all components share.

    Args:
        values: shape `(batch, …, *space)`.
        kernels: shape `(kernels, 1, *space)`.

    Returns:
        Shape `(batch, …, kernels, *space)`, shorter in space by the kernels' width.
    """
    dimension = kernels.ndim - 2
    lead = values.shape[: values.ndim - dimension]
    flat = values.reshape(-1, 1, *values.shape[values.ndim - dimension :])
    out = CONVOLUTIONS[dimension](flat, kernels)
    return out.reshape(*lead, *out.shape[1:])
