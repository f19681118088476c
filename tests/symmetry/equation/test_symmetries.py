"""The one object: its door, its text, its values and its errors."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp

import pdenet as pn
from pdenet.equation.catalogue import catalogue
from pdenet.errors import SymmetryError
from pdenet.symmetry.equation.jets import Jet
from pdenet.symmetry.equation.writing import jet_system
from tests.symmetry.equation.known import FEW, known
from tests.tiers import mostly_deep

t, x, y = pn.coordinates("t x y")


def test_all_is_printed_with_reasons() -> None:
    text = str(catalogue["rotation"].symmetries())
    for part in (
        "turns and mirrors of the grid",
        "  quarter turn",
        "  not mirror x → −x: omega x u_y in u_t becomes -omega x u_y",
        "  t → −t with mirror x → −x",
        "  not translation in x: omega x u_y in u_t holds x",
        "  (x, y) → (λ x, λ y)",
        "  (t, omega) → (λ t, λ⁻¹ omega)",
        "  −y ∂x + x ∂y  (rotation of (x, y))",
    ):
        assert part in text, part


@pytest.mark.parametrize("name", mostly_deep(list(catalogue), FEW))
def test_every_equation_of_the_catalogue_prints(name: str) -> None:
    symmetries = known(name)
    text = str(symmetries)
    assert "identity" in text
    assert symmetries.lattice is symmetries.lattice  # computed once
    assert all(len(line) < 400 for line in text.splitlines())


def test_a_family_has_its_group_instead() -> None:
    symmetries = catalogue["eq3"].symmetries()
    assert symmetries.is_family
    assert str(symmetries.family) in "\n".join(
        line.removeprefix("  ") for line in str(symmetries).splitlines()
    )
    assert [s.name for s in symmetries.translations] == [
        "translation in t", "translation in x", "translation in y",
    ]  # fmt: skip
    for part in ("generators", "scalings", "internal", "dimensional"):
        with pytest.raises(SymmetryError, match="A, B, C, D, n left open"):
            getattr(symmetries, part)


def test_a_family_with_values_is_one_system() -> None:
    """Eq. (9) with the matrices of the wave equation is `wave_first_order` with c = 1."""
    a = [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    b = [[0, 0, 1], [0, 0, 0], [1, 0, 0]]
    ours = catalogue["eq9"].symmetries({"A": a, "B": np.array(b)})
    named = catalogue["wave_first_order"].symmetries({"c": 1})
    assert len(ours.generators) == len(named.generators)
    for one, other in zip(ours.lattice, named.lattice, strict=True):
        assert one.matrix == other.matrix
    assert ours.internal.dimension == named.internal.dimension


def test_the_system_written_out_is_what_indices_mean() -> None:
    """Eq. (7), its flux carried out by the product rule, against sums over explicit indices."""
    rng = np.random.default_rng(1)
    values = {
        "Ax": rng.integers(-3, 4, (2, 6)), "Ay": rng.integers(-3, 4, (2, 6)),
        "C": rng.integers(-3, 4, (6, 2)), "D": rng.integers(-3, 4, (6, 2)),
    }  # fmt: skip
    jets = jet_system(catalogue["eq7"].system, values)
    u = sp.Matrix([jets.jet(k, (0, 0)) for k in range(2)])
    slopes = [sp.Matrix([jets.jet(k, o) for k in range(2)]) for o in ((1, 0), (0, 1))]
    c, d = sp.Matrix(values["C"]), sp.Matrix(values["D"])
    total = sp.zeros(2, 1)
    for name, slope in zip(("Ax", "Ay"), slopes, strict=True):
        flux = sp.Matrix(
            [(c * slope)[j] * (d * u)[j] + (c * u)[j] * (d * slope)[j] for j in range(6)]
        )
        total += sp.Matrix(values[name]) * flux
    for ours, theirs in zip(jets.right_sides, total, strict=True):
        assert sp.expand(ours - theirs) == 0


def test_decimals_are_the_rationals_they_are_written_as() -> None:
    for value in (0.1, Fraction(1, 10), sp.Rational(1, 10), sp.Float("0.1"), np.float64(0.1)):
        jets = jet_system(catalogue["burgers_1d"].system, {"nu": value})
        (number,) = jets.right_sides[0].atoms(sp.Rational) - {sp.S.NegativeOne}
        assert number == sp.Rational(1, 10)


def test_two_ways_to_write_a_fraction_are_one_equation() -> None:
    u, a = sp.Function("u")(t, x), sp.Symbol("a")
    whole = (u + a + 1 / (u + a)) * u.diff(x)
    over_one = ((u + a) ** 2 + 1) / (u + a) * u.diff(x)
    doubled = (2 * (u + a) ** 2 + 2) / (2 * u + 2 * a) * u.diff(x)
    first, *others = (
        jet_system(pn.PDE(sp.Eq(u.diff(t), right)).system).right_sides
        for right in (whole, over_one, doubled)
    )
    assert others == [first, first]
    # What is polynomial stands apart, so that reasons name terms of the equation.
    jets = jet_system(pn.PDE(sp.Eq(u.diff(t), whole)).system)
    assert jets.jet(0, (0,)) * jets.jet(0, (1,)) in jets.right_sides[0].args


def test_a_parameter_may_share_a_name_with_a_derivative() -> None:
    u, p = sp.Function("u")(t, x), sp.Symbol("u_x")
    jets = jet_system(pn.PDE(sp.Eq(u.diff(t), p * u.diff(x))).system)
    (jet,) = jets.jets_in(jets.right_sides[0])
    assert isinstance(jet, Jet)
    assert jets.right_sides[0] == jet * sp.Symbol("u_x", real=True)
    assert len(jets.right_sides[0].free_symbols) == 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"E": 1}, r"the parameters are D; got a value for 'E'"),
        ({"D": "1"}, r"finite number or an expression; got '1' \(str\)"),
        ({"D": True}, r"finite number or an expression"),
        ({"D": float("nan")}, r"finite number or an expression"),
        ({"D": np.ones((3, 3))}, r"an array over the grid has no formula"),
        ({"D": sp.Symbol("x")}, r"may hold D; got x"),
    ],
)
def test_bad_values_are_told(values: dict[str, object], message: str) -> None:
    with pytest.raises(SymmetryError, match=message):
        _ = catalogue["heat"].symmetries(values).generators


def test_tensors_of_a_wrong_shape_are_told() -> None:
    with pytest.raises(SymmetryError, match="has 2 indices; got an array of shape"):
        _ = catalogue["eq9"].symmetries({"A": [1, 2], "B": [[1]]}).generators
    with pytest.raises(SymmetryError, match="at most 50000 entries"):
        _ = catalogue["eq2"].symmetries(dict.fromkeys("AB", np.ones((50,) * 3))).generators
    wide = np.ones((100, 100))
    with pytest.raises(SymmetryError, match="at most 50000 products"):
        _ = catalogue["eq3"].symmetries(dict.fromkeys("ABCD", wide)).generators
    with pytest.raises(SymmetryError, match=r"'B' has the shape \(2, 2\), .*; got \(3, 3\)"):
        _ = catalogue["eq9"].symmetries({"A": np.eye(2), "B": np.eye(3)}).generators


def test_a_family_takes_all_values_or_none() -> None:
    with pytest.raises(SymmetryError, match="got A and not B; give those too, or none"):
        catalogue["eq9"].symmetries({"A": np.eye(2)})
    assert catalogue["eq9"].symmetries({"n": 3}).is_family


@pytest.mark.parametrize("name", ["eq2", "eq3", "eq9"])
def test_bad_values_of_a_family_are_told_as_those_of_one_system(name: str) -> None:
    pde = catalogue[name]
    with pytest.raises(SymmetryError, match=r"the parameters are .*; got a value for 'Z'"):
        pde.symmetries({"Z": 1})
    for size in (0, -1, 2.5, sp.Rational(1, 2)):
        with pytest.raises(SymmetryError, match=f"n is a positive integer.*; got {size}; give"):
            pde.symmetries({"n": size})
    with pytest.raises(SymmetryError, match=r"'A' has at least one entry; got .*shape \(0, 0"):
        pde.symmetries({"A": np.ones((0,) * len(pde.system.parameter("A").shape))})


def test_symmetries_of_an_equation_load_no_torch() -> None:
    code = (
        "import sys, pdenet; s = pdenet.catalogue['kdv'].symmetries(); str(s);"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_the_public_names_are_there() -> None:
    for name in ("Symmetries", "Generator", "Scaling", "AxisMap", "Check"):
        assert getattr(pn.symmetry, name).__name__ == name
    assert type(catalogue["kdv"].symmetries()).__name__ == "Symmetries"
