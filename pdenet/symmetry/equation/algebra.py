"""Exact linear algebra over jets: which combinations of expressions vanish identically?

Every symbolic question here ends alike. Some unknown numbers a_m enter linearly,

    Σ_m a_m P_{m,j} = 0   identically in all jets and coordinates, for every equation j,

and the answers are the null space, over the rational functions of the parameters, of the matrix
whose rows are monomials. Functions such as sin(u) or c(x, y) count as further variables. What is
used of them is sin² + cos² = 1, cosh² − sinh² = 1, that 1/q times q is 1, that the k-th power of a
k-th root is its argument, |a| = a sign(a), sign² = 1, and a δ(a) = 0 for the jump of a sign; a
symmetry that rests on another identity is not found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any  # SymPy's polynomials and domains carry no types

import sympy as sp
from sympy.polys.matrices import DomainMatrix
from sympy.polys.rings import ring as make_ring

from pdenet.equation.canonical import expand
from pdenet.symmetry.equation.jets import Jet, JetSystem

Poly = Any  # an element of a SymPy polynomial ring


@dataclass(eq=False)
class Algebra:
    """A ring of polynomials in jets, coordinates, parameters and functions of them.

    Args:
        jets: the equation.
        exprs: everything that will be read; its symbols and functions become the variables.
        depth: how many derivatives of functions such as c(x, y) will be asked for.
    """

    jets: JetSystem
    exprs: Iterable[sp.Expr]
    depth: int = 0
    _derivatives: dict[tuple[sp.Expr, int], Poly] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Collect the variables, with those that derivatives of functions bring in."""
        seen: dict[sp.Expr, None] = {}
        todo = [_signed(e) for e in self.exprs]
        for _ in range(self.depth + 1):
            new: list[sp.Expr] = []
            while todo:
                for atom in _variables_of(todo.pop()):
                    if atom not in seen:
                        seen[atom] = None
                        todo += _arguments_of(atom)
                        new += [] if atom.is_Symbol else [atom]
            todo = [_slope_of(a, s) for a in new for s in sorted(a.free_symbols, key=str)]
        fixed = set(self.jets.coordinates)
        self.parameters = [a for a in seen if not a.has(Jet) and not (a.free_symbols & fixed)]
        ordered = sorted(
            (a for a in seen if a not in set(self.parameters)), key=sp.default_sort_key
        )
        self.parameters.sort(key=sp.default_sort_key)
        self.atoms = [*ordered, *self.parameters]
        self.num_variables = len(ordered)
        names = [sp.Symbol(f"a{k}") for k in range(len(self.atoms))]
        self.ring = make_ring(names, sp.QQ)[0] if names else make_ring("a", sp.QQ)[0]
        self.generators = dict(zip(self.atoms, self.ring.gens, strict=False))
        self.place = {atom: k for k, atom in enumerate(self.atoms)}
        free = [a for a in self.parameters if not isinstance(a, Inverse)]
        self._names = [sp.Symbol(f"p{k}", real=True) for k in range(len(free))]
        self.field = sp.QQ.frac_field(*self._names) if free else sp.QQ
        self._field_values = self._parameter_values(free)
        self._back = dict(zip(self._names, map(_value_of, free), strict=True))
        self._jumps: list[tuple[int, int, Poly]] = []
        self._rules = list(self._make_rules())
        self._jumps = list(self._make_jumps())

    # -- expressions to polynomials ---------------------------------------------------------------

    def read(self, expr: sp.Expr) -> Poly:
        """Return an expression as an element of the ring, roots and squares of sines reduced."""
        return self.reduced(self._read(_signed(expr)))

    def _read(self, expr: sp.Expr) -> Poly:
        if expr.is_Rational:
            return self.ring.ground_new(sp.QQ(int(expr.p), int(expr.q)))
        if expr.is_Add:
            total = self.ring.zero
            for part in expr.args:
                total = total + self._read(part)
            return total
        if expr.is_Mul:
            product = self.ring.one
            for part in expr.args:
                product = product * self._read(part)
            return product
        coefficient, atom, power = _split(expr)
        if power == 0:
            return self._read(coefficient)
        made = self.generators[atom] ** power
        return made if coefficient == 1 else self._read(coefficient) * made

    def reduced(self, poly: Poly) -> Poly:
        """Return a polynomial with k-th powers of k-th roots, sin² and sinh² replaced."""
        for place, power, instead in self._rules:
            while any(m[place] >= power for m in poly):
                made = self.ring.zero
                for monomial, coefficient in poly.items():
                    times = monomial[place] // power
                    rest = list(monomial)
                    rest[place] -= times * power
                    term = self.ring.from_dict({tuple(rest): coefficient})
                    made = made + (term * instead**times if times else term)
                poly = made
        for jump, place, instead in self._jumps:
            if any(m[jump] and m[place] for m in poly):
                made = self.ring.zero
                for monomial, coefficient in poly.items():
                    rest = list(monomial)
                    times = monomial[place] if monomial[jump] else 0
                    rest[place] -= times
                    term = self.ring.from_dict({tuple(rest): coefficient})
                    made = made + (term * instead**times if times else term)
                poly = made
        return poly

    def _make_jumps(self) -> Iterable[tuple[int, int, Poly]]:
        """Find for each δ(a) a variable that a holds alone, as u in u − 1: there it is 1."""
        for atom in self.atoms:
            if isinstance(atom, sp.DiracDelta) and len(atom.args) == 1:
                inside = self._read(atom.args[0])
                for symbol in sorted(atom.free_symbols & set(self.atoms), key=sp.default_sort_key):
                    slope = inside.diff(self.generators[symbol])
                    if slope.is_ground and slope and self.place[symbol] < self.num_variables:
                        instead = self.generators[symbol] - inside * (1 / slope.LC)
                        yield self.place[atom], self.place[symbol], instead
                        break

    def _make_rules(self) -> Iterable[tuple[int, int, Poly]]:
        for atom in self.atoms:
            if isinstance(atom, Root):
                yield self.place[atom], int(atom.args[1]), self._read(atom.args[0])
            elif isinstance(atom, sp.sign):
                yield self.place[atom], 2, self.ring.one
            elif isinstance(atom, sp.sin) and sp.cos(atom.args[0]) in self.place:
                yield self.place[atom], 2, 1 - self.generators[sp.cos(atom.args[0])] ** 2
            elif isinstance(atom, sp.sinh) and sp.cosh(atom.args[0]) in self.place:
                yield self.place[atom], 2, self.generators[sp.cosh(atom.args[0])] ** 2 - 1

    def derivative(self, poly: Poly, axis: int) -> Poly:
        """Return the total derivative along a space axis; the jets it leads to must be known."""
        made = self.ring.zero
        for atom in self._variables(poly):
            chain = self._chain(atom, axis)
            if chain:
                made = made + poly.diff(self.generators[atom]) * chain
        return self.reduced(made)

    def _chain(self, atom: sp.Expr, axis: int) -> Poly:
        key = (atom, axis)
        if key not in self._derivatives:
            if isinstance(atom, Jet):
                made = self.generators[self.jets.next(atom, axis)]
            elif atom.is_Symbol:
                made = self.ring.ground_new(sp.QQ(int(atom == self.jets.coordinates[1 + axis])))
            else:
                made = self.ring.zero
                for symbol in sorted(atom.free_symbols, key=str):
                    if isinstance(symbol, Jet) or symbol == self.jets.coordinates[1 + axis]:
                        made = made + self.read(_slope_of(atom, symbol)) * self._chain(symbol, axis)
            self._derivatives[key] = made
        return self._derivatives[key]

    def _variables(self, poly: Poly) -> list[sp.Expr]:
        """Return the variables that occur, in their order."""
        places = {k for monomial in poly for k, power in enumerate(monomial) if power}
        return [self.atoms[k] for k in sorted(places)]

    def partial(self, poly: Poly, symbol: sp.Symbol) -> Poly:
        """Return the partial derivative by a jet or a coordinate, functions followed."""
        made = self.ring.zero
        for atom in self._variables(poly):
            if atom == symbol:
                made = made + poly.diff(self.generators[atom])
            elif not atom.is_Symbol and symbol in atom.free_symbols:
                slope = self.read(_slope_of(atom, symbol))
                made = made + poly.diff(self.generators[atom]) * slope
        return self.reduced(made)

    # -- polynomials to numbers -------------------------------------------------------------------

    def null_space(self, columns: Sequence[Sequence[Poly]]) -> list[list[sp.Expr]]:
        """Return a basis of the a with Σ a_m columns[m] = 0, each with its last entry 1.

        Args:
            columns: for each unknown the polynomials of the equations, all of one length.
        """
        rows: dict[tuple[int, tuple[int, ...]], dict[int, Any]] = {}
        for j in range(len(columns[0]) if columns else 0):
            cleared = self._cleared([column[j] for column in columns])
            for m, poly in enumerate(cleared):
                for monomial, value in self._rows(poly).items():
                    rows.setdefault((j, monomial), {})[m] = value
        return self._solve(self._distinct(rows.values()), len(columns))

    def _distinct(self, rows: Iterable[dict[int, Any]]) -> list[dict[int, Any]]:
        made: dict[tuple[Any, ...], dict[int, Any]] = {}
        for row in rows:
            row = {m: v for m, v in row.items() if v}
            if row:
                lead = row[min(row)]
                scaled = {m: v / lead for m, v in sorted(row.items())}
                made[tuple(scaled.items())] = scaled
        return list(made.values())

    def _solve(self, rows: list[dict[int, Any]], count: int) -> list[list[sp.Expr]]:
        if not rows:
            return [[sp.Integer(k == m) for k in range(count)] for m in range(count)]
        sparse = dict(enumerate(sorted(rows, key=lambda r: (len(r), min(r)))))
        matrix = DomainMatrix(sparse, (len(rows), count), self.field)
        reduced, pivots = matrix.rref()
        entries = reduced.to_sdm()
        free = [m for m in range(count) if m not in pivots]
        basis = []
        for m in free:
            vector = [sp.S.Zero] * count
            vector[m] = sp.S.One
            for r, pivot in enumerate(pivots):
                value = entries.get(r, {}).get(m)
                if value:
                    vector[pivot] = -self.field.to_sympy(value).xreplace(self._back)
            basis.append(vector)
        return basis

    def is_zero(self, poly: Poly) -> bool:
        """Tell whether a polynomial vanishes, fractions cleared."""
        return not self._rows(self._cleared([poly])[0])

    def _cleared(self, polys: list[Poly]) -> list[Poly]:
        """Multiply all by the denominators q of the variables 1/q."""
        for atom in reversed(self.atoms[: self.num_variables]):
            if not isinstance(atom, Inverse):
                continue
            place, below = self.place[atom], self._read(atom.args[0])
            most = max((m[place] for poly in polys for m in poly), default=0)
            if not most:
                continue
            cleared = []
            for poly in polys:
                made = self.ring.zero
                for monomial, coefficient in poly.items():
                    rest = list(monomial)
                    times, rest[place] = most - monomial[place], 0
                    made = made + self.ring.from_dict({tuple(rest): coefficient}) * below**times
                cleared.append(self.reduced(made))
            polys = cleared
        return polys

    def _rows(self, poly: Poly) -> dict[tuple[int, ...], Any]:
        """Split into monomials of jets and coordinates with coefficients in the parameters."""
        made: dict[tuple[int, ...], Any] = {}
        n = self.num_variables
        for monomial, coefficient in poly.items():
            value = self.field.convert(coefficient)
            for k, power in enumerate(monomial[n:] if self.parameters else ()):
                if power:
                    value = value * self._field_values[k] ** power
            made[monomial[:n]] = made.get(monomial[:n], self.field.zero) + value
        return {m: v for m, v in made.items() if v}

    def _parameter_values(self, free: list[sp.Expr]) -> list[Any]:
        """Return each parameter, 1/q too, as an element of the field of rational functions."""
        known = dict(zip(free, self._names, strict=True))

        def value(expr: sp.Expr) -> Any:
            if expr.is_Rational:
                return self.field.from_sympy(expr)
            if expr.is_Add or expr.is_Mul:
                parts = [value(a) for a in expr.args]
                total = parts[0]
                for part in parts[1:]:
                    total = total + part if expr.is_Add else total * part
                return total
            coefficient, atom, power = _split(expr)
            if isinstance(atom, Inverse):
                return value(coefficient) / value(atom.args[0]) ** power
            return value(coefficient) * self.field.from_sympy(known[atom]) ** power

        return [
            1 / value(a.args[0]) if isinstance(a, Inverse) else self.field.from_sympy(known[a])
            for a in self.parameters
        ]


