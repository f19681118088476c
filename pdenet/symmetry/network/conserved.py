"""Conserved: what gradient flow leaves as it is when a loss does not depend on the unknowns chosen.

Let u = P v change the unknowns of a stage of a network, whose coefficients change along: an index
that is contracted with u (lower) by θ → θ P, an index that makes a component of u (upper) by
θ → P⁻¹ θ. Where the loss L(θ) is the same for all P, its derivative at P = 1 vanishes: for all X

    Σ_lower ⟨∂L/∂θ, θ X⟩ − Σ_upper ⟨∂L/∂θ, X θ⟩ = Σ_jp X_jp S_jp = 0,
    S_jp = Σ_lower ⟨θ_j, ∂L/∂θ_p⟩ − Σ_upper ⟨θ_p, ∂L/∂θ_j⟩,

θ_j being the slice of θ at j of that index and ⟨·,·⟩ the sum over all others. Under gradient flow,
dθ/dt = −∂L/∂θ, the symmetric matrix

    Q = Σ_lower G − Σ_upper G,   G_jp = ⟨θ_j, θ_p⟩,   obeys   dQ/dt = −(S + Sᵀ) = 0.

For W₁ (upper) followed by W₂ (lower) that is W₂ᵀW₂ − W₁W₁ᵀ, the balancedness of linear networks.

Where only the X of a subalgebra leave L as it is, S is orthogonal to these, and ⟨X, Q⟩ is
conserved for every *symmetric* X among them: for scalings of each unknown the diagonal of Q, for
all of GL(n) all of Q. An antisymmetric X gives nothing, ⟨X, Q⟩ = 0 being true of any Q: what is
left of a stage whose ends carry a radial activation, O(n), makes the gradient orthogonal to the
orbit and conserves no number.

Weight decay, dθ/dt = −∂L/∂θ − λθ, makes Q decay as exp(−2λt), exactly. A step of gradient descent
of size η adds η² times the same matrix made of gradients: of order η per unit time. Momentum,
Adam and batch norms (whose running averages are no part of θ) do not conserve Q.

Source: Arora, Cohen & Hazan (2018), ICML, Theorem 1 and eq. (9), and Du, Hu & Lee (2018), NeurIPS,
Theorem 2.1 (two layers); Kunin et al. (2021), "Neural mechanics", ICLR (from symmetry, weight
decay); Zhao et al. (2023), "Symmetries, flat minima, and the conserved quantities of gradient
flow", ICLR (GL(n), and none for orthogonal groups); Marcotte, Gribonval & Peyré (2023), NeurIPS
(there are no others). The matrix for tensors with several indices is the same computation, ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any  # arrays or lists of numbers

import numpy as np
import torch

from pdenet.errors import SymmetryError

Slot = tuple[torch.Tensor, int]
"""A coefficient and the axis of it that P acts on."""

Tensorlike = torch.Tensor | Callable[[], torch.Tensor]
"""A coefficient, or a function that gives it."""

VARIANCES: Mapping[str | int, int] = MappingProxyType({"lower": 1, "upper": -1, 1: 1, -1: -1})
"""What an index of the state can be: contracted with u, θ → θ P, or a component made, θ → P⁻¹ θ;
and the sign with which its Gram matrix stands in Q."""


def gram(tensor: torch.Tensor, axis: int) -> torch.Tensor:
    """Return G_jp = ⟨θ_j, θ_p⟩, the inner products of the slices of a tensor.

    Args:
        tensor: θ, of any shape.
        axis: the axis of j.

    Returns:
        Shape `(n, n)`, symmetric, of the tensor's type, with gradients.

    Raises:
        SymmetryError: there is no such axis.

    Example:
        >>> gram(torch.tensor([[1.0, 2.0], [0.0, 3.0]]), axis=0)
        tensor([[5., 6.],
                [6., 9.]])
    """
    if not isinstance(tensor, torch.Tensor) or not -tensor.ndim <= axis < tensor.ndim:
        shape = tuple(getattr(tensor, "shape", ()))
        raise SymmetryError(
            f"an axis of a tensor was expected; got axis {axis} of shape {shape}; give one from 0 "
            f"to {len(shape) - 1}"
        )
    slices = tensor.movedim(axis, 0).flatten(1) if tensor.ndim > 1 else tensor[:, None]
    return slices @ slices.T


def momentum(lower: Iterable[Slot] = (), upper: Iterable[Slot] = ()) -> torch.Tensor:
    """Return Q = Σ_lower G − Σ_upper G, which gradient flow conserves.

    All of Q where the loss is invariant under GL(n), its diagonal where it is under scalings.

    Args:
        lower: coefficients with the axis that is contracted with u, such as C_jk with axis 1.
        upper: coefficients with the axis of the component made, such as A_ij with axis 0.

    Returns:
        Shape `(n, n)`, symmetric.

    Raises:
        SymmetryError: there is no slot at all, or their axes have different lengths.

    Example:
        >>> W1, W2 = torch.randn(3, 5), torch.randn(2, 3)  # x -> W2 W1 x
        >>> bool(torch.equal(momentum([(W2, 1)], [(W1, 0)]), W2.T @ W2 - W1 @ W1.T))
        True
    """
    slots = [(tensor, axis, "lower") for tensor, axis in lower]
    return stage_momentum([*slots, *((tensor, axis, "upper") for tensor, axis in upper)])


def stage_momentum(slots: Iterable[tuple[Tensorlike, int, str | int]]) -> torch.Tensor:
    """Return Q of a stage of a network.

    Args:
        slots: every place where P acts, each once: the parameter, or a function that gives it, the
            axis, and "lower" or "upper", or 1 or −1. A parameter that several blocks share stands
            there once, and one with two indices of the state, such as A_ij of Eq. (9), once for
            each.

    Returns:
        Shape `(n, n)`, symmetric.

    Raises:
        SymmetryError: there is no slot, one has another variance, or lengths differ.
    """
    total: torch.Tensor | None = None
    for given, axis, variance in slots:
        sign = VARIANCES.get(variance)
        if sign is None:
            raise SymmetryError(
                f"an index is one of {', '.join(map(repr, VARIANCES))}; got {variance!r}; an index "
                'that is contracted with u is "lower"'
            )
        tensor = given() if callable(given) else given
        part = gram(tensor, axis)
        if total is not None and part.shape != total.shape:
            raise SymmetryError(
                f"the indices of one state have one length; got {len(total)} and then {len(part)} "
                f"in a parameter of shape {tuple(tensor.shape)}, axis {axis}; give those of one "
                "stage"
            )
        total = sign * part if total is None else total + sign * part
    if total is None:
        raise SymmetryError(
            "at least one coefficient with an index of the state was expected; got none; give "
            "pairs of a tensor and an axis"
        )
    return total


def symmetric_generators(basis: Any) -> np.ndarray:
    """Return the symmetric matrices in a space of generators: those that conserve something.

    Args:
        basis: generators X whose exponentials leave the loss as it is, shape `(dimension, n, n)`.

    Returns:
        An orthonormal basis of the symmetric ones, shape `(conserved, n, n)`; none for O(n).
        ⟨X, Q⟩ is a conserved number for each, and together they are all that Q gives.

    Raises:
        SymmetryError: these are no square matrices.

    Example:
        >>> turn = [[[0.0, -1.0], [1.0, 0.0]]]
        >>> symmetric_generators(turn).shape, symmetric_generators([[[1.0, 0], [0, 0]]]).shape
        ((0, 2, 2), (1, 2, 2))
    """
    array = np.asarray(basis, dtype=np.float64)
    if array.ndim != 3 or array.shape[1] != array.shape[2]:
        raise SymmetryError(
            f"square matrices were expected; got the shape {array.shape}; give (dimension, n, n)"
        )
    count, n, _ = array.shape
    flat = array.reshape(count, n * n)
    _, values, rows = np.linalg.svd(flat, full_matrices=False)
    rows = rows[values > 1e-12 * values.max(initial=0.0)]  # rounding of a given basis
    # Σ c_k X_k is symmetric just when Σ c_k (X_k − X_kᵀ) = 0.
    matrices = rows.reshape(-1, n, n)
    odd = (matrices - matrices.swapaxes(1, 2)).reshape(len(rows), n * n)
    left, values, _ = np.linalg.svd(odd, full_matrices=True)
    values = np.append(values, np.zeros(max(0, len(rows) - len(values))))[: len(rows)]
    # 2 for an antisymmetric X of norm 1, 0 for a symmetric one; 1e-8 is far from both.
    kept = left[:, values <= 1e-8].T @ rows
    return np.asarray(kept.reshape(-1, n, n))


def conserved_numbers(moment: torch.Tensor, generators: Any) -> torch.Tensor:
    """Return ⟨X, Q⟩ for the symmetric generators X of a group.

    Args:
        moment: Q, shape `(n, n)`.
        generators: generators of the group, shape `(dimension, n, n)`; see `symmetric_generators`.

    Returns:
        Shape `(conserved,)`; empty for O(n).

    Raises:
        SymmetryError: the generators are of another size.
    """
    made = symmetric_generators(generators)
    if made.shape[1:] != moment.shape:
        raise SymmetryError(
            f"generators of the size of Q, {tuple(moment.shape)}, were expected; got "
            f"{made.shape[1:]}; give those of the same stage"
        )
    return torch.einsum("xij,ij->x", torch.as_tensor(made).to(moment), moment)
