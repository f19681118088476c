"""The guard: what is bad, what it goes back to, where training goes on, and when it gives up."""

from __future__ import annotations

import copy
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any  # every kind of wrong value is given to the doors

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from pdenet.errors import CheckpointError, DivergedError, TrainingError
from pdenet.training.loop.checkpoint import Checkpoints
from pdenet.training.loop.guard import Guard
from pdenet.training.loop.optimisers import ModelEma, create_optimizer

ROOT = Path(__file__).resolve().parents[3]
FINE = torch.tensor(1.0)
INFINITE = torch.tensor(math.inf)
NAN = torch.tensor(math.nan)


class Run:
    """A small classifier of noise with batch norm and dropout, its optimiser and its guard."""

    def __init__(self, opt: str = "momentum", seed: int = 0, **options: Any) -> None:
        torch.manual_seed(seed)
        self.model = nn.Sequential(
            nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 3)
        )
        # Slow, so that the losses of snapshots stay within a factor of 2.
        self.optimizer = create_optimizer(self.model, opt, lr=1e-3, weight_decay=0.01)
        self.ema = ModelEma(self.model)
        self.guard = Guard(self.model, self.optimizer, ema=self.ema, **options)
        self.step = 0

    def loss(self, size: float = 1.0) -> Tensor:
        """The loss of the next batch; its gradients are there."""
        generator = torch.Generator().manual_seed(self.step)
        x = size * torch.randn(16, 5, generator=generator)
        target = torch.randint(3, (16,), generator=generator)
        loss = nn.functional.cross_entropy(self.model(x), target)
        loss.backward()
        return loss

    def update(self, times: int = 1) -> None:
        """Good updates; the next random numbers are drawn by dropout."""
        for _ in range(times):
            assert self.guard.is_good(self.loss(), FINE)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.ema.update(self.model)
            self.step += 1
            self.guard.after_update(self.step)

    def trip(self, batch: int = 0) -> None:
        assert not self.guard.is_good(NAN, FINE)
        self.guard.trip(0, batch, f"batch {batch}")

    def state(self) -> dict[str, Tensor]:
        """All that must come back, by name; copied."""
        made = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        made |= {f"ema.{k}": v for k, v in self.ema.state_dict().items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            made |= {f"optimizer.{index}.{k}": v for k, v in values.items()}
        made["random"] = torch.get_rng_state()
        return copy.deepcopy({k: v for k, v in made.items() if isinstance(v, Tensor)})


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


# --- what is bad ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "norm", "what"),
    [
        (NAN, FINE, "loss nan"),
        (-INFINITE, FINE, "loss -inf"),
        (torch.tensor([1.0, math.inf]), FINE, "loss inf"),
        (NAN.to(torch.bfloat16), FINE, "loss nan"),
        (FINE, INFINITE, "gradient norm inf"),
        (NAN, NAN, "loss nan, gradient norm nan"),
    ],
)
def test_no_update_on_what_is_not_finite(loss: Tensor, norm: Tensor, what: str) -> None:
    run = Run()
    assert run.guard.is_good(FINE, FINE)
    assert not run.guard.is_good(loss, norm)
    run.guard.trip(3, 4, "cat.png")
    trip = run.guard.trips[0]
    assert (trip.epoch, trip.batch, trip.name, trip.what) == (3, 4, "cat.png", what)


def test_batch_norm_goes_bad_while_the_loss_is_finite() -> None:
    """The variance of 1e25 overflows float32; normalised values are of size 1 all the same."""
    run = Run()
    loss = run.loss(size=1e25)
    assert torch.isfinite(loss)
    assert not run.guard.is_good(loss, FINE)
    run.guard.trip(0, 0, "x")
    assert run.guard.trips[0].what == "buffers 1.running_var"
    assert run.guard.is_good(run.loss(), FINE)


def test_a_loss_above_the_limit_is_as_bad_as_an_infinite_one() -> None:
    guard = Run(max_loss=50.0).guard
    assert guard.is_good(torch.tensor(50.0), FINE)
    assert not guard.is_good(torch.tensor(50.1), FINE)
    guard.trip(0, 0, "x")
    assert guard.trips[0].what == "loss 50.1 > 50"


def test_integers_and_models_without_buffers_are_finite() -> None:
    model = nn.Linear(2, 2)
    model.register_buffer("count", torch.tensor(7))
    guard = Guard(model, create_optimizer(model))
    assert guard.is_good(FINE, FINE)
    assert guard.is_sound()


