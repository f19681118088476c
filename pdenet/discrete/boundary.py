"""Boundary conditions: what a user says about each side, checked and complete.

There is no default: every side of every field is said. Which ghost nodes follow from a condition is
decided in `closure.py`.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeAlias  # Any: values may be numbers, arrays, tensors or expressions

import numpy as np
import sympy as sp

from pdenet.checks import is_number
from pdenet.equation.functions import symbol_names, to_canonical
from pdenet.equation.names import key_name
from pdenet.equation.symbols import SPACE, TIME, canonical_symbol
from pdenet.equation.system import FieldInfo, System
from pdenet.errors import BoundaryError, EquationError, PdenetError, suggest

ENDS = ("low", "high")


@dataclass(frozen=True)
class Periodic:
    """The axis closes on itself; the last node of the interval is left out."""


@dataclass(frozen=True)
class Free:
    """No condition: one-sided differences, where the equation itself needs none (outflow)."""


@dataclass(frozen=True)
class ZeroPadding:
    """A zero ghost node one spacing outside, as `conv2d(padding=1)` has it.

    Not Dirichlet: its wall stands one spacing outside the grid, so that it converges to a zero
    Dirichlet condition at first order only.
    """


class _Valued:
    """Conditions are equal when their numbers and expressions are; arrays are their own equals."""

    def _key(self) -> tuple[object, ...]:
        def one(value: Any) -> object:
            return value if isinstance(value, numbers.Real | sp.Expr) else id(value)

        return type(self), *map(one, vars(self).values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Valued) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())


@dataclass(frozen=True, eq=False)
class Dirichlet(_Valued):
    """u = g at the end nodes, at every step; the stages of a step follow ∂g/∂t.

    Args:
        value: g, a number, an array over the side (array order), or a SymPy expression in the
            coordinates, t and parameters.

    Raises:
        BoundaryError: the value is none of these.
    """

    value: Any = 0.0

    def __post_init__(self) -> None:
        _check_value(self, self.value)


@dataclass(frozen=True, eq=False)
class Neumann(_Valued):
    """∂u/∂n = g with the outward normal n, by a mirrored ghost node; second order.

    Args:
        value: g, as for `Dirichlet`, in units of u per length.

    Raises:
        BoundaryError: the value is no number, array or expression.
    """

    value: Any = 0.0

    def __post_init__(self) -> None:
        _check_value(self, self.value)


@dataclass(frozen=True, eq=False)
class Robin(_Valued):
    """a u + b ∂u/∂n = g with the outward normal n, by a mirrored ghost node; second order.

    Args:
        a: a number, dimensionless where b is a length.
        b: a number; 0 makes the condition u = g/a.
        value: g, as for `Dirichlet`.

    Raises:
        BoundaryError: a and b are both 0 or no finite numbers.
    """

    a: float
    b: float
    value: Any = 0.0

    def __post_init__(self) -> None:
        for name in ("a", "b"):
            number = getattr(self, name)
            if not is_number(number):
                raise BoundaryError(
                    f"Robin(a, b, g) takes finite numbers a and b; got {name} = {number!r}; "
                    "only g may vary"
                )
            if isinstance(number, sp.Basic):  # no array takes SymPy's numbers
                object.__setattr__(self, name, float(number))
        if self.a == 0 and self.b == 0:
            raise BoundaryError(
                "Robin(a, b, g) means a u + b ∂u/∂n = g; got a = b = 0; give one of them a value"
            )
        _check_value(self, self.value)


Condition: TypeAlias = Periodic | Free | ZeroPadding | Dirichlet | Neumann | Robin
CONDITIONS = (Periodic, Free, ZeroPadding, Dirichlet, Neumann, Robin)


def without_value(condition: Condition) -> Condition:
    """Return a condition with the value 0: what a scheme keeps of it."""
    if isinstance(condition, Dirichlet | Neumann | Robin):
        return replace(condition, value=0.0)
    return condition


def values_at(
    conditions: Mapping[str, tuple[tuple[Condition, Condition], ...]],
) -> dict[tuple[str, int, int], Any]:
    """Return the boundary values of resolved conditions, by (field, axis, end)."""
    return {
        (name, axis, end): one.value
        for name, pairs in conditions.items()
        for axis, pair in enumerate(pairs)
        for end, one in enumerate(pair)
        if isinstance(one, Dirichlet | Neumann | Robin)
    }


def _check_value(condition: object, value: object) -> None:
    kind = type(condition).__name__
    if isinstance(value, sp.Expr):
        return
    if isinstance(value, bool | str) or not (
        isinstance(value, numbers.Real | np.ndarray) or hasattr(value, "detach")
    ):
        raise BoundaryError(
            f"the value of {kind} is a number, an array or a SymPy expression; got {value!r} "
            f"({type(value).__name__}); "
            + ("read it with pn.parse_expression" if isinstance(value, str) else "convert it")
        )
    if isinstance(value, np.ndarray) and value.dtype.kind not in "fiu":
        raise BoundaryError(
            f"the value of {kind} is an array of real numbers; got dtype {value.dtype}; convert it "
            "with astype(float)"
        )
    if isinstance(value, numbers.Real | np.ndarray) and not np.all(
        np.isfinite(np.asarray(value, dtype=np.float64))
    ):
        raise BoundaryError(f"the value of {kind} is finite; got {value!r}; mend it")


@dataclass(frozen=True, init=False, eq=False)
class Boundary:
    """The conditions on every side of the box.

    Args:
        x: a condition for both ends of the axis, a pair `(low, high)`, or a mapping from fields
            (or their names) to those.
        y: the same for the second axis.
        z: the same for the third axis.

    Raises:
        BoundaryError: a periodic end has no partner, a side has two conditions, or something is
            no condition; the message names the side.

    Example:
        >>> Boundary(x=(Dirichlet(1), Free()), y=Periodic()).is_periodic("y")
        True
    """

    sides: Mapping[str, Any]

    def __init__(self, *unnamed: Any, **axes: Any) -> None:
        if unnamed:
            raise BoundaryError(
                f"sides are named by their axis; got {unnamed[0]!r} without a name; "
                "write Boundary(x=..., y=...)"
            )
        for axis, given in axes.items():
            if axis not in SPACE:
                raise BoundaryError(
                    f"sides belong to the axes x, y and z; got {axis!r}.{suggest(axis, SPACE)}"
                )
            if isinstance(given, Mapping):
                if not given:
                    raise BoundaryError(f"axis {axis} has no condition; got an empty mapping")
                made: dict[str, Any] = {}
                for key, one in given.items():
                    name = _field_key(key, axis)
                    if name in made:
                        raise BoundaryError(
                            f"one condition a side was expected; got two for field {name!r} on "
                            f"axis {axis}; remove one"
                        )
                    made[name] = _pair(one, f"{axis} of field {name!r}")
                periodic = {isinstance(pair[0], Periodic) for pair in made.values()}
                if len(periodic) > 1:
                    raise BoundaryError(
                        f"an axis is periodic for all fields or for none; got both on axis {axis}"
                    )
                axes[axis] = made
            else:
                axes[axis] = _pair(given, axis)
        object.__setattr__(self, "sides", axes)

    def is_periodic(self, axis: str, /) -> bool:
        """Tell whether an axis closes on itself.

        Raises:
            BoundaryError: nothing is said about that axis.
        """
        if axis not in self.sides:
            raise BoundaryError(
                f"every side is said, there is no default; got nothing for {axis} low and {axis} "
                f"high; add {axis}=pn.Periodic() or another condition"
            )
        given = self.sides[axis]
        pair = next(iter(given.values())) if isinstance(given, Mapping) else given
        return isinstance(pair[0], Periodic)

    def condition(self, axis: str, field_name: str) -> tuple[Condition, Condition]:
        """Return the conditions of one field at the low and the high end of an axis."""
        given = self.sides[axis]
        return given[field_name] if isinstance(given, Mapping) else given

    def __repr__(self) -> str:
        parts = (f"{axis}={_shown(given)}" for axis, given in self.sides.items())
        return f"Boundary({', '.join(parts)})"


def _shown(given: Any) -> str:
    if isinstance(given, Mapping):
        return "{" + ", ".join(f"{k!r}: {_shown(v)}" for k, v in given.items()) + "}"
    low, high = (_shown_condition(c) for c in given)
    return low if low == high else f"({low}, {high})"


def _shown_condition(condition: Condition) -> str:
    def short(value: Any) -> str:
        shape = getattr(value, "shape", ())
        return f"array{tuple(shape)}" if shape else str(value)

    if isinstance(condition, Robin):
        return f"Robin({condition.a}, {condition.b}, {short(condition.value)})"
    if isinstance(condition, Dirichlet | Neumann):
        return f"{type(condition).__name__}({short(condition.value)})"
    return f"{type(condition).__name__}()"


def _field_key(key: object, axis: str) -> str:
    try:
        return key_name(key)
    except PdenetError as error:
        raise BoundaryError(f"the sides of axis {axis} are mapped from fields: {error}") from error


def _pair(given: object, side: str) -> tuple[Condition, Condition]:
    pair = given if isinstance(given, tuple | list) else (given, given)
    if len(pair) != 2:
        raise BoundaryError(
            f"one condition, or a pair (low, high), was expected on axis {side}; got {len(pair)} "
            f"conditions {given}; each side has exactly one"
        )
    for end, one in zip(ENDS, pair, strict=True):
        if isinstance(one, tuple | list):
            raise BoundaryError(
                f"side {side} {end} has exactly one condition; got {len(one)}: {one}; remove one"
            )
        if isinstance(one, type) and issubclass(one, CONDITIONS):
            raise BoundaryError(
                f"side {side} {end} needs a condition; got the class {one.__name__}; "
                f"write {one.__name__}()"
            )
        if not isinstance(one, CONDITIONS):
            names = ", ".join(c.__name__ for c in CONDITIONS)
            raise BoundaryError(
                f"side {side} {end} needs one of {names}; got {one!r} ({type(one).__name__})"
            )
    low, high = pair
    if isinstance(low, Periodic) != isinstance(high, Periodic):
        end = ENDS[isinstance(low, Periodic)]
        raise BoundaryError(
            f"a periodic end has a periodic partner; got {_shown_condition(pair[0])} at {side} low "
            f"and {_shown_condition(pair[1])} at {side} high; make {side} {end} periodic too"
        )
    return low, high


def resolve(
    boundary: Boundary, system: System, axes: tuple[str, ...]
) -> dict[str, tuple[tuple[Condition, Condition], ...]]:
    """Return the conditions of every field of the first-order system, axis by axis.

    A condition on u of an equation of second order in time implies its time derivative on u_t, and
    Robin with b = 0 is Dirichlet. Expressions come back in canonical symbols.

    Raises:
        BoundaryError: a side is not mentioned, an axis or a field is unknown, or an expression
            holds an unknown name.
    """
    # An array may change, and a tensor's graph be freed, before the next solver is made.
    find = _resolved_sides if _is_constant(boundary) else _resolved_sides.__wrapped__
    return dict(find(boundary, system.fields, system.axes, axes))


def _is_constant(boundary: Boundary) -> bool:
    """Tell whether all values are numbers and expressions."""
    pairs = [
        pair
        for given in boundary.sides.values()
        for pair in (given.values() if isinstance(given, Mapping) else [given])
    ]
    values = [getattr(condition, "value", 0.0) for pair in pairs for condition in pair]
    return all(isinstance(value, numbers.Real | sp.Expr) for value in values)


# Asked for the names in boundary values, and for each scheme that is tried.
@lru_cache(maxsize=16)
def _resolved_sides(
    boundary: Boundary,
    fields: tuple[FieldInfo, ...],
    known_axes: tuple[str, ...],
    axes: tuple[str, ...],
) -> dict[str, tuple[tuple[Condition, Condition], ...]]:
    names = tuple(f.name for f in fields)
    for axis in boundary.sides:
        if axis not in axes:
            raise BoundaryError(
                f"the grid has the axes {', '.join(axes)}; got a condition on {axis}; remove it"
            )
    written = [f.name for f in fields if f.rate_of is None]
    reserved = {*names, *SPACE} - set(known_axes)
    made: dict[str, tuple[tuple[Condition, Condition], ...]] = {}
    for axis in axes:
        boundary.is_periodic(axis)  # raises where nothing is said
        given = boundary.sides[axis]
        if isinstance(given, Mapping):
            for name in given:
                if name not in names:
                    raise BoundaryError(
                        f"the fields are {', '.join(written)}; got a condition for {name!r} on "
                        f"axis {axis}.{suggest(name, written)}"
                    )
    for info in fields:
        pairs = []
        for axis in axes:
            given = boundary.sides[axis]
            name = info.name
            implied = isinstance(given, Mapping) and name not in given and info.rate_of is not None
            if info.rate_of is not None and (implied or not isinstance(given, Mapping)):
                name = info.rate_of
            if isinstance(given, Mapping) and name not in given:
                raise BoundaryError(
                    f"every side is said, there is no default; got nothing for field {name!r} at "
                    f"{axis} low and {axis} high; add it to the mapping of axis {axis}"
                )
            pair = boundary.condition(axis, name)
            checked = tuple(
                _resolved(c, reserved, axis, end, rate=name != info.name)
                for c, end in zip(pair, ENDS, strict=True)
            )
            pairs.append((checked[0], checked[1]))
        made[info.name] = tuple(pairs)
    return made


def _resolved(
    condition: Condition, reserved: Set[str], axis: str, end: str, *, rate: bool
) -> Condition:
    if isinstance(condition, Robin) and condition.b == 0:
        condition = Dirichlet(condition.value / condition.a)
    if not isinstance(condition, Dirichlet | Neumann | Robin):
        return condition
    value = condition.value
    if isinstance(value, sp.Expr):
        # The coordinate along the axis is fixed on the side; it may be written all the same.
        known = sorted({s.name for s in value.free_symbols} - reserved)
        try:
            value = to_canonical(value, f"the value at {axis} {end}", known)
        except EquationError as error:
            raise BoundaryError(str(error)) from error
        if rate:
            value = sp.diff(value, canonical_symbol(TIME))
        if not value.free_symbols:
            value = float(value)
    elif rate:
        value = 0.0  # numbers and arrays do not change in time
    if isinstance(condition, Robin):
        return Robin(condition.a, condition.b, value)
    return type(condition)(value)


def boundary_parameters(
    conditions: Mapping[str, tuple[tuple[Condition, Condition], ...]], axes: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the names in boundary values that are neither coordinates nor time."""
    found: set[str] = set()
    for pairs in conditions.values():
        for pair in pairs:
            for condition in pair:
                value = getattr(condition, "value", None)
                if isinstance(value, sp.Expr):
                    found |= symbol_names(value)
    return tuple(sorted(found - {TIME, *axes}))
