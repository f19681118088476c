"""Parameters are as many as published, and follow the rule of every layer."""

from __future__ import annotations

import itertools

import pytest
import torch

import pdenet as pn
from pdenet.network.convnet.layout import Layout, settled_layout
from tests.tiers import Each, both_tiers

# Liu, Shao & Bai (2023), with 100 classes: printed in millions, and the exact numbers.
PUBLISHED = {
    "eq3": ("8.61", 8_608_868),
    "eq3_nows": ("8.73", 8_728_100),
    "eq3_nows_x6": ("13.0", 12_971_044),
    "eq4": ("5.70", 5_696_612),
    "eq5": ("4.26", 4_259_556),
    "eq6": ("5.61", 5_610_596),
    "eq7_nows_x6": ("13.0", 12_971_044),
}


def counted(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def block_rule(name: str, n: int, out: int) -> int:
    """One block n → out: kernels, their norm, 1×1 convolutions, the closing norm."""
    m = 6 if name.endswith("x6") else 4  # channels of the depthwise convolution, in widths
    kernels = 9 * m * (n if "nows" in name else 1) + 2 * m * n
    closing = m * n * out + 2 * out
    match name.partition("_")[0]:
        case "eq3":
            return kernels + m * n * n + closing
        case "eq4":
            return kernels + n * out + closing
        case "eq5":
            return kernels + m * n * n
        case "eq6":
            return kernels + n * n + closing
        case "eq7":  # 3n hidden channels, two kernels each
            return kernels + 2 * 3 * n * n + closing
    raise AssertionError(name)


def rule(name: str, classes: int, in_channels: int, layout: Layout) -> int:
    n = layout.widths[0]
    window = 7 if layout.stem == "pooled" else 3
    total = window**2 * in_channels * n + 2 * n
    for width, depth in zip(layout.widths, layout.depths, strict=True):
        if width != n or total > window**2 * in_channels * n + 2 * n:
            total += n * width + 2 * width  # the skip convolution and its norm
        for _ in range(depth):
            total += block_rule(name, n, width)
            n = width
    return total + (n * classes + classes if classes else 0)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_models_have_the_published_number_of_parameters(name: str) -> None:
    printed, exact = PUBLISHED[name]
    with torch.device("meta"):
        model = pn.create_model(name, num_classes=100)
    assert counted(model) == exact == rule(name, 100, 3, settled_layout("resnet50"))
    digits = len(printed.partition(".")[2])
    assert f"{exact / 1e6:.{digits}f}" == printed


LAYOUTS = ["resnet26", "small", Layout((8, 8, 24), (1, 2, 1)), Layout((12,), (3,), "pooled")]


@both_tiers
def test_every_layout_follows_the_rule(each: Each, deep: bool) -> None:
    """Quick: each layout of each model, the large one of two, and each time one of the heads."""
    ends = [(0, 1), (10, 1), (1000, 5)]
    cells = [
        (name, *end, layout)
        for number, (name, layout) in enumerate(itertools.product(PUBLISHED, LAYOUTS))
        for end in (ends if deep else [ends[number % 3]])
        if deep or layout != "resnet26" or name in ("eq3", "eq7_nows_x6")
    ]
    for (name, classes, in_channels, layout), cell in each(cells, key=str):
        if name == "eq5" and layout == LAYOUTS[2]:
            layout = Layout((8, 8, 16), (1, 2, 1))  # 4 directions: groups for 1, 2 or 4 widths
        with cell, torch.device("meta"):
            model = pn.create_model(name, classes, in_channels=in_channels, layout=layout)
            assert counted(model) == rule(name, classes, in_channels, settled_layout(layout))


@both_tiers
def test_every_model_can_be_made_by_its_name_and_small_ones_are_small(
    each: Each, deep: bool
) -> None:
    """Quick: the small ones; the others are made where their parameters are counted."""
    for name, cell in each(pn.list_models("" if deep else "small")):
        with cell, torch.device("meta"):
            model = pn.create_model(name, num_classes=7)
            assert model.num_classes == 7
            most = 600_000 if "small" in name else 14_000_000
            assert counted(model) < most * 8 ** ("eq2" in name)


def test_shared_coefficients_are_counted_once() -> None:
    """In each stage of the layout "small" blocks of one width: 2, 1 and 1."""
    with torch.device("meta"):
        free, shared = (
            pn.create_model("eq3_small", 10, coefficients=how) for how in ("free", "shared")
        )
    # Of stage one's two blocks one is counted: 4·9 kernels and 8 n² coefficients of n = 16.
    assert counted(free) - counted(shared) == 4 * 9 + 8 * 16**2
