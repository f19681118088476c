"""Sparse unknowns: what the gauge saves, and whether descent over the group beats pruning.

    OMP_NUM_THREADS=1 python benchmarks/sparsify.py --seeds 3

Trains Eq. (7) on scikit-learn's digits: as published, where O(n) acts; without activations, where
GL(n) does; and with softballs that carry a quadratic form, where GL(n) does and the form pays.
Prints what `sparsify` brings for seed 0 and the mean accuracy over seeds of pruned networks; draws
docs/images/sparsify.png. The last training epoch is taken, and the pictures of the test part are
used once, for these curves.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from pdenet.training.data.bundled import digits

import pdenet as pn
from pdenet.symmetry.network.pareto import Pareto, pareto
from pdenet.symmetry.network.sparsify import sparsify
from pdenet.training.loop.options import settle
from pdenet.training.loop.train import train

MODELS: Mapping[str, Mapping[str, object]] = {
    "softball, O(n)": {},
    "no activation, GL(n)": {"activation": "none"},
    "softball with a form, GL(n)": {"quadratic_form": "identity"},
}
PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "sparsify.png"


def trained(options: Mapping[str, object], seed: int, epochs: int) -> pn.Classifier:
    """Train by the recipe "digits", quietly."""
    torch.manual_seed(seed)
    model = pn.create_model("eq7_nows_x6_small", 10, in_channels=1, **options)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        given = {"recipe": "digits", "seed": seed, "output": folder, "epochs": epochs}
        train(settle({**given, "monitor_every": 0, "device": "cpu"}), model=model)
    return model.eval()


def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    """The test part, scaled as in training."""
    data = digits()
    own = data.images[data.train].astype(np.float64)
    images = (data.images[data.val] - own.mean()) / own.std()
    return torch.from_numpy(images).float()[:, None], torch.from_numpy(data.labels[data.val])


def mean(runs: Sequence[Pareto]) -> Pareto:
    """The mean of several seeds' curves."""
    first = runs[0]
    accuracies = {
        name: tuple(float(v) for v in np.mean([run.accuracies[name] for run in runs], axis=0))
        for name in first.accuracies
    }
    return Pareto(first.fractions, first.numbers, accuracies)


def main(argv: Sequence[str] | None = None) -> int:
    """Train, print the tables, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--steps", type=int, default=200, help="of each descent")
    parser.add_argument("--output", type=Path, default=PICTURE)
    arguments = parser.parse_args(argv)
    images, labels = pictures()
    figure = Figure(figsize=(11.0, 3.4), layout="constrained")
    for axes, (name, options) in zip(
        figure.subplots(1, 3, sharey=True), MODELS.items(), strict=True
    ):
        began = time.perf_counter()
        runs = []
        for seed in range(arguments.seeds):
            model = trained(options, seed, arguments.epochs)
            if not seed:
                print(f"\n{name}\n{sparsify(model, images=images, size=8)}", flush=True)
            runs.append(
                pareto(
                    model,
                    images,
                    labels,
                    objectives=("l1", "log", "concave"),
                    steps=arguments.steps,
                    seed=seed,
                )
            )
        found = mean(runs)
        print(f"{found}\n{time.perf_counter() - began:.0f} s", flush=True)
        for curve, values in found.accuracies.items():
            axes.plot(
                np.array(found.numbers[curve]) / 1000,
                100 * np.array(values),
                "o-",
                ms=3,
                label=curve,
            )
        axes.invert_xaxis()
        axes.set_title(name)
        axes.set_xlabel("thousand numbers left")
    figure.axes[0].set_ylabel(f"accuracy in %, mean of {arguments.seeds} seeds")
    figure.axes[0].legend()
    figure.savefig(arguments.output, dpi=110)
    print(f"drawn to {arguments.output}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
