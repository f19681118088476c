"""Same: whether a change of unknowns makes one classifier of another, and which."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from pdenet.errors import SymmetryError
from pdenet.network.convnet.classifier import Classifier
from pdenet.symmetry.network.canonical import canonical_matrix, prepared, rows_of_stage
from pdenet.symmetry.network.places import shape_of
from pdenet.symmetry.network.pruning import logits_change, probes
from pdenet.symmetry.network.stages import check_classifier
from pdenet.symmetry.network.transform import transforms

ROUNDINGS = 1e4
"""By how many rounding errors, times cond(P), weights may differ by default."""

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
        invariant: what all changes of unknowns leave alone and differs, for "none".
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
            that is not taken for another function; by default 1e4 rounding errors times cond(P).
        images: pictures on which logits are compared; eight random ones by default.

    Returns:
        The verdict. P is found by least squares over all weights that one stage alone moves, under
        O(n) by the orthogonal Procrustes problem, and for generalised permutations by normal forms;
        it is tried on all weights. Networks of one function that other symmetries make of one
        another, such as a permutation of what is hidden inside a block, are "not found".

    Raises:
        SymmetryError: the architectures differ, or something is no classifier.

    Example:
        >>> import pdenet as pn
        >>> from pdenet.symmetry.network.transform import transform
        >>> model = pn.create_model("eq7_nows_x6_small", activation="none", norm=False)
        >>> p = np.random.default_rng(0).normal(size=(32, 32))
        >>> found = same_function(model, transform(model, 2, p))
        >>> found.verdict, bool(np.allclose(found.matrices[2], p, atol=1e-3))
        ('same', True)
    """
    check_classifier(a)
    check_classifier(b)
    _check_architectures(a, b)
    eps = max(torch.finfo(next(m.parameters()).dtype).eps for m in (a, b))
    # In float64, so that the weights' own rounding is all that is left.
    one, other = prepared(a).double(), prepared(b).double()
    matrices, residual, condition = _matrices(one, other)
    allowed = ROUNDINGS * eps * condition if tolerance is None else tolerance
    if residual <= allowed:
        return Comparison("same", matrices, residual, "")
    pictures = probes(one, images, 0)
    change = logits_change(one, other, pictures)
    if change > (ROUNDINGS * eps if tolerance is None else tolerance):
        words = (
            f"the logits of {len(pictures)} pictures differ by {change:.2g} of the largest, and no "
            "change of unknowns moves logits"
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
