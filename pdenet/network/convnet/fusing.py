"""Fusing: a copy of a model for inference whose batch norms are folded away.

In evaluation mode a batch norm is x ↦ s x + c for each channel, with s = γ/√(σ² + ε) and
c = β − s μ. Behind a convolution s goes into its weights and c becomes its bias:

- the stem, and the skip connection of a block that changes width or stride: as ever;
- the depthwise directions: each channel gets kernels of its own, s K, and a bias. Padding stays
  right, since ghost pixels are made of the input; so do position monomials, which multiply the
  result, bias included;
- a closing norm: the contraction it ends, up to that step, is linear in the closing coefficients
  A_ij; they become s_i A_ij, and a `Shift` stands in the norm's place. That holds too where the
  step is a product, as it can be in Eq. (2);
- an opening norm: likewise with C_jk → s_j C_jk.

Coefficients and kernels that several layers or blocks share are no longer shared in the copy, where
the norms behind them differ.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

from pdenet.equation.system import FREE_INDEX
from pdenet.network.convnet.block import PDEBlock
from pdenet.network.convnet.directions import Directions
from pdenet.network.convnet.widening import COPY
from pdenet.network.products import StackedProduct, WeightStack

Model = TypeVar("Model", bound=nn.Module)


class Shift(nn.Module):
    """x + c, or s x + c, with numbers for each channel: what is left of a batch norm.

    Args:
        bias: c, shape `(channel,)`.
        scale: s, where it could not be folded.
    """

    def __init__(self, bias: torch.Tensor, scale: torch.Tensor | None = None) -> None:
        super().__init__()
        self.bias = nn.Parameter(bias)
        self.scale = None if scale is None else nn.Parameter(scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the shifted x, shape `(batch, channel, y, x)`."""
        if self.scale is not None:
            x = x * self.scale[:, None, None]
        return x + self.bias[:, None, None]


def copied(model: Model) -> Model:
    """Return a copy with parameters of its own, in the same mode."""
    # Not copy.deepcopy(model): making an object of its class may ask for the equation.
    made = object.__new__(type(model))
    made.__dict__.update(copy.deepcopy(model.__dict__))
    return made


@torch.no_grad()
def folded(model: Model) -> Model:
    """Return a copy of a classifier in evaluation mode, every batch norm folded.

    It computes the same up to rounding. Its parameters need no gradient; training it is refused.
    """
    made = copied(model).eval()
    for module in list(made.modules()):
        if isinstance(module, PDEBlock):
            _fold_block(module)
        if isinstance(module, nn.Sequential):
            fold_sequence(module)
    left = [name for name, module in made.named_modules() if is_norm(module)]
    assert not left, f"batch norms of unknown place: {left}"
    made.requires_grad_(False)
    made.is_fused = True  # type: ignore[assignment]  # a flag, no module
    return made


def is_norm(module: object) -> bool:
    """Tell whether a module is a batch norm, synchronised or not."""
    return isinstance(module, nn.modules.batchnorm._BatchNorm)


