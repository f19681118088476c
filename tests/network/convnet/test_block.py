"""The published blocks, written out with torch's own layers, are what the compiler makes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sympy as sp
import torch
from torch import nn

import pdenet as pn
from pdenet.network.convnet.block import PDEBlock
from pdenet.network.convnet.config import MODELS
from pdenet.network.convnet.directions import Directions
from pdenet.network.convnet.relaxation import Relaxation
from tests.network.convnet.redraw import redraw
from tests.network.convnet.written import NAMES, WRITTEN, Eq4, Eq6, Eq7, Written

WIDTH = 6
EPS = 2.0**-52


def compiled(name: str, out: int, stride: int) -> PDEBlock:
    equation, options = MODELS[name]
    relaxation = Relaxation(**{k: v for k, v in options.items() if k != "layout"})
    pde = pn.catalogue[equation]
    return redraw(PDEBlock(pde, WIDTH, out, stride=stride, relaxation=relaxation).double())


def partners(
    block: PDEBlock, written: Written
) -> tuple[list[tuple[torch.Tensor, torch.Tensor]], list[tuple[nn.Module, nn.Module]]]:
    """Each parameter of a compiled block with the same one of the written block; and all norms."""
    (bank,) = block.banks.convolutions.values()
    assert isinstance(bank, Directions)
    modules: list[tuple[nn.Module, nn.Module]] = [(bank.norm, written.norm)]
    modules += zip(block.norms.values(), [written.closing_norm] if block.norms else [], strict=True)
    if not block.keeps_shape:
        modules.append((block.projection, written.skip))
    pairs: list[tuple[torch.Tensor, torch.Tensor]] = [(bank.weight, written.kernels)]
    pairs += [
        (block.coefficients.tensors[theirs], getattr(written, mine).weight)
        for mine, theirs in NAMES[type(written)].items()
    ]
    for one, two in modules:
        pairs += zip(one.parameters(), two.parameters(), strict=True)
    return pairs, [(one, two) for one, two in modules]


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("entry", [False, True], ids=["ordinary", "entry"])
@pytest.mark.parametrize("name", WRITTEN)
def test_a_compiled_block_is_the_written_one(name: str, entry: bool, training: bool) -> None:
    """Outputs and all gradients, to 1e4 eps of the largest: sums of ≤ 2 · 6 · 36 · 63 products."""
    out, stride = (2 * WIDTH, 2) if entry else (WIDTH, 1)
    block = compiled(name, out, stride)
    kind, directions, shared = WRITTEN[name]
    written = kind(WIDTH, out, stride, directions, shared).double()
    pairs, norms = partners(block, written)
    assert {id(one) for one, _ in pairs} == {id(p) for p in block.parameters()}
    assert {id(two) for _, two in pairs} == {id(p) for p in written.parameters()}
    for one, two in pairs:
        assert one.numel() == two.numel()
        two.data = one.data.reshape(two.shape).clone()
    for mine, theirs in norms:
        for one, two in zip(mine.buffers(), theirs.buffers(), strict=True):
            two.copy_(one)
    block.train(training)
    written.train(training)
    torch.manual_seed(1)
    u = torch.randn(2, WIDTH, 9, 7, dtype=torch.float64)
    weights = torch.randn(2, out, -(-9 // stride), -(-7 // stride), dtype=torch.float64)
    made = [module(u) for module in (block, written)]
    torch.testing.assert_close(*made, rtol=0, atol=1e4 * EPS)
    assert made[0].shape == weights.shape
    assert (made[0] - block.projection.eval()(u)).abs().max() > 0.1
    block.train(training)
    for one in made:
        (one * weights).sum().backward()
    for one, two in pairs:
        assert one.grad is not None
        assert two.grad is not None
        size = float(two.grad.abs().max())
        # In training the closing norm takes away the mean, and with it what the first one's shift
        # adds to a 1×1 convolution; not where a product or nothing stands between.
        is_taken_away = training and two is written.norm.bias and kind in (Eq4, Eq6, Eq7)
        assert size < 1e4 * EPS if is_taken_away else size > 1e-3
        torch.testing.assert_close(
            one.grad, two.grad.reshape(one.shape), rtol=0, atol=1e4 * EPS * max(size, 1)
        )
    for mine, theirs in norms:
        for one, two in zip(mine.buffers(), theirs.buffers(), strict=True):
            torch.testing.assert_close(one, two, rtol=1e4 * EPS, atol=1e4 * EPS)


# At initialisation -------------------------------------------------------------------------------

GENERAL: dict[str, Callable[[], PDEBlock]] = {
    **{
        name: (lambda e=equation: PDEBlock(pn.catalogue[e], WIDTH))  # type: ignore[misc]
        for name, (equation, _) in MODELS.items()
        if not name.endswith("small")
    },
    "without norms": lambda: PDEBlock(
        pn.catalogue["eq3"], WIDTH, relaxation=Relaxation(norm=False)
    ),
    "eq5 without norms": lambda: PDEBlock(
        pn.catalogue["eq5"], WIDTH, relaxation=Relaxation(norm=False)
    ),
}


@pytest.mark.parametrize("name", GENERAL)
def test_a_new_block_is_its_skip_connection(name: str) -> None:
    block = GENERAL[name]()
    u = torch.randn(2, WIDTH, 5, 5)
    assert torch.equal(block(u), u)


@pytest.mark.parametrize("name", ["eq3", "eq4", "eq6", "eq7_nows_x6"])
def test_coefficients_start_with_variance_1_over_what_they_make(name: str) -> None:
    """Kaiming normal, fan out, linear gain, as nn.init does for the same convolutions.

    With N numbers the standard deviation is known to a relative 1/sqrt(2N); five times that.
    """
    equation, options = MODELS[name]
    relaxation = Relaxation(**{k: v for k, v in options.items() if k != "layout"})
    torch.manual_seed(0)
    block = PDEBlock(pn.catalogue[equation], 48, relaxation=relaxation)
    kind, directions, shared = WRITTEN[name]
    written = kind(48, 48, 1, directions, shared)
    for mine, theirs in NAMES[type(written)].items():
        convolution = getattr(written, mine)
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="linear")
        values = block.coefficients.tensors[theirs]
        expected = convolution.out_channels**-0.5
        for std in (values.detach().std(), convolution.weight.detach().std()):
            assert abs(float(std) / expected - 1) < 5 / (2 * values.numel()) ** 0.5


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_number_in_front_does_not_change_how_coefficients_start(sign: int) -> None:
    """Fan out of the closing convolution n m → n is n; N numbers tell the deviation to 1/√(2N)."""
    n, (t, x, y) = sp.Symbol("n", integer=True, positive=True), pn.coordinates("t x y")
    i, j = pn.indices("i j")
    u, A, B = pn.VectorField("u", n, (t, x, y)), *(pn.Coefficient(s, (n, n)) for s in "AB")
    pde = pn.PDE(sp.Eq(u[i].diff(t), sign * A[i, j] * u[j].diff(x) + sign * B[i, j] * u[j].diff(y)))
    torch.manual_seed(0)
    weights = PDEBlock(pde, 48).coefficients.tensors["A_B"].detach()
    assert abs(float(weights.std()) * 48**0.5 - 1) < 5 / (2 * weights.numel()) ** 0.5


def test_without_norms_a_product_of_two_free_coefficients_can_leave_zero() -> None:
    n, (t, x, y) = sp.Symbol("n", integer=True, positive=True), pn.coordinates("t x y")
    i, j, k = pn.indices("i j k")
    u, A, B = pn.VectorField("u", n, (t, x, y)), *(pn.Coefficient(s, (n, n)) for s in "AB")
    pde = pn.PDE(sp.Eq(u[i].diff(t), A[i, j] * u[j] * B[i, k] * u[k]))
    block = PDEBlock(pde, 4, relaxation=Relaxation(norm=False))
    state = torch.randn(1, 4, 6, 6)
    assert not block.rate(state).any()
    block.rate(state).sum().backward()
    # Some coefficient has a gradient, so that F does not stay 0 for ever.
    assert any(bool(p.grad.any()) for p in block.parameters() if p.grad is not None)


def test_the_state_of_a_block_is_tensors_only() -> None:
    block = compiled("eq7_nows_x6", 2 * WIDTH, 2)
    again = compiled("eq7_nows_x6", 2 * WIDTH, 2)
    redraw(again, seed=3)
    again.load_state_dict(block.state_dict())
    u = torch.randn(1, WIDTH, 6, 6, dtype=torch.float64)
    assert torch.equal(block.eval()(u), again.eval()(u))


def test_a_block_is_left_out_as_often_as_asked() -> None:
    """drop_path 0.4 of 4000 pictures: the count is binomial; five standard deviations.

    What is kept is scaled by 1/0.6, so that the mean is F.
    """
    torch.manual_seed(0)
    relaxation = Relaxation(norm=False)
    block = PDEBlock(pn.catalogue["eq3"], 2, relaxation=relaxation, drop_path=0.4)
    redraw(block)
    u = torch.randn(1, 2, 3, 3).expand(4000, 2, 3, 3)
    change = (block.train()(u) - u).flatten(1)
    is_kept = change.any(dim=1)
    assert abs(int(is_kept.sum()) - 2400) < 5 * (4000 * 0.4 * 0.6) ** 0.5
    rate = block.rate(u[:1]).flatten(1)
    # u + F is rounded to float32.
    torch.testing.assert_close(change[is_kept][:1], rate / 0.6, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(block.eval()(u[:1]), u[:1] + block.rate(u[:1]))
