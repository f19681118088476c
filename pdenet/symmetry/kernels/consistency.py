"""Consistency: how often a classifier says the same of a picture and of the picture moved.

- Flip consistency: the share of pictures whose class is that of their mirror image.
- Shift consistency: the share whose class is the same for two crops at random places.

Neither asks whether the class is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from typing import Any  # batches of a loader; rows for JSON

import numpy as np
import torch
from scipy.stats import binomtest
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from pdenet.checks import check_count, check_pair
from pdenet.errors import SymmetryError
from pdenet.symmetry.kernels.running import evaluating, home

Images = Tensor | Iterable[Any] | Dataset[Any]
"""Pictures `(picture, channel, y, x)`; a loader of such batches, or of (pictures, labels); or a
dataset of pictures `(channel, y, x)`, or of (picture, label)."""

Views = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Two versions of a batch whose classes are compared."""


@dataclass(frozen=True)
class Consistency:
    """How many pictures got the same class twice.

    Attributes:
        name: what was compared.
        agreed: how many pictures got one class.
        count: of how many.
        low: the lower end of Wilson's interval for the share.
        high: its upper end.
        level: its probability to hold the true share, of pictures drawn like these.
        undecided: how many pictures had logits that are no numbers; they do not agree.
    """

    name: str
    agreed: int
    count: int
    low: float
    high: float
    level: float = 0.95
    undecided: int = 0

    @property
    def share(self) -> float:
        """The share that agreed, from 0 to 1."""
        return self.agreed / self.count

    @classmethod
    def of(
        cls, name: str, agreed: int, count: int, level: float = 0.95, undecided: int = 0
    ) -> Consistency:
        """Return it with Wilson's interval."""
        found = binomtest(agreed, count).proportion_ci(level, method="wilson")
        return cls(name, agreed, count, float(found.low), float(found.high), level, undecided)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        names = ("name", "agreed", "count", "share", "low", "high", "level", "undecided")
        return {name: getattr(self, name) for name in names}

    def __str__(self) -> str:
        lost = f", {self.undecided} undecided" if self.undecided else ""
        return (
            f"{self.name}: {self.share:.1%} of {self.count:,} pictures "
            f"({self.low:.1%} to {self.high:.1%} at {self.level:.0%}){lost}"
        )


def flip_consistency(
    model: nn.Module,
    images: Images,
    *,
    axis: str = "horizontal",
    batch_size: int = 64,
    level: float = 0.95,
) -> Consistency:
    """Return for which share of pictures the predicted class is that of the mirror image.

    Args:
        model: a classifier, pictures → logits `(picture, class)`. It is run where it is, in
            evaluation mode, and is afterwards as it was.
        images: pictures as the model takes them, normalised; see `Images`.
        axis: "horizontal" exchanges left and right, "vertical" top and bottom.
        batch_size: of pictures and datasets; a loader has its own.
        level: of the interval.

    Raises:
        SymmetryError: there are no pictures, the model is no classifier of them into two classes
            or more, or an argument makes no sense.

    Example:
        >>> model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())  # blind to places
        >>> str(flip_consistency(model, torch.randn(50, 3, 8, 8)))
        'horizontal flip: 100.0% of 50 pictures (92.9% to 100.0% at 95%)'

    Source:
        Alsallakh et al. (2025), arXiv 2503.19215.
    """
    name, views = flip_views(axis)
    return agreements(model, images, {name: views}, batch_size, level)[0]


def shift_consistency(
    model: nn.Module,
    images: Images,
    *,
    crop: int | tuple[int, int] = 224,
    of: int | tuple[int, int] | None = 256,
    seed: int = 0,
    batch_size: int = 64,
    level: float = 0.95,
) -> Consistency:
    """Return for which share of pictures the predicted class is the same for two random crops.

    The two places of a picture differ: where there are few, equal ones would agree by themselves.
    They depend on the seed and on the picture's number, and not on the batches.

    Args:
        model: see `flip_consistency`.
        images: see there.
        crop: the size of the crops, a number or (y, x).
        of: the size that pictures have before: others are scaled until they cover it, and cut at
            the middle; None for pictures as they are.
        seed: of the places.
        batch_size: of pictures and datasets; a loader has its own.
        level: of the interval.

    Raises:
        SymmetryError: see `flip_consistency`; or there is one place for the crop, or none.

    Example:
        >>> model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> shift_consistency(model, torch.ones(20, 3, 32, 32), crop=28, of=None).share
        1.0

    Source:
        Alsallakh et al. (2025), arXiv 2503.19215, with 224 of 256 pixels.
    """
    name, views = shift_views(crop, of, seed)
    return agreements(model, images, {name: views}, batch_size, level)[0]


def flip_views(axis: str) -> tuple[str, Views]:
    """Return a name, and the function that gives a batch and its mirror image."""
    axes = {"horizontal": -1, "vertical": -2}
    if not isinstance(axis, str) or axis not in axes:
        raise SymmetryError(
            f'an axis is "horizontal" or "vertical"; got {axis!r}; write "horizontal"'
        )
    return f"{axis} flip", lambda batch: (batch, batch.flip(axes[axis]))


