"""Writing out: a System, with or without values, as a JetSystem.

Vector fields become components where sizes and tensors are numbers; until then a system is a
family of equations, and has no jets.
"""

from __future__ import annotations

import itertools
import numbers
from collections.abc import Iterator, Mapping
from typing import Any  # values are numbers, arrays, tensors or expressions

import numpy as np
import sympy as sp
from sympy.core.function import AppliedUndef

from pdenet.equation.canonical import expand
from pdenet.equation.functions import to_canonical
from pdenet.equation.names import key_name
from pdenet.equation.symbols import TIME, canonical_symbol
from pdenet.equation.system import (
    ARGUMENT,
    FREE_INDEX,
    FieldInfo,
    FieldUse,
    Product,
    System,
    Term,
)
from pdenet.equation.values import as_numpy, is_tensor
from pdenet.errors import EquationError, SymmetryError, suggest
from pdenet.symmetry.equation.jets import JetSystem, normal

MAX_PRODUCTS = 50_000
"""How many products a system may have when its sums are written out, some seconds of work."""


def is_family(system: System, values: Mapping[Any, Any] | None = None) -> bool:
    """Tell whether sizes or tensors are left open, so that the system stands for a family.

    Raises:
        SymmetryError: a value is of the wrong kind, or there is no parameter of its name.
    """
    are_known = _sizes_are_known(system, values)  # first, as it reads the values and their names
    given = {key_name(k) for k in values or {}}
    has_open = any(p.kind == "tensor" and p.name not in given for p in system.parameters)
    return has_open or not are_known


def jet_system(system: System, values: Mapping[Any, Any] | None = None) -> JetSystem:
    """Write a system in jet coordinates.

    Args:
        system: a system in canonical form.
        values: numbers or expressions for parameters; decimals are read as the rationals they are
            written as. What is left out stays a symbol. Defaults are not used.

    Raises:
        SymmetryError: a value is of the wrong kind, sizes or tensors are left open, or the written
            out sums are too long.

    Example:
        >>> from pdenet.equation.catalogue import catalogue
        >>> jets = jet_system(catalogue.build("burgers_1d", form="divergence").system)
        >>> jets.components, jets.order()
        (('u',), 2)
    """
    return _Writer(system, values).write()


def _sizes_are_known(system: System, values: Mapping[Any, Any] | None) -> bool:
    writer = _Writer(system, values)
    sizes = [f.size for f in system.fields if f.size is not None]
    sizes += [s for p in system.parameters for s in p.shape]
    return all(s.free_symbols <= set(writer.sizes) for s in sizes)


