"""Padding: the boundary conditions of a scheme as the padding of a network.

Values that do not change are buffers, computed once; those that depend on the time or on a symbol
are evaluated at each stage, so that gradients reach the symbols.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any  # boundary values are numbers or tensors; a time likewise

import numpy as np
import sympy as sp
import torch
from torch import nn

from pdenet.backends.numpy_arrays import NumpyArrays
from pdenet.backends.torch_arrays import TorchArrays
from pdenet.discrete import environment, ghosts
from pdenet.discrete.closure import Closure, Rule, Wrap
from pdenet.discrete.ghosts import Side
from pdenet.discrete.scheme import Scheme
from pdenet.discrete.walls import Walls, prescribed_sides, rate_in_time
from pdenet.equation.functions import symbol_names
from pdenet.equation.symbols import TIME
from pdenet.equation.values import Values, as_numpy, is_tensor
from pdenet.network.expression import Expression
from pdenet.network.tensors import NamedTensors

ENDS = ("low", "high")


class Padding(nn.Module):
    """Ghost nodes and prescribed nodes of all fields.

    Args:
        scheme: the scheme, whose closures are carried out; it is not kept.
        values: the values of its parameters and walls.
        dtype: float32 or float64.
    """

    def __init__(self, scheme: Scheme, values: Values, dtype: torch.dtype) -> None:
        super().__init__()
        self.width = scheme.width
        self.is_periodic = scheme.domain.wraps
        self.shape = scheme.domain.shape
        self.closures = dict(scheme.closures)
        self.sides = {name: prescribed_sides(scheme, name) for name in scheme.closures}
        # A network has its own tensors.
        given = {key: as_numpy(v) if is_tensor(v) else v for key, v in values.walls.items()}
        walls = Walls(scheme, replace(values, walls=given), NumpyArrays(np.dtype(np.float64)))
        walls.prepare(environment.constants(scheme, values))
        builder = _Builder(scheme, walls, dtype)
        for name, pairs in scheme.closures.items():
            # Warns, here and never again, where two values meet at a corner and differ.
            walls.impose(name, np.zeros((1, *self.shape)), 0.0)
            for axis, pair in enumerate(pairs):
                for end, one in enumerate(pair):
                    if isinstance(one, Rule):
                        builder.add(name, axis, end, one)
            builder.add_corners(name, self.sides[name])
        self.numbers = builder.numbers
        self.live = builder.live
        self.corners = builder.corners
        self.fixed = NamedTensors(builder.fixed)
        self.nodes = NamedTensors(builder.nodes, persistent=False)

    @property
    def rules(self) -> list[object]:
        """All that decides what is prescribed where, but for the tensors."""
        ghosts_of = {
            name: [[_written(c) for c in pair] for pair in pairs]
            for name, pairs in self.closures.items()
        }
        live = {key: value.expr for key, value in self.live.items()}
        return [
            sorted(ghosts_of.items()),
            sorted(self.numbers.items()),
            sorted(live.items(), key=lambda item: item[0]),
        ]

    def pad(
        self, name: str, field: torch.Tensor, t: Any, symbols: Mapping[str, Any]
    ) -> torch.Tensor:
        """Return a field with its ghost nodes, shape `(batch, component, *(points + 2 width))`."""

        def value(axis: int, end: int) -> Any:
            return self._value(name, axis, end, axis, t, symbols)

        arrays = TorchArrays(field.dtype, field.device)
        return ghosts.pad(field, self.closures[name], self.width, arrays, value)

    def extend(self, tensor: torch.Tensor, axis: int) -> torch.Tensor:
        """Return a coefficient with one more node at both ends, wrapped or going on linearly."""
        arrays = TorchArrays(tensor.dtype, tensor.device)
        return ghosts.extend(tensor, axis, self.is_periodic[axis], arrays)

    def impose(
        self,
        name: str,
        field: torch.Tensor,
        t: Any,
        symbols: Mapping[str, Any],
        start: Any = None,
        slopes: Sequence[tuple[Any, Any]] = (),
    ) -> torch.Tensor:
        """Set the Dirichlet nodes of a field, in place, and return it; see `discrete.stepping`."""
        sides = self.sides[name]
        if not sides:
            return field
        if name in self.corners:
            values: Mapping[Side, Any] = {s: self.fixed[self.corners[name][s]] for s in sides}
        else:
            values = {s: self._prescribed(name, *s, t, symbols, start, slopes) for s in sides}
            if len({axis for axis, _ in sides}) > 1:
                arrays = TorchArrays(field.dtype, field.device)
                values = ghosts.with_corner_means(values, self.shape, arrays)
        ghosts.prescribe(field, values)
        return field

    def _prescribed(
        self,
        name: str,
        axis: int,
        end: int,
        t: Any,
        symbols: Mapping[str, Any],
        start: Any,
        slopes: Sequence[tuple[Any, Any]],
    ) -> Any:
        rate = ("rate", name, axis, end)
        if start is None or rate not in self.live:
            return self._value(name, axis, end, 0, t, symbols)
        made = self._value(name, axis, end, 0, start, symbols)
        for length, time in slopes:
            made = made + length * self._evaluated(rate, 0, time, symbols)
        return made

    def _value(
        self, name: str, axis: int, end: int, axes_padded: int, t: Any, symbols: Mapping[str, Any]
    ) -> Any:
        key = ("value", name, axis, end)
        if key in self.live:
            return self._evaluated(key, axes_padded, t, symbols)
        number = self.numbers.get((name, axis, end))
        if number is not None:
            return number
        return self.fixed[_label(name, axis, end, axes_padded)]

    def _evaluated(
        self, key: tuple[str, str, int, int], axes_padded: int, t: Any, symbols: Mapping[str, Any]
    ) -> Any:
        expression = self.live[key]
        _, _, axis, end = key
        places: dict[str, Any] = {**symbols, TIME: t}
        for name in expression.names:
            label = f"{name}_{axis}_{end}_{axes_padded}"
            if label in self.nodes:
                places[name] = self.nodes[label]
        return expression(places)


class _Builder:
    """Collects what is prescribed on all sides."""

    def __init__(self, scheme: Scheme, walls: Walls, dtype: torch.dtype) -> None:
        self.scheme = scheme
        self.walls = walls
        self.dtype = dtype
        self.numbers: dict[tuple[str, int, int], float] = {}
        self.live: dict[tuple[str, str, int, int], Expression] = {}
        self.fixed: dict[str, torch.Tensor] = {}
        self.nodes: dict[str, torch.Tensor] = {}
        self.corners: dict[str, dict[Side, str]] = {}

    def add(self, name: str, axis: int, end: int, one: Rule) -> None:
        if (name, axis, end) not in self.walls.given:  # nothing is prescribed, which is 0
            self.numbers[name, axis, end] = 0.0
            return
        value = self.walls.given[name, axis, end]
        # Fixed values may be read with ghost nodes along the axes before, and without.
        paddings = {axis, 0} if one.fixed else {axis}
        if isinstance(value, sp.Expr) and symbol_names(value) - set(self.scheme.domain.axes):
            self.live["value", name, axis, end] = Expression(value)
            rate = rate_in_time(value)
            if rate is not None:
                self.live["rate", name, axis, end] = Expression(rate)
            for padded in paddings:
                places = self.scheme.domain.side(axis, end, self.scheme.width[:padded])
                for coordinate, at in places.items():
                    self.nodes[f"{coordinate}_{axis}_{end}_{padded}"] = self._tensor(at)
            return
        for padded in paddings:
            found = self.walls.value(name, axis, end, 0.0, padded)
            if np.ndim(found) == 0:
                self.numbers[name, axis, end] = float(found)
            else:
                self.fixed[_label(name, axis, end, padded)] = self._tensor(found)

    def add_corners(self, name: str, sides: Sequence[Side]) -> None:
        """Settle values with corners once where nothing changes them."""
        if len({axis for axis, _ in sides}) < 2:
            return
        if any(("value", name, *side) in self.live for side in sides):
            return
        arrays = NumpyArrays(np.dtype(np.float64))
        values = {s: self.walls.value(name, *s, 0.0, 0) for s in sides}
        made = ghosts.with_corner_means(values, self.scheme.domain.shape, arrays)
        self.corners[name] = {}
        for (axis, end), value in made.items():
            label = f"{_label(name, axis, end, 0)}_corners"
            self.corners[name][axis, end] = label
            self.fixed[label] = self._tensor(value)

    def _tensor(self, value: Any) -> torch.Tensor:
        return torch.tensor(np.asarray(value), dtype=self.dtype)


def _label(name: str, axis: int, end: int, axes_padded: int) -> str:
    return f"{name}_{axis}_{ENDS[end]}_{axes_padded}"


def _written(one: Closure) -> tuple[object, ...]:
    """Return a closure as it enters the fingerprint of saved weights, which must not change."""
    if isinstance(one, Wrap):
        return True, (), (), False
    return False, one.ghosts, one.sources, one.fixed
