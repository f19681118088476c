"""Functions compiled from expressions: right, cheap to make, and printed for messages only."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any  # numbers and arrays alike

import numpy as np
import pytest
import sympy as sp

from pdenet.equation.functions import check_functions, compile_expression, evaluate
from pdenet.equation.symbols import canonical_symbol
from pdenet.errors import EquationError
from tests.tiers import Each

x, y, a = map(canonical_symbol, ("x", "y", "a"))

# An expression of each kind that is compiled in a way of its own, and what NumPy makes of it.
CASES: dict[str, tuple[sp.Expr, Callable[..., Any]]] = {
    "an integer": (sp.Integer(3), lambda x, y, a: 3),
    "a ratio": (sp.Rational(1, 3), lambda x, y, a: 1 / 3),
    "one name": (a, lambda x, y, a: a),
    "a name without assumptions": (sp.Symbol("y"), lambda x, y, a: y),
    "a function of space": (sp.Function("a")(x, y), lambda x, y, a: a),
    "pi": (sp.pi * x, lambda x, y, a: np.pi * x),
    "e": (sp.E + x, lambda x, y, a: np.e + x),
    "NumPy's": (
        sp.sin(x) * sp.sqrt(a) * sp.atan2(y, x),
        lambda x, y, a: np.sin(x) * np.sqrt(a) * np.arctan2(y, x),
    ),
    "our own": (sp.Max(x, y, a), lambda x, y, a: np.maximum(np.maximum(x, y), a)),
    "a condition": (
        sp.Piecewise((x, (x > 0) & (y < 1)), (a, True)),
        lambda x, y, a: np.where((x > 0) & (y < 1), x, a),
    ),
}


def test_a_compiled_expression_is_what_numpy_computes(each: Each) -> None:
    rng = np.random.default_rng(0)
    known = {"x": rng.normal(size=(1, 5)), "y": rng.normal(size=(4, 1)), "a": 0.7}
    for (_, (expr, expected)), cell in each(CASES.items(), key=lambda one: one[0]):
        with cell:
            np.testing.assert_allclose(
                evaluate(expr, known),
                expected(**known),
                rtol=4 * np.finfo(float).eps,  # a product of three may be taken in another order
            )


def test_a_number_and_a_name_are_compiled_without_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sp, "lambdify", None)
    compile_expression.cache_clear()
    assert compile_expression(sp.Rational(-7, 4), ("x",))(5.0) == -1.75
    assert compile_expression(y, ("x", "y"))(1.0, 2.0) == 2.0
    with pytest.raises(EquationError, match="the names x are known here"):
        compile_expression(y, ("x",))


def test_an_expression_is_printed_for_messages_only() -> None:
    class Unprintable:
        def __str__(self) -> str:
            raise AssertionError("printed")

    check_functions(sp.sin(x) + a**2, Unprintable())
    with pytest.raises(AssertionError, match="printed"):
        check_functions(sp.zeta(x), Unprintable())


def test_compiling_an_equation_does_not_import_the_whole_of_numpy() -> None:
    """SymPy's own `modules="numpy"` does, Fortran's compiler included: a tenth of a second."""
    code = (
        "import sys, sympy as sp, pdenet as pn\n"
        "grid, walls = pn.Grid(x=(0, 1, 9)), pn.Boundary(x=pn.Dirichlet(sp.sin(sp.Symbol('t'))))\n"
        "pde = pn.catalogue.build('heat', dimension=1)\n"
        "pde.to_solver(grid, walls, values={'D': 1}).run(sp.exp(-sp.Symbol('x')), until=0.01)\n"
        "print([m for m in ('numpy.f2py', 'numpy.testing') if m in sys.modules])\n"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.strip() == "[]"
