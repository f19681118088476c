"""Kernels: the stencils of a network as tensors that are fixed, free, or free up to moments.

The moments of a kernel K on unit spacing, about its centre c, are

    M_m = Σ_k K[k] Π_a (k_a − c_a)^{m_a} / m_a!

By Taylor's formula K approximates ∂^m exactly when M_m = 1 is its only moment of total order ≤ |m|;
higher moments are its truncation error. A kernel that keeps its moments up to the order of its
derivative therefore stays a consistent approximation of it, whatever it learns. See Long, Lu, Ma &
Dong (2018), "PDE-Net: Learning PDEs from Data", arXiv 1710.09668, with the constraints "frozen",
"moment" and "free"; there M is indexed by the same m.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn

from pdenet.discrete.structure import Kernel
from pdenet.network.tensors import NamedTensors

STENCILS = "stencils"
"""The word that stands for all kernels among the names of what is trainable."""

CONSTRAINTS = ("free", "moment", "frozen")
"""What kernels that learn may become."""


class Kernels(nn.Module):
    """The kernels of a block, on unit spacing.

    With "moment" a kernel is K₀ + Σ θ_p N_p: K₀ is the stencil, the N_p are an orthonormal basis of
    the kernels without moments up to its order, and θ, which starts at 0, is the parameter.

    Args:
        kernels: where the kernels stand.
        weights: their first values, shape `(*space)` each, float64.
        dtype: float32 or float64.
        trainable: whether they learn.
        constraint: "free", "moment" or "frozen", which is as not trainable.
    """

    def __init__(
        self,
        kernels: Sequence[Kernel],
        weights: Sequence[np.ndarray],
        dtype: torch.dtype,
        trainable: bool = False,
        constraint: str = "free",
    ) -> None:
        super().__init__()
        named = {
            k.name: torch.tensor(w, dtype=dtype) for k, w in zip(kernels, weights, strict=True)
        }
        learns = trainable and constraint != "frozen"
        self.weights = NamedTensors(named, named if learns and constraint == "free" else ())
        bases, starts = {}, {}
        if learns and constraint == "moment":
            for kernel in kernels:
                basis = free_directions(kernel)
                if len(basis):
                    bases[kernel.name] = torch.tensor(basis, dtype=dtype)
                    starts[kernel.name] = torch.zeros(len(basis), dtype=dtype)
        self.bases = NamedTensors(bases, persistent=False)
        self.free = NamedTensors(starts, starts)

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self.free:
            return self.weights[name]
        return self.weights[name] + torch.tensordot(self.free[name], self.bases[name], 1)

    def __iter__(self) -> Iterator[str]:
        return iter(self.weights)

    def items(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Go through names and kernels, in the order of the structure."""
        return ((name, self[name]) for name in self.weights)

    def quantities(self) -> dict[str, nn.Parameter]:
        """Return the trainable parameters by the names of the kernels."""
        named = [*self.weights.items(), *self.free.items()]
        return {name: tensor for name, tensor in named if isinstance(tensor, nn.Parameter)}


def moments(kernel: Kernel, orders: Sequence[tuple[int, ...]]) -> np.ndarray:
    """Return the matrix that takes a kernel's weights, as one vector, to its moments.

    Args:
        kernel: where it stands.
        orders: the orders m, one number an axis in coordinate order.

    Returns:
        float64, shape `(len(orders), number of weights)`.
    """
    # In coordinate order; the array's axes are reversed, x last.
    offsets = [
        np.arange(n) + f - (f + last) / 2
        for f, last, n in zip(kernel.first, kernel.last, kernel.shape, strict=True)
    ]
    mesh = np.meshgrid(*reversed(offsets), indexing="ij")[::-1]
    rows = []
    for order in orders:
        row = np.ones(kernel.shape[::-1])
        for at, m in zip(mesh, order, strict=True):
            row = row * at**m / math.factorial(m)
        rows.append(row.ravel())
    return np.array(rows).reshape(len(orders), math.prod(kernel.shape))


def free_directions(kernel: Kernel) -> np.ndarray:
    """Return an orthonormal basis of the kernels without moments up to the kernel's order.

    Returns:
        float64, shape `(count, *space)`; the count is 0 where the moments leave no freedom.
    """
    total = sum(kernel.derivative)
    orders = [
        m for m in itertools.product(range(total + 1), repeat=len(kernel.shape)) if sum(m) <= total
    ]
    matrix = moments(kernel, orders)
    _, sizes, rows = np.linalg.svd(matrix)
    # Moments of narrow kernels depend on one another; what rounding leaves of 0 is far below this.
    rank = int((sizes > 1e-10 * sizes[0]).sum())
    return rows[rank:].reshape(-1, *kernel.shape[::-1])
