"""The eigenvalues of a linearised scheme over all wave numbers, its coefficients frozen at nodes.

On the wave e^{iθ·node} the scheme with frozen coefficients acts as the matrix
M(θ) = Σ_g C_g σ_g(θ): one matrix of coefficients C_g and one symbol σ_g for each stencil g. The
equation itself acts as S(k) = Σ_g C_g (ik)^α_g.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any  # values of names: numbers or arrays

import numpy as np

from pdenet.discrete.linearise import LinearTerm
from pdenet.discrete.scheme import Scheme
from pdenet.discrete.stencils import Stencil
from pdenet.equation.functions import evaluate
from pdenet.equation.system import FREE_INDEX
from pdenet.equation.values import Values

# Long waves: for θ → 0 bounds such as 2D/c² are reached with an error of θ²/12.
_LONG = 1e-3


@dataclass(frozen=True)
class Group:
    """All terms with one stencil.

    Attributes:
        stencil: the stencil.
        derivatives: the derivatives whose sum it stands for; none where it is numerical viscosity.
        is_per_step: its coefficient is to be divided by dt.
        is_force: it is F in u_tt = F(u), whose eigenvalues are the squares of those of (u, u_t).
    """

    stencil: Stencil
    derivatives: tuple[tuple[int, ...], ...]
    is_per_step: bool
    is_force: bool = False


def groups_of(terms: Sequence[LinearTerm]) -> dict[Group, list[LinearTerm]]:
    """Sort terms by their stencils."""
    made: dict[Group, list[LinearTerm]] = {}
    for term in terms:
        derivatives = () if term.is_numerical else term.derivatives
        made.setdefault(Group(term.stencil, derivatives, term.is_per_step), []).append(term)
    return made


def groups_with_forces(
    scheme: Scheme, terms: Sequence[LinearTerm]
) -> dict[Group, list[LinearTerm]]:
    """Do the same, with the terms of u_tt = F(u) apart and without those of ∂u/∂t = u_t."""
    rates = scheme.system.rates
    generated = set(rates.values())
    made: dict[Group, list[LinearTerm]] = {}
    for term in terms:
        if rates.get(term.row) == term.column:
            continue
        is_force = term.row in generated and term.column not in generated
        for group in groups_of([term]):
            made.setdefault(replace(group, is_force=is_force), []).append(term)
    return made


def tensor_entries(
    scheme: Scheme, tensors: Mapping[str, np.ndarray], environment: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Return coefficient tensors with the nodes as last axis, of length 1 where they are constant.

    Entries that are expressions are evaluated on the grid.
    """
    made = {}
    shape = scheme.domain.shape
    for name, array in tensors.items():
        if array.dtype == object:
            entries = [np.broadcast_to(evaluate(e, environment), shape) for e in array.flat]
            made[name] = np.stack(entries).reshape(*array.shape, -1).astype(np.float64)
            continue
        # A tensor that is derived from a coefficient has its rank.
        known = [p.name for p in scheme.system.parameters]
        rank = len(scheme.system.parameter(name).shape) if name in known else array.ndim
        if array.ndim == rank:
            made[name] = array[..., np.newaxis].astype(np.float64)
        else:
            made[name] = array.reshape(*array.shape[:rank], -1).astype(np.float64)
    return made


def matrices(
    terms: Sequence[LinearTerm],
    values: Values,
    tensors: Mapping[str, np.ndarray],
    environment: Mapping[str, Any],
    shape: tuple[int, ...],
) -> np.ndarray:
    """Return the coefficient matrix of one group at the nodes.

    Args:
        terms: its terms, none of which depends on the state.
        values: the sizes of vector fields.
        tensors: see `tensor_entries`.
        environment: coordinates, parameters and spacings.
        shape: the grid's.

    Returns:
        float64, shape (node or 1, component, component).
    """
    count = len(values.components)
    total = np.zeros((count, count, 1))
    for term in terms:
        amount = np.asarray(evaluate(term.amount, environment), dtype=np.float64)
        amount = np.broadcast_to(amount, shape).ravel() if amount.ndim else amount.reshape(1)
        part = np.zeros((count, count, 1))
        rows, columns = values.slices[term.row], values.slices[term.column]
        block = contracted(term, values, tensors)
        part = np.zeros((count, count, block.shape[-1]))
        part[rows, columns] = block
        total = total + amount * part
    return np.moveaxis(total, -1, 0)


