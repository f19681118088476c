"""Modes: the change of unknowns in which the matrices of a system are block diagonal at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any  # values of parameters are numbers, arrays or tensors

import numpy as np
import torch

from pdenet.equation.linear import linear_form
from pdenet.equation.pde import PDE
from pdenet.equation.system import FREE_INDEX
from pdenet.equation.values import bind
from pdenet.errors import SymmetryError
from pdenet.network.convnet.block import PDEBlock
from pdenet.network.products import STACK
from pdenet.symmetry.network.bilinear import caveats, parts
from pdenet.symmetry.network.decomposition import Blocks, decomposed, eigenvector_blocks
from pdenet.symmetry.network.gaps import Gap

# The general method takes O(n⁶): 1 s at 24, a minute at 48.
_SMALL, _LARGE = 24, 48

# The blocks and the matrices of a printed table.
_ROWS, _COLUMNS = 12, 4


@dataclass(frozen=True, eq=False)
class Modes:
    """Some square matrices in their finest common block-diagonal form.

    P⁻¹ M_k P = diag(block 1, block 2, …) for all k. For u_t = Σ_a M_a ∂_a u and u = P v each block
    is a system of its own; a block of size 1 is a mode, v_t = Σ_a λ_a ∂_a v, which moves with the
    velocity (−λ_a)_a.

    Attributes:
        basis: P, shape `(n, n)`; the columns of a block are orthonormal.
        blocks: the sizes of the blocks, in order; (n,) where there is no such form.
        kinds: for each block "real", "complex" or "quaternion": what commutes with it, up to
            nilpotents. A complex one splits in two over ℂ.
        matrices: P⁻¹ M_k P as computed, shape `(matrix, n, n)`.
        residual: the largest Frobenius norm outside the blocks, relative to that of the matrices.
        condition: the condition number of P; 1 where P is orthogonal.
        gap: how the smallest margin was decided; see `Gap`.
        names: the names of the matrices.
        caveats: what the matrices do not show of where they are from.
    """

    basis: np.ndarray
    blocks: tuple[int, ...]
    kinds: tuple[str, ...]
    matrices: np.ndarray
    residual: float
    condition: float
    gap: Gap
    names: tuple[str, ...]
    caveats: tuple[str, ...] = ()

    @property
    def is_irreducible(self) -> bool:
        """Tell whether there is one block: no change of unknowns decouples anything."""
        return len(self.blocks) == 1

    @property
    def is_orthogonal(self) -> bool:
        """Tell whether P is orthogonal, to 1e-8: what eight digits of a gap leave."""
        n = len(self.basis)
        return bool(np.abs(self.basis.conj().T @ self.basis - np.eye(n)).max() < 1e-8)

    @property
    def slices(self) -> tuple[slice, ...]:
        """Where each block stands."""
        ends = np.cumsum((0, *self.blocks))
        return tuple(slice(int(a), int(b)) for a, b in pairwise(ends))

    @property
    def speeds(self) -> tuple[np.ndarray, ...]:
        """For each block the eigenvalues of each matrix on it, shape `(matrix, size)`, ascending.

        Within a block of more than one they belong to each matrix alone.
        """
        made = []
        for part in self.slices:
            values = np.linalg.eigvals(self.matrices[:, part, part])
            is_real = np.abs(values.imag).max() <= 1e-12 * np.abs(values).max()
            made.append(np.sort(values.real if is_real else values, axis=1))
        return tuple(made)

    def __str__(self) -> str:
        count, n = self.matrices.shape[:2]
        what = f"{count} {'matrix' if count == 1 else 'matrices'} of size {n}"
        if self.is_irreducible:
            head = f"{what}: one block ({self.kinds[0]}); no change of unknowns decouples them"
        else:
            head = f"{what}: {len(self.blocks)} blocks of sizes {' '.join(map(str, self.blocks))}"
        which = "orthogonal" if self.is_orthogonal else f"of condition {self.condition:.1e}"
        lines = [head, f"  P {which}, residual {self.residual:.1e}", f"  {self.gap}"]
        shown = list(zip(self.names, range(count), strict=True))[:_COLUMNS]
        for number, (kind, values) in enumerate(zip(self.kinds, self.speeds, strict=True), 1):
            if number > _ROWS:
                lines.append(f"  … {len(self.blocks) - _ROWS} more")
                break
            if values.shape[1] > 4:
                lines.append(f"  block {number}: {values.shape[1]} × {values.shape[1]}, {kind}")
                continue
            texts = [f"{name}: {', '.join(f'{v:.4g}' for v in values[k])}" for name, k in shown]
            more = "; …" if count > _COLUMNS else ""
            lines.append(f"  block {number} ({kind}): eigenvalues {'; '.join(texts)}{more}")
        return "\n".join([*lines, *(f"  note: {text}" for text in self.caveats)])


def simultaneous_diagonalisation(
    matrices: Sequence[Any] | np.ndarray | torch.Tensor,
    tol: float | None = None,
    *,
    over: str = "real",
    names: Sequence[str] | None = None,
) -> Modes:
    """Return the finest common block-diagonal form of some matrices.

        P⁻¹ M_k P = diag(block 1, block 2, …)  for all k

    Blocks of size 1 are common eigenvectors. Where the matrices and their transposes have the same
    invariant splittings, as commuting normal matrices and all symmetric ones have, P is orthogonal.
    A complex pair of eigenvalues a ± ib is a block [[a, −b], [b, a]] over the reals.

    The sizes are exact for matrices that are block diagonal in a basis of condition up to 1e3, and
    for such matrices with noise of up to some 1e-5 of their norm, as long as what is not zero is a
    factor of 1000 above it; `gap` says how clear that was. With more noise give `tol`.

    Args:
        matrices: shape `(matrix, n, n)`, real; arrays, tensors or lists.
        tol: commutators, and entries in an eigenbasis, up to `tol` times the largest are zero; by
            default the widest gap decides.
        over: "real", or "complex", where complex blocks are split and P is complex.
        names: the names of the matrices; by default M1, M2, …

    Returns:
        The form. One block, P = 1, where there is none.

    Raises:
        SymmetryError: they are no square real matrices of one size, or of more than 48 rows and no
            combination of them has simple eigenvalues.

    Example:
        >>> x, y = [[0, 1, 0], [1, 0, 0], [0, 0, 0]], [[0, 0, 1], [0, 0, 0], [1, 0, 0]]
        >>> simultaneous_diagonalisation([x]).blocks, simultaneous_diagonalisation([x, y]).blocks
        ((1, 1, 1), (3,))

    Source: see `decomposition.decomposed`, for n up to 24, and `eigenvector_blocks`, for more.
    """
    array = _checked(matrices)
    if over not in ("real", "complex"):
        raise SymmetryError(
            f"blocks are over the real or the complex numbers; got {over!r}; write "
            'over="real" or over="complex"'
        )
    count, n, _ = array.shape
    found = eigenvector_blocks(array, tol) if n > _SMALL else decomposed(array, tol)
    if found is None and n <= _LARGE:
        found = decomposed(array, tol)
    if found is None:
        raise SymmetryError(
            f"above {_LARGE} rows a combination of the matrices with simple eigenvalues was "
            f"expected; got {count} matrices of {n} rows without; decompose a part of them"
        )
    bases, kinds = _ordered(found, array, over == "complex")
    basis = np.hstack([_signed(part) for part in bases])
    made = np.linalg.solve(basis[None], array @ basis)
    blocks = tuple(part.shape[1] for part in bases)
    number = np.repeat(np.arange(len(blocks)), blocks)
    outside = made * (number[:, None] != number[None, :])
    gaps = found.gaps or [Gap(0, 0.0, 1.0, np.finfo(float).eps)]
    return Modes(
        basis=basis,
        blocks=blocks,
        kinds=tuple(kinds),
        matrices=made,
        residual=_relative(outside, made),
        condition=float(np.linalg.cond(basis)),
        gap=min(gaps, key=lambda gap: gap.margin),
        names=tuple(names) if names is not None else tuple(f"M{k}" for k in range(1, count + 1)),
    )


def modes(
    source: PDEBlock | PDE,
    tol: float | None = None,
    *,
    of: str | None = None,
    over: str = "real",
    values: Mapping[Any, Any] | None = None,
) -> Modes:
    """Return the modes of a block, or of a linear equation of first order.

    Which matrices are meant:

    - u_t = Σ_a A^a ∂_a u, Eq. (9), and a linear `pn.PDE`: all A^a. Each block is a system that
      knows nothing of the others.
    - Eq. (2): the matrices A^a_k with A^a(u) = Σ_k A^a_k u_k, so that A^a(u) is block diagonal for
      every u.
    - Eqs. (3), (4), (6): the linear parts, the closing matrices A^a_ij. What multiplies them,
      C_jk u_k, still couples the blocks.
    - any of them with `of="quasilinear"`: the matrices of A^a(u) as for Eq. (2), in divergence form
      those of the flux's Jacobian. For weights drawn at random there is one block.

    Args:
        source: a block whose state has as many components before as behind, or an equation.
        tol: what counts as zero; see `simultaneous_diagonalisation`. For float32 weights the widest
            gap is found at 1e-7 as well as at 1e-16.
        of: "closing" or "quasilinear"; by default as above.
        over: "real" or "complex".
        values: numbers for the parameters of an equation.

    Raises:
        SymmetryError: the form has no square matrices on the state, as Eqs. (5) and (7) have none
            for `of="closing"`.

    Example:
        >>> import pdenet as pn
        >>> block = pn.PDEBlock(pn.catalogue["eq9"], 4, relaxation=pn.Relaxation(directions=None))
        >>> modes(block).names
        ('A', 'B')
    """
    if of not in (None, "closing", "quasilinear"):
        raise SymmetryError(
            f'the matrices are the "closing" or the "quasilinear" ones; got of={of!r}; write one '
            "of these, or leave it out"
        )
    if isinstance(source, PDE):
        matrices, names = _of_equation(source, values)
        return simultaneous_diagonalisation(matrices, tol, over=over, names=names)
    found = parts(source)
    if len(found) != 1:
        raise SymmetryError(
            f"a block of one layer was expected; got {len(found)}; take the matrices of interest "
            "from block.coefficients and call simultaneous_diagonalisation"
        )
    (part,) = found
    tensor = part.tensor().detach()
    if (
        part.kind == "linear"
        or of == "quasilinear"
        or (of is None and _has_rank_three(part.weights))
    ):
        names = source_names(source, len(tensor))
        if part.kind != "linear":
            # (d, i, j, k) -> one matrix for each d and k
            count = tensor.shape[-1]
            names = tuple(f"{name}[{k}]" for name in names for k in range(count))
            tensor = tensor.movedim(-1, 1).flatten(0, 1)
    else:
        tensor, names = _closing(source, part.weights)
    made = simultaneous_diagonalisation(tensor, tol, over=over, names=names)
    return Modes(**{**vars(made), "caveats": caveats(source, found)})


def source_names(block: PDEBlock, count: int) -> tuple[str, ...]:
    """Return the names of the closing coefficients, one a direction; else those of directions."""
    for product in block.products:
        for weights in product.weights:
            if FREE_INDEX in weights.indices and len(weights.names) == count:
                return weights.names
    return tuple(f"direction {k}" for k in range(1, count + 1))


def _has_rank_three(weights: Sequence[tuple[str, torch.Tensor]]) -> bool:
    return any(len(axes.replace(STACK, "")) == 3 for axes, _ in weights)


def _closing(
    block: PDEBlock, weights: Sequence[tuple[str, torch.Tensor]]
) -> tuple[torch.Tensor, tuple[str, ...]]:
    """Return the closing matrices A^a_ij, shape `(direction, i, j)`."""
    n = block.in_channels
    for axes, value in weights:
        column = axes.replace(STACK, "").replace(FREE_INDEX, "")
        tied = [a for a, _ in weights if column in a] if len(column) == 1 else []
        if FREE_INDEX not in axes or STACK not in axes or not tied:
            continue
        made = value.detach().permute([axes.index(c) for c in STACK + FREE_INDEX + column])
        # Of Eq. (5) the only coefficient, C^a_ik, stands on what is not differentiated.
        if made.shape[1:] == (n, n) and len(weights) > 1:
            return made, source_names(block, len(made))
    raise SymmetryError(
        f"matrices A^a_ij on the {n} components of the state were expected; got coefficients with "
        f'the axes {", ".join(axes for axes, _ in weights)}; write of="quasilinear"'
    )


def _of_equation(
    pde: PDE, values: Mapping[Any, Any] | None
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Return the matrices of the first derivatives of a linear equation, and their names."""
    numbers = bind(pde.system, values)
    made = {
        alpha: matrix for alpha, matrix in linear_form(numbers).matrices.items() if sum(alpha) == 1
    }
    if not made:
        raise SymmetryError(
            f"a system with first derivatives was expected; got {pde}; for second derivatives call "
            "simultaneous_diagonalisation with their matrices"
        )
    order = sorted(made, reverse=True)
    names = tuple(f"A_{pde.system.axes[alpha.index(1)]}" for alpha in order)
    return [made[alpha] for alpha in order], names


