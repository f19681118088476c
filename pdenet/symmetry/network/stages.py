"""Stages: one stage of a classifier, its states, and the rule of the blocks around them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import nn

from pdenet.checks import is_integer
from pdenet.equation.system import FREE_INDEX
from pdenet.errors import SymmetryError
from pdenet.network.convnet.activation import Radial
from pdenet.network.convnet.block import PDEBlock
from pdenet.network.convnet.classifier import Classifier
from pdenet.network.convnet.stage import Stage
from pdenet.symmetry.indices import Letter, Rule, Slot, Use, solve
from pdenet.symmetry.network.reading import Reading

FORM = "quadratic form"
"""With what the names of the factors of quadratic forms begin."""


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
    if not is_integer(number) or number not in range(1, count + 1):
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
    """Read all that takes or makes the states of a stage."""
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
    _read_ends(model, number, reading)
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


def _read_ends(model: Classifier, number: int, reading: Reading) -> None:
    """Read what takes or makes the states of a stage beside blocks: W u is W_kj u_j.

    These are the head, quadratic forms of activations, and the projected stem.
    """
    stage = stage_of(model, number)
    fields, width = state_of(stage)
    readers: list[tuple[str, nn.Module, str]] = []
    activations = list(stage.activations)
    if number == len(model.stages):
        activations.append(model.final)
        if isinstance(model.head, nn.Linear):
            readers.append(("the head", model.head, "weight"))
    for k, activation in enumerate(activations, 1):
        if isinstance(activation, Radial) and activation.factor is not None:
            readers.append((f"{FORM} {k} of stage {number}", activation, "factor"))
    for k, field in enumerate(fields):
        own, of = label(number, field), f", {field}" if len(fields) > 1 else ""
        part = slice(k * width, (k + 1) * width)
        for name, module, tensor in readers:
            letters = [
                Letter("j", (Slot(name + of, 1),), (Use(own),)),
                Letter("k", (Slot(name + of, 0),), (), fixed=True),
            ]
            view = partial(_columns, module, tensor, part)
            reading.add_end(name + of, view, letters)
        if number == 1 and model.stem.projection is not None:
            name = f"the stem's projection{of}"
            letters = [
                Letter(FREE_INDEX, (Slot(name, 0),), (), own),
                Letter("j", (Slot(name, 1),), (), fixed=True),
            ]
            weight = model.stem.projection.weight
            reading.add_end(name, partial(weight.__getitem__, part), letters)


def _columns(module: nn.Module, name: str, part: slice) -> torch.Tensor:
    found: torch.Tensor = getattr(module, name)
    return found[:, part]
