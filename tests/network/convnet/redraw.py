"""Redraw what initialisation leaves trivial: at first the closing norm is 0 and a block is u ↦ u.

A check of gradients, features, fusing, export or symmetry says nothing about such a block.
"""

from __future__ import annotations

from typing import Any, TypeVar  # Any: options of a classifier

import torch
from torch import nn

import pdenet as pn
from pdenet.network.convnet.block import PDEBlock
from pdenet.network.convnet.classifier import Classifier

FEW = ("eq2_small", "eq3_small", "eq7_nows_x6_small")
"""Small models for the quick tier: one whose step is a product, one of sums, and one of fluxes with
kernels of each channel."""

Model = TypeVar("Model", bound=nn.Module)


@torch.no_grad()
def redraw(model: Model, seed: int = 0) -> Model:
    """Redraw all batch norms' scales, shifts and running statistics, in place; see every F ≠ 0.

    The running statistics are those of random pictures, then disturbed: features keep the size that
    they have in training, and depend on the picture at every depth. Coefficients that are all 0,
    as the closing ones without norms are, are drawn too. Numbers are drawn on the CPU in float32:
    the same on every device. Returns the model itself.
    """
    generator = torch.Generator().manual_seed(seed)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        # Scales below 1: products of fields of unit size then stay of that size in depth. Both
        # signs: what folds a norm must not take a root of its scale.
        signs = _uniform(norm.weight, -1.0, 1.0, generator).sign()
        norm.weight.copy_(signs * _uniform(norm.weight, 0.2, 0.6, generator))
        norm.bias.copy_(_normal(norm.bias, 0.2, generator))
    for block in (module for module in model.modules() if isinstance(module, PDEBlock)):
        for parameter in block.coefficients.parameters():
            if not parameter.any():
                parameter.copy_(_normal(parameter, 0.5 * parameter.shape[-1] ** -0.5, generator))
    modes = {module: module.training for module in model.modules()}
    model.eval()
    _measure(model, norms, generator)
    for norm in norms:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        shift = _normal(norm.running_mean, 0.2, generator).to(norm.running_mean)
        norm.running_mean.add_(shift * norm.running_var.sqrt())
        norm.running_var.mul_(_uniform(norm.running_var, 0.8, 1.5, generator).to(norm.running_var))
    _check(model, generator)
    for module, training in modes.items():
        module.training = training
    return model


def model_of(name: str, classes: int = 5, **options: Any) -> Classifier:
    """A published model by name, of one seed, redrawn."""
    torch.manual_seed(0)
    return redraw(pn.create_model(name, classes, **options), seed=1)


def pictures(model: Classifier, batch: int = 2, y: int | None = None) -> torch.Tensor:
    """Pictures that are not square, of sizes that the reductions do not divide."""
    x = 65 if model.layout.stem == "pooled" else 17
    torch.manual_seed(2)
    return torch.randn(batch, model.in_channels, x - 6 if y is None else y, x)


def _measure(model: nn.Module, norms: list[nn.BatchNorm2d], generator: torch.Generator) -> None:
    """Make the running statistics those of random pictures, without dropout."""
    entry = next(m for m in model.modules() if isinstance(m, nn.Conv2d | PDEBlock))
    like = next(p for p in model.parameters() if p.is_floating_point())
    is_pooled = any(isinstance(module, nn.MaxPool2d) for module in model.modules())
    points = 64 if is_pooled else 16
    x = torch.empty(4, entry.in_channels, points, points).normal_(generator=generator).to(like)
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    model(x)
    for norm, momentum in zip(norms, kept, strict=True):
        norm.eval()
        norm.momentum = momentum
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked.zero_()


def _check(model: nn.Module, generator: torch.Generator) -> None:
    """Assert that every block adds something to its skip connection, of at least 1 % of u."""
    for name, block in model.named_modules():
        if isinstance(block, PDEBlock):
            like = next(p for p in block.parameters() if p.is_floating_point())
            # Every padding needs two pixels more than it adds.
            u = torch.empty(1, block.in_channels, 6, 5).normal_(generator=generator).to(like)
            size = block.rate(u).abs().mean()
            assert size > 0.01, f"block {name or 'itself'} is its skip connection: |F| = {size}"
            assert size.isfinite(), f"block {name or 'itself'} is not finite"


def _uniform(
    like: torch.Tensor, low: float, high: float, generator: torch.Generator
) -> torch.Tensor:
    return torch.empty(like.shape).uniform_(low, high, generator=generator)


def _normal(like: torch.Tensor, std: float, generator: torch.Generator) -> torch.Tensor:
    return torch.empty(like.shape).normal_(std=std, generator=generator)
