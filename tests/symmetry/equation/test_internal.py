"""Internal symmetries are the commutants of matrices, the rotations, the scalars they must be."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from pdenet.equation.catalogue import catalogue
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import coordinates, fields
from pdenet.errors import SymmetryError
from pdenet.symmetry.equation.writing import is_family
from tests.symmetry.equation.known import FEW, known
from tests.tiers import mostly_deep

t, x, y = coordinates("t x y")
u, v, w = fields("u v w", (t, x))


def system(*rights: sp.Expr) -> PDE:
    return PDE(*(sp.Eq(f.diff(t), r) for f, r in zip((u, v, w), rights, strict=False)))


def test_equal_diffusion_lets_all_components_mix() -> None:
    found = system(u.diff(x, 2), v.diff(x, 2)).symmetries().internal
    assert (found.dimension, found.name) == (4, "gl(2): all matrices")


def test_unequal_diffusion_lets_none_mix() -> None:
    found = system(u.diff(x, 2), 2 * v.diff(x, 2)).symmetries().internal
    assert found.name == "diagonal: 2 numbers for 2 components"


def test_two_equal_of_three_make_blocks() -> None:
    a = sp.Symbol("a")
    found = system(a * u.diff(x), v.diff(x, 2), a * w.diff(x)).symmetries().internal
    assert found.name == "block diagonal: gl(2) ⊕ gl(1)"


def test_schroedinger_has_the_phase_and_the_amplitude() -> None:
    """ψ = u + iv, iψ_t = −ψ_xx: multiplication by any complex number."""
    found = system(-v.diff(x, 2), u.diff(x, 2)).symmetries().internal
    assert found.name == "scalars and so(2): one number, and rotations of the components"


def test_a_reaction_of_the_modulus_leaves_the_rotation_only() -> None:
    """Landau: u_t = Δu + (1 − |u|²) u."""
    damp = 1 - u**2 - v**2
    found = system(u.diff(x, 2) + damp * u, v.diff(x, 2) + damp * v).symmetries().internal
    assert found.name == "so(2): rotations of the components"
    (one,) = found
    assert one.matrix in (sp.Matrix([[0, 1], [-1, 0]]), sp.Matrix([[0, -1], [1, 0]]))


def test_three_components_of_unit_length_turn_as_so3() -> None:
    damp = 1 - u**2 - v**2 - w**2
    found = system(*(f.diff(x, 2) + damp * f for f in (u, v, w))).symmetries().internal
    assert found.name == "so(3): rotations of the components"
    assert found.is_closed


@pytest.mark.parametrize(
    "name", mostly_deep([n for n in catalogue if not is_family(catalogue[n].system)], FEW)
)
def test_internal_symmetries_are_closed_and_linear_equations_have_their_amplitude(
    name: str,
) -> None:
    found = known(name).internal
    assert found.is_closed
    if catalogue[name].analysis.kind == "linear":
        count = len(found.components)
        basis = sp.Matrix([list(e.matrix) for e in found])
        assert basis.col_join(sp.Matrix([list(sp.eye(count))])).rank() == found.dimension


small = st.integers(-2, 2)


@given(st.lists(small, min_size=18, max_size=18))
def test_a_linear_system_has_the_commutant_of_its_matrices(entries: list[int]) -> None:
    """dim {X : XA = AX, XB = BX} from NumPy's singular values of the Kronecker form."""
    a, b = np.array(entries[:9]).reshape(3, 3), np.array(entries[9:]).reshape(3, 3)
    found = catalogue["eq9"].symmetries({"A": a, "B": b}).internal
    one = np.eye(3)
    stacked = np.vstack([np.kron(one, m) - np.kron(m.T, one) for m in (a, b)])
    # Integers up to 4: singular values are 0 to 1e-14, or above 1e-3.
    assert found.dimension == 9 - np.linalg.matrix_rank(stacked, tol=1e-7)
    assert found.is_closed


def test_a_family_says_what_is_open() -> None:
    with pytest.raises(SymmetryError, match=r"A, B, n left open; give values="):
        _ = catalogue["eq9"].symmetries().internal
