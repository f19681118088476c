"""The NumPy back end: plain array arithmetic, the oracle of all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any  # numbers and arrays of a user, of any kind NumPy takes

import numpy as np

from pdenet.discrete import environment
from pdenet.discrete.arrays import Discretised, cut
from pdenet.equation.functions import NUMPY
from pdenet.equation.values import Values, as_numpy


class NumpyArrays:
    """NumPy arrays of one dtype.

    Args:
        dtype: float64 or float32.
    """

    functions = NUMPY

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype

    def asarray(self, value: Any) -> np.ndarray:
        """Return an array of the dtype."""
        return np.asarray(as_numpy(value), dtype=self.dtype)

    def concatenate(self, parts: Sequence[np.ndarray], axis: int) -> np.ndarray:
        """Join arrays along an axis, broadcasting the others to the largest."""
        largest = max(parts, key=lambda p: p.size)
        sizes = [p.shape[axis] if p.ndim > -axis - 1 else 1 for p in parts]
        shape = list(largest.shape)
        shape[axis] = sum(sizes)
        made = np.empty(shape, dtype=largest.dtype)
        start = 0
        for part, size in zip(parts, sizes, strict=True):
            cut(made, axis, start, start + size)[...] = part
            start += size
        return made

    def copy(self, array: np.ndarray) -> np.ndarray:
        """Return a copy that may be written into."""
        return array.copy()

    def broadcast(self, array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        """Return a view of that shape."""
        return np.broadcast_to(array, tuple(shape))

    def total(self, array: np.ndarray) -> float:
        """Return the sum of all entries, NaN or infinite when one of them is."""
        return float(array.sum())

    def parameters(
        self, scheme: Discretised, values: Values
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return the numbers and the coefficient tensors in the dtype, derived ones included."""
        numbers = {
            name: value if isinstance(value, float) else self.asarray(value)
            for name, value in environment.constants(scheme, values).items()
        }
        tensors = {
            name: tensor if tensor.dtype == object else self.asarray(tensor)
            for name, tensor in environment.tensors(scheme, values).items()
        }
        return numbers, tensors

    def has_gradients(self, values: Values) -> bool:
        """Tell that NumPy tracks no gradients."""
        return False
