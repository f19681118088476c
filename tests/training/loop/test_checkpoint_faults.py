"""Checkpoints where disks refuse, processes are killed, and others read meanwhile."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any  # whatever the calls of the operating system take

import pytest
import torch

from pdenet.errors import CheckpointError
from pdenet.training.loop import contents as files
from pdenet.training.loop.checkpoint import Checkpoints
from tests.training.loop.checkpoints import loaded_step, names_in, save

ROOT = Path(__file__).resolve().parents[3]
KILLS = 24

# --- a full disk ---------------------------------------------------------------------------------

ONE_FILE = ["open", "fsync"]
CALLS = ["mkdir", *ONE_FILE * 3, "fsync", "rename", "fsync"]
RENAME = CALLS.index("rename")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("number", range(len(CALLS)))
def test_a_disk_that_refuses_any_one_call_leaves_the_earlier_ones_good(
    number: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(Checkpoints(tmp_path), 1, 2)
    calls: list[str] = []

    def refusing(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def call(*given: Any, **options: Any) -> Any:
            # Old checkpoints are read, and the folder is there already: neither writes.
            mode = options.get("mode", "")
            is_write = "w" in mode if name == "open" else given[0] != tmp_path
            if is_write:
                calls.append(name)
                if len(calls) == number + 1:
                    raise OSError(code, os.strerror(code))
            return real(*given, **options)

        patch.setattr(owner, name, call)

    with monkeypatch.context() as patch:
        for owner, name in ((Path, "mkdir"), (Path, "open"), (os, "fsync"), (Path, "rename")):
            refusing(owner, name)
        with pytest.raises(CheckpointError) as caught:
            Checkpoints(tmp_path).save("last", 3, {"w": torch.zeros(250_000)}, {})
    assert calls == CALLS[: number + 1]
    if code != errno.EIO:
        # 250,000 float32, and some kilobytes of containers.
        assert "needs 1.0 MB" in str(caught.value)
    assert not [name for name in names_in(tmp_path) if name.endswith(".tmp")]
    saved = Checkpoints(tmp_path).load()
    assert saved is not None
    # Once it has its name only the flush of the parent is left: it is whole, and may stay or not.
    assert saved.step == (2 if number <= RENAME else 3)
    assert names_in(tmp_path)[:2] == ["last-1", "last-2"]
    save(Checkpoints(tmp_path), 4)
    assert loaded_step(tmp_path) == 4


# --- other processes ------------------------------------------------------------------------------


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    from pdenet.training.loop.checkpoint import _HOST

    dead = subprocess.Popen(["true"])
    dead.wait()
    alive = {f".last-5.{_HOST}.{os.getppid()}.tmp", f".last-5.elsewhere.{dead.pid}.tmp"}
    gone = {
        f".last-5.{_HOST}.{dead.pid}.tmp",
        f".best-5.2.{_HOST}.{dead.pid}.tmp",
        f".last-5.{_HOST}.{os.getpid()}.tmp",  # of an earlier process with this number
        f".last-5.{_HOST}.{10**30}.tmp",  # no number of a process
    }
    for name in alive | gone:
        (tmp_path / name).mkdir()
        (tmp_path / name / files.WEIGHTS).write_text("half")
    assert Checkpoints(tmp_path).load() is None
    save(Checkpoints(tmp_path), 1)
    assert set(names_in(tmp_path)) == alive | {"last-1"}


def test_one_may_read_while_another_saves(tmp_path: Path) -> None:
    """Warnings are errors here: a checkpoint that is just being removed is not called damaged."""
    checkpoints = Checkpoints(tmp_path, keep=1)
    save(checkpoints, 0)
    stop = threading.Event()

    def go_on() -> None:
        step = 0
        while not stop.is_set():
            step += 1
            save(checkpoints, step)

    writer = threading.Thread(target=go_on)
    writer.start()
    try:
        steps = [loaded_step(tmp_path) for _ in range(100)]
    finally:
        stop.set()
        writer.join()
    assert steps == sorted(steps)
    assert steps[-1] > 0


# Forks a child for each line it reads, since importing torch takes seconds. The child goes on from
# the newest checkpoint and says each step once it is saved.
NURSERY = """
import os, sys, torch
from pathlib import Path
from pdenet.training.loop.checkpoint import Checkpoints
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        checkpoints = Checkpoints(Path(sys.argv[1]))
        saved = checkpoints.load()
        step = 0 if saved is None else saved.step
        while True:
            step += 1
            weights = {
                "a": torch.full((40, 3), float(step)),
                "b": torch.full((7,), step, dtype=torch.int64),
            }
            state = {"step": step, "t": torch.tensor([step])}
            checkpoints.save("last", step, weights, state)
            os.write(1, b"saved %d\\n" % step)
    os.write(1, b"child %d\\n" % child)
    os.waitpid(child, 0)
    os.write(1, b"dead 0\\n")
"""


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", NURSERY, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
        cwd=ROOT,
    )
    with process:
        yield process
        process.kill()


def test_a_kill_at_any_moment_loses_nothing_that_was_saved(
    tmp_path: Path, nursery: subprocess.Popen[str]
) -> None:
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    moments = random.Random(0)
    reported, num_leftovers, loaded = 0, 0, 0
    for _ in range(KILLS):
        nursery.stdin.write("\n")
        child, last_words = 0, ""
        while last_words != "dead":
            last_words, number = nursery.stdout.readline().split()
            if last_words == "child":
                child = int(number)
            elif last_words == "saved":
                reported = int(number)
            if child and reported > loaded:
                # It has begun to save, and does nothing else: a few saves' time from now.
                time.sleep(moments.uniform(0.0, 0.02))
                os.kill(child, signal.SIGKILL)
                child = 0
        num_leftovers += any(name.endswith(".tmp") for name in names_in(tmp_path))
        loaded = loaded_step(tmp_path)
        assert loaded >= reported
    # The kills did come in the middle of saves.
    assert num_leftovers > KILLS // 4
    save(Checkpoints(tmp_path), loaded + 1)
    assert not any(name.endswith(".tmp") for name in names_in(tmp_path))
