"""Equations that the paper does not have become blocks whose layers their terms ask for."""

from __future__ import annotations

import copy
from typing import Any  # SymPy's indexed expressions

import pytest
import sympy as sp
import torch

import pdenet as pn
from pdenet.network.convnet.block import PDEBlock
from pdenet.network.convnet.relaxation import Relaxation
from tests.network.convnet.redraw import redraw
from tests.tiers import mostly_deep

WIDTH = 4
EPS = 2.0**-52

t, x, y = pn.coordinates("t x y")
i, j, k, m, p = (pn.indices(s) for s in "ijkmp")
n = sp.Symbol("n", integer=True, positive=True)
u, v = (pn.VectorField(name, n, (t, x, y)) for name in "uv")
A, B, C, E, P, Q = (pn.Coefficient(name, (n, n)) for name in "ABCEPQ")
G, H = (pn.Coefficient(name, (n, 2 * n)) for name in "GH")
K, L = (pn.Coefficient(name, (2 * n, n)) for name in "KL")
c = sp.Function("c")(x, y)
_HIDDEN = K[m, k] * u[k] * L[m, p] * u[p]

EQUATIONS: dict[str, Any] = {
    "cubic": A[i, j] * C[j, k] * u[k] * E[j, m] * u[m] * u[j].diff(x)
    + B[i, j] * P[j, k] * u[k] * Q[j, m] * u[m] * u[j].diff(y),
    "mixture": A[i, j] * C[j, k] * u[k] * u[j].diff(x)
    + B[i, j] * E[j, k] * u[k] * u[j].diff(y)
    + G[i, m] * pn.D(_HIDDEN, x)
    + H[i, m] * pn.D(_HIDDEN, y),
    "functions": c * A[i, j] * u[j].diff(x) + x * B[i, j] * u[j].diff(y),
    "diffusion": pn.D(c * u[i].diff(x), x) + pn.D(c * u[i].diff(y), y),
    "reaction": A[i, j] * sp.tanh(u[j]) + B[i, j] * u[j].diff(x),
    "second order": A[i, j] * u[j].diff(x, 2) + B[i, j] * u[j].diff(y, 2),
}


def made(name: str, **how: Any) -> PDEBlock:
    pde = pn.PDE(sp.Eq(u[i].diff(t), EQUATIONS[name]))
    relaxation = Relaxation(**{"directions": 4, **how})
    return redraw(PDEBlock(pde, WIDTH, relaxation=relaxation))


def calls(block: PDEBlock, channels: int = WIDTH) -> int:
    """How many convolutions one forward pass calls."""
    with torch.no_grad(), torch.profiler.profile() as profile:
        block(torch.zeros(1, channels, 6, 6))
    return {e.key: e.count for e in profile.key_averages()}["aten::conv2d"]


# One call of each coefficient of all directions, and one of all derivatives: 1 → m kernels.
CONVOLUTIONS = {
    "cubic": 4,  # C, E, all ∂, A
    "mixture": 3 + 4,  # of Eqs. (3) and (7)
    "functions": 2,
    "diffusion": 2,  # differences at faces, and of fluxes
    "reaction": 2 + 1,  # ∂ and B; A
    "second order": 2,
}


@pytest.mark.parametrize("name", EQUATIONS)
def test_terms_of_one_shape_are_one_stack_of_convolutions(name: str) -> None:
    assert [calls(made(name, directions=m)) for m in (2, 4)] == [CONVOLUTIONS[name]] * 2


# Diffusion's terms have no coefficient that could be 0.
@pytest.mark.parametrize("name", [name for name in EQUATIONS if name != "diffusion"])
def test_a_widened_stack_is_the_sum_of_its_directions(name: str) -> None:
    """2 m directions are m and m others, where all of it is linear in the kernels.

    Of a copy whose other half has zero closing coefficients nothing is left but the first half.
    Sums of some hundred products: 1e3 eps.
    """
    two, four = (made(name, directions=d, norm=False).double() for d in (2, 4))
    with torch.no_grad():
        for mine, theirs in zip(
            four.coefficients.tensors.values(), two.coefficients.tensors.values(), strict=True
        ):
            if mine.shape == theirs.shape:
                mine.copy_(theirs)
                continue
            place = next(d for d in range(mine.ndim) if mine.shape[d] != theirs.shape[d])
            mine.zero_().narrow(place, 0, theirs.shape[place]).copy_(theirs)
        for key, bank in four.banks.convolutions.items():
            bank.weight[: len(two.banks.of(key).weight)] = two.banks.of(key).weight  # type: ignore[operator]
        start = torch.randn(2, WIDTH, 6, 5, dtype=torch.float64)
        one = redrawn_scalars(two, four)
        found, expected = four.rate(start), one.rate(start)
    atol = 1e3 * EPS * float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)


