"""Sources: numbered pictures with labels and names, in memory or in files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image

from pdenet.training.data.folders import Files
from pdenet.training.data.reading import read_image, shown


class Source(Protocol):
    """One part of a data set."""

    @property
    def labels(self) -> np.ndarray:
        """Class numbers, int64 of shape (samples,)."""

    @property
    def pixels(self) -> np.ndarray | None:
        """All images at their final size, float32 (samples, channel, height, width), or None."""

    def name(self, index: int) -> str:
        """Say which sample this is: a path, or "digit 17"."""

    def read(self, index: int) -> Image.Image:
        """Return a picture of mode "F" with values in [0, 1], "L" or "RGB".

        Raises:
            DataError: it cannot be read.
        """


@dataclass(frozen=True, eq=False)
class FileSource:
    """Image files, read when they are asked for.

    Attributes:
        files: which.
        channels: 1 for grey, 3 for colour.
        max_pixels: larger ones are refused.
    """

    files: Files
    channels: int
    max_pixels: int

    @property
    def labels(self) -> np.ndarray:
        """Class numbers."""
        return self.files.labels

    @property
    def pixels(self) -> None:
        """Nothing: the files are read one by one."""
        return None

    def name(self, index: int) -> str:
        """Return the path, made printable."""
        return shown(self.files.path(index))

    def read(self, index: int) -> Image.Image:
        """Read one file."""
        return read_image(self.files.path(index), self.channels, self.max_pixels)


@dataclass(frozen=True, eq=False)
class MemorySource:
    """Grey images in memory, all at their final size.

    Attributes:
        noun: what one is called.
        numbers: of the images in the whole data set, for their names.
        labels: class numbers.
        pixels: float32 of shape (samples, channel, height, width), in [0, 1]; channels are equal.
    """

    noun: str
    numbers: np.ndarray
    labels: np.ndarray
    pixels: np.ndarray

    def name(self, index: int) -> str:
        """Return "digit 17"."""
        return f"{self.noun} {self.numbers[index]}"

    def read(self, index: int) -> Image.Image:
        """Return one image, of mode "F"."""
        return Image.fromarray(self.pixels[index, 0])
