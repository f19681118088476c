"""Resume: a run that was killed anywhere has the bits of one that was not."""

from __future__ import annotations

import csv
import random
import signal
import time
from pathlib import Path
from typing import Any  # options

import pytest

from tests.training.loop.runs import Group, content, differences, server

# What changes from update to update, all of it: average, dropout, stochastic depth, a guard that
# takes snapshots, accumulation with a last window that is not full, mixed targets.
HARD: dict[str, Any] = {
    "checkpoint_every": 1,
    "model_ema": True,
    "grad_accum_steps": 2,
    "mixup": 0.2,
    "shift": 1,
}


@pytest.mark.parametrize(
    ("size", "kills", "epochs"),
    [
        (2, 2, 2),
        pytest.param(1, 10, 8, marks=pytest.mark.deep),
        pytest.param(2, 10, 8, marks=pytest.mark.deep),
    ],
)
def test_a_run_that_is_killed_again_and_again_has_the_bits_of_one_that_is_not(
    size: int, kills: int, epochs: int, tmp_path: Path
) -> None:
    options: dict[str, Any] = {**HARD, "epochs": epochs, "batch_size": 256 // size}
    context = server()
    whole = Group(context, tmp_path / "whole", size, **options)
    assert whole.wait(120) == [0] * size, whole.log.read_text()
    draw = random.Random(size)
    for kill in range(kills):
        # Every second time inside a save, at one of the flushes of the first process, of which a
        # save has five; else some time after the next checkpoint was made.
        is_inside = kill % 2 == 0
        fatal = {"fatal": draw.randrange(2, 9)} if is_inside else {}
        group = Group(context, tmp_path / "cut", size, resume="auto", **options, **fatal)
        if is_inside:
            group.processes[0].join(60)
        else:
            wait_for_change(tmp_path / "cut" / "run", group)
            group.processes[0].join(draw.uniform(0.0, 0.1))
            assert group.wait(0)[0] is None, "the run ended before it could be killed"
        group.kill()
        assert group.processes[0].exitcode == -signal.SIGKILL, group.log.read_text()
    group = Group(context, tmp_path / "cut", size, resume="auto", **options)
    assert group.wait(120) == [0] * size, group.log.read_text()
    for kind in ("last", "best"):
        assert differences(content(tmp_path / "whole", kind), content(tmp_path / "cut", kind)) == []
    one, other = (rows(tmp_path / name) for name in ("whole", "cut"))
    assert one == other
    assert [row["epoch"] for row in one] == [str(k) for k in range(1, epochs + 1)]


def wait_for_change(folder: Path, group: Group) -> None:
    """Wait for the next checkpoint of a run."""
    before = set(folder.glob("last-*"))
    end = time.monotonic() + 60
    while set(folder.glob("last-*")) <= before and time.monotonic() < end:
        assert group.wait(0)[0] is None, (group.wait(5), group.log.read_text())
        time.sleep(0.005)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "run" / "summary.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
