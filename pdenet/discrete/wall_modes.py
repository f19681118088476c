"""What walls do to the spectrum of a scheme: normal modes next to a closure (Godunov–Ryabenkii).

A scheme next to a wall is frozen, coefficients and all, and continued to a half line. A mode that
decays away from the wall, u_m = κ^m with |κ| < 1, may be an eigenvector there although no wave of
the interior has its eigenvalue. Where stencils reach one node, the ghost node alone decides: the
mode must satisfy u₋₁ = Σ w_m u_m, hence 1 = Σ w_m κ^{m+1}. For Robin, u₋₁ = u₁ − 2α u₀ with
α = h a/b, this gives κ + 1/κ = −2√(1 + α²) and the eigenvalue −2(1 + √(1 + α²)) D/h².

Wider stencils and systems are put on a short grid between both walls and diagonalised, with waves
along the wall. A growth rate that stays when the spacing is halved is the equation's own (Robin
with a/b < 0); one that rises with 1/h is an instability of the closure.

With frozen coefficients a `Free` end through which waves come in is found only where another wall
reflects them. Waves that turn round inside, as in a rotation between free ends, are not seen.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from pdenet.discrete.boundary import Dirichlet, Neumann, Periodic, Robin, ZeroPadding
from pdenet.discrete.closure import Rule, closure
from pdenet.discrete.scheme import Scheme
from pdenet.discrete.spectrum import Group, eigenvalues
from pdenet.equation.values import Values

Pair: TypeAlias = tuple[Rule, Rule]
"""What is said at the low and the high end of an axis."""

# Nodes between the walls for wide stencils and for systems; modes decay over a few of them.
NUM_NODES = 32
# Waves along the wall.
_TANGENTIAL = {1: 1, 2: 9, 3: 4}

# Half-line modes are roots of a polynomial; matrices between walls are not normal, and eigenvalues
# of polynomials that Free() leaves alone, of multiplicity 3 or 4, are good to a root of eps.
_EXACT, _ROUNDING = 1e-12, 2e-4


def have_modes(scheme: Scheme, groups: Sequence[Group], coefficients: np.ndarray) -> bool:
    """Tell whether walls may add eigenvalues beyond those of the waves.

    They do not where reflections continue the solution beyond the wall as a wave that the stencils
    cannot tell from others: Dirichlet, Neumann and zero padding with derivatives of even order.

    Args:
        scheme: the scheme.
        groups: its stencils.
        coefficients: C_g at nodes, shape (node, group, component, component).
    """
    if all(scheme.domain.wraps) or any(g.is_per_step for g in groups):
        return False
    kinds = (Periodic, Dirichlet, Neumann, ZeroPadding)
    reflect = all(
        isinstance(one, kinds)
        for pairs in scheme.conditions.values()
        for pair in pairs
        for one in pair
    )
    even = all(all(k % 2 == 0 for k in g.stencil.derivative) for g in groups)
    size = coefficients.shape[-1]
    # Fields that are joined by derivatives must be reflected alike.
    joined = (coefficients * (1 - np.eye(size)))[:, [any(g.stencil.radius) for g in groups]].any()
    alike = len({tuple(_kind(p) for p in pairs) for pairs in scheme.conditions.values()}) == 1
    return not (reflect and even and (not joined or alike))


def _kind(pair: Sequence[object]) -> tuple[str, ...]:
    return tuple(type(one).__name__ for one in pair)


def wall_eigenvalues(
    scheme: Scheme,
    values: Values,
    groups: Sequence[Group],
    coefficients: np.ndarray,
    pairs: tuple[list[int], list[int]] | None,
    refinement: int = 1,
) -> tuple[np.ndarray, float]:
    """Return eigenvalues of the scheme between its walls, coefficients frozen.

    Args:
        scheme: the scheme.
        values: the sizes of vector fields.
        groups: the stencils.
        coefficients: C_g, shape (group, component, component), on the refined spacing.
        pairs: where positions and rates of u_tt = F(u) stand; None for other systems.
        refinement: the spacing is divided by this.

    Returns:
        λ, complex, shape (eigenvalue,), and what part of the largest is rounding.
    """
    spacing = tuple(h / refinement for h in scheme.domain.spacing)
    names = [n for n, s in values.slices.items() for _ in range(s.stop - s.start)]
    if pairs is not None:
        names = [names[k] for k in pairs[0]]
        coefficients = coefficients[:, pairs[1]][:, :, pairs[0]]
    walls = {name: _rules(scheme, name, spacing) for name in set(names)}
    is_separable = len(names) == 1 and all(
        sum(r > 0 for r in g.stencil.radius) <= 1 for g in groups
    )
    if is_separable:
        numbers = coefficients[:, 0, 0]
        made = _separable(scheme, groups, numbers, spacing, walls[names[0]], refinement)
        narrow = max(max(g.stencil.radius) for g in groups) < 2
        free = any(_is_extrapolation(one) for pair in walls[names[0]].values() for one in pair)
        rounding = _EXACT if narrow and not free else _ROUNDING
    else:
        rounding = _ROUNDING
        made = _blocks(scheme, groups, coefficients, spacing, [walls[n] for n in names], refinement)
    if pairs is not None:
        roots = np.sqrt(made.astype(np.complex128))
        made = np.concatenate([roots, -roots])
    return made, rounding


def wall_factors(scheme: Scheme, groups: Sequence[Group]) -> list[float]:
    """Return by how much Robin conditions raise the largest eigenvalue of each stencil alone.

    Only stencils along one axis and of even order are touched; others have the factor 1.
    """
    made = []
    for group in groups:
        axes = [a for a, r in enumerate(group.stencil.radius) if r]
        factor = 1.0
        if len(axes) == 1 and group.stencil.derivative[axes[0]] in (2, 4):
            axis = axes[0]
            along = {
                o[axis]: float(w) * group.stencil.scale(scheme.domain.spacing)
                for o, w in zip(group.stencil.offsets, group.stencil.weights, strict=True)
            }
            theta = np.pi * np.arange(65) / 64
            waves = abs(sum(c * np.exp(1j * k * theta) for k, c in along.items())).max()
            for name, pairs in scheme.conditions.items():
                if not any(isinstance(one, Robin) for one in pairs[axis]):
                    continue
                walls = _rules(scheme, name, scheme.domain.spacing)[axis]
                if max(along) == 1:
                    found = [
                        _half_line_modes(along, one, side)
                        for side, one in zip((1, -1), walls, strict=True)
                    ]
                else:
                    found = [_between_walls(along, walls, _nodes(scheme, axis, NUM_NODES, 1))]
                factor = max(factor, float(abs(np.concatenate(found)).max(initial=0.0) / waves))
        made.append(factor)
    return made


def _rules(scheme: Scheme, name: str, spacing: Sequence[float]) -> dict[int, Pair]:
    """Return the rules of a field's walls by their axis, for a spacing; only Robin's know it."""
    made = {}
    for axis, (conditions, given) in enumerate(
        zip(scheme.conditions[name], scheme.closures[name], strict=True)
    ):
        low, high = (
            closure(c, spacing[axis], scheme.width[axis], 0) if isinstance(c, Robin) else g
            for c, g in zip(conditions, given, strict=True)
        )
        if isinstance(low, Rule) and isinstance(high, Rule):
            made[axis] = low, high
    return made


def _separable(
    scheme: Scheme,
    groups: Sequence[Group],
    numbers: np.ndarray,
    spacing: Sequence[float],
    walls: Mapping[int, Pair],
    refinement: int,
) -> np.ndarray:
    """One component, each stencil along one axis: sums of one eigenvalue an axis."""
    constant = sum(
        float(c) for g, c in zip(groups, numbers, strict=True) if not any(g.stencil.radius)
    )
    sets = []
    for axis in range(scheme.domain.dimension):
        along: dict[int, float] = {}
        for group, number in zip(groups, numbers, strict=True):
            if group.stencil.radius[axis]:
                scale = group.stencil.scale(spacing) * number
                for offset, weight in zip(
                    group.stencil.offsets, group.stencil.weights, strict=True
                ):
                    along[offset[axis]] = along.get(offset[axis], 0.0) + float(weight) * scale
        theta = np.pi * np.arange(-64, 65) / 64
        made = [sum((c * np.exp(1j * k * theta) for k, c in along.items()), np.zeros(129) + 0j)]
        if not scheme.domain.wraps[axis] and along:
            is_narrow = max(map(abs, along)) == 1
            if is_narrow:
                made += [
                    _half_line_modes(along, one, side)
                    for side, one in zip((1, -1), walls[axis], strict=True)
                ]
            # At a free end κ = 1 may stand for a wave that comes in from nowhere; what it does when
            # the other wall reflects it shows between walls only.
            if not is_narrow or any(_is_extrapolation(one) for one in walls[axis]):
                nodes = _nodes(scheme, axis, NUM_NODES, refinement)
                made.append(_between_walls(along, walls[axis], nodes))
        sets.append(_extreme(np.concatenate(made)))
    return np.array([sum(parts) + constant for parts in itertools.product(*sets)])


def _half_line_modes(along: Mapping[int, float], one: Rule, side: int) -> np.ndarray:
    """Return the eigenvalues of modes that decay away from a wall, stencils reaching one node.

    Args:
        along: the weights of u₋₁, u₀ and u₁.
        one: the closure of the wall.
        side: 1 where the wall is at the low end, −1 where it is at the high end.
    """
    outside = along.get(-side, 0.0)
    is_extrapolation = _is_extrapolation(one)
    # Prescribed nodes leave no mode: κ⁰ ≠ 0. Extrapolation of degree p asks for (1 − κ)^{p+1} = 0.
    if outside == 0 or one.fixed or is_extrapolation:
        return np.zeros(0, dtype=np.complex128)
    polynomial = np.zeros(one.depth + 1)
    polynomial[0] = -1.0
    for m, weight in one.ghosts[0]:
        polynomial[m + 1] += weight
    kappa = np.roots(polynomial[::-1])
    kappa = kappa[(np.abs(kappa) < 1 - 1e-12) & (np.abs(kappa) > 0)]
    return outside / kappa + along.get(0, 0.0) + along.get(side, 0.0) * kappa + 0j


def _is_extrapolation(one: Rule) -> bool:
    return any(len(ghost) > 2 for ghost in one.ghosts)


def _nodes(scheme: Scheme, axis: int, most: int, refinement: int) -> int:
    """Return how many nodes stand between two walls, on an interval that refining leaves alone."""
    return (min(most, scheme.domain.points[axis]) - 1) * refinement + 1


def _extreme(points: np.ndarray) -> np.ndarray:
    """Return the corners of the convex hull in 32 directions."""
    rays = np.exp(2j * np.pi * np.arange(32) / 32)
    chosen = {int((points * ray).real.argmax()) for ray in rays}
    return points[sorted(chosen)]


def _blocks(
    scheme: Scheme,
    groups: Sequence[Group],
    coefficients: np.ndarray,
    spacing: Sequence[float],
    walls: Sequence[Mapping[int, Pair]],
    refinement: int,
) -> np.ndarray:
    """Systems and mixed derivatives: between the walls of each axis, with waves along them.

    Where several axes have walls there are modes in the corners too, found in a small box.
    """
    size = coefficients.shape[-1]
    walled = [a for a, periodic in enumerate(scheme.domain.wraps) if not periodic]
    most = max(8, min(NUM_NODES, 160 // size))
    boxes: list[tuple[tuple[int, ...], int]] = [((axis,), most) for axis in walled]
    if len(walled) > 1 and refinement == 1:
        # At most 200 rows: eigenvalues in a tenth of a second.
        boxes.append((tuple(walled), max(4, int((200 / size) ** (1 / len(walled))))))
    made: list[np.ndarray] = []
    for axes, most in boxes:
        nodes = {a: _nodes(scheme, a, most, refinement) for a in axes}
        made += [
            _in_box(groups, coefficients, spacing, walls, nodes, theta)
            for theta in _waves_along(scheme.domain.dimension, axes)
        ]
    return np.concatenate(made)


def _waves_along(dimension: int, axes: Sequence[int]) -> list[dict[int, float]]:
    """Return θ along the other axes; half of them, the others are complex conjugates."""
    others = [a for a in range(dimension) if a not in axes]
    count = _TANGENTIAL[dimension]
    angles = [
        np.pi * np.arange(0 if a == others[0] else 1 - count, count) / max(count - 1, 1)
        for a in others
    ]
    return [dict(zip(others, theta, strict=True)) for theta in itertools.product(*angles)]


def _in_box(
    groups: Sequence[Group],
    coefficients: np.ndarray,
    spacing: Sequence[float],
    walls: Sequence[Mapping[int, Pair]],
    nodes: Mapping[int, int],
    theta: Mapping[int, float],
) -> np.ndarray:
    """Return the eigenvalues in a box between walls, with waves along its other axes.

    Args:
        groups: the stencils.
        coefficients: C_g, shape (group, component, component).
        spacing: the spacings.
        walls: for each component and axis the closures at the low and the high end.
        nodes: how many nodes each axis of the box has.
        theta: the phase a step along each other axis.
    """
    size = len(walls)
    count = math.prod(nodes.values())
    matrix = np.zeros((size, count, size, count), dtype=np.complex128)
    for column in range(size):
        for group, block in zip(groups, coefficients[:, :, column], strict=True):
            if not block.any():
                continue
            scale = group.stencil.scale(spacing)
            total = np.zeros((count, count), dtype=np.complex128)
            for offset, weight in zip(group.stencil.offsets, group.stencil.weights, strict=True):
                phase = sum(offset[a] * angle for a, angle in theta.items())
                part = np.full((1, 1), float(weight) * scale * np.exp(1j * phase))
                for axis, number in nodes.items():
                    part = np.kron(part, _shift(offset[axis], walls[column][axis], number))
                total += part
            matrix[:, :, column, :] += block[:, np.newaxis, np.newaxis] * total
    keep = []
    for column in range(size):
        inside = np.ones(1, dtype=bool)
        for axis, number in nodes.items():
            line = np.ones(number, dtype=bool)
            line[0], line[-1] = (not one.fixed for one in walls[column][axis])
            inside = np.kron(inside, line)
        keep.append(inside)
    rows = np.flatnonzero(np.concatenate(keep))
    return eigenvalues(matrix.reshape(size * count, size * count)[np.ix_(rows, rows)])


def _shift(step: int, walls: Pair, nodes: int) -> np.ndarray:
    """Return the matrix that takes u to u shifted by some nodes, ghost nodes put in.

    Ghost nodes of corners are those of one axis after the other: products of these matrices.
    """
    made = np.zeros((nodes, nodes))
    for node in range(nodes):
        place = node + step
        if 0 <= place < nodes:
            made[node, place] = 1.0
        elif place < 0:
            for m, weight in walls[0].ghosts[-place - 1]:
                made[node, m] += weight
        else:
            for m, weight in walls[1].ghosts[place - nodes]:
                made[node, nodes - 1 - m] += weight
    return made


def _between_walls(along: Mapping[int, float], walls: Pair, nodes: int) -> np.ndarray:
    """Return the eigenvalues of one component on a line of nodes between two walls.

    Args:
        along: the weights of the neighbours along the line, by the steps to them.
        walls: the closures at the low and the high end.
        nodes: how many nodes, the walls among them.
    """
    matrix = sum(
        (weight * _shift(step, walls, nodes) for step, weight in along.items()),
        np.zeros((nodes, nodes)),
    )
    inside = slice(int(walls[0].fixed), nodes - int(walls[1].fixed))
    return np.linalg.eigvals(matrix[inside, inside]).astype(np.complex128)
