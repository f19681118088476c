"""Pictures as `data:` addresses, which need no second file: PNG and GIF."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any  # options of Pillow's writers

import numpy as np

from pdenet.pages import shell

if TYPE_CHECKING:
    from PIL import Image

LARGEST = 192
"""A picture or a state is shown with at most so many pixels a side; a gallery stays small."""

_NEUTRAL = 127
"""The colour of 0: the middle one of 255, so that v and −v are equally far from it."""

_LOST = 255
"""The colour of what is not finite, beside those 255."""


def still(array: np.ndarray, low: float, high: float, colours: str = "gray") -> str:
    """Return an array `(y, x)` as a PNG, one pixel a node, y upwards.

    Args:
        array: finite values.
        low: the value of the first colour.
        high: the value of the last colour.
        colours: a colour map of Matplotlib.
    """
    return _written(_scaled(array, low, high, colours), "png", optimize=True)


def animation(
    frames: Sequence[np.ndarray] | np.ndarray,
    low: float,
    high: float,
    colours: str = "gray",
    fps: int = 20,
) -> str:
    """Return arrays `(frame, y, x)` as a GIF that repeats, one pixel a node, y upwards."""
    first, *rest = (_scaled(frame, low, high, colours) for frame in frames)
    duration = round(100 / fps) * 10
    return _written(
        first, "gif", save_all=True, append_images=rest, duration=duration, loop=0, optimize=False
    )


def address(picture: np.ndarray) -> str:
    """Return a picture as PNG.

    Args:
        picture: shape (channels, y, x), uint8. One channel is grey, three are red, green and blue;
            of another number the first is shown.
    """
    from PIL import Image

    planes = picture.transpose(1, 2, 0) if picture.shape[0] == 3 else picture[0]
    image = Image.fromarray(np.ascontiguousarray(planes))
    image.thumbnail((LARGEST, LARGEST))
    return _written(image, "png", optimize=True)


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
    palette = _palette("RdBu_r", 2 * _NEUTRAL + 1) + bytes(3)
    image = _indexed(np.where(is_finite, levels, _LOST), palette)
    image.thumbnail((LARGEST, LARGEST), resample=Image.Resampling.NEAREST)  # colours are no numbers
    return _written(image, "png", optimize=True)


def shares(table: np.ndarray) -> str:
    """Return a table of numbers from 0 to 1 as PNG, a pixel a cell: white, light to dark blue.

    Args:
        table: shape (row, column). Small numbers are drawn by their square root, to be seen.
    """
    # From the second shade on, so that one picture of a thousand is not white.
    levels = np.where(table > 0, 40 + np.rint(215 * np.sqrt(np.clip(table, 0.0, 1.0))), 0)
    return _written(_indexed(levels, _palette("Blues")), "png", optimize=True)


def _scaled(array: np.ndarray, low: float, high: float, colours: str) -> Image.Image:
    # Row 0 is the lowest y; a picture's first row is its top.
    levels = np.clip((array[::-1] - low) / (high - low), 0.0, 1.0)
    return _indexed(np.round(255 * levels), _palette(colours))


def _indexed(levels: np.ndarray, palette: bytes) -> Image.Image:
    from PIL import Image

    image = Image.fromarray(levels.astype(np.uint8))
    image.putpalette(palette)  # its mode becomes "P"
    return image


@cache
def _palette(colours: str, count: int = 256) -> bytes:
    """Return so many colours of a map of Matplotlib, three bytes each."""
    from matplotlib import colormaps

    table = np.asarray(colormaps[colours](np.linspace(0.0, 1.0, count)))[:, :3]
    return np.rint(255 * table).astype(np.uint8).tobytes()


def _written(image: Image.Image, kind: str, **options: Any) -> str:
    content = io.BytesIO()
    image.save(content, format=kind.upper(), **options)
    return shell.address(kind, content.getvalue())
