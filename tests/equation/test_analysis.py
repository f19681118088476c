"""Analysis: order, kind and coefficients as defined; the matrices of linear systems."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from pdenet.equation.catalogue import catalogue
from pdenet.equation.linear import linear_form
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import Coefficient, D, Index, VectorField, coordinates
from pdenet.equation.values import bind
from pdenet.errors import EquationError
from tests.strategies import Problem, few_each, hyperbolic_systems, parabolic_systems

t, x, y = coordinates("t x y")
u, v = (sp.Function(name)(t, x, y) for name in "uv")
a, b = sp.symbols("a b")
c = sp.Function("c")(x, y)


def pde(right: sp.Expr) -> PDE:
    return PDE(sp.Eq(u.diff(t), right))


# Classification ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "kind"),
    [
        (sp.S.Zero, "linear"),
        (a * u, "linear"),
        (u.diff(x) + sp.sin(x * t), "linear"),
        (x**2 * u.diff(x, y) + c * u, "linear"),
        (D(c * u.diff(x), x), "linear"),
        (u**2, "nonlinear"),
        (sp.exp(u), "nonlinear"),
        (u * u.diff(x), "quasi-linear"),
        (u.diff(x, 2) + u.diff(x) ** 2, "quasi-linear"),
        (u.diff(x, 2) * u.diff(x), "quasi-linear"),
        (D(sp.exp(u), x), "quasi-linear"),
        (D(u**2 * u.diff(x), x), "quasi-linear"),
        # By the chain rule 3 u_x² u_xx: linear in the highest derivative.
        (D(u.diff(x) ** 3, x), "quasi-linear"),
        (u.diff(x) ** 2, "nonlinear"),
        (u.diff(x) * u.diff(y), "nonlinear"),
        (u.diff(x, 2) * D(u.diff(y), y), "nonlinear"),
    ],
    ids=str,
)
def test_kind_follows_its_definition(right: sp.Expr, kind: str) -> None:
    assert pde(right).analysis.kind == kind


@pytest.mark.parametrize(
    ("right", "coefficients"),
    [
        (a * u.diff(x), "constant"),
        (u * u.diff(x), "constant"),  # depends on x through u alone
        (a * u + sp.sin(x) * t, "constant"),  # a source is no coefficient
        (a * u.diff(x) + c, "constant"),
        (x * u.diff(x), "variable"),
        (t * u.diff(x), "variable"),
        (x * u, "variable"),
        (x * u**2 + 1, "variable"),
        (c * u.diff(x, 2), "variable"),
        (D(c * u.diff(x), x), "variable"),
        (x * D(u**2, x), "variable"),
        (D(u**2 + sp.sin(x), x), "constant"),
        (u * D(c, x), "variable"),
    ],
    ids=str,
)
def test_coefficients_vary_where_a_coordinate_multiplies_a_field(
    right: sp.Expr, coefficients: str
) -> None:
    assert pde(right).analysis.coefficients == coefficients


@pytest.mark.parametrize(
    ("right", "order"),
    [
        (u, 0),
        (u.diff(y), 1),
        (D(u, x), 1),
        (u.diff(x, y, y), 3),
        (D(u.diff(x), y), 2),
        (D(u.diff(x, 3), x), 4),
        (D(u**2, x) + u.diff(x, 2), 2),
    ],
    ids=str,
)
def test_order_counts_fluxes_carried_out(right: sp.Expr, order: int) -> None:
    assert pde(right).analysis.order == order


@pytest.mark.parametrize(
    ("right", "is_conservative"),
    [
        (D(u**2, x) + D(c * u.diff(y), y), True),
        (a * u.diff(x) + b * u.diff(x, y, y), True),
        (t * u.diff(x), True),
        (x * u.diff(x), False),
        (c * u.diff(x, 2), False),
        (u * u.diff(x), False),
        (u.diff(x) - a * u, False),
        (u.diff(x) + 1, False),
        (c * D(u**2, x), False),
        (u * D(u, x), False),
    ],
    ids=str,
)
def test_conservation_is_seen_from_the_form(right: sp.Expr, is_conservative: bool) -> None:
    assert pde(right).analysis.is_conservative == is_conservative


def test_second_order_in_time_is_reported() -> None:
    assert catalogue["wave"].analysis.time_order == 2
    assert catalogue["wave_system"].analysis.time_order == 1
    assert "second order in time" in str(catalogue["wave"].analysis)


# Matrices of linear systems ------------------------------------------------------------------


@pytest.mark.parametrize("opaque", [False, True], ids=["scalar fields", "vector field"])
@pytest.mark.parametrize("dimension", [1, 2, 3])
@few_each
@given(data=st.data())
def test_matrices_are_those_the_system_was_made_of(
    data: st.DataObject, dimension: int, opaque: bool
) -> None:
    for order, strategy in ((1, hyperbolic_systems), (2, parabolic_systems)):
        problem: Problem = data.draw(strategy(dimension, opaque=opaque))
        found = linear_form(bind(problem.pde.system, problem.values)).matrices
        for axis, matrix in enumerate(problem.matrices):
            alpha = tuple(order * (k == axis) for k in range(dimension))
            # Decimals are read exactly and added to zeros: no rounding.
            np.testing.assert_array_equal(found.pop(alpha, np.zeros_like(matrix)), matrix)
        assert not any(m.any() for m in found.values())


def test_parameters_fluxes_and_reactions_land_in_their_matrices() -> None:
    system = PDE(
        sp.Eq(u.diff(t), D(a * u.diff(x) - 3 * v, x) + (a + b) * v.diff(x, y) - b * u + 7),
        sp.Eq(v.diff(t), a * (u - b * v) + sp.sin(x)),
    ).system
    form = linear_form(bind(system, {"a": 2, "b": 5}))
    expected = {
        (0, 0): [[-5, 0], [2, -10]],
        (2, 0): [[2, 0], [0, 0]],
        (1, 0): [[0, -3], [0, 0]],
        (1, 1): [[0, 7], [0, 0]],
    }
    assert set(form.matrices) == set(expected)
    for alpha, matrix in expected.items():
        np.testing.assert_array_equal(form.matrices[alpha], matrix)
    sources = {str(e): w.tolist() for w, e in form.sources}
    assert sources == {"7": [1.0, 0.0], "sin(x)": [0.0, 1.0]}


def test_second_order_in_time_gives_the_companion_matrix() -> None:
    found = linear_form(bind(catalogue["wave"].system, {"c": 3})).matrices
    np.testing.assert_array_equal(found[0, 0], [[0, 1], [0, 0]])
    np.testing.assert_array_equal(found[2, 0], [[0, 0], [9, 0]])


def test_contractions_of_tensors_are_sums_over_their_indices() -> None:
    i, j, k = (Index(name) for name in "ijk")
    w = VectorField("w", 3, (t, x))
    f = sp.Function("f")(t, x)
    m, n = Coefficient("M", (3, 2)), Coefficient("N", (2, 3))
    q, r = Coefficient("q", (3,)), Coefficient("r", (3,))
    equations = (
        sp.Eq(w[i].diff(t), m[i, j] * n[j, k] * w[k].diff(x) + q[i] * f + w[i] + q[i] * sp.cos(x)),
        sp.Eq(f.diff(t), r[j] * w[j].diff(x, 2) + w[j]),
    )
    rng = np.random.default_rng(0)
    values = {p: rng.integers(-5, 6, size=s) for p, s in (("M", (3, 2)), ("N", (2, 3)))}
    values |= {p: rng.integers(-5, 6, size=3) for p in "qr"}
    form = linear_form(bind(PDE(*equations).system, values))
    zero, first, second = (form.matrices[order,] for order in range(3))
    expected = np.zeros((4, 4))
    expected[:3, :3] = values["M"] @ values["N"]
    np.testing.assert_array_equal(first, expected)
    expected = np.eye(4)
    expected[:3, 3], expected[3] = values["q"], [1, 1, 1, 0]
    np.testing.assert_array_equal(zero, expected)
    expected = np.zeros((4, 4))
    expected[3, :3] = values["r"]
    np.testing.assert_array_equal(second, expected)
    ((weights, source),) = form.sources
    assert str(source) == "cos(x)"
    np.testing.assert_array_equal(weights, [*values["q"], 0])


@pytest.mark.parametrize(
    ("right", "values", "words"),
    [
        (u * u.diff(x), {}, "not linear"),
        (u**2, {}, "not linear"),
        (D(u**2, x), {}, "not linear"),
        (u * D(u, x), {}, "flux by a field"),
        (x * u.diff(x), {}, "depends on the coordinates"),
        (t * u, {}, "depends on the coordinates"),
        (D(x * u, x), {}, "depends on the coordinates"),
        (c * u, {"c": np.ones((3, 4))}, "array over the grid"),
        (c * u, {"c": sp.sin(x)}, "depends on the coordinates"),
    ],
    ids=str,
)
def test_what_is_not_linear_with_constant_coefficients_is_refused(
    right: sp.Expr, values: dict[str, object], words: str
) -> None:
    with pytest.raises(EquationError, match=words):
        linear_form(bind(pde(right).system, values))


def test_coefficient_function_given_as_a_number_is_constant() -> None:
    found = linear_form(bind(pde(c * u.diff(x)).system, {"c": 4})).matrices
    np.testing.assert_array_equal(found[1, 0], [[4]])
