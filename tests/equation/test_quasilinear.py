"""The paper's systems, Eqs. (1)–(7) and (9): what is read is the published sum over indices."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import sympy as sp

from pdenet.equation.catalogue import catalogue
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import Component, D, Entry, Index, coordinates
from pdenet.equation.system import FREE_INDEX

VECTORS = ("eq2", "eq3", "eq4", "eq5", "eq6", "eq7", "eq9")
t, x, y = coordinates("t x y")
N = 2
Tensor = dict[str, np.ndarray]


def _formula(name: str, w: Tensor, u: list[sp.Expr], i: int) -> sp.Expr:
    """The right side of component i, summed by hand over every index."""
    pairs, axes = list(itertools.product(range(N), repeat=2)), (x, y)
    if name == "eq2":
        return sum(
            w[m][i, j, k] * u[k] * u[j].diff(a)
            for m, a in zip("AB", axes, strict=True)
            for j, k in pairs
        )
    if name == "eq3":
        return sum(
            w[m][i, j] * w[c][j, k] * u[k] * u[j].diff(a)
            for m, c, a in (("A", "C", x), ("B", "D", y))
            for j, k in pairs
        )
    if name == "eq4":
        factor = sum(w["C"][i, k] * u[k] for k in range(N))
        return factor * sum(w[f"A{a}"][i, j] * u[j].diff(a) for a in axes for j in range(N))
    if name == "eq5":
        return sum(w[f"C{a}"][i, k] * u[k] * u[i].diff(a) for a in axes for k in range(N))
    if name == "eq6":
        return sum(
            w[f"A{a}"][i, j] * sp.diff(u[j] * sum(w["C"][j, k] * u[k] for k in range(N)), a)
            for a in axes
            for j in range(N)
        )
    if name == "eq7":
        left = [sum(w["C"][j, k] * u[k] for k in range(N)) for j in range(3 * N)]
        right = [sum(w["D"][j, k] * u[k] for k in range(N)) for j in range(3 * N)]
        return sum(
            w[f"A{a}"][i, j] * sp.diff(left[j] * right[j], a) for a in axes for j in range(3 * N)
        )
    return sum(w[m][i, j] * u[j].diff(a) for m, a in zip("AB", axes, strict=True) for j in range(N))


def _expanded(pde: PDE, w: Tensor, u: list[sp.Expr], i: int) -> sp.Expr:
    """The right side of component i from the System, every index written out."""
    info, total = pde.system.fields[0], sp.S.Zero
    for term in pde.system.equations[0]:
        expression = pde.system.expression(term)
        ranges = [int(pde.system.index_range(term, s, info)) for s in term.summed()]
        for chosen in itertools.product(*map(range, ranges)):
            place = {FREE_INDEX: i, **dict(zip(term.summed(), chosen, strict=True))}
            table: dict[sp.Basic, sp.Basic] = {
                c: u[place[c.index.name]] for c in expression.atoms(Component)
            }
            for entry in expression.atoms(Entry):
                table[entry] = w[entry.name][tuple(place[k.name] for k in entry.indices)]
            total += _replaced(expression, table)
    return total


def _replaced(expression: sp.Basic, table: dict[sp.Basic, sp.Basic]) -> sp.Basic:
    """Replace and carry out derivatives; `xreplace` would differentiate too early inside."""
    if expression in table:
        return table[expression]
    if isinstance(expression, sp.Derivative):
        inner = _replaced(expression.expr, table)
        return sp.diff(inner, *(pair for pair in expression.variable_count))
    if isinstance(expression, D):
        return sp.diff(_replaced(expression.argument, table), expression.coordinate)
    if not expression.args or isinstance(expression, Index):
        return expression
    return expression.func(*(_replaced(a, table) for a in expression.args))


@pytest.mark.parametrize("name", VECTORS)
def test_system_is_the_published_sum_over_indices(name: str) -> None:
    pde = catalogue.build(name, n=N)
    rng = np.random.default_rng(sum(map(ord, name)))
    tensors: Tensor = {}
    for parameter in pde.parameters:
        shape = tuple(map(int, parameter.shape))
        entries = [sp.Integer(int(e)) for e in rng.integers(-5, 6, size=int(np.prod(shape)))]
        tensors[parameter.name] = np.array(entries, dtype=object).reshape(shape)
    u = [1 + 2 * x - 3 * y + x * y, 2 - x + 5 * y - x**2]
    for i in range(N):
        difference = _expanded(pde, tensors, u, i) - _formula(name, tensors, u, i)
        assert sp.expand(difference) == 0
        assert sp.expand(_formula(name, tensors, u, i)) != 0  # the comparison says something


def test_eq1_takes_any_matrices_in_the_fields() -> None:
    u, v = (sp.Function(name)(t, x, y) for name in "uv")
    a = sp.Matrix([[sp.sin(u), v], [v, u**2]])
    b = [[1, 0], [sp.Symbol("k"), u * v]]
    pde = catalogue.build("eq1", A=a, B=b, fields=(u, v))
    first, second = (e.rhs for e in pde.equations)
    k = sp.Symbol("k", real=True)
    assert sp.expand(first - (sp.sin(u) * u.diff(x) + v * v.diff(x) + u.diff(y))) == 0
    expected = v * u.diff(x) + u**2 * v.diff(x) + k * u.diff(y) + u * v * v.diff(y)
    assert sp.expand(second - expected) == 0
    assert [q.name for q in pde.parameters] == ["k"]


def test_eq1_in_one_dimension_takes_one_matrix() -> None:
    u = sp.Function("u")(t, x)
    (equation,) = catalogue.build("eq1", fields=[u], A=[[u]]).equations
    assert equation.rhs == u * u.diff(x)


def test_symbolic_size_and_number_give_the_same_terms() -> None:
    symbolic, fixed = catalogue["eq3"].system, catalogue.build("eq3", n=512).system
    assert symbolic.equations == fixed.equations
    assert fixed.fields[0].size == 512
