"""Gradients of networks: the derivative of what is computed, for every parameter and the state.

gradcheck compares with central differences of step 1e-6, whose own error is near 1e-10 for states
of size 1; torch's defaults (atol 1e-5) are tightened to 1e-7. Networks here have both directions of
differentiation, moving walls, fluxes, contractions and every kind of trainable tensor.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any  # options of a network, and torch's dispatched functions

import numpy as np
import pytest
import sympy as sp
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import pdenet as pn
from pdenet.network.network import Network
from tests.laws.drawing import t, x, y
from tests.laws.test_network import catalogue_values
from tests.strategies import periodic
from tests.tiers import Each

GRID = pn.Grid(x=(-1, 1, 5), y=(0, 3, 6))
_g = sp.Symbol("g")
MOVING = pn.Boundary(
    x=(pn.Dirichlet(_g * sp.sin(3 * t) * y), pn.Free()),
    y=(pn.Neumann(t * x), pn.Robin(1, 2, _g * x)),
)
STILL = pn.Boundary(x=(pn.Dirichlet(0), pn.Neumann(0)), y=(pn.Robin(1, 2, 0), pn.Free()))
TORUS = periodic(2)
START = 0.25

_u = sp.Function("u")(t, x, y)
_k = sp.Function("k")(x, y)
_FLUX = pn.PDE(sp.Eq(_u.diff(t), pn.D(_k * _u.diff(x), x) + _k * _u.diff(y, 2)))
_MATRICES = {
    "A": np.array([[1.0, 0.3], [0.3, -0.7]]),
    "B": np.array([[-0.4, 0.1], [0.1, 1.2]]),
}


@dataclass(frozen=True)
class Case:
    """An equation with what a network of it needs."""

    pde: pn.PDE
    boundary: pn.Boundary
    values: Mapping[str, Any] = field(default_factory=dict)
    how: Mapping[str, Any] = field(default_factory=dict)

    def network(self, **how: Any) -> Network:
        """A float64 network of two steps, trainable unless told otherwise."""
        given = {"steps": 2, "dt": 0.01, "space": "central2", "stability": "ignore"}
        given |= {"dtype": torch.float64, "trainable": True, **self.how, **how}
        return self.pde.to_network(GRID, self.boundary, values=self.values, **given)


CASES = {
    "heat, moving walls": Case(pn.catalogue["heat"], MOVING, {"g": 0.7}, {"stepper": "rk4"}),
    "wave, moving walls": Case(pn.catalogue["wave"], MOVING, {"g": 0.7}, {"stepper": "leapfrog"}),
    "Burgers": Case(pn.catalogue["burgers_2d"], MOVING, {"g": 0.7}, {"stepper": "heun"}),
    "flux": Case(_FLUX, MOVING, {"g": 0.7, "k": 2 + sp.sin(x * y)}, {"stepper": "euler"}),
    "eq3": Case(pn.catalogue["eq3"], TORUS, catalogue_values(pn.catalogue["eq3"])),
    "eq7": Case(pn.catalogue["eq7"], STILL, catalogue_values(pn.catalogue["eq7"])),
    "upwind": Case(
        pn.catalogue["eq9"], TORUS, _MATRICES, {"space": "upwind", "stepper": "euler"}
    ),
    "Lax-Friedrichs": Case(
        pn.catalogue["wave_first_order"], TORUS, {},
        {"space": "lax_friedrichs", "stepper": "euler"},
    ),
}  # fmt: skip
"""One network for each way through the compiler; `test_forms.py` transforms the same."""


def states(net: Network, batch: int = 1, seed: int = 0) -> torch.Tensor:
    """States of size 1 that are not symmetric, away from 0."""
    shape = (batch, len(net.components), *GRID.shape)
    generator = torch.Generator().manual_seed(seed)
    return 0.5 + torch.rand(shape, generator=generator, dtype=torch.float64).to(net.dtype)


def as_function(net: Network) -> tuple[list[str], list[torch.Tensor], Callable[..., torch.Tensor]]:
    """The names and values of all parameters, and the network as a function of them and u."""
    names = [name for name, _ in net.named_parameters()]
    values = [p.detach().clone() for p in net.parameters()]

    def function(u: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        given = dict(zip(names, parameters, strict=True))
        made: torch.Tensor = torch.func.functional_call(net, given, (u, START))
        return made

    return names, values, function


# Correct -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_difference_quotients(name: str) -> None:
    net = CASES[name].network()
    _, values, function = as_function(net)
    inputs = [one.requires_grad_() for one in (states(net), *values)]
    assert torch.autograd.gradcheck(function, inputs, eps=1e-6, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_taylor_remainders_are_of_second_order_in_the_state_and_each_parameter(name: str) -> None:
    """|J(p + hd) − J(p) − h ∇J·d| falls by 4 when h halves, of J = ½‖net‖².

    It is c₂h² + c₃h³ + …; at h = 2⁻¹¹ the second term is some 2⁻¹¹ of the first, 0.001 in the
    order, and rounding is 1e-16/h² = 4e-10 of it, so that the order is 2.00 to far below 0.02.
    """
    net = CASES[name].network()
    names, values, function = as_function(net)
    inputs = [states(net), *values]
    for place, label in enumerate(["the state", *names]):

        def objective(moved: torch.Tensor, place: int = place) -> torch.Tensor:
            return 0.5 * function(*inputs[:place], moved, *inputs[place + 1 :]).square().sum()

        start = inputs[place].clone().requires_grad_()
        value = objective(start)
        (gradient,) = torch.autograd.grad(value, start)
        generator = torch.Generator().manual_seed(1)
        direction = torch.randn(start.shape, generator=generator, dtype=start.dtype)
        with torch.no_grad():
            remainders = [
                abs(
                    float(objective(start + h * direction) - value)
                    - h * float((gradient * direction).sum())
                )
                for h in (2.0**-11, 2.0**-12)
            ]
        order = math.log2(remainders[0] / remainders[1])
        assert abs(order - 2) < 0.02, (label, order, remainders)


@pytest.mark.parametrize("name", pn.catalogue)
def test_every_parameter_of_the_catalogue_receives_a_gradient(name: str) -> None:
    """And one that is not 0, at a random state under random weights."""
    pde = pn.catalogue[name]
    axes = pde.system.axes
    grid = pn.Grid(**dict(zip(axes, ((-1, 1, 9), (0, 3, 10)), strict=False)))
    net = pde.to_network(
        grid, periodic(len(axes)), values=catalogue_values(pde), steps=2, dt=0.001,
        dtype=torch.float64, trainable=True,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    shape = (1, len(net.components), *grid.shape)
    u, w = (torch.rand(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    (net(u, START) * w).sum().backward()
    assert len(net.quantities()) == len(list(net.parameters())) > 0
    # 1e-14: a gradient of nothing but rounding would be smaller, these are sums of 90 nodes.
    missing = [
        name
        for name, p in net.named_parameters()
        if p.grad is None or not p.grad.abs().max() > 1e-14
    ]
    assert not missing


# Forward and reverse -----------------------------------------------------------------------------


_LINEAR = {
    "heat": (Case(pn.catalogue["heat"], STILL, {}, {"stepper": "rk4"}), 0.02),
    "wave": (Case(pn.catalogue["wave"], STILL, {}, {"stepper": "leapfrog"}), 0.05),
    "flux": (Case(_FLUX, STILL, {"k": 1 + x**2}, {"stepper": "heun"}), 0.005),
    "first order": (Case(pn.catalogue["wave_first_order"], TORUS, {}, {"stepper": "rk4"}), 0.05),
    "upwind": (CASES["upwind"], 0.05),
}


@pytest.mark.parametrize("name", _LINEAR)
def test_reverse_mode_is_the_adjoint_of_200_linear_steps(name: str) -> None:
    """⟨Lu, v⟩ = ⟨u, Lᵀv⟩ to 1e-12 ‖Lu‖‖v‖: roundings of 200 steps, each a few eps."""
    case, dt = _LINEAR[name]
    net = case.network(steps=200, dt=dt, trainable=False)
    u, v = states(net, seed=1), states(net, seed=2)
    made, pull = torch.func.vjp(net, u)[:2]
    (back,) = pull(v)
    assert torch.equal(net(torch.zeros_like(v)), torch.zeros_like(v))  # linear, not affine
    left, right = float((made * v).sum()), float((u * back).sum())
    assert abs(left - right) <= 1e-12 * float(made.norm() * v.norm()), (left, right)


@pytest.mark.filterwarnings("ignore:.*jit.*:DeprecationWarning")
@pytest.mark.parametrize("name", CASES)
def test_forward_and_reverse_derivatives_agree(name: str) -> None:
    """⟨Jv, w⟩ = ⟨v, Jᵀw⟩ in the state and all parameters at once: two steps, 1e-13."""
    net = CASES[name].network()
    _, values, function = as_function(net)
    inputs = (states(net), *values)
    generator = torch.Generator().manual_seed(2)
    directions = tuple(
        torch.randn(one.shape, generator=generator, dtype=one.dtype) for one in inputs
    )
    made, along = torch.func.jvp(function, inputs, directions)[:2]
    w = torch.randn(made.shape, generator=generator, dtype=made.dtype)
    pull = torch.func.vjp(function, *inputs)[1]
    products = [float((d * g).sum()) for d, g in zip(directions, pull(w), strict=True)]
    size = float(along.norm() * w.norm()) + sum(map(abs, products))
    assert abs(float((along * w).sum()) - sum(products)) <= 1e-13 * size


# Checkpoints and truncation ----------------------------------------------------------------------


def gradients(
    net: Network, advance: Callable[[torch.Tensor], torch.Tensor]
) -> list[torch.Tensor | None]:
    """Of Σ net² in the state and all parameters."""
    u = states(net, 2).requires_grad_()
    inputs = [u, *net.parameters()]
    return list(torch.autograd.grad(advance(u).square().sum(), inputs, allow_unused=True))


@pytest.mark.parametrize("name", CASES)
def test_checkpoints_leave_every_gradient_as_it_is(name: str, each: Each) -> None:
    """Bit for bit: the same steps are computed again, in the same order."""
    net = CASES[name].network()
    plain = gradients(net, lambda u: net.advance(u, START, steps=7))
    for every, held in each([1, 3, 7, 9]):
        with held:
            kept = gradients(net, partial(net.advance, t=START, steps=7, checkpoint_every=every))
            for one, other in zip(plain, kept, strict=True):
                assert one is not None
                assert other is not None
                torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("checkpoint_every", [None, 2])
@pytest.mark.parametrize(("every", "last"), [(3, 1), (2, 1), (7, 7), (4, 3), (9, 7)])
def test_truncation_cuts_the_graph_after_every_so_many_steps(
    every: int, last: int, checkpoint_every: int | None
) -> None:
    """Of seven steps the last stretch is seen: what stays of 7 after whole stretches.

    The weights that no time enters are shared with the steps before the cut, so that no more than
    roundings differ, 1e-12 of gradients near 1.
    """
    net = CASES["Burgers"].network()

    def by_hand(u: torch.Tensor) -> torch.Tensor:
        if last < 7:
            u = net.advance(u, START, steps=7 - last).detach()
        return net.advance(u, START + (7 - last) * net.dt, steps=last)

    def truncated(u: torch.Tensor) -> torch.Tensor:
        return net.advance(
            u, START, steps=7, truncate_every=every, checkpoint_every=checkpoint_every
        )

    expected, found = gradients(net, by_hand), gradients(net, truncated)
    assert (found[0] is None) == (last < 7)  # the first state is cut off
    for one, other in zip(expected, found, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_truncation_leaves_the_forward_result_as_it_is() -> None:
    net = CASES["heat, moving walls"].network()
    u = states(net)
    plain = net.advance(u, START, steps=7)
    cut = net.advance(u, START, steps=7, truncate_every=2, checkpoint_every=3)
    torch.testing.assert_close(plain, cut, rtol=0, atol=0)


# Memory ------------------------------------------------------------------------------------------


class _Peak(TorchDispatchMode):
    """The largest number of bytes of tensors that are alive at once, of those made inside."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's
        self.now = self.peak = 0
        self.seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in made if isinstance(made, tuple | list) else (made,):
            if isinstance(one, torch.Tensor):
                self._note(one.untyped_storage())
        return made

    def _note(self, storage: Any) -> None:
        key = storage._cdata
        if key in self.seen:
            return
        size = storage.nbytes()
        self.seen.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)

        def gone() -> None:
            self.seen.discard(key)
            self.now -= size

        weakref.finalize(storage, gone)


