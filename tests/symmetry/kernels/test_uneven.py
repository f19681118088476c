"""Uneven padding: what is reported, against gradients, which show the pixels that windows see."""

from __future__ import annotations

from typing import Any  # what timm makes has no annotations

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.pool2d_same import AvgPool2dSame, MaxPool2dSame
from torch import nn
from torch.nn import functional as F

import pdenet as pn
from pdenet.errors import SymmetryError
from pdenet.symmetry.kernels import UnevenPadding, uneven_padding
from pdenet.symmetry.kernels.tracing import Window, trace
from pdenet.symmetry.kernels.uneven import is_even, is_even_at

WIDE = 16
"""Ghost pixels enough for every kernel here."""


def seen(layer: nn.Module, size: int) -> tuple[int, int]:
    """How far a layer's windows reach beyond a picture of `size` pixels, from gradients alone.

    The layer's own ghost pixels cannot be differentiated by. So a large picture is drawn instead,
    the layer is put there without its padding, and its windows begin where the padding would have
    begun; those pixels have a gradient that some window sees.
    """

    def number(name: str, default: int = 1) -> int:
        value = getattr(layer, name, default)
        return int(value if isinstance(value, int) else value[0])

    kernel, stride, pad, dilation = map(number, ("kernel_size", "stride", "padding", "dilation"))
    weight = torch.ones(1, 1, kernel, kernel)
    with torch.no_grad():
        made = layer(torch.zeros(1, 1, size, size)).shape[-1]  # how often windows really fit
    large = torch.zeros(1, 1, 2 * WIDE + size, 2 * WIDE + size, requires_grad=True)
    begin = WIDE - pad
    end = begin + (made - 1) * stride + (kernel - 1) * dilation + 1
    part = large[:, :, begin:end, begin:end]
    out = F.conv2d(part, weight, stride=stride, dilation=dilation)
    assert out.shape[-1] == made
    (slope,) = torch.autograd.grad(out.sum(), large)
    touched = slope[0, 0].abs().sum(dim=0).nonzero().flatten()
    return WIDE - int(touched[0]), int(touched[-1]) - (WIDE + size - 1)


@st.composite
def layers(draw: st.DrawFn) -> tuple[nn.Module, int]:
    """Strided layers, and a size that their windows fit into."""
    kernel, stride = draw(st.integers(1, 5)), draw(st.integers(2, 4))
    kind = draw(st.sampled_from(["conv", "max", "avg"]))
    pad = draw(st.integers(0, kernel // 2))
    ceil = draw(st.booleans())
    if kind == "conv":
        dilation = draw(st.integers(1, 3))
        made: nn.Module = nn.Conv2d(1, 1, kernel, stride, pad, dilation)
    elif kind == "max":
        dilation = draw(st.integers(1, 3))
        made = nn.MaxPool2d(kernel, stride, pad, dilation, ceil_mode=ceil)
    else:
        dilation = 1
        made = nn.AvgPool2d(kernel, stride, pad, ceil_mode=ceil)
    size = draw(st.integers((kernel - 1) * dilation + 1, 24))
    return made, size


@given(layers())
def test_what_windows_see_beyond_the_edges_is_what_gradients_say(
    drawn: tuple[nn.Module, int],
) -> None:
    layer, size = drawn
    (use,) = uneven_padding(layer, size, in_channels=1).uses
    before, after = seen(layer, size)
    assert (use.before, use.after) == ((before,) * 2, (after,) * 2)
    assert use.is_uneven == (before != after)


@given(
    kernel=st.integers(1, 6),
    stride=st.integers(1, 4),
    pad=st.integers(0, 3),
    size=st.integers(8, 30),
)
def test_a_convolution_drops_what_the_division_leaves(
    kernel: int, stride: int, pad: int, size: int
) -> None:
    layer = nn.Conv2d(1, 1, kernel, stride, pad)
    uses = uneven_padding(layer, size).uses
    rest = (size + 2 * pad - kernel) % stride
    if stride == 1:
        assert uses == ()
        return
    assert uses[0].dropped == (rest, rest)
    assert uses[0].is_uneven == (rest != 0)


def strided_sizes(model: nn.Module, size: tuple[int, int]) -> list[tuple[int, int]]:
    """The sizes of the inputs of all strided modules, by hooks on those modules."""
    found: list[tuple[int, int]] = []

    def keep(module: nn.Module, given: tuple[torch.Tensor]) -> None:
        found.append((given[0].shape[-2], given[0].shape[-1]))

    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.MaxPool2d)) and module.stride not in (1, (1, 1)):
            module.register_forward_pre_hook(keep)
    model(torch.zeros(1, 3, *size))
    return found


