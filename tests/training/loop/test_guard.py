"""The guard: what is bad, what it goes back to, where training goes on, and when it gives up."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from pdenet.errors import DivergedError
from pdenet.training.loop.guard import Guard
from pdenet.training.loop.optimisers import create_optimizer
from tests.training.loop.guarded import FINE, INFINITE, NAN, Run, assert_same

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
