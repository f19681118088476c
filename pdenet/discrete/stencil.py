"""Stencil: a finite difference with exact rational weights, as offsets, kernel and symbol."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property
from itertools import product as cartesian_product
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from pdenet.discrete.shifts import Offset, Plan, evaluate, summation_plan
from pdenet.errors import StencilError

#: Σ coefficient · Π_a s_a^p σ_a^q: for each axis (p, q), q being 0 or 1.
Monomials: TypeAlias = dict[tuple[tuple[int, int], ...], Fraction]

Array = TypeVar("Array")


@dataclass(frozen=True)
class Stencil:
    """A linear combination of neighbours that approximates a derivative.

    (∂^derivative u)(node) ≈ Σ_k weights[k] · u[node + offsets[k]] / Π_a h_a^derivative[a],

    with an error of O(h^accuracy). Tuples over axes are in coordinate order (x, y, z).

    Attributes:
        derivative: How often to differentiate along each axis; for the Laplacians (2, 0, …),
            which says 1/h² (see `equal_spacing`).
        offsets: Steps along the axes, sorted.
        weights: The weight of each offset on unit spacing, exact, never 0.
        accuracy: The order of the error. Where there is none (`identity`), the highest known.
        equal_spacing: The weights are only right when all spacings are equal, since they stand
            for a sum of derivatives along several axes.

    Example:
        >>> half = Fraction(1, 2)
        >>> dx = Stencil((1, 0), ((-1, 0), (1, 0)), (-half, half), accuracy=2)
        >>> dy = Stencil((0, 1), ((0, -1), (0, 1)), (-half, half), accuracy=2)
        >>> (dx @ dy).kernel(spacing=(0.5, 0.5))
        array([[ 1.,  0., -1.],
               [ 0.,  0.,  0.],
               [-1.,  0.,  1.]])
    """

    derivative: tuple[int, ...]
    offsets: tuple[Offset, ...]
    weights: tuple[Fraction, ...]
    accuracy: int
    equal_spacing: bool = False

    def __post_init__(self) -> None:
        """Check that offsets and weights fit together.

        Raises:
            StencilError: They do not.
        """
        dimension = len(self.derivative)
        if not self.offsets or len(self.offsets) != len(self.weights):
            raise StencilError(
                f"expected one weight for each offset and at least one, got {len(self.offsets)} "
                f"offsets and {len(self.weights)} weights; give them in pairs"
            )
        if any(len(offset) != dimension for offset in self.offsets):
            raise StencilError(
                f"expected offsets along {dimension} axes, as many as derivative = "
                f"{self.derivative} has; got offsets = {self.offsets}; add or drop an axis"
            )
        if list(self.offsets) != sorted(set(self.offsets)):
            raise StencilError(
                f"expected sorted, different offsets, got {self.offsets}; "
                "sort them and add the weights of equal ones"
            )
        if not all(isinstance(weight, Fraction) and weight for weight in self.weights):
            raise StencilError(
                f"expected weights that are Fractions other than 0, got {self.weights}; "
                "write Fraction(1, 2), and leave zero weights out"
            )

    @property
    def dimension(self) -> int:
        """The number of axes."""
        return len(self.derivative)

    def __hash__(self) -> int:
        """The hash of the value, computed once: back ends look stencils up at every stage."""
        return self._hash

    @cached_property
    def _hash(self) -> int:
        value = (self.derivative, self.offsets, self.weights, self.accuracy, self.equal_spacing)
        return hash(value)

    @cached_property
    def radius(self) -> tuple[int, ...]:
        """How far the stencil reaches along each axis, in coordinate order."""
        return tuple(max(map(abs, steps)) for steps in zip(*self.offsets, strict=True))

    @cached_property
    def is_odd(self) -> bool:
        """Whether opposite neighbours have opposite weights."""
        table = dict(zip(self.offsets, self.weights, strict=True))
        return all(table.get(tuple(-k for k in o)) == -w for o, w in table.items())

    def moment(self, powers: Sequence[int]) -> Fraction:
        """Σ_k weights[k] · Π_a offsets[k][a]^powers[a], exact.

        On unit spacing a stencil turns Π_a x_a^powers[a] into this number at the node 0, so it
        is Π_a derivative[a]! for powers = derivative, and 0 for all other powers whose sum is
        below Σ derivative + accuracy.
        """
        terms = zip(self.offsets, self.weights, strict=True)
        return sum(
            (w * math.prod(k**p for k, p in zip(o, powers, strict=True)) for o, w in terms),
            Fraction(0),
        )

    def scale(self, spacing: Sequence[float]) -> float:
        """1/Π_a h_a^derivative[a], by which the sum of the weighted neighbours is multiplied.

        Args:
            spacing: h_a of every axis, in coordinate order, in units of length.

        Raises:
            StencilError: There is not one spacing an axis, or they differ where they may not.
        """
        if len(spacing) != self.dimension:
            raise StencilError(
                f"expected {self.dimension} spacings, one for each axis, got "
                f"{tuple(spacing)}; use the stencil of {len(spacing)} dimensions"
            )
        # grid.spacing rounds (high − low)/N, so equal spacings may differ in the last digits.
        if self.equal_spacing and max(spacing) - min(spacing) > 1e-12 * max(spacing):
            raise StencilError(
                f"expected equal spacings, which this stencil needs, got {tuple(spacing)}; "
                "change the grid's points, or add central(2) of each axis"
            )
        return 1.0 / math.prod(h**p for h, p in zip(spacing, self.derivative, strict=True))

    def symbol(
        self, theta: npt.ArrayLike, spacing: Sequence[float] | None = None
    ) -> npt.NDArray[np.complex128]:
        """What the wave e^(iθ·k) is multiplied by: Σ_k weights[k] e^(iθ·offsets[k]) · `scale`.

        Along each axis e^(ikθ) = T_k(1 − 2s) + iσ U_{k−1}(1 − 2s) with s = sin²(θ/2), σ = sin θ
        and Chebyshev's polynomials T, U. Their coefficients are added up exactly, so that
        whatever cancels is not there: symmetric stencils are exactly real, antisymmetric ones
        exactly imaginary, and long waves lose no digits, where e^(iθ·k) itself would lose all.
        For central stencils nothing is left to cancel. Far one-sided offsets k lose up to
        log₁₀(3 + √8) ≈ 0.77 digits a step at θ near π, since |T_k(1 − 2s)| has terms like T_k(3).

        Args:
            theta: Phase per step along each axis, dimensionless, shape (dimension, …).
            spacing: h of every axis, in coordinate order; unit spacings when left out.

        Returns:
            The symbol, shape (…), in 1/length^Σderivative.

        Raises:
            StencilError: The angles or the spacings do not have one entry for each axis.
        """
        angles = np.asarray(theta, dtype=np.float64)
        if angles.ndim < 1 or angles.shape[0] != self.dimension:
            raise StencilError(
                f"expected theta of shape ({self.dimension}, …), one row for each axis, got the "
                f"shape {angles.shape}; stack the angles of the axes first"
            )
        half = np.sin(angles / 2) ** 2  # s
        sine = np.sin(angles)  # σ
        result = np.zeros(angles.shape[1:], dtype=np.complex128)
        for monomial, coefficient in self._monomials.items():
            term = np.full(angles.shape[1:], float(coefficient))
            for axis, (power, odd) in enumerate(monomial):
                if power:
                    term = term * half[axis] ** power
                if odd:
                    term = term * sine[axis]
            num_odd = sum(odd for _, odd in monomial)
            signed = -term if num_odd % 4 >= 2 else term  # i^num_odd
            if num_odd % 2:
                result.imag += signed
            else:
                result.real += signed
        factor = 1.0 if spacing is None else self.scale(spacing)
        result.real *= factor
        result.imag *= factor
        return result

    def kernel(self, spacing: Sequence[float] | None = None) -> npt.NDArray[np.float64]:
        """The weights as a kernel for torch's `conv1d`, `conv2d`, `conv3d`.

        Those are correlations, (K ⋆ u)[i] = Σ_k K[k] u[i + k], so the offset k stands at
        radius + k and nothing is flipped; the array order is (z, y, x), y growing with the row.

        Args:
            spacing: h of every axis, in coordinate order; unit spacings when left out.

        Returns:
            A float64 array with an odd number of entries along each axis, the node in the middle.

        Raises:
            StencilError: The spacings do not fit, see `scale`.
        """
        kernel = np.zeros([2 * r + 1 for r in reversed(self.radius)])
        factor = 1.0 if spacing is None else self.scale(spacing)
        for offset, weight in zip(self.offsets, self.weights, strict=True):
            place = tuple(r + k for r, k in zip(self.radius, offset, strict=True))
            kernel[place[::-1]] = float(weight) * factor
        return kernel

    def plan(self) -> Plan:
        """The order in which to add the neighbours; `apply` walks it."""
        return self._plan

    def product(self, other: "Stencil") -> "Stencil":
        """Both derivatives, one after the other, along different axes; also `stencil @ other`.

        Raises:
            StencilError: They have different dimensions, or an axis in common.
        """
        if self.dimension != other.dimension or not self._axes.isdisjoint(other._axes):
            raise StencilError(
                "expected two stencils of one dimension that differentiate along different axes, "
                f"got derivatives {self.derivative} and {other.derivative}; "
                "give them axis= and dimension=, and one stencil for each axis"
            )
        return self.after(other)

    __matmul__ = product

    def after(self, other: "Stencil") -> "Stencil":
        """One stencil applied to what the other gives; axes may coincide."""
        weights: dict[Offset, Fraction] = {}
        for (o, w), (p, v) in cartesian_product(
            zip(self.offsets, self.weights, strict=True),
            zip(other.offsets, other.weights, strict=True),
        ):
            offset = tuple(a + b for a, b in zip(o, p, strict=True))
            weights[offset] = weights.get(offset, Fraction(0)) + w * v
        offsets = tuple(sorted(o for o, w in weights.items() if w))
        return Stencil(
            tuple(m + n for m, n in zip(self.derivative, other.derivative, strict=True)),
            offsets,
            tuple(weights[o] for o in offsets),
            min(self.accuracy, other.accuracy),
            self.equal_spacing or other.equal_spacing,
        )

    @cached_property
    def _plan(self) -> Plan:
        return summation_plan(self.offsets, self.weights)

    @cached_property
    def _axes(self) -> frozenset[int]:
        """The axes along which the stencil does anything."""
        return frozenset(a for a in range(self.dimension) if self.derivative[a] or self.radius[a])

    @cached_property
    def _monomials(self) -> Monomials:
        """The symbol on unit spacing as a polynomial in s_a and σ_a, without vanishing terms."""
        total: Monomials = {}
        for offset, weight in zip(self.offsets, self.weights, strict=True):
            for monomial in cartesian_product(*(_wave(k) for k in offset)):
                key = tuple((power, odd) for power, odd, _ in monomial)
                coefficient = weight * math.prod(c for _, _, c in monomial)
                total[key] = total.get(key, Fraction(0)) + coefficient
        return {key: coefficient for key, coefficient in total.items() if coefficient}


def apply(
    stencil: Stencil, shifted: Callable[[Offset], Array], scale: float | Fraction = 1.0
) -> Array:
    """The stencil at every node, its terms added in symmetric pairs.

    Everything that evaluates a stencil by shifting goes through here, so that results of
    different back ends differ by no more than rounding, and by the same symmetric one.

    Args:
        stencil: What to apply.
        shifted: Gives, for an offset, the view of the padded array that holds u[node + offset];
            a NumPy array, a tensor, or anything else that has + and − and products with numbers.
        scale: `stencil.scale(spacing)`.

    Returns:
        Σ_k weights[k] · shifted(offsets[k]) · scale. For the identity it is the view itself.

    Example:
        >>> u = np.array([0.0, 1.0, 4.0, 9.0, 16.0])
        >>> forward = Stencil((1,), ((0,), (1,)), (Fraction(-1), Fraction(1)), accuracy=1)
        >>> apply(forward, lambda offset: u[offset[0] : 4 + offset[0]])
        array([1., 3., 5., 7.])
    """
    return evaluate(stencil.plan(), shifted, scale)


@cache
def _wave(k: int) -> tuple[tuple[int, int, int], ...]:
    """e^(ikθ) as (power of s, power of σ, coefficient); the factor i of σ is left out.

    T_k and U_{k−1} at 1 − 2s, both from p_{k+1} = 2(1 − 2s) p_k − p_{k−1}.
    """

    def chebyshev(previous: list[int], current: list[int]) -> list[int]:
        for _ in range(abs(k)):
            double = [2 * c for c in current] + [0]
            shifted = [0] + [4 * c for c in current]
            older = previous + [0] * (len(double) - len(previous))
            following = [d - s - o for d, s, o in zip(double, shifted, older, strict=True)]
            previous, current = current, following
        return previous

    even = chebyshev([1], [1, -2])  # T_0, T_1
    odd = chebyshev([0], [1])  # U_{−1}, U_0
    sign = -1 if k < 0 else 1
    return (
        *((power, 0, c) for power, c in enumerate(even) if c),
        *((power, 1, sign * c) for power, c in enumerate(odd) if c),
    )
