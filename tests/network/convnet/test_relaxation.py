"""Relaxations alone and together: what each changes, and that all can be taken at once."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any  # options of all kinds

import numpy as np
import pytest
import sympy as sp
import torch
from torch.nn import functional as F

import pdenet as pn
from pdenet.network.convnet.activation import activation
from pdenet.network.convnet.block import PDEBlock
from pdenet.network.convnet.form import form_of
from pdenet.network.convnet.relaxation import PADDINGS, Relaxation
from pdenet.network.convnet.stage import Stage
from tests.network.convnet.redraw import redraw

EPS = 2.0**-52
WIDTH = 4

t, x, y = pn.coordinates("t x y")
i, j, k, m = pn.indices("i j k m")
n = sp.Symbol("n", integer=True, positive=True)
u = pn.VectorField("u", n, (t, x, y))
A, B, C = (pn.Coefficient(name, (n, n)) for name in "ABC")
G, H = (pn.Coefficient(name, (n, 2 * n)) for name in "GH")
K, L = (pn.Coefficient(name, (2 * n, n)) for name in "KL")
c = sp.Function("c")(x, y)

EQUATIONS: dict[str, pn.PDE] = {
    **{name: pn.catalogue[name] for name in ("eq3", "eq4", "eq5", "eq6", "eq7")},
    "mixture": pn.PDE(
        sp.Eq(
            u[i].diff(t),
            A[i, j] * C[j, k] * u[k] * u[j].diff(x)
            + G[i, m] * pn.D(K[m, j] * u[j] * L[m, k] * u[k], x)
            + H[i, m] * pn.D(K[m, j] * u[j] * L[m, k] * u[k], y)
            + sp.Symbol("a") * sp.tanh(u[i]),
        )
    ),
    "diffusion": pn.PDE(
        sp.Eq(
            u[i].diff(t),
            A[i, j] * pn.D(c * u[j].diff(x), x) + B[i, j] * pn.D(c * u[j].diff(y), y),
        )
    ),
}

# Together ----------------------------------------------------------------------------------------

OPTIONS: dict[str, Sequence[Any]] = {
    "equation": tuple(EQUATIONS),
    "directions": (None, 2, 4, 6),
    "share_kernels": (True, False),
    "norm": (True, False),
    "padding": PADDINGS,
    "position": (0, 1, 2),
    "stencils": ("free", "moment", "frozen"),
    "stepper": ("euler", "heun", "ssprk3", "rk4", "leapfrog"),
    "coefficients": ("free", "shared"),
    "opening_norm": (False, True),
}


def is_possible(row: Mapping[str, Any]) -> bool:
    """Kernels that stay derivatives are the equation's own, and shared."""
    is_free = row.get("stencils", "free") == "free"
    return is_free or (row.get("directions") is None and row.get("share_kernels", True))


def pairwise() -> list[dict[str, Any]]:
    """Rows of options in which every possible pair of two options' values occurs, greedily."""
    random = np.random.default_rng(0)
    names = list(OPTIONS)
    pairs = [
        ((a, one), (b, two))
        for a, b in itertools.combinations(names, 2)
        for one in OPTIONS[a]
        for two in OPTIONS[b]
    ]

    def completed(start: Mapping[str, Any]) -> dict[str, Any] | None:
        row = dict(start)
        if row.get("stencils", "free") != "free":
            row = {"directions": None, "share_kernels": True, **row}
        for name in random.permutation(names):
            values = OPTIONS[str(name)]
            row.setdefault(str(name), values[int(random.integers(len(values)))])
        if row["directions"] is not None or not row["share_kernels"]:
            if start.get("stencils", "free") != "free":
                return None
            row["stencils"] = "free"
        return row if is_possible(row) else None

    rows: list[dict[str, Any]] = []
    missing = set(pairs)
    while missing:
        first = min(missing, key=pairs.index)
        drawn = [completed(dict(first)) for _ in range(20)]
        possible = [row for row in drawn if row is not None]
        if not possible:
            missing.discard(first)
            continue
        row = max(possible, key=lambda row: len(missing & set(pairs_of(row))))
        missing -= set(pairs_of(row))
        rows.append(row)
    return rows


