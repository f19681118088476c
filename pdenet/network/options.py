"""Options: what a network was given, to make it and to run it, checked and settled."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Collection, Iterable, Mapping
from typing import Any  # values= takes numbers, arrays, tensors, expressions

import numpy as np
import sympy as sp
import torch
import torch.fx

from pdenet.discrete import choosing
from pdenet.discrete.boundary import Boundary
from pdenet.discrete.grid import Grid
from pdenet.discrete.scheme import Scheme
from pdenet.discrete.stability import Stability
from pdenet.equation.functions import evaluate, symbol_names, to_canonical
from pdenet.equation.names import key_name
from pdenet.equation.symbols import TIME
from pdenet.equation.system import System
from pdenet.equation.values import Values, is_tensor
from pdenet.errors import IllPosedError, NetworkError, StabilityError, StabilityWarning, suggest
from pdenet.network.kernels import STENCILS


def check_time(t: object) -> None:
    """Check that a time is one number, or a real tensor without axes.

    Raises:
        NetworkError: it is not.
    """
    if isinstance(t, torch.Tensor):
        if t.ndim or not t.is_floating_point():
            raise NetworkError(
                f"the time is a number or a real tensor without axes; got shape {tuple(t.shape)}, "
                f"{t.dtype}; give one time for the whole batch"
            )
    elif isinstance(t, bool) or not isinstance(t, numbers.Real):
        raise NetworkError(f"the time is a number; got {t!r}; write net(u, t=0.0)")


def check_pictures(name: str, given: object, channels: int) -> None:
    """Check that a tensor is a batch of pictures; of its shape the number of channels alone counts.

    Nothing here depends on values or on the size of the batch, so that compilers leave it out.

    Args:
        name: how the tensor is called.
        given: what was given.
        channels: how many channels are expected.

    Raises:
        NetworkError: it is not of the shape `(batch, channels, y, x)`, or not of floating point.
    """
    if isinstance(given, torch.fx.Proxy):  # being traced: it has no shape yet
        return
    if not isinstance(given, torch.Tensor):
        raise NetworkError(
            f"{name} is a tensor of shape (batch, {channels}, y, x); got a "
            f"{type(given).__name__}; use torch.from_numpy"
        )
    shape = tuple(given.shape)
    if given.ndim != 4:
        hint = f"write {name}[None]" if given.ndim == 3 else "give pictures side by side"
        raise NetworkError(
            f"{name} has the shape (batch, {channels}, y, x); got {given.ndim} axes, {shape}; "
            f"{hint}"
        )
    if given.shape[1] != channels:
        raise NetworkError(
            f"{name} has {channels} channels, as the model was made for; got {given.shape[1]} in "
            f"the shape {shape}; give pictures of {channels} channels, or in_channels="
            f"{given.shape[1]} to the model"
        )
    if not given.is_floating_point():
        raise NetworkError(
            f"{name} is of floating point; got {given.dtype}; write {name}.float() / 255 for bytes"
        )


def trainable_names(system: System, trainable: object) -> set[str]:
    """Return the names that were given; with True the coefficient functions, others come later."""
    if isinstance(trainable, bool):
        return {p.name for p in system.parameters if p.kind == "function"} if trainable else set()
    names = [trainable] if isinstance(trainable, str | sp.Basic) else trainable
    if not isinstance(names, Iterable):
        raise NetworkError(
            f"trainable is True, False or names of parameters; got {trainable!r}; "
            "write trainable=('D',)"
        )
    return {key_name(n) for n in names}


def check_names(names: Collection[str], known: Collection[str]) -> None:
    """Check that trainable names exist.

    Raises:
        NetworkError: one does not.
    """
    for name in sorted(set(names) - set(known)):
        if name.startswith(f"{STENCILS}."):
            raise NetworkError(
                f"kernels train together, as {STENCILS!r}; got {name!r}; write "
                f"trainable=[{STENCILS!r}], and parameters=[{name!r}] in pn.fit"
            )
        raise NetworkError(
            f"trainable names are among {', '.join(sorted(known))}; got {name!r}."
            f"{suggest(name, known)}"
        )


def refuse_gradients(values: Values) -> None:
    """Refuse values that ask for gradients: a network trains parameters of its own.

    Raises:
        NetworkError: one asks for them.
    """
    for name, value in {**values.numbers, **values.tensors}.items():
        if is_tensor(value) and value.requires_grad:
            raise NetworkError(
                f"values are the starts of a network's own parameters; got a tensor that asks for "
                f"gradients for {name!r}; write trainable=[{name!r}], and use "
                "torch.func.functional_call to put other tensors in its place, or detach it"
            )


def with_arrays(
    system: System,
    grid: Grid,
    boundary: Boundary,
    values: Mapping[Any, Any] | None,
    names: Collection[str],
    leave_others: bool,
) -> Mapping[Any, Any] | None:
    """Turn trainable coefficient functions that are given as expressions into arrays.

    Where the equation differentiates one, its expression has to stay: it is refused, or left as it
    is with `leave_others`.
    """
    if not isinstance(values, Mapping) or grid.axes != system.axes:
        return values
    kinds = {p.name: p for p in system.parameters if p.kind == "function" and p.name in names}
    if not kinds:
        return values
    mesh = dict(zip(grid.axes, grid.mesh(boundary), strict=True))
    made = dict(values)
    for key, value in values.items():
        name = key_name(key)
        if name not in kinds or not isinstance(value, sp.Expr) or value.is_number:
            continue
        axes = kinds[name].arguments
        if TIME in axes:
            if leave_others:
                continue
            raise NetworkError(
                f"a trainable coefficient function is an array over the grid; got {name!r}, which "
                "depends on t; write its time dependence with symbols that train"
            )
        if _is_differentiated(system, name):
            if leave_others:
                continue
            raise NetworkError(
                f"a trainable coefficient function is an array, which has no derivative; got "
                f"{name!r}, which the equation differentiates; write the term in divergence form, "
                f"pn.D({name}*u.diff(x), x)"
            )
        try:
            expr = to_canonical(value, f"the start of the trainable coefficient {name!r}", axes)
        except ValueError as error:
            raise NetworkError(str(error)) from error
        shape = [n if a in axes else 1 for a, n in zip(grid.axes, grid.points, strict=True)]
        places = {n: mesh[n] for n in symbol_names(expr)}
        with np.errstate(all="ignore"):  # values that are not finite are refused by name
            full = np.broadcast_to(evaluate(expr, places), shape[::-1])
        made[key] = np.array(full, dtype=np.float64).reshape([n for n in full.shape if n > 1])
    return made


def _is_differentiated(system: System, name: str) -> bool:
    return any(
        derivative.expr.func.__name__ == name
        for _, term in system.terms()
        for product in term.products
        for derivative in product.prefactor.atoms(sp.Derivative)
    )


def settled_dt(
    scheme: Scheme,
    values: Values,
    dt: float | None,
    mode: str,
    stability: Stability | None = None,
) -> float:
    """Return the time step: the one given, checked, or the automatic one.

    Raises:
        StabilityError: see `Network`.
    """
    if dt is not None and mode == "ignore":
        return dt
    stability = stability or Stability(scheme, values)
    changes = [
        what
        for what, depends in (
            ("the state", stability.depends_on_state),
            ("time", stability.depends_on_time),
        )
        if depends
    ]
    try:
        bound = choosing.probe(stability)
    except IllPosedError as error:
        if dt is None or mode == "refuse":
            raise
        warnings.warn(str(error), StabilityWarning, stacklevel=3)
        return dt
    if dt is not None:
        if not changes:  # else no one bound holds for every state
            choosing.check(bound, dt, mode, scheme, values)
        return dt
    made = choosing.automatic_dt(bound)
    if not np.isfinite(made):
        raise StabilityError(
            "nothing in this equation bounds the time step, so that there is no automatic one; "
            'got dt="auto"; give dt='
        )
    if bound.dt == 0:
        choosing.check(bound, np.inf, "refuse", scheme, values)
    if changes and mode != "ignore":
        text = (
            f"a network's time step is fixed, and the stable one of "
            f"{choosing.equation_text(scheme.system)} depends on {' and '.join(changes)}; got "
            f'dt="auto", which is {made:.4g}, stable for a smooth state of size 1 at t = 0; '
            "give dt= for your states, such as 0.9 * solver.bound(state).dt"
        )
        if mode == "refuse":
            raise StabilityError(text)
        warnings.warn(text, StabilityWarning, stacklevel=3)
    return made
