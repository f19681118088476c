"""The table of the document on symmetries is what is computed."""

from __future__ import annotations

from pathlib import Path

from pdenet.equation.catalogue import catalogue
from pdenet.symmetry.equation.symmetries import Symmetries
from tests.symmetry.equation.known import FEW, known
from tests.tiers import both_tiers

PAGE = Path(__file__).parents[3] / "docs" / "symmetry_equations.md"
HEAD = (
    "| equation | turns, mirrors | reversals | translations | scalings | internal | generators |\n"
    "|---|---|---|---|---|---|---|"
)


def row(name: str, s: Symmetries) -> str:
    shifts = ", ".join(one.axis for one in s.translations) or "none"
    cells = [f"`{name}`", str(len(s.lattice)), str(len(s.reversals)), shifts]
    if s.is_family:
        cells += ["", "family", ""]
    else:
        cells += [
            str(len(s.scalings)),
            s.internal.name.partition(":")[0],
            str(len(s.generators)),
        ]
    return f"| {' | '.join(cells)} |"


@both_tiers
def test_the_table_of_the_catalogue_is_what_is_computed(deep: bool) -> None:
    page = PAGE.read_text(encoding="utf-8")
    rows = [row(name, known(name)) for name in catalogue if deep or name in FEW]
    table = "\n".join([HEAD, *rows])
    if deep:
        assert table in page, f"the table of {PAGE.name} should be\n{table}"
    else:
        assert [line for line in table.splitlines() if line not in page.splitlines()] == []
