"""The scripts of solvers/: each shows the error it promises, and runs as a program."""

from __future__ import annotations

import ast
import functools
import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import sympy as sp
from PIL import Image

import pdenet as pn
from solvers import boundaries, burgers, heat, wave
from tests.tiers import Each

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted(path.stem for path in (ROOT / "solvers").glob("*.py"))


@dataclass(frozen=True)
class Promise:
    """What a script promises.

    Attributes:
        points: mesh intervals of the coarser of two runs; the finer has twice as many.
        width: the length of the domain, so that h = width / points.
        errors: name -> (C, p): the error is at most C h^p, and 2^p times smaller for h/2.
        options: further options of the command line.
    """

    points: int
    width: float
    errors: Mapping[str, tuple[float, float]]
    options: tuple[str, ...] = ()


# The constants are upper estimates of the leading term of the error, derived beside each.
PROMISES = {
    # A mode's rate is wrong by D π⁴ h² ((m⁴ + n⁴)/12 − 0.9/8 (m² + n²)²) (space; forward Euler at
    # 0.9 of its bound). Over t = 0.15, times its amplitude there, relative to the largest
    # temperature 0.8: 0.04 h² + 0.6 h² + 1.5 h² for the first three modes, the fourth is gone.
    "heat": Promise(32, 1, {"heat": (2.2, 2)}),
    # A mode runs late by ωt (k_x⁴ + k_y⁴)/k² h²/24; Σ aω · delay is 335 h², the largest u_t is
    # 10.5. Differences over two spacings have h → 2h. Leapfrog's own error works against that of
    # space, RK4's is of higher order.
    "wave": Promise(32, 1, {"u_tt": (32, 2), "(u, v)": (32, 2), "(p, q, r)": (128, 2)}),
    # central4: t v h⁴/30 ‖∂⁵u‖, v ≤ 0.8; an edge of jump 1 and length 6 under a blur of width
    # s = 0.05 has ‖∂⁵u‖² = 6 Γ(9/2)/(2π s⁹); the photograph's norm is about 0.6.
    # upwind: its viscosity h/2 per unit of speed adds a blur of √(2 · 0.8 h/2 · t), 0.14 and 0.1
    # here, twice the lens and more, so the order is between the ½ of a sharp edge and the 1 of a
    # smooth picture; it is tested apart. C says that less than a quarter of the picture is lost.
    "rotation": Promise(128, 2, {"upwind": (2.0, 0.5), "central4": (1.7e5, 4)}, ("--lens", "0.05")),
    # t h²/24 |∂³u|: a Gaussian's third derivative is at most 1.4/w³ of its height, w = 0.13; the
    # ring is 0.3 high where it meets itself. The wall of ZeroPadding stands h outside, so what it
    # returns is late by 2h: 2h · 0.3 · 0.61/w, twice where two reflections meet.
    "boundaries": Promise(
        64,
        2,
        {
            **dict.fromkeys(("Periodic", "Dirichlet", "Neumann", "Robin", "ZeroPadding"), (12, 2)),
            "ZeroPadding as Dirichlet": (5.8, 1),
        },
    ),
    # The front is a tanh(x/ℓ) with a = 0.75, ℓ = 2ν/a = 0.08: a (h/ℓ)²/6. Upwind's viscosity |u|h/2
    # with |u| ≤ 0.9 widens it by 0.9 h/(2ν) = 15 h, times a · max ξ/cosh² ξ = 0.75 · 0.45.
    "burgers": Promise(128, 2, {"upwind": (5.1, 1), "central2": (19.5, 2)}),
}


@functools.cache
def reported(script: str, points: int) -> dict[str, float]:
    """Run a script's main() in this process and return the errors that it reports."""
    module = importlib.import_module(f"solvers.{script}")
    options = PROMISES[script].options
    # A picture takes longer than most of these runs; that of the coarser one is drawn.
    is_drawn = points == PROMISES[script].points
    quiet = nullcontext() if is_drawn else mock.patch("matplotlib.figure.Figure.savefig")
    with tempfile.TemporaryDirectory() as folder, quiet:
        output = str(Path(folder) / "picture.png")
        found: dict[str, float] = module.main(
            ["--points", str(points), "--output", output, *options]
        )
    return found


CELLS = [(script, name) for script, promise in PROMISES.items() for name in promise.errors]


def test_every_script_has_a_promise() -> None:
    assert sorted(PROMISES) == SCRIPTS
    assert all(reported(s, p.points).keys() == p.errors.keys() for s, p in PROMISES.items())


def test_reported_error_is_below_its_estimate(each: Each) -> None:
    for (script, name), held in each(CELLS, key=": ".join):
        with held:
            promise = PROMISES[script]
            constant, order = promise.errors[name]
            for points in (promise.points, 2 * promise.points):
                # A fifth more for the next term of the error on these grids.
                bound = 1.2 * constant * (promise.width / points) ** order
                assert reported(script, points)[name] <= bound


def test_halving_the_spacing_divides_the_error_as_promised(each: Each) -> None:
    for (script, name), held in each(CELLS, key=": ".join):
        with held:
            promise = PROMISES[script]
            coarse, fine = (reported(script, k * promise.points)[name] for k in (1, 2))
            ratio = coarse / fine
            if (script, name) == ("rotation", "upwind"):
                assert 2**0.5 < ratio < 2  # see above
            else:
                # An eighth: the next term of the error, which halving h at least halves.
                assert ratio == pytest.approx(2 ** promise.errors[name][1], rel=0.125)


