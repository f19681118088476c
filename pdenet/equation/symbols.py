"""The words in which a user writes an equation: coordinates, fields, coefficients, indices, D.

Scalar fields are ordinary SymPy functions u(t, x, y). A vector field stays opaque: `U[i]` is one
symbolic component with a free index, whatever the number of components, so that symbolic work does
not grow with the number of channels.
"""

from __future__ import annotations

import keyword
import numbers
import re
from collections.abc import Sequence
from typing import Any  # `fields` and `indices` give one or a tuple, as SymPy's `symbols` does

import numpy as np
import sympy as sp
from sympy.core.function import AppliedUndef, UndefinedFunction

from pdenet.errors import EquationError

TIME = "t"
SPACE = ("x", "y", "z")

# What a name may look like. Code is generated from canonical expressions, so this check is what
# stands between a symbol's name and the interpreter.
_NAME = re.compile(r"[^\W\d]\w*\Z")
MAX_NAME_LENGTH = 64


def check_name(name: object, what: str) -> str:
    """Return `name` when it is a plain identifier.

    Args:
        name: the name to check.
        what: what it names, for the message ("field", "parameter", ...).

    Raises:
        EquationError: the name is not a string, too long, not an identifier, a Python keyword, or
            begins with an underscore (those names are reserved).
    """
    if (
        not isinstance(name, str)
        or len(name) > MAX_NAME_LENGTH
        or not _NAME.match(name)
        or keyword.iskeyword(name)
        or name.startswith("_")
    ):
        shown = repr(name)[:60]
        raise EquationError(
            f"the name of a {what} must be an identifier of at most {MAX_NAME_LENGTH} letters, "
            f"digits and underscores; got {shown}; rename it"
        )
    return name


def canonical_symbol(name: str) -> sp.Symbol:
    """Return the one symbol that stands for `name` in canonical forms, whatever its assumptions."""
    return sp.Symbol(name, real=True)


def as_expression(value: object, what: str) -> sp.Expr:
    """Return a number or a SymPy expression as a SymPy expression; text is never evaluated.

    Raises:
        EquationError: `value` is a string, a bool or anything else that is no expression.
    """
    if isinstance(value, sp.Expr):
        return value
    if isinstance(value, numbers.Integral) and not isinstance(value, bool | np.bool_):
        return sp.Integer(int(value))
    if isinstance(value, numbers.Rational):
        return sp.Rational(value.numerator, value.denominator)
    if isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_):
        return sp.Float(float(value))
    raise EquationError(
        f"{what} must be a number or a SymPy expression; got {str(value)[:60]!r} "
        f"({type(value).__name__}); texts are read by pn.parse"
    )


def equation(left: sp.Expr, right: sp.Expr) -> sp.Eq:
    """Return left = right as it stands; `sp.Eq(left, right)` would first try to decide it.

    That asks for every assumption on left − right and takes longer than all that is done with an
    equation of ordinary size.
    """
    return sp.Eq(left, right, evaluate=False)


def coordinates(names: str) -> tuple[sp.Symbol, ...]:
    """Make the time and the space coordinates.

    Args:
        names: "t x", "t x y" or "t x y z"; commas are allowed.

    Returns:
        One real SymPy symbol a name, in that order.

    Raises:
        EquationError: other names, or another order.

    Example:
        >>> coordinates("t x y")
        (t, x, y)
    """
    parts = tuple(names.replace(",", " ").split()) if isinstance(names, str) else ()
    if len(parts) < 2 or parts != (TIME, *SPACE)[: len(parts)]:
        raise EquationError(
            'coordinates are "t x", "t x y" or "t x y z" (one to three dimensions); '
            f"got {names!r}; write the equation in these"
        )
    return tuple(canonical_symbol(part) for part in parts)


