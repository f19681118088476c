"""Mixing: targets are the mixture that the images are, exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pdenet.training.data.mixing import Mixing, cut, draw_beta, smooth
from pdenet.training.data.randomness import generator

SEEDS = st.integers(0, 2**32)


def marked(batch: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Image i is one in channel i and zero elsewhere, and its class is i."""
    labels = torch.arange(batch)
    ones = torch.nn.functional.one_hot(labels, batch).to(torch.float32)
    return ones[:, :, None, None].expand(-1, -1, height, width).contiguous(), labels


@given(SEEDS, st.integers(1, 6), st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_targets_are_the_share_of_each_image_in_the_mixture(
    seed: int, batch: int, height: int, width: int, cuts: bool
) -> None:
    """The mean of channel k is the share of image k: for mixup at every pixel, for cutmix of the
    pixels."""
    images, labels = marked(batch, height, width)
    mixing = Mixing(batch, mixup=0.0 if cuts else 0.8, cutmix=1.0 if cuts else 0.0)
    made, targets = mixing(images, labels, generator(seed))
    assert targets.dtype == torch.float32
    # Sums of up to 81 float32 numbers below 1.
    torch.testing.assert_close(made.mean((2, 3)), targets, atol=1e-6, rtol=0)
    torch.testing.assert_close(targets.sum(1), torch.ones(batch), atol=1e-6, rtol=0)
    if cuts:
        assert set(made.unique().tolist()) <= {0.0, 1.0}
    else:
        assert torch.equal(made.amax((2, 3)), made.amin((2, 3)))
    expected, _ = marked(batch, height, width)
    assert torch.equal(images, expected)  # the input stays


@given(SEEDS, st.integers(1, 30), st.integers(1, 30), st.floats(0, 1))
def test_a_cut_is_one_box_whose_area_is_the_weight_that_is_missing(
    seed: int, height: int, width: int, weight: float
) -> None:
    images, others = torch.zeros(1, 1, height, width), torch.ones(1, 1, height, width)
    made, left = cut(images, others, weight, generator(seed))
    box = made[0, 0] == 1
    assert left == 1 - int(box.sum()) / (height * width)
    assert int(box.sum()) == int(box.any(0).sum()) * int(box.any(1).sum())
    assert left >= weight - 1e-12  # the box is rounded down, and what sticks out is cut off


@given(SEEDS, st.integers(2, 10), st.floats(0, 1), st.integers(1, 5))
def test_smoothing_spreads_its_share_evenly(
    seed: int, classes: int, share: float, batch: int
) -> None:
    labels = torch.randint(0, classes, (batch,), generator=generator(seed))
    targets = smooth(labels, classes, share)
    assert targets.dtype == torch.float32
    torch.testing.assert_close(targets.sum(1), torch.ones(batch), atol=1e-6, rtol=0)
    for row, label in zip(targets, labels.tolist(), strict=True):
        others = [float(v) for k, v in enumerate(row) if k != label]
        assert others == pytest.approx([share / classes] * (classes - 1), abs=1e-6)


@pytest.mark.parametrize("alpha", [0.1, 0.2, 1.0, 8.0])
def test_weights_follow_the_beta_distribution(alpha: float) -> None:
    from scipy.stats import beta, kstest

    drawn = [draw_beta(alpha, generator(k)) for k in range(2000)]
    assert kstest(drawn, beta(alpha, alpha).cdf).pvalue > 1e-3  # fixed seeds


def test_mixup_and_cutmix_take_half_of_the_batches_each() -> None:
    images, labels = marked(4, 8, 8)
    mixing = Mixing(4, mixup=1.0, cutmix=1.0)
    flat = 0
    for k in range(400):
        made, _ = mixing(images, labels, generator(k))
        flat += bool(torch.equal(made.amax((2, 3)), made.amin((2, 3))))
    # A box may be empty and look like mixup, at λ above 1 − 1/64: for 1.6 % of them.
    assert abs(flat - 203) < 5 * np.sqrt(400 / 4)


def test_nothing_on_leaves_class_numbers() -> None:
    images, labels = marked(3, 2, 2)
    made, targets = Mixing(3)(images, labels, generator(0))
    assert made is images
    assert targets is labels
