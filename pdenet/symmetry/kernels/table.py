"""Symmetry table: the scores of all layers, each beside what chance would give.

Two hypotheses that a score is held against:

- *Gaussian*: the entries of the mean kernel are independent and normal, of one variance. That is
  exactly so for newly drawn normal weights, and nearly so for any weights drawn independently,
  whose mean is a sum of many.
- *arrangement*: the entries are those of the kernel itself, in random order. A kernel of nearly
  equal entries has a score near 1 whatever their order; here it is compared with its like.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any  # rows for JSON

import numpy as np
from torch import nn

from pdenet.checks import check_count
from pdenet.errors import SymmetryError
from pdenet.symmetry.kernels.dihedral import SINGLE, checked_group, elements, exists, scores
from pdenet.symmetry.kernels.mean import MeanKernel, MeanKernels, mean_kernels

_TIE = 1e-9
"""Scores nearer than that are equal: rounding moves them by some 1e-15, √ of it near S = 1."""


@dataclass(frozen=True, eq=False)
class Chance:
    """The scores of kernels drawn at random.

    Attributes:
        draws: ascending, shape `(draw,)`.
    """

    draws: np.ndarray

    @property
    def mean(self) -> float:
        """The expected score."""
        return float(self.draws.mean())

    @property
    def deviation(self) -> float:
        """The standard deviation of a score."""
        return float(self.draws.std())

    def quantile(self, share: float) -> float:
        """Return the score that a share of the kernels stays below."""
        return float(np.quantile(self.draws, share))

    def p_value(self, score: float) -> float:
        """Return the probability of a score at least as high, (1 + count)/(1 + draws).

        The 1 keeps a test exact with finitely many draws; no p is below 1/(1 + draws).
        """
        if not np.isfinite(score):
            return float("nan")
        count = len(self.draws) - np.searchsorted(self.draws, score - _TIE)
        return float(1 + count) / (1 + len(self.draws))

    def z_score(self, score: float) -> float:
        """Return how many standard deviations a score is above its expectation."""
        return (score - self.mean) / self.deviation if self.deviation > _TIE else float("nan")


@dataclass(frozen=True, eq=False)
class LayerSymmetry:
    """The scores of one layer; all dimensionless.

    Attributes:
        layer: its mean kernel.
        score: S over the group; NaN of a kernel that is 0.
        by_symmetry: S of each symmetry alone; NaN where the kernel's shape has it not.
        chance: the scores of kernels of independent normal entries.
        z_score: how many of their standard deviations S is above their mean.
        p_value: the probability that such a kernel has a score at least as high.
        p_arrangement: the same for the kernel's own entries in random order.
    """

    layer: MeanKernel
    score: float
    by_symmetry: dict[str, float]
    chance: Chance
    z_score: float
    p_value: float
    p_arrangement: float


@dataclass(frozen=True, eq=False)
class SymmetryTable:
    """The scores of a model, by depth.

    Attributes:
        model: what the model calls itself.
        group: what T runs over.
        count_identity: whether the identity is one of |T|.
        rows: the layers.
        draws: how many random kernels each score was held against.
        left_out: see `MeanKernels`.
    """

    model: str
    group: str
    count_identity: bool
    rows: tuple[LayerSymmetry, ...]
    draws: int
    left_out: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[LayerSymmetry]:
        return iter(self.rows)

    @property
    def scores(self) -> np.ndarray:
        """S by depth, shape `(layer,)`."""
        return np.array([row.score for row in self.rows])

    @property
    def mean(self) -> float:
        """The mean score of all layers whose kernel is not 0."""
        finite = self.scores[np.isfinite(self.scores)]
        return float(finite.mean()) if finite.size else math.nan

    @property
    def expected(self) -> float:
        """The mean score that kernels of independent normal entries would have."""
        return float(np.mean([row.chance.mean for row in self.rows]))

    def num_significant(self, level: float = 0.01) -> int:
        """Return for how many layers p_value is at most `level`; by chance it is level · layers."""
        return sum(row.p_value <= level for row in self.rows)

    def records(self) -> list[dict[str, Any]]:
        """Return one flat mapping a layer, of numbers and texts."""
        return [
            {
                "depth": row.layer.depth,
                "layer": row.layer.name,
                "kind": row.layer.kind,
                "kernel": "×".join(map(str, row.layer.kernel.shape)),
                "stride": "×".join(map(str, row.layer.stride)),
                "kernels": row.layer.count,
                "score": row.score,
                "chance": row.chance.mean,
                "z_score": row.z_score,
                "p_value": row.p_value,
                "p_arrangement": row.p_arrangement,
                **row.by_symmetry,
            }
            for row in self.rows
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it for JSON; what is not a number is None."""
        kernels = {row.layer.name: row.layer.kernel.tolist() for row in self.rows}
        rows = [
            {key: None if value != value else value for key, value in record.items()}  # NaN
            for record in self.records()
        ]
        return {
            "model": self.model,
            "group": self.group,
            "count_identity": self.count_identity,
            "draws": self.draws,
            "layers": rows,
            "mean_kernels": kernels,
            "left_out": dict(self.left_out),
        }

    def to_csv(self) -> str:
        """Return the table as comma-separated values, one line a layer below a line of names."""
        records = self.records()
        content = io.StringIO()
        writer = csv.DictWriter(content, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        return content.getvalue()

    def __str__(self) -> str:
        width = max(5, *(len(row.layer.name) for row in self.rows))
        identity = "" if self.count_identity else " without the identity"
        head = (
            f"{self.model}: S over {self.group}{identity}, mean {self.mean:.3f}, by chance "
            f"{self.expected:.3f}; {self.num_significant()} of {len(self)} layers with p ≤ 0.01"
        )
        columns = "kernel  stride      S  chance      z       p  p(order)  flip ↔  flip ↕    180°"
        lines = [head, f"{'layer':<{width}}  {columns}     90°"]
        for row in self.rows:
            layer, each = row.layer, row.by_symmetry
            kernel = "×".join(map(str, layer.kernel.shape))
            stride = "×".join(map(str, layer.stride))
            singles = ("horizontal_flip", "vertical_flip", "rotation_180", "rotation_90")
            lines.append(
                f"{layer.name:<{width}}  {kernel:>6}  {stride:>6}  {row.score:5.3f}  "
                f"{row.chance.mean:6.3f}  {row.z_score:5.1f}  {row.p_value:6.4f}  "
                f"{row.p_arrangement:8.4f}" + "".join(f"  {each[name]:6.3f}" for name in singles)
            )
        lines += [f"left out: {name}, {why}" for name, why in self.left_out]
        return "\n".join(lines)


def symmetry_table(
    model: nn.Module | MeanKernels,
    group: str | Sequence[str] = "D4",
    *,
    count_identity: bool = True,
    draws: int = 10_000,
    seed: int = 0,
) -> SymmetryTable:
    """Return the symmetry scores of a model's mean kernels, and whether they are evidence.

    A high score alone says little: over D4 a 3×3 kernel of random numbers has S = 0.48 on the
    average. So each is held against random kernels, and against its own entries in another order.

    Args:
        model: any module, or its mean kernels.
        group: see `symmetry_score`.
        count_identity: see `symmetry_score`.
        draws: random kernels a layer, of which p-values are as fine as 1/(draws + 1).
        seed: of their generator; the same seed gives the same table.

    Raises:
        SymmetryError: see `mean_kernels` and `symmetry_score`; draws is not positive, or the seed
            is negative.

    Example:
        >>> table = symmetry_table(nn.Sequential(nn.Conv2d(3, 8, 3)), draws=100)
        >>> table.scores.shape, table.group
        ((1,), 'D4')
    """
    check_count("draws", draws, 1, SymmetryError, "write 10_000")
    check_count("seed", seed, 0, SymmetryError, "write seed=0")
    checked_group(group)
    found = model if isinstance(model, MeanKernels) else mean_kernels(model)
    rows = tuple(_row(layer, group, count_identity, draws, seed) for layer in found)
    name = group if isinstance(group, str) else ", ".join(group)
    return SymmetryTable(found.model, name, count_identity, rows, draws, found.left_out)


def _row(
    layer: MeanKernel, group: str | Sequence[str], count_identity: bool, draws: int, seed: int
) -> LayerSymmetry:
    kernel = layer.kernel
    names = elements(group, kernel.shape, count_identity=count_identity)
    score = float(scores(kernel[None], names)[0])
    shape = (kernel.shape[0], kernel.shape[1])
    chance = gaussian_chance(shape, names, draws, seed)
    orders = arrangement_chance(kernel, names, draws, seed)
    return LayerSymmetry(
        layer,
        score,
        {
            name: float(scores(kernel[None], (name,))[0]) if exists(name, shape) else math.nan
            for name in SINGLE
        },
        chance,
        chance.z_score(score),
        chance.p_value(score),
        orders.p_value(score) if math.isfinite(score) else math.nan,
    )


@lru_cache(maxsize=64)
def gaussian_chance(
    shape: tuple[int, int], names: tuple[str, ...], draws: int, seed: int
) -> Chance:
    """Return the scores of kernels of independent normal entries.

    Args:
        shape: of the kernels, `(y, x)`.
        names: the symmetries.
        draws: the number of kernels.
        seed: of their generator.
    """
    kernels = np.random.default_rng(seed).normal(size=(draws, *shape))
    return Chance(np.sort(scores(kernels, names)))


def arrangement_chance(kernel: np.ndarray, names: tuple[str, ...], draws: int, seed: int) -> Chance:
    """Return the scores of a kernel's own entries in random order.

    Args:
        kernel: shape `(y, x)`, float64, not 0.
        names: the symmetries.
        draws: the number of orders.
        seed: of their generator.
    """
    rows = np.broadcast_to(kernel.ravel(), (draws, kernel.size))
    mixed = np.random.default_rng(seed).permuted(rows, axis=1)
    return Chance(np.sort(scores(mixed.reshape(draws, *kernel.shape), names)))
