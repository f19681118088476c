"""Every symmetry that is reported holds on a grid, and what is broken shows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any  # values of parameters

import numpy as np
import pytest
import sympy as sp

from pdenet.discrete.boundary import Boundary, Dirichlet, Free, Neumann, Periodic, Robin
from pdenet.discrete.grid import Grid
from pdenet.equation.catalogue import catalogue
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import coordinates
from pdenet.errors import SymmetryError
from pdenet.simulate.solver import Solver
from pdenet.symmetry.equation.axis_maps import AxisMap
from pdenet.symmetry.equation.lattice_action import LatticeSymmetry
from pdenet.symmetry.equation.runs import Symmetry
from pdenet.symmetry.equation.scalings import Scaling
from pdenet.symmetry.equation.translations import Translation
from pdenet.symmetry.equation.vector_fields import Generator
from tests.symmetry.equation.known import FEW, known
from tests.tiers import mostly_deep

t, x, y = coordinates("t x y")
u1, u2 = sp.Function("u")(t, x), sp.Function("u")(t, x, y)
EXACT = ("lattice", "reversal", "translation", "scaling", "dimensional", "internal")


def solver_of(
    pde: PDE,
    points: int = 12,
    wall: object = None,
    *,
    values: Mapping[str, Any] | None = None,
    dt: float = 1e-3,
    stepper: str = "euler",
) -> Solver:
    boundary = Boundary(**dict.fromkeys(pde.axes, Periodic() if wall is None else wall))
    grid = Grid(**dict.fromkeys(pde.axes, (-1, 1, points)))
    if pde.analysis.time_order == 2:
        stepper = "leapfrog"
    return pde.to_solver(
        grid, boundary, values=values, stepper=stepper, space="central2", dt=dt, stability="ignore"
    )


def coefficients(pde: PDE, n: int = 2) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    made = {}
    for p in pde.parameters:
        if p.kind == "tensor":
            shape = [int(s.xreplace(dict.fromkeys(s.free_symbols, sp.Integer(n)))) for s in p.shape]
            made[p.name] = rng.standard_normal(shape)
    return made


@pytest.mark.parametrize("name", mostly_deep(list(catalogue), FEW))
def test_every_symmetry_of_the_catalogue_holds_on_a_grid(name: str) -> None:
    pde = catalogue[name]
    walls = Free() if name in ("rotation", "dilation") else None
    solver = solver_of(pde, 13 if walls else 12, walls, values=coefficients(pde))
    symmetries = known(name)
    # The parts that hold to rounding; generators hold to O(h²), see below.
    checked = 0
    for kind, elements in symmetries.parts().items():
        for one in elements if kind in EXACT else ():
            if kind == "translation" and walls is not None and one.name != "translation in t":
                continue
            check = one.check(solver)
            checked += 1
            # Eight steps; sums of at most 20 terms, in another order.
            assert check.relative < 1e-12, (kind, str(one), str(check))
            assert check.scale > 1e-3
    assert checked >= 3


def test_the_table_holds_all_and_says_why_not() -> None:
    pde = catalogue["heat"]
    table = pde.symmetries().check(solver_of(pde, wall=Dirichlet(0)))
    assert {row.kind for row in table} == {*EXACT, "generator"} - {"reversal"}
    reasons = {row.name: row.reason for row in table if row.check is None}
    assert set(reasons) == {"translation in x", "translation in y"}
    assert all("walls" in reason for reason in reasons.values())
    assert max(table.largest(kind) for kind in EXACT) < 1e-12  # as above
    assert "not checked" in str(table)


def refined(v: Generator, pde: PDE, points: int, until: float, **options: Any) -> list[float]:
    """The relative difference on three grids, h halved twice, dt with h to the power it needs."""
    made = []
    for k in range(3):
        solver = solver_of(
            pde, points * 2**k, dt=options["dt"] / options["power"] ** k, stepper="rk4"
        )
        made.append(v.check(solver, until=until).relative)
    return made


# dt by 2^p for equations of order p, so that it stays stable; RK4's own error is far smaller, that
# of leapfrog falls by 4 with dt ~ h.
GENERATORS = {
    "heat": ({"dimension": 1}, 24, 0.05, 2e-2, 4),
    "wave": ({"dimension": 1}, 24, 0.1, 2e-2, 2),
    "burgers_1d": ({}, 24, 0.1, 1e-2, 2),
    "shallow_water": ({"dimension": 1}, 24, 0.1, 1e-2, 2),
    "kdv": ({}, 20, 3e-4, 2e-4, 8),
}


@pytest.mark.parametrize("name", mostly_deep(GENERATORS, {"heat", "burgers_1d"}))
def test_generators_hold_to_second_order(name: str) -> None:
    options, points, until, dt, power = GENERATORS[name]
    pde = catalogue.build(name, **options)
    measured = 0
    for v in pde.symmetries().generators:
        first, second, third = refined(v, pde, points, until, dt=dt, power=power)
        if third < 1e-6:
            # Exact on the grid, such as ∂t or ∂u: what is left is rounding divided by ε, and what
            # diffuses in from the seam of x ∂u.
            continue
        # 4 up to the next order of h, 1/4 of it at the finest step.
        assert 3.2 < second / third < 5.0, (str(v), first, second, third)
        assert third < 1e-2
        measured += 1
    assert measured >= 1


def generator(**coefficients: Any) -> Generator:
    u = catalogue.build("heat", dimension=1).symmetries().jets.jet(0, (0,))
    table = {k: sp.S.Zero + v for k, v in coefficients.items()}
    zero = sp.S.Zero
    return Generator(
        ("x",), ("u",), (u,), table.get("t", zero), (table.get("x", zero),),
        (table.get("u", zero).xreplace({sp.Symbol("u"): u}),),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("pde", "false"),
    [
        ("burgers_1d", {"t": t, "x": x, "u": 0}),  # a scaling with wrong weights
        ("burgers_1d", {"x": t}),  # a boost that leaves the velocity as it was
        ("burgers_1d", {"u": sp.Symbol("u")}),
        ("heat", {"t": t, "x": x}),
        ("kdv", {"x": t, "u": 1}),  # Burgers' boost, not 6 t ∂x + ∂u
    ],
)
def test_false_generators_stay_false_however_fine_the_grid(pde: str, false: dict[str, Any]) -> None:
    options, points, until, dt, power = GENERATORS[pde]
    built = catalogue.build(pde, **options)
    first, second, third = refined(generator(**false), built, points, until, dt=dt, power=power)
    # The defect is that of the equation itself: it has a limit, which is not 0.
    assert third > 0.6 * second > 0.3 * first > 0
    solver = solver_of(built, 4 * points, dt=dt / power**2, stepper="rk4")
    true = [v.check(solver, until=until).relative for v in built.symmetries().generators]
    assert third > 2 * np.median(true)


# For each kind a symmetry of an equation, and another equation that lacks it.
def _mirror(*components: str) -> LatticeSymmetry:
    one = sp.ImmutableMatrix(sp.eye(len(components)))
    return LatticeSymmetry(AxisMap((0, 1), (-1, 1)), components, one)


BROKEN: dict[str, tuple[Symmetry, PDE, dict[str, Any]]] = {
    "mirror": (_mirror("u"), catalogue["advection"], {}),
    "turn": (
        LatticeSymmetry(AxisMap((1, 0), (-1, 1)), ("u",), sp.ImmutableMatrix([[1]])),
        PDE(sp.Eq(u2.diff(t), u2.diff(x, 2) + 2 * u2.diff(y, 2))),
        {},
    ),
    "vectors unturned": (_mirror("h", "u", "v"), catalogue["shallow_water"], {}),
    "translation": (
        Translation("x"),
        PDE(sp.Eq(u2.diff(t), (2 + sp.cos(sp.pi * x)) * u2.diff(x, 2) + u2.diff(y, 2))),
        {},
    ),
    "time": (Translation("t"), PDE(sp.Eq(u2.diff(t), (1 + t) * u2.diff(x, 2))), {}),
    "scaling": (Scaling({"t": 2, "x": 1, "y": 1, "u": 1}), catalogue["advection"], {}),
    "amplitude": (
        Scaling({"t": 0, "x": 0, "u": 1}),
        PDE(sp.Eq(u1.diff(t), u1.diff(x, 2) + u1.diff(x) ** 3)),
        {},
    ),
    "reversal": (
        LatticeSymmetry(AxisMap((0, 1), (1, 1), -1), ("u",), sp.ImmutableMatrix([[1]])),
        catalogue["heat"],
        {},
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_symmetry_is_seen(case: str) -> None:
    one, pde, values = BROKEN[case]
    found = one.check(solver_of(pde, values=values), until=0.02)
    # True ones leave 1e-16; a broken term does the work of 0.02 of its own time, at least 1e-4.
    assert found.relative > 1e-5, str(found)


def test_an_internal_symmetry_of_another_equation_is_seen() -> None:
    v1 = sp.Function("v")(t, x)
    equal = PDE(sp.Eq(u1.diff(t), u1.diff(x, 2)), sp.Eq(v1.diff(t), v1.diff(x, 2)))
    unequal = PDE(sp.Eq(u1.diff(t), u1.diff(x, 2)), sp.Eq(v1.diff(t), 3 * v1.diff(x, 2)))
    for one in equal.symmetries().internal:
        assert one.check(solver_of(equal)).relative < 1e-12  # as in the first test
        mixes = any(one.matrix[j, k] != 0 for j, k in ((0, 1), (1, 0)))
        assert (one.check(solver_of(unequal), until=0.02).relative > 1e-3) == mixes


def test_walls_that_a_mirror_exchanges_must_be_alike() -> None:
    heat = catalogue["heat"].symmetries()
    mirror = next(s for s in heat.lattice if s.name == "mirror x → −x")
    turn = next(s for s in heat.lattice if s.name == "quarter turn")
    for wall in (Dirichlet(0.3), Neumann(-0.2), Robin(1, 2, 0.4), Free()):
        solver = solver_of(catalogue["heat"], wall=wall)
        for one in (mirror, turn):
            assert one.check(solver).relative < 1e-12  # as in the first test
    grid = Grid(x=(-1, 1, 12), y=(-1, 1, 12))
    uneven = Boundary(x=(Dirichlet(0), Neumann(0)), y=Periodic())
    solver = catalogue["heat"].to_solver(grid, uneven)
    with pytest.raises(SymmetryError, match="maps a wall to one with the same condition"):
        mirror.check(solver)
    with pytest.raises(SymmetryError, match="same points, spacing and ends"):
        turn.check(solver)
    oblong = catalogue["heat"].to_solver(
        Grid(x=(-1, 1, 12), y=(-1, 1, 16)), Boundary(x=Periodic(), y=Periodic())
    )
    with pytest.raises(SymmetryError, match="use equal axes"):
        turn.check(oblong)


def test_the_velocity_at_a_wall_turns_round_with_its_mirror() -> None:
    """u → −u under x → −x takes inflow at one end to outflow at the other."""
    pde = catalogue["acoustics"]
    mirror = next(s for s in pde.symmetries().lattice if s.name == "mirror x → −x")
    grid, other = Grid(x=(0, 1, 12), y=(0, 1, 12)), Dirichlet(0)

    def solver(low: float, high: float) -> Solver:
        walls = {"u": (Dirichlet(low), Dirichlet(high)), "p": Free(), "v": other}
        boundary = Boundary(x=walls, y=Periodic())
        return pde.to_solver(grid, boundary, stability="ignore", dt=1e-3, stepper="rk4")

    assert mirror.check(solver(0.1, -0.1)).relative < 1e-12  # as in the first test
    with pytest.raises(SymmetryError, match="maps a wall"):
        mirror.check(solver(0.1, 0.1))


def test_an_equation_that_knows_the_origin_needs_it_in_the_middle() -> None:
    pde = catalogue["rotation"]
    turn = pde.symmetries().lattice[1]
    with pytest.raises(SymmetryError, match="ends in walls"):
        turn.check(solver_of(pde))
    grid = Grid(x=(0, 1, 12), y=(0, 1, 12))
    aside = pde.to_solver(
        grid, Boundary(x=Free(), y=Free()), dt=1e-3, stepper="rk4", stability="ignore"
    )
    with pytest.raises(SymmetryError, match="about 0"):
        turn.check(aside)


def test_boundary_values_break_scalings_and_amplitudes() -> None:
    heat = catalogue["heat"].symmetries()
    solver = solver_of(catalogue["heat"], wall=Dirichlet(1))
    for one in (*heat.scalings, *heat.internal):
        with pytest.raises(SymmetryError, match="walls whose values are 0"):
            one.check(solver)
    robin = solver_of(catalogue["heat"], wall=Robin(1, 1, 0))
    with pytest.raises(SymmetryError, match="without a length"):
        heat.scalings[0].check(robin)
    assert heat.scalings[1].check(robin).relative < 1e-12  # amplitude alone; as in the first test


def test_a_given_state_is_used() -> None:
    pde = catalogue.build("heat", dimension=1)
    solver = solver_of(pde)
    (_, mirror) = pde.symmetries().lattice
    check = mirror.check(solver, state=7 + sp.sin(sp.pi * x))
    assert 7 < check.scale < 8.1
    with pytest.raises(SymmetryError, match="positive time"):
        mirror.check(solver, until=0)


def test_the_torch_back_end_is_checked_too() -> None:
    pde = catalogue["burgers_2d"]
    periodic = Boundary(x=Periodic(), y=Periodic())
    grid = Grid(x=(-1, 1, 8), y=(-1, 1, 8))
    solver = pde.to_solver(grid, periodic, backend="torch", dt=1e-3, stability="ignore")
    for one in (*pde.symmetries().lattice, *pde.symmetries().translations):
        assert one.check(solver).relative < 1e-12  # as in the first test


@pytest.mark.parametrize("space", ["central2", "central4", "upwind"])
def test_upwind_differences_turn_with_the_grid_and_know_the_direction_of_time(space: str) -> None:
    """They damp as −|A| h/2 ∂²: even in time, where the equation is odd."""
    pde = catalogue["wave_first_order"]
    periodic = Boundary(x=Periodic(), y=Periodic())
    solver = pde.to_solver(
        Grid(x=(-1, 1, 12), y=(-1, 1, 12)), periodic, space=space, stepper="rk4", dt=1e-2
    )
    symmetries = known("wave_first_order")
    for one in symmetries.lattice:
        assert one.check(solver).relative < 1e-12  # as in the first test
    for one in symmetries.reversals:
        assert (one.check(solver).relative < 1e-12) == (space != "upwind")


def test_a_comparison_of_zeros_proves_nothing() -> None:
    """u_t = 0 u_xx has the right side 0 at all times: its reversal is 0 = −0."""
    pde = PDE(sp.Eq(u1.diff(t), sp.Symbol("c") * u1.diff(x, 2)))
    solver = solver_of(pde, values={"c": 0.0})
    found = pde.symmetries({"c": 0})
    still = found.reversals[0].check(solver)
    assert still.scale == 0
    assert math.isnan(still.relative)
    assert "nothing compared" in str(still)
    table = found.check(solver)
    assert math.isnan(table.largest("reversal"))
    assert math.isnan(table.largest("no such kind"))
    assert table.largest("lattice") == 0  # mirrored numbers that stay as they are, of size 0.1
