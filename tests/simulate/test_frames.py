"""Laws of FrameWriter: a finished frame is never lost, an unfinished one never seen."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pdenet.errors import ResultError
from pdenet.simulate import storage
from pdenet.simulate.frames import FrameWriter
from pdenet.simulate.layout import Attribute
from pdenet.simulate.result import Result

SUFFIXES = ("zarr", "nc")
COMPONENTS = ("u", "u_t")
NODES = (np.linspace(0, 1, 9), np.linspace(-1, 1, 6))
SHAPE = (2, 6, 9)
ROOT = Path(__file__).parents[2]


def state_of(frame: int) -> np.ndarray:
    """A state that only this frame has, of shape `SHAPE`."""
    return np.random.default_rng(frame).normal(size=SHAPE)


def time_of(frame: int) -> float:
    return frame * 0.1  # 0.30000000000000004 among them: no decimal rounding may happen


def start(path: Path, attributes: dict[str, Attribute] | None = None) -> FrameWriter:
    return FrameWriter(path, COMPONENTS, ("x", "y"), NODES, np.float64, attributes or {})


def append(writer: FrameWriter, frames: range) -> None:
    for frame in frames:
        writer.append(time_of(frame), state_of(frame))


def assert_holds(result: Result, num_frames: int) -> None:
    """The result is exactly the first `num_frames` frames, bit for bit."""
    expected = np.stack([state_of(k) for k in range(num_frames)])
    assert result.times.tolist() == [time_of(k) for k in range(num_frames)]
    assert result.states.shape == expected.shape
    assert result.states.tobytes() == expected.tobytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_appended_is_what_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"r.{suffix}"
    with start(path, {"stepper": "rk4"}) as writer:
        append(writer, range(5))
    result = Result.open(path)
    assert_holds(result, 5)
    assert result.attributes == {"stepper": "rk4"}
    assert (result.components, result.axes) == (COMPONENTS, ("x", "y"))
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("cut", [1, 3])
def test_a_resumed_result_equals_an_uninterrupted_one(
    tmp_path: Path, suffix: str, cut: int
) -> None:
    path = tmp_path / f"r.{suffix}"
    with start(path, {"until": 1.0, "dt": 0.1}) as writer:
        append(writer, range(cut))
    with FrameWriter.resume(path) as writer:
        assert writer.num_frames == cut
        assert writer.last_time == time_of(cut - 1)
        assert writer.last_state.tobytes() == state_of(cut - 1).tobytes()
        assert writer.layout.attributes == {"until": 1.0, "dt": 0.1}
        writer.update_attributes({"until": 2.0})
        append(writer, range(cut, 5))
        assert writer.times.tolist() == [time_of(k) for k in range(5)]
    result = Result.open(path)
    assert_holds(result, 5)
    assert result.attributes == {"until": 2.0, "dt": 0.1}


def test_frames_of_a_running_writer_can_be_opened(tmp_path: Path) -> None:
    writer = start(tmp_path / "r.zarr")
    for frame in range(3):
        append(writer, range(frame, frame + 1))
        assert_holds(Result.open(tmp_path / "r.zarr"), frame + 1)
    writer.close()


class Killed(Exception):
    """Stands for the end of the process."""


def test_an_append_cut_at_any_of_its_writes_leaves_exactly_the_finished_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = storage._write
    cut_at, cuts = 0, 0
    while True:
        path = tmp_path / f"{cut_at}.zarr"
        writer = start(path)
        append(writer, range(2))
        writes = 0

        def cut(path: Path, content: bytes, limit: int = cut_at) -> None:
            nonlocal writes
            if writes == limit:
                raise Killed
            writes += 1
            real(path, content)

        monkeypatch.setattr(storage, "_write", cut)
        try:
            append(writer, range(2, 3))
        except Killed:
            cuts += 1
            monkeypatch.undo()
            assert_holds(Result.open(path), 2)
            with FrameWriter.resume(path) as resumed:
                assert resumed.num_frames == 2
                append(resumed, range(2, 5))
            assert_holds(Result.open(path), 5)
            cut_at += 1
            continue
        monkeypatch.undo()
        break
    # Two components and the time: each a length and a chunk.
    assert cuts == 6
    assert_holds(Result.open(path), 3)


def test_a_failed_append_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    with start(tmp_path / "r.zarr") as writer:
        append(writer, range(2))
        with monkeypatch.context() as patch:
            patch.setattr(storage, "_write", full)
            with pytest.raises(ResultError, match="No space left"):
                append(writer, range(2, 3))
        append(writer, range(2, 4))
    assert_holds(Result.open(tmp_path / "r.zarr"), 4)


CHILD = """
import sys
from pathlib import Path
from tests.simulate.test_frames import append, start
writer = start(Path(sys.argv[1]))
for frame in range(100_000):
    append(writer, range(frame, frame + 1))
    print(frame, flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")
# Moments spread over one append, which takes a few milliseconds; any moment will do.
@pytest.mark.parametrize(
    "wait_ms",
    [
        0.0,
        pytest.param(1.1, marks=pytest.mark.deep),
        2.3,
        pytest.param(3.7, marks=pytest.mark.deep),
        pytest.param(5.3, marks=pytest.mark.deep),
    ],
)
def test_kill_9_loses_no_finished_frame_and_shows_no_unfinished_one(
    tmp_path: Path, wait_ms: float
) -> None:
    path = tmp_path / "r.zarr"
    command = [sys.executable, "-c", CHILD, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None
        for _ in range(3):
            child.stdout.readline()
        time.sleep(wait_ms / 1000)
        child.kill()
        announced = [int(line) for line in child.stdout.read().split()]
    finished = max(announced, default=2) + 1
    result = Result.open(path)
    # One frame may have been finished without having been announced.
    assert len(result.times) in (finished, finished + 1)
    assert_holds(result, len(result.times))
    count = len(result.times)
    with FrameWriter.resume(path) as writer:
        append(writer, range(count, count + 3))
    assert_holds(Result.open(path), count + 3)
    assert not list(path.rglob("*.partial"))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_run_that_raises_keeps_its_frames_and_its_error(tmp_path: Path, suffix: str) -> None:
    def run() -> None:
        with start(tmp_path / f"r.{suffix}") as writer:
            append(writer, range(3))
            raise Killed

    with pytest.raises(Killed):
        run()
    assert_holds(Result.open(tmp_path / f"r.{suffix}"), 3)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_run_that_raises_before_its_first_frame_keeps_its_error(
    tmp_path: Path, suffix: str
) -> None:
    with pytest.raises(Killed), start(tmp_path / f"r.{suffix}"):
        raise Killed


def test_a_store_without_a_finished_frame_says_so(tmp_path: Path) -> None:
    path = tmp_path / "r.zarr"
    start(path).close()
    with pytest.raises(ResultError, match="holds none"):
        Result.open(path)
    with FrameWriter.resume(path) as writer:
        with pytest.raises(ResultError, match="at least one finished frame"):
            _ = writer.last_state
        append(writer, range(2))
    assert_holds(Result.open(path), 2)


def test_a_netcdf_run_without_a_frame_is_refused_at_its_end(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="at least one frame"):
        start(tmp_path / "r.nc").close()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_existing_result_is_refused_at_the_start_of_a_run(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"r.{suffix}"
    with start(path) as writer:
        append(writer, range(3))
    with pytest.raises(ResultError, match="overwrite=True"):
        start(path)
    assert_holds(Result.open(path), 3)
    with FrameWriter(path, COMPONENTS, ("x", "y"), NODES, np.float64, {}, overwrite=True) as writer:
        append(writer, range(1))
    assert_holds(Result.open(path), 1)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_writer_keeps_a_copy_of_the_state(tmp_path: Path, suffix: str) -> None:
    # Solvers step in place.
    state = state_of(0)
    with start(tmp_path / f"r.{suffix}") as writer:
        writer.append(0.0, state)
        state[:] = -1
    assert_holds(Result.open(tmp_path / f"r.{suffix}"), 1)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("frame_time", "state", "says"),
    [
        (0.2, np.zeros((2, 9, 6)), r"\(2, 9, 6\)"),
        (0.2, np.zeros(SHAPE, np.float32), "float32"),
        (0.2, [[0.0]], "list"),
        (0.1, np.zeros(SHAPE), "increase"),
        (0.05, np.zeros(SHAPE), "increase"),
        (float("nan"), np.zeros(SHAPE), "nan"),
        (float("inf"), np.zeros(SHAPE), "inf"),
    ],
)
def test_a_frame_that_does_not_fit_is_refused_and_the_run_goes_on(
    tmp_path: Path, suffix: str, frame_time: float, state: np.ndarray, says: str
) -> None:
    with start(tmp_path / f"r.{suffix}") as writer:
        append(writer, range(2))
        with pytest.raises(ResultError, match=says):
            writer.append(frame_time, state)
        append(writer, range(2, 3))
    assert_holds(Result.open(tmp_path / f"r.{suffix}"), 3)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_closed_writer_refuses_frames_and_closes_twice(tmp_path: Path, suffix: str) -> None:
    writer = start(tmp_path / f"r.{suffix}")
    append(writer, range(1))
    writer.close()
    writer.close()
    with pytest.raises(ResultError, match="resume"):
        append(writer, range(1, 2))


def test_resuming_nothing_is_refused(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        with pytest.raises(ResultError, match="there is no"):
            FrameWriter.resume(tmp_path / f"r.{suffix}")
