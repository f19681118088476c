"""A text on its way in: alphabet, tokens, sides of equations, and errors with a caret.

Everything here looks at characters only. What passes is handed to Python's own grammar, which
builds a tree and runs nothing.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Callable, Sequence
from typing import NoReturn

from pdenet.equation.symbols import check_name
from pdenet.errors import EquationError, ParseError

MAX_LENGTH = 10_000  # characters, all equations together
MAX_TOKENS = 4_000
MAX_BRACKETS = 30
MAX_DIGITS = 30

# Letters that cannot be taken for one another: no Greek capital that looks Latin, no omicron.
_GREEK = "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ"
_LETTER = f"A-Za-z{_GREEK}"
_TOKEN = re.compile(
    rf"(?P<space>\s+)|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    rf"|(?P<name>[{_LETTER}_][{_LETTER}_0-9]*)|(?P<sign>\*\*|[<>=!]=|[-+*/^(),;=<>])"
)
_HINTS = {
    "²": "write ^2",
    "³": "write ^3",
    "·": "write *",
    "×": "write *",
    "−": "write the ASCII minus -",
    "∂": "write u_x, or d(..., x) for divergence form",
    "∇": "write laplacian(u) or single derivatives",
    "µ": "write the Greek letter μ or mu",
    "[": "indexed fields and coefficients are written in Python, with VectorField and Coefficient",
    ".": "a dot stands in decimal numbers only",
}
_WORDS = {"and", "or", "True"}  # Python's words that may stand in a condition of Piecewise


class within:
    """Turns what the language's own classes and the interpreter raise into `ParseError`.

    Args:
        tell: takes the message; returns it, or raises it with a place.
        building: SymPy expressions are made inside, and SymPy's complaints are about the text.
    """

    # What SymPy's constructors raise on arguments without a meaning: Max(sqrt(-1 - x**2), 1).
    _MEANINGLESS = (ValueError, TypeError, ArithmeticError)

    def __init__(self, tell: Callable[[str], str], *, building: bool = False) -> None:
        self.tell = tell
        self.building = building

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, ParseError):
            return
        if isinstance(error, EquationError):
            raise ParseError(self.tell(str(error))) from error
        if self.building and isinstance(error, self._MEANINGLESS):
            raise ParseError(
                self.tell(
                    "operands for which this is defined and real were expected; got others "
                    f"({str(error)[:120]}); change them"
                )
            ) from error
        if isinstance(error, RecursionError | MemoryError):
            raise ParseError(
                self.tell(
                    "an expression of moderate depth and size was expected; got one that exhausts "
                    f"the interpreter ({type(error).__name__}); write it with fewer brackets"
                )
            ) from error


class Source:
    """A text with its place-marking errors."""

    def __init__(self, text: str) -> None:
        self.text = text

    def fail(self, place: int, message: str) -> NoReturn:
        """Raise `message` with the line of `place` and a caret below it."""
        place = min(max(place, 0), len(self.text))
        start = max(self.text.rfind("\n", 0, place) + 1, place - 50)
        end = self.text.find("\n", place)
        line = self.text[start : len(self.text) if end < 0 else end][:78]
        line = "".join(c if c.isprintable() else " " for c in line)
        raise ParseError(f"{message}\n    {line}\n    {' ' * (place - start)}^") from None

    def scan(self) -> list[tuple[int, str]]:
        """Return the tokens with their places; check alphabet, sizes, brackets and products."""
        if len(self.text) > MAX_LENGTH:
            self.fail(
                0, f"a text of at most {MAX_LENGTH} characters was expected; got "
                f"{len(self.text)}; split the system or write it in Python"
            )  # fmt: skip
        found: list[tuple[int, str]] = []
        place, depth, before = 0, 0, ""
        while place < len(self.text):
            match = _TOKEN.match(self.text, place)
            if match is None:
                one = self.text[place]
                hint = _HINTS.get(one, "remove it")
                self.fail(
                    place, "names, numbers, + - * / ^ ( ) , and = were expected; got the "
                    f"character {one!r}; {hint}"
                )  # fmt: skip
            token, kind = match.group(), str(match.lastgroup)
            if kind == "space":
                # At depth 0 a new line begins a new equation.
                before = "" if depth == 0 and "\n" in token else before
            else:
                self._check(place, token, kind, before)
                depth += (token == "(") - (token == ")")
                if not 0 <= depth <= MAX_BRACKETS:
                    self.fail(
                        place, f"balanced brackets, nested at most {MAX_BRACKETS} deep, were "
                        f"expected; got {token!r} here; remove it"
                    )  # fmt: skip
                found.append((place, token))
                before = "word" if token in _WORDS - {"True"} else kind if kind != "sign" else token
            place = match.end()
        if depth or not found or len(found) > MAX_TOKENS:
            self.fail(
                len(self.text), f"1 to {MAX_TOKENS} symbols with every bracket closed were "
                f"expected; got {len(found)} with {depth} left open; complete or shorten it"
            )  # fmt: skip
        return found

    def _check(self, place: int, token: str, kind: str, before: str) -> None:
        if kind == "name":
            if keyword.iskeyword(token) and token not in _WORDS:
                self.fail(
                    place, f"a name was expected; got {token!r}, a word of Python; rename it, for "
                    f"example {token[:3]}_"
                )  # fmt: skip
            if token.startswith("_"):
                self.fail(
                    place, f"a name that begins with a letter was expected; got {token[:60]!r}; "
                    "rename it"
                )  # fmt: skip
            with within(lambda problem: self.fail(place, problem)):
                check_name("True_" if token in _WORDS else token, "field or parameter")
        if kind == "number":
            if sum(c.isdigit() for c in token) > MAX_DIGITS or not token.isascii():
                self.fail(
                    place, f"a number of at most {MAX_DIGITS} digits 0-9 was expected; got "
                    f"{token[:40]!r}; round it"
                )  # fmt: skip
            if re.match(r"[0.]*[1-9]", token) and not 1e-300 < float(token) < 1e300:
                self.fail(
                    place, f"a number of ordinary size was expected; got {token!r}; rescale it"
                )
            following = self.text[place + len(token) : place + len(token) + 1]
            if following == "." or following == "_" or following.isalnum():
                self.fail(
                    place, f"a decimal number was expected; got {token + following!r}; write a "
                    "product with *, and numbers as 12, 0.5 or 1e-3"
                )  # fmt: skip
        joins = kind in ("name", "number") and before in ("name", "number", ")")
        if (joins and token not in _WORDS) or (token == "(" and before in ("number", ")")):
            self.fail(
                place, f"an operator was expected; got {token[:60]!r} right after another value; "
                "write a product with *"
            )  # fmt: skip


class Side:
    """One side of an equation: a stretch of a source."""

    def __init__(self, source: Source, start: int, end: int) -> None:
        self.source = source
        # Brackets let a side begin with spaces and hold new lines. `places` maps each byte of what
        # Python reads, in which positions are byte offsets, back to the source.
        pieces, self.places = ["("], [start]
        for place in range(start, end):
            one = source.text[place]
            piece = "**" if one == "^" else " " if one.isspace() else one
            pieces.append(piece)
            self.places += [place] * len(piece.encode())
        self.read = "".join(pieces) + ")"
        self.places += [end, end]

    def fail(self, node: ast.AST, message: str) -> NoReturn:
        """Raise `message` with a caret below the node."""
        self.source.fail(self.places[getattr(node, "col_offset", 0)], message)

    def tree(self) -> ast.expr:
        """Return Python's syntax tree of the side; nothing is run."""
        try:
            return ast.parse(self.read, mode="eval").body
        except SyntaxError as error:
            at = len(self.read[: max((error.offset or 1) - 1, 0)].encode())
            self.source.fail(
                self.places[min(at, len(self.places) - 1)],
                f"an expression was expected; got something else here ({error.msg}); "
                "check operators and brackets",
            )
        except (RecursionError, MemoryError, ValueError) as error:
            self.source.fail(
                self.places[0], "an expression of moderate depth was expected; got one that "
                f"exhausts the parser ({type(error).__name__}); write it with fewer operators"
            )  # fmt: skip


