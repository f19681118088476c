"""Copies of a classifier with parameters of their own."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn

Model = TypeVar("Model", bound=nn.Module)


def copied(model: Model) -> Model:
    """Return a copy with parameters of its own, in the same mode."""
    # Not copy.deepcopy(model): making an object of its class may ask for the equation.
    made = object.__new__(type(model))
    made.__dict__.update(copy.deepcopy(model.__dict__))
    return made
