"""Transforms: boxes, colours, shifts and erasing against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from pdenet.training.data import transforms
from pdenet.training.data.randomness import generator
from pdenet.training.data.reading import to_array
from tests.training.data.pictures import texture, timm_module

SIDES = st.integers(1, 400)
SEEDS = st.integers(0, 2**32)


@given(SIDES, SIDES, SEEDS, st.floats(0.01, 1), st.floats(0.01, 1), st.floats(1, 3))
def test_random_boxes_lie_inside_and_have_the_requested_area_and_shape(
    width: int, height: int, seed: int, one: float, other: float, stretch: float
) -> None:
    scale = (min(one, other), max(one, other))
    ratio = (1 / stretch, stretch)
    box = transforms.random_box(width, height, scale, ratio, generator(seed))
    left, top, right, bottom = box
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    w, h = right - left, bottom - top
    # Sides are rounded by up to a half: the exact box lies between these.
    least, most = (w - 0.5) * (h - 0.5), (w + 0.5) * (h + 0.5)
    area = width * height
    is_within = least <= scale[1] * area * (1 + 1e-9) and most >= scale[0] * area * (1 - 1e-9)
    flattest, steepest = (w - 0.5) / (h + 0.5), (w + 0.5) / max(h - 0.5, 1e-9)
    assert flattest <= stretch * (1 + 1e-9)
    # A picture of one row has no box of a bounded shape but a single pixel.
    assert steepest >= 1 / stretch * (1 - 1e-9)
    if not is_within:  # the fallback: the largest central box
        assert w == width or h == height


def test_areas_and_shapes_are_spread_as_defined() -> None:
    """Even areas, and even logarithms of the shape: a Kolmogorov–Smirnov test each."""
    from scipy.stats import kstest

    boxes = [
        transforms.random_box(10_000, 10_000, (0.1, 0.3), (0.5, 2.0), generator(k))
        for k in range(2000)
    ]
    left, top, right, bottom = np.array(boxes).T
    areas = (right - left) * (bottom - top) / 1e8
    shapes = np.log2((right - left) / (bottom - top))
    lefts = left / (10_000 - (right - left))
    # Fixed seeds: the test gives the same figure each time; 1e-3 would be a rare misfortune.
    assert kstest(areas, "uniform", (0.1, 0.2)).pvalue > 1e-3
    assert kstest(shapes, "uniform", (-1, 2)).pvalue > 1e-3
    assert kstest(lefts, "uniform", (0, 1)).pvalue > 1e-3


@given(SIDES, SIDES, st.floats(0.05, 1))
def test_central_boxes_are_central_squares_inside(width: int, height: int, part: float) -> None:
    left, top, right, bottom = transforms.central_box(width, height, part)
    side = part * min(width, height)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    # Rounding of a few operations on numbers below 400.
    assert right - left == pytest.approx(side, abs=1e-9)
    assert left + right == pytest.approx(width, abs=1e-9)
    assert top + bottom == pytest.approx(height, abs=1e-9)


@pytest.mark.parametrize(("size", "part"), [(24, 0.75), (32, 0.5), (16, 1.0), (28, 0.875)])
def test_resizing_the_central_box_is_resizing_and_cropping_the_centre(
    size: int, part: float
) -> None:
    """The definition, where its rounded sizes are exact: a square, size / part whole."""
    picture = texture(96, 96)
    whole = round(size / part)
    margin = (whole - size) // 2
    expected = picture.resize((whole, whole), Image.Resampling.BICUBIC).crop(
        (margin, margin, margin + size, margin + size)
    )
    made = transforms.resize(picture, transforms.central_box(96, 96, part), size)
    difference = np.asarray(made).astype(int) - np.asarray(expected)
    assert abs(difference).max() <= 1  # each rounds once, from sums in another order


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 5000), (5000, 1), (2, 3)])
@pytest.mark.parametrize("mode", ["L", "RGB", "F"])
def test_thin_and_tiny_pictures_become_squares(width: int, height: int, mode: str) -> None:
    picture = Image.new(mode, (width, height), 1)
    for part in (0.3, 0.875, 1.0):
        box = transforms.central_box(width, height, part)
        assert transforms.resize(picture, box, 8).size == (8, 8)
    box = transforms.random_box(width, height, (0.08, 1), (3 / 4, 4 / 3), generator(0))
    assert transforms.resize(picture, box, 8).size == (8, 8)


@given(SEEDS, st.integers(1, 5), st.integers(1, 6), st.integers(1, 6))
def test_mirroring_twice_is_the_identity(seed: int, batch: int, height: int, width: int) -> None:
    source = generator(seed)
    images = torch.rand(batch, 2, height, width, generator=source)
    chosen = torch.rand(batch, generator=source) < 0.5
    once = transforms.mirror(images, chosen)
    assert torch.equal(transforms.mirror(once, chosen), images)
    for image, made, is_chosen in zip(images, once, chosen, strict=True):
        expected = image.numpy()[:, :, ::-1] if is_chosen else image.numpy()
        np.testing.assert_array_equal(made, expected)


@given(SEEDS, st.integers(0, 4), st.integers(1, 5), st.integers(1, 5))
def test_translation_moves_each_pixel_and_zeros_come_in(
    seed: int, reach: int, height: int, width: int
) -> None:
    source = generator(seed)
    images = torch.rand(3, 2, height, width, generator=source)
    offsets = torch.randint(-reach, reach + 1, (3, 2), generator=source)
    made = transforms.translate(images, offsets)
    for b in range(3):
        down, right = offsets[b].tolist()
        for i in range(height):
            for j in range(width):
                inside = 0 <= i - down < height and 0 <= j - right < width
                expected = images[b, :, i - down, j - right] if inside else torch.zeros(2)
                assert torch.equal(made[b, :, i, j], expected)


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 1.7])
@pytest.mark.parametrize("kind", ["brightness", "contrast", "saturation"])
@pytest.mark.parametrize("channels", [1, 3])
def test_colours_change_as_in_torchvision(kind: str, factor: float, channels: int) -> None:
    functional = timm_module("torchvision.transforms.functional")
    picture = texture(20, 20)
    pixels = torch.from_numpy(
        to_array(picture if channels == 3 else picture.convert("L"), channels)
    )
    expected = getattr(functional, f"adjust_{kind}")(pixels, factor)
    # Its weight of red is 0.2989 where the standard and Pillow have 0.299.
    torch.testing.assert_close(
        getattr(transforms, kind)(pixels, factor), expected, atol=2e-4, rtol=0
    )


@given(SEEDS, st.sampled_from([1, 3]), st.floats(0, 3))
def test_jitter_stays_between_zero_and_one_and_of_no_strength_is_the_identity(
    seed: int, channels: int, strength: float
) -> None:
    pixels = torch.rand(channels, 5, 6, generator=generator(seed))
    made = transforms.jitter(pixels, strength, generator(seed, 1))
    assert made.dtype == torch.float32
    assert 0 <= float(made.min()) <= float(made.max()) <= 1
    assert torch.equal(made, transforms.jitter(pixels, strength, generator(seed, 1)))
    same = transforms.jitter(pixels, 0.0, generator(seed, 1))
    torch.testing.assert_close(same, pixels, atol=1e-6, rtol=0)  # rounding of a blend


@pytest.mark.parametrize("threads", [2, 3])
def test_jitter_does_not_depend_on_the_number_of_threads(threads: int) -> None:
    """Workers have one thread, the training process several; sums must not tell them apart."""
    before = torch.get_num_threads()
    try:
        for k in range(20):
            pixels = torch.rand(3, 300, 301, generator=generator(k))  # enough for torch to share it
            torch.set_num_threads(1)
            alone = transforms.contrast(pixels, 0.7)
            torch.set_num_threads(threads)
            assert torch.equal(transforms.contrast(pixels, 0.7), alone)
    finally:
        torch.set_num_threads(before)


@given(SEEDS, st.integers(8, 40), st.integers(8, 40))
def test_erasing_replaces_one_rectangle_of_two_to_thirty_three_percent(
    seed: int, height: int, width: int
) -> None:
    pixels = torch.full((2, height, width), 1e6)
    made = transforms.erase(pixels, 1.0, generator(seed))
    assert (pixels == 1e6).all()  # the input stays
    gone = (made != pixels).all(0)
    assert torch.equal(gone, (made != pixels).any(0))
    assume(gone.any())  # ten rectangles may all be too long
    h, w = int(gone.any(1).sum()), int(gone.any(0).sum())
    assert int(gone.sum()) == h * w
    assert (h - 0.5) * (w - 0.5) <= height * width / 3
    assert (h + 0.5) * (w + 0.5) >= 0.02 * height * width
    assert (h - 0.5) / (w + 0.5) <= 1 / 0.3
    assert (h + 0.5) / (w - 0.5) >= 0.3
    assert float(made[:, gone].abs().max()) < 7  # normal noise: beyond 7 with chance 1e-9


def test_erasing_comes_as_often_as_asked() -> None:
    pixels = torch.zeros(1, 12, 12)
    erased = sum(
        not torch.equal(transforms.erase(pixels, 0.3, generator(k)), pixels) for k in range(1000)
    )
    # 300 ± 5 standard deviations of a binomial distribution, fixed seeds.
    assert abs(erased - 300) < 5 * math.sqrt(1000 * 0.3 * 0.7)


@given(SEEDS)
def test_normalisation_is_undone_by_its_inverse(seed: int) -> None:
    images = torch.rand(2, 3, 4, 4, generator=generator(seed))
    mean, std = (0.1, 0.5, 0.7), (0.2, 0.3, 1.5)
    made = transforms.normalise(images, mean, std)
    for c in range(3):
        torch.testing.assert_close(made[:, c] * std[c] + mean[c], images[:, c], atol=1e-6, rtol=0)
