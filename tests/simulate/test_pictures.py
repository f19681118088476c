"""Laws of plot and movie: what is shown is what was computed, in its place and on one scale."""

from __future__ import annotations

import builtins
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from pdenet.errors import MissingExtraError, ResultError, UnknownNameError
from pdenet.simulate.pictures import _limits, _time_label
from pdenet.simulate.result import Result


@pytest.fixture(autouse=True)
def no_screen() -> Iterator[None]:
    with mpl.rc_context():
        plt.switch_backend("agg")
        yield
        plt.close("all")


def make_result(dimension: int = 2, frames: int = 5, num_components: int = 2) -> Result:
    points = (16, 10, 7)[:dimension]
    nodes = tuple(np.linspace(-1, k + 0.5, n) for k, n in enumerate(points))
    random = np.random.default_rng(0)
    states = random.uniform(1, 2, (frames, num_components, *reversed(points)))
    names = tuple(f"c{k}" for k in range(num_components))
    return Result(np.arange(frames) * 0.25, states, names, ("x", "y", "z")[:dimension], nodes)


def test_lines_show_the_values_at_the_nodes() -> None:
    result = make_result(1)
    figure = result.plot(frames=[0, 2, -1])
    assert len(figure.axes) == len(result.components)
    for k, panel in enumerate(figure.axes):
        for line, frame in zip(panel.lines, (0, 2, -1), strict=True):
            np.testing.assert_array_equal(line.get_xdata(), result.nodes[0])
            np.testing.assert_array_equal(line.get_ydata(), result.states[frame, k])


def test_images_show_every_node_in_its_place_with_y_upwards() -> None:
    result = make_result(2)
    (panel, _bar) = result.plot("c1", frame=3).axes
    (image,) = panel.images
    np.testing.assert_array_equal(image.get_array(), result.states[3, 1])
    assert image.origin == "lower"
    left, right, bottom, top = image.get_extent()
    for (low, high), nodes in zip(((left, right), (bottom, top)), result.nodes, strict=True):
        # Pixel k of N is centred on node k: exact up to the rounding of a few operations.
        centres = low + (np.arange(len(nodes)) + 0.5) * (high - low) / len(nodes)
        np.testing.assert_allclose(centres, nodes, atol=1e-14)
    assert panel.get_aspect() == 1.0
    assert "t = 0.75" in panel.get_title()
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("x", "y")


def test_three_dimensions_show_the_middle_slice() -> None:
    result = make_result(3)
    panel = result.plot("c0").axes[0]
    np.testing.assert_array_equal(panel.images[0].get_array(), result.states[-1, 0, 3])
    assert f"z = {result.nodes[2][3]:.3g}" in panel.get_title()


def test_frames_of_a_component_share_their_colour_scale() -> None:
    result = make_result(2)
    images = [p.images[0] for p in result.plot("c0", frames=[0, 1, 4]).axes if p.images]
    shown = result.states[[0, 1, 4], 0]
    assert len(images) == 3
    assert {i.get_clim() for i in images} == {(shown.min(), shown.max())}


def test_cells_that_are_not_finite_are_masked_and_do_not_set_the_scale() -> None:
    result = make_result(2)
    result.states[-1, 0, 2, 3] = np.nan
    result.states[-1, 0, 4, 5] = np.inf
    image = result.plot("c0").axes[0].images[0]
    shown = image.get_array()
    assert shown is not None
    assert np.argwhere(np.ma.getmaskarray(shown)).tolist() == [[2, 3], [4, 5]]
    assert np.isfinite(image.get_clim()).all()


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-1.0, 1.0, (-1.0, 1.0, "RdBu_r")),
        (-3.0, 1.0, (-3.0, 3.0, "RdBu_r")),
        (0.0, 1.0, (0.0, 1.0, "viridis")),
        (-1e-17, 1.0, (-1e-17, 1.0, "viridis")),  # rounding is no sign
        (2.0, 2.0, (1.0, 3.0, "viridis")),
        (0.0, 0.0, (-0.5, 0.5, "viridis")),
        (np.nan, np.nan, (-0.5, 0.5, "viridis")),
    ],
)
def test_signed_fields_have_zero_in_the_middle_and_constants_a_scale(
    low: float, high: float, expected: tuple[float, float, str]
) -> None:
    assert _limits(np.array([low, high])) == expected


def test_a_vector_field_of_many_components_shows_six() -> None:
    assert len(make_result(1, num_components=40).plot().axes) == 6
    assert len(make_result(1, num_components=40).plot(["c39", "c8"]).axes) == 2


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_a_picture_is_written_whole_and_unknown_to_pyplot(tmp_path: Path, suffix: str) -> None:
    make_result().plot(path=tmp_path / f"p.{suffix}")
    assert os.listdir(tmp_path) == [f"p.{suffix}"]
    assert plt.get_fignums() == []


