"""Lowering: from a Scheme to the structure of a block and the first values of its tensors.

It works from the terms alone: it splits prefactors into what is constant and what varies in space,
turns stencils into kernels, and stacks terms of one shape.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations, product
from typing import Any  # values: floats and arrays of NumPy

import numpy as np
import sympy as sp

from pdenet.discrete import environment
from pdenet.discrete.scheme import Scheme
from pdenet.discrete.stencils import Stencil
from pdenet.discrete.structure import (
    Factor,
    Flux,
    Kernel,
    Layer,
    LayerProduct,
    LayerTerm,
    Structure,
    Weight,
)
from pdenet.discrete.terms import FluxTerm, SchemeProduct, SchemeTerm, StencilUse
from pdenet.equation.functions import evaluate, plain, symbol_names
from pdenet.equation.symbols import TIME, canonical_symbol
from pdenet.equation.system import FREE_INDEX
from pdenet.equation.values import Values, as_numpy

# Terms with more weights and factors than this are not stacked: all orders of them are tried.
_MAX_ORDERED = 6


@dataclass
class Lowered:
    """A structure with the first values of its tensors, float64.

    Attributes:
        structure: the structure.
        kernels: the weights of each kernel on unit spacing, array order (z, y, x).
        numbers: the numbers of all terms, shape (num_numbers,).
        symbols: the scalar parameters.
        coefficients: the tensors, shape `(*indices)` or `(*indices, *space)`, and the coefficient
            functions, shape `(*space)` with axes of length 1 where they do not depend on one.
        entries: coefficients whose entries are expressions in t or in symbols.
        maps: the arrays that were computed from coordinates, by names "_map_0" and so on.
        functions: the names among `coefficients` that are coefficient functions.
    """

    structure: Structure
    kernels: list[np.ndarray]
    numbers: np.ndarray
    symbols: dict[str, float]
    coefficients: dict[str, np.ndarray]
    entries: dict[str, np.ndarray]
    maps: dict[str, np.ndarray]
    functions: frozenset[str]


def lower(
    scheme: Scheme, values: Values, fill: Collection[str] = (), *, tabulate: bool = True
) -> Lowered:
    """Turn a scheme into the structure of a block.

    Args:
        scheme: the scheme.
        values: the values of its parameters.
        fill: the coefficient functions that get a value at every node where they are one number.
        tabulate: whether what depends on coordinates alone becomes an array over this grid. Else it
            stays an expression, which serves for all grids.

    Returns:
        The structure and the first values of its tensors.
    """
    return _Lowering(scheme, values, fill, tabulate).lowered()


@dataclass
class _Tables:
    """What is collected on the way."""

    kernels: dict[tuple[Stencil, bool, tuple[int, ...]], int] = field(default_factory=dict)
    named: list[Kernel] = field(default_factory=list)
    weights: list[np.ndarray] = field(default_factory=list)
    numbers: list[float] = field(default_factory=list)
    maps: dict[str, np.ndarray] = field(default_factory=dict)
    nodes: dict[tuple[float, LayerProduct], LayerProduct] = field(default_factory=dict)


class _Lowering:
    def __init__(
        self, scheme: Scheme, values: Values, fill: Collection[str], tabulate: bool
    ) -> None:
        self.scheme = scheme
        self.tabulate = tabulate
        self.values = values
        self.tables = _Tables()
        self.field_names = set(scheme.system.field_names)
        self.symbols: dict[str, float] = {}
        self.coefficients: dict[str, np.ndarray] = {}
        self.entries: dict[str, np.ndarray] = {}
        kinds = {p.name: p.kind for p in scheme.system.parameters}
        mesh = environment.coordinates(scheme.domain, 0.0)
        del mesh[TIME]
        self.mesh = mesh
        constants = environment.constants(scheme, values)
        for name in values.numbers:
            value = constants[name]
            if kinds.get(name) == "function" and name in fill and np.ndim(value) == 0:
                arguments = scheme.system.parameter(name).arguments
                shape = [n if a in arguments else 1 for a, n in self._points()][::-1]
                value = np.full(shape, value)
            if np.ndim(value):
                self.coefficients[name] = np.array(value)
            else:
                self.symbols[name] = float(value)
        self.functions = frozenset(self.coefficients)
        for name, tensor in values.tensors.items():
            self._add_tensor(name, as_numpy(tensor))

    def _points(self) -> list[tuple[str, int]]:
        return list(zip(self.scheme.domain.axes, self.scheme.domain.points, strict=True))

    def _add_tensor(self, name: str, tensor: np.ndarray) -> None:
        if tensor.dtype != object:
            self.coefficients[name] = tensor
            return
        names = {n for e in tensor.flat for n in symbol_names(e)}
        if names <= set(self.mesh):
            shape = self.scheme.domain.shape
            rows = [np.broadcast_to(evaluate(e, self.mesh), shape) for e in tensor.flat]
            self.coefficients[name] = np.array(rows).reshape(*tensor.shape, *shape)
        else:
            self.entries[name] = tensor

    def lowered(self) -> Lowered:
        system, scheme = self.scheme.system, self.scheme
        layers = []
        for terms in scheme.equations:
            stacks: dict[object, list[SchemeTerm]] = {}
            for k, term in enumerate(terms):
                shape, ordered = self._shaped(term)
                stacks.setdefault(shape if shape is not None else k, []).append(ordered)
            layers.append(tuple(Layer(tuple(map(self._term, s))) for s in stacks.values()))
        structure = Structure(
            axes=system.axes,
            fields=system.fields,
            sizes=tuple(self.values.num_components(f) for f in system.fields),
            kernels=tuple(self.tables.named),
            layers=tuple(layers),
            spacing=scheme.domain.spacing,
            width=scheme.width,
        )
        return Lowered(
            structure,
            self.tables.weights,
            np.array(self.tables.numbers),
            self.symbols,
            self.coefficients,
            self.entries,
            self.tables.maps,
            self.functions,
        )

    # -- terms ------------------------------------------------------------------------------------

    def _term(self, term: SchemeTerm) -> LayerTerm:
        if not isinstance(term, FluxTerm):
            return LayerTerm(self._product(term.outer))
        faces = tuple(self._factor(f) for f in term.faces)
        nodes = self._nodes(term.nodes, term.axis)
        outer = self._product(term.outer)
        inside = nodes.letters | {f.index for f in faces if f.index}
        kept = inside & (outer.letters | {FREE_INDEX})
        kernel = None
        if not faces:
            stencil = term.rule.derivative(term.axis, self.scheme.system.dimension)
            # What stands under a kernel already is not known beyond the ends of other axes.
            is_narrow = any(f.kernel is not None for f in nodes.factors)
            narrow = range(self.scheme.system.dimension) if is_narrow else ()
            kernel = self._kernel(stencil, narrow=narrow)
        flux = Flux(term.axis, nodes, faces, "".join(sorted(kept)), kernel, term.rule)
        return LayerTerm(outer, flux)

    def _nodes(self, product: SchemeProduct, axis: int) -> LayerProduct:
        """Lower what stands at the nodes of a flux, the same for all axes only once."""
        made = self._product(product, flux=axis)
        key = (self.tables.numbers[-1], replace(made, number=-1))
        if key in self.tables.nodes:
            self.tables.numbers.pop()
        return self.tables.nodes.setdefault(key, made)

    def _product(self, product: SchemeProduct, flux: int | None = None) -> LayerProduct:
        """Lower a product; with `flux` it stands at the nodes of a flux along that axis."""
        number, scale, varying = self._split(product.prefactor, flux is not None)
        self.tables.numbers.append(number)
        return LayerProduct(
            number=len(self.tables.numbers) - 1,
            scale=scale,
            map=varying,
            weights=tuple(Weight(c.name, "".join(c.indices)) for c in product.coefficients),
            factors=tuple(self._factor(f, flux) for f in product.factors),
        )

    def _split(self, prefactor: sp.Expr, in_flux: bool) -> tuple[float, sp.Expr, sp.Expr | None]:
        """Split a prefactor into a number, what is constant in space, and what varies.

        At the nodes whatever holds coordinates alone becomes an array. Under a flux a product with
        fields stays one expression: it is evaluated at the nodes beyond the ends, where an array
        would be continued.
        """
        coefficient, rest = plain(prefactor).as_coeff_Mul()
        number = float(coefficient)
        constant: list[sp.Expr] = []
        varying: list[sp.Expr] = []
        for factor in sp.Mul.make_args(rest):
            names = symbol_names(factor)
            if not names:
                number *= float(factor)
            elif self._varies(factor):
                varying.append(factor)
            else:
                constant.append(factor)
        if not varying:
            return number, sp.Mul(*constant), None
        with_fields = any(symbol_names(f) & self.field_names for f in varying)
        if self.tabulate and not (in_flux and with_fields):
            fixed = [f for f in varying if symbol_names(f) <= set(self.mesh)]
            if fixed:
                varying = [f for f in varying if f not in fixed]
                varying.append(self._map(sp.Mul(*fixed)))
        return number, sp.Mul(*constant), sp.Mul(*varying)

    def _map(self, expr: sp.Expr) -> sp.Symbol:
        array = np.array(evaluate(expr, self.mesh), dtype=np.float64)
        for name, known in self.tables.maps.items():
            if known.shape == array.shape and np.array_equal(known, array):
                return canonical_symbol(name)
        # No name of a user begins with an underscore.
        name = f"_map_{len(self.tables.maps)}"
        self.tables.maps[name] = array
        return canonical_symbol(name)

    def _factor(self, use: StencilUse, flux: int | None = None) -> Factor:
        is_identity = not any(use.stencil.radius) and not use.at_face
        # At the nodes of a flux the kernel is wanted one node beyond the ends.
        narrow = () if flux is None else (flux,)
        kernel = None if is_identity else self._kernel(use.stencil, use.at_face, narrow)
        return Factor(use.field, use.index or "", kernel, use.function)

    def _kernel(self, stencil: Stencil, at_face: bool = False, narrow: Collection[int] = ()) -> int:
        """Return the place of a stencil's kernel.

        It covers the 3×3 neighbours at least, as far as there are ghost nodes and the axis is not
        `narrow`, so that a kernel that learns can become another derivative.
        """
        first, last = [], []
        for axis, width in enumerate(self.scheme.width):
            steps = [offset[axis] for offset in stencil.offsets]
            low, high = min(steps), max(steps)
            if low == high == 0:
                reach = 0 if axis in narrow else min(1, width)
                low, high = -reach, reach
            elif not at_face:
                high = max(high, -low)
                low = -high
            first.append(low)
            last.append(high)
        key = (stencil, at_face, tuple(first))
        if key in self.tables.kernels:
            return self.tables.kernels[key]
        shape = tuple(b - a + 1 for a, b in zip(first, last, strict=True))
        weights = np.zeros(shape[::-1])
        for offset, weight in zip(stencil.offsets, stencil.weights, strict=True):
            place = tuple(o - a for o, a in zip(offset, first, strict=True))
            weights[place[::-1]] = float(weight)
        axes = self.scheme.system.axes
        name = "".join(a * o for a, o in zip(axes, stencil.derivative, strict=True)) or "mean"
        name += "_face" if at_face else ""
        taken = [k.name for k in self.tables.named]
        name = next(n for n in (name, *(f"{name}_{k}" for k in range(2, 99))) if n not in taken)
        self.tables.named.append(Kernel(name, stencil.derivative, tuple(first), shape))
        self.tables.weights.append(weights)
        self.tables.kernels[key] = len(self.tables.named) - 1
        return self.tables.kernels[key]

    # -- shapes -----------------------------------------------------------------------------------

    def _shaped(self, term: SchemeTerm) -> tuple[object, SchemeTerm]:
        """Return a term's shape and the term in the order and with the letters of that shape.

        Two terms have one shape when they differ in the names of weights, in stencils, in the axis
        of the flux and in prefactors only. All orders of weights and factors are tried, and of all
        descriptions the first in the alphabet is the shape. None stands for no shape at all.
        """
        lists: list[Sequence[Any]] = []
        for part in term.products:
            lists += [part.coefficients, part.factors]
        if sum(map(len, lists)) > _MAX_ORDERED:
            return None, term
        best: tuple[Any, SchemeTerm] | None = None
        for chosen in product(*(tuple(permutations(items)) for items in lists)):
            shape, renamed = self._described(term, chosen)
            if best is None or repr(shape) < repr(best[0]):
                best = (shape, renamed)
        assert best is not None
        return best

    def _described(
        self, term: SchemeTerm, chosen: Sequence[Sequence[Any]]
    ) -> tuple[Any, SchemeTerm]:
        letters: dict[str, str] = {FREE_INDEX: FREE_INDEX}

        def letter(index: str) -> str:
            return letters.setdefault(index, "jklmnopqrs"[len(letters) - 1])

        shape: list[Any] = [isinstance(term, FluxTerm)]
        parts: list[SchemeProduct] = []
        # Factors first: they tell which index is which.
        for k, part in enumerate(term.products):
            factors = []
            for use in chosen[2 * k + 1]:
                index = None if use.index is None else letter(use.index)
                kind = "face" if use.at_face else "kernel" if any(use.stencil.radius) else "value"
                shape.append((use.field, index or "", kind, str(use.function)))
                factors.append(replace(use, index=index))
            parts.append(replace(part, factors=tuple(factors)))
        for k in range(len(parts)):
            uses = []
            for use in chosen[2 * k]:
                indices = tuple(map(letter, use.indices))
                sizes = self._tensor_kind(use.name)
                shape.append((k, indices, sizes))
                uses.append(replace(use, indices=indices))
            parts[k] = replace(parts[k], coefficients=tuple(uses))
        shape += [self._varies(part.prefactor) for part in parts]
        if isinstance(term, FluxTerm):
            return tuple(shape), replace(term, outer=parts[0], inner=parts[1])
        return tuple(shape), replace(term, outer=parts[0])

    def _varies(self, prefactor: sp.Expr) -> bool:
        names = symbol_names(prefactor)
        return bool(names & (self.field_names | set(self.mesh) | set(self.coefficients)))

    def _tensor_kind(self, name: str) -> tuple[Any, ...]:
        """Return the shape of a coefficient; derived ones are as large as what they come from."""
        for one in self.scheme.derived:
            if one.name == name and one.coefficient is not None:
                name = one.coefficient
        found = self.entries.get(name)
        if found is not None:
            return ("entries", *found.shape)
        return tuple(self.coefficients[name].shape)
