"""Divergences of fluxes in a block: a product, then depthwise convolutions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any  # a time is a number or a tensor

import torch

from pdenet.discrete.structure import Flux
from pdenet.equation.system import ARGUMENT
from pdenet.network.contraction import Contraction, Operand
from pdenet.network.convnet.directions import pad
from pdenet.network.convnet.features import FULL, DirectionBanks, DirectionFeatures
from pdenet.network.products import (
    PIXELS,
    STACK,
    Context,
    FactorStack,
    FieldValues,
    StackedProduct,
    Tensors,
)


class DirectionDivergence:
    """∂_a F in all directions a, for fluxes of one shape.

    Where all directions have one flux, such as u_j u_k, it is computed once; else each has its own.
    Differences at faces, as in ∂x(k ∂x u), are kernels too: that of the face i+½ stands at node i,
    and what stands at nodes is averaged over i and i+1.

    At walls the flux of ghost pixels is that which their u and k have: k goes on linearly. For a
    product of values of u alone, as in Eqs. (6) and (7), padding the product does the same.

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
        axes = {f.axis for f in fluxes if f.faces}
        is_one = len({(f.nodes, f.faces) for f in fluxes}) == 1 and len(axes) < 2
        self.split = bool(stack) and not is_one
        self.letters = first.index + (stack if self.split else "")
        self.axes = [f.axis for f in fluxes]
        self.rule = first.rule
        at_faces = "".join(f.index for f in first.faces)
        kept = "".join(sorted(first.nodes.letters & set(first.index + at_faces)))
        if not first.faces:
            kept = first.index
        nodes = dict.fromkeys(f.nodes for f in fluxes)
        inner = kept + (stack if len(nodes) > 1 else "")
        products = [f.nodes for f in fluxes] if len(nodes) > 1 else [first.nodes]
        self.split_nodes = len(nodes) > 1
        self.nodes = StackedProduct(products, inner, FULL, {}, context)
        self.varies = bool(first.nodes.factors) or first.nodes.map is not None
        walls = set(banks.relaxation.padding) - {"circular"}
        self.goes_beyond = bool(walls) and not all(_pads_alike(f, "zeros" in walls) for f in fluxes)
        sizes = dict(self.nodes.contraction.sizes)
        if first.faces:
            self.faces = [
                FactorStack([f.faces[k] for f in fluxes], FULL, context)
                for k in range(len(first.faces))
            ]
            means = kept + (stack if self.split and (self.split_nodes or self.varies) else "")
            operands = [Operand(means, True), *(Operand(f.letters, True) for f in self.faces)]
            for face in self.faces:
                sizes.update(face.sizes)
            sizes[STACK] = len(fluxes)
            self.contraction = Contraction(operands, self.letters, sizes, PIXELS, 2)
        self.sizes: Mapping[str, int] = {c: sizes[c] for c in first.index}
        self.shape = tuple(sizes[c] for c in first.index)
        self.kernels = [f.kernel for f in fluxes if f.kernel is not None]
        self.rows = len(self.kernels)
        self.name = banks.add_flux(self.kernels, math.prod(self.shape), self.split)

    def __call__(self, features: FieldValues, tensors: Tensors, t: Any) -> torch.Tensor:
        """Return the divergences, shape `(batch, *index, direction, y, x)`; of one without."""
        directions = self.banks.of(self.name)
        # One more, since a mean over faces takes one away at both ends.
        more = directions.radius + bool(self.faces) if self.goes_beyond else 0
        features = features.beyond(more) if isinstance(features, DirectionFeatures) else features
        flux = self.nodes(features, tensors, t)
        if self.contraction is not None:
            if self.varies:
                flux = self._at_faces(flux)
            faces = [face(features) for face in self.faces]
            if self.goes_beyond:
                faces = [face[..., 1:-1, 1:-1] for face in faces]
            flux = self.contraction([flux, *faces])
        lead = (flux.shape[0], math.prod(self.shape), *((self.rows,) if self.split else ()))
        flux = flux.reshape(*lead, *flux.shape[-2:])
        made = directions(flux, is_padded=self.goes_beyond)
        made = made.reshape(made.shape[0], *self.shape, *made.shape[2:])
        return made if self.rows > 1 else made.squeeze(1 + len(self.shape))

    def _at_faces(self, values: torch.Tensor) -> torch.Tensor:
        """Return the values at faces, that of i+½ at node i, along the axis of each direction."""
        if not self.split:
            return self._mean(values, self.axes[0])
        parts: Sequence[torch.Tensor] = [values] * len(self.axes)
        place = values.ndim - 3 if self.split_nodes else values.ndim - 2
        if self.split_nodes:
            parts = values.unbind(place)
        made = [self._mean(part, axis) for part, axis in zip(parts, self.axes, strict=True)]
        return torch.stack(made, dim=place)

    def _mean(self, values: torch.Tensor, axis: int) -> torch.Tensor:
        if self.goes_beyond:
            wide, here = values, values[..., 1:-1, 1:-1]
        else:
            flat = values.reshape(values.shape[0], -1, *values.shape[-2:])
            wide, zeros = pad(flat, self.banks.relaxation.padding, 1)
            wide = torch.nn.functional.pad(wide, (zeros,) * 4)
            wide, here = wide.reshape(*values.shape[:-2], *wide.shape[-2:]), values
        rows, columns = here.shape[-2:]
        down, right = int(axis == 1), int(axis == 0)
        nodes = wide[..., 1 : 1 + rows + down, 1 : 1 + columns + right]
        made: torch.Tensor = self.rule.values(nodes, -(axis + 1))
        return made


def _pads_alike(flux: Flux, with_zeros: bool) -> bool:
    """Tell whether the padded flux is the flux of the padded field."""
    factors = flux.nodes.factors
    if flux.faces or flux.nodes.map is not None or any(f.kernel is not None for f in factors):
        return False
    functions = [f.function for f in factors]
    vanishes = any(f is None or f.subs(ARGUMENT, 0) == 0 for f in functions)
    return vanishes or not with_zeros