def test_neighbouring_times_have_different_labels_of_equal_length() -> None:
    for step in (1e-5, 0.025, 1 / 3, 1.0, 40.0):
        times = np.arange(10) * step
        label = _time_label(times)
        texts = [label(t) for t in times]
        assert len(set(texts)) == 10
        shown = [float(s.removeprefix("t = ")) for s in texts]
        # At least one digit beyond the step's first: within a twentieth of a step.
        np.testing.assert_allclose(shown, times, atol=step / 20 * (1 + 1e-9))


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_a_gif_has_every_frame_and_the_rate(tmp_path: Path, dimension: int) -> None:
    result = make_result(dimension)
    result.movie(tmp_path / "m.gif", fps=10)
    assert os.listdir(tmp_path) == ["m.gif"]
    with Image.open(tmp_path / "m.gif") as movie:
        assert movie.n_frames == len(result.times)  # type: ignore[attr-defined]  # of GIFs
        assert movie.info["duration"] == 100
        assert movie.info["loop"] == 0


def test_equal_values_keep_their_colour_through_a_movie(tmp_path: Path) -> None:
    # The left half stays, the right half grows: a scale or palette per frame would recolour both.
    result = make_result(2, num_components=1)
    result.states[:, :, :, :8] = 1.7
    result.states[:, :, :, 8:] = np.linspace(1.0, 9.0, 5)[:, None, None, None]
    result.movie(tmp_path / "m.gif")
    pixels = []
    with Image.open(tmp_path / "m.gif") as movie:
        for frame in range(5):
            movie.seek(frame)
            pixels.append(np.asarray(movie.convert("RGB")).astype(int))
    height, width, _ = pixels[0].shape
    left = [p[height // 2, width // 4] for p in pixels]
    # Patches inside the halves: dithering would speckle those between two colours of the palette.
    for column in (width // 4, width // 2):
        for p in pixels:
            patch = p[height // 2 :, column:][:20, :20]
            assert np.ptp(patch, axis=(0, 1)).tolist() == [0, 0, 0]
    right = [p[height // 2, width // 2] for p in pixels]
    assert all((colour == left[0]).all() for colour in left)
    for one, other in itertools.pairwise(right):
        assert (one != other).any()
    # 224 of 256 colours are the map's, so the colour is the map's to 3 of 255 per channel.
    expected = 255 * np.array(mpl.colormaps["viridis"](0.7 / 8)[:3])
    np.testing.assert_allclose(left[0], expected, atol=3)


def test_an_mp4_has_every_frame(tmp_path: Path) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    result = make_result(2)
    result.movie(tmp_path / "m.mp4", fps=10)
    assert os.listdir(tmp_path) == ["m.mp4"]
    count, seconds = ffmpeg.count_frames_and_secs(str(tmp_path / "m.mp4"))
    assert count == len(result.times)
    assert seconds == pytest.approx(0.5, abs=0.1)  # the container rounds to frames


def test_an_mp4_without_its_package_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: object) -> object:
        if name == "imageio_ffmpeg":
            raise ImportError(name)
        return real(name, *arguments)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install pdenet\[movie\]"):
        make_result().movie(tmp_path / "m.mp4")
    assert os.listdir(tmp_path) == []


def test_the_progress_bar_shows_on_request_and_never_in_a_pipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_result(1).movie(tmp_path / "m.gif")
    assert capsys.readouterr().err == ""
    make_result(1).movie(tmp_path / "m.gif", progress=True)
    assert "m.gif" in capsys.readouterr().err


def test_plotting_asks_for_no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    def show(*_: object, **__: object) -> None:
        raise AssertionError("plot() must leave showing to the user")

    monkeypatch.setattr(plt, "show", show)
    make_result().plot()
    assert len(plt.get_fignums()) == 1  # plt.show() by the user would show it
    assert sys.modules["matplotlib.pyplot"].get_backend().lower() == "agg"


def test_unknown_components_and_frames_are_refused(tmp_path: Path) -> None:
    result = make_result()
    with pytest.raises(UnknownNameError, match="Did you mean 'c1'"):
        result.plot("c1x")
    with pytest.raises(UnknownNameError, match="c0, c1"):
        result.movie(tmp_path / "m.gif", component="w")
    for frame in (5, -6, True, 1.0):
        with pytest.raises(ResultError, match="from -5 to 4"):
            result.plot(frame=frame)  # type: ignore[arg-type]  # 1.0 is wrong on purpose
    with pytest.raises(ResultError, match="at least one frame"):
        result.plot(frames=[])


@pytest.mark.parametrize("fps", [0, -1, 51, float("nan"), True, "12"])
def test_a_rate_that_makes_no_sense_is_refused(tmp_path: Path, fps: float) -> None:
    with pytest.raises(ResultError, match="fps"):
        make_result().movie(tmp_path / "m.gif", fps=fps)


def test_other_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"\.gif or \.mp4"):
        make_result().movie(tmp_path / "m.avi")
    with pytest.raises(ResultError, match=r"\.png"):
        make_result().plot(path=tmp_path / "p.xyz")
    assert os.listdir(tmp_path) == []
