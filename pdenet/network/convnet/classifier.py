"""Classifier: an image classifier whose stages are an equation's time steps."""

from __future__ import annotations

import numbers
from typing import Any  # a user's options

import torch
from torch import nn

from pdenet.equation.pde import PDE
from pdenet.errors import NetworkError
from pdenet.network.convnet.activation import activation as activation_of
from pdenet.network.convnet.form import form_of
from pdenet.network.convnet.layout import Layout, settled_layout
from pdenet.network.convnet.relaxation import Relaxation, check_count
from pdenet.network.convnet.stage import Stage, check_choice

PLACES = ("auto", "stages", "blocks")
"""Where activations stand."""


class Classifier(nn.Module):
    """Stem, stages, head: an equation as a ConvNet that names what a picture shows.

    The stem makes a picture the initial state; each stage is some time steps of the equation,
    relaxed (`Relaxation`), with as many components as the stage has channels; the head is a global
    mean over pixels and a linear map. See Liu, Shao & Bai (2023), arXiv 2308.01621.

    Args:
        pde: an equation whose fields are vector fields of one symbolic size.
        num_classes: the number of classes; 0 for no linear map.
        in_channels: the channels of a picture.
        layout: "resnet50", "resnet26", "small", or a `Layout`.
        directions: see `Relaxation`.
        share_kernels: see `Relaxation`.
        stencils: see `Relaxation`.
        norm: see `Relaxation`.
        padding: see `Relaxation`.
        position: see `Relaxation`.
        activation: "none", "relu", "hardtanh", "hardball" or "softball".
        activate: where it stands: "stages", behind each block that changes stride and behind the
            last stage; "blocks", behind every block; "auto" is "blocks" for "relu" and else
            "stages", as published.
        stepper: "euler", "heun", "ssprk3", "rk4" or "leapfrog"; see `Stage`.
        coefficients: "free", or "shared" by the blocks of a stage; see `Stage`.
        drop_rate: the probability of dropout before the head.
        drop_path_rate: the probability with which the last block's F is left out in training; it
            grows linearly from 0 with depth.

    Attributes:
        stem: picture → initial state.
        stages: the stages.
        final: the activation behind the last stage.
        head: features → logits.
        num_features: the number of features of a picture.

    Raises:
        NetworkError: the equation has no block, or an option makes no sense.

    Example:
        >>> import pdenet as pn
        >>> model = pn.catalogue["eq3"].to_classifier(10, in_channels=1, layout="small")
        >>> model(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        pde: PDE,
        num_classes: int = 1000,
        *,
        in_channels: int = 3,
        layout: str | Layout = "resnet50",
        directions: int | None = 4,
        share_kernels: bool = True,
        stencils: str = "free",
        norm: bool = True,
        padding: Any = "zeros",
        position: int = 0,
        activation: str = "softball",
        activate: str = "auto",
        stepper: str = "euler",
        coefficients: str = "free",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_classes = check_count("num_classes", num_classes, 0)
        self.in_channels = check_count("in_channels", in_channels, 1)
        self.layout = layout = settled_layout(layout)
        self.drop_rate = _probability("drop_rate", drop_rate)
        drop_path_rate = _probability("drop_path_rate", drop_path_rate)
        relaxation = Relaxation(directions, share_kernels, stencils, norm, padding, position)
        check_choice("activate", activate, PLACES)
        if activate == "auto":
            activate = "blocks" if activation == "relu" else "stages"
        form = form_of(pde)
        if stepper == "leapfrog" and form.is_second_order:
            form = form.of_positions()
        self.equation = str(pde)
        self.stem = _stem(self.in_channels, layout)
        self.stages = nn.ModuleList()
        total = sum(layout.depths)
        channels = layout.widths[0]
        for k, (width, depth) in enumerate(zip(layout.widths, layout.depths, strict=True)):
            first = sum(layout.depths[:k])
            paths = [drop_path_rate * (first + b) / max(total - 1, 1) for b in range(depth)]
            behind = [
                activation_of(activation if activate == "blocks" or (k and not b) else "none")
                for b in range(depth)
            ]
            stage = Stage(
                form,
                channels,
                width,
                depth,
                stride=2 if k else 1,
                relaxation=relaxation,
                stepper=stepper,
                coefficients=coefficients,
                activations=behind,
                drop_paths=paths,
            )
            self.stages.append(stage)
            channels = width
        self.final = activation_of(activation if activate == "stages" else "none")
        self.num_features = self.head_hidden_size = channels
        self.head = self._linear(num_classes)

    def _linear(self, num_classes: int) -> nn.Module:
        return nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()

    # -- what it computes --------------------------------------------------------------------------

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """Return the state behind the last stage.

        Args:
            x: pictures, shape `(batch, in_channels, y, x)`, dimensionless, of any size.

        Returns:
            Shape `(batch, num_features, y/r, x/r)`, rounded up, r the last of
            `layout.reductions`.
        """
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.final(x)

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Return logits, or with `pre_logits` the mean of each channel over all pixels."""
        x = x.mean(dim=(2, 3))
        if self.drop_rate:
            x = nn.functional.dropout(x, self.drop_rate, self.training)
        return x if pre_logits else self.head(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits, shape `(batch, num_classes)`, of pictures; see `forward_features`."""
        return self.forward_head(self.forward_features(x))


def _stem(in_channels: int, layout: Layout) -> nn.Sequential:
    width = layout.widths[0]
    if layout.stem == "plain":
        convolution = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        pool: list[nn.Module] = []
    else:
        convolution = nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
        pool = [nn.MaxPool2d(3, stride=2, padding=1)]
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="linear")
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU(), *pool)


def _probability(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= float(value) < 1:
        raise NetworkError(f"{name} is a probability from 0 to below 1; got {value!r}")
    return float(value)
