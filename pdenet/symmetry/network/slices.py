"""Slices: weights of each component, of which generalised permutations change order and factor.

Under u_π(j) = d_j v_j the slice at π(j) of a coefficient comes to j, times a power of d_j. What its
other indices do is left to functions of a slice that no permutation of its entries changes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from pdenet.network.convnet.classifier import Classifier
from pdenet.symmetry.indices import Exponent
from pdenet.symmetry.network.stages import label, rule_of, stage_of, state_of


@dataclass(frozen=True, eq=False)
class Slices:
    """The slices of one tensor along one index.

    Attributes:
        name: the coefficient.
        exponent: what a factor d of a component does to its slice.
        table: float64, shape `(component, entries)`.
    """

    name: str
    exponent: Exponent
    table: np.ndarray


def slices_of(model: Classifier, stage: int, others: Collection[str]) -> list[Slices]:
    """Return the tensors of a stage whose slices only its own factors change, longest slices first.

    Args:
        model: a classifier.
        stage: a stage on which generalised permutations act.
        others: names of coefficients that are left out: those that other stages move.
    """
    rule, reading = rule_of(model, stage)
    (field,), _ = state_of(stage_of(model, stage))
    name = label(stage, field)
    places: dict[str, dict[int, Exponent]] = {}
    for (slot, own), exponent in rule.exponents.items():
        if own == name:
            places.setdefault(slot.coefficient, {})[slot.place] = exponent
    # Where blocks admit GL(n) or O(n) and what stands around them does not.
    size = rule.groups[name].shape == "general"
    for slot, (own, sign) in rule.variances.items():
        if own == name:
            exponent = Exponent(Fraction(sign if size else 0), 1)
            places.setdefault(slot.coefficient, {})[slot.place] = exponent
    made = []
    for coefficient, exponents in sorted(places.items()):
        if coefficient in others:
            continue
        for axis, exponent in exponents.items():
            if any(e for place, e in exponents.items() if place != axis):
                continue
            for holder in reading.holders[coefficient]:
                values = holder.read().double().cpu().movedim(axis, 0)
                table = values.reshape(len(values), -1).numpy()
                made.append(Slices(coefficient, exponent, table))
    return sorted(made, key=lambda one: -one.table.shape[1])
