"""Convolutions that PyTorch's CPU kernels are slow or wrong at, computed in another way.

With `groups` equal to the number of channels the gradient of the weight is a sum over all pixels
for each of few numbers. PyTorch's CPU kernels for it take several times as long in bfloat16 as in
float32, on processors without instructions for bfloat16 above all. Here that one gradient, and no
other part, is computed in float32; `benchmarks/depthwise_bf16.py` measures what it saves. It is
more accurate by the way: the sum is rounded once instead of at each of its terms.

The 1×1 convolution with a stride, of a skip connection, writes beyond its buffers in its backward
pass; see `Projection`.
"""

from __future__ import annotations

from typing import Any  # autograd's context has no type

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Projection(nn.Conv2d):
    """A 1×1 convolution without bias that takes every s-th pixel first, for skip connections.

    The same numbers as those of a strided convolution. Of fewer than 8 channels that lie innermost
    in memory, the backward pass of PyTorch 2.13's own strided one writes beyond its buffers on CPUs
    without AVX-512, and the process dies at a later time.

    Args:
        in_channels: the channels of what comes in.
        out_channels: the channels of the result.
        stride: s.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's name
        """Return shape `(batch, out_channels, y/s, x/s)`, rounded up."""
        across, down = self.stride
        if across > 1 or down > 1:
            input = input[:, :, ::across, ::down]  # noqa: A001
        return F.conv2d(input, self.weight, self.bias)


def depthwise_conv2d(
    x: Tensor,
    weight: Tensor,
    stride: int = 1,
    padding: int = 0,
    groups: int | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Return `F.conv2d(x, weight, bias, stride=stride, padding=padding, groups=groups)`.

    Where the convolution is depthwise, on a CPU, and in bfloat16 (by autocast or by the type of
    `x`), the gradient of `weight` is computed in float32. Everywhere else it is that very call.

    Args:
        x: shape `(batch, channels, y, x)`.
        weight: shape `(channels m, 1, k, k)`; the rows of a channel follow one another.
        stride: of the result.
        padding: zeros around the picture.
        groups: of the convolution; by default the number of channels.
        bias: shape `(channels m,)`.

    Returns:
        Shape `(batch, channels m, y', x')`.
    """
    groups = x.shape[1] if groups is None else groups
    if bias is None and _is_slow(x, weight, groups):
        with torch.autocast("cpu", enabled=False):
            return _Depthwise.apply(  # type: ignore[no-untyped-call]  # of torch
                x.to(torch.bfloat16), weight.float(), stride, padding
            )
    return F.conv2d(x, weight, bias, stride=stride, padding=padding, groups=groups)


def _is_slow(x: Tensor, weight: Tensor, groups: int) -> bool:
    if x.device.type != "cpu" or groups != x.shape[1] or weight.shape[1] != 1:
        return False
    if not (torch.is_grad_enabled() and weight.requires_grad):
        return False
    if torch.is_autocast_enabled("cpu"):
        # Autocast leaves float64 alone.
        types = (torch.float32, torch.bfloat16)
        return x.dtype in types and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return x.dtype == weight.dtype == torch.bfloat16


class _Depthwise(torch.autograd.Function):
    """y = w ∗ x in bfloat16; ∂/∂x in bfloat16, ∂/∂w in float32."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        """Convolve; `x` is bfloat16, `weight` float32."""
        kernel = weight.to(x.dtype)
        return F.conv2d(x, kernel, stride=stride, padding=padding, groups=x.shape[1])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep what the gradients need."""
        x, weight, ctx.stride, ctx.padding = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        """Both gradients by PyTorch's own formula, which can be differentiated again."""
        x, weight = ctx.saved_tensors
        (grad,) = grads
        for_x, for_weight = None, None
        if ctx.needs_input_grad[0]:
            kernel = weight.to(x.dtype)
            for_x = _gradients(grad, x, kernel, ctx.stride, ctx.padding, [True, False, False])[0]
        if ctx.needs_input_grad[1]:
            wide = (grad.float(), x.float(), weight)
            for_weight = _gradients(*wide, ctx.stride, ctx.padding, [False, True, False])[1]
        return for_x, for_weight, None, None


def _gradients(
    grad: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int, wanted: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x, weight and bias, those that are wanted."""
    pair = [stride] * 2, [padding] * 2, [1, 1]
    return torch.ops.aten.convolution_backward(
        grad, x, weight, None, *pair, False, [0, 0], x.shape[1], wanted
    )
