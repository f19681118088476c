"""Checkpoints that tests save and read."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from pdenet.training.loop.checkpoint import Checkpoints


def weights_at(step: int) -> dict[str, torch.Tensor]:
    return {"a": torch.full((40, 3), float(step)), "b": torch.full((7,), step, dtype=torch.int64)}


def save(checkpoints: Checkpoints, *steps: int, kind: str = "last") -> None:
    for step in steps:
        checkpoints.save(kind, step, weights_at(step), {"step": step, "t": torch.tensor([step])})


def names_in(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def loaded_step(folder: Path, kind: str = "last") -> int:
    """Load, see that every part is of one step, and return it."""
    saved = Checkpoints(folder).load(kind)
    assert saved is not None
    assert saved.weights.keys() == {"a", "b"}
    for value in saved.weights.values():
        assert torch.equal(value, torch.full_like(value, saved.step))
    assert saved.state == {"step": saved.step, "t": torch.tensor([saved.step])}
    return saved.step
