"""Widening: the derivatives of a stack of terms become m directions, and n components n′.

Nothing is computed here: a `Structure` becomes another `Structure`, weight by weight and by name.

Term e of a widened stack of T terms is a copy of term e mod T. Where the T terms have different
weights, so have the copies: A, B become A, B, A@2, B@2. What all terms share (the C of Eq. (4))
stays one weight. Kernels are new.

A block takes n components and gives n′. Everything inside has the width that the equation gives it
for n; the free index i has n′, unless a field carries it, as in C_ik u_k ∂u_i. Then the block has
n products in each direction, and their sums over consecutive groups of directions are its n′
outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pdenet.discrete.structure import (
    Factor,
    Flux,
    Kernel,
    Layer,
    LayerProduct,
    LayerTerm,
    Structure,
    Weight,
)
from pdenet.equation.system import FREE_INDEX
from pdenet.errors import NetworkError
from pdenet.network.convnet.form import Form
from pdenet.network.convnet.relaxation import Relaxation

COPY = "@"
"""What stands between a coefficient's name and the number of its copy; no name of a user has it."""


@dataclass(frozen=True)
class Direction:
    """What stands behind one kernel of a widened structure: a kernel times a monomial.

    Attributes:
        source: kernels with the same source are one tensor.
        name: its name, such as "x" or "direction_3".
        monomial: the place of the monomial in the relaxation's list.
        stencil: the first weights, shape (k, k), or None where they are drawn.
        origin: the kernel of the equation whose place it takes, such as "x".
    """

    source: object
    name: str
    monomial: int
    stencil: np.ndarray | None
    origin: str


@dataclass(frozen=True)
class Widened:
    """A structure with m directions instead of derivatives.

    Attributes:
        structure: the structure; all kernels are k×k about their centre.
        directions: for each kernel of the structure what stands behind it.
    """

    structure: Structure
    directions: tuple[Direction, ...]


def widen(form: Form, relaxation: Relaxation) -> Widened:
    """Replace the derivatives of a form by the directions of a relaxation.

    Raises:
        NetworkError: there are fewer directions than derivatives.
    """
    return _Widening(form, relaxation).widened()