def scale_and_shift(norm: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """Return s and c of a batch norm x ↦ s x + c, float64, shape `(channel,)` each."""
    assert isinstance(norm, nn.modules.batchnorm._BatchNorm)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean, variance = norm.running_mean.double(), norm.running_var.double()
    scale = norm.weight.double() * (variance + norm.eps).rsqrt()
    return scale, norm.bias.double() - scale * mean


def fold_sequence(sequence: nn.Sequential) -> None:
    """Fold the norms that follow a convolution; an identity takes their places."""
    for place in range(1, len(sequence)):
        convolution, norm = sequence[place - 1], sequence[place]
        if is_norm(norm) and isinstance(convolution, nn.Conv2d):
            scale, shift = scale_and_shift(norm)
            _scale(convolution, scale, 0)
            if convolution.bias is not None:
                shift = shift + scale * convolution.bias.double()
            convolution.bias = nn.Parameter(shift.to(convolution.weight.dtype))
            sequence[place] = nn.Identity()


def _fold_block(block: PDEBlock) -> None:
    for directions in block.banks.convolutions.values():
        assert isinstance(directions, Directions)
        _fold_directions(directions)
    fold_closings(block)
    for key, openings in block.openings.items():
        for opening in openings:
            norm = block.opening_norms[opening.norm]
            if is_norm(norm):  # else fused before
                block.opening_norms[opening.norm] = _fold_into(
                    block, block.products[key], opening.place, opening.letters, norm
                )


def fold_closings(block: PDEBlock) -> None:
    """Fold the closing norms of a block into closing coefficients; shifts take their places."""
    for key, closing in block.closings.items():
        if str(key) in block.norms and is_norm(block.norms[str(key)]):
            # The step is linear in each of them: one takes the scale.
            product, norm = block.products[key], block.norms[str(key)]
            place = closing.places[0]
            if any(opening.place == place for opening in block.openings.get(key, ())):
                # A shift will stand between this coefficient and the closing norm.
                scale, shift = (c.to(block.numbers.dtype) for c in scale_and_shift(norm))
                block.norms[str(key)] = Shift(shift, scale)
                continue
            block.norms[str(key)] = _fold_into(block, product, place, FREE_INDEX, norm)


def _fold_directions(directions: Directions) -> None:
    if not is_norm(directions.norm):
        return
    scale, shift = scale_and_shift(directions.norm)
    kernels = directions.kernels()
    directions.constrained = None
    directions.is_shared = False
    directions.weight = parameter_like(scale[:, None, None, None] * kernels.double(), kernels)
    directions.bias = parameter_like(shift, kernels)
    directions.norm = nn.Identity()


def _fold_into(
    block: PDEBlock, product: StackedProduct, place: int, letters: str, norm: nn.Module
) -> Shift:
    """Scale a coefficient of a product along some letters, and return the norm's shift.

    Args:
        block: the block.
        product: the product.
        place: which of its coefficients.
        letters: those of the norm's channels, in their order.
        norm: the batch norm.
    """
    scale, shift = scale_and_shift(norm)
    dtype = scale_coefficient(block, product, place, letters, scale)
    return Shift(shift.to(dtype))


def scale_coefficient(
    block: PDEBlock, product: StackedProduct, place: int, letters: str, scale: torch.Tensor
) -> torch.dtype:
    """Multiply a coefficient of a product along some letters; others that use it keep the old one.

    Args:
        block: the block.
        product: the product.
        place: which of its coefficients.
        letters: those of the scale's numbers, in their order.
        scale: float64, one number for each value of the letters.

    Returns:
        The coefficient's dtype.
    """
    weights = product.weights[place]
    coefficients = block.coefficients
    old = coefficients.stacks()[weights]
    axes = coefficients.letters[weights]
    sizes = dict(zip(axes, old.shape, strict=True))
    scale = scale.reshape([sizes[c] for c in letters])
    order = [letters.index(c) for c in axes if c in letters]
    scale = scale.permute(order).reshape([sizes[c] if c in letters else 1 for c in axes])
    made = parameter_like(scale * old.double(), old)
    own = WeightStack(
        tuple(f"{name}{COPY}{product.key}.{place}" for name in weights.names),
        "".join(dict.fromkeys(weights.indices)),
    )
    del product.weights[place]
    coefficients.prune([w for every in block.products for w in every.weights])
    coefficients.add(own, axes, made)
    product.weights.insert(place, own)
    return old.dtype


def _scale(convolution: nn.Conv2d, scale: torch.Tensor, axis: int) -> None:
    shape = [1] * convolution.weight.ndim
    shape[axis] = -1
    weight = convolution.weight
    convolution.weight = parameter_like(scale.reshape(shape) * weight.double(), weight)


def parameter_like(values: torch.Tensor, like: torch.Tensor) -> nn.Parameter:
    """Return a parameter of these values, of the dtype of another tensor."""
    return nn.Parameter(values.to(like.dtype).contiguous())