def check_coordinates(coords: Sequence[sp.Symbol], what: str) -> tuple[sp.Symbol, ...]:
    """Return `coords` as a tuple when they are t and the first of x, y, z, in that order."""
    given = tuple(coords) if isinstance(coords, Sequence | sp.Tuple) else (coords,)
    names = tuple(getattr(c, "name", str(c)) for c in given)
    if len(names) < 2 or names != (TIME, *SPACE)[: len(names)]:
        raise EquationError(
            f"{what} must depend on (t, x), (t, x, y) or (t, x, y, z), in that order; "
            f"got {names}; make them with coordinates(...)"
        )
    return given


def fields(names: str, coords: Sequence[sp.Symbol]) -> Any:
    """Make scalar fields: ordinary SymPy functions of the coordinates.

    Args:
        names: one name, or several separated by spaces or commas.
        coords: `(t, x)`, `(t, x, y)` or `(t, x, y, z)`.

    Returns:
        One field for one name, else a tuple, as SymPy's `symbols` does.

    Raises:
        EquationError: a name is no identifier, is a coordinate's, or comes twice.

    Example:
        >>> t, x = coordinates("t x")
        >>> fields("u", (t, x))
        u(t, x)
    """
    if not isinstance(names, str):
        raise EquationError(f'field names are one string such as "u v"; got {names!r}; quote them')
    coords = check_coordinates(coords, "fields")
    parts = names.replace(",", " ").split()
    if not parts or len(set(parts)) < len(parts):
        raise EquationError(f"field names must be present and distinct; got {names!r}; rename one")
    for part in parts:
        _refuse_coordinate(check_name(part, "field"), "field")
    made = tuple(sp.Function(part)(*coords) for part in parts)
    return made[0] if len(made) == 1 and "," not in names else made


def _refuse_coordinate(name: str, what: str) -> None:
    if name in (TIME, *SPACE):
        raise EquationError(
            f"a {what} must not be named like a coordinate (t, x, y, z); got {name!r}; rename it"
        )


class Index(sp.Symbol):
    """A component index: free where it stands on the left side, summed elsewhere."""

    def __new__(cls, name: str) -> Index:
        """Make an index of that name."""
        check_name(name, "index")
        return super().__new__(cls, name, integer=True)


def indices(names: str) -> Any:
    """Make component indices: one for one name, else a tuple.

    Example:
        >>> indices("i j k")
        (i, j, k)
    """
    if not isinstance(names, str) or not names.replace(",", " ").split():
        raise EquationError(f'index names are one string such as "i j k"; got {names!r}; quote it')
    made = tuple(Index(part) for part in names.replace(",", " ").split())
    return made[0] if len(made) == 1 else made


def _check_subscripts(subscripts: object, rank: int, what: str) -> tuple[sp.Expr, ...]:
    given = subscripts if isinstance(subscripts, tuple) else (subscripts,)
    if len(given) != rank:
        raise EquationError(
            f"{what} has {rank} indices; got {len(given)}: {given}; give one for each"
        )
    for one in given:
        if not isinstance(one, Index):
            raise EquationError(
                f"the indices of {what} are made with indices(...); got {one!r} "
                f"({type(one).__name__}); use pn.indices"
            )
    return given


class Component(sp.Expr):
    """One component U_i of a vector field, with a symbolic index. Made by `VectorField[i]`."""

    is_commutative = True
    is_real = True
    _diff_wrt = False

    def __new__(
        cls, field: sp.Symbol, size: sp.Expr, index: Index, *coords: sp.Symbol
    ) -> Component:
        """Make a component from SymPy arguments only, so that SymPy can rebuild it."""
        return super().__new__(cls, field, size, index, *coords)

    @property
    def name(self) -> str:
        """The name of the field or coefficient."""
        return str(self.args[0].name)

    @property
    def size(self) -> sp.Expr:
        """The number of components."""
        return self.args[1]

    @property
    def index(self) -> Index:
        """The index."""
        return self.args[2]

    @property
    def coordinates(self) -> tuple[sp.Symbol, ...]:
        """The coordinates, t first."""
        return tuple(self.args[3:])

    def _eval_derivative(self, symbol: sp.Symbol) -> sp.Expr:
        if symbol in self.coordinates:
            return sp.Derivative(self, symbol, evaluate=False)
        return sp.S.Zero

    def _sympystr(self, printer: sp.printing.printer.Printer) -> str:
        return f"{self.name}[{self.index}]"

    def _latex(self, printer: sp.printing.printer.Printer, exp: str | None = None) -> str:
        text = f"{printer._print(self.args[0])}_{{{self.index}}}"
        return text if exp is None else f"{text}^{{{exp}}}"


