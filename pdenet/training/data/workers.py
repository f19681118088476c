"""Workers: batches built one after the other in this process, or ahead of time in others."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from multiprocessing.context import BaseContext
from typing import Any  # torch declares what a collate function takes as a list

import torch
from torch.utils.data import DataLoader

from pdenet.training.data.building import Built, Task, TrainBuilder, ValBuilder
from pdenet.training.data.options import DataOptions


def build_all(
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
    context.set_forkserver_preload(["pdenet.training.data.workers"])
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
