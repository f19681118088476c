"""Matrix: the confusion of a few classes as an SVG element, coloured by the style of the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

_CELL = 34
_LETTER = 7.4
"""The width of a letter of 13 units."""

_MOST_LETTERS = 14


def matrix(confusion: np.ndarray, names: Sequence[str]) -> str:
    """Return a confusion matrix: a number in each cell that is not 0.

    Args:
        confusion: shape (classes, classes), rows true, columns predicted.
        names: of the classes; long ones are cut, and whole in the title of their text.
    """
    count = len(names)
    short = [_shortened(name) for name in names]
    longest = max(map(len, short))
    is_narrow = longest <= 3  # names of columns stand upright then
    left = 30 + _LETTER * longest
    top = 44 if is_narrow else 30 + _LETTER * longest
    width, height = left + _CELL * count + 4, top + _CELL * count + 4
    middle = _CELL * count / 2
    parts = [f'<svg class="matrix" viewBox="0 0 {width:.0f} {height:.0f}" role="img" ']
    parts.append(
        f'aria-label="confusion matrix" style="width:{width:.0f}px;min-width:{0.75 * width:.0f}px">'
    )
    parts.append(_text(f'x="{left + middle:.1f}" y="14"', "predicted", "axis"))
    side = f'transform="translate(14 {top + middle:.1f}) rotate(-90)"'
    parts.append(_text(side, "true", "axis"))
    for k, (name, whole) in enumerate(zip(short, names, strict=True)):
        content = escape(name)
        if name != whole:
            content += f"<title>{escape(whole)}</title>"
        at = _CELL * (k + 0.5)
        beside = f'x="{left - 6:.1f}" y="{top + at:.1f}" dy=".35em"'
        parts.append(_text(beside, content, anchor="end"))
        if is_narrow:
            parts.append(_text(f'x="{left + at:.1f}" y="{top - 8:.1f}"', content))
        else:
            turned = f'transform="translate({left + at:.1f} {top - 6:.1f}) rotate(-90)" dy=".35em"'
            parts.append(_text(turned, content, anchor="start"))
    for row, numbers in enumerate(confusion.tolist()):
        for column, number in enumerate(numbers):
            share = number / sum(numbers) if number else 0.0
            x, y = left + _CELL * column, top + _CELL * row
            parts.append(_cell(x, y, number, share, is_hit=row == column))
    return "".join(parts) + "</svg>"


def _cell(x: float, y: float, number: int, share: float, *, is_hit: bool) -> str:
    size = _CELL - 2
    square = f'x="{x + 1:.1f}" y="{y + 1:.1f}" width="{size}" height="{size}" rx="2"'
    made = f'<rect class="cell" {square}/>'
    if not number:
        return made
    # Mistakes are rare: by the square root one in a hundred is seen.
    opacity = share if is_hit else 0.15 + 0.85 * math.sqrt(share)
    made += f'<rect class="{"hit" if is_hit else "miss"}" {square} fill-opacity="{opacity:.2f}"/>'
    centre = f'x="{x + _CELL / 2:.1f}" y="{y + _CELL / 2:.1f}" dy=".35em"'
    if number >= 1000:  # four digits of 13 units are as wide as the cell
        centre += ' style="font-size:10px"'
    return made + _text(centre, str(number), "strong" if opacity > 0.55 else "")


def _text(where: str, content: str, kind: str = "", anchor: str = "middle") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} {where} text-anchor="{anchor}">{content}</text>'


def _shortened(name: str) -> str:
    return name if len(name) <= _MOST_LETTERS else name[: _MOST_LETTERS - 1] + "…"
