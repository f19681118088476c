"""Shell: what every page is made of: its frame, its style, texts, tables, pictures.

A page is one HTML file without scripts that refers to nothing outside itself. Names are a user's
text: every text goes through `text` on its way into a page.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --soft: #676767; --line: #e4e1da;
  --paper: #fdfcfa; --panel: #f5f2ec; --hit: #2b6ca3; --miss: #c2452d; --on: #fff; --good: #2f6f4f;
  --c0: #2b6ca3; --c1: #cf6a1b; --c2: #2f7f55; --c3: #a03c8f; --c4: #7566c9; --c5: #86752a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e6e1; --soft: #a09d96; --line: #3a3936;
  --paper: #191918; --panel: #242422; --hit: #4f97d3; --miss: #e0674c; --on: #0e0e0e;
  --good: #62bd8e;
  --c0: #68aee6; --c1: #ee9550; --c2: #62bd8e; --c3: #d57fc6; --c4: #a69bf0; --c5: #c4b160; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); -webkit-text-size-adjust: 100%;
  font: 17px/1.55 Charter, "Bitstream Charter", "Iowan Old Style", Georgia, serif; }
main, header, footer { max-width: 1060px; margin: 0 auto; padding: 0 32px; }
header { padding-top: 56px; }
h1 { font-size: 36px; line-height: 1.15; font-weight: 600; margin: 0 0 12px;
  overflow-wrap: anywhere; }
h2 { font-size: 24px; font-weight: 600; margin: 0 0 6px; }
h3 { font-size: 15px; font-weight: 600; margin: 0 0 4px; }
p, ul { max-width: 46em; margin: 0 0 16px; overflow-wrap: anywhere; }
.lead { font-size: 20px; }
.soft, small { color: var(--soft); font-size: 15px; }
.bad { color: var(--miss); }
section { border-top: 1px solid var(--line); margin-top: 40px; padding-top: 28px; }
.scroll { overflow-x: auto; }
.equation { margin: 20px 0 24px; overflow-x: auto; }
.equation svg { display: block; height: auto; max-width: 100%; min-width: 290px; }
pre { font: 13.5px/1.55 "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; margin: 0 0 8px;
  padding: 12px 16px; background: var(--panel); border-radius: 4px; overflow-x: auto; }
dl { display: flex; flex-wrap: wrap; gap: 18px 44px; margin: 24px 0 8px; }
dl div { min-width: 100px; }
dt { color: var(--soft); font-size: 14px; }
dd { margin: 0; font-size: 25px; line-height: 1.3; font-variant-numeric: tabular-nums; }
dd.note { font-size: 15px; color: var(--soft); }
figure { margin: 0; min-width: 0; max-width: 100%; }
figcaption { font-size: 14.5px; line-height: 1.4; margin-top: 5px; overflow-wrap: anywhere; }
figcaption span { display: block; color: var(--soft); font-size: 13.5px; }
.row { display: flex; flex-wrap: wrap; gap: 24px 17px; margin: 0 0 24px; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr));
  gap: 30px 40px; margin-top: 18px; }
.charts svg { display: block; width: 100%; max-width: 560px; height: auto; }
.matrix svg { display: block; height: auto; margin-top: 12px; }
.zoom { display: block; cursor: zoom-in; }
.zoom input { position: absolute; opacity: 0; pointer-events: none; }
.zoom input:focus-visible + img { outline: 3px solid var(--hit); }
.zoom input:checked + img { position: fixed; inset: 0; z-index: 9; width: 100vw; height: 100vh;
  max-width: none; margin: 0; padding: 2vmin; border: 0; object-fit: contain;
  background: var(--paper); cursor: zoom-out; }
img { display: block; max-width: 100%; height: auto; }
table { border-collapse: collapse; font-size: 15.5px; margin: 12px 0 16px;
  min-width: min(100%, 540px); }
th { text-align: left; font-weight: 400; color: var(--soft); font-size: 14px; }
th, td { padding: 5px 20px 5px 0; border-bottom: 1px solid var(--line); vertical-align: baseline;
  overflow-wrap: break-word; }
th.number, td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th:last-child, td:last-child { padding-right: 0; }
summary { cursor: pointer; color: var(--soft); }
footer { color: var(--soft); font-size: 14px; padding-top: 36px; padding-bottom: 56px;
  overflow-wrap: anywhere; }
@media (max-width: 620px) { body { font-size: 16px; } h1 { font-size: 28px; }
  main, header, footer { padding-left: 18px; padding-right: 18px; } header { padding-top: 36px; }
  th, td { padding-right: 12px; } dl { gap: 14px 32px; } dd { font-size: 22px; } }
"""
"""Quiet, readable on a phone, light or dark as the reader has it."""


def document(title: str, header: str, body: str, footer: str, style: str = "") -> str:
    """Return a page.

    Args:
        title: a text.
        header: HTML under the title's heading.
        body: HTML, sections.
        footer: HTML.
        style: CSS of this kind of page, after `STYLE`.
    """
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>pdenet: {text(title)}</title>
<style>{STYLE}{style}</style>
</head>
<body>
<header>
<h1>{text(title)}</h1>
{header}
</header>
<main>
{body}</main>
<footer>{footer}</footer>
</body>
</html>
"""


def text(given: str) -> str:
    """Return a text as it stands in HTML, in an attribute as well."""
    return escape(sound(given))


def sound(given: str) -> str:
    """Return a text whose characters a page may hold; it is not escaped yet.

    A name of a file may hold what is no character of UTF-8, or one that turns what follows.
    """
    kept = given.encode("utf-8", "replace").decode("utf-8")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in kept)


def section(title: str, words: str, body: str) -> str:
    """Return a part of a page; `words` and `body` are HTML."""
    words = f"<p>{words}</p>\n" if words else ""
    return f"<section>\n<h2>{title}</h2>\n{words}{body}\n</section>\n"


def numbers(rows: Sequence[tuple[str, str, str]]) -> str:
    """Return large numbers side by side: name, value, and what is said below it."""
    made = "".join(
        f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd>"
        + (f'<dd class="note">{text(note)}</dd>' if note else "")
        + "</div>\n"
        for name, value, note in rows
    )
    return f"<dl>{made}</dl>"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], words: Collection[int] = (0,)) -> str:
    """Return a table of texts that scrolls by itself where the page is narrow.

    Args:
        head: over the columns.
        rows: the cells, texts.
        words: the columns that are words; the others are numbers, at the right of their cells.
    """

    def line(cells: Sequence[str], tag: str) -> str:
        made = (
            f"<{tag}><bdi>{text(cell)}</bdi></{tag}>"
            if k in words
            else f'<{tag} class="number">{text(cell)}</{tag}>'
            for k, cell in enumerate(cells)
        )
        return f"<tr>{''.join(made)}</tr>\n"

    body = line(head, "th") + "".join(line(row, "td") for row in rows)
    return f'<div class="scroll"><table>\n{body}</table></div>'


def address(kind: str, content: bytes) -> str:
    """Return a picture as a `data:` address; `kind` is "png", "gif" or "svg+xml"."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def picture(source: str, label: str, kind: str = "") -> str:
    """Return a picture that fills the window when it is clicked, and goes back at the next click.

    Args:
        source: its `data:` address.
        label: what it shows, for those who do not see it.
        kind: a class of the style.
    """
    named = f' class="{kind}"' if kind else ""
    return (
        f'<label class="zoom"><input type="checkbox" aria-label="enlarge {text(label)}">'
        f'<img{named} src="{source}" alt="{text(label)}"></label>'
    )
