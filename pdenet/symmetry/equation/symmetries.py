"""Symmetries: everything an equation's symmetries are, each part computed when it is asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any  # values are numbers, arrays or expressions

from pdenet.equation.names import key_name
from pdenet.equation.system import System
from pdenet.errors import SymmetryError
from pdenet.symmetry.equation.family import FamilyGroup, family_group
from pdenet.symmetry.equation.found import Found
from pdenet.symmetry.equation.generators import affine_generators
from pdenet.symmetry.equation.internal import InternalAlgebra, internal_algebra
from pdenet.symmetry.equation.jets import JetSystem
from pdenet.symmetry.equation.lattice import lattice_symmetries
from pdenet.symmetry.equation.lattice_action import LatticeSymmetry
from pdenet.symmetry.equation.lattice_family import family_lattice
from pdenet.symmetry.equation.runs import Check, Symmetry
from pdenet.symmetry.equation.scalings import Scaling, scalings
from pdenet.symmetry.equation.translations import Translation, family_translations, translations
from pdenet.symmetry.equation.vector_fields import Generator
from pdenet.symmetry.equation.writing import is_family, jet_system

if TYPE_CHECKING:
    from pdenet.simulate.solver import Solver


@dataclass(frozen=True)
class Row:
    """One symmetry.

    Attributes:
        kind: "lattice", "reversal", "translation", "scaling", "dimensional", "internal" or
            "generator".
        name: the symmetry.
        check: how far it is from holding; None where grid or boundary admit no proof.
        reason: why there is no proof.
    """

    kind: str
    name: str
    check: Check | None
    reason: str = ""

    def __str__(self) -> str:
        result = f"not checked: {self.reason}" if self.check is None else str(self.check)
        return f"{self.kind:<12} {self.name:<40} {result}"


@dataclass(frozen=True)
class CheckTable:
    """All rows; generators hold to the order of the scheme, the other kinds to rounding."""

    rows: tuple[Row, ...]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def largest(self, kind: str) -> float:
        """Return the largest relative difference of one kind; NaN where nothing was compared."""
        checks = [row.check for row in self.rows if row.kind == kind and row.check is not None]
        compared = [check.relative for check in checks if not check.is_empty]
        # A difference of NaN, as of a run that blew up, is the answer; max alone may lose it.
        return max(compared, key=lambda r: (math.isnan(r), r), default=math.nan)

    def __str__(self) -> str:
        return "\n".join(map(str, self.rows))


@dataclass(frozen=True, eq=False)
class Symmetries:
    """The symmetries of an equation, exact; made by `pde.symmetries(values)`.

    An equation whose sizes or coefficient tensors are left open is a family: it has `lattice`,
    `reversals`, `translations` and `family`; the other parts ask for values.

    Attributes:
        system: the equation in canonical form.
        values: numbers, exact, or expressions for parameters; what is left out is generic.

    Example:
        >>> from pdenet.equation.catalogue import catalogue
        >>> kdv = catalogue["kdv"].symmetries()
        >>> print(*kdv.generators, sep="; ")
        ∂t; ∂x; 3 t ∂t + x ∂x − 2 u ∂u; 6 t ∂x + ∂u
        >>> print(kdv.lattice)
        identity
        not mirror x → −x: -u_xxx in u_t becomes u_xxx
        >>> print(kdv.reversals[0])
        t → −t with mirror x → −x
    """

    system: System
    values: Mapping[Any, Any] = field(default_factory=dict)

    @cached_property
    def is_family(self) -> bool:
        """Whether sizes or tensors are left open."""
        return is_family(self.system, self.values)

    @cached_property
    def jets(self) -> JetSystem:
        """The equation in jet coordinates.

        Raises:
            SymmetryError: the equation is a family, or a value is of the wrong kind.
        """
        if self.is_family:
            names = ", ".join(p.name for p in self.system.parameters if p.kind != "scalar")
            raise SymmetryError(
                "scalings, internal symmetries and generators are those of one system; got a "
                f"family, with {names} left open; give values= for them, or ask for .family"
            )
        return jet_system(self.system, self.values)

    @cached_property
    def _lattices(self) -> tuple[Found[LatticeSymmetry], Found[LatticeSymmetry]]:
        return family_lattice(self.system) if self.is_family else lattice_symmetries(self.jets)

    @property
    def lattice(self) -> Found[LatticeSymmetry]:
        """The turns and mirrors of the grid, with their action on the components."""
        return self._lattices[0]

    @property
    def reversals(self) -> Found[LatticeSymmetry]:
        """The reversals of time, alone or with a turn or mirror."""
        return self._lattices[1]

    @cached_property
    def translations(self) -> Found[Translation]:
        """Shifts along t and the axes."""
        return family_translations(self.system) if self.is_family else translations(self.jets)

    @cached_property
    def scalings(self) -> tuple[Scaling, ...]:
        """A basis of the scalings of t, x and u, the parameters held fixed."""
        return scalings(self.jets)

    @cached_property
    def dimensional(self) -> tuple[Scaling, ...]:
        """A basis of the scalings in which scalar parameters scale too: dimensional analysis."""
        return scalings(self.jets, with_parameters=True)

    @cached_property
    def internal(self) -> InternalAlgebra:
        """The linear maps of the components, alike at every point."""
        self.jets.refuse_cases("internal symmetries")
        return internal_algebra(self.jets)

    @cached_property
    def generators(self) -> tuple[Generator, ...]:
        """A basis of the Lie point symmetries that are affine in (t, x, u)."""
        self.jets.refuse_cases("generators")
        return affine_generators(self.jets)

    @cached_property
    def family(self) -> FamilyGroup:
        """The group that maps a family of systems to itself, with its action on coefficients."""
        return family_group(self.system)

    def check(
        self, solver: Solver, state: object | None = None, until: float | None = None
    ) -> CheckTable:
        """Check every symmetry on a grid.

        Args:
            solver: a solver of the equation.
            state: an initial state, or None for a smooth sample.
            until: how long to run, or None for eight steps.

        Returns:
            One row a symmetry; where grid or boundary do not admit a proof, the reason.
        """
        rows = []
        for kind, elements in self.parts().items():
            for one in elements:
                shown = str(one) if kind == "generator" else one.name
                try:
                    rows.append(Row(kind, shown, one.check(solver, state, until)))
                except SymmetryError as error:
                    rows.append(Row(kind, shown, None, str(error)))
        return CheckTable(tuple(rows))

    def parts(self) -> dict[str, tuple[Symmetry, ...]]:
        """Return all symmetries by kind: "lattice", "reversal", "translation", and so on."""
        made: dict[str, tuple[Symmetry, ...]] = {
            "lattice": self.lattice.elements,
            "reversal": self.reversals.elements,
            "translation": self.translations.elements,
        }
        if not self.is_family:
            made["scaling"] = self.scalings
            made["dimensional"] = self.dimensional
            if not self.jets.has_cases:
                made["internal"] = self.internal.elements
                made["generator"] = self.generators
        return made

    def __str__(self) -> str:
        parts = {
            "turns and mirrors of the grid": str(self.lattice),
            "with time reversed": str(self.reversals),
            "translations": str(self.translations),
        }
        if self.is_family:
            parts["changes of unknowns"] = str(self.family)
        else:
            parts["scalings, parameters fixed"] = "\n".join(map(str, self.scalings))
            parts["scalings, parameters too"] = "\n".join(map(str, self.dimensional))
            if self.jets.has_cases:
                left = "not looked for: the right side is written by cases, Piecewise"
                parts["internal symmetries"] = parts["affine generators"] = left
            else:
                parts["internal symmetries"] = str(self.internal)
                lines = [f"{v}  ({v.name})" if v.name else str(v) for v in self.generators]
                parts["affine generators"] = "\n".join(lines)
        lines = []
        for title, body in parts.items():
            lines += [title, *(f"  {line}" for line in (body or "none").splitlines())]
        return "\n".join(lines)


def symmetries_of(system: System, values: Mapping[Any, Any] | None = None) -> Symmetries:
    """Return the symmetries of a system; see `pdenet.PDE.symmetries`.

    Raises:
        SymmetryError: a value is of the wrong kind, or some tensors have values and others none.
    """
    made = Symmetries(system, dict(values or {}))
    if not made.is_family:
        return made
    kinds = {p.name: p.kind for p in system.parameters}
    used = [n for n in map(key_name, made.values) if kinds[n] != "size"]
    if used:
        given = set(map(key_name, made.values))
        left = [n for n, kind in kinds.items() if kind == "tensor" and n not in given]
        raise SymmetryError(
            f"a family has no values and one system has them all; got {', '.join(used)} and not "
            f"{', '.join(left) or 'the sizes'}; give those too, or none"
        )
    return made
