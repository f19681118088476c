"""Conversion: checkpoints of the authors' published implementation become classifiers.

Their block, as it has been described (official):

    1×1 convolution n → 2kn, batch norm; the product of its two halves;
    depthwise 3×3 convolution kn → 2kn, batch norm;
    1×1 convolution 2kn → n′, batch norm; plus the skip connection

with k = 4 where n ≤ 128, else 2, in the layout of ResNet-50: 9,531,940 parameters at 100 classes.
That is Eq. (7) with kn hidden components and `opening_norm`, so that nothing is approximated; see
`config.official_equation`.

Nobody here has seen such a file. These are the names that are expected [unconfirmed], each with
`.weight`, and for a norm `.bias`, `.running_mean`, `.running_var`:

| name | what it is | shape of the weight |
|---|---|---|
| conv1, bn1 | the stem | (64, channels of a picture, 7, 7), (64,) |
| layerS.B.conv1, .bn1 | opening, C over D; S = 1 … 4, B from 0 | (2kn, n, 1, 1), (2kn,) |
| layerS.B.conv2, .bn2 | directions, two kernels a hidden component | (2kn, 1, 3, 3), (2kn,) |
| layerS.B.conv3, .bn3 | closing convolution | (n′, 2kn, 1, 1), (n′,) |
| layerS.0.downsample.0, .1 | skip connection, S = 2 … 4, stride 2 | (n′, n, 1, 1), (n′,) |
| fc | head, with .bias | (classes, 512) |

Where the names are others, modules are matched by their shapes, and those of one shape by their
order in the file, which is that of the network. Two things cannot be seen in a file, and are
[unconfirmed] as well: that the halves are the first and the second half of the channels, and the
activation, which is an option.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any  # options of a classifier

import torch
from torch import nn

from pdenet.errors import CheckpointError
from pdenet.network.convnet.block import PDEBlock
from pdenet.network.convnet.classifier import Classifier
from pdenet.network.convnet.config import official_equation
from pdenet.network.convnet.directions import Directions

_WRAPPERS = ("state_dict", "model", "module")
_NORM = ("weight", "bias", "running_mean", "running_var")
_COUNT = "num_batches_tracked"


@dataclass(frozen=True, eq=False)
class _Part:
    """A module of the authors' network and where its tensors go.

    Attributes:
        name: its expected name.
        shapes: the shapes of its tensors, by their last names.
        targets: for each tensor the tensors of ours, stacked along the first axis.
        near: the expected name of a module that it stands beside, where order does not tell.
    """

    name: str
    shapes: dict[str, tuple[int, ...]]
    targets: dict[str, list[torch.Tensor]]
    near: str = ""


def convert_authors_checkpoint(
    state_dict: Mapping[str, Any], num_classes: int | None = None, **options: Any
) -> Classifier:
    """Return a classifier with the weights of a checkpoint of the authors, in evaluation mode.

    Args:
        state_dict: tensors by name, as `torch.load(path, weights_only=True)` gives them; also
            within "state_dict" or "model", and with "module." before all names.
        num_classes: the number of classes; by default that of the checkpoint's head.
        options: further options of `pdenet.Classifier`, such as `activation`.

    Raises:
        CheckpointError: it is no such checkpoint; the message names a module that is missing, of
            another shape, or too many.
        NetworkError: an option makes no sense.
    """
    modules = _modules(_tensors(state_dict))
    head = [m["weight"] for m in modules.values() if set(m) >= {"weight", "bias"}]
    heads = [w for w in head if w.ndim == 2]
    stems = [m["weight"] for m in modules.values() if "weight" in m and m["weight"].ndim == 4]
    if not heads or not stems:
        raise CheckpointError(
            "a checkpoint of the authors with convolutions and a linear head was expected; got "
            f"{len(modules)} modules: {', '.join(list(modules)[:5])} …; see "
            "pdenet.network.convnet.conversion"
        )
    if num_classes is None:
        num_classes = len(heads[-1])
    model = Classifier(
        official_equation(),
        num_classes,
        in_channels=stems[0].shape[1],
        directions=2,
        share_kernels=False,
        opening_norm=True,
        **options,
    ).eval()
    parts = list(_parts(model))
    found = _matched(parts, modules)
    with torch.no_grad():
        for part in parts:
            module = modules[found[part.name]]
            for last, targets in part.targets.items():
                values = module[last].split([len(t) for t in targets])
                for target, value in zip(targets, values, strict=True):
                    target.copy_(value.reshape(target.shape))
    return model


def _tensors(given: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    if not isinstance(given, Mapping):
        raise CheckpointError(
            f"a checkpoint is a mapping from names to tensors; got {type(given).__name__}; write "
            "convert_authors_checkpoint(torch.load(path, weights_only=True))"
        )
    for key in _WRAPPERS:
        if isinstance(given.get(key), Mapping):
            given = given[key]
    made = {}
    for name, value in given.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise CheckpointError(
                f"a checkpoint holds tensors by name; got {name!r}: {type(value).__name__}; pass "
                "the part that holds the weights"
            )
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise CheckpointError(
                f"finite weights were expected; {name} holds NaN or infinity; use another file"
            )
        made[name.removeprefix("module.")] = value
    return made


def _modules(tensors: Mapping[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    """Return the tensors of each module by their last names, modules in order of the file."""
    modules: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        module, _, last = name.rpartition(".")
        modules.setdefault(module, {})
        if last != _COUNT:
            modules[module][last] = tensor
    return modules


def _parts(model: Classifier) -> Iterator[_Part]:
    """Go through the modules of the authors' network, in its order."""
    stem = model.stem
    weight = stem[0].weight
    assert isinstance(weight, torch.Tensor)
    yield _convolution("conv1", [weight], tuple(weight.shape))
    yield _norm("bn1", [stem[1]])
    for number, stage in enumerate(model.stages, 1):
        for place, block in enumerate(stage.get_submodule("blocks").children()):
            assert isinstance(block, PDEBlock)
            yield from _block(f"layer{number}.{place}", block)
    if model.num_classes:
        head = model.head
        assert isinstance(head, nn.Linear)
        shapes = {"weight": tuple(head.weight.shape), "bias": tuple(head.bias.shape)}
        yield _Part("fc", shapes, {"weight": [head.weight], "bias": [head.bias]})


