"""A network says which equation it is: as it was built, and after anything in it has changed.

Two laws. The equation read back is the equation written, in canonical form: the same terms, with
prefactors that agree to the rounding of the network's dtype. And a solver for the equation read
back takes the network's step, which holds for changed networks too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any  # values of parameters, conditions, prefactors

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given
from hypothesis import strategies as st

import pdenet as pn
from pdenet.discrete.boundary import boundary_parameters, resolve
from pdenet.equation.functions import evaluate
from pdenet.equation.system import System, Term
from pdenet.equation.values import bind
from pdenet.network.network import Network
from pdenet.network.readback.reading import Reading
from tests.cover import by_turns, crossed
from tests.laws.direct import integrator
from tests.laws.drawing import (
    ALLOWED,
    EPS,
    KINDS,
    as_tensor,
    drawn_state,
    second_order_systems,
    walls,
)
from tests.laws.scale import step_scale
from tests.strategies import (
    Problem,
    advection_diffusion,
    anisotropic_diffusion,
    few_each,
    grids,
    hyperbolic_systems,
    parabolic_systems,
    periodic,
    quasi_linear_systems,
)
from tests.tiers import Each

pytestmark = pytest.mark.filterwarnings("ignore::pdenet.errors.BoundaryWarning")

START = 0.25
DTYPES = st.sampled_from(list(EPS))
SPACES = ("central2", "central4", "central6", "nine_point")


def network(problem: Problem, grid: pn.Grid, boundary: pn.Boundary, **how: Any) -> Network:
    chosen = {"stability": "ignore", "space": "central2", "stepper": "euler", "dt": 1 / 64, **how}
    chosen["dtype"] = getattr(torch, chosen.get("dtype", "float64"))
    return problem.pde.to_network(grid, boundary, values=problem.values, **chosen)


# The equation is the one that was written ---------------------------------------------------------


def prefactors(
    system: System, values: Mapping[str, Any], grid: pn.Grid, boundary: pn.Boundary
) -> dict[tuple[str, Term], tuple[np.ndarray, np.ndarray]]:
    """For each term without its prefactors: what these are, outside and inside of a flux.

    Prefactors are compared by their values at the nodes, with arbitrary fields: an array read from
    a network has no other form. Terms whose prefactor is 0 are left out.
    """
    rng = np.random.default_rng(5)
    environment: dict[str, Any] = {"t": START}
    environment |= dict(zip(grid.axes, grid.mesh(boundary), strict=True))
    for name in system.field_names:
        environment[name] = rng.uniform(0.5, 1.5, grid.shape)
    for p in system.parameters:
        if p.kind == "function" and np.ndim(values[p.name]):
            pairs = zip(grid.axes, grid.points, strict=True)
            shape = [n if a in p.arguments else 1 for a, n in pairs][::-1]
            environment[p.name] = np.reshape(values[p.name], shape)
        elif p.kind in ("scalar", "function"):
            environment[p.name] = values[p.name]
    made = {}
    for info, term in system.terms():
        bare = [replace(product, prefactor=sp.S.One) for product in term.products]
        key = Term(bare[0], term.axis, bare[1] if term.inner is not None else None)
        found = [
            np.broadcast_to(evaluate(product.prefactor, environment), grid.shape)
            for product in term.products
        ]
        if all(np.abs(one).max() > 0 for one in found):
            made[info.name, key] = (found[0], found[-1])
    return made


def with_sizes(system: System, sizes: Mapping[str, int]) -> System:
    """Put in numbers for symbolic sizes: a network knows its number of components."""
    table = {sp.Symbol(n, integer=True, positive=True): sp.Integer(k) for n, k in sizes.items()}
    return replace(
        system,
        fields=tuple(
            f if f.size is None else replace(f, size=f.size.xreplace(table)) for f in system.fields
        ),
    )


def check_same(problem: Problem, net: Network, reading: Reading, dtype: str) -> None:
    """The System of the reading has the terms of the equation with its values."""
    grid, boundary = net.grid, net.boundary
    bound = bind(problem.pde.system, problem.values)
    expected = prefactors(bound.system, bound.numbers, grid, boundary)
    found = prefactors(reading.pde.system, reading.values, grid, boundary)
    assert reading.pde.system.fields == with_sizes(bound.system, bound.sizes).fields
    assert found.keys() == expected.keys()
    for key, pair in expected.items():
        for mine, theirs in zip(found[key], pair, strict=True):
            # A prefactor is a product of a few rounded numbers, half an eps each, and in float32
            # of an array that a polynomial may be 4 eps away from. What is found is near 3 eps.
            allowed = 64 * EPS[dtype] * float(np.abs(theirs).max())
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=allowed)
    for name, tensor in bound.tensors.items():
        if np.asarray(tensor).dtype != object:
            np.testing.assert_array_equal(reading.values[name], np.asarray(tensor, dtype=dtype))
    assert reading.leftover == ()


def catalogue_problem(name: str) -> Problem:
    """An equation of the catalogue with its defaults, or with drawn tensors for two components."""
    pde = pn.catalogue[name]
    rng = np.random.default_rng(1)
    values: dict[str, Any] = {}
    count = len(pde.fields)
    for p in pde.parameters:
        if p.kind == "tensor":
            sizes = [int(s.xreplace({n: sp.Integer(2) for n in s.free_symbols})) for s in p.shape]
            values[p.name] = rng.integers(1, 7, sizes) / 7
            count = 2
    return Problem(pde, count, values, (), 0.25)


@pytest.mark.parametrize(("name", "space"), by_turns(pn.catalogue, SPACES))
def test_the_equation_read_back_is_the_one_of_the_catalogue(
    name: str, space: str, each: Each
) -> None:
    problem = catalogue_problem(name)
    axes = problem.pde.axes
    if space == "nine_point" and len(axes) != 2:
        space = "central2"  # the nine-point Laplacian is one of two dimensions
    # Equal spacings, as the nine-point Laplacian needs them; 1/7 and 2/7 are no short numbers.
    grid = pn.Grid(
        **{a: (0, 2, 14 - 3 * k if space != "nine_point" else 14) for k, a in enumerate(axes)}
    )
    for dtype, held in each(EPS):
        with held:
            net = network(problem, grid, periodic(len(axes)), space=space, dtype=dtype)
            reading = net.to_equation()
            check_same(problem, net, reading, dtype)
            assert reading.space is not None


FAMILIES = {
    "hyperbolic": lambda grid: hyperbolic_systems(grid.dimension),
    "parabolic": lambda grid: parabolic_systems(grid.dimension),
    "anisotropic": lambda grid: anisotropic_diffusion(grid.dimension),
    "advective": lambda grid: advection_diffusion(grid, divergence=False),
    "divergence": lambda grid: advection_diffusion(grid, divergence=True),
    "quasi-linear": lambda grid: quasi_linear_systems(grid.dimension),
    "second order": lambda grid: second_order_systems(grid.dimension),
}


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("family", FAMILIES)
@few_each
@given(data=st.data())
def test_the_equation_read_back_is_the_one_that_was_written(
    family: str, dimension: int, data: st.DataObject
) -> None:
    grid = data.draw(grids(dimension, 7, 8))
    problem = data.draw(FAMILIES[family](grid))
    space = data.draw(st.sampled_from(("central2", "central4", "central6")))
    dtype = data.draw(DTYPES)
    net = network(problem, grid, periodic(dimension), space=space, dtype=dtype)
    check_same(problem, net, net.to_equation(), dtype)


def test_the_comparison_can_fail() -> None:
    """A prefactor that is 1e-4 off, or a term too many, is found."""
    problem = catalogue_problem("advection_diffusion")
    grid = pn.Grid(x=(0, 2, 14), y=(0, 2, 11))
    net = network(problem, grid, periodic(2))
    for change in (1e-4, 1.0):
        other = network(problem, grid, periodic(2))
        with torch.no_grad():
            other.block.kernels.weights["x"][1, 1] += change
        with pytest.raises(AssertionError):
            check_same(problem, other, other.to_equation(), "float64")
        check_same(problem, net, net.to_equation(), "float64")


# Its solver takes the network's step --------------------------------------------------------------


def check_step(
    net: Network, reading: Reading, state: np.ndarray, dtype: str, stepper: str = "euler"
) -> None:
    """The solver for what was read takes the step of the network, 32 eps S off at most.

    Both round the same numbers; 32 eps S is what two orders of summation are allowed everywhere,
    see `test_backends.py`.
    """
    assert reading.space is not None
    u = state.astype(dtype)
    solver = integrator(
        reading.pde, net.grid, net.boundary, reading.values,
        stepper=stepper, space=reading.space, dt=net.dt, dtype=dtype,
    )  # fmt: skip
    expected = solver.step(u, START)
    with torch.no_grad():
        found = net(as_tensor(u)[None], START)[0].numpy()
    size = step_scale(solver, u, START, net.dt)
    np.testing.assert_array_less(np.abs(found - expected), ALLOWED * EPS[dtype] * size + 1e-300)


@pytest.mark.parametrize(("family", "dimension", "kind"), crossed(FAMILIES, [1, 2], KINDS))
@few_each
@given(data=st.data())
def test_the_solver_of_the_reading_takes_the_networks_step(
    family: str, dimension: int, kind: type, data: st.DataObject
) -> None:
    grid = data.draw(grids(dimension, 7, 8))
    boundary = data.draw(walls(grid, kind))
    problem = data.draw(FAMILIES[family](grid))
    space = data.draw(st.sampled_from(("central2", "central4")))
    state, dtype = drawn_state(data, problem, grid), data.draw(DTYPES)
    net = network(problem, grid, boundary, space=space, dtype=dtype, dt=1e-3)
    check_step(net, net.to_equation(), state, dtype)


@pytest.mark.parametrize(
    ("dimension", "space", "kind"), crossed([1, 2, 3], ["upwind", "lax_friedrichs"], KINDS)
)
@few_each
@given(data=st.data())
def test_terms_of_the_scheme_are_part_of_the_reading(
    dimension: int, space: str, kind: type, data: st.DataObject
) -> None:
    """Upwind differences are central ones and h/2 |A| u_xx, Lax–Friedrichs h²/2d dt u_xx."""
    grid = data.draw(grids(dimension, 5, 6))
    boundary = data.draw(walls(grid, kind))
    problem = data.draw(hyperbolic_systems(dimension, size=2, commuting=True))
    state, dtype = drawn_state(data, problem, grid), data.draw(DTYPES)
    net = network(problem, grid, boundary, space=space, dtype=dtype)
    reading = net.to_equation()
    assert {f"h_{axis}" for axis in grid.axes} <= set(reading.values)
    assert ("dt" in reading.values) == (space == "lax_friedrichs")
    if kind is pn.Free:
        # Ends are extrapolated by the order of the equation, and that of the reading is 2.
        assert reading.space is None
    else:
        check_step(net, reading, state, dtype)


@pytest.mark.parametrize("name", ["burgers_1d", "shallow_water", "kdv"])
def test_divergence_form_with_upwind_terms_is_read_back(name: str) -> None:
    pde = pn.catalogue.build(name, form="divergence")
    space = "upwind" if name == "burgers_1d" else "central2"
    axes = pde.axes
    grid = pn.Grid(**{a: (-1, 1, 9 + k) for k, a in enumerate(axes)})
    problem = Problem(pde, len(pde.fields))
    state = 1 + np.random.default_rng(2).uniform(-0.5, 0.5, (len(pde.fields), *grid.shape))
    for dtype in EPS:
        net = network(problem, grid, periodic(len(axes)), space=space, dtype=dtype, dt=1e-3)
        check_step(net, net.to_equation(), state, dtype)


@pytest.mark.parametrize("name", ["heat", "gray_scott", "burgers_2d"])
def test_the_nine_point_laplacian_is_read_back(name: str) -> None:
    problem = Problem(pn.catalogue[name], len(pn.catalogue[name].fields))
    grid = pn.Grid(x=(0, 1, 9), y=(0, 2, 18))
    state = np.random.default_rng(2).uniform(-0.5, 0.5, (problem.num_components, *grid.shape))
    for dtype in EPS:
        net = network(problem, grid, periodic(2), space="nine_point", dtype=dtype)
        reading = net.to_equation()
        assert reading.space == "nine_point"
        check_step(net, reading, state, dtype)


# So it is after everything has changed ------------------------------------------------------------


def change_everything(net: Network, data: st.DataObject, size: float) -> None:
    """Move every weight of the block by up to `size`, kernels and coefficients alike."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    block = net.block
    tensors = [block.numbers]
    for named in (block.kernels.weights, block.symbols, block.coefficients, block.maps):
        tensors += [tensor for _, tensor in named.items()]
    with torch.no_grad():
        for tensor in tensors:
            noise = rng.uniform(-size, size, tuple(tensor.shape))
            tensor += torch.as_tensor(noise, dtype=tensor.dtype)


