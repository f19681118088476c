"""Observed orders of accuracy, from manufactured solutions.

The table is in order_table.py. An order is within 0.05 of p; that is what four grids can tell: a
neighbouring half order would be ten times as far.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any  # conditions and values of parameters

import numpy as np
import pytest
import sympy as sp

import pdenet as pn
from pdenet.discrete import boundary as conditions
from pdenet.discrete import scheme, spaces
from pdenet.discrete.domain import Domain
from pdenet.discrete.steppers import STEPPERS
from pdenet.equation.values import bind
from pdenet.errors import SchemeError, StabilityError
from tests.cover import Pair, pairs, pairwise_cover
from tests.laws import manufactured
from tests.laws.manufactured import T, X, Y, on_grid, order
from tests.laws.order_page import page
from tests.laws.order_problems import PROBLEMS, Problem, equation
from tests.laws.order_problems import walls as walls_of
from tests.laws.order_table import (
    KINDS,
    SPACES,
    TOLERANCE,
    Cell,
    box,
    cells,
    claimed,
    cost,
    factors,
    integrator,
    left_out,
    measure,
    norm,
    solution_of,
)
from tests.tiers import Each, both_tiers

ACCURACY_PAGE = Path(__file__).resolve().parents[2] / "docs" / "accuracy.md"
CELLS = [c for c in cells() if left_out(c) is None]
each_problem = pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p.row)


# The table ---------------------------------------------------------------------------------------


@cache
def cover() -> list[Cell]:
    """The cells of the quick tier: of all 1,302 a fifth, in which any two factors still meet."""
    chosen = pairwise_cover([factors(c) for c in CELLS], [cost(c) for c in CELLS])
    return [CELLS[k] for k in chosen]


@both_tiers
@each_problem
def test_observed_order_is_the_claimed_one(problem: Problem, deep: bool, each: Each) -> None:
    chosen = [c for c in (CELLS if deep else cover()) if c.problem is problem]
    for cell, held in each(chosen, key=lambda c: c.id):
        with held:
            observed = measure(cell, is_brief=not deep)
            assert abs(observed.order - claimed(cell)) <= TOLERANCE, observed
            assert list(observed.errors) == sorted(observed.errors, reverse=True), observed


def test_the_quick_cells_meet_every_pair_of_factors_that_all_cells_meet() -> None:
    def met(chosen: Sequence[Cell]) -> set[Pair]:
        return {pair for cell in chosen for pair in pairs(factors(cell))}

    assert met(cover()) == met(CELLS)
    assert len(cover()) < len(CELLS) / 4


def test_table_is_the_full_product_of_equations_schemes_and_boundary_kinds() -> None:
    kinds = {re.sub(r"(?<!^)([A-Z])", r"_\1", c.__name__).lower() for c in conditions.CONDITIONS}
    assert {p.name for p in PROBLEMS} == set(pn.catalogue)
    assert set(SPACES) == set(spaces.SPACES)
    assert set(KINDS) == kinds
    rows = {
        name if form == "advective" else f"{name} ({form} form)"
        for name in pn.catalogue
        for form in (("advective", "divergence") if _has_forms(name) else ("advective",))
    }
    expected = set(itertools.product(rows, SPACES, STEPPERS, KINDS))
    found = [(c.problem.row, c.space, c.stepper, c.kind) for c in cells()]
    assert len(found) == len(set(found))
    assert set(found) == expected


def _has_forms(name: str) -> bool:
    return "form" in pn.catalogue.options(name)


def test_page_lists_every_cell_with_its_order_or_its_reason() -> None:
    committed = ACCURACY_PAGE.read_text(encoding="utf-8")
    assert re.sub(r"\(\d\.\d{3}\)", "(·)", committed) == page()


def test_orders_on_the_page_lie_within_the_tolerance() -> None:
    text = ACCURACY_PAGE.read_text(encoding="utf-8")
    shown = re.findall(r"\| ([\d.]+) \((\d\.\d{3})\)(?= \|)", text)
    assert len(shown) == len(CELLS)
    # Half of the last printed digit.
    assert [s for s in shown if abs(float(s[0]) - float(s[1])) > TOLERANCE + 0.0005] == []


@each_problem
def test_what_is_measured_is_what_the_solver_does_within_its_bound(problem: Problem) -> None:
    cell = next(
        c for c in CELLS if c.problem is problem and c.space == "central2" and c.stepper == "rk4"
    )
    grid = box(problem, cell.kind, 16)
    solution = solution_of(cell, problem)
    dt = problem.until / 10_000
    measured, state = integrator(cell, problem, grid, dt)
    solver = solution.pde.to_solver(
        grid,
        walls_of(problem, cell.kind, solution.exact, grid),
        values=solution.values,
        space=cell.space,
        stepper=cell.stepper,
        dt=dt,
        stability="refuse",
    )
    assert np.array_equal(solver.step(state), measured.step(state))


# What is left out because the library refuses it, by the first words of the reason.
_REFUSED = ("splitting steppers", "Lax–Friedrichs is", "upwind needs", "unstable at every dt")
_REFUSALS = [
    c
    for c in cells()
    if c.kind == ("periodic" if c.problem.name not in ("rotation", "dilation") else "dirichlet")
    and (left_out(c) or "").startswith(_REFUSED)
    # Wider central differences have imaginary eigenvalues for the same reason.
    and c.space not in ("central4", "central6", "nine_point")
]


def test_combinations_left_out_as_impossible_are_refused(each: Each) -> None:
    for cell, held in each(_REFUSALS, key=lambda c: c.id):
        with held, pytest.raises((SchemeError, StabilityError)):
            _take_a_short_step(cell)


def _take_a_short_step(cell: Cell) -> None:
    """A bound that depends on the state is known with one, at the first step."""
    problem = cell.problem
    grid = box(problem, cell.kind, 16)
    condition = pn.Periodic() if cell.kind == "periodic" else pn.Dirichlet(0.5)
    walls = pn.Boundary(**dict.fromkeys(grid.axes, condition))
    solver = equation(problem).to_solver(
        grid, walls, values=problem.values, space=cell.space, stepper=cell.stepper, dt=1e-12
    )
    ripple = 0.1 * np.sin(np.arange(np.prod(grid.shape))).reshape(grid.shape)
    solver.step(np.full((len(solver.components), *grid.shape), 0.5) + ripple)


_EQUAL = [
    c
    for c in cells()
    if (c.stepper, c.kind) == ("rk4", "periodic")
    and "is that of central2" in (left_out(c) or "")
    # In one dimension there is no nine-point Laplacian to compare.
    and (c.space != "nine_point" or len(c.problem.low) == 2)
]


def test_schemes_left_out_as_equal_to_central2_are_equal(each: Each) -> None:
    for cell, held in each(_EQUAL, key=lambda c: c.id):
        grid = box(cell.problem, "periodic", 16)
        walls = pn.Boundary(**dict.fromkeys(grid.axes, pn.Periodic()))
        system = bind(equation(cell.problem).system, cell.problem.values).system
        with held:
            one, other = (
                scheme.discretise(system, grid, walls, name, STEPPERS["rk4"]).equations
                for name in (cell.space, "central2")
            )
            assert one == other


# Orders that the table does not show -------------------------------------------------------------


def _observed(
    pde: pn.PDE,
    exact: Mapping[str, sp.Expr],
    walls: Callable[[pn.Grid], pn.Boundary],
    *,
    until: float,
    ratio: float,
    exponent: int = 2,
    counts: Sequence[int] = (16, 24, 32, 48),
    values: Callable[[pn.Grid, pn.Boundary], Mapping[str, Any]] = lambda grid, walls: {},
    options: Mapping[str, str] | None = None,
    kind: str = "walls",
    force: bool = True,
) -> float:
    """Return the order observed through the public door, dt = ratio·hᵉ, on boxes [0, 1]ⁿ."""
    made = {name: (e,) for name, e in exact.items()}
    problem = manufactured.forced(pde, made, {}) if force else None
    solved = problem.pde if problem else pde
    full = problem.exact if problem else made
    errors = []
    for count in counts:
        points = count if kind == "periodic" else count + 1
        grid = pn.Grid(**dict.fromkeys(pde.axes, (0, 1, points)))
        boundary = walls(grid)
        steps = round(until / (ratio * (1 / count) ** exponent))
        solver = solved.to_solver(
            grid,
            boundary,
            values=values(grid, boundary),
            dt=until / steps,
            **(options or {"stepper": "rk4", "space": "central2"}),
        )
        expressions = [e for name in solved.fields for e in full[name]]
        final = solver.advance(on_grid(expressions, grid, boundary, 0.0), until)
        error = final - on_grid(expressions, grid, boundary, until)
        errors.append(norm(error, Domain.of(grid, boundary), kind))
    return order(errors, counts)


def _mode(axes: Sequence[sp.Symbol]) -> sp.Expr:
    made = sp.exp(-len(axes) * 4 * sp.pi**2 * T / 10)
    for axis in axes:
        made *= sp.cos(2 * sp.pi * axis + 1)
    return made


@pytest.mark.parametrize(
    ("axes", "space"), [((X,), "central2"), ((X, Y), "nine_point")], ids=["1d", "2d"]
)
def test_unforced_periodic_heat_with_a_sixth_has_order_four(
    axes: tuple[sp.Symbol, ...], space: str
) -> None:
    """u_tt = D² Δ²u, so that −dt/2 u_tt cancels D h²/12 Δ²u when D dt/h² = 1/6."""
    found = _observed(
        pn.catalogue.build("heat", dimension=len(axes)),
        {"u": _mode(axes)},
        lambda grid: pn.Boundary(**dict.fromkeys(grid.axes, pn.Periodic())),
        until=0.125,
        ratio=1 / (6 * 0.1),
        options={"stepper": "euler", "space": space},
        kind="periodic",
        force=False,
    )
    assert abs(found - 4) <= TOLERANCE


def test_zero_padding_has_order_one_against_the_wall_at_its_end_nodes() -> None:
    found = _observed(
        pn.catalogue.build("heat", dimension=1),
        {"u": sp.exp(-(sp.pi**2) * T / 10) * sp.sin(sp.pi * X)},
        lambda grid: pn.Boundary(x=pn.ZeroPadding()),
        until=0.5,
        ratio=4.0,
        # The ghost node's wall recedes like h; what follows is of relative size h.
        counts=(32, 64, 96, 128),
        force=False,
    )
    assert abs(found - 1) <= TOLERANCE


_WAVY = 1 + sp.cos(2 * X + T) * sp.cos(sp.Rational(3, 2) * Y + T / 2 + 1) / 2


def _sides(exact: sp.Expr, kinds: Mapping[str, tuple[str, str]]) -> Callable[[pn.Grid], Any]:
    def walls(grid: pn.Grid) -> pn.Boundary:
        return pn.Boundary(
            **{
                axis: tuple(
                    manufactured.condition(kind, exact, axis, end, outward)
                    for kind, end, outward in zip(pair, (0.0, 1.0), (-1, 1), strict=True)
                )
                for axis, pair in kinds.items()
            }
        )

    return walls


_ENDS = ("dirichlet", "neumann", "robin")


@pytest.mark.parametrize("low", _ENDS)
@pytest.mark.parametrize("high", _ENDS)
def test_corners_keep_order_two_with_data_that_vary_in_time(low: str, high: str) -> None:
    found = _observed(
        pn.catalogue["heat"],
        {"u": _WAVY},
        _sides(_WAVY, {"x": (low, high), "y": (high, low)}),
        until=0.125,
        ratio=2.5,
    )
    assert abs(found - 2) <= TOLERANCE


@cache
def _oblique() -> pn.PDE:
    t, x, y = pn.coordinates("t x y")
    u = pn.fields("u", (t, x, y))
    return pn.PDE(sp.Eq(u.diff(t), (2 * u.diff(x, 2) + u.diff(x, y) + u.diff(y, 2)) / 20))


@pytest.mark.parametrize("kind", ["periodic", *_ENDS])
def test_mixed_derivatives_have_order_two_at_walls_and_corners(kind: str) -> None:
    periodic = sp.cos(2 * sp.pi * X + T) * sp.cos(2 * sp.pi * Y + 1) + sp.sin(2 * sp.pi * (X + Y))
    exact = periodic if kind == "periodic" else _WAVY
    found = _observed(
        _oblique(),
        {"u": exact},
        _sides(exact, {"x": (kind, kind), "y": (kind, kind)}),
        until=0.25,
        ratio=3.0,
        kind="periodic" if kind == "periodic" else "walls",
    )
    assert abs(found - 2) <= TOLERANCE


_CONDUCTIVITY = (2 + sp.sin(2 * sp.pi * X + 1) * sp.cos(2 * sp.pi * Y)) / 20


@pytest.mark.parametrize("kind", ["periodic", *_ENDS])
@pytest.mark.parametrize("given", ["expression", "array"])
def test_fluxes_with_a_coefficient_that_varies_have_order_two(kind: str, given: str) -> None:
    t, x, y = pn.coordinates("t x y")
    u, k = pn.fields("u", (t, x, y)), sp.Function("k")(x, y)
    flux = pn.D(k * u.diff(x), x) + pn.D(k * u.diff(y), y)
    wave = sp.cos(2 * sp.pi * X + T) * sp.cos(2 * sp.pi * Y + 1)
    exact = wave if kind == "periodic" else _WAVY
    # The source is that of the expression; the array holds the same function's values.
    table = {k: _CONDUCTIVITY}
    residual = sp.diff(exact, T) - sum(
        sp.diff(_CONDUCTIVITY * sp.diff(exact, a), a) for a in (X, Y)
    )
    pde = pn.PDE(sp.Eq(u.diff(t), flux)).with_sources({"u": residual})

    def values(grid: pn.Grid, walls: pn.Boundary) -> Mapping[str, Any]:
        if given == "expression":
            return {"k": table[k]}
        return {"k": on_grid([_CONDUCTIVITY], grid, walls, 0.0)[0]}

    found = _observed(
        pde,
        {"u": exact},
        _sides(exact, {"x": (kind, kind), "y": (kind, kind)}),
        until=0.125,
        ratio=1.6,
        values=values,
        kind="periodic" if kind == "periodic" else "walls",
        force=False,
    )
    assert abs(found - 2) <= TOLERANCE


@pytest.mark.parametrize("given", ["number", "array", "expression"])
@pytest.mark.parametrize("kind", [pn.Dirichlet, pn.Neumann])
def test_boundary_values_of_every_sort_have_order_two(kind: type, given: str) -> None:
    profile = sp.Integer(1) if given == "number" else 1 + sp.cos(2 * Y) / 2
    # Value and slope at x = 0 are the profile; neither moves in time.
    exact = profile * (1 + X) + X**2 * (1 - X) ** 2 * sp.cos(T + Y) * 8 + 0 * Y
    at_high = 2 * profile if kind is pn.Dirichlet else profile
    at_low = profile if kind is pn.Dirichlet else -profile

    def walls(grid: pn.Grid) -> pn.Boundary:
        y = np.linspace(0, 1, grid.points[1])
        made = [
            np.array([float(e.subs(Y, node)) for node in y]) if given == "array" else e
            for e in (at_low, at_high)
        ]
        pair = tuple(kind(float(value) if given == "number" else value) for value in made)
        others = _sides(exact, {"y": ("dirichlet", "dirichlet")})(grid)
        return pn.Boundary(x=pair, y=others.sides["y"])

    found = _observed(pn.catalogue["heat"], {"u": exact}, walls, until=0.125, ratio=2.5)
    assert abs(found - 2) <= TOLERANCE
