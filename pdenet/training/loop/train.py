"""Train: the whole training loop of a classifier, from top to bottom.

An epoch is so many batches, an update one batch or several (accumulation). Before each update the
guard looks; if it finds anything not finite it goes back to a good state, and the loop goes on
with the next batch. After each epoch the model is validated. `last` is saved after every epoch and
every so many updates, `best` whenever validation was better than ever.

A run that is killed at any moment and resumed has the bits of a run that was not: parameters,
optimiser, buffers, average, guard, position in the epoch, random state of every process. The rate
follows from the position, and the batches from (seed, epoch, batch, process). On a GPU that needs
`deterministic`, since some of its sums are taken in any order.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # the state of a checkpoint

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pdenet.errors import CheckpointError, DivergedError
from pdenet.training.data.loaders import Batch, Data, load_data
from pdenet.training.evaluation.metrics import ranks
from pdenet.training.loop.building import build_model, penalty_of
from pdenet.training.loop.checkpoint import Checkpoints, read_checkpoint
from pdenet.training.loop.distributed import Ranks, joined, sync_batch_norm
from pdenet.training.loop.guard import Guard
from pdenet.training.loop.interruption import Interruption
from pdenet.training.loop.log import Log
from pdenet.training.loop.monitor import Monitor
from pdenet.training.loop.optimisers import ModelEma, create_optimizer, set_rate
from pdenet.training.loop.options import TrainOptions
from pdenet.training.loop.precision import Precision
from pdenet.training.loop.runs import MONITORED
from pdenet.training.loop.state import Parts, Progress, description, gathered, restored

_LONGEST_NAME = 300  # of a batch in a report; the data name all its pictures


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a run.

    Attributes:
        best_top1: the best accuracy on the validation part, in per cent; of the average of the
            weights where there is one. NaN if no epoch ended.
        history: a row of numbers for each epoch, as in summary.csv.
        folder: of the run.
        stopped: the signal that stopped it early, or None.
    """

    best_top1: float
    history: tuple[dict[str, float], ...]
    folder: Path
    stopped: int | None = None


def train(
    options: TrainOptions, *, model: nn.Module | None = None, data: Data | None = None
) -> Outcome:
    """Train a classifier, or go on training one.

    Args:
        options: everything about it.
        model: trained instead of the one that `options.model` names.
        data: the batches of this process, instead of those that the options describe.

    Raises:
        TrainingError: the options make no sense here.
        DataError: the images cannot be used.
        CheckpointError: a checkpoint cannot be written or read. Earlier ones are untouched.
        DivergedError: the guard gave up; the last good state is in `last`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     options = TrainOptions(
        ...         model="eq5_small", epochs=1, warmup_epochs=0, output=folder, device="cpu"
        ...     )
        ...     outcome = train(options)  # doctest: +ELLIPSIS
        eq5_small, ... parameters, on 1437 pictures of 10 classes, 1 × cpu
        writes to ...
        epoch 1/1 ...
        >>> len(outcome.history)
        1
    """
    with joined(options.device) as ranks, Interruption.listening() as interruption:
        return _Training(options, ranks, interruption, model, data).run()


