"""Tracing: the windows that slide over pictures in one forward pass, with their true sizes.

Every call of torch's convolutions, poolings, paddings and strided slices is seen by a
`TorchFunctionMode`, whichever module makes it, and however often. Ghost pixels that a call of its
own has added, as timm's "SAME" layers and pdenet's periodic ones do, are followed through
element-wise operations to the window that uses them up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any  # what torch hands to a mode has no narrower type

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from pdenet.symmetry.kernels.running import evaluating

Pair = tuple[int, int]

_PADS = "_pdenet_ghost_pixels"
"""The attribute of a tensor that remembers its ghost pixels: top, bottom, left, right."""


@dataclass(frozen=True, eq=False)
class Window:
    """One use of an operation that looks at a picture through a window.

    All pairs are (along y, along x).

    Attributes:
        layer: the name of the module that called it; "" for the model itself.
        operation: torch's name: "conv2d", "max_pool2d", "avg_pool2d", "lp_pool2d"; "slice" for
            x[…, ::2, ::2].
        size: of the picture without ghost pixels.
        before: ghost pixels at the top and at the left.
        after: those at the bottom and at the right.
        extent: of the window, (kernel − 1)·dilation + 1.
        stride: of the window.
        made: the size of the result.
        is_separate: whether ghost pixels come from a call of their own.
        weight: of a convolution, `(out, in/groups, y, x)`.
    """

    layer: str
    operation: str
    size: Pair
    before: Pair
    after: Pair
    extent: Pair
    stride: Pair
    made: Pair
    is_separate: bool = False
    weight: torch.Tensor | None = None

    @property
    def seen_after(self) -> Pair:
        """How far the last window reaches beyond the picture; negative: so many pixels are lost."""
        y, x = (
            (made - 1) * stride + extent - size - before
            for made, stride, extent, size, before in zip(
                self.made, self.stride, self.extent, self.size, self.before, strict=True
            )
        )
        return y, x


def trace(model: nn.Module, pictures: torch.Tensor) -> list[Window]:
    """Run a model once and return its windows in order; a 1×1 window of stride 1 is none.

    Args:
        model: any module; it is run in evaluation mode.
        pictures: shape `(batch, channel, y, x)`.
    """
    recorder = _Recorder()
    with evaluating(model), _named(model, recorder.stack), recorder:
        model(pictures)
    return recorder.windows


@contextmanager
def _named(model: nn.Module, stack: list[str]) -> Iterator[None]:
    """Keep the names of the modules that are being called, innermost last."""

    def push(name: str, *_: object) -> None:
        stack.append(name)

    def pop(*_: object) -> None:
        stack.pop()

    handles = []
    try:
        for name, module in model.named_modules():
            handles.append(module.register_forward_pre_hook(partial(push, name)))
            handles.append(module.register_forward_hook(pop))
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Recorder(TorchFunctionMode):
    """Writes down windows, and marks tensors that have ghost pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.windows: list[Window] = []
        self.stack: list[str] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        result = func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        read = _READERS.get(name.removesuffix("_with_indices"))
        made = result[0] if isinstance(result, tuple) and result else result
        if not isinstance(made, torch.Tensor) or made.ndim < 3:
            return result
        found = read(args, kwargs) if read is not None else None
        if isinstance(found, tuple):  # new ghost pixels
            before = _ghosts(args[0] if args else kwargs["input"])
            _mark(made, tuple(a + b for a, b in zip(before, found, strict=True)))
        elif found is not None:
            self._add(found, made)
        else:
            for tensor in _tensors([*args, *kwargs.values()]):
                if any(_ghosts(tensor)) and tensor.shape[-2:] == made.shape[-2:]:
                    _mark(made, _ghosts(tensor))
        return result

    def _add(self, call: _Call, made: torch.Tensor) -> None:
        top, bottom, left, right = _ghosts(call.input)
        height, width = call.input.shape[-2:]
        extent = tuple((k - 1) * d + 1 for k, d in zip(call.kernel, call.dilation, strict=True))
        own_top, own_bottom, own_left, own_right = call.padding
        if extent == (1, 1) == tuple(call.stride) and not any(call.padding):
            _mark(made, (top, bottom, left, right))
            return
        self.windows.append(
            Window(
                self.stack[-1] if self.stack else "",
                call.operation,
                size=(height - top - bottom, width - left - right),
                before=(top + own_top, left + own_left),
                after=(bottom + own_bottom, right + own_right),
                extent=(extent[0], extent[1]),
                stride=call.stride,
                made=(made.shape[-2], made.shape[-1]),
                is_separate=any((top, bottom, left, right)),
                weight=call.weight,
            )
        )