def contracted(term: LinearTerm, values: Values, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    """Contract the coefficients of a term to a block, shape (row, column, node or 1)."""
    row, column = "yz"  # canonical indices stop before these letters
    operands: list[np.ndarray] = [tensors[use.name] for use in term.coefficients]
    subscripts = ["".join(use.indices) + "..." for use in term.coefficients]
    pairs = (
        (term.row, term.row_index and FREE_INDEX, row),
        (term.column, term.column_index, column),
    )
    for name, index, letter in pairs:
        size = values.num_components(values.system.field(name))
        identity = np.eye(size) if index else np.ones(1)
        operands.append(identity[..., np.newaxis])
        subscripts.append(f"{index or ''}{letter}...")
    text = f"{','.join(subscripts)}->{row}{column}..."
    return np.asarray(np.einsum(text, *operands, optimize=True))


def eigenvalues(made: np.ndarray) -> np.ndarray:
    """Return the eigenvalues of complex matrices (…, n, n), exactly on an axis where they are."""
    if made.shape[-1] == 1:
        return made[..., 0]
    # Real arithmetic leaves no rounding across the axis.
    if not made.real.any():
        return 1j * np.linalg.eigvals(made.imag)
    if not made.imag.any():
        return np.linalg.eigvals(made.real).astype(np.complex128)
    return np.linalg.eigvals(made)


def symbols(groups: Sequence[Group], theta: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Return σ_g(θ), shape (group, wave), for θ of shape (axis, wave)."""
    return np.stack([g.stencil.symbol(theta, spacing) for g in groups])


def continuous_symbols(groups: Sequence[Group], waves: np.ndarray) -> np.ndarray:
    """Return (ik)^α, summed over a group's derivatives, for wave numbers k (axis, wave)."""
    made = np.zeros((len(groups), waves.shape[1]), dtype=np.complex128)
    for place, group in enumerate(groups):
        for alpha in group.derivatives:
            power = np.prod([k**a for k, a in zip(waves, alpha, strict=True)], axis=0)
            made[place] += power * (1, 1j, -1, -1j)[sum(alpha) % 4]
    return made


def half_torus(dimension: int, *, coarse: bool) -> np.ndarray:
    """Return θ over half of [−π, π]^d, shape (axis, wave): −θ gives complex conjugates.

    Zero is not among them, but long waves in many directions are.
    """
    count = {1: 64, 2: 16, 3: 8}[dimension] // (2 if coarse and dimension > 1 else 1)
    positive = np.pi * np.arange(count + 1) / count
    both = np.concatenate([-positive[:0:-1], positive])
    grid = np.meshgrid(positive, *[both] * (dimension - 1), indexing="ij")
    grid_points = np.stack([axis.ravel() for axis in grid])
    grid_points = grid_points[:, np.abs(grid_points).sum(axis=0) > 0]
    # On the face θ_x = 0 the conjugates are there twice; that costs little.
    rays = directions(dimension)
    return np.concatenate([_LONG * rays, 0.03 * rays, grid_points], axis=1)


def directions(dimension: int) -> np.ndarray:
    """Return unit vectors over a half sphere, the axes among them, shape (axis, direction)."""
    if dimension == 1:
        return np.ones((1, 1))
    angles = np.pi * np.arange(-8, 8) / 16
    if dimension == 2:
        # cos and sin of multiples of π/2 are put in exactly, lest waves lean by rounding.
        made = np.stack([np.cos(angles), np.sin(angles)])
    else:
        polar = np.pi * np.arange(0, 9) / 8
        azimuth = np.pi * np.arange(-4, 4) / 8
        p, a = (m.ravel() for m in np.meshgrid(polar, azimuth, indexing="ij"))
        made = np.stack([np.sin(p) * np.cos(a), np.sin(p) * np.sin(a), np.cos(p)])
    made[np.abs(made) < 1e-12] = 0.0
    return made


def lowest(
    function: Callable[[np.ndarray], np.ndarray], samples: np.ndarray, starts: int = 3
) -> tuple[float, np.ndarray]:
    """Minimise over waves: the best samples, each followed downhill on ever finer local grids.

    The functions have kinks, where another eigenvalue takes over, so that no derivatives are used.
    Smooth minima come out to 1e-10.

    Args:
        function: takes points (axis, wave), returns a value (wave,), inf allowed.
        samples: points (axis, wave).
        starts: how many samples to follow.

    Returns:
        The least value and the point, shape (axis,).
    """
    value = function(samples)
    order = np.argsort(value, kind="stable")
    best = float(value[order[0]])
    if not np.isfinite(best) or best == 0.0:
        return best, samples[:, order[0]]
    chosen: list[int] = []
    for index in order:
        point = samples[:, index].copy()
        near = 0.5 * math.sqrt(point.dot(point))
        # Neighbours are followed once.
        gaps = (point - samples[:, k] for k in chosen)
        if all(math.sqrt(gap.dot(gap)) > near for gap in gaps):
            chosen.append(int(index))
        if len(chosen) == starts or not np.isfinite(value[index]):
            break
    centres, values = samples[:, chosen], value[chosen]
    steps = np.minimum(0.1, 0.15 * np.linalg.norm(centres, axis=0))
    dimension = len(samples)
    ticks = np.linspace(-1.0, 1.0, 5 if dimension < 3 else 3)
    pattern = np.stack([g.ravel() for g in np.meshgrid(*[ticks] * dimension, indexing="ij")])
    for _ in range(60):
        around = centres[:, :, np.newaxis] + steps[:, np.newaxis] * pattern[:, np.newaxis, :]
        found = function(around.reshape(dimension, -1)).reshape(len(steps), -1)
        place = found.argmin(axis=1)
        rows = np.arange(len(steps))
        better = found[rows, place] < values
        centres = np.where(better, around[:, rows, place], centres)
        # A minimum inside the pattern is narrowed down, one on its rim is followed.
        rim = better & (np.abs(pattern[:, place]).max(axis=0) == 1.0)
        finite = np.where(np.isfinite(found), found, values[:, np.newaxis])
        spread = finite.max(axis=1) - finite.min(axis=1)
        values = np.where(better, found[rows, place], values)
        steps = np.where(rim, steps, 0.3 * steps)
        if np.all((spread <= 1e-10 * np.abs(values)) | (steps < 1e-9)):
            break
    winner = int(values.argmin())
    return float(values[winner]), centres[:, winner]


def describe_wave(theta: np.ndarray, axes: Sequence[str], spacing: Sequence[float]) -> str:
    """Say which wave θ is, by its wave length along each axis."""
    parts = []
    for axis, angle, h in zip(axes, theta, spacing, strict=True):
        angle = abs(math.remainder(float(angle), 2 * math.pi))
        if angle > 0.05:
            parts.append(
                f"{2 * math.pi / angle:.3g} spacings ({2 * math.pi / angle * h:.3g}) along {axis}"
            )
    return f"the wave of length {' and '.join(parts)}" if parts else "the longest waves"
