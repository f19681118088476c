"""Scheme: the waist. A system in which every derivative has been replaced by a stencil.

The simulator and the network read the same `Scheme`; neither derives a stencil of its own. It is
frozen data that names parameters and boundary values and holds none, so that it can be compared and
hashed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from pdenet.checks import check_choice
from pdenet.discrete import stencils
from pdenet.discrete.advection import AbsoluteMatrix
from pdenet.discrete.boundary import Boundary, Condition, Free, resolve, without_value
from pdenet.discrete.closure import Closure, Rule, closure
from pdenet.discrete.domain import Domain
from pdenet.discrete.grid import Grid
from pdenet.discrete.spaces import SPACES
from pdenet.discrete.steppers import Splitting, Stepper
from pdenet.discrete.terms import FluxTerm, NodeTerm, SchemeProduct, SchemeTerm, StencilUse
from pdenet.equation.system import FieldUse, Product, System, Term
from pdenet.errors import GridError, SchemeError


@dataclass(frozen=True)
class End:
    """What is said of a field at one end of one axis.

    Attributes:
        condition: the condition, without its value.
        closure: what it makes of the ghost nodes there.
    """

    condition: Condition
    closure: Closure


@dataclass(frozen=True)
class Scheme:
    """∂u/∂t = stencils, with ghost nodes and a stepper, somewhere.

    Boundary values and parameters are bound where it is carried out, see `setup.bound_values`.

    Attributes:
        system: the system it discretises.
        domain: where.
        space: the name of the space discretisation.
        stepper: the time stepper.
        equations: the terms of each field's right side, in the order of the system's fields.
        ends: for each field and axis (coordinate order) what is said at (low, high).
        width: how many ghost nodes each axis needs, in coordinate order.
        derived: tensors that are computed from the parameters once.
    """

    system: System
    domain: Domain
    space: str
    stepper: Stepper
    equations: tuple[tuple[SchemeTerm, ...], ...]
    ends: tuple[tuple[tuple[End, End], ...], ...]
    width: tuple[int, ...]
    derived: tuple[AbsoluteMatrix, ...] = ()

    @cached_property
    def closures(self) -> Mapping[str, tuple[tuple[Closure, Closure], ...]]:
        """For each field and axis the closures at (low, high)."""
        made = (tuple((a.closure, b.closure) for a, b in pairs) for pairs in self.ends)
        return dict(zip(self.system.field_names, made, strict=True))

    @property
    def fingerprint(self) -> str:
        """32 hexadecimal digits that equal schemes have in common in every process."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:32]

    @cached_property
    def conditions(self) -> Mapping[str, tuple[tuple[Condition, Condition], ...]]:
        """For each field and axis the conditions, without values, that the closures come from."""
        made = (tuple((a.condition, b.condition) for a, b in pairs) for pairs in self.ends)
        return dict(zip(self.system.field_names, made, strict=True))


def discretise(
    system: System, grid: Grid, boundary: Boundary, space: str, stepper: Stepper
) -> Scheme:
    """Replace every derivative of a system by a stencil.

    Args:
        system: the system, in canonical form.
        grid: the grid, with the system's axes.
        boundary: a condition for every side.
        space: "central2", "central4", "central6", "nine_point", "upwind" or "lax_friedrichs".
            Divergence form is compact and of second order whichever is chosen.
        stepper: the stepper.

    Raises:
        GridError: the axes differ, or the grid is smaller than a stencil.
        BoundaryError: see `pdenet.discrete.boundary.resolve`.
        SchemeError: the space discretisation or the stepper does not suit the equation.
    """
    if grid.axes != system.axes:
        raise GridError(
            f"the equation lives in ({', '.join(system.axes)}); got a grid with the axes "
            f"({', '.join(grid.axes)}); give the grid these axes"
        )
    conditions = resolve(boundary, system, grid.axes)
    domain = Domain.of(grid, boundary)
    bare = {
        name: tuple((without_value(low), without_value(high)) for low, high in pairs)
        for name, pairs in conditions.items()
    }
    return discretise_on(system, domain, bare, space, stepper)


