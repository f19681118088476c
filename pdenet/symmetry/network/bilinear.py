"""Bilinear: the coefficient tensors of a block, as numbers that a change of unknowns acts on.

What a block adds to u is a sum of layers, each linear or bilinear in u and its directions ∂_a u:

    linear       Σ_a Σ_j  T^a_ij ∂_a u_j                               T^a_ij as in Eq. (9)
    advective    Σ_a Σ_jk T^a_ijk u_k ∂_a u_j                          Eqs. (2)–(5)
    divergence   ½ Σ_a Σ_jk T^a_ijk ∂_a(u_j u_k),  T^a_ijk = T^a_ikj   Eqs. (6), (7)

In every case Σ_k T^a_ijk u_k, or T^a_ij, is the matrix A^a(u) of the quasi-linear system
u_t = Σ_a A^a(u) ∂_a u. For u = P v the tensors become Σ (P⁻¹)_ri T^a_ijk P_jp P_kq.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pdenet.equation.system import FREE_INDEX
from pdenet.errors import SymmetryError
from pdenet.network.convnet.block import PDEBlock
from pdenet.network.convnet.directions import Directions
from pdenet.network.convnet.fusing import is_norm
from pdenet.network.convnet.slots import LayerSlots, ProductSlots
from pdenet.network.products import STACK, Tensors

# Letters that stand on the block's result and on the fields; canonical indices stop before these.
_ROW, _DERIVED, _PLAIN = "xyz"


@dataclass(frozen=True, eq=False)
class Part:
    """A layer of a block, as tensors.

    Attributes:
        kind: "linear", "advective" or "divergence".
        weights: its coefficients with the letters of their axes, such as ("ijd", A), ("jdk", C):
            `d` is the direction, `i` the free index.
        derived: the letters of the factors under a derivative; of a divergence of all of them.
        plain: those of the other factors.
        operands: weights, numbers and identities, whose contraction is T.
        equation: how they are contracted.
    """

    kind: str
    weights: tuple[tuple[str, torch.Tensor], ...]
    derived: str
    plain: str
    operands: tuple[torch.Tensor, ...]
    equation: str

    def tensor(self) -> torch.Tensor:
        """Return T, shape `(direction, i, j)` or `(direction, i, j, k)`: n³ numbers a direction."""
        made = torch.einsum(self.equation, *self.operands)
        return made + made.transpose(-1, -2) if self.kind == "divergence" else made

    @property
    def is_free(self) -> bool:
        """Tell whether every index of the state stands on one coefficient, once, and is summed.

        Then P acts on the coefficients themselves, as in Eqs. (2), (7) and (9).
        """
        letters = "".join(axes for axes, _ in self.weights)
        states = FREE_INDEX + self.derived + self.plain
        return len(set(states)) == len(states) and all(letters.count(c) == 1 for c in states)


def parts(block: PDEBlock) -> list[Part]:
    """Return the layers of a block as tensors, of the block's own type, with gradients.

    Raises:
        SymmetryError: the block changes the width, has several fields, coefficients that vary with
            the place, or a layer that is neither linear nor bilinear.
    """
    if not isinstance(block, PDEBlock):
        raise SymmetryError(
            f"a block of a ConvNet, pn.PDEBlock, was expected; got {type(block).__name__}; take "
            "one of a classifier's stages"
        )
    if len(block.layers) != 1 or block.in_channels != block.out_channels:
        raise SymmetryError(
            "a change of unknowns u = P v acts on a block with one field and as many channels in "
            f"as out; got {len(block.layers)} fields, {block.in_channels} → {block.out_channels} "
            "channels; take a block within a stage"
        )
    tensors = block.tensors()
    return [_part(block, layer, tensors) for layer in block.slots()]


def caveats(block: PDEBlock, found: list[Part]) -> tuple[str, ...]:
    """Return what of a block its coefficient tensors do not show, one sentence each."""
    made = []
    # Under a divergence kernels act on hidden components, as in Eq. (7), unless these are u's own.
    hidden = all(part.is_free and part.kind == "divergence" for part in found)
    banks = [d for d in block.banks.convolutions.values() if isinstance(d, Directions)]
    if not hidden and not all(d.is_shared for d in banks):
        made.append("each channel has kernels of its own, which changes of unknowns do not mix")
    if any(is_norm(module) for module in block.modules()):
        made.append("batch norms act on each channel: this is the symmetry of the coefficients")
    return tuple(made)


def _refuse(what: str) -> SymmetryError:
    return SymmetryError(
        "a layer linear or bilinear in u and its directions, with constant coefficients, was "
        f"expected; got one with {what}; write the equation in one of the forms of Eqs. (2)–(9)"
    )


def _part(block: PDEBlock, layer: LayerSlots, tensors: Tensors) -> Part:
    flux = layer.flux
    if flux is not None and any(one.bank is not None for one in flux.nodes.fields):
        raise _refuse("a derivative of a derivative")
    parts = [layer.product, *([] if flux is None else [flux.nodes])]
    if any(block.products[part.product].maps for part in parts):
        raise _refuse("a coefficient that varies with the place")
    fields = [one for part in parts for one in part.fields]
    if any(one.function is not None for one in fields):
        raise _refuse("a function of u")
    derived = "".join(one.letter for one in fields if one.bank is not None)
    plain = "".join(one.letter for one in fields if one.bank is None)
    if flux is not None:
        if layer.product.fields or len(plain) != 2:
            raise _refuse(f"the flux of {len(fields)} factors, {len(derived)} of them derivatives")
        kind, slots = "divergence", _DERIVED + _PLAIN
    elif len(derived) == 1 and len(plain) <= 1:
        kind, slots = ("advective" if plain else "linear"), _DERIVED + _PLAIN[: len(plain)]
    else:
        raise _refuse(f"{len(derived)} derivatives and {len(plain)} other factors")
    operands = [pair for part in parts for pair in _operands(block, part, tensors)]
    weights = tuple((a, w) for a, w in operands if a.replace(STACK, ""))
    # The identity ties a component of u to its letter, which may be the free index, as in Eq. (5).
    one = torch.eye(block.in_channels, dtype=operands[0][1].dtype, device=operands[0][1].device)
    ties = [(a + b, one) for a, b in zip(derived + plain, slots, strict=True)]
    if not any(STACK in letters for letters, _ in operands):
        operands.append((STACK, one.new_ones(1)))
    every = [*operands, (FREE_INDEX + _ROW, one), *ties]
    equation = ",".join(letters for letters, _ in every) + "->" + STACK + _ROW + slots
    if kind == "divergence":
        derived, plain = plain, ""
    return Part(kind, weights, derived, plain, tuple(value for _, value in every), equation)


def _operands(
    block: PDEBlock, part: ProductSlots, tensors: Tensors
) -> list[tuple[str, torch.Tensor]]:
    """Return a product's numbers and its coefficients, with the letters of their axes."""
    letters, product = block.coefficients.letters, block.products[part.product]
    made = [(letters[w.stack], tensors.stacks[w.stack]) for w in part.weights]
    if product.is_one:
        return made
    scales = product.scales(tensors.numbers, tensors.environment)
    return [(STACK, scales) if len(scales) > 1 else ("", scales[0]), *made]
