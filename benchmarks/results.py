"""Results: accuracies of several seeds as a table, kept up to date inside a Markdown file."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pdenet.errors import ResultError
from pdenet.files import write_whole


@dataclass(frozen=True)
class Row:
    """A model and how it did.

    Attributes:
        model: its name.
        parameters: how many it has.
        accuracies: on the test part, in per cent, one for each seed.
        seconds: of each run.
    """

    model: str
    parameters: int
    accuracies: tuple[float, ...]
    seconds: tuple[float, ...]


def table(rows: Sequence[Row]) -> str:
    """Return a Markdown table: mean ± standard deviation (with n − 1) and the smallest accuracy.

    Example:
        >>> print(table([Row("eq7", 1234, (98.0, 99.0, 100.0), (50.0, 70.0, 60.0))]))
        | model | parameters | test accuracy, % | smallest | seconds a run |
        |---|---:|---:|---:|---:|
        | eq7 | 1,234 | 99.00 ± 1.00 | 98.00 | 60 |
    """
    lines = ["| model | parameters | test accuracy, % | smallest | seconds a run |"]
    lines.append("|---|---:|---:|---:|---:|")
    for row in rows:
        mean = f"{statistics.fmean(row.accuracies):.2f}"
        if len(row.accuracies) > 1:  # of one there is no deviation
            mean += f" ± {statistics.stdev(row.accuracies):.2f}"
        name = row.model.replace("|", r"\|")
        lines.append(
            f"| {name} | {row.parameters:,} | {mean} | {min(row.accuracies):.2f} | "
            f"{statistics.fmean(row.seconds):.0f} |"
        )
    return "\n".join(lines)


def replace_section(path: Path, name: str, content: str) -> None:
    """Write text between `<!-- name:begin -->` and `<!-- name:end -->` of a file.

    What stands around stays. A file without these marks gets them at its end, and one that is not
    there is made.

    Raises:
        ResultError: the marks are not one pair in this order, or the file cannot be written.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    section = f"{begin}\n{content.strip()}\n{end}"
    if begin not in old and end not in old:
        gap = "" if not old or old.endswith("\n\n") else "\n" if old.endswith("\n") else "\n\n"
        new = f"{old}{gap}{section}\n"
    else:
        before, first, rest = old.partition(begin)
        _, last, after = rest.partition(end)
        if not first or not last or old.count(begin) != 1 or old.count(end) != 1:
            raise ResultError(
                f"one {begin} and then one {end} were expected in {str(path)!r}; got "
                f"{old.count(begin)} and {old.count(end)}; put them right by hand"
            )
        new = before + section + after
    write_whole(path, new)
