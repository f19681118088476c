"""Found: the symmetries of one kind that hold, and those that fail, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Broken:
    """A transformation that is no symmetry.

    Attributes:
        name: what it is called.
        reason: a term that it does not match.
    """

    name: str
    reason: str

    def __str__(self) -> str:
        return f"not {self.name}: {self.reason}"


@dataclass(frozen=True)
class Found(Generic[T]):
    """All transformations of one kind, sorted by whether they hold.

    Iterating goes through those that hold.

    Attributes:
        elements: the symmetries.
        broken: what is none, with reasons.
    """

    elements: tuple[T, ...]
    broken: tuple[Broken, ...] = ()

    def __iter__(self) -> Iterator[T]:
        return iter(self.elements)

    def __len__(self) -> int:
        return len(self.elements)

    def __getitem__(self, place: int) -> T:
        return self.elements[place]

    def __str__(self) -> str:
        return "\n".join(str(part) for part in (*self.elements, *self.broken))
