"""Uneven padding: strided layers whose windows reach farther over one edge than over the other.

With n pixels, p ghost pixels at both ends, a kernel of k pixels and stride s, windows fit
⌊(n + 2p − k)/s⌋ + 1 times. The last (n + 2p − k) mod s pixels are then in no window. With stride 2,
a 3×3 kernel and p = 1 that is one where n is even: ghost pixels are seen at the top and at the
left, and never at the bottom and at the right. Alsallakh et al. (2025), arXiv 2503.19215, found
that this makes mean kernels asymmetric.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any  # rows for JSON

import torch
from torch import nn

from pdenet.checks import check_pair
from pdenet.errors import SymmetryError
from pdenet.network.convnet.directions import Directions
from pdenet.symmetry.kernels.running import REFUSALS, home, model_name
from pdenet.symmetry.kernels.tracing import Pair, Window, trace

_MOST_RUNS = 8
"""So many sizes that arithmetic found are tried by running the model, in each direction."""

_MOST_SIZES = 512
"""And arithmetic looks so far from the size that was given."""


@dataclass(frozen=True)
class PaddingUse:
    """One use of a strided layer; pairs are (along y, along x), in pixels of its input.

    Attributes:
        layer: its name.
        use: which use of that layer by that operation, from 1.
        operation: what it does, by torch's name.
        size: of its input without ghost pixels.
        kernel: the extent of its window, dilation included.
        stride: of the window.
        before: ghost pixels that windows see at the top and at the left.
        after: those at the bottom and at the right; negative: so many of the picture's own pixels
            are never seen.
        dropped: ghost pixels and pixels at the bottom and at the right that are in no window.
    """

    layer: str
    use: int
    operation: str
    size: Pair
    kernel: Pair
    stride: Pair
    before: Pair
    after: Pair
    dropped: Pair

    @property
    def is_uneven(self) -> bool:
        """Tell whether the windows reach over opposite edges differently."""
        return self.before != self.after


@dataclass(frozen=True)
class UnevenPadding:
    """The strided layers of a model at one size of pictures.

    Attributes:
        model: what the model calls itself.
        size: of the pictures, (y, x).
        uses: every use of a layer with a stride, or with uneven padding, in order.
        below: the nearest smaller size at which none is uneven, or None if none was found; an axis
            along which all is even keeps its size.
        above: the nearest larger size.
    """

    model: str
    size: Pair
    uses: tuple[PaddingUse, ...]
    below: Pair | None
    above: Pair | None

    @property
    def uneven(self) -> tuple[PaddingUse, ...]:
        """The uneven uses."""
        return tuple(use for use in self.uses if use.is_uneven)

    def __len__(self) -> int:
        return len(self.uses)

    def __iter__(self) -> Iterator[PaddingUse]:
        return iter(self.uses)

    def records(self) -> list[dict[str, Any]]:
        """Return one flat mapping a use, of numbers and texts."""
        return [
            {
                "layer": use.layer,
                "use": use.use,
                "operation": use.operation,
                "input": pair(use.size),
                "kernel": pair(use.kernel),
                "stride": pair(use.stride),
                "top": use.before[0],
                "bottom": use.after[0],
                "left": use.before[1],
                "right": use.after[1],
                "dropped_rows": use.dropped[0],
                "dropped_columns": use.dropped[1],
                "uneven": use.is_uneven,
            }
            for use in self.uses
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        return {
            "model": self.model,
            "size": list(self.size),
            "uses": self.records(),
            "below": None if self.below is None else list(self.below),
            "above": None if self.above is None else list(self.above),
        }

    def to_csv(self) -> str:
        """Return the uses as comma-separated values, one line each below a line of names."""
        content = io.StringIO()
        names = "layer use operation input kernel stride top bottom left right dropped_rows"
        columns = [*names.split(), "dropped_columns", "uneven"]
        writer = csv.DictWriter(content, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.records())
        return content.getvalue()

    def __str__(self) -> str:
        count, strided = len(self.uneven), len(self.uses)
        lines = [
            f"{self.model} at {pair(self.size)}: {count} of {strided} strided layers pad unevenly"
        ]
        if count:
            near = [pair(size) for size in (self.below, self.above) if size is not None]
            lines[0] += f"; none at {' or '.join(near)}" if near else "; no better size was found"
        width = max([5, *(len(use.layer) for use in self.uses)])
        lines.append(
            f"{'layer':<{width}}  {'operation':<10}    input  kernel  stride"
            "  top/bottom  left/right  dropped"
        )
        for use in self.uses:
            sides = [f"{a}/{b}" for a, b in zip(use.before, use.after, strict=True)]
            lines.append(
                f"{use.layer:<{width}}  {use.operation:<10}  {pair(use.size):>7}  "
                f"{pair(use.kernel):>6}  {pair(use.stride):>6}  {sides[0]:>10}  {sides[1]:>10}  "
                f"{pair(use.dropped):>7}{'  uneven' if use.is_uneven else ''}"
            )
        return "\n".join(lines)


def uneven_padding(
    model: nn.Module, size: int | tuple[int, int], *, in_channels: int | None = None
) -> UnevenPadding:
    """Return which strided layers pad one side only when pictures have a given size.

    The model is run once, on a picture of zeros, and every convolution, pooling and strided slice
    is seen with the sizes that it really had, whichever module made it. Sizes near by at which
    nothing is uneven are found by arithmetic on what was seen; each is then run to be sure.

    Args:
        model: any module that takes pictures; it is left as it is.
        size: of the pictures, in pixels: one number, or (y, x).
        in_channels: of the pictures; by default those of the model's first convolution.

    Returns:
        Every use of a layer, and the nearest sizes. A layer called twice stands there twice. 1-D,
        3-D and transposed convolutions are not looked at, nor is what `torch.jit` has compiled.

    Raises:
        SymmetryError: the size is none, or the model does not take such pictures.

    Example:
        >>> halving = nn.Conv2d(1, 1, 3, stride=2, padding=1)
        >>> found = uneven_padding(halving, 8)
        >>> found.uses[0].before, found.uses[0].after, found.below, found.above
        ((1, 1), (0, 0), (7, 7), (9, 9))
    """
    height, width = check_pair("size", size, SymmetryError, "write 224")
    channels = _channels(model) if in_channels is None else in_channels
    try:
        windows = _traced(model, (height, width), channels)
    except REFUSALS as error:
        raise SymmetryError(
            f"pictures that {model_name(model)} takes were expected; got {channels} channels of "
            f"{height}×{width} pixels: {error}; give another size or in_channels"
        ) from error
    uses = _uses(windows)
    below: Pair | None = None
    above: Pair | None = None
    if any(use.is_uneven for use in uses):
        below = _nearest(model, windows, (height, width), channels, -1)
        above = _nearest(model, windows, (height, width), channels, +1)
    return UnevenPadding(model_name(model), (height, width), uses, below, above)


def pair(values: Pair) -> str:
    """Return "3×3" for (3, 3)."""
    return f"{values[0]}×{values[1]}"


def _channels(model: nn.Module) -> int:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            return module.in_channels
        if isinstance(module, Directions):
            return module.channels
    return 3


def _traced(model: nn.Module, size: Pair, channels: int) -> list[Window]:
    device, dtype = home(model)
    return trace(model, torch.zeros(1, channels, *size, device=device, dtype=dtype))


def _uses(windows: Sequence[Window]) -> tuple[PaddingUse, ...]:
    found: list[PaddingUse] = []
    for window in windows:
        after = window.seen_after
        if window.stride == (1, 1) and after == window.before:
            continue
        same = [u for u in found if (u.layer, u.operation) == (window.layer, window.operation)]
        dropped = (max(0, window.after[0] - after[0]), max(0, window.after[1] - after[1]))
        found.append(
            PaddingUse(
                window.layer,
                len(same) + 1,
                window.operation,
                window.size,
                window.extent,
                window.stride,
                window.before,
                after,
                dropped,
            )
        )
    return tuple(found)


# -- the nearest sizes -----------------------------------------------------------------------------


def _nearest(
    model: nn.Module, windows: Sequence[Window], size: Pair, channels: int, direction: int
) -> Pair | None:
    """Return the nearest size in one direction at which nothing is uneven, or None."""
    axes = [axis for axis in (0, 1) if not is_even(windows, axis)]
    if size[0] == size[1]:  # square pictures stay square
        axes = [0, 1]
        steps: list[tuple[int, ...]] = [(0, 1)]
    else:
        steps = [(axis,) for axis in axes]
    found = list(size)
    for moved in steps:
        runs = 0
        for distance in range(1, _MOST_SIZES):
            tried = [n + direction * distance * (axis in moved) for axis, n in enumerate(size)]
            if min(tried) < 1 or runs == _MOST_RUNS:
                return None
            if not all(is_even_at(windows, axis, tried[axis]) for axis in moved):
                continue
            runs += 1
            try:
                seen = _traced(model, (tried[0], tried[1]), channels)
            except REFUSALS:
                continue
            if all(is_even(seen, axis) for axis in moved):
                for axis in moved:
                    found[axis] = tried[axis]
                break
        else:
            return None
    return found[0], found[1]


def is_even(windows: Sequence[Window], axis: int) -> bool:
    """Tell whether all windows reach as far over both edges along an axis."""
    return all(window.seen_after[axis] == window.before[axis] for window in windows)


def is_even_at(windows: Sequence[Window], axis: int, points: int) -> bool:
    """Tell by arithmetic whether all windows are even along an axis for that many pixels.

    A window's input is taken to be the result of the last window before it that had its size, or
    else the picture. That is a guess, right for chains with branches; the model is run afterwards.
    """
    made: list[int] = []
    for place, window in enumerate(windows):
        earlier = [k for k in range(place) if windows[k].made[axis] == window.size[axis]]
        size = made[earlier[-1]] if earlier else points
        stride, extent = window.stride[axis], window.extent[axis]
        before, after = window.before[axis], window.after[axis]
        if window.is_separate:
            total = _same(window.size[axis], stride, extent)
            if (before, after) == (total // 2, total - total // 2):
                total = _same(size, stride, extent)
                before, after = total // 2, total - total // 2
        room = size + before + after - extent
        if room < 0:
            return False
        # With ceil_mode too: where a window more would stand over the edge, nothing is even.
        if room % stride or after != before:
            return False
        made.append(room // stride + 1)
    return True


def _same(size: int, stride: int, extent: int) -> int:
    """Return how many ghost pixels TensorFlow's "SAME" adds in all."""
    return max((math.ceil(size / stride) - 1) * stride + extent - size, 0)
