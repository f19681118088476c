"""The two tiers of the tests: what a loop over cells, and a member of the deep tier, look like.

The quick tier is `make test`, the deep one `make test-all`. A law is a test function. Each law has
a member in the quick tier, which `tests/test_tiers.py` holds; where the cells of a law are many,
the quick tier meets a part of them, and the deep tier all.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import pytest

T = TypeVar("T")

both_tiers = pytest.mark.parametrize(
    "deep", [False, pytest.param(True, marks=pytest.mark.deep)], ids=["quick", "deep"]
)
"""Give a test the argument `deep`: False in the quick tier, True in the deep one."""


def mostly_deep(cells: Iterable[T], quick: Container[T]) -> list[object]:
    """Return cells for `parametrize`: those in `quick` for both tiers, the others for the deep one.

    A tuple is one cell of several arguments.
    """

    def member(cell: T) -> object:
        arguments = cell if isinstance(cell, tuple) else (cell,)
        return pytest.param(*arguments, marks=() if cell in quick else pytest.mark.deep)

    return [member(cell) for cell in cells]


class Each(Protocol):
    """What the fixture `each` is: a loop whose every cell fails by itself and by its name."""

    def __call__(
        self, cells: Iterable[T], key: Callable[[T], str] = ...
    ) -> Iterator[tuple[T, AbstractContextManager[None]]]:
        """Yield each cell, and the context in which it is tested."""


@dataclass(frozen=True)
class Law:
    """What has been collected of one test function.

    Attributes:
        quick: how many of its members are in the quick tier.
        stand_ins: the laws that its deep members name to stand for it there.
    """

    quick: int = 0
    stand_ins: frozenset[str] = frozenset()

    def with_item(self, item: pytest.Item) -> Law:
        """Return this law with one more member."""
        mark = item.get_closest_marker("deep")
        if mark is None:
            return Law(self.quick + 1, self.stand_ins)
        named = mark.kwargs.get("law")
        return Law(self.quick, self.stand_ins | ({named} if named else set()))


LAWS = pytest.StashKey[dict[str, Law]]()
"""Where the session keeps its laws, by the node of their function: tests/x.py::test_y."""


def note_laws(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Gather test items to laws, before `-m` takes any away."""
    found: dict[str, Law] = {}
    for item in items:
        name = item.nodeid.partition("[")[0]
        found[name] = found.get(name, Law()).with_item(item)
    config.stash[LAWS] = found


def without_quick_member(laws: dict[str, Law]) -> list[str]:
    """Return the laws that the quick tier meets neither themselves nor by a stand-in.

    A stand-in is a test of the same file.
    """

    def is_met(name: str) -> bool:
        law = laws.get(name, Law())
        file = name.partition("::")[0]
        return law.quick > 0 or any(
            laws.get(f"{file}::{other}", Law()).quick > 0 for other in law.stand_ins
        )

    return sorted(name for name in laws if not is_met(name))


CELL = pytest.StashKey[str]()
"""Where a test keeps the name of the cell that it is at."""


def command_alone(item: pytest.Item) -> str:
    """Return the command that runs one test, or the cell that it is at, alone."""
    words = [".venv/bin/python", "-m", "pytest", item.nodeid]
    if CELL in item.stash:
        words += ["--cell", item.stash[CELL]]
    profile = os.environ.get("HYPOTHESIS_PROFILE", "fast")
    return ("" if profile == "fast" else f"HYPOTHESIS_PROFILE={profile} ") + shlex.join(words)


class Loop:
    """A loop whose every cell is a subtest; see `Each`."""

    def __init__(self, item: pytest.Item, subtests: pytest.Subtests) -> None:
        self._item = item
        self._subtests = subtests
        self._wanted: str | None = item.config.getoption("--cell")
        self._is_empty = True

    def __call__(
        self, cells: Iterable[T], key: Callable[[T], str] = str
    ) -> Iterator[tuple[T, AbstractContextManager[None]]]:
        """Yield each cell that is wanted, and its subtest."""
        for cell in cells:
            name = key(cell)
            if self._wanted in (None, name):
                self._is_empty = False
                yield cell, self._subtest(name)

    @contextmanager
    def _subtest(self, name: str) -> Iterator[None]:
        self._item.stash[CELL] = name
        try:
            with self._subtests.test(name):
                yield
        finally:
            del self._item.stash[CELL]

    def check_not_empty(self) -> None:
        """Fail where no cell was tested: a loop over nothing holds nothing."""
        if self._is_empty:
            pytest.fail("no cell was tested" + (f": --cell {self._wanted}" if self._wanted else ""))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that picks one cell of a loop."""
    parser.addoption("--cell", metavar="NAME", help="of tests that loop, run this cell only")


@pytest.fixture
def each(request: pytest.FixtureRequest, subtests: pytest.Subtests) -> Iterator[Each]:
    """Loop over cells: `for cell, held in each(CELLS): with held: assert ...`."""
    loop = Loop(request.node, subtests)
    yield loop
    loop.check_not_empty()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say under a failure which command runs that test, or that cell of it, alone."""
    report = yield
    if report.failed:
        report.sections.append(("alone", command_alone(item)))
    return report
