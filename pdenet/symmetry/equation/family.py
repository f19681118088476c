"""Family: the group that maps an equation with unknown coefficients to itself, and its action.

Eq. (3), ∂t u_i = A_ij C_jk u_k ∂x u_j + …, stands for all equations of this form. A change of
unknowns u = P v makes another equation of it; where that has the form again, with other
coefficients, P is an element of the family's group. See `pdenet.symmetry.indices` for the rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

import numpy as np
import sympy as sp

from pdenet.equation import printing
from pdenet.equation.system import ARGUMENT, FREE_INDEX, FieldInfo, FieldUse, System, Term
from pdenet.errors import SymmetryError
from pdenet.symmetry.acting import Change, acted, checked, tie_fault
from pdenet.symmetry.groups import Group
from pdenet.symmetry.indices import Letter, Rule, Slot, Use, solve


@dataclass(frozen=True)
class FamilyGroup:
    """What acts on the coefficients of an equation.

    Attributes:
        system: the equation.
        rule: the groups of its vector fields, and how coefficients change.
        hidden: indices that coefficients share among themselves, with what may act on them without
            any change of the unknowns: (coefficients, group).
    """

    system: System
    rule: Rule
    hidden: tuple[tuple[str, str], ...]

    @property
    def groups(self) -> Mapping[str, Group]:
        """The group of each vector field's matrix."""
        return self.rule.groups

    @property
    def actions(self) -> dict[str, str]:
        """What becomes of each coefficient, as text: "A": "P⁻¹ A" or "A_π(i)π(j) d_j / d_i"."""
        return {
            p.name: _action_text(self.rule, p.name, len(p.shape))
            for p in self.system.parameters
            if p.kind == "tensor"
        }

    def act(
        self, values: Mapping[str, object], matrices: Mapping[str, object]
    ) -> dict[str, np.ndarray]:
        """Return the coefficients of the equation for v, where u = P v.

        Args:
            values: the coefficients by name, real arrays.
            matrices: P by the name of the field, shape `(n, n)`; a field that is left out stays.

        Returns:
            float64 arrays, for those coefficients that were given.

        Raises:
            SymmetryError: a matrix is no element of the group, or has the wrong shape.

        Example:
            >>> from pdenet.equation.catalogue import catalogue
            >>> family = family_group(catalogue["eq9"].system)
            >>> family.act({"A": [[1, 0], [0, 2]]}, {"u": [[1, 1], [0, 1]]})["A"]
            array([[ 1., -1.],
                   [ 0.,  2.]])
        """
        changes = {}
        for name, matrix in matrices.items():
            if name not in self.groups:
                raise SymmetryError(
                    f"matrices belong to the vector fields {', '.join(self.groups)}; got {name!r}; "
                    "name one of them"
                )
            made = checked(matrix, _num_rows(matrix), f"P of {name}")
            fault = self.groups[name].fault(made)
            if fault:
                raise SymmetryError(
                    f"P of {name} is one of {self.groups[name]}; got a matrix that is not: "
                    f"{fault}; {self.rule.reasons.get(name, '')}"
                )
            changes[name] = Change(made, self.groups[name])
        given_alike = {name: change.matrix for name, change in changes.items()}
        fault = tie_fault(self.rule.equal, self.rule.moving, given_alike)
        if fault:
            raise SymmetryError(f"matrices that go together were expected: {fault}; give each")
        found = {}
        for name, value in values.items():
            array = np.asarray(value, dtype=np.float64)
            found[name] = acted(array, name, self.rule, changes)
        return found

    def __str__(self) -> str:
        if not self.groups:
            return "no vector field: the unknowns are scalars with names"
        lines = []
        for name, group in self.groups.items():
            size = self.system.field(name).size
            lines.append(f"u = P v of {name}: {group.name(str(size))}")
            if name in self.rule.reasons:
                lines.append(f"  no more, since {self.rule.reasons[name]}")
        lines += [
            f"  one P for {', '.join(sorted(fields))}"
            for fields in self.rule.equal
            if len(fields) > 1
        ]
        lines += [
            f"  one permutation for {', '.join(sorted(fields))}"
            for fields in self.rule.moving
            if len(fields) > 1 and fields not in self.rule.equal
        ]
        lines += [f"  {name} ↦ {action}" for name, action in self.actions.items()]
        lines += [f"  hidden, u unchanged: {group} on {where}" for where, group in self.hidden]
        return "\n".join(lines)


def family_group(system: System, blocks: int = 1) -> FamilyGroup:
    """Find the group that maps a family of equations to itself.

    Args:
        system: the equation; its coefficient tensors are unknown, its scalar parameters are not.
        blocks: the number of equal diagonal blocks that all coefficients have, as the groups of a
            grouped convolution.

    Returns:
        For each vector field the largest group of the kinds of `pdenet.symmetry.groups` that
        the index rule finds. A scalar field has none: it is the unknown that it is.

    Example:
        >>> from pdenet.equation.catalogue import catalogue
        >>> print(family_group(catalogue["eq7"].system))
        u = P v of u: GL(n)
          Ax ↦ P⁻¹ Ax
          Ay ↦ P⁻¹ Ay
          C ↦ C P
          D ↦ D P
          hidden, u unchanged: generalised permutations on j of Ax, Ay, C, D
    """
    terms = [letters_of(system, info, term) for info, term in system.terms()]
    fields = [info.name for info in system.fields if info.size is not None]
    rule = solve(terms, fields)
    if blocks > 1:
        cut = {name: replace(group, blocks=blocks) for name, group in rule.groups.items()}
        rule = replace(rule, groups=cut)
    return FamilyGroup(system, rule, _hidden(terms))


