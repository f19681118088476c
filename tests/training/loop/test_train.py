"""Train: the loop learns, reports, goes back when it must, and stops when it is asked."""

from __future__ import annotations

import csv
import math
import os
import signal
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any  # the state of a checkpoint

import pytest
import torch
from torch import Tensor, nn

import pdenet as pn
from pdenet.errors import (
    CheckpointError,
    CheckpointWarning,
    DivergedError,
    TrainingError,
    UnknownNameError,
)
from pdenet.network.convnet import penalties
from pdenet.network.convnet.classifier import Classifier
from pdenet.network.convnet.layout import Layout
from pdenet.training.data.loaders import Data, load_data
from pdenet.training.evaluation.evaluate import evaluate
from pdenet.training.loop import train as loop
from pdenet.training.loop.checkpoint import Checkpoints
from pdenet.training.loop.options import TrainOptions
from pdenet.training.loop.train import train
from tests.training.loop.runs import (
    MODELS,
    Plain,
    content,
    differences,
    run,
    small_model,
    small_options,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    run(folder)
    return folder


def test_it_learns_and_writes_what_it_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = run(tmp_path, model="plain", epochs=8, batch_size=64, tensorboard=True, log_interval=5)
    # A linear classifier has about 95 %, chance 10 %.
    assert made.best_top1 > 90
    assert made.stopped is None
    assert made.folder == tmp_path / "run"
    with (made.folder / "summary.csv").open(newline="") as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    assert len(rows) == len(made.history) == 8
    for row, told in zip(rows, made.history, strict=True):
        assert row == {k: pytest.approx(v, rel=1e-8) for k, v in told.items()}  # nine digits
    assert made.best_top1 == max(row["val_top1"] for row in made.history)
    assert all(row["val_top1"] <= row["val_top5"] <= 100 for row in rows)
    settled = tomllib.loads((made.folder / "args.toml").read_text())
    assert settled["epochs"] == 8
    assert list((made.folder / "tensorboard").iterdir())
    shown = capsys.readouterr().out.splitlines()
    # Into a pipe: a line an epoch, and no bar.
    assert sum(line.startswith("epoch ") for line in shown) == 8
    assert any(str(made.folder) in line for line in shown)


def test_the_numbers_of_validation_are_those_of_the_saved_model(tmp_path: Path) -> None:
    made = run(tmp_path, epochs=2)
    for kind in ("last", "best"):
        saved: Any = Checkpoints(made.folder).load(kind)
        model = small_model()
        model.load_state_dict(saved.weights)
        data = load_data(small_options(tmp_path).data_options())
        images, labels = (torch.cat(parts) for parts in zip(*data.val, strict=True))
        with torch.no_grad():
            logits = model.eval()(images)
        row = max(made.history, key=lambda row: row["val_top1"])
        row = made.history[-1] if kind == "last" else row
        share = 100 * (logits.argmax(dim=1) == labels).double().mean()
        assert share == pytest.approx(row["val_top1"])
        loss = float(nn.functional.cross_entropy(logits, labels))
        assert loss == pytest.approx(row["val_loss"], rel=1e-5)  # float32 sums in another order
        assert saved.state["classes"] == [str(k) for k in range(10)]
        assert len(saved.state["mean"]) == 1


class Coarse(Plain):
    """Judges with ties in every row, infinities of either sign in some, and NaN in a few."""

    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        if self.training:
            return logits
        logits = logits.div(4).round()
        kind = (16 * images.detach().sum(dim=(1, 2, 3))).long().remainder(8)  # (batch,)
        logits[kind == 1] = logits[kind == 1].masked_fill(logits[kind == 1] >= 0, math.inf)
        logits[kind == 2] = logits[kind == 2].masked_fill(logits[kind == 2] < 1, -math.inf)
        logits[kind == 3, 0] = math.nan
        return logits


def test_validation_and_evaluation_agree_on_ties_and_infinities(tmp_path: Path) -> None:
    """Else `best` would be another checkpoint than the one that `pdenet evaluate` prefers."""
    model = Coarse()
    made = train(small_options(tmp_path, epochs=2), model=model)
    data = load_data(small_options(tmp_path).data_options())
    found = evaluate(model, data.val, data.classes).metrics
    images, labels = (torch.cat(parts) for parts in zip(*data.val, strict=True))
    logits = model.eval()(images)
    hits = {1: 0, 5: 0}
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        if any(map(math.isnan, row)):
            continue
        order = sorted(range(10), key=lambda c: (-row[c], c))
        for k in hits:
            hits[k] += label in order[:k]
    for k, count in hits.items():
        assert found.top[k] == count / len(labels)
        assert made.history[-1][f"val_top{k}"] == 100 * count / len(labels)
    # What the law is about is there.
    assert all(bool(what.any()) for what in (logits == math.inf, logits == -math.inf))
    assert 0 < int(logits.isnan().any(dim=1).sum()) < len(labels) / 4
    top2 = logits.nan_to_num(0).topk(2).values
    assert int((top2[:, 0] == top2[:, 1]).sum()) > len(labels) / 4


class Recorded(torch.optim.SGD):
    """Keeps the rate of each update."""

    rates: list[float]

    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # as SGD's, untyped
        self.rates.append(self.param_groups[0]["lr"])
        super().step(closure)


def test_the_peak_learning_rate_is_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []

    def create(model: nn.Module, *arguments: Any, **more: Any) -> Recorded:
        made = Recorded(model.parameters(), lr=1.0)
        made.rates = rates
        return made

    monkeypatch.setattr(loop, "create_optimizer", create)
    options = {"epochs": 4, "warmup_epochs": 1, "lr": 0.2, "warmup_lr": 0.05, "min_lr": 0.01}
    run(tmp_path, model="plain", **options)
    assert len(rates) == 4 * 5
    assert max(rates) == rates[5] == 0.2
    assert rates[:2] == [0.05, pytest.approx(0.08)]
    assert rates[-1] == pytest.approx(0.01)


class Poisoned(Plain):
    """Emits NaN in training when the batch is the n-th, as a sample may that blows up."""

    def __init__(self, bad: set[int]) -> None:
        super().__init__()
        self.bad, self.calls = bad, 0
        self.norm = nn.BatchNorm2d(1)

    def forward(self, images: Tensor) -> Tensor:
        self.calls += self.training
        is_bad = self.training and self.calls in self.bad
        return super().forward(self.norm(images * math.nan if is_bad else images))


def test_a_batch_that_blows_up_is_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = train(small_options(tmp_path, lr=0.2, epochs=4), model=Poisoned({3, 12}))
    assert [row["trips"] for row in made.history] == [1, 1, 2, 2]
    schedule = small_options(tmp_path, lr=0.2, epochs=4).schedule(5)
    for row, factor, last in zip(made.history, (0.5, 0.5, 0.25, 0.25), (4, 9, 14, 19), strict=True):
        assert row["lr"] == schedule.rate(last) * factor
    assert made.history[-1]["step"] == 4 * 5 - 2
    assert all(math.isfinite(v) for row in made.history for v in row.values())
    state = content(tmp_path)["state"]
    assert [(trip["epoch"], trip["batch"]) for trip in state["guard"]["trips"]] == [(0, 2), (2, 1)]
    assert state["guard"]["lr_scale"] == 0.25
    names = load_data(small_options(tmp_path, epochs=4).data_options()).train.name_batch(0, 2)
    shown = capsys.readouterr().out
    assert names[:100] in shown
    assert all(torch.isfinite(v).all() for v in content(tmp_path)["weights"].values())


def test_a_run_that_blows_up_for_ever_ends_with_a_report(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"at most 2 states[\s\S]*epoch 0, batch 4"):
        train(small_options(tmp_path, max_trips=2), model=Poisoned(set(range(3, 99))))
    assert all(torch.isfinite(v).all() for v in content(tmp_path)["weights"].values())


def test_the_average_is_judged_and_kept(tmp_path: Path) -> None:
    made = run(tmp_path, model_ema=True, model_ema_decay=0.5, epochs=2, lr=0.5)
    best = content(tmp_path, "best")
    assert best["state"]["top1"] == made.best_top1 == max(r["ema_top1"] for r in made.history)
    last = content(tmp_path)
    assert differences(last["weights"], best["weights"]) != []
    average = {k.removeprefix("module."): v for k, v in last["state"]["ema"].items()}
    assert best["weights"].keys() <= average.keys()


class Signals:
    """Data that raise a signal while the n-th batch is made, or in validation."""

    def __init__(self, data: Data, number: int, batch: int | None) -> None:
        self.data, self.number, self.batch = data, number, batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self.data, name)

    @property
    def train(self) -> Any:
        outer = self

        class Train:
            num_samples = self.data.train.num_samples

            def __len__(self) -> int:
                return len(outer.data.train)

            def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
                for number, batch in enumerate(outer.data.train.epoch(epoch, start), start):
                    if (epoch, number) == (1, outer.batch):
                        os.kill(os.getpid(), outer.number)
                    yield batch

        return Train()

    @property
    def val(self) -> Iterator[Any]:
        for batch in self.data.val:
            if self.batch is None:
                os.kill(os.getpid(), self.number)
            yield batch


