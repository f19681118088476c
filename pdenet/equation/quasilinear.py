"""The quasi-linear systems behind ConvNets, Eqs. (1)–(7) and (9) of Liu, Shao & Bai (2023).

The components of the vector field u are the channels of a ConvNet, the coefficients its weights.
Everything is dimensionless: a pixel is the unit of length, a layer the unit of time. Where the
paper's text at hand does not print a formula, the entry's source says how it was found: [paper],
[figure] or [derived].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import sympy as sp

from pdenet.equation.classical import check_choice, space
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import (
    Coefficient,
    Component,
    D,
    Index,
    VectorField,
    as_expression,
    coordinates,
    equation,
    fields,
    is_field,
)
from pdenet.errors import EquationError

_LIU = "Liu, Shao & Bai (2023), arXiv 2308.01621"
_COUNTED = "[derived], matches the printed parameter count"
_DIRECTIONS = ("along x", "along y", "along z")


def _eq1(
    fields: str | Sequence[sp.Expr] = "u v",
    A: object = None,
    B: object = None,
) -> PDE:
    """∂u/∂t = A(u) ∂u/∂x + B(u) ∂u/∂y; the default A and B are symmetric, hence hyperbolic."""
    made = _eq1_fields(fields)
    if A is None and B is None:
        if len(made) != 2 or len(made[0].args) != 3:
            raise EquationError(
                f"'eq1' without A= and B= has two fields of (t, x, y); got {made}; give matrices"
            )
        u, v = made
        A, B = [[u, v], [v, u]], [[u, -v], [-v, u]]
    axes = made[0].args[1:]
    given = [m for m in (A, B) if m is not None]
    if len(given) != len(axes) or A is None:
        raise EquationError(
            f"'eq1' takes one matrix an axis, A= for x and B= for y; got {len(given)} for fields "
            f"of {made[0].args}; give as many as there are space coordinates, at most two"
        )
    matrices = [_matrix(m, len(made), name) for m, name in zip(given, "AB", strict=False)]
    right = sp.zeros(len(made), 1)
    for matrix, axis in zip(matrices, axes, strict=True):
        right += matrix * sp.Matrix([f.diff(axis) for f in made])
    time = made[0].args[0]
    return PDE(
        *(equation(f.diff(time), r) for f, r in zip(made, right, strict=True)),
        name="eq1",
        description="The general quasi-linear system of first order, u_t = A(u) u_x + B(u) u_y.",
        source=f"{_LIU}, Eq. (1) [paper, in words]; the default A and B are an example of ours",
    )


def _eq1_fields(given: str | Sequence[sp.Expr]) -> tuple[sp.Expr, ...]:
    if isinstance(given, str):
        found = fields(given, coordinates("t x y"))
        return found if isinstance(found, tuple) else (found,)
    found = tuple(given) if isinstance(given, Sequence) else (given,)
    if not found or not all(is_field(f) and not isinstance(f, Component) for f in found):
        raise EquationError(
            f"'eq1' takes fields= as names or as fields of pn.fields; got {given!r}; "
            'write fields="u v"'
        )
    return found


def _matrix(given: object, size: int, name: str) -> sp.Matrix:
    rows = given.tolist() if isinstance(given, sp.MatrixBase | np.ndarray) else given
    if not isinstance(rows, list | tuple) or not all(isinstance(r, list | tuple) for r in rows):
        raise EquationError(
            f"{name} of 'eq1' is a SymPy matrix or rows of expressions; got {given!r}; "
            "use sp.Matrix([[...]])"
        )
    if [len(r) for r in rows] != [size] * size:
        raise EquationError(
            f"{name} of 'eq1' has the shape {(size, size)}, as there are {size} fields; got rows "
            f"of {[len(r) for r in rows]}; give a square matrix"
        )
    # Entry by entry: sp.Matrix would evaluate a text.
    return sp.Matrix([[as_expression(e, f"an entry of {name}") for e in row] for row in rows])


def _size(n: object) -> sp.Expr:
    """Return the number of components: the symbol n, fixed later by values=, or what was given."""
    if n is None:
        return sp.Symbol("n", integer=True, positive=True)
    if isinstance(n, bool) or not isinstance(n, int | sp.Expr):
        raise EquationError(
            f"n is a positive integer, a SymPy symbol or None; got {n!r}; leave it out"
        )
    return sp.Integer(n) if isinstance(n, int) else n


def _made(
    name: str, field: VectorField, right: sp.Expr, texts: Mapping[str, str], words: str, mark: str
) -> PDE:
    i = Index("i")
    sizes = {s.name: "number of components" for s in field.size.free_symbols}
    descriptions = {**texts, **sizes}
    return PDE(
        equation(field[i].diff(field.coordinates[0]), right),
        name=name,
        units=dict.fromkeys(descriptions, "dimensionless"),
        descriptions=descriptions,
        description=words,
        source=f"{_LIU}, Eq. ({name[2:]}) {mark}",
    )


def _matrices(
    letter: str, shape: tuple[sp.Expr, ...], axes: Sequence[sp.Symbol], text: str
) -> tuple[list[Coefficient], dict[str, str]]:
    """Return one coefficient an axis, Ax, Ay, …, and their descriptions."""
    made = [Coefficient(f"{letter}{a}", shape) for a in axes]
    return made, {c.name: f"{text} {way}" for c, way in zip(made, _DIRECTIONS, strict=False)}


def _plane(
    name: str, dimension: int, n: object
) -> tuple[sp.Expr, tuple[sp.Symbol, ...], VectorField]:
    """Return size, axes and field of the equations with one letter an axis, A and B."""
    check_choice("dimension", dimension, (1, 2), name)
    t, axes = space(dimension, name)
    size = _size(n)
    return size, axes, VectorField("u", size, (t, *axes))


def _eq2(dimension: int = 2, n: object = None) -> PDE:
    size, axes, u = _plane("eq2", dimension, n)
    i, j, k = map(Index, "ijk")
    made = [Coefficient(letter, (size,) * 3) for letter in "AB"[:dimension]]
    return _made(
        "eq2",
        u,
        sp.Add(*(c[i, j, k] * u[k] * u[j].diff(a) for c, a in zip(made, axes, strict=True))),
        {c.name: f"coefficients {way}" for c, way in zip(made, _DIRECTIONS, strict=False)},
        "Eq. (1) with matrices linear in u: A_ij(u) = Σ_k A_ijk u_k.",
        "[paper]",
    )


def _eq3(dimension: int = 2, n: object = None) -> PDE:
    size, axes, u = _plane("eq3", dimension, n)
    i, j, k = map(Index, "ijk")
    pairs = [tuple(Coefficient(s, (size, size)) for s in pair) for pair in ("AC", "BD")]
    pairs = pairs[:dimension]
    texts = {}
    for (left, right), way in zip(pairs, _DIRECTIONS, strict=False):
        texts[left.name] = f"outer matrix {way} (the closing 1×1 convolution)"
        texts[right.name] = f"inner matrix {way} (the opening 1×1 convolution)"
    terms = (
        left[i, j] * right[j, k] * u[k] * u[j].diff(a)
        for (left, right), a in zip(pairs, axes, strict=True)
    )
    words = "Eq. (2) with factorised coefficients, A_ijk → A_ij C_jk: the paper's main system."
    return _made("eq3", u, sp.Add(*terms), texts, words, "[figure]")


def _eq4(dimension: int = 2, n: object = None) -> PDE:
    t, axes = space(dimension, "eq4")
    size = _size(n)
    u, (i, j, k) = VectorField("u", size, (t, *axes)), map(Index, "ijk")
    matrices, texts = _matrices("A", (size, size), axes, "matrix")
    c = Coefficient("C", (size, size))
    terms = (c[i, k] * u[k] * m[i, j] * u[j].diff(a) for m, a in zip(matrices, axes, strict=True))
    return _made(
        "eq4",
        u,
        sp.Add(*terms),
        {**texts, "C": "factor of each component, shared by the directions"},
        "Linear derivatives, multiplied component by component by a linear map of u.",
        _COUNTED,
    )


def _eq5(dimension: int = 2, n: object = None) -> PDE:
    t, axes = space(dimension, "eq5")
    size = _size(n)
    u, (i, k) = VectorField("u", size, (t, *axes)), map(Index, "ik")
    matrices, texts = _matrices("C", (size, size), axes, "speed of each component")
    terms = (m[i, k] * u[k] * u[i].diff(a) for m, a in zip(matrices, axes, strict=True))
    words = "Each component carried with a velocity that is a linear map of u."
    return _made("eq5", u, sp.Add(*terms), texts, words, _COUNTED)


def _eq6(dimension: int = 2, n: object = None) -> PDE:
    t, axes = space(dimension, "eq6")
    size = _size(n)
    u, (i, j, k) = VectorField("u", size, (t, *axes)), map(Index, "ijk")
    matrices, texts = _matrices("A", (size, size), axes, "outer matrix")
    c = Coefficient("C", (size, size))
    terms = (m[i, j] * D(u[j] * c[j, k] * u[k], a) for m, a in zip(matrices, axes, strict=True))
    return _made(
        "eq6",
        u,
        sp.Add(*terms),
        {**texts, "C": "inner matrix, shared by the directions"},
        "A conservation law whose fluxes are components times a linear map of u.",
        _COUNTED,
    )


def _eq7(dimension: int = 2, n: object = None) -> PDE:
    t, axes = space(dimension, "eq7")
    size = _size(n)
    hidden = 3 * size
    u, (i, j, k, m) = VectorField("u", size, (t, *axes)), map(Index, "ijkl")
    matrices, texts = _matrices("A", (size, hidden), axes, "outer matrix")
    c, d = (Coefficient(letter, (hidden, size)) for letter in "CD")
    flux = c[j, k] * u[k] * d[j, m] * u[m]
    terms = (matrix[i, j] * D(flux, a) for matrix, a in zip(matrices, axes, strict=True))
    return _made(
        "eq7",
        u,
        sp.Add(*terms),
        {**texts, "C": "first inner matrix", "D": "second inner matrix"},
        "A conservation law whose 3n fluxes are products of two linear maps of u.",
        _COUNTED,
    )


def _eq9(dimension: int = 2, n: object = None) -> PDE:
    size, axes, u = _plane("eq9", dimension, n)
    i, j = map(Index, "ij")
    made = [Coefficient(letter, (size, size)) for letter in "AB"[:dimension]]
    return _made(
        "eq9",
        u,
        sp.Add(*(c[i, j] * u[j].diff(a) for c, a in zip(made, axes, strict=True))),
        {c.name: f"matrix {way}" for c, way in zip(made, _DIRECTIONS, strict=False)},
        "The linear system u_t = A u_x + B u_y; hyperbolic when every real combination of A and B "
        "is diagonalisable with real eigenvalues.",
        "[paper]",
    )


QUASILINEAR: Mapping[str, Callable[..., PDE]] = {
    "eq1": _eq1,
    "eq2": _eq2,
    "eq3": _eq3,
    "eq4": _eq4,
    "eq5": _eq5,
    "eq6": _eq6,
    "eq7": _eq7,
    "eq9": _eq9,
}
"""Name -> builder; the builder's keyword arguments are the options of `catalogue.build`."""
