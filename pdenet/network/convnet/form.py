"""Form: an equation as a structure without sizes, grid or weights, from which blocks are made.

The equation is discretised with unit spacing (a pixel is the unit of length, a layer the unit of
time) and lowered as any network is. What is left is a `Structure` whose sizes are those of an
example; the sizes of a block come from the symbolic shapes of the coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import sympy as sp

from pdenet.discrete.boundary import Boundary, Periodic
from pdenet.discrete.grid import Grid
from pdenet.discrete.lowering import lower
from pdenet.discrete.scheme import discretise
from pdenet.discrete.setup import bound_values
from pdenet.discrete.steppers import STEPPERS
from pdenet.discrete.structure import LayerProduct, Structure
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import TIME
from pdenet.errors import NetworkError, PdenetError

# Sizes are told apart by a number of components that no small multiple of another size equals.
_EXAMPLE_SIZE = 11

# More than any stencil needs; with unit spacing.
_POINTS = 16


@dataclass(frozen=True, eq=False)
class Form:
    """An equation whose blocks may have any width.

    Attributes:
        structure: its structure; `sizes` are those of an example and mean nothing.
        shapes: the symbolic shape of each coefficient.
        kernels: the first weights of each kernel, array order, on unit spacing.
        numbers: the numbers of all terms.
        symbols: the first values of the scalar parameters.
        functions: the coefficient functions c(x, y), with the axes they depend on.
        size: the symbol of the number of components.
        is_second_order: whether the fields are pairs (u, u_t) with u_tt = F(u).
        equation: the equation as text.
    """

    structure: Structure
    shapes: Mapping[str, tuple[sp.Expr, ...]]
    kernels: tuple[np.ndarray, ...]
    numbers: np.ndarray
    symbols: Mapping[str, float]
    functions: Mapping[str, tuple[str, ...]]
    size: sp.Symbol
    is_second_order: bool
    equation: str

    def length(self, name: str, axis: int, width: int) -> int:
        """Return the length of one index of a coefficient for fields of `width` components."""
        return int(self.shapes[name][axis].xreplace({self.size: sp.Integer(width)}))

    def of_positions(self) -> Form:
        """Return, for pairs (u, u_t), the form whose state is u alone and whose F is u_tt."""
        fields = self.structure.fields
        rows = dict(zip((f.rate_of for f in fields), self.structure.layers, strict=True))
        places = [k for k, f in enumerate(fields) if f.rate_of is None]
        structure = replace(
            self.structure,
            fields=tuple(fields[k] for k in places),
            sizes=tuple(self.structure.sizes[k] for k in places),
            layers=tuple(rows[fields[k].name] for k in places),
        )
        return replace(self, structure=structure)


def form_of(pde: PDE) -> Form:
    """Lower an equation for blocks of any width.

    Args:
        pde: an equation in x and y whose fields are vector fields with one symbolic number of
            components, such as pdenet.catalogue's "eq3".

    Raises:
        NetworkError: it is not of that kind, or its coefficients depend on the time.
    """
    size = _checked_size(pde)
    system = pde.system
    grid = Grid(x=(0, _POINTS, _POINTS), y=(0, _POINTS, _POINTS))
    boundary = Boundary(x=Periodic(), y=Periodic())  # what stands inside is the same for all
    example: dict[str, object] = {}
    for parameter in system.parameters:
        if parameter.kind == "tensor":
            shape = [int(s.xreplace({size: _EXAMPLE_SIZE})) for s in parameter.shape]
            example[parameter.name] = np.zeros(shape)
        elif parameter.kind == "size":
            example[parameter.name] = _EXAMPLE_SIZE
        elif parameter.default is None or parameter.kind == "function":
            example[parameter.name] = 1.0
    functions = {p.name: p.arguments for p in system.parameters if p.kind == "function"}
    try:
        values = bound_values(system, grid, boundary, example)
        scheme = discretise(values.system, grid, boundary, "central2", STEPPERS["euler"])
        lowered = lower(scheme, values, functions, tabulate=False)
    except PdenetError as error:
        raise NetworkError(f"this equation has no block: {error}") from error
    _refuse_time(lowered.structure)
    return Form(
        structure=lowered.structure,
        shapes={p.name: p.shape for p in system.parameters if p.kind == "tensor"},
        kernels=tuple(lowered.kernels),
        numbers=lowered.numbers,
        symbols=lowered.symbols,
        functions=functions,
        size=size,
        is_second_order=system.is_splittable,
        equation=str(pde),
    )


def _checked_size(pde: PDE) -> sp.Symbol:
    if not isinstance(pde, PDE):
        raise NetworkError(f"a pn.PDE was expected; got {pde!r}; write pn.catalogue['eq3']")
    system = pde.system
    if system.axes != ("x", "y"):
        raise NetworkError(
            f"an image has the axes x and y; got an equation in ({', '.join(system.axes)}); write "
            "it with pn.coordinates('t x y')"
        )
    sizes = {info.size for info in system.fields}
    (size, *others) = sizes
    if others or not isinstance(size, sp.Symbol):
        fields = ", ".join(f"{f.name} ({f.size or 1})" for f in system.fields)
        raise NetworkError(
            "a ConvNet's stages have different widths, so its fields are vector fields with one "
            f"symbolic number of components; got {fields}; write pn.VectorField('u', n, (t, x, y)) "
            "with n = sp.Symbol('n', integer=True, positive=True)"
        )
    return size


def _refuse_time(structure: Structure) -> None:
    for layers in structure.layers:
        for term in (t for layer in layers for t in layer.terms):
            products: list[LayerProduct] = [term.product]
            products += [term.flux.nodes] if term.flux is not None else []
            for product in products:
                names = {s.name for s in product.scale.free_symbols}
                names |= (
                    set() if product.map is None else {s.name for s in product.map.free_symbols}
                )
                if TIME in names:
                    raise NetworkError(
                        "a block's coefficients do not depend on the time, which is its depth; got "
                        "an equation with t in it; leave it out: every block has weights of its own"
                    )
