"""The torch back end: differentiable, batched, on CPU and GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any  # values of a user: numbers, arrays of NumPy, tensors

import numpy as np
import torch

from pdenet.backends.torch_functions import TORCH
from pdenet.discrete import environment
from pdenet.discrete.arrays import Discretised
from pdenet.equation.functions import evaluate, symbol_names
from pdenet.equation.values import Values, is_tensor


class TorchArrays:
    """Tensors of one dtype on one device.

    Args:
        dtype: float64 or float32.
        device: where the tensors live.
    """

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self.dtype = dtype
        self.device = device
        self.functions = TORCH

    def asarray(self, value: Any) -> torch.Tensor:
        """Return a tensor of the dtype on the device; gradients stay connected."""
        if isinstance(value, np.ndarray):
            value = np.ascontiguousarray(value)
        return torch.as_tensor(value, dtype=self.dtype, device=self.device)

    def concatenate(self, parts: Sequence[torch.Tensor], axis: int) -> torch.Tensor:
        """Join tensors along an axis, broadcasting the others to the largest."""
        largest = parts[0]
        for part in parts[1:]:  # torch.compile does not know max(…, key=…)
            if part.numel() > largest.numel():
                largest = part
        expanded = []
        for part in parts:
            shape = list(largest.shape)
            shape[axis] = part.shape[axis] if part.ndim > -axis - 1 else 1
            expanded.append(part.expand(shape))
        return torch.cat(expanded, dim=axis)

    def copy(self, array: torch.Tensor) -> torch.Tensor:
        """Return a copy that may be written into."""
        return array.clone()

    def broadcast(self, array: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
        """Return a view of that shape."""
        return array.expand(tuple(shape))

    def total(self, array: torch.Tensor) -> float:
        """Return the sum of all entries, NaN or infinite when one of them is."""
        return float(array.detach().sum())

    def parameters(
        self, scheme: Discretised, values: Values
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return numbers and coefficient tensors; what the user gave as tensors stays connected."""
        numbers: dict[str, Any] = {}
        for name, value in environment.constants(scheme, values).items():
            numbers[name] = value if isinstance(value, float) else self.asarray(value)
        given = {n: self.asarray(v) for n, v in values.numbers.items() if is_tensor(v)}
        for name, value in given.items():
            # environment.constants has checked the shape and set axes of length 1.
            numbers[name] = value.reshape(getattr(numbers[name], "shape", ()))
        coefficients: dict[str, Any] = {}
        for name, tensor in environment.tensors(scheme, values).items():
            source = values.tensors.get(name, tensor)
            varies = isinstance(source, np.ndarray) and source.dtype == object
            coefficients[name] = source if varies else self.asarray(source)
        for one in scheme.derived:
            if one.coefficient is not None and is_tensor(values.tensors[one.coefficient]):
                coefficients[one.name] = absolute_matrix(coefficients[one.coefficient])
            elif one.entries is not None:
                names = {n for e in one.entries for n in symbol_names(e)}
                if names & set(given):
                    rows = [
                        torch.stack([self.asarray(evaluate(e, numbers, TORCH)) for e in row])
                        for row in one.entries.tolist()
                    ]
                    absolute = absolute_matrix(torch.stack(rows))
                    for row, column in np.ndindex(*absolute.shape):
                        numbers[one.entry(row, column)] = absolute[row, column]
        return numbers, coefficients

    def has_gradients(self, values: Values) -> bool:
        """Tell whether some value is tracked by automatic differentiation."""
        given = (*values.numbers.values(), *values.tensors.values())
        return any(is_tensor(v) and v.requires_grad for v in given)


def absolute_matrix(matrix: torch.Tensor) -> torch.Tensor:
    """Return |A| = R |Λ| R⁻¹; `environment.absolute_matrix` has checked that it exists."""
    eigenvalues, vectors = torch.linalg.eig(matrix)
    absolute = (vectors * eigenvalues.abs()) @ torch.linalg.inv(vectors)
    return absolute.real