# -- variables ----------------------------------------------------------------------------------
# What monomials are made of besides jets, coordinates and parameters: functions such as sin(u), a
# reciprocal 1/q and a root. Absolute values, maxima and steps are written by signs first.


class Inverse(sp.Function):
    """1/q, kept whole."""

    @classmethod
    def eval(cls, below: sp.Expr) -> None:
        """Never evaluate."""


class Root(sp.Function):
    """The k-th root of an argument, kept whole."""

    @classmethod
    def eval(cls, argument: sp.Expr, degree: sp.Expr) -> None:
        """Never evaluate."""


def _signed(expr: sp.Expr) -> sp.Expr:
    """Write absolute values, maxima and steps by signs."""
    if not expr.has(sp.Abs, sp.Max, sp.Min, sp.Heaviside):
        return expr

    def larger(sign: int) -> Callable[..., sp.Expr]:
        def of(first: sp.Expr, *others: sp.Expr) -> sp.Expr:
            for other in others:
                gap = first - other
                first = expand((first + other + sign * gap * sp.sign(gap)) / 2)
            return first

        return of

    made = expr.replace(sp.Max, larger(1)).replace(sp.Min, larger(-1))
    made = made.replace(sp.Heaviside, lambda a, *_: (1 + sp.sign(a)) / 2)
    return expand(made.replace(sp.Abs, lambda a: a * sp.sign(a)))


