"""Transforms: from a picture of any size to a tensor of one size, augmented or not.

Crops, RandAugment and colour work on one picture; mirror images, shifts and normalisation on whole
batches. Every random choice comes from an explicit generator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from PIL import Image

from pdenet.training.data.randaugment import RandAugment
from pdenet.training.data.randomness import integer, uniform
from pdenet.training.data.reading import to_array

Box = tuple[float, float, float, float]
"""left, top, right, bottom, in pixels of the picture."""

_TRIES = 10  # of a random box, before the fallback; torchvision's and timm's number

_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114  # luminance of ITU-R BT.601, as Pillow's "L"


@dataclass(frozen=True)
class Pipeline:
    """What happens to one training picture before batches are made.

    Attributes:
        image_size: of the result.
        channels: of the result.
        scale: see `random_box`; None takes the picture whole.
        ratio: see `random_box`.
        augment: RandAugment, or None.
        color_jitter: see `jitter`.
        fill: colour 0 … 255 of what RandAugment brings in, one number a channel.
    """

    image_size: int
    channels: int
    scale: tuple[float, float] | None
    ratio: tuple[float, float]
    augment: RandAugment | None
    color_jitter: float
    fill: tuple[int, ...]

    def __call__(self, image: Image.Image, source: torch.Generator) -> torch.Tensor:
        """Return float32 of shape (channels, image_size, image_size) with values in [0, 1]."""
        box: Box = (0, 0, image.width, image.height)
        if self.scale is not None:
            box = random_box(image.width, image.height, self.scale, self.ratio, source)
        image = resize(image, box, self.image_size)
        if self.augment is not None:
            image = self.augment(image, source, self.fill)
        pixels = torch.from_numpy(to_array(image, self.channels))
        return jitter(pixels, self.color_jitter, source) if self.color_jitter else pixels


def random_box(
    width: int,
    height: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    source: torch.Generator,
) -> Box:
    """Draw a box of random area and shape inside a picture: RandomResizedCrop.

    The area is even within `scale` times the picture's, the logarithm of width / height even within
    `ratio`; sides are rounded to whole pixels. If ten draws do not fit, it is the largest central
    box whose shape is within `ratio`.

    Source: C. Szegedy et al., *Going Deeper with Convolutions*, 2015; torchvision's form of it.
    """
    tried = _tried_box(width, height, scale, ratio, source)
    if tried:
        return tried
    shape = min(max(width / height, ratio[0]), ratio[1])
    w = min(width, max(1, round(height * shape)))
    h = min(height, max(1, round(width / shape)))
    left, top = (width - w) // 2, (height - h) // 2
    return (left, top, left + w, top + h)


def _tried_box(
    width: int,
    height: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    source: torch.Generator,
    spare: int = 0,
) -> tuple[int, int, int, int] | None:
    """Draw until a box fits and leaves at least so many pixels of each side, ten times at most."""
    for _ in range(_TRIES):
        area = width * height * uniform(*scale, source)
        shape = math.exp(uniform(math.log(ratio[0]), math.log(ratio[1]), source))
        w, h = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
        if 0 < w <= width - spare and 0 < h <= height - spare:
            left, top = integer(0, width - w, source), integer(0, height - h, source)
            return left, top, left + w, top + h
    return None


def central_box(width: int, height: int, part: float) -> Box:
    """Return the central square whose side is `part` of the shorter side.

    To resize this box is to resize the picture so that its shorter side is size/part and to crop
    its centre; but a picture of one by a million pixels never becomes one of 256 by 256 million.
    """
    side = part * min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    # Rounding must not put the far sides outside: Pillow would refuse the box.
    return (left, top, min(left + side, width), min(top + side, height))


def resize(image: Image.Image, box: Box, size: int) -> Image.Image:
    """Resize a box of a picture to a square: bicubic, averaging where it shrinks (antialias)."""
    if box == (0, 0, *image.size) and image.size == (size, size):
        return image
    return image.resize((size, size), Image.Resampling.BICUBIC, box=box)


def jitter(pixels: torch.Tensor, strength: float, source: torch.Generator) -> torch.Tensor:
    """Change brightness, contrast and saturation in random order, each by a factor of its own.

    Factors are even within [max(0, 1 − strength), 1 + strength]; a factor blends the picture with
    black, with its mean grey, or with its own greys. Values stay in [0, 1].

    Args:
        pixels: shape (1 or 3, height, width), in [0, 1].
        strength: 0 changes nothing.
        source: of the random choices.
    """
    low, high = max(0.0, 1.0 - strength), 1.0 + strength
    for kind in torch.randperm(3, generator=source).tolist():
        change = (brightness, contrast, saturation)[kind]
        pixels = change(pixels, uniform(low, high, source))
    return pixels


def brightness(pixels: torch.Tensor, factor: float) -> torch.Tensor:
    """Blend with black: factor 0 is black, 1 changes nothing."""
    return (factor * pixels).clamp(0.0, 1.0)


def contrast(pixels: torch.Tensor, factor: float) -> torch.Tensor:
    """Blend with the picture's mean grey."""
    # By NumPy: torch's sum depends on how many threads share it, and so on the process.
    mean = torch.tensor(luminance(pixels).numpy().mean())
    return (mean + factor * (pixels - mean)).clamp(0.0, 1.0)


