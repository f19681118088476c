"""Penalties are 0 for what they ask for, do not change with scale, and can be minimised."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sympy as sp
import torch

import pdenet as pn
from pdenet.errors import NetworkError
from pdenet.network.convnet.block import PDEBlock
from pdenet.network.convnet.penalties import (
    Symmetrizers,
    depth_variation,
    direction_matrices,
    hyperbolicity,
)
from pdenet.network.convnet.relaxation import Relaxation
from pdenet.network.convnet.stage import Stage
from pdenet.network.convnet.unit_rows import UnitRows, leave_out
from tests.network.convnet.redraw import redraw

N = 4
EPS = 2.0**-52
t, x, y = pn.coordinates("t x y")
i, j, k = pn.indices("i j k")
n = sp.Symbol("n", integer=True, positive=True)
u, v = (pn.VectorField(name, n, (t, x, y)) for name in "uv")
A, B = (pn.Coefficient(name, (n, n)) for name in "AB")


def block(equation: str | pn.PDE, **how: object) -> PDEBlock:
    pde = pn.catalogue[equation] if isinstance(equation, str) else equation
    options = {"directions": 4, "norm": False, **how}
    relaxation = Relaxation(**options)  # type: ignore[arg-type]  # any option
    torch.manual_seed(0)
    return redraw(PDEBlock(pde, N * len(pde.system.fields), relaxation=relaxation)).double()


def tensors(of: PDEBlock) -> list[torch.Tensor]:
    return [p.detach() for p in of.coefficients.tensors.values()]


def named(of: PDEBlock) -> dict[str, torch.Tensor]:
    return {label: p.detach() for label, p in of.coefficients.tensors.items()}


# The matrices ------------------------------------------------------------------------------------


def eq3(w: dict[str, torch.Tensor], u: torch.Tensor) -> torch.Tensor:
    return torch.einsum("ijd,jdk,sk->sdij", w["A_B"], w["C_D"], u)


def eq4(w: dict[str, torch.Tensor], u: torch.Tensor) -> torch.Tensor:
    return torch.einsum("ik,sk,ijd->sdij", w["C"], u, w["Ax_Ay"])


def eq5(w: dict[str, torch.Tensor], u: torch.Tensor) -> torch.Tensor:
    return torch.diag_embed(torch.einsum("idk,sk->sdi", w["Cx_Cy"], u))


def eq6(w: dict[str, torch.Tensor], u: torch.Tensor) -> torch.Tensor:
    """∂(u_j C_jk u_k)/∂u_l = δ_jl (C u)_j + u_j C_jl."""
    inner = torch.diag_embed(u @ w["C"].T) + u[:, :, None] * w["C"]
    return torch.einsum("ijd,sjl->sdil", w["Ax_Ay"], inner)


def eq7(w: dict[str, torch.Tensor], u: torch.Tensor) -> torch.Tensor:
    c, d = w["C"], w["D"]
    inner = (u @ d.T)[:, :, None] * c + (u @ c.T)[:, :, None] * d
    return torch.einsum("ijd,sjl->sdil", w["Ax_Ay"], inner)


def eq9(w: dict[str, torch.Tensor], u: torch.Tensor) -> torch.Tensor:
    return w["A_B"].permute(2, 0, 1).expand(len(u), -1, -1, -1)


CLOSED: dict[str, Callable[[dict[str, torch.Tensor], torch.Tensor], torch.Tensor]] = {
    "eq3": eq3, "eq4": eq4, "eq5": eq5, "eq6": eq6, "eq7": eq7, "eq9": eq9,
}  # fmt: skip


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("directions", [None, 4])
@pytest.mark.parametrize("equation", CLOSED)
def test_direction_matrices_are_the_derivatives_written_by_hand(
    equation: str, directions: int | None, norm: bool
) -> None:
    """Norms count as the identity; sums of some hundred products."""
    made = block(equation, directions=directions, norm=norm)
    states = torch.randn(3, N, dtype=torch.float64)
    found = direction_matrices(made, states)
    expected = CLOSED[equation](named(made), states)
    atol = 1e3 * EPS * float(expected.abs().max())
    torch.testing.assert_close(found.detach(), expected, rtol=0, atol=atol)


def test_direction_matrices_of_a_mixture_add_up_where_directions_are_one() -> None:
    """A_ij u_j ∂x u_i + ∂x (B_ij u_j … ) of one ∂x: one matrix; of relaxed directions, two."""
    pde = pn.PDE(
        sp.Eq(u[i].diff(t), A[i, j] * u[j].diff(x) + pn.D(B[i, j] * u[j] * u[i], x) + u[i])
    )
    made = block(pde, directions=None)
    states = torch.randn(2, N, dtype=torch.float64)
    w = named(made)
    expected = w["A"] + torch.diag_embed(states @ w["B"].T) + states[:, :, None] * w["B"]
    found = direction_matrices(made, states).detach()
    torch.testing.assert_close(found[:, 0], expected, rtol=0, atol=1e3 * EPS)
    assert direction_matrices(block(pde, directions=1), states).shape[1] == 2


def test_direction_matrices_of_two_fields_couple_them() -> None:
    pde = pn.PDE(
        sp.Eq(u[i].diff(t), A[i, j] * v[j].diff(x)), sp.Eq(v[i].diff(t), B[i, j] * u[j].diff(x))
    )
    made = block(pde, directions=None)
    w = named(made)
    (found,) = direction_matrices(made, torch.zeros(1, 2 * N, dtype=torch.float64)).detach()
    total = found.sum(dim=0)  # over ∂x of u and ∂x of v
    zero = torch.zeros(N, N, dtype=torch.float64)
    expected = torch.cat([torch.cat([zero, w["A"]], 1), torch.cat([w["B"], zero], 1)])
    torch.testing.assert_close(total, expected, rtol=0, atol=8 * EPS)


# Symmetry ----------------------------------------------------------------------------------------


def linear(matrices: torch.Tensor) -> PDEBlock:
    """Eq. (9) with these matrices, shape (direction, i, j)."""
    made = block("eq9", directions=len(matrices))
    with torch.no_grad():
        made.coefficients.tensors["A_B"].copy_(matrices.permute(1, 2, 0))
    return made


def drawn(count: int = 3) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(count, N, N, dtype=torch.float64)


def test_symmetric_matrices_have_no_penalty_and_antisymmetric_ones_the_largest() -> None:
    m = drawn()
    assert float(hyperbolicity(linear(m + m.mT)).detach()) == 0.0
    assert float(hyperbolicity(linear(m - m.mT)).detach()) == pytest.approx(2.0, rel=16 * EPS)
    # Of independent entries: 2 (1 − 1/n) n²/(2n² …): between.
    assert 0.1 < float(hyperbolicity(linear(m)).detach()) < 1.9
    assert float(hyperbolicity(block("eq5")).detach()) == 0.0  # diagonal at every state


def test_symmetrisable_matrices_have_no_penalty_with_their_symmetrizer() -> None:
    """M = P⁻¹ (symmetric) P with S = PᵀP; P of condition about 10: 1e4 eps, squared."""
    m = drawn()
    p = drawn(1)[0] + 2 * torch.eye(N, dtype=torch.float64)
    made = linear(torch.linalg.inv(p) @ (m + m.mT) @ p)
    learned = Symmetrizers(made, epsilon=0.0)
    assert float(hyperbolicity(made, symmetrizer=learned).detach()) > 0.01
    with torch.no_grad():
        learned.factors["block"].copy_(p.T)
    assert float(hyperbolicity(made, symmetrizer=learned).detach()) < 1e-24
    assert float(learned("").detach().trace()) == pytest.approx(N)


@pytest.mark.parametrize("equation", ["eq3", "eq7"])
def test_hyperbolicity_does_not_change_with_scale(equation: str) -> None:
    made = block(equation)
    states = {N: torch.randn(3, N, dtype=torch.float64)}
    learned = Symmetrizers(made)
    before = [float(hyperbolicity(made, states, s).detach()) for s in ("identity", learned)]
    with torch.no_grad():
        for tensor in made.coefficients.tensors.values():
            tensor.mul_(3.0)
        learned.factors["block"].mul_(5.0)
        learned.epsilon *= 25.0
    after = [float(hyperbolicity(made, states, s).detach()) for s in ("identity", learned)]
    assert after == pytest.approx(before, rel=1e-12)


def imaginary(matrices: torch.Tensor) -> float:
    """The largest |Im λ|/|λ| of 50 real combinations."""
    torch.manual_seed(2)
    weights = torch.randn(50, len(matrices), dtype=torch.float64)
    combined = torch.einsum("cd,dij->cij", weights, matrices)
    values = torch.linalg.eigvals(combined)
    return float((values.imag.abs() / values.abs().amax(dim=1, keepdim=True)).max())


@pytest.mark.parametrize("learn", [False, True], ids=["identity", "learned"])
def test_minimised_it_makes_all_eigenvalues_real(learn: bool) -> None:
    made = linear(drawn(2))
    symmetrizer = Symmetrizers(made) if learn else None
    parameters = [made.coefficients.tensors["A_B"]]
    parameters += [] if symmetrizer is None else list(symmetrizer.parameters())
    assert imaginary(direction_matrices(made).detach()[0]) > 0.1
    optimizer = torch.optim.Adam(parameters, lr=0.03)
    states = {N: torch.zeros(1, N, dtype=torch.float64)}
    loss = torch.zeros(())
    for _ in range(300):
        optimizer.zero_grad()
        loss = hyperbolicity(made, states, "identity" if symmetrizer is None else symmetrizer)
        loss.backward()
        optimizer.step()
    matrices = direction_matrices(made).detach()[0]
    assert matrices.abs().max() > 0.1  # not by vanishing
    # Symmetric up to the square root of the loss; eigenvalues of nearly symmetric matrices are
    # real unless two of them nearly meet.
    assert float(loss.detach()) < 1e-4
    assert imaginary(matrices) < 0.02
    if symmetrizer is not None:
        assert float(hyperbolicity(made, states).detach()) > 10 * float(loss.detach())


@pytest.mark.parametrize("name", ["eq3_small", "eq7_nows_x6_small"])
def test_penalties_of_classifiers_have_gradients_and_leave_the_model_as_it_is(name: str) -> None:
    model = redraw(pn.create_model(name, 10))
    images = torch.randn(2, 3, 8, 8)
    before = model.eval()(images)
    symmetrizers = Symmetrizers(model)
    total = hyperbolicity(model, symmetrizer=symmetrizers) + depth_variation(model)
    total.backward()
    assert torch.equal(model(images), before)
    for parameter in symmetrizers.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0
    names = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert any("coefficients" in n for n in names)
    assert any("banks" in n for n in names)
    assert not any("norm" in n or "stem" in n or "head" in n for n in names)


# Depth -------------------------------------------------------------------------------------------


def test_shared_coefficients_do_not_vary_and_independent_ones_do() -> None:
    """Of independent draws each pair counts 2 on average; pairs of blocks of one shape only."""
    layout = pn.Layout((32, 64), (3, 4))
    pde = pn.catalogue["eq7"]
    shared = pde.to_classifier(10, layout=layout, coefficients="shared")
    assert float(depth_variation(shared).detach()) == 0.0
    free = pde.to_classifier(10, layout=layout)
    pairs = 2 + 2  # of stage 2 the first block changes width
    # θ have a thousand entries and kernels 36 × 3: within a tenth.
    assert float(depth_variation(free).detach()) == pytest.approx(2 * pairs, rel=0.1)


@torch.no_grad()
def test_variation_is_the_relative_square_difference() -> None:
    model = pn.catalogue["eq9"].to_classifier(2, layout=pn.Layout((4,), (2,)), directions=2)
    (stage,) = (s for s in model.stages if isinstance(s, Stage))
    one, two = (b for b in stage.blocks if isinstance(b, PDEBlock))
    two.load_state_dict(one.state_dict())
    assert float(depth_variation(model)) == 0.0
    two.coefficients.tensors["A_B"].mul_(-1.0)
    assert float(depth_variation(model)) == pytest.approx(4 / 2)  # one of two parameters
    two.coefficients.tensors["A_B"].mul_(-2.0)  # ‖θ‖² / ½(1 + 4)‖θ‖²
    assert float(depth_variation(model)) == pytest.approx(0.4 / 2)
    before = float(depth_variation(model))
    for parameter in model.parameters():
        parameter.mul_(7.0)
    assert float(depth_variation(model)) == pytest.approx(before)
    norm = one.norms["0"]
    assert isinstance(norm, torch.nn.BatchNorm2d)
    norm.weight.fill_(1.0)  # norms do not count
    assert float(depth_variation(model)) == pytest.approx(before)
    for each in (one, two):
        each.coefficients.tensors["A_B"].zero_()
    assert float(depth_variation(model)) == pytest.approx(0.0)


# Bad input ---------------------------------------------------------------------------------------


def test_bad_input_is_refused_by_name() -> None:
    with pytest.raises(NetworkError, match="a model with stages of blocks"):
        depth_variation(torch.nn.Linear(2, 2))
    with pytest.raises(NetworkError, match="keeps its width"):
        hyperbolicity(PDEBlock(pn.catalogue["eq3"], 4, 8, stride=2))
    with pytest.raises(NetworkError, match='"identity" or a Symmetrizers'):
        hyperbolicity(block("eq3"), symmetrizer="learned")
    with pytest.raises(NetworkError, match=r"states have the shape \(count, 4\)"):
        hyperbolicity(block("eq3"), states={4: torch.zeros(3, 5)})


@torch.no_grad()
def test_a_block_that_does_without_its_unit_rows_is_in_no_pair() -> None:
    model = pn.create_model("eq7_nows_x6_small", layout=pn.Layout((8,), (3,)))
    leave_out(model, [UnitRows(1, 1, "C", tuple(range(8)))])
    found = float(depth_variation(model))
    (stage,) = (s for s in model.stages if isinstance(s, Stage))
    del stage.blocks[0]
    assert found == float(depth_variation(model)) > 1
