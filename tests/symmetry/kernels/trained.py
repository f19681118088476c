"""Small ConvNets trained on digits that are turned and mirrored at random, for a second each.

Every digit is seen in all eight positions of a square equally often, and mean kernels are 0 before
training. So nothing but padding can tell one side of a mean kernel from the other.
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = ((8, 1), (16, 2), (16, 1), (32, 2), (32, 1))
"""Channels and stride of each convolution."""

EPOCHS, BATCH, RATE = 6, 128, 0.2


@torch.no_grad()
def network(seed: int, *, turned: bool = False) -> nn.Sequential:
    """3×3 convolutions with one ghost pixel, each followed by a norm and a ReLU; then the head.

    Args:
        seed: of the weights.
        turned: whether every kernel is turned by 180°.
    """
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    before = 1
    for width, stride in WIDTHS:
        convolution = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        weight = convolution.weight
        weight -= weight.mean(dim=(0, 1), keepdim=True)
        if turned:
            weight.copy_(weight.flip(2, 3))
        layers += [convolution, nn.BatchNorm2d(width), nn.ReLU()]
        before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10))


def digits(size: int) -> tuple[Tensor, Tensor]:
    """1,797 digits of 8×8 pixels, scaled to a size, and what they are."""
    found = load_digits()
    pictures = torch.tensor(found.images[:, None] / 16, dtype=torch.float32)
    pictures = (pictures - pictures.mean()) / pictures.std()
    scaled = F.interpolate(pictures, (size, size), mode="bilinear", align_corners=True)
    return scaled, torch.tensor(found.target)


def trained(
    seed: int,
    size: int,
    *,
    turned: bool = False,
    epochs: int = EPOCHS,
    dtype: torch.dtype = torch.float32,
) -> nn.Sequential:
    """A network trained on digits of a size; the same arguments give the same network.

    Args:
        seed: of the weights, the batches and the digits' positions.
        size: of the digits.
        turned: whether all first kernels and all pictures are turned by 180°.
        epochs: the number of epochs.
        dtype: of weights and pictures.
    """
    pictures, labels = digits(size)
    pictures = pictures.to(dtype)
    model = network(seed, turned=turned).to(dtype)
    optimiser = torch.optim.SGD(
        model.parameters(), RATE, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    steps = len(labels) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=epochs * steps)
    for _ in range(epochs):
        for chosen in torch.randperm(len(labels)).split(BATCH)[:steps]:
            turns, is_mirrored = divmod(int(torch.randint(8, ())), 2)
            batch = torch.rot90(pictures[chosen], turns, (2, 3))
            batch = batch.flip(3) if is_mirrored else batch
            batch = batch.flip(2, 3) if turned else batch
            loss = F.cross_entropy(model(batch), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return model.eval()