class _Training:
    def __init__(
        self,
        options: TrainOptions,
        ranks: Ranks,
        interruption: Interruption,
        model: nn.Module | None,
        data: Data | None,
    ) -> None:
        self.options, self.ranks, self.interruption = options, ranks, interruption
        self.began = time.perf_counter()
        # The first process decides: a folder that it makes is an old one for the others.
        found = options.locate() if ranks.is_first else (Path(), None)
        folder, _, named = ranks.text(f"{found[0]}\0{found[1] or ''}").partition("\0")
        self.folder = Path(folder)
        if data is None:
            pin = ranks.device.type == "cuda"
            wanted = dataclasses.replace(options.data_options(), pin_memory=pin)
            data = load_data(wanted, ranks.rank, ranks.size)
        self.data = data
        torch.manual_seed(options.seed)  # the same weights in every process
        self.model = build_model(options, data) if model is None else model
        self.model.to(ranks.device)
        if options.channels_last:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if options.sync_bn:
            self.model = sync_batch_norm(self.model, ranks)
        net = torch.compile(self.model) if options.torchcompile else self.model
        self.net = ranks.wrap(net)  # type: ignore[arg-type]  # a compiled module is a module
        self.penalty = penalty_of(options, self.model)
        self.optimizer = create_optimizer(
            self.model, options.opt, options.lr, options.weight_decay, options.momentum,
            layer_decay=options.layer_decay,
        )  # fmt: skip
        self.ema = ModelEma(self.model, options.model_ema_decay) if options.model_ema else None
        self.precision = Precision(ranks.device, options.amp, options.amp_dtype)
        torch.manual_seed(options.seed + ranks.rank)  # each process drops other features
        self.guard = Guard(
            self.model, self.optimizer, snapshots=options.guard_snapshots,
            every=options.guard_every, factor=options.guard_factor, max_trips=options.max_trips,
            group=ranks.group, ema=self.ema,
            # A guess among C classes has the loss ln C.
            max_loss=options.guard_loss * math.log(max(len(data.classes), 2)) or math.inf,
        )  # fmt: skip
        self.parts = Parts(ranks, self.model, self.optimizer, self.precision, self.guard, self.ema)
        self.updates = -(-len(data.train) // options.grad_accum_steps)  # an epoch, rounded up
        self.schedule = options.schedule(self.updates)
        self.now = Progress()
        self.checkpoints = Checkpoints(self.folder)
        self.resumed = ""
        if options.resume:
            saved = read_checkpoint(Path(named)) if named else self.checkpoints.load("last")
            if saved:
                self.now = restored(self.parts, saved, options)
                self.resumed, self.began = saved.path.name, time.perf_counter()
        # A compiled model would be broken into pieces at its hooks.
        is_watched = ranks.is_first and options.monitor_every and not options.torchcompile
        has_stages = isinstance(getattr(self.model, "stages", None), nn.ModuleList | nn.Sequential)
        self.monitor = None
        if is_watched and has_stages:
            self.monitor = Monitor(self.model, options.monitor_every)
            if self.resumed:
                self.monitor.read(self.folder / MONITORED, self.now.step)
                self.monitor.trips = [trip.step for trip in self.guard.trips]
        self.log: Log | None = None
        if ranks.is_first:
            self.log = self._open_log()

    # -- the loop ----------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Train to the end, or until a signal."""
        now, is_stopped = self.now, False
        try:
            while now.epoch < self.schedule.num_epochs and not is_stopped:
                is_stopped = self._train_epoch() or self._end_epoch()
            if is_stopped:
                self._save_last()
        finally:
            if self.log:
                self.log.close()
            if self.monitor:
                self.monitor.remove()
        stopped = (self.interruption.signal or signal.SIGTERM) if is_stopped else None
        return Outcome(now.best, tuple(now.history), self.folder, stopped)

    def _train_epoch(self) -> bool:
        """Train to the end of the epoch; return whether a signal came before."""
        options, now = self.options, self.now
        self.net.train()
        if self.log:
            self.log.begin(now.epoch, self.schedule.num_epochs, now.batch)
        batches = self.data.train.epoch(now.epoch, now.batch)
        while window := list(itertools.islice(batches, options.grad_accum_steps)):
            is_made = (now.epoch, now.batch) not in self.guard.set_aside and self._update(window)
            now.batch += len(window)
            if self.log:
                self.log.advance(len(window))
            if self._is_asked_to_stop():
                return True
            if is_made and options.checkpoint_every and now.step % options.checkpoint_every == 0:
                self._save_last()
        return False

    def _update(self, window: list[Batch]) -> bool:
        """Make an update from one or more batches; return whether it was made."""
        options, now, ranks = self.options, self.now, self.ranks
        # From the position and not from the step: batches that were set aside count as well, so
        # that the rate ends where it should.
        planned = now.epoch * self.updates + now.batch // options.grad_accum_steps
        rate = self.schedule.rate(planned) * self.guard.lr_scale
        set_rate(self.optimizer, rate)
        if self.monitor:
            self.monitor.start(now.step)
        loss = torch.zeros((), device=ranks.device)
        for k, (images, targets) in enumerate(window):
            is_last = k == len(window) - 1
            with ranks.accumulating(self.net, is_last):
                with self.precision.narrow():
                    logits = self.net(self._placed(images))  # (batch, class)
                goal = targets.to(ranks.device, non_blocking=True)
                part = F.cross_entropy(logits.float(), goal) / len(window)
                if is_last and self.penalty:
                    part = part + self.penalty()
                self.precision.scale(part).backward()
            loss += part.detach()
        self.precision.unscale_(self.optimizer)
        norm = nn.utils.get_total_norm(p.grad for p in self._trained() if p.grad is not None)
        overflows = self.precision.is_overflow(norm)
        if not self.guard.is_good(loss, torch.zeros_like(norm) if overflows else norm):
            self.precision.update()
            self._trip(range(now.batch, now.batch + len(window)))
            return False
        if options.clip_grad:
            nn.utils.clip_grads_with_norm_(self._trained(), options.clip_grad, norm)
        self.precision.step(self.optimizer)
        self.precision.update()
        self.optimizer.zero_grad(set_to_none=True)
        ranks.average_buffers(self.model)
        if overflows:
            return False
        if self.ema:
            self.ema.update(self.model)
        now.step += 1
        now.loss_sum += float(loss)
        now.num_losses += 1
        self.guard.after_update(now.step)
        if self.log and now.step % options.log_interval == 0:
            self.log.update(now.step, float(loss), rate)
        return True

    def _end_epoch(self) -> bool:
        """Validate, report and save; return whether a signal came before."""
        now = self.now
        self._make_sound()
        rate = self.optimizer.param_groups[0]["lr"]  # groups differ by layer decay only
        sums = self.ranks.sum(torch.tensor([now.loss_sum, now.num_losses], dtype=torch.float64))
        row = {"epoch": now.epoch + 1, "step": now.step, "lr": rate}
        row["train_loss"] = float(sums[0] / sums[1]) if sums[1] else float("nan")
        row |= self._validate(self.model, "val")
        if self.ema:
            row |= self._validate(self.ema.module, "ema")
        if self._is_asked_to_stop():
            return True
        row |= {"trips": len(self.guard.trips), "seconds": self._seconds()}
        now.history.append(row)
        top1 = row["ema_top1" if self.ema else "val_top1"]
        is_best = not top1 <= now.best  # the first one is better than NaN
        if is_best:
            now.best = top1
        if self.log:
            self.log.epoch(row, self.schedule.num_epochs)
        if is_best:  # before `last`: a run killed in between makes this epoch's end again
            judged = self.ema.module if self.ema else self.model
            self._save("best", judged, {"epoch": now.epoch, "top1": top1})
        now.epoch, now.batch, now.loss_sum, now.num_losses = now.epoch + 1, 0, 0.0, 0
        self._save_last()
        self._show_size()
        return False

    def _show_size(self) -> None:
        if self.monitor and len(self.monitor.rows()) > 1:  # a curve needs two
            self.monitor.write(self.folder / MONITORED)
            self.monitor.plot(self.folder / "monitor.png")

    @torch.no_grad()
    def _validate(self, model: nn.Module, name: str) -> dict[str, float]:
        """Return loss and accuracy over the whole validation part, of all processes together."""
        model.eval()
        totals = torch.zeros(4, dtype=torch.float64)  # loss, top-1, top-5, pictures
        for images, labels in self.data.val:
            if self.interruption.signal is not None:
                break
            with self.precision.narrow():
                logits = model(self._placed(images)).float()  # (batch, class)
            goal = labels.to(self.ranks.device)
            loss = F.cross_entropy(logits, goal, reduction="sum")
            rank, most = ranks(logits, goal), min(5, logits.shape[1])
            counts = torch.stack([loss, (rank < 1).sum(), (rank < most).sum()]).double().cpu()
            totals += torch.cat([counts, torch.tensor([float(len(labels))])])
        loss, top1, top5, count = self.ranks.sum(totals).tolist()
        count = max(count, 1.0)
        shares = {"loss": loss / count, "top1": 100 * top1 / count, "top5": 100 * top5 / count}
        return {f"{name}_{key}": value for key, value in shares.items()}

    # -- the guard, signals, and what is shown -----------------------------------------------------

    def _trip(self, batches: range) -> None:
        """Go back to a good state."""
        now = self.now
        names = [self.data.train.name_batch(now.epoch, batch) for batch in batches]
        name = "; ".join(names) or "after the last update"
        if len(name) > _LONGEST_NAME:
            name = name[:_LONGEST_NAME] + " …"
        if self.monitor:
            self.monitor.mark(now.step)
        try:
            # Without a batch to blame none is set aside: their numbers begin at 0.
            self.guard.trip(now.epoch, now.batch if batches else -1, name)
        except DivergedError:
            self._save_last()  # the last good state, which the guard has restored
            self._show_size()
            raise
        if self.log:
            self.log.say(f"guard: {self.guard.trips[-1]}")

    def _make_sound(self) -> None:
        """Go back if the last update made something infinite: no checkpoint shall hold it."""
        if not self.guard.is_sound():
            self._trip(range(0))

    def _is_asked_to_stop(self) -> bool:
        return self.ranks.any(self.interruption.signal is not None)

    def _placed(self, images: Tensor) -> Tensor:
        layout = torch.channels_last if self.options.channels_last else torch.preserve_format
        return images.to(self.ranks.device, non_blocking=True, memory_format=layout)

    def _trained(self) -> list[nn.Parameter]:
        return [p for p in self.model.parameters() if p.requires_grad]

    def _seconds(self) -> float:
        return self.now.seconds + time.perf_counter() - self.began

    def _open_log(self) -> Log:
        is_over = bool(self.resumed) and self.now.epoch >= self.schedule.num_epochs
        # The options of a run that is over stay those that it had.
        arguments = None if is_over else self.options.to_toml()
        log = Log(
            self.folder, self.now.history, arguments, has_average=bool(self.ema),
            batches=len(self.data.train), tensorboard=self.options.tensorboard, step=self.now.step,
        )  # fmt: skip
        count = sum(p.numel() for p in self._trained())
        log.say(
            f"{self.options.model or type(self.model).__name__}, {count:,} parameters, on "
            f"{self.data.train.num_samples} pictures of {len(self.data.classes)} classes, "
            f"{self.ranks.size} × {self.ranks.device}"
        )
        log.say(f"writes to {self.folder}")
        if is_over:
            log.say(f"is finished after {self.now.epoch} epochs; give more --epochs to go on")
        elif self.resumed:
            done = f"epoch {self.now.epoch + 1}, {self.now.step} updates"
            log.say(f"goes on from {self.resumed}: {done}")
        return log

    # -- checkpoints -------------------------------------------------------------------------------

    def _save_last(self) -> None:
        self._make_sound()
        now = dataclasses.replace(self.now, seconds=self._seconds())
        self._save("last", self.model, gathered(self.parts, now))

    def _save(self, kind: str, model: nn.Module, state: dict[str, Any]) -> None:
        failure: CheckpointError | None = None
        if self.ranks.is_first:
            try:
                described = description(self.options, self.data, self.model)
                state = {**described, **state}
                self.checkpoints.save(kind, self.now.step, model.state_dict(), state)
            except CheckpointError as error:
                failure = error
        # All stop together: the others would wait for the first one for ever.
        if self.ranks.any(failure is not None):
            raise failure or CheckpointError(
                "the first process saves a checkpoint for all; it could not; see its message"
            )
