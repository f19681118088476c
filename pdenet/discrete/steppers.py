"""Time steppers as data: what one step does, how accurate it is, and where it is stable.

Forward Euler and the Runge–Kutta methods advance y' = f(t, y). The two splitting methods advance
the pairs (u, u_t) of equations of second order in time, the positions and the velocities by turns.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.polynomial import Polynomial
from numpy.polynomial.polynomial import polyval

from pdenet.discrete import stepping
from pdenet.discrete.arrays import Array
from pdenet.discrete.stepping import Groups, Motion
from pdenet.errors import SchemeError, suggest

#: Exact coefficients of a polynomial, the constant first.
Coefficients: TypeAlias = tuple[Fraction, ...]

# NumPy's polynomials take any numbers: with fractions their arithmetic is exact.
_ONE, _Z = Polynomial([Fraction(1)]), Polynomial([Fraction(0), Fraction(1)])

POSITIONS = 0
VELOCITIES = 1


@dataclass(frozen=True)
class RungeKutta:
    """An explicit Runge–Kutta method, given by its tableau.

    k_i = f(t + c_i dt, y + dt Σ_{j<i} a_ij k_j),    y ← y + dt Σ_i b_i k_i.

    On y' = λy one step multiplies y by R(z), z = λ dt, the polynomial `polynomial`; it agrees
    with exp(z) up to and including z^order.

    Attributes:
        name: The name by which users choose the method.
        order: The global error is O(dt^order).
        a: Row i holds a_i0 … a_i,i−1, so the first row is empty.
        b: The weights of the stages.
        c: The times of the stages in units of dt; c_i = Σ_j a_ij.
    """

    name: str
    order: int
    a: tuple[tuple[Fraction, ...], ...]
    b: tuple[Fraction, ...]
    c: tuple[Fraction, ...]

    def __post_init__(self) -> None:
        """Check the shape of the tableau and its consistency.

        Raises:
            SchemeError: The rows do not fit, c is not the row sums of a, or Σb is not 1.
        """
        rows = tuple(len(row) for row in self.a)
        if not (len(self.b) == len(self.c) == len(rows) and rows == tuple(range(len(rows)))):
            raise SchemeError(
                f"expected an explicit tableau, row i of a with i entries and as many b and c as "
                f"rows; got rows of {rows}, {len(self.b)} b, {len(self.c)} c for {self.name!r}; "
                "leave out the zeros on and above the diagonal"
            )
        if sum(self.b) != 1 or tuple(sum(row, Fraction(0)) for row in self.a) != self.c:
            raise SchemeError(
                f"expected weights b that sum to 1 and times c that are the row sums of a; got "
                f"b = {_text(self.b)}, c = {_text(self.c)} for {self.name!r}; correct the tableau"
            )

    @property
    def stages(self) -> int:
        """How often one step evaluates the right-hand side."""
        return len(self.b)

    def step(self, motion: Motion, groups: Groups, state: Array, t: float, dt: float) -> Array:
        """Return the state one step later, with prescribed nodes set at every stage.

        Args:
            motion: what is stepped.
            groups: the names of the positions and of the velocities, for splitting methods.
            state: the state, which is not changed.
            t: the time of the state.
            dt: the time step.
        """
        return stepping.runge_kutta(motion, self.a, self.b, self.c, state, t, dt)

    @property
    def stage_times(self) -> tuple[Fraction, ...]:
        """When each stage is evaluated, from the beginning of the step, in units of dt."""
        return self.c

    @cached_property
    def polynomial(self) -> Coefficients:
        """R(z) = 1 + Σ_i b_i z k_i(z) with k_i = 1 + z Σ_j a_ij k_j, exact."""
        stages: list[Polynomial] = []
        for row in (*self.a, self.b):
            pairs = zip(row, stages, strict=True)
            stages.append(_ONE + _Z * sum((weight * k for weight, k in pairs), 0 * _ONE))
        return tuple(stages[-1].coef)

    def amplification(self, z: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """|R(z)|, the growth of y' = λy in one step.

        Args:
            z: λ dt, complex, dimensionless, of any shape.

        Returns:
            The factor, in the shape of z; the step is stable where it is at most 1.
        """
        return np.abs(_evaluate(Polynomial(self.polynomial), z))

    @cached_property
    def imaginary_limit(self) -> float:
        """The largest y such that |R| ≤ 1 on the whole of [−iy, iy]."""
        even, odd = Polynomial(self.polynomial[::2]), Polynomial(self.polynomial[1::2])
        # R(iy) = Σ even_k (−Y)^k + iy Σ odd_k (−Y)^k with Y = y², so |R|² is a polynomial in Y.
        squared = _mirrored(even) ** 2 + _Z * _mirrored(odd) ** 2
        return math.sqrt(_first_positive(squared - 1))

    @cached_property
    def real_limit(self) -> float:
        """The largest x such that |R| ≤ 1 on the whole of [−x, 0]."""
        growth = _mirrored(Polynomial(self.polynomial))
        # Where R leaves through +1, and where through −1.
        return min(_first_positive(growth - 1), _first_positive(-growth - 1))


@dataclass(frozen=True)
class Splitting:
    """Positions u and velocities u_t advanced by turns, for u_tt = F(t, u).

    The substeps are done in order: on the positions, u ← u + θ dt u_t; on the velocities,
    u_t ← u_t + θ dt F(t + τ dt, u), where τ is how far the other group has come (`stage_times`).
    On u_tt = λ²u one step is a 2×2 matrix of determinant 1, so its eigenvalues multiply to 1.

    Attributes:
        name: The name by which users choose the method.
        order: The global error is O(dt^order).
        substeps: (group, θ) in order, group 0 for the positions and 1 for the velocities.
    """

    name: str
    order: int
    substeps: tuple[tuple[int, Fraction], ...]

    def __post_init__(self) -> None:
        """Check that both groups advance by exactly one step.

        Raises:
            SchemeError: A group is neither 0 nor 1, or its fractions do not sum to 1.
        """
        sums = [sum((f for g, f in self.substeps if g == group), Fraction(0)) for group in (0, 1)]
        if sums != [1, 1] or any(
            group not in (POSITIONS, VELOCITIES) for group, _ in self.substeps
        ):
            raise SchemeError(
                f"expected groups 0 and 1, each advancing by 1 in all; got {_text(sums)} from "
                f"{self.substeps} for {self.name!r}; correct the fractions"
            )

    @property
    def stages(self) -> int:
        """How many substeps one step has."""
        return len(self.substeps)

    def step(self, motion: Motion, groups: Groups, state: Array, t: float, dt: float) -> Array:
        """Return the state one step later; see `RungeKutta.step`."""
        times = self.stage_times
        return stepping.by_turns(motion, self.substeps, times, groups, state, t, dt)

    @property
    def stage_times(self) -> tuple[Fraction, ...]:
        """The time τ of the values each substep reads, which are those of the other group."""
        reached = [Fraction(0), Fraction(0)]
        times = []
        for group, fraction in self.substeps:
            times.append(reached[1 - group])
            reached[group] += fraction
        return tuple(times)

    @cached_property
    def propagator(self) -> tuple[tuple[Polynomial, Polynomial], tuple[Polynomial, Polynomial]]:
        """The matrix of one step on (u, dt u_t) for u_tt = λ²u, exact polynomials in (λ dt)²."""
        rows = [(_ONE, 0 * _ONE), (0 * _ONE, _ONE)]
        for group, fraction in self.substeps:
            # A velocity substep adds θ (λ dt)² u to dt u_t, a position substep θ (dt u_t) to u.
            factor = fraction * (_Z if group == VELOCITIES else _ONE)
            (left, right), other = rows[group], rows[1 - group]
            rows[group] = left + factor * other[0], right + factor * other[1]
        return rows[0], rows[1]

    @cached_property
    def trace(self) -> Polynomial:
        """The trace of `propagator`, 2 + (λ dt)² + …; stable where it is real and in [−2, 2]."""
        (first, _), (_, last) = self.propagator
        return first + last

    def amplification(self, z: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The larger root |g| of g² − trace(z²) g + 1 = 0, the growth of u_tt = λ²u in one step.

        Args:
            z: λ dt, complex, dimensionless, of any shape; z and −z are the same oscillator.

        Returns:
            The factor, in the shape of z; at least 1, since the two roots multiply to 1.
        """
        # With h = trace/2 − 1 the roots are 1 + h ± √(h(h + 2)); h itself has no cancellation.
        h = _evaluate(self.trace - 2, np.asarray(z, dtype=np.complex128) ** 2) / 2
        root = np.sqrt(h * (h + 2))
        return np.maximum(np.abs(1 + h + root), np.abs(1 + h - root))

    @cached_property
    def imaginary_limit(self) -> float:
        """The largest y such that oscillators with |λ dt| ≤ y, λ imaginary, do not grow."""
        trace = _mirrored(self.trace)  # in Y = y² = −z²
        return math.sqrt(min(_first_positive(trace - 2), _first_positive(-trace - 2)))

    @cached_property
    def real_limit(self) -> float:
        """The largest x such that λ dt = ±x does not grow: 0, for u_tt = λ²u itself grows."""
        return math.sqrt(_first_positive(self.trace - 2))


