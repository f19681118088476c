"""Hadamard: which changes of unknowns keep a tensor a sum of rank-one slices, one an index.

Let T^a_ijk = A^a_ij C^a_jk with no sum over j, as in Eq. (3): the slice j of direction a is the
rank-one matrix a_j ⊗ c_j, of the column a_j of A^a and the row c_j of C^a. For u = P v

    T̃^a_rpq = Σ (P⁻¹)_ri P_jp P_kq T^a_ijk = (P⁻¹ (Σ_j P_jp a_j ⊗ c_j) P)_rq,

whose slice p has rank one or less for every a, as a factorised tensor's have, just when

    rank(A^a diag(x) C^a) ≤ 1 for all a,  x the p-th column of P:                               (1)

a condition on each column of P alone, and P⁻¹ and P at the ends do not matter. Where some A^a and
C^a are invertible, A^a diag(x) C^a has as many ranks as x has entries, and (1) holds for
generalised permutations only.

To first order, P = 1 + εX, the slice is a_p ⊗ c_p + ε Σ_j X_jp a_j ⊗ c_j, and tangents of the
rank-one matrices at a_p ⊗ c_p are a' ⊗ c_p + a_p ⊗ c'. What is left of a matrix M modulo these is
Π M Π', with Π = 1 − a_p a_pᵀ/|a_p|² and Π' = 1 − c_p c_pᵀ/|c_p|². So X is tangent just when

    Σ_j X_jp (Π a_j) ⊗ (Π' c_j) = 0  for all a and p,                                           (2)

one nullspace of an n-column matrix for each p; X_pp is free. X_jp alone is allowed just when, for
each a, a_j is a multiple of a_p or c_j is one of c_p. In terms of (δT)_ijk = −X_il T_ljk +
T_ilk X_lj + T_ijl X_lk the first and the last term are −(XA)_ij C_jk and A_ij (CX)_jk, tangent
whatever X is, and of the middle one Σ_l A_il C_lk X_lj remains, which is (2).

(2) follows from (1) but not conversely: with a_1 ∥ a_3 and c_2 ∥ c_3 both X_13 and X_23 solve (2),
while 1 + X_13 E_13 + X_23 E_23 has rank two in slice 3 and breaks (1). `defect` measures (1).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from pdenet.symmetry.network.gaps import Gap, decide

# So many directions have their 2^m patterns of parallel columns and rows looked through.
_PATTERNS = 8


@dataclass(frozen=True, eq=False)
class Tangent:
    """The solutions of (2).

    Attributes:
        basis: matrices X, shape `(dimension, n, n)`, the n scalings first, then single entries.
        gap: how the dimension was decided.
        groups: indices any two of which may be mixed, all at once: GL(m) on m of them.
    """

    basis: np.ndarray
    gap: Gap
    groups: tuple[tuple[int, ...], ...]


def tangent(left: np.ndarray, right: np.ndarray, tol: float | None) -> Tangent:
    """Solve (2).

    Args:
        left: columns a_j, shape `(direction, row, n)`.
        right: rows c_j, shape `(direction, n, column)`.
        tol: what counts as zero; see `gaps.decide`. Slices are taken with norm 1, so that it is a
            product of the sines of two angles.

    Returns:
        A basis. Cost O(directions · n⁵): a few seconds for n = 64.
    """
    left, right = _reduced(left), _reduced(right.swapaxes(1, 2)).swapaxes(1, 2)
    n = left.shape[2]
    sizes = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=2)  # (direction, n)
    sizes = np.linalg.norm(sizes, axis=0)
    sizes = np.where(sizes > 0.0, sizes, 1.0)
    found = []
    for p in range(n):
        rows = np.einsum("arj,ajs->arsj", _projected(left, p), _across(right, p)).reshape(-1, n)
        rows = np.delete(rows / sizes, p, axis=1)
        triangle = np.linalg.qr(rows, mode="r")
        _, levels, vectors = np.linalg.svd(triangle)
        levels = np.append(levels, np.zeros(n - 1 - len(levels)))  # fewer rows than unknowns
        found.append((levels, vectors, np.linalg.norm(rows, axis=0)))
    pooled = np.sort(np.concatenate([levels for levels, _, _ in found] or [np.zeros(0)]))
    gap = decide(pooled, tol, n * n)
    made = [np.diag(row) for row in np.eye(n)]
    mixed = []
    for p, (levels, vectors, norms) in enumerate(found):
        others = np.delete(np.arange(n), p)
        null = vectors[levels <= gap.cut] if gap.num_zeros else vectors[:0]
        single = norms <= gap.cut if gap.num_zeros else np.zeros(n - 1, dtype=bool)
        for j in others[single]:
            entry = np.zeros((n, n))
            entry[j, p] = 1.0
            made.append(entry)
        # What is left of the nullspace has no part along single entries.
        rest = null * ~single
        count = len(null) - int(single.sum())
        if count > 0:
            _, _, span = np.linalg.svd(rest, full_matrices=False)
            for vector in span[:count]:
                entry = np.zeros((n, n))
                entry[others, p] = vector / sizes[others]
                mixed.append(entry / np.linalg.norm(entry))
    groups = parallel_groups(left, right, gap.cut) if gap.num_zeros else ()
    return Tangent(np.stack(made + mixed), gap, groups)


def defect(left: np.ndarray, right: np.ndarray, change: np.ndarray) -> float:
    """Return how far (1) is from true for P: the largest σ₂/σ₁ of all slices, 0 for a symmetry.

    Args:
        left: columns a_j, shape `(direction, row, n)`.
        right: rows c_j, shape `(direction, n, column)`.
        change: P, shape `(n, n)`.
    """
    left, right = _reduced(left), _reduced(right.swapaxes(1, 2)).swapaxes(1, 2)
    worst = 0.0
    for column in change.T:
        values = np.linalg.svd((left * column) @ right, compute_uv=False)
        if values.shape[1] > 1:
            worst = max(worst, float((values[:, 1] / np.maximum(values[:, 0], 1e-300)).max()))
    return worst


def parallel_groups(left: np.ndarray, right: np.ndarray, cut: float) -> tuple[tuple[int, ...], ...]:
    """Return disjoint groups of indices on which all of GL(m) solves (1), the largest first.

    For each direction either the columns a_j of a group are parallel or its rows c_j are: then
    A^a diag(x) C^a is of rank one for all x on the group. Each choice of one or the other for every
    direction is an equivalence relation; its classes are taken by size.
    """
    sines = np.stack([_sines(left), _sines(right.swapaxes(1, 2))])  # (factor, direction, n, n)
    count = sines.shape[1]
    near = sines <= cut
    patterns = product((0, 1), repeat=count) if count <= _PATTERNS else [(0,) * count, (1,) * count]
    classes: set[tuple[int, ...]] = set()
    for pattern in patterns:
        same = np.logical_and.reduce([near[f, a] for a, f in enumerate(pattern)])
        classes |= {tuple(np.flatnonzero(row)) for row in same & same.T}
    made: list[tuple[int, ...]] = []
    taken: set[int] = set()
    for group in sorted(classes, key=lambda group: (-len(group), group)):
        rest = tuple(int(j) for j in group if j not in taken)
        if len(rest) > 1:
            made.append(rest)
            taken |= set(rest)
    return tuple(made)


def keeping_pairs(left: np.ndarray, right: np.ndarray, cut: float) -> np.ndarray:
    """Return for which j and p the column x = e_p + a e_j solves (1), whatever a is.

    For each direction a_j and a_p are parallel or c_j and c_p are, where 0 is parallel to all. A
    slice that is 0 makes more of them than (2) shows: next to it the rank-one matrices are no
    smooth surface.

    Args:
        left: columns a_j, shape `(direction, row, n)`.
        right: rows c_j, shape `(direction, n, column)`.
        cut: the largest sine that counts as 0.

    Returns:
        bool, symmetric, shape `(n, n)`.
    """
    sines = np.stack([_sines(_reduced(v)) for v in (left, right.swapaxes(1, 2))])
    near = sines <= cut
    return np.asarray((near | near.swapaxes(2, 3)).any(axis=0).all(axis=0))


def is_rank_one(left: np.ndarray, right: np.ndarray, cut: float) -> bool:
    """Tell whether every x solves (1): the slices that are not 0 have parallel factors.

    Args:
        left: columns a_j, shape `(direction, row, n)`.
        right: rows c_j, shape `(direction, n, column)`.
        cut: the largest sine that counts as 0.
    """
    for a, c in zip(left, right, strict=True):
        live = a.any(axis=0) & c.any(axis=1)
        both = (a[None, :, live], c[live].T[None])
        if not any((_sines(_reduced(v)) <= cut).all() for v in both):
            return False
    return True


def _sines(columns: np.ndarray) -> np.ndarray:
    """Return |Π_p v_j| / |v_j|, the sine of an angle, shape `(direction, j, p)`; 0 for v_j = 0."""
    n = columns.shape[2]
    sizes = np.linalg.norm(columns, axis=1)
    made = [np.linalg.norm(_projected(columns, p), axis=1) for p in range(n)]
    return np.stack(made, axis=2) / np.where(sizes > 0.0, sizes, 1.0)[:, :, None]


def _projected(columns: np.ndarray, place: int) -> np.ndarray:
    """Return (1 − v_p v_pᵀ/|v_p|²) v_j for all j; v_j itself where v_p = 0."""
    chosen = columns[:, :, place]
    squares = np.sum(chosen**2, axis=1)
    unit = chosen / np.sqrt(np.where(squares > 0.0, squares, 1.0))[:, None]
    made = columns - unit[:, :, None] * np.einsum("ar,arj->aj", unit, columns)[:, None, :]
    # Twice is enough (Kahan): what remains along v_p is rounding of the remainder.
    made -= unit[:, :, None] * np.einsum("ar,arj->aj", unit, made)[:, None, :]
    return np.asarray(made)


def _across(rows: np.ndarray, place: int) -> np.ndarray:
    return _projected(rows.swapaxes(1, 2), place).swapaxes(1, 2)


def _reduced(columns: np.ndarray) -> np.ndarray:
    """Return columns with the same inner products, of n entries at most."""
    _, rows, n = columns.shape
    return columns if rows <= n else np.asarray(np.linalg.qr(columns, mode="r"))
