"""Laws of the canonical form: equal equations give equal Systems, and different ones do not."""

from __future__ import annotations

import random
from collections.abc import Callable
from unittest import mock

import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from pdenet.equation import canonical
from pdenet.equation.analysis import analyse
from pdenet.equation.pde import PDE
from pdenet.equation.reading import solved_equations
from pdenet.equation.symbols import Coefficient, D, VectorField, coordinates, fields, indices
from pdenet.equation.system import System
from pdenet.errors import EquationError

t, x, y = coordinates("t x y")
u, v = fields("u v", (t, x, y))
a, b = sp.symbols("a b", real=True)
n = sp.Symbol("n", integer=True, positive=True)
i, j, k, p, m = INDICES = indices("i j k p m")
U = VectorField("U", n, (t, x, y))
A, B, C = (Coefficient(name, (n, n)) for name in "ABC")
T = Coefficient("T", (n, n, n))
c = sp.Function("c")(x, y)

# Everything a polynomial right side is made of; sin(u) and c(x, y) are atoms of it.
ATOMS = (u, v, u.diff(x), u.diff(y), v.diff(x, 2), u.diff(x, y), a, b, x, c, sp.sin(u))
NUMBERS = st.fractions(-3, 3, max_denominator=4).map(lambda q: sp.Rational(str(q)))


def polynomials() -> st.SearchStrategy[sp.Expr]:
    """Random polynomials in fields, derivatives and parameters, as nested as they are built."""
    leaves = st.sampled_from(ATOMS) | NUMBERS
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(inner, inner).map(lambda e: sp.Mul(*e, evaluate=False)),
            st.tuples(inner, inner).map(lambda e: sp.Add(*e, evaluate=False)),
            inner.map(lambda e: e**2),
        ),
        max_leaves=6,
    )


def fluxes() -> st.SearchStrategy[sp.Expr]:
    inside = st.sampled_from((u, v, u**2, a * u * v, c * u.diff(x), (u + b) * v, x * u))
    return st.builds(lambda g, e, s: g * D(e, s), NUMBERS, inside, st.sampled_from((x, y)))


def sides() -> st.SearchStrategy[sp.Expr]:
    return st.builds(lambda e, f: e + f, polynomials(), fluxes() | st.just(sp.S.Zero))


def system(right: sp.Expr) -> System:
    return _pde(sp.Eq(u.diff(t), right, evaluate=False)).system


def _pde(equation: sp.Eq) -> PDE:
    return PDE(equation, sp.Eq(v.diff(t), 0, evaluate=False))


NEUTRAL: dict[str, Callable[[sp.Expr], sp.Eq]] = {
    "expanded": lambda r: sp.Eq(u.diff(t), sp.expand(r), evaluate=False),
    "factored": lambda r: sp.Eq(u.diff(t), sp.factor(r), evaluate=False),
    "put together": lambda r: sp.Eq(u.diff(t), sp.together(r), evaluate=False),
    "sides swapped": lambda r: sp.Eq(r, u.diff(t), evaluate=False),
    "both sides negated": lambda r: sp.Eq(-u.diff(t), -r, evaluate=False),
    "all on one side": lambda r: sp.Eq(u.diff(t) - r, 0, evaluate=False),
    "scaled by a number": lambda r: sp.Eq(3 * u.diff(t) / 7, sp.Rational(3, 7) * r, evaluate=False),
    "scaled by a parameter": lambda r: sp.Eq(a * u.diff(t), a * r, evaluate=False),
    "scaled by a sum": lambda r: sp.Eq((1 + a) * u.diff(t), (1 + a) * r, evaluate=False),
    "scaled by a coordinate": lambda r: sp.Eq((2 + x) * u.diff(t), (2 + x) * r, evaluate=False),
    "something added and taken away": lambda r: sp.Eq(
        u.diff(t) + v * u.diff(x), r + (v + 1) * u.diff(x) - u.diff(x), evaluate=False
    ),
    "factors in reverse": lambda r: sp.Eq(u.diff(t), _reversed(r), evaluate=False),
    "parameters with other assumptions": lambda r: sp.Eq(
        u.diff(t), r.subs({a: sp.Symbol("a", positive=True), b: sp.Symbol("b")}), evaluate=False
    ),
}  # fmt: skip


def _reversed(expr: sp.Expr) -> sp.Expr:
    if isinstance(expr, sp.Add | sp.Mul):
        return expr.func(*map(_reversed, expr.args[::-1]), evaluate=False)
    return expr


