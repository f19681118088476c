"""Published: the table of the published classifiers, and of equations outside the catalogue.

Liu, Shao & Bai (2023), arXiv 2308.01621. "nows" is "no weight sharing": each channel has kernels of
its own; "x6" counts the channels of the depthwise convolution in widths of a block. Eq. (7) has 3n
hidden channels with two kernels each, hence its x6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any  # options of a classifier

import sympy as sp

from pdenet.equation.pde import PDE
from pdenet.equation.symbols import Coefficient, D, VectorField, coordinates, indices

SMALL = "_small"
"""The ending of the names of the same models for pictures of 8 to 64 pixels."""

_PUBLISHED: Mapping[str, tuple[str, dict[str, Any]]] = {
    "eq2": ("eq2", {"directions": 4}),
    "eq3": ("eq3", {"directions": 4}),
    "eq3_nows": ("eq3", {"directions": 4, "share_kernels": False}),
    "eq3_nows_x6": ("eq3", {"directions": 6, "share_kernels": False}),
    "eq4": ("eq4", {"directions": 4}),
    "eq5": ("eq5", {"directions": 4}),
    "eq6": ("eq6", {"directions": 4}),
    "eq7_nows_x6": ("eq7", {"directions": 2, "share_kernels": False}),
}

# Eq. (2) has n³ coefficients a direction: 550 million in one block of 512 channels.
_SMALL_ONLY = {"eq2"}


def _models() -> dict[str, tuple[str, dict[str, Any]]]:
    made = {}
    for name, (equation, options) in _PUBLISHED.items():
        if name not in _SMALL_ONLY:
            made[name] = (equation, {**options, "layout": "resnet50"})
        made[name + SMALL] = (equation, {**options, "layout": "small"})
    return made


MODELS: Mapping[str, tuple[str, dict[str, Any]]] = MappingProxyType(_models())
"""For each model the name of its equation in the catalogue and the options that it fixes."""


def official_equation() -> PDE:
    """Return Eq. (7) with the hidden sizes of the authors' published implementation.

        ∂t u_i = Σ_a A^a_ij ∂_a ((C_jk u_k)(D_jl u_l)),  j = 1 … kn,  k = 4 for n ≤ 128, else 2

    The printed Eq. (7) has k = 3 at every width. n is the width of what a block is given.

    Source: Liu, Shao & Bai (2023), arXiv 2308.01621, their published code; 9,531,940 parameters at
    100 classes with `opening_norm`.
    """
    size = sp.Symbol("n", integer=True, positive=True)
    hidden = sp.Piecewise((4 * size, size <= 128), (2 * size, True))
    t, x, y = coordinates("t x y")
    u, (i, j, k, m) = VectorField("u", size, (t, x, y)), indices("i j k l")
    c, d = (Coefficient(letter, (hidden, size)) for letter in "CD")
    flux = c[j, k] * u[k] * d[j, m] * u[m]
    terms = [Coefficient(f"A{a}", (size, hidden))[i, j] * D(flux, a) for a in (x, y)]
    return PDE(
        sp.Eq(u[i].diff(t), sp.Add(*terms), evaluate=False),
        name="eq7_official",
        description="Eq. (7) with 4n or 2n fluxes, as in the authors' published code.",
        source="Liu, Shao & Bai (2023), arXiv 2308.01621, published code",
    )


EQUATIONS: Mapping[str, Callable[[], PDE]] = MappingProxyType({"eq7_official": official_equation})
"""Equations outside the catalogue that a config names all the same."""
