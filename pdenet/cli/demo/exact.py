"""Exact solutions that the demo compares with; none of them knows a grid spacing or a time step.

- Heat between insulated walls: each cosine of the data decays by itself.
- Rotation: the data, a trigonometric polynomial, evaluated at the turned points.
- Waves: standing waves, the eigenfunctions of −d²/dx² under each kind of wall; and image sources.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy.fft
import scipy.optimize


def insulated_heat(
    start: np.ndarray,
    times: Sequence[float] | np.ndarray,
    diffusivity: float,
    lengths: tuple[float, float],
) -> np.ndarray:
    """Solve u_t = D Δu with ∂u/∂n = 0 on a rectangle, by the cosine series through the nodes.

    Args:
        start: values at the nodes, end nodes included, shape `(y, x)`.
        times: the times.
        diffusivity: D.
        lengths: the sides of the rectangle, along x and y.

    Returns:
        A float64 array `(time, y, x)`.
    """
    spectrum = scipy.fft.dctn(start, type=1)
    ky, kx = (
        np.pi * np.arange(n) / length for n, length in zip(start.shape, lengths[::-1], strict=True)
    )
    decay = diffusivity * (ky[:, None] ** 2 + kx**2)
    return np.stack([scipy.fft.idctn(spectrum * np.exp(-decay * t), type=1) for t in times])


@dataclass(frozen=True)
class Polynomial:
    """A trigonometric polynomial on the square [−1, 1]², 0 outside of it.

    Attributes:
        weights: complex Fourier weights, shape `(2m + 1, 2m + 1)`, wave numbers −m … m.
    """

    weights: np.ndarray

    @classmethod
    def smoothed(cls, picture: np.ndarray, width: float, highest: int) -> Polynomial:
        """Return a picture `(y, x)` at periodic nodes after Gaussian smoothing.

        Args:
            picture: the values, N × N.
            width: the standard deviation of the Gaussian, in spacings.
            highest: the highest wave number that is kept.
        """
        count = len(picture)
        m = np.arange(-highest, highest + 1)
        spectrum = np.fft.fft2(picture)[np.ix_(m, m)] / picture.size
        damping = np.exp(-0.5 * (2 * np.pi * m * width / count) ** 2)
        return cls(spectrum * damping[:, None] * damping)

    def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the values at points, x and y of one shape `(row, column)`."""
        highest = len(self.weights) // 2
        made = np.empty(x.shape)
        for row in range(len(x)):
            along_x, along_y = (
                _powers(np.exp(1j * np.pi * (points[row] + 1.0)), highest) for points in (x, y)
            )
            # Real data: waves −k and k are conjugate, half of them suffice.
            half = 2.0 * self.weights[:, highest:]
            half[:, 0] /= 2.0
            made[row] = np.einsum("pk,pk->p", along_y @ half, along_x[:, highest:]).real
        return np.where((np.abs(x) <= 1.0) & (np.abs(y) <= 1.0), made, 0.0)


def _powers(base: np.ndarray, highest: int) -> np.ndarray:
    """Return base^−m … base^m, shape `(point, 2m + 1)`."""
    up = np.cumprod(np.broadcast_to(base[:, None], (len(base), highest)), axis=1)
    return np.concatenate([up[:, ::-1].conj(), np.ones((len(base), 1)), up], axis=1)


Profile = Callable[[np.ndarray], np.ndarray]


def wave_numbers(kind: str, count: int, ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """Return wave numbers and phases of the eigenfunctions cos(k x − φ) on [−1, 1].

    Args:
        kind: "dirichlet", "neumann", "robin" (ratio · u + ∂u/∂n = 0) or "periodic".
        count: how many of each parity.
        ratio: a/b of the Robin condition, positive.

    Returns:
        Two arrays `(mode,)`, in radians per length and in radians.
    """
    m = np.arange(count)
    if kind == "periodic":
        even, odd = np.pi * m, np.pi * (m + 1)
    elif kind == "neumann":
        even, odd = np.pi * m, np.pi * (m + 0.5)
    elif kind == "dirichlet":
        even, odd = np.pi * (m + 0.5), np.pi * (m + 1)
    else:
        # cos(kx): k sin k = ratio · cos k; sin(kx): k cos k = −ratio · sin k.
        even = np.array(
            [
                scipy.optimize.brentq(
                    lambda k: k * np.sin(k) - ratio * np.cos(k), np.pi * j, np.pi * (j + 0.5)
                )
                for j in m
            ]
        )
        odd = np.array(
            [
                scipy.optimize.brentq(
                    lambda k: k * np.cos(k) + ratio * np.sin(k), np.pi * (j + 0.5), np.pi * (j + 1)
                )
                for j in m
            ]
        )
    return np.concatenate([even, odd]), np.repeat([0.0, np.pi / 2], count)


@cache
def _quadrature() -> tuple[np.ndarray, np.ndarray]:
    # 240 points resolve 80 half waves and the pulses to rounding.
    return np.polynomial.legendre.leggauss(240)


def expand(profile: Profile, k: np.ndarray, phase: np.ndarray) -> np.ndarray:
    """Return the weights of a profile in orthogonal eigenfunctions, by Gauss's quadrature."""
    points, weights = _quadrature()
    waves = np.cos(np.multiply.outer(k, points) - phase[:, None])
    return np.asarray((waves * weights) @ profile(points) / ((waves**2) @ weights))


def standing_waves(
    kind: str,
    profiles: Sequence[Profile],
    nodes: Sequence[np.ndarray],
    times: Sequence[float] | np.ndarray,
    ratio: float,
) -> np.ndarray:
    """Solve u_tt = Δu on [−1, 1]^d from rest and from a product of profiles.

    Args:
        kind: the walls, as for `wave_numbers`, on all sides.
        profiles: one for each axis, in coordinate order; u(0) is their product.
        nodes: the points of each axis, in coordinate order.
        times: the times.
        ratio: a/b of the Robin condition.

    Returns:
        A float64 array `(time, x)` or `(time, y, x)`.
    """
    k, phase = wave_numbers(kind, 40, ratio)
    weights = [expand(profile, k, phase) for profile in profiles]
    waves = [np.cos(np.multiply.outer(x, k) - phase) for x in nodes]  # (point, mode)
    if len(profiles) == 1:
        return np.stack([waves[0] @ (weights[0] * np.cos(k * t)) for t in times])
    frequency = np.hypot(k[:, None], k)
    start = np.multiply.outer(weights[1], weights[0])
    return np.stack([waves[1] @ (start * np.cos(frequency * t)) @ waves[0].T for t in times])


def images(
    kind: str, profile: Profile, x: np.ndarray, times: Sequence[float] | np.ndarray
) -> np.ndarray:
    """Solve u_tt = u_xx on [−1, 1] from rest by d'Alembert's formula with image sources.

    Args:
        kind: "dirichlet" (images change sign), "neumann", "periodic" or "open" (no images).
        profile: u(0).
        x: the points.
        times: the times, at most 6.

    Returns:
        A float64 array `(time, x)`.
    """

    def start(s: np.ndarray) -> np.ndarray:
        if kind == "open":
            return profile(s)
        shifts = range(-4, 5)
        if kind == "periodic":
            return np.asarray(sum(profile(s - 2 * m) for m in shifts))
        sign = 1.0 if kind == "neumann" else -1.0
        # Two mirrors at ±1 make a pattern of period 4: the source, and its mirror image.
        return np.asarray(sum(profile(s - 4 * m) + sign * profile(2 - s + 4 * m) for m in shifts))

    return np.stack([0.5 * (start(x - t) + start(x + t)) for t in times])
