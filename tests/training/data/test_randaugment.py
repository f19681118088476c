"""RandAugment: each operation against timm's, and what a notation means."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pdenet.training.data import randaugment
from pdenet.training.data.randaugment import INCREASING, ORIGINAL, RandAugment
from pdenet.training.data.randomness import generator
from tests.training.data.pictures import texture, timm_module

FILL = (124, 116, 104)
WITHOUT_LEVEL = {"AutoContrast", "Equalize", "Invert"}


def timm_name(name: str, increasing: bool) -> str:
    if name.startswith("Translate"):
        return f"{name}Rel"
    grows = {"Posterize", "Solarize", "Color", "Contrast", "Brightness", "Sharpness"}
    return f"{name}Increasing" if increasing and name in grows else name


@pytest.mark.parametrize("increasing", [False, True], ids=["original", "increasing"])
@pytest.mark.parametrize("name", ORIGINAL)
def test_each_operation_is_that_of_timm(
    name: str, increasing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    timm = timm_module("timm.data.auto_augment")
    hparams = {"img_mean": FILL, "interpolation": Image.Resampling.BILINEAR}
    picture = texture(33, 28)
    operation = (INCREASING if increasing else ORIGINAL)[name]
    for magnitude in (0, 3, 9, 10):
        for sign in (1, -1):
            # timm turns the level round where its random number is above a half.
            monkeypatch.setattr("random.random", lambda sign=sign: 0.9 if sign < 0 else 0.1)
            ours = operation(picture, sign * magnitude / 10, FILL)
            if name == "Posterize" and magnitude == (10 if increasing else 0):
                # No bit is kept: black in older Pillow, which newer ones refuse timm.
                assert not np.asarray(ours).any()
                continue
            theirs = timm.AugmentOp(
                timm_name(name, increasing), prob=1.0, magnitude=magnitude, hparams=hparams
            )(picture)
            np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.mark.parametrize("name", [name for name in INCREASING if name not in WITHOUT_LEVEL])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_increasing_operations_start_at_the_identity(name: str, mode: str) -> None:
    picture = texture(30, 25).convert(mode)
    made = INCREASING[name](picture, 0.0, FILL)
    difference = np.abs(np.asarray(made).astype(int) - np.asarray(picture))
    # Posterize begins by keeping four bits: it loses up to 15 of 255.
    assert difference.max() <= (15 if name == "Posterize" else 0)


def test_all_operations_are_drawn_evenly_and_as_often_as_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[tuple[str, float]] = []

    def noting(name: str) -> randaugment.Operation:
        def note(image: Image.Image, level: float, fill: randaugment.Fill) -> Image.Image:
            drawn.append((name, level))
            return image

        return note

    monkeypatch.setattr(randaugment, "ORIGINAL", {name: noting(name) for name in ORIGINAL})
    augment = RandAugment.parse("rand-m6-n3-p0.5-mstd1.5")
    picture = Image.new("L", (2, 2))
    for k in range(2000):
        augment(picture, generator(k), (0,))
    # 3 × 2000 draws, half of them applied: 5 standard deviations of each count, fixed seeds.
    assert abs(len(drawn) - 3000) < 5 * math.sqrt(6000 / 4)
    for name in ORIGINAL:
        count = sum(found == name for found, _ in drawn)
        assert abs(count - 200) < 5 * math.sqrt(200)
    levels = np.array([level for _, level in drawn])
    assert abs((levels > 0).mean() - 0.5) < 5 * 0.5 / math.sqrt(3000)
    size = np.abs(levels)
    assert size.max() <= 1.0
    # Cut at 10, 2.7 deviations above the mean: that moves the mean by less than 0.002.
    assert abs(size.mean() - 0.6) < 5 * 0.15 / math.sqrt(3000) + 0.002
    assert abs(size.std() - 0.15) < 0.01


def test_an_infinite_deviation_draws_evenly_up_to_the_magnitude() -> None:
    augment = RandAugment.parse("rand-m8-mstd101")
    source = generator(0)
    drawn = [augment._draw(source) for _ in range(2000)]
    assert 0 <= min(drawn) < 0.01
    assert 0.79 < max(drawn) <= 0.8
    assert abs(np.mean(drawn) - 0.4) < 5 * 0.8 / math.sqrt(12 * 2000)


@pytest.mark.parametrize(
    "text",
    ["rand", "rand-m9-mstd0.5", "rand-m7-n3-p0.25-inc1", "rand-mmax20-m15", "rand-mstd101-m5"],
)
def test_the_notation_means_what_it_means_to_timm(text: str) -> None:
    theirs = timm_module("timm.data.auto_augment").rand_augment_transform(text, {})
    ours = RandAugment.parse(text)
    first = theirs.ops[0]
    assert ours.operations == theirs.num_layers
    assert ours.probability == first.prob
    assert ours.magnitude == first.magnitude
    assert ours.deviation == first.magnitude_std
    assert ours.largest == (first.magnitude_max or 10)
    assert ours.increasing == any(op.name == "ColorIncreasing" for op in theirs.ops)


@given(st.integers(0, 2**32), st.sampled_from(["L", "RGB", "F"]), st.booleans())
def test_any_picture_keeps_its_size_and_the_seed_decides(
    seed: int, mode: str, increasing: bool
) -> None:
    picture = texture(17, 23).convert("L" if mode == "F" else mode)
    if mode == "F":
        picture = Image.fromarray(np.asarray(picture, dtype=np.float32) / 255)
    augment = RandAugment.parse(f"rand-m9-n4-p0.9-mstd1-inc{int(increasing)}")
    one, two = (augment(picture, generator(seed), FILL) for _ in range(2))
    assert one.size == picture.size
    assert one.mode == ("L" if mode == "F" else mode)
    assert one.tobytes() == two.tobytes()
