"""As many conditions as waves come in: fewer are refused before the first step."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import pdenet as pn
from pdenet.errors import StabilityWarning

LINE = pn.Grid(x=(0, 1, 33))
SQUARE = pn.Grid(x=(-1, 1, 13), y=(-1, 1, 13))
ADVECTION = pn.catalogue.build("advection", dimension=1)


def advection(low: object, high: object, speed: float, **options: str) -> pn.Solver:
    return ADVECTION.to_solver(LINE, pn.Boundary(x=(low, high)), values={"c": speed}, **options)


@pytest.mark.parametrize(("speed", "side"), [(1.0, "x low"), (-1.0, "x high")])
def test_advection_needs_a_value_where_it_comes_in(speed: float, side: str) -> None:
    with pytest.raises(pn.StabilityError, match=f"1 wave comes in at {side}, where no fields"):
        advection(pn.Free(), pn.Free(), speed)
    low, high = (pn.Dirichlet(0), pn.Free()) if speed > 0 else (pn.Free(), pn.Dirichlet(0))
    advection(low, high, speed)


def test_a_condition_at_the_outflow_does_not_serve_the_inflow() -> None:
    with pytest.raises(pn.StabilityError, match="x low"):
        advection(pn.Free(), pn.Dirichlet(0), 1.0)


def test_what_is_refused_would_grow() -> None:
    """Without a condition noise at the inflow grows like a power of t."""
    solver = advection(
        pn.Free(), pn.Free(), 1.0, stability="ignore", stepper="rk4", space="central2"
    )
    noise = np.random.default_rng(0).normal(size=33)
    assert np.abs(solver.run(noise, until=10).final).max() > 100 * np.abs(noise).max()


def test_it_is_said_once_where_a_warning_is_asked_for() -> None:
    with pytest.warns(StabilityWarning, match="needs a condition"):
        advection(pn.Free(), pn.Free(), 1.0, stability="warn")


@pytest.mark.parametrize("name", ["rotation", "dilation"])
def test_speeds_that_vary_are_looked_at_on_the_sides(name: str) -> None:
    free = pn.Boundary(x=pn.Free(), y=pn.Free())
    with pytest.raises(pn.StabilityError, match="comes in"):
        pn.catalogue[name].to_solver(SQUARE, free)
    dark = pn.Boundary(x=pn.Dirichlet(0), y=pn.Dirichlet(0))
    pn.catalogue[name].to_solver(SQUARE, dark)


def test_sound_needs_one_condition_at_each_wall() -> None:
    """At each side one of the two sound waves comes in; the third, the shear, stands."""
    acoustics = pn.catalogue["acoustics"]
    free, closed = pn.Free(), pn.Dirichlet(0)
    with pytest.raises(pn.StabilityError, match="1 wave comes in at x low"):
        acoustics.to_solver(SQUARE, pn.Boundary(x=free, y=free))
    acoustics.to_solver(
        SQUARE,
        pn.Boundary(x={"u": closed, "v": free, "p": free}, y={"v": closed, "u": free, "p": free}),
    )


def test_diffusion_is_not_asked_for_its_inflow() -> None:
    """With second derivatives the count is another; normal modes judge there."""
    x, t = sp.Symbol("x"), sp.Symbol("t")
    u = sp.Function("u")(t, x)
    mixed = pn.PDE(sp.Eq(u.diff(t), u.diff(x, 2) / 10 - u.diff(x)))
    mixed.to_solver(LINE, pn.Boundary(x=(pn.Dirichlet(0), pn.Neumann(0))))
