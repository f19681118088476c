"""Sparsify: the unknowns of some stages in which a classifier's weights have many zeros.

The function stays as it is; P is free. Two ways to choose it:

- the gauge, in closed form: under GL(n) n rows of a 1×1 convolution become the identity, which is
  left out of the computation then; under O(n) they become triangular;
- descent over the group, for entries that are small, not 0, and are cut off at a threshold.

They exclude one another: no P but the identity keeps a block that is the identity. Without a
threshold the result computes the same up to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from pdenet.checks import check_between, check_count, check_pair
from pdenet.errors import SymmetryError
from pdenet.network.convnet.classifier import Classifier
from pdenet.network.convnet.fusing import copied
from pdenet.network.convnet.unit_rows import UnitRows, leave_out
from pdenet.symmetry.network.descent import balanced, descend
from pdenet.symmetry.network.gauge import choose, entry_of, fix, removable, triangulate
from pdenet.symmetry.network.places import free_stages, opened, places, shape_of
from pdenet.symmetry.network.pruning import (
    Count,
    count,
    largest_threshold,
    logits_change,
    probes,
    thresholded,
)
from pdenet.symmetry.network.stages import check_classifier, check_stages
from pdenet.symmetry.network.transform import transforms

if TYPE_CHECKING:  # loading Matplotlib takes a second
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Phase:
    """A classifier on the way.

    Attributes:
        name: what was done.
        count: what it consists of.
        change: the largest difference of its logits from those at the beginning, relative to the
            largest logit.
    """

    name: str
    count: Count
    change: float


@dataclass(frozen=True, eq=False)
class Report:
    """What was done, and what it brought.

    Attributes:
        phases: as given, in new unknowns, thresholded, with unit rows left out.
        matrices: P by stage, float64, shape `(n, n)`.
        blocks: by stage which tensor has the block that the gauge fixed, and how many zeros.
        history: the objective of the descent; empty without one.
        threshold: below which part of a tensor's largest entry entries were cut off.
    """

    phases: tuple[Phase, ...]
    matrices: dict[int, np.ndarray]
    blocks: dict[int, tuple[str, int]]
    history: np.ndarray
    threshold: float

    @property
    def conditions(self) -> dict[int, float]:
        """cond(P) by stage, in the 2-norm."""
        return {stage: float(np.linalg.cond(m)) for stage, m in self.matrices.items()}

    def __str__(self) -> str:
        heads = ("", "numbers", "zeros", "to store", "multiply-adds", "logits change")
        rows = [
            (
                phase.name,
                str(phase.count.parameters + phase.count.forms),
                str(phase.count.zeros),
                str(phase.count.to_store),
                str(phase.count.multiply_adds),
                f"{phase.change:.1e}",
            )
            for phase in self.phases
        ]
        sizes = [max(len(row[k]) for row in (heads, *rows)) for k in range(len(heads))]
        lines = [
            "  ".join(
                [row[0].ljust(sizes[0])]
                + [cell.rjust(n) for cell, n in zip(row[1:], sizes[1:], strict=True)]
            ).rstrip()
            for row in (heads, *rows)
        ]
        lines += [
            f"stage {stage}: {zeros} zeros in {name}"
            for stage, (name, zeros) in self.blocks.items()
        ]
        conditions = ", ".join(f"{c:.3g} (stage {k})" for k, c in self.conditions.items())
        lines.append(f"cond(P): {conditions}")
        if self.threshold:
            lines.append(f"threshold: {self.threshold:.3g} of the largest entry of a tensor")
        return "\n".join(lines)

    def plot(self) -> Figure:
        """Draw the numbers that have to be stored in each phase, and the objective's history."""
        from matplotlib.figure import Figure

        has_history = len(self.history) > 1
        figure = Figure(figsize=(9.0 if has_history else 4.5, 3.2), layout="constrained")
        axes = figure.subplots(1, 2 if has_history else 1, squeeze=False)[0]
        names = [phase.name for phase in self.phases]
        axes[0].barh(names, [phase.count.to_store for phase in self.phases], color="C0")
        axes[0].invert_yaxis()
        axes[0].set_xlabel("numbers that are not 0 or a unit")
        if has_history:
            axes[1].plot(self.history)
            axes[1].set_xlabel("step of the descent")
            axes[1].set_ylabel("objective")
        return figure


@dataclass(frozen=True, eq=False)
class Sparsified:
    """A classifier in sparse unknowns.

    Attributes:
        model: the classifier, a copy.
        report: what was done.
    """

    model: Classifier
    report: Report

    def __str__(self) -> str:
        return str(self.report)