def _block(name: str, block: PDEBlock) -> Iterator[_Part]:
    ((key, openings),) = [(k, found) for k, found in block.openings.items() if found]
    product = block.products[key]
    coefficients = block.coefficients
    labels = [coefficients.labels[product.weights[o.place]] for o in openings]
    opening = [coefficients.tensors[label] for label in labels]  # C and D, (kn, n) each
    (closing,) = [p for label, p in coefficients.tensors.items() if label not in labels]
    (directions,) = block.banks.convolutions.values()
    assert isinstance(directions, Directions)
    hidden, width = opening[0].shape
    double = 2 * hidden
    yield _convolution(f"{name}.conv1", opening, (double, width, 1, 1))
    norms = [block.opening_norms[o.norm] for o in openings]
    yield _norm(f"{name}.bn1", norms)
    yield _convolution(f"{name}.conv2", [directions.weight], (double, 1, 3, 3))
    yield _norm(f"{name}.bn2", [directions.norm])
    yield _convolution(f"{name}.conv3", [closing], (block.out_channels, double, 1, 1))
    yield _norm(f"{name}.bn3", list(block.norms.values()))
    if isinstance(block.projection, nn.Sequential):
        weight = block.projection[0].weight
        assert isinstance(weight, torch.Tensor)
        skip = f"{name}.downsample"
        yield _convolution(f"{skip}.0", [weight], (block.out_channels, width, 1, 1))
        yield _norm(f"{skip}.1", [block.projection[1]], near=f"{skip}.0")


