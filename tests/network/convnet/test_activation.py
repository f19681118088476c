"""Activations: their formulas, what they commute with, and where they are differentiable."""

from __future__ import annotations

import math

import pytest
import torch

from pdenet.errors import NetworkError
from pdenet.network.convnet.activation import ACTIVATIONS, CLIP, activation

N = 5
EPS = 2.0**-52


def state(size: float = 3.0) -> torch.Tensor:
    """Pixels inside and outside the ball of radius sqrt(N)."""
    torch.manual_seed(0)
    u = torch.randn(2, N, 4, 3, dtype=torch.float64)
    return u * torch.linspace(0.1, size, 4, dtype=torch.float64)[:, None]


def orthogonal() -> torch.Tensor:
    torch.manual_seed(1)
    return torch.linalg.qr(torch.randn(N, N, dtype=torch.float64))[0]


def signed_permutation() -> torch.Tensor:
    torch.manual_seed(2)
    signs = torch.tensor([1.0, -1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
    return torch.eye(N, dtype=torch.float64)[torch.randperm(N)] * signs


def mixed(matrix: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    return torch.einsum("ij,bjyx->biyx", matrix, u)


@pytest.mark.parametrize("name", ["hardball", "softball"])
def test_balls_commute_with_rotations_of_channels(name: str) -> None:
    """To 16 eps |u|: the rotation adds up five products, and so does its norm."""
    act, q, u = activation(name), orthogonal(), state()
    atol = 16 * EPS * float(u.abs().max())
    torch.testing.assert_close(act(mixed(q, u)), mixed(q, act(u)), rtol=0, atol=atol)


def test_hardtanh_commutes_with_signed_permutations_of_channels_only() -> None:
    act, u = activation("hardtanh"), state(size=4 * CLIP)
    s, q = signed_permutation(), orthogonal()
    assert torch.equal(act(mixed(s, u)), mixed(s, act(u)))
    assert (act(mixed(q, u)) - mixed(q, act(u))).abs().max() > 0.1


def test_relu_commutes_with_permutations_and_not_with_signs() -> None:
    act, u, s = activation("relu"), state(), signed_permutation()
    assert torch.equal(act(mixed(s.abs(), u)), mixed(s.abs(), act(u)))
    assert (act(mixed(s, u)) - mixed(s, act(u))).abs().max() > 0.1


def test_formulas_pixel_by_pixel() -> None:
    u = state(size=4 * CLIP)
    expected: dict[str, list[float]] = {}
    for b in range(2):
        for y in range(4):
            for x in range(3):
                pixel = [float(v) for v in u[b, :, y, x]]
                norm = math.sqrt(sum(v * v for v in pixel))
                radius = math.sqrt(N)
                expected = {
                    "none": pixel,
                    "relu": [max(v, 0.0) for v in pixel],
                    "hardtanh": [min(max(v, -5.0), 5.0) for v in pixel],
                    "hardball": pixel if norm <= radius else [radius * v / norm for v in pixel],
                    "softball": [v / math.sqrt(1 + norm**2 / radius**2) for v in pixel],
                }
                for name, values in expected.items():
                    found = activation(name)(u)[b, :, y, x]
                    wanted = torch.tensor(values, dtype=torch.float64)
                    torch.testing.assert_close(found, wanted, rtol=8 * EPS, atol=0)
    assert set(expected) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", ["hardball", "softball"])
def test_balls_are_bounded_and_continuous(name: str) -> None:
    act = activation(name)
    far = act(1e8 * state())
    # In float64 a norm of 1e8 leaves 1e-16 of 1.
    assert (far.square().sum(dim=1) <= N * (1 + 16 * EPS)).all()
    assert torch.equal(act(torch.zeros(1, N, 1, 1)), torch.zeros(1, N, 1, 1))


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_gradients_are_finite_at_zero_and_far_out(name: str, dtype: torch.dtype) -> None:
    """‖u‖² of u = 600 does not fit into float16: it is summed in float32."""
    for size in (0.0, 1e-4, 600.0):
        u = torch.full((1, 64, 2, 2), size, dtype=dtype, requires_grad=True)
        made = activation(name)(u)
        assert made.dtype == dtype
        made.float().sum().backward()
        assert made.isfinite().all()
        assert u.grad is not None
        assert u.grad.isfinite().all()


@pytest.mark.parametrize("name", ["hardball", "softball"])
def test_gradients_are_those_of_differences(name: str) -> None:
    u = state().requires_grad_()
    assert torch.autograd.gradcheck(activation(name), (u,))


@pytest.mark.parametrize("name", ["sofball", "ReLU", None, torch.nn.ReLU()])
def test_unknown_activations_are_named(name: object) -> None:
    with pytest.raises(NetworkError, match="activation is one of none, relu, hardtanh"):
        activation(name)


@pytest.mark.parametrize("name", ["hardball", "softball"])
def test_a_form_measures_the_state_by_its_factor_and_is_covariant_under_all_of_gl(
    name: str,
) -> None:
    """σ_L(u) with L = I is σ(u); σ_{LP}(v) = P⁻¹ σ_L(P v) for any invertible P."""
    u = state()
    form = activation(name, N, "trainable").double()
    torch.testing.assert_close(form(u), activation(name)(u), rtol=8 * EPS, atol=0)
    torch.manual_seed(4)
    factor, p = torch.randn(2, N, N, dtype=torch.float64)
    moved = activation(name, N, "identity").double()
    assert isinstance(form.factor, torch.nn.Parameter)
    assert [n for n, _ in moved.named_buffers()] == ["factor"]
    with torch.no_grad():
        form.factor.copy_(factor)
        moved.get_buffer("factor").copy_(factor @ p)
        found, wanted = moved(u), torch.linalg.solve(p, form(mixed(p, u)).movedim(1, -1)[..., None])
    # A product and a solve with a 5×5 matrix whose condition is below 100.
    torch.testing.assert_close(found, wanted[..., 0].movedim(-1, 1), rtol=1e-11, atol=1e-11)
    # What it measures is uᵀLᵀLu, by hand at one pixel.
    pixel = u[1, :, 3, 2]
    square = float(pixel @ factor.T @ factor @ pixel) / N
    size = (1 + square) ** -0.5 if name == "softball" else min(1.0, square**-0.5)
    torch.testing.assert_close(form(u)[1, :, 3, 2], size * pixel, rtol=1e-13, atol=0)


@pytest.mark.parametrize("name", ["hardball", "softball"])
def test_gradients_of_a_form_are_those_of_differences(name: str) -> None:
    act = activation(name, N, "trainable").double()
    assert isinstance(act.factor, torch.nn.Parameter)

    def made(u: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(act, {"factor": factor}, (u,))

    factor = (act.factor + 0.1).detach().requires_grad_()
    assert torch.autograd.gradcheck(made, (state().requires_grad_(), factor))


def test_forms_that_do_not_exist_are_refused() -> None:
    with pytest.raises(NetworkError, match="quadratic_form is one of none, identity, trainable"):
        activation("softball", N, "spd")
    with pytest.raises(NetworkError, match="only hardball and softball"):
        activation("relu", N, "identity")
