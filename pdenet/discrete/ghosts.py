"""Ghost nodes and prescribed nodes: the closures of a Scheme carried out on arrays.

Axes are padded in coordinate order, x first; a later axis sees the ghost nodes of the earlier ones,
so that corners combine both rules and mixed derivatives keep their second order there.

A side is a pair (axis, end). Boundary values are given, as numbers or arrays that broadcast over a
side; `walls` evaluates them. What touches a field is slicing and arithmetic that depends on no
number in it, so that it can be traced.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias  # boundary values are numbers, arrays or tensors

from pdenet.discrete.arrays import Array, Arrays, cut
from pdenet.discrete.closure import Closure, Rule, Wrap
from pdenet.discrete.domain import HIGH, LOW

Side: TypeAlias = tuple[int, int]
"""An axis in coordinate order, and LOW or HIGH."""


# Ghost nodes -------------------------------------------------------------------------------------


def pad(
    field: Array,
    closures: Sequence[tuple[Closure, Closure]],
    width: Sequence[int],
    arrays: Arrays,
    value: Callable[[int, int], Any],
) -> Array:
    """Return a field with its ghost nodes, shape `(…, *(points + 2 width))`.

    Args:
        field: shape `(…, *points)`, x last.
        closures: for each axis, in coordinate order, the closures at (low, high).
        width: how many ghost nodes each axis gets at both ends.
        arrays: the back end.
        value: (axis, end) to g on that side, with ghost nodes along the axes before it; asked once
            where a ghost node needs it.
    """
    for axis, (pair, reach) in enumerate(zip(closures, width, strict=True)):
        if not reach:
            continue
        place = -(axis + 1)
        low, high = pair
        if isinstance(low, Wrap) or isinstance(high, Wrap):
            parts = [cut(field, place, -reach, None), field, cut(field, place, 0, reach)]
        else:
            below = _ghosts(field, axis, LOW, low, reach, value)
            above = _ghosts(field, axis, HIGH, high, reach, value)
            parts = [*reversed(below), field, *above]
        field = arrays.concatenate(parts, place)
    return field


def _ghosts(
    field: Array,
    axis: int,
    end: int,
    one: Rule,
    reach: int,
    value: Callable[[int, int], Any],
) -> list[Array]:
    """Return the ghost nodes k = 1, 2, … spacings outside, each of length 1 along the axis."""
    place = -(axis + 1)
    points = field.shape[place]
    given = value(axis, end) if any(one.sources[:reach]) else 0.0
    made: list[Array] = []
    for rule, source in zip(one.ghosts[:reach], one.sources[:reach], strict=True):
        ghost: Array = None
        for m, weight in rule:
            node = m if end == LOW else points - 1 - m
            inner = cut(field, place, node, node + 1)
            part = inner if weight == 1.0 else weight * inner
            ghost = part if ghost is None else ghost + part
        if source and not (isinstance(given, float) and given == 0.0):
            part = source * given
            ghost = part if ghost is None else ghost + part
        made.append(0.0 * cut(field, place, 0, 1) if ghost is None else ghost)
    return made


def extend(array: Array, axis: int, is_periodic: bool, arrays: Arrays) -> Array:
    """Return a coefficient with one more node at both ends, wrapped or going on linearly.

    Args:
        array: shape `(…, *space)`; one of length 1 along the axis is constant and stays as it is.
        axis: the axis, in coordinate order.
        is_periodic: whether the axis wraps.
        arrays: the back end.
    """
    place = -(axis + 1)
    points = array.shape[place]
    if points == 1:
        return array
    if is_periodic:
        parts = [cut(array, place, points - 1, points), array, cut(array, place, 0, 1)]
    else:
        first, second = cut(array, place, 0, 1), cut(array, place, 1, 2)
        last, before = (cut(array, place, k, k + 1) for k in (points - 1, points - 2))
        parts = [2.0 * first - second, array, 2.0 * last - before]
    return arrays.concatenate(parts, place)


def extend_side(
    array: Array, width: Sequence[int], is_periodic: Sequence[bool], arrays: Arrays
) -> Array:
    """Return values over a side with ghost nodes along the axes that `width` and the rest list.

    Args:
        array: values over the side, shape `side_shape(…)`.
        width: how many ghost nodes the first axes get, in coordinate order: those before the side.
        is_periodic: whether each of them wraps.
        arrays: the back end.
    """
    for axis, (reach, wraps) in enumerate(zip(width, is_periodic, strict=True)):
        for _ in range(reach):
            array = extend(array, axis, wraps, arrays)
    return array


# Prescribed nodes --------------------------------------------------------------------------------


def prescribe(field: Array, values: Mapping[Side, Any]) -> None:
    """Write values into the end nodes of a field, shape `(…, *space)`, in place."""
    for (axis, end), value in values.items():
        node = 0 if end == LOW else field.shape[-(axis + 1)] - 1
        field[_window(axis, node)] = value


def with_corner_means(
    values: Mapping[Side, Any], shape: tuple[int, ...], arrays: Arrays
) -> dict[Side, Array]:
    """Return values over the sides with the mean of all values at nodes that sides share.

    Args:
        values: for each side values that broadcast over it.
        shape: the shape `(*space,)` of the whole grid.
        arrays: the back end.
    """
    full = over_sides(values, shape, arrays)
    made: dict[Side, Array] = {}
    for side, value in full.items():
        total = arrays.copy(value)
        others = [other for other in full if other[0] != side[0]]
        for other in others:
            mine = shared_nodes(other, shape)
            total[mine] = total[mine] + full[other][shared_nodes(side, shape)]
        mean = arrays.copy(total)
        # Edges first: where three sides meet, the mean of three overwrites those of two.
        for more in range(1, len(shape)):
            # An array, as torch on a GPU multiplies by the rounded inverse of a plain number.
            count = arrays.asarray(1.0 + more)
            for met in itertools.combinations(others, more):
                if len({axis for axis, _ in met}) == more:
                    window = _shared_by_all(met, shape)
                    mean[window] = total[window] / count
        made[side] = mean
    return made


def over_sides(
    values: Mapping[Side, Any], shape: tuple[int, ...], arrays: Arrays
) -> dict[Side, Array]:
    """Return values over the sides as arrays of the sides' full shapes."""
    return {
        side: arrays.broadcast(arrays.asarray(value), side_shape(side[0], shape))
        for side, value in values.items()
    }


def shared_nodes(other: Side, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Return the window, in the array of a side, of the nodes it shares with `other`."""
    return _shared_by_all((other,), shape)


def _shared_by_all(others: Sequence[Side], shape: tuple[int, ...]) -> tuple[slice, ...]:
    window = [slice(None)] * len(shape)
    for axis, end in others:
        node = 0 if end == LOW else shape[-(axis + 1)] - 1
        window[-(axis + 1)] = slice(node, node + 1)
    return tuple(window)


def side_shape(axis: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of values over a side across `axis`: that of the grid, 1 along the axis."""
    made = list(shape)
    made[-(axis + 1)] = 1
    return tuple(made)


def _window(axis: int, node: int) -> tuple[Any, ...]:
    return (..., slice(node, node + 1), *(slice(None),) * axis)
