"""Search: three optimisers watched alike, which keeps the best iterate and knows when to stop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any  # tqdm and SciPy have no annotations

import numpy as np
import torch
from scipy import optimize
from tqdm import tqdm

Schedule = Callable[[float], float]
"""Maps the share of the search that is done, from 0 to 1, to a factor of the learning rate."""

SCHEDULES: dict[str, Schedule] = {
    "constant": lambda done: 1.0,
    # A hundredth at the end: Adam's steps do not shrink by themselves.
    "cosine": lambda done: 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * done)),
}

_MEMORY = 20
"""Pairs of steps and gradient changes that L-BFGS keeps: more than the usual 5 to 10, because an
evaluation, a roll-out and its backward pass, costs far more than the memory's inner products."""

_CLIFF = 10.0
"""Times the best loss: beyond it an iterate has left the valley. Its gradient would fill Adam's
averages for many steps to come, and carry the search away."""

_TRIALS = 60
"""Of one step: halved or quartered so often, a step of unit size is less than rounding."""
_HALVINGS = 20  # of Adam's rate after blow-ups: a millionth of it is nothing

_ROUNDING = "the residual is rounding"
_BLOW_UP = "every step onwards blows up"


Linear = list[tuple[np.ndarray, np.ndarray]]
"""For each roll-out its residuals, float64, shape (frame, piece, field, sensor), 0 where nothing
was measured, and their derivatives by each entry of the parameters, shape (unknown, …)."""


@dataclass(frozen=True, eq=False)
class Point:
    """A point of the search.

    Attributes:
        x: the scaled unknowns, shape (unknown,).
        loss: what is minimised; infinite where there is none.
        gradient: its derivative, shape (unknown,).
        residuals: whose sum of squares the loss is, shape (value,); for least squares.
        jacobian: their derivative, shape (value, unknown).
        linear: what both were made of, where the parameters have their own units.
    """

    x: np.ndarray
    loss: float
    gradient: np.ndarray
    residuals: np.ndarray | None = None
    jacobian: np.ndarray | None = None
    linear: Linear | None = None


Function = Callable[[np.ndarray], Point]
"""Evaluates the loss at a point, shape (unknown,), with what its optimiser asks for."""