class _Widening:
    def __init__(self, form: Form, relaxation: Relaxation) -> None:
        self.form = form
        self.relaxation = relaxation
        reach = [max(-f, end) for k in form.structure.kernels for f, end in _ends(k)]
        self.radius = max([1, *reach])
        self.kernels: list[Kernel] = []
        self.directions: list[Direction] = []
        self.places: dict[tuple[object, int], int] = {}

    def widened(self) -> Widened:
        layers = tuple(
            tuple(self._layer(layer, (place, k)) for k, layer in enumerate(row))
            for place, row in enumerate(self.form.structure.layers)
        )
        radius = self.radius
        structure = replace(
            self.form.structure, layers=layers, kernels=tuple(self.kernels), width=(radius, radius)
        )
        return Widened(structure, tuple(self.directions))

    def _layer(self, layer: Layer, key: tuple[int, int]) -> Layer:
        if not any(t.flux or any(_kernels(t.product)) for t in layer.terms):
            return layer
        own = len(layer.terms)
        wanted = self.relaxation.directions
        if wanted is not None and wanted < own:
            raise NetworkError(
                f"the equation has {own} terms of one shape with different derivatives; got "
                f"directions={wanted}; give at least {own}, or None for its own"
            )
        count = own if wanted is None else wanted
        terms = []
        for monomial in range(len(self.relaxation.monomials)):
            for d in range(count):
                e = monomial * count + d
                term = layer.terms[e % own]
                made = self._term(term, (*key, d), monomial)
                terms.append(_renamed(made, layer.terms, e // own))
        return Layer(tuple(terms))

    def _term(self, term: LayerTerm, key: tuple[int, ...], monomial: int) -> LayerTerm:
        flux = term.flux
        if flux is not None:
            outer = self._outer_kernel(flux, (*key, "flux"), monomial)
            nodes = self._product(flux.nodes, (*key, "nodes"), 0)
            faces = tuple(self._factor(f, (*key, "face", k), 0) for k, f in enumerate(flux.faces))
            flux = replace(flux, nodes=nodes, faces=faces, kernel=outer)
            monomial = 0  # once a term
        return LayerTerm(self._product(term.product, key, monomial), flux)

    def _product(
        self, product: LayerProduct, key: tuple[object, ...], monomial: int
    ) -> LayerProduct:
        factors = []
        for k, factor in enumerate(product.factors):
            made = self._factor(factor, (*key, k), monomial)
            if factor.kernel is not None:
                monomial = 0  # once a term
            factors.append(made)
        return replace(product, factors=tuple(factors))

    def _factor(self, factor: Factor, key: tuple[object, ...], monomial: int) -> Factor:
        if factor.kernel is None:
            return factor
        return replace(factor, kernel=self._kernel(factor.kernel, key, monomial))

    def _kernel(self, place: int, key: tuple[object, ...], monomial: int) -> int:
        kernel = self.form.structure.kernels[place]
        stencil = np.zeros((2 * self.radius + 1,) * 2)
        inside = tuple(
            slice(first + self.radius, last + self.radius + 1)
            for first, last in reversed(list(_ends(kernel)))
        )
        stencil[inside] = self.form.kernels[place]
        order = kernel.derivative
        return self._added(("kernel", place), kernel.name, order, stencil, key, monomial)

    def _outer_kernel(self, flux: Flux, key: tuple[object, ...], monomial: int) -> int:
        if flux.kernel is not None:
            return self._kernel(flux.kernel, key, monomial)
        difference = flux.rule.difference(flux.axis, 2).kernel()
        stencil = np.pad(difference, [(self.radius - n // 2,) for n in difference.shape])
        name = f"{self.form.structure.axes[flux.axis]}_faces"
        order = (1 - flux.axis, flux.axis)
        return self._added(("faces", flux.axis), name, order, stencil, key, monomial)

    def _added(
        self,
        source: object,
        name: str,
        order: tuple[int, ...],
        stencil: np.ndarray,
        key: tuple[object, ...],
        monomial: int,
    ) -> int:
        """Return the place of a kernel: with `directions` each use has a new one."""
        start: np.ndarray | None = stencil
        origin = name
        if self.relaxation.directions is not None:
            source, start = key, None
            name = f"direction_{len({d.source for d in self.directions} - {source}) + 1}"
            known = [d.name for d in self.directions if d.source == source]
            name = known[0] if known else name
        if (source, monomial) not in self.places:
            self.places[source, monomial] = len(self.kernels)
            self.directions.append(Direction(source, name, monomial, start, origin))
            radius, label = self.radius, f"{name}_{monomial}" if monomial else name
            kernel = Kernel(label, order, (-radius,) * 2, (2 * radius + 1,) * 2)
            self.kernels.append(kernel)
        return self.places[source, monomial]


def _ends(kernel: Kernel) -> list[tuple[int, int]]:
    return list(zip(kernel.first, kernel.last, strict=True))


def _kernels(product: LayerProduct) -> list[bool]:
    return [factor.kernel is not None for factor in product.factors]


def _renamed(term: LayerTerm, terms: Sequence[LayerTerm], copy: int) -> LayerTerm:
    """Give a copy weights of its own where the terms of its stack have different ones."""
    if not copy:
        return term

    def product(
        made: LayerProduct, of: Callable[[LayerTerm], LayerProduct], alone: bool
    ) -> LayerProduct:
        weights = []
        for k, weight in enumerate(made.weights):
            is_shared = len({of(t).weights[k].name for t in terms}) == 1
            is_shared &= len(terms) > 1 or alone
            name = weight.name if is_shared else f"{weight.name}{COPY}{copy + 1}"
            weights.append(Weight(name, weight.indices))
        return replace(made, weights=tuple(weights))

    flux = term.flux
    if flux is not None:
        # Of one term alone the weights before the derivative are copied, not those under it.
        flux = replace(flux, nodes=product(flux.nodes, _nodes, True))
    return LayerTerm(product(term.product, lambda t: t.product, False), flux)


def _nodes(term: LayerTerm) -> LayerProduct:
    assert term.flux is not None
    return term.flux.nodes


def sized(
    form: Form, structure: Structure, width: int, out_width: int
) -> tuple[Structure, dict[str, tuple[int, ...]]]:
    """Return a structure with the sizes of n components that become n′, and coefficients' shapes.

    A coefficient that is needed in two shapes becomes two.

    Args:
        form: the equation.
        structure: its structure, widened or not.
        width: n.
        out_width: n′.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def weight(one: Weight, out: int) -> Weight:
        source, name = source_name(one.name), one.name
        shape = tuple(
            form.length(source, axis, out if letter == FREE_INDEX else width)
            for axis, letter in enumerate(one.indices)
        )
        while shapes.setdefault(name, shape) != shape:
            name += "'"
        return replace(one, name=name)

    def product(one: LayerProduct, out: int) -> LayerProduct:
        return replace(one, weights=tuple(weight(w, out) for w in one.weights))

    def layer(one: Layer) -> Layer:
        out = width if carries_free_index(one) else out_width
        terms = []
        for term in one.terms:
            flux = term.flux
            if flux is not None:
                flux = replace(flux, nodes=product(flux.nodes, out))
            terms.append(LayerTerm(product(term.product, out), flux))
        return Layer(tuple(terms))

    layers = tuple(tuple(map(layer, row)) for row in structure.layers)
    return replace(structure, layers=layers, sizes=(width,) * len(structure.fields)), shapes


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
