"""Norms: behind which steps of a product batch norms stand.

A closing norm follows the closing 1×1 convolution: the coefficient that carries the free index i
together with an index of what is differentiated, A_ij with j on ∂u_j. In Eq. (4) that is before the
product with C_ik u_k, as the published counts and texts have it ("after the closing 1×1"); Eq. (5),
whose C_ik has no index of ∂u_i but i, has none.

Opening norms follow 1×1 convolutions of the fields themselves: C_jk u_k in Eqs. (3) to (6), C_jk
u_k and D_jl u_l in Eq. (7). The authors' published code has them, the printed parameter counts do
not: see `Relaxation.opening_norm`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from pdenet.discrete.structure import Layer
from pdenet.equation.system import FREE_INDEX
from pdenet.network.convnet.widening import carries_free_index
from pdenet.network.layers import StackedTerms
from pdenet.network.products import STACK, StackedProduct


@dataclass(frozen=True)
class Closing:
    """Where a layer's closing norm stands.

    Attributes:
        step: the number of the step's result, None for the layer's own result.
        places: which of the product's coefficients close it.
        inside: the places of all coefficients that it stands behind.
    """

    step: int | None
    places: tuple[int, ...]
    inside: frozenset[int]


@dataclass(frozen=True)
class Opening:
    """An opening convolution.

    Attributes:
        norm: the name of the norm behind it.
        step: the number of the step in its product's contraction.
        place: which of the product's coefficients it carries.
        inside: the places of all coefficients in it.
        letters: the letters of what it makes; their channels are normalised one by one.
        shape: their lengths.
    """

    norm: str
    step: int
    place: int
    inside: frozenset[int]
    letters: str
    shape: tuple[int, ...]


def closing_of(layer: Layer, stacked: StackedTerms) -> Closing | None:
    """Return where the closing norm of a layer stands, None where it has no closing convolution."""
    product = stacked.product
    # A source that is the same at all pixels has no variance.
    if carries_free_index(layer) or not product.is_spatial:
        return None
    contraction, behind = product.contraction, product.place_of_factors
    derived = {behind + k for k, f in enumerate(product.factors) if f.kernels != (None,)}
    derived |= set(range(behind + len(product.factors), contraction.num_given))
    letters = {c for k in derived for c in contraction.operands[k].letters} - {STACK}
    places = tuple(
        k
        for k, weights in enumerate(product.weights)
        if FREE_INDEX in weights.indices and (not derived or letters & set(weights.indices))
    )
    if not places:
        return None
    needed = derived | {product.place_of_weights + k for k in places}
    inside = contraction.inside()
    found = None
    for number, step in contraction.numbered():
        enough = needed <= inside[number]
        if enough and step.result.is_spatial and step.result.letters == FREE_INDEX:
            found = number
            break
    all_places = range(len(product.weights))
    behind_it = all_places if found is None else _places(product, inside[found])
    return Closing(found, places, frozenset(behind_it))


def openings_of(product: StackedProduct, is_layer: bool) -> list[Opening]:
    """Return the opening convolutions of a product, in order.

    Args:
        product: the product.
        is_layer: whether its result is the layer's own: then what makes it closes, not opens.
    """
    contraction = product.contraction
    behind = product.place_of_factors
    fields = {behind + k for k, f in enumerate(product.factors) if f.kernels == (None,)}
    inside = contraction.inside()
    found = []
    for number, step in contraction.numbered():
        if step.kind != "convolution" or (is_layer and number == contraction.last):
            continue
        field, constant = contraction.field_and_constant(step)
        letters = step.result.letters
        within = _places(product, inside[constant])
        given = contraction.operands[product.place_of_weights :]
        carriers = [k for k in within if set(letters) <= set(given[k].letters)]
        if field in fields and carriers:
            name, shape = f"{product.key}_{number}", tuple(contraction.sizes[c] for c in letters)
            found.append(Opening(name, number, carriers[0], frozenset(within), letters, shape))
    return found


def _places(product: StackedProduct, operands: frozenset[int]) -> list[int]:
    """Return the places of the coefficients among some operands, in order."""
    start = product.place_of_weights
    return [k - start for k in sorted(operands) if start <= k < product.place_of_factors]


def normalised(norm: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Apply a norm to x, shape `(batch, *letters, y, x)`, a channel for each set of letters."""
    made: torch.Tensor = norm(x.flatten(1, -3))
    return made.reshape(x.shape)