def pairs_of(row: Mapping[str, Any]) -> list[tuple[tuple[str, Any], tuple[str, Any]]]:
    return [((a, row[a]), (b, row[b])) for a, b in itertools.combinations(OPTIONS, 2)]


ROWS = pairwise()


def test_every_possible_pair_of_options_is_tried() -> None:
    tried = {pair for row in ROWS for pair in pairs_of(row)}
    for a, b in itertools.combinations(OPTIONS, 2):
        for one, two in itertools.product(OPTIONS[a], OPTIONS[b]):
            row = {a: one, b: two}
            if "directions" not in row and row.get("stencils", "free") != "free":
                row["directions"] = None
            assert ((a, one), (b, two)) in tried or not is_possible(row)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join(str(v) for v in row.values()))
def test_relaxations_work_together(row: dict[str, Any]) -> None:
    """Forward and backward; finite; every parameter has a gradient that is not 0.

    In evaluation: in training a closing norm takes away what the shift before it adds.
    """
    options = dict(row)
    equation, stepper, coefficients = (
        options.pop(name) for name in ("equation", "stepper", "coefficients")
    )
    torch.manual_seed(0)
    depth = 3
    stage = Stage(
        form_of(EQUATIONS[equation]), WIDTH, 2 * WIDTH, depth, stride=2,
        relaxation=Relaxation(**options), stepper=stepper, coefficients=coefficients,
        activations=[activation("softball") for _ in range(depth)],
    )  # fmt: skip
    redraw(stage)
    start = torch.randn(2, WIDTH, 9, 8)
    assert stage(start).isfinite().all()  # in training, too
    stage.eval()
    made = stage(start)
    assert made.shape == (2, 2 * WIDTH, 5, 4)
    assert made.isfinite().all()
    (made * torch.randn(made.shape)).sum().backward()
    assert any("coefficients" in name for name, _ in stage.named_parameters())
    for name, parameter in stage.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


# Directions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("directions", [1, 2, 3, 5, 6, 8])
def test_directions_are_as_many_kernels_and_coefficients(directions: int) -> None:
    """Of Eq. (3), whose two terms have weights of their own, and of Eq. (4), where C is shared."""
    relaxation = Relaxation(directions=max(directions, 2))
    count = max(directions, 2)
    block = PDEBlock(pn.catalogue["eq3"], WIDTH, relaxation=relaxation)
    assert block.coefficients.tensors["A_B"].shape == (WIDTH, WIDTH, count)
    assert block.coefficients.tensors["C_D"].shape == (WIDTH, count, WIDTH)
    assert block.banks.of("u").weight.shape == (count, 1, 3, 3)
    block = PDEBlock(pn.catalogue["eq4"], WIDTH, relaxation=relaxation)
    assert block.coefficients.tensors["C"].shape == (WIDTH, WIDTH)


def test_a_term_alone_has_one_direction_or_more() -> None:
    pde = pn.PDE(sp.Eq(u[i].diff(t), A[i, j] * u[j].diff(x)))
    for directions in (1, 3):
        block = PDEBlock(pde, WIDTH, relaxation=Relaxation(directions=directions))
        assert block.banks.of("u").weight.shape[0] == directions


@torch.no_grad()
def test_kernels_of_a_channels_own_are_its_own() -> None:
    """Moving the kernels of channel 2 moves F of channel 2 only, where F_i is of ∂u_i alone."""
    relaxation = Relaxation(share_kernels=False, norm=False)
    block = PDEBlock(pn.catalogue["eq5"], WIDTH, relaxation=relaxation)
    redraw(block)
    start = torch.randn(1, WIDTH, 5, 5)
    before = block.rate(start)
    weight = block.banks.of("u").weight
    assert weight.shape == (4 * WIDTH, 1, 3, 3)
    weight[8:12] += 1.0
    changed = (block.rate(start) - before).abs().amax(dim=(0, 2, 3)) > 0
    assert changed.tolist() == [False, False, True, False]


# Stencils ----------------------------------------------------------------------------------------

