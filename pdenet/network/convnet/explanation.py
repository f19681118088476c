"""Explanation: in words, which part of its equation each layer of a block is."""

from __future__ import annotations

from typing import Protocol

from torch import nn

from pdenet.network.convnet.flow import FlowSource, flow_of
from pdenet.network.convnet.layout import Layout
from pdenet.network.convnet.stem import Stem


def explain_block(block: FlowSource) -> str:
    """Return which part of the equation each layer is, one operation a line.

    Derived from the steps that the block carries out; see `Operation.line`.
    """
    operations = flow_of(block)
    stride = f", stride {block.stride}" if block.stride > 1 else ""
    head = f"PDEBlock {block.in_channels} → {block.out_channels} channels{stride}: u + F(u) for"
    lines = [head, *(f"  {line}" for line in block.form.equation.splitlines())]
    return "\n".join([*lines, *(one.line() for one in operations)])


class StageSource(Protocol):
    """What is read of a `Stage`."""

    blocks: nn.ModuleList
    activations: nn.ModuleList
    stepper: str


class ModelSource(Protocol):
    """What is read of a `Classifier`."""

    equation: str
    in_channels: int
    num_classes: int
    num_features: int
    global_pool: str
    layout: Layout
    stem: Stem
    stages: nn.Sequential
    final: nn.Module


def explain_model(model: ModelSource) -> str:
    """Return a paragraph a stage, with shapes for pictures of r × r pixels."""
    layout = model.layout
    stem = "3×3 convolution" if layout.stem == "plain" else "7×7 convolution and pooling"
    reduction = layout.stem_reduction
    first = _state(layout.widths[0], reduction)
    entry = f"stem: ({model.in_channels}, r, r) → {first}: {stem}, batch norm, ReLU"
    entry += ", 1×1 convolution" if model.stem.projection is not None else ""
    made = [f"Classifier of {model.equation}", f"{entry}: the initial state"]
    channels, before = layout.widths[0], reduction
    for number, (stage, width, after) in enumerate(
        zip(model.stages, layout.widths, layout.reductions, strict=True), 1
    ):
        blocks = stage.blocks
        assert isinstance(blocks, nn.ModuleList)
        made.append(_stage(number, stage, (channels, before), (width, after)))  # type: ignore[arg-type]
        made += [f"  {line}" for line in explain_block(blocks[-1]).splitlines()]  # type: ignore[arg-type]
        channels, before = width, after
    final = type(model.final).__name__
    behind = "" if isinstance(model.final, nn.Identity) else f"{final}, "
    words = {"avg": "mean over all pixels", "max": "maximum over all pixels", "": "no pooling"}
    head = f"linear {model.num_features} → {model.num_classes}: {model.num_classes} logits"
    last = head if model.num_classes else f"{model.num_features} features"
    made.append(f"head: {behind}{words[model.global_pool]}, {last}")
    return "\n".join(made)


def _stage(number: int, stage: StageSource, given: tuple[int, int], made: tuple[int, int]) -> str:
    depth = len(stage.blocks)
    names = [type(a).__name__ for a in stage.activations]
    acts = [f"{name} behind block {k}" for k, name in enumerate(names, 1) if name != "Identity"]
    tail = f"; {', '.join(acts)}" if acts else ""
    count = "1 block" if depth == 1 else f"{depth} blocks"
    weights = sum(p.numel() for block in stage.blocks for p in block.parameters())
    entry = ", the first of another width or stride" if given != made else ""
    return (
        f"stage {number}: {_state(*given)} → {_state(*made)}: {count}{entry}, steps of "
        f"{stage.stepper}{tail}; {weights:,} parameters; its last block is"
    )


def _state(channels: int, reduction: int) -> str:
    size = "r" if reduction == 1 else f"r/{reduction}"
    return f"({channels}, {size}, {size})"
