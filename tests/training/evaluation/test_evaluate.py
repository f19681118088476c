"""Evaluating a classifier: what is measured, in which mode, and which mistakes are kept."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pdenet.errors import DataError
from pdenet.training.evaluation import evaluate as module
from pdenet.training.evaluation.evaluate import evaluate, picture_of

CLASSES = tuple("abcdef")


def batches(count: int = 5, size: int = 8, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randn(size, 3, 4, 4, generator=generator),
            torch.randint(0, 6, (size,), generator=generator),
        )
        for _ in range(count)
    ]


class Counting(nn.Module):
    """Linear, with a batch norm, so that the mode of the model is seen in what it returns."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.norm = nn.BatchNorm2d(3)
        self.linear = nn.Linear(48, 6)
        self.seen: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(len(x))
        logits: Tensor = self.linear(self.norm(x).flatten(1))
        return logits


def test_what_is_measured_is_what_the_model_returns_in_evaluation_mode() -> None:
    model, data = Counting().train(), batches()
    found = evaluate(model, data, CLASSES)
    assert model.training
    assert model.norm.num_batches_tracked == 0  # no statistics were gathered
    model.eval()
    images, labels = (torch.cat(part) for part in zip(*data, strict=True))
    with torch.no_grad():
        logits = model(images)
    ranking = logits.topk(5).indices
    assert found.metrics.count == 40
    assert found.metrics.top[1] == float((ranking[:, 0] == labels).double().mean())
    assert found.metrics.top[5] == float((ranking == labels[:, None]).any(1).double().mean())
    loss = float(nn.functional.cross_entropy(logits, labels))
    assert found.metrics.loss == pytest.approx(loss, rel=1e-6)  # float32 in other batches
    assert found.classes == CLASSES
    assert found.device.startswith("CPU")


def test_a_model_in_evaluation_mode_stays_in_it() -> None:
    model = Counting().eval()
    evaluate(model, batches(1), CLASSES)
    assert not model.training


def test_the_mode_comes_back_after_an_error() -> None:
    model = Counting().train()
    with pytest.raises(DataError, match="a column for each class"):
        evaluate(model, batches(1), CLASSES[:4])
    assert model.training


def test_no_gradient_is_recorded() -> None:
    recorded = []

    class Watching(Counting):
        def forward(self, x: Tensor) -> Tensor:
            logits = super().forward(x)
            recorded.append(logits.requires_grad)
            return logits

    evaluate(Watching(), batches(2), CLASSES)
    assert recorded
    assert not any(recorded)


def test_throughput_is_the_median_without_warm_up_and_smaller_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What the clock says when a batch's pass begins and when it ends: 2, 4, 1, 1000 and 0.001 s.
    times = itertools.chain.from_iterable((10.0 * k, 10.0 * k + s) for k, s in enumerate([2, 4, 1]))
    ticks = itertools.chain(times, [50.0, 1050.0, 2000.0, 2000.001])
    monkeypatch.setattr(module, "_now", lambda device: next(ticks))
    data = batches(4) + batches(1, size=3)
    model = Counting()
    found = evaluate(model, data, CLASSES)
    # 8/2, 8/4, 8/1, 8/1000 images a second; the fifth batch is smaller and is not asked.
    assert found.throughput == pytest.approx((4.0 + 2.0) / 2, rel=1e-12)
    assert model.seen == [8, 8, 8, 8, 8, 8, 3]  # the first twice more, before the clock
    assert found.metrics.count == 35  # and counted once


