"""Boundary conditions: what they may hold, what they imply, and the ghost nodes that follow.

The ghost rules themselves are compared with loops over nodes in `tests/laws/test_backends.py`.
"""

# ruff: noqa: E501 (tables read best with one case a line)
from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given
from hypothesis import strategies as st

from pdenet.discrete.boundary import (
    Boundary,
    Dirichlet,
    Free,
    Neumann,
    Periodic,
    Robin,
    ZeroPadding,
    boundary_parameters,
    resolve,
)
from pdenet.discrete.closure import Rule, Wrap, closure
from pdenet.discrete.grid import Grid
from pdenet.equation.catalogue import catalogue
from pdenet.equation.symbols import coordinates
from pdenet.errors import BoundaryError, BoundaryWarning, PdenetError

t, x, y = coordinates("t x y")
HEAT, WAVE, MAXWELL = (catalogue[name] for name in ("heat", "wave", "maxwell_tm"))
GRID = Grid(x=(0, 1, 6), y=(0, 1, 7))
P, D, N, F = Periodic(), Dirichlet(0), Neumann(0), Free()


def solve(boundary: Boundary, **options: Any) -> Any:
    return HEAT.to_solver(GRID, boundary, **options)


# Bad input ---------------------------------------------------------------------------------------

_BAD: dict[str, tuple[Callable[[], object], tuple[str, ...]]] = {
    "periodic low without partner": (lambda: Boundary(x=(P, D)), ("Periodic() at x low", "Dirichlet(0) at x high", "make x high periodic")),
    "periodic high without partner": (lambda: Boundary(y=(F, P)), ("Free() at y low", "make y low periodic")),
    "two conditions on one side": (lambda: Boundary(x=((D, N), D)), ("x low", "exactly one", "got 2", "remove one")),
    "three conditions": (lambda: Boundary(x=(D, N, D)), ("x", "got 3", "exactly one")),
    "an empty pair": (lambda: Boundary(x=()), ("axis x", "got 0")),
    "two for a field": (lambda: Boundary(x={"u": D, sp.Symbol("u"): N}), ("two for field 'u'", "axis x", "remove one")),
    "an empty mapping": (lambda: Boundary(x={}), ("axis x", "empty mapping")),
    "periodic for one field": (lambda: Boundary(x={"u": P, "v": D}), ("axis x", "periodic for all fields or for none")),
    "no condition": (lambda: Boundary(x=3), ("x low", "3", "Dirichlet")),
    "a number for a side": (lambda: Boundary(x=(0, D)), ("x low", "0 (int)", "Dirichlet")),
    "None": (lambda: Boundary(x=None), ("x low", "None")),
    "text": (lambda: Boundary(x="periodic"), ("x low", "'periodic'", "Periodic")),
    "a class": (lambda: Boundary(x=Periodic), ("x low", "the class Periodic", "write Periodic()")),
    "an unknown axis": (lambda: Boundary(w=D), ("'w'", "x, y and z")),
    "time as an axis": (lambda: Boundary(t=D), ("'t'", "x, y and z")),
    "a key that is no field": (lambda: Boundary(x={1: D}), ("axis x", "1", "int")),
    "Robin a = b = 0": (lambda: Robin(0, 0, 1), ("a = b = 0", "a u + b ∂u/∂n")),
    "Robin with NaN": (lambda: Robin(math.nan, 1), ("a = nan", "finite")),
    "Robin with infinity": (lambda: Robin(1, math.inf), ("b = inf", "finite")),
    "Robin with a bool": (lambda: Robin(True, 1), ("a = True",)),
    "Robin with text": (lambda: Robin("1", 1), ("a = '1'",)),  # type: ignore[arg-type]
    "Robin with a complex": (lambda: Robin(1j, 1), ("a = 1j",)),  # type: ignore[arg-type]
    "text as a value": (lambda: Dirichlet("sin(x)"), ("Dirichlet", "'sin(x)'", "parse_expression")),
    "a bool as a value": (lambda: Neumann(True), ("Neumann", "True (bool)")),
    "NaN as a value": (lambda: Dirichlet(math.nan), ("Dirichlet", "finite", "nan")),
    "infinity in an array": (lambda: Neumann(np.array([0, math.inf])), ("Neumann", "finite", "inf")),
    "a complex value": (lambda: Dirichlet(1j), ("Dirichlet", "1j")),
    "a complex array": (lambda: Dirichlet(np.zeros(3, complex)), ("Dirichlet", "complex")),
    "None as a value": (lambda: Robin(1, 1, None), ("Robin", "None")),
    "unmentioned side": (lambda: solve(Boundary(x=D)), ("no default", "y low", "y high")),
    "unmentioned field": (lambda: MAXWELL.to_solver(GRID, Boundary(x={"Ez": D}, y=D)), ("'Hx'", "x low", "x high")),
    "unknown field": (lambda: solve(Boundary(x={"u": D, "uu": D}, y=D)), ("'uu'", "axis x", "Did you mean 'u'?")),
    "an axis the grid has not": (lambda: solve(Boundary(x=D, y=D, z=D)), ("x, y", "on z", "remove")),
    "an imaginary expression": (lambda: solve(Boundary(x=Dirichlet(sp.I), y=D)), ("x low", "real", "I")),
    "a field in a value": (lambda: solve(Boundary(x=D, y=Neumann(sp.Symbol("u")))), ("y low", "u")),
    "a coordinate the grid has not": (lambda: solve(Boundary(x=Dirichlet(sp.Symbol("z")), y=D)), ("x low", "z")),
    "an array of the wrong length": (lambda: solve(Boundary(x=Dirichlet(np.ones(6)), y=D)), ("'u'", "x low", "(7,)", "(6,)")),
    "an array on the wrong side": (lambda: solve(Boundary(x=N, y=(N, Neumann(np.ones((1, 6)))))), ("y high", "(6,)", "(1, 6)")),
}  # fmt: skip


