"""Log: what a run shows and writes while it goes on, by its first process.

`summary.csv` has a line an epoch, on the disk as soon as the epoch ends. A run that is resumed
writes the lines of its checkpoint anew and goes on from there, so that no epoch stands there twice
and none that was lost stays.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any  # tqdm and TensorBoard's writer have no annotations

from tqdm import tqdm

from pdenet.errors import MissingExtraError, TrainingError
from pdenet.training.loop.runs import ARGUMENTS

SUMMARY = "summary.csv"

Row = Mapping[str, float]


class Log:
    """Lines, a bar, a table and curves."""

    def __init__(
        self,
        folder: Path,
        rows: Sequence[Row],
        arguments: str | None,
        *,
        has_average: bool,
        batches: int,
        tensorboard: bool = False,
        step: int = 0,
    ) -> None:
        """Open the files.

        Args:
            folder: of the run.
            rows: the epochs that are done.
            arguments: the options as TOML.
            has_average: whether the average of the weights is validated too.
            batches: of an epoch, for the bar.
            tensorboard: whether to write curves for it.
            step: the number of updates done.

        Raises:
            TrainingError: the folder cannot be written to.
            MissingExtraError: TensorBoard is asked for and not installed.
        """
        self._batches = batches
        self._bar: Any = None
        # Beside the old one and then in its place: a run killed here keeps one of the two.
        path = folder / SUMMARY
        new = path.with_suffix(".csv.tmp")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if arguments is not None:
                (folder / ARGUMENTS).write_text(arguments, encoding="utf-8")
            self._file = new.open("w", newline="", encoding="utf-8")
            self._table = csv.DictWriter(self._file, _columns(has_average))
            self._table.writeheader()
            for row in rows:
                self._write(row)
            self._file.flush()
            os.replace(new, path)
        except OSError as error:
            raise TrainingError(
                f"a folder that can be written to was expected; {str(path)!r}: "
                f"{error.strerror or error}; choose another --output"
            ) from error
        self._writer = _tensorboard(folder, step) if tensorboard else None

    def say(self, line: str) -> None:
        """Show a line."""
        tqdm.write(line, file=sys.stdout)
        sys.stdout.flush()

    def begin(self, epoch: int, epochs: int, batch: int) -> None:
        """Show a bar for an epoch, on a terminal only."""
        self._bar = tqdm(
            total=self._batches,
            initial=batch,
            desc=f"epoch {epoch + 1}/{epochs}",
            leave=False,
            disable=None,  # where the output is no terminal
            file=sys.stderr,
        )

    def advance(self, batches: int) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(batches)

    def update(self, step: int, loss: float, rate: float) -> None:
        """Show the loss of an update."""
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {loss:.4g} lr {rate:.3g}")
        if self._writer is not None:
            self._writer.add_scalar("update/loss", loss, step)
            self._writer.add_scalar("update/lr", rate, step)

    def epoch(self, row: Row, epochs: int) -> None:
        """Write the line of an epoch, and show it."""
        self.end()
        self._write(row)
        self._file.flush()
        if self._writer is not None:
            for name, value in row.items():
                self._writer.add_scalar(f"epoch/{name}", value, int(row["step"]))
            self._writer.flush()
        average = f" (average {row['ema_top1']:.2f} %)" if "ema_top1" in row else ""
        self.say(
            f"epoch {row['epoch']}/{epochs}  lr {row['lr']:.3g}  "
            f"loss {row['train_loss']:.4f}, validation {row['val_loss']:.4f}  "
            f"top-1 {row['val_top1']:.2f} %{average}  {row['seconds']:.0f} s"
        )

    def end(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def close(self) -> None:
        """Close everything."""
        self.end()
        self._file.close()
        if self._writer is not None:
            self._writer.close()

    def _write(self, row: Row) -> None:
        # Nine digits tell all float32 apart, and a table is for eyes.
        self._table.writerow({name: f"{value:.9g}" for name, value in row.items()})


def _columns(has_average: bool) -> list[str]:
    judged = ("val", "ema") if has_average else ("val",)
    made = [f"{name}_{key}" for name in judged for key in ("loss", "top1", "top5")]
    return ["epoch", "step", "lr", "train_loss", *made, "trips", "seconds"]


def _tensorboard(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtraError(
            "curves for TensorBoard need the package tensorboard, which is not installed; run "
            "`pip install 'pdenet[tensorboard]'`, or leave --tensorboard out"
        ) from error
    return SummaryWriter(str(folder / "tensorboard"), purge_step=step)
