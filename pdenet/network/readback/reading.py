"""Readback: the equation that a network is, from its tensors and its structure alone.

Kernels become sums of derivatives (`expansion`), arrays over the grid become polynomials where they
are some (`polynomials`), numbers the decimals that they are rounded from (`decimals`). Nothing of
the equation that the network was built from is kept or asked for, so that what has been trained,
loaded or changed by hand is what is read.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # values are numbers, or arrays of numbers or expressions

import numpy as np
import sympy as sp
import torch

from pdenet.discrete.boundary import boundary_parameters, resolve
from pdenet.discrete.structure import Factor, Flux, Kernel, LayerProduct, LayerTerm
from pdenet.discrete.terms import DT, SPACING
from pdenet.equation import printing
from pdenet.equation.pde import PDE
from pdenet.equation.rates import fields_in
from pdenet.equation.symbols import TIME, Component, D, Entry, Index, canonical_symbol
from pdenet.equation.system import ARGUMENT, FREE_INDEX
from pdenet.errors import NetworkError
from pdenet.network.readback.decimals import exact, shortest, simplest, with_decimals
from pdenet.network.readback.equations import (
    Sum,
    derivative,
    equations,
    is_readable,
    split,
)
from pdenet.network.readback.expansion import Expansion, Part, expand_kernel
from pdenet.network.readback.matching import (
    CENTRAL,
    Readable,
    matching_space,
    spaces_of,
    spaces_of_divergence,
)
from pdenet.network.readback.polynomials import fit_polynomial

_LETTERS = "jklmnopqrsabcdefgh"
# In place of the axis of a face: the kernel acts on a product, as that of a divergence does.
_PRODUCT = -1


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

    Printed, its numbers have six digits; `pde` has all of them.

    Attributes:
        pde: the equation, with numbers for its symbols.
        values: what `pde` and the boundary values need, by name: float64 arrays for coefficients,
            object arrays where their entries are expressions, and numbers for the spacings `h_x`,
            `h_y`, `h_z` and the time step `dt` where terms of the scheme hold them.
        leftover: what no stencil explains; empty for a network as it was built.
        space: the space discretisation with which a solver for `pde` takes the network's step, and
            None where there is none: after training kernels may be of several accuracies or partly
            unexplained, means at faces have no counterpart, and conditions `Free` go with the
            equation's order, which terms of the scheme raise.
    """

    pde: PDE
    values: Mapping[str, Any]
    leftover: tuple[Leftover, ...]
    space: str | None

    def __str__(self) -> str:
        lines = [printing.text(equation, digits=6) for equation in self.pde.equations]
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


def read_back(network: Readable) -> Reading:
    """Return the equation of a network; see `Network.to_equation`.

    Raises:
        NetworkError: a weight is not finite.
    """
    _check_finite(network)
    with torch.no_grad():
        return _Readback(network).reading()


def _check_finite(network: Readable) -> None:
    if network.dtype not in (torch.float32, torch.float64):
        raise NetworkError(
            f"an equation is read from float32 or float64; got {network.dtype}; write net.float()"
        )
    for name, tensor in network.block.state_dict().items():
        if isinstance(tensor, torch.Tensor) and not torch.isfinite(tensor).all():
            raise NetworkError(
                f"an equation is read from finite weights; got infinite or undefined ones in "
                f"{name!r}; go back to weights from before the training diverged"
            )


