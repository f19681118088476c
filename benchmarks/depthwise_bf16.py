"""What the depthwise gradient in float32 saves on a CPU: bfloat16 with and without it, and float32.

    python benchmarks/depthwise_bf16.py

A stage-1 block at 224×224 pixels, and its convolution alone: 64 channels, 4 kernels each, 56×56
pixels, batch 8. The best of several repetitions by turns, all in one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pdenet.network.convnet.convolutions import depthwise_conv2d

CHANNELS, KERNELS, PIXELS, BATCH = 64, 4, 56, 8

Convolution = Callable[..., Tensor]


def plain(x: Tensor, weight: Tensor, stride: int, padding: int, groups: int) -> Tensor:
    """PyTorch's own."""
    return F.conv2d(x, weight, stride=stride, padding=padding, groups=groups)


def best(steps: Sequence[Callable[[], None]], repetitions: int) -> list[float]:
    """Return the least time of each in milliseconds, measured by turns."""
    times: list[list[float]] = [[] for _ in steps]
    for step in steps:
        step()
    for _ in range(repetitions):
        for step, mine in zip(steps, times, strict=True):
            began = time.perf_counter()
            step()
            mine.append(1e3 * (time.perf_counter() - began))
    return [min(mine) for mine in times]


def convolution_step(
    convolution: Convolution, narrow: bool, layout: torch.memory_format
) -> Callable[[], None]:
    """Return one forward and backward pass of the convolution alone."""
    x = torch.randn(BATCH, CHANNELS, PIXELS, PIXELS).to(memory_format=layout).requires_grad_()
    weight = nn.Parameter(torch.randn(CHANNELS * KERNELS, 1, 3, 3))

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            made = convolution(x, weight, stride=1, padding=1, groups=CHANNELS)
        made.backward(torch.ones_like(made))

    return step


class Block(nn.Module):
    """The block of Eq. (3), layer by layer, so that its convolution can be exchanged."""

    def __init__(self, convolution: Convolution) -> None:
        super().__init__()
        hidden = CHANNELS * KERNELS
        self.convolution = convolution
        self.opening = nn.Conv2d(CHANNELS, hidden, 1, bias=False)
        self.weight = nn.Parameter(torch.randn(hidden, 1, 3, 3) / 3)
        self.norm = nn.BatchNorm2d(hidden)
        self.closing = nn.Conv2d(hidden, CHANNELS, 1, bias=False)
        self.last = nn.BatchNorm2d(CHANNELS)

    def forward(self, u: Tensor) -> Tensor:
        """Return u + F(u)."""
        slopes = self.convolution(u, self.weight, stride=1, padding=1, groups=CHANNELS)
        made: Tensor = u + self.last(self.closing(self.opening(u) * self.norm(slopes)))
        return made


def block_step(
    convolution: Convolution, narrow: bool, layout: torch.memory_format
) -> Callable[[], None]:
    """Return one forward and backward pass of a whole block."""
    block = Block(convolution).to(memory_format=layout)  # type: ignore[call-overload]
    u = torch.randn(BATCH, CHANNELS, PIXELS, PIXELS).to(memory_format=layout).requires_grad_()

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            made = block(u)
        made.backward(torch.ones_like(made))

    return step


def main() -> None:
    """Measure by turns, and print a table."""
    parser = argparse.ArgumentParser(description="the depthwise gradient in float32, measured")
    parser.add_argument("--repetitions", type=int, default=10)
    repetitions = parser.parse_args().repetitions
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, one thread")
    print(f"{BATCH} × {CHANNELS} × {PIXELS} × {PIXELS}, {KERNELS} kernels a channel; ms a step")
    print(f"{'':28}{'float32':>9}{'bfloat16':>10}{'mixed':>8}{'bfloat16 / mixed':>18}")
    layouts = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
    for what, make in (("convolution", convolution_step), ("block", block_step)):
        for name, layout in layouts.items():
            cases = ((plain, False), (plain, True), (depthwise_conv2d, True))
            steps = [make(*case, layout) for case in cases]
            wide, narrow, mixed = best(steps, repetitions)
            label = f"{what}, {name}"
            print(f"{label:28}{wide:9.1f}{narrow:10.1f}{mixed:8.1f}{narrow / mixed:18.2f}")


if __name__ == "__main__":
    main()