def shift_views(
    crop: int | tuple[int, int], of: int | tuple[int, int] | None, seed: int
) -> tuple[str, Views]:
    """Return a name, and the function that gives two crops of each picture of a batch."""
    generator = np.random.default_rng(check_count("seed", seed, 0, SymmetryError, "write seed=0"))
    height, width = check_pair("crop", crop, SymmetryError, "write crop=224")
    hint = "write of=256, or None for pictures as they are"
    size = None if of is None else check_pair("of", of, SymmetryError, hint)

    def views(batch: Tensor) -> tuple[Tensor, Tensor]:
        if size is not None:
            batch = covered(batch, size)
        rows, columns = batch.shape[-2] - height + 1, batch.shape[-1] - width + 1
        if min(rows, columns, height, width) < 1 or rows * columns < 2:
            raise SymmetryError(
                f"a crop has at least two places in a picture; got {height}×{width} of "
                f"{batch.shape[-2]}×{batch.shape[-1]}; use a smaller crop, or a larger of="
            )
        made: list[list[Tensor]] = [[], []]
        for picture in batch:
            first = int(generator.integers(rows * columns))
            other = (first + int(generator.integers(1, rows * columns))) % (rows * columns)
            for part, place in zip(made, (first, other), strict=True):
                y, x = divmod(place, columns)
                part.append(picture[:, y : y + height, x : x + width])
        return torch.stack(made[0]), torch.stack(made[1])

    return f"shift, {height}×{width} crops", views


def covered(batch: Tensor, size: tuple[int, int]) -> Tensor:
    """Return pictures scaled, their shape kept, until they cover a size, and cut at the middle."""
    if tuple(batch.shape[-2:]) == tuple(size):
        return batch
    scale = max(size[0] / batch.shape[-2], size[1] / batch.shape[-1])
    scaled = [max(s, round(scale * n)) for n, s in zip(batch.shape[-2:], size, strict=True)]
    batch = F.interpolate(batch, scaled, mode="bilinear", align_corners=False, antialias=True)
    y, x = ((n - s) // 2 for n, s in zip(scaled, size, strict=True))
    return batch[..., y : y + size[0], x : x + size[1]]


def agreements(
    model: nn.Module,
    images: Images,
    kinds: Mapping[str, Views],
    batch_size: int = 64,
    level: float = 0.95,
) -> list[Consistency]:
    """Return several kinds of consistency, each batch being read once."""
    batch_size = check_count("batch_size", batch_size, 1, SymmetryError, "write batch_size=64")
    if not isinstance(level, float) or not 0.0 < level < 1.0:
        raise SymmetryError(f"level is a number between 0 and 1; got {level!r}; write 0.95")
    device, dtype = home(model)
    agreed, undecided = dict.fromkeys(kinds, 0), dict.fromkeys(kinds, 0)
    count = 0
    with evaluating(model):
        for batch in tqdm(
            batches(images, batch_size),
            total=_num_batches(images, batch_size),
            desc="consistency",
            unit="batch",
            leave=False,
            disable=None,  # a bar on a terminal, none in a pipe
        ):
            _check(batch, dtype)
            count += len(batch)
            for name, views in kinds.items():
                first, second = (_classes(model, view.to(device)) for view in views(batch))
                lost = (first < 0) | (second < 0)
                undecided[name] += int(lost.sum())
                agreed[name] += int(((first == second) & ~lost).sum())
    if not count:
        raise SymmetryError("pictures were expected; got none; give some, or a fresh loader")
    return [Consistency.of(n, agreed[n], count, level, undecided[n]) for n in kinds]


def batches(images: Images, batch_size: int) -> Iterator[Tensor]:
    """Go through pictures batch by batch, without their labels."""
    batch_size = check_count("batch_size", batch_size, 1, SymmetryError, "write batch_size=64")
    if isinstance(images, Tensor):
        yield from images.split(batch_size)
        return
    loader = DataLoader(images, batch_size) if isinstance(images, Dataset) else images
    for batch in loader:
        yield batch[0] if isinstance(batch, (tuple, list)) else batch


def _num_batches(images: Images, batch_size: int) -> int | None:
    if not isinstance(images, Sized):
        return None
    count = len(images)
    return -(-count // batch_size) if isinstance(images, (Tensor, Dataset)) else count


def _check(batch: object, dtype: torch.dtype) -> None:
    if not isinstance(batch, Tensor) or batch.ndim != 4:
        shape = tuple(batch.shape) if isinstance(batch, Tensor) else type(batch).__name__
        raise SymmetryError(
            f"pictures have shape (picture, channel, y, x); got {shape}; a dataset has pictures "
            "(channel, y, x), a loader batches of them"
        )
    if batch.dtype != dtype:
        raise SymmetryError(
            f"pictures are of the model's type, {dtype}; got {batch.dtype}; normalise them as in "
            "training and convert them with .to(…)"
        )


def _classes(model: nn.Module, pictures: Tensor) -> Tensor:
    """Return the predicted class of each picture; −1 where a logit is no finite number."""
    logits = model(pictures)
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(pictures):
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise SymmetryError(
            f"a classifier gives logits of shape (picture, class); got {got} for {len(pictures)} "
            "pictures; wrap the model so that it returns logits alone"
        )
    if len(logits) and logits.shape[1] < 2:
        raise SymmetryError(
            "a classifier has two classes or more; got logits of shape "
            f"{tuple(logits.shape)}, whose largest is always the same; give two logits: "
            "nn.functional.pad(logits, (1, 0)) has one of 0 for the other class"
        )
    return torch.where(logits.isfinite().all(dim=1), logits.argmax(dim=1), -1)


def predictions(model: nn.Module, images: Images, batch_size: int = 64) -> Tensor:
    """Return the predicted class of each picture, int64, shape `(picture,)`; −1 where none is."""
    device, dtype = home(model)
    found = []
    with evaluating(model):
        for batch in batches(images, batch_size):
            _check(batch, dtype)
            found.append(_classes(model, batch.to(device)).cpu())
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.int64)
