"""Walls: the sides of a box. What is prescribed there, evaluated when it is needed.

The arithmetic on fields is that of `ghosts`; here are the values: which expression, at which time
and nodes, computed once where they do not change.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping, Sequence
from typing import Any  # boundary values are numbers, arrays or tensors

import numpy as np
import sympy as sp

from pdenet.discrete import ghosts
from pdenet.discrete.arrays import Array, Arrays
from pdenet.discrete.boundary import ENDS
from pdenet.discrete.closure import Rule
from pdenet.discrete.domain import HIGH, LOW
from pdenet.discrete.ghosts import Side
from pdenet.discrete.scheme import Scheme
from pdenet.equation.functions import compile_expression, symbol_names
from pdenet.equation.symbols import TIME, canonical_symbol
from pdenet.equation.values import Values, as_numpy, is_tensor
from pdenet.errors import BoundaryError, BoundaryWarning


class Walls:
    """The sides of a box, for one scheme and one back end.

    Args:
        scheme: the scheme, whose closures are carried out.
        values: the boundary values.
        arrays: the back end.

    Raises:
        BoundaryError: an array of boundary values does not fit its side, or one is missing.
    """

    def __init__(self, scheme: Scheme, values: Values, arrays: Arrays) -> None:
        self.scheme = scheme
        self.domain = scheme.domain
        self.given = values.walls
        self.arrays = arrays
        self._numbers: Mapping[str, Any] = {}
        self._cache: dict[object, Any] = {}
        self._nodes: dict[object, Any] = {}  # they depend on no parameter, so they stay
        self._rates: dict[object, sp.Expr | None] = {}
        self._warned = False
        self._fixed = {name: prescribed_sides(scheme, name) for name in scheme.closures}
        check_walls(scheme, values)

    def prepare(self, numbers: Mapping[str, Any]) -> None:
        """Take the parameters' numbers, and forget what was computed with others."""
        self._numbers = numbers
        self._cache = {}

    # -- ghost nodes ------------------------------------------------------------------------------

    def pad(self, name: str, field: Array, t: float) -> Array:
        """Return a field with its ghost nodes, shape `(…, *(points + 2 width))`."""

        def value(axis: int, end: int) -> Any:
            return self.value(name, axis, end, t, axes_padded=axis)

        return ghosts.pad(field, self.scheme.closures[name], self.scheme.width, self.arrays, value)

    def extend(self, array: Array, axis: int) -> Array:
        """Return a coefficient with one more node at both ends, wrapped or going on linearly."""
        return ghosts.extend(array, axis, self.domain.wraps[axis], self.arrays)

    def extended_nodes(self, axis: int, width: int) -> Array:
        """Return the nodes of an axis with `width` more at both ends, shaped to broadcast."""
        key = (axis, width)
        if key not in self._nodes:
            self._nodes[key] = self.arrays.asarray(self.domain.along(axis, width))
        return self._nodes[key]

    # -- prescribed nodes -------------------------------------------------------------------------

    def impose(
        self,
        name: str,
        field: Array,
        t: float,
        start: float | None = None,
        slopes: Sequence[tuple[float, float]] = (),
    ) -> None:
        """Set the Dirichlet nodes of a field, shape `(component, …, *space)`, in place.

        Args:
            name: the field's name.
            field: its components.
            t: the time; the nodes become g(t).
            start: for a stage of a Runge–Kutta step, the time of the step's beginning. The nodes
                become g(start) + Σ length · ∂g/∂t(time), see `stepping`.
            slopes: pairs (length, time), with `start`.
        """
        sides = self._fixed[name]
        if not sides:
            return
        values = {side: self._prescribed(name, *side, t, start, slopes) for side in sides}
        if len({axis for axis, _ in sides}) > 1:
            values = self._with_corners(name, values)
        ghosts.prescribe(field, values)

    def _prescribed(
        self,
        name: str,
        axis: int,
        end: int,
        t: float,
        start: float | None,
        slopes: Sequence[tuple[float, float]],
    ) -> Any:
        """Return g(t), or what a stage makes of it, on a side without ghost nodes."""
        rate = None if start is None else self._rate(name, axis, end)
        if start is None or rate is None:
            return self.value(name, axis, end, t, axes_padded=0)
        made = self.value(name, axis, end, start, axes_padded=0)
        for length, time in slopes:
            made = made + length * self._evaluated(rate, axis, end, time, 0)
        return made

    def _rate(self, name: str, axis: int, end: int) -> sp.Expr | None:
        key = (name, axis, end)
        if key not in self._rates:
            self._rates[key] = rate_in_time(self.given[key])
        return self._rates[key]

    def _with_corners(self, name: str, values: dict[Side, Any]) -> dict[Side, Any]:
        """Return values over the sides with the mean of all Dirichlet values at shared nodes."""
        key = ("corners", name)
        static = not any(varies_in_time(self.given[name, *side]) for side in values)
        if static and key in self._cache:
            return dict(self._cache[key])
        shape = self.domain.shape
        full = ghosts.over_sides(values, shape, self.arrays)
        self._warn_if_apart(name, full)
        made = ghosts.with_corner_means(full, shape, self.arrays)
        if static:
            self._cache[key] = made
        return made

    def _warn_if_apart(self, name: str, full: Mapping[Side, Array]) -> None:
        """Say once where two sides prescribe different values at the nodes they share."""
        if self._warned:
            return
        shape = self.domain.shape
        for side in full:
            for other in full:
                if other[0] == side[0]:
                    continue
                first = as_numpy(full[side][ghosts.shared_nodes(other, shape)])
                second = as_numpy(full[other][ghosts.shared_nodes(side, shape)])
                apart = np.abs(first - second)
                # Rounding of two expressions for one corner value stays far below this.
                if np.any(apart > 1e-9 * (np.abs(first) + np.abs(second))):
                    self._warned = True
                    warnings.warn(
                        f"two Dirichlet values meet at a corner and should agree; got "
                        f"{float(first.ravel()[apart.argmax()]):g} and "
                        f"{float(second.ravel()[apart.argmax()]):g} for field {name!r}; "
                        "their mean is used; make the values agree to keep second order",
                        BoundaryWarning,
                        stacklevel=2,
                    )
                    return

    # -- values -----------------------------------------------------------------------------------

    def value(self, name: str, axis: int, end: int, t: float, axes_padded: int) -> Any:
        """Return g on a side, with ghost nodes along the axes before `axes_padded`."""
        key = (name, axis, end, axes_padded)
        if key in self._cache:
            return self._cache[key]
        value = self.given[name, axis, end]
        if isinstance(value, sp.Expr):
            made = self._evaluated(value, axis, end, t, axes_padded)
        elif np.ndim(value) == 0:
            made = self.arrays.asarray(value) if is_tensor(value) else float(value)
        else:
            shape = ghosts.side_shape(axis, self.domain.shape)
            made = ghosts.extend_side(
                self.arrays.asarray(value).reshape(shape),
                self.scheme.width[:axes_padded],
                self.domain.wraps[:axes_padded],
                self.arrays,
            )
        if not varies_in_time(value):
            self._cache[key] = made
        return made

    def _evaluated(self, value: sp.Expr, axis: int, end: int, t: float, axes_padded: int) -> Any:
        names = tuple(sorted(symbol_names(value)))
        function = compile_expression(value, names, self.arrays.functions)
        places = {TIME: t, **self._coordinates(axis, end, axes_padded)}
        made = function(*(places[n] if n in places else self._numbers[n] for n in names))
        return float(made) if isinstance(made, int | float | np.number) else made

    def _coordinates(self, axis: int, end: int, axes_padded: int) -> dict[str, Any]:
        key = (axis, end, axes_padded)
        if key not in self._nodes:
            self._nodes[key] = {
                name: at if isinstance(at, float) else self.arrays.asarray(at)
                for name, at in self.domain.side(axis, end, self.scheme.width[:axes_padded]).items()
            }
        return self._nodes[key]


