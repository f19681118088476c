"""`pdenet demo`: make the sections, print their errors, write the page."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pdenet.cli.arguments import make_folder

if TYPE_CHECKING:  # --help does not wait for them
    from pdenet.cli.demo.section import Section

PAGE = "index.html"

STEPS = 30
"""Pieces of work that report to the progress bar."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pdenet demo`."""
    parser.add_argument(
        "--output",
        default="pdenet-demo",
        metavar="DIR",
        help="the folder of the page (pdenet-demo)",
    )
    parser.add_argument(
        "--fast", action="store_true", help="coarser grids, wider tolerances: a quick look"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; the exit status is 1 where an error passes its tolerance."""
    import time
    from pathlib import Path

    folder = make_folder(Path(arguments.output))

    from pdenet.cli.demo.page import page
    from pdenet.files import write_whole

    began = time.perf_counter()
    sections = _make(arguments.fast)
    seconds = time.perf_counter() - began
    # Whole or not at all: a browser may be looking at the older page.
    path = write_whole(folder / PAGE, page(sections, seconds, is_fast=arguments.fast)).resolve()
    missed = _report(sections)
    print(f"\n{seconds:.0f} s; the page: {path}")
    if missed:
        print(f"{missed} measured error{'s' * (missed != 1)} above the tolerance")
    return 1 if missed else 0


def parts() -> Sequence[Callable[..., Section]]:
    """Return the parts of the demo, in the order of the page."""
    from pdenet.cli.demo.diffusion import diffusion
    from pdenet.cli.demo.digits import digits
    from pdenet.cli.demo.networks import networks
    from pdenet.cli.demo.rotation import rotation
    from pdenet.cli.demo.walls import walls

    return diffusion, rotation, walls, networks, digits


def _make(is_fast: bool) -> list[Section]:
    import sys
    import time
    from contextlib import ExitStack

    import torch
    from threadpoolctl import threadpool_limits
    from tqdm import tqdm

    made: list[Section] = []
    every = parts()
    with (
        # On arrays as small as these a second thread costs more than it gives.
        threadpool_limits(1),
        ExitStack() as after,
        tqdm(total=STEPS, disable=None, bar_format="{desc:<40} {percentage:3.0f}%|{bar}|") as bar,
    ):
        after.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(1)

        def progress(name: str) -> None:
            bar.set_description_str(name)
            bar.update()

        def say(line: str) -> None:
            bar.write(line)
            sys.stdout.flush()  # a pipe would keep it to the end

        for k, part in enumerate(every, start=1):
            name, began = f"{k}/{len(every)} {part.__name__}", time.perf_counter()
            say(f"{name} …")
            made.append(part(is_fast, progress))
            say(f"{name}: {time.perf_counter() - began:.1f} s")
    return made


def _report(sections: Sequence[Section]) -> int:
    """Print each measured error beside its tolerance; return how many are missed."""
    missed = 0
    for section in sections:
        print(f"\n{section.title}:  {'; '.join(section.text.splitlines())}")
        for check in section.checks:
            mark = "ok" if check.is_met else "MISSED"
            missed += not check.is_met
            error, limit = check.measured_text, check.tolerance_text
            print(f"  {check.name:<42} {error:>18}  <= {limit:<18} {mark}")
    return missed
