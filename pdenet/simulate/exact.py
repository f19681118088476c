"""The exact solution of any linear PDE with constant coefficients on a periodic grid.

∂u/∂t = Σ_α A_α ∂^α u + f(x) becomes, for each wave vector k of the Fourier transform û, the
ordinary system ∂û/∂t = S(k) û + f̂(k) with the PDE's symbol S(k) = Σ_α A_α (ik)^α, solved by

    û(t) = exp(tS) û(0) + t φ(tS) f̂,    φ(z) = (exp(z) − 1)/z.

No stencil, no time step: the truth that simulators are measured against.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any  # initial states and values are numbers, arrays or expressions

import numpy as np
import scipy.linalg

from pdenet.discrete import environment
from pdenet.discrete.boundary import Boundary, Periodic
from pdenet.discrete.domain import Domain
from pdenet.discrete.grid import Grid
from pdenet.equation.functions import evaluate, symbol_names
from pdenet.equation.linear import LinearForm, linear_form
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import TIME
from pdenet.equation.values import Values, bind
from pdenet.errors import EquationError, GridError, IllPosedError, TimeError
from pdenet.simulate.initial import read_initial

# Wave vectors whose exponentials are held at once: 4096 complex 12×12 matrices are 9 MiB.
_BATCH = 4096


def exact_periodic(
    pde: PDE,
    grid: Grid,
    initial: Any,
    times: float | Sequence[float] | np.ndarray,
    values: Mapping[Any, Any] | None = None,
) -> np.ndarray:
    """Solve a linear PDE with constant coefficients exactly on a periodic grid.

    The initial state and the sources are read as the trigonometric polynomials through their
    nodes, so the result is exact to rounding for data that hold no wave shorter than two spacings;
    for smooth data the error falls faster than any power of the spacing. Where a grid has an even
    number of points along an axis, the derivative of odd order along it of its shortest wave, which
    changes sign from node to node, is 0: so it is at the nodes. Real data stay real, and solving to
    s and then to t is solving to s + t.

    Rounding grows as eps · |S(k)| t for the largest wave number. The cost is one matrix exponential
    for each wave vector and time, in batches, so memory stays near that of the result.

    Args:
        pde: a linear equation with constant coefficients; vector fields are welcome. Sources may
            depend on space, but not on time.
        grid: the grid; all its axes are taken as periodic.
        initial: the state at t = 0, as for a solver: an expression, several, a mapping from fields
            to expressions or arrays, or one array `(component, *space)`.
        times: one time or several, in any order, in the equation's unit of time. Negative ones run
            backwards where the equation can.
        values: values of parameters and coefficients, as for a solver.

    Returns:
        A float64 array `(time, component, *space)`, in the order of `times`.

    Raises:
        EquationError: the equation is nonlinear, or its coefficients vary, or a source depends on
            time; the message names the term.
        ValuesError: a value is missing, unknown or of the wrong kind.
        GridError: the grid has another dimension than the equation.
        InitialStateError: a field is missing or unknown, or the initial state has the wrong shape,
            is complex or not finite.
        TimeError: a time is not a finite number.
        IllPosedError: the solution grew beyond all numbers, as the backward heat equation's does.

    Example:
        >>> import sympy as sp
        >>> from pdenet.equation.catalogue import catalogue
        >>> heat = catalogue.build("heat", dimension=1)
        >>> x, grid = sp.Symbol("x"), Grid(x=(0, 2 * sp.pi, 16))
        >>> u = exact_periodic(heat, grid, sp.cos(3 * x), [0, 1], values={"D": 0.1})
        >>> [round(float(value), 6) for value in u[:, 0, 0]]  # cos 0 and exp(−0.1 · 3²)
        [1.0, 0.40657]
    """
    bound = bind(pde.system, values)
    form = linear_form(bound)
    if grid.dimension != pde.system.dimension:
        raise GridError(
            f"expected a grid with the axes {', '.join(pde.axes)} of the equation, got {grid}; "
            "give one interval an axis"
        )
    domain = Domain.of(grid, Boundary(**dict.fromkeys(grid.axes, Periodic())))
    state = read_initial(domain, bound, initial, np.dtype(np.float64))
    source = _source(domain, bound, form)
    moments = _times(times)
    space = tuple(range(1, 1 + grid.dimension))
    # û and f̂ with the wave vectors in one row, shape (wave, component, 1).
    spectra = [_columns(np.fft.rfftn(a, axes=space)) for a in (state, source)]
    waves = _wave_numbers(grid, domain.spacing)
    result = np.empty((len(moments), *state.shape))
    for frame, moment in enumerate(moments):
        if moment == 0:
            result[frame] = state
            continue
        evolved = _evolve(form, waves, spectra[0], spectra[1], moment)
        if not np.isfinite(evolved).all():
            raise IllPosedError(
                f"a bounded solution was expected; at t = {moment} the solution of {pde!r} has "
                "grown beyond all numbers; the equation amplifies short waves without bound in "
                "this direction of time, or the time is too long for its growth rate"
            )
        shape = (state.shape[0], *grid.shape[:-1], grid.shape[-1] // 2 + 1)
        spectrum = evolved[:, :, 0].T.reshape(shape)
        result[frame] = np.fft.irfftn(spectrum, s=grid.shape, axes=space)
    return result


def symbol(form: LinearForm, waves: Sequence[np.ndarray]) -> np.ndarray:
    """Return the symbol S(k) = Σ_α A_α (ik)^α.

    Args:
        form: the matrices A_α.
        waves: for each axis, in coordinate order, the wave numbers `(order, wave)`: row 0 for
            derivatives of even order, row 1 for odd ones; radians per length.

    Returns:
        A complex128 array `(wave, component, component)`, per unit of time.
    """
    count = waves[0].shape[1]
    size = next(iter(form.matrices.values())).shape[0]
    made = np.zeros((count, size, size), dtype=np.complex128)
    for alpha, matrix in form.matrices.items():
        factor = np.ones(count, dtype=np.complex128)
        for order, numbers in zip(alpha, waves, strict=True):
            if order:
                # i^order is put in exactly: 1j**order has rounding errors in its other part.
                factor *= numbers[order % 2] ** order * (1, 1j, -1, -1j)[order % 4]
        made += factor[:, np.newaxis, np.newaxis] * matrix
    return made


def _wave_numbers(grid: Grid, spacing: Sequence[float]) -> tuple[np.ndarray, ...]:
    """Return the wave numbers of a half spectrum, for each axis an array `(2, wave)`.

    The shortest wave of an even number of points has the wave number 0 in row 1, for derivatives
    of odd order: it is its own mirror image, so only a real symbol keeps real data real.
    """
    made: list[np.ndarray] = []
    for axis, (points, h) in enumerate(zip(grid.points, spacing, strict=True)):
        # x is the last axis of the array, the one of which rfftn keeps half.
        frequencies = np.fft.rfftfreq if axis == 0 else np.fft.fftfreq
        even = 2 * np.pi * frequencies(points, d=h)
        odd = np.where(np.arange(len(even)) * 2 == points, 0.0, even)
        made.append(np.stack([even, odd]))
    dimension = grid.dimension
    shape = tuple(len(numbers[0]) for numbers in reversed(made))
    spread = []
    for axis, numbers in enumerate(made):
        place = [1] * dimension
        place[dimension - 1 - axis] = -1
        rows = [np.broadcast_to(row.reshape(place), shape).ravel() for row in numbers]
        spread.append(np.stack(rows))
    return tuple(spread)


def _columns(spectrum: np.ndarray) -> np.ndarray:
    """Turn a spectrum `(component, *wave)` into columns `(wave, component, 1)`."""
    return spectrum.reshape(spectrum.shape[0], -1).T[:, :, np.newaxis]


def _evolve(
    form: LinearForm,
    waves: Sequence[np.ndarray],
    start: np.ndarray,
    source: np.ndarray,
    moment: float,
) -> np.ndarray:
    """Return exp(tS) û + t φ(tS) f̂, in batches of wave vectors; shape (wave, component, 1)."""
    made = np.empty_like(start)
    has_source = bool(np.any(source))
    for first in range(0, len(start), _BATCH):
        rows = slice(first, first + _BATCH)
        exponent = moment * symbol(form, [numbers[:, rows] for numbers in waves])
        # An overflow is reported by the caller, as growth without bound.
        with np.errstate(over="ignore", invalid="ignore"):
            grown, forced = _exponentials(exponent, has_source)
            made[rows] = grown @ start[rows]
            if has_source:
                made[rows] += moment * (forced @ source[rows])
    return made


def _exponentials(exponent: np.ndarray, has_source: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return exp(Z) and φ(Z) for Z of shape (wave, component, component)."""
    size = exponent.shape[-1]
    if size == 1:
        safe = np.where(exponent == 0, 1.0, exponent)
        return np.exp(exponent), np.where(exponent == 0, 1.0, np.expm1(safe) / safe)
    if not has_source:
        return scipy.linalg.expm(exponent), np.zeros_like(exponent)
    # exp([[Z, 1], [0, 0]]) = [[exp(Z), φ(Z)], [0, 1]] needs no inverse of Z, which may be singular.
    augmented = np.zeros((len(exponent), 2 * size, 2 * size), dtype=np.complex128)
    augmented[:, :size, :size] = exponent
    augmented[:, :size, size:] = np.eye(size)
    made = scipy.linalg.expm(augmented)
    return made[:, :size, :size], made[:, :size, size:]


