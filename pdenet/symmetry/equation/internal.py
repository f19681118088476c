"""Internal symmetries: the matrices X with F[(1 + εX) u] = (1 + εX) F[u] to first order in ε.

    Σ_{k,α} ∂F_j/∂u^k_α ∂^α(X u)_k = (X F)_j        for all u,

is linear in X: an exact null space. The X are a Lie algebra, and exp(εX) acts on the components of
every state alike, at every point. A rotation of channels that a ConvNet does not notice is one.

Source: Olver (1993), Applications of Lie Groups to Differential Equations, § 2.3, for fields
φ = X u that move neither t nor x.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg
import sympy as sp

from pdenet.errors import SymmetryError
from pdenet.symmetry.equation.algebra import Algebra
from pdenet.symmetry.equation.jets import JetSystem
from pdenet.symmetry.equation.runs import (
    Check,
    Run,
    Symmetry,
    check_homogeneous,
    compare,
    conditions,
    numbers,
)
from pdenet.symmetry.equation.vector_fields import integral, sign_and_size, signed_sum
from pdenet.symmetry.indices import joined

if TYPE_CHECKING:
    from pdenet.simulate.solver import Solver


_ANGLE = 0.3
"""ε in exp(εX): far from 0 and, with X of integers, from where cosines are special."""


@dataclass(frozen=True, eq=False)
class InternalSymmetry(Symmetry):
    """u ↦ exp(εX) u takes solutions to solutions.

    Attributes:
        matrix: X.
        components: the names of the components.
    """

    matrix: sp.ImmutableMatrix
    components: tuple[str, ...]

    def __str__(self) -> str:
        terms = []
        for j, name in enumerate(self.components):
            for k, other in enumerate(self.components):
                if self.matrix[j, k] != 0:
                    is_negative, size = sign_and_size(self.matrix[j, k])
                    shown = other if size == 1 else f"{size} {other}"
                    terms.append((is_negative, f"{shown} ∂{name}"))
        return signed_sum(terms)

    def _check(self, solver: Solver, u: np.ndarray, run: Run) -> Check:
        generator = numbers(self.matrix, run)
        if len(generator) != len(u):
            raise SymmetryError(
                f"X has one row a component; got {generator.shape} for the components "
                f"{', '.join(solver.components)}; find the symmetries of this solver's equation"
            )
        check_homogeneous(run, "an internal symmetry")
        _check_mixed(generator, run)
        finite = scipy.linalg.expm(_ANGLE * generator)

        def act(array: np.ndarray) -> np.ndarray:
            return np.einsum("jk,k...->j...", finite, array)

        return compare(act(run.advance(u)), run.advance(act(u)))


@dataclass(frozen=True, eq=False)
class InternalAlgebra:
    """The internal symmetries of an equation, a Lie algebra of matrices.

    Attributes:
        elements: a basis.
        components: the names of the components.
        name: what it is, where it is recognised: "scalars", "gl(2)", "so(2)", "diagonal", …
        is_closed: whether all commutators lie in it, as they must.
    """

    elements: tuple[InternalSymmetry, ...]
    components: tuple[str, ...]
    name: str
    is_closed: bool

    @property
    def dimension(self) -> int:
        """How many parameters the group has."""
        return len(self.elements)

    def __iter__(self) -> Iterator[InternalSymmetry]:
        return iter(self.elements)

    def __len__(self) -> int:
        return len(self.elements)

    def __str__(self) -> str:
        return "\n".join([self.name, *(f"  {e}" for e in self.elements)])


def internal_algebra(jets: JetSystem) -> InternalAlgebra:
    """Return the linear internal symmetries of an equation; exact.

    Args:
        jets: the equation; symbols without a value stand for generic values.

    Example:
        >>> from pdenet.equation.catalogue import catalogue
        >>> from pdenet.symmetry.equation.writing import jet_system
        >>> print(internal_algebra(jet_system(catalogue["maxwell_tm"].system)))
        scalars: all components times one number
          Ez ∂Ez + Hx ∂Hx + Hy ∂Hy
    """
    n = jets.num_components
    places = [[jets.place(s) for s in jets.jets_in(right)] for right in jets.right_sides]
    every = [jets.jet(k, order) for of in places for _, order in of for k in range(n)]
    algebra = Algebra(jets, [*jets.right_sides, *every], depth=1)
    rights = [algebra.read(r) for r in jets.right_sides]
    slopes = [
        {p: algebra.partial(right, jets.jet(*p)) for p in of}
        for right, of in zip(rights, places, strict=True)
    ]
    columns = []
    # Off the diagonal first: those are pivots, and what is left is led by a diagonal entry.
    unknowns = sorted(itertools.product(range(n), repeat=2), key=lambda p: (p[0] == p[1], p[::-1]))
    for a, b in unknowns:  # X has a single 1, in row a and column b
        column = []
        for j in range(n):
            total = algebra.ring.zero
            for (k, order), slope in slopes[j].items():
                if k == a:
                    total = total + slope * algebra.generators[jets.jet(b, order)]
            column.append(algebra.reduced(total - rights[b] if j == a else total))
        columns.append(column)
    matrices = []
    for vector in algebra.null_space(columns):
        matrix = sp.zeros(n, n)
        for (a, b), value in zip(unknowns, integral(vector), strict=True):
            matrix[a, b] = value
        matrices.append(sp.ImmutableMatrix(matrix))
    elements = tuple(InternalSymmetry(m, jets.components) for m in matrices)
    return InternalAlgebra(elements, jets.components, _name(matrices, n), _is_closed(matrices))


def _rank(matrices: list[sp.Matrix]) -> int:
    return int(sp.Matrix([list(m) for m in matrices]).rank()) if matrices else 0


def _is_closed(matrices: list[sp.Matrix]) -> bool:
    pairs = itertools.combinations(matrices, 2)
    brackets = [(a * b - b * a).applyfunc(sp.expand) for a, b in pairs]
    return _rank([*matrices, *brackets]) == len(matrices)


def _name(matrices: list[sp.Matrix], n: int) -> str:
    """Recognise the common algebras by dimension and pattern."""
    count = len(matrices)
    if count == 0:
        return "none: no matrix but 0"
    if count == n * n:
        return f"gl({n}): all matrices" if n > 1 else "scalars: u times a number"
    patterns = {(a, b) for m in matrices for a in range(n) for b in range(n) if m[a, b] != 0}
    if count == 1 and matrices[0] == matrices[0][0, 0] * sp.eye(n):
        return "scalars: all components times one number"
    is_skew = all(m + m.T == sp.zeros(n, n) for m in matrices)
    if is_skew and count == n * (n - 1) // 2:
        return f"so({n}): rotations of the components"
    traces = [m for m in matrices if m == m[0, 0] * sp.eye(n)]
    if traces and count == 1 + n * (n - 1) // 2 and n > 1:
        others = [m - m.trace() / n * sp.eye(n) for m in matrices]
        if all(o + o.T == sp.zeros(n, n) for o in others):
            return f"scalars and so({n}): one number, and rotations of the components"
    if all(a == b for a, b in patterns):
        return f"diagonal: {count} numbers for {n} components"
    sizes = sorted(map(len, joined(range(n), patterns)), reverse=True)
    if len(sizes) > 1 and count == sum(k * k for k in sizes):
        return "block diagonal: " + " ⊕ ".join(f"gl({k})" for k in sizes)
    commute = all(a * b == b * a for a, b in itertools.combinations(matrices, 2))
    return f"{count} dimensions, {'commutative' if commute else 'not commutative'}"


def _check_mixed(generator: np.ndarray, run: Run) -> None:
    names = run.values.system.field_names
    of = [name for name in names for _ in range(*_length(run.values.slices[name]))]
    for j, k in zip(*np.nonzero(generator), strict=True):
        mine, other = (conditions(run.boundary, [of[i]]) for i in (j, k))
        if list(map(repr, mine)) != list(map(repr, other)):
            raise SymmetryError(
                f"fields that a symmetry mixes have the same conditions; got {mine} for {of[j]!r} "
                f"and {other} for {of[k]!r}; check it on a periodic grid"
            )


def _length(place: slice) -> tuple[int, int]:
    return int(place.start), int(place.stop)
