"""Optimisers: by name, with groups for weight decay and layer decay; and the moving average."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any  # keywords of optimisers

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from pdenet.checks import check_choice
from pdenet.errors import TrainingError
from pdenet.training.loop import kinds
from pdenet.training.loop.finite import named_values

_Make = Callable[..., torch.optim.Optimizer]
_Tensors = tuple[Tensor, ...] | list[Tensor]

_WITH_MOMENTUM: dict[str, _Make] = {
    "sgd": torch.optim.SGD,
    "momentum": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}
_WITH_BETAS: dict[str, _Make] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
}
OPTIMIZERS = (*_WITH_MOMENTUM, *_WITH_BETAS)
"""The names of optimisers; "sgd" is Nesterov's, "momentum" the plain one, as in timm."""

_BELOW_ONE = kinds.number(0.0, 1.0, below=True)

_SAME_LAYER = 99999
"""timm's mark for what belongs to the layer before it, such as a norm at the end."""


def create_optimizer(
    model: nn.Module,
    opt: str = "sgd",
    lr: float = 0.1,
    weight_decay: float = 0.0,
    momentum: float = 0.9,
    *,
    betas: tuple[float, float] | None = None,
    eps: float | None = None,
    layer_decay: float | None = None,
) -> torch.optim.Optimizer:
    """Return an optimiser of all parameters of a model that are trained.

    Biases, scales and shifts (all of one dimension or none) do not decay, nor do the parameters
    that `model.no_weight_decay()` names, where it has such a method.

    Args:
        model: the module.
        opt: one of `OPTIMIZERS`.
        lr: the learning rate at which groups begin.
        weight_decay: the factor of decay.
        momentum: of "sgd", "momentum" and "rmsprop".
        betas: of the Adam family; None for torch's.
        eps: of the Adam family and "rmsprop"; None for torch's.
        layer_decay: the rate of each layer is so many times that of the layer above it; the layers
            are those of `model.group_matcher()`. Each group then has an "lr_scale".

    Raises:
        TrainingError: there is no such optimiser, a number is out of its range, nothing is
            trained, or the model does not say its layers.
    """
    check_choice("opt", opt, OPTIMIZERS, TrainingError)
    for name, value in (("lr", lr), ("weight_decay", weight_decay)):
        kinds.number(0.0).check(name, value, 0.1)
    _BELOW_ONE.check("momentum", momentum, 0.9)
    if betas is not None:
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise TrainingError(f"betas are two numbers; got {betas!r}. Use (0.9, 0.999).")
        for beta in betas:
            _BELOW_ONE.check("betas", beta, 0.9)
    kinds.number(0.0).check("eps", eps, None)
    groups = _groups(model, weight_decay, layer_decay)
    for group in groups:
        group["lr"] = lr * group["lr_scale"]
    options: dict[str, Any] = {"lr": lr}
    if eps is not None and opt in ("rmsprop", *_WITH_BETAS):
        options["eps"] = eps
    if opt in _WITH_BETAS:
        return _WITH_BETAS[opt](groups, **options, **({} if betas is None else {"betas": betas}))
    # Nesterov's form needs a momentum.
    nesterov = {"nesterov": True} if opt == "sgd" and momentum > 0 else {}
    return _WITH_MOMENTUM[opt](groups, momentum=momentum, **options, **nesterov)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give each group of an optimiser this learning rate, times its "lr_scale" if it has one."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)


