"""Every function of the language is torch's on tensors, so that gradients flow through it."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
import torch

from pdenet.backends.torch_functions import TORCH
from pdenet.equation.functions import FUNCTIONS, compile_expression
from pdenet.equation.symbols import canonical_symbol

a, b = canonical_symbol("a"), canonical_symbol("b")
TWO = {"atan2", "Max", "Min"}
# Flat wherever they are differentiable.
FLAT = {"sign", "Heaviside"}


def expression(name: str) -> sp.Expr:
    if name == "Piecewise":
        return sp.Piecewise((a * b, a > b), (a + b, True))
    if name in ("Max", "Min"):
        return FUNCTIONS[name](a, b, sp.Rational(1, 2))
    return FUNCTIONS[name](a, b) if name in TWO else FUNCTIONS[name](a)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_numpys_and_gradients_flow(name: str) -> None:
    expr = expression(name)
    given = np.array([0.2, 0.4, 0.7]), np.array([0.3, 0.35, 0.9])
    expected = compile_expression(expr, ("a", "b"))(*given)
    tensors = [torch.tensor(g, requires_grad=True) for g in given]
    made = compile_expression(expr, ("a", "b"), TORCH)(*tensors)
    assert isinstance(made, torch.Tensor)
    # Two libraries' elementary functions differ by a few roundings of values near 1.
    np.testing.assert_allclose(made.detach().numpy(), expected, rtol=1e-14, atol=1e-15)
    if name in FLAT:
        return
    made.sum().backward()
    gradients = [t.grad for t in tensors if t.grad is not None]
    assert gradients
    assert any(bool((g != 0).any()) for g in gradients)
