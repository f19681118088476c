"""Operations: what a block computes, one after another, as frozen data for texts and figures.

Nothing here knows of an equation: the operations are the steps of the contractions that a block
carries out. What lies between them is of its own kind: the convolutions and the boundaries of a
`Network` in `description`, the directions, norms and skips of a `PDEBlock` in
`convnet.explanation`.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import sympy as sp
import torch
from torch import nn

from pdenet.discrete.structure import Structure
from pdenet.equation.functions import symbol_names
from pdenet.equation.printing import text
from pdenet.equation.system import ARGUMENT
from pdenet.network.contraction import Step
from pdenet.network.products import STACK, FactorStack, StackedProduct, WeightStack

KINDS = (
    "state",
    "convolution",
    "depthwise",
    "product",
    "function",
    "norm",
    "sum",
    "skip",
)
"""What operations there are."""

_LETTERS = "abcefghlmopqrswzABCEFGHKLMNOPQRSTVW"
_PREFIXES = ("coefficients.tensors.", "banks.convolutions.")


@dataclass(frozen=True)
class Operation:
    """Something a block does with its fields.

    Attributes:
        kind: one of `KINDS`.
        name: the coefficients, the convolution or the norm: "C_D", "directions u", "norms.0".
        symbol: the letters of the result, "a_j".
        formula: which part of the equation it is, "Σ_k C_jk u_k in 4 directions".
        words: what it does, "1×1 convolution 64 → 256".
        inputs: the numbers of the operations that it needs.
        channels: of the result.
        parameters: the names of its parameters in the block, with their shapes.
    """

    kind: str
    name: str
    symbol: str
    formula: str
    words: str
    inputs: tuple[int, ...]
    channels: int
    parameters: tuple[tuple[str, tuple[int, ...]], ...] = ()

    def line(self) -> str:
        """Return its name with the shapes of its parameters, what it makes, and how.

        Parameters have their names of `state_dict()`, without what stands before the names of
        coefficients and convolutions.
        """
        if self.kind == "state":
            return f"{self.name} ({self.channels}): {self.words}"
        shapes = [f"{_short(name)} ({', '.join(map(str, s))})" for name, s in self.parameters]
        title = self.name
        if {_short(name) for name, _ in self.parameters} == {title}:
            title = shapes[0]
        elif self.kind == "norm":
            title = ", ".join(shapes) or title
        elif shapes:
            title += f" [{', '.join(shapes)}]"
        made = f"{self.symbol} = {self.formula}" if self.formula and self.kind != "norm" else ""
        return ": ".join(part for part in (title, made, self.words) if part)


def _short(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


@dataclass(frozen=True)
class Value:
    """An operand: the result of an operation, or a constant.

    Attributes:
        text: how it is written.
        operation: the number of the operation; None for a constant.
        labels: the parameters that a constant is made of.
    """

    text: str
    operation: int | None
    labels: tuple[str, ...] = ()


class Flow(ABC):
    """Makes the operations of a block.

    Args:
        structure: the block's structure.
        numbers: the numbers of all its terms.
        symbols: the names of its scalar parameters.
        taken: names whose first letters no result has.
        meanings: what stands for names in scales and maps.

    Attributes:
        made: the operations so far, inputs before what needs them.
        states: the operation of each field.
    """

    def __init__(
        self,
        structure: Structure,
        numbers: Sequence[float] | torch.Tensor,
        symbols: Iterable[str],
        taken: Iterable[str],
        meanings: Mapping[str, sp.Expr] | None = None,
    ) -> None:
        self.structure, self.numbers, self.symbols = structure, numbers, set(symbols)
        self.meanings = meanings or {}
        self.made: list[Operation] = []
        first = {name[0] for name in (*taken, *(f.name for f in structure.fields))}
        letters = [c for c in _LETTERS if c not in first]
        # More than so many results are numbered.
        self.letters = itertools.chain(letters, (f"a{k}" for k in itertools.count(1)))
        self.states: dict[str, int] = {}
        self._functions: dict[str, int] = {}

    # -- what a kind of block has for itself ------------------------------------------------------

    @abstractmethod
    def _convolved(self, factor: FactorStack, index: str) -> Value:
        """Return a field under kernels."""

    @abstractmethod
    def _weight(self, weights: WeightStack) -> Value:
        """Return a stack of coefficients, with the name of its parameter for a label."""

    def _parameters(self, labels: Collection[str]) -> Mapping[str, nn.Module | torch.Tensor]:
        """Return the parameters that labels of operands stand for, by their names."""
        return {}

    def _normed(self, product: StackedProduct, step: int | None, made: int) -> int:
        """Add the norm behind a step of a product, or behind all (None), where there is one."""
        return made

    def _ways(self, product: StackedProduct) -> str:
        """Return what is stacked in a product: "4 directions"."""
        return f"{len(product.products)} terms"

    # -- operations -------------------------------------------------------------------------------

    def _add(
        self,
        kind: str,
        name: str,
        symbol: str,
        formula: str,
        words: str,
        inputs: Iterable[int | None],
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

    def _value(self, made: int) -> Value:
        return Value(self.made[made].symbol, made)

    def _add_states(self, width: Mapping[str, int]) -> None:
        for name, channels in width.items():
            words = "the state" if len(width) == 1 else f"the state's {name}"
            self.states[name] = self._add("state", name, name, "", words, (), channels)

    def _function(
        self,
        name: str,
        symbol_index: str,
        formula: str,
        words: str,
        inputs: Iterable[int | None],
        channels: int,
        modules: Mapping[str, nn.Module | torch.Tensor] | None = None,
    ) -> Value:
        """Add a function of pixels or of places, once."""
        if formula not in self._functions:
            symbol = next(self.letters) + symbol_index
            self._functions[formula] = self._add(
                "function", name, symbol, formula, words, inputs, channels, modules
            )
        return self._value(self._functions[formula])

    def _factor(self, factor: FactorStack) -> Value:
        state, index = self.states[factor.field], index_of(factor.letters)
        field = Value(f"{factor.field}{index}", state)
        if factor.kernels != (None,):
            field = self._convolved(factor, index)
        if factor.function is None or field.operation is None:
            return field
        expression = text(factor.function.expr).replace(ARGUMENT.name, field.text)
        channels = self.made[field.operation].channels
        inputs = (field.operation,)
        return self._function("function", index, expression, "pixel by pixel", inputs, channels)

    def _numbers(self, product: StackedProduct) -> Value:
        texts, names = [], []
        for one in product.products:
            number, scale = (
                float(self.numbers[one.number]),
                "" if one.scale == 1 else self._text(one.scale),
            )
            texts.append(scale if scale and number == 1 else f"{number:g} {scale}".strip())
            names += [f"symbols.{n}" for n in sorted(symbol_names(one.scale) & self.symbols)]
        return Value(listed(texts), None, tuple(dict.fromkeys(names)))

    def _text(self, expr: sp.Expr) -> str:
        known = {s: self.meanings[s.name] for s in expr.free_symbols if s.name in self.meanings}
        return text(expr.xreplace(known))

    def _map(self, product: StackedProduct) -> Value:
        formula = ", ".join(dict.fromkeys(self._text(m.expr) for m in product.maps))
        if formula in self.states:
            return Value(formula, self.states[formula])
        names = {name for m in product.maps for name in m.names}
        inputs = [made for name, made in self.states.items() if name in names]
        labels = [f"{kind}.{n}" for kind in ("functions", "symbols") for n in sorted(names)]
        words = "pixel by pixel" if inputs else f"of {' and '.join(self.structure.axes)}"
        return self._function(
            "coordinates", "", formula, words, inputs, len(product.maps), self._parameters(labels)
        )

    def _product(self, product: StackedProduct, others: Sequence[Value]) -> Value:
        """Add the steps of a contraction and the norms between them."""
        values: list[Value] = []
        if not product.is_one:
            values.append(self._numbers(product))
        if product.maps:
            values.append(self._map(product))
        values += [self._weight(weights) for weights in product.weights]
        values += [self._factor(factor) for factor in product.factors]
        values += others
        contraction = product.contraction
        for number, step in enumerate(contraction.steps, len(values)):
            value = self._step(product, step, values[step.first], values[step.second])
            if value.operation is not None:
                made = self._normed(product, number, value.operation)
                value = Value(value.text, made)
            values.append(value)
        if not values:
            return Value("1", None)
        last = values[contraction.last]
        letters = contraction.operands[contraction.last].letters
        if last.operation is None or not set(letters) - set(contraction.output):
            return last
        symbol = next(self.letters) + index_of(contraction.output)
        words = f"sum over {self._ways(product)}"
        channels = self._channels(product, contraction.output)
        return self._value(
            self._add("sum", "sum", symbol, f"Σ {last.text}", words, (last.operation,), channels)
        )

    def _step(self, product: StackedProduct, step: Step, left: Value, right: Value) -> Value:
        labels = tuple(dict.fromkeys((*left.labels, *right.labels)))
        factors = " ".join(v.text for v in (left, right) if v.text != "1") or "1"
        if step.kind == "weights":
            return Value(factors, None, labels)
        operands = product.contraction.operands
        first, second = operands[step.first], operands[step.second]
        field = first if first.is_spatial else second
        letters = step.result.letters
        for one, other, same in ((left, right, second), (right, left, first)):
            if one.text == "1" and one.operation is None and same.letters == letters:
                return other
        formula = _summed(first.letters, second.letters, letters, factors, self._ways(product))
        taken, channels = (self._channels(product, c) for c in (field.letters, letters))
        name = ", ".join(label for label in labels if not label.startswith("symbols."))
        if step.kind == "convolution":
            groups = set(first.letters) & set(second.letters) & set(letters) - {STACK}
            words = f"1×1 convolution {taken} → {channels}"
            words += f" in {self._channels(product, ''.join(groups))} groups" if groups else ""
        elif labels:
            words = f"times a coefficient, {taken} → {channels} channels"
        elif left.operation is None or right.operation is None:
            words = f"times numbers, {taken} → {channels} channels"
        else:
            everything = "".join(dict.fromkeys(first.letters + second.letters))
            name = "product"
            count = self._channels(product, everything)
            words = f"product of {count} channel{'s' * (count > 1)}, element by element"
        made = self._add(
            step.kind, name or "numbers", next(self.letters) + index_of(letters), formula, words,
            (left.operation, right.operation), channels, self._parameters(labels),
        )  # fmt: skip
        return self._value(made)

    def _channels(self, product: StackedProduct, letters: str) -> int:
        return math.prod([product.contraction.sizes[c] for c in letters])


# -- how it is written ----------------------------------------------------------------------------


def _summed(first: str, second: str, result: str, factors: str, ways: str) -> str:
    """Return a sum over all letters that the result does not have: "Σ_k C_jk u_k".

    Args:
        first: the letters of one factor.
        second: the letters of the other.
        result: the letters that are kept.
        factors: both, as text.
        ways: what the letter of the stack counts: "4 directions".
    """
    letters = dict.fromkeys(first + second)
    summed = "".join(c for c in letters if c not in result and c != STACK)
    made = (f"Σ_{summed} " if summed else "") + factors
    if STACK in result:
        return f"{made} in {ways}"
    return f"{made} summed over {ways}" if STACK in letters else made


def index_of(letters: str) -> str:
    """Return "_j" of "jd", "" of no letter but that of the stack."""
    kept = letters.replace(STACK, "")
    return f"_{kept}" if kept else ""


def derivative_of(name: str) -> str:
    """Return ∂x of "x", ∂xy of "xy", ∂x of "x_face" and "x_faces"."""
    axes = name.partition("_")[0]
    return f"∂{axes}" if set(axes) <= set("xyz") else name


def listed(texts: Iterable[str]) -> str:
    """Return one text, or different ones in brackets."""
    unique = list(dict.fromkeys(texts))
    return unique[0] if len(unique) == 1 else f"({', '.join(unique)})"
