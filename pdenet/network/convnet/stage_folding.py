"""Stage folding: batch norms folded only where they stand in the way of a change of unknowns.

For u = P v of the states of a stage these are the closing norms and those of skip convolutions
that make such a state, and of norms behind the directions of such a state the scale alone, which
goes into the coefficients behind; what those norms add stays a vector of the stage's components.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import nn

from pdenet.errors import NetworkError
from pdenet.network.convnet.block import PDEBlock
from pdenet.network.convnet.features import bank_name
from pdenet.network.convnet.fusing import (
    fold_closings,
    fold_sequence,
    is_norm,
    parameter_like,
    scale_and_shift,
    scale_coefficient,
)
from pdenet.network.convnet.stage import Stage
from pdenet.network.features import Support
from pdenet.network.products import STACK, FactorStack, StackedProduct


class Folding(Protocol):
    """What is read and written of a `Classifier`."""

    stages: nn.Sequential
    folded_stages: tuple[int, ...]
    is_fused: bool


@torch.no_grad()
def fold_stages(model: Folding, numbers: Sequence[int]) -> None:
    """Fold the norms that act on the states of some stages of a classifier, in place.

    In evaluation mode the model computes the same up to rounding. Its other norms, and all of its
    parameters, can be trained further; what was a norm is a shift from now on.

    Args:
        model: a `pdenet.Classifier`; its `folded_stages` grows. A fused one has no norms: nothing
            is done.
        numbers: the stages, from 1; those that are folded already are left out.

    Raises:
        NetworkError: there is no such stage.
    """
    stages = [stage for stage in model.stages if isinstance(stage, Stage)]
    for number in numbers:
        if isinstance(number, bool) or number not in range(1, len(stages) + 1):
            raise NetworkError(
                f"folded_stages are numbers of stages from 1 to {len(stages)}; got {number!r}"
            )
        if number in model.folded_stages or model.is_fused:
            continue
        blocks = _blocks(stages[number - 1])
        for block in blocks:
            fold_closings(block)
            if isinstance(block.projection, nn.Sequential):
                fold_sequence(block.projection)
        entry = _blocks(stages[number])[:1] if number < len(stages) else []
        own = [block for block in blocks if block.keeps_shape]
        # In the first stage all blocks take its states; in others the first takes the one before.
        for block in [*own, *entry]:
            _fold_scales(block)
        model.folded_stages = (*model.folded_stages, number)


def _blocks(stage: Stage) -> list[PDEBlock]:
    return [block for block in stage.blocks if isinstance(block, PDEBlock)]


def _fold_scales(block: PDEBlock) -> None:
    """Fold the scales of norms behind the directions of a field into the coefficients behind them.

    s_ja (K_a ⋆ u)_j A^a_ij has the coefficients s_ja A^a_ij. Possible where each direction of such
    a bank meets a coefficient of its own with that index; else the norm stays.
    """
    for support, rows in block.banks.rows.items():
        directions = block.banks.of(bank_name(support))
        if not (is_norm(directions.norm) and directions.is_shared):
            continue
        homes = _coefficients_behind(block, support)
        if homes is None:
            continue
        scale, shift = scale_and_shift(directions.norm)
        lost = (scale == 0) & (shift != 0)
        if bool(lost.any()):
            raise NetworkError(
                "norms of directions whose scales are not 0 were expected, as training makes them; "
                f"got {int(lost.sum())} that are 0 beside a shift, which cannot be moved past them;"
                " train the model first"
            )
        table = scale.reshape(directions.channels, -1)[:, directions.places]  # (n, row)
        for product, factor, place in homes:
            taken = [rows.index(kernel) for kernel in factor.kernels if kernel is not None]
            letters = factor.letters.replace(STACK, "")
            if len(taken) > 1:
                letters += STACK
            chosen = table[:, taken] if len(taken) > 1 else table[:, taken[0]]
            scale_coefficient(block, product, place, letters, chosen.reshape(-1))
        # s x + c = s (x + c/s)
        shift = torch.where(scale == 0, 0.0, shift / scale)
        directions.bias = parameter_like(shift, block.numbers)
        directions.norm = nn.Identity()


def _coefficients_behind(
    block: PDEBlock, support: Support
) -> list[tuple[StackedProduct, FactorStack, int]] | None:
    """Return for each use of a bank the product, its factor and the place of the coefficient."""
    found = []
    for product in block.products:
        for factor in product.factors:
            places = [place for place in factor.places if place is not None]
            if not places or places[0][0] != support:
                continue
            letter = factor.letters.replace(STACK, "")
            behind = [
                k
                for k, weights in enumerate(product.weights)
                if letter in weights.indices
                and (len(weights.names) > 1 or factor.is_shared or len(product.products) == 1)
            ]
            if factor.function is not None or not letter or not behind:
                return None
            found.append((product, factor, behind[0]))
    return found
