"""Equations from text: what is read is what SymPy would say, and nothing is ever executed."""

from __future__ import annotations

import contextlib
import random
import re
import string
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
import sympy as sp
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pdenet.equation.parse import parse, parse_equations, parse_expression
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import D, coordinates, fields
from pdenet.errors import ParseError

t, x, y, z = coordinates("t x y z")
u, v = fields("u v", (t, x, y))
w, q = fields("w q", (t, x))
s = fields("s", (t, x, y, z))
c, nu, k = sp.symbols("c nu k", positive=True)
kappa = sp.Function("kappa")(x, y)

SAME = [
    ("u_t = nu*(u_xx + u_yy)", sp.Eq(u.diff(t), nu * (u.diff(x, 2) + u.diff(y, 2)))),
    ("u_t == nu*u_xx + nu*u_yy", sp.Eq(u.diff(t), nu * (u.diff(x, 2) + u.diff(y, 2)))),
    ("u_tt = c^2*(u_xx+u_yy)", sp.Eq(u.diff(t, 2), c**2 * (u.diff(x, 2) + u.diff(y, 2)))),
    ("u_tt = c**2*(u_xx+u_yy) - k*u_t",
     sp.Eq(u.diff(t, 2), c**2 * (u.diff(x, 2) + u.diff(y, 2)) - k * u.diff(t))),
    ("u_t = x*u_y - y*u_x", sp.Eq(u.diff(t), x * u.diff(y) - y * u.diff(x))),
    ("w_t + w*w_x = 0", sp.Eq(w.diff(t), -w * w.diff(x))),
    ("w_t = -d(w^2/2, x)", sp.Eq(w.diff(t), -D(w**2 / 2, x))),
    ("w_t = -D(w**2, x)/2", sp.Eq(w.diff(t), -D(w**2 / 2, x))),
    ("w_t = -diff(w**2, x)/2", sp.Eq(w.diff(t), -w * w.diff(x))),
    ("diff(w, t) = diff(w, x, 3) - 6*w*diff(w, x)",
     sp.Eq(w.diff(t), w.diff(x, 3) - 6 * w * w.diff(x))),
    ("u_t = d(kappa(x, y)*u_x, x) + d(kappa(x, y)*u_y, y)",
     sp.Eq(u.diff(t), D(kappa * u.diff(x), x) + D(kappa * u.diff(y), y))),
    ("u_t = laplacian(u) + u_xy", sp.Eq(u.diff(t), u.diff(x, 2) + u.diff(y, 2) + u.diff(x, y))),
    ("s_t = laplacian(s) + z*0", sp.Eq(s.diff(t), s.diff(x, 2) + s.diff(y, 2) + s.diff(z, 2))),
    ("w_t = 0.1*w_xx + 1e-3*w*3", sp.Eq(w.diff(t), w.diff(x, 2) / 10 + 3 * w / 1000)),
    ("w_t = 0.1*w_xx", sp.Eq(w.diff(t), 0.1 * w.diff(x, 2))),
    ("w_t = w_xx + sin(pi*x)*exp(-t) + sqrt(2)", sp.Eq(
        w.diff(t), w.diff(x, 2) + sp.sin(sp.pi * x) * sp.exp(-t) + sp.sqrt(2))),
    ("w_t = -tanh(w) + ln(abs(x) + 1) + E*π", sp.Eq(
        w.diff(t), -sp.tanh(w) + sp.log(sp.Abs(x) + 1) + sp.E * sp.pi)),
    ("w_t = w_xx - max(w, 0) + Heaviside(x) + atan2(x, 2)", sp.Eq(
        w.diff(t), w.diff(x, 2) - sp.Max(w, 0) + sp.Heaviside(x) + sp.atan2(x, 2))),
    ("w_t = Piecewise((1, 0 < x <= 1 and t < 2), (2, x < -1 or x > 3), (0, True))", sp.Eq(
        w.diff(t), sp.Piecewise((1, (x > 0) & (x <= 1) & (t < 2)), (2, (x < -1) | (x > 3)),
                                (0, True)))),
    ("u_t = nu*(\n   u_xx\n + u_yy)", sp.Eq(u.diff(t), nu * (u.diff(x, 2) + u.diff(y, 2)))),
    ("w_t = ν*w_xx", sp.Eq(w.diff(t), sp.Symbol("ν") * w.diff(x, 2))),
    ("w_t = 2^-3*w_x - -w", sp.Eq(w.diff(t), w.diff(x) / 8 + w)),
    ("w_t = 2^3^2*w_x", sp.Eq(w.diff(t), 512 * w.diff(x))),
    ("-w_t = w_x/3/5", sp.Eq(w.diff(t), -w.diff(x) / 15)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "equation"), SAME, ids=[text for text, _ in SAME])
