"""The weights of the scalings are those of the literature, and scaled functions show them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sympy as sp

from pdenet.equation.catalogue import catalogue
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import coordinates, fields, is_field
from pdenet.symmetry.equation.scalings import Scaling
from pdenet.symmetry.equation.writing import is_family
from tests.symmetry.equation.known import FEW, known
from tests.tiers import mostly_deep

t, x, y = coordinates("t x y")
u = fields("u", (t, x))
NAMES = [name for name in catalogue if not is_family(catalogue[name].system)]


def rows(found: tuple[Scaling, ...], names: str) -> sp.Matrix:
    return sp.Matrix([[s.weights[n] for n in names.split()] for s in found])


def same_span(found: sp.Matrix, expected: list[list[int]]) -> bool:
    theirs = sp.Matrix(expected)
    both = sp.Matrix([*found.tolist(), *theirs.tolist()])
    return bool(found.rank() == found.rows == theirs.rank() == both.rank())


def test_kdv_has_one_scaling() -> None:
    """Olver (1993), § 2.4."""
    (found,) = catalogue["kdv"].symmetries().scalings
    assert found.weights == {"t": 3, "x": 1, "u": -2}
    assert str(found) == "(t, x, u) → (λ³ t, λ x, λ⁻² u)"


def test_heat_has_the_parabolic_one_and_its_amplitude() -> None:
    found = catalogue["heat"].symmetries().scalings
    assert same_span(rows(found, "t x y u"), [[2, 1, 1, 0], [0, 0, 0, 1]])


def test_dimensional_analysis_of_heat_finds_the_diffusivity() -> None:
    """[D] = length²/time: three independent units, of length, time and u."""
    found = catalogue["heat"].symmetries().dimensional
    expected = [[1, 0, 0, 0, -1], [0, 1, 1, 0, 2], [0, 0, 0, 1, 0]]
    assert same_span(rows(found, "t x y u D"), expected)


def test_shallow_water_scales_as_froude_said() -> None:
    """With H held fixed only t and x together; with g and H scaling, length, time and depth."""
    symmetries = catalogue["shallow_water"].symmetries()
    assert same_span(rows(symmetries.scalings, "t x y h u v"), [[1, 1, 1, 0, 0, 0]])
    expected = [
        [1, 0, 0, 0, -1, -1, -2, 0],
        [0, 1, 1, 0, 1, 1, 2, 0],
        [0, 0, 0, 1, 0, 0, -1, 1],
    ]
    assert same_span(rows(symmetries.dimensional, "t x y h u v g H"), expected)
    deep = catalogue["shallow_water"].symmetries({"H": 0}).scalings
    assert same_span(rows(deep, "t x y h u v"), [[1, 1, 1, 0, 0, 0], [0, 1, 1, 2, 1, 1]])


def test_powers_roots_and_functions_have_the_weights_they_must() -> None:
    def weights(right: sp.Expr) -> list[dict[str, int]]:
        return [dict(s.weights) for s in PDE(sp.Eq(u.diff(t), right)).symmetries().scalings]

    # Porous medium, u_t = (u³)_xx: Barenblatt's two scalings.
    porous = PDE(sp.Eq(u.diff(t), (u**3).diff(x, 2))).symmetries().scalings
    assert same_span(rows(porous, "t x u"), [[-2, 0, 1], [2, 1, 0]])
    root = PDE(sp.Eq(u.diff(t), sp.sqrt(u) * u.diff(x))).symmetries().scalings
    assert same_span(rows(root, "t x u"), [[1, 1, 0], [-1, 0, 2]])
    assert weights(u.diff(x, 2) + sp.exp(u)) == []
    assert weights(u.diff(x) * sp.sin(u)) == [{"t": 1, "x": 1, "u": 0}]
    assert weights(u.diff(x) * sp.Function("c")(x)) == [{"t": 0, "x": 0, "u": 1}]
    absolute = PDE(sp.Eq(u.diff(t), sp.Abs(u) * u.diff(x))).symmetries().scalings
    assert same_span(rows(absolute, "t x u"), [[1, 1, 0], [-1, 0, 1]])
    assert weights(u.diff(x) / (1 + u**2)) == [{"t": 1, "x": 1, "u": 0}]
    assert weights(u.diff(x) * x / t) == [
        {"t": 1, "x": 0, "u": 0}, {"t": 0, "x": 1, "u": 0}, {"t": 0, "x": 0, "u": 1},
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["scalings", "dimensional"])
@pytest.mark.parametrize("name", mostly_deep(NAMES, FEW))
def test_what_an_equation_misses_scales_as_one_power(name: str, kind: str) -> None:
    """For any smooth function, the residual of the scaled function is λ^{c − a m} times that of
    the function, m the order in time: computed by SymPy from the equation as it was written."""
    pde = catalogue[name]
    coords = [t, *(sp.Symbol(a, real=True) for a in pde.axes)]
    found = getattr(known(name), kind)
    assert found or name == "gray_scott"
    at = [sp.Rational(k + 2, 5) for k in range(len(coords))]
    fields_of = sorted(
        {f for e in pde.equations for f in e.atoms(sp.Function) if is_field(f)}, key=str
    )
    # Three halves and powers of λ = 2 are exact, sines have 30 digits.
    shapes = {
        f: sp.Rational(3, 2) + sp.sin(sp.Add(*((k + n + 1) * c for n, c in enumerate(coords))) / 3)
        for k, f in enumerate(fields_of)
    }
    for scaling in found:
        w = {k: 2 ** sp.Integer(v) for k, v in scaling.weights.items()}
        back = {c: c / w[c.name] for c in coords}
        moved = {f: w[f.func.__name__] * s.xreplace(back) for f, s in shapes.items()}
        parameters = {p.name: sp.Rational(5 + n, 7) for n, p in enumerate(pde.parameters)}
        for equation in pde.equations:
            (field,) = (f for f in equation.lhs.atoms(sp.Function) if is_field(f))
            order = equation.lhs.derivative_count
            residuals = []
            for table, factor, place in (
                (shapes, dict.fromkeys(w, sp.S.One), at),
                (moved, w, [a * w[c.name] for a, c in zip(at, coords, strict=True)]),
            ):
                value = (equation.lhs - equation.rhs).subs(
                    {s: parameters[s.name] * factor.get(s.name, 1)
                     for s in equation.free_symbols if s.name in parameters}
                )  # fmt: skip
                value = value.subs(table).doit()
                residuals.append(value.subs(dict(zip(coords, place, strict=True))).evalf(30))
            power = w[field.func.__name__] / w["t"] ** order
            # 30 digits, a few lost to cancellation.
            assert abs(residuals[1] - power * residuals[0]) < 1e-20 * max(1, abs(residuals[1]))
            assert abs(residuals[0]) > 1e-4


@pytest.mark.parametrize("larger", [sp.Max, sp.Min])
def test_the_positive_part_scales_as_its_argument(larger: Callable[..., sp.Expr]) -> None:
    """max(λu, 0) = λ max(u, 0); max(u, 1) and max(u, u³) are not of one degree."""
    t, x = coordinates("t x")
    u = fields("u", (t, x))

    def found(source: sp.Expr) -> list[str]:
        return [str(s) for s in PDE(sp.Eq(u.diff(t), u.diff(x, 2) + source)).symmetries().scalings]

    assert found(larger(u, 0)) == ["(u) → (λ u)"]
    assert found(larger(0, 3 * u, -u)) == ["(u) → (λ u)"]
    assert found(larger(u, 1)) == found(larger(u, u**3, 0)) == []