Stepper: TypeAlias = RungeKutta | Splitting


def stepper(name: str) -> Stepper:
    """The stepper of that name.

    Raises:
        SchemeError: There is none.

    Example:
        >>> stepper("rk4").order, stepper("leapfrog").imaginary_limit
        (4, 2.0)
    """
    try:
        return STEPPERS[name]
    except (KeyError, TypeError):
        raise SchemeError(
            f"expected a stepper among {', '.join(STEPPERS)}; got {name!r}."
            f"{suggest(str(name), STEPPERS)}"
        ) from None


def _fractions(*numbers: str | int) -> tuple[Fraction, ...]:
    return tuple(Fraction(number) for number in numbers)


def _text(numbers: Sequence[Fraction]) -> str:
    return f"({', '.join(map(str, numbers))})"


def _evaluate(polynomial: Polynomial, z: npt.ArrayLike) -> npt.NDArray[np.complex128]:
    made = polyval(np.asarray(z, dtype=np.complex128), polynomial.coef.astype(np.float64))
    return np.asarray(made, dtype=np.complex128)


def _mirrored(polynomial: Polynomial) -> Polynomial:
    """p(−x)."""
    signs = [-1 if k % 2 else 1 for k in range(len(polynomial.coef))]
    return Polynomial(polynomial.coef * signs)


