"""Fluxes: how a value at a face is made of values at nodes, and what a flux difference is.

(F_{i+½} − F_{i−½})/h needs F at faces, and fields stand at nodes. A face rule says how far it
reaches, makes values at faces of any arrays, NumPy's or torch's, and says what it is to a small
perturbation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pdenet.discrete import stencils
from pdenet.discrete.arrays import Array, cut
from pdenet.discrete.stencils import Stencil


class FaceRule(Protocol):
    """What a scheme must know of a face rule."""

    @property
    def first(self) -> int:
        """The first node that a value at the face i + ½ is made of, counted from node i."""

    @property
    def last(self) -> int:
        """The last one."""

    def values(self, nodes: Array, place: int) -> Array:
        """Return the values at faces, one less than nodes along an axis counted from the end."""

    def derivative(self, axis: int, dimension: int) -> Stencil:
        """Return F_{i+½} − F_{i−½} with F linear in the values at nodes, as a stencil on them."""

    def difference(self, axis: int, dimension: int) -> Stencil:
        """Return F_{i+½} − F_{i−½} as a stencil on the faces, i + ½ counted by the node i."""

    def back(self, axis: int, dimension: int) -> Stencil:
        """Return the value at a node made of values at faces, i + ½ counted by the node i."""


@dataclass(frozen=True)
class Central:
    """F_{i+½} is the mean of what stands at the nodes i and i + 1: second order."""

    first: int = 0
    last: int = 1

    def values(self, nodes: Array, place: int) -> Array:
        """Return the means over faces along an axis counted from the end, −1 the last.

        Nodes of length 1 along the axis are constant and stay as they are.
        """
        if nodes.shape[place] == 1:
            return nodes
        return 0.5 * (cut(nodes, place, 0, -1) + cut(nodes, place, 1, None))

    def derivative(self, axis: int, dimension: int) -> Stencil:
        """Return (u_{i+1} − u_{i−1})/2, the difference of two means."""
        return stencils.central(1, 2, axis, dimension)

    def difference(self, axis: int, dimension: int) -> Stencil:
        """Return F_{i+½} − F_{i−½}."""
        return stencils.one_sided(1, 1, -1, axis, dimension)

    def back(self, axis: int, dimension: int) -> Stencil:
        """Return (F_{i−½} + F_{i+½})/2."""
        forward = stencils.staggered(0, 2, 1, axis, dimension)
        weights = {
            tuple(-k for k in o): w for o, w in zip(forward.offsets, forward.weights, strict=True)
        }
        offsets = tuple(sorted(weights))
        return Stencil(forward.derivative, offsets, tuple(weights[o] for o in offsets), 2)


CENTRAL = Central()


def divergence(flux: Array, place: int, spacing: float) -> Array:
    """Return (F_{i+½} − F_{i−½})/h along an axis: one less than there are faces."""
    return (cut(flux, place, 1, None) - cut(flux, place, 0, -1)) * (1.0 / spacing)
