"""Values for parameters: every name of an equation gets its number, array, tensor or expression."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any  # values are numbers, arrays of NumPy or torch, or SymPy expressions

import numpy as np
import sympy as sp

from pdenet.checks import is_integer
from pdenet.equation.functions import plain, to_canonical
from pdenet.equation.names import key_name
from pdenet.equation.reading import substituted
from pdenet.equation.symbols import TIME
from pdenet.equation.system import FieldInfo, Parameter, System
from pdenet.errors import EquationError, ValuesError, suggest


@dataclass(frozen=True, eq=False)
class Values:
    """A system with everything that `values=` fills in.

    Attributes:
        system: the system, with coefficient functions that are given as expressions put in.
        numbers: a float, an array or a tensor for each scalar and each coefficient function.
        tensors: for each coefficient an array of its shape, float64 or, where entries are
            expressions in coordinates, object; a shape longer by the grid's means varying entries.
        sizes: an integer for each symbolic size.
        walls: the value of each boundary condition that has one, by (field, axis, end): a number,
            an array or a tensor over the side, or an expression in canonical symbols.
    """

    system: System
    numbers: Mapping[str, Any]
    tensors: Mapping[str, Any]
    sizes: Mapping[str, int]
    walls: Mapping[tuple[str, int, int], Any] = field(default_factory=dict)

    def size(self, expr: sp.Expr) -> int:
        """Return a size as an integer."""
        table = {s: self.sizes[s.name] for s in expr.free_symbols}
        return int(expr.xreplace(table))

    def num_components(self, info: FieldInfo) -> int:
        """Return how many components a field has."""
        return 1 if info.size is None else self.size(info.size)

    @property
    def components(self) -> tuple[str, ...]:
        """Return the names of the state's components, "u" or "u[0]", "u[1]" and so on."""
        names: list[str] = []
        for info in self.system.fields:
            if info.size is None:
                names.append(info.name)
            else:
                names += [f"{info.name}[{k}]" for k in range(self.size(info.size))]
        return tuple(names)

    @property
    def slices(self) -> dict[str, slice]:
        """Return where each field stands in the state."""
        made: dict[str, slice] = {}
        start = 0
        for info in self.system.fields:
            stop = start + self.num_components(info)
            made[info.name] = slice(start, stop)
            start = stop
        return made


def is_tensor(value: object) -> bool:
    """Tell whether a value is a torch tensor, without importing torch."""
    module = getattr(type(value), "__module__", None) or ""  # SymPy's functions have none
    return module.partition(".")[0] == "torch" and hasattr(value, "detach")


def as_numpy(value: Any) -> np.ndarray:
    """Return a number, an array or a tensor as a NumPy array, for checks and bounds."""
    return np.asarray(value.detach().cpu().numpy() if is_tensor(value) else value)


def bind(system: System, values: Mapping[Any, Any] | None, extra: Iterable[str] = ()) -> Values:
    """Match `values` with the parameters of a system.

    Args:
        system: the system.
        values: for each parameter (by name, symbol, coefficient or function) its value. Scalars
            are numbers or 0-d tensors; coefficient functions c(x, y) are numbers, arrays over the
            grid or expressions; coefficients are arrays of their shape, of numbers or expressions.
        extra: further names that need a number, those in boundary values.

    Raises:
        ValuesError: a name is unknown, missing, given twice, or its value is of the wrong kind.
    """
    if values is not None and not isinstance(values, Mapping):
        raise ValuesError(
            f"values= is a mapping from parameters to values; got {str(values)[:60]!r} "
            f"({type(values).__name__}); write values={{'D': 0.1}}"
        )
    given: dict[str, Any] = {}
    for key, value in (values or {}).items():
        name = key_name(key)
        if name in given:
            raise ValuesError(f"one value a name was expected; got two for {name!r}; remove one")
        given[name] = value
    known = {p.name: p for p in system.parameters}
    for name in extra:
        known.setdefault(name, Parameter(name, "scalar"))
    for name in given:
        if name not in known:
            raise ValuesError(
                f"the parameters are {', '.join(known) or 'none'}; got a value for {name!r}."
                f"{suggest(name, known)}"
            )
    for name, parameter in known.items():
        if name not in given and parameter.default is not None:
            given[name] = parameter.default
    tensors = {
        n: _tensor(known[n], v, system) for n, v in given.items() if known[n].kind == "tensor"
    }
    sizes = _sizes(known, given, tensors)
    missing = [n for n, p in known.items() if n not in given and n not in sizes]
    if missing:
        shown = ", ".join(_described(known[n]) for n in missing)
        raise ValuesError(
            f"every parameter needs a value; got none for {shown}; "
            f"give values={{{missing[0]!r}: ...}}"
        )
    table: dict[str, sp.Expr] = {}
    found: dict[str, Any] = {}
    for name, parameter in known.items():
        if parameter.kind == "scalar":
            found[name] = _scalar(name, given[name])
        elif parameter.kind == "function":
            value = given[name]
            if isinstance(value, sp.Expr) and not value.is_number:
                table[name] = _expression(parameter, value, known)
            else:
                found[name] = _function(parameter, value)
    if table:
        system = substituted(system, table)
    _refuse_derivatives(system)
    return Values(system, found, tensors, sizes)


