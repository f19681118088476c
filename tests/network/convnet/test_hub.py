"""A classifier as a config, as a folder of the hub, and as an entry point of torch.hub."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any  # configs

import pytest
import sympy as sp
import torch

import hubconf
import pdenet as pn
from pdenet.errors import CheckpointError, NetworkError, PdenetError
from pdenet.network.convnet.models import classifier_from_config
from tests.network.convnet.redraw import redraw
from tests.tiers import mostly_deep

ROOT = Path(__file__).resolve().parents[3]

CONFIGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "a layout of one's own": {"layout": pn.Layout((8, 12), (1, 2), "pooled")},
    "conditions as paddings": {"padding": (pn.Periodic(), pn.Neumann(0))},
    "the equation's own kernels": {"directions": None, "stencils": "moment"},
    "everything else": {
        "in_channels": 1,
        "share_kernels": False,
        "norm": False,
        "position": 1,
        "opening_norm": True,
        "activation": "relu",
        "stepper": "heun",
        "coefficients": "shared",
        "global_pool": "max",
        "drop_rate": 0.25,
        "drop_path_rate": 0.125,
    },
}


def advection() -> pn.PDE:
    """u_i' = A_ij ∂x u_j + B_ij u_j ∂y u_j, which the catalogue does not have."""
    n = sp.Symbol("n", integer=True, positive=True)
    t, x, y = pn.coordinates("t x y")
    u, (i, j) = pn.VectorField("u", n, (t, x, y)), pn.indices("i j")
    a, b = pn.Coefficient("A", (n, n)), pn.Coefficient("B", (n, n))
    right = a[i, j] * u[j].diff(x) + b[i, j] * u[j] * u[j].diff(y)
    return pn.PDE(sp.Eq(u[i].diff(t), right))


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def shapes(model: torch.nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


# -- configs -----------------------------------------------------------------------------------


def test_a_config_holds_every_option_there_is() -> None:
    options = set(inspect.signature(pn.Classifier.__init__).parameters) - {"self", "pde"}
    assert set(pn.create_model("eq3_small").config) == {"name", *options}
    model = pn.catalogue["eq3"].to_classifier(10, layout="small")
    assert set(model.config) == {"equation", *options}


@pytest.mark.parametrize("options", CONFIGS.values(), ids=list(CONFIGS))
def test_a_config_makes_the_same_model_also_through_json(options: dict[str, Any]) -> None:
    for model in (
        pn.create_model("eq4_small", 7, **options),
        pn.catalogue["eq4"].to_classifier(7, **{"layout": "small", **options}),
    ):
        config = json.loads(json.dumps(model.config))
        assert config == model.config
        again = classifier_from_config(config)
        assert again.config == config
        assert repr(again) == repr(model)
        redraw(model).eval()
        again.load_state_dict(model.state_dict())
        x = torch.randn(2, model.in_channels, 16, 15)
        assert torch.equal(again.eval()(x), model(x))


@pytest.mark.parametrize("name", mostly_deep(pn.list_models(), pn.list_models("small")))
def test_create_model_takes_a_config_too(name: str) -> None:
    model = pn.create_model(name, 3)
    assert model.config["name"] == name
    again = pn.create_model(**model.config)
    assert again.config == model.config
    assert shapes(again) == shapes(model)


def test_a_fused_model_says_so_in_its_config() -> None:
    fused = pn.create_model("eq3_small").fused()
    assert fused.config["fused"] is True
    for again in (pn.create_model(**fused.config), classifier_from_config(fused.config)):
        assert again.is_fused
        assert shapes(again) == shapes(fused)


def test_a_new_head_is_in_the_config() -> None:
    model = pn.create_model("eq3_small", 10)
    model.reset_classifier(4)
    assert shapes(classifier_from_config(model.config)) == shapes(model)


def test_an_equation_outside_the_catalogue_is_not_named_and_has_to_be_given() -> None:
    model = advection().to_classifier(3, layout="small")
    assert model.config["equation"] is None
    again = classifier_from_config(model.config, pde=advection())
    assert again.config == model.config
    assert shapes(again) == shapes(model)
    with pytest.raises(NetworkError, match="pde=my_equation"):
        classifier_from_config(model.config)


def test_an_equation_that_only_has_the_name_of_another_is_not_named() -> None:
    pde = advection()
    pde.name = "eq3"
    assert pde.to_classifier(3, layout="small").config["equation"] is None


BAD: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no mapping": (lambda c: [c], '"name" or "equation"'),
    "neither name nor equation": (lambda c: {"num_classes": 3}, '"name" or "equation"'),
    "an unknown name": (lambda c: {**c, "name": "eq33_small"}, "Did you mean 'eq3_small'"),
    "a name that is none": (lambda c: {**c, "name": ["eq3"]}, "pdenet.list_models"),
    "an unknown equation": (lambda c: {"equation": "eq33"}, "name of the catalogue or None"),
    "an unknown option": (lambda c: {**c, "direction": 4}, "Did you mean 'directions'"),
    "an option that makes no sense": (lambda c: {**c, "padding": "mirror"}, "padding is one of"),
    "a layout without depths": (lambda c: {**c, "layout": {"widths": [8]}}, "layout is a Layout"),
}


