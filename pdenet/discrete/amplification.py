"""The largest time step for which one step of a stepper grows no faster than it may.

For y' = λy one step multiplies y by R(z), z = dt λ. With ω the growth that is allowed, asked for is
the largest dt* such that for all dt in (0, dt*]

    |R(dt (λ − ω))| ≤ 1    and    |R(dt λ)| ≤ exp(1.1 ω dt).

The first says that e^{−ωt} y, which does not grow, does not grow in the scheme either. For forward
Euler it implies the second without the 1.1: |1 + z + w| ≤ |1 + z| + w ≤ exp(w). For other steppers
the growth of e^{λt} itself is met up to O(dt^p) only, which the tenth allows for.

With λ = L e^{iφ}, x = cos φ and τ = L dt the squared modulus is a polynomial in τ whose
coefficients are polynomials in x, exact rationals: Σ_m τ^m Σ_{j+k=m} r_j r_k T_{|j−k|}(x). For a
method of order p the first p of them are those of exp(2xτ), so that on the imaginary axis they
vanish identically, and nothing depends on rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np

from pdenet.discrete.steppers import RungeKutta, Splitting, Stepper

# cos φ nearer than this to the allowed growth, or to 0, is rounding of the symbol.
_ROUNDING = 1e-11

# The dt of more eigenvalues than this are ranked by a table first.
_MANY = 4096

# How much faster than the equation a scheme may grow, where the equation grows: it has the growth
# rate up to its truncation error only.
SLACK = 1.1


def largest_step(eigenvalues: np.ndarray, growth: float, stepper: Stepper) -> np.ndarray:
    """Return the largest stable dt of each eigenvalue.

    Args:
        eigenvalues: λ, complex, in 1/time, of any shape.
        growth: ω, in 1/time, at least 0.
        stepper: the time stepper. For a `Splitting` the eigenvalues come in pairs ±λ, the square
            roots of those of u_tt = F(u).

    Returns:
        dt in the shape of `eigenvalues`, exact for the least of them; among very many the others
        are good to four digits. 0 where every dt grows too fast, inf where none does.
    """
    lam = np.asarray(eigenvalues, dtype=np.complex128)
    flat = lam.ravel()
    if isinstance(stepper, Splitting):
        return _splitting(flat, growth, stepper).reshape(lam.shape)
    if flat.size <= _MANY:
        return _both(flat, growth, stepper).reshape(lam.shape)
    made = _interpolated(flat - growth, stepper)
    least = np.argpartition(made, _MANY)[:_MANY]
    made[least] = _both(flat[least], growth, stepper)
    return made.reshape(lam.shape)


def _both(lam: np.ndarray, growth: float, stepper: RungeKutta) -> np.ndarray:
    """Return the largest dt by both conditions."""
    made = _runge_kutta(lam - growth, 0.0, stepper)
    if growth > 0 and stepper.order > 1:
        made = np.minimum(made, _runge_kutta(lam, SLACK * growth, stepper))
    return made


def _interpolated(lam: np.ndarray, stepper: RungeKutta) -> np.ndarray:
    """Return the largest dt to four digits, from a table over the angle of λ."""
    places, limits = _limits(stepper)
    size = np.abs(lam)
    idle = size <= 1e-13 * size.max(initial=0.0)
    size = np.where(idle, 1.0, size)
    cosine = lam.real / size
    # Next to the imaginary axis limits go like roots of the cosine, Heun's like the third.
    made = np.interp(np.cbrt(np.maximum(-cosine, 0.0)), places, limits) / size
    return np.where(idle, np.inf, np.where(cosine > _ROUNDING, 0.0, made))


@lru_cache(maxsize=32)
def _limits(stepper: RungeKutta) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest τ over the cube root of −cos φ."""
    places = np.linspace(0.0, 1.0, 2049)
    cosine = -(places**3)
    return places, _runge_kutta(cosine + 1j * np.sqrt(1 - cosine**2), 0.0, stepper)


def _runge_kutta(lam: np.ndarray, growth: float, stepper: RungeKutta) -> np.ndarray:
    """Return the largest dt with |R(dt λ)| ≤ exp(dt growth)."""
    size = np.abs(lam)
    # Eigenvalues that are rounding of 0 say nothing.
    idle = size <= 1e-13 * size.max(initial=0.0)
    lam, size = np.where(idle, -1.0, lam), np.where(idle, 1.0, size)
    cosine = lam.real / size
    cosine[np.abs(cosine) < _ROUNDING] = 0.0
    allowed = growth / size
    near = np.abs(cosine - allowed) < _ROUNDING
    cosine[near] = allowed[near]
    table = modulus_table(stepper)
    made = np.empty((len(table) - 1, lam.size))  # coefficients of τ^0, τ^1, … of (|R|² − e^2ωτ)/τ
    power = np.ones_like(allowed)
    for m in range(1, len(table)):
        power = power * 2 * allowed / m
        # Up to the order both are (2·)^m/m!: equal arguments must give exactly 0.
        made[m - 1] = _horner(table[m], cosine)
        made[m - 1] -= power if m > stepper.order else _horner(table[m], allowed)
    return np.where(idle, np.inf, first_rise(made) / size)


