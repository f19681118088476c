"""The command itself: help at once, everything by name, faults shown as sentences."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

import pdenet as pn
from pdenet.cli import main, solve

ROOT = Path(__file__).resolve().parents[2]


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("arguments", [["--help"], ["solve", "--help"], ["demo", "--help"], []])
def test_help_is_shown(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert "usage: pdenet" in capsys.readouterr().out


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from pdenet.cli import main; main(['solve', '--help']); "
        "print([m for m in ('torch', 'scipy', 'matplotlib', 'xarray', 'zarr', 'skimage') "
        "if m in sys.modules])"
    )
    assert run_python(code).stdout.splitlines()[-1] == "[]"


def test_help_is_there_within_a_second() -> None:
    # Of processor time, since other processes share the machine, and the best of five.
    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    best = float("inf")
    for _ in range(5):
        began = used()
        run_python("from pdenet.cli import main; main(['--help'])")
        best = min(best, used() - began)
    assert best < 1.0


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    # "unknown" where the tests run from a source tree that is not installed
    assert capsys.readouterr().out in (f"pdenet {pn.__version__}\n", "pdenet unknown\n")


def test_info_lists_every_equation(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    shown = capsys.readouterr().out
    for name, pde in pn.catalogue.items():
        assert f"\n{name} " in f"\n{shown}"
        assert str(pde).splitlines()[0] in shown


@pytest.mark.parametrize("name", list(pn.catalogue))
def test_info_says_everything(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", name, "--points", "12"]) == 0
    shown = capsys.readouterr()
    pde = pn.catalogue[name]
    assert shown.err == ""
    assert str(pde.analysis) in shown.out
    assert pde.source in shown.out
    for p in pde.parameters:
        assert p.name in shown.out
        assert p.unit in shown.out
        assert p.description in shown.out
        assert p.default is None or str(p.default) in shown.out
    assert "dt <= " in shown.out
    assert "(chosen)" in shown.out


def test_info_gives_the_known_bound(capsys: pytest.CaptureFixture[str]) -> None:
    # h²/(4D) = (2/32)²/(4 · 0.1)
    assert main(["info", "heat", "--points", "32"]) == 0
    assert f"dt <= {(2 / 32) ** 2 / 0.4:.6g}  (chosen)" in capsys.readouterr().out


def test_an_unexpected_fault_is_a_sentence_and_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: object) -> int:
        raise TypeError("nobody foresaw this")

    monkeypatch.setattr(solve, "run", broken)
    monkeypatch.delenv("PDENET_TRACEBACK", raising=False)
    assert main(["solve", "heat"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("pdenet: error: TypeError: nobody foresaw this.")
    assert "Traceback" not in error
    monkeypatch.setenv("PDENET_TRACEBACK", "1")
    with pytest.raises(TypeError, match="nobody foresaw"):
        main(["solve", "heat"])


def test_a_closed_pipe_is_no_fault() -> None:
    code = "import sys; from pdenet.cli import main; sys.exit(main(['info']))"
    made = subprocess.run(
        f"{sys.executable} -c \"{code}\" | head -1",
        shell=True, cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert made.stdout.startswith("heat ")
    assert made.stderr == ""
