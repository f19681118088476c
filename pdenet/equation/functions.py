"""Which functions may stand in an equation, and canonical expressions compiled to array functions.

Only expressions whose every symbol has passed `check_name` and whose every function is in the table
below reach SymPy's code generator, and there all names are replaced by generated ones. No text is
ever evaluated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any  # arrays of NumPy or torch: whatever the back end's arithmetic returns

import numpy as np
import sympy as sp
from sympy.core.function import AppliedUndef
from sympy.printing.numpy import NumPyPrinter

from pdenet.equation.symbols import Component, D, Entry, canonical_symbol
from pdenet.errors import EquationError

FUNCTIONS: Mapping[str, type[sp.Basic]] = {
    "sin": sp.sin,
    "cos": sp.cos,
    "tan": sp.tan,
    "asin": sp.asin,
    "acos": sp.acos,
    "atan": sp.atan,
    "atan2": sp.atan2,
    "sinh": sp.sinh,
    "cosh": sp.cosh,
    "tanh": sp.tanh,
    "exp": sp.exp,
    "log": sp.log,
    "erf": sp.erf,
    "Abs": sp.Abs,
    "sign": sp.sign,
    "Max": sp.Max,
    "Min": sp.Min,
    "Heaviside": sp.Heaviside,
    "Piecewise": sp.Piecewise,
}
"""The pointwise functions of the language, by SymPy's names; `sqrt` is a power."""

RECIPROCALS: Mapping[str, tuple[type[sp.Basic], type[sp.Basic]]] = {
    "sec": (sp.sec, sp.cos),
    "csc": (sp.csc, sp.sin),
    "cot": (sp.cot, sp.tan),
    "sech": (sp.sech, sp.cosh),
    "csch": (sp.csch, sp.sinh),
    "coth": (sp.coth, sp.tanh),
}
"""Functions that are read as 1 over another one."""


def without_reciprocals(expr: sp.Expr) -> sp.Expr:
    """Return `expr` with sech(x) as 1/cosh(x), and so on."""
    if not expr.has(*(function for function, _ in RECIPROCALS.values())):
        return expr
    for function, other in RECIPROCALS.values():
        expr = expr.replace(function, lambda argument, other=other: 1 / other(argument))
    return expr


_STRUCTURE = (
    sp.Add, sp.Mul, sp.Pow, sp.Number, sp.NumberSymbol, sp.Symbol, sp.Derivative, sp.Tuple,
    sp.core.relational.Relational, sp.logic.boolalg.Boolean,
    sp.functions.elementary.piecewise.ExprCondPair,
    Component, Entry, D, AppliedUndef,
)  # fmt: skip


_ADMITTED = (*_STRUCTURE, *FUNCTIONS.values())


def check_functions(expr: sp.Basic, where: object) -> None:
    """Check that `expr` is made of arithmetic, derivatives and the functions of the language.

    Args:
        expr: the expression.
        where: what it stands in, for the message; printed only when there is one.

    Raises:
        EquationError: something else stands in it, such as an integral or a special function.
    """
    for node in sp.preorder_traversal(expr):
        if not isinstance(node, _ADMITTED):
            raise EquationError(
                "expressions hold arithmetic, derivatives and "
                f"{', '.join([*FUNCTIONS, *RECIPROCALS])}; "
                f"got {str(node)[:60]} ({type(node).__name__}) in {str(where)[:200]}; rewrite it"
            )


