"""Folders: the classes and files of `root/train/<class>/…` and `root/val/<class>/…`."""

from __future__ import annotations

import itertools
import os
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pdenet.errors import DataError, suggest
from pdenet.training.data.reading import SUFFIXES, shown

VALIDATION = ("val", "validation", "test")
_LAYOUT = "<folder>/train/<class>/… and <folder>/val/<class>/… (or validation/, or test/)"
_SHOWN = 10  # names in one message


@dataclass(frozen=True, eq=False)
class Files:
    """The image files of one part, in the order of their classes, then of their paths.

    Paths are kept as one block of bytes: a million strings in every worker process would take more
    memory than the images of a batch.

    Attributes:
        labels: class numbers, int64 of shape (files,).
        block: the paths, one after the other, as the file system writes them.
        ends: where each path ends in `block`, int64 of shape (files,).
    """

    labels: np.ndarray
    block: bytes
    ends: np.ndarray

    @staticmethod
    def of(paths_by_class: Iterable[list[str]]) -> Files:
        """Gather the files of each class."""
        groups = list(paths_by_class)
        encoded = [os.fsencode(path) for path in itertools.chain.from_iterable(groups)]
        labels = np.repeat(np.arange(len(groups)), [len(paths) for paths in groups])
        ends = np.cumsum([len(path) for path in encoded], dtype=np.int64)
        return Files(labels.astype(np.int64), b"".join(encoded), ends)

    def __len__(self) -> int:
        return len(self.labels)

    def path(self, index: int) -> str:
        """Return one path."""
        start = int(self.ends[index - 1]) if index else 0
        return os.fsdecode(self.block[start : int(self.ends[index])])


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """A data set of image files.

    Attributes:
        classes: names of the class folders, sorted by code point; a label counts in this order.
        train: the files of train/.
        val: the files of val/, validation/ or test/, the first of them that exists.
    """

    classes: tuple[str, ...]
    train: Files
    val: Files


def scan(root: Path, class_list: Path | None = None) -> ImageFolder:
    """Find the classes and the files of a data set, without opening a file.

    Class folders are searched to any depth. Links to folders are followed, each real folder once,
    so that loops end. Hidden files and folders are left out, and so are files whose suffix, in
    either case, is none of an image.

    Args:
        root: the folder that holds train/ and val/.
        class_list: text file with the class folders to use, one a line; `#` starts a comment.

    Raises:
        DataError: the layout is another, train and val have different classes, a class has no
            images, there are fewer than two classes, or the class list names unknown ones.
    """
    root = Path(root)
    train, val = _parts(root)
    listed = None if class_list is None else read_class_list(class_list)
    names = [_subfolders(part) for part in (train, val)]
    if listed is not None:
        for part, known in zip((train, val), names, strict=True):
            for name in listed:
                if name not in known:
                    raise DataError(
                        f"the class list names class folders of {shown(part)}; got {shown(name)!r} "
                        f"in {shown(str(class_list))}, which it has not.{suggest(name, known)}"
                    )
        classes = sorted(listed)
    else:
        _check_same(train, val, *names)
        classes = sorted(names[0])
    if len(classes) < 2:
        found = ", ".join(map(shown, classes)) or "none"
        raise DataError(
            f"at least two class folders were expected in {shown(train)}; got {found}; lay the "
            f"images out as {_LAYOUT}"
        )
    parts = [Files.of(_files_of(part, name) for name in classes) for part in (train, val)]
    return ImageFolder(tuple(classes), parts[0], parts[1])


def read_class_list(path: Path) -> list[str]:
    """Read names, one a line; blank lines and lines that start with # are left out.

    Raises:
        DataError: the file cannot be read as text, is empty, or names a class twice.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise DataError(
            f"a text file with one class folder a line was expected; got {shown(path)}: {error}; "
            "write one in UTF-8"
        ) from error
    lines = [line.strip() for line in text.splitlines()]
    names = [line for line in lines if line and not line.startswith("#")]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names or twice:
        what = f"{', '.join(map(repr, twice[:_SHOWN]))} more than once" if twice else "no name"
        raise DataError(
            f"a class list names each class once; got {what} in {shown(path)}; correct the file"
        )
    return names


def _parts(root: Path) -> tuple[Path, Path]:
    if not root.is_dir():
        raise DataError(
            f"a folder laid out as {_LAYOUT} was expected; got {shown(root)}, which is "
            f"{'a file' if root.exists() else 'not there'}; check the path"
        )
    val = next((root / name for name in VALIDATION if (root / name).is_dir()), None)
    train = root / "train"
    if val is None or not train.is_dir():
        inside = sorted(_subfolders(root))
        found = ", ".join(map(shown, inside[:_SHOWN])) + (", …" if len(inside) > _SHOWN else "")
        raise DataError(
            f"a folder laid out as {_LAYOUT} was expected; got {shown(root)} with "
            f"{f'the folders {found}' if found else 'no folders'}; move the images, "
            "about a fifth of each class into val/"
        )
    return train, val


def _subfolders(part: Path) -> set[str]:
    with os.scandir(part) as entries:
        return {entry.name for entry in entries if entry.is_dir() and entry.name[0] != "."}


def _check_same(train: Path, val: Path, in_train: set[str], in_val: set[str]) -> None:
    faults = []
    for there, missing in ((val, in_train - in_val), (train, in_val - in_train)):
        if missing:
            some = ", ".join(shown(name) for name in sorted(missing)[:_SHOWN])
            more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
            faults.append(f"{shown(there)} lacks {some}{more}")
    if not faults:
        return
    # é can be one code point or two; some systems rename while copying, and messages look absurd.
    folded = [{unicodedata.normalize("NFC", n) for n in names} for names in (in_train, in_val)]
    hint = (
        "they differ in Unicode normalisation only: rename one side"
        if folded[0] == folded[1]
        else "complete them, or choose the common ones by a class list"
    )
    raise DataError(f"train and val have the same classes; got {'; '.join(faults)}; {hint}")


def _files_of(part: Path, name: str) -> list[str]:
    paths = sorted(_walk(os.path.join(part, name)))
    if not paths:
        others = sum(len(files) for _, _, files in os.walk(os.path.join(part, name)))
        raise DataError(
            f"every class has images; got {shown(part / name)} with {others} other files and none "
            f"that ends in {', '.join(sorted(SUFFIXES))}; add some, or leave the class out by a "
            "class list"
        )
    return paths


def _walk(top: str) -> Iterator[str]:
    """Yield the image files below a folder; each real folder is entered once."""
    seen: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(top, followlinks=True, onerror=_refuse):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            # A link to nothing is listed too: reading it fails, and is counted.
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES:
                yield os.path.join(folder, name)


def _refuse(error: OSError) -> None:
    raise error
