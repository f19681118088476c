"""In which order a stencil's terms are added, and the one function that adds them.

Rounding depends on the order of a sum. Here nodes opposite to each other are added first, then
pairs that a mirror exchanges, then those that a swap of axes exchanges: (E + W) + (N + S). So
mirrored and rotated problems give bitwise mirrored and rotated results.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias, TypeVar

#: Steps along the axes from the node at which the stencil is applied, in coordinate order.
Offset: TypeAlias = tuple[int, ...]

Array = TypeVar("Array")


@dataclass(frozen=True)
class Sum:
    """left + right, or left − right when `sign` is −1."""

    left: "Tree"
    right: "Tree"
    sign: int


#: What to add, as a binary tree whose leaves are offsets.
Tree: TypeAlias = Offset | Sum


@dataclass(frozen=True)
class Plan:
    """value = (Σ over groups, in order, of weight · tree) / denominator · scale.

    The weights are integers: products with small integers round less than those with 1/12 or
    4/3, and a weight of ±1 costs no product.

    Attributes:
        denominator: The least common denominator of the stencil's weights.
        groups: (weight, tree), one for each distance from the centre and size of weight.
    """

    denominator: int
    groups: tuple[tuple[int, Tree], ...]


def summation_plan(offsets: Sequence[Offset], weights: Sequence[Fraction]) -> Plan:
    """Put the terms of a stencil into an order that mirrors and swaps of axes leave alone.

    Terms with the same distances |offset|, in any order of the axes, and the same size of weight
    form a group: images of each other under the symmetries of the square (of the cube). Groups
    are added one after the other, the nearest first. In two dimensions all eight symmetries map
    each tree onto itself up to the order within sums of two, which does not change a floating
    point sum; an antisymmetric stencil yields the exact negative. In three dimensions this holds
    for mirrors and for the swap of x and y: three terms of the kind x + y + z have no order that
    every permutation of the axes preserves.

    Args:
        offsets: Different offsets.
        weights: The weight of each, exact and not 0.

    Returns:
        The plan.
    """
    denominator = math.lcm(*(weight.denominator for weight in weights))
    groups: dict[tuple[tuple[int, ...], Fraction], dict[Offset, int]] = {}
    for offset, weight in zip(offsets, weights, strict=True):
        key = (tuple(sorted(map(abs, offset))), abs(weight))
        groups.setdefault(key, {})[offset] = 1 if weight > 0 else -1
    planned = []
    for key in sorted(groups):
        sign, tree = _group(groups[key])
        planned.append((int(sign * key[1] * denominator), tree))
    return Plan(denominator, tuple(planned))


def evaluate(
    plan: Plan, shifted: Callable[[Offset], Array], scale: float | Fraction = 1.0
) -> Array:
    """Add the terms of a stencil.

    Args:
        plan: The order of the sum.
        shifted: Gives, for an offset, the view of the padded array that holds u[node + offset].
            Called once for each offset of the stencil.
        scale: Multiplies the sum; for a derivative 1/Π h^order.

    Returns:
        The value at every node. For a single node of weight 1 it is the view itself, not a copy.
    """
    # Arrays of NumPy and of PyTorch have no common type; only + and − of two arrays and the
    # product with a number are used.
    total: Any = None
    for weight, tree in plan.groups:
        # No names for intermediate arrays: NumPy reuses the memory of those that have none.
        if total is None:
            total = _sum(tree, shifted) if weight == 1 else _sum(tree, shifted) * weight
        elif weight == 1:
            total = total + _sum(tree, shifted)
        elif weight == -1:
            total = total - _sum(tree, shifted)
        else:
            total = total + _sum(tree, shifted) * weight
    factor = float(scale) / plan.denominator
    return total if factor == 1.0 else total * factor


def _sum(tree: Tree, shifted: Callable[[Offset], Array]) -> Any:  # an Array, see `evaluate`
    if not isinstance(tree, Sum):
        return shifted(tree)
    if tree.sign == 1:
        return _sum(tree.left, shifted) + _sum(tree.right, shifted)
    return _sum(tree.left, shifted) - _sum(tree.right, shifted)


# Each step below merges parts of the sum that one kind of symmetry exchanges. Signs are moved
# outwards, so that a tree begins with + and its mirror image is the same tree or its negative.

Signed: TypeAlias = tuple[int, Tree]


def _group(signs: dict[Offset, int]) -> Signed:
    """One tree for all offsets of a group: opposite nodes, then mirrors, then swaps of axes."""
    pairs: dict[Offset, Signed] = {}  # by the offset that comes first in the pair
    for offset in sorted(signs, reverse=True):
        opposite = tuple(-step for step in offset)
        if opposite not in pairs or offset == opposite:
            members = [offset] if offset == opposite else [offset, opposite]
            pairs[offset] = _add((signs[o], o) for o in members if o in signs)
    # The pairs of one box (±a, ±b, ±c): mirrors exchange them two by two.
    boxes: dict[tuple[int, ...], list[Signed]] = {}
    for offset, pair in pairs.items():
        boxes.setdefault(tuple(map(abs, offset)), []).append(pair)
    # Distances that differ by a swap of x and y stand side by side.
    swapped: dict[tuple[int, ...], list[Signed]] = {}
    for distances in sorted(boxes, reverse=True):
        key = (*sorted(distances[:2]), *distances[2:])
        swapped.setdefault(key, []).append(_balanced(boxes[distances]))
    return _balanced([_balanced(swapped[key]) for key in sorted(swapped, reverse=True)])


def _balanced(trees: list[Signed]) -> Signed:
    """Add as ((a + b) + (c + d)) + …, two by two."""
    while len(trees) > 1:
        trees = [_add(trees[k : k + 2]) for k in range(0, len(trees), 2)]
    return trees[0]


def _add(trees: Iterable[Signed]) -> Signed:
    """The sum of one or two trees, its sign moved outwards."""
    (sign, tree), *rest = trees
    for other_sign, other in rest:
        tree = Sum(tree, other, sign * other_sign)
    return sign, tree
