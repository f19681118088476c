"""Products: stacks of products of one shape, carried out in one piece.

The products of m terms are one product with a further index d = 1 … m that is summed: their weights
are stacked, so that C and D of two terms become one 1×1 convolution n → 2n, and A and B one 2n → n.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol  # values of maps are numbers or tensors

import torch

from pdenet.discrete.structure import Factor, Flux, LayerProduct, Structure, Weight
from pdenet.network.contraction import Contraction, Operand, Replacement
from pdenet.network.expression import Expression
from pdenet.network.features import Row, Support, Window

STACK = "d"
"""The letter over which the terms of a layer are summed."""

# Costs of contractions are compared for a picture of this size; the order hardly depends on it.
PIXELS = 4096


@dataclass(frozen=True)
class WeightStack:
    """The coefficients at one place of all terms of a layer.

    Attributes:
        names: their names; one name where they are the same.
        indices: the letters of their indices.
    """

    names: tuple[str, ...]
    indices: str

    @classmethod
    def of(cls, weights: Sequence[Weight]) -> WeightStack:
        """Return the stack of some weights."""
        names = tuple(w.name for w in weights)
        return cls(names[:1] if len(set(names)) == 1 else names, weights[0].indices)


@dataclass
class Tensors:
    """What the layers of a block need at a moment; it does not depend on the state.

    Attributes:
        environment: numbers and 0-d tensors by name: symbols, t, dt, spacings.
        numbers: the numbers of all terms.
        coefficients: tensors by name, shape `(*indices)`, or spatial `(1, *indices, *space)`.
        kernels: the kernels with their powers of the spacing.
        weights: the weights of each bank.
        prepared: for each stacked product its operands that no field enters.
        stacks: coefficients that are kept in stacks, with axes as the context orders letters.
    """

    environment: Mapping[str, Any]
    numbers: torch.Tensor
    coefficients: Mapping[str, torch.Tensor]
    kernels: Sequence[torch.Tensor]
    weights: Mapping[Support, torch.Tensor] = field(default_factory=dict)
    prepared: dict[int, dict[int, torch.Tensor]] = field(default_factory=dict)
    stacks: Mapping[WeightStack, torch.Tensor] = field(default_factory=dict)


class Bank(Protocol):
    """All convolutions of a block; see `Banks`."""

    def ask(self, name: str, window: Window, row: Row) -> tuple[Support, int]:
        """Return the bank and the place in it where a row is found."""


class FieldValues(Protocol):
    """The fields at one stage; see `Features`."""

    @property
    def points(self) -> Sequence[int]:
        """The number of nodes along each axis, in coordinate order."""

    def value(self, name: str, window: Window) -> torch.Tensor:
        """Return a field itself, shape `(batch, component, *space)`."""

    def convolved(self, support: Support, place: int) -> torch.Tensor:
        """Return one output of a bank, shape `(batch, component, *space)`."""

    def bank(self, support: Support) -> torch.Tensor:
        """Return all outputs of a bank, shape `(batch, component, kernel, *space)`."""


class Context(Protocol):
    """What a layer asks of its block while it is built and while it is carried out.

    Attributes:
        structure: the block's structure.
        window: where its results are wanted.
        folds_linear: whether a sum of kernels of one field is one kernel.
        banks: all convolutions.
        products: all stacked products so far; a new one enters itself.
    """

    structure: Structure
    window: Window
    folds_linear: bool
    banks: Bank
    products: list[StackedProduct]

    def letters(self, weights: WeightStack, stack: str, derived: str) -> str:
        """Return the letters of a stack of coefficients, each once, in the order of its axes.

        By default the stack's first.

        Args:
            weights: the coefficients.
            stack: the letter of the stack, "" where all terms have the same coefficient.
            derived: the letters of what is differentiated.
        """
        return stack + "".join(dict.fromkeys(weights.indices))

    def is_one(self, product: LayerProduct) -> bool:
        """Tell whether number · scale of a product is 1 for ever, and may be left out."""
        return False

    def map_changes(self, names: Collection[str]) -> bool:
        """Tell whether what varies in space has to be evaluated anew at each stage."""

    def after(
        self, product: StackedProduct
    ) -> Mapping[int, Callable[[torch.Tensor], torch.Tensor]]:
        """Return what is done to the results of a product's steps, by their numbers."""
        return {}

    def instead(self, product: StackedProduct) -> Mapping[int, Replacement]:
        """Return what is carried out in place of a product's steps, by their numbers."""
        return {}

    def divergences(self, fluxes: Sequence[Flux], stack: str) -> tuple[list[Divergence], str]:
        """Return what computes the divergences of a layer, and the letters of their stack."""

    def varies(self, name: str) -> bool:
        """Tell whether a coefficient varies in space."""
        return False

    def sizes_of(self, name: str) -> tuple[int, ...]:
        """Return the lengths of a coefficient's indices."""

    def map(
        self,
        expression: Expression,
        features: FieldValues | None,
        tensors: Tensors,
        t: Any,
        window: Window,
    ) -> torch.Tensor:
        """Return what varies in space, shape `(batch, *space)`, axes of length 1 allowed."""

    def extended(self, tensor: torch.Tensor, window: Window) -> torch.Tensor:
        """Return a coefficient that varies with one more node at both ends of a window's axes."""
        return tensor


