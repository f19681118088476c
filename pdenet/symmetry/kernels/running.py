"""Running: a model is asked something, and is afterwards as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import nn

REFUSALS = (RuntimeError, ValueError, AssertionError, IndexError, TypeError)
"""What a model may raise for pictures that it does not take."""


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put every part of a model into evaluation mode, without gradients; then restore each."""
    before = [(module, module.training) for module in model.modules()]
    try:
        for module, _ in before:
            # Not train(): a module may refuse a mode, and these flags only come back.
            module.training = False
        with torch.no_grad():
            yield
    finally:
        for module, mode in before:
            module.training = mode


def home(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Return where a model's floating-point numbers are, and of which type; CPU if it has none."""
    for tensor in chain(model.parameters(), model.buffers()):
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    return torch.device("cpu"), torch.get_default_dtype()


def model_name(model: nn.Module) -> str:
    """Return what a model calls itself: pdenet's name, timm's, or that of its class."""
    name = getattr(model, "name", None)
    if isinstance(name, str):
        return name
    config = getattr(model, "default_cfg", None) or getattr(model, "pretrained_cfg", None)
    name = config.get("architecture") if isinstance(config, dict) else None
    return name if isinstance(name, str) else type(model).__name__
