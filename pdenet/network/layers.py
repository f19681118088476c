"""Layers: the terms of a right side that have one shape, with their fluxes, ready to be computed.

A layer whose terms are all Σ scale · (kernel ⋆ u) is a single convolution: the scales are put into
the kernel. All others are stacked products.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any  # values of maps are numbers or tensors

import torch

from pdenet.discrete.arrays import cut
from pdenet.network.contraction import Contraction, Operand
from pdenet.network.features import NODES, Features, Row, Support, Window
from pdenet.network.products import (
    PIXELS,
    STACK,
    Context,
    FactorStack,
    Scales,
    StackedProduct,
    Tensors,
    stacked,
)
from pdenet.network.structure import Flux, Layer


class FluxDivergence:
    """(F_{i+½} − F_{i−½})/h; see `Flux`."""

    def __init__(self, flux: Flux, context: Context) -> None:
        self.flux = flux
        self.context = context
        self.place = -(flux.axis + 1)
        at_faces = "".join(f.index for f in flux.faces)
        kept = "".join(sorted(flux.nodes.letters & set(flux.index + at_faces)))
        window = Window(flux.axis)
        self.nodes = StackedProduct([flux.nodes], kept, window, {}, context)
        self.faces = [FactorStack([f], Window(flux.axis, faces=True), context) for f in flux.faces]
        operands = [Operand(kept, True), *(Operand(f.letters, True) for f in self.faces)]
        self.sizes = {c: self.nodes.contraction.sizes[c] for c in kept}
        for face in self.faces:
            self.sizes.update(face.sizes)
        self.contraction = Contraction(
            operands, flux.index, self.sizes, PIXELS, context.structure.dimension
        )
        self.per_length = 1.0 / context.structure.spacing[flux.axis]

    def __call__(self, features: Features, tensors: Tensors, t: Any) -> torch.Tensor:
        """Return the divergence, shape `(batch, *index, *space)`."""
        flux = self.nodes(features, tensors, t)
        if flux.shape[self.place] > 1:
            flux = 0.5 * (cut(flux, self.place, 0, -1) + cut(flux, self.place, 1, None))
        flux = self.contraction([flux, *(face(features) for face in self.faces)])
        if flux.shape[self.place] == 1:
            return 0.0 * flux  # the divergence of a constant flux
        upper, lower = cut(flux, self.place, 1, None), cut(flux, self.place, 0, -1)
        return (upper - lower) * self.per_length


class StackedTerms:
    """A layer that is ready to be carried out.

    Args:
        layer: the layer.
        key: a number of its own among the block's layers.
        output: the letters of the result: "i" for a vector field, else "".
        context: the block.
    """

    def __init__(self, layer: Layer, key: int, output: str, context: Context) -> None:
        self.output = output
        self.key = key
        self.folded: tuple[Support, int] | None = None
        products = [term.product for term in layer.terms]
        if _is_linear(layer, output, context):
            kernels = tuple(p.factors[0].kernel for p in products)
            assert None not in kernels
            row = Row(kernels, key)  # type: ignore[arg-type]  # no None is left
            self.folded = context.banks.ask(products[0].factors[0].field, NODES, row)
            self.scales = Scales(products)
            return
        self.fluxes = [FluxDivergence(t.flux, context) for t in layer.terms if t.flux is not None]
        others: dict[str, Mapping[str, int]] = {}
        if self.fluxes:
            stack = STACK if len(products) > 1 else ""
            others[stack + self.fluxes[0].flux.index] = self.fluxes[0].sizes
        self.product = StackedProduct(products, output, NODES, others, context)
        self.scales = self.product.scales

    def __call__(self, features: Features, tensors: Tensors, t: Any) -> torch.Tensor:
        """Return the sum of the terms, shape `(batch, component, *space)`; axes may be 1."""
        if self.folded is not None:
            return features.convolved(*self.folded)
        others = []
        if self.fluxes:
            made = [flux(features, tensors, t) for flux in self.fluxes]
            others = [made[0] if len(made) == 1 else stacked(made)]
        result = self.product(features, tensors, t, others)
        return result if self.output else result[:, None]


def _is_linear(layer: Layer, output: str, context: Context) -> bool:
    """Tell whether a layer is Σ scale · (kernel ⋆ u): its scales are folded into one kernel."""
    supports = set()
    for term in layer.terms:
        product = term.product
        if term.flux is not None or product.map is not None or product.weights:
            return False
        if len(product.factors) != 1:
            return False
        factor = product.factors[0]
        if factor.kernel is None or factor.function is not None or factor.index != output:
            return False
        kernel = context.structure.kernels[factor.kernel]
        supports.add((kernel.first, kernel.shape))
    return len(supports) == 1