class Divergence(Protocol):
    """The divergence of a flux, or of several."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """The lengths of the flux's indices."""

    def __call__(self, features: FieldValues, tensors: Tensors, t: Any) -> torch.Tensor:
        """Return the divergences, shape `(batch, *letters, *space)`."""


class Scales:
    """The numbers and the scales of some terms, as one vector.

    Args:
        products: the products, whose numbers stand side by side.
    """

    def __init__(self, products: Sequence[LayerProduct]) -> None:
        self.places = [p.number for p in products]
        self.expressions = [None if p.scale == 1 else Expression(p.scale) for p in products]
        self.names = frozenset(n for e in self.expressions if e is not None for n in e.names)

    def __call__(self, tensors_numbers: torch.Tensor, environment: Mapping[str, Any]) -> Any:
        """Return number · scale of each term, shape `(terms,)`."""
        numbers = torch.stack([tensors_numbers[k] for k in self.places])
        if all(e is None for e in self.expressions):
            return numbers
        scales = [1.0 if e is None else e(environment) for e in self.expressions]
        made = [torch.as_tensor(s, dtype=numbers.dtype, device=numbers.device) for s in scales]
        return numbers * torch.stack(made)


class StackedProduct:
    """Σ_d number · scale · map · Π weights · Π factors · Π others, for products of one shape.

    Args:
        products: the products.
        output: the letters of the result.
        window: where it is wanted.
        others: the letters of further spatial operands, with the lengths of the indices.
        context: the block.
    """

    def __init__(
        self,
        products: Sequence[LayerProduct],
        output: str,
        window: Window,
        others: Mapping[str, Mapping[str, int]],
        context: Context,
    ) -> None:
        self.products = tuple(products)
        self.window = window
        self.context = context
        self.key = len(context.products)
        context.products.append(self)
        self.scales = Scales(products)
        first = products[0]
        stack = STACK if len(products) > 1 else ""
        sizes = {STACK: len(products)}
        self.is_one = all(map(context.is_one, products))
        operands = [] if self.is_one else [Operand(stack, False)]

        maps = [p.map for p in products if p.map is not None]
        maps = maps[:1] if len(set(maps)) == 1 else maps
        self.maps = [Expression(m) for m in maps]
        self.maps_change = context.map_changes({n for m in self.maps for n in m.names})
        if maps:
            operands.append(Operand(stack if len(maps) > 1 else "", True))

        derived = "".join(f.index for f in first.factors if f.kernel is not None)
        derived += "".join(others).replace(STACK, "")
        self.weights = [
            WeightStack.of([p.weights[k] for p in products]) for k in range(len(first.weights))
        ]
        for weights in self.weights:
            name = weights.names[0]
            sizes.update(zip(weights.indices, context.sizes_of(name), strict=True))
            own = stack if len(weights.names) > 1 else ""
            letters = context.letters(weights, own, derived)
            operands.append(Operand(letters, context.varies(name)))

        self.factors: list[FactorStack] = []
        for k in range(len(first.factors)):
            factor = FactorStack([p.factors[k] for p in products], window, context)
            sizes.update(factor.sizes)
            self.factors.append(factor)
            operands.append(Operand(factor.letters, True))
        for letters, lengths in others.items():
            operands.append(Operand(letters, True))
            sizes.update(lengths)
        self.contraction = Contraction(operands, output, sizes, PIXELS, context.structure.dimension)
        self.is_spatial = any(o.is_spatial for o in operands)

    def prepare(self, tensors: Tensors) -> dict[int, torch.Tensor]:
        """Return the operands that no field enters, by number, contracted among themselves."""
        operands = {}
        if not self.is_one:
            scale = self.scales(tensors.numbers, tensors.environment)
            operands[0] = scale if len(self.products) > 1 else scale[0]
        if self.maps and not self.maps_change:
            operands[self.place_of_maps] = self._map(None, tensors, 0.0)
        for k, weights in enumerate(self.weights, self.place_of_weights):
            operands[k] = self._weight(weights, tensors)
        return self.contraction.prepare(operands)

    def __call__(
        self, features: FieldValues, tensors: Tensors, t: Any, others: Sequence[torch.Tensor] = ()
    ) -> torch.Tensor:
        """Return the sum, shape `(batch, *output, *space)`; axes may have length 1."""
        operands = {}
        if self.maps_change:
            operands[self.place_of_maps] = self._map(features, tensors, t)
        fields = [*(factor(features) for factor in self.factors), *others]
        operands |= dict(enumerate(fields, self.place_of_factors))
        result = self.contraction.run(
            tensors.prepared[self.key],
            operands,
            self.context.after(self),
            self.context.instead(self),
        )
        if not self.is_spatial:
            result = result.reshape(1, *result.shape, *(1,) * self.context.structure.dimension)
        return result

    @property
    def place_of_maps(self) -> int:
        """The number of the operand behind the scales: the map, or the first weight."""
        return 0 if self.is_one else 1

    @property
    def place_of_weights(self) -> int:
        """The number of the first weight's operand."""
        return self.place_of_maps + bool(self.maps)

    @property
    def place_of_factors(self) -> int:
        """The number of the first factor's operand, behind the weights."""
        return self.place_of_weights + len(self.weights)

    def _map(self, features: FieldValues | None, tensors: Tensors, t: Any) -> torch.Tensor:
        made = [self.context.map(m, features, tensors, t, self.window) for m in self.maps]
        return made[0] if len(made) == 1 else stacked(made)

    def _weight(self, weights: WeightStack, tensors: Tensors) -> torch.Tensor:
        if weights in tensors.stacks:
            return tensors.stacks[weights]
        found = [tensors.coefficients[name] for name in weights.names]
        is_spatial = self.context.varies(weights.names[0])
        if is_spatial:
            found = [self.context.extended(tensor, self.window) for tensor in found]
        lead = 1 if is_spatial else 0
        made = found[0] if len(found) == 1 else torch.stack(found, dim=lead)
        return diagonals(made, weights.indices, lead + (len(found) > 1))


