"""Loading a run, one of its checkpoints, its average, or a file of weights: the right numbers."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from pdenet.equation.catalogue import catalogue
from pdenet.errors import (
    CheckpointError,
    CheckpointWarning,
    DataError,
    NetworkError,
    PdenetError,
    TrainingError,
)
from pdenet.network.convnet.layout import Layout
from pdenet.network.convnet.models import create_model
from pdenet.network.convnet.weights import save_weights
from pdenet.training.data.loaders import DataOptions, load_data
from pdenet.training.evaluation.loading import load_file, load_run
from pdenet.training.evaluation.report import evaluate_run, measured
from pdenet.training.loop.checkpoint import Checkpoints
from pdenet.training.loop.options import TrainOptions
from pdenet.training.loop.train import Outcome, train

LAYOUT = {"widths": [4, 8], "depths": [1, 1], "stem": "plain"}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A run of two epochs, with an average of the weights."""
    options = TrainOptions(
        model="eq5_small", epochs=2, warmup_epochs=0, lr=0.1, batch_size=128, model_ema=True,
        model_ema_decay=0.9, model_kwargs={"layout": LAYOUT}, experiment="run",
        output=str(tmp_path_factory.mktemp("runs")),
    )  # fmt: skip
    return train(options)


def logits_of(model: nn.Module) -> Tensor:
    with torch.no_grad():
        made: Tensor = model(torch.linspace(-1, 2, 3 * 64).reshape(3, 1, 8, 8))
    return made


def test_a_run_is_measured_as_it_measured_itself(outcome: Outcome) -> None:
    for checkpoint, average, name in (
        ("best", False, "ema"),  # where there is an average, it is what was judged
        ("best", True, "ema"),
        ("last", True, "ema"),
        ("last", False, "val"),
    ):
        last = outcome.history[-1]
        if checkpoint == "best":
            last = max(outcome.history, key=lambda row: row["ema_top1"])
        found = evaluate_run(outcome.folder, checkpoint, average=average)
        metrics = found.evaluation.metrics
        assert metrics.count == 360
        # Per cent there; a quotient of two integers in either case.
        assert 100 * metrics.top[1] == pytest.approx(last[f"{name}_top1"], rel=1e-12)
        assert 100 * metrics.top[5] == pytest.approx(last[f"{name}_top5"], rel=1e-12)
        # Sums of float32 losses in other batches.
        assert metrics.loss == pytest.approx(last[f"{name}_loss"], rel=1e-5)
        assert found.source.endswith("average of the weights") == (name == "ema")


def test_a_report_has_what_the_run_and_the_model_say(outcome: Outcome) -> None:
    found = evaluate_run(outcome.folder)
    assert found.history.epochs["val_top1"] == pytest.approx(
        [row["val_top1"] for row in outcome.history], rel=1e-8
    )
    same = create_model("eq5_small", 10, in_channels=1, layout=Layout((4, 8), (1, 1)))
    assert found.num_parameters == sum(p.numel() for p in same.parameters())
    assert found.equation == str(catalogue["eq5"])
    assert "partial" in found.latex
    assert [level.name for level in found.levels] == ["stem", "stage 1", "stage 2"]
    assert found.shown is not None
    assert found.shown.shape == (1, 8, 8)
    assert found.dataset == "digits"


def test_one_checkpoint_of_a_run_is_taken_itself(outcome: Outcome) -> None:
    oldest = min(outcome.folder.glob("last-*"), key=lambda path: int(path.name.split("-")[1]))
    loaded = load_run(oldest)
    assert oldest.name in loaded.source
    newest = load_run(outcome.folder, "last")
    assert not torch.equal(logits_of(loaded.model), logits_of(newest.model))
    assert loaded.folder == outcome.folder


