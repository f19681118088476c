"""Program: a Scheme evaluated over arrays, one right side and one step at a time.

The same few lines serve NumPy and torch; what differs between them is in `Arrays`. A state has the
shape `(component, …, *space)`, where … is nothing, or the batch on the torch back end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any  # prefactors are floats, arrays or tensors

import numpy as np
import opt_einsum
import sympy as sp

from pdenet.discrete import environment, fluxes
from pdenet.discrete.arrays import Array, Arrays
from pdenet.discrete.scheme import Scheme
from pdenet.discrete.stencils import Stencil, apply, identity
from pdenet.discrete.terms import DT, FluxTerm, SchemeProduct, SchemeTerm, summation_groups
from pdenet.discrete.walls import Walls
from pdenet.equation.functions import compile_expression, plain, symbol_names
from pdenet.equation.symbols import TIME, canonical_symbol
from pdenet.equation.system import FREE_INDEX, CoefficientUse, FieldInfo
from pdenet.equation.values import Values


class Program:
    """Evaluates right sides and steps of a scheme.

    Args:
        scheme: the scheme.
        values: the values of its parameters.
        arrays: the back end.
    """

    def __init__(self, scheme: Scheme, values: Values, arrays: Arrays) -> None:
        self.scheme = scheme
        self.values = values
        self.arrays = arrays
        self.dimension = scheme.domain.dimension
        self.slices = values.slices
        self.walls = Walls(scheme, values, arrays)
        velocities = frozenset(scheme.system.rates.values())
        self._turns = (frozenset(self.slices) - velocities, velocities)
        self._groups = [summation_groups(terms) for terms in scheme.equations]
        self._expressions: dict[object, Callable[..., Array]] = {}
        self._compiled: dict[sp.Expr, tuple[Callable[..., Any], tuple[str, ...]]] = {}
        self.prepare()

    def prepare(self) -> None:
        """Read the parameters anew; needed where gradients flow into them, once a run."""
        if hasattr(self, "_numbers") and not self.arrays.has_gradients(self.values):
            return
        numbers, self._tensors = self.arrays.parameters(self.scheme, self.values)
        coordinates = environment.coordinates(self.scheme.domain, 0.0)
        del coordinates[TIME]
        self._numbers = numbers
        self._coordinates = {k: self.arrays.asarray(v) for k, v in coordinates.items()}
        self._static: dict[object, Any] = {}
        self.walls.prepare(self._numbers)

    # -- one step ---------------------------------------------------------------------------------

    def step(self, state: Array, t: float, dt: float) -> Array:
        """Return the state one step later; Dirichlet nodes are set at every stage."""
        return self.scheme.stepper.step(self, self._turns, state, t, dt)

    def moved(
        self,
        state: Array,
        slopes: Sequence[Mapping[str, Array]],
        weights: Sequence[Fraction | float],
        dt: float,
    ) -> Array:
        """Return state + dt Σ weight · slope, in a new array, for the fields the slopes name."""
        made = self.arrays.copy(state)
        for name in slopes[0]:
            place = self.slices[name]
            change: Array = None
            for weight, slope in zip(weights, slopes, strict=True):
                if weight:
                    part = slope[name] if weight == 1 else float(weight) * slope[name]
                    change = part if change is None else change + part
            made[place] = made[place] + dt * change
        return made

    def impose(
        self,
        state: Array,
        t: float,
        only: frozenset[str] | None = None,
        start: float | None = None,
        slopes: Sequence[tuple[float, float]] = (),
    ) -> Array:
        """Set the Dirichlet nodes of `state`, in place; return it. See `Walls.impose`."""
        for name, place in self.slices.items():
            if only is None or name in only:
                self.walls.impose(name, state[place], t, start, slopes)
        return state

    # -- right sides ------------------------------------------------------------------------------

    def rates(
        self, state: Array, t: float, dt: float, only: frozenset[str] | None = None
    ) -> dict[str, Array]:
        """Return ∂u/∂t for each field, shape `(component, …, *space)`."""
        moment = _Moment(self, state, t, dt)
        made: dict[str, Array] = {}
        for info, groups in zip(self.scheme.system.fields, self._groups, strict=True):
            if only is None or info.name in only:
                made[info.name] = self._sum(moment, info, groups, state[self.slices[info.name]])
        return made

    def _sum(
        self,
        moment: _Moment,
        info: FieldInfo,
        groups: tuple[tuple[tuple[SchemeTerm, ...], ...], ...],
        like: Array,
    ) -> Array:
        total: Array = None
        for group in groups:
            of_group: Array = None
            for terms in group:
                of_axes: Array = None
                for term in terms:
                    value = moment.term(term, info)
                    of_axes = value if of_axes is None else of_axes + value
                of_group = of_axes if of_group is None else of_group + of_axes
            total = of_group if total is None else total + of_group
        return 0.0 * like if total is None else self.arrays.broadcast(total, like.shape)

    def compiled(self, expr: sp.Expr) -> tuple[Callable[..., Any], tuple[str, ...]]:
        """Return the function of an expression and the names of its arguments."""
        if expr not in self._compiled:
            names = tuple(sorted(symbol_names(expr)))
            made = compile_expression(plain(expr), names, self.arrays.functions)
            self._compiled[expr] = (made, names)
        return self._compiled[expr]

    def contract(self, operands: Sequence[Array], labels: Sequence[str], output: str) -> Array:
        """Return the sum over all labels but the output's, in the cheapest order."""
        subscripts = ",".join(labels) + "->" + output
        shapes = tuple(tuple(o.shape) for o in operands)
        key = (subscripts, shapes)
        if key not in self._expressions:
            self._expressions[key] = opt_einsum.contract_expression(subscripts, *shapes)
        return self._expressions[key](*operands)


