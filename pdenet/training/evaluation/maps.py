"""Feature maps: the state u of a classifier on one picture, from the stem through the stages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

NUM_CHANNELS = 8
"""So many channels of each level are shown."""


@dataclass(frozen=True, eq=False)
class Level:
    """The state at one depth.

    Attributes:
        name: "stem", "stage 1", and so on.
        num_channels: how many channels the state has.
        channels: the numbers of those that are kept, from 0, ascending.
        maps: shape (kept channels, y, x), float32.
        largest: the largest finite |u| among them: the ends of one scale of colours for all.
    """

    name: str
    num_channels: int
    channels: tuple[int, ...]
    maps: np.ndarray
    largest: float


def feature_maps(
    model: nn.Module, picture: Tensor, num_channels: int = NUM_CHANNELS
) -> tuple[Level, ...]:
    """Return the state behind the stem and behind each stage.

    Of the channels those are kept that vary most over the picture. A model without `stem` and
    `stages` has none. Evaluation mode meanwhile.

    Args:
        model: a classifier; `stages` is a `nn.ModuleList`.
        picture: shape (channels, y, x), normalised, on the model's device.
        num_channels: how many channels of each level are kept.
    """
    parts = {"stem": getattr(model, "stem", None)}
    stages = getattr(model, "stages", None)
    if isinstance(stages, nn.ModuleList | nn.Sequential):
        parts |= {f"stage {k}": stage for k, stage in enumerate(stages, 1)}
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, object, object], None]:
        def kept(module: nn.Module, inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and output.ndim == 4:
                found[name] = output.detach()[0].float().cpu()

        return kept

    hooks = [
        part.register_forward_hook(keep(name))
        for name, part in parts.items()
        if isinstance(part, nn.Module)
    ]
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            model(picture[None])
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return tuple(_level(name, state, num_channels) for name, state in found.items())


def _level(name: str, state: Tensor, num_channels: int) -> Level:
    values = np.array(state.numpy())  # (channel, y, x)
    finite = np.where(np.isfinite(values), values, 0.0).astype(np.float64)
    # A stable sort: of channels that vary as much the first ones.
    order = np.argsort(-finite.std(axis=(1, 2)), kind="stable")[:num_channels]
    channels = tuple(sorted(order.tolist()))
    kept = values[list(channels)]
    return Level(
        name, len(values), channels, kept, float(np.abs(finite[list(channels)]).max(initial=0.0))
    )
