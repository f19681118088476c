"""Stabiliser: which changes of unknowns keep a factorised tensor factorised."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.linalg
import torch

import pdenet as pn
from pdenet.symmetry.network.parametrised import Form
from pdenet.symmetry.network.stabiliser import Stabiliser, outside_span, stabiliser
from tests.tiers import mostly_deep

Array = np.ndarray
Tensors = tuple[torch.Tensor, ...]


def drawn(directions: int, n: int, seed: int) -> tuple[Array, Array]:
    first, second = np.random.default_rng(seed).normal(size=(2, directions, n, n))
    return first, second


# -- an oracle of its own: T(θ) written by hand, its Jacobian by torch.func ---------------------


def eq3(a: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return torch.einsum("dij,djk->dijk", a, c)


def eq4(a: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return torch.einsum("dij,ik->dijk", a, c)


def eq5(c: torch.Tensor) -> torch.Tensor:
    return torch.einsum("ij,dik->dijk", torch.eye(c.shape[1], dtype=c.dtype), c)


def eq6(a: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    made = torch.einsum("dij,jk->dijk", a, c)
    return made + made.transpose(2, 3)


def eq7(a: torch.Tensor, c: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
    made = torch.einsum("dil,lj,lk->dijk", a, c, e)
    return made + made.transpose(2, 3)


def dimension_by_jacobian(form: Callable[..., torch.Tensor], theta: Tensors) -> int:
    """rank(J, δ) = rank J + what of δT is not tangent: n² less that is the dimension sought."""
    jacobian = torch.func.jacrev(form, argnums=tuple(range(len(theta))))(*theta)
    tensor = form(*theta)
    columns = [part.flatten(tensor.ndim).flatten(0, tensor.ndim - 1) for part in jacobian]
    spanned = torch.cat(columns, dim=1).numpy()
    n = tensor.shape[1]
    moved = []
    for x in torch.eye(n * n, dtype=tensor.dtype).reshape(-1, n, n):
        change = -torch.einsum("ri,dipq->drpq", x, tensor)
        change += torch.einsum("drjq,jp->drpq", tensor, x)
        moved.append((change + torch.einsum("drpk,kq->drpq", tensor, x)).flatten())
    both = np.hstack([spanned, torch.stack(moved, dim=1).numpy()])
    # Zeros are 1e-15, the least others above 1e-4 for these draws.
    ranks = [int(np.linalg.matrix_rank(m, tol=1e-9)) for m in (spanned, both)]
    return n * n - (ranks[1] - ranks[0])


def planted(name: str, n: int, seed: int, equal: bool) -> tuple[pn.PDEBlock, Tensors]:
    """A block in float64 and its coefficients, axes (direction, row, column)."""
    torch.manual_seed(seed)
    block = pn.PDEBlock(pn.catalogue[name], n, relaxation=pn.Relaxation(directions=2)).double()
    tensors = block.coefficients.tensors
    with torch.no_grad():
        for label, value in tensors.items():
            value.copy_(torch.randn(value.shape, dtype=torch.float64))
            if equal and label.startswith("C"):
                value[2] = value[0]
    made = {k: v.detach() for k, v in tensors.items()}
    if name == "eq3":
        return block, (made["A_B"].permute(2, 0, 1), made["C_D"].permute(1, 0, 2))
    if name == "eq5":
        return block, (made["Cx_Cy"].permute(1, 0, 2),)
    first = made["Ax_Ay"].permute(2, 0, 1)
    return block, (first, made["C"], *((made["D"],) if name == "eq7" else ()))


FORMS: dict[str, Callable[..., torch.Tensor]] = {
    "eq3": eq3,
    "eq4": eq4,
    "eq5": eq5,
    "eq6": eq6,
    "eq7": eq7,
}


@pytest.mark.parametrize("equal", [False, True])
@pytest.mark.parametrize("n", mostly_deep([3, 4], [3]))
@pytest.mark.parametrize("name", list(FORMS))
def test_dimensions_are_those_of_the_jacobian(name: str, n: int, equal: bool) -> None:
    block, theta = planted(name, n, seed=n, equal=equal)
    found = stabiliser(block)
    assert found.dimension == dimension_by_jacobian(FORMS[name], theta)
    if name == "eq6" and n == 3:
        return  # see the test of its own
    assert found.dimension == (n * n if name == "eq7" else n + 2 * equal)
    assert found.is_group
    assert found.finite_dimension == found.dimension


@pytest.mark.parametrize(("n", "dimension"), [(2, 4), (3, 6), (4, 4), (5, 5)])
def test_few_unknowns_of_eq6_have_more_freedom(n: int, dimension: int) -> None:
    """The span of n quadratic forms holds products of two linear ones in more than n ways.

    They are of codimension (n − 1)(n − 2)/2 among quadratic forms: in the projective space of n
    forms, of dimension n − 1, a line of them for n = 2 (all), a curve for n = 3, finitely many for
    n = 4. Each of n choices along the curve is a dimension more.
    """
    block, theta = planted("eq6", n, seed=n, equal=False)
    found = stabiliser(block)
    assert found.dimension == dimension == dimension_by_jacobian(eq6, theta)
    assert found.is_group == (n != 3)


@pytest.mark.parametrize("name", list(FORMS))
def test_the_general_method_agrees_with_those_of_each_form(name: str) -> None:
    block, _ = planted(name, 3, seed=1, equal=True)
    basis, _ = Form(block).tangent(None)
    assert len(basis) == stabiliser(block).dimension
    own = stabiliser(block).basis.reshape(-1, 9).T
    both = np.hstack([own, basis.reshape(-1, 9).T])
    assert np.linalg.matrix_rank(both, tol=1e-8) == len(basis)  # rounding 1e-15, others 1e-2


# -- Eq. (3) ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("directions", "n"), mostly_deep([(1, 2), (1, 5), (2, 4), (4, 16), (2, 40)], [(1, 5), (2, 4)])
)
def test_generic_coefficients_have_their_scalings_and_no_more(directions: int, n: int) -> None:
    found = stabiliser(drawn(directions, n, seed=n))
    assert found.dimension == n
    assert found.is_trivial
    assert found.is_group
    assert not found.groups
    assert all(np.count_nonzero(x) == 1 and np.trace(x) == 1 for x in found.basis)


@pytest.mark.parametrize("factors", [(1.0, 1.0), (-2.0, 0.3)])
def test_parallel_rows_of_c_mix_freely(factors: tuple[float, float]) -> None:
    """Equal rows are not needed, nor the same factor in all directions."""
    a, c = drawn(2, 6, seed=1)
    for d, factor in enumerate(factors):
        c[d, 4] = factor * c[d, 1]
        c[d, 5] = -factor * c[d, 1]
    found = stabiliser((a, c))
    assert found.groups == ((1, 4, 5),)
    assert found.dimension == 6 - 3 + 9
    assert found.is_group
    assert found.gap.margin > 1e6


def test_parallel_columns_of_a_mix_freely_as_well() -> None:
    a, c = drawn(3, 5, seed=2)
    a[:, :, 3] = 2.0 * a[:, :, 0]
    found = stabiliser((a, c))
    assert (found.dimension, found.groups, found.is_group) == (7, ((0, 3),), True)


def test_each_direction_may_have_its_own_reason() -> None:
    a, c = drawn(2, 5, seed=3)
    a[0, :, 3] = a[0, :, 1]
    c[1, 3] = c[1, 1]
    found = stabiliser((a, c))
    assert (found.dimension, found.groups, found.is_group) == (7, ((1, 3),), True)
    c[1, 3, 0] += 1.0
    assert stabiliser((a, c)).is_trivial


def test_rows_that_are_parallel_in_one_direction_only_do_not_mix() -> None:
    a, c = drawn(2, 5, seed=4)
    c[0, 3] = c[0, 1]
    assert stabiliser((a, c)).is_trivial


def test_several_groups_are_found_at_once() -> None:
    a, c = drawn(2, 7, seed=5)
    c[:, 1] = c[:, 0]
    c[:, 4] = c[:, 5] = c[:, 3]
    found = stabiliser((a, c))
    assert found.groups == ((3, 4, 5), (0, 1))
    assert found.dimension == 7 - 5 + 9 + 4


def test_what_is_tangent_in_two_ways_is_no_group() -> None:
    """Columns 0 and 2 of A are parallel, and so are rows 1 and 2 of C: either mixes, not both."""
    a, c = drawn(1, 4, seed=6)
    a[:, :, 0] = a[:, :, 2]
    c[:, 1] = c[:, 2]
    found = stabiliser((a, c))
    assert found.dimension == 4 + 4
    assert not found.is_group
    assert found.finite_dimension == 6
    assert found.defect > 1e-3
    assert "to first order only" in str(found)
    x = np.zeros((4, 4))
    x[0, 2] = x[1, 2] = 1.0
    assert second_ranks(a, c, np.eye(4) + 0.1 * x) > 1e-3
    for j in (0, 1):
        only = np.eye(4)
        only[j, 2] = 0.1
        assert second_ranks(a, c, only) < 1e-14  # rounding


def test_dependent_slices_are_tangent_without_being_parallel() -> None:
    """In 2 × 2 slices rank one is one equation a slice: n − 1 of n entries of each column of P."""
    generator = np.random.default_rng(7)
    a, c = np.zeros((1, 5, 5)), np.zeros((1, 5, 5))
    a[0, :2], c[0, :, :2] = generator.normal(size=(2, 5)), generator.normal(size=(5, 2))
    a[0] *= np.geomspace(1e-2, 1e2, 5)  # columns, so that slices differ in size
    found = stabiliser((a, c))
    assert found.dimension == 5 * 4
    assert found.groups == ()
    assert not found.is_group
    theta = (torch.as_tensor(a), torch.as_tensor(c))
    assert found.dimension == dimension_by_jacobian(eq3, theta)
    # To first order they keep the slices: the second singular value is of second order.
    for x in found.basis:
        change = np.eye(5) + 1e-6 * x / np.abs(x).max()
        slices = np.einsum("ij,jp,jk->pik", a[0], change, c[0])
        values = np.linalg.svd(slices, compute_uv=False)
        # (1e-6)² times ratios of slices' sizes, 1e4 squared at most, and less than 1e-6 itself.
        assert (values[:, 1] / values[:, 0]).max() < 1e-7


@pytest.mark.parametrize("size", [1e-6, 1e6])
def test_the_sizes_of_slices_do_not_matter(size: float) -> None:
    a, c = drawn(2, 5, seed=21)
    a[:, :, 1] *= size
    c[:, 2] /= size
    assert stabiliser((a, c)).is_trivial
    c[:, 4] = size * c[:, 3]
    assert stabiliser((a, c)).groups == ((3, 4),)
    assert stabiliser((a, c)).gap.margin > 1e6


def second_ranks(a: Array, c: Array, change: Array) -> float:
    """The largest σ₂/σ₁ of the slices of P·T, from T itself."""
    tensor = np.einsum("dij,djk->dijk", a, c)
    inverse = np.linalg.inv(change)
    made = np.einsum("ri,dijk,jp,kq->dprq", inverse, tensor, change, change, optimize=True)
    values = np.linalg.svd(made, compute_uv=False)
    return float((values[..., 1] / values[..., 0]).max())


def test_every_element_keeps_the_tensor_factorised_at_a_finite_distance() -> None:
    a, c = drawn(2, 5, seed=8)
    c[:, 4] = 3.0 * c[:, 2]
    basis = stabiliser((a, c)).basis
    weights = np.random.default_rng(9).normal(size=len(basis))
    change = scipy.linalg.expm(np.tensordot(weights, basis, 1))
    assert second_ranks(a, c, change) < 1e-13  # rounding, times cond(P) of about 20
    change[0, 1] += 0.1
    assert second_ranks(a, c, change) > 1e-3


def test_only_generalised_permutations_keep_generic_tensors_factorised() -> None:
    """A^a diag(x) C^a has as many ranks as x has entries."""
    a, c = drawn(1, 4, seed=10)
    permutation = np.eye(4)[[2, 0, 3, 1]] * np.array([1.0, -2.0, 0.5, 3.0])
    assert second_ranks(a, c, permutation) < 1e-13  # rounding
    for entry in np.argwhere(permutation == 0.0):
        other = permutation.copy()
        other[tuple(entry)] = 0.1
        assert second_ranks(a, c, other) > 1e-3


@pytest.mark.parametrize("noise", [1e-12, 1e-8])
def test_rows_equal_up_to_noise_are_equal_by_their_gap(noise: float) -> None:
    a, c = drawn(2, 6, seed=11)
    c[:, 4] = c[:, 1] + noise * np.random.default_rng(12).normal(size=(2, 6))
    found = stabiliser((a, c))
    assert found.groups == ((1, 4),)
    assert found.is_group
    assert found.gap.zero < 100 * noise  # the sine of the angle, of vectors of length about 2
    assert stabiliser((a, c), tol=1e-14).is_trivial


def test_unused_unknowns_count_as_mixed() -> None:
    a, c = drawn(2, 4, seed=13)
    a[:, :, 3] = 0.0
    found = stabiliser((a, c))
    # Slice 3 vanishes: x_3 is free in every column, and in column 3 nothing else is.
    assert found.dimension == 4 + 3 == dimension_by_jacobian(eq3, as_tensors(a, c))


def as_tensors(*arrays: Array) -> Tensors:
    return tuple(torch.as_tensor(array) for array in arrays)


# -- what blocks compute ------------------------------------------------------------------------


def test_a_block_of_eq3_with_equal_rows_computes_the_same_in_mixed_unknowns() -> None:
    """P on the two unknowns: with C' and A' read off the slices, F'(v) = P⁻¹ F(P v)."""
    torch.manual_seed(0)
    relaxation = pn.Relaxation(directions=2, norm=False)
    block, other = (
        pn.PDEBlock(pn.catalogue["eq3"], 4, relaxation=relaxation).double() for _ in range(2)
    )
    a, c = drawn(2, 4, seed=14)
    c[:, 3] = 2.0 * c[:, 1]
    found = stabiliser((a, c))
    assert found.groups == ((1, 3),)
    change = np.eye(4)
    change[np.ix_([1, 3], [1, 3])] = [[0.6, -1.1], [0.7, 0.9]]
    inverse = np.linalg.inv(change)
    tensor = np.einsum("dij,djk->dijk", a, c)
    made = np.einsum("ri,dijk,jp,kq->dprq", inverse, tensor, change, change, optimize=True)
    left, values, right = np.linalg.svd(made)
    new_a = (left[..., 0] * values[..., :1]).transpose(0, 2, 1)
    new_c = right[:, :, 0]
    other.load_state_dict(block.state_dict())
    for target, (first, second) in ((block, (a, c)), (other, (new_a, new_c))):
        with torch.no_grad():
            target.coefficients.tensors["A_B"].copy_(torch.as_tensor(first.transpose(1, 2, 0)))
            target.coefficients.tensors["C_D"].copy_(torch.as_tensor(second.transpose(1, 0, 2)))
    v = torch.randn(2, 4, 5, 6, dtype=torch.float64)
    wanted = torch.einsum(
        "ri,biyx->bryx",
        torch.as_tensor(inverse),
        block.rate(torch.einsum("ij,bjyx->biyx", torch.as_tensor(change), v)),
    )
    assert wanted.abs().max() > 0.1
    torch.testing.assert_close(other.rate(v), wanted, rtol=0.0, atol=1e-12)  # rounding
    assert stabiliser(block).groups == ((1, 3),)


