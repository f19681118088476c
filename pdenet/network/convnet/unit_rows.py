"""Unit rows: rows of an opening 1×1 convolution that are those of the identity, left out of it.

Where n rows of C_lj u_j are the unit vectors, these n outputs are the u_j themselves: they are
copied, and the convolution n → r has n rows fewer. A change of unknowns brings any n independent
rows to that form: `pdenet.symmetry.sparsify`.

The rows are no parameters any more: training leaves them as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol  # Any: JSON

import torch
from torch import nn

from pdenet.errors import NetworkError
from pdenet.network.convnet.block import PDEBlock
from pdenet.network.convnet.norms import openings_of
from pdenet.network.convnet.stage import Stage


@dataclass(frozen=True)
class UnitRows:
    """The unit rows of one opening convolution.

    Attributes:
        stage: the number of the stage, from 1.
        block: the number of the block in it, from 1.
        coefficient: the name of the parameter.
        rows: for each component of u, in order, which row is its unit vector.
    """

    stage: int
    block: int
    coefficient: str
    rows: tuple[int, ...]


def openings_with_unit_rows(block: PDEBlock) -> dict[str, tuple[int, int]]:
    """Return which parameters of a block may have unit rows: product and step of each by name.

    They are matrices (r, n) with r ≥ n, applied to a field as it is, once in the block, and without
    a norm behind them.
    """
    found: dict[str, tuple[int, int]] = {}
    layers = {layer.product.key for row in block.layers for layer in row}
    used = Counter(
        label
        for product in block.products
        for weights in product.weights
        for label in block.coefficients.labels_of(weights)
    )
    for product in block.products:
        if block.openings.get(product.key):
            continue
        contraction = product.contraction
        steps = dict(contraction.numbered())
        for opening in openings_of(product, product.key in layers):
            field, constant = contraction.field_and_constant(steps[opening.step])
            letter, letters = (contraction.operands[k].letters for k in (field, constant))
            label, *others = block.coefficients.labels_of(product.weights[opening.place])
            is_plain = constant == product.place_of_weights + opening.place and not others
            if not is_plain or len(letter) != 1 or letters != opening.letters + letter:
                continue
            size = block.coefficients.tensors[label].numel()
            if used[label] == 1 and size >= contraction.sizes[letter] ** 2:
                found[label] = (product.key, opening.step)
    return found


class WithRows(Protocol):
    """What is read and written of a `Classifier`."""

    stages: nn.Sequential
    unit_rows: tuple[UnitRows, ...]

    @property
    def config(self) -> dict[str, Any]:
        """How to make it."""


@torch.no_grad()
def leave_out(model: WithRows, entries: Iterable[UnitRows]) -> None:
    """Leave unit rows out of the computation of a classifier, in place.

    Args:
        model: a `pdenet.Classifier`; its `unit_rows` grows.
        entries: which rows; what stands in them is not looked at.

    Raises:
        NetworkError: there is no such convolution, or its rows are others.
    """
    for entry in entries:
        block = block_of(model, entry)
        if any(_place(one) == _place(entry) for one in model.unit_rows):
            raise NetworkError(
                f"unit rows of {entry.coefficient} in stage {entry.stage}, block {entry.block} are "
                "left out once; got them twice; give one entry"
            )
        where = openings_with_unit_rows(block).get(entry.coefficient)
        if where is None or model.config["coefficients"] == "shared":
            raise NetworkError(
                "unit rows belong to an opening convolution that one block has for itself, without "
                f"a norm behind it; got {entry.coefficient!r} of stage {entry.stage}, block "
                f"{entry.block}; take another one of {list(openings_with_unit_rows(block))}"
            )
        block.leave_out(entry.coefficient, entry.rows, *where)
        model.unit_rows = (*model.unit_rows, entry)


@torch.no_grad()
def write_out(model: WithRows) -> None:
    """Make all unit rows of a classifier rows of parameters again, in place: zeros and ones."""
    for entry in model.unit_rows:
        block_of(model, entry).write_out(entry.coefficient)
    model.unit_rows = ()


def unit_rows_config(entries: Sequence[UnitRows]) -> list[dict[str, object]]:
    """Return entries as JSON holds them."""
    return [{**asdict(entry), "rows": list(entry.rows)} for entry in entries]


def unit_rows_of(config: object) -> tuple[UnitRows, ...]:
    """Return the entries of a config.

    Raises:
        NetworkError: they are none.
    """
    if not isinstance(config, list | tuple):
        raise NetworkError(f"unit_rows is a list of dictionaries; got {config!r:.80}")
    made = []
    for one in config:
        try:
            rows = tuple(int(row) for row in one["rows"])
            made.append(
                UnitRows(int(one["stage"]), int(one["block"]), str(one["coefficient"]), rows)
            )
        except (TypeError, KeyError, ValueError) as error:
            raise NetworkError(
                "each of unit_rows has stage, block, coefficient and rows, as model.config gives "
                f"them; got {one!r:.80}"
            ) from error
    return tuple(made)


def block_of(model: WithRows, entry: UnitRows) -> PDEBlock:
    """Return the block of an entry.

    Raises:
        NetworkError: there is none.
    """
    stages = [stage for stage in model.stages if isinstance(stage, Stage)]
    if 1 <= entry.stage <= len(stages) and 1 <= entry.block <= len(stages[entry.stage - 1].blocks):
        block = stages[entry.stage - 1].blocks[entry.block - 1]
        assert isinstance(block, PDEBlock)
        return block
    raise NetworkError(
        f"stages and blocks are counted from 1; got stage {entry.stage}, block {entry.block}, "
        "which the model does not have"
    )


def _place(entry: UnitRows) -> tuple[int, int, str]:
    return entry.stage, entry.block, entry.coefficient
