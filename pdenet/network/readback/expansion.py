"""Expansion: a kernel as a sum of the project's stencils, and what none of them explains.

The stencils of a support are the products over its axes of the central differences for the orders
0 … 4, each of the highest accuracy that the support holds; along the axis of a face the staggered
ones. With k the offsets from the node, or from the face, a kernel W is

    W = Σ_b β_b S_b + leftover,        β_b = Σ_k W_k k^b / b!,

since Σ_k S_b[k] k^c is b! for c = b and 0 for all other orders c of the support. Hence S_b itself
comes back as one term, and the leftover is 0 on every polynomial in the k^b: it is the part of the
kernel that is a derivative of none of these orders. β is the Taylor series of the kernel (Long, Lu,
Ma & Dong 2018, PDE-Net, section 2.2, where the moments are called sum rules).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import sympy as sp

from pdenet.discrete import stencils
from pdenet.discrete.stencils import MAX_ACCURACY, MAX_ORDER, Stencil
from pdenet.discrete.structure import Kernel
from pdenet.network.readback.decimals import SIMPLE_DIGITS, exact, simplest

# A contribution whose largest weight is below so many roundings of the kernel's largest weight is
# rounding: a moment adds up to 9 weights an axis, each rounded, with powers k^b/b! up to 11.
_NEGLIGIBLE = 64


@dataclass(frozen=True)
class Part:
    """β_b S_b.

    Attributes:
        derivative: b, the order along each axis, in coordinate order.
        amount: β_b on unit spacing.
        stencil: S_b; the nine-point Laplacian stands for both of its second derivatives, and is
            added once.
    """

    derivative: tuple[int, ...]
    amount: sp.Rational
    stencil: Stencil

    @property
    def is_nine_point(self) -> bool:
        """Whether the second derivative is one of the two in a nine-point Laplacian."""
        return self.stencil == stencils.laplacian9()


@dataclass(frozen=True, eq=False)
class Expansion:
    """A kernel as a sum of stencils.

    Attributes:
        kernel: where the kernel stands.
        parts: the stencils with their amounts.
        leftover: what is left, shape `(*space)` as the kernel; 0 where it is rounding.
        largest: the kernel's largest weight.
    """

    kernel: Kernel
    parts: tuple[Part, ...]
    leftover: np.ndarray
    largest: float

    @property
    def relative(self) -> float:
        """The largest entry of the leftover as a part of the kernel's largest weight."""
        size = float(np.abs(self.leftover).max())
        return size / self.largest if size else 0.0

    def without(self, part: Part) -> Expansion:
        """Return the expansion with one of its parts left over."""
        leftover = self.leftover + float(part.amount) * _weights(part.stencil, self.kernel)
        kept = tuple(p for p in self.parts if p is not part)
        return replace(self, parts=kept, leftover=leftover)


