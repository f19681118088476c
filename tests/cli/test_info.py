"""`pdenet info`: what an equation of the catalogue is and compiles to."""

from __future__ import annotations

import re

import pytest

from pdenet.cli import main


@pytest.mark.parametrize("name", ["eq2", "eq3", "eq4", "eq5", "eq6", "eq7", "eq9"])
def test_an_example_is_as_large_as_the_option_says(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", name, "--option", "n=4"]) == 0
    shown = capsys.readouterr().out
    assert "n = 4" in shown
    assert "as a network" in shown
    assert re.search(r"1×1 convolution \d+ → (4|8|12)", shown)
