"""Layout: how many blocks of which width a classifier has, and how a picture enters it.

Its states that are asked for by number are levels: 0 the stem, k the k-th stage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any  # an entry of `feature_info` is a number or a string

from pdenet.checks import check_choice, check_count, is_integer
from pdenet.errors import NetworkError, suggest

STEMS = ("pooled", "plain")
"""What stands before the first stage."""

STEM_LEVEL = 2
"""The place of the ReLU in a stem, behind which level 0 stands."""


@dataclass(frozen=True)
class Layout:
    """Stages of blocks. Every stage but the first begins with a block of stride 2.

    Attributes:
        widths: the number of channels of each stage.
        depths: the number of blocks of each stage.
        stem: "pooled" is the stem of ResNet, a 7×7 convolution of stride 2, batch norm, ReLU and
            3×3 max-pooling of stride 2, for pictures of some 224 pixels; "plain" is a 3×3
            convolution, batch norm and ReLU, for 8 to 64 pixels.

    Raises:
        NetworkError: widths and depths are not tuples of positive integers of one length.

    Example:
        >>> Layout(widths=(16, 32), depths=(2, 2)).reductions
        (1, 2)
    """

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    stem: str = "plain"

    def __post_init__(self) -> None:
        for name in ("widths", "depths"):
            given = getattr(self, name)
            if not isinstance(given, tuple | list) or not given:
                raise NetworkError(
                    f"{name} of a layout has a number for each stage; got {given!r}; write "
                    f"{name}=(64, 128)"
                )
            made = tuple(check_count(f"each of {name}", value, 1, NetworkError) for value in given)
            object.__setattr__(self, name, made)
        if len(self.widths) != len(self.depths):
            raise NetworkError(
                f"each stage has a width and a depth; got {len(self.widths)} widths and "
                f"{len(self.depths)} depths"
            )
        check_choice("stem", self.stem, STEMS, NetworkError)

    @property
    def stem_reduction(self) -> int:
        """How many pixels of the picture make one behind the stem."""
        return 4 if self.stem == "pooled" else 1

    @property
    def reductions(self) -> tuple[int, ...]:
        """How many pixels of the picture make one in each stage."""
        return tuple(self.stem_reduction * 2**k for k in range(len(self.widths)))


_ATTRIBUTES = {"widths", "depths", "stem"}

LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        # He, Zhang, Ren & Sun (2016), "Deep residual learning", table 1: ResNet-50's stages, with
        # blocks of the narrow widths; and §4.2 for the widths on small pictures.
        "resnet50": Layout((64, 128, 256, 512), (3, 4, 6, 3), "pooled"),
        "resnet26": Layout((64, 128, 256, 512), (2, 2, 2, 2), "pooled"),
        "small": Layout((16, 32, 64), (2, 2, 2), "plain"),
    }
)
"""Layouts by name."""


def settled_layout(given: object) -> Layout:
    """Return a layout that was given itself, by name, or as a dictionary of its attributes.

    Raises:
        NetworkError: it is neither.
    """
    if isinstance(given, Layout):
        return given
    if isinstance(given, str) and given in LAYOUTS:
        return LAYOUTS[given]
    if isinstance(given, Mapping) and {"widths", "depths"} <= set(given) <= _ATTRIBUTES:
        return Layout(**given)
    raise NetworkError(
        f"layout is a Layout or one of {', '.join(LAYOUTS)}; got {given!r}."
        f"{suggest(str(given), LAYOUTS)}"
    )


def feature_info(layout: Layout) -> list[dict[str, Any]]:
    """Return what stands at each level, as timm's users know it.

    Returns:
        For each level a dict of `num_chs`, its channels, `reduction`, how many pixels of the
        picture make one along each axis, and `module`, the name of the module behind which it is.
    """
    stem = {
        "num_chs": layout.widths[0],
        "reduction": 2 if layout.stem == "pooled" else 1,
        "module": f"stem.{STEM_LEVEL}",
    }
    stages = [
        {"num_chs": width, "reduction": reduction, "module": f"stages.{k}"}
        for k, (width, reduction) in enumerate(zip(layout.widths, layout.reductions, strict=True))
    ]
    return [stem, *stages]


def taken(count: int, indices: int | Sequence[int] | None) -> list[int]:
    """Return the levels that are asked for, counted from 0, each once and by increasing depth.

    Args:
        count: how many levels there are.
        indices: the numbers of levels, from the end where negative; an integer n for the last n;
            None for all.

    Raises:
        NetworkError: there is no such level, or none is asked for.
    """
    if indices is None:
        return list(range(count))
    if is_integer(indices):
        if not 1 <= indices <= count:
            raise NetworkError(
                f"indices is a number of last levels from 1 to {count}; got {indices}; give the "
                "levels themselves as a tuple, or None for all"
            )
        return list(range(count - int(indices), count))
    if not isinstance(indices, tuple | list) or not indices:
        raise NetworkError(
            f"indices is a number of last levels, a tuple of levels or None; got {indices!r}; "
            f"write indices=(0, {count - 1})"
        )
    for level in indices:
        if not is_integer(level) or not -count <= level < count:
            raise NetworkError(
                f"a level is a number from 0, the stem, to {count - 1}, or from the end from -1 "
                f"to {-count}; got {level!r} in indices={indices!r}; see feature_info"
            )
    return sorted({int(level) % count for level in indices})
