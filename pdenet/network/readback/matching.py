"""Matching: the space discretisation whose solver takes the step of a network that was read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol  # values are numbers, or arrays of numbers or expressions

import torch

from pdenet.discrete import stencils
from pdenet.discrete.boundary import Boundary
from pdenet.discrete.closure import Closure, Rule
from pdenet.discrete.grid import Grid
from pdenet.discrete.scheme import discretise
from pdenet.discrete.spaces import ACCURACY
from pdenet.discrete.stencils import Stencil
from pdenet.discrete.steppers import Stepper
from pdenet.equation.pde import PDE
from pdenet.equation.values import bind
from pdenet.errors import GridError, SchemeError, ValuesError
from pdenet.network.block import Block
from pdenet.network.readback.expansion import Part

CENTRAL = frozenset({*ACCURACY, "nine_point"})
"""The discretisations that add no terms of their own."""


class Readable(Protocol):
    """What an equation is read from: tensors, and where they stand in space."""

    block: Block
    grid: Grid
    boundary: Boundary
    stepper: Stepper

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the tensors."""


def matching_space(
    network: Readable, pde: PDE, values: Mapping[str, Any], spaces: Collection[str]
) -> str | None:
    """Return the discretisation that has the network's stencils and its ghost nodes.

    Args:
        network: the network.
        pde: the equation that was read from it.
        values: the values of its parameters.
        spaces: the discretisations that have its stencils.
    """
    if pde.fields != tuple(f.name for f in network.block.structure.fields):
        return None  # conditions on u imply those on u_t only while it is one
    try:
        system = bind(pde.system, values, values).system
    except ValuesError:
        return None  # an array of a coefficient is differentiated
    for space in (*ACCURACY, "nine_point"):
        if space not in spaces:
            continue
        try:
            scheme = discretise(system, network.grid, network.boundary, space, network.stepper)
        except (GridError, SchemeError):
            continue
        own = network.block.padding.closures
        pairs = [
            (mine, theirs)
            for name in own
            for one, other in zip(own[name], scheme.closures[name], strict=True)
            for mine, theirs in zip(one, other, strict=True)
        ]
        # The rule of the first ghost node tells the degree of an extrapolation.
        if all(_first(a) == _first(b) for a, b in pairs if _first(a) and _first(b)):
            return space
    return None


def _first(one: Closure) -> tuple[tuple[int, float], ...]:
    return one.ghosts[0] if isinstance(one, Rule) and one.ghosts else ()


def spaces_of(part: Part, axis: int | None, at_face: bool) -> frozenset[str]:
    """Return the space discretisations in which a derivative has this stencil."""
    derivative, stencil = part.derivative, part.stencil
    if at_face:
        assert axis is not None
        rest = tuple(0 if a == axis else p for a, p in enumerate(derivative))
        made = stencils.staggered(derivative[axis], 2, 1, axis, len(derivative))
        made = made @ stencils.for_derivative(rest, 2) if any(rest) else made
        return CENTRAL if derivative[axis] % 2 and made == stencil else frozenset()
    if axis is not None:
        is_own = derivative[axis] % 2 == 0 and _is(stencil, derivative, 2)
        return CENTRAL if is_own else frozenset()
    if part.is_nine_point:
        return frozenset({"nine_point"})
    found = {space for space, accuracy in ACCURACY.items() if _is(stencil, derivative, accuracy)}
    if "central2" in found and derivative not in ((2, 0), (0, 2)):
        found.add("nine_point")
    return frozenset(found)


def spaces_of_divergence(part: Part) -> frozenset[str]:
    """The same for the derivative of a product, which every discretisation takes centrally."""
    is_own = sum(part.derivative) == 1 and _is(part.stencil, part.derivative, 2)
    return CENTRAL if is_own else frozenset()


def _is(stencil: Stencil, derivative: tuple[int, ...], accuracy: int) -> bool:
    return stencil == stencils.for_derivative(derivative, accuracy)
