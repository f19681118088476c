"""Classifiers against timm's ResNet50 and MobileNetV3, and against blocks written by hand.

Run: `python -m benchmarks.training`, on a GPU with
`--device cuda --batch 192 --dtype bfloat16 --channels-last --compile`.
Forward pass and training step, images/s, all in one run and by turns: of each round the ratio to
timm's ResNet50 is taken, and the median over rounds is printed with the quartiles. Peak memory of
one training step, each in a process of its own. Needs the extra `timm`.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

import pdenet as pn
from benchmarks.literal import literal_model
from benchmarks.peers import timm_model

PEERS = ("resnet50", "mobilenetv3_large_100")
LITERAL = "literal "


@dataclass(frozen=True)
class Setting:
    """How everything is measured.

    Attributes:
        device: "cpu" or "cuda".
        batch: pictures in a batch.
        size: pixels along a side.
        dtype: "float32", or "bfloat16" for autocast.
        channels_last: whether tensors are laid out pixel by pixel.
        compile: whether models are compiled.
    """

    device: str
    batch: int
    size: int
    dtype: str
    channels_last: bool
    compile: bool

    @property
    def layout(self) -> torch.memory_format:
        """The memory format."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def pictures(self) -> torch.Tensor:
        """Return a batch of noise."""
        made = torch.randn(self.batch, 3, self.size, self.size, device=self.device)
        return made.to(memory_format=self.layout)

    def autocast(self) -> torch.autocast:
        """Return the context of the forward pass."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.dtype == "bfloat16")


def build(name: str, setting: Setting) -> nn.Module:
    """Return a model by its name, ready to be trained."""
    if name in PEERS:
        model = timm_model(name, num_classes=100)
    elif name.startswith(LITERAL):
        model = literal_model(name.removeprefix(LITERAL), num_classes=100)
    else:
        model = pn.create_model(name, num_classes=100)
    model = model.to(device=setting.device, memory_format=setting.layout).train()
    return torch.compile(model) if setting.compile else model


def steps(model: nn.Module, setting: Setting) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return a forward pass and a training step."""
    pictures = setting.pictures()
    labels = torch.randint(0, 100, (setting.batch,), device=setting.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

    def forward() -> None:
        model.eval()
        with torch.no_grad(), setting.autocast():
            model(pictures)
        model.train()

    def train() -> None:
        with setting.autocast():
            loss = nn.functional.cross_entropy(model(pictures), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return forward, train


def seconds(run: Callable[[], None], device: str, repeats: int) -> float:
    """Return the time of one call, over some."""
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / repeats


def peak_memory(name: str, setting: Setting) -> float:
    """Return how much memory one training step needs beyond an idle process, in MiB."""
    if setting.device == "cuda":
        _, train = steps(build(name, setting), setting)
        torch.cuda.reset_peak_memory_stats()
        train()
        return torch.cuda.max_memory_allocated() / 2**20
    timm_model(PEERS[0], 1)  # whatever libraries need is there before
    before = peak_resident()
    _, train = steps(build(name, setting), setting)
    train()
    return peak_resident() - before


def peak_resident() -> float:
    """Return the most memory that this process has had so far, in MiB.

    Not `resource.getrusage`: its number is handed on from a parent to its children.
    """
    status = Path("/proc/self/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0]) / 1024


def memory_in_a_process(name: str) -> float:
    """Return the peak memory of a model, measured by this script in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.training", *sys.argv[1:], "--only-memory", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = [n for n in pn.list_models() if not n.endswith("_small")]
    parser.add_argument("--models", nargs="+", default=names, help="models of pn.list_models()")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=1, help="calls that are timed together")
    parser.add_argument("--only-memory", help=argparse.SUPPRESS)
    given = parser.parse_args()
    setting = Setting(
        given.device, given.batch, given.size, given.dtype, given.channels_last, given.compile
    )
    if given.only_memory:
        print(peak_memory(given.only_memory, setting))
        return
    if setting.compile:  # all models share code objects, each of which has a limit of versions
        torch._dynamo.config.recompile_limit = 1000
        torch._dynamo.config.fail_on_recompile_limit_hit = True
    card = torch.cuda.get_device_name() if given.device == "cuda" else platform.processor()
    threads = f"{torch.get_num_threads()} threads"
    print(f"{card or 'CPU'}, {threads}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}")
    print(setting)
    everything = [*PEERS, *(one for n in given.models for one in (n, LITERAL + n))]
    runs = {name: steps(build(name, setting), setting) for name in everything}
    times: dict[str, list[list[float]]] = {name: [[], []] for name in everything}
    for round_number in tqdm(range(given.rounds + 1), desc="rounds", disable=None):
        for name, pair in runs.items():
            for kind, run in enumerate(pair):
                took = seconds(run, given.device, given.repeats)
                if round_number:  # the first warms up
                    times[name][kind].append(took)
    print(f"{'model':24} {'parameters':>11} {'forward':>16} {'training step':>30} {'peak':>10}")
    for name in everything:
        cells = []
        for kind in range(2):
            took = times[name][kind]
            ratios = [a / b for a, b in zip(times[PEERS[0]][kind], took, strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4)
            rate = setting.batch / statistics.median(took)
            cells.append(f"{rate:8.1f} img/s {middle:5.2f} ({low:.2f}–{high:.2f})")
        count = sum(p.numel() for p in build(name, setting).parameters())
        print(f"{name:24} {count:11,} {cells[0]} {cells[1]} {memory_in_a_process(name):7.0f} MiB")


if __name__ == "__main__":
    main()
