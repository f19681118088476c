"""Acting: what a change of unknowns u = P v does to one coefficient, place by place.

At a lower index C̃_{…j} = Σ_k C_{…k} P_kj, at an upper one Ã_{i…} = Σ_k (P⁻¹)_ik A_{k…}; under a
generalised permutation u_π(j) = d_j v_j the entry at π(j) moves to j and takes a power of d_j.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from pdenet.errors import SymmetryError
from pdenet.symmetry.groups import Group, monomial_parts
from pdenet.symmetry.indices import Exponent, Rule, Slot


@dataclass(frozen=True, eq=False)
class Change:
    """A change of unknowns u = P v of some fields with one group.

    Attributes:
        matrix: P, float64, shape `(n, n)`.
        group: the group that it is an element of.
    """

    matrix: np.ndarray
    group: Group

    @cached_property
    def inverse(self) -> np.ndarray:
        """P⁻¹."""
        made: np.ndarray = np.linalg.inv(self.matrix)
        return made

    @cached_property
    def factor(self) -> float:
        """The c of P = c Q, where the group has a common factor besides; else 1."""
        if not (self.group.common and self.group.scales in ("signs", "one")):
            return 1.0
        return float(np.sqrt(np.trace(self.matrix.T @ self.matrix) / len(self.matrix)))

    @cached_property
    def parts(self) -> tuple[np.ndarray, np.ndarray]:
        """π and d of a generalised permutation, without the common factor."""
        found = monomial_parts(self.matrix / self.factor)
        assert found is not None
        return found

    def at(self, array: np.ndarray, axis: int, variance: int) -> np.ndarray:
        """Return a tensor in the new unknowns: its axis is a lower (+1) or an upper index (−1)."""
        if self.group.shape == "orthogonal":  # then upper and lower are one
            moved = np.tensordot(array, self.matrix / self.factor, axes=(axis, 0))
        elif variance > 0:
            moved = np.tensordot(array, self.matrix, axes=(axis, 0))
        else:
            moved = np.tensordot(array, self.inverse, axes=(axis, 1))
        return np.moveaxis(moved, -1, axis)

    def moved(self, array: np.ndarray, axis: int) -> np.ndarray:
        """Return a tensor with the entries at π(j) at j."""
        return np.take(array, self.parts[0], axis=axis)

    def scaled(self, array: np.ndarray, axis: int, exponent: Exponent) -> np.ndarray:
        """Return a tensor times the power of d_j along an axis."""
        if not exponent:
            return array
        scales = self.parts[1]
        numbers = np.abs(scales) ** float(exponent.size) * np.sign(scales) ** exponent.sign
        shape = [1] * array.ndim
        shape[axis] = -1
        made: np.ndarray = array * numbers.reshape(shape)
        return made


def acted(array: np.ndarray, name: str, rule: Rule, changes: Mapping[str, Change]) -> np.ndarray:
    """Return a coefficient in the new unknowns.

    Args:
        array: the coefficient, float64, an axis for each index; others behind stay.
        name: its name in the rule.
        rule: how coefficients change.
        changes: by field; fields that are not there do not change.
    """
    for axis in range(array.ndim):
        slot = Slot(name, axis)
        if slot in rule.variances:
            field, sign = rule.variances[slot]
            if field in changes:
                array = changes[field].at(array, axis, sign)
            continue
        array = _moved(array, axis, slot, rule, changes)
    power = rule.powers.get(name, Fraction(0))
    if power:
        factors = {change.factor for change in changes.values()}
        array = array * max(factors, key=lambda c: abs(c - 1.0)) ** float(power)
    return array


def _moved(
    array: np.ndarray, axis: int, slot: Slot, rule: Rule, changes: Mapping[str, Change]
) -> np.ndarray:
    """Return a tensor under generalised permutations of the fields that meet at a place."""
    fields = [f for s, f in rule.exponents if s == slot and f in changes]
    if not fields:
        return array
    array = changes[fields[0]].moved(array, axis)  # all of them permute alike
    for field in fields:
        array = changes[field].scaled(array, axis, rule.exponents[slot, field])
    return array


def tie_fault(
    equal: Sequence[frozenset[str]],
    moving: Sequence[frozenset[str]],
    matrices: Mapping[str, np.ndarray],
) -> str:
    """Return why matrices of several fields do not go together, "" where they do.

    Args:
        equal: sets of fields that have one matrix.
        moving: sets of fields that move components alike.
        matrices: by field; none for a field that does not change.
    """
    for fields, is_equal in [*((f, True) for f in equal), *((f, False) for f in moving)]:
        names = ", ".join(sorted(fields))
        given = [name for name in sorted(fields) if name in matrices]
        if given and len(given) < len(fields):
            return f"the fields {names} change together, and only {', '.join(given)} would"
        for other in given[1:]:
            one, two = matrices[given[0]], matrices[other]
            if is_equal and not np.allclose(one, two, rtol=1e-12, atol=0.0):
                return f"the fields {names} have one matrix, and two were given"
            if not np.array_equal(np.abs(one).argmax(axis=0), np.abs(two).argmax(axis=0)):
                return f"the fields {names} move components alike, and would not"
    return ""


def checked(matrix: object, n: int, what: str = "P") -> np.ndarray:
    """Return an invertible matrix of n rows as float64.

    Raises:
        SymmetryError: it is no such matrix.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            made = np.asarray(matrix, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError, np.exceptions.ComplexWarning) as error:
        raise SymmetryError(
            f"{what} is a real matrix of shape {(n, n)}; got {type(matrix).__name__}: {error}; "
            "give a NumPy array or a tensor"
        ) from error
    if made.shape != (n, n):
        raise SymmetryError(
            f"{what} has the shape {(n, n)}, a row for each component; got {made.shape}; give a "
            "square matrix of that size"
        )
    if not np.isfinite(made).all():
        raise SymmetryError(
            f"{what} is a matrix of finite numbers; got {int((~np.isfinite(made)).sum())} that "
            "are not; compute it anew"
        )
    return made
