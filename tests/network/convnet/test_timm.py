"""timm's own conformance checks, and what else its users rely on, over all of our models.

torch.jit.script is not among them: a block's layers are made from an equation at run time, and
TorchScript reads source code; timm's other three ways to take a model apart, torch.fx among them,
are.
"""

from __future__ import annotations

import importlib
import itertools
import sys
from pathlib import Path
from typing import Any  # what timm makes has no annotations

import pytest
import timm
import timm.data
import timm.optim
import timm.utils
import torch
from safetensors.torch import save_file
from timm.models import GraphExtractNet, group_parameters
from torch import nn

import pdenet as pn
import pdenet.timm
from pdenet.errors import MissingExtraError
from pdenet.network.convnet.classifier import Classifier
from tests.network.convnet.redraw import FEW, redraw
from tests.tiers import mostly_deep

NAMES = [f"pdenet_{name}" for name in pn.list_models()]
SMALL = [name for name in NAMES if name.endswith("_small")]
QUICK = [f"pdenet_{name}" for name in FEW]
EXTRACTORS = ("list", "dict", "hook", "getter", "fx")
TOOLS: Any = timm  # whose packages re-export without saying so


def create(name: str, **options: Any) -> Any:
    """A model with weights of one seed: that of features only has those of the whole one."""
    torch.manual_seed(0)
    return timm.create_model(name, **options)


def pictures(name: str, channels: int = 3) -> torch.Tensor:
    torch.manual_seed(2)
    return torch.randn(2, channels, *((18, 16) if name in SMALL else (65, 64)))


# -- the registry ----------------------------------------------------------------------------------


def test_every_model_is_in_the_registry() -> None:
    assert len(NAMES) == 15
    assert timm.list_models("pdenet_*") == sorted(NAMES)
    assert timm.list_models(module="timm") == sorted(NAMES)  # the last part of pdenet.timm
    assert timm.list_models("pdenet_*", pretrained=True) == []
    assert set(NAMES) == set(pdenet.timm.__all__)
    for name in NAMES:
        build = timm.model_entrypoint(name)
        assert build is getattr(pdenet.timm, name)
        assert (build.__module__, build.__name__) == ("pdenet.timm", name)
        assert pn.list_models(name.removeprefix("pdenet_"))
        assert timm.models.is_model_in_modules(name, {"timm"})


