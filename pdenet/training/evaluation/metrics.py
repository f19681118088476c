"""Metrics: what a classifier gets right, counted batch by batch and over all ranks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist

from pdenet.errors import DataError


@dataclass(frozen=True)
class ClassMetrics:
    """How one class was recognised. NaN where there is nothing to divide by.

    Attributes:
        support: the number of its pictures.
        recall: which share of its pictures was recognised: the class's own accuracy.
        precision: which share of the pictures called so are so; NaN where no picture was called
            so.
        f1: the harmonic mean of both, 2 TP/(2 TP + FP + FN); NaN only for a class without
            pictures.
    """

    support: int
    recall: float
    precision: float
    f1: float


@dataclass(frozen=True, eq=False)
class Metrics:
    """What was counted over a data set.

    Attributes:
        count: the number of pictures N.
        loss: the mean cross-entropy −(1/N) Σ log p(label), in nats; NaN without pictures.
        top: k → the share of pictures whose label is among the k largest logits; NaN without
            pictures.
        confusion: shape (classes, classes), int64; the row is the true class, the column the
            predicted one.
        undecided: shape (classes,), int64: pictures of each class with a logit that is NaN. They
            are wrong at every k, and stand in no column.
    """

    count: int
    loss: float
    top: Mapping[int, float]
    confusion: np.ndarray
    undecided: np.ndarray

    @property
    def accuracy(self) -> float:
        """The share of pictures whose label has the largest logit: top-1."""
        return _ratio(int(np.trace(self.confusion)), self.count)

    @property
    def balanced_accuracy(self) -> float:
        """The mean recall of the classes that have pictures."""
        recalls = [row.recall for row in self.per_class() if row.support]
        return math.fsum(recalls) / len(recalls) if recalls else math.nan

    def per_class(self) -> tuple[ClassMetrics, ...]:
        """Return the metrics of each class, in the order of the classes."""
        hits = np.diagonal(self.confusion)
        supports = self.confusion.sum(axis=1) + self.undecided
        called = self.confusion.sum(axis=0)
        made = []
        for hit, support, calls in zip(
            hits.tolist(), supports.tolist(), called.tolist(), strict=True
        ):
            if support == 0:
                made.append(ClassMetrics(0, math.nan, math.nan, math.nan))
                continue
            f1 = _ratio(2 * hit, support + calls)
            made.append(ClassMetrics(support, _ratio(hit, support), _ratio(hit, calls), f1))
        return tuple(made)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


class Tally:
    """Counts predictions, batch by batch, without waiting for the device.

    A label is a hit at k when its rank, see `ranks`, is below k, and the class of rank 0 is the
    prediction.

    Args:
        num_classes: the number of classes.
        top: the values of k. One above the number of classes is taken as that number.
        device: where the counts are kept; that of the logits.

    Raises:
        DataError: there is no class, or a k is no positive int.

    Example:
        >>> tally = Tally(3, top=(1, 2))
        >>> tally.update(torch.tensor([[1.0, 3.0, 2.0]]), torch.tensor([2]))
        >>> tally.metrics().top
        {1: 0.0, 2: 1.0}
    """

    def __init__(
        self,
        num_classes: int,
        top: Sequence[int] = (1, 5),
        device: torch.device | str | None = None,
    ) -> None:
        if type(num_classes) is not int or num_classes < 1:
            raise DataError(
                f"a classifier is measured on at least one class; got {num_classes!r} classes; "
                "give it a head"
            )
        for k in top:
            if type(k) is not int or k < 1:
                raise DataError(f"each k of top-k is a positive int; got {k!r}; write top=(1, 5)")
        self.num_classes = num_classes
        self.top = tuple(top)
        # The column behind the last class is for pictures without a prediction.
        self._confusion = torch.zeros(
            num_classes, num_classes + 1, dtype=torch.int64, device=device
        )
        self._hits = torch.zeros(len(self.top), dtype=torch.int64, device=device)
        # float64: a million losses in float32 would lose four digits.
        self._loss = torch.zeros((), dtype=torch.float64, device=device)

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Count a batch.

        Args:
            logits: shape (batch, num_classes), of any floating type.
            labels: shape (batch,), int64.

        Raises:
            DataError: the shapes do not fit, or a label on the CPU is no class.
        """
        if logits.ndim != 2 or logits.shape[1] != self.num_classes:
            raise DataError(
                f"logits have shape (batch, {self.num_classes}), a column for each class; got "
                f"{tuple(logits.shape)}; give the model and the data the same classes"
            )
        if labels.shape != logits.shape[:1] or labels.dtype != torch.int64:
            raise DataError(
                f"labels are one int64 for each of the {logits.shape[0]} pictures; got "
                f"{str(labels.dtype).removeprefix('torch.')} of shape {tuple(labels.shape)}; "
                "mixed labels are for training only"
            )
        # On a GPU the question would wait for everything that runs there.
        if labels.device.type == "cpu" and len(labels):
            low, high = torch.aminmax(labels)
            if low < 0 or high >= self.num_classes:
                raise DataError(
                    f"labels are from 0 to {self.num_classes - 1}; got {int(low)} to {int(high)}; "
                    "give the model and the data the same classes"
                )
        device = self._confusion.device
        logits, labels = logits.detach().to(device, torch.float32), labels.to(device)
        predicted, rank = predictions(logits), ranks(logits, labels)
        for n, k in enumerate(self.top):
            self._hits[n] += (rank < min(k, self.num_classes)).sum()
        cells = labels * (self.num_classes + 1) + predicted
        # Sums of int64 are the same in any order; bincount would wait for the device.
        self._confusion.view(-1).index_add_(0, cells, torch.ones_like(cells))
        losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
        self._loss += losses.double().sum()

    def metrics(self) -> Metrics:
        """Return the metrics of all batches so far, of all ranks of a process group.

        Every rank has to call it, and gets the same. Counting can go on afterwards.
        """
        counts = torch.cat([self._confusion.view(-1), self._hits])
        loss = self._loss.clone()
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(counts)
            dist.all_reduce(loss)
        cells, hits = counts.cpu().split([self._confusion.numel(), len(self.top)])
        table = cells.reshape(self._confusion.shape).numpy()
        count = int(table.sum())
        return Metrics(
            count=count,
            loss=float(loss) / count if count else math.nan,
            top={k: _ratio(hit, count) for k, hit in zip(self.top, hits.tolist(), strict=True)},
            confusion=np.ascontiguousarray(table[:, :-1]),
            undecided=np.ascontiguousarray(table[:, -1]),
        )