@pytest.mark.parametrize(
    ("name", "size", "count", "strided"),
    [
        ("resnet18", 224, 8, 8),
        ("resnet18", 225, 0, 8),
        ("mobilenetv3_small_100", 224, 5, 5),
        ("mobilenetv3_small_100", 225, 0, 5),
        ("tf_mobilenetv3_small_100", 224, 5, 5),  # "SAME": a ghost pixel at the end instead
        ("tf_mobilenetv3_small_100", 225, 0, 5),
        ("convnext_atto", 224, 0, 4),  # windows that do not overlap fit
    ],
)
def test_models_of_timm_pad_unevenly_where_sizes_are_even(
    name: str, size: int, count: int, strided: int
) -> None:
    # Sizes halve five times from 224 = 7·2⁵, and from 225 = 7·2⁵ + 1 every one is odd.
    found = uneven_padding(timm.create_model(name), size)
    assert (len(found.uneven), len(found)) == (count, strided)
    if count:
        assert (found.below, found.above) == ((193, 193), (225, 225))
    else:
        assert (found.below, found.above) == (None, None)


def test_the_sizes_of_every_use_are_those_that_the_modules_had() -> None:
    model = timm.create_model("resnet18").eval()
    found = uneven_padding(model, (64, 97))
    # Those of 1×1 convolutions too, in the order of the forward pass.
    assert [use.size for use in found] == strided_sizes(model, (64, 97))


def test_the_last_pixels_of_an_even_picture_are_not_seen_by_a_projection() -> None:
    model = nn.Conv2d(1, 1, 1, stride=2)
    (use,) = uneven_padding(model, (8, 9)).uses
    assert (use.before, use.after, use.dropped) == ((0, 0), (-1, 0), (1, 0))
    picture = torch.zeros(1, 1, 8, 9, requires_grad=True)
    model(picture).sum().backward()
    slope = picture.grad
    assert slope is not None
    assert not slope[0, 0, -1].any()
    assert slope[0, 0, :, -1].any()


@pytest.mark.parametrize("name", ["eq3_small", "eq5_small", "eq6_small", "eq7_nows_x6_small"])
def test_the_strided_directions_and_projections_of_pdenet_are_seen(name: str) -> None:
    model = pn.create_model(name, 10, in_channels=1)
    found = uneven_padding(model, 32)
    assert found.above == (33, 33)
    operations = [use for use in found.uneven if "banks.convolutions" in use.layer]
    projections = [use for use in found.uneven if "projection" in use.layer]
    assert len(operations) == len(projections) == len(model.stages) - 1
    assert len(found.uneven) == len(found)
    assert not uneven_padding(model, found.above).uneven


@pytest.mark.parametrize("padding", ["zeros", "circular", "replicate"])
def test_ghost_pixels_of_every_kind_are_followed_to_the_window(padding: str) -> None:
    pde = pn.catalogue["eq6"]
    block = pn.PDEBlock(pde, 4, 8, stride=2, relaxation=pn.Relaxation(padding=padding))
    by_size = {size: uneven_padding(block, size, in_channels=4) for size in (8, 9)}
    for size, found in by_size.items():
        (use,) = [use for use in found if use.kernel == (3, 3)]
        assert use.size == (size, size)
        assert (use.before, use.after) == ((1, 1), (1 - (size + 1) % 2,) * 2)


@given(layers(), layers(), st.integers(8, 40), st.integers(8, 40))
def test_arithmetic_says_of_another_size_what_running_the_model_says(
    first: tuple[nn.Module, int], second: tuple[nn.Module, int], size: int, other: int
) -> None:
    model = nn.Sequential(first[0], second[0])

    def windows(points: int) -> list[Window]:
        return trace(model, torch.zeros(1, 1, points, points))

    try:
        here, there = windows(size), windows(other)
    except RuntimeError:  # too small for the second layer
        return
    assert is_even_at(here, 0, other) == is_even(there, 0)


