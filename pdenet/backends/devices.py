"""Devices: where torch computes, by name, refused before anything is made there."""

from __future__ import annotations

import torch

from pdenet.errors import PdenetError


def torch_device(device: object, error: type[PdenetError]) -> torch.device:
    """Return a device that torch has here, of whatever kind.

    Args:
        device: its name, or torch's own.
        error: what is raised where there is none.
    """
    try:
        return torch.empty(0, device=device).device  # type: ignore[call-overload]  # any object
    except (RuntimeError, AssertionError, TypeError) as why:
        raise error(
            f"a device that torch has here was expected; got {device!r} "
            f'({str(why).splitlines()[0]}); use device="cpu"'
        ) from why


def cpu_or_gpu(
    name: str, given: str, error: type[PdenetError], local: int | None = None
) -> torch.device:
    """Return the CPU or one of the GPUs that are here.

    Args:
        name: what the option is called, for messages.
        given: "auto" for a GPU if there is one, "cpu", "cuda" or "cuda:1".
        error: what is raised where there is none.
        local: of several processes on one machine the rank of this one, whose GPU has its number.
    """
    chosen = given
    if given == "auto":
        chosen = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(chosen)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise error(f"{name} is auto, cpu, cuda or cuda:1; got {given!r}; use auto")
    if device.type == "cpu":
        return torch.device("cpu")
    index = (device.index or 0) if local is None else local
    there = torch.cuda.device_count()
    if index >= there:
        raise error(
            f"{name} {given!r} needs GPU number {index}; this machine shows {there} to PyTorch; "
            f"use cpu{'' if local is None else ', or start fewer processes'}"
        )
    return torch.device("cuda", index)
