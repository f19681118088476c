"""Choosing a scheme that has stable steps, and refusing steps that are not.

A scheme is stable at dt when no wave grows faster in a step than exp(dt ω₊), where ω₊ ≥ 0 is the
equation's own largest growth rate. An equation with unbounded ω₊ is ill-posed.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator

import numpy as np
import sympy as sp

from pdenet.discrete.advection import speed_matrices
from pdenet.discrete.boundary import ENDS, Boundary, Free
from pdenet.discrete.environment import constants, coordinates
from pdenet.discrete.grid import Grid
from pdenet.discrete.scheme import Scheme, discretise, discretise_on
from pdenet.discrete.spaces import SPACES
from pdenet.discrete.stability import Bound, Stability
from pdenet.discrete.steppers import STEPPERS
from pdenet.discrete.steppers import stepper as stepper_named
from pdenet.equation import printing
from pdenet.equation.analysis import term_order
from pdenet.equation.functions import evaluate, symbol_names
from pdenet.equation.reading import solved_equations
from pdenet.equation.system import System
from pdenet.equation.values import Values
from pdenet.errors import (
    IllPosedError,
    PdenetError,
    SchemeError,
    StabilityError,
    StabilityWarning,
)

SAFETY = 0.9
"""The part of the stable time step that `dt="auto"` uses."""

RESOLUTION = 0.1
"""The part of the time in which the equation grows e-fold that an automatic step takes at most."""

_STEPPER_NAMES = {
    "euler": "forward Euler",
    "symplectic_euler": "symplectic Euler",
    "leapfrog": "leapfrog",
    "heun": "Heun",
    "ssprk3": "SSP-RK3",
    "rk4": "RK4",
}


def automatic_dt(bound: Bound) -> float:
    """Return the time step that `dt="auto"` takes, infinite where nothing bounds it.

    It is below the stable limit, and resolves the growth of the equation itself, which no stability
    bound sees. At a bound of 0 it is 0: no step is stable.
    """
    resolved = RESOLUTION / bound.growth if bound.growth > 0 else math.inf
    return min(SAFETY * bound.dt, resolved)


def check(
    bound: Bound,
    dt: float,
    mode: str,
    scheme: Scheme,
    values: Values | None = None,
    state: np.ndarray | None = None,
) -> None:
    """Refuse, or warn of, a time step above the stable limit.

    Args:
        bound: the bound of the scheme.
        dt: the time step that is meant.
        mode: "refuse", "warn" or "ignore".
        scheme: the scheme, for the message.
        values: with them the message says which other schemes are stable.
        state: the state, where the bounds of other schemes depend on it.

    Raises:
        StabilityError: dt is above the bound and the mode is "refuse".
    """
    # Bounds are good to 1e-6, and 1/(2 D/h²) may differ from h²/(2 D) by rounding.
    if mode == "ignore" or dt <= bound.dt * (1 + 1e-9):
        return
    name = _STEPPER_NAMES[scheme.stepper.name]
    where = f"{equation_text(scheme.system)} on spacing {_spacing_text(scheme)}"
    if bound.dt == 0.0:
        text = (
            f"{name} with {scheme.space} differences is unstable at every dt for {where} "
            f"({bound.reason}); got {_dt_text(dt)}; use {_remedy(scheme, values, state, dt)}"
        )
    else:
        text = (
            f"dt = {dt:.6g} is above the stable limit {bound.dt:.6g} of {name} for {where}; "
            f"use dt <= {_below(bound.dt)}"
        )
        other = _remedy(scheme, values, state, dt, fallback="")
        text += f" or {other}" if other else ""
        text += f" ({bound.method}; {bound.reason})"
    if mode == "warn":
        warnings.warn(text, StabilityWarning, stacklevel=3)
    else:
        raise StabilityError(text)


def check_inflow(scheme: Scheme, values: Values, mode: str) -> None:
    """Refuse, or warn of, sides where waves come in and nothing is prescribed.

    Raises:
        StabilityError: there is one and the mode is "refuse".
    """
    found = "" if mode == "ignore" else unprescribed_inflow(scheme, values)
    if not found:
        return
    text = (
        f"each wave that comes in needs a condition; {found}, for {equation_text(scheme.system)}: "
        "errors would grow without end; give a value there, such as pn.Dirichlet(...), and leave "
        "pn.Free() to sides where waves go out"
    )
    if mode == "warn":
        warnings.warn(text, StabilityWarning, stacklevel=3)
    else:
        raise StabilityError(text)


def unprescribed_inflow(scheme: Scheme, values: Values) -> str:
    """Say at which side more waves come in than conditions are given, at t = 0.

    For ∂u/∂t = A ∂u/∂x + … waves travel with the velocities −λ, λ the eigenvalues of A. As many
    conditions are needed at a side as waves come in there (Kreiss 1970); with fewer, what comes in
    is made up by extrapolation, and errors grow without end, like a power of t where no eigenvalue
    tells.

    Args:
        scheme: the scheme. Systems of scalar fields of first order are looked at whose speeds do
            not depend on the state; for others nothing is known before a run.
        values: values of its parameters.

    Returns:
        A sentence, or an empty text.
    """
    system = scheme.system
    if system.has_vectors or max((term_order(t) for _, t in system.terms()), default=0) != 1:
        return ""
    environment = {**constants(scheme, values), **coordinates(scheme.domain, 0.0)}
    for axis, name in enumerate(scheme.domain.axes):
        if scheme.domain.wraps[axis]:
            continue
        try:
            plain, fluxes = speed_matrices(system, axis)
        except SchemeError:
            continue  # products of derivatives have no speeds
        entries = [
            [plain[r, c] + fluxes[r, c] for c in range(plain.cols)] for r in range(plain.rows)
        ]
        if any(symbol_names(e) & set(system.field_names) for row in entries for e in row):
            continue
        place = scheme.domain.dimension - 1 - axis
        for end in (0, 1):
            node = 0 if end == 0 else scheme.domain.points[axis] - 1
            on_side = {
                k: np.take(v, [node], place)
                if np.ndim(v) == scheme.domain.dimension and v.shape[place] > 1
                else v
                for k, v in environment.items()
            }
            numbers = [[np.asarray(evaluate(e, on_side)) for e in row] for row in entries]
            shape = np.broadcast_shapes(*(v.shape for row in numbers for v in row))
            rows = [np.stack([np.broadcast_to(v, shape) for v in row], axis=-1) for row in numbers]
            at_side = np.stack(rows, axis=-2).astype(np.float64)
            eigenvalues = np.linalg.eigvals(at_side)
            # Rounding of a zero eigenvalue is no wave.
            noise = 1e-9 * max(float(np.abs(eigenvalues).max()), np.finfo(float).tiny)
            velocity = -eigenvalues.real if end == 0 else eigenvalues.real
            incoming = int((velocity > noise).sum(axis=-1).max())
            given = [
                f
                for f in system.field_names
                if not isinstance(scheme.conditions[f][axis][end], Free)
            ]
            if incoming > len(given):
                return (
                    f"{incoming} wave{'s' * (incoming > 1)} come{'s' * (incoming == 1)} in at "
                    f"{name} {ENDS[end]}, where {len(given) or 'no'} field"
                    f"{'s have' if len(given) != 1 else ' has'} a condition"
                )
    return ""


def choose(
    system: System,
    values: Values,
    grid: Grid,
    boundary: Boundary,
    space: str,
    stepper: str,
    mode: str = "refuse",
) -> tuple[Scheme, Stability | None]:
    """Settle "auto": the space discretisation and the stepper.

    The stepper is leapfrog for u_tt = F(t, u), RK4 for u_tt = F(t, u, u_t), else forward Euler
    unless RK4 covers more time by an evaluation of the right side, with four of them a step; for
    equations whose bound depends on the state both are tried at a smooth state of size 1. The space
    discretisation is upwind for scalar advective terms under forward Euler, else central2.

    Args:
        system: the system.
        values: values of its parameters.
        grid: the grid.
        boundary: the boundary conditions.
        space: the space discretisation, or "auto".
        stepper: the stepper, or "auto".
        mode: unless it is "refuse" an ill-posed equation is let through.

    Returns:
        The scheme, and its stability where that was asked for.

    Raises:
        IllPosedError: a stepper is to be found, and the equation's own growth rate is unbounded.
        SchemeError: the names do not exist or do not suit the equation.
    """
    if stepper != "auto":
        return _with_stepper(system, grid, boundary, space, stepper), None
    if system.is_splittable:
        return _with_stepper(system, grid, boundary, space, "leapfrog"), None
    if system.rates:
        # Damped waves: Euler is stable at steps of the size of h² only.
        return _with_stepper(system, grid, boundary, space, "rk4"), None
    scheme = _with_stepper(system, grid, boundary, space, "euler")
    if SPACES[scheme.space].only is not None:
        return scheme, None
    stability = Stability(scheme, values)
    other = stability.stepped_by(STEPPERS["rk4"])
    try:
        euler_wins = _goes_farther(stability, other)
    except IllPosedError:
        if mode == "refuse":
            raise
        euler_wins = True  # as stable as any other
    if euler_wins:
        return scheme, stability
    if scheme.space == (space if space != "auto" else "central2"):
        return other.scheme, other
    return _with_stepper(system, grid, boundary, space, "rk4"), None


def _goes_farther(euler: Stability, rk4: Stability) -> bool:
    """Tell whether automatic steps of Euler cover no less time by an evaluation than RK4's."""
    dt, stages = automatic_dt(probe(euler)), rk4.scheme.stepper.stages
    # Beyond |λ dt| = 3 RK4 is stable nowhere.
    if stages * dt * euler.largest >= 3 or math.isinf(dt):
        return True
    return dt > 0 and stages * dt >= automatic_dt(probe(rk4))


