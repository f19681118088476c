"""Widths: the lengths of all indices in a block that changes the number of components.

A block takes n components and gives n′. Everything inside has the width that the equation gives it
for n; the free index i has n′, unless a field carries it, as in C_ik u_k ∂u_i. Then the block has
n products in each direction, and their sums over consecutive groups of directions are its n′
outputs.
"""

from __future__ import annotations

from dataclasses import replace

from pdenet.discrete.structure import (
    Factor,
    Layer,
    LayerProduct,
    LayerTerm,
    Structure,
    Weight,
)
from pdenet.equation.system import FREE_INDEX
from pdenet.network.convnet.form import Form
from pdenet.network.convnet.widening import COPY


class Widths:
    """Shapes of the coefficients of a block; one that is needed in two shapes becomes two.

    Args:
        form: the equation.
        width: n.
        out_width: n′.

    Attributes:
        shapes: the shape of each coefficient.
    """

    def __init__(self, form: Form, width: int, out_width: int) -> None:
        self.form, self.width, self.out_width = form, width, out_width
        self.shapes: dict[str, tuple[int, ...]] = {}

    def sized(self, structure: Structure) -> Structure:
        """Return a structure whose weights have one shape each, and whose sizes are those of n."""
        layers = tuple(tuple(self._layer(layer) for layer in row) for row in structure.layers)
        return replace(structure, layers=layers, sizes=(self.width,) * len(structure.fields))

    def _layer(self, layer: Layer) -> Layer:
        out = self.width if carries_free_index(layer) else self.out_width
        terms = []
        for term in layer.terms:
            flux = term.flux
            if flux is not None:
                flux = replace(flux, nodes=self._product(flux.nodes, out))
            terms.append(LayerTerm(self._product(term.product, out), flux))
        return Layer(tuple(terms))

    def _product(self, product: LayerProduct, out: int) -> LayerProduct:
        return replace(product, weights=tuple(self._weight(w, out) for w in product.weights))

    def _weight(self, weight: Weight, out: int) -> Weight:
        source = source_name(weight.name)
        shape = tuple(
            self.form.length(source, axis, out if letter == FREE_INDEX else self.width)
            for axis, letter in enumerate(weight.indices)
        )
        name = weight.name
        while self.shapes.setdefault(name, shape) != shape:
            name += "'"
        return replace(weight, name=name)


def source_name(name: str) -> str:
    """Return the coefficient of the equation that a copy such as "A@2" or "A'" comes from."""
    return name.rstrip("'").partition(COPY)[0]


def factors_of(layer: Layer) -> list[Factor]:
    """Return the factors of a layer's first term, those of its flux too."""
    term = layer.terms[0]
    found = list(term.product.factors)
    if term.flux is not None:
        found += [*term.flux.nodes.factors, *term.flux.faces]
    return found


def carries_free_index(layer: Layer) -> bool:
    """Tell whether a field carries the free index i."""
    return any(factor.index == FREE_INDEX for factor in factors_of(layer))
