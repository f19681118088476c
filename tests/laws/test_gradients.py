"""Gradients flow through the torch back end, and are the derivative of what is computed.

gradcheck compares with central differences of step 1e-6 in float64, whose own error is near 1e-10
for states of size 1; torch's defaults (atol 1e-5) are tightened to 1e-7. The dot-product test
compares forward with reverse mode, which share no code but the program itself: ⟨Jv, w⟩ = ⟨v, Jᵀw⟩.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy as sp
import torch

from pdenet.discrete.boundary import Boundary, Dirichlet, Neumann, Periodic, Robin
from pdenet.discrete.grid import Grid
from pdenet.equation.catalogue import catalogue
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import Coefficient, D, Index, VectorField, coordinates
from tests.laws.direct import integrator

t, x, y = coordinates("t x y")
GRID = Grid(x=(0, 1, 5), y=(0, 1, 6))
g, a = sp.symbols("g a")
_u = sp.Function("u")(t, x, y)
_k = sp.Function("k")(x, y)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    made = np.random.default_rng(seed).uniform(0.5, 1.5, shape)
    return torch.tensor(made, requires_grad=True)


def check(function: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> None:
    assert torch.autograd.gradcheck(function, inputs, eps=1e-6, atol=1e-7, rtol=1e-6)


def solved(pde: PDE, boundary: Boundary, values: dict[str, Any], **how: Any) -> Any:
    return integrator(pde, GRID, boundary, values, backend="torch", **how)


# Each row: equation, boundary, what `values` holds, stepper, space.
_CASES: dict[str, tuple[PDE, Boundary, dict[str, torch.Tensor], str, str]] = {
    "diffusivity": (
        catalogue["heat"], Boundary(x=Periodic(), y=Neumann(0)), {"D": random()}, "rk4", "central2",
    ),
    "Dirichlet value": (
        catalogue["heat"], Boundary(x=Dirichlet(g), y=Periodic()),
        {"D": random(), "g": random(seed=1)}, "heun", "central2",
    ),
    "Neumann value that varies": (
        catalogue["heat"], Boundary(x=Neumann(g * sp.sin(y) + t), y=Dirichlet(g * x)),
        {"D": random(), "g": random(seed=1)}, "euler", "central4",
    ),
    "Robin value": (
        catalogue["heat"], Boundary(x=Robin(1, 2, g), y=Periodic()),
        {"D": random(), "g": random(seed=1)}, "ssprk3", "central2",
    ),
    "wave speed": (
        catalogue["wave"], Boundary(x=Dirichlet(g * sp.sin(t)), y=Periodic()),
        {"c": random(), "g": random(seed=1)}, "leapfrog", "central2",
    ),
    "coefficient array in a flux": (
        PDE(sp.Eq(_u.diff(t), D(_k * _u.diff(x), x) + D(_k * _u.diff(y), y))),
        Boundary(x=Neumann(0), y=Periodic()), {"k": random(6, 5)}, "heun", "central2",
    ),
    "speed under upwind": (
        catalogue["advection"], Boundary(x=Periodic(), y=Periodic()),
        {"cx": random(), "cy": random(seed=1)}, "euler", "upwind",
    ),
    "nonlinear": (
        catalogue["burgers_2d"], Boundary(x=Dirichlet(0.5), y=Periodic()),
        {"nu": random()}, "rk4", "central2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", _CASES)
def test_gradients_reach_the_state_and_every_parameter(name: str) -> None:
    pde, boundary, values, stepper, space = _CASES[name]
    names = list(values)
    grid = Grid(x=(0, 1, 9), y=(0, 1, 8)) if space == "central4" else GRID
    state = random(len(pde.fields), *grid.shape, seed=5)

    def advanced(u: torch.Tensor, *parts: torch.Tensor) -> torch.Tensor:
        solver = integrator(
            pde, grid, boundary, dict(zip(names, parts, strict=True)),
            backend="torch", stepper=stepper, space=space, dt=0.002,
        )  # fmt: skip
        made: torch.Tensor = solver.advance(u, 0.006)
        return made

    check(advanced, state, *values.values())


def test_gradients_reach_values_given_as_tensors_in_the_boundary() -> None:
    def stepped(low: torch.Tensor, slope: torch.Tensor, side: torch.Tensor) -> torch.Tensor:
        boundary = Boundary(
            x=(Dirichlet(low), Neumann(slope)), y=(Neumann(side), Robin(1, 2, side))
        )
        solver = integrator(catalogue["heat"], GRID, boundary, backend="torch", dt=0.01)
        made: torch.Tensor = solver.advance(random(1, 6, 5).detach(), 0.02)
        return made

    check(stepped, random(6, seed=1), random(seed=2), random(5, seed=3))


_n = sp.Symbol("n", integer=True, positive=True)
_i, _j = Index("i"), Index("j")
_U = VectorField("u", _n, (t, x, y))
_A, _B = (Coefficient(s, (_n, _n)) for s in "AB")
_LINEAR = PDE(sp.Eq(_U[_i].diff(t), _A[_i, _j] * _U[_j].diff(x) + _B[_i, _j] * _U[_j].diff(y)))


@pytest.mark.parametrize("space", ["central2", "upwind", "lax_friedrichs"])
def test_gradients_reach_coefficient_tensors_through_the_absolute_matrix(space: str) -> None:
    """Upwind makes |A| = R |Λ| R⁻¹ from A; its eigenvalues here are apart and not 0."""

    def stepped(one: torch.Tensor, other: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        solver = solved(_LINEAR, _PERIODIC, {"A": one, "B": other}, space=space, dt=0.02)
        made: torch.Tensor = solver.advance(u, 0.04)
        return made

    matrices = [
        torch.tensor([[1.0, 0.3], [0.2, -0.7]], dtype=torch.float64, requires_grad=True),
        torch.tensor([[-0.4, 0.1], [0.5, 1.2]], dtype=torch.float64, requires_grad=True),
    ]
    check(stepped, *matrices, random(2, 6, 5))


def test_gradients_reach_parameters_through_an_absolute_matrix_of_scalars() -> None:
    c = sp.Symbol("c")
    p, q = (sp.Function(s)(t, x, y) for s in "pq")
    pde = PDE(sp.Eq(p.diff(t), c**2 * q.diff(x)), sp.Eq(q.diff(t), p.diff(x) + c * q.diff(x)))

    def stepped(speed: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        solver = solved(pde, _PERIODIC, {"c": speed}, space="upwind", dt=0.02)
        made: torch.Tensor = solver.step(u)
        return made

    check(stepped, random(), random(2, 6, 5, seed=1))


_PERIODIC = Boundary(x=Periodic(), y=Periodic())


def test_a_batch_has_the_gradients_of_its_states() -> None:
    solver = solved(catalogue["burgers_2d"], _PERIODIC, {"nu": 0.1}, stepper="rk4", dt=0.01)
    batch = random(3, 2, 6, 5)
    (together,) = torch.autograd.grad(solver.advance(batch, 0.05).square().sum(), batch)
    for k in range(3):
        one = batch[k].detach().clone().requires_grad_()
        (alone,) = torch.autograd.grad(solver.advance(one, 0.05).square().sum(), one)
        torch.testing.assert_close(together[k], alone, rtol=0, atol=1e-14)


_LONG = {
    "heat": (catalogue["heat"], Boundary(x=Dirichlet(1), y=Neumann(0.5)), {"D": 0.2}, "rk4", 0.02),
    "wave": (catalogue["wave"], Boundary(x=Dirichlet(0), y=Robin(1, 1, 0)), {}, "leapfrog", 0.05),
    "wave_first_order": (catalogue["wave_first_order"], _PERIODIC, {}, "rk4", 0.05),
    "burgers_2d": (catalogue["burgers_2d"], _PERIODIC, {"nu": 0.1}, "ssprk3", 0.01),
    "shallow_water": (catalogue["shallow_water"], _PERIODIC, {}, "rk4", 0.01),
}


@pytest.mark.filterwarnings("ignore:.*jit.*:DeprecationWarning")
# The quick tier: a splitting between walls, and a nonlinear equation by stages on a torus.
@pytest.mark.parametrize(
    "name",
    [n if n in ("wave", "burgers_2d") else pytest.param(n, marks=pytest.mark.deep) for n in _LONG],
)
def test_forward_and_reverse_derivatives_agree_over_200_steps(name: str) -> None:
    """⟨Jv, w⟩ = ⟨v, Jᵀw⟩ to 1e-12 of ‖Jv‖‖w‖: sums of 200 steps' roundings, each an eps."""
    pde, boundary, values, stepper, dt = _LONG[name]
    solver = solved(pde, boundary, values, stepper=stepper, dt=dt)
    shape = (len(pde.fields), *GRID.shape)
    generator = torch.Generator().manual_seed(0)
    v, w = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    start = 0.1 * torch.randn(shape, generator=generator, dtype=torch.float64)

    def advanced(u: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = solver.advance(u, 200 * dt)
        return made

    forward = torch.func.jvp(advanced, (start,), (v,))[1]
    tracked = start.clone().requires_grad_()
    (backward,) = torch.autograd.grad(advanced(tracked), tracked, w)
    left, right = float((forward * w).sum()), float((v * backward).sum())
    size = float(forward.norm() * w.norm())
    assert size > 0
    assert abs(left - right) <= 1e-12 * size, (left, right)


def test_parameters_and_states_have_agreeing_derivatives_over_200_steps() -> None:
    """The same test for the diffusivity, a wall's value and a coefficient array at once."""
    pde = PDE(sp.Eq(_u.diff(t), a * D(_k * _u.diff(x), x) + a * _u.diff(y, 2)))
    boundary = Boundary(x=(Dirichlet(g), Neumann(g)), y=Periodic())
    state = random(1, 6, 5).detach()

    def advanced(*parts: torch.Tensor) -> torch.Tensor:
        values = dict(zip("agk", parts, strict=True))
        solver = solved(pde, boundary, values, stepper="heun", dt=0.005)
        made: torch.Tensor = solver.advance(state, 1.0)
        return made

    inputs = (random(seed=1), random(seed=2), random(6, 5, seed=3))
    directions = tuple(random(*one.shape, seed=7).detach() for one in inputs)
    w = random(1, 6, 5, seed=9).detach()
    made = advanced(*inputs)
    backward = torch.autograd.grad(made, inputs, w)
    right = sum(float((v * b).sum()) for v, b in zip(directions, backward, strict=True))
    plain = tuple(one.detach() for one in inputs)
    with torch.autograd.forward_ad.dual_level():
        duals = [
            torch.autograd.forward_ad.make_dual(p, v)
            for p, v in zip(plain, directions, strict=True)
        ]
        forward = torch.autograd.forward_ad.unpack_dual(advanced(*duals)).tangent
    left = float((forward * w).sum())
    assert abs(left - right) <= 1e-12 * float(forward.norm() * w.norm()), (left, right)


def test_gradients_do_not_change_the_forward_result() -> None:
    plain = solved(catalogue["heat"], _PERIODIC, {"D": 0.3}, dt=0.01)
    tracked = solved(
        catalogue["heat"], _PERIODIC,
        {"D": torch.tensor(0.3, dtype=torch.float64, requires_grad=True)}, dt=0.01,
    )  # fmt: skip
    state = random(1, 6, 5).detach()
    first, second = plain.advance(state, 0.1), tracked.advance(state, 0.1)
    torch.testing.assert_close(first, second.detach(), rtol=0, atol=1e-15)


def test_a_value_that_training_changes_is_read_anew_by_the_next_step() -> None:
    diffusivity = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    solver = solved(catalogue["heat"], _PERIODIC, {"D": diffusivity}, dt=0.01)
    state = random(1, 6, 5).detach()
    before = solver.step(state).detach()
    with torch.no_grad():
        diffusivity.mul_(3)
    after = solver.step(state).detach()
    again = solved(catalogue["heat"], _PERIODIC, {"D": 0.1 * 3}, dt=0.01).step(state)
    assert not torch.equal(before, after)
    torch.testing.assert_close(after, again, rtol=0, atol=1e-15)
