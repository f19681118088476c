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

from pdenet.errors import NetworkError
from pdenet.network.convnet.widening import source_name
from pdenet.network.products import STACK, StackedProduct, WeightStack, diagonals


class Coefficients(nn.Module):
    """All coefficients of a block.

    Args:
        shapes: the shape of each coefficient.

    Attributes:
        tensors: the parameters; the name of one joins those of the coefficients in it: "A_B".
        labels: for each stack of coefficients its parameter's name.
        letters: for each stack the letters of its parameter's axes.
        unit_rows: for parameters without their unit rows the shapes with all rows.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__()
        self.shapes = dict(shapes)
        self.tensors = nn.ParameterDict()
        self.labels: dict[WeightStack, str] = {}
        self.letters: dict[WeightStack, str] = {}
        self.unit_rows: dict[str, tuple[int, ...]] = {}
        self._homes: dict[str, WeightStack] = {}

    def ask(self, weights: WeightStack, stack: str, derived: str) -> str:
        """Make a parameter for a stack, where it is new, and return the letters of its axes.

        A coefficient that is part of another stack already stays there: A of (A, B) is the A of a
        term that stands alone. What is new of a stack gets a parameter together.
        """
        if weights not in self.letters:
            self.letters[weights] = _order(weights, stack, derived)
            new = tuple(name for name in weights.names if name not in self._homes)
            if new:
                # Of all that is new, or of a part, which has a stack of its own then.
                home = weights if new == weights.names else WeightStack(new, weights.indices)
                if home is not weights:
                    self.letters[home] = _order(home, STACK if len(new) > 1 else "", derived)
                label = self._label(home)
                sizes = dict(zip(weights.indices, self.shapes[new[0]], strict=True))
                sizes[STACK] = len(new)
                shape = [sizes[c] for c in _axes(home, self.letters[home])]
                self.tensors[label] = nn.Parameter(torch.empty(shape))
                self.labels[home] = label
                self._homes.update(dict.fromkeys(new, home))
            self.labels.setdefault(weights, self.labels[self._homes[weights.names[0]]])
        return self.letters[weights]

    def labels_of(self, weights: WeightStack) -> tuple[str, ...]:
        """Return the names of all parameters that a stack is made of."""
        homes = dict.fromkeys(self._homes[name] for name in weights.names)
        return tuple(self.labels[home] for home in homes)

    def share(self, other: Coefficients) -> None:
        """Use the parameters of another block of the same equation and the same width."""
        for label in list(self.tensors):
            self.tensors[label] = other.tensors[label]

    def stacks(self) -> dict[WeightStack, torch.Tensor]:
        """Return all stacks, with axes in the order of their letters."""
        made = {}
        for weights, label in self.labels.items():
            if all(self._homes[name] is weights for name in weights.names):
                tensor = self.tensors[label]
            else:
                tensor = self._gathered(weights)
            if _is_repeated(weights):
                tensor = diagonals(tensor, weights.indices, int(len(weights.names) > 1))
            made[weights] = tensor
        return made

    def entries(self, name: str) -> torch.Tensor:
        """Return one coefficient, a view of its parameter with axes as its own indices are."""
        home = self._homes[name]
        if self.labels[home] in self.unit_rows:
            raise NetworkError(
                f"a coefficient with all of its rows was expected; got {name}, whose unit rows are "
                "left out of the computation; write them out first: write_out(model) of "
                "pdenet.network.convnet.unit_rows"
            )
        axes, tensor = _axes(home, self.letters[home]), self.tensors[self.labels[home]]
        if STACK in axes:
            tensor = tensor.select(axes.index(STACK), home.names.index(name))
            axes = axes.replace(STACK, "")
        if _is_repeated(home):  # it has all of its axes, in that order
            return tensor
        return tensor.permute([axes.index(c) for c in home.indices])

    def owner(self, name: str) -> torch.Tensor:
        """Return the parameter that one coefficient is part of."""
        return self.tensors[self.labels[self._homes[name]]]

    def _gathered(self, weights: WeightStack) -> torch.Tensor:
        """Return a stack whose coefficients have their homes in other stacks."""
        parts = [self.entries(name) for name in weights.names]
        if len(parts) == 1:
            tensor, axes = parts[0], weights.indices
        else:
            tensor, axes = torch.stack(parts), STACK + weights.indices
        if _is_repeated(weights):
            return tensor
        return tensor.permute([axes.index(c) for c in self.letters[weights]])

    @torch.no_grad()
    def leave_out(self, label: str, rows: Sequence[int]) -> None:
        """Keep no parameters for rows of a matrix that are those of the identity.

        Args:
            label: the name of a parameter whose last axis has n entries.
            rows: for each of n components which row is its unit vector, among all others' axes
                together.

        Raises:
            NetworkError: they are not n different rows.
        """
        shape = tuple(self.tensors[label].shape)
        count = math.prod(shape[:-1])
        taken = set(rows)
        if len(rows) != shape[-1] or len(taken) != len(rows) or not taken <= set(range(count)):
            raise NetworkError(
                f"{shape[-1]} different rows from 0 to {count - 1} of {label} were expected; got "
                f"{len(rows)}: {list(rows)[:8]}; give one for each component"
            )
        rest = [row for row in range(count) if row not in taken]
        values = self.tensors[label].detach().reshape(count, -1)[rest].clone()
        self._replace(label, values)
        order = torch.empty(count, dtype=torch.long)
        order[list(rows)] = torch.arange(len(rows))
        order[rest] = torch.arange(len(rows), count)
        # Not saved: the config has the rows.
        self.register_buffer(f"order_{label}", order.to(values.device), persistent=False)
        self.unit_rows[label] = shape

    @torch.no_grad()
    def write_out(self, label: str) -> None:
        """Keep parameters for all rows again; those of the identity have its zeros and ones."""
        shape, rest = self.unit_rows.pop(label), self.tensors[label].detach()
        unit = torch.eye(shape[-1], dtype=rest.dtype, device=rest.device)
        whole = torch.cat((unit, rest)).index_select(0, self.order(label))
        delattr(self, f"order_{label}")
        self._replace(label, whole.reshape(shape))

    def order(self, label: str) -> torch.Tensor:
        """Return for each row its place among the unit rows and, behind them, the others."""
        found: torch.Tensor = getattr(self, f"order_{label}")
        return found

    def _replace(self, label: str, values: torch.Tensor) -> None:
        """Put other values in a parameter's place, at the same place of their order."""
        old = self.tensors[label]
        made = nn.Parameter(values, requires_grad=old.requires_grad)
        self.tensors[label] = made

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
        self._homes.update(dict.fromkeys(weights.names, weights))

    def prune(self, used: Sequence[WeightStack]) -> None:
        """Remove the parameters that none of these stacks is made of."""
        homes = {self._homes[name] for weights in used for name in weights.names}
        for weights in self.labels.keys() - homes - set(used):
            del self.labels[weights], self.letters[weights]
        for label in set(self.tensors) - {self.labels[home] for home in homes}:
            del self.tensors[label]
        self._homes = {name: home for name, home in self._homes.items() if home in homes}

    @torch.no_grad()
    def initialise(self, products: Sequence[StackedProduct]) -> None:
        """Draw Kaiming-normal values, fan out, linear gain: variance 1 / (channels made)."""
        drawn: set[str] = set()
        for product in products:
            for k, weights in enumerate(product.weights, product.place_of_weights):
                made = product.contraction.made_with(k)
                for label in self.labels_of(weights):
                    if label in drawn:
                        continue
                    drawn.add(label)
                    # The letters under which this product knows the parameter.
                    sizes = dict(zip(weights.indices, self.shapes[weights.names[0]], strict=True))
                    sizes[STACK] = len(weights.names) if STACK in self.letters[weights] else 1
                    fan_out = math.prod(n for c, n in sizes.items() if c in made)
                    nn.init.normal_(self.tensors[label], std=fan_out**-0.5)

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
