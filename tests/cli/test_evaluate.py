"""`pdenet evaluate`: numbers in the terminal, a page, and exit statuses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from pdenet.cli import main
from pdenet.cli.evaluate import PAGE
from pdenet.network.convnet.layout import Layout
from pdenet.network.convnet.models import create_model
from pdenet.network.convnet.weights import save_weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch."""
    output = tmp_path_factory.mktemp("runs")
    arguments = ["--epochs", "1", "--model", "eq5_small", "--batch-size", "128"]
    arguments += ["--model-kwargs", "layout={'widths': (4, 8), 'depths': (1, 1)}"]
    assert main(["train", *arguments, "--output", str(output), "--experiment", "run"]) == 0
    return output / "run"


def number(shown: str, name: str) -> float:
    found = re.search(rf"{name} +([\d.,]+)", shown)
    assert found, shown
    return float(found[1].replace(",", ""))


def test_a_run_is_measured_and_has_a_page(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last = (folder / "summary.csv").read_text().splitlines()
    row = dict(zip(last[0].split(","), map(float, last[-1].split(",")), strict=True))
    assert main(["evaluate", str(folder)]) == 0
    shown = capsys.readouterr().out
    # Two and four digits are shown.
    assert number(shown, "top-1") == pytest.approx(row["val_top1"], abs=0.005)
    assert number(shown, "top-5") == pytest.approx(row["val_top5"], abs=0.005)
    assert number(shown, "loss") == pytest.approx(row["val_loss"], abs=6e-5)
    assert number(shown, "throughput") > 0
    assert "360 pictures" in shown
    table = re.findall(r"^  (\d) +(\d+) +([\d.]+) +([\d.–]+) +([\d.]+)$", shown, re.MULTILINE)
    assert [line[0] for line in table] == list("0123456789")
    assert sum(int(line[1]) for line in table) == 360
    hits = sum(int(line[1]) * float(line[2]) / 100 for line in table)
    # Each recall is rounded to a tenth of a per cent of at most 37 pictures.
    assert hits == pytest.approx(3.6 * row["val_top1"], abs=10 * 37 * 0.0005)
    page = folder / PAGE
    assert str(page) in shown
    content = page.read_text(encoding="utf-8")
    assert content.startswith("<!DOCTYPE html>")
    for words in (
        "The run",
        "Confusion matrix",
        "Each class",
        "Most confident mistakes",
        "stage 2",
    ):
        assert words in content
    # It only wrote the page.
    assert not list(folder.glob(".*"))


def test_the_page_goes_where_it_is_told(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "new" / "page.html"
    arguments = ["evaluate", str(folder), "--output", str(path), "--checkpoint", "last"]
    assert main([*arguments, "--batch-size", "37"]) == 0
    first = path.read_text(encoding="utf-8")
    assert "last-" in first
    assert main([*arguments, "-b", "37"]) == 0  # an older page is replaced
    # The measured time apart, it is the same page.
    other = path.read_text(encoding="utf-8")
    time = r"<dt>throughput</dt><dd>[\d,]+"
    assert re.sub(time, "", first) == re.sub(time, "", other)


def test_a_file_of_weights_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    model = create_model("eq5_small", 2, in_channels=3, layout=Layout((4,), (1,)))
    path = save_weights(model, tmp_path / "weights.safetensors")
    assert main(["evaluate", "--weights", str(path), "--data-dir", "faces"]) == 0
    shown = capsys.readouterr().out
    assert "eq5_small on faces, 40 pictures" in shown
    assert "face" in shown
    assert "top-5" not in shown  # of two classes it says nothing
    assert (tmp_path / PAGE).exists()


def test_bfloat16_is_measured_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(folder), "--amp"]) == 0
    assert number(capsys.readouterr().out, "top-1") > 0


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "got neither"),
        (["RUN", "--weights", "w.safetensors"], "got both"),
        (["RUN", "--model", "eq5_small"], "leave it out"),
        (["--weights", "w.safetensors", "--ema"], "--ema"),
        (["--weights", "w.safetensors", "--checkpoint", "last"], "--checkpoint"),
        (["RUN", "--checkpoint", "lats"], "Did you mean 'last'?"),
        (["RUN", "--batch-size", "0"], "--batch-size"),
        (["RUN", "--batch-size", "many"], "--batch-size"),
        (["RUN", "--device", "tpu9"], "--device"),
        (["RUN", "--device", "meta"], "--device"),
        (["RUN", "--device", "cuda:99"], "GPU number 99"),
        (["RUN", "--data-dir", "nowhere"], "nowhere"),
        (["RUN", "--data-dir", "faces"], "classes"),
        (["RUN", "--output", "FOLDER"], "a file"),
        (["RUN", "--output", "FILE/page.html"], "folder that can be made"),
        (["FOLDER"], "holds none"),
        (["nowhere"], "no folder"),
        (["RUN", "--outptu", "x"], "--output"),
    ],
)
def test_bad_input_is_a_sentence_and_status_2(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    word: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    names = {"RUN": str(folder), "FOLDER": "folder", "FILE/page.html": "file/page.html"}
    assert main(["evaluate", *(names.get(a, a) for a in arguments)]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("pdenet: error: ")
    assert word in shown
    assert "Traceback" not in shown
    assert "fault of pdenet" not in shown


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(["RUN", "--ema"], "--model-ema"), (["--weights", "absent.safetensors"], "absent")],
)
def test_weights_that_are_not_there_end_with_status_1(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], word: str
) -> None:
    names = {"RUN": str(folder)}
    assert main(["evaluate", *(names.get(a, a) for a in arguments)]) == 1
    assert word in capsys.readouterr().err


def test_a_name_of_a_class_cannot_write_to_the_terminal() -> None:
    from pdenet.cli.evaluate import _shortened

    assert _shortened("\x1b[2Jred\n") == "�[2Jred�"
    assert len(_shortened("a" * 99)) == 30
