"""What a page is made of: sections with an equation, pictures and measured errors.

Every part of the demo is a function that returns a `Section`; the page and the summary in the
terminal read nothing else. A new part is a new function in `command.SECTIONS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

Progress = Callable[[str], None]
"""Told the name of each piece of work as it begins."""


@dataclass(frozen=True)
class Check:
    """One measured error beside its tolerance.

    Attributes:
        name: what is compared with what.
        measured: the error.
        tolerance: what it may be.
        unit: the unit of both, such as "grey levels" or "%".
    """

    name: str
    measured: float
    tolerance: float
    unit: str

    @property
    def is_met(self) -> bool:
        """Whether the error is within its tolerance; NaN is not."""
        return math.isfinite(self.measured) and self.measured <= self.tolerance

    @property
    def measured_text(self) -> str:
        """The error with its unit."""
        return f"{self.measured:#.2g} {self.unit}"

    @property
    def tolerance_text(self) -> str:
        """The tolerance with its unit."""
        return f"{self.tolerance:.3g} {self.unit}"


@dataclass(frozen=True)
class Picture:
    """One picture with its caption.

    Attributes:
        uri: the picture as a `data:` address.
        caption: a few words below it.
        width: its width on the page in pixels.
        note: a second, fainter line.
        check: the measured error of what it shows.
    """

    uri: str
    caption: str
    width: int
    note: str = ""
    check: Check | None = None


@dataclass(frozen=True)
class Section:
    """One part of the page.

    Attributes:
        title: its heading.
        equation: the equation, drawn as an SVG element.
        text: the equation as text, for readers without pictures.
        words: what is shown and what it is compared with.
        code: the lines of Python that do it.
        rows: rows of pictures.
        checks: the measured errors.
    """

    title: str
    equation: str
    text: str
    words: str
    code: str
    rows: tuple[tuple[Picture, ...], ...]
    checks: tuple[Check, ...]
