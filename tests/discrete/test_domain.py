"""Laws of domains: a box of a grid has the grid's own nodes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdenet.discrete.boundary import Boundary, Free, Periodic
from pdenet.discrete.domain import HIGH, LOW, Domain
from pdenet.discrete.grid import Grid
from pdenet.errors import GridError

GRID = Grid(x=(-1, 2.3, 17), y=(0.1, 0.7, 12))
MIXED = Domain.of(GRID, Boundary(x=Periodic(), y=Free()))


@given(st.data(), st.booleans(), st.integers(0, 5))
def test_nodes_of_a_box_are_those_of_the_whole(
    data: st.DataObject, is_periodic: bool, width: int
) -> None:
    """To the bit, beyond the ends of the box and of the whole too."""
    points = data.draw(st.integers(6, 40))
    low = data.draw(st.floats(-3, 3))
    grid = Grid(x=(low, low + data.draw(st.floats(0.1, 9)), points))
    whole = Domain.of(grid, Boundary(x=Periodic() if is_periodic else Free()))
    start = data.draw(st.integers(0, points - 1))
    stop = data.draw(st.integers(start + 1, points))
    box = whole.box([start], [stop])
    everywhere = whole.nodes(0, 5)
    np.testing.assert_array_equal(
        box.nodes(0, width), everywhere[5 + start - width : 5 + stop + width]
    )
    inner = data.draw(st.integers(0, stop - start - 1))
    assert box.box([inner], [stop - start]) == whole.box([start + inner], [stop])


def test_nodes_beyond_the_ends_wrap_or_go_on() -> None:
    x, y = GRID.nodes(MIXED)
    np.testing.assert_array_equal(MIXED.nodes(0, 2), [*x[-2:], *x, *x[:2]])
    h = MIXED.spacing[1]
    np.testing.assert_array_equal(
        MIXED.nodes(1, 2), [y[0] - 2 * h, y[0] - h, *y, y[-1] + h, y[-1] + 2 * h]
    )


def test_a_box_wraps_only_where_it_is_as_long_as_the_axis() -> None:
    assert MIXED.wraps == (True, False)
    assert MIXED.box([0, 3], [17, 9]).wraps == (True, False)
    assert MIXED.box([1, 3], [17, 9]).wraps == (False, False)
    assert MIXED.box([1, 3], [17, 9]).spacing == MIXED.spacing


def test_a_side_fixes_one_coordinate() -> None:
    box = MIXED.box([2, 3], [8, 7])
    low, high = box.side(1, LOW, [2]), box.side(1, HIGH, [])
    assert (low["y"], high["y"]) == (GRID.nodes(MIXED)[1][3], GRID.nodes(MIXED)[1][6])
    np.testing.assert_array_equal(low["x"], box.nodes(0, 2).reshape(1, -1))
    np.testing.assert_array_equal(high["x"], box.nodes(0).reshape(1, -1))
    assert box.place((0, 1)) == GRID.place((3, 3), MIXED)


@pytest.mark.parametrize("span", [((0, 0), (0, 12)), ((0, 0), (18, 12)), ((-1, 0), (4, 4))])
def test_boxes_are_inside_and_not_empty(span: tuple[tuple[int, int], tuple[int, int]]) -> None:
    with pytest.raises(GridError, match="at least one node an axis inside"):
        MIXED.box(*span)
