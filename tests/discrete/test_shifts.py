"""Laws of the order of sums: every term once, turned pictures give bitwise turned results."""

import itertools
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import torch

from pdenet.discrete.shifts import Offset, Sum, Tree
from pdenet.discrete.stencils import (
    Stencil,
    apply,
    central,
    identity,
    laplacian5,
    laplacian9,
    mixed,
    neighbour_mean,
    one_sided,
    staggered,
)
from tests.discrete.stencil_table import EVERY, PLANES, SPACES


def leaves(tree: Tree, sign: int = 1) -> dict[Offset, int]:
    if not isinstance(tree, Sum):
        return {tree: sign}
    return leaves(tree.left, sign) | leaves(tree.right, sign * tree.sign)


@pytest.mark.parametrize("name", EVERY)
def test_the_plan_holds_every_term_once_with_its_weight(name: str) -> None:
    stencil = EVERY[name]
    plan = stencil.plan()
    terms = [
        (offset, Fraction(weight * sign, plan.denominator))
        for weight, tree in plan.groups
        for offset, sign in leaves(tree).items()
    ]
    assert sorted(terms) == list(zip(stencil.offsets, stencil.weights, strict=True))


def test_the_five_point_laplacian_is_added_in_opposite_pairs() -> None:
    (centre, _), (_, tree) = laplacian5().plan().groups
    assert centre == -4
    assert tree == Sum(Sum((1, 0), (-1, 0), 1), Sum((0, 1), (0, -1), 1), 1)


@pytest.mark.parametrize("stencil", [central(4, 6), one_sided(3, 4), staggered(1, 4)], ids=str)
def test_apply_asks_for_each_shift_once(stencil: Stencil) -> None:
    asked: list[Offset] = []

    def shifted(offset: Offset) -> float:
        asked.append(offset)
        return 1.0

    apply(stencil, shifted)
    assert sorted(asked) == list(stencil.offsets)


def rolled(u: np.ndarray) -> Callable[[Offset], np.ndarray]:
    """u[node + offset] on a periodic grid."""
    axes = tuple(range(u.ndim))
    return lambda offset: np.roll(u, [-step for step in reversed(offset)], axes)


Symmetry = tuple[tuple[int, ...], tuple[int, ...]]


def turned(stencil: Stencil, symmetry: Symmetry) -> Stencil:
    """The stencil seen in the turned picture: axis a becomes axis p[a], with the sign s[a]."""
    permutation, signs = symmetry

    def turn(values: tuple[int, ...], factors: tuple[int, ...]) -> tuple[int, ...]:
        result = [0] * len(values)
        for axis, (value, factor) in enumerate(zip(values, factors, strict=True)):
            result[permutation[axis]] = factor * value
        return tuple(result)

    ones = (1,) * stencil.dimension
    terms = sorted(
        (turn(o, signs), w) for o, w in zip(stencil.offsets, stencil.weights, strict=True)
    )
    return Stencil(
        turn(stencil.derivative, ones),
        tuple(o for o, _ in terms),
        tuple(w for _, w in terms),
        stencil.accuracy,
        stencil.equal_spacing,
    )


def turned_array(u: np.ndarray, symmetry: Symmetry) -> np.ndarray:
    """The picture turned: axes of arrays count from the last, coordinates from the first."""
    permutation, signs = symmetry
    d = u.ndim
    flipped = np.flip(u, tuple(d - 1 - a for a in range(d) if signs[a] == -1))
    order = [0] * d
    for axis, target in enumerate(permutation):
        order[d - 1 - target] = d - 1 - axis
    return flipped.transpose(order)


SQUARE = [(p, s) for p in ((0, 1), (1, 0)) for s in itertools.product((1, -1), repeat=2)]
CUBE = [(p, s) for p in ((0, 1, 2), (1, 0, 2)) for s in itertools.product((1, -1), repeat=3)]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", PLANES | SPACES)
def test_turned_pictures_give_bitwise_turned_results(name: str, dtype: type[np.floating]) -> None:
    """All eight symmetries of the square; of the cube, the mirrors and the swap of x and y."""
    stencil = EVERY[name]
    rng = np.random.default_rng(7)
    size = 11 if stencil.dimension == 2 else 7
    u = rng.normal(size=(size,) * stencil.dimension).astype(dtype)
    scale = 1 / 0.3
    straight = apply(stencil, rolled(u), scale)
    assert straight.dtype == dtype
    for symmetry in SQUARE if stencil.dimension == 2 else CUBE:
        there = apply(turned(stencil, symmetry), rolled(turned_array(u, symmetry)), scale)
        np.testing.assert_array_equal(there, turned_array(straight, symmetry))


def test_symmetric_stencils_are_their_own_turned_stencils() -> None:
    for stencil in (laplacian5(), laplacian9(), neighbour_mean(2), identity(2), mixed((2, 2), 4)):
        for symmetry in SQUARE:
            same = turned(stencil, symmetry)
            assert (same.offsets, same.weights) == (stencil.offsets, stencil.weights)


@pytest.mark.parametrize("name", PLANES)
def test_numpy_and_torch_agree_bitwise_and_keep_the_type(name: str) -> None:
    """The same sums in the same order; nothing is fused in a single + or ·."""
    stencil = PLANES[name]
    u = np.random.default_rng(8).normal(size=(12, 12)).astype(np.float32)
    tensor = torch.tensor(u)

    def shifted(offset: Offset) -> torch.Tensor:
        return torch.roll(tensor, [-step for step in reversed(offset)], (0, 1))

    value = apply(stencil, shifted, 1 / 0.3)
    assert value.dtype == torch.float32
    np.testing.assert_array_equal(value.numpy(), apply(stencil, rolled(u), 1 / 0.3))


@pytest.mark.parametrize("name", [n for n, s in PLANES.items() if any(s.derivative)])
def test_constants_have_derivative_exactly_zero(name: str) -> None:
    """Weights are integers until the end, and small multiples of 1 are exact."""
    assert not apply(PLANES[name], rolled(np.ones((12, 12))), 1 / 0.3).any()
