"""Stage: blocks of one width, as steps in time of one equation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from fractions import Fraction

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from pdenet.checks import check_choice, check_count
from pdenet.discrete.steppers import STEPPERS, RungeKutta
from pdenet.errors import NetworkError
from pdenet.network.convnet.block import PDEBlock
from pdenet.network.convnet.form import Form
from pdenet.network.convnet.relaxation import Relaxation
from pdenet.network.products import Tensors

DEPTHS = ("free", "shared")
"""How coefficients may vary from block to block."""

BLOCK_STEPPERS = (
    *(name for name, stepper in STEPPERS.items() if isinstance(stepper, RungeKutta)),
    "leapfrog",
)
"""The steppers of a stage."""


class Stage(nn.Module):
    """Blocks in a row: u_{n+1} = u_n + F_n(u_n), or another stepper's way through them.

    - A Runge–Kutta method evaluates each block's F once a stage, with the same weights.
    - "leapfrog" has two skip connections: u_{n+1} = u_{n−1} + 2 F_n(u_n), and for an equation
      u_tt = F(u), whose state is u alone then, u_{n+1} = 2 u_n − u_{n−1} + F_n(u_n). The first
      block of a stage is an Euler step, and for u_tt one from rest, u_1 = u_0 + F_0(u_0)/2.

    A block that changes width or stride is always an Euler step.

    Args:
        form: the equation.
        in_channels: the channels of what comes in.
        channels: the stage's channels.
        depth: the number of blocks.
        stride: of the first block.
        relaxation: of the blocks.
        stepper: one of `BLOCK_STEPPERS`.
        coefficients: "free", or "shared": blocks of one width have the same weights, but for their
            batch norms.
        activations: for each block what follows it.
        drop_paths: for each block the probability with which F is left out in training.

    Attributes:
        blocks: the blocks.
        activations: what follows each of them.
        checkpointing: whether blocks are computed again in the backward pass, to save memory; the
            running statistics of their batch norms are updated once all the same.

    Raises:
        NetworkError: an option does not exist.
    """

    def __init__(
        self,
        form: Form,
        in_channels: int,
        channels: int,
        depth: int,
        *,
        stride: int,
        relaxation: Relaxation,
        stepper: str = "euler",
        coefficients: str = "free",
        activations: Sequence[nn.Module],
        drop_paths: Sequence[float] = (),
    ) -> None:
        super().__init__()
        check_choice("stepper", stepper, BLOCK_STEPPERS, NetworkError)
        check_choice("coefficients", coefficients, DEPTHS, NetworkError)
        self.stepper = stepper
        # Of pairs (u, u_t) the state is of first order.
        is_pair = any(f.rate_of is not None for f in form.structure.fields)
        self.is_second_order = form.is_second_order and not is_pair
        self.checkpointing = False
        self.blocks = nn.ModuleList()
        shared: PDEBlock | None = None
        for k in range(check_count("depth", depth, 1, NetworkError)):
            block = PDEBlock(
                form,
                channels if k else in_channels,
                channels,
                stride=1 if k else stride,
                relaxation=relaxation,
                drop_path=drop_paths[k] if drop_paths else 0.0,
            )
            if coefficients == "shared" and block.keeps_shape:
                if shared is None:
                    shared = block
                else:
                    block.share(shared)
            self.blocks.append(block)
        self.activations = nn.ModuleList(activations)

    def forward(
        self, u: torch.Tensor, states: dict[str, torch.Tensor] | None = None
    ) -> torch.Tensor:
        """Return the state behind the last block.

        Args:
            u: shape `(batch, in_channels, y, x)`.
            states: where the state behind each block is put, "block1", …, and where an activation
                follows, that behind it: "block1.activation".

        Returns:
            Shape `(batch, channels, y/stride, x/stride)`, rounded up.
        """
        previous: torch.Tensor | None = None
        pairs = zip(self.blocks, self.activations, strict=True)
        for number, (block, activation) in enumerate(pairs, 1):
            assert isinstance(block, PDEBlock)
            before = previous if block.keeps_shape else None
            if self.checkpointing and torch.is_grad_enabled():
                made = self._checkpointed(block, u, before)
            else:
                made = self._step(block, u, before)
            previous, u = u, activation(made)
            if states is not None:
                states[f"block{number}"] = made
                if not isinstance(activation, nn.Identity):
                    states[f"block{number}.activation"] = u
            if previous.shape != u.shape:
                previous = None
        return u

    def _checkpointed(
        self, block: PDEBlock, u: torch.Tensor, previous: torch.Tensor | None
    ) -> torch.Tensor:
        if torch.compiler.is_compiling():  # it recomputes what has no side effects, by itself
            made = checkpoint(self._step, block, u, previous, use_reentrant=False)
        else:
            made = checkpoint(
                self._step,
                block,
                u,
                previous,
                use_reentrant=False,
                context_fn=lambda: (nullcontext(), _Unmoved(block)),
            )
        assert isinstance(made, torch.Tensor)
        return made

    def _step(
        self, block: PDEBlock, u: torch.Tensor, previous: torch.Tensor | None
    ) -> torch.Tensor:
        if not block.keeps_shape or self.stepper == "euler":
            return block(u)
        made = self._moved(block, u, previous)
        if not (block.training and block.drop_path):
            return made
        rest = u if previous is None else self._without_force(u, previous)
        return rest + block.dropped(made - rest)

    def _without_force(self, u: torch.Tensor, previous: torch.Tensor) -> torch.Tensor:
        """Return the next state for F = 0."""
        if self.stepper != "leapfrog":
            return u
        return 2.0 * u - previous if self.is_second_order else previous

    def _moved(
        self, block: PDEBlock, u: torch.Tensor, previous: torch.Tensor | None
    ) -> torch.Tensor:
        """Return the state one step of another method than Euler's later."""
        if self.stepper == "leapfrog":
            rate = block.rate(u)
            if self.is_second_order:
                return u + 0.5 * rate if previous is None else 2.0 * u - previous + rate
            return u + rate if previous is None else previous + 2.0 * rate
        nobody = frozenset[str]()
        motion = _Motion(block)
        return STEPPERS[self.stepper].step(motion, (nobody, nobody), u, 0.0, 1.0)


