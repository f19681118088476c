"""The Scheme: which stencils stand where, in which order terms are added, what is refused."""

# ruff: noqa: E501 (tables read best with one case a line)
from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import sympy as sp

from pdenet.discrete import stencils
from pdenet.discrete.boundary import Boundary, Dirichlet, Free, Neumann, Periodic, Robin
from pdenet.discrete.closure import Rule
from pdenet.discrete.grid import Grid
from pdenet.discrete.scheme import (
    Scheme,
    discretise,
)
from pdenet.discrete.steppers import stepper
from pdenet.discrete.terms import DT, SPACING, FluxTerm, summation_groups
from pdenet.equation.catalogue import catalogue
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import D, coordinates
from pdenet.errors import GridError, PdenetError, SchemeError

t, x, y = coordinates("t x y")
u, v = sp.Function("u")(t, x, y), sp.Function("v")(t, x, y)
u1 = sp.Function("u")(t, x)
GRID = Grid(x=(0, 1, 9), y=(0, 1, 9))
TORUS = Boundary(x=Periodic(), y=Periodic())


def made(pde: PDE, space: str = "central2", by: str = "euler", grid: Grid | None = None) -> Scheme:
    dimension = pde.system.dimension
    grid = grid or Grid(**dict.fromkeys("xyz"[:dimension], (0, 1, 9)))
    boundary = Boundary(**dict.fromkeys(grid.axes, Periodic()))
    return discretise(pde.system, grid, boundary, space, stepper(by))


# Stencils ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("space", "accuracy"), [("central2", 2), ("central4", 4), ("central6", 6)])
def test_derivatives_become_central_stencils_of_the_accuracy(space: str, accuracy: int) -> None:
    (terms,) = made(catalogue["heat"], space).equations
    found = {f.stencil for term in terms for f in term.outer.factors}
    assert found == {stencils.central(2, accuracy, axis, 2) for axis in (0, 1)}


def test_schemes_are_equal_when_only_values_differ() -> None:
    """Values are bound where a scheme is carried out: arrays, tensors and numbers are not in it."""
    heat = catalogue["heat"].system
    one, other, third = (
        discretise(heat, GRID, Boundary(x=wall, y=Neumann(0)), "central2", stepper("euler"))
        for wall in (Dirichlet(np.arange(9.0)), Dirichlet(t * y), Robin(1, 2, 3))
    )
    assert one == other
    assert hash(one) == hash(other)
    assert one.fingerprint == other.fingerprint
    assert one != third
    assert one.fingerprint != third.fingerprint


_FINGERPRINT = """
from tests.discrete.test_scheme import catalogue, made
print(made(catalogue["eq7"], by="rk4").fingerprint, made(catalogue["rotation"]).fingerprint)
"""


