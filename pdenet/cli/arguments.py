"""The options that `pdenet solve` and `pdenet info` share."""

from __future__ import annotations

import argparse
from typing import Any  # keyword arguments of argparse


def add_setup_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that override a preset or a file."""
    many: dict[str, Any] = {"action": "append", "default": [], "metavar": "TEXT"}
    group = parser.add_argument_group("equation, grid and walls")
    group.add_argument("--option", **many, help="variant of a catalogue entry: dimension=1")
    group.add_argument("--set", **many, help="a parameter: D=0.2, c=2*pi, A=[[1,0],[0,1]], A=a.npy")
    group.add_argument("--grid", **many, help="low:high:points: x=-1:1:128")
    group.add_argument("--points", metavar="N", help="nodes along each axis: 64, or x=64,y=32")
    group.add_argument(
        "--boundary",
        **many,
        help="periodic; x=dirichlet:0,neumann:1; y=robin:a:b:g; y.u=free; zero_padding",
    )
    group = parser.add_argument_group("scheme")
    for name, text in (
        ("stepper", "auto, euler, symplectic_euler, leapfrog, heun, ssprk3, rk4"),
        ("space", "auto, central2, central4, central6, nine_point, upwind, lax_friedrichs"),
        ("dt", 'the time step, or "auto"'),
        ("stability", "refuse, warn, ignore"),
        ("backend", "numpy, torch"),
        ("dtype", "float64, float32"),
        ("device", "where torch computes: cpu, cuda"),
    ):
        group.add_argument(f"--{name}", metavar=name.upper(), help=text)
