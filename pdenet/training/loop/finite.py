"""Finite: whether tensors are, in few kernels and without waiting for the device."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

_SMALL = 1 << 16
"""Elements up to which tensors are joined for one check: a copy that is cheaper than a kernel."""


def named_values(module: nn.Module) -> dict[str, Tensor]:
    """Return all parameters and buffers of a module by name, each tensor once."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def is_finite(tensors: Iterable[Tensor], device: torch.device) -> Tensor:
    """Return whether all values are finite: a boolean scalar on `device`, without a transfer."""
    small: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    flags = []
    for tensor in tensors:
        value = tensor.detach()
        if not (value.is_floating_point() or value.is_complex()):
            continue
        if value.numel() <= _SMALL:
            small.setdefault((value.device, value.dtype), []).append(value.reshape(-1))
        else:
            flags.append(torch.isfinite(value).all())
    flags += [torch.isfinite(torch.cat(values)).all() for values in small.values()]
    if not flags:
        return torch.ones((), dtype=torch.bool, device=device)
    return torch.stack([flag.to(device) for flag in flags]).all()


def bad_names(named: Mapping[str, Tensor]) -> str:
    """Return the names of the tensors that are not finite, three at most."""
    bad = [name for name, value in named.items() if not bool(torch.isfinite(value.detach()).all())]
    more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
    return ", ".join(bad[:3]) + more


def said(name: str, value: Tensor, limit: float = math.inf) -> str:
    """Return what is wrong with a value: "loss nan"; where nothing is, another process saw it."""
    numbers = value.detach().double().reshape(-1).tolist()
    for number in numbers:
        if not math.isfinite(number):
            return f"{name} {number}"
        if number > limit:
            return f"{name} {number:.4g} > {limit:g}"
    return f"{name} of another process"
