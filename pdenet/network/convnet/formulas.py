"""Formulas: how operations of a block are written, as text and for figures."""

from __future__ import annotations

import re

from pdenet.network.products import STACK

_TAIL = re.compile(r" ((?:in|summed over) \d+ (?:directions?|terms))$")
_TOKEN = re.compile(
    r"Σ_(?P<sum>\w+)|∂(?P<derivative>[txy]*)|(?P<name>[^\W\d_]\w*?)(?P<letters>(?:_\w+)+)"
    r"|(?P<function>sinh|cosh|tanh|sin|cos|tan|exp|log)\b|(?P<word>[A-Za-z]{2,})"
    r"|(?P<space> )|(?P<dot>·)|(?P<arrow>→)|(?P<prime>′)|(?P<times>×)|(?P<power>\^\w+)"
)


def summed_formula(first: str, second: str, result: str, factors: str, ways: str) -> str:
    """Return a sum over all letters that the result does not have: "Σ_k C_jk u_k".

    Args:
        first: the letters of one factor.
        second: the letters of the other.
        result: the letters that are kept.
        factors: both, as text.
        ways: what the letter of the stack counts: "4 directions".
    """
    letters = dict.fromkeys(first + second)
    summed = "".join(c for c in letters if c not in result and c != STACK)
    made = (f"Σ_{summed} " if summed else "") + factors
    if STACK in result:
        return f"{made} in {ways}"
    return f"{made} summed over {ways}" if STACK in letters else made


def index_of(letters: str) -> str:
    """Return "_j" of "jd", "" of no letter but that of the stack."""
    kept = letters.replace(STACK, "")
    return f"_{kept}" if kept else ""


def derivative_of(name: str) -> str:
    """Return ∂x of "x", ∂xy of "xy", ∂x of "x_face" and "x_faces"."""
    axes = name.partition("_")[0]
    return f"∂{axes}" if set(axes) <= set("xy") else name


def directions(count: int) -> str:
    """Return "1 direction" or "4 directions"."""
    return f"{count} direction{'s' if count > 1 else ''}"


def monomial_of(a: int, b: int) -> str:
    """Return x^a y^b."""
    powers = [f"{n}^{e}" if e > 1 else n for n, e in (("x", a), ("y", b)) if e]
    return " ".join(powers) or "1"


def mathtext(formula: str) -> list[str]:
    r"""Return a formula as lines of Matplotlib's mathtext; "in 4 directions" is a line of its own.

    Example:
        >>> mathtext("Σ_k C_jk u_k in 4 directions")
        ['$\\Sigma_{k}\\,C_{jk}\\,u_{k}$', 'in 4 directions']
    """
    tail = _TAIL.search(formula)
    body = formula[: tail.start()] if tail else formula
    lines = [f"${_TOKEN.sub(_replaced, body)}$"] if body else []
    return [*lines, tail.group(1)] if tail else lines


def _replaced(match: re.Match[str]) -> str:
    given = match.groupdict()
    if given["sum"]:
        return rf"\Sigma_{{{given['sum']}}}"
    if given["derivative"] is not None:
        return r"\partial" + (f"_{{{given['derivative']}}}" if given["derivative"] else " ")
    if given["name"]:
        indices = given["letters"].strip("_").replace("_", ",")
        name = given["name"]
        base = name if len(name) == 1 else rf"\mathit{{{name}}}"
        return f"{base}_{{{indices}}}"
    if given["function"]:
        return "\\" + given["function"]
    if given["word"]:
        return rf"\mathrm{{{given['word']}}}"
    if given["power"]:
        return f"^{{{given['power'][1:]}}}"
    plain = {"space": r"\,", "dot": r"\cdot ", "arrow": r"\to ", "prime": "'", "times": r"\times "}
    return next(made for key, made in plain.items() if given[key])
