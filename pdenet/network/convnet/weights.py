"""Weights: the tensors of a model as one safetensors file, written whole and checked when read.

The file holds each tensor once, by the name of the state dict, and in its metadata

```
config   how to make the model: JSON, see `Classifier.config`
equation the equation as a text, for people
aliases  further names of tensors that several blocks share: JSON, alias → name
sha256   of all names, dtypes, shapes and values
```

so that any reader of safetensors reads the tensors, and this one knows a damaged file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any  # JSON

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from pdenet.errors import CheckpointError, NetworkError
from pdenet.files import shown, write_whole
from pdenet.network import state_dicts

_SHOWN = 5  # names in a message


def save_weights(
    model: nn.Module, path: str | os.PathLike[str], *, allow_non_finite: bool = False
) -> Path:
    """Write all parameters and buffers of a model into a safetensors file.

    The file appears at once: it is written under a temporary name in the same folder, flushed to
    the disk, and renamed. Whatever interrupts this leaves the older file as it was.

    Args:
        model: a `pdenet.Classifier`, or any module; only the former's file says how to make it.
        path: the file, replaced where it exists.
        allow_non_finite: whether NaN and infinity may be written.

    Returns:
        The path.

    Raises:
        CheckpointError: a tensor is not finite, or the file cannot be written.
    """
    tensors, aliases = state_dicts.stored(model.state_dict())
    if not allow_non_finite:
        _refuse_non_finite(tensors, "to be saved")
    metadata = {
        "format": "pt",
        "aliases": json.dumps(aliases, sort_keys=True),
        "sha256": state_dicts.digest(tensors),
    }
    config, equation = getattr(model, "config", None), getattr(model, "equation", None)
    if config is not None:
        metadata["config"] = json.dumps(config, sort_keys=True)
    if isinstance(equation, str):
        metadata["equation"] = equation
    return write_whole(path, safetensors.torch.save(tensors, metadata), CheckpointError)


def load_weights(
    model: nn.Module, path: str | os.PathLike[str], *, allow_non_finite: bool = False
) -> None:
    """Read the weights of a model from a safetensors file; all of them or none.

    Tensors are converted to the dtypes and copied to the devices of the model's own.

    Args:
        model: a model of the same shapes.
        path: what `save_weights` wrote, or another safetensors file of these names.
        allow_non_finite: whether NaN and infinity may be read.

    Raises:
        CheckpointError: the file is missing, damaged, or holds numbers that are not finite.
        NetworkError: it does not fit the model; the message names the tensors.
    """
    path = Path(path)
    tensors, metadata = read_tensors(path)
    own = model.state_dict()
    for alias, name in state_dicts.aliases_of(own).items():
        # A file may hold a tensor that the model shares under any of its names, or under all.
        if alias in tensors and name in tensors:
            if not torch.equal(tensors[alias], tensors[name]):
                raise NetworkError(
                    f"{alias!r} and {name!r} are one tensor of this model; in {shown(path)} they "
                    'differ; load the file into a model with coefficients="free"'
                )
        elif alias in tensors:
            tensors[name] = tensors[alias]
        elif name in tensors:
            tensors[alias] = tensors[name]
    _check_fit(own, tensors, path, metadata.get("equation"))
    if not allow_non_finite:
        _refuse_non_finite(tensors, f"in {shown(path)}")
    model.load_state_dict(tensors)


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return all tensors of a safetensors file under all their names, and its metadata.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    path = Path(path)
    try:
        with _opened(path) as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise _damaged(path, str(error)) from error
    if "sha256" in metadata and metadata["sha256"] != state_dicts.digest(tensors):
        raise _damaged(path, "its checksum is not that of its tensors")
    for alias, name in _json(path, metadata, "aliases").items():
        if name not in tensors:
            raise _damaged(path, f"{alias!r} is another name of {name!r}, which it does not hold")
        tensors[alias] = tensors[name]
    return tensors, metadata


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the config of the model whose weights a file holds; see `Classifier.config`.

    Raises:
        CheckpointError: the file is missing or damaged, or says nothing of the kind.
    """
    path = Path(path)
    try:
        with _opened(path) as file:
            metadata = dict(file.metadata() or {})
    except SafetensorError as error:
        raise _damaged(path, str(error)) from error
    found = _json(path, metadata, "config")
    if not found:
        raise CheckpointError(
            f"a file of weights that says which model they belong to was expected; {shown(path)} "
            "does not; make the model yourself and call load_weights(model, path)"
        )
    return found


# -- reading ---------------------------------------------------------------------------------------


def _opened(path: Path) -> Any:  # safetensors' own type is not public
    if not path.is_file():
        raise CheckpointError(
            f"a safetensors file was expected; there is no file {shown(path)}; check the path"
        )
    try:
        return safe_open(path, framework="pt")
    except OSError as error:
        raise CheckpointError(f"{shown(path)} cannot be read: {error}; check the file") from error


def _json(path: Path, metadata: Mapping[str, str], key: str) -> dict[str, Any]:
    try:
        found = json.loads(metadata.get(key, "{}"))
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"{key!r} of its metadata is no JSON") from error
    if not isinstance(found, dict):
        raise _damaged(path, f"{key!r} of its metadata is no JSON object")
    return found


def _check_fit(
    own: Mapping[str, torch.Tensor],
    given: Mapping[str, torch.Tensor],
    path: Path,
    equation: str | None,
) -> None:
    both = [name for name in own if name in given]
    faults = {
        "missing": [name for name in own if name not in given],
        "unexpected": [name for name in given if name not in own],
        "of another shape": [
            f"{name} {tuple(given[name].shape)} instead of {tuple(own[name].shape)}"
            for name in both
            if given[name].shape != own[name].shape
        ],
        "of another kind": [
            f"{name} {given[name].dtype} instead of {own[name].dtype}"
            for name in both
            if given[name].is_floating_point() != own[name].is_floating_point()
        ],
    }
    found = "; ".join(f"{word}: {_list(names)}" for word, names in faults.items() if names)
    if found:
        of = f", weights of {equation}," if equation else ""
        raise NetworkError(
            f"a file with the tensors of this model was expected; {shown(path)}{of} has {found}; "
            "make the model with the options that it was saved with: load_classifier(path)"
        )


def _list(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return ", ".join(every[:_SHOWN]) + more


def _refuse_non_finite(tensors: Mapping[str, torch.Tensor], where: str) -> None:
    bad = [
        f"{name} ({count} of {tensor.numel()})"
        for name, tensor in tensors.items()
        if (count := state_dicts.count_non_finite(tensor))
    ]
    if bad:
        raise CheckpointError(
            f"finite weights were expected; {where} are NaN or infinite numbers: {_list(bad)}; use "
            "an older checkpoint, or pass allow_non_finite=True"
        )


def _damaged(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"an intact safetensors file was expected; {shown(path)} is damaged: {why}; use another"
    )