def _with_stepper(
    system: System, grid: Grid, boundary: Boundary, space: str, stepper: str
) -> Scheme:
    method = stepper_named(stepper)
    if space != "auto":
        return discretise(system, grid, boundary, space, method)
    # Of vector fields upwind differences take |A|, which the automatic choice leaves alone.
    is_scalar = not system.has_vectors
    if is_scalar and stepper == "euler" and any(term_order(t) == 1 for _, t in system.terms()):
        try:
            scheme = discretise(system, grid, boundary, "upwind", method)
        except PdenetError:
            scheme = None
        # With matrices |A| the terms are not scalar.
        if scheme is not None and not scheme.derived:
            return scheme
    return discretise(system, grid, boundary, "central2", method)


def probe(stability: Stability) -> Bound:
    """Return the bound, at a smooth state of size 1 where it depends on the state."""
    if not stability.depends_on_state:
        return stability.bound()
    shape = (len(stability.values.components), *stability.scheme.domain.shape)
    phase = sum(
        np.linspace(0.0, 1.0, n).reshape([-1 if a == axis else 1 for a in range(len(shape))])
        for axis, n in enumerate(shape)
        if axis
    )
    component = np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    return stability.bound(1.0 + 0.3 * np.sin(6.0 * phase + component))


def _remedy(
    scheme: Scheme,
    values: Values | None,
    state: np.ndarray | None,
    dt: float,
    fallback: str = 'stepper="rk4", or another space discretisation',
) -> str:
    """Say which other stepper, or space discretisation, is stable at this dt, or else at all."""
    if values is None:
        return fallback
    possible = []
    for space, stepper in _alternatives(scheme):
        try:
            other = discretise_on(
                scheme.system, scheme.domain, scheme.conditions, space, STEPPERS[stepper]
            )
            stability = Stability(other, values)
            if stability.depends_on_state and state is None:
                found = probe(stability)
            else:
                found = stability.bound(state)
        except PdenetError:
            continue
        changed = [f'space="{space}"'] if space != scheme.space else []
        changed += [f'stepper="{stepper}"'] if stepper != scheme.stepper.name else []
        text = " with ".join(changed)
        if found.dt >= dt:
            return text
        if found.dt > 0:
            possible.append(f"{text} and dt <= {_below(found.dt)}")
    return possible[0] if possible and fallback else fallback


