"""Precision: forward and backward passes in 16 bits, the update in 32.

bfloat16 has float32's exponents and needs nothing else. float16 underflows: losses are scaled by a
factor that halves whenever gradients overflow (that update is left out) and doubles after 2000
updates without. An overflow is no divergence; a loss or a buffer that is not finite is one.
"""

from __future__ import annotations

import torch
from torch import Tensor

_TYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class Precision(torch.amp.GradScaler):
    """The numbers of a training step: torch's scaler, which does nothing unless they are float16.

    An update that is left out after `unscale_` ends with `update` all the same: gradients can be
    unscaled once only.
    """

    def __init__(self, device: torch.device, amp: bool, dtype: str = "bfloat16") -> None:
        """Choose them.

        Args:
            device: where it is computed.
            amp: whether passes are in 16 bits.
            dtype: "bfloat16" or "float16".
        """
        self._amp, self._dtype = amp, _TYPES[dtype]
        super().__init__(device.type, enabled=amp and dtype == "float16")

    def narrow(self) -> torch.autocast:
        """Return the context of a forward pass."""
        return torch.autocast(self._device, dtype=self._dtype, enabled=self._amp)

    def is_overflow(self, grad_norm: Tensor) -> bool:
        """Whether gradients overflowed for the loss's factor: a smaller one will do."""
        return self.get_scale() > 1.0 and not bool(torch.isfinite(grad_norm))
