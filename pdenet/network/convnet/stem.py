"""Stem: what makes a picture the initial state."""

from __future__ import annotations

import torch
from torch import nn

from pdenet.network.convnet.layout import STEM_LEVEL, Layout


class Stem(nn.Sequential):
    """A convolution, a batch norm, a ReLU, and in the stem of ResNet a pooling.

    Args:
        in_channels: the channels of a picture.
        layout: its `stem` and the first of its `widths`.
        projection: whether a 1×1 convolution follows, at first the identity. Without it the first
            stage's state is what the ReLU gives, whose channels stay channels.
    """

    def __init__(self, in_channels: int, layout: Layout, projection: bool = False) -> None:
        width = layout.widths[0]
        if layout.stem == "plain":
            convolution = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
            pool: list[nn.Module] = []
        else:
            convolution = nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
            pool = [nn.MaxPool2d(3, stride=2, padding=1)]
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="linear")
        behind: list[nn.Module] = []
        if projection:
            last = nn.Conv2d(width, width, 1, bias=False)
            nn.init.dirac_(last.weight)
            behind.append(last)
        super().__init__(convolution, nn.BatchNorm2d(width), nn.ReLU(), *pool, *behind)

    @property
    def projection(self) -> nn.Conv2d | None:
        """The 1×1 convolution at the end, or None."""
        last = self[-1]
        return last if len(self) > STEM_LEVEL + 1 and isinstance(last, nn.Conv2d) else None

    @property
    def end(self) -> str:
        """What stands behind level 0: "projection" or "pool", "" for nothing."""
        if self.projection is not None:
            return "projection"
        return "pool" if len(self) > STEM_LEVEL + 1 else ""

    def level_and_state(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the state before pooling, which is level 0, and that behind it.

        Args:
            x: pictures, shape `(batch, in_channels, y, x)`.

        Returns:
            Two tensors of shape `(batch, channel, y, x)`; one and the same where nothing is behind.
        """
        level = x
        for place, module in enumerate(self):
            x = module(x)
            if place == STEM_LEVEL:
                level = x
        return level, x

    def remove_pool(self) -> None:
        """Leave nothing behind level 0, neither a pooling nor a projection."""
        del self[STEM_LEVEL + 1 :]
