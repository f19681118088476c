"""Stability: the largest stable time step of a scheme, for a state and at a time.

A scheme is stable at dt when no wave grows faster in a step than exp(dt ω₊), where ω₊ ≥ 0 is the
equation's own largest growth rate. An equation with unbounded ω₊ is ill-posed.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from pdenet.discrete.amplification import SLACK, largest_step
from pdenet.discrete.environment import check_prefactors, constants, coordinates, tensors
from pdenet.discrete.estimate import Estimate, State, sizes
from pdenet.discrete.frozen import Frozen, position_pairs
from pdenet.discrete.linearise import depends_on_time, linearise
from pdenet.discrete.scheme import Scheme
from pdenet.discrete.spectrum import (
    describe_wave,
    groups_of,
    groups_with_forces,
    matrices,
    tensor_entries,
)
from pdenet.discrete.steppers import Stepper
from pdenet.discrete.terms import SPACING
from pdenet.discrete.wall_modes import have_modes, wall_eigenvalues
from pdenet.equation.values import Values
from pdenet.errors import StabilityError

EXACT = "von Neumann, exact"
FROZEN = "von Neumann, coefficients frozen over the grid"
ESTIMATE = "norm estimate √(‖A‖₁‖A‖_∞)"
WITH_WALLS = ", with wall modes"

# More components than this are not diagonalised: 2000 waves of 32 × 32 take a second.
_MAX_COMPONENTS = 32
# Entries of coefficient matrices over all nodes: 80 MB.
_MAX_ENTRIES = 10_000_000

# dt |λ| below this: a method that is stable by rounding only.
_VANISHING = 1e-7

# Modes between walls with smaller |λ|, as a fraction of the largest, are long waves.
_SHORT = 1e-2


@dataclass(frozen=True)
class Bound:
    """The largest stable time step.

    Attributes:
        dt: in the equation's unit of time; 0 where no step is stable, inf where all are.
        growth: ω₊, the equation's own largest growth rate, in 1/time.
        method: how it was found.
        reason: which wave, node or wall limits it.
        is_overflow: the state is so large that the coefficients are not finite.
    """

    dt: float
    growth: float
    method: str
    reason: str
    is_overflow: bool = False


class Stability:
    """The stability of one scheme.

    Args:
        scheme: the scheme.
        values: values of its parameters.

    Attributes:
        depends_on_state: the bound is one for a given state.
        depends_on_time: the bound changes in time.
        method: how bounds are found.
        largest: |λ| of the fastest wave, once a bound has been found by diagonalising; else 0.

    Raises:
        SchemeError: a matrix of first derivatives has no real diagonal form, for upwind.

    Example:
        >>> from pdenet.discrete.boundary import Boundary, Periodic
        >>> from pdenet.discrete.grid import Grid
        >>> from pdenet.discrete.scheme import discretise
        >>> from pdenet.discrete.steppers import stepper
        >>> from pdenet.equation.catalogue import catalogue
        >>> from pdenet.equation.values import bind
        >>> heat = bind(catalogue["heat"].system, {"D": 1})
        >>> grid, walls = Grid(x=(0, 1, 10), y=(0, 1, 10)), Boundary(x=Periodic(), y=Periodic())
        >>> scheme = discretise(heat.system, grid, walls, "central2", stepper("euler"))
        >>> round(Stability(scheme, heat).bound().dt, 12)
        0.0025

    Source: von Neumann's analysis as in Strikwerda (2004), Finite Difference Schemes and Partial
    Differential Equations, chapters 2 and 9; normal modes after Godunov & Ryabenkii and
    Gustafsson, Kreiss & Sundström (1972).
    """

    def __init__(self, scheme: Scheme, values: Values) -> None:
        check_prefactors(scheme, values)  # a singular coefficient is named, not its infinite bound
        self.scheme = scheme
        self.values = values
        self.terms = linearise(scheme)
        self.groups = groups_of(self.terms)
        self.depends_on_time = depends_on_time(self.terms)
        self.depends_on_state = any(t.depends_on_state(scheme) for t in self.terms)
        self._constants = constants(scheme, values)
        self._tensors = tensors(scheme, values)
        self.largest = 0.0
        self._known: Bound | None = None
        count = len(values.components)
        self._is_estimate = self.depends_on_state or count > _MAX_COMPONENTS
        self._varies = False
        self._estimate: Estimate | None = None
        if not self._is_estimate:
            entries = [m.size for m in self._matrices(0.0)]
            self._varies = max(entries, default=0) > count**2
            if self._varies and sum(entries) > _MAX_ENTRIES:
                self._is_estimate = True
        if self._is_estimate:
            self.groups = groups_with_forces(scheme, self.terms)
            self._estimate = Estimate(scheme, list(self.groups))
        self.method: str = ESTIMATE if self._is_estimate else FROZEN if self._varies else EXACT
        if self._estimate is not None and max(self._estimate.factors, default=1.0) > 1:
            self.method += WITH_WALLS

    def stepped_by(self, stepper: Stepper) -> Stability:
        """Return the analysis of the same differences under another stepper."""
        made = copy.copy(self)
        made.scheme = replace(self.scheme, stepper=stepper)
        made._known = None
        if made._estimate is not None:
            made._estimate = made._estimate.of_scheme(made.scheme)
        return made

    def bound(self, state: np.ndarray | None = None, t: float = 0.0) -> Bound:
        """Return the largest stable dt.

        Args:
            state: float, shape (component, *space); required where `depends_on_state`.
            t: the time.

        Raises:
            IllPosedError: the equation's own growth rate is unbounded.
        """
        if self._estimate is not None:
            return self._estimated(self._estimate, state, t)
        if self._known is None or self.depends_on_time:
            self._known = self._frozen(t)
        return self._known

    def _environment(self, t: float, refinement: float = 1.0) -> dict[str, object]:
        made = {**self._constants, **coordinates(self.scheme.domain, t)}
        for axis, h in zip(self.scheme.domain.axes, self.scheme.domain.spacing, strict=True):
            made[SPACING[axis].name] = h / refinement
        return made

    def _matrices(self, t: float, refinement: float = 1.0) -> list[np.ndarray]:
        environment = self._environment(t, refinement)
        entries = tensor_entries(self.scheme, self._tensors, environment)
        shape = self.scheme.domain.shape
        return [
            matrices(terms, self.values, entries, environment, shape)
            for terms in self.groups.values()
        ]

    def _at(self, t: float, refinement: float = 1.0) -> Frozen:
        made = self._matrices(t, refinement)
        nodes = max((len(m) for m in made), default=1)
        count = len(self.values.components)
        stacked = (
            np.stack([np.broadcast_to(m, (nodes, count, count)) for m in made], axis=1)
            if made
            else np.zeros((1, 0, count, count))
        )
        frozen = Frozen(self.scheme, self.values, list(self.groups), stacked)
        frozen.spacing = tuple(h / refinement for h in self.scheme.domain.spacing)
        return frozen

    def _frozen(self, t: float) -> Bound:
        if not self.groups:
            return Bound(math.inf, 0.0, self.method, "nothing that is linear in the fields")
        frozen = self._at(t)
        growth = frozen.own_growth()
        discrete = frozen.discrete_growth()
        # Growth of the differences that does not rise as they are refined is the equation's own,
        # met with the truncation error of this grid.
        if discrete > SLACK * growth and self._at(t, 4.0).discrete_growth() > 1.5 * discrete:
            return Bound(0.0, growth, self.method, "the differences grow faster than the equation")
        # The search for the largest rate ends within 1e-9 of it.
        allowed = max(growth, discrete) * (1 + 1e-8)
        method = self.method
        walls = np.zeros(0)
        if have_modes(self.scheme, list(self.groups), frozen.every_node):
            walls, rounding = self._walls(frozen, 1)
            rate = float(walls.real.max(initial=0.0))
            noise = rounding * float(np.abs(walls).max(initial=0.0))
            if rate > SLACK * allowed + noise:
                if self._rises(t, rate, is_cheap=frozen.size == 1):
                    reason = f"modes at a wall grow, at the rate {rate:.3g} on this grid"
                    return Bound(0.0, growth, method + WITH_WALLS, reason)
                growth = max(growth, rate)
                allowed = max(allowed, rate * (1 + 1e-8))
            # Long waves do not limit dt, but their rounding would.
            walls = walls[np.abs(walls) > _SHORT * np.abs(walls).max(initial=0.0)]
            walls = np.where(np.abs(walls.real) <= noise, 1j * walls.imag, walls)
            walls.real = np.minimum(walls.real, allowed)
        dt, wave, node = frozen.step(allowed)
        self.largest = frozen.largest
        reason = describe_wave(wave, self.scheme.domain.axes, self.scheme.domain.spacing)
        if self._varies:
            reason += f" at {self._node(int(frozen.place[node]))}"
        if walls.size and dt > 0:
            at_walls = float(largest_step(walls, allowed, self.scheme.stepper).min())
            if at_walls < dt * (1 - 1e-9):
                dt, reason, method = at_walls, "a mode at a wall", method + WITH_WALLS
        if dt * frozen.largest < _VANISHING:
            dt = 0.0
        return Bound(dt, growth, method, reason)

    def _walls(self, frozen: Frozen, refinement: int) -> tuple[np.ndarray, float]:
        """Return the eigenvalues between walls for each extreme set of coefficients there."""
        pairs = position_pairs(self.scheme, self.values)
        # Hundreds of small eigenvalue problems: threads of BLAS would only wait for one another.
        with threadpool_limits(limits=1, user_api="blas"):
            made = [
                wall_eigenvalues(
                    self.scheme, self.values, frozen.groups, coefficients, pairs, refinement
                )
                for coefficients in frozen.at_walls()
            ]
        return np.concatenate([found for found, _ in made]), made[0][1]

    def _rises(self, t: float, rate: float, *, is_cheap: bool) -> bool:
        """Tell whether a growth rate between walls has no limit as the spacing is refined."""
        half = float(self._walls(self._at(t, 2.0), 2)[0].real.max())
        if half > 1.4 * rate:
            return True
        if not is_cheap:
            return False
        # An inflow without a condition: the rate rises like log(1/h), by the same amount each time.
        quarter = float(self._walls(self._at(t, 4.0), 4)[0].real.max())
        return quarter - half > 0.8 * (half - rate) > 0.02 * rate

    def _node(self, place: int) -> str:
        cell = tuple(int(k) for k in np.unravel_index(place, self.scheme.domain.shape))
        return self.scheme.domain.place(cell)

    def _estimated(self, estimate: Estimate, state: np.ndarray | None, t: float) -> Bound:
        if self.depends_on_state and state is None:
            raise StabilityError(
                "the bound of this equation depends on the state; got none; give bound(state)"
            )
        environment = self._environment(t)
        entries = tensor_entries(self.scheme, self._tensors, environment)
        with np.errstate(all="ignore"):  # the run itself reports a state that is not finite
            at = State(self.scheme, self.values, environment, entries, state)
            found = [sizes(at, terms) for terms in self.groups.values()]
        if not all(math.isfinite(size.norm) for size in found):
            reason = "coefficients that are not finite"
            return Bound(0.0, math.inf, self.method, reason, is_overflow=True)
        dt, growth, wave = estimate.step(found)
        return Bound(dt, growth, self.method, wave)
