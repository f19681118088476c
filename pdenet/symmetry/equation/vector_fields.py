"""Generator: a vector field V = τ ∂t + ξ ∂x + φ ∂u on (t, x, u), printed and named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd, lcm
from typing import TYPE_CHECKING

import sympy as sp

from pdenet.equation.printing import text
from pdenet.equation.symbols import TIME, canonical_symbol
from pdenet.symmetry.equation.check_generators import check_generator
from pdenet.symmetry.equation.runs import Check

if TYPE_CHECKING:
    from pdenet.simulate.solver import Solver


def integral(vector: Sequence[sp.Expr]) -> list[sp.Expr]:
    """Return a multiple of a vector that has no denominators and no common factor.

    Example:
        >>> integral([sp.Rational(1, 2), sp.Integer(1)])
        [1, 2]
    """
    if all(v.is_Rational for v in vector):
        scale = sp.Rational(lcm(*(v.q for v in vector)), gcd(*(v.p for v in vector)) or 1)
        return [v * scale for v in vector]
    fractions = [sp.fraction(sp.cancel(v)) for v in vector]
    below = sp.S.One
    for _, bottom in fractions:
        below = sp.lcm(below, bottom)
    made = [sp.cancel(top * below / bottom) for top, bottom in fractions]
    common = sp.S.Zero
    for entry in made:
        common = sp.gcd(common, entry)
    return [sp.expand(sp.cancel(entry / common)) for entry in made] if common != 0 else made


@dataclass(frozen=True, eq=False)
class Generator:
    """An infinitesimal symmetry, V = τ ∂t + Σ ξ^a ∂_a + Σ φ^j ∂_{u_j}.

    Attributes:
        axes: the space coordinates.
        components: the names of the fields it acts on; "u_t" follows from u.
        symbols: the symbols of these fields in the coefficients.
        tau: the coefficient of ∂t, in coordinates and symbols.
        xi: those of ∂x, ∂y, ∂z.
        phi: those of the fields.
    """

    axes: tuple[str, ...]
    components: tuple[str, ...]
    symbols: tuple[sp.Symbol, ...]
    tau: sp.Expr
    xi: tuple[sp.Expr, ...]
    phi: tuple[sp.Expr, ...]

    @property
    def coefficients(self) -> tuple[sp.Expr, ...]:
        """All coefficients: τ, ξ, φ."""
        return (self.tau, *self.xi, *self.phi)

    @property
    def variables(self) -> tuple[sp.Symbol, ...]:
        """t, x, y, z and the fields, in the order of `coefficients`."""
        return (*(canonical_symbol(c) for c in (TIME, *self.axes)), *self.symbols)

    def matrix(self) -> sp.Matrix:
        """Return the matrix of the affine map, one row a coefficient, the constants last.

        The bracket of two affine fields is the commutator of their matrices (with a row of zeros
        below), up to the sign.
        """
        rows = []
        for entry in self.coefficients:
            slopes = [sp.diff(entry, v) for v in self.variables]
            rows.append([*slopes, entry.xreplace(dict.fromkeys(self.variables, sp.S.Zero))])
        return sp.Matrix([*rows, [0] * (len(rows) + 1)])

    def check(
        self, solver: Solver, state: object | None = None, until: float | None = None
    ) -> Check:
        """Return how far it is from holding on a grid; O(h²), for a true one.

        The runs with u₀ ± ε Q[u₀] are compared with Q at the end, in the middle half of the box;
        halve h at a fixed `until` to see the difference fall by 4.

        Args:
            solver: a solver of the equation.
            state: an initial state, or None for a smooth sample.
            until: how long to run, or None for eight steps.

        Raises:
            SymmetryError: the solver has other components.
        """
        return check_generator(self.matrix(), self.components, solver, state, until)

    @property
    def name(self) -> str:
        """What the transformation is usually called."""
        return _name(self)

    @property
    def sort_key(self) -> tuple[object, ...]:
        """Translations first, then what moves space and time, then what moves fields only."""
        kinds = ("translation", "rotation", "scaling", "boost", "", "amplitude", "shift")
        name = self.name
        kind = next((k for k, word in enumerate(kinds) if word and word in name), 4)
        return kind, tuple(str(c) == "0" for c in self.coefficients), str(self)

    def __str__(self) -> str:
        made = ""
        names = [TIME, *self.axes, *self.components]
        for name, entry in zip(names, self.coefficients, strict=True):
            if entry == 0:
                continue
            terms = sorted(sp.Add.make_args(entry), key=self._order)
            if len(terms) > 1:
                is_negative = all(term.could_extract_minus_sign() for term in terms)
                part = f"({_sum([-c for c in terms] if is_negative else terms)}) ∂{name}"
            else:
                is_negative, size = _sign(entry)
                part = f"∂{name}" if size == 1 else f"{text(size)} ∂{name}"
            made += (" − " if is_negative else " + ") if made else ("−" if is_negative else "")
            made += part
        return made

    def _order(self, term: sp.Expr) -> tuple[int, str]:
        """Coordinates first, then fields, then constants."""
        found = [k for k, v in enumerate(self.variables) if term.has(v)]
        space = 1 + len(self.axes)
        if found and found[0] < space:
            return space - found[0], str(term)  # x before t: x − c t
        return (100 if not found else found[0]), str(term)

    def __repr__(self) -> str:
        return f"<Generator {self}>"


def _sign(term: sp.Expr) -> tuple[bool, sp.Expr]:
    is_negative = term.could_extract_minus_sign()
    return is_negative, -term if is_negative else term


def _sum(terms: Sequence[sp.Expr]) -> str:
    made = ""
    for term in terms:
        is_negative, size = _sign(term)
        made += (" − " if is_negative else " + ") if made else ("−" if is_negative else "")
        made += text(size)
    return made


def _name(v: Generator) -> str:
    """Recognise the common transformations by the shape of their coefficients."""
    place = dict(zip(v.variables, range(len(v.variables)), strict=True))
    moved = [k for k, c in enumerate(v.coefficients) if c != 0]
    space = 1 + len(v.axes)
    names = [TIME, *v.axes, *v.components]
    if all(not c.free_symbols & set(place) for c in v.coefficients):
        if max(moved) < space:
            return "translation" + (f" in {names[moved[0]]}" if len(moved) == 1 else "")
        return "shift of the fields"
    if min(moved) >= space:
        linear = all(c.free_symbols & set(v.symbols) for c in v.coefficients if c != 0)
        return "change of amplitude" if linear else "shift of the fields"
    diagonal = [c.coeff(s) for c, s in zip(v.coefficients, v.variables, strict=True)]
    rest = [
        sp.expand(c - d * s) for c, d, s in zip(v.coefficients, diagonal, v.variables, strict=True)
    ]
    t, axes = v.variables[0], v.variables[1:space]
    across = [(a, s) for a in range(1, space) for s in axes if rest[a].has(s)]
    if all(r == 0 or not r.free_symbols & set(place) for r in rest):
        return "scaling"
    if any(diagonal[:space]):
        return ""
    if len(across) == 2 and v.tau == 0 and rest[across[0][0]] == -axes[across[1][0] - 1]:
        first, second = sorted(names[a] for a, _ in across)
        return f"rotation of ({first}, {second})"
    if not across and any(rest[a].has(t) for a in range(1, space)):
        boosted = [a for a in range(1, space) if rest[a].has(t)]
        if len(boosted) == 1:
            kind = "boost (Galilei)" if v.tau == 0 else "boost (Lorentz)"
            return f"{kind} along {names[boosted[0]]}"
    return ""
