"""The stencils there are: central, one-sided, upwind, staggered, mixed ones and the Laplacians."""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache

from pdenet.checks import is_integer
from pdenet.discrete.shifts import Offset
from pdenet.discrete.stencil import Stencil, apply
from pdenet.equation.canonical import MAX_ORDER
from pdenet.errors import StencilError

__all__ = [
    "MAX_ACCURACY",
    "MAX_ORDER",
    "Stencil",
    "apply",
    "central",
    "compact_mixed",
    "for_derivative",
    "identity",
    "laplacian5",
    "laplacian9",
    "mixed",
    "neighbour_mean",
    "one_sided",
    "staggered",
    "upwind",
]

#: Above this there are no stencils; wider ones meet more of the boundary than of the equation.
MAX_ACCURACY = 6


def identity(dimension: int = 1) -> Stencil:
    """The value at the node itself."""
    dimension = _dimension(dimension)
    return _stencil((0,) * dimension, {(0,) * dimension: Fraction(1)}, MAX_ACCURACY)


def central(order: int, accuracy: int = 2, axis: int = 0, dimension: int = 1) -> Stencil:
    """The symmetric difference for ∂^order along one axis, with the fewest nodes.

    Args:
        order: 0 … 4.
        accuracy: 2, 4 or 6.
        axis: The axis in coordinate order, 0 for x.
        dimension: How many axes there are.

    Raises:
        StencilError: A number is out of range, or not an integer.
    """
    _check(order, accuracy, (2, 4, 6))
    # Symmetry gives one order of accuracy for nothing, so (order + accuracy − 1) rounded up to
    # an odd number of nodes suffices.
    radius = (order + 1) // 2 - 1 + accuracy // 2 if order else 0
    return _along(order, accuracy, range(-radius, radius + 1), Fraction(0), axis, dimension)


def one_sided(
    order: int, accuracy: int = 2, side: int = 1, axis: int = 0, dimension: int = 1
) -> Stencil:
    """The difference for ∂^order from the node and its neighbours on one side only.

    Args:
        order: 0 … 4.
        accuracy: 1 … 6.
        side: +1 for the offsets 0, 1, 2, …; −1 for 0, −1, −2, ….
        axis: The axis in coordinate order, 0 for x.
        dimension: How many axes there are.

    Raises:
        StencilError: A number is out of range, or not an integer.
    """
    _check(order, accuracy, range(1, MAX_ACCURACY + 1), side)
    num_nodes = order + accuracy if order else 1
    offsets = [side * k for k in range(num_nodes)]
    return _along(order, accuracy, offsets, Fraction(0), axis, dimension)


def upwind(
    order: int = 1, accuracy: int = 1, side: int = -1, axis: int = 0, dimension: int = 1
) -> Stencil:
    """The least one-sided difference that is not symmetric, leaning to where the wind comes from.

    One or two more nodes stand on that side than on the other. For order 1 these damp every wave
    of u_t = a u_x, which differences with three more nodes on one side do not (Iserles 1982,
    "Order stars and a saturation theorem for first-order hyperbolics"). For accuracy 1 and 2
    they are one-sided.

    Args:
        order: 0 … 4.
        accuracy: 1 … 6.
        side: −1 where the wind blows to the right (u_t = −c u_x with c > 0), else +1.
        axis: The axis in coordinate order, 0 for x.
        dimension: How many axes there are.

    Raises:
        StencilError: A number is out of range, or not an integer.
    """
    _check(order, accuracy, range(1, MAX_ACCURACY + 1), side)
    num_nodes = order + accuracy if order else 1
    downwind = max(num_nodes - 2, 0) // 2
    offsets = [side * k for k in range(-downwind, num_nodes - downwind)]
    return _along(order, accuracy, offsets, Fraction(0), axis, dimension)


