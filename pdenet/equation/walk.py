"""From Python's syntax tree to SymPy, node by node: what is not listed here is refused."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import NoReturn

import sympy as sp
from sympy.core.function import AppliedUndef

from pdenet.equation.arithmetic import (
    check_compared,
    check_constant,
    check_expansion,
    check_power,
    is_constant,
)
from pdenet.equation.canonical import MAX_ORDER
from pdenet.equation.functions import FUNCTIONS, RECIPROCALS
from pdenet.equation.source import Side, within
from pdenet.equation.symbols import SPACE, TIME, D, canonical_symbol
from pdenet.errors import EquationError, suggest

MAX_DEPTH = 50  # of the tree, long sums and products counted once; SymPy recurses a few frames each
MAX_TERMS = 1_000  # multiplied out; a second's work, where SymPy's own equations may take longer
MAX_ARGUMENTS = 8  # Max and Min compare their arguments pairwise
MAX_DERIVED = 15_000  # size^order of an expression that diff() differentiates term by term

_ALIASES = {"abs": "Abs", "max": "Max", "min": "Min", "ln": "log"}
DERIVATIVES = ("d", "D", "diff", "laplacian")
CONSTANTS = {"pi": sp.pi, "π": sp.pi, "E": sp.E}
SUBSCRIPT = re.compile(r"(?P<base>.+)_(?P<along>[txyz]+)\Z")
_MANY = (1, MAX_ARGUMENTS)
_ARITY = {"atan2": (2, 2), "Heaviside": (1, 2), "Max": _MANY, "Min": _MANY}
_COMPARING = {"Abs", "sign", "Heaviside", "Max", "Min"}
_RELATIONS = {ast.Lt: sp.Lt, ast.LtE: sp.Le, ast.Gt: sp.Gt, ast.GtE: sp.Ge}


def _number(value: float) -> sp.Expr:
    # A decimal is the rational it is written as, the rule of canonical form.
    return sp.Integer(value) if isinstance(value, int) else sp.Rational(repr(value))


def _num_nodes(expr: sp.Basic) -> int:
    if isinstance(expr, AppliedUndef | sp.Derivative):
        return 1
    return 1 + sum(_num_nodes(a) for a in expr.args)


# Special functions that a reader would take for SymPy's, not for coefficients to be supplied.
_OF_SYMPY = frozenset(
    {"besselj", "bessely", "besseli", "besselk", "airyai", "airybi", "gamma", "loggamma"}
    | {"digamma", "zeta", "erfc", "erfi", "erfinv", "lambertw", "legendre", "hermite"}
    | {"laguerre", "jacobi", "asinh", "acosh", "atanh", "floor", "ceiling", "factorial"}
    | {"DiracDelta", "Integral", "Sum", "Derivative"}
)


class Walker:
    """Walks over one tree and builds the SymPy expression, node by node.

    Args:
        side: where the tree is from, for messages.
        coords: t and the space coordinates; None in an expression without fields.
        fields: the names that are fields.
        known: in an expression without fields, the names that may occur.
    """

    def __init__(
        self,
        side: Side,
        coords: tuple[sp.Symbol, ...] | None,
        fields: tuple[str, ...],
        known: tuple[str, ...] = (),
    ) -> None:
        self.side = side
        self.coords = coords or ()
        self.fields = fields
        self.known = None if coords else known

    def read(self, tree: ast.expr) -> sp.Expr:
        """Return the expression, real and finite, its expansion of moderate size."""
        with within(lambda problem: self.side.fail(tree, problem), building=True):
            made = self.walk(tree, 0)
            if made.has(sp.I, sp.nan, sp.oo, -sp.oo, sp.zoo):
                raise EquationError(
                    f"a real and finite expression was expected; got {str(made)[:80]}; "
                    "remove the division by zero or the root of a negative number"
                )
            check_expansion(made, MAX_TERMS)
            return made

    def fail(self, node: ast.AST, message: str) -> NoReturn:
        """Raise `message` with a caret below the node."""
        self.side.fail(node, message)

    def walk(self, node: ast.expr, depth: int) -> sp.Expr:
        """Return the expression of a node; every kind of node that is not listed is refused."""
        if depth > MAX_DEPTH:
            self.fail(node, f"an expression nested at most {MAX_DEPTH} deep was expected; got a "
                      "deeper one; write it with fewer operators")  # fmt: skip
        with within(lambda problem: self.fail(node, problem), building=True):
            match node:
                case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                    made = _number(value)
                case ast.Name(id=name):
                    return self._name(node, name)
                case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
                    made = self.walk(operand, depth + 1)
                    made = -made if isinstance(sign, ast.USub) else made
                case ast.BinOp(op=ast.Add() | ast.Sub()):
                    made = self._chain(node, (ast.Add, ast.Sub), depth)
                case ast.BinOp(op=ast.Mult() | ast.Div()):
                    made = self._chain(node, (ast.Mult, ast.Div), depth)
                case ast.BinOp(left=left, op=ast.Pow(), right=right):
                    base, exponent = self.walk(left, depth + 1), self.walk(right, depth + 1)
                    check_power(base, exponent)
                    made = sp.Pow(base, exponent)
                case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                    made = self._call(node, name, args, depth + 1)
                case _:
                    self.fail(
                        node, "numbers, names, + - * / ^ and calls such as sin(u) were expected; "
                        f"got {type(node).__name__}; write it with these"
                    )  # fmt: skip
            if is_constant(made):
                check_constant(made)
            return made

    def _chain(self, node: ast.expr, kinds: tuple[type[ast.operator], ...], depth: int) -> sp.Expr:
        """Return a sum or a product; its left-nested tree is walked in a loop, not recursively."""
        parts: list[sp.Expr] = []
        inverse = kinds[1]
        while isinstance(node, ast.BinOp) and isinstance(node.op, kinds):
            part = self.walk(node.right, depth + 1)
            if isinstance(node.op, inverse):
                if inverse is ast.Div and part == 0:
                    self.fail(
                        node.right, "a divisor that is not zero was expected; got 0; remove it"
                    )
                part = -part if inverse is ast.Sub else 1 / part
            parts.append(part)
            node = node.left
        parts.append(self.walk(node, depth + 1))
        return (sp.Add if inverse is ast.Sub else sp.Mul)(*reversed(parts))

    def _name(self, node: ast.expr, name: str) -> sp.Expr:
        if self.known is not None:
            if name not in self.known and name not in CONSTANTS:
                self.fail(
                    node, f"the names {', '.join(self.known) or 'of constants'} were expected; got "
                    f"{name!r}; use one of them or a number.{suggest(name, self.known)}"
                )  # fmt: skip
            return canonical_symbol(name) if name in self.known else CONSTANTS[name]
        if name in self.fields:
            return sp.Function(name)(*self.coords)
        match = SUBSCRIPT.match(name)
        if match and match["base"] in self.fields:
            field = sp.Function(match["base"])(*self.coords)
            return self._derivative(node, field, [(c, 1) for c in match["along"]])
        if match and len(match["along"]) > 1:
            self.fail(
                node, f"derivatives of fields were expected; got {name!r}, but {match['base']!r} "
                f"has no equation; write {match['base']}_t = ... or rename the parameter."
                f"{suggest(match['base'], self.fields)}"
            )  # fmt: skip
        if name in SPACE:
            return self._coordinate(node, name)
        return CONSTANTS.get(name, canonical_symbol(name))

    def _coordinate(self, node: ast.expr, name: str) -> sp.Symbol:
        names = [c.name for c in self.coords]
        if name not in names:
            self.fail(
                node, f"the coordinates {', '.join(names)} were expected; got {name!r}; say "
                f'coordinates="{" ".join((TIME, *SPACE[: 1 + SPACE.index(name)]))}"'
                if name in SPACE
                else f"one of the coordinates {', '.join(names)} was expected; got {name!r}; "
                "differentiate along one of them",
            )  # fmt: skip
        return canonical_symbol(name)

    def _derivative(
        self, node: ast.expr, expr: sp.Expr, along: Sequence[tuple[str, int]]
    ) -> sp.Expr:
        """Return the derivative, carried out for anything but a field."""
        inside = [sum(k for _, k in d.variable_count) for d in expr.atoms(sp.Derivative)]
        order = max(inside, default=0) + sum(k for _, k in along)
        symbols = [(self._coordinate(node, name), k) for name, k in along]
        size = _num_nodes(expr)
        cost = size ** sum(k for _, k in along)  # each derivative visits what the last one made
        # Two more orders than there are stencils, for u_tt; the reader of equations is stricter.
        if order > MAX_ORDER + 2 or cost > MAX_DERIVED:
            self.fail(
                node, f"derivatives up to order {MAX_ORDER} of short expressions were expected; "
                f"got order {order} of {size} symbols; introduce a field for an inner derivative"
            )  # fmt: skip
        for symbol, count in symbols:
            expr = expr.diff(symbol, count)
        return expr

    def _call(self, node: ast.expr, name: str, args: list[ast.expr], depth: int) -> sp.Expr:
        name = _ALIASES.get(name, name)
        if name == "Piecewise":
            return self._piecewise(node, args, depth)
        if self.known is None and name in DERIVATIVES:
            return self._differential(node, name, args, depth)
        if name == "sqrt" or name in FUNCTIONS:
            low, high = _ARITY.get(name, (1, 1))
            if not low <= len(args) <= high:
                self.fail(
                    node, f"{name} takes {low if low == high else f'{low} to {high}'} "
                    f"argument(s); got {len(args)}; write {name}(u) with as many"
                )  # fmt: skip
            values = [self.walk(a, depth) for a in args]
            if name in _COMPARING:
                for value in values:
                    check_compared(value)
            if name == "sqrt":
                check_power(values[0], sp.S.Half)
                return sp.sqrt(values[0])
            if all(is_constant(v) for v in values):
                # Before SymPy sees it: it would evaluate Max(exp(exp(exp(9))), 1) to any precision.
                check_constant(FUNCTIONS[name](*values, evaluate=False), computed=False)
            return FUNCTIONS[name](*values)
        if name in RECIPROCALS and len(args) == 1:
            return 1 / RECIPROCALS[name][1](self.walk(args[0], depth))
        if name in _OF_SYMPY:
            self._unknown(node, name)
        names = [a.id for a in args if isinstance(a, ast.Name)]
        coords = [c.name for c in self.coords]
        if self.known is None and len(names) == len(args):
            if name in self.fields and names == coords:
                return sp.Function(name)(*self.coords)
            distinct = len(set(names)) == len(names) > 0
            if name not in self.fields and distinct and set(names) <= set(coords[1:]):
                return sp.Function(name)(*map(canonical_symbol, names))
        return self._unknown(node, name)

    def _unknown(self, node: ast.expr, name: str) -> NoReturn:
        known = [*FUNCTIONS, *RECIPROCALS, "sqrt", *(DERIVATIVES if self.known is None else ())]
        self.fail(
            node, f"a function {', '.join(known)}, or a coefficient such as c(x, y), was expected; "
            f"got {name!r}; write a product with *.{suggest(name, known)}"
        )  # fmt: skip

    def _differential(self, node: ast.expr, name: str, args: list[ast.expr], depth: int) -> sp.Expr:
        """Return d(a, x) in divergence form, diff(a, x, 2) carried out, or laplacian(a)."""
        along = self._along(args[1:])
        right = not args[1:] if name == "laplacian" else bool(along)
        if not args or not right or (name in "dD" and along != [(along[0][0], 1)]):
            self.fail(
                node, "d(a, x), diff(a, x), diff(a, x, 2) or laplacian(a) was expected; got "
                f"{name} with {len(args)} argument(s); write a product as {name}*(...), and name a "
                "coefficient function differently"
            )  # fmt: skip
        expr = self.walk(args[0], depth)
        if name == "laplacian":
            axes = [c.name for c in self.coords[1:]]
            return sp.Add(*(self._derivative(node, expr, [(a, 2)]) for a in axes))
        if name == "diff":
            return self._derivative(node, expr, along)
        if isinstance(args[0], ast.Name) and args[0].id in SPACE:
            self.fail(
                node, f"{name}(a, x) is the derivative of an expression; got {name} of two "
                "coordinates; name a coefficient function differently"
            )  # fmt: skip
        return D(expr, self._coordinate(args[1], along[0][0]))

    def _along(self, args: Sequence[ast.expr]) -> list[tuple[str, int]]:
        """Return the coordinates and orders of diff(u, x, 2, y); [] where it is written wrongly."""
        found: list[tuple[str, int]] = []
        counted = True
        for arg in args:
            match arg:
                case ast.Name(id=name) if name in (TIME, *SPACE):
                    found.append((name, 1))
                    counted = False
                case ast.Constant(value=int() as k) if not counted and 0 < k <= MAX_ORDER:
                    found[-1] = (found[-1][0], k)
                    counted = True
                case _:
                    return []
        return found

    def _piecewise(self, node: ast.expr, args: list[ast.expr], depth: int) -> sp.Expr:
        pairs = []
        for arg in args[:MAX_ARGUMENTS]:
            match arg:
                case ast.Tuple(elts=[value, condition]):
                    pairs.append((self.walk(value, depth), self._condition(condition, depth)))
                case _:
                    self.fail(arg, "pairs (value, condition) were expected; got something else; "
                              "write Piecewise((1, x < 0), (0, True))")  # fmt: skip
        if not pairs or len(args) > MAX_ARGUMENTS or pairs[-1][1] is not sp.true:
            self.fail(
                node, f"1 to {MAX_ARGUMENTS} pairs, the last with the condition True, were "
                f"expected; got {len(args)}; write Piecewise((1, x < 0), (0, True))"
            )  # fmt: skip
        return sp.Piecewise(*pairs)

    def _condition(self, node: ast.expr, depth: int) -> sp.Basic:
        if depth > MAX_DEPTH:
            self.fail(node, f"conditions nested at most {MAX_DEPTH} deep were expected; got a "
                      "deeper one; simplify it")  # fmt: skip
        match node:
            case ast.Constant(value=True):
                made = sp.true
            case ast.BoolOp(op=op, values=values) if len(values) <= MAX_ARGUMENTS:
                parts = [self._condition(v, depth + 1) for v in values]
                made = (sp.And if isinstance(op, ast.And) else sp.Or)(*parts)
            case ast.Compare(left=left, ops=ops, comparators=others) if (
                all(type(o) in _RELATIONS for o in ops) and len(ops) <= MAX_ARGUMENTS
            ):
                ends = [self.walk(v, depth + 1) for v in (left, *others)]
                for end in ends:
                    check_compared(end)
                made = sp.And(
                    *(
                        _RELATIONS[type(o)](a, b)
                        for o, a, b in zip(ops, ends[:-1], ends[1:], strict=True)
                    )
                )
            case _:
                self.fail(node, "a condition such as x < 0, 0 < x < 1 or True was expected; got "
                          f"{type(node).__name__}; write it with < <= > >= and, or")  # fmt: skip
        return made