@pytest.mark.parametrize(
    ("number", "batch"),
    [
        (signal.SIGTERM, 2),
        (signal.SIGINT, 4),
        (signal.SIGTERM, None),
        pytest.param(signal.SIGINT, 2, marks=pytest.mark.deep),
        pytest.param(signal.SIGTERM, 4, marks=pytest.mark.deep),
        pytest.param(signal.SIGINT, None, marks=pytest.mark.deep),
    ],
)
def test_a_signal_saves_and_stops_and_the_rest_has_the_same_bits(
    number: int, batch: int | None, whole: Path, tmp_path: Path
) -> None:
    """In the middle of an epoch, at its last update, and in validation."""
    before = signal.getsignal(number)
    options = small_options(tmp_path / "cut")
    data: Any = Signals(load_data(options.data_options()), number, batch)
    made = train(options, model=small_model(), data=data)
    assert made.stopped == number
    assert signal.getsignal(number) == before
    state = content(tmp_path / "cut")["state"]
    expected = (0, 5) if batch is None else (1, batch + 1)
    assert (state["progress"]["epoch"], state["progress"]["batch"]) == expected
    resumed = run(tmp_path / "cut", resume="auto")
    assert resumed.best_top1 == content(whole)["state"]["progress"]["best"]
    assert differences(content(whole), content(tmp_path / "cut")) == []


