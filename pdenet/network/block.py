"""Block: the right side ∂u/∂t = F(t, u) of a Scheme as a PyTorch module."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any  # a time is a number or a tensor; so are values of expressions

import numpy as np
import torch
from torch import nn

from pdenet.backends.torch_arrays import absolute_matrix
from pdenet.discrete.advection import AbsoluteMatrix
from pdenet.discrete.lowering import Lowered
from pdenet.discrete.scheme import Scheme
from pdenet.discrete.structure import Flux
from pdenet.discrete.terms import DT, SPACING
from pdenet.equation.symbols import TIME
from pdenet.equation.values import Values
from pdenet.network.expression import Expression
from pdenet.network.features import Banks, Features, Window
from pdenet.network.kernels import STENCILS, Kernels
from pdenet.network.layers import StackedTerms, divergences
from pdenet.network.padding import Padding
from pdenet.network.products import Context, Divergence, FieldValues, StackedProduct, Tensors
from pdenet.network.tensors import NamedTensors


class Block(nn.Module, Context):
    """∂u/∂t = F(t, u): convolutions, products and sums, as a `Structure` names them.

    Args:
        lowered: the structure and the first values of its tensors.
        scheme: the scheme, for its walls and nodes; it is not kept.
        values: the values of its parameters; they are not kept.
        dt: the time step, which Lax–Friedrichs needs.
        dtype: float32 or float64.
        trainable: the names of the symbols and coefficients that are parameters, and `STENCILS`.
        constraint: what trainable kernels may become; see `Kernels`.

    Attributes:
        structure: which tensors are combined how; it holds no weight.
        kernels: the kernels on unit spacing, shape `(*space)` each.
        numbers: the numbers of all terms, shape `(numbers,)`.
        symbols: the scalar parameters of the equation, 0-d.
        coefficients: tensors `(*indices)` or `(*indices, *space)`, and coefficient functions.
        maps: arrays that were computed from coordinates, axes of length 1 where they are constant.
        entries: coefficients whose entries are expressions in t or in symbols, row by row.
    """

    numbers: torch.Tensor

    def __init__(
        self,
        lowered: Lowered,
        scheme: Scheme,
        values: Values,
        dt: float,
        dtype: torch.dtype,
        trainable: frozenset[str],
        constraint: str = "free",
    ) -> None:
        super().__init__()

        def tensors(arrays: Mapping[str, Any]) -> dict[str, torch.Tensor]:
            return {n: torch.tensor(np.asarray(a), dtype=dtype) for n, a in arrays.items()}

        self.structure = structure = lowered.structure
        self.dt = dt
        self.kernels = Kernels(
            structure.kernels, lowered.kernels, dtype, STENCILS in trainable, constraint
        )
        self.register_buffer("numbers", torch.tensor(lowered.numbers, dtype=dtype))
        self.symbols = NamedTensors(tensors(lowered.symbols), trainable)
        self.coefficients = NamedTensors(tensors(lowered.coefficients), trainable)
        self.maps = NamedTensors(tensors(lowered.maps))
        self.functions = lowered.functions
        self.padding = Padding(scheme, values, dtype)
        self.nodes = NamedTensors(tensors(_nodes(scheme)), persistent=False)

        self.entries = {n: [Expression(e) for e in a.flat] for n, a in lowered.entries.items()}
        self.derived = tuple(_Derived(one) for one in scheme.derived)
        self._shapes = {n: a.shape for n, a in lowered.coefficients.items()}
        self._shapes |= {n: a.shape for n, a in lowered.entries.items()}
        self._shapes |= {o.name: self._shapes[o.coefficient] for o in self.derived if o.coefficient}
        self._ranks = {n: _rank(scheme, n) for n in self._shapes}
        self._kernel_scales = [_scale(k.derivative, structure.spacing) for k in structure.kernels]

        self.window = Window.nodes(structure.dimension)
        self.banks = Banks(structure.kernels)
        self.products: list[StackedProduct] = []
        self.layers: list[list[StackedTerms]] = []
        for info, stacks in zip(structure.fields, structure.layers, strict=True):
            output = "" if info.size is None else "i"
            start = sum(map(len, self.layers))
            self.layers.append(
                [StackedTerms(s, start + k, output, self) for k, s in enumerate(stacks)]
            )
        names = {n for product in self.products for n in product.scales.names}
        names |= {n for row in self.layers for layer in row for n in layer.scales.names}
        names |= {n for rows in self.entries.values() for e in rows for n in e.names}
        self.changes = TIME in names
        """Whether weights depend on the time, so that they are made anew at each stage."""

    # -- what does not depend on the state ---------------------------------------------------------

    def tensors(self, t: Any) -> Tensors:
        """Return the weights of all layers; without `changes` they serve for all times."""
        spacings = zip(self.structure.axes, self.structure.spacing, strict=True)
        environment: dict[str, Any] = {SPACING[a].name: h for a, h in spacings}
        environment |= {DT.name: self.dt, TIME: t, **dict(self.symbols.items())}
        coefficients = {n: self._spatial(n, c) for n, c in self.coefficients.items()}
        for name, rows in self.entries.items():
            coefficients[name] = self._entries(name, rows, environment)
        for one in self.derived:
            one.add_to(environment, coefficients, self.numbers)
        scaled = [
            k * s for (_, k), s in zip(self.kernels.items(), self._kernel_scales, strict=True)
        ]
        folded = {
            layer.key: layer.scales(self.numbers, environment)
            for row in self.layers
            for layer in row
            if layer.folded is not None
        }
        weights = self.banks.weights(scaled, folded)
        made = Tensors(environment, self.numbers, coefficients, scaled, weights)
        made.prepared = {product.key: product.prepare(made) for product in self.products}
        return made

    def _spatial(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """Return a coefficient that varies in space with a batch axis."""
        return tensor[None] if tensor.ndim > self._ranks[name] else tensor

    def _entries(
        self, name: str, rows: list[Expression], environment: Mapping[str, Any]
    ) -> torch.Tensor:
        """Evaluate a coefficient whose entries are expressions, shape `(1, *indices, *space)`."""
        places = {**environment, **{a: self.nodes[a] for a in self.structure.axes}}
        like = self.numbers
        made = [torch.as_tensor(e(places), dtype=like.dtype, device=like.device) for e in rows]
        full = torch.stack([m.broadcast_to(self.padding.shape) for m in made])
        return full.reshape(1, *self._shapes[name], *self.padding.shape)

    # -- the right side ---------------------------------------------------------------------------

    def forward(
        self,
        state: torch.Tensor,
        t: Any = 0.0,
        tensors: Tensors | None = None,
        only: frozenset[str] | None = None,
    ) -> dict[str, torch.Tensor]:
        """Return ∂u/∂t of each field, shape `(batch, component, *space)`.

        Args:
            state: shape `(batch, channel, *space)`.
            t: the time.
            tensors: what `tensors(t)` gave, where it is known already.
            only: the fields that are wanted; by default all.
        """
        tensors = self.tensors(t) if tensors is None else tensors
        symbols = tensors.environment

        def pad(name: str, field: torch.Tensor) -> torch.Tensor:
            return self.padding.pad(name, field, t, symbols)

        features = Features(self.structure, state, tensors.weights, pad)
        made = {}
        for info, layers in zip(self.structure.fields, self.layers, strict=True):
            if only is not None and info.name not in only:
                continue
            field = features.fields[info.name]
            if layers:
                total = layers[0](features, tensors, t)
                for layer in layers[1:]:
                    total = total + layer(features, tensors, t)
                made[info.name] = total.expand(field.shape)
            else:
                made[info.name] = torch.zeros_like(field)
        return made

    # -- what layers ask for; see `products.Context` -----------------------------------------------

    folds_linear = True

    def map_changes(self, names: Collection[str]) -> bool:
        """Tell whether what varies in space depends on the state or on the time."""
        return not {TIME, *(f.name for f in self.structure.fields)}.isdisjoint(names)

    def divergences(self, fluxes: Sequence[Flux], stack: str) -> tuple[list[Divergence], str]:
        """Return what computes the divergences of a layer, and the letters of their stack."""
        return divergences(fluxes, stack, self)

    def varies(self, name: str) -> bool:
        """Tell whether a coefficient varies in space."""
        return name in self.entries or len(self._shapes[name]) > self._ranks[name]

    def sizes_of(self, name: str) -> tuple[int, ...]:
        """Return the lengths of a coefficient's indices."""
        return self._shapes[name][: self._ranks[name]]

    def extended(self, tensor: torch.Tensor, window: Window) -> torch.Tensor:
        """Return a coefficient with one more node at both ends of the window's axes."""
        for axis in window.axes:
            tensor = self.padding.extend(tensor, axis)
        return tensor

    def map(
        self,
        expression: Expression,
        features: FieldValues | None,
        tensors: Tensors,
        t: Any,
        window: Window,
    ) -> torch.Tensor:
        """Return what varies in space, shape `(batch, *space)`, axes of length 1 allowed.

        Under a flux a product with fields is evaluated beyond the ends too; one without
        them is evaluated at the nodes and continued.
        """
        names = {f.name for f in self.structure.fields}
        with_fields = not names.isdisjoint(expression.names)
        inner = window if with_fields else self.window
        places = {**tensors.environment, TIME: t}
        for name in expression.names:
            if name in names:
                assert features is not None
                places[name] = features.value(name, inner)[:, 0]
            elif name in self.maps:
                places[name] = self.extended(self.maps[name][None], inner)
            elif name in self.coefficients:
                places[name] = self.extended(self.coefficients[name][None], inner)
            elif name in self.structure.axes:
                own = self.structure.axes.index(name) in inner.axes
                places[name] = self.nodes[f"{name}_extended" if own else name][None]
        made = expression(places)
        if not isinstance(made, torch.Tensor) or made.ndim <= self.structure.dimension:
            made = torch.as_tensor(made, dtype=self.numbers.dtype, device=self.numbers.device)
            made = made.reshape((1,) * (self.structure.dimension + 1 - made.ndim) + made.shape)
        return made if with_fields else self.extended(made, window)


