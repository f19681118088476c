"""CheckTable: the numerical proofs of all symmetries of an equation, one row each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pdenet.errors import SymmetryError
from pdenet.symmetry.equation.runs import Check

if TYPE_CHECKING:
    from pdenet.simulate.solver import Solver


class Checkable(Protocol):
    """A symmetry of any kind."""

    @property
    def name(self) -> str:
        """What it is called."""

    def check(
        self, solver: Solver, state: object | None = None, until: float | None = None
    ) -> Check:
        """Return how far it is from holding on a grid."""


@dataclass(frozen=True)
class Row:
    """One symmetry.

    Attributes:
        kind: "lattice", "reversal", "translation", "scaling", "dimensional", "internal" or
            "generator".
        name: the symmetry.
        check: how far it is from holding; None where grid or boundary admit no proof.
        reason: why there is no proof.
    """

    kind: str
    name: str
    check: Check | None
    reason: str = ""

    def __str__(self) -> str:
        result = f"not checked: {self.reason}" if self.check is None else str(self.check)
        return f"{self.kind:<12} {self.name:<40} {result}"


@dataclass(frozen=True)
class CheckTable:
    """All rows; generators hold to the order of the scheme, the other kinds to rounding."""

    rows: tuple[Row, ...]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def largest(self, kind: str) -> float:
        """Return the largest relative difference of one kind; NaN where nothing was compared."""
        checks = [row.check for row in self.rows if row.kind == kind and row.check is not None]
        compared = [check.relative for check in checks if not check.is_empty]
        # A difference of NaN, as of a run that blew up, is the answer; max alone may lose it.
        return max(compared, key=lambda r: (math.isnan(r), r), default=math.nan)

    def __str__(self) -> str:
        return "\n".join(map(str, self.rows))


def check_all(
    symmetries: Mapping[str, tuple[Checkable, ...]],
    solver: Solver,
    state: object | None,
    until: float | None,
) -> CheckTable:
    """Check symmetries of all kinds on one solver."""
    rows = []
    for kind, elements in symmetries.items():
        for one in elements:
            shown = str(one) if kind == "generator" else one.name
            try:
                rows.append(Row(kind, shown, one.check(solver, state, until)))
            except SymmetryError as error:
                rows.append(Row(kind, shown, None, str(error)))
    return CheckTable(tuple(rows))
