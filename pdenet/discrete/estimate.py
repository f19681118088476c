"""A sufficient bound where the state enters the coefficients, or there are many components.

The coefficient matrix C_g(u) in front of each stencil g is known by its size alone:

    ρ_g = max over nodes of √(‖C_g‖₁ ‖C_g‖_∞) ≥ max over nodes of ‖C_g‖₂.

For each wave the eigenvalues are taken to lie in a rectangle: odd derivatives contribute
±i Σ ρ_g |σ_g|, as in hyperbolic and dispersive systems, even ones a real interval between the least
and the largest diffusion, undifferentiated terms ±ρ₀, or their exact range for a scalar equation.
The viscosity of upwind differences goes with the speed that it belongs to. The bound is the largest
dt for which the corners are stable. Norms are rounded up to powers of 2^(1/16), so that the same
bound serves many steps.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # values of names: numbers or arrays

import numpy as np

from pdenet.discrete.amplification import largest_step
from pdenet.discrete.linearise import LinearTerm
from pdenet.discrete.scheme import Scheme, StencilUse
from pdenet.discrete.spectrum import Group, half_torus, symbols
from pdenet.discrete.steppers import RungeKutta
from pdenet.discrete.stencils import apply
from pdenet.equation.functions import evaluate
from pdenet.equation.system import ARGUMENT, FREE_INDEX
from pdenet.equation.values import Values

_STEPS = 16  # norms are rounded up to powers of 2^(1/16): at most 4.4 % of dt is lost


@dataclass(frozen=True)
class Sizes:
    """The sizes of one group's coefficients, all rounded outwards.

    Attributes:
        norm: √(‖C‖₁ ‖C‖_∞).
        low: a lower bound of the eigenvalues' real parts, at least −norm.
        high: an upper bound, at most norm.
    """

    norm: float
    low: float
    high: float


def rounded_up(number: float) -> float:
    """Return the next power of 2^(1/16) above a size, with its sign: outwards."""
    if number == 0 or not math.isfinite(number):
        return number
    exponent = math.ceil(math.log2(abs(number)) * _STEPS - 1e-9)
    return math.copysign(2.0 ** (exponent / _STEPS), number)


def rounded_down(number: float) -> float:
    """Return the next power of 2^(1/16) towards 0."""
    if number == 0 or not math.isfinite(number):
        return number
    exponent = math.floor(math.log2(abs(number)) * _STEPS + 1e-9)
    return math.copysign(2.0 ** (exponent / _STEPS), number)


class State:
    """A state from which coefficients are computed.

    Args:
        scheme: the scheme.
        values: parameters.
        environment: coordinates, parameters, spacings.
        tensors: coefficient tensors, see `pdenet.discrete.spectrum.tensor_entries`.
        state: float64, shape (component, *space); None where no coefficient depends on it.
    """

    def __init__(
        self,
        scheme: Scheme,
        values: Values,
        environment: Mapping[str, Any],
        tensors: Mapping[str, np.ndarray],
        state: np.ndarray | None,
    ) -> None:
        self.scheme = scheme
        self.values = values
        self.tensors = tensors
        self.state = state
        self.environment = dict(environment)
        if state is not None:
            for info in scheme.system.fields:
                if info.size is None:
                    self.environment[info.name] = state[values.slices[info.name]][0]
        self._cache: dict[StencilUse, np.ndarray] = {}
        self._contracted: dict[tuple[str, bool, StencilUse], np.ndarray] = {}

    def field(self, use: StencilUse) -> np.ndarray:
        """Return a field under its stencil, shape (component, node)."""
        key = StencilUse(use.field, None, use.stencil, use.function)
        if key not in self._cache:
            self._cache[key] = self._field(use)
        return self._cache[key]

    def _field(self, use: StencilUse) -> np.ndarray:
        assert self.state is not None
        part = self.state[self.values.slices[use.field]]
        stencil = use.stencil
        if any(stencil.radius):
            # Ghost nodes of the coefficients: beyond a wall the field goes on along its tangent.
            reach = stencil.radius
            padded = part
            for axis, width in enumerate(reach):
                place = part.ndim - 1 - axis
                pads = [(0, 0)] * part.ndim
                pads[place] = (width, width)
                if self.scheme.is_periodic[axis]:
                    padded = np.pad(padded, pads, mode="wrap")
                else:
                    padded = np.pad(padded, pads, mode="reflect", reflect_type="odd")
            shape = self.scheme.grid.shape

            def shifted(offset: tuple[int, ...]) -> np.ndarray:
                window = tuple(
                    slice(r + k, r + k + n)
                    for r, k, n in zip(reach[::-1], offset[::-1], shape, strict=True)
                )
                return padded[(slice(None), *window)]

            part = apply(stencil, shifted, stencil.scale(self.scheme.spacing))
        if use.function is not None:
            made = evaluate(use.function, {**self.environment, ARGUMENT.name: part})
            part = np.broadcast_to(made, part.shape)
        return np.asarray(part, dtype=np.float64).reshape(len(part), -1)

    def amount(self, term: LinearTerm) -> np.ndarray:
        """Return the scalar factor of a term, shape (node,) or (1,)."""
        made = np.asarray(evaluate(term.amount, self.environment), dtype=np.float64)
        if made.ndim:
            made = np.broadcast_to(made, self.scheme.grid.shape)
        made = made.reshape(-1)
        for use in term.frozen:
            if use.index is None:
                made = made * self.field(use)[0]
        return made

    def operands(self, term: LinearTerm) -> tuple[list[np.ndarray], list[str]]:
        """Return tensors and vector factors as einsum operands, each with the nodes last.

        A matrix that meets a factor nowhere else indexed is multiplied with it first, so that sums
        with both signs cancel as they do in the equation.
        """
        uses = list(term.coefficients)
        factors = [f for f in term.frozen if f.index is not None]
        arrays: list[np.ndarray] = []
        letters: list[str] = []
        everywhere = "".join(
            [*("".join(u.indices) for u in uses), *(f.index or "" for f in factors)]
        )
        everywhere += (term.row_index or "") + (term.column_index or "")
        for factor in factors:
            index = factor.index or ""
            mates = [u for u in uses if index in u.indices]
            if len(mates) == 1 and everywhere.count(index) == 2 and len(mates[0].indices) == 2:
                use = mates[0]
                tensor = self.tensors[use.name]
                if tensor.shape[-1] == 1:
                    uses.remove(use)
                    last = use.indices[1] == index
                    key = (
                        use.name,
                        last,
                        StencilUse(factor.field, None, factor.stencil, factor.function),
                    )
                    if key not in self._contracted:
                        matrix = tensor[..., 0] if last else tensor[..., 0].T
                        self._contracted[key] = matrix @ self.field(factor)
                    arrays.append(self._contracted[key])
                    letters.append(use.indices[0] if last else use.indices[1])
                    continue
            arrays.append(self.field(factor))
            letters.append(index)
        for use in uses:
            arrays.append(self.tensors[use.name])
            letters.append("".join(use.indices))
        return arrays, letters


def row_and_column_sums(state: State, terms: Sequence[LinearTerm]) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums of |C_g| along rows and along columns at the nodes.

    Args:
        state: the state.
        terms: the terms of one group.

    Returns:
        Two float64 arrays of shape (component, node or 1). No component × component × node array
        is made.
    """
    count = len(state.values.components)
    rows, columns = np.zeros((count, 1)), np.zeros((count, 1))
    for term in terms:
        weight = np.abs(state.amount(term))
        arrays, letters = state.operands(term)
        arrays = [np.abs(a) for a in arrays]
        for total_rows, name, index in (
            (True, term.row, term.row_index and FREE_INDEX),
            (False, term.column, term.column_index),
        ):
            where = state.values.slices[name]
            size = where.stop - where.start
            ones = [] if index is None else [np.ones((size, 1))]
            extra = [] if index is None else [index]
            text = ",".join(f"{s}..." for s in [*letters, *extra]) or "..."
            operands = [*arrays, *ones] or [np.ones(1)]
            part = np.einsum(f"{text}->{index or ''}...", *operands, optimize=True)
            part = np.atleast_1d(part).reshape(size if index else 1, -1)
            made = np.zeros((count, max(part.shape[-1], weight.shape[-1])))
            made[where] = part * weight
            if total_rows:
                rows = rows + made
            else:
                columns = columns + made
    return rows, columns


