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

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import nn

from pdenet.network.convnet.activation import Radial
from pdenet.network.convnet.classifier import Classifier
from pdenet.network.convnet.fusing import copied
from pdenet.network.convnet.stage_folding import fold_stages
from pdenet.symmetry.groups import IDENTITY, ORTHOGONAL, Group
from pdenet.symmetry.indices import Rule
from pdenet.symmetry.network.reading import Reading
from pdenet.symmetry.network.stages import (
    check_classifier,
    check_number,
    label,
    rule_of,
    stage_of,
    state_of,
)

_POSITIVE = Group("monomial", "positive")
_SIGNED = Group("monomial", "signs", common=False)


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
        training: for each field the group of its P that leaves training mode as it is too.
        kept: that of evaluation mode with all batch norms as they are.
        evaluation: that of evaluation mode with norms folded that are in the way.
        equal: sets of fields with one P.
        moving: sets of fields whose generalised permutations move components alike.
        limits: what limits the group of evaluation mode.
        training_limits: what limits that of training mode.
    """

    stage: int
    fields: tuple[str, ...]
    width: int
    training: Mapping[str, Group]
    kept: Mapping[str, Group]
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
            group, kept = self.evaluation[name], self.kept[name]
            head = f"stage {self.stage} ({self.width} components{of}): {group.name(self.width)}"
            if kept != group:
                head += f"; with its batch norms as they are {kept.name(self.width)}"
            if self.training[name] != kept:
                head += f"; in training mode {self.training[name].name(self.width)}"
            lines.append(head)
        lines += [
            f"  one P for {', '.join(sorted(fields))}" for fields in self.equal if len(fields) > 1
        ]
        lines += [f"  limited by {limit}" for limit in self.limits]
        same = {str(limit) for limit in self.limits}
        lines += [
            f"  in training mode also by {limit}"
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
        check_number(stage, len(self.stages))
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
    return ModelGroup(tuple(stage_group(model, k) for k in range(1, len(model.stages) + 1)))


def stage_group(model: Classifier, number: int) -> StageGroup:
    """Return the group of one stage; see `group`."""
    stage = stage_of(model, number)
    rule, reading = rule_of(model, number)
    folded_rule = rule
    if number not in model.folded_stages and not model.is_fused:
        # Its own norms alone, as `transform` does: what others' leave is another group.
        folded = copied(model)
        fold_stages(folded, [number])
        folded_rule, _ = rule_of(folded, number)
    fields, width = state_of(stage)
    kept, _ = stage_groups(model, number, rule)
    training, training_limits = stage_groups(model, number, rule, reading)
    evaluation, limits = stage_groups(model, number, folded_rule)
    equal, moving = (
        tuple(frozenset(f for f in fields if label(number, f) in one) for one in many)
        for many in (folded_rule.equal, rule.moving)
    )
    return StageGroup(
        number, fields, width, training, kept, evaluation, equal, moving, limits, training_limits
    )


def stage_groups(
    model: Classifier, number: int, rule: Rule, training: Reading | None = None
) -> tuple[dict[str, Group], tuple[Limit, ...]]:
    """Return the group of each field of a stage as the model is, and what limits it.

    Args:
        model: a classifier.
        number: the number of the stage.
        rule: that of its blocks.
        training: what was read of it, where what acts in training mode alone limits it too.
    """
    fields, _ = state_of(stage_of(model, number))
    groups = {name: rule.groups[label(number, name)] for name in fields}
    reasons = {
        rule.reasons[label(number, name)]: groups[name]
        for name in fields
        if label(number, name) in rule.reasons
    }
    around = _limits_around(model, number)
    if training is not None:
        around += _limits_in_training(model, number, training)
    for limit in around:
        groups = {name: one & limit.group for name, one in groups.items()}
    return groups, (*(Limit("its blocks", one, why) for why, one in reasons.items()), *around)


# -- what limits it beside blocks ------------------------------------------------------------------


def _limits_around(model: Classifier, number: int) -> list[Limit]:
    """Return what limits the group of a stage besides its blocks."""
    stage = stage_of(model, number)
    limits = []
    for k, activation in enumerate(stage.activations, 1):
        limits += _of_activation(activation, f"the activation behind block {k}")
    if number == len(model.stages):
        limits += _of_activation(model.final, "the activation behind the last stage")
        limits += _of_head(model)
    if number == 1 and model.stem.projection is None:
        why = "they are what a ReLU gave, channel by channel; stem_projection=True frees them"
        limits.append(Limit("the stem", _POSITIVE, why))
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
        return [Limit(layer, _POSITIVE, "relu acts on each component and keeps positive factors")]
    if isinstance(module, nn.Hardtanh) and module.min_val == -module.max_val:
        return [Limit(layer, _SIGNED, "hardtanh clips each component at the same number")]
    return [Limit(layer, IDENTITY, f"nothing is known of {type(module).__name__}")]


def _of_head(model: Classifier) -> list[Limit]:
    if not isinstance(model.head, nn.Linear):
        return [Limit("the head", IDENTITY, "without a linear map its features are the result")]
    if model.global_pool == "max":
        why = "the maximum over pixels is taken of each component"
        return [Limit("the pooling", _POSITIVE, why)]
    return []


def _limits_in_training(model: Classifier, number: int, reading: Reading) -> list[Limit]:
    """Return what limits it in training mode alone, with all batch norms as they are."""
    limits = []
    if any(channels.divides for channels in reading.channels):
        why = "the ε that they add to variances does not change with factors"
        limits.append(Limit("batch norms of derivatives", _SIGNED, why))
    if number == len(model.stages) and model.drop_rate:
        why = "dropout leaves components out (permuted, it does so with the same probability)"
        limits.append(Limit("dropout", Group("monomial"), why))
    return limits
