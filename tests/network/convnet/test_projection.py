"""The skip connection's convolution is the strided 1×1 convolution, and survives few channels."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from pdenet.network.convnet.convolutions import Projection


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 2)])
def test_it_is_the_strided_convolution_with_its_gradients(
    stride: int, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    made = Projection(3, 5, stride).double()
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    found, expected = made(x), F.conv2d(x, made.weight, stride=stride)
    # Sums of three products each, in whatever order.
    torch.testing.assert_close(found, expected, rtol=1e-14, atol=1e-14)
    weights = torch.randn_like(expected)
    for one, other in zip(
        torch.autograd.grad((found * weights).sum(), (x, made.weight)),
        torch.autograd.grad((expected * weights).sum(), (x, made.weight)),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_training_with_few_channels_innermost_in_memory_does_not_corrupt_the_heap() -> None:
    """In a process of its own: with torch's strided convolution it died in nine runs of nine."""
    program = """
import torch, pdenet as pn
torch.manual_seed(0); torch.set_num_threads(1)
layout = pn.Layout(widths=(4, 8), depths=(1, 1))
model = pn.create_model("eq5_small", 10, in_channels=1, layout=layout)
model = model.to(memory_format=torch.channels_last)
for _ in range(25):
    x = torch.randn(64, 1, 8, 8).to(memory_format=torch.channels_last)
    model.zero_grad()
    model(x).square().sum().backward()
print("alive")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "alive\n", done.stderr
