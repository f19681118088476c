"""Directions: the derivatives of a block as trainable depthwise convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from pdenet.discrete.structure import Kernel
from pdenet.errors import NetworkError
from pdenet.network.convnet.convolutions import depthwise_conv2d
from pdenet.network.convnet.relaxation import Relaxation
from pdenet.network.convnet.widening import Direction
from pdenet.network.kernels import Kernels


class Directions(nn.Module):
    """Each channel under m kernels: a depthwise convolution n → mn, then batch norm.

    Args:
        rows: for each output of a channel its kernel's place in the structure.
        kernels: the structure's kernels.
        directions: what stands behind them.
        channels: n.
        stride: of the convolution.
        relaxation: share_kernels, stencils, norm, padding and position.
        split: whether the input has a channel for each (channel, row), with one kernel each.

    Attributes:
        weight: the kernels that channels share, shape `(m, 1, k, k)`, or `(n m, 1, k, k)`.
        norm: the batch norm, or an identity.
        bias: None, or once the norm is folded into the kernels what it adds, shape `(n m,)`.
    """

    bias: nn.Parameter | None

    def __init__(
        self,
        rows: Sequence[int],
        kernels: Sequence[Kernel],
        directions: Sequence[Direction],
        channels: int,
        stride: int,
        relaxation: Relaxation,
        split: bool = False,
    ) -> None:
        super().__init__()
        behind = [directions[k] for k in rows]
        sources = list(dict.fromkeys(d.source for d in behind))
        if split:  # an input for each row: each row has its kernel
            sources = [(k, d.source) for k, d in enumerate(behind)]
            self.places = list(range(len(rows)))
        else:
            self.places = [sources.index(d.source) for d in behind]
        first = [self.places.index(k) for k in range(len(sources))]
        self.names = [behind[k].name for k in first]
        self.origins = [behind[k].origin for k in first]
        self.exponents = [relaxation.monomials[d.monomial] for d in behind]
        self.has_position = any(map(any, self.exponents))
        self.is_plain = not self.has_position and self.places == list(range(len(sources)))
        self.channels, self.split, self.stride = channels, split, stride
        self.paddings = relaxation.padding
        self.is_shared = relaxation.share_kernels
        size = kernels[rows[0]].shape[0]
        self.radius = size // 2
        self.rows = len(rows)
        count = len(sources)
        self.constrained: Kernels | None = None
        stencils = [behind[k].stencil for k in first]
        lead = count if self.is_shared else channels * count
        if relaxation.stencils == "free":
            weight = torch.empty(lead, 1, size, size)
            if stencils[0] is None:
                nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="linear")
            else:
                starts = torch.stack([torch.tensor(s, dtype=weight.dtype) for s in stencils])
                weight[:] = starts[:, None].repeat(lead // count, 1, 1, 1)
            self.weight: torch.Tensor = nn.Parameter(weight)
        else:
            used = [kernels[rows[k]] for k in first]
            weights = [s for s in stencils if s is not None]
            self.constrained = Kernels(
                used, weights, torch.float32, trainable=True, constraint=relaxation.stencils
            )
        self.register_parameter("bias", None)
        self.norm: nn.Module = (
            nn.BatchNorm2d(channels * count) if relaxation.norm else nn.Identity()
        )

    def kernels(self) -> torch.Tensor:
        """Return a kernel for each channel and source, shape `(n m, 1, k, k)`."""
        if self.constrained is not None:
            weight = torch.stack([k for _, k in self.constrained.items()])[:, None]
        else:
            weight = self.weight
        lead = self.channels * len(self.names)
        return weight if weight.shape[0] == lead else weight.repeat(self.channels, 1, 1, 1)

    @torch.no_grad()
    def zero(self, rows: Sequence[int]) -> None:
        """Set the scale of the batch norm to 0 for some rows of all channels."""
        if isinstance(self.norm, nn.BatchNorm2d):
            places = sorted({self.places[row] for row in rows})
            self.norm.weight.view(self.channels, -1)[:, places] = 0.0

    def share(self, other: Directions) -> None:
        """Use the kernels of another block."""
        if self.constrained is None:
            self.weight = other.weight
        else:
            self.constrained = other.constrained

    def forward(self, u: torch.Tensor, is_padded: bool = False) -> torch.Tensor:
        """Return all channels in all directions, shape `(batch, n, rows, y, x)`.

        Args:
            u: shape `(batch, n, y, x)`; with `split` `(batch, n, rows, y, x)`.
            is_padded: whether u has ghost pixels already.
        """
        groups = u.shape[1] * (u.shape[2] if self.split else 1)
        flat = u.flatten(1, 2) if self.split else u
        padded, rest = (flat, 0) if is_padded else pad(flat, self.paddings, self.radius)
        made = depthwise_conv2d(padded, self.kernels(), self.stride, rest, groups, self.bias)
        made = self.norm(made)
        made = made.unflatten(1, (self.channels, len(self.names)))
        if self.is_plain:
            return made
        made = made[:, :, self.places]
        if not self.has_position:
            return made
        beyond = 2 * self.radius if is_padded else 0
        size = (flat.shape[-2] - beyond, flat.shape[-1] - beyond)
        return made * monomials(self.exponents, made, size, self.stride)


def pad(u: torch.Tensor, names: tuple[str, str], width: int) -> tuple[torch.Tensor, int]:
    """Return a picture with ghost pixels, and how many zeros a convolution has still to add."""
    if names == ("zeros", "zeros"):
        return u, width
    along_x, along_y = names
    for place, name, sizes in (
        (-1, along_x, (width, width, 0, 0)),
        (-2, along_y, (0, 0, width, width)),
    ):
        _check_reach(name, u.shape[place], width)
        u = F.pad(u, sizes, mode="constant" if name == "zeros" else name)
    return u, 0


def _check_reach(padding: str, points: int, width: int) -> None:
    """Check that a picture has the pixels that a padding repeats.

    Raises:
        NetworkError: it has not.
    """
    least = {"reflect": width + 1, "circular": width}.get(padding, 1)
    if points < least:
        raise NetworkError(
            f"padding={padding!r} by {width} repeats as many pixels of a picture and needs at "
            f"least {least} along each axis; got {points}; give larger pictures, fewer stages, or "
            'padding="zeros"'
        )


def continued(
    values: torch.Tensor, paddings: tuple[str, str], width: int, wanted: tuple[int, int]
) -> torch.Tensor:
    """Return a coefficient with more pixels at all ends, wrapped or going on linearly.

    Args:
        values: shape `(…, y, x)`; an axis of length 1, where `wanted` is not, is constant.
        paddings: along x and y.
        width: how many more.
        wanted: the number of pixels along y and x.
    """
    for place, name, points in zip((-1, -2), paddings, reversed(wanted), strict=True):
        if values.shape[place] == 1 < points:
            continue
        first, last = values.narrow(place, 0, 1), values.narrow(place, points - 1, 1)
        before, after = torch.zeros_like(first), torch.zeros_like(first)
        if name == "circular":
            ends = [values.narrow(place, points - width, width), values.narrow(place, 0, width)]
            values = torch.cat([ends[0], values, ends[1]], dim=place)
            continue
        if points > 1:
            before = first - values.narrow(place, 1, 1)
            after = last - values.narrow(place, points - 2, 1)
        below = [first + k * before for k in range(width, 0, -1)]
        above = [last + k * after for k in range(1, width + 1)]
        values = torch.cat([*below, values, *above], dim=place)
    return values


def coordinates(
    like: torch.Tensor, size: tuple[int, int], stride: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return x, shape `(x,)`, and y, shape `(y, 1)`, from −1 to 1 over a picture.

    Args:
        like: a tensor of the same dtype and device.
        size: the picture's number of pixels along y and x.
        stride: the step between the pixels that are wanted.
    """

    def axis(points: int) -> torch.Tensor:
        steps = torch.arange(0, points, stride, dtype=like.dtype, device=like.device)
        # Of a single pixel the coordinate is 0.
        return (2.0 * steps - (points - 1)) / max(points - 1, 1)

    return axis(size[1]), axis(size[0])[:, None]


def monomials(
    exponents: Sequence[tuple[int, int]], like: torch.Tensor, size: tuple[int, int], stride: int
) -> torch.Tensor:
    """Return x^a y^b for each pair of exponents, shape `(pairs, y, x)`; see `coordinates`."""
    x, y = coordinates(like, size, stride)
    return torch.stack([(x**a * y**b).expand(like.shape[-2:]) for a, b in exponents])
