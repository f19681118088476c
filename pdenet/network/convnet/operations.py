"""Operations: what a block does with pictures, one after another, and where that is read from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import nn

from pdenet.network.convnet.closing import Closing
from pdenet.network.convnet.coefficients import Coefficients
from pdenet.network.convnet.features import DirectionBanks
from pdenet.network.convnet.form import Form
from pdenet.network.convnet.opening import Opening
from pdenet.network.convnet.relaxation import Relaxation
from pdenet.network.layers import StackedTerms
from pdenet.network.structure import Structure

KINDS = (
    "state",
    "convolution",
    "depthwise",
    "product",
    "function",
    "norm",
    "sum",
    "skip",
)
"""What operations there are."""


@dataclass(frozen=True)
class Operation:
    """Something a block does with pictures.

    Attributes:
        kind: one of `KINDS`.
        name: the coefficients, the convolution or the norm: "C_D", "directions u", "norms.0".
        symbol: the letters of the result, "a_j".
        formula: which part of the equation it is, "Σ_k C_jk u_k in 4 directions".
        words: what it does, "1×1 convolution 64 → 256".
        inputs: the numbers of the operations that it needs.
        channels: of the result.
        parameters: the names of its parameters in the block, with their shapes.
    """

    kind: str
    name: str
    symbol: str
    formula: str
    words: str
    inputs: tuple[int, ...]
    channels: int
    parameters: tuple[tuple[str, tuple[int, ...]], ...] = ()


class FlowSource(Protocol):
    """What is read of a `PDEBlock`."""

    form: Form
    relaxation: Relaxation
    structure: Structure
    coefficients: Coefficients
    banks: DirectionBanks
    symbols: nn.ParameterDict
    functions: nn.ParameterDict
    layers: list[list[StackedTerms]]
    closings: dict[int, Closing]
    openings: dict[int, list[Opening]]
    norms: nn.ModuleDict
    opening_norms: nn.ModuleDict
    projection: nn.Module
    in_channels: int
    out_channels: int
    stride: int
