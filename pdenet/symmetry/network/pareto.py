"""Pareto: accuracy against numbers that are left, by magnitude pruning in several unknowns.

Plain magnitude pruning sets the smallest part of each tensor to 0. The same is done to the network
in other unknowns u = P v, of the same function before: whatever differs is due to P.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from pdenet.errors import SymmetryError
from pdenet.network.convnet.classifier import Classifier
from pdenet.network.convnet.fusing import copied
from pdenet.symmetry.groups import ORTHOGONAL
from pdenet.symmetry.network.places import free_stages, opened, shape_of
from pdenet.symmetry.network.pruning import count, pruned
from pdenet.symmetry.network.sparsify import sparsify
from pdenet.symmetry.network.transform import transforms

if TYPE_CHECKING:  # loading Matplotlib takes a second
    from matplotlib.figure import Figure

FRACTIONS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Which parts of each tensor become 0."""

PLAIN = "as trained"
"""The curve of the network in its own unknowns."""

RANDOM = "random P"
"""The curve of the network in unknowns turned at random."""


@dataclass(frozen=True, eq=False)
class Pareto:
    """Curves of accuracy.

    Attributes:
        fractions: the parts of each tensor that are 0.
        numbers: by curve for each fraction the numbers that have to be stored; see
            `Count.to_store`. Quadratic forms are among them, and are not pruned.
        accuracies: by curve for each fraction the part of pictures whose class is right.
    """

    fractions: tuple[float, ...]
    numbers: dict[str, tuple[int, ...]]
    accuracies: dict[str, tuple[float, ...]]

    def __str__(self) -> str:
        width = max(map(len, self.accuracies))
        lines = [" " * width + "".join(f"{f:8.0%}" for f in self.fractions)]
        for name, values in self.accuracies.items():
            lines.append(name.ljust(width) + "".join(f"{v:8.1%}" for v in values))
        return "\n".join(lines)

    def plot(self) -> Figure:
        """Draw accuracy over the numbers that are left."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5.0, 3.5), layout="constrained")
        axes = figure.subplots()
        for name, values in self.accuracies.items():
            axes.plot(self.numbers[name], [100 * v for v in values], "o-", ms=3, label=name)
        axes.invert_xaxis()
        axes.set_xlabel("numbers that are not 0 or a unit")
        axes.set_ylabel("accuracy in %")
        axes.legend()
        return figure


def pareto(
    model: Classifier,
    images: torch.Tensor,
    labels: torch.Tensor,
    stage: int | Sequence[int] | None = None,
    *,
    objectives: Sequence[str] = ("l1",),
    gauge: bool = True,
    steps: int = 300,
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
) -> Pareto:
    """Prune a classifier in several unknowns, and see what becomes of its accuracy.

    Args:
        model: a classifier; it stays as it is.
        images: pictures that it was not trained on, shape `(picture, channel, y, x)`.
        labels: their classes, shape `(picture,)`.
        stage: see `sparsify`.
        objectives: a curve for each; see `descent`.
        gauge: whether there is a curve for the unknowns of the gauge too.
        steps: of each descent.
        fractions: which parts of each tensor become 0, the smallest entries.
        seed: of the rotation of the curve "random P".

    Returns:
        A curve "as trained", which is plain magnitude pruning; one of a random orthogonal P, by
        which to tell what a descent finds from what any mixing of components does; the others.

    Raises:
        SymmetryError: the labels are not those of the pictures; or see `sparsify`.
    """
    if len(images) != len(labels):
        raise SymmetryError(
            f"a label for each picture was expected; got {len(images)} pictures and {len(labels)} "
            "labels; give as many"
        )
    start = copied(model).eval()
    if stage is None:
        stages = free_stages(start)
    else:
        stages = (stage,) if isinstance(stage, int) else tuple(stage)
    first = opened(start, stages)
    rng = np.random.default_rng(seed)
    turns = {k: ORTHOGONAL.random(shape_of(first, k)[1], rng) for k in stages}
    networks = {PLAIN: first, RANDOM: transforms(first, turns)}
    for name in objectives:
        made = sparsify(start, stages, gauge=False, objective=name, steps=steps, images=images[:8])
        networks[f"descent, {name}"] = made.model
    if gauge:
        networks["gauge"] = sparsify(start, stages, images=images[:8], remove=False).model
    size = (images.shape[2], images.shape[3])
    numbers: dict[str, tuple[int, ...]] = {}
    accuracies: dict[str, tuple[float, ...]] = {}
    for name, network in networks.items():
        cut = [pruned(network, stages, fraction) for fraction in fractions]
        numbers[name] = tuple(count(one, size).to_store for one in cut)
        accuracies[name] = tuple(_accuracy(one, images, labels) for one in cut)
    return Pareto(tuple(fractions), numbers, accuracies)


@torch.no_grad()
def _accuracy(model: Classifier, images: torch.Tensor, labels: torch.Tensor) -> float:
    like = next(model.parameters())
    guesses = [model(part.to(like)).argmax(dim=1).cpu() for part in images.split(256)]
    return float((torch.cat(guesses) == labels).double().mean())
