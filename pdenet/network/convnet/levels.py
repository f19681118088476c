"""Levels: the states of a classifier that are asked for by number: 0 the stem, k the k-th stage."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any, TypeGuard  # Any: an entry of `feature_info` is a number or a string

from pdenet.errors import NetworkError
from pdenet.network.convnet.layout import Layout
from pdenet.network.convnet.stem import LEVEL


def feature_info(layout: Layout) -> list[dict[str, Any]]:
    """Return what stands at each level, as timm's users know it.

    Returns:
        For each level a dict of `num_chs`, its channels, `reduction`, how many pixels of the
        picture make one along each axis, and `module`, the name of the module behind which it is.
    """
    stem = {
        "num_chs": layout.widths[0],
        "reduction": 2 if layout.stem == "pooled" else 1,
        "module": f"stem.{LEVEL}",
    }
    stages = [
        {"num_chs": width, "reduction": reduction, "module": f"stages.{k}"}
        for k, (width, reduction) in enumerate(zip(layout.widths, layout.reductions, strict=True))
    ]
    return [stem, *stages]


def taken(count: int, indices: int | Sequence[int] | None) -> list[int]:
    """Return the levels that are asked for, counted from 0, each once and by increasing depth.

    Args:
        count: how many levels there are.
        indices: the numbers of levels, from the end where negative; an integer n for the last n;
            None for all.

    Raises:
        NetworkError: there is no such level, or none is asked for.
    """
    if indices is None:
        return list(range(count))
    if _is_integer(indices):
        if not 1 <= indices <= count:
            raise NetworkError(
                f"indices is a number of last levels from 1 to {count}; got {indices}; give the "
                "levels themselves as a tuple, or None for all"
            )
        return list(range(count - int(indices), count))
    if not isinstance(indices, tuple | list) or not indices:
        raise NetworkError(
            f"indices is a number of last levels, a tuple of levels or None; got {indices!r}; "
            f"write indices=(0, {count - 1})"
        )
    for level in indices:
        if not _is_integer(level) or not -count <= level < count:
            raise NetworkError(
                f"a level is a number from 0, the stem, to {count - 1}, or from the end from -1 "
                f"to {-count}; got {level!r} in indices={indices!r}; see feature_info"
            )
    return sorted({int(level) % count for level in indices})


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
