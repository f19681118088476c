"""Equations from text, read through a whitelist: no text is ever evaluated.

    u_t = D*(u_xx + u_yy)                       u_t, u_tt, u_xy are derivatives of the field u
    u_t = d(k(x, y)*u_x, x) + sin(pi*x)         d(…, x) or D(…, x) keeps divergence form
    h_t = -d(h*a, x); a_t = -a*a_x - g*h_x      several equations: `;`, a new line, or a list

Names with an equation are fields; `c(x, y)` is a coefficient function; every other name is a
parameter. Powers are `**` or `^`. The way in: (1) caps on length, depth and digits and an alphabet
without quotes, dots and square brackets; (2) Python's own grammar, `ast.parse`, which runs nothing;
(3) a walk over that tree in which every node must be known. Constants are bounded in floating
point before SymPy sees them, so that `9**9**9` costs nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import Any  # PDE's own keyword arguments are handed on

import sympy as sp

from pdenet.equation.pde import PDE
from pdenet.equation.source import Side, Source, sources, split, within
from pdenet.equation.symbols import SPACE, TIME, check_name
from pdenet.equation.symbols import coordinates as make_coordinates
from pdenet.equation.walk import SUBSCRIPT, Walker
from pdenet.errors import EquationError

MAX_EQUATIONS = 24


def parse(
    text: str | Sequence[str],
    *,
    coordinates: str | None = None,
    fields: str | None = None,
    **metadata: Any,
) -> PDE:
    """Read a PDE from text; see the head of this module for the language.

    Args:
        text: one equation `left = right`, several separated by `;` or new lines, or a sequence.
        coordinates: "t x", "t x y" or "t x y z"; by default what occurs.
        fields: the names of the fields, "u v"; by default those with a time derivative.
        metadata: name, defaults, units, ... of `PDE`.

    Returns:
        The PDE, equal to the one written in SymPy.

    Raises:
        ParseError: the text is not of the language or is no PDE; a caret shows the place.

    Example:
        >>> print(parse("u_t = D*(u_xx + u_yy)"))
        u_t = D (u_xx + u_yy)
        >>> parse("u_tt = c^2*laplacian(u)", coordinates="t x y").parameters[0].name
        'c'
    """
    equations = parse_equations(text, coordinates=coordinates, fields=fields)
    shown = text if isinstance(text, str) else "; ".join(text)
    with within(lambda problem: f"{problem}\n    {shown[:200]}"):
        return PDE(*equations, **metadata)


def parse_equations(
    text: str | Sequence[str], *, coordinates: str | None = None, fields: str | None = None
) -> tuple[sp.Eq, ...]:
    """Read equations from text as `sympy.Eq` in canonical symbols.

    Args:
        text: as in `parse`.
        coordinates: as in `parse`.
        fields: as in `parse`.

    Raises:
        ParseError: the text is not of the language.

    Example:
        >>> parse_equations("u_t + u*u_x = 0")
        (Eq(u(t, x)*Derivative(u(t, x), x) + Derivative(u(t, x), t), 0),)
    """
    sides = [side for source in sources(text) for side in split(source)]
    if len(sides) > 2 * MAX_EQUATIONS:
        sides[-1].source.fail(
            0, f"at most {MAX_EQUATIONS} equations were expected; got {len(sides) // 2}; "
            "write large systems with pn.VectorField"
        )  # fmt: skip
    trees = [side.tree() for side in sides]
    names = {n.id for tree in trees for n in ast.walk(tree) if isinstance(n, ast.Name)}
    with within(lambda problem: problem):
        found = _field_names(trees) if fields is None else fields.replace(",", " ").split()
        for one in found:
            check_name(one, "field")
            if one in (TIME, *SPACE, "pi", "π"):
                raise EquationError(
                    f"a field has a name of its own; got {one!r}, which is a coordinate or a "
                    "constant; rename the field"
                )
        if coordinates is None:
            coordinates = _infer(names, found)
        coords = make_coordinates(coordinates)
    walkers = [Walker(side, coords, tuple(found)) for side in sides]
    made = [walker.read(tree) for walker, tree in zip(walkers, trees, strict=True)]
    return tuple(
        sp.Eq(left, right, evaluate=False)
        for left, right in zip(made[::2], made[1::2], strict=True)
    )


def parse_expression(text: str, names: Iterable[str] = (TIME, *SPACE)) -> sp.Expr:
    """Read an initial state, a boundary value or a parameter from text.

    Args:
        text: an expression such as "exp(-40*(x^2 + y^2))".
        names: the coordinates and parameters that may occur; by default t, x, y and z.

    Returns:
        The expression in canonical symbols; numbers are exact rationals.

    Raises:
        ParseError: the text is not of the language, or another name occurs.

    Example:
        >>> parse_expression("exp(-40*(x^2 + 0.25))", ["x", "y"])
        exp(-40*x**2 - 10)
    """
    if not isinstance(text, str):
        Source(str(text)[:80]).fail(
            0, f"an expression as text was expected; got a {type(text).__name__}; put it in quotes"
        )
    source = Source(text)
    tokens = source.scan()
    for place, token in tokens:
        if token in ("=", "==", ";"):
            source.fail(place, f"one expression was expected; got {token!r}; write its value alone")
    side = Side(source, 0, len(text))
    return Walker(side, None, (), tuple(names)).read(side.tree())


def _field_names(trees: Sequence[ast.expr]) -> list[str]:
    """Return the names with a time derivative, on the left sides where there are any."""
    found: dict[str, None] = {}
    for left, right in zip(trees[::2], trees[1::2], strict=True):
        rates = _rates(left) or _rates(right)
        if not rates:
            raise EquationError(
                "each equation holds a time derivative of its field, such as u_t; got none in "
                f"{ast.unparse(left)[:60]!r} = {ast.unparse(right)[:60]!r}; write u_t = ..."
            )
        found.update(dict.fromkeys(rates))
    return list(found)


def _rates(tree: ast.expr) -> list[str]:
    rates: list[str] = []
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) if (m := SUBSCRIPT.match(name)) and TIME in m["along"]:
                rates.append(m["base"])
            case ast.Call(func=ast.Name(id="diff"), args=[ast.Name(id=name), *along]) if any(
                isinstance(a, ast.Name) and a.id == TIME for a in along
            ):
                rates.append(name)
    return rates


def _infer(names: Iterable[str], found: Sequence[str]) -> str:
    letters = set()
    for name in names:
        match = SUBSCRIPT.match(name)
        if name in SPACE:
            letters.add(name)
        elif match and match["base"] in found:
            letters.update(match["along"])
    dimension = max((k + 1 for k, axis in enumerate(SPACE) if axis in letters), default=1)
    if "laplacian" in names and dimension == 1:
        raise EquationError(
            "laplacian(u) needs to know the space; got no y or z in the text; "
            'say coordinates="t x", "t x y" or "t x y z"'
        )
    return " ".join((TIME, *SPACE[:dimension]))
