"""The published models with their blocks written out in torch's own layers, unfused."""

from __future__ import annotations

import itertools

from torch import nn

from pdenet.network.convnet.activation import Softball
from pdenet.network.convnet.layout import LAYOUTS
from pdenet.network.convnet.stem import Stem
from tests.network.convnet.written import WRITTEN


def literal_model(name: str, num_classes: int) -> nn.Module:
    """Return a published model with literal blocks, ResNet50's layout, softball at stage ends."""
    kind, directions, shared = WRITTEN[name]
    layout = LAYOUTS["resnet50"]
    layers: list[nn.Module] = [Stem(3, layout)]
    channels = layout.widths[0]
    for stage, (width, depth) in enumerate(zip(layout.widths, layout.depths, strict=True)):
        for block in range(depth):
            stride = 2 if stage and not block else 1
            layers.append(kind(channels, width, stride, directions, shared))
            channels = width
            if stride > 1:
                layers.append(Softball())
    head = [Softball(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes)]
    return nn.Sequential(*itertools.chain(layers, head))
