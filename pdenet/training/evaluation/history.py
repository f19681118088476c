"""History: the tables that a training run wrote down, read back; whatever is missing stays away."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pdenet.pages.drawings import Chart, Line
from pdenet.training.loop.log import SUMMARY

MONITOR = "monitor.csv"
"""The rows of `Monitor`, beside the summary."""

Column = tuple[float, ...]
Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class History:
    """What a run wrote down.

    Attributes:
        epochs: the columns of the table with a row for each epoch, by name. Where a row has no
            number it has NaN.
        steps: those of the monitor's table, with a row for each step that was looked at.
    """

    epochs: Mapping[str, Column] = field(default_factory=dict)
    steps: Mapping[str, Column] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> History:
        """Read what there is in the folder of a run; a table that is not there is empty."""
        return cls(read_table(folder / SUMMARY), read_table(folder / MONITOR))

    def charts(self) -> tuple[Chart, ...]:
        """Return the charts for which there are numbers: how the run went."""
        at = _numbers(self.epochs, "epoch")
        rises = _rises(self.epochs.get("trips", ()))
        marks = tuple(at[k] for k in rises if k < len(at))
        made = [
            Chart("cross-entropy", _lines(self.epochs, at, _LOSSES), "epoch", True, marks),
            Chart("top-1, %", _lines(self.epochs, at, _ACCURACIES), "epoch", False, marks),
            Chart("learning rate", _lines(self.epochs, at, {"lr": "rate"}), "epoch", False, marks),
        ]
        looked = self.steps if _stages(self.steps, "u") else self.epochs
        at = _numbers(looked, "step")
        trips = tuple(self._step_of(k) for k in rises) if at else ()
        for ending, title in (("u", "largest |u|"), ("grad_u", "largest |∇u| per pixel")):
            names = {f"stage{k}_{ending}": f"stage {k}" for k in _stages(looked, ending)}
            made.append(Chart(title, _lines(looked, at, names), "update", True, trips))
        return tuple(chart for chart in made if any(line.points for line in chart.lines))

    @property
    def trips(self) -> int:
        """How often the guard went back."""
        last = [value for value in self.epochs.get("trips", ()) if math.isfinite(value)]
        return int(max(last, default=0.0))

    def _step_of(self, row: int) -> float:
        steps = _numbers(self.epochs, "step")
        return steps[row] if row < len(steps) else math.nan


_LOSSES = {"train_loss": "training", "val_loss": "validation", "ema_loss": "average of weights"}
_ACCURACIES = {
    "train_top1": "training",
    "val_top1": "validation",
    "ema_top1": "average of weights",
}


def read_table(path: Path) -> dict[str, Column]:
    """Return the columns of a CSV file by name, as numbers.

    A run may be writing to it, or may have been killed in the middle of a line: what is missing or
    is no number becomes NaN, and a file that cannot be read at all has no columns.
    """
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            # The dialect's limit on a field is no business of a table of numbers.
            rows = [row for row in csv.reader(_without_nul(file)) if row]
    except (OSError, csv.Error):
        return {}
    if not rows:
        return {}
    names, *lines = rows
    return {
        name: tuple(_number(line[k]) if k < len(line) else math.nan for line in lines)
        for k, name in enumerate(names)
    }


def _without_nul(lines: object) -> list[str]:
    return [line.replace("\0", "") for line in lines]  # type: ignore[attr-defined]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _numbers(table: Mapping[str, Column], name: str) -> Column:
    """Return a column to draw over; rows are counted from 1 where it is not there."""
    found = table.get(name)
    if found is not None:
        return found
    return tuple(1.0 + k for k in range(max(map(len, table.values()), default=0)))


def _lines(table: Mapping[str, Column], at: Column, names: Mapping[str, str]) -> tuple[Line, ...]:
    made = []
    for name, title in names.items():
        # A row that was cut off says not even when it was; a value of NaN is worth a cross.
        points = [(x, y) for x, y in zip(at, table.get(name, ()), strict=False) if math.isfinite(x)]
        if any(math.isfinite(y) for _, y in points):
            made.append(Line(title, tuple(sorted(points, key=lambda point: point[0]))))
    return tuple(made)


def _stages(table: Mapping[str, Column], ending: str) -> list[int]:
    found = (re.fullmatch(rf"stage(\d+)_{ending}", name) for name in table)
    return sorted(int(match[1]) for match in found if match)


def _rises(counts: Column) -> list[int]:
    """Return the rows in which a count is above that of the row before."""
    before = 0.0
    rows = []
    for k, count in enumerate(counts):
        if count > before:
            rows.append(k)
            before = count
    return rows
