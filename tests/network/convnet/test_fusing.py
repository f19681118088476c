"""A fused model computes what the model does, without a single batch norm."""

from __future__ import annotations

import itertools
from typing import Any  # options of a classifier

import pytest
import sympy as sp
import torch
from torch import nn

import pdenet as pn
from pdenet.errors import NetworkError
from pdenet.network.convnet.config import official_equation
from pdenet.network.convnet.fusing import is_norm, scale_and_shift
from tests.network.convnet.redraw import FEW, redraw
from tests.tiers import Each, both_tiers, mostly_deep

# Rounding of sums of some hundred products and of the folded weights: some units of 6e-8 and 1e-16
# a layer; what is asked for is 2e-6 and 1e-13 of the largest logit.
TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-13}

# Two blocks that keep their shape, and one of another width and stride.
SHAPE = pn.Layout(widths=(8, 16), depths=(2, 1))

OPTIONS: dict[str, dict[str, Any]] = {
    "circular": {"padding": "circular"},
    "reflect": {"padding": "reflect"},
    "replicate": {"padding": "replicate"},
    "a padding for each axis": {"padding": ("zeros", "circular")},
    "kernels of each channel": {"share_kernels": False},
    "the equation's own kernels": {"directions": None, "stencils": "frozen"},
    "kernels with moments": {"directions": None, "stencils": "moment"},
    "position": {"position": 2, "padding": "replicate"},
    "shared coefficients": {"coefficients": "shared"},
    "shared constrained kernels": {
        "coefficients": "shared",
        "directions": None,
        "stencils": "moment",
    },
    "Runge–Kutta": {"stepper": "rk4"},
    "leapfrog": {"stepper": "leapfrog"},
    "ReLU everywhere": {"activation": "relu"},
    "opening norms": {"opening_norm": True},
    "opening norms, position, shared": {
        "opening_norm": True,
        "position": 1,
        "coefficients": "shared",
    },
    "no norms inside": {"norm": False},
}

n = sp.Symbol("n", integer=True, positive=True)
t, x, y = pn.coordinates("t x y")
u = pn.VectorField("u", n, (t, x, y))
i, j, k, m = pn.indices("i j k l")
A, B, C = (pn.Coefficient(letter, (n, n)) for letter in "ABC")
T = pn.Coefficient("T", (n, n, n))
c = sp.Function("c")(x, y)

