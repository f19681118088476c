"""Options of a fit: checked one by one, each with a message that says what to give."""

from __future__ import annotations

import math
import numbers
from collections.abc import Collection, Mapping
from typing import Any, cast  # options are whatever a user gives

import numpy as np
import torch
from torch import nn

from pdenet.checks import check_choice
from pdenet.errors import FitError, suggest
from pdenet.training.fitting.keys import Key, by_name, names_of
from pdenet.training.fitting.model import Model
from pdenet.training.fitting.search import SCHEDULES, Plan, Schedule

OPTIMIZERS = ("auto", "least_squares", "lbfgs", "adam")
INITIAL = ("given", "estimated")

FEW = 8
"""Unknowns up to which least squares are taken. Their derivatives then take as long as four to six
simulations, a gradient as long as two or three; L-BFGS asks for ten times as many."""
_MOST_NUMBERS = 1 << 25  # of their Jacobian, 256 MiB


def check_model(model: Any) -> Model:
    """Return a network that a fit can use.

    Raises:
        FitError: it is none, or nothing in it is trainable.
    """
    missing = [n for n in ("advance", "quantities", "dt", "grid") if not hasattr(model, n)]
    if not isinstance(model, nn.Module) or missing:
        raise FitError(
            "a network of a PDE was expected; got "
            f"{type(model).__name__}{' without ' + ', '.join(missing) if missing else ''}; make "
            "one with pde.to_network(grid, boundary, trainable=…)"
        )
    checked = cast(Model, model)  # the attributes above, and the rest by its class
    quantities = checked.quantities()
    if not quantities:
        raise FitError(
            "a network with at least one trainable parameter was expected; got none; build it with "
            'trainable=True, or trainable=("D",) for some names'
        )
    tensors = [*model.parameters(), *model.buffers()]
    if any(one.is_inference() for one in tensors):
        raise FitError(
            "a network whose tensors torch can differentiate was expected; got tensors that were "
            "made inside torch.inference_mode(); build the network outside of it"
        )
    for name, parameter in quantities.items():
        if not bool(torch.isfinite(parameter).all()):
            raise FitError(
                f"finite starting values were expected; got {name} = {shown(parameter)}; give the "
                "network other values"
            )
    return checked


def choose(
    quantities: Mapping[str, nn.Parameter], keys: Key | Collection[Key] | None
) -> dict[str, nn.Parameter]:
    """Return the parameters to fit, in the network's order.

    Raises:
        FitError: an unknown name, or none.
    """
    if keys is None:
        return dict(quantities)
    wanted = names_of("parameters=", keys)
    for name in wanted:
        if name not in quantities:
            raise FitError(
                f"parameters= names trainable parameters of the network, {', '.join(quantities)}; "
                f"got {name!r}.{suggest(name, quantities)}"
            )
    if not wanted:
        raise FitError(
            f"at least one parameter to fit was expected, of {', '.join(quantities)}; got none; "
            "leave parameters= out to fit all"
        )
    return {name: one for name, one in quantities.items() if name in wanted}


def choose_optimizer(optimizer: Any, num_unknowns: int, num_values: int, *, is_plain: bool) -> str:
    """Return "least_squares", "lbfgs" or "adam".

    Args:
        optimizer: what was asked for.
        num_unknowns: how many entries the fitted parameters have.
        num_values: how many values were observed.
        is_plain: whether residuals are all there is, and parameters all that is unknown.

    Raises:
        FitError: an unknown word, or least squares of what is none.
    """
    check_choice("optimizer", optimizer, OPTIMIZERS, FitError)
    if optimizer == "least_squares" and not is_plain:
        raise FitError(
            "least squares are those of parameters from given initial states, with whole "
            'derivatives; got a penalty, initial="estimated" or truncate_every= beside '
            'optimizer="least_squares"; leave it out, or use optimizer="lbfgs"'
        )
    if optimizer != "auto":
        return str(optimizer)
    is_few = num_unknowns <= FEW and num_unknowns * num_values <= _MOST_NUMBERS
    return "least_squares" if is_few and is_plain else "lbfgs"