def quasi_linear(name: str) -> Any:
    return lambda grid: quasi_linear_systems(grid.dimension, name, 2)


# Not eq6 and eq7: what their kernels have besides ∂x is a derivative of a product, which the
# language writes by the product rule and a solver computes otherwise.
CHANGEABLE = {
    **{n: FAMILIES[n] for n in ("hyperbolic", "parabolic", "anisotropic", "advective")},
    **{name: quasi_linear(name) for name in ("eq2", "eq3", "eq4", "eq5")},
}


@pytest.mark.parametrize("dimension", [1, 2])
@pytest.mark.parametrize("family", CHANGEABLE)
@few_each
@given(data=st.data())
def test_a_changed_network_is_the_equation_that_it_says_it_is(
    family: str, dimension: int, data: st.DataObject
) -> None:
    """Kernels of 3×3 nodes are sums of stencils of the space "central2", whatever they learn."""
    grid = data.draw(grids(dimension, 6, 7))
    problem = data.draw(CHANGEABLE[family](grid))
    dtype = data.draw(DTYPES)
    net = network(problem, grid, periodic(dimension), dtype=dtype, dt=1e-3)
    change_everything(net, data, 0.125)
    reading = net.to_equation()
    assert reading.leftover == ()
    check_step(net, reading, drawn_state(data, problem, grid), dtype)


