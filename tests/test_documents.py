"""The Python blocks of the README and of the documents run as they are printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pdenet as pn
from pdenet import symmetry

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[str]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def run(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the blocks of a page in order, as one program that stands in an empty folder."""
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    for k, block in enumerate(blocks(page)):
        exec(compile(block, f"{page.name}, block {k}", "exec"), names)  # noqa: S102 - our own pages


@pytest.mark.parametrize("page", [p for p in PAGES[1:] if blocks(p)], ids=lambda p: p.name)
def test_code_blocks_run_in_order(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(page, tmp_path, monkeypatch)


def test_the_readme_runs_and_its_comments_say_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lines such as `print(eq3)  # …` stand beside their output."""
    run(PAGES[0], tmp_path, monkeypatch)
    printed = capsys.readouterr().out.splitlines()
    readme = "\n".join(blocks(PAGES[0]))
    promised = re.findall(r"^print\(.*?\)\s+# (.*)$", readme, re.MULTILINE)
    assert len(promised) == 9
    assert printed == promised
    assert (tmp_path / "heat.gif").exists()


def test_the_readme_counts_the_catalogue() -> None:
    found = re.search(r"the catalogue: (\d+) equations", PAGES[0].read_text(encoding="utf-8"))
    assert found is not None
    assert int(found[1]) == len(pn.catalogue)


def test_the_api_page_lists_every_public_name() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    listed = {
        name for line in page.splitlines() if (name := line.strip()).replace(".", "").isidentifier()
    }
    missing = {*pn.__all__, *symmetry.__all__} - listed
    # Errors and warnings are one page together.
    assert {name for name in missing if not name.endswith(("Error", "Warning"))} == set()
    assert "errors" in listed
