"""`pdenet export`: runs, checkpoints, files and folders, in every format."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

import pdenet as pn
from pdenet.cli import main
from pdenet.network.convnet.models import load_classifier
from pdenet.network.convnet.weights import save_weights
from pdenet.training.loop.checkpoint import Checkpoints
from tests.network.convnet.redraw import redraw

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*"),
    pytest.mark.filterwarnings("ignore::FutureWarning:torch.*"),
]

SIZE = 8


@pytest.fixture(scope="module")
def models() -> dict[str, pn.Classifier]:
    made = {}
    for seed, kind in enumerate(("best", "last", "file")):
        torch.manual_seed(seed)
        model = pn.create_model("eq7_nows_x6_small", 10, in_channels=1)
        made[kind] = redraw(model, seed).eval()
    return made


@pytest.fixture(scope="module")
def folder(models: dict[str, pn.Classifier], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two checkpoints as `pdenet train` describes them, a file, a folder of the hub."""
    made = tmp_path_factory.mktemp("export")
    run = Checkpoints(made / "run")
    for step, kind in ((5, "best"), (9, "last")):
        state = {"model": models[kind].config, "image_size": SIZE}
        run.save(kind, step, models[kind].state_dict(), state)
    save_weights(models["file"], made / "w.safetensors")
    models["file"].save_pretrained(made / "hub")
    Checkpoints(made / "early").save("last", 1, models["last"].state_dict(), {"model": {}})
    return made


def export(*arguments: str | Path) -> int:
    return main(["export", *map(str, arguments)])


TARGETS = {
    "a run": ("run", (), "best"),
    "the last of a run": ("run", ("--checkpoint", "last"), "last"),
    "a checkpoint": ("run/last-9", (), "last"),
    "a file": ("w.safetensors", (), "file"),
    "a folder of the hub": ("hub", (), "file"),
}


@pytest.mark.parametrize(("target", "options", "kind"), TARGETS.values(), ids=list(TARGETS))
def test_the_weights_that_were_asked_for_are_exported(
    target: str,
    options: tuple[str, ...],
    kind: str,
    folder: Path,
    models: dict[str, pn.Classifier],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "out.safetensors"
    assert export(folder / target, *options, "-o", path) == 0
    assert "eq7_nows_x6_small" in capsys.readouterr().out
    x = torch.randn(2, 1, SIZE, SIZE)
    assert torch.equal(load_classifier(path)(x), models[kind](x))


@pytest.mark.parametrize(
    "options",
    [(), *(pytest.param(o, marks=pytest.mark.deep) for o in (("--fused",), ("--dynamic-batch",)))],
)
def test_onnx_of_a_run_has_the_size_of_its_pictures(
    options: tuple[str, ...], folder: Path, models: dict[str, pn.Classifier], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = tmp_path / "m.onnx"
    assert export(folder / "run", *options, "-o", path) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "opset 18" in shown.out
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    batch = "batch" if "--dynamic-batch" in options else 1
    assert session.get_inputs()[0].shape == [batch, 1, SIZE, SIZE]
    x = torch.randn(3 if batch == "batch" else 1, 1, SIZE, SIZE)
    (logits,) = session.run(None, {"images": x.numpy()})
    expected = models["best"](x).detach().numpy()
    # float32 sums in another order; see the tests of the export itself.
    assert np.abs(logits - expected).max() <= 1e-5 * np.abs(expected).max()


def test_torch_export_of_a_file_takes_the_size_that_was_given(
    folder: Path, models: dict[str, pn.Classifier], tmp_path: Path
) -> None:
    path = tmp_path / "m.bin"
    assert export(folder / "w.safetensors", "--format", "torch-export", "--image-size", "12",
                  "--dynamic-batch", "-o", path) == 0  # fmt: skip
    x = torch.randn(3, 1, 12, 12)
    got, expected = torch.export.load(path).module()(x), models["file"](x)
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


BAD: dict[str, tuple[tuple[str, ...], int, str]] = {
    "no output": (("run",), 2, "-o"),
    "nothing there": (("no", "-o", "m.onnx"), 2, "is no folder"),
    "a folder of something else": ((".", "-o", "m.onnx"), 2, "holds none"),
    "an ending that says nothing": (("run", "-o", "m"), 2, "add --format onnx"),
    "an unknown format": (("run", "--format", "onxx", "-o", "m"), 2, "Did you mean 'onnx'"),
    "no size": (("run", "--image-size", "0", "-o", "m.onnx"), 2, "positive whole number"),
    "no number": (("run", "--image-size", "²", "-o", "m.onnx"), 2, "positive whole number"),
    "a folder as output": (("run", "-o", "hub", "--format", "onnx"), 2, "got the folder"),
    "a file that exists": (("run", "-o", "w.safetensors"), 2, "--overwrite"),
    "a size for weights": (
        ("run", "--image-size", "8", "-o", "m.safetensors"), 2, "leave it out"
    ),
    "an unknown checkpoint": (("run", "--checkpoint", "worst", "-o", "m.onnx"), 2, "best, last"),
    "a checkpoint that is not there": (
        ("early", "--checkpoint", "best", "-o", "m.onnx"), 2, "none yet"
    ),
    "a checkpoint of something else": (("early", "-o", "m.onnx"), 1, "a pdenet classifier"),
    "a file of something else": (("hub/README.md", "-o", "m.onnx"), 1, "is damaged"),
    "a folder that does not exist": (
        ("w.safetensors", "-o", "no/m.safetensors"), 1, "a folder that exists"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "status", "words"), BAD.values(), ids=list(BAD))
def test_bad_input_is_a_sentence_and_writes_nothing(
    arguments: tuple[str, ...],
    status: int,
    words: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = shutil.copytree(folder, tmp_path / "there")
    monkeypatch.chdir(made)
    before = sorted(made.rglob("*"))
    assert export(*arguments) == status
    shown = capsys.readouterr().err
    assert shown.startswith("pdenet: error: ")
    assert words in shown
    assert "Traceback" not in shown
    assert sorted(made.rglob("*")) == before


def test_an_older_file_is_replaced_where_that_is_wanted(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"old")
    assert export(folder / "run", "--overwrite", "-o", path) == 0
    assert load_classifier(path).name == "eq7_nows_x6_small"
