"""Jets: an equation as expressions in u, u_x, u_xy, … that are taken for independent symbols.

A symmetry is found by algebra in the jet space, where a field and each of its derivatives are
coordinates of their own. `writing.jet_system` writes ∂u_j/∂t = F_j(t, x, u, u_x, …) with

    fluxes carried out,  ∂_a P = P_a + Σ P_{u_α} u_{α+a},

vector fields written out in components where the sizes and tensors are numbers, and parameters
without a value kept as symbols, which stand for generic values.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import sympy as sp

from pdenet.equation.canonical import expand
from pdenet.equation.symbols import TIME, canonical_symbol
from pdenet.errors import SymmetryError

Order = tuple[int, ...]  # of a derivative, along each axis


class Jet(sp.Symbol):
    """A component or one of its derivatives, as a symbol of its own.

    The class keeps it apart from a parameter of the same name.
    """

    def __new__(cls, name: str) -> Jet:
        """Make the jet coordinate of that name."""
        return super().__new__(cls, name, real=True)

    @classmethod
    def class_key(cls) -> tuple[int, int, str]:
        """Return SymPy's printing order: after parameters, so D u_xx."""
        return 3, 0, cls.__name__


@dataclass(frozen=True, eq=False)
class JetSystem:
    """∂u_j/∂t = F_j in jet coordinates.

    Attributes:
        axes: the space coordinates.
        components: the names of the components, generated ones such as "u_t" included.
        rate_of: for a generated component the number of that whose rate it is, else None.
        right_sides: F_j, multiplied out, in jets, coordinates and parameters.
    """

    axes: tuple[str, ...]
    components: tuple[str, ...]
    rate_of: tuple[int | None, ...]
    right_sides: tuple[sp.Expr, ...]
    _jets: dict[tuple[int, Order], Jet]
    _places: dict[sp.Symbol, tuple[int, Order]] = field(default_factory=dict)

    @property
    def has_cases(self) -> bool:
        """Whether a right side is written by cases, `Piecewise`, whose jumps SymPy derives to 0."""
        return any(right.has(sp.Piecewise) for right in self.right_sides)

    def refuse_cases(self, what: str) -> None:
        """Refuse what would need the derivatives of jumps.

        Raises:
            SymmetryError: a right side is written by cases.
        """
        if self.has_cases:
            raise SymmetryError(
                f"{what} are found from derivatives of the right side; got one with Piecewise, "
                "whose jumps would be lost; write it with sign, Heaviside, Max or Min, or ask for "
                "the turns, translations and scalings alone"
            )

    @property
    def dimension(self) -> int:
        """The number of space dimensions."""
        return len(self.axes)

    @property
    def num_components(self) -> int:
        """The number of components."""
        return len(self.components)

    @property
    def coordinates(self) -> tuple[sp.Symbol, ...]:
        """t, x, y, z as far as they go."""
        return tuple(canonical_symbol(name) for name in (TIME, *self.axes))

    @property
    def zero(self) -> Order:
        """The order of no derivative."""
        return (0,) * self.dimension

    def jet(self, component: int, order: Order) -> Jet:
        """Return the symbol of ∂^order of a component."""
        key = (component, order)
        if key not in self._jets:
            name = self.components[component]
            letters = "".join(a * k for a, k in zip(self.axes, order, strict=True))
            label = name if not letters else f"{name}_{letters}"
            if letters and ("[" in name or label in self.components or name.endswith("_t")):
                label = f"∂{letters} {name}"  # a field may be called u_x
            self._jets[key] = Jet(label)
        self._places[self._jets[key]] = key
        return self._jets[key]

    def known(self) -> list[tuple[tuple[int, Order], Jet]]:
        """Return all jets asked for so far, with their components and orders."""
        return list(self._jets.items())

    def place(self, symbol: sp.Symbol) -> tuple[int, Order]:
        """Return the component and the order of a jet symbol."""
        return self._places[symbol]

    def jets_in(self, expr: sp.Basic) -> list[Jet]:
        """Return the jet symbols of an expression, in a fixed order."""
        found = [s for s in expr.free_symbols if isinstance(s, Jet)]
        return sorted(found, key=self.place)

    def parameters_in(self, *exprs: sp.Basic) -> list[sp.Symbol]:
        """Return the symbols that are neither jets nor coordinates, by name."""
        every = {s for e in exprs for s in e.free_symbols if not isinstance(s, Jet)}
        return sorted(every - set(self.coordinates), key=lambda s: s.name)

    def total_derivative(self, expr: sp.Expr, axis: int) -> sp.Expr:
        """Return ∂_a of an expression in jets along a space axis, by the chain rule."""
        chain = (sp.diff(expr, jet) * self.next(jet, axis) for jet in self.jets_in(expr))
        return sp.Add(sp.diff(expr, self.coordinates[1 + axis]), *chain)

    def next(self, jet: sp.Symbol, axis: int) -> Jet:
        """Return the jet with one more derivative along `axis`."""
        component, order = self.place(jet)
        return self.jet(component, tuple(k + (b == axis) for b, k in enumerate(order)))

    def order(self) -> int:
        """Return the highest order of a derivative in the right sides."""
        every = (self.place(j)[1] for right in self.right_sides for j in self.jets_in(right))
        return max((sum(order) for order in every), default=0)

    def equation_name(self, component: int) -> str:
        """Return the left side of an equation as text: u_t, or u_tt for the rate of u."""
        name = self.components[component]
        if self.rate_of[component] is not None:
            return f"{name}t"
        return f"{name}_t" if "[" not in name else f"∂t {name}"


def normal(expr: sp.Expr) -> sp.Expr:
    """Return an expression multiplied out, its fractions cancelled where jets stand below.

    Two ways to write (H + h)²/(H + h) must not look different.
    """
    made = expand(expr)
    below = [p.base for p in made.atoms(sp.Pow) if p.exp.is_Integer and p.exp < 0]
    if not any(b.is_Add for b in below):
        return made
    above, under = sp.fraction(sp.cancel(made))
    symbols = sorted((s for s in under.free_symbols if isinstance(s, Jet)), key=lambda s: s.name)
    if not symbols or not under.is_polynomial(*symbols) or not above.is_polynomial(*symbols):
        return expand(sp.cancel(made))
    whole, rest = sp.div(above, under, *symbols)
    bottom = sp.factor(under)
    return expand(whole) + sp.Add(*(term / bottom for term in sp.Add.make_args(expand(rest))))
