"""Group: which changes of unknowns act on the stages of a classifier, and what limits them.

The states of a stage are tied together by identity skips, so that each stage has one P: u = P v.
What a block admits follows from its indices (`pdenet.symmetry.indices`); what comes between them
admits

    ReLU, maximum over pixels   positive generalised permutations
    hardtanh                    signed permutations
    hardball, softball          O(n); with a quadratic form of their own all of GL(n)
    batch norm                  generalised permutations, until it is folded
    a linear head or stem       all of GL(n)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from pdenet.errors import SymmetryError
from pdenet.network.convnet.activation import Radial
from pdenet.network.convnet.block import PDEBlock
from pdenet.network.convnet.classifier import Classifier
from pdenet.network.convnet.stage import Stage
from pdenet.symmetry.groups import IDENTITY, ORTHOGONAL, Group
from pdenet.symmetry.indices import Rule, solve
from pdenet.symmetry.network.copies import copied, folded_copy
from pdenet.symmetry.network.reading import Reading

POSITIVE = Group("monomial", "positive")
SIGNED = Group("monomial", "signs", common=False)


@dataclass(frozen=True)
class Limit:
    """Something that admits a part of GL(n) only.

    Attributes:
        layer: which layer.
        group: what it admits.
        why: a sentence.
    """

    layer: str
    group: Group
    why: str

    def __str__(self) -> str:
        return f"{self.layer}: {self.group}, since {self.why}"


@dataclass(frozen=True)
class StageGroup:
    """What acts on the states of one stage.

    Attributes:
        stage: the number, from 1.
        fields: the fields of the state, which share its channels equally.
        width: the number of components of each.
        training: for each field the group of its P with all batch norms as they are: the change is
            exact in training mode too, but for the ε of norms behind derivatives.
        evaluation: the same with norms folded that are in the way.
        equal: sets of fields with one P.
        moving: sets of fields whose generalised permutations move components alike.
        limits: what limits the group in training and, folded, in evaluation.
    """

    stage: int
    fields: tuple[str, ...]
    width: int
    training: Mapping[str, Group]
    evaluation: Mapping[str, Group]
    equal: tuple[frozenset[str], ...]
    moving: tuple[frozenset[str], ...]
    limits: tuple[Limit, ...]
    training_limits: tuple[Limit, ...]

    @property
    def channels(self) -> int:
        """The number of channels of a state."""
        return self.width * len(self.fields)

    def random(
        self, rng: np.random.Generator, condition: float = 10.0, training: bool = False
    ) -> np.ndarray:
        """Draw an element: a matrix for the whole state, one block for each field.

        Args:
            rng: the source of randomness.
            condition: the condition number of each block, where its group has other ones than 1.
            training: whether it is drawn from the group of training mode.

        Returns:
            float64, shape `(channels, channels)`.
        """
        groups = self.training if training else self.evaluation
        made = np.zeros((self.channels, self.channels))
        drawn: dict[frozenset[str], np.ndarray] = {}
        for k, name in enumerate(self.fields):
            ties = [fields for fields in (*self.equal, *self.moving) if name in fields]
            tie = max(ties, key=len)
            if tie not in drawn:
                drawn[tie] = groups[name].random(self.width, rng, condition)
            here = slice(k * self.width, (k + 1) * self.width)
            made[here, here] = drawn[tie]
        return made

    def __str__(self) -> str:
        lines = []
        for name in self.fields:
            of = f" of {name}" if len(self.fields) > 1 else ""
            group, kept = self.evaluation[name], self.training[name]
            head = f"stage {self.stage} ({self.width} components{of}): {group.name(self.width)}"
            if kept != group:
                head += f"; with its batch norms as they are {kept.name(self.width)}"
            lines.append(head)
        lines += [
            f"  one P for {', '.join(sorted(fields))}" for fields in self.equal if len(fields) > 1
        ]
        lines += [f"  limited by {limit}" for limit in self.limits]
        same = {str(limit) for limit in self.limits}
        lines += [
            f"  unfolded also by {limit}"
            for limit in self.training_limits
            if str(limit) not in same
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class ModelGroup:
    """What acts on a classifier: one P a stage, independent of one another.

    Attributes:
        stages: the groups of its stages.
    """

    stages: tuple[StageGroup, ...]

    def __getitem__(self, stage: int) -> StageGroup:
        """Return the group of a stage, counted from 1."""
        if isinstance(stage, bool) or stage not in range(1, len(self.stages) + 1):
            raise SymmetryError(
                f"stages are counted from 1 to {len(self.stages)}; got {stage!r}; name one of them"
            )
        return self.stages[stage - 1]

    def random(
        self, rng: np.random.Generator, condition: float = 10.0, training: bool = False
    ) -> dict[int, np.ndarray]:
        """Draw an element for each stage; see `StageGroup.random`."""
        return {one.stage: one.random(rng, condition, training) for one in self.stages}

    def __str__(self) -> str:
        return "\n".join(map(str, self.stages))


def group(model: Classifier) -> ModelGroup:
    """Find which changes of unknowns u = P v leave a classifier's function as it is.

    Args:
        model: a classifier; it is not changed. Stages are counted from 1.

    Returns:
        For each stage the group, of training and of evaluation mode, and what limits it.

    Raises:
        SymmetryError: it is no `pdenet.Classifier`.

    Example:
        >>> import pdenet as pn
        >>> model = pn.create_model("eq7_nows_x6_small", activation="none", norm=False)
        >>> print(group(model)[2])
        stage 2 (32 components): GL(32)
    """
    check_classifier(model)
    numbers = range(1, len(model.stages) + 1)
    folded = folded_copy(copied(model), *numbers)
    return ModelGroup(tuple(stage_group(model, k, folded) for k in numbers))


def check_classifier(model: object) -> None:
    """Check that something is a classifier.

    Raises:
        SymmetryError: it is none.
    """
    if not isinstance(model, Classifier):
        raise SymmetryError(
            f"a pdenet.Classifier was expected; got {type(model).__name__}; its stages are what "
            "changes of unknowns act on: pde.to_classifier(...) or pn.create_model(...)"
        )


def stage_group(model: Classifier, number: int, folded: Classifier | None = None) -> StageGroup:
    """Return the group of one stage; see `group`.

    Args:
        model: a classifier.
        number: the number of the stage, from 1.
        folded: a copy of it whose stage is folded, where there is one already.
    """
    stage = stage_of(model, number)
    rule, _ = rule_of(model, number)
    if folded is None:
        folded = folded_copy(copied(model), number)
    folded_rule, _ = rule_of(folded, number)
    fields, width = state_of(stage)
    training, training_limits = stage_groups(model, number, rule, is_training=True)
    evaluation, limits = stage_groups(model, number, folded_rule, is_training=False)
    equal, moving = (
        tuple(frozenset(f for f in fields if label(number, f) in one) for one in many)
        for many in (folded_rule.equal, rule.moving)
    )
    return StageGroup(
        number, fields, width, training, evaluation, equal, moving, limits, training_limits
    )


def stage_groups(
    model: Classifier, number: int, rule: Rule, is_training: bool
) -> tuple[dict[str, Group], tuple[Limit, ...]]:
    """Return the group of each field of a stage as the model is, and what limits it.

    Args:
        model: a classifier.
        number: the number of the stage.
        rule: that of its blocks.
        is_training: whether what acts in training mode alone limits it too.
    """
    fields, _ = state_of(stage_of(model, number))
    groups = {name: rule.groups[label(number, name)] for name in fields}
    reasons = {
        rule.reasons[label(number, name)]: groups[name]
        for name in fields
        if label(number, name) in rule.reasons
    }
    around = _around(model, number) + (_in_training(model, number) if is_training else [])
    for limit in around:
        groups = {name: one & limit.group for name, one in groups.items()}
    return groups, (*(Limit("its blocks", one, why) for why, one in reasons.items()), *around)


def stage_of(model: Classifier, number: int) -> Stage:
    """Return a stage by its number, from 1.

    Raises:
        SymmetryError: there is none.
    """
    count = len(model.stages)
    if isinstance(number, bool) or number not in range(1, count + 1):
        raise SymmetryError(
            f"stages are counted from 1 to {count}; got {number!r}; name one of them"
        )
    stage = model.stages[number - 1]
    assert isinstance(stage, Stage)
    return stage


def state_of(stage: Stage) -> tuple[tuple[str, ...], int]:
    """Return the fields of a stage's states and the number of components of each."""
    block = stage.blocks[-1]
    assert isinstance(block, PDEBlock)
    fields = tuple(info.name for info in block.structure.fields)
    return fields, block.out_channels // len(fields)


