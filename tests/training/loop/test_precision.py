"""Precision: bfloat16 and float16 steps, and the one gradient that is computed in float32."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pdenet.network.convnet import convolutions
from pdenet.network.convnet.convolutions import depthwise_conv2d
from pdenet.training.loop.precision import Precision
from tests.training.loop.runs import run

CPU = torch.device("cpu")

# Of bfloat16: 7 bits behind the leading one, so that rounding changes a number by at most 2⁻⁸.
U = 2.0**-8

SHAPES = [  # channels, multiplier, kernel, stride, padding, height, width
    (3, 1, 3, 1, 1, 7, 6),
    (4, 3, 3, 2, 1, 9, 8),
    (2, 4, 5, 1, 0, 6, 7),
    (1, 2, 3, 2, 0, 5, 5),
]


Convolution = Callable[[Tensor, Tensor, int, int, int], Tensor]
Case = tuple[Tensor, Tensor, Tensor, int, int]


def plain(x: Tensor, w: Tensor, stride: int, padding: int, groups: int) -> Tensor:
    return F.conv2d(x, w, stride=stride, padding=padding, groups=groups)


def narrow(convolution: Convolution) -> Convolution:
    """Return a convolution under autocast."""

    def made(x: Tensor, w: Tensor, stride: int, padding: int, groups: int) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return convolution(x, w, stride, padding, groups)

    return made


def case(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Case:
    """Return picture, kernels and gradient of the result, with bfloat16 values; stride, padding."""
    channels, multiplier, k, stride, padding, height, width = shape
    source = torch.Generator().manual_seed(sum(shape))

    def draw(*sizes: int) -> Tensor:
        return torch.randn(*sizes, generator=source).bfloat16().to(dtype)

    x, w = draw(3, channels, height, width), draw(channels * multiplier, 1, k, k)
    return x, w, draw(*plain(x, w, stride, padding, channels).shape), stride, padding


def gradients(
    convolution: Convolution, x: Tensor, w: Tensor, grad: Tensor, stride: int, padding: int
) -> tuple[Tensor, Tensor, Tensor]:
    x, w = x.clone().requires_grad_(), w.clone().requires_grad_()
    made = convolution(x, w, stride, padding, x.shape[1])
    for_x, for_w = torch.autograd.grad(made, (x, w), grad.to(made.dtype))
    return made, for_x, for_w


@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradient_of_the_weight_is_that_of_float64_and_all_else_that_of_torch(
    shape: tuple[int, ...],
) -> None:
    # The values are bfloat16 numbers: only sums are rounded.
    for_w = gradients(plain, *case(shape))[2]
    made, x_made, w_made = gradients(narrow(depthwise_conv2d), *case(shape, torch.float32))
    assert made.dtype == torch.bfloat16
    assert x_made.dtype == w_made.dtype == torch.float32
    # A float32 sum of n products is off by at most n 2⁻²⁴ of the sum of their sizes; n ≤ 3·63.
    x, w, grad, *rest = case(shape)
    largest = gradients(plain, x.abs(), w.abs(), grad.abs(), *rest)
    assert ((w_made.double() - for_w).abs() <= 189 * 2.0**-24 * largest[2]).all()
    # How torch rounds the rest differs from one processor to another: after each sum, or within.
    y, for_x, _ = gradients(narrow(plain), *case(shape, torch.float32))
    assert torch.equal(made, y)
    assert torch.equal(x_made, for_x)


def test_the_gradient_of_the_weight_is_more_accurate_than_the_plain_one() -> None:
    """Of a stage-1 block's size: 56×56 pixels, so that a sum has 25088 terms."""
    shape = (4, 2, 3, 1, 1, 56, 56)
    true = gradients(plain, *case(shape))[2]
    ours, theirs = (
        gradients(narrow(f), *case(shape, torch.float32))[2] for f in (depthwise_conv2d, plain)
    )
    assert (ours - true).norm() < 0.1 * (theirs - true).norm()


def test_elsewhere_it_is_the_plain_convolution() -> None:
    """Bit by bit: in float64, without gradients, and where the convolution is not depthwise."""
    for one, other in zip(
        gradients(depthwise_conv2d, *case(SHAPES[1])), gradients(plain, *case(SHAPES[1])),
        strict=True,
    ):  # fmt: skip
        assert torch.equal(one, other)
    x, w, _, stride, padding = case(SHAPES[1], torch.float32)
    with torch.no_grad():
        y, z = (narrow(f)(x, w, stride, padding, 4) for f in (depthwise_conv2d, plain))
    assert torch.equal(y, z)
    full = torch.randn(6, 4, 3, 3, requires_grad=True)
    y, z = (narrow(f)(x, full, stride, padding, 1) for f in (depthwise_conv2d, plain))
    assert torch.equal(y, z)
    assert "Depthwise" not in type(y.grad_fn).__name__


