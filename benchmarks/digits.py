"""Handwritten digits: every equation of the paper against a ResNet of equal size.

    python -m benchmarks.digits --seeds 5            the table of docs/results.md
    python -m benchmarks.digits --select --seeds 2   how its hyper-parameters were chosen

scikit-learn's 1797 digits, 8×8 pixels, stratified 80/20 split with seed 0, the recipe "digits".
The accuracy is that of the last epoch: choosing the best one would choose on the test part. The
search never sees that part either; it splits the training part again, 80/20.

Each run takes one thread; start with OMP_NUM_THREADS=1 to have the table's seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import functools
import io
import itertools
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

import pdenet as pn
from benchmarks.results import Row, replace_section, table
from pdenet.training.loop.options import settle
from pdenet.training.loop.train import train

MODELS = ("eq2", "eq3", "eq4", "eq5", "eq6", "eq7_nows_x6")
"""Names of pdenet's models, without their ending `_small`."""

RESNET = "ResNet"
RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results.md"

CANDIDATES: tuple[Mapping[str, object], ...] = (
    {},
    {"lr": 0.1},
    {"lr": 0.4},
    {"shift": 0},
    {"epochs": 15},
    {"weight_decay": 1e-4},
    {"weight_decay": 2e-3},
)
"""What `--select` tries: the recipe, and it with one thing changed."""


class BasicBlock(nn.Module):
    """relu(x + bn(conv(relu(bn(conv(x)))))); a 1×1 convolution on x where the shape changes."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.skip = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride=stride, bias=False),
                nn.BatchNorm2d(channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return the next state, shape (batch, channels, y/stride, x/stride)."""
        return torch.relu(self.body(x) + self.skip(x))


class ResNet(nn.Sequential):
    """He, Zhang, Ren & Sun (2016), § 4.2: three stages of two blocks, widths w, 2w and 4w.

    The stem, the stages and the head are those of the layout "small" of pdenet's models.
    """

    def __init__(self, width: int, num_classes: int = 10, in_channels: int = 1) -> None:
        widths = [width, width, width, 2 * width, 2 * width, 4 * width, 4 * width]
        blocks = [
            BasicBlock(before, after, stride=2 if before != after else 1)
            for before, after in itertools.pairwise(widths)
        ]
        super().__init__(
            nn.Conv2d(in_channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            *blocks,
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4 * width, num_classes),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def nearest_resnet(parameters: int) -> int:
    """Return the width at which a ResNet's number of parameters is nearest to a given one."""
    return min(range(1, 200), key=lambda width: abs(count(ResNet(width)) - parameters))


def count(model: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(p.numel() for p in model.parameters())


def builders(names: Sequence[str]) -> dict[str, Callable[[], nn.Module]]:
    """Return, for each name, what makes the model with newly drawn weights."""
    made: dict[str, Callable[[], nn.Module]] = {}
    for name in names:
        if name == RESNET:
            width = nearest_resnet(count(pn.create_model("eq7_nows_x6_small", 10, in_channels=1)))
            made[f"{RESNET}, width {width}"] = functools.partial(ResNet, width)
        else:
            made[name] = functools.partial(pn.create_model, f"{name}_small", 10, in_channels=1)
    return made


def run(build: Callable[[], nn.Module], seed: int, given: Mapping[str, object]) -> dict[str, float]:
    """Train once, quietly; return the last row of its history."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        options = settle({"recipe": "digits", "seed": seed, "output": folder, **given})
        torch.manual_seed(seed)
        outcome = train(options, model=build())
    return outcome.history[-1]


def fill_table(names: Sequence[str], seeds: int, given: Mapping[str, object]) -> str:
    """Train every model with every seed; return the text of the section."""
    rows = []
    for name, build in builders(names).items():
        runs = []
        for seed in range(seeds):
            runs.append(run(build, seed, given))
            last = runs[-1]
            print(
                f"{name} seed {seed}: {last['val_top1']:.2f} % in {last['seconds']:.0f} s",
                flush=True,
            )
        accuracies = tuple(one["val_top1"] for one in runs)
        rows.append(Row(name, count(build()), accuracies, tuple(one["seconds"] for one in runs)))
    options = settle({"recipe": "digits", **given})
    return (
        f"{table(rows)}\n\n"
        "Test part of the digits (360 of 1797 pictures, 8×8), mean ± standard deviation over "
        f"{_counted(seeds, 'seed')}, after the last of {_counted(options.epochs, 'epoch')}; "
        f"learning rate {options.lr:g}, weight decay {options.weight_decay:g}, batches of "
        f"{options.batch_size}, shifts of up to {_counted(options.shift, 'pixel')}. "
        f"{_counted(torch.get_num_threads(), 'CPU thread')}, pdenet {pn.__version__}, PyTorch "
        f"{torch.__version__}, {dt.date.today().isoformat()}."
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def select(names: Sequence[str], seeds: int, given: Mapping[str, object]) -> None:
    """Try every candidate on a part of the training part; print the winner of each model."""
    for name, build in builders(names).items():
        found = []
        for changes in CANDIDATES:
            began = time.perf_counter()
            runs = [run(build, seed, {**changes, **given, "tune": True}) for seed in range(seeds)]
            top1 = statistics.fmean(one["val_top1"] for one in runs)
            loss = statistics.fmean(one["val_loss"] for one in runs)
            found.append((top1, -loss if math.isfinite(loss) else -math.inf, changes))
            said = ", ".join(f"{k}={v}" for k, v in changes.items()) or "the recipe"
            seconds = time.perf_counter() - began
            print(f"{name}, {said}: {top1:.2f} %, loss {loss:.4f}, {seconds:.0f} s", flush=True)
        # 288 pictures: equal accuracies are common, and the loss decides.
        top1, _, changes = max(found, key=lambda one: one[:2])
        print(f"{name}: the winner is {dict(changes) or 'the recipe'} with {top1:.2f} %")


def main(argv: Sequence[str] | None = None) -> int:
    """Make the table, or search."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--models", nargs="+", default=[*MODELS, RESNET], metavar="NAME")
    parser.add_argument("--select", action="store_true", help="choose hyper-parameters")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=RESULTS, help="a Markdown file")
    arguments = parser.parse_args(argv)
    given: dict[str, object] = {"device": arguments.device, "monitor_every": 0}
    if arguments.epochs is not None:
        given["epochs"] = arguments.epochs
        given["warmup_epochs"] = min(0.5, arguments.epochs / 2)
    if arguments.select:
        select(arguments.models, arguments.seeds, given)
        return 0
    content = fill_table(arguments.models, arguments.seeds, given)
    replace_section(arguments.output, "digits", content)
    print(f"\n{content}\n\nwritten to {arguments.output}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
