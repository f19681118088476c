"""Penalties: numbers to add to a loss, for weights that vary slowly and for hyperbolic systems.

Both are ideas of Liu, Shao & Bai (2023) that the paper leaves open: coefficients that change little
from layer to layer, as those of one equation do, and kernels nudged towards symmetric matrices.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from pdenet.errors import NetworkError
from pdenet.network.convnet.block import PDEBlock
from pdenet.network.convnet.divergence import DirectionDivergence
from pdenet.network.convnet.features import DirectionFeatures
from pdenet.network.convnet.stage import Stage
from pdenet.network.products import Divergence

NUM_STATES = 4
"""How many random states the matrices of a block are taken at."""


# Variation over depth ----------------------------------------------------------------------------


def depth_variation(model: nn.Module) -> torch.Tensor:
    """Return how much the coefficients and kernels vary from block to block.

    Σ over all pairs of consecutive blocks of one shape of the mean over their parameters θ of

        ‖θ_{n+1} − θ_n‖² / ½(‖θ_{n+1}‖² + ‖θ_n‖²)

    which is 0 for equal ones, 2 on average for independent ones, and 4 for θ and −θ. Scaling all
    weights changes nothing. Batch norms do not count; shared coefficients do not vary.

    Args:
        model: a classifier, a stage, or a module with stages in it.

    Returns:
        0-d, dimensionless.

    Raises:
        NetworkError: there is no stage in it.

    Example:
        >>> import pdenet as pn
        >>> depth_variation(pn.create_model("eq3_small", coefficients="shared")).item()
        0.0
    """
    stages = [module for module in model.modules() if isinstance(module, Stage)]
    if not stages:
        raise NetworkError(
            f"a model with stages of blocks was expected; got {type(model).__name__}; give a "
            "classifier"
        )
    total = torch.zeros((), device=next(model.parameters()).device)
    for stage in stages:
        blocks = [block for block in stage.blocks if isinstance(block, PDEBlock)]
        for one, two in itertools.pairwise(blocks):
            if not (one.keeps_shape and two.keeps_shape):
                continue
            mine, theirs = _weights(one), _weights(two)
            # Of one whose unit rows are left out parameters have fewer rows.
            if [p.shape for p in mine.values()] == [p.shape for p in theirs.values()]:
                total = total + _variation(mine, theirs)
    return total


def _weights(block: PDEBlock) -> dict[str, nn.Parameter]:
    """Return coefficients, symbols, functions and kernels."""
    folders = ("coefficients.", "symbols.", "functions.", "banks.")
    return {
        name: p
        for name, p in block.named_parameters()
        if name.startswith(folders) and ".norm." not in name
    }


def _variation(
    one: Mapping[str, torch.Tensor], two: Mapping[str, torch.Tensor]
) -> torch.Tensor | float:
    parts = []
    for name, first in one.items():
        square = (two[name] - first).square().sum()
        parts.append(_ratio(2.0 * square, first.square().sum() + two[name].square().sum()))
    return torch.stack(parts).mean() if parts else 0.0


def _ratio(part: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """Return part/whole, and 0 where the whole is 0."""
    return part / whole.clamp(min=torch.finfo(whole.dtype).tiny)


# Hyperbolicity -----------------------------------------------------------------------------------


class Symmetrizers(nn.Module):
    """For each block that keeps its width a positive definite S, to be learned with the model.

    S = L Lᵀ + ε I, scaled to the trace n; L starts as the identity.

    Args:
        model: the model, whose blocks are found by their names.
        epsilon: ε.
    """

    def __init__(self, model: nn.Module, epsilon: float = 1e-3) -> None:
        super().__init__()
        self.epsilon = epsilon
        factors = {}
        for name, block in blocks_of(model).items():
            like = next(iter(block.parameters()), torch.zeros(()))
            eye = torch.eye(block.in_channels, dtype=like.dtype, device=like.device)
            factors[_key(name)] = nn.Parameter(eye)
        self.factors = nn.ParameterDict(factors)

    def forward(self, name: str) -> torch.Tensor:
        """Return S of the block of that name, shape `(n, n)`."""
        factor = self.factors[_key(name)]
        made = factor @ factor.T
        made = made + self.epsilon * torch.eye(len(made), dtype=made.dtype, device=made.device)
        return made * (len(made) / made.trace())


def _key(name: str) -> str:
    return name.replace(".", "-") or "block"  # a name of a module has no dot


def hyperbolicity(
    model: nn.Module,
    states: Mapping[int, torch.Tensor] | None = None,
    symmetrizer: str | Symmetrizers = "identity",
) -> torch.Tensor:
    """Return how far the direction matrices of a model are from symmetric ones.

    A system ∂u/∂t = Σ_d M_d(u) ∂_d u is symmetric hyperbolic where all M_d are symmetric: every
    real combination of them has real eigenvalues and is diagonalisable. Symmetrisable is as good:
    one positive definite S with S M_d = M_dᵀ S for all d. With S = R Rᵀ this is asked of
    N_d = Rᵀ M_d R⁻ᵀ, and the penalty is the mean over directions, states and blocks of

        ‖N_d − N_dᵀ‖² / 2‖N_d‖²

    from 0 (symmetric) to 2 (antisymmetric). Scaling M_d changes nothing. Batch norms count as the
    identity, see `direction_matrices`. Only blocks that keep their width have square matrices.

    Cost: a forward and a backward pass of each block at (states · directions · n) pixels, which
    grows as n³: nothing for stages of 64 channels, half a minute on a CPU's core for
    the twelve blocks of Eq. (3) in the layout "resnet50". One state a width is a quarter of that.

    Args:
        model: a block, a stage or a classifier.
        states: by number of channels, states u of shape `(count, channels)` at which the matrices
            are taken; other blocks are taken at four random normal ones, new in each call.
        symmetrizer: "identity", S = I; or `Symmetrizers`, whose parameters are learned with those
            of the model: give both to the optimiser.

    Returns:
        0-d, dimensionless.

    Raises:
        NetworkError: no block keeps its width, or `symmetrizer` is neither.
    """
    if symmetrizer != "identity" and not isinstance(symmetrizer, Symmetrizers):
        raise NetworkError(
            f'symmetrizer is "identity" or a Symmetrizers module; got {symmetrizer!r}; write '
            "Symmetrizers(model)"
        )
    found = blocks_of(model)
    if not found:
        raise NetworkError(
            f"no block of {type(model).__name__} keeps its width, so that none has square "
            "matrices; give a model with more than one block a stage"
        )
    parts = []
    for name, block in found.items():
        at = (states or {}).get(block.in_channels)
        matrices = direction_matrices(block, at)
        if isinstance(symmetrizer, Symmetrizers):
            root = torch.linalg.cholesky(symmetrizer(name).to(matrices.dtype))
            # Rᵀ M R⁻ᵀ, the last product as a triangular system: X Rᵀ = Rᵀ M.
            matrices = torch.linalg.solve_triangular(
                root.mT, root.mT @ matrices, upper=True, left=False
            )
        apart = (matrices - matrices.mT).square().sum(dim=(-2, -1))
        whole = matrices.square().sum(dim=(-2, -1))
        parts.append(_ratio(apart, 2.0 * whole).mean())
    return torch.stack(parts).mean()


def blocks_of(model: nn.Module) -> dict[str, PDEBlock]:
    """Return the blocks that keep their width, by name in the model."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, PDEBlock) and module.keeps_shape
    }