@dataclass(frozen=True)
class Plan:
    """How to search.

    Attributes:
        optimizer: "least_squares", "lbfgs" or "adam".
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
    ends: tuple[np.ndarray, np.ndarray] | None = None,
    complete: Function | None = None,
) -> Found:
    """Minimise a function from a start whose loss is finite; never end worse than it began.

    Args:
        function: the loss.
        start: where to begin.
        plan: how.
        progress: whether to show a bar; None for on a terminal only.
        is_rounding: whether nothing but rounding is left of the residual at a point.
        ends: the lowest and the highest x, shape (unknown,) each; None for no bounds.
        complete: for least squares, the function with the Jacobian, where `function` leaves it out.
    """
    methods = {"least_squares": _least_squares, "lbfgs": _lbfgs, "adam": _adam}
    infinite = np.full(start.x.shape, np.inf)
    with _bar(plan, progress) as bar:
        watch = _Watch(function, start, plan, is_rounding, bar, complete or function)
        try:
            watch.judge(start)
            methods[plan.optimizer](watch, ends or (-infinite, infinite))
            watch.stuck()
        except _Over as over:
            return Found(watch.best, tuple(watch.losses), over.converged, over.why)
    raise AssertionError("a search ends by saying why")


class _Over(Exception):
    """The search has come to its end."""

    def __init__(self, converged: bool, why: str) -> None:
        super().__init__(why)
        self.converged = converged
        self.why = why


class _Watch:
    """What an optimiser evaluates and where it goes, with the best of it; it says when to stop."""

    def __init__(
        self,
        function: Function,
        start: Point,
        plan: Plan,
        is_rounding: Callable[[Point], bool],
        bar: tqdm[Any],
        complete: Function,
    ) -> None:
        self.function = function
        self.complete = complete
        self.plan = plan
        self.is_rounding = is_rounding
        self.bar = bar
        self.best = self.last = self.here = start
        self.losses = [start.loss]
        self.best_losses = [start.loss]
        self.trials = 0  # points asked for since the last iterate
        self.is_walled = True  # none of them was finite

    def at(self, x: np.ndarray) -> Point:
        """Evaluate a point; the iterate and what was last evaluated are known."""
        self.trials += 1
        if self.trials > _TRIALS:  # SciPy would go on for ever between points that blow up
            self.stuck()
        for known in (self.here, self.last):
            if np.array_equal(x, known.x):
                return known
        self.last = self.function(x.copy())
        self.is_walled = self.is_walled and not math.isfinite(self.last.loss)
        return self.last

    def moved(self, there: Point) -> None:
        """Take note of an iterate.

        Raises:
            _Over: it is the last one.
        """
        if there is self.here:
            return
        self.here, self.trials, self.is_walled = there, 0, True
        self.losses.append(there.loss)
        is_better = there.loss < self.best.loss
        self.best = there if is_better else self.best
        self.best_losses.append(self.best.loss)
        self.bar.set_postfix_str(f"loss {self.best.loss:.4g}", refresh=False)
        self.bar.update()
        self.judge(there, is_better=is_better)
        if len(self.losses) > self.plan.iterations:
            self.out()

    def judge(self, there: Point, *, is_better: bool = True) -> None:
        """Raise `_Over` where the search has reached what it was for."""
        plan, best_losses = self.plan, self.best_losses
        if is_better and self.is_rounding(there):
            raise _Over(True, _ROUNDING)
        if _gain(there, plan) <= plan.tolerance * abs(there.loss):
            raise _Over(True, "the gradient is negligible")
        if len(best_losses) > plan.patience:
            before = best_losses[-1 - plan.patience]
            if before - best_losses[-1] <= plan.tolerance * abs(before):
                raise _Over(True, f"the loss fell by less than {plan.tolerance:g} of itself")

    def out(self) -> None:
        """Raise `_Over`: there are no iterations left."""
        raise _Over(False, f"the limit of {self.plan.iterations} iterations was reached")

    def stuck(self) -> None:
        """Raise `_Over`: the optimiser finds no smaller loss."""
        if self.trials and self.is_walled:
            raise _Over(False, _BLOW_UP)
        raise _Over(True, "no smaller loss within rounding")


def _gain(here: Point, plan: Plan) -> float:
    """Return about how much smaller the loss may become, far below it at the end of a search."""
    if here.jacobian is None or here.residuals is None:
        # With unknowns of unit scale a gradient step gains about slope².
        return 1e6 * float(here.gradient @ here.gradient)
    # Of the linearised problem exactly. Directions that only rounding of J shows gain nothing.
    step = np.linalg.lstsq(here.jacobian, here.residuals, rcond=10 * plan.rounding)[0]
    gain = float(np.sum((here.jacobian @ step) ** 2))
    return gain if gain > plan.rounding * here.loss else 0.0


def _least_squares(watch: _Watch, ends: tuple[np.ndarray, np.ndarray]) -> None:
    """Follow a trust region (Branch, Coleman & Li 1999); a blow-up leaves a quarter of it."""

    def residuals(x: np.ndarray) -> Any:
        return watch.at(x).residuals

    def jacobian(x: np.ndarray) -> Any:
        there = watch.at(x)
        if there.jacobian is None:
            there = watch.complete(there.x)
        if there.jacobian is None:  # the loss is finite there, and its slope is not
            raise _Over(False, _BLOW_UP)
        watch.moved(there)
        return there.jacobian

    optimize.least_squares(
        residuals,
        watch.here.x,
        jacobian,
        ends,
        x_scale=1.0,
        ftol=None,
        gtol=None,
        xtol=max(0.1 * watch.plan.rounding, 1e-15),
        max_nfev=100 * watch.plan.iterations,
    )


def _lbfgs(watch: _Watch, ends: tuple[np.ndarray, np.ndarray]) -> None:
    """Follow L-BFGS-B (Byrd, Lu, Nocedal & Zhu 1995), whose line search needs finite losses."""

    def loss_and_slope(x: np.ndarray) -> tuple[float, np.ndarray]:
        there, here = watch.at(x), watch.here
        if math.isfinite(there.loss):
            return there.loss, there.gradient
        # A wall as high as what is to be gained makes the line search halve its step, or nearly.
        return here.loss + abs(here.loss) + 1.0, np.zeros_like(x)

    def moved(x: np.ndarray) -> None:
        there = watch.at(x)
        if there is watch.here:  # the line search led back to where it began
            watch.stuck()
        watch.moved(there)

    optimize.minimize(
        loss_and_slope,
        watch.here.x,
        jac=True,
        method="L-BFGS-B",
        bounds=optimize.Bounds(*ends),
        callback=moved,
        options={
            "maxcor": _MEMORY,
            "maxls": _TRIALS,
            "maxiter": watch.plan.iterations + 1,
            "maxfun": 10**9,
            "ftol": 0.0,
            "gtol": 0.0,
        },
    )


def _adam(watch: _Watch, ends: tuple[np.ndarray, np.ndarray]) -> None:
    """Follow Adam; a blow-up, or nearly one, goes back to the best at half the rate."""
    plan, rate, halvings = watch.plan, watch.plan.lr, 0
    here = watch.here
    variable, optimizer = _fresh_adam(here, rate)
    for k in range(plan.iterations):
        for group in optimizer.param_groups:
            group["lr"] = rate * plan.schedule(k / plan.iterations)
        variable.grad = torch.from_numpy(here.gradient.copy())
        optimizer.step()
        x = np.clip(variable.detach().numpy(), *ends)
        variable.data = torch.from_numpy(x.copy())
        here = watch.at(x)
        halvings += not math.isfinite(here.loss)
        if halvings > _HALVINGS:
            raise _Over(False, _BLOW_UP)
        watch.moved(here if here.loss <= _CLIFF * watch.best.loss else watch.best)
        if not here.loss <= _CLIFF * watch.best.loss:
            rate *= 0.5
            here = watch.best
            variable, optimizer = _fresh_adam(here, rate)
    watch.out()


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