class VectorField:
    """A field with many components that is never expanded into scalars.

    Args:
        name: the field's name.
        size: the number of components, an integer or a SymPy symbol that is fixed later.
        coords: `(t, x)`, `(t, x, y)` or `(t, x, y, z)`.

    Raises:
        EquationError: a bad name, size or coordinates.

    Example:
        >>> t, x = coordinates("t x")
        >>> VectorField("u", sp.Symbol("n"), (t, x))[Index("i")].diff(x)
        Derivative(u[i], x)
    """

    def __init__(self, name: str, size: int | sp.Expr, coords: Sequence[sp.Symbol]) -> None:
        _refuse_coordinate(check_name(name, "field"), "field")
        self.name = name
        self.size = check_size(size, f"the size of field {name!r}")
        self.coordinates = check_coordinates(coords, "a vector field")

    def __getitem__(self, index: Index) -> Component:
        (one,) = _check_subscripts(index, 1, f"field {self.name!r}")
        return Component(canonical_symbol(self.name), self.size, one, *self.coordinates)

    def __repr__(self) -> str:
        return f"VectorField({self.name!r}, {self.size}, {self.coordinates})"


def check_size(size: object, what: str) -> sp.Expr:
    """Return a size as a SymPy expression: a positive integer, or an expression in symbols."""
    made = as_expression(size, what)
    if made.is_integer is False or isinstance(made, sp.Float):
        raise EquationError(f"{what} must be an integer or a symbol; got {size!r}; use sp.Symbol")
    if made.is_number and not (made.is_Integer and made > 0):
        raise EquationError(f"{what} must be at least 1; got {size!r}; use a positive integer")
    # Sizes are matched by name, as parameters are.
    return made.xreplace(
        {s: sp.Symbol(s.name, integer=True, positive=True) for s in made.free_symbols}
    )


class Entry(sp.Expr):
    """One entry A_ij of a coefficient, with symbolic indices. Made by `Coefficient[i, j]`."""

    is_commutative = True
    is_real = True

    def __new__(cls, name: sp.Symbol, shape: sp.Tuple, *subscripts: Index) -> Entry:
        """Make an entry from SymPy arguments only, so that SymPy can rebuild it."""
        return super().__new__(cls, name, shape, *subscripts)

    @classmethod
    def class_key(cls) -> tuple[int, int, str]:
        """Return SymPy's printing order: after symbols, before fields, so A_ij u_j."""
        return 3, 0, cls.__name__

    @property
    def name(self) -> str:
        """The name of the field or coefficient."""
        return str(self.args[0].name)

    @property
    def shape(self) -> tuple[sp.Expr, ...]:
        """The sizes."""
        return tuple(self.args[1])

    @property
    def indices(self) -> tuple[Index, ...]:
        """The indices."""
        return tuple(self.args[2:])

    def _eval_derivative(self, symbol: sp.Symbol) -> sp.Expr:
        return sp.S.Zero

    def _sympystr(self, printer: sp.printing.printer.Printer) -> str:
        return f"{self.name}[{', '.join(str(i) for i in self.indices)}]"

    def _latex(self, printer: sp.printing.printer.Printer, exp: str | None = None) -> str:
        text = f"{printer._print(self.args[0])}_{{{' '.join(str(i) for i in self.indices)}}}"
        return text if exp is None else f"{text}^{{{exp}}}"


