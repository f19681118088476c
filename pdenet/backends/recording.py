"""Recording: NumPy arrays that write down what is done with them, to be done again in no time.

A solver's step is the same few array operations each time. On a small grid most of its time goes to
finding out which: recorded once, with the memory of every result kept, a step is a list of calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any  # arguments of array functions are whatever NumPy takes

import numpy as np
from scipy.special import erf

from pdenet.backends.numpy_arrays import NumpyArrays
from pdenet.discrete.arrays import Discretised
from pdenet.equation.functions import NUMPY, FunctionTable
from pdenet.equation.values import Values

Call = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function and its arguments, the array that it writes into among them."""


class NotRecordable(TypeError):
    """A result depends on a number of an array in a way that arrays do not show."""


class RecordedArray(np.ndarray):
    """An array whose operations are written down; views of it share its memory and its tape.

    Attributes:
        tape: what was done, in order.
    """

    tape: list[Call]

    def __array_finalize__(self, origin: Any) -> None:
        self.tape = getattr(origin, "tape", [])

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **others: Any
    ) -> Any:
        if method != "__call__" or others or ufunc.nout != 1:
            raise NotRecordable(f"{ufunc.__name__}.{method}")
        # Complex numbers carry derivatives: these functions ask for the real part alone.
        if ufunc is np.absolute:
            return np.where(inputs[0].real < 0, -inputs[0], inputs[0])
        if ufunc in (np.sign, np.heaviside):
            inputs = tuple(one.real for one in inputs)
        plain = tuple(map(_plain, inputs))
        if ufunc is np.power and not isinstance(plain[1], np.ndarray) and plain[1] == 2:
            ufunc, plain = np.square, plain[:1]
        made = np.asarray(ufunc(*plain)) if out is None else _plain(out[0])
        if out is not None:
            ufunc(*plain, out=made)
        if ufunc in (np.maximum, np.minimum):  # NumPy 2.4 wants the place of their result by name
            return self._written(made, partial(ufunc, out=made), plain)
        return self._written(made, ufunc, (*plain, made))

    def __array_function__(
        self, function: Any, types: Any, args: Iterable[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        plain, named = _plain(tuple(args)), {name: _plain(one) for name, one in kwargs.items()}
        found = function(*plain, **named)
        if not isinstance(found, np.ndarray):
            return found  # a shape, a number of axes
        made = found.copy()

        def again() -> None:
            made[...] = function(*plain, **named)

        return self._written(made, again, ())

    def __setitem__(self, key: Any, value: Any) -> None:
        self._written(_plain(self)[key], np.copyto, (_plain(self)[key], _plain(value)))
        np.copyto(_plain(self)[key], _plain(value))

    def copy(self, order: Any = "C") -> Any:
        """Return a copy in memory of its own."""
        made = _plain(self).copy(order)
        return self._written(made, np.copyto, (made, _plain(self)))

    def reshape(self, *shape: Any, **others: Any) -> Any:
        """Return a view where there is one, else a copy."""
        made = super().reshape(*shape, **others)
        if np.may_share_memory(_plain(made), _plain(self)):
            return made
        return self.copy().reshape(*shape, **others)

    def _refused(self, *args: Any, **others: Any) -> Any:
        raise NotRecordable("a number was asked for")

    __bool__ = __float__ = __int__ = __index__ = __complex__ = _refused
    item = tolist = astype = _refused

    def _written(self, made: np.ndarray, function: Callable[..., Any], args: Any) -> Any:
        self.tape.append((function, args))
        return recorded(made, self.tape)


def recorded(array: np.ndarray, tape: list[Call]) -> RecordedArray:
    """Return an array, in the same memory, whose operations are written on a tape."""
    made = array.view(RecordedArray)
    made.tape = tape
    return made


def _plain(value: Any) -> Any:
    if isinstance(value, RecordedArray):
        return value.view(np.ndarray)
    if isinstance(value, tuple | list):
        return type(value)(map(_plain, value))
    return value


class RecordingArrays(NumpyArrays):
    """The NumPy back end for programs with recorded parameters.

    Args:
        dtype: of all arrays.
        parameters: those that are recorded, by name.
    """

    functions = FunctionTable({**NUMPY, "erf": erf})

    def __init__(self, dtype: np.dtype[Any], parameters: Mapping[str, RecordedArray]) -> None:
        super().__init__(dtype)
        self._parameters = parameters
        self._tape = next(iter(parameters.values())).tape

    def asarray(self, value: Any) -> np.ndarray:
        """Return an array of the dtype; what is recorded has it."""
        return value if isinstance(value, RecordedArray) else super().asarray(value)

    def concatenate(self, parts: Sequence[np.ndarray], axis: int) -> np.ndarray:
        """Join arrays along an axis, broadcasting the others to the largest."""
        sizes = [p.shape[axis] if p.ndim > -axis - 1 else 1 for p in parts]
        shape = list(max(parts, key=lambda p: p.size).shape)
        shape[axis] = sum(sizes)
        made = recorded(np.empty(shape, dtype=self.dtype), self._tape)
        start = 0
        for part, size in zip(parts, sizes, strict=True):
            made[(..., slice(start, start + size), *(slice(None),) * (-axis - 1))] = part
            start += size
        return made

    def broadcast(self, array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        """Return a view of that shape."""
        return array if array.shape == tuple(shape) else np.broadcast_to(array, tuple(shape))

    def parameters(
        self, scheme: Discretised, values: Values
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return the numbers and the coefficient tensors, those that are recorded among them."""
        numbers, tensors = super().parameters(scheme, values)
        for name, one in self._parameters.items():
            (tensors if name in tensors else numbers)[name] = one
        return numbers, tensors
