"""Decomposition: the finest common block-diagonal form of some square matrices.

The change of basis P must make every P⁻¹ M_k P block diagonal, with blocks as small as they can be.
All of it stands in the commutant

    C = {X : X M_k = M_k X for all k},

an algebra that contains 1. A splitting ℝⁿ = V ⊕ W into invariant subspaces is an idempotent of C,
so ℝⁿ is indecomposable just when C has no idempotent but 0 and 1: when C modulo its radical is
ℝ, ℂ or the quaternions. The trace form (X, Y) ↦ tr XY tells, without a single random draw. Its
kernel on C is the radical (Dickson; C acts faithfully, in characteristic 0), and on the trace-free
part of C it is

    ℝ: nothing is left,   ℂ: negative, tr i² = −2,   quaternions: negative, of rank 3,

while in every other case some X of trace 0 has tr X² > 0. Then the real parts of its eigenvalues
are not all the same, and its invariant subspaces on both sides of a gap split ℝⁿ. The halves are
treated alike until none splits. Krull and Schmidt: the sizes found do not depend on the choices.

Where C is closed under transposes, as it is for symmetric and for commuting normal matrices, the
eigenvectors of the trace form are symmetric matrices where it is positive and antisymmetric ones
where it is negative: X is symmetric, and P orthogonal.

Source: Murota, Kanno, Kojima & Kojima (2010), Japan J. Indust. Appl. Math. 27, 125–160; Maehara &
Murota (2010), ibid., 263–293, and (2011), SIAM J. Matrix Anal. Appl. 32, 605–620, who take a
generic symmetric element of the commutant of a *-algebra. The general case by the trace form is
ours; the radical as its kernel is Dickson's, see Rónyai (1990), J. Symbolic Comput. 9, 355–373.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.linalg
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from pdenet.symmetry.network.gaps import Gap, decide

KINDS = {0: "real", 1: "complex", 3: "quaternion"}
"""What the commutant of an indecomposable block is, modulo its radical, by the rank of its trace
form on trace-free elements."""

# Trace-free elements of C of Frobenius norm 1 have tr X² ≥ cond(P)⁻² where they are no nilpotents:
# this tells bases of condition up to 10⁴, and rounding, 1e-16·cond, stays four digits below.
_TRACE_FLOOR = 1e-8

# Random elements tried for one split, of which the best separated is taken. One would do; eight
# make a gap below 1 % of the spectrum, and with it lost digits, unlikely.
_DRAWS = 8


@dataclass(frozen=True)
class _Tolerance:
    """What counts as zero; the scale is that of the whole, for parts may be noise alone."""

    tol: float | None
    scale: float


@dataclass
class Blocks:
    """A decomposition while it is found.

    Attributes:
        bases: for each block the basis of its subspace, shape `(n, size)`.
        kinds: for each block a value of `KINDS`.
        halves: for each block that splits over ℂ an orthonormal basis of one half, whose conjugate
            is that of the other; else None.
        gaps: what was decided on the way.
    """

    bases: list[np.ndarray] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    halves: list[np.ndarray | None] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)

    def add(self, basis: np.ndarray, kind: str, half: np.ndarray | None = None) -> None:
        """Add a block; one of size 2 with halves gets the basis of a complex number."""
        if half is not None and basis.shape[1] == 2:
            basis = pair_basis(half[:, 0])
        self.bases.append(basis)
        self.kinds.append(kind)
        self.halves.append(half)


def decomposed(matrices: np.ndarray, tol: float | None) -> Blocks:
    """Return the finest common block-diagonal form over ℝ.

    Args:
        matrices: float64, shape `(matrix, n, n)`.
        tol: what counts as zero; see `gaps.decide`.

    Returns:
        Orthonormal bases of the blocks' subspaces (of blocks of two that are a complex number, the
        basis in which all matrices are [[a, −b], [b, a]]). Cost O(n⁶) time, O(n⁴) memory.
    """
    blocks = Blocks()
    n = matrices.shape[1]
    # ‖XM − MX‖ ≤ 2 ‖X‖ ‖M‖, and of the part of M without its trace, the only one that matters.
    traces = np.trace(matrices, axis1=1, axis2=2)[:, None, None] / n
    scale = 2.0 * float(np.linalg.norm(matrices - traces * np.eye(n)))
    whole = 2.0 * float(np.linalg.norm(matrices))
    if scale <= np.finfo(float).eps * n * whole:
        scale = whole or 1.0  # multiples of 1, up to rounding, which is not to be decomposed
    _decompose(matrices, np.eye(n), _Tolerance(tol, scale), blocks)
    return blocks


def commutant(matrices: np.ndarray, tolerance: _Tolerance) -> tuple[np.ndarray, Gap]:
    """Return the trace-free matrices that commute with all given ones.

    Args:
        matrices: float64, shape `(matrix, n, n)`.
        tolerance: what counts as zero.

    Returns:
        An orthonormal basis, shape `(element, n, n)`, and how its dimension was decided: by the
        singular values of X ↦ (X M_k − M_k X)_k on trace-free X.
    """
    n = matrices.shape[1]
    # Multiples of 1 commute with everything; without them rounding is smaller.
    traces = np.trace(matrices, axis1=1, axis2=2) / n
    matrices = matrices - traces[:, None, None] * np.eye(n)
    free = _trace_free(n)
    triangle = np.zeros((0, n * n - 1))
    one = np.eye(n)
    for matrix in _spanning(matrices / tolerance.scale):
        # Row-major: vec(XM) = (1 ⊗ Mᵀ) vec X, vec(MX) = (M ⊗ 1) vec X.
        rows = (np.kron(one, matrix.T) - np.kron(matrix, one)) @ free
        triangle = np.asarray(np.linalg.qr(np.vstack([triangle, rows]), mode="r"))
    _, levels, vectors = np.linalg.svd(triangle)
    gap = decide(levels[::-1], tolerance.tol, n * n)
    kept = vectors[len(levels) - gap.num_zeros :] @ free.T
    return kept.reshape(-1, n, n), gap


def _decompose(
    matrices: np.ndarray, basis: np.ndarray, tolerance: _Tolerance, blocks: Blocks
) -> None:
    """Split a subspace as far as it goes; `matrices` are those on it, `basis` spans it."""
    n = matrices.shape[1]
    if n == 1:
        blocks.add(basis, "real")
        return
    elements, gap = commutant(matrices, tolerance)
    blocks.gaps.append(gap)
    form = np.einsum("aij,bji->ab", elements, elements)
    values, vectors = np.linalg.eigh(0.5 * (form + form.T)) if len(form) else (np.zeros(0), form)
    # Elements known up to zero/nonzero have traces known as well.
    floor = max(_TRACE_FLOOR, 10.0 * gap.zero / gap.nonzero)
    positive = np.flatnonzero(values > floor)
    if not len(positive):
        negative = np.flatnonzero(values < -floor)
        half = None
        if len(negative):
            # X² = −μ² up to nilpotents: its eigenvalues are ±iμ, each on half of the space.
            unit = np.einsum("a,aij->ij", vectors[:, negative[0]], elements)
            _, spanning, count = scipy.linalg.schur(
                unit, output="complex", sort=lambda value: value.imag > 0.0
            )
            half = basis @ spanning[:, :count]
        blocks.add(basis, KINDS.get(len(negative), "complex"), half)
        return
    chosen = np.einsum("ap,aij->pij", vectors[:, positive] / values[positive] ** 0.5, elements)
    for part in _halves(chosen):
        # Of M on an invariant subspace with orthonormal basis V: VᵀMV.
        _decompose(part.T @ matrices @ part, basis @ part, tolerance, blocks)


def _halves(elements: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return orthonormal bases of two complementary invariant subspaces of a mix of elements."""
    generator = np.random.default_rng(0)
    best = (-1.0, elements[0], 0.0)
    for weights in generator.normal(size=(_DRAWS, len(elements))):
        mix = np.einsum("p,pij->ij", weights, elements)
        parts = np.sort(np.linalg.eigvals(mix).real)
        place = int(np.argmax(np.diff(parts)))
        width = (parts[place + 1] - parts[place]) / (parts[-1] - parts[0])
        best = max(best, (width, mix, 0.5 * (parts[place] + parts[place + 1])), key=lambda t: t[0])
    _, mix, cut = best
    low, high = (_invariant(mix, cut, sign) for sign in (-1.0, 1.0))
    return low, high