def test_text_gives_the_system_that_sympy_gives(text: str, equation: sp.Eq) -> None:
    assert parse(text).system == PDE(equation).system


@pytest.mark.parametrize("text", [
    "w_t = q_x; q_t = w_x",
    "w_t = q_x;\n\n q_t = w_x ;",
    "w_t = q_x\nq_t = w_x\n",
    ["w_t = q_x", "q_t = w_x"],
    ("w_t = q_x", "q_t = w_x"),
])  # fmt: skip
def test_systems_are_separated_by_semicolons_lines_or_lists(text: str | list[str]) -> None:
    assert parse(text) == PDE(sp.Eq(w.diff(t), q.diff(x)), sp.Eq(q.diff(t), w.diff(x)))


@pytest.mark.parametrize(("text", "options", "axes"), [
    ("u_t = u_x", {}, ("x",)),
    ("u_t = u_y", {}, ("x", "y")),
    ("u_t = z", {}, ("x", "y", "z")),
    ("u_t = u_x", {"coordinates": "t x y"}, ("x", "y")),
    ("u_t = laplacian(u)", {"coordinates": "t x y z"}, ("x", "y", "z")),
    ("u_t = D_y*u_x", {}, ("x",)),
])  # fmt: skip
def test_coordinates_follow_from_what_occurs_or_are_said(
    text: str, options: dict[str, str], axes: tuple[str, ...]
) -> None:
    assert parse(text, **options).axes == axes


def test_names_with_an_equation_are_fields_and_all_others_parameters() -> None:
    made = parse("E_t = D_x*E_xx + a*E + c(x)*E", defaults={"a": 2})
    assert made.fields == ("E",)
    assert [(p.name, p.kind, p.default) for p in made.parameters] == [
        ("D_x", "scalar", None),
        ("a", "scalar", 2),
        ("c", "function", None),
    ]


def test_fields_may_be_said_where_a_parameter_looks_like_a_rate() -> None:
    assert parse("u_t + k_t*u = 0", fields="u").parameters[0].name == "k_t"
    with pytest.raises(ParseError, match=r"got 1 equations for the fields"):
        parse("u_t + k_t*u = 0")


def test_expressions_are_in_canonical_symbols_and_exact() -> None:
    made = parse_expression("exp(-40*(x^2 + 0.1*y**2)) + a", ["x", "y", "a"])
    a = sp.Symbol("a", real=True)
    assert made == sp.exp(-40 * (x**2 + y**2 / 10)) + a
    assert parse_expression("Piecewise((1, x < 0), (0, True))", ["x"]).subs(x, -1) == 1
    assert parse_expression(" (1 +\n 2)/3 ", []) == 1


@pytest.mark.parametrize(("text", "names", "problem"), [
    ("x + foo", ["x"], r"expected; got 'foo'; use one of them"),
    ("x + heigth", ["x", "height"], r"Did you mean 'height'\?"),
    ("u_x", ["x", "u"], r"got 'u_x'"),
    ("d(x, x)", ["x"], r"got 'd'; write a product"),
    ("f(x)", ["x"], r"got 'f'"),
    ("x = 1", ["x"], r"got '='"),
    ("1; 2", ["x"], r"got ';'"),
    ("", ["x"], r"got 0"),
    ("1/0", [], r"got 0; remove it"),
    ("log(x - x)", ["x"], r"real and of ordinary size"),
    ("sqrt(-1 - x^2 + x^2)", ["x"], r"real"),
    ("sqrt(-x^2)", ["x"], r"real and finite"),
])  # fmt: skip
def test_expressions_name_what_does_not_belong(text: str, names: list[str], problem: str) -> None:
    with pytest.raises(ParseError, match=problem):
        parse_expression(text, names)


