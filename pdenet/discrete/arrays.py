"""Arrays: what a back end must do with arrays; everything else is arithmetic and slicing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

from pdenet.discrete.advection import AbsoluteMatrix
from pdenet.discrete.domain import Domain
from pdenet.equation.functions import FunctionTable
from pdenet.equation.values import Values

Array: TypeAlias = Any
"""An array of NumPy or of torch, as the back end decides."""


class Discretised(Protocol):
    """What of a scheme the parameters of a run depend on."""

    @property
    def domain(self) -> Domain:
        """Where it lives."""

    @property
    def derived(self) -> tuple[AbsoluteMatrix, ...]:
        """What is computed from the parameters once."""


class Arrays(Protocol):
    """The operations in which NumPy and torch differ."""

    functions: FunctionTable
    dtype: Any

    def asarray(self, value: Any) -> Array:
        """Return a number array in the back end's dtype and on its device."""

    def concatenate(self, parts: Sequence[Array], axis: int) -> Array:
        """Join arrays along an axis, broadcasting the others to the largest."""

    def copy(self, array: Array) -> Array:
        """Return a copy that may be written into."""

    def broadcast(self, array: Array, shape: Sequence[int]) -> Array:
        """Return an array of that shape."""

    def total(self, array: Array) -> float:
        """Return the sum of all entries, NaN or infinite when one of them is."""

    def parameters(
        self, scheme: Discretised, values: Values
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        """Return numbers (floats, 0-d tensors, arrays) and coefficient tensors, all derived."""

    def has_gradients(self, values: Values) -> bool:
        """Tell whether some value is tracked by automatic differentiation."""


def cut(array: Array, axis: int, start: int | None, stop: int | None) -> Array:
    """Return `array[start:stop]` along an axis that is counted from the end, −1 the last."""
    return array[(..., slice(start, stop), *(slice(None),) * (-axis - 1))]
