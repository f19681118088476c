"""An independent truth for contracted blocks: Eqs. (2)–(7) as sums over indices of shifted arrays.

Nothing here asks pdenet: each right side is written from its equation with numpy.einsum, on a
periodic grid, where a central difference is the difference of two rolled arrays. Arrays have the
shape `(component, y, x)`; spacings are (dx, dy).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

Tensors = Mapping[str, np.ndarray]
Spacing = tuple[float, ...]


def slope(field: np.ndarray, axis: int, h: float) -> np.ndarray:
    """Return the central difference along x (axis 0) or y (axis 1)."""
    place = -(axis + 1)
    return (np.roll(field, -1, place) - np.roll(field, 1, place)) / (2 * h)


def contract(text: str, *operands: np.ndarray) -> np.ndarray:
    """Return einsum without a chosen order: one naive sum over all indices."""
    made: np.ndarray = np.einsum(text, *operands, optimize=False)
    return made


def eq2(u: np.ndarray, c: Tensors, h: Spacing) -> np.ndarray:
    """A_ijk u_k ∂x u_j + B_ijk u_k ∂y u_j."""
    return contract("ijk,kyx,jyx->iyx", c["A"], u, slope(u, 0, h[0])) + contract(
        "ijk,kyx,jyx->iyx", c["B"], u, slope(u, 1, h[1])
    )


def eq3(u: np.ndarray, c: Tensors, h: Spacing) -> np.ndarray:
    """A_ij C_jk u_k ∂x u_j + B_ij D_jk u_k ∂y u_j."""
    return contract("ij,jk,kyx,jyx->iyx", c["A"], c["C"], u, slope(u, 0, h[0])) + contract(
        "ij,jk,kyx,jyx->iyx", c["B"], c["D"], u, slope(u, 1, h[1])
    )


def eq4(u: np.ndarray, c: Tensors, h: Spacing) -> np.ndarray:
    """Ax_ij C_ik u_k ∂x u_j + Ay_ij C_ik u_k ∂y u_j."""
    return contract("ij,ik,kyx,jyx->iyx", c["Ax"], c["C"], u, slope(u, 0, h[0])) + contract(
        "ij,ik,kyx,jyx->iyx", c["Ay"], c["C"], u, slope(u, 1, h[1])
    )


def eq5(u: np.ndarray, c: Tensors, h: Spacing) -> np.ndarray:
    """Cx_ik u_k ∂x u_i + Cy_ik u_k ∂y u_i."""
    return contract("ik,kyx,iyx->iyx", c["Cx"], u, slope(u, 0, h[0])) + contract(
        "ik,kyx,iyx->iyx", c["Cy"], u, slope(u, 1, h[1])
    )


def eq6(u: np.ndarray, c: Tensors, h: Spacing) -> np.ndarray:
    """Ax_ij ∂x(C_jk u_j u_k) + Ay_ij ∂y(C_jk u_j u_k); means over faces make slopes of the flux."""
    flux = contract("jk,jyx,kyx->jyx", c["C"], u, u)
    return contract("ij,jyx->iyx", c["Ax"], slope(flux, 0, h[0])) + contract(
        "ij,jyx->iyx", c["Ay"], slope(flux, 1, h[1])
    )


def eq7(u: np.ndarray, c: Tensors, h: Spacing) -> np.ndarray:
    """Ax_ij ∂x(C_jk D_jl u_k u_l) + Ay_ij ∂y(C_jk D_jl u_k u_l)."""
    flux = contract("jk,jl,kyx,lyx->jyx", c["C"], c["D"], u, u)
    return contract("ij,jyx->iyx", c["Ax"], slope(flux, 0, h[0])) + contract(
        "ij,jyx->iyx", c["Ay"], slope(flux, 1, h[1])
    )


EQUATIONS: Mapping[str, Callable[[np.ndarray, Tensors, Spacing], np.ndarray]] = {
    "eq2": eq2,
    "eq3": eq3,
    "eq4": eq4,
    "eq5": eq5,
    "eq6": eq6,
    "eq7": eq7,
}
"""Each equation's right side ∂u/∂t, by its name in the catalogue."""