def saturation(pixels: torch.Tensor, factor: float) -> torch.Tensor:
    """Blend with the picture's greys; a grey picture stays as it is."""
    if len(pixels) == 1:
        return pixels
    grey = luminance(pixels)
    return (grey + factor * (pixels - grey)).clamp(0.0, 1.0)


def luminance(pixels: torch.Tensor) -> torch.Tensor:
    """Return the grey of a picture, shape (1, height, width)."""
    if len(pixels) == 1:
        return pixels
    red, green, blue = pixels
    return (_RED * red + _GREEN * green + _BLUE * blue)[None]


def erase(pixels: torch.Tensor, probability: float, source: torch.Generator) -> torch.Tensor:
    """Replace a random rectangle by unit normal noise: random erasing of a normalised picture.

    Its area is 2 % to a third of the picture, its height over width 0.3 to 1/0.3.

    Source: Z. Zhong et al., *Random Erasing Data Augmentation*, arXiv 1708.04896; timm's "pixel".
    """
    if uniform(0.0, 1.0, source) >= probability:
        return pixels
    channels, height, width = pixels.shape
    # The first side is drawn as the height here, so that its ratio is height over width.
    box = _tried_box(height, width, (0.02, 1 / 3), (0.3, 1 / 0.3), source, spare=1)
    if box:
        top, left, bottom, right = box
        pixels = pixels.clone()
        noise = torch.randn(channels, bottom - top, right - left, generator=source)
        pixels[:, top:bottom, left:right] = noise
    return pixels


def mirror(images: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Mirror the chosen images of a batch left to right.

    Args:
        images: shape (batch, channel, height, width).
        chosen: bool of shape (batch,).
    """
    return torch.where(chosen[:, None, None, None], images.flip(-1), images)


def translate(images: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """Shift each image of a batch by whole pixels; zeros come in.

    Args:
        images: shape (batch, channel, height, width).
        offsets: int64 of shape (batch, 2): pixels down and to the right.
    """
    batch, _, height, width = images.shape
    reach = int(offsets.abs().max())
    if not reach:
        return images
    padded = torch.nn.functional.pad(images, (reach,) * 4)
    rows = torch.arange(height) + reach - offsets[:, :1]  # (batch, height)
    columns = torch.arange(width) + reach - offsets[:, 1:]  # (batch, width)
    which = torch.arange(batch)[:, None, None]
    # The slice between advanced indices puts the channels last.
    shifted = padded[which, :, rows[:, :, None], columns[:, None, :]]
    return shifted.permute(0, 3, 1, 2).contiguous()


def normalise(
    images: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...]
) -> torch.Tensor:
    """Subtract the mean of each channel and divide by its deviation."""
    shift, scale = (torch.tensor(v, dtype=torch.float32)[:, None, None] for v in (mean, std))
    return (images - shift) / scale