def _slope_of(atom: sp.Expr, symbol: sp.Symbol) -> sp.Expr:
    """Return the partial derivative of a variable by a symbol."""
    return _signed(sp.diff(_value_of(atom), symbol))


def _value_of(atom: sp.Expr) -> sp.Expr:
    """Return what a variable stands for, in SymPy's own functions."""
    if isinstance(atom, Inverse):
        return 1 / atom.args[0]
    if isinstance(atom, Root):
        return atom.args[0] ** (1 / atom.args[1])
    return atom


def _split(expr: sp.Expr) -> tuple[sp.Expr, sp.Expr, int]:
    """Return (c, a, n) with expr = c · aⁿ for a variable a and n ≥ 0."""
    base, exponent = (expr.base, expr.exp) if expr.is_Pow else (expr, sp.S.One)
    if not exponent.is_Rational:
        return sp.S.One, expr, 1
    if exponent.is_Integer and exponent > 0:
        if base.is_Add or base.is_Mul:
            return expand(expr), sp.S.One, 0
        return sp.S.One, base, int(exponent)
    if exponent.is_Integer:
        if base.is_Pow or base.is_Mul:  # 1/√u is √u/u
            parts = [sp.Pow(b, exponent) for b in sp.Mul.make_args(base)]
            if len(parts) > 1:
                return sp.Mul(*parts), sp.S.One, 0
        content, rest = base.as_content_primitive()
        if rest.could_extract_minus_sign():
            content, rest = -content, -rest
        return content**exponent, Inverse(expand(rest)), -int(exponent)
    degree = int(exponent.q)
    whole = exponent.p // degree
    over = exponent.p - whole * degree
    return sp.Pow(base, whole), Root(base, sp.Integer(degree)), int(over)


def _variables_of(expr: sp.Expr) -> set[sp.Expr]:
    """Return the variables of an expression."""
    if expr.is_Rational:
        return set()
    if expr.is_Add or expr.is_Mul:
        return set().union(*(_variables_of(a) for a in expr.args))
    coefficient, atom, power = _split(expr)
    return _variables_of(coefficient) | ({atom} if power else set())


def _arguments_of(atom: sp.Expr) -> list[sp.Expr]:
    """Return the expressions that the relation of a variable needs."""
    if isinstance(atom, Inverse | Root):
        return [atom.args[0]]
    if isinstance(atom, sp.sin):
        return [sp.cos(atom.args[0])]
    if isinstance(atom, sp.sinh):
        return [sp.cosh(atom.args[0])]
    return []
