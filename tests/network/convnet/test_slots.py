"""Slots tell as data what the indices of a block's layers stand on."""

from __future__ import annotations

from collections import defaultdict

import pytest
import sympy as sp
import torch

import pdenet as pn
from pdenet.equation.system import FREE_INDEX
from pdenet.network.convnet.block import PDEBlock
from pdenet.network.convnet.fusing import folded
from pdenet.network.convnet.slots import LayerSlots
from tests.network.convnet.test_fusing import OTHERS, i, t, u
from tests.tiers import Each

FORMS = {name: pn.catalogue[name] for name in ("eq2", "eq3", "eq4", "eq5", "eq6", "eq7")}
FORMS |= {name: pn.PDE(sp.Eq(u[i].diff(t), right)) for name, right in OTHERS.items()}

NORMS = pn.Relaxation(directions=2, opening_norm=True)


def block_of(name: str, relaxation: pn.Relaxation = NORMS) -> PDEBlock:
    return PDEBlock(FORMS[name], 4, relaxation=relaxation)


def lengths(block: PDEBlock, layer: LayerSlots) -> dict[str, set[int]]:
    """By letter the lengths of all axes that it stands on."""
    found: dict[str, set[int]] = defaultdict(set)
    parts = [layer.product, *([] if layer.flux is None else [layer.flux.nodes])]
    for part in parts:
        for weight in part.weights:
            for term in range(layer.num_terms):
                tensor = block.coefficients.entries(weight.name(term))
                for letter, length in zip(weight.stack.indices, tensor.shape, strict=True):
                    found[letter].add(length)
        for field in part.fields:
            if field.letter:
                found[field.letter].add(block.in_channels)
        for opening in part.openings:
            for letter, length in zip(opening.letters, opening.shape, strict=True):
                found[letter].add(length)
    return found


def test_each_letter_has_one_length_on_all_that_carries_it(each: Each) -> None:
    for name, cell in each(FORMS, key=str):
        with cell:
            block = block_of(name)
            for layer in block.slots():
                found = lengths(block, layer)
                assert all(len(sizes) == 1 for sizes in found.values())
                assert found.get(FREE_INDEX, {4}) == {4}


def test_every_coefficient_norm_and_convolution_of_a_block_is_told(each: Each) -> None:
    for name, cell in each(FORMS, key=str):
        with cell:
            block = block_of(name)
            made = block.slots()
            parts = [layer.product for layer in made]
            parts += [layer.flux.nodes for layer in made if layer.flux is not None]
            stacks = [weight.stack for part in parts for weight in part.weights]
            labels = {label for stack in stacks for label in block.coefficients.labels_of(stack)}
            assert labels == set(block.coefficients.tensors)
            assert {layer.closing for layer in made} - {None} == set(block.norms)
            openings = {one.norm for part in parts for one in part.openings}
            assert openings == set(block.opening_norms)
            banks = {field.bank for part in parts for field in part.fields} - {None}
            banks |= {layer.flux.bank for layer in made if layer.flux is not None}
            assert banks == set(block.banks.convolutions)


@pytest.mark.parametrize("name", ["eq3", "eq7"])
def test_blocks_of_one_form_have_equal_slots_and_fused_ones_other_names(name: str) -> None:
    torch.manual_seed(0)
    one, other = block_of(name), block_of(name)
    assert one.slots() == other.slots()
    assert hash(one.slots()) == hash(other.slots())
    fused = folded(torch.nn.Sequential(one))[0]
    assert isinstance(fused, PDEBlock)
    # Its coefficients are others, under names of their own; all else is told as before.
    for before, after in zip(one.slots(), fused.slots(), strict=True):
        assert before.text(0) == after.text(0)
        assert before.product.fields == after.product.fields
        assert before.product.openings == after.product.openings
    assert fused.slots() != one.slots()


def test_norms_stand_behind_the_coefficients_that_they_follow() -> None:
    """Eq. (3), A_ij (C_jk u_k) ∂u_j: the opening norm follows C, the closing one A.

    In Eq. (4), A_ij (C_ik u_k) ∂u_j, the closing one stands before the product with C_ik u_k.
    """
    told = {"eq3": "A_ij C_jk ∂u_j u_k", "eq4": "Ax_ij C_ik ∂u_j u_k"}
    for name, text in told.items():
        (layer,) = block_of(name).slots()
        first, second = layer.product.weights
        assert (first.opened, second.opened) == ("", second.stack.indices[0])
        assert (first.is_closed, second.is_closed) == (True, False)
        assert layer.text(0) == text