def sources(text: str | Sequence[str]) -> list[Source]:
    """Return the sources of one text or of several.

    Raises:
        ParseError: they are no texts, or too long.
    """
    texts = [text] if isinstance(text, str) else list(text) if isinstance(text, Sequence) else []
    wrong = [t for t in texts if not isinstance(t, str)] if texts else [text]
    if wrong:
        raise ParseError(
            'equations as text, such as "u_t = D*u_xx", or a list of texts were expected; got '
            f"{str(wrong[0])[:60]!r} ({type(wrong[0]).__name__}); SymPy equations go to pn.PDE"
        )
    total = sum(len(t) for t in texts)
    if total > MAX_LENGTH:
        Source(texts[0][:80]).fail(
            0, f"a text of at most {MAX_LENGTH} characters was expected; got {total}; split the "
            "system or write it in Python"
        )  # fmt: skip
    return [Source(t) for t in texts]


def split(source: Source) -> list[Side]:
    """Return the sides of the equations of a source: left, right, left, right and so on."""
    # Inside brackets a new line only separates words.
    depth, start, equals = 0, 0, list[tuple[int, int]]()
    sides: list[Side] = []
    blank = True

    def close(end: int) -> None:
        nonlocal start, equals, blank
        if not blank:
            if len(equals) != 1:
                place = equals[1][0] if equals else end
                source.fail(
                    place, f"an equation left = right was expected; got {len(equals)} equals "
                    "signs; write one, and put a right side of several lines in brackets"
                )  # fmt: skip
            middle, after = equals[0]
            if not (source.text[start:middle].strip() and source.text[after:end].strip()):
                source.fail(
                    middle, "an equation left = right was expected; got an empty side; fill it in"
                )
            sides.extend((Side(source, start, middle), Side(source, after, end)))
        start, equals, blank = end, [], True

    last = 0
    for place, token in source.scan():
        if depth == 0 and "\n" in source.text[last:place]:
            close(place)
        last = place + len(token)
        if token == ";" and depth == 0:
            close(place)
            start = last
            continue
        depth += (token == "(") - (token == ")")
        blank = False
        if token in ("=", "==") and depth == 0:
            equals.append((place, last))
    close(len(source.text))
    if not sides:
        source.fail(0, "an equation left = right was expected; got none; write one")
    return sides
