"""The affine Lie point symmetries are those of the literature, and they form Lie algebras."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
import sympy as sp

from pdenet.equation.catalogue import catalogue
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import coordinates
from pdenet.symmetry.equation.generators import affine_generators
from pdenet.symmetry.equation.vector_fields import Generator
from pdenet.symmetry.equation.writing import is_family, jet_system
from tests.symmetry.equation.known import FEW, known
from tests.tiers import mostly_deep

t, x, y = coordinates("t x y")
u1 = sp.Function("u")(t, x)
SCALAR = [name for name in catalogue if not is_family(catalogue[name].system)]


def generators(pde: PDE, values: dict[str, object] | None = None) -> tuple[Generator, ...]:
    return affine_generators(jet_system(pde.system, values))


def spans(found: Sequence[Generator], expected: Sequence[tuple[object, ...]]) -> bool:
    """Whether two lists of vector fields span the same space, and the first is a basis.

    Expected ones are given by their coefficients (τ, ξ…, φ…) in t, x, y and plain symbols u, v, h.
    """
    fields = dict(zip(found[0].symbols, map(sp.Symbol, found[0].components), strict=True))
    variables = [v.xreplace(fields) for v in found[0].variables]
    rows = []
    for coefficients in [[c.xreplace(fields) for c in v.coefficients] for v in found] + [
        [sp.Integer(0) + c for c in e] for e in expected
    ]:
        row = []
        for c in coefficients:
            poly = sp.Poly(c, *variables)
            assert poly.total_degree() <= 1
            row += [poly.coeff_monomial(v) for v in (*variables, 1)]
        rows.append(row)
    ours, all_rows = sp.Matrix(rows[: len(found)]), sp.Matrix(rows)
    theirs = sp.Matrix(rows[len(found) :])
    return bool(ours.rank() == len(found) == all_rows.rank() == theirs.rank())


U, V, H = sp.symbols("u v h")


def test_heat_has_the_affine_part_of_its_symmetries() -> None:
    """Olver (1993), § 2.4: v1 … v4, and solutions added; v5, v6 are not affine."""
    found = generators(catalogue.build("heat", dimension=1), {"D": 1})
    olver = [(0, 1, 0), (1, 0, 0), (0, 0, U), (2 * t, x, 0), (0, 0, 1), (0, 0, x)]
    assert spans(found, olver)
    assert [str(v) for v in found] == ["∂t", "∂x", "2 t ∂t + x ∂x", "u ∂u", "x ∂u", "∂u"]


def test_burgers_has_its_galilean_group() -> None:
    """Ibragimov (1994), CRC Handbook of Lie Group Analysis, vol. 1: four, and the projective
    t² ∂t + t x ∂x + (x − t u) ∂u, which is quadratic."""
    nu = sp.Symbol("nu", real=True)
    expected = [(1, 0, 0), (0, 1, 0), (0, t, 1), (2 * t, x, -U)]
    assert spans(generators(catalogue["burgers_1d"]), expected)
    assert spans(generators(catalogue["burgers_1d"], {"nu": nu}), expected)


@pytest.mark.parametrize("form", ["advective", "divergence"])
def test_kdv_has_four_symmetries(form: str) -> None:
    """Olver (1993), § 2.4, for u_t + u_xxx + u u_x = 0; here u is 6 times smaller."""
    expected = [(1, 0, 0), (0, 1, 0), (0, 6 * t, 1), (3 * t, x, -2 * U)]
    assert spans(generators(catalogue.build("kdv", form=form)), expected)


def test_waves_in_the_plane_have_the_lorentz_group() -> None:
    """Olver (1993), § 2.4: of the ten conformal ones seven are affine; then u ∂u, and the
    solutions that are affine in (t, x, y) themselves."""
    expected = [
        (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0),
        (0, -y, x, 0), (x, t, 0, 0), (y, 0, t, 0), (t, x, y, 0),
        (0, 0, 0, U), (0, 0, 0, 1), (0, 0, 0, t), (0, 0, 0, x), (0, 0, 0, y),
    ]  # fmt: skip
    assert spans(generators(catalogue["wave"], {"c": 1}), expected)


def test_heat_in_the_plane_turns() -> None:
    expected = [
        (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, -y, x, 0), (2 * t, x, y, 0),
        (0, 0, 0, U), (0, 0, 0, 1), (0, 0, 0, x), (0, 0, 0, y),
    ]  # fmt: skip
    assert spans(generators(catalogue["heat"]), expected)


def test_shallow_water_has_boosts_and_turns_its_velocity_along() -> None:
    """Ibragimov (1995), CRC Handbook of Lie Group Analysis, vol. 2, for a flat bed, with the depth
    H + h; the projective symmetry is quadratic."""
    depth = sp.Symbol("H", real=True) + H
    expected = [
        (1, 0, 0, 0, 0, 0), (0, 1, 0, 0, 0, 0), (0, 0, 1, 0, 0, 0),
        (0, t, 0, 0, 1, 0), (0, 0, t, 0, 0, 1), (0, -y, x, 0, -V, U),
        (t, x, y, 0, 0, 0), (0, x, y, 2 * depth, U, V),
    ]  # fmt: skip
    assert spans(generators(catalogue["shallow_water"]), expected)


def test_one_equation_in_two_forms_has_the_same_number_of_symmetries() -> None:
    """(h, u, v) ↦ (h, (H + h) u, (H + h) v) is no affine map, so the fields differ: the count
    does not, since each of the eight stays affine."""
    divergence = generators(catalogue.build("shallow_water", form="divergence"))
    assert len(divergence) == len(generators(catalogue["shallow_water"]))


@pytest.mark.parametrize("name", mostly_deep(SCALAR, FEW))
def test_generators_are_closed_under_the_lie_bracket(name: str) -> None:
    """[V, W] = V(W) − W(V), computed on the coefficients, lies in the span again."""
    found = known(name).generators
    variables = found[0].variables

    def bracket(v: Generator, w: Generator) -> list[sp.Expr]:
        def along(a: Generator, c: sp.Expr) -> sp.Expr:
            pairs = zip(a.coefficients, variables, strict=True)
            return sp.Add(*(e * sp.diff(c, s) for e, s in pairs))

        pairs = zip(v.coefficients, w.coefficients, strict=True)
        return [sp.expand(along(v, b) - along(w, a)) for a, b in pairs]

    def row(coefficients: Sequence[sp.Expr]) -> list[sp.Expr]:
        polys = [sp.Poly(c, *variables) for c in coefficients]
        assert all(p.total_degree() <= 1 for p in polys)
        return [p.coeff_monomial(m) for p in polys for m in (*variables, 1)]

    basis = [row(v.coefficients) for v in found]
    pairs = list(itertools.combinations(found, 2))
    brackets = [row(bracket(v, w)) for v, w in pairs]
    # Numbers in place of the parameters: generic ones, so that the rank is that of symbols.
    symbols = sorted({s for r in basis for c in r for s in c.free_symbols}, key=str)
    values = {s: sp.Rational(7 + 2 * k, 3) for k, s in enumerate(symbols)}

    def rank(rows: list[list[sp.Expr]]) -> int:
        matrix = sp.Matrix([[c.xreplace(values) for c in r] for r in rows])
        return int(sp.polys.matrices.DomainMatrix.from_Matrix(matrix).to_field().rank())

    assert rank(basis) == len(basis)
    assert rank(basis + brackets) == len(basis)


def test_a_finite_transformation_of_a_soliton_is_a_solution_again() -> None:
    """u = 2k² sech²(k(x − 4k²t)) solves u_t + 6 u u_x + u_xxx = 0; the flow of each generator,
    exp(ε M) on (t, x, u), takes its graph to that of another solution."""
    eps = sp.Rational(1, 5)
    for v in generators(catalogue["kdv"]):
        flow = (eps * v.matrix()).exp()
        old_t, old_x = sp.Matrix(flow[:2, :2]).inv() * sp.Matrix([t - flow[0, 3], x - flow[1, 3]])
        k = sp.Rational(4, 5)
        value = (2 * k**2 / sp.cosh(k * (x - 4 * k**2 * t)) ** 2).subs(
            {t: old_t, x: old_x}, simultaneous=True
        )
        moved = flow[2, 2] * value + flow[2, 3]
        residual = moved.diff(t) + 6 * moved * moved.diff(x) + moved.diff(x, 3)
        at = {t: sp.Rational(1, 7), x: sp.Rational(2, 3)}
        assert abs(moved.diff(x).subs(at).evalf()) > 1e-2  # not a constant
        # 15 digits, and terms of size 10 that cancel.
        assert abs(residual.subs(at).evalf()) < 1e-12


def test_a_cubic_slope_costs_the_heat_equation_exactly_two_symmetries() -> None:
    """u_xx and u_x³ keep one of the two scalings: (t, x, u) ↦ (λ⁴t, λ²x, λu)."""
    pde = PDE(sp.Eq(u1.diff(t), u1.diff(x, 2) + sp.Rational(1, 10) * u1.diff(x) ** 3))
    assert spans(generators(pde), [(1, 0, 0), (0, 1, 0), (0, 0, 1), (4 * t, 2 * x, U)])


@pytest.mark.parametrize("coefficient", [1 + x**2, sp.Function("c")(x), sp.exp(sp.sin(x))])
def test_a_varying_coefficient_costs_translation_and_scaling(coefficient: sp.Expr) -> None:
    pde = PDE(sp.Eq(u1.diff(t), coefficient * u1.diff(x, 2)))
    assert spans(generators(pde), [(1, 0, 0), (0, 0, 1), (0, 0, x), (0, 0, U)])


def test_functions_of_the_field_follow_the_chain_rule() -> None:
    """u_t = u_xx + eᵘ, of Gazizov's classification: a shift of u goes with the scaling."""
    pde = PDE(sp.Eq(u1.diff(t), u1.diff(x, 2) + sp.exp(u1)))
    assert spans(generators(pde), [(1, 0, 0), (0, 1, 0), (2 * t, x, -2)])


