"""Examples: a folder data set of textures, cut from the photographs that scikit-image brings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pdenet.errors import DataError
from pdenet.training.data.randomness import generator, integer
from pdenet.training.data.reading import shown

TEXTURES = (
    "brick",
    "chelsea",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "hubble_deep_field",
    "immunohistochemistry",
)
"""Photographs of `skimage.data` that are part of its wheel: nothing is downloaded."""

_TRAIN_PART = 0.7  # of each photograph's width, from the left; the rest is for validation


def write_textures(
    folder: str | Path,
    *,
    size: int = 32,
    train: int = 100,
    val: int = 30,
    grey: bool = True,
    seed: int = 0,
) -> Path:
    """Write crops of photographs as a data set for `DataOptions(folder=…)`, a class for each.

    Training crops lie in the left 70 % of a photograph, validation crops in the rest: they have no
    pixel in common. Crops of one part may overlap.

    Args:
        folder: written there; created where it does not exist.
        size: height and width of a crop.
        train: training crops of each class.
        val: validation crops of each class.
        grey: whether colour is dropped, which would tell most photographs apart by itself.
        seed: of the positions.

    Returns:
        The folder.

    Raises:
        DataError: the folder is not empty, or the crops do not fit into the photographs.
    """
    import skimage.data  # takes half a second

    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(
            f"a new or empty folder was expected; got {shown(folder)}; choose another one"
        )
    for number, name in enumerate(TEXTURES):
        photograph = np.asarray(getattr(skimage.data, name)())
        height, width = photograph.shape[:2]
        middle = int(_TRAIN_PART * width)
        if not 1 <= size <= min(height, width - middle):
            raise DataError(
                f"crops of 1 to {min(height, width - middle)} pixels fit into {name!r}; got "
                f"size={size}; choose smaller ones"
            )
        for part, count, left, right in (("train", train, 0, middle), ("val", val, middle, width)):
            target = folder / part / name
            target.mkdir(parents=True)
            source = generator(seed, number, left)
            for k in range(count):
                box = _position(height, left, right, size, source)
                crop = Image.fromarray(photograph[box])
                (crop.convert("L") if grey else crop).save(target / f"{k:04d}.png")
    return folder


def _position(
    height: int, left: int, right: int, size: int, source: torch.Generator
) -> tuple[slice, slice]:
    top, start = integer(0, height - size, source), integer(left, right - size, source)
    return slice(top, top + size), slice(start, start + size)
