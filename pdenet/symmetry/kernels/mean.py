"""Mean kernels: of each convolution the average of its weight over output and input channels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from pdenet.errors import SymmetryError, suggest
from pdenet.network.convnet.directions import Directions
from pdenet.symmetry.kernels.dihedral import checked_kernel
from pdenet.symmetry.kernels.running import home, model_name
from pdenet.symmetry.kernels.tracing import trace


@dataclass(frozen=True, eq=False)
class MeanKernel:
    """The mean kernel of one layer.

    Attributes:
        name: of the layer.
        depth: its place among the layers of the same list, from 0.
        kernel: shape `(y, x)`, float64, dimensionless.
        kind: the class of the layer.
        count: how many kernels it is the mean of.
        stride: along y and x.
        padding: ghost pixels along y and x, or the word that the layer has for them.
        groups: of the convolution.
    """

    name: str
    depth: int
    kernel: np.ndarray
    kind: str
    count: int
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] | str = (0, 0)
    groups: int = 1


@dataclass(frozen=True, eq=False)
class MeanKernels:
    """The mean kernels of a model, by depth.

    Attributes:
        model: what the model calls itself.
        layers: the kernels.
        left_out: layers with kernels that have no mean kernel here, and why; 1×1 convolutions are
            not counted.
    """

    model: str
    layers: tuple[MeanKernel, ...]
    left_out: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[MeanKernel]:
        return iter(self.layers)

    def __getitem__(self, name: str) -> MeanKernel:
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = [layer.name for layer in self.layers]
        raise SymmetryError(
            f"{self.model} has mean kernels of {len(names)} layers; got {name!r}."
            f"{suggest(name, names)}"
        )


def mean_kernels(
    model: nn.Module,
    convolutions: Iterable[str] | Mapping[str, torch.Tensor] | None = None,
) -> MeanKernels:
    """Return the mean kernel of every convolution whose kernel is larger than 1×1.

        K[y, x] = (1/(N C)) Σ_{n, c} W[n, c, y, x]

    Layers stand in the order in which the model defines them, which is that of depth in the models
    of timm and pdenet. `nn.Conv2d`, `nn.ConvTranspose2d` and pdenet's depthwise directions are
    known. Weights are taken as the layer uses them: a parametrisation is applied, and so is what a
    subclass of `nn.Conv2d` does to its weight before it convolves, such as standardising it.

    Args:
        model: any module.
        convolutions: the names of some layers, in the order wanted; or weights of shape `(N, C, y,
            x)` by name, for layers that are none of the above; by default all that are known.

    Returns:
        One kernel a layer, float64. 1-D and 3-D convolutions, for which there is no square to turn,
        and modules of unknown class that hold a parameter of shape `(…, …, y, x)` are named in
        `left_out`.

    Raises:
        SymmetryError: there is no layer of a name, or none at all, or a weight is not finite.

    Example:
        >>> found = mean_kernels(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 1)))
        >>> [(layer.name, layer.kernel.shape, layer.count) for layer in found]
        [('0', (3, 3), 24)]

    Source:
        Alsallakh et al. (2025), arXiv 2503.19215.
    """
    if isinstance(convolutions, Mapping):
        made = [_of_weight(name, weight, "weight") for name, weight in convolutions.items()]
        return MeanKernels(model_name(model), _numbered(made))
    modules = dict(model.named_modules())
    found: dict[str, MeanKernel] = {}
    left_out: list[tuple[str, str]] = []
    for name, module in modules.items():
        layer, why = _of_module(name, module)
        if layer is not None:
            found[name] = layer
        elif why:
            left_out.append((name, why))
    if convolutions is not None:
        names = [convolutions] if isinstance(convolutions, str) else list(convolutions)
        for name in names:
            if name not in found:
                reason = dict(left_out).get(name, "no such layer has a kernel larger than 1×1")
                raise SymmetryError(
                    f"{model_name(model)} has {len(found)} convolutions to choose from; got "
                    f"{name!r}: {reason}.{suggest(name, found)}"
                )
        return MeanKernels(model_name(model), _numbered([found[name] for name in names]))
    if not found:
        others = "; ".join(f"{name}: {why}" for name, why in left_out) or "none has a kernel"
        raise SymmetryError(
            f"a model with 2-D convolutions larger than 1×1 was expected; got {model_name(model)} "
            f"({others}); give weights by name, convolutions={{...}}, where its layers are others"
        )
    return MeanKernels(model_name(model), _numbered(list(found.values())), tuple(left_out))


def _of_module(name: str, module: nn.Module) -> tuple[MeanKernel | None, str]:
    """Return a layer's mean kernel, or why there is none; "" where none is expected."""
    if isinstance(module, Directions):
        return _of_directions(name, module), ""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        if max(module.kernel_size) == 1:
            return None, ""
        if isinstance(module, nn.modules.lazy.LazyModuleMixin):
            return None, "has no weights yet; run the model once"
        padding = module.padding
        return (
            _of_weight(
                name,
                _weight_of(module),
                type(module).__name__,
                stride=(module.stride[0], module.stride[-1]),
                padding=padding if isinstance(padding, str) else (padding[0], padding[-1]),
                groups=module.groups,
            ),
            "",
        )
    if isinstance(module, nn.modules.conv._ConvNd):
        axes = len(module.kernel_size)
        return None, "" if max(module.kernel_size) == 1 else f"a convolution in {axes}-D"
    for parameter in module.parameters(recurse=False):
        if parameter.ndim == 4 and max(parameter.shape[-2:]) > 1:
            return None, f"a {type(module).__name__} with a weight of {tuple(parameter.shape)}"
    return None, ""


def _of_directions(name: str, module: Directions) -> MeanKernel | None:
    weight = module.kernels()
    if max(weight.shape[-2:]) == 1:
        return None
    names = module.paddings
    return _of_weight(
        name,
        weight,
        "Directions",
        stride=(module.stride, module.stride),
        padding=(module.radius,) * 2 if names == ("zeros", "zeros") else ", ".join(set(names)),
        groups=len(weight) if module.split else module.channels,
    )


def _weight_of(module: nn.Conv2d | nn.ConvTranspose2d) -> torch.Tensor:
    """Return the weight that a layer convolves with."""
    own = type(module).forward not in (nn.Conv2d.forward, nn.ConvTranspose2d.forward)
    if not own or not isinstance(module, nn.Conv2d):
        return module.weight
    device, dtype = home(module)
    # As large as the kernel, dilated or not: one window is enough.
    sides = [(k - 1) * d + 1 for k, d in zip(module.kernel_size, module.dilation, strict=True)]
    pictures = torch.zeros(1, module.in_channels, *sides, device=device, dtype=dtype)
    used = [w.weight for w in trace(module, pictures) if w.weight is not None]
    return used[0] if used else module.weight


def _of_weight(
    name: str,
    weight: torch.Tensor,
    kind: str,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] | str = (0, 0),
    groups: int = 1,
) -> MeanKernel:
    if weight.ndim != 4 or not weight.numel():
        raise SymmetryError(
            f"the weight of {name!r} has shape (N, C, y, x); got {tuple(weight.shape)}; reshape it"
        )
    mean = weight.detach().to("cpu", torch.float64).mean(dim=(0, 1)).numpy()
    kernel = checked_kernel(mean, f"the mean kernel of {name!r}")
    count = weight.shape[0] * weight.shape[1]
    return MeanKernel(name, 0, kernel, kind, count, stride, padding, groups)


def _numbered(layers: list[MeanKernel]) -> tuple[MeanKernel, ...]:
    return tuple(replace(layer, depth=depth) for depth, layer in enumerate(layers))