def test_a_second_control_c_stops_at_once(tmp_path: Path) -> None:
    options = small_options(tmp_path)
    data: Any = Signals(load_data(options.data_options()), signal.SIGINT, 2)
    inner = data.data.train.epoch

    def twice(epoch: int, start: int = 0) -> Iterator[Any]:
        for number, batch in enumerate(inner(epoch, start), start):
            if (epoch, number) == (1, 2):
                os.kill(os.getpid(), signal.SIGINT)
            yield batch

    data.data.train.epoch = twice
    with pytest.raises(KeyboardInterrupt):
        train(options, model=small_model(), data=data)


def test_it_runs_in_another_thread_where_no_signal_is_handled(tmp_path: Path) -> None:
    made: list[object] = []
    thread = threading.Thread(target=lambda: made.append(run(tmp_path, epochs=1)))
    thread.start()
    thread.join(60)
    assert len(made) == 1


def test_a_full_disk_stops_the_run_and_leaves_the_last_checkpoint(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, calls = Checkpoints.save, []

    def full(self: Checkpoints, kind: str, *rest: Any) -> Path:
        calls.append(kind)
        if calls.count("last") == 3:
            raise CheckpointError("A checkpoint needs 1.0 MB; the disk is full.")
        return save(self, kind, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", full)
        with pytest.raises(CheckpointError, match="disk is full"):
            run(tmp_path / "cut")
    assert content(tmp_path / "cut")["state"]["progress"]["epoch"] == 2
    run(tmp_path / "cut", resume="auto")
    assert differences(content(whole), content(tmp_path / "cut")) == []


def test_a_damaged_checkpoint_is_passed_over(whole: Path, tmp_path: Path) -> None:
    cut = run(tmp_path / "cut")
    newest = max((cut.folder).glob("last-*"), key=lambda path: int(path.name.split("-")[1]))
    with (newest / "weights.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\xff")
    with pytest.warns(CheckpointWarning, match="older checkpoint"):
        run(tmp_path / "cut", resume="auto")
    assert differences(content(whole), content(tmp_path / "cut")) == []


def test_new_runs_do_not_touch_old_ones(tmp_path: Path) -> None:
    options: dict[str, Any] = {"experiment": None, "epochs": 1, "warmup_epochs": 0}
    first, second = (run(tmp_path, **options) for _ in range(2))
    assert first.folder != second.folder
    assert second.folder.name == first.folder.name + "-2"
    third = run(tmp_path, **{**options, "epochs": 2}, resume="auto")
    assert third.folder == second.folder  # the newest
    assert len(third.history) == 2
    with pytest.raises(TrainingError, match="add --resume"):
        run(tmp_path, experiment=first.folder.name)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "batch size": ({"batch_size": 128}, "own batch_size, 256; got 128"),
    "accumulation": ({"grad_accum_steps": 2}, "own grad_accum_steps"),
    "optimiser": ({"opt": "adam"}, "own opt, 'sgd'"),
    "average": ({"model_ema": True}, "own model_ema"),
    "seed": ({"seed": 1}, "own seed"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_run_is_resumed_as_what_it_is(case: str, tmp_path: Path) -> None:
    changes, message = WRONG[case]
    run(tmp_path, epochs=1, model="plain")
    with pytest.raises(TrainingError, match=message):
        run(tmp_path, model="plain", epochs=2, resume="auto", **changes)


def test_what_cannot_be_resumed_is_refused(tmp_path: Path) -> None:
    made = run(tmp_path, epochs=1, model="plain")
    best = next(made.folder.glob("best-*"))
    with pytest.raises(CheckpointError, match="holds the weights only"):
        run(tmp_path, model="plain", epochs=2, resume=str(best))
    with pytest.raises(CheckpointError, match="of another"):
        run(tmp_path, model="pde", epochs=2, resume="auto")
    last = next(made.folder.glob("last-*"))
    assert len(run(tmp_path, model="plain", epochs=2, resume=str(last)).history) == 2


def test_a_smaller_rate_and_more_epochs_may_be_chosen_on_resuming(tmp_path: Path) -> None:
    run(tmp_path, model="plain", epochs=2, lr=0.2)
    made = run(tmp_path, model="plain", epochs=4, lr=0.05, resume="auto")
    assert len(made.history) == 4
    assert made.history[2]["lr"] < 0.05


def test_what_the_model_cannot_be_is_refused(tmp_path: Path) -> None:
    common: dict[str, Any] = {"output": str(tmp_path), "epochs": 1, "warmup_epochs": 0}
    with pytest.raises(UnknownNameError, match="eq3_small"):
        train(TrainOptions(model="eq3_smal", **common))
    with pytest.raises(TrainingError, match="Did you mean 'activation'"):
        train(TrainOptions(model="eq3_small", model_kwargs={"activtion": "relu"}, **common))
    with pytest.raises(TrainingError, match="num_classes is at least that of the data, 10"):
        train(TrainOptions(model="eq3_small", num_classes=5, **common))
    with pytest.raises(TrainingError, match="that is the option drop"):
        train(TrainOptions(model="eq3_small", model_kwargs={"drop_rate": 0.1}, **common))
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises((TrainingError, CheckpointError), match="file"):
        run(file)


def test_channels_last_and_compilation_change_no_more_than_rounding(tmp_path: Path) -> None:
    plain = run(tmp_path / "a", epochs=1)
    last = run(tmp_path / "b", epochs=1, channels_last=True)
    # Five updates; sums in another order.
    assert last.history[0]["val_loss"] == pytest.approx(plain.history[0]["val_loss"], rel=1e-4)
    assert set(MODELS) == {"pde", "plain"}


def test_the_monitor_draws(tmp_path: Path) -> None:
    made = run(tmp_path, epochs=1, monitor_every=2)
    assert (made.folder / "monitor.png").stat().st_size > 1000


@pytest.mark.parametrize(
    "name", ["depth_penalty", pytest.param("hyperbolicity_penalty", marks=pytest.mark.deep)]
)
def test_a_penalty_makes_what_it_measures_smaller(name: str, tmp_path: Path) -> None:
    def measured(weight: float) -> float:
        options = small_options(tmp_path / str(weight), **{name: weight}, epochs=1, lr=0.05)
        torch.manual_seed(0)
        layout = Layout((6, 8), (2, 2))
        model = Classifier(pn.catalogue["eq3"], 10, in_channels=1, layout=layout)
        train(options, model=model)
        of = {"depth_penalty": penalties.depth_variation}.get(name, penalties.hyperbolicity)
        return float(of(model).detach())

    assert measured(3.0) < measured(0.0)
