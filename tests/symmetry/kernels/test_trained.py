"""What training and padding do to mean kernels: findings of the paper, at the size of digits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from pdenet.symmetry.kernels import SymmetryTable, mean_kernels, symmetry_table, uneven_padding
from tests.symmetry.kernels.trained import network, trained

SEEDS = range(10)
EVEN, ODD = 8, 9
"""Sizes of pictures: with stride 2, 8 → 4 → 2 and 9 → 5 → 3."""

LAST = "9"
"""The second convolution of stride 2, where ghost pixels are the largest part of the picture."""


@pytest.fixture(scope="module")
def tables() -> list[SymmetryTable]:
    """The tables of networks with uneven padding."""
    return [symmetry_table(trained(seed, EVEN), draws=2_000) for seed in SEEDS]


def lean(kernel: np.ndarray) -> float:
    """How much heavier a kernel's first row and column are than its last, on the average."""
    unit = kernel / np.linalg.norm(kernel)
    return float(unit[0].sum() - unit[2].sum() + unit[:, 0].sum() - unit[:, 2].sum()) / 2


def mean_and_error(values: list[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(len(values))


def test_sizes_of_eight_and_four_pad_unevenly_and_those_of_nine_and_five_do_not() -> None:
    assert [use.is_uneven for use in uneven_padding(network(0), EVEN)] == [True, True]
    assert [use.is_uneven for use in uneven_padding(network(0), ODD)] == [False, False]


def test_training_commutes_with_turning_where_padding_is_even_and_only_there() -> None:
    """With even padding no side of a kernel is special: turn all, and the result is turned."""
    found = {}
    for size in (EVEN, ODD):
        first, turned = (
            mean_kernels(trained(0, size, turned=t, epochs=1, dtype=torch.float64))
            for t in (False, True)
        )
        found[size] = [
            float(np.abs(a.kernel - b.kernel[::-1, ::-1]).max() / np.abs(a.kernel).max())
            for a, b in zip(first, turned, strict=True)
        ]
    # Rounding, 1e-16, of which each of 14 updates may make a few times more; found: 1e-15.
    assert max(found[ODD]) < 1e-10
    # In shares of the kernel's largest entry; found: 0.6 to 2.4.
    assert min(found[EVEN]) > 0.1


def test_uneven_padding_makes_mean_kernels_lean_to_the_padded_side(
    tables: list[SymmetryTable],
) -> None:
    kernels = [{row.layer.name: row.layer.kernel for row in table} for table in tables]
    mean, error = mean_and_error([lean(by_name[LAST]) for by_name in kernels])
    # Three standard errors; found: 0.80 ± 0.14.
    assert mean > 3 * error


def test_mean_kernels_of_trained_inner_layers_are_more_symmetric_than_chance(
    tables: list[SymmetryTable],
) -> None:
    mean, error = mean_and_error([float(table.scores[1:].mean()) for table in tables])
    # Three standard errors; found: 0.548 ± 0.016 against 0.482.
    assert mean > tables[0].rows[1].chance.mean + 3 * error


def test_mean_kernels_of_newly_drawn_layers_are_as_symmetric_as_chance() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(*[nn.Conv2d(8, 16, 3) for _ in range(400)])
    table = symmetry_table(layers, draws=2_000)
    mean, error = mean_and_error(list(table.scores))
    chance = table.rows[0].chance
    # Four standard errors of both means.
    assert abs(mean - chance.mean) < 4 * math.hypot(error, chance.deviation / math.sqrt(2_000))
