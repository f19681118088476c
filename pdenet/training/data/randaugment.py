"""RandAugment: a few of fifteen operations at random, written and meant as in timm.

"rand-m9-mstd0.5" applies n = 2 operations out of fifteen, each with probability p = 0.5, at a
magnitude drawn from a normal distribution with mean m and deviation mstd, cut to [0, mmax]. Without
"inc1" the levels are those of the TensorFlow original, where some operations are strongest at
magnitude 0 (posterize keeps no bits there). With it each grows from the identity at 0, but for
posterize, which begins by keeping four bits, and three that have no level.

Source: E. Cubuk et al., *RandAugment*, arXiv 1909.13719; the levels are timm's. Images are made to
eight bits first, which the operations are defined on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps

from pdenet.errors import TrainingError
from pdenet.training.data.randomness import integer, uniform

_UNIT = 10.0
"""The magnitude that means "all of it"."""

Fill = tuple[int, ...]
Operation = Callable[[Image.Image, float, Fill], Image.Image]
Enhancer = Callable[[Image.Image], ImageEnhance._Enhance]

_KEYS = "m9 (magnitude), n2 (operations), p0.5 (probability), mstd0.5, mmax10, inc1"
_UNIFORM = 100.0  # mstd beyond it: timm's sign for a magnitude drawn evenly from 0 to m


@dataclass(frozen=True)
class RandAugment:
    """Which operations, how many, how strong.

    Attributes:
        magnitude: 0 to `largest`; 10 is the full range of each operation.
        operations: how many are applied to an image, drawn with replacement.
        probability: that a drawn operation is applied.
        deviation: of the magnitude, normal; infinite for even between 0 and `magnitude`.
        largest: bound of the magnitude.
        increasing: whether every operation grows with the magnitude.
    """

    magnitude: float = 10.0
    operations: int = 2
    probability: float = 0.5
    deviation: float = 0.0
    largest: float = 10.0
    increasing: bool = False

    @staticmethod
    def parse(text: str) -> RandAugment:
        """Read timm's notation.

        Raises:
            TrainingError: the text is none of it.
        """
        kind, *parts = text.split("-")
        found: dict[str, float] = {}
        for part in parts:
            match = re.fullmatch(r"(mstd|mmax|inc|m|n|p)(\d+(?:\.\d+)?|(?<=mstd)inf)", part)
            if match is None or match[1] in found:
                raise _refused(text, f"the part {part!r}")
            found[match[1]] = float(match[2])
        if kind != "rand":
            raise _refused(text, f"{kind!r}")
        count, share, flag = found.get("n", 2.0), found.get("p", 0.5), found.get("inc", 0.0)
        largest = found.get("mmax", 10.0)
        if count != int(count) or count < 1:
            raise _refused(text, "a number of operations that is no positive integer")
        if share > 1 or flag not in (0.0, 1.0) or largest <= 0:
            raise _refused(text, "p above 1, mmax of 0, or inc that is neither 0 nor 1")
        deviation = found.get("mstd", 0.0)
        return RandAugment(
            magnitude=found.get("m", 10.0),
            operations=int(count),
            probability=share,
            deviation=float("inf") if deviation > _UNIFORM else deviation,
            largest=largest,
            increasing=flag == 1.0,
        )

    def __call__(self, image: Image.Image, source: torch.Generator, fill: Fill) -> Image.Image:
        """Augment one image.

        Args:
            image: of mode "F" with values in [0, 1], "L" or "RGB".
            source: of the random choices.
            fill: colour 0 … 255 of pixels that come in from outside, one number a channel.
        """
        image = to_eight_bits(image)
        table = list((INCREASING if self.increasing else ORIGINAL).values())
        for _ in range(self.operations):
            operation = table[integer(0, len(table) - 1, source)]
            if uniform(0.0, 1.0, source) >= self.probability:
                continue
            sign = 1.0 if uniform(0.0, 1.0, source) < 0.5 else -1.0
            image = operation(image, sign * self._draw(source), fill)
        return image

    def _draw(self, source: torch.Generator) -> float:
        """Return a magnitude, in units of the full range."""
        magnitude = self.magnitude
        if self.deviation == float("inf"):
            magnitude = uniform(0.0, magnitude, source)
        elif self.deviation > 0:
            normal = torch.randn((), generator=source, dtype=torch.float64)
            magnitude += self.deviation * float(normal)
        return max(0.0, min(magnitude, self.largest)) / _UNIT


def _refused(text: str, what: str) -> TrainingError:
    return TrainingError(
        f"aa is 'rand', then parts such as {_KEYS}, joined by '-'; got {what} in {text!r}; "
        "write aa='rand-m9-mstd0.5'"
    )


def to_eight_bits(image: Image.Image) -> Image.Image:
    """Return an image of mode "F" with values in [0, 1] as mode "L"; others as they are."""
    if image.mode != "F":
        return image
    values = np.asarray(image).clip(0.0, 1.0)
    return Image.fromarray(np.rint(values * 255.0).astype(np.uint8))


# Every operation takes a signed level from −1 to 1; those without a direction use its size.


def _affine(
    image: Image.Image, matrix: tuple[float, float, float, float, float, float], fill: Fill
) -> Image.Image:
    return image.transform(
        image.size,
        Image.Transform.AFFINE,
        matrix,
        resample=Image.Resampling.BILINEAR,
        fillcolor=fill if image.mode == "RGB" else fill[0],
    )


def rotate(image: Image.Image, level: float, fill: Fill) -> Image.Image:
    """Turn by up to 30° about the centre."""
    colour = fill if image.mode == "RGB" else fill[0]
    return image.rotate(30.0 * level, resample=Image.Resampling.BILINEAR, fillcolor=colour)


def shear_x(image: Image.Image, level: float, fill: Fill) -> Image.Image:
    """Shift each row by up to 0.3 of its height above the bottom."""
    return _affine(image, (1, 0.3 * level, 0, 0, 1, 0), fill)


def shear_y(image: Image.Image, level: float, fill: Fill) -> Image.Image:
    """Shift each column likewise."""
    return _affine(image, (1, 0, 0, 0.3 * level, 1, 0), fill)


def translate_x(image: Image.Image, level: float, fill: Fill) -> Image.Image:
    """Shift by up to 0.45 of the width."""
    return _affine(image, (1, 0, 0.45 * level * image.width, 0, 1, 0), fill)


def translate_y(image: Image.Image, level: float, fill: Fill) -> Image.Image:
    """Shift by up to 0.45 of the height."""
    return _affine(image, (1, 0, 0, 0, 1, 0.45 * level * image.height), fill)


def auto_contrast(image: Image.Image, level: float, fill: Fill) -> Image.Image:
    """Stretch each channel to 0 … 255."""
    return ImageOps.autocontrast(image)


def equalize(image: Image.Image, level: float, fill: Fill) -> Image.Image:
    """Make each channel's histogram flat."""
    return ImageOps.equalize(image)


