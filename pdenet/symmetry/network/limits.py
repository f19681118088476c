"""Limits: what stands between the blocks of a classifier, and which changes it lets through."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from pdenet.network.convnet.activation import Radial
from pdenet.network.convnet.classifier import Classifier
from pdenet.symmetry.groups import IDENTITY, ORTHOGONAL, Group
from pdenet.symmetry.network.reading import Reading
from pdenet.symmetry.network.stages import stage_of

POSITIVE = Group("monomial", "positive")
SIGNED = Group("monomial", "signs", common=False)


@dataclass(frozen=True)
class Limit:
    """Something that admits a part of GL(n) only.

    Attributes:
        layer: which layer.
        group: what it admits.
        why: a sentence.
    """

    layer: str
    group: Group
    why: str

    def __str__(self) -> str:
        return f"{self.layer}: {self.group}, since {self.why}"


def limits_around(model: Classifier, number: int) -> list[Limit]:
    """Return what limits the group of a stage besides its blocks."""
    stage = stage_of(model, number)
    limits = []
    for k, activation in enumerate(stage.activations, 1):
        limits += _of_activation(activation, f"the activation behind block {k}")
    if number == len(model.stages):
        limits += _of_activation(model.final, "the activation behind the last stage")
        limits += _of_head(model)
    if number == 1 and model.stem.projection is None:
        why = "they are what a ReLU gave, channel by channel; stem_projection=True frees them"
        limits.append(Limit("the stem", POSITIVE, why))
    return limits


def _of_activation(module: nn.Module, layer: str) -> list[Limit]:
    if isinstance(module, nn.Identity):
        return []
    name = type(module).__name__.lower()
    if isinstance(module, Radial):
        if module.factor is not None:
            return []
        why = f"{name} measures uᵀu; a quadratic form of its own would move along"
        return [Limit(layer, ORTHOGONAL, why)]
    if isinstance(module, nn.ReLU):
        return [Limit(layer, POSITIVE, "relu acts on each component and keeps positive factors")]
    if isinstance(module, nn.Hardtanh) and module.min_val == -module.max_val:
        return [Limit(layer, SIGNED, "hardtanh clips each component at the same number")]
    return [Limit(layer, IDENTITY, f"nothing is known of {type(module).__name__}")]


def _of_head(model: Classifier) -> list[Limit]:
    if not isinstance(model.head, nn.Linear):
        return [Limit("the head", IDENTITY, "without a linear map its features are the result")]
    if model.global_pool == "max":
        why = "the maximum over pixels is taken of each component"
        return [Limit("the pooling", POSITIVE, why)]
    return []


def limits_in_training(model: Classifier, number: int, reading: Reading) -> list[Limit]:
    """Return what limits it in training mode alone, with all batch norms as they are."""
    limits = []
    if any(channels.divides for channels in reading.channels):
        why = "the ε that they add to variances does not change with factors"
        limits.append(Limit("batch norms of derivatives", SIGNED, why))
    if number == len(model.stages) and model.drop_rate:
        why = "dropout leaves components out (permuted, it does so with the same probability)"
        limits.append(Limit("dropout", Group("monomial"), why))
    return limits
