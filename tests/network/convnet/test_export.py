"""Classifiers compiled, traced and translated: the same logits, for any number of pictures."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any  # options of a classifier

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import pdenet as pn
from pdenet.errors import CheckpointError, MissingExtraError, NetworkError
from pdenet.network.convnet import export as exporting
from pdenet.network.convnet.export import CONFIG_KEY, INPUT, OPSET, export
from pdenet.network.convnet.models import classifier_from_config, load_classifier
from tests.network.convnet.redraw import redraw
from tests.tiers import mostly_deep

SMALL = pn.list_models("small")
FEW = ["eq3_small", "eq7_nows_x6_small"]
"""Without a flux, and with one."""

# A compiler's work grows with the blocks, and each is like the next: one that keeps its width, and
# one that changes it, and the stride.
FLAT = pn.Layout((4, 8), (1, 1))

# PyTorch's compilers warn of PyTorch's own deprecated parts when they are first loaded.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*"),
    pytest.mark.filterwarnings("ignore::FutureWarning:torch.*"),
    pytest.mark.filterwarnings("ignore::FutureWarning:copyreg"),
]


def ready(name: str, **options: Any) -> pn.Classifier:
    torch.manual_seed(0)
    return redraw(pn.create_model(name, 10, **options), 3).eval()


def pictures(count: int, size: int = 12) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(count))


def assert_near(got: Any, expected: torch.Tensor) -> None:
    # float32: sums in another order, some 1e-6 of the largest logit; 1e-5 is what is asked for.
    expected = expected.detach()
    error = np.abs(np.asarray(got) - expected.numpy()).max()
    assert error <= 1e-5 * float(expected.abs().max())
    # Logits of different pictures differ by more, so that none is another's.
    assert len(expected) < 2 or float((expected[0] - expected[1]).abs().max()) > 10 * error


# -- torch.compile -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "fused"),
    mostly_deep(itertools.product(SMALL, (False, True)), [(FEW[0], False), (FEW[1], True)]),
)
def test_a_model_compiles_without_a_graph_break(name: str, fused: bool) -> None:
    model = ready(name, layout=FLAT)
    model = model.fused() if fused else model
    torch._dynamo.reset()
    # Traced by dynamo and AOTAutograd, as by every back end; code is made by the test below.
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        assert_near(compiled(pictures(2)), model(pictures(2)))


def test_a_model_in_training_compiles_without_a_graph_break() -> None:
    model, compiled = (ready("eq7_nows_x6_small", layout=FLAT).train() for _ in range(2))
    torch._dynamo.reset()
    made = torch.compile(compiled, fullgraph=True, backend="aot_eager")
    for run in (model, made):
        run(pictures(4)).square().sum().backward()
    for one, two in zip(model.parameters(), compiled.parameters(), strict=True):
        assert one.grad is not None
        assert two.grad is not None
        # Gradients are sums over all pixels; of the largest, as some are near 0.
        assert (one.grad - two.grad).abs().max() <= 1e-4 * max(1e-3, float(one.grad.abs().max()))


# Code takes up to a minute to make: of one model without a flux, and of one with.
@pytest.mark.deep(law="test_a_model_compiles_without_a_graph_break")
@pytest.mark.parametrize("name", ["eq3_small", "eq7_nows_x6_small"])
def test_compiled_code_gives_the_same_logits(name: str) -> None:
    model = ready(name)
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True)
    with torch.no_grad():
        assert_near(compiled(pictures(2)), model(pictures(2)))


# -- files -------------------------------------------------------------------------------------


def run_onnx(path: Path, x: torch.Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {INPUT: x.numpy()})
    return np.asarray(logits)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[pn.Classifier, Path]:
    """A model, and what it is as an ONNX program for pictures that are not square."""
    model, folder = ready("eq3_small", layout=FLAT), tmp_path_factory.mktemp("onnx")
    return model, export(model, folder / "m.onnx", image_size=(12, 10))


def test_onnx_runtime_gives_the_same_logits_for_any_number_of_pictures(
    written: tuple[pn.Classifier, Path],
) -> None:
    model, path = written
    for count in (1, 2, 5):
        x = pictures(count)[..., :10]
        assert_near(run_onnx(path, x), model(x))
    assert [p.name for p in path.parent.iterdir()] == ["m.onnx"]


@pytest.mark.deep(law="test_onnx_runtime_gives_the_same_logits_for_any_number_of_pictures")
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", SMALL)
def test_onnx_runtime_gives_the_same_logits_of_every_model(
    name: str, fused: bool, tmp_path: Path
) -> None:
    model = ready(name)
    path = export(model, tmp_path / "m.onnx", image_size=12, fused=fused)
    for count in (1, 2, 5):
        assert_near(run_onnx(path, pictures(count)), model(pictures(count)))


@pytest.mark.deep(law="test_onnx_runtime_gives_the_same_logits_for_any_number_of_pictures")
@pytest.mark.parametrize("fused", [False, True])
def test_onnx_runtime_gives_the_same_logits_at_the_published_size(
    fused: bool, tmp_path: Path
) -> None:
    model = ready("eq3")
    path = export(model, tmp_path / "m.onnx", image_size=64, fused=fused)
    assert_near(run_onnx(path, pictures(3, 64)), model(pictures(3, 64)))


OPTIONS: dict[str, dict[str, Any]] = {
    "circular": {"padding": "circular"},
    "reflect and replicate": {"padding": ("reflect", "replicate")},
    "position": {"position": 1},
    "Runge–Kutta": {"stepper": "heun"},
    "leapfrog, shared": {"stepper": "leapfrog", "coefficients": "shared"},
    "hardball": {"activation": "hardball"},
    "hardtanh": {"activation": "hardtanh"},
    "max pooling": {"global_pool": "max"},
    # Each opens another part of the exporter: another padding, a stepper that keeps two states.
    "several": {
        "padding": ("reflect", "replicate"),
        "stepper": "leapfrog",
        "coefficients": "shared",
        "position": 1,
        "activation": "hardball",
        "global_pool": "max",
    },
}


@pytest.mark.parametrize("option", mostly_deep(OPTIONS, {"several"}))
def test_every_option_can_be_exported(option: str, tmp_path: Path) -> None:
    layout = pn.Layout((4,), (2,)) if option == "several" else pn.Layout((8, 16), (1, 2))
    model = ready("eq7_nows_x6_small", layout=layout, **OPTIONS[option])
    path = export(model, tmp_path / "m.onnx", image_size=12)
    assert_near(run_onnx(path, pictures(3)), model(pictures(3)))


def test_the_onnx_file_says_what_it_is(written: tuple[pn.Classifier, Path]) -> None:
    model, path = written
    made = onnx.load(path)
    onnx.checker.check_model(made)
    (opset,) = [o.version for o in made.opset_import if not o.domain]
    assert opset == OPSET
    (images,), (logits,) = made.graph.input, made.graph.output
    dims = [d.dim_param or d.dim_value for d in images.type.tensor_type.shape.dim]
    assert dims == ["batch", 3, 12, 10]
    assert (images.name, logits.name) == ("images", "logits")
    (config,) = [p.value for p in made.metadata_props if p.key == CONFIG_KEY]
    assert classifier_from_config(json.loads(config)).config == model.config


@pytest.mark.parametrize("how", mostly_deep(["torch-export", "onnx"], {"torch-export"}))
def test_without_a_dynamic_batch_there_is_one_picture(how: str, tmp_path: Path) -> None:
    model = ready("eq5_small", layout=pn.Layout((4,), (1,)))
    path = export(model, tmp_path / "m.pt2", how, image_size=8, dynamic_batch=False)
    if how == "onnx":
        (images,) = onnx.load(path).graph.input
        assert [d.dim_value for d in images.type.tensor_type.shape.dim] == [1, 3, 8, 8]
        return
    module = torch.export.load(path).module()
    assert module(pictures(1, 8)).shape == (1, 10)
    with pytest.raises(AssertionError, match="size"):
        module(pictures(2, 8))


@pytest.mark.parametrize(
    ("name", "fused"), mostly_deep(itertools.product(SMALL, (False, True)), [(FEW[1], True)])
)
def test_torch_export_gives_the_same_logits_for_any_number_of_pictures(
    name: str, fused: bool, tmp_path: Path
) -> None:
    model = ready(name, layout=FLAT)
    path = export(model, tmp_path / "m.pt2", "torch-export", image_size=12, fused=fused)
    extra = {"config.json": ""}
    module = torch.export.load(path, extra_files=extra).module()
    assert json.loads(extra["config.json"])["name"] == name
    for count in (1, 2, 5):
        assert_near(module(pictures(count)).detach(), model(pictures(count)))


def test_safetensors_hold_the_model(tmp_path: Path) -> None:
    model = ready("eq4_small")
    path = export(model, tmp_path / "m.safetensors", "safetensors", fused=True)
    again = load_classifier(path)
    assert again.is_fused
    assert_near(again(pictures(2)).detach(), model(pictures(2)))


def test_the_model_itself_stays_as_it_is(tmp_path: Path) -> None:
    model = ready("eq3_small", layout=pn.Layout((4,), (1,))).double().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    export(model, tmp_path / "m.pt2", "torch-export", image_size=8)
    assert all(module.training for module in model.modules())
    after = model.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


# -- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"format": "onxx"}, "Did you mean 'onnx'"),
        ({"image_size": 0}, "image_size is an integer"),
        ({"image_size": (8, 8, 8)}, "one number, or"),
        ({"model": torch.nn.Linear(2, 2)}, "got Linear"),
    ],
)
def test_what_cannot_be_exported_is_refused(
    given: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(NetworkError, match=words):
        export(**{"model": ready("eq3_small"), "path": tmp_path / "m", **given})
    assert not list(tmp_path.iterdir())


def test_a_program_that_computes_something_else_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(model: pn.Classifier, *_: Any) -> Any:
        return b"a program", lambda x: model(x).numpy() * factor

    model, path = ready("eq5_small"), tmp_path / "m.pt2"
    monkeypatch.setattr(exporting, "_program", wrong)
    factor = 1.0001
    with pytest.raises(NetworkError, match="they differ by"):
        export(model, path, "torch-export", image_size=8)
    assert not list(tmp_path.iterdir())
    factor = 1.0
    assert export(model, path, "torch-export", image_size=8).read_bytes() == b"a program"


def test_without_onnx_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "find_spec", lambda name: None if "script" in name else name)
    with pytest.raises(MissingExtraError, match=r"onnxscript.*pip install 'pdenet\[onnx\]'"):
        export(ready("eq3_small"), tmp_path / "m.onnx")


def test_a_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="a folder that exists"):
        export(ready("eq5_small"), tmp_path / "no" / "m.safetensors", "safetensors")
