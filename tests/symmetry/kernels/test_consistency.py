"""Consistency: known shares of known classifiers, whatever the batches, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any  # pictures of every kind

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from pdenet.errors import SymmetryError
from pdenet.symmetry.kernels import Consistency, flip_consistency, shift_consistency
from pdenet.symmetry.kernels.consistency import covered, shift_views


class Sides(nn.Module):
    """Says whether the left or the right half is brighter: a mirror image always disagrees."""

    def forward(self, x: Tensor) -> Tensor:
        half = x.shape[-1] // 2
        return torch.stack([x[..., :half].sum((1, 2, 3)), x[..., -half:].sum((1, 2, 3))], dim=1)


class Place(nn.Module):
    """Gives pictures whose pixels are numbered the class of their first pixel: where a crop was."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.one_hot(x[:, 0, 0, 0].long(), 1024).float()


PICTURES = torch.randn(100, 1, 6, 8, generator=torch.Generator().manual_seed(0))


def test_a_classifier_that_sees_sides_agrees_with_no_mirror_image_and_one_blind_to_them_with_all() -> (  # noqa: E501
    None
):
    across = flip_consistency(Sides(), PICTURES)
    assert (across.agreed, across.count, across.share) == (0, 100, 0.0)
    assert flip_consistency(Sides(), PICTURES, axis="vertical").share == 1.0


def test_the_share_is_that_of_the_pictures_that_agree() -> None:
    even = PICTURES.clone()
    even[:30] = even[:30] + even[:30].flip(-1)  # symmetric: sums are equal up to rounding
    even[:30] = even[:30].round()  # … and exactly
    assert flip_consistency(Sides(), even).agreed == 30


def test_pictures_may_come_as_a_tensor_a_dataset_a_loader_or_an_iterator() -> None:
    labels = torch.zeros(len(PICTURES), dtype=torch.int64)

    def generated() -> Iterator[Tensor]:
        yield from PICTURES.split(7)

    kinds: list[Any] = [
        TensorDataset(PICTURES),
        TensorDataset(PICTURES, labels),
        DataLoader(TensorDataset(PICTURES, labels), batch_size=9),
        list(PICTURES.split(50)),
        generated(),
    ]
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 4))
    expected = flip_consistency(model, PICTURES)
    assert 0 < expected.agreed < 100
    for images in kinds:
        assert flip_consistency(model, images) == expected


def numbered(count: int, size: int) -> Tensor:
    """Pictures whose pixels hold their own numbers."""
    pixels = torch.arange(size * size, dtype=torch.float32).reshape(1, 1, size, size)
    return pixels.expand(count, 1, size, size)


def test_two_crops_are_at_different_places_all_of_which_occur_equally_often() -> None:
    _, views = shift_views(6, None, seed=0)
    pictures = numbered(4_000, 8)
    corners = torch.stack([view[:, 0, 0, 0] for view in views(pictures)]).long()
    assert (corners[0] != corners[1]).all()
    assert shift_consistency(Place(), pictures, crop=6, of=None).agreed == 0
    for row in corners:
        places, counts = row.unique(return_counts=True)
        assert places.tolist() == [8 * y + x for y in range(3) for x in range(3)]
        # 4,000/9 = 444 each; five standard deviations of √(444·8/9) = 20.
        assert (counts - 4_000 / 9).abs().max() < 100
    pairs = (corners[0] * 64 + corners[1]).unique()
    assert len(pairs) == 72


@given(batch_size=st.integers(1, 40), seed=st.integers(0, 5))
def test_crops_depend_on_the_seed_and_not_on_the_batches(batch_size: int, seed: int) -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(25, 3))
    pictures = PICTURES[:31]
    whole = shift_consistency(model, pictures, crop=5, of=None, seed=seed)
    parts = shift_consistency(model, pictures, crop=5, of=None, seed=seed, batch_size=batch_size)
    assert parts == whole


def test_pictures_of_another_size_are_scaled_until_they_cover_it() -> None:
    ramp = torch.arange(12.0).expand(1, 1, 6, 12)
    made = covered(ramp, (12, 12))  # 6×12 → 12×24 → 12×12
    # Bilinear interpolation keeps a line: centres 6 … 17 of 24 half pixels, at (k + ½)/2 − ½.
    assert torch.allclose(made[0, 0, 3], (torch.arange(6, 18) + 0.5) / 2 - 0.5, atol=1e-5)
    assert covered(ramp, (6, 12)) is ramp
    blind = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert shift_consistency(blind, torch.ones(3, 2, 40, 50), crop=28, of=32).share == 1


