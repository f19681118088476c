"""Parametrised: which changes of unknowns keep the tensors of any form in that form, numerically.

A form makes tensors T(θ) of its coefficients θ: a multilinear map. u = P v takes T to P·T, which
the form can express where some θ' has T(θ') = P·T(θ). To first order, P = 1 + εX, the change

    (δT)_rpq = −X_ri T_ipq + T_rjq X_jp + T_rpk X_kq

must lie in the range of the Jacobian J of T: one nullspace, of X ↦ (1 − JJ⁺) δT(X). That a finite
P keeps the form is asked of Newton's method, θ' ← θ' − J⁺ (T(θ') − P·T(θ)), started at θ.

All of T and J are written out: d n³ numbers by as many columns as there are coefficients.
"""

from __future__ import annotations

import copy

import numpy as np
import scipy.linalg
import torch

from pdenet.network.convnet.block import PDEBlock
from pdenet.symmetry.network.bilinear import parts
from pdenet.symmetry.network.gaps import Gap, decide

# Rows of J that one backward pass makes.
_ROWS = 512

# The form's own redundancies (scalings of hidden components) make J rank deficient. Its other
# singular values are products of few coefficients of one size.
_RANK = 1e-9

# Newton's method is quadratic: from 1 it needs five steps to 1e-16, and a few to come near.
_STEPS = 20


class Form:
    """T(θ) of a block, in float64.

    Args:
        block: a block, which is copied.
    """

    def __init__(self, block: PDEBlock) -> None:
        self.block = copy.deepcopy(block).double()
        tensors = self.block.coefficients.tensors
        # Parameters(), not values(): a shared one stands there once.
        self.parameters = list(tensors.parameters())
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        self.n = block.in_channels

    def tensors(self) -> list[torch.Tensor]:
        """Return T of each layer, with gradients."""
        return [part.tensor() for part in parts(self.block)]

    @property
    def num_coefficients(self) -> int:
        """The number of columns of J."""
        return sum(p.numel() for p in self.parameters)

    def jacobian(self) -> np.ndarray:
        """Return J at θ, shape `(entries of all T, coefficients)`."""
        flat = torch.cat([t.flatten() for t in self.tensors()])
        rows = []
        for start in range(0, len(flat), _ROWS):
            count = min(_ROWS, len(flat) - start)
            seeds = torch.zeros(count, len(flat), dtype=flat.dtype)
            seeds[torch.arange(count), start + torch.arange(count)] = 1.0
            made = torch.autograd.grad(
                flat, self.parameters, seeds, retain_graph=True, is_grads_batched=True
            )
            rows.append(torch.cat([g.reshape(count, -1) for g in made], dim=1))
        return np.asarray(torch.cat(rows).numpy())

    def tangent(self, tol: float | None) -> tuple[np.ndarray, Gap]:
        """Return a basis of all tangent X, shape `(dimension, n, n)`, and how it was decided."""
        n = self.n
        units = torch.eye(n * n, dtype=torch.float64).reshape(-1, n, n)
        changes = [_changed(t.detach(), units).flatten(1) for t in self.tensors()]
        moved = torch.cat(changes, dim=1).numpy().T  # (entries, n²)
        moved = moved / (np.linalg.norm(moved, axis=0).max() or 1.0)
        left, values, _ = np.linalg.svd(self.jacobian(), full_matrices=False)
        span = left[:, values > _RANK * max(values[0], np.finfo(float).tiny)]
        for _ in range(2):  # twice is enough (Kahan)
            moved = moved - span @ (span.T @ moved)
        triangle = np.linalg.qr(moved, mode="r")
        _, levels, vectors = np.linalg.svd(triangle)
        levels = np.append(levels, np.zeros(n * n - len(levels)))
        gap = decide(levels[::-1], tol, len(left))
        kept = vectors[n * n - gap.num_zeros :]
        return kept.reshape(-1, n, n), gap

    def defect(self, change: np.ndarray) -> float:
        """Return the distance of P·T(θ) from the form, relative to its norm; 0 for a symmetry."""
        start = [p.detach().clone() for p in self.parameters]
        matrix = torch.as_tensor(change)
        wanted = torch.cat([transformed(t.detach(), matrix).flatten() for t in self.tensors()])
        best = float("inf")
        for _ in range(_STEPS):
            rest = torch.cat([t.detach().flatten() for t in self.tensors()]) - wanted
            size = float(rest.norm() / wanted.norm().clamp(min=1e-300))
            if size >= 0.5 * best and size < 1e-10:
                break  # rounding
            best = min(best, size)
            # Complete orthogonal factorisation: the least norm, at a fraction of the SVD's cost.
            step = scipy.linalg.lstsq(
                self.jacobian(), rest.numpy(), cond=_RANK, lapack_driver="gelsy"
            )[0]
            self._add(-torch.as_tensor(step))
        with torch.no_grad():
            for parameter, value in zip(self.parameters, start, strict=True):
                parameter.copy_(value)
        return best

    @torch.no_grad()
    def _add(self, step: torch.Tensor) -> None:
        sizes = [p.numel() for p in self.parameters]
        for parameter, part in zip(self.parameters, step.split(sizes), strict=True):
            parameter.add_(part.reshape(parameter.shape))


def transformed(tensor: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
    """Return Σ (P⁻¹)_ri T_ijk P_jp P_kq, or Σ (P⁻¹)_ri T_ij P_jp; directions stand in front."""
    made = torch.einsum("ri,di...->dr...", torch.linalg.inv(change), tensor)
    made = torch.einsum("drj...,jp->drp...", made, change)
    return torch.einsum("drpk,kq->drpq", made, change) if made.ndim == 4 else made


def _changed(tensor: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return δT for many X, shape `(x, *T.shape)`."""
    made = torch.einsum("dij...,xjp->xdip...", tensor, x)
    made = made - torch.einsum("xri,di...->xdr...", x, tensor)
    return made + torch.einsum("dijk,xkq->xdijq", tensor, x) if tensor.ndim == 4 else made
