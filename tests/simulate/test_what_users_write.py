"""Ways of writing that a user of SymPy expects to work: keys, functions, images, coefficients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy as sp
import torch
from PIL import Image

import pdenet as pn
from pdenet.errors import BackendError, BoundaryError, InitialStateError, ParseError, ValuesError

t, x = pn.coordinates("t x")
u = pn.fields("u", (t, x))
GRID = pn.Grid(x=(0, 1, 12))
RING = pn.Boundary(x=pn.Periodic())


def test_a_coefficient_function_is_named_by_itself_applied_or_not() -> None:
    k = sp.Function("k")
    pde = pn.PDE(sp.Eq(u.diff(t), pn.D(k(x) * u.diff(x), x)))
    states = [
        pde.to_solver(GRID, RING, values={key: 2}).run(sp.sin(2 * sp.pi * x), until=1e-3).final
        for key in (k, k(x), "k")
    ]
    assert np.array_equal(states[0], states[1])
    assert np.array_equal(states[0], states[2])


def test_the_rate_of_a_wave_is_named_by_its_derivative() -> None:
    wave = pn.PDE(sp.Eq(u.diff(t, 2), u.diff(x, 2)))
    solver = wave.to_solver(GRID, RING)
    by_derivative = solver.initial_state({u: 1, u.diff(t): 2})
    assert np.array_equal(by_derivative, solver.initial_state({"u": 1, "u_t": 2}))


def test_a_coefficient_may_depend_on_time() -> None:
    """u_t = −c(t) u with c = 2t: u = exp(−t²)."""
    c = sp.Function("c")(t)
    pde = pn.PDE(sp.Eq(u.diff(t), -c * u))
    result = pde.to_solver(GRID, RING, values={"c": 2 * t}, stepper="rk4", dt=0.05).run(1, until=1)
    np.testing.assert_allclose(result.final, math.exp(-1), rtol=1e-6)  # RK4: 0.05⁴ ≈ 6e-6


@pytest.mark.parametrize("name", ["sec", "csc", "cot", "sech", "csch", "coth"])
def test_reciprocal_functions_are_read(name: str) -> None:
    solver = pn.catalogue.build("heat", dimension=1).to_solver(pn.Grid(x=(0.5, 1, 9)), RING)
    nodes = solver.grid.nodes(solver.boundary)[0]
    function = getattr(sp, name)
    expected = [float(function(node)) for node in nodes]
    for written in (function(x), pn.parse_expression(f"{name}(x)")):
        np.testing.assert_allclose(solver.initial_state(written)[0], expected, rtol=1e-14)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_the_error_function_is_computed(backend: str) -> None:
    pde = pn.PDE(sp.Eq(u.diff(t), sp.erf(u)))
    solver = pde.to_solver(GRID, RING, stepper="euler", dt=0.5, backend=backend, stability="ignore")
    final = solver.run(0.3, until=0.5, every=0.5).final
    np.testing.assert_allclose(final, 0.3 + 0.5 * math.erf(0.3), rtol=1e-15)


def test_a_special_function_in_text_is_not_taken_for_a_coefficient() -> None:
    with pytest.raises(ParseError, match="besselj"):
        pn.parse("u_t = besselj(x)*u_xx")


def test_the_components_of_a_vector_field_come_as_a_sequence() -> None:
    i, j = pn.indices("i j")
    field, a = pn.VectorField("u", 2, (t, x)), pn.Coefficient("A", (2, 2))
    pde = pn.PDE(sp.Eq(field[i].diff(t), a[i, j] * field[j].diff(x)))
    solver = pde.to_solver(GRID, RING, values={a: [[0, 1], [1, 0]]})
    state = solver.initial_state([sp.sin(x), 0])
    np.testing.assert_allclose(state[0], np.sin(solver.grid.nodes(RING)[0]), rtol=1e-15)
    assert not state[1].any()


def test_a_picture_is_an_initial_state() -> None:
    pixels = np.arange(30, dtype=np.uint8).reshape(5, 6)
    grid = pn.Grid(x=(0, 1, 6), y=(0, 1, 5))
    solver = pn.catalogue["heat"].to_solver(grid, pn.Boundary(x=pn.Neumann(0), y=pn.Neumann(0)))
    state = solver.initial_state(Image.fromarray(pixels))
    assert np.array_equal(state[0], pixels.astype(float))


def test_refused_with_a_hint() -> None:
    heat = pn.catalogue.build("heat", dimension=1)
    with pytest.raises(ValuesError, match="Did you mean 'D'"):
        heat.to_solver(GRID, RING, values={"d": 1})
    with pytest.raises(BoundaryError, match=r"got u\(t, x\)"):
        heat.to_solver(GRID, pn.Boundary(x=pn.Dirichlet(u)))
    with pytest.raises(ValuesError, match="mapping"):
        heat.to_solver(GRID, RING, values=[0.1])
    batch = np.zeros((3, 1, 12))
    with pytest.raises(InitialStateError, match=r"solver\.advance"):
        heat.to_solver(GRID, RING).run(batch, until=1)


def test_numpy_refuses_to_drop_a_gradient() -> None:
    diffusivity = torch.tensor(0.1, requires_grad=True)
    heat = pn.catalogue.build("heat", dimension=1)
    with pytest.raises(BackendError, match="requires_grad"):
        heat.to_solver(GRID, RING, values={"D": diffusivity})
    heat.to_solver(GRID, RING, values={"D": diffusivity.detach()})


def test_a_wall_that_tracks_gradients_needs_the_torch_back_end() -> None:
    """NumPy would drop them, and a fit of the wall's value would stand still."""
    value = torch.tensor(1.0, requires_grad=True)
    pde = pn.catalogue.build("heat", dimension=1)
    walls = pn.Boundary(x=(pn.Dirichlet(value), pn.Neumann(0)))
    grid = pn.Grid(x=(0, 1, 9))
    with pytest.raises(BackendError, match="requires_grad for a boundary value of 'u'"):
        pde.to_solver(grid, walls, values={"D": 1})
    made = pde.to_solver(grid, walls, values={"D": 1}, backend="torch")
    made.step(torch.zeros(1, 9, dtype=torch.float64)).sum().backward()
    assert value.grad is not None
    assert float(value.grad) > 0
