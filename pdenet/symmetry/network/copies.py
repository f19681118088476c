"""Copies of a classifier, whole and with the norms of a stage folded."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn

from pdenet.network.convnet.stage_folding import fold_stages

Model = TypeVar("Model", bound=nn.Module)


def copied(model: Model) -> Model:
    """Return a copy with parameters of its own, in the same mode."""
    # Not copy.deepcopy(model): making an object of its class may ask for the equation.
    made = object.__new__(type(model))
    made.__dict__.update(copy.deepcopy(model.__dict__))
    return made


def folded_copy(model: Model, *stages: int) -> Model:
    """Return a model itself, with the norms folded that act on the unknowns of some stages."""
    fold_stages(model, stages)
    return model
