"""Setup: all that a run needs, from a preset or a file, overridden by the command line."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any  # values and initial states are numbers, arrays or expressions

from pdenet.cli import texts
from pdenet.cli.files import SOLVER, STATES, TIMES, equation_of, read_state, read_toml
from pdenet.cli.presets import preset_for
from pdenet.discrete.boundary import Boundary
from pdenet.discrete.grid import Grid
from pdenet.equation.catalogue import catalogue
from pdenet.equation.parse import parse_expression
from pdenet.equation.pde import PDE
from pdenet.errors import CommandError, suggest
from pdenet.simulate.solver import Solver

_FIELD = re.compile(r"\s*([^\W\d]\w*)\s*=(?!=)(.*)", re.DOTALL)


@dataclass
class Setup:
    """One run, as texts that are read when the solver is made.

    Attributes:
        pde: the equation.
        name: for the names of files.
        intervals: for each axis (low, high, points).
        boundary: for each axis its conditions.
        values: values of parameters.
        initial: for each field a text, a number or a file; under "" one for all.
        times: until, and perhaps start and every.
        solver: keyword arguments of the solver.
        folder: where the files that are named stand.
        note: what a reader should know.
        rests: whether fields that `initial` leaves out start as 0.
    """

    pde: PDE
    name: str
    intervals: dict[str, texts.Interval] = field(default_factory=dict)
    boundary: dict[str, texts.Sides] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    initial: dict[str, Any] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)
    solver: dict[str, Any] = field(default_factory=dict)
    folder: Path = Path()
    note: str = ""
    rests: bool = False

    def make_solver(self) -> Solver:
        """Return the solver.

        Raises:
            CommandError: a part is missing.
            PdenetError: the parts do not make a solver.
        """
        self._require(self.intervals, "grid", "x=-1:1:128")
        self._require(self.boundary, "boundary", "x=periodic")
        return self.pde.to_solver(
            Grid(**self.intervals), Boundary(**self.boundary), values=self.values, **self.solver
        )

    def _require(self, given: dict[str, Any], what: str, example: str) -> None:
        for axis in self.pde.axes:
            if axis not in given:
                raise CommandError(
                    f"every axis needs a {what}; got none for {axis}; write --{what} "
                    f"{axis}{example[1:]}, or {axis} = … under [{what}] in the file"
                )

    def initial_state(self, grid: Grid) -> Any:
        """Return the initial state as `Solver.run` takes it.

        Raises:
            CommandError: there is none, or a file cannot be read.
            ParseError: a text is not of the language.
        """
        if not self.initial:
            raise CommandError(
                "a run needs an initial state; got none; write --initial "
                '"exp(-40*(x^2 + y^2))", or [initial] in the file'
            )
        if "" in self.initial:
            return self._state(self.initial[""], grid)
        made = {name: self._state(given, grid) for name, given in self.initial.items()}
        for info in self.pde.system.fields:
            # A preset speaks of the fields that move; the others are at rest.
            if self.rests and info.rate_of is None:
                made.setdefault(info.name, 0.0)
        return made

    def _state(self, given: Any, grid: Grid) -> Any:
        if not isinstance(given, str):
            return texts.number(given, "an initial state")
        if given.strip().lower().endswith(STATES):
            return read_state(self.folder / given.strip(), grid)
        scalars = [p.name for p in self.pde.parameters if p.kind == "scalar"]
        return parse_expression(given, (*self.pde.axes, *scalars))


def read_setup(target: str, arguments: argparse.Namespace) -> Setup:
    """Return the setup of a catalogue entry or a TOML file, overrides applied.

    Raises:
        CommandError: the target or an override does not exist or cannot be read.
        PdenetError: the equation cannot be made.
    """
    setup = _from_file(Path(target), arguments) if target.endswith(".toml") else None
    if setup is None:
        setup = _from_catalogue(target, _options(arguments.option))
    _override(setup, arguments)
    return setup


def _options(given: list[str]) -> dict[str, object]:
    options: dict[str, object] = {}
    for text in given:
        name, one = texts.split_assignment(text, "an option", "--option dimension=1")
        options[name] = int(one) if one.isdecimal() else one
    return options


def _from_catalogue(name: str, options: dict[str, object]) -> Setup:
    for given in ("A", "B"):
        if name == "eq1" and given in options:
            raise CommandError(
                f"matrices of eq1 are given in Python; got {given}={options[given]!r}; write the "
                "system out in a TOML file instead"
            )
    if name not in catalogue and Path(f"{name}.toml").exists():
        raise CommandError(f"there is no equation {name!r}; there is a file: {name}.toml")
    pde = catalogue.build(name, **options)
    setup = Setup(pde, name)
    _use_preset(setup)
    return setup


def _use_preset(setup: Setup) -> None:
    preset = preset_for(setup.pde)
    if preset is None:
        return
    axes = setup.pde.axes
    count = preset.num_points(len(axes))
    setup.intervals = dict.fromkeys(axes, (preset.low, preset.high, count))
    setup.boundary = {axis: texts.sides(preset.boundary, setup.pde, axis) for axis in axes}
    setup.initial = dict(preset.initial)
    setup.values = dict(preset.values)
    setup.times = {"until": preset.until}
    setup.solver = dict(preset.scheme)
    setup.note = preset.note
    setup.rests = True


def _from_file(path: Path, arguments: argparse.Namespace) -> Setup:
    if arguments.option:
        raise CommandError(
            f"--option belongs to an equation of the catalogue; got {arguments.option[0]!r} for "
            f"{path.name}; write [options] in the file"
        )
    document = read_toml(path)
    pde = equation_of(document, path)
    setup = Setup(pde, document.get("name", path.stem), folder=path.parent)
    if "catalogue" in document:
        _use_preset(setup)
    for axis, parts in document.get("grid", {}).items():
        texts.check_axis(axis, pde.axes, "a grid")
        setup.intervals[axis] = texts.interval(parts, axis)
    for axis, given in document.get("boundary", {}).items():
        texts.check_axis(axis, pde.axes, "a boundary condition")
        setup.boundary[axis] = texts.sides(given, pde, axis)
    for name, given in document.get("parameters", {}).items():
        if isinstance(given, str) and given.endswith(".npy"):
            given = str(path.parent / given)
        setup.values[name] = texts.value(given, pde, name)
    initial = document.get("initial", {})
    if initial:
        setup.initial = {"": initial} if not isinstance(initial, dict) else dict(initial)
        setup.rests = False
        _check_fields(setup)
    for name, given in document.get("time", {}).items():
        setup.times[name] = texts.number(given, f"{name} under [time]")
    setup.solver |= document.get("solver", {})
    return setup


def _check_fields(setup: Setup) -> None:
    for name in setup.initial:
        if name and name not in setup.pde.fields:
            raise CommandError(
                f"the fields are {', '.join(setup.pde.fields)}; got an initial state for {name!r}."
                f"{suggest(name, setup.pde.fields)}"
            )


def _override(setup: Setup, arguments: argparse.Namespace) -> None:
    pde = setup.pde
    for text in (part for given in arguments.grid for part in texts.split_outside(given)):
        axis, parts = texts.split_assignment(text, "a grid", "--grid x=-1:1:128")
        texts.check_axis(axis, pde.axes, "a grid")
        setup.intervals[axis] = texts.interval(parts, axis)
    if arguments.points is not None:
        _override_points(setup, arguments.points)
    for text in arguments.boundary:
        _override_boundary(setup, text)
    for text in arguments.set:
        name, given = texts.split_assignment(text, "a parameter", "--set D=0.2")
        setup.values[name] = texts.value(given, pde, name)
    for name in SOLVER:
        given = getattr(arguments, name)
        if given is not None:
            is_number = name == "dt" and given != "auto"
            setup.solver[name] = texts.number(given, "dt") if is_number else given
    for name in TIMES:
        if getattr(arguments, name, None) is not None:
            setup.times[name] = texts.number(getattr(arguments, name), f"--{name}")
    initial = getattr(arguments, "initial", [])
    for text in initial:
        _override_initial(setup, text)
    _check_fields(setup)


def _override_points(setup: Setup, text: str) -> None:
    chosen = dict.fromkeys(setup.pde.axes, text)
    if "=" in text:
        pairs = [
            texts.split_assignment(part, "the points of an axis", "--points x=64,y=32")
            for part in texts.split_outside(text)
        ]
        chosen = dict(pairs)
    for axis, count in chosen.items():
        texts.check_axis(axis, setup.pde.axes, "points")
        if axis not in setup.intervals:
            raise CommandError(
                f"--points changes a grid; got none along {axis}; write --grid {axis}=-1:1:{count}"
            )
        low, high, _ = setup.intervals[axis]
        setup.intervals[axis] = (low, high, texts.points(count, axis))


def _override_boundary(setup: Setup, text: str) -> None:
    pde = setup.pde
    if "=" not in text:
        setup.boundary = {axis: texts.sides(text, pde, axis) for axis in pde.axes}
        return
    place, given = texts.split_assignment(text, "a boundary", "--boundary x=dirichlet:0,neumann:1")
    axis, dot, name = place.partition(".")
    texts.check_axis(axis, pde.axes, "a boundary condition")
    made = texts.sides(given, pde, place)
    if dot and name not in pde.fields:
        raise CommandError(
            f"the fields are {', '.join(pde.fields)}; got a condition for {name!r} on axis {axis}."
            f"{suggest(name, pde.fields)}"
        )
    if not dot:
        setup.boundary[axis] = made
        return
    before = setup.boundary.get(axis)
    if not isinstance(before, dict):
        written = list(pde.system.written)
        before = {} if before is None else dict.fromkeys(written, before)
    setup.boundary[axis] = {**before, name: made}


def _override_initial(setup: Setup, text: str) -> None:
    match = _FIELD.match(text)
    name, given = (match[1], match[2].strip()) if match else ("", text.strip())
    if not given:
        raise CommandError(
            f"an initial state is an expression, a file, or field=expression; got {text!r}; write "
            '--initial "exp(-40*(x^2 + y^2))"'
        )
    if given.lower().endswith(STATES):
        given = str(Path(given).resolve())  # beside the caller, not beside the TOML file
    setup.initial = {"": given} if not name else {**setup.initial, name: given}
    if name:
        setup.initial.pop("", None)
