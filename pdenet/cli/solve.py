"""`pdenet solve`: simulate an equation, write its frames and a movie."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pdenet.cli.arguments import add_setup_arguments, make_folder, one_of

if TYPE_CHECKING:  # --help does not wait for them
    from pathlib import Path

    from pdenet.cli.setup import Setup
    from pdenet.simulate.result import Result
    from pdenet.simulate.solver import Solver

_SHOWN = 8  # components in the summary; a vector field may have hundreds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pdenet solve`."""
    parser.add_argument(
        "target",
        metavar="NAME|FILE.toml",
        help="a name of the catalogue (see `pdenet info`), or a file",
    )
    add_setup_arguments(parser)
    group = parser.add_argument_group("run")
    group.add_argument(
        "--initial",
        action="append",
        default=[],
        metavar="TEXT",
        help="an expression, field=expression, or a file: .png, .jpg, .npy, .zarr, .nc",
    )
    group.add_argument("--until", metavar="TIME", help="the time of the last frame")
    group.add_argument("--every", metavar="TIME", help="the time between frames")
    group.add_argument("--start", metavar="TIME", help="the time of the initial state")
    group = parser.add_argument_group("output")
    group.add_argument("--output", metavar="DIR", help="the folder to write to (out/NAME)")
    for option, kinds in (("--data", ("zarr", "nc", "none")), ("--movie", ("gif", "mp4", "none"))):
        first, second, third = kinds
        group.add_argument(
            option,
            type=one_of(*kinds),
            default=first,
            metavar="KIND",
            help=f"{first}, {second} or {third}",
        )
    group.add_argument("--overwrite", action="store_true", help="replace an older result")


def run(arguments: argparse.Namespace) -> int:
    """Simulate, write, and say what was done."""
    import time

    from pdenet.cli.setup import read_setup
    from pdenet.errors import CommandError
    from pdenet.simulate.times import check_interval

    setup = read_setup(arguments.target, arguments)
    data, movie = _outputs(arguments, setup.name)
    solver = setup.make_solver()
    initial = setup.initial_state(solver.grid)
    times = setup.times
    if "until" not in times:
        raise CommandError(
            "a run needs its end; got none; write --until 1, or until = 1 under [time]"
        )
    start, until = check_interval(times.get("start", 0.0), times["until"])
    if times.get("every", 1.0) <= 0:
        raise CommandError(f"every is a positive time; got {times['every']:g}; leave it out")
    _announce(setup, solver, initial, start, until)
    began = time.perf_counter()
    if data is not None or movie is not None:
        make_folder((data or movie).parent)  # type: ignore[union-attr]  # one is not None
    every = times.get("every")
    result = solver.run(
        initial, until, every, start=start, save=data, overwrite=arguments.overwrite
    )
    ran = time.perf_counter() - began
    if movie is not None:
        result.movie(movie)
    _conclude(result, ran, [path for path in (data, movie) if path is not None])
    return 0


def _outputs(arguments: argparse.Namespace, name: str) -> tuple[Path | None, Path | None]:
    from pathlib import Path

    from pdenet.errors import CommandError

    stem = "".join(c if c.isalnum() or c in "-_" else "_" for c in name) or "run"
    folder = Path(arguments.output) if arguments.output is not None else Path("out", stem)
    if folder.exists() and not folder.is_dir():
        raise CommandError(f"--output is a folder; got the file {str(folder)!r}; choose another")
    made: list[Path | None] = []
    for kind in (arguments.data, arguments.movie):
        path = None if kind == "none" else folder / f"{stem}.{kind}"
        if path is not None and path.exists() and not arguments.overwrite:
            raise CommandError(
                f"a new result was expected; {str(path)!r} exists; add --overwrite to replace it, "
                "or choose another --output"
            )
        made.append(path)
    return made[0], made[1]


def row(name: str, text: str) -> None:
    """Print one line of a summary, further lines of the text below it."""
    first, *rest = text.splitlines() or [""]
    print(f"  {name:<11}{first}" if len(name) < 11 else f"  {name} {first}")
    for line in rest:
        print(f"  {'':<11}{line}")


def describe(setup: Setup, solver: Solver) -> None:
    """Print grid, boundary, parameters and scheme."""
    import numpy as np

    row("grid", repr(solver.grid))
    row("boundary", repr(solver.boundary).removeprefix("Boundary(")[:-1])
    numbers = {**solver.values.numbers, **solver.values.tensors, **solver.values.sizes}
    parts = [
        f"{k} = {v}" if np.ndim(v) == 0 else f"{k}: array {np.shape(v)}" for k, v in numbers.items()
    ]
    row("parameters", ", ".join(parts) or "none")
    if setup.note:
        row("", setup.note)
    row(
        "scheme",
        f"{solver.scheme.space} in space, {solver.scheme.stepper.name} in time; "
        f"{solver.backend}, {solver.integrator.dtype}",
    )


def bound_text(solver: Solver, state: object, start: float) -> str:
    """Return the stability bound as a line."""
    import math

    stability = solver.integrator.stability
    bound = solver.bound(state if stability.depends_on_state else None, start)
    if math.isinf(bound.dt):
        return f"at every dt ({bound.reason})"
    limit = f"dt <= {bound.dt:.6g}" if bound.dt > 0 else "at no dt"
    now = " for the initial state" if stability.depends_on_state else ""
    return f"{limit}{now}\n{bound.method}; {bound.reason}"


def _announce(setup: Setup, solver: Solver, initial: object, start: float, until: float) -> None:
    pde = setup.pde
    print(f"{setup.name}: {pde.description}" if pde.description else setup.name)
    for line in str(pde).splitlines():
        print(f"    {line}")
    print()
    describe(setup, solver)
    for k, (name, given) in enumerate(setup.initial.items()):
        row("" if k else "initial", f"{name} = {given}" if name else f"{given}")
    row("stable", bound_text(solver, solver.initial_state(initial, start), start))
    row("dt", "found anew at each step" if solver.dt is None else f"{solver.dt:.6g} at most")
    row("time", f"{start:g} to {until:g}")
    print(flush=True)


def _conclude(result: Result, seconds: float, written: list[Path]) -> None:
    frames = len(result.times)
    print(f"{frames} frame{'s' * (frames != 1)} in {seconds:.2f} s")
    shown = list(zip(result.components, result.states[0], result.final, strict=True))
    for name, first, last in shown[:_SHOWN]:
        row(
            name,
            f"from [{first.min():.4g}, {first.max():.4g}] to [{last.min():.4g}, {last.max():.4g}], "
            f"mean {first.mean():.6g} to {last.mean():.6g}",
        )
    if len(shown) > _SHOWN:
        row("…", f"{len(shown) - _SHOWN} more components")
    for k, path in enumerate(written):
        row("" if k else "written", str(path))
