"""`pdenet kernels`: the symmetry of a model's kernels, in the terminal and on one page."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pdenet.cli.arguments import check_file, whole

if TYPE_CHECKING:  # --help does not wait for them
    from collections.abc import Iterable
    from pathlib import Path

    from torch import Tensor, nn

PAGE = "kernels.html"

_TIMM = "timm:"
"""Before the name of a model of timm."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pdenet kernels`."""
    parser.add_argument(
        "target",
        metavar="MODEL",
        help="the folder of a run of `pdenet train`, a checkpoint in it, a safetensors file, a "
        f"name of pdenet (eq3_small), or {_TIMM}NAME",
    )
    parser.add_argument(
        "--weights", metavar="FILE", help="a safetensors file for a model given by its name"
    )
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        help="pictures for consistency: a folder with train/ and val/, or digits, or faces; a run "
        "has its own",
    )
    parser.add_argument(
        "--img-size",
        type=whole,
        metavar="N",
        help="pixels along each side (those the model is made for)",
    )
    parser.add_argument("--vertical", action="store_true", help="flip pictures upside down as well")
    parser.add_argument("--csv", metavar="FILE.csv", help="write the scores of the layers as well")
    parser.add_argument(
        "--output", default=PAGE, metavar="FILE.html", help=f"the page ({PAGE}); it is replaced"
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure, write the page, and print the tables."""
    from pathlib import Path

    size = arguments.img_size
    path = _file("--output", arguments.output)
    csv = None if arguments.csv is None else _file("--csv", arguments.csv)
    model, images, is_new = _load(arguments, size)

    from pdenet.files import write_whole
    from pdenet.symmetry.kernels.report import report

    made = report(model, path, images, size=size, vertical=arguments.vertical)
    if csv is not None:
        write_whole(csv, made.table.to_csv())
    if is_new:
        print("newly drawn weights: their scores are those of chance\n")
    print(made.table)
    if made.padding is not None:
        print(f"\n{made.padding}")
    if made.consistency:
        print()
    for one in made.consistency:
        print(one)
    print(f"\nthe page: {Path(path).resolve()}")
    return 0


def _file(option: str, given: str) -> Path:
    """Return a path that can be written, before anything long is done."""
    from pathlib import Path

    from pdenet.errors import CommandError

    path = check_file(option, Path(given), PAGE)
    if not path.parent.is_dir():
        raise CommandError(
            f"{option} is a file in a folder that exists; got {given!r}; make the folder first"
        )
    return path


def _load(
    arguments: argparse.Namespace, size: int | None
) -> tuple[nn.Module, Iterable[tuple[Tensor, Tensor]] | None, bool]:
    """Return a model, pictures, and whether its weights are newly drawn."""
    from pathlib import Path

    from pdenet.errors import CommandError, suggest
    from pdenet.network.convnet.models import create_model, list_models, load_classifier
    from pdenet.network.convnet.weights import load_weights

    target, weights = arguments.target, arguments.weights
    path = Path(target)
    is_named = target in list_models() or target.startswith(_TIMM)
    if weights is not None and not is_named:
        raise CommandError(
            f"--weights are for a model given by its name; got {target!r}; name the file alone"
        )
    if not is_named and path.is_dir():
        return _of_run(path, arguments.data_dir, size)
    if not is_named and path.is_file():
        model: nn.Module = load_classifier(path)
    elif target.startswith(_TIMM):
        from pdenet.timm import model_of_timm

        model = model_of_timm(target.removeprefix(_TIMM), weights)
    elif is_named:
        model = create_model(target)
        if weights is not None:
            load_weights(model, weights)
    else:
        raise CommandError(
            f"a run, a file of weights, {_TIMM}NAME or a name of pdenet was expected; got "
            f"{target!r}.{suggest(target, list_models())}"
        )
    images = None if arguments.data_dir is None else _pictures(model, arguments.data_dir, size)
    return model, images, is_named and weights is None


def _of_run(
    path: Path, data_dir: str | None, size: int | None
) -> tuple[nn.Module, Iterable[tuple[Tensor, Tensor]], bool]:
    from pdenet.errors import CommandError
    from pdenet.training.evaluation.loading import load_run

    loaded = load_run(path, data_dir=data_dir)
    if size not in (None, loaded.data.image_size):
        raise CommandError(
            f"--img-size is for models without a run; got {size} with a run, whose pictures have "
            f"{loaded.data.image_size} pixels; leave it out"
        )
    return loaded.model, loaded.data.val, False


def _pictures(model: nn.Module, data_dir: str, size: int | None) -> Iterable[tuple[Tensor, Tensor]]:
    """Return the validation pictures of a data set as a model takes them, as far as it says."""
    from pathlib import Path

    from pdenet.training.data.loaders import DataOptions, load_data
    from pdenet.training.loop.options import BUNDLED

    config = getattr(model, "pretrained_cfg", None) or {}
    channels = getattr(model, "in_channels", None) or config.get("input_size", (3,))[0]
    if size is None and config.get("input_size"):
        size = config["input_size"][-1]
    is_bundled = data_dir in BUNDLED
    options = DataOptions(
        dataset=data_dir if is_bundled else "folder",
        folder=None if is_bundled else Path(data_dir),
        image_size=size,
        in_channels=channels,
        mean=None if is_bundled else config.get("mean"),
        std=None if is_bundled else config.get("std"),
    )
    return load_data(options).val
