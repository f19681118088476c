"""Canonical: one representative of all classifiers that changes of unknowns make of one another.

    GL(n)                      n rows of weights that are contracted with u become the identity
    O(n)                       n rows of weights become lower triangular, with a positive diagonal
    generalised permutations   a coefficient's slices have norm 1 and a positive sum of cubes

Under permutations components are sorted by the sum of fourth powers of their slices. Which rows and
which coefficient is decided by what no change of unknowns moves, neither that of the stage nor
those of others: rows by angles of the column space, which is the same for C and C P; coefficients
by the index rule alone. So P is unique, but for ties, which are reported. Two of them are of whole
forms: in Eq. (4), A_ij C_ik, the rows of A and of C share a factor that the equation leaves free,
and P puts d⁻¹ into either, as norms are folded before or after; and coefficients that are 0, as a
new network's closing ones are, fix nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch

from pdenet.errors import SymmetryError
from pdenet.network.convnet.classifier import Classifier
from pdenet.network.convnet.fusing import copied
from pdenet.network.convnet.stage_folding import fold_stages
from pdenet.network.convnet.unit_rows import write_out
from pdenet.symmetry.groups import Group
from pdenet.symmetry.indices import Exponent
from pdenet.symmetry.network.gauge import matrix_of, triangulate
from pdenet.symmetry.network.group import stage_group
from pdenet.symmetry.network.places import places, shape_of
from pdenet.symmetry.network.stages import (
    check_classifier,
    check_stages,
    label,
    rule_of,
    stage_of,
    state_of,
)
from pdenet.symmetry.network.transform import transforms

TIE = 1e3
"""In units of the rounding error of a number: decisions that are closer are called ties."""

_ANGLE = 0.3
"""A row is taken when its sine to those before it is larger; halved when rows are lacking. Rows in
their order with a bound meet fewer close decisions than a pivoting among hundreds of rows."""


@dataclass(frozen=True, eq=False)
class Canonical:
    """The representative of a classifier's orbit.

    Attributes:
        model: the representative, in evaluation mode, norms of all stages folded.
        matrices: P by stage, float64, with `model` = the classifier in unknowns u = P v.
        ties: decisions that rounding may turn: one sentence each.
    """

    model: Classifier
    matrices: dict[int, np.ndarray]
    ties: tuple[str, ...]


def canonical(model: Classifier) -> Canonical:
    """Return the representative of a classifier under the groups of all its stages.

    Args:
        model: a classifier; it stays as it is. Its batch norms are folded in the result.

    Returns:
        A classifier of the same function in evaluation mode. Two classifiers that `transforms`
        makes of one another come to the same weights, up to rounding times cond(P), unless there
        are ties; there always are for Eq. (4), and for Eq. (5) as it is first drawn. A common
        positive factor beside O(n) or signed permutations stays as it is.

    Raises:
        SymmetryError: an equation has several fields, the classifier has no stages, or one on which
            GL(n) acts has no n independent rows that no other stage moves.

    Example:
        >>> import pdenet as pn
        >>> from pdenet.symmetry.network.transform import transform
        >>> model = pn.create_model("eq7_nows_x6_small", activation="none", norm=False).double()
        >>> p = np.random.default_rng(0).normal(size=(32, 32))
        >>> one, other = canonical(model).model, canonical(transform(model, 2, p)).model
        >>> bool(torch.allclose(one.stages[1].blocks[1].coefficients.tensors["C"],
        ...                     other.stages[1].blocks[1].coefficients.tensors["C"]))
        True
    """
    made = prepared(model)
    matrices: dict[int, np.ndarray] = {}
    ties: list[str] = []
    for stage in range(1, len(made.stages) + 1):
        matrices[stage] = canonical_matrix(made, stage, ties)
    made = transforms(made, matrices)
    triangulate(made, list(matrices))
    return Canonical(made, matrices, tuple(ties))


def prepared(model: Classifier) -> Classifier:
    """Return a copy in evaluation mode, with all rows written out and norms of stages folded."""
    check_classifier(model)
    check_stages(model)
    made = copied(model).eval()
    write_out(made)
    fold_stages(made, range(1, len(made.stages) + 1))
    return made


def canonical_matrix(model: Classifier, stage: int, ties: list[str]) -> np.ndarray:
    """Return P that brings a stage to its normal form; see the head of this module.

    Args:
        model: a classifier whose norms are folded.
        stage: the number of the stage, from 1.
        ties: where close decisions are noted.
    """
    shape, n = shape_of(model, stage)
    if shape in ("general", "orthogonal"):
        table, sign = rows_of_stage(model, stage, shape, n)
        rows, margin = independent_rows(table)
        if margin < TIE * _eps(model):
            ties.append(f"stage {stage}: the sine of a row is within {margin:.1g} of its bound")
        return matrix_of(table[rows], shape, sign)
    (group,) = stage_group(model, stage).evaluation.values()
    ties += _shared_factors(model, stage)
    slices = _slices_of(model, stage, moved_by_others(model, stage))
    return _monomial(slices, group, n, stage, ties, _eps(model))


def _shared_factors(model: Classifier, stage: int) -> list[str]:
    """Return where several coefficients carry the free index, and could exchange factors of rows.

    One that follows from P may come to either of them: to the norm, and with it to A when that is
    folded, or to C where it was folded before.
    """
    _, reading = rule_of(model, stage)
    letters = [letter for term in reading.terms for letter in term]
    # What has one index, such as a bias, is told from a row of a matrix.
    matrices = {slot.coefficient for letter in letters for slot in letter.slots if slot.place}
    shared = {
        tuple(dict.fromkeys(s.coefficient for s in letter.slots if s.coefficient in matrices))
        for letter in letters
        if letter.free is not None
    }
    return [
        f"stage {stage}: rows of {' and '.join(names)} share a factor that nothing fixes"
        for names in sorted(shared)
        if len(names) > 1
    ]


def rows_of_stage(model: Classifier, stage: int, shape: str, n: int) -> tuple[np.ndarray, int]:
    """Return all rows of weights that P of one stage alone multiplies, and the sign of their index.

    Args:
        model: a classifier whose norms are folded.
        stage: a stage on which GL(n) or O(n) acts.
        shape: which of them; see `shape_of`.
        n: its number of components.

    Returns:
        float64, shape `(rows, n)`, and +1 for rows that become rows · P, −1 for rows · P⁻ᵀ.

    Raises:
        SymmetryError: they have not full rank.
    """
    others = moved_by_others(model, stage)
    found = [
        (place.is_form, given)
        for place in places(model, [stage])
        if place.name not in others and (given := place.rows_of(stage)) is not None
    ]
    for forms, sign in ((False, 1), (False, -1), (True, 1)):
        tables = [
            rows
            for is_form, (rows, own) in found
            if (forms or not is_form) and (own == sign or shape == "orthogonal")
        ]
        table = np.concatenate(tables) if tables else np.empty((0, n))
        if len(table) >= n:
            sizes = np.linalg.svd(np.linalg.qr(table, mode="r"), compute_uv=False)
            if sizes[-1] > 1e3 * _eps(model) * sizes[0]:
                return table, sign
    raise SymmetryError(
        f"{n} independent rows of weights that only stage {stage} moves were expected; got fewer: "
        "the coefficients of this equation meet states of two stages, or a state twice; compare "
        'such models by their logits, or give them quadratic_form="identity"'
    )


def independent_rows(table: np.ndarray) -> tuple[list[int], float]:
    """Return n rows, and how far the closest decision was from another one.

    Args:
        table: shape `(rows, n)`, of rank n. Only its column space matters for which rows are taken.
    """
    q, _ = np.linalg.qr(table)
    lengths = np.linalg.norm(q, axis=1)
    n = table.shape[1]
    basis = np.empty((0, n))
    taken: list[int] = []
    margin, bound = np.inf, _ANGLE
    while len(taken) < n:
        for row, length in enumerate(lengths):
            if row in taken or len(taken) == n or length < 1e-6 * lengths.max():
                continue
            rest = q[row] - basis.T @ (basis @ q[row])
            sine = float(np.linalg.norm(rest) / length)
            margin = min(margin, abs(sine - bound))
            if sine > bound:
                rest = rest - basis.T @ (basis @ rest)  # twice is enough (Kahan)
                basis = np.vstack([basis, rest / np.linalg.norm(rest)])
                taken.append(row)
        bound *= 0.5
    return sorted(taken), margin


def moved_by_others(model: Classifier, stage: int) -> set[str]:
    """Return the names of coefficients that changes of other stages' unknowns move too."""
    found = set()
    for other in range(1, len(model.stages) + 1):
        if other == stage:
            continue
        rule, _ = rule_of(model, other)
        found |= {slot.coefficient for slot in rule.variances}
        found |= {slot.coefficient for slot, _ in rule.exponents}
    return found


