"""AxisMap: a signed permutation of the axes, with or without a reversal of time; groups of them.

The signed permutations are the orthogonal maps that take a square grid to itself: 2 in one
dimension, the dihedral group of the square (8) in two, the group of the cube (48) in three.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import sympy as sp

from pdenet.equation.symbols import SPACE

MAX_CHOICES = 16
"""How many matrices of one element are kept, to choose a representation from."""

_MAX_TRIALS = 2000


@dataclass(frozen=True)
class AxisMap:
    """g with (g x)_a = s_a x_{p(a)}.

    Attributes:
        permutation: p, one axis a place.
        signs: s, each 1 or −1.
        time: 1, or −1 where t becomes −t as well.

    Example:
        >>> quarter = AxisMap((1, 0), (-1, 1))
        >>> print(quarter, "is a", quarter.name)
        (x, y) → (−y, x) is a quarter turn
        >>> (quarter @ quarter).name
        'half turn'
    """

    permutation: tuple[int, ...]
    signs: tuple[int, ...]
    time: int = 1

    @property
    def dimension(self) -> int:
        """The number of axes."""
        return len(self.signs)

    @property
    def matrix(self) -> np.ndarray:
        """The matrix of g, shape `(axis, axis)`, of −1, 0, 1."""
        made = np.zeros((self.dimension,) * 2, dtype=np.int64)
        made[np.arange(self.dimension), list(self.permutation)] = self.signs
        return made

    @property
    def is_identity(self) -> bool:
        """Whether nothing moves."""
        return self == identity(self.dimension)

    def __matmul__(self, other: AxisMap) -> AxisMap:
        """Return g h, first h and then g."""
        return AxisMap(
            tuple(other.permutation[p] for p in self.permutation),
            tuple(s * other.signs[p] for s, p in zip(self.signs, self.permutation, strict=True)),
            self.time * other.time,
        )

    def inverse(self) -> AxisMap:
        """Return g⁻¹."""
        back = tuple(self.permutation.index(a) for a in range(self.dimension))
        return AxisMap(back, tuple(self.signs[b] for b in back), self.time)

    @property
    def order(self) -> int:
        """The least k ≥ 1 with gᵏ = 1."""
        k, power = 1, self
        while not power.is_identity:
            k, power = k + 1, power @ self
        return k

    @property
    def name(self) -> str:
        """Its usual name: a turn, a mirror, or the map written out in three dimensions."""
        known = _NAMES.get((self.permutation, self.signs)) or str(self.still)
        if self.time > 0:
            return known
        return "t → −t" if self.still.is_identity else f"t → −t with {known}"

    @property
    def still(self) -> AxisMap:
        """The same map of space, with time as it is."""
        return AxisMap(self.permutation, self.signs)

    def coordinates(self, symbols: Sequence[sp.Symbol]) -> dict[sp.Symbol, sp.Expr]:
        """Return what takes the places of those of t, x, y, z that move."""
        t, *axes = symbols
        made = {
            axes[b]: s * axes[p]
            for b, (p, s) in enumerate(zip(self.permutation, self.signs, strict=True))
            if (p, s) != (b, 1)
        }
        return made if self.time > 0 else {t: -t, **made}

    def derivative(self, order: Sequence[int]) -> tuple[tuple[int, ...], int]:
        """Return the α and the sign of ∂^β (u∘g⁻¹) = ± (∂^α u)∘g⁻¹."""
        made, sign = [0] * len(order), 1
        for b, k in enumerate(order):
            made[self.permutation[b]] += k
            sign *= self.signs[b] ** k
        return tuple(made), sign

    def __str__(self) -> str:
        axes = [*(("t",) if self.time < 0 else ()), *SPACE[: self.dimension]]
        to = ["−t"] if self.time < 0 else []
        to += [
            f"{'−' if s < 0 else ''}{SPACE[p]}"
            for s, p in zip(self.signs, self.permutation, strict=True)
        ]
        if len(axes) == 1:
            return f"x → {to[0]}"
        return f"({', '.join(axes)}) → ({', '.join(to)})"


_NAMES = {
    ((0,), (1,)): "identity",
    ((0,), (-1,)): "mirror x → −x",
    ((0, 1), (1, 1)): "identity",
    ((1, 0), (-1, 1)): "quarter turn",
    ((0, 1), (-1, -1)): "half turn",
    ((1, 0), (1, -1)): "three-quarter turn",
    ((0, 1), (-1, 1)): "mirror x → −x",
    ((0, 1), (1, -1)): "mirror y → −y",
    ((1, 0), (1, 1)): "mirror x ↔ y",
    ((1, 0), (-1, -1)): "mirror x ↔ −y",
    ((0, 1, 2), (1, 1, 1)): "identity",
}


def identity(dimension: int) -> AxisMap:
    """Return the map that moves nothing."""
    return AxisMap(tuple(range(dimension)), (1,) * dimension)


def lattice_group(dimension: int) -> tuple[AxisMap, ...]:
    """Return all signed permutations of the axes, the identity first, then turns, then mirrors.

    Example:
        >>> [len(lattice_group(d)) for d in (1, 2, 3)]
        [2, 8, 48]
    """
    made = [
        AxisMap(p, s)
        for p in itertools.permutations(range(dimension))
        for s in itertools.product((1, -1), repeat=dimension)
    ]
    names = list(_NAMES)

    def key(g: AxisMap) -> tuple[object, ...]:
        known = (g.permutation, g.signs)
        place = names.index(known) if known in _NAMES else len(names)
        return round(np.linalg.det(g.matrix)) < 0, place, g.permutation, tuple(-s for s in g.signs)

    return tuple(sorted(made, key=key))


def subgroup(given: Sequence[AxisMap], dimension: int) -> dict[AxisMap, tuple[AxisMap, ...]]:
    """Return all products of the given maps, each with one word in them, shortest first."""
    words: dict[AxisMap, tuple[AxisMap, ...]] = {identity(dimension): ()}
    todo = [identity(dimension)]
    while todo:
        g = todo.pop(0)
        for s in given:
            made = s @ g
            if made not in words:
                words[made] = (s, *words[g])
                todo.append(made)
    return words


def generating(
    dimension: int, actions: Callable[[AxisMap], tuple[list[sp.Matrix], sp.Matrix | None]]
) -> tuple[dict[AxisMap, list[sp.Matrix]], dict[AxisMap, sp.Matrix]]:
    """Return matrices of maps that generate all symmetries, and of maps that act in no group.

    The symmetries are a group: products of known ones hold, and their cosets fail together.

    Args:
        dimension: the number of axes.
        actions: gives the matrices that a map may have, best first, or one that is no action.
    """
    group = lattice_group(dimension)
    choices: dict[AxisMap, list[sp.Matrix]] = {}
    loose: dict[AxisMap, sp.Matrix] = {}
    failed: set[AxisMap] = set()
    words = subgroup((), dimension)
    for g in (*group, *(replace(g, time=-1) for g in group)):
        if g in words or g in failed:
            continue
        found, other = actions(g)
        if found:
            choices[g] = found
            words = subgroup(tuple(choices), dimension)
        elif other is not None:
            loose[g] = other
        else:
            failed.update(made for h in words for made in (g @ h, h @ g))
    return choices, loose


def representation(
    choices: Mapping[AxisMap, Sequence[sp.Matrix]], dimension: int, size: int
) -> tuple[dict[AxisMap, sp.Matrix], bool]:
    """Return M(g) for all products of some maps, with M(g h) = M(g) M(h) where that can be had.

    Args:
        choices: for each generating map the matrices it may have, best first.
        dimension: the number of axes.
        size: the number of rows of the matrices.

    Returns:
        The matrices, and whether they are a representation. Where none is found they are products
        of the first choices.
    """
    words = subgroup(tuple(choices), dimension)
    first: dict[AxisMap, sp.Matrix] = {}
    for matrices in itertools.islice(itertools.product(*choices.values()), _MAX_TRIALS):
        of = dict(zip(choices, matrices, strict=True))
        made = {h: _product([of[s] for s in word], size) for h, word in words.items()}
        first = first or made
        if all(is_zero(of[s] * made[h] - made[s @ h]) for s in of for h in words):
            return made, True
    return first, False


def _product(matrices: Sequence[sp.Matrix], size: int) -> sp.Matrix:
    made = sp.eye(size)
    for matrix in matrices:
        made = made * matrix
    return made


def is_zero(matrix: sp.Matrix) -> bool:
    """Tell whether all entries vanish, fractions cancelled."""
    return all(e == 0 or sp.cancel(e) == 0 for e in matrix)
