"""Levels and feature maps: the states on a classifier's way, and what is left when it is pruned."""

from __future__ import annotations

import copy
import itertools
import math
import re
from collections.abc import Callable
from typing import Any  # options of a classifier

import numpy as np
import pytest
import torch
from torch import nn

import pdenet as pn
from pdenet.network.convnet.classifier import Classifier
from pdenet.network.convnet.stage import Stage
from tests.network.convnet.redraw import FEW, model_of, pictures
from tests.tiers import Each, mostly_deep

NAMES = pn.list_models()
STEPPERS = ("euler", "heun", "ssprk3", "rk4", "leapfrog")


def stages(model: Classifier) -> list[Stage]:
    return [stage for stage in model.stages if isinstance(stage, Stage)]


def intermediates(
    model: Classifier, x: torch.Tensor, indices: Any = None, norm: bool = False
) -> list[torch.Tensor]:
    made = model.forward_intermediates(x, indices, norm, intermediates_only=True)
    assert isinstance(made, list)
    return made


def both(model: Classifier, *given: Any, **options: Any) -> tuple[torch.Tensor, list[torch.Tensor]]:
    made = model.forward_intermediates(*given, **options)
    assert isinstance(made, tuple)
    return made


def modules_outputs(
    model: Classifier, names: list[str], x: torch.Tensor
) -> dict[str, torch.Tensor]:
    """What modules give in a forward pass, by hooks: the truth for all other ways to ask."""
    made: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, torch.Tensor], None]:
        return lambda module, given, result: made.__setitem__(name, result)

    handles = [model.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    model(x)
    for handle in handles:
        handle.remove()
    return made


# -- feature maps and levels -----------------------------------------------------------------------


@pytest.mark.parametrize("name", mostly_deep(NAMES, FEW))
def test_feature_maps_are_what_the_modules_give(name: str) -> None:
    model = model_of(name).eval()
    x = pictures(model)
    places = {"stem": "stem.2", "final": "final"}
    if model.layout.stem == "pooled":
        places["stem.pool"] = "stem.3"
    for s, stage in enumerate(stages(model)):
        for b in range(len(stage.blocks)):
            places[f"stage{s + 1}.block{b + 1}"] = f"stages.{s}.blocks.{b}"
            if s and not b:
                activation = f"stages.{s}.activations.{b}"
                places[f"stage{s + 1}.block{b + 1}.activation"] = activation
    with torch.no_grad():
        truth = modules_outputs(model, list(places.values()), x)
        maps = model.feature_maps(x)
    assert maps.keys() == places.keys()
    for key, state in maps.items():
        assert torch.equal(state, truth[places[key]]), key
    in_depth = [key for key in maps if re.fullmatch(r"stage\d+\.block\d+", key)]
    assert in_depth == sorted(in_depth)
    assert [*maps][:: len(maps) - 1] == ["stem", "final"]
    assert maps.keys() >= {"stage2.block1", "stage2.block2"}
    for earlier, later in itertools.pairwise(in_depth):
        if maps[earlier].shape == maps[later].shape:
            assert not torch.equal(maps[earlier], maps[later]), f"{later} does nothing"


@pytest.mark.parametrize("activation", ["softball", "hardball", "hardtanh", "relu", "none"])
def test_feature_maps_show_states_before_and_behind_activations(activation: str) -> None:
    model = model_of("eq3_small", activation=activation).eval()
    with torch.no_grad():
        maps = {k: v.numpy() for k, v in model.feature_maps(40 * pictures(model)).items()}
        features = model.forward_features(40 * pictures(model)).numpy()
    behind = {key for key in maps if key.endswith(".activation")}
    if activation == "none":
        assert not behind
        assert "final" not in maps
        np.testing.assert_array_equal(maps["stage3.block2"], features)
        return
    if activation == "relu":  # behind every block
        assert len(behind) == 6
        assert "final" not in maps
        np.testing.assert_array_equal(maps["stage3.block2.activation"], features)
    else:
        assert behind == {"stage2.block1.activation", "stage3.block1.activation"}
        np.testing.assert_array_equal(maps["final"], features)
    u = maps["stage2.block1"]
    square = (u.astype(float) ** 2).mean(axis=1, keepdims=True)  # ‖u‖²/R², R² channels
    expected = {
        "softball": u / np.sqrt(1 + square),
        "hardball": u / np.sqrt(np.maximum(square, 1)),
        "hardtanh": np.clip(u, -5, 5),
        "relu": np.maximum(u, 0),
    }[activation]
    # float32 against float64, numbers below 100.
    np.testing.assert_allclose(maps["stage2.block1.activation"], expected, atol=1e-5)
    assert np.abs(maps["stage2.block1.activation"] - u).max() > 0.01  # it did something


@pytest.mark.parametrize("stepper", STEPPERS)
@pytest.mark.parametrize("coefficients", ["free", "shared"])
def test_the_last_feature_map_is_the_features_for_every_stepper(
    stepper: str, coefficients: str
) -> None:
    options = {"activation": "none", "stepper": stepper, "coefficients": coefficients}
    model = model_of("eq3_small", 5, **options).eval()
    x = pictures(model)
    with torch.no_grad():
        maps, features = model.feature_maps(x), model.forward_features(x)
    assert len(maps) == 1 + 6
    assert torch.equal(maps["stage3.block2"], features)


@pytest.mark.parametrize("name", mostly_deep(NAMES, FEW))
def test_levels_have_the_channels_and_reductions_that_they_announce(name: str) -> None:
    model = model_of(name).eval()
    x = pictures(model)
    is_pooled = model.layout.stem == "pooled"
    assert [level["num_chs"] for level in model.feature_info] == (
        [64, 64, 128, 256, 512] if is_pooled else [16, 16, 32, 64]
    )
    assert [level["reduction"] for level in model.feature_info] == (
        [2, 4, 8, 16, 32] if is_pooled else [1, 1, 2, 4]
    )
    with torch.no_grad():
        truth = modules_outputs(model, [level["module"] for level in model.feature_info], x)
        features, states = both(model, x)
        assert torch.equal(features, model.forward_features(x))
    for level, state in zip(model.feature_info, states, strict=True):
        assert torch.equal(state, truth[level["module"]])
        points = [math.ceil(n / level["reduction"]) for n in x.shape[2:]]
        assert list(state.shape) == [2, level["num_chs"], *points]


CHOICES: dict[str, tuple[Any, list[int]]] = {
    "all": (None, [0, 1, 2, 3]),
    "the last two": (2, [2, 3]),
    "all by number": (4, [0, 1, 2, 3]),
    "two": ((0, 2), [0, 2]),
    "from the end": ([-1], [3]),
    "mixed": ((0, -2), [0, 2]),
    "the stem": ((0,), [0]),
    "in another order, and one twice": ((2, 0, -2), [0, 2]),
}


def test_levels_are_chosen_from_either_end(each: Each) -> None:
    model = model_of("eq7_nows_x6_small").eval()
    x = pictures(model)
    with torch.no_grad():
        everything, whole = intermediates(model, x), model.forward_features(x)
    for (case, stop_early), cell in each(itertools.product(CHOICES, (False, True)), key=str):
        with cell, torch.no_grad():
            indices, expected = CHOICES[case]
            features, states = both(model, x, indices, stop_early=stop_early)
            alone = intermediates(model, x, indices)
            assert len(states) == len(expected)
            for k, state, same in zip(expected, states, alone, strict=True):
                assert torch.equal(state, everything[k])
                assert torch.equal(same, state)
            if not stop_early or 3 in expected:
                assert torch.equal(features, whole)
            else:
                assert torch.equal(features, everything[max(expected)])


def test_stopping_early_computes_no_later_stage() -> None:
    model = model_of("eq3_small").eval()
    ran: list[int] = []
    for k, stage in enumerate(model.stages):
        stage.register_forward_hook(lambda module, given, result, k=k: ran.append(k))
    model.forward_intermediates(pictures(model), (0, 1), stop_early=True)
    assert ran == [0]
    model.forward_intermediates(pictures(model), (0, 1))
    assert ran == [0, 0, 1, 2]


def test_the_norm_of_the_last_level_is_its_activation() -> None:
    model = model_of("eq3_small").eval()
    x = pictures(model)
    with torch.no_grad():
        plain = intermediates(model, x, norm=False)
        normed = intermediates(model, x, norm=True)
        assert [torch.equal(a, b) for a, b in zip(plain, normed, strict=True)] == [True] * 3 + [
            False
        ]
        assert torch.equal(normed[-1], model.forward_features(x))


@pytest.mark.parametrize("name", mostly_deep(NAMES, FEW))
def test_pruning_keeps_the_levels_and_removes_what_lies_beyond(name: str) -> None:
    whole = model_of(name).eval()
    x = pictures(whole)
    count = len(whole.feature_info)
    with torch.no_grad():
        truth = intermediates(whole, x)
        for deepest in (0, 1, 2, -1):
            model = copy.deepcopy(whole)
            kept = model.prune_intermediate_layers((0, deepest), prune_norm=True)
            assert kept == sorted({0, deepest % count})
            states = intermediates(model, x, kept)
            for k, state in zip(kept, states, strict=True):
                assert torch.equal(state, truth[k])
            last = intermediates(model, x, (-1,))[0]
            # What is left ends at that level, unpooled and without a head.
            assert torch.equal(last, truth[deepest])
            assert torch.equal(model(x), truth[deepest])
            assert len(model.stages) == kept[-1] == len(model.feature_info) - 1
            assert model.num_features == model.head_hidden_size == states[-1].shape[1]
            assert {key.split(".")[1] for key in model.state_dict() if "stages" in key} == {
                str(k) for k in range(kept[-1])
            }


def test_pruning_nothing_may_keep_norm_and_head() -> None:
    model = model_of("eq3_small").eval()
    x = pictures(model)
    with torch.no_grad():
        logits = model(x)
        assert model.prune_intermediate_layers(1, prune_norm=False, prune_head=False) == [3]
        assert torch.equal(model(x), logits)
        features = model.forward_features(x)
        model.prune_intermediate_layers(1, prune_norm=False)
        assert torch.equal(model(x), features)
        model.prune_intermediate_layers(1, prune_norm=True)
        assert torch.equal(model(x), model.stages(model.stem(x)))
        assert not torch.equal(model(x), features)