_LINEAR = pn.PDE(
    sp.Eq(
        u[i].diff(t),
        A[i, j] * u[j].diff(x) + B[i, j] * u[j].diff(y) + C[i, j] * u[j].diff(x, y),
    )
)


@torch.no_grad()
@pytest.mark.parametrize("which", ["A", "B", "C"])
def test_kernels_with_moments_stay_derivatives(which: str) -> None:
    """On polynomials up to the order of the derivative, whatever is learned; exact but for eps.

    Kernels are kept about 0 in float32; weights up to 3, polynomials up to 20.
    """
    relaxation = Relaxation(None, stencils="moment", norm=False)
    block = PDEBlock(_LINEAR, 1, relaxation=relaxation)
    for name, parameter in block.named_parameters():
        if "coefficients" in name:
            parameter.zero_()
        else:
            parameter.normal_()
    for tensor, names in zip(
        block.coefficients.tensors.values(), block.coefficients.labels, strict=True
    ):
        tensor.view(-1)[names.names.index(which)] = 1.0
    rows, columns = torch.meshgrid(torch.arange(5.0), torch.arange(6.0), indexing="ij")
    linear = 3 * columns - 2 * rows + 1
    values, expected = {
        "A": (linear, torch.full_like(linear, 3)),
        "B": (linear, torch.full_like(linear, -2)),
        "C": (linear + columns * rows - columns**2 / 4 + rows**2 / 2, torch.ones_like(linear)),
    }[which]
    found = block.rate(values[None, None])[0, 0, 1:-1, 1:-1]
    torch.testing.assert_close(found, expected[1:-1, 1:-1], rtol=0, atol=1e-4)
    assert any("free" in name for name, _ in block.named_parameters())


def test_frozen_kernels_are_no_parameters_and_free_ones_start_at_the_stencils() -> None:
    frozen, free = (
        PDEBlock(_LINEAR, WIDTH, relaxation=Relaxation(None, stencils=s, norm=False))
        for s in ("frozen", "free")
    )
    assert {name.partition(".")[0] for name, _ in frozen.named_parameters()} == {"coefficients"}
    assert "banks.convolutions.u.weight" in dict(free.named_parameters())
    with torch.no_grad():
        for one, two in zip(
            frozen.coefficients.parameters(), free.coefficients.parameters(), strict=True
        ):
            two.copy_(one.normal_())
        start = torch.randn(2, WIDTH, 5, 5)
        # The same sums by the same convolutions.
        torch.testing.assert_close(frozen(start), free(start), rtol=1e-6, atol=1e-5)


# Padding -----------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("padding", [*PADDINGS, ("circular", "zeros"), ("reflect", "replicate")])
@pytest.mark.parametrize("equation", ["eq3", "eq5", "eq7", "mixture"])
def test_a_padding_is_what_stands_around_a_picture(
    equation: str, padding: str | tuple[str, str]
) -> None:
    """F of the padded picture, in the middle; what that is padded with does not reach there."""
    relaxation = Relaxation(padding=padding)
    inside = redraw(PDEBlock(EQUATIONS[equation], WIDTH, relaxation=relaxation)).double().eval()
    wide = redraw(PDEBlock(EQUATIONS[equation], WIDTH)).double().eval()
    wide.load_state_dict(inside.state_dict())
    start = torch.randn(2, WIDTH, 6, 5, dtype=torch.float64)
    modes = (padding, padding) if isinstance(padding, str) else padding
    padded = start
    for mode, sizes in zip(modes, ((3, 3, 0, 0), (0, 0, 3, 3)), strict=True):
        padded = F.pad(padded, sizes, mode="constant" if mode == "zeros" else mode)
    expected = wide.rate(padded)[..., 3:-3, 3:-3]
    # Sums of some hundred products, in another order.
    atol = 1e3 * EPS * float(expected.abs().max())
    torch.testing.assert_close(inside.rate(start), expected, rtol=0, atol=atol)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (pn.Periodic(), ("circular", "circular")),
        (pn.ZeroPadding(), ("zeros", "zeros")),
        (pn.Neumann(0), ("reflect", "reflect")),
        ("replicate", ("replicate", "replicate")),
        ((pn.Periodic(), "zeros"), ("circular", "zeros")),
        (pn.Boundary(x=pn.Neumann(0), y=pn.Periodic()), ("reflect", "circular")),
        (
            pn.Boundary(x=(pn.Neumann(0), pn.Neumann(0.0)), y=pn.ZeroPadding()),
            ("reflect", "zeros"),
        ),
    ],
    ids=str,
)
def test_boundary_conditions_are_paddings(given: Any, names: tuple[str, str]) -> None:
    assert Relaxation(padding=given).padding == names