def _first_positive(p: Polynomial) -> float:
    """The x ≥ 0 up to which p ≤ 0, for p(0) ≤ 0: 0 if p rises at once, inf if it never does."""
    coefficients: list[Fraction] = list(p.coef)
    while coefficients and coefficients[0] == 0:  # x = 0 itself, where p touches the axis
        del coefficients[0]
    while coefficients and coefficients[-1] == 0:
        del coefficients[-1]
    if not coefficients:
        return math.inf
    if coefficients[0] > 0:
        return 0.0
    roots = np.roots([float(c) for c in reversed(coefficients)])
    # Simple real roots come out exactly real. At a double root p touches 0 without rising;
    # rounding may then end the interval there, which errs on the safe side.
    positive = [float(root.real) for root in roots if root.imag == 0 and root.real > 0]
    return min(positive, default=math.inf)


STEPPERS: Mapping[str, Stepper] = MappingProxyType(
    {
        method.name: method
        for method in (
            RungeKutta("euler", 1, a=((),), b=_fractions(1), c=_fractions(0)),
            # Semi-implicit Euler (Hairer, Lubich & Wanner 2006, I.1.9): first u_t, then u with it.
            Splitting("symplectic_euler", 1, ((VELOCITIES, Fraction(1)), (POSITIONS, Fraction(1)))),
            # Velocity Störmer–Verlet (ibid., I.1.17); the positions obey
            # u_{n+1} = 2u_n − u_{n−1} + dt² F(u_n).
            Splitting(
                "leapfrog",
                2,
                (
                    (VELOCITIES, Fraction(1, 2)),
                    (POSITIONS, Fraction(1)),
                    (VELOCITIES, Fraction(1, 2)),
                ),
            ),
            RungeKutta(
                "heun",
                2,
                a=((), _fractions(1)),
                b=_fractions("1/2", "1/2"),
                c=_fractions(0, 1),
            ),
            # Shu & Osher 1988, (2.18): the optimal third-order method of three stages that keeps
            # what forward Euler keeps (positivity, total variation) under the same dt.
            RungeKutta(
                "ssprk3",
                3,
                a=((), _fractions(1), _fractions("1/4", "1/4")),
                b=_fractions("1/6", "1/6", "2/3"),
                c=_fractions(0, 1, "1/2"),
            ),
            # Kutta 1901, the classical method.
            RungeKutta(
                "rk4",
                4,
                a=((), _fractions("1/2"), _fractions(0, "1/2"), _fractions(0, 0, 1)),
                b=_fractions("1/6", "1/3", "1/3", "1/6"),
                c=_fractions(0, "1/2", "1/2", 1),
            ),
        )
    }
)