def test_equal_schemes_have_one_fingerprint_in_every_process() -> None:
    here = (
        f"{made(catalogue['eq7'], by='rk4').fingerprint} {made(catalogue['rotation']).fingerprint}"
    )
    for seed in ("1", "2"):  # of Python's own hashes, which differ from process to process
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        found = subprocess.run(
            [sys.executable, "-c", _FINGERPRINT],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout.split() == here.split()


def test_a_scheme_holds_no_array_of_the_grids_size() -> None:
    """Grids of 9 and of 900 nodes a side differ in the grid alone."""
    k = sp.Function("k")(x, y)
    pde = PDE(sp.Eq(u.diff(t), D(k * u.diff(x), x) + sp.sin(x) * u.diff(y)))
    small = made(pde)
    large = made(pde, grid=Grid(x=(0, 1, 900), y=(0, 1, 900)))
    assert small.equations == large.equations
    assert small.width == large.width

    def arrays(value: Any) -> list[np.ndarray]:
        if isinstance(value, np.ndarray):
            return [value]
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return [a for f in dataclasses.fields(value) for a in arrays(getattr(value, f.name))]
        if isinstance(value, tuple):
            return [a for one in value for a in arrays(one)]
        return []

    assert arrays(large) == []


def test_a_flux_has_a_difference_over_the_face_and_a_mean_of_nodes() -> None:
    k = sp.Function("k")(x)
    (terms,) = made(PDE(sp.Eq(u1.diff(t), D(k * u1.diff(x), x)))).equations
    (term,) = terms
    assert isinstance(term, FluxTerm)
    assert term.axis == 0
    (factor,) = term.faces
    assert factor.at_face
    assert factor.stencil == stencils.staggered(1)
    # The whole is u_{i+1} − 2 u_i + u_{i−1} for k = 1, which no sawtooth is blind to.
    assert made(PDE(sp.Eq(u1.diff(t), D(k * u1.diff(x), x)))).width == (1,)


def test_width_is_how_far_stencils_reach() -> None:
    u_x4 = PDE(sp.Eq(u.diff(t), u.diff(x, 4) + u.diff(y)))
    assert made(u_x4).width == (2, 1)
    assert made(catalogue["heat"], "central6").width == (3, 3)
    assert made(catalogue["burgers_1d"]).width == (1,)
    assert made(PDE(sp.Eq(u.diff(t), u.diff(x)))).width == (1, 0)


def test_the_nine_point_laplacian_replaces_the_sum_of_second_derivatives() -> None:
    (terms,) = made(catalogue["heat"], "nine_point").equations
    (term,) = terms
    assert term.outer.factors[0].stencil == stencils.laplacian9()
    waves = made(catalogue["wave"], "nine_point", "leapfrog").equations
    assert [len(terms) for terms in waves] == [1, 1]


def test_upwind_adds_half_a_spacing_of_viscosity() -> None:
    """a u_x by the difference from the wind's side is a central one plus |a| h/2 u_xx."""
    c = sp.Symbol("c", real=True)
    (terms,) = made(PDE(sp.Eq(u1.diff(t), -c * u1.diff(x))), "upwind").equations
    by_stencil = {t.outer.factors[0].stencil: t.outer.prefactor for t in terms}
    assert by_stencil[stencils.central(1)] == -c
    assert sp.simplify(by_stencil[stencils.central(2)] - sp.Abs(c) * SPACING["x"] / 2) == 0


def test_upwind_of_a_constant_system_is_made_of_its_absolute_matrix() -> None:
    (derived,) = {
        d.name for d in made(catalogue.build("wave_first_order", dimension=1), "upwind").derived
    }
    assert derived == "_abs_x"


def test_lax_friedrichs_adds_the_neighbours_mean_less_u_over_dt() -> None:
    (terms,) = made(catalogue["advection"], "lax_friedrichs").equations
    (viscous,) = [t for t in terms if t.outer.prefactor == 1 / DT]
    stencil = viscous.outer.factors[0].stencil
    table = dict(zip(stencil.offsets, stencil.weights, strict=True))
    quarter = Fraction(1, 4)
    assert table == {
        (0, 0): -1,
        (1, 0): quarter,
        (-1, 0): quarter,
        (0, 1): quarter,
        (0, -1): quarter,
    }


def test_algebraically_equal_equations_have_equal_schemes() -> None:
    a, b = sp.symbols("a b")
    one = PDE(sp.Eq(u.diff(t), -a * (x - b) * u.diff(x) + (u.diff(x, 2) + u.diff(y, 2)) * a))
    other = PDE(sp.Eq(u.diff(t) - a * u.diff(y, 2), a * (b - x) * u.diff(x) + a * u.diff(x, 2)))
    assert made(one).equations == made(other).equations


# Order of summation ------------------------------------------------------------------------------


def test_terms_along_exchanged_axes_are_added_in_one_group() -> None:
    pde = PDE(sp.Eq(u.diff(t), u.diff(x, 2) + u.diff(y, 2) + u.diff(x) + 2 * u.diff(y) + u))
    (terms,) = made(pde).equations
    groups = summation_groups(terms)
    sizes = {
        tuple(sorted(by_axes[0].key, reverse=True)): len(g) for g in groups for by_axes in (g[0],)
    }
    assert sizes == {(2, 0): 2, (1, 0): 2, (0, 0): 1}
    assert sorted(map(id, terms)) == sorted(id(t) for g in groups for by in g for t in by)


# Splitting ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "expected"),
    [
        (u.diff(x, 2) - u, True),
        (sp.sin(u) * u.diff(x, 2), True),
        (u.diff(x, 2) - u.diff(t), False),
        (u.diff(x, 2) - u * u.diff(t), False),
        (u.diff(x, 2) + u.diff(t).diff(x, 2), False),
    ],
    ids=["Klein-Gordon", "nonlinear", "damped", "nonlinearly damped", "strongly damped"],
)
def test_pairs_split_unless_the_rate_enters(right: sp.Expr, expected: bool) -> None:
    assert PDE(sp.Eq(u.diff(t, 2), right)).system.is_splittable is expected


def test_first_order_systems_do_not_split() -> None:
    assert not catalogue["wave_system"].system.is_splittable
    assert not catalogue["heat"].system.is_splittable


# Bad input ---------------------------------------------------------------------------------------

