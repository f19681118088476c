"""Folders: which files belong to which class, whatever they are called and however linked."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from pdenet.errors import DataError
from pdenet.training.data.folders import Files, scan
from tests.training.data.pictures import texture


def touch(root: Path, *names: str) -> None:
    """Make empty files: scanning opens none."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def listed(files: Files, root: Path) -> list[tuple[int, str]]:
    paths = [Path(files.path(k)).relative_to(root).as_posix() for k in range(len(files))]
    return list(zip(files.labels.tolist(), paths, strict=True))


def test_classes_and_files_come_in_sorted_order(tmp_path: Path) -> None:
    names = ("b/2.png", "b/10.png", "a/x.png", "Z/x.png", "é/x.png")
    touch(tmp_path, *(f"{part}/{name}" for part in ("train", "val") for name in names))
    found = scan(tmp_path)
    assert found.classes == ("Z", "a", "b", "é")  # code points: capitals first
    assert listed(found.train, tmp_path / "train") == [
        (0, "Z/x.png"),
        (1, "a/x.png"),
        (2, "b/10.png"),
        (2, "b/2.png"),
        (3, "é/x.png"),
    ]
    assert found.val.labels.dtype == np.int64


@pytest.mark.parametrize("name", ["val", "validation", "test"])
def test_the_validation_part_has_one_of_three_names(name: str, tmp_path: Path) -> None:
    touch(tmp_path, *(f"{part}/{c}/1.png" for part in ("train", name) for c in "ab"))
    assert listed(scan(tmp_path).val, tmp_path) == [(0, f"{name}/a/1.png"), (1, f"{name}/b/1.png")]


def test_val_comes_before_test(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{part}/{c}/1.png" for part in ("train", "test", "val") for c in "ab"))
    assert [name for _, name in listed(scan(tmp_path).val, tmp_path)] == [
        "val/a/1.png",
        "val/b/1.png",
    ]


def test_odd_names_are_found_and_hidden_ones_are_not(tmp_path: Path) -> None:
    odd = ["ä ö.PNG", "日本/深い/🙂.JpG", "new\nline.tiff", "-rf.webp", "a.b.c.jpeg", "%s {x}.bmp"]
    raw = os.fsdecode(b"\xff\xfe.png")  # no text in any encoding that is in use
    other = [".hidden.png", "._mac.png", ".folder/1.png", "notes.txt", "png", "1.png.part"]
    touch(tmp_path, *(f"train/a/{name}" for name in [*odd, raw, *other]))
    touch(tmp_path, "train/b/1.png", "val/a/1.png", "val/b/1.png", "train/.git/1.png")
    found = scan(tmp_path)
    assert found.classes == ("a", "b")
    own = [found.train.path(int(k)) for k in np.flatnonzero(found.train.labels == 0)]
    names = {os.path.relpath(path, tmp_path / "train/a") for path in own}
    assert names == {*odd, raw}


def test_links_are_followed_once_and_loops_end(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.png", "train/a/deep/2.png", "elsewhere/3.png", "elsewhere/b/4.png")
    touch(tmp_path, "val/a/1.png", "val/b/1.png")
    (tmp_path / "train/b").symlink_to(tmp_path / "elsewhere/b")  # a class that is a link
    for name, target in {
        "up": "..",
        "self": ".",
        "root": "../..",
        "deep/back": "..",
        "out": "../../elsewhere",
        "again": "../../elsewhere",
    }.items():
        (tmp_path / "train/a" / name).symlink_to(target)
    (tmp_path / "train/a/circle").symlink_to("circle")
    found = scan(tmp_path)
    paths = [os.path.realpath(found.train.path(k)) for k in range(len(found.train))]
    of_a = [path for path, label in zip(paths, found.train.labels, strict=True) if label == 0]
    of_b = [path for path, label in zip(paths, found.train.labels, strict=True) if label == 1]
    # "up" and "root" lead to the whole data set: every real file is there, and none twice.
    assert len(of_a) == len(set(of_a)) == 6
    assert {os.path.basename(path) for path in of_a} == {f"{k}.png" for k in (1, 2, 3, 4)}
    assert [os.path.basename(path) for path in of_b] == ["4.png"]


def test_a_class_list_chooses_classes_whatever_else_is_there(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{part}/{c}/1.png" for part in ("train", "val") for c in ("n2", "n1", "n3")))
    touch(tmp_path, "train/only here/1.png")
    (tmp_path / "some.txt").write_text("\ufeff# the subset\n\n  n3 \nn1\n# n2\n", encoding="utf-8")
    found = scan(tmp_path, tmp_path / "some.txt")
    assert found.classes == ("n1", "n3")
    assert listed(found.train, tmp_path / "train") == [(0, "n1/1.png"), (1, "n3/1.png")]


def test_the_same_name_in_two_unicode_forms_is_pointed_out(tmp_path: Path) -> None:
    for part, form in (("train", "NFC"), ("val", "NFD")):
        for name in ("é", "a"):
            touch(tmp_path, f"{part}/{unicodedata.normalize(form, name)}/1.png")  # type: ignore[arg-type]
    if len({*os.listdir(tmp_path / "train"), *os.listdir(tmp_path / "val")}) == 2:
        return  # the file system itself normalises names
    with pytest.raises(DataError, match="Unicode normalisation"):
        scan(tmp_path)


def test_scanning_opens_no_image(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{part}/{c}/1.png" for part in ("train", "val") for c in "ab"))
    texture(4, 4).save(tmp_path / "train/a/2.png")
    os.chmod(tmp_path / "train/a/2.png", 0)
    assert len(scan(tmp_path).train) == 3
