"""Small classifiers of all kinds, redrawn, whose unknowns are changed in tests."""

from __future__ import annotations

from typing import Any  # options of a classifier

import sympy as sp
import torch

import pdenet as pn
from tests.network.convnet.redraw import redraw
from tests.network.convnet.test_fusing import OTHERS, A, i, j, t, u, x

LAYOUT = pn.Layout(widths=(4, 8, 16), depths=(1, 2, 2))

EQUATIONS = ("eq2", "eq3", "eq4", "eq5", "eq6", "eq7")
"""Of the catalogue."""

OPTIONS: dict[str, dict[str, Any]] = {
    "as published": {},
    "no activation": {"activation": "none"},
    "relu": {"activation": "relu"},
    "hardtanh": {"activation": "hardtanh"},
    "hardball": {"activation": "hardball"},
    "a form": {"quadratic_form": "identity"},
    "a trained form of a hard ball": {"activation": "hardball", "quadratic_form": "trainable"},
    "a projected stem": {"stem_projection": True, "activation": "none"},
    "free at every stage": {"stem_projection": True, "quadratic_form": "trainable"},
    "no norms": {"norm": False, "stem_projection": True, "activation": "none"},
    "kernels of each channel": {"share_kernels": False, "activation": "none"},
    "opening norms": {"opening_norm": True, "activation": "none"},
    "position and mirrors": {"position": 1, "padding": "reflect", "activation": "none"},
    "the equation's own kernels": {"directions": None, "stencils": "moment", "activation": "none"},
    "shared in depth": {"coefficients": "shared", "activation": "none"},
    "leapfrog": {"stepper": "leapfrog", "activation": "none"},
    "Runge–Kutta": {"stepper": "heun", "activation": "none"},
    "maximum over pixels": {"global_pool": "max", "activation": "none"},
}

OTHER_EQUATIONS = {
    **{name: pn.PDE(sp.Eq(u[i].diff(t), right)) for name, right in OTHERS.items()},
    "second order in time": pn.PDE(sp.Eq(u[i].diff(t, 2), A[i, j] * u[j].diff(x, 2))),
}
"""Equations that the paper does not have."""


def model_of(equation: str | pn.PDE, **options: Any) -> pn.Classifier:
    """A classifier of three stages in float64 and evaluation mode, redrawn."""
    pde = pn.catalogue[equation] if isinstance(equation, str) else equation
    torch.manual_seed(0)
    model = pde.to_classifier(3, **{"layout": LAYOUT, **options})
    redraw(model, seed=1)
    for module in model.modules():
        factor = getattr(module, "factor", None)
        if factor is not None:  # at first the form is that of the plain activation
            factor.data.add_(0.3 * torch.randn(factor.shape) / factor.shape[0] ** 0.5)
    return model.double().eval()


def pictures() -> torch.Tensor:
    """Pictures that the strides do not divide."""
    torch.manual_seed(3)
    return torch.randn(2, 3, 9, 11, dtype=torch.float64)