@pytest.mark.parametrize(("change", "words"), BAD.values(), ids=list(BAD))
def test_a_config_that_makes_no_sense_is_refused(
    change: Callable[[dict[str, Any]], dict[str, Any]], words: str
) -> None:
    config = pn.create_model("eq3_small").config
    with pytest.raises(PdenetError, match=words):
        classifier_from_config(change(config))


def test_another_equation_than_that_of_the_config_is_refused() -> None:
    with pytest.raises(NetworkError, match="leave pde= out"):
        classifier_from_config(pn.create_model("eq3_small").config, pde=advection())


# -- folders -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fused", [False, True])
def test_a_folder_brings_the_same_model_back(fused: bool, tmp_path: Path) -> None:
    model = redraw(pn.create_model("eq6_small", 5, padding="circular")).eval()
    model = model.fused() if fused else model
    model.save_pretrained(tmp_path / "m")
    names = {p.name for p in (tmp_path / "m").iterdir()}
    assert names == {"config.json", "model.safetensors", "README.md"}
    assert json.loads((tmp_path / "m" / "config.json").read_text()) == model.config
    again = pn.Classifier.from_pretrained(tmp_path / "m")
    assert not again.training
    assert again.config == model.config
    x = torch.randn(2, 3, 9, 8)
    assert torch.equal(again(x), model(x))


def test_a_folder_of_an_equation_of_ones_own_needs_that_equation(tmp_path: Path) -> None:
    model = redraw(advection().to_classifier(5, layout="small")).eval()
    model.save_pretrained(tmp_path)
    again = pn.Classifier.from_pretrained(tmp_path, pde=advection())
    x = torch.randn(2, 3, 9, 8)
    assert torch.equal(again(x), model(x))
    with pytest.raises(NetworkError, match="pde=my_equation"):
        pn.Classifier.from_pretrained(tmp_path)


def test_options_replace_those_of_the_folder(tmp_path: Path) -> None:
    pn.create_model("eq3_small", 5).save_pretrained(tmp_path)
    again = pn.Classifier.from_pretrained(tmp_path, drop_rate=0.5)
    assert again.drop_rate == 0.5
    with pytest.raises(NetworkError, match=r"head\.weight \(5, 64\) instead of \(6, 64\)"):
        pn.Classifier.from_pretrained(tmp_path, num_classes=6)


FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda p: (p / "config.json").unlink(), "has no config.json"),
    "a config that is no JSON": (lambda p: (p / "config.json").write_text("{"), "is no JSON"),
    "no weights": (lambda p: (p / "model.safetensors").unlink(), "there is no file"),
    "damaged weights": (
        lambda p: (p / "model.safetensors").write_bytes(b"0" * 100),
        "is damaged",
    ),
}


@pytest.mark.parametrize(("damage", "words"), FOLDERS.values(), ids=list(FOLDERS))
def test_a_damaged_folder_is_an_error(
    damage: Callable[[Path], object], words: str, tmp_path: Path
) -> None:
    pn.create_model("eq3_small", 5).save_pretrained(tmp_path)
    damage(tmp_path)
    with pytest.raises(CheckpointError, match=words):
        pn.Classifier.from_pretrained(tmp_path)


def test_a_folder_that_is_not_there_is_not_looked_for_on_the_hub(tmp_path: Path) -> None:
    for path in (tmp_path / "no", "./no", "out/train/no"):
        with pytest.raises(CheckpointError, match="a folder that save_pretrained made"):
            pn.Classifier.from_pretrained(path)


# -- torch.hub ---------------------------------------------------------------------------------


def test_the_entry_points_of_torch_hub_are_the_models() -> None:
    # As torch.hub.list finds them, which reads repositories of GitHub only.
    found = [name for name, one in vars(hubconf).items() if callable(one) and name[0] != "_"]
    assert sorted(found) == pn.list_models()
    for name in found:
        assert name in str(getattr(hubconf, name).__doc__)
    assert all(map(find_spec, hubconf.dependencies))


@pytest.mark.parametrize("name", mostly_deep(pn.list_models(), pn.list_models("small")))
def test_torch_hub_loads_every_model(name: str) -> None:
    options = {"num_classes": 4, "in_channels": 1}
    model = torch.hub.load(str(ROOT), name, source="local", **options)
    assert model.config == pn.create_model(name, **options).config
