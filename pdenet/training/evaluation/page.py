"""The page of an evaluation: one HTML file that refers to nothing outside itself, without scripts.

The same report gives the same bytes. Names of classes and paths are a user's text: every text goes
through `text` on its way into the page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np

from pdenet.training.evaluation import charts, pictures
from pdenet.training.evaluation.evaluate import Evaluation, Mistake
from pdenet.training.evaluation.history import History
from pdenet.training.evaluation.maps import Level
from pdenet.training.evaluation.matrix import matrix
from pdenet.training.evaluation.style import STYLE

MOST_NUMBERS = 20
"""A confusion matrix of more classes is a picture, without numbers."""

_LONG_TABLE = 40
"""A table of more rows is folded up."""

_PAIRS = 10

_WIDE = 300
"""Pixels of the narrowest page."""


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that stands on the page.

    Attributes:
        model: its name.
        equation: the equation as text; "" for none.
        latex: the equation in LaTeX; "" where there is only text.
        num_parameters: of the model.
        date: as it shall stand there.
        source: which weights these are: a path, a checkpoint.
        dataset: what it was measured on.
        evaluation: the numbers.
        history: of the run, if there is one.
        shown: the picture whose feature maps are shown, shape (channels, y, x), uint8, or None.
        shown_label: what it is.
        levels: its feature maps.
    """

    model: str
    equation: str
    latex: str
    num_parameters: int
    date: str
    source: str
    dataset: str
    evaluation: Evaluation
    history: History = field(default_factory=History)
    shown: np.ndarray | None = None
    shown_label: str = ""
    levels: tuple[Level, ...] = ()