def _invariant(matrix: np.ndarray, cut: float, sign: float) -> np.ndarray:
    """Return an orthonormal basis of the invariant subspace of Re λ above or below a number."""
    _, vectors, count = scipy.linalg.schur(
        matrix, output="real", sort=lambda re, im=0.0: sign * (np.real(re) - cut) > 0
    )
    return np.asarray(vectors[:, :count])


def pair_basis(vector: np.ndarray) -> np.ndarray:
    """Return (Re v, −Im v), orthogonal: then M v = (a + ib) v is the matrix [[a, −b], [b, a]]."""
    # The phase that makes Σ v² real makes Re v ⟂ Im v.
    vector = vector * np.exp(-0.5j * np.angle(np.sum(vector**2)))
    pair = np.stack([vector.real, -vector.imag], axis=1)
    return np.asarray(pair / np.linalg.norm(pair[:, 0]))


def _trace_free(n: int) -> np.ndarray:
    """Return an orthonormal basis of the trace-free matrices, shape `(n², n² − 1)`."""
    one = np.eye(n).reshape(-1, 1)
    return np.linalg.qr(np.hstack([one, np.eye(n * n)[:, 1:]]))[0][:, 1:]


def _spanning(matrices: np.ndarray) -> np.ndarray:
    """Return as few matrices of the same span: their commutant is the same."""
    count, n, _ = matrices.shape
    if count <= 2:
        return matrices
    _, values, rows = np.linalg.svd(matrices.reshape(count, -1), full_matrices=False)
    kept = values > np.finfo(float).eps * values[0]
    return np.asarray((values[kept, None] * rows[kept]).reshape(-1, n, n))


