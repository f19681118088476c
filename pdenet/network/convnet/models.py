"""Models: the published classifiers by name.

Liu, Shao & Bai (2023), arXiv 2308.01621. "nows" is "no weight sharing": each channel has kernels of
its own; "x6" counts the channels of the depthwise convolution in widths of a block. Eq. (7) has 3n
hidden channels with two kernels each, hence its x6.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any  # options of a classifier

from pdenet.equation.catalogue import catalogue
from pdenet.errors import UnknownNameError, suggest
from pdenet.network.convnet.classifier import Classifier

SMALL = "_small"
"""The ending of the names of the same models for pictures of 8 to 64 pixels."""

_PUBLISHED: Mapping[str, tuple[str, dict[str, Any]]] = {
    "eq2": ("eq2", {"directions": 4}),
    "eq3": ("eq3", {"directions": 4}),
    "eq3_nows": ("eq3", {"directions": 4, "share_kernels": False}),
    "eq3_nows_x6": ("eq3", {"directions": 6, "share_kernels": False}),
    "eq4": ("eq4", {"directions": 4}),
    "eq5": ("eq5", {"directions": 4}),
    "eq6": ("eq6", {"directions": 4}),
    "eq7_nows_x6": ("eq7", {"directions": 2, "share_kernels": False}),
}

# Eq. (2) has n³ coefficients a direction: 550 million in one block of 512 channels.
_SMALL_ONLY = {"eq2"}


def _models() -> dict[str, tuple[str, dict[str, Any]]]:
    made = {}
    for name, (equation, options) in _PUBLISHED.items():
        if name not in _SMALL_ONLY:
            made[name] = (equation, {**options, "layout": "resnet50"})
        made[name + SMALL] = (equation, {**options, "layout": "small"})
    return made


MODELS: Mapping[str, tuple[str, dict[str, Any]]] = MappingProxyType(_models())
"""For each model the name of its equation in the catalogue and the options that it fixes."""


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
        options: options of `pdenet.Classifier`; they replace those of the model.

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
    equation, fixed = MODELS[name]
    return Classifier(catalogue[equation], num_classes, **{**fixed, **options})
