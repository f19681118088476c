"""Pictures of mean kernels, and of their symmetry by depth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from pdenet.errors import SymmetryError
from pdenet.files import written_whole
from pdenet.symmetry.kernels.dihedral import SINGLE
from pdenet.symmetry.kernels.mean import MeanKernels
from pdenet.symmetry.kernels.table import SymmetryTable, symmetry_table

if TYPE_CHECKING:  # loading Matplotlib takes a second
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DOTS_PER_INCH = 110
_PAPER = "#fdfcfa"  # of the page
_LONGEST = 22  # letters of a layer's name above its picture

LABELS = {
    "horizontal_flip": "flip ↔",
    "vertical_flip": "flip ↕",
    "rotation_90": "90°",
    "rotation_180": "180°",
    "rotation_270": "270°",
    "diagonal_flip": "diagonal",
    "antidiagonal_flip": "other diagonal",
}
"""Short names of the symmetries."""


def plot_mean_kernels(
    model: nn.Module | MeanKernels | SymmetryTable,
    *,
    columns: int = 8,
    path: str | Path | None = None,
) -> Figure:
    """Draw the mean kernel of each layer: blue is negative, white 0, red positive.

    Each picture has its own scale: layers differ by orders of magnitude, which S does not see.

    Args:
        model: any module, its mean kernels, or its table.
        columns: pictures a row.
        path: a file for the picture. Without it the figure belongs to pyplot, so that
            `plt.show()` shows it.

    Returns:
        The figure.
    """
    table = model if isinstance(model, SymmetryTable) else symmetry_table(model, draws=200)
    columns = max(1, min(columns, len(table)))
    rows = -(-len(table) // columns)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(rows, columns, squeeze=False)
        for panel in grid.flat:
            panel.axis("off")
        for panel, row in zip(grid.flat, table, strict=False):
            kernel = row.layer.kernel
            largest = float(np.abs(kernel).max()) or 1.0
            panel.imshow(kernel, cmap="RdBu_r", vmin=-largest, vmax=largest)
            stride = f", stride {max(row.layer.stride)}" if max(row.layer.stride) > 1 else ""
            panel.set_title(
                f"{row.layer.depth}. {shortened(row.layer.name)}\nS = {row.score:.2f}{stride}",
                fontsize=7.5,
            )
        figure.suptitle(f"Mean kernels of {table.model}", fontsize=11)

    return _drawn(draw, (1.45 * columns + 0.2, 1.75 * rows + 0.4), path)


def plot_symmetry_by_depth(
    tables: SymmetryTable | Mapping[str, SymmetryTable] | Sequence[SymmetryTable],
    *,
    symmetry: str | None = None,
    path: str | Path | None = None,
) -> Figure:
    """Draw the scores of all layers over their depth, and of chance the middle 90 %.

    Args:
        tables: one table, several, or several with the names that they shall have in the key.
        symmetry: one of the symmetries, whose own scores are drawn; by default S over the group.
        path: see `plot_mean_kernels`.

    Returns:
        The figure. Several models are drawn from their first layer, at 0, to their last, at 1;
        chance is then that of the model with the most layers.

    Raises:
        SymmetryError: there is no table, or no such symmetry.
    """
    from matplotlib.ticker import MaxNLocator

    named = _named(tables)
    if symmetry is not None and symmetry not in SINGLE:
        raise SymmetryError(f"symmetries are {', '.join(SINGLE)}; got {symmetry!r}")
    is_one = len(named) == 1

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        if symmetry is None:
            longest = max(named.values(), key=len)
            _draw_chance(axes, longest, is_one)
        for name, table in named.items():
            values = [row.score if symmetry is None else row.by_symmetry[symmetry] for row in table]
            strided = [k for k, row in enumerate(table) if max(row.layer.stride) > 1]
            depth = _depths(len(table), is_one)
            (line,) = axes.plot(depth, values, marker="o", markersize=4, linewidth=1.3, label=name)
            axes.plot(
                depth[strided],
                np.array(values)[strided],
                "s",
                markersize=7,
                markerfacecolor="white",
                color=line.get_color(),  # the next model has the next colour
                label="stride > 1" if is_one and strided else None,
            )
        what = f"S over {next(iter(named.values())).group}" if symmetry is None else symmetry
        axes.set(
            xlabel="layer, by depth"
            if is_one
            else "depth: 0 first layer, 1 last layer; squares: stride > 1",
            ylabel=LABELS.get(what, what),
            ylim=(0.0, 1.03),
            title="Symmetry of mean kernels by depth",
        )
        if is_one:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
        axes.legend(fontsize="small", loc="lower right", ncols=2)

    return _drawn(draw, (8.0, 3.9), path)


def _draw_chance(axes: Axes, table: SymmetryTable, is_one: bool) -> None:
    depth = _depths(len(table), is_one)
    low, high = ([row.chance.quantile(q) for row in table] for q in (0.05, 0.95))
    if len(table) == 1:
        depth, low, high = np.array([-0.4, 0.4]), low * 2, high * 2
    axes.fill_between(depth, low, high, color="0.88", label="chance, 5 % to 95 %")


def _depths(count: int, is_one: bool) -> np.ndarray:
    return np.arange(count) if is_one else np.linspace(0.0, 1.0, count)


def _named(
    tables: SymmetryTable | Mapping[str, SymmetryTable] | Sequence[SymmetryTable],
) -> dict[str, SymmetryTable]:
    if isinstance(tables, SymmetryTable):
        return {tables.model: tables}
    if isinstance(tables, Mapping):
        named = dict(tables)
    else:
        named = {}
        for table in tables:
            again = sum(t.model == table.model for t in named.values())
            named[f"{table.model} ({again + 1})" if again else table.model] = table
    if not named:
        raise SymmetryError("at least one table was expected; got none; make one: symmetry_table")
    return named


def shortened(name: str) -> str:
    """Return a layer's name, its middle left out where it is long."""
    if len(name) <= _LONGEST:
        return name
    half = (_LONGEST - 1) // 2
    return f"{name[:half]}…{name[-half:]}"


def _drawn(
    draw: Callable[[Figure], None], size: tuple[float, float], path: str | Path | None
) -> Figure:
    from matplotlib import pyplot as plt
    from matplotlib.figure import Figure

    # A figure that only goes to a file stays unknown to pyplot, which would keep it for ever.
    make = plt.figure if path is None else Figure
    figure = make(figsize=size, layout="constrained", dpi=_DOTS_PER_INCH, facecolor=_PAPER)
    draw(figure)
    if path is not None:
        with written_whole(Path(path), overwrite=True) as temporary:
            figure.savefig(temporary, facecolor=_PAPER)
    return figure
