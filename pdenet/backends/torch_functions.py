"""The functions of generated code for torch: of tensors, and of plain numbers as well."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any  # tensors, numbers and booleans, in any mixture

import numpy as np
import torch

from pdenet.equation.functions import FunctionTable, Logical, fold


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
    # Of two arguments, or, from SymPy before 1.14, of a tuple of them.
    "maximum": _of_both(torch.maximum, max),
    "minimum": _of_both(torch.minimum, min),
    "amax": lambda values, axis: fold(_of_both(torch.maximum, max))(*values),
    "amin": lambda values, axis: fold(_of_both(torch.minimum, min))(*values),
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
