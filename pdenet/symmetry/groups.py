"""Groups of matrices that a change of unknowns u = P v may come from, and their elements.

    GL(n)                      all invertible matrices
    R₊·O(n), O(n)              orthogonal matrices, with or without one common factor
    generalised permutations   one number in each row and column: any, positive, ±1 (signed), or 1
    diagonal matrices          with such numbers

each also cut to matrices that permute g equal blocks of components among themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pdenet.errors import SymmetryError

SHAPES = ("general", "orthogonal", "monomial", "diagonal")
"""Which entries may differ from 0, from the largest group to the smallest."""

SCALES = ("any", "positive", "signs", "one")
"""Which numbers stand in a generalised permutation."""

# A matrix that was computed in float64 has rounding errors of this size, relative to its largest
# entry; exactly representable matrices pass with 0.
ROUNDING = 1e-10


@dataclass(frozen=True)
class Group:
    """A group of invertible n×n matrices.

    Attributes:
        shape: one of `SHAPES`.
        scales: one of `SCALES`; for monomial and diagonal matrices.
        common: whether one positive factor of the whole matrix is free besides.
        blocks: the number of equal blocks of components that are permuted as wholes.
    """

    shape: str = "general"
    scales: str = "any"
    common: bool = True
    blocks: int = 1

    def __post_init__(self) -> None:
        # One form for equal groups.
        is_scaled = self.shape in ("general", "orthogonal") or self.scales in ("any", "positive")
        if self.shape in ("general", "orthogonal"):
            object.__setattr__(self, "scales", "any" if self.shape == "general" else "signs")
        if self.shape == "general" or (is_scaled and self.shape != "orthogonal"):
            object.__setattr__(self, "common", True)

    @property
    def is_trivial(self) -> bool:
        """Whether the identity is the only element."""
        return self.shape == "diagonal" and self.scales == "one" and not self.common

    def __and__(self, other: Group) -> Group:
        """Return the intersection."""
        blocks = max(self.blocks, other.blocks)
        if min(self.blocks, other.blocks) not in (1, blocks):
            raise SymmetryError(
                f"blocks of one number were expected; got {self.blocks} and {other.blocks}"
            )
        shape = max(self.shape, other.shape, key=SHAPES.index)
        order = (self.scales, other.scales)
        scales = max(order, key=SCALES.index)
        if set(order) == {"positive", "signs"}:
            scales = "one"  # no number but 1 is positive and ±1
        return Group(shape, scales, self.common and other.common, blocks)

    def __le__(self, other: Group) -> bool:
        """Tell whether every element of this group is one of the other."""
        return self & other == self

    def name(self, n: int | str = "n") -> str:
        """Return the name, such as "GL(64)" or "signed permutations of 64 components"."""
        if self.blocks > 1:
            return f"{_of_blocks(self, n)} and their exchanges"
        if self.shape == "general":
            return f"GL({n})"
        if self.shape == "orthogonal":
            return f"R₊·O({n})" if self.common else f"O({n})"
        if self.is_trivial:
            return "the identity alone"
        kinds = {
            "monomial": (
                "generalised permutations", "positive generalised permutations",
                "signed permutations", "permutations",
            ),
            "diagonal": (
                "diagonal matrices", "positive diagonal matrices", "diagonal matrices of ±1",
                "the identity",
            ),
        }  # fmt: skip
        made = kinds[self.shape][SCALES.index(self.scales)]
        if self.common and self.scales in ("signs", "one"):
            made += ", times one positive number"
        return f"{made} of {n} components"

    def __str__(self) -> str:
        return self.name()

    # -- elements ----------------------------------------------------------------------------------

    def fault(self, matrix: np.ndarray) -> str:
        """Return why a matrix is no element, with a number; "" for an element.

        Args:
            matrix: an invertible matrix, float64, shape `(n, n)`.
        """
        n = len(matrix)
        if self.common and self.scales in ("signs", "one"):
            matrix = matrix / np.sqrt(np.trace(matrix.T @ matrix) / n)
        size = float(np.abs(matrix).max())
        if self.shape == "orthogonal":
            gap = float(np.linalg.norm(matrix.T @ matrix - np.eye(n)))
            if gap > ROUNDING * n:
                what = "PᵀP/c² − I" if self.common else "PᵀP − I"
                return f"it is not orthogonal: ‖{what}‖ = {gap:.3g}"
        if self.shape in ("monomial", "diagonal"):
            fault = self._fault_of_entries(matrix, size)
            if fault:
                return fault
        return self._fault_of_blocks(matrix, size) if self.blocks > 1 else ""

    def _fault_of_entries(self, matrix: np.ndarray, size: float) -> str:
        n = len(matrix)
        places = np.abs(matrix).argmax(axis=0)
        entries = matrix[places, np.arange(n)]
        rest = matrix.copy()
        rest[places, np.arange(n)] = 0.0
        others = float(np.abs(rest).max())
        if others > ROUNDING * size or len(set(places.tolist())) < n:
            return (
                "a row or a column has more than one number that is not 0: besides one in each "
                f"there is {others:.3g}"
            )
        if self.shape == "diagonal" and (places != np.arange(n)).any():
            return f"it is not diagonal: it moves {int((places != np.arange(n)).sum())} components"
        wanted = {
            "positive": np.maximum(0.0, -entries),
            "signs": np.abs(np.abs(entries) - 1.0),
            "one": np.abs(entries - 1.0),
        }
        if self.scales in wanted:
            gap = float(wanted[self.scales].max())
            if gap > ROUNDING * size:
                words = {"positive": "positive", "signs": "±1", "one": "1"}[self.scales]
                worst = entries[int(wanted[self.scales].argmax())]
                return f"its numbers are {words}, and one is {worst:.6g}"
        return ""

    def _fault_of_blocks(self, matrix: np.ndarray, size: float) -> str:
        n = len(matrix)
        if n % self.blocks:
            return f"{n} components are not {self.blocks} equal blocks"
        m = n // self.blocks
        norms = np.abs(matrix.reshape(self.blocks, m, self.blocks, m)).max(axis=(1, 3))
        rest = norms.copy()
        places = norms.argmax(axis=0)
        rest[places, np.arange(self.blocks)] = 0.0
        if float(rest.max()) > ROUNDING * size or len(set(places.tolist())) < self.blocks:
            return f"it mixes blocks of {m} components: an entry between them is {rest.max():.3g}"
        return ""

    def random(self, n: int, rng: np.random.Generator, condition: float = 10.0) -> np.ndarray:
        """Draw an element.

        Args:
            n: the number of components.
            rng: the source of randomness.
            condition: the condition number ‖P‖ ‖P⁻¹‖ in the 2-norm where the group has elements
                with other ones than 1; at least 1.

        Returns:
            A float64 matrix of shape `(n, n)`.

        Raises:
            SymmetryError: there is no such element.
        """
        if not condition >= 1:
            raise SymmetryError(f"a condition number is at least 1; got {condition}; give one")
        if self.blocks > 1:
            return self._random_blocks(n, rng, condition)
        spread = np.exp(np.linspace(0.0, np.log(condition), n) - 0.5 * np.log(condition))
        if self.shape == "general":
            left, right = (_orthogonal(n, rng) for _ in range(2))
            made: np.ndarray = left @ (spread[:, None] * right)
            return made
        if self.shape == "orthogonal":
            return _orthogonal(n, rng) * (rng.uniform(0.5, 2.0) if self.common else 1.0)
        numbers = rng.permutation(spread) if self.scales in ("any", "positive") else np.ones(n)
        if self.scales in ("any", "signs"):
            numbers = numbers * rng.choice([-1.0, 1.0], n)
        if self.common and self.scales in ("signs", "one"):
            numbers = numbers * rng.uniform(0.5, 2.0)
        made = np.zeros((n, n))
        order = rng.permutation(n) if self.shape == "monomial" else np.arange(n)
        made[order, np.arange(n)] = numbers
        return made

    def _random_blocks(self, n: int, rng: np.random.Generator, condition: float) -> np.ndarray:
        if n % self.blocks:
            raise SymmetryError(
                f"{self.blocks} equal blocks were expected; got {n} components; give a multiple"
            )
        m = n // self.blocks
        single = replace(self, blocks=1)
        made = np.zeros((n, n))
        exchange = self.shape != "diagonal"
        order = rng.permutation(self.blocks) if exchange else np.arange(self.blocks)
        for column, row in enumerate(order):
            here = (slice(row * m, row * m + m), slice(column * m, column * m + m))
            made[here] = single.random(m, rng, condition)
        return made


GENERAL = Group()
ORTHOGONAL = Group("orthogonal", common=False)
IDENTITY = Group("diagonal", "one", common=False)


def _of_blocks(group: Group, n: int | str) -> str:
    count = group.blocks
    size = n // count if isinstance(n, int) else f"{n}/{count}"
    within = replace(group, blocks=1).name(size)
    return f"{within} on each of {count} blocks"


def _orthogonal(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return an orthogonal matrix of the Haar measure (Mezzadri 2007, Notices AMS 54:592)."""
    q, r = np.linalg.qr(rng.standard_normal((n, n)))
    made: np.ndarray = q * np.sign(np.diag(r))
    return made


def monomial_parts(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return π and d of a generalised permutation: u_π(j) = d_j v_j; None for another matrix."""
    if Group("monomial").fault(matrix):
        return None
    order = np.abs(matrix).argmax(axis=0)
    return order, matrix[order, np.arange(len(matrix))]
