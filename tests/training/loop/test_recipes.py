"""Recipes: they are options, and the published one is what the paper prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdenet.training.loop.options import OPTIONS, settle
from pdenet.training.loop.recipes import RECIPES


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_consists_of_sound_options(name: str, tmp_path: Path) -> None:
    assert RECIPES[name].keys() <= OPTIONS.keys()
    data = {} if "data_dir" in RECIPES[name] else {"data_dir": str(tmp_path)}
    made = settle({"recipe": name, **data})
    for option, value in RECIPES[name].items():
        assert getattr(made, option) == value


def test_liu2023_is_what_the_paper_prints(tmp_path: Path) -> None:
    """SGD with momentum, cosine, 5 warm-up epochs, batch 192, peak 0.3, 50 epochs, 224 pixels."""
    made = settle({"recipe": "liu2023", "data_dir": str(tmp_path)})
    assert made.opt == "sgd"
    assert made.momentum == 0.9
    assert made.sched == "cosine"
    assert (made.warmup_epochs, made.epochs) == (5.0, 50)
    assert (made.batch_size, made.lr, made.img_size) == (192, 0.3, 224)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("updates", [1, 22, 667])
def test_the_peak_rate_is_reached_and_never_exceeded(
    name: str, updates: int, tmp_path: Path
) -> None:
    """Of the 100-class subset's 128 thousand pictures an epoch has 667 updates."""
    data = {} if "data_dir" in RECIPES[name] else {"data_dir": str(tmp_path)}
    made = settle({"recipe": name, **data})
    schedule = made.schedule(updates)
    rates = [schedule.rate(step) for step in range(made.epochs * updates)]
    assert max(rates) == made.lr == RECIPES[name]["lr"]
    warmup = round(made.warmup_epochs * updates)
    assert rates.index(made.lr) == warmup
    assert rates[-1] == made.min_lr
