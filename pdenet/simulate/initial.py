"""Initial states: an expression, several, a mapping, an image or an array become one state."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from typing import Any  # whatever a user gives as an initial state

import numpy as np
import sympy as sp

from pdenet.discrete import environment
from pdenet.discrete.domain import Domain
from pdenet.equation.functions import evaluate, to_canonical
from pdenet.equation.names import key_name
from pdenet.equation.values import Values, as_numpy, is_tensor
from pdenet.errors import EquationError, InitialStateError, suggest


def read_initial(
    domain: Domain, values: Values, initial: Any, dtype: np.dtype[Any], t: float = 0.0
) -> np.ndarray:
    """Return the state that a user's `initial` describes.

    Args:
        domain: where.
        values: the system, and the values of parameters, which expressions may hold.
        initial: an expression or a number for an equation of one field; a sequence of them in the
            order of the fields; a mapping from fields to expressions, numbers or arrays; or one
            array `(component, *space)`. Fields of second order in time start at rest where only u
            is given. A two-dimensional image `(row, column)` is taken for one field.
        dtype: the dtype of the state.
        t: the time at which expressions are evaluated.

    Returns:
        An array `(component, *space)`.

    Raises:
        InitialStateError: a field is missing or unknown, a shape or dtype does not fit, or a value
            is not finite.
    """
    system = values.system
    shape = (len(values.components), *domain.shape)
    written = system.written
    if hasattr(initial, "__array_interface__") and not isinstance(initial, np.ndarray):
        initial = np.asarray(initial)  # an image of Pillow's, say
    if isinstance(initial, str | bytes):
        raise InitialStateError(
            f"an initial state is an expression, a mapping or an array; got {initial[:60]!r}; "
            "texts are read by pn.parse_expression"
        )
    if isinstance(initial, Mapping):
        parts = _mapping(initial, system.field_names, written)
    elif _is_array(initial):
        array = as_numpy(initial)
        if array.shape == shape:
            return _checked(array, values.components, dtype)
        if array.shape == shape[1:] and len(written) == 1 and system.field(written[0]).size is None:
            parts = {written[0]: array}
        elif array.shape == (len(written), *shape[1:]) and not system.has_vectors:
            parts = dict(zip(written, array, strict=True))
        else:
            raise InitialStateError(
                f"an initial state has the shape {shape}, ({', '.join(values.components[:4])}"
                f"{', …' if len(values.components) > 4 else ''}) on the grid; got shape "
                f"{array.shape}; reshape or resample it" + _shape_hint(array, shape)
            )
    elif isinstance(initial, Sequence | sp.Tuple):
        info = system.field(written[0])
        if len(written) == 1 and info.size is not None and len(initial) > 1:
            initial = [initial]  # the components of the one vector field
        names = written if len(initial) == len(written) else list(system.field_names)
        if len(initial) != len(names):
            raise InitialStateError(
                f"one expression a field was expected, for {', '.join(written)}; got "
                f"{len(initial)}; give all of them, or a mapping"
            )
        parts = dict(zip(names, initial, strict=True))
    else:
        if len(written) != 1:
            raise InitialStateError(
                f"the fields are {', '.join(written)}; got one expression {str(initial)[:60]}; "
                "give one for each, in that order, or a mapping"
            )
        parts = {written[0]: initial}
    state = np.zeros(shape, dtype=np.float64)
    known = {**environment.parameters(domain, values), **environment.coordinates(domain, t)}
    for name, part in parts.items():
        place = values.slices[name]
        state[place] = _field(name, part, known, (place.stop - place.start, *shape[1:]))
    return _checked(state, values.components, dtype)


def _shape_hint(array: np.ndarray, shape: tuple[int, ...]) -> str:
    if array.ndim == len(shape) + 1:
        return '; batches go through solver.advance, with backend="torch"'
    if array.ndim == len(shape) and array.shape[-1] in (3, 4):
        return "; of a colour image take one channel, or its grey values"
    return ""


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or is_tensor(value)


def _mapping(
    initial: Mapping[Any, Any], names: Sequence[str], written: Sequence[str]
) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    for key, part in initial.items():
        name = key_name(key)
        if name not in names:
            raise InitialStateError(
                f"the fields are {', '.join(names)}; got an initial state for {name!r}."
                f"{suggest(name, names)}"
            )
        if name in parts:
            raise InitialStateError(f"one initial state a field; got two for {name!r}; remove one")
        parts[name] = part
    missing = [n for n in written if n not in parts]
    if missing:
        raise InitialStateError(
            f"every field needs an initial state; got none for {', '.join(missing)}; "
            f"add {missing[0]!r} to the mapping, 0 for rest"
        )
    return parts


def _field(name: str, part: Any, known: Mapping[str, Any], shape: tuple[int, ...]) -> np.ndarray:
    if _is_array(part):
        array = as_numpy(part)
        if array.shape not in (shape, shape[1:]) or (array.shape == shape[1:] and shape[0] != 1):
            raise InitialStateError(
                f"the initial state of field {name!r} has the shape "
                f"{shape[1:] if shape[0] == 1 else shape}; got {array.shape}; resample it"
            )
        _check_dtype(array, name)
        return array.reshape(shape).astype(np.float64)
    if isinstance(part, numbers.Real) and not isinstance(part, bool):
        return np.full(shape, float(part))
    if isinstance(part, sp.Expr):
        try:
            expr = to_canonical(part, f"the initial state of {name!r}", sorted(known))
        except EquationError as error:
            raise InitialStateError(str(error)) from error
        with np.errstate(all="ignore"):
            return np.broadcast_to(np.asarray(evaluate(expr, known), dtype=np.float64), shape)
    if isinstance(part, Sequence) and not isinstance(part, str | bytes) and len(part) == shape[0]:
        return np.concatenate([_field(name, p, known, (1, *shape[1:])) for p in part])
    raise InitialStateError(
        f"the initial state of field {name!r} is an expression, a number or an array; got "
        f"{str(part)[:60]!r} ({type(part).__name__}); "
        + ("read it with pn.parse_expression" if isinstance(part, str) else "convert it")
    )


def _check_dtype(array: np.ndarray, name: str) -> None:
    if array.dtype.kind not in "fiu":
        raise InitialStateError(
            f"the initial state{f' of field {name!r}' if name else ''} holds real numbers; got "
            f"dtype {array.dtype}; convert it with astype(float)"
        )


def _checked(array: np.ndarray, components: Sequence[str], dtype: np.dtype[Any]) -> np.ndarray:
    _check_dtype(array, "")
    with np.errstate(over="ignore"):  # what is too large for the dtype is reported below
        made = np.array(array, dtype=dtype)
    bad = np.argwhere(~np.isfinite(made))
    if len(bad):
        place = tuple(int(k) for k in bad[0])
        raise InitialStateError(
            f"an initial state is finite in {dtype}; got {array[place]} for component "
            f"{components[place[0]]!r} at cell {place[1:]}; mend it"
        )
    return made
