"""Coefficients: the tensors of a block, kept in the layout of the convolutions they are.

The coefficients at one place of all terms of a layer are one parameter. The letter of the stack
stands behind that of what is differentiated: A_ij and B_ij, j on ∂u_j, are a tensor (i, j, d),
which is a 1×1 convolution nm → n without being rearranged; C_jk and D_jk are (j, d, k), n → nm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from pdenet.network.convnet.widths import source_name
from pdenet.network.products import STACK, StackedProduct, WeightStack, diagonals


class Coefficients(nn.Module):
    """All coefficients of a block.

    Args:
        shapes: the shape of each coefficient.

    Attributes:
        tensors: the parameters; the name of one joins those of the coefficients in it: "A_B".
        labels: for each stack of coefficients its parameter's name.
        letters: for each stack the letters of its parameter's axes.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__()
        self.shapes = dict(shapes)
        self.tensors = nn.ParameterDict()
        self.labels: dict[WeightStack, str] = {}
        self.letters: dict[WeightStack, str] = {}
        self._first: dict[tuple[str, ...], WeightStack] = {}

    def ask(self, weights: WeightStack, stack: str, derived: str) -> str:
        """Make a parameter for a stack, where there is none, and return the letters of its axes."""
        if weights not in self.letters:
            self.letters[weights] = _order(weights, stack, derived)
            known = self._first.setdefault(weights.names, weights)
            if known is weights:
                label = self._label(weights)
                sizes = dict(zip(weights.indices, self.shapes[weights.names[0]], strict=True))
                sizes[STACK] = len(weights.names)
                shape = [sizes[c] for c in _axes(weights, self.letters[weights])]
                self.tensors[label] = nn.Parameter(torch.empty(shape))
                self.labels[weights] = label
            else:
                self.labels[weights] = self.labels[known]
        return self.letters[weights]

    def share(self, other: Coefficients) -> None:
        """Use the parameters of another block of the same equation and the same width."""
        for label in list(self.tensors):
            self.tensors[label] = other.tensors[label]

    def stacks(self) -> dict[WeightStack, torch.Tensor]:
        """Return all stacks, with axes in the order of their letters."""
        made = {}
        for weights, label in self.labels.items():
            known = self._first[weights.names]
            tensor = self.tensors[label]
            if known is not weights:
                # The same coefficients under other letters: place by place the same indices.
                names = dict(zip(known.indices, weights.indices, strict=True)) | {STACK: STACK}
                have = [names[c] for c in self.letters[known]]
                tensor = tensor.permute([have.index(c) for c in self.letters[weights]])
            if _is_repeated(weights):
                tensor = diagonals(tensor, weights.indices, int(len(weights.names) > 1))
            made[weights] = tensor
        return made

    def add(self, weights: WeightStack, letters: str, tensor: nn.Parameter) -> None:
        """Add a stack with values of its own, under names that no other has.

        Args:
            weights: the stack, each of whose indices stands once.
            letters: those of the parameter's axes.
            tensor: the parameter.
        """
        label = self._label(weights)
        self.tensors[label] = tensor
        self.labels[weights], self.letters[weights] = label, letters
        self._first[weights.names] = weights

    def remove(self, label: str) -> None:
        """Remove a parameter that no product uses any more."""
        del self.tensors[label]
        for weights in [w for w, known in self.labels.items() if known == label]:
            del self.labels[weights], self.letters[weights]
            self._first.pop(weights.names, None)

    def initialise(self, products: Sequence[StackedProduct]) -> None:
        """Draw Kaiming-normal values, fan out, linear gain: variance 1 / (channels made)."""
        with torch.no_grad():
            for product in products:
                start = product.place_of_maps + bool(product.maps)
                for k, weights in enumerate(product.weights, start):
                    if self._first[weights.names] is not weights:
                        continue
                    steps = product.contraction.steps
                    step = next((s for s in steps if k in (s.first, s.second)), None)
                    tensor = self.tensors[self.labels[weights]]
                    letters = self.letters[weights]
                    made = letters if step is None else step.result.letters
                    sizes = dict(zip(_axes(weights, letters), tensor.shape, strict=True))
                    fan_out = math.prod(sizes[c] for c in letters if c in made)
                    nn.init.normal_(tensor, std=fan_out**-0.5)

    def _label(self, weights: WeightStack) -> str:
        label = "_".join(dict.fromkeys(map(source_name, weights.names)))
        while label in self.tensors:
            label += "_"
        return label


def _is_repeated(weights: WeightStack) -> bool:
    """Tell whether an index stands twice on a coefficient, as in A_jj."""
    return len(set(weights.indices)) < len(weights.indices)


def _axes(weights: WeightStack, letters: str) -> str:
    """Return the letter of each axis of the parameter, which has all of A_jj."""
    if not _is_repeated(weights):
        return letters
    return (STACK if STACK in letters else "") + weights.indices


def _order(weights: WeightStack, stack: str, derived: str) -> str:
    letters = "".join(dict.fromkeys(weights.indices))
    if not _is_repeated(weights):
        for place, letter in enumerate(letters, 1):
            if letter in derived:
                return letters[:place] + stack + letters[place:]
    return stack + letters
