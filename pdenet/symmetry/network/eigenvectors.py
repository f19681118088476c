"""Eigenvectors: the finest common block-diagonal form where eigenvalues are simple.

Let M = Σ c_k M_k, with random c, have n different eigenvalues and V⁻¹ M V be diagonal. What
commutes with all M_k commutes with M, so it is V diag(x) V⁻¹, and commutes with M_k just when

    (x_i − x_j) (V⁻¹ M_k V)_ij = 0        for all i, j, k:

x is constant on the connected components of the graph whose edges are the non-zero entries. These
are the blocks, and there are no others. The numbers to decide on are the edges of a spanning tree
of largest weight, W_ij = max_k |(V⁻¹ M_k V)_ij|: leaving out those below any threshold gives the
components at that threshold. Cost O(n³) a matrix, where `decomposition` takes O(n⁶).
"""

from __future__ import annotations

import numpy as np
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from pdenet.symmetry.network.decomposition import Blocks
from pdenet.symmetry.network.gaps import decide

# Eigenvalues nearer than this, relative to the spectral radius, are not told apart: eigenvectors
# are known to eps/distance, and ten digits have to be left.
_DISTANCE = 1e-6

# Above this condition of the eigenvectors less than eight digits are left.
_CONDITION = 1e8


def eigenvector_blocks(matrices: np.ndarray, tol: float | None) -> Blocks | None:
    """Return the finest common block-diagonal form over ℝ, or None where an eigenvalue is multiple.

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
