"""Solving for time derivatives: each field's rate alone on the left, second order made first."""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp
from sympy.core.function import AppliedUndef

from pdenet.equation.canonical import expand
from pdenet.equation.symbols import (
    TIME,
    Component,
    D,
    Entry,
    Index,
    canonical_symbol,
    is_field,
)
from pdenet.equation.system import FieldInfo
from pdenet.errors import EquationError

RATE_SUFFIX = f"_{TIME}"


def field_name(field: sp.Expr) -> str:
    """Return the name of a field or of the vector field of a component."""
    return field.name if isinstance(field, Component) else str(field.func.__name__)


def fields_in(expr: sp.Basic) -> list[sp.Expr]:
    """Return the scalar fields and components that occur, derivatives seen through."""
    found = [f for f in expr.atoms(AppliedUndef) if is_field(f)]
    return found + list(expr.atoms(Component))


def _rates(expr: sp.Basic) -> set[sp.Derivative]:
    return {d for d in expr.atoms(sp.Derivative) if _time_order(d) and is_field(d.expr)}


def _time_order(derivative: sp.Derivative) -> int:
    orders = dict(derivative.variable_count)
    return int(orders.get(canonical_symbol(TIME), 0))


def solve_for_rates(
    residuals: Sequence[sp.Expr], texts: Sequence[object]
) -> tuple[list[tuple[sp.Expr, int]], dict[sp.Expr, sp.Expr]]:
    """Solve the equations for the highest time derivative of each field.

    Returns:
        The fields with the order (1 or 2) of their equation, in order of appearance, and each
        field's right side.
    """
    orders: dict[str, int] = {}
    symbols: dict[str, sp.Expr] = {}
    for residual, text in zip(residuals, texts, strict=True):
        mine = _rates(residual)
        for rate in sorted(mine, key=str):
            name, order = field_name(rate.expr), _time_order(rate)
            if order > 2:
                raise EquationError(
                    f"time derivatives up to order 2 are read; got {rate} in {text}; "
                    "introduce a field for an inner one"
                )
            orders[name] = max(orders.get(name, 0), order)
            symbols.setdefault(name, rate.expr)
        if not mine:
            raise EquationError(
                f"each equation holds a time derivative of its field; got none in {text}; "
                "write sp.Eq(u.diff(t), ...)"
            )
    unsolved = {field_name(f) for r in residuals for f in fields_in(r)} - set(orders)
    if unsolved:
        raise EquationError(
            f"every field has an equation; got none for {', '.join(sorted(unsolved))}; add one, or "
            "write a coefficient as a function of the space coordinates alone, c(x, y)"
        )
    if len(orders) != len(residuals):
        raise EquationError(
            f"one equation a field was expected; got {len(residuals)} equations for the fields "
            f"{', '.join(orders)}; remove or merge {len(residuals) - len(orders)}"
        )
    highest = [sp.Derivative(symbols[n], (canonical_symbol(TIME), orders[n])) for n in orders]
    targets = [(symbols[n], orders[n]) for n in orders]
    rights: dict[sp.Expr, sp.Expr] = {}
    vectors = [isinstance(symbols[n], Component) for n in orders]
    if any(vectors):
        for residual, text in zip(residuals, texts, strict=True):
            field, right = _solve_one(residual, highest, text)
            rights[field] = right
    else:
        rights = _solve_scalars(residuals, texts, highest)
    for (field, _), text in zip(targets, texts, strict=True):
        if field not in rights:
            raise EquationError(f"two equations for one field; got a second one in {text}")
        _check_mixed(rights[field], orders, text)
    return targets, rights


def _solve_one(
    residual: sp.Expr, highest: Sequence[sp.Expr], text: object
) -> tuple[sp.Expr, sp.Expr]:
    """Solve one equation of a system with vector fields, which holds one rate with a constant."""
    here = [h for h in highest if residual.has(h)]
    if len(here) != 1:
        raise EquationError(
            f"an equation of vector fields holds one time derivative of highest order, with one "
            f"index; got {here or 'another index'} in {text}; solve for it by hand"
        )
    amount = residual.coeff(here[0])
    rest = residual - amount * here[0]
    if not amount.is_Rational:  # sums stay multiplied out when numbers are divided out
        rest = expand(rest)
    _check_rate_coefficient(amount, rest, here[0], text)
    right = -rest / amount
    return here[0].expr, right if amount.is_Rational else expand(right)


def _check_rate_coefficient(amount: sp.Expr, rest: sp.Expr, rate: sp.Expr, text: object) -> None:
    if rest.has(rate) or amount == 0 or amount.has(Component, Entry, D) or fields_in(amount):
        raise EquationError(
            f"time derivatives enter linearly, with coefficients free of the fields; got {rate} "
            f"otherwise in {text}; divide the equation so that the rate stands alone"
        )


_MAX_COUPLED = 4  # a symbolic inverse of a full 5×5 matrix takes a quarter of a minute


