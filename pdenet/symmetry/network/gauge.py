"""Gauge: P in closed form that makes a block of weights the identity, or triangular.

Rows M of weights that are contracted with u become M P. Under GL(n) P = M⁻¹ makes n of them the
identity: n² − n zeros and n ones. Under O(n) M = L Qᵀ with P = Q makes them lower triangular:
n(n − 1)/2 zeros. Both are as many numbers as the group has parameters, so that no choice of P has
more zeros for sure. Generalised permutations have only factors, and make none.

The rows are those that a QR factorisation with column pivoting takes first (Golub 1965): it is
rank-revealing in practice, and keeps cond(M) small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import torch

from pdenet.errors import SymmetryError
from pdenet.network.convnet.activation import Radial
from pdenet.network.convnet.block import PDEBlock
from pdenet.network.convnet.classifier import Classifier
from pdenet.network.convnet.unit_rows import UnitRows, openings_with_unit_rows
from pdenet.symmetry.network.places import Place, places, shape_of
from pdenet.symmetry.network.stages import stage_of


@dataclass(frozen=True, eq=False)
class Gauge:
    """A choice of unknowns of a stage.

    Attributes:
        stage: the number of the stage, from 1.
        shape: "general" or "orthogonal".
        place: the name of the tensor that gets the block.
        rows: the block's rows in it; see `Place.rows_of`.
        matrix: P, float64, shape `(n, n)`.
        condition: cond(P) in the 2-norm.
    """

    stage: int
    shape: str
    place: str
    rows: tuple[int, ...]
    matrix: np.ndarray
    condition: float

    @property
    def zeros(self) -> int:
        """How many entries become exactly 0."""
        n = len(self.rows)
        return n * n - n if self.shape == "general" else n * (n - 1) // 2


def choose(model: Classifier, stage: int, preferred: Sequence[str] = ()) -> Gauge:
    """Choose the block of a stage, among all tensors that have n rows, by the condition of P.

    Args:
        model: a classifier whose norms at this stage are folded.
        stage: the number of the stage, from 1.
        preferred: names of tensors that are taken before all others.

    Raises:
        SymmetryError: no tensor has n independent rows.
    """
    shape, n = shape_of(model, stage)
    found = []
    for place in places(model, [stage]):
        made = _of(place, stage, shape, n)
        if made is not None:
            found.append((place.name not in preferred, made.condition, made))
    if not found:
        raise SymmetryError(
            f"a tensor with {n} independent rows of {n} numbers that only stage {stage} moves was "
            "expected; got none; the coefficients of this equation meet its states more than once: "
            "leave the gauge out, gauge=False"
        )
    return min(found, key=lambda one: one[:2])[2]


def _of(place: Place, stage: int, shape: str, n: int) -> Gauge | None:
    given = place.rows_of(stage)
    # A form that is left aside: it is n² numbers that the published networks do not have.
    if given is None or len(given[0]) < n or place.is_form:
        return None
    table, sign = given
    rows = pivot_rows(table)
    if rows is None:
        return None
    matrix = matrix_of(table[list(rows)], shape, sign)
    condition = float(np.linalg.cond(matrix))
    return Gauge(stage, shape, place.name, rows, matrix, condition)


def pivot_rows(table: np.ndarray) -> tuple[int, ...] | None:
    """Return n independent rows of a table `(rows, n)`, in order; None where there are none."""
    n = table.shape[1]
    _, r, order = scipy.linalg.qr(table.T, mode="economic", pivoting=True)
    diagonal = np.abs(np.diag(r))
    if len(diagonal) < n or diagonal[n - 1] <= 1e3 * np.finfo(np.float64).eps * n * diagonal[0]:
        return None
    return tuple(sorted(int(k) for k in order[:n]))


def matrix_of(block: np.ndarray, shape: str, sign: int) -> np.ndarray:
    """Return P that makes a square block of rows the identity, or triangular for O(n)."""
    if shape == "orthogonal":  # upper and lower are one
        q, r = np.linalg.qr(block.T)
        made: np.ndarray = q * np.where(np.diag(r) < 0, -1.0, 1.0)
        return made
    return np.linalg.inv(block) if sign > 0 else block.T.copy()


def fix(model: Classifier, chosen: Gauge) -> None:
    """Write the exact zeros and ones of a block, in place; P has been carried out before."""
    for place in places(model, [chosen.stage]):
        if place.name != chosen.place:
            continue
        given = place.rows_of(chosen.stage)
        assert given is not None
        table = given[0].copy()
        rows = list(chosen.rows)
        n = len(rows)
        table[rows] = np.eye(n) if chosen.shape == "general" else np.tril(table[rows])
        place.write_rows(table)
        return
    raise AssertionError(f"no place is called {chosen.place}")


def entry_of(model: Classifier, chosen: Gauge) -> UnitRows | None:
    """Return the entry by which a classifier leaves a block out; None where it cannot."""
    if chosen.shape != "general":
        return None
    return removable(model, chosen.stage, chosen.rows).get(chosen.place)


def removable(model: Classifier, stage: int, rows: Sequence[int] = ()) -> dict[str, UnitRows]:
    """Return the tensors of a stage whose unit rows can be left out of the computation, by name.

    They are opening convolutions: of the stage's own blocks, and of the first one behind it.
    """
    made: dict[str, UnitRows] = {}
    if model.config["coefficients"] == "shared":
        return made
    # A tensor is found again by its memory: the names of places are for readers.
    names = {place.holder.read().data_ptr(): place for place in places(model, [stage])}
    for number in (stage, stage + 1):
        if number > len(model.stages):
            continue
        for k, block in enumerate(stage_of(model, number).blocks, 1):
            assert isinstance(block, PDEBlock)
            for label in openings_with_unit_rows(block):
                tensor = block.coefficients.tensors[label]
                place = names.get(tensor.data_ptr())
                if place is not None and place.holder.read().numel() == tensor.numel():
                    made[place.name] = UnitRows(number, k, label, tuple(rows))
    return made


@torch.no_grad()
def triangulate(model: Classifier, stages: Sequence[int]) -> None:
    """Replace the factors of quadratic forms at some stages by upper triangular ones, in place.

    |L u|² is |Q L u|² for orthogonal Q: L is free up to rotations from the left. Of L = Q R the R
    is triangular, with n(n − 1)/2 zeros, and with a positive diagonal unique. The function stays,
    up to rounding; a factor that is triangular already stays exactly.

    Args:
        model: a classifier.
        stages: numbers of stages, from 1; to the last belongs the activation behind it.
    """
    modules = [m for number in stages for m in stage_of(model, number).activations]
    if len(model.stages) in stages:
        modules.append(model.final)
    for module in modules:
        if not isinstance(module, Radial) or module.factor is None:
            continue
        factor = module.factor.double().cpu().numpy()
        if np.array_equal(factor, np.triu(factor)) and (np.diag(factor) > 0).all():
            continue
        _, root = np.linalg.qr(factor)
        r = root * np.where(np.diag(root) < 0, -1.0, 1.0)[:, None]
        module.factor.copy_(torch.from_numpy(r).to(module.factor))
