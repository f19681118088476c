"""Steps that are recorded: they are the network's, and so are their derivatives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import sympy as sp
import torch

import pdenet as pn
from pdenet.training.fitting import objective, replay
from pdenet.training.fitting.batches import as_trajectories, make_batches, make_pieces
from pdenet.training.fitting.fit import fit
from pdenet.training.fitting.rollout import Rollout, one_by_one
from tests.tiers import Each, both_tiers

T, X = pn.coordinates("t x")
U = pn.fields("u", (T, X))
D, R = sp.symbols("D r")


CASES: dict[str, Mapping[str, Any]] = {
    "product": {"pde": pn.PDE(sp.Eq(U.diff(T), D * U.diff(X, 2) + R * U * (1 - U)))},
    "divergence": {"pde": pn.PDE(sp.Eq(U.diff(T), pn.D((D + R * U**2) * U.diff(X), X)))},
    "time": {"pde": pn.PDE(sp.Eq(U.diff(T), D * U.diff(X, 2) + R * sp.sin(3 * T + X)))},
    "upwind": {"pde": pn.PDE(sp.Eq(U.diff(T), -R * U * U.diff(X))), "space": "upwind"},
    "wall of a parameter": {
        "pde": pn.PDE(sp.Eq(U.diff(T), D * U.diff(X, 2))),
        "walls": pn.Boundary(x=(pn.Dirichlet(R * sp.cos(T)), pn.Robin(1, 2, R))),
        "values": {"D": 0.4, "r": 0.7},
    },
    "waves": {"pde": pn.PDE(sp.Eq(U.diff(T, 2), D * U.diff(X, 2) - R * U))},
    "functions": {
        "stepper": "rk4",
        "pde": pn.PDE(
            sp.Eq(
                U.diff(T),
                D * sp.tanh(U) * U.diff(X)
                + sp.Abs(R - U) * sp.exp(-U)
                + sp.Max(U, R) * sp.erf(U)
                + sp.sign(U - D) * sp.sqrt(U)
                + sp.Piecewise((R * U**3, U > 0.6), (R / U, True)),
            )
        ),
    },
}


def network(case: Mapping[str, Any]) -> pn.Network:
    ring = pn.Boundary(x=pn.Periodic())
    values = {"D": 0.4, "r": 0.7}
    pde = case["pde"]
    names = [p.name for p in pde.parameters]
    return pde.to_network(
        pn.Grid(x=(0, 1, 11)),
        case.get("walls", ring),
        values={n: v for n, v in values.items() if n in names or "values" in case},
        space=case.get("space", "auto"),
        stepper=case.get("stepper", "auto"),
        dt=2e-3,
        trainable=tuple(names),
        dtype="float64",
        stability="ignore",
    )


def rollouts(net: pn.Network) -> list[Rollout]:
    """Two starts, of which one is seen by sensors between nodes; three frames."""
    space = net.grid.shape
    waves = 0.6 + 0.3 * np.sin(2 * np.pi * np.arange(math.prod(space)) / 11).reshape(space)
    start = np.stack([waves + 0.05 * k for k in range(len(net.components))])
    times = np.array([0.0, 3, 7]) * net.dt
    frames = np.broadcast_to(start, (3, *start.shape))
    whole = pn.Trajectory(times, frames)
    sensors = np.full((2, 3), 0.33)[:, : net.grid.dimension]
    some = pn.Trajectory(times, np.zeros((3, len(start), 2)), initial=0.9 * start, sensors=sensors)
    trajectories = as_trajectories([whole, some], None, net)
    pieces = make_pieces(trajectories, net, None, estimated=False)
    return [Rollout(net, batch) for batch in make_batches(pieces)]


def numbers(net: pn.Network) -> dict[str, np.ndarray]:
    return {name: one.detach().numpy().copy() for name, one in net.quantities().items()}


def assert_replayed(net: pn.Network) -> None:
    """Sums in another order, seven steps of unit size: 1e-13; forward mode likewise."""
    parts = rollouts(net)
    replays = replay.make_replays(parts, numbers(net))
    assert replays is not None
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1.1)  # elsewhere than where it was recorded
    for part, one in zip(parts, replays, strict=True):
        found = one(numbers(net))
        assert found is not None
        frames = part.linearised(net.quantities(), one_by_one(net.quantities(), None))
        residuals, tangents = (torch.stack(f).numpy() for f in zip(*frames, strict=True))
        values = part.values.numpy().swapaxes(0, 1)
        np.testing.assert_allclose(found[0] - values, residuals, rtol=0, atol=1e-13)
        slopes = tangents.swapaxes(0, 1)
        np.testing.assert_allclose(found[1], slopes, rtol=0, atol=1e-12 * np.abs(slopes).max())


def test_recorded_steps_are_the_networks_with_its_derivatives(each: Each) -> None:
    for name, cell in each(CASES, key=str):
        with cell:
            assert_replayed(network(CASES[name]))


@both_tiers
def test_recorded_steps_of_the_catalogue_are_the_networks(deep: bool, each: Each) -> None:
    every = [n for n in pn.catalogue if any(p.kind == "scalar" for p in pn.catalogue[n].parameters)]
    every = [n for n in every if all(p.kind == "scalar" for p in pn.catalogue[n].parameters)]
    for name, cell in each(every if deep else ["gray_scott", "wave"], key=str):
        with cell:
            pde = pn.catalogue[name]
            axes = pde.system.axes
            net = pde.to_network(
                pn.Grid(**{a: (0, 1, 6 + k) for k, a in enumerate(axes)}),
                pn.Boundary(**{a: pn.Neumann(0) for a in axes}),
                values={p.name: 0.3 for p in pde.parameters if p.default is None},
                dt=1e-3,
                trainable=True,
                stencils="frozen",
                dtype="float64",
                stability="ignore",
            )
            assert_replayed(net)


def test_matrices_are_recorded_too() -> None:
    a = np.random.default_rng(0).normal(size=(4, 2, 2)) / 4
    net = pn.catalogue["eq3"].to_network(
        pn.Grid(x=(0, 1, 6), y=(0, 1, 7)),
        pn.Boundary(x=pn.Periodic(), y=pn.Neumann(0)),
        values=dict(zip("ABCD", a, strict=True)),
        dt=1e-3,
        trainable=("A", "D"),
        dtype="float64",
        stability="ignore",
    )
    assert_replayed(net)


def test_a_network_that_was_changed_by_hand_is_not_replayed() -> None:
    def changed(change: str) -> bool:
        net = network(CASES["wall of a parameter" if change == "wall" else "product"])
        with torch.no_grad():
            if change == "kernel":
                next(iter(net.block.kernels.items()))[1][0] += 0.1
            elif change == "number":
                net.block.numbers[0] *= 2
            elif change == "advance":
                advance = net.advance
                net.advance = lambda u, t=0.0, **more: 1.01 * advance(u, t, **more)  # type: ignore[method-assign]
            assert (net.discretisation() is None) == (change in ("kernel", "number"))
            return replay.make_replays(rollouts(net), numbers(net)) is None

    assert not changed("")
    assert all(map(changed, ("kernel", "number", "advance")))


def test_large_networks_and_stencils_are_not_replayed() -> None:
    pde, ring = pn.PDE(sp.Eq(U.diff(T), D * U.diff(X, 2))), pn.Boundary(x=pn.Periodic())
    for points, dtype, name, is_replayed in (
        (9, "float64", "D", True),
        (9000, "float64", "D", False),
        (9, "float32", "D", True),
        (9, "float64", "stencils", False),
    ):
        net = pde.to_network(
            pn.Grid(x=(0, 1, points)), ring, values={"D": 0.1}, dt=1e-9, dtype=dtype,
            trainable=(name,), stability="ignore",
        )  # fmt: skip
        assert (replay.make_replays(rollouts(net), numbers(net)) is not None) == is_replayed


def test_what_is_no_real_number_is_a_blow_up() -> None:
    """u_t = r log u falls below 0, where the network's logarithm is NaN and a complex one iπ."""
    net = network({"pde": pn.PDE(sp.Eq(U.diff(T), R * sp.log(U) + D * U.diff(X, 2)))})
    replays = replay.make_replays(rollouts(net), numbers(net))
    assert replays is not None
    gone = {"D": np.array(0.0), "r": np.array(400.0)}
    assert replays[0]({"D": np.array(0.4), "r": np.array(0.7)}) is not None
    assert replays[0](gone) is None


