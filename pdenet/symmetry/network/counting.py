"""Counting: how many numbers a classifier has, how many are 0, and what a picture costs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pdenet.network.convnet.activation import Radial
from pdenet.network.convnet.classifier import Classifier


@dataclass(frozen=True)
class Count:
    """What a classifier consists of.

    Attributes:
        parameters: the entries of its parameters.
        forms: the entries of quadratic forms that are no parameters; each has n².
        zeros: those of both that are exactly 0.
        units: those of both that are exactly 1 and stand in a matrix or a kernel.
        multiply_adds: those of all convolutions and linear maps for one picture, as they are
            carried out: a 0 inside a dense kernel is multiplied like any other number. Products of
            two fields, norms and activations' own roots are left out.
    """

    parameters: int
    forms: int
    zeros: int
    units: int
    multiply_adds: int

    @property
    def to_store(self) -> int:
        """The numbers that are neither 0 nor such a 1."""
        return self.parameters + self.forms - self.zeros - self.units


def count(model: Classifier, size: int | tuple[int, int] | None = None) -> Count:
    """Count a classifier's numbers and its multiply-adds for one picture.

    Args:
        model: a classifier.
        size: the picture's pixels, one number or (y, x); by default 32 for a plain stem, else 224.

    Returns:
        The counts. Multiply-adds are those that PyTorch's `FlopCounterMode` sees in a run.

    Example:
        >>> import pdenet as pn
        >>> count(pn.create_model("eq7_nows_x6_small", 10), 8).parameters
        106554
    """
    entries = [p.detach() for p in model.parameters()]
    forms = [
        module.factor
        for module in model.modules()
        if isinstance(module, Radial)
        and module.factor is not None
        and not isinstance(module.factor, nn.Parameter)
    ]
    every = [*entries, *forms]
    return Count(
        parameters=sum(p.numel() for p in entries),
        forms=sum(p.numel() for p in forms),
        zeros=sum(int((p == 0).sum()) for p in every),
        units=sum(int((p == 1).sum()) for p in every if p.ndim > 1),
        multiply_adds=_multiply_adds(model, size),
    )


def _multiply_adds(model: Classifier, size: int | tuple[int, int] | None) -> int:
    if size is None:
        size = 32 if model.layout.stem == "plain" else 224
    y, x = size if isinstance(size, tuple) else (size, size)
    like = next(model.parameters())
    picture = torch.zeros(1, model.in_channels, y, x, dtype=like.dtype, device=like.device)
    was_training = model.training
    model.eval()
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(picture)
    finally:
        model.train(was_training)
    return int(counter.get_total_flops()) // 2  # a multiply-add is two operations
