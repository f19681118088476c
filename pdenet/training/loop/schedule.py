"""Schedule: the learning rate as a pure function of the update."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pdenet.errors import TrainingError
from pdenet.training.loop import kinds

SCHEDULES = ("cosine", "step", "constant")

_RATES = ("lr", "warmup_epochs", "warmup_lr", "min_lr", "decay_epochs")
_KINDS = {
    "sched": kinds.word(*SCHEDULES),
    "epochs": kinds.whole(1),
    "steps_per_epoch": kinds.whole(1),
    "cooldown_epochs": kinds.whole(0),
    **dict.fromkeys(_RATES, kinds.number(0.0)),
    "decay_rate": kinds.number(0.0, 1.0),
}


@dataclass(frozen=True)
class Schedule:
    """A linear warm-up, update by update, and what follows it.

    With W the updates of the warm-up and s the update, counted from 0: r(s) = w + (lr − w) s/W for
    s < W, and from s = W on

    - "cosine": min + (lr − min) (1 + cos π(s − W)/(L − W))/2 with L the last update of `epochs`,
      so that r(W) = lr and r(L) = min exactly;
    - "step": lr · decay_rate^⌊epoch/decay_epochs⌋, at least min, with epochs counted from the
      beginning: decay_epochs=30 and warmup_epochs=5 decay at epochs 30, 60, …;
    - "constant": lr.

    The names are timm's. There the warm-up replaces the beginning of the cosine, which has fallen
    below the peak when the warm-up ends; here the peak is reached.

    Attributes:
        lr: the peak.
        epochs: how many, warm-up included.
        steps_per_epoch: updates in each.
        sched: "cosine", "step" or "constant".
        warmup_epochs: may be a fraction.
        warmup_lr: where the warm-up begins, w above.
        min_lr: where the cosine ends; the least of "step".
        decay_epochs: between the decays of "step".
        decay_rate: their factor.
        cooldown_epochs: so many more at the last rate, after `epochs`.

    Example:
        >>> schedule = Schedule(lr=0.3, epochs=50, steps_per_epoch=100, warmup_epochs=5)
        >>> schedule.rate(0), schedule.rate(250), schedule.rate(500), schedule.rate(4999)
        (0.0, 0.15, 0.3, 0.0)
    """

    lr: float
    epochs: int
    steps_per_epoch: int
    sched: str = "cosine"
    warmup_epochs: float = 0.0
    warmup_lr: float = 0.0
    min_lr: float = 0.0
    decay_epochs: float = 30.0
    decay_rate: float = 0.1
    cooldown_epochs: int = 0

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            TrainingError: a number is out of its range, or there is no such schedule.
        """
        for name, kind in _KINDS.items():
            kind.check(name, getattr(self, name), getattr(Schedule, name, 1))
        for name in ("warmup_lr", "min_lr"):
            if getattr(self, name) > self.lr:
                raise TrainingError(
                    f"{name} is at most the peak lr = {self.lr}; got {getattr(self, name)}. "
                    f"Exchange them."
                )
        if self._num_warmup_steps >= self.epochs * self.steps_per_epoch:
            raise TrainingError(
                f"The warm-up ends before the last update of epochs = {self.epochs}; "
                f"got warmup_epochs = {self.warmup_epochs}. Use fewer, so that lr is reached."
            )
        if self.sched == "step" and self.decay_epochs <= self.warmup_epochs:
            raise TrainingError(
                f"The rate decays after the warm-up of {self.warmup_epochs} epochs; got "
                f"decay_epochs = {self.decay_epochs}. Use more, so that lr is reached."
            )

    @property
    def num_epochs(self) -> int:
        """How many epochs to train: `epochs` and `cooldown_epochs`."""
        return self.epochs + self.cooldown_epochs

    @property
    def _num_warmup_steps(self) -> int:
        return round(self.warmup_epochs * self.steps_per_epoch)

    def rate(self, step: int) -> float:
        """Return the learning rate of an update.

        Args:
            step: the number of updates done before it. After the last epoch the rate stays.

        Raises:
            TrainingError: it is negative.
        """
        if step < 0:
            raise TrainingError(f"step counts updates from 0; got {step}. Use step >= 0.")
        warmup, last = self._num_warmup_steps, self.epochs * self.steps_per_epoch - 1
        if step < warmup:
            return self.warmup_lr + (self.lr - self.warmup_lr) * step / warmup
        step = min(step, last)
        if self.sched == "constant":
            return self.lr
        if self.sched == "step":
            epoch = step / self.steps_per_epoch
            decays = math.floor(epoch / self.decay_epochs)
            return max(self.min_lr, self.lr * self.decay_rate**decays)
        if step == warmup:
            return self.lr  # also where it is the last update, and the cosine has no length
        done = (step - warmup) / (last - warmup)
        return self.min_lr + (self.lr - self.min_lr) * 0.5 * (1.0 + math.cos(math.pi * done))
