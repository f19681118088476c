"""Places: every tensor of a classifier that a change of unknowns of some stages acts on.

For u = P v an axis that is contracted with u is a lower index, W → W P; one that makes u is an
upper one, W → P⁻¹ W. Besides the coefficients of blocks these are the head, the stem's projection
and the quadratic forms of activations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pdenet.errors import SymmetryError
from pdenet.network.convnet.classifier import Classifier
from pdenet.network.convnet.fusing import copied
from pdenet.network.convnet.stage_folding import fold_stages
from pdenet.symmetry.network.group import stage_group
from pdenet.symmetry.network.holders import Holder
from pdenet.symmetry.network.stages import FORM, rule_of


@dataclass(frozen=True)
class Act:
    """What one stage does at one axis.

    Attributes:
        stage: its number, from 1.
        axis: the axis of the tensor.
        sign: +1 for a lower index, −1 for an upper one.
    """

    stage: int
    axis: int
    sign: int


@dataclass(frozen=True, eq=False)
class Place:
    """A tensor, and all that acts on it.

    Attributes:
        name: what it is.
        holder: reads and writes it.
        acts: what acts on it.
        is_form: whether it is the factor of a quadratic form.
    """

    name: str
    holder: Holder
    acts: tuple[Act, ...]
    is_form: bool = False

    def read(self) -> torch.Tensor:
        """Return its numbers, float64 on the CPU."""
        return self.holder.read().double().cpu()

    def write(self, values: torch.Tensor) -> None:
        """Replace its numbers."""
        self.holder.write(values.to(self.holder.read()))

    def moved(
        self,
        values: torch.Tensor,
        matrices: Mapping[int, torch.Tensor],
        inverses: Mapping[int, torch.Tensor],
    ) -> torch.Tensor:
        """Return its numbers in new unknowns u = P v, differentiable in P and P⁻¹."""
        for act in self.acts:
            if act.stage not in matrices:
                continue
            if act.sign > 0:
                made = torch.tensordot(values, matrices[act.stage], dims=([act.axis], [0]))
            else:
                made = torch.tensordot(values, inverses[act.stage], dims=([act.axis], [1]))
            values = made.movedim(-1, act.axis)
        return values

    def rows_of(self, stage: int) -> tuple[np.ndarray, int] | None:
        """Return the tensor as rows of n numbers each, and the sign of the index.

        A lower index is the columns of W → W P, an upper one those of Wᵀ → Wᵀ P⁻ᵀ.

        Args:
            stage: the stage whose index the columns are.

        Returns:
            float64, shape `(rows, n)`; None where something else acts on it too.
        """
        if len(self.acts) != 1 or self.acts[0].stage != stage:
            return None
        act = self.acts[0]
        values = self.read().movedim(act.axis, -1)
        return values.reshape(-1, values.shape[-1]).numpy(), act.sign

    def write_rows(self, rows: np.ndarray) -> None:
        """Put rows as `rows_of` gives them in its place."""
        axis = self.acts[0].axis
        shape = self.read().movedim(axis, -1).shape
        self.write(torch.from_numpy(np.ascontiguousarray(rows)).reshape(shape).movedim(-1, axis))


def shape_of(model: Classifier, stage: int) -> tuple[str, int]:
    """Return which group acts on a stage, one of `groups.SHAPES`, and its number of components.

    Raises:
        SymmetryError: the stage has several fields.
    """
    found = stage_group(model, stage)
    if len(found.fields) > 1:
        raise SymmetryError(
            "an equation of one vector field was expected; got the fields "
            f"{', '.join(found.fields)}; transform(model, stage, P) changes several"
        )
    (group,) = found.evaluation.values()
    return group.shape, found.width


def free_stages(model: Classifier) -> tuple[int, ...]:
    """Return the stages on which GL(n) or O(n) acts, when norms are folded."""
    numbers = range(1, len(model.stages) + 1)
    return tuple(k for k in numbers if shape_of(model, k)[0] in ("general", "orthogonal"))


def opened(model: Classifier, stages: Sequence[int]) -> Classifier:
    """Return a copy with the norms folded that stand in the way of P at some stages.

    Raises:
        SymmetryError: neither GL(n) nor O(n) acts on one of them.
    """
    for stage in stages:
        shape, _ = shape_of(model, stage)
        if shape not in ("general", "orthogonal"):
            limits = "; ".join(map(str, stage_group(model, stage).limits))
            raise SymmetryError(
                f"a stage on which GL(n) or O(n) acts was expected; got stage {stage}, where "
                f"generalised permutations do, which make no entry 0: {limits}"
            )
    made = copied(model)
    for stage in stages:
        fold_stages(made, [stage])
    return made


def places(model: Classifier, stages: Sequence[int]) -> list[Place]:
    """Return all tensors that P of some stages act on, each once.

    Args:
        model: a classifier whose norms at these stages are folded; see `opened`.
        stages: stages on which GL(n) or O(n) acts.
    """
    holders: dict[str, list[Holder]] = {}
    acts: dict[str, list[Act]] = {}
    for number in stages:
        rule, reading = rule_of(model, number)
        ends = {name: k for k, name in enumerate(reading.ends, 1)}  # behind the blocks
        for slot in sorted(rule.variances, key=lambda s: (ends.get(s.coefficient, 0), s)):
            _, sign = rule.variances[slot]
            holders.setdefault(slot.coefficient, reading.holders[slot.coefficient])
            acts.setdefault(slot.coefficient, []).append(Act(number, slot.place, sign))
    return [
        Place(name, holder, tuple(acts[name]), name.startswith(FORM))
        for name, many in holders.items()
        for holder in many
    ]


def slots(model: Classifier, stage: int) -> list[tuple[Callable[[], torch.Tensor], int, int]]:
    """Return all places where GL(n) acts on a stage of a model whose norms are not in the way.

    Args:
        model: a classifier, with `norm=False` or its stage folded.
        stage: the number of the stage, from 1.

    Returns:
        Triples of a function that gives the tensor, the axis, and +1 where the axis is contracted
        with u, so that the tensor is multiplied by P, or −1 where it makes u: by P⁻¹.

    Raises:
        SymmetryError: only generalised permutations act.
    """
    rule, _ = rule_of(model, stage)
    if any(one.shape not in ("general", "orthogonal") for one in rule.groups.values()):
        reasons = "; ".join(dict.fromkeys(rule.reasons.values()))
        raise SymmetryError(
            f"a stage on which GL(n) acts was expected; got stage {stage}, where {reasons}; fold "
            "its norms, or take another equation"
        )
    every = places(model, [stage])
    return [(place.holder.read, act.axis, act.sign) for place in every for act in place.acts]
