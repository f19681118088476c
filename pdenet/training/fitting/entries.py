"""Entries: those of all parameters in a row, by name, and back as parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np


def entry_names(shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, ...]:
    """Return the name of each entry, such as "D" or "c[0, 3]"."""
    return tuple(
        name if not shape else f"{name}[{', '.join(map(str, index))}]"
        for name, shape in shapes.items()
        for index in np.ndindex(shape)
    )


def split(flat: np.ndarray, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Return the parameters, each of its shape, whose entries in a row are given."""
    done, made = 0, {}
    for name, shape in shapes.items():
        size = math.prod(shape)
        made[name] = flat[done : done + size].reshape(shape)
        done += size
    return made
