"""How turns and mirrors act on the components, found by solving, is what geometry says."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any  # formulas of a coefficient

import numpy as np
import pytest
import sympy as sp

from pdenet.equation.catalogue import catalogue
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import Coefficient, D, VectorField, coordinates, fields, indices
from pdenet.symmetry.equation import lattice
from pdenet.symmetry.equation.axis_maps import AxisMap, representation
from pdenet.symmetry.equation.lattice_action import LatticeSymmetry
from tests.symmetry.equation.known import FEW, known
from tests.tiers import mostly_deep

t, x, y = coordinates("t x y")
NAMES = list(catalogue)

# For each equation: scalars, and vectors (components in order), with −1 for pseudo-vectors, which a
# mirror turns the other way.
GEOMETRY: dict[str, list[tuple[str, int]]] = {
    "heat": [("u", 1)],
    "wave": [("u", 1), ("u_t", 1)],
    "wave_system": [("u", 1), ("v", 1)],
    "wave_first_order": [("p", 1), ("q r", 1)],
    "dilation": [("u", 1)],
    "gray_scott": [("u", 1), ("v", 1)],
    "burgers_2d": [("u v", 1)],
    "acoustics": [("p", 1), ("u v", 1)],
    "shallow_water": [("h", 1), ("u v", 1)],
    "maxwell_tm": [("Ez", 1), ("Hx Hy", -1)],
}


def expected(g: AxisMap, parts: list[tuple[str, int]]) -> np.ndarray:
    blocks = []
    for names, parity in parts:
        sign = round(np.linalg.det(g.matrix)) if parity < 0 else 1
        blocks.append(sign * (g.matrix if " " in names else np.eye(1, dtype=int)))
    size = sum(map(len, blocks))
    made = np.zeros((size, size), dtype=int)
    place = 0
    for block in blocks:
        made[place : place + len(block), place : place + len(block)] = block
        place += len(block)
    return made


def matrix(symmetry: LatticeSymmetry) -> np.ndarray:
    assert symmetry.matrix is not None
    return np.array(symmetry.matrix.tolist(), dtype=int)


@pytest.mark.parametrize("name", mostly_deep(GEOMETRY, FEW))
def test_all_eight_symmetries_turn_scalars_and_vectors_as_geometry_says(name: str) -> None:
    found = known(name).lattice
    assert len(found) == 8
    assert not found.broken
    for symmetry in found:
        np.testing.assert_array_equal(matrix(symmetry), expected(symmetry.map, GEOMETRY[name]))


def test_all_forty_eight_turn_the_velocity_of_sound() -> None:
    found = catalogue.build("acoustics", dimension=3).symmetries().lattice
    assert len(found) == 48
    for symmetry in found:
        made = matrix(symmetry)
        assert made[0, 0] == 1
        np.testing.assert_array_equal(made[1:, 1:], symmetry.map.matrix)


@pytest.mark.parametrize("form", ["advective", "divergence"])
def test_both_forms_of_shallow_water_have_the_same_symmetries(form: str) -> None:
    found = catalogue.build("shallow_water", form=form).symmetries().lattice
    for symmetry in found:
        np.testing.assert_array_equal(
            matrix(symmetry), expected(symmetry.map, GEOMETRY["shallow_water"])
        )
    assert len(found) == 8


def names(pde: PDE, values: dict[str, object] | None = None) -> list[str]:
    return [s.name for s in pde.symmetries(values).lattice]


def test_rotation_turns_and_has_no_mirror() -> None:
    turns = ["identity", "quarter turn", "half turn", "three-quarter turn"]
    found = catalogue["rotation"].symmetries().lattice
    assert [s.name for s in found] == turns
    assert len(found.broken) == 4
    assert all("omega x u_y" in b.reason for b in found.broken)


@pytest.mark.parametrize(
    ("values", "mirrors"),
    [
        ({}, []),
        ({"cx": 1, "cy": 0}, ["mirror y → −y"]),
        ({"cx": 1, "cy": 1}, ["mirror x ↔ y"]),
        ({"cx": 0.5, "cy": -0.5}, ["mirror x ↔ −y"]),
    ],
)
def test_advection_has_the_mirror_that_keeps_its_velocity(
    values: dict[str, object], mirrors: list[str]
) -> None:
    assert names(catalogue["advection"], values) == ["identity", *mirrors]


def test_a_wave_of_unequal_speeds_keeps_mirrors_only() -> None:
    (u,) = (sp.Function("u")(t, x, y),)
    pde = PDE(sp.Eq(u.diff(t, 2), u.diff(x, 2) + 4 * u.diff(y, 2)))
    assert names(pde) == ["identity", "half turn", "mirror x → −x", "mirror y → −y"]


@pytest.mark.parametrize("name", mostly_deep(NAMES, FEW))
def test_the_actions_are_a_representation(name: str) -> None:
    """M(g h) = M(g) M(h) for all pairs, with reversals of time; so M(1) = 1, M(g⁻¹) = M(g)⁻¹."""
    symmetries = known(name)
    every = {s.map: s for s in (*symmetries.lattice, *symmetries.reversals)}

    def signed(s: LatticeSymmetry) -> np.ndarray:
        if s.matrix is not None:
            return matrix(s)
        order = list(s.coefficients)
        made = np.zeros((len(order),) * 2, dtype=int)
        for a, (b, sign) in s.coefficients.items():
            made[order.index(a), order.index(b)] = sign
        return made

    for g, h in itertools.product(every, repeat=2):
        assert g @ h in every
        np.testing.assert_array_equal(signed(every[g @ h]), signed(every[g]) @ signed(every[h]))
    assert all(s.is_action for s in every.values())


REVERSALS = {
    "heat": 0, "wave": 8, "wave_first_order": 8, "rotation": 4, "advection": 1, "kdv": 1,
    "burgers_1d": 0, "gray_scott": 0, "shallow_water": 8, "maxwell_tm": 8, "dilation": 0,
}  # fmt: skip


@pytest.mark.parametrize("name", mostly_deep(REVERSALS, FEW))
def test_time_can_be_reversed_where_nothing_is_lost(name: str) -> None:
    found, kept = known(name).reversals, known(name).lattice
    assert len(found) == REVERSALS[name]
    assert len(found) + len(found.broken) == len(kept) + len(kept.broken)


def test_a_coefficient_odd_in_time_is_reversed_with_it() -> None:
    """u_t = t u_xx: v(t) = u(−t) solves it again; with 1 + t it does not."""
    u = fields("u", (t, x))
    odd = PDE(sp.Eq(u.diff(t), t * u.diff(x, 2))).symmetries()
    assert [s.name for s in odd.reversals] == ["t → −t", "t → −t with mirror x → −x"]
    assert len(PDE(sp.Eq(u.diff(t), (1 + t) * u.diff(x, 2))).symmetries().reversals) == 0


def test_a_representation_is_chosen_among_the_actions() -> None:
    mirror = AxisMap((0,), (-1,))
    choices = [sp.Matrix([[2]]), sp.Matrix([[-1]])]
    made, is_representation = representation({mirror: choices}, 1, 1)
    assert is_representation
    assert made[mirror] == sp.Matrix([[-1]])
    made, is_representation = representation({mirror: choices[:1]}, 1, 1)
    assert not is_representation
    assert made[mirror] == sp.Matrix([[2]])


def test_reversals_do_what_physics_says() -> None:
    assert str(catalogue["wave"].symmetries().reversals[0]) == "t → −t: u_t → −u_t"
    assert str(catalogue["maxwell_tm"].symmetries().reversals[0]) == (
        "t → −t: Hx → −Hx, Hy → −Hy"  # a magnetic field turns round
    )
    assert str(catalogue["kdv"].symmetries().reversals) == (
        "t → −t with mirror x → −x\nnot t → −t: -u_xxx in u_t becomes u_xxx"
    )


@pytest.mark.parametrize("change", [[[1, 2], [0, 1]], [[1, 1], [1, 2]], [[3, 1], [1, 1]]])
def test_a_skew_basis_of_components_is_found_all_the_same(change: list[list[int]]) -> None:
    """(a, b) = S (u, v) of u_t = v_x, v_t = u_x, so w_t = A w_x with A = S J S⁻¹: a mirror is any
    involution that anticommutes with A."""
    a, b = fields("a b", (t, x))
    skew = sp.Matrix(change)
    speeds = skew * sp.Matrix([[0, 1], [1, 0]]) * skew.inv()
    right = speeds * sp.Matrix([a.diff(x), b.diff(x)])
    pde = PDE(sp.Eq(a.diff(t), right[0]), sp.Eq(b.diff(t), right[1]))
    (one, mirror) = pde.symmetries().lattice
    assert mirror.is_action
    assert not mirror.is_signed_permutation
    assert mirror.matrix is not None
    assert mirror.matrix * mirror.matrix == sp.eye(2)
    assert mirror.matrix * speeds == -speeds * mirror.matrix
    assert one.matrix == sp.eye(2)


def test_waves_in_a_skew_basis_turn_by_the_conjugate_matrices() -> None:
    """w = S (p, q, r): only multiples of 1 commute, so M(g) is S M₀(g) S⁻¹ up to a sign."""
    a, b, c = fields("a b c", (t, x, y))
    skew = sp.Matrix([[1, 2, 0], [3, 1, 1], [1, 1, 2]])
    matrices = [[[0, 1, 0], [1, 0, 0], [0, 0, 0]], [[0, 0, 1], [0, 0, 0], [1, 0, 0]]]
    total = sp.zeros(3, 1)
    for axis, m in zip((x, y), matrices, strict=True):
        total += skew * sp.Matrix(m) * skew.inv() * sp.Matrix([f.diff(axis) for f in (a, b, c)])
    pde = PDE(*(sp.Eq(f.diff(t), r) for f, r in zip((a, b, c), total, strict=True)))
    found = pde.symmetries().lattice
    assert len(found) == 8
    for one, plain in zip(found, known("wave_first_order").lattice, strict=True):
        conjugate = skew * sp.Matrix(plain.matrix) * skew.inv()
        assert one.is_action
        assert one.matrix in (conjugate, -conjugate)


def test_functions_of_the_field_must_be_odd_for_a_change_of_sign() -> None:
    """u_t + f(u) u_x: the mirror needs u → −u, hence an odd f."""
    u = fields("u", (t, x))
    for f, mirrors in ((sp.sin(u), 1), (sp.exp(u), 0), (u**3, 1), (u**2, 0), (sp.tanh(u), 1)):
        assert len(names(PDE(sp.Eq(u.diff(t), -f * u.diff(x))))) == 1 + mirrors, f


def test_a_coefficient_function_breaks_what_moves_its_argument_until_it_is_given() -> None:
    u, c = fields("u", (t, x, y)), sp.Function("c")(x)
    pde = PDE(sp.Eq(u.diff(t), c * (u.diff(x, 2) + u.diff(y, 2))))
    assert names(pde) == ["identity", "mirror y → −y"]
    broken = pde.symmetries().lattice.broken
    assert all("c(x)" in b.reason for b in broken)
    assert names(pde, {"c": 1 + x**2}) == [
        "identity", "half turn", "mirror x → −x", "mirror y → −y",
    ]  # fmt: skip


def test_sources_are_part_of_the_equation() -> None:
    u = fields("u", (t, x))
    heat = u.diff(x, 2)
    assert len(names(PDE(sp.Eq(u.diff(t), heat + sp.cos(x))))) == 2
    (_, mirror) = PDE(sp.Eq(u.diff(t), heat + sp.sin(x))).symmetries().lattice
    assert mirror.action() == "u → −u"
    assert len(names(PDE(sp.Eq(u.diff(t), heat + sp.exp(x))))) == 1


@pytest.mark.parametrize(
    ("name", "quarter", "mirror"),
    [
        ("eq2", "A → −B, B → A", "A → −A"),
        ("eq3", "A → −B, B → A, C → D, D → C", "A → −A"),
        ("eq5", "Cx → −Cy, Cy → Cx", "Cx → −Cx"),
        ("eq7", "Ax → −Ay, Ay → Ax", "Ax → −Ax"),
        ("eq9", "A → −B, B → A", "A → −A"),
    ],
)
def test_families_exchange_their_coefficients(name: str, quarter: str, mirror: str) -> None:
    """By the chain rule: v(X) = u(g⁻¹X) has ∂_x v = −∂_y u, ∂_y v = ∂_x u for a quarter turn."""
    found = {s.name: s for s in catalogue[name].symmetries().lattice}
    assert len(found) == 8
    assert found["quarter turn"].action() == quarter
    assert found["mirror x → −x"].action() == mirror


def test_a_family_with_one_matrix_for_two_directions_loses_mirrors() -> None:
    import pdenet as pn

    n = sp.Symbol("n", integer=True, positive=True)
    i, j = pn.indices("i j")
    u, a = pn.VectorField("u", n, (t, x, y)), pn.Coefficient("A", (n, n))
    pde = pn.PDE(sp.Eq(u[i].diff(t), a[i, j] * (u[j].diff(x) + u[j].diff(y))))
    found = pde.symmetries().lattice
    # −A serves for the half turn and the mirror that reverses both directions.
    assert [s.name for s in found] == ["identity", "half turn", "mirror x ↔ y", "mirror x ↔ −y"]
    assert all("no renaming of coefficients" in b.reason for b in found.broken)


def test_an_open_coefficient_under_a_flux_is_no_obstacle() -> None:
    """Its derivative c_x stands in F; only t → −t leaves c alone, and diffusion forbids it."""
    u, c = fields("u", (t, x, y)), sp.Function("c")(x, y)
    pde = PDE(sp.Eq(u.diff(t), D(c * u.diff(x), x) + D(c * u.diff(y), y)))
    found = pde.symmetries()
    assert [s.name for s in found.lattice] == ["identity"]
    assert all("c(x, y)" in b.reason for b in found.lattice.broken)
    radial = pde.symmetries({"c": 1 + x**2 + y**2})
    assert len(radial.lattice) == 8
    assert "−y ∂x + x ∂y" in map(str, radial.generators)


def test_a_system_of_four_numeric_components_keeps_the_mirror_it_was_given() -> None:
    """Eq. (3) has no linear part to narrow 384 candidates down; A = B, C = D exchange x and y."""
    rng = np.random.default_rng(4)
    outer, inner = (rng.integers(-2, 3, (4, 4)) for _ in range(2))
    values = {"A": outer, "B": outer, "C": inner, "D": inner}
    found = catalogue["eq3"].symmetries(values).lattice
    assert [s.name for s in found] == ["identity", "half turn", "mirror x ↔ y", "mirror x ↔ −y"]
    assert [s.matrix for s in found] == [sp.eye(4), -sp.eye(4), sp.eye(4), -sp.eye(4)]


BUMP = sp.exp(-(x**2) - y**2)


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize(
    "form", [lambda b: b, lambda b: 1 / (1 + b) ** 2, lambda b: sp.sqrt(1 + b)]
)
def test_a_round_bump_turns_and_mirrors_with_the_grid(
    form: Callable[..., Any], given: bool
) -> None:
    """exp(−x² − y²), and any function of it, is the same in all eight positions."""
    u = fields("u", (t, x, y))
    c = sp.Function("c")(x, y)
    source = form(BUMP)
    heat = u.diff(x, 2) + u.diff(y, 2)
    pde = PDE(sp.Eq(u.diff(t), heat + (c if given else source)))
    found = pde.symmetries({"c": source} if given else {})
    assert len(found.lattice) == 8
    assert len(found.reversals) == 0
    # Moved off the origin along x, it keeps the mirror of y alone.
    off = form(sp.exp(-((x - 1) ** 2) - y**2))
    moved = PDE(sp.Eq(u.diff(t), heat + off)).symmetries()
    assert [g.name for g in moved.lattice] == ["identity", "mirror y → −y"]


def test_a_turn_that_rests_on_sines_and_cosines_is_found() -> None:
    """cos² x − sin² y = cos² y − sin² x, as both are cos² x + cos² y − 1."""
    u = fields("u", (t, x, y))
    c = sp.Function("c")(x, y)
    pde = PDE(sp.Eq(u.diff(t), c * (u.diff(x, 2) + u.diff(y, 2))))
    assert len(pde.symmetries({c: 2 + sp.cos(x) ** 2 - sp.sin(y) ** 2}).lattice) == 8
    assert len(pde.symmetries({c: 2 + sp.cos(x) ** 2 + sp.sin(y) ** 2}).lattice) == 4


def open_matrices() -> tuple[Any, ...]:
    n = sp.Symbol("n", integer=True, positive=True)
    made = (Coefficient(name, (n, n)) for name in "AB")
    return VectorField("u", n, (t, x, y)), *indices("i j k"), *made


def test_the_identity_acts_even_where_the_others_do_only_up_to_signs() -> None:
    """The half turn needs one sign of A or B, which x ↔ y exchanges: they do not commute."""
    u, i, j, k, a, b = open_matrices()
    one = sp.Eq(u[i].diff(t), a[i, j] * b[j, k] * D(u[k], x) + b[i, j] * a[j, k] * D(u[k], y))
    identity, *others = PDE(one).symmetries().lattice
    assert str(identity) == "identity"
    assert [g.name for g in others] == ["half turn", "mirror x ↔ y", "mirror x ↔ −y"]
    assert not any(g.is_action for g in others)


def test_a_turn_that_needs_a_transpose_is_said_to_lack_a_renaming() -> None:
    u, i, j, _, a, _ = open_matrices()
    one = sp.Eq(u[i].diff(t), a[i, j] * D(u[j], x) + a[j, i] * D(u[j], y))
    reasons = {b.name: b.reason for b in PDE(one).symmetries().lattice.broken}
    assert reasons["mirror x ↔ y"].endswith("and no renaming of coefficients helps")


def test_a_search_that_is_cut_short_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """With m² = −m from u u_x and m² = m from u² the mirror fails for each of the 8 matrices."""
    time, along = coordinates("t x")
    both = fields("u v", (time, along))
    pde = PDE(*(sp.Eq(f.diff(time), f * f.diff(along) + f**2) for f in both))
    (fault,) = pde.symmetries().lattice.broken
    assert "undecided" not in fault.reason
    monkeypatch.setattr(lattice, "MAX_TRIALS", 7)
    (fault,) = pde.symmetries().lattice.broken
    assert fault.reason == "undecided: no action among the first 7 signed permutations"
