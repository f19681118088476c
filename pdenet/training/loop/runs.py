"""Runs: the folders they live in, and which of them is meant.

::

    out/train/eq7_nows_x6_small-digits/args.toml      the options, as `--config` reads them
                                       summary.csv    a line an epoch
                                       monitor.csv    the size of the state, and monitor.png
                                       last-330/      checkpoints
                                       best-308/
              eq7_nows_x6_small-digits-2/             the next one
"""

from __future__ import annotations

import re
from pathlib import Path

from pdenet.errors import TrainingError

ARGUMENTS = "args.toml"
"""The file with a run's options."""

MONITORED = "monitor.csv"
"""The file with the size of the state, stage by stage."""

_CHECKPOINT = re.compile(r"[a-z]+-\d+(\.\d+)?")


def locate(
    output: Path, experiment: str | None, family: str, resume: str | None
) -> tuple[Path, Path | None]:
    """Return the folder of a run, and the checkpoint where one is named.

    Args:
        output: where the folders of runs lie.
        experiment: the folder's name; None for the family's, with a number behind it.
        family: what runs alike are called.
        resume: None for a new run, "auto" for the newest of these or else a new one, or the path
            of a run or of a checkpoint in one.

    Raises:
        TrainingError: the folder of a new run has one already, or that of an old one has none.
    """
    if resume is None:
        if experiment is None:
            return _new(output, family), None
        folder = output / experiment
        if is_run(folder):
            raise TrainingError(
                f"a new run was expected; {str(folder)!r} holds one; add --resume to go on with "
                "it, or choose another --experiment"
            )
        return folder, None
    if resume == "auto":
        if experiment is not None:
            return output / experiment, None
        old = _numbered(output, family)
        return (old[max(old)] if old else output / family), None
    path = Path(resume)
    if _CHECKPOINT.fullmatch(path.name) and (path / "manifest.json").exists():
        return path.parent, path
    if not is_run(path):
        raise TrainingError(
            f"resume is auto, or the folder of a run or of a checkpoint; got {resume!r}; "
            "check the path"
        )
    return path, None


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run."""
    return (folder / ARGUMENTS).is_file() or any(folder.glob("last-*"))


def _numbered(output: Path, family: str) -> dict[int, Path]:
    """Return the runs of a family by number, from 1."""
    pattern = re.compile(re.escape(family) + r"(?:-(\d+))?")
    found = {}
    for path in output.iterdir() if output.is_dir() else ():
        match = pattern.fullmatch(path.name)
        if match and is_run(path):
            found[int(match[1] or 1)] = path
    return found


def _new(output: Path, family: str) -> Path:
    last = max(_numbered(output, family), default=0)
    return output / (f"{family}-{last + 1}" if last else family)
