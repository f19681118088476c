"""Models: the published classifiers by name, and classifiers as they were saved.

See `config` for the table of names.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any  # options of a classifier

from pdenet.equation.pde import PDE
from pdenet.errors import UnknownNameError, suggest
from pdenet.network.convnet.classifier import Classifier
from pdenet.network.convnet.config import MODELS
from pdenet.network.convnet.weights import load_weights, read_config


def list_models(filter: str = "") -> list[str]:  # noqa: A002  # the name that timm's users know
    """Return the names of all models, or of those that contain `filter`.

    Example:
        >>> list_models("eq7")
        ['eq7_nows_x6', 'eq7_nows_x6_small']
    """
    return sorted(name for name in MODELS if filter in name)


def create_model(name: str, num_classes: int = 100, **options: Any) -> Classifier:
    """Return one of the published classifiers, with newly drawn weights.

    Args:
        name: one of `list_models()`.
        num_classes: the number of classes.
        options: options of `pdenet.Classifier`; they replace those of the model. With
            `fused=True` or `folded_stages=` batch norms are folded, with `unit_rows=` rows are left
            out, as in the config of such a model.

    Raises:
        UnknownNameError: there is no model of that name.
        NetworkError: an option makes no sense.

    Example:
        >>> sum(p.numel() for p in create_model("eq3", num_classes=100).parameters())
        8608868
    """
    if name not in MODELS:
        raise UnknownNameError(
            f"models are {', '.join(list_models())}; got {name!r}.{suggest(str(name), MODELS)}"
        )
    return Classifier.from_config({**options, "name": name, "num_classes": num_classes})


def classifier_from_config(config: Mapping[str, Any], pde: PDE | None = None) -> Classifier:
    """Return the classifier that a config describes, with newly drawn weights.

    Args:
        config: what `Classifier.config` gave.
        pde: the equation, where it is not in the catalogue.

    Raises:
        NetworkError: the config is none, or needs an equation.

    Example:
        >>> model = create_model("eq3_small", 10, in_channels=1)
        >>> classifier_from_config(model.config).config == model.config
        True
    """
    return Classifier.from_config(config, pde)


def load_classifier(
    path: str | os.PathLike[str], pde: PDE | None = None, *, allow_non_finite: bool = False
) -> Classifier:
    """Return the classifier that `save_weights` wrote, in evaluation mode.

    Args:
        path: a safetensors file.
        pde: the equation, where it is not in the catalogue.
        allow_non_finite: whether NaN and infinity may be read.

    Raises:
        CheckpointError: the file is missing or damaged, or says nothing of its model.
        NetworkError: it needs an equation, or its tensors do not fit its own config.
    """
    model = Classifier.from_config(read_config(path), pde).eval()
    load_weights(model, path, allow_non_finite=allow_non_finite)
    return model
