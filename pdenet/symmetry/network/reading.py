"""Reading: the layers of a model's blocks as terms for the index rule, and where their slots are.

What is read are the layers as they are carried out, batch norms, shifts and kernels included, so
that folded models are read as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from pdenet.equation.system import FREE_INDEX
from pdenet.network.convnet.block import PDEBlock
from pdenet.network.convnet.directions import Directions
from pdenet.network.convnet.divergence import DirectionDivergence
from pdenet.network.convnet.features import bank_name
from pdenet.network.convnet.fusing import Shift, is_norm
from pdenet.network.convnet.opening import opening_key
from pdenet.network.convnet.widths import source_name
from pdenet.network.layers import StackedTerms
from pdenet.network.products import STACK, FactorStack, StackedProduct
from pdenet.symmetry.equation.family import function_use
from pdenet.symmetry.indices import Letter, Slot, Use
from pdenet.symmetry.network.holders import (
    Channels,
    Holder,
    attribute_view,
    bias_view,
    block_view,
    grouped_holder,
    view_holder,
)

Labels = Mapping[str, str | None]
"""For each field of a block by which name the rule knows it; None where it does not change."""


@dataclass
class Reading:
    """Terms of some blocks, and what their slots stand for.

    Attributes:
        terms: the letters of each term.
        holders: for each coefficient's name in the terms the tensors that take what it takes, all
            with the same axes.
        channels: modules that act channel by channel on letters of fields.
        labels: names of coefficients by the parameters that hold them: shared ones have one.
    """

    terms: list[list[Letter]] = field(default_factory=list)
    holders: dict[str, list[Holder]] = field(default_factory=dict)
    channels: list[Channels] = field(default_factory=list)
    labels: dict[tuple[int, str], str] = field(default_factory=dict)

    def add(self, block: PDEBlock, place: str, given: Labels, made: Labels) -> None:
        """Read a block.

        Args:
            block: the block.
            place: where it is, for names: "stage 2, block 1".
            given: its fields as they come in.
            made: its fields as they go out.
        """
        _BlockReader(self, block, place, given, made).read()

    def hold(self, name: str, holder: Holder) -> None:
        """Remember where a coefficient is; once for each of its tensors."""
        self.holders.setdefault(name, []).append(holder)


@dataclass
class _Open:
    """A letter while it is read."""

    slots: list[Slot] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)
    held: list[Slot] = field(default_factory=list)
    free: str | None = None
    fixed: bool = False


class _BlockReader:
    def __init__(
        self, reading: Reading, block: PDEBlock, place: str, given: Labels, made: Labels
    ) -> None:
        self.reading, self.block, self.place = reading, block, place
        self.given, self.made = given, made
        self.fields = [info.name for info in block.structure.fields]

    def read(self) -> None:
        for field_, layers in zip(self.fields, self.block.layers, strict=True):
            for layer in layers:
                for term in range(len(layer.product.products)):
                    self._term(field_, layer, term)
        if not self.block.keeps_shape:
            self._projection()

    # -- terms -------------------------------------------------------------------------------------

    def _term(self, target: str, layer: StackedTerms, term: int) -> None:
        letters: dict[str, _Open] = {}
        self._free(letters, target)
        product = layer.product
        self._weights(letters, product, term, layer, target)
        self._factors(letters, product.factors, product, term)
        for divergence in layer.divergences:
            assert isinstance(divergence, DirectionDivergence)
            self._divergence(letters, divergence, term)
        self._closing(letters, layer, target)
        self._emit(letters, self._text(layer, term))
        if term == 0:
            self._shift(letters, layer, target)
        self._biases(letters, product, term, self._text(layer, term))

    def _free(self, letters: dict[str, _Open], target: str) -> None:
        free = letters.setdefault(FREE_INDEX, _Open())
        free.free = self.made[target]
        free.fixed = self.made[target] is None

    def _weights(
        self,
        letters: dict[str, _Open],
        product: StackedProduct,
        term: int,
        layer: StackedTerms | None = None,
        target: str = "",
    ) -> None:
        inside = self._opened(product)
        for k, weights in enumerate(product.weights):
            name = weights.names[term if len(weights.names) > 1 else 0]
            label = self._coefficient(name)
            for place, letter in enumerate(weights.indices):
                slot = Slot(label, place)
                entry = letters.setdefault(letter, _Open())
                if layer is not None and letter == FREE_INDEX and self._is_grouped(layer):
                    grouped = self._grouped(layer, k, place, target)
                    entry.slots += grouped
                    if (k, letter) in inside:
                        entry.held += grouped
                    if self.given[target] is None:
                        continue
                entry.slots.append(slot)
                if (k, letter) in inside:
                    entry.held.append(slot)

    def _factors(
        self,
        letters: dict[str, _Open],
        factors: Sequence[FactorStack],
        product: StackedProduct,
        term: int,
        at_faces: bool = False,
    ) -> None:
        for k, factor in enumerate(factors):
            letter = factor.letters.replace(STACK, "")
            if not letter:
                continue
            entry = letters.setdefault(letter, _Open())
            label = self.given[factor.field]
            if label is None:
                entry.fixed = True
                continue
            function = None
            if not at_faces:  # there stand derivatives, without functions
                function = (
                    product.products[min(term, len(product.products) - 1)].factors[k].function
                )
            use = Use(label) if function is None else function_use(label, function)
            place = factor.places[min(term, len(factor.places) - 1)]
            if place is not None:
                bank = self.block.banks.of(bank_name(place[0]))
                if _absorbs(bank):
                    use = Use(label, power=0, parity=1, is_plain=False)
                elif not bank.is_shared:
                    use = Use(label, use.power, use.parity, is_plain=False)
                self._own(bank, (bank.channels, len(bank.names)), 0, (Use(label),), label)
            entry.uses.append(use)

    def _divergence(
        self, letters: dict[str, _Open], divergence: DirectionDivergence, term: int
    ) -> None:
        bank = self.block.banks.of(divergence.name)
        nodes = divergence.nodes
        inside: dict[str, _Open] = {}
        self._weights(inside, nodes, min(term, len(nodes.products) - 1))
        self._factors(inside, nodes.factors, nodes, min(term, len(nodes.products) - 1))
        self._factors(inside, divergence.faces, nodes, term, at_faces=True)
        shape = (*divergence.shape, len(bank.names))
        for axis, letter in enumerate(divergence.index):
            entry = inside.setdefault(letter, _Open())
            around = letters.get(letter, _Open())
            if entry.uses:
                self._flux_of_fields(entry, bank, shape, axis)
            elif around.uses:
                if _absorbs(bank):
                    entry.held = list(entry.slots)
                self._own(bank, shape, axis, (), around.uses[0].field)
            elif around.free is not None:
                self._flux_of_outputs(entry, bank, shape, axis, divergence.name)
        for letter, entry in inside.items():
            known = letters.setdefault(letter, _Open())
            known.slots += entry.slots
            known.uses += entry.uses
            known.held += entry.held
            known.fixed |= entry.fixed

    def _flux_of_fields(
        self, entry: _Open, bank: Directions, shape: tuple[int, ...], axis: int
    ) -> None:
        """Read channels of a flux that are components of fields under the derivative."""
        powers = tuple(entry.uses)
        if _absorbs(bank):
            entry.held = list(entry.slots)
            entry.uses = [
                Use(u.field, None if u.power is None else 0, abs(u.parity), is_plain=False)
                for u in entry.uses
            ]
        elif not bank.is_shared:
            entry.uses = [Use(u.field, u.power, u.parity, False) for u in entry.uses]
        self._own(bank, shape, axis, powers, powers[0].field)

    def _flux_of_outputs(
        self, entry: _Open, bank: Directions, shape: tuple[int, ...], axis: int, name: str
    ) -> None:
        """Read channels of a flux that are the components it makes: its norm takes factors."""
        entry.held = list(entry.slots)
        name = f"{name} of {self.place}"
        if is_norm(bank.norm):
            self._norm(entry, f"the norm of {name}", bank.norm, slice(None), shape, axis)
        if bank.is_shared:
            return
        slot = Slot(f"the kernels of {name}", 0, is_norm=not is_norm(bank.norm))
        entry.slots.append(slot)
        if not slot.is_norm:
            entry.held.append(slot)
        if slot.coefficient not in self.reading.holders:
            kernels = (*shape, *bank.weight.shape[1:])
            view = attribute_view(bank, "weight", slice(None), kernels, axis)
            self.reading.hold(slot.coefficient, view_holder(view))
            if bank.bias is not None:
                view = attribute_view(bank, "bias", slice(None), shape, axis)
                self.reading.hold(slot.coefficient, view_holder(view))

    def _own(
        self, bank: Directions, shape: tuple[int, ...], axis: int, uses: tuple[Use, ...], label: str
    ) -> None:
        """Remember a bank whose channels move with a field, once."""
        has_own = not bank.is_shared or is_norm(bank.norm)
        if has_own and not any(c.module is bank for c in self.reading.channels):
            self.reading.channels.append(Channels(bank, shape, axis, uses, label))

    # -- norms -------------------------------------------------------------------------------------

    def _opened(self, product: StackedProduct) -> set[tuple[int, str]]:
        """Return which weights' letters stand inside an opening norm of their own."""
        found = set()
        contraction = product.contraction
        inside = contraction.inside()
        for opening in self.block.openings.get(product.key, ()):
            for k, weights in enumerate(product.weights, product.place_of_weights):
                if k in inside[opening.step]:
                    for letter in set(opening.letters) & set(weights.indices):
                        found.add((k - product.place_of_weights, letter))
        return found

    def _closing(self, letters: dict[str, _Open], layer: StackedTerms, target: str) -> None:
        """Give the free letter the slot of its closing norm; what stands before is held."""
        product, key = layer.product, str(layer.product.key)
        is_grouped = self._is_grouped(layer)
        self._openings(letters, product, is_grouped)
        for divergence in layer.divergences:
            assert isinstance(divergence, DirectionDivergence)
            self._openings(letters, divergence.nodes, is_grouped)
        norm = dict(self.block.norms.items()).get(key)
        if norm is None or (isinstance(norm, Shift) and norm.scale is None):
            return
        entry = letters[FREE_INDEX]
        entry.held += self._inside_closing(layer)
        self._norm(entry, f"the closing norm {key} of {self.place}", norm, slice(None))

    def _openings(
        self, letters: dict[str, _Open], product: StackedProduct, is_grouped: bool
    ) -> None:
        """Remember the opening norms whose channels are components of fields."""
        for opening in self.block.openings.get(product.key, ()):
            norm = self.block.opening_norms[opening_key(product.key, opening.step)]
            sizes = product.contraction.sizes
            shape = tuple(sizes[c] for c in opening.letters)
            for axis, letter in enumerate(opening.letters):
                entry = letters.get(letter, _Open())
                fields = [use.field for use in entry.uses]
                fields += [entry.free] if entry.free and not is_grouped else []
                if fields and not any(c.module is norm for c in self.reading.channels):
                    self.reading.channels.append(Channels(norm, shape, axis, (), fields[0]))

    def _norm(
        self,
        entry: _Open,
        name: str,
        norm: nn.Module,
        rows: slice,
        shape: tuple[int, ...] = (-1,),
        axis: int = 0,
    ) -> None:
        """Give a letter the slots of a norm: scale and shift take factors, statistics only move."""
        statistics = Slot(f"{name}: statistics", 0)
        entry.slots += [Slot(name, 0, is_norm=True), statistics]
        entry.held.append(statistics)
        if name in self.reading.holders:
            return
        for tensor in ("weight", "bias") if is_norm(norm) else ("scale", "bias"):
            self.reading.hold(name, view_holder(attribute_view(norm, tensor, rows, shape, axis)))
        if is_norm(norm):
            for tensor in ("running_mean", "running_var"):
                view = attribute_view(norm, tensor, rows, shape, axis)
                self.reading.hold(statistics.coefficient, view_holder(view))

    def _inside_closing(self, layer: StackedTerms) -> list[Slot]:
        product = layer.product
        closing = self.block.closings[product.key]
        inside = product.contraction.inside()
        start = product.place_of_weights
        taken = range(len(product.weights))
        if closing.step is not None:
            taken_ = inside[closing.step]
            weights = [product.weights[k - start] for k in taken_ if k - start in taken]
        else:
            weights = product.weights
        found = []
        for one in weights:
            for name in one.names:
                for place, letter in enumerate(one.indices):
                    if letter == FREE_INDEX:
                        found.append(Slot(self._coefficient(name), place))
        return found

    # -- what is added -----------------------------------------------------------------------------

    def _shift(self, letters: dict[str, _Open], layer: StackedTerms, target: str) -> None:
        """Read what is left of a folded closing norm, c_i, with what it is multiplied by."""
        key = str(layer.product.key)
        norm = dict(self.block.norms.items()).get(key)
        if not isinstance(norm, Shift) or norm.scale is not None:
            return
        name = f"the shift {key} of {self.place}"
        before = set(self._inside_closing(layer))
        free = letters[FREE_INDEX]
        rest = [slot for slot in free.slots if slot not in before]
        made = _Open([Slot(name, 0), *rest], [], [], free.free, free.fixed)
        self._emit({FREE_INDEX: made}, f"the shift of {self.place}")
        self.reading.hold(name, view_holder(attribute_view(norm, "bias", slice(None))))

    def _biases(
        self, letters: dict[str, _Open], product: StackedProduct, term: int, text: str
    ) -> None:
        """Read what is added to directions whose norm's scale is folded: another factor's place."""
        for factor in product.factors:
            place = factor.places[min(term, len(factor.places) - 1)]
            letter = factor.letters.replace(STACK, "")
            label = self.given[factor.field]
            if place is None or not letter or label is None:
                continue
            bank = self.block.banks.of(bank_name(place[0]))
            if bank.bias is None or _absorbs(bank):
                continue
            name = f"what is added to {bank_name(place[0])} of {self.place}"
            if name not in self.reading.holders:
                self.reading.hold(name, view_holder(bias_view(bank)))
            replaced = dict(letters)
            old = letters[letter]
            uses = [use for use in old.uses if use.field != label] + [
                use for use in old.uses if use.field == label
            ][1:]
            slots = [*old.slots, Slot(name, 0)]
            replaced[letter] = _Open(slots, uses, old.held, old.free, old.fixed)
            self._emit(replaced, f"{text} with what is added to ∂{factor.field}")

    # -- skip connections, and sums over groups ----------------------------------------------------

    def _projection(self) -> None:
        convolution, norm = self.block.projection[0], self.block.projection[1]  # type: ignore[index]
        assert isinstance(convolution, nn.Conv2d)
        count = len(self.fields)
        out, into = convolution.out_channels // count, convolution.in_channels // count
        text = f"the skip connection of {self.place}"
        for k, target in enumerate(self.fields):
            rows = slice(k * out, (k + 1) * out)
            free, fixed = self.made[target], self.made[target] is None
            if convolution.bias is not None:
                name = f"the bias of {text} to {target}"
                self.reading.hold(name, view_holder(attribute_view(convolution, "bias", rows)))
                self._emit({FREE_INDEX: _Open([Slot(name, 0)], [], [], free, fixed)}, text)
            for m, source in enumerate(self.fields):
                name = f"{text} from {source} to {target}"
                columns = slice(m * into, (m + 1) * into)
                self.reading.hold(name, view_holder(block_view(convolution, rows, columns)))
                first = _Open([Slot(name, 0)], [], [], free, fixed)
                if is_norm(norm):
                    first.held.append(Slot(name, 0))
                    self._norm(first, f"the norm of {text} to {target}", norm, rows)
                label = self.given[source]
                uses = [] if label is None else [Use(label)]
                second = _Open([Slot(name, 1)], uses, [], None, label is None)
                self._emit({FREE_INDEX: first, "j": second}, text)

    def _is_grouped(self, layer: StackedTerms) -> bool:
        return STACK in layer.output

    def _grouped(self, layer: StackedTerms, k: int, place: int, target: str) -> list[Slot]:
        """Return the slot of a coefficient as the outputs of sums over groups see it."""
        weights = layer.product.weights[k]
        if self.made[target] is None or len(weights.names) != len(layer.product.products):
            return []
        name = f"the sums over groups of {', '.join(map(source_name, weights.names))}"
        name += f" of {self.place}"
        if name not in self.reading.holders:
            coefficients, names = self.block.coefficients, weights.names
            width = self.block.out_channels // len(self.fields)

            def entries() -> list[torch.Tensor]:
                return [coefficients.entries(one) for one in names]

            self.reading.hold(name, grouped_holder(entries, place, width))
        return [Slot(name, 0)]

    # -- names -------------------------------------------------------------------------------------

    def _coefficient(self, name: str) -> str:
        coefficients = self.block.coefficients
        key = (id(coefficients.owner(name)), name)
        if key not in self.reading.labels:
            label = f"{source_name(name)} of {self.place}"
            while label in self.reading.holders:
                label += "′"
            self.reading.labels[key] = label
            self.reading.hold(label, view_holder(lambda: coefficients.entries(name)))
        return self.reading.labels[key]

    def _emit(self, letters: Mapping[str, _Open], text: str) -> None:
        self.reading.terms.append(
            [
                Letter(
                    name,
                    tuple(entry.slots),
                    tuple(entry.uses),
                    entry.free,
                    entry.fixed,
                    tuple(dict.fromkeys(entry.held)),
                    text,
                )
                for name, entry in letters.items()
            ]
        )

    def _text(self, layer: StackedTerms, term: int) -> str:
        """Return a term as mathematics: "A_ij C_jk u_k ∂u_j (stage 2, block 1)"."""
        words = [_words(layer.product, term)]
        for divergence in layer.divergences:
            assert isinstance(divergence, DirectionDivergence)
            nodes = divergence.nodes
            inner = [_words(nodes, min(term, len(nodes.products) - 1))]
            inner += [
                f"∂{face.field}_{face.letters.replace(STACK, '')}" for face in divergence.faces
            ]
            words.append(f"∂({' '.join(inner)})")
        return f"{' '.join(w for w in words if w)} of {self.place}"


def _words(product: StackedProduct, term: int) -> str:
    words = []
    for weights in product.weights:
        name = weights.names[term if len(weights.names) > 1 else 0]
        words.append(f"{source_name(name)}_{weights.indices}")
    for factor in product.factors:
        letter = factor.letters.replace(STACK, "")
        text = f"{factor.field}_{letter}" if letter else factor.field
        words.append(text if factor.places[0] is None else f"∂{text}")
    return " ".join(words)


def _absorbs(bank: Directions) -> bool:
    """Tell whether a bank takes factors of its input away: by a norm, or kernels beside a bias."""
    return is_norm(bank.norm) or (bank.bias is not None and not bank.is_shared)
