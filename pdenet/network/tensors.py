"""Named tensors: parameters and buffers under the names of an equation."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import torch
from torch import nn


class NamedTensors(nn.Module):
    """Tensors by name, trainable ones as parameters, others as buffers.

    Names of an equation may be those of a module's own attributes, such as "half"; these get an
    underscore in the state dict.

    Args:
        tensors: the tensors.
        trainable: the names of those that are parameters.
        persistent: whether buffers belong to the state dict.
    """

    def __init__(
        self,
        tensors: Mapping[str, torch.Tensor],
        trainable: Collection[str] = (),
        persistent: bool = True,
    ) -> None:
        super().__init__()
        self._attributes: dict[str, str] = {}
        for name, tensor in tensors.items():
            attribute = name
            while hasattr(self, attribute):
                attribute += "_"
            self._attributes[name] = attribute
            if name in trainable:
                self.register_parameter(attribute, nn.Parameter(tensor))
            else:
                self.register_buffer(attribute, tensor, persistent=persistent)

    def __getitem__(self, name: str) -> torch.Tensor:
        tensor = getattr(self, self._attributes[name])
        assert isinstance(tensor, torch.Tensor)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._attributes)

    def __contains__(self, name: object) -> bool:
        return name in self._attributes

    def items(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Go through names and tensors, in the order in which they were given."""
        return ((name, self[name]) for name in self._attributes)

    def extra_repr(self) -> str:
        """Return names and shapes, trainable ones marked, for printing."""
        return ", ".join(
            f"{name}{tuple(tensor.shape)}{'*' if isinstance(tensor, nn.Parameter) else ''}"
            for name, tensor in self.items()
        )
