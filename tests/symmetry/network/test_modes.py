"""Modes: hidden common block structures are found, and no others."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import pdenet as pn
from pdenet.symmetry.network.decomposition import decomposed, eigenvector_blocks
from pdenet.symmetry.network.modes import Modes, modes, simultaneous_diagonalisation

TURN = np.array([[0.0, -1.0], [1.0, 0.0]])
# x ↦ ix and x ↦ jx on the quaternions: what commutes with both are the quaternions themselves.
LEFT_I = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, -1], [0, 0, 1, 0]])
LEFT_J = np.array([[0.0, 0, -1, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, -1, 0, 0]])


def orthogonal(n: int, generator: np.random.Generator) -> np.ndarray:
    return np.linalg.qr(generator.normal(size=(n, n)))[0]


def conditioned(n: int, condition: float, generator: np.random.Generator) -> np.ndarray:
    """A matrix of a given condition number."""
    left, right = orthogonal(n, generator), orthogonal(n, generator)
    return np.asarray(left @ np.diag(np.geomspace(1.0, condition, n)) @ right)


def blocks_of(sizes: tuple[int, ...], count: int, generator: np.random.Generator) -> np.ndarray:
    n = sum(sizes)
    made = np.zeros((count, n, n))
    for end, size in zip(np.cumsum(sizes), sizes, strict=True):
        made[:, end - size : end, end - size : end] = generator.normal(size=(count, size, size))
    return made


def in_order(values: np.ndarray) -> np.ndarray:
    """Complex numbers by real part, then by imaginary part, rounding aside."""
    return np.asarray(values[np.lexsort((values.imag, np.round(values.real, 6)))])


def hidden(matrices: np.ndarray, basis: np.ndarray) -> np.ndarray:
    return np.asarray(basis @ matrices @ np.linalg.inv(basis))


def check(found: Modes, matrices: np.ndarray, tolerance: float) -> None:
    """The form is that of the matrices: by P, whose blocks stand where they are said to."""
    inverse = np.linalg.inv(found.basis)
    mask = np.zeros(found.basis.shape, dtype=bool)
    for part in found.slices:
        mask[part, part] = True
    scale = max(np.linalg.norm(inverse @ m @ found.basis) for m in matrices)
    for matrix, made in zip(matrices, found.matrices, strict=True):
        again = inverse @ matrix @ found.basis
        assert np.linalg.norm(again[~mask]) <= tolerance * scale
        assert np.linalg.norm(again - made) <= max(tolerance, 1e-9) * scale


@pytest.mark.parametrize("condition", [1.0, 10.0, 1e3])
@pytest.mark.parametrize("sizes", [(1, 1, 2, 3), (2, 2, 2), (1, 5), (12, 9, 4, 3, 1)])
def test_hidden_blocks_are_found_to_rounding(sizes: tuple[int, ...], condition: float) -> None:
    generator = np.random.default_rng(sum(sizes))
    plain = blocks_of(sizes, 3, generator)
    matrices = hidden(plain, conditioned(sum(sizes), condition, generator))
    found = simultaneous_diagonalisation(matrices)
    assert found.blocks == tuple(sorted(sizes))
    # P⁻¹ M P is wrong by 1e-16 · cond · |M|, the M having been made with the same error.
    check(found, matrices, 1e-14 * max(condition, 10.0) ** 1.5)
    assert found.is_orthogonal == (condition == 1.0)
    # The blocks are similar to those put in: the same eigenvalues, known to 1e-16 · cond².
    wanted = in_order(np.linalg.eigvals(plain[0]))
    got = in_order(np.concatenate([values[0] for values in found.speeds]))
    np.testing.assert_allclose(got, wanted, atol=1e-13 * condition**2)


@pytest.mark.parametrize("n", [2, 5, 9, 30])
def test_generic_matrices_are_one_block(n: int) -> None:
    matrices = np.random.default_rng(n).normal(size=(2, n, n))
    found = simultaneous_diagonalisation(matrices)
    assert found.blocks == (n,)
    assert found.is_irreducible
    assert found.gap.margin > 1e6
    assert "no change of unknowns decouples them" in str(found)


@pytest.mark.parametrize("method", [decomposed, eigenvector_blocks])
def test_both_methods_find_the_same_blocks(method: object) -> None:
    generator = np.random.default_rng(3)
    matrices = hidden(blocks_of((1, 2, 2, 4), 3, generator), conditioned(9, 30.0, generator))
    assert callable(method)
    found = method(matrices, None)
    assert sorted(basis.shape[1] for basis in found.bases) == [1, 2, 2, 4]
    for basis in found.bases:
        # Invariant: M V stays in the span of V, to rounding · 30².
        for matrix in matrices:
            image = matrix @ basis
            assert np.linalg.norm(image - basis @ np.linalg.pinv(basis) @ image) < 1e-11


def test_equal_blocks_are_told_apart() -> None:
    """Of M ⊗ 1 no combination has simple eigenvalues, and the splitting is not unique."""
    generator = np.random.default_rng(4)
    one = generator.normal(size=(3, 2, 2))
    matrices = hidden(np.kron(np.eye(3), one), conditioned(6, 10.0, generator))
    assert eigenvector_blocks(matrices, None) is None
    found = simultaneous_diagonalisation(matrices)
    assert found.blocks == (2, 2, 2)
    check(found, matrices, 1e-12)


def test_symmetric_matrices_have_an_orthogonal_basis() -> None:
    generator = np.random.default_rng(5)
    plain = blocks_of((1, 2, 3), 2, generator)
    basis = orthogonal(6, generator)
    matrices = hidden(plain + plain.swapaxes(1, 2), basis)
    found = simultaneous_diagonalisation(matrices)
    assert found.blocks == (1, 2, 3)
    assert found.is_orthogonal
    assert found.condition == pytest.approx(1.0, abs=1e-12)  # rounding
    check(found, matrices, 1e-13)


def test_equal_blocks_of_symmetric_matrices_have_an_orthogonal_basis() -> None:
    """Of many splittings one is orthogonal; it is not found unless it is looked for."""
    generator = np.random.default_rng(11)
    one = generator.normal(size=(2, 2, 2))
    matrices = hidden(np.kron(np.eye(3), one + one.swapaxes(1, 2)), orthogonal(6, generator))
    found = simultaneous_diagonalisation(matrices)
    assert found.blocks == (2, 2, 2)
    assert found.is_orthogonal
    check(found, matrices, 1e-13)


@pytest.mark.parametrize("method", [decomposed, eigenvector_blocks])
def test_both_methods_find_complex_blocks_and_their_halves(method: object) -> None:
    """i ⊗ N with complex N of 3: six real rows that no real change of unknowns decouples."""
    generator = np.random.default_rng(12)
    real, imaginary = generator.normal(size=(2, 2, 3, 3))
    plain = np.kron(real, np.eye(2)) + np.kron(imaginary, TURN)
    matrices = hidden(plain, conditioned(6, 4.0, generator))
    assert callable(method)
    found = method(matrices, None)
    assert found.kinds == ["complex"]
    (basis,), (half,) = found.bases, found.halves
    assert np.linalg.matrix_rank(basis) == 6
    for matrix in matrices:
        image = matrix @ half
        assert half.shape == (6, 3)
        assert np.linalg.norm(image - half @ np.linalg.pinv(half) @ image) < 1e-12  # rounding


def test_a_jordan_block_does_not_split() -> None:
    matrix = 2.0 * np.eye(4) + np.diag([1.0, 1.0, 0.0], 1)
    basis = conditioned(4, 5.0, np.random.default_rng(6))
    found = simultaneous_diagonalisation([hidden(matrix, basis)])
    assert found.blocks == (1, 3)
    assert simultaneous_diagonalisation([matrix]).blocks == (1, 3)


def test_complex_pairs_are_blocks_of_two_that_split_over_the_complex_numbers() -> None:
    generator = np.random.default_rng(7)
    numbers = generator.normal(size=(2, 3, 2))
    plain = np.zeros((2, 6, 6))
    for k in range(3):
        place = slice(2 * k, 2 * k + 2)
        plain[:, place, place] = (
            numbers[:, k, 0, None, None] * np.eye(2) + numbers[:, k, 1, None, None] * TURN
        )
    matrices = hidden(plain, conditioned(6, 20.0, generator))
    found = simultaneous_diagonalisation(matrices)
    assert found.blocks == (2, 2, 2)
    assert found.kinds == ("complex",) * 3
    for part in found.slices:
        block = found.matrices[:, part, part]
        np.testing.assert_allclose(block[:, 0, 0], block[:, 1, 1], atol=1e-11)  # rounding · 20²
        np.testing.assert_allclose(block[:, 0, 1], -block[:, 1, 0], atol=1e-11)
    split = simultaneous_diagonalisation(matrices, over="complex")
    assert split.blocks == (1,) * 6
    check(split, matrices, 1e-12)
    wanted = in_order((numbers[0] @ np.array([[1, 1], [1j, -1j]])).ravel())
    got = in_order(np.diagonal(split.matrices[0]))
    np.testing.assert_allclose(got, wanted, atol=1e-11)


def test_quaternions_are_one_block_over_the_reals_and_two_over_the_complex_numbers() -> None:
    basis = conditioned(4, 3.0, np.random.default_rng(8))
    matrices = hidden(np.stack([LEFT_I, LEFT_J]), basis)
    found = simultaneous_diagonalisation(matrices)
    assert (found.blocks, found.kinds) == ((4,), ("quaternion",))
    split = simultaneous_diagonalisation(matrices, over="complex")
    assert split.blocks == (2, 2)
    check(split, matrices, 1e-13)


@pytest.mark.parametrize("noise", [1e-9, 1e-7, 1e-6])
def test_noise_is_told_by_its_gap_and_leaves_a_residual_of_its_size(noise: float) -> None:
    generator = np.random.default_rng(9)
    matrices = hidden(blocks_of((1, 2, 3), 3, generator), conditioned(6, 5.0, generator))
    matrices += noise * generator.normal(size=matrices.shape)
    found = simultaneous_diagonalisation(matrices)
    assert found.blocks == (1, 2, 3)
    # First order in the noise: times cond(P)/separation, which are below 30 each.
    assert 0.01 * noise < found.residual < 1e3 * noise
    assert found.gap.zero > 0.01 * noise
    assert found.gap.margin > 1e3  # the factor that is asked for
    strict = simultaneous_diagonalisation(matrices, tol=1e-12)
    assert strict.blocks == (6,)


def test_a_tolerance_of_its_own_admits_more_noise() -> None:
    generator = np.random.default_rng(10)
    matrices = hidden(blocks_of((2, 3), 3, generator), orthogonal(5, generator))
    matrices += 1e-3 * generator.normal(size=matrices.shape)
    assert simultaneous_diagonalisation(matrices).blocks == (5,)
    found = simultaneous_diagonalisation(matrices, tol=1e-2)
    assert found.blocks == (2, 3)
    assert found.residual < 0.1  # noise 1e-3, times 1/separation


@pytest.mark.parametrize("scalar", [0.0, 3.0])
def test_multiples_of_one_are_diagonal_already(scalar: float) -> None:
    found = simultaneous_diagonalisation([scalar * np.eye(3)])
    assert found.blocks == (1, 1, 1)
    assert found.residual == 0.0 or found.residual < 1e-15


def test_the_wave_equation_has_speeds_along_a_line_and_no_modes_in_the_plane() -> None:
    found = modes(pn.catalogue["wave_first_order"], values={"c": 3})
    assert found.names == ("A_x", "A_y")
    assert found.blocks == (3,)
    alone = simultaneous_diagonalisation([[[0, 3, 0], [3, 0, 0], [0, 0, 0]]])
    assert alone.blocks == (1, 1, 1)
    speeds = [float(values[0, 0]) for values in alone.speeds]
    np.testing.assert_allclose(speeds, [-3.0, 0.0, 3.0], atol=1e-14)  # rounding
    assert alone.is_orthogonal


def planted(name: str, seed: int = 0) -> tuple[pn.PDEBlock, np.ndarray]:
    """A block of width 5 whose closing matrices have blocks of 2 and 3, in float32."""
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    block = pn.PDEBlock(pn.catalogue[name], 5)
    matrices = hidden(blocks_of((2, 3), 4, generator), conditioned(5, 4.0, generator))
    (label,) = (k for k in block.coefficients.tensors if k.startswith("A"))
    with torch.no_grad():
        block.coefficients.tensors[label].copy_(torch.as_tensor(matrices.transpose(1, 2, 0)))
    return block, matrices


@pytest.mark.parametrize("name", ["eq3", "eq4", "eq6", "eq9"])
def test_the_closing_matrices_of_a_block_are_found_in_their_layout(name: str) -> None:
    block, matrices = planted(name)
    found = modes(block)
    assert found.blocks == (2, 3)
    assert len(found.names) == 4
    assert found.residual < 1e-5  # float32, times cond and separation
    check(found, matrices, 1e-5)
    assert any("batch norms" in text for text in found.caveats)


def test_a_linear_block_decouples_in_its_modes() -> None:
    """What a block computes, not its weights: of v = P⁻¹u each group moves alone."""
    torch.manual_seed(0)
    relaxation = pn.Relaxation(directions=3, norm=False)
    block = pn.PDEBlock(pn.catalogue["eq9"], 5, relaxation=relaxation).double()
    generator = np.random.default_rng(1)
    matrices = hidden(blocks_of((2, 3), 3, generator), conditioned(5, 4.0, generator))
    with torch.no_grad():
        block.coefficients.tensors["A_B"].copy_(torch.as_tensor(matrices.transpose(1, 2, 0)))
    found = modes(block)
    basis = torch.as_tensor(found.basis)
    v = torch.zeros(1, 5, 6, 6, dtype=torch.float64)
    v[:, :2] = torch.randn(1, 2, 6, 6, dtype=torch.float64)
    rate = block.rate(torch.einsum("ij,bjyx->biyx", basis, v))
    back = torch.einsum("ij,bjyx->biyx", torch.linalg.inv(basis), rate)
    assert back[:, :2].abs().max() > 0.1
    assert back[:, 2:].abs().max() < 1e-13  # rounding


def test_the_quasilinear_matrices_of_eq2_are_taken_for_every_component() -> None:
    torch.manual_seed(0)
    block = pn.PDEBlock(pn.catalogue["eq2"], 4)
    assert modes(block).matrices.shape == (16, 4, 4)
    assert modes(block).is_irreducible
    generator = np.random.default_rng(2)
    matrices = hidden(blocks_of((1, 3), 16, generator), conditioned(4, 4.0, generator))
    tensor = torch.as_tensor(matrices.reshape(4, 4, 4, 4))  # (d, k, i, j)
    with torch.no_grad():
        block.coefficients.tensors["A_B"].copy_(tensor.permute(2, 3, 0, 1))
    assert modes(block).blocks == (1, 3)


def test_eq5_is_diagonal_as_it_stands() -> None:
    torch.manual_seed(0)
    found = modes(pn.PDEBlock(pn.catalogue["eq5"], 4), of="quasilinear")
    assert found.blocks == (1, 1, 1, 1)
    np.testing.assert_allclose(np.abs(found.basis).max(axis=0), 1.0, atol=1e-12)  # rounding


@pytest.mark.parametrize("name", ["eq5", "eq7"])
def test_forms_without_square_closing_matrices_are_refused(name: str) -> None:
    with pytest.raises(pn.SymmetryError, match="quasilinear"):
        modes(pn.PDEBlock(pn.catalogue[name], 4))


def test_what_has_no_change_of_unknowns_is_refused() -> None:
    with pytest.raises(pn.SymmetryError, match="4 → 8 channels"):
        modes(pn.PDEBlock(pn.catalogue["eq3"], 4, 8))
    with pytest.raises(pn.SymmetryError, match="PDEBlock, was expected"):
        modes(torch.nn.Identity())  # type: ignore[arg-type]
    with pytest.raises(pn.SymmetryError, match="first derivatives"):
        modes(pn.catalogue["heat"], values={"D": 1.0})
    with pytest.raises(pn.SymmetryError, match="of='open'"):
        modes(pn.PDEBlock(pn.catalogue["eq3"], 4), of="open")
    for bad, text in (
        (np.zeros((2, 3)), "shape"),
        ([[[1.0, 2.0]]], "square"),
        ([np.eye(2), np.eye(3)], "of one size"),
        ([np.full((2, 2), np.nan)], "finite"),
        ([np.eye(2) * 1j], "real"),
    ):
        with pytest.raises(pn.SymmetryError, match=text):
            simultaneous_diagonalisation(bad)
    with pytest.raises(pn.SymmetryError, match="simple eigenvalues"):
        simultaneous_diagonalisation([np.eye(60)])
    with pytest.raises(pn.SymmetryError, match="over="):
        simultaneous_diagonalisation([np.eye(2)], over="reals")
