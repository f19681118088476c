"""The command itself: help at once, everything by name, faults shown as sentences."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import pdenet as pn
from pdenet.cli import main, solve
from pdenet.cli.main import _COMMANDS
from tests.tiers import Each, mostly_deep

ROOT = Path(__file__).resolve().parents[2]

HEAVY = ("sympy", "numpy", "torch", "scipy", "matplotlib", "xarray", "zarr", "skimage")


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize("arguments", [["--help"], ["solve", "--help"], ["demo", "--help"], []])
def test_help_is_shown(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert "usage: pdenet" in capsys.readouterr().out


HELP = {"--version": "pdenet ", "--help": "usage: pdenet"} | {
    f"{command} --help": f"usage: pdenet {command}" for command in _COMMANDS
}


def test_help_and_version_load_no_sympy_numpy_or_torch(each: Each) -> None:
    # One interpreter for all: what one of them loads is seen by those after it, and named by it.
    code = (
        "import json, sys; from pdenet.cli import main\n"
        "for text in json.loads(sys.argv[1]):\n"
        "    print(f'<{text}>'); main(text.split())\n"
        f"    print([m for m in {HEAVY} if m in sys.modules])"
    )
    made = run_python(code, json.dumps(list(HELP)))
    assert made.stderr == ""
    for text, cell in each(HELP):
        with cell:
            shown = made.stdout.partition(f"<{text}>\n")[2].partition("\n<")[0]
            assert shown.startswith(HELP[text])
            assert shown.splitlines()[-1] == "[]"


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


@pytest.mark.parametrize("name", mostly_deep(pn.catalogue, {"heat", "shallow_water", "eq3"}))
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