@pytest.mark.parametrize("name", ["eq2", "eq7", "eq9"])
def test_forms_without_shared_indices_keep_every_change_at_any_width(name: str) -> None:
    n = 12
    found = stabiliser(pn.PDEBlock(pn.catalogue[name], n))
    assert found.is_everything
    assert found.dimension == n * n


def test_the_published_blocks_have_scalings_only() -> None:
    torch.manual_seed(0)
    model = pn.create_model("eq3_small", 5)
    block = next(m for m in model.modules() if isinstance(m, pn.PDEBlock) and m.keeps_shape)
    found = stabiliser(block)
    assert found.is_trivial
    assert found.size == 16
    assert "batch norms" in str(found)
    own = pn.create_model("eq3_nows_x6_small", 5)
    block = next(m for m in own.modules() if isinstance(m, pn.PDEBlock) and m.keeps_shape)
    assert any("kernels of its own" in text for text in stabiliser(block).caveats)


def test_eq4_may_be_given_as_two_coefficients() -> None:
    a, c = drawn(2, 4, seed=15)
    assert stabiliser((a, c[0]), equation=4).is_trivial
    c[0, 3] = -c[0, 1]
    found = stabiliser((a, c[0]), equation=4)
    assert (found.dimension, found.groups, found.is_group) == (6, ((1, 3),), True)
    assert found.dimension == dimension_by_jacobian(eq4, as_tensors(a, c[0]))


