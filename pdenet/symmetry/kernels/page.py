"""The page about a model's kernels; the same report gives the same bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pdenet.pages.shell import address, document, numbers, picture, section, table, text
from pdenet.symmetry.kernels.consistency import Consistency
from pdenet.symmetry.kernels.dihedral import SINGLE
from pdenet.symmetry.kernels.plots import LABELS, plot_mean_kernels, plot_symmetry_by_depth
from pdenet.symmetry.kernels.table import LayerSymmetry, SymmetryTable
from pdenet.symmetry.kernels.uneven import UnevenPadding, pair

_STYLE = """
.zoom img { margin: 14px 0; }
table { font-size: 15px; }
th, td { padding: 4px 14px 4px 0; }
"""

_SEEN = 0.01
"""Where p is at most that, a layer counts as more symmetric than chance."""

_IDENTITY_NOTE = (
    "Whether the identity counts among the symmetries is not settled by any printed form known "
    "here; counting it scales 1 − S of a square kernel by 7/8 and changes no comparison."
)


@dataclass(frozen=True, eq=False)
class KernelReport:
    """Everything that stands on the page.

    Attributes:
        table: the scores.
        padding: the strided layers; None where the model was not run.
        consistency: what was measured on pictures.
        notes: more sentences for the end of the page.
    """

    table: SymmetryTable
    padding: UnevenPadding | None = None
    consistency: tuple[Consistency, ...] = ()
    notes: tuple[str, ...] = ()


def page(report: KernelReport) -> str:
    """Return the page as HTML, a whole document."""
    parts = [_pictures(report.table), _depth(report.table), _singles(report.table)]
    parts += [_consistency(report.consistency), _padding(report.padding), _notes(report)]
    return document(
        f"The kernels of {report.table.model}",
        "<p>The mean kernel of a layer is the average of its weight over output and input "
        "channels. Its score S is 1 where the kernel is the same after every symmetry of the "
        f"square, and less otherwise.</p>\n{_numbers(report)}",
        "".join(parts),
        "Made by pdenet, after Alsallakh et al. (2025), “On Symmetries in Convolutional Weights”, "
        "arXiv 2503.19215.",
        _STYLE,
    )


def _numbers(report: KernelReport) -> str:
    table = report.table
    rows = [
        ("layers", f"{len(table)}", "with kernels larger than 1×1"),
        ("mean S", _number(table.mean), f"by chance {table.expected:.2f}"),
        (
            "more symmetric than chance",
            f"{table.num_significant(_SEEN)} of {len(table)}",
            f"layers, p ≤ {_SEEN}; by chance {_SEEN * len(table):.1f}",
        ),
    ]
    for one in report.consistency:
        interval = f"{100 * one.low:.1f} to {100 * one.high:.1f} %"
        rows.append((one.name, f"{100 * one.share:.1f} %", interval))
    if report.padding is not None:
        found = report.padding
        count = f"{len(found.uneven)} of {len(found)}"
        rows.append(("uneven padding", count, f"strided layers at {pair(found.size)}"))
    return numbers(rows)


def _pictures(scores: SymmetryTable) -> str:
    return section(
        "Mean kernels",
        "Blue is negative, white 0, red positive; each picture has its own scale.",
        _image(lambda path: plot_mean_kernels(scores, path=path), "mean kernels by depth"),
    )


def _depth(scores: SymmetryTable) -> str:
    identity = "counted" if scores.count_identity else "not counted"
    head = ["", "layer", "kernel", "stride", "S", "chance", "z", "p", "p, own entries"]
    rows = [
        [
            str(row.layer.depth),
            row.layer.name,
            pair((row.layer.kernel.shape[0], row.layer.kernel.shape[1])),
            pair(row.layer.stride),
            _number(row.score),
            _number(row.chance.mean),
            _number(row.z_score, 1),
            _number(row.p_value, 4),
            _number(row.p_arrangement, 4),
        ]
        for row in scores
    ]
    return section(
        "Symmetry by depth",
        f"S over {text(scores.group)}, the identity {identity}. Chance is the mean score of "
        "kernels of independent normal numbers, as newly drawn weights have; p is the probability "
        "of such a kernel to score at least as high, z the distance from the mean in standard "
        "deviations. The last column compares a kernel with its own entries in random order: it "
        "is small only where the arrangement is symmetric, and not where all entries are merely "
        "alike. "
        f"{scores.draws:,} random kernels a layer.",
        _image(lambda path: plot_symmetry_by_depth(scores, path=path), "S by depth")
        + table(head, rows, words=(1,)),
    )


def _singles(scores: SymmetryTable) -> str:
    head = "".join(f'<th class="number">{LABELS[name]}</th>' for name in SINGLE)
    rows = "".join(
        f'<tr><td class="number">{row.layer.depth}</td><td>{text(row.layer.name)}</td>'
        f"{_shaded(row)}</tr>\n"
        for row in scores
    )
    return section(
        "Each symmetry alone",
        "S of one symmetry T is 1 − ½‖T(K̂) − K̂‖, which is 0 where T changes the sign, and on the "
        "average about 0.3 by chance. A dash: kernels of that shape do not have the symmetry.",
        '<div class="scroll"><table>\n<tr><th></th><th>layer</th>'
        f"{head}</tr>\n{rows}</table></div>",
    )


def _shaded(row: LayerSymmetry) -> str:
    cells = []
    for name in SINGLE:
        value = row.by_symmetry[name]
        shade = 0.55 * value**2 if math.isfinite(value) else 0.0
        cells.append(
            f'<td class="number" style="background:rgba(43,108,163,{shade:.2f})">'
            f"{_number(value)}</td>"
        )
    return "".join(cells)


def _consistency(found: Sequence[Consistency]) -> str:
    if not found:
        return ""
    rows = [
        [
            one.name,
            f"{100 * one.share:.1f}",
            f"{100 * one.low:.1f} to {100 * one.high:.1f}",
            f"{one.agreed:,} of {one.count:,}",
            str(one.undecided),
        ]
        for one in found
    ]
    head = ["", "per cent", "interval", "pictures", "undecided"]
    return section(
        "Consistency",
        "How often the predicted class is the same for a picture and its mirror image, or for two "
        f"crops at different places. Intervals are Wilson’s, at {100 * found[0].level:g} %.",
        table(head, rows, words=(0,)),
    )


def _padding(found: UnevenPadding | None) -> str:
    if found is None:
        return ""
    near = [pair(size) for size in (found.below, found.above) if size is not None]
    if not found.uneven:
        words = f"At {pair(found.size)} every strided layer sees as much beyond both edges."
    elif near:
        words = (
            f"At {pair(found.size)} {len(found.uneven)} of {len(found)} strided layers reach over "
            f"one edge only. At {' and at '.join(near)} none does."
        )
    else:
        words = "No size near by is without uneven padding."
    words += (
        " Top/bottom and left/right: how many pixels beyond the picture windows see; a negative "
        "number is that many of the picture’s own pixels which no window sees."
    )
    head = ["layer", "operation", "input", "kernel", "stride", "top/bottom", "left/right", ""]
    rows = [
        [
            use.layer + (f" (use {use.use})" if use.use > 1 else ""),
            use.operation,
            pair(use.size),
            pair(use.kernel),
            pair(use.stride),
            f"{use.before[0]}/{use.after[0]}",
            f"{use.before[1]}/{use.after[1]}",
            "uneven" if use.is_uneven else "even",
        ]
        for use in found
    ]
    return section("Uneven padding", words, table(head, rows, words=(0, 1)))


def _notes(report: KernelReport) -> str:
    notes = [
        _IDENTITY_NOTE,
        *report.notes,
        *(f"Left out: {name}, {why}." for name, why in report.table.left_out),
    ]
    return section("Notes", "", f"<ul>{''.join(f'<li>{text(note)}</li>' for note in notes)}</ul>")


def _image(draw: Callable[[Path], object], label: str) -> str:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        draw(path)
        return picture(address("png", path.read_bytes()), label)


def _number(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"