class _Derived:
    """|A| of a matrix of first derivatives, computed anew from the tensors it is made of."""

    def __init__(self, absolute: AbsoluteMatrix) -> None:
        self.name = absolute.name
        self.coefficient = absolute.coefficient
        entries = absolute.entries
        self.shape = (0, 0) if entries is None else entries.shape
        self.entries = [] if entries is None else [Expression(e) for e in entries]
        self.names = {
            (row, column): absolute.entry(row, column)
            for row in range(self.shape[0])
            for column in range(self.shape[1])
        }

    def add_to(
        self,
        environment: dict[str, Any],
        coefficients: dict[str, torch.Tensor],
        like: torch.Tensor,
    ) -> None:
        if self.coefficient is not None:
            coefficients[self.name] = absolute_matrix(coefficients[self.coefficient])
            return
        made = [
            torch.as_tensor(e(environment), dtype=like.dtype, device=like.device)
            for e in self.entries
        ]
        absolute = absolute_matrix(torch.stack(made).reshape(self.shape))
        for place, name in self.names.items():
            environment[name] = absolute[place]


def _nodes(scheme: Scheme) -> dict[str, np.ndarray]:
    """Return the nodes of each axis, and with one more at both ends."""
    made = {}
    for axis, name in enumerate(scheme.domain.axes):
        made[name] = scheme.domain.along(axis)
        made[f"{name}_extended"] = scheme.domain.along(axis, 1)
    return made


def _rank(scheme: Scheme, name: str) -> int:
    """Return how many indices a coefficient has; a coefficient function has none."""
    for one in scheme.derived:
        if one.name == name and one.coefficient is not None:
            name = one.coefficient
    return len(scheme.system.parameter(name).shape)


def _scale(derivative: tuple[int, ...], spacing: tuple[float, ...]) -> float:
    """Return Π h^(−order)."""
    return 1.0 / math.prod(h**p for h, p in zip(spacing, derivative, strict=True))
