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


def _colour(image: Image.Image, fill: Fill) -> Fill | int:
    return fill if image.mode == "RGB" else fill[0]


def _turned(image: Image.Image, level: float, fill: Fill) -> Image.Image:
    """Turn by up to 30° about the centre."""
    colour = _colour(image, fill)
    return image.rotate(30.0 * level, resample=Image.Resampling.BILINEAR, fillcolor=colour)


def _moved(matrix: Callable[[float, int, int], tuple[float, ...]]) -> Operation:
    """Map pixels by an affine matrix, made of the level, the width and the height."""

    def operation(image: Image.Image, level: float, fill: Fill) -> Image.Image:
        return image.transform(
            image.size,
            Image.Transform.AFFINE,
            matrix(level, *image.size),
            resample=Image.Resampling.BILINEAR,
            fillcolor=_colour(image, fill),
        )

    return operation


def _mapped(value: Callable[[int, float], int]) -> Operation:
    """Map each value 0 … 255 by itself, at the size of the level."""

    def operation(image: Image.Image, level: float, fill: Fill) -> Image.Image:
        table = [value(i, abs(level)) for i in range(256)]
        return image.point(table * len(image.getbands()))

    return operation


def _table(increasing: bool) -> dict[str, Operation]:
    def enhanced(kind: Enhancer) -> Operation:
        """Blend with a grey, dark, flat or blurred image; factor 1 changes nothing."""

        def operation(image: Image.Image, level: float, fill: Fill) -> Image.Image:
            factor = max(0.1, 1.0 + 0.9 * level) if increasing else 1.8 * abs(level) + 0.1
            return kind(image).enhance(factor)

        return operation

    def posterized(i: int, level: float) -> int:
        """Keep the leading bits; of none black is left, which Pillow's own function refuses."""
        bits = 4 - int(4 * level) if increasing else int(4 * level)
        return i & (0xFF << (8 - min(max(0, bits), 8)))

    def solarized(i: int, level: float) -> int:
        """Take the negative from a threshold on."""
        threshold = min(256, int(256 * level))
        return i if i < (256 - threshold if increasing else threshold) else 255 - i

    def added(i: int, level: float) -> int:
        """Add up to 110 to values below 128."""
        return min(255, i + min(128, int(110 * level))) if i < 128 else i

    return {
        "AutoContrast": lambda image, level, fill: ImageOps.autocontrast(image),
        "Equalize": lambda image, level, fill: ImageOps.equalize(image),
        "Invert": lambda image, level, fill: ImageOps.invert(image),
        "Rotate": _turned,
        "Posterize": _mapped(posterized),
        "Solarize": _mapped(solarized),
        "SolarizeAdd": _mapped(added),
        "Color": enhanced(ImageEnhance.Color),
        "Contrast": enhanced(ImageEnhance.Contrast),
        "Brightness": enhanced(ImageEnhance.Brightness),
        "Sharpness": enhanced(ImageEnhance.Sharpness),
        "ShearX": _moved(lambda level, width, height: (1, 0.3 * level, 0, 0, 1, 0)),
        "ShearY": _moved(lambda level, width, height: (1, 0, 0, 0.3 * level, 1, 0)),
        "TranslateX": _moved(lambda level, width, height: (1, 0, 0.45 * level * width, 0, 1, 0)),
        "TranslateY": _moved(lambda level, width, height: (1, 0, 0, 0, 1, 0.45 * level * height)),
    }


ORIGINAL = _table(increasing=False)
"""The fifteen operations with the levels of the TensorFlow original."""

INCREASING = _table(increasing=True)
"""The same, each stronger with its level: "inc1"."""
