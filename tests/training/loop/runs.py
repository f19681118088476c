"""Small runs that tests make: in this process, or in others that may be killed."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any  # options

import torch
from torch import Tensor, nn

import pdenet as pn
from pdenet.network.convnet.classifier import Classifier
from pdenet.network.convnet.layout import Layout
from pdenet.training.loop.options import TrainOptions
from pdenet.training.loop.train import Outcome, train


def small_options(folder: Path, **changes: Any) -> TrainOptions:
    """Return the options of a run of 3 epochs of 5 updates on the digits."""
    given: dict[str, Any] = {
        "model": "",
        "output": str(folder),
        "experiment": "run",
        "device": "cpu",
        "batch_size": 256,
        "epochs": 3,
        "warmup_epochs": 0.5,
        "guard_every": 3,
        "guard_snapshots": 2,
        "monitor_every": 0,
    }
    return TrainOptions(**{**given, **changes})


def small_model(drop: float = 0.2) -> Classifier:
    """Return Eq. (3) with two blocks, a batch norm each, and with random features left out."""
    torch.manual_seed(7)
    return Classifier(
        pn.catalogue["eq3"], 10, in_channels=1, layout=Layout((6, 8), (1, 1)), drop_rate=drop,
        drop_path_rate=drop,
    )  # fmt: skip


class Plain(nn.Module):
    """A network without batch norm: its batches may be divided as one likes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layers = nn.Sequential(nn.Conv2d(1, 6, 3), nn.Tanh(), nn.Flatten(), nn.Linear(216, 10))

    def forward(self, images: Tensor) -> Tensor:
        made: Tensor = self.layers(images)
        return made


MODELS: dict[str, Callable[[], nn.Module]] = {"pde": small_model, "plain": Plain}


def run(folder: Path, model: str = "pde", **changes: Any) -> Outcome:
    return train(small_options(folder, **changes), model=MODELS[model]())


# -- in other processes ----------------------------------------------------------------------------


def server() -> ForkServerContext:
    """Return a context whose processes begin with everything loaded, in milliseconds.

    Its server is started once in a process, which takes seconds.
    """
    context = get_context("forkserver")
    # The others are imported late, by what they are needed for.
    late = ["pandas", "sklearn.datasets", "sympy.combinatorics", "torch._dynamo", "torch.onnx"]
    here = ["tests.training.loop.runs", "tests.training.loop.guarded"]
    context.set_forkserver_preload([*here, *late])
    return context


class Group:
    """Processes that train together, as torchrun would have started them."""

    def __init__(self, context: ForkServerContext, folder: Path, size: int, **more: Any) -> None:
        """Start them; `more` are arguments of `run` and the `fatal` call of fsync."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.log = folder.parent / f"{folder.name}.log"
        self.processes: list[ForkServerProcess] = []
        for rank in range(size):
            variables: dict[str, object] = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank}
            variables |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            process = context.Process(target=_child, args=(self.log, folder, variables, more))
            process.start()
            self.processes.append(process)

    def wait(self, seconds: float) -> list[int | None]:
        """Return the exit status of each, None where it is still at work."""
        for process in self.processes:
            process.join(seconds)
        return [process.exitcode for process in self.processes]

    def kill(self) -> None:
        for process in self.processes:
            process.kill()
        self.wait(30)

    def signal(self, number: int) -> None:
        for process in self.processes:
            if process.pid is not None:
                os.kill(process.pid, number)


def _child(log: Path, folder: Path, variables: dict[str, object], more: dict[str, Any]) -> None:
    with log.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    torch.set_num_threads(1)
    if variables["WORLD_SIZE"] != 1:
        os.environ.update({name: str(value) for name, value in variables.items()})
    fatal = more.pop("fatal", None)
    if fatal is not None:
        _die_at_flush(fatal)
    outcome = run(folder, **more)  # an exception is shown, and the status is 1
    sys.exit(0 if outcome.stopped is None else 128 + outcome.stopped)


def _die_at_flush(number: int) -> None:
    """Kill this process when it flushes a file to the disk for the n-th time: inside a save."""
    flush, calls = os.fsync, iter(range(number))

    def fatal(descriptor: Any) -> None:
        if next(calls, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        flush(descriptor)

    os.fsync = fatal  # type: ignore[assignment]  # one argument is all it has


# -- what is compared ------------------------------------------------------------------------------


def content(folder: Path, kind: str = "last") -> dict[str, Any]:
    """Return everything in the newest checkpoint of a run but the times it took."""
    from pdenet.training.loop.checkpoint import Checkpoints

    saved = Checkpoints(folder / "run").load(kind)
    assert saved is not None
    state: Any = saved.state
    if "progress" in state:
        del state["progress"]["seconds"]
        for row in state["progress"]["history"]:
            del row["seconds"]
    # Where it lies, and that it was resumed, is no part of what it is.
    for name in ("output", "resume"):
        state["options"].pop(name, None)
    return {"step": saved.step, "weights": saved.weights, "state": state}


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Name the places where two nested values are not the same bit by bit."""
    if type(one) is not type(other):
        return [f"{where}: {type(one)} and {type(other)}"]
    if isinstance(one, Tensor):
        same = one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)
        return [] if same else [where]
    if isinstance(one, dict):
        if one.keys() != other.keys():
            return [f"{where}: {sorted(map(str, one.keys() ^ other.keys()))}"]
        return [d for k in one for d in differences(one[k], other[k], f"{where}.{k}")]
    if isinstance(one, list | tuple):
        if len(one) != len(other):
            return [f"{where}: {len(one)} and {len(other)}"]
        pairs = enumerate(zip(one, other, strict=True))
        return [d for k, (a, b) in pairs for d in differences(a, b, f"{where}[{k}]")]
    return [] if one == other or (one != one and other != other) else [f"{where}: {one}, {other}"]
