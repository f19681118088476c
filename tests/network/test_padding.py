"""Padding: a network's walls are what `Walls` of the simulator pads with, and what it sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given
from hypothesis import strategies as st

import pdenet as pn
from pdenet.network.network import Network
from tests.laws.drawing import (
    EPS,
    t,
    walls,
    x,
    y,
)
from tests.strategies import (
    few_each,
    grids,
)

pytestmark = pytest.mark.filterwarnings("ignore::pdenet.errors.BoundaryWarning")
g = sp.Symbol("g")


def heat(grid: pn.Grid, boundary: pn.Boundary, **how: Any) -> Network:
    """A network of u_t = Δu; fourth-order stencils reach two ghost nodes."""
    given = {"dt": 0.01, "stability": "ignore", "dtype": torch.float64, "space": "central4"}
    values = {"D": 1.0, **how.pop("values", {})}
    pde = pn.catalogue.build("heat", dimension=grid.dimension)
    return pde.to_network(grid, boundary, values=values, **{**given, **how})


def padded(net: Network, u: np.ndarray, time: float = 0.5) -> np.ndarray:
    symbols = dict(net.block.symbols.items())
    tensor = torch.from_numpy(u)[None, None]
    made: np.ndarray = net.block.padding.pad("u", tensor, time, symbols)[0, 0].detach().numpy()
    return made


GRID = pn.Grid(x=(0, 1, 6), y=(0, 3, 7))
STATE = np.random.default_rng(0).standard_normal(GRID.shape)


# Ghost nodes, by the modes that NumPy pads with ---------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        (pn.Periodic(), {"mode": "wrap"}),
        (pn.Neumann(0), {"mode": "reflect"}),
        (pn.Dirichlet(0), {"mode": "reflect", "reflect_type": "odd"}),
        (pn.ZeroPadding(), {"mode": "constant"}),
    ],
    ids=["periodic", "mirror", "odd mirror", "zeros"],
)
def test_padding_is_a_mode_of_numpys_pad(kind: Any, mode: dict[str, Any]) -> None:
    """Dirichlet(0) is odd about the end node, whose value is 0 then."""
    u = STATE.copy()
    if isinstance(kind, pn.Dirichlet):
        u[[0, -1]] = 0
        u[:, [0, -1]] = 0
    net = heat(GRID, pn.Boundary(x=kind, y=kind))
    np.testing.assert_allclose(padded(net, u), np.pad(u, 2, **mode), rtol=0, atol=1e-15)


@pytest.mark.parametrize("end", [0, 1])
def test_a_slope_that_moves_stands_in_the_ghost_nodes(end: int) -> None:
    """∂u/∂n = g: ghost k is the mirror image plus 2 k h g, with g at the time and the node."""
    slope = g * sp.sin(3 * t) * (1 + x)
    boundary = pn.Boundary(x=pn.Periodic(), y=(pn.Neumann(slope),) * 2)
    net = heat(GRID, boundary, values={"g": 0.75})
    xs = GRID.nodes(boundary)[0]
    h = GRID.spacing(boundary)[1]
    rows = padded(net, STATE, 0.5)[:, 2:-2]
    value = 0.75 * np.sin(1.5) * (1 + xs)
    for k in (1, 2):
        ghost = rows[2 - k] if end == 0 else rows[-3 + k]
        image = STATE[k] if end == 0 else STATE[-1 - k]
        # A slope outwards on both sides.
        np.testing.assert_allclose(ghost, image + 2 * k * h * value, rtol=0, atol=1e-14)


# Prescribed nodes --------------------------------------------------------------------------------


def test_prescribed_nodes_are_set_at_the_time_reached() -> None:
    boundary = pn.Boundary(x=pn.Dirichlet(g * sp.sin(t) * y), y=pn.Neumann(0))
    net = heat(GRID, boundary, values={"g": 0.75}, steps=3)
    made = net(torch.from_numpy(STATE)[None, None], 0.5)[0, 0].numpy()
    ys = GRID.nodes(boundary)[1]
    expected = 0.75 * np.sin(0.5 + 3 * net.dt) * ys
    for column in (0, -1):
        np.testing.assert_allclose(made[:, column], expected, rtol=4 * EPS["float64"], atol=0)


@pytest.mark.parametrize("moving", [False, True], ids=["fixed", "moving"])
def test_corners_of_two_walls_take_the_mean(moving: bool) -> None:
    """Of x (value 1) and y (value 3 x): at x = 0 the mean of 1 and 0, at x = 1 that of 1 and 3."""
    one = sp.exp(-t) if moving else 1
    boundary = pn.Boundary(x=pn.Dirichlet(one), y=pn.Dirichlet(3 * x))
    net = heat(GRID, boundary)
    made = net(torch.from_numpy(STATE)[None, None], 0.5)[0, 0].numpy()
    value = float(np.exp(-0.5 - net.dt)) if moving else 1.0
    for row in (0, -1):
        assert made[row, 0] == pytest.approx(value / 2, rel=1e-15)
        assert made[row, -1] == pytest.approx((value + 3) / 2, rel=1e-15)
        xs = GRID.nodes(boundary)[0][1:-1]
        np.testing.assert_allclose(made[row, 1:-1], 3 * xs, rtol=1e-15)


# Values ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [pn.Dirichlet, pn.Neumann, pn.Robin])
@few_each
@given(data=st.data())
def test_a_value_as_a_parameter_is_that_value(kind: Any, data: st.DataObject) -> None:
    """g read live from a symbol, against the same number written into the boundary.

    8 eps of the terms of one step, u and dt 4 u/(3 h²) and less; what is found is 0 most often.
    """
    grid = data.draw(grids(2, 5, 7))
    number = data.draw(st.integers(-8, 8)) / 4
    other = data.draw(walls(grid, pn.Neumann)).sides["y"]
    made, spacing = [], 1.0
    for value in (number, g):
        one = kind(1, 2, value) if kind is pn.Robin else kind(value)
        boundary = pn.Boundary(x=one, y=other)
        made.append(heat(grid, boundary, values={"g": number} if value is g else {}))
        spacing = min(grid.spacing(boundary))
    u = torch.from_numpy(np.random.default_rng(1).standard_normal((1, 1, *grid.shape)))
    first, second = (net(u, 0.25) for net in made)
    size = 1 + float(first.abs().max()) / spacing**2
    torch.testing.assert_close(first, second, rtol=0, atol=8 * EPS["float64"] * size)


@pytest.mark.parametrize("tracked", [False, True])
@pytest.mark.parametrize("kind", [pn.Dirichlet, pn.Neumann])
def test_a_value_as_a_tensor_is_the_number_in_it(kind: Any, tracked: bool) -> None:
    """A network's own parameters are what it trains; a tensor from outside gives its value."""
    tensor = torch.tensor(0.75, dtype=torch.float64, requires_grad=tracked)
    made = [heat(GRID, pn.Boundary(x=kind(value), y=pn.Periodic())) for value in (0.75, tensor)]
    u = torch.from_numpy(STATE)[None, None]
    assert torch.equal(made[0](u), made[1](u))