def _described(parameter: Parameter) -> str:
    if parameter.kind == "tensor":
        return f"{parameter.name} of shape ({', '.join(map(str, parameter.shape))})"
    if parameter.kind == "function":
        return f"{parameter.name}({', '.join(parameter.arguments)})"
    return parameter.name


def _scalar(name: str, value: Any) -> Any:
    if is_tensor(value) and value.ndim == 0:
        number: Any = float(value.detach())
    elif isinstance(value, sp.Expr) and value.is_number:
        if not value.is_real:
            raise ValuesError(f"parameter {name!r} is a real number; got {value}; mend it")
        value = number = float(value)
    elif isinstance(value, np.ndarray) and value.ndim == 0:
        value = number = value.item()
    else:
        number = value
    if isinstance(number, bool | np.bool_ | str) or not isinstance(number, numbers.Real):
        hint = (
            "; a coefficient that varies in space is written as a function, "
            f'sp.Function("{name}")(x, y)'
            if isinstance(value, sp.Expr | np.ndarray) or is_tensor(value)
            else "; texts are read by pn.parse_expression"
            if isinstance(value, str)
            else "; give a float"
        )
        raise ValuesError(
            f"parameter {name!r} is one real number; got {_short(value)} "
            f"({type(value).__name__}){hint}"
        )
    if not math.isfinite(number):
        raise ValuesError(f"parameter {name!r} is finite; got {number}; mend it")
    return value if is_tensor(value) else float(number)


def _short(value: object) -> str:
    shape = getattr(value, "shape", ())
    return f"an array of shape {tuple(shape)}" if shape else repr(value)[:60]


def _function(parameter: Parameter, value: Any) -> Any:
    """Return a coefficient function that is given as a number or as an array over the grid."""
    if isinstance(value, np.ndarray) or (is_tensor(value) and value.ndim > 0):
        if value.ndim == 0:
            return _scalar(parameter.name, value)
        array = as_numpy(value)
        if array.dtype.kind not in "fiu":
            raise ValuesError(
                f"coefficient {parameter.name!r} is an array of real numbers; got dtype "
                f"{array.dtype}; convert it"
            )
        _check_finite(parameter, array)
        return value if is_tensor(value) else array
    return _scalar(parameter.name, value)


def _expression(parameter: Parameter, value: sp.Expr, known: Mapping[str, Parameter]) -> sp.Expr:
    allowed = [*parameter.arguments, *(n for n, p in known.items() if p.kind == "scalar")]
    try:
        return to_canonical(value, f"coefficient {parameter.name!r}", allowed)
    except EquationError as error:
        raise ValuesError(str(error)) from error


