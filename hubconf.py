"""Entry points of torch.hub: `torch.hub.load("<owner>/pdenet", "eq3_small", num_classes=10)`.

One for each model of `pdenet.list_models()`, with newly drawn weights: there are no trained ones.
The arguments are those of `pdenet.create_model` behind the name.
"""

from collections.abc import Callable as _Callable
from typing import Any as _Any

from pdenet.network.convnet.models import create_model as _create_model
from pdenet.network.convnet.models import list_models as _list_models

dependencies = ["numpy", "opt_einsum", "safetensors", "sympy", "torch", "huggingface_hub"]


def _entry_point(name: str) -> _Callable[..., _Any]:
    def create(num_classes: int = 100, **options: _Any) -> _Any:
        return _create_model(name, num_classes, **options)

    create.__name__ = create.__qualname__ = name
    create.__doc__ = f"Return the model {name}; see pdenet.create_model for the arguments."
    return create


# torch.hub finds entry points by name among this file's functions.
globals().update({name: _entry_point(name) for name in _list_models()})
