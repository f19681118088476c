"""Laws of grids: where the nodes stand, in which order the axes come, what is refused."""

import copy
import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from pdenet.discrete.grid import Grid
from pdenet.errors import GridError


class PeriodicOn:
    """A stand-in for a boundary that is periodic along the named axes."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def is_periodic(self, axis: str, /) -> bool:
        return axis in self.names


WALLS = PeriodicOn()
TORUS = PeriodicOn("x", "y", "z")

half_widths = st.floats(1e-100, 1e100)
numbers_of_points = st.integers(2, 300)


def test_nodes_include_both_walls_but_not_the_periodic_copy() -> None:
    grid = Grid(x=(0, 1, 4), y=(0, 1, 5))
    x, y = grid.nodes(PeriodicOn("x"))
    np.testing.assert_array_equal(x, [0, 0.25, 0.5, 0.75])
    np.testing.assert_array_equal(y, [0, 0.25, 0.5, 0.75, 1])
    assert grid.spacing(PeriodicOn("x")) == (0.25, 0.25)
    assert grid.spacing(WALLS) == (1 / 3, 0.25)


@given(half_widths, numbers_of_points)
def test_symmetric_intervals_have_bitwise_antisymmetric_nodes(width: float, points: int) -> None:
    (x,) = Grid(x=(-width, width, points)).nodes(WALLS)
    np.testing.assert_array_equal(x, -x[::-1])
    (x,) = Grid(x=(-width, width, points)).nodes(TORUS)
    np.testing.assert_array_equal(x[1:], -x[:0:-1])


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3), numbers_of_points, st.booleans())
def test_nodes_are_the_rounded_formula_and_ends_are_exact(
    low: float, width: float, points: int, periodic: bool
) -> None:
    high = low + width
    boundary = TORUS if periodic else WALLS
    (x,) = Grid(x=(low, high, points)).nodes(boundary)
    num_cells = points if periodic else points - 1
    exact = [
        (Fraction(low) * (num_cells - k) + Fraction(high) * k) / num_cells for k in range(points)
    ]
    # Two products, a sum and a quotient: at most four roundings, relative to max(|low|, |high|).
    unit = np.spacing(max(abs(low), abs(high)))
    assert (
        max(abs(float(Fraction(a) - b)) for a, b in zip(x.tolist(), exact, strict=True)) <= 4 * unit
    )
    assert x[0] == low
    assert periodic or x[-1] == high
    assert x.shape == (points,)
    assert x.dtype == np.float64
    assert (np.diff(x) > 0).all()


def test_arrays_are_in_array_order_and_everything_else_in_coordinate_order() -> None:
    grid = Grid(x=(0, 1, 3), y=(0, 2, 4), z=(0, 3, 5))
    assert grid.axes == ("x", "y", "z")
    assert grid.dimension == 3
    assert grid.points == (3, 4, 5)
    assert grid.shape == (5, 4, 3)
    assert grid.low == (0.0, 0.0, 0.0)
    assert grid.high == (1.0, 2.0, 3.0)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_mesh_broadcasts_to_the_shape_and_varies_along_its_own_axis(dimension: int) -> None:
    intervals = {"x": (0, 1, 3), "y": (5, 7, 4), "z": (-1, 3, 5)}
    chosen: dict[str, Any] = dict(list(intervals.items())[:dimension])
    grid = Grid(**chosen)
    mesh = grid.mesh(TORUS)
    assert np.broadcast_shapes(*(m.shape for m in mesh)) == grid.shape
    for axis, (coordinate, nodes) in enumerate(zip(mesh, grid.nodes(TORUS), strict=True)):
        assert coordinate.size == nodes.size == coordinate.shape[dimension - 1 - axis]
        np.testing.assert_array_equal(coordinate.ravel(), nodes)


def test_grids_are_values() -> None:
    grid = Grid(x=(-1, 1, 256), y=(0, 0.1, 64))
    assert repr(grid) == "Grid(x=(-1, 1, 256), y=(0, 0.1, 64))"
    assert eval(repr(grid), {"Grid": Grid}) == grid  # noqa: S307 (our own text)
    assert {grid: 1}[Grid(x=(-1.0, 1.0, 256), y=(0, 0.1, 64))] == 1
    assert grid != Grid(x=(-1, 1, 256))
    assert copy.deepcopy(grid) == pickle.loads(pickle.dumps(grid)) == grid  # noqa: S301 (our own)
    with pytest.raises(AttributeError):
        grid.low = (0.0,)  # type: ignore[misc]


def test_nodes_are_fresh_arrays_so_that_changing_them_cannot_change_the_grid() -> None:
    grid = Grid(x=(0, 1, 3))
    grid.nodes(WALLS)[0][:] = 7
    np.testing.assert_array_equal(grid.nodes(WALLS)[0], [0, 0.5, 1])


def test_exact_and_foreign_numbers_are_taken() -> None:
    grid = Grid(x=(-sp.pi, sp.pi, np.int64(8)), y=(Fraction(1, 3), np.float32(1.5), sp.Integer(4)))
    assert grid.low == (-np.pi, 1 / 3)
    assert grid.high == (np.pi, 1.5)
    assert grid.points == (8, 4)
    assert all(type(number) is float for number in grid.low + grid.high)
    assert all(type(number) is int for number in grid.points)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no axis": ({}, "at least one axis"),
    "unknown axis": ({"x": (0, 1, 4), "w": (0, 1, 4)}, "w="),
    "gap": ({"x": (0, 1, 4), "z": (0, 1, 4)}, "give y"),
    "no x": ({"y": (0, 1, 4)}, "give x"),
    "two entries": ({"x": (0, 1)}, r"x=\(0, 1\)"),
    "a number": ({"x": 4}, "x=4"),
    "text": ({"x": "014"}, "x='014'"),
    "text bound": ({"x": ("0", 1, 4)}, "low end of axis x"),
    "bool bound": ({"x": (0, True, 4)}, "high end of axis x"),
    "numpy bool bound": ({"x": (np.False_, 1, 4)}, "low end of axis x"),
    "nan": ({"x": (float("nan"), 1, 4)}, "got nan"),
    "infinite": ({"x": (0, float("inf"), 4)}, "got inf"),
    "beyond float": ({"x": (0, 10**400, 4)}, "high end of axis x"),
    "complex": ({"x": (0, 1j, 4)}, "high end of axis x"),
    "SymPy complex": ({"x": (0, sp.I, 4)}, "high end of axis x"),
    "SymPy infinity": ({"x": (0, sp.oo, 4)}, "high end of axis x"),
    "symbolic": ({"x": (0, sp.Symbol("L"), 4)}, "got L"),
    "array bound": ({"x": (np.zeros(2), 1, 4)}, "low end of axis x"),
    "reversed": ({"x": (1, -1, 4)}, "low < high on axis x"),
    "empty": ({"x": (0, 1, 4), "y": (1, 1, 4)}, "low < high on axis y"),
    "zero points": ({"x": (0, 1, 0)}, "at least 2 points on axis x, got 0"),
    "one point": ({"x": (0, 1, 1)}, "at least 2 points"),
    "negative points": ({"x": (0, 1, -3)}, "at least 2 points"),
    "float points": ({"x": (0, 1, 4.0)}, "got 4.0 of type float"),
    "bool points": ({"x": (0, 1, True)}, "got True of type bool"),
    "overflowing": ({"x": (-1e308, 1e308, 256)}, "larger unit of length"),
    "too fine": ({"x": (1, 1 + 1e-14, 256)}, "tell apart"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_grids_are_refused_with_what_came(case: str) -> None:
    intervals, message = BAD[case]
    with pytest.raises(GridError, match=message) as error:
        Grid(**intervals)
    assert str(error.value).startswith("expected") or case == "unknown axis"
    assert ";" in str(error.value), "the last part says what to do"
