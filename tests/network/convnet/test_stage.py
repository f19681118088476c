"""Stages: what is shared by their blocks, where activations stand, and how steppers go."""

from __future__ import annotations

from typing import Any  # options of a stage

import pytest
import sympy as sp
import torch
from torch import nn

import pdenet as pn
from pdenet.errors import NetworkError
from pdenet.network.convnet.activation import activation
from pdenet.network.convnet.block import PDEBlock
from pdenet.network.convnet.form import form_of
from pdenet.network.convnet.relaxation import Relaxation
from pdenet.network.convnet.stage import BLOCK_STEPPERS, Stage
from tests.network.convnet.redraw import redraw

WIDTH = 4


def stage(
    depth: int = 3, in_channels: int = WIDTH, channels: int = WIDTH, stride: int = 1, **how: Any
) -> Stage:
    torch.manual_seed(0)
    acts = how.pop("activations", [activation("none") for _ in range(depth)])
    options = {"relaxation": Relaxation(norm=False), **how}
    pde = pn.catalogue[options.pop("equation", "eq3")]
    made = Stage(
        form_of(pde), in_channels, channels, depth, stride=stride, activations=acts, **options
    )
    return redraw(made)


def state(channels: int = WIDTH) -> torch.Tensor:
    torch.manual_seed(1)
    return 0.5 * torch.randn(2, channels, 6, 6)


def blocks(of: Stage) -> list[PDEBlock]:
    return [block for block in of.blocks if isinstance(block, PDEBlock)]


def test_a_stage_of_euler_steps_is_its_blocks_in_a_row() -> None:
    made, u = stage(activations=[activation(a) for a in ("none", "softball", "relu")]), state()
    expected = u
    for block, act in zip(made.blocks, made.activations, strict=True):
        expected = act(block(expected))
    assert torch.equal(made(u), expected)


def test_shared_coefficients_are_one_parameter_and_norms_are_each_blocks_own() -> None:
    made = stage(4, channels=2 * WIDTH, stride=2, coefficients="shared", relaxation=Relaxation())
    entry, first, *others = blocks(made)
    for block in others:
        assert block.coefficients.tensors["A_B"] is first.coefficients.tensors["A_B"]
        assert block.banks.of("u").weight is first.banks.of("u").weight
        assert block.banks.of("u").norm.weight is not first.banks.of("u").norm.weight
        assert block.norms["0"].weight is not first.norms["0"].weight
    assert entry.coefficients.tensors["A_B"] is not first.coefficients.tensors["A_B"]
    free = stage(4, channels=2 * WIDTH, stride=2, relaxation=Relaxation())
    tensors = {id(b.coefficients.tensors["A_B"]) for b in blocks(free)}
    assert len(tensors) == 4


def test_blocks_of_other_widths_share_nothing() -> None:
    one, two = (PDEBlock(pn.catalogue["eq3"], width) for width in (4, 8))
    with pytest.raises(NetworkError, match="blocks of one width share their weights"):
        one.share(two)


@pytest.mark.parametrize("equation", ["eq2", "eq3", "eq4", "eq5", "eq6", "eq7"])
def test_shared_weights_get_the_sum_of_all_gradients(equation: str) -> None:
    """The derivative along a direction, by a central difference in float64: relative 1e-6."""
    made = stage(3, equation=equation, coefficients="shared").double()
    u = state().double()
    made(u).square().sum().backward()
    parameters = list(made.parameters())
    directions = [torch.randn_like(p) for p in parameters]
    slope = sum(
        float((p.grad * d).sum())
        for p, d in zip(parameters, directions, strict=True)
        if p.grad is not None
    )
    step, values = 1e-6, []
    with torch.no_grad():
        for sign in (1, -1):
            for p, d in zip(parameters, directions, strict=True):
                p.add_(d, alpha=sign * step)
            values.append(float(made(u).square().sum()))
            for p, d in zip(parameters, directions, strict=True):
                p.sub_(d, alpha=sign * step)
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize("stepper", [s for s in BLOCK_STEPPERS if s != "leapfrog"])
def test_steppers_evaluate_each_block_as_often_as_they_have_stages(stepper: str) -> None:
    made, counts = stage(3, channels=2 * WIDTH, stride=2, stepper=stepper), []
    for block in blocks(made):
        original = block.rate

        def counted(u: torch.Tensor, *rest: Any, rate: Any = original) -> torch.Tensor:
            counts.append(1)
            return rate(u, *rest)

        block.rate = counted  # type: ignore[assignment, method-assign]
    made(state())
    stages = {"euler": 1, "heun": 2, "ssprk3": 3, "rk4": 4}[stepper]
    assert len(counts) == 1 + 2 * stages  # what changes width is an Euler step


