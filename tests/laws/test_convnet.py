"""A block without relaxations is one step of its equation, whatever the equation."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any  # SymPy's indexed expressions, and values

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given
from hypothesis import strategies as st

import pdenet as pn
from pdenet.equation.symbols import Coefficient, D, Index, VectorField
from pdenet.network.convnet.activation import activation
from pdenet.network.convnet.block import PDEBlock
from pdenet.network.convnet.form import form_of
from pdenet.network.convnet.relaxation import Relaxation
from pdenet.network.convnet.stage import Stage
from pdenet.network.network import Network
from tests.cover import by_turns
from tests.laws.block_values import drawn_values, on_nodes, put
from tests.laws.direct import integrator
from tests.laws.drawing import ALLOWED, EPS
from tests.laws.scale import step_scale
from tests.strategies import (
    QUASI_LINEAR,
    few_each,
    quasi_linear_systems,
)

pytestmark = pytest.mark.filterwarnings("ignore::pdenet.errors.BoundaryWarning")

PADDINGS = {"circular": pn.Periodic(), "zeros": pn.ZeroPadding(), "reflect": pn.Neumann(0)}
POINTS = (8, 7)  # along x and y: different, so that no axis is taken for the other
SIZE = 3  # components of each field

t, x, y = pn.coordinates("t x y")
i, j, k, m, p = (Index(s) for s in "ijkmp")
n = sp.Symbol("n", integer=True, positive=True)
u, v = (VectorField(name, n, (t, x, y)) for name in "uv")
A, B, P, Q, R, S = (Coefficient(name, (n, n)) for name in "ABPQRS")
T = Coefficient("T", (n, n, n))
g, h = (Coefficient(name, (n,)) for name in "gh")
G, H = (Coefficient(name, (n, 2 * n)) for name in "GH")
K, L = (Coefficient(name, (2 * n, n)) for name in "KL")
a, b = sp.symbols("a b")
c, d = (sp.Function(name)(x, y) for name in "cd")

Sides = Callable[[sp.Expr, sp.Expr], Any]


def of_u(right: sp.Expr) -> pn.PDE:
    return pn.PDE(sp.Eq(u[i].diff(t), right))


def of_both(one: sp.Expr, two: sp.Expr) -> pn.PDE:
    return pn.PDE(sp.Eq(u[i].diff(t), one), sp.Eq(v[i].diff(t), two))


_HIDDEN = K[m, k] * u[k] * L[m, p] * u[p]
_DERIVATIVES = [
    u[i], u[i].diff(x), u[i].diff(y), u[i].diff(x, 2), u[i].diff(x, y), u[i].diff(y, 2)
]  # fmt: skip
_FUNCTIONS = [sp.Function(f"c{q}")(x, y) for q in range(6)]

# Each is written with X and Y for coordinates: x and y of the block, which are −1 to 1 over the
# picture, and the same values on a grid of unit spacing.
GENERAL: dict[str, Callable[[sp.Expr, sp.Expr], pn.PDE]] = {
    "cubic": lambda X, Y: of_u(
        A[i, j] * P[j, k] * u[k] * R[j, m] * u[m] * u[j].diff(x)
        + B[i, j] * Q[j, k] * u[k] * S[j, m] * u[m] * u[j].diff(y)
    ),
    "Eqs. (3) and (7) together": lambda X, Y: of_u(
        A[i, j] * P[j, k] * u[k] * u[j].diff(x)
        + B[i, j] * Q[j, k] * u[k] * u[j].diff(y)
        + G[i, m] * D(_HIDDEN, x)
        + H[i, m] * D(_HIDDEN, y)
    ),
    "dilation": lambda X, Y: of_u(X * u[i].diff(x) + Y * u[i].diff(y)),
    "rotation": lambda X, Y: of_u(X * u[i].diff(y) - Y * u[i].diff(x)),
    "matrices times coordinates": lambda X, Y: of_u(
        X * A[i, j] * u[j].diff(x) + sp.sin(X * Y) * B[i, j] * u[j].diff(y)
    ),
    "functions": lambda X, Y: of_u(
        c * A[i, j] * u[j].diff(x) + d * B[i, j] * u[j].diff(y) + sp.sin(c) * u[i]
    ),
    "diffusion": lambda X, Y: of_u(D(c * u[i].diff(x), x) + D(c * u[i].diff(y), y)),
    "diffusion of one direction": lambda X, Y: of_u(
        A[i, j] * D(c * u[j].diff(x), x) + B[i, j] * D(c * u[j].diff(x), x)
    ),
    "diffusion with functions": lambda X, Y: of_u(
        A[i, j] * D(c * u[j].diff(x), x) + B[i, j] * D(d * u[j].diff(y), y)
    ),
    "diffusion with matrices": lambda X, Y: of_u(
        D(A[i, j] * u[j].diff(x), x) + D((2 + X * Y) * u[i].diff(y), y)
    ),
    "diffusion of u": lambda X, Y: of_u(
        D(u[i] * A[i, j] * u[j].diff(x), x) + D(u[i] * u[i].diff(y), y)
    ),
    "fluxes of coefficients times u": lambda X, Y: of_u(
        A[i, j] * D(c * u[j], x) + B[i, j] * D(c * u[j], y) + D(X**2 * u[i], x)
    ),
    "fluxes of functions": lambda X, Y: of_u(D(sp.cos(u[i]), x) + D(sp.tanh(u[i]), y)),
    "mixed fluxes": lambda X, Y: of_u(D(u[i].diff(x), y) + D(u[i] * u[i].diff(y), x)),
    "reactions": lambda X, Y: of_u(
        T[i, j, k] * u[j] * u[k] + A[i, j] * sp.tanh(u[j]) - a * sp.sin(u[i]) + g[i]
    ),
    "second order": lambda X, Y: of_u(
        A[i, j] * u[j].diff(x, 2) + B[i, j] * u[j].diff(x, y) + P[i, j] * u[j].diff(y, 2)
    ),
    "derivatives squared": lambda X, Y: of_u(A[i, j] * u[j].diff(x) * u[j].diff(y)),
    "a quotient": lambda X, Y: of_u(u[i].diff(x) / (1 + sp.cosh(u[i]))),
    "diagonals and scalar products": lambda X, Y: of_u(
        A[j, j] * u[i].diff(x)
        + B[i, i] * u[i].diff(y)
        + g[i] * u[j] * u[j].diff(x)
        + h[j] * u[j] * u[i].diff(y)
    ),
    "a matrix in two stacks": lambda X, Y: of_u(
        A[i, j] * u[j].diff(x) + B[i, j] * u[j].diff(y) + A[i, j] * u[j] + B[j, i] * u[j]
    ),
    "a matrix alone and in a later stack": lambda X, Y: of_u(
        A[i, j] * P[j, k] * u[k] * u[j].diff(x) + A[i, j] * u[j].diff(x) + B[i, j] * u[j].diff(y)
    ),
    "a matrix twice": lambda X, Y: of_u(-A[j, i] * A[j, k] * u[k].diff(x, 2) + A[i, j] * u[j]),
    "two fields": lambda X, Y: of_both(
        A[i, j] * P[j, k] * v[k] * u[j].diff(x) + u[i].diff(y) * v[i],
        B[i, j] * D(u[j] * v[j], y) + v[i].diff(x) - a * u[i],
    ),
    "waves": lambda X, Y: pn.PDE(
        sp.Eq(u[i].diff(t, 2), a**2 * (u[i].diff(x, 2) + u[i].diff(y, 2)))
    ),
    "nothing": lambda X, Y: of_u(0 * u[i]),
    # Layers of the literature. PDE-Net: Long, Lu, Ma & Dong (2018), whose D₀ is the identity here.
    "PDE-Net": lambda X, Y: of_u(
        sum(f * term for f, term in zip(_FUNCTIONS, _DERIVATIVES, strict=True))
    ),
    "PDE-Net of order 4": lambda X, Y: of_u(
        c * u[i].diff(x, 4) + d * u[i].diff(x, 2, y, 2) + a * u[i].diff(x, 3)
    ),
    # Ruthotto & Haber (2018) have −Kᵀ σ(K Y). A function of a sum over components is none that the
    # language has ("name a field for them"), nor is one of a derivative of a component. What can
    # be written is σ = id, and σ of the components themselves:
    "parabolic layer, linear": lambda X, Y: of_u(
        A[j, i] * A[j, k] * u[k].diff(x, 2) + B[j, i] * B[j, k] * u[k].diff(y, 2)
    ),
    "parabolic layer, σ of components": lambda X, Y: of_u(
        D(A[j, i] * sp.tanh(u[j]), x) - B[j, i] * sp.tanh(u[j])
    ),
    "second-order layer": lambda X, Y: pn.PDE(
        sp.Eq(
            u[i].diff(t, 2),
            A[j, i] * A[j, k] * u[k].diff(x, 2) + D(B[i, j] * sp.tanh(u[j]), y),
        )
    ),
    "Hamiltonian layers": lambda X, Y: of_both(
        A[i, j] * D(sp.tanh(v[j]), x) + B[i, j] * D(sp.tanh(v[j]), y),
        -P[i, j] * D(sp.tanh(u[j]), x) - Q[i, j] * D(sp.tanh(u[j]), y),
    ),
}
PUBLISHED = [*QUASI_LINEAR, "eq9"]


@cache
def equations(name: str) -> tuple[pn.PDE, pn.PDE]:
    """An equation for blocks, and the same for a grid of POINTS with unit spacing."""
    if name in PUBLISHED:
        return pn.catalogue[name], pn.catalogue[name]
    nodes = [
        (2 * one - (count - 1)) / sp.Integer(count - 1)
        for one, count in zip((x, y), POINTS, strict=True)
    ]
    return GENERAL[name](x, y), GENERAL[name](*nodes)


def domain(paddings: tuple[str, str]) -> tuple[pn.Grid, pn.Boundary]:
    """POINTS on unit spacing; a periodic axis does not have its last node."""
    lengths = [
        count - (padding != "circular") for count, padding in zip(POINTS, paddings, strict=True)
    ]
    grid = pn.Grid(x=(0, lengths[0], POINTS[0]), y=(0, lengths[1], POINTS[1]))
    return grid, pn.Boundary(x=PADDINGS[paddings[0]], y=PADDINGS[paddings[1]])


def pair(
    name: str, padding: str | tuple[str, str], stepper: str = "euler", steps: int = 1
) -> tuple[PDEBlock, Network, dict[str, Any]]:
    """A block and a network with the same values."""
    paddings = (padding, padding) if isinstance(padding, str) else padding
    for_block, for_grid = equations(name)
    values = drawn_values(for_block, SIZE, seed=1)
    relaxation = Relaxation.none(padding=paddings)
    channels = SIZE * len(for_block.system.fields)
    block = put(PDEBlock(for_block, channels, relaxation=relaxation).double(), values)
    grid, boundary = domain(paddings)
    given_values = on_nodes(for_block, values, POINTS, SIZE)
    net = for_grid.to_network(
        grid, boundary, values=given_values, dt=1.0, stepper=stepper, space="central2",
        dtype=torch.float64, stability="ignore", steps=steps,
    )  # fmt: skip
    return block, net, given_values


def state(block: PDEBlock, batch: int = 2) -> torch.Tensor:
    random = np.random.default_rng(2)
    return torch.from_numpy(random.uniform(-1, 1, (batch, block.in_channels, *POINTS[::-1])))


def allowed(net: Network, pde: pn.PDE, values: dict[str, Any], start: torch.Tensor) -> float:
    """32 eps S: both add up the same summands, in other orders; see `tests.laws.scale`."""
    solver = integrator(pde, net.grid, net.boundary, values, dt=1.0)
    return ALLOWED * EPS["float64"] * max(step_scale(solver, u, 0.0, 1.0) for u in start.numpy())


@torch.no_grad()
def check(
    name: str, block: PDEBlock, net: Network, values: dict[str, Any], **how: torch.nn.Module
) -> None:
    start = state(block)
    module = how.get("module", block)
    found, expected = module(start), net(start)
    if name != "nothing":
        assert (expected - start).abs().max() > 0.1, "there would be nothing to compare"
    size = allowed(net, equations(name)[1], values, start)
    torch.testing.assert_close(found, expected, rtol=0, atol=size)


# One step ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "padding"), by_turns([*PUBLISHED, *GENERAL], list(PADDINGS)))
def test_a_block_without_relaxations_is_one_euler_step(name: str, padding: str) -> None:
    block, net, values = pair(name, padding)
    check(name, block, net, values)


@few_each
@given(data=st.data())
def test_a_block_is_one_euler_step_of_random_quasi_linear_systems(data: st.DataObject) -> None:
    """With conditions that differ between the axes, too."""
    paddings = tuple(data.draw(st.sampled_from(list(PADDINGS))) for _ in "xy")
    problem = data.draw(quasi_linear_systems(2))
    size = problem.num_components
    block = PDEBlock(problem.pde, size, relaxation=Relaxation.none(padding=paddings)).double()
    put(block, problem.values)
    grid, boundary = domain((paddings[0], paddings[1]))
    values = {**problem.values, "n": size}
    net = problem.pde.to_network(
        grid, boundary, values=values, dt=1.0, stepper="euler", space="central2",
        dtype=torch.float64, stability="ignore",
    )  # fmt: skip
    start = state(block)
    with torch.no_grad():
        found, expected = block(start), net(start)
    atol = allowed(net, problem.pde, values, start)
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)


def test_a_block_with_moments_starts_as_one_euler_step() -> None:
    """PDE-Net's constraint: free numbers start at 0, and change no moment up to the order."""
    block, net, values = pair("PDE-Net", "circular")
    form = form_of(equations("PDE-Net")[0])
    relaxation = Relaxation(None, stencils="moment", norm=False, padding="circular")
    free = PDEBlock(form, SIZE, relaxation=relaxation).double()
    for mine, theirs in zip(free.functions.values(), block.functions.values(), strict=True):
        mine.data = theirs.data
    check("PDE-Net", free, net, values)


