"""The project's own files agree with one another."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def pins() -> dict[str, str]:
    """Read constraints.txt: normalised name -> version."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {normalised(name): version for name, version in found}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements() -> set[str]:
    """Read the names of everything that pyproject.toml asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return {normalised(re.split(r"[<>=!~\[; ]", line)[0]) for group in groups for line in group}


def test_every_requirement_is_pinned_to_one_tested_version() -> None:
    assert requirements() - pins().keys() == set()


def test_no_pin_carries_a_local_label_that_other_machines_lack() -> None:
    assert [name for name, version in pins().items() if "+" in version] == []


def test_torch_is_installed_first_in_the_pinned_version() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    first = makefile.index(f"install torch=={pins()['torch']} -c constraints.txt")
    assert first < makefile.index("install -c constraints.txt -e")


def test_pre_commit_uses_the_versions_of_the_constraints() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert f"rev: v{pins()['ruff']}" in text
    assert f"mypy {pins()['mypy']}" in text
