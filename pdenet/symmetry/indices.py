"""The index rule: which changes of unknowns u = P v keep the form of a sum of products.

Under u_i = P_ij v_j every index of a field, and the free index of the left side, takes a matrix.
Whether a coefficient can absorb it is read from how indices are contracted:

- *All of GL(n)*: each summed index that meets a field meets one coefficient besides, as an upper
  and a lower index do in tensor calculus; the free index stands once. Then C_jk u_k becomes
  (C P)_jk v_k and A_ij becomes (P⁻¹ A)_ij.
- *O(n)*: upper and lower need not be told apart, so that Σ_j u_j u_j is allowed too.
- *Generalised permutations*: an index that stands three times, as j does on A_ij, C_jk and ∂u_j, is
  a product component by component. It admits u_π(j) = d_j v_j, as powers of the d_j can be moved
  into coefficients: for each index Σ e = (fields) − (1 if it is free), one exponent e for each
  place of each coefficient, the same in all terms.
- *Permutations* always.

Nothing here knows an equation by name; systems and blocks of networks are both read this way.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from typing import TypeVar

from pdenet.symmetry.groups import GENERAL, Group
from pdenet.symmetry.linear_systems import solution

Node = TypeVar("Node", bound=Hashable)


@dataclass(frozen=True, order=True)
class Slot:
    """One place of a coefficient: ("A", 0) is the i of A_ij.

    Attributes:
        coefficient: its name.
        place: the place of the index, from 0.
        is_norm: whether it is a norm that acts on each component with numbers of its own; such a
            slot takes factors before others do.
    """

    coefficient: str
    place: int
    is_norm: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class Exponent:
    """What the numbers d of a generalised permutation do at a slot: |d|^size sgn(d)^sign.

    Attributes:
        size: any fraction.
        sign: 0 or 1.
    """

    size: Fraction = Fraction(0)
    sign: int = 0

    def __bool__(self) -> bool:
        return bool(self.size or self.sign)

    def __str__(self) -> str:
        """Return the power of d as text: "d^-1", or with the sign apart where that differs."""
        if self.size.denominator == 1 and self.size % 2 == self.sign:
            return "d" if self.size == 1 else f"d^{self.size}"
        size = "" if not self.size else "|d|" if self.size == 1 else f"|d|^{self.size}"
        return size + ("sgn(d)" if self.sign else "")


@dataclass(frozen=True)
class Use:
    """A field with an index.

    Attributes:
        field: its name.
        power: how f(d u) depends on d > 0 for the function that it stands under: as d^power; None
            where it does so in no such way.
        parity: what f(−u) is: 1 for f(u), −1 for −f(u), 0 for neither.
        is_plain: whether no function stands between, and no norm or kernel of each component.
    """

    field: str
    power: int | None = 1
    parity: int = -1
    is_plain: bool = True


@dataclass(frozen=True)
class Letter:
    """An index of one term, and all that carries it.

    Attributes:
        name: the letter.
        slots: the places of coefficients.
        uses: the fields.
        free: for the free index the field of the left side, else None.
        fixed: whether something else carries it, which does not change with the fields here.
        held: those of the slots behind which a norm stands: they may move, and take no factor.
        text: the term, for reasons.
    """

    name: str
    slots: tuple[Slot, ...]
    uses: tuple[Use, ...]
    free: str | None = None
    fixed: bool = False
    held: tuple[Slot, ...] = ()
    text: str = ""

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that meet in this letter, that of the left side last."""
        return (*(use.field for use in self.uses), *((self.free,) if self.free else ()))


@dataclass(frozen=True)
class Rule:
    """What a set of terms admits.

    Attributes:
        groups: for each field the group of its matrix.
        equal: sets of fields that have one matrix.
        moving: sets of fields whose generalised permutations move components alike.
        variances: for GL(n) and O(n): the field whose matrix a slot takes, the first of those that
            share it, and +1 for a lower index (times P), −1 for an upper one (times P⁻¹).
        exponents: for generalised permutations: (slot, field) → by which power of d_j the entry at
            π(j) is multiplied; 0 for a slot that only moves.
        powers: where the matrix is c times an orthogonal or a signed one: coefficient → the power
            of c that it is multiplied by.
        reasons: why a field's group is no larger, one sentence a field.
    """

    groups: Mapping[str, Group]
    equal: tuple[frozenset[str], ...]
    moving: tuple[frozenset[str], ...] = ()
    variances: Mapping[Slot, tuple[str, int]] = field(default_factory=dict)
    exponents: Mapping[tuple[Slot, str], Exponent] = field(default_factory=dict)
    powers: Mapping[str, Fraction] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)

    def matrix_of(self, name: str) -> str:
        """Return the first of the fields that share a matrix with `name`."""
        return min(next(fields for fields in self.equal if name in fields))


