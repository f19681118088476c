"""Distributed: the processes that train together, as `torchrun` starts them.

`torchrun --nproc-per-node 2 -m pdenet train …` sets RANK, WORLD_SIZE and LOCAL_RANK, from which
each process learns its place: one a GPU with nccl, or any number on the CPU with gloo. Without
these variables there is one process, and everything here costs nothing.

Every process draws its own batches. DistributedDataParallel averages the gradients; buffers (the
running statistics of batch norm) are averaged here after each update, so that all processes are
in the same state at all times, and one of them can save it for all.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import inspect
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any  # options whose names depend on the version

import torch
import torch.distributed as dist
from torch import Tensor, nn

from pdenet.backends.devices import cpu_or_gpu
from pdenet.errors import TrainingError

_TIMEOUT = dt.timedelta(minutes=30)
"""Longer than the slowest validation of one process while the others wait."""


@dataclass(frozen=True, eq=False)
class Ranks:
    """The place of this process among those that train together.

    Attributes:
        device: where it computes.
        rank: its number, from 0.
        size: how many they are.
        group: what the collective operations go through; None for a single process.
    """

    device: torch.device
    rank: int = 0
    size: int = 1
    group: dist.ProcessGroup | None = None

    @property
    def is_first(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """Return a module that also averages the gradients over all processes."""
        if self.group is None:
            return model
        # The name changed in PyTorch 2.13, which warns of the old one.
        names = inspect.signature(nn.parallel.DistributedDataParallel).parameters
        new, old = "forward_sync_buffers", "broadcast_buffers"
        options: dict[str, Any] = {new if new in names else old: False}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*find_unused_parameters")
            return nn.parallel.DistributedDataParallel(
                model,
                device_ids=[self.device] if self.device.type == "cuda" else None,
                process_group=self.group,
                **options,
                # With it, the order in which gradients are summed is that of the first batch for
                # ever. Otherwise it changes after one batch, and of three summands or more the
                # sum is then rounded differently in a run that has been resumed.
                find_unused_parameters=self.size > 2,
            )

    def accumulating(
        self, net: nn.Module, is_last: bool
    ) -> contextlib.AbstractContextManager[object]:
        """Keep gradients at home during all but the last batch of an update."""
        if isinstance(net, nn.parallel.DistributedDataParallel) and not is_last:
            return net.no_sync()
        return contextlib.nullcontext()

    def any(self, flag: bool) -> bool:
        """Whether it is true in any process."""
        if self.group is None:
            return flag
        flags = torch.tensor(int(flag), device=self.device)
        dist.all_reduce(flags, op=dist.ReduceOp.MAX, group=self.group)
        return bool(flags)

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over all processes, on the CPU, in each of them."""
        if self.group is None:
            return values.cpu()
        total = values.to(self.device, copy=True)
        dist.all_reduce(total, group=self.group)
        return total.cpu()

    def gather(self, values: Tensor) -> Tensor:
        """Return the values of all processes, shape `(size, …)`, on the CPU, in each of them."""
        if self.group is None:
            return values[None].cpu()
        mine = values.to(self.device)
        rows = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(rows, mine, group=self.group)
        return torch.stack(rows).cpu()

    def text(self, text: str) -> str:
        """Return the first process's text in all of them."""
        if self.group is None:
            return text
        content = torch.tensor(list(text.encode()), dtype=torch.uint8)
        length = torch.tensor(len(content), device=self.device)
        dist.broadcast(length, 0, group=self.group)
        sent = torch.zeros(int(length), dtype=torch.uint8, device=self.device)
        if self.is_first:
            sent.copy_(content)
        dist.broadcast(sent, 0, group=self.group)
        return bytes(sent.tolist()).decode()

    @torch.no_grad()
    def average_buffers(self, model: nn.Module) -> None:
        """Replace each floating-point buffer by its mean over all processes."""
        buffers = [b for b in model.buffers() if b.is_floating_point()]
        if self.group is None or not buffers:
            return
        flat = torch.cat([b.reshape(-1) for b in buffers])
        dist.all_reduce(flat, group=self.group)
        flat /= self.size
        parts = flat.split([b.numel() for b in buffers])
        for buffer, part in zip(buffers, parts, strict=True):
            buffer.copy_(part.view_as(buffer))


@contextlib.contextmanager
def joined(device: str = "auto") -> Iterator[Ranks]:
    """Join the processes that `torchrun` started, and leave them at the end.

    Args:
        device: "auto", "cpu", "cuda" or "cuda:1". Of several processes each takes the GPU of its
            local rank.

    Raises:
        TrainingError: there is no such device, or the variables of torchrun are not complete.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    given = {name: os.environ[name] for name in names if name in os.environ}
    if not given or given.get("WORLD_SIZE") == "1":
        yield Ranks(cpu_or_gpu("device", device, TrainingError))
        return
    try:
        rank, size, local = (int(given[name]) for name in names)
    except (KeyError, ValueError) as error:
        raise TrainingError(
            f"processes that train together know {', '.join(names)} as numbers; got {given}; "
            "start them by torchrun, or unset these variables"
        ) from error
    where = cpu_or_gpu("device", device, TrainingError, local)
    backend = "nccl" if where.type == "cuda" else "gloo"
    if where.type == "cuda":
        torch.cuda.set_device(where)
    dist.init_process_group(backend, rank=rank, world_size=size, timeout=_TIMEOUT)
    try:
        yield Ranks(where, rank, size, dist.group.WORLD)
    finally:
        dist.destroy_process_group()


def sync_batch_norm(model: nn.Module, ranks: Ranks) -> nn.Module:
    """Let batch norm use the statistics of all processes' batches together.

    Raises:
        TrainingError: they compute on CPUs.
    """
    if ranks.device.type != "cuda":
        raise TrainingError(
            f"sync_bn is for GPUs; got the device {str(ranks.device)!r}; leave it out: running "
            "statistics are averaged over the processes without it"
        )
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)
