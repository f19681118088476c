"""Algebraically equal equations are one equation: one System, and the same bits when simulated."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import pdenet as pn

T, X, Y = pn.coordinates("t x y")
U = pn.fields("u", (T, X, Y))
A, B = sp.symbols("a b", positive=True)

FORMS: dict[str, list[sp.Eq]] = {
    "sign moved inside": [
        sp.Eq(U.diff(T), -A * (X - B) * U.diff(X)),
        sp.Eq(U.diff(T), A * (B - X) * U.diff(X)),
        sp.Eq(A * B * U.diff(X) - A * X * U.diff(X), U.diff(T)),
        sp.Eq(-2 * U.diff(T), 2 * A * (X - B) * U.diff(X)),
    ],
    "factored and expanded": [
        sp.Eq(U.diff(T), A * (U.diff(X, 2) + U.diff(Y, 2)) + (U - B) * (U + B) * U),
        sp.Eq(U.diff(T), A * U.diff(Y, 2) + U**3 + A * U.diff(X, 2) - B**2 * U),
        sp.Eq(U.diff(T) - A * U.diff(X, 2), A * U.diff(Y, 2) - U * (B**2 - U**2)),
    ],
    "divergence form, linear in its argument": [
        sp.Eq(U.diff(T), pn.D(A * U**2 / 2 + B * U.diff(X), X)),
        sp.Eq(U.diff(T), A * pn.D(U**2, X) / 2 + B * pn.D(U.diff(X), X)),
    ],
    "decimal and fraction": [
        sp.Eq(U.diff(T), 0.25 * A * U.diff(X, 2)),
        sp.Eq(U.diff(T), A * U.diff(X, 2) / 4),
    ],
}


@pytest.mark.parametrize("forms", FORMS.values(), ids=FORMS.keys())
def test_equal_equations_give_the_same_bits(forms: list[sp.Eq]) -> None:
    grid = pn.Grid(x=(-1, 1, 12), y=(-1, 1, 10))
    boundary = pn.Boundary(x=pn.Periodic(), y=pn.Neumann(0))
    state = np.random.default_rng(7).normal(size=(1, 10, 12))
    results = []
    for form in forms:
        pde = pn.PDE(form)
        values = {p.name: {"a": 0.3, "b": 0.7}[p.name] for p in pde.parameters}
        solver = pde.to_solver(
            grid, boundary, values=values, stepper="rk4", space="central2", dt=1e-3,
            stability="ignore",
        )  # fmt: skip
        results.append(solver.run(state, until=0.02, every=0.02).final)
        assert pde == pn.PDE(forms[0])
    for result in results[1:]:
        assert np.array_equal(result, results[0])


def test_different_equations_are_different() -> None:
    """The comparison above can fail."""
    assert pn.PDE(FORMS["sign moved inside"][0]) != pn.PDE(FORMS["decimal and fraction"][0])


def test_divergence_form_is_another_scheme_than_the_product_rule() -> None:
    """∂x(u²/2) and u ∂x u are equal as functions, not as schemes: both are kept as written."""

    def written(right: sp.Expr) -> pn.PDE:
        return pn.PDE(sp.Eq(U.diff(T), right))

    assert written(pn.D(U**2 / 2, X)) != written(U * U.diff(X))