def test_a_module_in_bfloat16_has_gradients_in_bfloat16() -> None:
    made, for_x, for_w = gradients(depthwise_conv2d, *case(SHAPES[0], torch.bfloat16))
    assert made.dtype == for_x.dtype == for_w.dtype == torch.bfloat16
    true = gradients(plain, *case(SHAPES[0]))[2]
    # Rounded once, at the end.
    assert ((for_w.double() - true).abs() <= 1.01 * U * true.abs() + 1e-5).all()


# PyTorch's compiler makes an instance of every autograd.Function for itself, and warns of that.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_it_can_be_compiled_and_differentiated_twice() -> None:
    x, w, _, stride, padding = case(SHAPES[1])

    class Model(nn.Module):
        def forward(self, x: Tensor, w: Tensor) -> Tensor:
            return depthwise_conv2d(x, w, stride, padding) * 1.0

    def second(model: Callable[..., Tensor], dtype: torch.dtype) -> list[Tensor]:
        a, b = x.to(dtype, copy=True).requires_grad_(), w.to(dtype, copy=True).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.float32):
            y = model(a, b)
        first = torch.autograd.grad(y.to(dtype).pow(2).sum(), (a, b), create_graph=True)
        return [*first, *torch.autograd.grad(first[0].sum() + first[1].sum(), (a, b))]

    ours, true = second(Model(), torch.float32), second(Model(), torch.float64)
    for one, other in zip(ours, true, strict=True):
        # A chain of at most four roundings to bfloat16, in the norm over all elements.
        assert (one.double() - other).norm() <= 4 * U * other.norm()
    compiled = torch.compile(Model(), fullgraph=True, backend="aot_eager")
    a, b = x.float().requires_grad_(), w.float().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y, z = compiled(a, b), Model()(a, b)
    assert torch.equal(y, z)
    for one, other in zip(
        *(torch.autograd.grad(v.float().sum(), (a, b)) for v in (y, z)), strict=True
    ):
        assert torch.equal(one, other)


def test_only_that_one_gradient_is_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    gradient = convolutions._gradients

    def watched(grad: Tensor, x: Tensor, weight: Tensor, *rest: object) -> object:
        seen.append((grad.dtype, x.dtype, weight.dtype, rest[2]))
        return gradient(grad, x, weight, *rest)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(convolutions, "_gradients", watched)
    gradients(narrow(depthwise_conv2d), *case(SHAPES[0], torch.float32))
    assert seen == [
        (torch.bfloat16, torch.bfloat16, torch.bfloat16, [True, False, False]),
        (torch.float32, torch.float32, torch.float32, [False, True, False]),
    ]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_run_in_16_bits_learns_as_one_in_32(dtype: str, tmp_path: Path) -> None:
    wide = run(tmp_path / "32", model="plain", epochs=3)
    made = run(tmp_path / "16", model="plain", epochs=3, amp=True, amp_dtype=dtype)
    # 15 updates whose gradients are off by some per mille: the third digit of the loss differs.
    one, other = (outcome.history[-1]["val_loss"] for outcome in (wide, made))
    assert one != other
    assert abs(one - other) < 0.02 * one
    assert made.history[-1]["trips"] == 0


def test_an_overflow_of_float16_costs_an_update_and_is_no_trip() -> None:
    weight = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], 0.1)
    precision = Precision(CPU, amp=True, dtype="float16")
    before = precision.get_scale()
    precision.scale(weight.sum() * torch.tensor(3e38)).backward()
    precision.unscale_(optimizer)
    assert weight.grad is not None
    assert precision.is_overflow(weight.grad.norm())
    precision.step(optimizer)
    precision.update()
    assert weight.item() == 1.0
    assert precision.get_scale() == before / 2
    optimizer.zero_grad()
    precision.scale(weight.sum()).backward()
    precision.unscale_(optimizer)
    assert not precision.is_overflow(weight.grad.norm())
    precision.step(optimizer)
    precision.update()
    assert weight.item() == pytest.approx(0.9, rel=1e-6)  # float32
    other = Precision(CPU, amp=True, dtype="float16")
    other.load_state_dict(precision.state_dict())
    assert other.get_scale() == precision.get_scale()


def test_without_mixed_precision_nothing_is_scaled() -> None:
    precision = Precision(CPU, amp=False)
    loss = torch.tensor(2.0)
    assert precision.scale(loss) is loss
    assert precision.get_scale() == 1.0
    assert precision.state_dict() == {}
    assert not precision.is_overflow(torch.tensor(float("inf")))
    with precision.narrow():
        assert not torch.is_autocast_enabled("cpu")