@pytest.mark.parametrize("value", [None, 3, b"u_t = 1", ["u_t = 1", None], [], {"u": 1}, object()])
def test_only_text_is_read(value: object) -> None:
    with pytest.raises(ParseError, match="expected"):
        parse(value)  # type: ignore[arg-type]
    with pytest.raises(ParseError, match="expected"):
        parse_expression(value, ["x"])  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "column"), [
    ("u_t = D*(u_xx + v_xx)", 16),
    ("u_t = a^2*u_xx + w_xx", 17),  # the caret operator is two characters in Python
    ("u_t = ν*u_xx + w_xx", 15),  # and a Greek letter two bytes
    ("u_t = a.b", 7),
    ("u_t = u_xx + sinn(u)", 13),
    ("u_t = (u_xx", 11),
    ("u_t = u_xx)", 10),
    ("u_t = 2x", 6),
    ("u_t = u_xx +* u", 12),
    ("u_t = u = 1", 8),
    ("u_t = 1 + 9^9^9", 10),
    ("w_t = 1\nu_t = a^b^c + u[0]", 15),
])  # fmt: skip
def test_a_caret_shows_the_column(text: str, column: int) -> None:
    with pytest.raises(ParseError) as caught:
        parse(text)
    *_, line, mark = str(caught.value).splitlines()
    assert line.strip() in text
    assert mark.index("^") - 4 == column


