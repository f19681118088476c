"""Contractions are sums over indices: one by one against einsum, and stacked in whole blocks.

Roundings: a sum of n products of m factors is off by at most (n + m) eps Σ|product|, whatever its
order; Σ|product| is the same contraction with every sign made positive.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any  # hypothesis's `draw`

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given
from hypothesis import strategies as st

import pdenet as pn
from pdenet.equation.symbols import Coefficient, D, Index, VectorField
from pdenet.network.contraction import Contraction, Operand
from tests.laws.contraction_oracle import EQUATIONS, contract, slope
from tests.laws.direct import integrator
from tests.laws.drawing import (
    ALLOWED,
    AXES,
    EPS,
    as_tensor,
    drawn_state,
    t,
    x,
    y,
)
from tests.laws.scale import step_scale
from tests.strategies import (
    boundaries,
    few_each,
    grids,
    hyperbolic_systems,
    periodic,
)

pytestmark = pytest.mark.filterwarnings("ignore::pdenet.errors.BoundaryWarning")

GRID = pn.Grid(x=(0, 1, 5), y=(-1, 1, 6))
TORUS = periodic(2)
SPACING = GRID.spacing(TORUS)

_n = sp.Symbol("n", integer=True, positive=True)
_i, _j, _k, _l = (Index(name) for name in "ijkl")
_U = VectorField("u", _n, (t, x, y))


def random(*shape: int, seed: int = 0) -> np.ndarray:
    made: np.ndarray = np.random.default_rng(seed).standard_normal(shape)
    return made


# One contraction ---------------------------------------------------------------------------------


@st.composite
def contractions(draw: Any) -> tuple[list[Operand], list[torch.Tensor], str, dict[str, int], int]:
    """Operands over a few letters, of which some are kept; batch and space may have length 1."""
    dimension = draw(st.integers(1, 3))
    sizes = {c: draw(st.integers(1, 3)) for c in "abcd"}
    batch, space = 2, (3, 4, 2)[:dimension]
    operands, tensors = [], []
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    count = draw(st.integers(1, 4))
    spatial = [draw(st.booleans()) for _ in range(count)]
    for is_spatial in spatial:
        letters = "".join(draw(st.permutations("abcd"))[: draw(st.integers(0, 3))])
        shape = [sizes[c] for c in letters]
        if is_spatial:
            flat = [draw(st.sampled_from((True, True, False))) for _ in range(1 + dimension)]
            ends = [n if keep else 1 for n, keep in zip((batch, *space), flat, strict=True)]
            shape = [ends[0], *shape, *ends[1:]]
        operands.append(Operand(letters, is_spatial))
        tensors.append(torch.randn(shape, generator=generator, dtype=torch.float64))
    have = sorted({c for o in operands for c in o.letters})
    output = "".join(c for c in draw(st.permutations(have)) if draw(st.booleans()))
    return operands, tensors, output, sizes, dimension


def naive(
    operands: list[Operand], tensors: list[torch.Tensor], output: str, d: int
) -> torch.Tensor:
    """The same sum by one torch.einsum, batch and space as letters that broadcast."""
    space = "wxyz"[: 1 + d]
    texts, full = [], []
    ends = [1] * (1 + d)
    for o, tensor in zip(operands, tensors, strict=True):
        if o.is_spatial:
            own = (tensor.shape[0], *tensor.shape[1 + len(o.letters) :])
            ends = [max(a, b) for a, b in zip(ends, own, strict=True)]
    for o, tensor in zip(operands, tensors, strict=True):
        if o.is_spatial:
            kept = tensor.shape[1 : 1 + len(o.letters)]
            full.append(tensor.expand(ends[0], *kept, *ends[1:]))
            texts.append(f"{space[0]}{o.letters}{space[1:]}")
        else:
            full.append(tensor)
            texts.append(o.letters)
    is_spatial = any(o.is_spatial for o in operands)
    target = f"{space[0]}{output}{space[1:]}" if is_spatial else output
    return torch.einsum(",".join(texts) + "->" + target, *full)


@given(case=contractions())
def test_a_contraction_is_einsum(case: Any) -> None:
    operands, tensors, output, sizes, dimension = case
    contraction = Contraction(operands, output, sizes, 64, dimension)
    found = contraction(tensors)
    expected = naive(operands, tensors, output, dimension)
    size = naive(operands, [one.abs() for one in tensors], output, dimension)
    # At most 3⁴ summands of at most 4 factors.
    apart = (found.expand(expected.shape) - expected).abs()
    assert (apart <= 85 * EPS["float64"] * size).all()


def test_contractions_of_a_layer_are_convolutions_and_products_as_in_a_convnet() -> None:
    """A_ij (C_jk u_k) v_j: 1×1 convolution, element-wise product, 1×1 convolution."""
    operands = [Operand("ij", False), Operand("jk", False), Operand("k", True), Operand("j", True)]
    sizes = dict.fromkeys("ijk", 4)
    contraction = Contraction(operands, "i", sizes, 4096, 2)
    assert [s.kind for s in contraction.steps] == ["convolution", "product", "convolution"]


# Whole blocks ------------------------------------------------------------------------------------


def check(
    pde: pn.PDE, values: Mapping[str, np.ndarray], expected: Callable[[np.ndarray], np.ndarray]
) -> None:
    """∂u/∂t of the block = the naive sum, to 32 eps S with S of a step of length 1."""
    how: dict[str, Any] = {"dt": 1.0, "space": "central2", "stepper": "euler"}
    net = pde.to_network(GRID, TORUS, values=values, stability="ignore", dtype=torch.float64, **how)
    u = random(len(net.components), *GRID.shape, seed=7)
    made = expected(u)
    found = net.right_side(torch.from_numpy(u.copy())[None])[0].numpy()
    size = step_scale(integrator(pde, GRID, TORUS, values, **how), u, 0.0, 1.0)
    np.testing.assert_array_less(np.abs(found - made), ALLOWED * EPS["float64"] * size)
    assert np.abs(made).max() > 1e-3 * size  # there is something to compare


def tensors(pde: pn.PDE, size: int) -> dict[str, np.ndarray]:
    """Random tensors for a size n."""
    return {
        p.name: random(*(int(sp.sympify(s).subs(_n, size)) for s in p.shape), seed=seed)
        for seed, p in enumerate(pde.parameters)
        if p.kind == "tensor"
    }


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("name", EQUATIONS)
def test_a_block_is_the_naive_sum_of_its_equation(name: str, size: int) -> None:
    pde = pn.catalogue[name]
    values = tensors(pde, size)
    check(pde, values, lambda u: EQUATIONS[name](u, values, SPACING))


def test_a_mixture_of_two_equations_is_the_sum_of_their_blocks() -> None:
    """Eq. (3) with A, B, C, E and Eq. (7) with F, G, H, K: products beside fluxes."""
    A, B, C, E, F, G, H, K = (Coefficient(name, (_n, _n)) for name in "ABCEFGHK")
    flux = H[_j, _k] * K[_j, _l] * _U[_k] * _U[_l]
    pde = pn.PDE(
        sp.Eq(
            _U[_i].diff(t),
            A[_i, _j] * C[_j, _k] * _U[_k] * _U[_j].diff(x)
            + B[_i, _j] * E[_j, _k] * _U[_k] * _U[_j].diff(y)
            + F[_i, _j] * D(flux, x)
            + G[_i, _j] * D(flux, y),
        )
    )
    values = tensors(pde, 3)
    assert set(values) == set("ABCEFGHK")
    third = {"A": values["A"], "B": values["B"], "C": values["C"], "D": values["E"]}
    seventh = {"Ax": values["F"], "Ay": values["G"], "C": values["H"], "D": values["K"]}
    check(
        pde,
        values,
        lambda u: EQUATIONS["eq3"](u, third, SPACING) + EQUATIONS["eq7"](u, seventh, SPACING),
    )


def test_terms_whose_indices_are_named_otherwise_are_the_same_sum() -> None:
    """Eq. (3) with the factors and the names of the summed indices exchanged in one term."""
    A, B, C, E = (Coefficient(name, (_n, _n)) for name in "ABCE")
    pde = pn.PDE(
        sp.Eq(
            _U[_i].diff(t),
            A[_i, _j] * C[_j, _k] * _U[_k] * _U[_j].diff(x)
            + E[_k, _j] * _U[_k].diff(y) * _U[_j] * B[_i, _k],
        )
    )
    values = tensors(pde, 3)
    named = {"A": values["A"], "B": values["B"], "C": values["C"], "D": values["E"]}
    check(pde, values, lambda u: EQUATIONS["eq3"](u, named, SPACING))


def test_a_cubic_system_is_the_naive_sum() -> None:
    """T_ijkl u_j u_k ∂x u_l + A_ij u_j (B_k u_k)² : four factors, one tensor of rank 4."""
    T, A, B = Coefficient("T", (_n,) * 4), Coefficient("A", (_n, _n)), Coefficient("B", (_n,))
    m = Index("m")
    pde = pn.PDE(
        sp.Eq(
            _U[_i].diff(t),
            T[_i, _j, _k, _l] * _U[_j] * _U[_k] * _U[_l].diff(x)
            + A[_i, _j] * _U[_j] * B[_k] * _U[_k] * B[m] * _U[m],
        )
    )
    values = tensors(pde, 2)
    check(
        pde,
        values,
        lambda u: (
            contract("ijkl,jyx,kyx,lyx->iyx", values["T"], u, u, slope(u, 0, SPACING[0]))
            + contract("ij,jyx->iyx", values["A"], u) * contract("k,kyx->yx", values["B"], u) ** 2
        ),
    )


def test_traces_and_diagonals_are_taken_of_the_tensor() -> None:
    """A_jj ∂x u_i + A_ii ∂y u_i + T_ijj u_i + T_jji u_j² read the places they name."""
    A, T = Coefficient("A", (_n, _n)), Coefficient("T", (_n,) * 3)
    pde = pn.PDE(
        sp.Eq(
            _U[_i].diff(t),
            A[_j, _j] * _U[_i].diff(x)
            + A[_i, _i] * _U[_i].diff(y)
            + T[_i, _j, _j] * _U[_i]
            + T[_j, _j, _i] * _U[_j] * _U[_i],
        )
    )
    values = tensors(pde, 3)
    A_, T_ = values["A"], values["T"]

    def expected(u: np.ndarray) -> np.ndarray:
        along_x, along_y = slope(u, 0, SPACING[0]), slope(u, 1, SPACING[1])
        made = np.zeros_like(u)
        for i, j in itertools.product(range(3), repeat=2):
            made[i] += A_[j, j] * along_x[i] + T_[i, j, j] * u[i] + T_[j, j, i] * u[j] * u[i]
        for i in range(3):
            made[i] += A_[i, i] * along_y[i]
        return made

    check(pde, values, expected)


@pytest.mark.parametrize("varying", ["A", "B", "A and B"])
def test_tensors_that_vary_in_space_are_contracted_node_by_node(varying: str) -> None:
    """A_ij B_jk ∂x u_k + B_jj ∂y u_i, with A, B or both over the grid."""
    A, B = (Coefficient(name, (_n, _n)) for name in "AB")
    pde = pn.PDE(
        sp.Eq(
            _U[_i].diff(t),
            A[_i, _j] * B[_j, _k] * _U[_k].diff(x) + B[_j, _j] * _U[_i].diff(y),
        )
    )
    shape = {name: (3, 3, *GRID.shape) if name in varying else (3, 3) for name in "AB"}
    values = {name: random(*shape[name], seed=seed) for seed, name in enumerate("AB")}
    texts = {name: "ab" + "yx" * (name in varying) for name in "AB"}
    first, second = texts["A"].replace("ab", "ij"), texts["B"].replace("ab", "jk")
    trace = texts["B"].replace("ab", "jj")
    check(
        pde,
        values,
        lambda u: (
            contract(
                f"{first},{second},kyx->iyx", values["A"], values["B"], slope(u, 0, SPACING[0])
            )
            + contract(f"{trace},iyx->iyx", values["B"], slope(u, 1, SPACING[1]))
        ),
    )


def test_prefactors_that_vary_in_space_are_products_node_by_node() -> None:
    """x A_ij ∂x u_j + sin(y) B_ij ∂x u_j is one layer with two maps."""
    A, B = (Coefficient(name, (_n, _n)) for name in "AB")
    pde = pn.PDE(
        sp.Eq(
            _U[_i].diff(t),
            x * A[_i, _j] * _U[_j].diff(x) + sp.sin(y) * B[_i, _j] * _U[_j].diff(x),
        )
    )
    values = tensors(pde, 3)
    xs, ys = GRID.mesh(TORUS)
    check(
        pde,
        values,
        lambda u: (
            xs * contract("ij,jyx->iyx", values["A"], slope(u, 0, SPACING[0]))
            + np.sin(ys) * contract("ij,jyx->iyx", values["B"], slope(u, 0, SPACING[0]))
        ),
    )


# Vector and component form -----------------------------------------------------------------------


@pytest.mark.parametrize("space", ["central2", "upwind", "lax_friedrichs"])
@pytest.mark.parametrize("dimension", [1, 2, 3])
@few_each
@given(data=st.data())
def test_a_system_of_vectors_and_one_of_components_are_one_network(
    space: str, dimension: int, data: st.DataObject
) -> None:
    """A_ij ∂x u_j with a tensor, and written out with n scalar fields: 32 eps S apart at most."""
    opaque = data.draw(hyperbolic_systems(dimension, opaque=True))
    fields = [sp.Function(f"u{k}")(t, *AXES[:dimension]) for k in range(opaque.num_components)]
    expanded = pn.PDE(
        *(
            sp.Eq(
                one.diff(t),
                sum(
                    sp.Float(float(matrix[row, column])) * other.diff(axis)
                    for matrix, axis in zip(opaque.matrices, AXES, strict=False)
                    for column, other in enumerate(fields)
                ),
                evaluate=False,
            )
            for row, one in enumerate(fields)
        )
    )
    grid = data.draw(grids(dimension, 5, 6))
    boundary = data.draw(boundaries(dimension))
    how: dict[str, Any] = {"space": space, "stepper": "euler"}
    how["dt"] = min(grid.spacing(boundary)) / 8
    u = drawn_state(data, opaque, grid)
    size = step_scale(integrator(opaque.pde, grid, boundary, opaque.values, **how), u, 0, how["dt"])
    made = [
        pde.to_network(
            grid, boundary, values=values, stability="ignore", dtype=torch.float64, **how
        )(as_tensor(u)[None])
        for pde, values in ((opaque.pde, opaque.values), (expanded, None))
    ]
    apart = (made[0] - made[1]).abs().max()
    assert apart <= ALLOWED * EPS["float64"] * size + 1e-300
