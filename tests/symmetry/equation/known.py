"""The symmetries of the catalogue's equations, computed once for all tests."""

from __future__ import annotations

from functools import cache

from pdenet.equation.catalogue import catalogue
from pdenet.symmetry.equation.symmetries import Symmetries

FEW = frozenset(
    {"heat", "rotation", "gray_scott", "kdv", "shallow_water", "maxwell_tm", "eq3", "eq5"}
)
"""For the quick tier: of each kind of symmetry an equation that has it and one that lacks it.

A scalar in the plane and one on a line, coordinates in the coefficients, a reaction, a vector, a
pseudo-vector, a family whose matrices act and one with diagonal ones.
"""


@cache
def known(name: str) -> Symmetries:
    """The symmetries of an equation with generic parameters."""
    return catalogue[name].symmetries()
