"""Distributed: two processes do together what one does with a batch twice as large."""

from __future__ import annotations

import csv
import signal
import time
from pathlib import Path
from typing import Any  # the state of a checkpoint

import pytest
import torch
from torch import nn

from pdenet.errors import TrainingError
from pdenet.training.loop.distributed import Ranks, joined, sync_batch_norm
from tests.training.loop.runs import Group, content, differences, run, server

ALONE: dict[str, Any] = {"model": "plain", "epochs": 2, "clip_grad": 1.0, "momentum": 0.9}


def losses(folder: Path) -> list[dict[str, float]]:
    with (folder / "run" / "summary.csv").open(newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def assert_same_run(one: Path, other: Path, tolerance: float) -> None:
    a, b = content(one)["weights"], content(other)["weights"]
    for name in a:
        assert (a[name] - b[name]).abs().max() < tolerance * a[name].abs().max(), name
    for left, right in zip(losses(one), losses(other), strict=True):
        assert left["val_top1"] == right["val_top1"]
        assert left["train_loss"] == pytest.approx(right["train_loss"], rel=tolerance)
        assert left["val_loss"] == pytest.approx(right["val_loss"], rel=tolerance)


# float32 sums of 256 terms in another order: about 2⁻²⁴ √256 = 1e-6 each, over ten updates.
TOLERANCE = 2e-5


def test_two_processes_are_one_with_twice_the_batch(tmp_path: Path) -> None:
    run(tmp_path / "one", batch_size=256, **ALONE)
    pair = Group(server(), tmp_path / "two", 2, batch_size=128, **ALONE)
    assert pair.wait(120) == [0, 0], pair.log.read_text()
    assert_same_run(tmp_path / "one", tmp_path / "two", TOLERANCE)
    # Reported by the first process only.
    assert pair.log.read_text().count("epoch 1/2") == 1


@pytest.mark.deep(law="test_two_processes_are_one_with_twice_the_batch")
def test_accumulation_over_processes_is_a_larger_batch_too(tmp_path: Path) -> None:
    """1437 pictures are 5 batches of 256: two updates of two batches and one of one."""
    run(tmp_path / "one", batch_size=256, grad_accum_steps=2, **ALONE)
    pair = Group(server(), tmp_path / "two", 2, batch_size=128, grad_accum_steps=2, **ALONE)
    assert pair.wait(120) == [0, 0], pair.log.read_text()
    assert_same_run(tmp_path / "one", tmp_path / "two", TOLERANCE)


def test_accumulated_batches_are_one_batch(tmp_path: Path) -> None:
    """Four batches of 359 are one of 1436, and that is an epoch."""
    options = {**ALONE, "epochs": 4}
    run(tmp_path / "one", batch_size=1436, **options)
    run(tmp_path / "four", batch_size=359, grad_accum_steps=4, **options)
    assert content(tmp_path / "four")["step"] == 4
    assert_same_run(tmp_path / "one", tmp_path / "four", TOLERANCE)


@pytest.mark.deep(law="test_two_processes_are_one_with_twice_the_batch")
def test_sigterm_on_two_processes_saves_and_stops_both(tmp_path: Path) -> None:
    options: dict[str, Any] = {"epochs": 30, "checkpoint_every": 2, "batch_size": 128}
    whole = Group(server(), tmp_path / "whole", 2, **options)
    pair = Group(server(), tmp_path / "cut", 2, **options)
    while not list((tmp_path / "cut" / "run").glob("last-*")):
        assert pair.wait(0.01) == [None, None], pair.log.read_text()
    pair.processes[1].terminate()  # one of them, as if torchrun were slow with the other
    time.sleep(0.05)
    pair.processes[0].terminate()
    assert pair.wait(60) == [128 + signal.SIGTERM] * 2, pair.log.read_text()
    pair = Group(server(), tmp_path / "cut", 2, resume="auto", **options)
    assert pair.wait(120) == [0, 0], pair.log.read_text()
    assert whole.wait(120) == [0, 0], whole.log.read_text()
    assert differences(content(tmp_path / "whole"), content(tmp_path / "cut")) == []


@pytest.mark.deep(law="test_two_processes_are_one_with_twice_the_batch")
def test_a_run_of_two_processes_is_not_resumed_by_one(tmp_path: Path) -> None:
    pair = Group(server(), tmp_path / "two", 2, epochs=1, batch_size=128)
    assert pair.wait(120) == [0, 0], pair.log.read_text()
    with pytest.raises(TrainingError, match="a run of 2 processes goes on with as many; got 1"):
        run(tmp_path / "two", epochs=2, batch_size=128, resume="auto")


def test_alone_everything_is_as_it_was() -> None:
    with joined("cpu") as ranks:
        assert ranks.is_first
        assert ranks.any(True)
        assert not ranks.any(False)
        model = nn.BatchNorm2d(3)
        assert ranks.wrap(model) is model
        values = torch.arange(3.0)
        assert torch.equal(ranks.sum(values), values)
        assert torch.equal(ranks.gather(values), values[None])
        assert ranks.text("α\0") == "α\0"
        ranks.average_buffers(model)


def test_sync_bn_on_a_cpu_is_refused() -> None:
    with pytest.raises(TrainingError, match="sync_bn is for GPUs"):
        sync_batch_norm(nn.BatchNorm2d(3), Ranks(torch.device("cpu")))


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("gpu", "auto, cpu, cuda"),
        ("meta", "auto, cpu, cuda"),
        ("cuda:99", "GPU number 99"),
        ("cuda:x", "auto, cpu, cuda"),
    ],
)
def test_devices_that_are_not_there_are_refused(device: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message), joined(device):
        pass


def test_half_of_the_variables_of_torchrun_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TrainingError, match="start them by torchrun"), joined("cpu"):
        pass
