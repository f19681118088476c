"""Reading: the layers of a model's blocks as terms for the index rule, and where their slots are.

What is read is what `PDEBlock.slots` tells, batch norms, shifts and kernels included, so that
folded models are read as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from pdenet.equation.system import FREE_INDEX
from pdenet.network.convnet.block import PDEBlock
from pdenet.network.convnet.directions import Directions
from pdenet.network.convnet.fusing import Shift, is_norm
from pdenet.network.convnet.slots import FluxSlots, LayerSlots, ProductSlots, WeightSlots
from pdenet.network.convnet.widening import source_name
from pdenet.symmetry.equation.family import function_use
from pdenet.symmetry.indices import Letter, Slot, Use
from pdenet.symmetry.network.holders import Channels, Holder, grouped_holder, view_holder

Labels = Mapping[str, str | None]
"""For each field of a block by which name the rule knows it; None where it does not change."""


@dataclass
class Reading:
    """Terms of a model, and what their slots stand for.

    Attributes:
        terms: the letters of each term.
        holders: for each coefficient's name in the terms the tensors that take what it takes, all
            with the same axes.
        channels: directions that act channel by channel on letters of fields.
        labels: names of coefficients by the parameters that hold them: shared ones have one.
        ends: the names of what stands beside blocks: head, projected stem, quadratic forms.
    """

    terms: list[list[Letter]] = field(default_factory=list)
    holders: dict[str, list[Holder]] = field(default_factory=dict)
    channels: list[Channels] = field(default_factory=list)
    labels: dict[tuple[int, str], str] = field(default_factory=dict)
    ends: list[str] = field(default_factory=list)

    def add(self, block: PDEBlock, place: str, given: Labels, made: Labels) -> None:
        """Read a block.

        Args:
            block: the block.
            place: where it is, for names: "stage 2, block 1".
            given: its fields as they come in.
            made: its fields as they go out.
        """
        _BlockReader(self, block, place, given, made).read()

    def add_end(self, name: str, view: Callable[[], torch.Tensor], letters: list[Letter]) -> None:
        """Read a matrix that stands beside the blocks."""
        self.terms.append(letters)
        self.ends.append(name)
        self.hold(name, view)

    def hold(self, name: str, *views: Callable[[], torch.Tensor]) -> None:
        """Remember where a coefficient is; once for each of its tensors."""
        self.holders.setdefault(name, []).extend(map(view_holder, views))


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
        for layer in self.block.slots():
            for term in range(layer.num_terms):
                self._term(layer, term)
        if not self.block.keeps_shape:
            self._projection()

    # -- terms -------------------------------------------------------------------------------------

    def _term(self, layer: LayerSlots, term: int) -> None:
        letters: dict[str, _Open] = defaultdict(_Open)
        text = f"{layer.text(term)} of {self.place}"
        target = self.made[layer.field]
        free = letters[FREE_INDEX] = _Open(free=target, fixed=target is None)
        self._product(letters, layer.product, term, layer)
        products = [layer.product]
        if layer.flux is not None:
            self._flux(letters, layer.flux, term)
            products.append(layer.flux.nodes)
        self._openings(letters, products, layer.is_grouped)
        closed = [
            Slot(self._coefficient(weight.name(term)), weight.stack.indices.index(FREE_INDEX))
            for weight in layer.product.weights
            if weight.is_closed
        ]
        norm = None if layer.closing is None else self.block.norms[layer.closing]
        shift = norm if isinstance(norm, Shift) and norm.scale is None else None
        if norm is not None and shift is None:
            free.held += closed
            self._norm(free, f"the closing norm {layer.closing} of {self.place}", norm, _as_it_is)
        self._emit(letters, text)
        if shift is not None and term == 0:
            # What is left of a folded closing norm, c_i, with what it is multiplied by.
            name = f"the shift {layer.closing} of {self.place}"
            rest = [slot for slot in free.slots if slot not in closed]
            made = replace(free, slots=[Slot(name, 0), *rest], uses=[], held=[])
            self._emit({FREE_INDEX: made}, f"the shift of {self.place}")
            self.reading.hold(name, lambda: shift.bias)
        self._biases(letters, layer.product, text)

    def _product(
        self,
        letters: dict[str, _Open],
        product: ProductSlots,
        term: int,
        layer: LayerSlots | None = None,
    ) -> None:
        for weight in product.weights:
            label = self._coefficient(weight.name(term))
            for place, letter in enumerate(weight.stack.indices):
                found = [Slot(label, place)]
                if layer is not None and layer.is_grouped and letter == FREE_INDEX:
                    alone = found if self.given[layer.field] is not None else []
                    found = self._grouped(layer, weight, place) + alone
                letters[letter].slots += found
                letters[letter].held += found if letter in weight.opened else []
        for used in product.fields:
            if not used.letter:
                continue
            label_ = self.given[used.field]
            if label_ is None:
                letters[used.letter].fixed = True
                continue
            use = Use(label_) if used.function is None else function_use(label_, used.function)
            if used.bank is not None:
                bank = self.block.banks.of(used.bank)
                if _absorbs(bank):
                    use = Use(label_, power=0, parity=1, is_plain=False)
                use = replace(use, is_plain=use.is_plain and bank.is_shared)
                self._own(bank, (bank.channels, len(bank.names)), 0, (Use(label_),), label_)
            letters[used.letter].uses.append(use)

    def _flux(self, letters: dict[str, _Open], flux: FluxSlots, term: int) -> None:
        bank = self.block.banks.of(flux.bank)
        inside: dict[str, _Open] = defaultdict(_Open)
        self._product(inside, flux.nodes, term)
        shape = (*flux.shape, len(bank.names))
        for axis, letter in enumerate(flux.index):
            entry, around = inside[letter], letters.get(letter, _Open())
            uses = tuple(entry.uses)
            if (uses or around.uses) and _absorbs(bank):
                entry.held = list(entry.slots)
                entry.uses = [
                    Use(u.field, None if u.power is None else 0, abs(u.parity), is_plain=False)
                    for u in uses
                ]
            if uses or around.uses:
                entry.uses = [
                    replace(u, is_plain=u.is_plain and bank.is_shared) for u in entry.uses
                ]
                self._own(bank, shape, axis, uses, (uses or around.uses)[0].field)
            elif around.free is not None:
                self._flux_of_outputs(entry, bank, shape, axis, f"{flux.bank} of {self.place}")
        for letter, entry in inside.items():
            known = letters[letter]
            known.slots += entry.slots
            known.uses += entry.uses
            known.held += entry.held
            known.fixed |= entry.fixed

    def _flux_of_outputs(
        self, entry: _Open, bank: Directions, shape: tuple[int, ...], axis: int, name: str
    ) -> None:
        """Read channels of a flux that are the components it makes: its norm takes factors."""
        entry.held = list(entry.slots)
        if is_norm(bank.norm):
            self._norm(entry, f"the norm of {name}", bank.norm, _component_first(shape, axis))
        if bank.is_shared:
            return
        slot = Slot(f"the kernels of {name}", 0, is_norm=not is_norm(bank.norm))
        entry.slots.append(slot)
        entry.held += [] if slot.is_norm else [slot]
        if slot.coefficient not in self.reading.holders:
            kernels = _component_first((*shape, *bank.weight.shape[1:]), axis)
            self.reading.hold(slot.coefficient, lambda: kernels(bank.weight))
            if bank.bias is not None:
                biases = _component_first(shape, axis)
                self.reading.hold(slot.coefficient, lambda: biases(_bias(bank)))

    def _own(
        self, bank: Directions, shape: tuple[int, ...], axis: int, uses: tuple[Use, ...], label: str
    ) -> None:
        """Remember a bank whose channels move with a field, once."""
        has_own = not bank.is_shared or is_norm(bank.norm)
        if has_own and not any(c.bank is bank for c in self.reading.channels):
            self.reading.channels.append(Channels(bank, shape, axis, uses, label))

    # -- norms -------------------------------------------------------------------------------------

    def _openings(
        self, letters: dict[str, _Open], products: list[ProductSlots], is_grouped: bool
    ) -> None:
        """Read the opening norms whose channels are components of fields, which only move."""
        for opening in (one for product in products for one in product.openings):
            norm = self.block.opening_norms[opening.norm]
            for axis, letter in enumerate(opening.letters):
                entry = letters.get(letter, _Open())
                if entry.uses or (entry.free and not is_grouped):
                    name = f"the opening norm {opening.norm} of {self.place}"
                    shaped = _component_first(opening.shape, axis)
                    self._norm(entry, name, norm, shaped, takes=False)

    def _norm(
        self,
        entry: _Open,
        name: str,
        norm: nn.Module,
        shaped: Callable[[torch.Tensor], torch.Tensor],
        takes: bool = True,
    ) -> None:
        """Give a letter the slots of a norm: scale and shift take factors, statistics only move.

        Args:
            entry: the letter.
            name: of the norm.
            norm: a batch norm or a shift.
            shaped: gives its numbers with the component's axis first.
            takes: whether scale and shift take factors; else they only move, too.
        """
        slots = [Slot(name, 0, is_norm=takes), Slot(f"{name}: statistics", 0)]
        entry.slots += slots
        entry.held += slots[int(takes) :]
        if name in self.reading.holders:
            return
        tensors: tuple[tuple[str, ...], ...] = (
            ("weight", "bias"),
            ("running_mean", "running_var"),
        )
        if isinstance(norm, Shift):
            tensors = (("bias",) if norm.scale is None else ("scale", "bias"), ())
        for slot, names in zip(slots, tensors, strict=True):
            views = [lambda one=one: shaped(getattr(norm, one)) for one in names]
            self.reading.hold(slot.coefficient, *views)

    # -- what is added -----------------------------------------------------------------------------

    def _biases(self, letters: dict[str, _Open], product: ProductSlots, text: str) -> None:
        """Read what is added to directions whose norm's scale is folded: another factor's place."""
        for used in product.fields:
            label = self.given[used.field]
            if used.bank is None or not used.letter or label is None:
                continue
            bank = self.block.banks.of(used.bank)
            if bank.bias is None or _absorbs(bank):
                continue
            name = f"what is added to {used.bank} of {self.place}"
            if name not in self.reading.holders:
                self.reading.hold(name, lambda bank=bank: _bias(bank).view(bank.channels, -1))  # type: ignore[misc]  # a default binds the name
            old = letters[used.letter]
            mine = [use for use in old.uses if use.field == label]
            uses = [use for use in old.uses if use.field != label] + mine[1:]
            made = replace(old, slots=[*old.slots, Slot(name, 0)], uses=uses)
            added = {**letters, used.letter: made}
            self._emit(added, f"{text} with what is added to ∂{used.field}")

    # -- skip connections, and sums over groups ----------------------------------------------------

    def _projection(self) -> None:
        convolution, norm = self.block.projection[0], self.block.projection[1]  # type: ignore[index]
        assert isinstance(convolution, nn.Conv2d)
        count = len(self.fields)
        out, into = convolution.out_channels // count, convolution.in_channels // count
        text = f"the skip connection of {self.place}"
        for k, target in enumerate(self.fields):
            rows = slice(k * out, (k + 1) * out)
            free = _Open(free=self.made[target], fixed=self.made[target] is None)
            if convolution.bias is not None:
                name = f"the bias of {text} to {target}"
                self.reading.hold(name, lambda rows=rows: convolution.bias[rows])  # type: ignore[misc]  # likewise
                self._emit({FREE_INDEX: replace(free, slots=[Slot(name, 0)])}, text)
            for m, source in enumerate(self.fields):
                name = f"{text} from {source} to {target}"
                columns = slice(m * into, (m + 1) * into)
                self.reading.hold(
                    name,
                    lambda rows=rows, columns=columns: convolution.weight[rows, columns, 0, 0],  # type: ignore[misc]  # likewise
                )
                first = replace(free, slots=[Slot(name, 0)], held=[])
                if is_norm(norm):
                    first.held.append(Slot(name, 0))
                    called = f"the norm of {text} to {target}"
                    self._norm(first, called, norm, lambda tensor, rows=rows: tensor[rows])  # type: ignore[misc]  # likewise
                label = self.given[source]
                uses = [] if label is None else [Use(label)]
                second = _Open([Slot(name, 1)], uses, fixed=label is None)
                self._emit({FREE_INDEX: first, "j": second}, text)

    def _grouped(self, layer: LayerSlots, weight: WeightSlots, place: int) -> list[Slot]:
        """Return the slot of a coefficient as the outputs of sums over groups see it."""
        names = weight.stack.names
        if self.made[layer.field] is None or len(names) != layer.num_terms:
            return []
        name = f"the sums over groups of {', '.join(map(source_name, names))} of {self.place}"
        if name not in self.reading.holders:
            coefficients = self.block.coefficients
            width = self.block.out_channels // len(self.fields)

            def entries() -> list[torch.Tensor]:
                return [coefficients.entries(one) for one in names]

            self.reading.holders[name] = [grouped_holder(entries, place, width)]
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
            self.reading.hold(label, lambda: coefficients.entries(name))
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


def _absorbs(bank: Directions) -> bool:
    """Tell whether a bank takes factors of its input away: by a norm, or kernels beside a bias."""
    return is_norm(bank.norm) or (bank.bias is not None and not bank.is_shared)


def _bias(bank: Directions) -> torch.Tensor:
    assert bank.bias is not None
    return bank.bias


def _as_it_is(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


def _component_first(shape: tuple[int, ...], axis: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return what shows channels as an array of some shape with one axis first."""
    return lambda tensor: tensor.view(shape).movedim(axis, 0)