@given(count=st.integers(1, 400), data=st.data())
def test_the_interval_is_that_of_wilson(count: int, data: st.DataObject) -> None:
    agreed = data.draw(st.integers(0, count))
    found = Consistency.of("flip", agreed, count)
    # Its ends solve (p − share)² = z² p (1 − p)/n, with z the 97.5 % point of the normal.
    z = 1.959963984540054
    for end in (found.low, found.high):
        size = z * math.sqrt(end * (1 - end) / count)
        assert abs(end - found.share) == pytest.approx(size, abs=1e-9)  # a root, by √ of rounding
    assert 0 <= found.low <= found.share <= found.high <= 1


def test_logits_that_are_no_numbers_never_agree() -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.full((len(x), 3), math.nan)

    found = flip_consistency(Broken(), PICTURES)
    assert (found.agreed, found.undecided) == (0, 100)
    assert "100 undecided" in str(found)


def test_every_part_of_the_model_has_its_mode_again_after_an_error_too() -> None:
    class Fails(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("no")

    norm = nn.BatchNorm2d(1)
    model = nn.Sequential(nn.Dropout(0.5), norm, Fails())
    norm.eval()
    with pytest.raises(RuntimeError, match="no"):
        flip_consistency(model, PICTURES)
    assert [module.training for module in model.modules()] == [True, True, False, True]


def test_dropout_and_batch_statistics_play_no_part() -> None:
    norm = nn.BatchNorm2d(2)
    model = nn.Sequential(norm, nn.AdaptiveAvgPool2d(1), nn.Dropout(0.9), nn.Flatten())
    two = PICTURES.reshape(50, 2, 6, 8)
    assert flip_consistency(model.train(), two).share == 1
    assert norm.num_batches_tracked is not None
    assert int(norm.num_batches_tracked) == 0


BLIND = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: flip_consistency(BLIND, PICTURES, axis="diagonal"), "got 'diagonal'"),
        (lambda: flip_consistency(BLIND, PICTURES[:0]), "got none"),
        (lambda: flip_consistency(BLIND, PICTURES[0]), "(1, 6, 8)"),
        (lambda: flip_consistency(BLIND, PICTURES.double()), "float64"),
        (lambda: flip_consistency(BLIND, [["a"]]), "got str"),
        (lambda: flip_consistency(nn.Identity(), PICTURES), "(64, 1, 6, 8)"),
        (lambda: shift_consistency(BLIND, PICTURES, crop=8, of=8), "8×8 of 8×8"),
        (lambda: shift_consistency(BLIND, PICTURES, crop=9, of=None), "9×9 of 6×8"),
        (lambda: shift_consistency(BLIND, PICTURES, crop=(6, 8), of=None), "6×8 of 6×8"),
    ],
)
def test_what_cannot_be_compared_is_refused(call: Any, words: str) -> None:
    with pytest.raises(SymmetryError) as caught:
        call()
    assert words in str(caught.value)


def one_logit() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 1))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: flip_consistency(one_logit(), PICTURES), "two classes or more; got logits of"),
        (lambda: flip_consistency(Sides(), PICTURES, level=1.0), "level is a number between"),
        (lambda: flip_consistency(Sides(), PICTURES, level=math.nan), "level is a number between"),
        (lambda: flip_consistency(Sides(), PICTURES, batch_size=0), "batch_size is an integer"),
        (lambda: flip_consistency(Sides(), PICTURES, batch_size=2.0), "got 2.0; write batch_size"),  # type: ignore[arg-type]
        (lambda: flip_consistency(Sides(), PICTURES, axis=1), "an axis is"),  # type: ignore[arg-type]
        (lambda: flip_consistency(Sides(), PICTURES, axis=[]), "an axis is"),  # type: ignore[arg-type]
        (lambda: shift_consistency(Sides(), PICTURES, crop="4"), "crop is an integer"),  # type: ignore[arg-type]
        (lambda: shift_consistency(Sides(), PICTURES, crop=(4, 4, 4)), "crop is one number"),  # type: ignore[arg-type]
        (lambda: shift_consistency(Sides(), PICTURES, crop=4, of=6.5), "of is an integer"),  # type: ignore[arg-type]
        (
            lambda: shift_consistency(Sides(), PICTURES, crop=4, of=None, seed=-1),
            "seed is an integer",
        ),
    ],
)
def test_arguments_that_make_no_sense_are_refused(call: Any, words: str) -> None:
    with pytest.raises(SymmetryError) as caught:
        call()
    assert words in str(caught.value)
