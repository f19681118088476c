"""Bad input to the data of classifiers: one clear error each, with what to do about it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # every kind of wrong value is given to the options

import numpy as np
import pytest
from PIL import Image

from benchmarks.textures import write_textures
from pdenet.errors import DataError, PdenetError, TrainingError
from pdenet.training.data.loaders import DataOptions, load_data
from pdenet.training.data.reading import read_image
from tests.training.data.pictures import texture


@dataclass(frozen=True)
class Case:
    """What is done in an empty folder, the class of the error, and what its message names."""

    name: str
    do: Callable[[Path], object]
    error: type[Exception]
    parts: tuple[str, ...]


def options(**given: Any) -> Callable[[Path], object]:
    return lambda folder: DataOptions(**given)


def data(*names: str, text: str | None = None, **given: Any) -> Callable[[Path], object]:
    """Open a folder of these empty files; with `text` as the class list."""

    def do(folder: Path) -> object:
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
        if text is not None:
            (folder / "classes.txt").write_text(text, encoding="utf-8")
            given["class_list"] = folder / "classes.txt"
        return load_data(DataOptions(folder=folder, **given))

    return do


def read(write: Callable[[Path], object], name: str = "bad.png") -> Callable[[Path], object]:
    """Read what was written."""

    def do(folder: Path) -> object:
        write(folder / name)
        return read_image(folder / name, 3)

    return do


def half(suffix: str) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        texture(40, 40).save(path.with_suffix(f".{suffix}"))
        whole = path.with_suffix(f".{suffix}").read_bytes()
        path.write_bytes(whole[: len(whole) // 2])

    return write


def deep(value: float) -> Callable[[Path], object]:
    values = np.array([[0, value]], dtype=np.float32)
    return lambda path: Image.fromarray(values).save(path, format="TIFF")


AB = ("train/a/1.png", "train/b/1.png", "val/a/1.png", "val/b/1.png")

CASES = [
    # Options
    Case("batch of none", options(batch_size=0), TrainingError, ("batch_size", ">= 1", "0")),
    Case("batch of True", options(batch_size=True), TrainingError, ("batch_size", "True")),
    Case("fraction of a worker", options(workers=1.5), TrainingError, ("workers", "1.5")),
    Case("negative seed", options(seed=-1), TrainingError, ("seed", "-1")),
    Case("negative shift", options(shift=-2), TrainingError, ("shift", "-2")),
    Case("size of zero", options(image_size=0), TrainingError, ("image_size", "0")),
    Case("two channels", options(in_channels=2), DataError, ("1 or 3", "2")),
    Case("mirrored twice", options(hflip=2.0), TrainingError, ("hflip", "from 0 to 1", "2.0")),
    Case("negative mixup", options(mixup=-0.1), TrainingError, ("mixup", "-0.1", "from 0")),
    Case("infinite jitter", options(color_jitter=float("inf")), TrainingError, ("jitter", "inf")),
    Case("crop of nothing", options(crop_pct=0.0), TrainingError, ("crop_pct", "above 0 to 1")),
    Case("scale above one", options(scale=(0.5, 2.0)), TrainingError, ("scale", "≤ 1", "2.0")),
    Case("scale reversed", options(scale=(1.0, 0.5)), TrainingError, ("low ≤ high",)),
    Case("scale of one number", options(scale=0.5), TrainingError, ("pair", "0.5")),
    Case("ratio of zero", options(ratio=(0.0, 1.0)), TrainingError, ("ratio", "0 <")),
    Case("mean of three for grey", options(mean=(0.1, 0.2, 0.3)), TrainingError, ("tuple of 1",)),
    Case("deviation of zero", options(std=(0.0,)), TrainingError, ("std", "positive")),
    Case("cap above Pillow's", options(max_pixels=10**9), TrainingError, ("MAX_IMAGE_PIXELS",)),
    Case("unknown data set", options(dataset="digit"), TrainingError, ("Did you mean 'digits'?",)),
    Case("folder without a folder", options(dataset="folder"), TrainingError, ("folder=None",)),
    Case(
        "digits with a folder",
        options(dataset="digits", folder=Path("a")),
        TrainingError,
        ("'digits'", "both or neither"),
    ),
    Case("class list of digits", options(class_list=Path("a")), TrainingError, ("class_list",)),
    Case("tuning a folder", options(folder=Path("a"), tune=True), TrainingError, ("tune", "val/")),
    Case("AutoAugment", options(aa="original-mstd0.5"), TrainingError, ("'rand'", "'original'")),
    Case("unknown part of aa", options(aa="rand-q3"), TrainingError, ("'q3'", "rand-m9-mstd0.5")),
    Case("half an operation", options(aa="rand-n0.5"), TrainingError, ("positive integer",)),
    Case("magnitude twice", options(aa="rand-m1-m2"), TrainingError, ("'m2'",)),
    Case("probability above one", options(aa="rand-p3"), TrainingError, ("p above 1",)),
    # Ranks and epochs
    Case(
        "rank beyond the last",
        lambda folder: load_data(DataOptions(), rank=2, world_size=2),
        TrainingError,
        ("rank 2 of 2", "torchrun"),
    ),
    Case(
        "more ranks than samples",
        lambda folder: load_data(DataOptions(dataset="faces"), rank=0, world_size=161),
        DataError,
        ("160 samples for 161 ranks",),
    ),
    Case(
        "start behind the end",
        lambda folder: list(load_data(DataOptions()).train.epoch(0, 23)),
        TrainingError,
        ("start from 0 to 22", "23"),
    ),
    # Folders
    Case(
        "no such folder",
        lambda folder: load_data(DataOptions(folder=folder / "absent")),
        DataError,
        ("absent", "not there"),
    ),
    Case("no parts", data("a/1.png", "b/1.png"), DataError, ("train/<class>", "folders a, b")),
    Case("no val", data("train/a/1.png", "train/b/1.png"), DataError, ("val/", "folders train")),
    Case(
        "classes differ",
        data(*AB, "train/c/1.png", "val/d/1.png"),
        DataError,
        ("val lacks c", "train lacks d", "class list"),
    ),
    Case(
        "empty class",
        data(*AB, "train/c/notes.txt", "val/c/1.png"),
        DataError,
        ("train/c", "1 other files", ".png"),
    ),
    Case("one class", data("train/a/1.png", "val/a/1.png"), DataError, ("two class", "got a")),
    Case("listed class unknown", data(*AB, text="a\nB\n"), DataError, ("'B'", "Did you mean 'b'?")),
    Case("listed twice", data(*AB, text="a\nb\na\n"), DataError, ("'a' more than once",)),
    Case("empty list", data(*AB, text="# none\n"), DataError, ("no name",)),
    Case("no list", data(*AB, class_list=Path("absent.txt")), DataError, ("absent.txt", "UTF-8")),
    # Files
    Case("empty file", read(lambda path: path.touch()), DataError, ("bad.png", "0 bytes")),
    Case("text", read(lambda path: path.write_text("hello")), DataError, ("bad.png", "identify")),
    Case("half a PNG", read(half("png")), DataError, ("bad.png", "replace or remove")),
    Case("half a JPEG", read(half("jpg"), "bad.jpeg"), DataError, ("bad.jpeg", "got ")),
    Case("half a WebP", read(half("webp")), DataError, ("bad.png",)),
    Case("half a TIFF", read(half("tif")), DataError, ("bad.png",)),
    Case("absent", read(lambda path: None), DataError, ("bad.png", "cannot be found")),
    Case("folder", read(lambda path: path.mkdir()), DataError, ("bad.png", "no regular file")),
    Case("pipe", read(os.mkfifo), DataError, ("bad.png", "no regular file")),
    Case("link to nothing", read(lambda p: p.symlink_to("gone")), DataError, ("bad.png",)),
    Case("link to itself", read(lambda p: p.symlink_to("bad.png")), DataError, ("bad.png",)),
    Case("NaN", read(deep(float("nan"))), DataError, ("bad.png", "not finite")),
    Case("infinity", read(deep(float("inf"))), DataError, ("bad.png", "not finite")),
    Case(
        "PostScript, which would run a program",
        read(lambda path: texture(4, 4).save(path, format="EPS")),
        DataError,
        ("bad.png", "identify"),
    ),
    Case(
        "name that is no text",
        read(lambda path: path.touch(), os.fsdecode(b"\xff.png")),
        DataError,
        ("\\xff.png",),
    ),
    # Textures
    Case("crop too large", lambda p: write_textures(p, size=400), DataError, ("size=400",)),
    Case("no folder", lambda p: write_textures(Path(__file__)), DataError, ("new or empty",)),
    Case("folder in use", lambda p: write_textures(p.parent), DataError, ("new or empty",)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_answered_by_one_clear_error(case: Case, tmp_path: Path) -> None:
    with pytest.raises(PdenetError) as caught:
        case.do(tmp_path)
    message = str(caught.value)
    assert type(caught.value) is case.error
    for part in case.parts:
        assert part in message
    # Expected; got; do.
    assert "; got " in message
    assert message.encode()  # it can be printed
    assert "\n" not in message
