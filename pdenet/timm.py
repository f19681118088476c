"""timm: `import pdenet.timm` makes every model known to timm, as "pdenet_eq3" and so on.

Example:
    >>> import timm
    >>> import pdenet.timm
    >>> timm.list_models("pdenet_eq7*")
    ['pdenet_eq7_nows_x6', 'pdenet_eq7_nows_x6_small']
    >>> model = timm.create_model("pdenet_eq3_small", num_classes=10, in_chans=1)
    >>> model.default_cfg["input_size"]
    (3, 32, 32)
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any  # what timm passes on

from torch import nn

from pdenet.errors import CheckpointError, MissingExtraError, UnknownNameError, suggest
from pdenet.network.convnet.activation import Hardball, Softball
from pdenet.network.convnet.classifier import Classifier
from pdenet.network.convnet.config import MODELS
from pdenet.network.convnet.layout import Layout, settled_layout
from pdenet.network.convnet.models import create_model, list_models
from pdenet.network.convnet.stage import Stage
from pdenet.network.convnet.weights import read_tensors

try:
    from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
    from timm.models import (
        build_model_with_cfg,
        generate_default_cfgs,
        is_model,
        register_model,
        register_notrace_module,
    )
    from timm.models import create_model as create_timm_model
    from timm.models import list_models as list_timm_models
except (ImportError, RuntimeError) as error:  # RuntimeError: torchvision made for another torch
    raise MissingExtraError(
        f"pdenet.timm needs timm, of the extra 'timm'; it cannot be imported ({error}); run "
        "`pip install 'pdenet[timm]'`, with a torchvision that was made for the torch you have"
    ) from error

PREFIX = "pdenet_"
"""What the names of our models begin with in timm's registry."""

__all__: list[str] = []  # timm adds the entry points


def _layout(name: str, options: dict[str, Any]) -> Layout:
    return settled_layout(options.get("layout", MODELS[name][1]["layout"]))


def _config(name: str) -> dict[str, Any]:
    """Return what timm's scripts read about a model; no weights are published in this form."""
    layout = _layout(name, {})
    is_pooled = layout.stem == "pooled"
    size = 224 if is_pooled else 32
    points = size // layout.reductions[-1]
    return {
        "num_classes": 1000,
        "input_size": (3, size, size),
        "pool_size": (points, points),
        # Of pictures that small the whole is looked at, as is usual for CIFAR.
        "crop_pct": 0.875 if is_pooled else 1.0,
        "interpolation": "bicubic",
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "first_conv": "stem.0",
        "classifier": "head",
        "license": "mit",
        "paper_name": (
            "A Novel Convolutional Neural Network Architecture with a Continuous Symmetry"
        ),
        "paper_ids": "arXiv:2308.01621",
    }


default_cfgs = generate_default_cfgs({PREFIX + name: _config(name) for name in list_models()})
"""timm's configurations by name, where `register_model` looks for them."""


def _classifier(name: str, *, num_classes: int, in_chans: int = 3, **options: Any) -> Classifier:
    return create_model(name, num_classes, in_channels=in_chans, **options)


def _entry_point(name: str) -> Callable[..., nn.Module]:
    def build(pretrained: bool = False, **options: Any) -> nn.Module:
        levels = 1 + len(_layout(name, options).widths)
        made: nn.Module = build_model_with_cfg(
            partial(_classifier, name),
            PREFIX + name,
            pretrained,
            feature_cfg={"out_indices": tuple(range(levels)), "flatten_sequential": True},
            **options,
        )
        return made

    # timm registers a function under its own name, and finds the configuration in its module.
    build.__name__ = build.__qualname__ = PREFIX + name
    build.__module__ = __name__
    build.__doc__ = (
        f"Return pdenet's model {name!r}, for timm.\n\n"
        "    Options are those of `pdenet.Classifier` and of `timm.create_model`; see there."
    )
    return build


def model_of_timm(name: str, weights: str | os.PathLike[str] | None = None) -> nn.Module:
    """Return any model of timm, in evaluation mode.

    Args:
        name: one of `timm.list_models()`.
        weights: a safetensors file of its weights; without it they are newly drawn. Its number of
            classes is the model's.

    Raises:
        UnknownNameError: timm has no model of that name.
        CheckpointError: the file is missing or damaged, or its weights do not fit the model.
    """
    if not is_model(name):
        near = [found for found in list_timm_models() if name[:3] in found]
        raise UnknownNameError(
            f"a model of timm was expected; got {name!r}.{suggest(name, near or ['resnet18'])}"
        )
    if weights is None:
        new: nn.Module = create_timm_model(name).eval()
        return new
    tensors, _ = read_tensors(weights)
    model: Any = create_timm_model(name)  # timm has no annotations
    head = tensors.get(f"{model.default_cfg.get('classifier')}.weight")
    if head is not None and len(head) != model.num_classes:
        model = create_timm_model(name, num_classes=len(head))
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(
            f"weights of timm's {name} were expected; those in {str(weights)!r} do not fit: "
            f"{error}; name the model that they belong to"
        ) from error
    made: nn.Module = model.eval()
    return made


# A stage computes its sizes and chooses by them, so torch.fx takes it as one node.
for _module in (Stage, Softball, Hardball):
    register_notrace_module(_module)
for _name in list_models():
    globals()[PREFIX + _name] = register_model(_entry_point(_name))