def fold(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of any number of arguments from one of two arguments."""

    def folded(*arguments: Any) -> Any:
        made = arguments[0]
        for argument in arguments[1:]:
            made = function(made, argument)
        return made

    return folded


def _select(conditions: Sequence[Any], choices: Sequence[Any], default: float = math.nan) -> Any:
    """Return the first choice whose condition holds; numbers and arrays may be mixed freely.

    `numpy.select` turns exact integers beyond int64 into objects and wants conditions of one shape.
    """
    made: Any = default
    for condition, choice in zip(reversed(conditions), reversed(choices), strict=True):
        value = float(choice) if isinstance(choice, int) else choice
        if np.ndim(condition):
            made = np.where(condition, value, made)
        elif condition:
            made = value
    return made


class Logical:
    """Logical and, or or, as generated code calls them: `reduce` over conditions of any shapes."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def reduce(self, conditions: Sequence[Any]) -> Any:
        """Combine all conditions."""
        return fold(self._function)(*conditions)


class FunctionTable(dict[str, Callable[..., Any]]):
    """What the generated code calls, by the names NumPy uses; hashable by identity."""

    __hash__ = object.__hash__  # type: ignore[assignment]  # tables are constants of a back end


_NUMPY: dict[str, Any] = {
    # From SymPy before 1.14, of a tuple of arrays of any shapes.
    "amax": lambda values, axis: fold(np.maximum)(*values),
    "amin": lambda values, axis: fold(np.minimum)(*values),
    "select": _select,
    "logical_and": Logical(np.logical_and),
    "logical_or": Logical(np.logical_or),
    "erf": np.vectorize(math.erf, otypes=[float]),  # NumPy has none
}

NUMPY = FunctionTable(_NUMPY)
"""What NumPy's own functions do not do, or do for arrays of one shape only."""


@lru_cache(maxsize=4096)
def compile_expression(
    expr: sp.Expr, names: tuple[str, ...], table: FunctionTable = NUMPY
) -> Callable[..., Any]:
    """Compile a canonical expression to a function of its named symbols.

    Args:
        expr: an expression in canonical symbols and coefficient functions c(x, y).
        names: the symbols and coefficient functions, in the order of the arguments.
        table: the functions of a back end; NumPy's unless said otherwise.

    Returns:
        A function of arrays (or numbers); constants come back as Python numbers.

    Raises:
        EquationError: a name or a function of the expression is not one of the language.
    """
    expr = plain(expr)
    check_functions(expr, expr)
    missing = {s.name for s in expr.free_symbols} - set(names)
    if missing:
        raise EquationError(
            f"the names {', '.join(names) or 'none'} are known here; got {sorted(missing)} in "
            f"{expr}; give values for them or rename them"
        )
    # Most prefactors are a number or one parameter, for which code takes a millisecond to make.
    if isinstance(expr, sp.Rational):
        number = int(expr.p) if expr.q == 1 else int(expr.p) / int(expr.q)
        return lambda *values: number
    if isinstance(expr, sp.Symbol):
        place = names.index(expr.name)
        return lambda *values: values[place]
    arguments = [sp.Dummy(f"a{k}") for k in range(len(names))]
    symbols = {canonical_symbol(n): a for n, a in zip(names, arguments, strict=True)}
    symbols |= {s: symbols[canonical_symbol(s.name)] for s in expr.free_symbols}
    # Not modules="numpy": SymPy would import all of NumPy for it, its Fortran compiler included,
    # a tenth of a second. The printer imports the functions that occur.
    printer = NumPyPrinter(
        {
            "fully_qualified_modules": False,
            "inline": True,
            "allow_unknown_functions": True,
            "user_functions": {name: name for name in table},
        }
    )
    return sp.lambdify(
        arguments, expr.xreplace(symbols), [table], printer=printer, cse=True, docstring_limit=0
    )


def plain(expr: sp.Expr) -> sp.Expr:
    """Return `expr` with every coefficient function c(x, y) replaced by the symbol of its name."""
    table = {f: canonical_symbol(f.func.__name__) for f in expr.atoms(AppliedUndef)}
    return expr.xreplace(table)


# Asked at every stage of every step; walking an expression costs more than evaluating it.
@lru_cache(maxsize=4096)
def symbol_names(expr: sp.Expr) -> frozenset[str]:
    """Return the names of the symbols and coefficient functions of a canonical expression."""
    return frozenset(s.name for s in plain(expr).free_symbols)


def evaluate(expr: sp.Expr, environment: Mapping[str, Any], table: FunctionTable = NUMPY) -> Any:
    """Evaluate a canonical expression with arrays or numbers for its names.

    Args:
        expr: an expression in canonical symbols and coefficient functions.
        environment: a value for each name; names that do not occur are ignored.
        table: the functions of a back end.

    Returns:
        An array broadcast from the values, or a number for a constant.

    Raises:
        EquationError: a name has no value.
    """
    names = tuple(sorted(symbol_names(expr) & set(environment)))
    return compile_expression(expr, names, table)(*(environment[n] for n in names))


def to_canonical(expr: sp.Expr, what: str, known: Sequence[str]) -> sp.Expr:
    """Return a user's expression in canonical symbols, checked against the known names.

    Args:
        expr: an expression of the user: an initial state, a boundary value, a coefficient.
        what: what it is, for the message.
        known: the names that may occur.

    Raises:
        EquationError: an unknown name, the imaginary unit or an unknown function occurs.
    """
    if expr.has(sp.I, sp.nan, sp.oo, sp.zoo):
        raise EquationError(f"{what} must be real and finite; got {expr}; change it")
    expr = without_reciprocals(expr)
    unknown = sorted(str(f) for f in expr.atoms(AppliedUndef))
    if unknown or expr.has(Component, Entry, D, sp.Derivative):
        raise EquationError(
            f"{what} holds coordinates, numbers and parameters; got {', '.join(unknown) or expr}; "
            "fields, their derivatives and coefficient functions stand in equations only"
        )
    check_functions(expr, what)
    strange = sorted({s.name for s in expr.free_symbols} - set(known))
    if strange:
        raise EquationError(
            f"{what} may hold {', '.join(known) or 'no symbols'}; got {', '.join(strange)} in "
            f"{expr}; put in a number or use the equation's names"
        )
    return expr.xreplace({s: canonical_symbol(s.name) for s in expr.free_symbols})
