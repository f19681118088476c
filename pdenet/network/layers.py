"""Layers: the terms of a right side that have one shape, with their fluxes, ready to be computed.

A layer whose terms are all Σ scale · (kernel ⋆ u) is a single convolution: the scales are put into
the kernel. All others are stacked products.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any  # values of maps are numbers or tensors

import torch

from pdenet.discrete.fluxes import divergence
from pdenet.discrete.structure import Flux, Layer
from pdenet.network.contraction import Contraction, Operand
from pdenet.network.features import Row, Support, Window, convolve
from pdenet.network.products import (
    PIXELS,
    STACK,
    Context,
    Divergence,
    FactorStack,
    FieldValues,
    Scales,
    StackedProduct,
    Tensors,
    stacked,
)


class FaceDivergence:
    """(F_{i+½} − F_{i−½})/h of a flux with differences at the face; see `Flux`."""

    def __init__(self, flux: Flux, context: Context) -> None:
        dimension = context.structure.dimension
        self.flux = flux
        self.place = -(flux.axis + 1)
        at_faces = "".join(f.index for f in flux.faces)
        kept = "".join(sorted(flux.nodes.letters & set(flux.index + at_faces)))
        window = Window.around(flux.axis, dimension)
        self.nodes = StackedProduct([flux.nodes], kept, window, {}, context)
        window = Window.faces(flux.axis, dimension)
        self.faces = [FactorStack([f], window, context) for f in flux.faces]
        operands = [Operand(kept, True), *(Operand(f.letters, True) for f in self.faces)]
        self.sizes = {c: self.nodes.contraction.sizes[c] for c in kept}
        for face in self.faces:
            self.sizes.update(face.sizes)
        self.contraction = Contraction(operands, flux.index, self.sizes, PIXELS, dimension)
        self.spacing = context.structure.spacing[flux.axis]

    def __call__(self, features: FieldValues, tensors: Tensors, t: Any) -> torch.Tensor:
        """Return the divergence, shape `(batch, *index, *space)`."""
        flux = self.nodes(features, tensors, t)
        flux = self.flux.rule.values(flux, self.place)
        flux = self.contraction([flux, *(face(features) for face in self.faces)])
        return divergence(flux, self.place, self.spacing)


class KernelDivergence:
    """Kernels of one support applied to one product of what stands at nodes; see `Flux`."""

    def __init__(self, fluxes: Sequence[Flux], context: Context) -> None:
        structure = context.structure
        self.kernels = [f.kernel for f in fluxes if f.kernel is not None]
        kernel = structure.kernels[self.kernels[0]]
        before = tuple(-f for f in kernel.first)
        self.window = Window(before, kernel.last)
        self.flux = fluxes[0]
        self.nodes = StackedProduct([self.flux.nodes], self.flux.index, self.window, {}, context)
        self.sizes = {c: self.nodes.contraction.sizes[c] for c in self.flux.index}

    def __call__(self, features: FieldValues, tensors: Tensors, t: Any) -> torch.Tensor:
        """Return all divergences, shape `(batch, *index, kernel, *space)`; of one no kernel."""
        flux = self.nodes(features, tensors, t)
        pairs = zip(features.points, self.window.before, self.window.after, strict=True)
        points = [n + b + a for n, b, a in pairs][::-1]
        lead = flux.shape[: flux.ndim - len(points)]
        kernels = torch.stack([tensors.kernels[k] for k in self.kernels])[:, None]
        made = convolve(flux.expand(*lead, *points), kernels)
        return made if len(self.kernels) > 1 else made.squeeze(len(lead))


def divergences(
    fluxes: Sequence[Flux], stack: str, context: Context
) -> tuple[list[Divergence], str]:
    """Return what computes the divergences of a scheme's fluxes, and the letters of their stack."""
    if share_nodes(fluxes, context):
        return [KernelDivergence(fluxes, context)], fluxes[0].index + stack
    made: list[Divergence] = [
        FaceDivergence(f, context) if f.kernel is None else KernelDivergence([f], context)
        for f in fluxes
    ]
    return made, stack + fluxes[0].index


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
        if context.folds_linear and _is_linear(layer, output, context):
            kernels = tuple(p.factors[0].kernel for p in products)
            row = Row(tuple(k for k in kernels if k is not None), key)
            self.folded = context.banks.ask(products[0].factors[0].field, context.window, row)
            self.scales = Scales(products)
            return
        fluxes = [term.flux for term in layer.terms if term.flux is not None]
        stack = STACK if len(products) > 1 else ""
        self.divergences: list[Divergence] = []
        others: dict[str, Mapping[str, int]] = {}
        if fluxes:
            self.divergences, letters = context.divergences(fluxes, stack)
            others[letters] = self.divergences[0].sizes
        self.product = StackedProduct(products, output, context.window, others, context)
        self.scales = self.product.scales

    def __call__(self, features: FieldValues, tensors: Tensors, t: Any) -> torch.Tensor:
        """Return the sum of the terms, shape `(batch, component, *space)`; axes may be 1."""
        if self.folded is not None:
            return features.convolved(*self.folded)
        result = self.product(features, tensors, t, self._others(features, tensors, t))
        return result if self.output else result[:, None]

    def _others(self, features: FieldValues, tensors: Tensors, t: Any) -> list[torch.Tensor]:
        """Return the divergences as one operand, or nothing."""
        made = [divergence(features, tensors, t) for divergence in self.divergences]
        return made if len(made) < 2 else [stacked(made)]


def share_nodes(fluxes: Sequence[Flux], context: Context) -> bool:
    """Tell whether fluxes are derivatives of one product, by kernels of one support."""
    kernels = [context.structure.kernels[f.kernel] for f in fluxes if f.kernel is not None]
    supports = {(k.first, k.shape) for k in kernels}
    same = all(f.nodes == fluxes[0].nodes and f.index == fluxes[0].index for f in fluxes)
    return len(kernels) == len(fluxes) and len(supports) == 1 and same


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
