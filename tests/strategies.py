"""Hypothesis strategies for equations, grids, boundaries and initial states.

Everything is valid by construction: hyperbolic systems come from symmetric matrices A = QΛQᵀ,
parabolic ones from positive definite ones, and nothing is filtered. Numbers are small multiples of
powers of two, so that examples shrink to 0 and 1 and print exactly.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any  # a strategy's `draw`, and the values of an equation

import numpy as np
import sympy as sp
from hypothesis import settings
from hypothesis import strategies as st

from pdenet.discrete.boundary import (
    Boundary,
    Dirichlet,
    Free,
    Neumann,
    Periodic,
    Robin,
    ZeroPadding,
)
from pdenet.discrete.grid import Grid
from pdenet.equation.catalogue import catalogue
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import (
    SPACE,
    Coefficient,
    D,
    Index,
    VectorField,
    coordinates,
)

# For laws of ten cells and more: over 100 examples together in the profile `ci`. Two at least: the
# first is the simplest, which most faults leave as it is.
few_each = settings(max_examples=max(2, settings().max_examples // 4))

QUASI_LINEAR = ("eq2", "eq3", "eq4", "eq5", "eq6", "eq7")
NON_PERIODIC = (Dirichlet, Neumann, Robin, ZeroPadding, Free)
Draw = Any  # hypothesis's DrawFn, whose call is generic in the strategy


@dataclass(frozen=True, eq=False)
class Problem:
    """An equation with values, and what its making guarantees.

    Attributes:
        pde: the equation.
        values: for `values=`.
        num_components: how many components its state has.
        matrices: for each axis the constant matrix of the terms of highest order, where there is
            one: A of ∂u/∂t = A ∂u/∂x + …, or K of ∂u/∂t = K ∂²u/∂x² + …
        amplitude: how large states should be: 1 for linear equations.
    """

    pde: PDE
    num_components: int
    values: Mapping[str, Any] = field(default_factory=dict)
    matrices: tuple[np.ndarray, ...] = ()
    amplitude: float = 1.0

    def __repr__(self) -> str:
        given = ", ".join(f"{k}={np.asarray(v).tolist()}" for k, v in self.values.items())
        return (
            f"Problem({'; '.join(str(self.pde).splitlines())}{' with ' + given if given else ''})"
        )


def _coordinates(dimension: int) -> tuple[sp.Symbol, ...]:
    return coordinates(" ".join(("t", *SPACE[:dimension])))


# Numbers -------------------------------------------------------------------------------------


def numbers(largest: int = 8, denominator: int = 4) -> st.SearchStrategy[float]:
    """Multiples of 1/denominator in [−largest, largest]/denominator; 0 is the simplest."""
    return st.integers(-largest, largest).map(lambda k: k / denominator)


def positive(largest: int = 8, denominator: int = 4) -> st.SearchStrategy[float]:
    """Multiples of 1/denominator from one of them to largest/denominator."""
    return st.integers(1, largest).map(lambda k: k / denominator)


def non_zero(largest: int = 8, denominator: int = 4) -> st.SearchStrategy[float]:
    """Numbers of both signs that keep away from 0."""
    return st.builds(lambda size, sign: sign * size, positive(largest, denominator), _SIGNS)


_SIGNS = st.sampled_from((1.0, -1.0))


# Cosine and sine of rational turns, so that matrices print in few digits.
_TURNS = ((1.0, 0.0), (0.8, 0.6), (0.6, 0.8), (0.0, 1.0), (0.8, -0.6), (0.6, -0.8))


@st.composite
def rotations(draw: Draw, size: int) -> np.ndarray:
    """Rotations in `size` dimensions, products of plane rotations; the simplest is the identity."""
    made = np.eye(size)
    for p, q in itertools.combinations(range(size), 2):
        cosine, sine = draw(st.sampled_from(_TURNS))
        plane = np.eye(size)
        plane[[p, q], [p, q]] = cosine
        plane[p, q], plane[q, p] = -sine, sine
        made = made @ plane
    return made


def symmetric(rotation: np.ndarray, eigenvalues: Sequence[float]) -> np.ndarray:
    """QΛQᵀ, symmetric to the last bit; rounded to 12 digits, so that what should be 0 is 0."""
    made = rotation @ np.diag(eigenvalues) @ rotation.T
    made = np.round((made + made.T) / 2, 12)
    return made + 0.0  # turns −0 into 0


@st.composite
def symmetric_matrices(
    draw: Draw, count: int, size: int, commuting: bool, eigenvalues: st.SearchStrategy[float]
) -> tuple[np.ndarray, ...]:
    """`count` symmetric matrices with drawn eigenvalues; commuting ones share their Q."""
    shared = draw(rotations(size))
    made = []
    for k in range(count):
        own = shared if commuting or k == 0 else draw(rotations(size))
        spectrum = draw(st.lists(eigenvalues, min_size=size, max_size=size))
        made.append(symmetric(own, spectrum))
    return tuple(made)


# Equations -----------------------------------------------------------------------------------


def _system(matrices: Sequence[np.ndarray], order: int, opaque: bool) -> Problem:
    """∂u/∂t = Σ_a M_a ∂_a^order u, with n scalar fields or with one vector field."""
    dimension, size = len(matrices), len(matrices[0])
    t, *axes = _coordinates(dimension)
    if opaque:
        i, j = Index("i"), Index("j")
        n = sp.Symbol("n", integer=True, positive=True)
        u = VectorField("u", n, (t, *axes))
        coefficients = [Coefficient(f"M{a}", (n, n)) for a in axes]
        terms = [c[i, j] * u[j].diff(a, order) for c, a in zip(coefficients, axes, strict=True)]
        values = {c.name: m for c, m in zip(coefficients, matrices, strict=True)}
        return Problem(PDE(sp.Eq(u[i].diff(t), sp.Add(*terms))), size, values, tuple(matrices))
    made = [sp.Function(f"u{k}")(t, *axes) for k in range(size)]
    equations = [
        sp.Eq(
            f.diff(t),
            sp.Add(
                *(
                    sp.Float(float(m[row, column])) * g.diff(a, order)
                    for m, a in zip(matrices, axes, strict=True)
                    for column, g in enumerate(made)
                )
            ),
            evaluate=False,
        )
        for row, f in enumerate(made)
    ]
    return Problem(PDE(*equations), size, {}, tuple(matrices))


@st.composite
def hyperbolic_systems(
    draw: Draw,
    dimension: int,
    size: int | None = None,
    commuting: bool | None = None,
    opaque: bool | None = None,
) -> Problem:
    """∂u/∂t = Σ_a A_a ∂_a u with symmetric A_a = QΛQᵀ, hence hyperbolic; Σu² is conserved.

    Args:
        draw: hypothesis's.
        dimension: 1, 2 or 3.
        size: the number of components; None draws 1 to 4.
        commuting: whether the A_a share their Q; None draws it.
        opaque: one vector field with tensors in `values`, or scalar fields; None draws it.
    """
    size = draw(st.integers(1, 4)) if size is None else size
    commuting = draw(st.booleans()) if commuting is None else commuting
    opaque = draw(st.booleans()) if opaque is None else opaque
    return _system(draw(symmetric_matrices(dimension, size, commuting, non_zero())), 1, opaque)


@st.composite
def parabolic_systems(
    draw: Draw, dimension: int, size: int | None = None, opaque: bool | None = None
) -> Problem:
    """∂u/∂t = Σ_a K_a ∂_a² u with symmetric positive definite K_a; Σu² does not grow."""
    size = draw(st.integers(1, 4)) if size is None else size
    opaque = draw(st.booleans()) if opaque is None else opaque
    return _system(draw(symmetric_matrices(dimension, size, False, positive())), 2, opaque)


@st.composite
def anisotropic_diffusion(draw: Draw, dimension: int) -> Problem:
    """∂u/∂t = Σ_ab M_ab ∂_a ∂_b u for a scalar, M positive definite: mixed derivatives."""
    (matrix,) = draw(symmetric_matrices(1, dimension, True, positive()))
    t, *axes = _coordinates(dimension)
    u = sp.Function("u")(t, *axes)
    pairs = itertools.product(range(dimension), repeat=2)
    terms = (sp.Float(float(matrix[p, q])) * u.diff(axes[p], axes[q]) for p, q in pairs)
    return Problem(PDE(sp.Eq(u.diff(t), sp.Add(*terms))), 1)


def _ripple(draw: Draw, grid: Grid, axes: Sequence[sp.Symbol], size: sp.Expr) -> sp.Expr:
    """A wave of the box along one of the axes, of the given size and of period 1 box."""
    axis = draw(st.integers(0, len(axes) - 1))
    low, high = (sp.Rational(str(end[axis])) for end in (grid.low, grid.high))
    return size * sp.sin(2 * sp.pi * (axes[axis] - low) / (high - low))


@st.composite
def advection_diffusion(draw: Draw, grid: Grid, divergence: bool | None = None) -> Problem:
    """A scalar carried and diffused with coefficients that vary, periodic over the grid's box.

    Advective form Σ_a (−c_a ∂_a u + ν_a ∂_a² u), or divergence form ∂_a(ν_a ∂_a u − c_a u). The
    diffusivities lie between ν/2 and 3ν/2 with ν ≥ 1/16.
    """
    divergence = draw(st.booleans()) if divergence is None else divergence
    t, *axes = _coordinates(grid.dimension)
    u = sp.Function("u")(t, *axes)
    right = sp.S.Zero
    for a in axes:
        speed = sp.Rational(str(draw(numbers())))
        speed += _ripple(draw, grid, axes, sp.Rational(str(draw(numbers(4)))))
        mean = sp.Rational(str(draw(positive(8, 16))))
        swing = sp.Rational(str(draw(numbers(4, 8))))
        viscosity = mean * (1 + _ripple(draw, grid, axes, swing))
        if divergence:
            right += D(viscosity * u.diff(a), a) - D(speed * u, a)
        else:
            right += viscosity * u.diff(a, 2) - speed * u.diff(a)
    return Problem(PDE(sp.Eq(u.diff(t), right)), 1)


@st.composite
def quasi_linear_systems(
    draw: Draw, dimension: int, name: str | None = None, size: int | None = None
) -> Problem:
    """One of Eqs. (2)–(7) with drawn tensors, and an amplitude that keeps speeds below 1.

    Args:
        draw: hypothesis's.
        dimension: 1, 2 or 3; Eqs. (2) and (3) are drawn in one and two dimensions.
        name: the equation's name in the catalogue; None draws it.
        size: the number of components; None draws 1 to 3.
    """
    possible = QUASI_LINEAR if dimension < 3 else QUASI_LINEAR[2:]
    name = draw(st.sampled_from(possible)) if name is None else name
    size = draw(st.integers(1, 3)) if size is None else size
    pde = catalogue.build(name, dimension=dimension)
    n = sp.Symbol("n", integer=True, positive=True)
    values = {}
    for parameter in pde.parameters:
        if parameter.kind == "tensor":
            shape = tuple(int(s.subs(n, size)) for s in parameter.shape)
            entries = draw(
                st.lists(numbers(4), min_size=int(np.prod(shape)), max_size=int(np.prod(shape)))
            )
            values[parameter.name] = np.reshape(entries, shape)
    # Each speed is a sum of at most 2·(3n)·n·n products of entries up to 1 with one component.
    return Problem(pde, size, values, (), amplitude=1 / (6 * size**3))


# Grids, boundaries and states ----------------------------------------------------------------


@st.composite
def grids(draw: Draw, dimension: int, min_points: int = 6, max_points: int = 11) -> Grid:
    """Boxes with unequal sides and spacings, odd and even numbers of points."""
    intervals = {}
    for axis in SPACE[:dimension]:
        low = draw(numbers(8, 2))
        length = draw(positive(8, 2))
        intervals[axis] = (low, low + length, draw(st.integers(min_points, max_points)))
    return Grid(**intervals)


@st.composite
def conditions(draw: Draw, kind: type) -> Any:
    """Conditions of one kind with drawn numbers; Robin lets nothing in: a ≥ 0, b > 0."""
    if kind in (Dirichlet, Neumann):
        return kind(draw(numbers()))
    if kind is Robin:
        return Robin(draw(positive()), draw(positive()), draw(numbers()))
    return kind()


@st.composite
def boundaries(
    draw: Draw, dimension: int, kinds: Sequence[type] = (Periodic, *NON_PERIODIC)
) -> Boundary:
    """Boundaries whose sides have conditions of the given kinds; low and high may differ."""
    walls = [kind for kind in kinds if kind is not Periodic]
    axes: dict[str, Any] = {}
    for axis in SPACE[:dimension]:
        if Periodic in kinds and (not walls or draw(st.booleans())):
            axes[axis] = Periodic()
        else:
            ends = (draw(st.sampled_from(walls)) for _ in range(2))
            axes[axis] = tuple(draw(conditions(kind)) for kind in ends)
    return Boundary(**axes)


def periodic(dimension: int) -> Boundary:
    """The boundary that is periodic along every axis."""
    return Boundary(**dict.fromkeys(SPACE[:dimension], Periodic()))


@dataclass(frozen=True)
class Waves:
    """A smooth periodic state: for each component a mean and a few waves of the box.

    Attributes:
        means: one number a component.
        waves: for each component, triples (waves along each axis, amplitude, phase in eighths of a
            turn), in coordinate order.
    """

    means: tuple[float, ...]
    waves: tuple[tuple[tuple[tuple[int, ...], float, int], ...], ...]

    def on(self, shape: Sequence[int]) -> np.ndarray:
        """Return the state at the nodes of a periodic grid, shape (component, *shape)."""
        made = np.empty((len(self.means), *shape))
        # Coordinate order (x, y, z) is the reverse of array order.
        turns = [np.arange(points) / points for points in shape]
        mesh = np.meshgrid(*turns, indexing="ij")[::-1]
        for k, (mean, waves) in enumerate(zip(self.means, self.waves, strict=True)):
            made[k] = mean
            for numbers_, amplitude, phase in waves:
                turn = sum(n * m for n, m in zip(numbers_, mesh, strict=True)) + phase / 8
                made[k] += amplitude * np.cos(2 * np.pi * turn)
        return made

    def expressions(self, grid: Grid) -> list[sp.Expr]:
        """Return the same state as expressions in the coordinates of a periodic grid."""
        axes = _coordinates(grid.dimension)[1:]
        ends = [
            (sp.Rational(str(a)), sp.Rational(str(b)))
            for a, b in zip(grid.low, grid.high, strict=True)
        ]
        made = []
        for mean, waves in zip(self.means, self.waves, strict=True):
            total = sp.Float(mean)
            for numbers_, amplitude, phase in waves:
                turn = sp.Rational(phase, 8)
                for number, axis, (low, high) in zip(numbers_, axes, ends, strict=True):
                    turn += number * (axis - low) / (high - low)
                total += sp.Float(amplitude) * sp.cos(2 * sp.pi * turn)
            made.append(total)
        return made


@st.composite
def states(
    draw: Draw, dimension: int, components: int, amplitude: float = 1.0, largest: int = 2
) -> Waves:
    """Smooth states: sums of up to three waves with at most `largest` periods along each axis.

    Args:
        draw: hypothesis's.
        dimension: of the grid.
        components: how many components.
        amplitude: no value exceeds it.
        largest: with points > 2·largest along each axis, no wave is as short as two spacings.
    """
    number = st.integers(-largest, largest)
    wave = st.tuples(
        st.tuples(*[number] * dimension),
        numbers(4).map(lambda a: a * amplitude / 4),
        st.integers(0, 7),
    )
    means = [draw(numbers(4)) * amplitude / 4 for _ in range(components)]
    waves = [tuple(draw(st.lists(wave, min_size=1, max_size=3))) for _ in range(components)]
    return Waves(tuple(means), tuple(waves))
