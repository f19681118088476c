"""`pdenet train`: real processes, their exit status, what they print and leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pdenet.cli import main
from pdenet.training.loop.checkpoint import Checkpoints

ROOT = Path(__file__).resolve().parents[2]

TINY = ["--model", "eq5_small", "--batch-size", "256", "--monitor-every", "0", "--device", "cpu"]


def start(*arguments: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pdenet", "train", *arguments],
        cwd=ROOT, env={**os.environ, **variables}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def wait_for(path: Path, pattern: str, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not list(path.glob(pattern)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_run_says_where_it_writes_how_it_goes_and_what_comes_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "digits", *TINY, "--epochs", "2", "--output", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    folder = tmp_path / "eq5_small-digits"
    lines = shown.out.splitlines()
    assert f"writes to {folder}" in lines
    assert [line.split()[1] for line in lines if line.startswith("epoch")] == ["1/2", "2/2"]
    assert lines[-2].startswith("best top-1 ")
    assert lines[-1] == f"next: pdenet evaluate {folder}"
    assert shown.err == ""
    assert Checkpoints(folder).load("best") is not None
    # Its options are a file that makes the same run.
    again = ["train", "--config", str(folder / "args.toml"), "--output", str(tmp_path / "again")]
    assert main(again) == 0
    one, two = (
        (place / "summary.csv").read_text().splitlines()
        for place in (folder, tmp_path / "again" / "eq5_small-digits")
    )
    assert [row.split(",")[:-1] for row in one] == [row.split(",")[:-1] for row in two]


def test_without_arguments_it_trains_eq7_on_the_digits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "without arguments, on handwritten digits" in " ".join(shown.split()).lower()


# That a run which is killed goes on with its bits is met quickly in training/loop/test_resume.py.
@pytest.mark.deep(law="test_a_run_says_where_it_writes_how_it_goes_and_what_comes_next")
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)]
)
def test_a_run_that_is_stopped_goes_on_where_it_was(
    number: int, status: int, tmp_path: Path
) -> None:
    arguments = [*TINY, "--epochs", "400", "--output", str(tmp_path), "--experiment", "run"]
    process = start(*arguments, "--checkpoint-every", "2")
    wait_for(tmp_path / "run", "best-*", process)  # an epoch is done
    wait_for(tmp_path / "run", "last-*", process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in err
    saved = Checkpoints(tmp_path / "run").load("last")
    assert saved is not None
    if number != signal.SIGKILL:
        assert f"go on by: pdenet train --resume {tmp_path / 'run'}" in out
    done = str(saved.step // 5 + 1)
    process = start("--resume", str(tmp_path / "run"), "--epochs", done)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert f"goes on from last-{saved.step}" in out
    rows = (tmp_path / "run" / "summary.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == [str(k + 1) for k in range(int(done))]


def test_sigterm_ends_any_command_with_143(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys, time; from pdenet.cli import info, main\n"
        "def wait(_): os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)\n"
        "info.run = wait; sys.exit(main(['info']))"
    )
    made = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert made.returncode == 143
    assert made.stderr == "pdenet: terminated\n"


@pytest.mark.parametrize("name", ["torch", "sklearn", "PIL"])
def test_help_and_bad_words_load_nothing_heavy(name: str) -> None:
    code = (
        "import sys; from pdenet.cli import main; main(['train', '--help']); "
        f"main(['train', '--lr', 'x']); print({name!r} in sys.modules)"
    )
    made = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert made.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lrr", "0.1"], "Did you mean '--lr'"),
        (["a", "--data-dir", "b"], "the data are named once"),
        (["--lr"], "expected one argument"),
        (["--model", "eq8_small"], "models are"),
        (["nowhere"], "nowhere"),
        (["--device", "tpu"], "auto, cpu, cuda"),
        (["--device", "cpu", "--sync-bn"], "sync_bn is for GPUs"),
        (["--resume", "nowhere"], "check the path"),
        (["--config", "nowhere.toml"], "check the path"),
        (["--layer-decay", "2"], "layer_decay is a number"),
    ],
)
def test_bad_calls_have_status_2_and_a_sentence(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert main(["train", "--output", str(tmp_path), *arguments]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("pdenet: error: ")
    assert message in shown
    assert list(tmp_path.rglob("last-*")) == []


@pytest.mark.deep(law="test_a_run_says_where_it_writes_how_it_goes_and_what_comes_next")
def test_torchrun_trains_two_processes(tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         "-m", "pdenet", "train", *TINY, "--epochs", "1", "--output", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert "2 × cpu" in made.stdout
    assert made.stdout.count("epoch 1/1") == made.stdout.count("next: ") == 1
