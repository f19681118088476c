"""The torch back end: differentiable, batched, on CPU and GPU."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any  # values of a user: numbers, arrays of NumPy, tensors

import numpy as np
import torch

from pdenet.discrete import environment
from pdenet.discrete.scheme import Scheme
from pdenet.equation.functions import FunctionTable, Logical, evaluate, fold, symbol_names
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
        largest = max(parts, key=lambda p: p.numel())
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

    def parameters(self, scheme: Scheme, values: Values) -> tuple[dict[str, Any], dict[str, Any]]:
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
                coefficients[one.name] = _absolute(coefficients[one.coefficient])
            elif one.entries is not None:
                names = {n for e in one.entries for n in symbol_names(e)}
                if names & set(given):
                    rows = [
                        torch.stack([self.asarray(evaluate(e, numbers, TORCH)) for e in row])
                        for row in one.entries.tolist()
                    ]
                    absolute = _absolute(torch.stack(rows))
                    for row, column in np.ndindex(*absolute.shape):
                        numbers[one.entry(row, column)] = absolute[row, column]
        return numbers, coefficients

    def has_gradients(self, values: Values) -> bool:
        """Tell whether some value is tracked by automatic differentiation."""
        given = (*values.numbers.values(), *values.tensors.values())
        return any(is_tensor(v) and v.requires_grad for v in given)


def _absolute(matrix: torch.Tensor) -> torch.Tensor:
    """Return |A| = R |Λ| R⁻¹; `environment.absolute_matrix` has checked that it exists."""
    eigenvalues, vectors = torch.linalg.eig(matrix)
    absolute = (vectors * eigenvalues.abs()) @ torch.linalg.inv(vectors)
    return absolute.real


def _of_both(tensors: Callable[..., Any], numbers: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of tensors and of plain numbers; torch's own refuse the latter."""

    def either(*arguments: Any) -> Any:
        if not any(isinstance(a, torch.Tensor) for a in arguments):
            return numbers(*arguments)
        like = next(a for a in arguments if isinstance(a, torch.Tensor))
        return tensors(
            *(torch.as_tensor(a, dtype=like.dtype, device=like.device) for a in arguments)
        )

    return either


def _select(conditions: Sequence[Any], choices: Sequence[Any], default: float = math.nan) -> Any:
    """Return the first choice whose condition holds, as `numpy.select`."""
    made: Any = default
    for condition, choice in zip(reversed(conditions), reversed(choices), strict=True):
        if isinstance(condition, torch.Tensor):
            like = next((v for v in (choice, made) if isinstance(v, torch.Tensor)), None)
            # Two numbers: exact now; the program casts the whole prefactor to its dtype.
            dtype = torch.float64 if like is None else like.dtype
            choice, made = (
                torch.as_tensor(v, dtype=dtype, device=condition.device) for v in (choice, made)
            )
            made = torch.where(condition, choice, made)
        elif condition:
            made = choice
    return made


_PLAIN = {
    "sin": "sin", "cos": "cos", "tan": "tan", "arcsin": "asin", "arccos": "acos",
    "arctan": "atan", "arctan2": "atan2", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh",
    "exp": "exp", "log": "log", "sqrt": "sqrt", "erf": "erf",
}  # fmt: skip

_ELEMENTARY: dict[str, Any] = {
    name: _of_both(getattr(torch, other), getattr(math, other)) for name, other in _PLAIN.items()
}

_OTHERS: dict[str, Any] = {
    "abs": _of_both(torch.abs, abs),
    "sign": _of_both(torch.sign, lambda x: float(np.sign(x))),
    "Max": fold(_of_both(torch.maximum, max)),
    "Min": fold(_of_both(torch.minimum, min)),
    "heaviside": _of_both(torch.heaviside, lambda x, v: float(np.heaviside(x, v))),
    "less": _of_both(torch.lt, lambda a, b: a < b),
    "less_equal": _of_both(torch.le, lambda a, b: a <= b),
    "greater": _of_both(torch.gt, lambda a, b: a > b),
    "greater_equal": _of_both(torch.ge, lambda a, b: a >= b),
    "equal": _of_both(torch.eq, lambda a, b: a == b),
    "not_equal": _of_both(torch.ne, lambda a, b: a != b),
    "logical_and": Logical(lambda a, b: a & b),
    "logical_or": Logical(lambda a, b: a | b),
    "logical_not": lambda a: ~a if isinstance(a, torch.Tensor) else not a,
    "select": _select,
}

TORCH = FunctionTable({**_ELEMENTARY, **_OTHERS})
"""The functions of generated code, by the names NumPy uses."""
