"""Guard: training that survives a state that ceases to be finite.

A ConvNet without bounded activations is a numerical scheme that may blow up: one batch makes the
network emit NaN, and every later update carries it on. The guard looks before each update, and
goes back to a good state instead of updating:

::

    for epoch, batch, images, targets in batches:
        if (epoch, batch) in guard.set_aside:
            continue
        set_rate(optimizer, schedule.rate(step) * guard.lr_scale)
        loss = criterion(model(images), targets)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        if not guard.is_good(loss, norm):
            guard.trip(epoch, batch, name)
            continue
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        guard.after_update(step)

**Where training goes on.** After a trip the parameters, the optimiser's state, the buffers, the
average (EMA) and the random state are those of a snapshot. All else goes on: the *next* batch
follows, nothing is replayed, and the step, the epoch and the schedule are not set back. So a run
has as many batches as planned, whatever happens.

**How far back.** A snapshot may be bad already while all of it is still finite. So each remembers
the loss of the batch that came next, the first one seen by its parameters, and the newest whose
loss is at most twice the lowest of the ring is taken; newer ones are dropped. (Late in training
the losses of two good snapshots may well differ that much: a few updates are lost then, no more.)
And trips that follow one another with no new snapshot between them (fewer than `every` good
updates) each go at least one snapshot further back, to the oldest of the ring.

**Finite, and dead all the same.** Activations that saturate (hardtanh) can hold a network in a
state where every number is finite, the loss is in the thousands and no gradient leads out again.
`max_loss` counts such a loss as bad. It is infinite by default, since what is large depends on
the loss; cross entropy of a guess among C classes is ln C.

**The rate.** `lr_scale` is multiplied by `factor` at each trip and never recovers: what blew up
at some rate would do so again, and a run whose rate is a known multiple of its schedule is easy to
read. `max_trips` bounds how small it can get.

**Cost.** A check is one kernel or two over the buffers joined together, and one transfer to the
host. Each snapshot lives on the device of its tensors and takes as much memory as the parameters,
buffers, optimiser's state and average: for 8.6 million parameters and SGD with momentum 69 MB,
so 275 MB for four. The ring is part of `state_dict`, and so of a checkpoint: only then does a
resumed run that trips go back where the uninterrupted one would have gone.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any  # the content of a checkpoint

import torch
from torch import Tensor, nn

from pdenet.checks import check_count, is_number
from pdenet.errors import CheckpointError, DivergedError, TrainingError
from pdenet.training.loop import kinds
from pdenet.training.loop.finite import bad_names, is_finite, named_values, said
from pdenet.training.loop.snapshots import Snapshot


@dataclass(frozen=True)
class Trip:
    """One time that the guard went back.

    Attributes:
        step: the number of updates done before.
        epoch: the epoch of the batch.
        batch: its number in the epoch.
        name: its name, files or indices.
        what: what was not finite: the loss, the gradient norm, or buffers by name.
        rate: the learning rate that the update would have had.
        back_to: the step of the snapshot.
    """

    step: int
    epoch: int
    batch: int
    name: str
    what: str
    rate: float
    back_to: int

    def __str__(self) -> str:
        return (
            f"step {self.step}, epoch {self.epoch}, batch {self.batch} ({self.name}): "
            f"{self.what}; rate {self.rate:.4g}; back to step {self.back_to}"
        )


@dataclass
class _Kept:
    """A snapshot of the ring, and the loss of the first batch that its parameters saw."""

    snapshot: Snapshot
    loss: float = math.inf
    is_seen: bool = False


class Guard:
    """Checks before each update, and the way back.

    Attributes:
        lr_scale: the factor of the schedule's learning rate.
        set_aside: (epoch, batch) of the batches that made it trip; the loop leaves them out.
        trips: all of them, the first first.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        snapshots: int = 4,
        every: int = 20,
        factor: float = 0.5,
        max_trips: int = 10,
        max_loss: float = math.inf,
        group: torch.distributed.ProcessGroup | None = None,
        ema: nn.Module | None = None,
    ) -> None:
        """Take the first snapshot.

        Args:
            model: the bare module, not its wrapper for several processes or for compilation.
            optimizer: the optimiser of its parameters.
            snapshots: the length of the ring.
            every: good updates between snapshots.
            factor: of the learning rate at each trip, between 0 and 1.
            max_trips: how many times it may go back; at the next one it gives up.
            max_loss: a larger loss is as bad as an infinite one. Infinite: only what is not finite
                is bad.
            group: the processes that train together. Every one of them must then make the same
                calls of `is_good`, `is_sound` and `after_update`.
            ema: a module that averages the parameters, which goes back as well.

        Raises:
            TrainingError: an option makes no sense, or the model is not finite.
        """
        for name, count, least in (
            ("snapshots", snapshots, 1),
            ("every", every, 1),
            ("max_trips", max_trips, 0),
        ):
            check_count(name, count, least, TrainingError)
        kinds.number(0.0, 1.0, above=True, below=True).check("factor", factor, 0.5)
        if not ((is_number(max_loss) and max_loss > 0) or max_loss == math.inf):
            raise TrainingError(f"max_loss is a number above 0; got {max_loss!r}; leave it out")
        self.lr_scale = 1.0
        self.set_aside: set[tuple[int, int]] = set()
        self.trips: list[Trip] = []
        self._model, self._optimizer, self._ema = model, optimizer, ema
        self._every, self._factor, self._max_trips = every, factor, max_trips
        self._max_loss, self._group = max_loss, group
        self._ring: deque[_Kept] = deque(maxlen=snapshots)
        self._step = 0
        self._num_good = 0  # updates since the last snapshot or trip
        self._is_fresh_from_trip = False  # no snapshot since the last trip
        self._what = ""
        if not self.is_sound():
            values = [bad_names(named_values(module)) for module in self._modules]
            names = (
                ", ".join(filter(None, values)) or "a state of the optimiser, or another process"
            )
            raise TrainingError(
                f"Training begins with finite parameters and buffers; got values that are NaN or "
                f"infinite in {names}. Initialise the model again."
            )
        self._take()

    def is_good(self, loss: Tensor, grad_norm: Tensor) -> bool:
        """Whether the update may be made, in the opinion of all processes.

        The forward pass has changed the buffers of batch norm before this is asked: they can be
        infinite while the loss, made of normalised values, is fine.

        Args:
            loss: of this batch, any shape.
            grad_norm: the norm of all gradients.
        """
        for name, value in (("loss", loss), ("grad_norm", grad_norm)):
            if not isinstance(value, Tensor):
                raise TrainingError(f"{name} is a tensor, as torch computed it; got {value!r}")
        buffers = dict(self._model.named_buffers())
        parts: tuple[Iterable[Tensor], ...] = ([loss], [grad_norm], buffers.values())
        mean = loss.detach().float().mean()
        numbers = [is_finite(part, loss.device) for part in parts]
        # The minimum over processes of −loss is the largest loss. NaN has no place in an order.
        numbers.append(-torch.where(mean.isnan(), math.inf, mean))
        *finite, negative = self._agreed(numbers)
        if not self._ring[-1].is_seen:
            self._ring[-1].loss, self._ring[-1].is_seen = -negative, True
        loss_good = bool(finite[0]) and -negative <= self._max_loss
        norm_good, buffers_good = bool(finite[1]), bool(finite[2])
        if loss_good and norm_good and buffers_good:
            return True
        found = []
        if not loss_good:
            found.append(said("loss", loss, self._max_loss))
        if not norm_good:
            found.append(said("gradient norm", grad_norm))
        if not buffers_good:
            names = bad_names(buffers)
            found.append(f"buffers {names}" if names else "buffers of another process")
        self._what = ", ".join(found)
        return False

    def is_sound(self) -> bool:
        """Whether all parameters, buffers, averages and the optimiser's state are finite.

        `is_good` looks at what goes into an update, this at what came out. Ask before saving.
        """
        tensors = [value for module in self._modules for value in named_values(module).values()]
        device = tensors[0].device
        for state in self._optimizer.state.values():
            tensors += [value for value in state.values() if isinstance(value, Tensor)]
        return bool(self._agreed([is_finite(tensors, device)])[0])

    def after_update(self, step: int) -> None:
        """Count a good update, and take a snapshot every so many.

        Args:
            step: the number of updates done.
        """
        self._step = step
        self._num_good += 1
        if self._num_good >= self._every and self.is_sound():
            self._take()

    def trip(self, epoch: int, batch: int, name: str) -> None:
        """Go back to the last good state, lower the rate and set the batch aside.

        The gradients are dropped. The rate in the optimiser is left alone: the loop sets it
        before each update.

        Args:
            epoch: the epoch of the batch.
            batch: its number in the epoch.
            name: what to call it in a report.

        Raises:
            DivergedError: this was one trip too many. The last good state is restored all the
                same; the message lists all trips.
        """
        self._drop_bad()
        snapshot = self._ring[-1].snapshot
        snapshot.restore(self._modules, self._optimizer)
        self._optimizer.zero_grad(set_to_none=True)
        self._model.zero_grad(set_to_none=True)
        rate = max(float(group["lr"]) for group in self._optimizer.param_groups)
        what = self._what or "not said"
        self.trips.append(Trip(self._step, epoch, batch, name, what, rate, snapshot.step))
        self.set_aside.add((epoch, batch))
        self.lr_scale *= self._factor
        self._num_good, self._is_fresh_from_trip, self._what = 0, True, ""
        if len(self.trips) > self._max_trips:
            raise DivergedError(
                f"Expected at most {self._max_trips} states that are not finite in a run; "
                f"got {len(self.trips)}. Lower the learning rate, clip the gradient's norm, or "
                f"bound the state by an activation such as softball.\n"
                + "\n".join(f"  {k}. {trip}" for k, trip in enumerate(self.trips, 1))
            )

    def state_dict(self) -> dict[str, object]:
        """Return all that a checkpoint needs, as plain values; the tensors are not copied.

        The random states are those of this process; see `random_states`.
        """
        return {
            "lr_scale": self.lr_scale,
            "step": self._step,
            "num_good": self._num_good,
            "is_fresh_from_trip": self._is_fresh_from_trip,
            "set_aside": [list(pair) for pair in sorted(self.set_aside)],
            "trips": [dataclasses.asdict(trip) for trip in self.trips],
            "ring": [
                {**one.snapshot.as_plain(), "loss": one.loss, "is_seen": one.is_seen}
                for one in self._ring
            ],
        }

    def random_states(self) -> Tensor:
        """Return the random states of the ring in this process: uint8, (snapshot, byte).

        All else in `state_dict` is the same in every process, so that one of them saves it; these
        are to be gathered from all.
        """
        return torch.stack([one.snapshot.random for one in self._ring])

    def load_state_dict(
        self, state: Mapping[str, Any], random_states: Tensor | None = None
    ) -> None:
        """Go on as the guard that `state_dict` was asked of would have gone on.

        Args:
            state: from `state_dict`.
            random_states: from `random_states` of this process; None for those in `state`.

        Raises:
            CheckpointError: the state is of another model or optimiser.
        """
        try:
            trips = [Trip(**one) for one in state["trips"]]
            set_aside = {(int(epoch), int(batch)) for epoch, batch in state["set_aside"]}
            ring = [
                _Kept(
                    Snapshot.from_plain(one, self._modules),
                    float(one["loss"]),
                    bool(one["is_seen"]),
                )
                for one in list(state["ring"])[-(self._ring.maxlen or 1) :]
            ]
            if random_states is not None:
                rows = random_states[len(random_states) - len(ring) :]
                for kept, row in zip(ring, rows, strict=True):
                    kept.snapshot = dataclasses.replace(kept.snapshot, random=row.cpu())
            numbers = (float(state["lr_scale"]), int(state["step"]), int(state["num_good"]))
            is_fresh = bool(state["is_fresh_from_trip"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"Expected the state of a guard of this model and optimiser; got another: "
                f"{error}. Resume with the options that the run was started with."
            ) from error
        self.trips, self.set_aside = trips, set_aside
        self._is_fresh_from_trip, self._what = is_fresh, ""
        self.lr_scale, self._step, self._num_good = numbers
        if ring:
            self._ring.clear()
            self._ring.extend(ring)

    @property
    def _modules(self) -> tuple[nn.Module, ...]:
        return (self._model,) if self._ema is None else (self._model, self._ema)

    def _agreed(self, numbers: list[Tensor]) -> list[float]:
        """Bring numbers to the host, all in one transfer: the least of each over the processes."""
        joined = torch.stack([number.float() for number in numbers])
        if self._group is not None:
            minimum = torch.distributed.ReduceOp.MIN
            torch.distributed.all_reduce(joined, op=minimum, group=self._group)
        return [float(number) for number in joined.tolist()]

    def _take(self) -> None:
        self._ring.append(_Kept(Snapshot.take(self._step, self._modules, self._optimizer)))
        self._num_good, self._is_fresh_from_trip = 0, False

    def _drop_bad(self) -> None:
        """Leave the snapshot to go back to as the last of the ring."""
        lowest = min(one.loss for one in self._ring)
        limit = lowest + abs(lowest)
        if self._is_fresh_from_trip and len(self._ring) > 1:
            self._ring.pop()
        while len(self._ring) > 1 and not self._ring[-1].loss <= limit:
            self._ring.pop()
