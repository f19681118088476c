"""Pictures as `data:` addresses: what a network is shown, and its state in diverging colours."""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from pdenet.pages import shell

if TYPE_CHECKING:
    from PIL import Image

LARGEST = 192
"""A picture is shown with at most so many pixels a side; a gallery of large ones stays small."""

_NEUTRAL = 127
"""The colour of 0: the middle one of 255, so that v and −v are equally far from it."""

_LOST = 255
"""The colour of what is not finite, beside those 255."""


def address(picture: np.ndarray) -> str:
    """Return a picture as PNG.

    Args:
        picture: shape (channels, y, x), uint8. One channel is grey, three are red, green and blue;
            of another number the first is shown.
    """
    from PIL import Image

    if picture.shape[0] == 3:
        image = Image.fromarray(np.ascontiguousarray(picture.transpose(1, 2, 0)))
    else:
        image = Image.fromarray(np.ascontiguousarray(picture[0]))
    image.thumbnail((LARGEST, LARGEST))
    return _png(image)


def diverging(state: np.ndarray, largest: float) -> str:
    """Return one channel of a state as PNG: blue below 0, white at 0, red above it.

    Args:
        state: shape (y, x). What is not finite becomes black.
        largest: the size of the values with the strongest colours.
    """
    from PIL import Image

    is_finite = np.isfinite(state)
    scaled = np.where(is_finite, state, 0.0) / (largest if largest > 0 else 1.0)
    levels = _NEUTRAL + np.rint(_NEUTRAL * np.clip(scaled, -1.0, 1.0)).astype(int)
    image = Image.fromarray(np.where(is_finite, levels, _LOST).astype(np.uint8))
    image.putpalette(_diverging_colours())  # its mode becomes "P"
    image.thumbnail((LARGEST, LARGEST), resample=Image.Resampling.NEAREST)  # colours are no numbers
    return _png(image)


def shares(table: np.ndarray) -> str:
    """Return a table of numbers from 0 to 1 as PNG, a pixel a cell: white, light to dark blue.

    Args:
        table: shape (row, column). Small numbers are drawn by their square root, to be seen.
    """
    from matplotlib import colormaps
    from PIL import Image

    colours = np.asarray(colormaps["Blues"](np.linspace(0.0, 1.0, 256)))[:, :3]
    # From the second shade on, so that one picture of a thousand is not white.
    levels = np.where(table > 0, 40 + np.rint(215 * np.sqrt(np.clip(table, 0.0, 1.0))), 0)
    image = Image.fromarray(levels.astype(np.uint8))
    image.putpalette(np.rint(255 * colours).astype(np.uint8).tobytes())
    return _png(image)


def _png(image: Image.Image) -> str:
    content = io.BytesIO()
    image.save(content, format="PNG", optimize=True)
    return shell.address("png", content.getvalue())


@cache
def _diverging_colours() -> bytes:
    from matplotlib import colormaps

    table = np.asarray(colormaps["RdBu_r"](np.linspace(0.0, 1.0, 2 * _NEUTRAL + 1)))[:, :3]
    black = np.zeros((1, 3))
    return np.rint(255 * np.concatenate([table, black])).astype(np.uint8).tobytes()
