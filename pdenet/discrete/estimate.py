"""A sufficient bound where the state enters the coefficients, or there are many components.

The coefficient matrix C_g(u) in front of each stencil g is known by its size alone:

    ρ_g = max over nodes of √(‖C_g‖₁ ‖C_g‖_∞) ≥ max over nodes of ‖C_g‖₂.

For each wave the eigenvalues are taken to lie in a rectangle: odd derivatives contribute
±i Σ ρ_g |σ_g|, as in hyperbolic and dispersive systems, even ones a real interval between the least
and the largest diffusion, undifferentiated terms ±ρ₀, or their exact range for a scalar equation.
The viscosity of upwind differences goes with the speed that it belongs to, and the force F of
u_tt = F(u) contributes ±i times the square root of its size. The bound is the largest
dt for which the corners are stable. Norms are rounded up to powers of 2^(1/16), so that the same
bound serves many steps.

Coefficients that hold a derivative of the state are taken at the nodes of the grid; beyond a wall
the state goes on along its tangent there, whatever the condition, which changes such a coefficient
at the wall by O(h) of itself.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # values of names: numbers or arrays

import numpy as np
from opt_einsum import contract

from pdenet.discrete.amplification import largest_step
from pdenet.discrete.frozen import averaged_step
from pdenet.discrete.linearise import LinearTerm
from pdenet.discrete.scheme import Scheme
from pdenet.discrete.spectrum import Group, describe_wave, half_torus, lowest, symbols
from pdenet.discrete.stencils import apply
from pdenet.discrete.steppers import RungeKutta
from pdenet.discrete.terms import StencilUse
from pdenet.discrete.wall_modes import wall_factors
from pdenet.equation.functions import evaluate
from pdenet.equation.system import ARGUMENT, FREE_INDEX
from pdenet.equation.values import Values

_NODE = "Z"  # the axis of nodes in a contraction; indices are small letters
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


def _rounded_out(low: float, high: float, norm: float) -> tuple[float, float]:
    """Return a range rounded outwards to multiples of norm/16, within ±norm.

    Multiples, not powers: ends near 0 change sign and size from step to step.
    """
    if norm == 0 or not math.isfinite(norm):
        return -norm, norm
    quantum = norm / 16
    return (
        max(-norm, math.floor(low / quantum + 1e-9) * quantum),
        min(norm, math.ceil(high / quantum - 1e-9) * quantum),
    )


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
                if self.scheme.domain.wraps[axis]:
                    padded = np.pad(padded, pads, mode="wrap")
                else:
                    padded = np.pad(padded, pads, mode="reflect", reflect_type="odd")
            shape = self.scheme.domain.shape

            def shifted(offset: tuple[int, ...]) -> np.ndarray:
                window = tuple(
                    slice(r + k, r + k + n)
                    for r, k, n in zip(reach[::-1], offset[::-1], shape, strict=True)
                )
                return padded[(slice(None), *window)]

            part = apply(stencil, shifted, stencil.scale(self.scheme.domain.spacing))
        if use.function is not None:
            made = evaluate(use.function, {**self.environment, ARGUMENT.name: part})
            part = np.broadcast_to(made, part.shape)
        return np.asarray(part, dtype=np.float64).reshape(len(part), -1)

    def amount(self, term: LinearTerm) -> np.ndarray:
        """Return the scalar factor of a term, shape (node,) or (1,)."""
        made = np.asarray(evaluate(term.amount, self.environment), dtype=np.float64)
        if made.ndim:
            made = np.broadcast_to(made, self.scheme.domain.shape)
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
    totals = [np.zeros((count, 1)), np.zeros((count, 1))]
    for term in terms:
        weight = np.abs(state.amount(term))
        arrays, letters = state.operands(term)
        # What is constant has no axis of nodes: its products are then products of matrices.
        operands = [np.abs(a[..., 0] if a.shape[-1] == 1 else a) for a in arrays]
        texts = [s if a.shape[-1] == 1 else s + _NODE for s, a in zip(letters, arrays, strict=True)]
        node = _NODE if any(_NODE in t for t in texts) else ""
        for place, (name, index) in enumerate(
            ((term.row, term.row_index and FREE_INDEX), (term.column, term.column_index))
        ):
            where = state.values.slices[name]
            size = where.stop - where.start
            more = [] if index is None else [np.ones(size)]
            text = ",".join([*texts, *([] if index is None else [index])])
            part = contract(f"{text}->{index or ''}{node}", *([*operands, *more] or [np.ones(())]))
            part = np.reshape(part, (size if index else 1, -1)) * weight
            if part.shape[-1] > totals[place].shape[-1]:
                totals[place] = np.repeat(totals[place], part.shape[-1], axis=1)
            totals[place][where] += part
    return totals[0], totals[1]


def sizes(state: State, terms: Sequence[LinearTerm]) -> Sizes:
    """Return the sizes of a group's coefficients, rounded outwards."""
    if state.scheme.system.has_vectors:
        rows, columns = row_and_column_sums(state, terms)
        norm = rounded_up(math.sqrt(float((rows.max(axis=0) * columns.max(axis=0)).max())))
        return Sizes(norm, -norm, norm)
    # Scalar fields: the entries themselves, and Gershgorin's discs of rows and of columns.
    count = len(state.values.components)
    entries: dict[tuple[int, int], np.ndarray] = {}

    def row_of(term: LinearTerm) -> int:
        # The force on u stands in the equation of u_t, beside u it is on the diagonal.
        rate_of = state.scheme.system.field(term.row).rate_of
        is_force = rate_of and state.scheme.system.field(term.column).rate_of is None
        return state.values.slices[rate_of if rate_of and is_force else term.row].start

    for term in terms:
        place = row_of(term), state.values.slices[term.column].start
        entries[place] = entries.get(place, np.zeros(1)) + _entry(state, term)
    diagonal = [entries.get((k, k), np.zeros(1)) for k in range(count)]
    norms, lows, highs = [], [], []
    for side in (0, 1):
        radii = [np.zeros(1)] * count
        for cell, entry in entries.items():
            if cell[0] != cell[1]:
                radii[cell[side]] = radii[cell[side]] + np.abs(entry)
        discs = list(zip(diagonal, radii, strict=True))
        norms.append(_largest([np.abs(d) + r for d, r in discs]))
        lows.append(min(float((d - r).min()) for d, r in discs))
        highs.append(max(float((d + r).max()) for d, r in discs))
    norm = float(np.sqrt((norms[0] * norms[1]).max()))
    low, high = max(-norm, *lows), min(norm, *highs)
    norm = rounded_up(norm)
    return Sizes(norm, *_rounded_out(low, high, norm))