def letters_of(system: System, info: FieldInfo, term: Term) -> list[Letter]:
    """Return the letters of a term with all that carries them."""
    text = printing.text(system.expression(term))
    names = list(term.indices())
    if info.size is not None and FREE_INDEX not in names:
        names.insert(0, FREE_INDEX)
    made = []
    for name in names:
        slots = tuple(
            Slot(use.name, place)
            for use in term.coefficients()
            for place, index in enumerate(use.indices)
            if index == name
        )
        uses = tuple(_use(factor) for factor in term.factors() if factor.index == name)
        free = info.name if name == FREE_INDEX and info.size is not None else None
        made.append(Letter(name, slots, uses, free, text=text))
    return made


def _use(factor: FieldUse) -> Use:
    if factor.function is None:
        return Use(factor.field)
    return function_use(factor.field, factor.function)


@cache
def function_use(field: str, function: sp.Expr) -> Use:
    """Return how a field under a pointwise function passes on factors: tanh(u_j) a sign only."""
    mirrored = function.xreplace({ARGUMENT: -ARGUMENT})
    parity = 1 if sp.simplify(mirrored - function) == 0 else 0
    parity = -1 if not parity and sp.simplify(mirrored + function) == 0 else parity
    return Use(field, _power(function), parity, is_plain=False)


def _power(function: sp.Expr) -> int | None:
    """Return the p of f(s a) = s^p f(a) for s > 0; None where there is none that is an integer."""
    scale, size = sp.symbols("_scale _size", positive=True)
    found = set()
    # On each side of 0 by itself: there SymPy knows |a| and max(a, 0).
    for argument in (size, -size):
        value = sp.simplify(function.xreplace({ARGUMENT: argument}))
        if value != 0:
            ratio = sp.simplify(function.xreplace({ARGUMENT: scale * argument}) / value)
            base, power = (scale, sp.S.Zero) if ratio == 1 else ratio.as_base_exp()
            if base != scale or not power.is_Integer:
                return None
            found.add(int(power))
    return found.pop() if len(found) == 1 else None


def _num_rows(matrix: object) -> int:
    shape = np.shape(np.asarray(matrix))
    return shape[0] if shape else 1


def _hidden(terms: list[list[Letter]]) -> tuple[tuple[str, str], ...]:
    """Return what may act on indices that no field carries, one entry a set of places."""
    places: dict[frozenset[Slot], str] = {}
    seen: dict[Slot, int] = {}
    for letter in (letter for term in terms for letter in term):
        for slot in letter.slots:
            seen[slot] = seen.get(slot, 0) + (1 if not letter.fields else 1000)
        if not letter.fields and len(letter.slots) > 1:
            places[frozenset(letter.slots)] = letter.name
    joined: list[tuple[set[Slot], set[str], int]] = []
    for slots, name in places.items():
        if any(seen[slot] >= 1000 for slot in slots):
            continue
        for known, names, _ in joined:
            if known & slots:
                known |= slots
                names.add(name)
                break
        else:
            joined.append((set(slots), {name}, len(slots)))
    return tuple(
        (
            f"{', '.join(sorted(names))} of {', '.join(sorted({s.coefficient for s in slots}))}",
            "GL" if count == 2 else "generalised permutations",
        )
        for slots, names, count in joined
    )


def _action_text(rule: Rule, name: str, rank: int) -> str:
    """Return what becomes of a coefficient: "P⁻¹ A P", or "A_π(i)π(j) d_i^-1 d_j".

    Args:
        rule: how coefficients change.
        name: the coefficient's name.
        rank: the number of its indices.
    """
    slots = [Slot(name, place) for place in range(rank)]
    letters = "ijklmnpqr"[:rank]
    of = _suffixes(rule)
    if any(slot in rule.variances for slot in slots):
        found = [rule.variances.get(slot) for slot in slots]
        is_metric = all(
            rule.groups[value[0]].shape == "orthogonal" for value in found if value is not None
        )
        common = rule.powers.get(name, Fraction(0))
        factor = f"c^{common} " if common else ""
        is_matrix = all(v is None or v[1] == (1 if k else -1) for k, v in enumerate(found))
        if rank == 2 and (is_matrix or is_metric):
            left = f"P{of[found[0][0]]}{'⁻¹' if is_matrix else 'ᵀ'} " if found[0] else ""
            right = f" P{of[found[1][0]]}" if found[1] else ""
            return factor + left + name + right
        parts = [
            f"(P{of[value[0]]}⁻¹)_{k}{k}′" if value[1] < 0 else f"P{of[value[0]]}_{k}′{k}"
            for k, value in zip(letters, found, strict=True)
            if value is not None
        ]
        inside = "".join(
            f"{k}′" if value is not None else k for k, value in zip(letters, found, strict=True)
        )
        return f"{factor}{' '.join(parts)} {name}_{inside}"
    if not any((slot, f) in rule.exponents for slot in slots for f in rule.groups):
        return name
    scales = []
    for letter, slot in zip(letters, slots, strict=True):
        for field in rule.groups:
            exponent = rule.exponents.get((slot, field))
            if exponent:
                scales.append(str(exponent).replace("d", f"d{of[field]}_{letter}"))
    inside = "".join(
        f"π({k})" if any((s, f) in rule.exponents for f in rule.groups) else k
        for k, s in zip(letters, slots, strict=True)
    )
    return " ".join([f"{name}_{inside}", *scales])


def _suffixes(rule: Rule) -> dict[str, str]:
    """Return what tells the matrices of several fields apart: "" for one matrix alone."""
    return {
        name: "" if len(rule.equal) == 1 else f"[{rule.matrix_of(name)}]" for name in rule.groups
    }