def layers_of(names: Sequence[str], matcher: Mapping[str, Any]) -> dict[str, int]:
    """Return the layer of each parameter, 0 at the input, as timm's `group_matcher` says it.

    Args:
        names: of parameters.
        matcher: kind of layer → a regular expression of the beginning of its names, whose groups
            are numbers that count layers of this kind; or several (expression, suffix) pairs. The
            order of the kinds is that of the layers. What matches none is last.
    """
    kinds: list[tuple[re.Pattern[str], int, tuple[float, ...]]] = []
    for order, expressions in enumerate(matcher.values()):
        pairs = [(expressions, None)] if isinstance(expressions, str) else expressions or ()
        kinds += [(re.compile(text), order, tuple(suffix or ())) for text, suffix in pairs]

    def place(name: str) -> tuple[float, ...]:
        for expression, order, suffix in kinds:
            match = expression.match(name)
            if match:
                return (order, *(float(part) for part in match.groups() if part), *suffix)
        return (math.inf,)

    places = {name: place(name) for name in names}
    layers: dict[tuple[float, ...], int] = {}
    layer = -1
    for one in sorted(set(places.values())):
        layer += layer < 0 or one[-1] != _SAME_LAYER
        layers[one] = layer
    return {name: layers[place] for name, place in places.items()}


class ModelEma(AveragedModel):
    """The exponential moving average of a model: `module`, a copy in evaluation mode.

    a ← d a + (1 − d) p after each update; buffers are copied, since those of batch norm are
    averages already. With `warmup` d = min(decay, (1 + t)/(10 + t)) at the t-th update, t from 1:
    otherwise the start would weigh on a short run to its end.

    `state_dict` holds the copy and how many states it is an average of, all plain tensors.
    """

    def __init__(self, model: nn.Module, decay: float = 0.9998, warmup: bool = True) -> None:
        """Copy a model.

        Args:
            model: the bare module.
            decay: d above, below 1.
            warmup: whether d grows to it.

        Raises:
            TrainingError: d is out of range.
        """
        _BELOW_ONE.check("decay", decay, 0.9998)

        def average(mine: _Tensors, now: _Tensors, t: Tensor | int) -> None:
            d = min(decay, (1 + int(t)) / (10 + int(t))) if warmup else decay
            # lerp: a + (1 − d)(p − a), exact where p = a.
            torch._foreach_lerp_(mine, now, 1.0 - d)

        super().__init__(model, multi_avg_fn=average)
        self.eval().requires_grad_(False)
        self.update_parameters(model)  # the start is the first of the states

    def update(self, model: nn.Module) -> None:
        """Take the parameters after an update into account.

        Raises:
            TrainingError: the model is another one than was copied.
        """
        differ = named_values(model).keys() ^ named_values(self.module).keys()
        if differ:  # which torch would pair by their order, as far as they go
            raise TrainingError(
                f"The average is of the model it was made from; the names {sorted(differ)[:3]} "
                f"differ. Give the bare module."
            )
        self.update_parameters(model)


def _groups(
    model: nn.Module, weight_decay: float, layer_decay: float | None
) -> list[dict[str, Any]]:
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not named:
        raise TrainingError("The model has parameters to train; got none. Unfreeze some.")
    find = getattr(model, "no_weight_decay", None)
    exempt = set(find()) if callable(find) else set()
    scales = _layer_scales(model, [name for name, _ in named], layer_decay)
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in named:
        decay = 0.0 if parameter.ndim <= 1 or name in exempt else weight_decay
        key = (scales[name], decay)
        group = {"params": [], "weight_decay": decay, "lr_scale": scales[name]}
        groups.setdefault(key, group)["params"].append(parameter)
    return list(groups.values())


def _layer_scales(
    model: nn.Module, names: list[str], layer_decay: float | None
) -> dict[str, float]:
    if layer_decay is None:
        return dict.fromkeys(names, 1.0)
    # Below 0.01 the lower of ten layers would stand still, in float32.
    kinds.number(0.01, 1.0).check("layer_decay", layer_decay, None)
    find = getattr(model, "group_matcher", None)
    if not callable(find):
        raise TrainingError(
            f"layer_decay needs a model that says its layers by group_matcher(); "
            f"{type(model).__name__} has no such method. Leave layer_decay out."
        )
    layers = layers_of(names, find())
    last = max(layers.values())
    return {name: layer_decay ** (last - layer) for name, layer in layers.items()}
