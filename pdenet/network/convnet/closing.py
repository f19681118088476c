"""Closing: after which step of a layer its batch norm stands.

It follows the closing 1×1 convolution: the coefficient that carries the free index i together with
an index of what is differentiated, A_ij with j on ∂u_j. In Eq. (4) that is before the product with
C_ik u_k, as the published counts and texts have it ("after the closing 1×1"); Eq. (5), whose C_ik
has no index of ∂u_i but i, has none.
"""

from __future__ import annotations

from dataclasses import dataclass

from pdenet.discrete.structure import Layer
from pdenet.equation.system import FREE_INDEX
from pdenet.network.convnet.widths import carries_free_index
from pdenet.network.layers import StackedTerms
from pdenet.network.products import STACK, WeightStack


@dataclass(frozen=True)
class Closing:
    """Where a layer's closing norm stands.

    Attributes:
        product: the key of the layer's product.
        step: the number of the step's result, None for the layer's own result.
        weights: the closing coefficients.
    """

    product: int
    step: int | None
    weights: tuple[WeightStack, ...]


def closing_of(layer: Layer, stacked: StackedTerms) -> Closing | None:
    """Return where the closing norm of a layer stands, None where it has no closing convolution."""
    if carries_free_index(layer):
        return None
    product = stacked.product
    if not product.is_spatial:  # a source that is the same at all pixels has no variance
        return None
    contraction = product.contraction
    start = product.place_of_weights
    behind = start + len(product.weights)
    last_given = len(contraction.operands) - len(contraction.steps)
    derived = {behind + k for k, f in enumerate(product.factors) if f.kernels != (None,)} | set(
        range(behind + len(product.factors), last_given)
    )
    letters = {c for k in derived for c in contraction.operands[k].letters} - {STACK}
    closing = {
        k: weights
        for k, weights in enumerate(product.weights, start)
        if FREE_INDEX in weights.indices and (not derived or letters & set(weights.indices))
    }
    if not closing:
        return None
    inside = contraction.inside()
    found = None
    for number, step in enumerate(contraction.steps, last_given):
        enough = closing.keys() | derived <= inside[number]
        if enough and step.result.is_spatial and step.result.letters == FREE_INDEX:
            found = number
            break
    return Closing(product.key, found, tuple(closing.values()))