def discretise_on(
    system: System,
    domain: Domain,
    conditions: Mapping[str, tuple[tuple[Condition, Condition], ...]],
    space: str,
    stepper: Stepper,
) -> Scheme:
    """Replace every derivative by a stencil, as `discretise` does, where a scheme lives already.

    Args:
        system: the system, in canonical form, with the domain's axes.
        domain: where.
        conditions: for each field and axis the resolved conditions; their values do not matter.
        space: as for `discretise`.
        stepper: the stepper.

    Raises:
        GridError: the domain is smaller than a stencil.
        SchemeError: the space discretisation or the stepper does not suit the equation.
    """
    check_choice("space", space, SPACES, SchemeError)
    if isinstance(stepper, Splitting) and not system.is_splittable:
        raise SchemeError(
            f"{stepper.name} advances u and u_t by turns, for u_tt = F(t, u) with F free of u_t; "
            f"got a system in {', '.join(system.field_names)} that is not of that form; "
            'use stepper="rk4"'
        )
    spacing = domain.spacing
    builder = _Builder(system, SPACES[space].accuracy)
    central = [[builder.term(t) for t in terms] for terms in system.equations]
    equations, derived = SPACES[space].change(system, spacing, stepper, central)
    width = _width(equations, system.dimension)
    for axis, points, reach in zip(domain.axes, domain.points, width, strict=True):
        if points < 2 * reach + 1:
            raise GridError(
                f"stencils reach {reach} nodes to each side along {axis}, so that at least "
                f"{2 * reach + 1} points are needed; got {points}; refine the grid"
            )
    ends = []
    for name in system.field_names:
        pairs = []
        for place, (h, reach, pair) in enumerate(
            zip(spacing, width, conditions[name], strict=True)
        ):
            degree = _degree(system, name, place)
            low, high = (End(c, closure(c, h, reach, degree)) for c in pair)
            _check_depth(domain, name, place, (low, high))
            pairs.append((low, high))
        ends.append(tuple(pairs))
    return Scheme(
        system=system,
        domain=domain,
        space=space,
        stepper=stepper,
        equations=tuple(tuple(terms) for terms in equations),
        ends=tuple(ends),
        width=width,
        derived=derived,
    )


@dataclass(frozen=True)
class _Builder:
    system: System
    accuracy: int

    def term(self, term: Term) -> SchemeTerm:
        key = [0] * self.system.dimension
        for factor in term.factors():
            for axis, order in enumerate(factor.derivative):
                key[axis] += order
        outer = self._product(term.outer)
        if term.inner is None or term.axis is None:
            return NodeTerm(outer, tuple(key))
        key[term.axis] += 1
        inner = self._flux(term.inner, term.axis)
        return FluxTerm(outer, term.axis, inner, key=tuple(key))

    def _product(self, product: Product) -> SchemeProduct:
        factors = tuple(
            StencilUse(
                f.field, f.index, stencils.for_derivative(f.derivative, self.accuracy), f.function
            )
            for f in product.factors
        )
        return SchemeProduct(product.prefactor, product.coefficients, factors)

    def _flux(self, product: Product, axis: int) -> SchemeProduct:
        factors = tuple(self._face_factor(f, axis) for f in product.factors)
        return SchemeProduct(product.prefactor, product.coefficients, factors)

    def _face_factor(self, factor: FieldUse, axis: int) -> StencilUse:
        dimension = self.system.dimension
        order = factor.derivative[axis]
        if order % 2 == 0 or factor.function is not None:
            stencil = stencils.for_derivative(factor.derivative, 2)
            return StencilUse(factor.field, factor.index, stencil, factor.function)
        rest = tuple(0 if a == axis else o for a, o in enumerate(factor.derivative))
        stencil = stencils.staggered(order, 2, 1, axis, dimension)
        if any(rest):
            stencil = stencil @ stencils.for_derivative(rest, 2)
        return StencilUse(factor.field, factor.index, stencil, at_face=True)


def _width(equations: Iterable[Iterable[SchemeTerm]], dimension: int) -> tuple[int, ...]:
    """Return how far all stencils reach along each axis."""
    width = [0] * dimension
    for terms in equations:
        for term in terms:
            factors = [factor for product in term.products for factor in product.factors]
            reaches = [pair for f in factors for pair in enumerate(f.stencil.radius)]
            if isinstance(term, FluxTerm):
                reaches += [(term.axis, max(map(abs, term.reach(f)))) for f in term.inner.factors]
                # Fields at a point, from which both faces of a node are made.
                reaches.append((term.axis, max(1 - term.rule.first, term.rule.last)))
            for axis, reach in reaches:
                width[axis] = max(width[axis], reach)
    return tuple(width)


def _degree(system: System, name: str, axis: int) -> int:
    """Return the degree of extrapolation at a free end: one above the highest derivative there."""
    highest = 1
    for _, term in system.terms():
        for product in term.products:
            for factor in product.factors:
                flux = 1 if product is term.inner and axis == term.axis else 0
                if factor.field == name:
                    highest = max(highest, factor.derivative[axis] + flux)
    return highest + 1


def _check_depth(domain: Domain, name: str, axis: int, ends: tuple[End, End]) -> None:
    for one in ends:
        rule = one.closure
        if isinstance(rule, Rule) and rule.depth > domain.points[axis]:
            free = isinstance(one.condition, Free)
            what = "one-sided differences" if free else "the closure"
            raise GridError(
                f"{what} of field {name!r} need {rule.depth} nodes along {domain.axes[axis]}; got "
                f"{domain.points[axis]}; refine the grid"
            )
