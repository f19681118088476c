"""Mean kernels and their table: every layer is found, with the weight that it convolves with."""

from __future__ import annotations

import copy
import csv
import io
import json
import math
from typing import Any  # what timm makes has no annotations

import numpy as np
import pytest
import timm
import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.std_conv import StdConv2d
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

import pdenet as pn
from pdenet.errors import SymmetryError
from pdenet.network.convnet.directions import Directions
from pdenet.symmetry.kernels import mean_kernels, symmetry_score, symmetry_table
from pdenet.symmetry.kernels.mean import MeanKernel


def response(layer: nn.Module, channels: int, size: tuple[int, int]) -> np.ndarray:
    """Σ over inputs of the impulse responses of a layer, summed over outputs, from outputs alone.

    A convolution of stride 1 without padding, seen at its one output pixel: the derivative by each
    input pixel is the weight there, summed over output channels.
    """
    pixels = torch.zeros(1, channels, *size, dtype=torch.float64, requires_grad=True)
    out = layer(pixels)
    assert out.shape[-2:] == (1, 1)
    (slope,) = torch.autograd.grad(out.sum(), pixels)
    return np.asarray(slope[0].sum(dim=0))


@pytest.mark.parametrize(
    ("layer", "channels"),
    [
        (nn.Conv2d(4, 6, 3), 4),
        (nn.Conv2d(4, 6, (2, 5)), 4),
        (nn.Conv2d(4, 8, 3, groups=2), 4),
        (nn.Conv2d(4, 4, 3, groups=4), 4),
        (StdConv2d(4, 6, 3, padding=0), 4),
        (weight_norm(nn.Conv2d(4, 6, 3)), 4),
    ],
)
def test_a_mean_kernel_is_the_mean_response_of_the_layer(layer: Any, channels: int) -> None:
    layer = copy.deepcopy(layer).double()
    (found,) = mean_kernels(nn.Sequential(layer))
    total = response(layer, channels, found.kernel.shape)
    assert found.count == math.prod(layer.weight.shape[:2])
    # Sums of some hundred numbers of size 1, in float64.
    assert np.allclose(found.kernel * found.count, total, atol=1e-12)
    assert found.groups == layer.groups


def test_the_directions_of_a_classifier_are_found_with_the_kernels_that_they_use() -> None:
    model = pn.create_model("eq3_small", 10)
    found = mean_kernels(model)
    assert [layer.kind for layer in found] == ["Conv2d"] + ["Directions"] * (len(found) - 1)
    assert len(found) == 1 + sum(isinstance(m, Directions) for m in model.modules())
    name = "stages.1.blocks.0.banks.convolutions.u"
    directions = model.get_submodule(name)
    assert isinstance(directions, Directions)
    weight = directions.weight.detach().double().numpy()  # (m, 1, k, k), the same for all channels
    assert np.allclose(found[name].kernel, weight.mean(axis=(0, 1)), atol=1e-15)
    assert (found[name].stride, found[name].padding) == ((2, 2), (1, 1))
    assert [layer.depth for layer in found] == list(range(len(found)))


def test_one_by_one_convolutions_have_no_kernel_and_other_dimensions_are_said() -> None:
    model = nn.Sequential(
        nn.Conv1d(1, 1, 3), nn.Conv3d(1, 1, 3), nn.Conv2d(1, 1, 1), nn.ConvTranspose2d(2, 3, 3)
    )
    found = mean_kernels(model)
    assert [(layer.name, layer.count) for layer in found] == [("3", 6)]
    assert found.left_out == (("0", "a convolution in 1-D"), ("1", "a convolution in 3-D"))