def test_roots_and_reciprocals_are_reduced() -> None:
    """u_t = (u^(−1/2) u_x)_x: nonlinear diffusion with its two scalings (Ovsiannikov 1959)."""
    curvature = u1.diff(x, 2) / sp.sqrt(u1) - u1.diff(x) ** 2 / (2 * u1 * sp.sqrt(u1))
    pde = PDE(sp.Eq(u1.diff(t), curvature))
    expected = [(1, 0, 0), (0, 1, 0), (2 * t, x, 0), (0, x, -4 * U)]
    assert spans(generators(pde), expected)


def test_a_boost_may_rest_on_the_square_of_a_root() -> None:
    """w_t = √a w_x runs along the light cone of p_t = a q_x, q_t = p_x: (√a)² = a."""
    a = sp.Symbol("a", positive=True)
    p, q, w = (sp.Function(name)(t, x) for name in "pqw")
    right = [a * q.diff(x), p.diff(x), sp.sqrt(a) * w.diff(x)]
    pde = PDE(*(sp.Eq(f.diff(t), r) for f, r in zip((p, q, w), right, strict=True)))
    assert any(v.tau.has(x) and v.xi[0].has(t) for v in generators(pde))


def test_jumps_stay_where_they_are() -> None:
    """|u| and its mirrorless kin scale; a step at x = 0 or at u = 1 holds on to its place."""
    absolute = PDE(sp.Eq(u1.diff(t), sp.Abs(u1) * u1.diff(x, 2)))
    assert spans(generators(absolute), [(1, 0, 0), (0, 1, 0), (2 * t, x, 0), (t, 0, -U)])
    upwind = PDE(sp.Eq(u1.diff(t), u1.diff(x, 2) - sp.Max(u1, 0) * u1.diff(x)))
    assert spans(generators(upwind), [(1, 0, 0), (0, 1, 0), (2 * t, x, -U)])
    step = PDE(sp.Eq(u1.diff(t), u1.diff(x, 2) + sp.Heaviside(x) * u1))
    assert spans(generators(step), [(1, 0, 0), (0, 0, U)])
    threshold = PDE(sp.Eq(u1.diff(t), u1.diff(x, 2) + sp.Heaviside(u1 - 1)))
    assert spans(generators(threshold), [(1, 0, 0), (0, 1, 0), (2 * t, x, 2 * U - 2)])