def diagonals(tensor: torch.Tensor, indices: str, lead: int) -> torch.Tensor:
    """Return a tensor with one axis for each letter: of A_jj the diagonal."""
    while len(set(indices)) < len(indices):
        repeated = next(c for c in indices if indices.count(c) > 1)
        one = indices.index(repeated)
        two = indices.index(repeated, one + 1)
        tensor = tensor.diagonal(dim1=lead + one, dim2=lead + two).movedim(-1, lead + one)
        indices = indices[:two] + indices[two + 1 :]
    return tensor


class FactorStack:
    """The factors at one place of all terms of a layer, as one operand."""

    def __init__(self, factors: Sequence[Factor], window: Window, context: Context) -> None:
        first = factors[0]
        self.window = window
        self.field = first.field
        self.function = None if first.function is None else Expression(first.function)
        self.is_shared = len(set(factors)) == 1
        self.kernels = tuple(f.kernel for f in (factors[:1] if self.is_shared else factors))
        self.places: list[tuple[Support, int] | None] = [
            None if k is None else context.banks.ask(first.field, window, Row((k,)))
            for k in self.kernels
        ]
        self.is_scalar = not first.index
        # Outputs of one bank come with the component before the kernel.
        self.letters = first.index + ("" if self.is_shared else STACK)
        names = [f.name for f in context.structure.fields]
        size = context.structure.sizes[names.index(first.field)]
        self.sizes = {first.index: size} if first.index else {}

    def __call__(self, features: FieldValues) -> torch.Tensor:
        """Return the operand, shape `(batch, *letters, *space)`."""
        made = self._values(features)
        if self.is_scalar:
            made = made[:, 0]
        if self.function is not None:
            made = self.function(dict.fromkeys(self.function.names, made))
        return made

    def _values(self, features: FieldValues) -> torch.Tensor:
        if self.places[0] is None:
            return features.value(self.field, self.window)
        if self.is_shared:
            return features.convolved(*self.places[0])
        places = [p for p in self.places if p is not None]
        supports = {support for support, _ in places}
        order = [place for _, place in places]
        if len(supports) == 1 and order == list(range(order[0], order[0] + len(order))):
            bank = features.bank(places[0][0])
            return bank[:, :, order[0] : order[0] + len(order)]
        return torch.stack([features.convolved(*place) for place in places], dim=2)


def stacked(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Stack tensors along a new axis behind the batch, broadcasting them."""
    return torch.stack(torch.broadcast_tensors(*tensors), dim=1)
