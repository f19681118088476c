"""Conserved: Q stands still under gradient flow, and leaves as fast as known without it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import pdenet as pn
from pdenet.symmetry.network.conserved import (
    conserved_numbers,
    gram,
    momentum,
    stage_momentum,
    symmetric_generators,
)
from pdenet.symmetry.network.stabiliser import stabiliser

Slots = list[tuple[torch.Tensor, int, str]]


class Stage(nn.Module):
    """A 1×1 convolution in, two blocks of one width tied by their skips, a linear head."""

    def __init__(self, name: str, n: int, activation: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        relaxation = pn.Relaxation(directions=2, norm=False)
        self.enter = nn.Conv2d(2, n, 1, bias=False)
        self.blocks = nn.Sequential(
            *(pn.PDEBlock(pn.catalogue[name], n, relaxation=relaxation) for _ in range(2))
        )
        self.activation = nn.Identity() if activation is None else activation
        self.head = nn.Linear(n, 3)
        with torch.no_grad():
            for parameter in self.blocks.parameters():
                parameter.copy_(0.4 * torch.randn(parameter.shape))
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.head(self.activation(self.blocks(self.enter(x))).mean(dim=(2, 3)))
        return made

    def slots(self) -> Slots:
        """The indices of the state, read off the equations by hand."""
        made: Slots = [(self.enter.weight, 0, "upper"), (self.head.weight, 1, "lower")]
        for block in self.blocks:
            assert isinstance(block, pn.PDEBlock)
            t = block.coefficients.tensors
            if "D" in t:  # Eq. (7): A_il, C_lj, D_lk
                made += [(t["C"], 1, "lower"), (t["D"], 1, "lower"), (t["Ax_Ay"], 0, "upper")]
            else:  # Eqs. (3) and (9): A (i, j, d) makes i and takes ∂u_j
                made += [(t["A_B"], 1, "lower"), (t["A_B"], 0, "upper")]
            if "C_D" in t:  # Eq. (3): C (j, d, k)
                made += [(t["C_D"], 2, "lower")]
        return made


def loss_of(stage: Stage) -> Callable[[], torch.Tensor]:
    torch.manual_seed(1)
    x = torch.randn(4, 2, 5, 5, dtype=torch.float64)
    target = torch.randn(4, 3, dtype=torch.float64)
    return lambda: ((stage(x) - target) ** 2).mean()


class Softball(nn.Module):
    """u / sqrt(1 + |u|²/n), |u| over the components: it commutes with O(n) only."""

    def forward(self, u: torch.Tensor) -> torch.Tensor:
        return u * (1.0 + (u**2).mean(dim=1, keepdim=True)).rsqrt()


def flow(stage: Stage, time: float, steps: int, method: str = "rk4", decay: float = 0.0) -> None:
    """Integrate dθ/dt = −∂L/∂θ − λθ."""
    loss, theta = loss_of(stage), list(stage.parameters())
    dt = time / steps

    def speed(point: list[torch.Tensor]) -> list[torch.Tensor]:
        with torch.no_grad():
            for parameter, value in zip(theta, point, strict=True):
                parameter.copy_(value)
        found = torch.autograd.grad(loss(), theta, allow_unused=True, materialize_grads=True)
        return [-g - decay * p for g, p in zip(found, point, strict=True)]

    def moved(point: list[torch.Tensor], k: list[torch.Tensor], h: float) -> list[torch.Tensor]:
        return [p + h * v for p, v in zip(point, k, strict=True)]

    point = [p.detach().clone() for p in theta]
    for _ in range(steps):
        k1 = speed(point)
        if method == "euler":
            point = moved(point, k1, dt)
            continue
        k2 = speed(moved(point, k1, dt / 2))
        k3 = speed(moved(point, k2, dt / 2))
        k4 = speed(moved(point, k3, dt))
        parts = zip(k1, k2, k3, k4, strict=True)
        point = moved(point, [(a + 2 * b + 2 * c + d) / 6 for a, b, c, d in parts], dt)
    with torch.no_grad():
        for parameter, value in zip(theta, point, strict=True):
            parameter.copy_(value)


def drift(
    name: str, steps: int, method: str = "rk4", time: float = 1.0, n: int = 3
) -> torch.Tensor:
    """How Q differs from its start, shape `(n, n)`."""
    stage = Stage(name, n)
    before = stage_momentum(stage.slots()).detach().clone()
    start = [p.detach().clone() for p in stage.parameters()]
    flow(stage, time, steps, method)
    after = stage_momentum(stage.slots()).detach()
    # It says nothing where nothing moved.
    pairs = zip(start, (p.detach() for p in stage.parameters()), strict=True)
    assert max(float((p - q).abs().max()) for p, q in pairs) > 0.05
    return after - before


@pytest.mark.parametrize("name", ["eq7", "eq9"])
def test_all_of_q_is_conserved_by_gradient_flow_of_a_stage(name: str) -> None:
    # RK4: dt⁴ = 4e-7 for dt = 1/40, times rates of about 1 and a small constant; Euler leaves 1e-3.
    assert drift(name, 40).abs().max() < 1e-6


def test_of_eq3_the_diagonal_is_conserved_and_nothing_else() -> None:
    """Its group are the scalings, whose generators are diagonal."""
    stage = Stage("eq3", 3)
    block = stage.blocks[0]
    assert isinstance(block, pn.PDEBlock)
    generators = stabiliser(block).basis
    assert len(symmetric_generators(generators)) == 3
    before = stage_momentum(stage.slots()).detach().clone()
    flow(stage, 1.0, 40)
    change = stage_momentum(stage.slots()).detach() - before
    assert conserved_numbers(change, generators).abs().max() < 1e-6  # RK4, as above
    assert change.diagonal().abs().max() < 1e-6
    assert change.abs().max() > 1e-3


def test_the_hidden_index_of_eq3_conserves_a_number_of_its_own_for_each_direction() -> None:
    """A^a_ij s, C^a_jk / s: the norms of a column of A and of the row of C differ by a constant."""
    stage = Stage("eq3", 3)
    block = stage.blocks[0]
    assert isinstance(block, pn.PDEBlock)
    tensors = block.coefficients.tensors

    def difference() -> torch.Tensor:
        columns = tensors["A_B"].detach().square().sum(dim=0)  # (j, d)
        return columns - tensors["C_D"].detach().square().sum(dim=2)

    before = difference()
    flow(stage, 1.0, 40)
    assert (difference() - before).abs().max() < 1e-6  # RK4, as above


def test_the_drift_is_of_the_order_of_the_method() -> None:
    """RK4 keeps quadratic forms to dt⁴, here dt⁵ a step; Euler to dt."""
    coarse, fine = (float(drift("eq7", steps).norm()) for steps in (10, 20))
    assert 2**3.5 < coarse / fine < 2**5.5  # 2⁴, before the asymptotic range is quite reached
    coarse, fine = (float(drift("eq7", steps, "euler").norm()) for steps in (40, 80))
    assert 1.8 < coarse / fine < 2.2  # 2


def test_a_step_of_gradient_descent_adds_the_square_of_its_size_times_the_gradients_q() -> None:
    stage = Stage("eq7", 3)
    slots = stage.slots()
    before = stage_momentum(slots).detach().clone()
    loss_of(stage)().backward()
    size = 0.3
    gradients: Slots = []
    for tensor, axis, variance in slots:
        assert tensor.grad is not None
        gradients.append((tensor.grad, axis, variance))
    wanted = size**2 * stage_momentum(gradients)
    torch.optim.SGD(stage.parameters(), lr=size).step()
    assert wanted.abs().max() > 1e-4
    torch.testing.assert_close(
        stage_momentum(slots).detach() - before, wanted, rtol=0.0, atol=1e-13
    )  # rounding


@pytest.mark.parametrize("decay", [0.1, 0.5])
def test_weight_decay_makes_q_decay_exponentially(decay: float) -> None:
    stage = Stage("eq7", 3)
    before = stage_momentum(stage.slots()).detach().clone()
    flow(stage, 1.0, 40, decay=decay)
    after = stage_momentum(stage.slots()).detach()
    assert before.abs().max() > 0.1
    wanted = np.exp(-2.0 * decay) * before
    torch.testing.assert_close(after, wanted, rtol=0.0, atol=1e-6)  # RK4, as above


def test_a_radial_activation_leaves_nothing_conserved() -> None:
    """Softball commutes with O(n), whose generators are antisymmetric: Q moves."""
    stage = Stage("eq7", 3, Softball())
    before = stage_momentum(stage.slots()).detach().clone()
    flow(stage, 1.0, 40)
    assert (stage_momentum(stage.slots()) - before).abs().max() > 1e-3
    turns = np.stack([np.eye(3, k=1) - np.eye(3, k=-1), np.diag([1.0], 2) - np.diag([1.0], -2)])
    assert conserved_numbers(before, turns).shape == (0,)


def test_a_radial_activation_makes_the_gradient_orthogonal_to_turns() -> None:
    """What O(n) does give: S is symmetric, ⟨∂L/∂θ, X·θ⟩ = 0 for antisymmetric X."""
    for activation, is_symmetric, vanishes in ((None, True, True), (Softball(), True, False)):
        stage = Stage("eq7", 3, activation)
        loss_of(stage)().backward()
        total = torch.zeros(3, 3, dtype=torch.float64)
        for tensor, axis, variance in stage.slots():
            assert tensor.grad is not None
            theta, slope = (t.movedim(axis, 0).flatten(1) for t in (tensor.detach(), tensor.grad))
            total += theta @ slope.T if variance == "lower" else -(slope @ theta.T)
        assert bool((total - total.T).abs().max() < 1e-13) == is_symmetric  # rounding
        assert bool(total.abs().max() < 1e-13) == vanishes


def test_two_linear_layers_keep_their_balance() -> None:
    """W₂ᵀW₂ − W₁W₁ᵀ, of Arora, Cohen & Hazan (2018), and its tensors of any rank."""
    first, second = torch.randn(3, 4), torch.randn(2, 3)
    wanted = second.T @ second - first @ first.T
    torch.testing.assert_close(momentum([(second, 1)], [(first, 0)]), wanted)
    tensor = torch.randn(2, 3, 4)
    torch.testing.assert_close(gram(tensor, 1), torch.einsum("ijk,ipk->jp", tensor, tensor))
    torch.testing.assert_close(gram(tensor, -1), gram(tensor, 2))
    read = [(lambda: second, 1, 1), (lambda: first, 0, -1)]
    torch.testing.assert_close(stage_momentum(read), wanted)
    vector = torch.randn(3)
    torch.testing.assert_close(gram(vector, 0), torch.outer(vector, vector))


def test_symmetric_generators_are_those_of_the_group() -> None:
    n = 4
    units = np.eye(n * n).reshape(-1, n, n)
    assert len(symmetric_generators(units)) == n * (n + 1) // 2  # GL(n)
    assert len(symmetric_generators(units - units.swapaxes(1, 2))) == 0  # O(n)
    assert len(symmetric_generators(units[:: n + 1])) == n  # scalings
    lower = units[[k for k in range(n * n) if k // n >= k % n]]
    assert len(symmetric_generators(lower)) == n  # triangular: of these only the diagonal
    mixed = symmetric_generators(np.stack([units[1] + units[2], units[4] + units[8], units[3]]))
    wanted = units[1] + units[2] + units[4] + units[8]
    np.testing.assert_allclose(np.abs(mixed), wanted[None] / 2.0, atol=1e-12)  # rounding


def test_what_has_no_momentum_is_refused() -> None:
    square = torch.eye(2)
    with pytest.raises(pn.SymmetryError, match="axis 2"):
        gram(square, 2)
    with pytest.raises(pn.SymmetryError, match="got none"):
        momentum()
    with pytest.raises(pn.SymmetryError, match="'up'"):
        stage_momentum([(square, 0, "up")])
    with pytest.raises(pn.SymmetryError, match="2 and then 3"):
        momentum([(square, 0)], [(torch.eye(3), 0)])
    with pytest.raises(pn.SymmetryError, match="square"):
        symmetric_generators(np.zeros((2, 2)))
    with pytest.raises(pn.SymmetryError, match="size of Q"):
        conserved_numbers(square, np.eye(3)[None])
