"""The signed permutations of the axes are a group, and their matrices represent it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pdenet.symmetry.equation.axis_maps import AxisMap, identity, lattice_group, subgroup


@pytest.mark.parametrize(("dimension", "count"), [(1, 2), (2, 8), (3, 48)])
def test_the_group_has_all_signed_permutations(dimension: int, count: int) -> None:
    group = lattice_group(dimension)
    assert len(set(group)) == count
    assert group[0] == identity(dimension)
    matrices = {tuple(g.matrix.ravel()) for g in group}
    expected = {
        tuple((np.eye(dimension, dtype=int)[list(p)] * np.array(s)[:, None]).ravel())
        for p in itertools.permutations(range(dimension))
        for s in itertools.product((1, -1), repeat=dimension)
    }
    assert matrices == expected


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_products_and_inverses_are_those_of_matrices(dimension: int) -> None:
    for g, h in itertools.product(lattice_group(dimension), repeat=2):
        np.testing.assert_array_equal((g @ h).matrix, g.matrix @ h.matrix)
    for g in lattice_group(dimension):
        assert (g @ g.inverse()).is_identity
        assert (g.inverse() @ g).is_identity
        power = np.linalg.matrix_power(g.matrix, g.order)
        np.testing.assert_array_equal(power, np.eye(dimension))


def test_time_is_reversed_by_odd_products() -> None:
    mirror = AxisMap((0,), (-1,), time=-1)
    assert (mirror @ mirror).is_identity
    assert mirror.inverse() == mirror
    assert (mirror @ AxisMap((0,), (1,))).time == -1


def test_a_quarter_turn_and_a_mirror_generate_the_square() -> None:
    quarter, mirror = AxisMap((1, 0), (-1, 1)), AxisMap((0, 1), (-1, 1))
    words = subgroup((quarter, mirror), 2)
    assert set(words) == set(lattice_group(2))
    for g, word in words.items():
        product = identity(2)
        for factor in word:
            product = product @ factor
        assert product == g


def test_names_say_what_is_done() -> None:
    """A quarter turn takes x to y, counter-clockwise with y upwards."""
    quarter = next(g for g in lattice_group(2) if g.name == "quarter turn")
    np.testing.assert_array_equal(quarter.matrix @ [1, 0], [0, 1])
    names = [g.name for g in lattice_group(2)]
    assert len(set(names)) == 8
