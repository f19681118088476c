"""Search: the loop around an optimiser that keeps the best iterate, and knows when to stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any  # tqdm has no annotations

import numpy as np
import torch
from tqdm import tqdm

from pdenet.training.fitting.lbfgs import Function, LineSearchFailed, Point, lbfgs

Schedule = Callable[[float], float]
"""Maps the share of the search that is done, from 0 to 1, to a factor of the learning rate."""

SCHEDULES: dict[str, Schedule] = {
    "constant": lambda done: 1.0,
    # A hundredth at the end: Adam's steps do not shrink by themselves.
    "cosine": lambda done: 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * done)),
}

_CLIFF = 10.0
"""Times the best loss: beyond it an iterate has left the valley. Its gradient would fill Adam's
averages for many steps to come, and carry the search away."""

_ROUNDING = "the residual is rounding"

_HALVINGS = 20  # of Adam's rate after blow-ups: a millionth of it is nothing


@dataclass(frozen=True)
class Plan:
    """How to search.

    Attributes:
        optimizer: "lbfgs" or "adam".
        iterations: at most so many.
        lr: Adam's learning rate, in units of the scaled unknowns.
        schedule: Adam's schedule.
        tolerance: relative decrease of the loss over `patience` iterations that is too little.
        patience: see tolerance.
        rounding: the relative rounding error of the loss.
    """

    optimizer: str
    iterations: int
    lr: float
    schedule: Schedule
    tolerance: float
    patience: int
    rounding: float


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found.

    Attributes:
        best: the point with the smallest loss.
        losses: of each iterate, the start first.
        converged: whether it stopped because it was done.
        stopped: why it stopped, in words.
    """

    best: Point
    losses: tuple[float, ...]
    converged: bool
    stopped: str


def search(
    function: Function,
    start: Point,
    plan: Plan,
    progress: bool | None,
    is_rounding: Callable[[Point], bool] = lambda point: False,
) -> Found:
    """Minimise a function from a start whose loss is finite; never end worse than it began.

    Args:
        function: the loss.
        start: where to begin.
        plan: how.
        progress: whether to show a bar; None for on a terminal only.
        is_rounding: whether nothing but rounding is left of the residual at a point.
    """
    best, losses = start, [start.loss]

    def end(converged: bool, why: str) -> Found:
        return Found(best, tuple(losses), converged, why)

    if is_rounding(best):
        return end(True, _ROUNDING)
    reason = _is_done(best, [start.loss], plan)
    if reason:
        return end(True, reason)
    points = _adam if plan.optimizer == "adam" else _lbfgs
    best_losses = [start.loss]
    with _bar(plan, progress) as bar:
        try:
            for there in points(function, start, plan):
                losses.append(there.loss)
                is_better = there.loss < best.loss
                best = there if is_better else best
                best_losses.append(best.loss)
                bar.set_postfix_str(f"loss {best.loss:.4g}", refresh=False)
                bar.update()
                if is_better and is_rounding(best):
                    return end(True, _ROUNDING)
                reason = _is_done(there, best_losses, plan)
                if reason:
                    return end(True, reason)
                if len(losses) > plan.iterations:
                    break
        except LineSearchFailed as failure:
            if failure.blew_up:
                return end(False, "every step onwards blows up")
            return end(True, "no smaller loss within rounding")
    return end(False, f"the limit of {plan.iterations} iterations was reached")


def _is_done(here: Point, best_losses: list[float], plan: Plan) -> str:
    """Return why the search is over, or nothing."""
    best = best_losses[-1]
    slope = float(np.linalg.norm(here.gradient))
    # With unknowns of unit scale a gradient step gains about slope²: far below the tolerance.
    if slope * slope <= 1e-6 * plan.tolerance * abs(here.loss):
        return "the gradient is negligible"
    if len(best_losses) > plan.patience:
        before = best_losses[-1 - plan.patience]
        if before - best <= plan.tolerance * abs(before):
            return f"the loss fell by less than {plan.tolerance:g} of itself"
    return ""


def _lbfgs(function: Function, start: Point, plan: Plan) -> Iterator[Point]:
    return lbfgs(function, start, plan.rounding)


def _adam(function: Function, start: Point, plan: Plan) -> Iterator[Point]:
    """Yield Adam's iterates; a blow-up, or nearly one, goes back to the best at half the rate."""
    best, rate, halvings = start, plan.lr, 0
    variable, optimizer = _fresh_adam(start, rate)
    here = start
    for k in range(plan.iterations):
        for group in optimizer.param_groups:
            group["lr"] = rate * plan.schedule(k / plan.iterations)
        variable.grad = torch.from_numpy(here.gradient.copy())
        optimizer.step()
        x = variable.detach().numpy().copy()
        loss, gradient = function(x)
        halvings += not math.isfinite(loss)
        if halvings > _HALVINGS:
            raise LineSearchFailed(blew_up=True)
        if not loss <= _CLIFF * best.loss:
            rate *= 0.5
            here = best
            variable, optimizer = _fresh_adam(best, rate)
        else:
            here = Point(x, loss, gradient)
            best = here if loss < best.loss else best
        yield here


def _fresh_adam(point: Point, rate: float) -> tuple[torch.Tensor, torch.optim.Adam]:
    variable = torch.from_numpy(point.x.copy()).requires_grad_()
    # β₂ below its usual 0.999: the gradient is no sample, and is forgotten faster.
    return variable, torch.optim.Adam([variable], lr=rate, betas=(0.9, 0.99))


def _bar(plan: Plan, progress: bool | None) -> tqdm[Any]:
    return tqdm(
        total=plan.iterations,
        disable=None if progress is None else not progress,
        desc=f"fit ({plan.optimizer})",
        leave=False,
    )
