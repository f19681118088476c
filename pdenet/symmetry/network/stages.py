"""Stages: one stage of a classifier, its states, and the rule of the blocks around them."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping

import torch
from torch import nn

from pdenet.errors import SymmetryError
from pdenet.network.convnet.activation import Radial
from pdenet.network.convnet.block import PDEBlock
from pdenet.network.convnet.classifier import Classifier
from pdenet.network.convnet.stage import Stage
from pdenet.symmetry.indices import Rule, solve
from pdenet.symmetry.network.reading import Reading


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


def check_stages(model: Classifier) -> None:
    """Check that a classifier has stages, whose unknowns can change.

    Raises:
        SymmetryError: it was cut down to its stem.
    """
    if not len(model.stages):
        raise SymmetryError(
            "a classifier with stages was expected, whose unknowns can change; got one of its stem "
            "and head alone; compare its logits, or keep at least one stage"
        )


def stage_of(model: Classifier, number: int) -> Stage:
    """Return a stage by its number, from 1.

    Raises:
        SymmetryError: there is none.
    """
    count = len(model.stages)
    check_stages(model)
    check_number(number, count)
    stage = model.stages[number - 1]
    assert isinstance(stage, Stage)
    return stage


def check_number(number: object, count: int) -> None:
    """Check that something is the number of one of so many stages, from 1.

    Raises:
        SymmetryError: it is none.
    """
    is_number = isinstance(number, numbers.Integral) and not isinstance(number, bool)
    if not is_number or number not in range(1, count + 1):
        raise SymmetryError(
            f"stages are counted from 1 to {count}; got {number!r}; name one of them"
        )


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
    return found + [(_detached(tensor), axis, sign) for tensor, axis, sign in ends(model, stage)]


def ends(model: Classifier, number: int) -> list[tuple[torch.Tensor, int, int]]:
    """Return what takes P or P⁻¹ beside blocks: projected stem, quadratic forms, head.

    Triples of the tensor, the axis, and +1 for P or −1 for P⁻¹, as `slots` gives them.
    """
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
