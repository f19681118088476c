"""`pdenet demo`: one page, nothing outside it, every error beside its tolerance."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from pdenet.cli import main
from pdenet.cli.demo import command, diffusion, exact
from pdenet.cli.demo.page import page
from pdenet.cli.demo.section import Check, Progress, Section
from pdenet.pages import pictures


@pytest.fixture(scope="module")
def announced() -> list[str]:
    """What the parts of the demo told the progress bar."""
    return []


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, announced: list[str]) -> Path:
    folder = tmp_path_factory.mktemp("demo")

    def heard(part: Callable[..., Section]) -> Callable[..., Section]:
        def told(is_fast: bool, progress: Progress) -> Section:
            def both(name: str) -> None:
                announced.append(name)
                progress(name)

            return part(is_fast, both)

        return told

    parts = [heard(part) for part in command.parts()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "parts", lambda: parts)
        assert main(["demo", "--fast", "--output", str(folder)]) == 0
    return folder


class _Links(HTMLParser):
    """Collects what a page refers to, its tags, and which of them are not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.references: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [
            v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "srcset", "data")
        ]
        if tag not in ("img", "input", "meta", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_refers_to_nothing_outside_itself(made: Path) -> None:
    assert [path.name for path in made.iterdir()] == [command.PAGE]
    text = (made / command.PAGE).read_text(encoding="utf-8")
    links = _Links()
    links.feed(text)
    assert links.open == []
    assert len(links.references) > 20
    # Letters of a formula are drawn once and used again, by their place on the page.
    assert all(one.startswith(("data:image/", "#")) for one in links.references)
    assert not {"script", "link", "iframe", "object"} & set(links.tags)
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_every_picture_of_the_page_opens(made: Path) -> None:
    from PIL import Image

    text = (made / command.PAGE).read_text(encoding="utf-8")
    kinds = set()
    for kind, content in re.findall(r'src="data:image/([\w+]+);base64,([^"]+)"', text):
        raw = base64.b64decode(content, validate=True)
        kinds.add(kind)
        with Image.open(BytesIO(raw)) as image:
            assert image.format == kind.upper()
            assert getattr(image, "n_frames", 1) > 10 or kind == "png"
    assert kinds == {"png", "gif"}
    assert text.count('<div class="equation"') == text.count("<svg") == len(command.parts())


def test_the_progress_bar_ends_full(made: Path, announced: list[str]) -> None:
    assert len(announced) == command.STEPS
    assert len(set(announced)) == command.STEPS


def test_a_line_as_each_part_begins_and_ends_reaches_a_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []

    def part(is_fast: bool, progress: Progress) -> Section:
        seen.append(capsys.readouterr().out)
        return Section("", "", "", "", "", (), ())

    monkeypatch.setattr(command, "parts", lambda: [part, part])
    assert main(["demo", "--output", str(tmp_path)]) == 0
    assert seen[0] == "1/2 part …\n"  # before it has done anything
    assert re.fullmatch(r"1/2 part: \d+\.\d s\n2/2 part …\n", seen[1])
    assert re.match(r"2/2 part: \d+\.\d s\n", capsys.readouterr().out)


def test_pictures_have_y_upwards_and_keep_their_levels() -> None:
    from PIL import Image

    array = np.array([[0.0, 0.25], [0.75, 1.0]])  # (y, x)
    for uri in (pictures.still(array, 0, 1), pictures.animation([array, array / 2], 0, 1)):
        with Image.open(BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
            seen = np.asarray(image.convert("L"))
        # 255 levels of grey: half of one is rounding.
        np.testing.assert_allclose(seen / 255, array[::-1], atol=0.5 / 255 + 1e-12)


def test_every_error_stands_on_the_page_and_in_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = (Check("a < b", 0.5, 1.0, "%"), Check("far", 2.0, 1.0, "%"))
    section = Section("Title", "data:,", "u_t = u_xx", "words", "code", ((),), checks)
    monkeypatch.setattr(command, "parts", lambda: [lambda is_fast, progress: section])
    assert main(["demo", "--output", str(tmp_path)]) == 1  # one tolerance is missed
    shown = capsys.readouterr().out
    text = (tmp_path / command.PAGE).read_text(encoding="utf-8")
    assert "MISSED" in shown
    assert str(tmp_path / command.PAGE) in shown
    assert "a &lt; b" in text
    assert "1 of 2 measured errors are above their tolerances" in text
    for check in checks:
        assert check.measured_text in shown
        assert check.measured_text in text


def test_an_error_that_is_no_number_meets_no_tolerance() -> None:
    assert not Check("", float("nan"), 1.0, "").is_met
    assert "missed" in page(
        [Section("", "", "", "", "", (), (Check("", float("nan"), 1.0, "%"),))], 1.0, is_fast=True
    )


def test_a_wrong_simulation_misses_its_tolerance(monkeypatch: pytest.MonkeyPatch) -> None:
    # The exact solution of a diffusivity that is 3 % off stands for any fault of that size.
    true = exact.insulated_heat
    monkeypatch.setattr(
        diffusion, "insulated_heat", lambda u, times, d, sides: true(u, times, 1.03 * d, sides)
    )
    section = diffusion.diffusion(True, lambda _: None)
    assert not all(check.is_met for check in section.checks)


# The exact solutions themselves, by other means.


def test_insulated_heat_keeps_the_eigenmodes() -> None:
    x, y = np.linspace(0, 3, 13), np.linspace(0, 2, 9)[:, None]
    mode = np.cos(2 * np.pi * x / 3) * np.cos(np.pi * y / 2)
    rate = 0.1 * ((2 * np.pi / 3) ** 2 + (np.pi / 2) ** 2)
    found = exact.insulated_heat(mode, [0.0, 0.7], 0.1, (3.0, 2.0))
    # One transform there and back: a few roundings of values up to 1.
    np.testing.assert_allclose(found[0], mode, atol=1e-14)
    np.testing.assert_allclose(found[1], mode * np.exp(-0.7 * rate), atol=1e-14)


def test_a_polynomial_is_what_it_was_made_from() -> None:
    n = 24
    x, y = np.meshgrid(-1 + 2 * np.arange(n) / n, -1 + 2 * np.arange(n) / n)
    picture = 1 + np.cos(np.pi * (2 * x - 3 * y)) + np.sin(np.pi * (x + 4 * y))
    made = exact.Polynomial.smoothed(picture, 0.0, 5)
    np.testing.assert_allclose(made(x, y), picture, atol=1e-13)
    # Between the nodes as well, and 0 outside of the square.
    p, q = np.array([[0.123, -0.77, 1.2]]), np.array([[0.5, 0.31, 0.0]])
    expected = 1 + np.cos(np.pi * (2 * p - 3 * q)) + np.sin(np.pi * (p + 4 * q))
    expected[0, 2] = 0
    np.testing.assert_allclose(made(p, q), expected, atol=1e-13)


@pytest.mark.parametrize("kind", ["dirichlet", "neumann", "periodic"])
def test_image_sources_and_standing_waves_agree(kind: str) -> None:
    def profile(x: np.ndarray) -> np.ndarray:
        return np.asarray(np.exp(-60 * (x - 0.3) ** 2))

    x, times = np.linspace(-1, 1, 41), [0.0, 0.4, 1.3, 2.9]
    images = exact.images(kind, profile, x, times)
    waves = exact.standing_waves(kind, [profile], [x], times, 1.0)
    # Off the walls the pulse is below exp(−60 · 0.7²) = 2e-13, and so are waves beyond the 40th.
    np.testing.assert_allclose(waves, images, atol=1e-10)


def test_robin_standing_waves_meet_their_walls() -> None:
    ratio, k_phase = 4.0, exact.wave_numbers("robin", 20, 4.0)
    for k, phase in zip(*k_phase, strict=True):
        for side in (-1.0, 1.0):
            value = np.cos(k * side - phase)
            normal = -side * k * np.sin(k * side - phase)
            assert abs(ratio * value + normal) < 1e-9 * k  # brentq stops at 2e-12 in k
    # Complete: forty of them rebuild a pulse.
    k, phase = exact.wave_numbers("robin", 40, ratio)
    x = np.linspace(-1, 1, 31)
    weights = exact.expand(lambda s: np.exp(-60 * (s - 0.3) ** 2), k, phase)
    rebuilt = np.cos(np.multiply.outer(x, k) - phase) @ weights
    np.testing.assert_allclose(rebuilt, np.exp(-60 * (x - 0.3) ** 2), atol=1e-10)
