"""Space discretisations by name: what each makes of central differences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType
from typing import TypeAlias

import sympy as sp

from pdenet.discrete import stencils
from pdenet.discrete.advection import AbsoluteMatrix, advection
from pdenet.discrete.stencils import Stencil
from pdenet.discrete.steppers import Stepper
from pdenet.discrete.terms import (
    DT,
    SPACING,
    FluxTerm,
    NodeTerm,
    SchemeProduct,
    SchemeTerm,
    StencilUse,
)
from pdenet.equation.system import FREE_INDEX, System
from pdenet.errors import SchemeError

Equations: TypeAlias = list[list[SchemeTerm]]
"""The terms of each field's right side, in the order of the system's fields."""

Changed: TypeAlias = tuple[Equations, tuple[AbsoluteMatrix, ...]]
"""The terms, and the tensors that are computed from the parameters for them."""

Change: TypeAlias = Callable[[System, tuple[float, ...], Stepper, Equations], Changed]
"""System, spacings, stepper and central differences to what stands in their place."""


@dataclass(frozen=True)
class Space:
    """A space discretisation.

    Attributes:
        name: the name by which users choose it.
        accuracy: the order of the central differences that it begins with; divergence form is
            compact and of second order always.
        change: what it makes of them.
        only: the one stepper that it goes with, None where it goes with all.
    """

    name: str
    accuracy: int
    change: Change
    only: str | None = None


def _as_it_is(
    system: System, spacing: tuple[float, ...], stepper: Stepper, equations: Equations
) -> Changed:
    return equations, ()


def _nine_point(
    system: System, spacing: tuple[float, ...], stepper: Stepper, equations: Equations
) -> Changed:
    return [_joined(terms, system, spacing) for terms in equations], ()


def _joined(
    terms: list[SchemeTerm], system: System, spacing: tuple[float, ...]
) -> list[SchemeTerm]:
    """Join p u_xx + p u_yy into one nine-point Laplacian."""
    if system.dimension != 2 or max(spacing) - min(spacing) > 1e-12 * max(spacing):
        raise SchemeError(
            "the nine-point Laplacian needs two dimensions and equal spacings; got spacings "
            f'{spacing}; change the grid\'s points or use space="central2"'
        )
    along_x, along_y = (stencils.for_derivative(d, 2) for d in ((2, 0), (0, 2)))
    bare = [replace(t, key=()) for t in terms]
    made: list[SchemeTerm] = []
    for term, own in zip(terms, bare, strict=True):
        across = _with_stencil(own, along_x, along_y) or _with_stencil(own, along_y, along_x)
        if across is None:
            made.append(term)
        elif across not in bare:
            raise SchemeError(
                "the nine-point Laplacian replaces p (u_xx + u_yy); got second derivatives along "
                "one axis without their partner, or with another prefactor; "
                'use space="central2"'
            )
        else:
            joined = _with_stencil(term, along_x, stencils.laplacian9())
            made += [] if joined is None else [joined]
    return made


def _with_stencil(term: SchemeTerm, old: Stencil, new: Stencil) -> SchemeTerm | None:
    """Return `term` with its one use of `old` replaced, None where it does not have one."""
    places = [k for k, f in enumerate(term.outer.factors) if f.stencil == old]
    if isinstance(term, FluxTerm) or len(places) != 1:
        return None
    factors = list(term.outer.factors)
    factors[places[0]] = replace(factors[places[0]], stencil=new)
    return replace(term, outer=replace(term.outer, factors=tuple(factors)))


def _upwind(
    system: System, _: tuple[float, ...], stepper: Stepper, equations: Equations
) -> Changed:
    """Add the numerical viscosity that makes central differences upwind ones.

    a u_x with the difference from the side where the wind comes from is
    a (u_E − u_W)/2h + |a| h/2 (u_E − 2u + u_W)/h², and so for systems with |A| = R|Λ|R⁻¹.
    In divergence form the viscosity is a flux too, |a| h/2 u_x at the face.
    """
    derived: list[AbsoluteMatrix] = []
    for axis in range(system.dimension):
        half = SPACING[system.axes[axis]] / 2
        second = stencils.central(2, 2, axis, system.dimension)
        face = stencils.staggered(1, 2, 1, axis, system.dimension)
        key = tuple(2 if a == axis else 0 for a in range(system.dimension))
        found = advection(system, axis)
        derived += found.derived
        for row, (info, terms) in enumerate(zip(system.fields, equations, strict=True)):
            for speed, column, coefficient in found.viscosity[row]:
                index = None if info.size is None else coefficient.indices[1]
                factor = StencilUse(system.fields[column].name, index, second)
                uses = () if info.size is None else (coefficient,)
                terms.append(NodeTerm(SchemeProduct(speed * half, uses, (factor,)), key))
            if found.flux_speed[row] != 0:
                factor = StencilUse(info.name, None, face, at_face=True)
                inner = SchemeProduct(sp.Abs(found.flux_speed[row]) * half, (), (factor,))
                terms.append(FluxTerm(SchemeProduct(sp.S.One), axis, inner, key=key))
    return equations, tuple(derived)


def _lax_friedrichs(
    system: System, _: tuple[float, ...], stepper: Stepper, equations: Equations
) -> Changed:
    """Put the mean over the 2d neighbours in place of u: add (mean − u)/dt to the right side."""
    orders = [sum(t.key) for terms in equations for t in terms]
    if stepper.name != "euler" or max(orders, default=0) != 1 or system.rates:
        raise SchemeError(
            "Lax–Friedrichs is for equations of first order with forward Euler; got order "
            f"{max(orders, default=0)} with stepper {stepper.name!r}; "
            'use stepper="euler", or space="central2"'
        )
    dimension = system.dimension
    mean = stencils.neighbour_mean(dimension)
    centre = (0,) * dimension
    offsets = tuple(sorted((*mean.offsets, centre)))
    table = {**dict(zip(mean.offsets, mean.weights, strict=True)), centre: Fraction(-1)}
    change = Stencil(mean.derivative, offsets, tuple(table[o] for o in offsets), 2)
    for info, terms in zip(system.fields, equations, strict=True):
        index = None if info.size is None else FREE_INDEX
        factor = StencilUse(info.name, index, change)
        terms.append(NodeTerm(SchemeProduct(1 / DT, (), (factor,)), (2,) * dimension))
    return equations, ()


SPACES: Mapping[str, Space] = MappingProxyType(
    {
        space.name: space
        for space in (
            Space("central2", 2, _as_it_is),
            Space("central4", 4, _as_it_is),
            Space("central6", 6, _as_it_is),
            Space("nine_point", 2, _nine_point),
            Space("upwind", 2, _upwind),
            Space("lax_friedrichs", 2, _lax_friedrichs, only="euler"),
        )
    }
)

ACCURACY = {name: space.accuracy for name, space in SPACES.items() if space.change is _as_it_is}
"""The orders of the plain central differences."""