# Position ----------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_block_with_position_can_rotate() -> None:
    """u + dt (x ∂y u − y ∂x u): the simulator's Euler step, with weights set by hand.

    Eq. (9) with the equation's own directions: the monomials 1, x, y times ∂x, ∂y. Sums of 6 · 9
    products below 4: 512 eps.
    """
    points, dt = 9, 0.05
    grid = pn.Grid(x=(-1, 1, points), y=(-1, 1, points))
    boundary = pn.Boundary(x=pn.ZeroPadding(), y=pn.ZeroPadding())
    net = pn.catalogue["rotation"].to_network(
        grid, boundary, dt=dt, stepper="euler", space="central2", dtype=torch.float64,
        stability="ignore",
    )  # fmt: skip
    relaxation = Relaxation(None, norm=False, position=1)
    block = PDEBlock(pn.catalogue["eq9"], 2, relaxation=relaxation).double()
    per_pixel = dt * (points - 1) / 2
    weights = block.coefficients.tensors["A_B"].zero_()  # (i, j, 1∂x 1∂y x∂x x∂y y∂x y∂y)
    for channel in range(2):
        weights[channel, channel] = per_pixel * torch.tensor([0.0, 0, 0, 1, -1, 0]).double()
    start = torch.randn(3, 2, points, points, dtype=torch.float64)
    expected = net(start.reshape(6, 1, points, points)).reshape(start.shape)
    torch.testing.assert_close(block(start), expected, rtol=0, atol=512 * EPS)
    assert (block(start) - start).abs().max() > 0.1


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_a_position_is_all_monomials_up_to_its_degree(degree: int) -> None:
    count = (degree + 1) * (degree + 2) // 2
    relaxation = Relaxation(directions=4, position=degree)
    assert len(set(relaxation.monomials)) == count
    assert all(a + b <= degree for a, b in relaxation.monomials)
    block = PDEBlock(pn.catalogue["eq3"], WIDTH, relaxation=relaxation)
    assert block.coefficients.tensors["A_B"].shape == (WIDTH, WIDTH, 4 * count)
    assert block.banks.of("u").weight.shape[0] == 4  # the kernels are the same


@torch.no_grad()
def test_a_stride_takes_every_second_pixel_with_position() -> None:
    relaxation = Relaxation(norm=False, position=2, padding="circular")
    one, two = (
        PDEBlock(EQUATIONS["mixture"], WIDTH, stride=s, relaxation=relaxation).double()
        for s in (1, 2)
    )
    redraw(one)
    two.load_state_dict(one.state_dict(), strict=False)
    start = torch.randn(2, WIDTH, 7, 8, dtype=torch.float64)
    expected = one.rate(start)[:, :, ::2, ::2]
    atol = 1e3 * EPS * float(expected.abs().max())
    torch.testing.assert_close(two.rate(start), expected, rtol=0, atol=atol)


# Symmetries --------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("equation", ["eq3", "eq4", "eq5", "eq6", "eq7", "mixture"])
def test_shifts_commute_with_blocks_without_position(equation: str, position: int) -> None:
    """On a torus, to the rounding of sums in another order; with position they do not."""
    relaxation = Relaxation(padding="circular", position=position)
    block = PDEBlock(EQUATIONS[equation], WIDTH, relaxation=relaxation).double()
    redraw(block).eval()
    start = torch.randn(2, WIDTH, 6, 7, dtype=torch.float64)

    def shifted(u: torch.Tensor) -> torch.Tensor:
        return u.roll((2, -3), dims=(2, 3))

    apart = (block(shifted(start)) - shifted(block(start))).abs().max()
    assert apart > 1e-2 if position else apart < 1e3 * EPS * block(start).abs().max()
