"""Laws of face rules: one rule says the same with arrays, as a stencil, and as a reach."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import sympy as sp

from pdenet.backends.numpy_arrays import NumpyArrays
from pdenet.discrete import stencils
from pdenet.discrete.arrays import Array, cut
from pdenet.discrete.boundary import Boundary, Periodic
from pdenet.discrete.fluxes import CENTRAL, FaceRule, divergence
from pdenet.discrete.grid import Grid
from pdenet.discrete.linearise import linearise
from pdenet.discrete.lowering import lower
from pdenet.discrete.program import Program
from pdenet.discrete.scheme import Scheme, discretise
from pdenet.discrete.stencils import Stencil, apply
from pdenet.discrete.steppers import stepper
from pdenet.discrete.terms import FluxTerm
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import D, coordinates
from pdenet.equation.values import bind

POINTS = 12
GRID = Grid(x=(0, 3, POINTS), y=(0, 2, POINTS))
TORUS = Boundary(x=Periodic(), y=Periodic())


@dataclass(frozen=True)
class Behind:
    """F_{i+½} is what stands at node i: a rule that the library does not have."""

    first: int = 0
    last: int = 0

    def values(self, nodes: Array, place: int) -> Array:
        return nodes if nodes.shape[place] == 1 else cut(nodes, place, 0, -1)

    def derivative(self, axis: int, dimension: int) -> Stencil:
        return stencils.one_sided(1, 1, -1, axis, dimension)

    def difference(self, axis: int, dimension: int) -> Stencil:
        return stencils.one_sided(1, 1, -1, axis, dimension)

    def back(self, axis: int, dimension: int) -> Stencil:
        return stencils.identity(dimension)


RULES = pytest.mark.parametrize("rule", [CENTRAL, Behind()], ids=["central", "behind"])


@RULES
@pytest.mark.parametrize("axis", [0, 1])
def test_a_rule_on_arrays_is_its_stencil(rule: FaceRule, axis: int) -> None:
    """Numbers are below 4 in size, so that 1e-14 is rounding."""
    nodes = np.random.default_rng(axis).standard_normal((POINTS, POINTS))
    place, h = -(axis + 1), 0.25
    wide = np.concatenate([np.take(nodes, [-1], place), nodes, np.take(nodes, [0], place)], place)
    found = divergence(rule.values(wide, place), place, h)

    def shifted(offset: tuple[int, ...]) -> np.ndarray:
        return np.roll(nodes, [-k for k in reversed(offset)], (0, 1))

    stencil = rule.derivative(axis, 2)
    np.testing.assert_allclose(found, apply(stencil, shifted, 1 / h), rtol=0, atol=1e-14 / h)
    steps = [offset[axis] for offset in stencil.offsets]
    # Both faces of a node: from the first node of the one to the last of the other.
    assert rule.first - 1 <= min(steps)
    assert max(steps) <= rule.last


@RULES
def test_whatever_reads_a_scheme_asks_its_rule(rule: FaceRule) -> None:
    """∂t u = ∂x((1 + x)² u): rates against plain slices, the linearisation, and the kernel."""
    t, x, y = coordinates("t x y")
    u = sp.Function("u")(t, x, y)
    pde = PDE(sp.Eq(u.diff(t), D((1 + x) ** 2 * u, x)))
    scheme = discretise(pde.system, GRID, TORUS, "central2", stepper("euler"))
    scheme = _with_rule(scheme, rule)
    values = bind(pde.system, {})
    program = Program(scheme, values, NumpyArrays(np.dtype(np.float64)))
    state = np.random.default_rng(3).standard_normal((1, POINTS, POINTS))
    nodes, h = scheme.domain.nodes(0), scheme.domain.spacing[0]
    flux = (1 + nodes) ** 2 * state[0]
    if rule == CENTRAL:
        faces = (flux + np.roll(flux, -1, 1)) / 2
    else:
        faces = flux
    expected = (faces - np.roll(faces, 1, 1)) / h
    found = program.rates(state, 0.0, 1.0)["u"][0]
    inside = slice(1, -1)  # the coefficient jumps where the torus closes
    np.testing.assert_allclose(found[:, inside], expected[:, inside], rtol=1e-12)
    (linear,) = linearise(scheme)
    assert linear.stencil == rule.derivative(0, 2)
    lowered = lower(scheme, values)
    (kernel,) = lowered.kernels
    assert kernel.sum() == 0
    np.testing.assert_array_equal(kernel[kernel != 0], np.array(linear.stencil.weights, float))


def _with_rule(scheme: Scheme, rule: FaceRule) -> Scheme:
    equations = tuple(
        tuple(replace(t, rule=rule) if isinstance(t, FluxTerm) else t for t in terms)
        for terms in scheme.equations
    )
    return replace(scheme, equations=equations)
