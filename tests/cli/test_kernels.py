"""`pdenet kernels`: every kind of model, the tables, the page, and exit statuses."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

import pdenet as pn
from pdenet.cli import main
from pdenet.network.convnet.weights import save_weights
from pdenet.symmetry.kernels import symmetry_table
from tests.tiers import mostly_deep


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of weights, one of a model of timm with seven classes, and a run of one epoch."""
    made = tmp_path_factory.mktemp("kernels")
    torch.manual_seed(0)
    save_weights(pn.create_model("eq3_small", 10, in_channels=1), made / "w.safetensors")
    model = timm.create_model("mobilenetv3_small_050", num_classes=7)
    save_file(model.state_dict(), made / "t.safetensors")
    arguments = ["--epochs", "1", "--model", "eq5_small", "--batch-size", "128"]
    arguments += ["--model-kwargs", "layout={'widths': (8, 16), 'depths': (1, 1)}"]
    assert main(["train", *arguments, "--output", str(made), "--experiment", "run"]) == 0
    return made


CASES = {
    "a run": (["run"], "Consistency", "horizontal flip"),
    "a file": (["w.safetensors"], "uneven", "6 of 6 strided layers"),
    "a file and pictures": (["w.safetensors", "--data-dir", "digits"], "Consistency", "7×7 crops"),
    "a name": (["eq5_small", "--img-size", "33"], "newly drawn", "0 of 6 strided layers"),
    "timm": (["timm:mobilenetv3_small_050", "--img-size", "64"], "newly drawn", "5 of 5 strided"),
    "timm with weights": (
        ["timm:mobilenetv3_small_050", "--weights", "t.safetensors", "--img-size", "65"],
        "conv_stem",
        "0 of 5 strided layers",
    ),
}


@pytest.mark.parametrize("case", mostly_deep(CASES, [*CASES][:2]))
def test_every_kind_of_model_is_measured_and_has_a_page(
    case: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments, *words = CASES[case]
    monkeypatch.chdir(folder)
    page = tmp_path / "page.html"
    assert main(["kernels", *arguments, "--output", str(page)]) == 0
    shown = capsys.readouterr().out
    content = page.read_text(encoding="utf-8")
    assert str(page) in shown
    assert all(word in shown or word in content for word in words)
    assert ("newly drawn" in shown) == (words[0] == "newly drawn")
    assert ("horizontal flip" in shown) == (case in ("a run", "a file and pictures"))


def test_the_scores_written_are_those_of_the_weights(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "scores.csv"
    arguments = [str(folder / "w.safetensors"), "--csv", str(table)]
    assert main(["kernels", *arguments, "--output", str(tmp_path / "page.html")]) == 0
    rows = list(csv.DictReader(io.StringIO(table.read_text(encoding="utf-8"))))
    expected = symmetry_table(pn.load_classifier(folder / "w.safetensors"), draws=10)
    assert [float(row["score"]) for row in rows] == list(expected.scores)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["eq3_smal"], "Did you mean 'eq3_small'"),
        (["timm:resnet19"], "got 'resnet19'"),
        (["w.safetensors", "--weights", "w.safetensors"], "name the file alone"),
        (["eq3_small", "--img-size", "0"], "--img-size"),
        (["eq3_small", "--output", "."], "got the folder"),
        (["eq3_small", "--output", "nowhere/page.html"], "make the folder"),
        (["run", "--img-size", "64"], "leave it out"),
        (["timm:resnet18", "--weights", "t.safetensors"], "do not fit"),
        (["timm:resnet18", "--weights", "none.safetensors"], "none.safetensors"),
    ],
)
def test_bad_input_is_a_sentence(
    arguments: list[str],
    words: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    assert main(["kernels", *arguments]) in (1, 2)
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error
    assert "fault of pdenet" not in error
    assert not (folder / "kernels.html").exists()
