"""Transform: a classifier in other unknowns u = P v, whose weights move and whose function stays.

What makes a state of the stage takes P⁻¹, what reads one takes P: closing and opening 1×1
convolutions, skip convolutions, the stem, the head, quadratic forms of activations. The group says
which P are possible and where batch norms have to be folded first; see `group`.

The difference of the logits is rounding alone: weights are computed in float64 and rounded once.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any  # torch knows no types of what a module holds

import numpy as np
import scipy.linalg
import torch

from pdenet.errors import SymmetryError, SymmetryWarning
from pdenet.network.convnet.classifier import Classifier
from pdenet.network.convnet.fusing import copied, is_norm
from pdenet.network.convnet.stage_folding import fold_stages
from pdenet.symmetry.acting import Change, acted, checked, tie_fault
from pdenet.symmetry.groups import Group
from pdenet.symmetry.indices import Exponent, Rule
from pdenet.symmetry.network.group import Limit, stage_groups
from pdenet.symmetry.network.holders import view_holder
from pdenet.symmetry.network.reading import Reading
from pdenet.symmetry.network.stages import (
    check_classifier,
    label,
    rule_of,
    stage_of,
    state_of,
)

WARNED_CONDITION = 1e3
"""A condition number above which a change is warned of."""

REFUSED_ERROR = 1e-3
"""A predicted relative error above which a change is refused."""


def transform(model: Classifier, stage: int, matrix: object) -> Classifier:
    """Return a classifier of the same function whose states of one stage are v = P⁻¹ u.

    Args:
        model: a classifier; it stays as it is.
        stage: the number of the stage, from 1.
        matrix: P, real, shape `(channels, channels)`, one block for each field of the state; or
            `(n, n)`, the same P for each of several fields. An array or a tensor.

    Returns:
        A copy with parameters of its own, in the same mode and of the same dtype and device. In
        evaluation mode its logits are the same up to rounding: at most 200 eps cond(P)^k of the
        largest, where k is the number of places at which one coefficient takes P or P⁻¹: 1 for Eq.
        (7), 3 for the A_ijk of Eq. (2), and 0 for a generalised permutation, which mixes nothing.
        Batch norms are folded only where P needs it: not for an element of
        `group(model)[stage].kept`. An element of `.training` leaves training mode as it is, too.

    Raises:
        SymmetryError: P is no element of the group, singular, of the wrong size, so ill-conditioned
            that the predicted error cond(P)^k eps passes 1e-3, or so large or small that numbers of
            the model's dtype would overflow.

    Warns:
        SymmetryWarning: cond(P) is above 1e3, or the predicted error above 2e-4.

    Example:
        >>> import pdenet as pn
        >>> model = pn.create_model("eq3_small").eval()
        >>> swap = np.eye(32)[:, [1, 0, *range(2, 32)]]
        >>> moved = transform(model, 2, swap)
        >>> x = torch.rand(1, 3, 16, 16)
        >>> bool((moved(x) - model(x)).abs().max() < 1e-5)
        True
    """
    check_classifier(model)
    made = copied(model)
    _change(made, stage, matrix)
    return made


def transforms(model: Classifier, matrices: Mapping[int, object] | Sequence[object]) -> Classifier:
    """Return a classifier of the same function in other unknowns of several stages at once.

    Args:
        model: a classifier; it stays as it is.
        matrices: P by the number of the stage, from 1; or one for each stage in order, None for a
            stage that stays.

    Returns:
        A copy; see `transform`.

    Raises:
        SymmetryError: see `transform`; or there are more matrices than stages.

    Example:
        >>> import pdenet as pn
        >>> from pdenet.symmetry.network.group import group
        >>> model = pn.create_model("eq7_nows_x6_small", quadratic_form="identity").eval()
        >>> moved = transforms(model, group(model).random(np.random.default_rng(0)))
        >>> x = torch.rand(1, 3, 16, 16)
        >>> bool((moved(x) - model(x)).abs().max() < 1e-4)
        True
    """
    check_classifier(model)
    if not isinstance(matrices, Mapping):
        given = list(matrices) if isinstance(matrices, Sequence | np.ndarray) else []
        if len(given) != len(model.stages):
            raise SymmetryError(
                f"a matrix or None for each of the {len(model.stages)} stages was expected; got "
                f"{len(given)}; or give a dictionary from numbers of stages to matrices"
            )
        matrices = {k: matrix for k, matrix in enumerate(given, 1) if matrix is not None}
    made = copied(model)
    for stage in sorted(matrices):
        _change(made, stage, matrices[stage])
    return made


def _change(model: Classifier, stage: int, matrix: object) -> None:
    """Change the unknowns of one stage in place; see `transform`."""
    blocks = _blocks(model, stage, matrix)
    rule, reading = rule_of(model, stage)
    groups, limits = stage_groups(model, stage, rule)
    fault = _fault(stage, rule, groups, blocks)
    if fault:
        fold_stages(model, [stage])
        rule, reading = rule_of(model, stage)
        groups, limits = stage_groups(model, stage, rule)
        fault = _fault(stage, rule, groups, blocks)
    if fault:
        raise _refusal(stage, groups, limits, blocks, fault)
    _check_digits(model, stage, rule, blocks)
    _act(model, stage, rule, reading, blocks)


# -- checks ----------------------------------------------------------------------------------------


def _blocks(model: Classifier, number: int, matrix: object) -> dict[str, np.ndarray]:
    """Return P of each field, checked for its size, its inverse and its blocks."""
    if isinstance(matrix, torch.Tensor):
        matrix = matrix.detach().double().cpu().numpy()
    fields, width = state_of(stage_of(model, number))
    count = len(fields)
    if count > 1 and isinstance(matrix, np.ndarray) and matrix.shape == (width, width):
        matrix = np.kron(np.eye(count), checked(matrix, width))
    whole = checked(matrix, count * width, f"P of stage {number}")
    condition = np.linalg.cond(whole)
    # A matrix whose singular values span more than float64 holds has no inverse here.
    if not np.isfinite(condition) or condition > 0.1 / np.finfo(np.float64).eps:
        raise SymmetryError(
            f"P of stage {number} is invertible; got a singular matrix, cond(P) = {condition:.3g}; "
            f"draw one by group(model)[{number}].random(rng)"
        )
    made = {}
    for k, name in enumerate(fields):
        here = slice(k * width, (k + 1) * width)
        made[name] = whole[here, here]
        rest = np.delete(whole[here], np.r_[here], axis=1)
        if rest.any():
            raise SymmetryError(
                f"P of stage {number} has one block for each of the fields {', '.join(fields)}; "
                f"got entries between them of up to {np.abs(rest).max():.3g}; fields change by "
                "themselves"
            )
    return made


def _check_digits(
    model: Classifier, number: int, rule: Rule, blocks: Mapping[str, np.ndarray]
) -> None:
    """Refuse matrices that would lose too many digits, or make numbers too large."""
    kind = torch.finfo(next(model.parameters()).dtype)
    name = str(kind.dtype)
    condition, power = 1.0, 0
    for field, matrix in blocks.items():
        sizes = np.linalg.svd(matrix, compute_uv=False)
        # A coefficient takes P or P⁻¹ three times at most in Eqs. (2) to (9), and a batch norm its
        # square: that is 0.9 of the exponents there are, and the rest is left to the weights.
        bound = float(kind.max) ** 0.3
        if not (1.0 / bound <= sizes[-1] and sizes[0] <= bound):
            raise SymmetryError(
                f"P of stage {number} has singular values from {1.0 / bound:.1g} to {bound:.1g}, "
                f"so that weights in {name} stay finite; got {sizes[-1]:.3g} to {sizes[0]:.3g}; "
                "scale it"
            )
        condition = max(condition, float(sizes[0] / sizes[-1]))
        if rule.groups[label(number, field)].shape == "general":
            taken = Counter(slot.coefficient for slot in rule.variances)
            power = max([power, *taken.values()])
    predicted = condition**power * float(kind.eps)
    what = "cond(P)" if power < 2 else f"cond(P)^{power}"
    if predicted > REFUSED_ERROR:
        raise SymmetryError(
            f"P of stage {number} is well-conditioned; got cond(P) = {condition:.3g}, by which "
            f"logits would change by some {what} eps = {predicted:.1g} of the largest in {name}; "
            "take another P, or model.double()"
        )
    if condition > WARNED_CONDITION or predicted > 0.2 * REFUSED_ERROR:
        loss = f"logits may change by some {what} eps = {predicted:.1g} of the largest"
        if not power:
            loss = "weights will differ in size by as much"
        warnings.warn(
            f"cond(P) = {condition:.3g} of stage {number}: {loss}; choose a smaller one",
            SymmetryWarning,
            stacklevel=3,
        )


def _fault(
    number: int, rule: Rule, groups: Mapping[str, Group], blocks: Mapping[str, np.ndarray]
) -> str:
    """Return why the matrices are none of these groups, "" where they are."""
    for name, matrix in blocks.items():
        fault = groups[name].fault(matrix)
        if fault:
            return fault
    labelled = {label(number, name): matrix for name, matrix in blocks.items()}
    return tie_fault(rule.equal, rule.moving, labelled)


def _refusal(
    number: int,
    groups: Mapping[str, Group],
    limits: Sequence[Limit],
    blocks: Mapping[str, np.ndarray],
    fault: str,
) -> SymmetryError:
    names = dict.fromkeys(one.name(len(blocks[name])) for name, one in groups.items())
    why = "; ".join(map(str, limits))
    return SymmetryError(
        f"P of stage {number} is one of {', '.join(names)}; got another matrix: {fault}. What "
        f"limits them is {why or 'nothing'}"
    )


# -- acting ----------------------------------------------------------------------------------------


@torch.no_grad()
def _act(
    model: Classifier,
    number: int,
    rule: Rule,
    reading: Reading,
    blocks: Mapping[str, np.ndarray],
) -> None:
    """Change the unknowns of a stage, in place."""
    changes = {
        label(number, name): Change(matrix, rule.groups[label(number, name)])
        for name, matrix in blocks.items()
    }
    for name, holders in reading.holders.items():
        for holder in holders:
            holder.change(lambda array, name=name: acted(array, name, rule, changes))  # type: ignore[misc]  # a default binds the name
    if all(change.group.shape in ("monomial", "diagonal") for change in changes.values()):
        for channels in reading.channels:
            if channels.field in changes:
                channels.change(changes)
    if number == 1 and model.stem.projection is None:
        _move_stem(model, scipy.linalg.block_diag(*blocks.values()))


def _move_stem(model: Classifier, matrix: np.ndarray) -> None:
    """Let the stem give v = P⁻¹ u through its ReLU: by its norm, or by its convolution."""
    convolution: Any = model.stem[0]
    norm: Any = model.stem[1]
    linear = [one for one in (convolution.weight, convolution.bias) if one is not None]
    scaled, moved = linear, []
    if is_norm(norm):
        scaled, moved = [norm.weight, norm.bias], [*linear, norm.running_mean, norm.running_var]
    change = Change(matrix, Group("monomial"))
    for tensor in (*scaled, *moved):
        power = Exponent(Fraction(-1 if any(tensor is one for one in scaled) else 0))
        view_holder(tensor.detach).change(
            lambda array, power=power: change.scaled(change.moved(array, 0), 0, power)  # type: ignore[misc]  # likewise
        )