# -- where eigenvalues are simple ------------------------------------------------------------------

# Eigenvalues nearer than this, relative to the spectral radius, are not told apart: eigenvectors
# are known to eps/distance, and ten digits have to be left.
_DISTANCE = 1e-6

# Above this condition of the eigenvectors less than eight digits are left.
_CONDITION = 1e8


def eigenvector_blocks(matrices: np.ndarray, tol: float | None) -> Blocks | None:
    """Return the finest common block-diagonal form over ℝ, or None where an eigenvalue is multiple.

    Let M = Σ c_k M_k, with random c, have n different eigenvalues and V⁻¹ M V be diagonal. What
    commutes with all M_k commutes with M, so it is V diag(x) V⁻¹, and commutes with M_k just when

        (x_i − x_j) (V⁻¹ M_k V)_ij = 0        for all i, j, k:

    x is constant on the connected components of the graph whose edges are the non-zero entries.
    These are the blocks, and there are no others. The numbers to decide on are the edges of a
    spanning tree of largest weight, W_ij = max_k |(V⁻¹ M_k V)_ij|: leaving out those below any
    threshold gives the components at that threshold. Cost O(n³) a matrix, where `decomposed`
    takes O(n⁶).

    Args:
        matrices: float64, shape `(matrix, n, n)`.
        tol: what counts as zero; see `gaps.decide`.

    Returns:
        Orthonormal bases of the blocks' subspaces, as `decomposition.decomposed` does.
    """
    n = matrices.shape[1]
    weights = np.random.default_rng(0).normal(size=len(matrices))
    values, vectors = np.linalg.eig(np.tensordot(weights, matrices, 1))
    distances = np.abs(values[:, None] - values[None, :]) + np.diag(np.full(n, np.inf))
    is_simple = distances.min() > _DISTANCE * np.abs(values).max()
    if not is_simple or np.linalg.cond(vectors) > _CONDITION:
        return None
    made = np.abs(np.linalg.solve(vectors[None], matrices @ vectors)).max(axis=0)
    scale = made.max() or 1.0
    links = np.maximum(made, made.T) / scale
    np.fill_diagonal(links, 0.0)
    # A minimal tree of −log W has the largest weights; 1 + … keeps every edge a non-zero entry.
    tiny = np.finfo(float).tiny
    costs = 1.0 - np.log(np.maximum(links, tiny))
    np.fill_diagonal(costs, 0.0)
    tree = minimum_spanning_tree(costs).tocoo()
    edges = links[tree.row, tree.col]
    gap = decide(np.sort(edges), tol, n * n)
    kept = np.zeros((n, n))
    strong = edges > gap.cut
    kept[tree.row[strong], tree.col[strong]] = 1.0
    _, labels = connected_components(kept, directed=False)
    blocks = Blocks(gaps=[gap])
    used: set[int] = set()
    for label in range(labels.max() + 1):
        if label in used:
            continue
        members = labels == label
        # LAPACK keeps conjugate eigenvalues side by side; the conjugate of a block is a block.
        partner = labels[_conjugate(values, int(np.flatnonzero(members)[0]))]
        used |= {label, int(partner)}
        chosen = members | (labels == partner)
        upper = vectors[:, chosen & (values.imag >= 0.0)]
        spanning = np.hstack([upper.real, upper.imag[:, np.abs(upper.imag).max(axis=0) > 0.0]])
        half = None if partner == label else np.linalg.qr(vectors[:, members])[0]
        kind = "real" if partner == label else "complex"
        blocks.add(np.linalg.qr(spanning)[0], kind, half)
    return blocks


def _conjugate(values: np.ndarray, place: int) -> int:
    """Return the place of the conjugate eigenvalue, of a real one its own."""
    return int(np.argmin(np.abs(values - values[place].conj())))
