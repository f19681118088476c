"""A kernel is the sum of stencils that it says it is, and a stencil is itself."""

from __future__ import annotations

import itertools
from typing import Any  # hypothesis's draw

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pdenet.discrete import stencils
from pdenet.discrete.stencils import MAX_ORDER, Stencil
from pdenet.discrete.structure import Kernel
from pdenet.network.readback.expansion import Expansion, expand_kernel
from tests.tiers import Each, both_tiers

EPS = {"float32": 2.0**-23, "float64": 2.0**-52}
SPACING = (0.5, 0.5, 0.5)


def nodal(*radius: int) -> Kernel:
    return Kernel(
        "k", (1,) * len(radius), tuple(-r for r in radius), tuple(2 * r + 1 for r in radius)
    )


def at_face(half_width: int, *radius: int) -> Kernel:
    """Across the face i + ½ along x."""
    first = (1 - half_width, *(-r for r in radius))
    shape = (2 * half_width, *(2 * r + 1 for r in radius))
    return Kernel("k_face", (1,) + (0,) * len(radius), first, shape)


def placed(stencil: Stencil, kernel: Kernel) -> np.ndarray:
    """A stencil's weights on a support, offset by offset."""
    made = np.zeros(kernel.shape[::-1])
    for offset, weight in zip(stencil.offsets, stencil.weights, strict=True):
        made[tuple(k - f for k, f in zip(offset, kernel.first, strict=True))[::-1]] = weight
    return made


def on_polynomial(
    weights: np.ndarray, kernel: Kernel, powers: tuple[int, ...], centre: tuple[float, ...]
) -> float:
    """What a kernel makes of Π (k_a − c_a)^p_a at the node: Σ weights · values, by loops."""
    total = 0.0
    for place in np.ndindex(weights.shape):
        value = 1.0
        for k, first, c, power in zip(place[::-1], kernel.first, centre, powers, strict=True):
            value *= (k + first - c) ** power
        total += float(weights[place]) * value
    return total


def explained(expansion: Expansion, kernel: Kernel) -> np.ndarray:
    """Σ β_b S_b; the nine-point Laplacian, in two parts, once."""
    terms = dict.fromkeys((p.stencil, p.amount) for p in expansion.parts)
    parts = (float(amount) * placed(stencil, kernel) for stencil, amount in terms)
    return sum(parts, np.zeros(kernel.shape[::-1]))


def test_one_minus_two_one_is_the_second_derivative() -> None:
    made = expand_kernel(nodal(1), np.array([1.0, -2.0, 1.0]))
    assert [(p.derivative, p.amount) for p in made.parts] == [((2,), 1)]
    assert made.relative == 0


DERIVATIVES = [
    (d, accuracy)
    for dimension in (1, 2, 3)
    for d in itertools.product(range(MAX_ORDER + 1), repeat=dimension)
    if 0 < sum(d) <= MAX_ORDER
    for accuracy in (2, 4, 6)
]


