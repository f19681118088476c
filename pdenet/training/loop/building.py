"""Building: the model and the penalties that the options of a run name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any  # options of a model

import torch
from torch import Tensor, nn

from pdenet.errors import TrainingError, suggest
from pdenet.network.convnet.classifier import Classifier
from pdenet.network.convnet.layout import Layout
from pdenet.network.convnet.models import create_model
from pdenet.training.data.loaders import Data
from pdenet.training.loop.options import TrainOptions


def build_model(options: TrainOptions, data: Data) -> Classifier:
    """Return the model that the options name, with newly drawn weights.

    Raises:
        UnknownNameError: there is no such model.
        NetworkError: an option of it makes no sense.
        TrainingError: it has no such option, or fewer classes than the data.
    """
    there = len(data.classes)
    classes = options.num_classes or there
    if classes < there:
        raise TrainingError(
            f"num_classes is at least that of the data, {there}; got {classes}; leave it out"
        )
    named: dict[str, Any] = dict(options.model_kwargs)
    known = inspect.signature(Classifier).parameters
    own = {"drop_rate": "drop", "drop_path_rate": "drop_path", "in_channels": "in_chans"}
    own |= {"num_classes": "num_classes", "pde": "model"}
    for name in named:
        if name in own:
            raise TrainingError(f"model_kwargs has {name!r}; that is the option {own[name]}")
        if name not in known:
            raise TrainingError(
                f"options of a model are {', '.join(k for k in known if k not in own)}; "
                f"model_kwargs has {name!r}.{suggest(name, known)}"
            )
    if "activation" in named and named["activation"] is None:  # "none" on the command line
        named["activation"] = "none"
    layout = named.get("layout")
    if isinstance(layout, Mapping):  # as it stands in a TOML file
        named["layout"] = Layout(**layout)
    return create_model(
        options.model,
        classes,
        in_channels=data.in_channels,
        drop_rate=options.drop,
        drop_path_rate=options.drop_path,
        **named,
    )


def penalty_of(options: TrainOptions, model: nn.Module) -> Callable[[], Tensor] | None:
    """Return the sum of the weighted penalties of a model, or None without any."""
    if not (options.depth_penalty or options.hyperbolicity_penalty):
        return None
    from pdenet.network.convnet import penalties

    terms: list[tuple[float, Callable[[nn.Module], Tensor]]] = []
    if options.depth_penalty:
        terms.append((options.depth_penalty, penalties.depth_variation))
    if options.hyperbolicity_penalty:
        terms.append((options.hyperbolicity_penalty, penalties.hyperbolicity))
    return lambda: torch.stack([weight * of(model) for weight, of in terms]).sum()
