"""What a network says of itself is what it does."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

import pdenet as pn

GRID = pn.Grid(x=(0, 1, 16), y=(0, 1, 12))
PERIODIC = pn.Boundary(x=pn.Periodic(), y=pn.Periodic())


def network(name: str, n: int) -> pn.Network:
    pde = pn.catalogue[name]
    shapes = {
        p.name: [int(e.subs(dict.fromkeys(e.free_symbols, n))) for e in p.shape]
        for p in pde.parameters
        if p.kind == "tensor"
    }
    values = {k: np.random.default_rng(0).standard_normal(s) for k, s in shapes.items()}
    return pde.to_network(GRID, PERIODIC, values=values, dt=1e-3, stepper="euler")


# The blocks of Liu, Shao & Bai (2023), Fig. 1 for Eq. (3), with ∂x and ∂y for directions: widths of
# all convolutions, in order. Eq. (7) has 3n hidden channels.
PUBLISHED = {
    "eq3": ["3×3 1→2", "1×1 8→16", "1×1 16→8"],
    "eq4": ["3×3 1→2", "1×1 8→8", "1×1 16→8"],
    "eq5": ["3×3 1→2", "1×1 8→16"],
    "eq6": ["1×1 8→8", "3×3 1→2", "1×1 16→8"],
    "eq7": ["1×1 8→24", "1×1 8→24", "3×3 1→2", "1×1 48→8"],
}


@pytest.mark.parametrize(("name", "expected"), PUBLISHED.items())
def test_the_six_systems_become_the_published_convolutions(name: str, expected: list[str]) -> None:
    text = network(name, 8).describe()
    pattern = r"convolution (\d×\d) of \w+, (\d+) → (\d+)|(1×1) convolution (\d+) → (\d+)"
    found = []
    for a, b, c, d, e, f in re.findall(pattern, text):
        found.append(f"{a or d} {b or e}→{c or f}")
    assert found == expected


@pytest.mark.parametrize("name", PUBLISHED)
def test_as_many_convolutions_run_as_are_listed(name: str) -> None:
    net = network(name, 8)
    text = net.describe()
    u = torch.zeros(1, 8, 12, 16)
    with torch.profiler.profile() as profile:
        net(u)
    calls = {e.key: e.count for e in profile.key_averages()}
    assert calls["aten::conv2d"] == text.count("convolution")


def test_a_linear_equation_is_one_convolution() -> None:
    pde = pn.catalogue["advection_diffusion"]
    net = pde.to_network(GRID, PERIODIC, values={"D": 0.1, "cx": 1, "cy": 2})
    assert net.describe().count("convolution 3×3 of u, 1 → 1 kernel") == 1
    with torch.profiler.profile() as profile:
        net(torch.zeros(1, 1, 12, 16))
    assert {e.key: e.count for e in profile.key_averages()}["aten::conv2d"] == 1


def test_what_is_trainable_is_counted() -> None:
    pde = pn.catalogue["heat"]
    assert "nothing is trainable" in pde.to_network(GRID, PERIODIC, values={"D": 1}).describe()
    net = pde.to_network(GRID, PERIODIC, values={"D": 1}, trainable=True)
    assert "19 trainable numbers" in net.describe()  # D and two 3×3 kernels
