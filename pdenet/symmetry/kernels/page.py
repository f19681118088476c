"""The page about a model's kernels: one HTML file that refers to nothing outside itself.

The same report gives the same bytes. Names of layers are a user's text, and escaped.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

from pdenet.symmetry.kernels.consistency import Consistency
from pdenet.symmetry.kernels.dihedral import SINGLE
from pdenet.symmetry.kernels.plots import LABELS, plot_mean_kernels, plot_symmetry_by_depth
from pdenet.symmetry.kernels.table import LayerSymmetry, SymmetryTable
from pdenet.symmetry.kernels.uneven import UnevenPadding, pair

_STYLE = """
:root { --ink: #1a1a1a; --soft: #676767; --line: #e4e1da; --paper: #fdfcfa; --bad: #b23a22; }
* { box-sizing: border-box; }
body { background: var(--paper); color: var(--ink); margin: 0 auto; max-width: 1104px;
  padding: 56px 32px; font: 17px/1.55 Charter, "Iowan Old Style", Georgia, serif; }
h1, h2 { font-weight: 600; line-height: 1.2; overflow-wrap: anywhere; }
h1 { font-size: 36px; margin: 0 0 12px; }
h2 { font-size: 24px; margin: 0 0 6px; }
p, ul { max-width: 46em; margin: 0 0 16px; }
section { border-top: 1px solid var(--line); margin-top: 36px; padding-top: 28px; }
dl { display: flex; flex-wrap: wrap; gap: 18px 44px; margin: 24px 0 0; }
dt, th, small, footer { color: var(--soft); font-size: 14px; font-weight: 400; }
dd { font-size: 25px; margin: 0; }
dd small { display: block; line-height: 1.3; }
img { display: block; max-width: 100%; height: auto; margin: 14px 0; }
div.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 15px; margin: 12px 0; }
th, td { padding: 4px 14px 4px 6px; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; font-variant-numeric: tabular-nums; }
th.text, td.text { text-align: left; padding-left: 0; }
.bad { color: var(--bad); }
footer { border-top: 1px solid var(--line); margin-top: 36px; padding-top: 20px; }
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
    title = text(f"The kernels of {report.table.model}")
    parts = [_pictures(report.table), _depth(report.table), _singles(report.table)]
    parts += [_consistency(report.consistency), _padding(report.padding), _notes(report)]
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>pdenet: {title}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{title}</h1>
<p>The mean kernel of a layer is the average of its weight over output and input channels. Its score
S is 1 where the kernel is the same after every symmetry of the square, and less otherwise.</p>
{_numbers(report)}
{"".join(parts)}<footer>Made by pdenet, after Alsallakh et al. (2025), “On Symmetries in
Convolutional Weights”, arXiv 2503.19215.</footer>
</body>
</html>
"""


def text(given: str) -> str:
    """Return a text as it stands in HTML, in an attribute as well."""
    sound = given.encode("utf-8", "replace").decode("utf-8")
    return escape("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in sound))


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
    made = "".join(
        f"<div><dt>{text(name)}</dt><dd>{text(value)}<small>{text(note)}</small></dd></div>\n"
        for name, value, note in rows
    )
    return f"<dl>{made}</dl>"


def _section(title: str, words: str, body: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n<p>{words}</p>\n{body}\n</section>\n"


def _pictures(table: SymmetryTable) -> str:
    return _section(
        "Mean kernels",
        "Blue is negative, white 0, red positive; each picture has its own scale.",
        _image(lambda path: plot_mean_kernels(table, path=path), "mean kernels by depth"),
    )


def _depth(table: SymmetryTable) -> str:
    identity = "counted" if table.count_identity else "not counted"
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
        for row in table
    ]
    return _section(
        "Symmetry by depth",
        f"S over {text(table.group)}, the identity {identity}. Chance is the mean score of kernels "
        "of independent normal numbers, as newly drawn weights have; p is the probability of such "
        "a kernel to score at least as high, z the distance from the mean in standard deviations. "
        "The last column compares a kernel with its own entries in random order: it is small only "
        "where the arrangement is symmetric, and not where all entries are merely alike. "
        f"{table.draws:,} random kernels a layer.",
        _image(lambda path: plot_symmetry_by_depth(table, path=path), "S by depth")
        + _table(head, rows, words=(1,)),
    )


def _singles(table: SymmetryTable) -> str:
    head = "".join(f"<th>{LABELS[name]}</th>" for name in SINGLE)
    rows = "".join(
        f'<tr><td>{row.layer.depth}</td><td class="text">{text(row.layer.name)}</td>'
        f"{_shaded(row)}</tr>\n"
        for row in table
    )
    return _section(
        "Each symmetry alone",
        "S of one symmetry T is 1 − ½‖T(K̂) − K̂‖, which is 0 where T changes the sign, and on the "
        "average about 0.3 by chance. A dash: kernels of that shape do not have the symmetry.",
        '<div class="scroll"><table>\n<tr><th></th><th class="text">layer</th>'
        f"{head}</tr>\n{rows}</table></div>",
    )


def _shaded(row: LayerSymmetry) -> str:
    cells = []
    for name in SINGLE:
        value = row.by_symmetry[name]
        shade = 0.55 * value**2 if math.isfinite(value) else 0.0
        cells.append(f'<td style="background:rgba(43,108,163,{shade:.2f})">{_number(value)}</td>')
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
    return _section(
        "Consistency",
        "How often the predicted class is the same for a picture and its mirror image, or for two "
        f"crops at different places. Intervals are Wilson’s, at {100 * found[0].level:g} %.",
        _table(head, rows, words=(0,)),
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
    return _section("Uneven padding", words, _table(head, rows, words=(0, 1)))


def _notes(report: KernelReport) -> str:
    table = report.table
    notes = [
        _IDENTITY_NOTE,
        *report.notes,
        *(f"Left out: {name}, {why}." for name, why in table.left_out),
    ]
    return (
        "<section>\n<h2>Notes</h2>\n<ul>"
        + "".join(f"<li>{text(note)}</li>\n" for note in notes)
        + "</ul>\n</section>\n"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[int]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        made = []
        for k, cell in enumerate(cells):
            kinds = [*(["text"] if k in words else []), *(["bad"] if cell == "uneven" else [])]
            kind = f' class="{" ".join(kinds)}"' if kinds else ""
            made.append(f"<{tag}{kind}>{text(cell)}</{tag}>")
        return f"<tr>{''.join(made)}</tr>\n"

    body = line(head, "th") + "".join(line(row, "td") for row in rows)
    return f'<div class="scroll"><table>\n{body}</table></div>'


def _image(draw: Callable[[Path], object], label: str) -> str:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        draw(path)
        content = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<img alt="{text(label)}" src="data:image/png;base64,{content}">'


def _number(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"