def _horner(coefficients: Sequence[float], x: np.ndarray) -> np.ndarray | float:
    """Return c₀ + c₁x + …; `numpy.polynomial` takes longer to look at its arguments."""
    value: np.ndarray | float = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        value = value * x + coefficient
    return value


@lru_cache(maxsize=32)
def modulus_table(stepper: RungeKutta) -> tuple[tuple[float, ...], ...]:
    """Return, for each power of τ, the coefficients in x of |R(τ e^{iφ})|², x = cos φ."""
    r = stepper.polynomial
    chebyshev: list[list[Fraction]] = [[Fraction(1)], [Fraction(0), Fraction(1)]]
    for _ in r[2:]:
        longer = [Fraction(0), *(2 * c for c in chebyshev[-1])]
        for k, c in enumerate(chebyshev[-2]):
            longer[k] -= c
        chebyshev.append(longer)
    table = []
    for m in range(2 * len(r) - 1):
        total = [Fraction(0)] * (len(r) + 1)
        for j in range(max(0, m - len(r) + 1), min(m, len(r) - 1) + 1):
            for k, c in enumerate(chebyshev[abs(m - 2 * j)]):
                total[k] += r[j] * r[m - j] * c
        while len(total) > 1 and total[-1] == 0:
            del total[-1]
        table.append(tuple(float(c) for c in total))
    return tuple(table)


def first_rise(coefficients: np.ndarray) -> np.ndarray:
    """Return where polynomials, 0 or negative to the right of 0, first become positive.

    Args:
        coefficients: of τ^0, τ^1, …, shape (degree + 1, polynomial).

    Returns:
        The first τ ≥ 0 after which each is positive; inf where it never is.
    """
    degree, count = coefficients.shape[0] - 1, coefficients.shape[1]
    made = np.full(count, np.inf)
    nonzero = coefficients != 0
    lowest = np.where(nonzero.any(axis=0), nonzero.argmax(axis=0), degree + 1)
    highest = degree - nonzero[::-1].argmax(axis=0)
    kinds = lowest * (degree + 2) + highest
    for kind in np.unique(kinds):
        low, high = divmod(int(kind), degree + 2)
        if low > degree:
            continue
        which = np.flatnonzero(kinds == kind)
        part = coefficients[low : high + 1, which]
        rises = part[0] > 0
        made[which[rises]] = 0.0
        which, part = which[~rises], part[:, ~rises]
        if high > low and which.size:
            made[which] = _first_positive_root(part)
    return made


def _first_positive_root(coefficients: np.ndarray) -> np.ndarray:
    """The same for polynomials with a negative constant and a highest coefficient that is not 0."""
    degree, count = coefficients.shape[0] - 1, coefficients.shape[1]
    if degree == 1:
        root = -(coefficients[0] / coefficients[1])
        return np.where(root > 0, root, np.inf)
    companion = np.zeros((count, degree, degree))
    companion[:, np.arange(1, degree), np.arange(degree - 1)] = 1.0
    companion[:, :, -1] = -(coefficients[:-1] / coefficients[-1]).T
    roots = np.linalg.eigvals(companion)
    real = np.where((roots.imag == 0) & (roots.real > 0), roots.real, np.inf)
    real.sort(axis=1)
    # Where a polynomial touches 0 from below it does not rise: look behind each root.
    behind = np.minimum(np.append(real[:, 1:], np.full((count, 1), np.inf), axis=1), 2 * real)
    middle = np.where(np.isfinite(real), (real + behind) / 2, 1.0)
    value = np.zeros_like(middle)
    for row in coefficients[::-1]:
        value = value * middle + row[:, np.newaxis]
    rising = np.where(np.isfinite(real) & (value > 0), real, np.inf)
    return rising.min(axis=1)


def _splitting(lam: np.ndarray, growth: float, stepper: Splitting) -> np.ndarray:
    """Return the largest dt of pairs ±λ.

    Real and negative λ² oscillate up to the stepper's limit; real and positive ones grow less than
    exp(λ dt), since 2 cosh z ≥ 2 + z², the trace of both splittings.
    """
    square = lam**2
    size = np.maximum(np.abs(lam), np.finfo(float).tiny)
    made = np.full(lam.shape, np.inf)
    real = np.abs(square.imag) <= _ROUNDING * size**2
    oscillating = real & (square.real < 0)
    made[oscillating] = stepper.imaginary_limit / size[oscillating]
    growing = real & (square.real > 0)
    made[growing & (size > growth * (1 + _ROUNDING))] = 0.0
    for place in np.flatnonzero(~real):
        made[place] = _scan(lam[place], growth, stepper)
    return made


def _scan(lam: complex, growth: float, stepper: Splitting) -> float:
    """The same for one complex λ²: a grid of steps, then bisection."""

    def excess(tau: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            factor = stepper.amplification(tau * lam / abs(lam))
        return np.log(factor) / tau - growth / abs(lam)

    grid = np.geomspace(1e-4, 4.0, 400)
    above = np.flatnonzero(excess(grid) > 1e-9)
    if not above.size:
        return float("inf")
    if above[0] == 0:
        return 0.0
    low, high = grid[above[0] - 1], grid[above[0]]
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if excess(np.array([middle]))[0] > 1e-9 else (middle, high)
    return float(low / abs(lam))
