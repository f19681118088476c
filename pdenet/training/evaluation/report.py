"""Report: measure a loaded classifier, and gather what the page shows of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any  # a config, which is JSON

import torch
from torch import nn

from pdenet.errors import NetworkError
from pdenet.network.convnet.config import recipe
from pdenet.training.evaluation.evaluate import evaluate, picture_of
from pdenet.training.evaluation.loading import Loaded, load_run
from pdenet.training.evaluation.maps import feature_maps
from pdenet.training.evaluation.page import Report


def evaluate_run(
    folder: str | Path,
    checkpoint: str = "best",
    *,
    average: bool = False,
    device: torch.device | str | None = None,
) -> Report:
    """Measure what `pdenet train` has written, on the data of the run.

    Args:
        folder: of the run, or of one checkpoint in it.
        checkpoint: "best" or "last".
        average: take the average of the weights.
        device: where to compute; by default the CPU.

    Raises:
        TrainingError: there is no such run.
        CheckpointError: every checkpoint is damaged.
        DataError: the data have other classes than the model.
    """
    return measured(load_run(Path(folder), checkpoint, average=average), device=device)


def measured(
    loaded: Loaded,
    *,
    device: torch.device | str | None = None,
    amp: torch.dtype | None = None,
    date: str | None = None,
) -> Report:
    """Measure a classifier on its validation data.

    Args:
        loaded: the classifier and its data.
        device: where to compute; by default the CPU.
        amp: a 16-bit type to compute in by autocast.
        date: as it shall stand on the page; by default today's.

    Raises:
        DataError: there is no picture, or the logits do not fit.
    """
    where = torch.device("cpu" if device is None else device)
    model, data = loaded.model, loaded.data
    evaluation = evaluate(
        model,
        data.val,
        loaded.classes,
        device=where,
        amp=amp,
        channels_last=loaded.channels_last,
        mean=data.mean,
        std=data.std,
    )
    images, labels = next(iter(data.val))
    equation, latex = equation_of(model)
    return Report(
        model=loaded.name,
        equation=equation,
        latex=latex,
        num_parameters=sum(p.numel() for p in model.parameters()),
        date=dt.date.today().isoformat() if date is None else date,
        source=loaded.source,
        dataset=loaded.dataset,
        evaluation=evaluation,
        history=loaded.history,
        shown=picture_of(images[0], data.mean, data.std),
        shown_label=loaded.classes[int(labels[0])],
        levels=feature_maps(model, images[0].to(where)),
    )


def equation_of(model: nn.Module) -> tuple[str, str]:
    """Return a model's equation as text and in LaTeX; "" where it has none, or only text."""
    written = getattr(model, "equation", "")
    config: Any = getattr(model, "config", None)
    text = written if isinstance(written, str) else ""
    if not isinstance(config, Mapping):
        return text, ""
    try:
        return text, recipe(config).pde.latex()
    except NetworkError:  # the equation is not in the catalogue
        return text, ""