@pytest.mark.parametrize(
    "script",
    # Python starts and imports the same each time; the scripts' own work is what `reported` ran.
    [pytest.param(s, marks=[] if s == "heat" else [pytest.mark.deep]) for s in SCRIPTS],
)
def test_script_runs_as_a_program_and_draws_a_picture(script: str, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    done = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "solvers" / f"{script}.py")]
        + ["--points", "24", "--output", str(picture)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "error" in done.stdout
    assert str(picture) in done.stdout
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    assert pixels.shape[1] > 1000
    # Something is drawn: neither blank nor only axes, which are black on white.
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_is_one_page_of_public_names(script: str) -> None:
    text = (ROOT / "solvers" / f"{script}.py").read_text(encoding="utf-8")
    assert 40 <= len(text.splitlines()) <= 120
    assert f"python solvers/{script}.py --points" in (ast.get_docstring(ast.parse(text)) or "")
    allowed = {"__future__", "argparse", "collections", "matplotlib", "numpy", "pdenet", "skimage"}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            assert all(name in allowed | {"sympy"} for name in names), names
        elif isinstance(node, ast.ImportFrom):
            module = str(node.module)
            assert module.split(".")[0] in allowed - {"pdenet"}, module
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert node.value.id != "pn" or node.attr in pn.__all__, node.attr


def test_readme_lists_every_script_with_its_command() -> None:
    rows = (ROOT / "solvers" / "README.md").read_text(encoding="utf-8").splitlines()
    for script in SCRIPTS:
        assert any(f"[{script}.py]({script}.py)" in row for row in rows)
        assert any(f"python solvers/{script}.py" in row for row in rows)


# The exact solutions themselves, from which every number above is measured.


def test_exact_temperature_solves_the_heat_equation_and_meets_its_walls() -> None:
    u, (t, x, y), D = heat.exact, (heat.t, heat.x, heat.y), heat.D
    assert sp.simplify(u.diff(t) - D * (u.diff(x, 2) + u.diff(y, 2))) == 0
    assert [u.subs(x, side) for side in (0, 1)] == [0, 0]
    assert [u.diff(y).subs(y, side) for side in (0, 1)] == [0, 0]


def test_exact_drum_solves_the_wave_equation_and_rests_at_its_rim() -> None:
    u, (t, x, y) = wave.exact, (wave.t, wave.x, wave.y)
    residual = u.diff(t, 2) - wave.SPEED**2 * (u.diff(x, 2) + u.diff(y, 2))
    # The speed is a float, so coefficients cancel to rounding: 1e-14 of the largest, 9π⁴.
    values = sp.lambdify((t, x, y), residual, "numpy")(
        0.3, *np.random.default_rng(1).random((2, 9))
    )
    assert np.abs(values).max() < 1e-11
    assert [u.subs(side, at) for side in (x, y) for at in (0, 1)] == [0] * 4
    # A drum that is let go: at rest at t = 0.
    assert u.diff(t).subs(t, 0) == 0


@pytest.mark.parametrize(("a", "sign"), [(np.inf, -1), (0.0, 1)], ids=["Dirichlet", "Neumann"])
def test_exact_wave_between_walls_is_that_of_mirror_images_without_walls(
    a: float, sign: int
) -> None:
    """Odd images make Dirichlet walls, even ones Neumann walls; Fourier solves the doubled box."""
    x, y = boundaries.x, boundaries.y
    images = _mirrored(boundaries.drop, x, sign)
    images = _mirrored(images, y, sign)
    box = pn.Grid(x=(-3, 1, 128), y=(-3, 1, 128))
    free = pn.exact_periodic(boundaries.wave, box, images, boundaries.UNTIL)[0, 0]
    nodes = np.linspace(-1, 1, 65)[:-1]
    # The images' tails beyond the walls are exp(−0.8²/2w²) = 6e-9 of the drop.
    assert np.abs(boundaries.exact(a, nodes, 1.0) - free[64:, 64:]).max() < 1e-7


def _mirrored(expression: sp.Expr, axis: sp.Symbol, sign: int) -> sp.Expr:
    """Add the image behind the wall at −1."""
    return expression + sign * expression.subs(axis, -2 - axis)


def test_exact_wave_meets_the_condition_of_robin_walls() -> None:
    step, a = 1e-3, 3.0
    u = boundaries.exact(a, np.array([-1, -1 + step, -1 + 2 * step]), 1.0)
    slope = (-3 * u[:, 0] + 4 * u[:, 1] - u[:, 2]) / (2 * step)
    # The slope's own error is step²/3 |u_xxx| ≤ 3e-7 · 0.3 · 1.4/w³ = 6e-5.
    assert np.abs(a * u[:, 0] - slope).max() < 1e-4
    assert np.abs(u[:, 0]).max() > 0.01  # the wall is felt


def test_exact_front_solves_burgers_equation() -> None:
    nodes, h, time, step = np.linspace(-1, 1, 401)[:-1], 2 / 400, 0.5, 1e-3
    u = burgers.exact(time, nodes)
    ahead, behind = np.roll(u, -1), np.roll(u, 1)
    rate = (burgers.exact(time + step, nodes) - burgers.exact(time - step, nodes)) / (2 * step)
    transport = (ahead**2 - behind**2) / (4 * h)
    spread = burgers.VISCOSITY * (ahead - 2 * u + behind) / h**2
    # Differences err by (h/ℓ)² /6 = 7e-4 of what they differentiate, a²/ℓ = 7, and the front's
    # width ℓ = 0.08; a factor 4 for the higher derivatives of tanh.
    assert np.abs(rate + transport - spread).max() < 0.02
    assert np.abs(rate).max() > 1  # all three terms are present
    # At the start it is the wave that the script starts with.
    early = burgers.exact(1e-6, nodes)
    # In 1e-6 units of time u moves by (|u u_x| + ν |u_xx|) · 1e-6 ≤ 5e-6.
    assert np.abs(early - (burgers.MEAN - np.sin(np.pi * nodes))).max() < 5e-6
