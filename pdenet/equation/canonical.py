"""From right sides to canonical terms: one form for all algebraically equal equations.

Equal means equal as polynomials in fields, derivatives and parameters with rational coefficients,
up to the names of summed indices. Functions such as sin are atoms; `D(a, x)` is an atom that is
linear in its canonicalised argument. Decimal numbers are read as the rationals they are written
as (0.1 is 1/10), which evaluate to the same floating-point number.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace

import sympy as sp
from sympy.core.function import AppliedUndef

from pdenet.equation.arithmetic import MAX_TERMS, check_expansion
from pdenet.equation.symbols import (
    Component,
    D,
    Entry,
    Index,
    canonical_symbol,
    is_field,
)
from pdenet.equation.system import (
    ARGUMENT,
    FREE_INDEX,
    CoefficientUse,
    FieldUse,
    Product,
    Term,
)
from pdenet.errors import EquationError

MAX_ORDER = 4  # the highest order for which there are stencils
# Names of summed indices in canonical form; the free index is FREE_INDEX.
_SUMMED = tuple("jklmnpqrabcdefgh")
_MAX_SUMMED = 7  # 7! = 5040 namings are compared; the paper's systems have at most three


def expand(expr: sp.Expr) -> sp.Expr:
    """Return `expr` multiplied out, with decimals as rationals and functions left as they are.

    Raises:
        EquationError: there would be more than `MAX_TERMS` terms; found before they are made.
    """
    check_expansion(expr)
    floats = {f: sp.Rational(repr(float(f))) for f in expr.atoms(sp.Float)}
    if floats:
        expr = expr.xreplace(floats)
    return sp.expand(
        expr, deep=True, power_base=False, power_exp=False, log=False, mul=True, multinomial=True
    )


@dataclass(frozen=True)
class Reader:
    """Splits a right side into terms.

    Attributes:
        axes: the space coordinates.
        free: the free index of the left side, None for a scalar equation.
        equation: the equation as text, for messages.
    """

    axes: tuple[str, ...]
    free: Index | None
    equation: str

    def read(self, right: sp.Expr) -> tuple[Term, ...]:
        """Return the canonical terms of a right side, like terms collected, in canonical order.

        Raises:
            EquationError: a term is not a product of coefficients, functions of undifferentiated
                fields and derivatives.
        """
        expanded = expand(right)
        parts = sp.Add.make_args(expanded)
        if len(parts) > MAX_TERMS:
            raise EquationError(
                f"an equation of at most {MAX_TERMS} terms was expected; {self.equation} expands "
                f"to {len(parts)}; write it with fewer or name a function of its own"
            )
        terms = [term for part in parts for term in self._terms(part)]
        return _collect(_rename(term, self.free) for term in terms)

    def _terms(self, part: sp.Expr) -> Iterable[Term]:
        fluxes = [f for f in sp.Mul.make_args(part) if f.has(D)]
        rest = sp.Mul(*(f for f in sp.Mul.make_args(part) if not f.has(D)))
        if not fluxes:
            if part != 0:
                yield Term(self._product(rest))
            return
        if len(fluxes) > 1 or not isinstance(fluxes[0], D):
            raise EquationError(
                f"each term holds one D(...) at most, to the first power; got {part} in "
                f"{self.equation}; write the rest with plain derivatives"
            )
        flux = fluxes[0]
        axis = self._axis(flux.coordinate)
        # ∂/∂x is linear over what does not depend on x: it goes under the derivative. Coefficients
        # A_ij stay where they are written, since that decides in which order to contract.
        constant, varying = rest.as_independent(flux.coordinate, Entry)
        outer = self._product(varying)
        for one in sp.Add.make_args(expand(constant * flux.argument)):
            if one.has(flux.coordinate):  # else the derivative is 0
                yield Term(outer, axis, self._product(one))

    def _axis(self, coordinate: sp.Symbol) -> int:
        if coordinate.name not in self.axes:
            raise EquationError(
                f"derivatives are taken along {', '.join(self.axes)}; got {coordinate} in "
                f"{self.equation}; make the fields depend on it"
            )
        return self.axes.index(coordinate.name)

    def _product(self, part: sp.Expr) -> Product:
        prefactor: list[sp.Expr] = []
        coefficients: list[CoefficientUse] = []
        factors: list[FieldUse] = []
        for factor in sp.Mul.make_args(part):
            base, exponent = factor.as_base_exp()
            if isinstance(base, Entry | Component) or (
                isinstance(base, sp.Derivative) and isinstance(base.expr, Component)
            ):
                if exponent != 1:
                    raise EquationError(
                        f"an indexed factor stands to the first power; got {factor} in "
                        f"{self.equation}; write a contraction with two index names, "
                        "such as u[j]*u[k] with coefficients that tie j and k"
                    )
                if isinstance(base, Entry):
                    names = tuple(i.name for i in base.indices)
                    coefficients.append(CoefficientUse(base.name, names))
                else:
                    factors.append(self._use(base))
            elif isinstance(base, sp.Derivative) and is_field(base.expr):
                if not (exponent.is_Integer and exponent > 0):
                    raise EquationError(
                        f"derivatives enter as products; got {factor} in {self.equation}, which is "
                        "not a polynomial in its derivatives; rewrite the equation"
                    )
                factors += [self._use(base)] * int(exponent)
            elif factor.has(Component):
                factors.append(self._function(factor))
            elif any(is_field(d.expr) for d in factor.atoms(sp.Derivative)) or factor.has(Entry):
                raise EquationError(
                    "coefficients and derivatives enter as products; got "
                    f"{factor} in {self.equation}; no scheme exists for a function of them"
                )
            else:
                prefactor.append(factor)
        scalars = {
            f: canonical_symbol(f.func.__name__) for f in part.atoms(AppliedUndef) if is_field(f)
        }
        return Product(sp.Mul(*prefactor).xreplace(scalars), tuple(coefficients), tuple(factors))

    def _use(self, expr: sp.Expr) -> FieldUse:
        orders = [0] * len(self.axes)
        if isinstance(expr, sp.Derivative):
            for symbol, count in expr.variable_count:
                if not count.is_Integer:
                    raise EquationError(
                        f"derivative orders are numbers; got {expr} in {self.equation}"
                    )
                orders[self._axis(symbol)] += int(count)
            expr = expr.expr
        if sum(orders) > MAX_ORDER:
            raise EquationError(
                f"derivatives up to order {MAX_ORDER} have stencils; got order {sum(orders)} in "
                f"{self.equation}; introduce a field for an inner derivative"
            )
        if isinstance(expr, Component):
            return FieldUse(expr.name, expr.index.name, tuple(orders))
        return FieldUse(expr.func.__name__, None, tuple(orders))

    def _function(self, factor: sp.Expr) -> FieldUse:
        inside = factor.atoms(Component)
        one = next(iter(inside))
        rest = factor.xreplace({one: ARGUMENT})
        if len(inside) > 1 or rest.has(Entry, D, sp.Derivative) or rest.atoms(AppliedUndef):
            raise EquationError(
                f"a function of one component, such as tanh(u[j]), was expected; got {factor} in "
                f"{self.equation}; sums inside functions are not summed: name a field for them"
            )
        return FieldUse(one.name, one.index.name, (0,) * len(self.axes), rest)


def _factor_key(factor: FieldUse) -> tuple[object, ...]:
    return (
        tuple(-d for d in factor.derivative),
        factor.field,
        factor.index or "",
        str(factor.function or ""),
    )


def _sorted(product: Product) -> Product:
    return replace(
        product,
        coefficients=tuple(sorted(product.coefficients, key=lambda c: (c.name, c.indices))),
        factors=tuple(sorted(product.factors, key=_factor_key)),
    )


def _key(term: Term) -> tuple[object, ...]:
    """Order terms: differentiated first, then by orders, fields, indices and coefficients."""
    orders = tuple(sorted((sum(f.derivative) for f in term.factors()), reverse=True))
    return (
        tuple(-o for o in orders) or (1,),
        -1 if term.axis is None else term.axis,
        tuple(
            (tuple(map(_factor_key, p.factors)), tuple((c.name, c.indices) for c in p.coefficients))
            for p in term.products
        ),
    )


def _rename(term: Term, free: Index | None) -> Term:
    """Return `term` with its summed indices renamed j, k, l, … in the one canonical way."""
    names = term.indices()
    summed = [n for n in names if free is None or n != free.name]
    if len(summed) > _MAX_SUMMED:
        raise EquationError(
            f"at most {_MAX_SUMMED} summed indices a term were expected; got {summed}; "
            "introduce an intermediate coefficient"
        )
    best: Term | None = None
    for order in itertools.permutations(_SUMMED[: len(summed)]):
        table = dict(zip(summed, order, strict=True))
        if free is not None:
            table[free.name] = FREE_INDEX
        candidate = _substitute(term, table)
        if best is None or _key(candidate) < _key(best):
            best = candidate
    assert best is not None
    return best


def _substitute(term: Term, table: dict[str, str]) -> Term:
    def rename(product: Product) -> Product:
        return _sorted(
            replace(
                product,
                coefficients=tuple(
                    replace(c, indices=tuple(table[i] for i in c.indices))
                    for c in product.coefficients
                ),
                factors=tuple(
                    f if f.index is None else replace(f, index=table[f.index])
                    for f in product.factors
                ),
            )
        )

    inner = None if term.inner is None else rename(term.inner)
    return Term(rename(term.outer), term.axis, inner)


def _lowest_terms(expr: sp.Expr) -> sp.Expr:
    """Return an expanded expression with its fractions put over one denominator and cancelled.

    Scaling an equation by 1 + a and solving it again must not leave a/(1 + a) + 1/(1 + a).
    """
    bases = [p.base for p in expr.atoms(sp.Pow) if p.exp.is_Integer and p.exp < 0]
    return expand(sp.cancel(expr)) if any(base.is_Add for base in bases) else expr


def _collect(terms: Iterable[Term]) -> tuple[Term, ...]:
    """Add the prefactors of like terms, drop what cancels, and sort."""
    sums: dict[Term, sp.Expr] = {}
    for term in terms:
        if term.inner is None:
            like, amount = replace(term, outer=replace(term.outer, prefactor=sp.S.One)), term.outer
        else:
            inner = replace(term.inner, prefactor=sp.S.One)
            like, amount = replace(term, inner=inner), term.inner
        sums[like] = sums.get(like, sp.S.Zero) + amount.prefactor
    collected: list[Term] = []
    for like, total in sums.items():
        prefactor = total if total.is_Rational else _lowest_terms(expand(total))
        if prefactor == 0:
            continue
        if like.inner is None:
            collected.append(replace(like, outer=replace(like.outer, prefactor=prefactor)))
        else:
            collected.append(replace(like, inner=replace(like.inner, prefactor=prefactor)))
    # str() of an expanded SymPy expression is deterministic; it only breaks ties.
    return tuple(sorted(collected, key=lambda t: (_key(t), str(t.outer.prefactor))))
