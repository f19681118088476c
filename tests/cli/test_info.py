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


def test_symmetries_are_shown_with_reasons_when_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["info", "rotation"]) == 0
    assert "quarter turn" not in capsys.readouterr().out
    assert main(["info", "rotation", "--symmetries"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^ +quarter turn$", shown, re.MULTILINE)
    assert "not mirror x → −x: omega x u_y" in shown
    assert main(["info", "eq3", "--option", "n=4", "--symmetries"]) == 0
    assert "the index j stands three times" in capsys.readouterr().out