# Many steps --------------------------------------------------------------------------------------


def staged(name: str, depth: int, stepper: str) -> Stage:
    """A stage of blocks with shared weights, on a torus."""
    pde = equations(name)[0]
    channels = SIZE * len(pde.system.fields)
    stage = Stage(
        form_of(pde),
        channels,
        channels,
        depth,
        stride=1,
        relaxation=Relaxation.none(padding="circular"),
        stepper=stepper,
        coefficients="shared",
        activations=[activation("none")] * depth,
    ).double()
    for block in stage.blocks:
        assert isinstance(block, PDEBlock)
        put(block, drawn_values(pde, SIZE, seed=1))
    return stage


@pytest.mark.parametrize(
    ("name", "stepper"),
    by_turns(
        ["eq3", "Eqs. (3) and (7) together", "two fields", "diffusion"],
        ["rk4", "euler", "heun", "ssprk3"],
    ),
)
def test_blocks_with_shared_weights_are_so_many_steps(name: str, stepper: str) -> None:
    """Errors of one evaluation, 32 eps S, grow by at most 1 + ‖∂F/∂u‖ in each that follows."""
    depth, evaluations = 2, {"euler": 1, "heun": 2, "ssprk3": 3, "rk4": 4}[stepper]
    block, net, values = pair(name, "circular", stepper, steps=depth)
    stage = staged(name, depth, stepper)
    start = 0.25 * state(block, batch=1)
    growth = 1.0
    with torch.no_grad():
        found, expected, half = stage(start), net(start), net.advance(start, steps=1)
    for u in (start, half):
        jacobian = torch.autograd.functional.jacobian(block.rate, u).reshape(u.numel(), -1)
        growth *= (1 + float(torch.linalg.matrix_norm(jacobian, 2))) ** evaluations
    size = sum(allowed(net, equations(name)[1], values, u) for u in (start, half))
    assert size * growth < 1e-6 * float((expected - start).abs().max())
    torch.testing.assert_close(found, expected, rtol=0, atol=size * growth)


