"""Activations: functions of the channels of one pixel that keep features bounded.

With u the n channels of a pixel and R² = n (Liu, Shao & Bai (2023); the clip values of hardtanh are
unconfirmed, ±5 stands in a comment of the authors' code):

    hardtanh   clip(u_i, −5, 5)                     channel by channel
    hardball   u min(1, R/‖u‖)                      radial: commutes with all rotations of channels
    softball   u / sqrt(1 + ‖u‖²/R²)                radial and smooth

The two radial ones may measure u by a quadratic form of their own, ‖u‖² = uᵀG u with G = LᵀL. For
u = P v it becomes vᵀ(LP)ᵀ(LP) v: with L → L P they are covariant under all of GL(n), not under
rotations alone. No published system has this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import nn

from pdenet.checks import check_choice
from pdenet.errors import NetworkError

CLIP = 5.0
"""Where hardtanh clips."""


FORMS = ("none", "identity", "trainable")
"""Quadratic forms of the radial activations: none but uᵀu; L = I, moved by changes of unknowns but
not trained; and a trainable L that starts at I."""


class Radial(nn.Module):
    """u times a function of ‖u‖²/R²; the norm is over the channels of a pixel, R² their number.

    Args:
        channels: their number, where a form needs it.
        form: one of `FORMS`.

    Attributes:
        factor: the L of ‖u‖² = |L u|², shape `(channel, channel)`; None for L = I for ever.
    """

    factor: torch.Tensor | None

    def __init__(self, channels: int = 0, form: str = "none") -> None:
        super().__init__()
        if form == "trainable":
            self.factor = nn.Parameter(torch.eye(channels))
        else:
            self.register_buffer("factor", torch.eye(channels) if form == "identity" else None)

    def mean_square(self, u: torch.Tensor) -> torch.Tensor:
        """Return ‖u‖²/R² of each pixel, shape `(batch, 1, y, x)`.

        In float32 at least: of a large u it overflows in half precision.
        """
        if self.factor is not None:
            u = nn.functional.conv2d(u, self.factor.to(u.dtype)[:, :, None, None])
        wide = u.float() if u.dtype in (torch.float16, torch.bfloat16) else u
        return wide.square().sum(dim=1, keepdim=True) / u.shape[1]


class Hardball(Radial):
    """u where ‖u‖ ≤ R, else R u/‖u‖; see `Radial`."""

    def forward(self, u: torch.Tensor) -> torch.Tensor:
        """Return the projection onto the ball, shape `(batch, channel, y, x)` as u."""
        # Of max(1, s) before the root, whose derivative at 0 is infinite.
        return u * self.mean_square(u).clamp(min=1.0).rsqrt().to(u.dtype)


class Softball(Radial):
    """u / sqrt(1 + ‖u‖²/R²); see `Radial`."""

    def forward(self, u: torch.Tensor) -> torch.Tensor:
        """Return u scaled into the open ball, shape `(batch, channel, y, x)` as u."""
        return u * (1.0 + self.mean_square(u)).rsqrt().to(u.dtype)


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


def activation(name: object, channels: int = 0, form: str = "none") -> nn.Module:
    """Return an activation by its name.

    Args:
        name: a name of `ACTIVATIONS`.
        channels: the number of channels, where there is a form.
        form: the quadratic form of a radial one; a name of `FORMS`.

    Raises:
        NetworkError: there is none of that name, or it has no quadratic form.
    """
    kind = ACTIVATIONS[check_choice("activation", name, ACTIVATIONS, NetworkError)]
    check_choice("quadratic_form", form, FORMS, NetworkError)
    if form == "none":
        return kind()
    if not (isinstance(kind, type) and issubclass(kind, Radial)):
        raise NetworkError(
            f"only hardball and softball measure u by a quadratic form; got quadratic_form={form!r}"
            f' and activation={name!r}; write quadratic_form="none"'
        )
    return kind(channels, form)
