"""Bad input to networks: one clear error each, with what was expected, what came, what to do.

Equations, boundaries, values and stability are checked by the code that solvers use; see the files
of this name elsewhere. What is here meets them through `to_network`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import sympy as sp
import torch

import pdenet as pn
from pdenet.errors import (
    BoundaryError,
    GridError,
    IllPosedError,
    NetworkError,
    PdenetError,
    SchemeError,
    StabilityError,
    StabilityWarning,
    TimeError,
    ValuesError,
)
from pdenet.network.network import Network

t, x = pn.coordinates("t x")
u = pn.fields("u", (t, x))
k = sp.Function("k")(x)
GRID, RING = pn.Grid(x=(0, 1, 9)), pn.Boundary(x=pn.Periodic())
PLANE, TORUS = pn.Grid(x=(0, 1, 8), y=(0, 1, 9)), pn.Boundary(x=pn.Periodic(), y=pn.Periodic())
HEAT = pn.catalogue.build("heat", dimension=1)
BURGERS = pn.catalogue["burgers_1d"]
VARIABLE = pn.PDE(sp.Eq(u.diff(t), k * u.diff(x, 2)))
DIFFERENTIATED = pn.PDE(sp.Eq(u.diff(t), k * u.diff(x, 2) + k.diff(x) * u.diff(x)))
NO_DEFAULT = pn.PDE(sp.Eq(u.diff(t), sp.Symbol("alpha") * u.diff(x, 2)))
SOURCE = pn.PDE(sp.Eq(u.diff(t), sp.sin(x)))


@dataclass(frozen=True)
class Case:
    """What is done, the class of the error, and what its message names."""

    name: str
    do: Callable[[], object]
    error: type[Exception]
    parts: tuple[str, ...]


def heat(**options: Any) -> Network:
    return HEAT.to_network(GRID, RING, **options)


def called(net: Callable[[], Network] = heat, **changes: Any) -> Callable[[], object]:
    """Call a network on a good input with something changed."""
    given: dict[str, Any] = {"u": torch.zeros(2, 1, 9), **changes}
    return lambda: net()(**given)


def advanced(**changes: Any) -> Callable[[], object]:
    given: dict[str, Any] = {"u": torch.zeros(2, 1, 9), "steps": 2, **changes}
    return lambda: heat().advance(**given)


CASES = [
    # Inputs
    Case(
        "one state without a batch",
        called(u=torch.zeros(1, 9)),
        NetworkError,
        ("(batch, 1, 9)", "one state of shape (1, 9)", "u[None]"),
    ),
    Case(
        "two channels of one",
        called(u=torch.zeros(2, 2, 9)),
        NetworkError,
        ("(batch, 1, 9)", "channels u", "(2, 2, 9)", "reshape"),
    ),
    Case(
        "the channel last",
        called(u=torch.zeros(2, 9, 1)),
        NetworkError,
        ("(batch, 1, 9)", "x last", "(2, 9, 1)"),
    ),
    Case(
        "another grid",
        called(u=torch.zeros(2, 1, 8)),
        NetworkError,
        ("(batch, 1, 9)", "(2, 1, 8)", "build the network on its grid"),
    ),
    Case(
        "x and y exchanged",
        called(lambda: pn.catalogue["heat"].to_network(PLANE, TORUS), u=torch.zeros(2, 1, 8, 9)),
        NetworkError,
        ("(batch, 1, 9, 8)", "(2, 1, 8, 9)", "x last"),
    ),
    Case(
        "no axes at all", called(u=torch.tensor(1.0)), NetworkError, ("(batch, 1, 9)", "shape ()")
    ),
    Case(
        "integers",
        called(u=torch.zeros(2, 1, 9, dtype=torch.int64)),
        NetworkError,
        ("torch.float32", "torch.int64", "u.to(torch.float32)"),
    ),
    Case(
        "float64 into float32",
        called(u=torch.zeros(2, 1, 9, dtype=torch.float64)),
        NetworkError,
        ("torch.float32", "torch.float64", "nothing is cast", "dtype="),
    ),
    Case(
        "float32 into float64",
        called(lambda: heat(dtype=torch.float64)),
        NetworkError,
        ("torch.float64 was", "torch.float32", "u.to(torch.float64)"),
    ),
    Case(
        "halves",
        called(u=torch.zeros(2, 1, 9, dtype=torch.float16)),
        NetworkError,
        ("torch.float32", "torch.float16"),
    ),
    Case(
        "complex numbers",
        called(u=torch.zeros(2, 1, 9, dtype=torch.complex64)),
        NetworkError,
        ("torch.float32", "torch.complex64"),
    ),
    Case(
        "truth values",
        called(u=torch.zeros(2, 1, 9, dtype=torch.bool)),
        NetworkError,
        ("torch.float32", "torch.bool"),
    ),
    Case(
        "another device",
        called(u=torch.zeros(2, 1, 9, device="meta")),
        NetworkError,
        ("cpu", "meta", ".to(device)"),
    ),
    Case(
        "an array of NumPy",
        called(u=np.zeros((2, 1, 9), dtype=np.float32)),
        NetworkError,
        ("(batch, 1, 9)", "ndarray", "torch.as_tensor"),
    ),
    Case("nothing", called(u=None), NetworkError, ("(batch, 1, 9)", "NoneType")),
    Case("a bad input to advance", advanced(u=torch.zeros(1, 9)), NetworkError, ("u[None]",)),
    Case(
        "a bad input to the right side",
        lambda: heat().right_side(torch.zeros(1, 9)),
        NetworkError,
        ("u[None]",),
    ),
    # Times
    Case(
        "a vector of times",
        called(t=torch.zeros(2)),
        NetworkError,
        ("without axes", "(2,)", "one time"),
    ),
    Case(
        "an integer tensor as time",
        called(t=torch.tensor(1)),
        NetworkError,
        ("real tensor", "torch.int64"),
    ),
    Case("a text as time", called(t="now"), NetworkError, ("'now'", "t=0.0")),
    Case("a truth value as time", called(t=True), NetworkError, ("True", "t=0.0")),
    Case("a complex time", called(t=1j), NetworkError, ("1j", "t=0.0")),
    Case("no time", called(t=None), NetworkError, ("None", "t=0.0")),
    # Counts
    Case("no step", lambda: heat(steps=0), NetworkError, ("steps", "got 0", "number of steps")),
    Case("steps backwards", lambda: heat(steps=-3), NetworkError, ("steps", "-3")),
    Case("a truth value of steps", lambda: heat(steps=True), NetworkError, ("steps", "True")),
    Case("half a step", lambda: heat(steps=2.5), NetworkError, ("steps", "2.5")),
    Case("no step to advance", advanced(steps=0), NetworkError, ("steps", "got 0")),
    Case(
        "a checkpoint every 0 steps",
        advanced(checkpoint_every=0),
        NetworkError,
        ("checkpoint_every", "got 0"),
    ),
    Case(
        "a cut every half step",
        advanced(truncate_every=0.5),
        NetworkError,
        ("truncate_every", "0.5"),
    ),
    Case(
        "a checkpoint that is a truth value",
        advanced(checkpoint_every=True),
        NetworkError,
        ("checkpoint_every", "True"),
    ),
    # Dtypes and what is trainable
    Case(
        "halves as dtype",
        lambda: heat(dtype=torch.float16),
        NetworkError,
        ("dtype is one of float64, float32", "float16"),
    ),
    Case("Python's int as dtype", lambda: heat(dtype=int), NetworkError, ("float32", "int")),
    Case(
        "complex dtype",
        lambda: heat(dtype=torch.complex64),
        NetworkError,
        ("float32", "complex64"),
    ),
    Case("no dtype", lambda: heat(dtype=None), NetworkError, ("float32", "None")),
    Case(
        "a trainable name that is none",
        lambda: heat(trainable=["nope"]),
        NetworkError,
        ("'nope'", "D, stencils", "Use one of these"),
    ),
    Case(
        "a trainable name misspelt",
        lambda: heat(trainable="stencil"),
        NetworkError,
        ("'stencil'", "Did you mean 'stencils'?"),
    ),
    Case(
        "a trainable symbol of another equation",
        lambda: heat(trainable=[sp.Symbol("nu")]),
        NetworkError,
        ("'nu'", "D, stencils"),
    ),
    Case(
        "a trainable number",
        lambda: heat(trainable=3),
        NetworkError,
        ("True, False or names", "3", "trainable="),
    ),
    Case(
        "a trainable coefficient that the equation differentiates",
        lambda: DIFFERENTIATED.to_network(
            GRID, RING, values={"k": 1 + x**2}, trainable=["k"], dt=1e-4
        ),
        PdenetError,
        ("k",),
    ),
    # Grids, boundaries, values and schemes
    Case(
        "a grid that is none",
        lambda: HEAT.to_network((9,), RING),  # type: ignore[arg-type]
        GridError,
        ("pn.Grid", "(9,)"),
    ),
    Case(
        "no boundary",
        lambda: HEAT.to_network(GRID, None),  # type: ignore[arg-type]
        BoundaryError,
        ("pn.Boundary", "None"),
    ),
    Case(
        "a grid of other axes",
        lambda: pn.catalogue["heat"].to_network(GRID, RING),
        GridError,
        ("(x, y)", "(x)"),
    ),
    Case(
        "a grid of more axes",
        lambda: HEAT.to_network(PLANE, TORUS, trainable=True),
        GridError,
        ("(x)", "(x, y)"),
    ),
    Case(
        "a side without condition",
        lambda: pn.catalogue["heat"].to_network(PLANE, RING),
        BoundaryError,
        ("y low", "y high", "no default"),
    ),
    Case(
        "a missing value",
        lambda: NO_DEFAULT.to_network(GRID, RING),
        ValuesError,
        ("alpha", "values={'alpha'"),
    ),
    Case(
        "a missing tensor",
        lambda: pn.catalogue["eq3"].to_network(PLANE, TORUS, dt=0.01),
        ValuesError,
        ("A", "values"),
    ),
    Case(
        "a missing coefficient function",
        lambda: VARIABLE.to_network(GRID, RING, trainable=["k"]),
        ValuesError,
        ("k", "values"),
    ),
    Case(
        "an unknown value",
        lambda: heat(values={"Dd": 1}),
        ValuesError,
        ("'Dd'", "Did you mean 'D'?"),
    ),
    Case("values that are no mapping", lambda: heat(values=3), ValuesError, ("3",)),
    Case(
        "a NaN among the values", lambda: heat(values={"D": math.nan}), ValuesError, ("'D'", "nan")
    ),
    Case(
        "a coefficient of another grid",
        lambda: VARIABLE.to_network(GRID, RING, values={"k": np.ones(7)}, trainable=["k"]),
        ValuesError,
        ("'k'", "(9,)", "(7,)"),
    ),
    Case(
        "a trainable coefficient of unknown names",
        lambda: VARIABLE.to_network(GRID, RING, values={"k": 1 + sp.Symbol("q")}, trainable=["k"]),
        PdenetError,
        ("'k'", "q"),
    ),
    Case(
        "a trainable coefficient singular on the grid",
        lambda: VARIABLE.to_network(
            GRID, RING, values={"k": 1 / (x - sp.Rational(1, 3)) ** 2}, trainable=["k"], dt=0.01
        ),
        PdenetError,
        ("inf", "cell (3,)"),
    ),
    Case("an unknown stepper", lambda: heat(stepper="rk5"), SchemeError, ("'rk5'", "rk4")),
    Case(
        "an unknown space",
        lambda: heat(space="centrl2"),
        SchemeError,
        ("'centrl2'", "Did you mean 'central2'?"),
    ),
    Case(
        "leapfrog of first order in time",
        lambda: heat(stepper="leapfrog"),
        SchemeError,
        ("leapfrog", "rk4"),
    ),
    Case(
        "an unknown mode",
        lambda: heat(stability="strict"),
        StabilityError,
        ("'strict'", "refuse, warn, ignore"),
    ),
    Case(
        "an unknown mode of a trainable network",
        lambda: heat(stability="strict", trainable=True),
        StabilityError,
        ("'strict'",),
    ),
    # Time steps
    Case("a negative time step", lambda: heat(dt=-0.1), TimeError, ("-0.1", 'dt="auto"')),
    Case("a time step of NaN", lambda: heat(dt=math.nan), TimeError, ("nan", 'dt="auto"')),
    Case("a fast time step", lambda: heat(dt="fast"), TimeError, ("'fast'", 'dt="auto"')),
    Case("no time step", lambda: heat(dt=None), TimeError, ("None", 'dt="auto"')),
    Case("an infinite time step", lambda: heat(dt=math.inf), TimeError, ("inf", 'dt="auto"')),
    Case(
        "an unstable time step",
        lambda: heat(dt=1.0, stability="refuse"),
        StabilityError,
        ("dt = 1", "use dt <="),
    ),
    Case(
        "backward heat",
        lambda: heat(values={"D": -1}, stability="refuse"),
        IllPosedError,
        ("grow without bound", "change the sign"),
    ),
    Case(
        "an automatic step that the state decides",
        lambda: BURGERS.to_network(GRID, RING, stability="refuse"),
        StabilityError,
        ("fixed", "the state", "solver.bound(state)"),
    ),
    Case(
        "an automatic step that time decides",
        lambda: pn.PDE(sp.Eq(u.diff(t), (2 + sp.sin(t)) * u.diff(x, 2))).to_network(
            GRID, RING, stability="refuse"
        ),
        StabilityError,
        ("fixed", "time", "give dt="),
    ),
    Case(
        "an automatic step that nothing bounds",
        lambda: SOURCE.to_network(GRID, RING),
        StabilityError,
        ("no automatic", "give dt="),
    ),
    Case(
        "nothing bounds, nobody asks",
        lambda: SOURCE.to_network(GRID, RING, stability="ignore"),
        StabilityError,
        ("no automatic", "give dt="),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[c.name for c in CASES])
def test_bad_input_is_refused_with_what_came_and_what_to_do(case: Case) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(case.error) as caught:
            case.do()
    assert isinstance(caught.value, PdenetError)
    assert isinstance(caught.value, ValueError)
    message = str(caught.value)
    for part in case.parts:
        assert part in message, message
    assert len(message) < 600, message


# Warnings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "parts"),
    [
        (lambda **how: heat(dt=1.0, **how), ("dt = 1", "use dt <=")),
        (lambda **how: BURGERS.to_network(GRID, RING, **how), ("the state", "give dt=")),
        (
            lambda **how: heat(values={"D": -1}, dt=0.1, stepper="euler", **how),
            ("grow without bound",),
        ),
    ],
    ids=["above the bound", "the state decides", "ill-posed"],
)
def test_what_is_not_known_to_be_stable_warns_refuses_or_is_ignored(
    build: Callable[..., Network], parts: tuple[str, ...]
) -> None:
    """Warning is the default; what is trainable leaves its equation anyway, and does not ask."""
    how: dict[str, str]
    for how in ({}, {"stability": "warn"}):
        with pytest.warns(StabilityWarning) as caught:
            net = build(**how)
        assert len(caught) == 1
        assert all(part in str(caught[0].message) for part in parts)
        assert math.isfinite(net.dt)
    with pytest.raises(StabilityError):
        build(stability="refuse")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert build(stability="ignore").dt == build(trainable=True).dt


def test_a_stable_step_is_taken_in_silence() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = heat(dt=0.01, stability="refuse")
        assert heat(stability="refuse").dt > 0
    assert net.dt == 0.01


def test_other_integers_count_steps() -> None:
    three: Any = np.int64(3)
    net = heat(steps=three)
    assert net.steps == 3
    u0 = torch.rand(1, 1, 9)
    assert torch.equal(net.advance(u0, steps=three, checkpoint_every=three), net(u0))


def test_times_of_every_kind_of_number_are_one_time() -> None:
    net = pn.PDE(sp.Eq(u.diff(t), t * u.diff(x, 2))).to_network(
        GRID, RING, dt=0.01, stability="ignore"
    )
    u0 = torch.rand(1, 1, 9)
    for time in (2, np.float32(2), np.int64(2), torch.tensor(2.0), torch.tensor(2.0).double()):
        assert torch.equal(net(u0, time), net(u0, 2.0))
