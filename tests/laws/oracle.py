"""An independent truth for the simulator: loops over nodes and indices, straight from the equation.

Nothing here asks pdenet's canonical form, Scheme or Program. The equation is the user's SymPy
expression, walked node by node; stencils, ghost nodes and steppers are the textbooks', written out
by hand. Slow, hence for grids of a few nodes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any  # values of parameters, conditions of a side

import numpy as np
import sympy as sp
from sympy.core.function import AppliedUndef

from pdenet.discrete.boundary import (
    Boundary,
    Dirichlet,
    Free,
    Neumann,
    Robin,
    ZeroPadding,
)
from pdenet.discrete.grid import Grid
from pdenet.equation.pde import PDE
from pdenet.equation.symbols import Component, D, Entry

# Central differences on unit spacing, by (order, accuracy): Fornberg (1988), table 1.
CENTRAL: Mapping[tuple[int, int], Mapping[int, float]] = {
    (1, 2): {-1: -1 / 2, 1: 1 / 2},
    (2, 2): {-1: 1, 0: -2, 1: 1},
    (3, 2): {-2: -1 / 2, -1: 1, 1: -1, 2: 1 / 2},
    (4, 2): {-2: 1, -1: -4, 0: 6, 1: -4, 2: 1},
    (1, 4): {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12},
    (2, 4): {-2: -1 / 12, -1: 4 / 3, 0: -5 / 2, 1: 4 / 3, 2: -1 / 12},
    (3, 4): {-3: 1 / 8, -2: -1, -1: 13 / 8, 1: -13 / 8, 2: 1, 3: -1 / 8},
    (4, 4): {-3: -1 / 6, -2: 2, -1: -13 / 2, 0: 28 / 3, 1: -13 / 2, 2: 2, 3: -1 / 6},
    (1, 6): {-3: -1 / 60, -2: 3 / 20, -1: -3 / 4, 1: 3 / 4, 2: -3 / 20, 3: 1 / 60},
    (2, 6): {-3: 1 / 90, -2: -3 / 20, -1: 3 / 2, 0: -49 / 18, 1: 3 / 2, 2: -3 / 20, 3: 1 / 90},
}

Node = tuple[int, ...]


@dataclass
class Oracle:
    """An equation on a grid, evaluated by loops.

    Attributes:
        pde: the equation, each of whose left sides is one time derivative.
        grid: a small grid.
        boundary: the boundary conditions.
        values: numbers, arrays over the grid (array order) or tensors.
        components: the names of the state's components.
        accuracy: 2, 4 or 6.
    """

    pde: PDE
    grid: Grid
    boundary: Boundary
    values: Mapping[str, Any]
    components: Sequence[str]
    accuracy: int = 2
    _state: np.ndarray = field(init=False, repr=False)
    _time: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self.axes = self.grid.axes
        self.periodic = [self.boundary.is_periodic(a) for a in self.axes]
        self.h = []
        self.nodes = []
        for low, high, points, wraps in zip(
            self.grid.low, self.grid.high, self.grid.points, self.periodic, strict=True
        ):
            h = (high - low) / (points if wraps else points - 1)
            self.h.append(h)
            self.nodes.append([low + k * h for k in range(points)])
        self.equations: dict[str, sp.Expr | None] = {}
        for equation in self.pde.equations:
            left, right = equation.args
            assert isinstance(left, sp.Derivative)
            (_, order), name = left.variable_count[0], _name(left.expr)
            if order == 2:
                self.equations[name] = None
                name += "_t"
            self.equations[name] = sp.expand(right)
        # Degree of extrapolation at a free side: one above the highest derivative of the field.
        self.highest: dict[tuple[str, int], int] = {}
        for right in self.equations.values():
            if right is None:
                continue
            for derivative in right.atoms(sp.Derivative):
                for symbol, order in derivative.variable_count:
                    self._note(_name(derivative.expr), str(symbol), int(order))
            for flux in right.atoms(D):
                for derivative in flux.argument.atoms(sp.Derivative):
                    orders = {str(s): int(o) for s, o in derivative.variable_count}
                    along = str(flux.coordinate)
                    self._note(_name(derivative.expr), along, orders.get(along, 0) + 1)

    def _note(self, name: str, axis: str, order: int) -> None:
        if axis in self.axes:
            key = (name, self.axes.index(axis))
            self.highest[key] = max(self.highest.get(key, 1), order)

    # Right sides ---------------------------------------------------------------------------------

    def right_side(self, state: np.ndarray, t: float) -> np.ndarray:
        """Return ∂u/∂t, shape `(component, *space)`."""
        self._state, self._time = state, t
        made = np.zeros_like(state)
        for c, label in enumerate(self.components):
            name, _, rest = label.partition("[")
            free = {"i": int(rest[:-1])} if rest else {}
            right = self.equations[name]
            for node in self._all_nodes():
                if right is None:  # u of a second-order equation: ∂u/∂t = u_t
                    value = self.at(name + "_t", 0, node)
                else:
                    value = self._sum(right, node, free)
                made[(c, *reversed(node))] = value
        return made

    def _all_nodes(self) -> list[Node]:
        return list(itertools.product(*(range(n) for n in self.grid.points)))

    def _sum(self, expr: sp.Expr, node: Node, known: Mapping[str, int]) -> float:
        """Sum the expanded terms, each over the indices that are not known."""
        total = 0.0
        for term, indices in _terms(expr):
            names = [n for n in indices if n not in known]
            for choice in itertools.product(*(range(self._size(term, n)) for n in names)):
                total += self._value(term, node, {**known, **dict(zip(names, choice, strict=True))})
        return total

    def _size(self, term: sp.Expr, index: str) -> int:
        for entry in term.atoms(Entry):
            for place, one in enumerate(entry.indices):
                if str(one) == index:
                    return int(np.shape(self.values[entry.name])[place])
        for component in term.atoms(Component):
            if str(component.index) == index:
                return sum(c.startswith(component.name + "[") for c in self.components)
        raise AssertionError(index)

    def _value(self, expr: sp.Expr, node: Node, known: Mapping[str, int]) -> float:
        """Evaluate at a node, which may be a ghost node."""
        if expr.is_number:
            return float(expr)
        if isinstance(expr, sp.Symbol):
            if expr.name == "t":
                return self._time
            if expr.name in self.axes:
                return self._place(self.axes.index(expr.name), node)
            return float(self.values[expr.name])
        if isinstance(expr, Component):
            return self.at(expr.name, known[str(expr.index)], node)
        if isinstance(expr, Entry):
            tensor = np.asarray(self.values[expr.name])
            place = tuple(known[str(i)] for i in expr.indices)
            return float(tensor[place] if tensor.ndim == len(place) else tensor[place][node[::-1]])
        if isinstance(expr, AppliedUndef):
            name = str(expr.func.__name__)
            if name in self.components:
                return self.at(name, 0, node)
            given = self.values[name]
            if isinstance(given, sp.Expr):
                return self._value(given, node, known)
            used = [self.axes.index(str(a)) for a in expr.args]
            return self._in_array(np.asarray(given), used, node)
        if isinstance(expr, sp.Derivative):
            index = known[str(expr.expr.index)] if isinstance(expr.expr, Component) else 0
            return self._difference(_name(expr.expr), index, _orders(expr, self.axes), node)
        if isinstance(expr, D):
            return self._flux_difference(expr, node, known)
        if isinstance(expr, sp.Add):
            return math.fsum(self._value(a, node, known) for a in expr.args)
        if isinstance(expr, sp.Mul):
            return math.prod(self._value(a, node, known) for a in expr.args)
        if isinstance(expr, sp.Pow):
            base, power = (self._value(a, node, known) for a in expr.args)
            return float(base**power)
        table = {sp.sin: math.sin, sp.cos: math.cos, sp.exp: math.exp, sp.tanh: math.tanh}
        return table[expr.func](self._value(expr.args[0], node, known))

    def _in_array(self, array: np.ndarray, used: Sequence[int], node: Node) -> float:
        """Read an array over the given axes; beyond a wall it goes on linearly."""
        if array.ndim == 0:
            return float(array)
        for axis in used:
            if not 0 <= node[axis] < self.grid.points[axis]:
                return self._beyond(lambda n: self._in_array(array, used, n), axis, node)
        return float(array[tuple(node[a] for a in reversed(used))])

    def _place(self, axis: int, node: Node) -> float:
        k, points = node[axis], self.grid.points[axis]
        if self.periodic[axis]:
            k %= points
        return self.nodes[axis][0] + k * self.h[axis]

    def _difference(self, name: str, index: int, orders: Sequence[int], node: Node) -> float:
        """The product of one central difference along each axis."""
        rows = [CENTRAL[order, self.accuracy] if order else {0: 1.0} for order in orders]
        total = 0.0
        for steps in itertools.product(*rows):
            weight = math.prod(row[s] for row, s in zip(rows, steps, strict=True))
            there = tuple(n + s for n, s in zip(node, steps, strict=True))
            total += weight * self.at(name, index, there)
        return total / math.prod(h**o for h, o in zip(self.h, orders, strict=True))

    # Divergence form -----------------------------------------------------------------------------

    def _flux_difference(self, flux: D, node: Node, known: Mapping[str, int]) -> float:
        """(F(i + ½) − F(i − ½))/h, F = mean of both nodes · difference over the face."""
        axis = self.axes.index(str(flux.coordinate))
        before = tuple(n - (a == axis) for a, n in enumerate(node))
        faces = [self._face(flux.argument, axis, low, known) for low in (before, node)]
        return (faces[1] - faces[0]) / self.h[axis]

    def _face(self, argument: sp.Expr, axis: int, low: Node, known: Mapping[str, int]) -> float:
        high = tuple(n + (a == axis) for a, n in enumerate(low))
        total = 0.0
        for term, indices in _terms(argument):
            names = [n for n in indices if n not in known]
            across: list[sp.Expr] = []
            along: list[sp.Expr] = []
            for factor in sp.Mul.make_args(term):
                is_face = (
                    isinstance(factor, sp.Derivative) and _orders(factor, self.axes)[axis] == 1
                )
                (across if is_face else along).append(factor)
            for choice in itertools.product(*(range(self._size(term, n)) for n in names)):
                env = {**known, **dict(zip(names, choice, strict=True))}
                mean = 0.5 * math.fsum(self._at_nodes(along, axis, n, env) for n in (low, high))
                for factor in across:
                    name = _name(factor.expr)
                    index = env[str(factor.expr.index)] if isinstance(factor.expr, Component) else 0
                    orders = list(_orders(factor, self.axes))
                    orders[axis] = 0
                    ends = (self._plain(name, index, orders, n) for n in (low, high))
                    first, second = ends
                    mean *= (second - first) / self.h[axis]
                total += mean
        return total

    def _plain(self, name: str, index: int, orders: Sequence[int], node: Node) -> float:
        accuracy, self.accuracy = self.accuracy, 2  # divergence form is of second order
        value = self._difference(name, index, orders, node)
        self.accuracy = accuracy
        return value

    def _at_nodes(
        self, factors: Sequence[sp.Expr], axis: int, node: Node, known: Mapping[str, int]
    ) -> float:
        """The product at a node; what holds no field goes on linearly beyond a wall."""
        with_fields = [f for f in factors if self._has_field(f)]
        entries = [f for f in factors if isinstance(f, Entry)]
        rest = [f for f in factors if f not in with_fields and f not in entries]
        # A scalar field that is not differentiated is one with the coefficient it multiplies.
        scalars = [f for f in with_fields if not f.has(sp.Derivative) and not f.has(Component)]
        if scalars:
            made = math.prod(self._value(f, node, known) for f in (*rest, *scalars))
        else:

            def without_fields(n: Node) -> float:
                return math.prod(self._value(f, n, known) for f in rest)

            made = self._beyond(without_fields, axis, node)
        for entry in entries:
            made *= self._beyond(partial(self._value, entry, known=known), axis, node)
        for factor in with_fields:
            if factor not in scalars:
                accuracy, self.accuracy = self.accuracy, 2
                made *= self._value(factor, node, known)
                self.accuracy = accuracy
        return made

    def _has_field(self, factor: sp.Expr) -> bool:
        names = {c.partition("[")[0] for c in self.components}
        return bool(factor.atoms(Component)) or any(
            str(f.func.__name__) in names for f in factor.atoms(AppliedUndef)
        )

    def _beyond(self, function: Callable[[Node], float], axis: int, node: Node) -> float:
        points = self.grid.points[axis]
        k = node[axis]

        def moved(to: int) -> float:
            return function(tuple(to if a == axis else n for a, n in enumerate(node)))

        if self.periodic[axis]:
            return moved(k % points)
        if k < 0:
            return moved(0) + k * (moved(1) - moved(0))
        if k >= points:
            more = k - points + 1
            return moved(points - 1) + more * (moved(points - 1) - moved(points - 2))
        return function(node)

    # Ghost nodes ---------------------------------------------------------------------------------

    def at(self, name: str, index: int, node: Node) -> float:
        """u at a node; beyond a wall, what its condition says. The last axis is undone first."""
        for axis in reversed(range(len(node))):
            points = self.grid.points[axis]
            k = node[axis]
            if 0 <= k < points:
                continue

            def inner(m: int, axis: int = axis) -> float:
                return self.at(
                    name, index, tuple(m if a == axis else n for a, n in enumerate(node))
                )

            if self.periodic[axis]:
                return inner(k % points)
            end = 0 if k < 0 else 1
            outside = -k if end == 0 else k - (points - 1)  # spacings beyond the wall
            wall, towards = (0, 1) if end == 0 else (points - 1, -1)
            mirrored = wall + towards * outside
            condition = self._condition(name, axis, end)
            distance = 2 * outside * self.h[axis]
            if isinstance(condition, ZeroPadding):
                return 0.0
            if isinstance(condition, Free):
                degree = self.highest.get((name, axis), 1) + 1
                values = [inner(wall + towards * m) for m in range(degree + 1)]
                return _newton(values, -outside)
            g = self._given(condition, name, axis, end, node)
            if isinstance(condition, Dirichlet):
                return 2 * g - inner(mirrored)
            if isinstance(condition, Neumann):
                return inner(mirrored) + distance * g
            assert isinstance(condition, Robin)
            if condition.b == 0:
                return 2 * g / condition.a - inner(mirrored)
            slope = (g - condition.a * inner(wall)) / condition.b
            return inner(mirrored) + distance * slope
        component = self._component(name, index)
        return float(self._state[(component, *reversed(node))])

    def _component(self, name: str, index: int) -> int:
        label = name if name in self.components else f"{name}[{index}]"
        return list(self.components).index(label)

    def _condition(self, name: str, axis: int, end: int) -> Any:
        given = self.boundary.sides[self.axes[axis]]
        if isinstance(given, Mapping):
            given = given.get(name, given.get(name.removesuffix("_t")))
        return given[end]

    def _given(
        self, condition: Any, name: str, axis: int, end: int, node: Node, time_derivative: int = 0
    ) -> float:
        """g at a node of the side; beyond an earlier wall it goes on, an array linearly."""
        value = condition.value
        implied = name not in self.boundary.sides[self.axes[axis]]
        is_rate = name.endswith("_t") and (
            implied or not isinstance(self.boundary.sides[self.axes[axis]], Mapping)
        )
        if isinstance(value, sp.Expr):
            if is_rate:
                time_derivative += 1
            time = next((s for s in value.free_symbols if s.name == "t"), sp.Symbol("t"))
            value = sp.diff(value, time, time_derivative)
            table = {}
            for symbol in value.free_symbols:
                if symbol.name == "t":
                    table[symbol] = self._time
                elif symbol.name in self.axes:
                    a = self.axes.index(symbol.name)
                    there = 0 if end == 0 else self.grid.points[axis] - 1
                    table[symbol] = self.nodes[axis][there] if a == axis else self._place(a, node)
                else:
                    table[symbol] = float(self.values[symbol.name])
            return float(value.subs(table))
        if is_rate or time_derivative:
            return 0.0
        if np.ndim(value) == 0:
            return float(value)
        others = [a for a in range(len(node)) if a != axis]

        def on_side(place: Sequence[int], left: Sequence[int]) -> float:
            if not left:
                return float(value[tuple(reversed(place))])
            position = others.index(left[0])

            def here(n: Node) -> float:
                moved = list(place)
                moved[position] = n[left[0]]
                return on_side(moved, left[1:])

            return self._beyond(here, left[0], node)

        return on_side([node[a] for a in others], others)

    def impose(
        self,
        state: np.ndarray,
        t: float,
        names: Sequence[str] | None = None,
        slopes: Sequence[tuple[float, float]] = (),
    ) -> np.ndarray:
        """Return the state with every Dirichlet node set; at corners the mean of all that meet.

        The nodes become g(t) + Σ length · ∂g/∂t(time) over the pairs in `slopes`, which is what a
        Runge–Kutta stage makes of the ordinary equation u' = ∂g/∂t.
        """
        made = state.copy()
        for c, label in enumerate(self.components):
            name = label.partition("[")[0]
            if names is not None and name not in names:
                continue
            for node in self._all_nodes():
                prescribed = []
                for axis in range(len(node)):
                    if self.periodic[axis]:
                        continue
                    for end, wall in enumerate((0, self.grid.points[axis] - 1)):
                        condition = self._condition(name, axis, end)
                        is_robin = isinstance(condition, Robin) and not condition.b
                        if node[axis] != wall or not (isinstance(condition, Dirichlet) or is_robin):
                            continue
                        self._time = t
                        g = self._given(condition, name, axis, end, node)
                        for length, time in slopes:
                            self._time = time
                            g += length * self._given(condition, name, axis, end, node, 1)
                        prescribed.append(g / condition.a if is_robin else g)
                if prescribed:
                    made[(c, *reversed(node))] = sum(prescribed) / len(prescribed)
        self._time = t
        return made

    # Steppers ------------------------------------------------------------------------------------

    def step(self, state: np.ndarray, t: float, dt: float, stepper: str) -> np.ndarray:
        """One step in the form of the textbooks: Shu and Osher's, Kutta's, Störmer and Verlet's."""

        def f(u: np.ndarray, at: float) -> np.ndarray:
            return self.right_side(u, at)

        if stepper == "euler":
            return self.impose(state + dt * f(state, t), t + dt)
        if stepper == "heun":
            first = self.impose(state + dt * f(state, t), t, slopes=[(dt, t)])
            return self.impose((state + first + dt * f(first, t + dt)) / 2, t + dt)
        if stepper == "ssprk3":
            first = self.impose(state + dt * f(state, t), t, slopes=[(dt, t)])
            second = (3 * state + first + dt * f(first, t + dt)) / 4
            second = self.impose(second, t, slopes=[(dt / 4, t), (dt / 4, t + dt)])
            third = (state + 2 * second + 2 * dt * f(second, t + dt / 2)) / 3
            return self.impose(third, t + dt)
        if stepper == "rk4":
            k1 = f(state, t)
            half = t + dt / 2
            k2 = f(self.impose(state + dt / 2 * k1, t, slopes=[(dt / 2, t)]), half)
            k3 = f(self.impose(state + dt / 2 * k2, t, slopes=[(dt / 2, half)]), half)
            k4 = f(self.impose(state + dt * k3, t, slopes=[(dt, half)]), t + dt)
            return self.impose(state + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4), t + dt)
        rates = [c.endswith("_t") for c in self.components]
        names = [c for c in self.components if c.endswith("_t")]
        others = [c for c in self.components if not c.endswith("_t")]

        def kick(u: np.ndarray, x_time: float, length: float, v_time: float) -> np.ndarray:
            made = u.copy()
            made[rates] += length * f(u, x_time)[rates]
            return self.impose(made, v_time, names)

        def drift(u: np.ndarray, v_time: float, length: float, x_time: float) -> np.ndarray:
            made = u.copy()
            still = [not r for r in rates]
            made[still] += length * f(u, v_time)[still]
            return self.impose(made, x_time, others)

        if stepper == "symplectic_euler":
            return drift(kick(state, t, dt, t + dt), t + dt, dt, t + dt)
        assert stepper == "leapfrog"
        kicked = kick(state, t, dt / 2, t + dt / 2)
        return kick(drift(kicked, t + dt / 2, dt, t + dt), t + dt, dt / 2, t + dt)