@torch.no_grad()
def test_leapfrog_has_two_skip_connections() -> None:
    stage = staged("eq3", 4, "leapfrog")
    first = stage.blocks[0]
    assert isinstance(first, PDEBlock)
    start, rate = state(first), first.rate
    states = [start, start + rate(start)]
    for _ in range(3):
        states.append(states[-2] + 2 * rate(states[-1]))
    torch.testing.assert_close(stage(start), states[-1], rtol=4 * EPS["float64"], atol=0)


@torch.no_grad()
def test_leapfrog_of_second_order_is_the_three_term_formula() -> None:
    """u_{n+1} = 2 u_n − u_{n−1} + c² Δ_h u_n from rest; Δ_h written out with rolls."""
    form = form_of(equations("waves")[0]).of_positions()
    stage = Stage(
        form, SIZE, SIZE, 4, stride=1, relaxation=Relaxation.none(padding="circular"),
        stepper="leapfrog", coefficients="shared", activations=[activation("none")] * 4,
    ).double()  # fmt: skip
    speed = 0.625
    for block in stage.blocks:
        assert isinstance(block, PDEBlock)
        block.symbols["a"].fill_(speed)

    def rate(u: torch.Tensor) -> torch.Tensor:
        rolled = [u.roll(shift, axis) for shift in (-1, 1) for axis in (2, 3)]
        return speed**2 * (sum(rolled) - 4 * u)

    random = np.random.default_rng(2)
    start = torch.from_numpy(random.uniform(-1, 1, (2, SIZE, *POINTS[::-1])))
    states = [start, start + rate(start) / 2]
    for _ in range(3):
        states.append(2 * states[-1] - states[-2] + rate(states[-1]))
    # Four steps that each add numbers below 8 of |u| ≤ 4: 4 · 8 · 4 eps.
    torch.testing.assert_close(stage(start), states[-1], rtol=0, atol=128 * EPS["float64"])


