"""timm's training transforms in place of ours, as deterministic as ours.

They draw from Python's, NumPy's and torch's global random states; for each picture these are
seeded, and put back afterwards.
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from pdenet.errors import MissingExtraError
from pdenet.training.data.options import DataOptions
from pdenet.training.data.randaugment import to_eight_bits


@dataclass(frozen=True, eq=False)
class TimmPipeline:
    """Augments one picture by timm.

    Attributes:
        transform: timm's, from a Pillow image to a uint8 tensor.
    """

    transform: Callable[[Image.Image], torch.Tensor]

    @staticmethod
    def of(options: DataOptions, mean: tuple[float, ...]) -> TimmPipeline:
        """Make the transforms of settled options; batches are normalised and erased by ours.

        Raises:
            MissingExtraError: timm cannot be imported.
        """
        try:
            create_transform = importlib.import_module("timm.data").create_transform
        # A RuntimeError comes from a torchvision that was made for another torch.
        except (ImportError, RuntimeError) as error:
            raise MissingExtraError(
                "transforms='timm' needs timm and torchvision, of the extra 'timm'; they cannot be "
                f"imported ({error}); pip install 'pdenet[timm]', or use transforms='pillow'"
            ) from error
        return TimmPipeline(
            create_transform(
                options.image_size,
                is_training=True,
                use_prefetcher=True,  # leaves the conversion and the normalisation to us
                scale=options.scale,
                ratio=options.ratio,
                hflip=options.hflip,
                color_jitter=options.color_jitter or None,
                auto_augment=options.aa or None,
                interpolation="bicubic",
                mean=mean,
            )
        )

    def __call__(self, image: Image.Image, source: torch.Generator) -> torch.Tensor:
        """Return float32 of shape (3, image_size, image_size) with values in [0, 1]."""
        image = to_eight_bits(image).convert("RGB")
        with _seeded(int(torch.randint(0, 2**31, (), generator=source))):
            made = self.transform(image)
        return torch.as_tensor(made).to(torch.float32) / 255.0


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the three global random states, and put them back at the end."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 (timm uses this one)
    with torch.random.fork_rng(devices=[]):
        try:
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            torch.default_generator.manual_seed(seed)
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
