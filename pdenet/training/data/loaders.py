"""Loaders: from options to the batches of a data set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from pdenet.errors import TrainingError
from pdenet.training.data import folders, sources
from pdenet.training.data.building import TrainBuilder, ValBuilder
from pdenet.training.data.epochs import Batch, TrainBatches, ValBatches
from pdenet.training.data.mixing import Mixing
from pdenet.training.data.options import DataOptions
from pdenet.training.data.randaugment import RandAugment
from pdenet.training.data.sources import FileSource, MemorySource, Source
from pdenet.training.data.transforms import Pipeline

__all__ = ["Batch", "Data", "DataOptions", "TrainBatches", "ValBatches", "load_data"]


@dataclass(frozen=True, eq=False)
class Data:
    """A data set, ready to train on.

    Attributes:
        options: with every default filled in.
        classes: their names, in the order of the labels.
        in_channels: 1 or 3.
        image_size: height and width.
        mean: what was subtracted from each channel.
        std: by which it was then divided.
        train: the training batches of this rank.
        val: its share of the validation batches.
    """

    options: DataOptions
    classes: tuple[str, ...]
    in_channels: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train: TrainBatches
    val: ValBatches


def load_data(options: DataOptions, rank: int = 0, world_size: int = 1) -> Data:
    """Open a data set.

    Example:
        >>> data = load_data(DataOptions(batch_size=32))
        >>> images, labels = next(data.train.epoch(0))
        >>> images.shape, labels.shape, len(data.train), data.val.num_samples
        (torch.Size([32, 1, 8, 8]), torch.Size([32]), 44, 360)

    Args:
        options: which, and how.
        rank: of this process among those that train together.
        world_size: how many these are.

    Raises:
        DataError: the folder, its classes or its class list cannot be used.
        TrainingError: the rank is none of them.
    """
    if world_size < 1 or not 0 <= rank < world_size:
        raise TrainingError(
            f"a rank from 0 to world_size − 1 was expected; got rank {rank} of {world_size}; "
            "start the processes by torchrun"
        )
    options = options.settled()
    size, channels = options.image_size, options.in_channels
    assert size is not None
    assert channels is not None
    if options.folder is not None:
        found = folders.scan(options.folder, options.class_list)
        classes = found.classes
        train: Source = FileSource(found.train, channels, options.max_pixels)
        val: Source = FileSource(found.val, channels, options.max_pixels)
        mean, std = options.mean, options.std
    else:
        made = (sources.digits if options.name == "digits" else sources.faces)(options.tune)
        classes = made.classes
        pixels = _resized(made.images, size)
        own = pixels[made.train].astype(np.float64)
        mean = options.mean or (float(own.mean()),) * channels
        std = options.std or (float(own.std()),) * channels
        pixels = np.repeat(pixels[:, None], channels, axis=1)  # (image, channel, height, width)
        train, val = (
            MemorySource(made.noun, part, made.labels[part], pixels[part])
            for part in (made.train, made.val)
        )
    assert mean is not None
    assert std is not None
    assert options.hflip is not None
    builder = TrainBuilder(
        source=train,
        pipeline=_pipeline(options, train, mean),
        hflip=options.hflip,
        shift=options.shift,
        mean=mean,
        std=std,
        reprob=options.reprob,
        mixing=Mixing(len(classes), options.mixup, options.cutmix, options.smoothing),
        seed=options.seed,
        rank=rank,
        world_size=world_size,
        max_bad_files=options.max_bad_files,
    )
    val_builder = ValBuilder(val, size, options.crop_pct, mean, std, options.max_bad_files)
    return Data(
        options=options,
        classes=classes,
        in_channels=channels,
        image_size=size,
        mean=mean,
        std=std,
        train=TrainBatches(builder, options),
        val=ValBatches(val_builder, options, rank, world_size),
    )


def _resized(images: np.ndarray, size: int) -> np.ndarray:
    """Resize (image, height, width) to a square, bilinearly; averaging where it shrinks."""
    if images.shape[1:] == (size, size):
        return images
    planes = torch.from_numpy(images)[:, None]
    shrinks = size < min(images.shape[1:])
    made = torch.nn.functional.interpolate(
        planes, (size, size), mode="bilinear", align_corners=False, antialias=shrinks
    )
    return made[:, 0].clamp(0.0, 1.0).numpy()


def _pipeline(options: DataOptions, source: Source, mean: tuple[float, ...]) -> Pipeline | None:
    assert options.image_size is not None
    assert options.color_jitter is not None
    # As in timm, RandAugment takes the place of the colour jitter.
    strength = 0.0 if options.aa else options.color_jitter
    if source.pixels is not None and options.scale is None and not options.aa and not strength:
        return None
    return Pipeline(
        image_size=options.image_size,
        channels=len(mean),
        scale=options.scale,
        ratio=options.ratio,
        augment=RandAugment.parse(options.aa) if options.aa else None,
        color_jitter=strength,
        fill=tuple(min(255, max(0, round(255 * m))) for m in mean),
    )
