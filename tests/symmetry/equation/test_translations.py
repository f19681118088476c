"""A translation holds where the right side, not its writing, is free of the coordinate."""

from __future__ import annotations

import pytest
import sympy as sp

from pdenet.equation.pde import PDE
from pdenet.equation.symbols import coordinates, fields

t, x = coordinates("t x")
u = fields("u", (t, x))
c = sp.Function("c")(x)


@pytest.mark.parametrize(
    ("value", "is_constant"),
    [
        (sp.cos(x) ** 2 + sp.sin(x) ** 2, True),
        (sp.cosh(2 * x) ** 2 - sp.sinh(2 * x) ** 2, True),
        (sp.cos(x) ** 2 - sp.sin(x) ** 2, False),
        (sp.exp(-(x**2)), False),
        (sp.Piecewise((1, x > 0), (2, True)), False),
    ],
)
def test_a_coefficient_that_is_constant_keeps_the_translation(
    value: sp.Expr, is_constant: bool
) -> None:
    found = PDE(sp.Eq(u.diff(t), c * u.diff(x, 2))).symmetries({c: value})
    assert [s.axis for s in found.translations] == (["t", "x"] if is_constant else ["t"])
    assert ("holds x" in str(found.translations)) != is_constant


@pytest.mark.parametrize("value", [sp.cos(x) ** 2 + sp.sin(x) ** 2, sp.sin(x)])
def test_translations_are_those_among_the_generators(value: sp.Expr) -> None:
    found = PDE(sp.Eq(u.diff(t), c * u.diff(x, 2))).symmetries({c: value})
    among = {"∂t", "∂x"} & set(map(str, found.generators))
    assert {f"∂{s.axis}" for s in found.translations} == among
