"""Equations print as the mathematics, as text and in LaTeX."""

from __future__ import annotations

import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from pdenet.equation.parse import parse
from pdenet.equation.pde import PDE
from pdenet.equation.printing import latex, text
from pdenet.equation.symbols import Coefficient, D, VectorField, coordinates, fields, indices

t, x, y = coordinates("t x y")
u, v = fields("u v", (t, x, y))
n = sp.Symbol("n", integer=True, positive=True)
i, j, k = indices("i j k")
U = VectorField("u", n, (t, x, y))
A, B, C, E = (Coefficient(name, (n, n)) for name in "ABCE")
T = Coefficient("T", (n, n, n))
alpha, nu = sp.symbols("alpha nu")

PRINTED = [
    (sp.Eq(u.diff(t), nu * (u.diff(x, 2) + u.diff(y, 2))),
     "u_t = nu (u_xx + u_yy)", r"u_{t} = \nu \left(u_{xx} + u_{yy}\right)"),
    (sp.Eq(u.diff(t, 2), sp.Symbol("c") ** 2 * u.diff(x, 2)),
     "u_tt = c² u_xx", r"u_{tt} = c^{2} u_{xx}"),
    (sp.Eq(u.diff(t), x * u.diff(y) - y * u.diff(x)),
     "u_t = x u_y - y u_x", r"u_{t} = x u_{y} - y u_{x}"),
    (sp.Eq(u.diff(t), u.diff(x, y)), "u_t = u_xy", "u_{t} = u_{xy}"),
    (sp.Eq(u.diff(t), -u * u.diff(x) + u.diff(x, 3)),
     "u_t = -u u_x + u_xxx", r"u_{t} = - u u_{x} + u_{xxx}"),
    (sp.Eq(u.diff(t), D(sp.Function("k")(x, y) * u.diff(x), x)),
     "u_t = ∂x(k(x, y) u_x)",
     r"u_{t} = \partial_{x}\left(k{\left(x,y \right)} u_{x}\right)"),
    (sp.Eq(u.diff(t), sp.sin(sp.pi * x) * u**2 + sp.exp(-u)),
     "u_t = u² sin(pi x) + exp(-u)",
     r"u_{t} = u^{2} \sin{\left(\pi x \right)} + e^{- u}"),
    (sp.Eq(u.diff(t), u**12 + sp.sqrt(u) + u.diff(x) ** 2),
     "u_t = sqrt(u) + u^12 + u_x²",
     r"u_{t} = \sqrt{u} + u^{12} + \left(u_{x}\right)^{2}"),
    (sp.Eq(u.diff(t), u / 10 + alpha / u), "u_t = alpha/u + u/10",
     r"u_{t} = \frac{\alpha}{u} + \frac{u}{10}"),
    (sp.Eq(U[i].diff(t), A[i, j] * C[j, k] * U[k] * U[j].diff(x)),
     "∂t u_i = A_ij C_jk u_k ∂x u_j",
     r"\partial_{t} u_{i} = A_{i j} C_{j k} u_{k} \partial_{x} u_{j}"),
    (sp.Eq(U[i].diff(t), A[i, j] * D(U[j] * C[j, k] * U[k], y)),
     "∂t u_i = A_ij ∂y(C_jk u_j u_k)",
     r"\partial_{t} u_{i} = A_{i j} \partial_{y}\left(C_{j k} u_{j} u_{k}\right)"),
    (sp.Eq(U[i].diff(t), T[i, j, k] * U[j] * U[k].diff(x, 2)),
     "∂t u_i = T_ijk u_j ∂xx u_k",
     r"\partial_{t} u_{i} = T_{i j k} u_{j} \partial_{xx} u_{k}"),
]  # fmt: skip


@pytest.mark.parametrize(("equation", "plain", "tex"), PRINTED, ids=[p for _, p, _ in PRINTED])
def test_equations_print_as_the_mathematics(equation: sp.Eq, plain: str, tex: str) -> None:
    assert text(equation) == plain
    assert latex(equation) == tex
    pde = PDE(equation)
    assert str(pde) == plain
    assert pde.latex() == tex
    assert pde._repr_latex_() == rf"$\displaystyle {tex}$"


def test_systems_print_one_equation_a_line_and_are_aligned_in_latex() -> None:
    pde = PDE(sp.Eq(u.diff(t), v.diff(x)), sp.Eq(v.diff(t), u.diff(x)), name="pair")
    assert str(pde) == "u_t = v_x\nv_t = u_x"
    assert pde.latex() == (
        r"\begin{aligned} u_{t} &= v_{x} \\ v_{t} &= u_{x} \end{aligned}"
    )  # fmt: skip
    assert repr(pde) == "<PDE pair: u_t = v_x; v_t = u_x>"


def test_matrix_equations_print_as_their_components() -> None:
    pde = PDE(sp.Eq(sp.Matrix([u, v]).diff(t), sp.Matrix([v.diff(x), u.diff(x)])))
    assert str(pde) == "u_t = v_x\nv_t = u_x"


def test_a_generated_component_has_one_subscript() -> None:
    rate = sp.Function("u_t")(t, x, y)
    assert text(rate.diff(x, 2)) == "u_t_xx"
    assert latex(rate.diff(x, 2)) == "u_{txx}"


@given(st.sampled_from([e for e, _, _ in PRINTED]))
def test_brackets_balance_in_text_and_latex(equation: sp.Eq) -> None:
    for made in (text(equation), latex(equation)):
        for one, other in ("()", "{}"):
            assert made.count(one) == made.count(other)
    assert latex(equation).count(r"\left") == latex(equation).count(r"\right")


@pytest.mark.parametrize("written", [
    "u_t = x*u_y - y*u_x",
    "u_tt = c^2*(u_xx + u_yy)",
    "u_t = -u*u_x + nu*u_xx",
    "u_t = u_xxx/10 + sin(pi*x)*u^2",
])  # fmt: skip
def test_printed_text_is_read_again_once_products_are_written_out(written: str) -> None:
    """Printing leaves the signs of products to the eye; with them the text is the language's."""
    pde = parse(written)
    left, right = str(pde).split(" = ")
    for sign in " + ", " - ", "(-", " (":
        right = right.replace(sign, {" + ": "+", " - ": "-", "(-": "(-", " (": "*("}[sign])
    again = right.replace(" ", "*").replace("²", "^2")
    assert parse(f"{left} = {again}") == pde
