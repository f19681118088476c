"""Manufactured solutions: a smooth function is chosen, and the source that makes it a solution.

With N(u) = ∂u/∂t − F(t, x, u, ∂u, …) and any smooth w, u = w solves ∂u/∂t = F + N(w). Everything is
derived by SymPy from the equation as it was written; no stencil and no canonical form takes part
(opaque vector fields aside, whose indices are written out from the system).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # values of parameters: numbers, arrays, expressions

import numpy as np
import sympy as sp

from pdenet.discrete.boundary import (
    Condition,
    Dirichlet,
    Free,
    Neumann,
    Periodic,
    Robin,
    ZeroPadding,
)
from pdenet.discrete.grid import Grid
from pdenet.equation.functions import compile_expression
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import TIME, Coefficient, D, Index, canonical_symbol
from pdenet.equation.system import ARGUMENT, FREE_INDEX, Product, Term

T, X, Y = (canonical_symbol(name) for name in (TIME, "x", "y"))

# Robin's a and b: a/b > 0 lets nothing in, and neither part hides behind the other.
ROBIN = (1.5, 0.5)

Exact = Mapping[str, tuple[sp.Expr, ...]]
"""For each field its components; a scalar field has one."""


@dataclass(frozen=True)
class Forced:
    """An equation with the source that makes `exact` its solution.

    Attributes:
        pde: the equation with its sources.
        values: values of its parameters, those of the sources among them.
        exact: the solution, generated fields such as u_t included.
    """

    pde: PDE
    values: Mapping[str, Any]
    exact: Exact


def smooth(
    kind: str,
    low: Mapping[str, float],
    seed: int,
    mean: float,
    amplitude: float,
    start: sp.Expr = sp.S.One,
    frequency: sp.Expr = sp.S.Half,
) -> sp.Expr:
    """Return a smooth function of t and of the axes of `low`, on a box with sides of length 1.

    Args:
        kind: "periodic"; "zero_padding", 0 at the walls but with curvature there, since odd
            functions would hide errors of the closure; or anything else, without symmetry.
        low: the low end of each axis.
        seed: functions with different seeds differ in phase and frequency.
        mean: the mean, left out for "zero_padding".
        amplitude: the amplitude.
        start: a function of t by which all but the mean is multiplied, not for "periodic".
        frequency: how fast the phase changes in time.
    """
    phase = sp.Rational(2 * seed + 1, 5)
    steps = [canonical_symbol(axis) - sp.nsimplify(a) for axis, a in low.items()]
    made = sp.S.One
    if kind == "zero_padding":
        for k, s in enumerate(steps):
            made *= sp.sin(sp.pi * s) * (1 + s * sp.Rational(1 + seed, 3 + k))
        return amplitude * made * sp.cos(frequency * T + phase) * start
    for k, s in enumerate(steps):
        # A wave that travels along the first axis and stands along the second.
        time = sp.S.Zero if k else frequency * T
        wave = 2 * sp.pi * s if kind == "periodic" else sp.Rational(5 - k, 2) * s + k
        made *= sp.cos(wave + phase + time)
    return mean + amplitude * made * (sp.S.One if kind == "periodic" else start)


def forced(pde: PDE, exact: Exact, values: Mapping[str, Any]) -> Forced:
    """Return `pde` with the sources for which `exact` is a solution.

    Args:
        pde: an equation whose left sides are single time derivatives.
        exact: the solution, for each field that is not generated.
        values: values of the tensor coefficients, and of others.
    """
    if pde.system.has_vectors:
        return _forced_vector(pde, exact, values)
    table = {pde.system.symbol(name): parts[0] for name, parts in exact.items()}
    sources = {}
    for equation in pde.equations:
        field = next(iter(equation.lhs.atoms(sp.core.function.AppliedUndef)))
        residual = _put_in(equation.lhs, table) - _put_in(equation.rhs, table)
        sources[field.func.__name__] = residual
    full = dict(exact)
    for info in pde.system.fields:
        if info.rate_of:
            full[info.name] = (sp.diff(exact[info.rate_of][0], T),)
    return Forced(pde.with_sources(sources), values, full)


def _put_in(side: sp.Expr, table: Mapping[sp.Expr, sp.Expr]) -> sp.Expr:
    """Return a side of an equation with functions for the fields, derivatives carried out."""
    plain = side.replace(
        lambda e: isinstance(e, D), lambda e: sp.Derivative(e.argument, e.coordinate)
    )
    return plain.subs(table).doit()


def _forced_vector(pde: PDE, exact: Exact, values: Mapping[str, Any]) -> Forced:
    (info,) = pde.system.fields
    parts = exact[info.name]
    sources = []
    for i, part in enumerate(parts):
        (terms,) = pde.system.equations
        right = sp.Add(*(_written_out(pde, term, i, parts, values) for term in terms))
        sources.append(sp.diff(part, T) - right)
    source = Coefficient("source", (len(parts),))
    return Forced(
        pde.with_sources({info.name: source[Index(FREE_INDEX)]}),
        {**values, "source": sources},
        exact,
    )


def _written_out(
    pde: PDE, term: Term, i: int, parts: Sequence[sp.Expr], values: Mapping[str, Any]
) -> sp.Expr:
    """Return component i of a term, its indices summed."""
    (target,) = pde.system.fields
    names = term.summed()
    known = {"n": len(parts)}
    ranges = [int(pde.system.index_range(term, n, target).subs(known)) for n in names]
    total = sp.S.Zero
    for numbers in itertools.product(*map(range, ranges)):
        index = {FREE_INDEX: i, **dict(zip(names, numbers, strict=True))}
        one = _product(pde, term.outer, index, parts, values)
        if term.inner is not None and term.axis is not None:
            flux = _product(pde, term.inner, index, parts, values)
            one *= sp.diff(flux, canonical_symbol(pde.axes[term.axis]))
        total += one
    return total


def _product(
    pde: PDE,
    product: Product,
    index: Mapping[str, int],
    parts: Sequence[sp.Expr],
    values: Mapping[str, Any],
) -> sp.Expr:
    made = product.prefactor
    for use in product.coefficients:
        made *= sp.Float(float(values[use.name][tuple(index[k] for k in use.indices)]))
    for factor in product.factors:
        assert factor.index is not None
        one = parts[index[factor.index]]
        for axis, order in zip(pde.axes, factor.derivative, strict=True):
            one = sp.diff(one, canonical_symbol(axis), order)
        made *= one if factor.function is None else factor.function.xreplace({ARGUMENT: one})
    return made


def condition(kind: str, exact: sp.Expr, axis: str, end: float, outward: int) -> Condition:
    """Return the condition of a kind that `exact` meets at one end of an axis.

    Args:
        kind: "periodic", "dirichlet", "neumann", "robin", "zero_padding" or "free".
        exact: the field's solution.
        axis: the axis.
        end: the coordinate of the wall.
        outward: −1 at the low end, +1 at the high end.
    """
    if kind == "periodic":
        return Periodic()
    if kind == "free":
        return Free()
    if kind == "zero_padding":
        return ZeroPadding()
    x = canonical_symbol(axis)
    value = exact.subs(x, sp.nsimplify(end))
    slope = outward * sp.diff(exact, x).subs(x, sp.nsimplify(end))
    if kind == "dirichlet":
        return Dirichlet(value)
    if kind == "neumann":
        return Neumann(slope)
    a, b = ROBIN
    return Robin(a, b, a * value + b * slope)


def on_grid(expressions: Sequence[sp.Expr], grid: Grid, boundary: Any, t: float) -> np.ndarray:
    """Return expressions at the nodes at time t, shape (component, *space)."""
    mesh = dict(zip(grid.axes, grid.mesh(boundary), strict=True))
    names = (TIME, *grid.axes)
    made = np.empty((len(expressions), *grid.shape))
    for k, expression in enumerate(expressions):
        function = compile_expression(expression, names)
        made[k] = function(t, *(mesh[a] for a in grid.axes))
    return made


def order(errors: Sequence[float], cells: Sequence[int]) -> float:
    """Return the observed order, log(e₃/e₄)/log(h₃/h₄), on the last pair of grids."""
    return float(np.log(errors[-2] / errors[-1]) / np.log(cells[-1] / cells[-2]))