@cache
def peak(steps: int, every: int | None) -> int:
    """Bytes at the peak of a forward and a backward pass, on a grid of 64 × 64."""
    grid = pn.Grid(x=(0, 1, 64), y=(0, 1, 64))
    net = pn.catalogue["burgers_2d"].to_network(
        grid, periodic(2), dt=1e-4, stepper="rk4", space="central2", trainable=True
    )
    u = torch.rand(1, 2, *grid.shape, requires_grad=True)
    with _Peak() as watch:
        net.advance(u, steps=steps, checkpoint_every=every).square().sum().backward()
    return watch.peak


def test_checkpoints_at_the_square_root_of_the_steps_make_memory_grow_like_it() -> None:
    """Four times the steps: four times the bytes without, twice with √steps checkpoints.

    Both have a part that does not grow, so that they stay below 4 and 2; a state beside a step's
    graph, which is 20 states and more, keeps the second from exceeding 2.
    """
    plain = peak(36, None) / peak(9, None)
    rooted = peak(36, 6) / peak(9, 3)
    assert 3.5 < plain <= 4, plain
    assert 1.5 < rooted <= 2, rooted
    assert peak(36, 6) < peak(36, None) / 5


def test_with_segments_of_one_length_each_further_step_costs_less_than_a_state() -> None:
    """A segment of 3 keeps one state in three steps; a plain roll-out keeps the graphs of all."""
    state = 2 * 64 * 64 * 4
    plain = (peak(36, None) - peak(9, None)) / 27
    segmented = (peak(36, 3) - peak(9, 3)) / 27
    assert segmented <= state / 2, segmented / state
    assert plain > 10 * state, plain / state
