"""Explanation: which part of its equation each layer of a block is, as operations and in words.

Directions, norms and the skip connection stand between the steps that `Flow` tells.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Protocol

import torch
from torch import nn

from pdenet.discrete.structure import Structure
from pdenet.network.convnet.coefficients import Coefficients
from pdenet.network.convnet.divergence import DirectionDivergence
from pdenet.network.convnet.features import DirectionBanks, bank_name
from pdenet.network.convnet.form import Form
from pdenet.network.convnet.layout import Layout
from pdenet.network.convnet.norms import Closing, Opening
from pdenet.network.convnet.relaxation import Relaxation
from pdenet.network.convnet.stem import Stem
from pdenet.network.convnet.widening import source_name
from pdenet.network.layers import StackedTerms
from pdenet.network.operations import Flow, Operation, Value, derivative_of, index_of
from pdenet.network.products import FactorStack, StackedProduct, WeightStack


class FlowSource(Protocol):
    """What is read of a `PDEBlock`."""

    form: Form
    relaxation: Relaxation
    structure: Structure
    numbers: torch.Tensor
    coefficients: Coefficients
    banks: DirectionBanks
    symbols: nn.ParameterDict
    functions: nn.ParameterDict
    layers: list[list[StackedTerms]]
    closings: dict[int, Closing]
    openings: dict[int, list[Opening]]
    norms: nn.ModuleDict
    opening_norms: nn.ModuleDict
    projection: nn.Module
    in_channels: int
    out_channels: int
    stride: int


def flow_of(block: FlowSource) -> tuple[Operation, ...]:
    """Return all operations of a block, inputs before what needs them."""
    return _BlockFlow(block).operations()


class _BlockFlow(Flow):
    def __init__(self, block: FlowSource) -> None:
        form = block.form
        taken = (*form.shapes, *form.symbols, *form.functions)
        super().__init__(block.structure, block.numbers, block.symbols, taken)
        self.block = block
        self.convolved: dict[str, int] = {}
        count = len(block.structure.fields)
        self.width, self.out_width = block.in_channels // count, block.out_channels // count

    def operations(self) -> tuple[Operation, ...]:
        fields = [info.name for info in self.structure.fields]
        self._add_states(dict.fromkeys(fields, self.width))
        rates = [self._rate(layers) for layers in self.block.layers]
        skip = self._projection()
        for field, rate in zip(fields, rates, strict=True):
            start = self.states[field] if skip is None else skip
            inputs = (start,) if rate is None else (start, rate)
            formula = " + ".join(self.made[k].symbol for k in inputs)
            words = "the skip connection, the time derivative"
            self._add("skip", f"{field} + F", f"{field}′", formula, words, inputs, self.out_width)
        return tuple(self.made)

    # -- fields and their derivatives -------------------------------------------------------------

    def _rate(self, layers: Sequence[StackedTerms]) -> int | None:
        parts = [self._layer(layer) for layer in layers]
        if len(parts) < 2:
            return parts[0] if parts else None
        symbol = next(self.letters) + "_i"
        formula = " + ".join(self.made[k].symbol for k in parts)
        return self._add("sum", "F", symbol, formula, "sum of all terms", parts, self.out_width)

    def _projection(self) -> int | None:
        block = self.block
        if not isinstance(block.projection, nn.Sequential):
            return None
        convolution, norm = block.projection[0], block.projection[1]
        stride = f", stride {block.stride}" if block.stride > 1 else ""
        words = f"1×1 convolution {block.in_channels} → {block.out_channels}{stride}"
        made = self._add(
            "convolution", "skip", "u", "u in the new width", words,
            tuple(self.states.values()), block.out_channels, {"projection.0": convolution},
        )  # fmt: skip
        return self._norm(made, norm, "projection.1")

    def _norm(self, before: int, norm: nn.Module, name: str) -> int:
        """Add a norm, or what is left of it in a fused block."""
        if isinstance(norm, nn.Identity):
            return before
        operation = self.made[before]
        is_norm = isinstance(norm, nn.modules.batchnorm._BatchNorm)
        what = "batch norm" if is_norm else "shift"
        words = f"{what} of {operation.symbol}, {operation.channels} channels"
        return self._add(
            "norm", name, operation.symbol, operation.symbol, words, (before,),
            operation.channels, {name: norm},
        )  # fmt: skip

    def _directions(self, name: str, of: int, what: str, index: str, taken: int) -> Value:
        """Add a depthwise convolution and its norm, once."""
        if name in self.convolved:
            return self._value(self.convolved[name])
        bank, relaxation = self.block.banks.of(name), self.block.relaxation
        size = 2 * bank.radius + 1
        is_relaxed = relaxation.directions is not None
        derivatives = ", ".join(dict.fromkeys(derivative_of(n) for n in bank.names))
        if is_relaxed:
            formula = f"∂{what} in {_counted(len(bank.names))}"
        else:
            formula = ", ".join(f"{derivative_of(n)} {what}" for n in dict.fromkeys(bank.names))
        count = len(bank.names)
        whose = "one kernel of each direction for all channels"
        if not bank.is_shared:
            whose = "kernels of each channel's own"
        stride = f", stride {bank.stride}" if bank.stride > 1 else ""
        channels = bank.channels * count
        words = f"depthwise {size}×{size} convolution {taken} → {channels}{stride}, {whose}"
        if is_relaxed:
            own = ", ".join(dict.fromkeys(map(derivative_of, bank.origins)))
            words += f" ({own} relaxed)" if own else ""
        else:
            kept = {"free": "trainable", "moment": "trainable up to moments", "frozen": "fixed"}
            words += f" ({derivatives}: {kept[relaxation.stencils]})"
        symbol = next(self.letters) + index
        prefix = f"banks.convolutions.{name}"
        kernels = {
            f"{prefix}.{n}": p for n, p in bank.named_parameters() if not n.startswith("norm.")
        }
        made = self._add(
            "depthwise", f"directions {name}", symbol, formula, words, (of,), channels, kernels
        )
        made = self._norm(made, bank.norm, f"{prefix}.norm")
        if bank.has_position:
            powers = ", ".join(dict.fromkeys(_monomial(a, b) for a, b in bank.exponents))
            made = self._add(
                "function", f"position {name}", symbol, f"{symbol} times {powers}",
                f"coefficients that vary: {count} → {bank.rows} of each channel", (made,),
                bank.channels * bank.rows,
            )  # fmt: skip
        self.convolved[name] = made
        return self._value(made)

    def _convolved(self, factor: FactorStack, index: str) -> Value:
        name = next(bank_name(place[0]) for place in factor.places if place is not None)
        what = factor.field + index
        return self._directions(name, self.states[factor.field], what, index, self.width)

    # -- products ---------------------------------------------------------------------------------

    def _layer(self, layer: StackedTerms) -> int:
        others = []
        for divergence in layer.divergences:
            assert isinstance(divergence, DirectionDivergence)
            others.append(self._divergence(divergence))
        value = self._product(layer.product, others)
        made = value.operation
        if made is None:
            made = self._add(
                "function", "constant", f"{next(self.letters)}_i", value.text,
                "the same at all pixels", (), self.out_width, self._parameters(value.labels),
            )  # fmt: skip
        channels = self._channels(layer.product, layer.product.contraction.output)
        if channels != self.out_width:
            words = f"sum over {channels // self.out_width} directions each"
            if channels < self.out_width:
                words = f"each channel {self.out_width // channels} times"
            symbol = self.made[made].symbol
            formula = f"{channels} → {self.out_width} channels"
            made = self._add("sum", "groups", symbol, formula, words, (made,), self.out_width)
        return self._normed(layer.product, None, made)

    def _divergence(self, divergence: DirectionDivergence) -> Value:
        value = self._product(divergence.nodes, [])
        made = value.operation
        index = index_of(divergence.index)
        if divergence.contraction is not None:
            faces = [self._factor(face) for face in divergence.faces]
            symbol = next(self.letters) + index
            number = "" if made is None and value.text == "1" else f"{value.text} · "
            formula = number + " · ".join(face.text for face in faces)
            channels = math.prod(divergence.shape) * (divergence.rows if divergence.split else 1)
            words = "fluxes at faces: the mean of both nodes times the difference"
            made = self._add(
                "product", "flux", symbol, formula, words,
                [made, *(face.operation for face in faces)], channels,
                self._parameters(value.labels),
            )  # fmt: skip
        elif made is None:
            symbol = next(self.letters) + index
            made = self._add("function", "flux", symbol, value.text, "a flux", (), 1)
        operation = self.made[made]
        is_state = operation.kind == "state"
        what = operation.symbol + index if is_state else f"({operation.symbol})"
        return self._directions(divergence.name, made, what, index, operation.channels)

    # -- what steps ask for -----------------------------------------------------------------------

    def _normed(self, product: StackedProduct, step: int | None, made: int) -> int:
        block = self.block
        for opening in block.openings.get(product.key, ()):
            if opening.step == step:
                name = opening.norm
                made = self._norm(made, block.opening_norms[name], f"opening_norms.{name}")
        closing, key = block.closings.get(product.key), str(product.key)
        if closing is not None and closing.step == step and key in block.norms:
            made = self._norm(made, block.norms[key], f"norms.{key}")
        return made

    def _ways(self, product: StackedProduct) -> str:
        has_derivative = any(f.kernels != (None,) for f in product.factors)
        own = product.place_of_factors + len(product.factors)
        has_others = product.contraction.num_given > own
        count = len(product.products)
        return _counted(count) if has_derivative or has_others else f"{count} terms"

    def _weight(self, weights: WeightStack) -> Value:
        label = self.block.coefficients.labels[weights]
        return Value(f"{source_name(weights.names[0])}_{weights.indices}", None, (label,))

    def _parameters(self, labels: Collection[str]) -> dict[str, nn.Module | torch.Tensor]:
        """Return parameters by name; those of coefficients are given by their labels alone."""
        block = self.block
        folders = {"symbols": block.symbols, "functions": block.functions}
        made: dict[str, nn.Module | torch.Tensor] = {}
        for label in labels:
            folder, _, name = label.rpartition(".")
            if not folder:
                made[f"coefficients.tensors.{label}"] = block.coefficients.tensors[label]
            elif name in folders[folder]:
                made[label] = folders[folder][name]
        return made


def _counted(count: int) -> str:
    """Return "1 direction" or "4 directions"."""
    return f"{count} direction{'s' if count > 1 else ''}"


def _monomial(a: int, b: int) -> str:
    """Return x^a y^b."""
    powers = [f"{n}^{e}" if e > 1 else n for n, e in (("x", a), ("y", b)) if e]
    return " ".join(powers) or "1"


# In words ---------------------------------------------------------------------------------------


def explain_block(block: FlowSource) -> str:
    """Return which part of the equation each layer is, one operation a line.

    Derived from the steps that the block carries out; see `Operation.line`.
    """
    operations = flow_of(block)
    stride = f", stride {block.stride}" if block.stride > 1 else ""
    head = f"PDEBlock {block.in_channels} → {block.out_channels} channels{stride}: u + F(u) for"
    lines = [head, *(f"  {line}" for line in block.form.equation.splitlines())]
    return "\n".join([*lines, *(one.line() for one in operations)])


class StageSource(Protocol):
    """What is read of a `Stage`."""

    blocks: nn.ModuleList
    activations: nn.ModuleList
    stepper: str


class ModelSource(Protocol):
    """What is read of a `Classifier`."""

    equation: str
    in_channels: int
    num_classes: int
    num_features: int
    global_pool: str
    layout: Layout
    stem: Stem
    stages: nn.Sequential
    final: nn.Module


def explain_model(model: ModelSource) -> str:
    """Return a paragraph a stage, with shapes for pictures of r × r pixels."""
    layout = model.layout
    stem = "3×3 convolution" if layout.stem == "plain" else "7×7 convolution and pooling"
    reduction = layout.stem_reduction
    first = _state(layout.widths[0], reduction)
    entry = f"stem: ({model.in_channels}, r, r) → {first}: {stem}, batch norm, ReLU"
    entry += ", 1×1 convolution" if model.stem.projection is not None else ""
    made = [f"Classifier of {model.equation}", f"{entry}: the initial state"]
    channels, before = layout.widths[0], reduction
    for number, (stage, width, after) in enumerate(
        zip(model.stages, layout.widths, layout.reductions, strict=True), 1
    ):
        blocks = stage.blocks
        assert isinstance(blocks, nn.ModuleList)
        made.append(_stage(number, stage, (channels, before), (width, after)))  # type: ignore[arg-type]
        made += [f"  {line}" for line in explain_block(blocks[-1]).splitlines()]  # type: ignore[arg-type]
        channels, before = width, after
    final = type(model.final).__name__
    behind = "" if isinstance(model.final, nn.Identity) else f"{final}, "
    words = {"avg": "mean over all pixels", "max": "maximum over all pixels", "": "no pooling"}
    head = f"linear {model.num_features} → {model.num_classes}: {model.num_classes} logits"
    last = head if model.num_classes else f"{model.num_features} features"
    made.append(f"head: {behind}{words[model.global_pool]}, {last}")
    return "\n".join(made)


def _stage(number: int, stage: StageSource, given: tuple[int, int], made: tuple[int, int]) -> str:
    depth = len(stage.blocks)
    names = [type(a).__name__ for a in stage.activations]
    acts = [f"{name} behind block {k}" for k, name in enumerate(names, 1) if name != "Identity"]
    tail = f"; {', '.join(acts)}" if acts else ""
    count = "1 block" if depth == 1 else f"{depth} blocks"
    weights = sum(p.numel() for block in stage.blocks for p in block.parameters())
    entry = ", the first of another width or stride" if given != made else ""
    return (
        f"stage {number}: {_state(*given)} → {_state(*made)}: {count}{entry}, steps of "
        f"{stage.stepper}{tail}; {weights:,} parameters; its last block is"
    )


def _state(channels: int, reduction: int) -> str:
    size = "r" if reduction == 1 else f"r/{reduction}"
    return f"({channels}, {size}, {size})"
