"""Files: whole or not at all, whatever interrupts their writing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pdenet.errors import CheckpointError, ResultError
from pdenet.files import replacing, write_whole, written_whole

FULL = OSError(28, "No space left on device")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_an_interrupted_write_leaves_the_older_file(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_whole(tmp_path / "w", b"old")

    def fail(*arguments: object) -> None:
        raise FULL

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(CheckpointError, match=r"'.*w' cannot be written: No space left"):
            write_whole(path, b"new", CheckpointError)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["w"]
    write_whole(path, "nëw")
    assert path.read_text(encoding="utf-8") == "nëw"


def test_content_is_flushed_before_it_has_the_name_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def heard(name: str) -> Callable[..., object]:
        real = getattr(os, name)

        def call(*given: object) -> object:
            calls.append(name)
            return real(*given)

        return call

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, heard(name))
    write_whole(tmp_path / "w", b"")
    assert calls == ["fsync", "replace", "fsync"]


def test_a_directory_takes_the_place_of_another_and_comes_back_where_it_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.zarr"

    def fill(word: str) -> None:
        with written_whole(path, overwrite=True) as temporary:
            temporary.mkdir()
            (temporary / "zarr.json").write_text(word)

    fill("old")
    real, calls = os.replace, 0

    def fail_second(*given: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:  # the older one has been moved away
            raise FULL
        real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail_second)
        with pytest.raises(OSError, match="No space left"):
            fill("new")
    assert (path / "zarr.json").read_text() == "old"
    fill("new")
    assert (path / "zarr.json").read_text() == "new"
    assert os.listdir(tmp_path) == ["store.zarr"]


def test_what_the_block_raises_is_heard_and_leaves_nothing(tmp_path: Path) -> None:
    def write_half() -> None:
        with replacing(tmp_path / "w.gif") as temporary:
            assert temporary.suffix == ".gif"  # movies and pictures choose their format by it
            temporary.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert os.listdir(tmp_path) == []


def test_a_file_is_readable_as_any_other(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    assert write_whole(tmp_path / "w", b"").stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("name", ["no/w", "file/w", "x" * 300, "folder"])
def test_a_place_that_takes_no_file_is_an_error(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ResultError, match="choose a file in a folder that exists"):
        write_whole(tmp_path / name, b"")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
