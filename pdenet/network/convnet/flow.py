"""Flow: the operations of a block, one after another, as frozen data for texts and figures.

Nothing here knows of an equation: the operations are the steps of the contractions that a block
carries out, the depthwise convolutions and the norms between them, and the skip connection.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from pdenet.equation.functions import symbol_names
from pdenet.equation.printing import text
from pdenet.equation.system import ARGUMENT
from pdenet.network.contraction import Step
from pdenet.network.convnet.divergence import DirectionDivergence
from pdenet.network.convnet.features import bank_name
from pdenet.network.convnet.formulas import (
    derivative_of,
    directions,
    index_of,
    monomial_of,
    summed_formula,
)
from pdenet.network.convnet.opening import opening_key
from pdenet.network.convnet.operations import FlowSource, Operation
from pdenet.network.convnet.widths import source_name
from pdenet.network.layers import StackedTerms
from pdenet.network.products import STACK, FactorStack, StackedProduct, WeightStack


def flow_of(block: FlowSource) -> tuple[Operation, ...]:
    """Return all operations of a block, inputs before what needs them."""
    return _Flow(block).operations()


@dataclass(frozen=True)
class _Value:
    """An operand: the result of an operation, or a constant."""

    text: str
    operation: int | None
    labels: tuple[str, ...] = ()


class _Flow:
    def __init__(self, block: FlowSource) -> None:
        self.block = block
        self.made: list[Operation] = []
        taken = {n[0] for n in (*block.form.shapes, *block.form.symbols, *block.form.functions)}
        taken |= {f.name[0] for f in block.structure.fields}
        letters = [c for c in "abcefghlmopqrswzABCEFGHKLMNOPQRSTVW" if c not in taken]
        # More than so many results are numbered.
        self.letters = itertools.chain(letters, (f"a{k}" for k in itertools.count(1)))
        self.convolved: dict[str, int] = {}
        self.states: dict[str, int] = {}
        self.functions: dict[str, int] = {}
        fields = block.structure.fields
        self.width = block.in_channels // len(fields)
        self.out_width = block.out_channels // len(fields)

    def operations(self) -> tuple[Operation, ...]:
        block = self.block
        for info in block.structure.fields:
            words = "the state" if len(block.structure.fields) == 1 else f"the state's {info.name}"
            self.states[info.name] = self._add(
                "state", info.name, info.name, "", words, (), self.width
            )
        rates = [self._rate(layers) for layers in block.layers]
        skip = self._projection()
        for info, rate in zip(block.structure.fields, rates, strict=True):
            start = self.states[info.name] if skip is None else skip
            inputs = (start,) if rate is None else (start, rate)
            formula = " + ".join(self.made[k].symbol for k in inputs)
            words = "the skip connection, the time derivative"
            name = f"{info.name} + F"
            self._add("skip", name, f"{info.name}′", formula, words, inputs, self.out_width)
        return tuple(self.made)

    def _add(
        self,
        kind: str,
        name: str,
        symbol: str,
        formula: str,
        words: str,
        inputs: Sequence[int | None],
        channels: int,
        modules: Mapping[str, nn.Module | torch.Tensor] | None = None,
    ) -> int:
        parameters: list[tuple[str, tuple[int, ...]]] = []
        for prefix, module in (modules or {}).items():
            if isinstance(module, torch.Tensor):
                parameters.append((prefix, tuple(module.shape)))
            else:
                parameters += [
                    (f"{prefix}.{n}", tuple(p.shape)) for n, p in module.named_parameters()
                ]
        needed = tuple(k for k in inputs if k is not None)
        self.made.append(
            Operation(kind, name, symbol, formula, words, needed, channels, tuple(parameters))
        )
        return len(self.made) - 1

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

    def _convolved(self, name: str, of: int, what: str, index: str, taken: int) -> int:
        """Add a depthwise convolution and its norm, once."""
        if name in self.convolved:
            return self.convolved[name]
        bank, relaxation = self.block.banks.of(name), self.block.relaxation
        size = 2 * bank.radius + 1
        is_relaxed = relaxation.directions is not None
        derivatives = ", ".join(dict.fromkeys(derivative_of(n) for n in bank.names))
        if is_relaxed:
            formula = f"∂{what} in {directions(len(bank.names))}"
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
            powers = ", ".join(dict.fromkeys(monomial_of(a, b) for a, b in bank.exponents))
            made = self._add(
                "function", f"position {name}", symbol, f"{symbol} times {powers}",
                f"coefficients that vary: {count} → {bank.rows} of each channel", (made,),
                bank.channels * bank.rows,
            )  # fmt: skip
        self.convolved[name] = made
        return made

    def _factor(self, factor: FactorStack) -> _Value:
        state = self.states[factor.field]
        index = index_of(factor.letters)
        found = [place for place in factor.places if place is not None]
        if found:
            name = bank_name(found[0][0])
            made = self._convolved(name, state, factor.field + index, index, self.width)
            return _Value(self.made[made].symbol, made)
        if factor.function is None:
            return _Value(f"{factor.field}{index}", state)
        expression = text(factor.function.expr).replace(ARGUMENT.name, f"{factor.field}{index}")
        if expression not in self.functions:
            symbol = next(self.letters) + index
            self.functions[expression] = self._add(
                "function", "function", symbol, expression, "pixel by pixel", (state,), self.width
            )
        made = self.functions[expression]
        return _Value(self.made[made].symbol, made)

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
                "the same at all pixels", (), self.out_width, self._tensors(value.labels),
            )  # fmt: skip
        key = layer.product.key
        channels = self._channels(layer.product, layer.product.contraction.output)
        if channels != self.out_width:
            words = f"sum over {channels // self.out_width} directions each"
            if channels < self.out_width:
                words = f"each channel {self.out_width // channels} times"
            symbol = self.made[made].symbol
            formula = f"{channels} → {self.out_width} channels"
            made = self._add("sum", "groups", symbol, formula, words, (made,), self.out_width)
        closing = self.block.closings.get(key)
        if closing is not None and closing.step is None and str(key) in self.block.norms:
            made = self._norm(made, self.block.norms[str(key)], f"norms.{key}")
        return made

    def _divergence(self, divergence: DirectionDivergence) -> _Value:
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
                [made, *(face.operation for face in faces)], channels, self._tensors(value.labels),
            )  # fmt: skip
        elif made is None:
            symbol = next(self.letters) + index
            made = self._add("function", "flux", symbol, value.text, "a flux", (), 1)
        operation = self.made[made]
        is_state = operation.kind == "state"
        what = operation.symbol + index if is_state else f"({operation.symbol})"
        result = self._convolved(divergence.name, made, what, index, operation.channels)
        return _Value(self.made[result].symbol, result)

    def _product(self, product: StackedProduct, others: Sequence[_Value]) -> _Value:
        """Add the steps of a contraction and the norms between them."""
        values: list[_Value] = []
        if not product.is_one:
            values.append(self._numbers(product))
        if product.maps:
            values.append(self._map(product))
        values += [self._weight(weights) for weights in product.weights]
        values += [self._factor(factor) for factor in product.factors]
        values += others
        contraction = product.contraction
        start = len(values)
        norms = self._norms(product)
        for number, step in enumerate(contraction.steps, start):
            value = self._step(product, step, values[step.first], values[step.second])
            if number in norms and value.operation is not None:
                made = self._norm(value.operation, norms[number][1], norms[number][0])
                value = _Value(value.text, made)
            values.append(value)
        if not values:
            return _Value("1", None)
        last = values[contraction.last]
        letters = contraction.operands[contraction.last].letters
        if last.operation is not None and set(letters) - set(contraction.output):
            symbol = next(self.letters) + index_of(contraction.output)
            words = f"sum over {directions(len(product.products))}"
            channels = self._channels(product, contraction.output)
            made = self._add(
                "sum", "sum", symbol, f"Σ {last.text}", words, (last.operation,), channels
            )
            last = _Value(symbol, made)
        return last

    def _norms(self, product: StackedProduct) -> dict[int, tuple[str, nn.Module]]:
        found = {}
        for opening in self.block.openings.get(product.key, ()):
            key = opening_key(product.key, opening.step)
            found[opening.step] = (f"opening_norms.{key}", self.block.opening_norms[key])
        closing = self.block.closings.get(product.key)
        if (
            closing is not None
            and closing.step is not None
            and str(product.key) in self.block.norms
        ):
            key = str(product.key)
            found[closing.step] = (f"norms.{key}", self.block.norms[key])
        return found

    def _step(self, product: StackedProduct, step: Step, left: _Value, right: _Value) -> _Value:
        labels = tuple(dict.fromkeys((*left.labels, *right.labels)))
        if step.kind == "weights":
            return _Value(f"{left.text} {right.text}", None, labels)
        operands = product.contraction.operands
        first, second = operands[step.first], operands[step.second]
        field = first if first.is_spatial else second
        formula = summed_formula(
            first.letters, second.letters, step.result.letters, f"{left.text} {right.text}",
            self._ways(product),
        )  # fmt: skip
        channels = self._channels(product, step.result.letters)
        taken = self._channels(product, field.letters)
        inputs = [left.operation, right.operation]
        name = ", ".join(label for label in labels if not label.startswith("symbols."))
        if step.kind == "convolution":
            groups = set(first.letters) & set(second.letters) & set(step.result.letters) - {STACK}
            words = f"1×1 convolution {taken} → {channels}"
            words += f" in {self._channels(product, ''.join(groups))} groups" if groups else ""
        elif labels:
            words = f"times a coefficient, {taken} → {channels} channels"
        elif left.operation is None or right.operation is None:
            words = f"times numbers, {taken} → {channels} channels"
        else:
            everything = "".join(dict.fromkeys(first.letters + second.letters))
            name = "product"
            words = f"product of {self._channels(product, everything)} channels, element by element"
        symbol = next(self.letters) + index_of(step.result.letters)
        made = self._add(
            step.kind, name or "numbers", symbol, formula, words, inputs, channels,
            self._tensors(labels),
        )  # fmt: skip
        return _Value(symbol, made)

    def _ways(self, product: StackedProduct) -> str:
        has_derivative = any(f.kernels != (None,) for f in product.factors)
        operands = len(product.contraction.operands) - len(product.contraction.steps)
        own = product.place_of_weights + len(product.weights)
        has_others = operands > own + len(product.factors)
        count = len(product.products)
        return directions(count) if has_derivative or has_others else f"{count} terms"

    def _weight(self, weights: WeightStack) -> _Value:
        label = self.block.coefficients.labels[weights]
        return _Value(f"{source_name(weights.names[0])}_{weights.indices}", None, (label,))

    def _tensors(self, labels: Sequence[str]) -> dict[str, nn.Module | torch.Tensor]:
        """Return parameters by name; those of coefficients are given by their labels alone."""
        made: dict[str, nn.Module | torch.Tensor] = {}
        for label in labels:
            folder, _, name = label.rpartition(".")
            if folder == "symbols":
                made[label] = self.block.symbols[name]
            else:
                made[f"coefficients.tensors.{label}"] = self.block.coefficients.tensors[label]
        return made

    def _numbers(self, product: StackedProduct) -> _Value:
        numbers = self.block.form.numbers
        texts, names = [], []
        for one in product.products:
            number, scale = float(numbers[one.number]), "" if one.scale == 1 else text(one.scale)
            texts.append(scale if scale and number == 1 else f"{number:g} {scale}".strip())
            used = symbol_names(one.scale) & set(self.block.symbols)
            names += [f"symbols.{n}" for n in sorted(used)]
        unique = list(dict.fromkeys(texts))
        joined = unique[0] if len(unique) == 1 else f"({', '.join(unique)})"
        return _Value(joined, None, tuple(dict.fromkeys(names)))

    def _map(self, product: StackedProduct) -> _Value:
        formula = ", ".join(dict.fromkeys(text(m.expr) for m in product.maps))
        if formula not in self.functions:
            names = {name for m in product.maps for name in m.names}
            used = {f"functions.{n}": p for n, p in self.block.functions.items() if n in names}
            used |= {f"symbols.{n}": p for n, p in self.block.symbols.items() if n in names}
            self.functions[formula] = self._add(
                "function", "coordinates", next(self.letters), formula, "of x and y", (),
                len(product.maps), used,
            )  # fmt: skip
        made = self.functions[formula]
        return _Value(self.made[made].symbol, made)

    def _channels(self, product: StackedProduct, letters: str) -> int:
        return math.prod([product.contraction.sizes[c] for c in letters])
