"""Lattice symmetries of a family: how turns and mirrors exchange the unknown coefficients.

A system with open coefficients, ∂t u_i = A_ij C_jk u_k ∂x u_j + B_ij D_jk u_k ∂y u_j, stands for
all systems of that form. A turn g takes each to another of them: with c = (A, B, C, D),

    F_{K c}[u∘g⁻¹] = ± F_c[u]∘g⁻¹,

where K exchanges coefficients of equal shape and changes signs; the components stay as they are.
K is found by trying the exchanges, none of them with a transpose; each term then ties the signs of
its coefficients, which are linear equations over the field of two elements.

Source: ours; compare Cohen & Welling (2016), Group Equivariant Convolutional Networks, where a
turned kernel takes the place of the coefficients.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import sympy as sp
from sympy.core.function import AppliedUndef

from pdenet.equation.canonical import Reader
from pdenet.equation.printing import text
from pdenet.equation.symbols import TIME, Index, canonical_symbol
from pdenet.equation.system import FREE_INDEX, FieldInfo, Product, System, Term
from pdenet.symmetry.equation.axis_maps import MAX_CHOICES, AxisMap, generating, representation
from pdenet.symmetry.equation.found import Found
from pdenet.symmetry.equation.lattice_action import LatticeSymmetry, by_time

_MAX_EXCHANGES = 720  # of six coefficients of one shape


def family_lattice(
    system: System,
) -> tuple[Found[LatticeSymmetry], Found[LatticeSymmetry]]:
    """Return the lattice symmetries of a family, without and with a reversal of time.

    Example:
        >>> from pdenet.equation.catalogue import catalogue
        >>> kept, _ = family_lattice(catalogue["eq3"].system)
        >>> print(kept[1])
        quarter turn: A → −B, B → A, C → D, D → C
    """
    search = _Search(system)
    names = search.names
    choices, _ = generating(system.dimension, search.actions)
    chosen, is_representation = representation(choices, system.dimension, len(names))

    made = {}
    for g, matrix in chosen.items():
        table = {}
        for a, name in enumerate(names):
            (b,) = (k for k in range(len(names)) if matrix[a, k] != 0)
            table[name] = (names[b], int(matrix[a, b]))
        is_action = is_representation or g.is_identity  # the identity always acts
        made[g] = LatticeSymmetry(g, system.field_names, coefficients=table, is_action=is_action)
    return by_time(system.dimension, made, search.reason)


class _Search:
    """Finds the exchanges K of one map after another."""

    def __init__(self, system: System) -> None:
        self.system = system
        tensors = [p for p in system.parameters if p.kind == "tensor"]
        self.names = [p.name for p in tensors]
        self.shapes = {p.name: p.shape for p in tensors}
        self.targets = [dict(map(_split, terms)) for terms in system.equations]

    def actions(self, g: AxisMap) -> tuple[list[sp.Matrix], None]:
        """Return the matrices K that g may have, best first; there is none that is no action."""
        return list(itertools.islice(self.exchanges(g), MAX_CHOICES)), None

    def exchanges(self, g: AxisMap) -> Iterator[sp.Matrix]:
        """Go through the matrices K that g may have, fewest exchanges and signs first."""
        if self._open_functions(g):
            return
        for exchange in itertools.islice(self._permutations(), _MAX_EXCHANGES):
            ties = self._ties(g, exchange)
            if ties is None:
                continue
            for signs in _solutions(ties, len(self.names)):
                matrix = sp.zeros(len(self.names))
                for a, name in enumerate(self.names):
                    matrix[a, self.names.index(exchange[name])] = -1 if signs[a] else 1
                yield matrix

    def _permutations(self) -> Iterator[dict[str, str]]:
        by_shape: dict[tuple[sp.Expr, ...], list[str]] = {}
        for name in self.names:
            by_shape.setdefault(self.shapes[name], []).append(name)
        groups = list(by_shape.values())
        for chosen in itertools.product(*(itertools.permutations(names) for names in groups)):
            yield dict(zip(itertools.chain(*groups), itertools.chain(*chosen), strict=True))

    def _open_functions(self, g: AxisMap) -> list[sp.Expr]:
        moved = self._coordinates(g)
        return sorted(
            (
                f
                for _, term in self.system.terms()
                for product in term.products
                for f in product.prefactor.atoms(AppliedUndef)
                if f.free_symbols & set(moved)
            ),
            key=str,
        )

    def _coordinates(self, g: AxisMap) -> dict[sp.Symbol, sp.Expr]:
        return g.coordinates([canonical_symbol(a) for a in (TIME, *self.system.axes)])

    def _field_sign(self, g: AxisMap, info: FieldInfo) -> int:
        # Under t → −t a rate of change turns round.
        return -1 if g.time < 0 and info.rate_of is not None else 1

    def image(self, g: AxisMap, exchange: dict[str, str], info: FieldInfo, term: Term) -> sp.Expr:
        """Return a term of F[u∘g⁻¹] at g x, its coefficients exchanged, as an expression."""
        sign = g.time * self._field_sign(g, info)
        made = []
        for product in term.products:
            factors = []
            for factor in product.factors:
                order, own = g.derivative(factor.derivative)
                sign *= own
                minus = self._field_sign(g, self.system.field(factor.field))
                if factor.function is None:
                    sign *= minus
                elif minus < 0:
                    sign = 0  # f(−v) is another function
                factors.append(replace(factor, derivative=order))
            uses = tuple(replace(c, name=exchange[c.name]) for c in product.coefficients)
            prefactor = product.prefactor.xreplace(self._coordinates(g))
            rates = {
                canonical_symbol(f.name): -canonical_symbol(f.name)
                for f in self.system.fields
                if f.size is None and self._field_sign(g, f) < 0
            }
            made.append(Product(prefactor.xreplace(rates), uses, tuple(factors)))
        axis = term.axis
        if axis is None:
            return sign * self.system.expression(Term(made[0]))
        moved = Term(made[0], g.permutation[axis], made[1])
        return sign * g.signs[axis] * self.system.expression(moved)

    def _read(self, info: FieldInfo, expr: sp.Expr) -> tuple[Term, ...]:
        free = None if info.size is None else Index(FREE_INDEX)
        return Reader(self.system.axes, free, f"the equation of {info.name!r}").read(expr)

    def _ties(self, g: AxisMap, exchange: dict[str, str]) -> list[tuple[list[int], int]] | None:
        """Return for each term which signs multiply it and what they must give; None: no match."""
        ties = []
        for info, terms, targets in zip(
            self.system.fields, self.system.equations, self.targets, strict=True
        ):
            for term in terms:
                made = self._read(info, self.image(g, exchange, info, term))
                if len(made) != 1:
                    return None
                like, prefactor = _split(made[0])
                target = targets.get(like)
                if target is None or sp.expand(target**2 - prefactor**2) != 0:
                    return None
                row = [0] * len(self.names)
                for use in term.coefficients():
                    row[self.names.index(use.name)] ^= 1
                ties.append((row, int(sp.expand(target - prefactor) != 0)))
        return ties

    def reason(self, g: AxisMap) -> str:
        """Name a term that no renaming of coefficients matches, signs included."""
        functions = self._open_functions(g)
        if functions:
            return f"{functions[0]} stands for any function; give it an expression in values="
        same = {name: name for name in self.names}
        for info, terms in zip(self.system.fields, self.system.equations, strict=True):
            for term in terms:
                image = self.image(g, same, info, term)
                if self._read(info, image) != (term,):
                    before = text(self.system.expression(term))
                    return f"{before} becomes {text(image)}, and no renaming of coefficients helps"
        return "no renaming of coefficients was found"


def _split(term: Term) -> tuple[Term, sp.Expr]:
    """Return a term without its number, and the number: what is collected, as `Reader` does."""
    if term.inner is None:
        return replace(term, outer=replace(term.outer, prefactor=sp.S.One)), term.outer.prefactor
    inner = replace(term.inner, prefactor=sp.S.One)
    return replace(term, inner=inner), term.inner.prefactor


def _solutions(ties: Sequence[tuple[list[int], int]], count: int) -> Iterator[list[int]]:
    """Go through the bits that satisfy equations over the field of two elements, few 1s first.

    Of equally many, those on earlier coefficients first: on A rather than on C.
    """
    places = (
        chosen for k in range(count + 1) for chosen in itertools.combinations(range(count), k)
    )
    for chosen in itertools.islice(places, 2**12):
        bits = [int(k in chosen) for k in range(count)]
        if all(sum(a * b for a, b in zip(row, bits, strict=True)) % 2 == r for row, r in ties):
            yield bits
