"""Bad input to solvers: one clear error each, of the right class, with name, value and advice.

Equations have `tests/equation/test_bad_equations.py`, boundaries `tests/discrete/test_boundary.py`.
"""

# ruff: noqa: E501 (tables read best with one case a line)
from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp
import torch

import pdenet as pn
from pdenet.errors import (
    BackendError,
    BoundaryError,
    EquationError,
    GridError,
    IllPosedError,
    InitialStateError,
    PdenetError,
    ResultError,
    SchemeError,
    StabilityError,
    TimeError,
    ValuesError,
)

t, x, y, z = pn.coordinates("t x y z")
u = pn.fields("u", (t, x))
k = sp.Function("k")(x)
GRID, RING = pn.Grid(x=(0, 1, 9)), pn.Boundary(x=pn.Periodic())
PLANE, TORUS = pn.Grid(x=(0, 1, 8), y=(0, 1, 9)), pn.Boundary(x=pn.Periodic(), y=pn.Periodic())
HEAT, HEAT2 = pn.catalogue.build("heat", dimension=1), pn.catalogue["heat"]
WAVE, BURGERS = pn.catalogue.build("wave", dimension=1), pn.catalogue["burgers_1d"]
GRAY = pn.catalogue.build("gray_scott", dimension=1)
ADVECTION = pn.catalogue.build("advection", dimension=1)
EQ3 = pn.catalogue.build("eq3", dimension=1)
VARIABLE = pn.PDE(sp.Eq(u.diff(t), k * u.diff(x, 2)))
NO_DEFAULT = pn.PDE(sp.Eq(u.diff(t), sp.Symbol("alpha") * u.diff(x, 2)))


@dataclass(frozen=True)
class Case:
    """What is done, the class of the error, and what its message names."""

    name: str
    do: Callable[[], object]
    error: type[Exception]
    parts: tuple[str, ...]


def heat(**options: Any) -> pn.Solver:
    return HEAT.to_solver(GRID, RING, **options)


def start(**changes: Any) -> Callable[[], object]:
    """Run heat on nine nodes with something changed."""
    given: dict[str, Any] = {"initial": 0, "until": 0.1, **changes}
    return lambda: heat().run(**given)


def with_bad(value: float, dtype: str = "float64") -> np.ndarray:
    made = np.zeros((1, 9), dtype=dtype)
    made[0, 4] = value
    return made


