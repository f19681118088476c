"""`pdenet solve`: every scalar equation runs, files and options mean what they say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import pdenet as pn
from pdenet.cli import main
from pdenet.cli.presets import preset_for
from tests.tiers import mostly_deep

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "fisher.toml"

QUIET = ("--movie", "none")


def solve(*arguments: str | int | Path) -> int:
    return main(["solve", *map(str, arguments)])


def test_every_entry_of_the_catalogue_has_a_preset() -> None:
    assert [name for name in pn.catalogue if preset_for(pn.catalogue[name]) is None] == []


@pytest.mark.parametrize("name", mostly_deep(pn.catalogue, {"heat", "wave", "kdv", "eq3", "eq9"}))
def test_every_entry_of_the_catalogue_solves(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = solve(name, "--points", 12, "--until", "0.02", "--every", "0.01", *QUIET,
                   "--output", tmp_path / "made")  # fmt: skip
    shown = capsys.readouterr()
    assert (status, shown.err) == (0, "")
    pde = pn.catalogue[name]
    # What a user is told: the equation, the scheme with its bound, and where the data are.
    for line in str(pde).splitlines():
        assert line in shown.out
    for word in ("stable", "dt", "scheme", f"{name}.zarr"):
        assert word in shown.out
    result = pn.Result.open(tmp_path / "made" / f"{name}.zarr")
    np.testing.assert_allclose(result.times, [0.0, 0.01, 0.02], atol=1e-15)
    assert np.isfinite(result.states).all()
    assert np.ptp(result.states[0]) > 0  # something that can move


@pytest.mark.parametrize("dimension", mostly_deep([1, 2, 3], [1]))
def test_a_dimension_is_an_option(dimension: int, tmp_path: Path) -> None:
    assert solve("heat", "--option", f"dimension={dimension}", "--points", 10, "--until", "0.01",
                 "--output", tmp_path) == 0  # fmt: skip
    result = pn.Result.open(tmp_path / "heat.zarr")
    assert result.states.shape[2:] == (10,) * dimension
    assert (tmp_path / "heat.gif").read_bytes().startswith(b"GIF8")


def test_the_command_line_gives_the_same_bits_as_python(tmp_path: Path) -> None:
    assert solve(
        "heat", "--grid", "x=-1:1:21,y=0:pi:16", "--boundary", "x=dirichlet:0,neumann:sin(t)",
        "--boundary", "y=robin:1:0.5:x", "--set", "D=1/5", "--initial", "cos(x)*y^2",
        "--until", "0.05", "--every", "0.01", "--stepper", "rk4", "--space", "central2",
        "--dt", "0.001", "--data", "nc", *QUIET, "--output", tmp_path,
    ) == 0  # fmt: skip
    x, y, t = (pn.parse_expression(name, [name]) for name in "xyt")
    boundary = pn.Boundary(
        x=(pn.Dirichlet(0), pn.Neumann(pn.parse_expression("sin(t)", "t"))), y=pn.Robin(1, 0.5, x)
    )
    grid = pn.Grid(x=(-1, 1, 21), y=(0, np.pi, 16))
    solver = pn.catalogue["heat"].to_solver(
        grid, boundary, values={"D": 0.2}, stepper="rk4", space="central2", dt=0.001
    )
    expected = solver.run(pn.parse_expression("cos(x)*y^2", "xy"), until=0.05, every=0.01)
    found = pn.Result.open(tmp_path / "heat.nc")
    np.testing.assert_array_equal(found.states, expected.states)
    np.testing.assert_array_equal(found.times, expected.times)
    assert str(t) == "t"
    assert str(y) == "y"


def test_a_file_is_solved_and_the_command_line_comes_before_it(tmp_path: Path) -> None:
    assert solve(EXAMPLE, "--points", "x=24,y=20", "--until", "0.3", "--set", "r=1", *QUIET,
                 "--output", tmp_path) == 0  # fmt: skip
    result = pn.Result.open(tmp_path / "fisher.zarr")
    assert result.states.shape[1:] == (1, 20, 24)
    np.testing.assert_allclose(result.times, [0.0, 0.15, 0.3])
    assert result.attributes["parameters"] == '{"D": 0.005, "r": 1.0}'
    np.testing.assert_array_equal(result.states[:, 0, :, 0], 0.0)  # Dirichlet at low x
    assert result.nodes[1][0] == -np.pi / 4


def test_a_condition_belongs_to_one_field(tmp_path: Path) -> None:
    # A closed box of sound: no flow through the walls, the pressure is free. With --boundary x.p
    # alone the other fields keep what was said before.
    walls = [
        part
        for axis, normal, along in (("x", "u", "v"), ("y", "v", "u"))
        for name, kind in (("p", "neumann"), (normal, "dirichlet:0"), (along, "neumann"))
        for part in ("--boundary", f"{axis}.{name}={kind}")
    ]
    assert solve("acoustics", "--boundary", "neumann", *walls, "--points", 17, "--until", "0.5",
                 *QUIET, "--output", tmp_path) == 0  # fmt: skip
    states = pn.Result.open(tmp_path / "acoustics.zarr").states
    np.testing.assert_array_equal(states[:, 1, :, [0, -1]], 0.0)
    np.testing.assert_array_equal(states[:, 2, [0, -1], :], 0.0)
    assert np.abs(states[-1, 1]).max() > 1e-3


def test_a_picture_is_an_initial_state_with_its_top_row_last(tmp_path: Path) -> None:
    from PIL import Image

    levels = np.zeros((8, 8), dtype=np.uint8)
    levels[0] = 255  # the top of the picture
    Image.fromarray(levels).save(tmp_path / "top.png")
    assert solve("heat", "--points", 8, "--boundary", "neumann", "--initial", tmp_path / "top.png",
                 "--until", "0.01", *QUIET, "--output", tmp_path / "made") == 0  # fmt: skip
    start = pn.Result.open(tmp_path / "made" / "heat.zarr").states[0, 0]
    np.testing.assert_array_equal(start[-1], 1.0)  # y grows with the row
    np.testing.assert_array_equal(start[:-1], 0.0)


def test_a_result_is_an_initial_state(tmp_path: Path) -> None:
    common = ("heat", "--points", 10, *QUIET)
    assert solve(*common, "--until", "0.02", "--output", tmp_path / "a") == 0
    assert solve(*common, "--start", "0.02", "--until", "0.03", "--output", tmp_path / "b",
                 "--initial", tmp_path / "a" / "heat.zarr") == 0  # fmt: skip
    before = pn.Result.open(tmp_path / "a" / "heat.zarr")
    after = pn.Result.open(tmp_path / "b" / "heat.zarr")
    np.testing.assert_array_equal(after.states[0], before.final)
    assert after.times[0] == 0.02


def test_coefficients_are_rows_or_arrays(tmp_path: Path) -> None:
    matrix = np.array([[0.0, 1.0], [1.0, 0.0]])
    np.save(tmp_path / "b.npy", 2 * matrix)
    assert solve("eq9", "--set", "A=[[0, 1], [1, 0]]", "--set", f"B={tmp_path / 'b.npy'}",
                 "--points", 10, "--until", "0.1", *QUIET, "--output", tmp_path) == 0  # fmt: skip


def test_an_older_result_is_not_replaced_unasked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("heat", "--points", 8, "--until", "0.01", *QUIET, "--output", tmp_path)
    assert [solve(*arguments), solve(*arguments), solve(*arguments, "--overwrite")] == [0, 2, 0]
    assert "--overwrite" in capsys.readouterr().err


def test_a_blow_up_is_one_sentence_and_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Forward Euler at eight times its bound grows by a factor of 15 a step, past 1e308 in 300.
    status = solve("heat", "--points", 8, "--dt", "2.5", "--stability", "ignore", "--until", "1500",
                   "--every", "2.5", *QUIET, "--output", tmp_path)  # fmt: skip
    error = capsys.readouterr().err
    assert status == 1
    assert error.startswith("pdenet: error: the state stays finite")
    assert "Traceback" not in error


def test_a_warning_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert solve("heat", "--points", 8, "--dt", "0.4", "--stability", "warn", "--until", "0.8",
                 "--every", "0.4", *QUIET, "--output", tmp_path) == 0  # fmt: skip
    first, *_ = capsys.readouterr().err.splitlines()
    assert first.startswith("pdenet: warning: dt = 0.4 is above the stable limit")


@pytest.mark.skipif(os.name == "nt", reason="SIGINT is sent differently there")
def test_ctrl_c_ends_with_130_and_leaves_the_finished_frames(tmp_path: Path) -> None:
    # A test run in the background of a shell inherits a SIGINT that is ignored.
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from pdenet.cli import main; sys.exit(main())"
    )
    arguments = ("solve", "heat", "--points", "16", "--until", "5e3", "--every", "0.1")
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments, *QUIET, "--output", str(tmp_path / "made")],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    store = tmp_path / "made" / "heat.zarr"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.1)
        if store.exists() and len(_frames(store)) > 3:
            break
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error == "pdenet: interrupted\n"
    assert len(_frames(store)) > 3


def _frames(store: Path) -> np.ndarray:
    try:
        return pn.Result.open(store).times
    except pn.PdenetError:
        return np.empty(0)