def _name(expr: sp.Expr) -> str:
    return str(expr.name) if isinstance(expr, Component) else str(expr.func.__name__)


def _orders(derivative: sp.Derivative, axes: Sequence[str]) -> tuple[int, ...]:
    counts = {str(s): int(o) for s, o in derivative.variable_count}
    return tuple(counts.get(a, 0) for a in axes)


@cache
def _terms(expr: sp.Expr) -> tuple[tuple[sp.Expr, tuple[str, ...]], ...]:
    """The expanded terms with their indices; those that stand inside a D only are summed there."""
    terms = sp.Add.make_args(sp.expand(expr))
    return tuple((term, tuple(sorted(map(str, _indices(term))))) for term in terms)


def _indices(term: sp.Expr) -> set[Any]:
    made: set[Any] = set()
    for factor in sp.Mul.make_args(term):
        if not isinstance(factor, D):
            made |= {c.index for c in factor.atoms(Component)}
            for entry in factor.atoms(Entry):
                made |= set(entry.indices)
    return made


def _newton(values: Sequence[float], place: int) -> float:
    """The polynomial through the values at 0, 1, … by Newton's forward differences."""
    differences = list(values)
    total, binomial = 0.0, 1.0
    for m in range(len(values)):
        total += binomial * differences[0]
        differences = list(np.diff(differences))
        binomial *= (place - m) / (m + 1)
    return total