@pytest.mark.parametrize("name", [n for n in NEUTRAL if "scaled by a " not in n or "number" in n])
@given(right=sides())
def test_neutral_rewriting_gives_the_same_system(name: str, right: sp.Expr) -> None:
    assert _pde(NEUTRAL[name](right)).system == system(right)


@pytest.mark.parametrize("name", [n for n in NEUTRAL if "scaled by a " in n and "number" not in n])
@given(right=polynomials())
def test_scaling_an_equation_gives_the_same_system(name: str, right: sp.Expr) -> None:
    # Without fluxes: x·D(u, x) is not the D of anything.
    assert _pde(NEUTRAL[name](right)).system == system(right)


@given(sides(), sides())
def test_systems_are_equal_only_where_the_equations_are(one: sp.Expr, two: sp.Expr) -> None:
    difference = sp.expand((one - two).doit())
    if system(one) == system(two):
        assert difference == 0
    elif not one.has(D) and not two.has(D):
        assert difference != 0


@given(sides())
def test_right_side_is_the_inverse_of_reading(right: sp.Expr) -> None:
    made = system(right)
    assert system(made.right_side("u")) == made
    # As mathematics, with the fluxes carried out, nothing was lost.
    assert sp.expand((made.right_side("u") - right).doit()) == 0


def products() -> st.SearchStrategy[sp.Expr]:
    """Random terms of indexed factors, with the free index i and up to four summed ones."""
    one = st.sampled_from(INDICES)
    factor = st.one_of(
        st.builds(lambda e, f, s: s[e, f], one, one, st.sampled_from((A, B))),
        st.builds(lambda e, f, g: T[e, f, g], one, one, one),
        st.builds(lambda e: U[e], one),
        st.builds(lambda e, s: U[e].diff(s), one, st.sampled_from((x, y))),
        st.builds(lambda e: sp.tanh(U[e]), one),
    )
    return st.lists(factor, min_size=1, max_size=4, unique=True).map(lambda f: sp.Mul(*f))


def vector_system(right: sp.Expr) -> System:
    return PDE(sp.Eq(U[i].diff(t), right, evaluate=False)).system


@given(st.lists(products(), min_size=1, max_size=2), st.randoms(use_true_random=False))
def test_names_of_summed_indices_do_not_matter(
    terms: list[sp.Expr], random_: random.Random
) -> None:
    renamed = []
    for term in terms:
        names = [j, k, p, m]
        shuffled = random_.sample(names, 4)
        renamed.append(term.xreplace(dict(zip(names, shuffled, strict=True))))
    random_.shuffle(renamed)
    assert vector_system(sp.Add(*renamed)) == vector_system(sp.Add(*terms))


@pytest.mark.parametrize(("one", "two"), [
    (A[i, j] * A[j, k] * A[k, p] * U[p], A[i, m] * A[m, p] * A[p, j] * U[j]),
    (A[i, p] * A[p, k] * A[k, j] * U[j], A[i, j] * A[j, k] * A[k, p] * U[p]),
    (A[j, k] * A[k, p] * A[p, j] * U[i], A[k, j] * A[p, k] * A[j, p] * U[i]),
    (T[i, j, k] * U[j] * U[k], T[i, k, j] * U[k] * U[j]),
    (T[j, k, p] * A[p, j] * A[i, k] * U[m] * U[m].diff(x),
     T[m, p, k] * A[k, m] * A[i, p] * U[j] * U[j].diff(x)),
    (A[i, k] * B[k, j] * U[j].diff(x) * U[k], A[i, j] * B[j, k] * U[k].diff(x) * U[j]),
])  # fmt: skip
def test_chains_and_cycles_of_coefficients_have_one_naming(one: sp.Expr, two: sp.Expr) -> None:
    assert vector_system(one) == vector_system(two)


@given(products())
def test_the_name_of_the_free_index_does_not_matter(term: sp.Expr) -> None:
    swapped = term.xreplace({i: j, j: i})
    assert PDE(sp.Eq(U[j].diff(t), swapped, evaluate=False)).system == vector_system(term)


@given(products())
def test_terms_that_differ_in_names_only_add_up(term: sp.Expr) -> None:
    other = term.xreplace({j: k, k: j})
    assert vector_system(3 * term - 2 * other) == vector_system(term)
    assert vector_system(term - other).equations == ((),)


