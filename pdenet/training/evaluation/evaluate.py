"""Evaluate: run a classifier over a validation set once, and keep what is worth looking at."""

from __future__ import annotations

import contextlib
import heapq
import math
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from pdenet.errors import DataError
from pdenet.training.evaluation.metrics import Metrics, Tally, predictions

_WARM_UP = 2
"""So often the first batch goes through the model before it is timed."""


@dataclass(frozen=True, eq=False)
class Mistake:
    """A picture that was called something else than it is.

    Attributes:
        index: its number in the order of the batches.
        picture: shape (channels, y, x), uint8.
        label: the true class.
        predicted: the class it was called.
        confidence: the probability that the network gave to that class.
    """

    index: int
    picture: np.ndarray
    label: int
    predicted: int
    confidence: float


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was measured.

    Attributes:
        classes: their names.
        metrics: of the whole data set, over all ranks.
        throughput: images a second; see `evaluate`. NaN without pictures.
        mistakes: the most confident ones, of this rank's pictures, the worst first.
        device: where it was computed.
    """

    classes: tuple[str, ...]
    metrics: Metrics
    throughput: float
    mistakes: tuple[Mistake, ...]
    device: str


def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    classes: Sequence[str],
    *,
    device: torch.device | str | None = None,
    amp: torch.dtype | None = None,
    channels_last: bool = False,
    top: Sequence[int] = (1, 5),
    num_mistakes: int = 24,
    mean: Sequence[float] = (0.0,),
    std: Sequence[float] = (1.0,),
) -> Evaluation:
    """Measure a classifier. It is in evaluation mode meanwhile, and then in that it was in.

    Throughput is the median over batches of (images of the batch)/(seconds from the call of the
    model to its last kernel's end); reading and copying pictures is not in it. The first batch
    goes through the model twice more beforehand, untimed: kernels are chosen and memory is
    allocated then. Batches smaller than the first are left out of the median.

    Args:
        model: pictures, shape (batch, channels, y, x) → logits, shape (batch, classes).
        batches: pictures, float32, and labels, int64 of shape (batch,).
        classes: their names, in the order of the labels.
        device: where to compute; by default where the model's parameters are. The model is moved.
        amp: a 16-bit type to compute in by autocast.
        channels_last: whether to have channels innermost in memory.
        top: the values of k of top-k.
        num_mistakes: how many mistakes to keep.
        mean: by channel, or one for all: what was subtracted from pictures with values from 0 to 1.
        std: by which they were then divided.

    Raises:
        DataError: logits and classes do not fit, or there is no picture on any rank.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
        >>> batch = torch.zeros(3, 1, 2, 2), torch.tensor([0, 1, 1])
        >>> evaluate(model, [batch], ("cat", "dog")).metrics.count
        3
    """
    where = torch.device(device) if device is not None else _device_of(model)
    model.to(where)
    if channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not declared
    tally = Tally(len(classes), top, where)
    seconds: list[tuple[int, float]] = []
    kept = _Worst(num_mistakes)
    start = 0
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode(), _narrow(where, amp):
            for images, labels in batches:
                shown = images.to(where)
                if channels_last:
                    shown = shown.contiguous(memory_format=torch.channels_last)
                for _ in range(0 if start else _WARM_UP):
                    model(shown)
                began = _now(where)
                logits = model(shown)
                seconds.append((len(images), _now(where) - began))
                if not isinstance(logits, Tensor):
                    raise DataError(
                        "a classifier returns logits, one tensor; got "
                        f"{type(logits).__name__}; evaluate a classifier"
                    )
                tally.update(logits, labels)
                kept.look(start, images, labels, logits)
                start += len(images)
    finally:
        model.train(was_training)
    metrics = tally.metrics()
    if not metrics.count:
        raise DataError("a classifier is measured on pictures; got none; check the data folder")
    return Evaluation(
        classes=tuple(classes),
        metrics=metrics,
        throughput=_throughput(seconds),
        mistakes=kept.mistakes(mean, std),
        device=_named(where),
    )


def picture_of(image: Tensor, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Return a normalised image as it was: shape (channels, y, x), uint8.

    Args:
        image: shape (channels, y, x), float.
        mean: by channel, or one for all.
        std: likewise.
    """
    shape = (-1, 1, 1)
    shift, scale = (torch.tensor(tuple(v), dtype=torch.float64).view(shape) for v in (mean, std))
    values = image.detach().cpu().double() * scale + shift
    levels = (255.0 * values.nan_to_num(0.0)).clamp(0.0, 255.0).round()
    return levels.to(torch.uint8).numpy()


class _Worst:
    """The most confident mistakes so far; of equally confident ones those that came first."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._heap: list[tuple[float, int, int, int, Tensor]] = []  # the least confident on top

    def look(self, start: int, images: Tensor, labels: Tensor, logits: Tensor) -> None:
        if not self._count:
            return
        called = predictions(logits.float())
        confidence = torch.softmax(logits.float(), dim=1).amax(dim=1)
        # One row each, so that the device is asked once.
        answers = torch.stack([called.double(), confidence.double()]).cpu()
        truth = labels.cpu()
        wrong = (answers[0] != truth) & answers[1].isfinite()
        for k in wrong.nonzero().flatten().tolist():
            entry = (float(answers[1, k]), -(start + k), int(truth[k]), int(answers[0, k]))
            if len(self._heap) < self._count:
                heapq.heappush(self._heap, (*entry, images[k].cpu().clone()))
            elif entry[:2] > self._heap[0][:2]:
                heapq.heapreplace(self._heap, (*entry, images[k].cpu().clone()))

    def mistakes(self, mean: Sequence[float], std: Sequence[float]) -> tuple[Mistake, ...]:
        # No two have the same index, so that tensors are never compared.
        return tuple(
            Mistake(-place, picture_of(image, mean, std), label, predicted, confidence)
            for confidence, place, label, predicted, image in sorted(self._heap, reverse=True)
        )


def _throughput(seconds: Sequence[tuple[int, float]]) -> float:
    if not seconds:
        return math.nan
    full = seconds[0][0]
    return statistics.median(n / max(s, 1e-9) for n, s in seconds if n >= full)


def _device_of(model: nn.Module) -> torch.device:
    first = next(model.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _narrow(
    device: torch.device, dtype: torch.dtype | None
) -> contextlib.AbstractContextManager[object]:
    if dtype is None:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=dtype)


def _named(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' * (threads != 1)}"