@both_tiers
def test_a_stencil_of_a_scheme_is_one_term(each: Each, deep: bool) -> None:
    """Its support is its own, and one node to each side along the other axes, as in a network.

    In three dimensions the quick tier has derivatives along x ≥ y ≥ z alone: the others are these
    with their axes exchanged.
    """
    cells = [
        (derivative, accuracy, dtype)
        for (derivative, accuracy), dtype in itertools.product(DERIVATIVES, EPS)
        if deep or len(derivative) < 3 or list(derivative) == sorted(derivative, reverse=True)
    ]
    for (derivative, accuracy, dtype), cell in each(cells, key=str):
        with cell:
            stencil = stencils.for_derivative(derivative, accuracy)
            kernel = nodal(*(max(r, 1) for r in stencil.radius))
            weights = placed(stencil, kernel).astype(dtype)
            made = expand_kernel(kernel, weights, SPACING[: len(derivative)], None, EPS[dtype])
            assert [(p.derivative, p.amount) for p in made.parts] == [(derivative, 1)]
            assert made.parts[0].stencil == stencil
            assert made.relative == 0


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("rest", [(), (1,), (0,), (1, 0)])
def test_a_difference_at_a_face_is_one_term(order: int, rest: tuple[int, ...], dtype: str) -> None:
    dimension = 1 + len(rest)
    stencil = stencils.staggered(order, 2, 1, 0, dimension)
    if any(rest):
        stencil = stencil @ stencils.for_derivative((0, *rest), 2)
    kernel = at_face((order + 1) // 2, *(1 for _ in rest))
    weights = placed(stencil, kernel).astype(dtype)
    made = expand_kernel(kernel, weights, SPACING[:dimension], 0, EPS[dtype])
    assert [(p.derivative, p.amount, p.stencil) for p in made.parts] == [
        ((order, *rest), 1, stencil)
    ]


@pytest.mark.parametrize("dtype", EPS)
def test_the_nine_point_laplacian_is_two_second_derivatives(dtype: str) -> None:
    weights = 3 * placed(stencils.laplacian9(), nodal(1, 1))
    weights[1, 1] += 0.5
    made = expand_kernel(nodal(1, 1), weights.astype(dtype), (0.1, 0.1), None, EPS[dtype])
    found = {p.derivative: (float(p.amount), p.is_nine_point) for p in made.parts}
    assert found == {(0, 0): (0.5, False), (2, 0): (3, True), (0, 2): (3, True)}
    assert made.relative == 0
    # With other corners it is none.
    corners = weights + placed(stencils.for_derivative((2, 2)), nodal(1, 1))
    changed = expand_kernel(nodal(1, 1), corners.astype(dtype), (0.1, 0.1), None, EPS[dtype])
    assert not any(p.is_nine_point for p in changed.parts)
    assert {p.derivative for p in changed.parts} == {(0, 0), (2, 0), (0, 2), (2, 2)}
    # On unequal spacings it is a sum of other stencils.
    other = expand_kernel(nodal(1, 1), weights.astype(dtype), (0.1, 0.2), None, EPS[dtype])
    assert {p.derivative for p in other.parts} == {(0, 0), (2, 0), (0, 2), (2, 2)}


def test_the_mean_of_lax_friedrichs_is_numerical_viscosity() -> None:
    """(mean of 2d neighbours − u) is Σ_a h_a²/2d ∂²_a, on unit spacing."""
    for dimension in (1, 2, 3):
        kernel = nodal(*(1,) * dimension)
        weights = placed(stencils.neighbour_mean(dimension), kernel)
        weights[(1,) * dimension] -= 1
        made = expand_kernel(kernel, weights)
        assert len(made.parts) == dimension
        for part in made.parts:
            assert sorted(part.derivative) == [0] * (dimension - 1) + [2]
            # 1/6 is no short decimal; it is met to rounding.
            assert abs(float(part.amount) - 1 / (2 * dimension)) <= EPS["float64"]


@st.composite
def kernels(draw: Any) -> tuple[Kernel, int | None, np.ndarray, str]:
    dimension = draw(st.integers(1, 3))
    largest = 4 if dimension == 1 else 2 if dimension == 2 else 1
    radius = [draw(st.integers(0, largest)) for _ in range(dimension)]
    face = draw(st.sampled_from((None, 0)))
    kernel = nodal(*radius) if face is None else at_face(draw(st.integers(1, 2)), *radius[1:])
    dtype = draw(st.sampled_from(tuple(EPS)))
    entries = st.floats(-4, 4, width=32)
    weights = draw(arrays.arrays(np.float64, kernel.shape[::-1], elements=entries))
    return kernel, face, weights.astype(dtype).astype(np.float64), dtype


@given(kernels())
def test_a_kernel_is_its_stencils_and_its_leftover(
    drawn: tuple[Kernel, int | None, np.ndarray, str],
) -> None:
    """The leftover is 0 on all polynomials of the orders that are read."""
    kernel, face, weights, dtype = drawn
    spacing = SPACING[: len(kernel.shape)]
    made = expand_kernel(kernel, weights, spacing, face, EPS[dtype])
    largest = np.abs(weights).max()
    total = explained(made, kernel) + made.leftover
    # What is below 64 eps of the largest weight is dropped, as a leftover or as one of up to 25
    # stencils of a support of 5×5 or 35 of 4 axes' orders; those of rank 4 have weights up to 36.
    np.testing.assert_allclose(total, weights, rtol=0, atol=36 * 64 * EPS[dtype] * largest)
    centre = tuple(0.5 if axis == face else 0.0 for axis in range(len(kernel.shape)))
    orders = [range(min(n, MAX_ORDER + 1)) for n in kernel.shape]
    for powers in itertools.product(*orders):
        if sum(powers) <= MAX_ORDER:
            left = on_polynomial(made.leftover, kernel, powers, centre)
            size = on_polynomial(
                np.abs(weights), kernel, tuple(2 * (p // 2) for p in powers), centre
            )
            size += on_polynomial(
                np.abs(weights), kernel, tuple(2 * ((p + 1) // 2) for p in powers), centre
            )
            assert abs(left) <= 36 * 64 * EPS[dtype] * (size + largest)
    full = all(n <= 2 * MAX_ORDER // len(kernel.shape) + 1 for n in kernel.shape)
    if full and face is None and max(kernel.shape) <= 3 and len(kernel.shape) < 3:
        assert made.relative == 0  # these stencils are a basis


def test_what_no_stencil_explains_is_left() -> None:
    """∂xxyy ∂zz on 3×3×3 nodes is of order 6, which the language does not have."""
    edge = np.array([1.0, -2.0, 1.0])
    weights = np.einsum("z,y,x->zyx", edge, edge, edge)
    made = expand_kernel(nodal(1, 1, 1), weights)
    assert made.parts == ()
    assert made.relative == 1
    np.testing.assert_array_equal(made.leftover, weights)


def test_a_part_can_be_left_over() -> None:
    made = expand_kernel(nodal(1), np.array([1.0, -2.0, 2.0]))
    assert [p.derivative for p in made.parts] == [(0,), (1,), (2,)]
    less = made.without(made.parts[2])
    assert [p.derivative for p in less.parts] == [(0,), (1,)]
    np.testing.assert_array_equal(less.leftover, [1.5, -3.0, 1.5])
    assert less.relative == 1.5


def test_changes_above_rounding_are_seen() -> None:
    """128 eps of the largest weight is a term, 8 eps is rounding."""
    for dtype, eps in EPS.items():
        for change, count in ((256, 2), (8, 1)):
            weights = np.array([1.0, -2.0 + 2 * change * eps, 1.0]).astype(dtype)
            made = expand_kernel(nodal(1), weights, None, None, eps)
            assert len(made.parts) == count
