"""Ghost nodes and prescribed nodes: the closures of a Scheme carried out on arrays.

Axes are padded in coordinate order, x first; a later axis sees the ghost nodes of the earlier ones,
so that corners combine both rules and mixed derivatives keep their second order there.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any  # boundary values are numbers, arrays or tensors

import numpy as np
import sympy as sp

from pdenet.discrete.arrays import Array, Arrays, cut
from pdenet.discrete.closure import Closure
from pdenet.discrete.scheme import Scheme
from pdenet.equation.functions import compile_expression, symbol_names
from pdenet.equation.symbols import TIME, canonical_symbol
from pdenet.equation.values import as_numpy
from pdenet.errors import BoundaryError, BoundaryWarning

LOW, HIGH = 0, 1


class Walls:
    """The sides of a box, for one scheme and one back end.

    Args:
        scheme: the scheme, whose closures are carried out.
        arrays: the back end.

    Raises:
        BoundaryError: an array of boundary values does not fit its side.
    """

    def __init__(self, scheme: Scheme, arrays: Arrays) -> None:
        self.scheme = scheme
        self.arrays = arrays
        self.dimension = scheme.grid.dimension
        self._numbers: Mapping[str, Any] = {}
        self._cache: dict[object, Any] = {}
        self._rates: dict[object, sp.Expr | None] = {}
        self._warned = False
        nodes = scheme.grid.nodes(scheme.boundary)
        self._extended = tuple(
            _extended_nodes(n, h, max(w, 1), periodic)
            for n, h, w, periodic in zip(
                nodes, scheme.spacing, scheme.width, scheme.is_periodic, strict=True
            )
        )
        self._fixed = {
            name: tuple(
                (axis, end)
                for axis, pair in enumerate(pairs)
                for end, one in enumerate(pair)
                if one.fixed
            )
            for name, pairs in scheme.closures.items()
        }
        self._check_arrays()

    def prepare(self, numbers: Mapping[str, Any]) -> None:
        """Take the parameters' numbers, and forget what was computed with others."""
        self._numbers = numbers
        self._cache = {}

    # -- ghost nodes ------------------------------------------------------------------------------

    def pad(self, name: str, field: Array, t: float) -> Array:
        """Return a field with its ghost nodes, shape `(…, *(points + 2 width))`."""
        for axis in range(self.dimension):
            width = self.scheme.width[axis]
            if not width:
                continue
            place = -(axis + 1)
            low, high = self.scheme.closures[name][axis]
            if low.wraps:
                parts = [cut(field, place, -width, None), field, cut(field, place, 0, width)]
            else:
                below = [
                    self._ghost(name, field, axis, LOW, low, k, t) for k in range(width, 0, -1)
                ]
                above = [
                    self._ghost(name, field, axis, HIGH, high, k, t) for k in range(1, width + 1)
                ]
                parts = [*below, field, *above]
            field = self.arrays.concatenate(parts, place)
        return field

    def _ghost(
        self, name: str, field: Array, axis: int, end: int, one: Closure, k: int, t: float
    ) -> Array:
        place = -(axis + 1)
        points = field.shape[place]
        made: Array = None
        for m, weight in one.ghosts[k - 1]:
            node = m if end == LOW else points - 1 - m
            inner = cut(field, place, node, node + 1)
            part = inner if weight == 1.0 else weight * inner
            made = part if made is None else made + part
        if one.sources[k - 1]:
            value = self._value(name, axis, end, t, axes_padded=axis)
            if not (isinstance(value, float) and value == 0.0):
                part = one.sources[k - 1] * value
                made = part if made is None else made + part
        if made is None:
            made = 0.0 * cut(field, place, 0, 1)
        return made

    def extend(self, array: Array, axis: int) -> Array:
        """Return a coefficient with one more node at both ends, wrapped or going on linearly."""
        place = -(axis + 1)
        points = array.shape[place]
        if points == 1:
            return array
        if self.scheme.is_periodic[axis]:
            parts = [cut(array, place, points - 1, points), array, cut(array, place, 0, 1)]
        else:
            first, second = cut(array, place, 0, 1), cut(array, place, 1, 2)
            last, before = (cut(array, place, k, k + 1) for k in (points - 1, points - 2))
            parts = [2.0 * first - second, array, 2.0 * last - before]
        return self.arrays.concatenate(parts, place)

    def extended_nodes(self, axis: int, width: int) -> Array:
        """Return the nodes of an axis with `width` more at both ends, shaped to broadcast."""
        have = max(self.scheme.width[axis], 1)
        nodes = self._extended[axis]
        nodes = nodes[have - width : len(nodes) - (have - width)]
        return self.arrays.asarray(self._shaped(nodes, axis))

    def _shaped(self, nodes: np.ndarray, axis: int) -> np.ndarray:
        shape = [1] * self.dimension
        shape[self.dimension - 1 - axis] = -1
        return nodes.reshape(shape)

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
                become g(start) + Σ length · ∂g/∂t(time), what the stage makes of u' = ∂g/∂t. With
                g(t) they would be ahead of their neighbours, which carry the stage's own error of
                O(dt²), and second differences would see a kink of O(dt²/h²): see Carpenter,
                Gottlieb, Abarbanel & Don (1995), SIAM J. Sci. Comput. 16:1241.
            slopes: pairs (length, time), with `start`.
        """
        sides = self._fixed[name]
        if not sides:
            return
        values = {side: self._prescribed(name, *side, t, start, slopes) for side in sides}
        if len({axis for axis, _ in sides}) > 1:
            values = self._with_corners(name, values)
        for (axis, end), value in values.items():
            points = self.scheme.grid.points[axis]
            node = 0 if end == LOW else points - 1
            window = (..., slice(node, node + 1), *(slice(None),) * axis)
            field[window] = value

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
            return self._value(name, axis, end, t, axes_padded=0)
        made = self._value(name, axis, end, start, axes_padded=0)
        for length, time in slopes:
            made = made + length * self._evaluated(rate, axis, end, time, 0)
        return made

    def _rate(self, name: str, axis: int, end: int) -> sp.Expr | None:
        """Return ∂g/∂t; None where g is constant in time or has no derivative to speak of."""
        key = ("rate", name, axis, end)
        if key not in self._rates:
            rate = None
            if not self._is_static(name, axis, end):
                rate = sp.diff(self.scheme.closures[name][axis][end].value, canonical_symbol(TIME))
                # A step in time has none at the step: stages take g(t) there.
                rate = None if rate.has(sp.DiracDelta, sp.Derivative) else rate
            self._rates[key] = rate
        return self._rates[key]

    def _with_corners(self, name: str, values: dict[tuple[int, int], Any]) -> dict[Any, Any]:
        """Return values over the sides with the mean of all Dirichlet values at shared nodes."""
        key = ("corners", name)
        static = all(self._is_static(name, *side) for side in values)
        if static and key in self._cache:
            return dict(self._cache[key])
        full = {
            s: self.arrays.broadcast(self.arrays.asarray(v), self._side_shape(s[0]))
            for s, v in values.items()
        }
        made: dict[tuple[int, int], Any] = {}
        for side, value in full.items():
            total = self.arrays.copy(value)
            count = np.ones(self._side_shape(side[0]))
            for other, second in full.items():
                if other[0] != side[0]:
                    mine = self._edge(side, other)
                    theirs = self._edge(other, side)
                    self._warn_if_apart(name, value[mine], second[theirs])
                    total[mine] = total[mine] + second[theirs]
                    count[mine] += 1
            made[side] = total / self.arrays.asarray(count)
        if static:
            self._cache[key] = made
        return made

    def _edge(self, side: tuple[int, int], other: tuple[int, int]) -> tuple[slice, ...]:
        """Return the window, in the array of `side`, of the nodes it shares with `other`."""
        window = [slice(None)] * self.dimension
        points = self.scheme.grid.points[other[0]]
        node = 0 if other[1] == LOW else points - 1
        window[self.dimension - 1 - other[0]] = slice(node, node + 1)
        return tuple(window)

    def _side_shape(self, axis: int) -> tuple[int, ...]:
        shape = list(self.scheme.grid.shape)
        shape[self.dimension - 1 - axis] = 1
        return tuple(shape)

    def _warn_if_apart(self, name: str, one: Array, other: Array) -> None:
        if self._warned:
            return
        first, second = as_numpy(one), as_numpy(other)
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

    # -- values -----------------------------------------------------------------------------------

    def _is_static(self, name: str, axis: int, end: int) -> bool:
        value = self.scheme.closures[name][axis][end].value
        return not (isinstance(value, sp.Expr) and TIME in symbol_names(value))

    def _value(self, name: str, axis: int, end: int, t: float, axes_padded: int) -> Any:
        """Return g on a side, with ghost nodes along the axes before `axes_padded`."""
        key = (name, axis, end, axes_padded)
        if key in self._cache:
            return self._cache[key]
        value = self.scheme.closures[name][axis][end].value
        if isinstance(value, sp.Expr):
            made = self._evaluated(value, axis, end, t, axes_padded)
        elif np.ndim(value) == 0:
            made = value if hasattr(value, "detach") else float(value)
        else:
            made = self._face_array(value, axis, axes_padded)
        if self._is_static(name, axis, end):
            self._cache[key] = made
        return made

    def _evaluated(self, value: sp.Expr, axis: int, end: int, t: float, axes_padded: int) -> Any:
        names = tuple(sorted(symbol_names(value)))
        function = compile_expression(value, names, self.arrays.functions)
        arguments = []
        for name in names:
            if name == TIME:
                arguments.append(t)
            elif name in self.scheme.grid.axes:
                own = self.scheme.grid.axes.index(name)
                have = max(self.scheme.width[own], 1)
                nodes = self._extended[own][have:-have]
                if own == axis:
                    arguments.append(float(nodes[0] if end == LOW else nodes[-1]))
                elif own < axes_padded:
                    arguments.append(self.extended_nodes(own, self.scheme.width[own]))
                else:
                    arguments.append(self.arrays.asarray(self._shaped(nodes, own)))
            else:
                arguments.append(self._numbers[name])
        made = function(*arguments)
        return float(made) if isinstance(made, int | float | np.number) else made

    def _face_array(self, value: Any, axis: int, axes_padded: int) -> Array:
        array = self.arrays.asarray(value).reshape(self._side_shape(axis))
        for earlier in range(axes_padded):
            for _ in range(self.scheme.width[earlier]):
                array = self.extend(array, earlier)
        return array

    def _check_arrays(self) -> None:
        for name, pairs in self.scheme.closures.items():
            for axis, pair in enumerate(pairs):
                for end, one in enumerate(pair):
                    shape = tuple(getattr(one.value, "shape", ()))
                    expected = list(self.scheme.grid.shape)
                    del expected[self.dimension - 1 - axis]
                    if shape and shape != tuple(expected):
                        where = f"{self.scheme.grid.axes[axis]} {('low', 'high')[end]}"
                        raise BoundaryError(
                            f"the values of field {name!r} at {where} are an array of shape "
                            f"{tuple(expected)}; got {shape}; give one value a node of the side"
                        )


def _extended_nodes(nodes: np.ndarray, h: float, width: int, periodic: bool) -> np.ndarray:
    """Return nodes with `width` more at both ends: wrapped where periodic, else going on."""
    if periodic:
        return np.concatenate([nodes[-width:], nodes, nodes[:width]])
    steps = h * np.arange(1, width + 1)
    return np.concatenate([nodes[0] - steps[::-1], nodes, nodes[-1] + steps])
