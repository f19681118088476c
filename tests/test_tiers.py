"""Each law has a member in the quick tier, and a failure says how to meet it again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import tiers

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[1]
CONFTEST = """
import pytest
from tests import tiers
from tests.tiers import each, pytest_addoption, pytest_runtest_makereport

@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    tiers.note_laws(config, items)

def pytest_configure(config):
    config.addinivalue_line("markers", "deep(law): of the deep tier only")

def pytest_sessionfinish(session):
    print("lacking:", tiers.without_quick_member(session.config.stash.get(tiers.LAWS, {})))
"""


def test_each_law_has_a_member_in_the_quick_tier(request: pytest.FixtureRequest) -> None:
    # Of all that was collected, whatever -m leaves to be run.
    assert tiers.without_quick_member(request.config.stash[tiers.LAWS]) == []


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """Give an empty project whose conftest has the hooks of this one."""
    pytester.makeconftest(CONFTEST)
    pytester.syspathinsert(ROOT)
    return pytester


LAWS = """
import pytest
from tests.tiers import both_tiers

@both_tiers
def test_in_both(deep):
    assert deep in (True, False)

@pytest.mark.deep
def test_forgotten():
    pass

@pytest.mark.deep(law="test_in_both")
def test_with_a_stand_in():
    pass

@pytest.mark.deep(law="test_that_is_gone")
def test_with_none():
    pass

@pytest.mark.parametrize("n", [1, pytest.param(2, marks=pytest.mark.deep)])
def test_in_part(n):
    pass

class TestGroup:
    @pytest.mark.deep
    def test_in_a_class(self):
        pass
"""


def test_laws_without_a_quick_member_are_found_whatever_is_selected(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(LAWS)
    for selection in ([], ["-m", "not deep"], ["-m", "deep"]):
        result = project.runpytest(*selection)
        lacking = next(line for line in result.outlines if "lacking:" in line)
        for name in ("test_forgotten", "test_with_none", "TestGroup::test_in_a_class"):
            assert name in lacking
        for name in ("test_in_both", "test_with_a_stand_in", "test_in_part"):
            assert name not in lacking
    project.runpytest("-m", "not deep").assert_outcomes(passed=2, deselected=6)


LOOP = """
from tests.tiers import both_tiers

@both_tiers
def test_squares(each, deep):
    for n, held in each(range(6 if deep else 3), key=lambda n: f"n = {n}"):
        with held:
            assert n * n < 20 and n != 1
"""


def test_each_failing_cell_is_named_with_the_command_that_runs_it_alone(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HYPOTHESIS_PROFILE", raising=False)
    path = project.makepyfile(LOOP)
    result = project.runpytest("-n", "2", "-p", "xdist")
    for tier, n in (("quick", 1), ("deep", 1), ("deep", 5)):
        node = f"{path.name}::test_squares[{tier}]"
        result.stdout.fnmatch_lines(
            [f"*.venv/bin/python -m pytest '{node.replace('[', '[[]')}' --cell 'n = {n}'"]
        )
    result.stdout.no_fnmatch_line("*--cell 'n = 4'*")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    alone = project.runpytest(f"{path.name}::test_squares[deep]", "--cell", "n = 4")
    alone.assert_outcomes(passed=1)


def test_a_loop_over_nothing_fails(project: pytest.Pytester) -> None:
    path = project.makepyfile(LOOP)
    result = project.runpytest(f"{path.name}::test_squares[quick]", "--cell", "n = 17")
    result.stdout.fnmatch_lines(["*no cell was tested: --cell n = 17*"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_the_command_alone_keeps_the_profile_of_hypothesis(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYPOTHESIS_PROFILE", "ci")
    project.makepyfile("def test_false(): assert False")
    project.runpytest().stdout.fnmatch_lines(
        ["HYPOTHESIS_PROFILE=ci .venv/bin/python -m pytest *::test_false"]
    )
