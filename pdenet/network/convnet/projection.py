"""Projection: the 1×1 convolution of a skip connection that changes width or stride."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class Projection(nn.Conv2d):
    """A 1×1 convolution without bias that takes every s-th pixel first.

    The same numbers as those of a strided convolution. Of fewer than 8 channels that lie innermost
    in memory, the backward pass of PyTorch 2.13's own strided one writes beyond its buffers on CPUs
    without AVX-512, and the process dies at a later time.

    Args:
        in_channels: the channels of what comes in.
        out_channels: the channels of the result.
        stride: s.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002  # torch's name
        """Return shape `(batch, out_channels, y/s, x/s)`, rounded up."""
        across, down = self.stride
        if across > 1 or down > 1:
            input = input[:, :, ::across, ::down]  # noqa: A001
        return F.conv2d(input, self.weight, self.bias)
