"""The published failure mode, reproduced and survived: digits at 32×32, learning rate 3.

Without an activation the numbers overflow, the buffers of batch norm first, while the loss is still
finite. With hardtanh they do not at this rate: the state saturates, every number stays finite, the
loss is a thousand times that of a guess, and no gradient leads out; at rate 100 it overflows too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import pdenet as pn
from pdenet.training.loop.guard import Guard, Trip
from pdenet.training.loop.optimisers import create_optimizer, set_rate
from pdenet.training.loop.schedule import Schedule
from tests.tiers import both_tiers

BATCH = 16  # small: many updates for few pictures
GUESS = math.log(10)  # cross entropy of a guess among ten classes
CHANCE = 0.18  # five standard deviations above a tenth, for guesses at 360 pictures
SOON = 40  # updates within which an unguarded run is dead


@dataclass
class Pictures:
    """Standardised digits: training (1437) and validation (360), stratified by order."""

    images: Tensor
    labels: Tensor
    val_images: Tensor
    val_labels: Tensor

    @staticmethod
    def of_size(size: int) -> Pictures:
        digits = load_digits()
        images = torch.tensor(digits.images, dtype=torch.float32)[:, None]
        images = nn.functional.interpolate(images, (size, size), mode="bilinear")
        images = (images - images.mean()) / images.std()
        labels = torch.tensor(digits.target)
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
        train, val = order[360:], order[:360]
        return Pictures(images[train], labels[train], images[val], labels[val])


@dataclass
class Outcome:
    """What became of a run.

    Attributes:
        died: the number of updates done when something was not finite; None for never.
        losses: of each batch.
        is_finite: whether all outputs on the validation pictures are.
        accuracy: on them.
    """

    died: int | None = None
    losses: list[float] = field(default_factory=list)
    is_finite: bool = False
    accuracy: float = 0.0
    trips: list[Trip] = field(default_factory=list)


def train(
    model: nn.Module,
    pictures: Pictures,
    *,
    guarded: bool,
    epochs: int = 3,
    stop: int | None = None,
    lr: float = 3.0,
    max_loss: float = math.inf,
) -> Outcome:
    """SGD with momentum and a cosine, the loop of the guard's documentation.

    Unguarded, the guard looks on, and the run ends where it would first have gone back.
    """
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast
    optimizer = create_optimizer(model, "momentum", lr=lr)
    num_batches = len(pictures.labels) // BATCH
    schedule = Schedule(lr, epochs, num_batches)
    # A tenth: at half of the rate it would trip again, and the test take longer.
    guard = Guard(model, optimizer, every=10, factor=0.1, max_loss=max_loss)
    outcome = Outcome(trips=guard.trips)
    step = 0
    for epoch in range(epochs):
        generator = torch.Generator().manual_seed(epoch)
        order = torch.randperm(len(pictures.labels), generator=generator)
        for batch in range(num_batches):
            chosen = order[batch * BATCH : (batch + 1) * BATCH]
            set_rate(optimizer, schedule.rate(epoch * num_batches + batch) * guard.lr_scale)
            loss = nn.functional.cross_entropy(
                model(pictures.images[chosen]), pictures.labels[chosen]
            )
            loss.backward()
            norm = nn.utils.get_total_norm(
                [p.grad for p in model.parameters() if p.grad is not None]
            )
            outcome.losses.append(float(loss.detach()))
            if not guard.is_good(loss, norm):
                if not guarded:
                    outcome.died = step
                    return evaluated(model, pictures, outcome)
                guard.trip(epoch, batch, f"batch {batch}")
                continue
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            if guarded:
                guard.after_update(step)
            if step == stop:
                return evaluated(model, pictures, outcome)
    return evaluated(model, pictures, outcome)


def evaluated(model: nn.Module, pictures: Pictures, outcome: Outcome) -> Outcome:
    model.eval()
    with torch.no_grad():
        logits = torch.cat([model(images) for images in pictures.val_images.split(60)])
    outcome.is_finite = bool(torch.isfinite(logits).all())
    outcome.accuracy = float((logits.argmax(1) == pictures.val_labels).float().mean())
    return outcome


# --- a stand-in without derivatives --------------------------------------------------------------


class Quadratic(nn.Module):
    """u ← u + B(A u · C u), three times: the published block without its derivatives."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        width = 8
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.first = nn.ModuleList(nn.Conv2d(width, 2 * width, 1) for _ in range(3))
        self.last = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(3))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(3))
        self.head = nn.Linear(width, 10)

    def forward(self, images: Tensor) -> Tensor:
        u = self.stem(images)
        for first, norm, last in zip(self.first, self.norms, self.last, strict=True):
            one, other = first(u).chunk(2, dim=1)
            u = u + last(norm(one * other))
        return self.head(u.mean((2, 3)))