def sizes(state: State, group: Group, terms: Sequence[LinearTerm], *, is_scalar: bool) -> Sizes:
    """Return the sizes of a group's coefficients, rounded outwards."""
    if is_scalar:
        value = sum((_scalar(state, t) for t in terms), np.zeros(1))
        low, high = float(value.min()), float(value.max())
        norm = rounded_up(float(np.abs(value).max()))
        low = rounded_down(low) if low > 0 else rounded_up(low)
        high = rounded_up(high) if high > 0 else rounded_down(high)
        return Sizes(norm, low, high)
    rows, columns = row_and_column_sums(state, terms)
    square = rows.max(axis=0) * columns.max(axis=0)
    norm = rounded_up(math.sqrt(float(square.max())))
    low, high = -norm, norm
    if all(t.row == t.column and t.row_index is None and not t.coefficients for t in terms):
        # A diagonal matrix: its entries themselves.
        parts: dict[str, np.ndarray] = {}
        for term in terms:
            parts[term.row] = parts.get(term.row, np.zeros(1)) + state.amount(term)
        missing = len(parts) < len(state.scheme.system.fields)
        low = min(*(float(p.min()) for p in parts.values()), 0.0 if missing else math.inf)
        high = max(*(float(p.max()) for p in parts.values()), 0.0 if missing else -math.inf)
        low = rounded_down(low) if low > 0 else rounded_up(low)
        high = rounded_up(high) if high > 0 else rounded_down(high)
    return Sizes(norm, low, high)