def test_steppers_are_of_their_orders() -> None:
    """u(1) of a stage whose F is divided by the number of blocks: errors fall as 2^−p.

    Between 8 and 16 blocks, in float64, to 0.25 of the order p.
    """
    u = state().double()

    def end(stepper: str, depth: int) -> torch.Tensor:
        made = stage(depth, stepper=stepper, coefficients="shared").double()
        torch.manual_seed(3)
        with torch.no_grad():
            for parameter in blocks(made)[0].coefficients.parameters():
                parameter.copy_(torch.randn_like(parameter) / 4)
            blocks(made)[0].coefficients.tensors["A_B"].div_(depth)
            blocks(made)[0].banks.of("u").weight.copy_(torch.randn(4, 1, 3, 3) / 4)
            return made(u)

    exact = end("rk4", 128)
    for stepper, order in {"euler": 1, "heun": 2, "ssprk3": 3, "rk4": 4}.items():
        coarse, fine = (float((end(stepper, d) - exact).abs().max()) for d in (8, 16))
        rate = torch.tensor(coarse / fine).log2().item()
        assert rate == pytest.approx(order, abs=0.25)


def test_leapfrog_begins_anew_behind_a_change_of_width() -> None:
    made, u = stage(4, channels=2 * WIDTH, stride=2, stepper="leapfrog"), state()
    entry, first, second, third = blocks(made)
    states = [entry(u)]
    states.append(states[-1] + first.rate(states[-1]))
    states.append(states[-2] + 2 * second.rate(states[-1]))
    states.append(states[-2] + 2 * third.rate(states[-1]))
    torch.testing.assert_close(made(u), states[-1])


@pytest.mark.parametrize("stepper", BLOCK_STEPPERS)
def test_checkpointing_changes_memory_only(stepper: str) -> None:
    """Output, gradients and running statistics, bit for bit."""
    one, two = (stage(3, stepper=stepper, relaxation=Relaxation()) for _ in range(2))
    two.load_state_dict(one.state_dict())
    two.checkpointing = True
    results = []
    for made in (one, two):
        result: torch.Tensor = made(state())
        result.square().sum().backward()
        results.append(result)
    assert torch.equal(*results)
    for p, q in zip(one.parameters(), two.parameters(), strict=True):
        assert p.grad is not None
        assert q.grad is not None
        assert torch.equal(p.grad, q.grad)
    for mine, theirs in zip(one.buffers(), two.buffers(), strict=True):
        assert torch.equal(mine, theirs)


def test_activations_stand_where_published() -> None:
    """ "@ds": behind each block that changes stride, and once behind the last stage: four."""

    def places(**how: Any) -> list[bool]:
        model = pn.create_model("eq3", 10, **how)
        acts = [a for s in model.stages if isinstance(s, Stage) for a in s.activations]
        return [not isinstance(a, nn.Identity) for a in (*acts, model.final)]

    with torch.device("meta"):
        published = places()
        assert [k for k, found in enumerate(published) if found] == [3, 7, 13, 16]
        assert sum(places(activation="relu")) == 16  # "relu everywhere"
        assert sum(places(activation="hardtanh", activate="blocks")) == 16
        assert sum(places(activation="none")) == 0


def test_pairs_of_second_order_are_of_first_order() -> None:
    """Of (u, u_t) leapfrog is u_{n+1} = u_{n−1} + 2 F, whatever the equation was."""
    t, x, y = pn.coordinates("t x y")
    i, n = pn.indices("i"), sp.Symbol("n", integer=True, positive=True)
    u = pn.VectorField("u", n, (t, x, y))
    form = form_of(pn.PDE(sp.Eq(u[i].diff(t, 2), u[i].diff(x, 2) + u[i].diff(y, 2))))
    assert form.is_second_order
    pairs = Stage(
        form, 2 * WIDTH, 2 * WIDTH, 2, stride=1, relaxation=Relaxation.none(),
        stepper="leapfrog", activations=[nn.Identity()] * 2,
    )  # fmt: skip
    start = state(2 * WIDTH)
    first, second = blocks(pairs)
    expected = start + 2 * second.rate(start + first.rate(start))
    torch.testing.assert_close(pairs(start), expected)


@pytest.mark.parametrize("stepper", BLOCK_STEPPERS)
def test_every_stepper_leaves_blocks_out_in_training_as_if_they_had_no_force(stepper: str) -> None:
    made = stage(2, stepper=stepper, drop_paths=[0.0, 0.5])
    first = blocks(made)[0]
    many = state()[:1].expand(400, -1, -1, -1)
    with torch.no_grad():
        one = made.eval()._step(first, many, None)  # what comes before the last block
        full = made(many)[0]
        result = made.train()(many)
    # Without force leapfrog u_{n+1} = u_{n-1} + 2F goes back to the state before.
    rest = many[0] if stepper == "leapfrog" else one[0]
    kept = rest + (full - rest) / 0.5  # scaled, so that the mean is that of evaluation
    near = [
        torch.isclose(result, wanted, rtol=1e-4, atol=1e-4).flatten(1).all(dim=1)  # float32
        for wanted in (rest, kept)
    ]
    assert bool((near[0] | near[1]).all())
    # 400 pictures, each with probability ½: five standard deviations.
    assert abs(int(near[0].sum()) - 200) < 5 * 10
