"""Descent: gradient descent over P of some stages, for weights with many small entries.

    "l1"        Σ |w|               convex in w; factors of components cannot bring it down to 0,
                                    since an upper index takes P⁻¹ where a lower one takes P
    "log"       Σ ½ log(ε² + w²)    minus c log|det P| with the c by which factors of components,
                                    P → P D, leave the sum as it is (ε → 0)
    "concave"   Σ w²/(ε² + w²)      counts entries above ε, of slices of unit size: each component's
                                    weights in a tensor are divided by their own root mean square,
                                    so that factors change nothing

Each tensor is measured in units of its root mean square before the descent. For GL(n) a multiple of
−log|det P| with columns of P of unit length is added to the last: else all columns became the best
one. P moves along curves of the group, P → P exp(−η X), or for O(n) by the Cayley transform of the
skew part of X, with X the gradient in the Lie algebra after Adam (Kingma & Ba 2015): P stays
invertible, or orthogonal, exactly up to rounding. Steps that raise the objective are not taken.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from pdenet.checks import check_choice, check_count
from pdenet.errors import SymmetryError
from pdenet.symmetry.network.places import Act, Place

OBJECTIVES = ("l1", "log", "concave")
"""What is descended; see the head of this module."""

EPSILON = 0.1
"""ε in units of a tensor's root mean square: what is a tenth of it counts as small."""

BARRIER = 0.1
"""How much −log|det P| counts beside "concave", a component; per entry it is some 1 %."""

_BETAS = (0.9, 0.99)  # Adam's, the second shorter than usual: a descent has hundreds of steps


@dataclass(frozen=True, eq=False)
class Descent:
    """What a descent came to.

    Attributes:
        matrices: P by stage, float64, shape `(n, n)`.
        history: the objective before the first step and behind each step; it never rises.
    """

    matrices: Mapping[int, np.ndarray]
    history: np.ndarray


def descend(
    places: Sequence[Place],
    shapes: Mapping[int, tuple[str, int]],
    *,
    objective: str = "l1",
    steps: int = 300,
    rate: float = 0.03,
    start: Mapping[int, np.ndarray] | None = None,
) -> Descent:
    """Look for P of some stages, all at once, with a small objective.

    Args:
        places: all tensors that P acts on.
        shapes: by stage "general" or "orthogonal", and n.
        objective: one of `OBJECTIVES`.
        steps: the number of steps; a progress bar is shown on a terminal.
        rate: the first length of a step in each entry of the Lie algebra.
        start: P to start from; the identity by default.

    Returns:
        P and the objective's history.

    Raises:
        SymmetryError: an argument makes no sense.
    """
    check_choice("objective", objective, OBJECTIVES, SymmetryError)
    check_count("steps", steps, 0, SymmetryError, "write 300")
    measured = _Objective(places, objective, shapes)
    matrices = {
        stage: torch.eye(n, dtype=torch.float64)
        if start is None or stage not in start
        else torch.from_numpy(start[stage]).double()
        for stage, (_, n) in shapes.items()
    }
    value, slopes = measured.with_slopes(matrices)
    history = [value]
    mean = {stage: torch.zeros_like(x) for stage, x in slopes.items()}
    square = {stage: torch.zeros_like(x) for stage, x in slopes.items()}
    taken = 0
    for _ in tqdm(range(steps), desc="descent over the group", disable=None, leave=False):
        taken += 1
        ways = {}
        for stage, slope in slopes.items():
            mean[stage] = _BETAS[0] * mean[stage] + (1 - _BETAS[0]) * slope
            square[stage] = _BETAS[1] * square[stage] + (1 - _BETAS[1]) * slope.square().mean()
            # One size for all entries of X: then X turns with the basis of the algebra.
            size = (square[stage] / (1 - _BETAS[1] ** taken)).sqrt() + 1e-300
            ways[stage] = mean[stage] / (1 - _BETAS[0] ** taken) / size
        for _ in range(8):
            tried = {k: moved(matrices[k], rate * ways[k], shapes[k][0]) for k in matrices}
            made, new = measured.with_slopes(tried)
            if made < value:
                matrices, value, slopes = tried, made, new
                rate *= 1.2
                break
            rate *= 0.5
        else:  # the momentum leads uphill: forget it
            mean, square = ({k: torch.zeros_like(x) for k, x in mean.items()} for _ in range(2))
            taken = 0
        history.append(value)
        if rate < 1e-12:
            break
    return Descent({k: m.numpy() for k, m in matrices.items()}, np.array(history))


