"""`pdenet evaluate`: measure a trained classifier, and write a page about it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pdenet.cli.arguments import check_file, make_folder, whole

if TYPE_CHECKING:  # --help does not wait for them
    from pathlib import Path

    from pdenet.training.evaluation.loading import Loaded
    from pdenet.training.evaluation.page import Report

PAGE = "evaluation.html"

_SHOWN = 40  # classes in the terminal; the page has all
_LONGEST = 30  # letters of a class's name in the terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pdenet evaluate`."""
    parser.add_argument(
        "target",
        nargs="?",
        metavar="RUN",
        help="the folder of a run of `pdenet train`, or of one checkpoint in it",
    )
    group = parser.add_argument_group("weights")
    group.add_argument("--checkpoint", metavar="KIND", help="of a run: best or last (best)")
    group.add_argument(
        "--ema", action="store_true", help="of a run: the average of the weights (--model-ema)"
    )
    group.add_argument("--weights", metavar="FILE", help="a safetensors file, instead of a run")
    group.add_argument(
        "--model", metavar="NAME", help="whose weights these are, where the file does not say"
    )
    group = parser.add_argument_group("data and machine")
    group.add_argument(
        "--data-dir",
        metavar="DIR",
        help="a folder with train/ and val/, or digits, or faces (those of the run, or digits)",
    )
    group.add_argument(
        "-b", "--batch-size", type=whole, metavar="N", help="pictures a batch (as in training)"
    )
    group.add_argument(
        "--img-size",
        type=whole,
        metavar="N",
        help="pixels along each side, for --weights (224 of a folder)",
    )
    group.add_argument(
        "--device", default="auto", metavar="NAME", help="cpu, cuda, cuda:1; auto: cuda or cpu"
    )
    group.add_argument("--amp", action="store_true", help="compute in bfloat16")
    group = parser.add_argument_group("output")
    group.add_argument(
        "--output",
        metavar="FILE.html",
        help=f"the page ({PAGE} in the folder of the run or of the weights)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, and write the page."""
    _check(arguments)

    import torch

    from pdenet.backends.devices import cpu_or_gpu
    from pdenet.errors import CommandError
    from pdenet.files import write_whole
    from pdenet.training.evaluation.page import page
    from pdenet.training.evaluation.report import measured

    device = cpu_or_gpu("--device", arguments.device, CommandError)
    loaded = _load(arguments)
    path = _page_path(arguments.output, loaded)
    report = measured(loaded, device=device, amp=torch.bfloat16 if arguments.amp else None)
    # First, and whole: what is printed may go into a pipe that closes, and a browser may be looking
    # at the older page.
    write_whole(path, page(report))
    _print(report)
    print(f"\nthe page: {path.resolve()}")
    return 0


def _check(arguments: argparse.Namespace) -> None:
    from pdenet.errors import CommandError

    if (arguments.target is None) == (arguments.weights is None):
        got = "neither" if arguments.target is None else "both"
        raise CommandError(
            f"a run was expected, or weights; got {got}; write `pdenet evaluate out/train/RUN` or "
            "`pdenet evaluate --model NAME --weights FILE`"
        )
    if arguments.weights is None and arguments.model is not None:
        raise CommandError(
            f"--model says whose the --weights are; got {arguments.model!r} with a run, which "
            "knows its model; leave it out"
        )
    if arguments.weights is None and arguments.img_size is not None:
        raise CommandError(
            f"--img-size is for --weights; got {arguments.img_size!r} with a run, which knows the "
            "size of its pictures; leave it out"
        )
    if arguments.weights is not None and (arguments.ema or arguments.checkpoint is not None):
        option = "--ema" if arguments.ema else "--checkpoint"
        raise CommandError(
            f"{option} chooses among the weights of a run; got --weights; leave it out"
        )


def _load(arguments: argparse.Namespace) -> Loaded:
    from pathlib import Path

    from pdenet.training.evaluation.loading import load_file, load_run

    data_dir = arguments.data_dir
    if arguments.weights is not None:
        return load_file(
            Path(arguments.weights),
            arguments.model,
            data_dir=data_dir,
            batch_size=arguments.batch_size,
            image_size=arguments.img_size,
        )
    return load_run(
        Path(arguments.target),
        arguments.checkpoint or "best",
        average=arguments.ema,
        data_dir=data_dir,
        batch_size=arguments.batch_size,
    )


def _page_path(output: str | None, loaded: Loaded) -> Path:
    """Return where the page goes, before anything long is done."""
    from pathlib import Path

    path = check_file("--output", loaded.folder / PAGE if output is None else Path(output), PAGE)
    make_folder(path.parent)
    return path


def _print(report: Report) -> None:
    from pdenet.cli.solve import row

    evaluation, metrics = report.evaluation, report.evaluation.metrics
    print(f"{report.model} on {report.dataset}, {metrics.count:,} pictures")
    print(f"  {report.source}\n")
    for k, share in metrics.top.items():
        if k == 1 or k < len(evaluation.classes):
            row(f"top-{k}", f"{100 * share:.2f} %")
    row("loss", f"{metrics.loss:.4f}")
    row("throughput", f"{evaluation.throughput:,.0f} images/s on {evaluation.device}")
    undecided = int(metrics.undecided.sum())
    if undecided:
        row("not finite", f"{undecided} answers, which count as wrong")
    names = [_shortened(name) for name in evaluation.classes]
    width = max(8, *map(len, names))
    print(f"\n  {'class':<{width}}{'pictures':>10}{'recall':>9}{'precision':>11}{'F1':>8}")
    rows = zip(names, metrics.per_class(), strict=True)
    for name, one in list(rows)[:_SHOWN]:
        shares = f"{_share(one.recall):>9}{_share(one.precision):>11}{_share(one.f1):>8}"
        print(f"  {name:<{width}}{one.support:>10}{shares}")
    if len(names) > _SHOWN:
        print(f"  … and {len(names) - _SHOWN} more, on the page")


def _share(value: float) -> str:
    from pdenet.training.evaluation.page import percent

    return percent(value)


def _shortened(name: str) -> str:
    # A name with control characters could rewrite the terminal.
    shown = "".join(c if c.isprintable() else "�" for c in name)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
