"""The page of the demo: one HTML file that refers to nothing outside itself."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from html import escape

import numpy as np
import sympy as sp

from pdenet.cli.demo.section import Check, Picture, Section
from pdenet.cli.version import release

_STYLE = """
:root { --ink: #1a1a1a; --soft: #6b6b6b; --line: #e4e1da; --paper: #fdfcfa; --good: #2f6f4f;
  --bad: #a8322a; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 17px/1.55 Charter, "Bitstream Charter", "Iowan Old Style", Georgia, serif; }
main, header, footer { max-width: 1060px; margin: 0 auto; padding: 0 32px; }
header { padding-top: 72px; padding-bottom: 8px; }
h1 { font-size: 40px; line-height: 1.15; font-weight: 600; margin: 0 0 16px;
  letter-spacing: -.01em; }
h2 { font-size: 26px; font-weight: 600; margin: 0 0 4px; letter-spacing: -.005em; }
p { max-width: 44em; margin: 0 0 16px; }
.lead { font-size: 20px; color: #333; }
section { border-top: 1px solid var(--line); margin-top: 48px; padding-top: 40px; }
.equation { display: block; margin: 12px 0 20px; height: auto; }
.row { display: flex; flex-wrap: wrap; gap: 24px 17px; margin: 0 0 24px; }
figure { margin: 0; max-width: 100%; }
figure img { display: block; width: 100%; aspect-ratio: 1; border: 1px solid var(--line);
  background: #fff; }
figcaption { font-size: 14.5px; line-height: 1.4; margin-top: 6px; }
figcaption span { display: block; color: var(--soft); font-size: 13.5px; }
figcaption span.met { color: var(--good); }
figcaption span.missed { color: var(--bad); }
table { border-collapse: collapse; font-size: 15.5px; margin: 8px 0 24px; width: 100%;
  max-width: 820px; }
th { text-align: left; font-weight: 400; color: var(--soft); font-size: 13.5px; }
th, td { padding: 6px 24px 6px 0; border-bottom: 1px solid var(--line); vertical-align: baseline; }
th.number, td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.mark { width: 70px; padding-right: 0; text-align: right; color: var(--good); }
td.missed { color: var(--bad); font-weight: 600; }
td.bar { width: 130px; padding-right: 0; }
td.bar div { height: 5px; border-radius: 3px; background: var(--line); overflow: hidden; }
td.bar i { display: block; height: 100%; background: var(--good); }
td.bar i.over { background: var(--bad); }
pre { font: 13.5px/1.55 "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; margin: 0 0 8px;
  padding: 16px 18px; background: #f5f2ec; border-radius: 4px; overflow-x: auto; }
footer { color: var(--soft); font-size: 14px; padding-top: 40px; padding-bottom: 64px; }
@media (max-width: 620px) { body { font-size: 16px; } h1 { font-size: 30px; }
  main, header, footer { padding-left: 18px; padding-right: 18px; }
  figure { width: calc(50% - 9px) !important; } th, td { padding-right: 10px; }
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
    checks = [check for section in sections for check in section.checks]
    met = sum(check.is_met for check in checks)
    verdict = (
        f"All {len(checks)} measured errors are within their tolerances."
        if met == len(checks)
        else f"{len(checks) - met} of {len(checks)} measured errors are above their tolerances."
    )
    coarse = " Coarse grids (--fast)." if is_fast else ""
    body = "\n".join(_section(section) for section in sections)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>pdenet: {escape(_TITLE)}</title>
<style>{_STYLE}</style>
</head>
<body>
<header>
<h1>{escape(_TITLE)}</h1>
<p class="lead">{escape(_LEAD)}</p>
<p>{escape(verdict)}</p>
</header>
<main>
{body}
</main>
<footer>Made by <code>pdenet demo</code> in {seconds:.0f} seconds.{coarse} {escape(_versions())}<br>
The photograph is scikit-image’s “camera”, in the public domain.</footer>
</body>
</html>
"""


def _versions() -> str:
    return (
        f"pdenet {release()}, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, SymPy {sp.__version__}."
    )


def _section(section: Section) -> str:
    rows = "\n".join(
        f'<div class="row">{"".join(_figure(picture) for picture in row)}</div>'
        for row in section.rows
    )
    return f"""<section>
<h2>{escape(section.title)}</h2>
<img class="equation" src="{section.equation}" alt="{escape(section.text, quote=True)}">
<p>{escape(section.words)}</p>
{rows}
<table>
<tr><th>what is compared</th><th class="number">measured error</th>
<th class="number">tolerance</th><th class="bar"></th><th></th></tr>
{"".join(_check(check) for check in section.checks)}</table>
<pre>{escape(section.code)}</pre>
</section>"""


def _figure(picture: Picture) -> str:
    note = f"<span>{escape(picture.note)}</span>" if picture.note else ""
    if picture.check is not None:
        kind = "met" if picture.check.is_met else "missed"
        text = f"error {picture.check.measured:#.2g}, tolerance {picture.check.tolerance_text}"
        note += f'<span class="{kind}">{escape(text)}</span>'
    return (
        f'<figure style="width:{picture.width}px"><img src="{picture.uri}" '
        f'alt="{escape(picture.caption, quote=True)}"><figcaption>{escape(picture.caption)}{note}'
        "</figcaption></figure>\n"
    )


def _check(check: Check) -> str:
    share = 100.0 if not check.is_met else 100 * check.measured / check.tolerance
    over = "" if check.is_met else ' class="over"'
    mark = '<td class="mark">✓</td>' if check.is_met else '<td class="mark missed">missed</td>'
    return (
        f'<tr><td>{escape(check.name)}</td><td class="number">{escape(check.measured_text)}</td>'
        f'<td class="number">{escape(check.tolerance_text)}</td>'
        f'<td class="bar"><div><i{over} style="width:{share:.0f}%"></i></div></td>{mark}</tr>\n'
    )
