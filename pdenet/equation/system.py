"""System: the canonical first-order form ∂u/∂t = sum of terms, as frozen data.

Every equation of the language becomes one `System`; algebraically equal equations become equal
ones. A term is

    prefactor · Π coefficients · Π factors                        or
    prefactor · Π coefficients · Π factors · ∂_a( prefactor · Π coefficients · Π factors )

where a prefactor is a SymPy expression in coordinates, parameters and undifferentiated scalar
fields, all of them plain real symbols, and in coefficient functions c(x, y); a coefficient is a
named tensor with indices; a factor is a field (or a component of one) under a space derivative.
The index "i" is free; all others are summed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import sympy as sp

from pdenet.equation.symbols import (
    TIME,
    Component,
    D,
    Entry,
    Index,
    canonical_symbol,
)

FREE_INDEX = "i"


@dataclass(frozen=True)
class Parameter:
    """A name that `values=` fills in.

    Attributes:
        name: its name.
        kind: "scalar", "function" (of some space coordinates), "tensor" or "size".
        shape: the sizes of a tensor, else ().
        arguments: the coordinates that a function depends on, else ().
        default: the value that is used when none is given, or None.
        unit: its unit, or "dimensionless".
        description: what it means, in a few words.
    """

    name: str
    kind: str
    shape: tuple[sp.Expr, ...] = ()
    arguments: tuple[str, ...] = ()
    default: object = field(default=None, compare=False)
    unit: str = field(default="dimensionless", compare=False)
    description: str = field(default="", compare=False)


@dataclass(frozen=True)
class FieldInfo:
    """A field of the first-order system.

    Attributes:
        name: its name.
        size: the number of components of a vector field; None for a scalar field.
        rate_of: for a generated field such as "u_t", the field whose time derivative it is.
    """

    name: str
    size: sp.Expr | None = None
    rate_of: str | None = None


@dataclass(frozen=True)
class CoefficientUse:
    """A coefficient tensor with its indices, A_ij."""

    name: str
    indices: tuple[str, ...]


@dataclass(frozen=True)
class FieldUse:
    """A field, or one component of it, under a space derivative and, at most, one function.

    Attributes:
        field: the field's name.
        index: the component's index, None for a scalar field.
        derivative: the order along each axis, in coordinate order; all zero for the field itself.
        function: f of a factor f(u_j), an expression in the symbol `ARGUMENT`; None for the
            identity.
    """

    field: str
    index: str | None
    derivative: tuple[int, ...]
    function: sp.Expr | None = None


ARGUMENT = sp.Symbol("_argument", real=True)


@dataclass(frozen=True)
class Product:
    """prefactor · Π coefficients · Π factors."""

    prefactor: sp.Expr
    coefficients: tuple[CoefficientUse, ...] = ()
    factors: tuple[FieldUse, ...] = ()

    def indices(self) -> tuple[str, ...]:
        """Return all indices, in order of appearance."""
        found: dict[str, None] = {}
        for coefficient in self.coefficients:
            found.update(dict.fromkeys(coefficient.indices))
        for factor in self.factors:
            if factor.index is not None:
                found[factor.index] = None
        return tuple(found)


ONE = Product(sp.S.One)


@dataclass(frozen=True)
class Term:
    """A product, or a product times the derivative of one along `axis` in divergence form.

    Attributes:
        outer: the product outside; for a term without flux, all of it.
        axis: the axis of the divergence, in coordinate order; None without flux.
        inner: the product under the derivative; None without flux.
    """

    outer: Product
    axis: int | None = None
    inner: Product | None = None

    @property
    def products(self) -> tuple[Product, ...]:
        """The product outside and, where there is a flux, the one inside."""
        return (self.outer,) if self.inner is None else (self.outer, self.inner)

    def indices(self) -> tuple[str, ...]:
        """Return all indices, outside and inside, in order of appearance."""
        return tuple(dict.fromkeys(i for product in self.products for i in product.indices()))

    def summed(self) -> tuple[str, ...]:
        """Return the summed indices."""
        return tuple(i for i in self.indices() if i != FREE_INDEX)

    def factors(self) -> tuple[FieldUse, ...]:
        """Return the factors outside and inside."""
        return tuple(f for product in self.products for f in product.factors)

    def coefficients(self) -> tuple[CoefficientUse, ...]:
        """Return the coefficients outside and inside."""
        return tuple(c for product in self.products for c in product.coefficients)


@dataclass(frozen=True)
class System:
    """∂u_f/∂t = Σ terms, for every field f, in canonical form.

    Attributes:
        axes: the space coordinates, ("x",), ("x", "y") or ("x", "y", "z").
        fields: the fields of the first-order system, generated ones included.
        equations: the terms of each field's right side, in the order of `fields`.
        parameters: everything that `values=` fills in, sorted by name.
    """

    axes: tuple[str, ...]
    fields: tuple[FieldInfo, ...]
    equations: tuple[tuple[Term, ...], ...]
    parameters: tuple[Parameter, ...]

    @property
    def dimension(self) -> int:
        """The number of space dimensions."""
        return len(self.axes)

    @property
    def field_names(self) -> tuple[str, ...]:
        """The names of the fields."""
        return tuple(f.name for f in self.fields)

    @property
    def has_vectors(self) -> bool:
        """Tell whether some field is an opaque vector field."""
        return any(f.size is not None for f in self.fields)

    @property
    def written(self) -> tuple[str, ...]:
        """The names of the fields that the equations were written in, without generated ones."""
        return tuple(f.name for f in self.fields if f.rate_of is None)

    @property
    def rates(self) -> dict[str, str]:
        """For each field of second order in time the field that is its rate, {"u": "u_t"}."""
        return {f.rate_of: f.name for f in self.fields if f.rate_of is not None}

    @property
    def is_splittable(self) -> bool:
        """Tell whether the fields are pairs (u, u_t) with u_tt = F(t, u) free of u_t."""
        rates = set(self.rates.values())
        forces = [term for info, term in self.terms() if info.name in rates]
        names = {f.field for term in forces for f in term.factors()}
        for product in (p for term in forces for p in term.products):
            names |= {s.name for s in product.prefactor.free_symbols}
        return 2 * len(rates) == len(self.fields) and not names & rates

    def field(self, name: str) -> FieldInfo:
        """Return the field of that name."""
        return self.fields[self.field_names.index(name)]

    def parameter(self, name: str) -> Parameter:
        """Return the parameter of that name."""
        return next(p for p in self.parameters if p.name == name)

    def terms(self) -> Iterator[tuple[FieldInfo, Term]]:
        """Go through all terms with the field whose equation they stand in."""
        for info, terms in zip(self.fields, self.equations, strict=True):
            for term in terms:
                yield info, term

    def index_range(self, term: Term, index: str, target: FieldInfo) -> sp.Expr:
        """Return the size over which `index` runs in `term`."""
        for use in term.coefficients():
            for name, size in zip(use.indices, self.parameter(use.name).shape, strict=True):
                if name == index:
                    return size
        for factor in term.factors():
            if factor.index == index:
                size = self.field(factor.field).size
                assert size is not None
                return size
        assert index == FREE_INDEX
        assert target.size is not None
        return target.size

    def symbol(self, name: str, index: str | None = None) -> sp.Expr:
        """Return the SymPy field u(t, x, …), or component u[i], of that name."""
        coords = [canonical_symbol(c) for c in (TIME, *self.axes)]
        info = self.field(name)
        if info.size is None:
            return sp.Function(name)(*coords)
        return Component(canonical_symbol(name), info.size, Index(index or FREE_INDEX), *coords)

    def expression(self, term: Term) -> sp.Expr:
        """Return a term as a SymPy expression in fields and derivatives; `D` stands for fluxes."""
        made = self._product(term.outer)
        if term.inner is not None and term.axis is not None:
            made *= D(self._product(term.inner), canonical_symbol(self.axes[term.axis]))
        return made

    def right_side(self, name: str) -> sp.Expr:
        """Return the right side of one field's equation as a SymPy expression."""
        terms = self.equations[self.field_names.index(name)]
        return sp.Add(*(self.expression(term) for term in terms))

    def _product(self, product: Product) -> sp.Expr:
        scalars = {
            canonical_symbol(f.name): self.symbol(f.name) for f in self.fields if f.size is None
        }
        parts = [product.prefactor.xreplace(scalars)]
        for use in product.coefficients:
            shape = sp.Tuple(*self.parameter(use.name).shape)
            parts.append(Entry(canonical_symbol(use.name), shape, *map(Index, use.indices)))
        for factor in product.factors:
            one = self.symbol(factor.field, factor.index)
            for axis, order in zip(self.axes, factor.derivative, strict=True):
                if order:
                    one = sp.Derivative(one, (canonical_symbol(axis), order))
            if factor.function is not None:
                one = factor.function.xreplace({ARGUMENT: one})
            parts.append(one)
        return sp.Mul(*parts)
