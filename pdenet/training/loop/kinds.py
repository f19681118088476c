"""Kinds: what an option of a training run may be, how it is read from text and written as TOML."""

from __future__ import annotations

import ast
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # what a kind has settled

import tomli_w

from pdenet.checks import is_integer, is_number
from pdenet.errors import TrainingError, suggest


@dataclass(frozen=True)
class Kind:
    """The values that an option may have.

    Attributes:
        words: what is expected, for messages: "a number above 0".
        settled: returns a value as the option keeps it, or raises ValueError.
        read: makes a value of a text of the command line, or raises ValueError.
        metavar: stands for the value in the help.
        choices: the words, where only some are known.
    """

    words: str
    settled: Callable[[object], object]
    read: Callable[[str], object]
    metavar: str
    choices: tuple[str, ...] = ()

    def check(self, name: str, value: object, default: object) -> object:
        """Return a value as the option keeps it.

        Raises:
            TrainingError: it is none of this kind.
        """
        if value is None and default is None:
            return None
        try:
            return self.settled(value)
        except (ValueError, OverflowError):
            raise self._refused(name, value, default) from None

    def parse(self, name: str, text: str, default: object) -> object:
        """Return the value that a text of the command line means.

        Raises:
            TrainingError: it means none of this kind.
        """
        try:
            return self.settled(self.read(text))
        except (ValueError, OverflowError):
            raise self._refused(name, text, default) from None

    def _refused(self, name: str, value: object, default: object) -> TrainingError:
        if self.choices:
            advice = suggest(str(value), self.choices)
        elif default is None:
            advice = " Change it, or leave it out."
        else:
            advice = f" Change it, or leave it out for {default!r}."
        return TrainingError(f"{name} is {self.words}; got {value!r}.{advice}")


def whole(low: int) -> Kind:
    """An integer from `low` on."""

    def settled(value: object) -> int:
        if not is_integer(value) or value < low:
            raise ValueError
        return int(value)

    return Kind(f"an integer >= {low}", settled, int, "N")


def number(low: float, high: float = math.inf, *, above: bool = False, below: bool = False) -> Kind:
    """A finite number from `low` to `high`, each included unless `above` and `below` say so."""

    def settled(value: object) -> float:
        if not is_number(value):
            raise ValueError
        made = float(value)
        is_low = low < made if above else low <= made
        is_high = made < high if below else made <= high
        if not (is_low and is_high):
            raise ValueError
        return made

    words = f"a number above {low:g}" if above else f"a number from {low:g}"
    if math.isfinite(high):
        words += f" to below {high:g}" if below else f" to {high:g}"
    return Kind(words, settled, float, "X")


def numbers(count: int | None, words: str) -> Kind:
    """Some finite numbers; on the command line separated by spaces or commas."""

    def settled(value: object) -> tuple[float, ...]:
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise ValueError
        if count is not None and len(value) != count:
            raise ValueError
        one = number(-math.inf)
        return tuple(float(one.settled(v)) for v in value)  # type: ignore[arg-type]  # a number

    def read(text: str) -> tuple[float, ...]:
        return tuple(float(part) for part in text.replace(",", " ").split())

    return Kind(words, settled, read, "X")


def interval(high: float = math.inf) -> Kind:
    """Two numbers, 0 < first ≤ second ≤ high."""
    pair = numbers(2, "")

    def settled(value: object) -> object:
        made: Any = pair.settled(value)
        if not 0 < made[0] <= made[1] <= high:
            raise ValueError
        return made

    bound = f" ≤ {high:g}" if high < math.inf else ""
    return Kind(f"a pair, 0 < low ≤ high{bound}", settled, pair.read, pair.metavar)


def word(*choices: str) -> Kind:
    """One of some words; without any, every text that is not empty."""

    def settled(value: object) -> str:
        if not isinstance(value, str) or not value or (choices and value not in choices):
            raise ValueError
        return value

    words = f"one of {', '.join(choices)}" if choices else "a text"
    return Kind(words, settled, str, "NAME", choices)


def text() -> Kind:
    """Any text, the empty one too."""

    def settled(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError
        return value

    return Kind("a text", settled, str, "TEXT")


def path() -> Kind:
    """The path of a file or folder, kept as a text."""

    def settled(value: object) -> str:
        if not isinstance(value, str | os.PathLike) or not str(value):
            raise ValueError
        return str(value)

    return Kind("a path", settled, str, "PATH")


def flag() -> Kind:
    """True or false."""

    def settled(value: object) -> bool:
        if not isinstance(value, bool):
            raise ValueError
        return value

    return Kind("true or false", settled, bool, "")


def mapping() -> Kind:
    """Values by name; on the command line key=value, several of them separated by spaces."""

    def settled(value: object) -> dict[str, object]:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise ValueError
        return {key: _plain(one) for key, one in value.items()}

    return Kind("key=value pairs: numbers, words, true or false", settled, pairs, "KEY=VALUE")


def pairs(text: str) -> dict[str, object]:
    """Read "key=value key=value": Python's literals, true, false, none, else words.

    Example:
        >>> pairs("directions=6 share_kernels=false layout=small")
        {'directions': 6, 'share_kernels': False, 'layout': 'small'}
    """
    found: dict[str, object] = {}
    # A value may hold spaces: a pair ends where the next key stands.
    for part in re.split(r"\s+(?=[A-Za-z_]\w*=)", text.strip()):
        key, equals, value = part.partition("=")
        if not equals or not key.isidentifier() or key in found:
            raise ValueError(part)
        found[key] = _literal(value)
    return found


def to_toml(values: Mapping[str, object]) -> str:
    """Write values by name as TOML; None is left out, in mappings too.

    Example:
        >>> print(to_toml({"lr": 0.3, "amp": True, "model_kwargs": {"position": 1}}), end="")
        lr = 0.3
        amp = true
        <BLANKLINE>
        [model_kwargs]
        position = 1
    """

    def without_none(value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        return {k: without_none(v) for k, v in value.items() if v is not None}

    return tomli_w.dumps({k: without_none(v) for k, v in values.items() if v is not None})


_WORDS: dict[str, object] = {"true": True, "false": False, "none": None}


def _literal(value: str) -> object:
    if value.lower() in _WORDS:
        return _WORDS[value.lower()]
    try:
        return _plain(ast.literal_eval(value))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value


def _plain(value: object) -> object:
    """Return a value of which TOML has a counterpart."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, list | tuple):
        return tuple(_plain(one) for one in value)
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(one) for key, one in value.items()}
    raise ValueError(value)
