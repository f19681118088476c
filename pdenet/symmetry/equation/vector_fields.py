"""Generator: a vector field V = τ ∂t + ξ ∂x + φ ∂u on (t, x, u), printed, named and proved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import gcd, lcm
from typing import TYPE_CHECKING

import numpy as np
import sympy as sp

from pdenet.equation.printing import text
from pdenet.equation.symbols import TIME, canonical_symbol
from pdenet.errors import SymmetryError
from pdenet.symmetry.equation.runs import Check, Run, Symmetry, compare, numbers

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


def sign_and_size(term: sp.Expr) -> tuple[bool, sp.Expr]:
    """Return whether a term is negative, and the term without its sign."""
    is_negative = term.could_extract_minus_sign()
    return is_negative, -term if is_negative else term


def signed_sum(terms: Iterable[tuple[bool, str]]) -> str:
    """Return a sum as text; of each term whether it is negative, and its size."""
    made = ""
    for is_negative, term in terms:
        made += (" − " if is_negative else " + ") if made else ("−" if is_negative else "")
        made += term
    return made


@dataclass(frozen=True, eq=False)
class Generator(Symmetry):
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

    def _check(self, solver: Solver, u: np.ndarray, run: Run) -> Check:
        """Return how far it is from holding in the middle half of the box.

        V changes a solution at the rate Q = φ − τ u_t − Σ ξ^a u_a, its characteristic. For the
        solver's run S, a true generator has

            ( S(u₀ + ε Q[u₀]) − S(u₀ − ε Q[u₀]) ) / 2ε = Q[S u₀] + O(h²),

        with u_t from the solver's right side and u_a by central differences. Q of a coordinate such
        as x ∂u does not close up at a periodic seam.
        """
        missing = [c for c in self.components if c not in solver.components]
        if missing:
            raise SymmetryError(
                f"a generator acts on the solver's components {', '.join(solver.components)}; got "
                f"one for {missing[0]!r}; find the symmetries of this solver's equation"
            )
        u = u.astype(np.float64)
        # Not from 0, where a boost t ∂x + ∂u could not be told from ∂u.
        run = run.shifted(run.until)
        field = _Characteristic(numbers(self.matrix(), run), self.components, solver, run)
        start = field.at(u, run.start)
        size = float(np.abs(start).max())
        if size == 0:
            size = 1.0
        eps = _SMALL * float(np.abs(u).max() or 1.0) / size
        moved = (run.advance(u + eps * start) - run.advance(u - eps * start)) / (2 * eps)
        middle = (slice(None), *(slice(n // 4, n - n // 4) for n in solver.grid.shape))
        end = run.advance(u)
        difference = compare(moved[middle], field.at(end, run.until)[middle]).difference
        return Check(difference, field.size(end, run.until))

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
        parts = []
        names = [TIME, *self.axes, *self.components]
        for name, entry in zip(names, self.coefficients, strict=True):
            if entry == 0:
                continue
            terms = sorted(sp.Add.make_args(entry), key=self._order)
            if len(terms) > 1:
                is_negative = all(term.could_extract_minus_sign() for term in terms)
                signed = [sign_and_size(-c if is_negative else c) for c in terms]
                part = (
                    f"({signed_sum((is_minus, text(size)) for is_minus, size in signed)}) ∂{name}"
                )
            else:
                is_negative, size = sign_and_size(entry)
                part = f"∂{name}" if size == 1 else f"{text(size)} ∂{name}"
            parts.append((is_negative, part))
        return signed_sum(parts)

    def _order(self, term: sp.Expr) -> tuple[int, str]:
        """Coordinates first, then fields, then constants."""
        found = [k for k, v in enumerate(self.variables) if term.has(v)]
        space = 1 + len(self.axes)
        if found and found[0] < space:
            return space - found[0], str(term)  # x before t: x − c t
        return (100 if not found else found[0]), str(term)

    def __repr__(self) -> str:
        return f"<Generator {self}>"


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


# -- its proof on a grid ---------------------------------------------------------------------------

_SMALL = 1e-4
"""ε Q in terms of u: what is quadratic, 1e-8, and rounding, 1e-16/1e-4, are both far below h²."""


class _Characteristic:
    """Q of a generator, on arrays `(component, *space)`."""

    def __init__(
        self, matrix: np.ndarray, components: Sequence[str], solver: Solver, run: Run
    ) -> None:
        self.matrix = matrix
        self.run = run
        self.solver = solver
        self.place = {name: solver.components.index(name) for name in components}
        self.rates: dict[int, int] = {}  # a field of second order -> the component that is its rate
        values = run.values
        for info in values.system.fields:
            if info.rate_of is not None:
                here, there = values.slices[info.rate_of].start, values.slices[info.name].start
                self.rates |= {here + k: there + k for k in range(values.num_components(info))}

    def at(self, u: np.ndarray, t: float) -> np.ndarray:
        """Return Q of a state at a time."""
        grid, boundary = self.solver.grid, self.solver.boundary
        d = grid.dimension
        x = [np.broadcast_to(m, grid.shape) for m in grid.mesh(boundary)]
        fields = [u[k] for k in self.place.values()]
        point = [np.full(grid.shape, t), *x, *fields, np.ones(grid.shape)]
        slope = self.run.rates(u, t)
        # What D_t of (t, x, u, 1) is.
        speed = [np.ones(grid.shape), *(0 * x[0] for _ in range(d))]
        speed += [slope[k] for k in self.place.values()] + [np.zeros(grid.shape)]

        def row(k: int, of: Sequence[np.ndarray]) -> np.ndarray:
            made = np.zeros(grid.shape)
            for weight, part in zip(self.matrix[k], of, strict=True):
                made = made + weight * part if weight else made
            return made

        made = np.zeros_like(u)
        for j, k in enumerate(self.place.values()):
            made[k] = row(1 + d + j, point) - row(0, point) * slope[k]
            for a in range(d):
                made[k] -= row(1 + a, point) * self._along(u[k], a)
            if k in self.rates:
                r = self.rates[k]
                # D_t Q, with D_t u = u_t and D_t u_t = F.
                made[r] = row(1 + d + j, speed) - row(0, speed) * u[r] - row(0, point) * slope[r]
                for a in range(d):
                    made[r] -= row(1 + a, speed) * self._along(u[k], a)
                    made[r] -= row(1 + a, point) * self._along(u[r], a)
        return made

    def size(self, u: np.ndarray, t: float) -> float:
        """Return the largest of φ, τ u_t and ξ^a u_a; they may cancel, as on u = f(x − t)."""
        grid, d = self.solver.grid, self.solver.grid.dimension
        x = [np.abs(m).max() for m in grid.nodes(self.solver.boundary)]
        bound = [abs(t), *x, *(np.abs(u[k]).max() for k in self.place.values()), 1.0]
        rows = np.abs(self.matrix) @ np.array(bound, dtype=np.float64)
        slope = np.abs(self.run.rates(u, t)).max()
        steep = max(
            float(np.abs(self._along(u[k], a)).max()) for k in range(len(u)) for a in range(d)
        )
        return float(max(rows[1 + d :].max(), rows[0] * slope, rows[1 : 1 + d].max() * steep))

    def _along(self, u: np.ndarray, axis: int) -> np.ndarray:
        """Return ∂_a u by central differences."""
        grid, boundary = self.solver.grid, self.solver.boundary
        place, h = grid.dimension - 1 - axis, grid.spacing(boundary)[axis]
        if boundary.is_periodic(grid.axes[axis]):
            return (np.roll(u, -1, place) - np.roll(u, 1, place)) / (2 * h)
        return np.gradient(u, h, axis=place, edge_order=2)
