"""Pictures of the page: what stands in their pixels, and the same bytes every time."""

from __future__ import annotations

import base64
import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from pdenet.pages import pictures
from pdenet.pages.drawings import formula
from pdenet.training.evaluation.maps import feature_maps


def opened(address: str) -> Image.Image:
    kind, _, content = address.partition(",")
    assert kind == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(content, validate=True)))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_small_picture_is_shown_pixel_by_pixel(channels: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (channels, 5, 7)).astype(np.uint8)
    seen = np.asarray(opened(pictures.address(picture)))
    shown = picture.transpose(1, 2, 0) if channels == 3 else picture[0]
    np.testing.assert_array_equal(seen, shown)


def test_a_large_picture_is_made_smaller() -> None:
    image = opened(pictures.address(np.zeros((3, 300, 600), np.uint8)))
    assert image.size == (pictures.LARGEST, pictures.LARGEST // 2)


def test_colours_are_symmetric_about_zero() -> None:
    values = np.array([[-2.0, -1.0, 0.0, 1.0, 2.0, 9.0]])
    levels = np.asarray(opened(pictures.diverging(values, 2.0)))[0].astype(int)
    assert levels[2] == 127
    np.testing.assert_array_equal(levels[[3, 4, 5]] - 127, 127 - levels[[1, 0, 0]])
    assert levels[4] == 254
    red, green, blue = np.asarray(opened(pictures.diverging(values, 2.0)).convert("RGB"))[0].T
    assert red[4] > blue[4]
    assert blue[0] > red[0]
    assert min(red[2], green[2], blue[2]) > 240  # white


def test_what_is_not_finite_is_black_and_a_state_of_zeros_is_white() -> None:
    state = np.array([[math.nan, math.inf, -math.inf, 0.0]])
    seen = np.asarray(opened(pictures.diverging(state, 0.0)).convert("RGB"))[0]
    assert seen[:3].max() == 0
    assert seen[3].min() > 240


def test_the_darker_a_cell_the_larger_its_share() -> None:
    table = np.array([[0.0, 1e-6, 0.01], [0.25, 0.9, 1.0]])
    seen = np.asarray(opened(pictures.shares(table)).convert("L")).astype(int).ravel()
    assert np.all(np.diff(seen) < 0)


def test_a_formula_has_the_colour_of_the_text_and_no_reference_outside() -> None:
    drawn = formula(r"\partial_t u_i = A_{ij} \partial_x u_j")
    assert drawn.startswith("<svg")
    assert drawn.endswith("</svg>")
    assert "var(--ink)" in drawn
    assert "#0102" not in drawn
    assert "<dc:date>" not in drawn
    assert drawn == formula(r"\partial_t u_i = A_{ij} \partial_x u_j")


class Staged(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 12, 3), nn.BatchNorm2d(12))
        self.stages = nn.ModuleList([nn.Conv2d(12, 4, 3), nn.Conv2d(4, 20, 1, stride=2)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return x


def test_the_maps_of_a_picture_are_the_states_of_the_network() -> None:
    torch.manual_seed(0)
    model = Staged()
    picture = torch.randn(1, 9, 9)
    model.train()
    levels = feature_maps(model, picture, num_channels=5)
    assert model.training
    model.eval()
    with torch.no_grad():
        state = picture[None]
        for level, part in zip(levels, [model.stem, *model.stages], strict=True):
            state = part(state)
            values = state[0].numpy()
            spread = values.std(axis=(1, 2))
            assert level.num_channels == len(values)
            assert set(level.channels) == set(np.argsort(-spread)[:5].tolist())
            assert list(level.channels) == sorted(level.channels)
            np.testing.assert_array_equal(level.maps, values[list(level.channels)])
            assert level.largest == np.abs(level.maps).max()
    assert [level.name for level in levels] == ["stem", "stage 1", "stage 2"]
    assert not model.stages[0]._forward_hooks


def test_a_network_without_stages_has_no_maps() -> None:
    assert feature_maps(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), torch.zeros(1, 2, 2)) == ()