BOMB = "(a+b+c+d+e+f+g+h)"
NESTED = "exp(exp(exp(9)))"
HOSTILE = {
    "attribute": "u_t = u.__class__",
    "attribute chain": "u_t = ().__class__.__bases__[0].__subclasses__()",
    "import": "u_t = __import__('os').system('touch MARKER')",
    "import on the left": "__import__('os').system('touch MARKER') = u_t",
    "import bare": "__import__('os').system('touch MARKER')",
    "import without quotes": "u_t = __import__(os)",
    "symbol whose name is code": "__import__('os').system('touch MARKER')_t = 1",
    "eval": "u_t = eval('open(\"MARKER\", \"w\")')",
    "exec": "u_t = exec('import os')",
    "open": "u_t = open('MARKER', 'w')",
    "open without quotes": "u_t = open(MARKER, w)",
    "getattr": "u_t = getattr(u, x)",
    "globals": "u_t = globals()",
    "breakpoint": "u_t = breakpoint()",
    "dunder": "u_t = __builtins__",
    "dunder field": "__class___t = 1",
    "dunder call": "u_t = __init__(x)",
    "lambda": "u_t = (lambda: 1)()",
    "lambda name": "u_t = lambda*u_xx",
    "list comprehension": "u_t = [a for a in (1, 2)]",
    "generator": "u_t = (a for a in b)",
    "generator in call": "u_t = max(a for a in b)",
    "set": "u_t = {1, 2}",
    "dict": "u_t = {1: 2}",
    "walrus": "u_t = (a := 1)",
    "f-string": "u_t = f'{open(1)}'",
    "string": "u_t = 'abc'",
    "bytes": "u_t = b'abc'",
    "format spec": "u_t = '{0.__class__}'.format(u)",
    "percent format": "u_t = '%1000000000d' % 1",
    "subscript": "u_t = u[0]",
    "slice": "u_t = u[::]",
    "conditional": "u_t = 1 if x else 2",
    "comparison": "u_t = x < 1",
    "boolean": "u_t = True",
    "boolean operator": "u_t = u and v",
    "not": "u_t = not u",
    "none": "u_t = None",
    "ellipsis": "u_t = ...",
    "tuple": "u_t = 1, 2",
    "empty tuple": "u_t = ()",
    "star": "u_t = sin(*u)",
    "double star": "u_t = sin(**u)",
    "keyword argument": "u_t = sin(u, evaluate=u)",
    "keyword to a coefficient": "u_t = c(x=x)",
    "call of a call": "u_t = sin(u)(u)",
    "call of a number": "u_t = 1(u)",
    "await": "u_t = await u",
    "yield": "u_t = (yield u)",
    "decorator": "@a\nu_t = 1",
    "statement": "import os; u_t = 1",
    "definition": "def f(): pass",
    "assignment chain": "u_t = a = 1",
    "augmented": "u_t += 1",
    "two comparisons": "u_t == 1 == 2",
    "inequality": "u_t != 1",
    "bit operator": "u_t = 1 << 1000000",
    "bit or": "u_t = u | v",
    "invert": "u_t = ~u",
    "modulo": "u_t = u % 2",
    "matrix product": "u_t = u @ u",
    "floor division": "u_t = u // 2",
    "comment": "u_t = 1 # 2",
    "backslash": "u_t = \\\n1",
    "power tower": "u_t = 9**9**9",
    "power tower with carets": "u_t = 9^9^9^9^9",
    "power tower from the left": "u_t = (((9**64)**64)**64)**64",
    "power tower of a product": "u_t = (((9*x)**8)**8)**8",
    "negative tower": "u_t = 9**-9**9",
    "root tower": "u_t = 2**(1/3)**99",
    "huge exponent": "u_t = u**1000",
    "huge hidden exponent": "u_t = 2**(u - u + 10**9)",
    "huge integer": "u_t = " + "9" * 9000,
    "huge decimal": "u_t = 0." + "1" * 9000,
    "huge float": "u_t = 1e400",
    "tiny float": "u_t = 1e-400",
    "huge float exponent": "u_t = 1e" + "9" * 4000,
    "complex number": "u_t = 1j",
    "underscored number": "u_t = 1_000",
    "hexadecimal": "u_t = 0xff",
    "octal": "u_t = 0o7",
    "leading zeros": "u_t = 007",
    "root of a negative": "u_t = sqrt(-1)",
    "power of a negative": "u_t = (-8)^(1/3)",
    "division by zero": "u_t = 1/0",
    "hidden division by zero": "u_t = 1/(u - u)",
    "power of zero": "u_t = 0^-1",
    "logarithm of zero": "u_t = log(0)",
    "exponential tower": f"u_t = {NESTED}",
    "exponential tower compared": f"u_t = Max({NESTED}, 1)",
    "exponential tower hidden": "u_t = sign(exp(exp(exp(u - u + 9))) - 3)",
    "exponential tower below": f"u_t = abs(1/exp(-{NESTED}))",
    "exponential tower in a condition": f"u_t = Piecewise((1, {NESTED} < 3), (0, True))",
    "arcsine beyond 1": "u_t = asin(2)",
    "expansion": f"u_t = {BOMB}^30",
    "expansion as a product": "u_t = " + "*".join([BOMB] * 12),
    "expansion inside a function": f"u_t = sin({BOMB}^30)",
    "expansion inside D": f"u_t = d({BOMB}^30*u, x)",
    "expansion in a denominator": f"u_t = 1/{BOMB}^30",
    "derivative swell": "u_t = diff(" + "sin(" * 25 + "u^9*v*x" + ")" * 25 + ", x, 4); v_t = 1",
    "derivative order": "u_t = u_xxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "derivative order as number": "u_t = diff(u, x, 1000000)",
    "nested derivatives": "u_t = diff(diff(diff(diff(u*u, x, 4), x, 4), x, 4), x, 4)",
    "derivative without axis": "u_t = diff(u)",
    "derivative along a parameter": "u_t = diff(u, a)",
    "derivative along a number": "u_t = d(u, 2)",
    "D inside D": "u_t = d(d(u, x), x)",
    "D along t": "u_t = d(u, t)",
    "D of nothing": "u_t = D()",
    "a product written as a call": "u_t = D (u_xx + u_yy)",
    "unknown function": "u_t = gamma(u)",
    "misspelt function": "u_t = sinn(u)",
    "wrong arity": "u_t = sin(u, u)",
    "too many arguments": "u_t = Max(" + ", ".join("abcdefghijklm") + ")",
    "piecewise without pairs": "u_t = Piecewise(1, 2)",
    "piecewise without an end": "u_t = Piecewise((1, x < 0))",
    "piecewise with code": "u_t = Piecewise((1, x is x), (0, True))",
    "no equals sign": "u_xx",
    "no equation": "",
    "spaces only": "  \n\t ; \n",
    "no right side": "u_t =",
    "no left side": "= u_t",
    "two equals signs": "u_t = u = u",
    "no rate": "u = u_xx",
    "open bracket": "u_t = ((u_xx",
    "closed bracket": "u_t = u) + (u",
    "missing product sign": "u_t = 2 u_xx",
    "number before a name": "u_t = 2u_xx",
    "coordinate as a field": "x_t = 1",
    "constant as a field": "pi_t = 1",
    "null byte": "u_t = \0",
    "null byte in a name": "u\0_t = 1",
    "newline in brackets of code": "u_t = (1\nimport os)",
    "carriage return": "u_t = 1\rimport os",
    "form feed": "u_t = 1 \x0c import os",
    "escape sequence": "u_t = \x1b[31m",
    "surrogate": "u_t = \ud800",
    "byte order mark": "\ufeffu_t = 1",
    "zero width space": "u_t = u\u200b_x",
    "right to left override": "u_t = \u202eu",
    "Cyrillic letter": "u_t = \u0430*u_x",
    "Cyrillic function": "u_t = \u0455in(u)",
    "fullwidth letter": "\uff55_t = 1",
    "fullwidth import": "u_t = _\uff3fimport__",
    "mathematical letter": "u_t = \U0001d42e_x",
    "ligature": "u_t = \ufb01",
    "Greek omicron": "u_t = \u03bf*u_x",
    "Arabic digit": "u_t = \u0663*u_x",
    "superscript": "u_t = c²*u_xx",
    "long name": "u_t = " + "a" * 9000,
    "megabyte": "u_t = " + "u+" * 500_000 + "u",
    "megabyte of brackets": "(" * 1_000_000,
    "megabyte of spaces": " " * 1_000_000,
    "deep brackets": "u_t = " + "(" * 4000 + "u" + ")" * 4000,
    "deep calls": "u_t = " + "sin(" * 1500 + "u" + ")" * 1500,
    "deep signs": "u_t = " + "-" * 3900 + "u",
    "deep powers": "u_t = " + "u**" * 1900 + "u",
    "many terms": "u_t = " + "+".join(["u"] * 4900),
    "many equations": ";".join(f"a{n}_t=a{n + 1}" for n in range(700)),
    "many statements": ";" * 9999,
}  # fmt: skip


