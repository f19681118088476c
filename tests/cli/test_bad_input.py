"""Bad command lines and files: one sentence, exit status 2, never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdenet.cli import main

# name -> (arguments, a part of the message that names the fault or the way out)
COMMAND_LINES: dict[str, tuple[tuple[str, ...], str]] = {
    "unknown command": (("slove", "heat"), "Did you mean 'solve'?"),
    "no target": (("solve",), "required: NAME|FILE.toml"),
    "unknown equation": (("solve", "haet"), "Did you mean 'heat'?"),
    "unknown equation in info": (("info", "wvae"), "Did you mean 'wave'?"),
    "unknown argument": (("solve", "heat", "--pionts", "8"), "Did you mean '--points'?"),
    "missing value": (("solve", "heat", "--points"), "expected one argument"),
    "value that looks like an option": (("solve", "heat", "--initial", "-x"), "--option=VALUE"),
    "unknown option": (("solve", "heat", "--option", "dimenson=1"), "Did you mean 'dimension'?"),
    "bad option": (("solve", "heat", "--option", "dimension=4"), "dimension= 1, 2, 3"),
    "option without value": (("solve", "heat", "--option", "dimension"), "dimension=1"),
    "negative points": (("solve", "heat", "--points", "-8"), "points are a positive integer"),
    "points that are no integer": (("solve", "heat", "--points", "8.5"), "positive integer"),
    "one point": (("solve", "heat", "--points", "1"), "at least 2 points"),
    "points for an unknown axis": (("solve", "heat", "--points", "z=8"), "--option dimension"),
    "short grid": (("solve", "heat", "--grid", "x=-1:1"), "x=-1:1:128"),
    "grid backwards": (("solve", "heat", "--grid", "x=1:-1:8"), "low < high"),
    "grid of words": (("solve", "heat", "--grid", "x=left:1:8"), "left"),
    "grid without axis": (("solve", "heat", "--grid", "-1:1:8"), "--option=VALUE"),
    "bad boundary": (("solve", "heat", "--boundary", "x=dirichelt:0"), "Did you mean 'dirichlet'?"),
    "boundary of nothing": (("solve", "heat", "--boundary", "x="), "x=dirichlet:0,neumann:1"),
    "three conditions": (("solve", "heat", "--boundary", "x=free,free,free"), "axis x"),
    "half periodic": (("solve", "heat", "--boundary", "x=periodic,free"), "x high"),
    "robin without b": (("solve", "heat", "--boundary", "x=robin:1"), "robin:a:b"),
    "periodic with a value": (("solve", "heat", "--boundary", "x=periodic:1"), "is written"),
    "boundary of an unknown field": (("solve", "heat", "--boundary", "x.w=free"), "'w'"),
    "unknown name in a boundary": (("solve", "heat", "--boundary", "x=dirichlet:q"), "q"),
    "unknown parameter": (("solve", "kdv", "--set", "D=1"), "the parameters are none"),
    "misspelt parameter": (("solve", "rotation", "--set", "omgea=1"), "Did you mean 'omega'?"),
    "parameter of words": (("solve", "heat", "--set", "D=large"), "large"),
    "parameter without value": (("solve", "heat", "--set", "D"), "--set D=0.2"),
    "broken rows": (("solve", "eq9", "--set", "A=[[1,0],[0"), "[[1, 0], [0, 1]]"),
    "rows nested deeply": (("solve", "eq9", "--set", "A=" + "[" * 100_000), "[[1, 0], [0, 1]]"),
    "uneven rows": (("solve", "eq9", "--set", "A=[[1,0],[0]]"), "one length"),
    "missing array": (("solve", "eq9", "--set", "A=none.npy"), "none.npy"),
    "hostile expression": (
        ("solve", "heat", "--initial", "__import__('os').system('touch executed')"), ""),
    "hostile power": (("solve", "heat", "--initial", "9**9**9**9"), ""),
    "hostile parameter": (("solve", "heat", "--set", "D=().__class__"), ""),
    "unknown name in the initial state": (("solve", "heat", "--initial", "exp(-w)"), "'w'"),
    "unknown field": (("solve", "wave_system", "--initial", "w=1"), "the fields are u, v"),
    "one expression for two fields": (("solve", "gray_scott", "--initial", "1"), "u, v"),
    "empty initial state": (("solve", "heat", "--initial", ""), "an expression, a file"),
    "missing picture": (("solve", "heat", "--initial", "none.png"), "none.png"),
    "picture on a line": (
        ("solve", "burgers_1d", "--initial", "none.png"), "two dimensions"),
    "until before start": (("solve", "heat", "--start", "2", "--until", "1"), "not before start"),
    "until of words": (("solve", "heat", "--until", "tomorrow"), "tomorrow"),
    "every of zero": (("solve", "heat", "--every", "0"), "every is a positive time"),
    "dt above the bound": (("solve", "heat", "--dt", "1"), "stable limit"),
    "negative dt": (("solve", "heat", "--dt=-1"), "positive finite"),
    "dt of words": (("solve", "heat", "--dt", "small"), "small"),
    "backward heat": (("solve", "heat", "--set", "D=-1"), ""),
    "unknown stepper": (("solve", "heat", "--stepper", "rk5"), "rk4"),
    "unknown space": (("solve", "heat", "--space", "centrl2"), "central2"),
    "unknown dtype": (("solve", "heat", "--dtype", "float16"), "float64, float32"),
    "unknown backend": (("solve", "heat", "--backend", "numpi"), "Did you mean 'numpy'?"),
    "unknown stability": (("solve", "heat", "--stability", "refse"), "Did you mean 'refuse'?"),
    "unknown movie": (("solve", "heat", "--movie", "gfi"), "Did you mean 'gif'?"),
    "grid beyond memory": (("solve", "heat", "--points", "9999999"), "bytes"),
    "output is a file": (("solve", "heat", "--output", "file"), "folder"),
    "demo into a file": (("demo", "--output", "file"), "folder"),
    "missing file": (("solve", "none.toml"), "none.toml"),
    "options for a file": (("solve", "file.toml", "--option", "n=1"), "[options]"),
}  # fmt: skip

FILES: dict[str, tuple[str, str]] = {
    "no TOML": ("equation = u_t = u_xx", "is no TOML"),
    "empty": ("", "neither"),
    "two equations": ('equation = "u_t = u_xx"\ncatalogue = "heat"', "both"),
    "unknown key": ('equatoin = "u_t = u_xx"', "Did you mean 'equation'?"),
    "unknown key in a table": ('catalogue = "heat"\n[time]\nuntill = 1', "Did you mean 'until'?"),
    "a text for a table": ('catalogue = "heat"\ngrid = "x"', "[grid]"),
    "a number for a text": ('catalogue = "heat"\nname = 3', "is a text"),
    "a number for an equation": ("equation = 3", "is a text"),
    "unknown entry": ('catalogue = "haet"', "Did you mean 'heat'?"),
    "no time derivative": ('equation = "u = u_xx"', "time derivative"),
    "hostile equation": ('equation = "u_t = __import__(1)"', ""),
    "options of a text": ('equation = "u_t = u_xx"\n[options]\ndimension = 1', "[options]"),
    "unknown option": ('catalogue = "heat"\n[options]\nsize = 1', "the options dimension"),
    "no grid": ('equation = "u_t = u_xx"', "every axis needs a grid"),
    "no boundary": ('equation = "u_t = u_xx"\n[grid]\nx = [0, 1, 9]', "needs a boundary"),
    "no initial state": (
        'equation = "u_t = u_xx"\n[grid]\nx = [0, 1, 9]\n[boundary]\nx = "periodic"',
        "needs an initial state",
    ),
    "no end": (
        'equation = "u_t = u_xx"\ninitial = 1\n[grid]\nx = [0, 1, 9]\n[boundary]\nx = "periodic"',
        "needs its end",
    ),
    "singular coefficient": (
        'equation = "u_t = u_x/x"\ninitial = 1\ngrid.x = [-1, 1, 9]\nboundary.x = "free"',
        "at cell (4,) (x = 0)",
    ),
    "unknown axis": (
        'catalogue = "burgers_1d"\n[grid]\ny = [0, 1, 9]',
        "the axes of this equation",
    ),
    "points as a decimal": ('catalogue = "kdv"\n[grid]\nx = [0, 1, 9.5]', "positive integer"),
    "a truth for a number": ('catalogue = "heat"\n[parameters]\nD = true', "is a number"),
    "a number for a condition": ('catalogue = "heat"\n[boundary]\nx = 0', "x"),
    "unknown field": ('catalogue = "heat"\n[initial]\nw = "1"', "the fields are u"),
    "a truth for a step": ('catalogue = "heat"\n[solver]\ndt = true', "dt"),
    "a number for a stepper": ('catalogue = "heat"\n[solver]\nstepper = 4', "4"),
    "a number for a device": ('catalogue = "heat"\n[solver]\ndevice = 4', "4"),
    "a list for an initial state": ('catalogue = "heat"\n[initial]\nu = [1]', "is a number"),
}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")


def _refused(arguments: tuple[str, ...], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(arguments)
    shown = capsys.readouterr()
    assert status == 2, shown.err
    assert shown.err.startswith("pdenet: error: ")
    assert "Traceback" not in shown.err + shown.out
    assert "fault of pdenet" not in shown.err
    assert expected in shown.err
    # Refused before anything was computed or written; hostile text did not run.
    assert {path.name for path in Path.cwd().iterdir()} <= {"file", "file.toml"}


@pytest.mark.parametrize("case", COMMAND_LINES)
def test_a_bad_command_line_is_refused_in_one_sentence(
    case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _refused(*COMMAND_LINES[case], capsys)


@pytest.mark.parametrize("case", FILES)
def test_a_bad_file_is_refused_in_one_sentence(
    case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text, expected = FILES[case]
    Path("file.toml").write_text(text, encoding="utf-8")
    _refused(("solve", "file.toml"), expected, capsys)
