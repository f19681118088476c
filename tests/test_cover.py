"""A cover has few rows, and misses nothing that it promises."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cover import by_turns, crossed, pairs, pairwise_cover

ROWS = st.lists(st.tuples(*[st.integers(0, 3)] * 4), min_size=1, max_size=40)


@given(rows=ROWS, random=st.randoms(use_true_random=False))
def test_a_cover_meets_every_pair_and_has_no_row_to_spare(
    rows: list[tuple[int, ...]], random: Random
) -> None:
    costs = [random.uniform(1, 9) for _ in rows]
    chosen = pairwise_cover(rows, costs)

    def met(places: Sequence[int]) -> set[object]:
        return {pair for k in places for pair in pairs(rows[k])}

    assert met(chosen) == met(range(len(rows)))
    for place in chosen:
        assert met([k for k in chosen if k != place]) != met(chosen)


# pytest does not export the type of what `pytest.param` returns.
def _quick(members: list[Any]) -> list[tuple[object, ...]]:
    return [tuple(m.values) for m in members if not m.marks]


def test_a_crossed_product_is_whole_and_its_quick_part_small() -> None:
    members: list[Any] = crossed(range(3), "ab", range(4))
    assert len({tuple(m.values) for m in members}) == len(members) == 24
    quick = _quick(members)
    assert len(quick) == 12  # as many as the two longest columns have pairs
    assert {pair for row in quick for pair in pairs(row)} == {
        pair for m in members for pair in pairs(m.values)
    }


@pytest.mark.parametrize("per_name", [1, 2])
def test_by_turns_each_name_has_so_many_choices_and_each_choice_a_name(per_name: int) -> None:
    members: list[Any] = by_turns("abcde", [1, 2, 3], per_name)
    assert len({tuple(m.values) for m in members}) == len(members) == 15
    quick = _quick(members)
    for name in "abcde":
        assert [row[0] for row in quick].count(name) == per_name
    assert {row[1] for row in quick} == {1, 2, 3}


def test_a_row_that_later_ones_make_superfluous_goes() -> None:
    rows = [(1, 1, 0), (0, 1, 0), (1, 1, 1), (1, 0, 0)]
    assert pairwise_cover(rows, [1] * 4) == [1, 2, 3]
