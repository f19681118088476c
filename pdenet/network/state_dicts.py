"""State dicts: tensors by name, each stored once; which names are one tensor, and their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def stored(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return copies to store, contiguous on the CPU, and the names they have besides.

    Args:
        state: tensors by name. Different views of one memory are stored one by one, since
            safetensors refuses tensors that share it.

    Returns:
        Tensors by name, and alias → name.
    """
    aliases = aliases_of(state)
    made = {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in state.items()
        if name not in aliases
    }
    return made, aliases


def aliases_of(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Return, for each tensor that stood there before under another name, that name."""
    first: dict[object, str] = {}
    aliases = {}
    for name, tensor in state.items():
        if not tensor.numel():
            continue  # all empty tensors lie at the same address
        memory = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        known = first.setdefault(memory, name)
        if known != name:
            aliases[name] = known
    return aliases


def digest(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of all names, dtypes, shapes and values, whatever their order."""
    made = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name]
        made.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        if tensor.numel():
            made.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return made.hexdigest()


def count_non_finite(tensor: Tensor) -> int:
    """Return how many values of a tensor are NaN or infinite."""
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return 0
    # isfinite does not know the 8-bit types.
    wide = tensor.float() if tensor.element_size() == 1 else tensor
    return tensor.numel() - int(torch.isfinite(wide).sum())
