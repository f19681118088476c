"""Checkpoints: folders on disk that are either whole, or known to be damaged.

::

    folder/last-1200/weights.safetensors   the weights, for any reader of safetensors
                     state.pt              all else, plain: read with weights_only=True
                     manifest.json         size and SHA-256 of both, and of the manifest itself

All bytes are made first, in memory. They are written into a folder with a temporary name in the
same place, each file is flushed to the disk, the manifest last; then the folder is renamed and
its parent flushed. A process that is killed at any moment, a power cut included, leaves either the
old state of things or the new one; and what a bad disk does afterwards the checksums show.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import shutil
import socket
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pdenet.errors import CheckpointError, CheckpointWarning
from pdenet.files import flush, shown
from pdenet.training.loop import contents as files

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_HOST = re.sub(r"[^A-Za-z0-9]", "-", socket.gethostname())[:64] or "host"
_TEMPORARY = re.compile(r"\.[a-z]+-\d+(?:\.\d+)?\.(?P<host>[A-Za-z0-9-]+)\.(?P<pid>\d+)\.tmp")

_writing: set[Path] = set()
"""The temporary folders that this process fills at this moment: none of them is a leftover."""


@dataclass(frozen=True, eq=False)
class Saved:
    """A checkpoint that was read and found intact.

    Attributes:
        weights: tensors by name, on the CPU. Names that shared a tensor share one again.
        state: what was saved beside them; its tensors are on the CPU.
        step: the step it was saved at.
        path: its folder.
    """

    weights: dict[str, Tensor]
    state: dict[str, object]
    step: int
    path: Path


class Checkpoints:
    """The checkpoints of one run, `last-<step>` and `best-<step>` (or other kinds) in one folder.

    The newest of a kind is the one saved last, whatever its step: a run that goes back to an
    earlier step and goes on from there is read back as it went on. Saving a step once more adds
    `last-<step>.2` and destroys nothing. One process saves; any number may load meanwhile.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        """Name a folder; it is made by the first save.

        Args:
            folder: where; may be a link to a folder.
            keep: how many intact ones of each kind stay.

        Raises:
            CheckpointError: the folder is something else, or its name is not UTF-8.
        """
        if type(keep) is not int or keep < 1:
            raise CheckpointError(
                f"keep is the number of checkpoints that stay, an int of at least 1; got {keep!r}. "
                f"Use keep=2, so that there is another one when the newest is damaged."
            )
        self.folder = Path(folder)
        self.keep = keep
        self._intact: set[Path] = set()  # hashed or written by this object
        try:
            str(self.folder).encode()
        except UnicodeEncodeError:
            raise CheckpointError(
                f"The name of a folder for checkpoints is UTF-8; got {shown(self.folder)}. "
                f"Choose another name."
            ) from None
        if os.path.lexists(self.folder) and not self.folder.is_dir():
            what = "a link to nowhere" if self.folder.is_symlink() else "a file"
            raise CheckpointError(
                f"Checkpoints lie in a folder; {shown(self.folder)} is {what}. Choose another path."
            )

    def save(
        self, kind: str, step: int, weights: Mapping[str, Tensor], state: Mapping[str, object]
    ) -> Path:
        """Write a checkpoint, then remove all but the `keep` newest intact ones of its kind.

        Tensors on a device are copied to the CPU. The same tensor under several names is stored
        once. Different views of one storage are stored one by one.

        Args:
            kind: "last", "best", or another word of small letters.
            step: the number of updates done.
            weights: tensors by name, all finite.
            state: None, bool, int, float, str, finite tensors, and lists, tuples and
                string- or int-keyed mappings of these. (A plain float may be infinite.)

        Returns:
            The folder of the checkpoint, once it is safely on the disk.

        Raises:
            CheckpointError: a tensor is not finite; the state holds anything else; or the disk is
                full or refuses. Nothing has changed on the disk then.
        """
        if not isinstance(kind, str) or not re.fullmatch("[a-z]+", kind):
            raise CheckpointError(
                f'The kind of a checkpoint is a word of small letters; got {kind!r}. Use "last".'
            )
        if type(step) is not int or step < 0:
            raise CheckpointError(
                f"step is the number of updates done, an int of at least 0; got {step!r}. "
                f"Count them in the loop."
            )
        old = self._folders(kind)
        sequence = 1 + max([_sequence(path) or 0 for path in old], default=0)
        contents = files.make(kind, step, sequence, weights, state)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._remove_leftovers()
            path = self._write(self._free_name(kind, step), contents)
        except OSError as error:
            raise _refused(self.folder, contents, error) from error
        self._intact.add(path)
        self._prune(old)
        return path

    def load(self, kind: str = "last") -> Saved | None:
        """Read the newest intact checkpoint of a kind, with a warning for each damaged newer one.

        Returns:
            The checkpoint, or None where there is none at all.

        Raises:
            CheckpointError: there are some, and every one is damaged.
        """
        damaged: dict[Path, str] = {}
        # Another process may remove the oldest ones while this one reads: then look again.
        for _ in range(100):
            damaged.clear()
            vanished = False
            for path in self._folders(kind):
                try:
                    saved = read_checkpoint(path)
                except CheckpointError as error:
                    if path.exists():
                        damaged[path] = str(error)
                    else:
                        vanished = True
                    continue
                for why in damaged.values():
                    message = f"{why} The older checkpoint {saved.path.name!r} is used instead."
                    warnings.warn(message, CheckpointWarning, stacklevel=2)
                self._intact.add(path)
                return saved
            if not vanished:
                break
        if damaged:
            raise CheckpointError(
                f"Expected an intact checkpoint {kind!r} in {shown(self.folder)}; every one is "
                f"damaged. Restore one from a backup, or start afresh in another folder.\n"
                + "\n".join(damaged.values())
            )
        return None

    def _folders(self, kind: str) -> list[Path]:
        """List the checkpoints of a kind, newest first; those of unknown order come before."""
        pattern = re.compile(rf"{kind}-\d+(\.\d+)?")
        try:
            names = [name for name in os.listdir(self.folder) if pattern.fullmatch(name)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CheckpointError(
                f"Expected a folder that can be read; {shown(self.folder)}: {error}. "
                f"Change its permissions."
            ) from error
        order = {self.folder / name: _sequence(self.folder / name) for name in names}
        # A manifest that cannot be read says no order. Such a one is reported rather than hidden.
        return sorted(order, key=lambda path: (order[path] is None, order[path] or 0), reverse=True)

    def _free_name(self, kind: str, step: int) -> Path:
        path, again = self.folder / f"{kind}-{step}", 2
        while os.path.lexists(path):
            path = self.folder / f"{kind}-{step}.{again}"
            again += 1
        return path

    def _write(self, path: Path, contents: Mapping[str, bytes]) -> Path:
        with _temporary(path) as temporary:
            temporary.mkdir()
            for name, content in contents.items():
                (temporary / name).write_bytes(content)
                flush(temporary / name)
            flush(temporary)
            # Nothing stands at `path`: one process saves.
            temporary.rename(path)
        flush(self.folder)
        return path

    def _prune(self, old: Sequence[Path]) -> None:
        """Remove all old ones but the newest `keep − 1` intact; none until there are so many.

        What cannot be removed stays: the checkpoint is saved, and the next save tries again.
        """
        needed = self.keep - 1
        kept = list(itertools.islice((path for path in old if self._is_intact(path)), needed))
        for path in old if len(kept) == needed else ():
            if path in kept or path.is_symlink():  # a link is somebody else's
                continue
            with contextlib.suppress(OSError), _temporary(path) as temporary:
                # Renamed first: half a folder under its own name would look like damage.
                path.rename(temporary)
            self._intact.discard(path)

    def _is_intact(self, path: Path) -> bool:
        """Whether a checkpoint has been verified; it is hashed once only."""
        if path not in self._intact:
            try:
                files.verify(path)
            except CheckpointError:
                return False
            self._intact.add(path)
        return True

    def _remove_leftovers(self) -> None:
        """Remove the temporary folders of processes that are dead.

        Those of other machines, which may share the folder, cannot be judged and stay.
        """
        for path in self.folder.iterdir():
            match = _TEMPORARY.fullmatch(path.name)
            if match and match["host"] == _HOST and path not in _writing:
                pid = int(match["pid"])
                # One's own number: an earlier process had it, as the first of a container always.
                if pid == os.getpid() or not _is_alive(pid):
                    shutil.rmtree(path, ignore_errors=True)


def read_checkpoint(path: Path) -> Saved:
    """Read one checkpoint.

    Args:
        path: its folder, such as `run/last-1200`.

    Raises:
        CheckpointError: it is none, or damaged; the message says how.
    """
    path = Path(path)
    manifest, contents = files.verify(path)
    weights, state = files.parse(path, manifest, contents)
    return Saved(weights, state, manifest["step"], path)


def _sequence(path: Path) -> int | None:
    try:
        return files.read_manifest(path)["sequence"]
    except CheckpointError:
        return None


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Yield a name beside `path` that says whose it is; what stands there at the end goes."""
    temporary = path.with_name(f".{path.name}.{_HOST}.{os.getpid()}.tmp")
    _writing.add(temporary)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        _writing.discard(temporary)


def _is_alive(pid: int) -> bool:
    if os.name == "nt":
        return True  # signal 0 would end it there
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _refused(folder: Path, contents: Mapping[str, bytes], error: OSError) -> CheckpointError:
    if error.errno not in _NO_SPACE:
        return CheckpointError(
            f"Expected a folder for checkpoints that can be written; {shown(folder)}: {error}. "
            f"Earlier checkpoints are untouched; change the permissions or choose another folder."
        )
    needed = sum(map(len, contents.values())) / 1e6
    try:
        there = f"{shutil.disk_usage(folder).free / 1e6:.1f} MB are free"
    except OSError:
        there = "it is not known how much is free"
    return CheckpointError(
        f"A checkpoint needs {needed:.1f} MB; the disk of {shown(folder)} is full ({there}). "
        f"Earlier checkpoints are untouched; free some space, or keep fewer."
    )