class Twice(nn.Module):
    """Uses one layer twice, and a functional pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.halve = nn.Conv2d(2, 2, 3, stride=2, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.max_pool2d(self.halve(self.halve(x)), 2)


def test_each_use_of_a_layer_is_reported_with_its_own_size() -> None:
    found = uneven_padding(Twice(), 13)  # 13 → 7 → 4 → 2
    assert [(use.layer, use.use, use.size[0], use.is_uneven) for use in found] == [
        ("halve", 1, 13, False),
        ("halve", 2, 7, False),
        ("", 1, 4, False),
    ]
    found = uneven_padding(Twice(), 16)  # 16 → 8 → 4 → 2
    assert [use.is_uneven for use in found] == [True, True, False]
    # n → (n + 1)/2 twice for odd sizes, then an even one: n = 8k − 3.
    assert (found.below, found.above) == ((13, 13), (21, 21))


def test_sizes_along_both_axes_are_found_by_themselves() -> None:
    model = timm.create_model("resnet18")
    found = uneven_padding(model, (64, 97))
    assert all(use.before[1] == use.after[1] for use in found)
    assert (found.below, found.above) == ((33, 97), (65, 97))
    assert not uneven_padding(model, (65, 97)).uneven
    reverse = uneven_padding(model, (97, 64))
    assert reverse.above == (97, 65)


@pytest.mark.parametrize("make", [Conv2dSame, MaxPool2dSame, AvgPool2dSame])
@pytest.mark.parametrize(("size", "sides"), [(8, (0, 1)), (9, (1, 1))])
def test_same_padding_of_tensorflow_has_the_odd_pixel_at_the_end(
    make: Any, size: int, sides: tuple[int, int]
) -> None:
    layer = make(1, 1, 3, stride=2) if make is Conv2dSame else make(3, stride=2)
    found = uneven_padding(nn.Sequential(layer), size, in_channels=1)
    (use,) = found.uses
    assert (use.before[0], use.after[0]) == sides
    assert found.above == ((9, 9) if size == 8 else None)


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # torch says that it copies
def test_an_even_kernel_of_stride_one_with_same_padding_is_uneven_at_every_size() -> None:
    found = uneven_padding(nn.Conv2d(1, 1, 4, padding="same"), 8)
    (use,) = found.uses
    assert (use.before, use.after, use.is_uneven) == ((1, 1), (2, 2), True)
    assert (found.below, found.above) == (None, None)


def test_other_ways_to_pad_and_to_skip_pixels_are_seen() -> None:
    class Model(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.relu(F.pad(x, (1, 2, 0, 0)))  # left, right, top, bottom
            x = F.avg_pool2d(x, (1, 3), stride=1)
            return F.lp_pool2d(x[..., ::2, ::2], 2.0, 2)

    padded, skipped, pooled = trace(Model(), torch.zeros(1, 1, 7, 6))
    assert (padded.size, padded.before, padded.after) == ((7, 6), (0, 1), (0, 2))
    assert (skipped.operation, skipped.made, skipped.seen_after) == ("slice", (4, 4), (0, 0))
    assert (pooled.operation, pooled.made) == ("lp_pool2d", (2, 2))


def test_a_model_is_afterwards_as_it_was() -> None:
    norm = nn.BatchNorm2d(2)
    model = nn.Sequential(nn.Conv2d(1, 2, 3, 2, 1), norm).train()
    norm.eval()
    uneven_padding(model, 8)
    assert [module.training for module in model.modules()] == [True, True, False]
    assert not model[0]._forward_hooks
    assert not model[0]._forward_pre_hooks
    assert norm.num_batches_tracked is not None
    assert int(norm.num_batches_tracked) == 0


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "got 0"), ((3, 4, 5), "got (3, 4, 5)"), (2.5, "got 2.5"), (2, "2×2 pixels")],
)
def test_a_size_that_makes_no_sense_is_refused(size: Any, words: str) -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 5))
    with pytest.raises(SymmetryError) as caught:
        uneven_padding(model, size)
    assert words in str(caught.value)


def test_the_uses_can_be_printed_and_written() -> None:
    found = uneven_padding(Twice(), 16)
    assert isinstance(found, UnevenPadding)
    assert "2 of 3 strided layers pad unevenly; none at 13×13 or 21×21" in str(found)
    assert len(found.to_csv().splitlines()) == 4
    assert found.to_dict()["uses"][0]["dropped_rows"] == 1