def test_large_buffers_are_checked_too() -> None:
    model = nn.Linear(2, 2)
    table = torch.zeros(300, 300)
    model.register_buffer("table", table)
    guard = Guard(model, create_optimizer(model))
    table[-1, -1] = math.nan
    assert not guard.is_good(FINE, FINE)
    guard.trip(0, 0, "x")
    assert guard.trips[0].what == "buffers table"
    assert guard.is_good(FINE, FINE)


def parameter(run: Run) -> Tensor:
    return next(run.model.parameters()).data


def momentum(run: Run) -> Tensor:
    return run.optimizer.state[next(run.model.parameters())]["momentum_buffer"]


def average(run: Run) -> Tensor:
    return next(run.ema.parameters())


@pytest.mark.parametrize("part", [parameter, momentum, average])
def test_no_snapshot_of_what_an_update_made_infinite(part: Callable[[Run], Tensor]) -> None:
    """The gradient was finite, so that the update was made, and gave infinite numbers."""
    run = Run(every=2)
    run.update(2)
    before = run.state()
    run.update()
    part(run)[0, 0] = math.inf
    assert not run.guard.is_sound()
    run.guard.after_update(4)
    run.trip()
    assert run.guard.trips[0].back_to == 2
    assert_same(run.state(), before)
    assert run.guard.is_sound()


# --- what it goes back to ------------------------------------------------------------------------


@pytest.mark.parametrize("opt", ["sgd", "adam", "adamw", "rmsprop", "nadam", "radam"])
@pytest.mark.parametrize("num_updates", [0, 3])
def test_everything_is_bit_for_bit_what_it_was(opt: str, num_updates: int) -> None:
    """Back to the start, where the optimiser has no state yet, as to any snapshot."""
    run = Run(opt, every=3)
    run.update(num_updates)
    before = run.state()
    run.update(2)
    for value in run.model.state_dict().values():
        value.fill_(7)
    run.trip()
    assert_same(run.state(), before)
    assert all(p.grad is None for p in run.model.parameters())


def test_training_after_a_trip_is_that_from_the_snapshot() -> None:
    """Update by update, dropout's random numbers and the optimiser's counts included."""
    run = Run("adamw", every=4)
    run.update(4)
    run.update(2)
    expected = run.state()
    run.update(1)
    run.trip()
    run.step = 4
    run.update(2)
    assert_same(run.state(), expected)


def test_what_shares_the_tensors_sees_them_go_back() -> None:
    """Wrappers hold the very parameters: they are written in place."""
    run = Run()
    before = {id(p): p.detach().clone() for p in run.model.parameters()}
    run.update(3)
    run.trip()
    assert {id(p) for p in run.model.parameters()} == before.keys()
    for p in run.model.parameters():
        assert torch.equal(p, before[id(p)])
    assert run.optimizer.param_groups[0]["params"][0] is run.model[0].weight


def test_trips_without_progress_go_further_back_each_time() -> None:
    run = Run(every=5, snapshots=3)
    run.update(20)
    for _ in range(5):
        run.update(4)  # one short of a snapshot
        run.trip()
    assert [trip.back_to for trip in run.guard.trips] == [20, 15, 10, 10, 10]


def test_trips_with_progress_between_go_back_to_the_newest() -> None:
    run = Run(every=5)
    for _ in range(3):
        run.update(6)
        run.trip()
    assert [trip.back_to for trip in run.guard.trips] == [5, 11, 17]


def test_a_snapshot_whose_next_loss_is_large_is_passed_over() -> None:
    """Finite, yet bad already: its parameters gave ten times the loss of the ones before."""
    guard = Run(every=1).guard
    for step, loss in enumerate((1.0, 0.9, 1.7, 10.0, 30.0, math.nan)):
        is_good = guard.is_good(torch.tensor(loss), FINE)
        if is_good:
            guard.after_update(step + 1)
    guard.trip(0, 0, "x")
    # The snapshot after 2 updates saw 1.7 < 2 · 0.9, the one after 3 saw 10.
    assert guard.trips[0].back_to == 2


def test_a_snapshot_that_sees_only_bad_batches_is_kept_if_it_is_the_only_one() -> None:
    run = Run()
    before = run.state()
    for batch in range(3):
        run.trip(batch)
    assert_same(run.state(), before)


