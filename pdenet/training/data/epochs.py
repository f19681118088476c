"""Epochs: the batches of each part, in the same process or from workers, on one rank or many.

A batch is a pure function of (options, epoch, number of the batch, rank, number of ranks). Neither
the number of workers nor what was read before changes a bit of it, so an epoch may start anywhere.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from multiprocessing.context import BaseContext
from typing import Any  # torch declares what a collate function takes as a list

import numpy as np
import torch
from torch.utils.data import DataLoader

from pdenet.errors import DataError, DataWarning, TrainingError
from pdenet.training.data.building import Built, Task, TrainBuilder, ValBuilder
from pdenet.training.data.options import DataOptions
from pdenet.training.data.randomness import ORDER, generator

Batch = tuple[torch.Tensor, torch.Tensor]
"""Images, float32 of shape (batch, channel, height, width), normalised; and their targets."""

_SHOWN = 10  # bad files in one message


class TrainBatches:
    """The training batches of one rank.

    Every epoch is a random order of all samples, cut into batches; over the ranks each sample
    comes at most once. The last, incomplete batch is left out, unless it is the only one.

    Attributes:
        num_samples: of the training part, over all ranks.
    """

    def __init__(self, builder: TrainBuilder, options: DataOptions) -> None:
        self._part = _Part("the training part", builder, options)
        self._rank, self._world_size = builder.rank, builder.world_size
        self.num_samples = len(builder.source.labels)
        if self.num_samples < self._world_size:
            raise DataError(
                f"every rank has a sample to train on; got {self.num_samples} samples for "
                f"{self._world_size} ranks; use fewer"
            )

    def __len__(self) -> int:
        """Return the number of batches of an epoch, the same on every rank."""
        return max(1, self.num_samples // (self._part.options.batch_size * self._world_size))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, from number `start` on.

        Returns:
            Images and targets: int64 class numbers of shape (batch,), or float32 distributions of
            shape (batch, classes) where mixup, cutmix or smoothing is on.

        Raises:
            TrainingError: the epoch or the start is negative.
            DataError: more files are unreadable than `max_bad_files`.

        Warns:
            DataWarning: at the end, if some were passed over.
        """
        if epoch < 0 or not 0 <= start <= len(self):
            raise TrainingError(
                f"an epoch ≥ 0 and a start from 0 to {len(self)} were expected; got {epoch} and "
                f"{start}; count both from 0"
            )
        order = self._order(epoch)
        tasks = [Task(epoch, b, self._indices(order, b)) for b in range(start, len(self))]
        for built in self._part.stream(tasks):
            yield built.images, built.targets

    def name_batch(self, epoch: int, batch: int) -> str:
        """Name the samples of a batch: their paths, or "digit 17, digit 4, …"."""
        return self._part.names(self._indices(self._order(epoch), batch))

    def _order(self, epoch: int) -> np.ndarray:
        source = generator(self._part.options.seed, ORDER, epoch)
        return torch.randperm(self.num_samples, generator=source).numpy()

    def _indices(self, order: np.ndarray, batch: int) -> np.ndarray:
        size = self._part.options.batch_size
        if len(order) < size * self._world_size:
            return np.array_split(order, self._world_size)[self._rank]
        start = (batch * self._world_size + self._rank) * size
        return order[start : start + size]


class ValBatches:
    """The validation batches of one rank: over all ranks every sample comes exactly once.

    Attributes:
        num_samples: of the validation part, over all ranks.
    """

    def __init__(
        self, builder: ValBuilder, options: DataOptions, rank: int, world_size: int
    ) -> None:
        self._part = _Part("the validation part", builder, options)
        self.num_samples = len(builder.source.labels)
        own = np.arange(rank, self.num_samples, world_size)
        size = options.batch_size
        self._tasks = [
            Task(0, b, own[start : start + size])
            for b, start in enumerate(range(0, len(own), size))
        ]

    def __len__(self) -> int:
        """Return the number of batches; ranks may differ by one."""
        return len(self._tasks)

    def __iter__(self) -> Iterator[Batch]:
        """Yield images and their int64 class numbers.

        Raises:
            DataError: more files are unreadable than `max_bad_files`.

        Warns:
            DataWarning: at the end, if some were left out.
        """
        for built in self._part.stream(self._tasks):
            if len(built.targets):  # else all its files are unreadable
                yield built.images, built.targets

    def name_batch(self, batch: int) -> str:
        """Name the samples of a batch."""
        return self._part.names(self._tasks[batch].indices)