def prescribed_sides(scheme: Scheme, name: str) -> tuple[Side, ...]:
    """Return the sides at which the end nodes of a field are set to g."""
    return tuple(
        (axis, end)
        for axis, pair in enumerate(scheme.closures[name])
        for end, one in enumerate(pair)
        if isinstance(one, Rule) and one.fixed
    )


def varies_in_time(value: Any) -> bool:
    """Tell whether a boundary value is an expression in the time."""
    return isinstance(value, sp.Expr) and TIME in symbol_names(value)


def rate_in_time(value: Any) -> sp.Expr | None:
    """Return ∂g/∂t; None where g is constant in time or has no derivative to speak of."""
    if not varies_in_time(value):
        return None
    rate = sp.diff(value, canonical_symbol(TIME))
    # A step in time has none at the step: stages take g(t) there.
    return None if rate.has(sp.DiracDelta, sp.Derivative) else rate


def check_walls(scheme: Scheme, values: Values) -> None:
    """Check that boundary values are there, and arrays of them have one a node of their side.

    Raises:
        BoundaryError: one is missing, or does not fit.
    """
    domain = scheme.domain
    for name, pairs in scheme.closures.items():
        for (axis, pair), end in itertools.product(enumerate(pairs), (LOW, HIGH)):
            one, key = pair[end], (name, axis, end)
            where = f"field {name!r} at {domain.axes[axis]} {ENDS[end]}"
            asks = isinstance(one, Rule) and (one.fixed or any(one.sources))
            if asks and key not in values.walls:
                raise BoundaryError(
                    f"a boundary value was expected for {where}; got none; bind values and "
                    "boundary together, with pdenet.discrete.setup.bound_values"
                )
            shape = tuple(getattr(values.walls.get(key), "shape", ()))
            expected = list(domain.shape)
            del expected[domain.dimension - 1 - axis]
            if shape and shape != tuple(expected):
                raise BoundaryError(
                    f"the values of {where} are an array of shape {tuple(expected)}; got {shape}; "
                    "give one value a node of the side"
                )