OTHERS = {
    "a closing coefficient in two layers": A[i, j] * B[j, k] * u[k] * u[j].diff(x)
    + A[i, j] * u[j].diff(y)
    + C[i, j] * u[j],
    "one coefficient outside and inside": A[i, j] * pn.D(A[j, k] * u[k] * u[j], x)
    + B[i, j] * pn.D(A[j, k] * u[k] * u[j], y),
    "one coefficient twice inside": A[i, j] * B[j, k] * u[k] * B[j, m] * u[m] * u[j].diff(x),
    "cubic": A[i, j] * B[j, k] * u[k] * C[j, m] * u[m] * u[j].diff(x) + B[i, j] * u[j].diff(y),
    "a diagonal": T[i, i, j] * u[j].diff(x) + B[i, j] * u[j],
    "two closing coefficients": A[i, j] * T[i, j, k] * u[k] * u[j].diff(x),
    "two maps of u": A[i, j] * u[j] * B[i, k] * u[k],
    "functions and variable coefficients": c * A[i, j] * sp.tanh(u[j]) * u[j].diff(x)
    + 3 * pn.D(c * B[i, j] * u[j].diff(y), y),
}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Of some seeds in a hundred one rounds to just above 2e-6 in a model of 13 blocks."""
    torch.manual_seed(0)


def assert_fuses(model: pn.Classifier, size: tuple[int, int] = (15, 13)) -> pn.Classifier:
    """Compare logits and features in both precisions; return the fused model in float64."""
    redraw(model, 1).eval()
    torch.manual_seed(2)
    x = torch.randn(2, model.in_channels, *size)
    fused = model
    for dtype, tolerance in TOLERANCE.items():
        model, x = model.to(dtype), x.to(dtype)
        fused = model.fused()
        with torch.no_grad():
            pairs = [(model(x), fused(x))]
            if dtype == torch.float64:  # pixels have no mean that rounding errors cancel in
                pairs.append((model.forward_features(x), fused.forward_features(x)))
        for expected, got in pairs:
            assert got.dtype == dtype
            assert (got - expected).abs().max() <= tolerance * expected.abs().max()
        assert not any(map(is_norm, fused.modules()))
    return fused


@pytest.mark.parametrize("name", mostly_deep(pn.list_models("small"), FEW))
def test_a_fused_small_model_has_the_same_logits(name: str) -> None:
    assert_fuses(pn.create_model(name, 10))


@pytest.mark.parametrize(
    "name",
    mostly_deep([m for m in pn.list_models() if not m.endswith("small")], ["eq3"]),
)
def test_a_fused_large_model_has_the_same_logits(name: str) -> None:
    assert_fuses(pn.create_model(name, 10), (33, 31))


@both_tiers
def test_every_option_of_every_equation_can_be_fused(each: Each, deep: bool) -> None:
    """Quick: each option of one equation that has no flux, and of one that has where that matters.

    That is where pixels or kernels are others.
    """
    cells = itertools.product(("eq2", "eq3", "eq4", "eq5", "eq6", "eq7"), OPTIONS)
    few = [(f"eq{2 + number % 4}", option) for number, option in enumerate(OPTIONS)]
    few += [
        (f"eq{6 + number % 2}", option)
        for number, (option, how) in enumerate(OPTIONS.items())
        if {"padding", "position", "share_kernels", "stencils"} & set(how)
    ]
    for (equation, option), cell in each(cells if deep else few, key=": ".join):
        with cell:
            torch.manual_seed(0)
            made = pn.catalogue[equation].to_classifier(3, layout=SHAPE, **OPTIONS[option])
            assert_fuses(made, (7, 6))


@both_tiers
def test_equations_that_the_paper_does_not_have_can_be_fused(each: Each, deep: bool) -> None:
    """With and without opening norms, with free coefficients and shared ones; quick: a pair."""
    ways = [("free", False), ("shared", True), ("free", True), ("shared", False)]
    cells = itertools.product(OTHERS, ways if deep else ways[:2])
    for (name, (coefficients, opening_norm)), cell in each(cells, key=str):
        with cell:
            torch.manual_seed(0)
            pde = pn.PDE(sp.Eq(u[i].diff(t), OTHERS[name]))
            model = pde.to_classifier(
                3, layout=SHAPE, coefficients=coefficients, opening_norm=opening_norm
            )
            assert_fuses(model, (7, 6))


def test_the_authors_block_can_be_fused() -> None:
    assert_fuses(
        official_equation().to_classifier(3, layout=SHAPE, directions=2, opening_norm=True)
    )


def test_scale_and_shift_are_those_of_torch() -> None:
    norm = nn.BatchNorm2d(3, eps=0.1)
    torch.manual_seed(0)
    for tensor in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
        assert tensor is not None
        tensor.uniform_(0.5, 2.0)
    x = torch.randn(4, 3, 5, 5, dtype=torch.float64)
    norm = norm.double().eval()
    scale, shift = scale_and_shift(norm)
    expected = scale[:, None, None] * x + shift[:, None, None]
    # A few roundings of numbers of order 1.
    assert torch.allclose(norm(x), expected, rtol=0, atol=1e-14)


def closing_of_first_two(model: pn.Classifier) -> list[torch.Tensor]:
    blocks = [module for module in model.modules() if isinstance(module, pn.PDEBlock)]
    return [block.coefficients.tensors["A_B"] for block in blocks[:2]]


def test_blocks_that_share_coefficients_do_not_in_the_copy() -> None:
    model = redraw(pn.create_model("eq3_small", 10, coefficients="shared")).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fused = model.fused()
    for one, shared in ((model, True), (fused, False)):
        first, second = closing_of_first_two(one)
        assert (first.data_ptr() == second.data_ptr()) is shared
    # The norms of the blocks differ, and so do the folded coefficients.
    first, second = closing_of_first_two(fused)
    assert not torch.equal(first, second)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_synchronised_norms_are_folded_too() -> None:
    model = redraw(pn.create_model("eq7_nows_x6_small", 10)).eval()
    fused = nn.SyncBatchNorm.convert_sync_batchnorm(model).fused()
    x = torch.randn(2, 3, 9, 9)
    with torch.no_grad():
        expected = pn.create_model("eq7_nows_x6_small", 10)
        expected.load_state_dict(model.state_dict())
        expected.eval()
        assert (fused(x) - expected(x)).abs().max() <= 2e-6 * expected(x).abs().max()


def test_a_fused_model_is_for_inference() -> None:
    model = redraw(pn.create_model("eq3_small", 10))
    assert model.training
    fused = model.fused()
    assert model.training  # the model itself stays in its mode
    assert not fused.training
    assert fused.eval() is fused
    with pytest.raises(NetworkError, match="for inference"):
        fused.train()
    assert not any(module.training for module in fused.modules())
    assert not any(p.requires_grad for p in fused.parameters())


def test_fusing_twice_changes_nothing_more() -> None:
    once = redraw(pn.create_model("eq6_small", 10)).fused()
    twice = once.fused()
    x = torch.randn(1, 3, 8, 8)
    assert torch.equal(once(x), twice(x))
    assert once.state_dict().keys() == twice.state_dict().keys()