def invert(image: Image.Image, level: float, fill: Fill) -> Image.Image:
    """Take the negative."""
    return ImageOps.invert(image)


def solarize_add(image: Image.Image, level: float, fill: Fill) -> Image.Image:
    """Add up to 110 to values below 128."""
    add = min(128, int(110 * abs(level)))
    table = [min(255, i + add) if i < 128 else i for i in range(256)]
    return image.point(table * len(image.getbands()))


def _posterize(bits: Callable[[int], int]) -> Operation:
    def operation(image: Image.Image, level: float, fill: Fill) -> Image.Image:
        """Keep the leading bits of each value."""
        keep = bits(int(4 * abs(level)))
        # Pillow's own function refuses 0 bits; timm masks them all, and so do we.
        mask = (0xFF << (8 - max(0, keep))) & 0xFF
        return (
            image
            if keep >= 8
            else image.point([i & mask for i in range(256)] * len(image.getbands()))
        )

    return operation


def _solarize(threshold: Callable[[int], int]) -> Operation:
    def operation(image: Image.Image, level: float, fill: Fill) -> Image.Image:
        """Take the negative of values from the threshold on."""
        return ImageOps.solarize(image, threshold(min(256, int(256 * abs(level)))))

    return operation


def _enhanced(kind: Enhancer, factor: Callable[[float], float]) -> Operation:
    def operation(image: Image.Image, level: float, fill: Fill) -> Image.Image:
        """Blend with a grey, dark, flat or blurred image; factor 1 changes nothing."""
        return kind(image).enhance(factor(level))

    return operation


def _table(
    posterize: Callable[[int], int],
    solarize: Callable[[int], int],
    enhance: Callable[[float], float],
) -> dict[str, Operation]:
    return {
        "AutoContrast": auto_contrast,
        "Equalize": equalize,
        "Invert": invert,
        "Rotate": rotate,
        "Posterize": _posterize(posterize),
        "Solarize": _solarize(solarize),
        "SolarizeAdd": solarize_add,
        "Color": _enhanced(ImageEnhance.Color, enhance),
        "Contrast": _enhanced(ImageEnhance.Contrast, enhance),
        "Brightness": _enhanced(ImageEnhance.Brightness, enhance),
        "Sharpness": _enhanced(ImageEnhance.Sharpness, enhance),
        "ShearX": shear_x,
        "ShearY": shear_y,
        "TranslateX": translate_x,
        "TranslateY": translate_y,
    }


ORIGINAL = _table(
    posterize=lambda cut: cut,
    solarize=lambda threshold: threshold,
    enhance=lambda level: 1.8 * abs(level) + 0.1,
)
"""The fifteen operations with the levels of the TensorFlow original."""

INCREASING = _table(
    posterize=lambda cut: 4 - cut,
    solarize=lambda threshold: 256 - threshold,
    enhance=lambda level: max(0.1, 1.0 + 0.9 * level),
)
"""The same, each stronger with its level: "inc1"."""
