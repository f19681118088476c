"""Randomness: the state of the global generators, as one tensor."""

from __future__ import annotations

import torch
from torch import Tensor


def random_state(device: torch.device) -> Tensor:
    """Return the state of the CPU's generator and the device's, uint8."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return torch.cat(states)


def set_random_state(device: torch.device, state: Tensor) -> None:
    """Restore what `random_state` returned, as far as this machine has such generators."""
    size = torch.get_rng_state().numel()
    # Cloned: of a view PyTorch 2.13 reads bytes at the wrong place, beyond the end at worst.
    torch.set_rng_state(state[:size].cpu().clone())
    if device.type == "cuda" and state.numel() > size:
        torch.cuda.set_rng_state(state[size:].cpu().clone(), device)
