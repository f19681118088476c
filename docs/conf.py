"""How Sphinx builds the documents: `make docs`, with warnings as errors."""

from __future__ import annotations

import re
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "pdenet"
author = "the pdenet authors"
project_copyright = f"2026, {author}"
version = release = installed_version("pdenet")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates"]
html_theme = "furo"
html_title = f"pdenet {version}"

# Pages of names that differ in case only would be one file where file names have no case.
autosummary_filename_map = {
    f"pdenet.{name}": f"pdenet.{name}_"
    for name in (
        "fit",
        *(
            f"symmetry.{n}"
            for n in ("canonical", "count", "group", "modes", "pareto", "stabiliser")
        ),
    )
}

myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3

# `name` in a docstring is code, as in Markdown.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
# Two folders have a Layout, and files re-export names of their neighbours.
suppress_warnings = ["ref.python"]
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
# Attributes of dataclasses as a list, or each would be described twice.
napoleon_use_ivar = True

_CODE = re.compile(r"(``.*?``|`[^`]*`)")
_MARKUP = re.compile(r"[|*]|(?<=\w)_(?!\w)")


def escape_mathematics(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Let |u|, c**2 and u_ in a docstring's prose mean themselves, not markup."""
    literal_indent: int | None = None
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        indent = len(line) - len(line.lstrip())
        if literal_indent is not None and indent > literal_indent:
            continue  # inside a literal block
        literal_indent = indent if line.rstrip().endswith("::") else None
        if line.lstrip().startswith((">>>", "...", "..")):
            continue
        pieces = _CODE.split(line)
        pieces[::2] = [_MARKUP.sub(r"\\\g<0>", prose) for prose in pieces[::2]]
        lines[number] = "".join(pieces)


def setup(app: Sphinx) -> None:
    """Escape before napoleon (priority 500) adds markup of its own."""
    app.connect("autodoc-process-docstring", escape_mathematics, priority=400)
