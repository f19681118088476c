"""Schedules: the peak is reached, the last rate is the least, and nothing else is between."""

from __future__ import annotations

import itertools
import math
from typing import Any  # every kind of wrong value is given to the door

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdenet.errors import TrainingError
from pdenet.training.loop.schedule import SCHEDULES, Schedule

# Two operations on numbers of order lr: a few units in the last place.
ROUNDING = 1e-15


@st.composite
def schedules(draw: st.DrawFn, sched: str | None = None) -> Schedule:
    steps, epochs = draw(st.integers(1, 50)), draw(st.integers(1, 60))
    warmup = draw(st.integers(0, epochs * steps - 1)) / steps
    lr = draw(st.floats(1e-6, 10.0))
    return Schedule(
        lr=lr,
        epochs=epochs,
        steps_per_epoch=steps,
        sched=sched or draw(st.sampled_from(SCHEDULES)),
        warmup_epochs=warmup,
        warmup_lr=lr * draw(st.floats(0.0, 1.0)),
        min_lr=lr * draw(st.floats(0.0, 1.0)),
        decay_epochs=warmup + draw(st.floats(0.5, 30.0)),
        decay_rate=draw(st.floats(0.0, 1.0)),
        cooldown_epochs=draw(st.integers(0, 5)),
    )


@given(schedules())
def test_the_peak_is_reached_by_the_first_update_after_the_warm_up(schedule: Schedule) -> None:
    warmup = round(schedule.warmup_epochs * schedule.steps_per_epoch)
    assert schedule.rate(warmup) == schedule.lr
    rates = [schedule.rate(step) for step in range(warmup + 1)]
    assert rates == sorted(rates)
    if warmup:
        assert rates[0] == schedule.warmup_lr
        slopes = [b - a for a, b in itertools.pairwise(rates)]
        assert max(slopes) - min(slopes) <= 4 * ROUNDING * schedule.lr


@given(schedules(sched="cosine"))
def test_the_last_update_of_the_cosine_has_the_least_rate(schedule: Schedule) -> None:
    last = schedule.epochs * schedule.steps_per_epoch - 1
    warmup = round(schedule.warmup_epochs * schedule.steps_per_epoch)
    if last > warmup:
        assert schedule.rate(last) == pytest.approx(schedule.min_lr, abs=ROUNDING * schedule.lr)
    # And in the cooldown, and ever after.
    assert schedule.rate(last + 1) == schedule.rate(10 * last + 7) == schedule.rate(last)
    rates = [schedule.rate(step) for step in range(warmup, last + 1)]
    slack = ROUNDING * schedule.lr
    assert all(b <= a + slack for a, b in itertools.pairwise(rates))
    # A cosine is antisymmetric about its middle.
    middle = schedule.lr + schedule.min_lr
    if last > warmup:
        for a, b in zip(rates, reversed(rates), strict=True):
            assert a + b == pytest.approx(middle, abs=10 * slack)


@given(schedules())
def test_rates_lie_between_the_least_and_the_peak(schedule: Schedule) -> None:
    least = min(schedule.warmup_lr, schedule.min_lr)
    for step in range(schedule.num_epochs * schedule.steps_per_epoch):
        rate = schedule.rate(step)
        slack = ROUNDING * schedule.lr
        assert least - slack <= rate <= schedule.lr + slack


def test_steps_decay_at_the_epochs_that_papers_name() -> None:
    """By ten at epochs 30, 60 and 80 … here 30 and 60, with a warm-up of five (Goyal et al.)."""
    schedule = Schedule(0.1, 90, 7, sched="step", warmup_epochs=5, decay_epochs=30, min_lr=0.002)
    by_epoch = [{schedule.rate(7 * epoch + k) for k in range(7)} for epoch in range(90)]
    assert by_epoch[5:30] == [{0.1}] * 25
    assert by_epoch[30:60] == [{0.1 * 0.1}] * 30
    assert by_epoch[60:] == [{0.002}] * 30  # not 0.001


def test_the_published_run_peaks_at_its_rate() -> None:
    """The recipe of the paper: 50 epochs, 5 of them warm-up, peak 0.3."""
    schedule = Schedule(lr=0.3, epochs=50, steps_per_epoch=660, warmup_epochs=5, warmup_lr=1e-6)
    rates = [schedule.rate(step) for step in range(50 * 660)]
    assert max(rates) == 0.3
    assert rates.index(0.3) == 5 * 660
    assert rates[-1] == 0.0
    # By hand, half of the way through the cosine.
    half = 3300 + (50 * 660 - 1 - 3300) // 2
    done = (half - 3300) / (50 * 660 - 1 - 3300)
    assert rates[half] == pytest.approx(0.15 * (1 + math.cos(math.pi * done)), rel=1e-12)
    assert schedule.num_epochs == 50


def test_constant_is() -> None:
    schedule = Schedule(0.2, 3, 4, sched="constant", cooldown_epochs=2)
    assert {schedule.rate(step) for step in range(40)} == {0.2}
    assert schedule.num_epochs == 5


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "unknown": ({"sched": "cosin"}, "Did you mean 'cosine'"),
    "plateau": ({"sched": "plateau"}, "cosine, step, constant; got 'plateau'"),
    "no text": ({"sched": None}, "got None"),
    "lr negative": ({"lr": -0.1}, "lr is a number from 0"),
    "lr NaN": ({"lr": math.nan}, "lr is a number from 0; got nan"),
    "lr infinite": ({"lr": math.inf}, "got inf"),
    "lr a text": ({"lr": "0.1"}, "got '0.1'"),
    "lr a bool": ({"lr": True}, "got True"),
    "epochs 0": ({"epochs": 0}, "epochs is an integer >= 1"),
    "epochs a float": ({"epochs": 5.5}, "epochs is an integer"),
    "no steps": ({"steps_per_epoch": 0}, "steps_per_epoch"),
    "cooldown negative": ({"cooldown_epochs": -1}, "cooldown_epochs"),
    "warm-up for ever": ({"warmup_epochs": 10}, "Use fewer, so that lr is reached"),
    "warm-up above the peak": ({"warmup_lr": 0.2}, "warmup_lr is at most the peak lr = 0.1"),
    "least above the peak": ({"min_lr": 0.2}, "min_lr is at most the peak"),
    "decay within the warm-up": (
        {"sched": "step", "warmup_epochs": 5, "decay_epochs": 5},
        "decays after the warm-up",
    ),
    "decay rate NaN": ({"decay_rate": math.nan}, "decay_rate"),
    "decay rate above 1": ({"decay_rate": 1.5}, "decay_rate"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_schedule_that_makes_no_sense_is_refused(case: str) -> None:
    change, message = BAD[case]
    with pytest.raises(TrainingError, match=message):
        Schedule(**{"lr": 0.1, "epochs": 10, "steps_per_epoch": 3, **change})


def test_a_step_before_the_first_is_refused() -> None:
    with pytest.raises(TrainingError, match="got -1"):
        Schedule(0.1, 10, 3).rate(-1)
