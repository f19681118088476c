"""fit: the parameters of a network of a PDE from observations of its solutions."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any  # frames, times and bounds are whatever a user gives

import numpy as np
import torch
from torch import nn

from pdenet.errors import FitError, FitWarning
from pdenet.simulate.result import Result
from pdenet.training.fitting import options
from pdenet.training.fitting.batches import as_trajectories, make_batches, make_pieces
from pdenet.training.fitting.bounds import Range, make_ranges
from pdenet.training.fitting.estimate import Fit
from pdenet.training.fitting.keys import Key
from pdenet.training.fitting.model import Model
from pdenet.training.fitting.objective import Objective, Penalty
from pdenet.training.fitting.report import report
from pdenet.training.fitting.rollout import Rollout
from pdenet.training.fitting.search import Found, Plan, Point, Schedule, search
from pdenet.training.fitting.sizes import Sizes
from pdenet.training.fitting.trajectories import Trajectory

_ALIKE = 1.1
"""Ratio of noise to weight that components may differ by: 10 % in weights cost below 1 % in
standard errors, for they stand at the minimum of these."""
_ROUNDS = 5  # each brings the weights nearer by the share that the parameters' errors have in them

__all__ = ["Fit", "fit"]


def fit(
    net: Model,
    frames: Result | Trajectory | Sequence[Result | Trajectory] | np.ndarray | torch.Tensor,
    *,
    times: Any = None,
    parameters: Key | Collection[Key] | None = None,
    bounds: Mapping[Any, Any] | None = None,
    initial: str = "given",
    window: int | None = None,
    noise: float | Mapping[Any, float] | None = None,
    penalty: Penalty | None = None,
    optimizer: str = "auto",
    iterations: int | None = None,
    lr: float | None = None,
    schedule: str | Schedule = "cosine",
    tolerance: float = 1e-9,
    patience: int | None = None,
    checkpoint_every: int | None = None,
    truncate_every: int | None = None,
    level: float = 0.95,
    errors: bool = True,
    progress: bool | None = None,
) -> Fit:
    """Find the parameters of a network whose solutions come closest to observations.

    From each initial state the network takes its steps through the times of all frames. What is
    minimised, by parameters θ (and unknown initial states), is

        L(θ) = (1/N) Σ ((prediction − observation)/w)² + penalty(θ)

    over the N measured values, with w the noise of the component. Where it is not given, w is at
    first the standard deviation of its observations; without a penalty the search then goes on
    with weights in proportion to the residuals' sizes, until these agree.

    The network holds the parameters that were found; on an exception, an interruption included, it
    holds those it started from. Warnings come last: where they are errors, the network keeps what
    was found. Gradients are computed whether or not `torch.no_grad` or `torch.inference_mode` is
    in force outside.

    Least squares differentiate by the network in forward mode. On a grid of a few thousand numbers,
    with a network that is still that of its equation, the solver takes the steps instead, which are
    the same to rounding, and its derivatives are exact too.

    Standard errors are those of least squares, linearised at the minimum (Gauss–Newton): with
    H = JᵀJ/w² and J the derivative of the predictions by the parameters, Cov = H⁻¹ (JᵀJ σ²/w⁴) H⁻¹,
    which for one noise σ is σ² (JᵀJ)⁻¹. They hold for independent errors of observation around a
    model that is right: they contain neither the error of the discretisation nor errors of initial
    states that were given and of the frames that windows restart from, which count as exact. With
    unknown initial states the derivative is taken at states that have fitted some of the noise;
    where noise fills waves that decay between frames, standard errors of a diffusivity come out too
    small, by half in the worst case that was met. Up to 2,000 unknowns standard errors are
    computed, one more simulation each; above, the result says they are not.

    With a penalty they are those of the posterior whose prior has minus the logarithm N/2 times the
    penalty in units of the noise: H gains N/2 times its second derivative.

    Args:
        net: the network, `pde.to_network(grid, boundary, trainable=…)`. Its dt must divide the
            times between frames.
        frames: a Result, a `Trajectory` (sensors, parts of the components), a list of these, of
            any lengths, or an array of shape (frame, component, *space). Float64 measurements
            are rounded to a network of float32; the result notes it.
        times: for an array of frames, shape (frame,), in the equation's unit of time.
        parameters: the names of those to fit, one or several, among `net.quantities()`; by default
            all. The others keep their values. Here, in `bounds` and in `noise` a name is a string,
            a symbol, a field, its time derivative or a coefficient.
        bounds: for some names a pair (low, high), None for no bound, numbers or arrays. They hold
            strictly at every iterate.
        initial: "given" takes initial states as exact (observations of their time are not used);
            "estimated" makes them unknown too, starting from the given ones, which count as
            observations only where a frame of that time is among the observations.
        window: restart from the measured frame after every so many frames, for systems that forget
            their initial state. It needs whole frames. The restarts' noise makes the parameters
            somewhat biased.
        noise: standard deviation of the observations, one number or {component: number}. By default
            it is estimated from the residual.
        penalty: a function of {name: parameter} with a number as its value, added to the mean; see
            `pdenet.smoothness`.
        optimizer: "least_squares" (Gauss–Newton in a trust region), "lbfgs" or "adam"; "auto" takes
            least squares for up to 8 unknowns without a penalty, with initial states given and
            gradients not truncated, and L-BFGS for everything else.
        iterations: at most so many; by default 200, of Adam 2000.
        lr: Adam's learning rate, in units in which a parameter's natural change is 1; 0.05.
        schedule: Adam's: "cosine", "constant" or a function from the share done to a factor.
        tolerance: stop when the loss falls by less than this part of itself
        patience: … in so many iterations; by default 3, of Adam 100.
        checkpoint_every: keep the states after every so many steps only, and compute those between
            again for the gradient: less memory.
        truncate_every: gradients look back so many steps at most. They are no longer those of the
            loss, which suits Adam and chaotic systems.
        level: of the intervals.
        errors: whether to compute standard errors, which take one more simulation for each unknown.
        progress: whether to show a bar; by default on a terminal only.

    Raises:
        FitError: data, bounds or options that make no sense, a prediction that blows up at the
            starting values, or one that torch cannot differentiate.

    Warns:
        FitWarning: the search stopped before it converged, a parameter came to its bound, or the
            data do not determine some.

    Example:
        >>> import numpy as np
        >>> import pdenet as pn
        >>> heat, ring = pn.catalogue["heat"], pn.Boundary(x=pn.Periodic(), y=pn.Periodic())
        >>> grid = pn.Grid(x=(0, 1, 16), y=(0, 1, 16))
        >>> truth = heat.to_solver(grid, ring, values={"D": 0.2}, dt=0.002)
        >>> bump = np.random.default_rng(0).random((1, 16, 16))
        >>> frames = truth.run(bump, until=0.02, every=0.004)
        >>> net = heat.to_network(
        ...     grid, ring, values={"D": 0.1}, dt=0.002, trainable=["D"], dtype="float64"
        ... )
        >>> round(fit(net, frames).values["D"], 6)
        0.2
    """
    model = options.check_model(net)
    estimated = options.check_initial(initial)
    options.check_level(level)
    if penalty is not None and not callable(penalty):
        raise FitError(
            "a penalty is a function of the parameters {name: tensor}; got "
            f'{type(penalty).__name__}; write one, or take smoothness("c", weight)'
        )
    if window is not None:
        options.check_count("window", window)
        if estimated:
            raise FitError(
                'window= restarts from measured frames, and initial="estimated" from none; got '
                "both; choose one"
            )
    for name, count in (("checkpoint_every", checkpoint_every), ("truncate_every", truncate_every)):
        if count is not None:
            options.check_count(name, count)
    quantities = model.quantities()
    chosen = options.choose(quantities, parameters)
    starts = {name: one.detach().cpu().numpy().copy() for name, one in chosen.items()}
    ranges = make_ranges(bounds, starts)
    trajectories = as_trajectories(frames, times, model)
    pieces = make_pieces(trajectories, model, window, estimated=estimated)
    sizes = Sizes.of(pieces, model)
    given = options.check_noise(noise, model.components, sizes.observed(model.components))
    weights = sizes.spreads if given is None else given
    is_plain = penalty is None and not estimated and truncate_every is None
    plan = options.make_plan(
        options.choose_optimizer(
            optimizer,
            sum(start.size for start in starts.values()),
            int(sizes.counts.sum()),
            is_plain=is_plain,
        ),
        iterations,
        lr,
        schedule,
        tolerance,
        patience,
        rounding=10 * torch.finfo(model.dtype).eps,
    )
    with torch.inference_mode(False), torch.enable_grad(), _kept_on_errors(model, chosen):
        objective = Objective(
            model,
            [Rollout(model, batch) for batch in make_batches(pieces)],
            quantities,
            ranges,
            weights,
            sizes,
            penalty,
            estimated=estimated,
            checkpoint_every=checkpoint_every,
            truncate_every=truncate_every,
        )
        is_quadratic = plan.optimizer == "least_squares"
        if is_quadratic:
            objective.record()
            start = objective.scale_for_a_trust_region()
        else:
            objective.scale()
            start = objective(objective.start())
        if not math.isfinite(start.loss):
            raise _blow_up(starts, model, ranges)
        found = _seek(objective, start, plan, progress)
        if not is_quadratic:
            found = _rescaled(objective, found, plan, progress)
        if given is None and penalty is None:
            found = _reweighted(objective, found, plan, progress)
        objective.place(found.best.x, found.best.linear)
        made, messages = report(objective, found, given, level, trajectories, errors=errors)
    # Outside: a warning that is turned into an error takes nothing away from the network.
    for message in messages:
        warnings.warn(message, FitWarning, stacklevel=2)
    return made


@contextlib.contextmanager
def _kept_on_errors(model: Model, chosen: Mapping[str, nn.Parameter]) -> Iterator[None]:
    """Ask gradients of the chosen parameters alone; on an exception restore their values."""
    everything = [one for _, one in model.named_parameters()]
    asked = [(one, one.requires_grad, one.grad) for one in everything]
    before = [one.detach().clone() for one in everything]
    fitted = {id(one) for one in chosen.values()}
    try:
        for one in everything:
            one.requires_grad_(id(one) in fitted)
        yield
    except BaseException:
        with torch.no_grad():
            for one, value in zip(everything, before, strict=True):
                one.copy_(value)
        raise
    finally:
        for one, requires_grad, gradient in asked:
            one.requires_grad_(requires_grad)
            one.grad = gradient


def _seek(
    objective: Objective,
    start: Point,
    plan: Plan,
    progress: bool | None,
    before: tuple[float, ...] = (),
) -> Found:
    """Search from a point, after the losses of a search that led to it."""
    function = objective.trial if plan.optimizer == "least_squares" else objective
    onwards = dataclasses.replace(plan, iterations=plan.iterations - max(len(before) - 1, 0))
    more = search(
        function,
        start,
        onwards,
        progress,
        objective.is_rounding,
        objective.ends(),
        objective.linearise,
    )
    return dataclasses.replace(more, losses=(*before, *more.losses[bool(before) :]))


def _rescaled(objective: Objective, found: Found, plan: Plan, progress: bool | None) -> Found:
    """Search on in the scales of the point that was found, until they are those it was found in."""
    for _ in range(_ROUNDS):
        if len(found.losses) > plan.iterations or objective.is_rounding(found.best):
            break
        objective.place(found.best.x, found.best.linear)
        if not objective.scale():
            break
        found = _seek(objective, objective(objective.start()), plan, progress, found.losses)
    return found


def _reweighted(objective: Objective, found: Found, plan: Plan, progress: bool | None) -> Found:
    """Weigh components by the noise that their residuals show, and search on, until both agree.

    The loss is scaled so that it goes on where it was. One component needs no such weight.
    """
    counts, least = objective.sizes.counts, objective.sizes.rounding(objective.eps)
    for _ in range(_ROUNDS):
        objective.place(found.best.x, found.best.linear)
        noise = np.maximum(np.sqrt(objective.squares() / np.maximum(counts, 1)), least)
        seen = noise > 0  # what is zero, and predicted to be zero, has no weight to learn
        noise = noise[seen]
        ratios = noise / objective.weights[seen]
        is_out = len(found.losses) > plan.iterations
        if is_out or ratios.max(initial=0.0) <= _ALIKE * ratios.min(initial=math.inf):
            break
        if objective.is_rounding(found.best):
            break
        weights = objective.weights.copy()
        weights[seen] = noise / math.sqrt(found.best.loss)
        objective.weigh(weights)
        function = objective.linearise if plan.optimizer == "least_squares" else objective
        found = _seek(objective, function(found.best.x), plan, progress, found.losses)
    return found


def _blow_up(
    starts: Mapping[str, np.ndarray], model: Model, ranges: Mapping[str, Range]
) -> FitError:
    values = ", ".join(f"{name} = {options.shown(one)}" for name, one in starts.items())
    free = [n for n, one in ranges.items() if np.isinf([one.low, one.high]).all()]
    bounded = f", give bounds= ({', '.join(free)} have none)" if free else ""
    return FitError(
        "predictions that stay finite at the starting values were expected; got a blow-up with "
        f"{values} and dt = {model.dt:g}; start from other values{bounded}, or build the network "
        "with a smaller dt"
    )
