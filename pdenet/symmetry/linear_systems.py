"""Small linear systems with integers, solved exactly over the rationals or modulo 2."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import sympy as sp


def solution(
    rows: Sequence[Sequence[int]], wanted: Sequence[int], columns: int, modulo_2: bool = False
) -> list[Fraction] | None:
    """Return one solution of a linear system, free unknowns 0; None for none.

    What is to be absorbed goes to the first slots: to the A of A_ij C_jk u_k ∂x u_j.
    """
    if not rows:
        return [Fraction(0)] * columns
    over = sp.GF(2, symmetric=False) if modulo_2 else sp.QQ
    table = [[over(v) for v in (*row, w)] for row, w in zip(rows, wanted, strict=True)]
    matrix = sp.polys.matrices.DomainMatrix(table, (len(rows), columns + 1), over)
    reduced, pivots = matrix.rref()
    if columns in pivots:
        return None
    found = [Fraction(0)] * columns
    for row, pivot in enumerate(pivots):
        value = over.to_sympy(reduced[row, columns].element)
        found[pivot] = Fraction(int(value.p), int(value.q))
    return found
