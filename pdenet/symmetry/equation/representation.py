"""Representations: one matrix for every element of a group, chosen from few for its generators."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import sympy as sp

from pdenet.symmetry.equation.axis_maps import AxisMap, subgroup

MAX_CHOICES = 16
"""How many matrices of one element are kept, to choose a representation from."""

_MAX_TRIALS = 2000


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