def solve(terms: Sequence[Sequence[Letter]], fields: Sequence[str]) -> Rule:
    """Find the largest group of the kinds above for each field.

    Args:
        terms: the letters of each term.
        fields: the fields; others' uses do not occur.

    Returns:
        The groups, with how each coefficient changes. Fields whose indices meet without a
        coefficient between share a matrix.
    """
    return _largest(tuple(map(tuple, terms)), tuple(fields))


@lru_cache(maxsize=256)  # copies of a classifier, and its stages, ask for the same rules many times
def _largest(terms: tuple[tuple[Letter, ...], ...], fields: tuple[str, ...]) -> Rule:
    found, ties = _solved(terms, fields, set())
    # A coefficient that two fields would move, each by its matrix, may admit one matrix for both.
    meeting = {
        frozenset((one, other))
        for names in _meeting(fields, [letter for term in terms for letter in term])
        for one in names
        for other in names
        if one != other
    }
    candidates = [found]
    candidates += [_solved(terms, fields, more)[0] for more in (ties, meeting) if more]
    return max(candidates, key=_size)  # the first of equal ones


def _size(rule: Rule) -> tuple[int, int]:
    """Return the dimension of a rule's groups at n = 8, and how many of them have signs."""
    n, total, signed = 8, 0, 0
    for fields in rule.equal:
        group = rule.groups[min(fields)]
        scales = n if group.scales in ("any", "positive") else int(group.common)
        orthogonal = n * (n - 1) // 2 + group.common
        total += {"general": n * n, "orthogonal": orthogonal}.get(group.shape, scales)
        signed += len(fields) * (group.scales in ("any", "signs"))
    return total, signed


def _solved(
    terms: Sequence[Sequence[Letter]], fields: Sequence[str], ties: Collection[frozenset[str]]
) -> tuple[Rule, set[frozenset[str]]]:
    """Return the rule where some fields have one matrix, and which further ones might have."""
    every = [letter for term in terms for letter in term]
    meetings = [x.fields for x in every if not x.slots and len(set(x.fields)) > 1]
    equal = joined(fields, [*meetings, *(tuple(tie) for tie in ties)])
    first = {name: min(same) for same in equal for name in same}
    terms = [[_renamed(letter, first) for letter in term] for term in terms]
    letters = [letter for term in terms for letter in term]
    general = _Contracted(letters, is_metric=False)
    metric = _Contracted(letters, is_metric=True)
    # In a product by components all fields that meet move together, in a letter or at a slot.
    moving = _meeting(sorted(set(first.values())), letters)
    groups: dict[str, Group] = {}
    reasons: dict[str, str] = {}
    variances: dict[Slot, tuple[str, int]] = {}
    exponents: dict[tuple[Slot, str], Exponent] = {}
    powers: dict[str, Fraction] = {}
    for names in moving:
        why = [general.faults[name] for name in sorted(names) if name in general.faults]
        # Of several fields no common factor is looked for.
        factor = _powers(terms, names) if len(names) == 1 else None
        if not why:
            made = GENERAL
            variances |= general.of(names)
        elif not any(name in metric.faults for name in names):
            made = Group("orthogonal", common=factor is not None)
            variances |= metric.of(names)
            powers |= factor or {}
        else:
            monomial = _Scaled(letters, names)
            made = monomial.group
            if not made.common and factor is not None:
                made = Group(made.shape, made.scales, True)
                powers |= factor
            exponents |= monomial.exponents
            why += [monomial.why] if monomial.why else []
        groups |= dict.fromkeys(names, made)
        if why:
            reasons |= dict.fromkeys(names, "; ".join(dict.fromkeys(why)))
    made_rule = Rule(
        groups={name: groups[first[name]] for name in fields},
        equal=equal,
        moving=tuple(
            frozenset(name for name in fields if first[name] in names)
            if any(groups[name].shape in ("monomial", "diagonal") for name in names)
            else frozenset()
            for names in moving
        ),
        variances=variances,
        exponents=exponents,
        powers=powers,
        reasons={name: reasons[first[name]] for name in fields if first[name] in reasons},
    )
    return made_rule, general.ties


def _renamed(letter: Letter, first: Mapping[str, str]) -> Letter:
    """Call fields that have one matrix by one name."""
    uses = tuple(replace(use, field=first[use.field]) for use in letter.uses)
    return replace(letter, uses=uses, free=None if letter.free is None else first[letter.free])


def joined(
    nodes: Iterable[Node], meetings: Iterable[Sequence[Node]]
) -> tuple[frozenset[Node], ...]:
    """Return the classes of what meets, directly or through others."""
    classes: dict[Node, frozenset[Node]] = {node: frozenset((node,)) for node in nodes}
    for met in meetings:
        merged: frozenset[Node] = frozenset().union(*(classes[node] for node in met))
        classes |= dict.fromkeys(merged, merged)
    return tuple(dict.fromkeys(classes.values()))