def test_a_value_over_a_side_is_an_array_of_its_shape() -> None:
    """An array, and the expression that makes it."""
    grid = pn.Grid(x=(0, 1, 5), y=(0, 3, 6), z=(-1, 1, 5))
    expression = x + sp.Symbol("z") ** 2
    sides = dict.fromkeys("xz", pn.Periodic())
    xs, zs = np.arange(5) / 5, -1 + 2 * np.arange(5) / 5  # periodic axes
    array = xs + zs[:, None] ** 2
    made = [
        heat(grid, pn.Boundary(y=kind, **sides))
        for kind in (pn.Neumann(expression), pn.Neumann(array))
    ]
    u = torch.from_numpy(np.random.default_rng(2).standard_normal((1, 1, *grid.shape)))
    torch.testing.assert_close(made[0](u), made[1](u), rtol=0, atol=1e-14)


def test_each_field_has_walls_of_its_own() -> None:
    """E is 0 on a perfect conductor, H is free of it."""
    sides = {"Ez": pn.Dirichlet(0), "Hx": pn.Neumann(0), "Hy": pn.ZeroPadding()}
    net = pn.catalogue["maxwell_tm"].to_network(
        GRID, pn.Boundary(x=sides, y=sides), dt=0.01, stability="ignore", dtype=torch.float64,
        space="central2", stepper="rk4",
    )  # fmt: skip
    fields = torch.from_numpy(np.stack([STATE, STATE, STATE]))[None]
    padding = net.block.padding
    made = {
        name: padding.pad(name, fields[:, k : k + 1], 0.0, {})[0, 0].numpy()
        for k, name in enumerate(("Ez", "Hx", "Hy"))
    }
    np.testing.assert_array_equal(made["Hx"], np.pad(STATE, 1, mode="reflect"))
    np.testing.assert_array_equal(made["Hy"], np.pad(STATE, 1))
    ends = net(fields)[0, 0]
    assert not ends[[0, -1]].any()
    assert not ends[:, [0, -1]].any()


def test_corner_values_that_differ_warn_once_when_the_network_is_built(
    recwarn: pytest.WarningsRecorder,
) -> None:
    with pytest.warns(pn.BoundaryWarning, match="corner"):
        net = heat(GRID, pn.Boundary(x=pn.Dirichlet(1), y=pn.Dirichlet(2)))
    recwarn.clear()
    net(torch.zeros(1, 1, *GRID.shape, dtype=torch.float64))
    assert not recwarn.list
