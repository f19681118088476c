"""The group of a family of equations: found from its indices, and no larger or smaller than it is.

Two independent truths: the right sides themselves, at random jets, before and after a change of
unknowns; and the dimension of the algebra of all X whose action on a random member of the family
stays tangent to the family, computed by automatic differentiation.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import sympy as sp
import torch

import pdenet as pn
from pdenet.equation.pde import PDE
from pdenet.errors import SymmetryError
from pdenet.symmetry.equation.family import FamilyGroup, family_group
from pdenet.symmetry.groups import Group
from tests.symmetry.equation.right_sides import (
    draw_coefficients,
    draw_jets,
    moved,
    rates,
)
from tests.tiers import mostly_deep

t, x, y = pn.coordinates("t x y")
n = sp.Symbol("n", integer=True, positive=True)
i, j, k, m = pn.indices("i j k l")
u, v = (pn.VectorField(name, n, (t, x, y)) for name in "uv")
A, B, C = (pn.Coefficient(name, (n, n)) for name in "ABC")
b, c = (pn.Coefficient(name, (n,)) for name in "bc")
T = pn.Coefficient("T", (n, n, n))


def equation(*right: sp.Expr) -> PDE:
    return PDE(*(sp.Eq(f[i].diff(t), r) for f, r in zip((u, v), right, strict=False)))


GL, ORTHOGONAL, SIMILAR = Group(), Group("orthogonal", common=False), Group("orthogonal")
MONOMIAL, POSITIVE = Group("monomial"), Group("monomial", "positive")
SIGNS = Group("monomial", "signs", common=False)
ONES = Group("monomial", "one", common=False)

# Equation -> the groups that it must have; what each is follows from tensor calculus by hand.
FAMILIES: Mapping[str, tuple[PDE, list[Group]]] = {
    "eq2": (pn.catalogue["eq2"], [GL]),
    "eq3": (pn.catalogue["eq3"], [MONOMIAL]),
    "eq4": (pn.catalogue["eq4"], [MONOMIAL]),
    "eq5": (pn.catalogue["eq5"], [MONOMIAL]),
    "eq6": (pn.catalogue["eq6"], [MONOMIAL]),
    "eq7": (pn.catalogue["eq7"], [GL]),
    "eq9": (pn.catalogue["eq9"], [GL]),
    "diffusion without a coefficient": (equation(u[i].diff(x, 2) + 3 * u[i].diff(y)), [GL]),
    "source": (equation(A[i, j] * u[j].diff(x) + b[i]), [GL]),
    "a form of the state": (equation(b[j] * u[j] * u[i].diff(x)), [GL]),
    "chain through one matrix": (equation(A[i, j] * A[j, k] * u[k].diff(x) + A[i, j] * u[j]), [GL]),
    "trace": (equation(A[j, j] * A[i, k] * u[k].diff(x)), [GL]),
    "length": (equation(u[j] * u[j].diff(y) * u[i].diff(x)), [ORTHOGONAL]),
    "length, absorbed": (equation(A[i, j] * u[j].diff(x) * u[k] * u[k].diff(y)), [SIMILAR]),
    "a matrix and its transpose": (equation(A[i, j] * u[j] + A[j, i] * u[j].diff(x)), [SIMILAR]),
    "diagonal": (equation(c[i] * u[i].diff(x) + A[i, j] * u[j]), [MONOMIAL]),
    "diagonal form": (equation(b[i] * c[j] * u[j] * u[j].diff(x)), [MONOMIAL]),
    "products alone": (equation(u[i] * u[i].diff(x)), [ONES]),
    "cubes alone": (equation(u[i] * u[i].diff(y) * u[i].diff(x)), [SIGNS]),
    "tanh": (equation(A[i, j] * sp.tanh(u[j]) + u[i].diff(x)), [SIGNS]),
    "tanh, every sign absorbed": (equation(A[i, j] * sp.tanh(u[j])), [SIGNS]),
    "absolute value": (equation(A[i, j] * sp.Abs(u[j]) + u[i].diff(x)), [MONOMIAL]),
    "absolute value of each": (equation(sp.Abs(u[i]) + u[i].diff(x)), [POSITIVE]),
    "ramp": (equation(A[i, j] * sp.Max(u[j], 0) + u[i].diff(x)), [POSITIVE]),
    "two fields": (equation(A[i, j] * v[j].diff(x), B[i, j] * u[j].diff(y)), [GL, GL]),
    "two fields, tied": (equation(v[i].diff(x), A[i, j] * u[j].diff(x)), [GL]),
    "two fields, by components": (
        equation(A[i, j] * u[j] * v[j].diff(x), B[i, j] * v[j].diff(x)),
        [MONOMIAL, MONOMIAL],
    ),
    "two fields, one coefficient": (
        equation(A[i, j] * v[j].diff(x), A[i, j] * u[j].diff(y)),
        [GL],
    ),
    "two fields, one coefficient, by components": (
        equation(A[i, j] * sp.tanh(v[j]), A[i, j] * sp.tanh(u[j])),
        [SIGNS],
    ),
    "two fields that share a closing matrix": (
        equation(A[i, j] * v[j].diff(x) + B[i, j] * u[j], B[i, j] * v[j].diff(y) + A[i, j] * u[j]),
        [GL],
    ),
    "two fields through a hidden index": (
        equation(A[i, j] * B[j, k] * sp.tanh(u[k]), B[i, j] * sp.tanh(v[j])),
        [SIGNS],
    ),
    "two fields, products of each": (
        equation(A[i, j] * v[j] * v[j].diff(x), A[i, j] * u[j] * u[j].diff(y)),
        [MONOMIAL],
    ),
    "second order in time": (
        PDE(sp.Eq(u[i].diff(t, 2), A[i, j] * (u[j].diff(x, 2) + u[j].diff(y, 2)))),
        [GL],
    ),
    "second order in time, by components": (
        PDE(sp.Eq(u[i].diff(t, 2), A[i, j] * u[j] * u[j].diff(x))),
        [MONOMIAL],
    ),
    "rank three, by components": (equation(T[i, j, k] * u[j] * u[j].diff(x) * u[k]), [MONOMIAL]),
}
# Every fourth is quick: scalings, signs, turns and all matrices are among them.
CASES = pytest.mark.parametrize("name", mostly_deep(FAMILIES, [*FAMILIES][::4]))
SIZE = 3


def matrices(
    family: FamilyGroup, rng: np.random.Generator, size: int = SIZE
) -> dict[str, np.ndarray]:
    """A random element for each field, those that must be equal equal."""
    made: dict[str, np.ndarray] = {}
    for fields in family.rule.equal:
        first = family.groups[min(fields)]
        matrix = first.random(size, rng, 5.0)
        for name in sorted(fields):
            made[name] = matrix
    for fields in family.rule.moving:
        names = [name for name in made if name in fields]
        for name in names[1:]:  # the same permutation, other numbers
            same = [one for one in family.rule.equal if {name, names[0]} <= one]
            made[name] = made[names[0]] if same else made[names[0]] @ np.diag([2.0, 0.5, 3.0])
    return made


def algebra_dimension(pde: PDE) -> int:
    """dim {X : the action on random members stays tangent to the family}, by autograd.

    The same X for three members: of one alone a symmetry of its own would count.
    """
    system = pde.system
    generator = torch.Generator().manual_seed(0)
    names = [info.name for info in system.fields]
    zero = {name: torch.zeros(SIZE, SIZE, dtype=torch.float64) for name in names}
    members = [draw_coefficients(system, SIZE, generator) for _ in range(3)]
    own, rest = len(names) * SIZE**2, sum(c.numel() for c in members[0].values())
    rows = []
    for place, coefficients in enumerate(members):
        # Each jet gives n equations a field; as many as there are unknowns, with some to spare.
        for _ in range((own + rest) // (SIZE * len(names)) + 4):
            jets = draw_jets(system, SIZE, generator)

            def change(
                generators: dict[str, torch.Tensor],
                tensors: dict[str, torch.Tensor],
                jets: dict[tuple[str, tuple[int, ...]], torch.Tensor] = jets,
                coefficients: dict[str, torch.Tensor] = coefficients,
            ) -> torch.Tensor:
                turned = {key: value + generators[key[0]] @ value for key, value in jets.items()}
                new, old = rates(system, tensors, turned), rates(system, coefficients, jets)
                return torch.cat([new[f] - generators[f] @ old[f] for f in names])

            by_x, by_c = torch.func.jacrev(change, argnums=(0, 1))(zero, coefficients)
            row = torch.zeros(SIZE * len(names), own + 3 * rest, dtype=torch.float64)
            row[:, :own] = torch.cat([by_x[f].flatten(1) for f in names], dim=1)
            if rest:
                here = slice(own + place * rest, own + (place + 1) * rest)
                row[:, here] = torch.cat([by_c[f].flatten(1) for f in coefficients], dim=1)
            rows.append(row)
    matrix = torch.cat(rows)
    # dim of the projection to X: dim of the kernel less that of its part with X = 0. Singular
    # values of these random matrices are above 1e-4, or rounding, 1e-13.
    ranks = [int(torch.linalg.matrix_rank(m, atol=1e-8)) for m in (matrix, matrix[:, own:])]
    return own - (ranks[0] - ranks[1])


def group_dimension(family: FamilyGroup) -> int:
    """The dimension of the reported group, of generalised permutations and so on."""
    total = 0
    for fields in family.rule.equal:
        group = family.groups[min(fields)]  # one matrix for all of them
        orthogonal = SIZE * (SIZE - 1) // 2 + group.common
        scales = SIZE if group.scales in ("any", "positive") else int(group.common)
        total += {"general": SIZE**2, "orthogonal": orthogonal}.get(group.shape, scales)
    return total


@CASES
def test_the_group_is_that_of_tensor_calculus(name: str) -> None:
    pde, wanted = FAMILIES[name]
    family = family_group(pde.system)
    found = [family.groups[min(fields)] for fields in family.rule.equal]
    if len(wanted) == 2 and len(found) == 1:
        found = list(family.groups.values())
    assert found == wanted


@CASES
def test_the_group_has_the_dimension_of_the_tangent_algebra(name: str) -> None:
    """Not too small: nothing continuous acts besides. Not too large: see the next test."""
    pde, _ = FAMILIES[name]
    assert group_dimension(family_group(pde.system)) == algebra_dimension(pde)


@CASES
def test_acted_coefficients_are_those_of_the_new_unknowns(name: str) -> None:
    """F(c̃, v) = P⁻¹ F(c, P v) at random jets, for random elements of the group."""
    pde, _ = FAMILIES[name]
    family = family_group(pde.system)
    generator = torch.Generator().manual_seed(1)
    old = draw_coefficients(pde.system, SIZE, generator)
    jets = draw_jets(pde.system, SIZE, generator)
    for seed in range(3):
        changes = matrices(family, np.random.default_rng(seed))
        values = {c: a.numpy() for c, a in old.items()}
        acted = {c: torch.tensor(a) for c, a in family.act(values, changes).items()}
        tensors = {f: torch.tensor(p) for f, p in changes.items()}
        found = rates(pde.system, acted, jets)
        wanted = rates(pde.system, old, moved(jets, tensors))
        for field, value in found.items():
            # Sums of some 3⁴ products of numbers of size 1 to 10², of condition 5.
            expected = torch.linalg.solve(tensors[field], wanted[field])
            torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-9)


@CASES
def test_actions_compose_and_invert(name: str) -> None:
    """Acting by P and then by Q is acting by P Q; by P and P⁻¹ nothing."""
    pde, _ = FAMILIES[name]
    family = family_group(pde.system)
    old = {
        c: a.numpy()
        for c, a in draw_coefficients(pde.system, SIZE, torch.Generator().manual_seed(2)).items()
    }
    one, two = (matrices(family, np.random.default_rng(seed)) for seed in (3, 4))
    stepwise = family.act(family.act(old, one), two)
    at_once = family.act(old, {f: one[f] @ two[f] for f in one})
    back = family.act(family.act(old, one), {f: np.linalg.inv(one[f]) for f in one})
    identity = family.act(old, {f: np.eye(SIZE) for f in one})
    for name_, value in old.items():
        # Condition 5 each, three indices at most: 5³ roundings of numbers of size 10.
        np.testing.assert_allclose(stepwise[name_], at_once[name_], rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(back[name_], value, rtol=1e-11, atol=1e-11)
        np.testing.assert_array_equal(identity[name_], value)


def test_a_matrix_outside_the_group_is_refused_by_name_and_number() -> None:
    eq3 = family_group(pn.catalogue["eq3"].system)
    with pytest.raises(SymmetryError, match=r"generalised permutations.*more than one number.*j"):
        eq3.act({}, {"u": [[1.0, 1.0], [0.0, 1.0]]})
    length = family_group(FAMILIES["length"][0].system)
    # ‖PᵀP − I‖ of diag(2, 1) is 3.
    with pytest.raises(SymmetryError, match=r"‖PᵀP − I‖ = 3"):
        length.act({}, {"u": np.diag([2.0, 1.0])})
    with pytest.raises(SymmetryError, match=r"vector fields u; got 'w'"):
        length.act({}, {"w": np.eye(2)})
    tied = family_group(FAMILIES["two fields, tied"][0].system)
    with pytest.raises(SymmetryError, match=r"change together"):
        tied.act({}, {"u": np.eye(2)})
    with pytest.raises(SymmetryError, match=r"have one matrix"):
        tied.act({}, {"u": np.eye(2), "v": 2 * np.eye(2)})
    with pytest.raises(SymmetryError, match=r"finite"):
        length.act({}, {"u": np.full((2, 2), np.nan)})
    with pytest.raises(SymmetryError, match=r"shape"):
        length.act({}, {"u": np.ones((2, 3))})


def test_blocks_of_coefficients_leave_blocks_of_the_group() -> None:
    """With g diagonal blocks P mixes within blocks and exchanges them, and no more."""
    group = family_group(pn.catalogue["eq9"].system, blocks=2).groups["u"]
    assert group.name(6) == "GL(3) on each of 2 blocks and their exchanges"
    rng = np.random.default_rng(0)
    masks = np.kron(np.eye(2), np.ones((3, 3)))
    for _ in range(5):
        p = group.random(6, rng)
        assert group.fault(p) == ""
        acted = np.linalg.solve(p, masks * rng.standard_normal((6, 6))) @ p
        # Entries between blocks are roundings of sums of six numbers of size 10.
        assert np.abs(acted * (1 - masks)).max() < 1e-12
    assert "mixes blocks" in group.fault(GL.random(6, rng))


def test_reasons_name_the_term_and_the_index() -> None:
    text = str(family_group(pn.catalogue["eq3"].system))
    assert "in A_ij C_jk u_k ∂x u_j the index j stands three times" in text
    assert "A ↦ A_π(i)π(j) d_i^-1 d_j" in text
    assert "C ↦ C P" in str(family_group(pn.catalogue["eq7"].system))
    assert "hidden, u unchanged: generalised permutations on j" in str(
        family_group(pn.catalogue["eq7"].system)
    )