def _convolution(name: str, targets: list[torch.Tensor], shape: tuple[int, ...]) -> _Part:
    return _Part(name, {"weight": shape}, {"weight": targets})


def _norm(name: str, norms: list[nn.Module], near: str = "") -> _Part:
    targets: dict[str, list[torch.Tensor]] = {last: [] for last in _NORM}
    for norm in norms:
        for last in _NORM:
            tensor = getattr(norm, last)
            assert isinstance(tensor, torch.Tensor)
            targets[last].append(tensor)
    count = sum(len(tensor) for tensor in targets["weight"])
    return _Part(name, dict.fromkeys(_NORM, (count,)), targets, near)


# -- which module is which -------------------------------------------------------------------------


def _matched(
    parts: list[_Part], modules: Mapping[str, Mapping[str, torch.Tensor]]
) -> dict[str, str]:
    """Return for each part the name of its module in the checkpoint.

    Raises:
        CheckpointError: one is missing, of another shape, or too many.
    """
    shapes = {
        name: {last: tuple(tensor.shape) for last, tensor in module.items()}
        for name, module in modules.items()
    }
    names = {part.name for part in parts}
    if all(shapes.get(part.name) == part.shapes for part in parts) and set(shapes) == names:
        return {part.name: part.name for part in parts}
    found, fault = _in_order(parts, shapes)
    if fault:
        # Where most names are the expected ones, a name says more than a place in the order.
        is_named = 2 * len(names & set(shapes)) > len(names)
        raise CheckpointError(f"{_by_name(parts, shapes) if is_named else fault}; {_HINT}")
    return found


def _in_order(
    parts: list[_Part], shapes: Mapping[str, dict[str, tuple[int, ...]]]
) -> tuple[dict[str, str], str]:
    """Return which module each part is, by shape and order, and what is wrong, if anything."""
    found: dict[str, str] = {}
    free = dict(shapes)
    # Those that stand beside another one first: of their shapes there are others in the block.
    for part in sorted(parts, key=lambda p: not (p.near or _is_convolution(p))):
        candidates = [name for name, have in free.items() if have == part.shapes]
        if not candidates:
            return found, (
                f"{part.name} of the authors' network, {_text(part.shapes)}, was expected; the "
                "checkpoint has no further module of these shapes"
            )
        chosen = candidates[0]
        if part.near:
            beside = found[part.near]
            chosen = max(candidates, key=lambda name: _common(name, beside))  # the first of equals
        found[part.name] = chosen
        del free[chosen]
    if free:
        return found, (
            f"the {len(parts)} modules of the authors' network were expected; the checkpoint has "
            f"also {', '.join(list(free)[:5])}"
        )
    return found, ""


def _by_name(parts: list[_Part], shapes: Mapping[str, dict[str, tuple[int, ...]]]) -> str:
    """Say what is missing, of another shape or too many in a checkpoint of the expected names."""
    faults = [
        f"{part.name} is missing, {_text(part.shapes)}"
        if part.name not in shapes
        else f"{part.name} has {_text(shapes[part.name])} instead of {_text(part.shapes)}"
        for part in parts
        if shapes.get(part.name) != part.shapes
    ]
    names = {part.name for part in parts}
    faults += [f"{name} is unknown, {_text(shapes[name])}" for name in shapes if name not in names]
    return f"a checkpoint of the authors was expected; in this one {'; '.join(faults[:3])}"


_HINT = "the table of names and shapes is in pdenet.network.convnet.conversion"


def _is_convolution(part: _Part) -> bool:
    return len(part.shapes.get("weight", ())) == 4


def _common(name: str, other: str) -> int:
    """Return how many of the first parts of two dotted names are the same."""
    pairs = zip(name.split("."), other.split("."), strict=False)
    return len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)))


def _text(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{last} {shape}" for last, shape in shapes.items()) or "no tensors"
