"""Right sides of systems of vector fields, evaluated index by index at random jets with torch.

Independent of the index rule and of all stencils: a term is an einsum over the values of fields and
their derivatives at one point, which are free numbers (jets); a flux is differentiated by the
product rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import sympy as sp
import torch

from pdenet.equation.system import FREE_INDEX, FieldUse, Product, System, Term

Jets = dict[tuple[str, tuple[int, ...]], torch.Tensor]

# What the functions of the equations used here are on tensors.
_FUNCTIONS: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "tanh": torch.tanh,
    "Abs": torch.abs,
    "Max": lambda a: a.clamp(min=0.0),
    "Pow": lambda a: a**3,
}


def draw_jets(system: System, n: int, generator: torch.Generator) -> Jets:
    """Random values of all fields and of their derivatives up to order 3."""
    orders = [(a, b) for a in range(4) for b in range(4) if a + b <= 3]
    return {
        (info.name, order): torch.randn(n, generator=generator, dtype=torch.float64)
        for info in system.fields
        for order in orders
    }


def draw_coefficients(
    system: System, n: int, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """Random coefficients of the shapes that n components give."""
    return {
        p.name: torch.randn(
            [_length(s, n) for s in p.shape], generator=generator, dtype=torch.float64
        )
        for p in system.parameters
        if p.kind == "tensor"
    }


def rates(
    system: System, coefficients: Mapping[str, torch.Tensor], jets: Jets
) -> dict[str, torch.Tensor]:
    """∂u/∂t of every field at the point, shape `(n,)` each."""
    n = len(next(iter(jets.values())))
    made = {}
    for info, terms in zip(system.fields, system.equations, strict=True):
        total = torch.zeros(n, dtype=torch.float64)
        for term in terms:
            for product, use in _flat(term):
                total = total + _einsum(product, use, coefficients, jets, n)
        made[info.name] = total
    return made


def moved(jets: Jets, matrices: Mapping[str, torch.Tensor]) -> Jets:
    """The jets of P v from those of v."""
    return {key: matrices[key[0]] @ value for key, value in jets.items()}


def _length(size: sp.Expr, n: int) -> int:
    return int(size.subs(dict.fromkeys(size.free_symbols, n)))


def _flat(term: Term) -> list[tuple[Product, tuple[FieldUse, ...]]]:
    """Products of a term with its flux carried out by the product rule."""
    if term.inner is None or term.axis is None:
        return [(term.outer, term.outer.factors)]
    joined = Product(
        term.outer.prefactor * term.inner.prefactor,
        term.outer.coefficients + term.inner.coefficients,
    )
    made = []
    for k, factor in enumerate(term.inner.factors):
        order = tuple(d + (a == term.axis) for a, d in enumerate(factor.derivative))
        assert factor.function is None
        one = FieldUse(factor.field, factor.index, order)
        rest = term.inner.factors[:k] + term.inner.factors[k + 1 :]
        made.append((joined, (*term.outer.factors, *rest, one)))
    return made


def _einsum(
    product: Product,
    uses: tuple[FieldUse, ...],
    coefficients: Mapping[str, torch.Tensor],
    jets: Jets,
    n: int,
) -> torch.Tensor:
    # Ones carry the free index where nothing else does, and sum what stands alone.
    subscripts, operands = [FREE_INDEX], [torch.ones(n, dtype=torch.float64)]
    for use in product.coefficients:
        subscripts.append("".join(use.indices))
        operands.append(coefficients[use.name])
    for factor in uses:
        value = jets[factor.field, factor.derivative]
        if factor.function is not None:
            value = _FUNCTIONS[factor.function.func.__name__](value)
        assert factor.index is not None
        subscripts.append(factor.index)
        operands.append(value)
    made = torch.einsum(f"{','.join(subscripts)}->{FREE_INDEX}", *operands)
    return made * float(product.prefactor)
