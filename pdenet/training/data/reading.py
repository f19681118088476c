"""Reading: one image file, of whatever kind, to grey or colour values from 0 to 1.

What is decided here, once and for all:

- Eight bits stay eight bits. Sixteen-bit grey is divided by 65535. (Sixteen-bit *colour* is cut to
  eight by Pillow itself, which has no such mode; scaled, not clipped.)
- 32-bit integers within 0 … 65535 are sixteen-bit values that some formats store so; floats within
  0 … 1 are taken as they are. Of all other deep images no rule could know the unit: their smallest
  value becomes 0, their largest 1, and nothing is clipped.
- Transparent pixels are laid over white, as a page shows them.
- Of an animation the first frame counts. A camera's orientation mark is applied.
- Only the formats below are opened. Pillow would run Ghostscript for others.
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from pdenet.errors import DataError

# format, as Pillow calls it → suffixes
_FORMATS = {
    "AVIF": {".avif"},
    "BMP": {".bmp"},
    "GIF": {".gif"},
    "JPEG": {".jpeg", ".jpg", ".jpe"},  # MPO, of cameras with two lenses, too
    "JPEG2000": {".jp2"},
    "PNG": {".png"},
    "PPM": {".pbm", ".pgm", ".pnm", ".ppm"},
    "TIFF": {".tif", ".tiff"},
    "WEBP": {".webp"},
}
SUFFIXES = frozenset[str]().union(*_FORMATS.values())
"""Suffixes of image files, in lower case."""


@functools.cache
def _formats() -> tuple[str, ...]:
    """Return the formats that this build of Pillow can read."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def shown(path: str | os.PathLike[str]) -> str:
    """Return a path that can be printed, whatever bytes it is made of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def read_image(path: str | Path, channels: int, max_pixels: int = 2**26) -> Image.Image:
    """Read one image.

    Args:
        path: the file.
        channels: 1 for grey, 3 for colour.
        max_pixels: more are refused on the header's word, before anything is decoded.

    Returns:
        A Pillow image of mode "F" with values in [0, 1] where the file is grey of more than eight
        bits; otherwise "L" for one channel and "RGB" for three.

    Raises:
        DataError: the file is missing, no regular file, empty, too large, truncated, or no image.
    """
    where = shown(path)
    try:
        # Before opening: to open a pipe would wait for its other end for ever.
        entry = os.stat(path)
    except OSError as error:
        raise _unreadable(where, f"it cannot be found ({error.strerror})") from error
    if not stat.S_ISREG(entry.st_mode):
        raise _unreadable(where, "it is no regular file")
    if entry.st_size == 0:
        raise _unreadable(where, "it is empty (0 bytes)")
    with warnings.catch_warnings():
        # Of damaged metadata, unusual palettes and large sizes; the last we judge ourselves.
        warnings.simplefilter("ignore")
        try:
            with open(path, "rb") as file, Image.open(file, formats=_formats()) as image:
                if image.width * image.height > max_pixels:
                    raise DataError(
                        f"an image of at most {max_pixels} pixels was expected; got {where} with "
                        f"{image.width}×{image.height}; scale it down, or raise max_pixels if it "
                        "is to be trusted"
                    )
                image.load()
                with contextlib.suppress(Exception):  # a damaged note says nothing
                    ImageOps.exif_transpose(image, in_place=True)
                return to_plain(image, channels)
        except (DataError, MemoryError):
            raise
        except Image.DecompressionBombError as error:
            raise DataError(
                f"an image of at most {max_pixels} pixels was expected; got {where}: {error}; "
                "scale it down"
            ) from error
        except Exception as error:
            # Decoders raise whatever their parsers meet: OSError, SyntaxError, struct.error, ...
            raise _unreadable(where, str(error) or type(error).__name__) from error


def _unreadable(where: str, why: str) -> DataError:
    return DataError(
        f"an image file was expected; got {where}: {why}; replace or remove it, or allow for it "
        "with max_bad_files"
    )


def to_plain(image: Image.Image, channels: int) -> Image.Image:
    """Return an image of any mode in mode "F" with values in [0, 1], "L" or "RGB"."""
    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(_unit(np.asarray(image)))
    if image.has_transparency_data:
        over = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, over).convert("RGB")
    target = "L" if channels == 1 else "RGB"
    if image.mode in ("CMYK", "HSV", "LAB", "YCbCr"):
        image = image.convert("RGB")  # not every one of them converts to grey directly
    return image if image.mode == target else image.convert(target)


def _unit(values: np.ndarray) -> np.ndarray:
    """Map deep grey values to float32 in [0, 1] by the rule of the file's docstring."""
    is_sixteen = values.dtype.itemsize == 2
    x = values.astype(np.float64)
    low, high = float(x.min()), float(x.max())
    if not np.isfinite([low, high]).all():
        raise ValueError("it holds values that are not finite")
    if is_sixteen or (values.dtype.kind != "f" and low >= 0 and high <= 65535):
        x /= 65535
    elif values.dtype.kind != "f" or low < 0 or high > 1:
        # A constant image of unknown unit says nothing: all zeros.
        x = (x - low) / (high - low or 1.0)
    return x.astype(np.float32)


def to_array(image: Image.Image, channels: int) -> np.ndarray:
    """Return an image of mode "F", "L" or "RGB" as float32 of shape (channels, height, width).

    Values are in [0, 1]; grey is repeated where three channels are asked for.
    """
    values = np.asarray(image, dtype=np.float32)
    if image.mode == "F":
        # Bicubic interpolation of values in [0, 1] can overshoot; eight-bit modes saturate alike.
        values = values.clip(0.0, 1.0)
    else:
        values = values / np.float32(255.0)
    planes = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    if len(planes) < channels:
        planes = np.repeat(planes, channels, axis=0)
    return np.ascontiguousarray(planes)