class _Writer:
    """Writes out the terms of a system; see `jet_system`."""

    def __init__(self, system: System, values: Mapping[Any, Any] | None) -> None:
        self.system = system
        self.known = {p.name: p for p in system.parameters}
        self.scalars: dict[sp.Symbol, sp.Expr] = {}
        self.functions: dict[str, sp.Expr] = {}
        self.tensors: dict[str, np.ndarray] = {}
        self.sizes: dict[sp.Symbol, sp.Integer] = {}
        for key, value in (values or {}).items():
            self._read(key_name(key), value)

    def _read(self, name: str, value: Any) -> None:
        if name not in self.known:
            raise SymmetryError(
                f"the parameters are {', '.join(self.known) or 'none'}; got a value for {name!r}."
                f"{suggest(name, self.known)}"
            )
        parameter = self.known[name]
        if parameter.kind == "size":
            size = _exact(value, name, ())
            if not size.is_Integer or size < 1:
                raise SymmetryError(
                    f"{name} is a positive integer, a number of components; got {value}; give one"
                )
            self.sizes[_size_symbol(name)] = size
        elif parameter.kind == "tensor":
            array = as_numpy(value) if is_tensor(value) else np.array(_listed(value), dtype=object)
            if array.ndim != len(parameter.shape):
                raise SymmetryError(
                    f"coefficient {name!r} has {len(parameter.shape)} indices; got an array of "
                    f"shape {array.shape}; give numbers, or expressions where it varies in space"
                )
            if array.size == 0:
                raise SymmetryError(
                    f"coefficient {name!r} has at least one entry; got an array of shape "
                    f"{array.shape}; give its entries, or leave it open"
                )
            if array.size > MAX_PRODUCTS:
                raise SymmetryError(
                    f"coefficients of at most {MAX_PRODUCTS} entries are written out; got "
                    f"{array.size} in {name!r}; use fewer components"
                )
            allowed = [TIME, *self.system.axes, *self._scalar_names()]
            made = np.empty(array.shape, dtype=object)
            for place in np.ndindex(array.shape):
                made[place] = _exact(array[place], name, allowed)
            self.tensors[name] = made
            for size, actual in zip(parameter.shape, array.shape, strict=True):
                if size.is_Symbol:
                    self.sizes.setdefault(size, sp.Integer(actual))
        elif parameter.kind == "function":
            allowed = [*parameter.arguments, *self._scalar_names()]
            self.functions[name] = _exact(value, name, allowed)
        else:
            self.scalars[canonical_symbol(name)] = _exact(value, name, self._scalar_names())

    def _scalar_names(self) -> list[str]:
        return [p.name for p in self.system.parameters if p.kind == "scalar"]

    def size(self, expr: sp.Expr) -> int:
        made = expr.xreplace(self.sizes)
        if not made.is_Integer:
            raise SymmetryError(
                f"the components are written out where their number is known; got the size {expr}; "
                f"give values={{'{min(str(s) for s in made.free_symbols)}': …}} and the tensors"
            )
        return int(made)

    def write(self) -> JetSystem:
        """Return the system in jets."""
        for name, array in self.tensors.items():
            shape = tuple(map(self.size, self.known[name].shape))
            if array.shape != shape:
                raise SymmetryError(
                    f"coefficient {name!r} has the shape {shape}, as the sizes agree; got "
                    f"{array.shape}; make the arrays agree"
                )
        names: list[str] = []
        rates: list[int | None] = []
        self.starts: dict[str, int] = {}
        for info in self.system.fields:
            self.starts[info.name] = len(names)
            count = 1 if info.size is None else self.size(info.size)
            for k in range(count):
                names.append(info.name if info.size is None else f"{info.name}[{k}]")
                rates.append(None if info.rate_of is None else self.starts[info.rate_of] + k)
        self.jets = JetSystem(self.system.axes, tuple(names), tuple(rates), (), {})
        rights: list[sp.Expr] = []
        for info, terms in zip(self.system.fields, self.system.equations, strict=True):
            for k in range(1 if info.size is None else self.size(info.size)):
                parts = [p for term in terms for p in self._term(info, term, k)]
                rights.append(normal(sp.Add(*parts)))
        made = JetSystem(
            self.system.axes,
            tuple(names),
            tuple(rates),
            tuple(rights),
            self.jets._jets,
            self.jets._places,
        )
        for j in range(made.num_components):
            made.jet(j, made.zero)
        return made

    def _term(self, info: FieldInfo, term: Term, row: int) -> Iterator[sp.Expr]:
        summed = [i for i in term.indices() if i != FREE_INDEX or info.size is None]
        ranges = [range(self.size(self.system.index_range(term, i, info))) for i in summed]
        count = 1 if info.size is None else self.size(info.size)
        if count * int(np.prod([len(r) for r in ranges], dtype=np.int64)) > MAX_PRODUCTS:
            raise SymmetryError(
                f"sums of at most {MAX_PRODUCTS} products are written out; got "
                f"{' × '.join(map(str, (count, *map(len, ranges))))} in "
                f"{self.system.expression(term)}; use fewer components"
            )
        for chosen in itertools.product(*ranges):
            at = {FREE_INDEX: row, **dict(zip(summed, chosen, strict=True))}
            outer = self._product(term.outer, at)
            if outer == 0 or term.inner is None or term.axis is None:
                yield outer
                continue
            inner = self._product(term.inner, at)
            if inner != 0:
                yield outer * self.jets.total_derivative(inner, term.axis)

    def _product(self, product: Product, at: Mapping[str, int]) -> sp.Expr:
        made = [self._prefactor(product.prefactor)]
        for use in product.coefficients:
            if use.name not in self.tensors:
                raise SymmetryError(
                    "a system is written out where its tensors are numbers; got none for "
                    f"{use.name}; give values={{{use.name!r}: …}}"
                )
            entry = self.tensors[use.name][tuple(at[i] for i in use.indices)]
            if entry == 0:
                return sp.S.Zero
            made.append(entry)
        made += [self._factor(factor, at) for factor in product.factors]
        return sp.Mul(*made)

    def _factor(self, factor: FieldUse, at: Mapping[str, int]) -> sp.Expr:
        offset = 0 if factor.index is None else at[factor.index]
        jet = self.jets.jet(self.starts[factor.field] + offset, factor.derivative)
        return jet if factor.function is None else factor.function.xreplace({ARGUMENT: jet})

    def _prefactor(self, expr: sp.Expr) -> sp.Expr:
        functions = {
            f: self.functions[f.func.__name__]
            for f in expr.atoms(AppliedUndef)
            if f.func.__name__ in self.functions
        }
        if functions:
            expr = expr.xreplace(functions).doit()  # a derivative of what was put in
        fields = {
            canonical_symbol(f.name): self.jets.jet(self.starts[f.name], self.jets.zero)
            for f in self.system.fields
            if f.size is None
        }
        return expr.xreplace({**self.scalars, **fields})


def _size_symbol(name: str) -> sp.Symbol:
    return sp.Symbol(name, integer=True, positive=True)


def _listed(value: Any) -> Any:
    return value.tolist() if isinstance(value, sp.MatrixBase | sp.NDimArray) else value


def _exact(value: Any, name: str, allowed: Any) -> sp.Expr:
    """Return a number as the rational it is written as, or an expression in canonical symbols."""
    if is_tensor(value) and value.ndim == 0:
        value = float(value.detach())
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, sp.Expr):
        try:
            return expand(to_canonical(value, f"the value of {name!r}", list(allowed)))
        except EquationError as error:
            raise SymmetryError(str(error)) from error
    if isinstance(value, numbers.Rational) and not isinstance(value, bool):
        return sp.Rational(int(value.numerator), int(value.denominator))
    if isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_):
        number = float(value)
        if np.isfinite(number):
            return sp.Rational(repr(number))
    raise SymmetryError(
        f"the value of {name!r} is a finite number or an expression; got {str(value)[:60]!r} "
        f"({type(value).__name__}); an array over the grid has no formula: give one"
    )
