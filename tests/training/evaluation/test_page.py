"""The page: whole, self-contained, safe against any name, and the same for the same report."""

from __future__ import annotations

import dataclasses
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from pdenet.pages.shell import text
from pdenet.training.evaluation.evaluate import evaluate
from pdenet.training.evaluation.history import History
from pdenet.training.evaluation.maps import Level
from pdenet.training.evaluation.page import MOST_NUMBERS, Report, page

EVIL = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "a&b;&lt;",
    "\u202eright to left",
    "line\nbreak\0",
    "\udcff not UTF-8",
    "日本語",
    "",
)


class Table(nn.Module):
    """Returns logits from a table: the picture's only pixel is the row."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, x: Tensor) -> Tensor:
        return self.logits[x[:, 0, 0, 0].long()]


def report(classes: tuple[str, ...], count: int = 60, seed: int = 0) -> Report:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, len(classes), generator=generator)
    # The last class has no picture.
    labels = torch.randint(0, max(len(classes) - 1, 1), (count,), generator=generator)
    images = torch.arange(count, dtype=torch.float32).reshape(-1, 1, 1, 1).expand(-1, 1, 4, 4)
    evaluation = evaluate(Table(logits), [(images, labels)], classes)
    columns = {"epoch": (1.0, 2.0), "val_loss": (2.0, math.nan), "lr": (0.1, 0.0)}
    maps = np.random.default_rng(0).normal(size=(3, 4, 4)).astype(np.float32)
    return Report(
        model=classes[0],
        equation="u_t = u_xx < 1",
        latex=r"\partial_t u = \partial_{xx} u",
        num_parameters=12345,
        date="2000-01-01",
        source=classes[-1] + "/run, best-10",
        dataset=classes[0],
        # Measured time is the one thing that differs from run to run.
        evaluation=dataclasses.replace(evaluation, throughput=1234.5),
        history=History({**columns, "trips": (0.0, 1.0)}),
        shown=np.zeros((1, 4, 4), np.uint8),
        shown_label=classes[0],
        levels=(Level("stem", 9, (0, 4, 8), maps, 2.0),),
    )


class Reader(HTMLParser):
    """Collects tags, attributes and text, and sees to it that all tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in ("img", "input", "meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(content: str) -> Reader:
    reader = Reader()
    reader.feed(content)
    reader.close()
    assert reader.open == []
    return reader


# What a page may consist of; anything else could fetch or run something.
TAGS = set("html head meta title style body header main footer section h1 h2 h3 p div".split())  # noqa: SIM905
TAGS |= set("dl dt dd small figure figcaption img span bdi pre code details summary".split())  # noqa: SIM905
TAGS |= set("label input table tr th td svg path text tspan rect g defs use clippath".split())  # noqa: SIM905


def check_self_contained(content: str) -> Reader:
    found = read(content)
    assert set(found.tags) <= TAGS
    for name, value in found.attributes:
        assert not name.startswith("on")
        if name == "src":
            assert value.startswith("data:image/png;base64,")
        if name in ("href", "xlink:href"):
            assert value.startswith("#")
    assert found.tags.count("style") == 1
    style = content[content.index("<style>") : content.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    return found


@pytest.mark.parametrize("repeat", [1, 4])  # with numbers in the matrix, and without
def test_names_of_classes_cannot_become_markup(repeat: int) -> None:
    classes = tuple(name + str(k) for k in range(repeat) for name in EVIL)
    assert (len(classes) > MOST_NUMBERS) == (repeat == 4)
    content = page(report(classes))
    found = check_self_contained(content)
    assert "script" not in found.tags
    words = "".join(found.words)
    assert "<script>alert(1)</script>0" in words  # as text
    assert "日本語0" in words
    assert "a&b;&lt;0" in words
    assert "\u202e" not in words  # it would turn what follows
    assert "\0" not in words
    content.encode("utf-8")


@given(st.text(min_size=0, max_size=20))
def test_any_text_stays_text(given_text: str) -> None:
    shown = text(given_text)
    assert not set('<>"') & set(shown)
    assert "'" not in shown
    found = read(f'<p title="{shown}">{shown}</p>')
    printable = "".join(c if c.isprintable() else "\ufffd" for c in given_text)
    assert found.words == ([printable] if printable else [])
    assert found.attributes == [("title", printable)]


@given(st.lists(st.text(max_size=12), min_size=1, max_size=5))
def test_any_names_make_a_sound_page(names: list[str]) -> None:
    check_self_contained(page(report(tuple(names), count=9)))


def test_the_same_report_gives_the_same_bytes() -> None:
    classes = tuple("abc")
    first = page(report(classes)).encode()
    assert first == page(report(classes)).encode()
    other = dataclasses.replace(report(classes), date="2000-01-02")
    assert page(other).encode() != first


def test_the_numbers_of_the_evaluation_stand_on_the_page() -> None:
    made = report(tuple("abcdefgh"))
    metrics = made.evaluation.metrics
    words = " ".join(read(page(made)).words)
    for share in (metrics.top[1], metrics.top[5]):
        assert f"{100 * share:.2f}" in words
    assert f"{metrics.loss:.4f}" in words
    assert "12,345" in words
    assert "1,234 images/s" in re.sub(r"\s+", " ", words)
    content = page(made)
    matrix = content[content.index('<div class="matrix') : content.index("Each class")]
    # Every count that is not 0 is a number in a cell.
    cells = re.findall(r"<text [^>]*>(\d+)</text>", matrix)
    assert sorted(map(int, cells)) == sorted(n for n in metrics.confusion.ravel().tolist() if n)
    # The class without pictures has dashes.
    assert content.count('<td class="number">–</td>') == 3


def test_top_five_of_few_classes_says_nothing_and_is_left_out() -> None:
    assert "top-5" not in page(report(tuple("abcde")))
    assert "top-5" in page(report(tuple("abcdef")))


def test_answers_that_are_no_numbers_are_said() -> None:
    logits = torch.full((4, 3), math.nan)
    images, labels = torch.zeros(4, 1, 4, 4), torch.tensor([0, 1, 2, 2])
    made = report(tuple("abc"))
    lost = dataclasses.replace(
        made, evaluation=evaluate(Table(logits), [(images, labels)], tuple("abc"))
    )
    words = " ".join(read(page(lost)).words)
    assert "For 4 of the pictures" in words
    assert "not finite" in words


def test_many_classes_are_a_picture_with_the_pairs_that_are_confused_most() -> None:
    classes = tuple(f"class{k}" for k in range(50))
    made = report(classes, count=400)
    content = page(made)
    found = check_self_contained(content)
    assert "details" in found.tags
    wrong = made.evaluation.metrics.confusion.copy()
    np.fill_diagonal(wrong, 0)
    a, b = divmod(int(wrong.argmax()), 50)
    table = content[content.index("was called") :]
    first = re.search(
        r"<tr><td><bdi>(\w+)</bdi></td><td><bdi>(\w+)</bdi></td><td class=\"number\">(\d+)", table
    )
    assert first
    assert first.groups() == (classes[a], classes[b], str(wrong.max()))


def test_what_is_missing_leaves_its_section_out() -> None:
    made = report(tuple("ab"))
    bare = dataclasses.replace(
        made, history=History(), shown=None, levels=(), latex="", equation=""
    )
    words = " ".join(read(page(bare)).words)
    for title in ("The run", "The solution on its way"):
        assert title not in words
        assert title in " ".join(read(page(made)).words)
    text_only = dataclasses.replace(made, latex="")
    assert "u_t = u_xx < 1" in " ".join(read(page(text_only)).words)
