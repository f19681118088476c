"""From SymPy equations to a System: who is a field, what is solved for, what is a parameter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import sympy as sp
from sympy.core.function import AppliedUndef

from pdenet.equation.canonical import Reader, expand
from pdenet.equation.functions import check_functions, symbol_names, without_reciprocals
from pdenet.equation.rates import field_name, fields_in, first_order, solve_for_rates
from pdenet.equation.symbols import (
    SPACE,
    TIME,
    Component,
    Entry,
    Index,
    canonical_symbol,
    check_name,
    is_field,
)
from pdenet.equation.system import FREE_INDEX, FieldInfo, Parameter, System, Term
from pdenet.errors import EquationError


def scalar_equations(equations: Sequence[object]) -> tuple[sp.Eq, ...]:
    """Flatten equations and matrix equations into scalar `sympy.Eq`, symbols made canonical.

    Raises:
        EquationError: something is no equation, is trivially true or false, or shapes differ.
    """
    flat: list[sp.Eq] = []
    for equation in equations:
        if isinstance(equation, list | tuple):
            flat += scalar_equations(equation)
            continue
        if not isinstance(equation, sp.Eq):
            hint = (
                "its two sides are identical or can never be equal"
                if equation in (sp.true, sp.false, True, False)
                else f"a {type(equation).__name__}"
            )
            raise EquationError(
                f"an equation sympy.Eq(left, right) was expected; got {str(equation)[:80]!r} "
                f"({hint}); write sp.Eq(u.diff(t), ...)"
            )
        left, right = equation.args
        if isinstance(left, sp.MatrixBase) or isinstance(right, sp.MatrixBase):
            shapes = getattr(left, "shape", ()), getattr(right, "shape", ())
            if shapes[0] != shapes[1]:
                raise EquationError(
                    f"both sides of a matrix equation have one shape; got {shapes[0]} and "
                    f"{shapes[1]} in {str(equation)[:120]}; reshape one"
                )
            flat += [sp.Eq(a, b, evaluate=False) for a, b in zip(left, right, strict=True)]
        else:
            flat.append(equation)
    if not flat:
        raise EquationError(
            "a PDE needs at least one sympy.Eq; got none; write sp.Eq(u.diff(t), …)"
        )
    return tuple(_canonical_symbols(equation) for equation in flat)


def _canonical_symbols(equation: sp.Eq) -> sp.Eq:
    """Replace every symbol by the one that stands for its name, and carry out stray derivatives."""
    table: dict[sp.Basic, sp.Basic] = {}
    for symbol in equation.atoms(sp.Symbol):
        if isinstance(symbol, Index) or (symbol.is_integer and _is_size(symbol, equation)):
            continue
        if symbol.is_real is False:
            raise EquationError(
                f"symbols stand for real numbers; got {symbol} with complex assumptions in "
                f"{equation}; split real and imaginary parts into two fields"
            )
        canonical = canonical_symbol(check_name(symbol.name, "symbol"))
        # A symbol put in its own place would make SymPy multiply 0.1 (u_xx + u_yy) out.
        if symbol != canonical:
            table[symbol] = canonical
    left, right = (_with_symbols(side, table) for side in equation.args)
    for side in (left, right):
        if side.has(sp.I):
            raise EquationError(
                f"coefficients are real; got {side}, which holds the imaginary unit; "
                "split real and imaginary parts into two fields"
            )
        if side.has(sp.nan, sp.oo, -sp.oo, sp.zoo):
            raise EquationError(
                f"coefficients are finite; got {side}; remove the infinite or undefined part"
            )
    return sp.Eq(left, right, evaluate=False)


def _with_symbols(side: sp.Basic, table: dict[sp.Basic, sp.Basic]) -> sp.Expr:
    if not isinstance(side, sp.Expr):
        raise EquationError(
            f"both sides of an equation are expressions; got {side} ({type(side).__name__}); "
            "write sp.Eq(u.diff(t), ...)"
        )
    # Derivatives of anything but a field, such as an unevaluated product, are carried out.
    made = without_reciprocals(side.xreplace(table))
    for _ in range(8):
        stray = {
            d: d.doit(deep=False)
            for d in made.atoms(sp.Derivative)
            if not (is_field(d.expr) or isinstance(d.expr, AppliedUndef | sp.Derivative))
        }
        if not stray:
            return made
        made = made.xreplace(stray)
    raise EquationError(f"a derivative could not be carried out in {side}; simplify the equation")


def _is_size(symbol: sp.Symbol, equation: sp.Eq) -> bool:
    sizes = [c.size for c in equation.atoms(Component)]
    sizes += [s for e in equation.atoms(Entry) for s in e.shape]
    return any(symbol in size.free_symbols for size in sizes)


class _Written:
    """An equation as messages show it, printed only when there is one: that takes milliseconds."""

    def __init__(self, equation: sp.Eq) -> None:
        self._equation = equation

    def __str__(self) -> str:
        text = f"{self._equation.lhs} = {self._equation.rhs}"
        return text if len(text) < 200 else text[:200] + "…"


def read_system(equations: Sequence[sp.Eq]) -> System:
    """Read scalar equations into a first-order `System` in canonical form.

    Raises:
        EquationError: see the messages; each names the equation and says what to do.
    """
    residuals = [expand(equation.lhs - equation.rhs) for equation in equations]
    texts = [_Written(equation) for equation in equations]
    everything = sp.Tuple(*residuals)
    axes = _axes(everything)
    for residual, text in zip(residuals, texts, strict=True):
        _check_coordinates(residual, axes, text)
        check_functions(residual, text)
    targets, rights = solve_for_rates(residuals, texts)
    infos, sides = first_order(targets, rights)
    parameters = _parameters(sp.Tuple(*rights.values()), axes, infos)
    made: list[tuple[Term, ...]] = []
    for info, (free, side) in zip(infos, sides, strict=True):
        made.append(Reader(axes, free, f"the equation of {info.name!r}").read(side))
    system = System(axes, tuple(infos), tuple(made), _used(parameters, infos, made))
    _check_ranges(system)
    return system


def _axes(everything: sp.Basic) -> tuple[str, ...]:
    """Return the space coordinates that all fields share."""
    found = fields_in(everything)
    if not found:
        raise EquationError(
            f"no field found in {everything}; fields are functions of (t, x), (t, x, y) or "
            "(t, x, y, z), made with pn.fields or pn.VectorField"
        )
    kinds: dict[tuple[str, ...], str] = {}
    for field in found:
        if check_name(field_name(field), "field") in (TIME, *SPACE):
            raise EquationError(
                "a field must not be named like a coordinate (t, x, y, z); got "
                f"{field_name(field)!r}; rename it"
            )
        coords = field.coordinates if isinstance(field, Component) else field.args
        kinds.setdefault(tuple(c.name for c in coords[1:]), field_name(field))
    if len(kinds) > 1:
        shown = ", ".join(f"{name}{('t', *axes)}" for axes, name in kinds.items())
        raise EquationError(
            f"all fields depend on the same coordinates; got {shown}; a coefficient that does not "
            "depend on t leaves t out"
        )
    return next(iter(kinds))


def _check_coordinates(residual: sp.Expr, axes: tuple[str, ...], text: object) -> None:
    for name in SPACE[len(axes) :]:
        if canonical_symbol(name) in residual.free_symbols:
            raise EquationError(
                f"the fields depend on (t, {', '.join(axes)}); got {name} in {text}; "
                "add it to the fields or rename the parameter"
            )
    for derivative in residual.atoms(sp.Derivative):
        for symbol, _ in derivative.variable_count:
            if symbol.name not in (TIME, *axes):
                raise EquationError(
                    f"derivatives are taken along t, {', '.join(axes)}; got {derivative} in {text}"
                )


def _parameters(
    everything: sp.Basic, axes: tuple[str, ...], infos: Iterable[FieldInfo]
) -> tuple[Parameter, ...]:
    """List what `values=` must give, and check that each name has one meaning."""
    found: dict[str, Parameter] = {}

    def add(parameter: Parameter) -> None:
        other = found.setdefault(parameter.name, parameter)
        if other != parameter:
            raise EquationError(
                f"a name has one meaning; got {parameter.name!r} as a {other.kind} "
                f"{other.shape or other.arguments} and as a {parameter.kind} "
                f"{parameter.shape or parameter.arguments}; rename one"
            )

    sizes: set[sp.Symbol] = set()
    for entry in everything.atoms(Entry):
        add(Parameter(entry.name, "tensor", shape=entry.shape))
        for size in entry.shape:
            sizes |= size.free_symbols
    for info in infos:
        if info.size is not None:
            sizes |= info.size.free_symbols
    for function in everything.atoms(AppliedUndef):
        if is_field(function):
            continue
        names = tuple(getattr(a, "name", str(a)) for a in function.args)
        of_space = set(names) <= set(axes) and len(set(names)) == len(names)
        if not of_space and names != (TIME,):
            raise EquationError(
                f"an unknown function is a field of (t, {', '.join(axes)}) or a coefficient of "
                f"distinct space coordinates, c({', '.join(axes)}), or of t alone; got {function}; "
                "pointwise functions are SymPy's own, such as sp.tanh(u)"
            )
        name = check_name(function.func.__name__, "coefficient")
        add(Parameter(name, "function", arguments=names))
    for size in sizes:
        add(Parameter(size.name, "size"))
    # The names of tensors and vector fields are symbols inside their entries, parameters outside.
    structural = {canonical_symbol(n) for n in (TIME, *axes)} | sizes
    walk = sp.preorder_traversal(everything)
    for node in walk:
        if isinstance(node, Entry | Component):
            walk.skip()
        elif isinstance(node, sp.Symbol) and node not in structural and not isinstance(node, Index):
            add(Parameter(node.name, "scalar"))
    clash = {i.name for i in infos} & set(found)
    if clash:
        raise EquationError(
            f"a name has one meaning; got {sorted(clash)} as field and as parameter; rename one"
        )
    return tuple(found[name] for name in sorted(found))


def _used(
    parameters: Iterable[Parameter], infos: Iterable[FieldInfo], terms: Iterable[Iterable[Term]]
) -> tuple[Parameter, ...]:
    """Leave out the parameters that cancelled, as a does in (1 + a) u_t = (1 + a) u_x."""
    table = {p.name: p for p in parameters}
    products = [p for side in terms for term in side for p in term.products]
    names = {use.name for product in products for use in product.coefficients}
    for product in products:
        names |= symbol_names(product.prefactor)
        for factor in product.factors:
            if factor.function is not None:
                names |= symbol_names(factor.function)
    sizes = [info.size for info in infos if info.size is not None]
    sizes += [size for name in names & set(table) for size in table[name].shape]
    names |= {symbol.name for size in sizes for symbol in size.free_symbols}
    return tuple(p for name, p in table.items() if name in names)


def _check_ranges(system: System) -> None:
    """Check that every index runs over one range, and that free indices fit."""
    for target, term in system.terms():
        for index in term.indices():
            sizes = {
                size
                for use in term.coefficients()
                for name, size in zip(use.indices, system.parameter(use.name).shape, strict=True)
                if name == index
            }
            sizes |= {system.field(f.field).size for f in term.factors() if f.index == index}
            if index == FREE_INDEX and target.size is not None:
                sizes.add(target.size)
            if len(sizes) > 1:
                shown = " and ".join(sorted(map(str, sizes)))
                raise EquationError(
                    f"an index runs over one range; in the equation of {target.name!r} the index "
                    f"of {system.expression(term)} that canonical form calls {index!r} runs over "
                    f"{shown}; give coefficients and fields matching sizes"
                )


def solved_equations(system: System) -> list[tuple[str, sp.Expr, sp.Expr]]:
    """Return the equations as a user would write them, solved for the highest time derivatives.

    Returns:
        For each field that is not a generated one: its name, ∂u/∂t or ∂²u/∂t², and the right side.
    """
    time = canonical_symbol(TIME)
    rates = system.rates
    made: list[tuple[str, sp.Expr, sp.Expr]] = []
    for info in system.fields:
        if info.rate_of:
            continue
        field = system.symbol(info.name)
        if info.name not in rates:
            made.append((info.name, sp.Derivative(field, time), system.right_side(info.name)))
            continue
        right = system.right_side(rates[info.name])
        back: dict[sp.Basic, sp.Basic] = {}
        for one in fields_in(right):
            base = next((f for f, rate in rates.items() if rate == field_name(one)), None)
            if base is not None:
                index = one.index.name if isinstance(one, Component) else None
                back[one] = sp.Derivative(system.symbol(base, index), time)
        made.append((info.name, sp.Derivative(field, (time, 2)), right.xreplace(back)))
    return made


def substituted(system: System, table: dict[str, sp.Expr]) -> System:
    """Return `system` with coefficient functions replaced by expressions, again in canonical form.

    Args:
        system: the system.
        table: for the name of each function to replace, an expression in canonical symbols.
    """
    made: list[tuple[Term, ...]] = []
    rights: list[sp.Expr] = []
    for info in system.fields:
        right = system.right_side(info.name)
        functions = {
            f: table[f.func.__name__] for f in right.atoms(AppliedUndef) if f.func.__name__ in table
        }
        right = _with_symbols(right.xreplace(functions), {})
        free = None if info.size is None else Index(FREE_INDEX)
        made.append(Reader(system.axes, free, f"the equation of {info.name!r}").read(right))
        rights.append(right)
    parameters = _parameters(sp.Tuple(*rights), system.axes, system.fields)
    known = {p.name: p for p in system.parameters}
    kept = replace(system, equations=tuple(made), parameters=parameters)
    return with_metadata(kept, known)


def with_metadata(system: System, table: dict[str, Parameter]) -> System:
    """Return `system` with defaults, units and descriptions put into its parameters."""
    made = tuple(
        replace(
            p,
            default=table[p.name].default,
            unit=table[p.name].unit,
            description=table[p.name].description,
        )
        if p.name in table
        else p
        for p in system.parameters
    )
    return replace(system, parameters=made)