@contextlib.contextmanager
def little_work(most: int = 500_000) -> Iterator[None]:
    """Hold how many functions are called, in Python or C: a clock depends on what else runs.

    Half a million calls take about half a second; the costliest of these texts makes a third of it.
    """
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(None)
    assert calls < most


def test_there_are_more_than_sixty_hostile_texts() -> None:
    assert len(HOSTILE) > 60


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_one_clear_error_after_little_work_and_is_not_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a relative MARKER would appear here
    with little_work(), pytest.raises(ParseError) as caught:
        parse(HOSTILE[name].replace("MARKER", str(tmp_path / "MARKER")))
    message = str(caught.value)
    assert re.match(r"\w.+\bgot\b.+; \w.+", message, re.DOTALL)  # expected; got; what to do
    assert len(message) < 1500
    assert list(tmp_path.iterdir()) == []


EXPRESSIONS = [n for n, text in HOSTILE.items() if text.count("=") == 1 and text[:6] == "u_t = "]


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_hostile_expressions_are_refused_where_values_are_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with little_work(), pytest.raises(ParseError):
        parse_expression(HOSTILE[name][6:], ["x", "y", "t"])
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_handed_to_an_evaluator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter's and SymPy's evaluators of text are replaced by traps."""

    def trap(*args: object, **kwargs: object) -> None:
        raise AssertionError(f"text was evaluated: {args[:1]}")

    monkeypatch.setattr("sympy.parsing.sympy_parser.parse_expr", trap)
    monkeypatch.setattr("sympy.parsing.sympy_parser.eval_expr", trap)
    monkeypatch.setattr("builtins.eval", trap)
    for text, _ in SAME:
        parse_equations(text)
    for text in list(HOSTILE.values())[:60]:
        with pytest.raises(ParseError):
            parse(text)


ALPHABET = string.ascii_letters + string.digits + string.punctuation + " \n"
# Pieces that are nearly equations, and expressions that are well formed, so that deep layers are
# reached as well.
PIECES = list("uvxytzabE012+-*/^(),=;<>") + [
    "u_t", "u_x", "u_xx", "v_t", "v_yy", "pi", "0.5", "1e9", "64", "**", "sin(", "exp(", "log(",
    "sqrt(", "d(", "D(", "diff(", "laplacian(", "Piecewise(", "Max(", "abs(", "c(x)", " and ",
    " or ", "True",
]  # fmt: skip
ATOMS = st.sampled_from(["u", "v", "u_x", "v_yy", "x", "t", "a", "pi", "0", "2", "0.5", "c(x)"])
FORMS = [
    "({}+{})", "({}-{})", "({}*{})", "({}/{})", "({})^2", "({})^64", "({})^(1/2)", "({})^(-1)",
    "({})^({})", "-{}", "sin({})", "asin({})", "exp({})", "log({})", "abs({})", "sign({})",
    "sqrt({})", "Max({},{})", "d({},x)", "diff({},y)", "laplacian({})", "Heaviside({})",
    "atan2({},{})", "Piecewise(({},{}<{}),({},True))",
]  # fmt: skip


def _compose(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.tuples(st.sampled_from(FORMS), st.lists(inner, min_size=4, max_size=4))
    return pairs.map(lambda pair: pair[0].format(*pair[1]))


WELL_FORMED = st.recursive(ATOMS, _compose, max_leaves=8)


@settings(max_examples=150)
@given(
    st.text(ALPHABET, max_size=60)
    | st.lists(st.sampled_from(PIECES), max_size=20).map("".join)
    | WELL_FORMED
)
@example("u_x*x**y")
@example("Max(u,sqrt(-1-x**2))")
@example("Piecewise((u_xx,pi<x),(u_t,True))^2")
def test_any_text_is_read_or_refused_and_nothing_else(text: str) -> None:
    for whole in (text, f"u_t = {text}; v_t = 1"):
        with contextlib.suppress(ParseError):
            assert isinstance(parse(whole), PDE)
    with contextlib.suppress(ParseError):
        assert isinstance(parse_expression(text, ["x", "a"]), sp.Expr)


def _random_expression(random_: random.Random, depth: int) -> tuple[str, sp.Expr]:
    """Return a text and the expression it means, built side by side."""
    atoms = {"w": w, "w_x": w.diff(x), "w_xx": w.diff(x, 2), "x": x, "t": t, "2": sp.Integer(2),
             "0.25": sp.Rational(1, 4), "nu": sp.Symbol("nu", real=True)}  # fmt: skip
    if depth == 0 or random_.random() < 0.2:
        name = random_.choice(sorted(atoms))
        return name, atoms[name]
    (a, first), (b, second) = (_random_expression(random_, depth - 1) for _ in range(2))
    return random_.choice(
        [
            (f"({a}) + ({b})", first + second),
            (f"({a}) - ({b})", first - second),
            (f"({a})*({b})", first * second),
            (f"-({a})", -first),
            (f"({a})^2", first**2),
            (f"({a})/3", first / 3),
        ]
    )


@settings(max_examples=60)
@given(st.randoms(use_true_random=False), st.integers(1, 4))
def test_random_polynomials_are_read_as_sympy_builds_them(
    random_: random.Random, depth: int
) -> None:
    text, expr = _random_expression(random_, depth)
    assert parse(f"w_t = {text}") == PDE(sp.Eq(w.diff(t), expr, evaluate=False))
