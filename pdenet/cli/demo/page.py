"""The page of the demo: one HTML file that refers to nothing outside itself."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from html import escape

import numpy as np
import sympy as sp

from pdenet.cli.demo.section import Check, Picture, Section
from pdenet.pages.shell import document, picture, section, text
from pdenet.version import release

_STYLE = """
figure img { width: 100%; aspect-ratio: 1; border: 1px solid var(--line); background: #fff; }
figcaption span.met, td.met { color: var(--good); }
figcaption span.missed, td.missed { color: var(--miss); }
td.mark { width: 70px; text-align: right; }
td.bar { width: 130px; }
td.bar div { height: 5px; border-radius: 3px; background: var(--line); overflow: hidden; }
td.bar i { display: block; height: 100%; background: var(--good); }
td.bar i.over { background: var(--miss); }
@media (max-width: 620px) { figure { width: calc(50% - 9px) !important; }
  td.bar, th.bar { display: none; } }
"""

_TITLE = "One written equation, simulated and measured"
_LEAD = (
    "Each equation below was written in SymPy, discretised, given a stable time step by its own "
    "analysis, and run. Beside every simulation stands the exact solution, and the error between "
    "the two, measured on this machine."
)


def page(sections: Sequence[Section], seconds: float, *, is_fast: bool) -> str:
    """Return the page as HTML.

    Args:
        sections: its parts, in order.
        seconds: how long they took.
        is_fast: whether they were run on coarse grids.

    Returns:
        A whole document; pictures and styles are inside.
    """
    checks = [check for shown in sections for check in shown.checks]
    met = sum(check.is_met for check in checks)
    verdict = (
        f"All {len(checks)} measured errors are within their tolerances."
        if met == len(checks)
        else f"{len(checks) - met} of {len(checks)} measured errors are above their tolerances."
    )
    coarse = " Coarse grids (--fast)." if is_fast else ""
    return document(
        _TITLE,
        f'<p class="lead">{text(_LEAD)}</p>\n<p>{text(verdict)}</p>',
        "".join(map(_section, sections)),
        f"Made by <code>pdenet demo</code> in {seconds:.0f} seconds.{coarse} {text(_versions())}"
        "<br>The photograph is scikit-image’s “camera”, in the public domain.",
        _STYLE,
    )


def _versions() -> str:
    return (
        f"pdenet {release()}, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, SymPy {sp.__version__}."
    )


def _section(shown: Section) -> str:
    rows = "\n".join(f'<div class="row">{"".join(map(_figure, row))}</div>' for row in shown.rows)
    return section(
        text(shown.title),
        "",
        f'<div class="equation" role="img" aria-label="{text(shown.text)}">{shown.equation}</div>\n'
        f"<p>{text(shown.words)}</p>\n{rows}\n"
        '<div class="scroll"><table>\n<tr><th>what is compared</th>'
        '<th class="number">measured error</th><th class="number">tolerance</th>'
        f'<th class="bar"></th><th></th></tr>\n{"".join(map(_check, shown.checks))}</table></div>\n'
        f"<pre>{escape(shown.code)}</pre>",
    )


def _figure(shown: Picture) -> str:
    note = f"<span>{text(shown.note)}</span>" if shown.note else ""
    if shown.check is not None:
        kind = "met" if shown.check.is_met else "missed"
        measured = f"error {shown.check.measured:#.2g}, tolerance {shown.check.tolerance_text}"
        note += f'<span class="{kind}">{text(measured)}</span>'
    return (
        f'<figure style="width:{shown.width}px">{picture(shown.uri, shown.caption)}'
        f"<figcaption>{text(shown.caption)}{note}</figcaption></figure>\n"
    )


def _check(check: Check) -> str:
    share = 100.0 if not check.is_met else 100 * check.measured / check.tolerance
    over = "" if check.is_met else ' class="over"'
    mark = '<td class="mark met">✓</td>' if check.is_met else '<td class="mark missed">missed</td>'
    return (
        f'<tr><td>{text(check.name)}</td><td class="number">{text(check.measured_text)}</td>'
        f'<td class="number">{text(check.tolerance_text)}</td>'
        f'<td class="bar"><div><i{over} style="width:{share:.0f}%"></i></div></td>{mark}</tr>\n'
    )
