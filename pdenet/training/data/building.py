"""Building: one batch from the numbers of its samples, in whichever process that is done.

An unreadable file does not end a worker: the batch says which file it was. In training the next
sample that can be read stands in for it, so that a batch keeps its size and stays a pure function
of its numbers; in validation the sample is left out.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from pdenet.errors import DataError
from pdenet.training.data import transforms
from pdenet.training.data.mixing import Mixing
from pdenet.training.data.randomness import AUGMENT, ERASE, MIX, PLACES, generator
from pdenet.training.data.reading import to_array
from pdenet.training.data.sources import Source


class Task(NamedTuple):
    """Which batch to build."""

    epoch: int
    batch: int
    indices: np.ndarray  # int64 of shape (batch,)


class Built(NamedTuple):
    """A batch, and what could not be read on the way.

    Where more files are bad than may be, `images` and `targets` are empty.
    """

    images: torch.Tensor
    targets: torch.Tensor
    bad: tuple[tuple[int, str], ...]  # index and message
    stand_ins: tuple[tuple[int, int], ...]  # index, and the index that was taken instead


@dataclass(frozen=True, eq=False)
class TrainBuilder(Dataset[Built]):
    """Builds training batches.

    Attributes:
        source: the samples.
        pipeline: augments one; None where the source's own pixels are taken.
        hflip: probability of a mirror image.
        shift: by up to so many pixels.
        mean: of each channel.
        std: of each channel.
        reprob: probability of random erasing.
        mixing: of the finished batch.
        seed: of everything random.
        rank: of this process: mixing differs among ranks.
        world_size: number of them.
        max_bad_files: more in one batch end it.
    """

    source: Source
    pipeline: transforms.Pipeline | None
    hflip: float
    shift: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    reprob: float
    mixing: Mixing
    seed: int
    rank: int
    world_size: int
    max_bad_files: int

    def __getitem__(self, task: Task) -> Built:
        """Build one batch."""
        epoch, batch, indices = task
        bad: dict[int, str] = {}
        taken = np.array(indices)
        if self.pipeline is None:
            assert self.source.pixels is not None
            images = torch.from_numpy(self.source.pixels[indices])
        else:
            pictures = []
            for k, index in enumerate(indices.tolist()):
                found = self._read(index, bad)
                if found is None:
                    return _nothing(bad)
                taken[k], picture = found
                # The numbers of the sample that was asked for: a stand-in that is in the batch
                # itself must not be seen twice alike.
                source = generator(self.seed, AUGMENT, epoch, index)
                pictures.append(self.pipeline(picture, source))
            images = torch.stack(pictures)
        labels = torch.from_numpy(self.source.labels[taken])
        if self.shift or self.hflip:
            num = len(self.source.labels)
            mirrored, offsets = _places(num, self.hflip, self.shift, self.seed, epoch)
            images = transforms.translate(images, offsets[indices])
            images = transforms.mirror(images, mirrored[indices])
        images = transforms.normalise(images, self.mean, self.std)
        if self.reprob:
            images = torch.stack(
                [
                    transforms.erase(one, self.reprob, generator(self.seed, ERASE, epoch, index))
                    for one, index in zip(images, indices.tolist(), strict=True)
                ]
            )
        source = generator(self.seed, MIX, epoch, batch, self.rank, self.world_size)
        images, targets = self.mixing(images, labels, source)
        swapped = [(int(i), int(j)) for i, j in zip(indices, taken, strict=True) if i != j]
        return Built(images, targets, tuple(bad.items()), tuple(swapped))

    def _read(self, index: int, bad: dict[int, str]) -> tuple[int, Image.Image] | None:
        """Read a sample or else the next ones, which most often are of the same class."""
        num = len(self.source.labels)
        for step in range(num):
            here = (index + step) % num
            if here in bad:
                continue
            try:
                return here, self.source.read(here)
            except DataError as error:
                bad[here] = str(error)
                if len(bad) > self.max_bad_files:
                    return None
        return None


@functools.lru_cache(maxsize=2)
def _places(
    num: int, hflip: float, shift: int, seed: int, epoch: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Say which samples of an epoch are mirrored, and how far each is shifted.

    One draw for all samples of an epoch: a generator for each would take longer than the batch.
    """
    source = generator(seed, PLACES, epoch)
    offsets = torch.randint(-shift, shift + 1, (num, 2), generator=source)
    return torch.rand(num, generator=source) < hflip, offsets


@dataclass(frozen=True, eq=False)
class ValBuilder(Dataset[Built]):
    """Builds validation batches: central parts, nothing random.

    Attributes:
        source: the samples.
        image_size: of the result.
        crop_pct: extent of the central part; see `transforms.central_box`.
        mean: of each channel.
        std: of each channel.
        max_bad_files: more in one batch end it.
    """

    source: Source
    image_size: int
    crop_pct: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    max_bad_files: int

    def __getitem__(self, task: Task) -> Built:
        """Build one batch."""
        bad: dict[int, str] = {}
        indices = task.indices
        if self.source.pixels is not None:
            images = torch.from_numpy(self.source.pixels[indices])
        else:
            planes, kept = [], []
            for index in indices.tolist():
                try:
                    picture = self.source.read(index)
                except DataError as error:
                    bad[index] = str(error)
                    continue
                box = transforms.central_box(*picture.size, self.crop_pct)
                picture = transforms.resize(picture, box, self.image_size)
                planes.append(torch.from_numpy(to_array(picture, len(self.mean))))
                kept.append(index)
            if not planes or len(bad) > self.max_bad_files:
                return _nothing(bad)
            images, indices = torch.stack(planes), np.array(kept)
        labels = torch.from_numpy(self.source.labels[indices])
        images = transforms.normalise(images, self.mean, self.std)
        return Built(images, labels, tuple(bad.items()), ())


def _nothing(bad: dict[int, str]) -> Built:
    return Built(torch.empty(0), torch.empty(0, dtype=torch.int64), tuple(bad.items()), ())
