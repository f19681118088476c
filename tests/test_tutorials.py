"""The tutorials: each runs, agrees with itself, and opens as a notebook of the promised parts."""

from __future__ import annotations

import runpy
from pathlib import Path

import jupytext
import matplotlib.pyplot as plt
import pytest
import torch

from tests.tiers import Each

FOLDER = Path(__file__).resolve().parents[1] / "tutorials"
TUTORIALS = sorted(FOLDER.glob("*.py"))
# It trains for twelve epochs; `tests/cli/test_train.py` trains the same model for a few updates.
LONG = {"05_training_a_pde_to_read_digits"}


def test_tutorials_are_numbered_from_one_without_gaps() -> None:
    assert [int(path.name[:2]) for path in TUTORIALS] == list(range(1, len(TUTORIALS) + 1))


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.deep] if path.stem in LONG else [])
        for path in TUTORIALS
    ],
)
def test_tutorial_runs_shows_pictures_and_leaves_no_files(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[int] = []

    def show() -> None:
        shown.append(len(plt.get_fignums()))
        for number in plt.get_fignums():
            plt.figure(number).canvas.draw()  # what a notebook does: mistakes in labels show here
        plt.close("all")

    monkeypatch.setattr(plt, "show", show)
    monkeypatch.chdir(tmp_path)
    # A reader's machine is the tutorial's alone; here workers share the cores.
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    runpy.run_path(str(path), run_name="__main__")  # its own assertions are the test
    assert len(shown) >= 2
    assert shown == [1] * len(shown)
    assert len(capsys.readouterr().out.splitlines()) >= 5
    assert list(tmp_path.iterdir()) == []


def test_tutorials_open_as_notebooks_of_the_promised_parts(each: Each) -> None:
    for path, held in each(TUTORIALS, key=lambda path: path.stem):
        with held:
            check_parts(path)


def check_parts(path: Path) -> None:
    notebook = jupytext.read(path)
    assert notebook.metadata["jupytext"]["text_representation"]["format_name"] == "percent"
    cells = notebook.cells
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    programs = [cell.source for cell in cells if cell.cell_type == "code"]
    assert texts[0].startswith(f"# {int(path.name[:2])}. ")
    assert "**Question.**" in texts[0]
    assert "**Equation.**" in texts[0]
    assert texts[1].startswith("## By hand, in NumPy")
    # First without pdenet, then the same numbers with it.
    first = next(k for k, program in enumerate(programs) if "import pdenet" in program)
    assert first >= 1
    assert "assert" in "".join(programs[first:])
    assert texts[-1].startswith("## Exercise")
    assert cells[-1].cell_type == "markdown"


def test_tutorials_survive_the_way_through_a_notebook(each: Each) -> None:
    for path, held in each(TUTORIALS, key=lambda path: path.stem):
        with held:
            read = jupytext.read(path)
            notebook = jupytext.reads(jupytext.writes(read, fmt="ipynb"), fmt="ipynb")
            again = jupytext.reads(jupytext.writes(notebook, fmt="py:percent"), fmt="py:percent")
            assert [c.source for c in again.cells] == [c.source for c in read.cells]