def label(stage: int, name: str) -> str:
    """Return by which name the rule knows a field of a stage."""
    return f"{name} of stage {stage}"


def read_stage(model: Classifier, number: int) -> Reading:
    """Read all blocks that take or make the states of a stage."""
    stage = stage_of(model, number)
    fields, _ = state_of(stage)
    own = {name: label(number, name) for name in fields}
    nobody = dict.fromkeys(fields)
    reading = Reading()
    for k, block in enumerate(stage.blocks, 1):
        assert isinstance(block, PDEBlock)
        _check_rows(block, f"stage {number}, block {k}")
        given: Mapping[str, str | None] = own if block.keeps_shape else nobody
        reading.add(block, f"stage {number}, block {k}", given, own)
    if number < len(model.stages):
        after = stage_of(model, number + 1).blocks[0]
        assert isinstance(after, PDEBlock)
        _check_rows(after, f"stage {number + 1}, block 1")
        reading.add(after, f"stage {number + 1}, block 1", own, nobody)
    return reading


def _check_rows(block: PDEBlock, place: str) -> None:
    if block.unit_steps:
        raise SymmetryError(
            "a block with all rows of its coefficients was expected; got one that does without "
            f"unit rows of {', '.join(block.unit_steps)} in {place}, which no change of unknowns "
            "but the identity leaves as they are; write them out first: write_out(model) of "
            "pdenet.network.convnet.unit_rows"
        )