# Strides and widths ------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "padding"),
    by_turns(
        [*PUBLISHED, "cubic", "functions", "diffusion with functions", "two fields"],
        list(PADDINGS),
    ),
)
def test_a_stride_takes_every_second_pixel_of_the_rate(name: str, padding: str) -> None:
    """Bit for bit but for sums that a convolution may order otherwise: 8 eps |F|."""
    pde = equations(name)[0]
    values = drawn_values(pde, SIZE, seed=1)
    channels = SIZE * len(pde.system.fields)
    one, two = (
        put(PDEBlock(pde, channels, stride=s, relaxation=Relaxation.none(padding)).double(), values)
        for s in (1, 2)
    )
    start = state(one)
    expected = one.rate(start)[:, :, ::2, ::2]
    atol = 8 * EPS["float64"] * float(expected.abs().max())
    torch.testing.assert_close(two.rate(start), expected, rtol=0, atol=atol)


@torch.no_grad()
@pytest.mark.parametrize("out", [SIZE, 2 * SIZE, 4 * SIZE])
def test_equation_5_sums_its_products_in_groups_of_directions(out: int) -> None:
    """4n products, (Σ_k C^d_ik u_k) ∂_d u_i; consecutive 4n/n′ of them make one of n′ channels."""
    relaxation = Relaxation(directions=4, norm=False, padding="circular")
    block = PDEBlock(pn.catalogue["eq5"], SIZE, out, relaxation=relaxation).double()
    (tensor,) = block.coefficients.tensors.values()
    (letters,) = block.coefficients.letters.values()
    tensor.normal_()
    start = state(block)
    summed = letters.replace("i", "").replace("d", "")
    speeds = torch.einsum(f"{letters},b{summed}yx->bidyx", tensor, start)
    kernels = block.banks.of("u").weight[:, 0]
    padded = torch.nn.functional.pad(start, (1, 1, 1, 1), mode="circular")
    windows = padded.unfold(2, 3, 1).unfold(3, 3, 1)
    products = speeds * torch.einsum("biyxpq,dpq->bidyx", windows, kernels)
    expected = products.reshape(2, out, -1, *POINTS[::-1]).sum(dim=2)
    # Sums of 3 · 9 · 4 products.
    atol = 108 * EPS["float64"] * float(products.abs().max())
    torch.testing.assert_close(block.rate(start), expected, rtol=0, atol=atol)


# What the language does not have -----------------------------------------------------------------


@pytest.mark.parametrize(
    "right",
    [
        D(sp.tanh(u[i].diff(x)), x),
        -A[j, i] * sp.tanh(A[j, k] * u[k]),
        D(sp.tanh(A[i, j] * u[j].diff(x)), x),
    ],
    ids=["function of a derivative", "function of a sum", "function of a sum of derivatives"],
)
def test_a_function_of_more_than_a_component_is_refused_by_name(right: sp.Expr) -> None:
    """Ruthotto & Haber's −Kᵀσ(KY) as it stands; see the nearest layers above."""
    with pytest.raises(pn.PdenetError, match=r"a function of one component, such as tanh\(u"):
        of_u(right)