class _Unmoved:
    """Keeps the running statistics of a block's batch norms as they are while it is recomputed.

    By a momentum of 0: without running statistics a batch norm would save fewer tensors than the
    first time, which a checkpoint takes for an error. May be entered again, for backward(
    retain_graph=True).
    """

    def __init__(self, block: nn.Module) -> None:
        self.norms = [m for m in block.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]

    def __enter__(self) -> None:
        self.kept = [(norm.momentum, norm.num_batches_tracked) for norm in self.norms]
        for norm in self.norms:
            norm.momentum, norm.num_batches_tracked = 0.0, None

    def __exit__(self, *error: object) -> None:
        for norm, (momentum, batches) in zip(self.norms, self.kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches


class _Motion:
    """A block as `stepping` wants it, its weights made once."""

    def __init__(self, block: PDEBlock) -> None:
        self.block = block
        self.tensors: Tensors = block.tensors()

    def rates(
        self, state: torch.Tensor, t: float, dt: float, only: frozenset[str] | None = None
    ) -> Mapping[str, torch.Tensor]:
        return {"u": self.block.rate(state, self.tensors)}

    def moved(
        self,
        state: torch.Tensor,
        slopes: Sequence[Mapping[str, torch.Tensor]],
        weights: Sequence[Fraction | float],
        dt: float,
    ) -> torch.Tensor:
        for weight, slope in zip(weights, slopes, strict=False):
            if weight:
                state = torch.add(state, slope["u"], alpha=float(weight) * dt)
        return state

    def impose(
        self,
        state: torch.Tensor,
        t: float,
        only: frozenset[str] | None = None,
        start: float | None = None,
        slopes: Sequence[tuple[float, float]] = (),
    ) -> torch.Tensor:
        return state
