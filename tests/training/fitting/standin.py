"""Small networks that a fit can be tested on without the compiler: explicit Euler on a line.

They do what `Network` promises, and no more: `advance`, `quantities`, a grid, a time step.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from pdenet.discrete.boundary import Boundary, Periodic
from pdenet.discrete.grid import Grid

Rate = Callable[["StandIn", torch.Tensor, float], torch.Tensor]

RING = Boundary(x=Periodic())


class StandIn(nn.Module):
    """u ← u + dt·F(u, t) with the parameters of a dictionary, on a periodic line.

    Args:
        rate: F, of the network itself, states (batch, component, x) and the time.
        values: the trainable parameters.
        num_points: nodes on 0 ≤ x < 1.
        dt: time step.
        components: names.
        dtype: of everything.
    """

    x: torch.Tensor
    per_area: torch.Tensor

    def __init__(
        self,
        rate: Rate,
        values: dict[str, float | np.ndarray],
        *,
        num_points: int = 16,
        dt: float = 0.01,
        components: tuple[str, ...] = ("u",),
        dtype: torch.dtype = torch.float64,
    ) -> None:
        super().__init__()
        self.rate = rate
        self.dt = dt
        self.components = components
        self.grid = Grid(x=(0, 1, num_points))
        self.boundary = RING
        self.dtype = dtype
        self.register_buffer("x", torch.from_numpy(self.grid.nodes(RING)[0]).to(dtype))
        self.register_buffer("per_area", torch.tensor(float(num_points) ** 2, dtype=dtype))
        self.named = nn.ParameterDict(
            {n: nn.Parameter(torch.tensor(v, dtype=dtype)) for n, v in values.items()}
        )
        # Views, which show the parameters also where a derivative has put others in their place.
        self.views = {n: p.detach().numpy() for n, p in self.named.items()}
        self.seen: list[dict[str, np.ndarray]] = []
        """The parameters of every call of `advance`."""

    def quantities(self) -> dict[str, nn.Parameter]:
        return dict(self.named.items())

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.named[name]

    def laplacian(self, u: torch.Tensor) -> torch.Tensor:
        # No plain numbers: torch takes milliseconds to see that one does not move; see `Rollout`.
        return ((u.roll(1, -1) - u) + (u.roll(-1, -1) - u)) * self.per_area

    def advance(
        self,
        u: torch.Tensor,
        t: float = 0.0,
        *,
        steps: int,
        checkpoint_every: int | None = None,
        truncate_every: int | None = None,
    ) -> torch.Tensor:
        self.seen.append({n: p.copy() for n, p in self.views.items()})

        def stretch(state: torch.Tensor, first: int, last: int) -> torch.Tensor:
            for k in range(first, last):
                rate = self.rate(self, state, t + k * self.dt)
                state = torch.add(state, rate, alpha=self.dt)
            return state

        every = checkpoint_every or truncate_every or steps
        for first in range(0, steps, every):
            last = min(first + every, steps)
            if truncate_every is not None and first:
                u = u.detach()
            if checkpoint_every is None:
                u = stretch(u, first, last)
            else:
                made = checkpoint(stretch, u, first, last, use_reentrant=False)
                assert isinstance(made, torch.Tensor)
                u = made
        return u


def frames_of(
    net: StandIn, initial: np.ndarray, num_frames: int, stride: int, start: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the times and the frames (frame, component, x) of a run, the initial one included."""
    times = start + net.dt * stride * np.arange(num_frames)
    state = torch.tensor(initial, dtype=net.dtype)[None]
    made = [state]
    with torch.no_grad():
        for t in times[:-1]:
            state = net.advance(state, float(t), steps=stride)
            made.append(state)
    return times, torch.cat(made).numpy()


def diffusion_reaction(net: StandIn, u: torch.Tensor, t: float) -> torch.Tensor:
    """u_t = D u_xx + r u (1 − u)."""
    return net["D"] * net.laplacian(u) + net["r"] * u * (1 - u)


def product(net: StandIn, u: torch.Tensor, t: float) -> torch.Tensor:
    """u_t = a b u_xx + r u (1 − u): only a·b and r can be known."""
    return net["a"] * net["b"] * net.laplacian(u) + net["r"] * u * (1 - u)


def sources(net: StandIn, u: torch.Tensor, t: float) -> torch.Tensor:
    """u_t = F + G x: predictions are linear in F and G, u₀ + t (F + G x)."""
    return (net["F"] + net["G"] * net.x).expand(u.shape)


def field(net: StandIn, u: torch.Tensor, t: float) -> torch.Tensor:
    """u_t = c(x) u."""
    return net["c"] * u


def square(net: StandIn, u: torch.Tensor, t: float) -> torch.Tensor:
    """u_t = r u², which explodes at t = 1/(r u₀)."""
    return net["r"] * u * u


def oscillator(net: StandIn, u: torch.Tensor, t: float) -> torch.Tensor:
    """u_t = v, v_t = −k u + s u_xx; states are (u, v)."""
    first, second = u[:, :1], u[:, 1:]
    return torch.cat([second, -net["k"] * first + net["s"] * net.laplacian(first)], dim=1)


def wave_start(num_points: int = 16, num_components: int = 1) -> np.ndarray:
    """A smooth initial state between 0 and 1, (component, x)."""
    x = np.arange(num_points) / num_points
    return np.stack(
        [
            0.5 + 0.3 * np.sin(2 * np.pi * x + k) + 0.1 * np.cos(4 * np.pi * x)
            for k in range(num_components)
        ]
    )
