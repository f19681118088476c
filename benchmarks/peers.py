"""Models of timm, for comparison."""

from __future__ import annotations

import torch
from torch import nn


def _declare_operators() -> None:
    """Declare two operators of torchvision, whose wheel expects them to be compiled in.

    timm imports torchvision, and torchvision from PyPI does not import on a torch without CUDA.
    """
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in (
        "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    ):
        library.define(schema)
    _KEPT.append(library)


_KEPT: list[torch.library.Library] = []


def timm_model(name: str, num_classes: int) -> nn.Module:
    """Return a model of timm with newly drawn weights."""
    if not torch.cuda.is_available() and not _KEPT:
        _declare_operators()
    import timm

    model: nn.Module = timm.create_model(name, num_classes=num_classes)
    return model