@pytest.mark.parametrize("name", mostly_deep(NAMES, QUICK))
def test_a_model_is_ours_with_the_options_of_timm(name: str) -> None:
    model = create(name, num_classes=10, in_chans=1, drop_rate=0.2, drop_path_rate=0.1).eval()
    ours = pn.create_model(name.removeprefix("pdenet_"), 10, in_channels=1)
    assert type(model) is Classifier
    assert {k: v.shape for k, v in model.state_dict().items()} == {
        k: v.shape for k, v in ours.state_dict().items()
    }
    assert model(pictures(name, 1)).shape == (2, 10)
    assert (model.drop_rate, model.drop_path_rate, model.in_chans) == (0.2, 0.1, 1)
    # The weights are drawn in the same way.
    torch.manual_seed(0)
    ours = pn.create_model(name.removeprefix("pdenet_"), 10, in_channels=1)
    for mine, theirs in zip(ours.parameters(), model.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_options_of_a_classifier_pass_through_timm() -> None:
    model = create("pdenet_eq7_nows_x6", layout="small", activation="relu", num_classes=0)
    assert model(torch.randn(2, 3, 8, 8)).shape == (2, 64)
    assert any(isinstance(m, nn.ReLU) for m in model.stages.modules())
    unpooled = create("pdenet_eq3_small", num_classes=0, global_pool="")
    assert unpooled(torch.randn(2, 3, 8, 8)).shape == (2, 64, 2, 2)
    features = create("pdenet_eq3", layout=pn.Layout((8, 16), (1, 1)), features_only=True)
    assert features.feature_info.reduction() == [1, 1, 2]


def test_there_are_no_published_weights() -> None:
    with pytest.raises(RuntimeError, match="No pretrained weights"):
        timm.create_model("pdenet_eq3_small", pretrained=True)


# -- what a model's configuration says -------------------------------------------------------------


@pytest.mark.parametrize("name", mostly_deep(NAMES, QUICK))
def test_a_configuration_describes_its_model(name: str) -> None:
    model = create(name).eval()
    config = model.default_cfg
    assert config is model.pretrained_cfg
    assert config["architecture"] == name
    state = model.state_dict()
    assert state[f"{config['first_conv']}.weight"].shape[1] == config["input_size"][0]
    assert state[f"{config['classifier']}.weight"].shape[0] == config["num_classes"]
    assert model.get_classifier(name_only=True) == config["classifier"]
    x = torch.randn(1, *config["input_size"])
    with torch.no_grad():
        features = model.forward_features(x)
        assert features.shape[2:] == config["pool_size"]
        model.reset_classifier(0)
        assert model(x).shape == (1, model.num_features)
        model.reset_classifier(0, "")
        assert model(x).shape == features.shape
    data = TOOLS.data.resolve_model_data_config(model)
    size = 32 if name in SMALL else 224
    assert data["input_size"] == (3, size, size)
    assert data["crop_pct"] == (1.0 if name in SMALL else 0.875)
    assert data["interpolation"] == "bicubic"
    # ImageNet's, as everybody writes them.
    assert data["mean"] == (0.485, 0.456, 0.406)
    assert data["std"] == (0.229, 0.224, 0.225)


@pytest.mark.parametrize("name", mostly_deep(NAMES, QUICK))
def test_every_parameter_receives_a_gradient_in_a_step_of_timms_optimiser(name: str) -> None:
    # With norms in evaluation: in training a shift may have no gradient, see test_classifier.
    model = redraw(create(name, num_classes=42)).eval()
    optimiser = TOOLS.optim.create_optimizer_v2(model, "sgd", lr=0.1, layer_decay=0.75)
    before = [p.detach().clone() for p in model.parameters()]
    outputs = model(pictures(name))
    nn.functional.cross_entropy(outputs, torch.tensor([3, 41])).backward()
    assert outputs.shape == (2, 42)
    assert outputs.isfinite().all()
    assert [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    optimiser.step()
    moved = [not torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True)]
    assert all(moved)


# -- layer decay -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", mostly_deep(NAMES, QUICK))
def test_rates_decay_from_the_head_to_the_stem(name: str) -> None:
    model = create(name, num_classes=3)
    groups = TOOLS.optim.param_groups_layer_decay(model, weight_decay=0.05, layer_decay=0.5)
    scales = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(scales)
    parameters = list(model.parameters())
    assert scales.keys() == {id(p) for p in parameters}
    in_depth = [scales[id(p)] for p in parameters]
    assert in_depth == sorted(in_depth)  # parameters are named in the order of depth
    count = 2 + sum(model.layout.depths)  # stem, blocks, head
    assert sorted(set(in_depth)) == [0.5**k for k in reversed(range(count))]
    for group in groups:
        axes = {p.ndim > 1 for p in group["params"]}
        assert axes == {group["weight_decay"] == 0.05}


@pytest.mark.parametrize("name", mostly_deep(NAMES, QUICK))
@pytest.mark.parametrize("coarse", [False, True])
def test_every_parameter_is_in_one_group(name: str, coarse: bool) -> None:
    model = create(name, num_classes=3)
    groups = group_parameters(model, model.group_matcher(coarse=coarse))
    grouped = [parameter for group in groups.values() for parameter in group]
    assert sorted(grouped) == sorted(key for key, _ in model.named_parameters())
    depths = model.layout.depths
    assert len(groups) == 2 + (len(depths) if coarse else sum(depths))


# -- features only ---------------------------------------------------------------------------------


# Over all models as timm does it by default, and in all its ways over one large and all small ones.
EXTRACTIONS: list[tuple[str, str | None]] = [(name, None) for name in NAMES]
EXTRACTIONS += [(name, way) for name in ("pdenet_eq3", *SMALL) for way in EXTRACTORS]
QUICK_EXTRACTIONS = [(name, None) for name in QUICK] + [(QUICK[-1], way) for way in EXTRACTORS]


@pytest.mark.parametrize(("name", "extractor"), mostly_deep(EXTRACTIONS, QUICK_EXTRACTIONS))
def test_features_only_are_the_intermediates(name: str, extractor: str | None) -> None:
    x = pictures(name)
    whole = redraw(create(name)).eval()
    chosen = {} if extractor is None else {"feature_cls": extractor}
    features = redraw(create(name, features_only=True, **chosen)).eval()
    with torch.no_grad():
        truth = whole.forward_intermediates(x, intermediates_only=True)
        made = features(x)
    states = list(made.values()) if isinstance(made, dict) else list(made)
    info = features.feature_info
    assert info.channels() == [level["num_chs"] for level in whole.feature_info]
    assert info.reduction() == [level["reduction"] for level in whole.feature_info]
    assert len(states) == (4 if name in SMALL else 5)  # levels by default: the stem, all stages
    for state, same, channels, reduction in zip(
        truth, states, info.channels(), info.reduction(), strict=True
    ):
        assert torch.equal(state, same)
        points = tuple(-(-n // reduction) for n in x.shape[2:])
        assert same.shape == (2, channels, *points)
        assert same.std() > 0.1
    assert not any(key.startswith("head") for key in features.state_dict())
    assert features.pretrained_cfg["input_size"] == whole.pretrained_cfg["input_size"]


LEVELS = [(1, 2), (0,), (-1,)]


@pytest.mark.parametrize(
    ("extractor", "indices"),
    mostly_deep(
        itertools.product(EXTRACTORS, LEVELS),
        [*zip(EXTRACTORS, itertools.cycle(LEVELS), strict=False), ("fx", (1, 2)), ("dict", (-1,))],
    ),
)
def test_features_only_at_chosen_levels(extractor: str, indices: tuple[int, ...]) -> None:
    name = "pdenet_eq7_nows_x6_small"
    x = pictures(name)
    whole = redraw(create(name)).eval()
    options = {"feature_cls": extractor, "out_indices": indices}
    features = create(name, features_only=True, **options).eval()
    state = {key.replace(".", "_", 1): value for key, value in whole.state_dict().items()}
    if extractor in ("hook", "getter"):
        prefix = {"getter": "model."}.get(extractor, "")
        state = {
            prefix + (key if prefix else key.replace(".", "_", 1)): value
            for key, value in whole.state_dict().items()
        }
    elif extractor == "fx":
        state = {f"graph_module.{key}": value for key, value in whole.state_dict().items()}
    missing = features.load_state_dict(state, strict=False).missing_keys
    assert missing == []
    with torch.no_grad():
        truth = whole.forward_intermediates(x, indices, intermediates_only=True)
        made = features(x)
    states = list(made.values()) if isinstance(made, dict) else list(made)
    for expected, same in zip(truth, states, strict=True):
        assert torch.equal(expected, same)


def test_levels_asked_for_in_another_order_are_described_as_they_come() -> None:
    options = {"features_only": True, "feature_cls": "getter", "out_indices": (2, 0, -2)}
    features = create("pdenet_eq3_small", **options).eval()
    states = features(pictures("pdenet_eq3_small"))
    assert [state.shape[1] for state in states] == features.feature_info.channels() == [16, 32]


@pytest.mark.parametrize("name", mostly_deep(SMALL, QUICK))
def test_checkpointed_features_have_the_same_gradients(name: str) -> None:
    gradients = []
    for enable in (False, True):
        features = redraw(create(name, features_only=True)).train()
        features.set_grad_checkpointing(enable)
        sum(state.square().mean() for state in features(pictures(name))).backward()
        gradients.append([p.grad for p in features.parameters()])
    for a, b in zip(*gradients, strict=True):
        assert a is not None
        assert b is not None
        assert a.any()
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", mostly_deep(SMALL, QUICK))
def test_fx_takes_a_model_apart_by_stages(name: str) -> None:
    model = redraw(create(name, num_classes=5)).eval()
    x = pictures(name)
    nodes = ["stem.2", "stages.0", "stages.1", "final", "head"]
    graph = GraphExtractNet(model, nodes, return_dict=True)
    with torch.no_grad():
        made = graph(x)
        maps, logits = model.feature_maps(x), model(x)
    truth = ("stem", "stage1.block2", "stage2.block2", "final")
    for node, key in zip(nodes, truth, strict=False):
        assert torch.equal(made[node], maps[key])
    assert torch.equal(made["head"], logits)
    graph(x)["head"].square().sum().backward()
    assert [key for key, p in model.named_parameters() if not p.grad.any()] == []


# -- weights ---------------------------------------------------------------------------------------


def test_weights_of_a_file_are_adapted_to_other_channels_and_classes(tmp_path: Path) -> None:
    name = "pdenet_eq3_small"
    model = redraw(create(name, num_classes=1000)).eval()
    path = tmp_path / "model.safetensors"
    save_file(model.state_dict(), path)
    overlay = {"pretrained": True, "pretrained_cfg_overlay": {"file": str(path)}}
    same = create(name, **overlay).eval()
    gray = create(name, num_classes=7, in_chans=1, **overlay).eval()
    features = create(name, features_only=True, **overlay).eval()
    x = pictures(name, 1)
    with torch.no_grad():
        assert torch.equal(same(x.expand(-1, 3, -1, -1)), model(x.expand(-1, 3, -1, -1)))
        assert gray(x).shape == (2, 7)
        expected = model.forward_features(x.expand(-1, 3, -1, -1))
        # A gray picture, three times, and the kernels' sum; float32's 6e-8, some 20 layers.
        torch.testing.assert_close(gray.forward_features(x), expected, atol=1e-4, rtol=0)
        truth = model.forward_intermediates(x.expand(-1, 3, -1, -1), intermediates_only=True)
        for state, made in zip(truth, features(x.expand(-1, 3, -1, -1)), strict=True):
            assert torch.equal(state, made)


def test_an_average_of_weights_follows_the_model() -> None:
    model = redraw(create("pdenet_eq3_small", num_classes=3))
    average = TOOLS.utils.ModelEmaV3(model, decay=0.75)
    start = [p.detach().clone() for p in model.parameters()]
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1.0)
    average.update(model)
    for p, q in zip(average.module.parameters(), start, strict=True):
        # 0.75 p + 0.25 (p + 1) of numbers below 2, in float32.
        torch.testing.assert_close(p, q + 0.25, atol=1e-6, rtol=0)


# -- where timm is missing -------------------------------------------------------------------------


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pdenet.timm")
    monkeypatch.setitem(sys.modules, "timm", None)  # as if it were not installed
    for name in [key for key in sys.modules if key.startswith("timm.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingExtraError, match=r"extra 'timm'.*pip install 'pdenet\[timm\]'"):
        importlib.import_module("pdenet.timm")


def test_where_timm_does_not_import_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What torchvision's wheel for CUDA raises on a CPU build of torch, when timm imports it.
    text = 'raise RuntimeError("operator torchvision::nms does not exist")'
    (tmp_path / "timm.py").write_text(text)
    for name in [key for key in sys.modules if key in ("timm", "pdenet.timm") or "timm." in key]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtraError, match=r"torchvision::nms does not exist.*pdenet\[timm\]"):
        importlib.import_module("pdenet.timm")


def test_seeds_make_different_models() -> None:
    # The comparisons above would hold for models whose weights never differ.
    torch.manual_seed(1)
    other = timm.create_model("pdenet_eq3_small")
    weights = [next(m.parameters()) for m in (create("pdenet_eq3_small"), other)]
    assert (weights[0] - weights[1]).abs().max() > 0.01
