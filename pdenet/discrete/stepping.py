"""Stepping: the two walks through a time step, which whatever moves a state takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Protocol, TypeAlias

from pdenet.discrete.arrays import Array


class Motion(Protocol):
    """What a model of ∂u/∂t = f(t, u) with prescribed nodes must do to be stepped."""

    def rates(
        self, state: Array, t: float, dt: float, only: frozenset[str] | None = None
    ) -> Mapping[str, Array]:
        """Return ∂u/∂t for each field, or for those named; dt stands in some right sides."""

    def moved(
        self,
        state: Array,
        slopes: Sequence[Mapping[str, Array]],
        weights: Sequence[Fraction | float],
        dt: float,
    ) -> Array:
        """Return state + dt Σ weight · slope, in a new array.

        Fields that the slopes do not name stay as they are. Some weight is not zero.
        """

    def impose(
        self,
        state: Array,
        t: float,
        only: frozenset[str] | None = None,
        start: float | None = None,
        slopes: Sequence[tuple[float, float]] = (),
    ) -> Array:
        """Set the prescribed nodes, in place where that is possible, and return the state.

        They become g(t), or with `start` g(start) + Σ length · ∂g/∂t(time) over the pairs (length,
        time) of `slopes`; g(t) where g has no derivative.
        """


Groups: TypeAlias = tuple[frozenset[str], frozenset[str]]
"""The names of the positions and of the velocities."""


def runge_kutta(
    motion: Motion,
    a: Sequence[Sequence[Fraction]],
    b: Sequence[Fraction],
    c: Sequence[Fraction],
    state: Array,
    t: float,
    dt: float,
) -> Array:
    """Take the stages k_i = f(t + c_i dt, u + dt Σ_j a_ij k_j), and add dt Σ b_i k_i.

    At a stage the prescribed nodes are what the stage makes of u' = ∂g/∂t, which is
    g(t) + dt Σ_j a_ij ∂g/∂t(t + c_j dt). With g at the stage's time they would be ahead of their
    neighbours, which carry the stage's own error of O(dt²), and second differences would see a kink
    of O(dt²/h²): Carpenter, Gottlieb, Abarbanel & Don (1995), SIAM J. Sci. Comput. 16:1241.
    """
    times = [t + float(fraction) * dt for fraction in c]
    slopes: list[Mapping[str, Array]] = []
    for row, time in zip(a, times, strict=True):
        at_stage = state
        if any(row):
            lengths = [float(weight) * dt for weight in row]
            at_stage = motion.moved(state, slopes, row, dt)
            past = tuple(zip(lengths, times, strict=False))  # the stages before this one
            at_stage = motion.impose(at_stage, time, start=t, slopes=past)
        slopes.append(motion.rates(at_stage, time, dt))
    return motion.impose(motion.moved(state, slopes, b, dt), t + dt)


def by_turns(
    motion: Motion,
    substeps: Sequence[tuple[int, Fraction]],
    times: Sequence[Fraction],
    groups: Groups,
    state: Array,
    t: float,
    dt: float,
) -> Array:
    """Advance positions and velocities by turns, each by θ dt with the other's latest values."""
    reached = [0.0, 0.0]
    for (group, fraction), read in zip(substeps, times, strict=True):
        slopes = motion.rates(state, t + float(read) * dt, dt, only=groups[group])
        reached[group] += float(fraction)
        state = motion.moved(state, [slopes], [fraction], dt)
        state = motion.impose(state, t + reached[group] * dt, only=groups[group])
    return state