class _Part:
    """Builds the batches of one part, and keeps count of its unreadable files."""

    def __init__(self, name: str, builder: TrainBuilder | ValBuilder, options: DataOptions) -> None:
        self.name = name
        self.source = builder.source
        self.builder = builder
        self.options = options
        self.bad: dict[int, str] = {}
        self.stand_ins: dict[int, int] = {}

    def stream(self, tasks: Sequence[Task]) -> Iterator[Built]:
        """Build batches, and warn of bad files when all have been built."""
        known = len(self.bad)
        for built in _build_all(self.builder, tasks, self.options):
            self._record(built)
            yield built
        if len(self.bad) > known:
            warnings.warn(
                f"{len(self.bad)} unreadable files of {self.name} were passed over "
                f"(max_bad_files={self.options.max_bad_files}): {self._listed()}",
                DataWarning,
                stacklevel=3,
            )

    def names(self, indices: np.ndarray) -> str:
        """Name samples, and those that stand in for unreadable ones."""
        named = []
        for index in indices.tolist():
            name = self.source.name(index)
            if index in self.stand_ins:
                name += f" (unreadable; {self.source.name(self.stand_ins[index])} instead)"
            named.append(name)
        return ", ".join(named)

    def _record(self, built: Built) -> None:
        self.bad.update(built.bad)
        self.stand_ins.update(built.stand_ins)
        allowed = self.options.max_bad_files
        if len(self.bad) <= allowed:
            return
        if not allowed:
            raise DataError(next(iter(self.bad.values())))
        raise DataError(
            f"at most max_bad_files={allowed} unreadable files were expected in {self.name}; got "
            f"{len(self.bad)} so far: {self._listed()}; replace or remove them, or allow for more"
        )

    def _listed(self) -> str:
        some = [self.source.name(index) for index in sorted(self.bad)[:_SHOWN]]
        more = len(self.bad) - len(some)
        return ", ".join(some) + (f" and {more} more" if more else "")


def _build_all(
    builder: TrainBuilder | ValBuilder, tasks: Sequence[Task], options: DataOptions
) -> Iterator[Built]:
    """Build batches in order, here or in workers; workers end with the iterator."""
    if not options.workers:
        yield from map(builder.__getitem__, tasks)
        return
    loader = DataLoader(
        builder,
        batch_size=None,
        sampler=tasks,
        num_workers=min(options.workers, len(tasks)),
        collate_fn=_as_it_is,
        worker_init_fn=_end_with_parent,
        pin_memory=options.pin_memory,
        multiprocessing_context=_context() if tasks else None,
        generator=torch.Generator(),  # else it would draw from the global one
    )
    yield from loader


def _context() -> BaseContext:
    """Return how workers start.

    Not by fork: the training process has threads (OpenMP, CUDA, autograd), whose locks a forked
    child would inherit, locked for ever. A server that has loaded torch and nothing else is forked
    instead, and each epoch's workers start within milliseconds.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pdenet.training.data.epochs"])
    return context


def _as_it_is(built: Any) -> Any:
    """Return a batch unchanged: there is nothing left to gather."""
    return built


def _end_with_parent(worker: int) -> None:
    """End this worker when the training process is gone, even if it was killed.

    torch's workers watch the process that forked them. That is the server here, which in turn
    waits for its workers: together they would live for ever.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
