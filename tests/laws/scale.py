"""S, the size of what one step adds up: the yardstick of rounding errors.

S = max over points, components and stages of |u| + dt Σ |coefficient · weight · factor|. Every
rounding error of a step is a few eps of one of these summands, so two correct evaluations of one
step differ by a small multiple of eps · S, however much the summands cancel.
"""

from __future__ import annotations

from typing import Any  # prefactors are floats or arrays

import numpy as np

from pdenet.backends.numpy_arrays import NumpyArrays
from pdenet.discrete.closure import Rule, Wrap
from pdenet.discrete.program import Program, _Moment
from pdenet.discrete.terms import FluxTerm, SchemeProduct, SchemeTerm, StencilUse
from pdenet.equation.system import FREE_INDEX
from pdenet.simulate.integrator import Integrator


def step_scale(solver: Integrator, state: np.ndarray, t: float, dt: float) -> float:
    """Return S of the step from `state`, shape `(component, *space)`, at time t."""
    values = solver.values
    arrays = NumpyArrays(np.dtype(np.float64))
    program = _Watched(solver.scheme, values, arrays)
    made = program.step(np.asarray(state, dtype=np.float64), t, dt)
    return max(program.largest, float(np.abs(made).max()))


class _Watched(Program):
    """A program that notes, at every stage, how large the summands are."""

    largest = 0.0

    def rates(
        self, state: Any, t: float, dt: float, only: frozenset[str] | None = None
    ) -> dict[str, Any]:
        sizes = _Sizes(self, state, t, dt)
        for info, terms in zip(self.scheme.system.fields, self.scheme.equations, strict=True):
            total = np.abs(state[self.slices[info.name]])
            for term in terms:
                size = sizes.term(term, info.size is not None)
                total = total + dt * size
            self.largest = max(self.largest, float(total.max()))
        return super().rates(state, t, dt, only)


class _Sizes:
    """The summands of each term with every sign made positive."""

    def __init__(self, program: Program, state: Any, t: float, dt: float) -> None:
        self.program = program
        self.dt = dt
        self.moment = _Moment(program, state, t, dt)
        self.padded = {
            name: self._pad(name, np.abs(field), t) for name, field in self.moment.fields.items()
        }

    def _pad(self, name: str, field: Any, t: float) -> Any:
        """|u| with ghost nodes, each the sum of the sizes that make it."""
        scheme, walls = self.program.scheme, self.program.walls
        for axis, width in enumerate(scheme.width):
            place = field.ndim - 1 - axis
            low, high = scheme.closures[name][axis]
            points = field.shape[place]
            if not width:
                continue
            if isinstance(low, Wrap):
                nodes = [
                    np.take(field, [(k) % points], place) for k in range(-width, points + width)
                ]
                field = np.concatenate(nodes, place)
                continue
            parts = {}
            for end, one in enumerate((low, high)):
                assert isinstance(one, Rule)
                for k in range(1, width + 1):
                    ghost = 0.0 * np.take(field, [0], place)
                    for m, weight in one.ghosts[k - 1]:
                        node = m if end == 0 else points - 1 - m
                        ghost = ghost + abs(weight) * np.take(field, [node], place)
                    if one.sources[k - 1]:
                        value = np.abs(walls.value(name, axis, end, t, axes_padded=axis))
                        ghost = ghost + abs(one.sources[k - 1]) * value
                    parts[end, k] = ghost
            below = [parts[0, k] for k in range(width, 0, -1)]
            above = [parts[1, k] for k in range(1, width + 1)]
            field = np.concatenate([*below, field, *above], place)
        return field

    def term(self, term: SchemeTerm, is_vector: bool) -> Any:
        """Return Σ |coefficient · weight · factor|, shape `(component, *space)`."""
        free = FREE_INDEX if is_vector else ""
        if not isinstance(term, FluxTerm):
            return self._product(term.outer, free, [])
        scheme = self.program.scheme
        # A flux difference adds two faces, each a mean of two nodes: every node is met at most
        # twice with weight ½, and a difference over the face has two nodes over h.
        outside = term.outer.indices | set(free)
        labels = "".join(sorted(term.inner.indices & outside))
        inner = self._product(term.inner, labels, [], own=term.axis)
        place = inner.ndim - 1 - term.axis
        points = inner.shape[place]
        windows = (np.arange(shift, points - 2 + shift) for shift in range(3))
        reach = np.max([np.take(inner, window, place) for window in windows], axis=0)
        return self._product(
            term.outer, free, [(2 * reach / scheme.domain.spacing[term.axis], labels)]
        )

    def _product(
        self,
        product: SchemeProduct,
        output: str,
        more: list[tuple[Any, str]],
        own: int | None = None,
    ) -> Any:
        """Sum the sizes over the indices; `own` adds a node at both ends of that axis."""
        parts = [(np.abs(a), names) for a, names in more]
        for use in product.coefficients:
            array, names = self.moment._coefficient(use, own)
            parts.append((np.abs(array), names))
        parts += [(self._factor(f, own), f.index or "") for f in product.factors]
        prefactor = np.abs(self.moment._prefactor(product.prefactor, own))
        grid = list(self.program.scheme.domain.shape)
        if own is not None:
            grid[-(own + 1)] += 2
        operands = [np.broadcast_to(prefactor, grid)]
        labels = ["..."]
        for array, names in parts:
            full = np.asarray(array)
            if full.ndim == len(names):
                full = full.reshape((*full.shape, *(1,) * len(grid)))
            operands.append(full)
            labels.append(names + "...")
        made = np.einsum(",".join(labels) + "->" + output + "...", *operands)
        return made if output or made.ndim > len(grid) else made[None]

    def _factor(self, factor: StencilUse, own: int | None) -> Any:
        """Σ |weight · u| of a stencil, 0 where it reaches beyond the ghost nodes."""
        scheme = self.program.scheme
        padded = self.padded[factor.field]
        total = np.zeros_like(padded)
        for offset, weight in zip(factor.stencil.offsets, factor.stencil.weights, strict=True):
            moved = padded
            for axis, steps in enumerate(offset):
                place = padded.ndim - 1 - axis
                nodes = np.arange(padded.shape[place]) + steps
                inside = (nodes >= 0) & (nodes < len(nodes))
                shape = [-1 if a == place else 1 for a in range(padded.ndim)]
                moved = np.take(moved, np.clip(nodes, 0, len(nodes) - 1), place)
                moved = moved * inside.reshape(shape)
            total = total + abs(float(weight)) * moved
        for axis, points in enumerate(scheme.domain.points):
            more = 1 if axis == own else 0
            start = scheme.width[axis] - more
            total = np.take(
                total, np.arange(start, start + points + 2 * more), total.ndim - 1 - axis
            )
        total = total * factor.stencil.scale(scheme.domain.spacing)
        if factor.function is None:
            return total
        # f of a field: its size is that of its values, f being smooth and of slope near 1.
        made, names = self.program.compiled(factor.function)
        return np.abs(made(*(total for _ in names))) + total