def moved(matrix: torch.Tensor, x: torch.Tensor, shape: str) -> torch.Tensor:
    """Return P exp(−X); for O(n) P (1 + S/2)⁻¹ (1 − S/2), which is orthogonal, S = (X − Xᵀ)/2.

    Args:
        matrix: P, shape `(n, n)`.
        x: an element of the Lie algebra, shape `(n, n)`.
        shape: "general" or "orthogonal".
    """
    if shape == "general":
        return matrix @ torch.matrix_exp(-x)
    skew = 0.25 * (x - x.T)
    one = torch.eye(len(x), dtype=x.dtype)
    return matrix @ torch.linalg.solve(one + skew, one - skew)


class _Objective:
    """The sum over all tensors as a function of P, with its slopes in the Lie algebra."""

    def __init__(
        self, places: Sequence[Place], name: str, shapes: Mapping[int, tuple[str, int]]
    ) -> None:
        self.name, self.shapes = name, shapes
        self.places = [place for place in places if len(place.read().shape) > 1]
        self.values = []
        for place in self.places:
            value = place.read()
            self.values.append(value / (value.square().mean().sqrt() + 1e-300))
        self.total = max(sum(v.numel() for v in self.values), 1)
        # By which multiple of log|det P| factors of components change Σ log|w|.
        self.drifts = dict.fromkeys(shapes, 0.0)
        for place, value in zip(self.places, self.values, strict=True):
            for act in place.acts:
                if shapes[act.stage][0] == "general":
                    self.drifts[act.stage] += act.sign * value.numel() / shapes[act.stage][1]

    def __call__(self, matrices: Mapping[int, torch.Tensor]) -> torch.Tensor:
        inverses = {
            k: torch.linalg.inv(m) if self.shapes[k][0] == "general" else m.T
            for k, m in matrices.items()
        }
        total = torch.zeros((), dtype=torch.float64)
        for place, value in zip(self.places, self.values, strict=True):
            total = total + self._of(place.moved(value, matrices, inverses), place.acts)
        for stage, (shape, n) in self.shapes.items():
            if shape == "general":
                total = total + self._barrier(matrices[stage], stage, n)
        return total / self.total

    def _of(self, w: torch.Tensor, acts: Sequence[Act]) -> torch.Tensor:
        if self.name == "l1":
            return w.abs().sum()
        if self.name == "log":
            return 0.5 * (EPSILON**2 + w.square()).log().sum()
        w = w.movedim(acts[0].axis, 0).flatten(1)
        squares = w.square()
        squares = squares / (squares.mean(dim=1, keepdim=True) + 1e-30)
        return (squares / (EPSILON**2 + squares)).sum()

    def _barrier(self, matrix: torch.Tensor, stage: int, n: int) -> torch.Tensor:
        size = torch.linalg.slogdet(matrix).logabsdet
        if self.name == "log":
            return -self.drifts[stage] * size
        if self.name == "concave":
            lengths = matrix.square().sum(dim=0).log().sum() / 2
            return BARRIER * (self.total / len(self.shapes) / n) * (lengths - size)
        return torch.zeros((), dtype=torch.float64)

    def with_slopes(
        self, matrices: Mapping[int, torch.Tensor]
    ) -> tuple[float, dict[int, torch.Tensor]]:
        """Return the value and d/dX at 0 of P exp(X), for O(n) its skew part."""
        given = {k: m.detach().requires_grad_() for k, m in matrices.items()}
        value = self(given)
        if not torch.isfinite(value):
            return math.inf, {k: torch.zeros_like(m) for k, m in given.items()}
        slopes = torch.autograd.grad(value, list(given.values()))
        made = {}
        for (stage, matrix), slope in zip(given.items(), slopes, strict=True):
            x = matrix.detach().T @ slope
            made[stage] = x if self.shapes[stage][0] == "general" else 0.5 * (x - x.T)
        return float(value.detach()), made


def balanced(
    places: Sequence[Place], matrices: Mapping[int, np.ndarray], general: Sequence[int]
) -> dict[int, np.ndarray]:
    """Return P D with the factors D by which lower and upper weights of a component have one size.

    Args:
        places: all tensors that P acts on.
        matrices: P by stage.
        general: the stages on which GL(n) acts; others stay.
    """
    made = dict(matrices)
    given = {k: torch.from_numpy(m) for k, m in made.items()}
    inverses = {k: torch.linalg.inv(m) for k, m in given.items()}
    for stage in general:
        squares = {sign: torch.zeros(len(matrices[stage])).double() for sign in (1, -1)}
        for place in places:
            for act in place.acts:
                if act.stage == stage and place.read().ndim > 1:
                    w = place.moved(place.read(), given, inverses).movedim(act.axis, 0)
                    scale = place.read().square().mean() + 1e-300
                    squares[act.sign] = squares[act.sign] + w.flatten(1).square().sum(1) / scale
        lower, upper = (squares[sign].numpy() for sign in (1, -1))
        if (lower > 0).all() and (upper > 0).all():
            # W → W P D is lower·d², P⁻¹W → D⁻¹P⁻¹W upper/d².
            made[stage] = made[stage] * (upper / lower) ** 0.25
    return made
