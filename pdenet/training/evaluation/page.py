"""The page of an evaluation; the same report gives the same bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pdenet.pages import pictures
from pdenet.pages.drawings import curves, formula, matrix
from pdenet.pages.shell import document, numbers, picture, section, sound, table, text
from pdenet.training.evaluation.evaluate import Evaluation, Mistake
from pdenet.training.evaluation.history import History
from pdenet.training.evaluation.maps import Level

_STYLE = """
img { image-rendering: pixelated; width: 100%; }
img.large { width: min(100%, 620px); border: 1px solid var(--line); }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(104px, 1fr));
  gap: 20px 16px; margin-top: 18px; }
.gallery img, .input img { border: 1px solid var(--line); }
.maps { display: grid; grid-template-columns: repeat(8, 1fr); gap: 8px; margin: 6px 0 20px; }
.maps img { outline: 1px solid var(--line); }
.maps figcaption { font-size: 12px; color: var(--soft); margin-top: 2px; }
.input { width: 112px; margin: 14px 0 20px; }
@media (max-width: 620px) { .maps { grid-template-columns: repeat(4, 1fr); }
  .gallery { grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 16px 12px; } }
"""

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
    return document(
        f"{report.model} on {report.dataset}",
        f"{_equation(report)}\n{_numbers(report)}",
        "".join(parts),
        f"Made by <code>pdenet evaluate</code>, {text(report.date)}. {text(report.source)}",
        _STYLE,
    )


def percent(share: float, digits: int = 1) -> str:
    """Return a share in per cent, or a dash where it is no number."""
    return f"{100 * share:.{digits}f}" if math.isfinite(share) else "–"


def _equation(report: Report) -> str:
    if report.latex:
        return (
            f'<div class="equation" role="img" aria-label="{text(report.equation)}">'
            f"{formula(report.latex)}</div>"
        )
    return f"<pre>{text(report.equation)}</pre>" if report.equation else ""


def _numbers(report: Report) -> str:
    evaluation, metrics = report.evaluation, report.evaluation.metrics
    rows = [
        (f"top-{k}", f"{percent(share, 2)} %", "")
        for k, share in metrics.top.items()
        if k == 1 or k < len(evaluation.classes)
    ]
    loss = f"{metrics.loss:.4f}" if math.isfinite(metrics.loss) else "not finite"
    rows += [
        ("cross-entropy", loss, ""),
        ("pictures", f"{metrics.count:,}", ""),
        ("parameters", f"{report.num_parameters:,}", ""),
        ("throughput", f"{evaluation.throughput:,.0f} images/s", f"on {evaluation.device}"),
    ]
    undecided = int(metrics.undecided.sum())
    note = ""
    if undecided:
        note = (
            f"<p>For {undecided} of the pictures the network’s answer is not a number; they count "
            "as wrong.</p>"
        )
    return numbers(rows) + note


def _curves(history: History) -> str:
    figures = [
        f"<figure><h3>{text(chart.title)}</h3>{curves(chart)}</figure>\n"
        for chart in history.charts()
    ]
    if not figures:
        return ""
    trips = history.trips
    words = ""
    if trips:
        times = {1: "once", 2: "twice"}.get(trips, f"{trips} times")
        words = f"The guard went back to an earlier state {times}."
    return section("The run", words, f'<div class="charts">\n{"".join(figures)}</div>')


def _confusion(evaluation: Evaluation) -> str:
    counts, names = evaluation.metrics.confusion, [*map(sound, evaluation.classes)]
    if len(names) <= MOST_NUMBERS:
        drawn = f'<div class="matrix scroll">{matrix(counts, names)}</div>'
        return section("Confusion matrix", "Rows are true classes, columns predicted ones.", drawn)
    totals = counts.sum(axis=1, keepdims=True)
    shown = picture(pictures.shares(counts / np.maximum(totals, 1)), "confusion matrix", "large")
    if len(names) > _WIDE:
        # Of more cells than the page has pixels none shall be left out.
        shown = shown.replace("<img", '<img style="image-rendering:auto"')
    return section(
        "Confusion matrix",
        f"Rows are the {len(names)} true classes from top to bottom, columns the predicted ones. "
        "The darker, the larger the share of the row.",
        f"{shown}\n{_pairs(counts, names)}",
    )


def _pairs(counts: np.ndarray, names: Sequence[str]) -> str:
    """Return the pairs that are confused most: what a picture of a thousand classes hides."""
    wrong = counts * (1 - np.eye(len(names), dtype=np.int64))
    order = np.argsort(-wrong, axis=None, kind="stable")[:_PAIRS]
    rows = [
        (names[a], names[b], str(wrong[a, b]))
        for a, b in (divmod(int(k), len(names)) for k in order)
        if wrong[a, b]
    ]
    return table(("is", "was called", "pictures"), rows, words=(0, 1)) if rows else ""


def _classes(evaluation: Evaluation) -> str:
    rows = [
        (name, str(row.support), percent(row.recall), percent(row.precision), percent(row.f1))
        for name, row in zip(evaluation.classes, evaluation.metrics.per_class(), strict=True)
    ]
    made = table(("class", "pictures", "recall", "precision", "F1"), rows)
    if len(rows) > _LONG_TABLE:
        made = f"<details><summary>all {len(rows)} classes</summary>{made}</details>"
    return section(
        "Each class",
        "In per cent. Recall is the share of a class’s pictures that was recognised, precision the "
        "share of the pictures called so that are so.",
        made,
    )


def _gallery(evaluation: Evaluation) -> str:
    if not evaluation.mistakes:
        return ""
    figures = "".join(_mistake(one, evaluation.classes) for one in evaluation.mistakes)
    return section(
        "Most confident mistakes",
        "The pictures about which the network was wrong and surest, with the probability that it "
        "gave to its answer.",
        f'<div class="gallery">\n{figures}</div>',
    )


def _mistake(one: Mistake, classes: Sequence[str]) -> str:
    label, called = text(classes[one.label]), text(classes[one.predicted])
    shown = picture(pictures.address(one.picture), f"picture {one.index}")
    return (
        f"<figure>{shown}<figcaption>is <bdi>{label}</bdi><span>called <bdi>{called}</bdi>, "
        f"{percent(one.confidence, 0)}&nbsp;%</span></figcaption></figure>\n"
    )


def _maps(report: Report) -> str:
    if report.shown is None or not report.levels:
        return ""
    initial = picture(pictures.address(report.shown), "the picture")
    words = f"initial state: <bdi>{text(report.shown_label)}</bdi>"
    parts = [f'<figure class="input">{initial}<figcaption>{words}</figcaption></figure>\n']
    for level in report.levels:
        height, width = level.maps.shape[1:]
        figures = "".join(
            f"<figure>{picture(pictures.diverging(channel, level.largest), f'channel {number}')}"
            f"<figcaption>{number}</figcaption></figure>"
            for number, channel in zip(level.channels, level.maps, strict=True)
        )
        parts.append(
            f"<h3>{text(level.name)}</h3>\n"
            f'<p class="soft">{level.num_channels} channels of {height} × {width}; colours from '
            f"−{level.largest:.3g} to {level.largest:.3g}</p>\n"
            f'<div class="maps">{figures}</div>\n'
        )
    return section(
        "The solution on its way through the network",
        "One picture is the initial state; below it the state behind the stem and behind each "
        "stage, in those channels that vary most. Blue is negative, white 0, red positive.",
        "".join(parts),
    )
