"""The monitor: right numbers, at the right steps, for any module with stages."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any  # every kind of wrong value is given to the door

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from pdenet.errors import TrainingError
from pdenet.training.loop.monitor import Monitor


class Staged(nn.Module):
    """The second stage doubles the state; `state` is what the first one returns."""

    def __init__(self) -> None:
        super().__init__()
        double = nn.Conv2d(2, 2, 1, groups=2, bias=False)
        nn.init.constant_(double.weight, 2.0)
        self.stages = nn.ModuleList([nn.Identity(), double])

    def forward(self, u: Tensor) -> Tensor:
        for stage in self.stages:
            u = stage(u)
        return u


def reference(u: np.ndarray) -> tuple[float, float]:
    """max |u| and max |∇u|, pixel by pixel."""
    largest, gradient = 0.0, 0.0
    batch, channels, height, width = u.shape
    for b, c, i, j in np.ndindex(batch, channels, height, width):
        largest = max(largest, float(abs(u[b, c, i, j])))
        if i + 1 < height:
            gradient = max(gradient, float(abs(u[b, c, i + 1, j] - u[b, c, i, j])))
        if j + 1 < width:
            gradient = max(gradient, float(abs(u[b, c, i, j + 1] - u[b, c, i, j])))
    return largest, gradient


@pytest.mark.parametrize("shape", [(3, 2, 5, 4), (1, 2, 1, 6), (2, 2, 1, 1)])
@pytest.mark.parametrize("sign", [1, -1])
def test_values_are_those_of_the_definition(shape: tuple[int, ...], sign: int) -> None:
    model = Staged()
    monitor = Monitor(model, every=1)
    u = sign * torch.randn(shape).exp()
    monitor.start(7)
    model(u)
    largest, gradient = reference(u.numpy())
    # The second stage multiplies by 2: exact.
    assert monitor.rows() == [
        {
            "step": 7,
            "stage1_u": largest,
            "stage1_grad_u": gradient,
            "stage2_u": 2 * largest,
            "stage2_grad_u": 2 * gradient,
        }
    ]


def test_only_the_steps_asked_for_are_recorded_and_only_training() -> None:
    model = Staged()
    monitor = Monitor(model, every=3)
    for step in range(8):
        monitor.start(step)
        if step != 3:
            model(torch.full((1, 2, 2, 2), float(step)))
        model.eval()
        model(torch.full((1, 2, 2, 2), 100.0))
        model.train()
    rows = monitor.rows()
    # Step 3 was left out.
    assert [(row["step"], row["stage1_u"]) for row in rows] == [(0, 0.0), (6, 6.0)]
    assert monitor.rows() == rows


def test_of_several_passes_in_a_step_the_largest_counts() -> None:
    model = Staged()
    monitor = Monitor(model, every=1)
    monitor.start(0)
    for value in (1.0, 5.0, 2.0):
        model(torch.full((1, 2, 2, 2), value))
    assert monitor.rows()[0]["stage1_u"] == 5.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_what_is_not_finite_is_seen(dtype: torch.dtype) -> None:
    model = Staged().to(dtype)
    monitor = Monitor(model, every=1)
    u = torch.zeros(1, 2, 3, 3, dtype=dtype)
    for step, value in enumerate((math.inf, -math.inf, math.nan)):
        u[0, 0, 1, 1] = value
        monitor.start(step)
        model(u)
    rows = monitor.rows()
    assert [row["stage1_u"] for row in rows[:2]] == [math.inf, math.inf]
    assert [row["stage1_grad_u"] for row in rows[:2]] == [math.inf, math.inf]
    assert math.isnan(rows[2]["stage1_u"])
    assert math.isnan(rows[2]["stage1_grad_u"])


def test_the_model_and_its_gradients_are_unchanged() -> None:
    u = torch.randn(2, 2, 4, 4)
    gradients = []
    for watched in (False, True):
        model = Staged()
        if watched:
            Monitor(model, every=1).start(0)
        out = model(u)
        out.square().sum().backward()
        gradients.append((out.detach(), model.stages[1].weight.grad))
    for plain, seen in zip(*gradients, strict=True):
        assert torch.equal(plain, seen)


def test_a_compiled_model_is_watched_in_one_graph() -> None:
    model = Staged()
    monitor = Monitor(model, every=2)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    for step in range(5):
        monitor.start(step)
        compiled(torch.full((1, 2, 2, 2), float(step)))
    assert [row["stage1_u"] for row in monitor.rows()] == [0.0, 2.0, 4.0]


def test_removed_hooks_see_nothing() -> None:
    model = Staged()
    monitor = Monitor(model, every=1)
    monitor.start(0)
    monitor.remove()
    model(torch.ones(1, 2, 2, 2))
    assert monitor.rows() == []
    assert not any(stage._forward_hooks for stage in model.stages)


def watched_blow_up() -> Monitor:
    model = Staged()
    monitor = Monitor(model, every=1)
    generator = torch.Generator().manual_seed(0)
    for step in range(30):
        monitor.start(step)
        size = math.inf if step == 20 else math.exp(min(step, 19) if step < 20 else step - 20)
        model(size * (0.1 + torch.rand(1, 2, 4, 4, generator=generator)))
    monitor.mark(20)
    return monitor


def test_the_figure_shows_growth_loss_and_the_way_back(tmp_path: Path) -> None:
    path = watched_blow_up().plot(tmp_path / "growth.png")
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert pixels.shape == (480, 1200, 3)
    red = (pixels[..., 0] > 180) & (pixels[..., 1] < 120) & (pixels[..., 2] < 140)
    # A dotted line in each panel, at two thirds of its width.
    for half in (red[:, :600], red[:, 600:]):
        columns = half.sum(axis=0)
        assert columns.max() > 60
        assert 300 < int(columns.argmax()) < 480


@pytest.mark.parametrize("num_steps", [0, 1])
def test_a_figure_of_nothing_is_drawn_without_a_warning(num_steps: int, tmp_path: Path) -> None:
    model = Staged()
    monitor = Monitor(model, every=1)
    for step in range(num_steps):
        monitor.start(step)
        model(torch.zeros(1, 2, 2, 2))
    assert monitor.plot(tmp_path / "growth.png").stat().st_size > 0


BAD: dict[str, tuple[nn.Module, Any, str]] = {
    "no stages": (nn.Linear(2, 2), 1, "got NoneType in Linear"),
    "empty": (nn.Module(), 1, "model.stages"),
    "every 0": (Staged(), 0, "every counts steps"),
    "every a float": (Staged(), 2.0, "got 2.0"),
    "every a bool": (Staged(), True, "got True"),
}
BAD["empty"][0].stages = nn.ModuleList()


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_watched_is_refused(case: str) -> None:
    model, every, message = BAD[case]
    with pytest.raises(TrainingError, match=message):
        Monitor(model, every)
