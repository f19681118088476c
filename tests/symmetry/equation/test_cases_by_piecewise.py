"""A right side by cases: nothing is claimed that would need the derivatives of its jumps."""

from __future__ import annotations

import pytest
import sympy as sp

import pdenet as pn
from pdenet.errors import SymmetryError

t, x = pn.coordinates("t x")
u = pn.fields("u", (t, x))


def test_a_jump_in_x_is_no_translation_and_generators_are_refused() -> None:
    """SymPy derives Piecewise((1, x > 0), (2, True)) to 0, and ∂x would follow."""
    jump = pn.PDE(sp.Eq(u.diff(t), sp.Piecewise((1, x > 0), (2, True)) * u.diff(x, 2)))
    found = jump.symmetries()
    assert [str(one) for one in found.translations] == ["translation in t"]
    for part in ("generators", "internal"):
        with pytest.raises(SymmetryError, match="Piecewise"):
            getattr(found, part)
    assert "not looked for: the right side is written by cases" in str(found)
    assert "generator" not in found.parts()


def test_the_same_jump_by_a_sign_is_looked_into() -> None:
    jump = pn.PDE(sp.Eq(u.diff(t), (3 - sp.sign(x)) * u.diff(x, 2)))
    assert "∂x" not in [str(v) for v in jump.symmetries().generators]
    assert "u ∂u" in [str(v) for v in jump.symmetries().generators]