@pytest.mark.parametrize("name", _BAD)
def test_bad_boundaries_are_refused_by_name(name: str) -> None:
    do, parts = _BAD[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PdenetError) as caught:
            do()
    assert type(caught.value) is BoundaryError
    assert isinstance(caught.value, ValueError)
    for part in parts:
        assert part in str(caught.value), str(caught.value)


def test_a_missing_parameter_of_a_value_is_named() -> None:
    boundary = Boundary(x=Dirichlet(sp.Symbol("g") * t), y=D)
    with pytest.raises(PdenetError, match=r"none for g.*values=\{'g'"):
        solve(boundary)
    assert solve(boundary, values={"g": 1}).dt > 0


# What is said and what it implies ----------------------------------------------------------------


def test_one_condition_is_both_ends_and_all_fields() -> None:
    made = resolve(Boundary(x=N, y=(D, F)), MAXWELL.system, ("x", "y"))
    assert set(made) == {"Ez", "Hx", "Hy"}
    for pairs in made.values():
        kinds = [[type(c) for c in pair] for pair in pairs]
        assert kinds == [[Neumann, Neumann], [Dirichlet, Free]]


def test_fields_are_named_by_text_symbol_or_function() -> None:
    u = sp.Function("u")(t, x, y)
    for key in ("u", sp.Symbol("u"), u):
        made = resolve(Boundary(x={key: N}, y=P), HEAT.system, ("x", "y"))
        assert isinstance(made["u"][0][0], Neumann)


def test_periodic_is_known_by_axis() -> None:
    boundary = Boundary(x=P, y={"u": (D, N)})
    assert boundary.is_periodic("x")
    assert not boundary.is_periodic("y")


def test_a_condition_on_u_implies_its_time_derivative_on_the_rate() -> None:
    low, high = Dirichlet(sp.sin(3 * t) * y), Robin(2, 3, t**2)
    made = resolve(Boundary(x=(low, high), y=(Neumann(5), F)), WAVE.system, ("x", "y"))
    (first, second), (third, fourth) = made["u_t"]
    assert isinstance(first, Dirichlet)
    assert isinstance(second, Robin)
    assert sp.simplify(first.value - 3 * sp.cos(3 * t) * y) == 0
    assert (second.a, second.b) == (2, 3)
    assert sp.simplify(second.value - 2 * t) == 0
    assert isinstance(third, Neumann)
    assert third.value == 0
    assert isinstance(fourth, Free)


def test_the_rate_may_have_a_condition_of_its_own() -> None:
    made = resolve(Boundary(x={"u": Dirichlet(t), "u_t": F}, y=P), WAVE.system, ("x", "y"))
    assert isinstance(made["u_t"][0][0], Free)


def test_robin_without_a_derivative_is_dirichlet() -> None:
    made = resolve(Boundary(x=Robin(2, 0, 3), y=P), HEAT.system, ("x", "y"))
    condition = made["u"][0][0]
    assert isinstance(condition, Dirichlet)
    assert condition.value == 1.5


