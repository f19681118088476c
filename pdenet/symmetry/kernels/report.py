"""Report: everything about a model's kernels, measured and written as one page."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor, nn

from pdenet.errors import SymmetryError
from pdenet.files import write_whole
from pdenet.network.convnet.classifier import Classifier
from pdenet.symmetry.kernels.consistency import (
    Consistency,
    Images,
    agreements,
    batches,
    flip_views,
    predictions,
    shift_views,
)
from pdenet.symmetry.kernels.page import KernelReport, page
from pdenet.symmetry.kernels.running import REFUSALS, evaluating, home
from pdenet.symmetry.kernels.table import symmetry_table
from pdenet.symmetry.kernels.uneven import uneven_padding

_FEWEST = 200
"""With fewer pictures the page says that intervals are wide."""


def report(
    model: nn.Module,
    path: str | Path,
    images: Images | None = None,
    labels: Tensor | Sequence[int] | None = None,
    *,
    size: int | tuple[int, int] | None = None,
    crop: int | tuple[int, int] | None = None,
    vertical: bool = False,
    batch_size: int = 64,
    draws: int = 10_000,
    seed: int = 0,
) -> KernelReport:
    """Measure the symmetry of a model's kernels, and write one HTML page about it.

    The page has the mean kernels, their scores beside what chance would give, each symmetry alone,
    strided layers with uneven padding, and where there are pictures how consistent the predictions
    are. It refers to nothing outside itself. An older page at `path` is replaced.

    Args:
        model: any module with 2-D convolutions; it is left as it is.
        path: the file, which ends in .html.
        images: pictures as the model takes them; see `Images`. Without them nothing is said of
            consistency.
        labels: their classes, int, shape `(picture,)`, for the accuracy; with pictures in one
            tensor or in a dataset.
        size: at which uneven padding is looked for; by default that of the pictures, or else the
            size that the model is made for.
        crop: for shift consistency; by default 7/8 of the pictures, which is 224 of 256, if the
            model takes pictures of another size.
        vertical: whether consistency under vertical flips is measured too.
        batch_size: of pictures.
        draws: see `symmetry_table`.
        seed: of random kernels and crops.

    Returns:
        What stands on the page; `page(...)` of it is the text.

    Raises:
        SymmetryError: see `mean_kernels`, `flip_consistency` and `uneven_padding`.
        ResultError: the folder of `path` does not exist.

    Example:
        >>> import tempfile
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2, padding=1))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     found = report(model, f"{folder}/kernels.html", size=8, draws=100)
        >>> len(found.table), len(found.padding.uneven)
        (1, 1)
    """
    path = Path(path)
    consistency: tuple[Consistency, ...] = ()
    notes = []
    if images is not None:
        stream = batches(images, batch_size)
        first = next(stream, None)
        if not isinstance(first, Tensor) or first.ndim != 4:
            raise SymmetryError(
                f"pictures have shape (picture, channel, y, x); got {type(first).__name__}; see "
                "pn.symmetry.kernels.Images"
            )
        pixels = (first.shape[-2], first.shape[-1])
        size = pixels if size is None else size
        kinds = [flip_views(axis) for axis in ("horizontal", "vertical")[: 1 + vertical]]
        if crop is not None or _takes(model, first, _smaller(pixels)):
            kinds.append(shift_views(_smaller(pixels) if crop is None else crop, None, seed))
        else:
            notes.append(
                "Shift consistency was not measured: the model takes pictures of one size only."
            )
        # Chained, since an iterator gives its pictures once.
        found = agreements(model, chain([first], stream), dict(kinds), batch_size)
        if labels is not None:
            found.append(_accuracy(model, images, labels, batch_size))
        if found[0].count < _FEWEST:
            notes.append(f"{found[0].count} pictures are few: the intervals are wide.")
        consistency = tuple(found)
    made = KernelReport(
        symmetry_table(model, draws=draws, seed=seed),
        uneven_padding(model, _made_for(model) if size is None else size),
        consistency,
        tuple(notes),
    )
    write_whole(path, page(made))
    return made


def _smaller(pixels: tuple[int, int]) -> tuple[int, int]:
    """Return 7/8 of a size, which is 224 of 256."""
    return 7 * pixels[0] // 8, 7 * pixels[1] // 8


def _takes(model: nn.Module, pictures: Tensor, size: tuple[int, int]) -> bool:
    """Tell whether a model runs on pictures of another size too."""
    device, dtype = home(model)
    picture = pictures[:1, :, : size[0], : size[1]].to(device, dtype)
    try:
        with evaluating(model):
            model(picture)
    except REFUSALS:
        return False
    return True


def _accuracy(
    model: nn.Module, images: Images, labels: Tensor | Sequence[int], batch_size: int
) -> Consistency:
    wanted = torch.as_tensor(labels).cpu()
    called = predictions(model, images, batch_size)
    if called.shape != wanted.shape:
        raise SymmetryError(
            f"labels are one a picture, with pictures in a tensor or a dataset; got shape "
            f"{tuple(wanted.shape)} for {len(called)} pictures; leave labels out of an iterator"
        )
    right = int((called == wanted).sum())
    return Consistency.of("accuracy", right, len(wanted), undecided=int((called < 0).sum()))


def _made_for(model: nn.Module) -> int | tuple[int, int]:
    """Return the size of pictures that a model is made for, as far as it says."""
    if isinstance(model, Classifier):
        return 224 if model.layout.stem == "pooled" else 32
    config = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None)
    given = config.get("input_size") if isinstance(config, dict) else None
    return (given[-2], given[-1]) if given else 224