def _scalar(state: State, term: LinearTerm) -> np.ndarray:
    """Return the coefficient of a term that joins single components, shape (node or 1,)."""
    arrays, letters = state.operands(term)
    if not arrays:
        return state.amount(term)
    text = ",".join(f"{s}..." for s in letters)
    return state.amount(term) * np.einsum(f"{text}->...", *arrays)


class Estimate:
    """The bound as a function of sizes, with what depends on waves alone made once."""

    def __init__(self, scheme: Scheme, groups: Sequence[Group]) -> None:
        self.scheme = scheme
        self.groups = list(groups)
        self.theta = half_torus(scheme.grid.dimension, coarse=scheme.grid.dimension > 1)
        made = symbols(self.groups, self.theta, scheme.spacing)
        self.symbols = np.where(
            np.abs(made) > 1e-12 * np.abs(made).max(axis=1, keepdims=True), made, 0
        )
        # Coefficients of the viscosity carry h/2 and |a|, and go with the derivative along the axis.
        self.partner = [self._partner(k) for k in range(len(self.groups))]
        self._known: dict[tuple[Sizes, ...], tuple[float, float, str]] = {}

    def _partner(self, place: int) -> int | None:
        group = self.groups[place]
        if group.derivatives or group.is_per_step:
            return None
        axis = next(a for a, r in enumerate(group.stencil.radius) if r)
        wanted = tuple(int(a == axis) for a in range(self.scheme.grid.dimension))
        for k, other in enumerate(self.groups):
            if other.derivatives == (wanted,):
                return k
        return None

    def step(self, found: Sequence[Sizes]) -> tuple[float, float, str]:
        """Return (dt, ω₊, what limits) for the sizes of each group."""
        key = tuple(found)
        if key not in self._known:
            self._known[key] = self._step(key)
        return self._known[key]

    def _step(self, found: tuple[Sizes, ...]) -> tuple[float, float, str]:
        waves = self.theta.shape[1]
        least, most = np.zeros(waves), np.zeros(waves)  # of the real part
        height = np.zeros(waves)
        growth = 0.0
        tied: list[tuple[np.ndarray, np.ndarray]] = []
        partners = {p: k for k, p in enumerate(self.partner) if p is not None}
        mean: np.ndarray | None = None
        for k, (group, size, sigma) in enumerate(
            zip(self.groups, found, self.symbols, strict=True)
        ):
            if group.is_per_step:
                mean = sigma.real
                continue
            if self.partner[k] is not None:
                continue
            if not any(group.stencil.derivative) and not any(group.stencil.radius):
                least += size.low
                most += size.high
                growth += max(size.high, 0.0)
                continue
            if k in partners:
                viscous = self.symbols[partners[k]].real * found[partners[k]].norm
                tied.append((viscous, size.norm * np.abs(sigma.imag)))
                continue
            height += size.norm * np.abs(sigma.imag)
            # Re σ ≤ 0 for u_xx, ≥ 0 for u_xxxx: the sign that damps is the one the equation has.
            ends = np.stack([size.low * sigma.real, size.high * sigma.real])
            least += ends.min(axis=0)
            most += np.minimum(ends.max(axis=0), 0.0)
        corners = []
        for chosen in itertools.product((False, True), repeat=len(tied)):
            real = sum((t[0] for t, c in zip(tied, chosen, strict=True) if c), np.zeros(waves))
            wide = sum((t[1] for t, c in zip(tied, chosen, strict=True) if c), np.zeros(waves))
            corners += [least + real + 1j * (height + wide), most + real + 1j * (height + wide)]
        lam = np.stack(corners)
        stepper = self.scheme.stepper
        if mean is not None:
            from pdenet.discrete.frozen import averaged_step

            dt = averaged_step(lam, mean, growth)
        elif isinstance(stepper, RungeKutta):
            dt = largest_step(lam, growth * 1.1, stepper)
        else:
            # u_tt = F(u): the eigenvalues of F are −(size of F); there is no damping.
            square = np.abs(least) + height
            dt = stepper.imaginary_limit / np.sqrt(np.maximum(square, 1e-300))[np.newaxis]
        place = np.unravel_index(int(dt.argmin()), dt.shape)
        from pdenet.discrete.spectrum import describe_wave

        wave = describe_wave(self.theta[:, place[-1]], self.scheme.grid.axes, self.scheme.spacing)
        return float(dt[place]), growth, wave
