"""The guard's state and doors: through checkpoints, from other runs, over several processes."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any  # every kind of wrong value is given to the doors

import pytest
import torch
from torch import Tensor, nn

from pdenet.errors import CheckpointError, TrainingError
from pdenet.training.loop.checkpoint import Checkpoints
from pdenet.training.loop.guard import Guard
from pdenet.training.loop.optimisers import create_optimizer
from tests.training.loop.guarded import FINE, Run, assert_same, one_of_two
from tests.training.loop.runs import server

# --- checkpoints ---------------------------------------------------------------------------------


@pytest.mark.parametrize("opt", ["sgd", "adamw"])
def test_a_resumed_run_trips_as_the_uninterrupted_one(opt: str, tmp_path: Path) -> None:
    """Bit for bit, through files: with the ring, its losses and its random states."""
    run = Run(opt, every=3, snapshots=3)
    run.update(7)
    run.trip(7)
    run.update(5)
    state = {
        "guard": run.guard.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "ema": run.ema.state_dict(),
        "random": torch.get_rng_state(),
    }
    Checkpoints(tmp_path).save("last", run.step, run.model.state_dict(), state)

    def go_on(one: Run) -> dict[str, Tensor]:
        one.update(1)
        one.trip(20)
        one.update(1)
        one.trip(21)
        one.update(4)
        return one.state()

    expected = go_on(run)
    other = Run(opt, seed=9, every=3, snapshots=3)
    saved = Checkpoints(tmp_path).load()
    assert saved is not None
    read: Any = saved.state
    other.model.load_state_dict(saved.weights)
    other.optimizer.load_state_dict(read["optimizer"])
    other.ema.load_state_dict(read["ema"])
    other.guard.load_state_dict(read["guard"])
    other.step = saved.step
    torch.set_rng_state(read["random"])
    assert_same(go_on(other), expected)
    assert other.guard.trips == run.guard.trips
    assert other.guard.set_aside == run.guard.set_aside == {(0, 7), (0, 20), (0, 21)}
    assert other.guard.lr_scale == run.guard.lr_scale


def test_each_process_gets_its_own_random_states_back() -> None:
    run, other = Run(every=2), Run(every=2)
    run.update(5)
    mine = run.guard.random_states()
    assert mine.dtype == torch.uint8
    assert len(mine) == 3
    state = copy.deepcopy(run.guard.state_dict())
    plain: Any = state["ring"]
    for one in plain:
        one["random"] = torch.Generator().manual_seed(99).get_state()  # of the process that saved
    other.guard.load_state_dict(state, mine)
    for expected in (mine[2], mine[1], mine[0]):
        other.trip()
        assert torch.equal(torch.get_rng_state(), expected)


def _renamed(state: dict[str, Any]) -> None:
    state["ring"][0]["tensors"][0]["other"] = torch.zeros(1)


def _reshaped(state: dict[str, Any]) -> None:
    state["ring"][0]["tensors"][0]["0.weight"] = torch.zeros(1)


def _without_average(state: dict[str, Any]) -> None:
    del state["ring"][0]["tensors"][1]


BAD_STATES: dict[str, Callable[[dict[str, Any]], object]] = {
    "no rate": lambda state: state.pop("lr_scale"),
    "no ring": lambda state: state.pop("ring"),
    "trips of other fields": lambda state: state.update(trips=[{"step": 1}]),
    "set aside no pairs": lambda state: state.update(set_aside=[1]),
    "other names": _renamed,
    "other shapes": _reshaped,
    "no average": _without_average,
}


@pytest.mark.parametrize("case", BAD_STATES)
def test_a_state_of_another_run_is_refused_and_changes_nothing(case: str) -> None:
    run = Run()
    state = copy.deepcopy(run.guard.state_dict())
    state["lr_scale"] = 0.125
    BAD_STATES[case](state)
    with pytest.raises(CheckpointError, match="Expected the state of a guard"):
        run.guard.load_state_dict(state)
    assert run.guard.lr_scale == 1.0
    run.trip()


# --- doors ---------------------------------------------------------------------------------------

BAD_OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "no snapshots": ({"snapshots": 0}, "snapshots .* got 0"),
    "snapshots a float": ({"snapshots": 2.0}, "snapshots"),
    "snapshots a bool": ({"snapshots": True}, "snapshots"),
    "every 0": ({"every": 0}, "every"),
    "every a text": ({"every": "20"}, "every .* got '20'"),
    "factor 1": ({"factor": 1.0}, "factor"),
    "factor 0": ({"factor": 0}, "factor"),
    "factor NaN": ({"factor": math.nan}, "factor .* got nan"),
    "max_trips negative": ({"max_trips": -1}, "max_trips"),
    "max_trips infinite": ({"max_trips": math.inf}, "max_trips"),
    "max_loss 0": ({"max_loss": 0.0}, "max_loss"),
    "max_loss NaN": ({"max_loss": math.nan}, "max_loss"),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_options_that_make_no_sense_are_refused(case: str) -> None:
    options, message = BAD_OPTIONS[case]
    with pytest.raises(TrainingError, match=message):
        Run(**options)


@pytest.mark.parametrize(("loss", "norm"), [(1.0, FINE), (FINE, 1.0), (None, FINE)])
def test_numbers_in_the_place_of_tensors_are_refused(loss: Any, norm: Any) -> None:
    with pytest.raises(TrainingError, match="is a tensor"):
        Run().guard.is_good(loss, norm)


def test_a_model_that_is_not_finite_at_the_start_is_refused() -> None:
    model = nn.Linear(2, 2)
    model.weight.data[0, 0] = math.nan
    with pytest.raises(TrainingError, match="infinite in weight"):
        Guard(model, create_optimizer(model))


# --- several processes ---------------------------------------------------------------------------


def test_all_processes_agree(tmp_path: Path) -> None:
    context, answers = server(), [tmp_path / "0.json", tmp_path / "1.json"]
    processes = [
        context.Process(target=one_of_two, args=(rank, tmp_path / "store", answer))
        for rank, answer in enumerate(answers)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    (said, what, *back), (said_there, what_there, *back_there) = (
        json.loads(answer.read_text()) for answer in answers
    )
    assert said == said_there
    assert said == [True, False, False, False, False, True, False, True, True, False]
    # The last: alone, the first process would have gone back to 3.
    assert back == back_there == [[0, 0, 0, 0, 0], 0.03125]
    there = "of another process"
    assert what == [
        f"loss {there}",
        "gradient norm nan",
        f"loss {there}",
        f"buffers {there}",
        "loss nan",
    ]
    assert what_there == [
        "loss nan",
        f"gradient norm {there}",
        "loss 100 > 90",
        "buffers 1.running_var",
        f"loss {there}",
    ]