# --- where training goes on ----------------------------------------------------------------------


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 4), st.integers(1, 5))
def test_whatever_comes_the_state_stays_sound(
    goods: list[bool], snapshots: int, every: int
) -> None:
    run = Run(snapshots=snapshots, every=every, factor=0.25, max_trips=40)
    for batch, is_fine in enumerate(goods):
        if is_fine:
            run.update()
            continue
        for value in (*run.model.parameters(), *run.model.buffers()):
            value.data.fill_(3) if value.dtype == torch.int64 else value.data.fill_(math.nan)
        run.trip(batch)
        assert run.guard.trips[-1].back_to <= run.step
    bad = [batch for batch, is_fine in enumerate(goods) if not is_fine]
    assert run.guard.is_sound()
    assert run.guard.set_aside == {(0, batch) for batch in bad}
    assert [trip.batch for trip in run.guard.trips] == bad
    assert run.guard.lr_scale == 0.25 ** len(bad)  # powers of two: exact


def test_the_rate_in_the_optimiser_is_reported_and_left_to_the_loop() -> None:
    run = Run()
    run.optimizer.param_groups[0]["lr"] = 0.7
    run.trip()
    assert run.guard.trips[0].rate == 0.7
    assert run.optimizer.param_groups[0]["lr"] == 0.7
    assert run.guard.lr_scale == 0.5


def test_it_gives_up_with_a_report_and_leaves_a_good_state() -> None:
    run = Run(max_trips=2, every=2)
    run.update(2)
    run.trip(10)
    run.update()
    run.trip(11)
    run.update()
    message = (
        r"(?s)at most 2 .* got 3\. .*1\. step 2, .*batch 10.*3\. step 4.*12 \(batch 12\): loss"
    )
    with pytest.raises(DivergedError, match=message):
        run.trip(12)
    assert run.guard.is_sound()
    assert len(run.guard.set_aside) == 3


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

RANK = """
import sys, torch
from datetime import timedelta
from torch import distributed, nn
from pdenet.training.loop.guard import Guard
from pdenet.training.loop.optimisers import create_optimizer
rank = int(sys.argv[1])
distributed.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank,
                               world_size=2, timeout=timedelta(seconds=60))
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
guard = Guard(model, create_optimizer(model), every=1, max_loss=90.0, group=distributed.group.WORLD)
one, nan = torch.tensor(1.0), torch.tensor(float("nan"))
said = []
def see(loss, norm):
    good = guard.is_good(loss, norm)
    if not good:
        guard.trip(0, len(said), "x")
    said.append(good)
see(one, one)
guard.after_update(1)
see(nan if rank == 1 else one, one)
see(one, nan if rank == 0 else one)
see(torch.tensor(100.0) if rank == 1 else one, one)
if rank == 1:
    model[1].running_var[0] = float("inf")
see(one, one)
see(one, one)
# One process alone has a state that is not finite: nobody takes a snapshot.
if rank == 0:
    model[0].weight.data[0, 0] = float("nan")
said.append(guard.is_sound())
guard.after_update(2)
# Only the second process saw a large loss after its snapshot: both go back further.
model[0].weight.data.zero_()
for step in range(3, 5):
    said.append(guard.is_good(one if step < 4 or rank == 0 else 50 * one, one))
    guard.after_update(step)
see(nan if rank == 0 else one, one)
distributed.destroy_process_group()
print(said)
print([trip.what for trip in guard.trips])
print([trip.back_to for trip in guard.trips], guard.lr_scale)
"""


def test_all_processes_agree(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rank), str(tmp_path / "store")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for rank in range(2)
    ]
    answers = []
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        answers.append(out.splitlines())
    said, back = [answer[0] for answer in answers], [answer[2] for answer in answers]
    assert said == [str([True, False, False, False, False, True, False, True, True, False])] * 2
    # The last: alone, the first process would have gone back to 3.
    assert back == ["[0, 0, 0, 0, 0] 0.03125"] * 2
    there = "of another process"
    assert answers[0][1] == str(
        [
            f"loss {there}",
            "gradient norm nan",
            f"loss {there}",
            f"buffers {there}",
            "loss nan",
        ]
    )
    assert answers[1][1] == str(
        [
            "loss nan",
            f"gradient norm {there}",
            "loss 100 > 90",
            "buffers 1.running_var",
            f"loss {there}",
        ]
    )


@pytest.mark.gpu
def test_a_check_waits_for_the_device_once() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3)).cuda()
    guard = Guard(model, create_optimizer(model))
    loss = model(torch.randn(2, 3, 8, 8, device="cuda")).square().mean()
    norm = torch.ones((), device="cuda")
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with pytest.warns(UserWarning, match="synchronizing") as waits:
            assert guard.is_good(loss, norm)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(waits) == 1