def _meeting(names: Sequence[str], letters: Sequence[Letter]) -> list[frozenset[str]]:
    """Return the classes of fields that meet in letters, or at slots of several letters."""
    meetings: list[tuple[str | Slot, ...]] = [(*x.fields, *x.slots) for x in letters]
    nodes: dict[str | Slot, None] = dict.fromkeys(names)
    nodes |= dict.fromkeys(node for met in meetings for node in met)
    classes = joined(nodes, meetings)
    found = [frozenset(n for n in one if isinstance(n, str)) for one in classes]
    return [names for names in found if names]


class _Contracted:
    """Indices as upper and lower ones; with a metric the two are one.

    Attributes:
        faults: for each field why its matrix cannot be moved through.
        ties: pairs of fields that would move one slot each by its matrix.
    """

    def __init__(self, letters: Sequence[Letter], is_metric: bool) -> None:
        self.is_metric = is_metric
        self.faults: dict[str, str] = {}
        self.ties: set[frozenset[str]] = set()
        self.values: dict[Slot, tuple[str, int]] = {}
        for letter in letters:
            self._read(letter)
        # Pairs of slots hand a matrix on: A_ij B_jk with P on B takes P⁻¹ on A.
        pairs = [x for x in letters if not x.fields and not x.fixed and len(x.slots) == 2]
        for _ in range(len(pairs) + 1):
            for letter in pairs:
                self._hand_on(letter)
        for letter in letters:
            if not letter.fields and letter not in pairs:
                for slot in letter.slots:
                    self._set_neutral(slot, letter)

    def of(self, names: Collection[str]) -> dict[Slot, tuple[str, int]]:
        """Return the variances of all slots that take one of these matrices."""
        return {slot: value for slot, value in self.values.items() if value[0] in names}

    def _read(self, letter: Letter) -> None:
        names = set(letter.fields)
        if not names:
            return
        name = min(names)
        if letter.held:
            what = f"in {letter.text} a norm acts on each component {letter.name} alone"
            self._fail(names, what)
            return
        for use in letter.uses:
            if not use.is_plain:
                what = (
                    f"in {letter.text} something acts on each component {letter.name} of "
                    f"{_name(use.field)} alone, which commutes with generalised permutations only"
                )
                self._fail(names, what)
                return
        count = len(letter.uses) + len(letter.slots) + bool(letter.fixed)
        if letter.fixed:
            self._fail(names, _times(letter, count + bool(letter.free)))
            return
        if letter.free is not None:
            if count != 1:
                self._fail(names, _times(letter, count + 1))
            elif letter.slots:
                self._set(letter.slots[0], name, -1, letter)
            elif len(names) > 1:
                self._fail(names, _times(letter, 2))
            return
        is_pair = len(letter.uses) == 1 and len(letter.slots) == 1
        if is_pair:
            self._set(letter.slots[0], name, +1, letter)
        elif not (self.is_metric and len(letter.uses) == 2 == count and len(names) == 1):
            self._fail(names, _times(letter, count))

    def _set(self, slot: Slot, name: str, sign: int, letter: Letter) -> None:
        sign = 1 if self.is_metric else sign
        known = self.values.setdefault(slot, (name, sign))
        if known != (name, sign):
            if known[1] == sign:
                self.ties.add(frozenset((name, known[0])))
            what = (
                f"{_shown(slot)} would take {_matrix(known)} of {_name(known[0])} in one term and "
                f"{_matrix((name, sign))} of {_name(name)} in {letter.text}"
            )
            self._fail({name, known[0]}, what)

    def _hand_on(self, letter: Letter) -> None:
        for one, other in (letter.slots, letter.slots[::-1]):
            if one in self.values:
                name, sign = self.values[one]
                self._set(other, name, -sign, letter)

    def _set_neutral(self, slot: Slot, letter: Letter) -> None:
        if slot in self.values:
            name, _ = self.values[slot]
            what = (
                f"{_shown(slot)} takes a matrix in one term, and in {letter.text} its index "
                f"{letter.name} meets no field that does"
            )
            self._fail({name}, what)

    def _fail(self, names: set[str], why: str) -> None:
        for name in names:
            self.faults.setdefault(name, why)