@few_each
@given(data=st.data())
def test_a_state_dict_carries_the_equation(data: st.DataObject) -> None:
    grid = data.draw(grids(2, 6, 7))
    problem = data.draw(advection_diffusion(grid))
    net = network(problem, grid, periodic(2))
    change_everything(net, data, 0.125)
    fresh = network(problem, grid, periodic(2))
    assert fresh.to_equation().pde != net.to_equation().pde
    fresh.load_state_dict(net.state_dict())
    assert fresh.to_equation().pde == net.to_equation().pde
    assert str(fresh.to_equation()) == str(net.to_equation())
    for name, value in net.to_equation().values.items():
        np.testing.assert_array_equal(fresh.to_equation().values[name], value)


def test_names_in_boundary_values_are_among_the_values() -> None:
    a = sp.Symbol("a")
    boundary = pn.Boundary(x=pn.Dirichlet(a * sp.Symbol("t")))
    problem = Problem(pn.catalogue.build("heat", dimension=1), 1, {"a": 0.3})
    net = network(problem, pn.Grid(x=(0, 1, 9)), boundary)
    with torch.no_grad():
        net.block.symbols["a"].fill_(0.7)
    reading = net.to_equation()
    assert reading.values == {"a": 0.7}
    conditions = resolve(boundary, reading.pde.system, ("x",))
    assert boundary_parameters(conditions, ("x",)) == ("a",)
    check_step(net, reading, np.linspace(0, 1, 9)[None], "float64")


