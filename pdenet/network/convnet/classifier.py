"""Classifier: an image classifier whose stages are an equation's time steps."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any  # a user's options

import torch
from torch import nn

from pdenet.checks import check_choice, check_count
from pdenet.equation.pde import PDE
from pdenet.errors import NetworkError
from pdenet.network.convnet.activation import activation as activation_of
from pdenet.network.convnet.config import equation_name, layout_config
from pdenet.network.convnet.explanation import explain_model
from pdenet.network.convnet.form import form_of
from pdenet.network.convnet.fusing import folded
from pdenet.network.convnet.hub import HubModel
from pdenet.network.convnet.layout import Layout, feature_info, settled_layout, taken
from pdenet.network.convnet.relaxation import Relaxation
from pdenet.network.convnet.stage import Stage
from pdenet.network.convnet.stage_folding import fold_stages
from pdenet.network.convnet.stem import Stem
from pdenet.network.convnet.unit_rows import UnitRows, leave_out, unit_rows_config
from pdenet.network.options import check_pictures

PLACES = ("auto", "stages", "blocks")
"""Where activations stand."""

POOLS = ("avg", "max", "")
"""What becomes of the pixels before the head; "" keeps them."""


class Classifier(nn.Module, HubModel):
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
        opening_norm: see `Relaxation`.
        activation: "none", "relu", "hardtanh", "hardball" or "softball".
        quadratic_form: by which form hardball and softball measure a state: "none", the sum of its
            squares; "identity", uᵀLᵀL u with L = I, which a change of unknowns moves; "trainable".
        activate: where it stands: "stages", behind each block that changes stride and behind the
            last stage; "blocks", behind every block; "auto" is "blocks" for "relu" and else
            "stages", as published.
        stem_projection: whether a 1×1 convolution follows the stem, at first the identity: then no
            ReLU ties the components of the first stage to channels.
        stepper: "euler", "heun", "ssprk3", "rk4" or "leapfrog"; see `Stage`.
        coefficients: "free", or "shared" by the blocks of a stage; see `Stage`.
        global_pool: "avg" or "max" over all pixels before the head; "" keeps the pixels, without a
            head.
        drop_rate: the probability of dropout before the head.
        drop_path_rate: the probability with which the last block's F is left out in training; it
            grows linearly from 0 with depth.

    Attributes:
        stem: picture → initial state.
        stages: the stages.
        final: the activation behind the last stage.
        head: features → logits.
        num_features: the number of features of a picture; `head_hidden_size` is the same.
        feature_info: for each level, the stem and the stages, a dict of `num_chs`, `reduction` and
            `module`.
        name: the name in `list_models()`, or None.
        is_fused: whether its batch norms are folded; see `fused`.
        folded_stages: the stages, from 1, on whose unknowns no batch norm acts any more, in the
            order in which they were folded; see `stage_folding`.
        unit_rows: rows of the identity that opening convolutions do without; see `unit_rows`.

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
        opening_norm: bool = False,
        activation: str = "softball",
        quadratic_form: str = "none",
        activate: str = "auto",
        stem_projection: bool = False,
        stepper: str = "euler",
        coefficients: str = "free",
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_classes = check_count("num_classes", num_classes, 0, NetworkError)
        self.in_channels = check_count("in_channels", in_channels, 1, NetworkError)
        self.layout = layout = settled_layout(layout)
        self.drop_rate = _probability("drop_rate", drop_rate)
        self.drop_path_rate = drop_path_rate = _probability("drop_path_rate", drop_path_rate)
        relaxation = Relaxation(
            directions, share_kernels, stencils, norm, padding, position, opening_norm
        )
        check_choice("activate", activate, PLACES, NetworkError)
        if activate == "auto":
            activate = "blocks" if activation == "relu" else "stages"
        form = form_of(pde)
        if stepper == "leapfrog" and form.is_second_order:
            form = form.of_positions()
        self.equation = str(pde)
        self.name: str | None = None
        self.is_fused = False
        self.folded_stages: tuple[int, ...] = ()
        self.unit_rows: tuple[UnitRows, ...] = ()
        self._equation = equation_name(pde)
        self._options = {
            **asdict(relaxation),
            "padding": list(relaxation.padding),
            "layout": layout_config(layout),
            "activation": activation,
            "quadratic_form": quadratic_form,
            "activate": activate,
            "stem_projection": _flag("stem_projection", stem_projection),
            "stepper": stepper,
            "coefficients": coefficients,
        }
        self.stem = Stem(self.in_channels, layout, stem_projection)
        stages = []
        total = sum(layout.depths)
        channels = layout.widths[0]
        for k, (width, depth) in enumerate(zip(layout.widths, layout.depths, strict=True)):
            first = sum(layout.depths[:k])
            paths = [drop_path_rate * (first + b) / max(total - 1, 1) for b in range(depth)]
            behind = [
                activation_of(activation, width, quadratic_form)
                if activate == "blocks" or (k and not b)
                else nn.Identity()
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
            stages.append(stage)
            channels = width
        # A Sequential, as the extractors of timm and torchvision expect.
        self.stages = nn.Sequential(*stages)
        self.final: nn.Module = nn.Identity()
        if activate == "stages":
            self.final = activation_of(activation, channels, quadratic_form)
        self.num_features = self.head_hidden_size = channels
        self.feature_info = feature_info(layout)
        self.head: nn.Module
        self.global_pool: str
        self.reset_classifier(num_classes, global_pool)

    # -- what it computes --------------------------------------------------------------------------

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """Return the state behind the last stage.

        Args:
            x: pictures, shape `(batch, in_channels, y, x)`, dimensionless, of any size.

        Returns:
            Shape `(batch, num_features, y/r, x/r)`, rounded up, r the last of
            `layout.reductions`.
        """
        check_pictures("x", x, self.in_channels)
        return self.final(self.stages(self.stem(x)))

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Return logits of what `forward_features` gave, or with `pre_logits` what the head sees.

        That is the mean or the maximum of each channel over all pixels, shape `(batch,
        num_features)`, or x itself where `global_pool` is "".
        """
        if self.global_pool == "avg":
            x = x.mean(dim=(2, 3))
        elif self.global_pool == "max":
            x = x.amax(dim=(2, 3))
        if self.drop_rate:
            x = nn.functional.dropout(x, self.drop_rate, self.training)
        return x if pre_logits else self.head(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits, shape `(batch, num_classes)`, of pictures; see `forward_features`."""
        return self.forward_head(self.forward_features(x))

    # -- states on the way -------------------------------------------------------------------------

    def feature_maps(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the states at every depth: the solution of the equation at intermediate times.

        Args:
            x: pictures, as for `forward`.

        Returns:
            By name, in the order of depth: "stem", "stem.pool" or "stem.projection" behind what
            follows it if there is something, "stage1.block1", …, the state behind each block, and
            where an activation follows, that behind it: "stage2.block1.activation", and "final"
            behind the last stage's. Shapes `(batch, channel, y, x)`.

        Example:
            >>> import pdenet as pn
            >>> maps = pn.create_model("eq3_small").feature_maps(torch.zeros(1, 3, 16, 16))
            >>> list(maps)[:4], maps["stage2.block1"].shape
            (['stem', 'stage1.block1', 'stage1.block2', 'stage2.block1'],
             torch.Size([1, 32, 8, 8]))
        """
        level, x = self.stem.level_and_state(x)
        maps = {"stem": level}
        if x is not level:
            maps[f"stem.{self.stem.end}"] = x
        for number, stage in enumerate(self.stages, 1):
            states: dict[str, torch.Tensor] = {}
            x = stage(x, states)
            maps.update({f"stage{number}.{name}": state for name, state in states.items()})
        if not isinstance(self.final, nn.Identity):
            maps["final"] = self.final(x)
        return maps

    def forward_intermediates(
        self,
        x: torch.Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[torch.Tensor] | tuple[torch.Tensor, list[torch.Tensor]]:
        """Return the states at some levels, by increasing depth; see `feature_info`.

        Args:
            x: pictures, as for `forward`.
            indices: the levels; an integer n for the last n, None for all.
            norm: whether the last level is taken behind `final`.
            stop_early: whether what lies beyond the last of them is left out.
            output_fmt: "NCHW".
            intermediates_only: whether they are returned alone.

        Returns:
            What `forward_features` gives, or with `stop_early` the state where it stopped, and a
            list of states; or that list.

        Raises:
            NetworkError: there is no such level or format.
        """
        check_choice("output_fmt", output_fmt, ("NCHW",), NetworkError)
        count = 1 + len(self.stages)
        levels = taken(count, indices)
        level, x = self.stem.level_and_state(x)
        states = [level] if 0 in levels else []
        deepest = max(levels)
        if stop_early and not deepest:
            x = level
        for number, stage in enumerate(self.stages, 1):
            if stop_early and number > deepest:
                break
            x = stage(x)
            if number in levels and not (norm and number == count - 1):
                states.append(x)
        if not stop_early or deepest == count - 1:
            x = self.final(x)
            if norm and count - 1 in levels and count > 1:
                states.append(x)
        return states if intermediates_only else (x, states)

    # -- what it is made of ------------------------------------------------------------------------

    @property
    def in_chans(self) -> int:
        """The channels of a picture, by the name that timm's users know."""
        return self.in_channels

    def prune_intermediate_layers(
        self,
        indices: int | Sequence[int] = 1,
        prune_norm: bool = False,
        prune_head: bool = True,
    ) -> list[int]:
        """Remove the stages beyond the last of some levels, in place.

        Where stages go, so do `final` and the head, which belong to the last one.

        Args:
            indices: the levels, as for `forward_intermediates`.
            prune_norm: whether `final` is removed.
            prune_head: whether the head and the pooling before it are removed.

        Returns:
            The levels, counted from 0.

        Raises:
            NetworkError: there is no such level.
        """
        levels = taken(1 + len(self.stages), indices)
        deepest = max(levels)
        is_cut = deepest < len(self.stages)
        del self.stages[deepest:]
        self.feature_info = self.feature_info[: deepest + 1]
        if not deepest:
            self.stem.remove_pool()
        if is_cut or prune_norm:
            self.final = nn.Identity()
        if is_cut:
            self.num_features = self.head_hidden_size = self.feature_info[-1]["num_chs"]
        if is_cut or prune_head:
            self.reset_classifier(0, "")
        return levels

    def get_classifier(self, name_only: bool = False) -> nn.Module | str:
        """Return the head, or its name."""
        return "head" if name_only else self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the head by a newly drawn one, on the same device and of the same dtype.

        Args:
            num_classes: the number of classes; 0 for no head.
            global_pool: "avg", "max", "" for no pooling and no head, or None for what it is.

        Raises:
            NetworkError: a number or a name makes no sense.
        """
        pool = self.global_pool if global_pool is None else global_pool
        check_choice("global_pool", pool, POOLS, NetworkError)
        count = check_count("num_classes", num_classes, 0, NetworkError)
        if count and not pool:
            raise NetworkError(
                f"a head reads features without pixels; got num_classes={count} and "
                f'global_pool=""; write num_classes=0 or global_pool="avg"'
            )
        self.num_classes, self.global_pool = count, pool
        like = self.stem[0].weight
        self.head = nn.Identity()
        if count:
            self.head = nn.Linear(self.num_features, count, device=like.device, dtype=like.dtype)
        self.head.train(self.training)

    @property
    def config(self) -> dict[str, Any]:
        """How to make this classifier, for JSON: `classifier_from_config(config)` makes another.

        Of a model of `list_models()` it has "name", so that `create_model(**config)` does too.
        """
        origin = {"name": self.name} if self.name else {"equation": self._equation}
        live = ("num_classes", "in_channels", "global_pool", "drop_rate", "drop_path_rate")
        norms: dict[str, Any] = {"fused": True} if self.is_fused else {}
        if self.folded_stages:
            norms["folded_stages"] = list(self.folded_stages)
        if self.unit_rows:
            norms["unit_rows"] = unit_rows_config(self.unit_rows)
        return {**origin, **self._options, **{key: getattr(self, key) for key in live}, **norms}

    def explain(self) -> str:
        """Return what each stage is, with shapes, and which part of the equation each layer is."""
        return explain_model(self)

    def fused(self) -> Classifier:
        """Return a copy for inference, every batch norm folded into the convolution before it."""
        return folded(self)

    def rebuilt(
        self, stages: Sequence[int], fused: bool, unit_rows: Sequence[UnitRows] = ()
    ) -> Classifier:
        """Return this model as its config says it was changed: norms of stages folded in place.

        Args:
            stages: numbers of stages; see `folded_stages`.
            fused: whether a copy without any norms is wanted; see `fused`.
            unit_rows: rows that are left out, in place.
        """
        fold_stages(self, stages)
        leave_out(self, unit_rows)
        return self.fused() if fused else self

    def train(self, mode: bool = True) -> Classifier:
        """Choose training or evaluation mode.

        Raises:
            NetworkError: the model is fused, and training was asked for.
        """
        if mode and self.is_fused:
            raise NetworkError(
                "a fused model has no batch norms, and is for inference; got train(); train the "
                "model that it was made from"
            )
        return super().train(mode)

    # -- what a training script asks for -----------------------------------------------------------

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Compute the states inside blocks again in the backward pass, to save memory."""
        for module in self.modules():
            if isinstance(module, Stage):
                module.checkpointing = enable

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Return patterns of names that group parameters by depth: by stage, or by block.

        Each parameter's name matches one of them, whose order and numbers are that of depth.
        """
        return {
            "stem": r"^stem\.",
            "blocks": r"^stages\.(\d+)\." if coarse else r"^stages\.(\d+)\.blocks\.(\d+)\.",
            "head": r"^head\.",
        }

    def no_weight_decay(self) -> set[str]:
        """Return the names of parameters that should not be drawn to 0.

        They are the equation's scalars, its coefficients that are functions of x and y, and the
        quadratic forms of activations; of biases and scales, which have one axis, every script
        knows it.
        """
        return {
            name
            for name, _ in self.named_parameters()
            if ".symbols." in name or ".functions." in name or name.endswith(".factor")
        }


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise NetworkError(f"{name} is True or False; got {value!r}; write one of them")
    return value


def _probability(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= float(value) < 1:
        raise NetworkError(f"{name} is a probability from 0 to below 1; got {value!r}")
    return float(value)
