"""Same: whether a change of unknowns makes one classifier of another, and which."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch

from pdenet.checks import check_between
from pdenet.errors import SymmetryError
from pdenet.network.convnet.classifier import Classifier
from pdenet.symmetry.network.canonical import canonical_matrix, prepared, rows_of_stage
from pdenet.symmetry.network.places import shape_of
from pdenet.symmetry.network.pruning import logits_change, probes
from pdenet.symmetry.network.stages import check_classifier, check_stages, rule_of
from pdenet.symmetry.network.transform import REFUSED_ERROR, transforms

ROUNDINGS = 1e4
"""By how many rounding errors, times cond(P), weights may differ by default."""

CLOSE = 1e-3
"""The largest difference of weights of "same" by default, however ill-conditioned P is."""

PROMISED = 200.0
"""By how many rounding errors, times cond(P), `transform` promises to change logits at most."""

AT_STAKE = 1e3
"""cond(P) whose rounding alone is never taken for another function."""

_CHANGES = ("folded_stages", "unit_rows", "name")


@dataclass(frozen=True, eq=False)
class Comparison:
    """What a comparison of two classifiers came to.

    Attributes:
        verdict: "same" where P was found; "none" where there is none, since an invariant differs;
            "not found" otherwise.
        matrices: P by stage for "same", float64.
        residual: the largest difference of the second's weights from the first's in the unknowns
            found, relative to the largest entry of each tensor; infinite where none were found.
        invariant: what all changes of unknowns leave alone, up to rounding, and differs, for
            "none".
    """

    verdict: str
    matrices: dict[int, np.ndarray]
    residual: float
    invariant: str

    def __str__(self) -> str:
        if self.verdict == "same":
            stages = ", ".join(map(str, self.matrices))
            return f"same: P of stages {stages} leaves {self.residual:.1e} of the weights"
        if self.verdict == "none":
            return f"none: {self.invariant}"
        return f"not found: the best P leaves {self.residual:.1e} of the weights"


def same_function(
    a: Classifier,
    b: Classifier,
    tolerance: float | None = None,
    images: torch.Tensor | None = None,
) -> Comparison:
    """Find P of all stages with b = a in unknowns u = P v, in evaluation mode.

    Args:
        a: a classifier.
        b: another one of the same architecture; folded norms and left out rows may differ.
        tolerance: the largest residual of "same", and the largest relative difference of logits
            of "same" and the smallest of "none". By default the residual is at most 1e4 eps cond(P)
            and 1e-3, and the difference at most 200 eps cond(P) and 1e-2; for "none" it passes what
            `transform` promises, 200 eps cond(P)^k, with cond(P) ≥ 1000: for k = 1 that is 2.4e-2
            in float32.
        images: pictures on which logits are compared; eight random ones by default.

    Returns:
        The verdict. P is found by least squares over all weights that one stage alone moves, under
        O(n) by the orthogonal Procrustes problem, and for generalised permutations by normal forms;
        it is tried on all weights, and logits are compared. Both are computed on float64 copies;
        eps is that of the less exact model's own type, since its weights were rounded to it:
        changes of cond(P) = 1000 alter logits by up to 2.4e-2 in float32, so that other functions
        that differ by less may be "not found" there. `model.double()` before a change decides more.
        Networks of one function that other symmetries make of one another, such as a permutation
        of what is hidden inside a block, are "not found".

    Raises:
        SymmetryError: the architectures differ, something is no classifier or has no stages, or an
            argument makes no sense.

    Example:
        >>> import pdenet as pn
        >>> from pdenet.symmetry.network.transform import transform
        >>> model = pn.create_model("eq7_nows_x6_small", activation="none", norm=False)
        >>> p = np.random.default_rng(0).normal(size=(32, 32))
        >>> found = same_function(model, transform(model, 2, p))
        >>> found.verdict, bool(np.allclose(found.matrices[2], p, atol=1e-3))
        ('same', True)
    """
    for model in (a, b):
        check_classifier(model)
        check_stages(model)
    _check_architectures(a, b)
    if tolerance is not None:
        check_between("tolerance", tolerance, 0.0, math.inf, SymmetryError, "write tolerance=1e-3")
    eps = max(torch.finfo(next(m.parameters()).dtype).eps for m in (a, b))
    # In float64, so that the weights' own rounding is all that is left.
    one, other = prepared(a).double(), prepared(b).double()
    matrices, residual, condition = _matrices(one, other)
    pictures = probes(one, images, 0)
    change = logits_change(one, other, pictures)
    if tolerance is None:
        close = min(ROUNDINGS * eps * condition, CLOSE)
        alike = min(PROMISED * eps * condition, 10.0 * CLOSE)
        # Up to a predicted error of 1e-3 `transform` acts: P of worse condition is none.
        at_stake = eps * max(condition, AT_STAKE) ** _power(one)
        apart = PROMISED * min(at_stake, REFUSED_ERROR)
    else:
        close = alike = apart = tolerance
    if residual <= close and change <= alike:
        return Comparison("same", matrices, residual, "")
    if change > apart:
        words = (
            f"the logits of {len(pictures)} pictures differ by {change:.2g} of the largest, and no "
            f"change of unknowns moves logits by more than {apart:.1g}, its rounding"
        )
        return Comparison("none", {}, residual, words)
    return Comparison("not found", {}, residual, "")


def _matrices(one: Classifier, other: Classifier) -> tuple[dict[int, np.ndarray], float, float]:
    """Return P by stage, the residual of all weights, and the largest cond(P)."""
    matrices = {}
    try:
        for stage in range(1, len(one.stages) + 1):
            matrices[stage] = _matrix(one, other, stage)
        moved = transforms(one, matrices)
    except SymmetryError:  # singular, or no rows: there is no P to try
        return {}, float("inf"), 1.0
    residual = 0.0
    for name, value in _numbers(other).items():
        size = max(float(value.abs().max()), 1e-300) if value.numel() else 1.0
        made = _numbers(moved)[name]
        residual = max(residual, float((made - value).abs().amax()) / size if value.numel() else 0)
    condition = max((float(np.linalg.cond(m)) for m in matrices.values()), default=1.0)
    return matrices, residual, condition


def _power(model: Classifier) -> int:
    """Return how often one coefficient takes P or P⁻¹, 1 at least; see `transform`."""
    rules = [rule_of(model, stage)[0] for stage in range(1, len(model.stages) + 1)]
    return max(
        (n for rule in rules for n in Counter(s.coefficient for s in rule.variances).values()),
        default=1,
    )


def _matrix(one: Classifier, other: Classifier, stage: int) -> np.ndarray:
    shape, n = shape_of(one, stage)
    if shape not in ("general", "orthogonal"):
        first, second = (canonical_matrix(model, stage, []) for model in (one, other))
        return first @ np.linalg.inv(second)
    (before, sign), (after, _) = (rows_of_stage(m, stage, shape, n) for m in (one, other))
    if shape == "orthogonal":
        left, _, right = np.linalg.svd(before.T @ after)
        made: np.ndarray = left @ right
        return made
    # rows · P for a lower index, rows · P⁻ᵀ for an upper one
    found = np.linalg.lstsq(before, after, rcond=None)[0]
    return found if sign > 0 else np.linalg.inv(found).T


def _numbers(model: Classifier) -> dict[str, torch.Tensor]:
    return {k: v.detach().double() for k, v in model.state_dict().items() if v.is_floating_point()}


def _check_architectures(a: Classifier, b: Classifier) -> None:
    first, second = (
        {k: v for k, v in model.config.items() if k not in _CHANGES} for model in (a, b)
    )
    differing = [k for k in first.keys() | second.keys() if first.get(k) != second.get(k)]
    if differing or a.equation != b.equation:
        what = ", ".join(f"{k}={first.get(k)!r} and {second.get(k)!r}" for k in sorted(differing))
        raise SymmetryError(
            "two classifiers of one architecture were expected; got "
            f"{what or f'{a.equation} and {b.equation}'}; only their weights may differ"
        )
