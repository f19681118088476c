"""Von Neumann's bound with coefficients frozen: exact where they are constant.

At each node the scheme with the coefficients of that node is taken as if it held everywhere. The
bound is the least over all nodes and all wave numbers. Not every node is tried with every wave:
the worst wave of a few extreme nodes is tried at all nodes, the worst node joins the few, and so on
until none is worse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pdenet.discrete.amplification import largest_step
from pdenet.discrete.scheme import Scheme
from pdenet.discrete.spectrum import (
    Group,
    continuous_symbols,
    directions,
    eigenvalues,
    half_torus,
    lowest,
    symbols,
)
from pdenet.discrete.steppers import Splitting
from pdenet.equation.values import Values
from pdenet.errors import IllPosedError

# Real parts below this fraction of the largest eigenvalue are rounding; for matrices without all
# eigenvectors it is the square root of eps and more.
_ROUNDING = {True: 1e-13, False: 1e-6}

_ROUNDS = 12

# Sorting out equal nodes pays up to here.
_FEW = 10_000


class Frozen:
    """The frozen scheme at some nodes.

    Args:
        scheme: the scheme.
        values: the sizes of vector fields.
        groups: the groups of terms.
        coefficients: C_g at the nodes, shape (node, group, component, component).
    """

    def __init__(
        self,
        scheme: Scheme,
        values: Values,
        groups: Sequence[Group],
        coefficients: np.ndarray,
    ) -> None:
        self.scheme = scheme
        self.spacing = scheme.domain.spacing
        self.steady = [k for k, g in enumerate(groups) if not g.is_per_step]
        self.groups = [groups[k] for k in self.steady]
        self.mean = [groups[k] for k in range(len(groups)) if k not in self.steady]
        nodes = coefficients[:, self.steady]
        self.every_node = nodes
        self.place = np.arange(len(nodes))
        if 1 < len(nodes) <= _FEW:
            flat = nodes.reshape(len(nodes), -1)
            self.place = np.sort(np.unique(flat, axis=0, return_index=True)[1])
        self.nodes = nodes[self.place]
        self.size = nodes.shape[-1]
        self.samples = half_torus(scheme.domain.dimension, coarse=self.size > 4)
        is_splitting = isinstance(scheme.stepper, Splitting)
        self.largest = 0.0  # |λ| met so far
        self.pairs = position_pairs(scheme, values) if is_splitting else None

    def extremes(self) -> list[int]:
        """Return the nodes that are extreme in some directions of coefficient space."""
        return extreme_rows(self.nodes)

    def at_walls(self) -> np.ndarray:
        """Return the extreme coefficients at nodes on walls, shape (node, group, n, n)."""
        nodes = self.every_node
        if len(nodes) == 1:
            return nodes
        shape = self.scheme.domain.shape
        on_wall = np.zeros(shape, dtype=bool)
        for axis, periodic in enumerate(self.scheme.domain.wraps):
            if not periodic:
                ends = np.moveaxis(on_wall, len(shape) - 1 - axis, 0)
                ends[0] = ends[-1] = True
        nodes = np.unique(nodes[on_wall.ravel()], axis=0)
        return nodes[extreme_rows(nodes)]

    def spectrum(self, nodes: np.ndarray, made: np.ndarray) -> np.ndarray:
        """Return λ for coefficients (node, group, n, n) and symbols (group, wave).

        Returns:
            Shape (node, wave, eigenvalue). For a splitting stepper, the roots of those of F in
            u_tt = F(u).
        """
        if self.size == 1:
            return np.einsum("ng,gw->nw", nodes[:, :, 0, 0], made)[..., np.newaxis]
        if self.pairs is not None:
            first, rates = self.pairs
            block = nodes[:, :, rates][:, :, :, first]
            squares = eigenvalues(np.einsum("ngij,gw->nwij", block, made))
            return np.sqrt(squares.astype(np.complex128))
        return eigenvalues(np.einsum("ngij,gw->nwij", nodes, made))

    def over_nodes(
        self, function: Callable[[np.ndarray, np.ndarray], np.ndarray], samples: np.ndarray
    ) -> tuple[float, np.ndarray, int]:
        """Minimise over waves and nodes.

        Args:
            function: of coefficients (node, group, n, n) and waves (axis, wave); a value
                (node, wave).
            samples: the waves to begin with.

        Returns:
            The least value, the wave and the node.
        """
        chosen = self.extremes()
        best, wave, node = np.inf, samples[:, 0], chosen[0]
        for _ in range(_ROUNDS):
            some = self.nodes[chosen]
            value, point = lowest(_over(function, some), samples)
            at_all = function(self.nodes, point[:, np.newaxis])[:, 0]
            worst = int(at_all.argmin())
            if min(value, at_all[worst]) < best:
                best, wave, node = float(min(value, at_all[worst])), point, worst
            if worst in chosen or not np.isfinite(best):
                break
            chosen.append(worst)
        return best, wave, node

    def own_growth(self) -> float:
        """Return ω₊, the largest growth rate of the equation itself, at least 0.

        Raises:
            IllPosedError: short waves grow without bound.
        """
        rays = directions(self.scheme.domain.dimension) / np.array(self.spacing)[:, np.newaxis]
        waves = {j: rays * 2.0**j for j in range(-24, 13)}
        exact = self.size == 1
        rounding = _ROUNDING[exact]

        def rate(nodes: np.ndarray, points: np.ndarray) -> np.ndarray:
            lam = self.spectrum(nodes, continuous_symbols(self.groups, points))
            real = np.abs(lam.real) if self.pairs is not None else lam.real
            noise = rounding * np.abs(lam).max(axis=-1, keepdims=True)
            return np.where(real > noise, real, 0.0).max(axis=-1)

        extremes = self.nodes[self.extremes()]

        def largest(j: int) -> float:
            return float(rate(extremes, rays * 2.0**j).max())

        far = [largest(j) for j in (4, 10, 16, 22)]
        grows = far[3] > 1.2 * far[2] > 1.2**2 * far[1] > 0
        if grows and far[1] > 1.2 * far[0]:
            name = ", ".join(self.scheme.system.field_names)
            raise IllPosedError(
                "an equation whose growth rate is bounded was expected; the short waves of the "
                f"equation of {name} grow without bound: at the wave length "
                f"{2 * np.pi / (2.0**10 / min(self.spacing)):.3g} the rate is {far[1]:.3g}, and "
                "ever larger below; change the sign of the term of highest order, or run time "
                "the other way"
            )
        zero = np.zeros((rays.shape[0], 1))
        samples = np.concatenate([zero, *waves.values()], axis=1)
        best, _, _ = self.over_nodes(lambda n, w: -rate(n, w), samples)
        return max(0.0, -best)

    def discrete_growth(self) -> float:
        """Return the largest real part over all waves that the grid carries."""

        def rate(nodes: np.ndarray, points: np.ndarray) -> np.ndarray:
            lam = self.spectrum(nodes, symbols(self.groups, points, self.spacing))
            real = np.abs(lam.real) if self.pairs is not None else lam.real
            noise = _ROUNDING[self.size == 1] * np.abs(lam).max(axis=-1, keepdims=True)
            return -np.where(real > noise, real, 0.0).max(axis=-1)

        return max(0.0, -self.over_nodes(rate, self.samples)[0])

    def step(self, growth: float) -> tuple[float, np.ndarray, int]:
        """Return the largest stable dt with its wave and node; `growth` is allowed."""
        stepper = self.scheme.stepper
        self.largest = 0.0

        def limit(nodes: np.ndarray, points: np.ndarray) -> np.ndarray:
            lam = self.spectrum(nodes, symbols(self.groups, points, self.spacing))
            self.largest = max(self.largest, float(np.abs(lam).max()))
            if self.size > 1:
                noise = 1e-12 * np.abs(lam).max(axis=-1, keepdims=True)
                lam = np.where(np.abs(lam.real) > noise, lam, 1j * lam.imag)
            if not self.mean:
                return largest_step(lam, growth, stepper).min(axis=-1)
            change = symbols(self.mean, points, self.spacing)[0].real
            return averaged_step(lam - growth, change[:, np.newaxis]).min(axis=-1)

        return self.over_nodes(limit, self.samples)


def _over(
    function: Callable[[np.ndarray, np.ndarray], np.ndarray], nodes: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    return lambda waves: function(nodes, waves).min(axis=0)


def extreme_rows(nodes: np.ndarray) -> list[int]:
    """Return rows that are extreme along the axes and in 16 more directions, shape (row, ...)."""
    if len(nodes) <= 4:
        return list(range(len(nodes)))
    flat = nodes.reshape(len(nodes), -1)
    scale = np.abs(flat).max(axis=0)
    flat = flat[:, scale > 0] / scale[scale > 0]
    width = min(flat.shape[1], 32)
    rng = np.random.default_rng(0)
    axes = np.eye(flat.shape[1])[:width]
    rays = np.concatenate([axes, -axes, rng.normal(size=(16, flat.shape[1]))])
    return sorted({int((flat @ ray).argmax()) for ray in rays})


def averaged_step(lam: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Return the largest dt with |1 + z₀ + dt λ| ≤ 1, z₀ = `change` (Lax–Friedrichs).

    The square is (1 + z₀)² + 2 dt (1 + z₀) Re λ + dt² |λ|².
    """
    constant = change * (2 + change)
    linear = 2 * (1 + change) * lam.real
    square = np.abs(lam) ** 2
    idle = np.abs(lam) <= 1e-9 * np.abs(lam).max(initial=0.0)
    square = np.where(idle, 1.0, square)
    root = np.sqrt(np.maximum(linear**2 - 4 * square * constant, 0.0))
    # Of the two forms of the root the one without cancellation.
    above = np.where(linear > 0, linear + root, 1.0)
    made = np.where(linear > 0, -2 * constant / above, (root - linear) / (2 * square))
    return np.where(idle, np.inf, made)


def position_pairs(scheme: Scheme, values: Values) -> tuple[list[int], list[int]] | None:
    """Return where the positions and their rates stand in u_tt = F(t, u); None for others."""
    system = scheme.system
    if not system.is_splittable:
        return None
    places = {name: range(s.start, s.stop) for name, s in values.slices.items()}
    positions = [k for name in system.rates for k in places[name]]
    return positions, [k for name in system.rates.values() for k in places[name]]