@pytest.mark.parametrize("kind", [pn.Periodic, pn.Neumann, pn.Free])
def test_coefficient_functions_beside_fields_under_a_flux_stay_functions(kind: type) -> None:
    """x² goes on as a parabola beyond the ends, the array of c(x) linearly."""
    t, x = pn.coordinates("t x")
    u, c = pn.fields("u", (t, x)), sp.Function("c")(x)
    pde = pn.PDE(sp.Eq(u.diff(t), pn.D(c * u**2, x) + c * u.diff(x, 2)))
    wall = kind(0.5) if kind is pn.Neumann else kind()
    grid, boundary = pn.Grid(x=(0, 1, 9)), pn.Boundary(x=wall)
    nodes = grid.mesh(boundary)[0]
    problem = Problem(pde, 1, {"c": nodes**2})
    state = np.random.default_rng(3).uniform(0.5, 1.5, (1, 9))
    for dtype in EPS:
        net = network(problem, grid, boundary, dtype=dtype, dt=1e-3)
        reading = net.to_equation()
        assert list(reading.values) == ["c"]
        check_step(net, reading, state, dtype)


@pytest.mark.parametrize("kind", [pn.Periodic, pn.Dirichlet, pn.Free])
def test_tensors_with_entries_in_time_and_space_are_read_back(kind: type) -> None:
    t, x = pn.coordinates("t x")
    u, k = pn.VectorField("u", 2, (t, x)), sp.Symbol("k")
    i, j = pn.indices("i j")
    a, b = pn.Coefficient("A", (2, 2)), pn.Coefficient("B", (2, 2))
    right = pn.D(a[i, j] * u[j], x) + k * b[i, j] * u[j].diff(x)
    values = {"A": [[sp.cos(k * t), x**2], [0, 1]], "B": [[x, 0.3], [1, -x]], "k": 0.3}
    problem = Problem(pn.PDE(sp.Eq(u[i].diff(t), right)), 2, values)
    grid = pn.Grid(x=(0, 1, 9))
    boundary = pn.Boundary(x=kind(0.5) if kind is pn.Dirichlet else kind())
    state = np.random.default_rng(3).uniform(0.5, 1.5, (2, 9))
    for dtype in EPS:
        net = network(problem, grid, boundary, dtype=dtype, dt=1e-3)
        check_step(net, net.to_equation(), state, dtype)
