"""Contents: the bytes of a checkpoint's files, made and verified in memory."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

import safetensors.torch
import torch
from torch import Tensor

from pdenet.errors import CheckpointError
from pdenet.files import checksum, shown
from pdenet.network import state_dicts

WEIGHTS, STATE, MANIFEST = "weights.safetensors", "state.pt", "manifest.json"

_FORMAT = 1


class _Entry(TypedDict):
    bytes: int
    sha256: str


class Manifest(TypedDict):
    """What a checkpoint consists of.

    `sequence` counts the checkpoints of a kind in the order of saving; `aliases` maps further
    names of a tensor to the name it is stored under.
    """

    format: int
    kind: str
    step: int
    sequence: int
    files: dict[str, _Entry]
    aliases: dict[str, str]


def make(
    kind: str, step: int, sequence: int, weights: Mapping[str, Tensor], state: Mapping[str, object]
) -> dict[str, bytes]:
    """Return the content of each file by its name, the manifest last.

    Raises:
        CheckpointError: a tensor is not finite, or the state is not plain.
    """
    stored, aliases = _stored(weights)
    contents = {WEIGHTS: _weights_bytes(stored), STATE: _state_bytes(state)}
    files: dict[str, _Entry] = {
        name: {"bytes": len(content), "sha256": checksum(content)}
        for name, content in contents.items()
    }
    contents[MANIFEST] = _rendered(
        {
            "format": _FORMAT,
            "kind": kind,
            "step": step,
            "sequence": sequence,
            "files": files,
            "aliases": aliases,
        }
    )
    return contents


def parse(
    path: Path, manifest: Manifest, contents: Mapping[str, bytes]
) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Return the weights under all their names, and the state, from verified contents.

    Raises:
        CheckpointError: they are no such files.
    """
    try:
        weights = safetensors.torch.load(contents[WEIGHTS])
        state = torch.load(io.BytesIO(contents[STATE]), map_location="cpu", weights_only=True)
    except Exception as error:
        # The checksums are right, so that another program wrote this.
        raise damaged(path, f"a file cannot be parsed: {error}") from error
    for alias, name in manifest["aliases"].items():
        weights[alias] = weights[name]
    return weights, state


def verify(path: Path) -> tuple[Manifest, dict[str, bytes]]:
    """Read a checkpoint: its manifest, and the content of each file, confirmed by checksum.

    Raises:
        CheckpointError: something is missing, or not as it was written.
    """
    manifest = read_manifest(path)
    contents = {}
    for name in (WEIGHTS, STATE):
        content, entry = _read(path, name), manifest["files"][name]
        if len(content) != entry["bytes"]:
            raise damaged(path, f"{name} has {len(content)} bytes, not {entry['bytes']}")
        if checksum(content) != entry["sha256"]:
            raise damaged(path, f"the SHA-256 of {name} is not that of the manifest")
        contents[name] = content
    return manifest, contents


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of a checkpoint, confirmed by its own checksum.

    Raises:
        CheckpointError: it is missing, not as it was written, or of another version.
    """
    content = _read(path, MANIFEST)
    try:
        whole = json.loads(content)
        made = {key: value for key, value in whole.items() if key != "sha256_of_the_rest"}
        manifest: Manifest = made  # type: ignore[assignment]  # the checksum vouches for it
        if _rendered(manifest) == content:
            if manifest["format"] == _FORMAT:
                return manifest
            why = f"its format is {manifest['format']}, this version of pdenet reads {_FORMAT}"
            raise damaged(path, why)
    except (ValueError, AttributeError, RecursionError):
        pass  # no JSON, no object, or an abyss: the same answer as to a wrong checksum
    raise damaged(path, f"{MANIFEST} is not as it was written")


def damaged(path: Path, why: str) -> CheckpointError:
    """Return the error that says what is wrong with a checkpoint."""
    return CheckpointError(
        f"Expected an intact checkpoint; {shown(path)} is damaged: {why}. Use another one."
    )


def _read(path: Path, name: str) -> bytes:
    file = path / name
    try:
        if not file.is_file():  # a pipe would never end
            raise damaged(path, f"it has no file {name}")
        return file.read_bytes()
    except OSError as error:
        raise damaged(path, f"{name} cannot be read: {error}") from error


def _rendered(manifest: Manifest) -> bytes:
    """Return the bytes of a manifest, its own checksum among them."""
    rest = json.dumps(manifest, indent=1, sort_keys=True).encode()
    whole = {**manifest, "sha256_of_the_rest": checksum(rest)}
    return json.dumps(whole, indent=1, sort_keys=True).encode() + b"\n"


def _stored(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors to store and alias → stored name, all of them dense and finite."""
    for name, tensor in weights.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(
                f"Weights are tensors by name; got {type(tensor).__name__} for {name!r}. "
                f"Give what is no tensor as part of the state."
            )
        _check_dense(tensor, f"weights[{name!r}]")
    made, aliases = state_dicts.stored(weights)
    for name, copy in made.items():
        _check_finite(copy, f"weights[{name!r}]")
    return made, aliases


