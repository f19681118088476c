"""A classifier: what it computes, its head, and what training scripts ask of it.

All laws but those of options run over every published model, with redrawn batch norms: at
initialisation a block is its skip connection, and most laws would hold for a model without blocks.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable
from typing import Any  # options of a classifier

import numpy as np
import pytest
import sympy as sp
import torch
from torch import nn

import pdenet as pn
from pdenet.errors import NetworkError
from pdenet.network.convnet.block import PDEBlock
from pdenet.network.convnet.classifier import Classifier
from tests.network.convnet.redraw import model_of, pictures
from tests.tiers import mostly_deep

NAMES = pn.list_models()
SMALL = [name for name in NAMES if name.endswith("_small")]
STEPPERS = ("euler", "heun", "ssprk3", "rk4", "leapfrog")


def blocks(model: Classifier) -> list[PDEBlock]:
    return [module for module in model.modules() if isinstance(module, PDEBlock)]


def named(model: Classifier) -> list[tuple[str, nn.Parameter]]:
    return list(model.named_parameters())


# -- what it computes ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", mostly_deep(NAMES, SMALL))
def test_logits_are_the_head_of_the_features(name: str) -> None:
    model = model_of(name).eval()
    x = pictures(model)
    with torch.no_grad():
        logits, features = model(x), model.forward_features(x)
        pooled = model.forward_head(features, pre_logits=True)
    reduction = model.layout.reductions[-1]
    points = tuple(math.ceil(n / reduction) for n in x.shape[2:])
    assert features.shape == (2, model.num_features, *points)
    assert pooled.shape == (2, model.num_features) == (2, model.head_hidden_size)
    assert logits.shape == (2, 5)
    assert isinstance(model.head, nn.Linear)
    mean = features.double().numpy().mean(axis=(2, 3))
    expected = mean @ model.head.weight.detach().double().numpy().T
    expected += model.head.bias.detach().double().numpy()
    # float32's 6e-8, over sums of at most 512 products of numbers near 1.
    np.testing.assert_allclose(logits.numpy(), expected, atol=1e-5)
    assert np.ptp(logits.numpy(), axis=0).min() > 1e-4  # the pictures are told apart


# In training the closing norm subtracts the mean of what the closing 1×1 convolution made, and with
# it what a shift directly before that convolution added: in Eqs. (4), (6) and (7) as published the
# shifts behind the depthwise convolution have no effect until the norms stand still.
SHIFTS = {
    **dict.fromkeys(("eq4", "eq4_small"), "banks.convolutions.u.norm.bias"),
    **dict.fromkeys(("eq6", "eq6_small"), "banks.convolutions.flux_0.norm.bias"),
    **dict.fromkeys(("eq7_nows_x6", "eq7_nows_x6_small"), "banks.convolutions.flux_0.norm.bias"),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", mostly_deep(NAMES, SMALL))
def test_every_parameter_receives_a_gradient(name: str, training: bool) -> None:
    # In float64, where rounding gives some 1e-16 and what is really there 5e-3 and more: in float32
    # a gradient of nothing but rounding passes for one.
    model = model_of(name).double().train(training)
    loss = nn.functional.cross_entropy(model(pictures(model).double()), torch.tensor([1, 4]))
    loss.backward()
    sizes = {key: 0.0 if p.grad is None else p.grad.abs().max() for key, p in named(model)}
    without = {key for key, size in sizes.items() if not 1e-6 < size < 1e3}
    assert without == {
        key for key in sizes if training and name in SHIFTS and key.endswith(SHIFTS[name])
    }


@pytest.mark.parametrize("name", SMALL)
def test_without_redrawn_norms_most_parameters_receive_none(name: str) -> None:
    # Why `redraw` has to come first: the census above would otherwise be about the skips alone.
    torch.manual_seed(0)
    model = pn.create_model(name, 5).train()
    nn.functional.cross_entropy(model(pictures(model)), torch.tensor([1, 4])).backward()
    dead = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert any(".coefficients." in key for key in dead)
    # A block of stride 1 is then u itself, exactly.
    maps = model.eval().feature_maps(pictures(model))
    assert torch.equal(maps["stage1.block1"], maps["stem"])
    assert torch.equal(maps["stage1.block2"], maps["stem"])


@pytest.mark.parametrize("name", mostly_deep(NAMES, SMALL))
def test_a_copy_computes_the_same_and_shares_nothing(name: str) -> None:
    model = model_of(name).eval()
    x = pictures(model)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        before = model(x)
        assert torch.equal(twin(x), before)
        for tensor in [*twin.parameters(), *twin.buffers()]:
            tensor.zero_()
        assert torch.equal(model(x), before)
        assert not torch.equal(twin(x), before)


@pytest.mark.parametrize("in_channels", [1, 4])
def test_a_picture_may_have_any_number_of_channels(in_channels: int) -> None:
    model = model_of("eq3_small", in_channels=in_channels)
    assert model.in_chans == in_channels
    assert model(torch.randn(2, in_channels, 8, 8)).shape == (2, 5)


def test_stochastic_depth_leaves_out_more_the_deeper_a_block_is() -> None:
    model = model_of("eq3", drop_path_rate=0.3)
    assert model.drop_path_rate == 0.3
    rates = [block.drop_path for block in blocks(model)]
    np.testing.assert_allclose(rates, np.linspace(0, 0.3, 16), atol=1e-12)  # rounding of float64


def test_stochastic_depth_leaves_out_all_of_a_pictures_rate_or_nothing() -> None:
    block = blocks(model_of("eq3_small", drop_path_rate=0.4))[-1]
    block.eval()
    u = torch.randn(40, 64, 5, 5)
    with torch.no_grad():
        rate = block.rate(u)
        assert torch.equal(block(u), u + rate)
        block.training = True  # the block alone: its norms go on with what they know
        torch.manual_seed(0)
        made = block(u) - u
    kept = made.flatten(1).abs().amax(dim=1) > 0
    assert 0 < kept.sum() < 40
    # What is kept is weighted by 1/0.6; u + rate - u has lost the last bits of numbers up to 10.
    torch.testing.assert_close(made[kept], rate[kept] / 0.6, atol=1e-5, rtol=0)


def test_dropout_acts_before_the_head_in_training_alone() -> None:
    model = model_of("eq3_small", drop_rate=0.5)
    features = torch.rand(2, 64, 4, 4) + 1.0
    zeros = (model.train().forward_head(features, pre_logits=True) == 0).sum()
    assert 32 < zeros < 96  # 64 of 128 ± 5.7
    assert (model.eval().forward_head(features, pre_logits=True) > 0).all()


# -- the head --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", mostly_deep(NAMES, SMALL))
def test_a_head_is_replaced_or_removed(name: str) -> None:
    model = model_of(name, drop_rate=0.0).double().eval()
    x = pictures(model).double()
    with torch.no_grad():
        features = model.forward_features(x)
        model.reset_classifier(7)
        assert (model.num_classes, model.global_pool) == (7, "avg")
        assert model.get_classifier() is model.head
        assert model.get_submodule(str(model.get_classifier(name_only=True))) is model.head
        assert model(x).shape == (2, 7)
        assert model(x).dtype == torch.float64
        model.reset_classifier(0)
        # Means over at most 9×9 numbers of float64, summed in another order.
        torch.testing.assert_close(model(x), features.mean((2, 3)), atol=1e-12, rtol=0)
        model.reset_classifier(0, "max")
        assert torch.equal(model(x), features.flatten(2).max(dim=2).values)
        model.reset_classifier(3)
        assert (model.num_classes, model.global_pool) == (3, "max")
        model.reset_classifier(0, "")
        assert torch.equal(model(x), features)
        model.reset_classifier(4, "avg")
        assert model(x).shape == (2, 4)


def test_a_new_head_is_trained_where_the_old_one_was() -> None:
    model = model_of("eq3_small").eval()
    model.reset_classifier(3)
    assert not model.head.training
    model.train().reset_classifier(3)
    assert model.head.training
    assert all(p.requires_grad for p in model.head.parameters())
    assert model_of("eq3_small", classes=0)(pictures(model)).shape == (2, 64)


# -- what a training script asks for ---------------------------------------------------------------


@pytest.mark.parametrize("name", mostly_deep(NAMES, SMALL))
@pytest.mark.parametrize("coarse", [False, True])
def test_every_parameter_belongs_to_one_group_in_order_of_depth(name: str, coarse: bool) -> None:
    model = model_of(name)
    patterns = [re.compile(pattern) for pattern in model.group_matcher(coarse).values()]
    keys = []
    for parameter, _ in model.named_parameters():
        found = [(k, p.match(parameter)) for k, p in enumerate(patterns) if p.match(parameter)]
        assert len(found) == 1, parameter
        k, match = found[0]
        assert match is not None
        keys.append((k, *(int(group) for group in match.groups())))
    assert keys == sorted(keys)
    depths = model.layout.depths
    assert len(set(keys)) == 2 + (len(depths) if coarse else sum(depths))


CHECKPOINTED: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in NAMES},
    **{stepper: ("eq3_small", {"stepper": stepper}) for stepper in STEPPERS},
    "shared": ("eq3_small", {"coefficients": "shared"}),
    "random": ("eq3_small", {"drop_rate": 0.3, "drop_path_rate": 0.5}),
}


# The large models have the blocks of the small ones.
@pytest.mark.parametrize(
    "case",
    mostly_deep(CHECKPOINTED, {*CHECKPOINTED} - {*NAMES} | {"eq3_small", "eq7_nows_x6_small"}),
)
def test_checkpointing_changes_neither_gradients_nor_running_statistics(case: str) -> None:
    name, options = CHECKPOINTED[case]
    model = model_of(name, **options).train()
    x = pictures(model)
    results = []
    for enable in (False, True):
        twin = copy.deepcopy(model)
        twin.set_grad_checkpointing(enable)
        torch.manual_seed(3)
        logits = twin(x)
        torch.manual_seed(4)  # the backward pass has to restore the state of the forward pass
        logits.square().sum().backward()
        results.append((twin, [p.grad for p in twin.parameters()]))
    (plain, gradients), (checkpointed, same) = results
    for (key, _), a, b in zip(plain.named_parameters(), gradients, same, strict=True):
        assert a is not None
        assert b is not None
        assert torch.equal(a, b), key
    for (key, a), b in zip(plain.named_buffers(), checkpointed.buffers(), strict=True):
        assert torch.equal(a, b), key
    before = dict(model.named_buffers())
    assert not [
        key for key, b in plain.named_buffers() if "running" in key and torch.equal(b, before[key])
    ]


def test_checkpointing_recomputes_blocks_and_can_be_undone() -> None:
    model = model_of("eq3_small").train()
    x = pictures(model)

    def evaluations(twice: bool = False) -> int:
        count = [0]
        handles = [
            block.register_forward_pre_hook(lambda *_: count.__setitem__(0, count[0] + 1))
            for block in blocks(model)
        ]
        loss = model(x).sum()
        loss.backward(retain_graph=twice)
        if twice:
            loss.backward()
        for handle in handles:
            handle.remove()
        return count[0]

    assert evaluations() == 6
    model.set_grad_checkpointing()
    assert evaluations() == 12
    momenta = [m.momentum for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert set(momenta) == {0.1}
    assert evaluations(twice=True) == 18
    with torch.no_grad():
        model(x)
    model.set_grad_checkpointing(False)
    assert evaluations() == 6


# With what torch.compile loads when it is first used.
@pytest.mark.deep(law="test_checkpointing_recomputes_blocks_and_can_be_undone")
def test_a_compiler_takes_checkpointed_blocks_in_one_graph() -> None:
    model = model_of("eq3_small", layout=pn.Layout((8, 16), (1, 2))).train()
    x = torch.randn(2, 3, 8, 8)
    twin = copy.deepcopy(model)
    model.set_grad_checkpointing()
    # aot_eager: the graphs of both passes are made, and run without generated code.
    torch.compile(model, backend="aot_eager", fullgraph=True)(x).square().sum().backward()
    twin(x).square().sum().backward()
    for (key, p), q in zip(model.named_parameters(), twin.parameters(), strict=True):
        # Sums in another order: float32's 6e-8 times gradients below 100.
        torch.testing.assert_close(p.grad, q.grad, atol=1e-4, rtol=1e-4, msg=key)
    for (key, a), b in zip(model.named_buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5, msg=key)


def test_weight_decay_spares_the_equations_own_numbers() -> None:
    t, x, y = pn.coordinates("t x y")
    n = sp.Symbol("n", integer=True, positive=True)
    u = pn.VectorField("u", n, (t, x, y))
    i, j = pn.indices("i j")
    A = pn.Coefficient("A", (n, n))
    speed, growth = sp.Function("c")(x, y), sp.Symbol("r")
    pde = pn.PDE(sp.Eq(u[i].diff(t), speed * A[i, j] * u[j].diff(x) + growth * u[i]))
    model = pde.to_classifier(5, layout=pn.Layout((8, 16), (1, 1)), coefficients="free")
    names = model.no_weight_decay()
    assert names <= dict(model.named_parameters()).keys()
    assert {name.rpartition(".")[2] for name in names} == {"c", "r"}
    assert len(names) == 4
    assert all(model_of(name).no_weight_decay() == set() for name in SMALL)


# -- bad input -------------------------------------------------------------------------------------


def ask(**options: Any) -> Callable[[], object]:
    return lambda: pn.create_model("eq3_small", **options)


def levels(indices: Any) -> Callable[[], object]:
    return lambda: pn.create_model("eq3_small").forward_intermediates(
        torch.zeros(1, 3, 8, 8), indices
    )


def reset(*given: Any) -> Callable[[], object]:
    return lambda: pn.create_model("eq3_small").reset_classifier(*given)


BAD: dict[str, tuple[Callable[[], object], str]] = {
    "no last level": (levels(0), "from 1 to 4; got 0"),
    "too many last levels": (levels(5), "from 1 to 4; got 5"),
    "a level too deep": (levels((0, 4)), "got 4 in"),
    "a level too far from the end": (levels((-5,)), "got -5 in"),
    "no level": (levels(()), r"got \(\)"),
    "a level by name": (levels(("stem",)), "got 'stem'"),
    "levels by name": (levels("stem"), "got 'stem'"),
    "a truth": (levels(True), "got True"),
    "a truth as a level": (levels((True,)), "got True"),
    "pruning to no level": (
        lambda: pn.create_model("eq3_small").prune_intermediate_layers((9,)),
        "got 9 in",
    ),
    "another format": (
        lambda: pn.create_model("eq3_small").forward_intermediates(
            torch.zeros(1, 3, 8, 8), output_fmt="NLC"
        ),
        "output_fmt is one of NCHW; got 'NLC'",
    ),
    "fewer than no classes": (reset(-1), "num_classes is an integer of at least 0; got -1"),
    "half a class": (reset(2.5), "got 2.5"),
    "another pooling": (reset(2, "mean"), "global_pool is one of .*; got 'mean'"),
    "a head of pixels": (reset(2, ""), "got num_classes=2"),
    "a head of pixels from the start": (ask(global_pool=""), "got num_classes=100"),
    "classes as a word": (ask(num_classes="ten"), "got 'ten'"),
    "no channel": (ask(in_channels=0), "in_channels is an integer of at least 1; got 0"),
    "certain dropout": (ask(drop_rate=1.0), "drop_rate is a probability .*; got 1.0"),
    "negative stochastic depth": (ask(drop_path_rate=-0.1), "drop_path_rate .*; got -0.1"),
    "dropout without a number": (ask(drop_rate=True), "got True"),
    "dropout that is no number": (ask(drop_rate=math.nan), "got nan"),
    "another layout": (ask(layout="resnet51"), "Did you mean 'resnet50'"),
    "another activation": (ask(activation="softbal"), "Did you mean 'softball'"),
    "activations elsewhere": (ask(activate="stage"), "Did you mean 'stages'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case: str) -> None:
    act, message = BAD[case]
    with pytest.raises(NetworkError, match=message):
        act()


def test_a_projected_stem_and_a_form_start_as_the_model_without_them() -> None:
    """The projection is the identity at first, and so is the form's factor."""
    models = []
    for options in ({}, {"stem_projection": True, "quadratic_form": "trainable"}):
        torch.manual_seed(0)
        model = pn.create_model("eq7_nows_x6_small", 5, **options)
        for name, parameter in model.named_parameters():
            if not name.endswith(("factor", "stem.3.weight")):
                generator = torch.Generator().manual_seed(len(name))
                parameter.data.normal_(std=0.1, generator=generator)
        models.append(model.eval())
    x = torch.randn(2, 3, 9, 8)
    # One more product with 1 and sums with 0: no rounding but in the order of sums.
    torch.testing.assert_close(models[1](x), models[0](x), rtol=1e-5, atol=1e-6)
    more = sum(p.numel() for p in models[1].parameters())
    more -= sum(p.numel() for p in models[0].parameters())
    # The projection of 16 channels; forms behind the entries of stages 2 and 3 and the last stage.
    assert more == 16**2 + 32**2 + 2 * 64**2
    assert {"stages.1.activations.0.factor", "final.factor"} <= models[1].no_weight_decay()
    maps = models[1].feature_maps(x)
    assert list(maps)[:2] == ["stem", "stem.projection"]
    assert "1×1 convolution: the initial state" in models[1].explain()


def test_options_of_stem_and_form_that_make_no_sense_are_refused() -> None:
    for options, message in (
        ({"stem_projection": 1}, "stem_projection is True or False; got 1"),
        ({"quadratic_form": "yes"}, "quadratic_form is one of"),
        ({"quadratic_form": "identity", "activation": "hardtanh"}, "only hardball and softball"),
    ):
        with pytest.raises(NetworkError, match=message):
            pn.create_model("eq7_nows_x6_small", 5, **options)
