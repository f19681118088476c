"""Contraction: a product of tensors with indices, summed in the cheapest order.

Two kinds of operands meet. A constant has one axis a letter. A spatial one has the shape
`(batch, *letters, *space)`, where batch and space may be of length 1. Every step takes two operands
and is what a ConvNet is made of: a constant with a spatial operand is a 1×1 convolution, two
spatial operands are an element-wise product. The order comes from opt_einsum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import opt_einsum
import torch
from torch.nn import functional as F  # PyTorch's own habit

SPACE = "P"
"""The letter of all pixels of all samples together, on spatial operands."""

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
"""torch's convolutions, by the number of space dimensions."""

Replacement = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""What stands in place of a 1×1 convolution: a function of the constant and the field."""


@dataclass(frozen=True)
class Operand:
    """A tensor in a contraction.

    Attributes:
        letters: the letters of its indices, each once, in the order of its axes.
        is_spatial: whether it has a batch axis before them and the axes of space behind.
    """

    letters: str
    is_spatial: bool


@dataclass(frozen=True)
class Step:
    """Two operands that are contracted into a new one.

    Attributes:
        first: the number of one operand; those given come first, each step makes one more.
        second: the number of the other.
        result: what is made.
        kind: "convolution", "product" (element-wise, summed over what is not kept), or "weights".
    """

    first: int
    second: int
    result: Operand
    kind: str


class Contraction:
    """Σ of a product of operands, over all letters that are not in the output.

    What needs constants only can be done once and used for many fields: `prepare`, then `run`.

    Args:
        operands: the operands.
        output: the letters of the result, in order.
        sizes: the length of each letter.
        pixels: the number of pixels, by which costs are counted.
        dimension: the number of space dimensions.

    Attributes:
        operands: the operands given, and behind them the result of each step.
        num_given: how many are given.
        steps: the steps, in order.
    """

    def __init__(
        self,
        operands: Sequence[Operand],
        output: str,
        sizes: Mapping[str, int],
        pixels: int,
        dimension: int,
    ) -> None:
        self.dimension = dimension
        self.output = output
        self.operands = list(operands)
        self.num_given = len(self.operands)
        self.steps: list[Step] = []
        self.sizes = dict(sizes)
        waiting = list(range(len(operands)))
        for places in self._path(pixels):
            if len(places) < 2:
                continue
            first, second = (waiting[k] for k in sorted(places))
            waiting = [k for k in waiting if k not in (first, second)]
            left, right = self.operands[first], self.operands[second]
            needed = set(output).union(*(self.operands[k].letters for k in waiting))
            result = _result(left, right, needed, output)
            self.steps.append(Step(first, second, result, _kind(left, right, result)))
            self.operands.append(result)
            waiting.append(len(self.operands) - 1)
        (self.last,) = waiting

    def _path(self, pixels: int) -> Sequence[tuple[int, ...]]:
        lengths = {**self.sizes, SPACE: max(pixels, 1)}
        texts = [o.letters + (SPACE if o.is_spatial else "") for o in self.operands]
        shapes = [tuple(lengths[c] for c in text) for text in texts]
        target = self.output + (SPACE if any(o.is_spatial for o in self.operands) else "")
        path, _ = opt_einsum.contract_path(
            ",".join(texts) + "->" + target, *shapes, shapes=True, optimize="optimal"
        )
        return path

    def numbered(self) -> Iterator[tuple[int, Step]]:
        """Go through the steps with the numbers of their results."""
        return enumerate(self.steps, self.num_given)

    def field_and_constant(self, step: Step) -> tuple[int, int]:
        """Return the numbers of the spatial operand of a 1×1 convolution and of the other."""
        is_first = self.operands[step.first].is_spatial
        return (step.first, step.second) if is_first else (step.second, step.first)

    def made_with(self, operand: int) -> str:
        """Return the letters of the first step that takes an operand to something spatial.

        An operand that first meets other constants, such as a number before it, is followed.
        """
        letters = self.operands[operand].letters
        for k, step in self.numbered():
            if operand in (step.first, step.second):
                letters, operand = step.result.letters, k
                if step.kind != "weights":
                    break
        return letters

    def inside(self) -> list[frozenset[int]]:
        """Return for each operand, those that steps make included, which given ones are in it."""
        made = [frozenset((k,)) for k in range(self.num_given)]
        for step in self.steps:
            made.append(made[step.first] | made[step.second])
        return made

    def prepare(self, tensors: Mapping[int, torch.Tensor]) -> dict[int, torch.Tensor]:
        """Return the given operands, by number, and all that constants among them make."""
        made = dict(tensors)
        for k, step in self.numbered():
            if step.kind == "weights":
                made[k] = self._step(step, made)
        return made

    def run(
        self,
        prepared: Mapping[int, torch.Tensor],
        tensors: Mapping[int, torch.Tensor],
        after: Mapping[int, Callable[[torch.Tensor], torch.Tensor]] = MappingProxyType({}),
        instead: Mapping[int, Replacement] = MappingProxyType({}),
    ) -> torch.Tensor:
        """Return the result of what `prepare` gave and of all other operands.

        Args:
            prepared: what `prepare` gave.
            tensors: the other operands, by number.
            after: what is done to the results of steps, by their numbers.
            instead: what is carried out in place of 1×1 convolutions, by the same numbers, with
                the constant and the spatial operand.

        Returns:
            Shape `(batch, *output, *space)`, of constants only `(*output,)`.
        """
        made = {**prepared, **tensors}
        for k, step in self.numbered():
            if k not in made:
                if k in instead:
                    field, constant = self.field_and_constant(step)
                    made[k] = instead[k](made[constant], made[field])
                else:
                    made[k] = self._step(step, made)
                if k in after:
                    made[k] = after[k](made[k])
        operand, tensor = self.operands[self.last], made[self.last]
        extra = [k for k, c in enumerate(operand.letters) if c not in self.output]
        if extra:  # a single operand with an index that is summed
            tensor = tensor.sum([k + operand.is_spatial for k in extra])
            kept = "".join(c for c in operand.letters if c in self.output)
            operand = Operand(kept, operand.is_spatial)
        return _arranged(tensor, operand, self.output, ())

    def __call__(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the result of all operands in order; see `run`."""
        return self.run(self.prepare(dict(enumerate(tensors))), {})

    def _step(self, step: Step, made: Mapping[int, torch.Tensor]) -> torch.Tensor:
        first = (self.operands[step.first], made[step.first])
        second = (self.operands[step.second], made[step.second])
        if step.kind == "weights":
            text = f"{first[0].letters},{second[0].letters}->{step.result.letters}"
            return torch.einsum(text, first[1], second[1])
        if step.kind == "convolution":
            weight, field = (second, first) if first[0].is_spatial else (first, second)
            return self._convolution(step.result, *weight, *field)
        return self._product(step.result, *first, *second)

    def _convolution(
        self,
        result: Operand,
        weight: Operand,
        weights: torch.Tensor,
        field: Operand,
        values: torch.Tensor,
    ) -> torch.Tensor:
        """Σ over the letters of both as a 1×1 convolution, in groups where a letter stays.

        Letters of the field alone join the batch.
        """
        # In the order of the field, so that only weights are rearranged, which are small.
        summed = sorted(
            (c for c in weight.letters if c not in result.letters), key=field.letters.find
        )
        groups = [c for c in weight.letters if c in result.letters and c in field.letters]
        made = [c for c in weight.letters if c in result.letters and c not in field.letters]
        alone = [c for c in field.letters if c not in weight.letters]
        extra = [c for c in alone if c not in result.letters]
        if extra:  # summed over at once, before anything is multiplied
            values = values.sum([1 + field.letters.index(c) for c in extra])
            field = Operand("".join(c for c in field.letters if c not in extra), True)
            alone = [c for c in alone if c not in extra]
        lone = [c for c in summed if c not in field.letters]
        if lone:
            weights = weights.sum([weight.letters.index(c) for c in lone])
            weight = Operand("".join(c for c in weight.letters if c not in lone), False)
            summed = [c for c in summed if c not in lone]
        size = dict(zip(weight.letters, weights.shape, strict=True))
        order = [weight.letters.index(c) for c in (*groups, *made, *summed)]
        num_groups, num_summed, num_made = (
            # A list: torch.compile does not follow a generator inside another.
            math.prod([size[c] for c in letters])
            for letters in (groups, summed, made)
        )
        kernel = weights.permute(order).reshape(
            num_groups * num_made, num_summed, *(1,) * self.dimension
        )
        order = [0, *(1 + field.letters.index(c) for c in (*alone, *groups, *summed))]
        space = values.shape[1 + len(field.letters) :]
        arranged = values.permute(*order, *range(1 + len(field.letters), values.ndim))
        lead = arranged.shape[: 1 + len(alone)]
        flat = arranged.reshape(math.prod(lead), num_groups * num_summed, *space)
        out = CONVOLUTIONS[self.dimension](flat, kernel, groups=num_groups)
        out = out.reshape(*lead, *(size[c] for c in (*groups, *made)), *space)
        return _arranged(out, Operand("".join((*alone, *groups, *made)), True), result.letters, ())

    def _product(
        self,
        result: Operand,
        first: Operand,
        left: torch.Tensor,
        second: Operand,
        right: torch.Tensor,
    ) -> torch.Tensor:
        """An element-wise product, summed over the letters that the result does not have."""
        summed = dict.fromkeys(c for c in first.letters + second.letters if c not in result.letters)
        letters = result.letters + "".join(summed)
        made = _arranged(left, first, letters, range(self.dimension)) * _arranged(
            right, second, letters, range(self.dimension)
        )
        if summed:
            made = made.sum([1 + len(result.letters) + k for k in range(len(summed))])
        return made