def _alternatives(scheme: Scheme) -> Iterator[tuple[str, str]]:
    for stepper in ("leapfrog", "rk4", "ssprk3", "euler"):
        if stepper != scheme.stepper.name:
            yield scheme.space, stepper
    for space in ("upwind", "lax_friedrichs", "central2"):
        if space != scheme.space:
            yield space, scheme.stepper.name
            if scheme.stepper.name != "rk4":
                yield space, "rk4"


def equation_text(system: System) -> str:
    """Return the equations on one line, shortened where they are long."""
    text = "; ".join(
        printing.text(sp.Eq(left, right, evaluate=False))
        for _, left, right in solved_equations(system)
    )
    return text if len(text) <= 100 else text[:97] + "..."


def _spacing_text(scheme: Scheme) -> str:
    texts = [f"{h:.6g}" for h in scheme.domain.spacing]
    return texts[0] if len(set(texts)) == 1 else f"({', '.join(texts)})"


def _dt_text(dt: float) -> str:
    return 'dt = "auto"' if math.isinf(dt) else f"dt = {dt:.6g}"


def _below(number: float) -> str:
    """Return a number in six digits, rounded down, so that it may be used as it stands."""
    if not math.isfinite(number) or number <= 0:
        return str(number)
    digits = 5 - math.floor(math.log10(number))
    return f"{math.floor(number * (1 + 1e-9) * 10.0**digits) / 10.0**digits:.6g}"