class _Scaled:
    """Generalised permutations: where the numbers d go, their sizes and their signs apart."""

    def __init__(self, letters: Sequence[Letter], fields: frozenset[str]) -> None:
        self.exponents: dict[tuple[Slot, str], Exponent] = {}
        self.why = ""
        mine = [letter for letter in letters if fields & set(letter.fields)]
        slots = {slot for letter in mine for slot in letter.slots}
        # What is permuted on one letter is permuted on all others.
        for _ in letters:
            more = [x for x in letters if x not in mine and slots & set(x.slots)]
            if not more:
                break
            mine += more
            slots |= {slot for letter in more for slot in letter.slots}
        self.mine = mine
        self.slots = sorted(slots, key=lambda slot: (not slot.is_norm, slot))
        held = sorted({slot for letter in mine for slot in letter.held})
        # Exponents that are 0: one equation each.
        self.zeros = [[int(slot == h) for slot in self.slots] for h in held]
        sizes, signs = (
            [self._absorbing(name, of_signs) for name in sorted(fields)]
            for of_signs in (False, True)
        )
        has_sizes, has_signs = (all(s is not None for s in found) for found in (sizes, signs))
        for name, size, sign in zip(sorted(fields), sizes, signs, strict=True):
            for slot in self.slots:
                self.exponents[slot, name] = Exponent(
                    size[slot] if has_sizes and size is not None else Fraction(0),
                    int(sign[slot]) if has_signs and sign is not None else 0,
                )
        scales = {
            (True, True): "any", (True, False): "positive",
            (False, True): "signs", (False, False): "one",
        }[has_sizes, has_signs]  # fmt: skip
        shape = "diagonal" if any(letter.fixed for letter in mine) else "monomial"
        self.group = Group(shape, scales, common=has_sizes)

    def _absorbing(self, name: str, of_signs: bool) -> dict[Slot, Fraction] | None:
        """Return exponents of |d|, or modulo 2 of its sign, that absorb it; None for none."""
        rows, wanted = [*self.zeros], [0] * len(self.zeros)
        for letter in self.mine:
            total = -1 if letter.free == name else 0
            for use in (use for use in letter.uses if use.field == name):
                if use.parity == 0 if of_signs else use.power is None:
                    if not of_signs:
                        self.why = f"a function in {letter.text} does not pass a factor on"
                    return None
                total += int(use.parity == -1) if of_signs else use.power or 0
            rows.append([letter.slots.count(slot) for slot in self.slots])
            wanted.append(total)
        found = solution(rows, wanted, len(self.slots), modulo_2=of_signs)
        if found is None and not of_signs:
            self.why = (
                "no power of a factor of a component can be moved into the coefficients of all "
                "terms alike"
            )
        return None if found is None else dict(zip(self.slots, found, strict=True))


def _powers(
    terms: Sequence[Sequence[Letter]], fields: frozenset[str]
) -> dict[str, Fraction] | None:
    """Return by which powers of c coefficients absorb u = c v for all these fields, or None.

    Where norms stand between, which take factors of each component, none is looked for.
    """
    letters = [letter for term in terms for letter in term]
    if any(letter.held or any(use.power == 0 for use in letter.uses) for letter in letters):
        return None
    names = sorted({s.coefficient for term in terms for letter in term for s in letter.slots})
    rows, wanted = [], []
    for term in terms:
        if not any(fields & set(letter.fields) for letter in term):
            continue
        total = -sum(letter.free in fields for letter in term)
        for use in (use for letter in term for use in letter.uses if use.field in fields):
            if use.power is None:
                return None
            total += use.power
        # How often a coefficient stands in the term: by its first place.
        first = [slot for letter in term for slot in letter.slots if slot.place == 0]
        rows.append([sum(slot.coefficient == name for slot in first) for name in names])
        wanted.append(total)
    found = solution(rows, wanted, len(names))
    return None if found is None else dict(zip(names, found, strict=True))


def _times(letter: Letter, count: int) -> str:
    carriers = [_shown(slot) for slot in letter.slots]
    carriers += [f"the field {_name(use.field)}" for use in letter.uses]
    carriers += ["the left side"] if letter.free else []
    carriers += ["something that stays as it is"] if letter.fixed else []
    times = {1: "once", 2: "twice", 3: "three times", 4: "four times"}.get(count, f"{count} times")
    return (
        f"in {letter.text} the index {letter.name} stands {times}, on {_listed(carriers)}: that "
        "is a product component by component, or a sum of components"
        if letter.slots or count != 2
        else f"in {letter.text} the index {letter.name} stands on {_listed(carriers)} without a "
        "coefficient"
    )


def _shown(slot: Slot) -> str:
    ordinal = ("first", "second", "third", "fourth")
    place = ordinal[slot.place] if slot.place < len(ordinal) else f"{slot.place + 1}th"
    return f"{_name(slot.coefficient)} ({place} index)"


def _name(label: str) -> str:
    """Return a name without the place in a network, which the term's text tells."""
    return label.partition(" of ")[0]


def _matrix(value: tuple[str, int]) -> str:
    return "P" if value[1] > 0 else "P⁻¹"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