def rule_of(model: Classifier, number: int) -> tuple[Rule, Reading]:
    """Return how the blocks around a stage change with its unknowns, and where their slots are."""
    reading = read_stage(model, number)
    fields, _ = state_of(stage_of(model, number))
    return solve(reading.terms, [label(number, name) for name in fields]), reading


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
    rule, reading = rule_of(model, stage)
    if any(one.shape not in ("general", "orthogonal") for one in rule.groups.values()):
        reasons = "; ".join(dict.fromkeys(rule.reasons.values()))
        raise SymmetryError(
            f"a stage on which GL(n) acts was expected; got stage {stage}, where {reasons}; fold "
            "its norms, or take another equation"
        )
    found = [
        (holder.read, slot.place, sign)
        for slot, (_, sign) in sorted(rule.variances.items())
        for holder in reading.holders[slot.coefficient]
    ]
    return found + [(_detached(tensor), axis, sign) for tensor, axis, sign in _ends(model, stage)]


def _ends(model: Classifier, number: int) -> list[tuple[torch.Tensor, int, int]]:
    """Return what takes P or P⁻¹ beside blocks: projected stem, quadratic forms, head."""
    made: list[tuple[torch.Tensor, int, int]] = []
    activations = list(stage_of(model, number).activations)
    if number == len(model.stages):
        activations.append(model.final)
        if isinstance(model.head, nn.Linear):
            made.append((model.head.weight, 1, +1))
    made += [
        (activation.factor, 1, +1)
        for activation in activations
        if isinstance(activation, Radial) and activation.factor is not None
    ]
    if number == 1 and model.stem.projection is not None:
        made.append((model.stem.projection.weight, 0, -1))
    return made


def _detached(tensor: torch.Tensor) -> Callable[[], torch.Tensor]:
    return tensor.detach


# -- what stands around the blocks -----------------------------------------------------------------


def _around(model: Classifier, number: int) -> list[Limit]:
    stage = stage_of(model, number)
    limits = []
    for k, activation in enumerate(stage.activations, 1):
        limits += _of_activation(activation, f"the activation behind block {k}")
    if number == len(model.stages):
        limits += _of_activation(model.final, "the activation behind the last stage")
        limits += _of_head(model)
    if number == 1 and model.stem.projection is None:
        why = "they are what a ReLU gave, channel by channel; stem_projection=True frees them"
        limits.append(Limit("the stem", POSITIVE, why))
    return limits


def _of_activation(module: nn.Module, layer: str) -> list[Limit]:
    if isinstance(module, nn.Identity):
        return []
    name = type(module).__name__.lower()
    if isinstance(module, Radial):
        if module.factor is not None:
            return []
        why = f"{name} measures uᵀu; a quadratic form of its own would move along"
        return [Limit(layer, ORTHOGONAL, why)]
    if isinstance(module, nn.ReLU):
        return [Limit(layer, POSITIVE, "relu acts on each component and keeps positive factors")]
    if isinstance(module, nn.Hardtanh) and module.min_val == -module.max_val:
        return [Limit(layer, SIGNED, "hardtanh clips each component at the same number")]
    return [Limit(layer, IDENTITY, f"nothing is known of {type(module).__name__}")]


def _of_head(model: Classifier) -> list[Limit]:
    if not isinstance(model.head, nn.Linear):
        return [Limit("the head", IDENTITY, "without a linear map its features are the result")]
    if model.global_pool == "max":
        why = "the maximum over pixels is taken of each component"
        return [Limit("the pooling", POSITIVE, why)]
    return []


def _in_training(model: Classifier, number: int) -> list[Limit]:
    if number == len(model.stages) and model.drop_rate:
        why = "dropout leaves components out (permuted, it does so with the same probability)"
        return [Limit("dropout", Group("monomial"), why)]
    return []
