"""Groups of matrices: closed under products and inverses, ordered, exact in what they refuse."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pdenet.errors import SymmetryError
from pdenet.symmetry.groups import SCALES, SHAPES, Group, monomial_parts

GROUPS = sorted(
    {
        Group(shape, scales, common)
        for shape, scales, common in itertools.product(SHAPES, SCALES, (False, True))
    },
    key=str,
)
N = 6


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_elements_form_a_group(group: Group) -> None:
    """Identity, products and inverses are elements, by the group's own judgement."""
    rng = np.random.default_rng(0)
    one, two = group.random(N, rng, 8.0), group.random(N, rng, 8.0)
    for matrix in (np.eye(N), one, two, one @ two, np.linalg.inv(one)):
        assert group.fault(matrix) == ""


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_elements_have_the_condition_that_was_asked_for(group: Group) -> None:
    condition = np.linalg.cond(group.random(N, np.random.default_rng(1), 50.0))
    is_free = group.shape == "general" or group.scales in ("any", "positive")
    # An SVD of a matrix of condition 50 rounds to 1e-14.
    assert condition == pytest.approx(50.0 if is_free else 1.0, rel=1e-10)
    with pytest.raises(SymmetryError, match="at least 1"):
        group.random(N, np.random.default_rng(1), 0.5)


@pytest.mark.parametrize("one", GROUPS, ids=str)
def test_an_intersection_holds_what_both_hold_and_no_more(one: Group) -> None:
    for other in GROUPS:
        both = one & other
        assert both == other & one
        assert both <= one
        assert both <= other
        element = both.random(N, np.random.default_rng(2), 8.0)
        assert one.fault(element) == other.fault(element) == ""
        # An element of one that is in the other is in both.
        for seed in range(3):
            drawn = one.random(N, np.random.default_rng(seed), 8.0)
            assert (other.fault(drawn) == "") == (both.fault(drawn) == "")


def test_a_smaller_group_has_no_other_elements() -> None:
    for one, other in itertools.product(GROUPS, GROUPS):
        if one <= other:
            for seed in range(4):
                assert other.fault(one.random(N, np.random.default_rng(seed), 8.0)) == ""


def test_generalised_permutations_are_read_off_and_others_are_not() -> None:
    rng = np.random.default_rng(3)
    matrix = Group("monomial").random(N, rng, 5.0)
    parts = monomial_parts(matrix)
    assert parts is not None
    order, numbers = parts
    v = rng.standard_normal(N)
    u = np.zeros(N)
    u[order] = numbers * v
    np.testing.assert_array_equal(u, matrix @ v)
    assert monomial_parts(Group().random(N, rng)) is None


def test_faults_carry_the_number_that_decides() -> None:
    shear = np.eye(3)
    shear[0, 1] = 1e-3
    # ‖PᵀP − I‖² = 2·1e-6 + 1e-12.
    assert "‖PᵀP − I‖ = 0.00141" in Group("orthogonal", common=False).fault(shear)
    assert "besides one in each there is 0.001" in Group("monomial").fault(shear)
    assert "one is -2" in Group("monomial", "positive").fault(np.diag([1.0, -2.0, 3.0]))
    assert "moves 2 components" in Group("diagonal").fault(np.eye(3)[[1, 0, 2]])
    assert Group().fault(shear) == ""
    assert Group("orthogonal").fault(3 * np.eye(3)) == ""
    assert "‖PᵀP/c² − I‖" in Group("orthogonal").fault(np.diag([1.0, 1.0, 2.0]))


def test_names_are_those_of_the_field() -> None:
    assert Group().name(8) == "GL(8)"
    assert Group("orthogonal", common=False).name(8) == "O(8)"
    assert str(Group("monomial", "signs", common=False)) == "signed permutations of n components"
    assert Group("diagonal", "one", common=False).name(4) == "the identity alone"
    assert "times one positive number" in Group("monomial", "one", common=True).name(4)
    with pytest.raises(SymmetryError, match="3 equal blocks"):
        Group(blocks=3).random(8, np.random.default_rng(0))
    with pytest.raises(SymmetryError, match="blocks of one number"):
        Group(blocks=3) & Group(blocks=2)