# Terms that a careless renaming would take for one another.
@pytest.mark.parametrize(("one", "two"), [
    (A[i, j] * U[j], A[j, i] * U[j]),
    (A[i, j] * A[j, k] * U[k], A[i, j] * A[k, j] * U[k]),
    (A[i, j] * U[j] * U[i].diff(x), A[i, j] * U[i] * U[j].diff(x)),
    (A[j, k] * B[j, k] * U[i], A[j, k] * B[k, j] * U[i]),
    (A[j, j] * A[k, k] * U[i], A[j, k] * A[k, j] * U[i]),
    (T[i, j, k] * U[j] * U[k].diff(x), T[i, k, j] * U[j] * U[k].diff(x)),
    (A[i, j] * D(U[j] * C[j, k] * U[k], x), D(A[i, j] * U[j] * C[j, k] * U[k], x)),
    (D(u * v, x) + 0 * U[i], u * v.diff(x) + v * u.diff(x)),
])  # fmt: skip
def test_different_contractions_stay_different(one: sp.Expr, two: sp.Expr) -> None:
    if one.has(u):
        assert system(one) != system(two)
    else:
        assert vector_system(one) != vector_system(two)


def test_divergence_form_is_kept() -> None:
    (term,) = system(D(c * u.diff(x), x)).equations[0]
    assert term.axis == 0
    assert term.inner is not None
    assert term.inner.prefactor == c
    assert [f.derivative for f in term.inner.factors] == [(1, 0)]
    assert all(t_.axis is None for t_ in system((c * u.diff(x)).diff(x)).equations[0])


@pytest.mark.parametrize(("one", "two"), [
    (D(a * u + b * u**2, x), a * D(u, x) + b * D(u**2, x)),
    (D((u + v) * (u - v), x), D(u**2, x) - D(v**2, x)),
    (D(u, x) / (1 + a), D(u / (1 + a), x)),
    (t * D(u, x), D(t * u, x)),
    (y * D(u, x), D(y * u, x)),
    (D(u + a, x), D(u, x)),
    (D(u + t * y, x), D(u, x)),
    (2 * D(u, x) - D(u, x), D(u, x)),
    (D(u, x) - D(u + v - v, x), sp.S.Zero),
    (0.1 * D(u, x), D(u, x) / 10),
])  # fmt: skip
def test_divergence_is_linear_over_what_does_not_depend_on_its_axis(
    one: sp.Expr, two: sp.Expr
) -> None:
    assert system(one) == system(two)


@pytest.mark.parametrize(("one", "two"), [
    (x * D(u, x), D(x * u, x)),
    (c * D(u, x), D(c * u, x)),
    (v * D(u, x), D(u * v, x)),
    (D(u, x), u.diff(x)),
    (D(u, x), D(u, y)),
])  # fmt: skip
def test_nothing_else_passes_under_a_divergence(one: sp.Expr, two: sp.Expr) -> None:
    assert system(one) != system(two)


@pytest.mark.parametrize(("one", "two"), [
    (0.1 * u.diff(x), u.diff(x) / 10),
    (u**0.5, sp.sqrt(u)),
    (u**2.0, u**2),
    (sp.Float("0.1", 30) * u, u / 10),
    (sp.sqrt(2) * sp.sqrt(3) * u, sp.sqrt(6) * u),
    ((1 + sp.sqrt(2)) * (1 - sp.sqrt(2)) * u, -u),
    (u * (a**2 - 1) / (a - 1), u * (a + 1)),
    (u / (a**2 + a) + u / (a + 1), u / a),
    (u / (u + v) * u.diff(x) + v / (u + v) * u.diff(x), u.diff(x)),
    ((x**2 + 1) ** sp.Rational(3, 2) * u, (x**2 + 1) * sp.sqrt(x**2 + 1) * u),
    (sp.sin(2 * (x + y)) * u, sp.sin(2 * x + 2 * y) * u),
    (sp.Abs(-u), sp.Abs(u)),
    (2 * sp.Max(u, 0), sp.Max(0, u) + sp.Max(u, 0)),
    (sp.Derivative(a * u**2, x, evaluate=False), 2 * a * u * u.diff(x)),
    (u.diff(y).diff(x), u.diff(x).diff(y)),
    (-a * (x - b) * u, a * (b - x) * u),
])  # fmt: skip
def test_ways_of_writing_one_coefficient_are_one(one: sp.Expr, two: sp.Expr) -> None:
    assert system(one) == system(two)