def _slices_of(
    model: Classifier, stage: int, others: Collection[str]
) -> list[tuple[Exponent, np.ndarray]]:
    """Return the tensors of a stage whose slices only its own factors change, longest slices first.

    Args:
        model: a classifier.
        stage: a stage on which generalised permutations act.
        others: names of coefficients that are left out: those that other stages move.

    Returns:
        For each tensor what a factor d of a component does to its slice, and the slices, float64,
        shape `(component, entries)`. Under u_π(j) = d_j v_j the slice at π(j) comes to j.
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
        if coefficient in others or coefficient in reading.ends:
            continue
        for axis, exponent in exponents.items():
            if any(e for place, e in exponents.items() if place != axis):
                continue
            for holder in reading.holders[coefficient]:
                values = holder.read().double().cpu().movedim(axis, 0)
                table = values.reshape(len(values), -1).numpy()
                made.append((exponent, table))
    return sorted(made, key=lambda one: -one[1].shape[1])


def _monomial(
    slices: Sequence[tuple[Exponent, np.ndarray]],
    group: Group,
    n: int,
    stage: int,
    ties: list[str],
    eps: float,
) -> np.ndarray:
    """Return u_π(j) = d_j v_j with d by norms and sums of cubes, π by sums of fourth powers."""
    scales = np.ones(n)
    if group.scales in ("any", "positive"):
        for exponent, table in slices:
            norms = np.linalg.norm(table, axis=1)
            if exponent.size and (norms > 1e-6 * norms.max()).all():
                scales = norms ** (-1.0 / float(exponent.size))
                break
        else:
            ties.append(f"stage {stage}: no coefficient has a slice for each component's factor")
    if group.scales in ("any", "signs"):
        for exponent, table in slices:
            cubes = (table**3).sum(axis=1)
            odd = np.abs(cubes) / (np.abs(table) ** 3).sum(axis=1).clip(1e-300)
            if exponent.sign and (odd > 1e-6).all():
                if odd.min() < 1e-4:
                    ties.append(f"stage {stage}: a sum of cubes is {odd.min():.1g} of its terms")
                scales = scales * np.sign(cubes)
                break
        else:
            ties.append(f"stage {stage}: no coefficient has a slice for each component's sign")
    order = np.arange(n)
    if group.shape == "monomial":
        keys = []
        for exponent, table in slices:
            factors = np.abs(scales) ** float(exponent.size)
            keys.append(((factors[:, None] * table) ** 4).sum(axis=1))
        keys = [key / key.max() for key in keys if key.max() > 0]
        if keys:
            order = np.argsort(keys[0], kind="stable")
            gap = float(np.diff(keys[0][order]).min()) if n > 1 else 1.0
            if gap < max(1e-9, TIE * eps):
                ties.append(
                    f"stage {stage}: two components differ by {gap:.1g} in what they are sorted by"
                )
        elif n > 1:
            ties.append(f"stage {stage}: no coefficient tells components apart for their order")
    made = np.zeros((n, n))
    made[order, np.arange(n)] = scales[order]
    return made


def _eps(model: Classifier) -> float:
    return float(torch.finfo(next(model.parameters()).dtype).eps)