def page(report: Report) -> str:
    """Return the page as HTML, a whole document."""
    parts = [_curves(report.history), _confusion(report.evaluation), _classes(report.evaluation)]
    parts += [_gallery(report.evaluation), _maps(report)]
    title = f"{report.model} on {report.dataset}"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>pdenet: {text(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>{text(title)}</h1>
{_equation(report)}
{_numbers(report)}
</header>
<main>
{"".join(part for part in parts if part)}</main>
<footer>Made by <code>pdenet evaluate</code>, {text(report.date)}. {text(report.source)}</footer>
</body>
</html>
"""


def text(given: str) -> str:
    """Return a text as it stands in HTML, in an attribute as well.

    A name of a file may hold what is no character of UTF-8, or one that no page may hold.
    """
    return escape(_sound(given))


def percent(share: float, digits: int = 1) -> str:
    """Return a share in per cent, or a dash where it is no number."""
    return f"{100 * share:.{digits}f}" if math.isfinite(share) else "–"


def _section(title: str, words: str, body: str) -> str:
    words = f"<p>{words}</p>\n" if words else ""
    return f"<section>\n<h2>{title}</h2>\n{words}{body}\n</section>\n"


def _equation(report: Report) -> str:
    if report.latex:
        drawn = pictures.formula(report.latex)
        return (
            f'<div class="equation scroll" role="img" aria-label="{text(report.equation)}">'
            f"{drawn}</div>"
        )
    return f"<pre>{text(report.equation)}</pre>" if report.equation else ""


def _numbers(report: Report) -> str:
    evaluation, metrics = report.evaluation, report.evaluation.metrics
    rows = [
        (f"top-{k}", percent(share, 2), "%")
        for k, share in metrics.top.items()
        if k == 1 or k < len(evaluation.classes)
    ]
    loss = f"{metrics.loss:.4f}" if math.isfinite(metrics.loss) else "not finite"
    rows += [
        ("cross-entropy", loss, ""),
        ("pictures", f"{metrics.count:,}", ""),
        ("parameters", f"{report.num_parameters:,}", ""),
        ("throughput", f"{evaluation.throughput:,.0f}", "images/s"),
    ]
    made = "".join(
        f"<div><dt>{name}</dt><dd>{value}{f' <small>{unit}</small>' if unit else ''}</dd></div>"
        for name, value, unit in rows
    )
    undecided = int(metrics.undecided.sum())
    note = ""
    if undecided:
        note = (
            f"<p>For {undecided} of the pictures the network’s answer is not a number; they count "
            "as wrong.</p>\n"
        )
    return (
        f'<dl class="numbers">{made}</dl>\n{note}'
        f'<p class="soft">Throughput on {text(evaluation.device)}.</p>'
    )


def _curves(history: History) -> str:
    figures = []
    for chart in history.charts():
        drawn = charts.curves(chart)
        keys = "".join(
            f'<span><svg viewBox="0 0 20 10"><path class="line c{k % charts.NUM_COLOURS}" '
            f'd="M1 5H19"/></svg>{text(line.name)}</span>'
            for k, line in enumerate(chart.lines)
        )
        if chart.marks:
            keys += (
                '<span><svg viewBox="0 0 20 10"><path class="trip" d="M1 5H19"/></svg>'
                "rolled back</span>"
            )
        figures.append(
            f'<figure><h3>{text(chart.title)}</h3><div class="keys">{keys}</div>{drawn}</figure>\n'
        )
    if not figures:
        return ""
    trips = history.trips
    words = ""
    if trips:
        times = {1: "once", 2: "twice"}.get(trips, f"{trips} times")
        words = f"The guard went back to an earlier state {times}."
    return _section("The run", words, f'<div class="charts">\n{"".join(figures)}</div>')


def _confusion(evaluation: Evaluation) -> str:
    table, names = evaluation.metrics.confusion, [*map(_sound, evaluation.classes)]
    if len(names) <= MOST_NUMBERS:
        drawn = f'<div class="scroll">{matrix(table, names)}</div>'
        return _section("Confusion matrix", "Rows are true classes, columns predicted ones.", drawn)
    totals = table.sum(axis=1, keepdims=True)
    uri = pictures.shares(table / np.maximum(totals, 1))
    # Of more cells than the page has pixels none shall be left out.
    smooth = ' style="image-rendering:auto"' if len(names) > _WIDE else ""
    return _section(
        "Confusion matrix",
        f"Rows are the {len(names)} true classes from top to bottom, columns the predicted ones. "
        "The darker, the larger the share of the row.",
        f'<img class="large" src="{uri}" alt="confusion matrix"{smooth}>\n{_pairs(table, names)}',
    )


def _pairs(table: np.ndarray, names: Sequence[str]) -> str:
    """Return the pairs that are confused most: what a picture of a thousand classes hides."""
    wrong = table * (1 - np.eye(len(names), dtype=np.int64))
    order = np.argsort(-wrong, axis=None, kind="stable")[:_PAIRS]
    rows = "".join(
        f'<tr><td>{text(names[a])}</td><td>{text(names[b])}</td><td class="number">'
        f"{wrong[a, b]}</td></tr>\n"
        for a, b in (divmod(int(k), len(names)) for k in order)
        if wrong[a, b]
    )
    if not rows:
        return ""
    return (
        '<table>\n<tr><th>is</th><th>was called</th><th class="number">pictures</th></tr>\n'
        f"{rows}</table>"
    )


def _classes(evaluation: Evaluation) -> str:
    rows = "".join(
        f'<tr><td><bdi>{text(name)}</bdi></td><td class="number">{row.support}</td>'
        f'<td class="number">{percent(row.recall)}</td>'
        f'<td class="number">{percent(row.precision)}</td>'
        f'<td class="number">{percent(row.f1)}</td></tr>\n'
        for name, row in zip(evaluation.classes, evaluation.metrics.per_class(), strict=True)
    )
    table = (
        '<table>\n<tr><th>class</th><th class="number">pictures</th><th class="number">recall</th>'
        '<th class="number">precision</th><th class="number">F1</th></tr>\n'
        f"{rows}</table>"
    )
    if len(evaluation.classes) > _LONG_TABLE:
        table = (
            f"<details><summary>all {len(evaluation.classes)} classes</summary>{table}</details>"
        )
    return _section(
        "Each class",
        "In per cent. Recall is the share of a class’s pictures that was recognised, precision the "
        "share of the pictures called so that are so.",
        table,
    )


def _gallery(evaluation: Evaluation) -> str:
    if not evaluation.mistakes:
        return ""
    figures = "".join(_mistake(one, evaluation.classes) for one in evaluation.mistakes)
    return _section(
        "Most confident mistakes",
        "The pictures about which the network was wrong and surest, with the probability that it "
        "gave to its answer.",
        f'<div class="gallery">\n{figures}</div>',
    )


def _mistake(one: Mistake, classes: Sequence[str]) -> str:
    label, called = text(classes[one.label]), text(classes[one.predicted])
    return (
        f'<figure><img src="{pictures.address(one.picture)}" alt="picture {one.index}">'
        f"<figcaption>is <bdi>{label}</bdi><span>called <bdi>{called}</bdi>, "
        f"{percent(one.confidence, 0)}&nbsp;%</span></figcaption></figure>\n"
    )


def _maps(report: Report) -> str:
    if report.shown is None or not report.levels:
        return ""
    parts = []
    address = pictures.address(report.shown)
    parts.append(
        f'<figure class="input"><img src="{address}" alt="the picture">'
        f"<figcaption>initial state: <bdi>{text(report.shown_label)}</bdi></figcaption></figure>\n"
    )
    for level in report.levels:
        height, width = level.maps.shape[1:]
        figures = "".join(
            f'<figure><img src="{pictures.diverging(channel, level.largest)}" '
            f'alt="channel {number}"><figcaption>{number}</figcaption></figure>'
            for number, channel in zip(level.channels, level.maps, strict=True)
        )
        parts.append(
            f"<h3>{text(level.name)}</h3>\n"
            f'<p class="soft">{level.num_channels} channels of {height} × {width}; colours from '
            f"−{level.largest:.3g} to {level.largest:.3g}</p>\n"
            f'<div class="maps">{figures}</div>\n'
        )
    return _section(
        "The solution on its way through the network",
        "One picture is the initial state; below it the state behind the stem and behind each "
        "stage, in those channels that vary most. Blue is negative, white 0, red positive.",
        "".join(parts),
    )


def _sound(name: str) -> str:
    """Return a name whose characters a page may hold; it is escaped where it is drawn."""
    sound = name.encode("utf-8", "replace").decode("utf-8")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in sound)
