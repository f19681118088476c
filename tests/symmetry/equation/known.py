"""The symmetries of the catalogue's equations, computed once for all tests."""

from __future__ import annotations

from functools import cache

from pdenet.equation.catalogue import catalogue
from pdenet.symmetry.equation.symmetries import Symmetries


@cache
def known(name: str) -> Symmetries:
    """The symmetries of an equation with generic parameters."""
    return catalogue[name].symmetries()
