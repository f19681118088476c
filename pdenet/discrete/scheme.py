"""Scheme: the waist. A system in which every derivative has been replaced by a stencil.

The simulator and the network read the same `Scheme`; neither derives a stencil of its own. It is
frozen data that names parameters and boundary values and holds none, so that it can be compared and
hashed. With u the state and h, dt the steps, a term is

    prefactor · Π coefficients · Π (stencil field)                               at the nodes, or
    prefactor · Π coefficients · Π (stencil field) · (F_{i+½} − F_{i−½})/h        in divergence form

with F = (mean over both sides of the face of what stands at nodes) · Π (differences at the face).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import sympy as sp

from pdenet.checks import check_choice
from pdenet.discrete import stencils
from pdenet.discrete.advection import AbsoluteMatrix, advection
from pdenet.discrete.boundary import Boundary, Condition, Free, resolve, without_value
from pdenet.discrete.closure import Closure, Rule, closure
from pdenet.discrete.domain import Domain
from pdenet.discrete.grid import Grid
from pdenet.discrete.stencils import Stencil
from pdenet.discrete.steppers import Splitting, Stepper
from pdenet.equation.symbols import SPACE
from pdenet.equation.system import FREE_INDEX, CoefficientUse, FieldUse, Product, System, Term
from pdenet.errors import GridError, SchemeError

ACCURACY = {"central2": 2, "central4": 4, "central6": 6}
SPACES = ("auto", *ACCURACY, "nine_point", "upwind", "lax_friedrichs")

DT = sp.Symbol("_dt", real=True)
"""The time step, where a prefactor depends on it (Lax–Friedrichs)."""

SPACING = {axis: sp.Symbol(f"_h_{axis}", real=True, positive=True) for axis in SPACE}
"""The spacings, where a prefactor depends on them (upwind)."""


@dataclass(frozen=True)
class StencilUse:
    """A field, or one component of it, under a stencil.

    Attributes:
        field: the field's name.
        index: the component's index, None for a scalar field.
        stencil: the stencil; at a face its offsets count from the node on the face's low side.
        function: f of a factor f(u_j), an expression in `pdenet.equation.system.ARGUMENT`.
        at_face: inside a flux: a difference at the face, not a value at nodes to be averaged.
    """

    field: str
    index: str | None
    stencil: Stencil
    function: sp.Expr | None = None
    at_face: bool = False


@dataclass(frozen=True)
class SchemeProduct:
    """prefactor · Π coefficients · Π factors, as `Product` with stencils for derivatives."""

    prefactor: sp.Expr
    coefficients: tuple[CoefficientUse, ...] = ()
    factors: tuple[StencilUse, ...] = ()


@dataclass(frozen=True)
class SchemeTerm:
    """A term of a right side; with `axis`, `inner` is the flux and `outer` stands before it.

    Attributes:
        outer: the product at the nodes.
        axis: the axis of the flux difference, in coordinate order; None without flux.
        inner: the flux; None without.
        key: what the order of summation follows; see `summation_groups`.
    """

    outer: SchemeProduct
    axis: int | None = None
    inner: SchemeProduct | None = None
    key: tuple[int, ...] = ()

    @property
    def products(self) -> tuple[SchemeProduct, ...]:
        """The product outside and, where there is a flux, the one inside."""
        return (self.outer,) if self.inner is None else (self.outer, self.inner)


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


def summation_groups(terms: Iterable[SchemeTerm]) -> tuple[tuple[tuple[SchemeTerm, ...], ...], ...]:
    """Return terms in the order in which they are summed.

    A group holds the terms with the same orders of derivatives, whatever the axes; inside, those
    along the same axes stand together. Summing inside out, swapping two axes swaps two summands,
    which changes no bit: the two second derivatives of a Laplacian form one group of two.
    """
    groups: dict[tuple[int, ...], dict[tuple[int, ...], list[SchemeTerm]]] = {}
    for term in terms:
        orders = tuple(sorted(term.key, reverse=True))
        groups.setdefault(orders, {}).setdefault(term.key, []).append(term)
    return tuple(tuple(tuple(t) for t in by_axes.values()) for by_axes in groups.values())


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
    """The same, for conditions that are resolved; their values do not matter."""
    check_choice("space", space, SPACES[1:], SchemeError)
    if isinstance(stepper, Splitting) and not system.is_splittable:
        raise SchemeError(
            f"{stepper.name} advances u and u_t by turns, for u_tt = F(t, u) with F free of u_t; "
            f"got a system in {', '.join(system.field_names)} that is not of that form; "
            'use stepper="rk4"'
        )
    spacing = domain.spacing
    builder = _Builder(system, ACCURACY.get(space, 2))
    equations = [[builder.term(t) for t in terms] for terms in system.equations]
    derived: tuple[AbsoluteMatrix, ...] = ()
    if space == "nine_point":
        equations = [_nine_point(terms, system, spacing) for terms in equations]
    if space == "upwind":
        derived = _add_upwind(system, equations)
    if space == "lax_friedrichs":
        _add_lax_friedrichs(system, stepper, equations)
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
            return SchemeTerm(outer, key=tuple(key))
        key[term.axis] += 1
        inner = self._flux(term.inner, term.axis)
        return SchemeTerm(outer, term.axis, inner, tuple(key))

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


def _nine_point(
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
    if term.inner is not None or len(places) != 1:
        return None
    factors = list(term.outer.factors)
    factors[places[0]] = replace(factors[places[0]], stencil=new)
    return replace(term, outer=replace(term.outer, factors=tuple(factors)))


def _add_upwind(system: System, equations: list[list[SchemeTerm]]) -> tuple[AbsoluteMatrix, ...]:
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
                terms.append(SchemeTerm(SchemeProduct(speed * half, uses, (factor,)), key=key))
            if found.flux_speed[row] != 0:
                factor = StencilUse(info.name, None, face, at_face=True)
                inner = SchemeProduct(sp.Abs(found.flux_speed[row]) * half, (), (factor,))
                terms.append(SchemeTerm(SchemeProduct(sp.S.One), axis, inner, key))
    return tuple(derived)


def _add_lax_friedrichs(
    system: System, stepper: Stepper, equations: list[list[SchemeTerm]]
) -> None:
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
        terms.append(SchemeTerm(SchemeProduct(1 / DT, (), (factor,)), key=(2,) * dimension))


def _width(equations: Iterable[Iterable[SchemeTerm]], dimension: int) -> tuple[int, ...]:
    """Return how far all stencils reach along each axis."""
    width = [0] * dimension
    for terms in equations:
        for term in terms:
            for product in term.products:
                inside = product is term.inner
                for factor in product.factors:
                    for axis in range(dimension):
                        steps = [o[axis] for o in factor.stencil.offsets]
                        if inside and axis == term.axis:
                            # at the face i − ½ all offsets count from node i − 1
                            more = 0 if factor.at_face else 1
                            steps += [min(steps) - 1, max(steps) + more]
                        width[axis] = max(width[axis], *(abs(s) for s in steps))
            if term.axis is not None:
                width[term.axis] = max(width[term.axis], 1)  # pointwise fields in the flux
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