def make_plan(
    optimizer: str,
    iterations: Any,
    lr: Any,
    schedule: Any,
    tolerance: Any,
    patience: Any,
    rounding: float,
) -> Plan:
    """Return a plan of the search.

    Raises:
        FitError: an option makes no sense.
    """
    is_adam = optimizer == "adam"
    if lr is not None and not is_adam:
        raise FitError(
            f'lr is the learning rate of Adam; got lr={lr!r} with optimizer="{optimizer}", which '
            'finds its own steps; leave it out, or use optimizer="adam"'
        )
    chosen: Schedule
    if callable(schedule):
        chosen = schedule
    elif schedule in SCHEDULES:
        chosen = SCHEDULES[schedule]
    else:
        raise FitError(
            f"schedule is one of {', '.join(SCHEDULES)}, or a function of the share of the search "
            f"that is done; got {schedule!r}.{suggest(str(schedule), SCHEDULES)}"
        )
    limit = (2000 if is_adam else 200) if iterations is None else iterations
    default = 100 if is_adam else 3
    return Plan(
        optimizer=optimizer,
        iterations=check_count("iterations", limit),
        lr=0.05 if lr is None else _positive("lr", lr),
        schedule=chosen,
        tolerance=_not_negative("tolerance", tolerance),
        patience=default if patience is None else check_count("patience", patience),
        rounding=rounding,
    )


def check_count(name: str, value: Any) -> int:
    """Return a positive whole number.

    Raises:
        FitError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise FitError(f"{name} is a positive whole number; got {value!r}; give 1 or more")
    return int(value)


def check_level(level: Any) -> float:
    """Return the level of an interval.

    Raises:
        FitError: it is not between 0 and 1.
    """
    if isinstance(level, bool) or not isinstance(level, numbers.Real) or not 0 < float(level) < 1:
        raise FitError(f"level is a probability between 0 and 1; got {level!r}; give 0.95 for 95 %")
    return float(level)


def check_initial(initial: Any) -> bool:
    """Return whether initial states are estimated.

    Raises:
        FitError: another word.
    """
    if not isinstance(initial, str) or initial not in INITIAL:
        raise FitError(
            f"initial is one of {', '.join(INITIAL)}; got {initial!r}; an initial state itself "
            "belongs to a Trajectory(times, states, initial=…)"
        )
    return initial == "estimated"


def check_noise(
    noise: Any, components: tuple[str, ...], observed: Collection[str]
) -> np.ndarray | None:
    """Return the standard deviation of each component's noise, 1 where nothing is observed.

    Raises:
        FitError: it is no positive number, or a mapping that misses an observed component.
    """
    if noise is None:
        return None
    if not isinstance(noise, Mapping):
        return np.full(len(components), _positive("noise", noise))
    table = by_name("noise=", noise)
    for name in table:
        if name not in components:
            raise FitError(
                f"noise= names components, {', '.join(components)}; got {name!r}."
                f"{suggest(name, components)}"
            )
    for name in observed:
        if name not in table:
            raise FitError(
                f"noise= names every observed component, {', '.join(observed)}; got none for "
                f"{name!r}; add it, or give one number for all"
            )
    return np.array([_positive(f"noise of {n}", table.get(n, 1.0)) for n in components])


def shown(parameter: torch.Tensor | np.ndarray) -> str:
    """Return a parameter's values in a few characters, for messages."""
    if isinstance(parameter, torch.Tensor):
        parameter = parameter.detach().cpu().numpy()
    if parameter.ndim == 0:
        return f"{float(parameter):.6g}"
    low, high = float(parameter.min()), float(parameter.max())
    return f"array{parameter.shape} from {low:.6g} to {high:.6g}"


def _positive(name: str, value: Any) -> float:
    made = _not_negative(name, value)
    if made == 0:
        raise FitError(f"{name} is a positive number; got {value!r}; give one, or leave it out")
    return made


def _not_negative(name: str, value: Any) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, numbers.Real)
        or not (0 <= float(value) < math.inf)
    ):
        raise FitError(
            f"{name} is a finite number that is not negative; got {value!r}; give one, or leave "
            "it out"
        )
    return float(value)
