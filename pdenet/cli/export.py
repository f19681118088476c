"""`pdenet export`: write a trained classifier into a file for other programs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pdenet.cli.arguments import check_file, one_of, whole

if TYPE_CHECKING:  # --help does not wait for them
    from pathlib import Path

    from pdenet.network.convnet.classifier import Classifier
    from pdenet.training.loop.checkpoint import Saved

ENDINGS = {"onnx": ".onnx", "torch-export": ".pt2", "safetensors": ".safetensors"}
"""How the files of each format end."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pdenet export`."""
    parser.add_argument(
        "target",
        metavar="RUN|CHECKPOINT",
        help="the folder of a run of `pdenet train`, one checkpoint in it, a safetensors file that "
        "says its model, or a folder of save_pretrained",
    )
    parser.add_argument(
        "--checkpoint",
        type=one_of("best", "last"),
        metavar="KIND",
        help="of a run: best or last (best, else last)",
    )
    parser.add_argument(
        "--format",
        type=one_of(*ENDINGS),
        metavar="FORMAT",
        help="onnx, torch-export or safetensors (by the file's name)",
    )
    parser.add_argument("--fused", action="store_true", help="fold the batch norms first")
    parser.add_argument(
        "--dynamic-batch",
        action="store_true",
        help="a program for any number of pictures at once; else for one",
    )
    parser.add_argument(
        "--image-size",
        type=whole,
        metavar="N",
        help="pixels of a picture (those of the run, 32 or 224)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an older file")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the file to write")


def run(arguments: argparse.Namespace) -> int:
    """Load, write, check, and say what was written."""
    from pathlib import Path

    from pdenet.cli.solve import row

    path = Path(arguments.output)
    kind = arguments.format or _format(path)
    _check(arguments, path, kind)

    from pdenet.network.convnet.export import OPSET, TOLERANCE, export

    model, trained_size, source = _load(Path(arguments.target), arguments.checkpoint)
    size = arguments.image_size or trained_size
    export(
        model,
        path,
        kind,
        image_size=size,
        dynamic_batch=arguments.dynamic_batch,
        fused=arguments.fused,
    )
    row("model", f"{model.name or model.equation}{', fused' if arguments.fused else ''}")
    row("from", source)
    row("format", f"{kind}, opset {OPSET}" if kind == "onnx" else kind)
    if kind != "safetensors":
        row("pictures", "any number at once" if arguments.dynamic_batch else "one at a time")
        row("checked", f"logits equal to {TOLERANCE:g} of the largest")
    row("written", f"{path}, {path.stat().st_size:,} bytes")
    return 0


def _format(path: Path) -> str:
    """Return the format that the file's name says."""
    from pdenet.errors import CommandError

    for kind, ending in ENDINGS.items():
        if path.suffix == ending:
            return kind
    raise CommandError(
        f"a file that ends in {', '.join(ENDINGS.values())} was expected, or --format; got "
        f"{str(path)!r}; add --format onnx"
    )


def _check(arguments: argparse.Namespace, path: Path, kind: str) -> None:
    """Refuse what makes no sense before anything long is done."""
    from pdenet.errors import CommandError

    check_file("--output", path, f"model{ENDINGS[kind]}")
    if path.exists() and not arguments.overwrite:
        raise CommandError(
            f"a new file was expected; {str(path)!r} exists; add --overwrite to replace it"
        )
    if kind == "safetensors" and (arguments.dynamic_batch or arguments.image_size):
        option = "--dynamic-batch" if arguments.dynamic_batch else "--image-size"
        raise CommandError(f"weights alone have no pictures; got {option}; leave it out")


def _load(path: Path, kind: str | None) -> tuple[Classifier, int | None, str]:
    """Return a classifier, the size of the pictures it was trained on, and where it is from."""
    from pdenet.network.convnet.classifier import Classifier
    from pdenet.network.convnet.hub import CONFIG
    from pdenet.network.convnet.models import load_classifier
    from pdenet.training.evaluation.loading import read_saved

    if path.is_file():
        return load_classifier(path), None, str(path)
    if (path / CONFIG).is_file():
        return Classifier.from_pretrained(path), None, str(path)
    return _of_checkpoint(read_saved(path, kind)[0])


def _of_checkpoint(saved: Saved) -> tuple[Classifier, int | None, str]:
    from pdenet.errors import CheckpointError
    from pdenet.network.convnet.models import classifier_from_config

    config = saved.state.get("model")
    if not isinstance(config, dict) or len(config) < 2:
        raise CheckpointError(
            f"a checkpoint of a pdenet classifier was expected; {str(saved.path)!r} holds "
            f"{config!r:.60}; export another run"
        )
    model = classifier_from_config(config).eval()
    try:
        model.load_state_dict(saved.weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"weights of {config.get('name') or model.equation} were expected in "
            f"{str(saved.path)!r}: {error}; take the version of pdenet that wrote them"
        ) from error
    size = saved.state.get("image_size")
    return model, size if isinstance(size, int) else None, str(saved.path)
