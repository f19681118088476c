"""Norms folded stage by stage: the same function, what its config says, and trainable further."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import pdenet as pn
from pdenet.errors import NetworkError
from pdenet.network.convnet.fusing import copied
from pdenet.network.convnet.stage_folding import fold_stages
from tests.network.convnet.redraw import FEW, model_of, pictures
from tests.tiers import mostly_deep

MODELS = pytest.mark.parametrize("name", mostly_deep(pn.list_models("small"), FEW))


@MODELS
def test_folding_stages_changes_no_logit(name: str) -> None:
    model = model_of(name).double().eval()
    x = pictures(model).double()
    before = model(x).detach()
    fold_stages(model, [2, 3])
    # A scale is rounded once into each weight: some eps of the largest logit a layer.
    atol = 1e-13 * float(before.abs().max())
    torch.testing.assert_close(model(x).detach(), before, rtol=0, atol=atol)
    assert model.folded_stages == (2, 3)


@MODELS
def test_a_config_makes_the_same_folded_model(name: str) -> None:
    model = model_of(name).eval()
    fold_stages(model, [3, 1])
    config = json.loads(json.dumps(model.config))
    assert config["folded_stages"] == [3, 1]
    for again in (pn.classifier_from_config(config), pn.create_model(**config)):
        again.load_state_dict(model.state_dict())
        x = pictures(model)
        assert torch.equal(again.eval()(x), model(x))


@MODELS
def test_a_config_makes_the_same_model_where_stages_were_folded_before_or_after_fusing(
    name: str,
) -> None:
    model = model_of(name).eval()
    x = pictures(model)
    before = copied(model)
    fold_stages(before, [2])
    after = model.fused()
    fold_stages(after, [2])
    for fused in (before.fused(), after):
        again = pn.classifier_from_config(json.loads(json.dumps(fused.config)))
        again.load_state_dict(fused.state_dict())
        assert torch.equal(again(x), fused(x))


def test_a_folded_stage_is_trainable_and_the_others_keep_their_norms() -> None:
    model = model_of("eq7_nows_x6_small")
    fold_stages(model, [2])
    left = [n for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert not any(name.startswith("stages.1.blocks.0.norms") for name in left)
    assert any(name.startswith("stages.2.blocks.0.norms") for name in left)
    model.train()(pictures(model)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert not [n for n, m in model.fused().named_modules() if isinstance(m, nn.BatchNorm2d)]


def test_stages_that_do_not_exist_and_lost_shifts_are_refused() -> None:
    model = pn.create_model("eq5_small", 5)
    for bad in (0, 4, True, "2"):
        with pytest.raises(NetworkError, match=r"stages from 1 to 3; got"):
            fold_stages(model, [bad])  # type: ignore[list-item]
    with pytest.raises(NetworkError, match=r"folded_stages is a list"):
        pn.classifier_from_config({**model.config, "folded_stages": 2})
    norm = model.get_submodule("stages.0.blocks.0.banks.convolutions.u.norm")
    assert isinstance(norm, nn.BatchNorm2d)
    assert not norm.weight.all()
    norm.bias.data.fill_(1.0)
    with pytest.raises(NetworkError, match=r"scales are not 0"):
        fold_stages(model, [1])
