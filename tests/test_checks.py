"""Checks of what users give: the same answers for numbers of Python, NumPy and SymPy."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp

from pdenet.checks import check_choice, check_count, is_integer, is_number
from pdenet.errors import GridError, SchemeError
from tests.tiers import Each

INTEGERS = (3, np.int64(3), np.uint8(3), sp.Integer(3))
OTHER_NUMBERS = (0.5, np.float32(0.5), Fraction(1, 2), sp.Rational(1, 2), sp.Float(0.5))
NOTHING = (True, np.True_, "3", None, 1j, sp.Symbol("n"), [3], np.ones(1))
UNBOUNDED = (math.nan, math.inf, np.float64("inf"), 10**400)


def test_integers_and_finite_numbers_of_any_library_are_told_from_the_rest(each: Each) -> None:
    for value, cell in each((*INTEGERS, *OTHER_NUMBERS, *NOTHING, *UNBOUNDED), key=repr):
        with cell:
            assert is_integer(value) == (
                value is UNBOUNDED[-1] or any(value is k for k in INTEGERS)
            )
            assert is_number(value) == any(value is k for k in (*INTEGERS, *OTHER_NUMBERS))


def test_a_count_is_an_integer_that_is_large_enough() -> None:
    made = check_count("steps", np.int32(2), 1, GridError)
    assert (made, type(made)) == (2, int)
    for wrong in (0, 2.0, True, "2"):
        with pytest.raises(GridError, match=r"steps is an integer of at least 1; got .*; give one"):
            check_count("steps", wrong, 1, GridError)


def test_a_wrong_choice_is_told_the_nearest_word() -> None:
    check_choice("space", "upwind", ("central2", "upwind"), SchemeError)
    with pytest.raises(
        SchemeError, match=r"space is one of central2, upwind; got 'upwnd'.*'upwind'"
    ):
        check_choice("space", "upwnd", ("central2", "upwind"), SchemeError)
    with pytest.raises(SchemeError, match="got None"):
        check_choice("space", None, ("central2", "upwind"), SchemeError)
