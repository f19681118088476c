"""Pictures as `data:` addresses, which need no second file: PNG and GIF."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pdenet.pages.shell import address

if TYPE_CHECKING:
    from PIL import Image


def _palette(colours: str) -> bytes:
    from matplotlib import colormaps

    table = np.asarray(colormaps[colours](np.linspace(0.0, 1.0, 256)))[:, :3]
    return np.round(255 * table).astype(np.uint8).tobytes()


def _indexed(array: np.ndarray, low: float, high: float, palette: bytes) -> Image.Image:
    from PIL import Image

    # Row 0 is the lowest y; a picture's first row is its top.
    levels = np.clip((array[::-1] - low) / (high - low), 0.0, 1.0)
    image = Image.fromarray(np.round(255 * levels).astype(np.uint8))
    image.putpalette(palette)  # its mode becomes "P"
    return image


def still(array: np.ndarray, low: float, high: float, colours: str = "gray") -> str:
    """Return an array `(y, x)` as a PNG, one pixel a node, y upwards.

    Args:
        array: finite values.
        low: the value of the first colour.
        high: the value of the last colour.
        colours: a colour map of Matplotlib.
    """
    content = io.BytesIO()
    _indexed(array, low, high, _palette(colours)).save(content, format="PNG", optimize=True)
    return address("png", content.getvalue())


def animation(
    frames: Sequence[np.ndarray] | np.ndarray,
    low: float,
    high: float,
    colours: str = "gray",
    fps: int = 20,
) -> str:
    """Return arrays `(frame, y, x)` as a GIF that repeats, one pixel a node, y upwards."""
    palette = _palette(colours)
    images = [_indexed(frame, low, high, palette) for frame in frames]
    content = io.BytesIO()
    images[0].save(
        content,
        format="GIF",
        save_all=True,
        append_images=images[1:],
        duration=round(100 / fps) * 10,
        loop=0,
        optimize=False,
    )
    return address("gif", content.getvalue())
