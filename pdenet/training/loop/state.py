"""State: what a checkpoint of a run holds besides the weights, gathered and restored.

Parameters, buffers, optimiser, average and guard are the same in every process; random states and
sums of losses are each one's own and are gathered from all.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any  # the state of a checkpoint

import torch
from torch import nn

from pdenet.errors import CheckpointError, TrainingError
from pdenet.training.data.loaders import Data
from pdenet.training.loop.checkpoint import Saved
from pdenet.training.loop.distributed import Ranks
from pdenet.training.loop.guard import Guard
from pdenet.training.loop.optimisers import ModelEma
from pdenet.training.loop.options import TrainOptions
from pdenet.training.loop.precision import Precision
from pdenet.training.loop.snapshots import random_state, set_random_state

# A run is resumed with these as they are: they say what its state means.
_FIXED: tuple[str, ...] = ("model", "model_kwargs", "num_classes", "in_chans", "batch_size")
_FIXED += ("grad_accum_steps", "opt", "layer_decay", "model_ema", "seed")
_FIXED += ("data_dir", "class_list", "tune", "img_size")


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        epoch: the present one, from 0.
        batch: the next batch of it.
        step: updates made.
        loss_sum: of the losses of this epoch, in this process.
        num_losses: how many those are.
        best: the best accuracy so far, in per cent; NaN before the first.
        history: a row of each epoch that is done.
        seconds: of work.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    num_losses: int = 0
    best: float = float("nan")
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Parts:
    """All that changes in training."""

    ranks: Ranks
    model: nn.Module
    optimizer: torch.optim.Optimizer
    precision: Precision
    guard: Guard
    ema: ModelEma | None


def description(options: TrainOptions, data: Data, model: nn.Module) -> dict[str, Any]:
    """Return what is needed to build the model anew and to feed it."""
    config = getattr(model, "config", None)
    return {
        "model": dict(config) if config else {"name": options.model},
        "classes": list(data.classes),
        "in_channels": data.in_channels,
        "image_size": data.image_size,
        "mean": list(data.mean),
        "std": list(data.std),
        "options": options.as_plain(),
    }


def gathered(parts: Parts, now: Progress) -> dict[str, Any]:
    """Return the state of a run; every process has to ask for it."""
    ranks = parts.ranks
    losses = ranks.gather(torch.tensor(now.loss_sum, dtype=torch.float64))
    return {
        "progress": dataclasses.asdict(now),
        "losses": losses.tolist(),
        "random": ranks.gather(random_state([ranks.device])),  # (process, byte)
        "optimizer": parts.optimizer.state_dict(),
        "precision": parts.precision.state_dict(),
        "ema": parts.ema.state_dict() if parts.ema else None,
        "guard": parts.guard.state_dict(),
        "guard_random": ranks.gather(parts.guard.random_states()),  # (process, snapshot, byte)
    }


def restored(parts: Parts, saved: Saved, options: TrainOptions) -> Progress:
    """Bring all parts to the state of a checkpoint, and return how far that is.

    Raises:
        TrainingError: the options or the number of processes are not those of the run.
        CheckpointError: the checkpoint holds weights only, or those of another model.
    """
    state: Any = saved.state
    if "progress" not in state:
        raise CheckpointError(
            f"a run goes on from a checkpoint `last`; got {str(saved.path)!r}, which holds the "
            "weights only; name the folder of the run"
        )
    old, new = state["options"], options.as_plain()
    for name in _FIXED:
        if old.get(name) != new.get(name):
            raise TrainingError(
                f"a run goes on with its own {name}, {old.get(name)!r}; got {new.get(name)!r}; "
                "leave it out, or begin a new run"
            )
    rank, size = parts.ranks.rank, parts.ranks.size
    if len(state["random"]) != size:
        raise TrainingError(
            f"a run of {len(state['random'])} processes goes on with as many; got {size}; start "
            "as many by torchrun"
        )
    try:
        parts.model.load_state_dict(saved.weights)
        parts.optimizer.load_state_dict(state["optimizer"])
        if state["precision"]:  # of float16
            parts.precision.load_state_dict(state["precision"])
        if parts.ema:
            parts.ema.load_state_dict(state["ema"])
        parts.guard.load_state_dict(state["guard"], state["guard_random"][rank])
        now = Progress(**{**state["progress"], "loss_sum": state["losses"][rank]})
        set_random_state([parts.ranks.device], state["random"][rank])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"a checkpoint of this model was expected; {str(saved.path)!r} is of another: "
            f"{error}; resume with the options that the run was started with"
        ) from error
    return now