def _result(left: Operand, right: Operand, needed: set[str], output: str) -> Operand:
    """Return what two operands make: the letters still needed, those of the output in its order."""
    found = dict.fromkeys(c for c in left.letters + right.letters if c in needed)
    inner = [c for c in found if c not in output]
    outer = [c for c in output if c in found]
    return Operand("".join((*inner, *outer)), left.is_spatial or right.is_spatial)


def _kind(left: Operand, right: Operand, result: Operand) -> str:
    if not (left.is_spatial or right.is_spatial):
        return "weights"
    if left.is_spatial and right.is_spatial:
        return "product"
    weight, field = (right, left) if left.is_spatial else (left, right)
    summed = set(weight.letters) & set(field.letters) - set(result.letters)
    return "convolution" if summed else "product"


def _arranged(
    tensor: torch.Tensor, operand: Operand, letters: str, space: Sequence[int]
) -> torch.Tensor:
    """Return a tensor with its axes in the order of `letters`, new ones of length 1.

    A constant gets a batch axis and the axes of `space`, all of length 1, where `space` is given.
    """
    have = operand.letters
    lead = 1 if operand.is_spatial else 0
    order = [have.index(c) for c in letters if c in have]
    if order != list(range(len(have))):
        tail = range(lead + len(have), tensor.ndim)
        tensor = tensor.permute(*range(lead), *(lead + k for k in order), *tail)
    if not operand.is_spatial and len(space):
        tensor = tensor.reshape(1, *tensor.shape, *(1,) * len(space))
        lead = 1
    for place, letter in enumerate(letters):
        if letter not in have:
            tensor = tensor.unsqueeze(lead + place)
    return tensor