def test_a_fit_finds_the_same_with_recorded_steps_and_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two searches for one minimum stop within 1e-9 of its loss, 3e-4 standard errors of it."""
    case = CASES["product"]
    start = 0.5 + 0.3 * np.cos(2 * np.pi * np.arange(11) / 11)[None]
    truth = case["pde"].to_solver(
        pn.Grid(x=(0, 1, 11)), pn.Boundary(x=pn.Periodic()), values={"D": 0.3, "r": 1.2}, dt=2e-3
    )
    frames = truth.run(start, until=0.1, every=0.02)
    noisy = frames.states + 0.01 * np.random.default_rng(0).normal(size=frames.states.shape)
    noisy[0] = start
    found = []
    for makes in (replay.make_replays, lambda *_: None):
        monkeypatch.setattr(objective, "make_replays", makes)
        found.append(fit(network(case), noisy, times=frames.times))
    one, other = found
    for name in ("D", "r"):
        error = float(one.errors[name])
        assert one.values[name] == pytest.approx(other.values[name], abs=1e-2 * error)
        # The covariance is the derivative's at values that are so near.
        assert one.errors[name] == pytest.approx(other.errors[name], rel=1e-2)
    assert one.noise["u"] == pytest.approx(other.noise["u"], rel=1e-3)
    assert one.loss[0] == pytest.approx(other.loss[0], rel=1e-12)
    assert one.notes == other.notes