def redrawn_scalars(one: PDEBlock, other: PDEBlock) -> PDEBlock:
    """Give two blocks the same functions and symbols."""
    for mine, theirs in ((one.functions, other.functions), (one.symbols, other.symbols)):
        for name in mine:
            theirs[name].data = mine[name].data.clone()
    return one


def test_blocks_of_two_fields_have_the_channels_of_both() -> None:
    pde = pn.PDE(
        sp.Eq(u[i].diff(t), A[i, j] * v[j].diff(x)), sp.Eq(v[i].diff(t), B[i, j] * u[j].diff(y))
    )
    block = redraw(PDEBlock(pde, 2 * WIDTH, 4 * WIDTH, stride=2)).eval()
    start = torch.randn(1, 2 * WIDTH, 6, 6)
    first, second = block.rate(start).chunk(2, dim=1)
    moved = start.clone()
    moved[:, WIDTH:] += 1.0  # v alone
    again = block.rate(moved).chunk(2, dim=1)
    assert (again[0] - first).abs().max() > 0.1
    assert torch.equal(again[1], second)


def test_a_classifier_of_any_of_them_learns_something() -> None:
    """Two classes, a ramp to the right or to the left: the loss falls below that of guessing."""
    torch.manual_seed(0)
    ramp = torch.linspace(-1, 1, 8).expand(8, 8)
    pictures = torch.stack([ramp, -ramp]).repeat(4, 1, 1)[:, None] + 0.1 * torch.randn(8, 1, 8, 8)
    labels = torch.tensor([0, 1]).repeat(4)
    for name in ("cubic", "mixture", "diffusion"):
        pde = pn.PDE(sp.Eq(u[i].diff(t), EQUATIONS[name]))
        model = pde.to_classifier(2, in_channels=1, layout=pn.Layout((4, 8), (1, 1)))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        loss = torch.zeros(())
        for _ in range(20):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(pictures), labels)
            loss.backward()
            optimizer.step()
        assert loss.item() < 0.35, name  # half of log 2


PADDINGS = {"diffusion": "reflect", "cubic": "zeros", "mixture": "reflect", "functions": "zeros"}


@pytest.mark.parametrize(
    ("name", "padding"), mostly_deep(PADDINGS.items(), [("diffusion", "reflect")])
)
def test_blocks_export_in_one_graph(name: str, padding: str) -> None:
    """Fluxes at walls and coordinates among them."""
    block = made(name, padding=padding, position=1).eval()
    start = torch.randn(2, WIDTH, 6, 7)
    exported = torch.export.export(block, (torch.zeros(2, WIDTH, 6, 7),))
    with torch.no_grad():
        torch.testing.assert_close(exported.module()(start), block(start))


@pytest.mark.parametrize("name", EQUATIONS)
def test_blocks_can_be_copied(name: str) -> None:
    block = made(name).eval()
    twin = copy.deepcopy(block)
    start = torch.randn(1, WIDTH, 5, 5)
    assert torch.equal(twin(start), block(start))
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1.0)
    assert not torch.equal(twin(start), block(start))


def test_a_source_has_no_norm_and_starts_at_0() -> None:
    """g_i is the same at all pixels: its variance is 0, and of one picture there is none."""
    g = pn.Coefficient("g", (n,))
    pde = pn.PDE(sp.Eq(u[i].diff(t), A[i, j] * u[j].diff(x) + g[i]))
    block = PDEBlock(pde, WIDTH)
    assert len(block.norms) == 1
    start = torch.randn(2, WIDTH, 5, 5)
    assert torch.equal(block(start), start)
    with torch.no_grad():
        block.coefficients.tensors["g"].copy_(torch.arange(1.0, 1 + WIDTH))
    added = (block(start) - start).mean(dim=(0, 2, 3))
    # u + g − u in float32.
    torch.testing.assert_close(added, torch.arange(1.0, 1 + WIDTH), rtol=1e-5, atol=0)
