"""`pdenet train`: train a classifier made from an equation, or go on training one."""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
from typing import Any  # keyword arguments of argparse

GROUPS = {
    "model": "model",
    "data": "data",
    "augmentation": "augmentation",
    "optimisation": "optimisation",
    "machine": "machine",
    "guard": "guard against divergence",
    "output": "recipe, output and checkpoints",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pdenet train`: a flag for each option of `TrainOptions`."""
    from pdenet.training.loop.options import OPTIONS

    parser.add_argument(
        "data",
        nargs="?",
        metavar="DATA",
        default=argparse.SUPPRESS,
        help="a folder with train/ and val/, or digits, or faces; by default the digits",
    )
    made = {group: parser.add_argument_group(title) for group, title in GROUPS.items()}
    made["output"].add_argument(
        "--config",
        metavar="FILE.toml",
        default=argparse.SUPPRESS,
        help="options by their names here: weight_decay = 1e-4",
    )
    for name, option in OPTIONS.items():
        kind, short = option.metadata["kind"], option.metadata["short"]
        flags = [flag for flag in (short, "--" + name.replace("_", "-")) if flag]
        more: dict[str, Any] = {"metavar": kind.metavar}
        if isinstance(option.default, bool):
            more = {"action": argparse.BooleanOptionalAction}
        elif kind.metavar == "KEY=VALUE" or name in ("scale", "ratio", "mean", "std"):
            more["nargs"] = "+"
        elif name == "resume":
            more |= {"nargs": "?", "const": "auto"}
        made[option.metadata["group"]].add_argument(
            *flags, dest=name, default=argparse.SUPPRESS, help=_help(option), **more
        )


def run(arguments: argparse.Namespace) -> int:
    """Train, and say how it went."""
    from pdenet.errors import TrainingError
    from pdenet.training.loop.options import OPTIONS, default_of, settle

    given: dict[str, Any] = {}
    for name, value in vars(arguments).items():
        if name in OPTIONS:
            option = OPTIONS[name]
            text = " ".join(value) if isinstance(value, list) else value
            is_text = isinstance(text, str)
            parse = option.metadata["kind"].parse
            given[name] = parse(name, text, default_of(option)) if is_text else text
    place = getattr(arguments, "data", None)
    if place is not None and given.setdefault("data_dir", place) != place:
        raise TrainingError(
            f"the data are named once; got {place!r} and --data-dir {given['data_dir']!r}; leave "
            "one out"
        )
    options = settle(given, getattr(arguments, "config", None))

    from pdenet.training.loop.train import train  # torch, once the options are known to be sound

    outcome = train(options)
    is_first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun started
    if outcome.stopped is not None:
        if is_first:
            name = signal.Signals(outcome.stopped).name
            print(f"stopped by {name} and saved; go on by: pdenet train --resume {outcome.folder}")
        return 128 + outcome.stopped  # as a shell counts processes that a signal ended
    if is_first:
        print(f"best top-1 {outcome.best_top1:.2f} %")
        print(f"next: pdenet evaluate {outcome.folder}")
    return 0


def _help(option: dataclasses.Field[Any]) -> str:
    from pdenet.training.loop.options import default_of

    text: str = option.metadata["help"]
    default = default_of(option)
    if default is None or default in ("", {}) or isinstance(default, bool):
        return text
    shown = " ".join(f"{v:.4g}" for v in default) if isinstance(default, tuple) else default
    return f"{text} ({shown})"
