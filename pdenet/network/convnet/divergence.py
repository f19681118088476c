"""Divergences of fluxes in a block: a product, then depthwise convolutions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any  # a time is a number or a tensor

import torch

from pdenet.network.contraction import Contraction, Operand
from pdenet.network.convnet.directions import pad
from pdenet.network.convnet.features import FULL, DirectionBanks
from pdenet.network.products import (
    PIXELS,
    STACK,
    Context,
    FactorStack,
    FieldValues,
    StackedProduct,
    Tensors,
)
from pdenet.network.structure import Flux


class DirectionDivergence:
    """∂_a F in all directions a, for fluxes of one shape.

    Where all directions have one flux, such as u_j u_k, it is computed once; else each has its own.
    Differences at faces, as in ∂x(k ∂x u), are kernels too: that of the face i+½ stands at node i,
    and what stands at nodes is averaged over i and i+1.

    Args:
        fluxes: the fluxes, one a term.
        stack: the letter of the stack, "" for one term alone.
        context: the block.
        banks: its convolutions.
    """

    def __init__(
        self, fluxes: Sequence[Flux], stack: str, context: Context, banks: DirectionBanks
    ) -> None:
        first = fluxes[0]
        self.banks = banks
        self.index = first.index
        self.faces: list[FactorStack] = []
        self.contraction: Contraction | None = None
        is_one = len({(f.nodes, f.faces) for f in fluxes}) == 1 and not first.faces
        self.split = bool(stack) and not is_one
        self.letters = first.index + (stack if self.split else "")
        self.axes = [f.axis for f in fluxes]
        at_faces = "".join(f.index for f in first.faces)
        kept = "".join(sorted(first.nodes.letters & set(first.index + at_faces)))
        if not first.faces:
            kept = first.index
        inner = kept + (stack if self.split else "")
        products = [f.nodes for f in fluxes] if self.split else [first.nodes]
        self.nodes = StackedProduct(products, inner, FULL, {}, context)
        self.varies = bool(first.nodes.factors) or first.nodes.map is not None
        sizes = dict(self.nodes.contraction.sizes)
        if first.faces:
            self.faces = [
                FactorStack([f.faces[k] for f in fluxes], FULL, context)
                for k in range(len(first.faces))
            ]
            operands = [Operand(inner, True), *(Operand(f.letters, True) for f in self.faces)]
            for face in self.faces:
                sizes.update(face.sizes)
            sizes[STACK] = len(fluxes)
            self.contraction = Contraction(operands, self.letters, sizes, PIXELS, 2)
        self.sizes: Mapping[str, int] = {c: sizes[c] for c in first.index}
        self.shape = tuple(sizes[c] for c in first.index)
        kernels = [f.kernel for f in fluxes]
        rows = [k for k in kernels if k is not None]
        self.rows = len(rows)
        self.name = banks.add_flux(rows, math.prod(self.shape), self.split)

    def __call__(self, features: FieldValues, tensors: Tensors, t: Any) -> torch.Tensor:
        """Return the divergences, shape `(batch, *index, direction, y, x)`; of one without."""
        flux = self.nodes(features, tensors, t)
        if self.contraction is not None:
            if self.varies:
                flux = self._averaged(flux)
            flux = self.contraction([flux, *(face(features) for face in self.faces)])
        lead = (flux.shape[0], math.prod(self.shape), *((self.rows,) if self.split else ()))
        flux = flux.reshape(*lead, *flux.shape[-2:])
        made: torch.Tensor = self.banks.of(self.name)(flux)
        made = made.reshape(made.shape[0], *self.shape, *made.shape[2:])
        return made if self.rows > 1 else made.squeeze(1 + len(self.shape))

    def _averaged(self, values: torch.Tensor) -> torch.Tensor:
        """Return the means over nodes i and i+1 along the axis of each direction."""
        if not self.split:
            return _mean(values, self.axes[0], self.banks.relaxation.padding)
        place = values.ndim - 3
        made = [
            _mean(part, axis, self.banks.relaxation.padding)
            for part, axis in zip(values.unbind(place), self.axes, strict=True)
        ]
        return torch.stack(made, dim=place)


def _mean(values: torch.Tensor, axis: int, paddings: tuple[str, str]) -> torch.Tensor:
    flat = values.reshape(values.shape[0], -1, *values.shape[-2:])
    padded, zeros = pad(flat, paddings, 1)
    if zeros:
        padded = torch.nn.functional.pad(flat, (1, 1, 1, 1))
    rows, columns = values.shape[-2:]
    down, right = int(axis == 1), int(axis == 0)
    after = padded[..., 1 + down : 1 + down + rows, 1 + right : 1 + right + columns]
    return (0.5 * (flat + after)).reshape(values.shape)