def sparsify(
    model: Classifier,
    stage: int | Sequence[int] | None = None,
    *,
    gauge: bool = True,
    objective: str = "l1",
    steps: int = 300,
    images: torch.Tensor | None = None,
    threshold: float | None = 0.0,
    tolerance: float = 1e-3,
    remove: bool = True,
    size: int | tuple[int, int] | None = None,
    seed: int = 0,
) -> Sparsified:
    """Return a classifier of the same function with more zeros, and what that brought.

    Args:
        model: a classifier in evaluation mode; it stays as it is. The result has norms folded that
            were in the way.
        stage: a stage, from 1, or several; by default all on which GL(n) or O(n) acts.
        gauge: whether P is chosen in closed form: n² − n exact zeros and n ones a stage under
            GL(n), n(n − 1)/2 zeros under O(n). Else by descent, which makes entries small.
        objective: "l1", "log" or "concave"; see `descent`.
        steps: of the descent.
        images: pictures on which changes of logits are measured, shape `(picture, channel, y, x)`;
            by default eight random ones, drawn with `seed`.
        threshold: entries below this part of their tensor's largest become 0, which changes the
            function; None for the largest that keeps to `tolerance`.
        tolerance: how far logits may change, relative to the largest.
        remove: whether unit rows of opening convolutions are left out of parameters and computation
            (`unit_rows` of the result; such a stage has no change of unknowns any more).
        size: pixels of the picture for which multiply-adds are counted; see `count`.
        seed: of the random pictures.

    Returns:
        The classifier and a report. Before thresholding logits are the same up to some
        200 eps cond(P) of the largest. A quadratic form L becomes triangular.

    Raises:
        SymmetryError: only generalised permutations act on the stage, whose factors make no zeros,
            the classifier has no stages, or an argument makes no sense.

    Example:
        >>> import pdenet as pn
        >>> model = pn.create_model("eq7_nows_x6_small", activation="none", norm=False).eval()
        >>> made = sparsify(model, 2)
        >>> [phase.count.parameters for phase in made.report.phases]
        [109652, 109652, 108628]
    """
    check_classifier(model)
    stages = _stages(model, stage)
    check_count("steps", steps, 0, SymmetryError, "write steps=300")
    check_count("seed", seed, 0, SymmetryError, "write seed=0")
    check_between("tolerance", tolerance, 0.0, math.inf, SymmetryError, "write tolerance=1e-3")
    if threshold is not None:
        hint = "write 1e-3, or None for the largest that is tolerated"
        check_between("threshold", threshold, 0.0, 1.0, SymmetryError, hint)
    size = None if size is None else check_pair("size", size, SymmetryError, "write size=32")
    images = probes(model, images, seed)
    was_training = model.training
    start = copied(model).eval()
    phases = [Phase("as given", count(start, size), 0.0)]
    made = opened(start, stages)
    matrices: dict[int, np.ndarray] = {}
    blocks: dict[int, tuple[str, int]] = {}
    history = np.empty(0)
    entries = []
    if gauge:
        for number in stages:
            made, matrices[number], block, entry = _gauged(made, number)
            blocks[number] = block
            entries += [entry] if entry is not None else []
    else:
        every = places(made, stages)
        shapes = {number: shape_of(made, number) for number in stages}
        found = descend(every, shapes, objective=objective, steps=steps)
        free = [number for number in stages if shapes[number][0] == "general"]
        matrices = balanced(every, found.matrices, free)
        history = found.history
        made = transforms(made, matrices)
    triangulate(made, stages)

    def note(name: str) -> None:
        phases.append(Phase(name, count(made, size), logits_change(start, made, images)))

    note("gauge fixed" if gauge else "descended")
    if threshold is None:
        threshold = largest_threshold(made, stages, images, tolerance - phases[-1].change)
    if threshold:
        made = thresholded(made, stages, threshold)
        note("thresholded")
    if remove and entries:
        leave_out(made, entries)
        note("unit rows left out")
    made.train(was_training)
    return Sparsified(made, Report(tuple(phases), matrices, blocks, history, float(threshold)))


def _gauged(
    model: Classifier, stage: int
) -> tuple[Classifier, np.ndarray, tuple[str, int], UnitRows | None]:
    chosen = choose(model, stage, tuple(removable(model, stage)))
    made = transforms(model, {stage: chosen.matrix})
    fix(made, chosen)
    block = (chosen.place, chosen.zeros)
    return made, chosen.matrix, block, entry_of(made, chosen)


def _stages(model: Classifier, given: int | Sequence[int] | None) -> tuple[int, ...]:
    check_stages(model)
    if given is None:
        found = free_stages(model)
        if not found:
            raise SymmetryError(
                "a classifier on whose stages GL(n) or O(n) acts was expected, such as one of "
                f"Eq. (7); got {model.equation}, where generalised permutations do, whose factors "
                "make no zeros"
            )
        return found
    made = tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else (given,)
    numbers = tuple(
        check_count("stage", number, 1, SymmetryError, "write stage=2") for number in made
    )
    if not numbers or len(set(numbers)) < len(numbers):
        raise SymmetryError(f"stage is one or several different stages; got {given!r}; write 2")
    return numbers
