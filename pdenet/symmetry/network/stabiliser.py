"""Stabiliser: the changes of unknowns that keep a block's coefficients in the form of its equation.

Eq. (3) factorises the n³ coefficients of Eq. (2), T^a_ijk = A^a_ij C^a_jk. The paper asks for which
tensors more than scalings and permutations of the unknowns keep it factorised. Derived here:

- Eq. (3): P does just when A^a diag(x) C^a has rank one for every direction a and every column x of
  P. Where one A^a and its C^a are invertible: generalised permutations and nothing else. On m
  indices j that have, direction by direction, parallel rows of C^a or parallel columns of A^a: all
  of GL(m), so that n − Σ m + Σ m² dimensions remain.
- Eq. (4): the same with rows of P⁻¹, and with (A^a_ij)_{a,j} stacked for the one C.
- Eq. (5): P does just when it commutes with the grouping of equal rows (C^a_jk)_{a,k}.
- Eqs. (2), (7), (9): every P, since each index of the state stands on a coefficient of its own.
- Where a column of A^a or a row of C^a is 0 the P that keep Eq. (3) or (4) need be no group, but a
  union of planes: e_p + a e_j is then a column for any j. They are told by a caveat.
- other forms, such as Eq. (6): numerically; see `parametrised`. Eq. (6) with random coefficients
  has n dimensions for n ≥ 4, all 4 for n = 2, and for n = 3, to first order, 6: the three fluxes
  u_j C_jk u_k span a net of conics, which holds a whole curve of products of two linear forms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any  # tensors, arrays or lists of numbers

import numpy as np
import scipy.linalg
import torch

from pdenet.equation.system import FREE_INDEX
from pdenet.errors import SymmetryError
from pdenet.network.convnet.block import PDEBlock
from pdenet.network.products import STACK
from pdenet.symmetry.network.bilinear import Part, caveats, parts
from pdenet.symmetry.network.gaps import Gap, decide
from pdenet.symmetry.network.hadamard import defect, is_rank_one, keeping_pairs, tangent
from pdenet.symmetry.network.parametrised import Form

# Random elements of the algebra whose exponentials are tried: one would do, for what is no group
# breaks the form for almost every element.
_DRAWS = 3

# What counts as kept: rounding of an exponential and an inverse, with a margin of 1000.
_KEPT = 1e-10

# The largest J of `parametrised`, in numbers. Of Eq. (6) with four directions 8 unknowns have 8e5,
# and take seconds; 12 would have 6e6, and take minutes.
_LARGEST = 2e6

Defect = Callable[[np.ndarray], float]


@dataclass(frozen=True, eq=False)
class Stabiliser:
    """The changes of unknowns u = P v that keep a form.

    Attributes:
        size: n, the number of unknowns.
        equation: the form, such as "Eq. (3)".
        dimension: that of all X for which P = 1 + εX keeps the form to first order.
        basis: such X, shape `(dimension, n, n)`; for Eqs. (3)–(5) the n scalings come first.
        finite_dimension: that of the largest group found whose elements keep the form exactly;
            `dimension` where `is_group`, else at least this.
        is_group: whether exp(X) keeps the form for all these X, and they are closed under
            commutators, by trying random ones; and no others are known that keep it.
        defect: by how much the worst of those breaks it: 0 to rounding, or of the order of |X|².
        groups: indices that mix freely, GL(m) on m of them; what mixes otherwise is not among them.
        gap: how the dimension was decided.
        caveats: what the coefficients do not show of the block, and what these X do not of P.
    """

    size: int
    equation: str
    dimension: int
    basis: np.ndarray
    finite_dimension: int
    is_group: bool
    defect: float
    groups: tuple[tuple[int, ...], ...]
    gap: Gap
    caveats: tuple[str, ...] = ()

    @property
    def is_everything(self) -> bool:
        """Tell whether every change of unknowns is one."""
        return self.finite_dimension == self.size**2

    @property
    def is_trivial(self) -> bool:
        """Tell whether there are the n scalings and no more."""
        return self.dimension == self.size and self.is_group

    def __str__(self) -> str:
        n = self.size
        head = f"{self.equation} with {n} unknowns: {self.dimension} of {n * n} dimensions"
        if self.is_everything:
            lines = [f"{head}, every change of unknowns"]
        elif self.is_trivial:
            lines = [f"{head}, the scalings of each unknown and no more"]
        else:
            lines = [f"{head}, {self.dimension - n} more than the scalings"]
        if not self.is_everything:
            lines += [f"  mixed freely: {', '.join(map(str, group))}" for group in self.groups]
        if self.is_group:
            lines.append(f"  a group: exp(X) keeps the form to {self.defect:.1e}")
        elif self.finite_dimension == self.dimension:
            lines.append(
                f"  a group of {self.finite_dimension} dimensions keeps the form to "
                f"{self.defect:.1e}, and others do that are no group with it"
            )
        else:
            lines.append(
                f"  to first order only: exp(X) breaks the form by {self.defect:.1e}; a group of "
                f"{self.finite_dimension} dimensions at least keeps it"
            )
        lines.append(f"  {self.gap}")
        return "\n".join([*lines, *(f"  note: {text}" for text in self.caveats)])


def stabiliser(
    source: PDEBlock | tuple[Any, Any], tol: float | None = None, *, equation: int = 3
) -> Stabiliser:
    """Return the changes of unknowns that keep a block's coefficients in its form.

    Besides these, permutations of the unknowns keep Eqs. (3)–(6), and are no matter of dimension.

    Args:
        source: a block, or the two coefficients of Eq. (3) or (4): A, shape `(direction, n, n)`,
            and C, shape `(direction, n, n)`, of Eq. (4) `(n, n)`. Of one direction the first axis
            may be left out.
        tol: what counts as zero, relative to 1; by default the widest gap decides, so that rows
            equal up to float32's rounding are equal.
        equation: 3 or 4, for two coefficients.

    Returns:
        The dimensions, a basis, and whether it is a group. Cost for Eqs. (3) and (4)
        O(directions · n⁵), seconds for n = 64; for forms without a method of their own that of SVDs
        of a matrix of directions · n³ rows.

    Raises:
        SymmetryError: the block changes the width or is not bilinear, or it is too wide for a
            method that writes its tensors out.

    Example:
        >>> generator = np.random.default_rng(0)
        >>> A, C = generator.normal(size=(2, 2, 4, 4))
        >>> stabiliser((A, C)).dimension
        4
        >>> C[:, 1] = C[:, 0]  # rows 0 and 1 are equal for both directions
        >>> found = stabiliser((A, C))
        >>> found.dimension, found.groups, found.is_group
        (6, ((0, 1),), True)

    Source: the question is Liu, Shao & Bai's (2023), arXiv 2308.01621, § on the symmetry of the
    factorised form; the answer is derived in `hadamard`.
    """
    if not isinstance(source, PDEBlock):
        if equation not in (3, 4):
            raise SymmetryError(
                f"two coefficients are those of Eq. (3) or (4); got equation={equation!r}; give a "
                "block for another"
            )
        return _of_slices(*_checked(source, equation), equation, tol)
    found = parts(source)
    made = _of_block(source, found, tol)
    return Stabiliser(**{**vars(made), "caveats": made.caveats + caveats(source, found)})


def _of_block(block: PDEBlock, found: Sequence[Part], tol: float | None) -> Stabiliser:
    n = block.in_channels
    if all(part.is_free for part in found):
        return _everything(n, _name(block))
    if len(found) == 1 and found[0].kind == "advective":
        (part,) = found
        (derived, plain) = part.derived, part.plain
        weights = {frozenset(axes.replace(STACK, "")): (axes, w) for axes, w in part.weights}
        if len(weights) == len(part.weights) and plain != FREE_INDEX:
            if set(weights) == {frozenset({derived, plain})} and derived == FREE_INDEX:
                ((axes, value),) = weights.values()
                return _of_rows(_array(axes, value, STACK + derived + plain), tol)
            pair = frozenset({FREE_INDEX, derived})
            for tied, kind in ((derived, 3), (FREE_INDEX, 4)):
                if tied and set(weights) == {pair, frozenset({tied, plain})}:
                    first, second = weights[pair], weights[frozenset({tied, plain})]
                    left = _array(*first, STACK + FREE_INDEX + derived)
                    right = _array(*second, STACK + tied + plain)
                    return _of_slices(left, right, kind, tol)
    return _of_form(block, tol)


def _of_slices(left: np.ndarray, right: np.ndarray, equation: int, tol: float | None) -> Stabiliser:
    """Eqs. (3) and (4): one rank-one slice for each index that A and C share."""
    n = right.shape[1]
    if equation == 4:
        # Slices by i: of T^a_ijk the row i, (j) ⊗ (k); P acts on them by the rows of P⁻¹.
        left = left.swapaxes(1, 2)
    if len(left) != len(right):
        # One C for all directions a: [(a, i), j] ⊗ C_jk is one slice for them all, and likewise
        # one A.
        left = left.reshape(1, -1, n) if len(right) == 1 else left
        right = right.swapaxes(1, 2).reshape(1, -1, n).swapaxes(1, 2) if len(left) == 1 else right
    found = tangent(left, right, tol)
    basis = found.basis if equation == 3 else found.basis.swapaxes(1, 2)

    def breaks(change: np.ndarray) -> float:
        columns = change if equation == 3 else np.linalg.inv(change).T
        return defect(left, right, columns)

    name = f"Eq. ({equation})"
    if is_rank_one(left, right, found.gap.cut):
        return _everything(n, name)
    pairs = keeping_pairs(left, right, found.gap.cut) & ~np.eye(n, dtype=bool)
    shown = np.abs(found.basis).max(axis=0) > 0.0
    more = [(int(j), int(p)) for j, p in np.argwhere(pairs & ~shown)]
    return _closed(n, name, basis, found.groups, found.gap, breaks, _union(more, equation))


def _union(more: Sequence[tuple[int, int]], equation: int) -> tuple[str, ...]:
    """Say which P = 1 + a E_jp keep a form besides those of the algebra."""
    if not more:
        return ()
    which = "P" if equation == 3 else "P⁻ᵀ"
    listed = ", ".join(f"({j}, {p})" for j, p in more[:4]) + (", …" if more[4:] else "")
    text = (
        f"columns or rows that are 0 let {which} = 1 + a E_jp keep the form too, by itself, for "
        f"(j, p) = {listed}: all that do are a union of planes, of more dimensions, and no group"
    )
    return (text,)


def _everything(n: int, name: str) -> Stabiliser:
    """Return the answer where every P keeps a form."""
    basis = np.eye(n * n).reshape(-1, n, n)
    gap = Gap(n * n, 0.0, 1.0, float(np.finfo(float).eps))
    return Stabiliser(n, name, n * n, basis, n * n, True, 0.0, (tuple(range(n)),), gap)


def _of_rows(rows: np.ndarray, tol: float | None) -> Stabiliser:
    """Eq. (5): T^a_ijk = δ_ij C^a_jk; (δT)_rpq = (C_rq − C_pq) X_rp for r ≠ p must vanish."""
    n = rows.shape[1]
    flat = rows.swapaxes(0, 1).reshape(n, -1)
    distances = np.linalg.norm(flat[:, None] - flat[None], axis=2)
    distances /= 2.0 * np.linalg.norm(flat, axis=1).max() or 1.0
    pairs = np.triu_indices(n, 1)
    gap = decide(np.sort(distances[pairs]), tol, n * n)
    near = (distances <= gap.cut) if gap.num_zeros else np.eye(n, dtype=bool)
    classes = {tuple(int(j) for j in np.flatnonzero(row)) for row in near}
    made = [np.diag(row) for row in np.eye(n)]
    for r, p in zip(*np.nonzero(near & ~np.eye(n, dtype=bool)), strict=True):
        entry = np.zeros((n, n))
        entry[r, p] = 1.0
        made.append(entry)
    groups = tuple(sorted(group for group in classes if len(group) > 1))
    size = float(np.abs(flat).max()) or 1.0

    def breaks(change: np.ndarray) -> float:
        turned = np.linalg.solve(change[None], flat.T[:, :, None] * change)
        return float(np.abs(turned * (1.0 - np.eye(n))).max()) / size

    return _closed(n, "Eq. (5)", np.stack(made), groups, gap, breaks)


def _of_form(block: PDEBlock, tol: float | None) -> Stabiliser:
    """Any form, by its Jacobian."""
    form, n = Form(block), block.in_channels
    entries = sum(part.tensor().numel() for part in parts(block))
    if entries * (form.num_coefficients + n * n) > _LARGEST:
        raise SymmetryError(
            f"a block of few channels was expected, since {block.form.equation} has no method of "
            f"its own; got {n}, with {entries} × {form.num_coefficients} derivatives; take 8 "
            "channels or fewer"
        )
    basis, gap = form.tangent(tol)
    return _closed(n, _name(block), basis, (), gap, form.defect)


def _closed(
    n: int,
    equation: str,
    basis: np.ndarray,
    groups: tuple[tuple[int, ...], ...],
    gap: Gap,
    breaks: Defect,
    others: tuple[str, ...] = (),
) -> Stabiliser:
    """Try whether the algebra is that of a group, and of all P if there are no others."""
    generator = np.random.default_rng(0)
    worst = 0.0
    for weights in generator.normal(size=(_DRAWS, len(basis))):
        x = np.tensordot(weights, basis, 1)
        # Of norm 1: far from the identity, and of condition e² at most.
        worst = max(worst, breaks(scipy.linalg.expm(x / np.linalg.norm(x))))
    # What is taken for zero breaks the form by as much.
    allowed = max(_KEPT, 100.0 * gap.zero)
    is_closed = worst <= allowed and outside_span(basis, generator) <= allowed
    counts = [len(group) for group in groups]
    finite = n - sum(counts) + sum(m * m for m in counts)
    finite = len(basis) if is_closed else min(finite, len(basis))
    is_group = is_closed and not others
    return Stabiliser(n, equation, len(basis), basis, finite, is_group, worst, groups, gap, others)


def outside_span(basis: np.ndarray, generator: np.random.Generator) -> float:
    """Return how far commutators of random elements are from the span, relative to their norm."""
    span = np.linalg.qr(basis.reshape(len(basis), -1).T)[0]
    worst = 0.0
    for weights in generator.normal(size=(_DRAWS, 2, len(basis))):
        x, y = np.tensordot(weights, basis, 1)
        made = (x @ y - y @ x).ravel()
        rest = made - span @ (span.T @ made)
        worst = max(worst, float(np.linalg.norm(rest) / (np.linalg.norm(x) * np.linalg.norm(y))))
    return worst


def _name(block: PDEBlock) -> str:
    return block.form.equation


def _array(axes: str, value: torch.Tensor, order: str) -> np.ndarray:
    """Return a coefficient as float64 with its axes in an order, the direction in front."""
    made = value.detach().double().cpu()
    if STACK not in axes:
        made, axes = made[None], STACK + axes
    return np.asarray(made.permute([axes.index(c) for c in order]).numpy())


def _checked(source: object, equation: int) -> tuple[np.ndarray, np.ndarray]:
    """Return A and C, shape `(direction, n, n)`."""
    if not isinstance(source, tuple | list) or len(source) != 2:
        raise SymmetryError(
            f"a block, or the pair (A, C), was expected; got {type(source).__name__}; give "
            "stabiliser((A, C)) with A of shape (direction, n, n)"
        )
    made = []
    for name, given in zip("AC", source, strict=True):
        array = np.asarray(torch.as_tensor(given).detach().cpu().double().numpy())
        array = array[None] if array.ndim == 2 else array
        if array.ndim != 3 or array.shape[1] != array.shape[2] or not np.isfinite(array).all():
            raise SymmetryError(
                f"finite square matrices, one a direction, were expected; got {name} of shape "
                f"{array.shape}; give (direction, n, n)"
            )
        made.append(array)
    first, second = made
    if first.shape[1] != second.shape[1] or len(second) not in (1, len(first)):
        raise SymmetryError(
            f"A and C of one size and as many directions were expected; got {first.shape} and "
            f"{second.shape}; give both as (direction, n, n)"
            + (", or one C for all" if equation == 4 else "")
        )
    return first, second