def direction_matrices(block: PDEBlock, states: torch.Tensor | None = None) -> torch.Tensor:
    """Return M_d(u)_ij = ∂F_i/∂(∂_d u_j) where all derivatives are 0, for any equation.

    A direction is a kernel of the block (times a monomial, with `position`). Under a flux f(u) it
    is M_d = A_d ∂f/∂u. What is of second order, such as ∂_d (k ∂_d u), has no part in it. Batch
    norms count as the identity: they scale rows and columns, and shift. Coordinates count as 0,
    coefficient functions as their values there.

    Args:
        block: a block.
        states: u, shape `(count, in_channels)`; by default four random normal ones.

    Returns:
        Shape `(count, directions, out_channels, in_channels)`.

    Raises:
        NetworkError: the states have another number of channels.
    """
    like = block.numbers
    if states is None:
        states = torch.randn(NUM_STATES, block.in_channels, dtype=like.dtype, device=like.device)
    if states.ndim != 2 or states.shape[1] != block.in_channels:
        raise NetworkError(
            f"states have the shape (count, {block.in_channels}); got {tuple(states.shape)}"
        )
    count, channels = states.shape
    kernels = len(block.structure.kernels)
    # Each state with each ∂_d u_j = 1: pictures of one pixel.
    u = states.repeat_interleave(kernels * channels, dim=0)[:, :, None, None]
    units = torch.eye(channels, dtype=u.dtype, device=u.device)
    tangents = units.repeat(count * kernels, 1)[:, :, None, None]
    on = torch.eye(kernels, dtype=u.dtype, device=u.device)
    on = on.repeat_interleave(channels, dim=0).repeat(count, 1)  # (pictures, kernels)
    with _without_norms(block):
        made = _change(block, u, tangents, on)
    return made.reshape(count, kernels, channels, -1).mT


