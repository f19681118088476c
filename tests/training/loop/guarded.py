"""What the guard's tests share: a small run under a guard, and two processes under one."""

from __future__ import annotations

import copy
import json
import math
from datetime import timedelta
from pathlib import Path
from typing import Any  # options of the guard

import torch
from torch import Tensor, distributed, nn

from pdenet.training.loop.guard import Guard
from pdenet.training.loop.optimisers import ModelEma, create_optimizer

FINE = torch.tensor(1.0)
INFINITE = torch.tensor(math.inf)
NAN = torch.tensor(math.nan)


class Run:
    """A small classifier of noise with batch norm and dropout, its optimiser and its guard."""

    def __init__(self, opt: str = "momentum", seed: int = 0, **options: Any) -> None:
        torch.manual_seed(seed)
        self.model = nn.Sequential(
            nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 3)
        )
        # Slow, so that the losses of snapshots stay within a factor of 2.
        self.optimizer = create_optimizer(self.model, opt, lr=1e-3, weight_decay=0.01)
        self.ema = ModelEma(self.model)
        self.guard = Guard(self.model, self.optimizer, ema=self.ema, **options)
        self.step = 0

    def loss(self, size: float = 1.0) -> Tensor:
        """The loss of the next batch; its gradients are there."""
        generator = torch.Generator().manual_seed(self.step)
        x = size * torch.randn(16, 5, generator=generator)
        target = torch.randint(3, (16,), generator=generator)
        loss = nn.functional.cross_entropy(self.model(x), target)
        loss.backward()
        return loss

    def update(self, times: int = 1) -> None:
        """Good updates; the next random numbers are drawn by dropout."""
        for _ in range(times):
            assert self.guard.is_good(self.loss(), FINE)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.ema.update(self.model)
            self.step += 1
            self.guard.after_update(self.step)

    def trip(self, batch: int = 0) -> None:
        assert not self.guard.is_good(NAN, FINE)
        self.guard.trip(0, batch, f"batch {batch}")

    def state(self) -> dict[str, Tensor]:
        """All that must come back, by name; copied."""
        made = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        made |= {f"ema.{k}": v for k, v in self.ema.state_dict().items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            made |= {f"optimizer.{index}.{k}": v for k, v in values.items()}
        made["random"] = torch.get_rng_state()
        return copy.deepcopy({k: v for k, v in made.items() if isinstance(v, Tensor)})


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def one_of_two(rank: int, store: Path, answer: Path) -> None:
    """Take part in a guard of two processes; write what it said, and how often it went back."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{store}",
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=60),
    )
    torch.manual_seed(0)
    linear, norm = nn.Linear(2, 2), nn.BatchNorm1d(2)
    model = nn.Sequential(linear, norm)
    guard = Guard(
        model, create_optimizer(model), every=1, max_loss=90.0, group=distributed.group.WORLD
    )
    one, nan = torch.tensor(1.0), torch.tensor(math.nan)
    said: list[bool] = []

    def see(loss: Tensor, size: Tensor) -> None:
        good = guard.is_good(loss, size)
        if not good:
            guard.trip(0, len(said), "x")
        said.append(good)

    see(one, one)
    guard.after_update(1)
    see(nan if rank == 1 else one, one)
    see(one, nan if rank == 0 else one)
    see(torch.tensor(100.0) if rank == 1 else one, one)
    if rank == 1:
        assert norm.running_var is not None
        norm.running_var[0] = math.inf
    see(one, one)
    see(one, one)
    # One process alone has a state that is not finite: nobody takes a snapshot.
    if rank == 0:
        linear.weight.data[0, 0] = math.nan
    said.append(guard.is_sound())
    guard.after_update(2)
    # Only the second process saw a large loss after its snapshot: both go back further.
    linear.weight.data.zero_()
    for step in range(3, 5):
        said.append(guard.is_good(one if step < 4 or rank == 0 else 50 * one, one))
        guard.after_update(step)
    see(nan if rank == 0 else one, one)
    distributed.destroy_process_group()
    what = [trip.what for trip in guard.trips]
    back = [trip.back_to for trip in guard.trips]
    answer.write_text(json.dumps([said, what, back, guard.lr_scale]))
