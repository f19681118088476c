"""Readback: the equation that a network is, from its tensors and its structure alone.

Kernels become sums of derivatives (`expansion`), arrays over the grid become polynomials where they
are some (`polynomials`), numbers the decimals that they are rounded from (`decimals`). Nothing of
the equation that the network was built from is kept or asked for, so that what has been trained,
loaded or changed by hand is what is read.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any  # values are numbers, or arrays of numbers or expressions

import numpy as np
import sympy as sp
import torch

from pdenet.discrete import stencils
from pdenet.discrete.boundary import boundary_parameters, resolve
from pdenet.discrete.scheme import ACCURACY, DT, SPACING, discretise
from pdenet.discrete.stencils import Stencil
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import TIME, Component, D, Entry, Index, canonical_symbol
from pdenet.equation.system import ARGUMENT, FREE_INDEX
from pdenet.equation.values import bind
from pdenet.errors import GridError, NetworkError, SchemeError
from pdenet.network.decimals import exact, shortest, simplest, with_decimals
from pdenet.network.equations import Sum, equations
from pdenet.network.expansion import Expansion, Part, expand_kernel
from pdenet.network.polynomials import fit_polynomial
from pdenet.network.structure import Factor, LayerProduct, LayerTerm

if TYPE_CHECKING:
    from pdenet.network.network import Network

_LETTERS = "jklmnopqrsabcdefgh"


@dataclass(frozen=True, eq=False)
class Leftover:
    """What no stencil explains of a kernel.

    Attributes:
        kernel: the kernel's name, such as "xx".
        weights: that part of the kernel, on unit spacing, shape `(*space)`.
        relative: its largest entry as a part of the kernel's largest weight.
    """

    kernel: str
    weights: np.ndarray
    relative: float


@dataclass(frozen=True, eq=False)
class Reading:
    """An equation as it was read from a network.

    Attributes:
        pde: the equation, with numbers for its symbols.
        values: what `pde` and the boundary values need, by name: float64 arrays for coefficients,
            object arrays where their entries are expressions, and numbers for the spacings `h_x`,
            `h_y`, `h_z` and the time step `dt` where terms of the scheme hold them.
        leftover: what no stencil explains; empty for a network as it was built.
        space: the space discretisation with which a solver for `pde` takes the network's step, and
            None where there is none: after training kernels may be of several accuracies, means at
            faces have no counterpart, and conditions `Free` go with the equation's order.
    """

    pde: PDE
    values: Mapping[str, Any]
    leftover: tuple[Leftover, ...]
    space: str | None

    def __str__(self) -> str:
        lines = [str(self.pde)]
        for name, value in self.values.items():
            shape = np.shape(value)
            lines.append(f"{name}: {shape}" if shape else f"{name} = {value:.6g}")
        lines += [
            f"not explained of stencil {one.kernel}: {one.relative:.2g} of its largest weight"
            for one in self.leftover
        ]
        return "\n".join(lines)

    def _repr_latex_(self) -> str:
        return self.pde._repr_latex_()


def read_back(network: Network) -> Reading:
    """Return the equation of a network; see `Network.to_equation`.

    Raises:
        NetworkError: a weight is not finite.
    """
    _check_finite(network)
    with torch.no_grad():
        return _Readback(network).reading()


def _check_finite(network: Network) -> None:
    for name, tensor in network.block.state_dict().items():
        if isinstance(tensor, torch.Tensor) and not torch.isfinite(tensor).all():
            raise NetworkError(
                f"an equation is read from finite weights; got infinite or undefined ones in "
                f"{name!r}; go back to weights from before the training diverged"
            )


class _Readback:
    def __init__(self, network: Network) -> None:
        self.network = network
        self.block = block = network.block
        self.structure = block.structure
        self.axes = block.structure.axes
        self.dtype = str(network.dtype).removeprefix("torch.")
        self.eps = float(torch.finfo(network.dtype).eps)
        self.nodes = network.grid.nodes(network.boundary)
        self.coordinates = [canonical_symbol(name) for name in (TIME, *self.axes)]
        self.spaces = {*ACCURACY, "nine_point"}
        self.kernels: dict[tuple[int, int | None], Expansion] = {}
        self.values: dict[str, Any] = {}
        self.taken = {TIME, *self.axes, *block.coefficients, *block.entries}
        self.taken |= {f.name for f in self.structure.fields}
        self.renamed: dict[str, str] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.meanings: dict[str, sp.Expr] = {}
        self._read_names()

    def reading(self) -> Reading:
        sums: dict[str, Sum] = {}
        for info, layers in zip(self.structure.fields, self.structure.layers, strict=True):
            total = sums[info.name] = Sum(self.dtype)
            for layer in layers:
                for term in layer.terms:
                    for amount, body in self._term(term):
                        total.add(amount, body)
        fields = {
            info.name: self._field(info.name, FREE_INDEX if info.size is not None else "")
            for info in self.structure.fields
        }
        rates = {info.name: info.rate_of for info in self.structure.fields if info.rate_of}
        made = equations(fields, rates, sums, self.taken)
        pde = PDE(*made)
        # SymPy multiplies 0.1 (u_xx + u_yy) out when it builds it anew: the equations are shown
        # as they were grouped.
        pde.equations = made
        values = {p.name: self.values[p.name] for p in pde.parameters}
        conditions = {}
        if pde.fields == tuple(fields):
            conditions = resolve(self.network.boundary, pde.system, self.axes)
        for name in boundary_parameters(conditions, self.axes):
            values.setdefault(name, float(self.block.symbols[name]))
        leftover = tuple(
            Leftover(self.structure.kernels[k].name, one.leftover, one.relative)
            for (k, _), one in sorted(self.kernels.items(), key=lambda item: item[0][0])
            if one.relative
        )
        reading = Reading(pde, values, leftover, None)
        return Reading(pde, values, leftover, self._space(reading))

    # -- what names mean --------------------------------------------------------------------------

    def _free(self, name: str) -> str:
        """Return a name that nothing else has."""
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name

    def _read_names(self) -> None:
        """Note what the names in scales and maps stand for, and the values of those that stay."""
        block = self.block
        for info in self.structure.fields:
            if info.size is None:
                self.meanings[info.name] = self._field(info.name, "")
        for name, tensor in block.symbols.items():
            self.meanings[name] = shortest(tensor.item(), self.dtype)
        spacings = zip(self.axes, self.structure.spacing, strict=True)
        for symbol, name, value in [
            (DT, "dt", block.dt),
            *((SPACING[axis], f"h_{axis}", h) for axis, h in spacings),
        ]:
            free = self._free(name)
            self.meanings[symbol.name] = canonical_symbol(free)
            self.values[free] = float(value)
        continued = self._continued()
        for name, tensor in block.coefficients.items():
            array = _array(tensor)
            if name in block.functions:
                self._read_function(name, name, array, name in continued)
            else:
                self.values[name] = array
                self.shapes[name] = block.sizes_of(name)
        for name, tensor in block.maps.items():
            self._read_function(name, self._free(name), _array(tensor), False)
        for name, rows in block.entries.items():
            shape = block.sizes_of(name)
            entries = np.empty(len(rows), dtype=object)
            entries[:] = [with_decimals(self._meaning(e.expr), self.dtype) for e in rows]
            self.values[name] = entries.reshape(shape)
            self.shapes[name] = shape
        if block.derived:
            self._read_derived()

    def _read_derived(self) -> None:
        """Read |A|, computed from the tensors as they are now."""
        tensors = self.block.tensors(0.0)
        for one in self.block.derived:
            if one.coefficient is not None:
                array = _array(tensors.coefficients[one.name])
                name = self.renamed[one.name] = self._free(one.name.strip("_"))
                self.values[name] = array
                self.shapes[name] = array.shape
                continue
            entries = {n: float(tensors.environment[n]) for n in one.names.values()}
            # Eigenvectors are found to a few eps of the matrix, which no entry is free of.
            error = 16 * self.eps * max(map(abs, entries.values()))
            for name, entry in entries.items():
                near = simplest(entry, error, 6)
                self.meanings[name] = shortest(entry, self.dtype) if near is None else near

    def _continued(self) -> set[str]:
        """Return the names that stand beside fields under a flux.

        There the network continues the array of a coefficient function linearly beyond the ends,
        and an expression would be evaluated there.
        """
        fields = {f.name for f in self.structure.fields}
        found: set[str] = set()
        for layers in self.structure.layers:
            for term in (t for layer in layers for t in layer.terms):
                if term.flux is not None and term.flux.nodes.map is not None:
                    names = {s.name for s in term.flux.nodes.map.free_symbols}
                    found |= names if names & fields else set()
        return found

    def _read_function(self, name: str, shown: str, array: np.ndarray, stays: bool) -> None:
        """Note what an array over the grid stands for: a polynomial or a function of its axes."""
        found = fit_polynomial(array, self.axes, self.nodes, self.dtype)
        if found is not None and not (stays and found.free_symbols):
            self.meanings[name] = found
            return
        lengths = array.shape[::-1]
        used = [a for a, n in zip(self.axes, lengths, strict=True) if n > 1]
        arguments = [canonical_symbol(a) for a in used]
        self.meanings[name] = sp.Function(shown)(*arguments)
        self.values[shown] = array.reshape([n for n in array.shape if n > 1])

    def _meaning(self, expr: sp.Expr) -> sp.Expr:
        """Return an expression of the structure with what its names stand for."""
        return expr.xreplace(
            {s: self.meanings[s.name] for s in expr.free_symbols if s.name in self.meanings}
        )

    def _field(self, name: str, index: str) -> sp.Expr:
        if not index:
            return sp.Function(name)(*self.coordinates)
        names = [f.name for f in self.structure.fields]
        size = sp.Integer(self.structure.sizes[names.index(name)])
        return Component(canonical_symbol(name), size, Index(index), *self.coordinates)

    # -- terms ------------------------------------------------------------------------------------

    def _term(self, term: LayerTerm) -> Iterator[tuple[sp.Rational, sp.Expr]]:
        """Multiply a term out: pairs of a number and what it is multiplied by."""
        if term.flux is None:
            yield from self._product(term.product, None)
            return
        flux, coordinate = term.flux, self.coordinates[1 + term.flux.axis]
        outer = list(self._product(term.product, None))
        inner = list(self._product(flux.nodes, flux.axis, flux.faces))
        for (number, before), (amount, inside) in itertools.product(outer, inner):
            if inside.has(coordinate):  # else the divergence is 0
                yield number * amount, before * D(with_decimals(inside, self.dtype), coordinate)

    def _product(
        self, product: LayerProduct, axis: int | None, faces: Sequence[Factor] = ()
    ) -> Iterator[tuple[sp.Rational, sp.Expr]]:
        """Multiply a product out; `axis` is that of the flux in which it stands."""
        number = shortest(self.block.numbers[product.number].item(), self.dtype)
        varying = sp.S.One if product.map is None else product.map
        amount, before = _split(number * self._meaning(product.scale * varying))
        if amount == 0:
            return
        for weight in product.weights:
            name = self.renamed.get(weight.name, weight.name)
            shape = sp.Tuple(*map(sp.Integer, self.shapes[weight.name if name not in self.shapes else name]))
            before *= Entry(canonical_symbol(name), shape, *map(Index, weight.indices))
        sums = [self._factor(f, axis, at_face=False) for f in product.factors]
        sums += [self._factor(f, axis, at_face=True) for f in faces]
        letters = set(product.letters) | {f.index for f in faces}
        indices = [f.index for f in (*product.factors, *faces)]
        for chosen in itertools.product(*sums):
            total, body = amount, before
            for size, rest, _ in chosen:
                number, symbolic = _split(size)
                total *= number
                body *= symbolic * rest
            ...
            yield total, body