class Unknown(nn.Module):
    """Holds a weight that only it knows how to use."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.ones(2, 2, 3, 3))


def test_a_weight_of_unknown_use_is_said_and_may_be_given_by_name() -> None:
    unknown = Unknown()
    model = nn.Sequential(unknown, nn.Conv2d(1, 1, 3))
    found = mean_kernels(model)
    assert found.left_out == (("0", "a Unknown with a weight of (2, 2, 3, 3)"),)
    (given,) = mean_kernels(model, {"0": unknown.table})
    assert np.array_equal(given.kernel, np.ones((3, 3)))


def test_layers_may_be_chosen_and_stand_in_the_order_given() -> None:
    model = timm.create_model("resnet18")
    chosen = mean_kernels(model, ["layer4.0.conv1", "conv1"])
    assert [(layer.name, layer.depth) for layer in chosen] == [("layer4.0.conv1", 0), ("conv1", 1)]


@pytest.mark.parametrize(("name", "count"), [("resnet18", 17), ("mobilenetv3_small_100", 12)])
def test_models_of_timm_have_as_many_kernels_as_convolutions(name: str, count: int) -> None:
    assert len(symmetry_table(timm.create_model(name), draws=10)) == count


@pytest.mark.parametrize(
    ("model", "convolutions", "words"),
    [
        (nn.Linear(2, 2), None, "got Linear"),
        (nn.Sequential(nn.Conv1d(1, 1, 3)), None, "a convolution in 1-D"),
        (nn.Sequential(nn.Conv2d(1, 1, 3)), ["conv"], "got 'conv'"),
        (nn.Sequential(nn.Conv2d(1, 1, 3)), {"a": torch.ones(3, 3)}, "(3, 3)"),
        (nn.Sequential(nn.LazyConv2d(1, 3)), None, "run the model once"),
    ],
)
def test_a_model_without_such_layers_is_refused(
    model: nn.Module, convolutions: Any, words: str
) -> None:
    with pytest.raises(SymmetryError) as caught:
        mean_kernels(model, convolutions)
    assert words in str(caught.value)


def test_weights_that_are_not_finite_are_refused_by_the_name_of_their_layer() -> None:
    layer = nn.Conv2d(1, 1, 3)
    model = nn.Sequential(layer)
    with torch.no_grad():
        layer.weight[0, 0, 1, 1] = math.nan
    with pytest.raises(SymmetryError, match=r"the mean kernel of '0'.*1 of 9"):
        mean_kernels(model)


def test_looking_leaves_a_model_as_it_is() -> None:
    model = nn.Sequential(Conv2dSame(1, 2, 3, stride=2), nn.BatchNorm2d(2), StdConv2d(2, 2, 3))
    before = copy.deepcopy(model.state_dict())
    mean_kernels(model)
    assert all(module.training for module in model.modules())
    after = model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


# -- the table -------------------------------------------------------------------------------------


def test_the_table_has_the_scores_of_each_layer_and_is_the_same_for_the_same_seed() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Conv2d(3, 1, (2, 3)))
    table = symmetry_table(model, draws=500)
    again = symmetry_table(mean_kernels(model), draws=500)
    for row, layer in zip(table, mean_kernels(model), strict=True):
        assert row.score == symmetry_score(layer.kernel)
        assert row.by_symmetry["vertical_flip"] == symmetry_score(layer.kernel, "vertical_flip")
    assert str(table) == str(again)
    assert math.isnan(table.rows[1].by_symmetry["rotation_90"])
    assert not math.isnan(table.rows[0].by_symmetry["rotation_90"])


def test_a_layer_of_zeros_is_in_the_table_without_a_score() -> None:
    first = nn.Conv2d(1, 1, 3)
    model = nn.Sequential(first, nn.Conv2d(1, 1, 3))
    nn.init.zeros_(first.weight)
    table = symmetry_table(model, draws=50)
    empty = table.rows[0]
    assert all(math.isnan(v) for v in (empty.score, empty.z_score, empty.p_value))
    assert math.isnan(empty.p_arrangement)
    assert table.mean == table.rows[1].score
    assert table.to_dict()["layers"][0]["score"] is None
    assert "nan" in str(table)


def test_the_table_survives_json_and_csv() -> None:
    table = symmetry_table(timm.create_model("resnet18"), draws=50)
    read = json.loads(json.dumps(table.to_dict(), allow_nan=False))
    assert [row["score"] for row in read["layers"]] == list(table.scores)
    rows = list(csv.DictReader(io.StringIO(table.to_csv())))
    assert [float(row["score"]) for row in rows] == list(table.scores)
    assert [row["layer"] for row in rows] == [row.layer.name for row in table]


def test_a_symmetric_layer_is_evidence_and_newly_drawn_ones_are_not() -> None:
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(4, 4, 3) for _ in range(40)]
    with torch.no_grad():
        weight = convolutions[0].weight
        both = weight + weight.mT
        weight.copy_(torch.stack([torch.rot90(both, k, (2, 3)) for k in range(4)]).sum(dim=0))
    table = symmetry_table(nn.Sequential(*convolutions))
    first, *others = table.rows
    # Of 10,000 draws none: 1/10,001; and of a kernel of 3 free numbers, 9!/(4! 4!) = 630 orders.
    assert first.p_value < 2e-4
    assert first.p_arrangement < 0.01
    # Uniform by chance: of 39, 0.39 are expected below 0.01; five or more have probability 3e-5.
    assert sum(row.p_value <= 0.01 for row in others) < 5
    assert table.num_significant(0.01) == 1 + sum(row.p_value <= 0.01 for row in others)


@pytest.mark.parametrize("draws", [0, -1, 2.5, True])
def test_a_number_of_draws_that_makes_no_sense_is_refused(draws: Any) -> None:
    with pytest.raises(SymmetryError, match="draws is an integer of at least 1"):
        symmetry_table(nn.Sequential(nn.Conv2d(1, 1, 3)), draws=draws)


def test_a_group_or_symmetries_by_name_are_what_the_table_is_over() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3))
    (layer,) = mean_kernels(model)
    assert isinstance(layer, MeanKernel)
    flips = ("horizontal_flip", "vertical_flip")
    for group in ("C4", "rotation_90", flips):
        assert symmetry_table(model, group, draws=20).scores[0] == symmetry_score(
            layer.kernel, group
        )
    mixed = np.mean([symmetry_score(layer.kernel, name) for name in flips])
    table = symmetry_table(model, flips, draws=20)
    assert table.scores[0] == pytest.approx(mixed, abs=1e-12)  # sums of two numbers