@contextmanager
def _without_norms(block: PDEBlock) -> Iterator[None]:
    kept = block.closings, block.openings
    block.closings, block.openings = {}, {}
    try:
        yield
    finally:
        block.closings, block.openings = kept


def _change(
    block: PDEBlock, u: torch.Tensor, tangents: torch.Tensor, on: torch.Tensor
) -> torch.Tensor:
    """Return how F changes with derivatives, at pixels where all are 0; shape `(picture, channel)`.

    Args:
        block: the block.
        u: the states, shape `(picture, channel, 1, 1)`.
        tangents: ∂_d u, of the same shape.
        on: 1 for the kernel d that this is of, shape `(picture, kernel)`.
    """
    tensors = block.tensors()

    def at(values: torch.Tensor, kernels: Sequence[int]) -> torch.Tensor:
        """Give values, shape `(picture, *, 1, 1)`, an axis of kernels, all but one of them 0."""
        return values.unsqueeze(-3) * chosen(values.unsqueeze(-3), kernels)

    def chosen(like: torch.Tensor, kernels: Sequence[int]) -> torch.Tensor:
        return on[:, list(kernels)].reshape(len(on), *(1,) * (like.ndim - 4), len(kernels), 1, 1)

    def features(at_nodes: torch.Tensor, tangents: torch.Tensor) -> DirectionFeatures:
        slices = block.structure.slices
        made = {
            support: at(tangents[:, slices[support.field]], rows)
            for support, rows in block.banks.rows.items()
        }
        return DirectionFeatures(block.banks, at_nodes, made=made)

    def flux(divergence: Divergence, moved: torch.Tensor) -> torch.Tensor:
        """Return ∂_d f(u) = f(u + ∂_d u) − f(u), which is 0 to first order for f of derivatives."""
        assert isinstance(divergence, DirectionDivergence)
        if divergence.contraction is not None:
            change = u.new_zeros(len(u), *divergence.shape, 1, 1)
        else:
            zero = torch.zeros_like(u)
            one, two = (divergence.nodes(features(v, zero), tensors, 0.0) for v in (moved, u))
            change = (one - two).expand(len(u), *one.shape[1:])
        kernels = divergence.kernels
        is_own = divergence.split and divergence.contraction is None
        made = change * chosen(change, kernels) if is_own else at(change, kernels)
        return made if len(kernels) > 1 else made.squeeze(-3)

    def rate(size: torch.Tensor) -> torch.Tensor:
        """Return F for derivatives of that size."""
        moved = u + size * tangents
        given = features(u, size * tangents)
        width = block.out_channels // len(block.structure.fields)
        parts = []
        for layers in block.layers:
            total = u.new_zeros(len(u), width, 1, 1)
            for layer in layers:
                others = [flux(d, moved) for d in layer.divergences]
                total = total + layer.product(given, tensors, 0.0, others)
            parts.append(total)
        return torch.cat(parts, dim=1)[..., 0, 0]

    # By two backward passes, which can be differentiated by the weights: the forward mode of
    # `torch.func.jvp` loads code of torch's own that it warns of as deprecated.
    _, made = torch.autograd.functional.jvp(rate, u.new_zeros(()), create_graph=True)
    assert isinstance(made, torch.Tensor)
    return made
