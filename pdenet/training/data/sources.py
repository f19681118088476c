"""Sources: numbered pictures with labels and names, in files or as other libraries bring them."""

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


@dataclass(frozen=True, eq=False)
class Bundled:
    """A small data set of grey images.

    Attributes:
        noun: what one image is called, such as "digit".
        classes: their names.
        images: float32 of shape (images, height, width), values from 0 to 1.
        labels: int64 of shape (images,).
        train: indices of the training part, sorted.
        val: indices of the other part, sorted.
    """

    noun: str
    classes: tuple[str, ...]
    images: np.ndarray
    labels: np.ndarray
    train: np.ndarray
    val: np.ndarray


def digits(tune: bool = False) -> Bundled:
    """Return scikit-learn's 1797 handwritten digits, 8×8, with values 0 … 16 divided by 16.

    Args:
        tune: split the training part again, and leave the test part out.

    Source: E. Alpaydin & C. Kaynak, *Optical Recognition of Handwritten Digits*, UCI, 1998 (test
    part).
    """
    from sklearn.datasets import load_digits  # its import takes seconds, and workers need it not

    data = load_digits()
    images = (data.images / 16.0).astype(np.float32)
    names = tuple(str(name) for name in data.target_names)
    return _split("digit", names, images, data.target, tune)


def faces(tune: bool = False) -> Bundled:
    """Return scikit-image's 200 crops, 25×25: 100 of faces, then 100 of other things.

    Args:
        tune: split the training part again, and leave the test part out.

    Source: G. Huang et al., *Labeled Faces in the Wild*, 2007.
    """
    from skimage.data import lfw_subset  # its import takes half a second

    images = lfw_subset().astype(np.float32)
    return _split("crop", ("face", "other"), images, np.repeat([0, 1], 100), tune)


def _split(
    noun: str, classes: tuple[str, ...], images: np.ndarray, labels: np.ndarray, tune: bool
) -> Bundled:
    """Split 80 to 20, stratified, always with seed 0: results are compared across seeds."""
    from sklearn.model_selection import train_test_split

    train, val = np.arange(len(labels)), np.arange(0)
    for _ in range(1 + tune):
        train, val = train_test_split(train, test_size=0.2, random_state=0, stratify=labels[train])
    return Bundled(noun, classes, images, labels.astype(np.int64), np.sort(train), np.sort(val))