def _checked(matrices: Sequence[Any] | np.ndarray | torch.Tensor) -> np.ndarray:
    """Return matrices as one float64 array."""
    try:
        given = [np.asarray(torch.as_tensor(m).detach().cpu().numpy()) for m in matrices]
        array = np.stack(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise SymmetryError(
            f"matrices of one size were expected; got {type(matrices).__name__} that stack to none "
            f"({error}); give an array of shape (matrix, n, n)"
        ) from error
    if array.ndim != 3 or array.shape[1] != array.shape[2] or not array.size:
        raise SymmetryError(
            f"square matrices were expected; got the shape {array.shape}; give (matrix, n, n)"
        )
    if np.iscomplexobj(array) or not np.isfinite(array.astype(np.float64)).all():
        raise SymmetryError(
            "real and finite numbers were expected; got complex, infinite or undefined ones; "
            "give real matrices, of a complex one its real and its imaginary part"
        )
    return array.astype(np.float64)


def _ordered(
    found: Blocks, matrices: np.ndarray, is_complex: bool
) -> tuple[list[np.ndarray], list[str]]:
    """Return the blocks by size, then by the mean eigenvalues of the first matrices."""
    scale = float(np.abs(matrices).max()) or 1.0
    made = []
    for basis, kind, half in zip(found.bases, found.kinds, found.halves, strict=True):
        splits = is_complex and half is not None
        for part in [half, half.conj()] if splits and half is not None else [basis]:
            inside = np.linalg.pinv(part) @ matrices @ part
            means = np.trace(inside, axis1=1, axis2=2) / part.shape[1]
            # Rounded, so that what is equal up to rounding is in no order of its own.
            rounded = np.round(np.stack([means.real, means.imag], axis=1).ravel() / scale, 9)
            made.append((part.shape[1], tuple(rounded), part, "complex" if splits else kind))
    made.sort(key=lambda block: block[:2])
    return [block[2] for block in made], [block[3] for block in made]


def _signed(basis: np.ndarray) -> np.ndarray:
    """Return a block's basis with the largest entry of its first column positive, a convention."""
    first = basis[:, 0]
    entry = first[np.argmax(np.abs(first) > 0.999 * np.abs(first).max())]
    return np.asarray(basis * (np.abs(entry) / entry))


def _relative(part: np.ndarray, whole: np.ndarray) -> float:
    """Return the largest norm of a matrix, relative to the largest of all."""
    scale = np.linalg.norm(whole, axis=(1, 2)).max()
    return float(np.linalg.norm(part, axis=(1, 2)).max() / scale) if scale else 0.0