_BAD: dict[str, tuple[Callable[[], object], type[PdenetError], tuple[str, ...]]] = {
    "unknown space": (lambda: made(catalogue["heat"], "central3"), SchemeError, ("'central3'", "central4")),
    "auto is settled before": (lambda: made(catalogue["heat"], "auto"), SchemeError, ("'auto'",)),
    "unknown stepper": (lambda: made(catalogue["heat"], by="leapfrg"), SchemeError, ("'leapfrg'", "Did you mean 'leapfrog'?")),
    "leapfrog of heat": (lambda: made(catalogue["heat"], by="leapfrog"), SchemeError, ("leapfrog", 'stepper="rk4"')),
    "Lax–Friedrichs with RK4": (lambda: made(catalogue["advection"], "lax_friedrichs", "rk4"), SchemeError, ("'rk4'", 'stepper="euler"')),
    "Lax–Friedrichs of waves": (lambda: made(catalogue["wave"], "lax_friedrichs"), SchemeError, ("first order", "order 2")),
    "nine points on unequal spacings": (lambda: made(catalogue["heat"], "nine_point", grid=Grid(x=(0, 1, 9), y=(0, 1, 8))), SchemeError, ("equal spacings", "0.125", 'space="central2"')),
    "nine points of unequal diffusion": (lambda: made(PDE(sp.Eq(u.diff(t), u.diff(x, 2) + 2 * u.diff(y, 2))), "nine_point"), SchemeError, ("another prefactor",)),
    "upwind of a matrix that varies": (lambda: made(PDE(sp.Eq(u.diff(t), x * v.diff(x)), sp.Eq(v.diff(t), u.diff(x))), "upwind"), SchemeError, ("upwind", "along x, which varies", "rk4")),
    "upwind of a product of derivatives": (lambda: made(PDE(sp.Eq(u.diff(t), u.diff(x) * u.diff(y))), "upwind"), SchemeError, ("product of derivatives",)),
    "another grid's axes": (lambda: made(catalogue["heat"], grid=Grid(x=(0, 1, 9))), GridError, ("(x, y)", "(x)")),
    "too few points": (lambda: made(catalogue["kdv"], grid=Grid(x=(0, 1, 4))), GridError, ("5 points", "along x", "got 4")),
    "too few points to extrapolate": (lambda: discretise(catalogue["burgers_1d"].system, Grid(x=(0, 1, 3)), Boundary(x=Free()), "central2", stepper("euler")), GridError, ("one-sided", "'u'", "got 3")),
}  # fmt: skip


@pytest.mark.parametrize("name", _BAD)
def test_schemes_that_do_not_exist_are_refused(name: str) -> None:
    do, error, parts = _BAD[name]
    with pytest.raises(PdenetError) as caught:
        do()
    assert type(caught.value) is error
    assert isinstance(caught.value, ValueError)
    for part in parts:
        assert part in str(caught.value), str(caught.value)


@pytest.mark.parametrize(
    "matrix", [[[0, 1], [-1, 0]], [[1, 1], [0, 1]]], ids=["elliptic", "Jordan"]
)
def test_upwind_refuses_matrices_without_a_real_diagonal_form(matrix: list[list[int]]) -> None:
    """Complex speeds, or too few eigenvectors."""
    (a, b), (c, d) = matrix
    pde = PDE(
        sp.Eq(u.diff(t), a * u.diff(x) + b * v.diff(x)),
        sp.Eq(v.diff(t), c * u.diff(x) + d * v.diff(x)),
    )
    with pytest.raises(SchemeError, match="real eigenvalues and all eigenvectors"):
        pde.to_solver(GRID, TORUS, space="upwind", stepper="euler")


def test_extrapolation_at_a_free_end_is_one_degree_above_the_highest_derivative() -> None:
    pde = PDE(sp.Eq(u.diff(t), u.diff(x, 3) + u.diff(y)))
    boundary = Boundary(x=Free(), y=(Free(), Dirichlet(0)))
    scheme = discretise(pde.system, GRID, boundary, "central2", stepper("rk4"))
    (along_x, along_y) = scheme.closures["u"]
    depths = [c.depth for c in (*along_x, along_y[0]) if isinstance(c, Rule)]
    assert depths == [5, 5, 3]  # nodes 0 … 4 of a polynomial of degree 4


def test_the_nine_point_laplacian_leaves_no_second_derivative_behind() -> None:
    """v_xx alone would stay with the five-point stencil, unannounced."""
    both = PDE(sp.Eq(u.diff(t), u.diff(x, 2) + u.diff(y, 2) + v.diff(x, 2)), sp.Eq(v.diff(t), v))
    with pytest.raises(SchemeError, match="without their partner"):
        made(both, "nine_point")


def test_upwind_is_refused_for_a_matrix_that_varies() -> None:
    pde = catalogue.build("eq9", dimension=1, n=2)
    line, ring = Grid(x=(0, 1, 8)), Boundary(x=Periodic())
    with pytest.raises(SchemeError, match="entries that vary"):
        pde.to_solver(line, ring, values={"A": [[x, 0], [0, 1]]}, space="upwind", stepper="euler")