def expand_kernel(
    kernel: Kernel,
    weights: np.ndarray,
    spacing: Sequence[float] | None = None,
    face: int | None = None,
    eps: float = float(np.finfo(np.float64).eps),
) -> Expansion:
    """Expand a kernel in the stencils of its support.

    Args:
        kernel: where the kernel stands.
        weights: the weights on unit spacing, shape `(*space)`, the last axis first.
        spacing: the spacings, in coordinate order, where a nine-point Laplacian is to be read as
            one, which needs equal ones; None where its parts are to be read.
        face: the axis across whose face the kernel stands, in coordinate order; None for a node.
        eps: the rounding unit of the weights.

    Returns:
        The sum. An amount is the decimal of few digits that lies within the rounding of the
        weights, where there is one, so that the kernel of a scheme has the amount 1 exactly.
    """
    array = np.asarray(weights, dtype=np.float64)
    dimension = len(kernel.shape)
    largest = float(np.abs(array).max())
    ends = zip(kernel.first, kernel.last, strict=True)
    offsets = list(itertools.product(*(range(low, high + 1) for low, high in ends)))
    taken = [float(array[_place(o, kernel)]) for o in offsets]
    centre = [0.5 if axis == face else 0.0 for axis in range(dimension)]
    steps = [tuple(k - c for k, c in zip(o, centre, strict=True)) for o in offsets]
    parts: dict[tuple[int, ...], Part] = {}
    errors: dict[tuple[int, ...], float] = {}
    for orders in itertools.product(*(range(min(n, MAX_ORDER + 1)) for n in kernel.shape)):
        if sum(orders) > MAX_ORDER:
            continue  # the language has no such derivative
        powers = [
            math.prod(k**p / math.factorial(p) for k, p in zip(step, orders, strict=True))
            for step in steps
        ]
        summands = [w * p for w, p in zip(taken, powers, strict=True)]
        # Weights are off by eps/2 each, powers and products by as much in float64.
        errors[orders] = 4 * eps * math.fsum(map(abs, summands))
        amount = math.fsum(summands)
        stencil = _stencil(kernel, orders, face)
        if abs(amount) * float(max(map(abs, stencil.weights))) <= _NEGLIGIBLE * eps * largest:
            continue
        near = simplest(amount, errors[orders], SIMPLE_DIGITS)
        parts[orders] = Part(orders, exact(amount) if near is None else near, stencil)
    if spacing is not None and face is None and kernel.shape == (3, 3):
        _join_nine_points(parts, errors, spacing)
    # A nine-point Laplacian is one stencil in two parts.
    total = np.zeros_like(array)
    for stencil, number in dict.fromkeys((p.stencil, p.amount) for p in parts.values()):
        total += float(number) * _weights(stencil, kernel)
    leftover = array - total
    if np.abs(leftover).max() <= _NEGLIGIBLE * eps * largest:
        leftover = np.zeros_like(array)
    return Expansion(kernel, tuple(parts.values()), leftover, largest)


def _weights(stencil: Stencil, kernel: Kernel) -> np.ndarray:
    """Return a stencil's weights on the support of a kernel, shape `(*space)`."""
    made = np.zeros(kernel.shape[::-1])
    for offset, weight in zip(stencil.offsets, stencil.weights, strict=True):
        made[_place(offset, kernel)] = float(weight)
    return made


def _place(offset: Sequence[int], kernel: Kernel) -> tuple[int, ...]:
    """Return where an offset stands in the array."""
    return tuple(k - f for k, f in zip(offset, kernel.first, strict=True))[::-1]


def _stencil(kernel: Kernel, orders: Sequence[int], face: int | None) -> Stencil:
    """Return S_b, made as the scheme makes it."""
    dimension = len(orders)
    made = stencils.identity(dimension)
    if face is not None:
        order, half_width = orders[face], kernel.shape[face] // 2
        accuracy = min(2 * (half_width - order // 2), MAX_ACCURACY)
        made = stencils.staggered(order, accuracy, 1, face, dimension)
    for axis, order in enumerate(orders):
        if axis != face and order:
            radius = kernel.shape[axis] // 2
            accuracy = min(2 * (radius - (order + 1) // 2 + 1), MAX_ACCURACY)
            made = made @ stencils.central(order, accuracy, axis, dimension)
    return made


def _join_nine_points(
    parts: dict[tuple[int, ...], Part],
    errors: dict[tuple[int, ...], float],
    spacing: Sequence[float],
) -> None:
    """Read β (S_xx + S_yy + S_xxyy/6) as the nine-point Laplacian that it is, on equal spacings."""
    places = ((2, 0), (0, 2), (2, 2))
    if not all(p in parts for p in places) or max(spacing) - min(spacing) > 1e-12 * max(spacing):
        return
    along_x, along_y, corners = (float(parts[p].amount) for p in places)
    if abs(along_x - along_y) > errors[2, 0] + errors[0, 2]:
        return
    if abs(6 * corners - along_x) > 6 * errors[2, 2] + errors[2, 0]:
        return
    del parts[2, 2]
    for place in places[:2]:
        parts[place] = Part(place, parts[2, 0].amount, stencils.laplacian9())
