"""Options: what is given to a model's forward pass, checked at its door."""

from __future__ import annotations

import torch
import torch.fx

from pdenet.errors import NetworkError


def check_pictures(name: str, given: object, channels: int) -> None:
    """Check that a tensor is a batch of pictures; of its shape the number of channels alone counts.

    Nothing here depends on values or on the size of the batch, so that compilers leave it out.

    Args:
        name: how the tensor is called.
        given: what was given.
        channels: how many channels are expected.

    Raises:
        NetworkError: it is not of the shape `(batch, channels, y, x)`, or not of floating point.
    """
    if isinstance(given, torch.fx.Proxy):  # being traced: it has no shape yet
        return
    if not isinstance(given, torch.Tensor):
        raise NetworkError(
            f"{name} is a tensor of shape (batch, {channels}, y, x); got a "
            f"{type(given).__name__}; use torch.from_numpy"
        )
    shape = tuple(given.shape)
    if given.ndim != 4:
        hint = f"write {name}[None]" if given.ndim == 3 else "give pictures side by side"
        raise NetworkError(
            f"{name} has the shape (batch, {channels}, y, x); got {given.ndim} axes, {shape}; "
            f"{hint}"
        )
    if given.shape[1] != channels:
        raise NetworkError(
            f"{name} has {channels} channels, as the model was made for; got {given.shape[1]} in "
            f"the shape {shape}; give pictures of {channels} channels, or in_channels="
            f"{given.shape[1]} to the model"
        )
    if not given.is_floating_point():
        raise NetworkError(
            f"{name} is of floating point; got {given.dtype}; write {name}.float() / 255 for bytes"
        )


def check_reach(padding: str, points: int, width: int) -> None:
    """Check that a picture has the pixels that a padding repeats.

    Raises:
        NetworkError: it has not.
    """
    least = {"reflect": width + 1, "circular": width}.get(padding, 1)
    if points < least:
        raise NetworkError(
            f"padding={padding!r} by {width} repeats as many pixels of a picture and needs at "
            f"least {least} along each axis; got {points}; give larger pictures, fewer stages, or "
            'padding="zeros"'
        )
