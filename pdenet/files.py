"""Files written whole: readers see the old content or the new one, never a part of either."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from pdenet.errors import PdenetError, ResultError


def shown(path: str | os.PathLike[str]) -> str:
    """Return a path in quotes that can be printed, whatever bytes it is made of."""
    return repr(os.fsencode(path).decode("utf-8", "backslashreplace"))


def checksum(content: bytes) -> str:
    """Return the SHA-256 of a content, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place when the block ends well.

    Its content is on the disk before it has the name. When the block raises, the temporary file or
    directory is removed and `path` is as it was.

    Raises:
        OSError: the disk refuses.
    """
    # The suffix stays last: writers of movies and pictures choose the format by it.
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.partial{path.suffix}")
    try:
        yield temporary
        if temporary.is_dir():
            _replace_directory(temporary, path)
        else:
            flush(temporary)
            os.replace(temporary, path)
        flush(path.parent)
    finally:
        with contextlib.suppress(OSError):  # the error of the block is the one to be heard
            remove(temporary)


@contextlib.contextmanager
def written_whole(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary path as `replacing` does, where a result may be written.

    Args:
        path: where the file or directory shall stand.
        overwrite: whether something may stand there already.

    Raises:
        ResultError: `path` exists and may not be overwritten, or its folder does not exist.
    """
    check_target(path, overwrite=overwrite)
    with replacing(path) as temporary:
        yield temporary


def write_whole(
    path: str | os.PathLike[str], content: str | bytes, error: type[PdenetError] = ResultError
) -> Path:
    """Write a file that is there whole or not at all; an older one is replaced.

    Args:
        path: the file.
        content: a text, written as UTF-8, or bytes.
        error: what is raised where it cannot be written.

    Returns:
        The path.
    """
    path = Path(path)
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(content if isinstance(content, bytes) else content.encode())
    except OSError as why:
        raise error(
            f"{shown(path)} cannot be written: {why.strerror or why}; choose a file in a folder "
            "that exists, on a disk with space left"
        ) from why
    return path


def check_target(path: Path, *, overwrite: bool) -> None:
    """Refuse a path at which no result may be written.

    Raises:
        ResultError: its folder does not exist; or it exists and `overwrite` is false; or it is a
            directory that is no zarr store, which is never deleted.
    """
    if not path.parent.is_dir():
        raise ResultError(
            f"A file is written into a folder that exists; {str(path.parent)!r} is none. "
            f"Create the folder first."
        )
    if not overwrite and os.path.lexists(path):
        raise ResultError(
            f"Expected a path at which nothing stands yet; {str(path)!r} exists. "
            f"Choose another path or pass overwrite=True."
        )
    if path.is_dir() and any(path.iterdir()) and not (path / "zarr.json").is_file():
        raise ResultError(
            f"overwrite=True replaces files and zarr stores; {str(path)!r} is a directory with "
            f"other content, which is not deleted. Choose another path."
        )


def flush(path: Path) -> None:
    """Have the operating system write a file's content, or a directory's names, to the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open a directory, and needs no such call
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Delete a file or a directory, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _replace_directory(new: Path, path: Path) -> None:
    # os.replace cannot put a directory in the place of one that has content.
    old = path.with_name(f"{new.name}.old")
    if not os.path.lexists(path):
        os.replace(new, path)
        return
    os.replace(path, old)
    try:
        os.replace(new, path)
    except OSError:
        os.replace(old, path)
        raise
    remove(old)
