"""PDE: one equation object, and its doors to the simulator and to the network."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any  # Any: values= takes numbers, arrays, tensors, expressions

import sympy as sp

from pdenet.equation import analysis, printing
from pdenet.equation.names import key_name
from pdenet.equation.reading import (
    read_system,
    scalar_equations,
    solved_equations,
    with_metadata,
)
from pdenet.equation.symbols import as_expression, equation
from pdenet.equation.system import Parameter, System
from pdenet.errors import EquationError, suggest

if TYPE_CHECKING:
    from pdenet.discrete.boundary import Boundary
    from pdenet.discrete.grid import Grid
    from pdenet.network.convnet.classifier import Classifier
    from pdenet.network.network import Network
    from pdenet.simulate.solver import Solver
    from pdenet.symmetry.equation.symmetries import Symmetries


class PDE:
    """A quasi-linear system of evolution equations, ∂u/∂t = F(x, t, u, ∂u, …).

    Args:
        equations: one `sympy.Eq`, several, or one of matrices. An equation of second order in
            time becomes two of first order; the generated component is named "u_t". With
            `evaluate=False` SymPy's `Eq` is a thousand times as fast, and the equation the same.
        name: a short name for messages and files.
        defaults: values that parameters have when `values=` leaves them out.
        units: units of the parameters; what is not named is dimensionless.
        descriptions: a few words on each parameter.
        description: a sentence on the equation.
        source: where the equation is from.

    Raises:
        EquationError: the equations are not of the language; the message says how to mend them.

    Example:
        >>> import sympy as sp
        >>> from pdenet import PDE, coordinates, fields
        >>> t, x, y = coordinates("t x y")
        >>> u = fields("u", (t, x, y))
        >>> D = sp.Symbol("D", positive=True)
        >>> print(PDE(sp.Eq(u.diff(t), D * (u.diff(x, 2) + u.diff(y, 2)))))
        u_t = D (u_xx + u_yy)
    """

    def __init__(
        self,
        *equations: object,
        name: str = "",
        defaults: Mapping[Any, Any] | None = None,
        units: Mapping[Any, str] | None = None,
        descriptions: Mapping[Any, str] | None = None,
        description: str = "",
        source: str = "",
    ) -> None:
        self.name = name
        self.description = description
        self.source = source
        self.equations = scalar_equations(equations)
        system = read_system(self.equations)
        self.system: System = with_metadata(
            system, _metadata(system, defaults or {}, units or {}, descriptions or {})
        )

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Everything that `values=` fills in: scalars, functions, tensors and sizes, by name."""
        return self.system.parameters

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields of the first-order system."""
        return self.system.field_names

    @property
    def axes(self) -> tuple[str, ...]:
        """The space coordinates."""
        return self.system.axes

    @cached_property
    def analysis(self) -> analysis.Analysis:
        """Order, kind (linear, quasi-linear, nonlinear) and more; see `Analysis`."""
        return analysis.analyse(self.system)

    def with_sources(self, sources: Mapping[Any, sp.Expr]) -> PDE:
        """Return the PDE with sources added, each to the equation of its field.

        Args:
            sources: for each field (or its name), an expression in x, y, z, t and parameters. For
                a field of second order in time it is added to u_tt.

        Returns:
            A PDE with the same parameters and defaults.

        Raises:
            EquationError: a field is unknown.

        Example:
            >>> import sympy as sp
            >>> from pdenet import catalogue
            >>> x = sp.Symbol("x")
            >>> print(catalogue["burgers_1d"].with_sources({"u": sp.sin(x)}))
            u_t = nu u_xx - u u_x + sin(x)
        """
        table = {key_name(k): as_expression(v, "a source") for k, v in sources.items()}
        written = self.system.written
        unknown = [k for k in table if k not in written]
        if unknown:
            raise EquationError(
                f"sources belong to the fields {', '.join(written)}; got {unknown[0]!r}."
                f"{suggest(unknown[0], written)}"
            )
        equations = [
            equation(left, right + table.get(name, sp.S.Zero))
            for name, left, right in solved_equations(self.system)
        ]
        return PDE(
            *equations,
            name=self.name,
            defaults={p.name: p.default for p in self.parameters if p.default is not None},
            units={p.name: p.unit for p in self.parameters},
            descriptions={p.name: p.description for p in self.parameters},
            description=self.description,
            source=self.source,
        )

    def to_solver(self, grid: Grid, boundary: Boundary, **options: Any) -> Solver:
        """Compile to an explicit finite-difference simulator; see `pdenet.Solver`."""
        from pdenet.simulate.solver import Solver

        return Solver(self, grid, boundary, **options)

    def to_network(self, grid: Grid, boundary: Boundary, **options: Any) -> Network:
        """Compile to a PyTorch module that takes time steps; see `pdenet.Network`."""
        from pdenet.network.network import Network

        return Network(self, grid, boundary, **options)

    def to_classifier(self, num_classes: int, **options: Any) -> Classifier:
        """Compile to a trainable image classifier; see `pdenet.Classifier`."""
        from pdenet.network.convnet.classifier import Classifier

        return Classifier(self, num_classes, **options)

    def symmetries(self, values: Mapping[Any, Any] | None = None) -> Symmetries:
        """Find the symmetries, exactly; see `pdenet.symmetry.Symmetries`."""
        from pdenet.symmetry.equation.symmetries import symmetries_of

        return symmetries_of(self.system, values)

    def latex(self) -> str:
        """Return the equations in LaTeX, without dollar signs."""
        lines = [printing.latex(one) for one in self.equations]
        if len(lines) == 1:
            return lines[0]
        body = r" \\ ".join(line.replace(" = ", " &= ", 1) for line in lines)
        return rf"\begin{{aligned}} {body} \end{{aligned}}"

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    def __str__(self) -> str:
        return "\n".join(map(printing.text, self.equations))

    def __repr__(self) -> str:
        label = f" {self.name}" if self.name else ""
        return f"<PDE{label}: {'; '.join(str(self).splitlines())}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PDE) and self.system == other.system

    def __hash__(self) -> int:
        return hash(self.system)


def _metadata(
    system: System, defaults: Mapping[Any, Any], units: Mapping[Any, str], texts: Mapping[Any, str]
) -> dict[str, Parameter]:
    known = {p.name: p for p in system.parameters}
    tables = [{key_name(k): v for k, v in table.items()} for table in (defaults, units, texts)]
    for table in tables:
        for name in table:
            if name not in known:
                raise EquationError(
                    f"metadata belongs to the parameters {', '.join(known) or 'none'}; got "
                    f"{name!r}.{suggest(name, known)}"
                )
    return {
        name: Parameter(
            name,
            p.kind,
            p.shape,
            p.arguments,
            default=tables[0].get(name),
            unit=tables[1].get(name, "dimensionless"),
            description=tables[2].get(name, ""),
        )
        for name, p in known.items()
    }