class _Moment:
    """The fields at one stage: padded once, each stencil applied once."""

    def __init__(self, program: Program, state: Array, t: float, dt: float) -> None:
        self.program = program
        self.t, self.dt = t, dt
        system = program.scheme.system
        self.fields = {
            f.name: state[program.slices[f.name]]
            if f.size is not None
            else state[program.slices[f.name]][0]
            for f in system.fields
        }
        self._padded: dict[str, Array] = {}
        self._differences: dict[object, Array] = {}

    def term(self, term: SchemeTerm, info: FieldInfo) -> Array:
        """Return a term, shape `(component, …, *space)`."""
        free = FREE_INDEX if info.size is not None else ""
        if isinstance(term, FluxTerm):
            flux = self._flux(term, term.outer.indices | set(free))
            value = self._product(term.outer, free, None, [flux])
        else:
            value = self._product(term.outer, free, None, [])
        if info.size is None:
            return value[None] if _ndim(value) else value
        return value

    def _flux(self, term: FluxTerm, outside: set[str]) -> tuple[Array, str]:
        """Return (F_{i+½} − F_{i−½})/h and the labels of its leading axes."""
        axis, faces = term.axis, term.faces
        at_face = {f.index for f in faces if f.index is not None}
        kept = "".join(sorted(term.nodes.indices & (outside | at_face)))
        flux = self._product(term.nodes, kept, axis, [])
        place = -(axis + 1)
        if _ndim(flux):
            flux = term.rule.values(flux, place)
        output = "".join(sorted((set(kept) | at_face) & outside))
        parts = [(self._difference(f.field, f.stencil, axis, at_face=True), f.index) for f in faces]
        flux = self._multiply(flux, kept, [(a, i or "") for a, i in parts], output)
        if not _ndim(flux) or flux.shape[place] == 1:
            return 0.0 * flux, output  # the divergence of a constant flux
        spacing = self.program.scheme.domain.spacing[axis]
        return fluxes.divergence(flux, place, spacing), output

    def _product(
        self,
        product: SchemeProduct,
        output: str,
        extended: int | None,
        more: list[tuple[Array, str]],
    ) -> Array:
        """Return prefactor · Π coefficients · Π factors; `extended` adds a node at both ends."""
        parts = list(more)
        parts += [self._coefficient(use, extended) for use in product.coefficients]
        for factor in product.factors:
            value = self._difference(factor.field, factor.stencil, extended)
            if factor.function is not None:
                made, names = self.program.compiled(factor.function)
                value = made(*(value for _ in names))
            parts.append((value, factor.index or ""))
        prefactor = self._prefactor(product.prefactor, extended)
        return self._multiply(prefactor, "", parts, output)

    def _multiply(
        self, first: Any, label: str, parts: list[tuple[Array, str]], output: str
    ) -> Array:
        """Multiply and sum; labels are those of the leading axes."""
        if not label and not output and not any(names for _, names in parts):
            for value, _ in parts:
                first = value if isinstance(first, float) and first == 1.0 else first * value
            return first
        scalars = [v for v, names in parts if not names]
        labelled = [(v, names) for v, names in parts if names]
        if label:
            labelled.insert(0, (first, label))
            first = 1.0
        for value in scalars:
            first = value if isinstance(first, float) and first == 1.0 else first * value
        if not labelled:
            return first
        if len(labelled) == 1 and labelled[0][1] == output:
            made = labelled[0][0]
        else:
            arrays = [value for value, _ in labelled]
            labels = [n if v.ndim == len(n) else n + "..." for v, n in labelled]
            made = self.program.contract(arrays, labels, output + "...")
        if made.ndim == len(output):  # constant in space
            made = made.reshape((*made.shape, *(1,) * self.program.dimension))
        return made if isinstance(first, float) and first == 1.0 else first * made

    def _coefficient(self, use: CoefficientUse, extended: int | None) -> tuple[Array, str]:
        tensor = self.program._tensors[use.name]
        rank = len(use.indices)
        if isinstance(tensor, np.ndarray) and tensor.dtype == object:
            tensor = self._entries(use.name, tensor)
        if extended is not None and tensor.ndim > rank:
            tensor = self.program.walls.extend(tensor, extended)
        return tensor, "".join(use.indices)

    def _entries(self, name: str, tensor: np.ndarray) -> Array:
        """Evaluate a coefficient whose entries are expressions, shape `(*shape, *space)`."""
        program = self.program
        key = ("entries", name)
        if key in program._static:
            return program._static[key]
        shape = program.scheme.domain.shape
        rows = [
            program.arrays.broadcast(program.arrays.asarray(self._evaluate(e)), shape)
            for e in tensor.flat
        ]
        stacked = program.arrays.concatenate([r[None] for r in rows], -(program.dimension + 1))
        made = stacked.reshape((*tensor.shape, *shape))
        if not any(canonical_symbol(TIME) in e.free_symbols for e in tensor.flat):
            program._static[key] = made
        return made

    def _difference(
        self, name: str, stencil: Stencil, extended: int | None, at_face: bool = False
    ) -> Array:
        """Return a stencil applied to a field; `extended` as for `_product`, faces likewise."""
        if extended is None and not any(stencil.radius):
            return self.fields[name]
        key = (name, stencil, extended, at_face)
        if key not in self._differences:
            padded = self._pad(name)
            scheme = self.program.scheme

            def shifted(offset: tuple[int, ...]) -> Array:
                window = []
                for axis in range(len(offset)):
                    start = scheme.width[axis] + offset[axis]
                    stop = start + scheme.domain.points[axis]
                    if axis == extended:
                        start, stop = start - 1, stop + (0 if at_face else 1)
                    window.append(slice(start, stop))
                return padded[(..., *reversed(window))]

            self._differences[key] = apply(stencil, shifted, stencil.scale(scheme.domain.spacing))
        return self._differences[key]

    def _pad(self, name: str) -> Array:
        if name not in self._padded:
            self._padded[name] = self.program.walls.pad(name, self.fields[name], self.t)
        return self._padded[name]

    def _prefactor(self, expr: sp.Expr, extended: int | None) -> Any:
        """Return a prefactor: a float where it is constant, else an array that broadcasts."""
        program = self.program
        names = program.compiled(expr)[1]
        fields = [n for n in names if n in self.fields]
        static = not fields and TIME not in names and DT.name not in names
        key = (expr, extended)
        if static and key in program._static:
            return program._static[key]
        value = self._evaluate(expr, extended if fields else None)
        if extended is not None and not fields and _ndim(value):
            value = program.walls.extend(value, extended)
        if static:
            program._static[key] = value
        return value

    def _evaluate(self, expr: sp.Expr, extended: int | None = None) -> Any:
        function, names = self.program.compiled(expr)
        value = function(*(self._name(n, extended) for n in names))
        if isinstance(value, int | float | np.number):
            return float(value)
        return self.program.arrays.asarray(value)

    def _name(self, name: str, extended: int | None) -> Any:
        program = self.program
        if name in self.fields:
            if extended is None:
                return self.fields[name]
            return self._difference(name, identity(program.dimension), extended)
        if name == TIME:
            return self.t
        if name == DT.name:
            return self.dt
        if name in program._coordinates:
            if extended is not None and program.scheme.domain.axes[extended] == name:
                return program.walls.extended_nodes(extended, 1)
            return program._coordinates[name]
        value = program._numbers[name]
        if extended is not None and _ndim(value):
            return program.walls.extend(value, extended)
        return value


def _ndim(value: Any) -> int:
    return int(getattr(value, "ndim", 0))
