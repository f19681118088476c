"""`pdenet info`: what there is to know about an equation, or the list of all of them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pdenet.cli.arguments import add_setup_arguments

if TYPE_CHECKING:  # --help does not wait for them
    from pdenet.cli.setup import Setup
    from pdenet.simulate.solver import Solver


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pdenet info`."""
    parser.add_argument(
        "target", nargs="?", metavar="NAME|FILE.toml", help="an equation; all of them if left out"
    )
    parser.add_argument(
        "--symmetries",
        action="store_true",
        help="say which symmetries the equation has, and why it has no others",
    )
    add_setup_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the list, or one equation with its stability bounds."""
    if arguments.target is None:
        _list()
        return 0
    from pdenet.cli.setup import read_setup

    setup = read_setup(arguments.target, arguments)
    pde = setup.pde
    analysis = pde.analysis
    print(f"{setup.name}: {pde.description}" if pde.description else setup.name)
    for line in str(pde).splitlines():
        print(f"    {line}")
    print()
    from pdenet.cli.solve import row

    row("kind", f"{analysis}{'; conservative' if analysis.is_conservative else ''}")
    row("fields", ", ".join(pde.fields))
    rows = []
    for p in pde.parameters:
        shape = f" ({', '.join(map(str, p.shape))})" if p.shape else ""
        value = "" if p.default is None else f" = {p.default}"
        text = f"  {p.description}" if p.description else ""
        rows.append(f"{p.name}{shape}{value}  [{p.unit}]{text}")
    row("parameters", "\n".join(rows) or "none")
    if not arguments.target.endswith(".toml"):
        from pdenet.equation.catalogue import catalogue

        options = catalogue.options(arguments.target)
        shown = (f"{k}={'…' if v is None else v}" for k, v in options.items())
        row("options", ", ".join(shown) or "none")
    if pde.source:
        row("source", pde.source)
    if arguments.symmetries:
        print("\nsymmetries, for any values of the parameters")
        for line in str(pde.symmetries()).splitlines():
            print(f"  {line}")
    if setup.intervals:
        print("\non a sample grid (--grid, --boundary, --set and --space choose another)")
        solver = setup.make_solver()
        _bounds(setup, solver)
        _network(setup, solver)
    return 0


def _list() -> None:
    from pdenet.equation.catalogue import catalogue

    width = max(map(len, catalogue))
    for name in catalogue:
        equation = "; ".join(str(catalogue[name]).splitlines())
        print(f"{name:<{width}}  {equation}")
        print(f"{'':<{width}}  {catalogue[name].description}")
    print("\n`pdenet info NAME` says more, `pdenet solve NAME` simulates.")


def _network(setup: Setup, solver: Solver) -> None:
    """Print what the equation compiles to as a network on the grid of the setup."""
    scheme = solver.scheme
    # What a network consists of depends on no time step.
    net = setup.pde.to_network(
        solver.grid,
        solver.boundary,
        values=setup.values,
        dt=solver.dt or 1.0,
        stepper=scheme.stepper.name,
        space=scheme.space,
        stability="ignore",
    )
    print("\n  as a network")
    for line in net.describe().splitlines():
        print(f"  {line}")


def _bounds(setup: Setup, chosen: Solver) -> None:
    """Print the stable time step of each stepper on the grid of the setup."""
    from dataclasses import replace

    from pdenet.cli.solve import describe, row
    from pdenet.discrete.steppers import STEPPERS
    from pdenet.errors import SchemeError, StabilityError

    describe(setup, chosen)
    initial = setup.initial_state(chosen.grid) if setup.initial else None
    print("\n  stable time steps")
    reason = ""
    for name in STEPPERS:
        options = {**setup.solver, "space": chosen.scheme.space, "stepper": name, "dt": "auto"}
        try:
            solver = replace(setup, solver=options).make_solver()
            state = None if initial is None else solver.initial_state(initial)
            bound = solver.bound(state if solver.integrator.stability.depends_on_state else None)
        except SchemeError:
            continue  # leapfrog and the like are for equations of second order in time
        except StabilityError as error:
            row(name, str(error))
            continue
        mark = "  (chosen)" if name == chosen.scheme.stepper.name else ""
        row(name, (f"dt <= {bound.dt:.6g}" if bound.dt > 0 else "unstable at every dt") + mark)
        if mark:
            reason = f"{bound.method}; {bound.reason}"
    row("", reason)