def test_a_damaged_checkpoint_gives_way_to_the_older_one(outcome: Outcome, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(outcome.folder, folder)
    newest = max(folder.glob("last-*"), key=lambda path: int(path.name.split("-")[1]))
    (newest / "weights.safetensors").write_bytes(b"nothing")
    with pytest.warns(CheckpointWarning):
        loaded = load_run(folder, "last")
    assert newest.name not in loaded.source
    for path in folder.glob("last-*"):
        (path / "weights.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError):
        load_run(folder, "last")


def test_a_folder_of_pictures_takes_the_place_of_the_data(outcome: Outcome, tmp_path: Path) -> None:
    data = load_data(DataOptions())
    images = torch.cat([one for one, _ in data.val]) * data.std[0] + data.mean[0]
    labels = torch.cat([one for _, one in data.val])
    for part in ("train", "val"):
        for k in range(10):
            (tmp_path / part / str(k)).mkdir(parents=True)
            Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / part / str(k) / "0.png")
    for n in range(40):
        pixels = np.rint(255 * images[n, 0].numpy()).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "val" / str(int(labels[n])) / f"a{n}.png")
    loaded = load_run(outcome.folder, data_dir=str(tmp_path), batch_size=16)
    assert loaded.data.mean == pytest.approx(data.mean)  # those of the training
    assert loaded.dataset == tmp_path.name
    assert loaded.data.options.batch_size == 16
    assert measured(loaded).evaluation.metrics.count == 50
    shutil.rmtree(tmp_path / "train" / "3")
    shutil.rmtree(tmp_path / "val" / "3")
    with pytest.raises(DataError, match="'3'"):
        load_run(outcome.folder, data_dir=str(tmp_path))


def test_a_file_of_weights_says_its_model_or_is_told(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = create_model("eq5_small", 10, in_channels=1).eval()
    own = save_weights(model, tmp_path / "own.safetensors")
    plain = tmp_path / "plain.safetensors"
    save_file({name: value.clone() for name, value in model.state_dict().items()}, plain)
    for path, name in ((own, None), (own, "eq5_small"), (plain, "eq5_small")):
        found = load_file(path, name)
        torch.testing.assert_close(logits_of(found.model), logits_of(model), rtol=0, atol=0)
        assert found.name == "eq5_small"
        assert found.folder == tmp_path
        assert not found.model.training
    with pytest.raises(TrainingError, match="--model"):
        load_file(plain)
    with pytest.raises(NetworkError, match="unexpected: "):
        load_file(plain, "eq4_small")
    with pytest.raises(CheckpointError):
        load_file(tmp_path / "absent.safetensors")
    other = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(2)}, other)
    with pytest.raises(NetworkError, match="stem"):
        load_file(other, "eq5_small")


def test_outputs_that_no_class_of_the_data_has_are_numbered(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = save_weights(create_model("eq5_small", 12, in_channels=1), tmp_path / "w.safetensors")
    found = load_file(path)
    assert found.classes == (*"0123456789", "output 10", "output 11")
    metrics = measured(found).evaluation.metrics
    assert metrics.confusion.shape == (12, 12)
    few = save_weights(create_model("eq5_small", 7, in_channels=1), tmp_path / "f.safetensors")
    with pytest.raises(DataError, match="at most 7"):
        load_file(few)


def test_what_is_no_run_is_refused(outcome: Outcome, tmp_path: Path) -> None:
    def refused(path: Path, error: type[PdenetError], word: str, **options: object) -> None:
        with pytest.raises(error, match=word):
            load_run(path, **options)  # type: ignore[arg-type]  # some are wrong on purpose

    refused(tmp_path / "absent", TrainingError, "is no folder")
    refused(tmp_path, TrainingError, "holds none")
    refused(outcome.folder, TrainingError, "best, last", kind="bets")
    refused(outcome.folder, DataError, "classes", data_dir="faces")
    (tmp_path / "args.toml").write_text("")
    refused(tmp_path, TrainingError, "none yet")
    Checkpoints(tmp_path).save("last", 1, {"w": torch.zeros(2)}, {"step": 1})
    refused(tmp_path, TrainingError, "--checkpoint last")
    refused(tmp_path, CheckpointError, "--weights", kind="last")


def test_a_run_without_an_average_has_none_to_give(tmp_path: Path) -> None:
    options = TrainOptions(
        model="eq5_small", model_kwargs={"layout": LAYOUT}, epochs=1, warmup_epochs=0,
        batch_size=512, output=str(tmp_path),
    )  # fmt: skip
    folder = train(options).folder
    for kind in ("best", "last"):
        with pytest.raises(CheckpointError, match="--model-ema"):
            load_run(folder, kind, average=True)
    assert load_run(folder).source == f"{folder}, best-2"  # 1437 pictures in batches of 512


def test_a_model_of_ones_own_takes_the_weights(tmp_path: Path) -> None:
    def make() -> nn.Module:
        torch.manual_seed(3)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    options = TrainOptions(epochs=1, warmup_epochs=0, batch_size=256, output=str(tmp_path))
    outcome = train(options, model=make())
    report = measured(load_run(outcome.folder, model=make()))
    top1 = 100 * report.evaluation.metrics.top[1]
    assert top1 == pytest.approx(outcome.history[-1]["val_top1"], rel=1e-12)
    assert report.levels == ()
    assert report.latex == ""