def _tensor(parameter: Parameter, value: Any, system: System) -> Any:
    rank = len(parameter.shape)
    if is_tensor(value):
        array: Any = value
        check = as_numpy(value)
    elif isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
        array = check = value.astype(np.float64)
    else:
        if isinstance(value, sp.MatrixBase | sp.NDimArray):
            value = np.array(value.tolist(), dtype=object)
        try:
            array = np.array(value, dtype=object)
        except ValueError:
            array = np.empty(1, dtype=object)
            array[0] = []
        if any(isinstance(e, list | tuple) for e in array.flat):
            raise ValuesError(
                f"coefficient {parameter.name!r} is an array of shape "
                f"({', '.join(map(str, parameter.shape))}); got rows of different lengths; make "
                "them equal"
            )
        if not array.size or any(isinstance(e, bool | np.bool_ | str) for e in array.flat):
            raise ValuesError(
                f"coefficient {parameter.name!r} holds real numbers or expressions; got "
                f"{_short(value)} of other things; convert it"
            )
        if any(isinstance(e, sp.Expr) and not e.is_number for e in array.flat):
            array = _expressions(parameter, array, system)
            check = np.zeros(array.shape)
        else:
            try:
                array = check = array.astype(np.float64)
            except (TypeError, ValueError) as error:
                raise ValuesError(
                    f"coefficient {parameter.name!r} holds real numbers; got {_short(value)}; "
                    "convert it"
                ) from error
    if check.ndim not in (rank, rank + system.dimension):
        raise ValuesError(
            f"coefficient {parameter.name!r} has {rank} indices, shape "
            f"({', '.join(map(str, parameter.shape))}), plus the grid's where it varies; got "
            f"shape {tuple(check.shape)}; reshape it"
        )
    _check_finite(parameter, check)
    return array


def _check_finite(parameter: Parameter, array: np.ndarray) -> None:
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        raise ValuesError(
            f"coefficient {parameter.name!r} is finite; got {array[tuple(bad[0])]} at cell "
            f"{tuple(int(k) for k in bad[0])}; mend it"
        )


def _expressions(parameter: Parameter, array: np.ndarray, system: System) -> np.ndarray:
    allowed = [TIME, *system.axes, *(p.name for p in system.parameters if p.kind == "scalar")]
    made = np.empty(array.shape, dtype=object)
    for place in np.ndindex(array.shape):
        entry = array[place]
        entry = entry if isinstance(entry, sp.Expr) else sp.Float(float(entry))
        try:
            made[place] = to_canonical(entry, f"coefficient {parameter.name!r}", allowed)
        except EquationError as error:
            raise ValuesError(str(error)) from error
    return made


def _sizes(
    known: Mapping[str, Parameter], given: Mapping[str, Any], tensors: Mapping[str, Any]
) -> dict[str, int]:
    """Read symbolic sizes off the shapes of the tensors, and check that they agree."""
    sizes: dict[str, int] = {}
    for name, parameter in known.items():
        if parameter.kind == "size" and name in given:
            value = given[name]
            if not is_integer(value) or value < 1:
                raise ValuesError(
                    f"size {name!r} is a positive integer; got {value!r} "
                    f"({type(value).__name__}); give the number of components"
                )
            sizes[name] = int(value)
    pairs = [
        (name, expr, actual)
        for name, array in tensors.items()
        for expr, actual in zip(known[name].shape, array.shape, strict=False)
    ]
    for _, expr, actual in pairs:
        if expr.is_Symbol:
            sizes.setdefault(expr.name, int(actual))
    for _, expr, actual in pairs:
        unknown = [s for s in expr.free_symbols if s.name not in sizes]
        if len(unknown) == 1:
            solved = sp.solve(expr - int(actual), unknown[0])
            if len(solved) == 1 and solved[0].is_Integer:
                sizes[unknown[0].name] = int(solved[0])
    for name, expr, actual in pairs:
        if any(s.name not in sizes for s in expr.free_symbols):
            continue
        expected = int(expr.xreplace({s: sp.Integer(sizes[s.name]) for s in expr.free_symbols}))
        if expected != actual:
            raise ValuesError(
                f"coefficient {name!r} has shape ({', '.join(map(str, known[name].shape))}) with "
                f"{', '.join(f'{k} = {v}' for k, v in sizes.items()) or 'fixed sizes'}; got shape "
                f"{tuple(tensors[name].shape)}; make the arrays agree"
            )
    return sizes


def _refuse_derivatives(system: System) -> None:
    """The derivative of a coefficient that is given by numbers is not known."""
    for _, term in system.terms():
        for product in term.products:
            for derivative in product.prefactor.atoms(sp.Derivative):
                raise ValuesError(
                    f"the equation differentiates the coefficient {plain(derivative.expr)}; got "
                    "numbers for it, which have no derivative; give an expression, or write the "
                    "term in divergence form, pn.D(c*u.diff(x), x)"
                )