def _solve_scalars(
    residuals: Sequence[sp.Expr], texts: Sequence[object], highest: Sequence[sp.Expr]
) -> dict[sp.Expr, sp.Expr]:
    """Solve scalar equations, which are linear in the rates, block by coupled block."""
    dummies = {h: sp.Dummy(f"rate{k}") for k, h in enumerate(highest)}
    read = [_linear_row(r, dummies, t) for r, t in zip(residuals, texts, strict=True)]
    amounts = sp.Matrix([[row[0][v] for v in dummies.values()] for row in read])
    solved: dict[sp.Expr, sp.Expr] = {}
    for rows, columns in _blocks(amounts):
        block = amounts.extract(rows, columns)
        if len(rows) != len(columns) or sp.cancel(block.det()) == 0:
            raise EquationError(
                "the equations determine each field's time derivative once; got "
                f"{'; '.join(map(str, texts))}, which hold two equations for one field or a rate "
                "that cancels; remove the redundant one"
            )
        rest = sp.Matrix([read[row][1] for row in rows])
        if len(rows) == 1:
            right = -rest / block[0, 0]
        else:
            right = -block.inv().applyfunc(sp.cancel) * rest
        solved |= {highest[c].expr: expand(s) for c, s in zip(columns, right, strict=True)}
    return solved


def _linear_row(
    residual: sp.Expr, dummies: dict[sp.Expr, sp.Dummy], text: object
) -> tuple[dict[sp.Dummy, sp.Expr], sp.Expr]:
    """Return the coefficient of each rate in an expanded residual, and what is left."""
    unknowns = list(dummies.values())
    amounts = dict.fromkeys(unknowns, sp.S.Zero)
    rest = []
    for part in sp.Add.make_args(residual.xreplace(dummies)):
        amount, rate = part.as_independent(*unknowns, as_Add=False)
        if rate == 1:
            rest.append(part)
        elif rate in amounts and not fields_in(amount):
            amounts[rate] += amount
        else:
            shown = next(h for h, v in dummies.items() if rate.has(v))
            raise EquationError(
                f"time derivatives enter linearly, with coefficients free of the fields; got "
                f"{shown} otherwise in {text}; divide the equation so that the rate stands alone"
            )
    return amounts, sp.Add(*rest)


def _blocks(amounts: sp.Matrix) -> list[tuple[list[int], list[int]]]:
    """Split a matrix into the rows and columns that its entries tie together."""
    blocks: list[tuple[set[int], set[int]]] = []
    for row in range(amounts.rows):
        rows, columns = {row}, {c for c in range(amounts.cols) if amounts[row, c] != 0}
        apart = []
        for block in blocks:
            if block[1] & columns:
                rows, columns = rows | block[0], columns | block[1]
            else:
                apart.append(block)
        blocks = [*apart, (rows, columns)]
    if max(len(rows) for rows, _ in blocks) > _MAX_COUPLED:
        raise EquationError(
            f"at most {_MAX_COUPLED} equations whose time derivatives are tied together were "
            f"expected; got {max(len(rows) for rows, _ in blocks)}; solve them for the time "
            "derivatives by hand"
        )
    return [(sorted(rows), sorted(columns)) for rows, columns in blocks]


def _check_mixed(right: sp.Expr, orders: dict[str, int], text: object) -> None:
    """A rate on the right side is admitted where it is a field of the first-order system."""
    for rate in _rates(right):
        name = field_name(rate.expr)
        if _time_order(rate) >= orders.get(name, 0):
            raise EquationError(
                f"the right side holds no time derivative but u_t of a field of second order; got "
                f"{rate} in {text}; solve the equation for it"
            )


def first_order(
    targets: Sequence[tuple[sp.Expr, int]], rights: dict[sp.Expr, sp.Expr]
) -> tuple[list[FieldInfo], list[tuple[Index | None, sp.Expr]]]:
    """Turn u_tt = f(u, u_t) into u_t = v, v_t = f(u, v) with v named "u_t"."""
    names = {field_name(f) for f, _ in targets}
    rate_fields: dict[sp.Expr, sp.Expr] = {}
    for field, order in targets:
        if order == 2:
            rate_fields[field] = rate_field(field)
            if field_name(rate_fields[field]) in names:
                raise EquationError(
                    f"the time derivative of {field_name(field)!r} is named "
                    f"{field_name(field) + RATE_SUFFIX!r}; got a field of that name; rename it"
                )

    def replaced(right: sp.Expr) -> sp.Expr:
        table: dict[sp.Basic, sp.Basic] = {}
        for rate in _rates(right):
            base = next(f for f in rate_fields if field_name(f) == field_name(rate.expr))
            new = rate_fields[base]
            if isinstance(new, Component):
                new = Component(new.args[0], new.size, rate.expr.index, *new.coordinates)
            space = [(s, c) for s, c in rate.variable_count if s.name != TIME]
            table[rate] = sp.Derivative(new, *space) if space else new
        return right.xreplace(table)

    infos: list[FieldInfo] = []
    sides: list[tuple[Index | None, sp.Expr]] = []
    rates: list[tuple[FieldInfo, tuple[Index | None, sp.Expr]]] = []
    for field, order in targets:
        vector = isinstance(field, Component)
        size, free = (field.size, field.index) if vector else (None, None)
        name, right = field_name(field), replaced(rights[field])
        infos.append(FieldInfo(name, size))
        if order == 1:
            sides.append((free, right))
        else:
            sides.append((free, rate_fields[field]))
            info = FieldInfo(name + RATE_SUFFIX, size, rate_of=name)
            rates.append((info, (free, right)))
    return infos + [r[0] for r in rates], sides + [r[1] for r in rates]


def rate_field(field: sp.Expr) -> sp.Expr:
    """Return the field that stands for the time derivative of `field`."""
    if isinstance(field, Component):
        return Component(canonical_symbol(field.name + RATE_SUFFIX), *field.args[1:])
    return sp.Function(field.func.__name__ + RATE_SUFFIX)(*field.args)
