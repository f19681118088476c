"""Closures: which ghost nodes follow from a boundary condition, as linear rules.

A stencil near a wall reaches beyond it. The ghost node k spacings outside is a fixed linear
combination of the nodes inside, m = 0, 1, … counted from the wall, and of the condition's value g:

    Dirichlet      u₋ₖ = 2 g − uₖ                 odd reflection; the wall node itself is set to g
    Neumann        u₋ₖ = uₖ + 2kh g               mirror image, ∂u/∂n by a central difference
    Robin          u₋ₖ = uₖ + 2kh (g − a u₀)/b    the same with ∂u/∂n = (g − a u₀)/b
    ZeroPadding    u₋ₖ = 0
    Free           polynomial extrapolation, which turns central into one-sided differences

Reflections carry O(h²) errors into the equations next to the wall at most, so the closed scheme is
of second order. Odd reflection gives (u₁ − g)/h for a first derivative at a Dirichlet wall, the
closure of the summation-by-parts operator of order 2 (Strand 1994), of which the energy estimate is
known; its first-order error at one node costs no global order (Gustafsson 1975).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

from pdenet.discrete.boundary import Condition, Dirichlet, Free, Neumann, Periodic, Robin


@dataclass(frozen=True)
class Wrap:
    """The ghost nodes are the nodes at the other end of the axis."""


@dataclass(frozen=True)
class Rule:
    """The ghost nodes at one end of one axis, and whether the end nodes are prescribed.

    It does not hold g: values are bound where the rule is carried out, see `walls`.

    Attributes:
        ghosts: for k = 1, 2, …: pairs (m, weight) of inner nodes.
        sources: for k = 1, 2, …: the weight of g.
        fixed: the end nodes are set to g.
    """

    ghosts: tuple[tuple[tuple[int, float], ...], ...]
    sources: tuple[float, ...]
    fixed: bool = False

    @property
    def depth(self) -> int:
        """How many inner nodes the ghost nodes are made of."""
        return max((m + 1 for ghost in self.ghosts for m, _ in ghost), default=1)


Closure: TypeAlias = Wrap | Rule


def closure(condition: Condition, spacing: float, width: int, degree: int) -> Closure:
    """Return the ghost nodes of a condition.

    Args:
        condition: the condition.
        spacing: h along the axis.
        width: how many ghost nodes are needed.
        degree: the degree of the extrapolation at a `Free` end. Degree p + 1 makes the central
            difference of second order for ∂^p the one-sided one of second order.

    Returns:
        The rule, exact but for the rounding of h, a and b.
    """
    steps = range(1, width + 1)
    if isinstance(condition, Periodic):
        return Wrap()
    if isinstance(condition, Free):
        return Rule(
            ghosts=tuple(_extrapolation(k, degree) for k in steps),
            sources=(0.0,) * width,
        )
    if isinstance(condition, Dirichlet):
        return Rule(
            ghosts=tuple(((k, -1.0),) for k in steps),
            sources=(2.0,) * width,
            fixed=True,
        )
    if isinstance(condition, Neumann):
        return Rule(
            ghosts=tuple(((k, 1.0),) for k in steps),
            sources=tuple(2 * k * spacing for k in steps),
        )
    if isinstance(condition, Robin):
        ratio = spacing / condition.b
        return Rule(
            ghosts=tuple(((k, 1.0), (0, -2 * k * ratio * condition.a)) for k in steps),
            sources=tuple(2 * k * ratio for k in steps),
        )
    return Rule(ghosts=((),) * width, sources=(0.0,) * width)


def _extrapolation(k: int, degree: int) -> tuple[tuple[int, float], ...]:
    """Return Lagrange's weights at −k of the polynomial through the nodes 0 … degree."""
    weights = []
    for m in range(degree + 1):
        weight = Fraction(1)
        for other in range(degree + 1):
            if other != m:
                weight *= Fraction(-k - other, m - other)
        weights.append((m, float(weight)))
    return tuple(weights)
