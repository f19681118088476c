"""The Python blocks of the README and of the documents run as they are printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pdenet as pn

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[str]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda p: p.name)
def test_code_blocks_run_in_order(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for k, block in enumerate(blocks(page)):
        exec(compile(block, f"{page.name}, block {k}", "exec"), names)  # noqa: S102 - our own pages


def test_comments_of_the_readme_say_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines such as `print(eq3)  # …` stand beside their output."""
    readme = "\n".join(b.replace('result.movie("heat.gif")', "") for b in blocks(PAGES[0]))
    exec(compile(readme, "README.md", "exec"), {})  # noqa: S102 - our own page
    printed = capsys.readouterr().out.splitlines()
    promised = re.findall(r"^print\(.*?\)\s+# (.*)$", readme, re.MULTILINE)
    assert len(promised) == 9
    assert printed == promised


def test_the_readme_counts_the_catalogue() -> None:
    found = re.search(r"the catalogue: (\d+) equations", PAGES[0].read_text(encoding="utf-8"))
    assert found is not None
    assert int(found[1]) == len(pn.catalogue)
