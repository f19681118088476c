"""The tables of docs/results.md: their numbers, and what is around them stays."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from benchmarks.results import Row, replace_section, table
from pdenet.errors import ResultError


def test_the_table_has_mean_deviation_and_smallest() -> None:
    values = (97.5, 99.25, 98.0)
    *_, line = table([Row("a|b", 1234567, values, (10.0, 20.0, 31.0))]).splitlines()
    cells = line.removeprefix(r"| a\|b |").strip(" |").split(" | ")
    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    assert cells == ["1,234,567", f"{mean:.2f} ± {deviation:.2f}", "97.50", "20"]


def test_one_seed_has_no_deviation() -> None:
    assert "±" not in table([Row("a", 1, (97.5,), (10.0,))])


def test_only_what_is_between_the_marks_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "results.md"
    path.write_text(
        "# Results\n\n<!-- a:begin -->\nold\n<!-- a:end -->\n\nafter <!-- b:begin -->\n"
    )
    replace_section(path, "a", "new\n\n| ü |\n")
    assert path.read_text(encoding="utf-8") == (
        "# Results\n\n<!-- a:begin -->\nnew\n\n| ü |\n<!-- a:end -->\n\nafter <!-- b:begin -->\n"
    )
    before = path.read_bytes()
    replace_section(path, "a", "new\n\n| ü |")
    assert path.read_bytes() == before


def test_a_file_without_marks_gets_them_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "results.md"
    replace_section(path, "a", "one")
    assert path.read_text() == "<!-- a:begin -->\none\n<!-- a:end -->\n"
    replace_section(path, "b", "two")
    assert path.read_text() == (
        "<!-- a:begin -->\none\n<!-- a:end -->\n\n<!-- b:begin -->\ntwo\n<!-- b:end -->\n"
    )


@pytest.mark.parametrize(
    "content",
    [
        "<!-- a:begin -->\n",
        "<!-- a:end -->\n",
        "<!-- a:end --> <!-- a:begin -->",
        "<!-- a:begin --><!-- a:begin --><!-- a:end -->",
        "<!-- a:begin --><!-- a:end --><!-- a:end -->",
    ],
)
def test_marks_that_are_no_pair_are_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "results.md"
    path.write_text(content)
    with pytest.raises(ResultError, match="by hand"):
        replace_section(path, "a", "new")
    assert path.read_text() == content