def test_an_array_that_has_changed_counts_for_the_next_solver() -> None:
    value = np.full(6, 1.0)
    boundary = Boundary(x=P, y=(Robin(2, 0, value), D))  # 2 u = g
    for g in (1.0, 4.0):
        value[:] = g
        solver = solve(boundary)
        assert solver.step(solver.initial_state(np.zeros((1, 7, 6))))[0, 0, 3] == g / 2


def test_a_tensor_serves_solvers_with_a_graph_each() -> None:
    value = torch.ones(6, dtype=torch.float64, requires_grad=True)
    boundary = Boundary(x=P, y=(Robin(2, 0, value), D))
    for _ in range(2):  # the first backward pass frees its graph
        solver = solve(boundary, backend="torch")
        solver.step(solver.initial_state(np.zeros((1, 7, 6)))).sum().backward()
    # u = g/2 on six nodes, twice.
    assert value.grad is not None
    assert float(value.grad.sum()) == 6.0


def test_names_in_values_are_parameters() -> None:
    boundary = Boundary(x=Dirichlet(sp.Symbol("g") * sp.sin(t) + y), y=Neumann(sp.Symbol("h") * x))
    made = resolve(boundary, HEAT.system, ("x", "y"))
    assert boundary_parameters(made, ("x", "y")) == ("g", "h")


@pytest.mark.parametrize(
    ("boundary", "text"),
    [
        (Boundary(x=P), "Boundary(x=Periodic())"),
        (Boundary(x=(Dirichlet(1), F), y=Robin(1, 2, x)), "Boundary(x=(Dirichlet(1), Free()), y=Robin(1, 2, x))"),
        (Boundary(x={"u": Neumann(np.ones(3)), "v": ZeroPadding()}), "Boundary(x={'u': Neumann(array(3,)), 'v': ZeroPadding()})"),
    ],
)  # fmt: skip
def test_boundaries_print_as_they_are_written(boundary: Boundary, text: str) -> None:
    assert repr(boundary) == text


def test_conditions_are_equal_when_their_numbers_and_expressions_are() -> None:
    values = np.ones(3)
    assert Dirichlet(0) == Dirichlet(0.0) != Neumann(0)
    assert Robin(1, 2, sp.sin(t)) == Robin(1, 2, sp.sin(t)) != Robin(1, 3, sp.sin(t))
    assert Dirichlet(values) == Dirichlet(values) != Dirichlet(values.copy())
    assert len({Dirichlet(1), Dirichlet(1), Neumann(1), F, Free()}) == 3


# Ghost nodes -------------------------------------------------------------------------------------


def ghost(
    condition: Any, h: float, width: int, degree: int, values: np.ndarray, g: float
) -> list[float]:
    rule = closure(condition, h, width, degree)
    assert isinstance(rule, Rule)
    return [
        sum(weight * values[m] for m, weight in rule.ghosts[k]) + rule.sources[k] * g
        for k in range(width)
    ]


@given(a=st.floats(-2, 2), b=st.floats(-2, 2), c=st.floats(-2, 2), h=st.floats(0.125, 1))
def test_ghosts_of_walls_continue_what_satisfies_them(
    a: float, b: float, c: float, h: float
) -> None:
    """A parabola a + b s + c s² (s into the box) goes on exactly through Neumann and Robin walls when
    it is even about the wall but for its slope, and through Dirichlet when it is odd but for its
    value. The numbers are below 40, so 1e-12 is rounding.
    """
    s = h * np.arange(5)
    outside = -h * np.arange(1, 4)
    odd, slope = a + b * s, a + c * s**2
    found = ghost(Dirichlet(0), h, 3, 2, odd, a)
    np.testing.assert_allclose(found, a + b * outside, atol=1e-12)
    # ∂u/∂n = −b outwards: the mirror image of the even part, and 2kh g.
    found = ghost(Neumann(0), h, 3, 2, slope + b * s, -b)
    np.testing.assert_allclose(found, a + b * outside + c * outside**2, atol=1e-12)
    found = ghost(Robin(2, 0.5), h, 3, 2, slope + b * s, 2 * a - 0.5 * b)
    np.testing.assert_allclose(found, a + b * outside + c * outside**2, atol=1e-12)
    assert ghost(ZeroPadding(), h, 3, 2, odd, 0) == [0, 0, 0]


