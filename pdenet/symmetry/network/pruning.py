"""Pruning: small weights become 0, how many numbers are left, and what that changes.

A threshold is relative: of the largest entry of each tensor. Only matrices that changes of unknowns
move are pruned, so that a network and its image under such a change are compared on the same
tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pdenet.errors import SymmetryError
from pdenet.network.convnet.activation import Radial
from pdenet.network.convnet.classifier import Classifier
from pdenet.network.convnet.fusing import copied
from pdenet.symmetry.network.places import places

_HALVINGS = 12
"""Steps of the bisection, on a logarithmic scale from 1 to 1e-6: the last is a factor of 1.003."""


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


def thresholded(model: Classifier, stages: Sequence[int], threshold: float) -> Classifier:
    """Return a copy without the entries below a threshold.

    Args:
        model: a classifier whose norms at these stages are folded.
        stages: the stages whose tensors are pruned.
        threshold: relative to the largest entry of each tensor.
    """
    made = copied(model)
    for place in places(made, stages):
        value = place.read()
        if value.ndim > 1:
            place.write(torch.where(value.abs() < threshold * value.abs().max(), 0.0, value))
    return made


def pruned(model: Classifier, stages: Sequence[int], fraction: float) -> Classifier:
    """Return a copy in which a fraction of the entries of each tensor is 0: the smallest ones.

    Args:
        model: a classifier whose norms at these stages are folded.
        stages: the stages whose tensors are pruned; quadratic forms are left alone.
        fraction: from 0 to 1.
    """
    made = copied(model)
    for place in places(made, stages):
        value = place.read()
        count = round(fraction * value.numel())
        if value.ndim > 1 and count and not place.is_form:
            flat = value.reshape(-1).clone()
            flat[flat.abs().argsort()[:count]] = 0.0
            place.write(flat.reshape(value.shape))
    return made


@torch.no_grad()
def logits_change(model: Classifier, other: Classifier, images: torch.Tensor) -> float:
    """Return the largest difference of logits relative to the largest logit of the first model."""
    expected = model(images).double()
    change = (other(images).double() - expected).abs().max() / expected.abs().max()
    return float(change)


def largest_threshold(
    model: Classifier, stages: Sequence[int], images: torch.Tensor, tolerance: float
) -> float:
    """Return the largest threshold found whose change of logits stays within a tolerance.

    The change need not grow with the threshold; a bisection finds one place where it passes the
    tolerance, and what it returns was measured to stay within.
    """
    low, high = -6.0, 0.0
    best = 0.0
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        change = logits_change(model, thresholded(model, stages, 10.0**middle), images)
        if change <= tolerance:
            low = middle
            best = 10.0**middle
        else:
            high = middle
    return best


def probes(model: Classifier, images: torch.Tensor | None, seed: int) -> torch.Tensor:
    """Return pictures to measure changes on: those given, or eight random ones.

    Raises:
        SymmetryError: they are no pictures for this model.
    """
    like = next(model.parameters())
    if images is None:
        size = 16 if model.layout.stem == "plain" else 64
        generator = torch.Generator().manual_seed(seed)
        images = torch.randn(8, model.in_channels, size, size, generator=generator)
    if not isinstance(images, torch.Tensor) or images.ndim != 4 or not len(images):
        raise SymmetryError(
            "images is a tensor (picture, channel, y, x) of one picture or more; got "
            f"{getattr(images, 'shape', type(images).__name__)}; give pictures of the data set"
        )
    return images.to(like)
