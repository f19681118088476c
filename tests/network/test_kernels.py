"""Kernels that keep their moments stay approximations of their derivative."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import pdenet as pn
from pdenet.discrete.structure import Kernel
from pdenet.errors import NetworkError
from pdenet.network.kernels import Kernels, free_directions, moments

SHAPES = [
    ("x", (1, 0), (-1, -1), (3, 3)),
    ("xx", (2, 0), (-1, -1), (3, 3)),
    ("xy", (1, 1), (-1, -1), (3, 3)),
    ("xxx", (3, 0), (-2, -1), (5, 3)),
    ("x_face", (1, 0), (0, -1), (2, 3)),
    ("xxyy", (2, 2, 0), (-1, -1, -1), (3, 3, 3)),
    ("one", (1,), (-2,), (5,)),
]


def applied(weights: np.ndarray, kernel: Kernel, power: tuple[int, ...]) -> float:
    """Σ_k K[k] (k − c)^power, straight from the definition, the array's axes reversed."""
    total = 0.0
    for place in np.ndindex(*weights.shape):
        offset = [
            k + f - (f + last) / 2
            for k, f, last in zip(place[::-1], kernel.first, kernel.last, strict=True)
        ]
        total += weights[place] * math.prod(o**m for o, m in zip(offset, power, strict=True))
    return total


@pytest.mark.parametrize(("name", "derivative", "first", "shape"), SHAPES)
@given(seed=st.integers(0, 2**31))
def test_what_is_free_has_no_effect_on_polynomials_up_to_the_order(
    name: str,
    derivative: tuple[int, ...],
    first: tuple[int, ...],
    shape: tuple[int, ...],
    seed: int,
) -> None:
    kernel = Kernel(name, derivative, first, shape)
    basis = free_directions(kernel)
    change = np.tensordot(np.random.default_rng(seed).standard_normal(len(basis)), basis, 1)
    total = sum(derivative)
    for power in itertools.product(range(total + 1), repeat=len(shape)):
        if sum(power) <= total:
            # Orthonormal rows times entries up to 3σ, offsets up to 2^4: 1e-12 is 1e3 eps of that.
            assert abs(applied(change, kernel, power)) <= 1e-12 * max(1.0, np.abs(change).sum())


@pytest.mark.parametrize(("name", "derivative", "first", "shape"), SHAPES)
def test_moments_and_freedom_together_fill_the_kernel(
    name: str, derivative: tuple[int, ...], first: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    kernel = Kernel(name, derivative, first, shape)
    total = sum(derivative)
    orders = [m for m in itertools.product(range(total + 1), repeat=len(shape)) if sum(m) <= total]
    rank = np.linalg.matrix_rank(moments(kernel, orders))
    assert rank + len(free_directions(kernel)) == math.prod(shape)


def test_the_moments_of_the_second_difference_are_those_of_the_second_derivative() -> None:
    kernel = Kernel("xx", (2,), (-1,), (3,))
    found = moments(kernel, [(0,), (1,), (2,), (3,), (4,)]) @ [1.0, -2.0, 1.0]
    # K ⋆ u = Σ M_m u^(m): 0, 0, 1, 0 and the error term h²/12 u''''. Exact in float64.
    assert found.tolist() == [0.0, 0.0, 1.0, 0.0, 1 / 12]


def heat(stencils: str) -> pn.Network:
    grid = pn.Grid(x=(0, 1, 8), y=(0, 1, 8))
    walls = pn.Boundary(x=pn.Periodic(), y=pn.Periodic())
    return pn.catalogue["heat"].to_network(
        grid,
        walls,
        values={"D": 0.1},
        trainable=["stencils"],
        stencils=stencils,
        dtype=torch.float64,
    )


def test_constraints_decide_how_many_numbers_of_a_kernel_are_free() -> None:
    # 3×3: nine weights; with its moments of order 0, 1, 2 (1 + 2 + 3) fixed three are left.
    counts = {c: [p.numel() for p in heat(c).parameters()] for c in ("free", "moment", "frozen")}
    assert counts == {"free": [9, 9], "moment": [3, 3], "frozen": []}


def test_a_kernel_with_fixed_moments_trains_and_stays_a_second_derivative() -> None:
    net = heat("moment")
    optimiser = torch.optim.SGD(net.parameters(), lr=1e-4)
    u = torch.randn(4, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for _ in range(3):
        optimiser.zero_grad()
        net.right_side(u).square().mean().backward()
        optimiser.step()
    weights = net.block.kernels["xx"].detach().numpy()
    start = np.array([[0.0, 0.0, 0.0], [1.0, -2.0, 1.0], [0.0, 0.0, 0.0]])
    assert np.abs(weights - start).max() > 1e-3  # it has moved
    kernel = net.block.structure.kernels[0]
    orders = [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2)]
    # Sums of nine weights of size 2: 1e-14 is five eps of them.
    np.testing.assert_allclose(
        moments(kernel, orders) @ weights.ravel(), [0, 0, 0, 1, 0, 0], atol=1e-14
    )


def test_an_unknown_constraint_is_refused() -> None:
    with pytest.raises(NetworkError, match="stencils is one of free, moment, frozen; got 'loose'"):
        heat("loose")


def test_kernels_start_as_they_were_given() -> None:
    kernel = Kernel("x", (1,), (-1,), (3,))
    weights = np.array([-0.5, 0.0, 0.5])
    for constraint in ("free", "moment", "frozen"):
        made = Kernels([kernel], [weights], torch.float64, True, constraint)
        assert made["x"].tolist() == weights.tolist()
