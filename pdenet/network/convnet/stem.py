"""Stem: what makes a picture the initial state."""

from __future__ import annotations

import torch
from torch import nn

from pdenet.network.convnet.layout import Layout

LEVEL = 2
"""The place of the ReLU, behind which level 0 stands."""


class Stem(nn.Sequential):
    """A convolution, a batch norm, a ReLU, and in the stem of ResNet a pooling.

    Args:
        in_channels: the channels of a picture.
        layout: its `stem` and the first of its `widths`.
    """

    def __init__(self, in_channels: int, layout: Layout) -> None:
        width = layout.widths[0]
        if layout.stem == "plain":
            convolution = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
            pool: list[nn.Module] = []
        else:
            convolution = nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
            pool = [nn.MaxPool2d(3, stride=2, padding=1)]
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="linear")
        super().__init__(convolution, nn.BatchNorm2d(width), nn.ReLU(), *pool)

    def level_and_state(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the state before pooling, which is level 0, and that behind it.

        Args:
            x: pictures, shape `(batch, in_channels, y, x)`.

        Returns:
            Two tensors of shape `(batch, channel, y, x)`; one and the same where nothing pools.
        """
        level = x
        for place, module in enumerate(self):
            x = module(x)
            if place == LEVEL:
                level = x
        return level, x

    def remove_pool(self) -> None:
        """Leave nothing behind level 0."""
        del self[LEVEL + 1 :]