class _Readback:
    def __init__(self, network: Readable) -> None:
        self.network = network
        self.block = block = network.block
        self.structure = block.structure
        self.axes = block.structure.axes
        self.dtype = str(network.dtype).removeprefix("torch.")
        self.eps = float(torch.finfo(network.dtype).eps)
        self.nodes = network.grid.nodes(network.boundary)
        self.coordinates = [canonical_symbol(name) for name in (TIME, *self.axes)]
        self.spaces = CENTRAL
        self.kernels: dict[tuple[int, int | None], Expansion] = {}
        self.values: dict[str, Any] = {}
        self.taken = {TIME, *self.axes, *block.coefficients, *block.entries}
        self.taken |= {f.name for f in self.structure.fields}
        self.renamed: dict[str, str] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.deltas: dict[int, str] = {}
        self.meanings: dict[str, sp.Expr] = {}
        self._read_names()

    def reading(self) -> Reading:
        sums: dict[str, Sum] = {}
        for info, layers in zip(self.structure.fields, self.structure.layers, strict=True):
            total = sums[info.name] = Sum(self.dtype)
            for term in (t for layer in layers for t in layer.terms):
                for amount, body in self._term(term):
                    total.add(amount, body)
        fields = {
            info.name: self._field(info.name, FREE_INDEX if info.size is not None else "")
            for info in self.structure.fields
        }
        rates = {info.name: info.rate_of for info in self.structure.fields if info.rate_of}
        made = equations(fields, rates, sums, self.taken)
        pde = PDE(*made)
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
        space = None if leftover else matching_space(self.network, pde, values, self.spaces)
        return Reading(pde, values, leftover, space)

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
            self._read_function(name, self._free(name.strip("_")), _array(tensor), False)
        for name, rows in block.entries.items():
            self.shapes[name] = shape = block.sizes_of(name)
            entries = np.empty(len(rows), dtype=object)
            entries[:] = [with_decimals(self._meaning(e.expr), self.dtype) for e in rows]
            self.values[name] = entries.reshape(shape)
        if block.derived:
            self._read_derived()

    def _read_derived(self) -> None:
        """Read |A|, computed from the tensors as they are now."""
        tensors = self.block.tensors(0.0)
        for one in self.block.derived:
            if one.coefficient is not None:
                array = _array(tensors.coefficients[one.name])
                self.renamed[one.name] = self._free(one.name.strip("_"))
                self.values[self.renamed[one.name]] = array
                self.shapes[one.name] = array.shape
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
        flux = term.flux
        letters = set(term.product.letters) | {FREE_INDEX}
        if flux is None:
            yield from self._product(term.product, letters)
            return
        letters |= flux.nodes.letters | {f.index for f in flux.faces}
        outer = list(self._product(term.product, letters))
        for (number, inside), (amount, before) in itertools.product(
            self._divergence(flux, letters), outer
        ):
            yield number * amount, before * inside

    def _divergence(
        self, flux: Flux, letters: Collection[str]
    ) -> Iterator[tuple[sp.Rational, sp.Expr]]:
        inner = list(self._product(flux.nodes, letters, flux.axis, flux.faces))
        if flux.kernel is None:
            coordinate = self.coordinates[1 + flux.axis]
            # The divergence of what does not depend on the coordinate is 0.
            yield from ((n, D(one, coordinate)) for n, one in inner if one.has(coordinate))
            return
        kernel = self.structure.kernels[flux.kernel]
        key = (flux.kernel, _PRODUCT)
        for part in self._expansion(*key).parts:
            made = [
                (number * n, derived)
                for number, one in inner
                for n, derived in derivative(one, part.derivative, self.coordinates[1:])
            ]
            if not all(is_readable(one) for _, one in made):
                self.kernels[key] = self.kernels[key].without(part)
                continue
            self.spaces &= spaces_of_divergence(part)
            scale = part.amount * self._spacings(kernel, part)
            yield from ((scale * n, one) for n, one in made)

    def _expansion(self, place: int, face: int | None) -> Expansion:
        """Return a kernel as stencils; `face` is the axis across whose face it stands."""
        if (place, face) not in self.kernels:
            kernel = self.structure.kernels[place]
            weights = _array(self.block.kernels[kernel.name])
            is_product = face == _PRODUCT
            spacing = None if is_product else self.structure.spacing
            axis = None if is_product else face
            self.kernels[place, face] = expand_kernel(kernel, weights, spacing, axis, self.eps)
        return self.kernels[place, face]

    def _product(
        self,
        product: LayerProduct,
        letters: Collection[str],
        axis: int | None = None,
        faces: Sequence[Factor] = (),
    ) -> Iterator[tuple[sp.Rational, sp.Expr]]:
        """Multiply a product out; `axis` is that of the flux in which it stands."""
        varying = sp.S.One if product.map is None else product.map
        prefactor = self._meaning(product.scale * varying)
        if fields_in(prefactor) or not product.factors:
            # Reactions are sums of terms; a polynomial in the coordinates is one coefficient.
            prefactor = sp.expand_mul(prefactor, deep=False)
            prefactors = [split(one) for one in sp.Add.make_args(prefactor)]
        else:
            prefactors = [split(prefactor)]
        amount = shortest(self.block.numbers[product.number].item(), self.dtype)
        if amount == 0:
            return
        entries = []
        for weight in product.weights:
            shape = sp.Tuple(*self.shapes[weight.name])
            name = self.renamed.get(weight.name, weight.name)
            entries.append(Entry(canonical_symbol(name), shape, *map(Index, weight.indices)))
        sums = [self._factor(f, axis, at_face=False) for f in product.factors]
        sums += [self._factor(f, axis, at_face=True) for f in faces]
        for (number, before), *chosen in itertools.product(prefactors, *sums):
            size, scale = split(sp.Mul(*(size for size, _ in chosen)))
            factors = self._apart([one for _, one in chosen], letters)
            yield amount * number * size, sp.Mul(before, scale, *entries, *factors)

    def _factor(
        self, factor: Factor, axis: int | None, at_face: bool
    ) -> list[tuple[sp.Expr, sp.Expr]]:
        """Return a factor as a sum: pairs of a number, or powers of spacings, and a derivative."""
        field = self._field(factor.field, factor.index)
        if factor.kernel is None:
            if factor.function is None:
                return [(sp.S.One, field)]
            return [(sp.S.One, self._meaning(factor.function).xreplace({ARGUMENT: field}))]
        kernel = self.structure.kernels[factor.kernel]
        made = []
        for part in self._expansion(factor.kernel, axis if at_face else None).parts:
            self.spaces &= spaces_of(part, axis, at_face)
            one = field
            for symbol, order in zip(self.coordinates[1:], part.derivative, strict=True):
                if order:
                    one = sp.Derivative(one, (symbol, order))
            made.append((part.amount * self._spacings(kernel, part), one))
        return made

    def _spacings(self, kernel: Kernel, part: Part) -> sp.Expr:
        """Return Π h^(b − p): stencils go with h^(−b), a kernel with the h^(−p) of its structure.

        A kernel without powers of h is a term of the scheme, such as the mean of Lax–Friedrichs
        less the value: its derivatives are reported with the h that make them vanish.
        """
        if not any(kernel.derivative):
            orders = zip(self.axes, part.derivative, strict=True)
            return sp.Mul(*(self.meanings[SPACING[a].name] ** p for a, p in orders))
        spacing = [exact(h) for h in self.structure.spacing]
        if part.is_nine_point:  # the spacings are equal but for their rounding
            return spacing[0] ** (sum(part.derivative) - sum(kernel.derivative))
        powers = zip(spacing, part.derivative, kernel.derivative, strict=True)
        return sp.Mul(*(h ** (b - p) for h, b, p in powers))

    def _apart(self, factors: Sequence[sp.Expr], letters: Collection[str]) -> list[sp.Expr]:
        """Write u_j u_j as δ_jk u_j u_k: the language has no powers of components.

        Such squares stand in no equation; they arise where a kernel of u_j ∂x u_j has changed.
        """
        made: list[sp.Expr] = []
        used = set(letters)
        for one in factors:
            if one in made and one.has(Component) and isinstance(one, Component | sp.Derivative):
                (component,) = one.atoms(Component)
                fresh = next(c for c in _LETTERS if c not in used)
                used.add(fresh)
                name = self._delta(int(component.size))
                shape = sp.Tuple(component.size, component.size)
                made.append(Entry(name, shape, component.index, Index(fresh)))
                one = one.xreplace({component.index: Index(fresh)})
            made.append(one)
        return made

    def _delta(self, size: int) -> sp.Symbol:
        if size not in self.deltas:
            self.deltas[size] = self._free("delta")
            self.values[self.deltas[size]] = np.eye(size)
        return canonical_symbol(self.deltas[size])


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().astype(np.float64)
