"""Snapshots: the state of training and of the random generators, taken and restored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # optimisers' state and checkpoints, whose layout is torch's

import torch
from torch import Tensor, nn

from pdenet.training.loop.finite import named_values


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Copies of all that changes in training, each on the device of its original.

    Attributes:
        step: the number of updates done.
        tensors: parameters and buffers by name, of each module.
        optimizer: the optimiser's state of each parameter, as in its `state_dict`.
        random: uint8, the state of the CPU's generator, then that of each CUDA device.
    """

    step: int
    tensors: tuple[dict[str, Tensor], ...]
    optimizer: dict[int, dict[str, Any]]
    random: Tensor

    @staticmethod
    def take(step: int, modules: Sequence[nn.Module], optimizer: torch.optim.Optimizer) -> Snapshot:
        """Copy the present state."""
        tensors = tuple(
            {name: value.detach().clone() for name, value in named_values(module).items()}
            for module in modules
        )
        state = _cloned(optimizer.state_dict()["state"])
        return Snapshot(step, tensors, state, random_state(_devices(modules)))

    @torch.no_grad()
    def restore(self, modules: Sequence[nn.Module], optimizer: torch.optim.Optimizer) -> None:
        """Make this the present state; the groups of the optimiser, with their rates, stay."""
        for module, saved in zip(modules, self.tensors, strict=True):
            now = named_values(module)
            # In place: wrappers, compiled graphs and the optimiser hold these very tensors.
            torch._foreach_copy_([now[name] for name in saved], list(saved.values()))
        groups = optimizer.state_dict()["param_groups"]
        # The clone: the optimiser takes what it is given as its own, and changes it.
        optimizer.load_state_dict({"state": _cloned(self.optimizer), "param_groups": groups})
        set_random_state(_devices(modules), self.random)

    def as_plain(self) -> dict[str, object]:
        """Return it for a checkpoint; the tensors are not copied."""
        return {
            "step": self.step,
            "tensors": list(self.tensors),
            "optimizer": self.optimizer,
            "random": self.random,
        }

    @staticmethod
    def from_plain(plain: Mapping[str, Any], modules: Sequence[nn.Module]) -> Snapshot:
        """Return what `as_plain` gave, on the devices of these modules.

        Raises:
            ValueError: it is of other modules.
        """
        tensors = []
        for module, saved in zip(modules, plain["tensors"], strict=True):
            now = named_values(module)
            if now.keys() != saved.keys():
                raise ValueError(f"the names {sorted(now.keys() ^ saved.keys())[:3]} differ")
            for name, value in now.items():
                if saved[name].shape != value.shape:
                    raise ValueError(
                        f"{name} has shape {tuple(saved[name].shape)}, not {tuple(value.shape)}"
                    )
            tensors.append({name: saved[name].to(now[name].device) for name in now})
        state, random = dict(plain["optimizer"]), plain["random"].cpu()
        return Snapshot(int(plain["step"]), tuple(tensors), state, random)


def _cloned(state: Mapping[int, Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    return {
        index: {
            key: value.detach().clone() if isinstance(value, Tensor) else value
            for key, value in values.items()
        }
        for index, values in state.items()
    }


def _devices(modules: Sequence[nn.Module]) -> list[torch.device]:
    return sorted({p.device for module in modules for p in module.parameters()}, key=str)


def random_state(devices: Sequence[torch.device]) -> Tensor:
    """Return the state of the CPU's generator, then that of each CUDA device, uint8."""
    states = [torch.cuda.get_rng_state(device) for device in devices if device.type == "cuda"]
    return torch.cat([torch.get_rng_state(), *states])


def set_random_state(devices: Sequence[torch.device], state: Tensor) -> None:
    """Restore what `random_state` returned.

    A run that moved to other devices has none for them, and goes on with what they have.
    """
    size = torch.get_rng_state().numel()
    # The clones: torch 2.13 ignores the offset of a view here, and crashes.
    torch.set_rng_state(state[:size].cpu().clone())
    rest = state[size:].cpu()
    for device in devices:
        if device.type == "cuda" and len(rest):
            size = torch.cuda.get_rng_state(device).numel()
            torch.cuda.set_rng_state(rest[:size].clone(), device)
            rest = rest[size:]
