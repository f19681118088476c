"""Precision: forward and backward passes in 16 bits, the update in 32.

bfloat16 has float32's exponents and needs nothing else. float16 underflows: losses are scaled by a
factor that halves whenever gradients overflow (that update is left out) and doubles after 2000
updates without. An overflow is no divergence; a loss or a buffer that is not finite is one.
"""

from __future__ import annotations

import contextlib
from typing import Any  # the scaler's state

import torch
from torch import Tensor

_TYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class Precision:
    """The numbers of a training step.

    Attributes:
        scale: of the loss; 1 unless the type is float16.
    """

    def __init__(self, device: torch.device, amp: bool, dtype: str = "bfloat16") -> None:
        """Choose them.

        Args:
            device: where it is computed.
            amp: whether passes are in 16 bits.
            dtype: "bfloat16" or "float16".
        """
        self._device, self._amp, self._dtype = device, amp, _TYPES[dtype]
        self._scaler: torch.amp.GradScaler | None = None
        if amp and self._dtype == torch.float16:
            self._scaler = torch.amp.GradScaler(device.type)

    @property
    def scale(self) -> float:
        """The factor of the loss."""
        return 1.0 if self._scaler is None else self._scaler.get_scale()

    def narrow(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context of a forward pass."""
        if not self._amp:
            return contextlib.nullcontext()
        return torch.autocast(self._device.type, dtype=self._dtype)

    def scaled(self, loss: Tensor) -> Tensor:
        """Return the loss from which to go backward."""
        return loss if self._scaler is None else self._scaler.scale(loss)

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Divide the gradients by the factor of the loss."""
        if self._scaler is not None:
            self._scaler.unscale_(optimizer)

    def is_overflow(self, grad_norm: Tensor) -> bool:
        """Whether gradients overflowed for the loss's factor: a smaller one will do."""
        return self.scale > 1.0 and not bool(torch.isfinite(grad_norm))

    def update(self, optimizer: torch.optim.Optimizer) -> None:
        """Make an update; after an overflow none but that of the factor."""
        if self._scaler is None:
            optimizer.step()
        else:
            self._scaler.step(optimizer)
            self._scaler.update()

    def forget(self) -> None:
        """Leave out an update whose gradients were unscaled already."""
        if self._scaler is not None:
            self._scaler.update()  # forgets what `unscale` noted, which can be noted once only

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs."""
        return {} if self._scaler is None else self._scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        if self._scaler is not None and state:
            self._scaler.load_state_dict(state)