CASES = [
    # Grids and boundaries that do not belong to the equation
    Case("a grid that is none", lambda: HEAT.to_solver((9,), RING), GridError, ("pn.Grid", "(9,)")),  # type: ignore[arg-type]
    Case("no boundary", lambda: HEAT.to_solver(GRID, None), BoundaryError, ("pn.Boundary", "None")),  # type: ignore[arg-type]
    Case("axes of another dimension", lambda: HEAT2.to_solver(GRID, RING), GridError, ("(x, y)", "(x)", "give the grid")),
    Case("grid smaller than the stencil", lambda: HEAT.to_solver(pn.Grid(x=(0, 1, 4)), RING, space="central4"), GridError, ("5 points", "got 4", "refine")),
    Case("grid smaller than the one-sided stencil", lambda: pn.catalogue["kdv"].to_solver(pn.Grid(x=(0, 1, 4)), pn.Boundary(x=pn.Free()), space="central2"), GridError, ("5", "got 4", "refine")),
    Case("unmentioned side", lambda: HEAT2.to_solver(PLANE, RING), BoundaryError, ("y low", "y high", "no default", "Periodic()")),
    Case("a condition on an axis that is not there", lambda: HEAT.to_solver(GRID, TORUS), BoundaryError, ("x", "on y", "remove")),
    Case("a state beyond all memory", lambda: pn.catalogue.build("heat", dimension=3).to_solver(pn.Grid(**dict.fromkeys("xyz", (0, 1, 100_000))), pn.Boundary(**dict.fromkeys("xyz", pn.Periodic()))), GridError, ("8,000,000,000,000,000 bytes", "fewer points")),
    Case("more frames than memory", lambda: HEAT.to_solver(pn.Grid(x=(0, 1, 10**6)), RING, stepper="euler", dt=1, stability="ignore").run(0, until=1e6, every=1), GridError, ("1000001 frames", "bytes", "save=")),
    # Values
    Case("an unknown parameter", lambda: heat(values={"Dd": 1}), ValuesError, ("'Dd'", "Did you mean 'D'?")),
    Case("a missing parameter", lambda: NO_DEFAULT.to_solver(GRID, RING), ValuesError, ("alpha", "values={'alpha'")),
    Case("a parameter given twice", lambda: heat(values={"D": 1, sp.Symbol("D"): 2}), ValuesError, ("two for 'D'", "remove one")),
    Case("text for a parameter", lambda: heat(values={"D": "__import__('os')"}), ValuesError, ("'D'", "__import__", "parse_expression")),
    Case("a bool for a parameter", lambda: heat(values={"D": True}), ValuesError, ("'D'", "True")),
    Case("a NaN for a parameter", lambda: heat(values={"D": math.nan}), ValuesError, ("'D'", "nan")),
    Case("a complex parameter", lambda: heat(values={"D": 1j}), ValuesError, ("'D'", "1j")),
    Case("a symbolic complex parameter", lambda: heat(values={"D": sp.I}), ValuesError, ("'D'", "I")),
    Case("an array for a scalar", lambda: heat(values={"D": np.ones(9)}), ValuesError, ("'D'", "shape (9,)", "sp.Function")),
    Case("a key that is no name", lambda: heat(values={3: 1}), ValuesError, ("3", "int", "use the name")),
    Case("a coefficient of the wrong shape", lambda: VARIABLE.to_solver(GRID, RING, values={"k": np.ones(7)}), ValuesError, ("'k'", "(9,)", "(7,)")),
    Case("a coefficient with a NaN", lambda: VARIABLE.to_solver(GRID, RING, values={"k": with_bad(math.nan)[0]}), ValuesError, ("'k'", "nan", "cell (4,)")),
    Case("a coefficient of unknown names", lambda: VARIABLE.to_solver(GRID, RING, values={"k": 1 + sp.Symbol("q")}), ValuesError, ("'k'", "q")),
    Case("a tensor of the wrong rank", lambda: EQ3.to_solver(GRID, RING, values={"A": np.ones(2), "C": np.eye(2)}), ValuesError, ("'A'", "2 indices", "(2,)", "reshape")),
    Case("tensors that disagree", lambda: EQ3.to_solver(GRID, RING, values={"A": np.eye(2), "C": np.eye(3)}), ValuesError, ("(3, 3)", "agree")),
    Case("a ragged tensor", lambda: EQ3.to_solver(GRID, RING, values={"A": [[1], [1, 2]], "C": np.eye(2)}), ValuesError, ("'A'", "different lengths")),
    Case("a coefficient singular on the grid", lambda: VARIABLE.to_solver(GRID, RING, values={"k": 1 / (x - sp.Rational(1, 3)) ** 2}), EquationError, ("cell (3,)", "x = 0.333333", "inf", "move the grid")),
    # Schemes
    Case("an unknown stepper", lambda: heat(stepper="rk5"), SchemeError, ("'rk5'", "rk4")),
    Case("an unknown space", lambda: heat(space="centrl2"), SchemeError, ("'centrl2'", "Did you mean 'central2'?")),
    Case("leapfrog of first order in time", lambda: heat(stepper="leapfrog"), SchemeError, ("leapfrog", "u_t", "rk4")),
    Case("Lax–Friedrichs of second order", lambda: heat(space="lax_friedrichs", stepper="euler"), SchemeError, ("first order", "order 2", "central2")),
    Case("the nine-point Laplacian in one dimension", lambda: heat(space="nine_point"), SchemeError, ("two dimensions", "central2")),
    Case("upwind of a varying matrix", lambda: pn.catalogue["shallow_water"].to_solver(PLANE, TORUS, space="upwind"), SchemeError, ("upwind", "got", "central2")),
    Case("an unknown mode", lambda: heat(stability="strict"), StabilityError, ("'strict'", "refuse, warn, ignore")),
    Case("backward heat", lambda: heat(values={"D": -1}), IllPosedError, ("equation of u", "grow without bound", "change the sign")),
    Case("backward heat by a coefficient", lambda: VARIABLE.to_solver(GRID, RING, values={"k": x - 2}), IllPosedError, ("equation of u", "grow without bound", "change the sign")),
    # Back ends
    Case("an unknown back end", lambda: heat(backend="nunpy"), BackendError, ("'nunpy'", "Did you mean 'numpy'?")),
    Case("an unknown dtype", lambda: heat(dtype="float16"), BackendError, ("'float16'", "float32")),
    Case("a complex dtype", lambda: heat(dtype="complex128"), BackendError, ("'complex128'", "float64")),
    Case("NumPy on a GPU", lambda: heat(device="cuda"), BackendError, ("'cuda'", 'backend="torch"')),
    Case("a device torch does not have", lambda: heat(backend="torch", device="warp"), BackendError, ("'warp'", 'device="cpu"')),
    # Time steps
    *(
        Case(f"dt = {dt!r}", lambda dt=dt: heat(dt=dt), TimeError, ("dt", repr(dt), "auto"))  # type: ignore[misc]
        for dt in (math.nan, math.inf, -math.inf, 0, -0.1, True, "fast", None, 1j, [0.1])
    ),
    Case("dt above the bound", lambda: heat(dt=0.7, stepper="euler"), StabilityError, ("dt = 0.7", "0.0617", "forward Euler", "use dt <=")),
    Case("dt that another stepper takes", lambda: heat(dt=0.07, stepper="euler"), StabilityError, ("dt = 0.07", 'stepper="rk4"')),
    Case("no stable dt", lambda: ADVECTION.to_solver(GRID, RING, stepper="euler", space="central2"), StabilityError, ("forward Euler", "every dt", 'stepper="rk4"')),
    # Times of a run
    *(
        Case(f"until = {until!r}", start(until=until), TimeError, ("until", repr(until)))
        for until in (math.nan, math.inf, None, "1", True, 1j)
    ),
    Case("until before start", start(until=1, start=2), TimeError, ("start = 2", "until = 1")),
    Case("start that is no number", start(start=math.nan), TimeError, ("start", "nan")),
    *(
        Case(f"every = {every!r}", start(every=every), TimeError, ("every", repr(every)))
        for every in (0, -1.0, math.nan, "0.1", True)
    ),
    Case("too many outputs", start(every=1e-300), TimeError, ("ten million", "1e-300", "raise every")),
    # Initial states
    Case("wrong shape", start(initial=np.zeros((1, 8))), InitialStateError, ("(1, 9)", "(1, 8)", "resample")),
    Case("wrong number of components", start(initial=np.zeros((2, 9))), InitialStateError, ("(1, 9)", "(2, 9)")),
    Case("complex array", start(initial=np.zeros((1, 9), complex)), InitialStateError, ("complex128", "astype(float)")),
    Case("array of objects", start(initial=np.array([["a"] * 9])), InitialStateError, ("dtype", "astype(float)")),
    Case("array of bools", start(initial=np.zeros((1, 9), bool)), InitialStateError, ("bool", "astype(float)")),
    Case("NaN", start(initial=with_bad(math.nan)), InitialStateError, ("nan", "'u'", "cell (4,)")),
    Case("infinity", start(initial=with_bad(-math.inf)), InitialStateError, ("-inf", "'u'", "cell (4,)")),
    Case("expression singular on the grid", start(initial=1 / (x - sp.Rational(1, 3))), InitialStateError, ("'u'", "cell (3,)")),
    Case("text", start(initial="sin(x)"), InitialStateError, ("sin(x)", "parse_expression")),
    Case("text in a mapping", start(initial={"u": "sin(x)"}), InitialStateError, ("'u'", "sin(x)", "parse_expression")),
    Case("bool", start(initial=True), InitialStateError, ("True",)),
    Case("None", start(initial=None), InitialStateError, ("None",)),
    Case("complex number", start(initial=1j), InitialStateError, ("1j",)),
    Case("imaginary expression", start(initial=sp.I * x), InitialStateError, ("real", "I*x")),
    Case("unknown name", start(initial=sp.Symbol("q") * x), InitialStateError, ("q",)),
    Case("coordinate of another dimension", start(initial=y), InitialStateError, ("y",)),
    Case("unknown field", lambda: GRAY.to_solver(GRID, RING).run({"u": 1, "v": 0, "vv": 0}, until=1), InitialStateError, ("'vv'", "Did you mean 'v'?")),
    Case("missing field", lambda: GRAY.to_solver(GRID, RING).run({"u": 1}, until=1), InitialStateError, ("none for v", "add 'v'")),
    Case("a field twice", start(initial={"u": 1, u: 2}), InitialStateError, ("two for 'u'",)),
    Case("one expression for two fields", lambda: GRAY.to_solver(GRID, RING).run(x, until=1), InitialStateError, ("u, v", "x")),
    Case("three expressions for two fields", lambda: GRAY.to_solver(GRID, RING).run([x, x, x], until=1), InitialStateError, ("u, v", "3")),
    Case("one array in a mapping of the wrong shape", start(initial={"u": np.zeros(8)}), InitialStateError, ("'u'", "(9,)", "(8,)")),
    Case("a value too large for float32", lambda: heat(dtype="float32").run(with_bad(1e300), until=0.1), InitialStateError, ("'u'", "cell (4,)")),
    # States of step and advance
    Case("step without an array", lambda: heat().step(3), InitialStateError, ("(1, 9)", "int", "initial_state")),
    Case("step with a wrong shape", lambda: heat().step(np.zeros(9)), InitialStateError, ("(1, 9)", "(9,)")),
    Case("step with a wrong dtype", lambda: heat().step(np.zeros((1, 9), np.float32)), InitialStateError, ("float64", "float32", "dtype=")),
    Case("a tensor for NumPy", lambda: heat().step(torch.zeros(1, 9, dtype=torch.float64)), InitialStateError, ("tensor", 'backend="torch"')),
    Case("advance backwards", lambda: heat().advance(np.zeros((1, 9)), 1, 2), TimeError, ("start = 2", "until = 1")),
    Case("bound without a state", lambda: BURGERS.to_solver(GRID, RING).bound(), StabilityError, ("state", "bound(state)")),
    # Files
    Case("a suffix that is none", start(save="run.csv"), ResultError, (".csv", ".zarr", ".nc")),
    Case("nothing to resume", lambda: heat().resume("/nowhere/run.zarr"), ResultError, ("/nowhere/run.zarr",)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_ends_in_one_clear_error(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PdenetError) as caught:
            case.do()
    assert type(caught.value) is case.error
    assert isinstance(caught.value, ValueError | RuntimeError | KeyError)
    message = str(caught.value)
    for part in case.parts:
        assert part in message, message
    # Two clauses at least (expected; got), and no page of numbers.
    assert "; " in message
    assert len(message) < 1200
    assert list(tmp_path.iterdir()) == []  # nothing is left behind


def test_there_are_enough_bad_inputs() -> None:
    assert len(CASES) >= 45
    assert len({case.name for case in CASES}) == len(CASES)


def test_text_is_never_evaluated(tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    text = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    for attempt in (
        lambda: heat(values={"D": text}),
        lambda: heat().run(text, until=0.1),
        lambda: heat().run({"u": text}, until=0.1),
        lambda: heat().run([text], until=0.1),
        lambda: pn.Dirichlet(text),
        lambda: heat(values={text: 1}),
        lambda: heat(dt=text),
        lambda: heat().run(0, until=text),  # type: ignore[arg-type]
        lambda: heat().run(sp.Symbol(text), until=0.1),
        lambda: heat(values={"D": sp.Symbol(text)}),
        lambda: VARIABLE.to_solver(GRID, RING, values={"k": sp.Symbol(text) * x}),
        lambda: HEAT.to_solver(GRID, pn.Boundary(x=pn.Dirichlet(sp.Symbol(text)))),
    ):
        with pytest.raises(PdenetError):
            attempt()
    assert not marker.exists()


def test_refusals_come_before_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    from pdenet.discrete.program import Program

    def never(*arguments: object) -> None:
        raise AssertionError("a step was taken")

    monkeypatch.setattr(Program, "step", never)
    with pytest.raises(StabilityError):
        heat(dt=1.0)
    with pytest.raises(StabilityError):
        BURGERS.to_solver(GRID, RING, dt=1.0).run(100 * sp.sin(x), until=1)