def _weights_bytes(stored: dict[str, Tensor]) -> bytes:
    try:
        return safetensors.torch.save(stored, metadata={"format": "pt"})
    except Exception as error:
        raise CheckpointError(
            f"Expected names in UTF-8 and dtypes that safetensors knows; got: {error!r}. "
            f"Rename the tensor, or give it as part of the state."
        ) from error


def _state_bytes(state: Mapping[str, object]) -> bytes:
    if not isinstance(state, Mapping):
        raise CheckpointError(
            f"The state is a mapping from names to plain values; got {type(state).__name__}. "
            f"Use a dict."
        )
    buffer = io.BytesIO()
    torch.save(_plain(state, "state"), buffer)
    return buffer.getvalue()


def _plain(value: object, where: str) -> object:
    """Return a copy made of nothing but what `weights_only=True` reads."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    # NumPy's float64 is a float, an IntEnum an int: only as such do they come back.
    for plain in (int, float, str):
        if isinstance(value, plain):
            return plain(value)
    if isinstance(value, Tensor):
        _check_dense(value, where)
        copy = value.detach().to("cpu")
        if copy.untyped_storage().nbytes() != copy.nbytes:
            copy = copy.clone()  # torch.save writes the whole storage of a view
        _check_finite(copy, where)
        return copy
    if isinstance(value, Mapping):
        for key in value:
            if type(key) not in (str, int):
                raise _not_plain(where, f"a key {key!r} of type {type(key).__name__}")
        return {key: _plain(one, f"{where}[{key!r}]") for key, one in value.items()}
    if isinstance(value, list | tuple):
        made = [_plain(one, f"{where}[{k}]") for k, one in enumerate(value)]
        return made if isinstance(value, list) else tuple(made)
    raise _not_plain(where, type(value).__name__)


def _not_plain(where: str, what: str) -> CheckpointError:
    return CheckpointError(
        f"The state of a checkpoint consists of None, bool, int, float, str, tensors, and lists, "
        f"tuples and mappings of these; {where} holds {what}. Convert it."
    )


def _check_dense(tensor: Tensor, where: str) -> None:
    # Subclasses other than Parameter (DTensor, ...) hold only a part, or compute their values.
    known = type(tensor) in (Tensor, torch.nn.Parameter, torch.nn.Buffer)
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized or not known:
        raise CheckpointError(
            f"Checkpoints hold dense tensors with values; {where} is {type(tensor).__name__}, "
            f"{tensor.layout}, on {tensor.device}. Convert it to a plain tensor."
        )


def _check_finite(tensor: Tensor, where: str) -> None:
    bad = state_dicts.count_non_finite(tensor)
    if bad:
        raise CheckpointError(
            f"A checkpoint holds finite tensors only; {where} of shape {tuple(tensor.shape)} has "
            f"{bad} values that are NaN or infinite. Roll back before saving."
        )