def ranks(logits: Tensor, labels: Tensor) -> Tensor:
    """Return how many classes stand before each label: shape (batch,), int64.

    Those are the classes with a larger logit, and of those with an equal one the ones of a smaller
    index. So exactly k classes have a rank below k, whatever the ties, and a network that is
    constant is right about class 0 only: of the other rules one calls it right about every
    picture, and `topk` about any of several. ±∞ is larger or smaller than every number, and equal
    to itself. A row with a NaN is in no order: all its classes stand before the label.

    Example:
        >>> ranks(torch.tensor([[2.0, 3.0, 3.0], [0.0, 1.0, math.nan]]), torch.tensor([2, 1]))
        tensor([1, 3])
    """
    num_classes = logits.shape[1]
    own = logits.gather(1, labels[:, None])  # (batch, 1)
    classes = torch.arange(num_classes, device=logits.device)
    before = (logits > own) | ((logits == own) & (classes < labels[:, None]))
    # A comparison with NaN is false: without this the label of a row of NaNs would come first.
    return before.sum(dim=1).masked_fill(logits.isnan().any(dim=1), num_classes)


def predictions(logits: Tensor) -> Tensor:
    """Return the first class with the largest logit of each row, shape (batch,), int64.

    torch.argmax may return any of several largest. A row with a NaN has no prediction; the number
    of classes stands for it.
    """
    num_classes = logits.shape[1]
    is_largest = logits == logits.amax(dim=1, keepdim=True)
    classes = torch.arange(num_classes, device=logits.device)
    return torch.where(is_largest, classes, num_classes).amin(dim=1)
