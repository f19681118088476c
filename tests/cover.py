"""Which rows of a table the quick tier meets: few, in which any two values still meet."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import combinations, product

from tests.tiers import mostly_deep

Pair = tuple[tuple[int, Hashable], tuple[int, Hashable]]
"""A value in one column, and a value in another."""


def pairs(row: Sequence[Hashable]) -> Iterator[Pair]:
    """Go through what meets in one row."""
    return combinations(enumerate(row), 2)


def pairwise_cover(rows: Sequence[Sequence[Hashable]], costs: Sequence[float]) -> list[int]:
    """Return the places of rows that together have every pair which all rows have.

    Greedy: the row with the most new pairs for its cost comes next, the first of equal ones. At the
    end rows that the others make superfluous go, the dearest first.

    Args:
        rows: rows of as many values; not all combinations of values need be there.
        costs: what each row costs, positive.

    Returns:
        Places in ascending order.
    """
    have = [frozenset(pairs(row)) for row in rows]
    missing = frozenset[Pair]().union(*have)
    chosen: list[int] = []
    while missing:
        best = max(range(len(rows)), key=lambda k: len(have[k] & missing) / costs[k])
        chosen.append(best)
        missing -= have[best]
    for place in sorted(chosen, key=lambda k: -costs[k]):
        others = (have[k] for k in chosen if k != place)
        if have[place] <= frozenset[Pair]().union(*others):
            chosen.remove(place)
    return sorted(chosen)


def crossed(*columns: Iterable[Hashable]) -> list[object]:
    """Return the product of columns for `parametrize`: in the quick tier a pairwise cover of it."""
    rows = list(product(*columns))
    return mostly_deep(rows, [rows[k] for k in pairwise_cover(rows, [1] * len(rows))])


def by_turns(
    names: Iterable[Hashable], choices: Sequence[Hashable], per_name: int = 1
) -> list[object]:
    """Return all pairs for `parametrize`: in the quick tier each name with one choice, by turns.

    Args:
        names: the first argument.
        choices: the second one.
        per_name: how many choices a name has in the quick tier.
    """
    table = {
        (name, choice): (c - k) % len(choices) < per_name
        for k, name in enumerate(names)
        for c, choice in enumerate(choices)
    }
    return mostly_deep(table, [pair for pair, is_quick in table.items() if is_quick])