def _largest(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return the largest of several arrays, node by node."""
    made = arrays[0]
    for array in arrays[1:]:
        made = np.maximum(made, array)
    return made


def _entry(state: State, term: LinearTerm) -> np.ndarray:
    """Return the coefficient of a term that joins scalar fields, shape (node or 1,)."""
    arrays, letters = state.operands(term)
    if not arrays:
        return state.amount(term)
    text = ",".join(f"{s}..." for s in letters)
    return state.amount(term) * np.einsum(f"{text}->...", *arrays)


def _real_range(size: Sizes, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what an even derivative adds to the real parts, at least and at most, for each wave.

    Re σ ≤ 0 for u_xx and ≥ 0 for u_xxxx. A coefficient of either sign is taken to damp: that is how
    coupled diffusion looks through Gershgorin's discs. One whose whole range feeds the waves, such
    as −u_xx beside −u_xxxx, is taken at its word.
    """
    ends = np.sort(np.stack([size.low * sigma.real, size.high * sigma.real]), axis=0)
    feeds = bool((ends >= 0).all()) and bool((ends > 0).any())
    return ends[0], ends[1] if feeds else np.minimum(ends[1], 0.0)


class Estimate:
    """The bound as a function of sizes."""

    def __init__(self, scheme: Scheme, groups: Sequence[Group]) -> None:
        self.scheme = scheme
        self.groups = list(groups)
        self.samples = half_torus(scheme.domain.dimension, coarse=True)
        # The viscosity |a| h/2 goes with the derivative along its axis.
        self.partner = {
            k: partner for k in range(len(self.groups)) if (partner := self._partner(k)) is not None
        }
        self.factors = wall_factors(scheme, self.groups)
        self._known: dict[tuple[Sizes, ...], tuple[float, float, str]] = {}

    def of_scheme(self, scheme: Scheme) -> Estimate:
        """Return the same bound for a scheme that differs in its stepper only."""
        made = copy.copy(self)
        made.scheme, made._known = scheme, {}
        return made

    def _partner(self, place: int) -> int | None:
        group = self.groups[place]
        if group.derivatives or group.is_per_step:
            return None
        axis = next(a for a, r in enumerate(group.stencil.radius) if r)
        wanted = tuple(int(a == axis) for a in range(self.scheme.domain.dimension))
        for k, other in enumerate(self.groups):
            if other.derivatives == (wanted,):
                return k
        return None

    def step(self, found: Sequence[Sizes]) -> tuple[float, float, str]:
        """Return (dt, ω₊, what limits) for the sizes of each group."""
        key = tuple(found)
        if key not in self._known:
            if len(self._known) > 4096:  # a long run: the sizes of old states do not come back
                self._known.clear()
            growth, is_bounded = self._growth_of_even(key)
            growth += sum(
                math.sqrt(max(size.high, 0.0)) if group.is_force else max(size.high, 0.0)
                for group, size in zip(self.groups, key, strict=True)
                if not any(group.stencil.radius)
            )
            if not is_bounded:
                text = "short waves that the equation itself lets grow without bound"
                self._known[key] = (0.0, growth, text)
                return self._known[key]
            dt, wave = lowest(lambda w: self._steps(key, growth, w), self.samples, starts=2)
            text = describe_wave(wave, self.scheme.domain.axes, self.scheme.domain.spacing)
            self._known[key] = (dt, growth, text)
        return self._known[key]

    def _growth_of_even(self, found: tuple[Sizes, ...]) -> tuple[float, bool]:
        """Return how fast even derivatives let waves grow, and whether that rate is bounded.

        The rate is looked for on this grid and on ones 8 and 16 times finer, at waves of all
        lengths. Between the last two it may not rise any more.
        """
        rates = []
        for finer in (1.0, 8.0, 16.0):
            theta = np.concatenate([self.samples / 2.0**j for j in range(8)], axis=1)
            spacing = [h / finer for h in self.scheme.domain.spacing]
            most = np.zeros(theta.shape[1])
            for group, size in zip(self.groups, found, strict=True):
                # The symbols of odd stencils are imaginary.
                is_even = any(group.stencil.radius) and not group.stencil.is_odd
                if is_even and group.derivatives and not group.is_force:
                    most += _real_range(size, group.stencil.symbol(theta, spacing))[1]
            rates.append(float(most.max(initial=0.0)))
        # The samples meet the fastest wave to a few per cent.
        return 1.05 * max(rates[:2]), rates[2] <= 1.5 * rates[1]

    def _steps(self, found: tuple[Sizes, ...], growth: float, theta: np.ndarray) -> np.ndarray:
        """Return the largest dt of each wave, θ of shape (axis, wave)."""
        least, most, height, square, mean = (np.zeros(theta.shape[1]) for _ in range(5))
        tied: list[tuple[np.ndarray, np.ndarray]] = []
        values = symbols(self.groups, theta, self.scheme.domain.spacing)
        values = values * np.array(self.factors)[:, np.newaxis]
        viscosity = {p: k for k, p in self.partner.items()}
        is_averaged = False
        for k, (group, size, sigma) in enumerate(zip(self.groups, found, values, strict=True)):
            if group.is_per_step:
                mean, is_averaged = sigma.real, True
            elif group.is_force:
                square += size.norm * np.abs(sigma)
            elif k in self.partner:
                continue
            elif k in viscosity:
                other = viscosity[k]
                tied.append((values[other].real * found[other].norm, size.norm * abs(sigma.imag)))
            elif not any(group.stencil.radius):
                least += size.low
                most += size.high
            else:
                height += size.norm * np.abs(sigma.imag)
                low, high = _real_range(size, sigma)
                least += low
                most += high
        height += np.sqrt(square)
        corners = []
        for chosen in itertools.product((0.0, 1.0), repeat=len(tied)):
            real, wide = (
                sum((c * t[part] for c, t in zip(chosen, tied, strict=True)), np.zeros_like(least))
                for part in (0, 1)
            )
            corners += [end + real + 1j * (height + wide) for end in (least, most)]
        lam = np.stack(corners)
        stepper = self.scheme.stepper
        if is_averaged:
            return averaged_step(lam - growth, mean).min(axis=0)
        if isinstance(stepper, RungeKutta):
            return largest_step(lam, growth, stepper).min(axis=0)
        return np.asarray(stepper.imaginary_limit / np.maximum(height, np.finfo(float).tiny))