class Coefficient:
    """An unknown tensor of coefficients, given by `values=` or learned.

    Args:
        name: the coefficient's name.
        shape: one integer or symbolic size an index; any rank from 1.

    Raises:
        EquationError: a bad name or shape.

    Example:
        >>> Coefficient("A", (sp.Symbol("n"), 3))[Index("i"), Index("j")]
        A[i, j]
    """

    def __init__(self, name: str, shape: Sequence[int | sp.Expr]) -> None:
        _refuse_coordinate(check_name(name, "coefficient"), "coefficient")
        sizes = tuple(shape) if isinstance(shape, Sequence | sp.Tuple) else (shape,)
        if not sizes:
            raise EquationError(
                f"coefficient {name!r} needs a shape such as (n, n); got (); a "
                "coefficient without indices is a plain SymPy symbol"
            )
        self.name = name
        self.shape = tuple(check_size(s, f"a size of coefficient {name!r}") for s in sizes)

    def __getitem__(self, subscripts: Index | tuple[Index, ...]) -> Entry:
        given = _check_subscripts(subscripts, len(self.shape), f"coefficient {self.name!r}")
        return Entry(canonical_symbol(self.name), sp.Tuple(*self.shape), *given)

    def __repr__(self) -> str:
        return f"Coefficient({self.name!r}, {self.shape})"


class D(sp.Expr):
    """An unevaluated derivative ∂(a)/∂x that keeps its divergence form: `D(h*a, x)`.

    SymPy expands `(h*a).diff(x)` by the product rule at once; `D` does not. The discretisation
    takes the difference of half-node fluxes, so that what leaves one cell enters the next.

    Args:
        argument: an expression in fields, derivatives (`u.diff(x)`), coefficients and coordinates.
        coordinate: the space coordinate.

    Raises:
        EquationError: the coordinate is not one of x, y, z, or a D stands inside a D.

    Example:
        >>> t, x = coordinates("t x")
        >>> u = fields("u", (t, x))
        >>> D(u**2 / 2, x).doit()
        u(t, x)*Derivative(u(t, x), x)
    """

    is_commutative = True

    def __new__(cls, argument: sp.Expr, coordinate: sp.Symbol) -> D:
        """Check the coordinate and the argument."""
        argument = as_expression(argument, "the argument of D")
        if getattr(coordinate, "name", None) not in SPACE:
            raise EquationError(
                f"D(expression, x) differentiates along x, y or z; got {coordinate}; "
                "time derivatives are written u.diff(t)"
            )
        if argument.has(D):
            raise EquationError(
                f"D holds fields and their plain derivatives; got a D inside D: {argument}; "
                "write the inner one as u.diff(x)"
            )
        return super().__new__(cls, argument, coordinate)

    @property
    def argument(self) -> sp.Expr:
        """What stands under the derivative."""
        return self.args[0]

    @property
    def coordinate(self) -> sp.Symbol:
        """The coordinate along which the derivative is taken."""
        return self.args[1]

    def doit(self, **hints: bool) -> sp.Expr:
        """Return the derivative carried out by the product and chain rules."""
        return sp.diff(self.argument, self.coordinate)

    def _eval_derivative(self, symbol: sp.Symbol) -> sp.Expr:
        return sp.Derivative(self, symbol, evaluate=False)

    def _latex(self, printer: sp.printing.printer.Printer, exp: str | None = None) -> str:
        text = rf"\partial_{{{self.coordinate}}}\left({printer._print(self.argument)}\right)"
        return text if exp is None else rf"\left({text}\right)^{{{exp}}}"


def is_field(expr: sp.Basic) -> bool:
    """Tell whether `expr` looks like a field: a function of t and the first of x, y, z."""
    if isinstance(expr, Component):
        return True
    if not isinstance(expr, AppliedUndef) or not isinstance(expr.func, UndefinedFunction):
        return False
    names = tuple(getattr(a, "name", None) for a in expr.args)
    return len(names) >= 2 and names == (TIME, *SPACE)[: len(names)]
