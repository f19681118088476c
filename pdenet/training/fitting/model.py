"""Model: what a fit asks of the network whose parameters it finds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch

from pdenet.discrete.boundary import Boundary
from pdenet.discrete.grid import Grid


class Model(Protocol):
    """A `torch.nn.Module` that advances states by time steps; `pde.to_network(…)` makes one.

    States have the shape (batch, component, *space), with `space` in array order (z, y, x).

    Attributes:
        dt: the time step, in the equation's unit of time.
        components: the name of each component, such as ("u", "u_t").
        grid: the nodes.
        boundary: which axes are periodic.
        dtype: of states and parameters, torch.float32 or torch.float64.
    """

    @property
    def dt(self) -> float:
        """The time step."""

    @property
    def components(self) -> tuple[str, ...]:
        """The name of each component."""

    @property
    def grid(self) -> Grid:
        """The nodes."""

    @property
    def boundary(self) -> Boundary:
        """The conditions on the sides; a fit asks only which axes are periodic."""

    @property
    def dtype(self) -> torch.dtype:
        """Of states and parameters."""

    def advance(
        self,
        u: torch.Tensor,
        t: float = 0.0,
        *,
        steps: int,
        checkpoint_every: int | None = None,
        truncate_every: int | None = None,
    ) -> torch.Tensor:
        """Return the states after `steps` steps from time t, shape (batch, component, *space)."""

    def quantities(self) -> dict[str, torch.nn.Parameter]:
        """The trainable parameters by their physical names, in a fixed order."""

    def named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """As `torch.nn.Module` has it; every quantity is one of them."""
