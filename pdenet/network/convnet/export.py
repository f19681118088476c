"""Export: a trained classifier as a file that needs neither pdenet nor, in one case, Python.

| format | what reads it | what is dynamic |
|---|---|---|
| "onnx" | ONNX Runtime and others; opset 18 | the number of pictures |
| "torch-export" | `torch.export.load(path).module()`, AOTInductor | the number of pictures |
| "safetensors" | `load_classifier(path)`; any reader of safetensors | all: it has weights only |

The size of the pictures is fixed: a network on another grid is another network, as for position
monomials it must be. A program that was written is read back and compared with the model: logits
agree to 1e-5 of the largest. Both programs are in evaluation mode.
"""

from __future__ import annotations

import copy
import io
import json
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any  # what PyTorch takes

import numpy as np
import torch
from torch.export import Dim, ExportedProgram

from pdenet.checks import check_choice, check_count
from pdenet.errors import CheckpointError, MissingExtraError, NetworkError
from pdenet.files import write_whole
from pdenet.network.convnet.classifier import Classifier
from pdenet.network.convnet.weights import save_weights

FORMATS = ("onnx", "torch-export", "safetensors")
"""The formats."""

OPSET = 18
"""The version of ONNX's operators: the one that PyTorch translates to; no later one is needed."""

TOLERANCE = 1e-5
"""How far logits of an exported program may lie from the model's, relative to the largest: float32
sums in another order differ by some 1e-6 after 50 layers."""

CONFIG_KEY = "pdenet.config"
"""Under which an ONNX file's metadata holds the model's config."""

INPUT, OUTPUT = "images", "logits"
"""The names of an ONNX program's input and output."""

_EXAMPLES = 2  # pictures that are traced: PyTorch takes 0 and 1 for constants

_Run = Callable[[torch.Tensor], np.ndarray]


def export(
    model: Classifier,
    path: str | os.PathLike[str],
    format: str = "onnx",  # noqa: A002  # as the command has it
    *,
    image_size: int | tuple[int, int] | None = None,
    dynamic_batch: bool = True,
    fused: bool = False,
) -> Path:
    """Write a classifier into a file; the model itself stays as it is.

    Args:
        model: the classifier.
        path: the file, replaced where it exists, and only by a whole one.
        format: one of `FORMATS`.
        image_size: the pixels of a picture, one number or (y, x); by default 224 for a pooled
            stem and 32 for a plain one. Weights have none.
        dynamic_batch: whether the program takes any number of pictures, else one at a time.
        fused: whether batch norms are folded first; see `Classifier.fused`.

    Returns:
        The path.

    Raises:
        NetworkError: an option makes no sense, or the program computes something else.
        MissingExtraError: ONNX is not installed.
        CheckpointError: the file cannot be written.
    """
    if not isinstance(model, Classifier):
        raise NetworkError(
            f"a pdenet.Classifier was expected; got {type(model).__name__}; unwrap it first"
        )
    check_choice("format", format, FORMATS, NetworkError)
    path = Path(path)
    size = _size(model, image_size)
    made = model.fused() if fused else copy.deepcopy(model)
    made = made.cpu().eval()
    if format == "safetensors":
        return save_weights(made, path)
    if format == "onnx":
        _require_onnx()
    like = next(made.parameters())
    generator = torch.Generator().manual_seed(0)
    count = _EXAMPLES if dynamic_batch else 1
    example = torch.randn(count, made.in_channels, *size, generator=generator).to(like.dtype)
    with _quiet():
        content, run = (_onnx if format == "onnx" else _program)(made, example, dynamic_batch)
    _check(made, run, example, format)
    if dynamic_batch:  # and one picture more than was traced
        _check(made, run, torch.cat([example, example[:1].flip(3)]), format)
    return write_whole(path, content, CheckpointError)


def _program(model: Classifier, example: torch.Tensor, dynamic_batch: bool) -> tuple[bytes, _Run]:
    program = _traced(model, example, dynamic_batch)
    buffer = io.BytesIO()
    extra = {"config.json": json.dumps(model.config)}
    torch.export.save(program, buffer, extra_files=extra)
    content = buffer.getvalue()
    module = torch.export.load(io.BytesIO(content)).module()
    return content, lambda x: module(x).detach().numpy()


def _traced(model: Classifier, example: torch.Tensor, dynamic_batch: bool) -> ExportedProgram:
    with torch.no_grad():
        return torch.export.export(model, (example,), dynamic_shapes=_shapes(dynamic_batch))


def _shapes(dynamic_batch: bool) -> dict[str, Any] | None:
    return {"x": {0: Dim("batch", min=1)}} if dynamic_batch else None


def _onnx(model: Classifier, example: torch.Tensor, dynamic_batch: bool) -> tuple[bytes, _Run]:
    import onnxruntime

    with torch.no_grad():
        made = torch.onnx.export(
            model,
            (example,),
            dynamo=True,
            dynamic_shapes=_shapes(dynamic_batch),
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            verbose=False,
        )
    assert made is not None
    made.model.metadata_props[CONFIG_KEY] = json.dumps(model.config)
    content: bytes = made.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(x: torch.Tensor) -> np.ndarray:
        (logits,) = session.run([OUTPUT], {INPUT: x.numpy()})
        return np.asarray(logits)

    return content, run


@torch.no_grad()
def _check(model: Classifier, run: _Run, x: torch.Tensor, format: str) -> None:  # noqa: A002
    expected = model(x).numpy()
    got = run(x)
    error, largest = float(np.abs(got - expected).max()), float(np.abs(expected).max())
    if not error <= TOLERANCE * largest:  # NaN is not
        raise NetworkError(
            f"the {format} program was expected to agree with the model to {TOLERANCE:g} of the "
            f"largest logit, {largest:.3g}; they differ by {error:.3g}; check that the model's "
            "logits are finite, and report it if they are"
        )


def _size(model: Classifier, given: object) -> tuple[int, int]:
    if given is None:
        given = 224 if model.layout.stem == "pooled" else 32
    both = given if isinstance(given, tuple | list) else (given, given)
    if len(both) != 2:
        raise NetworkError(f"image_size is one number, or (y, x); got {given!r}; write 224")
    y, x = (check_count("image_size", pixels, 1, NetworkError) for pixels in both)
    return y, x


def _require_onnx() -> None:
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"ONNX export needs {', '.join(missing)}, which is not installed; run "
            "`pip install 'pdenet[onnx]'`"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep PyTorch's exporters from warning of their own deprecations."""
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", category)
        yield