@dataclass(frozen=True, eq=False)
class _Call:
    """What a call says: kernel, stride and dilation along y and x; padding at all four sides."""

    operation: str
    input: torch.Tensor
    kernel: Pair
    stride: Pair
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    weight: torch.Tensor | None = None


def _conv2d(args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Call:
    names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    weight = given["weight"]
    kernel = (weight.shape[-2], weight.shape[-1])
    dilation = _pair(given.get("dilation", 1))
    padding = given.get("padding", 0)
    if padding == "same":  # torch adds the odd one at the end
        total = [(k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
        sides = (total[0] // 2, total[0] - total[0] // 2, total[1] // 2, total[1] - total[1] // 2)
    else:
        y, x = (0, 0) if padding == "valid" else _pair(padding)
        sides = (y, y, x, x)
    stride = _pair(given.get("stride", 1))
    return _Call("conv2d", given["input"], kernel, stride, sides, dilation, weight=weight)


def _pooling(
    operation: str, names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> _Call:
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    kernel = _pair(given["kernel_size"])
    # stride=None and stride=[] are the kernel's size.
    stride = _pair(given.get("stride") or kernel)
    y, x = _pair(given.get("padding", 0))
    return _Call(
        operation,
        given["input"],
        kernel,
        stride,
        (y, y, x, x),
        _pair(given.get("dilation", 1)),
    )


def _pad(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...] | None:
    given = {**dict(zip(("input", "pad"), args, strict=False)), **kwargs}
    sides = [*given["pad"], 0, 0, 0, 0]  # left, right, top, bottom, then other axes
    found = (sides[2], sides[3], sides[0], sides[1])
    return found if any(found) else None


def _slice(args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Call | None:
    """Return x[…, ::a, ::b], the pixels 0, a, 2a, …, as a window of one pixel."""
    picture, index = args
    if not isinstance(index, tuple) or picture.ndim < 3:
        return None
    if Ellipsis not in index and len(index) != picture.ndim:
        return None
    steps = [part for part in index if part is not Ellipsis]
    if not all(isinstance(part, slice) for part in steps) or len(steps) < 2:
        return None
    *rest, y, x = steps
    whole = slice(None)
    if any(part != whole for part in rest):
        return None
    if any(part.start or part.stop is not None for part in (y, x)):
        return None
    return _Call("slice", picture, (1, 1), (int(y.step or 1), int(x.step or 1)))


_READERS: dict[str, Callable[[Sequence[Any], Mapping[str, Any]], Any]] = {
    "conv2d": _conv2d,
    "max_pool2d": partial(
        _pooling,
        "max_pool2d",
        ("input", "kernel_size", "stride", "padding", "dilation"),
    ),
    "avg_pool2d": partial(_pooling, "avg_pool2d", ("input", "kernel_size", "stride", "padding")),
    "lp_pool2d": partial(_pooling, "lp_pool2d", ("input", "norm_type", "kernel_size", "stride")),
    "pad": _pad,
    "constant_pad_nd": _pad,
    "__getitem__": _slice,
}


def _pair(value: int | Sequence[int]) -> Pair:
    if isinstance(value, int):
        return value, value
    return (int(value[0]), int(value[-1]))


def _ghosts(tensor: torch.Tensor) -> tuple[int, ...]:
    return getattr(tensor, _PADS, (0, 0, 0, 0))


def _mark(tensor: torch.Tensor, sides: tuple[int, ...]) -> None:
    setattr(tensor, _PADS, sides)


def _tensors(values: Iterable[Any]) -> Iterator[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)