def test_a_parameter_that_cancels_is_none() -> None:
    made = PDE(sp.Eq((1 + a) * u.diff(t), (1 + a) * b * u.diff(x)))
    assert [p.name for p in made.parameters] == ["b"]
    assert vector_system(A[i, j] * U[j] - A[i, k] * U[k] + U[i]).parameters == (
        vector_system(U[i]).parameters
    )


def test_the_order_of_equations_does_not_change_their_terms() -> None:
    first, second = sp.Eq(u.diff(t), v.diff(x)), sp.Eq(v.diff(t), u.diff(x) + v)
    one, two = PDE(first, second).system, PDE(second, first).system
    for made in (one, two):
        for name in "uv":
            assert made.right_side(name) == one.right_side(name)


def test_coupled_rates_are_solved_for() -> None:
    coupled = PDE(sp.Eq(u.diff(t) + v.diff(t), v.diff(x)), sp.Eq(u.diff(t) - v.diff(t), u.diff(x)))
    half = sp.Rational(1, 2)
    solved = PDE(
        sp.Eq(u.diff(t), half * (v.diff(x) + u.diff(x))),
        sp.Eq(v.diff(t), half * (v.diff(x) - u.diff(x))),
    )
    assert coupled.system == solved.system


def test_many_coupled_rates_are_refused_before_they_are_solved() -> None:
    names = fields(" ".join(f"f{q}" for q in range(6)), (t, x))
    total = sp.Add(*(f.diff(t) for f in names))
    with pytest.raises(EquationError, match="got 6; solve them"):
        PDE(*(sp.Eq(total + (q + 2) * f.diff(t), f) for q, f in enumerate(names)))


def test_second_order_in_time_becomes_two_equations_of_first_order() -> None:
    made = PDE(sp.Eq(u.diff(t, 2) / a, u.diff(x, 2) - b * u.diff(t) - u.diff(x, t))).system
    assert made.field_names == ("u", "u_t")
    rate = made.symbol("u_t")
    assert made.right_side("u") == rate
    written = a * (u.diff(x, 2) - b * rate - rate.diff(x))
    assert sp.expand(made.right_side("u_t") - written) == 0
    assert [f.rate_of for f in made.fields] == [None, "u"]
    # And back: the equations as a user writes them give the same system.
    again = [sp.Eq(left, right) for _, left, right in solved_equations(made)]
    assert PDE(*again).system == made


def test_second_order_of_a_vector_field_keeps_its_index() -> None:
    made = PDE(sp.Eq(U[i].diff(t, 2), A[i, j] * U[j].diff(x, 2) - B[i, k] * U[k].diff(t))).system
    assert [(f.name, f.size, f.rate_of) for f in made.fields] == [("U", n, None), ("U_t", n, "U")]
    uses = [(c_.name, f.field) for t_ in made.equations[1] for c_ in t_.coefficients()
            for f in t_.factors()]  # fmt: skip
    assert uses == [("A", "U"), ("B", "U_t")]


def _equation_3(size: int) -> PDE:
    field = VectorField("u", size, (t, x, y))
    first, second, third, fourth = (Coefficient(q, (size, size)) for q in "ABCE")
    return PDE(
        sp.Eq(
            field[i].diff(t),
            first[i, j] * third[j, k] * field[k] * field[j].diff(x)
            + second[i, j] * fourth[j, k] * field[k] * field[j].diff(y),
        )
    )


def test_symbolic_work_does_not_depend_on_the_number_of_channels() -> None:
    calls: list[int] = []
    structures: list[object] = []
    for size in (8, 512):
        counted = mock.Mock(side_effect=canonical._substitute)
        expanded = mock.Mock(side_effect=canonical.expand)
        with (
            mock.patch.object(canonical, "_substitute", counted),
            mock.patch.object(canonical, "expand", expanded),
            mock.patch("numpy.empty", side_effect=AssertionError("an array was made")),
            mock.patch("numpy.zeros", side_effect=AssertionError("an array was made")),
        ):
            made = _equation_3(size).system
            structures.append((made.equations, analyse(made)))
        calls.append(counted.call_count + expanded.call_count)
        assert made.fields[0].size == size
        assert all(p.shape == (size, size) for p in made.parameters)
    assert calls[0] == calls[1] > 0
    assert structures[0] == structures[1]
