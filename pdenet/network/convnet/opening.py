"""Opening: the steps of a product that are 1×1 convolutions of the fields themselves.

C_jk u_k in Eqs. (3) to (6), C_jk u_k and D_jl u_l in Eq. (7). The authors' published code has a
batch norm behind them, the printed parameter counts have none: see `Relaxation.opening_norm`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from pdenet.network.products import StackedProduct


@dataclass(frozen=True)
class Opening:
    """An opening convolution.

    Attributes:
        step: the number of the step in its product's contraction.
        place: which of the product's coefficients it carries.
        letters: the letters of what it makes; their channels are normalised one by one.
        channels: how many channels these are.
    """

    step: int
    place: int
    letters: str
    channels: int


def openings_of(product: StackedProduct, is_layer: bool) -> list[Opening]:
    """Return the opening convolutions of a product, in order.

    Args:
        product: the product.
        is_layer: whether its result is the layer's own: then what makes it closes, not opens.
    """
    contraction = product.contraction
    start = product.place_of_weights
    behind = start + len(product.weights)
    fields = {behind + k for k, f in enumerate(product.factors) if f.kernels == (None,)}
    num_given = len(contraction.operands) - len(contraction.steps)
    inside = contraction.inside()
    found = []
    for number, step in enumerate(contraction.steps, num_given):
        if step.kind != "convolution" or (is_layer and number == contraction.last):
            continue
        field, constant = step.first, step.second
        if not contraction.operands[field].is_spatial:
            field, constant = constant, field
        letters = step.result.letters
        carriers = [
            k - start
            for k in sorted(inside[constant])
            if start <= k < behind and set(letters) <= set(contraction.operands[k].letters)
        ]
        if field in fields and carriers:
            channels = math.prod(contraction.sizes[c] for c in letters)
            found.append(Opening(number, carriers[0], letters, channels))
    return found


def opening_key(product: int, step: int) -> str:
    """Return the name of the norm behind a step of a product."""
    return f"{product}_{step}"


def normalised(norm: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Apply a norm to x, shape `(batch, *letters, y, x)`, a channel for each set of letters."""
    made: torch.Tensor = norm(x.flatten(1, -3))
    return made.reshape(x.shape)
