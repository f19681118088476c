"""Places: every tensor of a classifier that a change of unknowns of some stages acts on.

For u = P v an axis that is contracted with u is a lower index, W → W P; one that makes u is an
upper one, W → P⁻¹ W. Besides the coefficients of blocks these are the head, the stem's projection
and the quadratic forms of activations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from pdenet.errors import SymmetryError
from pdenet.network.convnet.activation import Radial
from pdenet.network.convnet.classifier import Classifier
from pdenet.network.convnet.copies import copied
from pdenet.network.convnet.stage_folding import fold_stages
from pdenet.symmetry.network.group import stage_group
from pdenet.symmetry.network.holders import Holder, view_holder
from pdenet.symmetry.network.stages import rule_of, stage_of


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
    forms: set[str] = set()

    def put(name: str, holder: Sequence[Holder], act: Act) -> None:
        holders.setdefault(name, list(holder))
        acts.setdefault(name, []).append(act)

    for number in stages:
        rule, reading = rule_of(model, number)
        for slot, (_, sign) in sorted(rule.variances.items()):
            put(slot.coefficient, reading.holders[slot.coefficient], Act(number, slot.place, sign))
        stage = stage_of(model, number)
        ends: list[nn.Module] = list(stage.activations)
        if number == len(model.stages):
            ends.append(model.final)
            if isinstance(model.head, nn.Linear):
                put("the head", [_held(model.head, "weight")], Act(number, 1, 1))
        for k, module in enumerate(ends, 1):
            if isinstance(module, Radial) and module.factor is not None:
                name = f"quadratic form {k} of stage {number}"
                put(name, [_held(module, "factor")], Act(number, 1, 1))
                forms.add(name)
        if number == 1 and model.stem.projection is not None:
            put("the stem's projection", [_held(model.stem.projection, "weight")], Act(1, 0, -1))
    return [
        Place(name, holder, tuple(acts[name]), name in forms)
        for name, many in holders.items()
        for holder in many
    ]


def _held(module: nn.Module, name: str) -> Holder:
    return view_holder(lambda: getattr(module, name))
