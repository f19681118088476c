"""D4: the eight symmetries of a square, and how nearly a kernel has them.

    S(K) = 1 − (1/(2|T|)) Σ_{T} ‖T(K̂) − K̂‖_F,   K̂ = K/‖K‖_F

where T runs over the symmetries. A kernel is an array with rows y and columns x.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from pdenet.errors import SymmetryError, suggest

IDENTITY = "identity"
"""The element that leaves every kernel alone."""

SYMMETRIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    IDENTITY: lambda k: k,
    "horizontal_flip": lambda k: k[..., :, ::-1],
    "vertical_flip": lambda k: k[..., ::-1, :],
    "rotation_180": lambda k: k[..., ::-1, ::-1],
    "diagonal_flip": lambda k: k.swapaxes(-1, -2),
    "antidiagonal_flip": lambda k: k[..., ::-1, ::-1].swapaxes(-1, -2),
    "rotation_90": lambda k: k.swapaxes(-1, -2)[..., ::-1, :],  # as np.rot90
    "rotation_270": lambda k: k.swapaxes(-1, -2)[..., :, ::-1],
}
"""The elements of D4 as they act on arrays `(…, y, x)`: left ↔ right is a horizontal flip."""

GROUPS: dict[str, tuple[str, ...]] = {
    "D4": tuple(SYMMETRIES),
    "C4": (IDENTITY, "rotation_90", "rotation_180", "rotation_270"),
    "D2": (IDENTITY, "horizontal_flip", "vertical_flip", "rotation_180"),
    "D2_diagonal": (IDENTITY, "diagonal_flip", "antidiagonal_flip", "rotation_180"),
    "C2": (IDENTITY, "rotation_180"),
}
"""D4 and those of its subgroups that have a name."""

SINGLE = tuple(name for name in SYMMETRIES if name != IDENTITY)
"""The symmetries that say something alone."""


def symmetry_score(
    kernel: np.ndarray | Tensor,
    group: str | Sequence[str] = "D4",
    *,
    count_identity: bool = True,
) -> float:
    """Return how nearly a kernel is symmetric, from 0 to 1, where 1 is symmetric.

        S(K) = 1 − (1/(2|T|)) Σ_{T} ‖T(K̂) − K̂‖_F

    S does not change when K is multiplied by a number, its sign included, or moved by D4. Over a
    group of g elements, the identity counted, S ≥ 1 − √((g−1)/(2g)), which is 0.339 for D4.

    A kernel that is not square has four of the eight symmetries, and a group's others are left out.

    Args:
        kernel: K, shape `(y, x)`, dimensionless; an array, or a tensor of any floating-point type.
        group: what T runs over: a name in `GROUPS`, one symmetry of `SYMMETRIES`, or several.
        count_identity: whether the identity, which adds 0, counts as one of a group's |T| elements.
            No printed form that settles this is known here. It does not concern symmetries that are
            named one by one.

    Returns:
        The score; NaN of a kernel that is 0.

    Raises:
        SymmetryError: the kernel is no matrix of finite numbers, there is no such group or
            symmetry, or the kernel's shape has it not.

    Example:
        >>> sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
        >>> round(symmetry_score(sobel), 4), symmetry_score(sobel, "vertical_flip")
        (0.3964, 1.0)

    Source:
        Alsallakh, Wroge, Miglani & Kokhlikyan (2025), "On Symmetries in Convolutional Weights",
        arXiv 2503.19215.
    """
    kernel = checked_kernel(kernel)
    names = elements(group, kernel.shape, count_identity=count_identity)
    return float(scores(kernel[None], names)[0])


def checked_kernel(kernel: np.ndarray | Tensor, what: str = "a kernel") -> np.ndarray:
    """Return a kernel as a float64 matrix.

    Raises:
        SymmetryError: it is no matrix of finite real numbers.
    """
    if isinstance(kernel, Tensor):  # NumPy refuses gradients, and bfloat16
        kernel = kernel.detach().cpu()
        kernel = (kernel.double() if kernel.is_floating_point() else kernel).numpy()
    found = np.asarray(kernel)
    if found.ndim != 2 or not found.size or found.dtype.kind not in "fiu":
        raise SymmetryError(
            f"{what} has shape (y, x) and real numbers; got shape {found.shape} of {found.dtype}; "
            "average over the channels first, as mean_kernels does"
        )
    if not np.isfinite(found).all():
        raise SymmetryError(
            f"{what} has finite numbers; got {int((~np.isfinite(found)).sum())} of {found.size} "
            "that are not; take weights from before the run went wrong"
        )
    return found.astype(np.float64)


def elements(
    group: str | Sequence[str], shape: tuple[int, ...], *, count_identity: bool = True
) -> tuple[str, ...]:
    """Return the symmetries that S is averaged over.

    Args:
        group: see `symmetry_score`.
        shape: of the kernel, `(y, x)`.
        count_identity: see `symmetry_score`.

    Raises:
        SymmetryError: there is none such.
    """
    if isinstance(group, str) and group in GROUPS:
        names = [name for name in GROUPS[group] if exists(name, shape)]
        return tuple(name for name in names if count_identity or name != IDENTITY)
    given = checked_group(group)
    known = [*SYMMETRIES, *(GROUPS if isinstance(group, str) else ())]
    for name in given:
        if name not in SYMMETRIES:
            raise SymmetryError(
                f"symmetries are {', '.join(known)}; got {name!r}.{suggest(str(name), known)}"
            )
        if not exists(name, shape):
            raise SymmetryError(
                f"{name} needs a square kernel; got shape {shape}; use horizontal_flip, "
                "vertical_flip or rotation_180"
            )
    if not given:
        raise SymmetryError('at least one symmetry was expected; got none; use "D4"')
    return given


def checked_group(group: object) -> tuple[str, ...]:
    """Return the names of a group, of one symmetry or of several.

    Raises:
        SymmetryError: it is neither text nor a sequence of texts.
    """
    if isinstance(group, str):
        return (group,)
    if not isinstance(group, Sequence) or not all(isinstance(name, str) for name in group):
        raise SymmetryError(
            'a group is a name such as "D4", or a list of symmetries; got '
            f'{group!r}; write "D4" or ["horizontal_flip"]'
        )
    return tuple(group)


def exists(name: str, shape: tuple[int, ...]) -> bool:
    """Tell whether kernels of a shape have a symmetry that maps them onto themselves."""
    return shape[-1] == shape[-2] or name in GROUPS["D2"]


def scores(kernels: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return S of many kernels at once.

    Args:
        kernels: shape `(kernel, y, x)`, float64.
        names: the symmetries.

    Returns:
        Shape `(kernel,)`; NaN where a kernel is 0.
    """
    # By the largest number first: squares of tiny ones would underflow to 0.
    largest = np.abs(kernels).max(axis=(1, 2), keepdims=True)
    scaled = kernels / np.where(largest > 0, largest, np.nan)
    unit = scaled / np.linalg.norm(scaled, axis=(1, 2), keepdims=True)
    total = np.zeros(len(kernels))
    for name in names:
        total += np.linalg.norm(SYMMETRIES[name](unit) - unit, axis=(1, 2))
    return 1.0 - total / (2.0 * len(names))