def staggered(
    order: int, accuracy: int = 2, side: int = 1, axis: int = 0, dimension: int = 1
) -> Stencil:
    """The symmetric difference for ∂^order at a face, half a step beside the node.

    Order 1 is (u[i + 1] − u[i])/h at the face i + ½, order 0 the average of both.

    Args:
        order: 0 … 4.
        accuracy: 2, 4 or 6.
        side: +1 for the face i + ½, −1 for the face i − ½.
        axis: The axis in coordinate order, 0 for x.
        dimension: How many axes there are.

    Raises:
        StencilError: A number is out of range, or not an integer.
    """
    _check(order, accuracy, (2, 4, 6), side)
    half_width = (order // 2 * 2 + accuracy) // 2
    first = 1 - half_width if side == 1 else -half_width
    offsets = range(first, first + 2 * half_width)
    return _along(order, accuracy, offsets, Fraction(side, 2), axis, dimension)


def mixed(derivative: Sequence[int], accuracy: int = 2) -> Stencil:
    """∂^derivative as the product of central differences, one for each axis.

    Args:
        derivative: How often to differentiate along each axis, 0 … 4.
        accuracy: 2, 4 or 6.

    Raises:
        StencilError: A number is out of range, or not an integer.
    """
    dimension = _dimension(len(derivative))
    _check(0, accuracy, (2, 4, 6))
    result = identity(dimension)
    for axis, order in enumerate(derivative):
        if order:
            result = result @ central(order, accuracy, axis, dimension)
    return result


def for_derivative(derivative: Sequence[int], accuracy: int = 2) -> Stencil:
    """The symmetric stencil that a scheme of that accuracy uses for ∂^derivative.

    Example:
        >>> for_derivative((2, 0)) == central(2, axis=0, dimension=2)
        True
    """
    return mixed(derivative, accuracy)


def compact_mixed(
    kind: str = "cross", axes: tuple[int, int] = (0, 1), dimension: int = 2
) -> Stencil:
    """∂²/∂x∂y on 3×3 nodes with second order.

    Args:
        kind: "cross" takes the four corners, as `mixed` does; "diagonal" seven nodes without the
            corners (1, −1) and (−1, 1), for a positive coefficient; "antidiagonal" its mirror
            image, for a negative one. With central second differences beside it, the chosen one
            keeps all neighbours' weights of a diagonally dominant diffusion non-negative.
        axes: The two axes in coordinate order.
        dimension: How many axes there are.

    Raises:
        StencilError: The kind is unknown, or the axes are not two different ones.
    """
    dimension = _dimension(dimension)
    kinds: dict[str, dict[tuple[int, int], Fraction]] = {
        "cross": {(a, b): Fraction(a * b, 4) for a in (1, -1) for b in (1, -1)}
    }
    half = Fraction(1, 2)
    for name, sign in (("diagonal", 1), ("antidiagonal", -1)):
        kinds[name] = {(a, sign * a): sign * half for a in (1, -1)}
        kinds[name] |= dict.fromkeys(((1, 0), (-1, 0), (0, 1), (0, -1)), -sign * half)
        kinds[name][0, 0] = Fraction(sign)
    if kind not in kinds:
        raise StencilError(
            f"expected kind to be one of {', '.join(kinds)}; got {kind!r}; choose one of these"
        )
    first, second = (_axis(axis, dimension) for axis in axes)
    if first == second:
        raise StencilError(
            f"expected two different axes, got axes = {axes}; use central(2) for ∂²/∂x²"
        )
    weights: dict[Offset, Fraction] = {}
    for (a, b), weight in kinds[kind].items():
        offset = [0] * dimension
        offset[first], offset[second] = a, b
        weights[tuple(offset)] = weight
    derivative = tuple(int(axis in (first, second)) for axis in range(dimension))
    return _stencil(derivative, weights, 2)


def laplacian5(dimension: int = 2) -> Stencil:
    """Δ from the node and its 2d neighbours (five nodes in 2-D), second order, equal spacings."""
    dimension = _dimension(dimension)
    weights: dict[Offset, Fraction] = {(0,) * dimension: Fraction(-2 * dimension)}
    weights |= dict.fromkeys(_neighbours(dimension), Fraction(1))
    derivative = (2,) + (0,) * (dimension - 1)
    return _stencil(derivative, weights, 2, equal_spacing=dimension > 1)


def laplacian9() -> Stencil:
    """Δ in 2-D from nine nodes, [[1, 4, 1], [4, −20, 4], [1, 4, 1]]/6, equal spacings.

    Its error h²/12 Δ²u + O(h⁴) is isotropic, so forward Euler with D dt/h² = 1/6, whose own
    error is −dt/2 D² Δ²u, cancels it and solves the heat equation with order 4.
    """
    sizes = {0: Fraction(-20, 6), 1: Fraction(4, 6), 2: Fraction(1, 6)}
    steps = (-1, 0, 1)
    weights: dict[Offset, Fraction] = {(a, b): sizes[abs(a) + abs(b)] for a in steps for b in steps}
    return _stencil((2, 0), weights, 2, equal_spacing=True)


def neighbour_mean(dimension: int = 1) -> Stencil:
    """The mean of the 2d neighbours, second order; Lax–Friedrichs puts it in place of u."""
    dimension = _dimension(dimension)
    weight = Fraction(1, 2 * dimension)
    return _stencil((0,) * dimension, dict.fromkeys(_neighbours(dimension), weight), 2)


def _stencil(
    derivative: tuple[int, ...],
    weights: Mapping[Offset, Fraction],
    accuracy: int,
    equal_spacing: bool = False,
) -> Stencil:
    """Sort the offsets and leave out those of weight 0."""
    offsets = tuple(sorted(offset for offset, weight in weights.items() if weight))
    return Stencil(derivative, offsets, tuple(weights[o] for o in offsets), accuracy, equal_spacing)


def _along(
    order: int,
    accuracy: int,
    steps: Sequence[int],
    centre: Fraction,
    axis: int,
    dimension: int,
) -> Stencil:
    """The difference for ∂^order at `centre` from the nodes at `steps` along one axis."""
    dimension = _dimension(dimension)
    axis = _axis(axis, dimension)
    weights = _difference_weights(tuple(steps), centre, order)
    offsets = [(0,) * axis + (k,) + (0,) * (dimension - 1 - axis) for k in steps]
    derivative = tuple(int(order) if a == axis else 0 for a in range(dimension))
    return _stencil(derivative, dict(zip(offsets, weights, strict=True)), accuracy)


@cache
def _difference_weights(
    steps: tuple[int, ...], centre: Fraction, order: int
) -> tuple[Fraction, ...]:
    """The derivatives at `centre` of Lagrange's polynomials, exact on polynomials of degree < n.

    With x measured from the centre, ℓ_k(x) = Π_{j≠k} (x − x_j)/(x_k − x_j) has the derivative
    order! · (its coefficient of x^order) at 0.
    """
    nodes = [step - centre for step in steps]
    weights = []
    for k, node in enumerate(nodes):
        polynomial = [Fraction(1)]  # the constant first
        for j, other in enumerate(nodes):
            if j != k:
                shifted = [Fraction(0), *polynomial]
                scaled = [other * c for c in polynomial] + [Fraction(0)]
                gap = node - other
                polynomial = [(a - b) / gap for a, b in zip(shifted, scaled, strict=True)]
        weights.append(math.factorial(order) * polynomial[order])
    return tuple(weights)


def _neighbours(dimension: int) -> list[Offset]:
    return [
        tuple(sign if a == axis else 0 for a in range(dimension))
        for axis in range(dimension)
        for sign in (-1, 1)
    ]


def _check(order: int, accuracy: int, accuracies: Sequence[int], side: int = 1) -> None:
    """Refuse orders, accuracies and sides for which there is no stencil."""
    if not is_integer(order) or not 0 <= order <= MAX_ORDER:
        raise StencilError(
            f"expected a derivative of order 0 … {MAX_ORDER} along each axis, got order = "
            f"{order!r}; write higher derivatives as a system, with a field for the lower one"
        )
    if not is_integer(accuracy) or accuracy not in accuracies:
        raise StencilError(
            f"expected an accuracy among {', '.join(map(str, accuracies))}, got accuracy = "
            f"{accuracy!r}; choose one of these"
        )
    if not is_integer(side) or side not in (-1, 1):
        raise StencilError(
            f"expected side = +1 or −1, got side = {side!r}; "
            "+1 is the direction in which the coordinate grows"
        )


def _dimension(dimension: int) -> int:
    if not is_integer(dimension) or not 1 <= dimension <= 3:
        raise StencilError(
            f"expected 1, 2 or 3 dimensions, got {dimension!r}; give one entry for each axis"
        )
    return int(dimension)


def _axis(axis: int, dimension: int) -> int:
    if not is_integer(axis) or not 0 <= axis < dimension:
        raise StencilError(
            f"expected an axis from 0 to {dimension - 1}, got axis = {axis!r}; "
            "0 is x, 1 is y, 2 is z; for more axes give dimension="
        )
    return int(axis)
