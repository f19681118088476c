"""Memory that a gradient through a long roll-out needs, with and without checkpoints.

Run: `python benchmarks/rollout_memory.py`. Each line is a process of its own; its number is how far
the largest resident memory rose above that of a run of one step. The promise: with a checkpoint
every √steps steps the tensors alive grow like √steps, and truncated back-propagation holds one
stretch. Tests count these tensors. Resident memory grows somewhat faster, since the C allocator
does not give back all that was freed between others; glibc is asked to map large tensors singly.
"""

from __future__ import annotations

import math
import os
import resource
import subprocess
import sys

import torch

import pdenet as pn

POINTS = 128
STEPS = (100, 400, 1600)
WAYS = ("plain", "checkpoint", "truncate")


def peak(way: str, steps: int) -> int:
    """Return the largest resident memory, in bytes, of one gradient through a roll-out."""
    grid = pn.Grid(x=(-1, 1, POINTS), y=(-1, 1, POINTS))
    walls = pn.Boundary(x=pn.Periodic(), y=pn.Periodic())
    pde = pn.catalogue["burgers_2d"]
    net = pde.to_network(grid, walls, dt=1e-4, stepper="euler", trainable=("nu",))
    u = torch.rand(1, 2, POINTS, POINTS, generator=torch.Generator().manual_seed(0))
    every = max(1, math.isqrt(steps))
    options = {"checkpoint": {"checkpoint_every": every}, "truncate": {"truncate_every": 20}}
    net.advance(u, steps=steps, **options.get(way, {})).square().mean().backward()
    unit = 1 if sys.platform == "darwin" else 1024  # kilobytes, but bytes on macOS
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def measured(way: str, steps: int) -> int:
    """Return `peak` of a fresh process."""
    done = subprocess.run(
        [sys.executable, __file__, way, str(steps)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
    )
    return int(done.stdout)


def main() -> None:
    """Print the table."""
    least = measured("plain", 1)
    print(f"Burgers, {POINTS}², float32; one state has {8 * POINTS**2 / 1e6:.2f} MB")
    print(f"{'steps':>6}" + "".join(f"{way:>14}" for way in WAYS))
    for steps in STEPS:
        found = [measured(way, steps) - least for way in WAYS]
        print(f"{steps:6}" + "".join(f"{f / 1e6:11.0f} MB" for f in found), flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(peak(sys.argv[1], int(sys.argv[2])))
    else:
        main()
