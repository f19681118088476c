"""The page and the pictures: whole, self-contained, safe against any name, the same each time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import timm
import torch
from torch import Tensor, nn

from pdenet.errors import ResultError, SymmetryError
from pdenet.symmetry.kernels import (
    flip_consistency,
    mean_kernels,
    page,
    plot_mean_kernels,
    plot_symmetry_by_depth,
    report,
    shift_consistency,
    symmetry_table,
    uneven_padding,
)

EVIL = '<script>alert(1)</script>"&\u202e'
PICTURES = torch.randn(40, 1, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def model() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 4, (1, 3)), nn.Tanh()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3))


class Balance(HTMLParser):
    """Checks that every element is closed, and gathers what the page refers to."""

    VOID = ("meta", "img", "br", "input")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_holds_what_the_functions_measure(model: nn.Sequential, tmp_path: Path) -> None:
    labels = torch.zeros(40, dtype=torch.int64)
    path = tmp_path / "page.html"
    found = report(model, path, PICTURES, labels, vertical=True, draws=200)
    assert str(found.table) == str(symmetry_table(model, draws=200))
    assert found.padding == uneven_padding(model, 16)
    across, down, shift, right = found.consistency
    assert across == flip_consistency(model, PICTURES)
    assert down == flip_consistency(model, PICTURES, axis="vertical")
    assert right.agreed == int((model(PICTURES).argmax(1) == 0).sum())
    assert (shift.count, right.count) == (40, 40)
    content = path.read_text(encoding="utf-8")
    assert content == page(found)
    for one in found.consistency:
        assert f"{100 * one.share:.1f}" in content
    for row in found.table:
        assert f"{row.score:.2f}" in content
    assert "1 of 1" in content
    assert "40 pictures are few" in content


def test_the_page_refers_to_nothing_outside_and_is_the_same_each_time(
    model: nn.Sequential, tmp_path: Path
) -> None:
    contents = []
    for _ in range(2):
        report(model, tmp_path / "page.html", PICTURES, draws=50)
        contents.append((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert contents[0] == contents[1]
    parser = Balance()
    parser.feed(contents[0])
    assert parser.open == []
    assert parser.scripts == 0
    assert len(parser.addresses) == 2
    assert all(address.startswith("data:image/png;base64,") for address in parser.addresses)
    assert not re.search(r"url\(|@import|https?:", contents[0])


def test_names_of_layers_cannot_write_into_the_page(tmp_path: Path) -> None:
    model = nn.ModuleDict({EVIL: nn.Conv2d(1, 1, 3, 2)})
    holder = nn.Module()
    holder.add_module("evil", model)
    holder.forward = lambda x: model[EVIL](x)
    report(holder, tmp_path / "page.html", size=8, draws=50)
    content = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script" not in content
    assert "&lt;script&gt;" in content
    assert "\u202e" not in content


def test_pictures_of_an_iterator_are_read_once(model: nn.Sequential, tmp_path: Path) -> None:
    def stream() -> Iterator[Tensor]:
        yield from PICTURES.split(7)

    found = report(model, tmp_path / "a.html", stream(), crop=15, draws=20)
    assert found.consistency[0] == flip_consistency(model, PICTURES)
    shift = shift_consistency(model, PICTURES, crop=15, of=None)
    assert found.consistency[1] == shift


def test_a_model_of_one_size_has_a_page_without_shifts(tmp_path: Path) -> None:
    fixed = nn.Sequential(nn.Conv2d(1, 2, 3, 2, 1), nn.Flatten(), nn.Linear(128, 2))
    found = report(fixed, tmp_path / "a.html", PICTURES, draws=20)
    assert [one.name for one in found.consistency] == ["horizontal flip"]
    assert any("one size only" in note for note in found.notes)
    assert found.padding is not None
    # Arithmetic finds 15 and 17; pictures of 15 have 8×8 values too, those of 17 are refused.
    assert (found.padding.below, found.padding.above) == ((15, 15), None)


def test_the_size_is_that_which_the_model_is_made_for(tmp_path: Path) -> None:
    found = report(timm.create_model("mobilenetv3_small_050"), tmp_path / "a.html", draws=20)
    assert found.padding is not None
    assert found.padding.size == (224, 224)
    assert found.consistency == ()


def test_bad_arguments_leave_no_page(model: nn.Sequential, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    with pytest.raises(SymmetryError, match="labels are one a picture"):
        report(model, path, PICTURES, [0, 1], draws=10)
    with pytest.raises(SymmetryError, match="pictures have shape"):
        report(model, path, ["a"], draws=10)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ResultError, match="exists"):
        report(model, tmp_path / "nowhere" / "page.html", size=16, draws=10)


# -- pictures --------------------------------------------------------------------------------------


def test_the_picture_of_kernels_shows_each_kernel(model: nn.Sequential) -> None:
    figure = plot_mean_kernels(model, columns=2)
    try:
        shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
        for kernel, array in zip(mean_kernels(model), shown, strict=True):
            assert array is not None
            assert (kernel.kernel == array).all()
        assert plt.get_fignums() == [figure.number]
    finally:
        plt.close("all")


def test_the_chart_shows_the_scores_of_every_model(model: nn.Sequential) -> None:
    tables = [symmetry_table(model, draws=20)] * 2
    try:
        figure = plot_symmetry_by_depth(tables)
        (axes,) = figure.axes
        labels = axes.get_legend_handles_labels()[1]
        assert labels == ["chance, 5 % to 95 %", "Sequential", "Sequential (2)"]
        lines = [line for line in axes.lines if line.get_marker() == "o"]
        for line, table in zip(lines, tables, strict=True):
            assert list(line.get_ydata()) == list(table.scores)  # type: ignore[arg-type]
        colours = [line.get_color() for line in lines]
        assert len(set(colours)) == 2
        squares = [line for line in axes.lines if line.get_marker() == "s"]
        assert [line.get_color() for line in squares] == colours
        one = plot_symmetry_by_depth({"a": tables[0]}, symmetry="vertical_flip")
        values = [row.by_symmetry["vertical_flip"] for row in tables[0]]
        assert list(one.axes[0].lines[0].get_ydata()) == values  # type: ignore[arg-type]
    finally:
        plt.close("all")
    with pytest.raises(SymmetryError, match="got 'upside'"):
        plot_symmetry_by_depth(tables, symmetry="upside")
    with pytest.raises(SymmetryError, match="at least one table"):
        plot_symmetry_by_depth([])


def test_a_picture_for_a_file_is_unknown_to_pyplot(model: nn.Sequential, tmp_path: Path) -> None:
    plot_mean_kernels(model, path=tmp_path / "kernels.png")
    plot_symmetry_by_depth(symmetry_table(model, draws=20), path=tmp_path / "depth.png")
    assert plt.get_fignums() == []
    for name in ("kernels", "depth"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
