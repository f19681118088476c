"""The catalogue: well-known equations by name, each with its parameters, units and source.

The equations themselves stand in `classical` (heat, waves, flow, …) and `quasilinear` (the systems
behind ConvNets). They are built when first asked for.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping

from pdenet.equation.classical import CLASSICAL
from pdenet.equation.pde import PDE
from pdenet.equation.quasilinear import QUASILINEAR
from pdenet.equation.system import Parameter
from pdenet.errors import EquationError, UnknownNameError, suggest

_BUILDERS: Mapping[str, Callable[..., PDE]] = {**CLASSICAL, **QUASILINEAR}


class Catalogue(Mapping[str, PDE]):
    """A read-only mapping from names to equations, each a `PDE`.

    `catalogue[name]` is the equation with its default options, always the same object;
    `catalogue.build(name, dimension=1)` makes a variant.

    Example:
        >>> print(catalogue["heat"])
        u_t = D (u_xx + u_yy)
        >>> print(catalogue.build("heat", dimension=1))
        u_t = D u_xx
    """

    def __init__(self) -> None:
        self._made: dict[str, PDE] = {}

    def __getitem__(self, name: str) -> PDE:
        builder = self._builder(name)
        if name not in self._made:
            self._made[name] = builder()
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in _BUILDERS  # Mapping's own would build the equation

    def __iter__(self) -> Iterator[str]:
        return iter(_BUILDERS)

    def __len__(self) -> int:
        return len(_BUILDERS)

    def __repr__(self) -> str:
        return f"<catalogue: {', '.join(_BUILDERS)}>"

    def options(self, name: str) -> dict[str, object]:
        """Return the options of `build` for one equation, with the values used by default.

        Args:
            name: a name of the catalogue.

        Raises:
            UnknownNameError: the catalogue has no such name.

        Example:
            >>> catalogue.options("burgers_1d")
            {'form': 'advective'}
        """
        signature = inspect.signature(self._builder(name))
        return {option.name: option.default for option in signature.parameters.values()}

    def build(self, name: str, **options: object) -> PDE:
        """Return a variant of an equation.

        Args:
            name: a name of the catalogue.
            **options: see `options(name)`: `dimension=`, the number of space coordinates; `form=`,
                "advective" (products of fields and derivatives) or "divergence" (fluxes, so that
                the scheme conserves); `n=`, the number of components of eq2 … eq7 and eq9;
                `fields=`, `A=` and `B=` of eq1.

        Raises:
            UnknownNameError: the catalogue has no such name.
            EquationError: the equation has no such option, or not that value of it.
        """
        known = self.options(name)
        for option in options:
            if option not in known:
                raise EquationError(
                    f"{name!r} has the options {', '.join(known) or 'none'}; got "
                    f"{option}={options[option]!r}; leave it out.{suggest(option, known)}"
                )
        return self[name] if not options else self._builder(name)(**options)

    def describe(self, name: str, **options: object) -> str:
        """Return what there is to know about an equation, as text of several lines.

        Args:
            name: a name of the catalogue.
            **options: as in `build`.

        Raises:
            UnknownNameError: the catalogue has no such name.
            EquationError: as in `build`.

        Example:
            >>> print(catalogue.describe("heat"))  # doctest: +ELLIPSIS
            heat: Heat flow, or diffusion, of a density u.
              u_t = D (u_xx + u_yy)
            kind: linear, order 2 in space, first order in time, constant coefficients
            parameters:
              D = 0.1  [length²/time]  diffusivity
            options: dimension=2
            source: ...
        """
        pde = self.build(name, **options)
        lines = [f"{name}: {pde.description}", *(f"  {line}" for line in str(pde).splitlines())]
        lines.append(f"kind: {pde.analysis}")
        lines.append("parameters:" if pde.parameters else "parameters: none")
        lines += [f"  {_parameter(p)}" for p in pde.parameters]
        chosen = {**self.options(name), **options}
        shown = ", ".join(f"{k}={_option(v)}" for k, v in chosen.items())
        return "\n".join([*lines, f"options: {shown or 'none'}", f"source: {pde.source}"])

    def _builder(self, name: str) -> Callable[..., PDE]:
        if not isinstance(name, str) or name not in _BUILDERS:
            raise UnknownNameError(
                f"the catalogue holds {', '.join(_BUILDERS)}; got {name!r}."
                f"{suggest(name, _BUILDERS)}"
            )
        return _BUILDERS[name]


def _parameter(parameter: Parameter) -> str:
    shape = f" ({', '.join(map(str, parameter.shape))})" if parameter.shape else ""
    value = "" if parameter.default is None else f" = {parameter.default}"
    return f"{parameter.name}{shape}{value}  [{parameter.unit}]  {parameter.description}"


def _option(value: object) -> str:
    return value if isinstance(value, str) else "default" if value is None else str(value)


catalogue = Catalogue()
"""The one catalogue, as `pdenet.catalogue`."""
