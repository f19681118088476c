"""Equations that are none: each is one EquationError that says what, where and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import sympy as sp

from pdenet.equation.pde import PDE
from pdenet.equation.symbols import Coefficient, D, VectorField, coordinates, fields, indices
from pdenet.errors import EquationError, PdenetError, ValuesError

t, x, y, z = coordinates("t x y z")
u, v = fields("u v", (t, x, y))
w = fields("w", (t, x))
a = sp.Symbol("a")
n = sp.Symbol("n", integer=True, positive=True)
i, j, k = indices("i j k")
U = VectorField("U", n, (t, x, y))
A, B = Coefficient("A", (n, n)), Coefficient("B", (3, 3))


def rate(right: object) -> Callable[[], object]:
    return lambda: PDE(sp.Eq(u.diff(t), right))


def vector(right: object) -> Callable[[], object]:
    return lambda: PDE(sp.Eq(U[i].diff(t), right))


CODE = "__import__('os').system('touch MARKER')"
BAD: dict[str, tuple[Callable[[], object], str, str]] = {
    # name: (what is done, what arrived, what to do)
    "index over two ranges": (vector(A[i, j] * B[j, k] * U[k]), "3 and n", "matching sizes"),
    "free index of another range": (vector(B[i, j] * U[j]), "3 and n", "matching sizes"),
    "field with too many indices": (lambda: U[i, j],  # type: ignore[index]
        "got 2", "give one for each"),
    "coefficient with too few indices": (lambda: A[i], "'A'.*got 1", "give one for each"),
    "number as index": (lambda: A[0, 1],  # type: ignore[index]
        "got 0 \\(int\\)", "use pn.indices"),
    "symbol as index": (lambda: U[sp.Symbol("i")], "got i \\(Symbol\\)", "use pn.indices"),
    "field of too many arguments": (
        lambda: PDE(sp.Eq(u.diff(t), sp.Function("u")(t, x, y, z))), "u\\('t', 'x', 'y', 'z'\\)",
        "leaves t out"),
    "field of swapped arguments": (
        lambda: PDE(sp.Eq(u.diff(t), sp.Function("v")(x, t))), "got v\\(x, t\\)", "tanh"),
    "field at another place": (
        lambda: PDE(sp.Eq(u.diff(t), sp.Function("u")(t, 2 * x, y))), "got u\\(t, 2\\*x, y\\)",
        "tanh"),
    "coefficient of a field": (rate(sp.Function("c")(u)), "got c\\(u", "tanh"),
    "no time derivative": (lambda: PDE(sp.Eq(u, u.diff(x))), "got none in u", "u.diff\\(t\\)"),
    "no field": (lambda: PDE(sp.Eq(a, x)), "no field found in", "pn.fields"),
    "nonlinear time derivative": (
        lambda: PDE(sp.Eq(u.diff(t) ** 2, u.diff(x))), "Derivative\\(u\\(t, x, y\\), t\\)",
        "divide"),
    "time derivative times the field": (
        lambda: PDE(sp.Eq(u * u.diff(t), u.diff(x))), "Derivative\\(u\\(t, x, y\\), t\\)",
        "divide"),
    "time derivative in a function": (
        lambda: PDE(sp.Eq(sp.sin(u.diff(t)), u)), "Derivative\\(u\\(t, x, y\\), t\\)", "divide"),
    "time derivative in a D": (
        rate(D(u.diff(t), x)), "Derivative\\(u\\(t, x, y\\), t\\)", "divide"),
    "vector rate times the field": (
        lambda: PDE(sp.Eq(U[j] * U[i].diff(t), U[i])), "Derivative\\(U\\[i\\], t\\)", "divide"),
    "two equations for one field": (
        lambda: PDE(sp.Eq(u.diff(t), u), sp.Eq(u.diff(t), v)), "none for v", "add one"),
    "two equations for one of two fields": (
        lambda: PDE(sp.Eq(u.diff(t), v), sp.Eq(u.diff(t), u), sp.Eq(v.diff(t), u)),
        "3 equations for the fields u, v", "remove or merge 1"),
    "dependent equations": (
        lambda: PDE(sp.Eq(u.diff(t) + v.diff(t), v), sp.Eq(2 * u.diff(t) + 2 * v.diff(t), u)),
        "got Derivative", "remove the redundant"),
    "two vector equations for one field": (
        lambda: PDE(sp.Eq(U[i].diff(t), U[i]), sp.Eq(U[i].diff(t), A[i, j] * U[j])),
        "2 equations for the fields U", "remove or merge 1"),
    "missing equation": (rate(v.diff(x)), "none for v", "add one"),
    "imaginary coefficient": (rate(sp.I * u.diff(x, 2)), "I\\*Derivative", "two fields"),
    "complex parameter": (
        rate(sp.Symbol("q", imaginary=True) * u), "got q", "two fields"),
    "infinite coefficient": (rate(sp.oo * u), "got oo", "remove"),
    "undefined coefficient": (
        lambda: PDE(sp.Eq(u.diff(t), sp.nan, evaluate=False)), "got nan", "remove"),
    "division by zero": (rate(u / sp.S.Zero), "zoo", "remove"),
    "order above the cap": (rate(u.diff(x, 5)), "got order 5", "introduce a field"),
    "mixed order above the cap": (rate(u.diff(x, 3, y, 2)), "got order 5", "introduce a field"),
    "order above the cap under D": (rate(D(u.diff(x, 5), x)), "got order 5", "introduce a field"),
    "symbolic order": (rate(u.diff((x, n))), "got .*x, n", "number"),
    "field named like a coordinate": (lambda: fields("x", (t, x)), "got 'x'", "rename it"),
    "function named like a coordinate": (
        lambda: PDE(sp.Eq(sp.Function("x")(t, y).diff(t), 1)), "x\\(t, y\\)", "pn.fields"),
    "function of all coordinates named like one": (
        lambda: PDE(sp.Eq(sp.Function("y")(t, x).diff(t), 1)), "got 'y'", "rename it"),
    "vector field named like a coordinate": (
        lambda: VectorField("t", 3, (t, x)), "got 't'", "rename it"),
    "parameter whose name is code": (rate(sp.Symbol(CODE) * u), "__import__", "rename it"),
    "field whose name is code": (
        lambda: PDE(sp.Eq(sp.Function(CODE)(t, x).diff(t), 1)), "__import__", "rename it"),
    "coefficient whose name is code": (rate(sp.Function(CODE)(x) * u), "__import__", "rename it"),
    "tensor whose name is code": (lambda: Coefficient(CODE, (n, n)), "__import__", "rename it"),
    "Python keyword as a name": (rate(sp.Symbol("lambda") * u), "got 'lambda'", "rename it"),
    "equation that is true": (lambda: PDE(sp.Eq(u, u)), "got 'True'", "write sp.Eq"),
    "equation that is false": (lambda: PDE(sp.Eq(sp.Integer(1), 2)), "got 'False'", "write sp.Eq"),
    "text": (lambda: PDE("u_t = u_xx"), "'u_t = u_xx' \\(a str\\)", "write sp.Eq|pn.parse"),
    "expression": (lambda: PDE(u.diff(t) - u), "got .*Derivative", "write sp.Eq"),
    "inequality": (lambda: PDE(u.diff(t) < u), "got .*Derivative", "write sp.Eq"),
    "nothing": (lambda: PDE(), "got none", "write sp.Eq"),
    "matrices of two shapes": (
        lambda: PDE(sp.Eq(sp.Matrix([u, v]).diff(t), sp.Matrix([[u, v]]), evaluate=False)),
        "\\(2, 1\\) and \\(1, 2\\)", "reshape"),
    "matrix and scalar": (
        lambda: PDE(sp.Eq(sp.Matrix([u, v]).diff(t), u, evaluate=False)), "\\(2, 1\\)", "reshape"),
    "indexed factor squared": (vector(A[i, j] * U[j] ** 2), "got U\\[j\\]\\*\\*2", "two index"),
    "coefficient squared": (vector(A[i, j] ** 2 * U[j]), "got A\\[i, j\\]\\*\\*2", "two index"),
    "division by a component": (vector(1 / U[i]), "got 1/U\\[i\\]", "two index"),
    "sum inside a function": (vector(sp.tanh(A[i, j] * U[j])), "got tanh", "name a field"),
    "special function": (rate(sp.gamma(u)), "gamma", "rewrite"),
    "integral": (rate(sp.Integral(u, x)), "Integral", "rewrite"),
    "sum": (rate(sp.Sum(x**n, (n, 1, 3)) * u), "Sum", "rewrite"),
    "function of a derivative": (rate(sp.sin(u.diff(x))), "got sin", "function"),
    "root of a derivative": (rate(sp.sqrt(u.diff(x))), "got sqrt", "."),
    "division by a derivative": (rate(1 / u.diff(x)), "got 1/Derivative", "rewrite"),
    "D inside D": (lambda: D(D(u, x), x), "got a D inside D", "u.diff\\(x\\)"),
    "D along t": (lambda: D(u, t), "got t", "u.diff\\(t\\)"),
    "D along a parameter": (lambda: D(u, a), "got a", "u.diff\\(t\\)"),
    "D of text": (lambda: D("u", x), "got 'u' \\(str\\)", "pn.parse"),
    "D along a missing axis": (
        lambda: PDE(sp.Eq(w.diff(t), D(w, y))), "the coordinate y|got y", "."),
    "two D in one term": (rate(D(u, x) * D(u, y)), "got D", "plain derivatives"),
    "function of D": (rate(sp.sin(D(u, x))), "got sin", "plain derivatives"),
    "mixed derivative in time": (
        rate(u.diff(x, t)), "Derivative\\(u\\(t, x, y\\), t, x\\)", "solve the equation"),
    "third time derivative": (
        lambda: PDE(sp.Eq(u.diff(t, 3), u)), "\\(t, 3\\)", "introduce a field"),
    "generated name taken": (
        lambda: PDE(sp.Eq(u.diff(t, 2), u), sp.Eq(sp.Function("u_t")(t, x, y).diff(t), u)),
        "'u_t'", "rename"),
    "parameter named like a field": (rate(sp.Symbol("u") * u.diff(x)), "'u'", "rename"),
    "parameter named like a tensor": (vector(sp.Symbol("A") * A[i, j] * U[j]), "'A'", "rename"),
    "parameter named like a vector field": (
        vector(sp.Symbol("U") * U[i]), "'U'", "rename"),
    "tensor of two shapes": (
        vector(A[i, j] * Coefficient("A", (n,))[j] * U[j]), "'A'", "rename"),
    "coordinate beyond the fields": (
        rate(z * u), "got (the coordinate )?z in", "rename the parameter"),
    "derivative beyond the fields": (
        rate(sp.Derivative(u, z, evaluate=False)), "z", "along|add it"),
    "fields of two dimensions": (
        lambda: PDE(sp.Eq(u.diff(t), u), sp.Eq(w.diff(t), w)), "w\\('t', 'x'\\)", "leaves t out"),
    "unknown default": (
        lambda: PDE(sp.Eq(u.diff(t), a * u), defaults={"b": 1}), "got 'b'", "parameters a"),
    "misspelt unit": (
        lambda: PDE(sp.Eq(u.diff(t), sp.Symbol("speed") * u), units={"sped": "m/s"}), "got 'sped'",
        "Did you mean 'speed'"),
    "source for an unknown field": (
        lambda: PDE(sp.Eq(u.diff(t), u)).with_sources({"v": x}), "got 'v'", "fields u"),
    "coordinates in another order": (lambda: coordinates("x t"), "got 'x t'", "in these"),
    "coordinates of other names": (lambda: coordinates("t r"), "got 't r'", "in these"),
    "fields without time": (lambda: fields("u", (x, y)), "\\('x', 'y'\\)", "coordinates\\("),
    "one field twice": (lambda: fields("u u", (t, x)), "got 'u u'", "rename"),
    "vector field without components": (lambda: VectorField("U", 0, (t, x)), "got 0", "positive"),
    "fractional size": (lambda: Coefficient("A", (1.5, 2)), "got 1.5", "use sp.Symbol"),
    "coefficient without shape": (lambda: Coefficient("A", ()), "got \\(\\)", "plain SymPy symbol"),
    "expansion without end": (
        rate(sum(sp.symbols("b:8")) ** 60 * u), "up to 8\\d{8} terms", "write it with fewer"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_equations_are_refused_with_the_three_parts(name: str) -> None:
    do, arrived, advice = BAD[name]
    with pytest.raises(PdenetError) as caught:
        do()
    assert type(caught.value) is EquationError
    message = str(caught.value)
    assert re.search(arrived, message, re.DOTALL), message
    assert re.search(advice, message, re.DOTALL), message
    assert ";" in message or ". Did you mean" in message or "belong" in message, message
    assert len(message) < 1200


def test_there_are_more_than_twenty_five_bad_equations() -> None:
    assert len(BAD) > 25


def test_keys_that_are_no_names_are_refused() -> None:
    with pytest.raises(ValuesError, match=r"got 3 \(int\); use the name"):
        PDE(sp.Eq(u.diff(t), a * u), defaults={3: 1})


def test_every_equation_error_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="got none"):
        PDE()
