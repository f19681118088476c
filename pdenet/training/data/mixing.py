"""Mixing: mixup, cutmix and label smoothing of a batch.

One weight λ ~ Beta(α, α) a batch, as in timm; each image's partner is another of a random
permutation of the batch.

Sources: H. Zhang et al., *mixup*, arXiv 1710.09412; S. Yun et al., *CutMix*, arXiv 1905.04899.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.special import betaincinv

from pdenet.training.data.randomness import integer, uniform


@dataclass(frozen=True)
class Mixing:
    """How a batch is mixed.

    Attributes:
        classes: how many there are.
        mixup: α of mixup; 0 for none.
        cutmix: α of cutmix; 0 for none.
        smoothing: share of each target that is spread evenly over the classes.
    """

    classes: int
    mixup: float = 0.0
    cutmix: float = 0.0
    smoothing: float = 0.0

    @property
    def is_on(self) -> bool:
        """Whether targets are distributions; otherwise they are class numbers."""
        return max(self.mixup, self.cutmix, self.smoothing) > 0

    def __call__(
        self, images: torch.Tensor, labels: torch.Tensor, source: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a batch that is mixed, and its targets.

        Args:
            images: shape (batch, channel, height, width).
            labels: int64 of shape (batch,).
            source: of the random choices.

        Returns:
            Images of the same shape; targets as given if nothing is on, else float32 of shape
            (batch, classes), each row adding up to 1.
        """
        if not self.is_on:
            return images, labels
        targets = smooth(labels, self.classes, self.smoothing)
        if not max(self.mixup, self.cutmix):
            return images, targets
        cuts = self.cutmix > 0
        if self.mixup > 0 and self.cutmix > 0:
            cuts = uniform(0.0, 1.0, source) < 0.5
        weight = draw_beta(self.cutmix if cuts else self.mixup, source)
        partner = torch.randperm(len(images), generator=source)
        if cuts:
            images, weight = cut(images, images[partner], weight, source)
        else:
            images = weight * images + (1.0 - weight) * images[partner]
        return images, weight * targets + (1.0 - weight) * targets[partner]


def smooth(labels: torch.Tensor, classes: int, smoothing: float) -> torch.Tensor:
    """Return (1 − s) e_label + s / classes, float32 of shape (batch, classes)."""
    ones = torch.nn.functional.one_hot(labels, classes).to(torch.float32)
    return (1.0 - smoothing) * ones + smoothing / classes


def draw_beta(alpha: float, source: torch.Generator) -> float:
    """Draw from Beta(α, α) by inverting its distribution function: one draw, exact for any α."""
    return float(betaincinv(alpha, alpha, uniform(0.0, 1.0, source)))


def cut(
    images: torch.Tensor, others: torch.Tensor, weight: float, source: torch.Generator
) -> tuple[torch.Tensor, float]:
    """Paste a box of the others of about 1 − weight of the area; return the weight that is left.

    The box has the images' shape and an even centre; what sticks out is cut off, so that the weight
    is counted from its pixels.
    """
    height, width = images.shape[-2:]
    part = math.sqrt(1.0 - weight)
    h, w = int(height * part), int(width * part)
    y, x = integer(0, height - 1, source), integer(0, width - 1, source)
    top, bottom = max(0, y - h // 2), min(height, y + (h + 1) // 2)
    left, right = max(0, x - w // 2), min(width, x + (w + 1) // 2)
    images = images.clone()
    images[..., top:bottom, left:right] = others[..., top:bottom, left:right]
    return images, 1.0 - (bottom - top) * (right - left) / (height * width)
