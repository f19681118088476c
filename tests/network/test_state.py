"""A state dict belongs to one equation on one grid; a network is built from plain numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import sympy as sp
import torch

import pdenet as pn
from pdenet.errors import NetworkError

t, x = pn.coordinates("t x")
u = pn.fields("u", (t, x))
a = sp.Symbol("a")
GRID = pn.Grid(x=(0, 1.3, 11))
RING = pn.Boundary(x=pn.Periodic())
DIFFUSION = pn.PDE(sp.Eq(u.diff(t), a * u.diff(x, 2)))
REACTION = pn.PDE(sp.Eq(u.diff(t), a * u.diff(x, 2) + sp.sin(u)))


def network(
    pde: pn.PDE = DIFFUSION,
    grid: pn.Grid = GRID,
    walls: pn.Boundary = RING,
    stepper: str = "euler",
    dt: float = 1e-3,
    value: float = 0.1,
    trainable: bool = False,
) -> pn.Network:
    return pde.to_network(
        grid, walls, values={"a": value}, stepper=stepper, dt=dt, trainable=trainable
    )


OTHERS: dict[str, Callable[[], pn.Network]] = {
    "another grid of the same spacing": lambda: network(grid=pn.Grid(x=(0, 2.6, 22))),
    "another stepper": lambda: network(stepper="rk4"),
    "another equation": lambda: network(REACTION),
    "other walls": lambda: network(walls=pn.Boundary(x=pn.Neumann(0))),
    "another time step": lambda: network(dt=2e-3),
}


@pytest.mark.parametrize("name", OTHERS)
def test_weights_of_another_network_are_refused(name: str) -> None:
    with pytest.raises(NetworkError, match=r"weights of a network .* build"):
        OTHERS[name]().load_state_dict(network().state_dict())


def test_weights_of_another_wall_value_are_refused() -> None:
    one, five = (network(walls=pn.Boundary(x=pn.Dirichlet(g))) for g in (1, 5))
    with pytest.raises(NetworkError, match="walls"):
        five.load_state_dict(one.state_dict())


def test_weights_go_between_fixed_and_trainable_networks_of_other_values() -> None:
    learner = network(value=0.4, trainable=True)
    learner.load_state_dict(network().state_dict())
    start = torch.rand(1, 1, 11, generator=torch.Generator().manual_seed(0))
    assert torch.equal(learner(start), network()(start))


def test_the_time_step_is_fixed() -> None:
    with pytest.raises(AttributeError):
        network().dt = 0.5  # type: ignore[misc]


def test_a_trainable_coefficient_under_a_divergence_is_the_array_of_a_solver() -> None:
    """An array is continued linearly beyond walls, where an expression would be evaluated."""
    coefficient = sp.Function("K")
    pde = pn.PDE(sp.Eq(u.diff(t), pn.D(coefficient(x) * u * u.diff(x), x)))
    nodes = GRID.nodes(pn.Boundary(x=pn.Free()))[0]
    options = {"dt": 1e-3, "stability": "ignore", "stepper": "euler"}
    walls = pn.Boundary(x=pn.Free())
    solver = pde.to_solver(GRID, walls, values={"K": np.exp(nodes)}, **options)
    net = pde.to_network(
        GRID, walls, values={"K": sp.exp(x)}, trainable=True, dtype="float64", **options
    )
    state = np.random.default_rng(0).normal(size=(1, 11))
    made = net(torch.as_tensor(state)[None]).detach().numpy()[0]
    # One step adds up fluxes of about e^1.3 · 3²/h² dt ≈ 2: 1e-14 is some 30 roundings of that.
    np.testing.assert_allclose(made, solver.step(state), rtol=0, atol=1e-14)


def test_a_rational_in_a_robin_condition_is_a_number() -> None:
    walls = pn.Boundary(x=pn.Robin(1, sp.Rational(1, 2), 0))
    state = np.random.default_rng(0).random((1, 11))
    net = DIFFUSION.to_network(GRID, walls, values={"a": 0.1}, dt=1e-3, dtype="float64")
    solver = DIFFUSION.to_solver(
        GRID, pn.Boundary(x=pn.Robin(1, 0.5, 0)), values={"a": 0.1}, dt=1e-3
    )
    made = net(torch.as_tensor(state)[None]).numpy()[0]
    # The same numbers, added in another order.
    np.testing.assert_allclose(made, solver.step(state), rtol=1e-14)


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "a value that asks for gradients": (
        lambda: DIFFUSION.to_network(
            GRID, RING, values={"a": torch.tensor(0.1, requires_grad=True)}, dt=1e-3
        ),
        "asks for gradients for 'a'",
    ),
    "a device that is not there": (
        lambda: DIFFUSION.to_network(GRID, RING, values={"a": 0.1}, dt=1e-3, device="nowhere"),
        "a device that torch has here",
    ),
    "one kernel": (
        lambda: DIFFUSION.to_network(
            GRID, RING, values={"a": 0.1}, dt=1e-3, trainable=["stencils.xx"]
        ),
        "kernels train together",
    ),
    "a function of time": (
        lambda: pn.PDE(sp.Eq(u.diff(t), u.diff(x, 2) + sp.Function("f")(t))).to_network(
            GRID, RING, values={"f": sp.sin(t)}, dt=1e-3, trainable=["f"]
        ),
        "depends on t",
    ),
    "a function that is differentiated": (
        lambda: pn.PDE(sp.Eq(u.diff(t), (sp.Function("K")(x) * u.diff(x)).diff(x))).to_network(
            GRID, RING, values={"K": 1 + x**2}, dt=1e-3, trainable=["K"]
        ),
        "which the equation differentiates",
    ),
    "a right side at no time": (
        lambda: network().right_side(torch.zeros(1, 1, 11), t="x"),
        "the time is a number",
    ),
    "an equation of half precision": (
        lambda: network().bfloat16().to_equation(),
        "float32 or float64",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_sense_is_refused(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(NetworkError, match=message):
        make()


def test_an_equation_with_an_imaginary_coefficient_is_refused() -> None:
    pde = pn.PDE(sp.Eq(u.diff(t), u.diff(x, 2) + sp.sqrt(a) * u))
    net = pde.to_network(GRID, RING, values={"a": 0.1}, dt=1e-3, trainable=True)
    with torch.no_grad():
        net.quantities()["a"].fill_(-1.0)
    with pytest.raises(NetworkError, match="real coefficients"):
        net.to_equation()
