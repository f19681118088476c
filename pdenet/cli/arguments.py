"""Arguments: how texts of the command line are read, and options that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any  # keyword arguments of argparse

from pdenet.errors import CommandError, suggest


def whole(text: str) -> int:
    """Read a positive whole number, as argparse's `type`."""
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise argparse.ArgumentTypeError(
            f"a positive whole number was expected; got {text!r}; write 64"
        )
    return int(text)


def one_of(*words: str) -> Callable[[str], str]:
    """Return what reads one of some words, as argparse's `type`, and offers the nearest."""

    def read(text: str) -> str:
        if text not in words:
            raise argparse.ArgumentTypeError(
                f"one of {', '.join(words)} was expected; got {text!r}.{suggest(text, words)}"
            )
        return text

    return read


def make_folder(folder: Path) -> Path:
    """Make the folder that --output names or lies in, before anything long is done.

    Raises:
        CommandError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(
            f"--output lies in a folder that can be made; got {str(folder)!r}: {error.strerror}; "
            "choose another"
        ) from error
    return folder


def check_file(option: str, path: Path, name: str) -> Path:
    """Return the path of a file to write.

    Args:
        option: the option that names it.
        path: the path.
        name: what such a file may be called.

    Raises:
        CommandError: it is a folder.
    """
    if path.is_dir():
        raise CommandError(
            f"{option} is a file; got the folder {str(path)!r}; write {str(path / name)!r}"
        )
    return path


def add_setup_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that override a preset or a file."""
    many: dict[str, Any] = {"action": "append", "default": [], "metavar": "TEXT"}
    group = parser.add_argument_group("equation, grid and walls")
    group.add_argument("--option", **many, help="variant of a catalogue entry: dimension=1")
    group.add_argument("--set", **many, help="a parameter: D=0.2, c=2*pi, A=[[1,0],[0,1]], A=a.npy")
    group.add_argument("--grid", **many, help="low:high:points: x=-1:1:128")
    group.add_argument("--points", metavar="N", help="nodes along each axis: 64, or x=64,y=32")
    group.add_argument(
        "--boundary",
        **many,
        help="periodic; x=dirichlet:0,neumann:1; y=robin:a:b:g; y.u=free; zero_padding",
    )
    group = parser.add_argument_group("scheme")
    for name, text in (
        ("stepper", "auto, euler, symplectic_euler, leapfrog, heun, ssprk3, rk4"),
        ("space", "auto, central2, central4, central6, nine_point, upwind, lax_friedrichs"),
        ("dt", 'the time step, or "auto"'),
        ("stability", "refuse, warn, ignore"),
        ("backend", "numpy, torch"),
        ("dtype", "float64, float32"),
        ("device", "where torch computes: cpu, cuda"),
    ):
        group.add_argument(f"--{name}", metavar=name.upper(), help=text)
