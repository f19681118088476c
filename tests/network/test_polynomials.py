"""Arrays over the grid are read as polynomials where they are some, and only there."""

from __future__ import annotations

from fractions import Fraction
from typing import Any  # hypothesis's draw

import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from pdenet.equation.symbols import coordinates
from pdenet.network.readback.decimals import shortest, simplest, with_decimals, written
from pdenet.network.readback.polynomials import MAX_DEGREE, TOLERANCE, fit_polynomial

_, x, y = coordinates("t x y")
DTYPES = ("float32", "float64")
NODES = (np.linspace(-1, 1, 12), np.linspace(0, 2, 11))


def on_nodes(expr: sp.Expr, dtype: str = "float64") -> np.ndarray:
    """The values at all nodes, x last, from rational arithmetic but for the coordinates."""
    rows = [
        [float(expr.xreplace({x: sp.Rational(a), y: sp.Rational(b)})) for a in NODES[0]]
        for b in NODES[1]
    ]
    return np.array(rows).astype(dtype).astype(np.float64)


def fitted(array: np.ndarray, dtype: str = "float64") -> sp.Expr | None:
    return fit_polynomial(array, ("x", "y"), NODES, dtype)


@st.composite
def polynomials(draw: Any) -> sp.Expr:
    """Sums of a few monomials up to the largest degree, coefficients of three digits."""
    made = sp.S.Zero
    for _ in range(draw(st.integers(1, 5))):
        p = draw(st.integers(0, MAX_DEGREE))
        q = draw(st.integers(0, MAX_DEGREE - p))
        made += sp.Rational(draw(st.integers(-999, 999)), 100) * x**p * y**q
    return made


@pytest.mark.parametrize("dtype", DTYPES)
@given(expr=polynomials())
def test_a_polynomial_is_found_with_its_own_coefficients(dtype: str, expr: sp.Expr) -> None:
    found = fitted(on_nodes(expr, dtype), dtype)
    assert found is not None
    if dtype == "float64":
        assert sp.expand(found - expr) == 0
    else:
        # Rounded arrays tell coefficients up to the tolerance only.
        difference = np.abs(on_nodes(found) - on_nodes(expr)).max()
        assert difference <= (TOLERANCE[dtype] + 1e-7) * np.abs(on_nodes(expr)).max()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "expr", [x, -y, 1 - x / 2, sp.S(3) / 4, sp.S.Zero, x**2 - y**2, 1 + x * y**3]
)
def test_simple_coefficients_come_out_clean(dtype: str, expr: sp.Expr) -> None:
    assert fitted(on_nodes(expr, dtype), dtype) == expr


def test_long_coefficients_keep_their_digits() -> None:
    """1/3 is no short decimal: the values are met to rounding, far below the tolerance."""
    expr = x / 3 + sp.Rational(1, 7)
    found = fitted(on_nodes(expr))
    assert found is not None
    # Two coefficients, each 4 eps of half the scale off at most, and the rounding of the values.
    np.testing.assert_allclose(on_nodes(found), on_nodes(expr), rtol=0, atol=8 * 2.0**-52)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("points", [20, 200, 2000])
@pytest.mark.parametrize("function", [np.sin, np.cos, np.exp, np.abs, lambda a: a**5])
def test_what_is_no_polynomial_is_refused(dtype: str, points: int, function: Any) -> None:
    nodes = np.linspace(-1, 1, points)
    array = function(nodes).astype(dtype).astype(np.float64)
    assert fit_polynomial(array, ("x",), (nodes,), dtype) is None


@pytest.mark.parametrize("dtype", DTYPES)
@given(row=st.integers(0, 10), column=st.integers(0, 11))
def test_one_node_moved_is_a_near_miss(dtype: str, row: int, column: int) -> None:
    array = on_nodes(x - y / 2 + 1, dtype)
    # Twice the tolerance of the largest value: a polynomial that passes 1 above it at one node
    # and through the others would have to be of a degree that the nodes do not allow.
    array[row, column] += 4 * TOLERANCE[dtype] * np.abs(array).max()
    assert fitted(array, dtype) is None


def test_few_nodes_are_no_evidence() -> None:
    """n nodes lie on a polynomial of degree n − 1; half of that degree is read."""
    nodes = np.array([0.0, 1.0, 2.0, 3.0])
    assert fit_polynomial(nodes**3, ("x",), (nodes,), "float64") is None
    assert fit_polynomial(2 * nodes, ("x",), (nodes,), "float64") == 2 * x


def test_axes_of_length_one_do_not_occur() -> None:
    assert fit_polynomial(NODES[1][:, None], ("x", "y"), NODES, "float64") == y
    assert fit_polynomial(NODES[0][None], ("x", "y"), NODES, "float64") == x


# Decimals -----------------------------------------------------------------------------------------


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_the_shortest_decimal_is_the_number(value: float) -> None:
    assert np.float32(float(shortest(value, "float32"))) == np.float32(value)
    assert float(shortest(value, "float64")) == value


@given(st.integers(-(10**6), 10**6), st.integers(0, 9))
def test_the_simplest_decimal_is_found_behind_an_error(digits: int, places: int) -> None:
    exact = Fraction(digits, 10**places)
    error = abs(float(exact)) * 1e-12
    found = simplest(float(exact) + error / 2, error, 8)
    assert found == sp.Rational(exact.numerator, exact.denominator)


def test_no_decimal_of_few_digits_is_said_to_be_near() -> None:
    assert simplest(1 / 3, 1e-12, 8) is None
    assert simplest(1e-13, 1e-12, 8) == 0


def test_numbers_are_written_in_the_digits_of_their_dtype() -> None:
    assert written(sp.Rational(1, 3), "float32") == sp.Float("0.33333334")
    assert written(sp.Rational(4, 2), "float32") == sp.Integer(2)
    assert written(sp.Rational(1, 10), "float64") == sp.Float("0.1")
    shown = with_decimals(sp.exp(-x / 4) + sp.sqrt(x) / 2, "float32")
    assert str(shown) == "0.5*sqrt(x) + exp(-0.25*x)"
