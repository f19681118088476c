"""S: its laws, its values by hand, and what chance gives, against exact expectations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.integrate import quad

from pdenet.errors import SymmetryError
from pdenet.symmetry.kernels.dihedral import (
    GROUPS,
    IDENTITY,
    SINGLE,
    SYMMETRIES,
    elements,
    scores,
    symmetry_score,
)
from pdenet.symmetry.kernels.table import arrangement_chance, gaussian_chance, symmetry_table

# What S is built of rounds to some 1e-16 of 1; where S is 1 the norm of a difference is √ of it.
ROUNDING = 1e-12

ENTRIES = st.floats(-1.0, 1.0, allow_subnormal=False).map(lambda value: round(value, 6))
KERNELS = st.integers(2, 5).flatmap(
    lambda size: arrays(np.float64, (size, size), elements=ENTRIES).filter(np.any)
)


def matrix(name: str) -> np.ndarray:
    """How a symmetry moves the point (x, y), x to the right and y down, as an orthogonal matrix."""
    quarter = np.array([[0, 1], [-1, 0]])  # (x, y) → (y, −x): right goes up, as np.rot90 turns
    power = np.linalg.matrix_power
    return {
        IDENTITY: np.eye(2),
        "horizontal_flip": np.diag([-1, 1]),
        "vertical_flip": np.diag([1, -1]),
        "rotation_90": quarter,
        "rotation_180": power(quarter, 2),
        "rotation_270": power(quarter, 3),
        "diagonal_flip": np.array([[0, 1], [1, 0]]),
        "antidiagonal_flip": np.array([[0, -1], [-1, 0]]),
    }[name]


def moved(kernel: np.ndarray, name: str) -> np.ndarray:
    """Move each entry by that matrix about the centre."""
    size = len(kernel)
    made = np.zeros_like(kernel)
    for y in range(size):
        for x in range(size):
            place = matrix(name) @ (np.array([x, y]) - (size - 1) / 2) + (size - 1) / 2
            to_x, to_y = np.rint(place).astype(int)
            made[to_y, to_x] = kernel[y, x]
    return made


@pytest.mark.parametrize("name", SYMMETRIES)
def test_each_symmetry_moves_entries_as_its_matrix_moves_points(name: str) -> None:
    kernel = np.arange(16.0).reshape(4, 4)
    assert np.array_equal(SYMMETRIES[name](kernel), moved(kernel, name))


@pytest.mark.parametrize("group", GROUPS)
def test_groups_are_closed(group: str) -> None:
    found = {name: matrix(name) for name in GROUPS[group]}
    for first in found.values():
        for second in found.values():
            assert any(np.array_equal(first @ second, third) for third in found.values())


LAPLACIAN = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
SOBEL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
CORNER = np.array([[1, 0, 0], [0, 0, 0], [0, 0, 0]])
ROOT = math.sqrt(2)

# Σ_T ‖T(K̂) − K̂‖ by hand. Sobel: ‖K‖² = 12; two elements change its sign (2 each), two leave it,
# and four turn it to the other axis, where the inner product is 0 (√2 each). A corner: two elements
# leave it, six move it elsewhere (√2 each).
BY_HAND = [(LAPLACIAN, 0.0), (SOBEL, 4 + 4 * ROOT), (CORNER, 6 * ROOT)]


@pytest.mark.parametrize(("kernel", "total"), BY_HAND)
def test_known_kernels_have_the_scores_of_a_calculation_by_hand(
    kernel: np.ndarray, total: float
) -> None:
    assert symmetry_score(kernel) == pytest.approx(1 - total / 16, abs=ROUNDING)
    without = symmetry_score(kernel, count_identity=False)
    assert without == pytest.approx(1 - total / 14, abs=ROUNDING)


def test_the_score_of_one_symmetry_is_one_where_it_holds_and_zero_where_it_changes_the_sign() -> (
    None
):
    each = {name: symmetry_score(SOBEL, name) for name in SINGLE}
    quarter = 1 - ROOT / 2  # inner product 0
    expected = {"horizontal_flip": 0, "vertical_flip": 1, "rotation_180": 0}
    assert each == pytest.approx({n: expected.get(n, quarter) for n in SINGLE}, abs=ROUNDING)


@given(KERNELS, st.sampled_from(list(SYMMETRIES)), st.sampled_from(list(GROUPS)))
def test_moving_a_kernel_by_an_element_of_the_group_keeps_its_score(
    kernel: np.ndarray, name: str, group: str
) -> None:
    if name not in GROUPS[group]:
        return
    again = symmetry_score(SYMMETRIES[name](kernel), group)
    # √ of the rounding of the difference of unit vectors, where both scores are 1.
    assert again == pytest.approx(symmetry_score(kernel, group), abs=1e-7)


@given(KERNELS, st.floats(1e-3, 1e3), st.booleans(), st.sampled_from([*GROUPS, *SINGLE]))
def test_multiplying_a_kernel_keeps_its_score(
    kernel: np.ndarray, factor: float, negative: bool, group: str
) -> None:
    scaled = symmetry_score((-factor if negative else factor) * kernel, group)
    assert scaled == pytest.approx(symmetry_score(kernel, group), abs=1e-7)


@given(KERNELS, st.sampled_from(list(GROUPS)))
def test_the_mean_over_the_group_has_score_one_and_a_score_of_one_says_symmetric(
    kernel: np.ndarray, group: str
) -> None:
    mean = np.mean([SYMMETRIES[name](kernel) for name in GROUPS[group]], axis=0)
    if np.abs(mean).max() > 1e-3:  # else what is left is rounding, which has no symmetry
        # 1e-16 of entries of size 1 beside a norm of 1e-3.
        assert symmetry_score(mean, group) == pytest.approx(1, abs=1e-12)
    is_symmetric = all(np.array_equal(SYMMETRIES[n](kernel), kernel) for n in GROUPS[group])
    # Entries are multiples of 1e-6 and at most 1: a difference shows in S by 1e-6/(5·16) or more.
    assert (symmetry_score(kernel, group) > 1 - 1e-9) == is_symmetric


@given(KERNELS, st.sampled_from(list(GROUPS)), st.booleans())
def test_scores_lie_between_the_bound_of_the_docstring_and_one(
    kernel: np.ndarray, group: str, counted: bool
) -> None:
    order = len(GROUPS[group])
    # Σ_{T ≠ e} ⟨T K̂, K̂⟩ ≥ −1, as Σ_T is g times a projection; √ is concave.
    total = math.sqrt(2 * order * (order - 1))
    bound = 1 - total / (2 * (order if counted else order - 1))
    score = symmetry_score(kernel, group, count_identity=counted)
    assert bound - ROUNDING <= score <= 1


@given(KERNELS, st.sampled_from(list(GROUPS)))
def test_counting_the_identity_scales_the_distance_from_one(kernel: np.ndarray, group: str) -> None:
    order = len(GROUPS[group])
    counted = 1 - symmetry_score(kernel, group)
    without = 1 - symmetry_score(kernel, group, count_identity=False)
    assert counted == pytest.approx(without * (order - 1) / order, abs=ROUNDING)


def test_kernels_as_small_and_as_large_as_floats_are_scored() -> None:
    for size in (1e-200, 1e200):
        assert symmetry_score(size * SOBEL) == pytest.approx(symmetry_score(SOBEL), abs=ROUNDING)


def test_a_kernel_of_zeros_has_no_score() -> None:
    assert math.isnan(symmetry_score(np.zeros((3, 3))))


def test_a_kernel_that_is_not_square_has_the_symmetries_of_a_rectangle() -> None:
    kernel = np.array([[1.0, 2.0, 1.0], [3.0, 4.0, 3.0]])
    assert elements("D4", kernel.shape) == elements("D2", kernel.shape) == GROUPS["D2"]
    assert symmetry_score(kernel, "horizontal_flip") == 1
    # ‖K‖² = 40; a vertical flip changes each of six entries by 2.
    total = math.sqrt(6 * 4 / 40)
    assert symmetry_score(kernel) == pytest.approx(1 - 2 * total / 8, abs=ROUNDING)


@pytest.mark.parametrize(
    ("kernel", "group", "words"),
    [
        (np.ones((2, 3)), "rotation_90", "square"),
        (np.ones((3, 3)), "D5", "got 'D5'"),
        (np.ones((3, 3)), "horizontal_flipp", "Did you mean 'horizontal_flip'"),
        (np.ones((3, 3)), (), "at least one"),
        (np.ones((3, 3)), None, "got None"),
        (np.ones((3, 3)), 3, "got 3"),
        (np.ones((3, 3)), [3], "got [3]"),
        (np.ones((2, 3, 3)), "D4", "shape (2, 3, 3)"),
        (np.ones((0, 3)), "D4", "shape (0, 3)"),
        (np.array([[1.0, math.nan]]), "D4", "1 of 2"),
        (np.array([["a"]]), "D4", "<U1"),
    ],
)
def test_what_is_no_kernel_or_no_symmetry_is_refused(
    kernel: np.ndarray, group: str, words: str
) -> None:
    with pytest.raises(SymmetryError) as caught:
        symmetry_score(kernel, group)
    assert words in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_tensors_that_are_trained_or_short_have_the_score_of_their_numbers(
    dtype: torch.dtype,
) -> None:
    kernel = torch.tensor([[1.0, 2.0], [3.0, -4.0]], dtype=dtype, requires_grad=True)
    expected = symmetry_score(np.array([[1.0, 2.0], [3.0, -4.0]]))
    assert symmetry_score(kernel) == expected  # small whole numbers: all types hold them exactly


def test_a_seed_below_zero_and_a_group_of_no_kind_are_refused() -> None:
    model = torch.nn.Conv2d(1, 1, 3)
    with pytest.raises(SymmetryError, match="seed is an integer of at least 0; got -1"):
        symmetry_table(model, seed=-1)
    with pytest.raises(SymmetryError, match="group is a name such as"):
        symmetry_table(model, None)  # type: ignore[arg-type]


# -- chance ----------------------------------------------------------------------------------------


def expected_distance(name: str, size: int) -> float:
    """E‖T(K̂) − K̂‖ of a normal kernel, exactly.

    Let Q = ‖T K − K‖² = Σ λ_k Z_k² with normal Z, λ_k the eigenvalues of (T − 1)ᵀ(T − 1). K̂ and ‖K‖
    are independent, so E√Q = E‖T K̂ − K̂‖ · E‖K‖; and E√Q = (1/(2√π)) ∫ (1 − E e^{−tQ}) t^{−3/2} dt
    with E e^{−tQ} = Π (1 + 2 t λ_k)^{−1/2}.
    """
    n = size * size
    basis = np.eye(n).reshape(n, size, size)
    difference = (np.stack([moved(k, name) for k in basis]) - basis).reshape(n, n)
    eigenvalues = np.linalg.eigvalsh(difference @ difference.T)

    def integrand(s: float) -> float:  # t = s², which takes the singularity away
        gone = math.prod((1 + 2 * s * s * max(value, 0.0)) ** -0.5 for value in eigenvalues)
        return 2 * (1 - gone) / s**2

    root = quad(integrand, 0, np.inf, limit=200)[0] / (2 * math.sqrt(math.pi))
    norm = ROOT * math.gamma((n + 1) / 2) / math.gamma(n / 2)
    return root / norm


@pytest.mark.parametrize("size", [2, 3, 5])
def test_chance_has_the_exact_expectation(size: int) -> None:
    names = GROUPS["D4"]
    exact = 1 - sum(expected_distance(name, size) for name in names) / (2 * len(names))
    found = gaussian_chance((size, size), names, 20_000, 0)
    # Five standard errors of a mean.
    assert abs(found.mean - exact) < 5 * found.deviation / math.sqrt(20_000)


def test_p_values_of_chance_itself_are_uniform() -> None:
    names = GROUPS["D4"]
    chance = gaussian_chance((3, 3), names, 5_000, 0)
    kernels = np.random.default_rng(1).normal(size=(2_000, 3, 3))
    values = np.array([chance.p_value(score) for score in scores(kernels, names)])
    for level in (0.01, 0.1, 0.5, 0.9):
        # Five standard errors of both samples.
        slack = 5 * math.sqrt(level * (1 - level) * (1 / 2_000 + 1 / 5_000))
        assert abs((values <= level).mean() - level) < slack


def test_arrangement_tells_an_order_from_entries_that_are_alike() -> None:
    generator = np.random.default_rng(0)
    alike = 1 + 0.01 * generator.normal(size=(3, 3))
    ordered = np.array([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])
    names = GROUPS["D4"]
    # Both are far above Gaussian chance …
    chance = gaussian_chance((3, 3), names, 2_000, 0)
    assert chance.p_value(symmetry_score(alike)) < 0.001
    assert chance.p_value(symmetry_score(ordered)) < 0.001
    # … but only one is in order: of (9 choose 4)·5 = 630 orders of its entries two have all eight
    # symmetries, this one and that with 1 and 2 exchanged.
    share = arrangement_chance(ordered, names, 20_000, 0).p_value(symmetry_score(ordered))
    # 63 hits are expected, with a standard deviation of 8.
    assert share == pytest.approx(2 / 630, rel=0.63)
    assert arrangement_chance(alike, names, 2_000, 0).p_value(symmetry_score(alike)) > 0.05
    constant = np.ones((3, 3))
    assert arrangement_chance(constant, names, 100, 0).p_value(1.0) == 1