def _source(domain: Domain, bound: Values, form: LinearForm) -> np.ndarray:
    """Return f at the nodes, shape (component, *space)."""
    made = np.zeros((len(bound.components), *domain.shape))
    known = {**environment.parameters(domain, bound), **environment.coordinates(domain, 0.0)}
    for weights, expression in form.sources:
        if TIME in symbol_names(expression):
            raise EquationError(
                f"sources that do not depend on time were expected; got {expression}; "
                "use a solver, pde.to_solver(...), for this equation"
            )
        with np.errstate(all="ignore"):  # what is not finite is reported below, with its place
            amount = np.broadcast_to(evaluate(expression, known), domain.shape)
        made[weights != 0] += np.multiply.outer(weights[weights != 0], amount)
    bad = np.argwhere(~np.isfinite(made))
    if len(bad):
        component, *cell = (int(k) for k in bad[0])
        raise EquationError(
            f"sources that are finite on the grid were expected; got {made[component, *cell]} in "
            f"component {bound.components[component]!r} at cell {tuple(cell)}; "
            "move the singularity off the grid"
        )
    return made


def _times(times: float | Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the times as a float64 array (time,)."""
    made = np.asarray(times)
    if made.dtype.kind not in "fiu" or made.ndim > 1 or not np.isfinite(made).all():
        raise TimeError(
            f"one finite time, or a sequence of them, was expected; got times = {times!r}; "
            "give numbers"
        )
    return np.atleast_1d(made.astype(np.float64))
