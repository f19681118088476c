"""Slots: what the indices of a block's layers stand on, as data: coefficients, fields and norms.

A layer is a stack of terms of one shape: coefficients have a name in each term, and letters that
are the same in all. What changes of unknowns do to a block is read from here.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from pdenet.equation.system import FREE_INDEX
from pdenet.network.convnet.divergence import DirectionDivergence
from pdenet.network.convnet.explanation import FlowSource
from pdenet.network.convnet.features import bank_name
from pdenet.network.convnet.norms import Opening
from pdenet.network.convnet.widening import source_name
from pdenet.network.products import STACK, FactorStack, StackedProduct, WeightStack


@dataclass(frozen=True)
class WeightSlots:
    """The coefficients at one place of a layer.

    Attributes:
        stack: their names, and the letters of their indices.
        opened: the letters of those opening norms' channels that stand behind it.
        is_closed: whether the layer's closing norm stands behind it.
    """

    stack: WeightStack
    opened: str
    is_closed: bool

    def name(self, term: int) -> str:
        """Return the name of a term's coefficient."""
        return self.stack.names[min(term, len(self.stack.names) - 1)]


@dataclass(frozen=True)
class FieldSlots:
    """A field in a layer.

    Attributes:
        field: its name.
        letter: that of its component, "" for a scalar field.
        function: what is taken of it, None for the identity.
        bank: the name of the convolution that it stands under; None for the field itself.
    """

    field: str
    letter: str
    function: sp.Expr | None
    bank: str | None


@dataclass(frozen=True)
class ProductSlots:
    """Coefficients, fields and opening norms of a layer, or of what stands under its derivative.

    Attributes:
        product: its place among the block's products.
        weights: the coefficients.
        fields: the fields, those at faces last.
        openings: the opening convolutions that have norms.
    """

    product: int
    weights: tuple[WeightSlots, ...]
    fields: tuple[FieldSlots, ...]
    openings: tuple[Opening, ...]

    def text(self, term: int) -> str:
        """Return a term as mathematics: "A_ij C_jk u_k ∂u_j"."""
        words = [f"{source_name(w.name(term))}_{w.stack.indices}" for w in self.weights]
        for one in self.fields:
            text = f"{one.field}_{one.letter}" if one.letter else one.field
            words.append(text if one.bank is None else f"∂{text}")
        return " ".join(words)


@dataclass(frozen=True)
class FluxSlots:
    """What a layer has under a derivative.

    Attributes:
        nodes: its coefficients and its fields.
        bank: the name of the convolution.
        index: the letters of the flux.
        shape: their lengths.
    """

    nodes: ProductSlots
    bank: str
    index: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class LayerSlots:
    """A layer of a block.

    Attributes:
        field: the field of the left side.
        num_terms: how many terms it has.
        product: what stands outside a derivative.
        flux: what stands under it, or None.
        closing: the name of its closing norm, None where there is none.
        is_grouped: whether the channels made are sums over groups of terms.
    """

    field: str
    num_terms: int
    product: ProductSlots
    flux: FluxSlots | None
    closing: str | None
    is_grouped: bool

    def text(self, term: int) -> str:
        """Return a term as mathematics: "A_ij ∂(C_jk u_k u_j)"."""
        words = [self.product.text(term)]
        words += [f"∂({self.flux.nodes.text(term)})"] if self.flux is not None else []
        return " ".join(word for word in words if word)


def slots_of(block: FlowSource) -> tuple[LayerSlots, ...]:
    """Return the layers of a block; see `PDEBlock.slots`."""
    made = []
    for info, layers in zip(block.structure.fields, block.layers, strict=True):
        for layer in layers:
            flux = None
            for divergence in layer.divergences:
                assert isinstance(divergence, DirectionDivergence)
                nodes = _product(block, divergence.nodes, divergence.faces)
                flux = FluxSlots(nodes, divergence.name, divergence.index, divergence.shape)
            key = str(layer.product.key)
            made.append(
                LayerSlots(
                    info.name,
                    len(layer.product.products),
                    _product(block, layer.product),
                    flux,
                    key if key in block.norms else None,
                    STACK in layer.output,
                )
            )
    return tuple(made)


def _product(
    block: FlowSource, product: StackedProduct, faces: list[FactorStack] | None = None
) -> ProductSlots:
    openings = tuple(block.openings.get(product.key, ()))
    closing = block.closings.get(product.key)
    weights = []
    for k, stack in enumerate(product.weights):
        behind = {c for one in openings if k in one.inside for c in one.letters}
        opened = "".join(c for c in stack.indices if c in behind)
        is_closed = closing is not None and k in closing.inside and FREE_INDEX in stack.indices
        weights.append(WeightSlots(stack, opened, is_closed))
    functions = [factor.function for factor in product.products[0].factors]
    factors = [*product.factors, *(faces or ())]
    functions += [None] * len(faces or ())  # at faces stand derivatives, without functions
    fields = tuple(
        FieldSlots(
            factor.field,
            factor.letters.replace(STACK, ""),
            function,
            None if factor.places[0] is None else bank_name(factor.places[0][0]),
        )
        for factor, function in zip(factors, functions, strict=True)
    )
    return ProductSlots(product.key, tuple(weights), fields, openings)