def test_eq4_mixes_rows_of_the_inverse_not_columns() -> None:
    """Where equation i vanishes, A^a_ij = 0, it may be added to every other at once.

    One other may be added to it instead, and not two, so that all together are no group.

    In Eq. (3) with a_j = 0 it is the unknown j whose row of P is free.
    """
    a, c = drawn(2, 4, seed=19)
    a[:, 3, :] = 0.0
    found = stabiliser((a, c[0]), equation=4)
    assert found.dimension == 4 + 3 == dimension_by_jacobian(eq4, as_tensors(a, c[0]))
    assert not found.is_group
    assert found.finite_dimension == found.dimension
    entries = {tuple(map(int, place)) for x in found.basis for place in np.argwhere(x)}
    assert entries == {(r, r) for r in range(4)} | {(r, 3) for r in range(3)}
    a, c = drawn(2, 4, seed=20)
    a[:, :, 3] = 0.0
    found = stabiliser((a, c))
    assert not found.is_group
    assert found.finite_dimension == found.dimension
    entries = {tuple(map(int, place)) for x in found.basis for place in np.argwhere(x)}
    assert entries == {(r, r) for r in range(4)} | {(3, p) for p in range(3)}


def test_commutators_of_symmetric_matrices_leave_their_span() -> None:
    units = np.eye(9).reshape(-1, 3, 3)
    generator = np.random.default_rng(0)
    upper = units[[k for k in range(9) if k // 3 <= k % 3]]
    assert outside_span(upper + upper.swapaxes(1, 2), generator) > 0.1
    assert outside_span(upper, generator) < 1e-14  # rounding


def test_parallel_rows_are_not_enough_for_eq5() -> None:
    block, _ = planted("eq5", 4, seed=16, equal=True)
    assert stabiliser(block).groups == ((0, 2),)
    with torch.no_grad():
        block.coefficients.tensors["Cx_Cy"][2] *= 2.0
    assert stabiliser(block).is_trivial


def test_reports_say_what_was_found() -> None:
    a, c = drawn(2, 4, seed=17)
    assert "the scalings of each unknown and no more" in str(stabiliser((a, c)))
    c[:, 1] = c[:, 0]
    text = str(stabiliser((a, c)))
    assert "2 more than the scalings" in text
    assert "mixed freely: 0, 1" in text
    found: Stabiliser = stabiliser(pn.PDEBlock(pn.catalogue["eq9"], 3))
    assert "every change of unknowns" in str(found)


def test_what_has_no_stabiliser_is_refused() -> None:
    a, c = drawn(2, 4, seed=18)
    for bad, text in (
        ((a, c[:, :3]), "square"),
        ((a, c[:1, :2, :2]), "one size"),
        ((a,), "pair"),
        ("eq3", "pair"),
        ((a * np.inf, c), "finite"),
    ):
        with pytest.raises(pn.SymmetryError, match=text):
            stabiliser(bad)  # type: ignore[arg-type]
    with pytest.raises(pn.SymmetryError, match="equation=5"):
        stabiliser((a, c), equation=5)
    with pytest.raises(pn.SymmetryError, match="few channels"):
        stabiliser(pn.PDEBlock(pn.catalogue["eq6"], 32))
    with pytest.raises(pn.SymmetryError, match="4 → 8 channels"):
        stabiliser(pn.PDEBlock(pn.catalogue["eq3"], 4, 8))


# -- slices that are 0 --------------------------------------------------------------------------


def ranks(a: Array, c: Array, p: Array) -> int:
    """The largest rank of A diag(x) C over directions and columns x of P, by NumPy alone."""
    made = [
        np.linalg.matrix_rank(d * x @ e, tol=1e-9) for d, e in zip(a, c, strict=True) for x in p.T
    ]
    return int(max(made))


@pytest.mark.parametrize("where", ["a row of C", "a column of A"])
@pytest.mark.parametrize("directions", [1, 2])
def test_a_slice_of_zeros_makes_the_symmetries_a_union_that_is_no_group(
    directions: int, where: str
) -> None:
    a, c = drawn(directions, 4, seed=0)
    if where == "a row of C":
        c[:, 3] = 0.0
    else:
        a[:, :, 3] = 0.0
    found = stabiliser((a, c))
    one, two = np.eye(4), np.eye(4)
    one[0, 3], two[1, 3] = 0.7, 0.7
    # Each keeps the form; neither column is in the algebra, and both together break it.
    assert ranks(a, c, one) == ranks(a, c, two) == 1
    assert ranks(a, c, one @ two) == 2
    assert not found.is_group
    assert found.finite_dimension == 7  # scalings, and index 3 added to the three others
    assert "(0, 3)" in found.caveats[0]
    assert "union of planes" in found.caveats[0]
    assert "no group" in str(found)
    # What is said to be a group does keep the form.
    x = np.tensordot(np.random.default_rng(0).normal(size=7), found.basis, 1)
    assert ranks(a, c, scipy.linalg.expm(x / np.linalg.norm(x))) == 1


def test_one_slice_that_is_not_zero_lets_every_change_keep_the_form() -> None:
    a, c = drawn(2, 4, seed=0)
    c[:, 1:] = 0.0
    assert ranks(a, c, np.random.default_rng(0).normal(size=(4, 4))) == 1
    found = stabiliser((a, c))
    assert (found.dimension, found.finite_dimension, found.is_group) == (16, 16, True)
    assert found.is_everything
