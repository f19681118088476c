"""Names of parameters and components may be symbols, fields and coefficients; data are copied."""

from __future__ import annotations

from typing import Any  # keys of every kind

import numpy as np
import pytest
import sympy as sp

import pdenet as pn
from pdenet.errors import FitError
from pdenet.training.fitting.fit import Fit, fit
from pdenet.training.fitting.keys import by_name, name_of, names_of
from pdenet.training.fitting.penalties import smoothness
from pdenet.training.fitting.trajectories import Trajectory
from tests.training.fitting.standin import (
    StandIn,
    diffusion_reaction,
    field,
    frames_of,
    oscillator,
    wave_start,
)

t, x = pn.coordinates("t x")
u = pn.fields("u", (t, x))
D, r = sp.symbols("D r")
KEYS = [
    ("D", "D"),
    (D, "D"),
    (u, "u"),
    (u.diff(t), "u_t"),
    (sp.Function("c")(x), "c"),
    (sp.Function("c"), "c"),
    (pn.Coefficient("A", (2, 2)), "A"),
]


@pytest.mark.parametrize(("key", "name"), KEYS)
def test_every_key_is_read_alone_and_among_others(key: Any, name: str) -> None:
    assert name_of("keys", key) == name
    assert names_of("keys", key) == names_of("keys", [key]) == names_of("keys", {key}) == (name,)
    assert by_name("keys", {key: 1}) == {name: 1}


@pytest.mark.parametrize("wrong", [3.0, None, [3], [["D"]], D * r, {"D", 1}])
def test_keys_that_name_nothing_are_refused(wrong: Any) -> None:
    with pytest.raises(FitError, match=r"^parameters=: names are given as"):
        names_of("parameters=", wrong)


def test_one_name_given_twice_is_refused() -> None:
    with pytest.raises(FitError, match="bounds= has one value a name; got two for 'D'"):
        by_name("bounds=", {"D": (0, 1), D: (0, 2)})


def noisy_pair() -> tuple[Trajectory, StandIn]:
    truth = StandIn(diffusion_reaction, {"D": 0.02, "r": 2.0})
    times, frames = frames_of(truth, wave_start(), 5, 5)
    noisy = frames + 0.01 * np.random.default_rng(0).normal(size=frames.shape)
    data = Trajectory(times, noisy, initial=frames[0])
    return data, StandIn(diffusion_reaction, {"D": 0.01, "r": 1.0})


def fitted(**options: Any) -> Fit:
    data, net = noisy_pair()
    return fit(net, data, **options)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"parameters": D}, {"parameters": "D"}),
        ({"parameters": (r, "D")}, {"parameters": ["D", "r"]}),
        ({"bounds": {D: (0, 0.1)}}, {"bounds": {"D": (0, 0.1)}}),
        ({"noise": {u: 0.3}}, {"noise": {"u": 0.3}}),
    ],
)
def test_a_fit_by_symbols_is_the_fit_by_names(given: dict[str, Any], named: dict[str, Any]) -> None:
    made, same = fitted(**given), fitted(**named)
    assert made.values == same.values
    assert made.errors == same.errors
    assert made.interval(D) == same.interval("D")
    assert made.bounds.keys() == same.bounds.keys()
    np.testing.assert_array_equal(made.bounds["D"], same.bounds["D"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parameters": sp.Symbol("d")}, "Did you mean 'D'"),
        ({"parameters": 3.0}, "parameters=: names are given as"),
        ({"bounds": {sp.Symbol("d"): (0, 1)}}, "Did you mean 'D'"),
        ({"bounds": {D: (0, 1), "D": (0, 1)}}, "two for 'D'"),
        ({"bounds": {1: (0, 1)}}, "bounds=: names are given as"),
        ({"noise": {u.diff(t): 1.0}}, "got 'u_t'"),
        ({"noise": {2: 1.0}}, "noise=: names are given as"),
    ],
)
def test_keys_without_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(FitError, match=message):
        fitted(**options)


def test_fields_of_a_trajectory_and_smooth_parameters_may_be_symbols() -> None:
    truth = StandIn(oscillator, {"k": 30.0, "s": 0.1}, components=("u", "u_t"))
    times, frames = frames_of(truth, wave_start(num_components=2), 3, 5)
    turned = Trajectory(times, frames[:, ::-1], fields=(u.diff(t), u))
    assert turned.fields == ("u_t", "u")
    assert Trajectory(times, frames[:, :1], fields=u).fields == ("u",)
    times, frames = frames_of(StandIn(field, {"c": np.ones(16)}), wave_start(), 3, 5)
    c = sp.Function("c")(x)
    by_symbol, by_text = (
        fit(StandIn(field, {"c": np.zeros(16)}), frames, times=times, penalty=smoothness(key, 0.1))
        for key in (c, "c")
    )
    np.testing.assert_array_equal(by_symbol.values["c"], by_text.values["c"])


def test_a_trajectory_keeps_its_values_when_the_callers_arrays_change() -> None:
    given: dict[str, Any] = {
        "times": np.array([0.0, 0.1]),
        "states": np.ones((2, 1, 3)),
        "initial": np.ones((1, 16)),
        "sensors": np.array([1, 2, 3]),
    }
    before = {name: one.copy() for name, one in given.items()}
    made = Trajectory(**given)
    for name, one in given.items():
        one[...] = 7
        np.testing.assert_array_equal(getattr(made, name), before[name])
        with pytest.raises(ValueError, match="read-only"):
            getattr(made, name)[...] = 7
