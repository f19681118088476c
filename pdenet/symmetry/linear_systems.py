"""Small linear systems with integers, solved exactly over the rationals and modulo 2."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any  # elements of SymPy's fields

import sympy as sp


def solution(
    rows: Sequence[Sequence[int]], wanted: Sequence[int], columns: int
) -> list[Fraction] | None:
    """Return one solution of a linear system over the rationals, free unknowns 0; None for none.

    What is to be absorbed goes to the first slots: to the A of A_ij C_jk u_k ∂x u_j.
    """
    solved = _reduced(rows, wanted, columns, sp.QQ)
    if solved is None:
        return None
    return [Fraction(int(v.numerator), int(v.denominator)) for v in solved]


def solution_mod_2(
    rows: Sequence[Sequence[int]], wanted: Sequence[int], columns: int
) -> list[int] | None:
    """Return one solution of a linear system modulo 2, free unknowns 0; None for none."""
    solved = _reduced(rows, wanted, columns, sp.GF(2, symmetric=False))
    return None if solved is None else [int(v) % 2 for v in solved]


def _reduced(
    rows: Sequence[Sequence[int]], wanted: Sequence[int], columns: int, over: sp.polys.Domain
) -> list[Any] | None:
    """Return one solution over a field, in its elements, free unknowns 0; None for none."""
    found = [over.zero] * columns
    if not rows:
        return found
    table = [[over(v) for v in (*row, w)] for row, w in zip(rows, wanted, strict=True)]
    matrix = sp.polys.matrices.DomainMatrix(table, (len(rows), columns + 1), over)
    reduced, pivots = matrix.rref()
    if columns in pivots:
        return None
    for row, pivot in enumerate(pivots):
        found[pivot] = reduced[row, columns].element
    return found