def test_the_most_confident_mistakes_are_kept_the_worst_first() -> None:
    data = batches(6)
    model = Counting()
    found = evaluate(model, iter(data), CLASSES, num_mistakes=7)
    model.eval()
    images, labels = (torch.cat(part) for part in zip(*data, strict=True))
    with torch.no_grad():
        shares = torch.softmax(model(images), dim=1)
    confidence, called = shares.max(dim=1)
    wrong = [k for k in range(len(labels)) if called[k] != labels[k]]
    worst = sorted(wrong, key=lambda k: -float(confidence[k]))[:7]
    assert [one.index for one in found.mistakes] == worst
    for one in found.mistakes:
        assert one.label == labels[one.index]
        assert one.predicted == called[one.index] != one.label
        # The same pass in batches of another size.
        assert one.confidence == pytest.approx(float(confidence[one.index]), rel=1e-5)
        np.testing.assert_array_equal(one.picture, picture_of(images[one.index], (0.0,), (1.0,)))


def test_equally_confident_mistakes_are_those_that_came_first() -> None:
    class Stubborn(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tensor([2.0, 0.0, 0.0]).repeat(len(x), 1)

    data = [(torch.zeros(4, 1, 2, 2), torch.ones(4, dtype=torch.int64)) for _ in range(3)]
    found = evaluate(Stubborn(), data, "abc", num_mistakes=5)
    assert [one.index for one in found.mistakes] == [0, 1, 2, 3, 4]
    assert evaluate(Stubborn(), data, "abc", num_mistakes=0).mistakes == ()


def test_a_network_that_emits_nan_is_measured_and_has_no_confident_mistake() -> None:
    class Lost(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.full((len(x), 6), math.nan)

    found = evaluate(Lost(), batches(2), CLASSES)
    assert found.metrics.accuracy == 0
    assert found.metrics.undecided.sum() == 16
    assert found.mistakes == ()


def test_a_picture_comes_back_as_it_was() -> None:
    levels = torch.arange(256, dtype=torch.float32).reshape(1, 16, 16).repeat(3, 1, 1)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    normalised = torch.stack(
        [(levels[k] / 255 - mean[k]) / std[k] for k in range(3)]
    )  # (channel, y, x)
    # Rounding moves a level by about 1e-5 of the half that would change it.
    np.testing.assert_array_equal(picture_of(normalised, mean, std), levels.numpy())
    assert picture_of(torch.full((1, 2, 2), math.inf), (0.0,), (1.0,)).max() == 255
    assert picture_of(torch.full((1, 2, 2), math.nan), (0.0,), (1.0,)).max() == 0
    assert picture_of(torch.full((1, 2, 2), -5.0), (0.0,), (1.0,)).max() == 0


def test_autocast_and_channels_last_change_rounding_only() -> None:
    plain = evaluate(Counting(), batches(), CLASSES)
    last = evaluate(Counting(), batches(), CLASSES, channels_last=True)
    narrow = evaluate(Counting(), batches(), CLASSES, amp=torch.bfloat16)
    assert last.metrics.loss == pytest.approx(plain.metrics.loss, rel=1e-5)
    # bfloat16 has 8 bits: logits of size 1 are 2⁻⁸ off.
    assert narrow.metrics.loss == pytest.approx(plain.metrics.loss, abs=1e-2)
    assert narrow.metrics.loss != plain.metrics.loss


def test_without_a_picture_there_is_nothing_to_measure() -> None:
    def none() -> Iterator[tuple[Tensor, Tensor]]:
        yield from ()

    with pytest.raises(DataError, match="got none"):
        evaluate(Counting(), none(), CLASSES)


def test_a_model_that_returns_something_else_is_refused() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x

    with pytest.raises(DataError, match="tuple"):
        evaluate(Two(), batches(1), CLASSES)


@pytest.mark.gpu
def test_a_gpu_measures_what_the_cpu_measures() -> None:
    plain = evaluate(Counting(), batches(), CLASSES)
    found = evaluate(Counting(), batches(), CLASSES, device="cuda")
    assert found.metrics.count == plain.metrics.count
    # TF32 is off for linear layers by default; sums are taken in another order.
    assert found.metrics.loss == pytest.approx(plain.metrics.loss, rel=1e-4)
    assert found.throughput > 0
    assert found.device == torch.cuda.get_device_name()