@pytest.mark.deep(law="test_without_activation_a_guarded_run_learns")
def test_a_stand_in_dies_unguarded_and_learns_guarded() -> None:
    pictures = Pictures.of_size(8)
    bare = train(Quadratic(), pictures, guarded=False)
    assert bare.died is not None
    assert bare.died < SOON
    guarded = train(Quadratic(), pictures, guarded=True, epochs=6)
    assert guarded.trips
    assert guarded.is_finite
    # A linear classifier of this width on pooled products: far above the 10 % of a guess.
    assert guarded.accuracy > 0.5


# --- Eq. (3) --------------------------------------------------------------------------------------
# In the quick tier pictures stay of 8×8, and a guarded run ends after an epoch: all happens there
# too, within as many updates.


@pytest.fixture(scope="module")
def pictures() -> dict[bool, Pictures]:
    return {False: Pictures.of_size(8), True: Pictures.of_size(32)}


def eq3(activation: str) -> nn.Module:
    torch.manual_seed(0)
    return pn.create_model("eq3_small", 10, in_channels=1, activation=activation)


@both_tiers
def test_without_activation_the_buffers_overflow_unguarded(
    deep: bool, pictures: dict[bool, Pictures]
) -> None:
    bare = train(eq3("none"), pictures[deep], guarded=False)
    assert bare.died is not None
    assert bare.died < SOON
    # The loss was finite to the end; it is the variance that was not. Evaluation divides by it.
    assert all(map(math.isfinite, bare.losses))
    assert bare.accuracy < CHANCE


@both_tiers
def test_without_activation_a_guarded_run_learns(
    deep: bool, pictures: dict[bool, Pictures]
) -> None:
    guarded = train(eq3("none"), pictures[deep], guarded=True, epochs=3 if deep else 1)
    assert 1 <= len(guarded.trips) <= 10
    assert "running_var" in guarded.trips[0].what
    assert guarded.is_finite
    assert guarded.accuracy > 0.85


@both_tiers
def test_hardtanh_is_finite_and_dead_unguarded(deep: bool, pictures: dict[bool, Pictures]) -> None:
    bare = train(eq3("hardtanh"), pictures[deep], guarded=False, stop=SOON)
    assert bare.died is None
    assert min(bare.losses[-10:]) > 100 * GUESS
    assert bare.accuracy < CHANCE


@both_tiers
def test_hardtanh_overflows_at_a_larger_rate(deep: bool, pictures: dict[bool, Pictures]) -> None:
    bare = train(eq3("hardtanh"), pictures[deep], guarded=False, lr=100.0)
    assert bare.died is not None
    assert bare.died < SOON
    assert bare.accuracy < CHANCE


@both_tiers
def test_with_hardtanh_a_guarded_run_learns(deep: bool, pictures: dict[bool, Pictures]) -> None:
    """A loss ten times that of a guess counts as bad."""
    epochs = 3 if deep else 1
    guarded = train(
        eq3("hardtanh"), pictures[deep], guarded=True, epochs=epochs, max_loss=10 * GUESS
    )
    assert 1 <= len(guarded.trips) <= 10
    assert guarded.is_finite
    assert guarded.accuracy > 0.85
