"""Activations: functions of the channels of one pixel that keep features bounded.

With u the n channels of a pixel and R² = n (Liu, Shao & Bai (2023); the clip values of hardtanh are
unconfirmed, ±5 stands in a comment of the authors' code):

    hardtanh   clip(u_i, −5, 5)                     channel by channel
    hardball   u min(1, R/‖u‖)                      radial: commutes with all rotations of channels
    softball   u / sqrt(1 + ‖u‖²/R²)                radial and smooth
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import nn

from pdenet.errors import NetworkError, suggest

CLIP = 5.0
"""Where hardtanh clips."""


class Hardball(nn.Module):
    """u where ‖u‖ ≤ R, else R u/‖u‖; the norm is over the channels of a pixel, R² their number."""

    def forward(self, u: torch.Tensor) -> torch.Tensor:
        """Return the projection onto the ball, shape `(batch, channel, y, x)` as u."""
        square = _square(u) / u.shape[1]
        # Of max(1, s) before the root, whose derivative at 0 is infinite.
        return u * square.clamp(min=1.0).rsqrt().to(u.dtype)


class Softball(nn.Module):
    """u / sqrt(1 + ‖u‖²/R²); the norm is over the channels of a pixel, R² their number."""

    def forward(self, u: torch.Tensor) -> torch.Tensor:
        """Return u scaled into the open ball, shape `(batch, channel, y, x)` as u."""
        return u * (1.0 + _square(u) / u.shape[1]).rsqrt().to(u.dtype)


def _square(u: torch.Tensor) -> torch.Tensor:
    """Return ‖u‖² of each pixel, in float32 at least: of a large u it overflows in half precision.

    Shape `(batch, 1, y, x)`.
    """
    wide = u.float() if u.dtype in (torch.float16, torch.bfloat16) else u
    return wide.square().sum(dim=1, keepdim=True)


ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = MappingProxyType(
    {
        "none": nn.Identity,
        "relu": nn.ReLU,
        "hardtanh": lambda: nn.Hardtanh(-CLIP, CLIP),
        "hardball": Hardball,
        "softball": Softball,
    }
)
"""Activations by name."""


def activation(name: object) -> nn.Module:
    """Return an activation by its name.

    Raises:
        NetworkError: there is none of that name.
    """
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise NetworkError(
            f"activation is one of {', '.join(ACTIVATIONS)}; got {name!r}."
            f"{suggest(str(name), ACTIVATIONS)}"
        )
    return ACTIVATIONS[name]()