@pytest.mark.parametrize("degree", [2, 3, 4, 5])
def test_free_ends_continue_polynomials_of_their_degree(degree: int) -> None:
    values = (np.arange(8.0) - 1.5) ** degree
    found = ghost(Free(), 0.1, 3, degree, values, 0)
    np.testing.assert_allclose(found, [(-k - 1.5) ** degree for k in (1, 2, 3)], rtol=1e-10)


def test_only_dirichlet_nodes_are_prescribed() -> None:
    made = [closure(c, 0.1, 1, 2) for c in (D, N, F, Robin(1, 1), ZeroPadding())]
    assert [isinstance(c, Rule) and c.fixed for c in made] == [True, False, False, False, False]
    assert closure(P, 0.1, 1, 2) == Wrap()


# Corners -----------------------------------------------------------------------------------------


def test_dirichlet_wins_at_corners() -> None:
    state = solve(Boundary(x=Dirichlet(2), y=Neumann(7))).initial_state(0)
    np.testing.assert_array_equal(state[0][:, [0, -1]], 2)
    np.testing.assert_array_equal(state[0][:, 1:-1], 0)


def test_dirichlet_values_that_disagree_give_their_mean_and_one_warning() -> None:
    solver = solve(Boundary(x=Dirichlet(1), y=Dirichlet(4)))
    with pytest.warns(BoundaryWarning, match="1 and 4 for field 'u'") as caught:
        result = solver.run(0, until=0.1)
    assert len([w for w in caught if w.category is BoundaryWarning]) == 1
    for frame in result.states:
        np.testing.assert_array_equal(frame[0][[0, 0, -1, -1], [0, -1, 0, -1]], 2.5)
        np.testing.assert_array_equal(frame[0][1:-1, 0], 1)
        np.testing.assert_array_equal(frame[0][0, 1:-1], 4)


def test_dirichlet_values_that_agree_give_no_warning() -> None:
    boundary = Boundary(x=Dirichlet(x + 2 * y), y=Dirichlet(x + 2 * y))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        final = solve(boundary).run(x + 2 * y, until=0.1).final[0]
    across, up = GRID.mesh(boundary)
    # A linear function is in equilibrium, corners included.
    np.testing.assert_allclose(final, across + 2 * up, atol=1e-14)


def test_in_a_cube_three_values_meet() -> None:
    pde = catalogue.build("heat", dimension=3)
    grid = Grid(**dict.fromkeys("xyz", (0, 1, 4)))
    boundary = Boundary(x=Dirichlet(1), y=Dirichlet(2), z=Dirichlet(6))
    with pytest.warns(BoundaryWarning):
        state = pde.to_solver(grid, boundary).initial_state(0)
    assert state[0, 0, 0, 0] == 3  # (1 + 2 + 6)/3
    assert state[0, 1, 0, 0] == 1.5  # an edge of x and y
    assert state[0, 0, 1, 0] == 3.5  # an edge of x and z


# Order -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "expected"), [("dirichlet", 2), ("neumann", 2), ("robin", 2), ("zero padding", 1)]
)
def test_steady_states_show_the_order_of_each_wall(kind: str, expected: int) -> None:
    """u'' = −π² sin(πx) with each wall's own value: the steady state is sin(πx), reached at order p.

    The heat equation is run until e^(−π² t/4) is below 1e-9. Zero padding is the exact solution
    of a wall one spacing outside, so against sin(πx) it is of first order.
    """
    errors = []
    for points in (9, 17):
        grid = Grid(x=(0, 1, points))
        left = {
            "dirichlet": Dirichlet(0), "neumann": Neumann(-math.pi), "robin": Robin(2, 1, -math.pi),
            "zero padding": ZeroPadding(),
        }[kind]  # fmt: skip
        u = sp.Function("u")(t, x)
        from pdenet.equation.pde import PDE

        pde = PDE(sp.Eq(u.diff(t), u.diff(x, 2) + sp.pi**2 * sp.sin(sp.pi * x)))
        right = ZeroPadding() if kind == "zero padding" else Dirichlet(0)
        solver = pde.to_solver(grid, Boundary(x=(left, right)), stepper="euler")
        found = solver.run(sp.sin(sp.pi * x), until=9, every=9).final[0]
        errors.append(float(np.abs(found - np.sin(np.pi * np.linspace(0, 1, points))).max()))
    order = math.log2(errors[0] / errors[1])
    assert abs(order - expected) < 0.15, errors
